"""The figures of the models: what is drawn and said is what the table holds, and bad numbers."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from synthetic import (
    FIELDS,
    LABELS,
    caption,
    evaluation_table,
    history_table,
    legend,
    lines,
    state_of,
    verdict_table,
)

from surrlab.figures import models, style


def test_a_version_has_one_colour_everywhere():
    table, colours = evaluation_table(), [to_rgb(look["color"]) for look in style.version_styles(3)]
    for figure in (models.totals(table, 0), models.psnr(table), models.momentum_band(table, 0)):
        drawn = [to_rgb(lines(figure.axes[0], label)[0].get_color()) for label in LABELS.values()]
        assert drawn == colours
    boxes = models.correlation(table).axes[0].patches
    assert [to_rgb(box.get_facecolor()) for box in boxes[5::2]] == colours


def test_momentum_band_is_mean_and_two_sigma_with_every_seed():
    table = evaluation_table()
    figure = models.momentum_band(table, 6)
    curves = table["momentum_y"].values[:, table["simulation"].values == 6]
    raw = curves[:5]
    mean, sigma = raw.mean(axis=0), raw.std(axis=0, ddof=1)
    for ax, base in zip(figure.axes, (0, mean), strict=True):
        corners = ax.collections[0].get_paths()[0].vertices
        edges = corners[1:52, 1], corners[53:104, 1][::-1]
        np.testing.assert_allclose(np.minimum(*edges), mean - 2 * sigma - base)
        np.testing.assert_allclose(np.maximum(*edges), mean + 2 * sigma - base)
        drawn = [line.get_ydata() for line in lines(ax, LABELS[4.0])]
        np.testing.assert_allclose(drawn, curves[9:11] - base)
    assert legend(figure)[:3] == ["truth", "±2σ of 5 raw models", "mean of raw models"]
    assert figure.axes[0].get_ylabel() == "total y-momentum (g/s)"
    assert figure.axes[1].get_ylabel() == "difference from the raw mean (g/s)"
    assert figure.axes[1].get_xlabel() == "time (s)"
    truth = table["truth_momentum_y"].values[table["simulation"].values == 6]
    inside = 100 * np.mean(abs(truth - mean) <= 2 * sigma)
    assert f"truth lies inside the band for {inside:.0f} % of the time" in caption(figure)
    shares = []
    for seed, curve in [*enumerate(raw), *enumerate(curves[9:11])]:
        others = np.delete(raw, seed, axis=0)
        near = abs(curve - others.mean(0)) <= 2 * others.std(0, ddof=1)
        shares.append(100 * near.mean())
    chance, harmful = np.mean(shares[:5]), np.mean(shares[5:])
    assert f"seeds: raw, which is what chance gives: {chance:.0f} %;" in caption(figure)
    assert f"34.6×: {harmful:.0f} %." in caption(figure)


def test_totals_draws_what_the_table_holds():
    table = evaluation_table()
    figure = models.totals(table, 9)
    one = table.isel(sample=table["simulation"].values == 9)
    units = [ax.get_ylabel().split("(")[1] for ax in figure.axes]
    assert units == ["g/cm)", "g/s)", "g/s)"]
    among = []
    for ax, name in zip(figure.axes, ("mass", "momentum_x", "momentum_y"), strict=True):
        assert len(ax.lines) == 5 + 6 + 1
        np.testing.assert_array_equal(lines(ax, "truth")[0].get_ydata(), one[f"truth_{name}"])
        for label, values in (("raw models", one[name][:5]), (LABELS[1.0], one[name][7:9])):
            np.testing.assert_array_equal([line.get_ydata() for line in lines(ax, label)], values)
        raw, lossy = one[name].values[:5], one[name].values[9:11]
        among.append((lossy >= raw.min(0)) & (lossy <= raw.max(0)))
    share = 100 * np.mean(among)
    assert f"34.6×: {share:.{0 if share >= 9.95 else 1}f} %. Chance gives 67 %" in caption(figure)
    (ax,) = models.totals(table, 9, ["thickness"]).axes
    assert ax.get_ylabel() == "mixing-layer thickness (cm)"


def test_simulations_may_differ_in_length():
    table = evaluation_table(n_raw=3, factors=(1.0,), lengths=(51, 7, 30))
    for draw in (models.totals, models.momentum_band):
        for simulation, n in ((0, 51), (3, 7), (6, 30)):
            assert {len(line.get_xdata()) for line in draw(table, simulation).axes[0].lines} == {n}
    assert "over 3 test simulations" in caption(models.correlation(table))


def test_names_and_labels_come_from_the_table():
    """A benchmark of other quantities, that move sideways: the figures know none of the names."""
    names = {"thickness": "jet", "momentum_y": "push", "mass": "copper"}
    names |= {f"truth_{old}": f"truth_{new}" for old, new in names.items()}
    names |= {"thickness_correlation": "jet_correlation"}
    table = evaluation_table().rename(names).assign_attrs(curve="jet", momentum="push")
    table["push"].attrs |= {"long_name": "momentum of copper", "units": "g/µs"}
    table["jet"].attrs["long_name"] = "jet length"
    table["time"].attrs["units"] = "µs"
    band = models.momentum_band(table, 0)
    assert band.get_suptitle().startswith("Momentum of copper of simulation 0")
    assert band.axes[0].get_ylabel() == "momentum of copper (g/µs)"
    assert band.axes[1].get_xlabel() == "time (µs)"
    drawn = [ax.get_ylabel() for ax in models.totals(table, 0).axes]
    assert drawn == ["total mass (g/cm)", "total x-momentum (g/s)", "momentum of copper (g/µs)"]
    boxes = models.correlation(table)
    assert boxes.get_suptitle().startswith("Jet length: ")
    for figure in (models.totals(table, 0), boxes):
        assert not any("mixing" in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("n", [1, 2, 9])
def test_any_number_of_fields(n):
    table = evaluation_table(factors=(), lengths=(20,)).isel(field=np.arange(n) % 6)
    names = [f"f{k}" for k in range(n)]
    figure = models.psnr(table.assign_coords(field=names, label=("field", names)))
    assert [ax.get_title() for ax in figure.axes] == names


def test_correlation_boxes_leave_out_nan():
    table = evaluation_table(factors=(1.0,))
    table["thickness_correlation"][0, 0] = np.nan  # a thickness that never changes
    table["thickness_correlation"][1] = 1.0
    table["thickness_correlation"][2] = np.nan
    figure = models.correlation(table)
    ax = figure.axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["raw\n0", "\n1", "\n2", "\n3", "\n4", "21.7×\n0", "\n1"]
    medians = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2][4::5]
    expected = 1 - table["thickness_correlation"].median("test_simulation").values
    assert medians[0] == pytest.approx(expected[0])
    assert ax.yaxis_inverted() and ax.get_yscale() == "log"
    labels = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert labels[0.02] == "0.98"
    lossy = np.nanmedian(table["thickness_correlation"][5:])
    assert f"; 21.7×: {lossy:.4f}." in caption(figure)


def test_psnr_has_a_curve_per_model_raw_or_lossy():
    table = evaluation_table(n_raw=4, n_lossy=3)
    figure = models.psnr(table)
    assert [len(ax.lines) for ax in figure.axes] == [4 + 9] * 6
    assert [len(lines(figure.axes[0], label)) for label in LABELS.values()] == [3, 3, 3]
    assert figure.axes[3].get_title() == "pressure"
    assert {ax.get_xlabel() for ax in figure.axes} == {"PSNR (dB)"}
    for line in figure.axes[0].lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.01)
    psnr, factor = table["psnr"].values, table["factor"].values
    shift = np.median(psnr[factor == 4], axis=(0, 1)) - np.median(psnr[factor == 0], axis=(0, 1))
    field = [*FIELDS.values()][shift.argmin()][0]
    assert f"34.6×: {shift.min():+.2f} dB ({field})".replace("-", "−") in caption(figure)


def test_psnr_of_constant_and_infinite_values():
    table = evaluation_table()
    table["psnr"][:, :, 0] = 40.0
    table["psnr"][:, 0, 1] = np.inf
    table["psnr"][3, :, 2] = np.nan
    table["psnr"][:, :, 4] = np.inf
    figure = models.psnr(table)
    assert set(figure.axes[0].lines[0].get_xdata()) == {40.0}
    assert figure.axes[1].get_title() == "velocity x\n11 of 2244 not finite"
    assert [len(ax.lines) for ax in figure.axes] == [5 + 6] * 6
    assert "nan" not in caption(figure) and "inf" not in caption(figure)


def test_figures_without_lossy_models():
    table = evaluation_table(factors=())
    psnr, correlation = models.psnr(table), models.correlation(table)
    assert not any("×" in label for label in legend(psnr) + legend(correlation))
    band = models.momentum_band(table, 0)
    assert legend(band)[3:] == ["raw models"] and "lossy" not in band.get_suptitle()
    assert [len(lines(ax, "raw models")) for ax in band.axes] == [5, 5]
    assert legend(models.totals(table, 0)) == ["raw models", "truth"]
    for figure in (band, psnr, correlation):
        assert "×" not in caption(figure)


def test_what_cannot_be_drawn_is_refused():
    table = evaluation_table()
    with pytest.raises(KeyError, match="no simulation 7; there are 0, 3, 6, 9"):
        models.totals(table, 7)
    with pytest.raises(ValueError, match="at least two raw models; the table holds 1"):
        models.momentum_band(evaluation_table(n_raw=1), 0)
    with pytest.raises(ValueError, match="holds none"):
        models.psnr(table.isel(model=slice(5, None)))
    two = caption(models.momentum_band(evaluation_table(n_raw=2), 0))
    assert "nan" not in two and "chance" not in two


def test_an_ensemble_without_quantities_is_refused_with_a_reason():
    table = evaluation_table()
    foreign = table[["psnr", "normalised_l1"]].drop_attrs(deep=False)
    with pytest.raises(ValueError, match="the ensemble names no curve quantity"):
        models.correlation(foreign)
    with pytest.raises(ValueError, match="the ensemble names no momentum quantity"):
        models.momentum_band(foreign, 0)
    with pytest.raises(ValueError, match="no quantities to draw"):
        models.totals(foreign, 0)


def rows_of(figure):
    """Low, shift, bound, row and colour of every score that is drawn, a list per version."""
    ax = figure.axes[0]
    *whiskers, _ = (c for c in ax.collections if isinstance(c, LineCollection))  # last: the grid
    markers = [c for c in ax.collections if isinstance(c, PathCollection)]
    for limits, points in zip(whiskers, markers, strict=True):
        ends = np.array([segment[:, 0] for segment in limits.get_segments()])
        colours = [to_hex(colour) for colour in points.get_facecolors()]
        assert colours == [to_hex(colour) for colour in limits.get_colors()]
        yield ends, points.get_offsets(), colours


def test_position_relative_to_the_margin_is_the_state():
    table = verdict_table()
    figure = models.verdict(table)
    trained = table.isel(version=[0, 1, 2, 3, 5])
    drawn = list(rows_of(figure))
    assert len(drawn) == 5
    margin = table["margin"].values
    for k, (ends, points, colours) in enumerate(drawn):
        np.testing.assert_allclose(points[:, 0], trained["shift"][k] / margin)
        np.testing.assert_allclose(ends[:, 0], trained["low"][k] / margin)
        np.testing.assert_allclose(ends[:, 1], trained["bound"][k] / margin)
        states = [state_of(*pair) for pair in ends]
        assert states == trained["state"][k].values.tolist()
        assert colours == [style.STATE_COLORS[state] for state in states]
    rows = np.sort(np.concatenate([points[:, 1] for _, points, _ in drawn]))
    assert len(np.unique(rows.round(6))) == 55  # a row for each score of each version


def test_verdict_says_what_the_table_says():
    table = verdict_table()
    figure = models.verdict(table)
    ax = figure.axes[0]
    expected = ["L1 error (5 %)", "PSNR of density (0.5 dB)"]
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == expected
    assert ax.get_yticklabels()[8].get_text() == "error of total x-momentum (2 % of range)"
    assert ax.get_yticklabels()[10].get_text() == "correlation of mixing-layer thickness (0.01)"
    assert [label for label in legend(figure) if label.strip()] == [
        "within the margin (in brackets at each score)",
        "10.9× (tolerance ×1/8): benign",
        "13.4× (tolerance ×1/4): small",
        "17.1× (tolerance ×1/2): undecided",
        "21.7× (tolerance ×1): undecided",
        "34.6× (tolerance ×4): harmful",
        *(f"a score that is {state}" for state in style.STATE_COLORS),
    ]
    assert ax.patches[0].get_x() == -1 and ax.patches[0].get_width() == 2
    low, high = ax.get_xlim()
    assert high > float((table["bound"] / table["margin"]).max()) and low < -1
    said = caption(figure)
    assert "(95 %)" in said and "Not trained: zfp ×2." in said and "not judged" not in said
    for version in (0, 1, 2, 3, 5):
        state, reason = (str(table[name].values[version]) for name in ("verdict", "reason"))
        count = int((table["state"][version] == state).sum())
        ratio = float(table["ratio"][version])
        assert f"{ratio:.1f}×, {state} in {count} of 11 scores: {reason}." in said


def test_a_score_without_a_margin_is_reported_and_not_judged():
    table = verdict_table()
    table["margin"][4] = np.nan
    table["state"][:, 4] = "not judged"
    figure = models.verdict(table)
    assert len(figure.axes[0].get_yticks()) == 10
    assert "Not judged, for want of a margin: PSNR of pressure." in caption(figure)
    with pytest.raises(ValueError, match="no version has a verdict yet"):
        models.verdict(table.isel(version=[4]))


def test_verdict_of_one_pair_of_seeds_and_of_no_spread():
    table = verdict_table()
    table["low"][0], table["bound"][0] = -np.inf, np.inf
    for name in ("shift", "low", "bound"):
        table[name][1, 0] = np.nan
    figure = models.verdict(table)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert np.isfinite(ax.get_xlim()).all()
    (low, high), *_ = next(rows_of(figure))[0]  # across the picture, and seen
    assert -np.inf < low < ax.get_xlim()[0] and ax.get_xlim()[1] < high < np.inf


def test_history_draws_every_model_and_names_each_version_once():
    table = history_table()
    figure = models.history(table)
    assert len(figure.axes[0].lines) == 11
    assert legend(figure) == ["raw models", *LABELS.values()]
    last = table["loss"][:, -1].values
    assert f"between {last.min():.3g} and {last.max():.3g} in the last" in caption(figure)
