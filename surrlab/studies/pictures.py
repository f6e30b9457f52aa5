"""Tables of pictures: fields of samples as simulated, compressed, and predicted by models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from surrlab.compression import search
from surrlab.compression.codecs import codecs_by_field
from surrlab.compression.version import RAW, Version
from surrlab.data._masks import blank, filled
from surrlab.data.ensemble import Ensemble
from surrlab.evaluation import metrics
from surrlab.evaluation.evaluate import predicted
from surrlab.studies._disk import MEMORY
from surrlab.studies.experiments import codec_name, compressed, mean_model_errors, ratios
from surrlab.studies.models import folder, raw_models, stored_model
from surrlab.studies.results import Study, read_table
from surrlab.training.networks import layers
from surrlab.training.surrogate import load

N_PICTURED = 3
"""Fields that pictures show where they show some."""


def pictured_fields(ensemble: Ensemble) -> tuple[str, ...]:
    """Return the fields that pictures show: density, pressure, energy, or the first ones."""
    known = [n for n in ("density", "pressure", "energy") if n in ensemble.field_names]
    return tuple(known or ensemble.field_names[:N_PICTURED])


def check_pictured(ensemble: Ensemble) -> None:
    """Refuse an ensemble of which no picture can be drawn.

    Raises
    ------
    ValueError
        If its grid has not two axes.
    """
    if ensemble.grid.ndim != 2:
        axes = ensemble.grid.names
        raise ValueError(
            f"{ensemble.name} lies on {len(axes)} ax{'es' if len(axes) > 1 else 'is'} "
            f"({', '.join(axes)}), and the notebooks of a study show pictures of two: "
            "studies.answer(surrlab.open_study(…)) does without, with a network that takes them"
        )


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
    ensemble, codec = study.ensemble, codec_name(study)
    codec_types = codecs_by_field(codec, ensemble.field_names).values()
    fields = list(fields or pictured_fields(ensemble))

    def encode() -> xr.Dataset:
        sample = filled(ensemble.read(ensemble.position(simulation, step)), ensemble.valid)
        axes = tuple(range(1, sample.ndim))
        counted = True if ensemble.valid is None else ensemble.valid
        spread = sample.std(axis=axes, dtype=np.float64, where=counted)
        like = (sample[0].shape, sample.dtype)
        tried = {}
        for share in 2.0 ** np.arange(-12, 10, 0.25):
            codecs = [
                codec_type(share * s) if s else codec_type.lossless()
                for codec_type, s in zip(codec_types, spread, strict=True)
            ]
            streams = [c.encode(field) for c, field in zip(codecs, sample, strict=True)]
            tried[sample.nbytes / sum(map(len, streams))] = list(zip(codecs, streams, strict=True))
        reached = np.array(list(tried))
        nearest = [int(np.abs(np.log(reached / target)).argmin()) for target in targets]
        ratios = [float(reached[i]) for i in nearest]
        decoded = [[c.decode(s, *like) for c, s in tried[ratio]] for ratio in ratios]
        versions = np.stack([sample, *decoded])
        loss = metrics.l1(versions, sample, ensemble.grid.ndim, counted)
        loss /= np.where(spread > 0, spread, 1)
        blank(versions, ensemble.valid)
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
        "codec": codec,
    }
    return study.results.table("compressed_fields", made_from, encode)


def thresholds(study: Study, simulation: int, step: int) -> xr.Dataset:
    """Fig. 4 for one training sample: compression error and ratio against the tolerance.

    Returns
    -------
    Dataset
        ``tolerance``, ``error`` and ``ratio`` (field, setting), from fine to coarse; the two
        thresholds ``roundoff`` (the rounding error of the stored type) and ``model_error`` (field).
    """
    train_set, codec = study.train_set, codec_name(study)
    codec_types = codecs_by_field(codec, train_set.field_names).values()
    position = train_set.position(simulation, step)
    model_error = mean_model_errors(study).isel(sample=position).values

    def sweep() -> xr.Dataset:
        sample = filled(train_set.read(position), train_set.valid)
        axes = tuple(range(1, sample.ndim))
        counted = np.ones(sample.shape, bool) if train_set.valid is None else train_set.valid
        size = np.abs(sample).mean(axis=axes, dtype=np.float64, where=counted)
        roundoff = np.finfo(sample.dtype).eps * size
        finest = float(roundoff[roundoff > 0].min())
        error, ndim = float(model_error.max()), train_set.grid.ndim
        coarsest = max(one.expected_tolerance(error, ndim) for one in codec_types)
        # Factors of two: every setting of zfp, and enough of any other codec.
        n = math.ceil(math.log2(coarsest)) + 4 - math.floor(math.log2(finest))
        bounds = 2.0 ** (math.floor(math.log2(finest)) + np.arange(n))
        each = zip(codec_types, sample, counted, strict=True)
        found = [[search.measure(f, kind(b), cells) for b in bounds] for kind, f, cells in each]
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
        "codec": codec,
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
    trained = read_table(study.path / "lossy_training.nc")  # 5_lossy_training makes it
    columns = (trained[name].values for name in ("version", "ratio", "folder"))
    chosen: dict[str, tuple[float, Path]] = {}
    for version, ratio, name in zip(*columns, strict=True):
        chosen.setdefault(str(version), (float(ratio), study.path / "models" / str(name)))

    def predict_all() -> xr.Dataset:
        position = test.position(simulation, step)
        models = [stored_model(path, test, "test") for _, path in chosen.values()]
        seen = [predicted(model, test, simulation)[step] for model in models]
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


def network_layers(study: Study) -> xr.Dataset:
    """The layers that learn of the first raw model (Fig. 1), in the order in which data flow.

    Returns
    -------
    Dataset
        ``kind``, ``shape`` (in words) and ``parameters`` (layer); attributes ``network`` and
        ``inputs``. Of a model that surrlab did not train nothing is known: no rows.
    """
    (model,) = raw_models(study, study.config.seeds(1))
    path = folder(study, model)

    def describe() -> xr.Dataset:
        rows, name = [], study.config.trainer
        if not name:
            loaded = load(path, trust=True)
            rows = layers(loaded.network, len(study.ensemble.input_names))
            name = str(study.config.train.network.name)
        rows = [row for row in rows if row["name"] and "Norm" not in row["kind"]]
        columns = {
            "kind": [row["kind"] for row in rows],
            "shape": [" × ".join(map(str, row["shape"])) for row in rows],
            "parameters": [row["parameters"] for row in rows],
        }
        table = xr.Dataset({key: ("layer", values) for key, values in columns.items()})
        return table.assign_attrs(network=name, inputs=json.dumps(study.ensemble.input_names))

    return study.results.table("network", {"model": path.name}, describe)


def pipeline(study: Study, version: Version) -> xr.Dataset:
    """What both workflows of Fig. 2 store and read: raw fields, and files of a version.

    Returns
    -------
    Dataset
        ``MB`` on disk, ``ratio_file`` and ``MB_s`` (workflow), the rate of batches from memory
        where notebook 6 has measured it; attribute ``version``.
    """
    small = compressed(study, version)
    nbytes = [small.raw_nbytes, small.file_nbytes or small.raw_nbytes]
    rates = study.path / "loading_rates.nc"
    made_from = {
        "ensemble_digest": study.ensemble.digest,
        "compressed_digest": small.digest,
        "rates": rates.exists(),
        "version": version.name,
    }

    def measure() -> xr.Dataset:
        speed = [np.nan, np.nan]
        if rates.exists():
            memory = read_table(rates)["rate"].sel(storage=MEMORY).median("round")
            speed = [
                float(memory.sel(version=name)) if name in memory["version"].values else np.nan
                for name in (RAW.name, version.name)
            ]
        columns = {"MB": [n / 1e6 for n in nbytes], "MB_s": speed}
        columns["ratio_file"] = [1.0, ratios(study, version).file]
        return xr.Dataset({key: ("workflow", values) for key, values in columns.items()})

    return study.results.table("pipeline", made_from, measure)
