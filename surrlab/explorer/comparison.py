"""Trained models of a study: what they predict, their curves, and the verdicts on them.

Everything comes from the tables and weights in a results folder. A table's attributes name the
ensemble and the test samples that it was made from; one made from others is left out.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import xarray as xr

from surrlab.compression.version import Version
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Field, Grid
from surrlab.explorer.settings import cached, new_cache
from surrlab.studies.results import read_table

RAW, TRUTH = "raw model", "truth"
_WHOLE = 4 << 20  # bytes up to which all times of a simulation are predicted at once


class VersionVerdict(NamedTuple):
    """The verdict on models of one version: its name, its state, and why."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True, eq=False)
class Curves:
    """A quantity in time: the truth, mean and 2σ of the raw models, one lossy model per version.

    Parameters
    ----------
    label, unit, time_unit : str
        What people read.
    times, truth, mean, two_sigma : array (T,)
        `two_sigma` is zero where there is only one raw model.
    n_raw : int
        Raw models behind mean and 2σ.
    versions : dict
        Name -> array (T,): the first seed of each version.
    """

    label: str
    unit: str
    time_unit: str
    times: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    two_sigma: np.ndarray
    n_raw: int
    versions: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ModelView:
    """One field of one sample as simulated and as models predict it.

    Parameters
    ----------
    title : str
        Which sample it is.
    field : Field
        Name, unit and label.
    panels : dict
        Name -> array (ny, nx): the truth first, then the raw model, then one model per version.
    grid : Grid
        Where the field lives.
    limits : tuple of float
        Colour limits of the fields: the truth's.
    color_limit : float
        Differences are coloured from −color_limit to color_limit.
    time : float
        Of the sample.
    curves : Curves or None
        The benchmark's curve of this simulation in time.
    verdicts : tuple of VersionVerdict
        One per version.
    """

    title: str
    field: Field
    panels: dict[str, np.ndarray]
    grid: Grid
    limits: tuple[float, float]
    color_limit: float
    time: float
    curves: Curves | None
    verdicts: tuple[VersionVerdict, ...]


class ResultTables:
    """The tables of a results folder that were made from an ensemble.

    Parameters
    ----------
    path : Path or None
        The folder; without one there are no tables.
    truth : Ensemble
        The raw ensemble.

    Attributes
    ----------
    notes : list of str
        Which tables were left out, in sentences.
    """

    def __init__(self, path: Path | None, truth: Ensemble):
        self.path, self.truth, self.notes = path, truth, []

    def read(self, name: str, *columns: str, test: bool = False) -> xr.Dataset | None:
        """A table with these columns that belongs to the ensemble, or None.

        With `test` its samples must be the held-out ones of its attribute ``test_digest``, too.
        """
        path = self.path / f"{name}.nc" if self.path else None
        table = read_table(path) if path and path.exists() else None
        if table is None:
            return None
        fits = table.attrs.get("ensemble_digest") == self.truth.digest
        fits = fits and set(columns) <= set(map(str, table.variables))
        if fits and test:
            simulations = set(table["simulation"].values.tolist())
            fits = simulations <= set(self.truth.simulations)
        if not fits:
            self.notes.append(
                f"{path} was made from another ensemble, or by another version: left out."
            )
            return None
        return table


def by_simulation(table: xr.Dataset, values: np.ndarray) -> dict[int, np.ndarray]:
    """Rows ``(sample, ...)`` of a table as one array ``(T, ...)`` per simulation, in time."""
    simulation = table["simulation"].values
    return {s: values[simulation == s] for s in dict.fromkeys(simulation.tolist())}


