import math

import numpy as np
import pytest

from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import find_tolerance, measure
from surrlab.data.fields import Grid
from surrlab.explorer.settings import RUNGS, Cache, Ladder, Shown, exponents, spectrum

Y, X = np.mgrid[0:1:48j, 0:1:16j]
WAVES = np.float32(3 + np.sin(6 * X) * np.cos(5 * Y) + 0.05 * np.sin(90 * X * Y))


@pytest.fixture(scope="module")
def ladder():
    return Ladder(WAVES, exponents(float(WAVES.min()), float(WAVES.max())))


def shown(**changes):
    given = {
        "title": "a", "name": "density", "label": "density", "unit": "cm", "truth": WAVES,
        "decoded": WAVES, "grid": Grid(48, 16, (0, 1), (0, 3)), "limits": (1.5, 4.5), "reach": 0.1,
        "peak": 3.0, "tolerance": 0.5, "ratio": 20.0, "nbytes": 100,
    }  # fmt: skip
    return Shown(**given | changes)


def test_rungs_keep_their_tolerance_and_run_from_exact_to_nearly_nothing(ladder):
    assert len(ladder) == RUNGS + 1
    assert ladder.tolerance(0) == 0 and (ladder.decode(0) == WAVES).all()
    for rung in range(1, len(ladder)):
        error = np.abs(ladder.decode(rung) - WAVES).max()
        assert error <= ladder.tolerance(rung) == math.ldexp(1, ladder.exponents[rung - 1])
    assert (np.diff(ladder.ratios) >= 0).all() and ladder.ratios[-1] > 30
    assert np.abs(ladder.decode(len(ladder) - 1) - WAVES).mean() > 0.1 * np.ptp(WAVES)


def test_a_rung_is_what_the_codec_makes(ladder):
    found = measure(WAVES, Zfp(0.01))
    rung = ladder.rung_of(0.01)
    assert ladder.streams[rung] == found.stream and ladder.tolerance(rung) == found.tolerance


def test_large_fields_take_threads_and_come_out_the_same():
    large = np.tile(WAVES, (16, 16))
    ladder = Ladder(large, exponents(1.5, 4.5))
    assert large.size > 1 << 15
    assert ladder.streams[7] == Zfp(ladder.tolerance(7)).encode(large)


@pytest.mark.parametrize(("bound", "rung"), [(0, 0), (1e-30, 1), (1e30, RUNGS)])
def test_bounds_beyond_the_ladder_take_its_ends(ladder, bound, rung):
    assert ladder.rung_of(bound) == rung


def test_near_ratio_and_algorithm_1(ladder):
    for rung, ratio in enumerate(ladder.ratios):
        assert ladder.ratios[ladder.near_ratio(ratio * 1.01)] == ladder.ratios[rung]
    assert ladder.algorithm_1(0.01) == find_tolerance(WAVES, 0.01).tolerance


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (5.0, 5.0), (-1e-9, 1e-9), (0, 1e9)])
def test_any_range_has_a_ladder(low, high):
    assert len(exponents(low, high)) == RUNGS
    constant = np.full((8, 8), low, np.float32)
    ladder = Ladder(constant, exponents(low, high))
    assert np.isfinite(ladder.decode(5)).all()


def test_cache_forgets_the_longest_unused_and_stays_within_its_bytes():
    cache, made = Cache(limit=300), []

    def get(key):
        return cache.get(key, lambda: made.append(key) or np.zeros(100, np.uint8))

    for key in "abcada":
        get(key)
        assert cache.nbytes <= 300
    assert made == list("abcd")  # `b`, and not the lately used `a`, made room
    get("b")
    assert made[-1] == "b"


def test_spectrum_of_noise_adds_up_to_its_variance_and_has_no_direction():
    rng, grid = np.random.default_rng(0), Grid(96, 32, (0, 1), (0, 3))
    noise = rng.standard_normal((40, 96, 32)) + 7
    found = [spectrum(one, grid) for one in noise]
    k, power = found[0][0], np.mean([power for _, power in found], axis=0)
    np.testing.assert_allclose(k, np.arange(1, 16))
    # White noise fills the square of wavenumbers evenly; the shells cover a disc of radius 15.5.
    assert power.sum() == pytest.approx(np.pi * 15.5**2 / 32**2, rel=0.03)
    turned = spectrum(noise[0].T, Grid(32, 96, (0, 3), (0, 1)))
    np.testing.assert_allclose(turned[1], found[0][1], rtol=1e-9)


def test_what_is_said_of_a_field_at_a_setting():
    decoded = WAVES.copy()
    decoded[0, 0] += 0.5
    one = shown(decoded=decoded, model_error=0.001)
    assert one.linf == pytest.approx(0.5) and one.l1 == pytest.approx(0.5 / WAVES.size)
    assert one.share == pytest.approx(one.l1 / 0.001)
    edges, heights, exact = one.histogram
    assert heights.sum() + exact == pytest.approx(100) and exact == pytest.approx(100 * 767 / 768)
    assert edges[heights.argmax()] <= 0.5 <= edges[heights.argmax() + 1]
    assert one.psnr == pytest.approx(20 * np.log10(3 / (0.5 / np.sqrt(768))), abs=1e-4)


def test_errors_beyond_the_axis_are_counted_at_its_ends():
    far = WAVES + np.where(X < 0.5, np.float32(1e-6), np.float32(100))
    _, heights, exact = shown(decoded=far).histogram
    assert heights[0] + heights[-1] + exact == pytest.approx(100) and heights[-1] > 0


def test_a_field_that_never_varies_has_no_psnr():
    assert math.isnan(shown(peak=0.0).psnr) and shown().psnr == math.inf
