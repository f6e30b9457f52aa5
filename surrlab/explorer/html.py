"""Pixels and HTML for the screen, made in milliseconds: fields as PNG, numbers as text.

A field is one pixel per cell, coloured by a colour map and enlarged by the browser. Text and lines
take the page's own colour, so that light and dark themes both show them. This is the border to the
page: whatever may come from a file (names, units, reasons) is escaped here and in `charts`, once.
"""

from __future__ import annotations

import functools
import html
import io
import math
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets
import matplotlib
import numpy as np
from PIL import Image

from surrlab._text import number, percent, quantity, times, tolerance, with_unit
from surrlab.data.fields import Field
from surrlab.explorer.settings import FieldSettings, FieldView, Total

FIELD, DIFFERENCE = "viridis", "RdBu_r"

ALGORITHM_1 = "Algorithm 1"
STATE = "surrlab"
"""What a state begins with, before a colon."""
_TROUBLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError)

MEANINGS = {
    "PSNR": "Peak signal-to-noise ratio: the field's range over the error's root mean square, in "
    "decibels. Higher is better; 20 dB more is a tenth of the error.",
    "L1 error": "Mean absolute difference between decoded and true field.",
    "L∞ error": "Largest absolute difference of any cell. The codec promises that it stays within "
    "the tolerance.",
    "tolerance": "The largest error of any cell that the codec was allowed, rounded down to one "
    "that it knows.",
    "ratio": "Raw bytes over compressed bytes of this field alone (payload).",
    "model error": "Mean absolute error of the raw models on this very sample and field: what the "
    "network gets wrong anyway.",
}
"""The meaning of each term in a sentence: its tooltip."""


def escape(text: str) -> str:
    """Text as HTML, also within an attribute.

    >>> escape('<img src="x">')
    '&lt;img src=&quot;x&quot;&gt;'
    """
    return html.escape(str(text), quote=True)


# ---------------------------------------------------------------------------------------- pixels


def png(
    values: np.ndarray, limits: tuple[float, float], cmap: str = FIELD, log: bool = False
) -> bytes:
    """A field ``(ny, nx)`` as PNG of nx × ny pixels, row 0 at the bottom; NaN is transparent.

    With `log` the lower limit is above 0, and whatever lies below it has its colour.

    >>> png(np.eye(3), (0, 1))[:4]
    b'\\x89PNG'
    """
    low, high = limits
    if log:
        values, low, high = np.log(np.maximum(values, low)), math.log(low), math.log(high)
    if 1e-30 < high - low < 1e30:
        shades = (values[::-1] - np.float32(low)) * np.float32(255.999 / (high - low))
    else:  # beyond what float32 can scale; the shades of a constant are those of its low end
        shades = (values[::-1].astype(np.float64) - low) / ((high - low) or np.inf) * 255.999
    blank, options = np.isnan(shades), {}
    np.clip(shades, 0, 255, out=shades)
    if blank.any():
        shades, options = np.where(blank, 255, np.minimum(shades, 254)), {"transparency": 255}
    picture = Image.fromarray(shades.astype(np.uint8), "L")
    picture.putpalette(_palette(cmap))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1, **options)
    return out.getvalue()


@functools.cache
def _palette(cmap: str) -> bytes:
    return matplotlib.colormaps[cmap](np.arange(256), bytes=True)[:, :3].tobytes()


WIDE = 13
"""Characters at both ends of the narrowest colour bar that leave room for a number between them."""


