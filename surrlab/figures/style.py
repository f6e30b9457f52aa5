"""What all figures share: the look of a model, panels, and the foot with caption and legend.

Truth is black, raw models are grey, and a level of compression keeps its colour and line (`styles`)
in every figure. Colours darken with the level, so that the order survives a grey printer.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from surrlab.simulation.scenario import LABELS, NAMES

TRUTH = {"color": "black", "lw": 1.6, "zorder": 4}
RAW = {"color": "0.7", "lw": 1.0}
RAW_CENTRE = {"color": "0.25", "ls": "--", "lw": 1.2, "zorder": 1.5}
BAND = {"color": "0.87", "lw": 0, "zorder": 0}
LINES = ((0, (9, 1.5)), (0, (4, 1.5)), "-.", (0, (1.5, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (9, 4)))
MARKERS = "os^Dvp"
RATIO = "compression ratio of the training data (payload)"
FIELD_STYLES = {
    name: {"color": colour, "ls": line}
    for name, colour, line in zip(
        NAMES,
        ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#777777"),
        ("-", *LINES[1:]),
        strict=True,
    )
}
_CAPTION_WIDTH = 144  # characters that fit into the common width
_LINE = 0.165  # height of a line of the foot, in inches


def styles(n: int) -> list[dict]:
    """Colour and line of `n` levels, from the least compressed: three are green, red and blue."""
    import seaborn as sns

    palette = sns.blend_palette(["#58b558", "#cf7420", "#c9302c", "#7b2a8c", "#14307e"], n)
    return [{"color": c, "ls": LINES[i % len(LINES)]} for i, c in enumerate(palette.as_hex())]


def level_label(level: float, ratio: float) -> str:
    """What a figure calls a level: its payload ratio, then its factor on the tolerances.

    >>> level_label(0.125, 10.93)
    '10.9× (tolerance ×1/8)'
    """
    return f"{ratio:.1f}× (tolerance ×{factor(level)})"


def factor(level: float) -> str:
    """A factor on the tolerances as people write it.

    >>> factor(0.125), factor(4.0), factor(0.3)
    ('1/8', '4', '3/10')
    """
    return str(Fraction(level).limit_denominator(1000))


def groups(table: xr.Dataset | xr.DataArray) -> Iterator[tuple[str, dict, xr.Dataset]]:
    """Label, style and models: the raw ones, then each lossy level from the least compressed."""
    kind, level = table["kind"].values, table["level"].values
    if not (kind == "raw").any():
        raise ValueError("the figure needs raw models; the evaluation holds none")
    yield "raw models", RAW, table.isel(model=kind == "raw")
    levels = np.unique(level[kind == "lossy"])
    for one, style in zip(levels, styles(len(levels)), strict=True):
        models = table.isel(model=(kind == "lossy") & (level == one))
        yield level_label(one, float(models["ratio"][0])), style, models


def panels(title: str, height: float, rows=1, columns=1, *, images=False, **kwargs):
    """An empty figure of the common width, and its axes ``(rows, columns)``.

    `height` is in inches and without the `foot`, which makes its own room.
    """
    layout = "compressed" if images else "constrained"
    figure = Figure(figsize=(10, height), dpi=110, layout=layout)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(images)
        ax.ticklabel_format(useOffset=False)
        ax.tick_params(labelsize=9)
        if images:
            ax.set(xticks=[], yticks=[])
    return figure, axes


def foot(figure: Figure, caption: str, columns: int = 4) -> Figure:
    """The figure with its caption beneath the panels, and under it one legend for all of them.

    Equal labels appear once. Layout makes room for one thing at the bottom: caption and legend are
    one, the caption its title. The figure grows by it, so that the panels keep their size.
    """
    entries = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if any("(tolerance" in label for label in entries):
        caption += f" n×: {RATIO}; in brackets the factor on Algorithm 1's tolerance."
    signed = re.sub(r"(?<!\w)-(?=\d)", "−", caption)
    together = re.sub(r"(?<=\d) (?=%|cm|dB)", "\N{NO-BREAK SPACE}", signed)
    text = textwrap.fill(together, _CAPTION_WIDTH)
    columns = max(1, min(columns, len(entries)))
    lines = 1 + text.count("\n") + math.ceil(len(entries) / columns)
    figure.set_figheight(figure.get_figheight() + 0.15 + _LINE * lines)
    look = {"fontsize": 9, "title_fontsize": 9, "frameon": False, "handlelength": 3}
    figure.legend(
        entries.values(),
        entries.keys(),
        title=text,
        loc="outside lower left",
        alignment="left",
        ncols=columns,
        **look,
    )
    return figure


def sentence(label: str) -> str:
    """A label as a sentence begins with it.

    >>> sentence("PSNR of pressure"), sentence("jet length")
    ('PSNR of pressure', 'Jet length')
    """
    return label[:1].upper() + label[1:]


def listing(values: Mapping[str, str]) -> str:
    """What a caption says of several things, one after another.

    >>> listing({"raw": "0.99", "11×": "0.98"})
    'raw: 0.99; 11×: 0.98'
    """
    return "; ".join(f"{name}: {value}" for name, value in values.items())


def percent(share: float) -> str:
    """A share as people write it.

    >>> percent(0.254)
    '25 %'
    """
    return f"{100 * float(share):.0f} %"


def with_unit(label: str, array: xr.DataArray) -> str:
    """A label and its unit, as an axis has it; a pure number has none."""
    unit = array.attrs["units"]
    return label if unit == "1" else f"{label} ({unit})"


def density(ax: Axes, values: np.ndarray, label: str, style: dict) -> None:
    """Kernel density of the finite values; a vertical line where they are all one number."""
    finite = values[np.isfinite(values)]
    if finite.size and np.ptp(finite) > 1e-6 * np.abs(finite).max():
        import seaborn as sns

        sns.kdeplot(x=finite, ax=ax, label=label, **style)
    else:
        ax.axvline(finite[0] if finite.size else np.nan, label=label, **style)


def boxes(ax: Axes, boxes: Sequence[tuple], orientation: str = "vertical") -> None:
    """A box for each (label, colour, values); what is not finite is left out."""
    labels, colours, samples = zip(*boxes, strict=True)
    finite = [values[np.isfinite(values)] for values in samples]
    dots, line = {"marker": ".", "ms": 3, "mec": "0.4"}, {"color": "black", "lw": 1.6}
    look = {"widths": 0.6, "patch_artist": True, "flierprops": dots, "medianprops": line}
    drawn = ax.boxplot(finite, orientation=orientation, tick_labels=labels, **look)
    for patch, colour in zip(drawn["boxes"], colours, strict=True):
        patch.set(facecolor=colour, alpha=0.7)


def span(table: xr.Dataset) -> str:
    """The domain of a table of fields, for a caption.

    >>> span(xr.Dataset(attrs={"x_extent": [-1, 4], "y_extent": [-2, 2]}))
    'x from -1 to 4 cm, y from -2 to 2 cm'
    """
    x, y = table.attrs["x_extent"], table.attrs["y_extent"]
    return f"x from {x[0]:.2g} to {x[1]:.2g} cm, y from {y[0]:.2g} to {y[1]:.2g} cm"


def aspect(table: xr.Dataset) -> float:
    """Height of the domain of a table of fields over its width."""
    (left, right), (bottom, top) = table.attrs["x_extent"], table.attrs["y_extent"]
    return (top - bottom) / (right - left)


def scale(values: np.ndarray) -> dict:
    """Colour map and limits of a field: centred on zero where it has both signs.

    Both maps grow lighter from one end to the other, so that they survive a grey printer. A sign
    counts from a quarter of the other: the slight tension behind a shock does not.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if -low > 0.25 * high and high > -0.25 * low:
        reach = max(-low, high)
        return {"cmap": "cividis", "clim": (-reach, reach)}
    return {"cmap": "viridis", "clim": (low, high)}


