"""What an ensemble is made of: fields, the grid that they live on, runs, samples, chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

MISSING = 1e30
"""Values from here on stand for no value: netCDF's default fill is 9.97e36, others use 1e30."""


def _check_name(what: str, name: str) -> None:
    """Refuse a name that cannot be a dataset's in a file."""
    if not name or "/" in name or name.startswith((".", "_")):
        raise ValueError(
            f"{what} needs a name without '/' that does not begin with '.' or '_', not {name!r}"
        )


@dataclass(frozen=True)
class Field:
    """A named array of a sample.

    Parameters
    ----------
    name : str
        What code, files and tables call it.
    unit : str
        Its unit; ``"1"`` for a pure number.
    label : str
        What people read; by default the name with spaces.
    static : bool
        Whether the field is the same at all times of all simulations.
    mask : str
        Cells that never hold a value, as `surrlab.data._masks.pack` writes them; none by default.

    Examples
    --------
    >>> Field("velocity_x", "cm/s")
    Field(name='velocity_x', unit='cm/s', label='velocity x', static=False)
    """

    name: str
    unit: str = "1"
    label: str = ""
    static: bool = False
    mask: str = field(default="", repr=False)

    def __post_init__(self):
        _check_name("a field", self.name)
        if not self.label:
            object.__setattr__(self, "label", self.name.replace("_", " "))

    def config(self) -> dict[str, Any]:
        """Return the field as JSON: ``Field(**config)`` rebuilds it."""
        found = asdict(self)
        return found if self.mask else {k: v for k, v in found.items() if k != "mask"}


@dataclass(frozen=True)
class Axis:
    """One direction of a grid.

    Parameters
    ----------
    name, unit : str
        What people read.
    points : tuple of float
        Cell centres, in increasing or decreasing order.
    low, high : float, optional
        Ends of the domain; by default half a cell beyond the outer points.

    Raises
    ------
    ValueError
        If the points are not finite and strictly monotonic, or lie outside the ends.
    """

    name: str
    unit: str
    points: tuple[float, ...]
    low: float = field(default=None)  # type: ignore[assignment]  # replaced below
    high: float = field(default=None)  # type: ignore[assignment]

    def __post_init__(self):
        _check_name("an axis", self.name)
        points = np.array(self.points, np.float64)
        if points.ndim != 1 or not points.size or not np.isfinite(points).all():
            raise ValueError(f"axis {self.name} needs finite points, not {self.points}")
        steps = np.diff(points)
        if not ((steps > 0).all() or (steps < 0).all()):
            raise ValueError(f"the points of axis {self.name} must increase, or decrease, strictly")
        first, last = (steps[0], steps[-1]) if steps.size else (1.0, 1.0)
        ends = sorted((float(points[0] - first / 2), float(points[-1] + last / 2)))
        object.__setattr__(self, "points", tuple(points.tolist()))
        object.__setattr__(self, "low", ends[0] if self.low is None else float(self.low))
        object.__setattr__(self, "high", ends[1] if self.high is None else float(self.high))
        inside = self.low <= points.min() and points.max() <= self.high
        if not (inside and 0 < self.length < np.inf):
            raise ValueError(
                f"axis {self.name} must end around its points, {points.min():g} to "
                f"{points.max():g}, not at {self.low} and {self.high}"
            )

    @classmethod
    def uniform(cls, name: str, unit: str, n: int, low: float, high: float) -> Axis:
        """Return an axis of `n` equal cells from `low` to `high`."""
        if n < 1 or not low < high:
            raise ValueError(f"axis {name} needs cells between low < high, not {n}, {low}, {high}")
        return cls(name, unit, tuple(low + (np.arange(n) + 0.5) * ((high - low) / n)), low, high)

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.points)

    @property
    def length(self) -> float:
        """Length of the domain, in the axis' unit."""
        return self.high - self.low

    @property
    def width(self) -> float:
        """Mean width of a cell."""
        return self.length / self.n

    @cached_property
    def centres(self) -> np.ndarray:
        """Cell centres ``(n,)``, float64."""
        return np.array(self.points)

    @cached_property
    def widths(self) -> np.ndarray:
        """Width of each cell ``(n,)``: between the midpoints of neighbours."""
        middle = (self.centres[1:] + self.centres[:-1]) / 2
        ends = (self.low, self.high) if self.n < 2 or self.points[0] < self.points[-1] else (
            self.high, self.low)  # fmt: skip
        return np.abs(np.diff(np.concatenate([ends[:1], middle, ends[1:]])))

    @property
    def is_uniform(self) -> bool:
        """Whether all cells are equally wide, to a millionth."""
        return bool(np.allclose(self.widths, self.width, rtol=1e-6, atol=0))


