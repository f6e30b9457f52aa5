"""Batches of the same samples from surrlab's loader and from what others read arrays with.

Four simulations x 51 samples of six fields on 768 x 256, each field within one tolerance at about
12 times less; batches of 16 in random order, all cores, page cache warm. Feeds take turns in one
process; a number is the median over the rounds in MB/s of decoded data, and `over_paper` is its
ratio to the paper's way:

- hdf5_filter: torch's DataLoader through h5py and the zfp filter, a worker a core (the paper's way)
- h5py_direct: `read_direct_chunk` under HDF5's lock, then zfpy, in a thread a core
- zarr_zfp: the same fields in zarr-python 3 with numcodecs' ZFPY; DataLoader, a worker a core
- zarr_zstd: zarr-python 3 with Zstandard, without loss (so its ratio is another); DataLoader
- zarrs_zstd: the same store through zarrs, zarr-python's codec pipeline in Rust; DataLoader
- tensorstore_zstd: the same store by tensorstore, two batches ahead
- raw_dataloader: contiguous HDF5 files; DataLoader, a worker a core
- raw_read: the samples in one file of bytes, `os.preadv` in a thread a core
- sample_loader, sample_loader_raw: ours, of compressed and of contiguous raw files

zarr, zarrs and tensorstore are no requirement: `pip install zarr zarrs tensorstore` (zarr brings
numcodecs, whose ZFPY takes zfpy). What is not installed is left out, and the result says so.

    python benchmarks/peers.py > benchmarks/peers.json
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import h5py
import numpy as np
import torch
from loading import (
    BATCH,
    COARSE,
    CORES,
    RATIO,
    SHAPE,
    as_the_paper,
    data_loader,
    seconds,
    tolerances,
    upsampled,
)
from machine import machine

from surrlab import compression, simulation
from surrlab.compression import hdf5_filters
from surrlab.data.stored import filters_of
from surrlab.loading.loader import SampleLoader
from surrlab.simulation import RayleighTaylor

SIMULATIONS, ROUNDS = 4, 5
ALL = "fields"  # a zarr array of all fields of all samples
LABELS = {
    "hdf5_filter": "DataLoader, HDF5 filter (the paper's way)",
    "h5py_direct": "h5py direct chunks, zfpy in threads",
    "zarr_zfp": "DataLoader, zarr-python 3, zfp",
    "zarr_zstd": "DataLoader, zarr-python 3, zstd",
    "zarrs_zstd": "DataLoader, zarrs, zstd",
    "tensorstore_zstd": "tensorstore, zstd",
    "raw_dataloader": "DataLoader, raw HDF5",
    "raw_read": "preadv of raw bytes in threads",
    "sample_loader": "surrlab's SampleLoader",
    "sample_loader_raw": "surrlab's SampleLoader, raw HDF5",
}


def batches(n):
    """Positions of an epoch's samples, a batch each, in an order that changes."""
    order = np.random.default_rng().permutation(n)
    return np.split(order, range(BATCH, n, BATCH))


def ahead(start, items, depth=2):
    """Begin the work on items `depth` before it is asked for, and yield what it returns."""
    waiting = deque()
    for item in items:
        waiting.append(start(item))
        if len(waiting) > depth:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


class InThreads:
    """Batches whose samples threads put into one array; `read(sample, out)` says how."""

    def __init__(self, n, shape, read):
        self.n, self.shape, self.read = n, shape, read
        self.pool = ThreadPoolExecutor(CORES)

    def __iter__(self):
        def start(samples):
            out = np.empty((len(samples), *self.shape), np.float32)
            parts = [self.pool.submit(self.read, int(s), out[i]) for i, s in enumerate(samples)]

            def finish():
                for part in parts:
                    part.result()
                return out

            return finish

        return ahead(start, batches(self.n))


def direct_chunks(paths, raw):
    """Read each chunk as it is stored, which takes HDF5's lock, and decode it without."""
    files = [h5py.File(path) for path in paths]
    times = len(raw.runs[0].times)
    datasets = [[file[name] for name in raw.field_names] for file in files]
    codecs = [[hdf5_filters.codec_of(filters_of(d))[0] for d in each] for each in datasets]

    def read(sample, out):
        simulation_, step = divmod(sample, times)
        every = zip(datasets[simulation_], codecs[simulation_], out, strict=True)
        for dataset, codec, field in every:
            _, stream = dataset.id.read_direct_chunk((step, 0, 0))
            codec.decode(stream, field.shape, out=field)

    return InThreads(len(raw.samples), raw.sample_shape, read)