class TrainedModels:
    """The models of a study on the held-out simulations of an ensemble.

    Parameters
    ----------
    truth : Ensemble
        The raw ensemble.
    table : Dataset
        Evaluation of the models over (model, sample, field).
    verdicts : Dataset or None
        Over (version, score).
    path : Path
        The results folder.
    """

    def __init__(self, truth: Ensemble, table: xr.Dataset, verdicts, path: Path):
        self.truth, self.table, self.path, self._verdicts = truth, table, path, verdicts
        self.raw = (table["kind"] == "raw").values
        self.simulations = tuple(dict.fromkeys(table["simulation"].values.tolist()))
        self._cache = new_cache()

    @classmethod
    def read(cls, tables: ResultTables) -> Self | None:
        """The models of a study, raw and lossy or raw alone; None where there are none."""
        columns = ("l1", "kind", "codec", "rule", "factor", "ratio", "folder", "time")
        for name in ("lossy_training", "variability"):
            table = tables.read(name, *columns, test=True)
            if table is not None:
                verdicts = tables.read("verdicts", "verdict", "reason", "codec", "rule", "factor")
                return cls(tables.truth, table, verdicts, tables.path)
        return None

    @property
    def errors(self) -> dict[int, np.ndarray]:
        """Mean absolute error ``(T, fields)`` of the raw models on each simulation."""
        l1 = self.table["l1"].transpose("model", "sample", "field").values
        return by_simulation(self.table, l1[self.raw].mean(axis=0))

    def folder(self, model: int) -> Path:
        """Folder with a model's weights."""
        # The name alone: a table may come from anywhere, and weights are loaded from here only.
        return self.path / "models" / Path(str(self.table["folder"].values[model])).name

    @functools.cached_property
    def models(self) -> dict[str, int]:
        """Panel -> place of the model that it shows: the first seed of each version."""
        chosen: dict[str, int] = {}
        for i, kind in enumerate(self.table["kind"].values):
            if kind == "raw":
                chosen.setdefault(RAW, i)
            elif kind == "lossy":
                chosen.setdefault(_label(self.table.isel(model=i)), i)
        return {n: i for n, i in chosen.items() if (self.folder(i) / "config.json").exists()}

    def predict(self, model: int, simulation: int, step: int) -> np.ndarray:
        """What a model predicts of a sample, ``(fields, ny, nx)``."""
        from surrlab import training

        surrogate = cached(
            self._cache, ("model", model), lambda: training.load(self.folder(model))
        )
        inputs = self.truth.inputs[np.array(self.truth.of(simulation))]
        if 4 * math.prod(self.truth.sample_shape) * len(inputs) > _WHOLE:
            return cached(
                self._cache,
                ("prediction", model, simulation, step),
                lambda: training.predict(surrogate, inputs[step]),
            )
        whole = ("prediction", model, simulation)
        return cached(self._cache, whole, lambda: training.predict(surrogate, inputs))[step]

    def curves(self, simulation: int) -> Curves | None:
        """The benchmark's curve in time; None where no model was evaluated on the simulation."""
        table, name = self.table, self.table.attrs.get("curve")
        if simulation not in self.simulations or not name or name not in table:
            return None
        here = table["simulation"].values == simulation
        values = table[name].transpose("model", "sample").values[:, here]
        truth = table[f"truth_{name}"]
        raw = values[self.raw]
        return Curves(
            label=table[name].attrs.get("long_name", name),
            unit=table[name].attrs.get("units", ""),
            time_unit=self.truth.time_unit,
            times=table["time"].values[here],
            truth=truth.values[here],
            mean=raw.mean(axis=0),
            two_sigma=2 * raw.std(axis=0, ddof=1) if len(raw) > 1 else np.zeros(raw.shape[1]),
            n_raw=len(raw),
            versions={panel: values[i] for panel, i in self.models.items() if panel != RAW},
        )

    @functools.cached_property
    def verdicts(self) -> tuple[VersionVerdict, ...]:
        """The verdict on each version, as the study stored it."""
        table = self._verdicts
        if table is None:
            return ()
        rows = (table.isel(version=i) for i in range(table.sizes["version"]))
        return tuple(
            VersionVerdict(_label(row), str(row["verdict"].item()), str(row["reason"].item()))
            for row in rows
        )


def _label(row: xr.Dataset) -> str:
    """Label of the version of one row of a table."""
    codec, rule, factor, ratio = (row[n].item() for n in ("codec", "rule", "factor", "ratio"))
    return Version(str(codec), str(rule), float(factor)).label(float(ratio))
