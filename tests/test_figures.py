"""Every figure from a synthetic table: what is drawn is what the table holds, and bad numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from surrlab import figures
from surrlab.fields import LABELS, NAMES, Grid, units

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


def verdict_tables():
    rng = np.random.default_rng(2)
    tables = {}
    for level, centre, state in ((0.125, 0.0, "benign"), (1.0, 1.2, None), (4.0, 30.0, "harmful")):
        shift = centre + rng.normal(0, 0.5 + 0.3 * abs(centre), 11)
        half = rng.uniform(0.4, 1.2, 11) * (1 + centre / 10)
        frame = pd.DataFrame(
            {
                "label": list(SCORES.values()),
                "shift": shift,
                "low": shift - half,
                "high": shift + half,
                "sigma": 1.0,
            },
            index=pd.Index(list(SCORES), name="metric"),
        )
        frame["state"] = state or np.where(frame["high"] < 2, "benign", "inconclusive")
        tables[figures.level_label(level, RATIOS[level])] = frame * 1
    return tables


def histories():
    epoch = np.arange(25)
    labels = [f"raw seed {s}" for s in range(5)]
    labels += [f"lossy ×{k} seed {s}" for k in ("0.125", "1", "4") for s in range(2)]
    return {
        label: pd.DataFrame({"epoch": epoch, "loss": np.exp(-epoch / 8) + 0.13 + 0.003 * i})
        for i, label in enumerate(labels)
    }


def generation_errors():
    rng = np.random.default_rng(3)
    names = ["trained on simulations"] * 900 + ["trained on a model's output"] * 300
    return pd.DataFrame({"model": names, "l1": np.exp(rng.normal(-2, 0.25, 1200))})


def pictures():
    return [sample_stack(blur=blur)[30] for blur in (0.0, 0.01, 0.02, 0.2)]


DRAW = {
    "evolution": lambda: figures.evolution(sample_stack(), GRID, times=TIMES, units=units()),
    "side_by_side": lambda: figures.side_by_side(
        pictures(), ["simulation", "raw model", "21.7× model", "34.6× model"], GRID, units=units()
    ),
    "history": lambda: figures.history(histories()),
    "momentum_band": lambda: figures.momentum_band(evaluation_table(), 6),
    "conserved": lambda: figures.conserved(evaluation_table(), 6),
    "correlation": lambda: figures.correlation(evaluation_table(n_raw=10, n_lossy=5)),
    "psnr": lambda: figures.psnr(evaluation_table()),
    "generation_loss": lambda: figures.generation_loss(generation_errors()),
    "thresholds": lambda: figures.thresholds(threshold_table()),
    "tolerances": lambda: figures.tolerances(tolerance_table()),
    "verdict": lambda: figures.verdict(verdict_tables()),
}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def bars(figure):
    """Axes of the colour bars."""
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


@pytest.mark.parametrize("name", DRAW)
def test_nothing_is_clipped(name, tmp_path):
    figure = DRAW[name]()
    figure.savefig(tmp_path / f"{name}.png")
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 10 and box.y1 <= figure.get_figheight()
    assert figure.get_suptitle()
    assert not plt.get_fignums()  # pyplot knows nothing of it, so a notebook can draw hundreds


@pytest.mark.parametrize("n", range(1, 7))
def test_styles_darken_and_differ(n):
    looks = figures.styles(n)
    greys = [np.dot(to_rgb(look["color"]), (0.299, 0.587, 0.114)) for look in looks]
    assert greys == sorted(greys, reverse=True)
    assert len({str(look["ls"]) for look in looks}) == len({look["color"] for look in looks}) == n


def test_level_has_one_colour_everywhere():
    table, colours = evaluation_table(), [to_rgb(look["color"]) for look in figures.styles(3)]
    labels = [figures.level_label(*pair) for pair in RATIOS.items()]
    for figure in (
        figures.conserved(table, 0),
        figures.psnr(table),
        figures.momentum_band(table, 0),
    ):
        found = [to_rgb(lines(figure.axes[0], label)[0].get_color()) for label in labels]
        assert found == colours
    boxes = figures.correlation(table).axes[0].patches
    assert [to_rgb(box.get_facecolor()) for box in boxes[5::2]] == colours
    whiskers = figures.verdict(verdict_tables()).axes[0].collections
    drawn = {tuple(np.round(c.get_edgecolor()[0][:3], 6)) for c in whiskers}
    assert {tuple(np.round(c, 6)) for c in colours} <= drawn


def test_evolution_shares_limits_in_a_row():
    samples, names = sample_stack(), ("density", "velocity_y")
    figure = figures.evolution(
        samples, GRID, times=TIMES, units=units(), fields=names, columns=3, title="density ratio 4"
    )
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels[:3]] == ["0 s", "5 s", "10 s"]
    for row, field in zip((panels[:3], panels[3:]), (0, 2), strict=True):
        shown = samples[[0, 25, 50], field]
        for ax, values in zip(row, shown, strict=True):
            assert ax.images[0].get_clim() == (shown.min(), shown.max())
            np.testing.assert_array_equal(ax.images[0].get_array(), values)
            assert ax.images[0].origin == "lower"  # row 0 is the bottom
    assert [bar.get_ylabel() for bar in bars(figure)] == ["density\n(g/cm³)", "velocity y\n(cm/s)"]
    assert "density ratio 4" in figure.get_suptitle()


def test_evolution_tells_time_in_the_unit_of_the_fields():
    figure = figures.evolution(sample_stack(4), GRID, times=range(4), units=units("µs"))
    assert [ax.get_title() for ax in figure.axes if ax.images][1] == "1 µs"


def test_side_by_side_lies_on_its_side_and_keeps_the_truths_limits():
    samples = pictures()
    samples[3][3] *= 2  # beyond the truth's limits
    figure = figures.side_by_side(samples, list("abcd"), GRID, units=units(), fields=["pressure"])
    left, right = figure.axes[0:8:2], figure.axes[1:8:2]
    assert [ax.get_ylabel() for ax in left] == list("abcd")
    for ax, sample in zip(left, samples, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), sample[3].T)
        assert ax.images[0].get_clim() == (samples[0][3].min(), samples[0][3].max())
        assert ax.images[0].get_extent() == [*GRID.y, *GRID.x]
    assert not right[0].images
    for ax, sample in zip(right[1:], samples[1:], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), abs(sample[3] - samples[0][3]).T)
        assert ax.images[0].get_clim() == right[1].images[0].get_clim()
    assert [bar.get_xlabel() for bar in bars(figure)] == ["g/(cm s²)"] * 2


def test_side_by_side_of_a_perfect_model_on_a_wide_grid():
    grid = Grid(8, 10, (-1, 4), (-2, 2))
    sample = np.arange(480.0).reshape(6, 8, 10)
    figure = figures.side_by_side([sample, sample], ["truth", "raw"], grid, units=units("µs"))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), sample[0])
    assert figure.axes[7].images[0].get_clim() == (0, 1)


def test_momentum_band_is_mean_and_two_sigma():
    table = evaluation_table()
    figure = figures.momentum_band(table, 6)
    raw = table["momentum_y"].sel(simulation=6).values[:5]
    mean, sigma = raw.mean(axis=0), raw.std(axis=0, ddof=1)
    for ax, less in zip(figure.axes, (0, mean), strict=True):
        corners = ax.collections[0].get_paths()[0].vertices
        edges = corners[1:52, 1], corners[53:104, 1][::-1]
        np.testing.assert_allclose(np.minimum(*edges), mean - 2 * sigma - less)
        np.testing.assert_allclose(np.maximum(*edges), mean + 2 * sigma - less)
        first = table["momentum_y"].sel(simulation=6, model="x4 0").values
        (line,) = lines(ax, "34.6× (tolerance ×4)")
        np.testing.assert_allclose(line.get_ydata(), first - less)
    assert legend(figure)[:3] == ["truth", "±2σ of 5 raw models", "mean of raw models"]
    assert figure.axes[0].get_ylabel() == "total y-momentum (g/s)"
    assert figure.axes[1].get_xlabel() == "time (s)"


def test_conserved_draws_what_the_table_holds():
    table = evaluation_table()
    figure = figures.conserved(table, 9)
    units_shown = [ax.get_ylabel().split("(")[1] for ax in figure.axes]
    assert units_shown == ["g/cm)", "g/s)", "g/s)"]
    for ax, name in zip(figure.axes, ("mass", "momentum_x", "momentum_y"), strict=True):
        one = table.sel(simulation=9)
        assert len(ax.lines) == 5 + 3 + 1
        np.testing.assert_array_equal(lines(ax, "truth")[0].get_ydata(), one[f"truth_{name}"])
        drawn = [line.get_ydata() for line in lines(ax, "raw models")]
        np.testing.assert_array_equal(drawn, one[name][:5])
        (line,) = lines(ax, "21.7× (tolerance ×1)")
        np.testing.assert_array_equal(line.get_ydata(), one[name].sel(model="x1 0"))
    (ax,) = figures.conserved(table, 9, ["thickness"]).axes
    assert ax.get_ylabel() == "mixing-layer thickness (cm)"


def test_names_and_labels_come_from_the_table():
    """A benchmark of other quantities, that move sideways: the figures know none of the names."""
    names = {"thickness": "jet", "momentum_y": "push", "mass": "copper"}
    names |= {f"truth_{old}": f"truth_{new}" for old, new in names.items()}
    names |= {"thickness_correlation": "jet_correlation"}
    table = evaluation_table().rename(names).assign_attrs(curve="jet", momentum="push")
    table["push"].attrs |= {"long_name": "momentum of copper", "units": "g/µs"}
    table["jet"].attrs["long_name"] = "jet length"
    band = figures.momentum_band(table, 0)
    assert band.get_suptitle().startswith("Momentum of copper of simulation 0")
    assert band.axes[0].get_ylabel() == "momentum of copper (g/µs)"
    shown = [ax.get_ylabel() for ax in figures.conserved(table, 0).axes]
    assert shown == ["total mass (g/cm)", "total x-momentum (g/s)", "momentum of copper (g/µs)"]
    boxes = figures.correlation(table)
    assert boxes.get_suptitle().startswith("Jet length: ")
    for drawn in (figures.conserved(table, 0), boxes):
        assert not any("mixing" in text.get_text() for text in drawn.findobj(Text))


def test_correlation_boxes_leave_out_nan():
    table = evaluation_table(ratios={1.0: 21.7})
    table["thickness_correlation"][0, 0] = np.nan  # a thickness that never changes
    table["thickness_correlation"][1] = 1.0
    table["thickness_correlation"][2] = np.nan
    ax = figures.correlation(table).axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["raw\n0", "\n1", "\n2", "\n3", "\n4", "21.7×\n0", "\n1"]
    medians = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2][4::5]
    expected = 1 - table["thickness_correlation"].median("simulation").values
    assert medians[0] == pytest.approx(expected[0])
    assert ax.yaxis_inverted() and ax.get_yscale() == "log"
    labels = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert labels[0.02] == "0.98"


def test_psnr_has_a_curve_a_raw_model_and_one_a_level():
    figure = figures.psnr(evaluation_table(n_raw=4, n_lossy=3))
    assert [len(ax.lines) for ax in figure.axes] == [4 + 3] * 6
    assert figure.axes[3].get_title() == "pressure"
    assert {ax.get_xlabel() for ax in figure.axes} == {"PSNR (dB)"}
    for line in figure.axes[0].lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.01)


def test_psnr_of_constant_and_infinite_values():
    table = evaluation_table()
    table["psnr"][:, :, :, 0] = 40.0
    table["psnr"][:, 0, 0, 1] = np.inf
    table["psnr"][3, :, :, 2] = np.nan
    figure = figures.psnr(table)
    assert set(figure.axes[0].lines[0].get_xdata()) == {40.0}
    assert figure.axes[1].get_title() == "velocity x\n11 of 2244 not finite"
    assert [len(ax.lines) for ax in figure.axes] == [5 + 3] * 6


def test_figures_without_lossy_models():
    table = evaluation_table(ratios={})
    for draw in (figures.psnr, figures.correlation):
        assert not any("×" in label for label in legend(draw(table)))
    band = figures.momentum_band(table, 0)
    assert len(legend(band)) == 3 and "lossy" not in band.get_suptitle()
    assert legend(figures.conserved(table, 0)) == ["raw models", "truth"]


def test_what_cannot_be_drawn_is_refused():
    table = evaluation_table()
    with pytest.raises(KeyError, match="no simulation 7; there are 0, 3, 6, 9"):
        figures.conserved(table, 7)
    with pytest.raises(ValueError, match="at least two raw models; the evaluation holds 1"):
        figures.momentum_band(evaluation_table(n_raw=1), 0)
    with pytest.raises(ValueError, match="holds none"):
        figures.psnr(table.isel(model=slice(5, None)))


def test_generation_loss_marks_the_medians():
    errors = generation_errors()
    figure = figures.generation_loss(errors)
    medians = errors.groupby("model", sort=False)["l1"].median()
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[1::2]] == list(medians)
    assert legend(figure)[::2] == list(medians.index)


def test_thresholds_choose_the_last_step_within_the_model_error():
    table = threshold_table()
    table["error"][0, :4] = 0  # lossless at the finest tolerances: no place on a logarithmic axis
    table["model_error"][5] = 1e-12  # what no tolerance of the table can respect
    table["roundoff"][2] = 0  # a field that is zero
    figure = figures.thresholds(table)
    relative = (table["error"] / table["model_error"]).values
    np.testing.assert_allclose(figure.axes[0].lines[2].get_ydata(), relative[1])
    last = np.flatnonzero(relative[1] <= 1)[-1]
    assert figure.axes[0].lines[3].get_ydata() == [relative[1, last]]
    assert relative[1, last + 1] > 1
    noise = (table["roundoff"] / table["model_error"]).values
    assert figure.axes[0].patches[0].get_y() == noise[noise > 0].min()
    labels = legend(figure)
    assert labels[1] == f"velocity x: {float(table['ratio'][1, last]):.1f}×"
    assert labels[5] == "material: none"


def test_tolerances_pool_bytes_not_ratios():
    table = tolerance_table()
    table["tolerance"][0, :, 0] = 0.0  # lossless
    table["tolerance"][:, 3, 1] = 0.0
    figure = figures.tolerances(table)
    total = 4 * 48 * 16 / table["nbytes"].mean(["simulation", "field"])
    np.testing.assert_allclose(figure.axes[3].lines[-1].get_ydata(), total)
    density = 4 * 48 * 16 / table["nbytes"].sel(field="density").mean("simulation")
    np.testing.assert_allclose(figure.axes[3].lines[0].get_ydata(), density)
    median = np.median(table["tolerance"].values[1:, :, 0], axis=0)
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), median)
    assert np.isnan(figure.axes[2].lines[1].get_ydata()[3])
    assert f"{4 * 48 * 16 / float(table['nbytes'].mean()):.1f}×" in figure.get_suptitle()
    assert figure.axes[0].get_yticklabels()[1].get_text() == "velocity x\n(cm/s)"


def test_verdict_places_every_score_and_names_every_state():
    tables = verdict_tables()
    tables["34.6× (tolerance ×4)"].loc["mass", "state"] = "inconclusive"
    figure = figures.verdict(tables, margin=3)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(SCORES.values())
    assert legend(figure)[1:] == [
        "10.9× (tolerance ×1/8): benign",
        "21.7× (tolerance ×1): inconclusive",
        "34.6× (tolerance ×4): harmful",
    ]
    assert ax.patches[0].get_x() == -3 and ax.patches[0].get_width() == 6
    points = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) == 11]
    for found, table in zip(points, tables.values(), strict=True):
        np.testing.assert_allclose(found[:, 0], table["shift"] / table["sigma"])
    low, high = ax.get_xlim()
    assert high > max(table["high"].max() for table in tables.values()) and low < -3


def test_verdict_of_one_pair_of_seeds_and_of_no_spread():
    tables = verdict_tables()
    first, second, _ = tables.values()
    first[["low", "high"]] = -np.inf, np.inf
    second.loc["mass", "sigma"] = 0.0
    second.loc["l1", ["shift", "low", "high"]] = np.nan
    figure = figures.verdict(tables)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert np.isfinite(ax.get_xlim()).all()
    (low, _), (high, _) = ax.collections[0].get_segments()[1]  # across the picture, and seen
    assert -np.inf < low < ax.get_xlim()[0] and ax.get_xlim()[1] < high < np.inf


def test_history_draws_every_model_and_names_each_kind_once():
    figure = figures.history(histories())
    assert len(figure.axes[0].lines) == 11
    assert legend(figure) == [
        "raw models",
        "lossy ×0.125 models",
        "lossy ×1 models",
        "lossy ×4 models",
    ]
