"""Each study of the paper as a function: a `Study` in, a labelled table out.

A study goes on where it stopped: simulations, models and tables carry a hash of what made them, so
nothing is computed twice and changed numbers never meet stale results. Each function makes what it
needs of the ones before it, so any notebook can be run on its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from surrlab import (
    codecs,
    compression,
    ensembles,
    evaluation,
    storage,
    tolerance,
    training,
    variability,
)
from surrlab.ensembles import Ensemble
from surrlab.training import TrainConfig

TRAINING_ERRORS = "training_errors.nc"


@dataclass(frozen=True)
class StudyConfig:
    """The numbers of a study.

    Parameters
    ----------
    scenario : scenarios.RayleighTaylor
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
        scale = training.Normaliser.fit(self.train_set).field_scale
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

    def table(self, name: str, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """``<name>.nc``: as stored if it was made from `key`, computed and stored otherwise."""
        return _table(self.path / f"{name}.nc", key, compute)

    def summarise(self, section: str, values: dict) -> dict:
        """Put a notebook's numbers into ``summary.json`` under its section, and return them."""
        path = self.path / "summary.json"
        summary = json.loads(path.read_text()) if path.exists() else {}
        summary[section] = values
        storage.write_json(path, summary)
        return values

    def keep(self, figure, name: str):
        """Write a figure to ``figures/<name>.png`` and return it, for the notebook to show."""
        path = self.path / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        return figure


def open_study(config: StudyConfig, path: str | os.PathLike, ensemble: str = "") -> Study:
    """A study in a results folder, on its own ensemble or, with `ensemble`, on an existing one."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return Study(config, path, Path(ensemble) if ensemble else None)


def table_one(ensemble: Ensemble) -> pd.DataFrame:
    """Table I: size, dimensions and number of samples, of this ensemble and of the paper's two."""
    n, times, n_fields, ny, nx = ensemble.shape
    rows = {
        f"{ensemble.scenario} (here)": (ensemble.raw_nbytes / 1e9, ny, nx, n_fields, n * times),
        "RT (paper)": (450.0, 768, 256, 6, 102_000),
        "PCHIP (paper)": (893.0, 512, 512, 6, 152_184),
    }
    columns = ["raw GB", "ny", "nx", "fields", "samples"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


# ---------------------------------------------------------------------------------------- models


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
    jobs = [
        (_train_one, (model, study.judgement(model), *common))
        for model in models
        if not study.judgement(model).exists()
    ]
    progress = {"label": label, "unit": "model", "total": len(models)}
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
        threads=1,
        progress=accelerator != "cpu",
    )
    if model.kind == "raw":
        errors = functools.partial(evaluation.model_errors, surrogate, model.data)
        _table(judgement.with_name(TRAINING_ERRORS), model.data.digest, errors)
    judge = functools.partial(evaluation.evaluate, surrogate, test_set, statistics)
    _table(judgement, test_set.digest, judge)


def evaluations(study: Study, models: list[Model], name: str) -> xr.Dataset:
    """What `evaluation.evaluate` found of trained models, along a ``model`` axis; ``<name>.nc``."""
    files = [study.judgement(model) for model in models]

    def join() -> xr.Dataset:
        tables = [xr.load_dataset(file, engine="h5netcdf") for file in files]
        truth = [variable for variable in tables[0] if variable.startswith("truth_")]
        joined = xr.concat([t.drop_vars(truth) for t in tables], "model", data_vars="all")
        return joined.merge(tables[0][truth]).assign_coords(
            model=[m.label for m in models],
            kind=("model", [m.kind for m in models]),
            level=("model", [m.level for m in models]),
            ratio=("model", [m.ratio for m in models]),
            seed=("model", [m.seed for m in models]),
        )

    return study.table(name, [[file.parent.name, file.name] for file in files], join)


def histories(study: Study, models: list[Model]) -> dict[str, pd.DataFrame]:
    """Training loss, rate and seconds by epoch of each model, by its label."""
    files = {model.label: study.folder(model) / "history.json" for model in models}
    return {label: pd.DataFrame(json.loads(file.read_text())) for label, file in files.items()}


# --------------------------------------------------------------------------------------- studies


def variability_study(study: Study) -> xr.Dataset:
    """Section III-A, Fig. 3: raw models that differ in the seed alone, judged on the test side."""
    models = raw_models(study)
    train_models(study, models, "train raw models")
    return evaluations(study, models, "variability")


def generation_loss(study: Study) -> xr.Dataset:
    """Section IV-A, Fig. 5: train again on the first raw model's output; does the error grow?

    Returns
    -------
    Dataset
        `evaluations` of the raw models and of the ``generated`` ones.
    """
    variability_study(study)
    raw = raw_models(study)
    source = study.folder(raw[0])
    generated = study.path / "generated" / source.name
    train_set = study.train_set
    rows = dict(zip(train_set.simulations, train_set.parameters.tolist(), strict=True))
    storage.build(
        generated,
        train_set.header,
        {"model": source.name},
        rows,
        {s: functools.partial(_predict, source, train_set.select([s])) for s in rows},
        label="predict",
    )
    output = ensembles.open(generated)
    models = [Model("generated", output, seed) for seed in study.config.generation_seeds]
    train_models(study, models, "train on a model's output")
    return evaluations(study, raw + models, "generation_loss")


def generation_errors(table: xr.Dataset) -> pd.DataFrame:
    """Tidy form of `generation_loss`: a row a model and test sample, columns ``model``, ``l1``."""
    names = {"raw": "trained on simulations", "generated": "trained on a model's output"}
    frame = table["normalised_l1"].to_dataframe().reset_index()
    return pd.DataFrame({"model": frame["kind"].map(names), "l1": frame["normalised_l1"]})


def _predict(source: Path, ensemble: Ensemble, path: Path) -> None:
    """Write what a model makes of the inputs of an ensemble's only simulation."""
    samples = training.predict(training.load(source), ensemble.inputs[0])
    row = ensemble.parameters[0].tolist()
    storage.write_simulation(path, ensemble.header, ensemble.simulations[0], row, samples)


@functools.cache  # asked for by every study that follows, and hashed into their folders' names
def mean_model_errors(study: Study) -> xr.DataArray:
    """Model error of every training sample and field, the mean over the raw models."""
    variability_study(study)
    paths = [study.folder(model) / TRAINING_ERRORS for model in raw_models(study)]
    return sum(xr.load_dataset(p, engine="h5netcdf")["model_error"] for p in paths) / len(paths)


def tolerance_search(study: Study) -> xr.Dataset:
    """Section IV-A, Algorithm 1, for every training sample and field; the streams are kept.

    Returns
    -------
    Dataset
        ``tolerance``, ``error``, ``max_error``, ``nbytes``, ``tries`` and ``model_error`` over
        (simulation, time, field), own units.
    """
    data = compressed(study, 1.0)

    def collect() -> xr.Dataset:
        table = compression.table(data).assign(model_error=mean_model_errors(study))
        return table.assign_attrs(raw_field_nbytes=4 * int(np.prod(data.grid.shape)))

    return study.table("tolerance_search", data.digest, collect)


def by_field(found: xr.Dataset) -> pd.DataFrame:
    """`tolerance_search` in a row a field: median tolerance, payload ratio, share of the bytes."""
    samples = ["simulation", "time"]
    nbytes = found["nbytes"].sum(samples)
    frame = xr.Dataset(
        {
            "median tolerance": found["tolerance"].median(samples),
            "ratio": found.attrs["raw_field_nbytes"] / found["nbytes"].mean(samples),
            "share of bytes": nbytes / nbytes.sum(),
            "encodes": found["tries"].mean(samples),
        }
    ).to_dataframe()
    return frame[["median tolerance", "ratio", "share of bytes", "encodes"]]


def thresholds(study: Study, simulation: int, time: int) -> xr.Dataset:
    """Fig. 4 for one training sample: compression error and ratio against the tolerance.

    Returns
    -------
    Dataset
        ``error`` and ``ratio`` (field, exponent) at the tolerances 2^exponent; the two thresholds
        ``roundoff`` (the rounding error of float32) and ``model_error`` (field).
    """
    sample = study.train_set.read(simulation, time)
    model_error = mean_model_errors(study).sel(simulation=simulation).isel(time=time).values

    def climb() -> xr.Dataset:
        roundoff = np.finfo(np.float32).eps * np.abs(sample).mean(axis=(1, 2), dtype=np.float64)
        low = math.floor(math.log2(roundoff[roundoff > 0].min()))
        high = math.ceil(math.log2(codecs.Zfp.expected_tolerance(model_error.max(), ndim=2))) + 4
        exponents = np.arange(low, high)
        found = [[tolerance.measure(f, codecs.Zfp(2.0**k)) for k in exponents] for f in sample]
        axes = ("field", "exponent")
        return xr.Dataset(
            {
                "error": (axes, [[f.error for f in row] for row in found]),
                "ratio": (axes, [[sample[0].nbytes / f.nbytes for f in row] for row in found]),
                "roundoff": ("field", roundoff),
                "model_error": ("field", model_error),
            },
            {"field": list(study.ensemble.fields), "exponent": exponents},
        )

    key = [study.train_set.digest, simulation, time, model_error.tolist()]
    return study.table("thresholds", key, climb)


@functools.cache
def compressed(study: Study, level: float) -> Ensemble:
    """The training side compressed at `level` times Algorithm 1's tolerances.

    At 1 search and storage are one pass; other levels reuse the tolerances that it found.
    """
    errors = mean_model_errors(study)
    key = hashlib.sha256(errors.values.tobytes()).hexdigest()[:8]
    path = study.path / "compressed" / f"x{level:g}-{key}"
    if level == 1.0:
        return compression.search_and_compress(study.train_set, errors, path)
    found = compression.table(compressed(study, 1.0))["tolerance"]
    return compression.compress(study.train_set, found * level, path)


@functools.cache
def ratios(study: Study, level: float) -> compression.Ratios:
    """Payload and file ratio of a level."""
    return compression.ratios(compressed(study, level))


def lossy_models(study: Study) -> list[Model]:
    """The models of every level, with the common seeds."""
    models = []
    for level in study.config.levels:
        data, ratio = compressed(study, level), ratios(study, level).payload
        models += [Model("lossy", data, seed, level, ratio) for seed in study.config.lossy_seeds]
    return models


def lossy_training(study: Study) -> xr.Dataset:
    """Section V, Figs. 6-10: models trained on compressed data beside the raw ones."""
    variability_study(study)
    models = lossy_models(study)
    train_models(study, models, "train lossy models")
    return evaluations(study, raw_models(study) + models, "lossy_training")


def pictures(study: Study, simulation: int, time: int) -> dict[str, np.ndarray]:
    """Fig. 10: a test sample ``(6, ny, nx)`` as simulated, and as one model of a level sees it."""
    models = [raw_models(study)[0]]
    models += [m for m in lossy_models(study) if m.seed == study.config.lossy_seeds[0]]
    inputs = study.test_set.inputs[study.test_set.simulations.index(simulation), time]
    shown = {"simulation": study.test_set.read(simulation, time)}
    for model in models:
        label = "raw model" if model.kind == "raw" else f"{model.ratio:.1f}× model"
        shown[label] = training.predict(training.load(study.folder(model)), inputs)
    return shown


def verdicts(study: Study, table: xr.Dataset) -> dict[float, variability.Verdict]:
    """The verdict on each level of `lossy_training`'s table; kept in ``verdicts.nc``."""
    raw = evaluation.scores(table.isel(model=(table["kind"] == "raw").values))
    found = {
        level: variability.verdict(
            raw,
            evaluation.scores(table.isel(model=(table["level"] == level).values)),
            better=evaluation.better(table),
            labels=evaluation.labels(table),
            margin=study.config.margin,
        )
        for level in study.config.levels
    }
    frames = pd.concat({level: verdict.table for level, verdict in found.items()}, names=["level"])
    study.table("verdicts", [table.attrs["key"], study.config.margin], frames.to_xarray)
    return found


def rows(study: Study, verdicts: dict[float, variability.Verdict]) -> list[dict]:
    """The verdicts as ``summary.json`` keeps them: level, payload and file ratio, state, reason."""
    table = []
    for level, verdict in verdicts.items():
        row = {"level": level, **ratios(study, level)._asdict()}
        table.append(row | verdict.config())
    return table


def _table(path: Path, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
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
