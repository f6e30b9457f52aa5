"""Does compression pay on this disk? Loading and epochs, timed side by side (Section VI-C).

Everything that is compared is measured in turns within one run, and a table keeps every round:
ratios are of medians. MB/s are of uncompressed data, whatever was read.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from surrlab import compression, training
from surrlab.data import native
from surrlab.data.native import Ensemble
from surrlab.loading.bandwidth import Storage
from surrlab.loading.loader import SampleLoader
from surrlab.studies import experiments
from surrlab.studies.results import Study
from surrlab.training.train import TrainConfig

FILE_SYSTEMS = {"file system 1": 145.65, "file system 2": 227.31, "file system 3": 746.7}
"""MB/s that the paper's three file systems gave to training on raw data (Section VI-C)."""

OWN, MEMORY = "your storage", "page cache"
"""What a table calls the reader's storage, and what the operating system holds in memory."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

TRIAL = (1e-3, 1e-2, 1e-1)
"""Tolerances of a trial, in standard deviations of each field."""


def storages(bandwidth: float = 0.0, latency: float = 0.0) -> dict[str, Storage]:
    """The paper's three, the reader's own (of so many MB/s and ms; 0: this disk), and memory."""
    own = Storage(1e6 * bandwidth, 1e-3 * latency) if bandwidth else Storage(drop_cache=True)
    paper = {name: Storage(1e6 * speed) for name, speed in FILE_SYSTEMS.items()}
    return {**paper, OWN: own, MEMORY: Storage()}


def versions(study: Study, compressed: Sequence[str] = ()) -> dict[float, Ensemble]:
    """The same simulations raw (1) and compressed, by payload ratio, from the least compressed.

    The study's levels, or, given folders of compressed ensembles, these and the study's own.
    """
    if compressed:
        made, whole = [native.open(path) for path in compressed], study.ensemble
    else:
        made = [experiments.compressed(study, level) for level in study.config.levels]
        whole = study.train_set
    simulations = made[0].simulations
    for ensemble in made:
        if ensemble.simulations != simulations:
            raise ValueError(f"{ensemble.path} holds other simulations than {made[0].path}")
    ratios = {compression.ratios(ensemble).payload: ensemble for ensemble in made}
    return {1.0: whole.select(simulations), **dict(sorted(ratios.items()))}


def trial(ensemble: Ensemble, path: Path, *, n_simulations: int = 8) -> list[Path]:
    """Some simulations compressed to the tolerances `TRIAL`, each into a folder: no model needed.

    Whether a model would notice is another question: `compression.search_and_compress`.
    """
    some = ensemble.select(ensemble.simulations[:n_simulations])
    scale = training.Normaliser.fit(some).field_scale
    folders = [path / f"trial-{tolerance:g}" for tolerance in TRIAL]
    for tolerance, folder in zip(TRIAL, folders, strict=True):
        bounds = xr.DataArray(tolerance * np.array(scale), {"field": list(some.fields)})
        compression.compress(some, bounds, folder)
    return folders


def measure_rates(study: Study, versions: Mapping, storages: Mapping) -> xr.Dataset:
    """`loading_rates` with the study's batches, measured once."""
    batch_size = study.config.train.batch_size
    key = [_key(versions), list(map(repr, storages.values())), batch_size]
    measure = functools.partial(loading_rates, versions, storages, batch_size=batch_size)
    return study.table("loading_rates", key, measure)


def measure_epochs(
    study: Study, versions: Mapping, storages: Mapping, processes: Sequence[int]
) -> xr.Dataset:
    """`epoch_times` of the study's network on the reader's storage, measured once."""
    config, own = study.config.train, storages[OWN]
    key = [_key(versions), repr(own), repr(config), list(processes)]
    measure = functools.partial(epoch_times, versions, own, config, processes=processes)
    return study.table("epoch_times", key, measure)


def _key(versions: Mapping[float, Ensemble]) -> list:
    return [[ratio, str(e.path), e.digest] for ratio, e in versions.items()]


