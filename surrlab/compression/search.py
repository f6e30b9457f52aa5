"""Algorithm 1: the largest tolerance whose L1 error stays within the model's own (Section IV-B).

`find_tolerance` searches for one field, `find_sample_tolerance` for a sample with one tolerance
for all of its normalised fields (the paper's form), `find_tolerances` over an ensemble.
`compression.search_and_compress` runs the same search and stores the streams that it ends on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from surrlab import _parallel
from surrlab.compression import codecs, zfp
from surrlab.data import native
from surrlab.data.native import Ensemble

COLUMNS = ("tolerance", "error", "max_error", "nbytes", "tries")
"""What a table keeps of each (simulation, time, field): `Found` without its stream."""


@dataclass(frozen=True)
class Found:
    """What a search ended on, or what one encoding measured.

    Parameters
    ----------
    tolerance : float
        In the field's unit; 0 for lossless.
    error, max_error : float
        Mean and largest absolute error of the decoded field, in its unit.
    stream : bytes
        The encoded field.
    tries : int
        How often the field was encoded for it.
    """

    tolerance: float
    error: float
    max_error: float
    stream: bytes = field(repr=False)
    tries: int = 1

    @property
    def nbytes(self) -> int:
        """Length of the stream."""
        return len(self.stream)


@dataclass(frozen=True)
class FoundSample:
    """What a search for one tolerance of several fields ended on.

    Parameters
    ----------
    tolerance, error : float
        Of the normalised sample: a power of two (0: all fields lossless), and its L1 error.
    fields : tuple of Found
        Each field, in its own unit.
    tries : int
        How often the sample was encoded.
    """

    tolerance: float
    error: float
    fields: tuple[Found, ...]
    tries: int


def measure(field: np.ndarray, codec) -> Found:
    """Encode and decode a field once: its mean and largest absolute error, and the stream."""
    stream = codec.encode(field)
    error = np.subtract(codec.decode(stream, field.shape, field.dtype), field, dtype=np.float64)
    np.abs(error, out=error)
    return Found(codec.tolerance, float(error.mean()), float(error.max()), stream)


def find_tolerance(field, model_error: float, codec=zfp.Zfp, *, guess=None) -> Found:
    """Largest power of two t with mean |decoded - field| ≤ e and max |decoded - field| ≤ t.

    Algorithm 1 as printed starts at t = 4^d e / c(d), never halves, and doubles for as long as the
    error is below the model's error e: it returns the first tolerance that *fails*, and never ends
    on a field that the model predicts worse than a constant would. Here "t holds" and "2t fails"
    are both measured; the search goes both ways, and jumps, as the error about doubles with t.
    Where zeros would be good enough it ends at once: at the first guess, or where that is less at
    the tolerance from which zfp stores nothing of the field. Tolerances finer than the machine
    epsilon of the largest value, where zfp's bound fails, are not tried; a field that would need
    one, and every field for which e = 0, is kept lossless with tolerance 0.

    Parameters
    ----------
    field : array (ny, nx)
        One field, float32 or float64.
    model_error : float
        Mean absolute error e of the model on this field, in its unit.
    codec : type
        Makes a codec of a tolerance.
    guess : float, optional
        Tolerance to start from, such as the previous time step's. It changes `tries`, and the
        result only where the error does not grow with the tolerance.

    Raises
    ------
    TypeError, ValueError
        If the model error is negative or not finite, or the codec refuses the field (NaN, Inf).

    Examples
    --------
    >>> y, x = np.mgrid[0:1:48j, 0:1:16j]
    >>> found = find_tolerance(np.float32(np.sin(6 * x) * np.cos(5 * y)), model_error=0.01)
    >>> found.tolerance, found.error <= 0.01, found.max_error <= found.tolerance
    (0.125, True, True)
    """
    return _search([field], [1.0], model_error, codec, guess).fields[0]


def find_sample_tolerance(
    sample, model_error: float, codec=zfp.Zfp, *, scale: Sequence[float], guess=None
) -> FoundSample:
    """The paper's Algorithm 1 to the letter: one tolerance for all fields of a normalised sample.

    Fields in different units can share a tolerance only after division by a scale. The data stay
    in their own units: a normalised tolerance t means t · scale_f for field f, which is floored to
    a power of two. Found is the largest power of two t at which the mean over fields of
    (mean |decoded_f - field_f|) / scale_f is within `model_error` and every field within its bound.

    Parameters
    ----------
    sample : array (n_fields, ny, nx)
        One time step, in physical units.
    model_error : float
        The model's mean absolute error on the normalised sample.
    codec : type
        Makes a codec of a tolerance.
    scale : sequence of float
        Of each field, in its unit: its standard deviation over the training data, for example.
    guess : float, optional
        Normalised tolerance to start from.

    Raises
    ------
    TypeError, ValueError
        As `find_tolerance`; or if the scales are not positive, or not one a field.
    """
    return _search(list(sample), _positive(scale, len(sample)), model_error, codec, guess)


def _search(fields, scales, model_error, codec, guess) -> FoundSample:
    """Find the largest k at which the tolerances 2^k · scale hold for all fields together."""
    if not 0 <= model_error < math.inf:
        raise ValueError(f"a model error is a finite number ≥ 0, not {model_error}")
    fields = [codecs.checked(values) for values in fields]
    shifts = [_floor_log2(scale) for scale in scales]
    peaks = [float(np.abs(values).max()) for values in fields]
    # A bound can hold from these exponents on; below the lowest of them every field is lossless.
    starts = [
        _floor_log2(np.finfo(v.dtype).eps * p) + 1 - s
        for v, p, s in zip(fields, peaks, shifts, strict=True)
    ]
    low = min((k for k, peak in zip(starts, peaks, strict=True) if peak), default=min(starts))

    def attempt(k: int) -> tuple[bool, FoundSample]:
        each = []
        for values, start, shift in zip(fields, starts, shifts, strict=True):
            lossless = k < max(low, start)
            each.append(measure(values, codec(0.0 if lossless else math.ldexp(1, k + shift))))
        error = sum(f.error / scale for f, scale in zip(each, scales, strict=True)) / len(each)
        holds = error <= model_error and all(f.max_error <= f.tolerance for f in each)
        return holds, FoundSample(math.ldexp(1, k) if k >= low else 0.0, error, tuple(each), 1)

    if model_error == 0:
        return attempt(low - 1)[1]
    ndim = fields[0].ndim
    expected = codec.expected_tolerance(model_error, ndim)
    # zfp drops a block whose values are below tolerance / 2^(2(d+1)): at `high` nothing is left.
    high = max(_floor_log2(p) + 2 * ndim + 3 - s for p, s in zip(peaks, shifts, strict=True))
    high = max(high, _floor_log2(expected))
    zeros = sum(np.abs(v).mean(dtype=np.float64) / s for v, s in zip(fields, scales, strict=True))
    if zeros <= model_error * len(fields):
        k = high
    else:  # rounded, because a start one too high costs no more than the right one
        k = min(max(round(math.log2(guess or expected)), low), high)
    best, best_k, failed_k, tries = None, low - 2, high + 1, 0
    while failed_k - best_k > 1:
        holds, found = attempt(k)
        tries += 1
        if found.error:  # about doubles with the tolerance: aim at where it would meet the model's
            step = math.floor(math.log2(model_error) - math.log2(found.error))
        else:  # no slope to go by: halve what is left
            step = (failed_k - k) // 2
        if holds:
            best, best_k = found, k
            k = min(k + max(step, 1), failed_k - 1)
        elif k < low:
            raise ValueError("the codec's lossless mode changed the values of this field")
        else:
            failed_k = k
            k = max(k + min(step, -1), best_k + 1, low if k > low else low - 1)
    each = tuple(replace(f, tries=tries) for f in best.fields)
    return replace(best, fields=each, tries=tries)


def _floor_log2(value: float) -> int:
    return math.frexp(value or 5e-324)[1] - 1  # zero counts as the smallest number


def _positive(scale: Sequence[float], n: int) -> list[float]:
    scale = [float(value) for value in scale]
    if len(scale) != n or not all(0 < value < math.inf for value in scale):
        raise ValueError(f"need a positive, finite scale for each of {n} fields, not {scale}")
    return scale


# ---------------------------------------------------------------- over an ensemble


def find_tolerances(
    ensemble: Ensemble,
    model_errors: xr.DataArray,
    *,
    granularity: str = "field",
    scale: Sequence[float] | None = None,
    codec=zfp.Zfp,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Search every sample of an ensemble, in parallel over simulations; store nothing.

    Parameters
    ----------
    ensemble : Ensemble
        The data.
    model_errors : DataArray (simulation, time, field)
        The model's mean absolute errors, each in its field's unit.
    granularity : {"field", "sample"}
        One tolerance a (sample, field), or the paper's one a sample, on normalised fields.
    scale : sequence of float
        For ``"sample"``: what each field is divided by, as in `find_sample_tolerance`. A sample's
        model error is then the mean over fields of error / scale.
    codec : type
        Makes a codec of a tolerance.
    executor : concurrent.futures.Executor, optional
        Where the search runs; by default a pool of processes.

    Returns
    -------
    Dataset
        `COLUMNS` over (simulation, time, field); tolerances and errors in the fields' own units.
    """
    searcher = Searcher.of(ensemble, granularity, scale, codec)
    errors = align(model_errors, ensemble, "model error")
    jobs = [
        (_rows, (searcher, ensemble.select([simulation]), rows))
        for simulation, rows in zip(ensemble.simulations, errors, strict=True)
    ]
    found = dict(_parallel.run(jobs, executor=executor, label="search"))
    return as_dataset(ensemble, [found[simulation] for simulation in ensemble.simulations])


