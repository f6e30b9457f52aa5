"""The explorer's charts: described once, drawn as SVG for the screen and by matplotlib for paper.

`error_chart`, `spectrum_chart` and `curve_chart` are descriptions. `svg` draws one in the page's
own text colour within a millisecond; `field_figure` and `model_figure` are the pages on paper.
"""

from __future__ import annotations

import functools
import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surrlab._text import number, quantity, sentence, superscript, times, tolerance, with_unit
from surrlab.explorer._layout import picture_size
from surrlab.explorer._look import Look, Shades
from surrlab.explorer._zoom import edges
from surrlab.explorer.comparison import TRUTH, Curves, ModelView
from surrlab.explorer.html import DIFFERENCE, escape, headline
from surrlab.explorer.settings import FieldView
from surrlab.figures.charts import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Dash,
    Histogram,
    Mark,
    Picture,
    draw_chart,
    draw_pictures,
    verbatim,
)
from surrlab.figures.style import STATE_COLORS, plain_text

DECODED, ERROR = "#d97706", "#4a90d9"
VERSION_COLORS = ("#3c9d5b", "#d97706", "#d6453d", "#a366c9", "#4a90d9")
"""Versions from the least compressed; legible on white and on black."""
VERSION_DASHES = ((), (7, 3), (2, 3), (9, 3, 2, 3), (1, 2))
_SQUARES = (1e-145, 1e150)
"""Ranges of a field whose power float64 can say."""
_MARGINS = (58, 12, 30, 38)  # left, right, top, bottom, in pixels


def error_chart(view: FieldView) -> Chart:
    """Histogram of |error|, with the tolerance, the mean and the model's own error."""
    edges, heights, exact = view.histogram
    elements = [Histogram(edges, heights, "cells", DECODED)]
    if view.losses.l1:
        elements.append(Mark(view.losses.l1, "mean: L1 error", DECODED, (5, 3)))
    if view.tolerance:
        elements.append(Mark(view.tolerance, "tolerance", ERROR, (2, 3)))
    if view.sample.model_error:
        elements.append(Mark(view.sample.model_error, "model error"))
    top = next(top for top in (25, 50, 101) if heights.max() <= top)
    exact = f" ({exact:.0f} % are exact)" if exact else ""
    return Chart(
        title=f"How large are the errors?{exact}",
        x=ChartAxis(
            with_unit("|decoded − truth|", view.sample.field.unit), view.error_limits, log=True
        ),
        y=ChartAxis("% of cells", (0, top)),
        elements=tuple(elements),
        summary=f"Histogram of the absolute error{exact}: {headline(view)}",
    )


def spectrum_chart(view: FieldView) -> Chart:
    """Power spectrum of the true and the decoded field, and of their difference."""
    sample = view.sample
    k, power = view.spectra
    low, high = sample.limits
    size = high - low or 1.0
    top = 10.0 ** math.ceil(2 * math.log10(size) - 1) if _SQUARES[0] < size < _SQUARES[1] else 1.0
    unit = "" if sample.field.unit in ("", "1") else f" ({sample.field.unit})²"
    return Chart(
        title="Which scales survive?",
        x=ChartAxis(
            with_unit("wavenumber", sample.wavenumber_unit),
            (float(k[0]), float(k[-1]) if len(k) > 1 else 2 * float(k[0])),
            log=True,
        ),
        y=ChartAxis(f"variance{unit}", (top * 1e-9, top), log=True),
        elements=(
            Curve(k, power["truth"], "truth", width=2.2),
            Curve(k, power["decoded"], "decoded", DECODED, (6, 3), 2),
            Curve(k, power["difference"], "difference", ERROR, (2, 3)),
        ),
        summary="Power spectrum of the true and the decoded field and of their difference",
        notice=(
            "Squares of its values are beyond float64: no spectrum."
            if not _SQUARES[0] < size < _SQUARES[1]
            else ""
            if power["truth"].any()
            else "This field has no scales: it is constant."
        ),
    )


