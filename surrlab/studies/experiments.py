"""Each study of the paper as a function: a `Study` in, a labelled table out.

Each function makes what it needs of the ones before it, so any notebook can be run on its own; what
`workspace` holds already is read. Every figure is drawn from one of these tables (`plates`).
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

from surrlab import compression, evaluation, training
from surrlab.compression import search, zfp
from surrlab.data import native
from surrlab.data.native import Ensemble
from surrlab.evaluation import metrics
from surrlab.studies.models import TRAINING_ERRORS, Model, evaluations, raw_models, train_models
from surrlab.studies.results import Study

SHOWN = ("density", "pressure", "energy")
"""The fields that pictures show where they show some."""


def table_one(found: Mapping[str, Ensemble]) -> pd.DataFrame:
    """Table I: size, dimensions and number of samples: these ensembles, and the paper's two."""
    rows = {}
    for name, ensemble in found.items():
        n, times, n_fields, ny, nx = ensemble.shape
        size = ensemble.raw_nbytes / 1e9
        rows[f"{ensemble.scenario} ({name})"] = (size, ny, nx, n_fields, n * times)
    rows["RT (paper)"] = (450.0, 768, 256, 6, 102_000)
    rows["PCHIP (paper)"] = (893.0, 512, 512, 6, 152_184)
    columns = ["raw GB", "ny", "nx", "fields", "samples"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def evolution(study: Study, simulation: int, fields=("density",)) -> xr.Dataset:
    """One simulation at times from start to end, by ``time``: 8 of a tall domain, 5 of a wide."""
    ensemble = study.ensemble

    def read() -> xr.Dataset:
        grid, times = ensemble.grid, ensemble.times
        columns = 8 if grid.height > grid.x[1] - grid.x[0] else 5
        shown = np.unique(np.linspace(0, len(times) - 1, columns).round().astype(int))
        samples = np.stack([ensemble.read(simulation, k) for k in shown])
        values = ensemble.parameters[ensemble.simulations.index(simulation)]
        told = zip(ensemble.input_names[:-1], values, ensemble.input_units[:-1], strict=True)
        title = ", ".join(
            f"{name} {value:.3g} {unit}".removesuffix(" 1") for name, value, unit in told
        )
        title = title.replace("_", " ").replace("-", "−")
        rows = {"time": ("time", times[shown], {"units": study.time_unit})}
        story = study.scenario.story
        return _pictures(ensemble, samples, rows, fields, title=title, story=story)

    return study.table("evolution", [ensemble.digest, simulation, list(fields)], read)


def compressed_fields(
    study: Study, simulation: int, time: int, *, targets=(20.0, 30.0, 50.0), fields=SHOWN
) -> xr.Dataset:
    """One sample raw, and compressed to about each of the payload ratios, by ``version``.

    No model is asked: every field may lose the same share of its spread in the sample, of four
    shares an octave the one that comes nearest to the ratio. A field without spread stays as it is.

    Returns
    -------
    Dataset
        The fields (version, y, x); ``ratio`` (version), of all six fields; ``loss`` (version,
        field), the mean error in standard deviations of the field.
    """
    ensemble = study.ensemble

    def compress() -> xr.Dataset:
        sample = ensemble.read(simulation, time)
        spread, like = sample.std(axis=(1, 2), dtype=np.float64), (sample[0].shape, sample.dtype)
        tried = {}
        for share in 2.0 ** np.arange(-12, 10, 0.25):
            codec = [zfp.Zfp(share * s) for s in spread]
            streams = [c.encode(field) for c, field in zip(codec, sample, strict=True)]
            tried[sample.nbytes / sum(map(len, streams))] = list(zip(codec, streams, strict=True))
        ratios = [min(tried, key=lambda r, t=t: abs(math.log(r / t))) for t in targets]
        decoded = [[c.decode(s, *like) for c, s in tried[ratio]] for ratio in ratios]
        versions = np.stack([sample, *decoded])
        loss = metrics.l1(versions, sample) / np.where(spread > 0, spread, 1)
        title = f"simulation {simulation} at {ensemble.times[time]:g} {study.time_unit}"
        rows = {"version": np.arange(len(versions))}
        table = _pictures(ensemble, versions, rows, fields, title=title)
        return table.assign(loss=(("version", "field"), loss)).assign_coords(
            field=list(ensemble.fields), ratio=("version", [1.0, *ratios])
        )

    key = [ensemble.digest, simulation, time, list(targets), list(fields)]
    return study.table("compressed_fields", key, compress)


def variability_study(study: Study) -> xr.Dataset:
    """Section III-A, Fig. 3: raw models that differ in the seed alone, judged on the test side."""
    models = raw_models(study)
    train_models(study, models, "train raw models")
    return evaluations(study, models, "variability")


def generation_loss(study: Study) -> xr.Dataset:
    """Section IV-A, Fig. 5: train again on the first raw model's output; does the error grow?

    Returns
    -------
    Dataset
        `evaluations` of the raw models and of the ``generated`` ones.
    """
    variability_study(study)
    raw = raw_models(study)
    source = study.folder(raw[0])
    generated = study.path / "generated" / source.name
    train_set = study.train_set
    rows = dict(zip(train_set.simulations, train_set.parameters.tolist(), strict=True))
    native.build(
        generated,
        train_set.header,
        {"model": source.name},
        rows,
        {s: functools.partial(_predict, source, train_set.select([s])) for s in rows},
        label="predict",
    )
    output = native.open(generated)
    models = [Model("generated", output, seed) for seed in study.config.generation_seeds]
    train_models(study, models, "train on a model's output")
    return evaluations(study, raw + models, "generation_loss")


def generation_errors(table: xr.Dataset) -> pd.DataFrame:
    """Tidy form of `generation_loss`: a row a model and test sample, columns ``model``, ``l1``."""
    names = {"raw": "trained on simulations", "generated": "trained on a model's output"}
    frame = table["normalised_l1"].to_dataframe().reset_index()
    return pd.DataFrame({"model": frame["kind"].map(names), "l1": frame["normalised_l1"]})


def _predict(source: Path, ensemble: Ensemble, path: Path) -> None:
    """Write what a model makes of the inputs of an ensemble's only simulation."""
    samples = training.predict(training.load(source), ensemble.inputs[0])
    row = ensemble.parameters[0].tolist()
    native.write_simulation(path, ensemble.header, ensemble.simulations[0], row, samples)


def mean_model_errors(study: Study) -> xr.DataArray:
    """Model error of every training sample and field, the mean over the raw models."""
    variability_study(study)
    return study.once("model errors", lambda: _mean_model_errors(study))


def _mean_model_errors(study: Study) -> xr.DataArray:
    paths = [study.folder(model) / TRAINING_ERRORS for model in raw_models(study)]
    return sum(xr.load_dataset(p, engine="h5netcdf")["model_error"] for p in paths) / len(paths)


def tolerance_search(study: Study) -> xr.Dataset:
    """Section IV-A, Algorithm 1, for every training sample and field; the streams are kept.

    Returns
    -------
    Dataset
        ``tolerance``, ``error``, ``max_error``, ``nbytes``, ``tries`` and ``model_error`` over
        (simulation, time, field), own units.
    """
    data = compressed(study, 1.0)

    def collect() -> xr.Dataset:
        table = compression.table(data).assign(model_error=mean_model_errors(study))
        return table.assign_attrs(raw_field_nbytes=4 * int(np.prod(data.grid.shape)))

    key = [data.digest, [study.folder(model).name for model in raw_models(study)]]
    return study.table("tolerance_search", key, collect)


def by_field(found: xr.Dataset) -> pd.DataFrame:
    """`tolerance_search` in a row a field: median tolerance, payload ratio, share of the bytes."""
    samples = ["simulation", "time"]
    nbytes = found["nbytes"].sum(samples)
    frame = xr.Dataset(
        {
            "median tolerance": found["tolerance"].median(samples),
            "ratio": found.attrs["raw_field_nbytes"] / found["nbytes"].mean(samples),
            "share of bytes": nbytes / nbytes.sum(),
            "encodes": found["tries"].mean(samples),
        }
    ).to_dataframe()
    return frame[["median tolerance", "ratio", "share of bytes", "encodes"]]


def thresholds(study: Study, simulation: int, time: int) -> xr.Dataset:
    """Fig. 4 for one training sample: compression error and ratio against the tolerance.

    Returns
    -------
    Dataset
        ``error`` and ``ratio`` (field, exponent) at the tolerances 2^exponent; the two thresholds
        ``roundoff`` (the rounding error of float32) and ``model_error`` (field).
    """
    sample = study.train_set.read(simulation, time)
    model_error = mean_model_errors(study).sel(simulation=simulation).isel(time=time).values

    def climb() -> xr.Dataset:
        roundoff = np.finfo(np.float32).eps * np.abs(sample).mean(axis=(1, 2), dtype=np.float64)
        low = math.floor(math.log2(roundoff[roundoff > 0].min()))
        high = math.ceil(math.log2(zfp.Zfp.expected_tolerance(model_error.max(), ndim=2))) + 4
        exponents = np.arange(low, high)
        found = [[search.measure(f, zfp.Zfp(2.0**k)) for k in exponents] for f in sample]
        axes = ("field", "exponent")
        return xr.Dataset(
            {
                "error": (axes, [[f.error for f in row] for row in found]),
                "ratio": (axes, [[sample[0].nbytes / f.nbytes for f in row] for row in found]),
                "roundoff": ("field", roundoff),
                "model_error": ("field", model_error),
            },
            {"field": list(study.ensemble.fields), "exponent": exponents},
        )

    key = [study.train_set.digest, simulation, time, model_error.tolist()]
    return study.table("thresholds", key, climb)


def compressed(study: Study, level: float) -> Ensemble:
    """The training side compressed at `level` times Algorithm 1's tolerances.

    At 1 search and storage are one pass; other levels reuse the tolerances that it found.
    """
    return study.once(f"compressed x{level:g}", lambda: _compressed(study, level))


def _compressed(study: Study, level: float) -> Ensemble:
    errors = mean_model_errors(study)
    key = hashlib.sha256(errors.values.tobytes()).hexdigest()[:8]
    path = study.path / "compressed" / f"x{level:g}-{key}"
    if level == 1.0:
        return compression.search_and_compress(study.train_set, errors, path)
    found = compression.table(compressed(study, 1.0))["tolerance"]
    return compression.compress(study.train_set, found * level, path)


def ratios(study: Study, level: float) -> compression.Ratios:
    """Payload and file ratio of a level."""
    return study.once(f"ratios x{level:g}", lambda: compression.ratios(compressed(study, level)))


def lossy_models(study: Study) -> list[Model]:
    """The models of every level, with the common seeds."""
    models = []
    for level in study.config.levels:
        data, ratio = compressed(study, level), ratios(study, level).payload
        models += [Model("lossy", data, seed, level, ratio) for seed in study.config.lossy_seeds]
    return models


def lossy_training(study: Study) -> xr.Dataset:
    """Section V, Figs. 6-10: models trained on compressed data beside the raw ones."""
    variability_study(study)
    models = lossy_models(study)
    train_models(study, models, "train lossy models")
    return evaluations(study, raw_models(study) + models, "lossy_training")


def curves(study: Study, table: xr.Dataset, simulation: int, name: str) -> xr.Dataset:
    """One test simulation of an evaluation, for Figs. 3 and 6; kept in ``<name>.nc``."""
    key = [table.attrs["key"], simulation]
    return study.table(name, key, lambda: table.sel(simulation=[simulation]))


def pictures(study: Study, simulation: int, time: int, fields=SHOWN) -> xr.Dataset:
    """Fig. 10: a test sample as simulated, and as one model of a level sees it; by ``model``."""
    models = [raw_models(study)[0]]
    models += [m for m in lossy_models(study) if m.seed == study.config.lossy_seeds[0]]
    test = study.test_set

    def predict() -> xr.Dataset:
        inputs = test.inputs[test.simulations.index(simulation), time]
        seen = [training.predict(training.load(study.folder(m)), inputs) for m in models]
        names = ["raw model" if m.kind == "raw" else f"{m.ratio:.1f}× model" for m in models]
        samples = np.stack([test.read(simulation, time), *seen])
        title = f"simulation {simulation} at {test.times[time]:g} {study.time_unit}"
        return _pictures(test, samples, {"model": ["simulation", *names]}, fields, title=title)

    key = [test.digest, simulation, time, list(fields), [study.folder(m).name for m in models]]
    return study.table("pictures", key, predict)


def _pictures(ensemble: Ensemble, samples, rows: dict, fields: Sequence[str], **told) -> xr.Dataset:
    """Samples ``(n, 6, ny, nx)`` as fields (row, y, x) with units, for a figure."""
    (row,), grid = rows, ensemble.grid
    variables = {
        name: ((row, "y", "x"), samples[:, ensemble.fields.index(name)], {"units": unit})
        for name, unit in ensemble.units.items()
        if name in fields
    }
    centres = {"y": grid.y_centres, "x": grid.x_centres}
    extents = {"x_extent": list(grid.x), "y_extent": list(grid.y)}
    return xr.Dataset(variables, {**rows, **centres}, {**told, **extents})


def verdicts(study: Study, table: xr.Dataset) -> dict[float, evaluation.Verdict]:
    """The verdict on each level of `lossy_training`'s table; kept in ``verdicts.nc``."""
    raw = evaluation.scores(table.isel(model=(table["kind"] == "raw").values))
    found, ratio = {}, []
    for level in study.config.levels:
        models = table.isel(model=(table["level"] == level).values)
        found[level] = evaluation.verdict(
            raw,
            evaluation.scores(models),
            better=evaluation.better(table),
            labels=evaluation.labels(table),
            margin=study.config.margin,
        )
        ratio.append(float(models["ratio"][0]))
    frames = pd.concat({level: verdict.table for level, verdict in found.items()}, names=["level"])
    told = {"margin": study.config.margin, "confidence": found[level].confidence}
    joined = frames.to_xarray().assign_coords(ratio=("level", ratio)).assign_attrs(told)
    study.table("verdicts", [table.attrs["key"], told], lambda: joined)
    return found


def rows(study: Study, verdicts: dict[float, evaluation.Verdict]) -> list[dict]:
    """The verdicts as ``summary.json`` keeps them: level, payload and file ratio, state, reason."""
    table = []
    for level, verdict in verdicts.items():
        row = {"level": level, **ratios(study, level)._asdict()}
        table.append(row | verdict.config())
    return table