def _rows(searcher, ensemble, errors) -> tuple[int, np.ndarray]:
    (simulation,) = ensemble.simulations
    return simulation, as_rows(searcher(read_finite(ensemble, simulation), errors))


@dataclass(frozen=True)
class Searcher:
    """Search all samples of one simulation; each search starts from the time step before.

    Parameters
    ----------
    scale : tuple of float, optional
        None: one tolerance a field. Else one a sample, on fields divided by these.
    codec : type
        Makes a codec of a tolerance.
    """

    scale: tuple[float, ...] | None
    codec: type

    @classmethod
    def of(cls, ensemble: Ensemble, granularity: str, scale, codec) -> Searcher:
        """Check that granularity and scales go together, and with the ensemble."""
        if granularity not in ("field", "sample"):
            raise ValueError(f"granularity is 'field' or 'sample', not {granularity!r}")
        if (granularity == "sample") != (scale is not None):
            raise ValueError(
                "granularity 'sample' needs the scale of each field, such as its standard "
                "deviation over the training data; granularity 'field' takes none"
            )
        return cls(None if scale is None else tuple(_positive(scale, len(ensemble.fields))), codec)

    def __call__(self, samples: np.ndarray, errors: np.ndarray) -> list[list[Found]]:
        """``found[time][field]`` for samples (T, n_fields, ny, nx), model errors (T, n_fields)."""
        n = samples.shape[1]
        groups = [[i] for i in range(n)] if self.scale is None else [list(range(n))]
        scale = np.ones(n) if self.scale is None else np.array(self.scale)
        slope, found = [0.0] * len(groups), []  # tolerance per error, at the time step before
        for sample, row in zip(samples, errors, strict=True):
            found.append([])
            for g, group in enumerate(groups):
                error = float(np.mean(row[group] / scale[group]))
                guess = slope[g] * error or None
                ended = _search(list(sample[group]), scale[group], error, self.codec, guess)
                slope[g] = ended.tolerance / ended.error if ended.error else 0.0
                found[-1] += ended.fields
        return found


