"""Compiled kernels of the Euler solver: ghost cells, face fluxes, updates.

`euler` says what is solved and cites the methods; here it is done, a row of faces at a time.
"""

from __future__ import annotations

import math

import numpy as np

from surrlab._compiled import njit

RHO, VX, VY, P, Y = range(5)  # where the evolved ρ, ρv_x, ρv_y, E and ρY or α stand, too
SPEED = 5  # of mass through a face: kept with the fluxes of two materials
SIDES = "mirror", "periodic", "outflow"
MIRROR, PERIODIC, OUTFLOW = range(3)
CFL = 0.4  # of the shortest time in which a signal crosses a cell in x or in y; stable up to 0.5
STEPS = 1_000_000  # to one record; a flow that needs more has broken down
GHOSTS = 2  # a face needs two cells on each side
LANES = 8  # faces done together: with a fixed count LLVM writes vector code

# error_model="numpy" drops a test from every division; states are checked after every stage.
compiled = njit(nogil=True, error_model="numpy")
# LLVM deems a large function not worth inlining, and then its caller's loop stays scalar.
inlined = njit(nogil=True, error_model="numpy", inline="always")


@compiled
def march(u, u1, w, time, end, dx, dy, laws, gravity, sides):
    """Step to `end`; return the time, the number of steps and whether the state is valid."""
    ny, nx, row, steps = u.shape[1], u.shape[2], w.shape[2], 0
    flat, work = w.reshape(5, -1), np.empty(26 * LANES)
    side, below, above = np.empty((6, row)), np.empty((6, row)), np.empty((6, row))
    while time < end:
        # Equal steps up to the end, rather than full ones and a sliver.
        left = (end - time) * _signal(w, ny, nx, dx, dy, laws) / CFL
        if not left < STEPS:
            return time, steps, False
        left = math.ceil(left)
        dt = (end - time) / left
        time, steps = end if left == 1 else time + dt, steps + 1
        for stage in range(2):
            _fill_ghosts(w, ny, nx, gravity * dy, sides)
            for j in range(ny + 1):
                here = (GHOSTS + j) * row + GHOSTS
                _face_fluxes(flat, here, nx, row, gravity * dy, laws, work, above)
                if j > 0:
                    _face_fluxes(flat, here - row, nx + 1, 1, 0.0, laws, work, side)
                    _update(u, u1, w, j - 1, side, below, above, dt, dx, dy, laws, gravity, stage)
                below, above = above, below
            if not _primitives(u if stage else u1, w, laws):
                return time, steps, False
    return time, steps, True


@compiled
def _signal(w, ny, nx, dx, dy, laws):
    """Return the largest rate, per unit of time, at which a signal crosses a cell."""
    fastest = np.zeros(nx)  # of each column: one maximum for all would not become vector code
    for j in range(GHOSTS, GHOSTS + ny):
        for i in range(nx):
            rho, vx, vy = w[RHO, j, GHOSTS + i], w[VX, j, GHOSTS + i], w[VY, j, GHOSTS + i]
            c = _sound_speed(rho, w[P, j, GHOSTS + i], w[Y, j, GHOSTS + i], laws)
            fastest[i] = max(fastest[i], (abs(vx) + c) / dx, (abs(vy) + c) / dy)
    return fastest.max()


@compiled
def _fill_ghosts(w, ny, nx, weight, sides):
    """Fill the cells around the grid; `weight` is gravity times dy."""
    for n in range(GHOSTS):
        low, left, right = GHOSTS - 1 - n, GHOSTS + n, GHOSTS + nx - 1 - n
        top, high, wide = GHOSTS + ny - 1 - n, GHOSTS + ny + n, GHOSTS + nx + n
        if sides == PERIODIC:
            left, right = low + nx, wide - nx
        elif sides == OUTFLOW:
            left, right = GHOSTS, GHOSTS + nx - 1
        for k in range(5):
            sign = -1.0 if k == VX and sides == MIRROR else 1.0
            for j in range(GHOSTS, GHOSTS + ny):
                w[k, j, low], w[k, j, wide] = sign * w[k, j, left], sign * w[k, j, right]
            sign = -1.0 if k == VY else 1.0
            # Of pressure, its departure from the hydrostatic one is mirrored.
            lift = (2 * n + 1) * weight if k == P else 0.0
            for i in range(GHOSTS, GHOSTS + nx):
                w[k, low, i] = sign * w[k, GHOSTS + n, i] + lift * w[RHO, low, i]
                w[k, high, i] = sign * w[k, top, i] - lift * w[RHO, high, i]


