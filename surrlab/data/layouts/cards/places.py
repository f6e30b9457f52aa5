"""Where the values of an array lie: on which axes, at which bytes, and what identifies them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surrlab.data.fields import Filters
from surrlab.data.layouts.cards.card import RUN, TIME, Part, Source
from surrlab.data.stored import locate, obstacle

FLETCHER32 = 3
DECODED = {FLETCHER32: "fletcher32", 32013: "zfp", 32024: "SZ3", 32028: "SPERR"}
"""HDF5 filters that `surrlab.loading` may undo without HDF5."""
SAMPLED = 4096
"""Bytes at each end of a simulation's stored field that identify it without checksums."""


def read_block(array: Any, source: Source, run: int, rows: Sequence[int]) -> np.ndarray:
    """Rows of one run of an array, all channels: its axes as stored, without that of the runs."""
    steps: Any = list(rows)
    if steps == list(range(rows[0], rows[0] + len(rows))):
        steps = slice(rows[0], rows[0] + len(rows))
    index = [run if axis == RUN else steps if axis == TIME else slice(None) for axis in source.axes]
    if TIME in source.axes and isinstance(steps, list):  # any order: libraries want increasing ones
        place = source.axes.index(TIME)
        shown = place - (RUN in source.axes[:place])
        one = [[*index[:place], row, *index[place + 1 :]] for row in steps]
        return np.stack([np.asarray(array[tuple(each)]) for each in one], axis=shown)
    return np.asarray(array[tuple(index)])


def locate_fields(array: Any, dtype: str, n_grid: int) -> dict[int, tuple[int, int, Filters]]:
    """Flat index over the axes before the grid's -> offset, bytes and filters of a field."""
    if isinstance(array, h5py.Dataset):
        return {row: (at, n, filters) for row, at, n, filters in locate(array, dtype, n_grid)}
    nbytes = array.dtype.itemsize * int(np.prod(array.shape[array.ndim - n_grid :]))
    return {i: (array.offset + i * nbytes, nbytes, ()) for i in range(array.nbytes // nbytes)}


def why_library(array: Any, source: Source, n_grid: int, dtype: str) -> str:
    """Say why fields of an array cannot be read in place, by headers only; empty if they can."""
    if source.n_grid != n_grid:
        return "has the grid's axes before others"
    if isinstance(array, h5py.Dataset):
        if array.is_virtual:
            inside = all(part.file_name == "." for part in array.virtual_sources())
            return "" if inside and array.dtype == dtype else "is virtual"
        unknown = [number for number, *_ in _pipeline(array) if number not in DECODED]
        if unknown:
            return f"went through HDF5's filter {', '.join(map(_filter_name, unknown))}"
        return obstacle(array, dtype, n_grid)
    if not isinstance(array, np.memmap):
        return "can only be read through its library"
    if array.dtype != np.dtype(dtype):
        return f"is {array.dtype.str}, not native {dtype}"
    return "" if array.flags.c_contiguous else "is in Fortran's order"


def never_written(array: Any) -> str:
    """Say what of an HDF5 dataset has no place in the file, where HDF5 shows a fill value."""
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external or not array.size:
        return ""
    if array.chunks is None:
        stored, expected = array.id.get_storage_size(), array.nbytes
        return "" if stored >= expected else "was never written"
    expected = int(np.prod([-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]))
    stored = array.id.get_num_chunks()
    return "" if stored >= expected else f"is incomplete: {stored} of {expected} chunks are there"


def has_checksums(array: Any) -> bool:
    """Whether every stored chunk of an array has a checksum."""
    return isinstance(array, h5py.Dataset) and FLETCHER32 in [n for n, *_ in _pipeline(array)]


def _pipeline(array: h5py.Dataset) -> list[tuple]:
    properties = array.id.get_create_plist()
    return [properties.get_filter(i) for i in range(properties.get_nfilters())]


def _filter_name(number: int) -> str:
    names = {1: "gzip", 2: "shuffle", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
    return names.get(number, str(number))


def sampled_bytes(array: Any, source: Source, part: Part, path: Path) -> Iterator[bytes]:
    """Yield what identifies the stored values of one part of a simulation, without reading all."""
    first, last = part.rows[0], part.rows[-1]
    if isinstance(array, h5py.Dataset) and array.chunks is not None:
        chunks: list = []
        array.id.chunk_iter(chunks.append)
        mine = [c for c in chunks if _holds(c.chunk_offset, array.chunks, source, part)]
        mine.sort(key=lambda chunk: chunk.chunk_offset)
        checked = has_checksums(array)
        with path.open("rb") as file:
            for i, chunk in enumerate(mine):
                yield np.int64(chunk.size).tobytes()
                if checked:
                    yield os.pread(file.fileno(), 4, chunk.byte_offset + chunk.size - 4)
                elif i in (0, len(mine) - 1):
                    n = min(SAMPLED, chunk.size)
                    yield os.pread(file.fileno(), n, chunk.byte_offset)
                    yield os.pread(file.fileno(), n, chunk.byte_offset + chunk.size - n)
        return
    for row in dict.fromkeys((first, part.rows[len(part.rows) // 2], last)):
        values = np.ascontiguousarray(read_block(array, source, part.run, [row])).tobytes()
        yield values[:SAMPLED] + values[-SAMPLED:]


def _holds(offset: Sequence[int], shape: Sequence[int], source: Source, part: Part) -> bool:
    """Whether a chunk holds a value of a part of a simulation."""
    for start, n, axis in zip(offset, shape, source.axes, strict=True):
        if axis == RUN and not start <= part.run < start + n:
            return False
        if axis == TIME and not any(start <= row < start + n for row in part.rows):
            return False
        if isinstance(axis, int) and not start <= axis < start + n:
            return False
    return True
