"""Two axes of what has more of them: 3-D ensembles, and arrays in npy, npz, NetCDF or HDF5 files.

An array of a file is an ensemble of one sample, on a grid of all its axes; `Planes` shows two axes
of any ensemble, at an index on each of the others. Nothing is read but what is shown.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Axis, Field, Grid, Run
from surrlab.data.layouts.cards.stores import HDF5, NUMPY, dataset, opened

FILES = HDF5 + NUMPY
"""Endings of files whose arrays can be looked at."""
_WHOLE = 1 << 30  # bytes of an array up to which its colours are the same in all planes
_NAMES = "zyx"
CELL = "cell"
"""Unit of an axis that has no points of its own."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ArrayEnsemble(Ensemble):
    """One array of a file.

    Parameters
    ----------
    path : Path
        The file.
    load : callable
        Index over all axes -> values, float32 or float64; NaN where there is none.
    """

    path: Path
    load: Callable[[Any], np.ndarray]

    def read(self, sample: int) -> np.ndarray:
        """Return the whole array, with an axis for its one field."""
        return self.load(...)[None]

    @functools.cached_property
    def valid(self) -> np.ndarray | None:
        """Cells that hold values, ``(1, *grid.shape)``; None if all do."""
        cells = np.isfinite(self.read(0))
        return None if cells.all() else cells

    def contents(self, run: Run) -> str:
        """Name the array; it is not read."""
        return f"{self.path}: {self.fields[0].name}"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Planes(Ensemble):
    """Two axes of an ensemble, at an index on each of the others.

    Parameters
    ----------
    reader : SampleReader
        Of the whole ensemble: samples, and the limits of their values.
    at : dict of str to int
        Index on each axis that is not shown.
    """

    reader: Any
    at: dict[str, int]

    @classmethod
    def through(cls, reader: Any, at: Mapping[str, int] | None = None) -> Self:
        """Return planes at these indices; by default the last two axes, in the middle of others.

        Raises
        ------
        KeyError, IndexError, ValueError
            If there is no such axis or index, or not two axes are left.
        """
        whole = reader.ensemble
        if at is None:
            at = {axis.name: axis.n // 2 for axis in whole.grid.axes[:-2]}
        for name, index in at.items():
            if not 0 <= index < (n := whole.grid[name].n):
                raise IndexError(f"axis {name} of {whole.name} has no index {index}; it has {n}")
        shown = tuple(axis for axis in whole.grid.axes if axis.name not in at)
        if len(shown) != 2:
            names = ", ".join(whole.grid.names)
            raise ValueError(
                f"{whole.name} has axes {names}: indices on all but two of them are needed, not "
                f"on {', '.join(at) or 'none'}"
            )
        given = {one.name: getattr(whole, one.name) for one in fields(Ensemble)}
        given["fields"] = tuple(replace(one, mask="") for one in whole.fields)
        return cls(**given | {"grid": Grid(shown)}, reader=reader, at=dict(at))

    @property
    def whole(self) -> Ensemble:
        """What has all axes."""
        return self.reader.ensemble

    @property
    def place(self) -> str:
        """Where the plane lies, as text."""
        axes = {name: self.whole.grid[name] for name in self.at}
        return ", ".join(f"{n} = {place(a, self.at[n])}" for n, a in axes.items() if a.n > 1)

    @property
    def limits(self) -> Callable[[int, str], tuple[float, float]] | None:
        """Least and largest value of a field over all planes; None where reading them takes long.

        The callable takes a simulation and the name of a field.
        """
        if isinstance(self.whole, ArrayEnsemble):
            self.read(0)  # first of all: it says what is wrong with this very plane
            if self.whole.raw_nbytes > _WHOLE:
                return None
        return self.reader.limits

    @functools.cached_property
    def valid(self) -> np.ndarray | None:
        """Cells that hold values, ``(n_fields, ny, nx)``; None if no field has a mask."""
        if isinstance(self.whole, ArrayEnsemble):
            cells = ~np.isnan(self.read(0))
            return None if cells.all() else cells
        valid = self.whole.valid
        return None if valid is None else valid[(slice(None), *self._index)]

    @property
    def _index(self) -> tuple[int | slice, ...]:
        return tuple(self.at.get(name, slice(None)) for name in self.whole.grid.names)

    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, ny, nx)``."""
        if isinstance(self.whole, ArrayEnsemble):
            return self._loaded
        run, step = self.where(sample)
        return self.reader.read(run.simulation, step)[(slice(None), *self._index)]

    @functools.cached_property
    def _loaded(self) -> np.ndarray:
        assert isinstance(self.whole, ArrayEnsemble)
        return _checked(self.whole.load(self._index), f"{self.whole.name} at {self.place}")[None]

    def contents(self, run: Run) -> str:
        """Return the whole's, and where the plane lies."""
        return f"{self.whole.contents(run)} {self.at}"


def place(axis: Axis, index: int) -> str:
    """Where an index of an axis lies, as text: in its unit, or the index itself if it has none."""
    if axis.unit == CELL:
        return str(index)
    return f"{axis.points[index]:g} {axis.unit}".removesuffix(" 1")


