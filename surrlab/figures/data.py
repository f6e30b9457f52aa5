"""The pictures of the data: what is in it, and what compression takes from it.

One function a figure of the paper: a saved table in, a matplotlib `Figure` out. No file is written
and nothing is computed that a table could hold, so a figure can be redrawn years later.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from surrlab.figures import style as shared
from surrlab.figures.style import FIELD_STYLES, foot, panels, with_unit
from surrlab.simulation.scenario import LABELS


def evolution(table: xr.Dataset) -> Figure:
    """Small multiples of one simulation: a row a field, a column a time, one colour scale a row.

    Parameters
    ----------
    table : Dataset
        Fields (time, y, x) with units; attributes ``title``, which simulation it is, ``story``,
        what happens in it, and the domain, ``x_extent`` and ``y_extent``.
    """
    names, flat, n = list(table), shared.aspect(table), table.sizes["time"]
    title = f"One simulation from start to end\n{table.attrs['title']}"
    height = 0.9 + len(names) * (7.6 / n * flat + 0.1)
    figure, axes = panels(title, height, len(names), n, images=True)
    for row, name in zip(axes, names, strict=True):
        values = table[name].values
        image = shared.images(row, values, table, **shared.scale(values))
        bar = figure.colorbar(image, ax=row, aspect=30 if flat > 1 else 15)
        bar.set_label(with_unit(LABELS[name], table[name]).replace(" (", "\n("), fontsize=9)
        row[0].set(ylabel="y (cm)", yticks=np.linspace(*table.attrs["y_extent"], 5))
    for ax, time in zip(axes[0], table["time"].values, strict=True):
        ax.set_title(f"{time:g} {table['time'].attrs['units']}", fontsize=9)
    ranges = " and ".join(
        f"{LABELS[name]} lies between {' and '.join(_rounded(table[name]))} "
        f"{table[name].attrs['units']}"
        for name in names
    )
    cells = f"{table.sizes['x']} × {table.sizes['y']} cells, {shared.span(table)}"
    scale = "on one colour scale for all times" + (", a scale a field" if len(names) > 1 else "")
    return foot(figure, f"{table.attrs['story']} {shared.sentence(ranges)}, {scale}; {cells}.")


def _rounded(values: xr.DataArray) -> list[str]:
    """Least and largest value, to a hundredth of what lies between them."""
    low, high = float(values.min()), float(values.max())
    digits = 2 - math.floor(math.log10(high - low)) if high > low else 3
    return [f"{round(value, digits) + 0.0:g}" for value in (low, high)]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else shared.percent(share)


def compressed(table: xr.Dataset) -> Figure:
    """What compression alone does to the fields of one sample: raw, and at growing ratios.

    Parameters
    ----------
    table : Dataset
        Fields (version, y, x), the raw one first; the payload ``ratio`` and, of each field, the
        ``loss`` of every version, ``(version, field)``, its mean error in standard deviations;
        attribute ``title``.
    """
    ratios = table["ratio"].values
    shown = table.drop_vars("loss")
    title = "What does compression take? Each field, and its distance from the raw one"
    loss = {
        f"{ratio:.0f}×": ", ".join(f"{LABELS[n]} {_percent(float(one.loc[n]))}" for n in shown)
        for ratio, one in zip(ratios[1:], table["loss"][1:], strict=True)
    }
    caption = (
        "n×: compression ratio (payload) of all fields of this sample; no network has seen them. "
        f"Mean error in standard deviations of the field: {shared.listing(loss)}. Greys are "
        "darker where more was lost."
    )
    labels = ["raw", *(f"{ratio:.0f}×" for ratio in ratios[1:])]
    return shared.beside(shown, title, caption, labels=labels, distance="|decoded − raw|")


def thresholds(table: xr.Dataset) -> Figure:
    """Fig. 4: error of compression over model error, against ratio, with the two thresholds.

    Parameters
    ----------
    table : Dataset
        ``error`` (L1) and ``ratio`` (field, exponent); ``model_error`` and ``roundoff`` (field).
    """
    title = "Up to threshold 2 (large markers) compression removes only what the model cannot learn"
    figure, [[ax]] = panels(title, 4.8)
    table = table.where(table > 0).sortby("exponent")  # 0 has no place on a logarithmic axis
    noise = table["roundoff"] / table["model_error"]
    for name, marker in zip(table["field"].values, shared.MARKERS, strict=True):
        one, style = table.sel(field=name), FIELD_STYLES[name]
        x, y = one["ratio"].values, (one["error"] / one["model_error"]).values
        last = np.flatnonzero(y <= 1)[-1:]
        label = f"{LABELS[name]}: {f'{x[last[0]]:.1f}×' if last.size else 'none'}"
        ax.plot(x, y, marker=marker, ms=4, label=label, **style)
        ax.plot(x[last], y[last], marker, color=style["color"], ms=10, mec="black", zorder=5)
    ax.axhline(1, color="black", lw=1.4, label="threshold 2: model error")
    label = "threshold 1: round-off of the data"
    ax.axhspan(float(noise.min()), float(noise.max()), label=label, **shared.BAND)
    ax.set(xscale="log", xlabel="compression ratio of the field (payload)")
    ax.set(yscale="log", ylabel="L1 error of compression / model error")
    ax.set_xticks(2.0 ** np.arange(16))
    ax.xaxis.set_major_formatter("{x:g}×")
    ax.xaxis.minorticks_off()
    ax.set_xlim(float(table["ratio"].min()) / 1.1, float(table["ratio"].max()) * 1.1)
    caution, gain = (_pooled(table, table[name]) for name in ("roundoff", "model_error"))
    caption = (
        f"One sample. Kept to the round-off of its own numbers it shrinks {caution:.1f}×, kept to "
        f"the model's error {gain:.1f}×: the factor of about {gain / caution:.0f} between them is "
        "what a cautious user gives away. Beside each field its ratio at threshold 2."
    )
    return foot(figure, caption)


def _pooled(table: xr.Dataset, bound: xr.DataArray) -> float:
    """Ratio of all fields together, each at its coarsest tolerance whose error is within `bound`.

    A field that no tolerance keeps within it counts as uncompressed.
    """
    ratio = table["ratio"].where(table["error"].fillna(0) <= bound).max("exponent").fillna(1)
    return float(1 / (1 / ratio).mean())


def tolerances(table: xr.Dataset) -> Figure:
    """Section IV-A: what Algorithm 1 found, by field (boxes over all samples) and against time.

    Parameters
    ----------
    table : Dataset
        ``tolerance`` (in the coordinate ``unit`` of its field) and ``nbytes`` over (simulation,
        time, field); the attribute ``raw_field_nbytes`` is the size of one uncompressed field.
    """
    names, unit = table["field"].values, table["unit"].to_series()
    raw, nbytes = table.attrs["raw_field_nbytes"], table["nbytes"]
    tolerance = table["tolerance"].where(table["tolerance"] > 0)  # 0 is lossless: not on a log axis
    # The ratio of several samples is the ratio of their sums, not a mean of theirs.
    sides = (
        ("tolerance (unit of the field)", tolerance, tolerance.median("simulation")),
        ("compression ratio (payload)", raw / nbytes, raw / nbytes.mean("simulation")),
    )
    total = raw / nbytes.mean(["simulation", "field"])
    title = f"Algorithm 1: how much can each field lose? In all {raw / float(nbytes.mean()):.1f}×"
    figure, axes = panels(title, 6.4, 2, 2)
    for (label, samples, in_time), (top, bottom) in zip(sides, axes.T, strict=True):
        boxes = [
            (f"{LABELS[n]}\n({unit[n]})", FIELD_STYLES[n]["color"], samples.sel(field=n).values)
            for n in names
        ]
        shared.boxes(top, boxes, "horizontal")
        top.set_xscale("log", base=2)
        top.set(xlabel=label, ylim=(len(names) + 0.5, 0.5))
        for n in names:
            values = in_time.sel(field=n)
            bottom.plot(table["time"], values, label=LABELS[n], **FIELD_STYLES[n])
        bottom.set_yscale("log", base=2)
        bottom.set(xlabel=with_unit("time", table["time"]), ylabel=label)
    axes[0, 1].set_yticklabels([])
    axes[0, 1].xaxis.set_major_formatter("{x:g}×")
    axes[1, 1].yaxis.set_major_formatter("{x:g}×")
    axes[1, 1].plot(table["time"], total, color="black", lw=2.4, label="all fields")
    cost = (nbytes.sum(["simulation", "time"]) / nbytes.sum()).to_series()
    caption = (
        f"Boxes: all {nbytes.sizes['simulation'] * nbytes.sizes['time']:,} training samples; "
        f"curves: in time. {shared.sentence(LABELS[cost.idxmax()])} takes most room, "
        f"{shared.percent(cost.max())} of the compressed bytes; all fields together shrink "
        f"{float(total[0]):.0f}× at the start and {float(total[-1]):.0f}× at the end."
    )
    return foot(figure, caption)
