"""Filters."""

from __future__ import annotations

import functools

import numba
import numpy as np

from surrlab.compression.codecs import Raw
from surrlab.compression.zfp import Zfp

_ZFP_FILTER, _FLETCHER32_FILTER = 32013, 3  # numbers in the HDF Group's registry


def stored_as(dataset, filter_mask: int = 0) -> tuple[Raw | Zfp, bool]:
    """Codec of an HDF5 dataset's chunks, and whether four checksum bytes follow each.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any dataset that is not virtual.
    filter_mask : int
        The chunk's own mask: bit i says that HDF5 left out filter i (a chunk that did not shrink).

    Raises
    ------
    ValueError
        Another filter is in use: only HDF5 itself can decode these chunks.
    """
    codec, checked = Raw(), False
    pipeline = dataset.id.get_create_plist()
    for i in range(pipeline.get_nfilters()):
        number, _, options, name = pipeline.get_filter(i)
        if filter_mask >> i & 1:
            continue
        if number == _ZFP_FILTER and not checked and codec == Raw():
            codec = _zfp_of_filter(options)
        elif number == _FLETCHER32_FILTER and not checked:
            checked = True
        else:
            raise ValueError(
                f"{dataset.file.filename}: chunks of {dataset.name} pass through the HDF5 filter "
                f"{name.decode() or number!r}; only zfp followed by fletcher32 can be decoded here"
            )
    return codec, checked


def fletcher32(data) -> int:
    """Checksum that HDF5's fletcher32 filter appends to a chunk (little-endian, four bytes).

    >>> hex(fletcher32(b"abcdef"))
    '0x50562a2d'
    """
    return _fletcher32(np.frombuffer(data, np.uint8))


@numba.njit(nogil=True, cache=True)
def _fletcher32(data):  # uint8 (n,) -> uint32
    # Two sums modulo 65535 over big-endian 16-bit words. Within 2^16 words the second sum stays
    # below 2^48: one division a block instead of one a word.
    first = second = np.uint64(0)
    words = data.size // 2
    for start in range(0, words, 1 << 16):
        for i in range(start, min(start + (1 << 16), words)):
            first += (np.uint64(data[2 * i]) << np.uint64(8)) | np.uint64(data[2 * i + 1])
            second += first
        first, second = _fold(first), _fold(second)
    if data.size % 2:
        first += np.uint64(data[-1]) << np.uint64(8)
        second += first
    return np.uint32((_fold(second) << np.uint64(16)) | _fold(first))


@numba.njit(nogil=True, cache=True)
def _fold(total):  # HDF5 folds carries: zero only for a sum of zeros, else 1 … 65535
    rest = total % np.uint64(65535)
    return np.uint64(65535) if rest == 0 and total > 0 else rest


@functools.lru_cache
def _zfp_of_filter(options) -> Zfp:
    """The codec behind the numbers that H5Z-ZFP keeps in a file."""
    import hdf5plugin

    try:
        config = hdf5plugin.from_filter_options(_ZFP_FILTER, options).get_config()
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"unreadable zfp filter options {options}: {error}") from error
    if config.get("reversible"):
        return Zfp(0.0)
    if "accuracy" not in config:
        raise ValueError(f"zfp filter in a mode other than accuracy or reversible: {config}")
    return Zfp(config["accuracy"])
