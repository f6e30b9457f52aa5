"""How often is `surrlab.variability.verdict` wrong, and how often does it find harm? By simulation.

    python benchmarks/verdict.py                       # writes benchmarks/verdict.json
    python benchmarks/verdict.py --scores scores.csv   # with correlations of real raw models

A model's score in each of M = 11 metrics is a seed effect, which the raw and the lossy model of a
common seed share, plus noise: correlation rho between them, 0.5 between metrics, spread σ = 1. Four
rules are compared on the same draws:

    plain     Student's t of the pairs against margin · σ̂, as if σ̂ were σ
    welch     t-type bound on shift − margin · σ, degrees of freedom by Welch–Satterthwaite
    unpooled  p_harmful with the pairs alone (n − 1 degrees of freedom)
    verdict   what `surrlab.variability` does

Columns, in per cent of repeats at confidence 0.95:

    harm@0    called harmful, no metric shifted              wrong: at most 5
    harm@2s   called harmful, all shifted by exactly 2 σ     wrong: at most 5
    benign@2s called benign, one shifted by exactly 2 σ and ten clearly harmless
                                                             wrong: at most 5
    cover     95 % interval of a shift covers the truth
    benign@0  called benign, no metric shifted               power
    harm@x2   called harmful, L1 and pressure PSNR shifted by 8.4 and 13 σ    power
    harm@x4   called harmful, L1 and pressure PSNR shifted by 40 and 29 σ     power

The last two are the shifts of a prototype (48×16, 25 epochs) trained at twice and at four times
Algorithm 1's tolerance.

The file of --scores has a column of seeds, then one a metric (as `verdict` takes them). It adds the
simulation with the correlation between its metrics, and real false alarms: raw models split at
random into "raw" and "lossy" ones of other seeds. Metrics count as better when lower, unless their
names start with psnr or end with correlation; x2 and x4 then shift the first two.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine
from scipy import special

from surrlab import evaluation

HERE = Path(__file__).parent
METRICS = 11
MARGIN, ALPHA = 2.0, 0.05
SHIFTS = {"x2": (8.4, 13.0), "x4": (40.0, 29.0)}  # of the first two metrics, in σ
TAILS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t4": lambda rng, shape: rng.standard_t(4, shape) / np.sqrt(2),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
}


def plain(shift, paired_sd, sigma, pairs, raws):
    return special.stdtr(pairs - 1, (MARGIN * sigma - shift) / (paired_sd / np.sqrt(pairs)))


def welch(shift, paired_sd, sigma, pairs, raws):
    a, b = paired_sd**2 / pairs, MARGIN**2 * sigma**2 / (2 * (raws - 1))
    dof = (a + b) ** 2 / (a**2 / (pairs - 1) + b**2 / (raws - 1))
    return special.stdtr(dof, (MARGIN * sigma - shift) / np.sqrt(a + b))


def unpooled(shift, paired_sd, sigma, pairs, raws):
    error = paired_sd / np.sqrt(pairs)
    return evaluation.p_harmful(shift, error, pairs - 1.0, sigma, raws, MARGIN)


def verdict(shift, paired_sd, sigma, pairs, raws):
    error, dof = evaluation.paired_error(paired_sd, sigma, pairs)
    return evaluation.p_harmful(shift, error, dof, sigma, raws, MARGIN)


RULES = {"plain": plain, "welch": welch, "unpooled": unpooled, "verdict": verdict}


def summarise(raw, lossy):  # (R, K, M), (R, n, M) -> three arrays (R, M)
    pairs = lossy - raw[:, : lossy.shape[1]]
    return *evaluation.band(pairs, axis=1), evaluation.band(raw, axis=1).sigma


def draw(rng, repeats, raws, pairs, rho, spread=1.0, tail="normal", mixing=None):
    """Summaries of simulated models without any shift, whose raw spread is 1."""
    if mixing is None:
        mixing = np.linalg.cholesky(0.5 + 0.5 * np.eye(METRICS)).T

    def noise(models):
        return TAILS[tail](rng, (repeats, models, len(mixing))) @ mixing

    seed = np.sqrt(rho) * noise(raws)
    raw = seed + np.sqrt(1 - rho) * noise(raws)
    lossy = spread * (seed[:, :pairs] + np.sqrt(1 - rho) * noise(pairs))
    return summarise(raw, lossy)


def measure(rule, raws, pairs, summary):
    """Percentages of the columns above for one rule on one set of draws."""
    shift, paired_sd, sigma = summary

    def decide(true_shift):
        p = RULES[rule](shift + true_shift, paired_sd, sigma, pairs, raws)
        return evaluation.decide(p, ALPHA)[1:]

    harm_0, benign_0 = decide(0.0)
    harm_2s, benign_2s = decide(MARGIN)
    row = {
        "harm@0": harm_0.any(-1).mean(),
        "harm@2s": harm_2s.any(-1).mean(),
        "benign@2s": benign_2s.mean(),  # the other ten settled, each metric decides alone
        "benign@0": benign_0.all(-1).mean(),
    }
    for name, sizes in SHIFTS.items():
        true = np.zeros(shift.shape[-1])
        true[: len(sizes)] = sizes
        row[f"harm@{name}"] = decide(true)[0].any(-1).mean()
    if rule == "verdict":
        error, dof = evaluation.paired_error(paired_sd, sigma, pairs)
        row["cover"] = (np.abs(shift) <= special.stdtrit(dof, 1 - ALPHA / 2) * error).mean()
    return {name: round(100 * float(value), 1) for name, value in row.items()}


def simulate(rng, repeats, mixing=None):
    for raws in (3, 5, 10, 30):
        for pairs in (n for n in (2, 3, 5, 10) if n <= raws):
            for rho in (0.3, 0.7):
                summary = draw(rng, repeats, raws, pairs, rho, mixing=mixing)
                for rule in RULES if mixing is None else ["verdict"]:
                    about = {"rule": rule, "K": raws, "K'": pairs, "rho": rho}
                    yield about | measure(rule, raws, pairs, summary)


def depart(rng, repeats):
    """Where the assumptions fail: no shared seed effect, lossy models of other spread, tails."""
    for assumption in (
        {"rho": 0.0},
        {"rho": 0.0, "spread": 1.5},
        {"rho": 0.3, "spread": 2.0},
        {"rho": 0.3, "tail": "t4"},
        {"rho": 0.3, "tail": "exponential"},
    ):
        for raws, pairs in ((5, 2), (5, 3), (5, 5), (10, 5), (30, 5)):
            summary = draw(rng, repeats, raws, pairs, **assumption)
            about = {"rule": "verdict", "K": raws, "K'": pairs, "spread": 1.0, "tail": "normal"}
            yield about | assumption | measure("verdict", raws, pairs, summary)


def split(rng, repeats, scores):
    """Real raw models against real raw models: both groups are raw, any harm is a false alarm."""
    models = len(scores)
    for pairs in range(2, models // 2 + 1):
        order = rng.permuted(np.tile(np.arange(models), (repeats, 1)), axis=1)
        summary = summarise(scores[order[:, pairs:]], scores[order[:, :pairs]])
        harm, benign = evaluation.decide(verdict(*summary, pairs, models - pairs), ALPHA)[1:]
        yield {
            "K": models - pairs,
            "K'": pairs,
            "harmful": round(100 * float(harm.any(-1).mean()), 1),
            "benign": round(100 * float(benign.all(-1).mean()), 1),
        }


def read_scores(path):
    """Scores oriented so that more is worse, (K, M), and the root of their correlation, (K, M)."""
    table = pd.read_csv(path, index_col=0).astype(float)
    higher = [name.startswith("psnr") or name.endswith("correlation") for name in table]
    scores = np.where(higher, -1, 1) * table.to_numpy()
    mean, sigma = evaluation.band(scores)
    usable = np.isfinite(sigma) & (sigma > 0)
    if len(scores) < 4 or len(sigma) < 2 or not usable.all():
        raise SystemExit(
            f"{path}: needs 4 models and 2 metrics or more, finite, each with a spread"
        )
    return scores, (scores - mean) / sigma / np.sqrt(len(scores) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--scores", type=Path, help="CSV of raw models: seed, then the metrics")
    parser.add_argument("--out", type=Path, default=HERE / "verdict.json")
    args = parser.parse_args()
    start, rng = time.process_time(), np.random.default_rng(20260)
    result = {"repeats": args.repeats, "margin": MARGIN, "confidence": 1 - ALPHA}
    result["simulated"] = list(simulate(rng, args.repeats))
    result["assumptions broken"] = list(depart(rng, args.repeats))
    if args.scores:
        scores, mixing = read_scores(args.scores)
        result["real correlation"] = list(simulate(rng, args.repeats, mixing))
        result["real raw against raw"] = list(split(rng, args.repeats, scores))
    for name, rows in result.items():
        if isinstance(rows, list):
            print(f"\n{name}, %\n{pd.DataFrame(rows).to_string(index=False, na_rep='')}")
    result["machine"] = machine("numpy", "scipy", "pandas")
    result["cpu_seconds"] = round(time.process_time() - start)
    partial = args.out.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(partial, args.out)
    print(f"\n{result['cpu_seconds']} s of CPU; wrote {args.out}")


if __name__ == "__main__":
    main()
