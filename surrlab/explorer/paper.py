"""The explorer's two views on paper: what its "save" button writes and its Python call returns.

The same content as `views` shows on the screen, as matplotlib figures like all others.
"""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from surrlab.explorer import html
from surrlab.explorer.comparison import Compared
from surrlab.explorer.settings import Shown
from surrlab.figures.style import BAND, RAW_CENTRE, TRUTH, styles

_DECODED = {"color": "#d97706", "lw": 1.6}
_ERROR = {"color": "#0173b2", "lw": 1.4, "ls": ":"}


def field(shown: Shown) -> Figure:
    """Truth, decoded field and difference; histogram of the errors; power spectrum; numbers."""
    tall = shown.grid.height > 1.5 * (shown.grid.x[1] - shown.grid.x[0])
    figure = Figure(figsize=(12, 6) if tall else (12, 8.6), dpi=110, layout="constrained")
    which = shown.label if shown.title == shown.name else f"{shown.label} of {shown.title}"
    figure.suptitle(f"{which}: {html.headline(shown)}", x=0.01, ha="left", fontsize=12)
    if tall:
        left, right = figure.subfigures(1, 2, width_ratios=(6, 5))
        errors, spectra = right.subplots(2, 1)
    else:
        left, right = figure.subfigures(2, 1, height_ratios=(5, 4))
        errors, spectra = right.subplots(1, 2)
    axes = left.subplots(1, 3)
    reach = (-shown.reach, shown.reach)
    for ax, name, values, limits, cmap in (
        (axes[0], "truth", shown.truth, shown.limits, html.FIELD),
        (axes[1], f"decoded, {html.times(shown.ratio)}", shown.decoded, shown.limits, html.FIELD),
        (axes[2], "decoded − truth", shown.difference, reach, html.DIFFERENCE),
    ):
        image = _image(ax, values, shown.grid, limits, cmap)
        ax.set_title(name, fontsize=10)
        if ax is not axes[0]:
            together = axes[:2] if ax is axes[1] else ax
            label = shown.label if ax is axes[1] else "decoded − truth"
            _bar(left, image, together, _label(label, shown.unit), ax is axes[2])
    _errors(errors, shown)
    _spectra(spectra, shown)
    right.supxlabel(_sentence(shown), fontsize=9)
    return figure


def models(compared: Compared) -> Figure:
    """Truth and models, their differences from the truth, the curve with its band, verdicts."""
    n = len(compared.panels)
    tall = compared.grid.height > compared.grid.x[1] - compared.grid.x[0]
    figure = Figure(figsize=(12, 10.5 if tall else 9), dpi=110, layout="constrained")
    figure.suptitle(
        f"{compared.label} of {compared.title}: does the model notice what its data lost?",
        x=0.01, ha="left", fontsize=12,
    )  # fmt: skip
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2))
    rows = top.subplots(2, n, squeeze=False)
    truth = next(iter(compared.panels.values()))
    for column, (name, values) in zip(rows.T, compared.panels.items(), strict=True):
        upper = _image(column[0], values, compared.grid, compared.limits, html.FIELD)
        column[0].set_title(name.replace(" (", "\n("), fontsize=9)
        reach = (-compared.reach, compared.reach)
        lower = _image(column[1], values - truth, compared.grid, reach, html.DIFFERENCE)
    rows[1, 0].images[0].remove()
    rows[1, 0].set_axis_off()
    _bar(top, upper, rows[0], _label(compared.label, compared.unit), False, wide=True)
    if n > 1:
        _bar(top, lower, rows[1], _label("model − truth", compared.unit), True, wide=True)
    left, right = bottom.subplots(1, 2, width_ratios=(3, 2))
    if compared.curves is None:
        left.set_axis_off()
        left.text(0, 0.5, "No model was judged on this simulation.", transform=left.transAxes)
    else:
        _curves(left, compared)
    right.set_axis_off()
    for i, row in enumerate(compared.verdicts):
        # A lamp, and its word: colour alone would say nothing in grey.
        y = 0.92 - 0.33 * i
        look = {"transform": right.transAxes, "clip_on": False}
        right.plot(0.02, y, "o", ms=14, color=html.STATES[row["state"]], mec="black", **look)
        told = f"{row['name']}: {row['state']}"
        right.text(0.07, y, told, va="center", weight="bold", fontsize=10, **look)
        reason = textwrap.fill(row["reason"], 62)
        right.text(0.07, y - 0.06, reason, va="top", fontsize=8, **look)
    return figure


