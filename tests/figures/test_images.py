"""The figures of fields: what is drawn and said is what the table holds."""

import numpy as np
import pytest
from synthetic import (
    X,
    Y,
    bars,
    caption,
    compressed_table,
    evolution_table,
    fields_table,
    pictures_table,
    sample_stack,
)

from surrlab.figures import images


def test_evolution_shares_limits_in_a_row():
    table = evolution_table(("density", "velocity_y"), columns=3)
    figure = images.evolution(table)
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels[:3]] == ["0 s", "5 s", "10 s"]
    samples = sample_stack()[[0, 25, 50]]
    largest = abs(samples[:, 2]).max()  # of both signs: centred on zero
    limits = (samples[:, 0].min(), samples[:, 0].max()), (-largest, largest)
    for row, field, clim in zip((panels[:3], panels[3:]), (0, 2), limits, strict=True):
        for ax, values in zip(row, samples[:, field], strict=True):
            assert ax.images[0].get_clim() == clim
            np.testing.assert_array_equal(ax.images[0].get_array(), values)
            assert ax.images[0].origin == "lower"  # row 0 is the bottom
    assert [bar.get_ylabel() for bar in bars(figure)] == ["density\n(g/cm³)", "velocity y\n(cm/s)"]
    assert panels[0].get_ylabel() == "y (cm)"
    assert "density ratio 4" in figure.get_suptitle()
    low, high = (round(float(value), 2) for value in limits[0])  # a range of 3
    assert f"Heavy gas falls. Density lies between {low:g} and {high:g} g/cm³" in caption(figure)
    assert "16 × 48 cells, x from −0.17 to 0.17 cm, y from −0.5 to 0.5 cm" in caption(figure)


def test_evolution_tells_everything_in_the_tables_units():
    table = evolution_table(columns=4).rename(x="longitude", y="height")
    table["time"].attrs["units"] = "µs"
    table["longitude"].attrs["units"], table["height"].attrs["units"] = "°", "km"
    table = table.assign_coords(label=("field", ["humidity"]), unit=("field", ["1"]))
    figure = images.evolution(table.drop_attrs(deep=False).assign_attrs(title="", description=""))
    panels = [ax for ax in figure.axes if ax.images]
    assert panels[-1].get_title() == "10 µs" and panels[0].get_ylabel() == "height (km)"
    assert caption(figure).startswith("Humidity lies between 1 and 4, on one")
    assert "longitude from −0.17 to 0.17 °, height from −0.5 to 0.5 km." in caption(figure)


def test_axes_of_two_units_are_drawn_as_their_cells():
    table = evolution_table()
    assert images.aspect(table) == pytest.approx(3)
    table["y"].attrs["units"] = "K"
    table["y"].attrs["extent"] = [200.0, 900.0]
    assert images.aspect(table) == 3  # 48 rows of 16
    figure = images.evolution(table)
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert box.height / box.width == pytest.approx(3, rel=0.01)


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
    look = images.color_scale(np.array([low, high, (low + high) / 2]))
    assert look["clim"] == limits
    assert look["cmap"] == ("cividis" if limits[0] == -limits[1] != 0 else "viridis")


def test_side_by_side_lies_on_its_side_and_keeps_the_truths_limits():
    table = pictures_table(["pressure"])
    table["fields"][3] *= 2  # beyond the truth's limits
    samples = table["fields"].values[:, 0]
    figure = images.side_by_side(table)
    left, right = figure.axes[0:8:2], figure.axes[1:8:2]
    assert [ax.get_ylabel() for ax in left] == list(table["model"])
    for ax, sample in zip(left, samples, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), sample.T)
        assert ax.images[0].get_clim() == (samples[0].min(), samples[0].max())
        assert ax.images[0].get_extent() == [*Y, *X]
    assert not right[0].images
    for ax, sample in zip(right[1:], samples[1:], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), abs(sample - samples[0]).T)
        assert ax.images[0].get_clim() == right[1].images[0].get_clim()
    assert [bar.get_xlabel() for bar in bars(figure)] == ["g/(cm s²)"] * 2
    error = abs(samples - samples[0]).mean((1, 2))
    relative = f"21.7× model: {error[2] / error[1]:.2f}; 34.6× model: {error[3] / error[1]:.2f}."
    assert f"units of the raw model's, over the fields shown: {relative}" in caption(figure)


def test_side_by_side_of_a_perfect_model_on_a_wide_grid():
    sample = np.arange(480.0).reshape(6, 8, 10)
    table = fields_table(np.stack([sample] * 2), "model", x=(-1, 4), y=(-2, 2))
    figure = images.side_by_side(table.assign_coords(model=["truth", "raw"]))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), sample[0])
    assert figure.axes[7].images[0].get_clim() == (0, 1)
    assert "side" not in caption(figure)


def test_compressed_names_ratios_and_quality():
    table = compressed_table()
    figure = images.compressed(table)
    rows = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert rows == ["raw", "20×", "50×"]
    good, poor = (
        f"density {loss} %, pressure {loss} %, specific internal energy {loss} %"
        for loss in (0.42, 31)
    )
    assert f"of the field: 20×: {good}; 50×: {poor}." in caption(figure)
    energy = table["fields"].values[0, 2]
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), energy.T)
