"""How often are verdicts and ladders wrong, and how often do they find harm? By simulation.

    python benchmarks/verdict.py            # writes benchmarks/verdict.json
    python benchmarks/verdict.py --quick    # a fiftieth of the repeats, writes nothing
    python benchmarks/verdict.py --only power band        # replaces these sections

Every score is measured in its margin. Raw and lossy models have a seed effect, a test simulation
has an effect and a seed on a simulation has one; the raw and the lossy value of each effect have
the correlation rho. Everything is drawn from one distribution, so the difference of two effects is
symmetric unless a section says otherwise. Scores of one model have correlation 0.5, or that of 16
real raw models (raw_scores.csv). The first score, L1, is judged in per cent of the raw mean.

"wrong" is the share of studies, in per cent, in which a claim is made although it is false, at any
of the planned looks: never stopping makes it an upper bound for whoever stops when decided.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from machine import machine
from scipy import special

from surrlab.evaluation import ladder as rules
from surrlab.evaluation import variability
from surrlab.evaluation.variability import LOOKS, level, limits, per_cent, two_way
from surrlab.evaluation.verdict import position

HERE = Path(__file__).parent
ALPHA = 0.05
WEIGHTS = np.r_[0.25, np.full(10, 0.075)]  # of 11 scores, L1 first
TAILS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "outliers": lambda rng, shape: (
        rng.standard_normal(shape) * np.where(rng.random(shape) < 0.05, 10, 1) / np.sqrt(5.95)
    ),
}
MEASURED = (1.0, 3.0, 3.5)
"""Effects of seeds, simulations and the rest on a change, as noise.json finds them at x1."""
VERSIONS = ("×1/8", "×1/4", "×1/2", "×1", "×2", "×4")
L1_MEAN = 20.0  # in margins of 5 %


def real():
    """Raw sigma in margins, and the root of the correlation, of the 16 models of raw_scores.csv.

    Quantities have no range in that file: their sigma is taken as a tenth of their margin.
    """
    table = pd.read_csv(HERE / "raw_scores.csv", index_col=0)
    margins = [0.05 * table["l1"].mean(), *[0.5] * 6, *(10 * table.std().iloc[7:10]), 0.01]
    centred = (table - table.mean()) / table.std() / np.sqrt(len(table) - 1)
    return (table.std() / margins).to_numpy(), centred.to_numpy()


def mixing(kind):
    return real()[1] if kind == "real" else np.linalg.cholesky(0.5 + 0.5 * np.eye(11)).T


def draw(rng, repeats, s, rho, tail, kind, sigma, versions=1, k=LOOKS[-1], sizes=(1.0, 1.0, 2.0)):
    """Scores (versions + 1, R, M, K, S) in margins, positive = worse, raw first, without shifts.

    `sigma` (M,) is the raw spread between seeds; `sizes` are those of seeds, simulations and rest.
    """
    root = mixing(kind)

    def effect(*shape):
        noise = TAILS[tail](rng, (repeats, *shape, len(root))) @ root
        return np.moveaxis(noise, -1, 1)

    scores = np.zeros((versions + 1, repeats, 11, k, s))
    shapes = [(k, 1), (1, s), (k, s)] if s > 1 else [(k, 1)]
    for size, shape in zip(sizes, shapes, strict=False):
        common = effect(*shape) * np.sqrt(rho) if rho else 0.0
        for one in scores:
            one += size * (common + np.sqrt(1 - rho) * effect(*shape))
    scores *= sigma[:, None, None]
    scores[:, :, 0] += L1_MEAN
    return scores


def look(raw, lossy, n, looks=LOOKS, weights=WEIGHTS):
    """Limits of all shifts at n seeds: low, bound (R, M)."""
    change = (lossy - raw)[..., :n, :]
    change[..., 0, :, :] = per_cent(change[..., 0, :, :], raw[..., 0, :n, :]) / 100 * L1_MEAN
    error, dof = two_way(change)
    within, harm = (level(n, looks, ALPHA, late=late) for late in (False, True))
    low, _, bound = limits(change.mean((-2, -1)), error, dof, within, harm, weights)
    return low, bound


def per(cent):
    return round(100 * float(cent), 2)


def wrong(rng, repeats):
    """Wrong claims of one verdict at the margin, under all looks."""
    for s in (1, 6, 40):
        for tail in TAILS:
            for rho, kind in ((0, "0.5"), (0.5, "0.5"), (0.9, "0.5"), (0.98, "0.5"), (0.5, "real")):
                for sizes in ((1.0, 1.0, 2.0), MEASURED)[: 2 if s == 40 else 1]:
                    sigma = np.full(11, 0.3 if sizes != MEASURED else 0.1)
                    raw, lossy = draw(rng, repeats, s, rho, tail, kind, sigma, sizes=sizes)
                    case = {"simulations": s, "tail": tail, "rho": rho, "scores": kind}
                    yield case | {"effects": str(sizes)} | claims(raw, lossy, LOOKS)


def claims(raw, lossy, looks, at=1.0):
    """Wrong claims where every score (harm) or the one score (benign) is shifted by the margin."""
    harm, worse, joint, two = np.zeros((4, len(raw)), bool)
    benign = np.zeros(raw.shape[:2], bool)
    for n in looks:
        low, bound = look(raw, lossy + at, n)
        harm |= (low > 1).any(-1)
        benign |= bound < 1
        kinds = [bound[:, 0], bound[:, 1:7].max(-1), bound[:, 7:10].max(-1), bound[:, 10]]
        joint |= (np.array(kinds) < 1).any(0)
        two |= (np.array(kinds[:2]) < 1).any(0)
        low, _ = look(raw, lossy, n)
        worse |= (low > 0).any(-1)
    return {
        "harm": per(harm.mean()),  # harmful, all scores exactly on the margin
        "worse": per(worse.mean()),  # something worse for certain, nothing shifted
        "benign": per(benign.mean()),  # within the margin, mean over scores
        **{f"benign {i}": per(rate) for i, rate in enumerate(benign.mean(0))},
        "L1 or PSNR": per(two.mean()),  # either bound of the usual sentence below the truth
        "four kinds": per(joint.mean()),  # any bound of a sentence about four kinds of scores
    }


def between(rng, repeats):
    """Looks at every number of seeds, on and past the plan."""
    for s in (1, 40):
        raw, lossy = draw(rng, repeats, s, 0.5, "normal", "0.5", np.full(11, 0.3), k=20)
        for name, looks in (("3-12", range(3, 13)), ("3-20", range(3, 21))):
            yield {"simulations": s, "looks": name} | claims(raw, lossy, looks)


def skewed(rng, repeats):
    """Where the change itself is exponential: some lossy models fail by much."""
    for s in (1, 40):
        raw = draw(rng, repeats, s, 0.5, "normal", "0.5", np.full(11, 0.01))[0]
        size = rng.exponential(size=(repeats, 11, LOOKS[-1], 1)) - 1
        yield {"simulations": s} | claims(raw, raw + 0.3 * size, LOOKS)


def states(raw, lossy, looks=LOOKS):
    """State of a version at each look, (R, L) of str; "hopeless": undecided and given up."""
    found = []
    for n in looks:
        low, bound = look(raw, lossy, n)
        of = position(low, bound, np.ones(11))
        harmful, undecided = (of == "harmful").any(-1), (of == "undecided").any(-1)
        small = (of == "small").any(-1)
        beyond = ((lossy - raw)[..., :n, :].mean((-2, -1)) >= 1).any(-1) & undecided
        choices = [harmful, beyond, undecided, small]
        found.append(np.select(choices, ["harmful", "hopeless", "undecided", "small"], "benign"))
    return np.stack(found, -1)


NOISES = {
    # Raw spread in margins, test simulations, sizes of the effects. The paired spread between seeds
    # is sqrt(2 - 2 rho) of the raw one.
    # Five seeds and 120 simulations bounded x1 by 4.1 % and 0.30 dB at shifts of 3.6 % and 0.22 dB.
    "means over 120 simulations: L1 0.6 %, PSNR 0.085 dB": lambda: (
        np.r_[0.12, np.full(6, 0.17), np.full(4, 0.1)],
        120,
        (1.0, 2.0, 4.0),
    ),
    "as measured at x1 of quick (noise.json)": lambda: (
        np.r_[0.072, np.full(6, 0.12), np.full(4, 0.1)],
        120,
        MEASURED,
    ),
    "twice that": lambda: (np.r_[0.24, np.full(6, 0.34), np.full(4, 0.2)], 120, (1.0, 2.0, 4.0)),
    "L1 1.4 %, PSNR 0.07 dB, these simulations": lambda: (
        np.r_[0.28, np.full(6, 0.14), np.full(4, 0.1)],
        1,
        (1.0,),
    ),
    "raw_scores.csv: medians over 6 simulations, these": lambda: (real()[0], 1, (1.0,)),
    "L1 1.4 %, PSNR 0.07-0.34 dB, these simulations": lambda: (
        np.r_[0.28, np.linspace(0.14, 0.68, 6), np.full(4, 0.1)],
        1,
        (1.0,),
    ),
}


def power(rng, repeats):
    """No shift: within the margins by 8 seeds. One score shifted by 1.5: harmful by 12 seeds."""
    for name, noise in NOISES.items():
        sigma, s, sizes = noise()
        for rho in (0.0, 0.5, 0.9):
            few = repeats if s == 1 else repeats // 4
            raw, lossy = draw(rng, few, s, rho, "normal", "real", sigma, sizes=sizes)
            of, row = states(raw, lossy), {"noise": name, "rho": rho}
            passed = np.isin(of, rules.PASSED)
            for i, n in enumerate(LOOKS[:3]):
                row[f"passed by {n}"] = per(passed[:, : i + 1].any(-1).mean())
            order = np.argsort(sigma[1:7]) + 1
            for what, score in (("L1", 0), ("median PSNR", order[3]), ("noisiest PSNR", order[-1])):
                moved = lossy.copy()
                moved[:, score] += 1.5
                of = states(raw, moved)
                row[f"harmful {what}"] = per(first(of, "harmful").mean())
            yield row


def first(of, state):
    """Whether the first look that decides finds `state`."""
    decided = ~np.isin(of, ["undecided", "hopeless"])
    at = decided.argmax(-1)
    return decided.any(-1) & (np.take_along_axis(of, at[:, None], -1)[:, 0] == state)


COSTS = {  # shift at x1/8 ... x4, in margins
    "flat at the margin, control 3": (1, 1, 1, 1, 1, 3),
    "flat at the margin, control 30": (1, 1, 1, 1, 1, 30),
    "fine ones harmless, x1/2 and x1 at the margin": (0, 0, 1, 1, 1.5, 4),
    "dose, x1 at the margin": (0.12, 0.25, 0.5, 1, 2, 4),
    "dose, as measured (x1 0.45, x2 1.3)": (0.02, 0.06, 0.15, 0.45, 1.3, 3.5),
    "not monotone: x1/4 at the margin": (0, 1, 0, 0, 2, 4),
    "control at the margin": (0, 0, 0, 0.2, 0.5, 1),
    "nothing harmful": (0, 0, 0, 0, 0, 0),
}
MOVED = {"one PSNR": np.eye(11)[3], "all": np.ones(11)}  # scores that cost so much
SIGMAS = {
    "small": np.r_[0.28, np.full(6, 0.18), np.full(4, 0.1)],  # L1 1.4 %, PSNR 0.09 dB
    "large": np.full(11, 0.4),
    "one score alone": np.where(np.arange(11) == 3, 0.8, 0.01),
}


def ladders(rng, repeats):
    """Whole studies by `plan` and `recommend`: families of wrong claims, and trainings."""
    ladder = rules.Ladder(VERSIONS)
    for name, costs in COSTS.items():
        for moved, noise in product(MOVED, SIGMAS):
            scores = draw(rng, repeats, 1, 0.5, "normal", "real", SIGMAS[noise], versions=6)
            scores[1:] += np.multiply.outer(costs, MOVED[moved])[:, None, :, None, None]
            of = np.stack([states(scores[0], lossy) for lossy in scores[1:]], 1)  # (R, V, looks)
            true = dict(zip(ladder.versions, costs, strict=True))
            studies = [study_of(ladder, one) for one in of]
            best = [rules.recommend(ladder, v) if ok else None for v, _, ok in studies]
            harm = [rules.harmful_from(ladder, v) for v, _, _ in studies]
            jumped = [jump(ladder, scores[:, i], study) for i, study in enumerate(of)]
            trained = np.mean([count for _, count, _ in studies])
            yield {
                "costs": name,
                "of": moved,
                "noise": noise,
                "wrong recommendation": per(
                    np.mean([b is not None and true[b] >= 1 for b in best])
                ),
                "wrong harm": per(np.mean([h is not None and true[h] <= 1 for h in harm])),
                "right": per(np.mean([b == _right(true) for b in best])),
                "trainings": float(trained),
                "share of 7 x 12": per(trained / 84),
                "jump wrong": per(np.mean([b is not None and true[b] >= 1 for b, _ in jumped])),
                "jump trainings": float(np.mean([count for _, count in jumped])),
            }


def _right(true):
    """The coarsest version below the control that costs less than the margin, as do finer ones."""
    best = None
    for factor, cost in list(true.items())[:-1]:
        if cost >= 1:
            break
        best = factor
    return None if list(true.values())[-1] <= 1 else best


def study_of(ladder, of):
    """Play a study whose states (versions, looks) are known beforehand."""
    verdicts, trained = {}, {}
    while todo := rules.plan(ladder, verdicts, trained):
        for factor, seeds in todo:
            trained[factor] = trained.get(factor, ()) + seeds
        for i, factor in enumerate(ladder.versions):
            n = min(len(trained.get(factor, ())), len(trained[rules.RAW]))
            if n:
                state, hopeless = of[i, LOOKS.index(n)], of[i, LOOKS.index(n)] == "hopeless"
                state = "undecided" if hopeless else state
                verdicts[factor] = SimpleNamespace(state=state, seeds=range(n), hopeless=hopeless)
    fails = verdicts[ladder.control].state == "harmful"
    return verdicts, sum(map(len, trained.values())), fails


def jump(ladder, scores, of):
    """The rule not chosen: start where the dose-response of three seeds crosses the margin.

    Worst shift of L1 and PSNR at x1/2 and x4, log-linear between; start at the coarsest version
    predicted within 0.7 margins; a passing version sends the study up, another one down.
    """
    means = scores[1:, :7, :3, 0].mean(-1) - scores[0, :7, :3, 0].mean(-1)
    low, high = np.log(np.maximum(means.max(-1)[[2, 5]], 0.05))
    predicted = np.exp(low + (high - low) / 3 * np.arange(-2, 4))
    i = int(np.flatnonzero(predicted[:5] <= 0.7).max(initial=0))
    looks, best, seen = {2: 1, 5: 1}, None, set()

    def passes(version):
        undecided = ["undecided"] if 0 < version < 5 else ["undecided", "hopeless"]
        decided = ~np.isin(of[version], undecided)
        at = int(decided.argmax()) if decided.any() else len(LOOKS) - 1
        looks[version] = at + 1
        seen.add(version)
        return of[version, at] in rules.PASSED

    while 0 <= i < 5 and i not in seen:
        if passes(i):
            best, i = i, i + 1
        elif best is None:
            i -= 1
        else:
            break
    passes(5)
    models = [LOOKS[n - 1] for n in looks.values()]
    failed = of[5, looks[5] - 1] == "harmful"
    return (ladder.versions[best] if best is not None and failed else None), sum(models) + max(
        models
    )


def bands(rng, repeats):
    """The paper's criterion: false alarms without a difference, and how often a shift shows."""
    for k in (4, 5, 8):
        for rho in (0.0, 0.5, 0.9, 0.98):
            for shift in (0.0, 2.0):
                seed, own = rng.standard_normal((2, repeats, 2, k, 6, 1))
                curve = np.sqrt(rho) * seed[:, :1] + np.sqrt(1 - rho) * own
                curve = curve + 0.5 * rng.standard_normal((repeats, 2, k, 6, 20))
                found = [variability.band_share(a, b + shift) for a, b in curve]
                yield {
                    "K": k,
                    "rho": rho,
                    "shift": shift,
                    "raw inside": per(np.mean([f.raw.mean() for f in found])),
                    "lossy inside": per(np.mean([f.lossy.mean() for f in found])),
                    "apart": per(np.mean([f.apart for f in found])),
                }


