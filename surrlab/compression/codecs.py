"""Error-bounded codecs as frozen values: `encode`, `decode`, and the HDF5 filter that says so.

The paper compresses with zfp in fixed-accuracy mode (Section II). zfpy does the work here because
it releases the interpreter's lock, and its streams are those of the HDF5 filter H5Z-ZFP: files stay
readable by any HDF5 program. zfp itself trusts its input and turns what it cannot represent into
plausible numbers: every refusal below is one of those cases.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

_TYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Raw:
    """No compression: the bytes of the array. It stands in where a chunk was stored as it is.

    >>> Raw().decode(Raw().encode(np.ones((2, 2), np.float32)), (2, 2))
    array([[1., 1.],
           [1., 1.]], dtype=float32)
    """

    def encode(self, array) -> bytes:
        """Bytes of `array` in C order; refuses what `Zfp.encode` refuses."""
        return checked(array).tobytes()

    def decode(self, data, shape, dtype=np.float32, out=None):
        """Array `shape` from `data`, as `Zfp.decode`."""
        out = _destination(out, shape, dtype)
        if len(data) != out.nbytes:
            raise ValueError(f"{shape} {out.dtype} takes {out.nbytes} bytes, got {len(data)}")
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        return out

    def h5_filter(self) -> dict:
        """No arguments: an HDF5 dataset without a compression filter."""
        return {}

    def config(self) -> dict:
        """What rebuilds this codec, as JSON."""
        return {"codec": "raw"}


def checked(array) -> np.ndarray:
    """`array` as codecs can read it: finite native floats in C order, no sides of length 1.

    Raises
    ------
    TypeError
        Not float32 or float64.
    ValueError
        NaN or infinity, named with its index; or no values at all.
    """
    array = np.asarray(array)
    if array.dtype.newbyteorder("=") not in _TYPES:
        raise TypeError(f"only float32 and float64 can be encoded, not {array.dtype}")
    if array.size == 0:
        raise ValueError(f"an array without values cannot be encoded; its shape is {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"{array.size - np.count_nonzero(finite)} of {array.size} values are not finite, "
            f"the first ({array[first]}) at {first}; zfp would store numbers for them"
        )
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return array.reshape(_long_sides(array.shape))


def _destination(out, shape, dtype) -> np.ndarray:
    """`out` if a decoder may write an array like that into it, or a new array."""
    if out is None:
        out = np.empty(shape, dtype)
    elif out.shape != tuple(shape) or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(  # zfpy would write a strided array as if it were contiguous
            f"out must be a C-contiguous {tuple(shape)} {np.dtype(dtype)} array, not {out.shape} "
            f"{out.dtype} with strides {out.strides}"
        )
    if out.dtype not in _TYPES:
        raise TypeError(f"only float32 and float64 can be decoded, not {out.dtype}")
    return out


@functools.lru_cache
def _long_sides(shape) -> tuple[int, ...]:
    """`shape` without sides of length 1, which H5Z-ZFP also leaves out of its stream."""
    return tuple(n for n in shape if n > 1) or (1,)
