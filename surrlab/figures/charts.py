"""Charts and pictures described once, for two renderers: matplotlib here, SVG in `explorer.charts`.

A description holds text and numbers only. A colour of None is the colour of the page's text: black
on paper, the theme's on a screen. Dashes are lengths of ink and gap in points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from surrlab._text import number, superscript

Dash = tuple[float, ...]


@dataclass(frozen=True)
class ChartAxis:
    """One axis of a chart: its label, its limits, and whether it is logarithmic."""

    label: str
    limits: tuple[float, float]
    log: bool = False


@dataclass(frozen=True, eq=False)
class Curve:
    """A line through points ``(n,)``."""

    x: np.ndarray
    y: np.ndarray
    label: str = ""
    color: str | None = None
    dash: Dash = ()
    width: float = 1.6


@dataclass(frozen=True, eq=False)
class Band:
    """The region between two curves over ``x`` (n,)."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """A vertical line."""

    x: float
    label: str = ""
    color: str | None = None
    dash: Dash = ()


@dataclass(frozen=True, eq=False)
class Histogram:
    """Bars between edges ``(n + 1,)``, of heights ``(n,)``; how much lies beyond either end."""

    edges: np.ndarray
    heights: np.ndarray
    label: str = ""
    color: str | None = None
    beyond: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart.

    Parameters
    ----------
    title : str
        What it shows.
    x, y : ChartAxis
        Its axes; what leaves their limits is cut off.
    elements : tuple of Curve, Band, Mark or Histogram
        What is drawn, from back to front.
    summary : str
        The chart in a sentence, for screen readers.
    notice : str
        A sentence to show in place of the elements.
    """

    title: str
    x: ChartAxis
    y: ChartAxis
    elements: tuple[Curve | Band | Mark | Histogram, ...]
    summary: str = ""
    notice: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """A field as colours.

    Parameters
    ----------
    title, label : str
        Heading, and what the colour bar says.
    values : array (ny, nx)
        Row 0 is drawn at the bottom.
    limits : tuple of float
        Ends of the colour scale.
    cmap : str
        Name of the colour map.
    log : bool
        Whether its colours are logarithmic: limits are above 0, and lower values have their colour.
    extent : tuple of float
        Left, right, bottom and top end of what is shown.
    stretch : float
        Height of a unit of the vertical axis over the width of one of the horizontal axis.
    axes : tuple of str
        Labels of the horizontal and of the vertical axis; one without has no ticks.
    """

    title: str
    label: str
    values: np.ndarray
    limits: tuple[float, float]
    cmap: str
    log: bool
    extent: tuple[float, float, float, float]
    stretch: float = 1.0
    axes: tuple[str, str] = ("", "")


def draw_chart(ax: Axes, chart: Chart) -> None:
    """Draw a chart with matplotlib."""
    ax.set_title(verbatim(chart.title), fontsize=10)
    if chart.notice:
        ax.set_axis_off()
        ax.text(0.5, 0.5, verbatim(chart.notice), ha="center", transform=ax.transAxes)
        return
    for element in chart.elements:
        _draw_element(ax, element)
    ax.set(xlabel=verbatim(chart.x.label), ylabel=verbatim(chart.y.label))
    for name, axis in (("x", chart.x), ("y", chart.y)):
        if axis.log:
            ax.set(**{f"{name}scale": "log"})
            side = getattr(ax, f"{name}axis")
            # Over less than some decades 2 and 5 are written, too; more would run together.
            few = axis.limits[1] < 300 * axis.limits[0]
            side.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            side.set_minor_locator(NullLocator())
            side.set_major_formatter(FuncFormatter(_few_decades if few else _decade))
    ax.set(xlim=chart.x.limits, ylim=chart.y.limits)
    ax.spines[["top", "right"]].set_visible(False)
    if any(getattr(element, "label", "") for element in chart.elements):
        ax.legend(fontsize=8, frameon=False)


def _few_decades(value: float, _=None) -> str:
    return number(value)


def _decade(value: float, _=None) -> str:
    return f"10{superscript(round(math.log10(value)))}"


def _draw_element(ax: Axes, element: Curve | Band | Mark | Histogram) -> None:
    label = verbatim(element.label) or None
    if isinstance(element, Band):
        ax.fill_between(element.x, element.low, element.high, color="0.87", lw=0, label=label)
        return
    color = element.color or "black"
    if isinstance(element, Histogram):
        ax.stairs(element.heights, element.edges, fill=True, alpha=0.35, color=color, label=label)
    elif isinstance(element, Mark):
        ax.axvline(element.x, color=color, lw=1.6, ls=_linestyle(element.dash, 1.6), label=label)
    else:
        style = _linestyle(element.dash, element.width)
        ax.plot(element.x, element.y, color=color, lw=element.width, ls=style, label=label)


def _linestyle(dash: Dash, width: float):
    # matplotlib multiplies dashes by the line's width.
    return (0, tuple(length / width for length in dash)) if dash else "-"


def draw_picture(ax: Axes, picture: Picture) -> AxesImage:
    """Draw a field with matplotlib, in true proportions."""
    low, high = picture.limits
    if not low < high:
        low, high = low - 1, high + 1  # a constant field is in the middle of its scale
    ax.set_title(verbatim(picture.title).replace(" (", "\n("), fontsize=9)
    ax.locator_params(nbins=3)
    ax.tick_params(labelsize=7, length=2)
    ax.set_xlabel(verbatim(picture.axes[0]), fontsize=8, labelpad=1)
    ax.set_ylabel(verbatim(picture.axes[1]), fontsize=8, labelpad=1)
    for axis, label in zip((ax.xaxis, ax.yaxis), picture.axes, strict=True):
        if not label:
            axis.set_ticks([])
    norm = (LogNorm if picture.log else Normalize)(low, high)
    values = np.maximum(picture.values, low) if picture.log else picture.values
    return ax.imshow(values, origin="lower", extent=picture.extent, norm=norm, cmap=picture.cmap)


def draw_pictures(
    figure: SubFigure, axes: Sequence[Axes], pictures: Sequence[Picture], **shape: Any
) -> None:
    """Draw pictures of one colour scale, with one colour bar beneath them of a `shape`.

    The first alone says what the vertical axis is.
    The bar has a point at each end beyond which a value lies.
    """
    for ax, picture in zip(axes, pictures, strict=True):
        image = draw_picture(ax, picture)
        if ax is not axes[0]:
            ax.set(yticks=[], ylabel="")
    low, high = image.get_clim()
    below = any((picture.values < low).any() for picture in pictures)  # a mask is NaN
    above = any((picture.values > high).any() for picture in pictures)
    extend = ("neither", "min", "max", "both")[below + 2 * above]
    bar = figure.colorbar(image, ax=axes, location="bottom", extend=extend, **shape)
    bar.set_label(verbatim(pictures[0].label), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if not pictures[0].log:
        bar.ax.locator_params(nbins=4)
        return
    ticks = np.geomspace(low, high, 3).tolist()
    bar.set_ticks(ticks, labels=[number(tick) for tick in ticks])
    bar.minorticks_off()


def verbatim(text: str) -> str:
    r"""Text that matplotlib shows as it is, and never takes for a formula.

    >>> verbatim("$x^2$")
    '\\$x^2\\$'
    """
    return text.replace("$", r"\$")
