"""Rounding to a power of two, then a lossless coder: the cheap baseline.

Rounded floats end in zero bits; bitshuffle brings the bits of one place together, and zstd removes
what repeats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import hdf5plugin
import numpy as np

from surrlab.compression.codecs import register_codec
from surrlab.compression.codecs.filter_library import FilterCodec


@dataclass(frozen=True)
class BitRound(FilterCodec):
    """Values rounded to multiples of twice the tolerance, in Blosc2 with bitshuffle and zstd.

    Parameters
    ----------
    tolerance : float
        Largest absolute error, in the unit of the data; rounded down to a power of two. 0 is
        lossless.

    Examples
    --------
    >>> codec, field = BitRound(0.1), np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    >>> codec
    BitRound(tolerance=0.0625)
    >>> bool(abs(codec.decode(codec.encode(field), field.shape) - field).max() <= codec.tolerance)
    True
    """

    name: ClassVar[str] = "bitround"
    number: ClassVar[int] = hdf5plugin.BLOSC2_ID
    library: ClassVar[str] = "blosc2"
    tolerance: float

    @classmethod
    def snap(cls, tolerance: float) -> float:
        """The largest power of two that is not above `tolerance`; 0 stays 0."""
        return math.ldexp(1, math.frexp(tolerance)[1] - 1) if tolerance else 0.0

    def h5_filter(self) -> dict[str, Any]:
        """Arguments of ``create_dataset``: HDF5 compresses the same way, but does not round."""
        blosc2 = hdf5plugin.Blosc2
        return dict(blosc2(cname="zstd", clevel=5, filters=blosc2.BITSHUFFLE))

    def _prepared(self, values: np.ndarray) -> np.ndarray:
        if not self.tolerance:
            return values
        exponent = math.frexp(self.tolerance)[1]  # of the step, 2 * tolerance
        with np.errstate(over="ignore", under="ignore"):
            steps = np.ldexp(values, -exponent)
            rounded = np.ldexp(np.rint(steps), exponent)
        # Beyond this many steps all values are multiples of one; the largest may round to infinity.
        exact = (np.abs(steps) >= 2.0 ** (np.finfo(values.dtype).nmant + 1)) | np.isinf(rounded)
        return np.where(exact, values, rounded)


register_codec(BitRound, h5_filter_id=BitRound.number)
