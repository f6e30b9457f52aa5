import itertools
import math

import numpy as np
import pytest
from newcomer.rounding import Rounding

from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import find_sample_tolerance, find_tolerance, measure


def smooth(seed, shape=(48, 16)):
    """A few random waves about a random mean, of a random size."""
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    waves = sum(
        random.normal() / (1 + a + b) * np.cos(np.pi * (a * x + b * y) + random.uniform(0, 6))
        for a, b in itertools.product(range(6), range(6))
    )
    return (waves * 10 ** random.uniform(-3, 3) + 10 ** random.uniform(-3, 3)).astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("relative", [1e-5, 1e-3, 0.03, 0.5])
def test_found_is_the_largest_that_holds(seed, relative):
    field = smooth(seed)
    e = relative * float(abs(field - field.mean()).mean())
    holds = []
    for k in range(-40, 40):
        tried = measure(field, Zfp(2.0**k))
        if tried.error <= e and tried.max_error <= 2.0**k:
            holds.append(2.0**k)
    found = find_tolerance(field, e)
    assert found.tolerance == max(holds)
    for guess in (1e-6, e, 1e6):
        assert find_tolerance(field, e, guess=guess).tolerance == found.tolerance


def test_what_is_reported_is_what_the_stream_decodes_to():
    field = smooth(1)
    found = find_tolerance(field, 0.01 * float(field.std()))
    error = abs(found.codec.decode(found.stream, field.shape).astype(float) - field)
    assert (found.error, found.max_error) == (error.mean(), error.max())
    assert found.nbytes == len(found.stream) < field.nbytes


@pytest.mark.parametrize("seed", range(5))
def test_the_printed_algorithm_stops_one_doubling_later(seed):
    field = smooth(seed)
    e = 0.02 * float(field.std())
    t = 2.0 ** math.floor(math.log2(16 * e / 1.089))  # its first guess; zfp floors it
    while measure(field, Zfp(t)).error < e:
        t *= 2
    assert find_tolerance(field, e).tolerance == t / 2


def test_a_good_guess_takes_two_tries():
    field = smooth(3)
    e = 0.02 * float(field.std())
    t = find_tolerance(field, e).tolerance
    assert [find_tolerance(field, e, guess=g).n_encodes for g in (t, 2 * t)] == [2, 2]


@pytest.mark.parametrize("worse", [1, 3, 1e6])
def test_search_ends_where_zeros_would_do(worse):
    field = smooth(2)
    found = find_tolerance(field, worse * float(abs(field).mean(dtype=np.float64)))
    assert (found.n_encodes, found.nbytes) == (
        1,
        8,
    )  # eight bytes: a bit for each of 48 empty blocks
    assert not found.codec.decode(found.stream, field.shape).any()


def test_zero_and_constant_fields():
    zero = find_tolerance(np.zeros((48, 16), np.float32), 0.01)
    assert (zero.error, zero.nbytes, zero.n_encodes) == (0, 8, 1)
    assert zero.tolerance == 2.0 ** math.floor(math.log2(0.16 / 1.089))
    for value in (3.0, -1e-20, 1e30):
        constant = np.full((48, 16), value, np.float32)
        for relative in (1e-3, 0.9):
            found = find_tolerance(constant, relative * abs(value))
            assert found.error <= relative * abs(value) and found.tolerance > 0
            worse = measure(constant, Zfp(2 * found.tolerance))
            assert worse.error > relative * abs(value)


def test_values_too_small_for_zfp_are_kept_lossless():
    field = 1e-33 * smooth(0) / abs(smooth(0)).max()  # zfp's fixed point overflows
    e = 0.01 * float(abs(field).max())
    assert measure(field, Zfp(e)).max_error > Zfp(e).tolerance
    assert (find_tolerance(field, e).tolerance, find_tolerance(field, e).max_error) == (0, 0)


@pytest.mark.parametrize("offset, e", [(1, 0), (1e6, 1e-4), (1e6, 1e-12)])
def test_errors_below_what_zfp_can_promise_are_kept_lossless(offset, e):
    field = np.float32(offset) + np.random.default_rng(0).normal(size=(48, 16)).astype(np.float32)
    found = find_tolerance(field, e)
    assert (found.tolerance, found.error, found.max_error) == (0, 0, 0)
    np.testing.assert_array_equal(Zfp(0).decode(found.stream, field.shape), field)


def test_other_types_and_layouts_give_the_same():
    field = smooth(4)
    e = 0.01 * float(field.std())
    expected = find_tolerance(field, e)
    assert find_tolerance(field.astype(">f4"), e) == expected
    assert find_tolerance(np.asfortranarray(field), e) == expected
    assert find_tolerance(field.astype(float), e).tolerance == expected.tolerance