def loading_rates(
    versions: Mapping[float, Ensemble],
    storages: Mapping[str, Storage],
    *,
    batch_size: int,
    rounds: int = 4,
    seconds: float = 0.1,
) -> xr.Dataset:
    """Fig. 11: how fast batches are ready, in MB/s of uncompressed data.

    Parameters
    ----------
    versions : mapping
        Raw and compressed, by ratio.
    storages : mapping
        By the name that the figure gives them.
    rounds : int
        Measurements of each, in turns; one more before them fills the page cache.
    seconds : float
        Least time of a measurement.

    Returns
    -------
    Dataset
        ``rate`` (storage, ratio, round) in MB/s; coordinates ``bandwidth`` in MB/s and ``state``,
        what was said of the page cache, of each storage.
    """
    rates = np.empty((len(storages), len(versions), rounds + 1))
    for k in range(rounds + 1):
        for i, storage in enumerate(storages.values()):
            for j, ensemble in enumerate(versions.values()):
                with SampleLoader(ensemble, batch_size, seed=0, storage=storage) as loader:
                    rates[i, j, k] = _rate(loader, seconds)
    bandwidths = [storage.bandwidth / 1e6 for storage in storages.values()]
    return xr.Dataset(
        {"rate": (("storage", "ratio", "round"), rates[..., 1:], {"units": "MB/s"})},
        coords={
            "storage": list(storages),
            "ratio": list(versions),
            "bandwidth": ("storage", bandwidths, {"units": "MB/s"}),
            "state": ("storage", [str(storage) for storage in storages.values()]),
        },
        attrs={"batch_size": batch_size},
    )


def _rate(loader: SampleLoader, seconds: float) -> float:
    began, nbytes = time.perf_counter(), 0
    while True:
        for _, fields in loader:
            nbytes += fields.nbytes
            spent = time.perf_counter() - began
            if spent >= seconds:
                return nbytes / spent / 1e6


def epoch_times(
    versions: Mapping[float, Ensemble],
    storage: Storage,
    config: TrainConfig,
    *,
    processes: Sequence[int] = (1, 2),
    batches: int = 8,
    rounds: int = 3,
    threads: int = 1,
) -> xr.Dataset:
    """Fig. 12: seconds an epoch takes with data alone, with computing alone, and with both.

    Parameters
    ----------
    versions : mapping
        Raw and compressed, by ratio.
    storage : Storage
        Its bandwidth is shared by the processes.
    config : TrainConfig
        Of the network.
    processes : sequence of int
        How many train together; on GPUs only as many as there are.
    batches : int
        An epoch's time is that of so many batches, times the epoch's number over theirs.
    threads : int
        CPU threads of torch in each process.

    Returns
    -------
    Dataset
        ``data`` and ``both`` (processes, ratio, round), ``compute`` (processes, round), seconds.
    """
    accelerator = training.best_accelerator()
    if accelerator == "cuda":
        processes = [n for n in processes if n <= torch.cuda.device_count()]
    tables = []
    for n in processes:
        own = replace(storage, bandwidth=storage.bandwidth / n)
        job = (versions, own, config, n, batches, rounds, threads, accelerator)
        tables.append(_epochs(*job) if n == 1 else _launch(n, job))
    table = xr.concat(tables, "processes").assign_coords(processes=list(processes))
    for name in table:
        table[name].attrs["units"] = "s"
    return table.assign_attrs(
        storage=str(storage),
        bandwidth=storage.bandwidth / 1e6,
        accelerator=accelerator,
        epoch_nbytes=versions[1.0].raw_nbytes,
    )


