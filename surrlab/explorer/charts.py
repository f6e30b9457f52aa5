"""Small plots for the screen as SVG, in the page's own text colour, drawn in a millisecond."""

from __future__ import annotations

import math

import numpy as np

from surrlab.explorer.comparison import Curves
from surrlab.explorer.html import escape, headline, number, superscript
from surrlab.explorer.settings import Shown

INK, DECODED, ERROR = "currentColor", "#d97706", "#4a90d9"
LEVELS = ("#3c9d5b", "#d97706", "#d6453d", "#a366c9", "#4a90d9")
"""Levels from the least compressed; legible on white and on black."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 2")


class Chart:
    """A small plot as SVG, in the page's own colour.

    Parameters
    ----------
    title, x_label, y_label : str
        What people read.
    x, y : tuple of float
        Limits.
    log : str
        ``""``, ``"x"``, ``"y"`` or ``"xy"``: the logarithmic axes.
    size : tuple of int
        Width and height in pixels.
    """

    MARGINS = (58, 12, 30, 38)  # left, right, top, bottom

    def __init__(self, title, x_label, y_label, x, y, *, log="", size=(360, 232)):
        self.size, self.log, self.limits = size, log, (x, y)
        left, right, top, bottom = self.MARGINS
        self.box = left, top, size[0] - right, size[1] - bottom
        self.parts, self.legend = [], []
        self.title = title
        x0, y0, x1, y1 = self.box
        for axis, limits in enumerate((x, y)):
            for value, text in _ticks(*limits, "xy"[axis] in log):
                at = float(self._place(axis, np.array([value]))[0])
                if axis:
                    self._line(x0 - 4, at, x0, at)
                    self._text(x0 - 6, at + 4, text, "end")
                else:
                    self._line(at, y1, at, y1 + 4)
                    self._text(at, y1 + 15, text, "middle")
        self.parts.append(
            f'<rect x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}" fill="none" '
            'stroke="currentColor" stroke-opacity=".45"/>'
        )
        self._text((x0 + x1) / 2, size[1] - 5, x_label, "middle")
        middle = (y0 + y1) / 2
        self._text(12, middle, y_label, "middle", f' transform="rotate(-90 12 {middle:.0f})"')

    def _place(self, axis: int, values: np.ndarray) -> np.ndarray:
        """Pixels of values along an axis, kept within the frame."""
        low, high = self.limits[axis]
        if "xy"[axis] in self.log:
            low, high = math.log10(low), math.log10(high)
            values = np.log10(np.maximum(values, 1e-300))
        x0, y0, x1, y1 = self.box
        start, end = ((x0, x1), (y1, y0))[axis]
        return start + (end - start) * ((values - low) / (high - low)).clip(0, 1)

    def _line(self, x0, y0, x1, y1):
        self.parts.append(
            f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="currentColor" '
            'stroke-opacity=".45"/>'
        )

    def _text(self, x, y, text, anchor="start", more=""):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
        )

    def line(self, x, y, colour=INK, dash="", label="", width=1.6) -> Chart:
        """A curve; what leaves the limits runs along the frame."""
        points = np.column_stack([self._place(0, np.asarray(x)), self._place(1, np.asarray(y))])
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points.tolist())
        return self._curve(f'<polyline points="{path}"', colour, dash, label, width)

    def steps(self, edges, heights, colour=INK, label="") -> Chart:
        """A histogram: edges ``(n + 1,)`` and heights ``(n,)``."""
        x = self._place(0, np.repeat(np.asarray(edges), 2))
        y = self._place(1, np.concatenate([[0], np.repeat(heights, 2), [0]]))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        self.parts.append(f'<polygon points="{path}" fill="{colour}" fill-opacity=".3"/>')
        return self._curve(f'<polyline points="{path}"', colour, "", label, 1.4)

    def band(self, x, low, high, label="") -> Chart:
        """The region between two curves."""
        x = self._place(0, np.asarray(x))
        low, high = (self._place(1, np.asarray(v)) for v in (low, high))
        there, back = (zip(x.tolist(), y.tolist(), strict=True) for y in (low, high))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*there, *reversed(list(back))])
        self.parts.append(f'<polygon points="{path}" fill="{INK}" fill-opacity=".18"/>')
        if label:
            self.legend.append((label, INK, "band"))
        return self

    def mark(self, x: float, colour=INK, dash="", label="") -> Chart:
        """A vertical line."""
        at, (_, y0, _, y1) = float(self._place(0, np.array([x]))[0]), self.box
        path = f'<path d="M{at:.1f} {y0}V{y1}"'
        return self._curve(path, colour, dash, label, 1.6)

    def _curve(self, start, colour, dash, label, width) -> Chart:
        self.parts.append(
            f'{start} fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-dasharray="{dash}"/>'
        )
        if label:
            self.legend.append((label, colour, dash))
        return self

    def svg(self, summary: str) -> str:
        """The chart with its legend beneath; `summary` is what a screen reader says."""
        width, height = self.size
        swatches = "".join(
            f'<span><svg width="24" height="10" aria-hidden="true">{_swatch(colour, dash)}</svg>'
            f"{escape(label)}</span>"
            for label, colour, dash in self.legend
        )
        return (
            f'<figure class="sl-chart" style="width:{width}px">'
            f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'aria-label="{escape(summary)}"><text class="sl-title" x="2" y="16">'
            f"{escape(self.title)}</text>{''.join(self.parts)}</svg>"
            f"<figcaption>{swatches}</figcaption></figure>"
        )


def _swatch(colour: str, dash: str) -> str:
    if dash == "band":
        return f'<rect width="24" height="10" fill="{colour}" fill-opacity=".18"/>'
    return (
        f'<path d="M0 5H24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" '
        'fill="none"/>'
    )


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


def error_chart(shown: Shown) -> str:
    """Histogram of |error|, with the tolerance, the mean and the model's own error."""
    edges, heights, exact = shown.histogram
    unit = f" ({shown.unit})" if shown.unit not in ("", "1") else ""
    chart = Chart("How large are the errors?", f"|decoded − truth|{unit}", "% of cells",
                  shown.span, (0, 25), log="x")  # fmt: skip
    chart.steps(edges, heights, DECODED, "cells")
    if shown.l1:
        chart.mark(shown.l1, DECODED, "5 3", "mean: L1 error")
    if shown.tolerance:
        chart.mark(shown.tolerance, ERROR, "2 3", "tolerance")
    if shown.model_error:
        chart.mark(shown.model_error, INK, "", "model error")
    note = f"; {exact:.0f} % of cells are exact" if exact else ""
    return chart.svg(f"Histogram of the absolute error: {headline(shown)}{note}")


