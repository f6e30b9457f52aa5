"""One field at every setting of its codec, and what is lost at each: what the explorer shows.

zfp knows tolerances that are powers of two only, so the settings of a field are a ladder: lossless,
then 2^k for k of a fixed range. Encoding a field on all rungs is cheap; decoded fields are kept
until others need the room. Nothing here knows of files, widgets or pictures.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.fft

from surrlab.compression import search
from surrlab.compression.codecs import checked
from surrlab.compression.zfp import Zfp
from surrlab.data.fields import Grid
from surrlab.evaluation import metrics

RUNGS = 21
"""Tolerances on a ladder, from a few units of rounding error to the loss of nearly everything."""
LOSSLESS = "lossless"
_THREADED = 1 << 15  # values from which a second thread encodes faster than it costs


class Cache:
    """What was computed, by key, until `limit` bytes are taken; the longest unused goes first."""

    def __init__(self, limit: int = 64 << 20):
        self.limit, self.nbytes = limit, 0
        self._kept: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], object], nbytes: Callable | None = None):
        """Value of `key`, made if need be; `nbytes` tells its size, by default its own."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value = make()
        size = nbytes(value) if nbytes else value.nbytes
        self._kept[key] = value, size
        self.nbytes += size
        while self.nbytes > self.limit and len(self._kept) > 1:
            self.nbytes -= self._kept.popitem(last=False)[1][1]
        return value


def exponents(low: float, high: float) -> range:
    """The k of the ladder of a field with values from `low` to `high`, from fine to coarse.

    The coarsest tolerance is 8 to 16 times the range: zfp's mean error is some 1/16 of it.

    >>> exponents(1.0, 3.0)
    range(-15, 6)
    """
    size = (high - low) or abs(high) or 1.0
    top = math.frexp(size)[1] + 3
    return range(top - RUNGS + 1, top + 1)


class Ladder:
    """One field encoded on every rung; a rung is its place, 0 being the lossless one.

    Parameters
    ----------
    values : array (ny, nx)
        float32 or float64, finite.
    exponents : range
        The k of the tolerances 2^k.
    """

    def __init__(self, values: np.ndarray, exponents: range):
        self.values, self.exponents = values, exponents
        codecs = [Zfp(0.0), *(Zfp(math.ldexp(1, k)) for k in exponents)]
        checked(values)
        if values.size < _THREADED:
            self.streams = [codec.encode(values) for codec in codecs]
        else:  # zfpy releases the interpreter's lock
            self.streams = list(_pool().map(lambda codec: codec.encode(values), codecs))
        self._codecs = codecs

    def __len__(self):
        return len(self.streams)

    @property
    def nbytes(self) -> int:
        """Bytes of all streams."""
        return sum(map(len, self.streams))

    @functools.cached_property
    def ratios(self) -> np.ndarray:
        """Payload ratio of each rung."""
        return self.values.nbytes / np.array([len(stream) for stream in self.streams])

    def tolerance(self, rung: int) -> float:
        """Tolerance of a rung, in the field's unit; 0 is lossless."""
        return self._codecs[rung].tolerance

    def decode(self, rung: int) -> np.ndarray:
        """The field as it comes back from a rung, ``(ny, nx)``."""
        return self._codecs[rung].decode(
            self.streams[rung], self.values.shape, self.values.dtype.newbyteorder("=")
        )

    def near_ratio(self, ratio: float) -> int:
        """The rung whose ratio is nearest on a logarithmic scale."""
        return int(np.abs(np.log(self.ratios / ratio)).argmin())

    def rung_of(self, bound: float) -> int:
        """The rung that keeps `bound`: the largest power of two within it, or the nearest end."""
        if bound <= 0:
            return 0
        k = math.frexp(bound)[1] - 1
        return 1 + min(max(k, self.exponents[0]), self.exponents[-1]) - self.exponents[0]

    def algorithm_1(self, model_error: float) -> float:
        """Tolerance that Algorithm 1 finds; 0 where it keeps the field lossless."""
        return search.find_tolerance(self.values, model_error).tolerance


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, "surrlab-ladder")


