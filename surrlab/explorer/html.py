"""Pictures for the screen, drawn in milliseconds: fields as PNG, numbers as HTML.

A field is one pixel a cell, indexed by a colour map and enlarged by the browser. Text and lines
take the page's own colour, so that light and dark themes both show them. `charts` draws the curves,
`figures_explorer` the same once more on paper.
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

from surrlab.data.fields import Grid
from surrlab.explorer.settings import Shown

FIELD, DIFFERENCE = "viridis", "RdBu_r"
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


def size_of(grid: Grid, height: int, width: int) -> tuple[int, int]:
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
    if not cards:
        return "<p>No verdict is stored here.</p>"
    return f'<ul class="sl-verdicts" aria-label="verdicts">{"".join(cards)}</ul>'


def escape(text: str) -> str:
    """Text as HTML."""
    return html.escape(str(text), quote=True)


# --------------------------------------------------------------------------------------- the page

STYLE = """
.surrlab { color: var(--jp-widgets-color, currentColor); }
.surrlab p { margin: 0; line-height: 1.4; }
.surrlab .widget-html, .surrlab .widget-html-content { overflow: visible; }
.surrlab .sl-head { font-size: 1.15em; font-weight: 600; }
.surrlab .sl-notes { margin: 2px 0; padding-left: 1.2em; opacity: .85; }
.surrlab .sl-wrap { display: flex; flex-flow: row wrap; gap: 6px 18px; align-items: flex-start;
  overflow: visible; }
.surrlab .sl-models { gap: 6px 8px; }
.surrlab .widget-toggle-buttons { display: flex; align-items: baseline; }
.surrlab .widget-toggle-buttons .widget-label { width: 72px; text-align: right;
  margin-right: 8px; flex: none; }
.surrlab .sl-field img, .surrlab img.sl-field { image-rendering: pixelated; object-fit: fill; }
.surrlab .sl-panel { text-align: center; font-weight: 600; white-space: normal; }
.surrlab .sl-bar { margin: 4px 4px 0; min-width: 110px; }
.surrlab .sl-bar > div { height: 12px; border: 1px solid rgba(128,128,128,.6); }
.surrlab .sl-bar p { display: flex; justify-content: space-between; font-size: 12px; }
.surrlab .sl-bar p + p { justify-content: center; }
.surrlab .sl-headline p { font-size: 1.15em; font-weight: 600; white-space: normal; }
.surrlab .sl-readout { min-width: 320px; }
.surrlab .sl-readout p { white-space: normal; }
.surrlab .sl-readout b { font-size: 1.25em; }
.surrlab .sl-slider { overflow: visible; }
.surrlab .sl-ladder { position: relative; height: 58px; margin: -4px 2px 0 94px; font-size: 11px; }
.surrlab .sl-ladder::before { content: "ratio (×)"; position: absolute; left: -94px; width: 72px;
  text-align: right; opacity: .75; line-height: 1.2; }
.surrlab .sl-ladder span { position: absolute; transform: translateX(-50%); text-align: center;
  line-height: 1.2; white-space: nowrap; opacity: .75; }
.surrlab .sl-ladder i { display: block; font-style: normal; }
.surrlab .sl-ladder .sl-on { opacity: 1; font-weight: 700; }
.surrlab .sl-ladder .sl-mark { opacity: 1; }
.surrlab .sl-ladder b { display: block; color: #d97706; }
.surrlab .sl-ladder b::before { content: "▲\\A"; white-space: pre; }
.surrlab .sl-ladder b.sl-own::before { content: "▲\\A\\A"; }
.surrlab .sl-charts .widget-html-content { display: flex; flex-wrap: wrap; gap: 6px 16px; }
.surrlab .sl-charts { flex: 1 1 370px; max-width: 410px; }
.surrlab .sl-judged { flex: 1 1 500px; }
.surrlab .sl-curve { flex: 0 0 510px; }
.surrlab .sl-list { flex: 1 1 230px; }
.surrlab .sl-chart { margin: 0; font-size: 12px; }
.surrlab .sl-chart text { font-size: 11px; fill: currentColor; }
.surrlab .sl-chart .sl-title { font-size: 13px; font-weight: 600; }
.surrlab .sl-chart figcaption { display: flex; flex-wrap: wrap; gap: 0 14px; padding-left: 58px;
  line-height: 1.5; }
.surrlab .sl-chart figcaption svg { margin-right: 4px; vertical-align: middle; }
.surrlab .sl-numbers { margin: 0; display: grid; gap: 4px 18px;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.surrlab .sl-numbers dt { float: none; width: auto; display: block; font-size: 12px; opacity: .8;
  text-decoration: underline dotted; line-height: 1.3; font-weight: 600; }
.surrlab .sl-numbers dd { float: none; width: auto; margin: 0; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.surrlab .sl-verdicts { list-style: none; margin: 0; padding: 0; max-width: 520px; }
.surrlab .sl-verdicts li { display: flex; gap: 10px; margin-bottom: 10px; }
.surrlab .sl-verdicts p { white-space: normal; line-height: 1.35; }
.surrlab .sl-verdicts svg { flex: none; }
.surrlab .sl-trouble { border-left: 4px solid #d6453d; padding: 4px 10px; white-space: normal; }
.surrlab .sl-copy { font: inherit; color: inherit; background: transparent; cursor: pointer;
  border: 1px solid rgba(128,128,128,.7); border-radius: 3px; padding: 3px 10px; }
.surrlab pre.sl-call { display: inline-block; vertical-align: top; margin: 0 0 0 8px;
  font-family: monospace; font-size: 12px; line-height: 1.4;
  white-space: pre-wrap; color: inherit; background: transparent; }
.surrlab :focus-visible { outline: 2px solid #4a90d9; outline-offset: 2px; }
"""

# A slider's handle has a role but no name, Play's buttons have icons only, and `widgets.Image` has
# no alternative text (with a tooltip ipywidgets 8.1 fails to show it at all): a screen reader would
# say "slider, 13". An image's onload is the one script that HTML set from Python still runs; what
# is shown later is named when it comes.
_NAMES = """
(function (root) {
  function name() {
    root.querySelectorAll('.widget-slider').forEach(function (slider) {
      var handle = slider.querySelector('.noUi-handle');
      var label = slider.querySelector('.widget-label');
      if (handle && label) handle.setAttribute('aria-label', label.textContent);
    });
    root.querySelectorAll('.widget-toggle-buttons').forEach(function (choice) {
      choice.setAttribute('role', 'group');
      choice.setAttribute('aria-label', choice.querySelector('.widget-label').textContent);
      choice.querySelectorAll('button').forEach(function (button) {
        button.setAttribute('aria-pressed', button.classList.contains('mod-active'));
      });
    });
    root.querySelectorAll('.widget-play').forEach(function (play) {
      ['Play or pause', 'Stop and go back to the start', 'Repeat'].forEach(function (text, i) {
        var button = play.querySelectorAll('button')[i];
        if (button) { button.setAttribute('aria-label', text); button.title = text; }
      });
    });
    root.querySelectorAll('img.sl-field').forEach(function (image) {
      var panel = image.closest('.sl-column').querySelector('.sl-panel');
      image.alt = (image.matches('.sl-difference') ? 'difference from the truth: ' : '')
        + panel.textContent;
    });
  }
  name();
  new MutationObserver(name).observe(root, {childList: true, subtree: true,
    attributes: true, attributeFilter: ['class']});
})(this.closest('.surrlab'))
"""
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
SCRIPT = f'<img alt="" width="0" height="0" src="{_PIXEL}" onload="{_NAMES}">'
