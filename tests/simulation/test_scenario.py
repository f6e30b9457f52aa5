"""The benchmarks: their parameters, their starts by hand numbers, their physics, their refusals."""

import json
import re

import numpy as np
import pytest

from surrlab import simulation
from surrlab.data import fields
from surrlab.simulation import pchip_impact, rayleigh_taylor, scenario
from surrlab.simulation.euler import Flow

RT, PCHIP = rayleigh_taylor.RayleighTaylor(), pchip_impact.PchipImpact()
BOTH = pytest.mark.parametrize("scenario", [RT, PCHIP], ids=lambda s: s.name)
FLAT, GROOVE = [0.0, 0.0, 0.0, 0.0, 0.2], [0.2, -0.2, -0.2, 0.2, 0.2]
TYPICAL = [3.0, 1.4, 5.0]


@BOTH
def test_samples_fill_the_ranges_and_do_not_depend_on_how_many_are_drawn(scenario):
    many = scenario.sample(1000, seed=7)
    low, high = np.array([(p.low, p.high) for p in scenario.parameters]).T
    assert np.all((low <= many) & (many <= high))
    np.testing.assert_allclose(many.mean(axis=0), (low + high) / 2, atol=0.05 * (high - low).max())
    np.testing.assert_array_equal(scenario.sample(3, seed=7), many[:3])
    assert not np.any(scenario.sample(3, seed=8) == many[:3])


def test_inputs_are_parameters_then_time():
    inputs = RT.inputs(TYPICAL)
    assert inputs.shape == (51, 4)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs[:, :3], np.tile(np.float32(TYPICAL), (51, 1)))
    np.testing.assert_allclose(inputs[:, 3], np.arange(51) * 0.2, rtol=1e-6)


def test_initial_state_by_hand():
    grid = RT.grid((48, 16))
    density, vx, vy, pressure, material = RT.initial_state(TYPICAL, grid)
    assert RT.densities(TYPICAL) == (1.0, 3.0)
    assert np.all(density[:24] == 1.0)
    assert np.all(density[24:] == 3.0)
    np.testing.assert_array_equal(material, density == 3.0)
    assert not np.any(vx)
    # The push is 0.01 v_init in the middle of the domain; the centres lie half a cell beside it.
    centre = (1 + np.cos(6 * np.pi / 96)) * (1 + np.cos(2 * np.pi / 96)) / 4
    assert vy.max() == pytest.approx(0.05 * centre)
    np.testing.assert_allclose(vy[23:25, 7:9], vy.max())
    assert pressure[0, 0] == pytest.approx(10 - 1 / 96)
    assert pressure[-1, 0] == pytest.approx(10 - 0.5 - 3 * 0.5 + 3 / 96)


@pytest.mark.parametrize("shape", [(48, 16), (27, 9)])
def test_half_of_the_domain_is_heavy_gas_on_any_grid(shape):
    density, _, _, _, material = RT.initial_state(TYPICAL, RT.grid(shape))
    assert density.mean() == pytest.approx((1.0 + 3.0) / 2)
    assert (density * material).mean() == pytest.approx(3.0 / 2)


@pytest.mark.parametrize("shape", [(48, 16), (27, 9)])
def test_a_simulation_is_symmetric_keeps_its_mass_and_overturns(shape):
    samples = RT.simulate(TYPICAL, RT.grid(shape))
    assert samples.shape == (51, 6, *shape)
    assert samples.dtype == np.float32
    named = dict(zip(scenario.NAMES, np.moveaxis(samples, 1, 0), strict=True))
    for name, field in named.items():
        sign = -1 if name == "velocity_x" else 1
        np.testing.assert_array_equal(field, sign * field[..., ::-1], err_msg=name)
    mass = named["density"].sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(mass, mass[0], rtol=1e-7)
    assert named["material"].min() >= 0
    assert named["material"].max() <= 1
    heavy = named["density"] * named["material"]
    height = (heavy * RT.grid(shape).y_centres[:, None]).sum(axis=(1, 2)) / heavy.sum(axis=(1, 2))
    assert height[0] == pytest.approx(0.25, abs=0.01)
    assert height[25] < -0.05  # the heavy gas has sunk


