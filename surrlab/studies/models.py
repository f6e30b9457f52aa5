"""The models of a study: trained and evaluated where they are not there yet, joined in tables."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from surrlab import _parallel
from surrlab._executors import NamedExecutor
from surrlab._files import read_whole, say_again, write_json
from surrlab._locks import locked, remove_dead_lock
from surrlab.compression.version import RAW, Version
from surrlab.data.ensemble import Ensemble
from surrlab.evaluation.evaluate import VERSION, evaluate, model_errors
from surrlab.evaluation.quantities import Quantity
from surrlab.studies._trainer import (
    Predictions,
    Trainer,
    read_run,
    train_elsewhere,
    write_data,
    write_inputs,
)
from surrlab.studies.results import Study, cached_table, read_table
from surrlab.training.step import best_accelerator, make_fabric
from surrlab.training.surrogate import CONFIG, Surrogate, load, read_model
from surrlab.training.train import TrainConfig, run_config, run_id, train

TIMES, TRAINING_ERRORS = "training_times.json", "training_errors.nc"


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
    return study.path / "models" / run_id(_run(study, model))


def _run(study: Study, model: Model) -> dict[str, Any]:
    """What decides a model."""
    config = study.config
    if not config.trainer:
        return run_config(model.data, config.train, seed=model.seed)
    return {
        "trainer": [config.trainer, config.trainer_layout],
        "seed": model.seed,
        "data": model.data.digest,
        "sides": [study.train_set.digest, study.test_set.digest],
    }


def stored_model(path: Path, truth: Ensemble, side: str) -> Surrogate | Ensemble:
    """Return the model in a folder: its network, or what it predicts of an ensemble.

    Parameters
    ----------
    path : Path
        Its folder.
    truth : Ensemble
        The ensemble, or a part of it.
    side : {"training", "test"}
        Which side of the split that is.
    """
    return (
        load(path, trust=True)
        if (path / CONFIG).exists()
        else Predictions.stored(path, truth, side)
    )


def evaluation_path(study: Study, model: Model) -> Path:
    """Return the table of a model's errors on the test side, beside its weights."""
    name = f"evaluation{VERSION}-{study.test_set.digest}"
    if asked := study.config.quantities:
        name += f"-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"
    return folder(study, model) / f"{name}.nc"


def raw_models(study: Study, seeds: Sequence[int] | None = None) -> list[Model]:
    """Return the raw models of some seeds; by default those whose spread is the variability."""
    chosen = study.config.raw_seeds if seeds is None else seeds
    return [Model("raw", study.train_set, seed) for seed in chosen]


def train_models(
    study: Study, models: Sequence[Model], label: str, likely: Iterable[Model] = ()
) -> None:
    """Train and evaluate what is not there yet.

    Cores of this machine that would wait for the last of them take models that are `likely` to be
    needed next, one each; these are asked for when a core is free.

    On CPUs each model trains in a process of its own on one core: a small network gains little
    from a second thread, and one thread gives the same weights however many models a restart
    finds still to do. With a GPU the models train on it, one after another. A named executor gives
    its jobs other numbers of both.
    """
    truth = (study.test_set, study.field_statistics, study.quantities)
    # By where they are stored: versions that a codec rounds to equal tolerances share their models.
    stored = {evaluation_path(study, model): model for model in models}
    missing = {
        path: model
        for path, model in stored.items()
        if not (path.exists() and _is_whole(path.parent))
    }
    for path in stored.keys() - missing.keys():
        remove_dead_lock(path)
    threads = study.executor.cores if isinstance(study.executor, NamedExecutor) else 1
    ours = functools.partial(_train, config=study.config.train, threads=threads)
    trainer = study.config.trainer
    make = _elsewhere(study, missing) if trainer else dict.fromkeys(missing, ours)
    jobs = [(_train_one, (model, path, make[path], truth)) for path, model in missing.items()]
    others = (model for model in likely if evaluation_path(study, model) not in stored)
    spare = (
        (_train_one, (model, evaluation_path(study, model), ours, truth))
        for model in itertools.islice(others, _idle_workers(study, len(jobs)))
    )
    began = time.monotonic()
    executor: Executor | None = study.executor
    if executor is None and best_accelerator() != "cpu":
        executor = ThreadPoolExecutor(1)
    ended = _parallel.run(
        jobs,
        executor=executor,
        label=label,
        unit="model",
        total=len(stored),
        long=True,
        spare=spare,
    )
    if n := sum(1 for _ in ended):
        with locked(study.path / TIMES):
            known = training_times(study)
            known["models"] += n
            known["seconds"] += time.monotonic() - began
            write_json(study.path / TIMES, known)
    else:
        remove_dead_lock(study.path / TIMES)


def _idle_workers(study: Study, n: int) -> int:
    """How many of this machine's workers have nothing to do while the last of `n` models train."""
    executor = study.executor or NamedExecutor("local")
    if not isinstance(executor, NamedExecutor) or executor.name != "local":
        return 0
    alone = study.config.trainer or best_accelerator() != "cpu"
    return 0 if alone else -n % executor.workers


def training_times(study: Study) -> dict[str, float]:
    """Return how many ``models`` a study has trained, and in how many ``seconds`` of waiting."""
    return {"models": 0, "seconds": 0.0, **read_whole(study.path / TIMES)}


def training_minutes(study: Study, models: Sequence[Model]) -> float:
    """Return how long training those that are missing would take, by those trained so far."""
    missing = {path for m in models if not (path := evaluation_path(study, m)).exists()}
    known = training_times(study)
    return len(missing) * known["seconds"] / max(1, known["models"]) / 60


