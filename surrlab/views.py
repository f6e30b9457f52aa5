"""Pictures for the screen, drawn in milliseconds: fields as PNG, curves and numbers as HTML.

A field is one pixel a cell, indexed by a colour map and enlarged by the browser; curves are SVG in
the page's own text colour, so that light and dark themes both show them. `figures_explorer` draws
the same on paper.
"""

from __future__ import annotations

import functools
import html
import io
import math
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from PIL import Image

from surrlab.fields import Grid
from surrlab.ladder import Shown

FIELD, DIFFERENCE = "viridis", "RdBu_r"
INK, DECODED, ERROR, SEEN = "currentColor", "#d97706", "#4a90d9", "#3c9d5b"
LEVELS = ("#3c9d5b", "#d97706", "#d6453d", "#a366c9", "#4a90d9")
"""Levels from the least compressed; legible on white and on black."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 2")
STATES = {"benign": "#3c9d5b", "inconclusive": "#d97706", "harmful": "#d6453d"}

ALGORITHM_1 = "Algorithm 1"

WORDS = {
    "PSNR": "Peak signal-to-noise ratio: the field's range over the error's root mean square, in "
    "decibels. Higher is better; 20 dB more is a tenth of the error.",
    "L1 error": "Mean absolute difference between decoded and true field.",
    "L∞ error": "Largest absolute difference of any cell. The codec promises that it stays within "
    "the tolerance.",
    "tolerance": "The largest error of any cell that the codec was allowed. zfp rounds it down to "
    "a power of two.",
    "ratio": "Raw bytes over compressed bytes of this field alone (payload).",
    "model error": "Mean absolute error of the raw models on this very sample and field: what the "
    "network gets wrong anyway.",
}
"""What a word means, in a sentence: the tooltips."""


# ---------------------------------------------------------------------------------------- pixels


def png(values: np.ndarray, limits: tuple[float, float], cmap: str = FIELD) -> bytes:
    """A field ``(ny, nx)`` as PNG of nx × ny pixels, row 0 at the bottom.

    >>> png(np.eye(3), (0, 1))[:4]
    b'\\x89PNG'
    """
    low, high = limits
    scale = 255.999 / (high - low) if high > low else 0.0
    shades = (values[::-1] - np.float32(low)) * np.float32(scale)
    np.clip(shades, 0, 255, out=shades)
    picture = Image.fromarray(shades.astype(np.uint8), "L")
    picture.putpalette(_palette(cmap))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


@functools.cache
def _palette(cmap: str) -> bytes:
    return matplotlib.colormaps[cmap](np.arange(256), bytes=True)[:, :3].tobytes()


def colour_bar(limits: tuple[float, float], cmap: str, label: str) -> str:
    """A colour bar with three numbers and what they are of, as HTML."""
    colours = matplotlib.colormaps[cmap](np.linspace(0, 1, 17))
    stops = ", ".join(matplotlib.colors.to_hex(colour) for colour in colours)
    low, high = limits
    numbers = "".join(f"<span>{number(v)}</span>" for v in (low, (low + high) / 2, high))
    return (
        f'<div class="sl-bar" role="img" aria-label="colours of {escape(label)} from '
        f'{number(low)} to {number(high)}"><div style="background:linear-gradient(90deg,{stops})">'
        f"</div><p>{numbers}</p><p><span>{escape(label)}</span></p></div>"
    )


def size_of(grid: Grid, height: int = 400, width: int = 300) -> tuple[int, int]:
    """Width and height in pixels of a picture with true proportions inside a box."""
    aspect = grid.height / (grid.x[1] - grid.x[0])
    width = min(width, height / aspect)
    return max(round(width), 24), max(round(width * aspect), 24)


# ------------------------------------------------------------------------------------------ text


def number(value: float) -> str:
    """Three significant digits as people write them.

    >>> number(0.0000123), number(-0.25), number(1234.5), number(0.0)
    ('1.23·10⁻⁵', '−0.25', '1,234', '0')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "—"
    size = abs(value)
    if size and not 1e-3 <= size < 1e5:
        digits, exponent = f"{value:.2e}".split("e")
        digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
        return f"{digits}·10{superscript(int(exponent))}".replace("-", "−")
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def superscript(exponent: int) -> str:
    """An exponent in small digits.

    >>> superscript(-13)
    '⁻¹³'
    """
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def times(ratio: float) -> str:
    """A ratio.

    >>> times(3.14159), times(21.04), times(384.0)
    ('3.1×', '21×', '384×')
    """
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def tolerance(value: float, unit: str) -> str:
    """A tolerance with its power of two.

    >>> tolerance(0.125, "cm"), tolerance(0.0, "cm")
    ('2⁻³ = 0.125 cm', 'lossless')
    """
    if not value:
        return "lossless"
    return f"2{superscript(math.frexp(value)[1] - 1)} = {with_unit(value, unit)}"


def with_unit(value: float, unit: str) -> str:
    """A number and its unit; the unit 1 is left out."""
    return f"{number(value)} {unit}" if unit not in ("", "1") else number(value)


def label(name: str, unit: str) -> str:
    """A name and its unit in brackets.

    >>> label("density", "g/cm³"), label("material", "1")
    ('density (g/cm³)', 'material')
    """
    return f"{name} ({unit})" if unit not in ("", "1") else name


def headline(shown: Shown) -> str:
    """The setting's price in a sentence, as plain text."""
    setting = f"At {times(shown.ratio)}" if shown.tolerance else "Without loss"
    if not shown.l1:
        return f"{setting} nothing is lost: every cell comes back as it was."
    if shown.share is None:
        return (
            f"{setting} a cell is off by {with_unit(shown.l1, shown.unit)} on average, "
            f"{with_unit(shown.linf, shown.unit)} at worst."
        )
    verb = "below" if shown.share <= 1 else "above"
    return (
        f"{setting} the loss is {shown.share:.2g} times what the model gets wrong anyway: "
        f"{verb} the model's error."
    )