class Total(NamedTuple):
    """A quantity of the sample before and after the shown field was compressed."""

    label: str
    unit: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Shown:
    """One field at one setting, and all that is said of it.

    Parameters
    ----------
    title, name, label, unit : str
        Which sample; the field's name, what people call it, and its unit.
    truth, decoded : array (ny, nx)
        The field, and what comes back from the codec.
    grid : Grid
        Where it lives.
    limits : tuple of float
        Colour limits of both, fixed for all times of the simulation.
    reach : float
        The difference is coloured from −reach to reach.
    peak : float
        Range of the true field for PSNR: over the ensemble if that is known; 0 where it is none.
    tolerance, ratio : float
        Of the setting: bound in the field's unit (0: lossless) and payload ratio.
    nbytes : int
        Of the stream.
    model_error : float or None
        Mean absolute error of the models on this field and sample.
    totals : tuple of Total
        The scenario's quantities of the sample, this field decoded and the others true.
    """

    title: str
    name: str
    label: str
    unit: str
    truth: np.ndarray = field(repr=False)
    decoded: np.ndarray = field(repr=False)
    grid: Grid
    limits: tuple[float, float]
    reach: float
    peak: float
    tolerance: float
    ratio: float
    nbytes: int
    model_error: float | None = None
    totals: tuple[Total, ...] = ()

    @functools.cached_property
    def difference(self) -> np.ndarray:
        """``decoded - truth``, (ny, nx)."""
        return self.decoded - self.truth

    @functools.cached_property
    def magnitude(self) -> np.ndarray:
        """``|decoded - truth|``, (ny, nx)."""
        return np.abs(self.difference)

    @property
    def l1(self) -> float:
        """Mean absolute error of the compression, in the field's unit."""
        return float(self.magnitude.mean(dtype=np.float64))

    @property
    def linf(self) -> float:
        """Largest absolute error, in the field's unit."""
        return float(self.magnitude.max())

    @property
    def psnr(self) -> float:
        """In dB; inf without error, nan for a field that never varies."""
        return float(metrics.psnr(self.decoded, self.truth, self.peak)) if self.peak else math.nan

    @property
    def share(self) -> float | None:
        """L1 of the compression over the model error; None where no model error is known."""
        return self.l1 / self.model_error if self.model_error else None

    @property
    def span(self) -> tuple[float, float]:
        """Ends of the axis of |error|: the same on every rung and at every time."""
        return self.reach * 1e-4, self.reach * 10

    @functools.cached_property
    def histogram(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Edges of |error| ``(n + 1,)``, percentage of cells ``(n,)``, and that of exact cells."""
        low, high = np.log10(self.span)
        n = 40
        size = self.magnitude.ravel()
        wrong = size[size > 0]
        place = ((np.log10(wrong) - low) * (n / (high - low))).astype(np.intp)
        counts = np.bincount(place.clip(0, n - 1), minlength=n)
        scale = 100 / size.size
        return np.logspace(low, high, n + 1), counts * scale, 100 - wrong.size * scale

    @functools.cached_property
    def spectra(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Wavenumbers ``(m,)`` and the `spectrum` of truth, decoded field and difference."""
        arrays = {"truth": self.truth, "decoded": self.decoded, "difference": self.difference}
        found = {name: spectrum(values, self.grid) for name, values in arrays.items()}
        return found["truth"][0], {name: power for name, (_, power) in found.items()}


def spectrum(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Variance of a field by wavenumber, summed over directions.

    The domain is not periodic: the mean is taken off and a Hann window laid over the rest, whose
    own loss of variance is made good, so that the bins add up to the (windowed) variance.

    Parameters
    ----------
    values : array (ny, nx)
        The field.
    grid : Grid
        Its cells.

    Returns
    -------
    wavenumber, power : array (m,)
        In cycles per unit of length, and in the field's unit squared.

    Examples
    --------
    A wave of amplitude 1 has variance 1/2, at its own wavenumber:

    >>> grid = Grid(64, 64, (0.0, 1.0), (0.0, 1.0))
    >>> wave = np.sin(2 * np.pi * 16 * grid.x_centres) + np.zeros((64, 1))
    >>> k, power = spectrum(wave, grid)
    >>> k[power.argmax()].round(1), power.sum().round(3)
    (np.float64(16.0), np.float64(0.5))
    """
    window, bins, weight, k = _bins(grid)
    values = (values - values.mean(dtype=np.float64)) * window
    power = np.abs(scipy.fft.rfft2(values)) ** 2
    total = np.bincount(bins, (power * weight).ravel(), minlength=len(k) + 1)
    return k, total[1:]  # bin 0: the mean, which the window lets back in, and the corners


@functools.lru_cache(maxsize=4)
def _bins(grid: Grid):
    """Window (ny, nx); bin of each Fourier coefficient; weight (1, nx//2+1); wavenumbers (m,)."""
    ny, nx = grid.shape
    # 0.5 − 0.5 cos over cell centres: a side of one or two cells keeps what it has.
    sides = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n) for n in (ny, nx)]
    window = (sides[0][:, None] * sides[1]).astype(np.float32)
    ky = np.fft.fftfreq(ny, grid.dy)[:, None]
    kx = np.fft.rfftfreq(nx, grid.dx)
    size = np.hypot(ky, kx)
    # As wide as the shorter side resolves: narrower shells would lack the directions across it.
    step = 1 / min(grid.height, grid.x[1] - grid.x[0])
    m = max(int(min(0.5 / grid.dy, 0.5 / grid.dx) / step - 0.5), 1)
    bins = np.rint(size / step).astype(np.intp).clip(1)
    bins[0, 0] = 0
    bins[bins > m] = 0  # beyond the coarser axis' Nyquist wavenumber: some directions only
    weight = np.full(len(kx), 2.0)
    weight[0] = 1.0
    if nx % 2 == 0:
        weight[-1] = 1.0
    norm = (ny * nx) ** 2 * np.mean(np.square(window), dtype=np.float64)
    return window, bins.ravel(), weight[None] / norm, step * np.arange(1, m + 1)
