"""What 100,000 samples cost beside 10,000, and on paper the paper's 450 GB.

Ensembles of 200 and of 2,000 simulations x 50 samples of three smooth random fields on 24 x 8 take
turns at every step of a study's data: opening, splitting, the index of stored chunks, Algorithm 1
with compression, an epoch, a summary, the explorer. Each step runs in a process of its own, with
an empty or a filled cache as it says: wall and processor time (with that of its children), and
peak memory above what the imports took. `growth` is the time for ten times the simulations, over
ten: at most 1 where a step is at most linear.

    python benchmarks/scaling.py [FOLDER] > benchmarks/scaling.json
    python benchmarks/scaling.py table      # docs/scaling.md's tables, from benchmarks/scaling.json

What is in FOLDER is not made again. `on_paper` computes the 450 GB from the measured rates.
"""

import contextlib
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from machine import machine

SIZES, STEPS, SHAPE, BATCH, REPEATS = (200, 2000), 50, (24, 8), 64, 3
FIELDS = (("density", "g/cm3"), ("velocity", "cm/us"), ("pressure", "Mbar"))
CORES = len(os.sched_getaffinity(0))
ERROR = 0.01  # of a model, in the fields' own units: they vary by about 1
FINE = (768, 256)  # the paper's grid, for the rates
RESULT = Path(__file__).with_suffix(".json")


# ------------------------------------------------------------------------------------ the data


def header(shape):
    from surrlab.data.fields import Field, Grid
    from surrlab.data.stored import Header

    axes = {"y": (shape[0], 0.0, 3.0), "x": (shape[1], 0.0, 1.0)}
    inputs = {"speed": "1", "phase": "1", "time": "s"}
    return Header(tuple(Field(*one) for one in FIELDS), Grid.uniform(axes, unit="cm"), inputs)


def write(head, run, path):
    """Waves that travel, six of them in each field: smooth, and of no two simulations alike."""
    from surrlab.data.stored import write_simulation

    rng = np.random.default_rng(run.simulation)
    y, x = (np.array(axis.points) for axis in head.grid.axes)
    (speed, phase), times = run.parameters, np.array(run.times)
    samples = np.zeros((len(times), len(FIELDS), *head.grid.shape), np.float32)
    for i in range(len(FIELDS)):
        for k in range(1, 7):
            a, b, c = rng.normal(size=3)
            across = np.cos(k * (y[:, None] + b * x) + phase)
            moving = np.sin(2 * x + c + k * speed * times[:, None])
            samples[:, i] += a / k * across * moving[:, None, :]
    write_simulation(path, head, run, samples)


def make(folder, n, shape=SHAPE, steps=STEPS):
    from surrlab.data import native
    from surrlab.data.fields import Run

    rng, times = np.random.default_rng(0), tuple(np.linspace(0, 2, steps).tolist())
    runs = {s: Run(s, tuple(rng.uniform(0.5, 2, 2).tolist()), times) for s in range(n)}
    head = header(shape)
    writers = {s: partial(write, head, run) for s, run in runs.items()}
    with ProcessPoolExecutor(CORES) as pool:
        return native.build(folder, head, {}, runs, writers, executor=pool, label="write")


# ------------------------------------------------------------------------------------- the steps


def opening(folder):
    from surrlab.data.open import open_ensemble

    open_ensemble(folder / "ensemble")


def splitting(folder):
    from surrlab.data.open import open_ensemble

    ensemble = open_ensemble(folder / "ensemble")
    yield
    for side in ensemble.split(0.1, seed=0):
        assert len(side.samples) == len(side.inputs)


def index(folder, name="ensemble"):
    from surrlab.data.open import open_ensemble
    from surrlab.loading.index import ChunkIndex

    ensemble = open_ensemble(folder / name)
    yield
    ChunkIndex(ensemble)


def search(folder):
    from surrlab.compression import search_and_compress
    from surrlab.data.open import open_ensemble

    shutil.rmtree(folder / "compressed", ignore_errors=True)
    ensemble = open_ensemble(folder / "ensemble")
    yield
    with ProcessPoolExecutor(CORES) as pool:  # its processes are waited for, and counted
        search_and_compress(ensemble, ERROR, folder / "compressed" / "zfp", executor=pool)


