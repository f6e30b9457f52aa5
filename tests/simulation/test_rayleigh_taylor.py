"""Rayleigh-Taylor: its start by hand numbers, its physics, its refusals."""

import re

import numpy as np
import pytest

from surrlab.data.fields import Grid
from surrlab.simulation import RayleighTaylor
from surrlab.simulation.euler import Flow

RT, TYPICAL = RayleighTaylor(), [3.0, 1.4, 5.0]
NAMES = [field.name for field in RT.fields]


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
    named = dict(zip(NAMES, np.moveaxis(samples, 1, 0), strict=True))
    for name, field in named.items():
        sign = -1 if name == "velocity_x" else 1
        np.testing.assert_array_equal(field, sign * field[..., ::-1], err_msg=name)
    mass = named["density"].sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(mass, mass[0], rtol=1e-7)
    assert named["material"].min() >= 0
    assert named["material"].max() <= 1
    heavy = named["density"] * named["material"]
    height = (heavy * RT.grid(shape).y.centres[:, None]).sum(axis=(1, 2)) / heavy.sum(axis=(1, 2))
    assert height[0] == pytest.approx(0.25, abs=0.01)
    assert height[25] < -0.05  # the heavy gas has sunk


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


def test_foreign_grids_are_refused():
    with pytest.raises(ValueError, match=r"a shape \(3n, n\), not \(32, 16\)"):
        RT.grid((32, 16))
    with pytest.raises(ValueError, match="not the domain of rayleigh-taylor"):
        RT.simulate(TYPICAL, Grid.uniform({"y": (48, 0.0, 3.0), "x": (16, 0.0, 1.0)}, "cm"))
