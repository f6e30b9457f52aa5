"""A simulation's HDF5 file: what it says of itself, and where its fields lie, however encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from surrlab._files import DamagedError
from surrlab._hdf5 import new_file, own_dataset
from surrlab.data._masks import blank, unpack, valid_cells
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import (  # noqa: F401
    Field,
    Filters,
    Grid,
    Run,
    StoredChunk,
    check_values,
)

FORMAT = "surrlab-ensemble/2"
MASKS = "_masks"
"""Group of a file with an array of 0 and 1 for each field that has a mask: 1 where no value is."""
TAKEN = ("sample", "simulation", "step", "time", "field", "input", "inputs", "compression")
"""What neither fields nor axes may be called: files and tables have them already."""


OFFSET = "{}_offset"
"""Name of the dataset ``(time,)`` of what is to be added to the stored values of a field."""
OFFSET_NAMED = "offset_variable"
"""Attribute of such a field that names that dataset."""


def offsets_of(file: h5py.File, field: str, n: int) -> np.ndarray | None:
    """What is to be added to the stored values of a field at each of n times; None if nothing is.

    Raises
    ------
    DamagedError
        If they are not n finite numbers.
    """
    if OFFSET_NAMED not in file[field].attrs:
        return None
    name = OFFSET.format(field)
    values = own_dataset(file, name)[()]
    if values.shape != (n,) or values.dtype != np.float32 or not np.isfinite(values).all():
        raise DamagedError(
            f"{file.filename}: {name} is {values.shape} {values.dtype}, not {n} finite float32"
        )
    return values


def add_offsets(values: np.ndarray, offsets: np.ndarray) -> None:
    """Add to fields (…, *grid.shape), in place, the offset of each (…)."""
    added = np.reshape(offsets, np.shape(offsets) + (1,) * (values.ndim - np.ndim(offsets)))
    np.add(values, added, out=values, where=added != 0)  # -0.0 stays what it is


def locate(
    dataset: h5py.Dataset, dtype: str, grid_ndim: int | None = None, *, views: int = 2
) -> Iterator[tuple[int, int, int, Filters]]:
    """Yield (row, offset, bytes, filters) of each field of a dataset (time, *axes).

    Where more axes than time come before the grid's, a row is the flat index over all of them.
    A virtual dataset over others of the same file is followed, and so is a view over such ones.

    Parameters
    ----------
    dataset : h5py.Dataset
        One plane of it is one stored field.
    dtype : str
        ``"float32"`` or ``"float64"``.
    grid_ndim : int, optional
        Number of the grid's axes, which come last; by default all but the first.
    views : int
        Virtual datasets, one over the other, that are followed.

    Raises
    ------
    ValueError
        Only HDF5 itself can read it, with the reason.
    """
    n_lead = 1 if grid_ndim is None else dataset.ndim - grid_ndim
    lead, plane = dataset.shape[:n_lead], dataset.shape[n_lead:]
    n_rows = int(np.prod(lead, dtype=np.int64))
    if dataset.is_virtual:
        mapped = 0
        for part in dataset.virtual_sources():
            if part.file_name != ".":
                raise _unreadable(dataset, f"lies in another file, {part.file_name}")
            source = dataset.file[part.dset_name]
            if source.is_virtual and views < 2:  # or it might lead back to itself
                raise _unreadable(dataset, "is a virtual dataset over virtual datasets")
            below = locate(source, dtype, len(plane), views=views - 1)
            stored = {one[0]: one[1:] for one in below}
            rows = _planes(part.vspace, dataset, n_lead)
            stored_rows = _planes(part.src_space, source, source.ndim - len(plane))
            for row, stored_row in zip(rows, stored_rows, strict=True):
                yield row, *stored[stored_row]
            mapped += len(rows)
        if mapped != n_rows:
            raise _incomplete(dataset, "shows fields that lie nowhere")
        return
    if reason := obstacle(dataset, dtype, len(plane)):
        raise _unreadable(dataset, reason)
    nbytes = dataset.dtype.itemsize * int(np.prod(plane))
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None:
            raise _unreadable(dataset, "has no place in the file")
        for row in range(n_rows):
            yield row, start + row * nbytes, nbytes, ()
        return
    chunks: list = []
    dataset.id.chunk_iter(chunks.append)
    inner = dataset.chunks[:n_lead]  # planes within a chunk; more than one only if raw
    if len(chunks) * np.prod(inner) < n_rows:
        raise _incomplete(dataset, "has fields that were never written")
    encodings = {mask: filters_of(dataset, mask) for mask in {c.filter_mask for c in chunks}}
    for chunk in chunks:
        filters = encodings[chunk.filter_mask]
        if inner == (1,) * n_lead:
            row = np.ravel_multi_index(chunk.chunk_offset[:n_lead], lead)
            yield int(row), chunk.byte_offset, chunk.size, filters
            continue
        for k, within in enumerate(np.ndindex(*inner)):
            place = np.add(chunk.chunk_offset[:n_lead], within)
            if (place < lead).all():  # the last chunks reach beyond the end
                row = np.ravel_multi_index(place, lead)
                yield int(row), chunk.byte_offset + k * nbytes, nbytes, filters


def obstacle(dataset: h5py.Dataset, dtype: str, grid_ndim: int) -> str:
    """Say why only HDF5 can read the fields of a dataset that is not virtual; empty if others can.

    Only headers are read: filters that no codec knows are not an obstacle here.
    """
    plane = dataset.shape[dataset.ndim - grid_ndim :]
    if dataset.dtype != np.dtype(dtype):
        return f"is {dataset.dtype.str}, not native {dtype}"
    if dataset.external:
        return "lies in another file"
    if dataset.chunks is None:
        return ""
    if dataset.chunks[dataset.ndim - grid_ndim :] != plane:
        return f"has chunks of {dataset.chunks}, not of one field each"
    if set(dataset.chunks[: dataset.ndim - grid_ndim]) - {1} and filters_of(dataset, 0):
        return f"has chunks of {dataset.chunks}, not of one field each"
    return ""


def filters_of(dataset: h5py.Dataset, mask: int = 0) -> Filters:
    """Filters of a dataset; bit i of a chunk's mask says that HDF5 left out filter i."""
    pipeline = dataset.id.get_create_plist()
    each = [pipeline.get_filter(i) for i in range(pipeline.get_nfilters())]
    return tuple(
        (number, tuple(options))
        for i, (number, _, options, _) in enumerate(each)
        if not mask >> i & 1
    )


