"""HDF5 filters of hdf5plugin, called on arrays without HDF5 and without the interpreter's lock.

A filter is a C function in a shared library that HDF5 loads. `FilterCodec` calls the same function
through ctypes: its streams are, byte for byte, the chunks that HDF5 would store, and threads decode
at the same time, because neither HDF5's lock nor Python's is held.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import h5py
import hdf5plugin
import numpy as np

from surrlab.compression.codecs import Codec, checked, output_array

_T = TypeVar("_T")
_names = itertools.count()
_REVERSE = 0x0100  # H5Z_FLAG_REVERSE: decode
_FUNCTION = ctypes.CFUNCTYPE(  # H5Z_func_t; ctypes lets go of the interpreter's lock meanwhile
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_void_p),
)


class _Class(ctypes.Structure):  # H5Z_class2_t
    _fields_: ClassVar = [
        ("version", ctypes.c_int),
        ("number", ctypes.c_int),
        ("has_encoder", ctypes.c_uint),
        ("has_decoder", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("function", ctypes.c_void_p),
    ]


class FilterCodec(Codec):
    """A codec whose streams an HDF5 filter of hdf5plugin makes, and decodes by themselves.

    The filters check no more of a stream than its beginning: a damaged one may decode to noise or
    end the process. Files carry `fletcher32`, which HDF5 and the loader look at first.

    Attributes
    ----------
    number : int
        Of the filter, in the HDF Group's registry.
    library : str
        Its name in hdf5plugin's folder: ``libh5<library>``.
    """

    carries_bound: ClassVar[bool] = True
    number: ClassVar[int]
    library: ClassVar[str]

    def encode(self, array: np.ndarray) -> bytes:
        """Chunk ``(1, *array.shape)`` as HDF5's filter would store it.

        Raises
        ------
        TypeError, ValueError
            The array is refused by `checked`, or by the filter.
        """
        values = self._prepared(checked(array).reshape(np.shape(array)))
        words = self._encoder(values)._words(values.shape, values.dtype)
        address = values.ctypes.data
        stream = _call(self.library, 0, words, address, values.nbytes, ctypes.string_at)
        if stream is None:
            raise ValueError(
                f"the {self.library} filter of HDF5 refuses a {values.shape} {values.dtype} array "
                f"with values from {values.min():g} to {values.max():g} and {self}"
            )
        return stream

    def decode(self, data, shape, dtype=np.float32, out: np.ndarray | None = None) -> np.ndarray:
        """Array from a stream of `encode`, made with any tolerance, into `out` if one is given.

        Raises
        ------
        ValueError
            `out` does not fit, or the stream is not one of an array like that.
        """
        out = output_array(out, shape, dtype)
        self.decode_many([data], [out])
        return out

    def decode_many(self, streams: Sequence, outs: Sequence[np.ndarray]) -> None:
        """Decode each stream into the array at the same place of `outs`, as `decode`."""
        words: dict[tuple, tuple[int, ...]] = {}
        for stream, out in zip(streams, outs, strict=True):
            data, like = bytes(stream), (out.shape, out.dtype)
            damage = self._damage(data, *like)
            if not damage:
                if like not in words:
                    words[like] = self._words(*like)
                if _call(self.library, _REVERSE, words[like], data, len(data), _into(out)):
                    continue
                damage = "the filter cannot decode it"
            raise ValueError(
                f"not a {self.name} stream of a {out.shape} {out.dtype} array: {len(data)} bytes, "
                f"{damage}; it was truncated, damaged or mislabelled"
            )

    def _prepared(self, values: np.ndarray) -> np.ndarray:
        """What the filter encodes in place of `values`, C-contiguous; ValueError if it cannot."""
        return values

    def _encoder(self, values: np.ndarray) -> FilterCodec:
        """The codec with the tolerance to ask of the filter, so that `self`'s holds."""
        return self

    def _words(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        """The filter's options for a chunk ``(1, *shape)``, with this codec's tolerance."""
        return local_words(self.number, self._options(), shape, dtype.str)

    def _options(self) -> tuple[int, ...]:
        """The filter's options for any chunk."""
        return tuple(self.h5_filter().get("compression_opts", ()))

    def _damage(self, stream: bytes, shape: tuple[int, ...], dtype: np.dtype) -> str:
        """What is wrong with a stream, as far as its beginning and its end tell."""
        low, high = self.plausible_bytes(shape, dtype.itemsize)
        return "" if low <= len(stream) <= high else f"where {low} to {high} are possible"


@functools.lru_cache(maxsize=1024)
def local_words(
    number: int, options: tuple[int, ...], shape: tuple[int, ...], dtype: str
) -> tuple[int, ...]:
    """Options of an HDF5 filter as HDF5 adapts them to chunks ``(1, *shape)`` of a type."""
    arguments: dict[str, Any] = {"compression": number, "compression_opts": options}
    chunk = (1, *shape)
    # In memory, and yet HDF5 does not open two of one name: threads come here at the same time.
    name = f"words-{next(_names)}"
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", chunk, dtype, chunks=chunk, **arguments)
        return tuple(dataset.id.get_create_plist().get_filter(0)[2])


@functools.cache
def _function(library: str):
    """The C function of a filter.

    Raises
    ------
    ImportError
        If this machine's hdf5plugin has no such filter.
    """
    files = sorted(Path(hdf5plugin.PLUGIN_PATH).glob(f"libh5{library}.*"))
    if not files:
        raise ImportError(
            f"the HDF5 filter {library} is not in {hdf5plugin.PLUGIN_PATH}: "
            "pip install --upgrade hdf5plugin"
        )
    plugin = ctypes.CDLL(str(files[0]))
    plugin.H5PLget_plugin_info.restype = ctypes.POINTER(_Class)
    return _FUNCTION(plugin.H5PLget_plugin_info().contents.function)


@functools.cache
def _hdf5():
    """HDF5's own allocation: filters replace the buffer that they are given."""
    hdf5 = ctypes.CDLL(h5py.h5z.__file__)
    hdf5.H5allocate_memory.restype = ctypes.c_void_p
    hdf5.H5allocate_memory.argtypes = [ctypes.c_size_t, ctypes.c_bool]
    hdf5.H5free_memory.argtypes = [ctypes.c_void_p]
    return hdf5


def _into(out: np.ndarray) -> Callable[[ctypes.c_void_p, int], bool]:
    """Copies what a filter made into an array; whether that fills it."""

    def copy(buffer: ctypes.c_void_p, nbytes: int) -> bool:
        if nbytes == out.nbytes:
            ctypes.memmove(out.ctypes.data, buffer, nbytes)
        return nbytes == out.nbytes

    return copy


def _call(
    library: str,
    flags: int,
    words: tuple[int, ...],
    data: bytes | int,
    nbytes: int,
    take: Callable[[ctypes.c_void_p, int], _T],
) -> _T | None:
    """What `take` makes of a filter's buffer and its length; None if the filter refuses.

    The filter is given `nbytes` bytes of `data`, or at that address.
    """
    function, hdf5 = _function(library), _hdf5()
    buffer = ctypes.c_void_p(hdf5.H5allocate_memory(max(nbytes, 1), False))
    size = ctypes.c_size_t(nbytes)
    try:
        ctypes.memmove(buffer, data, nbytes)
        options = (ctypes.c_uint * len(words))(*words)
        made = function(
            flags, len(words), options, nbytes, ctypes.byref(size), ctypes.byref(buffer)
        )
        return take(buffer, made) if made else None
    finally:
        hdf5.H5free_memory(buffer)
