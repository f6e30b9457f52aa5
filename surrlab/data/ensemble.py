"""What an ensemble is, in any layout: simulations on one grid, seen as samples.

The unit of everything is the sample, one recorded instant of one simulation. A view (`select`,
`split`) is an ensemble of its own, whose samples count from 0. Layouts are subclasses: they say how
a sample is read and, where they can, where its stored chunks lie.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from surrlab import _files
from surrlab.data._masks import valid_cells
from surrlab.data.fields import Axis, Field, Grid, Run, Samples, StoredChunk

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ensemble(ABC):
    """Simulations on one grid; nothing is held in memory.

    Parameters
    ----------
    name : str
        What messages call it: its path, mostly.
    fields : tuple of Field
        In the order of a sample's first axis.
    grid : Grid
        Shared by all samples.
    inputs : tuple of (str, str)
        Name and unit of each number that a network is given: the parameters, then time.
    runs : tuple of Run
        The simulations of this view.
    dtype : str
        ``"float32"`` or ``"float64"``, what `read` returns.
    metadata : dict
        What else is known, as JSON: ``benchmark`` (name, constants, quantities …), ``request``.
    """

    name: str
    fields: tuple[Field, ...]
    grid: Grid
    input_names: tuple[str, ...]
    input_units: tuple[str, ...]
    runs: tuple[Run, ...]
    dtype: str = "float32"
    metadata: dict[str, Any]

    by_simulation: ClassVar[tuple[str, ...]] = ()
    """Names of a layout's attributes that are dictionaries of simulations: `select` cuts them."""

    # ------------------------------------------------------------------ what a layout has to say

    @abstractmethod
    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, *grid.shape)``, as float32 or float64; masks are NaN.

        Raises
        ------
        IndexError, KeyError
            If there is no such sample, or its file lacks a field.
        OSError
            If it cannot be read, or fails its checksum.
        """

    @abstractmethod
    def contents(self, run: Run) -> str:
        """Return a hash of the stored fields of one simulation, whatever its path."""

    def read_simulation(self, simulation: int) -> np.ndarray:
        """Return all samples of a simulation in time, ``(T, n_fields, *grid.shape)``."""
        return np.stack([self.read(sample) for sample in self.of(simulation)])

    @property
    def files(self) -> tuple[Path, ...]:
        """Files whose stored chunks can be read in place; none if only a library can."""
        return ()

    def chunks(self, file: Path) -> Iterator[StoredChunk]:
        """Yield address and encoding of every field of this view that lies in one of `files`.

        Raises
        ------
        ValueError
            If only HDF5 itself can read the file's chunks, with the reason.
        """
        raise ValueError(f"{self.name}: samples are read through a library, not in place")

    @property
    def file_nbytes(self) -> int | None:
        """Bytes of the files of these simulations on disk; None where that is not known."""
        return None

    @property
    def fills(self) -> tuple[tuple[float, ...], ...] | None:
        """Numbers that stand for no value in each stored field; None if masks hold anything."""
        return None

    @property
    def failed(self) -> dict[int, str]:
        """Simulations without samples, and why they failed."""
        return {}

    # ---------------------------------------------------------------------------- what follows

    def __repr__(self) -> str:
        failed = f" ({len(self.failed)} more failed)" if self.failed else ""
        shape = " x ".join(map(str, self.grid.shape))
        return (
            f"<{type(self).__name__} {self.name}: {len(self.runs)} simulations of "
            f"{self.benchmark}{failed}, {len(self.samples)} samples, {len(self.fields)} fields "
            f"on {shape}>"
        )

    @property
    def benchmark(self) -> str:
        """Name of what was simulated."""
        return self.metadata.get("benchmark", {}).get("name", "an unnamed benchmark")

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in the order of a sample's first axis."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def valid(self) -> np.ndarray | None:
        """Cells that hold values, ``(n_fields, *grid.shape)``; None if no field has a mask."""
        return valid_cells(self.fields, self.grid.shape)

    @cached_property
    def simulations(self) -> tuple[int, ...]:
        """Numbers of the simulations of this view."""
        return tuple(run.simulation for run in self.runs)

    @property
    def time_unit(self) -> str:
        """Unit of the samples' times."""
        return self.input_units[-1]

    @cached_property
    def parameters(self) -> np.ndarray:
        """Parameters of each simulation, ``(len(simulations), p)`` float64."""
        n = len(self.input_names) - 1
        return np.array([run.parameters for run in self.runs], np.float64).reshape(
            len(self.runs), n
        )

    @cached_property
    def samples(self) -> Samples:
        """The samples, simulation by simulation and in time."""
        counts = [len(run.times) for run in self.runs]
        return Samples(
            np.repeat(np.array(self.simulations, np.int64), counts),
            np.concatenate([np.arange(n, dtype=np.int64) for n in counts] or [np.empty(0, int)]),
            np.array([time for run in self.runs for time in run.times], np.float64),
        )

    @cached_property
    def inputs(self) -> np.ndarray:
        """What the network is given: the parameters and then time, ``(S, n)`` float32."""
        rows = np.repeat(self.parameters, [len(run.times) for run in self.runs], axis=0)
        return np.column_stack([rows, self.samples.time]).astype(np.float32)

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """Simulation -> its place in `runs`, and the position of its first sample."""
        starts = np.cumsum([0, *(len(run.times) for run in self.runs)])
        return {s: (i, int(starts[i])) for i, s in enumerate(self.simulations)}

    def run(self, simulation: int) -> Run:
        """Return one simulation of this view; KeyError if it has none of that number."""
        if simulation not in self._places:
            ends = [f", from {self.simulations[0]} to {s}" for s in self.simulations[-1:]]
            raise KeyError(
                f"{self.name} has no simulation {simulation} here; it has "
                f"{len(self.runs)}{''.join(ends)}"
            )
        return self.runs[self._places[simulation][0]]

    def of(self, simulation: int) -> range:
        """Return the positions of a simulation's samples, in time."""
        n, start = len(self.run(simulation).times), self._places[simulation][1]
        return range(start, start + n)

    def position(self, simulation: int, step: int) -> int:
        """Return the position of the sample at a place of its simulation, counted from 0."""
        positions = self.of(simulation)
        if not 0 <= step < len(positions):
            raise IndexError(
                f"simulation {simulation} of {self.name} has no time step {step}; it has "
                f"{len(positions)}, from 0"
            )
        return positions[step]

    def where(self, sample: int) -> tuple[Run, int]:
        """Return the simulation of a sample, and the sample's place in it."""
        if not 0 <= sample < len(self.samples):
            raise IndexError(f"{self.name} has no sample {sample}; it has {len(self.samples)}")
        run = self.run(int(self.samples.simulation[sample]))
        return run, int(self.samples.step[sample])

    def index(self, field: str) -> int:
        """Return the place of a field on a sample's first axis; KeyError lists the fields."""
        if field not in self.field_names:
            raise KeyError(
                f"{self.name} has no field {field!r}; it has {', '.join(self.field_names)}"
            )
        return self.field_names.index(field)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample, ``(n_fields, *grid.shape)``."""
        return (len(self.fields), *self.grid.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(S, n_fields, *grid.shape)``."""
        return (len(self.samples), *self.sample_shape)

    @property
    def raw_nbytes(self) -> int:
        """Bytes of the fields uncompressed."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))

    @property
    def coords(self) -> dict[str, Any]:
        """Coordinates of a table over (sample, field), for xarray."""
        return {
            "simulation": ("sample", self.samples.simulation),
            "step": ("sample", self.samples.step),
            "time": ("sample", self.samples.time, {"units": self.time_unit}),
            "field": list(self.field_names),
            "unit": ("field", [field.unit for field in self.fields]),
            "label": ("field", [field.label for field in self.fields]),
        }

    @cached_property
    def digest(self) -> str:
        """Identity of what a model sees: names, grid, parameters, times and contents.

        Equal ensembles have equal digests, wherever they lie and whenever they were written.
        """
        identity = [
            [[f.name, f.unit, *filter(None, [f.mask])] for f in self.fields],
            self.grid.config(),
            [self.input_names, self.input_units],
            [[r.simulation, r.parameters, r.times, self.contents(r)] for r in self.runs],
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    @property
    def cache_folder(self) -> Path:
        """Folder for what can be made again; in the user's cache, never beside the ensemble."""
        return _files.cache_folder(self.name)

    def select(self, simulations: Iterable[int]) -> Self:
        """Return the same ensemble, seen through some of its simulations, in the order given.

        Raises
        ------
        KeyError
            If this view lacks one of them.
        ValueError
            If one is named twice.
        """
        chosen = [int(simulation) for simulation in simulations]
        runs = {s: self.run(s) for s in chosen}
        if len(runs) < len(chosen):
            raise ValueError(f"{self.name}: a simulation is selected twice in {chosen}")
        changes: dict[str, Any] = {"runs": tuple(runs.values())}
        for name in self.by_simulation:
            whole = getattr(self, name)
            changes[name] = {s: whole[s] for s in runs}
        return replace(self, **changes)

    def split(self, test_fraction: float, seed: int) -> tuple[Self, Self]:
        """Return training and test side, by whole simulations: no time step leaks across.

        Raises
        ------
        ValueError
            If either side would be empty.
        """
        n_test = held_out(len(self.simulations), test_fraction)
        order = np.random.default_rng(seed).permutation(self.simulations)
        return self.select(sorted(order[n_test:])), self.select(sorted(order[:n_test]))

    def __getstate__(self) -> dict[str, Any]:
        # Without what is cached: views travel to processes.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_xarray(self) -> xr.Dataset:
        """Return a lazy, labelled view: each field over ``(sample, *axes)``, units in ``attrs``."""
        from surrlab.data.labelled import to_xarray  # xarray takes half a second

        return to_xarray(self)