@pytest.mark.parametrize("e", [-1e-9, np.nan, np.inf])
def test_a_model_error_that_is_none_is_refused(e):
    with pytest.raises(ValueError, match="finite number ≥ 0"):
        find_tolerance(smooth(0), e)


def test_a_field_with_nan_is_refused():
    field = smooth(0)
    field[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 of 768 .* \(1, 2\)"):
        find_tolerance(field, 0.1)


SCALE = [1.0, 0.3, 7.0]


@pytest.mark.parametrize("seed", range(5))
def test_one_tolerance_for_a_normalised_sample(seed):
    sample = np.stack([scale * smooth(seed + i) for i, scale in enumerate(SCALE)])
    e = 0.05

    def try_all(t):
        each = [measure(f, Zfp(t * s)) for f, s in zip(sample, SCALE, strict=True)]
        return each, sum(m.error / s for m, s in zip(each, SCALE, strict=True)) / 3

    found = find_sample_tolerance(sample, e, scale=SCALE)
    each, error = try_all(found.tolerance)
    assert found.error == pytest.approx(error) and error <= e < try_all(2 * found.tolerance)[1]
    assert [f.stream for f in found.fields] == [m.stream for m in each]
    for own, scale in zip(found.fields, SCALE, strict=True):
        assert own.tolerance == Zfp(found.tolerance * scale).tolerance
        assert own.max_error <= own.tolerance and own.n_encodes == found.n_encodes


def test_a_sample_of_one_field_is_that_field():
    field = smooth(5)
    alone = find_tolerance(field, 0.1)
    assert find_sample_tolerance(field[None], 0.1, scale=[1]).fields == (alone,)


def test_a_field_that_cannot_keep_its_share_is_lossless():
    noise = np.random.default_rng(0).normal(size=(2, 48, 16)).astype(np.float32)
    noise[1] += 1e6  # its last bits are coarser than its share of the tolerance
    found = find_sample_tolerance(noise, 1e-4, scale=[1, 1])
    assert found.fields[0].tolerance > 0 and found.fields[1].tolerance == 0


@pytest.mark.parametrize("scale", [[1, 1], [1, 0, 1], [1, -1, 1], [1, np.nan, 1]])
def test_scales_are_one_a_field_and_positive(scale):
    with pytest.raises(ValueError, match="each of 3 fields"):
        find_sample_tolerance(np.ones((3, 8, 8), np.float32), 0.1, scale=scale)


# ---------------------------------------------------------------- the search of version 0.1


def floor_log2(value):
    return math.frexp(value or 5e-324)[1] - 1


def search_of_version_0_1(fields, scales, model_error, guess):
    """Algorithm 1 as it stood when zfp was the only codec, in exponents: tolerance, encodings."""
    shifts = [floor_log2(scale) for scale in scales]
    peaks = [float(np.abs(values).max()) for values in fields]
    starts = [
        floor_log2(np.finfo(v.dtype).eps * p) + 1 - s
        for v, p, s in zip(fields, peaks, shifts, strict=True)
    ]
    low = min((k for k, peak in zip(starts, peaks, strict=True) if peak), default=min(starts))

    def attempt(k):
        each = []
        for values, start, shift in zip(fields, starts, shifts, strict=True):
            lossless = k < max(low, start)
            each.append(measure(values, Zfp(0.0 if lossless else math.ldexp(1, k + shift))))
        error = sum(f.error / scale for f, scale in zip(each, scales, strict=True)) / len(each)
        return error <= model_error and all(f.max_error <= f.tolerance for f in each), error

    expected = 16 * model_error / 1.089
    high = max(floor_log2(p) + 7 - s for p, s in zip(peaks, shifts, strict=True))
    high = max(high, floor_log2(expected))
    zeros = sum(np.abs(v).mean(dtype=np.float64) / s for v, s in zip(fields, scales, strict=True))
    if zeros <= model_error * len(fields):
        k = high
    else:
        k = min(max(round(math.log2(guess or expected)), low), high)
    best_k, failed_k, tries = low - 2, high + 1, 0
    while failed_k - best_k > 1:
        holds, error = attempt(k)
        tries += 1
        if error:
            step = math.floor(math.log2(model_error) - math.log2(error))
        else:
            step = (failed_k - k) // 2
        if holds:
            best_k = k
            k = min(k + max(step, 1), failed_k - 1)
        else:
            failed_k = k
            k = max(k + min(step, -1), best_k + 1, low if k > low else low - 1)
    return math.ldexp(1, best_k) if best_k >= low else 0.0, tries


@pytest.mark.parametrize("relative", [1e-6, 0.01, 0.1, 1.0])
def test_zfp_is_searched_as_in_version_0_1(ensemble, relative):
    """Same tolerances in as many encodings, on real fields and from real guesses."""
    samples = ensemble.read_simulation(2)[::5]
    spread = samples.std(axis=(0, 2, 3)).tolist()
    slope = [0.0] * len(spread)
    for sample in samples:
        for i, field in enumerate(sample):
            error = relative * spread[i]
            guess = slope[i] * error or None
            found = find_tolerance(field, error, guess=guess)
            expected = search_of_version_0_1([field], [1.0], error, guess)
            assert (found.tolerance, found.n_encodes) == expected
            slope[i] = found.tolerance / found.error if found.error else 0.0
        found = find_sample_tolerance(sample, relative, scale=spread)
        expected = search_of_version_0_1(list(sample), spread, relative, None)
        assert (found.tolerance, found.n_encodes) == expected


# ---------------------------------------------------------------- any codec, any dimension


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("relative", [1e-5, 1e-3, 0.03, 0.5])
def test_a_codec_of_any_tolerance_is_searched_to_a_tenth(seed, relative):
    field = smooth(seed)
    e = relative * float(abs(field - field.mean()).mean())
    found = find_tolerance(field, e, Rounding)
    again = find_tolerance(field, e, Rounding, guess=1.02 * found.tolerance or None)
    for one in (found, again):
        assert one.error <= e and one.max_error <= one.tolerance
        if one.tolerance:
            assert measure(field, Rounding(1.1 * one.tolerance)).error > e
        else:
            assert e < 2 * np.finfo(np.float32).eps * abs(field).max()


def test_a_codec_of_any_tolerance_ends_wherever_it_begins():
    field = smooth(3)
    e = 0.01 * float(field.std())
    found = [
        find_tolerance(field, e, Rounding, guess=guess)
        for guess in (1e-12, 1e-3 * e, e, 2 * e, 1e3 * e, 1e12)
    ]
    tolerances = [one.tolerance for one in found]
    assert max(tolerances) <= 1.25 * min(tolerances)  # the error of rounding is not monotone
    assert max(one.n_encodes for one in found) <= 12
    assert find_tolerance(field, 1e6, Rounding).n_encodes == 1  # zeros would do
    assert find_tolerance(field, 0, Rounding).tolerance == 0


class Unsteady(Rounding):
    """Breaks its bound below 1: only its lossless mode keeps a small error."""

    def decode(self, data, shape, dtype=np.float32, out=None):
        out = super().decode(data, shape, dtype, out)
        out += 2 * self.tolerance if self.tolerance < 1 else 0
        return out


def test_a_codec_that_breaks_its_bounds_ends_lossless():
    found = find_tolerance(np.float32(smooth(0) / abs(smooth(0)).max()), 0.1, Unsteady)
    assert (found.tolerance, found.max_error) == (0, 0) and found.n_encodes < 50


@pytest.mark.parametrize("codec", [Zfp, Rounding])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(200,), (48, 16), (12, 10, 9), (1, 48, 16)])
def test_fields_of_one_two_and_three_dimensions(shape, dtype, codec):
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    field = sum(np.sin((3 + i) * x) for i, x in enumerate(axes)).astype(dtype)
    found = find_tolerance(field, 0.01, codec)
    decoded = found.codec.decode(found.stream, shape, dtype)
    assert decoded.dtype == dtype and abs(decoded - field).mean() <= 0.01
    coarser = found.codec.coarser() if codec is Zfp else Rounding(1.1 * found.tolerance)
    assert measure(field, coarser).error > 0.01


