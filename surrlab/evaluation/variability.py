"""Training variability: the band of raw models, and limits of a mean over seeds (Section III-A).

`band` is the grey band of Fig. 3. `band_share` makes the paper's criterion, "inside the ±2σ band of
the raw models", a statement with an error rate. The rest is the arithmetic of a verdict on plain
arrays, which ``benchmarks/verdict.py`` runs by the thousand to measure how often it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import special

LOOKS = (3, 5, 8, 12)
"""Numbers of common seeds at which a study looks at its scores, planned beforehand."""

DEALS = 1024
"""Deals of models to the two sides that `band_share` tries."""


class Band(NamedTuple):
    """Mean and standard deviation over raw models, arrays of one shape."""

    mean: np.ndarray
    sigma: np.ndarray

    def inside(self, curve, width=2.0):  # (..., T) -> (...)
        """Fraction of a curve, over its last axis, that lies within ``mean ± width · sigma``."""
        return np.mean(np.abs(curve - self.mean) <= width * self.sigma, axis=-1)


def band(values, axis=0) -> Band:
    """Mean and spread over raw models of anything that each of them predicts (Fig. 3).

    Parameters
    ----------
    values : array_like
        One curve, field or number per raw model, the models along `axis`.
    axis : int
        The axis that the result lacks.

    Returns
    -------
    Band
        ``mean`` and ``sigma`` (K − 1 in the divisor), float64; models that agree have sigma 0.

    Raises
    ------
    ValueError
        If there are fewer than two models.

    Examples
    --------
    >>> mean, sigma = band([[1.0, 5.0], [3.0, 5.0]])
    >>> mean.tolist(), sigma.round(3).tolist()
    ([2.0, 5.0], [1.414, 0.0])
    >>> float(band([[1.0, 5.0], [3.0, 5.0]]).inside([4.0, 6.0]))
    0.5
    """
    values = np.asarray(values, np.float64)
    if values.shape[axis] < 2:
        raise ValueError(f"a band needs at least two raw models, not {values.shape[axis]}")
    # Rounding in the mean leaves equal values a spread of 1e-17: decide on the values.
    sigma = np.where(np.ptp(values, axis) == 0, 0.0, values.std(axis, ddof=1))
    return Band(values.mean(axis), sigma)


@dataclass(frozen=True, eq=False)
class BandShare:
    """What `band_share` found.

    Attributes
    ----------
    lossy, raw : ndarray (K,)
        Share of points at which the lossy, and the raw, model of each seed lies inside the band of
        the raw models of the *other* seeds.
    p : float
        Probability that chance alone sets the lossy models as far outside, or farther.
    smallest_p : float
        About the smallest `p` that this number of seeds can reach.
    apart : bool
        Whether the lossy models lie outside more often than raw ones, at the confidence given.
    reason : str
        The statement, in a sentence.
    """

    lossy: np.ndarray
    raw: np.ndarray
    p: float
    smallest_p: float
    apart: bool
    reason: str

    def config(self) -> dict:
        """Everything, ready for JSON."""
        return {**vars(self), "lossy": self.lossy.tolist(), "raw": self.raw.tolist()}


def band_share(raw_curves, lossy_curves, *, width=2.0, confidence=0.95, seed=0) -> BandShare:
    """The paper's criterion: how much of lossy models' curves lies in the raw models' ±2σ band.

    Chance does not reach 95 %: a band of a few raw models holds less of another raw model. So the
    lossy and the raw model of each seed are both compared with the band of the raw models of the
    other seeds. Were lossy models like raw ones, dealing the 2 K models to the two sides at random
    would change nothing: 1,023 deals and the true one give the probability of a difference as large
    as the one seen. It holds for any distribution and any correlation between points; models of a
    common seed that resemble each other make it cautious. Three seeds cannot reach 5 %.

    Parameters
    ----------
    raw_curves, lossy_curves : array_like (K, ...)
        What each model predicts, such as momentum at each (simulation, time); models of the same
        seed at the same place.
    width : float
        Half of the band, in σ.
    confidence : float
        One minus the error rate of the claim that lossy models lie outside more often.
    seed : int
        Of the random deals.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than three seeds, or a value is not finite.

    References
    ----------
    Phipson and Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9
    (2010).

    Examples
    --------
    >>> raw = np.random.default_rng(0).normal(size=(5, 40))
    >>> found = band_share(raw, raw + 10)
    >>> found.apart, found.p < 0.03, found.lossy.tolist()
    (True, True, [0.0, 0.0, 0.0, 0.0, 0.0])
    """
    raw, lossy = (np.asarray(curves, np.float64) for curves in (raw_curves, lossy_curves))
    if raw.shape != lossy.shape:
        raise ValueError(f"raw and lossy curves differ in shape: {raw.shape}, {lossy.shape}")
    if raw.ndim < 2 or len(raw) < 3:
        raise ValueError(f"the criterion needs curves of three or more seeds, not {raw.shape}")
    if not (np.isfinite(raw).all() and np.isfinite(lossy).all()):
        raise ValueError("a curve has a value that is not finite")
    k = len(raw)
    raw, lossy = raw.reshape(k, -1), lossy.reshape(k, -1)
    centre = raw.mean(0)
    raw, lossy = raw - centre, lossy - centre  # sums of squares then lose no digits
    models, rng = np.concatenate([raw, lossy]), np.random.default_rng(seed)
    deals = np.tile(np.arange(2 * k), (DEALS, 1))
    deals[1:] = rng.permuted(deals[1:], axis=1)
    some = max(1, 100_000 // models.size)  # deals at once, so that they fit the cache
    difference = np.concatenate(
        [
            np.subtract(*_shares(models[part[:, :k]], models[part[:, k:]], width)).mean(-1)
            for part in np.array_split(deals, -(-DEALS // some))
        ]
    )
    p = float(np.mean(difference >= difference[0] - 1e-12))
    inside, outside = _shares(raw, lossy, width)
    # A shift looks the same from both sides, so that two of all splits are as extreme as can be.
    smallest, apart = max(2 / special.comb(2 * k, k), 1 / DEALS), p <= 1 - confidence
    reason = (
        f"lossy models lie inside the band at {100 * outside.mean():.0f} % of the points, another "
        f"raw model at {100 * inside.mean():.0f} %: "
        + ("they lie outside more often" if apart else "no more than chance gives")
        + f" (p = {p:.2g})"
    )
    if not apart and smallest > 1 - confidence:
        reason += f"; {k} seeds cannot show more, p is {smallest:.2g} or more"
    return BandShare(outside, inside, p, smallest, bool(apart), reason)


def _shares(raw, lossy, width):  # (..., K, P) twice -> (..., K) twice
    """Shares of both models of each seed inside the band of the other raw models."""
    n, slack = raw.shape[-2] - 1, 1e-9 * np.abs(raw).max(-2, keepdims=True)
    mean = (raw.sum(-2, keepdims=True) - raw) / n
    squares = np.square(raw)
    variance = (squares.sum(-2, keepdims=True) - squares - n * np.square(mean)) / (n - 1)
    half = width * np.sqrt(np.maximum(variance, 0)) + slack
    return (np.abs(raw - mean) <= half).mean(-1), (np.abs(lossy - mean) <= half).mean(-1)


def checked_looks(looks) -> tuple[int, ...]:
    """The planned looks as a tuple; refused unless they ascend from two seeds or more."""
    looks = tuple(looks)
    if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError(f"looks are ascending numbers of seeds from 2 up, not {looks}")
    return looks


def level(n_seeds: int, looks=LOOKS, alpha: float = 0.05, *, late: bool = False) -> float:
    """One-sided level at which a look at `n_seeds` common seeds may claim something.

    The planned looks share 70 % of alpha. Claims that something is within its margin spend 30 % of
    alpha at the first look, because Student's t at two degrees of freedom needs it most, and the
    rest in equal parts. Claims of harm (`late`) are for many scores at once, hopeless at three
    seeds unless the harm is large, and spend in proportion to 2, 3, 4 ….
    Past the last planned look the level is at most a tenth of alpha, halved at each further stage
    of 1.5 times the seeds. What is left pays for looks between stages, which are taken at the level
    of the largest planned look that they have reached. The increments of this spending function
    are used as they are, without cashing in the correlation between looks, so that nothing hangs on
    normal scores.

    Parameters
    ----------
    n_seeds : int
        Common seeds at this look.
    looks : sequence of int
        The planned looks, ascending.
    alpha : float
        Error rate over all looks together.
    late : bool
        Whether to spend for claims of harm.

    Returns
    -------
    float
        0 before the first planned look: nothing can be claimed.

    References
    ----------
    Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983).

    Examples
    --------
    >>> [round(level(n), 5) for n in (2, 3, 4, 5, 8, 12, 18)]
    [0.0, 0.015, 0.015, 0.00667, 0.00667, 0.00667, 0.0025]
    >>> [round(level(n, late=True), 5) for n in (3, 5, 8, 12, 18)]
    [0.005, 0.0075, 0.01, 0.0125, 0.0025]
    """
    reached, more = sum(n_seeds >= look for look in looks), len(looks) - 1
    if not reached:
        return 0.0
    if late:
        shares = 0.7 * np.arange(2, more + 3) / np.arange(2, more + 3).sum()
    else:
        shares = [0.3, *[0.4 / more] * more] if more else [0.7]
    share, tail, stage = shares[reached - 1], 0.1, 1.5 * looks[-1]
    if n_seeds > looks[-1]:
        while n_seeds >= stage:
            tail, stage = tail / 2, 1.5 * stage
        share = min(share, tail)
    return float(alpha * share)


def per_cent(change, raw):  # (..., K, S) twice -> (..., K, S)
    """Changes in per cent of the mean raw score: a linearised ratio of means.

    Their mean is that of the changes over that of `raw`, and their spread that of a ratio
    estimator: what only follows the size of the raw score, such as a hard simulation's, adds none.
    """
    mean = raw.mean((-2, -1), keepdims=True)
    return 100 / mean * (change - change.mean((-2, -1), keepdims=True) / mean * (raw - mean))


def correlation_change(raw, lossy):  # (..., K, S) twice -> (..., K, S)
    """Change of correlations, as their mean over seeds and simulations is taken by Fisher's z.

    The plain mean of correlations belongs to the few simulations that a model follows badly. The
    mean of z = artanh r does not; its change is given in correlations at the raw models' mean,
    dr = (1 − r²) dz.

    References
    ----------
    Fisher, On the "probable error" of a coefficient of correlation deduced from a small sample,
    Metron 1 (1921). Silver and Dunlap, Averaging correlation coefficients, J. Appl. Psychol. 72
    (1987).

    Examples
    --------
    >>> raw = np.full((2, 3), 0.98)
    >>> correlation_change(raw, raw - 0.001).mean().round(5)
    np.float64(-0.00098)
    """
    near = 1 - 1e-6  # r = 1 has no z
    before, after = (np.arctanh(np.clip(r, -near, near)) for r in (raw, lossy))
    mean = np.tanh(before.mean((-2, -1), keepdims=True))
    return (1 - np.square(mean)) * (after - before)


def two_way(values):  # (..., K, S) -> (...) twice
    """Standard error of the mean over K seeds and S test simulations, and its degrees of freedom.

    Seeds and simulations are crossed random factors (multi-reader, multi-case). With the mean
    squares A of seeds, B of simulations and E of the rest, the variance of the mean is
    (A + B − E)/(K S); A and B are not believed below E, whose expectation is the smallest. The
    degrees of freedom are Satterthwaite's. With S = 1 it is Student's t over the seeds.

    References
    ----------
    Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
    Bull. 2 (1946). Obuchowski and Rockette, Hypothesis testing of diagnostic accuracy for multiple
    readers and multiple tests, Commun. Stat. Simul. Comput. 24 (1995). Hillis, A comparison of
    denominator degrees of freedom methods …, Stat. Med. 26 (2007).
    """
    values = np.asarray(values, np.float64)
    k, s = values.shape[-2:]
    by_seed, by_simulation = values.mean(-1), values.mean(-2)
    seeds = s * by_seed.var(-1, ddof=1)  # A
    if s == 1:
        return np.sqrt(seeds / k), np.full(seeds.shape, k - 1.0)
    rest = values - by_seed[..., None] - by_simulation[..., None, :]
    rest += values.mean((-2, -1))[..., None, None]
    rest = np.square(rest).sum((-2, -1)) / ((k - 1) * (s - 1))  # E
    seeds = np.maximum(seeds, rest)
    simulations = k * by_simulation.var(-1, ddof=1)  # B
    more = np.maximum(simulations - rest, 0)
    unsure = np.square(seeds) / (k - 1)
    noisy = np.square(simulations) / (s - 1) + np.square(rest) / ((k - 1) * (s - 1))
    unsure = unsure + np.where(more > 0, noisy, 0)
    total = seeds + more
    dof = np.divide(total**2, unsure, out=np.full(total.shape, k - 1.0), where=unsure > 0)
    return np.sqrt(total / (k * s)), dof


def limits(shift, error, dof, within, harm, weights):  # (..., M) -> (..., M) three times
    """Limits of a shift: ``low`` and ``high`` for all scores at once, and ``bound``.

    A claim of harm is about *any* score: `low` shares the level `harm` out by `weights` (M,), which
    sum to 1 (weighted Bonferroni); `high` lies as far on the other side. A claim that nothing is
    beyond its margin needs *every* score, and `bound` the full level `within` for each (an
    intersection–union test: Berger 1982).
    A shift that never varies but is not zero has no limits: a spread of zero cannot be believed.
    """
    shift, error, dof = np.broadcast_arrays(*(np.asarray(a, float) for a in (shift, error, dof)))
    one, all_ = (special.stdtrit(dof, 1 - p) for p in (within, harm * np.asarray(weights, float)))
    unknown = np.where(shift == 0, 0.0, np.inf)
    one, all_ = (
        np.where(error > 0, t * np.where(error > 0, error, 1), unknown) for t in (one, all_)
    )
    return shift - all_, shift + all_, shift + one
