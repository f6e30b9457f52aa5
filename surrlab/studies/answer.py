"""What compression costs a model: train what the answer needs, judge it, say it in a sentence.

Section V of the paper trains every version; here a ladder of versions is tested in a fixed order,
and only what the answer needs is trained (`evaluation.ladder`). Everything is resumable: which
models come next follows from the verdicts alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.compression.version import Version
from surrlab.evaluation import ladder as ladders
from surrlab.evaluation.evaluate import (
    score_directions,
    score_labels,
    score_ranges,
    score_units,
    scores,
)
from surrlab.evaluation.ladder import Ladder
from surrlab.evaluation.variability import band_share
from surrlab.evaluation.verdict import Verdict, verdict
from surrlab.studies.experiments import compressed, ratios, version_at
from surrlab.studies.models import (
    Model,
    evaluation_path,
    evaluations,
    raw_models,
    train_models,
    training_minutes,
    training_times,
)
from surrlab.studies.results import Study

STEP = 4
"""Seeds between two looks of a study that goes on beyond its planned ones."""


def versions(study: Study) -> dict[str, Version]:
    """Return the versions of a study's ladder by name, from fine to coarse."""
    config = study.config
    made = [version_at(study, tolerance, "fixed") for tolerance in config.fixed]
    made += [version_at(study, factor) for factor in config.factors]
    return {version.name: version for version in made}


def make_ladder(study: Study) -> Ladder:
    """Return the plan of a study: versions, looks, seeds."""
    looks, most = study.config.looks, study.config.seeds_max
    further = tuple(sorted({*range(looks[-1] + STEP, most, STEP), most} - {0})) if most else ()
    further = tuple(look for look in further if look > looks[-1])
    last = (further or looks)[-1]
    return Ladder(tuple(versions(study)), looks, study.config.seeds(last), further)


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
        models = [m for name, seeds in missing for m in _models(study, known, name, seeds)]
        if not _affordable(study, models):
            if not found:
                raise ValueError(
                    f"{study.config.budget_minutes:g} minutes are too few: {_spent(study, models)}"
                )
            break
        for name, seeds in missing:
            trained[name] = (*trained.get(name, ()), *seeds)
        label = ", ".join(name for name, _ in missing)
        train_models(study, models, f"train {label}", _likely(study, known, trained))
        for name, _ in missing:
            if name != ladders.RAW:
                found[name] = _judge(study, known[name], trained)
    order = [ladders.RAW, *(name for name in known if name in trained)]
    models = [m for name in order for m in _models(study, known, name, trained[name])]
    return evaluations(study, models, "lossy_training"), {n: found[n] for n in known if n in found}


def _likely(
    study: Study, known: Mapping[str, Version], trained: Mapping[str, Sequence[int]]
) -> Iterator[Model]:
    """Models of the next versions' first look, which come next if the last one passes."""
    for name, version in known.items():
        if name not in trained:
            for model in lossy_models(study, version, study.config.seeds(study.config.looks[0])):
                if not evaluation_path(study, model).exists():
                    yield model


def _affordable(study: Study, models: Sequence[Model]) -> bool:
    """Whether some models fit into what is left of the study's minutes; stored ones always do."""
    budget, needed = study.config.budget_minutes, training_minutes(study, models)
    return not (budget and needed) or training_times(study)["seconds"] / 60 + needed <= budget


def _spent(study: Study, models: Sequence[Model]) -> str:
    spent, needed = training_times(study)["seconds"] / 60, training_minutes(study, models)
    return f"training took {spent:.1f} so far, and the next look needs about {needed:.1f} more"


def _models(
    study: Study, known: Mapping[str, Version], name: str, seeds: Sequence[int]
) -> list[Model]:
    if name == ladders.RAW:
        return raw_models(study, seeds)
    return lossy_models(study, known[name], seeds)


def _judge(study: Study, version: Version, trained: Mapping[str, Sequence[int]]) -> Verdict:
    """Return the verdict on a version with the models that it has."""
    seeds = trained[version.name]
    name = f"judged/{version.folder}-{len(seeds)}"  # a table for each look: none is made again
    raw = evaluations(study, raw_models(study, seeds), f"{name}-raw")
    lossy = evaluations(study, lossy_models(study, version, seeds), name)
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
    known, plan = versions(study), make_ladder(study)

    def join() -> xr.Dataset:
        tables = {name: one.table for name, one in found.items()}
        joined = pd.concat(tables, names=["version"], sort=False).to_xarray()
        joined = joined.reindex(version=list(found), score=list(next(iter(tables.values())).index))
        first = joined.isel(version=0, drop=True)
        joined = joined.assign({name: first[name] for name in ("label", "unit", "margin", "worse")})
        each = [known[name] for name in found]
        columns = {
            "verdict": [one.state for one in found.values()],
            "reason": [
                ladders.noticed_because(v, plan.given_up(n, found))[1] for n, v in found.items()
            ],
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
    result = ladders.answer(
        make_ladder(study), found, measured, _going_on(study, evaluation, found)
    )
    chosen = result["version"]
    result["tolerance_factor"] = known[chosen].factor if chosen else None
    for row in result["rows"]:
        row["tolerance_factor"] = known[row["version"]].factor
    return result


def _going_on(study: Study, evaluation: xr.Dataset, found: Mapping[str, Verdict]) -> str:
    """Return the command that goes on where this study ended, and its minutes; "" if none can."""
    trained = {name: tuple(one.seeds) for name, one in found.items()}
    raw = evaluation["version"].values == ladders.RAW
    trained[ladders.RAW] = tuple(evaluation["seed"].values[raw].tolist())
    known, more = versions(study), ""
    missing = ladders.plan(make_ladder(study), found, trained)
    if not missing:  # else the minutes ended the study, not the looks
        last = make_ladder(study).stages[-1] + STEP
        more = f" --seeds-max {last}"
        further = replace(study, config=replace(study.config, seeds_max=last))
        missing = ladders.plan(make_ladder(further), found, trained)
    if not missing:
        return ""
    models = [m for name, seeds in missing for m in _models(study, known, name, seeds)]
    minutes = math.ceil(training_minutes(study, models))
    if study.config.budget_minutes:
        more += f" --budget-minutes {math.ceil(training_times(study)['seconds'] / 60) + minutes}"
    return f"{study.command}{more} (about {minutes} minute{'s' * (minutes != 1)})"


def generation_verdict(study: Study, table: xr.Dataset) -> Verdict:
    """Return the verdict on students of another model's output; ValueError for a single one."""
    kind = table["kind"].values
    students = table.isel(model=kind == "generated")
    return judge(study, table.isel(model=kind == "raw"), students)
