"""A finite-volume solver of the 2-D Euler equations: it makes the data that surrogates learn.

The paper (Sec. II) takes its simulations as given and they are not published; this module stands in
for the code that made them. It is compiled with numba and releases the GIL.

    ∂ρ/∂t  + ∇·(ρ v)        = 0                E = p/(γ-1) + ρ |v|²/2
    ∂ρv/∂t + ∇·(ρ v v) + ∇p = -ρ g ŷ           Y = material, a mass fraction
    ∂E/∂t  + ∇·((E + p) v)  = -ρ g v_y
    ∂ρY/∂t + ∇·(ρ Y v)      = 0

Method: monotonised-central slopes [1] of the primitive variables, HLLC fluxes [2], two-stage SSP
Runge-Kutta [3]: second order where the flow is smooth, first at shocks. In y the slope of pressure
is that of its departure from each cell's hydrostatic profile [4], so layers at rest stay at rest.
Gravity's work comes from the mass fluxes, so total energy, potential included, is conserved.
No compiler flag relaxes the arithmetic: a left-right symmetric state stays symmetric to the last
bit, and vector units of any width give the same numbers.

[1] van Leer, J. Comput. Phys. 23 (1977) 276. [2] Toro, Riemann Solvers and Numerical Methods for
Fluid Dynamics, 3rd ed., Ch. 10. [3] Gottlieb, Shu, Tadmor, SIAM Rev. 43 (2001) 89, Eq. (4.1).
[4] Käppeli, Mishra, Astron. Astrophys. 587 (2016) A94.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from surrlab.fields import NAMES, Grid

RHO, VX, VY, P, Y = range(5)  # where the conserved ρ, ρv_x, ρv_y, E, ρY stand, too
CFL = 0.4  # of the shortest time in which a signal crosses a cell in x or in y; stable up to 0.5
GHOSTS = 2  # a face needs two cells on each side
LANES = 8  # faces done together: with a fixed count LLVM writes vector code

# error_model="numpy" drops a test from every division; states are checked after every stage.
compiled = njit(nogil=True, cache=True, error_model="numpy")


class Flow:
    """One simulation in progress: `primitive` shows its state, `advance` moves it on.

    Parameters
    ----------
    primitive : array_like, (5, ny, nx)
        Cell averages of density in g/cm³, velocity_x and velocity_y in cm/s, pressure in g/(cm s²)
        and material in [0, 1], at time 0.
    grid : Grid
        Bottom and top are mirrors, and so are the sides, unless `periodic` joins them.
    gamma : float
        Ratio of specific heats, > 1.
    gravity : float
        Acceleration towards smaller y, in cm/s².

    Raises
    ------
    ValueError
        If the shape is not the grid's, or gamma does not exceed 1.
    FloatingPointError
        If a value is not finite, or a density or pressure not positive.
    """

    def __init__(self, primitive, grid: Grid, *, gamma, gravity=0.0, periodic=False):
        primitive = np.asarray(primitive, np.float64)
        if primitive.shape != (5, *grid.shape):
            raise ValueError(f"initial state is {primitive.shape}, must be {(5, *grid.shape)}")
        if not 1 < gamma < np.inf:
            raise ValueError(f"gamma must exceed 1, not {gamma}")
        self.grid, self.time, self.steps = grid, 0.0, 0
        self._constants = grid.dx, grid.dy, float(gamma), float(gravity), bool(periodic)
        # A row holds whole groups of LANES faces: what lies behind the ghosts is computed in vain.
        ny, nx = grid.shape
        padded = np.ones((5, ny + 2 * GHOSTS, 2 * GHOSTS + LANES * math.ceil((nx + 1) / LANES)))
        self.primitive = padded[:, GHOSTS : GHOSTS + ny, GHOSTS : GHOSTS + nx]
        self.primitive[:] = rho, vx, vy, p, material = primitive
        self._check()
        e = p / (gamma - 1) + 0.5 * rho * (vx**2 + vy**2)
        u = np.stack([rho, rho * vx, rho * vy, e, rho * material])
        self._states = u, np.empty_like(u), padded

    def advance(self, time: float) -> None:
        """March to `time`, in s; raise FloatingPointError with step, time and cell on failure."""
        if not self.time <= time < np.inf:
            raise ValueError(f"cannot advance from t = {self.time} to t = {time}")
        self.time, steps, valid = _march(*self._states, self.time, float(time), *self._constants)
        self.steps += steps
        if not valid:
            self._check()

    def _check(self):
        fields = {"density": RHO, "pressure": P, "velocity_x": VX, "velocity_y": VY, "material": Y}
        for name, k in fields.items():
            field = self.primitive[k]
            valid = np.isfinite(field) & ((field > 0) | (k not in (RHO, P)))
            if not valid.all():
                j, i = np.argwhere(~valid)[0]
                raise FloatingPointError(
                    f"step {self.steps}, t = {self.time:.6g} s: {name} is {field[j, i]:.6g} in the "
                    f"cell of row {j}, column {i}; refine the grid or soften the initial state"
                )


def evolve(primitive, grid: Grid, times, *, gamma, gravity=0.0, periodic=False) -> np.ndarray:
    """Simulate, and return the six fields at each of `times`.

    Parameters
    ----------
    primitive, grid, gamma, gravity, periodic
        As for `Flow`.
    times : array_like, (T,)
        When to record, in s; from 0 (the initial state) or later, increasing.

    Returns
    -------
    ndarray, float32, (T, 6, ny, nx)
        In the order of `fields.NAMES`; energy is the specific internal energy p / ((γ-1) ρ).

    Raises
    ------
    ValueError, FloatingPointError
        As for `Flow`; also if a time is less than the one before it.
    """
    flow = Flow(primitive, grid, gamma=gamma, gravity=gravity, periodic=periodic)
    samples = np.empty((len(times), len(NAMES), *grid.shape), np.float32)
    for sample, time in zip(samples, times, strict=True):
        flow.advance(time)
        rho, vx, vy, p, material = flow.primitive
        sample[:] = rho, vx, vy, p, p / ((gamma - 1) * rho), material
    return samples


@compiled
def _march(u, u1, w, time, end, dx, dy, gamma, gravity, periodic):
    """Step to `end`; return the time, the number of steps and whether the state is valid."""
    ny, nx, row, steps = u.shape[1], u.shape[2], w.shape[2], 0
    flat, work = w.reshape(5, -1), np.empty(25 * LANES)
    side, below, above = np.empty((5, row)), np.empty((5, row)), np.empty((5, row))
    while time < end:
        # Equal steps up to the end, rather than full ones and a sliver.
        left = math.ceil((end - time) * _signal(w, ny, nx, dx, dy, gamma) / CFL)
        dt = (end - time) / left
        time, steps = end if left == 1 else time + dt, steps + 1
        for stage in range(2):
            _fill_ghosts(w, ny, nx, gravity * dy, periodic)
            for j in range(ny + 1):
                here = (GHOSTS + j) * row + GHOSTS
                _face_fluxes(flat, here, nx, row, gravity * dy, gamma, work, above)
                if j > 0:
                    _face_fluxes(flat, here - row, nx + 1, 1, 0.0, gamma, work, side)
                    _update(u, u1, w, j - 1, side, below, above, dt, dx, dy, gravity, stage)
                below, above = above, below
            if not _primitives(u if stage else u1, w, gamma):
                return time, steps, False
    return time, steps, True


@compiled
def _signal(w, ny, nx, dx, dy, gamma):
    """Return the largest rate, in 1/s, at which a signal crosses a cell."""
    fastest = np.zeros(nx)  # of each column: one maximum for all would not become vector code
    for j in range(GHOSTS, GHOSTS + ny):
        for i in range(nx):
            rho, vx, vy = w[RHO, j, GHOSTS + i], w[VX, j, GHOSTS + i], w[VY, j, GHOSTS + i]
            c = math.sqrt(gamma * w[P, j, GHOSTS + i] / rho)
            fastest[i] = max(fastest[i], (abs(vx) + c) / dx, (abs(vy) + c) / dy)
    return fastest.max()


@compiled
def _fill_ghosts(w, ny, nx, weight, periodic):
    """Fill the cells around the grid; `weight` is gravity times dy."""
    for n in range(GHOSTS):
        low, left, right = GHOSTS - 1 - n, GHOSTS + n, GHOSTS + nx - 1 - n
        top, high, wide = GHOSTS + ny - 1 - n, GHOSTS + ny + n, GHOSTS + nx + n
        if periodic:
            left, right = low + nx, wide - nx
        for k in range(5):
            sign = -1.0 if k == VX and not periodic else 1.0
            for j in range(GHOSTS, GHOSTS + ny):
                w[k, j, low], w[k, j, wide] = sign * w[k, j, left], sign * w[k, j, right]
            sign = -1.0 if k == VY else 1.0
            # Of pressure, its departure from the hydrostatic one is mirrored.
            lift = (2 * n + 1) * weight if k == P else 0.0
            for i in range(GHOSTS, GHOSTS + nx):
                w[k, low, i] = sign * w[k, GHOSTS + n, i] + lift * w[RHO, low, i]
                w[k, high, i] = sign * w[k, top, i] - lift * w[RHO, high, i]


@compiled
def _face_fluxes(w, start, count, step, weight, gamma, work, flux):
    """Write the fluxes through `count` faces to ``flux[:, GHOSTS:]``.

    Face n lies between the cells ``start + n - step`` and ``start + n`` of the flattened `w`: the
    step is 1 across x, a row across y. `weight` is gravity times that distance. `work` is scratch
    for LANES faces, four cells of each variable and then the fluxes: one array with fixed offsets,
    so that LLVM sees that nothing overlaps.
    """
    order = (RHO, VX, VY, P, Y) if step == 1 else (RHO, VY, VX, P, Y)
    for first in range(0, count, LANES):
        for n in range(5):
            for c in range(4):
                cell = start + first + (c - 2) * step
                for i in range(LANES):
                    work[(4 * n + c) * LANES + i] = w[order[n], cell + i]
        if weight != 0.0:  # carry each cell's pressure to the face hydrostatically [4]
            for i in range(LANES):
                r1, r2 = 0.5 * weight * work[LANES + i], 0.5 * weight * work[2 * LANES + i]
                work[12 * LANES + i] -= 0.5 * weight * work[i] + 2.0 * r1
                work[13 * LANES + i] -= r1
                work[14 * LANES + i] += r2
                work[15 * LANES + i] += 0.5 * weight * work[3 * LANES + i] + 2.0 * r2
        for i in range(LANES):
            rl, rr = _sides(work, 0, i)
            ul, ur = _sides(work, 1, i)
            vl, vr = _sides(work, 2, i)
            pl, pr = _sides(work, 3, i)
            yl, yr = _sides(work, 4, i)
            fluxes = _hllc((rl, ul, vl, pl, yl), (rr, ur, vr, pr, yr), gamma)
            for n in range(5):
                work[(20 + n) * LANES + i] = fluxes[n]
        for n in range(5):
            for i in range(LANES):
                flux[order[n], GHOSTS + first + i] = work[(20 + n) * LANES + i]


@compiled
def _sides(work, n, i):
    """Return variable `n` on the two sides of face `i`, from the four cells around it."""
    at = 4 * n * LANES + i
    q0, q1, q2, q3 = work[at], work[at + LANES], work[at + 2 * LANES], work[at + 3 * LANES]
    return q1 + 0.5 * _limited(q1 - q0, q2 - q1), q2 - 0.5 * _limited(q2 - q1, q3 - q2)


@compiled
def _limited(a, b):
    """Return the monotonised-central slope between two one-sided differences [1]."""
    c = 0.5 * (a + b)
    return max(0.0, min(2.0 * a, 2.0 * b, c)) + min(0.0, max(2.0 * a, 2.0 * b, c))


@compiled
def _hllc(left, right, gamma):
    """Return the fluxes of mass, normal and tangential momentum, energy and material [2].

    Exchanging the sides changes at most the sign of an expression: symmetric flows stay symmetric.
    """
    rl, ul, _, pl, _ = left
    rr, ur, _, pr, _ = right
    cl, cr = math.sqrt(gamma * pl / rl), math.sqrt(gamma * pr / rr)
    sl, sr = min(ul - cl, ur - cr), max(ul + cl, ur + cr)
    ml, mr = rl * (sl - ul), rr * (sr - ur)
    contact = ((pr - pl) + (ml * ul - mr * ur)) / (ml - mr)
    middle = 0.5 * ((pl + ml * (contact - ul)) + (pr + mr * (contact - ur)))
    # At the face stands the gas from which the contact moves away, changed by its acoustic wave
    # unless that wave, too, has left the face.
    rightwards = contact >= 0.0
    r, u, v, p, y = left if rightwards else right
    s, m = (sl, ml) if rightwards else (sr, mr)
    e = p / (gamma - 1.0) + 0.5 * r * (u * u + v * v)
    changed = (s < 0.0) == rightwards
    e = ((s - u) * e - p * u + middle * contact) / (s - contact) if changed else e
    r = m / (s - contact) if changed else r
    p = middle if changed else p
    u = contact if changed else u
    return r * u, r * u * u + p, r * u * v, (e + p) * u, r * u * y


@compiled
def _update(u, u1, w, j, side, below, above, dt, dx, dy, gravity, stage):
    """Take row `j` through a stage: u1 = u + dt L(u), then u = (u + u1 + dt L(u1)) / 2 [3]."""
    for k in range(5):
        for i in range(u.shape[2]):
            at = GHOSTS + i
            rate = (side[k, at] - side[k, at + 1]) / dx + (below[k, at] - above[k, at]) / dy
            if k == VY:
                rate -= gravity * w[RHO, GHOSTS + j, at]
            elif k == P:
                rate -= 0.5 * gravity * (below[RHO, at] + above[RHO, at])
            if stage == 0:
                u1[k, j, i] = u[k, j, i] + dt * rate
            else:
                u[k, j, i] = 0.5 * (u[k, j, i] + (u1[k, j, i] + dt * rate))


@compiled
def _primitives(u, w, gamma):
    """Write the primitive variables of `u` into `w`; return whether they are valid."""
    valid = True
    for j in range(u.shape[1]):
        for i in range(u.shape[2]):
            rho, vx, vy = u[RHO, j, i], u[VX, j, i] / u[RHO, j, i], u[VY, j, i] / u[RHO, j, i]
            p = (gamma - 1.0) * (u[P, j, i] - 0.5 * rho * (vx * vx + vy * vy))
            state = (rho, vx, vy, p, u[Y, j, i] / rho)
            for k in range(5):
                w[k, GHOSTS + j, GHOSTS + i] = state[k]
            valid &= rho > 0.0 and 0.0 < p < np.inf
    return valid
