"""Tables as the studies keep them, invented: what the tests of the figures draw."""

import numpy as np
import pandas as pd
import xarray as xr

from surrlab.data.fields import Grid
from surrlab.simulation.scenario import LABELS, NAMES, units

GRID = Grid(48, 16, (-1 / 6, 1 / 6), (-0.5, 0.5))
TIMES = np.linspace(0, 10, 51)
RATIOS = {0.125: 10.93, 1.0: 21.7, 4.0: 34.6}
SCORES = {
    "l1": "L1 error",
    **{f"psnr_{name}": f"PSNR of {label}" for name, label in LABELS.items()},
    "mass": "error of total mass",
    "momentum_x": "error of total x-momentum",
    "momentum_y": "error of total y-momentum",
    "thickness_correlation": "correlation of mixing-layer thickness",
}


def sample_stack(n=51, blur=0.0):
    """A Rayleigh-Taylor-like mixing layer that grows, ``(n, 6, ny, nx)``."""
    x, y = np.meshgrid(GRID.x_centres, GRID.y_centres)
    fields = []
    for t in np.linspace(0, 1, n):
        front = y - 0.3 * t * np.cos(6 * np.pi * x) * (1 + 0.3 * np.sin(20 * x * t))
        heavy = 0.5 * (1 + np.tanh(front / (0.02 + blur)))
        density, material = 1 + 3 * heavy, heavy
        swirl = t * np.exp(-((y / 0.3) ** 2))
        u, v = swirl * np.sin(6 * np.pi * x), -swirl * np.cos(6 * np.pi * x)
        pressure = 10 - density * (y + 0.5)
        fields.append([density, u, v, pressure, pressure / density / 0.4, material])
    return np.array(fields, np.float32)


def evaluation_table(n_raw=5, ratios=RATIOS, n_lossy=2, n_simulations=4, seed=0):
    """An evaluation in which the last level is harmful."""
    rng = np.random.default_rng(seed)
    levels = [0.0] * n_raw + [level for level in ratios for _ in range(n_lossy)]
    seeds = [*range(n_raw), *(s for _ in ratios for s in range(n_lossy))]
    names = [f"x{level:g} {s}" for level, s in zip(levels, seeds, strict=True)]
    harm = np.array([6.0 * (level == 4.0) for level in levels])
    shape = (len(levels), n_simulations, len(TIMES))

    def noisy(truth, scale):
        drift = rng.normal(size=(*shape[:2], 1)) + harm[:, None, None]
        return truth + scale * (drift * np.sin(TIMES) + 0.3 * rng.normal(size=shape))

    def in_time(values, unit, label):
        dims = ("model", "simulation", "time")
        return xr.Variable(dims[-values.ndim :], values, {"units": unit, "long_name": label})

    ramp = np.broadcast_to(TIMES / 10, shape[1:]) * (1 + np.arange(n_simulations)[:, None] / 9)
    truth = {
        "mass": (np.full(shape[1:], 0.9), "g/cm", "total mass"),
        "momentum_x": (np.zeros(shape[1:]), "g/s", "total x-momentum"),
        "momentum_y": (-0.05 * ramp**2, "g/s", "total y-momentum"),
        "thickness": (0.3 * ramp, "cm", "mixing-layer thickness"),
    }
    base = rng.normal(38, 4, (1, *shape[1:], 6)) + 2 * np.arange(6)
    psnr = base + rng.normal(0, 0.4, (shape[0], 1, 1, 6)) - harm[:, None, None, None]
    sample = ("model", "simulation", "time")
    correlation = 1 - np.abs(rng.normal(0.01, 0.005, shape[:2])) * (1 + harm[:, None])
    return xr.Dataset(
        {
            "psnr": ((*sample, "field"), psnr),
            "normalised_l1": (sample, 10 ** (-psnr.mean(-1) / 40)),
            "thickness_correlation": (sample[:2], correlation),
            **{name: in_time(noisy(t, 0.003), *told) for name, (t, *told) in truth.items()},
            **{f"truth_{name}": in_time(t, *told) for name, (t, *told) in truth.items()},
        },
        coords={
            "model": names,
            "kind": ("model", ["raw" if level == 0 else "lossy" for level in levels]),
            "level": ("model", levels),
            "ratio": ("model", [ratios.get(level, 1.0) for level in levels]),
            "seed": ("model", seeds),
            "simulation": 3 * np.arange(n_simulations),
            "time": ("time", TIMES, {"units": "s"}),
            "field": list(NAMES),
        },
        attrs={"curve": "thickness", "momentum": "momentum_y"},
    )


def threshold_table():
    exponent = np.arange(-22, 4)
    scale = 2.0 ** np.array([[0], [-2], [-1], [2], [4], [-2]])
    bits = (
        1
        + np.log2(1 + 2.0**18 * scale / 2.0 ** (exponent + 20)) * np.linspace(0.8, 1.3, 6)[:, None]
    )
    return xr.Dataset(
        {
            "error": (("field", "exponent"), 0.07 * 2.0**exponent * np.ones((6, 1))),
            "ratio": (("field", "exponent"), 32 / bits),
            "model_error": ("field", 0.01 * scale[:, 0]),
            "roundoff": ("field", 6e-8 * np.array([1, 0.1, 0.1, 10, 40, 1])),
        },
        coords={"field": list(NAMES), "exponent": exponent},
    )


