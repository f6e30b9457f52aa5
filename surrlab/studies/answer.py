"""What compression costs a model: train what the answer needs, judge it, say it in a sentence.

Section V of the paper trains every version; here a ladder of versions is tested in a fixed order,
and only what the answer needs is trained (`evaluation.ladder`). Everything is resumable: which
models come next follows from the verdicts alone.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from surrlab._files import SEAL, seal, write_json
from surrlab.compression.compress import table as compression_table
from surrlab.compression.version import Version
from surrlab.data.native import open_native
from surrlab.evaluation import ladder as ladders
from surrlab.evaluation.evaluate import (
    score_directions,
    score_labels,
    score_ranges,
    score_units,
    scores,
)
from surrlab.evaluation.ladder import Ladder
from surrlab.evaluation.variability import LOOKS, band_share
from surrlab.evaluation.verdict import Verdict, verdict
from surrlab.studies.experiments import compressed, ratios
from surrlab.studies.models import Model, evaluations, raw_models, train_models
from surrlab.studies.results import Study, read_table

STEP = 4
"""Seeds between two looks of a study that goes on beyond its planned ones."""


def versions(study: Study) -> dict[str, Version]:
    """Return the versions of a study's ladder by name, from fine to coarse."""
    config = study.config
    made = [Version(config.codec, config.rule, factor) for factor in config.factors]
    return {version.name: version for version in made}


def make_ladder(study: Study) -> Ladder:
    """Return the plan of a study: versions, looks, seeds."""
    looks, most = study.config.looks, study.config.seeds_max
    further = tuple(sorted({*range(looks[-1] + STEP, most, STEP), most} - {0})) if most else ()
    further = tuple(look for look in further if look > looks[-1])
    last = (further or looks)[-1]
    return Ladder(tuple(versions(study)), looks, tuple(range(last)), further)


def lossy_models(study: Study, version: Version, seeds: Iterable[int]) -> list[Model]:
    """Return the models that learn from a version."""
    data, ratio = compressed(study, version), ratios(study, version).payload
    return [Model("lossy", data, seed, version, ratio) for seed in seeds]


def lossy_training(study: Study) -> tuple[xr.Dataset, dict[str, Verdict]]:
    """Train raw and lossy models until the answer can be given (Section V, Figs. 6-10).

    Returns
    -------
    evaluation : Dataset
        `evaluate` of all models, along ``model``.
    verdicts : dict of str to Verdict
        The last verdict on each version that was trained, by its name.
    """
    plan, known = make_ladder(study), versions(study)
    trained: dict[str, tuple[int, ...]] = {ladders.RAW: study.config.raw_seeds}
    found: dict[str, Verdict] = {}
    while missing := ladders.plan(plan, found, trained):
        for name, seeds in missing:
            trained[name] = (*trained.get(name, ()), *seeds)
        models = [m for name, seeds in missing for m in _models(study, known, name, seeds)]
        label = ", ".join(name for name, _ in missing)
        train_models(study, models, f"train {label}")
        for name, _ in missing:
            if name != ladders.RAW:
                found[name] = _judge(study, known[name], trained)
    order = [ladders.RAW, *(name for name in known if name in trained)]
    models = [m for name in order for m in _models(study, known, name, trained[name])]
    return evaluations(study, models, "lossy_training"), {n: found[n] for n in known if n in found}


def _models(
    study: Study, known: Mapping[str, Version], name: str, seeds: Sequence[int]
) -> list[Model]:
    if name == ladders.RAW:
        return raw_models(study, seeds)
    return lossy_models(study, known[name], seeds)


def _judge(study: Study, version: Version, trained: Mapping[str, Sequence[int]]) -> Verdict:
    """Return the verdict on a version with the models that it has."""
    seeds = trained[version.name]
    raw = evaluations(study, raw_models(study, seeds), f"judged/{version.folder}-raw")
    lossy = evaluations(study, lossy_models(study, version, seeds), f"judged/{version.folder}")
    return judge(study, raw, lossy)


def judge(study: Study, raw: xr.Dataset, lossy: xr.Dataset) -> Verdict:
    """Return the verdict on evaluated models, with the study's margins and looks."""
    return verdict(
        **scored(raw, lossy), margins=dict(study.config.margins), looks=study.config.looks
    )


def scored(raw: xr.Dataset, lossy: xr.Dataset) -> dict[str, Any]:
    """Return scores of evaluated models, and what `verdict` has to know of them."""
    return {
        "raw": scores(raw),
        "lossy": scores(lossy),
        "better": score_directions(raw),
        "labels": score_labels(raw),
        "units": score_units(raw),
        "ranges": score_ranges(raw),
    }