def read_finite(ensemble: Ensemble, simulation: int) -> np.ndarray:
    """One simulation's samples ``(T, n_fields, ny, nx)``; NaN and Inf are refused by name."""
    samples = ensemble.read(simulation)
    for i, name in enumerate(ensemble.fields):
        native.check_finite(samples[:, i], name, str(ensemble.file(simulation)), simulation)
    return samples


def align(values: xr.DataArray | float, ensemble: Ensemble, what: str) -> np.ndarray:
    """Labelled values as an array (simulation, time, field) in the ensemble's order.

    A dimension that `values` lacks is repeated: a plain number is the same everywhere.

    Raises
    ------
    KeyError
        If there is none for a simulation or field of the ensemble.
    ValueError
        If dimensions or times are others, or a value is negative or not finite.
    """
    values = xr.DataArray(values)
    labels = {
        "simulation": list(ensemble.simulations),
        "time": ensemble.times.tolist(),
        "field": list(ensemble.fields),
    }
    if not set(values.dims) <= set(labels) & set(values.coords):
        raise ValueError(
            f"{what}: dimensions must be labelled, and among {', '.join(labels)}; got "
            f"{dict(values.sizes)} with labels on {', '.join(map(str, values.coords)) or 'none'}"
        )
    for dim in values.dims:
        missing = set(labels[dim]) - set(values[dim].values.tolist())
        if missing:
            raise KeyError(f"{what}: none for {dim} {min(missing)!r} of {ensemble.path}")
    values = values.sel({dim: labels[dim] for dim in values.dims}).expand_dims(
        {dim: labels[dim] for dim in labels if dim not in values.dims}
    )
    array = values.transpose(*labels).values.astype(np.float64)
    for bad in np.argwhere(~((array >= 0) & (array < math.inf))):
        at = ", ".join(f"{d} {labels[d][i]}" for d, i in zip(labels, bad, strict=True))
        raise ValueError(f"{what}: a finite number ≥ 0 is needed, not {array[tuple(bad)]} ({at})")
    return array


def as_rows(found: list[list[Found]]) -> np.ndarray:
    """`COLUMNS` of ``found[time][field]`` as an array (T, n_fields, n_columns)."""
    return np.array([[[getattr(f, c) for c in COLUMNS] for f in row] for row in found], float)


def as_dataset(ensemble: Ensemble, rows: Sequence[np.ndarray]) -> xr.Dataset:
    """Labelled table of `as_rows` of each simulation of an ensemble."""
    columns = dict(zip(COLUMNS, np.moveaxis(np.stack(rows), -1, 0), strict=True))
    columns |= {name: columns[name].astype(np.int64) for name in ("nbytes", "tries")}
    return xr.Dataset(
        {name: (("simulation", "time", "field"), values) for name, values in columns.items()},
        ensemble.coords,
    )
