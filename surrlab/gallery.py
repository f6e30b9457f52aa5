"""What a folder holds to look at: fields at every setting, models, their verdicts.

`open` takes the results of a study or an ensemble, raw or compressed, and never stops at what is
missing: `Gallery.notes` says it in sentences and the rest works. `OneField` is the same for an
array. Nothing here draws.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from surrlab import compression, ensembles
from surrlab.ensembles import Ensemble
from surrlab.fields import LABELS, Grid
from surrlab.ladder import Cache, Ladder, Shown, Total, exponents
from surrlab.storage import MANIFEST

RAW, TRUTH = "raw model", "truth"


@dataclass(frozen=True, eq=False)
class Stored:
    """A compressed version of the ensemble, or of some of its simulations.

    Parameters
    ----------
    name : str
        Its folder.
    level : float or None
        Factor on Algorithm 1's tolerances; None where the folder does not say.
    ensemble : Ensemble
        It.
    """

    name: str
    level: float | None
    ensemble: Ensemble

    @functools.cached_property
    def ratios(self) -> compression.Ratios:
        """Payload and file ratio of the whole."""
        return compression.ratios(self.ensemble)

    def tolerances(self, simulation: int) -> np.ndarray:
        """Tolerances ``(T, fields)`` of a simulation that this version holds."""
        return compression.table(self.ensemble.select([simulation]))["tolerance"].values[0]


@dataclass(frozen=True, eq=False)
class Compared:
    """One field of one sample as the simulation has it and as models see it.

    Parameters
    ----------
    title, label, unit : str
        Which sample; what people call the field; its unit.
    panels : dict
        Name -> array (ny, nx): the truth first, then the raw model, then a model a level.
    grid : Grid
        Where the field lives.
    limits, reach : tuple of float, float
        Colour limits of the fields (the truth's), and of the differences from −reach to reach.
    time : float
        Of the sample.
    curves : Curves or None
        The scenario's curve of this simulation in time.
    verdicts : list of dict
        ``name``, ``state`` and ``reason`` a level.
    """

    title: str
    label: str
    unit: str
    panels: dict[str, np.ndarray]
    grid: Grid
    limits: tuple[float, float]
    reach: float
    time: float
    curves: Curves | None
    verdicts: list[dict]


@dataclass(frozen=True, eq=False)
class Curves:
    """A quantity in time: the truth, mean and 2σ of the raw models, a lossy model a level.

    Parameters
    ----------
    label, unit, time_unit : str
        What people read.
    times, truth, mean, reach : array (T,)
        `reach` is 2σ over the raw models; zero where there is only one.
    n_raw : int
        Raw models behind mean and reach.
    levels : dict
        Name -> array (T,): the first seed of each level.
    """

    label: str
    unit: str
    time_unit: str
    times: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    reach: np.ndarray
    n_raw: int
    levels: dict[str, np.ndarray]


class Gallery:
    """An ensemble to look at, with what is known of it.

    Parameters
    ----------
    truth : Ensemble
        What is shown as true: raw, or the only stored version there is.
    stored : tuple of Stored
        Its compressed versions, from the least compressed.
    results : Path, optional
        The results folder with tables and models.
    notes : list of str
        What is missing, in sentences.
    """

    def __init__(self, truth: Ensemble, stored=(), results: Path | None = None, notes=()):
        self.truth, self.stored, self.results = truth, tuple(stored), results
        self.notes = list(notes)
        self.fields, self.units, self.grid = truth.fields, truth.units, truth.grid
        self.simulations, self.times = truth.simulations, truth.times
        self.time_unit = truth.input_units[-1]
        self.cache, self._limits = Cache(), {}
        self.table, self.folders = self._tables()
        self._errors = self._model_errors()
        self._statistics = self._table("fields", lambda key: truth.digest in key)
        try:
            self.scenario = ensembles.scenario_of(truth)
        except (KeyError, ValueError):
            self.scenario = None
            self.notes.append(
                f"This version of surrlab has no benchmark {truth.scenario!r} like the one that "
                "made this ensemble: totals such as the mass are not shown."
            )

    def __repr__(self):
        return f"<Gallery of {self.truth!r}>"

    @property
    def heading(self) -> str:
        """What is shown, in a line."""
        n, t, _, ny, nx = self.truth.shape
        return f"{n} simulations of {self.truth.scenario}, {t} times, {ny} × {nx} cells"

    # ------------------------------------------------------------------------------------ fields

    def sample(self, simulation: int, time: int) -> np.ndarray:
        """True fields of a sample, ``(fields, ny, nx)``."""
        key = ("sample", simulation, time)
        return self.cache.get(key, lambda: self.truth.read(simulation, time))

    def field(self, simulation: int, time: int, name: str) -> np.ndarray:
        """One true field, ``(ny, nx)``."""
        return self.sample(simulation, time)[self.fields.index(name)]

    def limits(self, simulation: int, name: str) -> tuple[float, float]:
        """Least and largest value of a true field over all times of a simulation."""
        if (simulation, name) not in self._limits:
            self._limits[simulation, name] = self._read_limits(simulation, name)
        return self._limits[simulation, name]

    def _read_limits(self, simulation: int, name: str) -> tuple[float, float]:
        low, high = math.inf, -math.inf
        with h5py.File(self.truth.file(simulation), "r") as file:
            for time in range(len(self.times)):
                values = file[name][time]
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        if not math.isfinite(high - low):
            raise ValueError(
                f"field {name} of simulation {simulation} in {self.truth.file(simulation)} holds "
                "NaN or infinite values; it cannot be compressed or shown"
            )
        return low, high

    @property
    def has_model_errors(self) -> bool:
        """Whether anything is known of what models get wrong."""
        return bool(self._errors)

    def model_error(self, simulation: int, time: int, name: str) -> float | None:
        """Mean absolute error of the raw models on a field of a sample; None if unknown."""
        errors = self._errors.get(simulation)
        return None if errors is None else float(errors[time, self.fields.index(name)])

    def reach(self, simulation: int, name: str) -> float:
        """Where the colours of a difference end: 4 times the model error of a typical sample.

        Without a model 2 % of the field's range.
        """
        errors, (low, high) = self._errors.get(simulation), self.limits(simulation, name)
        typical = 0.0 if errors is None else np.median(errors[:, self.fields.index(name)])
        return float(4 * typical or 0.02 * (high - low) or 0.02 * abs(high) or 1.0)

    def peak(self, simulation: int, name: str) -> float:
        """Range of the true field, over the ensemble if that is known, or over the simulation."""
        if self._statistics is not None:
            one = self._statistics.sel(field=name)
            return float(one["high"] - one["low"])
        low, high = self.limits(simulation, name)
        return high - low

    def ladder(self, simulation: int, time: int, name: str) -> Ladder:
        """A field on every rung."""
        return self.cache.get(
            ("ladder", simulation, time, name),
            lambda: Ladder(
                self.field(simulation, time, name), exponents(*self.limits(simulation, name))
            ),
        )

    def marks(self, simulation: int, time: int, name: str) -> dict[float, float]:
        """Level of each stored version of a field -> its tolerance.

        Level 1 is Algorithm 1's own choice. Where it is not stored but a model error is known, the
        algorithm runs here.
        """
        place = self.fields.index(name)
        found = {
            one.level: float(self._tolerances(one, simulation)[time, place])
            for one in self.stored
            if one.level is not None and simulation in one.ensemble.simulations
        }
        error = self.model_error(simulation, time, name)
        if 1.0 not in found and error is not None:
            ladder = self.ladder(simulation, time, name)
            found[1.0] = self.cache.get(
                ("algorithm 1", simulation, time, name),
                lambda: ladder.algorithm_1(error),
                nbytes=lambda _: 100,
            )
        return found

    def _tolerances(self, version: Stored, simulation: int) -> np.ndarray:
        key = ("tolerances", version.name, simulation)
        return self.cache.get(key, lambda: version.tolerances(simulation))

    def is_stored(self, simulation: int) -> bool:
        """Whether a compressed version holds this simulation."""
        return any(simulation in one.ensemble.simulations for one in self.stored)

    def show(self, simulation: int, time: int, name: str, rung: int) -> Shown:
        """A field at a rung of its ladder, and all that is said of it."""
        ladder = self.ladder(simulation, time, name)
        decoded = self.cache.get(
            ("decoded", simulation, time, name, rung), lambda: ladder.decode(rung)
        )
        return Shown(
            title=self.title(simulation, time),
            name=name,
            label=LABELS.get(name, name),
            unit=self.units[name],
            truth=ladder.values,
            decoded=decoded,
            grid=self.grid,
            limits=self.limits(simulation, name),
            reach=self.reach(simulation, name),
            peak=self.peak(simulation, name),
            tolerance=ladder.tolerance(rung),
            ratio=float(ladder.ratios[rung]),
            nbytes=len(ladder.streams[rung]),
            model_error=self.model_error(simulation, time, name),
            totals=self._totals(simulation, time, name, decoded),
        )

    def title(self, simulation: int, time: int) -> str:
        """Which sample it is."""
        return f"simulation {simulation} at {self.times[time]:g} {self.time_unit}"

    def _totals(self, simulation, time, name, decoded) -> tuple[Total, ...]:
        if self.scenario is None:
            return ()
        sample = self.sample(simulation, time)
        parameters = self.truth.select([simulation]).parameters[0]
        before, after = (
            self.scenario.measure(fields[None], parameters, self.grid)
            for fields in (sample, _with(sample, self.fields.index(name), decoded))
        )
        return tuple(
            Total(one.label, one.unit, float(before[key][0]), float(after[key][0]))
            for key, one in self.scenario.quantities.items()
        )

    # ------------------------------------------------------------------------------------ models

    @property
    def judged(self) -> tuple[int, ...]:
        """Simulations that the models were judged on; none without models."""
        return () if self.table is None else tuple(self.table["simulation"].values.tolist())

    @functools.cached_property
    def models(self) -> dict[str, str]:
        """Panel of page two -> label of the model it shows: the first seed of each level."""
        if self.table is None:
            return {}
        chosen = {}
        rows = zip(
            *(self.table[c].values for c in ("model", "kind", "level", "ratio")), strict=True
        )
        for label, kind, level, ratio in rows:
            if kind == "raw":
                chosen.setdefault(RAW, str(label))
            elif kind == "lossy":
                chosen.setdefault(self._level_name(float(level), float(ratio)), str(label))
        return {name: chosen[name] for name in chosen if self.folders[chosen[name]].exists()}

    @staticmethod
    def _level_name(level: float, ratio: float) -> str:
        from surrlab.figures import level_label

        return level_label(level, ratio)

    def predict(self, label: str, simulation: int, time: int) -> np.ndarray:
        """What a model makes of a sample, ``(fields, ny, nx)``."""
        from surrlab import training  # torch takes two seconds: only who looks at models waits

        surrogate = self.cache.get(
            ("model", label), lambda: training.load(self.folders[label]), lambda _: 1 << 20
        )
        inputs = self.truth.select([simulation]).inputs[0]
        if 4 * math.prod(self.truth.shape[1:]) > 4 << 20:
            return self.cache.get(
                ("prediction", label, simulation, time),
                lambda: training.predict(surrogate, inputs[time]),
            )
        whole = ("prediction", label, simulation)
        return self.cache.get(whole, lambda: training.predict(surrogate, inputs))[time]

    def compare(self, simulation: int, time: int, name: str) -> Compared:
        """A field of a sample as simulated, as a raw model and as a model of each level see it."""
        place = self.fields.index(name)
        panels = {TRUTH: self.field(simulation, time, name)}
        for panel, label in self.models.items():
            panels[panel] = self.predict(label, simulation, time)[place]
        return Compared(
            title=self.title(simulation, time),
            label=LABELS.get(name, name),
            unit=self.units[name],
            panels=panels,
            grid=self.grid,
            limits=self.limits(simulation, name),
            reach=self.reach(simulation, name),
            time=float(self.times[time]),
            curves=self.curves(simulation),
            verdicts=self.verdicts,
        )

    def curves(self, simulation: int) -> Curves | None:
        """The scenario's curve in time; None for a simulation that no model was judged on."""
        if simulation not in self.judged:
            return None
        table = self.table
        name = table.attrs.get("curve") or next(
            v.removesuffix("_correlation") for v in map(str, table) if v.endswith("_correlation")
        )
        one = table.sel(simulation=simulation)
        raw = one[name].values[(table["kind"] == "raw").values]
        labels = table["model"].values.tolist()
        return Curves(
            label=one[name].attrs.get("long_name", name),
            unit=one[name].attrs.get("units", ""),
            time_unit=self.time_unit,
            times=one["time"].values,
            truth=one[f"truth_{name}"].values,
            mean=raw.mean(axis=0),
            reach=2 * raw.std(axis=0, ddof=1) if len(raw) > 1 else np.zeros(raw.shape[1]),
            n_raw=len(raw),
            levels={
                panel: one[name].values[labels.index(label)]
                for panel, label in self.models.items()
                if panel != RAW
            },
        )

    @functools.cached_property
    def verdicts(self) -> list[dict]:
        """Verdict on each level, from ``verdicts.nc``; the reasons are those of the summary."""
        table = self._table("verdicts", lambda key: json.loads(key)[0] == self.table.attrs["key"])
        if table is None or self.table is None:
            return []
        path, reasons = self.results / "summary.json", {}
        if path.exists():
            rows = json.loads(path.read_text()).get("lossy_training", {}).get("verdicts", [])
            reasons = {(row["level"], row["state"]): row["reason"] for row in rows}
        levels, ratios = self.table["level"].values, self.table["ratio"].values
        found = []
        for level in table["level"].values:
            states = table["state"].sel(level=level).values.tolist()
            state = "inconclusive"
            if "harmful" in states:
                state = "harmful"
            elif set(states) == {"benign"}:
                state = "benign"
            reason = f"{states.count(state)} of {len(states)} metrics say so"
            name = self._level_name(float(level), float(ratios[levels == level][0]))
            reason = reasons.get((float(level), state), reason)
            found.append({"name": name, "state": state, "reason": reason})
        return found

    # ------------------------------------------------------------------------------------ tables

    def _table(self, name: str, fits: Callable[[str], bool]) -> xr.Dataset | None:
        """A table of the study; None if there is none, or its key says that it is of other data."""
        path = self.results / f"{name}.nc" if self.results else None
        if path is None or not path.exists():
            return None
        table = xr.load_dataset(path, engine="h5netcdf")
        if not fits(table.attrs.get("key", "null")):
            self.notes.append(f"{path} was made from other data: it is left out.")
            return None
        return table

    def _tables(self):
        """The table of all models, or of the raw ones, and the folder of each model."""
        if self.results is None:
            return None, {}
        for name in ("lossy_training", "variability"):
            if not (self.results / f"{name}.nc").exists():
                continue
            # Models are judged on one side of a split: a table names it by its digest.
            table = self._table(name, self._of_this_ensemble(name))
            if table is not None:
                rows = json.loads(table.attrs["key"])
                folders = [self.results / "models" / folder for folder, _ in rows]
                labels = map(str, table["model"].values)
                return table, dict(zip(labels, folders, strict=True))
        return None, {}

    def _of_this_ensemble(self, name: str) -> Callable[[str], bool]:
        def fits(key: str) -> bool:
            path = self.results / f"{name}.nc"
            with xr.open_dataset(path, engine="h5netcdf") as table:
                simulations = table["simulation"].values.tolist()
            if not set(simulations) <= set(self.truth.simulations):
                return False
            return self.truth.select(simulations).digest in key

        return fits

    def _model_errors(self) -> dict[int, np.ndarray]:
        """Simulation -> mean absolute error ``(T, fields)`` of the raw models."""
        errors = {}
        digests = {one.ensemble.digest for one in self.stored}
        found = self._table("tolerance_search", lambda key: json.loads(key) in digests)
        if found is not None:
            errors |= zip(
                found["simulation"].values.tolist(), found["model_error"].values, strict=True
            )
        if self.table is not None:
            raw = self.table["l1"].values[(self.table["kind"] == "raw").values].mean(axis=0)
            errors |= zip(self.judged, raw, strict=True)
        return errors


class OneField(Gallery):
    """A gallery of one array.

    Parameters
    ----------
    values : array (ny, nx)
        Row 0 is drawn at the bottom. Integers become float32.
    name, unit : str
        What people read.
    model_error : float, optional
        Mean absolute error of a model on it, in its unit: then Algorithm 1's choice is marked.

    Raises
    ------
    TypeError, ValueError
        Not two-dimensional, not numbers, or not finite.
    """

    def __init__(self, values, name: str = "field", unit: str = "", model_error=None):
        values = np.asarray(values)
        if values.ndim != 2 or not values.size:
            raise ValueError(f"a field is an array (ny, nx) with values, not of {values.shape}")
        if values.dtype.kind not in "fiub":
            raise TypeError(f"a field holds real numbers, not {values.dtype}")
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            n = np.count_nonzero(~np.isfinite(values))
            raise ValueError(f"{n} of {values.size} values are NaN or infinite: zfp keeps none")
        if model_error is not None and not 0 < model_error < math.inf:
            raise ValueError(f"a model error is a positive number, not {model_error}")
        ny, nx = values.shape
        self.values, self.error = np.ascontiguousarray(values), model_error
        self.grid = Grid(ny, nx, (0.0, float(nx)), (0.0, float(ny)))
        self.fields, self.units = (name,), {name: unit}
        self.simulations, self.times, self.time_unit = (0,), np.zeros(1), ""
        self.stored, self.notes, self.results, self.table = (), [], None, None
        self.cache, self.scenario, self._statistics = Cache(), None, None
        error = [] if model_error is None else [(0, np.full((1, 1), model_error))]
        self._errors = dict(error)

    @property
    def heading(self) -> str:
        """What is shown, in a line."""
        return f"an array of {self.grid.ny} × {self.grid.nx} values, {self.values.dtype}"

    def sample(self, simulation: int, time: int) -> np.ndarray:
        """The array, as a sample of one field."""
        return self.values[None]

    def limits(self, simulation: int, name: str) -> tuple[float, float]:
        """Least and largest value."""
        return float(self.values.min()), float(self.values.max())

    def title(self, simulation: int, time: int) -> str:
        """Which array."""
        return self.fields[0]


def open(path: str | os.PathLike, ensemble: str | os.PathLike | None = None) -> Gallery:
    """What there is to look at in a folder.

    Parameters
    ----------
    path : path
        An ensemble's folder, raw or compressed, or the results of a study.
    ensemble : path, optional
        The raw ensemble, where the results do not hold it or the compressed one lies elsewhere.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or nothing to look at in it.
    ValueError, OSError
        The ensemble cannot be read.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {path} (seen from {Path.cwd()}).")
    if (path / MANIFEST).exists():
        return _open_ensemble(path, ensemble)
    source = Path(ensemble).expanduser() if ensemble else path / "ensemble"
    folders = sorted(p.parent for p in path.glob(f"compressed/*/{MANIFEST}"))
    if not (source / MANIFEST).exists() and not folders:
        raise FileNotFoundError(
            f"There is nothing to look at in {path}: it is neither an ensemble (it has no "
            f"{MANIFEST}) nor the results of a study (it has no ensemble/ and no compressed/)."
        )
    notes = []
    versions = [Stored(p.name, _level(p.name), ensembles.open(p)) for p in folders]
    versions.sort(key=lambda one: (one.level is None, one.level))
    if not (source / MANIFEST).exists():
        notes.append(
            f"{source} is not there: what is called truth is {versions[0].name}, the least "
            "compressed version. Name the raw one with explore(…, ensemble=FOLDER)."
        )
        return Gallery(versions[0].ensemble, results=path, notes=notes)
    truth = ensembles.open(source)
    return _gathered(truth, versions, path, notes)


def _gathered(truth: Ensemble, versions: list[Stored], path: Path, notes: list[str]) -> Gallery:
    """The gallery of a raw ensemble, with a note on whatever does not belong to it."""
    ours = [one for one in versions if _is_of(one.ensemble, truth)]
    if not versions:
        notes.append("No compressed versions are stored here: every setting is computed on demand.")
    elif strangers := [one.name for one in versions if one not in ours]:
        notes.append(
            f"{', '.join(strangers)} in {path / 'compressed'} was made from another ensemble than "
            f"{truth.path}: left out."
        )
    gallery = Gallery(truth, ours, path, notes)
    if gallery.table is None:
        notes = gallery.notes
        notes.append(f"There are no judged models of this ensemble in {path}: run `make study`.")
    return gallery


def _open_ensemble(path: Path, ensemble) -> Gallery:
    shown = ensembles.open(path)
    if "source" not in shown.manifest.get("request", {}):
        return Gallery(
            shown,
            notes=[
                "This is an ensemble alone: settings are computed on demand, and there are no "
                "models to compare (those stand in a results folder)."
            ],
        )
    source = Path(ensemble).expanduser() if ensemble else path.parents[1] / "ensemble"
    if (source / MANIFEST).exists():
        truth = ensembles.open(source)
        if _is_of(shown, truth):
            truth = truth.select(shown.simulations)
            return Gallery(truth, [Stored(path.name, _level(path.name), shown)])
    return Gallery(
        shown,
        notes=[
            "This ensemble is compressed and its source is not here: what is called truth is what "
            "was stored, and every setting compresses it once more."
        ],
    )


def _is_of(compressed: Ensemble, truth: Ensemble) -> bool:
    """Whether `compressed` was made from these simulations of `truth`."""
    try:
        return (
            compressed.manifest["request"]["source"] == truth.select(compressed.simulations).digest
        )
    except KeyError:
        return False


def _level(name: str) -> float | None:
    """Level in the name of a study's compressed folder, as ``x0.125-b833bc67``."""
    number, dash, _ = name.removeprefix("x").partition("-")
    try:
        return float(number) if dash and name.startswith("x") else None
    except ValueError:
        return None


def _with(sample: np.ndarray, place: int, values: np.ndarray) -> np.ndarray:
    sample = sample.copy()
    sample[place] = values
    return sample
