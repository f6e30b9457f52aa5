"""zfp in fixed-accuracy mode, which the paper compresses with (Section II).

zfpy does the work because it releases the interpreter's lock, and its streams are those of the HDF5
filter H5Z-ZFP: files stay readable by any HDF5 program. zfp trusts its input and turns what it
cannot represent into plausible numbers: every refusal here and in `codecs` is one of those cases.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import zfpy

from surrlab.compression.codecs import Codec, checked, long_sides, output_array, register_codec

FILTER = 32013
"""Number of H5Z-ZFP in the HDF Group's registry."""

_ZFP_TYPES = {np.dtype(np.float32): zfpy.type_float, np.dtype(np.float64): zfpy.type_double}


@dataclass(frozen=True)
class Zfp(Codec):
    """zfp with a bound on the absolute error of every value.

    The bound does not hold where it is finer than the machine epsilon of the largest value in a
    4 x 4 block: `search.find_tolerance` measures, and goes lossless there.

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

    name: ClassVar[str] = "zfp"
    tolerance: float

    @classmethod
    def snap(cls, tolerance: float) -> float:
        """The largest power of two that is not above `tolerance`; 0 stays 0.

        `Codec.coarser` and `Codec.finer`, the double and the half, are the next ones.
        """
        return math.ldexp(1, math.frexp(tolerance)[1] - 1) if tolerance else 0.0

    @property
    def exponent(self) -> int | None:
        """k of the tolerance 2^k; None in reversible mode."""
        return math.frexp(self.tolerance)[1] - 1 if self.tolerance else None

    @property
    def class_name(self) -> str:
        """The exponent: the filter has one tolerance for all chunks of a dataset."""
        return "reversible" if self.exponent is None else str(self.exponent)

    @classmethod
    def expected_tolerance(cls, error: float, ndim: int) -> float:
        """Tolerance whose mean absolute error is about `error`: 4^d e / c(d), Section IV-B.

        c(d) is measured for tolerances that are powers of two; it is lower on smooth data.
        """
        return 4**ndim * error / (0.548, 1.089, 2.159, 4.28)[ndim - 1]

    @classmethod
    def erasing_tolerance(cls, peak: float, ndim: int) -> float:
        """Tolerance from which nothing is left of a field with values up to ±`peak`.

        zfp drops a block whose values are below tolerance / 2^(2(d+1)).
        """
        return cls.snap(peak) * 2 ** (2 * ndim + 3)

    def encode(self, array: np.ndarray) -> bytes:
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

    def decode(self, data, shape, dtype=np.float32, out: np.ndarray | None = None) -> np.ndarray:
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
        out = output_array(out, shape, dtype)
        shape = out.shape
        low, high = self.plausible_bytes(shape, out.itemsize)
        if not low <= len(data) <= high:
            raise ValueError(
                f"not a zfp stream of a {shape} {out.dtype} array: {len(data)} bytes, "
                f"where {low} to {high} are possible; it was truncated or mislabelled"
            )
        if len(data) % 8:  # by H5Z-ZFP: zfpy reads words of eight bytes
            data = bytes(data) + bytes(-len(data) % 8)
        target = out if 1 not in shape else out.reshape(long_sides(shape))
        zfpy._decompress(
            data,
            _ZFP_TYPES[out.dtype],
            target.shape,
            out=target,
            tolerance=self.tolerance or -1,
        )
        return out

    @classmethod
    @functools.lru_cache
    def plausible_bytes(cls, shape: tuple[int, ...], itemsize: int) -> tuple[int, int]:
        """One bit for each zero block at least; all bits and a header for each at most."""
        sides = long_sides(shape)
        blocks = math.prod(math.ceil(n / 4) for n in sides)
        bits_per_block = 4 ** len(sides) * (8 * itemsize + 1) + 64
        return math.ceil(blocks / 8), 8 * math.ceil((blocks * bits_per_block + 256) / 64)

    def h5_filter(self) -> dict[str, Any]:
        """Arguments of ``create_dataset`` for which HDF5 writes the same stream in each chunk."""
        import hdf5plugin

        if self.tolerance:
            return dict(hdf5plugin.Zfp(accuracy=self.tolerance))
        return dict(hdf5plugin.Zfp(reversible=True))

    @classmethod
    @functools.lru_cache
    def from_h5_options(cls, options: tuple[int, ...]) -> Zfp:
        """The codec behind the numbers that H5Z-ZFP keeps in a file."""
        import hdf5plugin

        try:
            config = hdf5plugin.from_filter_options(FILTER, options).get_config()
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"unreadable zfp filter options {options}: {error}") from error
        if config.get("reversible"):
            return cls(0.0)
        if "accuracy" not in config:
            raise ValueError(f"zfp filter in a mode other than accuracy or reversible: {config}")
        return cls(config["accuracy"])


register_codec(Zfp, h5_filter_id=FILTER)
