"""Figures of Section IV: how much the data may lose, and the tolerances that were found.

One function per figure of the paper: a saved table in, a matplotlib `Figure` out. No file is
written and nothing is computed that a table could hold, so a figure can be redrawn years later.
Labels and units are the tables' own: ``label`` and ``unit`` of the dimension ``field``.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from surrlab._text import listing, percent, sentence, times, with_unit
from surrlab.figures import style
from surrlab.figures.style import add_caption, field_styles, subplot_grid, subplots


def generation_loss(evaluation: xr.Dataset) -> Figure:
    """Fig. 5: L1 error of models trained on simulations, and on the output of one of them.

    ``normalised_l1`` (model, sample) of models whose ``kind`` is ``raw`` or ``generated``.
    """
    title = "L1 error of all test samples: nothing is lost if the two distributions are the same"
    figure, [[ax]] = subplots(title, 3.8)
    medians = {}
    for kind, label, look in (
        ("raw", "trained on simulations", style.RAW | {"lw": 2}),
        ("generated", "trained on a model's output", style.GENERATED),
    ):
        models = (evaluation["kind"] == kind).values
        values = evaluation["normalised_l1"].isel(model=models).values.ravel()
        style.plot_density(ax, values, label, look)
        medians[label] = float(np.median(values))
        ax.axvline(medians[label], label=f"median {medians[label]:.4f}", **look)
    ax.set(xlabel="L1 error of a sample (standard deviations of the fields)", ylabel="density")
    (first, before), (second, after) = medians.items()
    change = after / before - 1
    caption = (
        f"Models {second} have a median error {100 * abs(change):.1f} % "
        f"{'above' if change > 0 else 'below'} that of models {first}. The closer the two are, the "
        "better the model's error marks what the data may lose."
    )
    return add_caption(figure, caption)


def thresholds(table: xr.Dataset) -> Figure:
    """Fig. 4: compression error over model error, against the ratio, with both thresholds.

    Parameters
    ----------
    table : Dataset
        ``error`` (L1) and ``ratio`` (field, setting), settings of the codec from the finest to the
        coarsest; ``model_error`` and ``roundoff`` (field).
    """
    title = "How far can each field be compressed before it loses more than the model does?"
    figure, [[ax]] = subplots(title, 4.8)
    table = table.where(table > 0)  # 0 has no place on a logarithmic axis
    noise = table["roundoff"] / table["model_error"]
    labels, looks = table["label"].values, field_styles(table.sizes["field"])
    for k, (name, look) in enumerate(zip(labels, looks, strict=True)):
        field, marker = table.isel(field=k), style.MARKERS[k % len(style.MARKERS)]
        ratio, error = field["ratio"].values, (field["error"] / field["model_error"]).values
        last = np.flatnonzero(error <= 1)[-1:]  # threshold 2
        label = f"{name}: {f'{ratio[last[0]]:.1f}×' if last.size else 'none'}"
        ax.plot(ratio, error, marker=marker, ms=4, label=label, **look)
        ax.plot(ratio[last], error[last], marker, color=look["color"], ms=10, mec="k", zorder=5)
    ax.axhline(1, color="black", lw=1.4, label="threshold 2: model error")
    label = "threshold 1: round-off of the data"
    ax.axhspan(float(noise.min()), float(noise.max()), label=label, **style.BAND)
    ax.set(xscale="log", xlabel="compression ratio of the field (payload)")
    ax.set(yscale="log", ylabel="L1 error of compression / model error")
    ax.set_xticks(2.0 ** np.arange(16))
    ax.xaxis.set_major_formatter("{x:g}×")
    ax.xaxis.minorticks_off()
    ax.set_xlim(float(table["ratio"].min()) / 1.1, float(table["ratio"].max()) * 1.1)
    cautious, gain = (_pooled_ratio(table, table[name]) for name in ("roundoff", "model_error"))
    caption = (
        f"One sample. Compressed to the round-off of its own numbers it shrinks {cautious:.1f}×, "
        f"to the model's error {gain:.1f}×: a cautious user gives away a factor of about "
        f"{gain / cautious:.0f}. Large markers, and beside each field: its ratio at threshold 2."
    )
    return add_caption(figure, caption)


def _pooled_ratio(table: xr.Dataset, bound: xr.DataArray) -> float:
    """Ratio of all fields together, each at its coarsest setting whose error is within `bound`.

    A field that no setting keeps within it counts as uncompressed.
    """
    ratio = table["ratio"].where(table["error"].fillna(0) <= bound).max("setting").fillna(1)
    return float(1 / (1 / ratio).mean())


def codecs(table: xr.Dataset) -> Figure:
    """Rate against distortion of every codec, by field and together.

    Parameters
    ----------
    table : Dataset
        ``ratio_file``, ``l1`` and ``decode_mb_s`` (codec, target, field); ``target``, the allowed
        L1 as part of the model's, of which ``l1`` is the part that was used. NaN: refused.
    """
    names, labels = table["codec"].values.tolist(), table["label"].values.tolist()
    nbytes = 1 / table["ratio_file"]  # fields are equally large
    pooled = [
        (labels[i], nbytes.isel(field=i), table["l1"].isel(field=i)) for i in range(len(labels))
    ]
    pooled.append(("all fields", nbytes.mean("field", skipna=False), table["l1"].mean("field")))
    title = "How many times smaller on disk, with how much error? Every codec on your own fields"
    figure, axes = subplot_grid(title, 2.7, len(pooled))
    for ax, (label, parts, used) in zip(axes, pooled, strict=True):
        for k, (name, look) in enumerate(zip(names, field_styles(len(names)), strict=True)):
            error = (used * table["target"]).sel(codec=name)
            marker = style.MARKERS[k % len(style.MARKERS)]
            ax.plot(error, 1 / parts.sel(codec=name), marker=marker, ms=4, label=name, **look)
        ax.axvline(1, color="black", lw=1.0, label="model error")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}×")
        ax.set_title(label, fontsize=10)
        ax.set_xlabel("L1 error / model error", fontsize=9)
        ax.set_ylabel("ratio on disk", fontsize=9)
    at = int(np.abs(np.log(table["target"].values)).argmin())
    one, speed = (
        nbytes.isel(target=at),
        1 / (1 / table["decode_mb_s"].isel(target=at)).mean("field"),
    )
    best = [names[int(i)] for i in one.fillna(np.inf).argmin("codec").values]
    gains = {name: f"{float(1 / one.sel(codec=name).mean()):.1f}×" for name in names}
    gains = {
        name: f"{gain}, {float(speed.sel(codec=name)):.0f} MB/s"
        for name, gain in gains.items()
        if gain != "nan×"
    }
    winners = listing(dict(zip(labels, best, strict=True)))
    share = float(table["target"][at])
    caption = (
        f"At {'' if share == 1 else f'{share:g} of '}the model's own error all fields together "
        f"shrink, and are decoded on one core: {listing(gains)}. Fewest bytes on disk: {winners}."
    )
    return add_caption(figure, caption, columns=len(names) + 1)


def tolerances(table: xr.Dataset) -> Figure:
    """Tolerances and ratios that Algorithm 1 found, by field (boxes) and against time.

    Parameters
    ----------
    table : Dataset
        ``tolerance`` and ``nbytes`` (sample, field); coordinates ``step`` and ``time`` of
        ``sample``; attribute ``raw_field_nbytes``, the size of one uncompressed field.
    """
    labels, units = table["label"].values.tolist(), table["unit"].values.tolist()
    looks = field_styles(len(labels))
    raw, nbytes = table.attrs["raw_field_nbytes"], table["nbytes"]
    tolerance = table["tolerance"].where(table["tolerance"] > 0)  # 0, lossless: not on a log axis
    # Simulations may differ in their times: a curve takes together what has the same step.
    time = table["time"].groupby(table["step"]).mean()
    mean_nbytes = nbytes.groupby(table["step"]).mean()
    # The ratio of several samples is the ratio of their sums, not a mean of theirs.
    sides = (
        ("tolerance (unit of the field)", tolerance, tolerance.groupby(table["step"]).median()),
        ("compression ratio (payload)", raw / nbytes, raw / mean_nbytes),
    )
    title = f"Algorithm 1: how much can each field lose? In all {times(raw / float(nbytes.mean()))}"
    figure, axes = subplots(title, max(6.4, 4 + 0.4 * len(labels)), 2, 2)
    for (label, samples, in_time), (top, bottom) in zip(sides, axes.T, strict=True):
        rows = zip(labels, units, looks, samples.transpose("field", ...).values, strict=True)
        boxes = [(with_unit(n, u).replace(" (", "\n("), look["color"], v) for n, u, look, v in rows]
        style.plot_boxes(top, boxes, "horizontal")
        top.set_xscale("log", base=2)
        top.set(xlabel=label, ylim=(len(labels) + 0.5, 0.5))
        for name, look, values in zip(labels, looks, in_time.transpose("field", ...), strict=True):
            bottom.plot(time, values, label=name, **look)
        bottom.set_yscale("log", base=2)
        bottom.set(xlabel=with_unit("time", table["time"].attrs["units"]), ylabel=label)
    axes[0, 1].set_yticklabels([])
    axes[0, 1].xaxis.set_major_formatter("{x:g}×")
    axes[1, 1].yaxis.set_major_formatter("{x:g}×")
    total = (raw / mean_nbytes.mean("field")).values
    axes[1, 1].plot(time, total, color="black", lw=2.4, label="all fields")
    cost = (nbytes.sum("sample") / nbytes.sum()).values
    caption = (
        f"Boxes: all {table.sizes['sample']:,} training samples; curves: in time, tolerances as "
        f"medians over simulations. {sentence(labels[cost.argmax()])} takes most room, "
        f"{percent(cost.max())} of the compressed bytes; all fields together shrink "
        f"{times(total[0])} at the start and {times(total[-1])} at the end."
    )
    return add_caption(figure, caption)


def equal_bytes(table: xr.Dataset) -> Figure:
    """L1 error of models of all raw data, of compressed data, and of raw data of as many bytes.

    Parameters
    ----------
    table : Dataset
        ``L1`` and its standard deviation over seeds, ``sigma`` (data); ``MB`` on disk and
        ``simulations``; coordinate ``data``, in words; attribute ``sentence``.
    """
    title = "Compress, or keep fewer simulations? Models of the same bytes on disk"
    figure, [[ax]] = subplots(title, 3.4)
    places, look = np.arange(table.sizes["data"]), {"ecolor": "black", "capsize": 4}
    colors = [style.RAW["color"], style.version_styles(1)[0]["color"], "0.45"]
    ax.barh(places, table["L1"], xerr=table["sigma"], color=colors, alpha=0.75, error_kw=look)
    rows = zip(table["data"].values, table["MB"].values, table["simulations"].values, strict=True)
    ax.set_yticks(places, [f"{name}\n{mb:.3g} MB, {n:.0f} simulations" for name, mb, n in rows])
    ax.invert_yaxis()
    unit = "standard deviations of the fields"
    ax.set(xlabel=f"L1 error on test simulations ({unit})", xlim=(0, None))
    said = f"{table.attrs['sentence']} Bars: means over seeds; lines: one standard deviation."
    return add_caption(figure, said)


def convergence(table: xr.Dataset) -> Figure:
    """Errors of raw models, and the ratio that Algorithm 1 finds with them, against their training.

    Parameters
    ----------
    table : Dataset
        ``training``, ``test`` (L1 errors) and ``ratio`` (epochs); attribute ``sentence``.
    """
    title = "What does longer training change: the errors, and the ratio that they allow"
    figure, [[left, right]] = subplots(title, 4.2, 1, 2)
    epochs = table["epochs"].values
    for name, label, look in (
        ("test", "test samples", {"color": "black", "marker": "o"}),
        ("training", "training samples", {**style.RAW_MEAN, "marker": "s"}),
    ):
        left.plot(epochs, table[name], label=label, **look)
    left.set_ylabel("L1 error (standard deviations of the fields)")
    right.plot(epochs, table["ratio"], "o-", color=style.version_styles(1)[0]["color"])
    right.set_ylabel("Algorithm 1's ratio (payload)")
    right.yaxis.set_major_formatter("{x:g}×")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(epochs, [f"{n:g}" for n in epochs])
        ax.set_xlabel("epochs of training")
        ax.set_ylim(0, 1.1 * ax.dataLim.y1)
    return add_caption(figure, table.attrs["sentence"])