def tolerance_table(n=12):
    rng = np.random.default_rng(1)
    growth = np.exp(rng.normal(0, 0.7, (n, 51, 6))) * (0.1 + TIMES[:, None] / 10)
    model_error = 0.01 * growth * 3.0 ** np.arange(6)
    tolerance = 2 ** np.floor(np.log2(10 * model_error))
    dims = ("simulation", "time", "field")
    return xr.Dataset(
        {
            "tolerance": (dims, tolerance),
            "error": (dims, 0.07 * tolerance),
            "model_error": (dims, model_error),
            "nbytes": (dims, np.ceil(60 * np.arange(1, 7) * (0.1 + growth / 3))),
        },
        coords={
            "simulation": np.arange(n),
            "time": ("time", TIMES, {"units": "s"}),
            "field": list(NAMES),
            "unit": ("field", list(units().values())),
        },
        attrs={"raw_field_nbytes": 4 * 48 * 16},
    )


def verdict_table():
    """As `studies.verdicts` keeps it: a benign, an unclear and a harmful level."""
    rng = np.random.default_rng(2)
    columns = {name: [] for name in ("shift", "low", "high", "state")}
    for centre, state in ((0.0, "benign"), (1.2, None), (30.0, "harmful")):
        shift = centre + rng.normal(0, 0.5 + 0.3 * abs(centre), 11)
        half = rng.uniform(0.4, 1.2, 11) * (1 + centre / 10)
        found = np.where(shift + half < 2, "benign", "inconclusive")
        row = (shift, shift - half, shift + half, found if state is None else [state] * 11)
        for column, values in zip(columns.values(), row, strict=True):
            column.append(values)
    dims = ("level", "metric")
    return xr.Dataset(
        {name: (dims, np.array(rows)) for name, rows in columns.items()}
        | {"sigma": (dims, np.ones((3, 11))), "label": (dims, [list(SCORES.values())] * 3)},
        {"level": list(RATIOS), "metric": list(SCORES), "ratio": ("level", list(RATIOS.values()))},
        {"margin": 2.0, "confidence": 0.95},
    )


def history_table():
    table = evaluation_table(n_lossy=2)
    loss = np.exp(-np.arange(25) / 8) + 0.13 + 0.003 * np.arange(table.sizes["model"])[:, None]
    coords = {name: table[name] for name in ("model", "kind", "level", "ratio", "seed")}
    return xr.Dataset({"loss": (("model", "epoch"), loss)}, coords | {"epoch": np.arange(25)})


def generation_errors():
    rng = np.random.default_rng(3)
    names = ["trained on simulations"] * 900 + ["trained on a model's output"] * 300
    return pd.DataFrame({"model": names, "l1": np.exp(rng.normal(-2, 0.25, 1200))})


def fields_table(samples, rows, grid=GRID, names=("density", "pressure", "energy"), **told):
    """Samples ``(n, 6, ny, nx)`` as fields over (row, y, x), as `studies` keeps pictures."""
    ((row, _),) = rows.items()
    unit = units()
    return xr.Dataset(
        {
            name: ((row, "y", "x"), samples[:, NAMES.index(name)], {"units": unit[name]})
            for name in names
        },
        rows,
        {"x_extent": list(grid.x), "y_extent": list(grid.y), "title": "simulation 3", **told},
    )


def evolution_table(names=("density",), columns=8):
    shown = np.linspace(0, 50, columns).round().astype(int)
    rows = {"time": ("time", TIMES[shown], {"units": "s"})}
    told = {"title": "density ratio 4", "story": "Heavy gas falls."}
    return fields_table(sample_stack()[shown], rows, names=names, **told)


def pictures_table(names=("density", "pressure", "energy")):
    samples = np.stack([sample_stack(blur=blur)[30] for blur in (0.0, 0.01, 0.02, 0.2)])
    labels = ["simulation", "raw model", "21.7× model", "34.6× model"]
    return fields_table(samples, {"model": labels}, names=names)


def compressed_table():
    samples = np.stack([sample_stack(blur=blur)[30] for blur in (0.0, 0.002, 0.02)])
    loss = np.array([[0.0] * 6, [0.0042] * 6, [0.314] * 6])
    table = fields_table(samples, {"version": np.arange(3)})
    return table.assign(loss=(("version", "field"), loss)).assign_coords(
        field=list(NAMES), ratio=("version", [1.0, 20.3, 49.6])
    )


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def caption(figure):
    """What stands beneath the panels, in one line."""
    text = figure.legends[0].get_title().get_text()
    return text.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def bars(figure):
    """Axes of the colour bars."""
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


TABLES = {
    "evolution": evolution_table(("density", "velocity_y")),
    "history": history_table(),
    "raw_curves": evaluation_table(ratios={}).sel(simulation=[6]),
    "generation_loss": evaluation_table(ratios={4.0: 1.0}).assign_coords(
        kind=("model", ["raw"] * 5 + ["generated"] * 2)
    ),
    "thresholds": threshold_table(),
    "tolerance_search": tolerance_table(),
    "compressed_fields": compressed_table(),
    "curves": evaluation_table().sel(simulation=[6]),
    "lossy_training": evaluation_table(n_raw=10, n_lossy=5),
    "pictures": pictures_table(),
    "verdicts": verdict_table(),
}
"""A table for each plate but those of notebook 6, by the name of its file."""
