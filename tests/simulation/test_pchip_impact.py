"""The impact: its start by hand numbers, its physics, its refusals."""

import re

import numpy as np
import pytest

from surrlab.evaluation import metrics
from surrlab.simulation import PchipImpact
from surrlab.simulation.euler import Flow

PCHIP = PchipImpact()
FLAT, GROOVE = [0.0, 0.0, 0.0, 0.0, 0.2], [0.2, -0.2, -0.2, 0.2, 0.2]
NAMES = [field.name for field in PCHIP.fields]


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
    assert copper.sum() * grid.cell_volume == pytest.approx(area, rel=1e-5)


def test_the_mirrored_impact_is_the_mirror_image_to_the_last_bit():
    grid, parameters = PCHIP.grid((32, 32)), [0.2, -0.1, 0.15, -0.25, 0.2]
    one = PCHIP.simulate(parameters, grid)
    other = PCHIP.simulate([*parameters[3::-1], 0.2], grid)[:, :, ::-1]
    sign = np.array([-1 if name == "velocity_y" else 1 for name in NAMES])
    np.testing.assert_array_equal(one, sign[:, None, None] * other)


def test_jets_grow_from_a_groove_and_not_from_a_flat_side():
    grid = PCHIP.grid((48, 48))
    flat, groove = (
        metrics.jet_length(PCHIP.simulate(p, grid)[:, 5], grid.x.width) for p in (FLAT, GROOVE)
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
        return np.sum(density, axis=(1, 2)) * grid.cell_volume

    start = totals()
    flow.advance(time)
    inflow = 6.4 * 0.2 * time * np.array([8.93, 8.93 * 0.2, 0.0, energy + PCHIP.pressure])
    np.testing.assert_allclose(totals() - start, inflow, rtol=1e-9, atol=1e-9)


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
    class Thin(PchipImpact):
        target = 0.2

    with pytest.raises(ValueError, match=r"reaches x = -0.05 cm, but the impactor ends at 0"):
        Thin().simulate([0.0, -0.25, 0.0, 0.0, 0.2], Thin().grid((32, 32)))
    Thin().simulate(FLAT, Thin().grid((32, 32)))


def test_an_impact_that_leaves_the_equation_of_state_says_where_and_when():
    grid = PCHIP.grid((32, 32))
    state = PCHIP.initial_state(FLAT, grid)
    state[1] = np.where(grid.x.centres < 0, -1.0, 1.0)  # torn apart at more than the speed of sound
    where = r"step \d+, t = \S+ µs: (density|pressure) is \S+ in the cell of row \d+, column \d+"
    with pytest.raises(FloatingPointError, match=where):
        Flow(state, grid, **PCHIP.physics(FLAT)).advance(15.0)
