"""Charts: one description, and the same numbers from both renderers."""

import re
from dataclasses import replace

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from surrlab._text import number, percent
from surrlab.compression.codecs.zfp import Zfp
from surrlab.explorer import _figures, charts
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
    tall = bottom - top  # of six decades; each end lies six decades beyond, and is cut off there
    np.testing.assert_allclose(pixels[:, 1], [bottom + tall, (top + bottom) / 2, top - tall])
    assert [(a.side, a.at, a.text) for a in charts.arrows(chart)] == [
        ("above", 100, "1·10⁹"), ("below", 1, "1·10⁻⁹"),
    ]  # fmt: skip


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
    text = " ".join(t.get_text() for t in _figures.field_figure(one).findobj(match_text))
    for part in ("height: At", "decoded − truth (m)", f"PSNR {one.losses.psnr:.1f} dB", "L∞"):
        assert part in text
    _figures.field_figure(view(np.random.default_rng(0).random((8, 30)))).canvas.draw()


def match_text(artist):
    return hasattr(artist, "get_text")


def test_frames_are_drawn_once():
    settings = FieldSettings(view().sample, codecs_for(Zfp, 2.0, 4.0))
    charts._frame.cache_clear()
    for setting in (5, 6, 7):
        charts.svg(charts.spectrum_chart(settings.view(setting)))
    assert charts._frame.cache_info().misses == 1


# ------------------------------------------------------------------------- beyond the limits


AXES = ChartAxis("x", (0, 10)), ChartAxis("y", (-1, 1))
LINE = np.linspace(0, 12, 13)
BEYOND = Chart(
    "t",
    *AXES,
    (
        Histogram(np.arange(4.0), np.full(3, 0.5), "bars", "#654321", (3.0, 0.0)),
        Mark(-2.0, "early", "#123456"),
        Mark(5.0, "here"),
        Mark(12.0, "late"),
        Curve(LINE, np.where(LINE == 4, 3.0, np.where(LINE == 12, 9.0, 0.0)), "peak"),
    ),
)


def test_what_lies_beyond_is_an_arrow_with_its_number_at_the_true_edge():
    found = {(one.side, one.head, one.text) for one in charts.arrows(BEYOND)}
    assert found == {
        ("left", "◂", "3 %"), ("left", "◂", "−2"), ("right", "▸", "12"), ("above", "▲", "3"),
    }  # fmt: skip
    svg = charts.svg(BEYOND, (360, 232))
    texts = dict(re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="\w+">([^\n]*?)</text>', svg))
    words = {re.sub("<[^>]*>", "", text): float(x) for x, text in texts.items()}
    left, right = 58, 348  # ends of the frame
    assert words["12 ▸"] == right - 3
    assert words["▲ 3"] == pytest.approx(left + 0.4 * (right - left), abs=0.1)  # where the peak is
    assert {text for text, x in words.items() if x == left + 3} <= {"◂ 3 %", "◂ −2"}


def test_no_line_stands_at_a_false_place():
    """Within the frame, marks stand where they belong; lines that leave it go on beyond it."""
    svg = charts.svg(BEYOND, (360, 232))
    inside = re.search(r'<svg x="58" y="30" width="290" height="164" viewBox="58 30 290 164" '
                       r'overflow="hidden">(.*?)</svg>', svg)[1]  # fmt: skip
    marks = [float(x) for x in re.findall(r'd="M(-?[\d.]+) 30V194"', inside)]
    assert marks == pytest.approx([58 - 58, 58 + 145, 58 + 348], abs=0.1)
    (points,) = re.findall(r'<polyline points="([^"]*)"[^>]*stroke="currentColor"', inside)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert places[4] == pytest.approx((58 + 116, 112 - 3 * 82), abs=0.1)  # above the frame


def test_an_axis_of_errors_has_arrows_for_what_it_cannot_show():
    one = view(setting=20)
    sample = replace(one.sample, color_limit=1e-6, model_error=1e-12)
    far = replace(one, sample=sample)
    assert far.error_limits[1] < one.losses.l1
    found = [(a.side, a.text) for a in charts.arrows(charts.error_chart(far))]
    share = percent(np.mean(far.difference != 0))
    assert ("right", number(one.losses.l1)) in found and ("right", share) in found
    assert ("left", number(1e-12)) in found and not far.histogram[1].any()
    paper = " ".join(t.get_text() for t in _figures.field_figure(far).findobj(match_text))
    assert f"{number(one.losses.l1)} ▸" in paper and f"{share} ▸" in paper
