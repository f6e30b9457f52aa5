"""How fast batches come from compressed files: the paper's Section VI-C on one machine.

Feeds (a) to (d) take turns in one process over the same 768 x 256 samples, compressed about 12
times; numbers are medians over the rounds, in MB/s of decoded data from a warm page cache:
(a) torch's DataLoader through the HDF5 filter, the paper's way, a worker for each core; (b) ours;
(c) a DataLoader over contiguous raw files; (d) zfpy alone, its streams in memory, in as many
threads. Then: three storages as slow as the paper's, at about 20 times; an epoch of the `quick`
model, against one with all samples decoded in memory; peak memory of two sizes of ensemble; and
every codec at the same mean error on 192 x 64.

    python benchmarks/loading.py > benchmarks/loading.json
    python benchmarks/loading.py codecs FOLDER    # the last part alone; its ensemble is made once
"""

import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
import xarray as xr
from machine import machine
from scipy.ndimage import zoom

from surrlab import compression, simulation, training
from surrlab.compression import hdf5_filters
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.compress import CHUNKS
from surrlab.data import native, stored
from surrlab.data.fields import Grid
from surrlab.data.open import open_ensemble
from surrlab.data.stored import Header, describe
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.index import ChunkIndex
from surrlab.loading.loader import SampleLoader
from surrlab.simulation import RayleighTaylor
from surrlab.studies.config import get_preset

SIMULATIONS, COARSE, SHAPE = 6, (96, 32), (768, 256)
BATCH, ROUNDS, SLOW_ROUNDS, EPOCHS = 16, 7, 3, 5
RATIO, SLOW_RATIO = 12, 20
FINE, ERROR, CODECS = (192, 64), 0.02, ("zfp", "sz3", "sperr", "bitround")
PAPER = {145.65: 2.96, 227.31: 1.89, 746.7: 1.0}  # MB/s of raw data: the speed-up to reach
CORES = len(os.sched_getaffinity(0))


def upsampled(coarse, folder):
    """The same simulations on `SHAPE`, contiguous and uncompressed."""
    y, x = (axis for axis in coarse.grid.axes)
    axes = {"y": (SHAPE[0], y.low, y.high), "x": (SHAPE[1], x.low, x.high)}
    header = replace(Header.of(coarse), grid=Grid.uniform(axes, unit=y.unit))
    runs = {run.simulation: run for run in coarse.runs}
    writers = {s: partial(write, coarse, header, run) for s, run in runs.items()}
    with ThreadPoolExecutor(CORES) as pool:
        return native.build(folder, header, {}, runs, writers, executor=pool, label="upsample")


def write(coarse, header, run, path):
    factor = np.divide(SHAPE, COARSE)
    samples = coarse.read_simulation(run.simulation)
    with h5py.File(path, "w") as file:
        describe(file, header, run)
        for i, field in enumerate(header.fields):
            stack = [zoom(s[i], factor, order=3, mode="nearest") for s in samples]
            file[field.name] = np.stack(stack)


def tolerances(ensemble, ratio):
    """One tolerance per field, in equal parts of its standard deviation, for about `ratio`."""
    chosen = [p for s in ensemble.simulations for p in ensemble.of(s)[2::12]]
    sample = np.stack([ensemble.read(p) for p in chosen])
    scale = sample.std(axis=(0, 2, 3))

    def reached(factor):
        streams = (
            Zfp(factor * scale[i]).encode(field) for part in sample for i, field in enumerate(part)
        )
        return sample.nbytes / sum(map(len, streams))

    factors = 2.0 ** np.arange(-20, 2, 0.25)
    low, high = 0, len(factors) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(factors[middle]) < ratio else (low, middle)
    return xr.DataArray(factors[high] * scale, {"field": list(ensemble.field_names)})


