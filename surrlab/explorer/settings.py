"""One field of one sample at every setting of its codec, and what is lost at each.

The settings of a field are the lossless one and 21 tolerances, from fine to coarse; the codec says
which tolerances it knows. Encoding a field at all of them is cheap; decoded fields stay in a cache
of bounded size. Nothing here knows files, widgets or pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from surrlab.compression.codecs import Codec, checked
from surrlab.compression.search import find_tolerance
from surrlab.compression.version import Version
from surrlab.data._masks import filled
from surrlab.data.fields import Field, Grid
from surrlab.evaluation import metrics
from surrlab.evaluation.quantities import Quantity
from surrlab.explorer._spectrum import spectrum

N_TOLERANCES = 21
"""From a few units of rounding error to the loss of nearly everything."""
CACHE_BYTES = 64 << 20
_THREADED = 1 << 15  # values from which a second thread encodes faster than it costs
_AT_ONCE = 1 << 11  # values up to which all settings are measured in hardly more time than one
_MODEL_BYTES = 1 << 20  # counted for what does not tell its size, such as a network


def new_cache() -> LRUCache:
    """A cache of at most `CACHE_BYTES` bytes; the least recently used value makes room first."""

    def size(value: object) -> int:
        # A single value beyond the limit is kept, too: the slider needs it at every step.
        return min(getattr(value, "nbytes", _MODEL_BYTES), CACHE_BYTES)

    return LRUCache(CACHE_BYTES, getsizeof=size)


def cached(cache: LRUCache, key: Hashable, make: Callable[[], Any]) -> Any:
    """The value of `key`, made where the cache does not hold it."""
    try:
        return cache[key]
    except KeyError:
        cache[key] = value = make()
        return value


@functools.lru_cache(maxsize=256)  # most samples of a simulation have the same ones
def codecs_for(
    codec: type[Codec], low: float, high: float, anchor=0.0, stored=0.0, dtype="float32"
) -> tuple[Codec, ...]:
    """Codecs for a field with values from `low` to `high`: the lossless one, then fine to coarse.

    Parameters
    ----------
    codec : type
        Class of the codecs.
    low, high : float
        Range of the field.
    anchor, stored : float
        A tolerance that must be among them, if it is above 0; the coarsest that is stored.
    dtype : str
        Of the field: no tolerance lets a decoded value leave it.

    Examples
    --------
    >>> from surrlab.compression.codecs.zfp import Zfp
    >>> codecs = codecs_for(Zfp, 1.0, 3.0)
    >>> len(codecs), codecs[0], codecs[1], codecs[-1]
    (22, Zfp(tolerance=0.0), Zfp(tolerance=3.0517578125e-05), Zfp(tolerance=32.0))
    """
    # At 16 times the range nearly nothing is left: zfp's mean error is some 1/16 of its tolerance.
    coarsest = 16 * ((high - low) or abs(high) or 1.0)
    largest = float(np.finfo(dtype).max)
    coarsest = min(coarsest, max(largest - max(-low, high), largest * np.finfo(dtype).eps))
    one = codec(anchor or coarsest)
    while one.coarser().tolerance <= coarsest:
        one = one.coarser()
    while one.tolerance > coarsest:
        one = one.finer()
    for _ in range(6):  # a poor model bears any error; but settings that lose all look the same
        one = one.coarser() if one.tolerance < stored else one
    codecs = [one]
    while len(codecs) < N_TOLERANCES:
        codecs.append(codecs[-1].finer())
    return (codec.lossless(), *reversed(codecs))


def is_algorithm_1(version: Version) -> bool:
    """Whether a version's tolerances are those that Algorithm 1 finds."""
    return version.rule != "fixed" and version.factor == 1.0


