"""Compare a trained model with the truth: tables by sample, scores by model.

`evaluate` gives the tables behind Figs. 3 and 5-9, `scores` the numbers that a verdict compares,
`model_errors` the bound that Algorithm 1 respects. Predictions of any model can stand in for one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.data.ensemble import Ensemble
from surrlab.evaluation import metrics, quantities
from surrlab.evaluation.quantities import Quantity
from surrlab.training.surrogate import Surrogate, predict

VERSION = 5
"""Raised when a column of `evaluate` changes its meaning: tables made before are made again."""


def predicted(model: Surrogate | Ensemble, truth: Ensemble, simulation: int) -> np.ndarray:
    """Return what a model makes of one simulation, ``(T, n_fields, *grid.shape)``; masks are NaN.

    Raises
    ------
    ValueError
        If the model was made for other fields, inputs or another grid than those of `truth`.
    KeyError
        If predictions lack the simulation.
    """
    if isinstance(model, Ensemble):
        for what in ("field_names", "grid", "input_names"):
            if getattr(model, what) != getattr(truth, what):
                raise ValueError(f"{model.name} has other {what} than {truth.name}")
        if model.run(simulation) != truth.run(simulation):
            raise ValueError(
                f"simulation {simulation} has other parameters or times in {model.name} than in "
                f"{truth.name}"
            )
        samples = model.read_simulation(simulation)
    else:
        samples = predict(model, truth.inputs[np.array(truth.of(simulation))])
    return samples if truth.valid is None else np.where(truth.valid, samples, np.nan)


def _counted(ensemble: Ensemble) -> np.ndarray | bool:
    """Cells whose errors count, as `metrics` takes them."""
    return True if ensemble.valid is None else ensemble.valid


def model_errors(model: Surrogate | Ensemble, ensemble: Ensemble) -> xr.Dataset:
    """Return the model error of every sample and field (Section IV-A).

    Parameters
    ----------
    model : Surrogate or Ensemble
        A trained model, or predictions of the same samples.
    ensemble : Ensemble
        The truth.

    Returns
    -------
    Dataset
        ``model_error`` (sample, field): mean absolute error in the field's unit, the upper bound
        that Algorithm 1 respects.
    """
    if isinstance(model, Surrogate):
        model.require(ensemble)
    ndim, counted = ensemble.grid.ndim, _counted(ensemble)
    errors = [
        metrics.l1(predicted(model, ensemble, s), ensemble.read_simulation(s), ndim, counted)
        for s in ensemble.simulations
    ]
    return xr.Dataset(
        {"model_error": (("sample", "field"), np.concatenate(errors))}, ensemble.coords
    )


def evaluate(
    model: Surrogate | Ensemble,
    ensemble: Ensemble,
    statistics: xr.Dataset,
    followed: Mapping[str, Quantity] | None = None,
) -> xr.Dataset:
    """Compare a model with the truth on every sample of an ensemble.

    Parameters
    ----------
    model : Surrogate or Ensemble
        A trained model, or predictions of the same samples.
    ensemble : Ensemble
        The truth: the raw test side.
    statistics : Dataset
        ``low``, ``high`` and ``scale`` of each field, and perhaps ``scored``:
        `Study.field_statistics`. Fields that are not scored count in no mean, and have no PSNR
        (NaN); by default those that are one number everywhere.
    followed : mapping, optional
        Quantities by name; by default those of `quantities_of`.

    Returns
    -------
    Dataset
        ``l1`` and ``psnr`` (sample, field), ``normalised_l1`` (sample); each quantity (sample), and
        as ``truth_<name>`` the truth's own; of the benchmark's ``curve`` the correlation with the
        truth's in time, ``<curve>_correlation`` (test_simulation). A variable's ``long_name`` and
        ``units`` say what people read; the attributes ``curve`` and ``momentum`` name the
        quantities of Figs. 8 and 3; the coordinate ``scored`` (field) is that of `statistics`.
    """
    if isinstance(model, Surrogate):
        model.require(ensemble)
    followed = quantities.quantities_of(ensemble) if followed is None else followed
    benchmark, ndim = ensemble.metadata.get("benchmark", {}), ensemble.grid.ndim
    curve = benchmark.get("curve") if benchmark.get("curve") in followed else None
    spread = statistics["high"] - statistics["low"]
    scored = statistics.get("scored", spread > 0).values
    peak, counted = np.where(scored, spread, 1.0), _counted(ensemble)
    rows, correlations = [], []
    for simulation in ensemble.simulations:
        truth = ensemble.read_simulation(simulation)
        prediction = predicted(model, ensemble, simulation)
        row = {"l1": metrics.l1(prediction, truth, ndim, counted)}
        peaks = np.broadcast_to(peak, row["l1"].shape)
        psnr = metrics.psnr(prediction, truth, peaks, ndim, counted)
        row["psnr"] = np.where(scored, psnr, np.nan)
        row["normalised_l1"] = (row["l1"] / statistics["scale"].values)[:, scored].mean(axis=1)
        for prefix, samples in (("", prediction), ("truth_", truth)):
            measured = quantities.measure(followed, ensemble, simulation, samples)
            row |= {prefix + name: values for name, values in measured.items()}
        if curve:
            correlations.append(_correlation(row[curve], row[f"truth_{curve}"]))
        rows.append(row)
    dims = ("sample", "field")
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    attributes = _attributes(followed)
    table = xr.Dataset(
        {n: (dims[: values.ndim], values, attributes[n]) for n, values in columns.items()},
        ensemble.coords | {"scored": ("field", scored)},
        {key: benchmark[key] for key in ("curve", "momentum") if benchmark.get(key) in followed},
    )
    if curve:
        label = {"long_name": f"correlation of {followed[curve].label}", "units": "1"}
        table[f"{curve}_correlation"] = ("test_simulation", np.array(correlations), label)
        table = table.assign_coords(test_simulation=list(ensemble.simulations))
    return table


def _correlation(curve: np.ndarray, truth: np.ndarray) -> float:
    """Correlation of two curves in time; 0 for a prediction that never changes."""
    flat = np.isfinite(curve).all() and np.ptp(curve) == 0  # it follows nothing
    return 0.0 if flat else float(metrics.correlation(curve, truth))


def _attributes(followed: Mapping[str, Quantity]) -> dict[str, dict[str, str]]:
    """Label and unit of every variable over samples that `evaluate` makes."""
    labels = {
        "l1": ("L1 error", "unit of the field"),
        "psnr": ("PSNR", "dB"),
        "normalised_l1": ("L1 error", "standard deviations of the fields"),
    }
    for name, quantity in followed.items():
        labels[name] = (quantity.label, quantity.unit)
        labels[f"truth_{name}"] = (f"true {quantity.label}", quantity.unit)
    return {name: {"long_name": label, "units": unit} for name, (label, unit) in labels.items()}


# --------------------------------------------------------------------------------------- scores


def score_directions(evaluation: xr.Dataset) -> dict[str, str]:
    """Return the scores that a verdict compares, and whether higher or lower is better."""
    directions = {"l1": "lower"}
    directions |= {f"psnr_{name}": "higher" for name in _scored(evaluation)}
    directions |= dict.fromkeys(_totals(evaluation), "lower")
    if curve := _scored_curve(evaluation):
        directions[f"{curve}_correlation"] = "higher"
    return directions


def score_labels(evaluation: xr.Dataset) -> dict[str, str]:
    """Return what people read for each score of `score_directions`."""
    of = {"l1": evaluation["normalised_l1"].attrs["long_name"]}
    of |= {f"psnr_{n}": f"PSNR of {label}" for n, (_, label) in _scored(evaluation).items()}
    of |= {n: f"error of {evaluation[n].attrs['long_name']}" for n in _totals(evaluation)}
    if curve := _scored_curve(evaluation):
        of[f"{curve}_correlation"] = evaluation[f"{curve}_correlation"].attrs["long_name"]
    return of


def score_units(evaluation: xr.Dataset) -> dict[str, str]:
    """Return the unit of each score that has one of its own: the quantities'."""
    return {name: evaluation[name].attrs["units"] for name in _totals(evaluation)}