def _launch(n: int, job: tuple) -> xr.Dataset:
    """`_epochs` in `n` processes, started as torchrun starts them."""
    launch = LaunchConfig(1, 1, n, rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", run_id="bench")
    # It takes over what a signal does, and torch sets this variable, and says so, if we do not.
    before = {name: signal.getsignal(name) for name in _SIGNALS}
    try:
        with patch.dict(os.environ, OMP_NUM_THREADS="1"):
            return elastic_launch(launch, _epochs)(*job)[0]
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _epochs(versions, storage, config, n, batches, rounds, threads, accelerator) -> xr.Dataset:
    """One process's part of `epoch_times`."""
    from lightning_fabric import Fabric

    torch.set_num_threads(threads)
    fabric = Fabric(accelerator=accelerator, devices=n, strategy="ddp" if n > 1 else "auto")
    fabric.launch()
    raw = versions[1.0]
    samples = raw.inputs[..., 0].size
    run = training.run_config(raw, config, seed=0)
    normaliser = training.Normaliser.fit(raw.select(raw.simulations[:1]))  # any would do
    step = training.Step(fabric, run, config.learning_rate, normaliser)

    def load(ensemble, epoch):
        with SampleLoader(
            ensemble,
            config.batch_size,
            seed=0,
            storage=storage,
            rank=fabric.global_rank,
            world_size=n,
        ) as loader:
            loader.set_epoch(epoch)
            yield from training.shares(loader, samples)

    def clock(source, *, learn):
        """Seconds an epoch: the processes begin together and end together."""
        fabric.barrier()
        began, done = time.perf_counter(), 0
        for inputs, fields, size in itertools.islice(source, batches):
            if learn:
                step(inputs, fields, size, config.learning_rate)
            done += size
        if accelerator == "cuda":
            torch.cuda.synchronize()
        fabric.barrier()
        return (time.perf_counter() - began) * samples / done

    inputs, fields, size = next(load(raw, 0))
    held = batches * [(inputs, fields.copy(), size)]
    clock(held[:2], learn=True)  # the first steps choose kernels
    rows = []
    for epoch in range(rounds):
        row = {"compute": clock(held, learn=True), "data": [], "both": []}
        for ensemble in versions.values():
            row["data"].append(clock(load(ensemble, epoch), learn=False))
            row["both"].append(clock(load(ensemble, epoch), learn=True))
        rows.append(row)
    return xr.Dataset(
        {
            "compute": ("round", [row["compute"] for row in rows]),
            "data": (("round", "ratio"), [row["data"] for row in rows]),
            "both": (("round", "ratio"), [row["both"] for row in rows]),
        },
        coords={"ratio": list(versions)},
    )


def answer(rates: xr.Dataset, epochs: xr.Dataset) -> dict:
    """What the two tables say in numbers and one sentence, at the largest number of processes.

    Of the compressed versions it is about the one whose epoch is shortest. Loading from it is never
    faster than decoding, so it wins on storages that are slower than that, and than the network.

    Returns
    -------
    dict
        ``ratio``; ``epoch``, its time over raw's; ``stall`` and ``raw_stall``, the share of an
        epoch in which the network waits; ``network`` and ``decode`` in MB/s of uncompressed data;
        ``below``, the storage's MB/s below which compression wins; ``sentence``.
    """
    last = epochs.isel(processes=-1)
    both, compute = last["both"].median("round"), float(last["compute"].median())
    ratio = float(both.sel(ratio=both["ratio"][both["ratio"] > 1]).idxmin())
    memory = rates["rate"].sel(storage=MEMORY).median("round")
    decode, raw = float(memory.sel(ratio=ratio)), float(memory.sel(ratio=1))
    network = epochs.attrs["epoch_nbytes"] / compute / 1e6
    below = min(network, decode) if decode < raw else network
    took, n = float(both.sel(ratio=ratio) / both.sel(ratio=1)), int(last["processes"])
    binds = "the network keeps up" if below == network else "decoding binds"
    return {
        "ratio": ratio,
        "epoch": took,
        "stall": max(0.0, 1 - compute / float(both.sel(ratio=ratio))),
        "raw_stall": max(0.0, 1 - compute / float(both.sel(ratio=1))),
        "network": network,
        "decode": decode,
        "below": below,
        "processes": n,
        "storage": epochs.attrs["storage"],
        "sentence": (
            f"On this storage ({epochs.attrs['storage']}), compressed to {ratio:.1f}×, an epoch "
            f"takes {took:.2f} of raw's time with {n} process{'es' if n > 1 else ''}; below "
            f"{below:.0f} MB/s compression wins (above it {binds})."
        ),
    }
