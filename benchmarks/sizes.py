"""Ratios at Algorithm 1's own error on several grids, for every codec; totals; and a size law.

    python benchmarks/sizes.py [FOLDER] > benchmarks/sizes.json

On each grid: 8 simulations of 51 samples, a network of the `quick` presets' width trained on them
(40 epochs; two seeds up to 48 x 16), and of 4 simulations every field compressed to the models' own
mean error on it: with each codec, with the codecs that a race chooses, and with these and the
totals kept. The law is a straight line through Rayleigh-Taylor's log ratios against log cells.
What is in FOLDER is not made again: ensembles, models, and the numbers of a grid.
"""

import contextlib
import json
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from machine import machine
from scipy import stats

from surrlab.compression import choose, codec_class, ratios, search_and_compress, table
from surrlab.compression.codecs import joined
from surrlab.compression.race import CODECS
from surrlab.evaluation.evaluate import model_errors
from surrlab.evaluation.quantities import measure, quantities_of
from surrlab.simulation import PchipImpact, RayleighTaylor, generate
from surrlab.studies.config import get_preset
from surrlab.training import train

SIMULATIONS, COMPRESSED, EPOCHS, BATCH = 8, 4, 40, 16
GRIDS = {
    RayleighTaylor: ((24, 8), (48, 16), (96, 32), (192, 64), (288, 96)),
    PchipImpact: ((64, 64), (128, 128)),
}
PRESETS = {RayleighTaylor: "quick", PchipImpact: "quick-pchip"}
FIXED = 0.1  # an error that does not depend on the model, in standard deviations
PAPER, PAPER_RATIO = (768, 256), 23.7


def errors_of(ensemble, scenario, shape, folder):
    """Mean training errors (sample, field), and that mean in standard deviations."""
    config = replace(get_preset(PRESETS[scenario]).train, epochs=EPOCHS, batch_size=BATCH)
    found = []
    for seed in range(1 if np.prod(shape) > 1000 else 2):
        path = folder / f"model-{scenario.__name__}-{shape[0]}-{seed}"
        model = train(ensemble, config, seed=seed, path=path, threads=1, progress=False)
        found.append(model_errors(model, ensemble)["model_error"])
    return sum(found[1:], found[0]) / len(found)


def spread_of(ensemble):
    samples = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
    spread = samples.std(axis=(0, 2, 3), dtype=np.float64)
    return xr.DataArray(spread, {"field": list(ensemble.field_names)}, ["field"])


def off(names, truth, stored):
    """Largest error of each total, as part of what it would be if its field had one sign."""
    quantities, worst = quantities_of(truth, names), dict.fromkeys(names, 0.0)
    for s in truth.simulations:
        samples, back = truth.read_simulation(s).astype(float), stored.read_simulation(s)
        for name, one in quantities.items():
            i, ends = truth.index(one.linear_in), []
            for values in (np.abs(samples[:, i]), 0):
                changed = samples.copy()
                changed[:, i] = values
                ends.append(measure({name: one}, truth, s, changed)[name])
            size = np.abs(ends[0] - ends[1])
            lacking = [measure({name: one}, truth, s, v)[name] for v in (samples, back)]
            error = np.abs(lacking[1] - lacking[0])
            worst[name] = max(worst[name], float((error / np.where(size > 0, size, np.inf)).max()))
    return {name: float(f"{value:.2g}") for name, value in worst.items()}


def measured(scenario, shape, folder):
    known = folder / f"sizes-{scenario.__name__}-{shape[0]}.json"
    if not known.exists():
        known.write_text(json.dumps(measure_grid(scenario, shape, folder)))
    return json.loads(known.read_text())


def measure_grid(scenario, shape, folder):
    path = folder / f"{scenario.__name__}-{shape[0]}"
    with ThreadPoolExecutor() as executor:
        numbers = {"n_simulations": SIMULATIONS, "shape": shape, "seed": 1}
        ensemble = generate(scenario(), path, executor=executor, **numbers)
    errors = errors_of(ensemble, scenario, shape, folder)
    some, spread = ensemble.select(ensemble.simulations[:COMPRESSED]), spread_of(ensemble)
    linear = [q.name for q in quantities_of(some).values() if q.linear_in]
    row = {
        "benchmark": some.benchmark,
        "shape": shape,
        "model_error_std": round(float((errors / spread).mean()), 4),
        "ratios": {},
    }

    def stored(name, codec, errors=errors, **keep):
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as executor:
            made = search_and_compress(
                some, errors, Path(scratch) / "x", codec=codec, executor=executor, **keep
            )
            found = {name: round(value, 3) for name, value in ratios(made)._asdict().items()}
            row["ratios"][name] = found
            print(shape, name, found, file=sys.stderr, flush=True)
            return made.file_nbytes, int(table(made)["nbytes"].sum()), off(linear, some, made)

    for name in CODECS:
        stored(name, codec_class(name))
    stored("zfp at a fixed error", codec_class("zfp"), FIXED * spread)
    codecs = choose(some, errors)
    row["auto"] = joined(list(codecs.values()))
    plain, streams, before = stored("auto", codecs)
    kept, finer, after = stored("auto, totals kept", codecs, keep=linear)
    values = 4 * sum(len(run.times) for run in some.runs) * len(linear)
    row["totals"] = {
        "error_without": before,
        "error_kept": after,
        "bytes_of_offsets": round(values / streams, 5),
        "bytes_of_finer_samples": round((finer - streams) / streams, 5),
        "bytes_of_files": round((kept - plain) / plain, 5),
    }
    return row


def law(rows, name):
    """Ratio on the paper's grid by a line through log ratio against log cells, 95 % interval."""
    cells = np.log([np.prod(row["shape"]) for row in rows])
    ratio = np.log([row["ratios"][name]["payload"] for row in rows])
    fit, n = stats.linregress(cells, ratio), len(rows)
    at = np.log(np.prod(PAPER))
    residual = ratio - fit.intercept - fit.slope * cells
    scatter = np.sqrt(np.square(residual).sum() / (n - 2))
    far = np.square(at - cells.mean()) / np.square(cells - cells.mean()).sum()
    middle, half = fit.intercept + fit.slope * at, scatter * np.sqrt(1 + 1 / n + far)
    half *= stats.t.ppf(0.975, n - 2)
    ends = np.exp([middle - half, middle, middle + half])
    return {"exponent": round(fit.slope, 3), "low_middle_high": ends.round(1).tolist()}


def main(folder=None):
    """Measure, and print JSON."""
    warnings.simplefilter("ignore")
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as path:
        rows = [measured(one, s, Path(path)) for one, shapes in GRIDS.items() for s in shapes]
    mixing = [row for row in rows if row["benchmark"] == "rayleigh-taylor"]
    names = [*CODECS, "auto", "zfp at a fixed error"]
    laws = {name: law(mixing, name) for name in names}
    found = {"grids": rows, "law": {"shape": PAPER, "paper": PAPER_RATIO, "by_codec": laws}}
    here = machine("hdf5plugin", "zfpy", "h5py", "numpy", "torch")
    print(json.dumps({"machine": here, **found}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
