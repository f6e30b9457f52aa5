"""What it costs to read other people's files as they lie: to open them, and to load them.

    python benchmarks/foreign.py [FOLDER] > benchmarks/foreign.json

Opened are 100,000 samples in 2,000 NetCDF-like files, first and again, each time by a process of
its own (imports not counted). Loaded are the same fields from contiguous HDF5 files, from files of
one chunk per field with checksums, and from surrlab's own raw copy (`surrlab import`, with
checksums), in turns; the ratio is the median over pairs. Beside the seconds that passed stand
those that the process computed: a busy machine changes them less. Files are in the page cache.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from machine import machine

import surrlab
from surrlab.data.native import copy
from surrlab.loading.loader import SampleLoader

FILES, SAMPLES, SMALL = 2000, 50, (8, 6)
RUNS, TIMES, FIELDS, GRID = 12, 16, ("a", "b", "c"), (256, 192)
ROUNDS, EPOCHS = 9, 2
OPENING = """
import resource, sys, time
import surrlab, surrlab.data.open
wall, cpu = time.perf_counter(), time.process_time()
ensemble = surrlab.open_ensemble(sys.argv[1])
n = len(ensemble.samples)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(n, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(folder, runs, times, fields, grid, **storage):
    """One file per run, as xarray writes them: dimension scales, a parameter, float32 fields."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(times, *grid)).astype(np.float32)
    for run in range(runs):
        path = folder / f"run_{run:04d}.nc"
        if path.exists():
            continue
        with h5py.File(path, "w") as file:
            file.attrs["viscosity"] = 1.0 + run
            axes = {"time": times, "y": grid[0], "x": grid[1]}
            for name, n in axes.items():
                file[name] = np.arange(n, dtype=float)
                file[name].make_scale(name)
                file[name].attrs["units"] = "m"
            for name in fields:
                field = file.create_dataset(name, data=values + run, **storage)
                field.attrs["units"] = "K"
                for dim, scale in zip(field.dims, axes, strict=True):
                    dim.attach_scale(file[scale])
    return folder


def opening(folder):
    """Samples, and seconds and MB of the first time and of three more."""
    path = write(folder / "many", FILES, SAMPLES, ("a",), SMALL)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(4):
            done = subprocess.run(
                [sys.executable, "-c", OPENING, path],
                env=os.environ | {"XDG_CACHE_HOME": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            rows.append([float(word) for word in done.stdout.split()])
    names = ("seconds", "cpu_seconds", "peak_mb")
    again = [statistics.median(column) for column in zip(*rows[1:], strict=True)]
    return {
        "samples": int(rows[0][0]),
        "files": FILES,
        "first": dict(zip(names, np.round(rows[0][1:], 3).tolist(), strict=True)),
        "again": dict(zip(names, np.round(again[1:], 3).tolist(), strict=True)),
    }


def rate(ensemble):
    """MB of decoded fields by second and by second of computing."""
    with SampleLoader(ensemble, 16, seed=0, threads=2) as loader:
        for _ in loader:  # opens files, makes threads and buffers
            pass
        wall, cpu = time.perf_counter(), time.process_time()
        for epoch in range(EPOCHS):
            loader.set_epoch(epoch)
            for _ in loader:
                pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    mb = EPOCHS * ensemble.raw_nbytes / 1e6
    return mb / wall, mb / cpu


def loading(folder):
    """MB/s of each, and medians over rounds of what they are to surrlab's own copy."""
    chunks = {"chunks": (1, *GRID), "fletcher32": True}
    size = (RUNS, TIMES, FIELDS, GRID)
    ensembles = {
        "contiguous": surrlab.open_ensemble(write(folder / "contiguous", *size)),
        "chunks with checksums": surrlab.open_ensemble(write(folder / "chunks", *size, **chunks)),
    }
    assert all(ensemble.reads_in_place for ensemble in ensembles.values())
    with ThreadPoolExecutor(1) as pool:
        ensembles["own raw"] = copy(ensembles["contiguous"], folder / "own", executor=pool)
    found = {name: [] for name in ensembles}
    for k in range(ROUNDS + 1):
        for name in sorted(ensembles, reverse=bool(k % 2)):
            found[name].append(rate(ensembles[name]))
    rates = {name: np.array(each[1:]) for name, each in found.items()}
    own = rates["own raw"]
    return {
        "grid": GRID,
        "fields": len(FIELDS),
        "samples": RUNS * TIMES,
        "rounds": ROUNDS,
        "rows": {
            name: {
                "mb_s": round(float(np.median(one[:, 0]))),
                "mb_cpu_s": round(float(np.median(one[:, 1]))),
                "to_own_raw": round(float(np.median(one[:, 0] / own[:, 0])), 3),
                "to_own_raw_cpu": round(float(np.median(one[:, 1] / own[:, 1])), 3),
            }
            for name, one in rates.items()
        },
    }


def main(folder=None):
    """Measure, and print JSON."""
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as path:
        found = {"opening": opening(Path(path)), "loading": loading(Path(path))}
    found["machine"] = machine("h5py", "numpy", "numba")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