def raw_bytes(raw, path):
    nbytes = 4 * int(np.prod(raw.sample_shape))
    with path.open("wb") as file:
        for one in raw.simulations:
            file.write(np.ascontiguousarray(raw.read_simulation(one)).data)
    descriptor = os.open(path, os.O_RDONLY)

    def read(sample, out):
        got = os.preadv(descriptor, [memoryview(out).cast("B")], sample * nbytes)
        assert got == nbytes

    return InThreads(len(raw.samples), raw.sample_shape, read)


class ThroughZarr(torch.utils.data.Dataset):
    """Samples of zarr arrays (…, nx) whose chunks are a field of a sample each, one below another.

    Chunks (1, ny, nx) would be streams of zfp in three dimensions, which are longer. One array of
    all fields takes one call for each sample; zfp has a tolerance a field, and so an array a field.
    """

    def __init__(self, path, raw, names, pipeline):
        self.path, self.names, self.shape = str(path), names, raw.sample_shape
        self.pipeline = pipeline
        self.inputs, self.arrays = torch.from_numpy(raw.inputs), None

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        if self.arrays is None:
            zarr = import_module("zarr")
            if self.pipeline:  # in this worker alone
                zarr.config.set({"codec_pipeline.path": self.pipeline})
            group = zarr.open_group(self.path, mode="r")
            self.arrays = [group[name] for name in self.names]
        n = self.shape[0] * self.shape[1] // len(self.arrays)
        parts = [array[i * n : (i + 1) * n] for array in self.arrays]
        sample = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self.inputs[i], torch.from_numpy(sample.reshape(self.shape))


def write_zarr(raw, path, arrays):
    """Write arrays by name: places of their fields in a sample, and what `create_array` takes."""
    group, (ny, nx) = import_module("zarr").open_group(path, mode="w"), raw.grid.shape
    samples = np.concatenate([raw.read_simulation(s) for s in raw.simulations])
    for name, (fields, options) in arrays.items():
        values = np.ascontiguousarray(samples[:, fields]).reshape(-1, nx)
        shape = {"shape": values.shape, "chunks": (ny, nx), "dtype": "float32"}
        group.create_array(name, **shape, **options)[:] = values
    return path


def from_zarr(path, raw, names, pipeline=""):
    return torch.utils.data.DataLoader(
        ThroughZarr(path, raw, names, pipeline),
        BATCH,
        shuffle=True,
        num_workers=CORES,
        persistent_workers=True,
    )


def from_tensorstore(path, raw):
    ts = import_module("tensorstore")
    context = ts.Context({"data_copy_concurrency": {"limit": CORES}})
    n = raw.sample_shape[0] * raw.sample_shape[1]
    store = {"driver": "file", "path": f"{path / ALL}/"}
    array = ts.open({"driver": "zarr3", "kvstore": store}, context=context, read=True).result()

    class Feed:
        def __iter__(self):
            def start(samples):
                parts = [array[s * n : (s + 1) * n].read() for s in samples.tolist()]

                def finish():
                    out = np.empty((len(samples), *raw.sample_shape), np.float32)
                    for sample, part in zip(out, parts, strict=True):
                        sample[:] = part.result().reshape(sample.shape)
                    return out

                return finish

            return ahead(start, batches(len(raw.samples)))

    return Feed()


def on_disk(path):
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def zarr_feeds(raw, bounds, folder):
    """Feeds by zarr-python, zarrs and tensorstore, and bytes on disk; why some are missing."""
    feeds, sizes, missing = {}, {}, {}
    try:
        zstd = import_module("zarr.codecs").ZstdCodec(level=1)
    except ImportError as error:
        names = ("zarr_zfp", "zarr_zstd", "zarrs_zstd", "tensorstore_zstd")
        return {}, {}, dict.fromkeys(names, str(error))
    try:
        zfpy, arrays = import_module("zarr.codecs.numcodecs").ZFPY, {}
        for i, name in enumerate(raw.field_names):
            codec = zfpy(mode=4, tolerance=float(bounds.sel(field=name)))  # fixed accuracy
            arrays[name] = [i], {"serializer": codec, "compressors": None}
        path = write_zarr(raw, folder / "zfp.zarr", arrays)
        feeds["zarr_zfp"], sizes["zarr_zfp"] = from_zarr(path, raw, list(arrays)), on_disk(path)
    except (ImportError, ValueError, TypeError) as error:
        missing["zarr_zfp"] = f"{type(error).__name__}: {error}"
    every = {ALL: (list(range(len(raw.fields))), {"compressors": zstd})}
    path = write_zarr(raw, folder / "zstd.zarr", every)
    feeds["zarr_zstd"], sizes["zarr_zstd"] = from_zarr(path, raw, [ALL]), on_disk(path)
    try:
        import_module("zarrs")
        feeds["zarrs_zstd"] = from_zarr(path, raw, [ALL], "zarrs.ZarrsCodecPipeline")
        sizes["zarrs_zstd"] = sizes["zarr_zstd"]
    except ImportError as error:
        missing["zarrs_zstd"] = str(error)
    try:
        feeds["tensorstore_zstd"] = from_tensorstore(path, raw)
        sizes["tensorstore_zstd"] = sizes["zarr_zstd"]
    except ImportError as error:
        missing["tensorstore_zstd"] = str(error)
    return feeds, sizes, missing


