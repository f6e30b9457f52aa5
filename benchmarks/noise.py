"""How the change between a lossy and a raw model divides into seeds, simulations and the rest.

    python benchmarks/noise.py results/quick    # writes benchmarks/noise.json

Of a finished study: for every version and score the mean change over common seeds and test
simulations, and standard deviations of a seed's, a simulation's and a single pair's share (two-way
analysis of variance, method of moments; a negative estimate is 0). L1 in per cent of the raw mean.
"""

import json
import sys
from pathlib import Path

import numpy as np
from machine import machine

from surrlab.evaluation.evaluate import scores
from surrlab.studies import read_table

HERE = Path(__file__).parent


def components(change):
    """Mean, and the three standard deviations, of changes over (simulation, seed)."""
    n, k = change.shape
    mean, of, by = change.mean(), change.mean(1), change.mean(0)
    rest = ((change - of[:, None] - by + mean) ** 2).sum() / ((n - 1) * (k - 1))
    seed = max(0.0, by.var(ddof=1) - rest / n)
    simulation = max(0.0, of.var(ddof=1) - rest / k)
    return [float(f"{x:.3g}") for x in (mean, seed**0.5, simulation**0.5, rest**0.5)]


def main(results):
    table = read_table(Path(results) / "lossy_training.nc")
    version = table["version"].values
    raw, rows = scores(table.isel(model=version == "raw")), []
    for name in dict.fromkeys(version[version != "raw"]):
        lossy = scores(table.isel(model=version == name))
        for score in lossy:
            change = (lossy[score] - raw[score].loc[lossy.index]).unstack("seed").to_numpy()
            if score == "l1":
                change = 100 * change / raw[score].mean()
            values = dict(
                zip(("mean", "seed", "simulation", "rest"), components(change), strict=True)
            )
            shape = {"simulations": change.shape[0], "seeds": change.shape[1]}
            rows.append({"version": str(name), "score": score, **values, **shape})
    report = {"rows": rows, "machine": machine("numpy", "torch")}
    (HERE / "noise.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    for score in ("l1", "psnr"):
        some = [r for r in rows if r["score"].startswith(score) and abs(r["mean"]) < 5]
        print(score, {key: float(np.median([r[key] for r in some])) for key in values})


if __name__ == "__main__":
    main(*sys.argv[1:])
