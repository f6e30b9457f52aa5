"""The paper's experiments on data and raw models: a `Study` in, a labelled table out.

Each function makes what it needs of the ones before it, so any notebook can be run on its own; what
the results hold already is read. Figures are drawn from these tables (`figures.catalogue`). What
compression costs a model stands in `answer`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.compression.codecs import AUTO, codec_class, codecs_by_field, joined
from surrlab.compression.compress import Ratios, compress, search_and_compress
from surrlab.compression.compress import ratios as measured_ratios
from surrlab.compression.compress import table as compression_table
from surrlab.compression.race import CODECS, race, recommend
from surrlab.compression.version import Version
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.native import Header
from surrlab.evaluation.evaluate import predicted
from surrlab.evaluation.quantities import measure
from surrlab.studies.models import (
    Model,
    evaluation_path,
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

RACE = (1 / 4, 1.0, 4.0)
"""L1 errors at which codecs are compared, as parts of the model's."""

CHECKED = 4
"""Simulations on which stored totals are held against the truth."""


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
    train_models(study, models, "train raw models", _likely_students(study))
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
    students = _students(study)
    train_models(study, students, "train on a model's output")
    return evaluations(study, raw_models(study) + students, "generation_loss")


def _likely_students(study: Study) -> Iterator[Model]:
    """Students, which come after the raw models, as soon as their teacher is trained."""
    if evaluation_path(study, raw_models(study)[0]).exists():
        yield from _students(study)


def _students(study: Study) -> list[Model]:
    """Models that learn from the teacher's output, which is written here."""
    source, train_set = folder(study, raw_models(study)[0]), study.train_set
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
    return [Model("generated", output, seed) for seed in study.config.student_seeds]


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


def codec_race(study: Study) -> xr.Dataset:
    """Every codec at `RACE` of the model's error, on two training simulations: see `race`."""
    errors, train_set = mean_model_errors(study), study.train_set
    made_from = {
        "training_digest": train_set.digest,
        "model_errors": _hash(errors.values),
        "codecs": list(CODECS),
        "targets": list(RACE),
    }

    def run() -> xr.Dataset:
        coords = {key: train_set.coords[key] for key in ("unit", "label")}
        found = race(train_set, targets=RACE, errors=errors, executor=study.executor)
        return found.assign_coords(coords)

    return study.results.table("codecs", made_from, run)


def codec_name(study: Study) -> str:
    """Name of a study's codec, or of those of its fields: ``"auto"`` is what the race finds.

    At Algorithm 1's own error, each field takes the codec of the fewest bytes on disk.
    """
    if study.config.codec != AUTO:
        return study.config.codec

    def choose() -> str:
        best = recommend(codec_race(study).sel(target=[1.0]))
        return joined([codec_class(best[name]) for name in study.ensemble.field_names])

    return study.once("codec", choose)


def version_at(study: Study, factor: float = 1.0, rule: str = "") -> Version:
    """Return the version of a study's codec, rule and totals at a tolerance factor."""
    config = study.config
    return Version(codec_name(study), rule or config.rule, factor, config.keep)


def compressed(study: Study, version: Version) -> Ensemble:
    """Return the training side in a version.

    With a factor of 1 search and storage are one pass; other factors reuse the tolerances that it
    found. Fixed tolerances are in standard deviations of each field over the training samples.
    """
    return study.once(version.name, lambda: _compressed(study, version))


def _compressed(study: Study, version: Version) -> Ensemble:
    if version.is_raw:
        return study.train_set
    codec = codecs_by_field(version.codec, study.ensemble.field_names)
    root = study.path / "compressed"
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
            keep=version.keep,
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
            keep=version.keep,
        )
    at_one = compressed(study, replace(version, factor=1.0))
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
    return version_at(study, 1.0, "field" if study.config.rule == "fixed" else "")


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


def stored_totals(study: Study) -> pd.DataFrame:
    """Totals of the training data as Algorithm 1 stores them, against the truth.

    Returns
    -------
    DataFrame
        A row per quantity that `compress(keep=…)` could keep, one for each field: ``largest error``
        of any sample of `CHECKED` simulations, as part of the quantity's largest value there, and
        whether it is ``kept``.
    """
    data, truth = compressed(study, algorithm_1(study)), study.train_set
    chosen = {q.linear_in: q for q in reversed(study.quantities.values()) if q.linear_in}
    linear = {q.name: q for q in reversed(chosen.values())}
    error, size = dict.fromkeys(linear, 0.0), dict.fromkeys(linear, 0.0)
    for simulation in data.simulations[:CHECKED]:
        stored, true = (
            measure(linear, one, simulation, one.read_simulation(simulation))
            for one in (data, truth)
        )
        for name in linear:
            error[name] = max(error[name], float(np.abs(stored[name] - true[name]).max()))
            size[name] = max(size[name], float(np.abs(true[name]).max()))
    found = [error[name] / size[name] if size[name] else 0.0 for name in linear]
    kept = [name in study.config.keep for name in linear]
    index = pd.Index(list(linear), name="quantity")
    columns = {"largest error": np.array(found, float), "kept": np.array(kept, bool)}
    return pd.DataFrame(columns, index)
