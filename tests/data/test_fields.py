import dataclasses
import json

import numpy as np
import pytest

from surrlab.data.fields import Axis, Field, Grid, Run
from surrlab.simulation import PchipImpact, RayleighTaylor

SIX = ["density", "velocity_x", "velocity_y", "pressure", "energy", "material"]


def test_every_field_has_a_unit_and_a_label():
    fields = RayleighTaylor().fields
    assert [field.name for field in fields] == SIX
    units = {field.name: field.unit for field in PchipImpact().fields}
    assert all(units.values()) and units["velocity_y"] == "cm/µs"
    assert [f.label for f in fields][2:5] == ["velocity y", "pressure", "specific internal energy"]
    assert Field("alpha").unit == "1" and not Field("alpha").static


@pytest.mark.parametrize("name", ["", "_chunks", ".hidden", "group/field"])
def test_names_that_no_file_can_hold_are_refused(name):
    with pytest.raises(ValueError, match="a field needs a name without '/'"):
        Field(name)
    with pytest.raises(ValueError, match="an axis needs a name without '/'"):
        Axis(name, "cm", (1.0, 2.0))


def test_cells_tile_the_domain():
    grid = Grid.uniform({"y": (6, 0, 3), "x": (2, -1, 1)}, unit="cm")
    assert grid.cell_volume * 12 == pytest.approx(6)
    np.testing.assert_allclose(grid.x.centres, [-0.5, 0.5])
    assert grid.y.centres[0] == pytest.approx(0.25)
    assert grid.y.length == 3
    assert (grid.y.n, grid.y.width, grid.y.unit) == (6, 0.5, "cm")
    assert grid.is_uniform and isinstance(grid.cell_volume, float)
    assert grid["x"] is grid.x and grid.names == ("y", "x")


@pytest.mark.parametrize("ends", [(0, 0, 1), (1, 1, 1), (2, 1, 0), (2, np.nan, 1), (2, 0, np.inf)])
def test_an_impossible_grid_is_refused(ends):
    with pytest.raises(ValueError, match="axis x needs"):
        Grid.uniform({"y": (1, 0, 1), "x": ends})


@pytest.mark.parametrize(
    ("points", "ends", "message"),
    [
        ((), (), "needs finite points"),
        ((0.0, np.nan), (), "needs finite points"),
        (((0.0, 1.0),), (), "needs finite points"),
        ((0.0, 1.0, 1.0), (), "must increase, or decrease, strictly"),
        ((0.0, 2.0, 1.0), (), "must increase, or decrease, strictly"),
        ((0.0, 1.0), (0.5, 2.0), "must end around its points, 0 to 1, not at 0.5 and 2.0"),
        ((0.0, 1.0), (0.0, 0.5), "must end around its points"),
        ((1.0,), (1.0, 1.0), "must end around its points"),
        ((0.0, 1.0), (np.nan, 1.0), "must end around its points"),
        ((0.0, 1.0), (-np.inf, 1.0), "must end around its points"),
    ],
)
def test_points_that_make_no_axis_are_refused(points, ends, message):
    with pytest.raises(ValueError, match=message):
        Axis("x", "cm", points, *ends)


def test_grids_without_axes_or_with_two_of_a_name_are_refused():
    axis = Axis.uniform("x", "cm", 2, 0, 1)
    for axes in ((), (axis, axis)):
        with pytest.raises(ValueError, match="axes of different names"):
            Grid(axes)


def test_an_unknown_axis_is_named():
    line = Grid.uniform({"x": (4, 0, 1)})
    with pytest.raises(KeyError, match="no axis 'z'; it has x"):
        line["z"]
    with pytest.raises(ValueError, match="axis x alone has no rows"):
        _ = line.y


def test_the_widths_of_a_stretched_axis_tile_it():
    axis = Axis("y", "m", (0.0, 1.0, 3.0, 7.0))
    assert (axis.low, axis.high) == (-0.5, 9.0)  # half a cell beyond the outer points
    np.testing.assert_allclose(axis.widths, [1.0, 1.5, 3.0, 4.0])
    assert axis.widths.sum() == axis.length == 9.5
    assert not axis.is_uniform


def test_a_decreasing_axis_is_the_mirror_image_of_an_increasing_one():
    up, down = Axis("z", "m", (0.0, 1.0, 3.0)), Axis("z", "m", (3.0, 1.0, 0.0))
    assert (down.low, down.high) == (up.low, up.high) and down.low < down.high
    np.testing.assert_array_equal(down.widths, up.widths[::-1])
    assert Axis("z", "m", (2.0, 1.0, 0.0)).is_uniform
    assert (Axis("z", "m", (5.0,)).low, Axis("z", "m", (5.0,)).high) == (4.5, 5.5)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_whether_cells_are_alike_does_not_depend_on_the_unit(scale):
    assert Axis("x", "m", tuple(np.arange(5) * scale)).is_uniform
    assert not Axis("x", "m", tuple(np.array([0, 1, 2.1, 3]) * scale)).is_uniform


def test_the_volumes_of_different_cells_are_an_array():
    z, y = Axis("z", "m", (0.0, 1.0, 3.0)), Axis.uniform("y", "m", 2, 0.0, 4.0)
    grid = Grid((z, y))
    np.testing.assert_allclose(grid.cell_volume, np.outer([1.0, 1.5, 2.0], [2.0, 2.0]))
    assert grid.cell_volume.sum() == pytest.approx(z.length * y.length)


@pytest.mark.parametrize(
    "grid",
    [
        Grid.uniform({"y": (24, -0.5, 0.5), "x": (8, -1 / 6, 1 / 6)}, unit="cm"),
        Grid((Axis("z", "m", (3.0, 1.0, 0.0)), Axis("r", "m", (1e-7, 2e-7), 0.0, 1e-6))),
        Grid.uniform({"x": (3, 0, 1)}),
    ],
)
def test_a_grid_comes_back_from_json(grid):
    again = Grid.from_config(json.loads(json.dumps(grid.config())))
    assert again == grid and hash(again) == hash(grid)
    np.testing.assert_array_equal(again.cell_volume, grid.cell_volume)


def test_fields_and_grids_are_values():
    assert Field("a", "m") == Field("a", "m", "a") and len({Field("a"), Field("a")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Field("a").unit = "m"


@pytest.mark.parametrize(
    ("parameters", "times", "message"),
    [
        ((1.0,), (), "simulation 3 has no sample"),
        ((1.0,), (0.0, 1.0, 1.0), "must increase: 1.0 follows 1.0"),
        ((1.0,), (0.0, np.inf), "all of them must be finite"),
        ((np.nan,), (0.0,), "all of them must be finite"),
    ],
)
def test_runs_that_cannot_be_are_refused(parameters, times, message):
    with pytest.raises(ValueError, match=message):
        Run(3, parameters, times)