def missing_filters(dataset: h5py.Dataset) -> list[str]:
    """Names and numbers of the filters that a dataset needs and HDF5 does not find here."""
    sources = dataset.virtual_sources() if dataset.is_virtual else ()
    parts = [dataset.file[part.dset_name] for part in sources] or [dataset]
    pipelines = [part.id.get_create_plist() for part in parts]
    each = {p.get_filter(i)[::3] for p in pipelines for i in range(p.get_nfilters())}
    return [
        f"{name.decode().partition(':')[0]} (number {number})".strip()
        for number, name in sorted(each)
        if not h5py.h5z.filter_avail(number)
    ]


def _planes(space: h5py.h5s.SpaceID, dataset: h5py.Dataset, n_lead: int) -> list[int]:
    """Flat indices of the whole fields ``[*lead, ...]`` that a selection of `dataset` covers."""
    lead = dataset.shape[:n_lead]
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return list(range(int(np.prod(lead))))
    blocks = space.get_select_hyper_blocklist()
    last = np.array(dataset.shape[n_lead:]) - 1
    if (blocks[:, 0, n_lead:] != 0).any() or (blocks[:, 1, n_lead:] != last).any():
        raise _unreadable(dataset, "is put together from parts of fields")
    every = np.arange(int(np.prod(lead))).reshape(lead)
    found: set[int] = set()
    for first, end in blocks[:, :, :n_lead].tolist():
        within = tuple(slice(i, j + 1) for i, j in zip(first, end, strict=True))
        found.update(every[within].ravel().tolist())
    return sorted(found)


def _incomplete(dataset: h5py.Dataset, what: str) -> OSError:
    """HDF5 would read fill values there, and nobody could tell them from data."""
    return OSError(f"{dataset.file.filename}: {dataset.name} {what}")


def _unreadable(dataset: h5py.Dataset, what: str) -> ValueError:
    return ValueError(
        f"{dataset.file.filename}: {dataset.name} {what}; only HDF5 itself can read it "
        "(Ensemble.read), or write it anew with compression.compress"
    )


