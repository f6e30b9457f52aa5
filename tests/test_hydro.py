"""The solver against exact solutions, linear theory, conservation, symmetry and pyro-hydro."""

import numpy as np
import pytest
from scipy.optimize import brentq

from surrlab.fields import Grid
from surrlab.hydro import RHO, VX, Flow, Material, P, Y, evolve
from surrlab.scenarios import RayleighTaylor

GAMMA = 1.4
GAS = (Material(GAMMA),)
COPPER, AIR = Material(4.0, 0.3465), Material(1.4)  # g, cm, µs
COPPER_DENSITY, AIR_DENSITY = 8.93, 1.2e-3
K = 6 * np.pi  # wave number of one wave across RT's domain, 1/cm


def riemann(speed, left, right):
    """Density, velocity, pressure and side of the exact solution at x/t = `speed`, (4, n).

    `left` and `right` are density, velocity, pressure and Material. With p + p∞ for p, stiffened
    gases obey the ideal ones' relations (Toro, Ch. 4).
    """

    def jump(p, state):  # of the velocity, across the wave into `state`
        rho, _, p0, m = state
        g, high, low = m.gamma, p + m.p_inf, p0 + m.p_inf
        if p > p0:
            return (p - p0) * np.sqrt(2 / rho / ((g + 1) * high + (g - 1) * low))
        return 2 * np.sqrt(g * low / rho) / (g - 1) * ((high / low) ** ((g - 1) / (2 * g)) - 1)

    def misfit(p):
        return left[1] - jump(p, left) - right[1] - jump(p, right)

    lowest = max(-left[3].p_inf, -right[3].p_inf)
    p = brentq(
        misfit, lowest * (1 - 1e-9), 100 * max(left[2], right[2], 1.0), xtol=1e-15, rtol=1e-14
    )
    contact = left[1] - jump(p, left)
    out = np.empty((4, len(speed)))
    for sign, side, (rho, u, p0, m) in ((-1, 1.0, left), (1, 0.0, right)):
        g, ratio = m.gamma, (p + m.p_inf) / (p0 + m.p_inf)
        c = np.sqrt(g * (p0 + m.p_inf) / rho)
        here, z = sign * speed >= sign * contact, sign * (speed - u)
        if p > p0:
            front = tail = c * np.sqrt((ratio * (g + 1) + g - 1) / (2 * g))
            rho1 = rho * ((g + 1) * ratio + g - 1) / ((g - 1) * ratio + g + 1)
        else:
            front = c
            tail = sign * (contact - u) + c * ratio ** ((g - 1) / (2 * g))
            rho1 = rho * ratio ** (1 / g)
        fan = np.clip((2 * c + (g - 1) * z) / (g + 1), 1e-300, None)  # its sound speed
        r = (fan / c) ** (2 / (g - 1))
        inside = [rho * r, u + sign * (z - fan), (p0 + m.p_inf) * r**g - m.p_inf]
        for k, (a, b, d) in enumerate(zip((rho1, contact, p), inside, (rho, u, p0), strict=True)):
            out[k] = np.where(here, np.select([z < tail, z < front], [a, b], d), out[k])
        out[3] = np.where(here, side, out[3])
    return out


def tube(left, right, cells, length):
    """A `Flow` of two states that meet in the middle, and x of its cells."""
    grid = Grid(2, cells, (-length / 2, length / 2), (0.0, 2 * length / cells))
    columns = [
        np.where(grid.x_centres < 0, *pair) for pair in zip(left[:3], right[:3], strict=True)
    ]
    state = [columns[0], columns[1], 0 * columns[0], columns[2], grid.x_centres < 0]
    state = np.stack([np.broadcast_to(row, grid.shape) for row in state])
    return Flow(state, grid, materials=(left[3], right[3]), sides="outflow"), grid.x_centres


def sod_tube(cells, axis=0, drift=0.0):
    """State at t = 0.2 of Sod's tube along x (axis 0) or y (1), drifting along x in the latter."""
    shape, sides = ((3, cells), (cells, 3))[axis], ((-0.5, 0.5), (0.0, 3.0))
    grid = Grid(*shape, *(sides if axis == 0 else sides[::-1]))
    x, y = np.meshgrid(grid.x_centres, grid.y_centres)
    left = (x, y)[axis] < 0
    zero = np.zeros(shape)
    state = [np.where(left, 1, 0.125), zero + drift, zero, np.where(left, 1, 0.1), zero]
    flow = Flow(state, grid, materials=GAS, sides="periodic" if axis else "mirror")
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
    return state, grid, Flow(state, grid, materials=GAS, gravity=1.0)


