"""A layout as a user adds one: a folder with one ``.npz`` a simulation."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrlab.data import Ensemble, Field, Grid, Run, register_layout


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NpzEnsemble(Ensemble):
    """A file per simulation: ``time`` (T,), ``parameters`` (p,) and each field (T, y, x)."""

    def read(self, sample):
        run, step = self.where(sample)
        with np.load(f"{self.name}/{run.simulation}.npz") as file:
            return np.stack([file[name][step] for name in self.field_names])

    def contents(self, run):
        return hashlib.sha256(Path(f"{self.name}/{run.simulation}.npz").read_bytes()).hexdigest()


def open_npz(path, card):
    """The ensemble in a folder; the card gives units."""
    runs, units = [], card.get("units", {})
    for file in sorted(path.glob("*.npz")):
        with np.load(file) as arrays:
            one = dict(arrays)
        runs.append(Run(int(file.stem), tuple(one.pop("parameters")), tuple(one.pop("time"))))
    fields = tuple(Field(name, units.get(name, "1")) for name in one)
    ny, nx = one[fields[0].name].shape[1:]
    names = (*(f"p{i}" for i in range(len(runs[0].parameters))), "time")
    inputs = {"input_names": names, "input_units": ("1",) * len(names), "runs": tuple(runs)}
    grid = Grid.uniform({"y": (ny, 0, 1), "x": (nx, 0, 1)})
    return NpzEnsemble(name=str(path), fields=fields, grid=grid, metadata={}, **inputs)


register_layout("npz_runs", open_npz, lambda path: any(path.glob("*.npz")))
