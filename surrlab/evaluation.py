"""Judge a trained model: against the truth sample by sample, and as one score a quality.

`evaluate` gives the tables behind Figs. 3 and 5-9, `scores` the numbers that a verdict compares,
`model_errors` the bound that Algorithm 1 respects.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from surrlab import ensembles, metrics, training
from surrlab.ensembles import Ensemble

BETTER = {
    "l1": "lower",
    "psnr_density": "higher",
    "psnr_velocity_x": "higher",
    "psnr_velocity_y": "higher",
    "psnr_pressure": "higher",
    "psnr_energy": "higher",
    "psnr_material": "higher",
    "mass": "lower",
    "momentum_x": "lower",
    "momentum_y": "lower",
    "thickness_correlation": "higher",
}
"""The scores that a verdict compares, and which way is better; see `scores`."""


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
        ``l1`` and ``psnr`` (simulation, time, field), ``normalised_l1``, ``mass``, ``momentum_x``,
        ``momentum_y``, ``thickness`` (simulation, time), ``thickness_correlation`` (simulation),
        and the truth's own, ``truth_mass`` and so on.
    """
    surrogate.require(ensemble)
    peak = (statistics["high"] - statistics["low"]).values[:, None]
    scenario, grid = ensembles.scenario_of(ensemble), ensemble.grid
    rows = []
    for i, simulation in enumerate(ensemble.simulations):
        truth = ensemble.read(simulation)
        prediction = training.predict(surrogate, ensemble.inputs[i])
        light, heavy = scenario.densities(ensemble.parameters[i])
        row = {"l1": metrics.l1(prediction, truth)}
        row["psnr"] = metrics.psnr(prediction, truth, np.broadcast_to(peak.T, row["l1"].shape))
        row["normalised_l1"] = (row["l1"] / statistics["scale"].values).mean(axis=1)
        for prefix, samples in (("", prediction), ("truth_", truth)):
            density, velocity_x, velocity_y = (
                samples[:, ensemble.fields.index(name)]
                for name in ("density", "velocity_x", "velocity_y")
            )
            momentum = metrics.total_momentum(density, velocity_x, velocity_y, grid.cell_area)
            row[f"{prefix}mass"] = metrics.total_mass(density, grid.cell_area)
            row[f"{prefix}momentum_x"], row[f"{prefix}momentum_y"] = momentum
            row[f"{prefix}thickness"] = metrics.mixing_layer_thickness(
                density, light, heavy, grid.dy
            )
        curve = row["thickness"]
        flat = np.isfinite(curve).all() and np.ptp(curve) == 0  # a curve that follows nothing
        correlation = 0.0 if flat else metrics.correlation(curve, row["truth_thickness"])
        row["thickness_correlation"] = correlation
        rows.append(row)
    dims = ("simulation", "time", "field")
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    dataset = xr.Dataset(
        {name: (dims[: values.ndim], values) for name, values in columns.items()}, ensemble.coords
    )
    units = {"mass": "g/cm", "thickness": "cm"}
    units |= dict.fromkeys(("momentum_x", "momentum_y"), f"g/{scenario.time_unit}")
    for name, unit in units.items():
        dataset[name].attrs["units"] = dataset[f"truth_{name}"].attrs["units"] = unit
    return dataset


def scores(evaluation: xr.Dataset) -> pd.DataFrame:
    """One row a model, one column a score of `BETTER`, indexed by seed.

    ``l1`` is the mean over the test samples of the error in standard deviations of each field,
    ``psnr_*`` the median over the test samples, ``mass`` and ``momentum_*`` the mean absolute
    error of the total, ``thickness_correlation`` the median over the test simulations. Whatever is
    not a number stays so, for the verdict to refuse.
    """
    samples = ["simulation", "time"]
    columns = {"l1": evaluation["normalised_l1"].mean(samples, skipna=False)}
    for name in evaluation["field"].values:
        columns[f"psnr_{name}"] = evaluation["psnr"].sel(field=name).median(samples, skipna=False)
    for name in ("mass", "momentum_x", "momentum_y"):
        columns[name] = np.abs(evaluation[name] - evaluation[f"truth_{name}"]).mean(
            samples, skipna=False
        )
    columns["thickness_correlation"] = evaluation["thickness_correlation"].median(
        "simulation", skipna=False
    )
    frame = pd.DataFrame({name: column.values for name, column in columns.items()})
    return frame[list(BETTER)].set_index(pd.Index(evaluation["seed"].values, name="seed"))
