"""Tolerances of a whole ensemble: by which rule they are chosen, and the table of what was found.

A table lies over (sample, field), as an ensemble does; simulations may have different numbers of
samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import xarray as xr

from surrlab import _parallel
from surrlab.compression.codecs import Codec
from surrlab.compression.search import (
    EncodedField,
    find_sample_tolerance,
    measure,
    positive_scale,
)
from surrlab.compression.version import RULES
from surrlab.compression.zfp import Zfp
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import check_values

COLUMNS = {
    "tolerance": np.float64,
    "error": np.float64,
    "max_error": np.float64,
    "nbytes": np.int64,
    "n_encodes": np.int64,
}
"""What a table keeps of each (sample, field): a `search.EncodedField` without its stream."""


@dataclass(frozen=True)
class ToleranceSearch:
    """Encode all samples of one simulation by a rule; each search starts from the step before.

    Parameters
    ----------
    rule : {"field", "sample", "fixed"}
        Algorithm 1 with one tolerance per (sample, field); the paper's one per sample, on
        normalised fields; or tolerances that are given.
    scale : tuple of float
        What each field is divided by (``"sample"``), or the unit in which its tolerances are given
        (``"fixed"``): its standard deviation. ``"field"`` has ones.
    codec : type
        Makes a codec of a tolerance.
    """

    rule: str
    scale: tuple[float, ...]
    codec: type[Codec]

    @classmethod
    def of(
        cls, ensemble: Ensemble, rule: str, scale: Sequence[float] | None, codec: type[Codec]
    ) -> ToleranceSearch:
        """Check that rule and scale go together, and with the ensemble."""
        if rule not in RULES:
            raise ValueError(f"rule is one of {', '.join(RULES)}, not {rule!r}")
        if (rule == "field") != (scale is None):
            raise ValueError(
                "rules 'sample' and 'fixed' need the scale of each field, such as its standard "
                "deviation over the training data; rule 'field' takes none"
            )
        n = len(ensemble.fields)
        return cls(rule, (1.0,) * n if scale is None else positive_scale(scale, n), codec)

    def __call__(self, samples: np.ndarray, values: np.ndarray) -> list[list[EncodedField]]:
        """Encode samples (T, n_fields, *shape) by model errors or tolerances (T, n_fields).

        Returns
        -------
        list of list of EncodedField
            ``encoded[step][field]``.
        """
        n = samples.shape[1]
        scale = np.array(self.scale)
        if self.rule == "fixed":
            return [
                [self._within(field, bound) for field, bound in zip(sample, row, strict=True)]
                for sample, row in zip(samples, values * scale, strict=True)
            ]
        groups = [[i] for i in range(n)] if self.rule == "field" else [list(range(n))]
        slope = [0.0] * len(groups)  # tolerance per error, at the step before
        encoded: list[list[EncodedField]] = []
        for sample, row in zip(samples, values, strict=True):
            encoded.append([])
            for g, group in enumerate(groups):
                error = float(np.mean(row[group] / scale[group]))
                guess = slope[g] * error or None
                found = find_sample_tolerance(
                    sample[group], error, self.codec, scale=scale[group].tolist(), guess=guess
                )
                slope[g] = found.tolerance / found.error if found.error else 0.0
                encoded[-1] += found.fields
        return encoded

    def _within(self, field: np.ndarray, bound: float) -> EncodedField:
        encoded = measure(field, self.codec(bound) if bound else self.codec.lossless())
        if encoded.max_error > encoded.tolerance:  # finer than the codec can keep
            encoded = measure(field, self.codec.lossless())
        return encoded


def find_tolerances(
    ensemble: Ensemble,
    model_errors: xr.DataArray | float,
    *,
    rule: str = "field",
    scale: Sequence[float] | None = None,
    codec: type[Codec] = Zfp,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Search every sample of an ensemble, in parallel over simulations; store nothing.

    Parameters
    ----------
    ensemble : Ensemble
        The data.
    model_errors : DataArray (sample, field)
        The model's mean absolute errors, each in its field's unit; for ``rule="fixed"`` the
        tolerances in units of `scale`. See `broadcast_to_ensemble`.
    rule : {"field", "sample", "fixed"}
        As in `ToleranceSearch`. A sample's model error is the mean over fields of error / scale.
    scale : sequence of float
        For ``"sample"`` and ``"fixed"``: the standard deviation of each field, for example.
    codec : type
        Makes a codec of a tolerance.
    executor : concurrent.futures.Executor, optional
        Where the search runs; by default a pool of processes.

    Returns
    -------
    Dataset
        `COLUMNS` over (sample, field); tolerances and errors in the fields' own units.
    """
    search = ToleranceSearch.of(ensemble, rule, scale, codec)
    errors = broadcast_to_ensemble(model_errors, ensemble, "model error")
    jobs = [
        (_rows, (search, ensemble.select([simulation]), errors[ensemble.of(simulation)]))
        for simulation in ensemble.simulations
    ]
    rows = dict(_parallel.run(jobs, executor=executor, label="search"))
    return as_dataset(ensemble, rows)


def _rows(search: ToleranceSearch, ensemble: Ensemble, errors) -> tuple[int, np.ndarray]:
    (simulation,) = ensemble.simulations
    return simulation, as_rows(search(read_finite(ensemble, simulation), errors))


def read_finite(ensemble: Ensemble, simulation: int) -> np.ndarray:
    """One simulation's samples ``(T, n_fields, *shape)``; what stands for no value is refused.

    Raises
    ------
    ValueError
        Naming file, simulation, time and field.
    """
    samples = ensemble.read_simulation(simulation)
    files = ensemble.select([simulation]).files
    where = f"{files[0] if files else ensemble.name}: simulation {simulation}"
    check_values(samples, ensemble.field_names, where)
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
    values = np.concatenate([rows[simulation] for simulation in ensemble.simulations])
    return xr.Dataset(
        {
            name: (("sample", "field"), values[..., i].astype(kind))
            for i, (name, kind) in enumerate(COLUMNS.items())
        },
        ensemble.coords,
    )