def verdict_table(study: Study, evaluation: xr.Dataset, found: Mapping[str, Verdict]) -> xr.Dataset:
    """Return the verdicts over (version, score), for the figures; kept in ``verdicts.nc``.

    Returns
    -------
    Dataset
        ``shift``, ``low``, ``high``, ``bound`` and ``state`` (version, score); ``label``, ``unit``
        and ``margin`` (score); ``verdict``, ``reason`` and ``n_seeds`` (version); and the paper's
        criterion: ``inside``, the share of points inside the raw models' ±2σ band,
        ``inside_by_chance``, that of another raw model, and ``criterion``, in words.
    """
    known = versions(study)

    def join() -> xr.Dataset:
        tables = {name: one.table for name, one in found.items()}
        joined = pd.concat(tables, names=["version"], sort=False).to_xarray()
        joined = joined.reindex(version=list(found), score=list(next(iter(tables.values())).index))
        first = joined.isel(version=0, drop=True)
        joined = joined.assign({name: first[name] for name in ("label", "unit", "margin", "worse")})
        each = [known[name] for name in found]
        columns = {
            "verdict": [one.state for one in found.values()],
            "reason": [one.reason for one in found.values()],
            "n_seeds": [len(one.seeds) for one in found.values()],
            **_criterion(evaluation, found),
        }
        coords = {
            "codec": [version.codec for version in each],
            "rule": [version.rule for version in each],
            "factor": [version.factor for version in each],
            "ratio": [ratios(study, version).payload for version in each],
            "ratio_file": [ratios(study, version).file for version in each],
        }
        return (
            joined.assign({name: ("version", values) for name, values in columns.items()})
            .assign_coords({name: ("version", values) for name, values in coords.items()})
            .assign_attrs(confidence=next(iter(found.values())).confidence)
        )

    made_from = {key: evaluation.attrs[key] for key in ("ensemble_digest", "test_digest", "models")}
    made_from |= {"margins": dict(study.config.margins), "looks": list(study.config.looks)}
    return study.results.table("verdicts", made_from, join)


def _criterion(evaluation: xr.Dataset, found: Mapping[str, Verdict]) -> dict[str, list]:
    """The paper's criterion on the momentum of Fig. 3, for each version."""
    quantity = evaluation.attrs.get("momentum")
    version, seed = evaluation["version"].values, evaluation["seed"].values
    columns: dict[str, list] = {"inside": [], "inside_by_chance": [], "criterion": []}
    for name, one in found.items():
        share = None
        if quantity is not None and len(one.seeds) > 2:
            curves = evaluation[quantity].values
            of = [
                curves[[int(np.flatnonzero((version == v) & (seed == s))[0]) for s in one.seeds]]
                for v in (ladders.RAW, name)
            ]
            share = band_share(*of)
        columns["inside"].append(np.nan if share is None else float(share.lossy.mean()))
        columns["inside_by_chance"].append(np.nan if share is None else float(share.raw.mean()))
        columns["criterion"].append("" if share is None else share.reason)
    return columns


def answer(study: Study) -> dict[str, Any]:
    """Return the answer of a study: one sentence, one number, and a row per version.

    Returns
    -------
    dict
        As JSON: ``sentence``, ``ratio_payload``, ``ratio_file``, ``tolerance_factor``, ``bounds``,
        ``state`` and ``rows`` (`evaluation.ladder.answer`).
    """
    evaluation, found = lossy_training(study)
    verdict_table(study, evaluation, found)
    known = versions(study)
    measured = {name: ratios(study, known[name]) for name in found}
    result = ladders.answer(make_ladder(study), found, measured, _going_on(study))
    chosen = result.pop("version")
    result["tolerance_factor"] = known[chosen].factor if chosen else None
    for row in result["rows"]:
        row["tolerance_factor"] = known[row["version"]].factor
    return result


def _going_on(study: Study) -> str:
    """Return the command that trains more seeds."""
    last = make_ladder(study).seeds[-1] + 1
    return f"{study.command} --seeds-max {last + STEP}"


def generation_verdict(study: Study, table: xr.Dataset) -> Verdict:
    """Return the verdict on students of another model's output; ValueError for a single one."""
    kind = table["kind"].values
    students = table.isel(model=kind == "generated")
    return judge(study, table.isel(model=kind == "raw"), students)


# ---------------------------------------------------------------------------------- certificate