def curve_chart(curves: Curves, time: float) -> Chart:
    """A quantity in time: truth, ±2σ of the raw models, one lossy model per version."""
    t, low, high = curves.times, curves.mean - curves.two_sigma, curves.mean + curves.two_sigma
    elements = []
    if curves.n_raw > 1:
        elements.append(Band(t, low, high, f"±2σ of {curves.n_raw} raw models"))
    elements.append(Curve(t, curves.mean, "mean of raw models", dash=(6, 3), width=1.2))
    for i, (name, values) in enumerate(curves.versions.items()):
        color, dash = VERSION_COLORS[i % 5], VERSION_DASHES[i % 5]
        elements.append(Curve(t, values, name, color, dash, 1.8))
    elements += [Curve(t, curves.truth, "truth", width=2.4), Mark(time, dash=(1, 4))]
    bottom = min(v.min() for v in (curves.truth, low, *curves.versions.values()))
    top = max(v.max() for v in (curves.truth, high, *curves.versions.values()))
    margin = 0.05 * (top - bottom) or 1.0
    ends = float(t[0]), float(t[-1])
    return Chart(
        title=f"{sentence(curves.label)}: do lossy models stay in the band?",
        x=ChartAxis(
            with_unit("time", curves.time_unit),
            ends if ends[0] < ends[1] else (ends[0] - 1, ends[0] + 1),
        ),
        y=ChartAxis(
            with_unit(curves.label, curves.unit), (float(bottom - margin), float(top + margin))
        ),
        elements=tuple(elements),
        summary=f"{curves.label} in time: truth, raw models and lossy models",
    )


# --------------------------------------------------------------------------- the pages on paper


@plain_text()
def field_figure(
    view: FieldView, color_limit: float | None = None, look: Look | None = None
) -> Figure:
    """Truth, decoded field and difference; histogram of the errors; power spectrum; numbers.

    The difference is coloured up to ±`color_limit`, by default the sample's own.
    """
    look = look or Look()
    sample, field = view.sample, view.sample.field
    color_limit = color_limit or sample.color_limit
    width, height = picture_size(sample.grid, 1000, 1000)
    tall = height > 1.5 * width
    figure = Figure(figsize=(12, 6) if tall else (12, 8.6), dpi=110, layout="constrained")
    title = f"{field.label} of {sample.title}" if sample.title else field.label
    figure.suptitle(verbatim(f"{title}: {headline(view)}"), x=0.01, ha="left", fontsize=12)
    if tall:
        left, right = figure.subfigures(1, 2, width_ratios=(6, 5))
        errors, spectra = right.subplots(2, 1)
    else:
        left, right = figure.subfigures(2, 1, height_ratios=(5, 4))
        errors, spectra = right.subplots(1, 2)
    decoded = f"decoded, {times(view.ratio)}"
    shades = look.shades(sample.limits)
    differences = Shades((-color_limit, color_limit), DIFFERENCE)
    pictures = [
        picture_of("truth", sample.truth, sample, shades, field.label, look),
        picture_of(decoded, view.decoded, sample, shades, field.label, look),
        picture_of(
            "decoded − truth", view.difference, sample, differences, "decoded − truth", look
        ),
    ]
    axes, bar = left.subplots(1, 3), {"aspect": 25, "shrink": 0.9}
    draw_pictures(left, axes[:2], pictures[:2], **bar)
    draw_pictures(left, axes[2:], pictures[2:], **bar)
    draw_chart(errors, error_chart(view))
    draw_chart(spectra, spectrum_chart(view))
    psnr = (
        f"PSNR {view.losses.psnr:.1f} dB" if math.isfinite(view.losses.psnr) else "PSNR not defined"
    )
    losses = (
        f"L1 {quantity(view.losses.l1, field.unit)}   L∞ {quantity(view.losses.linf, field.unit)}"
    )
    line = f"tolerance {tolerance(view.tolerance, field.unit)}   {losses}   {psnr}"
    right.supxlabel(verbatim(line), fontsize=9)
    return figure


