"""Figures of the models: do those trained on compressed data differ from those trained on raw?

One function per figure of the paper: a saved table in, a matplotlib `Figure` out. No file is
written. An evaluation table lies over (``model``, ``sample``) and (``model``, ``sample``,
``field``), with the coordinates of `style.groups`; its quantities and fields say their labels and
units themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from surrlab._text import listing, number, percent, quantity, sentence, signed, with_unit
from surrlab.figures import style
from surrlab.figures.style import NothingToDraw, add_caption, groups, subplots, version_note


def history(table: xr.Dataset) -> Figure:
    """Training loss of every model: ``loss`` (model, epoch), in standard deviations."""
    if not table.sizes["epoch"]:
        raise NothingToDraw("nothing is known of epochs that surrlab did not train")
    figure, [[ax]] = subplots("Has every model been trained to its end?", 3.4)
    for group in groups(table["loss"]):
        for values in group.table:
            ax.plot(table["epoch"], values, label=group.label, **group.style)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="training L1 (standard deviations)", yscale="log")
    ax.yaxis.set_major_formatter("{x:.2g}")
    ax.yaxis.set_minor_formatter("{x:.2g}")
    first, last = float(table["loss"][:, 0].mean()), table["loss"][:, -1]
    low, high = float(last.min()), float(last.max())
    caption = (
        f"{table.sizes['model']} models; their loss falls from {number(first)} in the first epoch "
        f"(mean) to between {number(low)} and {number(high)} in the last. Curves that are still "
        "steep at their end ask for more epochs."
    )
    return add_caption(figure, caption + version_note(table))


def momentum_band(evaluation: xr.Dataset, simulation: int) -> Figure:
    """Fig. 3: mean ± 2σ of the raw models in time, the truth, and every lossy model.

    The quantity is the one that the table's attribute ``momentum`` names. The lower panel shows
    the difference from the raw models' mean, where the band is wide enough to be read.

    Raises
    ------
    ValueError
        If there are fewer than two raw models, or the table names no momentum.
    """
    name = _named(evaluation, "momentum")
    label, unit = (evaluation[name].attrs[key] for key in ("long_name", "units"))
    table = style.one_simulation(evaluation, simulation)
    raw, *lossy = groups(table[name])
    band, truth, n = style.two_sigma_band(raw.table), table[f"truth_{name}"], len(raw.table)
    question = "how far apart do models lie that differ in their seed alone?"
    if lossy:
        question = "do lossy models stay inside the band of the raw ones?"
    title = f"{sentence(label)} of simulation {simulation}: {question}"
    figure, axes = subplots(title, 6.4, 2, sharex=True, height_ratios=(5, 4))
    time = table["time"].values
    axes[0, 0].plot(time, truth, label="truth", **style.TRUTH)
    for ax, base, what in (
        (axes[0, 0], 0.0, label),
        (axes[1, 0], band.mean, "difference from the raw mean"),
    ):
        low, high = (band.mean + sign * band.two_sigma - base for sign in (-1, 1))
        ax.fill_between(time, low, high, label=f"±2σ of {n} raw models", **style.BAND)
        ax.plot(time, band.mean - base, label="mean of raw models", **style.RAW_MEAN)
        _curves(ax, time, [(group, group.table - base) for group in lossy or [raw]])
        ax.set_ylabel(with_unit(what, unit))
    axes[1, 0].set_xlabel(with_unit("time", table["time"].attrs["units"]))
    caption = (
        f"The models of the band differ in their seed alone; every {'lossy' if lossy else 'raw'} "
        f"model is a curve. The truth lies inside the band for {percent(band.inside(truth))} of "
        "the time."
    )
    if n > 2:
        shares = {"raw, which is what chance gives": style.share_inside(raw.table, raw.table)}
        shares |= {group.short: style.share_inside(group.table, raw.table) for group in lossy}
        caption += (
            " Mean share of the time that a model lies inside the band of the raw models of other "
            f"seeds: {listing({who: percent(share) for who, share in shares.items()})}."
        )
    return add_caption(figure, caption + version_note(evaluation), 3)


def totals(evaluation: xr.Dataset, simulation: int, names: Sequence[str] = ()) -> Figure:
    """Fig. 6: integral quantities in time; a curve per model, and the truth.

    `names` are the quantities to draw: by default all but the one of Fig. 8.
    """
    table = style.one_simulation(evaluation, simulation)
    curve = evaluation.attrs.get("curve")
    names = list(names) or [str(n) for n in table if f"truth_{n}" in table and n != curve]
    if not names:
        raise NothingToDraw("the ensemble has no quantities to draw")
    title = f"Simulation {simulation}: do lossy models (coloured) run among the raw ones (grey)?"
    figure, axes = style.subplot_grid(title, 4, len(names))
    among: dict[str, list[float]] = {}
    for ax, name in zip(axes, names, strict=True):
        raw, *lossy = groups(table[name])
        low, high = raw.table.min("model"), raw.table.max("model")
        _curves(ax, table["time"], [(group, group.table) for group in (raw, *lossy)])
        for group in lossy:
            between = (group.table >= low) & (group.table <= high)
            among.setdefault(group.short, []).append(float(between.mean()))
        ax.plot(table["time"], table[f"truth_{name}"], label="truth", **style.TRUTH)
        ax.set_xlabel(with_unit("time", table["time"].attrs["units"]))
        ax.set_ylabel(with_unit(table[name].attrs["long_name"], table[name].attrs["units"]))
    caption = "Every model is a curve."
    if among:
        n = int((table["kind"] == "raw").sum())
        shares = {short: percent(sum(v) / len(v)) for short, v in among.items()}
        caption += (
            " Share of the time between the lowest and the highest raw model, over all models and "
            f"panels: {listing(shares)}. Chance gives {percent((n - 1) / (n + 1))}: one more raw "
            f"model beside {n}."
        )
    return add_caption(figure, caption + version_note(evaluation), 5)


def correlation(evaluation: xr.Dataset) -> Figure:
    """Fig. 8: how well each model's curve of one quantity in time follows the truth's.

    The quantity is the one that the table's attribute ``curve`` names. One box per model, over
    ``<curve>_correlation`` (model, test_simulation).
    """
    name = _named(evaluation, "curve")
    label = sentence(evaluation[name].attrs["long_name"])
    title = f"{label}: do lossy models follow the truth as closely as the raw ones?"
    figure, [[ax]] = subplots(title, 4.2)
    distance = (1 - evaluation[f"{name}_correlation"]).clip(1e-5)
    versions = groups(distance)
    style.plot_boxes(
        ax,
        (
            (
                f"{'' if i else group.short}\n{int(model['seed'])}",
                group.style["color"],
                model.values,
            )
            for group in versions
            for i, model in enumerate(group.table)
        ),
    )
    medians = {group.short: float(group.table.median()) for group in versions}
    ax.axhline(medians["raw"], label="median of all raw models", **style.RAW_MEAN)
    # Correlations crowd below 1: the axis is logarithmic in their distance from it.
    ax.set(yscale="log", xlabel=f"{style.RATIO}; beneath it the seed")
    low, high = ax.get_ylim()
    ticks = [step / 10**k for k in range(6) for step in (1, 2, 5)]
    ax.set_yticks(ticks, [f"{1 - tick:.5g}".replace("-", "−") for tick in ticks])
    ax.yaxis.minorticks_off()
    ax.set(ylabel="correlation with the truth over time", ylim=(high, low))
    caption = (
        f"One box per model, over {evaluation.sizes['test_simulation']} test simulations, with "
        "their middle half inside the box; lower follows the truth less. Median: "
        f"{listing({short: f'{1 - m:.4f}' for short, m in medians.items() if np.isfinite(m)})}."
    )
    return add_caption(figure, caption)


def psnr(evaluation: xr.Dataset) -> Figure:
    """Figs. 7 and 9: density of the PSNR of the test samples, a curve per model.

    ``psnr`` (model, sample, field). Infinite PSNR (an exact field) has no place in a density: the
    panel says how many there are.
    """
    title = "PSNR of all test samples (higher is better): are coloured curves left of the grey?"
    if "scored" in evaluation.coords:  # of a field that never changes there is nothing to say
        evaluation = evaluation.isel(field=evaluation["scored"].values.astype(bool))
    labels = evaluation["label"].values.tolist()
    figure, axes = style.subplot_grid(title, 2.8, len(labels))
    for k, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        field = evaluation["psnr"].isel(field=k)
        for group in groups(field):
            for values in group.table.values:
                style.plot_density(ax, values, group.label, style.THIN | group.style)
        missing = int((~np.isfinite(field)).sum())
        note = f"\n{missing} of {field.size} not finite" if missing else ""
        ax.set_title(label + note, fontsize=10)
        ax.set(xlabel="PSNR (dB)", ylabel="density (1/dB)")
    medians = {g.short: g.table.median(("model", "sample")) for g in groups(evaluation["psnr"])}
    raw, worst = medians.pop("raw"), {}
    for short, median in medians.items():
        shift = (median - raw).values  # (field,); not a number where both are infinite
        if np.isfinite(shift).any():
            k = int(np.nanargmin(shift))
            worst[short] = f"{signed(shift[k])} dB ({labels[k]})"
    caption = "Every model is a curve."
    if worst:
        caption += (
            " Largest fall of a field's median, over all seeds, from that of the raw models: "
            f"{listing(worst)}."
        )
    return add_caption(figure, caption + version_note(evaluation))


def verdict(table: xr.Dataset) -> Figure:
    """The answer in one picture: how much worse each version makes each score, in margins.

    A line runs from the lower limit of a score's shift to its bound, which is what the verdict
    tests: its position relative to the margin, 1, *is* the state. The axis is linear up to twice
    the margin and logarithmic beyond, so that an over-compressed control does not squash the rest.

    Parameters
    ----------
    table : Dataset
        Over (version, score): ``shift`` (positive is worse), ``low``, ``bound`` and ``state``; per
        score ``label``, ``unit`` and ``margin``, NaN where the score is not judged; per version
        ``verdict``, its state or ``not trained``, and ``reason``; coordinates ``codec``, ``rule``,
        ``factor`` and ``ratio`` of ``version``; attribute ``confidence``.
    """
    trained = (table["verdict"] != "not trained").values
    if not trained.any():
        raise ValueError("no version has a verdict yet")
    judged = np.isfinite(table["margin"].values)
    names = table["label"].values
    skipped = [
        ("not trained", table["version"].values[~trained]),
        ("not judged, for want of a margin", names[~judged]),
    ]
    table = table.isel(version=trained, score=judged)
    n_versions, n_scores = table.sizes["version"], table.sizes["score"]
    title = "Does the model notice the compression? How much worse each score gets, in margins"
    figure, [[ax]] = subplots(title, 1.2 + n_scores * (0.17 + 0.09 * n_versions))
    ax.axvspan(-1, 1, label="within the margin (in brackets at each score)", **style.BAND)
    ax.axvline(0, color="black", lw=1, zorder=1)
    ax.axvline(1, color="black", lw=1, ls="--", zorder=1)
    position = {
        name: (table[name] / table["margin"]).transpose("version", "score").values
        for name in ("low", "shift", "bound")
    }
    ends = np.concatenate([[-1.2, 2.2], *(p[np.isfinite(p)] for p in position.values())])
    # A limit that is infinite (one pair of seeds) leaves the picture on its side.
    low, shift, bound = (np.clip(p, -1e9, 1e9) for p in position.values())
    states = table["state"].transpose("version", "score").values
    step = min(0.22, 0.8 / n_versions)
    labels, short = style.version_labels(table)
    reasons = []
    for i, (label, state) in enumerate(zip(labels, table["verdict"].values, strict=True)):
        rows = np.arange(n_scores) + step * (i - (n_versions - 1) / 2)
        colors = [style.STATE_COLORS[s] for s in states[i]]
        marker = style.MARKERS[i % len(style.MARKERS)]
        ax.hlines(rows, low[i], bound[i], color=colors, lw=1.8)
        ax.scatter(shift[i], rows, 40, colors, marker=marker, zorder=3)
        look = {"marker": marker, "ls": "", "color": style.STATE_COLORS[state]}
        ax.plot([], [], label=f"{label}: {state}", **look)
        count = f"{np.count_nonzero(states[i] == state)} of {n_scores} scores"
        reason = str(table["reason"].values[i]).rstrip(".")
        reasons.append(f"{short[i]}, {state} in {count}: {reason}.")
    # Two columns of equal length: band and versions, and the states.
    length = max(n_versions + 1, len(style.STATE_COLORS))
    blanks: list[style.Style] = [{"ls": "", "label": " " * k} for k in range(1, 2 * length)]
    keys: list[style.Style] = [
        {"color": color, "lw": 3, "label": f"a score that is {state}"}
        for state, color in style.STATE_COLORS.items()
    ]
    for key in [*blanks[n_versions + 1 : length], *keys, *blanks[length + len(keys) :]]:
        ax.plot([], [], **key)
    ax.set_xscale("symlog", linthresh=2, linscale=1.2)
    wide = np.abs(ends).max() > 30  # then there is room for the powers of ten alone
    ticks = np.array([1, 10, 100, 1000] if wide else [1, 2, 5, 10, 20])
    ax.set_xticks([*-ticks, 0, *ticks])
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.minorticks_off()
    ax.set(xlim=(1.2 * ends.min(), 1.2 * ends.max()), ylim=(n_scores - 0.5, -0.5))
    margins = map(quantity, table["margin"].values, table["unit"].values)
    ax.set_yticks(
        range(n_scores), [f"{name} ({m})" for name, m in zip(names[judged], margins, strict=True)]
    )
    edges = np.arange(1, n_scores) - 0.5
    ax.hlines(edges, 0, 1, color="0.9", lw=0.8, zorder=0.5, transform=ax.get_yaxis_transform())
    ax.set_xlabel("better  ←  shift of the score / margin (logarithmic beyond 2)  →  worse")
    caption = (
        "Marker: shift between models of the same seed. Line: from its lower limit to its bound, "
        f'"at most" ({100 * table.attrs["confidence"]:g} %). A line that ends within the margin is '
        "benign, or small if it begins above 0; one that begins beyond the margin is harmful, any "
        "other undecided."
    )
    for what, left_out in skipped:
        caption += f" {sentence(what)}: {', '.join(left_out)}." if len(left_out) else ""
    caption = "\n".join([caption + version_note(table), *reasons])
    return add_caption(figure, caption, 2)


def _curves(ax: Axes, time: xr.DataArray | np.ndarray, curves: Iterable) -> None:
    """Draw every model of (group, values (model, sample)); curves of lossy models are thin."""
    for group, values in curves:
        for curve in values:
            ax.plot(time, curve, label=group.label, **style.THIN | group.style)


def _named(evaluation: xr.Dataset, role: str) -> str:
    """The quantity that a table's attribute names; not every ensemble has one."""
    name = evaluation.attrs.get(role)
    if not name:
        raise NothingToDraw(f"the ensemble names no {role} quantity: there is nothing to draw")
    return str(name)
