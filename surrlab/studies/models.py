"""The models of a study: trained and evaluated where they are not there yet, joined in tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from surrlab import _parallel
from surrlab._files import DamagedError, say_again
from surrlab.compression.version import RAW, Version
from surrlab.data.ensemble import Ensemble
from surrlab.evaluation.evaluate import VERSION, evaluate, model_errors
from surrlab.studies.results import Study, cached_table, read_table
from surrlab.training.step import best_accelerator, make_fabric
from surrlab.training.surrogate import read_model
from surrlab.training.train import TrainConfig, run_config, run_id, train

TRAINING_ERRORS = "training_errors.nc"


@dataclass(frozen=True, eq=False)
class Model:
    """One model of a study: what it learns from, and with which seed.

    Parameters
    ----------
    kind : {"raw", "lossy", "generated"}
        Trained on the simulations, on compressed ones, or on another model's output.
    data : Ensemble
        Its training samples.
    seed : int
        Of initialisation and order.
    version : Version
        What its training data have been through.
    ratio : float
        Payload ratio of its training data; 1 for a raw model.
    """

    kind: str
    data: Ensemble
    seed: int
    version: Version = RAW
    ratio: float = 1.0

    @property
    def name(self) -> str:
        """Unique name in a table, such as ``zfp ×1 seed 3``."""
        what = self.version.name if self.kind == "lossy" else self.kind
        return f"{what} seed {self.seed}"


def folder(study: Study, model: Model) -> Path:
    """Return where a model is stored: ``models/<run id>``."""
    run = run_config(model.data, study.config.train, seed=model.seed)
    return study.path / "models" / run_id(run)


def evaluation_path(study: Study, model: Model) -> Path:
    """Return the table of a model's errors on the test side, beside its weights."""
    name = f"evaluation{VERSION}-{study.test_set.digest}.nc"
    return folder(study, model) / name


def raw_models(study: Study, seeds: Sequence[int] | None = None) -> list[Model]:
    """Return the raw models of some seeds; by default those whose spread is the variability."""
    chosen = study.config.raw_seeds if seeds is None else seeds
    return [Model("raw", study.train_set, seed) for seed in chosen]


def train_models(study: Study, models: Sequence[Model], label: str) -> None:
    """Train and evaluate what is not there yet.

    On CPUs each model trains in a process of its own on one core: a small network gains little
    from a second thread, and one thread gives the same weights however many models a restart
    finds still to do. With a GPU the models train on it, one after another.
    """
    accelerator = best_accelerator()
    common = (study.config.train, study.test_set, study.field_statistics, accelerator)
    # By where they are stored: versions that a codec rounds to equal tolerances share their models.
    wanted = {evaluation_path(study, model): model for model in models}
    jobs = [
        (_train_one, (model, path, *common))
        for path, model in wanted.items()
        if not (path.exists() and _is_whole(path.parent))
    ]
    executor: Executor | None = study.executor
    if executor is None and accelerator != "cpu":
        executor = ThreadPoolExecutor(1)
    for _ in _parallel.run(jobs, executor=executor, label=label, unit="model", total=len(wanted)):
        pass


def _is_whole(path: Path) -> bool:
    """Whether a model's files are what was written."""
    try:
        read_model(path)
    except OSError:
        return False
    return True


def _train_one(
    model: Model,
    path: Path,
    config: TrainConfig,
    test_set: Ensemble,
    statistics: xr.Dataset,
    accelerator: str,
) -> None:
    """Train one model and evaluate it: on the test side, and a raw one on what it learned."""
    on_cpu = accelerator == "cpu"
    surrogate = train(
        model.data,
        config,
        seed=model.seed,
        path=path.parent,
        fabric=None if on_cpu else make_fabric(accelerator),
        threads=1 if on_cpu else None,
        progress=not on_cpu,
    )
    surrogate.network.to(accelerator)
    if model.kind == "raw":
        errors = functools.partial(model_errors, surrogate, model.data)
        made_from = {"ensemble_digest": model.data.digest}
        cached_table(path.with_name(TRAINING_ERRORS), made_from, errors)
    compare = functools.partial(evaluate, surrogate, test_set, statistics)
    cached_table(path, {"test_digest": test_set.digest}, compare)


def training_errors_path(study: Study, model: Model) -> Path:
    """Return the table of a raw model's errors on what it learned, beside its weights."""
    return folder(study, model) / TRAINING_ERRORS


def stored(study: Study, model: Model, path_of: Callable[[Study, Model], Path]) -> xr.Dataset:
    """Return a table beside a model's weights; one that is damaged or gone is made again."""
    path = path_of(study, model)
    try:
        table = read_table(path)
    except DamagedError as error:
        say_again(path, error)
        table = None
    if table is None:
        path.unlink(missing_ok=True)
        evaluation_path(study, model).unlink(missing_ok=True)  # what tells that all is there
        train_models(study, [model], "evaluate again")
        table = read_table(path)
        assert table is not None
    return table


def evaluations(study: Study, models: Sequence[Model], name: str) -> xr.Dataset:
    """Return what `evaluate` found of trained models, along ``model``; kept in ``<name>.nc``."""

    def join() -> xr.Dataset:
        tables = [stored(study, model, evaluation_path) for model in models]
        truth = [variable for variable in tables[0] if variable.startswith("truth_")]
        joined = xr.concat([t.drop_vars(truth) for t in tables], "model", data_vars="all")
        return joined.merge(tables[0][truth]).assign_coords(_coordinates(study, models))

    return study.results.table(name, _made_from(study, models), join)


def histories(study: Study, models: Sequence[Model]) -> xr.Dataset:
    """Return the training loss of every model, ``loss`` (model, epoch); kept in ``history.nc``."""

    def join() -> xr.Dataset:
        rows = [read_model(folder(study, model))[2] for model in models]
        loss = [[epoch["loss"] for epoch in row] for row in rows]
        epochs = [epoch["epoch"] for epoch in rows[0]]
        coordinates = _coordinates(study, models)
        return xr.Dataset({"loss": (("model", "epoch"), loss)}, {"epoch": epochs} | coordinates)

    return study.results.table("history", _made_from(study, models), join)


def _made_from(study: Study, models: Sequence[Model]) -> dict[str, Any]:
    """Named values that decide a table of models."""
    return {
        "ensemble_digest": study.ensemble.digest,
        "test_digest": study.test_set.digest,
        "evaluation_version": VERSION,
        "models": [folder(study, model).name for model in models],
        "names": [model.name for model in models],
    }


def _coordinates(study: Study, models: Sequence[Model]) -> dict[str, Any]:
    """Coordinates of ``model``: the figures choose look and label by them."""
    versions = [model.version for model in models]
    return {
        "model": [model.name for model in models],
        "kind": ("model", [model.kind for model in models]),
        "version": ("model", [version.name for version in versions]),
        "codec": ("model", [version.codec for version in versions]),
        "rule": ("model", [version.rule for version in versions]),
        "factor": ("model", [version.factor for version in versions]),
        "ratio": ("model", [model.ratio for model in models]),
        "seed": ("model", [model.seed for model in models]),
        "folder": ("model", [folder(study, model).name for model in models]),
    }
