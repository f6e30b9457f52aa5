"""The solver against exact solutions, linear theory, conservation, symmetry and pyro-hydro."""

import numpy as np
import pytest
from scipy.optimize import brentq

from surrlab.fields import Grid
from surrlab.hydro import Flow, evolve
from surrlab.scenarios import RayleighTaylor

GAMMA = 1.4
K = 6 * np.pi  # wave number of one wave across RT's domain, 1/cm


def sod(x, t, gamma=GAMMA):
    """Density of the exact solution of Sod's Riemann problem with its diaphragm at x = 0."""
    (rl, pl), (rr, pr) = (1.0, 1.0), (0.125, 0.1)
    cl, g = np.sqrt(gamma * pl / rl), gamma

    def u_left(p):  # behind the rarefaction
        return 2 * cl / (g - 1) * (1 - (p / pl) ** ((g - 1) / (2 * g)))

    def u_right(p):  # behind the shock
        return (p - pr) * np.sqrt(2 / rr / ((g + 1) * p + (g - 1) * pr))

    p = brentq(lambda p: u_left(p) - u_right(p), pr, pl, xtol=1e-14)
    u, ratio, h = u_left(p), p / pr, (g - 1) / (g + 1)
    r_left, r_right = rl * (p / pl) ** (1 / g), rr * (ratio + h) / (h * ratio + 1)
    shock = np.sqrt(g * pr / rr) * np.sqrt((ratio * (g + 1) + g - 1) / (2 * g))
    tail = u - np.sqrt(g * p / r_left)
    s = x / t
    fan = rl * (2 / (g + 1) - h * s / cl) ** (2 / (g - 1))
    return np.select([s < -cl, s < tail, s < u, s < shock], [rl, fan, r_left, r_right], rr)


def sod_tube(cells, axis=0, drift=0.0):
    """State at t = 0.2 of Sod's tube along x (axis 0) or y (1), drifting along x in the latter."""
    shape, sides = ((3, cells), (cells, 3))[axis], ((-0.5, 0.5), (0.0, 3.0))
    grid = Grid(*shape, *(sides if axis == 0 else sides[::-1]))
    x, y = np.meshgrid(grid.x_centres, grid.y_centres)
    left = (x, y)[axis] < 0
    zero = np.zeros(shape)
    state = [np.where(left, 1, 0.125), zero + drift, zero, np.where(left, 1, 0.1), zero]
    flow = Flow(state, grid, gamma=GAMMA, periodic=axis == 1)
    flow.advance(0.2)
    return flow.primitive


def rippled(shape, seed=0):
    """A state with large, smooth, periodic ripples and no symmetry, and its grid."""
    grid = Grid(*shape, (0.0, 1.0), (0.0, shape[0] / shape[1]))
    x, y = np.meshgrid(2 * np.pi * grid.x_centres, 2 * np.pi * grid.y_centres)
    a = np.random.default_rng(seed).uniform(0, 2 * np.pi, (5, 2))
    waves = np.array([np.sin(x + b) * np.cos(2 * y + c) for b, c in a])
    return np.array([2, 0, 0, 2, 0.5])[:, None, None] + waves * 0.5, grid


def stirred(ratio=3.0, shape=(48, 16)):
    scenario = RayleighTaylor()
    grid = scenario.grid(shape)
    state = scenario.initial_state([ratio, GAMMA, 5.0], grid)
    return state, grid, Flow(state, grid, gamma=GAMMA, gravity=1.0)


def test_sod_converges_to_the_exact_solution_at_first_order():
    cells = np.array([50, 100, 200, 400])
    errors = []
    for n in cells:
        x = (np.arange(n) + 0.5) / n - 0.5
        errors.append(np.abs(sod_tube(n)[0, 1] - sod(x, 0.2)).mean())
    order = -np.polyfit(np.log(cells), np.log(errors), 1)[0]
    assert 0.8 < order < 1.2
    assert errors[-1] < 0.002


def test_x_and_y_are_treated_alike():
    along_y = sod_tube(64, axis=1).transpose(0, 2, 1)
    np.testing.assert_array_equal(sod_tube(64), along_y[[0, 2, 1, 3, 4]])


