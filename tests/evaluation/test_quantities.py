"""Quantities by hand numbers, on the grids and with the names of anyone."""

import dataclasses
import pickle

import numpy as np
import pytest
from ragged import of_scenario

from surrlab import evaluation
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Axis, Field, Grid, Run
from surrlab.evaluation import Quantity, quantities
from surrlab.simulation import PchipImpact, RayleighTaylor

RT, PCHIP = RayleighTaylor(), PchipImpact()
TYPICAL, GROOVE = [3.0, 1.4, 5.0], [0.2, -0.2, -0.2, 0.2, 0.2]


@pytest.fixture
def registry(monkeypatch):
    """Quantities that a test may add to."""
    monkeypatch.setattr(quantities, "_QUANTITIES", dict(quantities._QUANTITIES))


def flow(grid, names, values, n=2, parameter="p", **benchmark):
    """An ensemble of one simulation of uniform fields, number 4."""
    samples = np.ones((n, len(names), *grid.shape)) * np.reshape(values, (-1, *[1] * grid.ndim))
    return InMemoryEnsemble(
        name="theirs",
        fields=tuple(Field(name) for name in names),
        grid=grid,
        input_names=(parameter, "time"),
        input_units=("1", "h"),
        runs=(Run(4, (0.5,), tuple(map(float, range(n)))),),
        dtype="float64",
        metadata={"benchmark": benchmark},
        arrays={4: samples},
    )


def measured(ensemble):
    """Its quantities, from its own samples."""
    (s,) = ensemble.simulations
    found = quantities.quantities_of(ensemble)
    return quantities.measure(found, ensemble, s, ensemble.read_simulation(s))


def test_quantities_by_hand():
    grid = RT.grid((24, 8))
    samples = np.stack([RT.simulate(TYPICAL, grid)[0]] * 2)
    samples[1, 0], samples[1, 1], samples[1, 2] = 2.0, 0.5, -1.0  # mixed throughout, and moving
    ensemble = of_scenario(RT, grid, TYPICAL, samples)
    found = measured(ensemble)
    assert list(found) == list(RT.quantities) and {RT.curve, RT.momentum} <= set(found)
    assert all(values.shape == (2,) and values.dtype == float for values in found.values())
    assert found["mass"] == pytest.approx([2 / 3, 2 / 3])  # densities 1 and 3 on 1/3 cm²
    assert found["momentum_x"] == pytest.approx([0, 1 / 3])
    assert found["momentum_y"][1] == pytest.approx(-2 / 3)
    assert found["thickness"] == pytest.approx([0, 1], abs=1e-6)
    units = [quantity.unit for quantity in quantities.quantities_of(ensemble).values()]
    assert units == ["g/cm", "g/s", "g/s", "cm"]


def test_the_mass_and_momentum_of_copper_leave_out_the_air():
    grid = PCHIP.grid((64, 64))
    state = PCHIP.initial_state(GROOVE, grid)
    density, vx, vy, pressure, copper = state
    samples = np.stack([density, vx, vy + 1.0, pressure, pressure, copper])[None]
    ensemble = of_scenario(PCHIP, grid, GROOVE, samples)
    course = measured(ensemble)
    mass = 8.93 * copper.sum() * grid.cell_volume
    assert course["copper_mass"] == pytest.approx(mass)
    assert course["copper_momentum_y"] == pytest.approx(mass)
    assert course["copper_momentum_x"] == pytest.approx(8.93 * 0.2 * 6.4)
    assert list(course) == list(PCHIP.quantities)
    assert {PCHIP.curve, PCHIP.momentum} <= set(course)
    units = [quantity.unit for quantity in quantities.quantities_of(ensemble).values()]
    assert units == ["g/cm", "g/µs", "g/µs", "cm"]