def as_the_paper(ensemble, folder):
    """The same streams in one filtered dataset a field: no virtual dataset, and no checksum."""
    folder.mkdir()
    paths = []
    for number in ensemble.simulations:
        paths.append(folder / f"{number}.h5")
        with h5py.File(ensemble.file(number)) as source, h5py.File(paths[-1], "w") as file:
            for name in ensemble.field_names:
                (old,) = source[CHUNKS][name].values()
                codec, _ = hdf5_filters.codec_of(stored.filters_of(old))
                new = file.create_dataset(
                    name, old.shape, "f4", chunks=old.chunks, **codec.h5_filter()
                )
                for time_ in range(len(old)):
                    _, data = old.id.read_direct_chunk((time_, 0, 0))
                    new.id.write_direct_chunk((time_, 0, 0), data[:-4])
    return paths


class ThroughHDF5(torch.utils.data.Dataset):
    """Samples as any PyTorch user reads them; files are opened once in each worker."""

    def __init__(self, paths, ensemble):
        self.paths, self.fields, self.shape = paths, ensemble.field_names, ensemble.sample_shape
        self.inputs = torch.from_numpy(ensemble.inputs)
        self.n_times, self.files = len(ensemble.runs[0].times), {}

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        simulation, time_ = divmod(i, self.n_times)
        if simulation not in self.files:
            self.files[simulation] = h5py.File(self.paths[simulation])
        sample = np.empty(self.shape, np.float32)
        for field, name in zip(sample, self.fields, strict=True):
            self.files[simulation][name].read_direct(field, np.s_[time_])
        return self.inputs[i], torch.from_numpy(sample)


def data_loader(paths, ensemble, batch_size=BATCH):
    return torch.utils.data.DataLoader(
        ThroughHDF5(paths, ensemble),
        batch_size,
        shuffle=True,
        num_workers=CORES,
        persistent_workers=True,
    )


class DecodeAlone:
    """zfpy, into the fields of one batch over and over, every stream in memory."""

    def __init__(self, ensemble):
        index = ChunkIndex(ensemble)
        order = np.random.default_rng(0).permutation(len(ensemble.samples))
        files = [path.read_bytes() for path in index.paths]
        codecs = [codec for codec, _ in index.encodings]
        self.streams = [
            (codecs[c["encoding"]], files[c["file"]][c["offset"] : c["offset"] + c["nbytes"] - 4])
            for c in index.chunks(order)
        ]
        n, *shape = ensemble.sample_shape
        self.out = np.empty((BATCH * n, *shape), np.float32)
        self.pool = ThreadPoolExecutor(CORES)

    def __iter__(self):
        def decode(first):
            for i in range(first, len(self.streams), CORES):
                codec, stream = self.streams[i]
                out = self.out[i % len(self.out)]
                codec.decode(stream, out.shape, out=out)

        yield from self.pool.map(decode, range(CORES))


def seconds(batches, clock=time.perf_counter):
    start = clock()
    for _ in batches:
        pass
    return clock() - start


def rates(feeds, raw, rounds, clock=time.perf_counter):
    """Median decoded MB/s of each feed; they take turns, after a round that is not counted."""
    found = {name: [] for name in feeds}
    for turn, (name, feed) in itertools.product(range(rounds + 1), feeds.items()):
        rate = raw.raw_nbytes / 1e6 / seconds(feed, clock)
        if turn:
            found[name].append(rate)
        print(f"{name}: {rate:.0f} MB/s", file=sys.stderr)
    return {name: round(statistics.median(values), 1) for name, values in found.items()}


def feeds(raw, compressed, folder):
    raw_paths = [raw.file(s) for s in raw.simulations]
    with (
        SampleLoader(compressed, BATCH, seed=0) as ours,
        SampleLoader(raw, BATCH, seed=0) as ours_raw,
    ):
        found = rates(
            {
                "a_dataloader_hdf5_filter": data_loader(as_the_paper(compressed, folder), raw),
                "b_sample_loader": ours,
                "c_dataloader_raw": data_loader(raw_paths, raw),
                "d_decode_alone": DecodeAlone(compressed),
                "sample_loader_raw": ours_raw,
            },
            raw,
            ROUNDS,
        )
    a, b, c, d, _ = found.values()
    return {
        "payload_ratio": round(compression.ratios(compressed).payload, 2),
        "mb_per_s": found,
        "b_over_a": round(b / a, 3),
        "b_over_c": round(b / c, 3),
        "b_over_d": round(b / d, 3),
    }


