"""Tables over the samples and fields of an ensemble: model errors, tolerances, what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from surrlab.data.ensemble import Ensemble

if TYPE_CHECKING:
    from surrlab.compression.search import EncodedField

COLUMNS = {
    "tolerance": np.float64,
    "error": np.float64,
    "max_error": np.float64,
    "nbytes": np.int64,
    "n_encodes": np.int64,
}
"""What a table keeps of each (sample, field): an `search.EncodedField` without its stream."""


def read_finite(ensemble: Ensemble, simulation: int) -> np.ndarray:
    """One simulation's samples ``(T, n_fields, *shape)``; NaN and Inf are refused by name.

    Raises
    ------
    ValueError
        Naming ensemble, simulation, field and the first step at fault.
    """
    samples = ensemble.read_simulation(simulation)
    for i, name in enumerate(ensemble.field_names):
        bad = ~np.isfinite(samples[:, i]).reshape(len(samples), -1)
        if bad.any():
            step = int(np.flatnonzero(bad.any(axis=1))[0])
            raise ValueError(
                f"{ensemble.name}: simulation {simulation}, step {step}, field {name} holds "
                f"{int(bad[step].sum())} values that are NaN or infinite"
            )
    return samples


def broadcast_to_ensemble(
    values: xr.DataArray | float, ensemble: Ensemble, what: str
) -> np.ndarray:
    """Labelled values as an array (n_samples, n_fields) in the ensemble's order.

    Parameters
    ----------
    values : DataArray or float
        Over some of ``sample`` (with coordinates ``simulation`` and ``step``), ``simulation`` and
        ``field``. A dimension that it lacks is repeated: a plain number is the same everywhere.
        There may be more samples and fields than the ensemble has.
    ensemble : Ensemble
        Whose samples and fields are asked for.
    what : str
        What an error calls the values.

    Raises
    ------
    KeyError
        If there is none for a sample or field of the ensemble.
    ValueError
        If dimensions have other names or no labels, or a value is negative or not finite.
    """
    values = xr.DataArray(values)
    samples = ensemble.samples
    labels = {"sample": ("simulation", "step"), "simulation": ("simulation",), "field": ("field",)}
    needed = {label for dim in values.dims for label in labels.get(str(dim), ("dimension",))}
    if not needed <= set(values.coords) or {"sample", "simulation"} <= set(values.dims):
        raise ValueError(
            f"{what}: dimensions must be labelled, and among sample (by simulation and step) or "
            f"simulation, and field; got {dict(values.sizes)} with labels on "
            f"{', '.join(map(str, values.coords)) or 'none'}"
        )
    wanted: dict[str, list] = {
        "sample": list(zip(samples.simulation.tolist(), samples.step.tolist(), strict=True)),
        "simulation": [(s,) for s in samples.simulation.tolist()],
        "field": [(name,) for name in ensemble.field_names],
    }
    array = values.values.astype(np.float64)
    for axis, dim in enumerate(map(str, values.dims)):
        given = zip(*(values[label].values.tolist() for label in labels[dim]), strict=True)
        place = {label: i for i, label in enumerate(given)}
        missing = [label for label in wanted[dim] if label not in place]
        if missing:
            name = ", ".join(f"{k} {v!r}" for k, v in zip(labels[dim], missing[0], strict=True))
            raise KeyError(f"{what}: none for {name} of {ensemble.name}")
        array = array.take([place[label] for label in wanted[dim]], axis)
    if "field" not in values.dims:
        array = array[..., None]
    elif values.dims[0] == "field" and array.ndim == 2:
        array = array.T
    array = np.broadcast_to(array, (len(samples), len(ensemble.fields))).copy()
    for sample, field in np.argwhere(~((array >= 0) & (array < math.inf))):
        raise ValueError(
            f"{what}: a finite number ≥ 0 is needed, not {array[sample, field]} (simulation "
            f"{samples.simulation[sample]}, step {samples.step[sample]}, field "
            f"{ensemble.field_names[field]})"
        )
    return array


def as_rows(encoded: Sequence[Sequence[EncodedField]]) -> np.ndarray:
    """`COLUMNS` of ``encoded[step][field]`` as an array (T, n_fields, n_columns)."""
    return np.array([[[getattr(f, c) for c in COLUMNS] for f in row] for row in encoded], float)


def as_dataset(ensemble: Ensemble, rows: Mapping[int, np.ndarray]) -> xr.Dataset:
    """Labelled table over (sample, field) of the `as_rows` of each simulation of an ensemble."""
    table = np.empty((len(ensemble.samples), len(ensemble.fields), len(COLUMNS)))
    for simulation in ensemble.simulations:
        table[ensemble.of(simulation)] = rows[simulation]
    return xr.Dataset(
        {
            name: (("sample", "field"), table[..., i].astype(kind))
            for i, (name, kind) in enumerate(COLUMNS.items())
        },
        ensemble.coords,
    )
