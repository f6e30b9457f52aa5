"""Questions beside the answer: equal bytes, convergence, a proxy model (``surrlab study --extra``).

Each is a function that trains what it needs and keeps one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from surrlab._tables import write_table
from surrlab.compression.codecs import codecs_by_field
from surrlab.compression.tolerances import find_tolerances
from surrlab.data.ensemble import Ensemble
from surrlab.evaluation.evaluate import model_errors, scores
from surrlab.studies.answer import answer, lossy_models, versions
from surrlab.studies.experiments import codec_name, compressed
from surrlab.studies.models import (
    Model,
    evaluations,
    folder,
    mean_training_errors,
    raw_models,
    stored_model,
    train_models,
)
from surrlab.studies.results import Study

EPOCHS = (1 / 4, 1 / 2, 1, 2)
"""Parts of a study's epochs at which `convergence` looks."""

PROXY = 0.1
"""Share of the training simulations that a proxy learns from."""

PROBED = 8
"""Training simulations on which `convergence` and `proxy` search tolerances."""


def equal_bytes(study: Study, version: str) -> pd.DataFrame:
    """Compare a version with as many raw simulations as fit into its bytes on disk.

    Parameters
    ----------
    study : Study
        With lossy models of the version.
    version : str
        Name of one of its versions.

    Returns
    -------
    DataFrame
        A row for all raw data, the version, and the raw simulations of equal bytes: ``MB`` on
        disk, ``simulations``, and ``L1`` with its standard deviation over seeds, ``sigma``.
    """
    small = compressed(study, versions(study)[version])
    raw, seeds = study.train_set, study.config.seeds(study.config.looks[0])
    nbytes = np.cumsum([_disk(raw.select([s])) for s in raw.simulations])
    n = max(1, int(np.searchsorted(nbytes, _disk(small), "right")))
    few = raw.select(raw.simulations[:n])
    of = {
        "all raw data": raw_models(study, seeds),
        f"compressed ({version})": lossy_models(study, versions(study)[version], seeds),
        "raw simulations of equal bytes": [Model("fewer", few, seed) for seed in seeds],
    }
    data = (raw, small, few)
    rows: dict[str, tuple[float, ...]] = {}
    for (name, models), ensemble in zip(of.items(), data, strict=True):
        train_models(study, models, f"train on {name}")
        table = evaluations(study, models, f"extra/equal_bytes-{len(rows)}")
        l1 = scores(table)["l1"].groupby("seed").mean()
        rows[name] = (_disk(ensemble) / 1e6, len(ensemble.simulations), l1.mean(), l1.std())
    columns = ["MB", "simulations", "L1", "sigma"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("data")
    _, kept, fewer = table.index
    table.attrs["sentence"] = (
        f"In the {table['MB'][kept]:.3g} MB of {len(small.simulations)} compressed simulations "
        f"there is room for {n} raw one{'s' * (n > 1)}: models of them have "
        f"{table['L1'][fewer] / table['L1'][kept]:.2f} times the L1 error."
    )
    return table


def convergence(study: Study) -> pd.DataFrame:
    """How errors and Algorithm 1's ratio move with training: a better model bears less.

    Returns
    -------
    DataFrame
        A row for each number of epochs: the L1 errors ``training`` and ``test`` (standard
        deviations of the fields) and the payload ``ratio`` of Algorithm 1 on `PROBED` simulations;
        raw models of the seeds of the first look.
    """
    rows, scale = {}, study.field_statistics["scale"]
    for part in EPOCHS:
        epochs = max(1, round(part * study.config.train.epochs))
        train = replace(study.config.train, epochs=epochs)
        longer = replace(study, config=replace(study.config, train=train))
        models = raw_models(longer, study.config.seeds(study.config.looks[0]))
        train_models(longer, models, f"train for {epochs} epochs")
        errors = mean_training_errors(longer, models)
        table = evaluations(longer, models, f"extra/convergence-{epochs}")
        test = float(table["normalised_l1"].mean())
        rows[epochs] = (float((errors / scale).mean()), test, _ratio(study, errors))
    columns = ["training", "test", "ratio"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("epochs")
    own = max(1, round(study.config.train.epochs))
    last = table.index[-1]
    table.attrs["sentence"] = (
        f"At {own} epochs, the study's own, test L1 is {table['test'][own]:.3f} and training L1 "
        f"{table['training'][own]:.3f}; at {last} epochs test L1 is {table['test'][last]:.3f}, and "
        f"the ratio moves from {table['ratio'][own]:.1f}× to {table['ratio'][last]:.1f}×."
    )
    return table


def proxy(study: Study) -> pd.DataFrame:
    """Search with a model of a tenth of the simulations: is its ratio that of the full model?

    Returns
    -------
    DataFrame
        A row for the full models, the proxy on simulations that it learned from, and on the rest:
        the payload ``ratio`` of Algorithm 1, and ``model L1`` in standard deviations of the fields.
    """
    scale, raw = study.field_statistics["scale"], study.train_set
    seeds = study.config.seeds(study.config.looks[0])
    n = max(2, round(PROXY * len(raw.simulations)))
    part, rest = raw.select(raw.simulations[:n]), raw.select(raw.simulations[n:])
    models = [Model("raw", part, seed) for seed in seeds]
    train_models(study, models, "train proxies")

    def on(ensemble: Ensemble) -> xr.DataArray:
        some = ensemble.select(ensemble.simulations[:PROBED])
        trained = [stored_model(folder(study, m), some, "training") for m in models]
        found = [model_errors(model, some) for model in trained]
        errors = [one["model_error"] for one in found]
        return sum(errors[1:], errors[0]) / len(errors)

    full = raw_models(study, seeds)
    train_models(study, full, "train raw models")
    cases: dict[str, Callable[[], xr.DataArray]] = {
        "full models": lambda: mean_training_errors(study, full),
        "proxy, simulations it learned from": lambda: on(part),
        "proxy, other simulations": lambda: on(rest),
    }
    rows = {}
    for name, errors_of in cases.items():
        errors = errors_of()
        rows[name] = (_ratio(study, errors), float((errors / scale).mean()))
    columns = ["ratio", "model L1"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("search with")


def _disk(ensemble: Ensemble) -> int:
    """Bytes on disk, or of the fields where a layout does not know."""
    return ensemble.file_nbytes or ensemble.raw_nbytes


def _ratio(study: Study, errors: xr.DataArray) -> float:
    """Payload ratio of Algorithm 1 on some of the simulations that have model errors."""
    known = list(dict.fromkeys(errors["simulation"].values.tolist()))[:PROBED]
    some = study.train_set.select(known)
    chosen = errors.isel(sample=np.isin(errors["simulation"].values, known))
    codec = codecs_by_field(codec_name(study), some.field_names)
    found = find_tolerances(some, chosen, codec=codec, executor=study.executor)
    return some.raw_nbytes / int(found["nbytes"].sum())


EXTRAS: dict[str, Callable[..., pd.DataFrame]] = {
    "equal-bytes": equal_bytes,
    "convergence": convergence,
    "proxy": proxy,
}
"""What ``surrlab study --extra`` knows."""

DRAWN = ("equal-bytes", "convergence")
"""Extras that have a figure."""


def extra(study: Study, name: str) -> pd.DataFrame:
    """Run one of `EXTRAS`, keep its table, figure and numbers in the summary, and return it.

    Equal bytes are those of the recommended version, or of the finest where none is.
    """
    if name == "equal-bytes":
        chosen = answer(study)["version"] or next(iter(versions(study)))
        table = equal_bytes(study, chosen)
    else:
        table = EXTRAS[name](study)
    study.results.summarise(f"extra {name}", table.reset_index().to_dict("records"))
    stem = name.replace("-", "_")
    write_table(study.path / f"extra_{stem}.nc", table.to_xarray().assign_attrs(table.attrs))
    if name in DRAWN:
        study.figure(stem)
    return table