def color_bar(
    limits: tuple[float, float],
    cmap: str,
    label: str,
    log: bool = False,
    shown: Iterable[np.ndarray] = (),
) -> str:
    """A colour bar with three numbers, or two long ones, and the label of its colours.

    Arrows beneath its ends say how far the `shown` fields go beyond them.
    """
    low, high = limits
    middle = math.sqrt(low) * math.sqrt(high) if log else low / 2 + high / 2
    texts = [number(value) for value in (low, middle, high)]
    if len(texts[0] + texts[2]) > WIDE:
        del texts[1]
    numbers = "".join(f"<span>{text}</span>" for text in texts)
    below, above = _beyond(limits, list(shown))
    scale = "logarithmic colours" if log else "colours"
    return (
        f'<div class="sl-bar" role="img" aria-label="{scale} of {escape(label)} from '
        f'{number(low)} to {number(high)}"><div style="background:{_gradient(cmap)}"></div>'
        f"<p>{numbers}</p><p><span>{escape(label)}</span></p>"
        f'<p class="sl-beyond"><span>{below}</span><span>{above}</span></p></div>'
    )


def color_bars(
    field: Field, shades: tuple, shown: list[np.ndarray], name: str, end: float,
    differences: list[np.ndarray],
) -> tuple[str, str]:  # fmt: skip
    """Colour bars of a field in its `shades`, and of differences called `name` up to ±`end`."""
    limits, cmap, log = shades
    return (
        color_bar(limits, cmap, with_unit(field.label, field.unit), log, shown),
        color_bar((-end, end), DIFFERENCE, with_unit(name, field.unit), False, differences),
    )


def _beyond(limits: tuple[float, float], shown: list[np.ndarray]) -> tuple[str, str]:
    """Least and largest value with an arrow, where it lies beyond its end by more than a shade."""
    if not shown:
        return "", ""
    low, high = limits
    least = np.fmin.reduce([np.fmin.reduce(one, axis=None) for one in shown])  # NaN is a mask
    most = np.fmax.reduce([np.fmax.reduce(one, axis=None) for one in shown])
    shade = (high / 2 - low / 2) / 128
    return (
        f"◂ {number(least)}" if least < low - shade else "",
        f"{number(most)} ▸" if most > high + shade else "",
    )


@functools.cache
def _gradient(cmap: str) -> str:
    colors = matplotlib.colormaps[cmap](np.linspace(0, 1, 17))
    return f"linear-gradient(90deg,{','.join(map(matplotlib.colors.to_hex, colors))})"


# ------------------------------------------------------------------------------------------ text


def headline(view: FieldView) -> str:
    """What the setting costs, in a sentence; plain text."""
    setting = f"At {times(view.ratio)}" if view.tolerance else "Without loss"
    if not view.losses.l1:
        return f"{setting} nothing is lost: every cell comes back as it was."
    if view.share is None:
        unit = view.sample.field.unit
        return (
            f"{setting} a cell is off by {quantity(view.losses.l1, unit)} on average, "
            f"{quantity(view.losses.linf, unit)} at worst."
        )
    verb = "below" if view.share <= 1 else "above"
    return (
        f"{setting} the loss is {number(view.share, 2)} times what the model gets wrong anyway: "
        f"{verb} the model's error."
    )


def sentence(text: str) -> str:
    """A sentence as a paragraph."""
    return f"<p>{escape(text)}</p>"


def numbers(view: FieldView) -> str:
    """What is lost, as a list of terms; each term explains itself in a tooltip."""
    field, error = view.sample.field, view.sample.model_error
    l1, psnr = quantity(view.losses.l1, field.unit), view.losses.psnr
    if view.share is not None:
        l1 += f" ({number(view.share, 2)} × model error)"
    rows = {
        "ratio": f"{times(view.ratio)} ({view.nbytes:,} bytes)",
        "tolerance": tolerance(view.tolerance, field.unit),
        "L1 error": l1,
        "L∞ error": quantity(view.losses.linf, field.unit),
        "PSNR": f"{psnr:.1f} dB" if math.isfinite(psnr) else number(psnr),
    }
    if math.isnan(psnr):
        rows["PSNR"] = "— (this field never varies)"
    if error is not None:
        rows["model error"] = quantity(error, field.unit)
    terms = [_term(name, MEANINGS[name], text) for name, text in rows.items()]
    meaning = f"Of the whole sample, with {field.label} decoded and the other fields true."
    terms += [_term(total.label, meaning, change(total)) for total in view.losses.totals]
    return f'<dl class="sl-numbers">{"".join(terms)}</dl>'