def test_a_steady_sideways_drift_changes_nothing():
    drifting, still = sod_tube(64, axis=1, drift=0.7), sod_tube(64, axis=1)
    np.testing.assert_allclose(drifting[1], 0.7, rtol=1e-12)
    np.testing.assert_allclose(drifting[[0, 2, 3]], still[[0, 2, 3]], atol=1e-12)


def test_smooth_advection_is_second_order():
    errors = []
    for n in (64, 128, 256):
        grid = Grid(2, n, (0.0, 1.0), (0.0, 2 / n))
        wave = 1 + 0.2 * np.sin(2 * np.pi * grid.x_centres)
        state = np.stack([np.broadcast_to(v, (2, n)) for v in (wave, 1.0, 0.0, 1.0, wave / 2)])
        flow = Flow(state, grid, gamma=GAMMA, periodic=True)
        flow.advance(1.0)  # once around
        errors.append(np.abs(flow.primitive - state)[[0, 4]].mean(axis=(1, 2)))
    assert np.all(np.log2(np.divide(errors[:-1], errors[1:])) > 1.85)


def test_ripples_grow_as_linear_theory_says():
    scenario, ratio = RayleighTaylor(), 2.0
    grid = scenario.grid((192, 64))
    x, y = grid.x_centres[None], grid.y_centres[:, None]
    # Irrotational and divergence-free, slow (Mach 3e-4), of a length far below the scale height.
    v = 1e-3 * np.exp(-K * abs(y))
    density = np.where(y > 0, ratio, 1.0) + 0 * x
    state = [
        density,
        np.sign(y) * v * np.sin(K * x),
        v * np.cos(K * x),
        10 - density * y,
        density > 1,
    ]
    flow = Flow(state, grid, gamma=GAMMA, gravity=1.0)

    def amplitude():
        return (flow.primitive[2, 95:97] * np.cos(K * x)).mean()

    start = amplitude()
    flow.advance(0.6)
    rate = np.arccosh(amplitude() / start) / 0.6  # from a flat interface: v ~ cosh(rate t)
    atwood = (ratio - 1) / (ratio + 1)
    assert rate == pytest.approx(np.sqrt(atwood * 1.0 * K), rel=0.1)


def test_mass_material_and_total_energy_are_conserved_to_round_off():
    _, grid, flow = stirred()

    def totals():
        rho, vx, vy, p, material = flow.primitive
        energy = p / (GAMMA - 1) + rho * ((vx**2 + vy**2) / 2 + grid.y_centres[:, None])
        return np.array([rho.sum(), (rho * material).sum(), energy.sum()])

    start = totals()
    flow.advance(4.0)
    assert np.ptp(flow.primitive[2]) > 0.5  # it did move
    np.testing.assert_allclose(totals(), start, rtol=1e-12)


def test_momentum_is_conserved_where_nothing_pushes():
    state, grid = rippled((16, 24))
    flow = Flow(state, grid, gamma=GAMMA, periodic=True)
    flow.advance(0.3)
    before, after = (state[0] * state[1]).sum(), (flow.primitive[0] * flow.primitive[1]).sum()
    assert after == pytest.approx(before, abs=1e-11)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("width", [5, 16, 23])
def test_the_mirror_image_evolves_to_the_mirror_image_to_the_last_bit(periodic, width):
    state, grid = rippled((11, width))
    mirror = np.array([1, -1, 1, 1, 1])[:, None, None]
    flows = [
        Flow(s, grid, gamma=GAMMA, gravity=1.0, periodic=periodic)
        for s in (state, mirror * state[..., ::-1])
    ]
    for flow in flows:
        flow.advance(0.5)
    np.testing.assert_array_equal(flows[0].primitive, mirror * flows[1].primitive[..., ::-1])


@pytest.mark.parametrize("ratio", [1.1, 6.7])
@pytest.mark.parametrize("shape", [(48, 16), (27, 9)])
def test_layers_at_rest_stay_at_rest(ratio, shape):
    state, grid, _ = stirred(ratio, shape)
    state[2] = 0.0
    flow = Flow(state, grid, gamma=GAMMA, gravity=1.0)
    flow.advance(2.0)
    assert flow.steps > 100
    np.testing.assert_allclose(flow.primitive, state, rtol=0, atol=1e-11)


