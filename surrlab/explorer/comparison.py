"""Trained models of a study: what they predict, their curves, and the verdicts on them.

Everything comes from the tables and weights in a results folder. A table's attributes name the
ensemble and the test samples that it was made from; one made from others is left out.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import xarray as xr

from surrlab._tables import read_table
from surrlab.compression.version import Version
from surrlab.data._masks import blank
from surrlab.data.ensemble import Ensemble, InMemoryEnsemble
from surrlab.data.fields import Field, Grid
from surrlab.data.open import open_ensemble
from surrlab.explorer._planes import ArrayEnsemble, Planes
from surrlab.explorer.settings import cached, new_cache

if TYPE_CHECKING:
    from surrlab.training.surrogate import Surrogate

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

    def read(self, name: str, *columns: str) -> xr.Dataset | None:
        """A table with these columns that was made from the ensemble, or None."""
        if self.path is None or not self._file(name).exists():
            return None
        try:
            table = read_table(self._file(name))
        except OSError as error:
            self.notes.append(f"{error}: left out.")
            return None
        fits = table.attrs.get("ensemble_digest") == self.truth.digest
        if fits and set(columns) <= set(map(str, table.variables)):
            return table
        self.leave_out(name)
        return None

    def leave_out(self, name: str) -> None:
        """Note that a table does not belong to the ensemble."""
        self.notes.append(
            f"{self._file(name)} was made from another ensemble, or by another version: left out."
        )

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.nc"


def by_simulation(table: xr.Dataset, values: np.ndarray) -> dict[int, np.ndarray]:
    """Rows ``(sample, ...)`` of a table as one array ``(T, ...)`` per simulation, in time."""
    simulation = table["simulation"].values
    order = np.argsort(simulation, kind="stable")  # once: there may be thousands
    numbers, starts = np.unique(simulation[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(values[order], starts[1:]), strict=True))


class SampleReader:
    """Samples of an ensemble, and their colour limits.

    Parameters
    ----------
    ensemble : Ensemble
        What is read.
    """

    def __init__(self, ensemble: Ensemble):
        self.ensemble, self._limits = ensemble, {}
        self.cache = new_cache()

    def read(self, simulation: int, step: int) -> np.ndarray:
        """Fields of a sample, ``(fields, *grid.shape)``."""
        position = self.ensemble.position(simulation, step)
        return cached(self.cache, ("sample", position), lambda: self.ensemble.read(position))

    def limits(self, simulation: int, name: str) -> tuple[float, float]:
        """Least and largest value of a field over all times of a simulation.

        Raises
        ------
        ValueError
            If the field holds NaN or infinite values.
        """
        if simulation not in self._limits:
            if isinstance(self.ensemble, Planes) and (of_all := self.ensemble.limits):
                return of_all(simulation, name)
            samples = map(self.ensemble.read, self.ensemble.of(simulation))
            valid = True if self.ensemble.valid is None else self.ensemble.valid
            among = {"axis": tuple(range(1, 1 + self.ensemble.grid.ndim)), "where": valid}
            ends = np.array([
                (s.min(initial=np.inf, **among), s.max(initial=-np.inf, **among)) for s in samples
            ])  # fmt: skip
            self._limits[simulation] = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
        low, high = (float(v[self.ensemble.index(name)]) for v in self._limits[simulation])
        if not math.isfinite(high - low):
            del self._limits[simulation]  # the file may be mended before it is looked at again
            raise ValueError(
                f"field {name} of simulation {simulation} in {self.ensemble.name} holds NaN or "
                "infinite values; it cannot be compressed or shown"
            )
        return low, high

    def color_limit(self, errors: np.ndarray | None, limits: tuple[float, float]) -> float:
        """Where the colours of a difference end: 4 times the median model error of a simulation.

        Without a model 2 % of the field's range.
        """
        low, high = limits
        typical = 0.0 if errors is None else np.median(errors)
        return float(4 * typical or 0.02 * (high - low) or 0.02 * abs(high) or 1.0)

    def title(self, simulation: int, step: int) -> str:
        """Which sample it is; empty for an array."""
        one, place = self.ensemble, ""
        if isinstance(one, InMemoryEnsemble):
            return ""
        if isinstance(one, Planes):
            place = f", {one.place}" if one.place else ""
            if isinstance(one.whole, ArrayEnsemble):
                return f"{one.whole.path.name}{place}"
        time = one.run(simulation).times[step]
        return f"simulation {simulation} at {time:g} {one.time_unit}{place}"


class TrainedModels:
    """The models of a study on samples that none of them learned from.

    Parameters
    ----------
    test_set : Ensemble
        The true test samples.
    held_out : bool
        Whether they are simulations of the study's own ensemble, and not an ensemble of their own.
    table : Dataset
        Evaluation of the models over (model, sample, field).
    verdicts : Dataset or None
        Over (version, score).
    path : Path
        The results folder.
    """

    def __init__(self, test_set: Ensemble, held_out: bool, table: xr.Dataset, verdicts, path: Path):
        self.test_set, self.table, self.path = test_set, table, path
        self.held_out = test_set.simulations if held_out else ()
        self.trust = False  # whether networks that the folder names may be imported
        self._verdicts, self._samples = verdicts, SampleReader(test_set)
        self.raw = (table["kind"] == "raw").values
        l1 = table["l1"].transpose("model", "sample", "field").values[self.raw].mean(axis=0)
        self.errors = by_simulation(table, l1)
        """Mean absolute error ``(T, fields)`` of the raw models on each simulation."""

    @classmethod
    def read(cls, tables: ResultTables) -> Self | None:
        """The models of a study, raw and lossy or raw alone; None where there are none."""
        columns = ("l1", "kind", "codec", "rule", "factor", "ratio", "folder", "time")
        for name in ("lossy_training", "variability"):
            table = tables.read(name, *columns)
            if table is None:
                continue
            test_set, held_out = _test_set(tables, table)
            if test_set is None:
                tables.leave_out(name)
                continue
            verdicts = tables.read("verdicts", "verdict", "reason", "codec", "rule", "factor")
            return cls(test_set, held_out, table, verdicts, tables.path)
        return None

    @property
    def simulations(self) -> tuple[int, ...]:
        """Numbers of the test simulations."""
        return self.test_set.simulations

    def folder(self, model: int) -> Path:
        """Folder with a model's weights."""
        # The name alone: a table may come from anywhere, and weights are loaded from here only.
        return self.path / "models" / Path(str(self.table["folder"].values[model])).name

    @functools.cached_property
    def judged(self) -> dict[str, int]:
        """Panel -> place of the first seed of each version, whether its weights are here or not."""
        chosen: dict[str, int] = {}
        for i, kind in enumerate(self.table["kind"].values):
            if kind == "raw":
                chosen.setdefault(RAW, i)
            elif kind == "lossy":
                chosen.setdefault(_label(self.table.isel(model=i)), i)
        return chosen

    @functools.cached_property
    def models(self) -> dict[str, int]:
        """Panel -> place of the model that it shows: those of `judged` with weights."""
        return {n: i for n, i in self.judged.items() if self.has_weights(i)}

    def has_weights(self, model: int) -> bool:
        """Whether a model can be asked."""
        return (self.folder(model) / "config.json").exists()

    def surrogate(self, model: int) -> Surrogate:
        """A model, loaded once; ValueError if its network would have to be imported, untrusted."""
        from surrlab.training.surrogate import load  # torch takes two seconds

        key = ("model", model)
        return cached(self._samples.cache, key, lambda: load(self.folder(model), trust=self.trust))

    def predict(self, model: int, simulation: int, step: int) -> np.ndarray:
        """What a model predicts of a sample, ``(fields, ny, nx)``."""
        from surrlab.training.surrogate import predict

        surrogate = self.surrogate(model)
        inputs = self.test_set.inputs[np.array(self.test_set.of(simulation))]
        if 4 * math.prod(self.test_set.sample_shape) * len(inputs) > _WHOLE:
            return cached(
                self._samples.cache,
                ("prediction", model, simulation, step),
                lambda: predict(surrogate, inputs[step]),
            )
        whole = ("prediction", model, simulation)
        return cached(self._samples.cache, whole, lambda: predict(surrogate, inputs))[step]

    def curves(self, simulation: int) -> Curves | None:
        """The benchmark's curve in time; None where the benchmark names none."""
        table, name = self.table, self.table.attrs.get("curve")
        if not name or name not in table:
            return None
        here = table["simulation"].values == simulation
        values = table[name].transpose("model", "sample").values[:, here]
        truth = table[f"truth_{name}"]
        raw = values[self.raw]
        return Curves(
            label=table[name].attrs.get("long_name", name),
            unit=table[name].attrs.get("units", ""),
            time_unit=self.test_set.time_unit,
            times=table["time"].values[here],
            truth=truth.values[here],
            mean=raw.mean(axis=0),
            two_sigma=2 * raw.std(axis=0, ddof=1) if len(raw) > 1 else np.zeros(raw.shape[1]),
            n_raw=len(raw),
            versions={panel: values[i] for panel, i in self.models.items() if panel != RAW},
        )

    def view(self, simulation: int, step: int, name: str) -> ModelView:
        """A field of a test sample as simulated, and as one model of each version predicts it."""
        samples, place = self._samples, self.test_set.index(name)
        limits = samples.limits(simulation, name)
        panels = {TRUTH: samples.read(simulation, step)[place]}
        for panel, model in self.models.items():
            panels[panel] = blank(self.predict(model, simulation, step), self.test_set.valid)[place]
        return ModelView(
            title=samples.title(simulation, step),
            field=self.test_set.fields[place],
            panels=panels,
            grid=self.test_set.grid,
            limits=limits,
            color_limit=samples.color_limit(self.errors[simulation][:, place], limits),
            time=self.test_set.run(simulation).times[step],
            curves=self.curves(simulation),
            verdicts=self.verdicts,
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


def _test_set(tables: ResultTables, table: xr.Dataset) -> tuple[Ensemble | None, bool]:
    """The test samples of a table, and whether they are simulations of the study's ensemble."""
    simulations, digest = set(table["simulation"].values.tolist()), table.attrs.get("test_digest")
    if simulations <= set(tables.truth.simulations):
        one = tables.truth.select(s for s in tables.truth.simulations if s in simulations)
        if one.digest == digest:
            return one, True
    path = tables.path / "test_ensemble"
    try:
        own = open_ensemble(path)
    except (OSError, ValueError):
        return None, False
    return (own, False) if own.digest == digest else (None, False)


def _label(row: xr.Dataset) -> str:
    """Label of the version of one row of a table."""
    codec, rule, factor, ratio = (row[n].item() for n in ("codec", "rule", "factor", "ratio"))
    return Version(str(codec), str(rule), float(factor)).label(float(ratio))