def _term(name: str, meaning: str, text: str) -> str:
    return f'<div title="{escape(meaning)}"><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>'


def change(total: Total) -> str:
    """A quantity before, and how much it has changed.

    >>> change(Total("mass", "g", 2.0, 2.1)), change(Total("mass", "g", 2.0, 2.0))
    ('2 g, +0.1 (+5 %)', '2 g, unchanged')
    >>> change(Total("mass", "g", 2.0, -1.8))
    '2 g, −3.8 (−190 %)'
    """
    before, difference = quantity(total.before, total.unit), total.after - total.before
    if not difference:
        return f"{before}, unchanged"
    text = f"{before}, {'+' if difference > 0 else ''}{number(difference)}"
    if abs(total.before) > 1e-9 * abs(difference):
        text += f" ({'+' if difference > 0 else '−'}{percent(abs(difference / total.before))})"
    return text


def setting_ticks(settings: FieldSettings) -> list[tuple[str, str]]:
    """Ratio, and tooltip, of each setting under the slider."""
    pairs = zip(settings.ratios, settings.tolerances, strict=True)
    texts = [(times(ratio), tolerance(bound, "")) for ratio, bound in pairs]
    return [(ratio.removesuffix("×"), f"{ratio}, {bound}") for ratio, bound in texts]


def settings_strip(ticks: list[tuple[str, str]], names: Mapping[int, str], chosen: int) -> str:
    """The settings under the slider: a tick each, their ratios, and the marked ones by name.

    Parameters
    ----------
    ticks : list
        From `setting_ticks`.
    names : mapping
        Setting -> what stands under it, such as Algorithm 1.
    chosen : int
        The setting of the slider.
    """
    last, cells = len(ticks) - 1, []
    for i, (ratio, title) in enumerate(ticks):
        look = " ".join(["sl-on"] * (i == chosen) + ["sl-mark"] * (i in names))
        # On a line of its own: with its neighbours on one, the names would run into each other.
        own = ' class="sl-own"' if names.get(i) == ALGORITHM_1 else ""
        name = f"<b{own}>{escape(names[i])}</b>" if i in names else ""
        cells.append(
            f'<span class="{look}" style="left:{100 * i / last:.2f}%" title="{title}">'
            f"<i>{ratio}</i>{name}</span>"
        )
    return f'<div class="sl-settings" aria-hidden="true">{"".join(cells)}</div>'


def shown_limit(view: FieldView) -> float:
    """Colour limit of a difference as it is shown: its largest value, on three digits.

    The sample's own limit where nothing differs.
    """
    largest = float(np.nanmax(np.abs(view.difference)))
    return float(f"{1.005 * largest:.2e}") or view.sample.color_limit


def readout(view: FieldView, version: str) -> str:
    """The setting beside its slider: ratio, tolerance, and which version of the study it is."""
    bound = escape(tolerance(view.tolerance, view.sample.field.unit))
    return (
        f'<p aria-live="polite"><b>{times(view.ratio)}</b> &ensp; tolerance {bound}</p>'
        f"<p>{escape(version) or '&nbsp;'}</p>"
    )


def heading(text: str) -> str:
    """Heading of a picture, on two lines where a bracket follows."""
    return f'<p class="sl-panel">{escape(text).replace(" (", "<br>(")}</p>'


