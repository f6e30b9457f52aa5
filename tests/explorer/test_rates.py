"""The panel of ratio against error: its lines are what each codec makes, its mark lies on them."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from surrlab import explorer
from surrlab._text import times
from surrlab.compression.codecs import codec_class
from surrlab.compression.search import find_tolerance
from surrlab.compression.version import Version
from surrlab.explorer import _rates, charts
from surrlab.explorer._opening import open_field
from surrlab.explorer._rates import (
    LINF,
    MEASURES,
    PSNR,
    SIZE,
    RateChart,
    RateCurve,
    RatePanel,
    measure,
)
from surrlab.explorer.settings import settings_for

Y, X = np.mgrid[0:1:40j, 0:1:24j]
WAVES = np.float32(3 + np.sin(6 * X) * np.cos(5 * Y) + 0.05 * np.sin(90 * X * Y))
ERROR = 0.02


def rates_of(values=WAVES, model_error=ERROR):
    results = open_field(values, "height", "m", model_error)
    sample = results.field_settings(0, 0, "height").sample
    return measure(sample, results.settings_by_codec(0, 0, "height"), lambda: True)


@pytest.fixture(scope="module")
def rates():
    return rates_of()


def circles(svg):
    """Each point of the lines: codec and setting -> where it lies."""
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]* data-point="(\w+ \d+)"', svg)
    return {name: (float(x), float(y)) for x, y, name in found}


def test_each_line_is_what_its_codec_makes(rates):
    assert [c.codec for c in rates.curves] == ["zfp", "sz3", "sperr", "bitround"]
    assert not rates.refused
    for curve in rates.curves:
        settings = settings_for(rates.sample, codec_class(curve.codec))
        for setting in (6, 15):
            codec = settings.codecs[setting]
            stream = codec.encode(WAVES)
            error = np.abs(codec.decode(stream, WAVES.shape).astype(float) - WAVES)
            assert curve.ratio[setting] == pytest.approx(WAVES.nbytes / len(stream))
            assert curve.l1[setting] == pytest.approx(error.mean())
            assert curve.linf[setting] == pytest.approx(error.max())


def test_algorithm_1_is_marked_on_every_line_and_keeps_the_models_error(rates):
    for curve in rates.curves:
        (setting,) = (s for s, name in curve.versions.items() if name == "Algorithm 1")
        expected = find_tolerance(WAVES, ERROR, codec_class(curve.codec))
        assert curve.l1[setting] == pytest.approx(expected.error) and expected.error <= ERROR


def test_what_is_stored_with_a_codec_is_marked_by_its_factor(rates):
    chosen = find_tolerance(WAVES, ERROR, codec_class("sz3")).tolerance
    stored = {Version("sz3", "field", f): f * chosen for f in (1.0, 4.0)}
    settings = settings_for(rates.sample, codec_class("sz3"), stored, 4 * chosen)
    names = RateCurve.of("sz3", settings).versions
    assert sorted(names.values()) == ["Algorithm 1", "×4"]
    assert [settings.tolerances[s] for s in sorted(names)] == [chosen, 4 * chosen]


def test_the_axis_says_whether_a_ratio_is_the_stream_s_or_the_files(rates, studied):
    chart = RateChart(rates, "L1")
    assert chart.chart.y.label == "estimate: ratio of the stream" and "files" not in chart.lines()
    page = explorer.explore(studied).fields
    page.rates.finish()
    chart, stored = page.rates._chart, page.results.stored
    assert chart.chart.y.label == "ratio (● stream, ◇ files)"
    lines = page.rates.lines.value
    assert "a stored version&#x27;s files: all its fields and times" in lines
    zfp = next(curve for curve in chart.rates.curves if curve.codec == "zfp")
    diamonds = re.findall(r'<path d="M([\d.]+) ([\d.]+)l5 -5', lines)
    assert len(diamonds) == len(stored) == len(zfp.stored) == 2
    for setting, version in zfp.stored.items():
        (one,) = (one for one in stored if one.version == version)
        size = sum(path.stat().st_size for path in Path(one.ensemble.name).rglob("*.h5"))
        ratio = one.ensemble.raw_nbytes / size
        assert one.file_ratio == pytest.approx(ratio) == pytest.approx(one.ratios.file)
        assert f"{times(ratio)} as files" in chart.text(zfp, setting)
        x, y = charts.place(chart.chart, SIZE, zfp.l1[setting] / chart._unit, ratio)
        assert (f"{x - 5:.1f}", f"{y:.1f}") in diamonds


@pytest.mark.parametrize("by", MEASURES)
def test_the_mark_lies_on_the_point_that_a_click_would_pick(rates, by):
    chart = RateChart(rates, by)
    points = circles(chart.lines())
    assert len(points) > 60
    for name, place in points.items():
        codec, setting = name.split()
        x, y = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', chart.mark(codec, int(setting))).groups()
        assert (float(x), float(y)) == place
    xs = [points[f"zfp {s}"][0] for s in (8, 12, 16)]
    assert xs == sorted(xs, reverse=by == PSNR)  # more is lost to the right, but for PSNR


def test_errors_are_in_units_of_the_models_where_it_is_known(rates):
    curve = rates.curves[1]
    setting = next(iter(curve.versions))
    assert RateChart(rates, "L1").label == "L1 error / model error"
    x = RateChart(rates, "L1").chart.elements[1].x
    np.testing.assert_allclose(x, curve.l1[curve.l1 > 0] / ERROR)
    assert "× model error, Algorithm 1" in RateChart(rates, LINF).text(curve, setting)
    alone = rates_of(model_error=None)
    assert RateChart(alone, "L1").label == "L1 error (m)"
    assert not alone.curves[0].versions


def test_a_setting_without_error_has_an_arrow_and_no_place(rates):
    for by, arrow in (("L1", "◂ exact"), (PSNR, "exact ▸")):
        chart = RateChart(rates, by)
        assert "zfp 0" not in circles(chart.lines())
        assert arrow in chart.mark("zfp", 0) and "<circle" not in chart.mark("zfp", 0)


def test_a_codec_that_refuses_the_field_is_named_and_the_others_are_drawn():
    line = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 64)
    rates = rates_of(line)
    assert [c.codec for c in rates.curves] == ["zfp", "sz3", "bitround"]
    html = RateChart(rates, "L1").lines()
    assert "SPERR does not take this field: SPERR takes two or three sides" in html


def test_a_field_of_zeros_has_a_sentence_in_place_of_lines():
    chart = RateChart(rates_of(np.zeros((16, 16)), None), "L1")
    assert chart.chart.notice and chart.mark("zfp", 3) == ""


def test_lines_of_a_field_that_is_left_are_never_drawn(monkeypatch):
    monkeypatch.setattr(_rates, "DELAY", 1000)
    results = open_field(WAVES, model_error=ERROR)
    settings = results.field_settings(0, 0, "field")
    panel, asked = RatePanel(lambda *_: None), []

    def plan():
        asked.append(1)
        return results.settings_by_codec(0, 0, "field")

    panel.show((0, 0, "a", "zfp"), settings, plan, 9)
    left = panel._waiting
    panel.show((0, 1, "a", "zfp"), settings, plan, 9)
    assert left.finished.is_set()  # cancelled
    panel._measure(*left.args)  # as if it had been under way
    assert not circles(panel.lines.value) and panel.mark.value == ""
    panel.finish()
    lines = panel.lines.value
    assert circles(lines) and "<circle" in panel.mark.value
    panel.show((0, 1, "a", "sz3"), settings, plan, 12)  # another codec moves the mark alone
    assert panel.lines.value == lines and 'data-text="SZ3' in panel.mark.value
    assert len(asked) == 2


def test_a_thread_measures_when_time_stands_still(monkeypatch):
    monkeypatch.setattr(_rates, "DELAY", 0.0)
    results = open_field(WAVES, model_error=ERROR)
    panel, settings = RatePanel(lambda *_: None), results.field_settings(0, 0, "field")
    plan = functools.partial(results.settings_by_codec, 0, 0, "field")
    panel.show((0, 0, "a", "zfp"), settings, plan, 9)
    panel._waiting.join()
    assert circles(panel.lines.value)
