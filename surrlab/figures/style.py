"""The look that all figures share: colours of models, fields and states, panels, captions.

The truth is black, raw models are grey, and a version of the training data keeps its colour and
line in every figure. Colours darken with compression, so that the order survives a grey printer.
Labels and units come from the tables; nothing here knows the name of a field or a quantity.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable
from contextlib import ContextDecorator
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.mlab import GaussianKDE

from surrlab import _text

Style = dict[str, Any]

TRUTH: Style = {"color": "black", "lw": 1.6, "zorder": 4}
RAW: Style = {"color": "0.7", "lw": 1.0}
RAW_MEAN: Style = {"color": "0.25", "ls": "--", "lw": 1.2, "zorder": 3}
BAND: Style = {"color": "0.87", "lw": 0, "zorder": 0}
THIN: Style = {"lw": 0.8}
"""Added to the style of a version where each of its models is a curve."""
GENERATED: Style = {"color": "#00798c", "ls": (0, (4, 1.5))}
"""Models that learned from another model's output; no version has this look."""
STATE_COLORS = {
    "benign": "#3c9d5b",
    "small": "#9aad2e",
    "undecided": "#d97706",
    "harmful": "#d6453d",
}
"""Colour of each state of a verdict, from the best to the worst."""
LINES = ((0, (9, 1.5)), (0, (4, 1.5)), "-.", (0, (1.5, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (9, 4)))
MARKERS = "os^Dvp"
RATIO = "compression ratio of the training data (payload)"
_FIELD_COLORS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#777777")
_FIELD_LINES = ("-", *LINES[1:])
_CAPTION_WIDTH = 144  # characters that fit into the common width
_LINE_HEIGHT = 0.165  # of a line of the caption, in inches


def plain_text() -> ContextDecorator:
    """Return a block, or a decorator, within which matplotlib sets text itself, without TeX.

    With ``text.usetex`` in a user's matplotlibrc our labels (µ, %, _) fail, or LaTeX is missing.
    """
    return matplotlib.rc_context({"text.usetex": False})


def version_styles(n: int) -> list[Style]:
    """Colour and line of `n` versions, the least compressed first; three: green, red, blue."""
    stops = ["#58b558", "#cf7420", "#c9302c", "#7b2a8c", "#14307e"]
    palette = LinearSegmentedColormap.from_list("versions", stops)(np.linspace(0, 1, n))
    return [{"color": to_hex(c), "ls": LINES[i % len(LINES)]} for i, c in enumerate(palette)]


def field_styles(n: int) -> list[Style]:
    """Colour and line of `n` fields by position; 36 differ in one or both."""
    size = len(_FIELD_COLORS)
    lines = (_FIELD_LINES[(i + i // size) % len(_FIELD_LINES)] for i in range(n))
    return [{"color": _FIELD_COLORS[i % size], "ls": line} for i, line in enumerate(lines)]


class NothingToDraw(ValueError):
    """An ensemble lacks what a figure shows: no fault of anybody's."""


class Group(NamedTuple):
    """Models of one version: label, ``short`` label for captions, look, and their table."""

    label: str
    short: str
    style: Style
    table: Any


def groups(table: xr.Dataset | xr.DataArray) -> list[Group]:
    """The models of a table by version: the raw ones, then the lossy ones by growing ratio.

    Parameters
    ----------
    table : Dataset or DataArray
        With a dimension ``model`` and its coordinates ``kind``, ``version``, ``codec``, ``rule``,
        ``factor`` and ``ratio``. Models of another kind than ``raw`` and ``lossy`` are left out.

    Raises
    ------
    ValueError
        If there is no raw model.
    """
    kind, version = table["kind"].values, table["version"].values
    if not (kind == "raw").any():
        raise ValueError("the figure needs raw models; the table holds none")
    lossy = np.flatnonzero(kind == "lossy")
    first = lossy[np.unique(version[lossy], return_index=True)[1]]  # model of each version
    first = first[np.argsort(table["ratio"].values[first], kind="stable")]
    models = [table.isel(model=(kind == "lossy") & (version == version[k])) for k in first]
    labels = zip(*version_labels(table.isel(model=first)), strict=True)
    styles = version_styles(len(first))
    raw = Group("raw models", "raw", RAW, table.isel(model=kind == "raw"))
    rows = zip(labels, styles, models, strict=True)
    return [raw, *(Group(*names, style, group) for names, style, group in rows)]


def version_labels(versions: xr.Dataset | xr.DataArray) -> tuple[list[str], list[str]]:
    """Labels of lossy versions, and short ones for captions; both tell all of them apart.

    Parameters
    ----------
    versions : Dataset or DataArray
        With ``codec``, ``rule``, ``factor`` and ``ratio``, each one value per version.
    """
    columns = [versions[name].values.tolist() for name in ("ratio", "factor", "rule", "codec")]
    several = len(set(columns[-1])) > 1
    labels = [
        _text.version_label(ratio, factor, rule, codec if several else "")
        for ratio, factor, rule, codec in zip(*columns, strict=True)
    ]
    short = [f"{ratio:.1f}×" for ratio in columns[0]]
    return labels, short if len(set(short)) == len(short) else labels


def version_note(table: xr.Dataset | xr.DataArray) -> str:
    """What the labels of a table's lossy versions mean, for its caption; empty without any."""
    rules = set(table["rule"].values[table["codec"].values != ""].tolist())
    means = ["the factor on Algorithm 1's tolerances"] if rules - {"fixed"} else []
    means += ["the tolerance in standard deviations of the fields"] if "fixed" in rules else []
    return f" n×: {RATIO}; in brackets {' or '.join(means)}." if means else ""


class Band(NamedTuple):
    """The band of Fig. 3: mean of raw models, and twice their standard deviation."""

    mean: xr.DataArray
    two_sigma: xr.DataArray

    def inside(self, curves: xr.DataArray) -> float:
        """Share of the points of all curves that lie inside the band."""
        return float((np.abs(curves - self.mean) <= self.two_sigma).mean())


def two_sigma_band(raw: xr.DataArray) -> Band:
    """Mean ± 2σ over the dimension ``model``, with K − 1 in the divisor (Fig. 3).

    Raises
    ------
    ValueError
        If there are fewer than two models.
    """
    n = raw.sizes["model"]
    if n < 2:
        raise ValueError(f"a band needs at least two raw models; the table holds {n}")
    return Band(raw.mean("model"), 2 * raw.std("model", ddof=1))


def share_inside(models: xr.DataArray, raw: xr.DataArray) -> float:
    """Share of the points of models inside the band of the raw models of other seeds.

    Averaged over the models; NaN where fewer than three raw models leave no band. Without the
    model's own seed, raw and lossy models are treated alike: a lossy model resembles the raw one
    that began and shuffled as it did. For the raw models themselves (leave one out) it is what
    chance gives: 0.83 of five normal ones, not 0.95.
    """
    if raw.sizes["model"] < 3:
        return math.nan
    seeds = raw["seed"].values
    bands = [two_sigma_band(raw.isel(model=seeds != seed)) for seed in models["seed"].values]
    shares = [band.inside(model) for band, model in zip(bands, models, strict=True)]
    return sum(shares) / len(shares)


def one_simulation(table: xr.Dataset, simulation: int) -> xr.Dataset:
    """The samples of one simulation.

    Raises
    ------
    KeyError
        If the table has none of it.
    """
    numbers = table["simulation"].values
    if simulation not in numbers:
        known = ", ".join(map(str, dict.fromkeys(numbers.tolist())))
        raise KeyError(f"no simulation {simulation}; there are {known}")
    return table.isel(sample=numbers == simulation)


def subplots(
    title: str, height: float, rows: int = 1, columns: int = 1, *, images: bool = False, **kwargs
) -> tuple[Figure, np.ndarray]:
    """An empty figure of the common width, and its axes ``(rows, columns)``.

    `height` is in inches, without the caption, for which `add_caption` makes room.
    """
    figure = Figure(figsize=(10, height), dpi=110, layout="compressed" if images else "constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(images)
        ax.ticklabel_format(useOffset=False)
        ax.tick_params(labelsize=9)
        if images:
            ax.set(xticks=[], yticks=[])
    return figure, axes


def subplot_grid(title: str, height: float, n: int) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels in one row, two, or rows of four; `height` is that of a row."""
    columns = n if n <= 3 else -(-n // 2) if n <= 8 else 4
    figure, axes = subplots(title, height * -(-n // columns), -(-n // columns), columns)
    for ax in axes.flat[n:]:
        ax.remove()
    return figure, list(axes.flat[:n])


def add_caption(figure: Figure, caption: str, columns: int = 4) -> Figure:
    """Put a caption beneath the panels, and under it one legend for all of them.

    Equal labels appear once. The layout makes room for one artist at the bottom: caption and
    legend are one, the caption its title. The figure grows by it: the panels keep their size.
    """
    entries: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    together = re.sub(r"(?<=\d) (?=%|dB)", "\N{NO-BREAK SPACE}", _text.minus(caption))
    text = "\n".join(textwrap.fill(part, _CAPTION_WIDTH) for part in together.split("\n"))
    columns = max(1, min(columns, len(entries)))
    lines = 1 + text.count("\n") + math.ceil(len(entries) / columns)
    figure.set_figheight(figure.get_figheight() + 0.15 + _LINE_HEIGHT * lines)
    figure.legend(
        entries.values(),
        entries.keys(),
        title=text,
        loc="outside lower left",
        alignment="left",
        ncols=columns,
        fontsize=9,
        title_fontsize=9,
        frameon=False,
        handlelength=3,
    )
    return figure


def plot_density(ax: Axes, values: np.ndarray, label: str, style: Style) -> None:
    """Kernel density of the finite values; a vertical line where they are all one number."""
    finite = values[np.isfinite(values)]
    if finite.size and np.ptp(finite) > 1e-6 * np.abs(finite).max():
        kernel = GaussianKDE(finite)  # Scott's bandwidth
        room = 3 * float(kernel.factor) * finite.std(ddof=1)
        x = np.linspace(finite.min() - room, finite.max() + room, 200)
        (line,) = ax.plot(x, kernel(x), label=label, **style)
        line.sticky_edges.y.append(0)  # the axis ends at 0
    else:
        ax.axvline(finite[0] if finite.size else np.nan, label=label, **style)


def plot_boxes(
    ax: Axes,
    boxes: Iterable[tuple[str, str, np.ndarray]],
    orientation: Literal["vertical", "horizontal"] = "vertical",
) -> None:
    """A box for each (label, colour, values); values that are not finite are left out."""
    labels, colors, samples = zip(*boxes, strict=True)
    finite = [values[np.isfinite(values)] for values in samples]
    dots, line = {"marker": ".", "ms": 3, "mec": "0.4"}, {"color": "black", "lw": 1.6}
    look: Style = {"widths": 0.6, "patch_artist": True, "flierprops": dots, "medianprops": line}
    drawn = ax.boxplot(finite, orientation=orientation, tick_labels=labels, **look)
    for patch, color in zip(drawn["boxes"], colors, strict=True):
        patch.set(facecolor=color, alpha=0.7)