def page_head(title: str, notes: Iterable[str]) -> str:
    """Title of the page, with a list of what is missing."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f'<ul class="sl-notes">{items}</ul>' if items else ""
    return f'<p class="sl-head">{escape(title)}</p>{listed}'


def status(text: str, trouble: bool = False) -> str:
    """A sentence that a screen reader says when it appears."""
    look = ' role="alert" class="sl-trouble"' if trouble else ' role="status"'
    return f"<p{look}>{escape(text)}</p>"


class StatusLine(ipywidgets.HTML):
    """The sentence under the view: where a picture was saved, or what went wrong.

    Attributes
    ----------
    message : str
        The sentence as plain text; empty if there is nothing to say.
    """

    def __init__(self):
        super().__init__()
        self.message = ""
        self.add_class("sl-status")

    def say(self, text: str, markup: str = "") -> None:
        """Show a sentence, as `markup` if that is given."""
        if text != self.message:
            self.message, self.value = text, markup or (status(text) if text else "")

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something for a control; what goes wrong becomes a sentence."""
        try:
            action()
        except _TROUBLE as error:
            text = str(error.args[0] if isinstance(error, KeyError) else error)
            self.say(text, status(text, trouble=True))


def download(path: str, name: str, data: str, media: str = "image/png") -> str:
    """A sentence that a file was saved, with a link to it; `data` is its content in base 64."""
    return (
        f'<p role="status">Saved as <code>{escape(path)}</code> (<a download="{escape(name)}" '
        f'href="data:{media};base64,{data}">download</a>)</p>'
    )


def python_call(
    function: str, first: str, always: Mapping[str, object], view: Mapping[str, object]
) -> str:
    """Python that makes the figure of a view.

    >>> print(python_call("picture", "'results/quick'", {}, {"step": 3}))
    from surrlab import explorer
    explorer.picture('results/quick', step=3)
    """
    listed = ", ".join(f"{key}={value!r}" for key, value in {**view, **always}.items())
    return f"from surrlab import explorer\nexplorer.{function}({first}, {listed})"


def folder_call(
    path: str, always: Mapping[str, object], trust: bool, view: Mapping[str, object]
) -> str:
    """Return the Python call for a view of a results folder, or for what its models predict."""
    if "inputs" not in view:
        return python_call("picture", path, always, view)
    return python_call(
        "picture_prediction", path, {**always, **({"trust": True} if trust else {})}, view
    )


def state_text(state: Mapping[str, object]) -> str:
    """A state of the explorer as a short text, which `explorer.restore` reads.

    >>> state_text({"page": "fields", "folder": "results/quick", "keep": "ratio", "step": 3})
    'surrlab:fields?folder=results/quick&keep=ratio&step=3'
    """
    said = {name: value for name, value in state.items() if name != "page"}
    query = urllib.parse.urlencode(said, safe="/", quote_via=urllib.parse.quote)
    return f"{STATE}:{state['page']}?{query}"


def copy_buttons(call: str, state: str) -> str:
    """Buttons that copy a Python call and a state, each with its text beside it to read."""
    python = _copy_button("Copy Python", "Copy the Python that makes this figure", call)
    tip = "Copy what reopens this view: explorer.restore(…), or in place of a folder"
    return python + _copy_button("Copy state", tip, state)


class CodeLine(ipywidgets.HTML):
    """The Python and the state of a view, to copy; `source` says in a state what is looked at."""

    def __init__(self, call: Callable[[dict], str], source: Mapping[str, Any]):
        super().__init__()
        self.call, self.source, self.state = call, source, ""

    def offer(self, arguments: dict[str, Any], state: dict[str, Any]) -> None:
        """Show the call with these arguments, and the state."""
        self.state = state_text({**self.source, **state}) if self.source else ""
        self.value = copy_buttons(self.call(arguments) if arguments else "", self.state)


def _copy_button(name: str, tip: str, text: str) -> str:
    if not text:
        return ""
    # In the browser alone: the clipboard is the user's, and the kernel may be far away.
    copy = (
        "navigator.clipboard.writeText(this.nextElementSibling.textContent)"
        ".then(() => this.textContent = 'Copied')"
    )
    return (
        f'<div class="sl-copied"><button class="sl-copy" onclick="{copy}" title="{tip}">{name}'
        f'</button><pre class="sl-call">{escape(text)}</pre></div>'
    )
