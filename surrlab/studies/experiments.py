"""The paper's experiments on data and raw models: a `Study` in, a labelled table out.

Each function makes what it needs of the ones before it, so any notebook can be run on its own; what
the results hold already is read. Figures are drawn from these tables (`figures.catalogue`). What
compression costs a model stands in `answer`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.compression.codecs import codec_class
from surrlab.compression.compress import Ratios, compress, search_and_compress
from surrlab.compression.compress import ratios as measured_ratios
from surrlab.compression.compress import table as compression_table
from surrlab.compression.version import RAW, Version
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.native import Header
from surrlab.data.open import open_ensemble
from surrlab.evaluation.evaluate import predicted
from surrlab.loading.bandwidth import Bandwidth
from surrlab.studies.models import (
    Model,
    evaluations,
    folder,
    mean_training_errors,
    raw_models,
    stored_model,
    stored_table,
    train_models,
    training_errors_path,
)
from surrlab.studies.results import Study
from surrlab.training.surrogate import Normaliser
from surrlab.training.throughput import epoch_times, loading_rates

FILE_SYSTEMS = {"file system 1": 145.65, "file system 2": 227.31, "file system 3": 746.7}
"""MB/s that the paper's three file systems gave to training on raw data (Section VI-C)."""

OWN, MEMORY = "your storage", "page cache"
"""What a table calls the reader's storage, and what the operating system holds in memory."""

TRIAL = (1e-3, 1e-2, 1e-1)
"""Tolerances of a trial, in standard deviations of each field."""


def ensemble_table(ensembles: Mapping[str, Ensemble]) -> pd.DataFrame:
    """Table I: size, dimensions and number of samples: these ensembles, and the paper's two."""
    rows = {
        f"{ensemble.benchmark} ({name})": (
            ensemble.raw_nbytes / 1e9,
            " × ".join(map(str, ensemble.grid.shape)),
            len(ensemble.fields),
            len(ensemble.samples),
        )
        for name, ensemble in ensembles.items()
    }
    rows["RT (paper)"] = (450.0, "768 × 256", 6, 102_000)
    rows["PCHIP (paper)"] = (893.0, "512 × 512", 6, 152_184)
    columns = ["raw GB", "grid", "fields", "samples"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


# -------------------------------------------------------------------------------------- raw models


def variability_study(study: Study) -> xr.Dataset:
    """Section III-A, Fig. 3: raw models that differ in the seed alone, on the test side."""
    models = raw_models(study)
    train_models(study, models, "train raw models")
    return evaluations(study, models, "variability")


def training_and_test_error(study: Study) -> pd.DataFrame:
    """L1 of each raw model on its training samples and on the test side, and the gap between them.

    In standard deviations of the fields, as a score is.
    """
    table, scale = variability_study(study), study.field_statistics["scale"]
    rows = {}
    for model, seed in zip(raw_models(study), table["seed"].values, strict=True):
        errors = stored_table(study, model, training_errors_path)["model_error"] / scale
        test = table["normalised_l1"].isel(model=(table["seed"] == seed).values)
        rows[int(seed)] = (float(errors.mean()), float(test.mean()))
    frame = pd.DataFrame.from_dict(rows, "index", columns=["training L1", "test L1"])
    frame["gap (%)"] = 100 * (frame["test L1"] / frame["training L1"] - 1)
    return frame.rename_axis("seed")


def curves(study: Study, table: xr.Dataset, simulation: int, name: str) -> xr.Dataset:
    """One test simulation of an evaluation, for Figs. 3 and 6; kept in ``<name>.nc``."""
    made_from = {
        key: table.attrs[key] for key in ("ensemble_digest", "test_digest", "models", "names")
    }

    def select() -> xr.Dataset:
        one = table.isel(sample=table["simulation"].values == simulation)
        return one.sel(test_simulation=[simulation]) if "test_simulation" in one.dims else one

    return study.results.table(name, made_from | {"simulation": simulation}, select)


def generation_loss(study: Study) -> xr.Dataset:
    """Section IV-A, Fig. 5: models trained on a raw model's output; does the error grow?

    The teacher is the first raw model; the students have other seeds, and are compared with the
    raw models of the same seeds.

    Returns
    -------
    Dataset
        `evaluations` of the raw models and of the ``generated`` ones.
    """
    variability_study(study)
    raw = raw_models(study)
    source = folder(study, raw[0])
    train_set = study.train_set
    output = native.build(
        study.path / "generated" / source.name,
        Header.of(train_set),
        {"model": source.name},
        {run.simulation: run for run in train_set.runs},
        {
            s: functools.partial(_write_prediction, source, train_set.select([s]))
            for s in train_set.simulations
        },
        executor=study.executor,
        label="predict",
    )
    models = [Model("generated", output, seed) for seed in study.config.student_seeds]
    train_models(study, models, "train on a model's output")
    return evaluations(study, raw + models, "generation_loss")


def _write_prediction(source: Path, ensemble: Ensemble, path: Path) -> None:
    """Write what a model makes of the inputs of an ensemble's only simulation."""
    (run,) = ensemble.runs
    samples = predicted(stored_model(source, ensemble, "training"), ensemble, run.simulation)
    native.write_simulation(path, Header.of(ensemble), run, samples)


def mean_model_errors(study: Study) -> xr.DataArray:
    """Model error of every training sample and field, the mean over the raw models."""
    variability_study(study)
    return study.once("model errors", lambda: mean_training_errors(study, raw_models(study)))


# ------------------------------------------------------------------------------------- compression


def compressed(study: Study, version: Version) -> Ensemble:
    """Return the training side in a version.

    With a factor of 1 search and storage are one pass; other factors reuse the tolerances that it
    found. Fixed tolerances are in standard deviations of each field over the training samples.
    """
    return study.once(version.name, lambda: _compressed(study, version))


def _compressed(study: Study, version: Version) -> Ensemble:
    if version.is_raw:
        return study.train_set
    codec, root = codec_class(version.codec), study.path / "compressed"
    scale = study.field_statistics["scale"]

    def at(tolerances: xr.DataArray, hashed: xr.DataArray) -> Ensemble:
        path = root / f"{version.folder}-{_hash(hashed.values)}"
        return compress(
            study.train_set,
            tolerances,
            path,
            codec=codec,
            executor=study.executor,
            version=version,
        )

    if version.rule == "fixed":
        return at(scale * version.factor, scale)
    errors = mean_model_errors(study)
    if version.factor == 1.0:
        return search_and_compress(
            study.train_set,
            errors,
            root / f"{version.folder}-{_hash(errors.values)}",
            rule=version.rule,
            scale=list(scale.values) if version.rule == "sample" else None,
            codec=codec,
            executor=study.executor,
            version=version,
        )
    at_one = compressed(study, Version(version.codec, version.rule, 1.0))
    return at(compression_table(at_one)["tolerance"] * version.factor, errors)


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:8]


