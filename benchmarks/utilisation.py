"""Accelerator utilisation in MLPerf Storage's words: how much of the time a consumer computes.

The consumer is simulated as there: for each batch it sleeps as long as an accelerator would compute
that eats so many bytes a second, and 0.90 is passing. Two rates: MLPerf's CosmoFlow and 3D U-Net on
one H100. Batches of 64 samples of six float32 fields on 768 x 256, from a warm page cache, on all
cores: SampleLoader over files compressed about 20 times, over the same files kept in memory
(``cache="memory"``), over raw files, and the paper's way (torch's DataLoader through the HDF5
filter, a worker a core). Feeds take turns; utilisation is compute time over wall time of an epoch's
steps but the first, the median over the rounds, and `best`, that of the round in which others used
the cores least.

`cores_for_0.90` is arithmetic: 0.90 of the rate, times the processor seconds that the feed takes
for a byte. It supposes that as many cores share neither memory's bandwidth nor anybody else's work.

    python benchmarks/utilisation.py [FOLDER] > benchmarks/utilisation.json

The ensemble in FOLDER is made once (4 GB).
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from loading import COARSE, CORES, SHAPE, as_the_paper, data_loader, tolerances, upsampled
from machine import machine

from surrlab import compression, simulation
from surrlab.data.open import open_ensemble
from surrlab.loading.loader import SampleLoader
from surrlab.simulation import RayleighTaylor

SIMULATIONS, BATCH, RATIO, ROUNDS, PASSING = 16, 64, 20, 4, 0.90
CONSUMERS = {"cosmoflow": 0.81e9, "unet3d": 3.18e9}  # bytes a second
LABELS = {
    "sample_loader": "SampleLoader, compressed files",
    "sample_loader_memory": "SampleLoader, compressed files in memory",
    "sample_loader_raw": "SampleLoader, raw files",
    "hdf5_filter": "DataLoader, HDF5 filter (the paper's way)",
}


def ensembles(folder):
    """The raw ensemble, the compressed one, and files as the paper reads them."""
    if not (folder / "compressed").exists():
        coarse = simulation.generate(
            RayleighTaylor(), folder / "coarse", n_simulations=SIMULATIONS, shape=COARSE, seed=0
        )
        raw = upsampled(coarse, folder / "raw")
        compression.compress(raw, tolerances(raw, RATIO), folder / "compressed")
    raw, compressed = open_ensemble(folder / "raw"), open_ensemble(folder / "compressed")
    paper = folder / "as_the_paper"
    paths = sorted(paper.glob("*.h5"), key=lambda p: int(p.stem)) if paper.exists() else None
    return raw, compressed, paths or as_the_paper(compressed, paper)


def processor_seconds():
    """Of this process and of the workers that it has now."""
    workers = [psutil.Process(child.pid).cpu_times() for child in multiprocessing.active_children()]
    return time.process_time() + sum(each.user + each.system for each in workers)


def epoch(feed, rate):
    """Utilisation, bytes a second and processor seconds a byte of the steps but the first."""
    computed = nbytes = began = 0
    for _, fields in feed:
        size = fields.nbytes
        compute = size / rate if rate else 0
        time.sleep(compute)
        if began:
            computed, nbytes = computed + compute, nbytes + size
        else:
            began, used = time.perf_counter(), processor_seconds()
        del fields
    wall = time.perf_counter() - began
    return {
        "utilisation": computed / wall,
        "rate": nbytes / wall,
        "seconds_per_byte": (processor_seconds() - used) / nbytes,
    }


def measure(feeds):
    """For each feed and consumer (None: one that only takes), medians over the rounds."""
    found = {}
    for turn, name, rate in itertools.product(
        range(ROUNDS + 1), feeds, (None, *CONSUMERS.values())
    ):
        numbers = epoch(feeds[name], rate)
        print(name, rate, numbers, file=sys.stderr)
        if turn:  # the first starts workers and fills the cache
            found.setdefault((name, rate), []).append(numbers)
    return {
        key: {what: statistics.median(one[what] for one in each) for what in each[0]}
        | {"best": max(one["utilisation"] for one in each)}
        for key, each in found.items()
    }


def row(name, found):
    """What one feed reaches, and what it would need."""
    alone = found[name, None]
    consumers = {
        consumer: {
            "utilisation": round(found[name, rate]["utilisation"], 3),
            "best": round(found[name, rate]["best"], 3),
            "passes": found[name, rate]["utilisation"] >= PASSING,
            "cores_for_0.90": round(PASSING * rate * alone["seconds_per_byte"], 2),
        }
        for consumer, rate in CONSUMERS.items()
    }
    return {
        "label": LABELS[name],
        "mb_per_s": round(alone["rate"] / 1e6),
        "mb_per_processor_second": round(1e-6 / alone["seconds_per_byte"]),
        "consumers": consumers,
    }


def main(folder=None):
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as path:
        raw, compressed, paths = ensembles(Path(path))
        load = os.getloadavg()[0]
        with (
            SampleLoader(compressed, BATCH, seed=0) as ours,
            SampleLoader(compressed, BATCH, seed=0, cache="memory") as ours_memory,
            SampleLoader(raw, BATCH, seed=0) as ours_raw,
        ):
            feeds = {
                "sample_loader": ours,
                "sample_loader_memory": ours_memory,
                "sample_loader_raw": ours_raw,
                "hdf5_filter": data_loader(paths, raw, BATCH),
            }
            found = measure(feeds)
        report = {
            "rows": {name: row(name, found) for name in feeds},
            "gb_per_s_of_consumers": {name: rate / 1e9 for name, rate in CONSUMERS.items()},
            "payload_ratio": round(compression.ratios(compressed).payload, 2),
            "ensemble": {"samples": len(raw.samples), "shape": SHAPE, "batch": BATCH},
            "rounds": ROUNDS,
            "cores": CORES,
            "load_before_and_after": [round(x, 2) for x in (load, os.getloadavg()[0])],
            "machine": machine("h5py", "hdf5plugin", "numba", "numpy", "torch", "zfpy"),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