def real_models(rng, repeats):
    """Real raw models against real raw models of other seeds: whatever is claimed is false."""
    table = pd.read_csv(HERE / "raw_scores.csv", index_col=0)
    sign = np.array([-1 if n.startswith("psnr") or n.endswith("correlation") else 1 for n in table])
    margins = np.r_[1, np.full(6, 0.5), 10 * table.std().iloc[7:10], 0.01]
    scores = table.to_numpy() * sign / margins
    scores[:, 0] = L1_MEAN * table["l1"] / table["l1"].mean()
    order = rng.permuted(np.tile(np.arange(16), (repeats, 1)), axis=1)
    raw, lossy = (
        scores[order[:, half]].swapaxes(1, 2)[..., None] for half in (slice(8), slice(8, 16))
    )
    harm, worse = np.zeros((2, repeats), bool)
    for n in LOOKS[:3]:
        low, _ = look(raw, lossy, n)
        harm |= (low > 1).any(-1)
        worse |= (low > 0).any(-1)
    yield {"looks": "3, 5, 8", "harm": per(harm.mean()), "worse": per(worse.mean())}


def candidates(rng, repeats):
    """What was chosen from, in one look at 5 %: wrong claims, and power where it matters."""
    # 1. Spread over seeds and simulations: false "within the margin" at the margin.
    for s, k, sizes in product((6, 40), (3, 12), ((1, 1, 2), (0.1, 1, 1))):
        change = sum(
            size * rng.standard_normal((repeats, *shape))
            for size, shape in zip(sizes, ((k, 1), (1, s), (k, s)), strict=True)
        )
        mean = change.mean((-2, -1))
        by_seed = change.mean(-1).std(-1, ddof=1) / np.sqrt(k)
        error, dof = two_way(change)
        seeds_only = mean < -special.stdtrit(k - 1, 0.95) * by_seed
        floored = s * np.square(by_seed) * k  # Hillis's degrees of freedom, without the floor
        rest = change - change.mean(-1, keepdims=True) - change.mean(-2, keepdims=True)
        rest = np.square(rest + mean[:, None, None]).sum((-2, -1)) / ((k - 1) * (s - 1))
        total = floored + np.maximum(k * change.mean(-2).var(-1, ddof=1) - rest, 0)
        hillis = mean < -special.stdtrit(total**2 / floored**2 * (k - 1), 0.95) * np.sqrt(
            total / k / s
        )
        rate = {
            "seeds alone": seeds_only,
            "two-way, Hillis": hillis,
            "two-way, floor, Satterthwaite": mean < -special.stdtrit(dof, 0.95) * error,
            "two-way bootstrap": [bootstrap(rng, one) < 0 for one in change[: repeats // 4]],
        }
        setting = f"S {s}, K {k}, seed/simulation/rest {sizes}"
        for name, hit in rate.items():
            yield {
                "choice": "spread",
                "setting": setting,
                "candidate": name,
                "wrong": per(np.mean(hit)),
            }
    # 2. Empirical Bayes over 11 scores whose true spreads differ by a factor of 5.
    for k in (3, 5, 12):
        spread = np.geomspace(0.14, 0.68, 11)
        change = spread * (rng.standard_normal((10 * repeats, k, 11)) @ mixing("0.5"))
        mean, own = change.mean(1), change.var(1, ddof=1)
        shrunk, dof = shrink(own, k - 1)
        for name, var, df in (("own spread", own, k - 1.0), ("empirical Bayes", shrunk, dof)):
            hit = mean < -special.stdtrit(df, 0.95) * np.sqrt(var / k)
            for which, score in (("quietest", 0), ("noisiest", -1)):
                yield {
                    "choice": "shrinkage",
                    "setting": f"K {k}, {which} score",
                    "candidate": name,
                    "wrong": per(hit[:, score].mean()),
                }
    # 3. Levels at the looks, in shares of alpha: wrong at every number from 3 to 12, and power.
    change = rng.standard_normal((repeats, 11, LOOKS[-1], 1))
    plans = {f"{f} first": (f, *[(0.7 - f) / 3] * 3) for f in (0.175, 0.25, 0.3, 0.4)}
    plans |= {"rising, 2 to 5": (0.1, 0.15, 0.2, 0.25), "as O'Brien-Fleming": (0, 0.02, 0.2, 0.48)}
    for name, shares in plans.items():
        wrong_, passed, found = np.zeros(repeats, bool), [], np.zeros(repeats, bool)
        for n in range(3, 13):
            mean, (error, dof) = change[:, :, :n].mean((-2, -1)), two_way(change[:, :, :n])
            p = ALPHA * shares[sum(n >= look for look in LOOKS) - 1]
            t = special.stdtrit(dof, 1 - p)
            wrong_ |= (mean + t * error < 0)[:, 3]
            if n in LOOKS:
                within = (0.3 * (mean + t * error) < 1).all(-1)  # a spread of 0.3 margins
                passed.append(within | passed[-1] if passed else within)
                t = special.stdtrit(dof, 1 - p * WEIGHTS)
                found |= (0.3 * (mean - t * error) > -0.5)[:, 3]
        yield {"choice": "levels", "setting": "spread 0.3 margins", "candidate": name} | {
            "wrong": per(wrong_.mean()),
            "passed by 3": per(passed[0].mean()),
            "passed by 5": per(passed[1].mean()),
            "passed by 8": per(passed[2].mean()),
            "finds one PSNR": per(found.mean()),
        }
    # 4. Harm in any of 11 scores.
    for k, spread in ((3, 0.08), (5, 0.2), (12, 0.4)):
        change = spread * (rng.standard_normal((repeats // 4, k, 16)) @ mixing("real"))
        mean, error = change.mean(1), change.std(1, ddof=1) / np.sqrt(k)
        shares = {"Bonferroni": np.full(11, 1 / 11), "half for L1": np.r_[0.5, np.full(10, 0.05)]}
        shares |= {"a quarter for L1": WEIGHTS, "gated behind L1": np.r_[1, np.full(10, 1e-300)]}
        limit = {n: special.stdtrit(k - 1, 1 - ALPHA * share) for n, share in shares.items()}
        centred = change - mean[:, None]
        limit["max-t, estimated correlation"] = np.array([max_t(rng, c) for c in centred])[:, None]
        for name, t in limit.items():
            low = mean - t * error
            yield {
                "choice": "many scores",
                "setting": f"K {k}, spread {spread} margins",
                "candidate": name,
                "wrong": per((low > 0).any(-1).mean()),
                "finds L1": per((low[:, 0] > -0.5).mean()),
                "finds one PSNR": per((low[:, 3] > -0.5).mean()),
            }


def bootstrap(rng, change, draws=400):
    """Upper 95 % limit of a mean by resampling seeds and simulations (k, s)."""
    k, s = change.shape
    seeds = rng.multinomial(k, np.full(k, 1 / k), draws) / k
    simulations = rng.multinomial(s, np.full(s, 1 / s), draws) / s
    return np.quantile(((seeds @ change) * simulations).sum(-1), 0.95)


def shrink(variance, dof):
    """Variances (R, M) shrunk towards a common one, and degrees of freedom (Smyth 2004)."""
    log = np.log(variance) - special.digamma(dof / 2) + np.log(dof / 2)
    excess = log.var(-1, ddof=1) - special.polygamma(1, dof / 2)
    grid = np.geomspace(0.2, 1e5, 2000)  # of the prior's degrees of freedom
    found = np.interp(-excess, -special.polygamma(1, grid / 2), grid)[:, None]
    centre = np.exp(log.mean(-1, keepdims=True) + special.digamma(found / 2) - np.log(found / 2))
    return (found * centre + dof * variance) / (found + dof), found + dof


def max_t(rng, centred, draws=4000):
    """Upper 5 % point of the largest of correlated t (k, M), the correlation as estimated."""
    k = len(centred)
    root = centred / np.sqrt(np.square(centred).sum(0))
    t = (rng.standard_normal((draws, k)) @ root).max(-1)
    return np.quantile(t / np.sqrt(rng.chisquare(k - 1, draws) / (k - 1)), 1 - ALPHA)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=HERE / "verdict.json")
    parser.add_argument("--only", nargs="+", default=[], help="sections to replace in the file")
    args = parser.parse_args()
    many = args.repeats // 50 if args.quick else args.repeats
    start, result = time.process_time(), {}
    if args.only and args.out.exists():
        result = json.loads(args.out.read_text())
    result |= {"repeats": many, "confidence": 1 - ALPHA}
    sections = {
        "wrong": (wrong, many),
        "between stages": (between, many),
        "skewed changes": (skewed, many),
        "real models": (real_models, many),
        "power": (power, many),
        "ladder": (ladders, many // 2),
        "candidates": (candidates, many),
        "band": (bands, max(many // 16, 2)),
    }
    for i, (name, (section, repeats)) in enumerate(sections.items()):
        if args.only and name not in args.only:
            continue
        result[name] = in_batches(section, np.random.default_rng(20260 + i), repeats)
        print(f"\n{name}, %\n{pd.DataFrame(result[name]).to_string(index=False)}", flush=True)
    result["machine"] = machine("numpy", "scipy", "pandas")
    spent = round(time.process_time() - start)
    result["cpu_seconds"] = spent + (result.get("cpu_seconds", 0) if args.only else 0)
    if not args.quick:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{spent} s of CPU")


def in_batches(section, rng, repeats, size=500):
    """Rows of a section, averaged over batches that fit into memory."""
    batches = [pd.DataFrame(section(rng, min(size, repeats))) for _ in range(-(-repeats // size))]
    rows = pd.concat(batches).reset_index(names="row")
    how = {c: "mean" if pd.api.types.is_float_dtype(rows[c]) else "first" for c in rows}
    rows = rows.groupby("row", sort=True).agg(how).drop(columns="row")
    each = [column for column in rows if column.startswith("benign ")]
    if each:  # the score with the most wrong claims, over all batches
        rows["benign worst"] = rows[each].max(axis=1)
    rows = rows.drop(columns=each).round(2).to_dict("records")
    return [{name: value for name, value in row.items() if value == value} for row in rows]


if __name__ == "__main__":
    main()
