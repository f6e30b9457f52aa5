"""Metrics against hand numbers, symmetries and independent references."""

import numpy as np
import pytest

from surrlab.evaluation import metrics


@pytest.fixture
def fields():
    return np.random.default_rng(1).normal(size=(2, 5, 3, 12, 4)).astype(np.float32)


def column(profile, nx=4):
    return np.repeat(np.asarray(profile, float)[:, None], nx, axis=1)


def test_l1_is_the_mean_absolute_difference_of_each_field(fields):
    truth, prediction = fields
    by_hand = [
        [np.mean(np.abs(p - t)) for p, t in zip(*pair, strict=True)]
        for pair in zip(prediction, truth, strict=True)
    ]
    np.testing.assert_allclose(metrics.l1(prediction, truth), by_hand, rtol=1e-6)
    assert metrics.l1(prediction, truth[0]).shape == (5, 3)
    assert np.all(metrics.l1(truth, truth) == 0)


@pytest.mark.parametrize(("shift", "decibel"), [(0.1, 20), (0.01, 40), (1.0, 0)])
def test_psnr_of_a_constant_shift_in_units_of_the_range(shift, decibel):
    truth = np.linspace(-1, 3, 48).reshape(12, 4)
    assert metrics.psnr(truth + 4 * shift, truth, peak=4) == pytest.approx(decibel)


def test_psnr_takes_a_peak_a_field_and_gives_inf_for_identity(fields):
    truth, prediction = fields
    peak = np.array([1.0, 10.0, 100.0])
    each = metrics.psnr(prediction, truth, peak)
    assert each.shape == (5, 3)
    one = metrics.psnr(prediction, truth, 1.0)
    np.testing.assert_allclose(each - one, np.broadcast_to([0, 20, 40], (5, 3)), atol=1e-9)
    assert np.all(metrics.psnr(truth, truth, 2.0) == np.inf)


@pytest.mark.parametrize("peak", [0.0, -1.0, np.nan, np.inf, [1.0, 0.0, 1.0]])
def test_psnr_refuses_a_peak_that_is_no_range(peak, fields):
    with pytest.raises(ValueError, match="peak must be"):
        metrics.psnr(*fields, peak)


def test_mass_and_momentum_by_hand():
    ny, nx, area = 6, 4, 0.25
    density = np.full((ny, nx), 2.0)
    assert metrics.total_mass(density, area) == 2.0 * ny * nx * area  # ρ × the whole area
    shear = column(np.arange(ny) - 2.5, nx)
    px, py = metrics.total_momentum(density, np.full((ny, nx), 3.0), shear, area)
    assert px == 3.0 * metrics.total_mass(density, area)
    assert py == pytest.approx(0, abs=1e-12)  # as much up as down


def test_sums_are_not_taken_in_float32():
    density = np.full((2, 768, 256), 0.1, np.float32)
    exact = float(np.float32(0.1)) * 768 * 256
    np.testing.assert_allclose(metrics.total_mass(density, 1.0), exact, rtol=1e-13)
    px, _ = metrics.total_momentum(density, density, density, 1.0)
    np.testing.assert_allclose(px, exact * float(np.float32(0.1)), rtol=1e-13)


def test_mixing_layer_of_known_profiles():
    height, ny, light, heavy = 2.0, 40, 1.0, 5.0
    dy = height / ny
    y = (np.arange(ny) + 0.5) * dy - height / 2

    def thickness(profile):
        return metrics.mixing_layer_thickness(column(profile), light, heavy, dy)

    assert thickness(np.where(y < 0, light, heavy)) == pytest.approx(0, abs=1e-12)
    assert thickness(np.full(ny, 3.0)) == pytest.approx(height)
    width = 0.8
    linear = 3.0 + 4.0 * np.clip(y / width, -0.5, 0.5)
    assert thickness(linear) == pytest.approx(width / 2)
    assert thickness(linear[::-1]) == pytest.approx(width / 2)  # upside down
    # An unmixed but wavy interface is mixed on average: Eq. (4) sees horizontal slices only.
    wave = np.where(y[:, None] < np.array([-0.4, 0.4]), light, heavy)
    assert metrics.mixing_layer_thickness(wave, light, heavy, dy) == pytest.approx(0.8)


