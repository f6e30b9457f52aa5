"""The pictures of the models: what is drawn and said is what the table holds, and bad numbers."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from synthetic import (
    GRID,
    RATIOS,
    SCORES,
    bars,
    caption,
    evaluation_table,
    fields_table,
    generation_errors,
    history_table,
    legend,
    lines,
    pictures_table,
    verdict_table,
)

from surrlab.data.fields import Grid
from surrlab.figures import models, style
from surrlab.simulation.scenario import LABELS


@pytest.mark.parametrize("n", range(1, 7))
def test_styles_darken_and_differ(n):
    looks = style.styles(n)
    greys = [np.dot(to_rgb(look["color"]), (0.299, 0.587, 0.114)) for look in looks]
    assert greys == sorted(greys, reverse=True)
    assert len({str(look["ls"]) for look in looks}) == len({look["color"] for look in looks}) == n


def test_level_has_one_colour_everywhere():
    table, colours = evaluation_table(), [to_rgb(look["color"]) for look in style.styles(3)]
    labels = [style.level_label(*pair) for pair in RATIOS.items()]
    for figure in (
        models.totals(table, 0),
        models.psnr(table),
        models.momentum_band(table, 0),
    ):
        found = [to_rgb(lines(figure.axes[0], label)[0].get_color()) for label in labels]
        assert found == colours
    boxes = models.correlation(table).axes[0].patches
    assert [to_rgb(box.get_facecolor()) for box in boxes[5::2]] == colours
    whiskers = models.verdict(verdict_table()).axes[0].collections
    drawn = {tuple(np.round(c.get_edgecolor()[0][:3], 6)) for c in whiskers}
    assert {tuple(np.round(c, 6)) for c in colours} <= drawn


def test_side_by_side_lies_on_its_side_and_keeps_the_truths_limits():
    table = pictures_table(["pressure"])
    table["pressure"][3] *= 2  # beyond the truth's limits
    samples = table["pressure"].values
    figure = models.side_by_side(table)
    left, right = figure.axes[0:8:2], figure.axes[1:8:2]
    assert [ax.get_ylabel() for ax in left] == list(table["model"])
    for ax, sample in zip(left, samples, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), sample.T)
        assert ax.images[0].get_clim() == (samples[0].min(), samples[0].max())
        assert ax.images[0].get_extent() == [*GRID.y, *GRID.x]
    assert not right[0].images
    for ax, sample in zip(right[1:], samples[1:], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), abs(sample - samples[0]).T)
        assert ax.images[0].get_clim() == right[1].images[0].get_clim()
    assert [bar.get_xlabel() for bar in bars(figure)] == ["g/(cm s²)"] * 2
    error = abs(samples - samples[0]).mean((1, 2))
    told = f"21.7× model: {error[2] / error[1]:.2f}; 34.6× model: {error[3] / error[1]:.2f}."
    assert f"units of the raw model's, over the fields shown: {told}" in caption(figure)


def test_side_by_side_of_a_perfect_model_on_a_wide_grid():
    grid = Grid(8, 10, (-1, 4), (-2, 2))
    sample = np.arange(480.0).reshape(6, 8, 10)
    rows = {"model": ["truth", "raw"]}
    figure = models.side_by_side(fields_table(np.stack([sample] * 2), rows, grid))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), sample[0])
    assert figure.axes[7].images[0].get_clim() == (0, 1)


def test_momentum_band_is_mean_and_two_sigma():
    table = evaluation_table()
    figure = models.momentum_band(table, 6)
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
    shares = {"truth": table["truth_momentum_y"].sel(simulation=6).values, "34.6×": first}
    for who, curve in shares.items():
        share = 100 * np.mean(abs(curve - mean) <= 2 * sigma)
        assert f"{who}: {share:.0f} %" in caption(figure)


def test_totals_draws_what_the_table_holds():
    table = evaluation_table()
    figure = models.totals(table, 9)
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
    shown, among = table.sel(simulation=9), []
    for name in ("mass", "momentum_x", "momentum_y"):
        raw, lossy = shown[name].values[:5], shown[name].sel(model="x4 0").values
        among.append((lossy >= raw.min(0)) & (lossy <= raw.max(0)))
    assert f"34.6×: {100 * np.mean(among):.0f} %." in caption(figure)
    (ax,) = models.totals(table, 9, ["thickness"]).axes
    assert ax.get_ylabel() == "mixing-layer thickness (cm)"


def test_names_and_labels_come_from_the_table():
    """A benchmark of other quantities, that move sideways: the figures know none of the names."""
    names = {"thickness": "jet", "momentum_y": "push", "mass": "copper"}
    names |= {f"truth_{old}": f"truth_{new}" for old, new in names.items()}
    names |= {"thickness_correlation": "jet_correlation"}
    table = evaluation_table().rename(names).assign_attrs(curve="jet", momentum="push")
    table["push"].attrs |= {"long_name": "momentum of copper", "units": "g/µs"}
    table["jet"].attrs["long_name"] = "jet length"
    band = models.momentum_band(table, 0)
    assert band.get_suptitle().startswith("Momentum of copper of simulation 0")
    assert band.axes[0].get_ylabel() == "momentum of copper (g/µs)"
    shown = [ax.get_ylabel() for ax in models.totals(table, 0).axes]
    assert shown == ["total mass (g/cm)", "total x-momentum (g/s)", "momentum of copper (g/µs)"]
    boxes = models.correlation(table)
    assert boxes.get_suptitle().startswith("Jet length: ")
    for drawn in (models.totals(table, 0), boxes):
        assert not any("mixing" in text.get_text() for text in drawn.findobj(Text))


def test_correlation_boxes_leave_out_nan():
    table = evaluation_table(ratios={1.0: 21.7})
    table["thickness_correlation"][0, 0] = np.nan  # a thickness that never changes
    table["thickness_correlation"][1] = 1.0
    table["thickness_correlation"][2] = np.nan
    figure = models.correlation(table)
    ax = figure.axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["raw\n0", "\n1", "\n2", "\n3", "\n4", "21.7×\n0", "\n1"]
    medians = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2][4::5]
    expected = 1 - table["thickness_correlation"].median("simulation").values
    assert medians[0] == pytest.approx(expected[0])
    assert ax.yaxis_inverted() and ax.get_yscale() == "log"
    labels = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert labels[0.02] == "0.98"
    lossy = np.nanmedian(table["thickness_correlation"][5:])
    assert f"; 21.7×: {lossy:.4f}." in caption(figure)


def test_psnr_has_a_curve_a_raw_model_and_one_a_level():
    table = evaluation_table(n_raw=4, n_lossy=3)
    figure = models.psnr(table)
    assert [len(ax.lines) for ax in figure.axes] == [4 + 3] * 6
    assert figure.axes[3].get_title() == "pressure"
    assert {ax.get_xlabel() for ax in figure.axes} == {"PSNR (dB)"}
    for line in figure.axes[0].lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.01)
    middle = table["psnr"].groupby("level").median(["model", "simulation", "time"])
    shift = middle.sel(level=4) - middle.sel(level=0)
    field = LABELS[shift.idxmin().item()]
    assert f"34.6×: {float(shift.min()):+.2f} dB ({field})".replace("-", "−") in caption(figure)


def test_psnr_of_constant_and_infinite_values():
    table = evaluation_table()
    table["psnr"][:, :, :, 0] = 40.0
    table["psnr"][:, 0, 0, 1] = np.inf
    table["psnr"][3, :, :, 2] = np.nan
    figure = models.psnr(table)
    assert set(figure.axes[0].lines[0].get_xdata()) == {40.0}
    assert figure.axes[1].get_title() == "velocity x\n11 of 2244 not finite"
    assert [len(ax.lines) for ax in figure.axes] == [5 + 3] * 6


def test_figures_without_lossy_models():
    table = evaluation_table(ratios={})
    for draw in (models.psnr, models.correlation):
        assert not any("×" in label for label in legend(draw(table)))
    band = models.momentum_band(table, 0)
    assert len(legend(band)) == 3 and "lossy" not in band.get_suptitle()
    assert legend(models.totals(table, 0)) == ["raw models", "truth"]
    for figure in (band, models.psnr(table), models.correlation(table)):
        assert "×" not in caption(figure)


def test_what_cannot_be_drawn_is_refused():
    table = evaluation_table()
    with pytest.raises(KeyError, match="no simulation 7; there are 0, 3, 6, 9"):
        models.totals(table, 7)
    with pytest.raises(ValueError, match="at least two raw models; the evaluation holds 1"):
        models.momentum_band(evaluation_table(n_raw=1), 0)
    with pytest.raises(ValueError, match="holds none"):
        models.psnr(table.isel(model=slice(5, None)))


def test_generation_loss_marks_the_medians():
    errors = generation_errors()
    figure = models.generation_loss(errors)
    medians = errors.groupby("model", sort=False)["l1"].median()
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[1::2]] == list(medians)
    assert legend(figure)[::2] == list(medians.index)
    change = 100 * (medians.iloc[1] / medians.iloc[0] - 1)
    told = f"{abs(change):.1f} % {'above' if change > 0 else 'below'} that of models trained on sim"
    assert told in caption(figure)


def test_verdict_places_every_score_and_names_every_state():
    table = verdict_table().assign_attrs(margin=3.0)
    table["state"][2, 7] = "inconclusive"
    figure = models.verdict(table)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(SCORES.values())
    assert legend(figure)[1:] == [
        "10.9× (tolerance ×1/8): benign",
        "21.7× (tolerance ×1): inconclusive",
        "34.6× (tolerance ×4): harmful",
    ]
    assert ax.patches[0].get_x() == -3 and ax.patches[0].get_width() == 6
    points = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) == 11]
    for found, one in zip(points, table["shift"] / table["sigma"], strict=True):
        np.testing.assert_allclose(found[:, 0], one)
    low, high = ax.get_xlim()
    assert high > float(table["high"].max()) and low < -3
    unclear = int((table["state"][1] == "inconclusive").sum())
    said = f"11 scores: 10.9×: 11 benign; 21.7×: {unclear} inconclusive; 34.6×: 10 harmful."
    assert said in caption(figure) and "no score is worse by 3σ" in caption(figure)


def test_verdict_of_one_pair_of_seeds_and_of_no_spread():
    table = verdict_table()
    table["low"][0], table["high"][0] = -np.inf, np.inf
    table["sigma"][1, 7] = 0.0
    for name in ("shift", "low", "high"):
        table[name][1, 0] = np.nan
    figure = models.verdict(table)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert np.isfinite(ax.get_xlim()).all()
    (low, _), (high, _) = ax.collections[0].get_segments()[1]  # across the picture, and seen
    assert -np.inf < low < ax.get_xlim()[0] and ax.get_xlim()[1] < high < np.inf


def test_history_draws_every_model_and_names_each_kind_once():
    table = history_table()
    figure = models.history(table)
    assert len(figure.axes[0].lines) == 11
    assert legend(figure) == ["raw models", *(style.level_label(*one) for one in RATIOS.items())]
    last = table["loss"][:, -1].values
    assert f"between {last.min():.3g} and {last.max():.3g} in the last" in caption(figure)
