"""Where the fields of an HDF5 file lie, and how they are encoded: asked of HDF5 once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np

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
    """

    sample: int
    field: int
    offset: int
    nbytes: int
    filters: Filters


def locate(
    dataset: h5py.Dataset, dtype: str, grid_ndim: int | None = None
) -> Iterator[tuple[int, int, int, Filters]]:
    """Yield (row, offset, bytes, filters) of each field of a dataset (time, *axes).

    Where more axes than time come before the grid's, a row is the flat index over all of them.
    A virtual dataset over others of the same file is followed.

    Parameters
    ----------
    dataset : h5py.Dataset
        One plane of it is one stored field.
    dtype : str
        ``"float32"`` or ``"float64"``.
    grid_ndim : int, optional
        Number of the grid's axes, which come last; by default all but the first.

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
            if source.is_virtual:
                raise _unreadable(dataset, "is a virtual dataset over virtual datasets")
            stored = {one[0]: one[1:] for one in locate(source, dtype, len(plane))}
            rows = _planes(part.vspace, dataset, n_lead)
            stored_rows = _planes(part.src_space, source, source.ndim - len(plane))
            for row, stored_row in zip(rows, stored_rows, strict=True):
                yield row, *stored[stored_row]
            mapped += len(rows)
        if mapped != n_rows:
            raise _unreadable(dataset, "shows fields that lie nowhere")
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
        raise _unreadable(dataset, "has fields that were never written")
    encodings = {mask: _filters(dataset, mask) for mask in {c.filter_mask for c in chunks}}
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
    if set(dataset.chunks[: dataset.ndim - grid_ndim]) - {1} and _filters(dataset, 0):
        return f"has chunks of {dataset.chunks}, not of one field each"
    return ""


def _filters(dataset: h5py.Dataset, mask: int) -> Filters:
    """Filters of a dataset; bit i of a chunk's mask says that HDF5 left out filter i."""
    pipeline = dataset.id.get_create_plist()
    each = [pipeline.get_filter(i) for i in range(pipeline.get_nfilters())]
    return tuple(
        (number, tuple(options))
        for i, (number, _, options, _) in enumerate(each)
        if not mask >> i & 1
    )


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


def _unreadable(dataset: h5py.Dataset, what: str) -> ValueError:
    return ValueError(
        f"{dataset.file.filename}: {dataset.name} {what}; only HDF5 itself can read it "
        "(Ensemble.read), or write it anew with compression.compress"
    )
