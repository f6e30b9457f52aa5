"""A card in the making: layouts add what they find in headers, file by file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surrlab.data.fields import Axis, Field, Grid, Run
from surrlab.data.layouts.cards import stores
from surrlab.data.layouts.cards.card import RUN, TIME, Card, Part, Source
from surrlab.data.layouts.cards.extra import complete
from surrlab.data.layouts.cards.places import has_checksums, never_written, why_library


class Draft:
    """What headers say, until `card` makes one of it.

    Parameters
    ----------
    layout : str
        Name of the layout.
    path : Path
        What the user opens; files are named from its folder.
    """

    def __init__(self, layout: str, path: Path):
        self.layout, self.path = layout, path
        self.folder = path if path.is_dir() else path.parent
        self.fields: list[Field] = []
        self.sources: list[Source] = []
        self.axes: dict[str, tuple[int, np.ndarray | None, str | None]] = {}
        self.files: dict[str, int] = {}
        self.sizes: list[int] = []
        self.runs: list[Run] = []
        self.parts: list[tuple[Part, ...]] = []
        self.names: list[str] = []
        self.parameters: list[dict[str, float]] = []
        self.units: dict[str, str] = {}
        self.time_unit: str | None = None
        self.unknown: list[str] = []
        self.left_out: dict[str, str] = {}
        self.benchmark: dict[str, Any] = {}
        self.dtypes: dict[np.dtype, str] = {}
        self.library, self.checksums = "", True
        self.first_grid = ""

    def field(
        self,
        name: str,
        source: Source,
        unit: str | None = None,
        label: str = "",
        static: bool = False,
    ) -> None:
        """Add a field; without a unit, its unit is unknown."""
        self.fields.append(Field(name, unit or "1", label, static))
        self.sources.append(source)
        if not unit:
            self.unknown.append(f"unit of {name}")

    def axis(
        self, where: str, name: str, n: int, points: Any = None, unit: str | None = None
    ) -> None:
        """Add an axis, or compare it with that of the files before."""
        points = None if points is None else np.array(points, np.float64)
        if name in self.axes:
            old_n, old = self.axes[name][:2]
            same = n == old_n
            if same and points is not None and old is not None:
                same = np.allclose(points, old, rtol=1e-6)
            if not same:
                other = f"{n} cells, not {old_n}" if n != old_n else "other points"
                raise ValueError(
                    f"{where} lies on another grid than {self.first_grid}: axis {name} has {other}"
                )
            return
        self.first_grid = self.first_grid or where
        self.axes[name] = n, points, unit
        if points is None:
            self.unknown.append(f"axis {name}")
        if not unit:
            self.unknown.append(f"unit of {name}")

    @contextmanager
    def opened(self, path: Path) -> Iterator[Any]:
        """Open a file whose links stay in the folder, see `stores.opened`."""
        with stores.opened(path) as file:
            stores.check_links(file, path, self.folder)
            yield file

    def file(self, path: Path) -> int:
        """Add a file, and return its number."""
        name = str(path.relative_to(self.folder)) if path != self.folder else "."
        if name not in self.files:
            self.files[name] = len(self.files)
            inside = path.rglob("*") if path.is_dir() else [path]
            self.sizes.append(sum(p.stat().st_size for p in inside if p.is_file()))
        return self.files[name]

    def inspect(self, path: Path, opened: Any, group: str = "") -> dict[str, int]:
        """Look at every field's array in an open file, by its header.

        Returns
        -------
        dict of str to int
            Length of each axis of the arrays, ``"run"`` and ``"time"`` among them.
        """
        lengths: dict[str, int] = {}
        arrays: dict[str, Any] = {}
        for source in self.sources:
            name = group + source.dataset
            array = arrays.get(name)
            if array is None:
                array = arrays[name] = stores.dataset(opened, name, path, self.folder)
                if missing := never_written(array):
                    raise ValueError(f"{path}: {name} {missing}")
            if len(array.shape) != len(source.axes):
                raise ValueError(
                    f"{path}: {name} is {tuple(array.shape)}, not over {_listed(source.axes)}"
                )
            for n, axis in zip(array.shape, source.axes, strict=True):
                if isinstance(axis, int):
                    if axis >= n:
                        raise ValueError(f"{path}: {name} has {n} channels, not {axis + 1}")
                elif lengths.setdefault(axis, n) != n:
                    raise ValueError(
                        f"{path}: axis {axis} of {name} has {n} places, not {lengths[axis]}"
                    )
            self.dtypes.setdefault(np.dtype(array.dtype), f"{path}: {name}")
            native = np.dtype(array.dtype).newbyteorder("=")
            n_grid = sum(a not in (RUN, TIME) and isinstance(a, str) for a in source.axes)
            if not self.library and (reason := why_library(array, source, n_grid, str(native))):
                self.library = f"{path.name}: {name} {reason}"
            self.checksums = self.checksums and has_checksums(array)
        return lengths

    def simulation(
        self,
        where: str,
        times: Sequence[float] | None,
        parts: Sequence[Part],
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        """Add a simulation; without times, its samples are counted."""
        if times is None:
            times = range(sum(len(part.rows) for part in parts))
            self.unknown += ["time"] if "time" not in self.unknown else []
        times = tuple(map(float, times))
        for before, after in pairwise(times):
            if before == after:
                raise ValueError(f"{where}: time {before:g} occurs twice in one simulation")
        try:
            self.runs.append(Run(len(self.runs), (), times))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        self.parts.append(tuple(parts))
        self.parameters.append(dict(parameters or {}))
        self.names.append(where)

    def card(self, extra: Mapping[str, Any], *, keep_constants: bool = False) -> Card:
        """Make the card, with what its owner adds.

        Parameters that are the same in all runs become constants of the benchmark, unless they are
        asked for by name.
        """
        if not self.runs:
            raise ValueError(f"{self.path} holds no simulation")
        table, constants = self._parameters(extra.get("parameters", ()), keep_constants)
        benchmark = {**self.benchmark}
        if constants:
            benchmark["constants"] = constants | benchmark.get("constants", {})
        self.unknown += [f"unit of {n}" for n in table if n not in self.units]
        self.unknown += [] if self.time_unit else ["unit of time"]
        inputs = {n: self.units.get(n, "1") for n in table} | {"time": self.time_unit or "1"}
        rows = zip(*table.values(), strict=True) if table else [()] * len(self.runs)
        axes = []
        for name, (n, points, unit) in self.axes.items():
            if points is None:
                axes.append(Axis.uniform(name, unit or "1", n, 0.0, float(n)))
            else:
                axes.append(Axis(name, unit or "1", tuple(points)))
        dtype, library = self._dtype()
        card = Card(
            layout=self.layout,
            fields=tuple(self.fields),
            sources=tuple(self.sources),
            grid=Grid(tuple(axes)),
            inputs=inputs,
            runs=tuple(
                Run(r.simulation, tuple(map(float, row)), r.times)
                for r, row in zip(self.runs, rows, strict=True)
            ),
            parts=tuple(self.parts),
            files=tuple(self.files),
            sizes=tuple(self.sizes),
            dtype=dtype,
            benchmark=benchmark,
            unknown=tuple(self.unknown),
            left_out=self.left_out,
            library=library,
            checksums=self.checksums and not library,
        )
        return complete(card, dict(extra))

    def _parameters(
        self, asked: Any, keep_constants: bool
    ) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Values of the parameters in each run, and what is the same in all of them."""
        wanted = [one.get("name") if isinstance(one, Mapping) else one for one in asked]
        names = list(dict.fromkeys(name for values in self.parameters for name in values))
        if not isinstance(asked, Mapping) and asked and not keep_constants:
            names = [name for name in names if name in wanted]
        table: dict[str, list[float]] = {}
        constants: dict[str, float] = {}
        for name in names:
            column = [values.get(name) for values in self.parameters]
            if None in column:
                raise ValueError(
                    f"{self.names[column.index(None)]} has no {name}, other runs have: name the "
                    "parameters in a card"
                )
            values = np.array(column, np.float64)
            if not np.isfinite(values).any():
                continue  # an attribute that says nothing
            if not np.isfinite(values).all():
                where = int(np.flatnonzero(~np.isfinite(values))[0])
                raise ValueError(
                    f"{self.names[where]}: parameter {name} is {values[where]}; it must be finite"
                )
            if keep_constants or name in wanted or (values != values[0]).any():
                table[name] = values.tolist()
            else:
                constants[name] = float(values[0])
        return table, constants

    def _dtype(self) -> tuple[str, str]:
        """The smaller of float32 and float64 that holds all stored numbers; why not in place."""
        for dtype, where in self.dtypes.items():
            if not is_number(dtype):
                raise ValueError(f"{where} is {dtype}: neither float32 nor float64 can hold it")
        wide = [d for d in self.dtypes if d.itemsize > (4 if d.kind == "f" else 2)]
        name = "float64" if wide else "float32"
        for dtype, where in self.dtypes.items():
            if dtype != np.dtype(name) and not self.library:
                return name, f"{where} is {dtype.str}, not native {name}"
        return name, self.library


def is_number(dtype: np.dtype) -> bool:
    """Whether float64 holds every number of a type."""
    return dtype.itemsize <= {"f": 8, "i": 4, "u": 4}.get(dtype.kind, 0)


def attribute(attributes: Mapping[str, Any], name: str) -> str:
    """Return an attribute as text; empty if there is none."""
    value = attributes.get(name, "")
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def scalar(value: Any) -> float | None:
    """Return a number, also one in an array; None for what is not one number."""
    array = np.asarray(value)
    return float(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "fiu" else None


def numbers(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the attributes that are one number each."""
    found = {str(name): scalar(value) for name, value in attributes.items()}
    return {n: v for n, v in found.items() if v is not None and not n.startswith("_")}


def _listed(axes: Sequence[str | int]) -> str:
    return ", ".join("channel" if isinstance(a, int) else a for a in axes)
