"""The verdict: how much worse are models of lossy data, in the user's units and with a bound.

`verdict` takes two tables of scores; the state of a score is the `position` of its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from surrlab.evaluation.margins import Margin, choose, direction, known_unit, quantity, short
from surrlab.evaluation.variability import (
    LOOKS,
    checked_looks,
    correlation_change,
    level,
    limits,
    per_cent,
    two_way,
)

STATES = ("benign", "small", "harmful", "undecided")


def position(low, bound, margin):  # (...) each -> (...) of str
    """State of each score: where its limits lie relative to its margin, and nothing else.

    ``harmful``: `low` is beyond the margin. ``small``: `bound` is within it, and `low` above zero.
    ``benign``: `bound` is within it. ``undecided``: none of them. ``not judged``: no margin (NaN).
    """
    low, bound, margin = (np.asarray(a, float) for a in (low, bound, margin))
    within = bound <= margin
    return np.select(
        [np.isnan(margin), low > margin, within & (low > 0), within],
        ["not judged", "harmful", "small", "benign"],
        "undecided",
    )


def overall(states) -> str:
    """State of a version from those of its scores: any harmful, all within, or undecided."""
    judged = set(states) - {"not judged"}
    if "harmful" in judged or "undecided" in judged:
        return "harmful" if "harmful" in judged else "undecided"
    return "small" if "small" in judged else "benign"


class Cost(NamedTuple):
    """What a kind of scores loses at most: "4.1 %", "more" "L1"; for short, so much in "L1"."""

    size: str
    worse: str
    noun: str
    place: str


@dataclass(frozen=True, eq=False)
class Verdict:
    """What `verdict` found.

    Attributes
    ----------
    state : str
        One of `STATES`: ``"benign"`` (every bound within its margin, nothing worse for certain),
        ``"small"`` (every bound within its margin, something worse for certain), ``"harmful"``
        (some shift beyond its margin for certain) or ``"undecided"``.
    reason : str
        Why, in a sentence in the user's units.
    table : pandas.DataFrame
        A row per score. ``label``, what people read for it; ``shift`` (positive = worse), its
        interval ``low`` to ``high`` for all scores at once, ``bound`` ("at most") and ``margin``,
        all in ``unit``; ``worse``, whether "more" or "less" of it is worse; ``state``, which is
        `position` of these numbers. A score without a margin (NaN) is reported, not judged.
    looks : tuple of int
        The planned looks.
    seeds : list
        The common seeds.
    n_simulations : int or None
        Test simulations that count as a random sample; None where the scores name none, so that
        the verdict holds for these test simulations only.
    confidence : float
        One minus the error rate of each kind of claim, over all looks.
    """

    state: str
    reason: str
    table: pd.DataFrame
    looks: tuple[int, ...]
    seeds: list
    n_simulations: int | None
    confidence: float

    @property
    def hopeless(self) -> bool:
        """Whether some shift is beyond its margin: more seeds will hardly bring it within."""
        return bool((self.table["shift"] >= self.table["margin"]).any())

    def config(self) -> dict:
        """Everything, ready for JSON; infinite limits and missing margins become None."""
        table = self.table.astype(object).replace([np.inf, -np.inf], np.nan)
        scores = table.where(table.notna(), None).to_dict("index")
        rest = {name: value for name, value in vars(self).items() if name != "table"}
        return {**rest, "looks": list(self.looks), "scores": scores}

    def sure(self) -> str:
        """The confidence of `costs`; more than two of them hold so often one by one."""
        return f"{100 * self.confidence:g} %" + " each" * (len(self.costs()) > 2)

    def costs(self) -> list[Cost]:
        """The largest bound of each kind of judged scores; 0 where even that is no loss.

        It bounds the largest true loss of the kind without any adjustment: the bound of the score
        that truly loses most fails at the error rate of one score.
        """
        table, found = self.table[self.table["margin"].notna()], []
        kinds = [_kind(name, row) for name, row in table.iterrows()]
        for kind in dict.fromkeys(kinds):
            rows = table[[k == kind for k in kinds]]
            one, (_, unit, noun, place) = rows["label"].iloc[0], kind
            if kind[0] != "l1" and len(rows) == 1:
                noun = place = one
            size = quantity(short(max(rows["bound"].max(), 0), up=True), unit)
            found.append(Cost(size, rows["worse"].iloc[0], noun, place))
        return found


def verdict(
    raw: pd.DataFrame,
    lossy: pd.DataFrame,
    *,
    margins: dict[str, str | Margin | None] | None = None,
    better: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    units: dict[str, str] | None = None,
    ranges: dict[str, float] | None = None,
    confidence: float = 0.95,
    looks: tuple[int, ...] = LOOKS,
    primary: str = "l1",
) -> Verdict:
    """How much worse models of lossy data are than models of raw data, and whether that matters.

    The *shift* of a score is the mean difference between the lossy and the raw model of a common
    seed, turned so that positive is worse. Its limits allow for the seeds and, where the tables
    name them, for the test simulations (`two_way`; correlations are averaged over them as Fisher
    does, `correlation_change`), for the number of scores (`limits`) and for
    looking again with more seeds (`level`). ``docs/validation.md`` says how often it is wrong.

    Parameters
    ----------
    raw, lossy : pandas.DataFrame
        A column per score, finite numbers. A row per model, indexed by ``seed``, or a row per model
        and test simulation, indexed by (``seed``, ``simulation``).
    margins : dict, optional
        Margins as text or `Margin`, on top of `DEFAULT_MARGINS`; None takes one away. The key with
        the longest match at the beginning of a score's name counts; ``correlation`` also covers
        names that end with it, and ``quantity`` every other score that has a range.
    better : dict, optional
        ``"lower"`` or ``"higher"``, where it is not the rule: higher for ``psnr…`` and
        ``…correlation``, lower for all others.
    labels, units : dict, optional
        What people read for a score, and its unit; without a unit that of its margin.
    ranges : dict, optional
        Range that the true quantity covers, in the score's unit, for margins in "% of range";
        not needed where that is the unit of the score itself.
    confidence : float
        One minus the error rate of each kind of claim.
    looks : tuple of int
        Numbers of common seeds at which the scores are looked at, planned beforehand.
    primary : str
        The score that training minimises: a quarter of the error rate of harm is its own.

    Returns
    -------
    Verdict

    Raises
    ------
    KeyError
        If a table lacks a score of the other, or an argument names none of the scores.
    ValueError
        If there are fewer than two common seeds or test simulations, a row is missing or occurs
        twice, a score is not a finite number, a margin does not fit its score, or no score has one.

    Examples
    --------
    >>> seeds = pd.Index([1, 2, 3, 4, 5], name="seed")
    >>> raw = pd.DataFrame({"psnr_pressure": [40.3, 40.4, 40.5, 40.4, 40.6]}, index=seeds)
    >>> lossy = pd.DataFrame({"psnr_pressure": [37.5, 37.4, 37.7, 37.4, 37.5]}, index=seeds)
    >>> found = verdict(raw, lossy, labels={"psnr_pressure": "PSNR of pressure"})
    >>> found.state
    'harmful'
    >>> print(found.reason.partition(", and")[0])
    PSNR of pressure falls by 2.9 dB, at least 2.6 (95 %, for these test simulations)
    """
    labels, units, ranges = labels or {}, units or {}, ranges or {}
    looks = checked_looks(looks)
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence lies between 0.5 and 1, such as 0.95, not {confidence}")
    names = [str(name) for name in raw.columns]
    for which, one, other in (("lossy", lossy, raw), ("raw", raw, lossy)):
        if missing := [name for name in other if name not in one]:
            raise KeyError(f"{which} scores lack {', '.join(missing)}; they have {', '.join(one)}")
    for what, given in (("better", better), ("units", units), ("ranges", ranges)):
        if strange := [name for name in given or {} if name not in names]:
            raise KeyError(f"{what} names {', '.join(strange)}; the scores are {', '.join(names)}")
    seeds, unmatched_seeds, simulations, old, new = _paired(raw, lossy, names)
    sign = np.array([direction(name, better or {}) for name in names])
    found = choose(names, margins or {}, units, ranges)
    values, scale = (new - old) * sign[:, None, None], np.abs(old).max((-2, -1))
    if simulations:
        for i, name in enumerate(names):
            if name.endswith("correlation"):
                values[i] = sign[i] * correlation_change(old[i], new[i])
    unit = [units.get(name, known_unit(name)) for name in names]
    for i, (name, margin) in enumerate(zip(names, found, strict=True)):
        if margin is None:
            continue
        if margin.unit == "%":
            mean = old[i].mean()
            if not mean > 0:
                raise ValueError(
                    f"the margin of {name} is {margin} of the raw models' mean, which is {mean:g} "
                    "and must be positive: give the margin in the score's own unit"
                )
            values[i], scale[i] = per_cent(values[i], old[i]), 100 * scale[i] / mean
        elif margin.unit == "% of range" != unit[i]:
            values[i], scale[i] = 100 / ranges[name] * values[i], 100 / ranges[name] * scale[i]
        if margin.unit != "1":
            unit[i] = margin.unit
    shift, (error, dof) = values.mean((-2, -1)), two_way(values)
    rounding = 1e-12 * scale  # neither a spread nor a shift
    shift = np.where(np.abs(shift) > rounding, shift, 0.0)
    error = np.where(error > rounding, error, 0.0)
    sizes = np.array([np.nan if m is None else m.size for m in found])
    judged = ~np.isnan(sizes)
    within, harm = (level(len(seeds), looks, 1 - confidence, late=late) for late in (False, True))
    weights = _weights(names, judged, primary)
    low, high, bound = limits(shift, error, dof, within, harm, weights)
    table = pd.DataFrame(
        {
            "label": [labels.get(name, "L1" if name == "l1" else name) for name in names],
            "shift": shift,
            "low": low,
            "high": high,
            "bound": bound,
            "margin": sizes,
            "unit": unit,
            "worse": np.where(sign > 0, "more", "less"),
            "state": position(low, bound, sizes),
        },
        index=pd.Index(names, name="score"),
    )
    state = overall(table["state"])
    draft = Verdict(state, "", table, looks, seeds, simulations, confidence)
    reason = _reason(draft)
    if unmatched_seeds:
        reason += (
            f"; left out for want of a raw model: seeds {', '.join(map(str, unmatched_seeds))}"
        )
    return Verdict(state, reason, table, looks, seeds, simulations, confidence)


def _weights(names, judged, primary) -> np.ndarray:
    """Share of each score in the error rate of harm; the primary score has a quarter or more."""
    share = judged / judged.sum()
    first = judged & np.array([name == primary for name in names])
    if first.any() and judged.sum() > 4:
        share = np.where(first, 0.25, 0.75 * judged / (judged.sum() - 1))
    return np.where(judged, share, 1 / judged.sum())


def _paired(raw, lossy, names):
    """Common seeds, unmatched_seeds, number of simulations, and scores (M, K, S) of both tables."""
    tables = {"raw": raw, "lossy": lossy}
    depth = {name: table.index.nlevels for name, table in tables.items()}
    if set(depth.values()) not in ({1}, {2}):
        raise ValueError("index both tables by seed, or both by (seed, simulation)")
    crossed = depth["raw"] == 2
    for which, table in tables.items():
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()].unique().tolist()
            raise ValueError(f"{which} scores have more than one row for {twice}")
    seen = {n: t.index.get_level_values(0).unique().tolist() for n, t in tables.items()}
    seeds = [seed for seed in seen["raw"] if seed in seen["lossy"]]
    unmatched_seeds = [seed for seed in seen["lossy"] if seed not in seen["raw"]]
    if len(seeds) < 2:
        raise ValueError(
            f"a verdict needs two or more seeds that raw and lossy models share, not {len(seeds)}; "
            f"raw: {seen['raw']}; lossy: {seen['lossy']}"
        )
    cases = raw.loc[[seeds[0]]].index.get_level_values(1).tolist() if crossed else [None]
    if crossed and len(cases) < 2:
        raise ValueError(
            "one test simulation says nothing about others: give two or more, or leave the "
            "simulation out of the tables to judge for this one alone"
        )
    rows = pd.MultiIndex.from_product([seeds, cases]) if crossed else pd.Index(seeds)
    arrays = []
    for which, table in tables.items():
        mine = table[table.index.get_level_values(0).isin(seeds)]
        if odd := mine.index.symmetric_difference(rows).tolist():
            raise ValueError(f"{which} models and the first raw one differ in rows: {odd[:3]}")
        try:
            scores = mine.loc[rows, names].astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{which} scores must be numbers: {error}") from None
        for name, column in scores.items():
            for row, value in column[~np.isfinite(column)].items():
                where = "seed {}, simulation {}".format(*row) if crossed else f"seed {row}"
                raise ValueError(f"{which} score {name} of {where} is {value}; it must be finite")
        arrays.append(scores.to_numpy().T.reshape(len(names), len(seeds), len(cases)))
    return seeds, unmatched_seeds, len(cases) if crossed else None, *arrays


def _kind(name, row) -> tuple[str, str, str, str]:
    """Scores of one kind share a bound: key, unit, noun and short noun of several of them."""
    unit = row["unit"]
    if name == "l1":
        return "l1", unit, "L1", "L1"
    if name.startswith("l1_"):
        return "l1_", unit, "L1 in any field", "L1 of any field"
    if name.startswith("psnr"):
        return "psnr", unit, "PSNR in any field", "any field"
    if name.endswith("correlation"):
        return "correlation", unit, "correlation of any curve", "correlation of any curve"
    if unit == "% of range":
        return "quantity", unit, "error in any quantity", "any quantity"
    return name, unit, row["label"], row["label"]


def _reason(found) -> str:
    """The sentence of a verdict, in the user's units."""
    table, state, n = found.table, found.state, len(found.seeds)
    sure = f"{100 * found.confidence:g} %"
    judged = table[table["state"] != "not judged"]
    where = "" if found.n_simulations else ", for these test simulations"
    concerned = judged[judged["state"] == state]
    count = f"{len(concerned)} of {len(judged)} scores"

    def tell(row):
        verb = "rises" if (row["shift"] >= 0) == (row["worse"] == "more") else "falls"
        return f"{row['label']} {verb} by {quantity(short(abs(row['shift'])), row['unit'])}"

    if state == "harmful":
        row = concerned.loc[(concerned["low"] / concerned["margin"]).idxmax()]
        margin = Margin(row["margin"], row["unit"])
        text = f"{tell(row)}, at least {short(row['low'], down=True)} ({sure}{where}), "
        text += f"and the margin is {margin}; beyond it for certain: {count}"
    elif state == "undecided":
        row = concerned.loc[(concerned["bound"] / concerned["margin"]).idxmax()]
        margin = Margin(row["margin"], row["unit"])
        later = [look for look in found.looks if look > n]
        text = f"{n} common seeds cannot tell for {count}: {tell(row)}, "
        if np.isfinite(row["bound"]):
            may = "rise" if row["worse"] == "more" else "fall"
            most = "at most" if row["shift"] >= 0 else f"and may {may} by up to"
            text += f"{most} {short(row['bound'], up=True)} ({sure}{where})"
        elif n < found.looks[0]:
            text += "without a bound yet"
        else:
            text += "the same in every seed, and without a spread there is no bound"
        text += f", and the margin is {margin}; "
        text += f"next look: {later[0]} seeds" if later else "that was the last planned look"
    else:
        costs = [f"{c.size} {c.worse} {c.noun}" for c in found.costs()]
        text = f"at most {listed(costs)} ({found.sure()}{where})"
        if state == "small":
            row = concerned.loc[(concerned["low"] / concerned["margin"]).idxmax()]
            text += f"; small but real: {tell(row)}"
    return text


def listed(parts: list[str]) -> str:
    """Parts of a sentence: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