def held_out(n: int, test_fraction: float) -> int:
    """Number of n simulations that are held out; ValueError if either side would be empty."""
    n_test = round(test_fraction * n)
    if not 0 < n_test < n:
        raise ValueError(
            f"a test fraction of {test_fraction} leaves {n_test} of {n} simulations for testing; "
            "both sides need at least one"
        )
    return n_test


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class InMemoryEnsemble(Ensemble):
    """Samples that are arrays already: predictions of a model, or one field to look at.

    Parameters
    ----------
    arrays : dict of int to array
        The samples ``(T, n_fields, *grid.shape)`` of each simulation.
    """

    arrays: dict[int, np.ndarray]

    by_simulation: ClassVar[tuple[str, ...]] = ("arrays",)

    def __post_init__(self):
        for run in self.runs:
            array, shape = self.arrays[run.simulation], (len(run.times), *self.sample_shape)
            if array.shape != shape or array.dtype != np.dtype(self.dtype):
                raise ValueError(
                    f"{self.name}: simulation {run.simulation} is {array.dtype} {array.shape}, "
                    f"not {self.dtype} {shape} (times, fields, {', '.join(self.grid.names)})"
                )

    @classmethod
    def of_field(cls, values: np.ndarray, field: Field, name: str = "an array") -> Self:
        """Return the ensemble whose one sample is one array, on a grid of unit cells.

        Whatever is not float64 becomes float32.

        Raises
        ------
        TypeError, ValueError
            If the values are not real numbers, or do not lie over one to three axes.
        """
        values = np.asarray(values)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"a field holds real numbers, not {values.dtype}")
        if not 1 <= values.ndim <= 3 or not values.size:
            raise ValueError(f"a field has one to three axes and values, not shape {values.shape}")
        values = values.astype(np.float64 if values.dtype.name == "float64" else np.float32)
        sizes = zip("zyx"[-values.ndim :], values.shape, strict=True)
        axes = (Axis.uniform(axis, "cell", n, 0.0, n) for axis, n in sizes)
        return cls(
            name=name,
            fields=(field,),
            grid=Grid(tuple(axes)),
            input_names=("time",),
            input_units=("1",),
            runs=(Run(0, (), (0.0,)),),
            dtype=values.dtype.name,
            metadata={},
            arrays={0: values[None, None]},
        )

    @classmethod
    def like(cls, ensemble: Ensemble, arrays: Sequence[np.ndarray], name: str) -> Self:
        """Return other samples of the same simulations: one array for each of them.

        Raises
        ------
        ValueError
            If an array is not ``(T, n_fields, *grid.shape)``, or they are not one per simulation.
        """
        shared = {field.name: getattr(ensemble, field.name) for field in fields(Ensemble)}
        made = dict(zip(ensemble.simulations, arrays, strict=True))
        return cls(**shared | {"name": name, "dtype": arrays[0].dtype.name, "arrays": made})

    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, *grid.shape)``."""
        run, step = self.where(sample)
        return self.arrays[run.simulation][step]

    def read_simulation(self, simulation: int) -> np.ndarray:
        """Return all samples of a simulation in time, ``(T, n_fields, *grid.shape)``."""
        return self.arrays[self.run(simulation).simulation]

    def contents(self, run: Run) -> str:
        """Return the SHA-256 of a simulation's values."""
        return hashlib.sha256(self.arrays[run.simulation].tobytes()).hexdigest()