# --------------------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class Header:
    """What a manifest says of all simulations alike.

    Parameters
    ----------
    fields : tuple of Field
        Names, units, labels, in the order of a sample's first axis.
    grid : Grid
        Shared by all samples.
    inputs : dict of str
        Unit of each network input: the parameters, then ``time``.
    dtype : str
        ``"float32"`` or ``"float64"``.
    benchmark : dict
        Name, constants and quantities of what was simulated, as JSON.
    """

    fields: tuple[Field, ...]
    grid: Grid
    inputs: dict[str, str]
    dtype: str = "float32"
    benchmark: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        names = [f.name for f in self.fields]
        if not names:
            raise ValueError("an ensemble needs a field")
        for i, name in enumerate(taken := [*TAKEN, *self.grid.names, *names]):
            if name in taken[:i]:
                raise ValueError(f"{name!r} cannot name a field or an axis here: the name is taken")
        if list(self.inputs)[-1:] != ["time"]:
            raise ValueError(f"the last input must be 'time'; the inputs are {list(self.inputs)}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"fields are float32 or float64, not {self.dtype}")
        valid_cells(self.fields, self.grid.shape)

    @classmethod
    def of(cls, ensemble: Ensemble) -> Self:
        """Return the header under which an ensemble's samples can be written again."""
        inputs = dict(zip(ensemble.input_names, ensemble.input_units, strict=True))
        benchmark = ensemble.metadata.get("benchmark", {})
        return cls(ensemble.fields, ensemble.grid, inputs, ensemble.dtype, benchmark)

    def config(self) -> dict[str, Any]:
        """Return the header as JSON; `from_config` rebuilds it."""
        return {
            "fields": [f.config() for f in self.fields],
            "grid": self.grid.config(),
            "inputs": self.inputs,
            "dtype": self.dtype,
            "benchmark": self.benchmark,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the header whose `config` this is."""
        return cls(
            tuple(Field(**f) for f in config["fields"]),
            Grid.from_config(config["grid"]),
            dict(config["inputs"]),
            config["dtype"],
            config["benchmark"],
        )


def write_simulation(path: Path, header: Header, run: Run, samples: np.ndarray) -> None:
    """Write one raw simulation's file.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        Of the ensemble.
    run : Run
        The simulation's number, parameters and times.
    samples : array (T, n_fields, *grid.shape)
        One for each time.

    Raises
    ------
    ValueError
        If a field holds what stands for no value where it has no mask, or a value where it has one,
        or the samples are of another shape.
    """
    names = [one.name for one in header.fields]
    expected = (len(run.times), len(header.fields), *header.grid.shape)
    if samples.shape != expected:
        raise ValueError(
            f"{path.name}: samples of simulation {run.simulation} are {samples.shape}, "
            f"not {expected} (times, fields, {', '.join(header.grid.names)})"
        )
    valid = valid_cells(header.fields, header.grid.shape)
    check_values(samples, names, f"{path.name}: simulation {run.simulation}", valid=valid)
    if valid is not None:
        samples = blank(np.array(samples, header.dtype), valid)
    with new_file(path) as file:
        describe(file, header, run)
        for i, one in enumerate(header.fields):
            values = np.ascontiguousarray(samples[:, i], header.dtype)
            dataset = file.create_dataset(
                one.name,
                data=values,
                chunks=(1, *values.shape[1:]),
                fletcher32=True,
                fillvalue=np.nan,  # shows if one is lost
            )
            label_axes(file, dataset, one, header.grid)


def describe(file: h5py.File, header: Header, run: Run) -> None:
    """Write what every file says of itself: root attributes, dimension scales, ``inputs``."""
    names = list(header.inputs)
    file.attrs["format"] = FORMAT
    file.attrs["benchmark"] = header.benchmark.get("name", "")
    file.attrs["simulation"] = run.simulation
    file.attrs["parameter_names"] = names[:-1] or h5py.Empty("S1")
    file.attrs["parameter_units"] = list(header.inputs.values())[:-1] or h5py.Empty("S1")
    file.attrs["field_names"] = [f.name for f in header.fields]
    file.attrs["field_units"] = [f.unit for f in header.fields]
    for one in header.fields:
        if one.mask:
            _small(file, f"{MASKS}/{one.name}", unpack(one.mask, header.grid.shape).astype("u1"))
    scales = [("time", run.times, header.inputs["time"])]
    scales += [(axis.name, axis.points, axis.unit) for axis in header.grid.axes]
    for name, values, unit in scales:
        _small(file, name, values)
        file[name].make_scale(name)
        file[name].attrs["units"] = unit
    for axis in header.grid.axes:
        file[axis.name].attrs["extent"] = (axis.low, axis.high)
    file["input"] = names
    file["input"].make_scale("input")
    rows = [[*run.parameters, time] for time in run.times]
    dataset = _small(file, "inputs", np.array(rows, np.float32))
    for dim, name in zip(dataset.dims, ("time", "input"), strict=True):
        dim.attach_scale(file[name])


def _small(file: h5py.File, name: str, values: Any) -> h5py.Dataset:
    """Numbers in one chunk, with a checksum."""
    values = np.asarray(values)
    return file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)


def label_axes(file: h5py.File, dataset: h5py.Dataset, field: Field, grid: Grid) -> None:
    """Give a field its unit, its label and its dimension scales ``(time, *axes)``."""
    dataset.attrs["units"], dataset.attrs["long_name"] = field.unit, field.label
    for dim, name in zip(dataset.dims, ("time", *grid.names), strict=True):
        dim.attach_scale(file[name])