def epoch(folder):
    from surrlab.data.open import open_ensemble
    from surrlab.loading.loader import SampleLoader

    ensemble = open_ensemble(folder / "compressed" / "zfp")
    loader = SampleLoader(ensemble, BATCH, seed=0)
    yield
    with loader:
        for _ in loader:
            pass


def training_side(folder):
    """All that a loader of one side needs, and its epoch, with nothing done before."""
    from surrlab.data.open import open_ensemble
    from surrlab.loading.loader import SampleLoader

    yield
    train, _ = open_ensemble(folder / "compressed" / "zfp").split(0.1, seed=0)
    with SampleLoader(train, BATCH, seed=0) as loader:
        for _ in loader:
            pass


def summary(folder):
    from surrlab.compression import ratios, table
    from surrlab.data.open import open_ensemble
    from surrlab.studies import ensemble_table

    raw = open_ensemble(folder / "ensemble")
    small = open_ensemble(folder / "compressed" / "zfp")
    yield
    assert repr(raw) and str(ensemble_table({"raw": raw, "small": small}))
    assert raw.digest != small.digest
    assert table(small).sizes["sample"] == len(raw.samples) and ratios(small).file > 1


def explorer(folder):
    from surrlab.explorer import explore

    yield
    explore(folder)


WAYS = {  # step -> function, arguments; whether the cache is emptied before
    "open, first": (opening, {}, True),
    "open, again": (opening, {}, False),
    "split": (splitting, {}, False),
    "index of raw files, first": (index, {}, True),
    "index of raw files, again": (index, {}, False),
    "search and compress": (search, {}, False),
    "index of compressed files, first": (index, {"name": "compressed/zfp"}, True),
    "index of compressed files, again": (index, {"name": "compressed/zfp"}, False),
    "epoch, all samples": (epoch, {}, False),
    "open, split, index, epoch of one side": (training_side, {}, False),
    "repr, summary, table, ratios": (summary, {}, False),
    "explorer": (explorer, {}, False),
}
ONCE = ("search and compress",)  # it takes minutes


def peak_mb():
    (line,) = (x for x in Path("/proc/self/status").open() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu():
    each = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in each)


def step(name, folder):
    """Run a step in this process, and print what it took."""
    import surrlab.compression
    import surrlab.explorer.widget
    import surrlab.loading.loader
    import surrlab.studies

    function, arguments, _ = WAYS[name]
    if function is summary:
        import surrlab.studies.experiments  # noqa: F401  and torch with it
    before = peak_mb()
    started = time.perf_counter(), cpu()
    found = function(folder, **arguments)
    if found is not None:  # what comes before `yield` is not timed, but its memory counts
        next(found)
        started = time.perf_counter(), cpu()
        with contextlib.suppress(StopIteration):
            next(found)
    wall, busy = (
        now - then for now, then in zip((time.perf_counter(), cpu()), started, strict=True)
    )
    print(json.dumps({"wall_s": wall, "cpu_s": busy, "peak_mb": peak_mb() - before}))