def test_quantities_by_hand():
    grid = RT.grid((24, 8))
    samples = np.stack([RT.simulate(TYPICAL, grid)[0]] * 2)
    samples[1, 0], samples[1, 1], samples[1, 2] = 2.0, 0.5, -1.0  # mixed throughout, and moving
    found = RT.measure(samples, TYPICAL, grid)
    assert list(found) == list(RT.quantities) and {RT.curve, RT.momentum} <= set(found)
    assert all(values.shape == (2,) and values.dtype == float for values in found.values())
    assert found["mass"] == pytest.approx([2 / 3, 2 / 3])  # densities 1 and 3 on 1/3 cm²
    assert found["momentum_x"] == pytest.approx([0, 1 / 3])
    assert found["momentum_y"][1] == pytest.approx(-2 / 3)
    assert found["thickness"] == pytest.approx([0, 1], abs=1e-6)
    units = [quantity.unit for quantity in RT.quantities.values()]
    assert units == ["g/cm", "g/s", "g/s", "cm"]


def test_nothing_moves_without_the_push():
    grid = RT.grid((48, 16))
    state = RT.initial_state([6.7, 1.1, 10.0], grid)
    state[2] = 0.0
    flow = Flow(state, grid, **RT.physics([6.7, 1.1, 10.0]))
    flow.advance(1.0)
    assert np.abs(flow.primitive[1:3]).max() < 1e-11


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([7.0, 1.4, 5.0], "density_ratio must lie in [1.1, 6.7] 1, not 7.0"),
        ([3.0, 1.0, 5.0], "gamma must lie in [1.1, 1.6] 1, not 1.0"),
        ([3.0, 1.4, np.nan], "v_init must lie in [0.6, 10.0] cm/s, not nan"),
        ([3.0, 1.4], "takes 3 parameters (density_ratio, gamma, v_init), not 2"),
    ],
)
def test_parameters_that_are_none_are_refused(parameters, message):
    for method in (RT.inputs, RT.densities, lambda p: RT.simulate(p, RT.grid((24, 8)))):
        with pytest.raises(ValueError, match=re.escape(message)):
            method(parameters)


@BOTH
def test_the_ends_of_the_ranges_survive_float32(scenario):
    scenario.inputs(np.float32([p.low for p in scenario.parameters]))
    scenario.inputs(np.float32([p.high for p in scenario.parameters]))


def test_foreign_grids_are_refused():
    with pytest.raises(ValueError, match=r"a shape \(3n, n\), not \(32, 16\)"):
        RT.grid((32, 16))
    with pytest.raises(ValueError, match="not the domain of rayleigh-taylor"):
        RT.simulate(TYPICAL, fields.Grid(48, 16, (0.0, 1.0), (0.0, 3.0)))


@BOTH
def test_config_is_json_and_leads_back_to_the_scenario(scenario):
    config = json.loads(json.dumps(scenario.config()))
    assert config == scenario.config()
    assert simulation.by_name(config["name"]) == scenario


def test_unknown_scenarios_are_refused():
    with pytest.raises(KeyError, match="'rt'; there is rayleigh-taylor, pchip-impact"):
        simulation.by_name("rt")


