"""The explorer's charts: described once, drawn as SVG for the screen and by matplotlib for paper.

`error_chart`, `spectrum_chart` and `curve_chart` are descriptions. `svg` draws one in the page's
own text colour within a millisecond; `_figures` are the pages on paper.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from surrlab._text import (
    number,
    percent,
    sentence,
    superscript,
    with_unit,
)
from surrlab.explorer.comparison import Curves
from surrlab.explorer.html import escape, headline
from surrlab.explorer.settings import FieldView
from surrlab.figures.charts import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Dash,
    Histogram,
    Mark,
)

DECODED, ERROR = "#d97706", "#4a90d9"
VERSION_COLORS = ("#3c9d5b", "#d97706", "#d6453d", "#a366c9", "#4a90d9")
"""Versions from the least compressed; legible on white and on black."""
VERSION_DASHES = ((), (7, 3), (2, 3), (9, 3, 2, 3), (1, 2))
_SQUARES = (1e-145, 1e150)
"""Ranges of a field whose power float64 can say."""
_FAR = (-20.0, 21.0)
"""How far beyond the frame, in its lengths, something is drawn; all of it is cut off there."""
_MARGINS = (58, 12, 30, 38)  # left, right, top, bottom, in pixels


def error_chart(view: FieldView) -> Chart:
    """Histogram of |error|, with the tolerance, the mean and the model's own error."""
    edges, heights, exact, beyond = view.histogram
    elements = [Histogram(edges, heights, "cells", DECODED, beyond)]
    if view.losses.l1:
        elements.append(Mark(view.losses.l1, "mean: L1 error", DECODED, (5, 3)))
    if view.tolerance:
        elements.append(Mark(view.tolerance, "tolerance", ERROR, (2, 3)))
    if view.sample.model_error:
        elements.append(Mark(view.sample.model_error, "model error"))
    top = next(top for top in (25, 50, 101) if heights.max() <= top)
    exact = f" ({exact:.0f} % are exact)" if exact > 1e-9 else ""
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
        + _cut_off("".join(_draw(element, chart, size) for element in chart.elements), size)
        + _draw_arrows(chart, size)
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


class Arrow(NamedTuple):
    """What lies beyond a side of a chart: the place along that side, if it has one, and a text."""

    side: str
    at: float
    head: str
    text: str
    color: str | None


def arrows(chart: Chart) -> list[Arrow]:
    """Marks, curves and shares of a histogram that lie beyond the limits of a chart."""
    (left, right), (low, high) = chart.x.limits, chart.y.limits
    found = []
    for one in chart.elements:
        color = getattr(one, "color", None)
        if isinstance(one, Mark) and not left <= one.x <= right:
            side = ("left", "◂") if one.x < left else ("right", "▸")
            found.append(Arrow(side[0], math.nan, side[1], number(one.x), color))
        elif isinstance(one, Histogram):
            sides = (("left", "◂"), ("right", "▸"))
            for (side, head), share in zip(sides, one.beyond, strict=True):
                if share:
                    found.append(Arrow(side, math.nan, head, percent(share / 100), color))
        elif isinstance(one, Curve) and (inside := (one.x >= left) & (one.x <= right)).any():
            x, y = one.x[inside], one.y[inside]
            if y.max() > high:
                at = float(x[y.argmax()])
                found.append(Arrow("above", at, "▲", number(y.max()), color))
            if y.min() < low:
                at = float(x[y.argmin()])
                found.append(Arrow("below", at, "▼", number(y.min()), color))
    return found


def _cut_off(drawn: str, size: tuple[int, int]) -> str:
    """What is drawn, within the frame alone."""
    left, top, right, bottom = _box(size)
    box = f"{left} {top} {right - left} {bottom - top}"
    x, y, width, height = box.split()
    return (
        f'<svg x="{x}" y="{y}" width="{width}" height="{height}" viewBox="{box}" '
        f'overflow="hidden">{drawn}</svg>'
    )


def _draw_arrows(chart: Chart, size: tuple[int, int]) -> str:
    """Arrows with numbers at the edges beyond which something lies, one under the other."""
    left, top, right, bottom = _box(size)
    drawn, lines = [], dict.fromkeys(("left", "right", "above", "below"), 0)
    for one in arrows(chart):
        line = 13 * lines[one.side]
        lines[one.side] += 1
        head = f'<tspan style="fill:{one.color or "currentColor"}">{one.head}</tspan>'
        text = f"{escape(one.text)} {head}" if one.side == "right" else f"{head} {escape(one.text)}"
        if one.side in ("left", "right"):
            anchor, x = ("start", left + 3) if one.side == "left" else ("end", right - 3)
            y = top + 25 + line
        else:
            anchor, x = "middle", float(_pixels(chart.x, left, right, one.at))
            x = min(max(x, left + 24), right - 24)
            y = top + 12 + line if one.side == "above" else bottom - 4 - line
        drawn.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>')
    return "".join(drawn)


def _pixels(axis: ChartAxis, start: float, end: float, values, reach=(0.0, 1.0)) -> np.ndarray:
    """Places of values along an axis from `start` to `end`, kept within `reach` of its length."""
    (low, high), values = axis.limits, np.asarray(values)
    if axis.log:
        low, high = math.log10(low), math.log10(high)
        values = np.log10(np.maximum(values, 5e-324))
    return start + (end - start) * ((values - low) / (high - low)).clip(*reach)


def _draw(element, chart: Chart, size: tuple[int, int]) -> str:
    left, top, right, bottom = _box(size)

    def points(x, y) -> str:
        x, y = _pixels(chart.x, left, right, x, _FAR), _pixels(chart.y, bottom, top, y, _FAR)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))

    if isinstance(element, Band):
        there, back = points(element.x, element.low), points(element.x[::-1], element.high[::-1])
        return f'<polygon points="{there} {back}" fill="currentColor" fill-opacity=".18"/>'
    if isinstance(element, Mark):
        at = float(_pixels(chart.x, left, right, element.x, _FAR))
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
