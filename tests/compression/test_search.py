import itertools
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab.compression.search import (
    find_sample_tolerance,
    find_tolerance,
    find_tolerances,
    measure,
)
from surrlab.compression.zfp import Zfp
from surrlab.data import native


def smooth(seed, shape=(48, 16)):
    """A few random waves about a random mean, of a random size."""
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    waves = sum(
        random.normal() / (1 + a + b) * np.cos(np.pi * (a * x + b * y) + random.uniform(0, 6))
        for a, b in itertools.product(range(6), range(6))
    )
    return (waves * 10 ** random.uniform(-3, 3) + 10 ** random.uniform(-3, 3)).astype(np.float32)


def model_errors(ensemble, level=0.1):
    """Errors such as a trained model's: they grow in time and scatter from sample to sample."""
    n, t, *_ = ensemble.shape
    spread = np.stack([ensemble.read(s) for s in ensemble.simulations]).std(axis=(0, 1, 3, 4))
    scatter = np.random.default_rng(0).lognormal(sigma=0.3, size=(n, t, 1))
    errors = level * np.linspace(0.3, 1, t)[None, :, None] * scatter * spread
    return xr.DataArray(
        errors,
        dims=("simulation", "time", "field"),
        coords={
            "simulation": list(ensemble.simulations),
            "time": ensemble.times,
            "field": list(ensemble.fields),
        },
    )


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
    error = abs(Zfp(found.tolerance).decode(found.stream, field.shape).astype(float) - field)
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
    assert [find_tolerance(field, e, guess=g).tries for g in (t, 2 * t)] == [2, 2]


@pytest.mark.parametrize("worse", [1, 3, 1e6])
def test_search_ends_where_zeros_would_do(worse):
    field = smooth(2)
    found = find_tolerance(field, worse * float(abs(field).mean(dtype=np.float64)))
    assert (found.tries, found.nbytes) == (1, 8)  # eight bytes: a bit for each of 48 empty blocks
    assert not Zfp(found.tolerance).decode(found.stream, field.shape).any()


def test_zero_and_constant_fields():
    zero = find_tolerance(np.zeros((48, 16), np.float32), 0.01)
    assert (zero.error, zero.nbytes, zero.tries) == (0, 8, 1)
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
        assert own.max_error <= own.tolerance and own.tries == found.tries


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


def test_over_an_ensemble_in_two_and_a_half_calls(ensemble):
    errors = model_errors(ensemble)
    with ThreadPoolExecutor(2) as pool:
        table = find_tolerances(ensemble, errors, executor=pool)
    assert dict(table.sizes) == {"simulation": 6, "time": 51, "field": 6}
    assert str(table["unit"].sel(field="pressure").values) == ensemble.units["pressure"]
    assert (table["error"] <= errors).all() and (table["max_error"] <= table["tolerance"]).all()
    assert float(table["tries"].mean()) <= 2.5
    at = {"simulation": 4, "time": ensemble.times[30], "field": "velocity_y"}
    alone = find_tolerance(ensemble.read(4, 30)[2], float(errors.sel(at)))
    assert table["tolerance"].sel(at) == alone.tolerance and table["nbytes"].sel(at) == alone.nbytes


def test_over_an_ensemble_by_sample(ensemble):
    train, _ = ensemble.split(0.7, seed=0)
    scale = np.stack([train.read(s) for s in train.simulations]).std(axis=(0, 1, 3, 4))
    errors = model_errors(ensemble)
    with ThreadPoolExecutor(1) as pool:
        table = find_tolerances(train, errors, granularity="sample", scale=scale, executor=pool)
    assert (table["simulation"] == list(train.simulations)).all()
    normalised = xr.DataArray(scale, dims="field", coords={"field": list(train.fields)})
    own = (table["error"] / normalised).mean("field")
    assert (own <= (errors / normalised).mean("field") * (1 + 1e-12)).all()
    shared = np.log2(table["tolerance"] / 2 ** np.floor(np.log2(normalised)))
    lossy = shared.where(table["tolerance"] > 0)
    assert (lossy.max("field") == lossy.min("field")).all()


@pytest.mark.parametrize(
    "arguments", [{"granularity": "sample"}, {"scale": [1] * 6}, {"granularity": "block"}]
)
def test_granularity_and_scale_go_together(ensemble, arguments):
    with pytest.raises(ValueError, match="granularity"):
        find_tolerances(ensemble, model_errors(ensemble), **arguments)


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (lambda e: e.isel(simulation=[0, 2]), KeyError, "none for simulation 1"),
        (lambda e: e.isel(field=[1, 2]), KeyError, "none for field 'density'"),
        (lambda e: e.isel(time=slice(3, None)), KeyError, "none for time 0.0"),
        (lambda e: e.drop_vars("field"), ValueError, "labelled"),
        (lambda e: e.expand_dims(seed=[1]), ValueError, "seed"),
        (lambda e: -e, ValueError, "simulation 0, time 0.0, field density"),
        (lambda e: e.where(e["field"] != "energy"), ValueError, "not nan .*field energy"),
    ],
)
def test_model_errors_must_fit_the_ensemble(ensemble, spoil, error, message):
    with pytest.raises(error, match=message):
        find_tolerances(ensemble, spoil(model_errors(ensemble)))


def test_nan_in_a_file_is_named(ensemble, tmp_path):
    shutil.copytree(ensemble.path, tmp_path / "copy")
    copy = native.open(tmp_path / "copy").select([3])
    with h5py.File(copy.file(3), "r+") as file:
        file["energy"][17, 5, 1] = np.nan
    errors = model_errors(ensemble)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ValueError, match=r"00003.h5: simulation 3, time 17, field energy"),
    ):
        find_tolerances(copy, errors, executor=pool)