@dataclass(frozen=True)
class Grid:
    """A rectilinear grid: axes in the order in which fields are stored.

    Parameters
    ----------
    axes : tuple of Axis
        One for each dimension of a field; ``y`` before ``x`` for images.

    Examples
    --------
    >>> grid = Grid.uniform({"y": (6, 0.0, 3.0), "x": (2, -1.0, 1.0)}, unit="cm")
    >>> grid.shape, grid.names, grid["y"].width, grid.cell_volume
    ((6, 2), ('y', 'x'), 0.5, 0.5)
    """

    axes: tuple[Axis, ...]

    def __post_init__(self):
        if len(set(self.names)) < len(self.axes) or not self.axes:
            raise ValueError(f"a grid needs axes of different names, not {self.names}")

    @classmethod
    def uniform(cls, axes: Mapping[str, tuple[int, float, float]], unit: str = "1") -> Grid:
        """Return a grid of equal cells: (number, low end, high end) for each axis."""
        return cls(tuple(Axis.uniform(name, unit, *ends) for name, ends in axes.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a field."""
        return tuple(axis.n for axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def x(self) -> Axis:
        """The last axis: columns of a picture."""
        return self.axes[-1]

    @property
    def y(self) -> Axis:
        """The axis before the last: rows of a picture.

        Raises
        ------
        ValueError
            If the grid has one axis only.
        """
        if self.ndim < 2:
            raise ValueError(f"a grid with axis {self.names[0]} alone has no rows")
        return self.axes[-2]

    def __getitem__(self, name: str) -> Axis:
        if name not in self.names:
            raise KeyError(f"the grid has no axis {name!r}; it has {', '.join(self.names)}")
        return self.axes[self.names.index(name)]

    @property
    def is_uniform(self) -> bool:
        """Whether all cells are alike."""
        return all(axis.is_uniform for axis in self.axes)

    @cached_property
    def cell_volume(self) -> float | np.ndarray:
        """Length, area or volume of a cell; an array of the grid's shape where cells differ."""
        if self.is_uniform:
            return float(np.prod([axis.width for axis in self.axes[::-1]]))
        volume = np.ones(())
        for axis in self.axes:
            volume = volume[..., None] * axis.widths
        return volume

    def config(self) -> list[dict]:
        """Return the axes as JSON; `from_config` rebuilds the grid."""
        return [
            {"name": a.name, "unit": a.unit, "points": list(a.points), "low": a.low, "high": a.high}
            for a in self.axes
        ]

    @classmethod
    def from_config(cls, axes: Sequence[Mapping]) -> Grid:
        """Return the grid whose `config` this is."""
        return cls(
            tuple(Axis(a["name"], a["unit"], tuple(a["points"]), a["low"], a["high"]) for a in axes)
        )


@dataclass(frozen=True)
class Run:
    """One simulation: its number, its parameters, and when it was recorded.

    Parameters
    ----------
    simulation : int
        Its number in the ensemble.
    parameters : tuple of float
        What it was run with.
    times : tuple of float
        One for each of its samples, strictly increasing.
    """

    simulation: int
    parameters: tuple[float, ...]
    times: tuple[float, ...]

    def __post_init__(self):
        if not self.times:
            raise ValueError(f"simulation {self.simulation} has no sample")
        if not np.isfinite([*self.parameters, *self.times]).all():
            raise ValueError(
                f"simulation {self.simulation} has parameters {self.parameters} and times "
                f"{self.times[0]} to {self.times[-1]}: all of them must be finite"
            )
        for before, after in zip(self.times, self.times[1:], strict=False):
            if not before < after:
                raise ValueError(
                    f"the times of simulation {self.simulation} must increase: "
                    f"{after} follows {before}"
                )


@dataclass(frozen=True, eq=False)
class Samples:
    """The table of samples; all arrays ``(S,)``.

    Parameters
    ----------
    simulation : array of int64
        Number of the simulation.
    step : array of int64
        Place in its simulation, from 0.
    time : array of float64
        Time, in the ensemble's unit.
    """

    simulation: np.ndarray
    step: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


Filters = tuple[tuple[int, tuple[int, ...]], ...]
"""HDF5 filters that a chunk passed through: number in the HDF Group's registry, and options."""


class StoredChunk(NamedTuple):
    """One stored field of one sample.

    Parameters
    ----------
    sample, field : int
        Position in the ensemble's view, and place of the field.
    offset, nbytes : int
        Where its bytes begin in the file, and how many there are, a checksum included.
    filters : tuple
        What they passed through; none for raw bytes.
    shift : float
        What is added to each value once it is decoded, in the field's unit.
    """

    sample: int
    field: int
    offset: int
    nbytes: int
    filters: Filters
    shift: float = 0.0


def no_value(values: np.ndarray, fill: Sequence[float] = ()) -> np.ndarray:
    """Which values stand for none: NaN, from `MISSING` on, masked, or one of `fill`."""
    bad = ~(np.abs(np.ma.getdata(values)) < MISSING) | np.ma.getmaskarray(values)
    for one in fill:
        bad |= np.ma.getdata(values) == np.asarray(one, values.dtype)
    return bad


def check_values(
    samples: Any,
    names: Sequence[str],
    where: str,
    fills: Mapping[str, Sequence[float]] | None = None,
    first: int = 0,
    times: Sequence[float] = (),
    valid: np.ndarray | None = None,
) -> None:
    """Refuse what codecs and networks would take for numbers: NaN, Inf, fill values, masks.

    Parameters
    ----------
    samples : array (T, n_fields, *grid.shape)
        Samples of one simulation, in time.
    names : sequence of str
        Of the fields.
    where : str
        File and simulation, for the message.
    fills : mapping, optional
        Values of a field that stand for none, such as its ``_FillValue``.
    first : int
        Time step of the first sample.
    times : sequence of float, optional
        The simulation's times, from step 0 on, for the message; otherwise it gives the step alone.
    valid : bool array (n_fields, *grid.shape), optional
        Cells that hold values in every sample, the others in none; by default all do.

    Raises
    ------
    ValueError
        Naming field, first time at fault, and how many values there.
    """
    masked = np.ma.is_masked(samples)
    for i, name in enumerate(names):
        values = samples[:, i]
        # NaN fails either comparison, and passes through min and max.
        whole = not values.size or (values.max() < MISSING and values.min() > -MISSING)
        fill = [f for f in (fills or {}).get(name, ()) if not np.isnan(f)]
        inside = True if valid is None else valid[i]
        if whole and not fill and not masked and np.all(inside):
            continue
        bad = no_value(values, fill)
        lost, found = bad & inside, ~bad & ~np.asarray(inside)
        for wrong in (lost, found):
            if not wrong.any():
                continue
            time = int(np.flatnonzero(wrong.any(axis=tuple(range(1, wrong.ndim))))[0])
            step = first + time
            when = f"{times[step]:g} (step {step})" if len(times) else step
            value = np.ma.getdata(values)[time][wrong[time]][0]
            what = f"that stand for no value ({value:.4g}); fill them in, or leave the field out"
            if wrong is found:
                what = f"({value:.4g}) in cells that hold none elsewhere: its mask is not constant"
            elif not np.isfinite(value):
                what = "that are NaN or infinite; fill them in, or leave the field out"
            elif np.ma.getmaskarray(values)[time].any():
                what = "that are masked; fill them in, or leave the field out"
            raise ValueError(
                f"{where}, time {when}, field {name} holds {int(wrong[time].sum())} values {what}"
            )
