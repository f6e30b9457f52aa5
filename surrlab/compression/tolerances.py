"""Tolerances of a whole ensemble: by which rule they are chosen, and the table of what was found.

A table lies over (sample, field), as an ensemble does; simulations may have different numbers of
samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from surrlab import _parallel
from surrlab.compression.codecs import Codec, joined
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import (
    EncodedField,
    find_sample_tolerance,
    measure,
    positive_scale,
)
from surrlab.compression.version import RULES
from surrlab.data._masks import filled
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import check_values

Errors: TypeAlias = xr.DataArray | pd.DataFrame | pd.Series | float
"""Numbers by sample and field, as `broadcast_to_ensemble` takes them."""

Codecs: TypeAlias = type[Codec] | Mapping[str, type[Codec]]
"""One codec for all fields, or one for each by its name."""

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
    codecs : tuple of type
        Each makes a codec of a tolerance, for one field.
    names : tuple of str
        Of the fields, for messages.
    valid : bool array (n_fields, *shape), optional
        Cells whose errors count; by default all.
    """

    rule: str
    scale: tuple[float, ...]
    codecs: tuple[type[Codec], ...]
    names: tuple[str, ...]
    valid: np.ndarray | None = None

    @classmethod
    def of(
        cls, ensemble: Ensemble, rule: str, scale: Sequence[float] | None, codec: Codecs
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
        if not isinstance(codec, Mapping):
            codecs = (codec,) * n
        else:
            if missing := [name for name in ensemble.field_names if name not in codec]:
                raise ValueError(f"there is no codec for the field {missing[0]!r}")
            codecs = tuple(codec[name] for name in ensemble.field_names)
        if rule == "sample" and len(set(codecs)) > 1:
            raise ValueError(f"rule 'sample' takes one codec for all fields, not {joined(codecs)}")
        scale = (1.0,) * n if scale is None else positive_scale(scale, n)
        return cls(rule, scale, codecs, ensemble.field_names, ensemble.valid)

    def __call__(self, samples: np.ndarray, values: np.ndarray) -> list[list[EncodedField]]:
        """Encode samples (T, n_fields, *shape) by model errors or tolerances (T, n_fields).

        Returns
        -------
        list of list of EncodedField
            ``encoded[step][field]``.

        Raises
        ------
        ValueError
            If a codec refuses a field, which is named with its time step.
        """
        n, scale = samples.shape[1], np.array(self.scale)
        encoded: list[list[EncodedField]] = []
        if self.rule == "fixed":
            for step, (sample, row) in enumerate(zip(samples, values * scale, strict=True)):
                encoded.append([])
                for i, name in enumerate(self.names):
                    kept = None if self.valid is None else self.valid[i]
                    with naming_refusals(f"time {step}, field {name}"):
                        encoded[-1].append(_within(sample[i], self.codecs[i], row[i], kept))
            return encoded
        groups = [[i] for i in range(n)] if self.rule == "field" else [list(range(n))]
        slope = [0.0] * len(groups)  # tolerance per error, at the step before
        for step, (sample, row) in enumerate(zip(samples, values, strict=True)):
            encoded.append([])
            for g, group in enumerate(groups):
                error = float(np.mean(row[group] / scale[group]))
                guess = slope[g] * error or None
                codec, part = self.codecs[group[0]], scale[group].tolist()
                kept = None if self.valid is None else self.valid[group]
                name = self.names[g] if self.rule == "field" else "of the sample"
                with naming_refusals(f"time {step}, field {name}"):
                    found = find_sample_tolerance(
                        sample[group], error, codec, scale=part, guess=guess, valid=kept
                    )
                slope[g] = found.tolerance / found.error if found.error else 0.0
                encoded[-1] += found.fields
        return encoded

    def holds(self, encoded: Sequence[EncodedField], values: np.ndarray) -> bool:
        """Whether a sample's mean errors are within the model errors (n_fields,) of its rule."""
        if self.rule == "fixed":
            return True
        errors = np.array([f.error for f in encoded])
        if self.rule == "field":
            return bool((errors <= values).all())
        return bool((errors / self.scale).mean() <= (values / self.scale).mean())


@contextmanager
def naming_refusals(where: str) -> Iterator[None]:
    """A ValueError within the block says where it arose."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _within(
    field: np.ndarray, codec: type[Codec], bound: float, valid: np.ndarray | None
) -> EncodedField:
    encoded = measure(field, codec(bound) if bound else codec.lossless(), valid)
    if encoded.max_error > encoded.tolerance:  # finer than the codec can keep
        encoded = measure(field, codec.lossless(), valid)
    return encoded


def find_tolerances(
    ensemble: Ensemble,
    model_errors: Errors,
    *,
    rule: str = "field",
    scale: Sequence[float] | None = None,
    codec: Codecs = Zfp,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Search every sample of an ensemble, in parallel over simulations; store nothing.

    Parameters
    ----------
    ensemble : Ensemble
        The data.
    model_errors : DataArray (sample, field), DataFrame, Series or float
        The model's mean absolute errors, each in its field's unit; for ``rule="fixed"`` the
        tolerances in units of `scale`. See `broadcast_to_ensemble`.
    rule : {"field", "sample", "fixed"}
        As in `ToleranceSearch`. A sample's model error is the mean over fields of error / scale.
    scale : sequence of float
        For ``"sample"`` and ``"fixed"``: the standard deviation of each field, for example.
    codec : type, or mapping of str to type
        Makes a codec of a tolerance; the same one for all fields, or one for each by name.
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
    samples = read_finite(ensemble, simulation)
    with naming_refusals(f"{ensemble.name}: simulation {simulation}"):
        return simulation, as_rows(search(samples, errors))


def read_finite(ensemble: Ensemble, simulation: int) -> np.ndarray:
    """One simulation's samples ``(T, n_fields, *shape)`` for a codec, with masks filled in.

    What else stands for no value is refused.

    Raises
    ------
    ValueError
        Naming file, simulation, time and field.
    """
    samples = ensemble.read_simulation(simulation)
    files = ensemble.select([simulation]).files
    where = f"{files[0] if files else ensemble.name}: simulation {simulation}"
    check_values(samples, ensemble.field_names, where, valid=ensemble.valid)
    return filled(samples, ensemble.valid)


def broadcast_to_ensemble(values: Errors, ensemble: Ensemble, what: str) -> np.ndarray:
    """Labelled values as an array (n_samples, n_fields) in the ensemble's order.

    Parameters
    ----------
    values : DataArray, DataFrame, Series or float
        Of pandas: as `from_frame` takes them. Else over some of ``sample`` (with coordinates
        ``simulation`` and ``step``), ``simulation`` and ``field``. A dimension that it lacks is
        repeated: a plain number is the same everywhere. There may be more samples and fields than
        the ensemble has.
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
    if isinstance(values, pd.DataFrame | pd.Series):
        values = from_frame(values, ensemble, what)
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


ROUNDING = 1e-3
"""Share of the shortest time between two samples by which a named time may be off."""


def from_frame(
    frame: pd.DataFrame | pd.Series, ensemble: Ensemble, what: str = "model error"
) -> xr.DataArray:
    """Label numbers of a pandas table by the samples and fields of an ensemble.

    Parameters
    ----------
    frame : DataFrame or Series
        Columns (or levels of the index) ``simulation``, and ``step`` or ``time`` if there is one
        row per sample; then one column per field. A Series may have a level ``field``; without one
        it holds for all fields; one without names is indexed by fields alone.
    ensemble : Ensemble
        Whose names and times they are; other simulations may be among them.
    what : str
        What an error calls the numbers.

    Returns
    -------
    DataArray
        Over (sample, field), (simulation, field) or (field).

    Raises
    ------
    ValueError
        If a column is none of these, a row appears twice, a number is none, or no sample is at
        a time, but for `ROUNDING`.
    """
    names = list(ensemble.field_names)
    if isinstance(frame, pd.Series):
        if frame.index.names in ([None], ["field"]):
            labels = [str(label) for label in frame.index]
            return xr.DataArray(frame.to_numpy(float), {"field": labels}, ("field",))
        if "field" in frame.index.names:
            frame = frame.unstack("field")
        else:
            frame = pd.DataFrame(dict.fromkeys(names, frame))
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    places = [name for name in ("simulation", "step", "time") if name in frame]
    if odd := [str(name) for name in frame if name not in places and name not in names]:
        raise ValueError(f"{what}: {ensemble.name} has no field {odd[0]!r}; it has {names}")
    if "simulation" not in places:
        raise ValueError(f"{what}: a column simulation is needed, not only {list(frame)}")
    numbers = frame.apply(pd.to_numeric, errors="coerce")
    if numbers.isna().any(axis=None):
        row, column = np.argwhere(numbers.isna().to_numpy())[0]
        value, name = frame.iat[row, column], frame.columns[column]
        value = repr(value) if isinstance(value, str) else value
        raise ValueError(f"{what}: {value} is no number (row {row}, column {name})")
    numbers = numbers[numbers["simulation"].isin(ensemble.simulations)]
    label = {"simulation": numbers["simulation"].to_numpy(np.int64)}
    dim = "simulation" if len(places) == 1 else "sample"
    if "step" in places:
        label["step"] = numbers["step"].to_numpy(np.int64)
    elif "time" in places:
        each = zip(label["simulation"], numbers["time"], strict=True)
        label["step"] = np.array([_step(ensemble, s, t, what) for s, t in each], np.int64)
    keys = list(zip(*label.values(), strict=True))
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        at = ", ".join(f"{name} {value}" for name, value in zip(label, twice, strict=True))
        raise ValueError(f"{what}: {at} appears twice")
    given = [name for name in names if name in numbers]
    coords = {name: (dim, values) for name, values in label.items()}
    return xr.DataArray(numbers[given].to_numpy(), {**coords, "field": given}, (dim, "field"))


def _step(ensemble: Ensemble, simulation: int, time: float, what: str) -> int:
    times = np.array(ensemble.run(simulation).times)
    step = int(np.abs(times - time).argmin())
    spacing = np.diff(times).min() if len(times) > 1 else abs(times[0])
    if abs(times[step] - time) > max(ROUNDING * spacing, 1e-6 * abs(time)):
        raise ValueError(
            f"{what}: simulation {simulation} of {ensemble.name} has no sample at time {time:g}; "
            f"the nearest is at {times[step]:g}"
        )
    return step


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
