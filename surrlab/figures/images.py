"""Figures of fields: one simulation in time, and samples beside their differences.

A table of fields holds ``fields`` (row, field, vertical axis, horizontal axis); the coordinates
``label`` and ``unit`` of ``field``; and the two axes, with ``units`` and ``extent`` (low and high
end of the domain) in their attributes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from surrlab._text import listing, number, percent, quantity, sentence, with_unit
from surrlab.figures.style import Style, add_caption, subplots


def axes_of(table: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """The horizontal and the vertical axis of a table of fields."""
    vertical, horizontal = table["fields"].dims[-2:]
    return table[horizontal], table[vertical]


def extent_text(table: xr.Dataset) -> str:
    """The domain of a table of fields, for a caption.

    >>> axes = {"y": ([0.0], -2, 2), "x": ([0.0], -1, 4)}
    >>> coords = {k: (k, v, {"units": "cm", "extent": e}) for k, (v, *e) in axes.items()}
    >>> extent_text(xr.Dataset({"fields": (("row", "field", *axes), [[[[0.0]]]])}, coords))
    'x from −1 to 4 cm, y from −2 to 2 cm'
    """
    parts = []
    for axis in axes_of(table):
        (low, high), unit = axis.attrs["extent"], axis.attrs["units"]
        parts.append(f"{axis.name} from {number(low, 2)} to {quantity(high, unit, 2)}")
    return ", ".join(parts)


def aspect(table: xr.Dataset) -> float:
    """Height over width of a drawn field.

    The domain's own where both axes have one unit and neither side is ten times the other;
    otherwise that of the numbers of cells.
    """
    x, y = axes_of(table)
    true = np.ptp(y.attrs["extent"]) / np.ptp(x.attrs["extent"])
    if x.attrs["units"] == y.attrs["units"] and 0.1 <= true <= 10:
        return float(true)
    return float(np.clip(y.size / x.size, 0.1, 10))


def color_scale(values: np.ndarray) -> Style:
    """Colour map and limits of a field: centred on zero where it has both signs.

    Both maps grow lighter from one end to the other, so that they survive a grey printer. A sign
    counts from a quarter of the other: the slight tension behind a shock does not.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))  # a mask is NaN
    if -low > 0.25 * high and high > -0.25 * low:
        limit = max(-low, high)
        return {"cmap": "cividis", "clim": (-limit, limit)}
    return {"cmap": "viridis", "clim": (low, high)}


def color_limit(difference: np.ndarray) -> float:
    """Upper colour limit of absolute differences: 99.5 % of the cells lie below it.

    A few cells at an interface are far off: with them on the scale nothing else shows.
    """
    return float(np.nanquantile(difference, 0.995)) or 1.0


def draw_images(
    row: Iterable[Axes], fields: np.ndarray, table: xr.Dataset, rotate: bool = False, **kwargs
) -> AxesImage:
    """Draw fields ``(n, ny, nx)``, lowest row down, or on their side; return the last image."""
    x, y = (tuple(map(float, axis.attrs["extent"])) for axis in axes_of(table))
    extent = (*y, *x) if rotate else (*x, *y)
    stretch = aspect(table) * (x[1] - x[0]) / (y[1] - y[0])
    kwargs |= {"extent": extent, "aspect": 1 / stretch if rotate else stretch}
    for ax, field in zip(row, fields, strict=True):
        image = ax.imshow(field.T if rotate else field, origin="lower", **kwargs)
    return image


def plot_differences(
    table: xr.Dataset, title: str, caption: str, *, labels: Sequence[str], difference: str
) -> Figure:
    """Draw rows of fields, each field beside its absolute difference from the first row's.

    A tall domain lies on its side, as in the paper. Colour limits of a field are the first row's;
    those of a difference are shared by all rows.

    Parameters
    ----------
    table : Dataset
        The fields, (row, field, y, x); attribute ``title``, which sample it is.
    title, caption : str
        Of the figure.
    labels : sequence of str
        Name of each row.
    difference : str
        Heading of a difference.
    """
    values, ratio = table["fields"].values, aspect(table)
    rotate, n = ratio > 1, values.shape[1]
    height = 1.5 + len(labels) * (3.9 / n * min(ratio, 1 / ratio) + 0.1)
    title = f"{title}\n{table.attrs['title']}"
    figure, axes = subplots(title, height, len(labels), 2 * n, images=True)
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    names, units = table["label"].values.tolist(), table["unit"].values.tolist()
    for k, (name, unit) in enumerate(zip(names, units, strict=True)):
        left, right = axes[:, 2 * k], axes[:, 2 * k + 1]
        error = np.abs(values[:, k] - values[0, k])
        greys = {"cmap": "Greys", "clim": (0, color_limit(error))}
        for column, stack, look, extend, heading in (
            (left, values[:, k], color_scale(values[0, k]), "both", textwrap.fill(name, 18)),
            (right, error, greys, "max", difference),
        ):
            image = draw_images(column, stack, table, rotate, **look)
            column[0].set_title(heading, fontsize=10)
            bar = figure.colorbar(image, ax=column, location="bottom", extend=extend, aspect=14)
            bar.set_label("" if unit == "1" else unit, fontsize=9)
            bar.ax.tick_params(labelsize=8)
            bar.ax.locator_params(nbins=3)
            bar.ax.xaxis.set_major_formatter("{x:g}")
        right[0].set_axis_off()  # the first row's difference from itself
        right[0].images[0].remove()
    _, vertical = axes_of(table)
    side = f"; drawn on its side, low {vertical.name} at the left" if rotate else ""
    return add_caption(figure, f"{caption} Domain: {extent_text(table)}{side}.")


