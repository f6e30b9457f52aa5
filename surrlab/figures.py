"""The pictures of a study, one function a figure: labelled results in, a matplotlib `Figure` out.

No file is written and nothing is computed that a table could hold, so a figure can be redrawn years
later from its table. Truth is black, raw models are grey, and a level of compression keeps its
colour and line (`styles`) in every figure. Each docstring names the figure of the paper.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from surrlab.fields import LABELS, NAMES, Grid, index

TRUTH = {"color": "black", "lw": 1.6, "zorder": 4}
RAW = {"color": "0.7", "lw": 1.0}
RAW_CENTRE = {"color": "0.25", "ls": "--", "lw": 1.2, "zorder": 1.5}
BAND = {"color": "0.87", "lw": 0, "zorder": 0}
_LINES = ((0, (9, 1.5)), (0, (4, 1.5)), "-.", (0, (1.5, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (9, 4)))
_MARKERS = "os^Dvp"
_RATIO = "compression ratio of the training data (payload)"
_FIELD_COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#777777")
_FIELD_STYLES = {
    name: {"color": colour, "ls": line}
    for name, colour, line in zip(NAMES, _FIELD_COLOURS, ("-", *_LINES[1:]), strict=True)
}


def styles(n: int) -> list[dict]:
    """Colour and line of `n` levels, from the least compressed: three are green, red and blue.

    The colours darken on the way, so that the order survives a grey printer.
    """
    import seaborn as sns

    palette = sns.blend_palette(["#58b558", "#cf7420", "#c9302c", "#7b2a8c", "#14307e"], n)
    return [{"color": c, "ls": _LINES[i % len(_LINES)]} for i, c in enumerate(palette.as_hex())]


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


def evolution(
    samples, grid: Grid, *, times, units, fields=("density",), columns=None, title=""
) -> Figure:
    """Small multiples of one simulation: a row a field, a column a time, one colour scale a row.

    Parameters
    ----------
    samples : array
        ``(T, 6, ny, nx)`` in `units`, at the `times` ``(T,)``.
    columns : int, optional
        At most so many times, evenly spread from first to last: 8 for a tall domain, 4 for a wide.
    title : str
        Which simulation it is.
    """
    title = f"One simulation from start to end, on one colour scale a field\n{title}".rstrip()
    aspect = grid.height / (grid.x[1] - grid.x[0])
    columns = columns or (8 if aspect > 1 else 4)
    shown = np.unique(np.linspace(0, len(times) - 1, columns).round().astype(int))
    height = 1.1 + len(fields) * (7.8 / len(shown) * aspect + 0.1)
    figure, axes = _panels(title, height, len(fields), len(shown), images=True)
    for row, name in zip(axes, fields, strict=True):
        values = samples[shown, index(name)]
        image = _draw(row, values, grid, clim=(values.min(), values.max()), cmap="viridis")
        bar = figure.colorbar(image, ax=row, aspect=30)
        bar.set_label(f"{LABELS[name]}\n({units[name]})", fontsize=9)
        row[0].set(ylabel="y (cm)", yticks=np.linspace(*grid.y, 5))
    second = units["velocity_x"].removeprefix("cm/")  # or the µs: the fields' units know
    for ax, k in zip(axes[0], shown, strict=True):
        ax.set_title(f"{times[k]:g} {second}", fontsize=9)
    figure.supxlabel(_span("x", grid.x), fontsize=9)
    return figure


def side_by_side(
    samples, labels, grid: Grid, *, units, fields=("density", "pressure", "energy"), title=""
) -> Figure:
    """Fig. 10: the truth and the models, a row each; each field and |model - truth|, a column each.

    A tall domain lies on its side, as in the paper. Colour limits of a field are the truth's; those
    of a difference are shared by all models.

    Parameters
    ----------
    samples : array
        ``(M, 6, ny, nx)`` of one time in `units`, the truth first; `labels` names the M.
    title : str
        Which simulation and time it is.
    """
    aspect = grid.height / (grid.x[1] - grid.x[0])
    height = 1.6 + len(labels) * (4 / len(fields) * min(aspect, 1 / aspect) + 0.1)
    title = (
        f"What do the models lose? Each field, and its distance from the truth\n{title}".rstrip()
    )
    figure, axes = _panels(title, height, len(labels), 2 * len(fields), images=True)
    for ax, label in zip(axes[:, 0], labels, strict=True):
        label = label.replace(" (", "\n(")
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for name, left, right in zip(fields, axes.T[::2], axes.T[1::2], strict=True):
        values = np.stack([sample[index(name)] for sample in samples])
        error = np.abs(values - values[0])
        # A few cells at an interface are far off: with them on the scale nothing else shows.
        limits = (values[0].min(), values[0].max()), (0, np.quantile(error, 0.995) or 1)
        for column, stack, clim, cmap, extend, heading in (
            (left, values, limits[0], "viridis", "both", textwrap.fill(LABELS[name], 18)),
            (right, error, limits[1], "Greys", "max", "|model − truth|"),
        ):
            image = _draw(column, stack, grid, aspect > 1, clim=clim, cmap=cmap)
            column[0].set_title(heading, fontsize=10)
            bar = figure.colorbar(image, ax=column, location="bottom", extend=extend, aspect=14)
            bar.set_label(units[name], fontsize=9)
            bar.ax.tick_params(labelsize=8)
            bar.ax.locator_params(nbins=4)
        right[0].set_axis_off()  # the truth's distance from itself
        right[0].images[0].remove()
    spans = _span("x", grid.x), _span("y", grid.y)
    figure.supxlabel("right: {}; up: {}".format(*spans[:: -1 if aspect > 1 else 1]), fontsize=9)
    return figure


def history(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Training loss of each model: its label -> columns epoch and loss."""
    figure, [[ax]] = _panels("Has every model been trained to its end?", 3.8)
    kinds = list(dict.fromkeys(label.split(" seed ")[0] for label in histories))
    look = dict(
        zip([k for k in kinds if k != "raw"], styles(len(kinds) - ("raw" in kinds)), strict=True)
    )
    for label, table in histories.items():
        kind = label.split(" seed ")[0]
        ax.plot(table["epoch"], table["loss"], label=f"{kind} models", **look.get(kind, RAW))
    ax.set(xlabel="epoch", ylabel="training L1 (standard deviations)", yscale="log")
    ax.yaxis.set_major_formatter("{x:.2g}")
    ax.yaxis.set_minor_formatter("{x:.2g}")
    return _legend(figure)