def child(command, cache=None):
    environment = os.environ | ({"XDG_CACHE_HOME": str(cache)} if cache else {})
    here = Path(__file__).parent
    done = subprocess.run(command, env=environment, cwd=here, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(folder, sizes=SIZES):
    """Every step of every size; the sizes take turns, and numbers are medians."""
    rows = {}
    for name, (_, _, empties) in WAYS.items():
        found = {n: [] for n in sizes}
        for _ in range(1 if name in ONCE else REPEATS):
            for n in sizes:
                cache = folder / f"cache-{n}"
                if empties:
                    shutil.rmtree(cache, ignore_errors=True)
                command = [sys.executable, __file__, "step", name, str(folder / str(n))]
                found[n].append(child(command, cache))
                print(f"{name}, {n}: {found[n][-1]}", file=sys.stderr)
        small, large = (
            {key: statistics.median(one[key] for one in each) for key in each[0]}
            for each in found.values()
        )
        rows[name] = {
            str(n): {
                "wall_s": round(one["wall_s"], 4),
                "cpu_s": round(one["cpu_s"], 3),
                "peak_mb_over_imports": round(one["peak_mb"], 1),
            }
            for n, one in zip(sizes, (small, large), strict=True)
        }
        times = sizes[1] / sizes[0]
        for clock in ("wall_s", "cpu_s"):
            growth = large[clock] / small[clock] / times if small[clock] > 0.005 else None
            rows[name][f"growth_of_{clock}"] = growth and round(growth, 3)
    return {"steps": rows}


# ------------------------------------------------------------------------------------- on paper


def rates(folder, steps):
    """What one core does with fields of the paper's grid, and one process with files."""
    import hashlib

    from surrlab.compression import ratios, search_and_compress
    from surrlab.data.open import open_ensemble
    from surrlab.loading.loader import SampleLoader

    shutil.rmtree(folder, ignore_errors=True)
    raw = make(folder / "raw", 2, FINE, 8)
    with ThreadPoolExecutor(1) as pool:
        start = time.process_time()
        small = search_and_compress(raw, ERROR, folder / "small", executor=pool)
        search = time.process_time() - start
    found = []
    with SampleLoader(small, 4, seed=0, threads=1) as loader:
        for _ in range(1 + REPEATS):
            start = time.process_time()
            for _ in loader:
                pass
            found.append(time.process_time() - start)
    block = os.urandom(1 << 26)
    start = time.process_time()
    hashlib.sha256(block).hexdigest()
    seal = len(block) / 1e6 / (time.process_time() - start)
    n = str(SIZES[1])
    return {
        "ratio_of_this_data": round(ratios(small).file, 1),
        "search_and_compress_mb_per_s_of_a_core": round(raw.raw_nbytes / 1e6 / search, 1),
        "decode_mb_per_s_of_a_core": round(raw.raw_nbytes / 1e6 / statistics.median(found[1:]), 1),
        "sha256_mb_per_s": round(seal, 1),
        "open_s_per_file": steps["open, first"][n]["wall_s"] / SIZES[1],
        "index_s_per_file": steps["index of compressed files, first"][n]["wall_s"] / SIZES[1],
        "samples": len(open_ensemble(folder / "raw").samples),
    }


ASSUMED = {
    "raw_gb": 450.0,  # Table I
    "samples": 102_000,
    "files": 2000,  # one a simulation
    "fields": 6,
    "ratio": 20.12,  # the paper's highest for this ensemble (Fig. 11)
    "cores_per_node": 40,  # Lassen: two POWER9 of 22 cores, less those of the system
    "node_gb_per_s": 12.5,  # a link of 100 Gbit/s
    "storage_gb_per_s": {"VAST": 6.88, "GPFS": 10.24},  # read, all nodes together (Section VI-C)
    "bytes_per_stored_field": 26,  # of a loader's index, in each process
}
NODES = (1, 8, 64)


def on_paper(rate, nodes, storage, assumed=None):
    """Seconds of each step for the paper's Rayleigh-Taylor ensemble on some nodes.

    Parameters
    ----------
    rate : dict
        What `rates` measured: MB/s of raw data a core, seconds a file.
    nodes : int
        Alike, and with nothing else to do; rates are this machine's.
    storage : str
        Key of ``storage_gb_per_s``: its bandwidth is shared by all nodes, and each node's link
        is a bound of its own.
    assumed : dict, optional
        In place of `ASSUMED`.

    Returns
    -------
    dict of str to float
        Seconds; ``index_mb`` in MB of each process.
    """
    a = assumed or ASSUMED
    raw, small = a["raw_gb"], a["raw_gb"] / a["ratio"]  # GB
    cores = nodes * a["cores_per_node"]
    read = min(a["storage_gb_per_s"][storage], nodes * a["node_gb_per_s"])  # GB/s, all together
    search = cores * rate["search_and_compress_mb_per_s_of_a_core"] / 1e3
    decode = cores * rate["decode_mb_per_s_of_a_core"] / 1e3
    return {
        # Reading and encoding overlap: the slower one counts. One process reads every file once
        # more for its SHA-256, and no node helps it.
        "search_and_compress": max(raw / read, raw / search),
        "manifest": small * 1e3 / rate["sha256_mb_per_s"],
        "open": a["files"] * rate["open_s_per_file"],
        "index": a["files"] * rate["index_s_per_file"],
        "epoch_raw": raw / read,
        "epoch_compressed": max(small / read, raw / decode),
        "epoch_compressed_is_bound_by": "storage" if small / read > raw / decode else "decoding",
        "index_mb": a["samples"] * a["fields"] * a["bytes_per_stored_field"] / 1e6,
    }


# -------------------------------------------------------------------------------------- the page


def tables(report):
    """The tables of docs/scaling.md."""
    small, large = map(str, SIZES)

    def seconds(value):
        return f"{value:.2g}" if value < 10 else f"{value:.0f}"

    yield (
        f"| step | wall, {SIZES[0]:,} | wall, {SIZES[1]:,} | growth | processor, {SIZES[1]:,} "
        f"| growth | peak memory, {SIZES[0]:,} | {SIZES[1]:,} |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in report["steps"].items():
        growth = [row[f"growth_of_{clock}"] for clock in ("wall_s", "cpu_s")]
        wall, busy = (f"{g:.2f}" if g else "–" for g in growth)
        yield (
            f"| {name} | {seconds(row[small]['wall_s'])} s | {seconds(row[large]['wall_s'])} s "
            f"| {wall} | {seconds(row[large]['cpu_s'])} s | {busy} "
            f"| {row[small]['peak_mb_over_imports']:.0f} MB "
            f"| {row[large]['peak_mb_over_imports']:.0f} MB |"
        )
    yield ""
    yield (
        "| storage | nodes | search and compress | its manifest | open | index | epoch, raw "
        "| epoch, compressed | bound by |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for storage in ASSUMED["storage_gb_per_s"]:
        for nodes in NODES:
            one = on_paper(report["rates"], nodes, storage)
            keys = "search_and_compress manifest open index epoch_raw epoch_compressed".split()
            cells = " | ".join(f"{seconds(one[key])} s" for key in keys)
            yield f"| {storage} | {nodes} | {cells} | {one['epoch_compressed_is_bound_by']} |"


def main(part=None, *arguments):
    if part == "step":
        name, folder = arguments
        step(name, Path(folder))
        return
    if part == "table":
        print("\n".join(tables(json.loads(RESULT.read_text()))))
        return
    with contextlib.ExitStack() as stack:
        folder = Path(part or stack.enter_context(tempfile.TemporaryDirectory())).absolute()
        for n in SIZES:
            (folder / str(n)).mkdir(parents=True, exist_ok=True)
            make(folder / str(n) / "ensemble", n)
        load = os.getloadavg()
        report = measured(folder)
        report["rates"] = rates(folder / "fine", report["steps"])
        report["on_paper"] = {
            storage: {str(n): on_paper(report["rates"], n, storage) for n in NODES}
            for storage in ASSUMED["storage_gb_per_s"]
        }
        report |= {
            "assumed": ASSUMED,
            "ensemble": {
                "simulations": SIZES,
                "samples_each": STEPS,
                "shape": SHAPE,
                "fields": len(FIELDS),
                "batch": BATCH,
                "loader_buffers_mb": round(buffers_mb(), 1),
            },
            "repeats": REPEATS,
            "cores": CORES,
            "load_before_and_after": [round(one, 2) for one in (load[0], os.getloadavg()[0])],
            "machine": machine("h5py", "hdf5plugin", "numba", "numpy", "zfpy"),
        }
    print(json.dumps(report, indent=2))


def buffers_mb():
    """What a loader keeps: its batches, and for each thread a read."""
    from surrlab.loading.reader import PREFETCH, READ

    batch = 4 * BATCH * len(FIELDS) * math.prod(SHAPE)
    return ((PREFETCH + 2) * batch + CORES * READ) / 2**20


if __name__ == "__main__":
    main(*sys.argv[1:])
