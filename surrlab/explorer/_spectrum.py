"""Power spectra of fields: which scales survive."""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft


def spectrum(values: np.ndarray, dy: float, dx: float) -> tuple[np.ndarray, np.ndarray]:
    """Variance of a field by wavenumber, summed over directions.

    The domain is not periodic: the mean is taken off and a Hann window laid over the rest, whose
    own loss of variance is made good, so that the bins add up to the (windowed) variance.

    Parameters
    ----------
    values : array (ny, nx)
        The field.
    dy, dx : float
        Height and width of a cell.

    Returns
    -------
    wavenumber, power : array (m,)
        In cycles per unit of length, and in the field's unit squared.

    Examples
    --------
    A wave of amplitude 1 has variance 1/2, at its own wavenumber:

    >>> wave = np.sin(2 * np.pi * 16 * (np.arange(64) + 0.5) / 64) + np.zeros((64, 1))
    >>> k, power = spectrum(wave, 1 / 64, 1 / 64)
    >>> k[power.argmax()].round(1), power.sum().round(3)
    (np.float64(16.0), np.float64(0.5))
    """
    window, bins, weight, k = _bins(values.shape, dy, dx)
    values = np.nan_to_num(values - np.nanmean(values, dtype=np.float64)) * window  # masks are 0
    with np.errstate(all="ignore"):  # the square of 1e300 is none; the chart says so
        power = np.abs(scipy.fft.rfft2(values)) ** 2
        total = np.bincount(bins, (power * weight).ravel(), minlength=len(k) + 1)
    return k, total[1:]  # bin 0: the mean, which the window lets back in, and the corners


@functools.lru_cache(maxsize=4)
def _bins(shape: tuple[int, int], dy: float, dx: float):
    """Window (ny, nx); bin of each Fourier coefficient; weight (1, nx//2+1); wavenumbers (m,)."""
    ny, nx = shape
    # 0.5 − 0.5 cos over cell centres: a side of one or two cells keeps what it has.
    sides = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n) for n in (ny, nx)]
    window = (sides[0][:, None] * sides[1]).astype(np.float32)
    size = np.hypot(np.fft.fftfreq(ny, dy)[:, None], np.fft.rfftfreq(nx, dx))
    # As wide as the shorter side resolves: narrower shells would lack the directions across it.
    step = 1 / min(ny * dy, nx * dx)
    m = max(int(min(0.5 / dy, 0.5 / dx) / step - 0.5), 1)
    bins = np.rint(size / step).astype(np.intp).clip(1)
    bins[0, 0] = 0
    bins[bins > m] = 0  # beyond the coarser axis' Nyquist wavenumber: some directions only
    weight = np.full(nx // 2 + 1, 2.0)
    weight[0] = 1.0
    if nx % 2 == 0:
        weight[-1] = 1.0
    norm = (ny * nx) ** 2 * np.mean(np.square(window), dtype=np.float64)
    return window, bins.ravel(), weight[None] / norm, step * np.arange(1, m + 1)
