"""Error metrics and integral quantities of a sample: L1, PSNR and Eqs. (2) to (4).

Pure functions of arrays, batched over every leading axis ``(...)``. Whatever the precision of the
fields, differences and sums over cells are taken in float64: a network's 1e-3 error in the mass
must not drown in the summation of 200,000 float32 cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def _last(ndim: int) -> tuple[int, ...]:
    return tuple(range(-ndim, 0))


def l1(
    prediction: ArrayLike, truth: ArrayLike, ndim: int = 2, where: Any = True
) -> np.ndarray:  # (..., *shape) twice -> (...)
    """Mean absolute error of a field, in the field's own unit: the model error of Algorithm 1.

    Parameters
    ----------
    prediction, truth : array_like (..., *shape)
        Leading axes broadcast, so that one truth serves the predictions of many models.
    ndim : int
        Number of axes of the grid, the last ones.
    where : array_like of bool (..., *shape)
        Cells that count; by default all.

    Returns
    -------
    array (...), float64

    Examples
    --------
    >>> float(l1(np.full((4, 4), 3.0), np.full((4, 4), 1.0)))
    2.0
    >>> float(l1(np.array([[3.0, np.nan]]), np.ones((1, 2)), where=[[True, False]]))
    2.0
    """
    error = np.abs(np.subtract(prediction, truth, dtype=np.float64))
    return np.mean(error, _last(ndim), where=where)


def psnr(
    prediction: ArrayLike, truth: ArrayLike, peak: ArrayLike, ndim: int = 2, where: Any = True
) -> np.ndarray:  # (..., *shape) twice, peak (...) -> (...) in dB
    """Peak signal-to-noise ratio, in dB; identical fields give ``inf``.

    Parameters
    ----------
    prediction, truth : array_like (..., *shape)
        Leading axes broadcast.
    peak : float or array_like (...)
        Range (maximum − minimum) of the true field over the *whole* ensemble. The range of the one
        field would be no yardstick: a fluid at rest has none.
    ndim : int
        Number of axes of the grid, the last ones.
    where : array_like of bool (..., *shape)
        Cells that count; by default all.

    Returns
    -------
    array (...), float64

    Raises
    ------
    ValueError
        If a peak is not a positive finite number.

    Examples
    --------
    An error of 10 % of the range is 20 dB:

    >>> round(float(psnr(np.full((4, 4), 0.5), np.full((4, 4), 0.0), peak=5.0)), 9)
    20.0
    """
    peak = np.asarray(peak, np.float64)
    bad = ~(np.isfinite(peak) & (peak > 0))
    if bad.any():
        raise ValueError(
            f"peak must be the field's range over the ensemble, a positive number, not "
            f"{peak[bad][0]}; a field that never varies has no PSNR"
        )
    error = np.subtract(prediction, truth, dtype=np.float64)
    error /= np.expand_dims(peak, _last(ndim))  # first: the square of 1e300 is none
    with np.errstate(divide="ignore"):  # an error of zero is meant to become inf
        return -10 * np.log10(np.mean(np.square(error, out=error), _last(ndim), where=where))


def total_mass(
    density: ArrayLike, cell_area: float | np.ndarray, ndim: int = 2
) -> np.ndarray:  # (..., ny, nx) in g/cm³ -> (...) in g/cm
    """Total mass per unit depth, Eq. (2).

    Parameters
    ----------
    density : array_like (..., *shape)
        In g/cm³.
    cell_area : float or array (*shape)
        Area of a cell in cm².
    ndim : int
        Number of axes of the grid, the last ones.

    Returns
    -------
    array (...), float64
        In g/cm.

    Examples
    --------
    >>> float(total_mass(np.full((6, 2), 3.0), cell_area=0.5))
    18.0
    """
    if np.ndim(cell_area):  # cells of different sizes
        return np.multiply(density, cell_area, dtype=np.float64).sum(_last(ndim))
    return np.asarray(density).sum(axis=_last(ndim), dtype=np.float64) * cell_area  # Eq. (2)


def total_momentum(
    density: ArrayLike,
    velocity_x: ArrayLike,
    velocity_y: ArrayLike,
    cell_area: float | np.ndarray,
    ndim: int = 2,
) -> tuple[np.ndarray, np.ndarray]:  # (..., ny, nx) -> 2 × (...)
    """Total momentum per unit depth, Eq. (3).

    Parameters
    ----------
    density : array_like (..., *shape)
        In g/cm³.
    velocity_x, velocity_y : array_like (..., *shape)
        In cm per unit of time.
    cell_area : float or array (*shape)
        Area of a cell in cm².
    ndim : int
        Number of axes of the grid, the last ones.

    Returns
    -------
    tuple of two arrays (...), float64
        Its x and y components, in g per unit of time.

    Examples
    --------
    >>> one = np.ones((6, 2))
    >>> px, py = total_momentum(3 * one, 2 * one, -one, cell_area=0.5)
    >>> float(px), float(py)
    (36.0, -18.0)
    """
    px, py = (
        total_mass(np.multiply(density, velocity, dtype=np.float64), cell_area, ndim)  # Eq. (3)
        for velocity in (velocity_x, velocity_y)
    )
    return px, py


def mixing_layer_thickness(
    density: ArrayLike, light: ArrayLike, heavy: ArrayLike, dy: float
) -> np.ndarray:  # (..., ny, nx) in g/cm³ -> (...) in cm
    """Thickness of the mixing layer, Eq. (4).

    Zero across a sharp horizontal interface, the height of the domain where both fluids are fully
    mixed, and half the width of a layer in which the density changes linearly.

    Parameters
    ----------
    density : array_like (..., ny, nx)
        In g/cm³; the axis before the last is the vertical.
    light, heavy : float or array_like (...)
        Densities of the unmixed fluids in g/cm³.
    dy : float
        Height of a cell in cm.

    Returns
    -------
    array (...), float64
        In cm.

    Raises
    ------
    ValueError
        Unless light < heavy.

    References
    ----------
    Cook, Cabot and Miller, The mixing transition in Rayleigh–Taylor instability, J. Fluid Mech. 511
    (2004).

    Examples
    --------
    >>> sharp = np.repeat([[1.0], [1.0], [3.0], [3.0]], 2, axis=1)
    >>> float(mixing_layer_thickness(sharp, light=1, heavy=3, dy=0.25))
    0.0
    >>> float(mixing_layer_thickness(np.full((4, 2), 2.0), light=1, heavy=3, dy=0.25))
    1.0
    """
    light, heavy = np.broadcast_arrays(np.asarray(light, np.float64), np.asarray(heavy, np.float64))
    wrong = ~(light < heavy)
    if wrong.any():
        raise ValueError(
            f"Eq. (4) needs the light fluid lighter than the heavy one, not light = "
            f"{light[wrong][0]} and heavy = {heavy[wrong][0]} g/cm³"
        )
    slices = np.asarray(density).mean(axis=-1, dtype=np.float64)  # ρ̄(y), (..., ny)
    middle = ((light + heavy) / 2)[..., None]
    unmixed = 2 / (heavy - light) * np.abs(slices - middle).sum(-1) * dy
    return slices.shape[-1] * dy - unmixed  # Eq. (4)


def jet_length(heavy: ArrayLike, dx: float) -> np.ndarray:  # (..., ny, nx) -> (...) in cm
    """How far jets of a heavy material reach beyond the valleys between them, along x.

    Each row holds a certain length of the material, the sum of its volume fraction; the jet length
    is what lies between the shortest and the longest rows: twice the amplitude of Richtmyer-Meshkov
    theory. It is taken from sums, not from a contour, so that blur leaves it alone, and noise of
    zero mean nearly so. As mixing widths are taken between fixed fractions, the twentieth of the
    rows at either end does not count: the rows at a network's edge stray further than any jet.

    Parameters
    ----------
    heavy : array_like (..., ny, nx)
        Volume fraction of the material, which need not keep to [0, 1].
    dx : float
        Width of a cell in cm.

    Returns
    -------
    array (...), float64
        In cm; 0 where all rows are alike, and never negative.

    References
    ----------
    Brouillette, The Richtmyer-Meshkov instability, Annu. Rev. Fluid Mech. 34 (2002) 445: amplitude,
    spike and bubble. Buttler et al., Unstable Richtmyer-Meshkov growth of solid and liquid metals
    in vacuum, J. Fluid Mech. 703 (2012) 60: both followed on shocked copper.

    Examples
    --------
    >>> grooved = np.repeat([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.5]], 4, axis=0)
    >>> float(jet_length(grooved, dx=0.5))
    0.75
    """
    rows = np.sum(heavy, axis=-1, dtype=np.float64) * dx
    low, high = np.quantile(rows, (0.05, 0.95), axis=-1)
    return high - low


def correlation(a: ArrayLike, b: ArrayLike) -> np.ndarray:  # (..., T) twice -> (...)
    """Pearson correlation of two time series; how Fig. 8 compares h(t) with the truth.

    A series that never changes has no correlation with anything: the answer is ``nan``, without a
    warning, and it is for the caller to say what a constant series means.

    Parameters
    ----------
    a, b : array_like (..., T)
        Leading axes broadcast.

    Returns
    -------
    array (...), float64
        Within [−1, 1], or ``nan``.

    Examples
    --------
    >>> t = np.linspace(0, 1, 11)
    >>> round(float(correlation(t, 3 - 2 * t)), 9)
    -1.0
    >>> float(correlation(t, np.ones(11)))
    nan
    """
    x, y = (np.asarray(series, np.float64) for series in (a, b))
    # Decided on the values: rounding in the mean leaves a constant series a spread of 1e-17.
    constant = (np.ptp(x, axis=-1) == 0) | (np.ptp(y, axis=-1) == 0)
    x, y = (series - series.mean(-1, keepdims=True) for series in (x, y))
    norm = np.sqrt(np.square(x).sum(-1) * np.square(y).sum(-1))
    cosine = (x * y).sum(-1) / np.where(constant, np.nan, norm)
    return np.clip(cosine, -1, 1)
