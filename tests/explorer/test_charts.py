"""Charts: one description, and the same numbers from both renderers."""

import re
from dataclasses import replace

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from surrlab.compression.codecs.zfp import Zfp
from surrlab.explorer import charts
from surrlab.explorer._opening import open_field
from surrlab.explorer.comparison import Curves
from surrlab.explorer.settings import FieldSettings, codecs_for
from surrlab.figures.charts import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Histogram,
    Mark,
    Picture,
    draw_chart,
    draw_picture,
    verbatim,
)

Y, X = np.mgrid[0:1:48j, 0:1:16j]
WAVES = np.float32(3 + np.sin(6 * X) * np.cos(5 * Y))
T = np.linspace(0, 4, 5)
CURVES = Curves("height", "m", "s", T, T**2, T, 0 * T + 0.5, 3, {"10.0× (tolerance ×1)": 2 * T})


def view(values=WAVES, setting=16, **given):
    return open_field(values, "height", "m", **given).field_view(0, 0, "height", setting)


def drawn(chart):
    ax = Figure().add_subplot()
    draw_chart(ax, chart)
    return ax


def points(svg):
    """Points of each line of an SVG, in pixels."""
    lines = re.findall(r'<polyline points="([^"]+)"', svg)
    return [np.array([p.split(",") for p in line.split()], float) for line in lines]


def test_both_renderers_draw_the_same_curves():
    chart = Chart("t", ChartAxis("x", (0, 4)), ChartAxis("y", (-2, 18)), (Curve(T, T**2, "a"),))
    (line,) = drawn(chart).lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([T, T**2]))
    (pixels,) = points(charts.svg(chart, (360, 232)))
    left, top, right, bottom = charts._box((360, 232))
    expected = left + (right - left) * T / 4, bottom + (top - bottom) * (T**2 + 2) / 20
    np.testing.assert_allclose(pixels, np.column_stack(expected), atol=0.051)


def test_both_renderers_draw_logarithmic_axes_and_keep_to_their_limits():
    x, y = np.array([1.0, 10.0, 100.0]), np.array([1e-9, 1.0, 1e9])
    axes = ChartAxis("x", (1, 100), log=True), ChartAxis("y", (1e-3, 1e3), log=True)
    chart = Chart("t", *axes, (Curve(x, y),))
    ax = drawn(chart)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log") and ax.get_ylim() == (1e-3, 1e3)
    (pixels,) = points(charts.svg(chart))
    left, top, right, bottom = charts._box((360, 232))
    np.testing.assert_allclose(pixels[:, 0], [left, (left + right) / 2, right])
    np.testing.assert_allclose(pixels[:, 1], [bottom, (top + bottom) / 2, top])


def test_both_renderers_draw_bands_marks_and_histograms():
    elements = (
        Band(T, T - 1, T + 1, "band"),
        Mark(2.0, "mark", "#123456", (2, 3)),
        Histogram(np.arange(6.0), np.arange(5.0), "bars", "#654321"),
    )
    chart = Chart("t", ChartAxis("x", (0, 5)), ChartAxis("y", (-2, 6)), elements)
    ax = drawn(chart)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(labels) == ["band", "bars", "mark"]
    assert ax.lines[0].get_color() == "#123456" and set(ax.lines[0].get_xdata()) == {2.0}
    svg = charts.svg(chart)
    assert svg.count("<polygon") == 2 and 'stroke-dasharray="2 3"' in svg
    assert all(f"</svg>{label}</span>" in svg for label in labels)
    assert svg.count("currentColor") > 3 and "#654321" in svg


def test_a_notice_stands_in_place_of_the_elements():
    chart = Chart("t", ChartAxis("x", (0, 1)), ChartAxis("y", (0, 1)), (Mark(1, "m"),), "", "No.")
    assert ">No.</text>" in charts.svg(chart) and ">m</span>" not in charts.svg(chart)
    ax = drawn(chart)
    assert [text.get_text() for text in ax.texts] == ["No."] and not ax.lines


def test_pictures_keep_values_limits_and_true_proportions():
    picture = Picture("t", "l", WAVES, (1.0, 5.0), "viridis", False, (0, 1, 0, 3))
    image = draw_picture(Figure().add_subplot(), picture)
    np.testing.assert_array_equal(image.get_array(), WAVES)
    assert image.get_clim() == (1, 5) and image.get_extent() == [0, 1, 0, 3]
    constant = draw_picture(Figure().add_subplot(), replace(picture, limits=(7.0, 7.0)))
    assert constant.get_clim() == (6, 8)