def check(feeds, raw, bounds):
    """Every feed gives all samples of an epoch, within the tolerances."""
    expected = sum(raw.read_simulation(s).sum(dtype=np.float64) for s in raw.simulations)
    most = float(bounds.max()) * raw.raw_nbytes / 4
    for name, feed in feeds.items():
        n, total = 0, 0.0
        for batch in feed:
            fields = np.asarray(batch if isinstance(batch, np.ndarray) else batch[1])
            n, total = n + len(fields), total + fields.sum(dtype=np.float64)
        assert n == len(raw.samples) and abs(total - expected) < most, name


def measured(feeds, raw, rounds=ROUNDS):
    """Decoded MB/s of each feed in each round, but for one that is not counted."""
    found = {name: [] for name in feeds}
    for turn in range(rounds + 1):
        # Another order each time: whoever comes after a slow feed would always do so.
        names = list(feeds)[turn % len(feeds) :] + list(feeds)[: turn % len(feeds)]
        for name in names:
            rate = raw.raw_nbytes / 1e6 / seconds(feeds[name])
            if turn:
                found[name].append(round(rate, 1))
            print(f"{name}: {rate:.0f} MB/s", file=sys.stderr)
    return found


def installed(*names):
    """Those that `machine` can name."""
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            version(name)
            yield name


def main():
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        coarse = simulation.generate(
            RayleighTaylor(), folder / "coarse", n_simulations=SIMULATIONS, shape=COARSE, seed=0
        )
        raw = upsampled(coarse, folder / "raw")
        bounds = tolerances(raw, RATIO)
        small = compression.compress(raw, bounds, folder / "small")
        filtered = as_the_paper(small, folder / "as_the_paper")
        feeds, sizes, missing = zarr_feeds(raw, bounds, folder)
        feeds |= {
            "hdf5_filter": data_loader(filtered, raw),
            "h5py_direct": direct_chunks(filtered, raw),
            "raw_dataloader": data_loader([raw.file(s) for s in raw.simulations], raw),
            "raw_read": raw_bytes(raw, folder / "raw.bin"),
            "sample_loader": stack.enter_context(SampleLoader(small, BATCH, seed=0)),
            "sample_loader_raw": stack.enter_context(SampleLoader(raw, BATCH, seed=0)),
        }
        sizes |= dict.fromkeys(("hdf5_filter", "h5py_direct"), on_disk(folder / "as_the_paper"))
        sizes |= {"sample_loader": small.file_nbytes}
        feeds = {name: feeds[name] for name in LABELS if name in feeds}
        check(feeds, raw, bounds)
        found = measured(feeds, raw)
        median = {name: statistics.median(values) for name, values in found.items()}
        report = {
            "rows": {
                name: {
                    "label": LABELS[name],
                    "mb_per_s": round(rate, 1),
                    "rounds": found[name],
                    "over_paper": round(rate / median["hdf5_filter"], 2),
                    "sample_loader_over_it": round(median["sample_loader"] / rate, 2),
                    "ratio_on_disk": round(raw.raw_nbytes / sizes.get(name, raw.raw_nbytes), 2),
                }
                for name, rate in median.items()
            },
            "missing": missing,
            "ensemble": {"samples": len(raw.samples), "shape": SHAPE, "batch": BATCH},
            "rounds": ROUNDS,
            "cores": CORES,
            "cache": "warm page cache",
            "load_before_and_after": [round(one, 2) for one in (load, os.getloadavg()[0])],
            "machine": machine(
                *installed(
                    *("h5py", "hdf5plugin", "numba", "numcodecs", "numpy", "tensorstore"),
                    *("torch", "zarr", "zarrs", "zfpy"),
                )
            ),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
