import math
from dataclasses import replace

import numpy as np
import pytest

from surrlab.compression.codecs import Codec
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import find_tolerance
from surrlab.compression.version import Version
from surrlab.data.fields import Field, Grid
from surrlab.evaluation import metrics
from surrlab.evaluation.quantities import Quantity
from surrlab.explorer import settings
from surrlab.explorer.settings import (
    N_TOLERANCES,
    FieldSettings,
    FieldView,
    SampleField,
    codecs_for,
    measure,
    spectrum,
)

Y, X = np.mgrid[0:1:48j, 0:1:16j]
WAVES = np.float32(3 + np.sin(6 * X) * np.cos(5 * Y) + 0.05 * np.sin(90 * X * Y))
GRID = Grid.uniform({"y": (48, 0, 3), "x": (16, 0, 1)}, unit="cm")


def sample(values=WAVES, **changes):
    given = {"field": Field("density", "g"), "grid": GRID, "limits": (1.5, 4.5), "peak": 3.0}
    return SampleField(title="a", truth=values, color_limit=0.1, **given | changes)


def settings_of(values, **changes):
    codecs = codecs_for(Zfp, float(values.min()), float(values.max()))
    return FieldSettings(sample(values, **changes), codecs)


def view_of(decoded, **changes):
    one = sample(**changes)
    return FieldView(one, decoded, *measure(one, decoded[None]), 0.5, 20.0, 100)


@pytest.fixture(scope="module")
def waves():
    return settings_of(WAVES)


def test_settings_keep_their_tolerance_and_run_from_exact_to_nearly_nothing(waves):
    assert len(waves) == N_TOLERANCES + 1
    assert waves.tolerances[0] == 0 and (waves.decode(0) == WAVES).all()
    for setting in range(1, len(waves)):
        error = np.abs(waves.decode(setting) - WAVES).max()
        assert error <= waves.tolerances[setting] == 2 * waves.tolerances[setting - 1] or (
            setting == 1 and error <= waves.tolerances[1]
        )
    assert (np.diff(waves.ratios) >= 0).all() and waves.ratios[-1] > 30
    assert np.abs(waves.decode(len(waves) - 1) - WAVES).mean() > 0.1 * np.ptp(WAVES)


def test_a_setting_is_what_the_codec_makes(waves):
    setting = waves.setting_of(0.01)
    assert waves.codecs[setting] == Zfp(0.01)
    assert waves.streams[setting] == Zfp(0.01).encode(WAVES)
    assert waves.tolerances[setting] == Zfp(0.01).tolerance


def test_large_fields_take_threads_and_come_out_the_same():
    large = np.tile(WAVES, (16, 16))
    grid = Grid.uniform({"y": (768, 0, 3), "x": (256, 0, 1)})
    found = settings_of(large, grid=grid)
    assert large.size > settings._THREADED
    assert found.streams[7] == found.codecs[7].encode(large)


def test_large_fields_are_measured_when_asked_and_come_out_the_same(waves, monkeypatch):
    monkeypatch.setattr(settings, "_AT_ONCE", 0)
    later = settings_of(WAVES)
    assert later._losses == {} and len(waves._losses) == len(waves)
    for setting in (0, 9, len(waves) - 1):
        np.testing.assert_allclose(later.view(setting).losses[:3], waves.view(setting).losses[:3])
    assert len(later._losses) == 3


@pytest.mark.parametrize(("bound", "setting"), [(0, 0), (1e-30, 1), (1e30, N_TOLERANCES)])
def test_bounds_beyond_the_settings_take_their_ends(waves, bound, setting):
    assert waves.setting_of(bound) == setting


def test_nearest_ratio(waves):
    for ratio in waves.ratios:
        assert waves.ratios[waves.nearest_ratio(ratio * 1.01)] == ratio


def test_algorithm_1_is_the_version_of_factor_one():
    codecs = codecs_for(Zfp, 1.5, 4.5)
    chosen = find_tolerance(WAVES, 0.01).tolerance
    for versions, found in (
        ({Version("zfp", "field", 1.0): chosen, Version("zfp", "field", 4.0): 1.0}, chosen),
        ({Version("zfp", "fixed", 1.0): 0.5}, None),
        ({}, None),
    ):
        assert FieldSettings(sample(), codecs, versions).algorithm_1 == found


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (5.0, 5.0), (-1e-9, 1e-9), (0, 1e9)])
def test_any_range_has_settings(low, high):
    codecs = codecs_for(Zfp, low, high)
    assert len(codecs) == N_TOLERANCES + 1 and codecs[0] == Zfp(0.0)
    constant = np.full((8, 8), low, np.float32)
    grid = Grid.uniform({"y": (8, 0, 1), "x": (8, 0, 1)})
    found = FieldSettings(sample(constant, grid=grid), codecs)
    assert np.isfinite(found.decode(5)).all()


class Steps(Codec):
    """A codec of any tolerance, without powers of two: rounding to multiples."""

    name = "steps"

    def __init__(self, tolerance):
        self.tolerance = float(tolerance)

    def __eq__(self, other):
        return self.tolerance == other.tolerance

    def __hash__(self):
        return hash(self.tolerance)

    def _settings(self):
        return {"tolerance": self.tolerance}

    def encode(self, array):
        return array.tobytes()

    def decode(self, data, shape, dtype=np.float32, out=None):
        return np.frombuffer(data, dtype).reshape(shape)

    def h5_filter(self):
        return {}


