"""Loading and epochs, timed side by side (Section VI-C).

Everything that is compared is measured in turns within one run, and a table keeps every round:
ratios are of medians. MB/s are of uncompressed data, whatever was read.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from surrlab.data.ensemble import Ensemble
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.loader import SampleLoader
from surrlab.training.step import Step, best_accelerator, make_fabric, rank_batches
from surrlab.training.surrogate import Normaliser, build
from surrlab.training.train import TrainConfig, run_config

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def loading_rates(
    versions: Mapping[str, Ensemble],
    storages: Mapping[str, Bandwidth],
    *,
    batch_size: int,
    rounds: int = 4,
    seconds: float = 0.1,
) -> xr.Dataset:
    """Fig. 11: how fast batches are ready, in MB/s of uncompressed data.

    Parameters
    ----------
    versions : mapping
        Raw and compressed, by name; the raw one first.
    storages : mapping
        By the name that the figure gives them.
    rounds : int
        Measurements of each, in turns; one more before them fills the page cache.
    seconds : float
        Least time of a measurement.

    Returns
    -------
    Dataset
        ``rate`` (storage, version, round) in MB/s; coordinates ``bandwidth`` in MB/s and ``state``,
        what was said of the page cache, of each storage.
    """
    rates = np.empty((len(storages), len(versions), rounds + 1))
    for k in range(rounds + 1):
        for i, storage in enumerate(storages.values()):
            for j, ensemble in enumerate(versions.values()):
                with SampleLoader(ensemble, batch_size, seed=0, bandwidth=storage) as loader:
                    rates[i, j, k] = _rate(loader, seconds)
    grid = next(iter(versions.values())).grid
    bandwidths = [storage.bytes_per_second / 1e6 for storage in storages.values()]
    return xr.Dataset(
        {"rate": (("storage", "version", "round"), rates[..., 1:], {"units": "MB/s"})},
        coords={
            "storage": list(storages),
            "version": list(versions),
            "bandwidth": ("storage", bandwidths, {"units": "MB/s"}),
            "state": ("storage", [str(storage) for storage in storages.values()]),
        },
        attrs={"batch_size": batch_size, "grid": " × ".join(map(str, grid.shape))},
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
    versions: Mapping[str, Ensemble],
    storage: Bandwidth,
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
        Raw and compressed, by name; the raw one first.
    storage : Bandwidth
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
        ``data`` and ``both`` (processes, version, round), ``compute`` (processes, round), seconds.
    """
    accelerator = best_accelerator()
    if accelerator == "cuda":
        processes = [n for n in processes if n <= torch.cuda.device_count()]
    tables = []
    for n in processes:
        own = replace(storage, bytes_per_second=storage.bytes_per_second / n)
        job = (versions, own, config, n, batches, rounds, threads, accelerator)
        tables.append(_epochs(*job) if n == 1 else _launch(n, job))
    table = xr.concat(tables, "processes").assign_coords(processes=list(processes))
    for name in table:
        table[name].attrs["units"] = "s"
    return table.assign_attrs(
        storage=str(storage),
        bandwidth=storage.bytes_per_second / 1e6,
        accelerator=accelerator,
        epoch_nbytes=next(iter(versions.values())).raw_nbytes,
    )


def epoch_seconds(ensemble: Ensemble, config: TrainConfig, *, rounds: int = 3) -> float:
    """Seconds that an epoch of a network takes on one core, or on the GPU, loading aside.

    The median of a few steps on random numbers, after one that counts not.

    Raises
    ------
    ValueError
        If the network cannot be built, or does not fit the ensemble.
    """
    accelerator = best_accelerator()
    fabric, threads = make_fabric(accelerator), torch.get_num_threads()
    fabric.launch()
    n = min(config.batch_size, len(ensemble.samples))
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, len(ensemble.input_names))).astype(np.float32)
    fields = rng.normal(size=(n, *ensemble.sample_shape)).astype(np.float32)
    ones = ((1.0,) * k for k in (*inputs.shape[1:] * 2, *fields.shape[1:2] * 2))
    normaliser = Normaliser(*ones)
    times = []
    torch.set_num_threads(1 if accelerator == "cpu" else threads)
    try:
        with torch.random.fork_rng():
            network = build(run_config(ensemble, config, seed=0), check=True)
            step = Step(fabric, network, config.learning_rate, normaliser, ensemble.valid)
            for _ in range(rounds + 1):
                began = time.perf_counter()
                float(step(inputs, fields, n, config.learning_rate))
                times.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return float(np.median(times[1:])) * len(ensemble.samples) / n


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
    torch.set_num_threads(threads)
    fabric = make_fabric(accelerator, n, strategy="ddp" if n > 1 else "auto")
    fabric.launch()
    raw, *_ = versions.values()
    samples = len(raw.samples)
    run = run_config(raw, config, seed=0)
    normaliser = Normaliser.fit(raw.select(raw.simulations[:1]))  # any would do
    step = Step(fabric, build(run), config.learning_rate, normaliser, raw.valid)

    def load(ensemble, epoch):
        with SampleLoader(
            ensemble,
            config.batch_size,
            seed=0,
            bandwidth=storage,
            rank=fabric.global_rank,
            world_size=n,
        ) as loader:
            loader.set_epoch(epoch)
            yield from rank_batches(loader, samples)

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
            "data": (("round", "version"), [row["data"] for row in rows]),
            "both": (("round", "version"), [row["both"] for row in rows]),
        },
        coords={"version": list(versions)},
    )