def test_mixing_layer_takes_densities_a_simulation():
    density = np.stack([column([1.0, 1.0, 2.0, 2.0]), column([1.0, 2.5, 2.5, 4.0])])
    density = np.repeat(density[:, None], 3, axis=1)  # (simulation, time, ny, nx)
    heavy = np.array([2.0, 4.0])[:, None]
    h = metrics.mixing_layer_thickness(density, 1.0, heavy, dy=0.25)
    np.testing.assert_allclose(h, [[0.0] * 3, [0.5] * 3])


@pytest.mark.parametrize(("light", "heavy"), [(2, 1), (1, 1), (np.nan, 2), (1, [2, 0.5])])
def test_mixing_layer_refuses_densities_in_the_wrong_order(light, heavy):
    with pytest.raises(ValueError, match="lighter than the heavy one"):
        metrics.mixing_layer_thickness(np.ones((2, 4, 4)), light, heavy, 0.1)


def test_correlation_agrees_with_numpy_and_forgives_scale():
    a, b = np.random.default_rng(2).normal(size=(2, 7, 51))
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.correlation(a, b), expected)
    np.testing.assert_allclose(metrics.correlation(5 * a + 2, -b), -np.array(expected))
    assert np.all(metrics.correlation(a, a) <= 1)


def test_correlation_of_a_constant_series_is_nan_and_leaves_the_others_alone():
    t = np.linspace(0, 1, 10)
    series = np.stack([t, np.full(10, 0.1), 1 - t])
    np.testing.assert_allclose(metrics.correlation(series, t), [1, np.nan, -1])
    assert np.isnan(metrics.correlation([1.0], [2.0]))


def test_leading_axes_are_batched_alike(fields):
    truth, prediction = np.abs(fields) + 1
    functions = {
        "l1": lambda t, p: metrics.l1(p, t),
        "psnr": lambda t, p: metrics.psnr(p, t, 3.0),
        "mass": lambda t, p: metrics.total_mass(p, 0.1),
        "momentum": lambda t, p: np.stack(metrics.total_momentum(t, p, t, 0.1), -1),
        "mixing": lambda t, p: metrics.mixing_layer_thickness(p, 1.0, 4.0, 0.1),
    }
    for name, f in functions.items():
        one = [[f(truth[i, j], prediction[i, j]) for j in range(3)] for i in range(5)]
        np.testing.assert_allclose(f(truth, prediction), one, rtol=1e-12, err_msg=name)


def test_jet_length_lies_between_the_twentieths_of_the_rows():
    ramp = np.linspace(0, 1, 101)[:, None] * np.full(8, 0.5)  # rows from 0 to 4 cells long
    assert metrics.jet_length(ramp, dx=0.1) == pytest.approx(0.9 * 0.4)
    assert metrics.jet_length(np.stack([ramp, ramp[::-1], 3 + ramp]), 0.1) == pytest.approx(0.36)
    stray = np.ones((40, 8))
    stray[0], stray[-1] = 50.0, -50.0
    assert metrics.jet_length(stray, dx=0.1) == 0.0


def test_totals_over_any_number_of_axes():
    rng = np.random.default_rng(3)
    for ndim in (1, 2, 3):
        density, speed = rng.uniform(size=(2, 5, *(2, 3, 4)[-ndim:]))
        axes = tuple(range(1, ndim + 1))
        np.testing.assert_allclose(metrics.total_mass(density, 0.5, ndim), density.sum(axes) / 2)
        volumes = rng.uniform(size=density.shape[1:])
        px, _ = metrics.total_momentum(density, speed, speed, volumes, ndim)
        np.testing.assert_allclose(px, (density * speed * volumes).sum(axes))
        np.testing.assert_allclose(
            metrics.l1(density, speed, ndim), abs(density - speed).mean(axes)
        )