def test_impact_begins_as_by_hand():
    grid = PCHIP.grid((64, 64))
    density, vx, vy, pressure, copper = PCHIP.initial_state(FLAT, grid)
    np.testing.assert_allclose(copper[:, :15], 1, rtol=1e-12)  # x = -1 to 0.5, cells of 0.1 cm
    np.testing.assert_allclose(copper[:, 15:], 0, atol=1e-12)
    np.testing.assert_allclose(density, 8.93 * copper + 1.2e-3 * (1 - copper))
    np.testing.assert_allclose(vx[:, :10], 0.2)
    np.testing.assert_allclose(vx[:, 10:], 0, atol=1e-12)
    assert not np.any(vy)
    assert np.all(pressure == 1e-6)
    copper_law, air_law = PCHIP.materials
    bulk = copper_law.gamma * (1e-6 + copper_law.p_inf)
    assert np.sqrt(bulk / 8.93) == pytest.approx(0.394)
    assert air_law.p_inf == 0


@pytest.mark.parametrize("n", [33, 64])
def test_interface_goes_through_its_control_points_and_keeps_its_volume(n):
    controls = [0.1, -0.25, 0.25, 0.0]
    x = PCHIP.interface([*controls, 0.2], np.linspace(-3.2, 3.2, 4))
    np.testing.assert_allclose(x, 0.5 + np.array(controls))
    fine = PCHIP.interface([*controls, 0.2], np.linspace(-3.2, 3.2, 10_001))
    assert fine.min() == pytest.approx(0.25)  # monotone between its points
    assert fine.max() == pytest.approx(0.75)
    grid = PCHIP.grid((n, n))
    copper = PCHIP.initial_state([*controls, 0.2], grid)[4]
    area = np.trapezoid(fine, dx=6.4 / 10_000) + 6.4 * 1.0
    assert copper.sum() * grid.cell_area == pytest.approx(area, rel=1e-5)


def test_the_mirrored_impact_is_the_mirror_image_to_the_last_bit():
    grid, parameters = PCHIP.grid((32, 32)), [0.2, -0.1, 0.15, -0.25, 0.2]
    one = PCHIP.simulate(parameters, grid)
    other = PCHIP.simulate([*parameters[3::-1], 0.2], grid)[:, :, ::-1]
    sign = np.array([-1 if name == "velocity_y" else 1 for name in scenario.NAMES])
    np.testing.assert_array_equal(one, sign[:, None, None] * other)


def test_jets_grow_from_a_groove_and_not_from_a_flat_side():
    grid = PCHIP.grid((48, 48))
    flat, groove = (
        PCHIP.measure(PCHIP.simulate(p, grid), p, grid)["jet_length"] for p in (FLAT, GROOVE)
    )
    assert np.all(np.abs(flat) < 1e-6)
    curve = PCHIP.interface(GROOVE, np.linspace(*PCHIP.y, 10_001))  # between -0.2 and 0.2
    assert groove[0] == pytest.approx(np.diff(np.quantile(curve, (0.05, 0.95)))[0], abs=0.02)
    # Turned inside out first, as from heavy to light it must, then longer than ever.
    lowest = groove.argmin()
    assert groove[lowest] < 0.2
    assert np.all(np.diff(groove[lowest + 3 :]) > 0)
    assert groove[-1] > 0.55
    assert np.linalg.norm(flat) < 1e-5 * np.linalg.norm(groove)


def test_mass_momentum_and_energy_are_conserved_until_something_leaves():
    """Until the shock reaches the left side, at 2.9 µs, only the impactor crosses it."""
    grid, time = PCHIP.grid((64, 64)), 0.6
    flow = Flow(PCHIP.initial_state(GROOVE, grid), grid, **PCHIP.physics(GROOVE))
    energy = 8.93 * (flow.internal_energy[0, 0] + 0.2**2 / 2)

    def totals():
        rho, vx, vy, _, _ = flow.primitive
        density = [rho, rho * vx, rho * vy, rho * (flow.internal_energy + (vx**2 + vy**2) / 2)]
        return np.sum(density, axis=(1, 2)) * grid.cell_area

    start = totals()
    flow.advance(time)
    inflow = 6.4 * 0.2 * time * np.array([8.93, 8.93 * 0.2, 0.0, energy + PCHIP.pressure])
    np.testing.assert_allclose(totals() - start, inflow, rtol=1e-9, atol=1e-9)