@plain_text()
def model_figure(view: ModelView, look: Look | None = None) -> Figure:
    """Truth and models, their differences from the truth, the curve with its band, verdicts."""
    look = look or Look()
    n, tall = len(view.panels), view.grid.y.length > view.grid.x.length
    figure = Figure(figsize=(12, 10.5 if tall else 9), dpi=110, layout="constrained")
    title = f"{view.field.label} of {view.title}: does the model notice what its data lost?"
    figure.suptitle(verbatim(title), x=0.01, ha="left", fontsize=12)
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2))
    rows = top.subplots(2, n, squeeze=False)
    rows[1, 0].set_axis_off()  # the truth's difference from itself
    differences = Shades((-view.color_limit, view.color_limit), DIFFERENCE)
    panels, truth, shades = view.panels.items(), view.panels[TRUTH], look.shades(view.limits)
    fields = [picture_of(name, v, view, shades, view.field.label, look) for name, v in panels]
    bar = {"aspect": 40, "shrink": 0.5}
    draw_pictures(top, rows[0], fields, **bar)
    if n > 1:
        errors = [
            picture_of("", v - truth, view, differences, "model − truth", look) for _, v in panels
        ]
        draw_pictures(top, rows[1, 1:], errors[1:], **bar)
    left, right = bottom.subplots(1, 2, width_ratios=(3, 2))
    right.set_axis_off()
    if view.curves is None:
        left.set_axis_off()
    else:
        draw_chart(left, curve_chart(view.curves, view.time))
    for i, row in enumerate(view.verdicts):
        # A lamp, and its word: colour alone would say nothing in grey.
        y, on = 0.92 - 0.33 * i, {"transform": right.transAxes, "clip_on": False}
        right.plot(0.02, y, "o", ms=14, color=STATE_COLORS.get(row.state, "0.5"), mec="k", **on)
        heading, reason = f"{row.name}: {row.state}", textwrap.fill(row.reason, 62)
        right.text(0.07, y, verbatim(heading), va="center", weight="bold", fontsize=10, **on)
        right.text(0.07, y - 0.06, verbatim(reason), va="top", fontsize=8, **on)
    return figure


def picture_of(
    title: str, values: np.ndarray, of: Any, shades: Shades, label: str, look: Look
) -> Picture:
    """The part that is looked at of a field of `of`, which has a `grid` and a `field`."""
    x, y = of.grid.x, of.grid.y
    first, end, left, right = look.part(of.grid)
    # With different units no proportions are true: cells are square.
    stretch = 1.0 if x.unit == y.unit else x.width / y.width
    # matplotlib takes the limits off in their own type.
    values = np.asarray(values[first:end, left:right], np.float64)
    extent = (*edges(x, left, right), *edges(y, first, end))
    names = with_unit(x.name, x.unit), with_unit(y.name, y.unit)
    return Picture(title, with_unit(label, of.field.unit), values, *shades, extent, stretch, names)


# ---------------------------------------------------------------------------------- SVG renderer


def svg(chart: Chart, size: tuple[int, int] = (360, 232), front: str = "") -> str:
    """A chart as SVG of ``(width, height)`` pixels, with its legend beneath.

    `front` is SVG that is drawn last, at what `place` says.
    """
    width, height = size
    body = (
        _text(_MARGINS[0], height / 2, chart.notice)
        if chart.notice
        else _frame(chart.x, chart.y, size)
        + "".join(_draw(element, chart, size) for element in chart.elements)
    )
    legend = "".join(
        f'<span><svg width="24" height="10" aria-hidden="true">{_swatch(element)}</svg>'
        f"{escape(element.label)}</span>"
        for element in chart.elements
        if element.label and not chart.notice
    )
    return (
        f'<figure class="sl-chart" style="width:{width}px">'
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(chart.notice or chart.summary)}">'
        f'<text class="sl-title" x="2" y="16">{escape(chart.title)}</text>{body}{front}</svg>'
        f"<figcaption>{legend}</figcaption></figure>"
    )


def place(chart: Chart, size: tuple[int, int], x: float, y: float) -> tuple[float, float]:
    """Where a point lies in a chart of `size`, in pixels; beyond the frame: on its edge."""
    left, top, right, bottom = _box(size)
    at = _pixels(chart.x, left, right, x), _pixels(chart.y, bottom, top, y)
    return float(at[0]), float(at[1])