def test_an_ensemble_has_integrals_or_those_that_it_names(registry):
    grid = Grid.uniform({"y": (4, 0, 2), "x": (3, 0, 3)})
    names, values = ("density", "velocity_x", "velocity_y"), (2.0, 3.0, -1.0)
    found = measured(flow(grid, names, values))
    assert {name: v.tolist() for name, v in found.items()} == {
        "integral_density": [12.0, 12.0],
        "integral_velocity_x": [18.0, 18.0],
        "integral_velocity_y": [-6.0, -6.0],
    }
    some = flow(grid, names, values, quantities=["momentum_y", "mass"])
    found = measured(some)
    assert list(found) == ["momentum_y", "mass"]
    assert found["mass"].tolist() == [12.0, 12.0] and found["momentum_y"].tolist() == [-12.0] * 2
    assert quantities.quantities_of(some)["momentum_y"].unit == "g/h"
    with pytest.raises(KeyError, match=r"theirs names the quantity 'heat', which nobody register"):
        quantities.quantities_of(flow(grid, names, values, quantities=["mass", "heat"]))


@pytest.mark.parametrize(
    ("axes", "unit", "expected"),
    [
        (("cm", "cm"), "g/cm³", "g/cm³ cm²"),
        (("m", "m", "m"), "J/m³", "J/m³ m³"),
        (("m",), "K", "K m"),
        (("1", "1"), "1", "1"),
        (("1", "1"), "K", "K"),
        (("deg", "m"), "1", "deg m"),
    ],
)
def test_units_of_integrals(axes, unit, expected):
    sides = zip("zyx", axes, strict=False)
    grid = Grid(tuple(Axis.uniform(name, of, 3, 0, 1) for name, of in sides))
    theirs = dataclasses.replace(flow(grid, ["u"], [2.0]), fields=(Field("u", unit, "heat"),))
    one = quantities.quantities_of(theirs)["integral_u"]
    assert (one.unit, one.label) == (expected, "integral of heat")


def test_a_static_field_has_no_integral_of_its_own():
    theirs = flow(Grid.uniform({"x": (3, 0, 3)}), ["u", "land"], [2.0, 1.0])
    fields = (Field("u"), Field("land", static=True))
    theirs = dataclasses.replace(theirs, fields=fields)
    assert list(quantities.quantities_of(theirs)) == ["integral_u"]
    assert list(quantities.quantities_of(theirs, ["integral_land"])) == ["integral_land"]


