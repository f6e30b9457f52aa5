"""Does compression pay on this disk? Loading and training, raw and compressed (Section VI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from surrlab.compression.compress import compress
from surrlab.compression.compress import ratios as measured_ratios
from surrlab.compression.version import RAW
from surrlab.data.ensemble import Ensemble
from surrlab.data.open import open_ensemble
from surrlab.loading.bandwidth import Bandwidth
from surrlab.studies.experiments import compressed, version_at
from surrlab.studies.results import Study
from surrlab.training.surrogate import Normaliser
from surrlab.training.throughput import epoch_times, loading_rates

FILE_SYSTEMS = {"file system 1": 145.65, "file system 2": 227.31, "file system 3": 746.7}
"""MB/s that the paper's three file systems gave to training on raw data (Section VI-C)."""

OWN, MEMORY = "your storage", "page cache"
"""What a table calls the reader's storage, and what the operating system holds in memory."""

OURS = "Timed are steps of surrlab's own {}: how the trainer loads its data is its own affair."

TRIAL = (1e-3, 1e-2, 1e-1)
"""Tolerances of a trial, in standard deviations of each field."""


def storages(bandwidth: float = 0.0, latency: float = 0.0) -> dict[str, Bandwidth]:
    """The paper's three, the reader's own (of so many MB/s and ms; 0: this disk), and memory."""
    own = Bandwidth(1e6 * bandwidth, 1e-3 * latency) if bandwidth else Bandwidth(drop_cache=True)
    paper = {name: Bandwidth(1e6 * speed) for name, speed in FILE_SYSTEMS.items()}
    return {**paper, OWN: own, MEMORY: Bandwidth()}


def timed_versions(study: Study, folders: Sequence[str] = ()) -> dict[str, Ensemble]:
    """Return the same simulations raw and compressed, by name, from the least compressed.

    The study's versions at and around Algorithm 1's tolerance (its finest, its own, its coarsest),
    or, given folders of compressed ensembles, these and the study's own simulations.

    Raises
    ------
    ValueError
        If two of them hold other simulations.
    """
    if folders:
        made = {Path(path).name: open_ensemble(path) for path in folders}
        whole = study.ensemble
    else:
        config = study.config
        factors = sorted({config.factors[0], 1.0, config.factors[-1]} & set(config.factors))
        chosen = [version_at(study, factor) for factor in factors]
        made = {version.name: compressed(study, version) for version in chosen}
        whole = study.train_set
    first = next(iter(made.values()))
    for ensemble in made.values():
        if ensemble.simulations != first.simulations:
            raise ValueError(f"{ensemble.name} holds other simulations than {first.name}")
    order = sorted(made, key=lambda name: measured_ratios(made[name]).payload)
    return {RAW.name: whole.select(first.simulations), **{name: made[name] for name in order}}


def _payload_ratios(versions: Mapping[str, Ensemble]) -> dict:
    payload = [1.0 if n == RAW.name else measured_ratios(e).payload for n, e in versions.items()]
    return {"ratio": ("version", payload)}


def compress_trial_versions(
    ensemble: Ensemble, path: Path, *, n_simulations: int = 8
) -> list[Path]:
    """Compress some simulations to the tolerances `TRIAL`, each into a folder: no model needed.

    Whether a model would notice is another question: `search_and_compress`.
    """
    some = ensemble.select(ensemble.simulations[:n_simulations])
    scale = Normaliser.fit(some).field_scale
    paths = [path / f"trial-{tolerance:g}" for tolerance in TRIAL]
    for tolerance, made in zip(TRIAL, paths, strict=True):
        bounds = xr.DataArray(tolerance * np.array(scale), {"field": list(some.field_names)})
        compress(some, bounds, made)
    return paths


def measure_rates(study: Study, versions: Mapping, storages: Mapping) -> xr.Dataset:
    """`loading_rates` with the study's batches, measured once."""
    batch_size = study.config.train.batch_size
    made_from = {
        **_made_from(versions),
        "storages": list(map(repr, storages.values())),
        "batch_size": batch_size,
    }

    def measure() -> xr.Dataset:
        table = loading_rates(versions, storages, batch_size=batch_size)
        return table.assign_coords(_payload_ratios(versions))

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
        **({"network": OURS.format(config.network.name)} if study.config.trainer else {}),
    }

    def measure() -> xr.Dataset:
        table = epoch_times(versions, own, config, processes=processes)
        return table.assign_coords(_payload_ratios(versions))

    return study.results.table("epoch_times", made_from, measure)


def _made_from(versions: Mapping[str, Ensemble]) -> dict:
    return {"versions": [[name, e.name, e.digest] for name, e in versions.items()]}


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
            f"{below:.0f} MB/s compression wins (above it {binds}). "
            f"{epochs.attrs.get('network', '')}".rstrip()
        ),
    }
