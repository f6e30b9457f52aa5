"""The figures of Section IV: what is drawn and said is what the table holds."""

import numpy as np
from synthetic import (
    caption,
    generation_table,
    legend,
    race_table,
    threshold_table,
    tolerance_table,
)

from surrlab.figures import data

RAW = 4 * 48 * 16


def test_generation_loss_marks_the_medians():
    table = generation_table()
    figure = data.generation_loss(table)
    kind, error = table["kind"].values, table["normalised_l1"].values
    before, after = (np.median(error[kind == one]) for one in ("raw", "generated"))
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[1::2]] == [before, after]
    assert legend(figure)[::2] == ["trained on simulations", "trained on a model's output"]
    change = 100 * (after / before - 1)
    said = f"{abs(change):.1f} % {'above' if change > 0 else 'below'} that of models trained on sim"
    assert said in caption(figure)


def test_thresholds_choose_the_last_step_within_the_model_error():
    table = threshold_table()
    table["error"][0, :4] = 0  # lossless at the finest tolerances: no place on a logarithmic axis
    table["model_error"][5] = 1e-12  # what no tolerance of the table can respect
    table["roundoff"][2] = 0  # a field that is zero
    figure = data.thresholds(table)
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
    fits = table["ratio"].where(table["error"] <= table["model_error"]).max("setting").fillna(1)
    assert f"to the model's error {6 / float((1 / fits).sum()):.1f}×" in caption(figure)


def test_tolerances_pool_bytes_not_ratios():
    table = tolerance_table()
    tolerance = table["tolerance"].values.reshape(12, 51, 6)
    tolerance[0, :, 0] = 0.0  # lossless
    tolerance[:, 3, 1] = 0.0
    figure = data.tolerances(table)
    nbytes = table["nbytes"].values.reshape(12, 51, 6)
    np.testing.assert_allclose(figure.axes[3].lines[-1].get_ydata(), RAW / nbytes.mean((0, 2)))
    np.testing.assert_allclose(figure.axes[3].lines[0].get_ydata(), RAW / nbytes[..., 0].mean(0))
    np.testing.assert_allclose(figure.axes[3].lines[0].get_xdata(), table["time"].values[:51])
    median = np.median(tolerance[1:, :, 0], axis=0)
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), median)
    assert np.isnan(figure.axes[2].lines[1].get_ydata()[3])
    assert figure.get_suptitle().endswith(f"In all {RAW / nbytes.mean():.0f}×")
    share = 100 * nbytes[..., 5].sum() / nbytes.sum()
    assert f"Material takes most room, {share:.0f} % of the compressed bytes" in caption(figure)
    assert figure.axes[0].get_yticklabels()[1].get_text() == "velocity x\n(cm/s)"


def test_tolerances_of_simulations_of_different_lengths():
    """At a step, the median over the simulations that reach it, at their mean time."""
    table = tolerance_table((51, 7, 7))
    time = table["time"].values
    time[51:58] += 0.3  # their recorded times differ, too
    figure = data.tolerances(table)
    values = table["tolerance"].values[:, 2]
    line = figure.axes[2].lines[2]
    stacked = np.stack([values[:7], values[51:58], values[58:]])
    np.testing.assert_allclose(line.get_ydata()[:7], np.median(stacked, axis=0))
    np.testing.assert_allclose(line.get_ydata()[7:], values[7:51])
    np.testing.assert_allclose(line.get_xdata()[:7], time[58:] + 0.1)
    assert "all 65 training samples" in caption(figure)


def test_codecs_are_pooled_by_bytes_and_the_best_named():
    table = race_table()
    table["ratio_file"][2] = np.nan  # a codec that refuses the ensemble
    figure = data.codecs(table)
    assert [ax.get_title() for ax in figure.axes] == [*table["label"].values, "all fields"]
    assert legend(figure) == [*table["codec"].values, "model error"]
    ratio, used = (table[name].values for name in ("ratio_file", "l1"))
    first, together = figure.axes[3].lines[1], figure.axes[-1].lines[0]
    np.testing.assert_allclose(first.get_ydata(), ratio[1, :, 3])
    np.testing.assert_allclose(first.get_xdata(), used[1, :, 3] * [0.25, 1, 4])
    np.testing.assert_allclose(together.get_ydata(), 6 / (1 / ratio[0]).sum(-1))
    best = table["codec"].values[np.nan_to_num(ratio[:, 1]).argmax(0)]
    said = caption(figure)
    assert f"density: {best[0]};" in said and f"material: {best[5]}." in said
    assert f"zfp: {6 / (1 / ratio[0, 1]).sum():.1f}×" in said and "sperr" not in said