@compiled
def _face_fluxes(w, start, count, step, weight, laws, work, flux):
    """Write the fluxes through `count` faces to ``flux[:, GHOSTS:]``.

    Face n lies between the cells ``start + n - step`` and ``start + n`` of the flattened `w`: the
    step is 1 across x, a row across y. `weight` is gravity times that distance. `work` is scratch
    for LANES faces, four cells of each variable and then the fluxes: one array with fixed offsets,
    so that LLVM sees that nothing overlaps.
    """
    order = (RHO, VX, VY, P, Y, SPEED) if step == 1 else (RHO, VY, VX, P, Y, SPEED)
    rows = 4 + len(laws)  # known when this is compiled
    for first in range(0, count, LANES):
        for n in range(5):
            for c in range(4):
                cell = start + first + (c - 2) * step
                for i in range(LANES):
                    work[(4 * n + c) * LANES + i] = w[order[n], cell + i]
        if weight != 0.0:  # carry each cell's pressure to the face hydrostatically [6]
            for i in range(LANES):
                r1, r2 = 0.5 * weight * work[LANES + i], 0.5 * weight * work[2 * LANES + i]
                work[12 * LANES + i] -= 0.5 * weight * work[i] + 2.0 * r1
                work[13 * LANES + i] -= r1
                work[14 * LANES + i] += r2
                work[15 * LANES + i] += 0.5 * weight * work[3 * LANES + i] + 2.0 * r2
        for i in range(LANES):
            rl, rr = _sides(work, 0, i, laws)
            ul, ur = _sides(work, 1, i, laws)
            vl, vr = _sides(work, 2, i, laws)
            pl, pr = _sides(work, 3, i, laws)
            yl, yr = _sides(work, 4, i, laws)
            fluxes = _hllc((rl, ul, vl, pl, yl), (rr, ur, vr, pr, yr), laws)
            for n in range(rows):
                work[(20 + n) * LANES + i] = fluxes[n]
        for n in range(rows):
            for i in range(LANES):
                flux[order[n], GHOSTS + first + i] = work[(20 + n) * LANES + i]


@compiled
def _sides(work, n, i, laws):
    """Return variable `n` on the two sides of face `i`, from the four cells around it."""
    at = 4 * n * LANES + i
    q0, q1, q2, q3 = work[at], work[at + LANES], work[at + 2 * LANES], work[at + 3 * LANES]
    left, right = _limited(q1 - q0, q2 - q1, laws), _limited(q2 - q1, q3 - q2, laws)
    return q1 + 0.5 * left, q2 - 0.5 * right


@compiled
def _limited(a, b, laws):
    """Return the slope between two one-sided differences: the monotonised-central one [2], or the
    lesser of them between two materials, whose edges tear where p and α do not go together.
    """
    if len(laws) == 2:
        return max(0.0, min(a, b)) + min(0.0, max(a, b))
    c = 0.5 * (a + b)
    return max(0.0, min(2.0 * a, 2.0 * b, c)) + min(0.0, max(2.0 * a, 2.0 * b, c))


@inlined
def _hllc(left, right, laws):
    """Return the fluxes of mass, normal and tangential momentum, energy and material [3].

    Of two materials the last is no flux but α at the face, and the speed there of mass follows.
    Exchanging the sides changes at most the sign of an expression: symmetric flows stay symmetric.
    """
    rl, ul, _, pl, yl = left
    rr, ur, _, pr, yr = right
    cl, cr = _sound_speed(rl, pl, yl, laws), _sound_speed(rr, pr, yr, laws)
    sl, sr = min(ul - cl, ur - cr), max(ul + cl, ur + cr)
    ml, mr = rl * (sl - ul), rr * (sr - ur)
    contact = ((pr - pl) + (ml * ul - mr * ur)) / (ml - mr)
    middle = 0.5 * ((pl + ml * (contact - ul)) + (pr + mr * (contact - ur)))
    # At the face stands the gas from which the contact moves away, changed by its acoustic wave
    # unless that wave, too, has left the face.
    rightwards = contact >= 0.0
    r, u, v, p, y = left if rightwards else right
    s, m = (sl, ml) if rightwards else (sr, mr)
    e = _energy(r, u, v, p, y, laws)
    changed = (s < 0.0) == rightwards
    e = ((s - u) * e - p * u + middle * contact) / (s - contact) if changed else e
    speed = (s - u) / (s - contact) * contact if changed else u  # [5]
    r = m / (s - contact) if changed else r
    p = middle if changed else p
    u = contact if changed else u
    material = r * u * y if len(laws) == 1 else y
    return r * u, r * u * u + p, r * u * v, (e + p) * u, material, speed


