"""Many stored fields decoded in one call that holds no lock of the interpreter (Section VI).

On a small grid a call of zfpy costs as much as the field it decodes, and threads that return to the
interpreter after each field wait for each other and for the training loop. So compiled code calls
the zfp library that zfpy has loaded. Where that cannot be found, zfpy decodes field by field.
"""

from __future__ import annotations

import ctypes

import llvmlite.binding
import numba
import numpy as np
import zfpy
from numba import types

from surrlab import codecs
from surrlab.codecs import Raw, Zfp

RAW = -1.0  # instead of a tolerance

_FLOAT32 = zfpy.type_float
_INT, _FLOAT, _NOTHING = types.intp, types.float64, types.void
_ZFP = {  # result, then arguments; pointers are passed as integers of their size
    "stream_open": (_INT, _INT, _INT),
    "stream_close": (_NOTHING, _INT),
    "zfp_stream_open": (_INT, _INT),
    "zfp_stream_close": (_NOTHING, _INT),
    "zfp_stream_rewind": (_NOTHING, _INT),
    "zfp_stream_set_accuracy": (_FLOAT, _INT, _FLOAT),
    "zfp_stream_set_reversible": (_NOTHING, _INT),
    "zfp_field_1d": (_INT, _INT, types.intc, _INT),
    "zfp_field_2d": (_INT, _INT, types.intc, _INT, _INT),
    "zfp_field_free": (_NOTHING, _INT),
    "zfp_field_set_pointer": (_NOTHING, _INT, _INT),
    "zfp_decompress": (_INT, _INT, _INT),
}


def kind(codec: Raw | Zfp, checked: bool) -> tuple[float, float]:
    """How chunks are stored, as numbers: a row of what `decode` takes for `kinds`."""
    return (RAW if codec == Raw() else codec.tolerance), float(checked)


def decode(addresses, nbytes, kinds, chosen, slots, out) -> int:
    """Check and decode chunks that lie in memory into the fields ``out[slots]``.

    Parameters
    ----------
    addresses, nbytes : arrays (n,) int64
        Where each chunk lies and how long it is, its checksum included. The caller answers for
        them: they are not, and cannot be, checked here.
    kinds : array (k, 2) float64
        How chunks are stored, rows of `kind`.
    chosen : array (n,) int64
        Row of `kinds` of each chunk.
    slots : array (n,) int64
        Where each goes.
    out : array (m, ny, nx) float32
        C-contiguous.

    Returns
    -------
    int
        Position of the first chunk that is damaged, whose fate `explain` tells; -1 if none is.
    """
    low, high = codecs.plausible_bytes(out.shape[1:], 4)
    if _library is None:
        for i, (address, n) in enumerate(zip(addresses.tolist(), nbytes.tolist(), strict=True)):
            try:
                explain(address, n, kinds[chosen[i]], out[slots[i]])
            except (OSError, ValueError):
                return i
        return -1
    return _decode(addresses, nbytes, kinds, chosen, slots, out, low, high)


def explain(address: int, nbytes: int, kind, out) -> None:
    """Decode one chunk with zfpy into ``out`` (ny, nx), or say what is wrong with it.

    Raises
    ------
    OSError
        The checksum does not match.
    ValueError
        It cannot be a chunk of a field like `out`.

    What compiled code alone can see, a stream that goes on beyond its end, passes.
    """
    tolerance, checked = kind
    data = ctypes.string_at(address, nbytes)
    if checked:
        data, stored = data[:-4], int.from_bytes(data[-4:], "little")
        if codecs.fletcher32(data) != stored:
            raise OSError("the checksum does not match; the file was damaged")
    (Raw() if tolerance == RAW else Zfp(tolerance)).decode(data, out.shape, out=out)


def _load():
    """Make zfp's functions known to numba by name; None if the library does not show them."""
    try:
        library = ctypes.CDLL(zfpy.__file__)  # names are looked up in what it links to as well
        functions = {name: getattr(library, name) for name in _ZFP}
    except (OSError, AttributeError):
        return None
    functions["copy"] = ctypes.memmove
    for name, function in functions.items():
        address = ctypes.cast(function, ctypes.c_void_p).value
        llvmlite.binding.add_symbol(f"surrlab_{name}", address)
    return library


_library = _load()


def _external(name, result, *arguments):
    return types.ExternalFunction(f"surrlab_{name}", result(*arguments))


_copy = _external("copy", _INT, _INT, _INT, _INT)
(
    _bits_open,
    _bits_close,
    _open,
    _close,
    _rewind,
    _set_accuracy,
    _set_reversible,
    _field_1d,
    _field_2d,
    _field_free,
    _field_at,
    _decompress,
) = (_external(name, *signature) for name, signature in _ZFP.items())


@numba.njit(nogil=True, cache=True)
def _decode(addresses, nbytes, kinds, chosen, slots, out, low, high):
    ny, nx = out.shape[1:]
    # A copy that starts and ends on zfp's words of eight bytes, and that a damaged stream cannot
    # be read beyond. The last word is for a checksum that follows at an odd place.
    words = np.empty(high // 8 + 2, np.uint64)
    data = words.view(np.uint8)
    bits = _bits_open(data.ctypes.data, data.size)
    stream = _open(bits)
    if ny > 1 and nx > 1:
        field = _field_2d(out.ctypes.data, _FLOAT32, nx, ny)
    else:  # H5Z-ZFP leaves out sides of length 1
        field = _field_1d(out.ctypes.data, _FLOAT32, nx * ny)
    bad = -1
    for i in range(addresses.size):
        tolerance, checked = kinds[chosen[i]]
        n = nbytes[i] - 4 * np.int64(checked)
        target = out[slots[i]]
        if tolerance == RAW:
            if n != target.nbytes:
                bad = i
                break
            _copy(target.ctypes.data, addresses[i], n)
            _copy(data.ctypes.data, addresses[i] + n, nbytes[i] - n)
            if checked and codecs._fletcher32(target.reshape(-1).view(np.uint8)) != _word(data, 0):
                bad = i
                break
            continue
        if not low <= n <= high:
            bad = i
            break
        words[(n + 7) // 8 - 1] = 0
        _copy(data.ctypes.data, addresses[i], nbytes[i])
        if checked:
            if codecs._fletcher32(data[:n]) != _word(data, n):
                bad = i
                break
            data[n : n + 4] = 0
        if tolerance > 0:
            _set_accuracy(stream, tolerance)
        else:
            _set_reversible(stream)
        _rewind(stream)
        _field_at(field, target.ctypes.data)
        used = _decompress(stream, field)
        if not 0 < used <= n + -n % 8:  # nothing, or more than there was
            bad = i
            break
    _field_free(field)
    _close(stream)
    _bits_close(bits)
    return bad


@numba.njit(nogil=True, cache=True)
def _word(data, i):  # the little-endian number in four bytes
    word = np.uint32(0)
    for k in range(3, -1, -1):
        word = (word << np.uint32(8)) | np.uint32(data[i + k])
    return word
