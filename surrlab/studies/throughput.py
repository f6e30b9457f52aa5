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

from surrlab.compression.compress import compress, ratios
from surrlab.compression.version import RAW, Version
from surrlab.data.ensemble import Ensemble
from surrlab.data.open import open_ensemble
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.loader import SampleLoader
from surrlab.studies import experiments
from surrlab.studies.results import Study
from surrlab.training.step import Step, best_accelerator, make_fabric, rank_batches
from surrlab.training.surrogate import Normaliser, build
from surrlab.training.train import TrainConfig, run_config

FILE_SYSTEMS = {"file system 1": 145.65, "file system 2": 227.31, "file system 3": 746.7}
"""MB/s that the paper's three file systems gave to training on raw data (Section VI-C)."""

OWN, MEMORY = "your storage", "page cache"
"""What a table calls the reader's storage, and what the operating system holds in memory."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

TRIAL = (1e-3, 1e-2, 1e-1)
"""Tolerances of a trial, in standard deviations of each field."""


def storages(bandwidth: float = 0.0, latency: float = 0.0) -> dict[str, Bandwidth]:
    """The paper's three, the reader's own (of so many MB/s and ms; 0: this disk), and memory."""
    own = Bandwidth(1e6 * bandwidth, 1e-3 * latency) if bandwidth else Bandwidth(drop_cache=True)
    paper = {name: Bandwidth(1e6 * speed) for name, speed in FILE_SYSTEMS.items()}
    return {**paper, OWN: own, MEMORY: Bandwidth()}


def timed_versions(study: Study, compressed: Sequence[str] = ()) -> dict[str, Ensemble]:
    """Return the same simulations raw and compressed, by name, from the least compressed.

    The study's versions at and around Algorithm 1's tolerance (its finest, its own, its coarsest),
    or, given folders of compressed ensembles, these and the study's own simulations.

    Raises
    ------
    ValueError
        If two of them hold other simulations.
    """
    if compressed:
        made = {Path(path).name: open_ensemble(path) for path in compressed}
        whole = study.ensemble
    else:
        config = study.config
        factors = sorted({config.factors[0], 1.0, config.factors[-1]} & set(config.factors))
        chosen = [Version(config.codec, config.rule, factor) for factor in factors]
        made = {version.name: experiments.compressed(study, version) for version in chosen}
        whole = study.train_set
    first = next(iter(made.values()))
    for ensemble in made.values():
        if ensemble.simulations != first.simulations:
            raise ValueError(f"{ensemble.name} holds other simulations than {first.name}")
    order = sorted(made, key=lambda name: ratios(made[name]).payload)
    return {RAW.name: whole.select(first.simulations), **{name: made[name] for name in order}}


def _coordinates(versions: Mapping[str, Ensemble]) -> dict:
    payload = [1.0 if n == RAW.name else ratios(e).payload for n, e in versions.items()]
    return {"version": list(versions), "ratio": ("version", payload)}


def compress_trial_versions(
    ensemble: Ensemble, path: Path, *, n_simulations: int = 8
) -> list[Path]:
    """Compress some simulations to the tolerances `TRIAL`, each into a folder: no model needed.

    Whether a model would notice is another question: `search_and_compress`.
    """
    some = ensemble.select(ensemble.simulations[:n_simulations])
    scale = Normaliser.fit(some).field_scale
    folders = [path / f"trial-{tolerance:g}" for tolerance in TRIAL]
    for tolerance, folder in zip(TRIAL, folders, strict=True):
        bounds = xr.DataArray(tolerance * np.array(scale), {"field": list(some.field_names)})
        compress(some, bounds, folder)
    return folders


def measure_rates(study: Study, versions: Mapping, storages: Mapping) -> xr.Dataset:
    """`loading_rates` with the study's batches, measured once."""
    batch_size = study.config.train.batch_size
    made_from = {
        **_made_from(versions),
        "storages": list(map(repr, storages.values())),
        "batch_size": batch_size,
    }
    measure = functools.partial(loading_rates, versions, storages, batch_size=batch_size)
    return study.results.table("loading_rates", made_from, measure)


