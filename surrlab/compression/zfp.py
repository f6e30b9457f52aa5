"""zfp."""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass

import numpy as np
import zfpy

from surrlab.compression.codecs import _destination, _long_sides, checked

_ZFP_TYPES = {np.dtype(np.float32): zfpy.type_float, np.dtype(np.float64): zfpy.type_double}


@dataclass(frozen=True)
class Zfp:
    """zfp with a bound on the absolute error of every value.

    The bound does not hold where it is finer than the machine epsilon of the largest value in a
    4 x 4 block: `tolerance.find_tolerance` measures, and goes lossless there.

    Parameters
    ----------
    tolerance : float
        Largest absolute error, in the unit of the data; zfp knows powers of two only, so it is
        rounded down to one. 0 is zfp's reversible (lossless) mode.

    Examples
    --------
    >>> codec, field = Zfp(0.1), np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    >>> codec
    Zfp(tolerance=0.0625)
    >>> stream = codec.encode(field)
    >>> bool(abs(codec.decode(stream, field.shape) - field).max() <= codec.tolerance)
    True
    """

    tolerance: float

    def __post_init__(self):
        tolerance = float(self.tolerance)
        if not 0 <= tolerance < math.inf:  # zfpy would take NaN and -1 for "lossless"
            raise ValueError(f"a tolerance is a number ≥ 0 (0: lossless), not {self.tolerance}")
        if tolerance:
            tolerance = math.ldexp(1, math.frexp(tolerance)[1] - 1)
        object.__setattr__(self, "tolerance", tolerance)

    @property
    def exponent(self) -> int | None:
        """k of the tolerance 2^k; None in reversible mode."""
        return math.frexp(self.tolerance)[1] - 1 if self.tolerance else None

    @staticmethod
    def expected_tolerance(error: float, ndim: int) -> float:
        """Tolerance whose mean absolute error is about `error`: 4^d e / c(d), Section IV-B.

        c(d) is measured for tolerances that are powers of two; it is lower on smooth data.
        """
        return 4**ndim * error / (0.548, 1.089, 2.159, 4.28)[ndim - 1]

    def encode(self, array) -> bytes:
        """Compress a float32 or float64 array of 1 to 4 dimensions, not counting those of length 1.

        Arrays that are not contiguous, or of the other byte order, are copied into order first.

        Returns
        -------
        bytes
            The header-less zfp stream; decoding it takes the same codec, shape and type. H5Z-ZFP
            writes the same bytes, but ends at the last used one, where zfpy fills up eight.

        Raises
        ------
        TypeError
            Not float32 or float64.
        ValueError
            NaN or infinity (zfp would store finite numbers), no values, or too many dimensions.
        """
        array = checked(array)
        if array.ndim > 4:
            raise ValueError(f"zfp knows at most 4 dimensions longer than 1, got {array.shape}")
        return zfpy.compress_numpy(array, tolerance=self.tolerance or -1, write_header=False)

    def decode(self, data, shape, dtype=np.float32, out=None):
        """Decompress a stream of `encode` into `out`, or into a new array.

        zfp has no checksum: a damaged stream, or one cut to a length that another field could
        have, decodes to noise. Files carry `fletcher32` for that.

        Parameters
        ----------
        data : bytes-like
            The stream.
        shape : tuple of int
            Shape of the array that was encoded.
        dtype : dtype
            Its type, float32 or float64.
        out : ndarray, optional
            C-contiguous array of that shape and type to write into.

        Raises
        ------
        ValueError
            `out` does not fit, or the stream's length cannot be one of this shape's.
        """
        out = _destination(out, shape, dtype)
        shape = out.shape
        low, high = plausible_bytes(shape, out.itemsize)
        if not low <= len(data) <= high:
            raise ValueError(
                f"not a zfp stream of a {shape} {out.dtype} array: {len(data)} bytes, "
                f"where {low} to {high} are possible; it was truncated or mislabelled"
            )
        if len(data) % 8:  # by H5Z-ZFP: zfpy reads words of eight bytes
            data = bytes(data) + bytes(-len(data) % 8)
        target = out if 1 not in shape else out.reshape(_long_sides(shape))
        zfpy._decompress(
            data,
            _ZFP_TYPES[out.dtype],
            target.shape,
            out=target,
            tolerance=self.tolerance or -1,
        )
        return out

    def h5_filter(self) -> dict:
        """Arguments of ``create_dataset`` for which HDF5 writes the same stream in each chunk."""
        import hdf5plugin

        if self.tolerance:
            return dict(hdf5plugin.Zfp(accuracy=self.tolerance))
        return dict(hdf5plugin.Zfp(reversible=True))

    def config(self) -> dict:
        """What rebuilds this codec, as JSON."""
        return {"codec": "zfp"} | asdict(self)


@functools.lru_cache
def plausible_bytes(shape, itemsize) -> tuple[int, int]:
    """Shortest and longest zfp stream of an array: one bit a zero block; all bits and a header."""
    sides = _long_sides(shape)
    blocks = math.prod(math.ceil(n / 4) for n in sides)
    bits_a_block = 4 ** len(sides) * (8 * itemsize + 1) + 64
    return math.ceil(blocks / 8), 8 * math.ceil((blocks * bits_a_block + 256) / 64)