class Total(NamedTuple):
    """A quantity of the sample before and after one of its fields was compressed."""

    label: str
    unit: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class SampleField:
    """One field of one sample, and what is known of it whatever the setting.

    Parameters
    ----------
    title, field, truth, grid
        Which sample it is; name, unit and label; the field ``(ny, nx)``, NaN in the cells of its
        mask, and where it lives.
    limits, color_limit
        Colour limits, the same for all times of the simulation; a difference is coloured from
        −color_limit to color_limit.
    peak : float
        Range of the true field for PSNR: over the ensemble if that is known; 0 for a field that
        never varies.
    model_error : float or None
        Mean absolute error of the raw models on this field and sample.
    fields, parameters, constants, quantities : mapping
        By name: all true fields of the sample, 0 in masked cells; the simulation's parameters; the
        benchmark's constants; the quantities to follow.
    """

    title: str
    field: Field
    truth: np.ndarray = field(repr=False)
    grid: Grid
    limits: tuple[float, float]
    color_limit: float
    peak: float
    model_error: float | None = None
    fields: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    parameters: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    quantities: Mapping[str, Quantity] = field(default_factory=dict)

    def evaluate(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Each quantity of the sample ``(...)``, the field being `values` (..., ny, nx)."""
        if self.counted is not True:
            values = np.where(self.counted, values, 0)
        fields = {**self.fields, self.field.name: values}
        return {
            name: one.function(fields, self.parameters, self.constants, self.grid)
            for name, one in self.quantities.items()
        }

    @functools.cached_property
    def counted(self) -> Any:
        """Cells outside the field's mask, as `metrics` takes them."""
        return ~np.isnan(self.truth) if np.isnan(self.truth).any() else True

    @functools.cached_property
    def true_totals(self) -> dict[str, np.ndarray]:
        """Each quantity of the true sample."""
        return self.evaluate(self.truth)

    @functools.cached_property
    def cell(self) -> tuple[float, float]:
        """Height and width of a cell."""
        return self.grid.y.width, self.grid.x.width

    @functools.cached_property
    def wavenumber_unit(self) -> str:
        """Unit of a wavenumber; empty where the axes have no unit or different ones."""
        units = {self.grid.y.unit, self.grid.x.unit}
        return f"cycles / {units.pop()}" if len(units) == 1 and not units & {"", "1"} else ""

    @functools.cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Wavenumbers and power of the true field, as `spectrum` returns them."""
        return spectrum(self.truth, *self.cell)


class Losses(NamedTuple):
    """What is lost: mean and largest error, PSNR in dB (nan without a range), and the totals."""

    l1: float
    linf: float
    psnr: float
    totals: tuple[Total, ...]


def measure(sample: SampleField, decoded: np.ndarray) -> list[Losses]:
    """What is lost in each of several decoded fields ``(n, ny, nx)``."""
    n, truth = len(decoded), sample.truth
    among = {"where": sample.counted}
    error = np.abs(np.subtract(decoded, truth, dtype=np.float64))
    linf, psnr = error.max(axis=(1, 2), initial=0, **among), np.full(n, np.nan)
    if sample.peak:
        psnr = metrics.psnr(decoded, truth, sample.peak, **among)
    after = {k: np.broadcast_to(v, n).tolist() for k, v in sample.evaluate(decoded).items()}
    totals = [
        [Total(one.label, one.unit, float(sample.true_totals[name]), v) for v in after[name]]
        for name, one in sample.quantities.items()
    ]
    each = zip(*totals, strict=True) if totals else [()] * n
    columns = (metrics.l1(decoded, truth, **among), linf, psnr)
    return [Losses(*row) for row in zip(*(c.tolist() for c in columns), each, strict=True)]


class FieldSettings:
    """A field encoded at every setting; a setting is a place in `codecs`, 0 being lossless.

    Parameters
    ----------
    sample : SampleField
        The field, float32 or float64, finite.
    codecs : sequence of Codec
        From fine to coarse, the lossless one first.
    versions : mapping, optional
        Tolerance of this field in each version of the study.
    cache : LRUCache, optional
        Keeps decoded fields, under keys that begin with `key`.
    key : hashable
        Which field this is.

    Raises
    ------
    TypeError, ValueError
        If a codec cannot encode the field.
    """

    def __init__(
        self,
        sample: SampleField,
        codecs: Sequence[Codec],
        versions: Mapping[Version, float] | None = None,
        cache: LRUCache | None = None,
        key: Hashable = (),
    ):
        self.sample, self.codecs, self.versions = sample, tuple(codecs), dict(versions or {})
        self._key = key
        self._cache = new_cache() if cache is None else cache
        values, counted = sample.truth, sample.counted
        if counted is not True:
            values = filled(values[None], counted[None])[0]
        checked(values)
        if values.size < _THREADED:
            self.streams = [codec.encode(values) for codec in self.codecs]
        else:  # codecs release the interpreter's lock
            self.streams = list(_pool().map(lambda codec: codec.encode(values), self.codecs))
        self.tolerances = np.array([codec.tolerance for codec in self.codecs])
        self.ratios = values.nbytes / np.array([len(stream) for stream in self.streams])
        self._losses: dict[int, Losses] = {}
        if values.size <= _AT_ONCE:
            decoded = np.stack([self.decode(setting) for setting in range(len(self))])
            self._losses = dict(enumerate(measure(sample, decoded)))

    def __len__(self):
        return len(self.codecs)

    @property
    def nbytes(self) -> int:
        """Bytes of all streams, and of the sample that the field belongs to."""
        fields = self.sample.fields.values() or [self.sample.truth]
        return sum(map(len, self.streams)) + sum(values.nbytes for values in fields)

    @property
    def algorithm_1(self) -> float | None:
        """Tolerance that Algorithm 1 finds for the field; None where it is not known."""
        return next((t for version, t in self.versions.items() if is_algorithm_1(version)), None)

    def decode(self, setting: int) -> np.ndarray:
        """The field as it comes back, ``(ny, nx)``."""
        return cached(self._cache, ("decoded", self._key, setting), lambda: self._decode(setting))

    def _decode(self, setting: int) -> np.ndarray:
        truth, stream = self.sample.truth, self.streams[setting]
        decoded = self.codecs[setting].decode(stream, truth.shape, truth.dtype.newbyteorder("="))
        counted = self.sample.counted
        return decoded if counted is True else np.where(counted, decoded, np.nan)

    def view(self, setting: int) -> FieldView:
        """The field at a setting, and what is lost."""
        decoded = self.decode(setting)
        if setting not in self._losses:
            (self._losses[setting],) = measure(self.sample, decoded[None])
        tolerance, ratio = float(self.tolerances[setting]), float(self.ratios[setting])
        nbytes = len(self.streams[setting])
        return FieldView(self.sample, decoded, self._losses[setting], tolerance, ratio, nbytes)

    def nearest_ratio(self, ratio: float) -> int:
        """The setting whose ratio is nearest on a logarithmic scale."""
        return int(np.abs(np.log(self.ratios / ratio)).argmin())

    def setting_of(self, bound: float) -> int:
        """The setting that keeps `bound`: the coarsest within it, or the nearest end."""
        if bound <= 0:
            return 0
        return max(int(np.searchsorted(self.tolerances, bound, side="right")) - 1, 1)


def settings_for(
    sample: SampleField,
    codec: type[Codec],
    stored: Mapping[Version, float] | None = None,
    coarsest: float = 0.0,
    cache: LRUCache | None = None,
    key: Hashable = (),
) -> FieldSettings:
    """A field at every setting of a codec, Algorithm 1's choice and what is stored among them.

    Parameters
    ----------
    sample : SampleField
        The field; with a model error Algorithm 1 runs here, unless its choice is stored.
    codec : type
        Class of the codec.
    stored : mapping, optional
        Tolerance of this field in each version stored with the codec.
    coarsest : float
        The largest stored tolerance of the field at any time of the simulation.
    cache, key
        As `FieldSettings` takes them.

    Raises
    ------
    TypeError, ValueError
        If the codec cannot encode the field.
    """
    bounds, values, counted = dict(stored or {}), sample.truth, sample.counted
    if sample.model_error is not None and not any(map(is_algorithm_1, bounds)):
        valid = None if counted is True else counted
        if valid is not None:
            values = filled(values[None], valid[None])[0]
        found = find_tolerance(values, sample.model_error, codec, valid=valid)
        bounds[Version(codec.name, "field", 1.0)] = found.tolerance
    anchor = next((t for version, t in bounds.items() if is_algorithm_1(version)), 0.0)
    codecs = codecs_for(codec, *sample.limits, anchor, coarsest, values.dtype)
    return FieldSettings(sample, codecs, bounds, cache, key)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, "surrlab-settings")


@dataclass(frozen=True, eq=False)
class FieldView:
    """A field at one setting of its codec: what comes back, and what is lost.

    `tolerance` is in the field's unit (0: lossless), `ratio` that of the payload, `nbytes` the
    stream's.
    """

    sample: SampleField
    decoded: np.ndarray = field(repr=False)
    losses: Losses
    tolerance: float
    ratio: float
    nbytes: int

    @functools.cached_property
    def difference(self) -> np.ndarray:
        """``decoded - truth``, (ny, nx)."""
        return np.subtract(self.decoded, self.sample.truth, dtype=np.float64)  # 3e38 - -3e38

    @property
    def share(self) -> float | None:
        """L1 of the compression over the model error; None where no model error is known."""
        error = self.sample.model_error
        return self.losses.l1 / error if error else None

    @property
    def error_limits(self) -> tuple[float, float]:
        """Ends of the axis of |error|: the same at every setting and at every time."""
        return self.sample.color_limit * 1e-4, self.sample.color_limit * 10

    @functools.cached_property
    def histogram(self) -> tuple[np.ndarray, np.ndarray, float, tuple[float, float]]:
        """Edges of |error| ``(n + 1,)``; % of cells ``(n,)``, of exact ones, beyond either end."""
        low, high = np.log10(self.error_limits)
        n = 40
        size = np.abs(self.difference)[self.sample.counted].ravel()
        wrong = size[size > 0]
        place = np.floor((np.log10(wrong) - low) * (n / (high - low))).astype(np.intp)
        counts = np.bincount(place.clip(-1, n) + 1, minlength=n + 2) * (100 / size.size)
        exact, beyond = 100 - counts.sum(), (float(counts[0]), float(counts[-1]))
        return np.logspace(low, high, n + 1), counts[1:-1], exact, beyond

    @functools.cached_property
    def spectra(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Wavenumbers ``(m,)`` and the `spectrum` of truth, decoded field and difference."""
        k, truth = self.sample.spectrum
        decoded, difference = (
            spectrum(values, *self.sample.cell)[1] for values in (self.decoded, self.difference)
        )
        return k, {"truth": truth, "decoded": decoded, "difference": difference}
