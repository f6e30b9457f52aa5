"""Judge a trained model: against the truth sample by sample, and as one score a quality.

`evaluate` gives the tables behind Figs. 3 and 5-9, `scores` the numbers that a verdict compares,
`model_errors` the bound that Algorithm 1 respects.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from surrlab import training
from surrlab.data.native import Ensemble
from surrlab.evaluation import metrics
from surrlab.simulation.generate import scenario_of
from surrlab.simulation.scenario import LABELS

VERSION = 3
"""Raised when a column of `evaluate` changes its meaning: tables made before are made again."""


def model_errors(surrogate: training.Surrogate, ensemble: Ensemble) -> xr.Dataset:
    """Model error of every sample and field: ``model_error`` (simulation, time, field), own units.

    The mean absolute error of Section IV-A: the upper bound that Algorithm 1 respects.
    """
    surrogate.require(ensemble)
    errors = [
        metrics.l1(training.predict(surrogate, inputs), ensemble.read(simulation))
        for simulation, inputs in zip(ensemble.simulations, ensemble.inputs, strict=True)
    ]
    return xr.Dataset(
        {"model_error": (("simulation", "time", "field"), np.array(errors))}, ensemble.coords
    )


def evaluate(
    surrogate: training.Surrogate, ensemble: Ensemble, statistics: xr.Dataset
) -> xr.Dataset:
    """Compare a model with the truth on every sample of an ensemble.

    Parameters
    ----------
    surrogate : training.Surrogate
        The model.
    ensemble : Ensemble
        The truth: the raw test side.
    statistics : Dataset
        `Study.field_statistics`.

    Returns
    -------
    Dataset
        ``l1`` and ``psnr`` (simulation, time, field), ``normalised_l1`` (simulation, time); each
        quantity of the scenario in time, and as ``truth_<name>`` the truth's own; of its ``curve``
        the correlation with the truth's, ``<curve>_correlation`` (simulation). A variable's
        ``long_name`` and ``units`` say what people read; the attributes ``curve`` and ``momentum``
        name the quantities of Figs. 8 and 3.
    """
    surrogate.require(ensemble)
    peak = (statistics["high"] - statistics["low"]).values[:, None]
    scenario, grid = scenario_of(ensemble), ensemble.grid
    curve, rows = scenario.curve, []
    for i, simulation in enumerate(ensemble.simulations):
        truth = ensemble.read(simulation)
        prediction = training.predict(surrogate, ensemble.inputs[i])
        row = {"l1": metrics.l1(prediction, truth)}
        row["psnr"] = metrics.psnr(prediction, truth, np.broadcast_to(peak.T, row["l1"].shape))
        row["normalised_l1"] = (row["l1"] / statistics["scale"].values).mean(axis=1)
        for prefix, samples in (("", prediction), ("truth_", truth)):
            measured = scenario.measure(samples, ensemble.parameters[i], grid)
            row |= {prefix + name: measured[name] for name in scenario.quantities}
        flat = np.isfinite(row[curve]).all() and np.ptp(row[curve]) == 0  # it follows nothing
        correlation = 0.0 if flat else metrics.correlation(row[curve], row[f"truth_{curve}"])
        row[f"{curve}_correlation"] = correlation
        rows.append(row)
    dims = ("simulation", "time", "field")
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    attributes = _attributes(scenario)
    return xr.Dataset(
        {n: (dims[: values.ndim], values, attributes[n]) for n, values in columns.items()},
        ensemble.coords,
        {"curve": curve, "momentum": scenario.momentum},
    )


def _attributes(scenario) -> dict[str, dict[str, str]]:
    """Label and unit of every variable that `evaluate` makes."""
    told = {
        "l1": ("L1 error", "unit of the field"),
        "psnr": ("PSNR", "dB"),
        "normalised_l1": ("L1 error", "standard deviations of the fields"),
    }
    for name, quantity in scenario.quantities.items():
        told[name] = (quantity.label, quantity.unit)
        told[f"truth_{name}"] = (f"true {quantity.label}", quantity.unit)
    label = scenario.quantities[scenario.curve].label
    told[f"{scenario.curve}_correlation"] = (f"correlation of {label}", "1")
    return {name: {"long_name": label, "units": unit} for name, (label, unit) in told.items()}


def better(evaluation: xr.Dataset) -> dict[str, str]:
    """The scores that a verdict compares, in order, and whether higher or lower is better."""
    return {
        "l1": "lower",
        **{f"psnr_{name}": "higher" for name in evaluation["field"].values},
        **dict.fromkeys(_totals(evaluation), "lower"),
        f"{evaluation.attrs['curve']}_correlation": "higher",
    }


def labels(evaluation: xr.Dataset) -> dict[str, str]:
    """What people read for each score of `better`."""
    correlation = f"{evaluation.attrs['curve']}_correlation"
    return {
        "l1": evaluation["normalised_l1"].attrs["long_name"],
        **{f"psnr_{name}": f"PSNR of {LABELS[name]}" for name in evaluation["field"].values},
        **{n: f"error of {evaluation[n].attrs['long_name']}" for n in _totals(evaluation)},
        correlation: evaluation[correlation].attrs["long_name"],
    }


def scores(evaluation: xr.Dataset) -> pd.DataFrame:
    """One row a model, one column a score of `better`, indexed by seed.

    ``l1`` is the mean over the test samples of the error in standard deviations of each field,
    ``psnr_*`` the median over the test samples, a quantity's score the mean absolute error of the
    total, ``<curve>_correlation`` the median over the test simulations, but for those whose true
    curve never changes: nothing follows that. Whatever is not a number stays so, for the verdict to
    refuse. PSNR is relative to a field's range over the whole ensemble: of a field that is large at
    the start only, it says little later.
    """
    samples = ["simulation", "time"]
    columns = {"l1": evaluation["normalised_l1"].mean(samples, skipna=False)}
    for name in evaluation["field"].values:
        columns[f"psnr_{name}"] = evaluation["psnr"].sel(field=name).median(samples, skipna=False)
    for name in _totals(evaluation):
        error = np.abs(evaluation[name] - evaluation[f"truth_{name}"])
        columns[name] = error.mean(samples, skipna=False)
    curve = evaluation.attrs["curve"]
    true = evaluation[f"truth_{curve}"]
    others = [dim for dim in true.dims if dim != "simulation"]
    moving = (true != true.isel(time=0)).any(others).values
    followed = evaluation[f"{curve}_correlation"].isel(simulation=moving if moving.any() else [0])
    median = followed.median("simulation", skipna=False)
    columns[f"{curve}_correlation"] = median if moving.any() else median * np.nan
    frame = pd.DataFrame({name: columns[name].values for name in better(evaluation)})
    return frame.set_index(pd.Index(evaluation["seed"].values, name="seed"))


def _totals(evaluation: xr.Dataset) -> list[str]:
    """The quantities whose own error counts: all but the curve, which is judged by its course."""
    quantities = [name for name in evaluation if f"truth_{name}" in evaluation]
    return [name for name in quantities if name != evaluation.attrs["curve"]]