def momentum_band(evaluation: xr.Dataset, simulation: int) -> Figure:
    """Fig. 3: mean ± 2σ of the raw models in time, the truth, and the first seed of each level.

    Of the momentum that the table names in its attributes. Beneath it all the same less the raw
    models' mean, where the band is wide enough to be read.
    """
    name = evaluation.attrs["momentum"]
    quantity = evaluation[name].attrs["long_name"]
    one = _one(evaluation, simulation)
    (_, _, raw), *levels = _groups(one)
    if raw.sizes["model"] < 2:
        raise ValueError("a band needs at least two raw models; the evaluation holds 1")
    mean, reach = raw[name].mean("model"), 2 * raw[name].std("model", ddof=1)
    question = "how far apart does the seed alone carry raw models?"
    if levels:
        question = "do lossy models stay inside the band of the raw ones?"
    title = f"{_sentence(quantity)} of simulation {simulation}: {question}"
    figure, axes = _panels(title, 6.4, 2, sharex=True, height_ratios=(3, 2))
    axes[0, 0].plot(one["time"], one[f"truth_{name}"], label="truth", **TRUTH)
    for ax, less, what in ((axes[0, 0], 0, quantity), (axes[1, 0], mean, "less raw mean")):
        band = one["time"], mean - reach - less, mean + reach - less
        ax.fill_between(*band, label=f"±2σ of {raw.sizes['model']} raw models", **BAND)
        ax.plot(one["time"], mean - less, label="mean of raw models", **RAW_CENTRE)
        for label, style, models in levels:
            ax.plot(one["time"], models[name][0] - less, label=label, **style)
        ax.set_ylabel(_with_unit(what, raw[name]))
    ax.set_xlabel(_with_unit("time", one["time"]))
    return _legend(figure, 3)