def _box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom end of the frame within a chart of `size`."""
    left, right, top, bottom = _MARGINS
    return left, top, size[0] - right, size[1] - bottom


def _pixels(axis: ChartAxis, start: float, end: float, values) -> np.ndarray:
    """Places of values along an axis from `start` to `end`, kept between them."""
    (low, high), values = axis.limits, np.asarray(values)
    if axis.log:
        low, high = math.log10(low), math.log10(high)
        values = np.log10(np.maximum(values, 5e-324))
    return start + (end - start) * ((values - low) / (high - low)).clip(0, 1)


def _draw(element, chart: Chart, size: tuple[int, int]) -> str:
    left, top, right, bottom = _box(size)

    def points(x, y) -> str:
        x, y = _pixels(chart.x, left, right, x), _pixels(chart.y, bottom, top, y)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))

    if isinstance(element, Band):
        there, back = points(element.x, element.low), points(element.x[::-1], element.high[::-1])
        return f'<polygon points="{there} {back}" fill="currentColor" fill-opacity=".18"/>'
    if isinstance(element, Mark):
        at = float(_pixels(chart.x, left, right, element.x))
        return _stroke(f'<path d="M{at:.1f} {top}V{bottom}"', element.color, element.dash, 1.6)
    if isinstance(element, Histogram):
        heights = np.concatenate([[0], np.repeat(element.heights, 2), [0]])
        path, color = points(np.repeat(element.edges, 2), heights), element.color or "currentColor"
        area = f'<polygon points="{path}" fill="{color}" fill-opacity=".3"/>'
        return area + _stroke(f'<polyline points="{path}"', color, (), 1.4)
    start = f'<polyline points="{points(element.x, element.y)}"'
    return _stroke(start, element.color, element.dash, element.width)


def _stroke(start: str, color: str | None, dash: Dash, width: float) -> str:
    dashes = f' stroke-dasharray="{" ".join(map(str, dash))}"' if dash else ""
    return (
        f'{start} fill="none" stroke="{color or "currentColor"}" stroke-width="{width}"{dashes}/>'
    )


def _swatch(element) -> str:
    if isinstance(element, Band):
        return '<rect width="24" height="10" fill="currentColor" fill-opacity=".18"/>'
    return _stroke('<path d="M0 5H24"', element.color, getattr(element, "dash", ()), 2)


@functools.lru_cache(maxsize=64)  # they stay the same from one setting to the next
def _frame(x: ChartAxis, y: ChartAxis, size: tuple[int, int]) -> str:
    """Frame, ticks and labels of a chart."""
    left, top, right, bottom = _box(size)
    parts = [
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="none" '
        'stroke="currentColor" stroke-opacity=".45"/>',
        _text((left + right) / 2, size[1] - 5, x.label, "middle"),
        _text(12, (top + bottom) / 2, y.label, "middle", turned=True),
    ]
    for value, label in _ticks(*x.limits, x.log):
        at = float(_pixels(x, left, right, value))
        parts += [_tick(at, bottom, at, bottom + 4), _text(at, bottom + 15, label, "middle")]
    for value, label in _ticks(*y.limits, y.log):
        at = float(_pixels(y, bottom, top, value))
        parts += [_tick(left - 4, at, left, at), _text(left - 6, at + 4, label, "end")]
    return "".join(parts)


def _tick(x0: float, y0: float, x1: float, y1: float) -> str:
    path = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
    return f'<path d="{path}" stroke="currentColor" stroke-opacity=".45"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.0f} {y:.0f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'


def _ticks(low: float, high: float, log: bool) -> list[tuple[float, str]]:
    """Three to six round numbers within limits, and how they are written."""
    if log:
        if high < 300 * low:
            values = [m * 10.0**k for k in range(-20, 20) for m in (1, 2, 5)]
            return [(v, number(v)) for v in values if low <= v <= high]
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        step = max(1, math.ceil((last - first) / 4))
        return [(10.0**k, f"10{superscript(k)}") for k in range(first, last + 1, step)]
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(m for m in (5, 2, 1) if (high - low) / (m * step) >= 3 or m == 1)
    values = np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step
    return [(float(v), number(round(float(v), 12))) for v in values]
