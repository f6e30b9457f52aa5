"""Algorithm 1: the largest tolerance whose L1 error stays within the model's own (Section IV-B).

`find_tolerance` searches for one field, `find_sample_tolerance` for a sample with one tolerance
for all of its normalised fields (the paper's form). `tolerances` searches a whole ensemble.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from surrlab.compression.codecs import Codec, checked
from surrlab.compression.codecs.zfp import Zfp

PRECISION = 1.1
"""A codec of any tolerance t is searched until t holds and `PRECISION` t fails."""


_BISECT_AFTER = 6  # encodings of a codec whose error does not go with its tolerance
_SMALLEST, _LARGEST = 5e-324, sys.float_info.max / 4


@dataclass(frozen=True)
class EncodedField:
    """One field, encoded and measured.

    Parameters
    ----------
    codec : Codec
        What made the stream, and decodes it.
    error, max_error : float
        Mean and largest absolute error of the decoded field, in its unit.
    stream : bytes
        The encoded field.
    n_encodes : int
        How often the field was encoded until this one was found.
    offset : float
        What is added to the decoded field so that a total is exact; errors are those after it.
    """

    codec: Codec
    error: float
    max_error: float
    stream: bytes = field(repr=False)
    n_encodes: int = 1
    offset: float = 0.0

    @property
    def tolerance(self) -> float:
        """Of the codec, in the field's unit; 0 for lossless."""
        return self.codec.tolerance

    @property
    def bound(self) -> float:
        """Largest possible error: the tolerance, and what an offset adds to it."""
        return self.tolerance + abs(self.offset)

    @property
    def nbytes(self) -> int:
        """Length of the stream."""
        return len(self.stream)


@dataclass(frozen=True)
class EncodedSample:
    """Several fields, encoded with one tolerance for all.

    Parameters
    ----------
    tolerance, error : float
        Of the normalised sample: the tolerance (0: all fields lossless), and its L1 error.
    fields : tuple of EncodedField
        Each field, in its own unit.
    n_encodes : int
        How often the sample was encoded.
    """

    tolerance: float
    error: float
    fields: tuple[EncodedField, ...]
    n_encodes: int


def measure(field: np.ndarray, codec: Codec, valid: np.ndarray | None = None) -> EncodedField:
    """Encode and decode a field once: its mean and largest absolute error, and the stream.

    Errors are those of the cells ``valid`` (*shape); by default of all.
    """
    stream = codec.encode(field)
    error = np.subtract(codec.decode(stream, field.shape, field.dtype), field, dtype=np.float64)
    np.abs(error, out=error)
    error = error if valid is None else error[valid]
    return EncodedField(codec, float(error.mean()), float(error.max()), stream)