def evolution(table: xr.Dataset) -> Figure:
    """Small multiples of one simulation: a row per field, a column per time.

    Parameters
    ----------
    table : Dataset
        ``fields`` (sample, field, y, x); coordinate ``time`` of ``sample`` with ``units``;
        attributes ``title``, which simulation it is, and ``description``, what happens in it.
    """
    fields, (x, y) = table["fields"], axes_of(table)
    ratio, n = aspect(table), table.sizes["sample"]
    title = f"One simulation from start to end\n{table.attrs['title']}"
    height = 0.9 + fields.sizes["field"] * (7.6 / n * ratio + 0.1)
    figure, axes = subplots(title, height, fields.sizes["field"], n, images=True)
    ranges = []
    for row, field in zip(axes, fields.transpose("field", ...), strict=True):
        values, label, unit = field.values, str(field["label"].item()), field["unit"].item()
        image = draw_images(row, values, table, **color_scale(values))
        bar = figure.colorbar(image, ax=row, aspect=30 if ratio > 1 else 15)
        bar.set_label(with_unit(label, unit).replace(" (", "\n("), fontsize=9)
        low, high = y.attrs["extent"]
        row[0].set_ylabel(with_unit(str(y.name), y.attrs["units"]))
        row[0].set_yticks(np.linspace(low, high, 5))
        least, most = _rounded(values)
        ranges.append(f"{label} lies between {least} and {most} {unit}".removesuffix(" 1"))
    for ax, time in zip(axes[0], table["time"].values, strict=True):
        ax.set_title(f"{time:g} {table['time'].attrs['units']}", fontsize=9)
    shared = "on one colour scale for all times" + (", one per field" if len(ranges) > 1 else "")
    caption = (
        f"{table.attrs['description']} {sentence(' and '.join(ranges))}, {shared}; "
        f"{x.size} × {y.size} cells, {extent_text(table)}."
    )
    return add_caption(figure, caption.strip())


def _rounded(values: np.ndarray) -> list[str]:
    """Least and largest value, to a hundredth of their distance."""
    low, high = float(values.min()), float(values.max())
    digits = 2 - math.floor(math.log10(high - low)) if high > low else 3
    return [f"{round(value, digits) + 0.0:g}" for value in (low, high)]


def compressed(table: xr.Dataset) -> Figure:
    """One sample raw, and decoded from growing compression ratios.

    Parameters
    ----------
    table : Dataset
        ``fields`` (version, field, y, x), the raw ones first; ``loss`` (version, field), the mean
        error in standard deviations of the field; coordinate ``ratio`` of ``version``, the
        payload's; attribute ``title``.
    """
    title = "What does compression take? Each field, and its difference from the raw one"
    labels = ["raw", *(f"{ratio:.0f}×" for ratio in table["ratio"].values[1:])]
    lost = []
    for label, shares in zip(labels[1:], table["loss"].values[1:], strict=True):
        of_field = zip(table["label"].values, map(percent, shares), strict=True)
        lost.append(f"{label}: {', '.join(map(' '.join, of_field))}")
    caption = (
        "n×: compression ratio (payload) of all fields of this sample; no network was trained on "
        "them. Mean error in standard deviations of the field: "
        f"{'; '.join(lost)}. Differences are darker where they are larger."
    )
    return plot_differences(table, title, caption, labels=labels, difference="|decoded − raw|")


def side_by_side(table: xr.Dataset) -> Figure:
    """Fig. 10: the truth and the models, a row each; each field and |model − truth|, a column each.

    Parameters
    ----------
    table : Dataset
        ``fields`` (model, field, y, x), the truth first, then a raw model; coordinate ``model`` in
        words; attribute ``title``.
    """
    title = "What do the models lose? Each field, and its difference from the truth"
    labels = [str(label) for label in table["model"].values]
    caption = "Differences are darker where a model is further from the truth."
    if len(labels) > 2:
        fields = table["fields"].values  # (model, field, y, x)
        error = np.nanmean(np.abs(fields - fields[0]), axis=(-2, -1))
        relative = (error[2:] / error[1]).mean(-1)
        relations = {n: f"{value:.2f}" for n, value in zip(labels[2:], relative, strict=True)}
        caption += (
            f" Mean difference in units of the {labels[1]}'s, over the fields shown: "
            f"{listing(relations)}."
        )
    return plot_differences(table, title, caption, labels=labels, difference="|model − truth|")