def test_the_mass_and_momentum_of_copper_leave_out_the_air():
    grid = PCHIP.grid((64, 64))
    state = PCHIP.initial_state(GROOVE, grid)
    density, vx, vy, pressure, copper = state
    samples = np.stack([density, vx, vy + 1.0, pressure, pressure, copper])[None]
    course = PCHIP.measure(samples, GROOVE, grid)
    mass = 8.93 * copper.sum() * grid.cell_area
    assert course["mass"] == pytest.approx(mass)
    assert course["momentum_y"] == pytest.approx(mass)
    assert course["momentum_x"] == pytest.approx(8.93 * 0.2 * 6.4)
    assert list(course) == list(PCHIP.quantities)
    assert {PCHIP.curve, PCHIP.momentum} <= set(course)


def test_any_impact_runs_to_its_end_without_help():
    """Random ones and the sharpest corners: the volume fraction keeps to [0, 1] by itself."""
    grid = PCHIP.grid((48, 48))
    corners = [[0.25, -0.25, 0.25, -0.25, 0.22], [-0.25, 0.25, 0.25, -0.25, 0.22]]
    for parameters in [*corners, *PCHIP.sample(14, seed=1)]:
        samples = PCHIP.simulate(parameters, grid)
        density, pressure, material = samples[:, 0], samples[:, 3], samples[:, 5]
        assert np.isfinite(samples).all()
        assert 0 <= material.min() <= material.max() <= 1
        assert density.min() > 0
        assert 0.3 < pressure.max() < 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([0.0, 0.3, 0.0, 0.0, 0.2], "control_2 must lie in [-0.25, 0.25] cm, not 0.3"),
        ([0.0, 0.0, 0.0, np.nan, 0.2], "control_4 must lie in [-0.25, 0.25] cm, not nan"),
        ([0.0, 0.0, 0.0, 0.0, 0.3], "velocity must lie in [0.18, 0.22] cm/µs, not 0.3"),
        ([0.0, 0.0, 0.0, 0.2], "takes 5 parameters (control_1, control_2, control_3, control_4,"),
    ],
)
def test_impacts_that_are_none_are_refused(parameters, message):
    for method in (PCHIP.inputs, lambda p: PCHIP.simulate(p, PCHIP.grid((32, 32)))):
        with pytest.raises(ValueError, match=re.escape(message)):
            method(parameters)


def test_grids_that_cannot_show_the_impact_are_refused():
    with pytest.raises(ValueError, match=r"needs a square shape, not \(32, 64\)"):
        PCHIP.grid((32, 64))
    with pytest.raises(ValueError, match=r"cells of 0.256 cm are too coarse .* 26 x 26 cells"):
        PCHIP.grid((25, 25))
    PCHIP.grid((26, 26))


def test_an_interface_that_crosses_the_impactor_is_refused():
    class Thin(pchip_impact.PchipImpact):
        target = 0.2

    with pytest.raises(ValueError, match=r"reaches x = -0.05 cm, but the impactor ends at 0"):
        Thin().simulate([0.0, -0.25, 0.0, 0.0, 0.2], Thin().grid((32, 32)))
    Thin().simulate(FLAT, Thin().grid((32, 32)))


def test_an_impact_that_leaves_the_equation_of_state_says_where_and_when():
    grid = PCHIP.grid((32, 32))
    state = PCHIP.initial_state(FLAT, grid)
    state[1] = np.where(grid.x_centres < 0, -1.0, 1.0)  # torn apart at more than the speed of sound
    where = r"step \d+, t = \S+ µs: (density|pressure) is \S+ in the cell of row \d+, column \d+"
    with pytest.raises(FloatingPointError, match=where):
        Flow(state, grid, **PCHIP.physics(FLAT)).advance(15.0)