def storages(raw, compressed):
    ratio, rows = compression.ratios(compressed).payload, []
    for bandwidth, wanted in PAPER.items():
        loaders = {
            name: SampleLoader(data, BATCH, seed=0, bandwidth=Bandwidth(bandwidth * 1e6))
            for name, data in (("raw", raw), ("compressed", compressed))
        }
        found = rates(loaders, raw, SLOW_ROUNDS)
        for loader in loaders.values():
            loader.close()
        used = found["compressed"] / ratio / bandwidth
        rows.append(
            {
                "bandwidth_mb_per_s": bandwidth,
                "mb_per_s": found,
                "compressed_over_raw": round(found["compressed"] / found["raw"], 2),
                "paper": wanted,
                "bandwidth_used_by_compressed": round(used, 3),
                "compressed_is_bound_by": "storage" if used > 0.9 else "decoding",
            }
        )
    return {"payload_ratio": round(ratio, 2), "storages": rows}


class EveryEpoch(SampleLoader):
    """Decodes again in each epoch, as training does with ensembles above `training.DECODED`."""

    cached = None

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords | {"cache": self.cached})


class FromMemory(EveryEpoch):
    """The same, its compressed bytes in memory."""

    cached = "memory"


class InMemory(SampleLoader):
    """The same batches from samples that were decoded beforehand."""

    def __init__(self, ensemble, *arguments, **keywords):
        super().__init__(ensemble, *arguments, **keywords | {"cache": None})
        self.fields = _decoded(str(ensemble.path), tuple(ensemble.simulations))

    def _batches(self, shares):
        for share in shares:
            yield self._inputs[share], self.fields[share]


@functools.cache
def _decoded(path, simulations):
    ensemble = open_ensemble(path)
    return np.concatenate([ensemble.read_simulation(s) for s in simulations])


def quick_epoch(folder):
    """Seconds of an epoch of the `quick` preset's model; the feeds take turns."""
    preset = get_preset("quick")
    raw = simulation.generate(
        preset.scenario,
        folder / "quick",
        n_simulations=preset.n_simulations,
        shape=preset.shape,
        seed=0,
    )
    small = compression.compress(raw, tolerances(raw, RATIO), folder / "quick_compressed")
    config = replace(preset.train, epochs=EPOCHS)
    feeds = {
        "decoded_in_memory": InMemory,
        "compressed_files": SampleLoader,
        "decoded_every_epoch": EveryEpoch,
        "decoded_every_epoch_from_memory": FromMemory,
    }
    found, whole = {name: [] for name in feeds}, {name: [] for name in feeds}
    for turn, (name, feed) in itertools.product(range(ROUNDS), feeds.items()):
        training.SampleLoader = feed
        history = training.train(small, config, seed=turn, progress=False).history
        whole[name].append(sum(row["seconds"] for row in history))
        found[name] += [row["seconds"] for row in history[1:]]  # the first one starts threads
        print(f"{name}: {found[name][-1]:.3f} s", file=sys.stderr)
    training.SampleLoader = SampleLoader
    median = {name: round(statistics.median(values), 4) for name, values in found.items()}
    training_ = {name: round(statistics.median(values), 3) for name, values in whole.items()}
    memory = median["decoded_in_memory"]
    return {
        "payload_ratio": round(compression.ratios(small).payload, 2),
        "samples": len(small.samples),
        "seconds_of_an_epoch": median,
        "over_memory": {name: round(value / memory, 3) for name, value in median.items()},
        f"seconds_of_{EPOCHS}_epochs": training_,
    }