def test_one_tolerance_for_a_sample_with_a_codec_of_any_tolerance():
    sample = np.stack([scale * smooth(i) for i, scale in enumerate(SCALE)])
    found = find_sample_tolerance(sample, 0.05, Rounding, scale=SCALE)
    for own, scale in zip(found.fields, SCALE, strict=True):
        assert own.tolerance == found.tolerance * scale and own.max_error <= own.tolerance
    worse = [
        measure(f, Rounding(1.1 * found.tolerance * s)) for f, s in zip(sample, SCALE, strict=True)
    ]
    assert sum(m.error / s for m, s in zip(worse, SCALE, strict=True)) / 3 > 0.05 >= found.error


@pytest.mark.parametrize("relative", [1e-2, 1e-4])
@pytest.mark.parametrize(
    ("size", "dtype"), [(1e-40, "f4"), (3e38, "f4"), (1e300, "f8"), (1e-310, "f8"), (1e-30, "f4")]
)
def test_the_largest_and_smallest_numbers_take_few_encodes(size, dtype, relative):
    plain = smooth(1).astype("f8")
    plain -= plain.mean()
    field = (plain / np.abs(plain).max() * size).astype(dtype)
    e = relative * float(np.abs(field.astype("f8")).mean())
    found = find_tolerance(field, e)
    decoded = found.codec.decode(found.stream, field.shape, field.dtype).astype("f8")
    assert np.abs(decoded - field).mean() <= e and np.isfinite(decoded).all()
    assert np.abs(decoded - field).max() <= found.tolerance
    assert found.n_encodes <= 12
