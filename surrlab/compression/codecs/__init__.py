"""What a codec is, how one is found again, and the codec that leaves data as they are.

An error-bounded codec is a frozen value: its repr rebuilds it and equal settings are equal codecs.
A codec of your own is one class and one line: a frozen dataclass with the field ``tolerance`` that
inherits `Codec`, defines `name`, `encode`, `decode` and `h5_filter`, and `register_codec`.
"""

from __future__ import annotations

import functools
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

_TYPES = (np.dtype(np.float32), np.dtype(np.float64))
_BUILT_IN = ("zfp", "sz3", "sperr", "bit_round")  # each registers its codec when imported


class Codec(ABC):
    """A codec that keeps every value within `tolerance`, an absolute error in the data's unit.

    Attributes
    ----------
    name : str
        Names the class in configurations and files.
    carries_bound : bool
        Whether streams say how to decode themselves: any codec of the class decodes them, and
        chunks of different tolerances may share an HDF5 dataset. zfp's streams do not.
    tolerance : float
        Largest absolute error; 0 is lossless.
    """

    name: ClassVar[str]
    carries_bound: ClassVar[bool] = False
    tolerance: float

    if TYPE_CHECKING:  # what a dataclass with the field `tolerance` has

        def __init__(self, tolerance: float): ...

    def __post_init__(self):
        tolerance = float(self.tolerance)
        if not 0 <= tolerance < math.inf:  # codecs take NaN and -1 for anything, such as "lossless"
            raise ValueError(f"a tolerance is a number ≥ 0 (0: lossless), not {self.tolerance}")
        object.__setattr__(self, "tolerance", self.snap(tolerance))

    @abstractmethod
    def encode(self, array: np.ndarray) -> bytes:
        """Stream of a float32 or float64 array, as the HDF5 filter of `h5_filter` writes it."""

    @abstractmethod
    def decode(self, data, shape, dtype=np.float32, out: np.ndarray | None = None) -> np.ndarray:
        """Array from a stream of `encode`, in `out` if one is given (see `output_array`)."""

    @abstractmethod
    def h5_filter(self) -> dict[str, Any]:
        """Arguments of h5py's ``create_dataset`` for which HDF5 itself writes such streams."""

    def decode_many(self, streams: Sequence, outs: Sequence[np.ndarray]) -> None:
        """Decode each stream into the C-contiguous array at the same place of `outs`."""
        for stream, out in zip(streams, outs, strict=True):
            self.decode(stream, out.shape, out.dtype, out=out)

    @classmethod
    def snap(cls, tolerance: float) -> float:
        """Largest tolerance of this codec that is not above `tolerance`; here every one is."""
        return tolerance

    def coarser(self) -> Codec:
        """The next codec with a larger tolerance, by default twice as large."""
        if not self.tolerance:
            raise ValueError(f"{self} is lossless: no tolerance comes next to 0")
        return type(self)(**self._settings() | {"tolerance": 2 * self.tolerance})

    def finer(self) -> Codec:
        """The next codec with a smaller tolerance, by default half as large; lossless: itself."""
        if not self.tolerance:
            return self
        return type(self)(**self._settings() | {"tolerance": self.tolerance / 2})

    @classmethod
    def lossless(cls) -> Codec:
        """The codec that changes nothing; `Raw` for a class that has no such mode."""
        return cls(0.0)

    @classmethod
    def expected_tolerance(cls, error: float, ndim: int) -> float:
        """Tolerance whose mean absolute error is about `error`; here that of rounding."""
        return 2 * error

    @classmethod
    def erasing_tolerance(cls, peak: float, ndim: int) -> float:
        """Tolerance from which nothing is left of a field with values up to ±`peak`."""
        return 2 * peak

    @classmethod
    def plausible_bytes(cls, shape: tuple[int, ...], itemsize: int) -> tuple[int, int]:
        """Shortest and longest stream that an array of this shape can have."""
        return 1, 2 * itemsize * math.prod(shape) + (1 << 16)

    @classmethod
    def from_h5_options(cls, options: tuple[int, ...]) -> Codec:
        """A codec that decodes chunks of an HDF5 filter with these options.

        Raises
        ------
        ValueError
            If the options alone do not say how to decode.
        """
        if not cls.carries_bound:
            raise ValueError(f"{cls.name} does not read its tolerance from {options}")
        return cls.lossless()

    @property
    def class_name(self) -> str:
        """Name of the HDF5 dataset that may hold this codec's chunks of one field."""
        return self.name if self.carries_bound else f"{self.name}-{self.tolerance!r}"

    def _settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        """What rebuilds this codec, as JSON; see `codec_from_config`."""
        return {"codec": self.name} | self._settings()