def codecs_at_equal_error(folder):
    """Decoded MB/s of every codec at the same L1, and the storage below which it beats zfp.

    Of a core's own time, so that a busy machine does not change it much. A loader is as fast as the
    slower of decoding (on all cores) and storage: ratio times the storage's MB/s.
    """
    numbers = {"n_simulations": 8, "shape": FINE, "seed": 1}
    raw = simulation.generate(RayleighTaylor(), folder / f"RayleighTaylor-{FINE[0]}", **numbers)
    raw = raw.select(raw.simulations[:2])
    samples = np.concatenate([raw.read_simulation(s) for s in raw.simulations])
    spread = samples.std(axis=(0, 2, 3), dtype=np.float64)
    errors = xr.DataArray(ERROR * spread, {"field": list(raw.field_names)}, ["field"])
    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadPoolExecutor(1) as pool,
        contextlib.ExitStack() as stack,
    ):
        made = {
            name: compression.search_and_compress(
                raw,
                errors,
                Path(scratch) / name,
                codec=compression.codec_class(name),
                executor=pool,
            )
            for name in CODECS
        }
        loaders = {
            name: stack.enter_context(SampleLoader(one, BATCH, seed=0))
            for name, one in {"raw": raw, **made}.items()
        }
        found = _rows(made, rates(loaders, raw, ROUNDS, time.process_time))
    return {"shape": FINE, "error_std": ERROR, "cores": CORES, "rows": found}


def _rows(made, speed):
    ratio = {name: compression.ratios(one).file for name, one in made.items()}
    rows = {"raw": {"mb_per_s_of_a_core": speed["raw"]}}
    for name in made:
        rows[name] = {
            "ratio_file": round(ratio[name], 2),
            "mb_per_s_of_a_core": speed[name],
            "over_zfp": round(speed[name] / speed["zfp"], 3),
        }
        if name != "zfp" and ratio[name] > ratio["zfp"]:
            below = CORES * min(speed[name], speed["zfp"]) / ratio["zfp"]
            rows[name]["faster_than_zfp_below_mb_per_s"] = round(below, 1)
    return rows


def peak_memory(ensemble):
    """Peak resident MB of a fresh process that reads `ensemble` once, less those before it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (ensemble,))


def _peak(ensemble):
    def peak():
        (line,) = (x for x in Path("/proc/self/status").open() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    before = peak()
    with SampleLoader(ensemble, 4, seed=0) as loader:
        seconds(loader)
    return round(peak() - before, 1)


def main(part=None, folder=None):
    if part == "codecs":
        print(json.dumps(codecs_at_equal_error(Path(folder)), indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        report = {"quick_epoch": quick_epoch(folder)}
        coarse = simulation.generate(
            RayleighTaylor(), folder / "coarse", n_simulations=SIMULATIONS, shape=COARSE, seed=0
        )
        raw = upsampled(coarse, folder / "raw")
        by_12, by_20 = (
            compression.compress(raw, tolerances(raw, ratio), folder / f"by_{ratio}")
            for ratio in (RATIO, SLOW_RATIO)
        )
        report["feeds"] = feeds(raw, by_12, folder / "as_the_paper")
        report["slow_storages"] = storages(raw, by_20)
        report["peak_memory"] = {
            "batch_of_4_mb": round(4 * raw.raw_nbytes / len(raw.samples) / 2**20, 1),
            "mb": {n: peak_memory(by_12.select(range(n))) for n in (2, SIMULATIONS)},
        }
        report["codecs"] = codecs_at_equal_error(folder)
        report |= {
            "ensemble": {"samples": len(raw.samples), "shape": SHAPE, "batch": BATCH},
            "rounds": ROUNDS,
            "cache": "warm page cache; slow storages are limited at the read",
            "machine": machine("h5py", "hdf5plugin", "numba", "numpy", "torch", "zfpy"),
        }
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
