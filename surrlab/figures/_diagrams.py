"""Diagrams of what ran: the network layer by layer, and the two ways of training it."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from surrlab._text import listing, number
from surrlab.figures.style import RAW, NothingToDraw, add_caption, subplots, version_styles

_BOX = {"boxstyle": "round,pad=0.5", "edgecolor": "0.3"}
_ARROW = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 30}


def network(table: xr.Dataset) -> Figure:
    """Fig. 1: the layers that learn, what each returns, and how many weights it has.

    Parameters
    ----------
    table : Dataset
        ``kind``, ``shape`` and ``parameters`` (layer); attributes ``network`` and ``inputs``.

    Raises
    ------
    NothingToDraw
        If surrlab did not train the model.
    """
    n = table.sizes["layer"]
    if not n:
        raise NothingToDraw("the models were not trained by surrlab: it does not know the network")
    inputs, weights = json.loads(table.attrs["inputs"]), table["parameters"].values
    title = f"The network that was trained: {table.attrs['network']}, {n} layers that learn"
    figure, [[ax]] = subplots(title, 1.2 + 0.32 * n)
    places, color = np.arange(n), version_styles(1)[0]["color"]
    ax.barh(places, weights, color=color, alpha=0.75)
    rows = zip(places + 1, table["kind"].values, table["shape"].values, strict=True)
    ax.set_yticks(places, [f"{i}  {kind} → {shape}" for i, kind, shape in rows])
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="weights of the layer")
    caption = (
        f"{int(weights.sum()):,} weights in all. It turns {len(inputs)} inputs "
        f"({', '.join(inputs).replace('_', ' ')}) into all fields at once; behind each arrow: what "
        "the layer returns, channels first. Layers that only normalise are left out."
    )
    return add_caption(figure, caption)


def pipeline(table: xr.Dataset) -> Figure:
    """Fig. 2: training from raw files (workflow 1), and from compressed ones (workflow 2).

    Parameters
    ----------
    table : Dataset
        ``MB``, ``ratio_file`` and ``MB_s`` (workflow), raw first; attribute ``version``.
    """
    title = "Two ways to the same batches: raw files, and compressed files decoded while training"
    figure, [[ax]] = subplots(title, 2.6)
    ax.set(xlim=(0, 10), ylim=(0, 2), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    raw, small = table["MB"].values
    ratio = float(table["ratio_file"][1])
    stored = (
        (1.5, f"1  raw data\n{number(raw)} MB", RAW["color"]),
        (
            0.5,
            f"2  {table.attrs['version']}\n{number(small)} MB on disk (1/{ratio:.1f})",
            version_styles(1)[0]["color"],
        ),
    )
    for y, text, color in stored:
        _box(ax, 1.2, y, text, color)
        steps = [(3.6, "read"), (5.4, "decode\nin threads")] if y < 1 else [(3.6, "read")]
        at = 1.2
        for x, step in steps:
            _arrow(ax, (at, y), (x, y))
            _box(ax, x, y, step, "white")
            at = x
        _arrow(ax, (at, y), (7.2, 1))
    _arrow(ax, (7.2, 1), (9.2, 1))
    _box(ax, 7.2, 1, "batches", "white")
    _box(ax, 9.2, 1, "network,\nscores", "white")
    speeds = {
        f"workflow {i + 1}": f"{number(speed)} MB/s"
        for i, speed in enumerate(table["MB_s"].values)
        if np.isfinite(speed)
    }
    caption = "Both give the network the same kind of batches; the second never stores raw data."
    if speeds:
        caption += f" Batches of uncompressed data from the page cache: {listing(speeds)}."
    return add_caption(figure, caption)


def _box(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    look = {**_BOX, "facecolor": color, "alpha": 1.0}
    ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=look, zorder=3)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops=_ARROW, zorder=1)
