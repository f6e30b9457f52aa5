"""The pictures of the models: do those that learned from compressed data differ from raw ones?

One function a figure of the paper: a saved table in, a matplotlib `Figure` out. No file is written
and nothing is computed that a table could hold, so a figure can be redrawn years later. What the
quantities are called stands in the tables. Each docstring names the figure of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from surrlab.figures import style as shared
from surrlab.figures.style import (
    BAND,
    RATIO,
    RAW,
    RAW_CENTRE,
    TRUTH,
    density,
    foot,
    groups,
    level_label,
    listing,
    panels,
    percent,
    sentence,
    styles,
    with_unit,
)
from surrlab.simulation.scenario import LABELS

GENERATED = {"color": "#00798c", "ls": (0, (4, 1.5))}
"""Look of models that learned from another model's output; no level of compression has it."""


def history(table: xr.Dataset) -> Figure:
    """Training loss of each model: ``loss`` (model, epoch), in standard deviations."""
    figure, [[ax]] = panels("Has every model been trained to its end?", 3.4)
    for label, style, models in groups(table["loss"]):
        for values in models:
            ax.plot(table["epoch"], values, label=label, **style)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="training L1 (standard deviations)", yscale="log")
    ax.yaxis.set_major_formatter("{x:.2g}")
    ax.yaxis.set_minor_formatter("{x:.2g}")
    first, last = (table["loss"].isel(epoch=k) for k in (0, -1))
    caption = (
        f"{table.sizes['model']} models; their loss falls from {float(first.mean()):.3g} in the "
        f"first epoch to between {float(last.min()):.3g} and {float(last.max()):.3g} in the last. "
        "Curves that are still steep at their end ask for more epochs."
    )
    return foot(figure, caption)


def momentum_band(evaluation: xr.Dataset, simulation: int) -> Figure:
    """Fig. 3: mean ± 2σ of the raw models in time, the truth, and the first seed of each level.

    Of the momentum that the table names in its attributes. Beneath it all the same less the raw
    models' mean, where the band is wide enough to be read.
    """
    name = evaluation.attrs["momentum"]
    quantity = evaluation[name].attrs["long_name"]
    one = _one(evaluation, simulation)
    (_, _, raw), *levels = groups(one)
    if raw.sizes["model"] < 2:
        raise ValueError("a band needs at least two raw models; the evaluation holds 1")
    mean, reach = raw[name].mean("model"), 2 * raw[name].std("model", ddof=1)
    question = "how far apart does the seed alone carry raw models?"
    if levels:
        question = "do lossy models stay inside the band of the raw ones?"
    title = f"{sentence(quantity)} of simulation {simulation}: {question}"
    figure, axes = panels(title, 6, 2, sharex=True, height_ratios=(3, 2))
    axes[0, 0].plot(one["time"], one[f"truth_{name}"], label="truth", **TRUTH)
    for ax, less, what in ((axes[0, 0], 0, quantity), (axes[1, 0], mean, "less raw mean")):
        band = one["time"], mean - reach - less, mean + reach - less
        ax.fill_between(*band, label=f"±2σ of {raw.sizes['model']} raw models", **BAND)
        ax.plot(one["time"], mean - less, label="mean of raw models", **RAW_CENTRE)
        for label, style, models in levels:
            ax.plot(one["time"], models[name][0] - less, label=label, **style)
        ax.set_ylabel(with_unit(what, raw[name]))
    ax.set_xlabel(with_unit("time", one["time"]))
    curves = {"truth": one[f"truth_{name}"]}
    curves |= {_ratio(label): models[name][0] for label, _, models in levels}
    inside = {who: percent((np.abs(c - mean) <= reach).mean()) for who, c in curves.items()}
    caption = (
        "The models of the band differ in their seed alone; beneath, the same less their mean. "
        f"Share of the time inside the band: {listing(inside)}."
    )
    return foot(figure, caption, 3)