@compiled
def mixture(laws, y):
    """Return γ and γ p∞; of two materials, from the volume fraction `y` of the first [1]."""
    (gamma, p_inf), (gamma_b, p_inf_b) = laws[0], laws[-1]
    if len(laws) == 1:
        return gamma, gamma * p_inf
    a, b = y / (gamma - 1.0), (1.0 - y) / (gamma_b - 1.0)
    return 1.0 + 1.0 / (a + b), (a * (gamma * p_inf) + b * (gamma_b * p_inf_b)) / (a + b)


@compiled
def _sound_speed(rho, p, y, laws):
    gamma, stiffness = mixture(laws, y)
    return math.sqrt((gamma * p + stiffness) / rho)


@compiled
def _energy(rho, vx, vy, p, y, laws):
    """Return the total energy of a volume."""
    gamma, stiffness = mixture(laws, y)
    return (p + stiffness) / (gamma - 1.0) + 0.5 * rho * (vx * vx + vy * vy)


@compiled
def _update(u, u1, w, j, side, below, above, dt, dx, dy, laws, gravity, stage):
    """Take row `j` through a stage: u1 = u + dt L(u), then u = (u + u1 + dt L(u1)) / 2 [4]."""
    for k in range(5):
        for i in range(u.shape[2]):
            at = GHOSTS + i
            rate = (side[k, at] - side[k, at + 1]) / dx + (below[k, at] - above[k, at]) / dy
            if k == VY:
                rate -= gravity * w[RHO, GHOSTS + j, at]
            elif k == P:
                rate -= 0.5 * gravity * (below[RHO, at] + above[RHO, at])
            elif k == Y and len(laws) == 2:
                y = w[Y, GHOSTS + j, at]
                rate = (_brought(side, at, y) - _brought(side, at + 1, y)) / dx
                rate += (_brought(below, at, y) - _brought(above, at, y)) / dy
            if stage == 0:
                u1[k, j, i] = u[k, j, i] + dt * rate
            else:
                u[k, j, i] = 0.5 * (u[k, j, i] + (u1[k, j, i] + dt * rate))


@compiled
def _brought(flux, at, y):
    """Return what the flow through face `at` changes in a cell of volume fraction `y`."""
    return (flux[Y, at] - y) * flux[SPEED, at]


@compiled
def conserved(w, u, laws):
    """Write what evolves for the primitive variables `w` into `u`."""
    for j in range(u.shape[1]):
        for i in range(u.shape[2]):
            rho, vx, vy, p, y = w[RHO, j, i], w[VX, j, i], w[VY, j, i], w[P, j, i], w[Y, j, i]
            e = _energy(rho, vx, vy, p, y, laws)
            state = (rho, rho * vx, rho * vy, e, rho * y if len(laws) == 1 else y)
            for k in range(5):
                u[k, j, i] = state[k]


@compiled
def _primitives(u, w, laws):
    """Write the primitive variables of `u` into `w`; return whether they are valid."""
    valid = True
    for j in range(u.shape[1]):
        for i in range(u.shape[2]):
            rho, vx, vy = u[RHO, j, i], u[VX, j, i] / u[RHO, j, i], u[VY, j, i] / u[RHO, j, i]
            y = u[Y, j, i] / rho if len(laws) == 1 else u[Y, j, i]
            gamma, stiffness = mixture(laws, y)
            p = (gamma - 1.0) * (u[P, j, i] - 0.5 * rho * (vx * vx + vy * vy)) - stiffness
            state = (rho, vx, vy, p, y)
            for k in range(5):
                w[k, GHOSTS + j, GHOSTS + i] = state[k]
            valid &= rho > 0.0 and 0.0 < gamma * p + stiffness < np.inf
    return valid
