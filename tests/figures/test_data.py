"""The pictures of the data: what is drawn and said is what the table holds."""

import numpy as np
import pytest
from synthetic import (
    bars,
    caption,
    compressed_table,
    evolution_table,
    legend,
    sample_stack,
    threshold_table,
    tolerance_table,
)

from surrlab.figures import data, style


def test_evolution_shares_limits_in_a_row():
    table = evolution_table(("density", "velocity_y"), columns=3)
    figure = data.evolution(table)
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels[:3]] == ["0 s", "5 s", "10 s"]
    shown = sample_stack()[[0, 25, 50]]
    reach = abs(shown[:, 2]).max()  # of both signs: centred on zero
    limits = (shown[:, 0].min(), shown[:, 0].max()), (-reach, reach)
    for row, field, clim in zip((panels[:3], panels[3:]), (0, 2), limits, strict=True):
        for ax, values in zip(row, shown[:, field], strict=True):
            assert ax.images[0].get_clim() == clim
            np.testing.assert_array_equal(ax.images[0].get_array(), values)
            assert ax.images[0].origin == "lower"  # row 0 is the bottom
    assert [bar.get_ylabel() for bar in bars(figure)] == ["density\n(g/cm³)", "velocity y\n(cm/s)"]
    assert "density ratio 4" in figure.get_suptitle()
    low, high = (round(float(value), 2) for value in limits[0])  # a range of 3
    assert f"Heavy gas falls. Density lies between {low:g} and {high:g} g/cm³" in caption(figure)
    assert "16 × 48 cells, x from −0.17 to 0.17 cm, y from −0.5 to 0.5 cm" in caption(figure)


def test_evolution_tells_time_in_its_unit():
    table = evolution_table(columns=4)
    table["time"].attrs["units"] = "µs"
    panels = [ax for ax in data.evolution(table).axes if ax.images]
    assert panels[-1].get_title() == "10 µs"


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
    fits = table["ratio"].where(table["error"] <= table["model_error"]).max("exponent").fillna(1)
    assert f"kept to the model's error {6 / float((1 / fits).sum()):.1f}×" in caption(figure)


def test_tolerances_pool_bytes_not_ratios():
    table = tolerance_table()
    table["tolerance"][0, :, 0] = 0.0  # lossless
    table["tolerance"][:, 3, 1] = 0.0
    figure = data.tolerances(table)
    total = 4 * 48 * 16 / table["nbytes"].mean(["simulation", "field"])
    np.testing.assert_allclose(figure.axes[3].lines[-1].get_ydata(), total)
    density = 4 * 48 * 16 / table["nbytes"].sel(field="density").mean("simulation")
    np.testing.assert_allclose(figure.axes[3].lines[0].get_ydata(), density)
    median = np.median(table["tolerance"].values[1:, :, 0], axis=0)
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), median)
    assert np.isnan(figure.axes[2].lines[1].get_ydata()[3])
    assert f"{4 * 48 * 16 / float(table['nbytes'].mean()):.1f}×" in figure.get_suptitle()
    share = 100 * float(table["nbytes"].sel(field="material").sum() / table["nbytes"].sum())
    assert f"Material takes most room, {share:.0f} % of the compressed bytes" in caption(figure)
    assert figure.axes[0].get_yticklabels()[1].get_text() == "velocity x\n(cm/s)"


@pytest.mark.parametrize(
    ("low", "high", "limits"),
    [
        (1.0, 9.0, (1.0, 9.0)),
        (-0.3, 0.5, (-0.5, 0.5)),
        (-0.5, 0.3, (-0.5, 0.5)),
        (-0.1, 0.5, (-0.1, 0.5)),  # the slight tension behind a shock is no second sign
        (-5.0, 0.0, (-5.0, 0.0)),
        (0.0, 0.0, (0.0, 0.0)),
    ],
)
def test_a_field_of_both_signs_is_centred_on_zero(low, high, limits):
    look = style.scale(np.array([low, high, (low + high) / 2]))
    assert look["clim"] == limits
    assert look["cmap"] == ("cividis" if limits[0] == -limits[1] != 0 else "viridis")


def test_compressed_names_ratios_and_quality():
    table = compressed_table()
    figure = data.compressed(table)
    rows = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert rows == ["raw", "20×", "50×"]
    good, poor = (
        f"density {loss} %, pressure {loss} %, specific internal energy {loss} %"
        for loss in (0.42, 31)
    )
    assert f"of the field: 20×: {good}; 50×: {poor}." in caption(figure)
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), table["energy"][0].T)