def images(row: Sequence[Axes], fields: np.ndarray, table: xr.Dataset, rotate=False, **kwargs):
    """Fields ``(n, ny, nx)`` with true proportions, bottom row down, or on their side."""
    x, y = table.attrs["x_extent"], table.attrs["y_extent"]
    extent = (*y, *x) if rotate else (*x, *y)
    for ax, field in zip(row, fields, strict=True):
        image = ax.imshow(field.T if rotate else field, origin="lower", extent=extent, **kwargs)
    return image


def beside(
    table: xr.Dataset, title: str, caption: str, *, labels: Sequence[str], distance: str
) -> Figure:
    """Rows of fields, each field beside its distance from the first row's; columns in pairs.

    A tall domain lies on its side, as in the paper. Colour limits of a field are the first row's;
    those of a distance are shared by all rows.

    Parameters
    ----------
    table : Dataset
        The fields to draw, (row, y, x), with units; attributes ``title``, which sample it is, and
        the domain, ``x_extent`` and ``y_extent``.
    labels : sequence of str
        Name of each row.
    distance : str
        Heading of a distance.
    """
    names, flat = list(table), aspect(table)
    height = 1.5 + len(labels) * (3.9 / len(names) * min(flat, 1 / flat) + 0.1)
    title = f"{title}\n{table.attrs['title']}"
    figure, axes = panels(title, height, len(labels), 2 * len(names), images=True)
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for name, left, right in zip(names, axes.T[::2], axes.T[1::2], strict=True):
        values = table[name].values
        error = np.abs(values - values[0])
        # A few cells at an interface are far off: with them on the scale nothing else shows.
        shades = {"cmap": "Greys", "clim": (0, np.quantile(error, 0.995) or 1)}
        for column, stack, look, extend, heading in (
            (left, values, scale(values[0]), "both", textwrap.fill(LABELS[name], 18)),
            (right, error, shades, "max", distance),
        ):
            image = images(column, stack, table, aspect(table) > 1, **look)
            column[0].set_title(heading, fontsize=10)
            bar = figure.colorbar(image, ax=column, location="bottom", extend=extend, aspect=14)
            bar.set_label(table[name].attrs["units"], fontsize=9)
            bar.ax.tick_params(labelsize=8)
            bar.ax.locator_params(nbins=3)
            bar.ax.xaxis.set_major_formatter("{x:g}")
        right[0].set_axis_off()  # the first row's distance from itself
        right[0].images[0].remove()
    side = "; its left is the domain's lower end" if aspect(table) > 1 else ""
    return foot(figure, f"{caption} Domain: {span(table)}{side}.")