def _checked(values: np.ndarray, where: str) -> np.ndarray:
    if n := int(np.isinf(values).sum()):
        raise ValueError(f"{where} holds {n} infinite values of {values.size}: no codec keeps them")
    if np.isnan(values).all():
        raise ValueError(f"{where} holds no value: all {values.size} are NaN or fill values")
    return values


# ----------------------------------------------------------------------------------- files' arrays


@contextmanager
def _arrays(path: Path) -> Iterator[dict[str, Any]]:
    """Arrays of numbers with two axes or more, by name; of an open file."""
    if path.suffix.lower() not in NUMPY and path.is_file():
        with path.open("rb") as file:
            if file.read(3) == b"CDF":
                raise ValueError(
                    f"{path} is NetCDF classic, and surrlab reads NetCDF4: "
                    f"nccopy -k nc4 {path.name} OUT.nc"
                )
    with opened(path) as file:
        found: dict[str, Any] = {}
        refused, names = None, file
        if isinstance(file, h5py.File):  # in its groups, too; links are not followed
            file.visititems(lambda name, one: found.setdefault(name, one) and None)
            names = ()
        for name in names:
            try:
                found[name] = file[name]
            except ValueError as error:  # such as an array of Python's objects, beside others
                refused = error
        found = {
            name: one
            for name, one in found.items()
            if len(getattr(one, "shape", ())) > 1 and one.dtype.kind in "fiub" and one.size
        }
        if refused and not found:
            raise refused
        yield found


def variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each array of a file that can be looked at, the largest first.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or holds no numbers over two axes.
    """
    with _arrays(path) as arrays:
        found = {name: tuple(one.shape) for name, one in arrays.items()}
    if not found:
        raise ValueError(f"{path} holds no array of numbers with two axes or more")
    return dict(sorted(found.items(), key=lambda one: -math.prod(one[1])))


def open_array(path: Path, variable: str) -> ArrayEnsemble:
    """One array of a file as an ensemble of one sample.

    Raises
    ------
    KeyError, OSError, ValueError
        If there is no such array, or it cannot be read.
    """
    with _arrays(path) as arrays:
        if variable not in arrays:
            raise KeyError(
                f"{path} has no array {variable!r} of numbers with two axes or more; it has "
                f"{', '.join(arrays) or 'none'}"
            )
        array = arrays[variable]
        attrs = dict(getattr(array, "attrs", {}))
        names, axes = [], []
        for place, n in enumerate(array.shape):
            axes.append(_axis(array, place, n, names))
            names.append(axes[-1].name)
        dtype = "float64" if array.dtype.itemsize > 4 or array.dtype == "int32" else "float32"
        kept = array if isinstance(array, np.ndarray) else None

    def load(index: Any) -> np.ndarray:
        if kept is not None:
            return _numbers(kept[index], attrs, dtype)
        with opened(path) as file:
            return _numbers(dataset(file, variable, path, path.parent)[index], attrs, dtype)

    label = _text(attrs, "long_name") or variable
    field = Field(variable.replace("/", ".").lstrip("._") or "values", _text(attrs, "units"), label)
    return ArrayEnsemble(
        name=f"{path}: variable {variable}",
        fields=(replace(field, unit=field.unit or "1"),),
        grid=Grid(tuple(axes)),
        input_names=("time",),
        input_units=("1",),
        runs=(Run(0, (), (0.0,)),),
        dtype=dtype,
        metadata={"benchmark": {"name": variable}},
        path=path,
        load=load,
    )


def _axis(array: Any, place: int, n: int, taken: list[str]) -> Axis:
    """An axis with the name and the points of its dimension scale, if it has one."""
    ndim = len(array.shape)
    name, unit = f"axis{place}" if ndim - place > 3 else _NAMES[place - ndim], CELL
    points = None
    if isinstance(array, h5py.Dataset) and len(array.dims[place]):
        scale = array.dims[place][0]
        name = scale.name.rsplit("/", 1)[-1].lstrip("._") or name
        if scale.shape == (n,) and scale.dtype.kind in "fiu":
            points, unit = np.asarray(scale[:], np.float64), _text(dict(scale.attrs), "units")
    while name in taken:
        name += "'"
    try:
        return Axis(name, unit or "1", tuple(points.tolist()))
    except (AttributeError, ValueError):  # none, or they do not increase
        return Axis.uniform(name, CELL, n, 0.0, n)


def _text(attrs: Mapping[str, Any], name: str) -> str:
    value = attrs.get(name, "")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _numbers(values: np.ndarray, attrs: Mapping[str, Any], dtype: str) -> np.ndarray:
    """Values as a float, as the conventions of NetCDF say: fill values, scale and offset."""
    stored = np.asarray(values)
    none = np.zeros(stored.shape, bool)
    for name in ("_FillValue", "missing_value"):
        for one in np.ravel(attrs.get(name, ())):
            none |= stored == one
    numbers = stored.astype(dtype)
    if "scale_factor" in attrs or "add_offset" in attrs:
        scale, offset = attrs.get("scale_factor", 1), attrs.get("add_offset", 0)
        numbers = (numbers * np.float64(scale) + np.float64(offset)).astype(dtype)
    numbers[none] = np.nan
    return numbers