def _image(ax, values, grid, limits, cmap):
    extent = (*grid.x, *grid.y)
    low, high = limits if limits[1] > limits[0] else (limits[0] - 1, limits[0] + 1)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(values, origin="lower", extent=extent, vmin=low, vmax=high, cmap=cmap)


def _bar(figure, image, axes, label, both_ends, wide=False):
    bar = figure.colorbar(
        image,
        ax=axes,
        location="bottom",
        aspect=40 if wide else 25,
        shrink=0.5 if wide else 0.9,
        extend="both" if both_ends else "neither",
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.locator_params(nbins=4)


def _label(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit not in ("", "1") else label


def _errors(ax, shown: Shown) -> None:
    edges, heights, exact = shown.histogram
    ax.stairs(heights, edges, fill=True, alpha=0.35, color=_DECODED["color"], label="cells")
    if shown.l1:
        ax.axvline(shown.l1, label="mean: L1 error", ls="--", **_DECODED)
    if shown.tolerance:
        ax.axvline(shown.tolerance, label="tolerance", **_ERROR)
    if shown.model_error:
        ax.axvline(shown.model_error, label="model error", color="black", lw=1.6)
    ax.set(xscale="log", xlim=shown.span, xlabel=_label("|decoded − truth|", shown.unit))
    ax.set_ylabel("% of cells")
    exact = f" ({exact:.0f} % are exact)" if exact else ""
    ax.set_title(f"How large are the errors?{exact}", fontsize=10)
    ax.legend(fontsize=8, frameon=False)


def _spectra(ax, shown: Shown) -> None:
    k, power = shown.spectra
    ax.set_title("Which scales survive?", fontsize=10)
    if not power["truth"].any():
        ax.set_axis_off()
        ax.text(0.5, 0.5, "This field has no scales: it is constant.", ha="center")
        return
    ax.plot(k, power["truth"], label="truth", **TRUTH)
    ax.plot(k, power["decoded"], label="decoded", ls="--", **_DECODED, zorder=5)
    ax.plot(k, power["difference"], label="difference", **_ERROR)
    top = power["truth"].max()
    ax.set(xscale="log", yscale="log", ylim=(top * 1e-9, top * 3))
    unit = "" if shown.unit in ("", "1") else f" ({shown.unit})²"
    length = "cm" if shown.title != shown.name else "cell"
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.minorticks_off()
    ax.set(xlabel=f"wavenumber (cycles/{length})", ylabel=f"variance{unit}")
    ax.legend(fontsize=8, frameon=False)


def _sentence(shown: Shown) -> str:
    psnr = f"PSNR {shown.psnr:.1f} dB" if np.isfinite(shown.psnr) else "PSNR not defined"
    return (
        f"tolerance {html.tolerance(shown.tolerance, shown.unit)}   "
        f"L1 {html.with_unit(shown.l1, shown.unit)}   "
        f"L∞ {html.with_unit(shown.linf, shown.unit)}   {psnr}"
    )


def _curves(ax, compared: Compared) -> None:
    one = compared.curves
    if one.n_raw > 1:
        label = f"±2σ of {one.n_raw} raw models"
        ax.fill_between(one.times, one.mean - one.reach, one.mean + one.reach, label=label, **BAND)
    ax.plot(one.times, one.mean, label="mean of raw models", **RAW_CENTRE)
    for (name, values), style in zip(one.levels.items(), styles(len(one.levels)), strict=True):
        ax.plot(one.times, values, label=name, **style)
    ax.plot(one.times, one.truth, label="truth", **TRUTH)
    ax.axvline(compared.time, color="0.5", lw=1, ls=":")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(xlabel=f"time ({one.time_unit})", ylabel=_label(one.label, one.unit))
    ax.set_title("Do lossy models stay in the band of the raw ones?", fontsize=10)
    ax.legend(fontsize=8, frameon=False)
