"""Ratio, error and speed of every codec on Rayleigh–Taylor at two sizes.

    python benchmarks/codecs.py [FOLDER] > benchmarks/codecs.json

Every simulation is compressed with each codec to mean absolute errors of 0.01, 0.02 and 0.05
standard deviations of each field, by Algorithm 1 per field. Speeds are of a core's own time, so
that a busy machine does not change them much. Ensembles in FOLDER are made once.
"""

import contextlib
import itertools
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import machine

from surrlab.compression import race
from surrlab.simulation import RayleighTaylor, generate

SIMULATIONS, SHAPES = 8, ((48, 16), (192, 64))
TARGETS = (0.01, 0.02, 0.05)
HARMONIC = ("ratio_file", "ratio_payload", "encode_mb_s", "decode_mb_s")  # fields are equally large


def measure(path, shape):
    """Rows of a race: one per codec and target, all fields together."""
    numbers = {"n_simulations": SIMULATIONS, "shape": shape, "seed": 1}
    with ThreadPoolExecutor() as executor:
        ensemble = generate(RayleighTaylor(), path, executor=executor, **numbers)
    table = race(ensemble, targets=TARGETS, n_simulations=SIMULATIONS)
    means = {
        name: 1 / (1 / values).mean("field") if name in HARMONIC else values.mean("field")
        for name, values in table.items()
    }
    rows = []
    for codec, target in itertools.product(table["codec"].values, TARGETS):
        row = {name: values.sel(codec=codec, target=target) for name, values in means.items()}
        numbers = {name: float(f"{float(value):.4g}") for name, value in row.items()}
        rows.append({"codec": str(codec), "error_std": target, **numbers})
    return {"shape": shape, "simulations": SIMULATIONS, "rows": rows}


def main(folder=None):
    """Measure, and print JSON."""
    here = machine("hdf5plugin", "zfpy", "h5py", "numpy")
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as path:
        found = [measure(Path(path) / f"rt{shape[0]}", shape) for shape in SHAPES]
    print(json.dumps({"machine": here, "sizes": found}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
