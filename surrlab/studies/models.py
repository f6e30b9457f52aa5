"""Models."""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from surrlab import _parallel, evaluation, training
from surrlab.data.native import Ensemble
from surrlab.studies.results import Study, keep
from surrlab.training.train import TrainConfig

TRAINING_ERRORS = "training_errors.nc"


@dataclass(frozen=True)
class Model:
    """One model of a study: what it learns from, with which seed, and what a figure calls it.

    Parameters
    ----------
    kind : {"raw", "lossy", "generated"}
        Trained on the simulations, on compressed ones, or on another model's output.
    data : Ensemble
        Its training samples.
    seed : int
        Of initialisation and shuffling.
    level : float
        Factor on Algorithm 1's tolerance; 0 for a raw model.
    ratio : float
        Payload ratio of its training data; 1 for a raw model.
    """

    kind: str
    data: Ensemble
    seed: int
    level: float = 0.0
    ratio: float = 1.0

    @property
    def label(self) -> str:
        """Unique name in a table, such as ``lossy ×1 seed 3``."""
        level = f" ×{self.level:g}" if self.kind == "lossy" else ""
        return f"{self.kind}{level} seed {self.seed}"


def raw_models(study: Study) -> list[Model]:
    """The models whose spread is the training variability."""
    return [Model("raw", study.train_set, seed) for seed in study.config.raw_seeds]


def train_models(study: Study, models: list[Model], label: str) -> None:
    """Train and evaluate what is not there yet.

    On CPUs each model trains in a process of its own on one core: a small network gains little
    from a second thread, and one thread gives the same weights however many models a restart
    finds still to do. With a GPU the models train on it, one after another.
    """
    accelerator = training.best_accelerator()
    common = (study.config.train, study.test_set, study.field_statistics, accelerator)
    # By where they are stored: levels that zfp rounds to the same tolerances share their models.
    stored = {study.judgement(model): model for model in models}
    jobs = [
        (_train_one, (model, judgement, *common))
        for judgement, model in stored.items()
        if not judgement.exists()
    ]
    progress = {"label": label, "unit": "model", "total": len(stored)}
    with nullcontext() if accelerator == "cpu" else ThreadPoolExecutor(1) as executor:
        for _ in _parallel.run(jobs, executor=executor, **progress):
            pass


def _train_one(
    model: Model,
    judgement: Path,
    config: TrainConfig,
    test_set: Ensemble,
    statistics: xr.Dataset,
    accelerator: str,
) -> None:
    """Train one model and judge it: on the test side, and for a raw one on what it learned."""
    surrogate = training.train(
        model.data,
        config,
        seed=model.seed,
        path=judgement.parent,
        accelerator=accelerator,
        threads=1 if accelerator == "cpu" else None,
        progress=accelerator != "cpu",
    )
    surrogate.network.to(accelerator)
    if model.kind == "raw":
        errors = functools.partial(evaluation.model_errors, surrogate, model.data)
        keep(judgement.with_name(TRAINING_ERRORS), model.data.digest, errors)
    judge = functools.partial(evaluation.evaluate, surrogate, test_set, statistics)
    keep(judgement, test_set.digest, judge)


def evaluations(study: Study, models: list[Model], name: str) -> xr.Dataset:
    """What `evaluation.evaluate` found of trained models, along a ``model`` axis; ``<name>.nc``."""
    files = [study.judgement(model) for model in models]

    def join() -> xr.Dataset:
        tables = [xr.load_dataset(file, engine="h5netcdf") for file in files]
        truth = [variable for variable in tables[0] if variable.startswith("truth_")]
        joined = xr.concat([t.drop_vars(truth) for t in tables], "model", data_vars="all")
        return joined.merge(tables[0][truth]).assign_coords(coordinates)

    coordinates = _coordinates(study, models)
    return study.table(name, [coordinates, [file.name for file in files]], join)


def histories(study: Study, models: list[Model]) -> xr.Dataset:
    """Training loss of every model, ``loss`` (model, epoch); kept in ``history.nc``."""
    folders = [study.folder(model) for model in models]

    def join() -> xr.Dataset:
        rows = [json.loads((folder / "history.json").read_text()) for folder in folders]
        loss = [[epoch["loss"] for epoch in row] for row in rows]
        epochs = [epoch["epoch"] for epoch in rows[0]]
        return xr.Dataset({"loss": (("model", "epoch"), loss)}, {"epoch": epochs} | coordinates)

    coordinates = _coordinates(study, models)
    return study.table("history", coordinates, join)


def _coordinates(study: Study, models: list[Model]) -> dict:
    """What a table says of each of its models: the figures choose look and label by it."""
    return {
        "model": [m.label for m in models],
        "kind": ("model", [m.kind for m in models]),
        "level": ("model", [m.level for m in models]),
        "ratio": ("model", [m.ratio for m in models]),
        "seed": ("model", [m.seed for m in models]),
        "folder": ("model", [study.folder(m).name for m in models]),
    }