def totals(evaluation: xr.Dataset, simulation: int, names: Sequence[str] = ()) -> Figure:
    """Fig. 6: total mass and momenta in time; every raw model and the first seed of each level.

    `names` are the quantities to draw: by default all but the one that Fig. 8 is about.
    """
    one = _one(evaluation, simulation)
    quantities = [name for name in one if f"truth_{name}" in one and name != one.attrs["curve"]]
    names = names or quantities
    title = f"Simulation {simulation}: do lossy models (coloured) run among the raw ones (grey)?"
    figure, axes = panels(title, 4, 1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        for label, style, models in groups(one):
            for values in models[name][: None if style is RAW else 1]:
                ax.plot(one["time"], values, label=label, **style)
        ax.plot(one["time"], one[f"truth_{name}"], label="truth", **TRUTH)
        ax.set_xlabel(with_unit("time", one["time"]))
        ax.set_ylabel(with_unit(one[name].attrs["long_name"], one[name]))
    (_, _, raw), *levels = groups(one[list(names)].to_dataarray("quantity"))
    caption = "Each raw model is a curve; of each level its first seed is shown."
    if levels:
        low, high = raw.min("model"), raw.max("model")
        among = {
            _ratio(label): percent(((m[:, 0] >= low) & (m[:, 0] <= high)).mean())
            for label, _, m in levels
        }
        caption += (
            " Share of the time between the lowest and the highest raw model, over all panels: "
            f"{listing(among)}."
        )
    return foot(figure, caption, 5)


def correlation(evaluation: xr.Dataset) -> Figure:
    """Fig. 8: box a model of how well its curve of one quantity in time follows the truth's.

    Of the quantity that the table names in its attribute ``curve``: mixing-layer thickness, say.
    """
    name = evaluation.attrs["curve"]
    quantity = sentence(evaluation[name].attrs["long_name"])
    title = f"{quantity}: do lossy models follow the truth as closely as the raw ones?"
    figure, [[ax]] = panels(title, 4.2)
    distance = (1 - evaluation[f"{name}_correlation"]).clip(1e-5)
    boxes = [
        (f"{'' if i else label.split()[0]}\n{int(one['seed'])}", style["color"], one.values)
        for label, style, models in groups(distance)
        for i, one in enumerate(models)
    ]
    shared.boxes(ax, boxes)
    medians = {label: models.to_series().median() for label, _, models in groups(distance)}
    ax.axhline(medians["raw models"], label="median of all raw models", **RAW_CENTRE)
    # Correlations crowd below 1: the axis is logarithmic in their distance from it.
    ax.set(yscale="log", xlabel=f"{RATIO}; beneath it the seed")
    low, high = ax.get_ylim()
    ticks = [step / 10**k for k in range(6) for step in (1, 2, 5)]
    ax.set_yticks(ticks, [f"{1 - tick:.5g}".replace("-", "−") for tick in ticks])
    ax.yaxis.minorticks_off()
    ax.set(ylabel="correlation with the truth over time", ylim=(high, low))
    told = listing({_ratio(label): f"{1 - middle:.4f}" for label, middle in medians.items()})
    caption = (
        f"A box a model, over {evaluation.sizes['simulation']} test simulations, its middle half "
        f"in the box; lower follows the truth less. Median: {told}."
    )
    return foot(figure, caption)


def psnr(evaluation: xr.Dataset) -> Figure:
    """Figs. 7 and 9: density of PSNR over the test samples; a curve a raw model, and one a level.

    The seeds of a level are pooled. Infinite PSNR (an exact field) has no place in a density: the
    panel says how many there are.
    """
    title = "PSNR of all test samples (higher is better): is a coloured curve left of the grey?"
    figure, axes = panels(title, 5.6, 2, -(-evaluation.sizes["field"] // 2))
    for ax, name in zip(axes.flat, evaluation["field"].values, strict=False):
        one = evaluation["psnr"].sel(field=name)
        for label, style, models in groups(one):
            for values in models if style is RAW else [models]:
                density(ax, values.values, label, style)
        missing = int((~np.isfinite(one)).sum())
        note = f"\n{missing} of {one.size} not finite" if missing else ""
        ax.set_title(LABELS[name] + note, fontsize=10)
        ax.set(xlabel="PSNR (dB)", ylabel="density (1/dB)")
    middle = {label: m["psnr"].median(_SAMPLES) for label, _, m in groups(evaluation[["psnr"]])}
    raw = middle.pop("raw models")
    caption = "A grey curve is a raw model; the seeds of a level are pooled."
    if middle:
        shifts = {_ratio(label): of_field - raw for label, of_field in middle.items()}
        worst = {
            ratio: f"{float(shift.min()):+.2f} dB ({LABELS[shift.idxmin().item()]})"
            for ratio, shift in shifts.items()
        }
        caption += (
            f" Worst shift of a field's median from that of the raw models: {listing(worst)}."
        )
    return foot(figure, caption)


def generation_loss(errors: pd.DataFrame) -> Figure:
    """Fig. 5: L1 error of models trained on simulations, and then on the output of one of them.

    Parameters
    ----------
    errors : DataFrame
        A row a model and test sample: ``model``, what it was trained on, the simulations first; and
        ``l1``, in standard deviations of the fields.
    """
    title = "L1 error of all test samples: nothing is lost if the two distributions are the same"
    figure, [[ax]] = panels(title, 3.8)
    medians = errors.groupby("model", sort=False)["l1"].median()
    for (label, rows), style in zip(
        errors.groupby("model", sort=False), (RAW | {"lw": 2}, GENERATED), strict=True
    ):
        density(ax, rows["l1"].to_numpy(), label, style)
        ax.axvline(medians[label], label=f"median {medians[label]:.4f}", **style)
    ax.set(xlabel="L1 error of a sample (standard deviations of the fields)", ylabel="density")
    change = medians.iloc[1] / medians.iloc[0] - 1
    caption = (
        f"Models {medians.index[1]} have a median error {100 * abs(change):.1f} % "
        f"{'above' if change > 0 else 'below'} that of models {medians.index[0]}. The closer "
        "they are, the better the model's error marks what data may lose."
    )
    return foot(figure, caption)


def side_by_side(table: xr.Dataset) -> Figure:
    """Fig. 10: the truth and the models, a row each; each field and |model − truth|, a column each.

    Parameters
    ----------
    table : Dataset
        Fields (model, y, x), the truth first; coordinate ``model`` in words; attribute ``title``.
    """
    title = "What do the models lose? Each field, and its distance from the truth"
    labels = [str(label) for label in table["model"].values]
    caption = "Greys are darker where a model is further from the truth."
    if len(labels) > 2:
        error = np.abs(table - table.isel(model=0)).mean(("y", "x")).to_dataarray("field")
        beside = (error / error.isel(model=1)).mean("field").values
        told = {n: f"{ratio:.2f}" for n, ratio in zip(labels[2:], beside[2:], strict=True)}
        caption += f" Mean distance in units of the {labels[1]}'s, over the fields shown: "
        caption += f"{listing(told)}."
    return shared.beside(table, title, caption, labels=labels, distance="|model − truth|")


def verdict(table: xr.Dataset) -> Figure:
    """The answer in one picture: how much worse each level makes each score, in units of σ.

    The axis is linear up to twice the margin and logarithmic beyond, so that an over-compressed
    control does not squash the rest. A filled marker is a harmful shift.

    Parameters
    ----------
    table : Dataset
        Over (level, metric), from the least to the most compressed: ``label`` (metric), ``shift``,
        ``low`` and ``high`` (of the degradation), ``sigma`` (training variability) and ``state``;
        coordinate ``ratio`` (level), the payload's; attributes ``margin``, the degradation that is
        still benign, in σ, and ``confidence`` of the interval.
    """
    margin, metrics = float(table.attrs["margin"]), table["label"].isel(level=0).values
    title = (
        "Does the model notice the compression? Shift of each score beside the spread of raw models"
    )
    figure, [[ax]] = panels(title, 4.5 + 0.5 * table.sizes["level"])
    ax.axvspan(-margin, margin, label=f"±{margin:g}σ (σ: spread of raw models)", **BAND)
    ax.axvline(0, color="black", lw=1, zorder=1)
    ends, states = [-2.5 * margin, 2.5 * margin], {}
    step = min(0.22, 0.8 / table.sizes["level"])
    rows = np.arange(len(metrics)) - step * (table.sizes["level"] - 1) / 2
    for i, style in enumerate(styles(table.sizes["level"])):
        one, colour, marker = table.isel(level=i), style["color"], shared.MARKERS[i % 6]
        with np.errstate(divide="ignore", invalid="ignore"):  # where nothing varies
            spans = np.stack(
                [one[c].values / one["sigma"].values for c in ("low", "shift", "high")]
            )
        ends += list(spans[np.isfinite(spans)])
        # An interval without an end (one pair of seeds) leaves the picture on that side.
        low, shift, high = np.clip(spans, -1e9, 1e9)
        # One harmful score makes a level harmful; benign is what is benign in every score.
        found = one["state"].values
        state = next((s for s in ("harmful", "inconclusive") if s in found), "benign")
        label = level_label(float(one["level"]), float(one["ratio"]))
        states[_ratio(label)] = f"{np.count_nonzero(found == state)} {state}"
        face = np.where(found == "harmful", colour, "white")
        mfc = colour if state == "harmful" else "white"
        ax.plot([], [], marker=marker, color=colour, mfc=mfc, label=f"{label}: {state}")
        ax.hlines(rows, low, high, color=colour, lw=1.8)
        ax.scatter(shift, rows, 45, face, marker=marker, edgecolors=colour, zorder=3)
        rows = rows + step
    ax.set_xscale("symlog", linthresh=2 * margin, linscale=1.2)
    ticks = margin * np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    ax.set_xticks([*-ticks, 0, *ticks])
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.minorticks_off()
    ax.set(xlim=(1.2 * min(ends), 1.2 * max(ends)), ylim=(len(metrics) - 0.5, -0.5))
    ax.set_yticks(range(len(metrics)), metrics)
    edges = np.arange(1, len(metrics)) - 0.5
    ax.hlines(edges, 0, 1, color="0.9", lw=0.8, zorder=0.5, transform=ax.get_yaxis_transform())
    scale = f"(logarithmic beyond {2 * margin:g}; filled marker: harmful)"
    ax.set_xlabel(f"better  ←  shift of the score / σ  {scale}  →  worse")
    caption = (
        f"Shift between models of the same seed, with its {100 * table.attrs['confidence']:g} % "
        f"interval. Benign: no score is worse by {margin:g}σ. Harmful: some score surely is. Of "
        f"{len(metrics)} scores: {listing(states)}."
    )
    return foot(figure, caption, 2)


_SAMPLES = ("model", "simulation", "time")


def _one(evaluation: xr.Dataset, simulation: int) -> xr.Dataset:
    known = evaluation["simulation"].values
    if simulation not in known:
        raise KeyError(f"no simulation {simulation}; there are {', '.join(map(str, known))}")
    return evaluation.sel(simulation=simulation)


def _ratio(label: str) -> str:
    """What a caption calls a group: the ratio alone, or ``raw``."""
    return label.split()[0]
