"""The explorer's first two pages on paper, drawn by matplotlib."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from surrlab._text import quantity, times, tolerance, with_unit
from surrlab.explorer._layout import picture_size
from surrlab.explorer._look import Look, Shades
from surrlab.explorer._zoom import edges
from surrlab.explorer.charts import arrows, curve_chart, error_chart, spectrum_chart
from surrlab.explorer.comparison import TRUTH, ModelView
from surrlab.explorer.html import DIFFERENCE, headline
from surrlab.explorer.settings import FieldView
from surrlab.figures.charts import Chart, Picture, draw_chart, draw_pictures, verbatim
from surrlab.figures.style import STATE_COLORS, plain_text


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
    _draw_on_paper(errors, error_chart(view))
    _draw_on_paper(spectra, spectrum_chart(view))
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
        _draw_on_paper(left, curve_chart(view.curves, view.time))
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
    # Pictures have equal cells: on an axis that has not, ticks would be at false places.
    names = tuple(with_unit(axis.name, axis.unit) if axis.is_uniform else "" for axis in (x, y))
    return Picture(title, with_unit(label, of.field.unit), values, *shades, extent, stretch, names)


def _draw_on_paper(ax: Axes, chart: Chart) -> None:
    """A chart by matplotlib, with the same arrows."""
    draw_chart(ax, chart)
    lines = dict.fromkeys(("left", "right", "above", "below"), 0)
    for one in arrows(chart) if not chart.notice else []:
        line = 0.07 * lines[one.side]
        lines[one.side] += 1
        text = f"{one.text} {one.head}" if one.side == "right" else f"{one.head} {one.text}"
        look = {"fontsize": 7, "color": one.color or "black"}
        if one.side in ("left", "right"):
            x, ha = (0.01, "left") if one.side == "left" else (0.99, "right")
            ax.text(x, 0.9 - line, text, ha=ha, transform=ax.transAxes, **look)
        else:
            y, va = (0.98 - line, "top") if one.side == "above" else (0.02 + line, "bottom")
            ax.text(one.at, y, text, ha="center", va=va, transform=ax.get_xaxis_transform(), **look)