def find_tolerance(
    field: np.ndarray,
    model_error: float,
    codec: type[Codec] = Zfp,
    *,
    guess: float | None = None,
    valid: np.ndarray | None = None,
) -> EncodedField:
    """Largest tolerance t with mean |decoded - field| ≤ e and max |decoded - field| ≤ t.

    Algorithm 1 as printed starts at t = 4^d e / c(d), never halves, and doubles for as long as the
    error is below the model's error e: it returns the first tolerance that *fails*, and never ends
    on a field that the model predicts worse than a constant would. Here "t holds" and "the next t
    fails" are both measured, where the next t is the codec's coarser one, or 1.1 t for a codec that
    knows every tolerance. The search goes both ways, and jumps, as the error about doubles with t.
    Where the error does not grow with the tolerance, the result is the largest of those tried.

    Where zeros would be good enough the search ends at once: at the first guess, or where that is
    less at the tolerance from which the codec stores nothing of the field. Tolerances finer than
    the machine epsilon of the largest value, where bounds fail, are not tried; a field that would
    need one, and every field for which e = 0, is kept lossless with tolerance 0.

    Parameters
    ----------
    field : array (*shape)
        One field, float32 or float64, of as many dimensions as the codec allows.
    model_error : float
        Mean absolute error e of the model on this field, in its unit.
    codec : type
        Makes a codec of a tolerance.
    guess : float, optional
        Tolerance to start from, such as the previous time step's. It changes `n_encodes`, and the
        result only where the error does not grow with the tolerance.
    valid : bool array (*shape), optional
        Cells whose errors count; by default all.

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
    kept = None if valid is None else valid[None]
    return _search([field], [1.0], model_error, codec, guess, kept).fields[0]


def find_sample_tolerance(
    sample: np.ndarray,
    model_error: float,
    codec: type[Codec] = Zfp,
    *,
    scale: Sequence[float],
    guess: float | None = None,
    valid: np.ndarray | None = None,
) -> EncodedSample:
    """The paper's Algorithm 1 to the letter: one tolerance for all fields of a normalised sample.

    Fields in different units can share a tolerance only after division by a scale. The data stay
    in their own units: a normalised tolerance t means t · scale_f for field f, as the codec snaps
    it. Found is the largest t at which the mean over fields of (mean |decoded_f - field_f|) /
    scale_f is within `model_error` and every field within its bound.

    Parameters
    ----------
    sample : array (n_fields, *shape)
        One time step, in physical units.
    model_error : float
        The model's mean absolute error on the normalised sample.
    codec : type
        Makes a codec of a tolerance.
    scale : sequence of float
        Of each field, in its unit: its standard deviation over the training data, for example.
    guess : float, optional
        Normalised tolerance to start from.
    valid : bool array (n_fields, *shape), optional
        Cells whose errors count; by default all.

    Raises
    ------
    TypeError, ValueError
        As `find_tolerance`; or if the scales are not positive, or not one per field.
    """
    scales = positive_scale(scale, len(sample))
    return _search(list(sample), scales, model_error, codec, guess, valid)


def _search(
    fields: Sequence[np.ndarray],
    scales: Sequence[float],
    model_error: float,
    codec: type[Codec],
    guess: float | None,
    valid: np.ndarray | None = None,
) -> EncodedSample:
    """Find the largest t at which the tolerances t · scale hold for all fields together."""
    if not 0 <= model_error < math.inf:
        raise ValueError(f"a model error is a finite number ≥ 0, not {model_error}")
    fields = [checked(values) for values in fields]
    kept = [None if valid is None else valid[i].reshape(f.shape) for i, f in enumerate(fields)]
    ndim, expected = fields[0].ndim, codec.expected_tolerance(model_error, fields[0].ndim)
    # From `low` on a bound can hold, for some field; from `high` on nothing is left of any.
    low, high, zeros, spacings = math.inf, codec.snap(expected), 0.0, []
    for values, scale, cells in zip(fields, scales, kept, strict=True):
        peak, unit = float(np.abs(values).max()), codec.snap(scale)
        # No bound can be kept below the spacing of the largest values: those fields go lossless.
        spacings.append(max(float(np.finfo(values.dtype).eps) * peak, _SMALLEST))
        if peak:
            low = min(low, max(_up(codec, codec.snap(spacings[-1])) / unit, _SMALLEST))
        high = max(high, codec.erasing_tolerance(peak, ndim) / unit)
        counted = values if cells is None else values[cells]
        zeros += float(np.abs(counted).mean(dtype=np.float64)) / scale

    def attempt(t: float) -> tuple[bool, EncodedSample]:
        each = []
        for values, scale, spacing, cells in zip(fields, scales, spacings, kept, strict=True):
            bound = codec.snap(t * scale)
            one = codec(bound) if bound > spacing else codec.lossless()
            each.append(measure(values, one, cells))
        error = sum(f.error / scale for f, scale in zip(each, scales, strict=True)) / len(each)
        holds = error <= model_error and all(f.max_error <= f.tolerance for f in each)
        return holds, EncodedSample(t, error, tuple(each), 1)

    if model_error == 0:
        return attempt(0.0)[1]
    low = low if low < math.inf else _SMALLEST
    high = min(max(high, low), codec.snap(_LARGEST))
    if zeros <= model_error * len(fields):
        t = high
    else:
        t = min(max(_nearest(codec, guess or expected), low), high)

    best: EncodedSample | None = None
    failed, n_encodes = _up(codec, high), 0
    while True:
        holds, encoded = attempt(t)
        n_encodes += 1
        if holds:
            best, failed = encoded, failed if failed > t else _up(codec, high)
        elif t == 0:
            raise ValueError("the codec's lossless mode changed the values of this field")
        else:
            failed = t
        if best:
            above = _up(codec, best.tolerance) if best.tolerance else failed
            if abs(above / failed - 1) < 1e-9:  # but for the last digit of PRECISION * t
                break
            if above > failed:  # the error is not monotone here
                t = above
                continue
        aim = t * (model_error / encoded.error) if encoded.error else math.inf
        held = best.tolerance if best else None
        t = _next(codec, t, aim, held, failed, low, n_encodes)
    each = tuple(replace(f, n_encodes=n_encodes) for f in best.fields)
    return replace(best, fields=each, n_encodes=n_encodes)


def _next(
    codec: type[Codec],
    t: float,
    aim: float,
    held: float | None,
    failed: float,
    low: float,
    n_encodes: int,
) -> float:
    """Tolerance to try after t; `held` and `failed` are the best known, `low` the least.

    The error about goes with the tolerance: at `aim` it would meet the model's.
    """
    free = codec.snap(PRECISION * t) > t  # not a ladder with wide rungs
    if free:
        aim /= math.sqrt(PRECISION)  # in the middle of what will do
    if free and n_encodes >= _BISECT_AFTER:
        aim = _middle(held or low, failed)
    elif aim == math.inf:  # no slope to go by: halve what is left
        aim = _middle(t, failed)
    aim = codec.snap(min(aim, _LARGEST))
    if held == t:
        return min(max(aim, _up(codec, t)), _down(codec, failed))
    if held is None and t <= low:
        return 0.0
    return max(min(aim, _down(codec, t)), low if held is None else _up(codec, held))


@functools.lru_cache(1 << 10)  # a ladder has few rungs, and a search asks often
def _up(codec: type[Codec], t: float) -> float:
    """The next larger tolerance that is worth telling from t."""
    step = codec.snap(PRECISION * t)
    return step if step > t else codec(t).coarser().tolerance


def _down(codec: type[Codec], t: float) -> float:
    """The next smaller tolerance that is worth telling from t."""
    return codec.snap(t / PRECISION)


def _middle(low: float, high: float) -> float:
    return math.sqrt(low) * math.sqrt(high)


def _nearest(codec: type[Codec], t: float) -> float:
    """The tolerance next to t: on a ladder, one too high costs no more than the right one."""
    below = codec.snap(t)
    above = _up(codec, below)
    return above if t / below >= above / t else below


def positive_scale(scale: Sequence[float], n: int) -> tuple[float, ...]:
    """The scale of each of n fields; ValueError if one is not positive or not finite."""
    scale = tuple(float(value) for value in scale)
    if len(scale) != n or not all(0 < value < math.inf for value in scale):
        raise ValueError(f"need a positive, finite scale for each of {n} fields, not {list(scale)}")
    return scale