CERTIFICATE = "certificate.json"
_SOFTWARE = ("surrlab", "numpy", "torch", "h5py", "hdf5plugin", "zfpy", "xarray")


def certify(study: Study, answer: dict[str, Any]) -> dict[str, Any]:
    """Write ``certificate.json`` of a study's answer, and return it.

    It holds digests of the ensembles and of the compressed data, network and training, the
    verdicts with their bounds, seeds and looks, the tolerances by field, and software versions.
    """
    body: dict[str, Any] = {
        "sentence": answer["sentence"],
        "state": answer["state"],
        "ensemble": {"digest": study.ensemble.digest, "name": study.ensemble.benchmark},
        "training_simulations": list(study.train_set.simulations),
        "test_digest": study.test_set.digest,
        "training": _training(study),
        "margins": dict(study.config.margins),
        "looks": list(study.config.looks),
        "versions": answer["rows"],
        "recommended": _recommended(study, answer),
        "software": {name: _installed(name) for name in _SOFTWARE},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }
    write_json(study.path / CERTIFICATE, body)
    return {**body, SEAL: seal(body)}


def _training(study: Study) -> dict[str, Any]:
    train = study.config.train
    if study.config.trainer:
        return {"trainer": study.config.trainer, "layout": study.config.trainer_layout}
    return {
        "network": train.network.config(),
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "learning_rate": train.learning_rate,
        "schedule": train.schedule,
    }


def _recommended(study: Study, answer: dict[str, Any]) -> dict[str, Any] | None:
    """What is recommended: version, ratios, bounds, and the tolerances of its fields."""
    factor = answer["tolerance_factor"]
    if factor is None:
        return None
    chosen = next(v for v in versions(study).values() if v.factor == factor)
    data = compressed(study, chosen)
    tolerance = compression_table(data)["tolerance"]
    ends = {
        str(name): [float(of.min()), float(of.max())]
        for name, of in zip(
            tolerance["field"].values, tolerance.transpose("field", ...), strict=True
        )
    }
    return {
        **chosen.config(),
        "folder": str(Path(data.name).resolve().relative_to(study.path.resolve())),
        "digest": data.digest,
        "ratio_payload": answer["ratio_payload"],
        "ratio_file": answer["ratio_file"],
        "bounds": answer["bounds"],
        "tolerances": ends,
    }


def verify_certificate(path: Path) -> list[str]:
    """Return what is wrong with a certificate; nothing if all of it holds.

    Checked are its own hash; the compressed data's digest and the checksums of their files; and the
    verdicts, computed again from the stored scores.

    Raises
    ------
    FileNotFoundError
        If there is no certificate.
    ValueError
        If it is none.
    """
    path = path / CERTIFICATE if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"there is no certificate {path}")
    try:
        certificate = json.loads(path.read_text())
        claimed = certificate.pop(SEAL)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no certificate: {error}") from error
    problems = []
    if claimed != seal(certificate):
        problems.append(f"{path}: its contents were changed after it was written")
    if recommended := certificate["recommended"]:
        problems += _check_data(path.parent / recommended["folder"], recommended["digest"])
    try:
        evaluation = read_table(path.parent / "lossy_training.nc")
    except OSError as error:
        return [*problems, str(error)]
    return problems + _check_verdicts(certificate, evaluation)


def _check_data(folder: Path, digest: str) -> list[str]:
    try:
        data = open_native(folder)
        data.verify()
    except (OSError, ValueError) as error:
        return [str(error)]
    return [] if data.digest == digest else [f"{folder} holds other data than those certified"]


def _check_verdicts(certificate: dict[str, Any], evaluation: xr.Dataset) -> list[str]:
    of, problems = evaluation["version"].values, []
    for row in certificate["versions"]:
        if row["version"] not in of:
            continue
        seeds = set(evaluation["seed"].values[of == row["version"]].tolist())
        raw = [
            kind == "raw" and int(seed) in seeds
            for kind, seed in zip(evaluation["kind"].values, evaluation["seed"].values, strict=True)
        ]
        found = verdict(
            **scored(evaluation.isel(model=raw), evaluation.isel(model=of == row["version"])),
            margins=certificate["margins"],
            looks=tuple(certificate["looks"] or LOOKS),
        )
        if (found.state, found.reason) != (row["state"], row["because"]):
            problems.append(
                f"{row['version']}: the stored scores say {found.state} ({found.reason}), the "
                f"certificate {row['state']} ({row['because']})"
            )
    return problems


def _installed(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "unknown"