@dataclass(frozen=True)
class Raw(Codec):
    """No compression: the bytes of the array. It stands in where a chunk was stored as it is.

    >>> Raw().decode(Raw().encode(np.ones((2, 2), np.float32)), (2, 2))
    array([[1., 1.],
           [1., 1.]], dtype=float32)
    """

    name: ClassVar[str] = "raw"
    carries_bound: ClassVar[bool] = True
    tolerance: float = field(default=0.0, init=False, repr=False)

    def encode(self, array: np.ndarray) -> bytes:
        """Bytes of `array` in C order; refuses what `checked` refuses."""
        return checked(array).tobytes()

    def decode(self, data, shape, dtype=np.float32, out: np.ndarray | None = None) -> np.ndarray:
        """Array `shape` from its bytes, as `Codec.decode`."""
        out = output_array(out, shape, dtype)
        if len(data) != out.nbytes:
            raise ValueError(f"{shape} {out.dtype} takes {out.nbytes} bytes, got {len(data)}")
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        return out

    @classmethod
    def plausible_bytes(cls, shape: tuple[int, ...], itemsize: int) -> tuple[int, int]:
        """The length of the array itself."""
        return itemsize * math.prod(shape), itemsize * math.prod(shape)

    @classmethod
    def lossless(cls) -> Raw:
        """Itself."""
        return cls()

    def h5_filter(self) -> dict[str, Any]:
        """No arguments: an HDF5 dataset without a compression filter."""
        return {}


# ---------------------------------------------------------------- checks that codecs share


def checked(array) -> np.ndarray:
    """`array` as codecs can read it: finite native floats in C order, no sides of length 1.

    Raises
    ------
    TypeError
        Not float32 or float64.
    ValueError
        NaN or infinity, named with its index; masked values; or no values at all.
    """
    if np.ma.is_masked(array):
        raise ValueError(
            f"{np.ma.count_masked(array)} of {array.size} values are masked; a codec would store "
            "what lies beneath: fill them first"
        )
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
            f"the first ({array[first]}) at {first}; a codec would store numbers for them"
        )
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return array.reshape(long_sides(array.shape))


def output_array(out: np.ndarray | None, shape, dtype) -> np.ndarray:
    """`out` if a decoder may write an array like that into it, or a new array.

    Raises
    ------
    TypeError, ValueError
        Not float32 or float64; or `out` has another shape, type or memory layout.
    """
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
def long_sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` without sides of length 1, which H5Z-ZFP also leaves out of its stream."""
    return tuple(n for n in shape if n > 1) or (1,)


# ---------------------------------------------------------------- the registry

_C = TypeVar("_C", bound=type[Codec])
_by_name: dict[str, type[Codec]] = {}
_by_filter: dict[int, type[Codec]] = {}


def register_codec(cls: _C, h5_filter_id: int | None = None) -> _C:
    """Make a codec known by its name and by the number of the HDF5 filter that decodes it.

    Raises
    ------
    ValueError
        If another class has the name or the filter, or the name stands for several.
    """
    if BETWEEN in cls.name or cls.name == AUTO:
        raise ValueError(f"{cls.name!r} stands for several codecs: it cannot name one")
    # The same class again is a notebook's cell that ran twice: the newer one is meant.
    known = [_by_name.get(cls.name), _by_filter.get(h5_filter_id) if h5_filter_id else None]
    for other in known:
        if other and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(
                f"{cls.__qualname__} (name {cls.name!r}, HDF5 filter {h5_filter_id}) collides with "
                f"{other.__module__}.{other.__qualname__}"
            )
    _by_name[cls.name] = cls
    if h5_filter_id is not None:
        _by_filter[h5_filter_id] = cls
    return cls


@functools.cache
def _load_built_in() -> None:
    for module in _BUILT_IN:
        importlib.import_module(f"{__name__}.{module}")


def codec_class(name: str) -> type[Codec]:
    """Class of a codec by its `Codec.name`.

    Raises
    ------
    KeyError
        If no codec of that name was registered.
    """
    _load_built_in()
    if name not in _by_name:
        raise KeyError(f"no codec is called {name!r}; there are {', '.join(sorted(_by_name))}")
    return _by_name[name]


AUTO = "auto"
"""In place of a codec's name: for each field the one that `race.choose` finds."""
BETWEEN = "+"
"""Stands between the names of codecs where each field has its own."""


def codecs_by_field(name: str, fields: Sequence[str]) -> dict[str, type[Codec]]:
    """Class of each field's codec: of one name, or of one for each field as `joined` has them.

    Raises
    ------
    KeyError
        If no codec of such a name was registered.
    ValueError
        If there is neither one name nor one for each field.
    """
    classes = [codec_class(one) for one in name.split(BETWEEN)]
    if len(classes) not in (1, len(fields)):
        raise ValueError(f"{name!r} names {len(classes)} codecs for {len(fields)} fields")
    return dict(zip(fields, classes * (len(fields) if len(classes) == 1 else 1), strict=True))


def joined(codecs: Sequence[type[Codec]]) -> str:
    """One name for the codecs of all fields: that of all, or theirs in the order of the fields."""
    names = [codec.name for codec in codecs]
    return names[0] if len(set(names)) == 1 else BETWEEN.join(names)


def codec_from_config(config: dict[str, Any]) -> Codec:
    """The codec whose `Codec.config` this is.

    >>> codec_from_config({"codec": "zfp", "tolerance": 0.25})
    Zfp(tolerance=0.25)
    """
    settings = dict(config)
    return codec_class(settings.pop("codec"))(**settings)


def codec_from_filter(number: int, options: tuple[int, ...]) -> Codec:
    """The codec that decodes chunks of HDF5 filter `number`.

    Raises
    ------
    KeyError
        If no codec was registered for that filter.
    ValueError
        If the options say nothing that the codec can decode.
    """
    _load_built_in()
    return _by_filter[number].from_h5_options(options)


register_codec(Raw)