def conserved(evaluation: xr.Dataset, simulation: int, names: Sequence[str] = ()) -> Figure:
    """Fig. 6: total mass and momenta in time; every raw model and the first seed of each level.

    `names` are the quantities to draw: by default all but the one that Fig. 8 is about.
    """
    one = _one(evaluation, simulation)
    quantities = [name for name in one if f"truth_{name}" in one and name != one.attrs["curve"]]
    names = names or quantities
    title = f"Simulation {simulation}: do lossy models (coloured) run among the raw ones (grey)?"
    figure, axes = _panels(title, 4.4, 1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        for label, style, models in _groups(one):
            for values in models[name][: None if style is RAW else 1]:
                ax.plot(one["time"], values, label=label, **style)
        ax.plot(one["time"], one[f"truth_{name}"], label="truth", **TRUTH)
        ax.set_xlabel(_with_unit("time", one["time"]))
        ax.set_ylabel(_with_unit(one[name].attrs["long_name"], one[name]))
    return _legend(figure, 5)


def correlation(evaluation: xr.Dataset) -> Figure:
    """Fig. 8: box a model of how well its curve of one quantity in time follows the truth's.

    Of the quantity that the table names in its attribute ``curve``: mixing-layer thickness, say.
    """
    name = evaluation.attrs["curve"]
    quantity = _sentence(evaluation[name].attrs["long_name"])
    title = f"{quantity}: do lossy models follow the truth as closely as the raw ones?"
    figure, [[ax]] = _panels(title, 4.6)
    distance = (1 - evaluation[f"{name}_correlation"]).clip(1e-5)
    boxes = [
        (f"{'' if i else label.split()[0]}\n{int(one['seed'])}", style["color"], one.values)
        for label, style, models in _groups(distance)
        for i, one in enumerate(models)
    ]
    _boxes(ax, boxes)
    middle = next(_groups(distance))[2].to_series().median()
    ax.axhline(middle, label="median of all raw models", **RAW_CENTRE)
    # Correlations crowd below 1: the axis is logarithmic in their distance from it.
    ax.set(yscale="log", xlabel=f"{_RATIO}; beneath it the seed")
    low, high = ax.get_ylim()
    ticks = [step / 10**k for k in range(6) for step in (1, 2, 5)]
    ax.set_yticks(ticks, [f"{1 - tick:.5g}".replace("-", "−") for tick in ticks])
    ax.yaxis.minorticks_off()
    ax.set(ylabel="correlation with the truth over time", ylim=(high, low))
    return _legend(figure)


def psnr(evaluation: xr.Dataset) -> Figure:
    """Fig. 7: density of PSNR over the test samples; a curve a raw model, and one a level.

    The seeds of a level are pooled. Infinite PSNR (an exact field) has no place in a density: the
    panel says how many there are.
    """
    title = "PSNR of all test samples (higher is better): is a coloured curve left of the grey?"
    figure, axes = _panels(title, 6, 2, -(-evaluation.sizes["field"] // 2))
    for ax, name in zip(axes.flat, evaluation["field"].values, strict=False):
        one = evaluation["psnr"].sel(field=name)
        for label, style, models in _groups(one):
            for values in models if style is RAW else [models]:
                _density(ax, values.values, label, style)
        missing = int((~np.isfinite(one)).sum())
        note = f"\n{missing} of {one.size} not finite" if missing else ""
        ax.set_title(LABELS[name] + note, fontsize=10)
        ax.set(xlabel="PSNR (dB)", ylabel="density (1/dB)")
    return _legend(figure)


def generation_loss(errors: pd.DataFrame) -> Figure:
    """Fig. 5: L1 error of models trained on simulations, and then on the output of one of them.

    Parameters
    ----------
    errors : DataFrame
        A row a model and test sample: ``model``, what it was trained on, the simulations first; and
        ``l1``, in standard deviations of the fields.
    """
    title = "L1 error of all test samples: nothing is lost if the two distributions are the same"
    figure, [[ax]] = _panels(title, 4.2)
    for (label, rows), style in zip(
        errors.groupby("model", sort=False), (RAW | {"lw": 2}, styles(3)[-1]), strict=True
    ):
        _density(ax, rows["l1"].to_numpy(), label, style)
        ax.axvline(rows["l1"].median(), label=f"median {rows['l1'].median():.4f}", **style)
    ax.set(xlabel="L1 error of a sample (standard deviations of the fields)", ylabel="density")
    return _legend(figure)


def thresholds(table: xr.Dataset) -> Figure:
    """Fig. 4: error of compression over model error, against ratio, with the two thresholds.

    Parameters
    ----------
    table : Dataset
        ``error`` (L1) and ``ratio`` (field, exponent); ``model_error`` and ``roundoff`` (field).
    """
    title = "Up to threshold 2 (large markers) compression removes only what the model cannot learn"
    figure, [[ax]] = _panels(title, 5.4)
    table = table.where(table > 0).sortby("exponent")  # 0 has no place on a logarithmic axis
    noise = table["roundoff"] / table["model_error"]
    for name, marker in zip(table["field"].values, _MARKERS, strict=True):
        one, style = table.sel(field=name), _FIELD_STYLES[name]
        x, y = one["ratio"].values, (one["error"] / one["model_error"]).values
        last = np.flatnonzero(y <= 1)[-1:]
        label = f"{LABELS[name]}: {f'{x[last[0]]:.1f}×' if last.size else 'none'}"
        ax.plot(x, y, marker=marker, ms=4, label=label, **style)
        ax.plot(x[last], y[last], marker, color=style["color"], ms=10, mec="black", zorder=5)
    ax.axhline(1, color="black", lw=1.4, label="threshold 2: model error")
    label = "threshold 1: round-off of the data"
    ax.axhspan(float(noise.min()), float(noise.max()), label=label, **BAND)
    ax.set(xscale="log", xlabel="compression ratio of the field (payload)")
    ax.set(yscale="log", ylabel="L1 error of compression / model error")
    ax.set_xticks(2.0 ** np.arange(16))
    ax.xaxis.set_major_formatter("{x:g}×")
    ax.xaxis.minorticks_off()
    ax.set_xlim(float(table["ratio"].min()) / 1.1, float(table["ratio"].max()) * 1.1)
    return _legend(figure)


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
    panels = (
        ("tolerance (unit of the field)", tolerance, tolerance.median("simulation")),
        ("compression ratio (payload)", raw / nbytes, raw / nbytes.mean("simulation")),
    )
    total = raw / nbytes.mean(["simulation", "field"])
    title = f"Algorithm 1: how much can each field lose? In all {raw / float(nbytes.mean()):.1f}×"
    figure, axes = _panels(title, 7, 2, 2)
    for (label, samples, in_time), (top, bottom) in zip(panels, axes.T, strict=True):
        boxes = [
            (f"{LABELS[n]}\n({unit[n]})", _FIELD_STYLES[n]["color"], samples.sel(field=n).values)
            for n in names
        ]
        _boxes(top, boxes, "horizontal")
        top.set_xscale("log", base=2)
        top.set(xlabel=label, ylim=(len(names) + 0.5, 0.5))
        for n in names:
            values = in_time.sel(field=n)
            bottom.plot(table["time"], values, label=LABELS[n], **_FIELD_STYLES[n])
        bottom.set_yscale("log", base=2)
        bottom.set(xlabel=_with_unit("time", table["time"]), ylabel=label)
    axes[0, 1].set_yticklabels([])
    axes[0, 1].xaxis.set_major_formatter("{x:g}×")
    axes[1, 1].yaxis.set_major_formatter("{x:g}×")
    axes[1, 1].plot(table["time"], total, color="black", lw=2.4, label="all fields")
    return _legend(figure)


def verdict(tables: Mapping[str, pd.DataFrame], *, margin: float = 2.0) -> Figure:
    """The answer in one picture: how much worse each level makes each score, in units of σ.

    The axis is linear up to twice the margin and logarithmic beyond, so that an over-compressed
    control does not squash the rest. A filled marker is a harmful shift.

    Parameters
    ----------
    tables : mapping
        `level_label` of a level -> a row a metric, columns label, shift, low and high (of the
        degradation), sigma (training variability) and state; from the least to the most compressed.
    margin : float
        Degradation that is still benign, in σ.
    """
    title = (
        "Does the model notice the compression? Shift of each score beside the spread of raw models"
    )
    figure, [[ax]] = _panels(title, 4.9 + 0.5 * len(tables))
    ax.axvspan(-margin, margin, label=f"±{margin:g}σ (σ: spread of raw models)", **BAND)
    ax.axvline(0, color="black", lw=1, zorder=1)
    names = next(iter(tables.values()))["label"]
    metrics, ends = names.index, [-2.5 * margin, 2.5 * margin]
    step = min(0.22, 0.8 / len(tables))
    rows = np.arange(len(metrics)) - step * (len(tables) - 1) / 2
    for i, (style, label) in enumerate(zip(styles(len(tables)), tables, strict=True)):
        table, colour, marker = tables[label].loc[metrics], style["color"], _MARKERS[i % 6]
        spans = np.stack([table[c] / table["sigma"] for c in ("low", "shift", "high")])
        ends += list(spans[np.isfinite(spans)])
        # An interval without an end (one pair of seeds) leaves the picture on that side.
        low, shift, high = np.clip(spans, -1e9, 1e9)
        # One harmful score makes a level harmful; benign is what is benign in every score.
        state = next((s for s in ("harmful", "inconclusive") if s in set(table["state"])), "benign")
        face = np.where(table["state"] == "harmful", colour, "white")
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
    ax.set_yticks(range(len(metrics)), names)
    edges = np.arange(1, len(metrics)) - 0.5
    ax.hlines(edges, 0, 1, color="0.9", lw=0.8, zorder=0.5, transform=ax.get_yaxis_transform())
    scale = f"(logarithmic beyond {2 * margin:g}; filled marker: harmful)"
    ax.set_xlabel(f"better  ←  shift of the score / σ  {scale}  →  worse")
    return _legend(figure, 2, f"{_RATIO}: verdict")


def _panels(title: str, height: float, rows=1, columns=1, *, images=False, **kwargs):
    """An empty figure of the common width, and its axes ``(rows, columns)``."""
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


def _span(axis: str, limits: tuple[float, float]) -> str:
    return f"{axis} from {limits[0]:.2g} to {limits[1]:.2g} cm".replace("-", "−")


def _draw(row: Sequence[Axes], fields: np.ndarray, grid: Grid, rotate: bool = False, **kwargs):
    """Fields ``(n, ny, nx)`` with true proportions, bottom row down, or on their side."""
    extent = (*grid.y, *grid.x) if rotate else (*grid.x, *grid.y)
    for ax, field in zip(row, fields, strict=True):
        image = ax.imshow(field.T if rotate else field, origin="lower", extent=extent, **kwargs)
    return image


def _legend(figure: Figure, columns: int = 4, title: str = "") -> Figure:
    """The figure with one legend for all panels, beneath them; equal labels appear once."""
    entries = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not title and any("(tolerance" in label for label in entries):
        title = f"n×: {_RATIO}; in brackets: factor on Algorithm 1's tolerance"
    look = {"fontsize": 9, "title_fontsize": 9, "frameon": False, "handlelength": 3}
    place = {"loc": "outside lower center", "ncols": min(columns, len(entries))}
    figure.legend(entries.values(), entries.keys(), title=title or None, **place, **look)
    return figure


def _groups(table: xr.Dataset | xr.DataArray) -> Iterator[tuple[str, dict, xr.Dataset]]:
    """Label, style and models: the raw ones, then each lossy level from the least compressed."""
    kind, level = table["kind"].values, table["level"].values
    if not (kind == "raw").any():
        raise ValueError("the figure needs raw models; the evaluation holds none")
    yield "raw models", RAW, table.isel(model=kind == "raw")
    levels = np.unique(level[kind == "lossy"])
    for one, style in zip(levels, styles(len(levels)), strict=True):
        models = table.isel(model=(kind == "lossy") & (level == one))
        yield level_label(one, float(models["ratio"][0])), style, models


def _one(evaluation: xr.Dataset, simulation: int) -> xr.Dataset:
    known = evaluation["simulation"].values
    if simulation not in known:
        raise KeyError(f"no simulation {simulation}; there are {', '.join(map(str, known))}")
    return evaluation.sel(simulation=simulation)


def _sentence(label: str) -> str:
    """A label as a sentence begins with it: its first letter a capital, PSNR left as it is."""
    return label[:1].upper() + label[1:]


def _with_unit(label: str, array: xr.DataArray) -> str:
    return f"{label} ({array.attrs['units']})"


def _density(ax: Axes, values: np.ndarray, label: str, style: dict) -> None:
    """Kernel density of the finite values; a vertical line where they are all one number."""
    finite = values[np.isfinite(values)]
    if finite.size and np.ptp(finite) > 1e-6 * np.abs(finite).max():
        import seaborn as sns

        sns.kdeplot(x=finite, ax=ax, label=label, **style)
    else:
        ax.axvline(finite[0] if finite.size else np.nan, label=label, **style)


def _boxes(ax: Axes, boxes: Sequence[tuple], orientation: str = "vertical") -> None:
    """A box for each (label, colour, values); what is not finite is left out."""
    labels, colours, samples = zip(*boxes, strict=True)
    finite = [values[np.isfinite(values)] for values in samples]
    dots, line = {"marker": ".", "ms": 3, "mec": "0.4"}, {"color": "black", "lw": 1.6}
    look = {"widths": 0.6, "patch_artist": True, "flierprops": dots, "medianprops": line}
    drawn = ax.boxplot(finite, orientation=orientation, tick_labels=labels, **look)
    for patch, colour in zip(drawn["boxes"], colours, strict=True):
        patch.set(facecolor=colour, alpha=0.7)
