"""Figures of Section VI-C: how fast batches are loaded, and how long an epoch waits for them.

A saved table in, a matplotlib `Figure` out.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from surrlab._text import listing, number, percent
from surrlab.figures.style import RATIO, RAW, add_caption, subplots, version_styles

_STALL = "#b07aa1"
_ABOVE = {"textcoords": "offset points", "ha": "center", "fontsize": 8}


def throughput(rates: xr.Dataset) -> Figure:
    """Fig. 11: how fast batches are ready, raw and compressed, the storages side by side.

    Parameters
    ----------
    rates : Dataset
        ``rate`` (storage, version, round) in MB/s of uncompressed data, the raw version first;
        coordinates ``ratio`` of ``version`` and ``bandwidth`` of ``storage`` in MB/s, or infinite.
    """
    title = "How fast is a batch ready? Over each bar its gain over raw data on the same storage"
    figure, axes = subplots(title, 4, 1, rates.sizes["storage"], sharey=True)
    colors = [RAW["color"], *(s["color"] for s in version_styles(rates.sizes["version"] - 1))]
    for ax, storage in zip(axes[0], rates["storage"].values, strict=True):
        measured = rates.sel(storage=storage)
        bandwidth = float(measured["bandwidth"])
        rate = measured["rate"].transpose("version", "round").values
        median, places = np.median(rate, axis=1), np.arange(len(rate))
        ax.bar(places, median, color=colors, alpha=0.75)
        for place, values in enumerate(rate):
            ax.plot(np.full(values.size, place), values, "_", color="0.2", ms=9)
            gain = f"{number(median[place] / median[0], 2)}×" if place else ""
            ax.annotate(gain, (place, values.max()), (0, 4), **_ABOVE)
        if np.isfinite(bandwidth):
            ax.axhline(bandwidth, color="black", ls="--", lw=1.2, label="bandwidth of the storage")
        heading = f"{storage}\n({bandwidth:g} MB/s)" if np.isfinite(bandwidth) else storage
        ax.set_title(heading, fontsize=9)
        ax.set_xticks(places, _ratio_labels(rates), fontsize=8)
        ax.set_xlabel("ratio (payload)")
    axes[0, 0].set_ylabel("MB/s of uncompressed data")
    median = rates["rate"].median("round")
    gains = (median / median.isel(version=0)).isel(version=slice(1, None)).max("version")
    best = {str(gain["storage"].item()): f"{number(float(gain), 2)}×" for gain in gains}
    caption = (
        "Counted are the bytes that the network gets, not those that the storage delivered; dashes "
        "are single measurements, bars their medians. Best gain over raw data: "
        f"{listing(best)}."
    )
    return add_caption(figure, caption)


def epoch_time(epochs: xr.Dataset) -> Figure:
    """Fig. 12: time of an epoch against the number of processes, and its share spent waiting.

    Parameters
    ----------
    epochs : Dataset
        ``data`` and ``both`` (processes, version, round), ``compute`` (processes, round), seconds;
        coordinate ``ratio`` of ``version``, the raw one first; attribute ``storage`` in words.
    """
    title = f"What does an epoch wait for? Storage: {epochs.attrs['storage']}"
    figure, axes = subplots(title, 4, 1, epochs.sizes["processes"], sharey=True)
    middle, labels = epochs.median("round"), _ratio_labels(epochs)
    for ax, n in zip(axes[0], middle["processes"].values, strict=True):
        epoch = middle.sel(processes=n)
        places, compute = np.arange(len(labels)), float(epoch["compute"])
        data, both = epoch["data"].values, epoch["both"].values
        ax.bar(places + 0.2, both, 0.4, color=_STALL, alpha=0.75, label="epoch: the network waits")
        learning = np.minimum(both, compute)
        ax.bar(places + 0.2, learning, 0.4, color="0.45", label="epoch: it computes")
        ax.bar(places - 0.2, data, 0.4, color="#9ec9e2", label="loading alone")
        ax.axhline(compute, color="black", ls="--", lw=1.2, label="computing alone")
        ax.set_title(_processes(n), fontsize=10)
        ax.set_xticks(places, labels)
        ax.set_xlabel(RATIO)
    axes[0, 0].set_ylabel("time of an epoch (s)")
    last = middle.isel(processes=-1)
    stall = (1 - last["compute"] / last["both"]).clip(0).values
    names = [label.replace("\n", " ") for label in labels]
    shares = listing(dict(zip(names, map(percent, stall), strict=True)))
    caption = (
        "What an epoch takes beyond computing alone, the network waits. Share of an epoch with "
        f"{_processes(int(last['processes']))}: {shares}."
    )
    return add_caption(figure, caption)


def _processes(n: int) -> str:
    return f"{n} process{'es' if n > 1 else ''}"


def _ratio_labels(table: xr.Dataset) -> list[str]:
    """The versions by their ratio; where two of them look alike, with their names."""
    labels = ["raw", *(f"{ratio:.1f}×" for ratio in table["ratio"].values[1:])]
    if len(set(labels)) == len(labels):
        return labels
    return [*map("{}\n{}".format, labels, table["version"].values)]