def test_quantities_of_a_user_s_module(tmp_path, monkeypatch):
    (tmp_path / "my_quantities.py").write_text(
        "from surrlab.evaluation import Quantity\n"
        "def largest_u(fields, parameters, constants, grid):\n"
        "    return fields['u'].max((-1,))\n"
        "some = [Quantity('a', 'an a', 'm/{time}', largest_u)]\n"
        "some += [Quantity('b', 'a b', '1', largest_u)]\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    theirs = flow(Grid.uniform({"x": (3, 0, 3)}), ["u"], [2.0])
    names = ["my_quantities:largest_u", "my_quantities:some", "integral_u"]
    found = quantities.quantities_of(theirs, names)
    assert [(q.label, q.unit) for q in found.values()] == [
        *(("largest u", "1"), ("an a", "m/h"), ("a b", "1"), ("integral of u", "1"))
    ]
    assert quantities.measure(found, theirs, 4, theirs.read_simulation(4))["a"].tolist() == [2, 2]
    assert list(pickle.loads(pickle.dumps(found))) == list(found)  # workers are given them
    for wrong, match in [
        ("my_quantities:number", "is int, no Quantity, list of them, function"),
        ("my_quantities:none", "cannot be imported .*none"),
        ("no_such_module:a", "'no_such_module:a' cannot be imported"),
    ]:
        with pytest.raises(ValueError, match=match):
            quantities.quantities_of(theirs, [wrong])
    with pytest.raises(KeyError, match=r"'integral_v', which nobody registered.*<field> of u"):
        quantities.quantities_of(theirs, ["integral_v"])


@pytest.mark.parametrize("scenario", [RT, PCHIP])
def test_built_in_quantities_travel_to_workers(scenario):
    found = [quantities._QUANTITIES[name] for name in scenario.quantities]
    assert [q.name for q in pickle.loads(pickle.dumps(found))] == list(scenario.quantities)


def test_a_user_s_own_takes_three_lines(registry):
    def heat(fields, parameters, constants, grid):
        return (fields["t"] * constants["c"] * parameters["p"]).sum((-2, -1)) * grid.cell_volume

    evaluation.register_quantity(Quantity("heat", "total heat", "J m^{-2}/{time}", heat))
    grid = Grid.uniform({"y": (4, 0, 2), "x": (3, 0, 3)})
    ensemble = flow(grid, ("t",), (5.0,), quantities=["heat"], constants={"c": 10.0})
    assert measured(ensemble)["heat"].tolist() == [150.0, 150.0]  # 5 × 10 × 0.5 on 6
    assert evaluation.quantities_of(ensemble)["heat"].unit == "J m^{-2}/h"


def test_what_a_quantity_lacks_is_named(registry):
    grid = Grid.uniform({"y": (4, 0, 2), "x": (3, 0, 3)})
    lacking = {
        "momentum_x": (("density",), "'velocity_x', which theirs lacks; it has density, p"),
        "thickness": (("density",), "'light', which theirs lacks; it has density, p"),
    }
    for name, (fields, message) in lacking.items():
        with pytest.raises(KeyError, match=f"the quantity '{name}' needs {message}"):
            measured(flow(grid, fields, (1.0,), quantities=[name]))
    for wrong in (5.0, np.ones(3), np.ones((2, 4, 3))):
        one = Quantity("wrong", "w", "1", lambda *_, wrong=wrong: wrong)
        with pytest.raises(ValueError, match="'wrong' must be one number for each of 2 samples"):
            quantities.measure({"wrong": one}, flow(grid, ("a",), (1.0,)), 4, np.ones((2, 1, 4, 3)))


@pytest.mark.parametrize(
    "axes",
    [
        (Axis.uniform("x", "m", 5, 0, 2),),
        (Axis("z", "m", (0.0, 1.0, 3.0)), Axis.uniform("x", "m", 5, 0, 2)),
        (Axis("z", "m", (3.0, 1.0, 0.0)), Axis("y", "m", (1.0, 2.0, 4.0, 8.0))),
        tuple(Axis.uniform(name, "m", n, 0, n / 2) for name, n in (("z", 2), ("y", 3), ("x", 4))),
    ],
    ids=["1-D", "stretched", "both stretched, one decreasing", "3-D"],
)
def test_totals_take_the_volume_of_every_cell(axes):
    """Of a uniform density: the density times the whole domain, whatever the cells."""
    grid = Grid(axes)
    volume = np.prod([axis.length for axis in axes])
    names, values = ("density", "velocity_x", "velocity_y"), (2.0, 3.0, -1.0)
    made = flow(grid, names, values, quantities=["mass", "momentum_x", "momentum_y"])
    found = measured(made)
    assert found["mass"] == pytest.approx([2 * volume] * 2)
    assert found["momentum_x"] == pytest.approx([6 * volume] * 2)
    assert found["momentum_y"] == pytest.approx([-2 * volume] * 2)


def test_totals_of_different_cells_by_hand():
    grid = Grid((Axis("z", "m", (0.0, 1.0, 3.0)),))  # cells of 1, 1.5 and 2
    made = flow(grid, ("density",), (1.0,), n=1, quantities=["mass"])
    made.arrays[4][0, 0] = [10.0, 20.0, 30.0]
    assert measured(made)["mass"].tolist() == [10 + 30 + 60]


@pytest.mark.parametrize("name", ["thickness", "jet_length"])
def test_lengths_are_refused_where_they_are_not_defined(name):
    stretched = Grid((Axis("y", "m", (0.0, 1.0, 3.0)), Axis.uniform("x", "m", 5, 0, 2)))
    cube = Grid.uniform({"z": (2, 0, 1), "y": (2, 0, 1), "x": (2, 0, 1)})
    for grid in (stretched, cube):
        benchmark = {"quantities": [name], "constants": {"light": 1.0}}
        fields = ("density", "material")
        made = flow(grid, fields, (1.0, 1.0), parameter="density_ratio", **benchmark)
        with pytest.raises(ValueError, match="defined on two axes of equal cells, not on"):
            measured(made)