def _is_whole(path: Path) -> bool:
    """Whether a model's files are what was written."""
    try:
        read_model(path) if (path / CONFIG).exists() else read_run(path)
    except OSError:
        return False
    return True


def _elsewhere(study: Study, models: Mapping[Path, Model]) -> dict[Path, Callable]:
    """What trains each of some models with the study's own trainer, whose data are written here."""
    trainer = Trainer(study.config.trainer, study.config.trainer_layout)
    sides, place = {"training": study.train_set, "test": study.test_set}, study.path / "trainer"
    place.mkdir(exist_ok=True)
    inputs = write_inputs(sides, place)
    data = {model.data.digest: model.data for model in models.values()}
    written = {d: write_data(trainer, one, place, study.executor) for d, one in data.items()}
    tasks = {
        path: (trainer, _run(study, model), sides, written[model.data.digest], inputs)
        for path, model in models.items()
    }
    return {path: functools.partial(_train_elsewhere, task) for path, task in tasks.items()}


def _train_elsewhere(task: tuple, model: Model, path: Path) -> tuple[Ensemble, Ensemble]:
    """Run a trainer; return what its model predicts of its training and of the test side."""
    trainer, run, sides, data, inputs = task
    train_elsewhere(trainer, run, sides, data, inputs, path)
    return Predictions.stored(path, model.data, "training"), Predictions.stored(
        path, sides["test"], "test"
    )


def _train(
    model: Model, path: Path, config: TrainConfig, threads: int
) -> tuple[Surrogate, Surrogate]:
    """Train on the best device of the machine that the job has come to."""
    accelerator = best_accelerator()
    on_cpu = accelerator == "cpu"
    surrogate = train(
        model.data,
        config,
        seed=model.seed,
        path=path,
        fabric=None if on_cpu else make_fabric(accelerator),
        threads=threads if on_cpu else None,
        progress=not on_cpu,
    )
    surrogate.network.to(accelerator)
    return surrogate, surrogate


def _train_one(
    model: Model,
    path: Path,
    make: Callable[[Model, Path], tuple[Surrogate | Ensemble, Surrogate | Ensemble]],
    truth: tuple[Ensemble, xr.Dataset, Mapping[str, Quantity]],
) -> None:
    """Train one model and evaluate it: on the test side, and a raw one on what it learned."""
    on_training, on_test = make(model, path.parent)
    if model.kind == "raw":
        errors = functools.partial(model_errors, on_training, model.data)
        made_from = {"ensemble_digest": model.data.digest}
        cached_table(path.with_name(TRAINING_ERRORS), made_from, errors)
    compare = functools.partial(evaluate, on_test, *truth)
    cached_table(path, {"test_digest": truth[0].digest}, compare)


def training_errors_path(study: Study, model: Model) -> Path:
    """Return the table of a raw model's errors on what it learned, beside its weights."""
    return folder(study, model) / TRAINING_ERRORS


def stored_table(study: Study, model: Model, path_of: Callable[[Study, Model], Path]) -> xr.Dataset:
    """Return a table beside a model's weights; one that is damaged or gone is made again."""
    path = path_of(study, model)
    try:
        return read_table(path)
    except OSError as error:
        say_again(path, error)
    path.unlink(missing_ok=True)
    evaluation_path(study, model).unlink(missing_ok=True)  # what tells that all is there
    train_models(study, [model], "evaluate again")
    return read_table(path)


def mean_training_errors(study: Study, models: Sequence[Model]) -> xr.DataArray:
    """Return the mean over raw models of the model error of every training sample and field."""
    found = [stored_table(study, one, training_errors_path)["model_error"] for one in models]
    return sum(found[1:], found[0]) / len(found)


def evaluations(study: Study, models: Sequence[Model], name: str) -> xr.Dataset:
    """Return what `evaluate` found of trained models, along ``model``; kept in ``<name>.nc``."""

    def join() -> xr.Dataset:
        tables = [stored_table(study, model, evaluation_path) for model in models]
        truth = [name for name in map(str, tables[0]) if name.startswith("truth_")]
        joined = xr.concat([t.drop_vars(truth) for t in tables], "model", data_vars="all")
        return joined.merge(tables[0][truth]).assign_coords(_coordinates(study, models))

    return study.results.table(name, _made_from(study, models), join)


def histories(study: Study, models: Sequence[Model]) -> xr.Dataset:
    """Return the training loss of every model, ``loss`` (model, epoch); kept in ``history.nc``.

    Of models that surrlab did not train no epoch is known.
    """

    def join() -> xr.Dataset:
        folders = [folder(study, model) for model in models]
        rows = [read_model(one)[2] if (one / CONFIG).exists() else [] for one in folders]
        losses = [[epoch["loss"] for epoch in row] for row in rows]
        epochs = [epoch["epoch"] for epoch in rows[0]]
        coordinates = _coordinates(study, models)
        loss = np.reshape(losses, (len(models), len(epochs)))
        return xr.Dataset({"loss": (("model", "epoch"), loss)}, {"epoch": epochs} | coordinates)

    return study.results.table("history", _made_from(study, models), join)


def _made_from(study: Study, models: Sequence[Model]) -> dict[str, Any]:
    """Named values that decide a table of models."""
    return {
        "ensemble_digest": study.ensemble.digest,
        "test_digest": study.test_set.digest,
        "evaluation_version": VERSION,
        "quantities": list(study.config.quantities),
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