def score_ranges(evaluation: xr.Dataset) -> dict[str, float]:
    """Return the range that each scored quantity covers in truth, in its unit.

    A quantity that does not vary (the sideways momentum of a symmetric flow is rounding alone) has
    no range: its errors are reported, not judged.
    """
    ranges = {}
    for name in _totals(evaluation):
        truth = evaluation[f"truth_{name}"]
        error = float(np.abs(evaluation[name] - truth).mean())
        if not (size := float(np.ptp(truth.values))) <= 1e-6 * error:  # also if that is NaN
            ranges[name] = size
    return ranges


def scores(evaluation: xr.Dataset) -> pd.DataFrame:
    """Return a row per model and test simulation, indexed by (seed, simulation).

    A score is the mean over the samples of a simulation: ``l1`` of the error in standard deviations
    of each field, ``psnr_*`` of the PSNR, a quantity's of its absolute error;
    ``<curve>_correlation`` is one number already. Whatever is not a number stays so, for the
    verdict to refuse. PSNR is relative to a field's range over the whole ensemble: of a field that
    is large at the start only, it says little later.
    """
    simulation = evaluation["simulation"].values
    order = list(dict.fromkeys(simulation.tolist()))
    columns = {"l1": evaluation["normalised_l1"].values}
    for name, (i, _) in _scored(evaluation).items():
        columns[f"psnr_{name}"] = evaluation["psnr"].transpose(..., "field").values[..., i]
    for name in _totals(evaluation):
        columns[name] = abs(evaluation[name] - evaluation[f"truth_{name}"]).values
    of_simulation = [simulation == s for s in order]
    means = {
        name: np.stack([values[:, of].mean(axis=1) for of in of_simulation], axis=1)
        for name, values in columns.items()
    }
    if curve := _scored_curve(evaluation):
        means[f"{curve}_correlation"] = evaluation[f"{curve}_correlation"].values
    rows = pd.MultiIndex.from_product(
        [evaluation["seed"].values.tolist(), order], names=["seed", "simulation"]
    )
    return pd.DataFrame({name: values.ravel() for name, values in means.items()}, rows)


