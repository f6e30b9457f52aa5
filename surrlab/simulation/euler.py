"""A finite-volume solver of the 2-D Euler equations: it makes the data that surrogates learn.

The paper (Sec. II) takes its simulations as given and they are not published; this module stands in
for the code that made them. It is compiled with numba and releases the GIL.

    ∂ρ/∂t  + ∇·(ρ v)        = 0                E = (p + γ p∞)/(γ-1) + ρ |v|²/2
    ∂ρv/∂t + ∇·(ρ v v) + ∇p = -ρ g ŷ
    ∂E/∂t  + ∇·((E + p) v)  = -ρ g v_y
    ∂ρY/∂t + ∇·(ρ Y v)      = 0                one material: Y, a mass fraction, is its dye
    ∂α/∂t  + v·∇α           = 0                two: α is the first one's volume fraction, and
                                               1/(γ-1) and γ p∞/(γ-1) are their means by volume

Two materials follow the five-equation model [1], with one velocity and one pressure. Between
stiffened gases it closes without the two partial densities: pressure and sound speed depend on
their sum alone, so only that is carried.

Method: monotonised-central slopes [2] of the primitive variables (minmod ones where there are two
materials), HLLC fluxes [3], two-stage SSP Runge-Kutta [4]: second order where the flow is smooth,
first at shocks. A cell's α meets that of the gas at its faces, moved at the speed at which the
fluxes carry mass [5]: α and energy move alike, so a material's edge stirs neither pressure nor
velocity. Nothing is clipped or floored: a state that leaves its equation of state is an error.
In y the slope of pressure is that of its departure from each cell's hydrostatic profile [6], so
layers at rest stay at rest. Gravity's work comes from the mass fluxes, so total energy, potential
included, is conserved. No compiler flag relaxes the arithmetic: the mirror image of a state evolves
to the mirror image to the last bit, and vector units of any width give the same numbers.

[1] Allaire, Clerc, Kokh, J. Comput. Phys. 181 (2002) 577. [2] van Leer, J. Comput. Phys. 23 (1977)
276. [3] Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, 3rd ed., Ch. 10.
[4] Gottlieb, Shu, Tadmor, SIAM Rev. 43 (2001) 89, Eq. (4.1). [5] Johnsen, Colonius, J. Comput.
Phys. 219 (2006) 715. [6] Käppeli, Mishra, Astron. Astrophys. 587 (2016) A94.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from surrlab.data.fields import Grid
from surrlab.simulation.fluxes import (
    GHOSTS,
    LANES,
    RHO,
    SIDES,
    STEPS,
    VX,
    VY,
    P,
    Y,
    conserved,
    march,
    mixture,
)

VERSION = 1
"""Raised when the same initial state comes to another end: ensembles made before are others."""


@dataclass(frozen=True)
class Material:
    """A stiffened gas, p = (γ-1) ρ e - γ p∞; an ideal gas where p∞ = 0.

    Parameters
    ----------
    gamma : float
        γ, > 1; in an ideal gas the ratio of specific heats.
    p_inf : float
        p∞, in the unit of pressure. The material holds tension: its pressure may fall to -p∞.

    Raises
    ------
    ValueError
        If gamma does not exceed 1, or p_inf is negative or not finite.
    """

    gamma: float
    p_inf: float = 0.0

    def __post_init__(self):
        if not 1 < self.gamma < np.inf:
            raise ValueError(f"gamma must exceed 1, not {self.gamma}")
        if not 0 <= self.p_inf < np.inf:
            raise ValueError(f"p_inf must be 0 or a positive pressure, not {self.p_inf}")


class Flow:
    """One simulation in progress: `primitive` shows its state, `advance` moves it on.

    Parameters
    ----------
    primitive : array_like, (5, ny, nx)
        Cell averages of density in g/cm³, velocity_x and velocity_y in cm/s, pressure in g/(cm s²)
        and material in [0, 1], at time 0; or all of them in another `time_unit`.
    grid : Grid
        Bottom and top are mirrors.
    materials : tuple of one or two Material
        Of one, `primitive`'s material is a mass fraction that drifts along, a dye; of two, the
        volume fraction of the first.
    gravity : float
        Acceleration towards smaller y, in cm/s².
    sides : str
        What left and right are: one of `SIDES`.
    time_unit : str
        For the messages.

    Raises
    ------
    ValueError
        If the shape is not the grid's, its cells differ, or there are no such sides or number of
        materials.
    FloatingPointError
        If a value is not finite, a density not positive or a pressure at or below -p∞.
    """

    def __init__(
        self,
        primitive: ArrayLike,
        grid: Grid,
        *,
        materials: Sequence[Material],
        gravity: float = 0.0,
        sides: str = "mirror",
        time_unit: str = "s",
    ):
        primitive = np.asarray(primitive, np.float64)
        if primitive.shape != (5, *grid.shape):
            raise ValueError(f"initial state is {primitive.shape}, must be {(5, *grid.shape)}")
        if not grid.is_uniform:
            raise ValueError("the solver needs cells of equal size")
        if len(materials) not in (1, 2):
            raise ValueError(f"a flow has one material or two, not {len(materials)}")
        if sides not in SIDES:
            raise ValueError(f"sides must be one of {', '.join(SIDES)}, not {sides!r}")
        self.grid, self.time, self.steps, self._time_unit = grid, 0.0, 0, time_unit
        self._laws = laws = tuple((float(m.gamma), float(m.p_inf)) for m in materials)
        self._constants = grid.x.width, grid.y.width, laws, float(gravity), SIDES.index(sides)
        # A row holds whole groups of LANES faces: what lies behind the ghosts is computed in vain.
        ny, nx = grid.shape
        padded = np.ones((5, ny + 2 * GHOSTS, 2 * GHOSTS + LANES * math.ceil((nx + 1) / LANES)))
        self.primitive = padded[:, GHOSTS : GHOSTS + ny, GHOSTS : GHOSTS + nx]
        self.primitive[:] = primitive
        self._check()
        u = np.empty_like(primitive)
        conserved(self.primitive, u, laws)
        self._states = u, np.empty_like(u), padded

    @property
    def internal_energy(self) -> np.ndarray:
        """Specific internal energy (p + γ p∞) / ((γ-1) ρ) of the mixture, ``(ny, nx)``."""
        gamma, stiffness = self._mixture
        return (self.primitive[P] + stiffness) / ((gamma - 1) * self.primitive[RHO])

    def advance(self, time: float) -> None:
        """March to `time`; raise FloatingPointError with step, time and cell on failure."""
        if not self.time <= time < np.inf:
            raise ValueError(f"cannot advance from t = {self.time} to t = {time}")
        self.time, steps, valid = march(*self._states, self.time, float(time), *self._constants)
        self.steps += steps
        if not valid:
            self._check()
            raise FloatingPointError(
                f"step {self.steps}, t = {self.time:.6g} {self._time_unit}: signals have become so "
                f"fast that t = {time:g} is more than {STEPS:,} steps away"
            )

    @property
    def _mixture(self):
        return mixture.py_func(self._laws, self.primitive[Y])

    def _check(self):
        gamma, stiffness = np.broadcast_arrays(*self._mixture, self.primitive[Y])[:2]
        fields = {"density": RHO, "material": Y, "velocity_x": VX, "velocity_y": VY, "pressure": P}
        for name, k in fields.items():
            field = self.primitive[k]
            margin = {RHO: field, P: gamma * field + stiffness}.get(k, 1.0)
            valid = np.isfinite(field) & (margin > 0)
            if not valid.all():
                j, i = np.argwhere(~valid)[0]
                where = f", where p∞ is {stiffness[j, i] / gamma[j, i]:.6g}" if k == P else ""
                raise FloatingPointError(
                    f"step {self.steps}, t = {self.time:.6g} {self._time_unit}: {name} is "
                    f"{field[j, i]:.6g} in the cell of row {j}, column {i}{where}; refine the grid "
                    "or soften the initial state"
                )


def evolve(
    primitive: ArrayLike, grid: Grid, times: Sequence[float] | np.ndarray, **physics: Any
) -> np.ndarray:
    """Simulate, and return the six fields at each of `times`.

    Parameters
    ----------
    primitive, grid, **physics
        As for `Flow`: materials, gravity, sides, time_unit.
    times : array_like, (T,)
        When to record; from 0 (the initial state) or later, increasing.

    Returns
    -------
    ndarray, float32, (T, 6, ny, nx)
        Density, velocity_x, velocity_y, pressure, `Flow.internal_energy` and material.

    Raises
    ------
    ValueError, FloatingPointError
        As for `Flow`; also if a time is less than the one before it.
    """
    flow = Flow(primitive, grid, **physics)
    samples = np.empty((len(times), 1 + len(flow.primitive), *grid.shape), np.float32)
    for sample, time in zip(samples, times, strict=True):
        flow.advance(time)
        *mechanical, material = flow.primitive
        sample[:] = *mechanical, flow.internal_energy, material
    return samples