def measure_epochs(
    study: Study, versions: Mapping, storages: Mapping, processes: Sequence[int]
) -> xr.Dataset:
    """`epoch_times` of the study's network on the reader's storage, measured once."""
    config, own = study.config.train, storages[OWN]
    made_from = {
        **_made_from(versions),
        "own_storage": repr(own),
        "training": repr(config),
        "asked_processes": list(processes),
    }
    measure = functools.partial(epoch_times, versions, own, config, processes=processes)
    return study.results.table("epoch_times", made_from, measure)


def _made_from(versions: Mapping[str, Ensemble]) -> dict:
    return {"versions": [[name, e.name, e.digest] for name, e in versions.items()]}


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
        Raw and compressed, by name.
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
                with SampleLoader(ensemble, batch_size, seed=0, storage=storage) as loader:
                    rates[i, j, k] = _rate(loader, seconds)
    grid = versions[RAW.name].grid
    bandwidths = [storage.bandwidth / 1e6 for storage in storages.values()]
    return xr.Dataset(
        {"rate": (("storage", "version", "round"), rates[..., 1:], {"units": "MB/s"})},
        coords={
            "storage": list(storages),
            **_coordinates(versions),
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
        Raw and compressed, by name.
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
        epoch_nbytes=versions[RAW.name].raw_nbytes,
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
    torch.set_num_threads(threads)
    fabric = make_fabric(accelerator, n, strategy="ddp" if n > 1 else "auto")
    fabric.launch()
    raw = versions[RAW.name]
    samples = len(raw.samples)
    run = run_config(raw, config, seed=0)
    normaliser = Normaliser.fit(raw.select(raw.simulations[:1]))  # any would do
    step = Step(fabric, build(run), config.learning_rate, normaliser)

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
        coords=_coordinates(versions),
    )


def loading_summary(rates: xr.Dataset, epochs: xr.Dataset) -> dict:
    """Return what the two tables say in numbers and one sentence, for the most processes.

    Of the compressed versions it is about the one whose epoch is shortest. Loading from it is never
    faster than decoding, so it wins on storages that are slower than that, and than the network.

    Returns
    -------
    dict
        ``version`` and ``ratio``; ``epoch``, its time over raw's; ``stall`` and ``raw_stall``, the
        share of an epoch in which the network waits; ``network`` and ``decode`` in MB/s of
        uncompressed data; ``below``, the storage's MB/s below which compression wins; ``sentence``.
    """
    last = epochs.isel(processes=-1)
    both, compute = last["both"].median("round"), float(last["compute"].median())
    version = str(both.isel(version=slice(1, None)).idxmin().item())
    ratio = float(epochs["ratio"].sel(version=version))
    compressed, raw = float(both.sel(version=version)), float(both.sel(version=RAW.name))
    memory = rates["rate"].sel(storage=MEMORY).median("round")
    decode = float(memory.sel(version=version))
    network = epochs.attrs["epoch_nbytes"] / compute / 1e6
    below = min(network, decode) if decode < float(memory.sel(version=RAW.name)) else network
    n, storage = int(last["processes"]), epochs.attrs["storage"]
    binds = "the network keeps up" if below == network else "decoding binds"
    return {
        "version": version,
        "ratio": ratio,
        "epoch": compressed / raw,
        "stall": max(0.0, 1 - compute / compressed),
        "raw_stall": max(0.0, 1 - compute / raw),
        "network": network,
        "decode": decode,
        "below": below,
        "processes": n,
        "storage": storage,
        "sentence": (
            f"On this storage ({storage}), compressed to {ratio:.1f}×, an epoch takes "
            f"{compressed / raw:.2f} of raw's time with {n} process{'es' if n > 1 else ''}; below "
            f"{below:.0f} MB/s compression wins (above it {binds})."
        ),
    }
