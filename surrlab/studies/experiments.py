"""The paper's experiments on data and raw models: a `Study` in, a labelled table out.

Each function makes what it needs of the ones before it, so any notebook can be run on its own; what
the results hold already is read. Figures are drawn from these tables (`figures.catalogue`). What
compression costs a model stands in `answer`.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.compression import search
from surrlab.compression.codecs import codec_class
from surrlab.compression.compress import Ratios, compress, search_and_compress
from surrlab.compression.compress import ratios as measured_ratios
from surrlab.compression.compress import table as compression_table
from surrlab.compression.version import RAW, Version
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.native import Header
from surrlab.evaluation import metrics
from surrlab.studies.models import (
    TRAINING_ERRORS,
    Model,
    evaluations,
    folder,
    raw_models,
    train_models,
)
from surrlab.studies.results import Study, read_table
from surrlab.training.surrogate import load, predict

N_PICTURED = 3
"""Fields that pictures show where they show some."""


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


def pictured_fields(ensemble: Ensemble) -> tuple[str, ...]:
    """Return the fields that pictures show: density, pressure, energy, or the first ones."""
    known = [n for n in ("density", "pressure", "energy") if n in ensemble.field_names]
    return tuple(known or ensemble.field_names[:N_PICTURED])


def evolution(study: Study, simulation: int, fields: Sequence[str] = ()) -> xr.Dataset:
    """One simulation from start to end: 8 samples of a tall domain, 5 of a wide one."""
    ensemble = study.ensemble
    fields = list(fields or pictured_fields(ensemble)[:1])

    def read() -> xr.Dataset:
        grid, positions = ensemble.grid, np.array(ensemble.of(simulation))
        columns = 8 if grid.y.length > grid.x.length else 5
        chosen = np.unique(np.linspace(0, len(positions) - 1, columns).round().astype(int))
        samples = np.stack([ensemble.read(int(k)) for k in positions[chosen]])
        values = ensemble.run(simulation).parameters
        named = zip(ensemble.input_names[:-1], values, ensemble.input_units[:-1], strict=True)
        title = ", ".join(
            f"{name} {value:.3g} {unit}".removesuffix(" 1") for name, value, unit in named
        )
        title = title.replace("_", " ").replace("-", "−") or f"simulation {simulation}"
        times = ensemble.samples.time[positions[chosen]]
        rows = {"sample": np.arange(len(times))}
        description = ensemble.metadata.get("benchmark", {}).get("description", "")
        table = _pictures(ensemble, samples, rows, fields, title=title, description=description)
        return table.assign_coords(time=("sample", times, {"units": ensemble.time_unit}))

    made_from = {"ensemble_digest": ensemble.digest, "simulation": simulation, "fields": fields}
    return study.results.table("evolution", made_from, read)


def compressed_fields(
    study: Study,
    simulation: int,
    step: int,
    *,
    targets: Sequence[float] = (20.0, 30.0, 50.0),
    fields: Sequence[str] = (),
) -> xr.Dataset:
    """One sample raw, and compressed to about each of the payload ratios, by ``version``.

    No model is asked: every field may lose the same share of its spread in the sample, of four
    shares an octave the one that comes nearest to the ratio. A field without spread stays as it is.

    Returns
    -------
    Dataset
        ``fields`` (version, field, y, x); ``ratio`` (version), of all fields of the sample;
        ``loss`` (version, field), the mean error in standard deviations of the field.
    """
    ensemble, codec_type = study.ensemble, codec_class(study.config.codec)
    fields = list(fields or pictured_fields(ensemble))

    def encode() -> xr.Dataset:
        sample = ensemble.read(ensemble.position(simulation, step))
        axes = tuple(range(1, sample.ndim))
        spread, like = sample.std(axis=axes, dtype=np.float64), (sample[0].shape, sample.dtype)
        tried = {}
        for share in 2.0 ** np.arange(-12, 10, 0.25):
            codecs = [codec_type(share * s) if s else codec_type.lossless() for s in spread]
            streams = [c.encode(field) for c, field in zip(codecs, sample, strict=True)]
            tried[sample.nbytes / sum(map(len, streams))] = list(zip(codecs, streams, strict=True))
        ratios = [min(tried, key=lambda r, t=t: abs(math.log(r / t))) for t in targets]
        decoded = [[c.decode(s, *like) for c, s in tried[ratio]] for ratio in ratios]
        versions = np.stack([sample, *decoded])
        loss = metrics.l1(versions, sample, ensemble.grid.ndim) / np.where(spread > 0, spread, 1)
        time = ensemble.run(simulation).times[step]
        title = f"simulation {simulation} at {time:g} {ensemble.time_unit}"
        rows = {"version": np.arange(len(versions))}
        table = _pictures(ensemble, versions, rows, fields, title=title)
        shown = [ensemble.index(name) for name in fields]
        return table.assign(loss=(("version", "field"), loss[:, shown])).assign_coords(
            ratio=("version", [1.0, *ratios])
        )

    made_from = {
        "ensemble_digest": ensemble.digest,
        "simulation": simulation,
        "step": step,
        "targets": list(targets),
        "fields": fields,
        "codec": study.config.codec,
    }
    return study.results.table("compressed_fields", made_from, encode)


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
        errors = read_table(folder(study, model) / TRAINING_ERRORS)["model_error"] / scale
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

    The teacher is the raw model of seed 0; the students have other seeds, and are compared with the
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
    models = [Model("generated", output, seed) for seed in study.config.generation_seeds]
    train_models(study, models, "train on a model's output")
    return evaluations(study, raw + models, "generation_loss")


def _write_prediction(source: Path, ensemble: Ensemble, path: Path) -> None:
    """Write what a model makes of the inputs of an ensemble's only simulation."""
    (run,) = ensemble.runs
    samples = predict(load(source, trust=True), ensemble.inputs)
    native.write_simulation(path, Header.of(ensemble), run, samples)