def test_settings_of_any_codec_go_through_the_chosen_tolerance():
    codecs = codecs_for(Steps, 1.0, 4.0, 0.3)
    bounds = [codec.tolerance for codec in codecs]
    assert bounds[0] == 0 and {0.3, 0.6, 0.15} <= set(bounds) and bounds == sorted(bounds)
    assert 24 < bounds[-1] <= 48 and len(bounds) == N_TOLERANCES + 1


def test_a_stored_tolerance_beyond_the_range_is_a_setting_but_not_without_end():
    assert codecs_for(Zfp, 0.0, 1.0)[-1] == Zfp(16)
    assert codecs_for(Zfp, 0.0, 1.0, stored=128.0)[-1] == Zfp(128)
    assert codecs_for(Zfp, 0.0, 1.0, stored=1e9)[-1] == Zfp(1024)
    assert codecs_for(Zfp, 0.0, 1.0, anchor=1e9, stored=1e9)[-1].tolerance <= 1024


def test_cache_forgets_the_least_recently_used_and_stays_within_its_bytes(monkeypatch):
    monkeypatch.setattr(settings, "CACHE_BYTES", 300)
    cache, made = settings.new_cache(), []

    def get(key):
        return settings.cached(cache, key, lambda: made.append(key) or np.zeros(100, np.uint8))

    for key in "abcada":
        get(key)
        assert cache.currsize <= 300
    assert made == list("abcd")  # `b`, and not the lately used `a`, made room
    get("b")
    assert made[-1] == "b"
    assert settings.cached(cache, "large", lambda: np.zeros(999, np.uint8)).size == 999
    assert list(cache) == ["large"]  # one value beyond the limit is kept: it is needed again


def test_spectrum_of_noise_adds_up_to_its_variance_and_has_no_direction():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40, 96, 32)) + 7
    found = [spectrum(one, 3 / 96, 1 / 32) for one in noise]
    k, power = found[0][0], np.mean([power for _, power in found], axis=0)
    np.testing.assert_allclose(k, np.arange(1, 16))
    # White noise fills the square of wavenumbers evenly; the shells cover a disc of radius 15.5.
    assert power.sum() == pytest.approx(np.pi * 15.5**2 / 32**2, rel=0.03)
    turned = spectrum(noise[0].T, 1 / 32, 3 / 96)
    np.testing.assert_allclose(turned[1], found[0][1], rtol=1e-9)


def test_the_unit_of_a_wavenumber_is_the_grids():
    assert sample().wavenumber_unit == "cycles / cm"
    y, x = GRID.axes
    for axes in ((y, replace(x, unit="s")), (replace(y, unit="1"), replace(x, unit="1"))):
        assert sample(grid=Grid(axes)).wavenumber_unit == ""


def test_what_is_said_of_a_field_at_a_setting():
    decoded = WAVES.copy()
    decoded[0, 0] += 0.5
    one = view_of(decoded, model_error=0.001)
    losses = one.losses
    assert losses.linf == pytest.approx(0.5) and losses.l1 == pytest.approx(0.5 / WAVES.size)
    assert one.share == pytest.approx(losses.l1 / 0.001)
    edges, heights, exact, _ = one.histogram
    assert heights.sum() + exact == pytest.approx(100) and exact == pytest.approx(100 * 767 / 768)
    assert edges[heights.argmax()] <= 0.5 <= edges[heights.argmax() + 1]
    assert losses.psnr == pytest.approx(20 * np.log10(3 / (0.5 / np.sqrt(768))), abs=1e-4)


def test_quantities_are_of_the_sample_with_one_field_decoded():
    def heat(fields, parameters, constants, grid):
        product = fields["density"] * fields["energy"].astype(float)
        return product.sum((-2, -1)) * parameters["a"] * constants["b"] * grid.cell_volume

    def count(fields, parameters, constants, grid):
        return np.float64(fields["energy"].size)

    quantities = {
        "heat": Quantity("heat", "total heat", "J", heat),
        "count": Quantity("count", "cells", "1", count),
    }
    fields = {"density": WAVES, "energy": 2 * WAVES}
    numbers = {"parameters": {"a": 3.0}, "constants": {"b": 5.0}}
    decoded = np.stack([WAVES, WAVES + 1])
    one, two = measure(sample(fields=fields, quantities=quantities, **numbers), decoded)
    before = (WAVES * 2.0 * WAVES).sum() * 15 * GRID.cell_volume
    assert one.totals[0][:2] == ("total heat", "J") and one.totals[0].before == one.totals[0].after
    assert two.totals[0].before == pytest.approx(before, rel=1e-6)
    assert two.totals[0].after == pytest.approx(
        before + (2.0 * WAVES).sum() * 15 * GRID.cell_volume, rel=1e-6
    )
    assert two.totals[1].before == two.totals[1].after == 768


def test_errors_beyond_the_axis_are_counted_apart_and_in_no_bar():
    far = WAVES + np.where(X < 0.5, np.float32(1e-6), np.float32(100))
    _, heights, exact, beyond = view_of(far).histogram
    share = 100 * np.mean(X >= 0.5)  # the others are below the axis, or exact
    assert not heights.any() and beyond[1] == pytest.approx(share) and beyond[0] > 0
    assert sum(beyond) + exact == pytest.approx(100)


def test_a_field_that_never_varies_has_no_psnr():
    assert math.isnan(view_of(WAVES, peak=0.0).losses.psnr)
    assert view_of(WAVES).losses.psnr == math.inf
    assert metrics.psnr(WAVES, WAVES, 3.0) == math.inf
