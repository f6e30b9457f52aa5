"""Where a study lives: its numbers, the folder of its results, and the models in it.

Simulations, models and tables carry a hash of what made them, so a study goes on where it stopped,
nothing is computed twice, and changed numbers never meet stale results.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from surrlab import ensembles, evaluation, storage, surrogates, training
from surrlab.ensembles import Ensemble
from surrlab.training import TrainConfig

TRAINING_ERRORS = "training_errors.nc"


@dataclass(frozen=True)
class StudyConfig:
    """The numbers of a study.

    Parameters
    ----------
    scenario : scenarios.Scenario
        The benchmark.
    n_simulations : int
        Size of the ensemble.
    shape : tuple of int
        Grid, ``(ny, nx)``.
    train : TrainConfig
        How every model is trained.
    raw_seeds : tuple of int
        One raw model a seed; their spread is the training variability.
    lossy_seeds : tuple of int
        Seeds of the lossy models of each level: common seeds, so each must be a raw seed.
    levels : tuple of float
        Factors on Algorithm 1's tolerance; the last is the over-compressed control.
    generation_seeds : tuple of int
        Raw seeds of the models that are trained on the first raw model's output (Fig. 5).
    test_fraction : float
        Share of the simulations held out.
    seed : int
        Of the parameter draw and of the split.
    margin : float
        Degradation that is still benign, in standard deviations of the raw models.
    timeout : int
        Seconds that one cell of a notebook may take.
    """

    scenario: object
    n_simulations: int
    shape: tuple[int, int]
    train: TrainConfig
    raw_seeds: tuple[int, ...]
    lossy_seeds: tuple[int, ...]
    levels: tuple[float, ...] = (1 / 8, 1.0, 4.0)
    generation_seeds: tuple[int, ...] = (0,)
    test_fraction: float = 0.1
    seed: int = 1
    margin: float = 2.0
    timeout: int = 3600

    def __post_init__(self):
        for name in ("lossy_seeds", "generation_seeds"):
            strangers = sorted(set(getattr(self, name)) - set(self.raw_seeds))
            if strangers:
                raise ValueError(f"{name} holds {strangers[0]}, which is not a raw seed")
        for name in ("raw_seeds", "lossy_seeds", "generation_seeds", "levels"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must hold values, each of them once, not {values}")
        if not min(self.levels) > 0:
            raise ValueError(f"levels are factors above 0, not {self.levels}")
        if len(self.lossy_seeds) < 2:
            raise ValueError(f"a verdict needs two or more lossy seeds, not {self.lossy_seeds}")


@dataclass(frozen=True)
class Study:
    """A configuration and the folder of its results.

    Parameters
    ----------
    config : StudyConfig
        The numbers.
    path : Path
        ``results/<preset>``.
    ensemble_path : Path, optional
        An ensemble that exists already, in place of one that is simulated into ``path/ensemble``.
    """

    config: StudyConfig
    path: Path
    ensemble_path: Path | None = None

    @cached_property
    def ensemble(self) -> Ensemble:
        """The raw ensemble, simulated on first use."""
        if self.ensemble_path is not None:
            ensemble = ensembles.open(self.ensemble_path)
            ensembles.scenario_of(ensemble)  # the quantities need one that this version knows
            return ensemble
        return ensembles.generate(
            self.config.scenario,
            self.path / "ensemble",
            n_simulations=self.config.n_simulations,
            shape=self.config.shape,
            seed=self.config.seed,
        )

    @cached_property
    def train_set(self) -> Ensemble:
        """The simulations that models learn from."""
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[0]

    @cached_property
    def test_set(self) -> Ensemble:
        """The simulations that every model is judged on; raw, whatever the model saw."""
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[1]

    @cached_property
    def field_statistics(self) -> xr.Dataset:
        """``low``, ``high`` and ``scale`` of each true field, ``(field,)``, in its unit.

        ``high - low`` over the whole ensemble is the peak of PSNR; the scale is the standard
        deviation over the training samples, by which errors of several fields are added up.
        """
        key = [self.ensemble.digest, self.train_set.digest]
        return self.table("fields", key, self._field_statistics)

    def _field_statistics(self) -> xr.Dataset:
        low, high = np.inf, -np.inf
        for simulation in self.ensemble.simulations:
            samples = self.ensemble.read(simulation)
            low = np.minimum(low, samples.min(axis=(0, 2, 3)))
            high = np.maximum(high, samples.max(axis=(0, 2, 3)))
        for name, least, most in zip(self.ensemble.fields, low, high, strict=True):
            if least == most:
                raise ValueError(
                    f"{self.ensemble.path}: field {name} is {least} everywhere, always; "
                    "nothing can be said of a field that never varies"
                )
        scale = surrogates.Normaliser.fit(self.train_set).field_scale
        return xr.Dataset(
            {"low": ("field", low), "high": ("field", high), "scale": ("field", list(scale))},
            coords={
                "field": list(self.ensemble.fields),
                "unit": ("field", list(self.ensemble.units.values())),
            },
        )

    def folder(self, model: Model) -> Path:
        """Where a model is stored: ``models/<run id>``."""
        run = training.run_config(model.data, self.config.train, seed=model.seed)
        return self.path / "models" / training.run_id(run)

    def judgement(self, model: Model) -> Path:
        """The table of what a model makes of the test side, beside its weights."""
        name = f"evaluation{evaluation.VERSION}-{self.test_set.digest}.nc"
        return self.folder(model) / name

    @property
    def time_unit(self) -> str:
        """Unit of the samples' times."""
        return self.ensemble.input_units[-1]

    @property
    def scenario(self):
        """The benchmark of the ensemble."""
        return ensembles.scenario_of(self.ensemble)

    def simulation(self, side: Ensemble, place: int) -> int:
        """Number of the simulation at a place of one side of the split, counted from 0.

        Raises
        ------
        IndexError
            If that side has fewer.
        """
        if not 0 <= place < len(side.simulations):
            raise IndexError(
                f"there is no simulation at place {place}: of {len(self.ensemble.simulations)} "
                f"simulations this side of the split has {len(side.simulations)}"
            )
        return side.simulations[place]

    def time(self, place: int) -> int:
        """Place of a time of the samples, once it is known to be there.

        Raises
        ------
        IndexError
            If there is none.
        """
        if not 0 <= place < len(self.ensemble.times):
            raise IndexError(
                f"there is no time at place {place}: a simulation has {len(self.ensemble.times)}"
            )
        return place

    def table(self, name: str, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """``<name>.nc``: as stored if it was made from `key`, computed and stored otherwise."""
        return keep(self.path / f"{name}.nc", key, compute)

    def once(self, name: str, make: Callable):
        """What `make` returned when this study was first asked for `name`."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def _made(self) -> dict:
        return {}

    def summarise(self, section: str, values: dict) -> dict:
        """Put a notebook's numbers into ``summary.json`` under its section, and return them."""
        path = self.path / "summary.json"
        summary = json.loads(path.read_text()) if path.exists() else {}
        summary[section] = values
        storage.write_json(path, summary)
        return values


def open_study(config: StudyConfig, path: str | os.PathLike, ensemble: str = "") -> Study:
    """A study in a results folder, on its own ensemble or, with `ensemble`, on an existing one."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return Study(config, path, Path(ensemble) if ensemble else None)


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
        for _ in storage.run(jobs, executor=executor, **progress):
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


def keep(path: Path, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
    """A NetCDF table: as stored if it was made from `key`, computed and stored otherwise."""
    key = json.dumps(key)
    if path.exists():
        stored = xr.load_dataset(path, engine="h5netcdf")
        if stored.attrs.get("key") == key:
            return stored
    dataset = compute().assign_attrs(key=key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
    return dataset
