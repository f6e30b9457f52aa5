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
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from surrlab import compression, simulation
from surrlab.data import native
from surrlab.data.fields import Grid
from surrlab.data.native import MANIFEST, Ensemble
from surrlab.explorer.comparison import TRUTH, Compared, Tables
from surrlab.explorer.settings import Cache, Ladder, Shown, Total, exponents
from surrlab.simulation.scenario import LABELS

NO_MODELS = "There are no judged models of this ensemble here: run `make study` to have some."


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
        self.truth, self.stored = truth, tuple(stored)
        self.notes = list(notes)
        self.fields, self.units, self.grid = truth.fields, truth.units, truth.grid
        self.simulations, self.times = truth.simulations, truth.times
        self.time_unit = truth.input_units[-1]
        self.cache, self._limits = Cache(), {}
        tables = Tables(results)
        self.judged = tables.judged(truth)
        digests = {one.ensemble.digest for one in self.stored}
        found = tables.read("tolerance_search", lambda key, _: json.loads(key)[0] in digests)
        self._statistics = tables.read("fields", lambda key, _: truth.digest in key)
        self._errors = {} if self.judged is None else dict(self.judged.errors)
        if found is not None:
            rows = found["model_error"].values
            self._errors |= zip(found["simulation"].values.tolist(), rows, strict=True)
        self.notes += tables.notes
        try:
            self.scenario = simulation.scenario_of(truth)
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
                low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
        if not math.isfinite(high - low):
            raise ValueError(
                f"field {name} of simulation {simulation} in {self.truth.file(simulation)} holds "
                "NaN or infinite values; it cannot be compressed or shown"
            )
        return float(low), float(high)

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
            lambda: Ladder(self.field(simulation, time, name), self.exponents(simulation, name)),
        )

    def exponents(self, simulation: int, name: str) -> range:
        """The k of a field's ladder: the range decides, and what is stored must be on it."""
        found, place = exponents(*self.limits(simulation, name)), self.fields.index(name)
        coarsest = max(
            (
                float(self._tolerances(one, simulation)[:, place].max())
                for one in self.stored
                if simulation in one.ensemble.simulations
            ),
            default=0.0,
        )
        # A poor model bears any error: rungs on which everything is lost all look the same.
        up = min(max(math.frexp(coarsest)[1] - 1 - found[-1], 0), 6) if coarsest else 0
        return range(found[0] + up, found[-1] + up + 1)

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
    def held_out(self) -> tuple[int, ...]:
        """Simulations that the models were judged on; none without models."""
        return () if self.judged is None else self.judged.simulations

    def compare(self, simulation: int, time: int, name: str) -> Compared:
        """A field of a sample as simulated, as a raw model and as a model of each level see it."""
        if self.judged is None:
            raise ValueError(NO_MODELS)
        place = self.fields.index(name)
        panels = {TRUTH: self.field(simulation, time, name)}
        for panel, label in self.judged.models.items():
            panels[panel] = self.judged.predict(label, simulation, time)[place]
        return Compared(
            title=self.title(simulation, time),
            label=LABELS.get(name, name),
            unit=self.units[name],
            panels=panels,
            grid=self.grid,
            limits=self.limits(simulation, name),
            reach=self.reach(simulation, name),
            time=float(self.times[time]),
            curves=self.judged.curves(simulation),
            verdicts=self.judged.verdicts,
        )


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
        self.stored, self.notes, self.judged = (), [], None
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
    versions = [Stored(p.name, _level(p.name), native.open(p)) for p in folders]
    versions.sort(key=lambda one: (one.level is None, one.level))
    if not (source / MANIFEST).exists():
        notes.append(
            f"{source} is not there: what is called truth is {versions[0].name}, the least "
            "compressed version. Name the raw one with explore(…, ensemble=FOLDER)."
        )
        return Gallery(versions[0].ensemble, results=path, notes=notes)
    truth = native.open(source)
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
    if gallery.judged is None:
        gallery.notes.append(NO_MODELS)
    elif not gallery.judged.models:
        gallery.notes.append(f"{path} has no weights: curves and verdicts stand without pictures.")
    return gallery


def _open_ensemble(path: Path, ensemble) -> Gallery:
    shown = native.open(path)
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
        truth = native.open(source)
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