def mean_model_errors(study: Study) -> xr.DataArray:
    """Model error of every training sample and field, the mean over the raw models."""
    variability_study(study)

    def mean() -> xr.DataArray:
        paths = [folder(study, model) / TRAINING_ERRORS for model in raw_models(study)]
        found = [read_table(path)["model_error"] for path in paths]
        return sum(found) / len(found)

    return study.once("model errors", mean)


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
    common = {"codec": codec, "executor": study.executor, "version": version}
    scale = study.field_statistics["scale"]
    if version.rule == "fixed":
        path = root / f"{version.folder}-{_hash(scale.values)}"
        return compress(study.train_set, scale * version.factor, path, **common)
    errors = mean_model_errors(study)
    path = root / f"{version.folder}-{_hash(errors.values)}"
    if version.factor == 1.0:
        scales = list(scale.values) if version.rule == "sample" else None
        common |= {"rule": version.rule, "scale": scales}
        return search_and_compress(study.train_set, errors, path, **common)
    at_one = compressed(study, Version(version.codec, version.rule, 1.0))
    found = compression_table(at_one)["tolerance"]
    return compress(study.train_set, found * version.factor, path, **common)


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


def thresholds(study: Study, simulation: int, step: int) -> xr.Dataset:
    """Fig. 4 for one training sample: compression error and ratio against the tolerance.

    Returns
    -------
    Dataset
        ``tolerance``, ``error`` and ``ratio`` (field, setting), from fine to coarse; the two
        thresholds ``roundoff`` (the rounding error of the stored type) and ``model_error`` (field).
    """
    train_set, codec_type = study.train_set, codec_class(study.config.codec)
    position = train_set.position(simulation, step)
    model_error = mean_model_errors(study).isel(sample=position).values

    def sweep() -> xr.Dataset:
        sample = train_set.read(position)
        axes = tuple(range(1, sample.ndim))
        size = np.abs(sample).mean(axis=axes, dtype=np.float64)
        roundoff = np.finfo(sample.dtype).eps * size
        finest = float(roundoff[roundoff > 0].min())
        coarsest = codec_type.expected_tolerance(float(model_error.max()), train_set.grid.ndim)
        # Factors of two: every setting of zfp, and enough of any other codec.
        n = math.ceil(math.log2(coarsest)) + 4 - math.floor(math.log2(finest))
        bounds = 2.0 ** (math.floor(math.log2(finest)) + np.arange(n))
        found = [[search.measure(f, codec_type(b)) for b in bounds] for f in sample]
        dims = ("field", "setting")
        columns = {
            "tolerance": [[f.tolerance for f in row] for row in found],
            "error": [[f.error for f in row] for row in found],
            "ratio": [[sample[0].nbytes / f.nbytes for f in row] for row in found],
        }
        coords = {key: train_set.coords[key] for key in ("field", "unit", "label")}
        return xr.Dataset(
            {name: (dims, values) for name, values in columns.items()}
            | {"roundoff": ("field", roundoff), "model_error": ("field", model_error)},
            coords,
        )

    made_from = {
        "ensemble_digest": study.ensemble.digest,
        "simulation": simulation,
        "step": step,
        "model_error": model_error.tolist(),
        "codec": study.config.codec,
    }
    return study.results.table("thresholds", made_from, sweep)


