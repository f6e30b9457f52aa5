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


def locate(dataset: h5py.Dataset, dtype: str) -> Iterator[tuple[int, int, int, Filters]]:
    """Yield (row, offset, bytes, filters) of each field of a dataset (time, *axes).

    A virtual dataset over others of the same file is followed.

    Raises
    ------
    ValueError
        Only HDF5 itself can read it, with the reason.
    """
    if dataset.is_virtual:
        mapped = 0
        for part in dataset.virtual_sources():
            if part.file_name != ".":
                raise _unreadable(dataset, f"lies in another file, {part.file_name}")
            source = dataset.file[part.dset_name]
            if source.is_virtual:
                raise _unreadable(dataset, "is a virtual dataset over virtual datasets")
            stored = {one[0]: one[1:] for one in locate(source, dtype)}
            rows = _planes(part.vspace, dataset)
            for row, stored_row in zip(rows, _planes(part.src_space, source), strict=True):
                yield row, *stored[stored_row]
            mapped += len(rows)
        if mapped != len(dataset):
            raise _unreadable(dataset, "shows fields that lie nowhere")
        return
    if dataset.dtype != np.dtype(dtype):
        raise _unreadable(dataset, f"is {dataset.dtype.str}, not native {dtype}")
    nbytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None:
            raise _unreadable(dataset, "has no place in the file")
        for row in range(len(dataset)):
            yield row, start + row * nbytes, nbytes, ()
        return
    if dataset.chunks != (1, *dataset.shape[1:]):
        raise _unreadable(dataset, f"has chunks of {dataset.chunks}, not of one field each")
    chunks: list = []
    dataset.id.chunk_iter(chunks.append)
    if len(chunks) != len(dataset):
        raise _unreadable(dataset, "has fields that were never written")
    encodings = {mask: _filters(dataset, mask) for mask in {c.filter_mask for c in chunks}}
    for chunk in chunks:
        yield chunk.chunk_offset[0], chunk.byte_offset, chunk.size, encodings[chunk.filter_mask]


def _filters(dataset: h5py.Dataset, mask: int) -> Filters:
    """Filters of a dataset; bit i of a chunk's mask says that HDF5 left out filter i."""
    pipeline = dataset.id.get_create_plist()
    each = [pipeline.get_filter(i) for i in range(pipeline.get_nfilters())]
    return tuple(
        (number, tuple(options))
        for i, (number, _, options, _) in enumerate(each)
        if not mask >> i & 1
    )


def _planes(space: h5py.h5s.SpaceID, dataset: h5py.Dataset) -> list[int]:
    """First indices of the whole fields ``[i, ...]`` that a selection of `dataset` covers."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return list(range(len(dataset)))
    blocks = space.get_select_hyper_blocklist()
    last = np.array(dataset.shape[1:]) - 1
    if (blocks[:, 0, 1:] != 0).any() or (blocks[:, 1, 1:] != last).any():
        raise _unreadable(dataset, "is put together from parts of fields")
    return sorted(i for start, end in blocks[:, :, 0] for i in range(start, end + 1))


def _unreadable(dataset: h5py.Dataset, what: str) -> ValueError:
    return ValueError(
        f"{dataset.file.filename}: {dataset.name} {what}; only HDF5 itself can read it "
        "(Ensemble.read), or write it anew with compression.compress"
    )
