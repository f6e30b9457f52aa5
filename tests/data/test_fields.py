import numpy as np
import pytest

from surrlab.data.fields import Grid
from surrlab.simulation.scenario import NAMES, index, units


def test_every_field_has_a_unit():
    assert set(units()) == set(NAMES)
    assert units("µs")["velocity_y"] == "cm/µs"


def test_cells_tile_the_domain():
    grid = Grid(6, 2, x=(-1, 1), y=(0, 3))
    assert grid.cell_area * 12 == pytest.approx(6)
    np.testing.assert_allclose(grid.x_centres, [-0.5, 0.5])
    assert grid.y_centres[0] == pytest.approx(0.25)
    assert grid.height == 3


@pytest.mark.parametrize("arguments", [(0, 1, (0, 1), (0, 1)), (1, 1, (1, 1), (0, 1))])
def test_an_impossible_grid_is_refused(arguments):
    with pytest.raises(ValueError, match=r"cell|extent of x"):
        Grid(*arguments)


def test_an_unknown_field_is_named():
    assert [index(name) for name in NAMES] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(KeyError, match=r"no field 'temperature'; there are density, velocity_x"):
        index("temperature")