def spectrum_chart(shown: Shown) -> str:
    """Power spectrum of the true and the decoded field, and of their difference."""
    k, power = shown.spectra
    top = 10.0 ** math.ceil(2 * math.log10(shown.limits[1] - shown.limits[0] or 1.0) - 1)
    length = "cycles / cm" if shown.title != shown.name else "cycles / cell"
    unit = f" ({shown.unit})²" if shown.unit not in ("", "1") else ""
    ends = (float(k[0]), float(k[-1]) if len(k) > 1 else 2 * float(k[0]))
    chart = Chart("Which scales survive?", f"wavenumber ({length})", f"variance{unit}",
                  ends, (top * 1e-9, top), log="xy")  # fmt: skip
    chart.line(k, power["truth"], INK, "", "truth", 2.2)
    chart.line(k, power["decoded"], DECODED, "6 3", "decoded", 2)
    chart.line(k, power["difference"], ERROR, "2 3", "difference")
    return chart.svg("Power spectrum of the true and the decoded field and of their difference")


def curve_chart(curves: Curves, time: float) -> str:
    """The scenario's curve in time: truth, ±2σ of the raw models, a lossy model a level."""
    low = min(curves.truth.min(), (curves.mean - curves.reach).min(),
              *(v.min() for v in curves.levels.values()))  # fmt: skip
    high = max(curves.truth.max(), (curves.mean + curves.reach).max(),
               *(v.max() for v in curves.levels.values()))  # fmt: skip
    room = 0.05 * (high - low) or 1.0
    ends = float(curves.times[0]), float(curves.times[-1])
    chart = Chart(
        f"{curves.label[:1].upper()}{curves.label[1:]}: do lossy models stay in the band?",
        f"time ({curves.time_unit})",
        f"{curves.label} ({curves.unit})",
        ends,
        (float(low - room), float(high + room)),
        size=(500, 280),
    )
    t, mean, reach = curves.times, curves.mean, curves.reach
    if curves.n_raw > 1:
        chart.band(t, mean - reach, mean + reach, f"±2σ of {curves.n_raw} raw models")
    chart.line(t, mean, INK, "6 3", "mean of raw models", 1.2)
    for i, (name, values) in enumerate(curves.levels.items()):
        chart.line(t, values, LEVELS[i % 5], DASHES[i % 5], name, 1.8)
    chart.line(t, curves.truth, INK, "", "truth", 2.4)
    chart.mark(time, INK, "1 4")
    return chart.svg(f"{curves.label} in time: truth, raw models and lossy models")