def sample_predictions(
    study: Study, simulation: int, step: int, fields: Sequence[str] = ()
) -> xr.Dataset:
    """Fig. 10: a test sample as simulated, and as one model of each version sees it; by ``model``.

    The models are those of the first seed, raw and of every version that was trained.
    """
    test = study.test_set
    fields = list(fields or pictured_fields(test))
    trained = read_table(study.path / "lossy_training.nc")
    if trained is None:
        raise FileNotFoundError(f"{study.path} has no lossy models: 5_lossy_training trains them")
    columns = (trained[name].values for name in ("version", "ratio", "folder"))
    chosen = {}
    for version, ratio, name in zip(*columns, strict=True):
        chosen.setdefault(str(version), (float(ratio), study.path / "models" / str(name)))

    def predict_all() -> xr.Dataset:
        position = test.position(simulation, step)
        inputs = test.inputs[position]
        seen = [predict(load(path, trust=True), inputs) for _, path in chosen.values()]
        names = [
            "raw model" if version == RAW.name else f"{ratio:.1f}× model"
            for version, (ratio, _) in chosen.items()
        ]
        samples = np.stack([test.read(position), *seen])
        title = f"simulation {simulation} at {test.samples.time[position]:g} {test.time_unit}"
        return _pictures(test, samples, {"model": ["simulation", *names]}, fields, title=title)

    made_from = {
        "test_digest": test.digest,
        "simulation": simulation,
        "step": step,
        "fields": fields,
        "models": [path.name for _, path in chosen.values()],
    }
    return study.results.table("pictures", made_from, predict_all)


def _pictures(
    ensemble: Ensemble, samples: np.ndarray, rows: dict, fields: Sequence[str], **attributes: str
) -> xr.Dataset:
    """Return some fields of samples ``(n, n_fields, ny, nx)``, for a figure.

    ``fields`` (row, field, y, x), with ``label`` and ``unit`` of ``field``; the axes with their
    units and ends.
    """
    (row,), places = rows, [ensemble.index(name) for name in fields]
    y, x = ensemble.grid.y, ensemble.grid.x
    axes = {
        a.name: (a.name, a.centres, {"units": a.unit, "extent": [a.low, a.high]}) for a in (y, x)
    }
    of_field = {
        "field": list(fields),
        "label": ("field", [ensemble.fields[i].label for i in places]),
        "unit": ("field", [ensemble.fields[i].unit for i in places]),
    }
    pictures = {"fields": ((row, "field", y.name, x.name), samples[:, places])}
    return xr.Dataset(pictures, {**rows, **axes, **of_field}, attributes)