def numbers(shown: Shown) -> str:
    """What is lost, as a list of terms in HTML; each term explains itself in a tooltip."""
    unit = shown.unit
    l1 = with_unit(shown.l1, unit)
    if shown.share is not None:
        l1 += f" ({shown.share:.2g} × model error)"
    rows = {
        "ratio": f"{times(shown.ratio)} ({shown.nbytes:,} bytes)",
        "tolerance": tolerance(shown.tolerance, unit),
        "L1 error": l1,
        "L∞ error": with_unit(shown.linf, unit),
        "PSNR": f"{shown.psnr:.1f} dB" if math.isfinite(shown.psnr) else number(shown.psnr),
    }
    if math.isnan(shown.psnr):
        rows["PSNR"] = "— (this field never varies)"
    if shown.model_error is not None:
        rows["model error"] = with_unit(shown.model_error, unit)
    terms = [_term(name, WORDS[name], text) for name, text in rows.items()]
    terms += [_total(total, shown.label) for total in shown.totals]
    return f'<dl class="sl-numbers">{"".join(terms)}</dl>'


def _term(name: str, meaning: str, text: str) -> str:
    name, meaning = escape(name), escape(meaning)
    return f'<div title="{meaning}"><dt>{name}</dt><dd>{text}</dd></div>'


def _total(total, label: str) -> str:
    change = total.after - total.before
    text = with_unit(total.before, total.unit)
    if not change:
        told = "unchanged"
    else:
        told = f"{'+' if change > 0 else ''}{number(change)}"
        if abs(total.before) > 1e-9 * abs(change):
            told += f" ({'+' if change > 0 else '−'}{abs(100 * change / total.before):.2g} %)"
    meaning = f"Of the whole sample, with {label} decoded and the other fields true."
    return _term(total.label, meaning, f"{text}, {told}")


def ladder_strip(ratios: Sequence[float], tolerances: Sequence[float], marks, rung: int) -> str:
    """The rungs under the slider: a tick each, ratios, and the marked ones by name.

    Parameters
    ----------
    ratios, tolerances : sequence of float
        Of the rungs, the lossless one first.
    marks : mapping
        Rung -> what stands under it, such as Algorithm 1.
    rung : int
        The chosen one.
    """
    n, cells = len(ratios), []
    for i, (ratio, bound) in enumerate(zip(ratios, tolerances, strict=True)):
        look = " ".join(["sl-on"] * (i == rung) + ["sl-mark"] * (i in marks))
        title = f"{times(ratio)}, {tolerance(bound, '')}"
        # On a line of its own: with its neighbours on one, the names would run into each other.
        own = ' class="sl-own"' if marks.get(i) == ALGORITHM_1 else ""
        name = f"<b{own}>{escape(marks[i])}</b>" if i in marks else ""
        cells.append(
            f'<span class="{look}" style="left:{100 * i / (n - 1):.2f}%" title="{title}">'
            f"<i>{times(ratio).removesuffix('×')}</i>{name}</span>"
        )
    return f'<div class="sl-ladder" aria-hidden="true">{"".join(cells)}</div>'


def readout(shown: Shown, version: str) -> str:
    """The setting beside its slider: ratio, tolerance, and what it is in the study."""
    ratio = f"<b>{times(shown.ratio)}</b>"
    told = f"{ratio} &ensp; tolerance {escape(tolerance(shown.tolerance, shown.unit))}"
    return f'<p aria-live="polite">{told}</p><p>{escape(version) or "&nbsp;"}</p>'


def copy_button(call: str) -> str:
    """A button that copies a Python call, and the call beside it to read."""
    if not call:
        return ""
    # In the browser alone: the clipboard is the user's, and the kernel may be far away.
    copy = (
        "navigator.clipboard.writeText(this.nextElementSibling.textContent)"
        ".then(() => this.textContent = 'Copied')"
    )
    return (
        f'<button class="sl-copy" onclick="{copy}" title="Copy the Python that makes this figure">'
        f'Copy Python</button><pre class="sl-call">{escape(call)}</pre>'
    )


def light(state: str) -> str:
    """A traffic light: its lamp, by place and colour, for a state that words give beside it."""
    lamps = "".join(
        f'<circle cx="11" cy="{11 + 20 * i}" r="8" fill="{colour if name == state else "none"}" '
        f'stroke="{colour if name == state else "#888"}" stroke-width="1.5"/>'
        for i, (name, colour) in enumerate(reversed(STATES.items()))
    )
    frame = '<rect x="1" y="1" width="20" height="60" rx="7" fill="none" stroke="#888"/>'
    return f'<svg width="22" height="62" aria-hidden="true">{frame}{lamps}</svg>'


def verdicts(rows: Iterable[dict]) -> str:
    """A traffic light with its word and its reason for each level, as HTML."""
    cards = [
        f"<li>{light(row['state'])}<p><strong>{escape(row['name'])}: "
        f'<span style="color:{STATES[row["state"]]}">{row["state"]}</span></strong>'
        f"<br>{escape(row['reason'])}</p></li>"
        for row in rows
    ]
    return f'<ul class="sl-verdicts" aria-label="verdicts">{"".join(cards)}</ul>'


def escape(text: str) -> str:
    """Text as HTML."""
    return html.escape(str(text), quote=True)


# ---------------------------------------------------------------------------------------- charts


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


def curve_chart(curves, time: float) -> str:
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
