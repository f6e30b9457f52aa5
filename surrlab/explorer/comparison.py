"""Models of a study, as one looks at them: what they predict, their curves, their verdicts.

Everything comes from the tables and weights in a results folder. A table says in its key which data
it was made from; one of other data is left out.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from surrlab.data.fields import Grid
from surrlab.data.native import Ensemble
from surrlab.explorer.settings import Cache
from surrlab.figures.style import level_label

RAW, TRUTH = "raw model", "truth"
_WHOLE = 4 << 20  # bytes up to which all times of a simulation are predicted at once


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


class Tables:
    """The tables of a results folder that belong to an ensemble.

    Parameters
    ----------
    path : Path or None
        The folder; without one there are no tables.
    """

    def __init__(self, path: Path | None):
        self.path, self.notes = path, []

    def read(self, name: str, fits: Callable[[str, xr.Dataset], bool]) -> xr.Dataset | None:
        """A table if there is one and `fits` accepts its key; a note says that one did not fit."""
        path = self.path / f"{name}.nc" if self.path else None
        if path is None or not path.exists():
            return None
        table = xr.load_dataset(path, engine="h5netcdf")
        if fits(table.attrs.get("key", "null"), table):
            return table
        self.notes.append(
            f"{path} was made from another ensemble, or by another version: left out."
        )
        return None

    def judged(self, truth: Ensemble) -> Judged | None:
        """The models of the study, raw and lossy or raw alone, if they were judged on `truth`."""

        def ours(key: str, table: xr.Dataset) -> bool:
            simulations = table["simulation"].values.tolist()
            if "folder" not in table.coords or not set(simulations) <= set(truth.simulations):
                return False
            return truth.select(simulations).digest in key  # as the name of each evaluation

        for name in ("lossy_training", "variability"):
            table = self.read(name, ours)
            if table is not None:
                made_of = table.attrs["key"]
                verdicts = self.read(
                    "verdicts", lambda key, _, of=made_of: json.loads(key)[0] == of
                )
                return Judged(truth, table, verdicts, self.path)
        return None


class Judged:
    """Models, judged on the held-out simulations of an ensemble.

    Parameters
    ----------
    truth : Ensemble
        The raw ensemble.
    table, verdicts : Dataset
        Of `studies.lossy_training` or `studies.variability_study`; of `studies.verdicts`, if any.
    path : Path
        The results folder.
    """

    def __init__(self, truth: Ensemble, table: xr.Dataset, verdicts, path: Path):
        self.truth, self.table, self.path, self._verdicts = truth, table, path, verdicts
        folders = [path / "models" / str(folder) for folder in table["folder"].values]
        self.folders = dict(zip(map(str, table["model"].values), folders, strict=True))
        self.cache = Cache()

    @property
    def simulations(self) -> tuple[int, ...]:
        """The held-out simulations."""
        return tuple(self.table["simulation"].values.tolist())

    @property
    def errors(self) -> dict[int, np.ndarray]:
        """Mean absolute error ``(T, fields)`` of the raw models on each simulation."""
        raw = self.table["l1"].values[(self.table["kind"] == "raw").values].mean(axis=0)
        return dict(zip(self.simulations, raw, strict=True))

    @functools.cached_property
    def models(self) -> dict[str, str]:
        """Panel -> label of the model that it shows: the first seed of each level."""
        chosen = {}
        rows = zip(
            *(self.table[c].values for c in ("model", "kind", "level", "ratio")), strict=True
        )
        for label, kind, level, ratio in rows:
            if kind == "raw":
                chosen.setdefault(RAW, str(label))
            elif kind == "lossy":
                chosen.setdefault(level_label(float(level), float(ratio)), str(label))
        return {
            name: chosen[name]
            for name in chosen
            if (self.folders[chosen[name]] / "config.json").exists()
        }

    def predict(self, label: str, simulation: int, time: int) -> np.ndarray:
        """What a model makes of a sample, ``(fields, ny, nx)``."""
        from surrlab import training

        surrogate = self.cache.get(
            ("model", label), lambda: training.load(self.folders[label]), lambda _: 1 << 20
        )
        inputs = self.truth.select([simulation]).inputs[0]
        if 4 * math.prod(self.truth.shape[1:]) > _WHOLE:
            return self.cache.get(
                ("prediction", label, simulation, time),
                lambda: training.predict(surrogate, inputs[time]),
            )
        whole = ("prediction", label, simulation)
        return self.cache.get(whole, lambda: training.predict(surrogate, inputs))[time]

    def curves(self, simulation: int) -> Curves | None:
        """The scenario's curve in time; None for a simulation that no model was judged on."""
        if simulation not in self.simulations:
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
            time_unit=self.truth.input_units[-1],
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
        table = self._verdicts
        if table is None:
            return []
        path, reasons = self.path / "summary.json", {}
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
            name = level_label(float(level), float(ratios[levels == level][0]))
            reason = reasons.get((float(level), state), reason)
            found.append({"name": name, "state": state, "reason": reason})
        return found
