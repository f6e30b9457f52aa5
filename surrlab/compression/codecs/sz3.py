"""SZ3: prediction by interpolation, quantised to a bound, then Huffman and zstd.

References
----------
X. Liang et al., "SZ3: A Modular Framework for Composing Prediction-Based Error-Bounded Lossy
Compressors", IEEE TBDATA 9(2), 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import hdf5plugin
import numpy as np

from surrlab.compression.codecs import long_sides, register_codec
from surrlab.compression.codecs.filter_library import FilterCodec, local_words

_PLAIN = 20  # the filter leaves arrays with fewer values as they are
_ZSTD = bytes.fromhex("28b52ffd")  # how a frame of zstd begins
_OPTIONS = 9  # of the filter, besides type and sides of the chunk


@dataclass(frozen=True)
class Sz3(FilterCodec):
    """SZ3 with a bound on the absolute error of every value.

    Each stream ends with 76 bytes of settings: SZ3 pays on grids of some 5,000 cells and more. One
    of fewer than 20 values, or of one side longer than 1, is the bytes of the array themselves: its
    HDF5 filter compresses none of those.

    Parameters
    ----------
    tolerance : float
        Largest absolute error, in the unit of the data; 0 is lossless.

    Examples
    --------
    >>> codec, field = Sz3(0.1), np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    >>> stream = codec.encode(field)
    >>> bool(abs(codec.decode(stream, field.shape) - field).max() <= codec.tolerance)
    True
    """

    name: ClassVar[str] = "sz3"
    number: ClassVar[int] = hdf5plugin.SZ3_ID
    library: ClassVar[str] = "sz3"
    tolerance: float

    @classmethod
    def expected_tolerance(cls, error: float, ndim: int) -> float:
        """Three times the mean absolute error: measured on simulations."""
        return 3 * error

    def h5_filter(self) -> dict[str, Any]:
        """Arguments of ``create_dataset`` for which HDF5 writes the same stream in each chunk."""
        return dict(hdf5plugin.SZ3(absolute=self.tolerance))

    def _words(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        chunk = local_words(self.number, Sz3(1.0)._options(), shape, dtype.str)
        return (*chunk[:-_OPTIONS], *self._options())

    def _prepared(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            span = np.ptp(values)
        if not span < math.inf:  # SZ3 would not come to an end
            raise ValueError(
                f"values from {values.min():g} to {values.max():g} lie further apart than "
                f"{values.dtype} can say; SZ3 cannot encode them"
            )
        return values

    def _damage(self, stream: bytes, shape: tuple[int, ...], dtype: np.dtype) -> str:
        sides = long_sides(shape)
        if len(sides) == 1 or math.prod(sides) < _PLAIN:
            nbytes = dtype.itemsize * math.prod(sides)
            return "" if len(stream) == nbytes else f"where {nbytes} are needed"
        # Eight bytes on how much zstd holds, its frame, the settings, and how long those are. The
        # settings begin with the sides.
        settings = len(sides).to_bytes(1, "little") + np.array(sides, "<u8").tobytes()
        end = len(stream) - 4
        at = end - int.from_bytes(stream[end:], "little")
        if stream[at : at + len(settings)] != settings or not 8 < at < end - len(settings):
            return f"without settings of SZ3 for sides {sides} at their end"
        if zstd_frame(stream, 8) != (at, int.from_bytes(stream[:8], "little")):
            return "without a whole frame of zstd"
        return ""


def zstd_frame(data: bytes, start: int) -> tuple[int, int]:
    """Where a zstd frame ends, and how many bytes it holds, by its headers; (-1, -1) if by none.

    References
    ----------
    RFC 8878, section 3.1.1.
    """
    try:
        flags = data[start + 4]
        is_single, size_flag = flags >> 5 & 1, flags >> 6
        size_at = start + 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
        size_nbytes = (is_single, 2, 4, 8)[size_flag]
        size = int.from_bytes(data[size_at : size_at + size_nbytes], "little")
        at, is_last = size_at + size_nbytes, 0
        while not is_last and data[start : start + 4] == _ZSTD:
            block = int.from_bytes(data[at : at + 3], "little")
            is_last, kind = block & 1, block >> 1 & 3
            at += 3 + (1 if kind == 1 else block >> 3)
            data[at - 1]
        return (at + 4 * (flags >> 2 & 1), size + 256 * (size_flag == 1)) if is_last else (-1, -1)
    except IndexError:
        return -1, -1


register_codec(Sz3, h5_filter_id=Sz3.number)