def test_the_histogram_has_its_marks():
    one = view(model_error=0.02)
    chart = charts.error_chart(one)
    marks = {element.label: element.x for element in chart.elements[1:]}
    assert marks == {
        "mean: L1 error": one.losses.l1, "tolerance": one.tolerance, "model error": 0.02
    }  # fmt: skip
    assert chart.x.label == "|decoded − truth| (m)" and chart.x.limits == one.error_limits
    assert chart.elements[0].heights.max() <= chart.y.limits[1] in (25, 50, 101)
    exact = charts.error_chart(view(setting=0))
    assert exact.title.endswith("(100 % are exact)") and len(exact.elements) == 1


def test_the_spectrum_has_units_of_the_grid():
    chart = charts.spectrum_chart(view())
    assert chart.x.label == "wavenumber (cycles / cell)" and chart.y.label == "variance (m)²"
    assert [element.label for element in chart.elements] == ["truth", "decoded", "difference"]
    assert not chart.notice
    assert "no scales" in charts.spectrum_chart(view(np.full((8, 8), 3.0))).notice


def test_curves_have_a_band_only_with_several_raw_models():
    chart = charts.curve_chart(CURVES, 2.0)
    band = chart.elements[0]
    np.testing.assert_array_equal([band.low, band.high], [T - 0.5, T + 0.5])
    assert band.label == "±2σ of 3 raw models" and chart.x.label == "time (s)"
    assert chart.title.startswith("Height") and chart.y.label == "height (m)"
    low, high = chart.y.limits
    assert low < -0.5 and 16 < high < 18
    lone = charts.curve_chart(replace(CURVES, n_raw=1), 2.0)
    assert not any(isinstance(element, Band) for element in lone.elements)
    once = {name: getattr(CURVES, name)[:1] for name in ("times", "truth", "mean", "two_sigma")}
    assert charts.curve_chart(replace(CURVES, **once, versions={}), 0.0).x.limits == (-1, 1)


def test_versions_beyond_five_begin_again_with_the_colours():
    versions = {f"v{i}": T * i for i in range(7)}
    chart = charts.curve_chart(replace(CURVES, versions=versions), 0.0)
    colors = [element.color for element in chart.elements if element.label.startswith("v")]
    assert colors[:2] == colors[5:] and len(set(colors)) == 5
    assert all(map(matplotlib.colors.is_color_like, colors))


@pytest.mark.parametrize(
    ("low", "high", "log", "labels"),
    [
        (0, 25, False, ["0", "5", "10", "15", "20", "25"]),
        (-0.4, 0.4, False, ["−0.4", "−0.2", "0", "0.2", "0.4"]),
        (1e-4, 1e4, True, ["10⁻⁴", "10⁻²", "10⁰", "10²", "10⁴"]),
        (3, 24, True, ["5", "10", "20"]),
    ],
)
def test_ticks_are_round_numbers(low, high, log, labels):
    assert [text for _, text in charts._ticks(low, high, log)] == labels


def test_text_with_dollars_is_no_formula():
    chart = Chart(r"$\bad{", ChartAxis("$x", (0, 1)), ChartAxis("y$$", (0, 1)), (Mark(0, "$_"),))
    ax = drawn(chart)
    ax.figure.savefig("/dev/null", format="png")
    assert verbatim("$x$") == r"\$x\$" and ax.get_title() == verbatim(r"$\bad{")


def test_pages_on_paper_hold_the_numbers_of_the_screen():
    one = view(model_error=0.02)
    text = " ".join(t.get_text() for t in charts.field_figure(one).findobj(match_text))
    for part in ("height: At", "decoded − truth (m)", f"PSNR {one.losses.psnr:.1f} dB", "L∞"):
        assert part in text
    charts.field_figure(view(np.random.default_rng(0).random((8, 30)))).canvas.draw()


def match_text(artist):
    return hasattr(artist, "get_text")


def test_frames_are_drawn_once():
    settings = FieldSettings(view().sample, codecs_for(Zfp, 2.0, 4.0))
    charts._frame.cache_clear()
    for setting in (5, 6, 7):
        charts.svg(charts.spectrum_chart(settings.view(setting)))
    assert charts._frame.cache_info().misses == 1
