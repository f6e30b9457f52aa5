"""The pictures of Section VI-C: what a storage delivers, and what an epoch waits for.

A saved table in, a matplotlib `Figure` out, as in `figures`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from surrlab.figures.style import foot, listing, panels, percent, styles

_RAW = "0.7"
_STALL = "#b07aa1"


def throughput(rates: xr.Dataset) -> Figure:
    """Fig. 11: how fast batches are ready, raw and compressed, the storages side by side.

    Parameters
    ----------
    rates : Dataset
        ``rate`` (storage, ratio, round) in MB/s of uncompressed data, the first ratio 1 (raw);
        coordinate ``bandwidth`` of each storage in MB/s, or infinite.
    """
    title = "How fast is a batch ready? Over each bar its gain over raw data on the same storage"
    figure, axes = panels(title, 4, 1, rates.sizes["storage"], sharey=True)
    colours = [_RAW, *(style["color"] for style in styles(rates.sizes["ratio"] - 1))]
    for ax, name in zip(axes[0], rates["storage"].values, strict=True):
        one = rates.sel(storage=name)
        median, bandwidth = one["rate"].median("round").values, float(one["bandwidth"])
        places = np.arange(len(median))
        ax.bar(places, median, color=colours, alpha=0.75)
        for place, values in zip(places, one["rate"].transpose("ratio", "round"), strict=True):
            ax.plot(np.full(values.size, place), values, "_", color="0.2", ms=9)
            gain = f"{median[place] / median[0]:.2g}×" if place else ""
            ax.annotate(gain, (place, float(values.max())), (0, 4), **_ABOVE)
        if np.isfinite(bandwidth):
            ax.axhline(bandwidth, color="black", ls="--", lw=1.2, label="bandwidth of the storage")
        ax.set_title(
            f"{name}\n({bandwidth:g} MB/s)" if np.isfinite(bandwidth) else name, fontsize=9
        )
        ax.set_xticks(places, _names(rates), fontsize=8)
        ax.set_xlabel("ratio (payload)")
    axes[0, 0].set_ylabel("MB/s of uncompressed data")
    median = rates["rate"].median("round")
    gain = (median / median.isel(ratio=0)).isel(ratio=slice(1, None)).max("ratio").to_series()
    told = listing({name: f"{value:.2g}×" for name, value in gain.items()})
    caption = (
        "What the network gets counts, not what the disk gave; dashes are single measurements, "
        f"bars their medians. Best gain over raw data: {told}."
    )
    return foot(figure, caption)


def epoch_time(epochs: xr.Dataset) -> Figure:
    """Fig. 12: time of an epoch against the number of processes; what is red, the network waits.

    Parameters
    ----------
    epochs : Dataset
        ``data`` and ``both`` (processes, ratio, round), ``compute`` (processes, round), seconds;
        attribute ``storage`` in words.
    """
    title = f"What does an epoch wait for? Storage: {epochs.attrs['storage']}"
    figure, axes = panels(title, 4, 1, epochs.sizes["processes"], sharey=True)
    middle = epochs.median("round")
    for ax, n in zip(axes[0], middle["processes"].values, strict=True):
        one = middle.sel(processes=n)
        places, both, compute = np.arange(one.sizes["ratio"]), one["both"], float(one["compute"])
        ax.bar(places + 0.2, both, 0.4, color=_STALL, alpha=0.75, label="both: the network waits")
        learning = np.minimum(both, compute)
        ax.bar(places + 0.2, learning, 0.4, color="0.45", label="both: it computes")
        ax.bar(places - 0.2, one["data"], 0.4, color="#9ec9e2", label="data alone")
        ax.axhline(compute, color="black", ls="--", lw=1.2, label="computing alone")
        ax.set_title(f"{n} process{'es' if n > 1 else ''}", fontsize=10)
        ax.set_xticks(places, _names(one))
        ax.set_xlabel("compression ratio of the training data (payload)")
    axes[0, 0].set_ylabel("time of an epoch (s)")
    last = middle.isel(processes=-1)
    stall = (1 - last["compute"] / last["both"]).clip(0)
    told = listing(dict(zip(_names(last), map(percent, stall), strict=True)))
    n = int(last["processes"])
    caption = (
        "What an epoch takes beyond computing alone, the network waits. Share of an epoch with "
        f"{n} process{'es' if n > 1 else ''}: {told}."
    )
    return foot(figure, caption)


_ABOVE = {"textcoords": "offset points", "ha": "center", "fontsize": 8}


def _names(table: xr.Dataset) -> list[str]:
    return ["raw" if ratio == 1 else f"{ratio:.1f}×" for ratio in table["ratio"].values]
