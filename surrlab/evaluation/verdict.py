"""Is a model trained on lossy data still one of the family? The criterion of Section III-A.

`band` is the grey band of Fig. 3. `verdict` makes the paper's criterion, "inside the ±2σ band of
the raw models", a statement with an error rate. The functions between them are its arithmetic on
plain arrays, which ``benchmarks/verdict.py`` runs by the thousand to measure that rate.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

FURTHER_SEEDS_LIMIT = 1000
"""Where `verdict` stops asking how many more seeds would settle it."""


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
        One curve, field or number a raw model, the models along `axis`.
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


def paired_error(paired_sd, sigma, n_pairs):  # (...) twice -> (...) twice
    """Standard error of a mean paired shift, and its degrees of freedom.

    A pair of two raw models, whose expected squared difference is 2σ², joins the `n_pairs`. Without
    it, two or three pairs that happen to agree would look certain, and Student's t at one degree of
    freedom could call nothing harmful. The price is some caution where common seeds help a lot.

    Where ``sigma`` is zero there is nothing to add, and the pairs speak alone.
    """
    known = np.greater(sigma, 0)
    squares = (n_pairs - 1) * np.square(paired_sd) + 2 * np.square(sigma)
    dof = n_pairs - 1 + known
    return np.sqrt(squares / dof / n_pairs), dof


def p_harmful(shift, error, dof, sigma, n_raw, margin):  # (...) -> (...)
    """Evidence against harm: small where the true shift exceeds `margin` · the true σ.

    The one-sided p-value of Student's t, averaged over the values of σ that `n_raw` models leave
    possible (σ̂² (K − 1)/σ² follows χ² with K − 1 degrees of freedom): a generalised p-value. Its
    complement is the p-value of the opposite claim, that the shift stays below the margin.

    References
    ----------
    Tsui and Weerahandi, Generalized p-values in significance testing of hypotheses in the presence
    of nuisance parameters, J. Am. Stat. Assoc. 84 (1989).
    """
    shift, error, dof, sigma = (np.asarray(a, float)[..., None] for a in (shift, error, dof, sigma))
    # The trapezoid rule in log χ² converges fast, also far out where Holm's thresholds lie.
    log_chi2 = np.linspace(*np.log(special.chdtri(n_raw - 1, [1 - 1e-7, 1e-9])), 96)
    chi2 = np.exp(log_chi2)
    log_density = (n_raw - 1) / 2 * log_chi2 - chi2 / 2
    weight = np.exp(log_density - log_density.max())
    excess = shift - margin * sigma * np.sqrt((n_raw - 1) / chi2)
    certain = np.where(excess > 0, np.inf, -np.inf)  # where nothing varies, the sign decides
    t = np.divide(excess, error, out=certain, where=error > 0)
    return special.stdtr(dof, -t) @ (weight / weight.sum())


def decide(p, alpha):  # (..., M) -> (..., M) three times
    """Adjusted p-values, and which metrics are harmed and which are safe.

    Harm in *any* of M metrics is enough, so that `p` is adjusted by Holm's method; safety must hold
    in *every* metric, which needs no adjustment (an intersection–union test).
    """
    order = np.argsort(p, axis=-1)
    steps = np.arange(p.shape[-1], 0, -1) * np.take_along_axis(p, order, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, -1).clip(max=1), -1)
    return adjusted, adjusted <= alpha, 1 - p <= alpha


@dataclass(frozen=True, eq=False)
class Verdict:
    """What `verdict` found.

    Attributes
    ----------
    state : str
        ``"benign"``, ``"harmful"`` or ``"inconclusive"``.
    reason : str
        Why, in a sentence.
    further_seeds : int or None
        More common seeds that would settle an inconclusive verdict, were the present means and
        spreads exact; 0 where it is settled, None where not even `FURTHER_SEEDS_LIMIT` would do.
    table : pandas.DataFrame
        A row a metric. ``label``, what people read for it; ``shift`` (positive = degradation), its
        interval ``low`` to ``high`` and ``sigma``, the spread between raw models, in the metric's
        unit; ``effect`` = shift/sigma; ``p_harmful`` (adjusted by Holm's method), small where harm
        is shown; ``p_benign``, small where its absence is; ``state``, that of the metric.
    seeds : list
        The common seeds.
    n_raw : int
        Raw models that sigma comes from.
    margin, confidence : float
        As given.
    """

    state: str
    reason: str
    further_seeds: int | None
    table: pd.DataFrame
    seeds: list
    n_raw: int
    margin: float
    confidence: float

    def config(self) -> dict:
        """Everything, ready for JSON; an infinite effect (sigma 0) becomes None."""
        finite = self.table.astype(object).replace([np.inf, -np.inf], None)
        return {**vars(self), "table": finite.to_dict("index")}


def verdict(raw, lossy, *, better, labels=None, margin=2.0, confidence=0.95) -> Verdict:
    """Whether lossy training data made worse models than the seed alone does.

    For each metric the *degradation* is the mean shift from raw to lossy models of common seeds,
    and σ the spread of all raw models. Compression is

    - *harmful* if for some metric the degradation exceeds ``margin`` · σ,
    - *benign* if for every metric it stays below ``margin`` · σ,

    each at the given confidence, and the verdict is *inconclusive* otherwise. Both sides allow for
    the noise in the shift and for the fact that a few raw models know σ poorly.

    How often it is wrong, with 11 correlated metrics, K = 3 to 30 raw and K' = 2 to 10 lossy
    models, as ``python benchmarks/verdict.py --scores benchmarks/raw_scores.csv`` measures it:

    - False alarms: models without a shift are called harmful in at most 0.1 % of cases, with a
      shift of exactly 2σ in all metrics in at most 4.1 %; a shift of exactly 2σ is called benign in
      at most 4.1 %. (Student's t against 2σ̂, as if σ were known: up to 53 % and 17 %.) With the
      correlations of 16 real raw models 4.4 % and 4.2 %; those models against each other, split at
      random into raw and "lossy" ones of other seeds, are never called harmful. With heavy or
      skewed tails, or lossy models of twice the spread, no rate exceeds 6 %.
    - Power: an over-compressed control (four times Algorithm 1's tolerance; L1 shifts by 40σ,
      pressure PSNR by 29σ) is called harmful in 100 % with K = 5, in 88 % or more with K = 3.
      Models without a shift are called benign in 1–2 % with K = 5 and K' = 2, in 12–29 % with 5 and
      3, in 38–65 % with 5 and 5, in 89–98 % with 10 and 10, and inconclusive otherwise.

    Parameters
    ----------
    raw, lossy : pandas.DataFrame
        A row a model, indexed by seed; a column a metric, one finite number a model.
    better : dict
        The metrics to judge, each ``"lower"`` or ``"higher"``; other columns are ignored.
    labels : dict, optional
        What people read for a metric; its own name where there is none.
    margin : float
        Degradation that still counts as harmless, in units of σ. Where all raw models score the
        same it is zero: lossy models that score the same are benign, surely worse ones harmful.
    confidence : float
        One minus the error rate of each claim; also that of the intervals.

    Returns
    -------
    Verdict

    Raises
    ------
    KeyError
        If a table lacks a metric.
    ValueError
        If there are fewer than two common seeds, a seed occurs twice, a score is not finite, or an
        argument makes no sense.

    Examples
    --------
    >>> seeds = [1, 2, 3, 4, 5]
    >>> raw = pd.DataFrame({"psnr_pressure": [40.3, 40.4, 40.5, 40.4, 40.6]}, index=seeds)
    >>> lossy = pd.DataFrame({"psnr_pressure": [37.5, 37.4, 37.7]}, index=seeds[:3])
    >>> label = {"psnr_pressure": "PSNR of pressure"}
    >>> found = verdict(raw, lossy, better={"psnr_pressure": "higher"}, labels=label)
    >>> found.state, found.seeds, found.further_seeds
    ('harmful', [1, 2, 3], 0)
    >>> print(found.reason.partition(",")[0])
    PSNR of pressure falls by 2.9 dB (95 % interval 2.6 to 3.1)
    """
    if not better or not set(better.values()) <= {"lower", "higher"}:
        raise ValueError(f"better must map each metric to 'lower' or 'higher', not {better}")
    if not (0 <= margin < np.inf and 0.5 < confidence < 1):
        raise ValueError(f"need margin >= 0 and 0.5 < confidence < 1, not {margin}, {confidence}")
    sign = np.where([direction == "lower" for direction in better.values()], 1, -1)
    family, lossy_scores = _scores("raw", raw, better), _scores("lossy", lossy, better)
    seeds = [seed for seed in family.index if seed in lossy_scores.index]
    strangers = [seed for seed in lossy_scores.index if seed not in family.index]
    if len(seeds) < 2:
        raise ValueError(
            f"a verdict needs two or more seeds that raw and lossy models share, not {len(seeds)}; "
            f"raw: {family.index.tolist()}; lossy without a raw model: {strangers}"
        )
    n, k = len(seeds), len(family)
    pairs = sign * (lossy_scores.loc[seeds] - family.loc[seeds]).to_numpy()
    (shift, paired_sd), (_, sigma) = band(pairs), band(family)

    def evidence(n_pairs, n_raw):
        return p_harmful(shift, *paired_error(paired_sd, sigma, n_pairs), sigma, n_raw, margin)

    def settled(further):
        _, harmful, benign = decide(evidence(n + further, max(k, n + further)), 1 - confidence)
        return harmful.any() or benign.all()

    adjusted, harmful, benign = decide(evidence(n, k), 1 - confidence)
    error, dof = paired_error(paired_sd, sigma, n)
    half = special.stdtrit(dof, (1 + confidence) / 2) * error
    unbounded = np.where(shift == 0, 0, np.copysign(np.inf, shift))
    table = pd.DataFrame(
        {
            "label": [(labels or {}).get(metric, metric) for metric in better],
            "shift": shift,
            "low": shift - half,
            "high": shift + half,
            "sigma": sigma,
            "effect": np.divide(shift, sigma, out=unbounded, where=sigma > 0),
            "p_harmful": adjusted,
            "p_benign": 1 - evidence(n, k),
            "state": np.select([harmful, benign], ["harmful", "benign"], "inconclusive"),
        },
        index=pd.Index(better, name="metric"),
    )
    state = "harmful" if harmful.any() else "benign" if benign.all() else "inconclusive"
    further = 0
    if state == "inconclusive":
        numbers = [*range(1, FURTHER_SEEDS_LIMIT + 1), None]
        further = numbers[bisect_left(numbers[:-1], True, key=settled)]
    reason = _reason(table, state, further, better, margin, confidence)
    if strangers:
        reason += f"; left out for want of a raw model: seeds {', '.join(map(str, strangers))}"
    return Verdict(state, reason, further, table, seeds, k, margin, confidence)


def _scores(name, table, better) -> pd.DataFrame:
    """The judged columns of a table as float64, refused where a verdict would be nonsense."""
    if missing := [metric for metric in better if metric not in table]:
        raise KeyError(f"{name} scores lack {', '.join(missing)}; they have {', '.join(table)}")
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique().tolist()
        raise ValueError(f"{name} scores have more than one row for seeds {twice}")
    scores = table[list(better)].astype(np.float64)
    for metric, column in scores.items():
        for seed, value in column[~np.isfinite(column)].items():
            raise ValueError(f"{name} score {metric} of seed {seed} is {value}; it must be finite")
    return scores


def _reason(table, state, further, better, margin, confidence) -> str:
    """The sentence of a verdict, told by the metric that matters most."""
    concerned = table[table["state"] == state]
    metric = concerned["effect" if state == "harmful" else "p_benign"].idxmax()
    row = table.loc[metric]
    name, unit = row["label"], " dB" if metric.startswith("psnr_") else ""
    verb = "rises" if (row["shift"] > 0) == (better[metric] == "lower") else "falls"
    low, high = sorted(np.sign(row["shift"] or 1) * row[["low", "high"]])
    size = f"{_short(abs(row['effect']))} times the spread between raw models"
    told = (
        f"{name} {verb} by {_short(abs(row['shift']))}{unit} ({100 * confidence:g} % interval "
        f"{_short(low)} to {_short(high)}), {size if row['sigma'] else 'where raw models agree'}"
    )
    count = f"{len(concerned)} of {len(table)} metrics"
    if state == "harmful":
        return f"{told}; beyond the margin of {margin:g} for certain: {count}"
    if state == "benign":
        return f"no metric is worse by {margin:g} times the spread; nearest to it: {told}"
    hope = f"too close to the margin for {FURTHER_SEEDS_LIMIT:,} more common seeds to settle it"
    if further:
        hope = f"about {further} more common seed{'s' * (further > 1)} would settle it"
    return f"these runs cannot tell for {count}; nearest to harm: {told}; {hope}"


def _short(number) -> str:
    return f"{number:.2g}" if abs(number) < 10 else f"{number:,.0f}"
