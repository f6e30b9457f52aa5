"""From the filters of an HDF5 dataset to the codec that decodes its chunks, and their checksum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from surrlab._compiled import njit
from surrlab.compression.codecs import Codec, Raw, codec_from_filter

FLETCHER32 = 3
PLUGIN = "HDF5_PLUGIN_PATH: where Python's hdf5plugin is"
_NAMES = {1: "deflate", 2: "shuffle", FLETCHER32: "fletcher32", 4: "szip", 6: "scaleoffset"}


def needed(codecs: Iterable[Codec]) -> str:
    """Return in words what a program needs to read what these codecs wrote."""
    numbers = {codec.name: codec.h5_filter().get("compression") for codec in codecs}
    words = ", ".join(f"{number} ({name})" for name, number in sorted(numbers.items()))
    return words if set(numbers.values()) == {"gzip"} else f"{words}; {PLUGIN}"


def codec_of(filters: Sequence[tuple[int, tuple[int, ...]]]) -> tuple[Codec, bool]:
    """Codec of an HDF5 chunk, and whether four checksum bytes follow its stream.

    Parameters
    ----------
    filters : sequence of (number, options)
        The filters that the chunk went through, in that order: those of its dataset, without those
        that its mask leaves out (HDF5 skips a filter that does not shrink a chunk).

    Raises
    ------
    ValueError
        There are others than one of a registered codec, then fletcher32: only HDF5 can decode it.
    """
    codec: Codec | None = None
    has_checksum = False
    for number, options in filters:
        if number == FLETCHER32 and not has_checksum:
            has_checksum = True
            continue
        try:
            if codec is not None or has_checksum:
                raise KeyError(number)
            codec = codec_from_filter(number, tuple(options))
        except KeyError:
            chain = " then ".join(_NAMES.get(n, str(n)) for n, _ in filters)
            raise ValueError(
                f"the HDF5 filters {chain} are not those of one registered codec, followed by "
                f"fletcher32 at most (filter {_NAMES.get(number, number)})"
            ) from None
    return codec or Raw(), has_checksum


def fletcher32(data) -> int:
    """Checksum that HDF5's fletcher32 filter appends to a chunk (little-endian, four bytes).

    >>> hex(fletcher32(b"abcdef"))
    '0x50562a2d'
    """
    return _fletcher32(np.frombuffer(data, np.uint8))


@njit(nogil=True)
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


@njit(nogil=True)
def _fold(total):  # HDF5 folds carries: zero only for a sum of zeros, else 1 … 65535
    rest = total % np.uint64(65535)
    return np.uint64(65535) if rest == 0 and total > 0 else rest