def ratios(study: Study, version: Version) -> Ratios:
    """Payload and file ratio of a version."""
    if version.is_raw:
        return Ratios(1.0, 1.0)
    return study.once(
        f"ratios of {version.name}", lambda: measured_ratios(compressed(study, version))
    )


def algorithm_1(study: Study) -> Version:
    """Return the version at Algorithm 1's own tolerances."""
    rule = study.config.rule if study.config.rule != "fixed" else "field"
    return Version(study.config.codec, rule, 1.0)


def tolerance_search(study: Study) -> xr.Dataset:
    """Section IV-A, Algorithm 1, for every training sample and field; the streams are kept.

    Returns
    -------
    Dataset
        ``tolerance``, ``error``, ``max_error``, ``nbytes``, ``n_encodes`` and ``model_error`` over
        (sample, field), own units.
    """
    data = compressed(study, algorithm_1(study))

    def collect() -> xr.Dataset:
        nbytes = np.dtype(data.dtype).itemsize * int(np.prod(data.grid.shape))
        table = compression_table(data).assign(model_error=mean_model_errors(study))
        return table.assign_attrs(raw_field_nbytes=nbytes)

    made_from = {
        "ensemble_digest": study.ensemble.digest,
        "compressed_digest": data.digest,
        "models": [folder(study, model).name for model in raw_models(study)],
    }
    return study.results.table("tolerance_search", made_from, collect)


def by_field(found: xr.Dataset) -> pd.DataFrame:
    """A row per field of `tolerance_search`: median tolerance, payload ratio, share of bytes."""
    nbytes = found["nbytes"].sum("sample")
    columns = {
        "median tolerance": found["tolerance"].median("sample"),
        "ratio": found.attrs["raw_field_nbytes"] / found["nbytes"].mean("sample"),
        "share of bytes": nbytes / nbytes.sum(),
        "encodes": found["n_encodes"].mean("sample"),
    }
    return xr.Dataset(columns).to_dataframe()[list(columns)]


# ----------------------------------------------------------- does it pay on this disk? (Section VI)


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
        chosen = [Version(config.codec, config.rule, factor) for factor in factors]
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
            f"{below:.0f} MB/s compression wins (above it {binds})."
        ),
    }