def test_sod_converges_to_the_exact_solution_at_first_order():
    cells = np.array([50, 100, 200, 400])
    errors = []
    for n in cells:
        x = (np.arange(n) + 0.5) / n - 0.5
        errors.append(
            np.abs(
                sod_tube(n)[0, 1]
                - riemann(x / 0.2, (1.0, 0.0, 1.0, *GAS), (0.125, 0.0, 0.1, *GAS))[0]
            ).mean()
        )
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
        flow = Flow(state, grid, materials=GAS, sides="periodic")
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
    flow = Flow(state, grid, materials=GAS, gravity=1.0)

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
    flow = Flow(state, grid, materials=GAS, sides="periodic")
    flow.advance(0.3)
    before, after = (state[0] * state[1]).sum(), (flow.primitive[0] * flow.primitive[1]).sum()
    assert after == pytest.approx(before, abs=1e-11)


@pytest.mark.parametrize("sides", ["mirror", "periodic", "outflow"])
@pytest.mark.parametrize("materials", [GAS, (Material(2.5, 0.3), AIR)])
@pytest.mark.parametrize("width", [5, 16, 23])
def test_the_mirror_image_evolves_to_the_mirror_image_to_the_last_bit(materials, sides, width):
    state, grid = rippled((11, width))
    for axis, velocity in ((-1, 1), (-2, 2)):
        mirrored = np.flip(state, axis).copy()
        mirrored[velocity] *= -1
        gravity = 1.0 if axis == -1 else 0.0
        flows = [
            Flow(s, grid, materials=materials, gravity=gravity, sides=sides)
            for s in (state, mirrored)
        ]
        for flow in flows:
            flow.advance(0.5)
        other = np.flip(flows[1].primitive, axis).copy()
        other[velocity] *= -1
        np.testing.assert_array_equal(flows[0].primitive, other)


@pytest.mark.parametrize("ratio", [1.1, 6.7])
@pytest.mark.parametrize("shape", [(48, 16), (27, 9)])
def test_layers_at_rest_stay_at_rest(ratio, shape):
    state, grid, _ = stirred(ratio, shape)
    state[2] = 0.0
    flow = Flow(state, grid, materials=GAS, gravity=1.0)
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


WATER_AIR = (1.0, 0.0, 1e4, Material(4.4, 6e3)), (0.05, 0.0, 1.0, AIR)
IMPACT = (
    (COPPER_DENSITY, 0.2, 1e-6, COPPER),
    (COPPER_DENSITY, 0.0, 1e-6, COPPER),
)
RELEASE = (COPPER_DENSITY, 0.0, 0.2, COPPER), (AIR_DENSITY, 0.0, 1e-6, AIR)


@pytest.mark.parametrize(
    ("left", "right", "time"), [(*WATER_AIR, 2e-3), (*RELEASE, 0.6), (*IMPACT, 0.7)]
)
def test_two_materials_converge_to_the_exact_solution(left, right, time):
    cells, errors = np.array([100, 200, 400]), []
    for n in cells:
        flow, x = tube(left, right, n, 1.0)
        flow.advance(time)
        exact = riemann(x / time, left, right)
        error = np.abs(flow.primitive[[RHO, VX, P, Y], 0] - exact).mean(axis=1)
        errors.append(error / (np.ptp(exact, axis=1) + 1e-30))


def test_evolve_records_the_six_fields_at_the_times_asked_for():
    state, grid, flow = stirred()
    samples = evolve(state, grid, [0.0, 0.05, 0.3], materials=GAS, gravity=1.0)
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
        Flow(state, grid, materials=GAS)


def test_a_flow_that_tears_says_where_and_when():
    state, grid = rippled((6, 32))
    state[:] = np.array([1.0, 0.0, 0.0, 1e-9, 0.0])[:, None, None]
    state[1] = np.where(np.arange(32) < 16, -1e4, 1e4)
    flow = Flow(state, grid, materials=GAS)
    where = r"step \d+, t = \S+ s: (density|pressure) is \S+ in the cell of row \d+, column \d+"
    with pytest.raises(FloatingPointError, match=where):
        flow.advance(1.0)
    assert flow.steps > 0


def test_arguments_that_make_no_flow_are_refused():
    state, grid = rippled((6, 8))
    with pytest.raises(ValueError, match=r"initial state is \(4, 6, 8\), must be \(5, 6, 8\)"):
        Flow(state[:4], grid, materials=GAS)
    with pytest.raises(ValueError, match="gamma must exceed 1, not 1"):
        Material(1)
    with pytest.raises(ValueError, match="p_inf must be 0 or a positive pressure, not -1"):
        Material(4.0, -1.0)
    with pytest.raises(ValueError, match="one material or two, not 3"):
        Flow(state, grid, materials=3 * GAS)
    with pytest.raises(ValueError, match="one of mirror, periodic, outflow, not 'open'"):
        Flow(state, grid, materials=GAS, sides="open")
    with pytest.raises(ValueError, match=r"from t = 0.02 to t = 0.01"):
        evolve(state, grid, [0.02, 0.01], materials=GAS)
