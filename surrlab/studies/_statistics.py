"""What is known of each field before training: its range, its scale, what is odd in it."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from surrlab.data.ensemble import Ensemble

FEW_CELLS = 100
"""Times that the range of a field may exceed that of nearly all its values before it is odd."""


def field_statistics(ensemble: Ensemble, train_set: Ensemble) -> xr.Dataset:
    """Return the table of `Study.field_statistics`."""
    from surrlab.training.surrogate import Normaliser

    low, high = np.full((2, len(ensemble.fields)), ((np.inf,), (-np.inf,)))
    bulk = [low, high]
    axes = (0, *range(2, 2 + ensemble.grid.ndim))
    first = ensemble.read(0)
    scored = np.zeros(len(ensemble.fields), bool)
    valid = True if ensemble.valid is None else ensemble.valid
    quantile = np.quantile if ensemble.valid is None else np.nanquantile  # masks are NaN
    for simulation in ensemble.simulations:
        samples = ensemble.read_simulation(simulation)
        low = np.fmin(low, np.fmin.reduce(samples, axes))
        high = np.fmax(high, np.fmax.reduce(samples, axes))
        scored |= (samples != first).any(axis=axes, where=valid)
        bulk[0] = np.minimum(bulk[0], quantile(samples, 0.0005, axes))
        bulk[1] = np.maximum(bulk[1], quantile(samples, 0.9995, axes))
    for name, *ends in zip(ensemble.field_names, low, high, *bulk, strict=True):
        if ends[1] - ends[0] > FEW_CELLS * (ends[3] - ends[2]) > 0:
            warnings.warn(
                "{}: field {} reaches from {:.4g} to {:.4g}, but 99.9 % of its values from "
                "{:.4g} to {:.4g}: PSNR and colours hang on a few cells; do they stand for no "
                "value?".format(ensemble.name, name, *ends),
                stacklevel=2,
            )
    scored &= [not field.static for field in ensemble.fields]
    if not scored.any():
        raise ValueError(f"{ensemble.name}: no field changes: there is nothing to learn")
    if not scored.all():
        left_out = [ensemble.fields[i].label for i in np.flatnonzero(~scored)]
        print(f"the same in all samples, and not scored: {', '.join(left_out)}")
    scale = Normaliser.fit(train_set).field_scale
    coords = {key: ensemble.coords[key] for key in ("field", "unit", "label")}
    columns = {"low": low, "high": high, "scale": np.array(scale), "scored": scored}
    return xr.Dataset({name: ("field", values) for name, values in columns.items()}, coords)