# pyro leaves its parameter files for the garbage collector to close.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_agrees_with_pyro(tmp_path, monkeypatch):
    pyro = pytest.importorskip("pyro")
    monkeypatch.chdir(tmp_path)  # pyro writes inputs.auto wherever it stands
    monkeypatch.setattr("matplotlib.pyplot.ion", lambda: None)
    state, grid, flow = stirred()
    rho, vx, vy, p, _ = (field.T for field in state)
    conserved = {
        "density": rho,
        "x-momentum": rho * vx,
        "y-momentum": rho * vy,
        "energy": p / (GAMMA - 1) + rho * (vx**2 + vy**2) / 2,
    }

    def initialise(data, _):
        for name, values in conserved.items():
            data.get_var(name).v()[:] = values

    other = pyro.Pyro("compressible_rk")
    other.add_problem("stirred", initialise)
    settings = {
        "mesh.nx": grid.nx,
        "mesh.ny": grid.ny,
        **dict(zip(("mesh.xmin", "mesh.xmax"), grid.x, strict=True)),
        **dict(zip(("mesh.ymin", "mesh.ymax"), grid.y, strict=True)),
        **dict.fromkeys(("mesh.xlboundary", "mesh.xrboundary"), "periodic"),
        **dict.fromkeys(("mesh.ylboundary", "mesh.yrboundary"), "reflect"),
        "driver.tmax": 1.0,
        "driver.max_steps": 10_000,
        "eos.gamma": GAMMA,
        "compressible.grav": -1.0,
        "compressible.temporal_method": "TVD2",
        "compressible.limiter": 1,
        "compressible.use_flattening": 0,
        "compressible.cvisc": 0.0,
    }
    other.initialize_problem("stirred", inputs_dict=settings)
    other.run_sim()
    theirs = np.array(other.get_var("density").v().T)
    flow.advance(1.0)
    change = np.abs(theirs - state[0]).mean()
    assert np.abs(theirs - flow.primitive[0]).mean() < 0.02 * change


def test_evolve_records_the_six_fields_at_the_times_asked_for():
    state, grid, flow = stirred()
    samples = evolve(state, grid, [0.0, 0.05, 0.3], gamma=GAMMA, gravity=1.0)
    assert samples.shape == (3, 6, 48, 16)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples[0, [0, 1, 2, 3, 5]], state.astype(np.float32))
    for sample, time in zip(samples, (0.0, 0.05, 0.3), strict=True):
        flow.advance(time)
        assert flow.time == time
        np.testing.assert_array_equal(sample[:4], flow.primitive[:4].astype(np.float32))
        energy = flow.primitive[3] / (0.4 * flow.primitive[0])
        np.testing.assert_allclose(sample[4], energy, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (0, 0.0, "step 0, t = 0 s: density is 0 in the cell of row 2, column 3"),
        (3, -1.0, "step 0, t = 0 s: pressure is -1 in the cell of row 2, column 3"),
        (2, np.nan, "step 0, t = 0 s: velocity_y is nan in the cell of row 2, column 3"),
    ],
)
def test_an_invalid_initial_state_is_refused(field, value, message):
    state, grid = rippled((6, 8))
    state[field, 2, 3] = value
    with pytest.raises(FloatingPointError, match=message):
        Flow(state, grid, gamma=GAMMA)


def test_a_flow_that_tears_says_where_and_when():
    state, grid = rippled((6, 32))
    state[:] = np.array([1.0, 0.0, 0.0, 1e-9, 0.0])[:, None, None]
    state[1] = np.where(np.arange(32) < 16, -1e4, 1e4)
    flow = Flow(state, grid, gamma=GAMMA)
    where = r"step \d+, t = \S+ s: (density|pressure) is \S+ in the cell of row \d+, column \d+"
    with pytest.raises(FloatingPointError, match=where):
        flow.advance(1.0)
    assert flow.steps > 0


def test_arguments_that_make_no_flow_are_refused():
    state, grid = rippled((6, 8))
    with pytest.raises(ValueError, match=r"initial state is \(4, 6, 8\), must be \(5, 6, 8\)"):
        Flow(state[:4], grid, gamma=GAMMA)
    with pytest.raises(ValueError, match="gamma must exceed 1, not 1"):
        Flow(state, grid, gamma=1)
    with pytest.raises(ValueError, match=r"from t = 0.02 to t = 0.01"):
        evolve(state, grid, [0.02, 0.01], gamma=GAMMA)
