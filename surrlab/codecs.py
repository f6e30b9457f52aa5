"""Error-bounded codecs as frozen values: `encode`, `decode`, and the HDF5 filter that says so.

The paper compresses with zfp in fixed-accuracy mode (Section II). zfpy does the work here because
it releases the interpreter's lock, and its streams are those of the HDF5 filter H5Z-ZFP: files stay
readable by any HDF5 program. zfp itself trusts its input and turns what it cannot represent into
plausible numbers: every refusal below is one of those cases.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass

import numba
import numpy as np
import zfpy

_ZFP_TYPES = {np.dtype(np.float32): zfpy.type_float, np.dtype(np.float64): zfpy.type_double}
_ZFP_FILTER, _FLETCHER32_FILTER = 32013, 3  # numbers in the HDF Group's registry


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
    if array.dtype.newbyteorder("=") not in _ZFP_TYPES:
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
    if out.dtype not in _ZFP_TYPES:
        raise TypeError(f"only float32 and float64 can be decoded, not {out.dtype}")
    return out


@functools.lru_cache
def _long_sides(shape) -> tuple[int, ...]:
    """`shape` without sides of length 1, which H5Z-ZFP also leaves out of its stream."""
    return tuple(n for n in shape if n > 1) or (1,)


@functools.lru_cache
def plausible_bytes(shape, itemsize) -> tuple[int, int]:
    """Shortest and longest zfp stream of an array: one bit a zero block; all bits and a header."""
    sides = _long_sides(shape)
    blocks = math.prod(math.ceil(n / 4) for n in sides)
    bits_a_block = 4 ** len(sides) * (8 * itemsize + 1) + 64
    return math.ceil(blocks / 8), 8 * math.ceil((blocks * bits_a_block + 256) / 64)


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