def _scored(evaluation: xr.Dataset) -> dict[str, tuple[int, str]]:
    """Place and label of each field that is scored."""
    names, labels = (evaluation[name].values.tolist() for name in ("field", "label"))
    scored = evaluation.coords.get("scored", np.ones(len(names)))
    each = enumerate(zip(names, labels, np.asarray(scored), strict=True))
    return {name: (i, label) for i, (name, label, kept) in each if kept}


def _scored_curve(evaluation: xr.Dataset) -> str | None:
    """Return the curve if its truth moves in all test simulations: nothing follows a still one."""
    curve = evaluation.attrs.get("curve")
    return curve if curve and _moving(evaluation[f"truth_{curve}"]).all() else None


def _moving(curve: xr.DataArray) -> np.ndarray:
    """For each simulation whether its true curve changes at all."""
    simulation, values = curve["simulation"].values, curve.values
    order = dict.fromkeys(simulation.tolist())
    return np.array([np.ptp(values[..., simulation == s]) > 0 for s in order])


def _totals(evaluation: xr.Dataset) -> list[str]:
    """The quantities whose own error counts: all but the curve, which is judged by its course."""
    names = [str(name) for name in evaluation if f"truth_{name}" in evaluation]
    return [name for name in names if name != evaluation.attrs.get("curve")]
