"""Rayleigh-Taylor instability: the first benchmark of the paper (Section II, Table I)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from surrlab.data.fields import Grid
from surrlab.simulation.euler import Material
from surrlab.simulation.scenario import Parameter, Scenario


@dataclass(frozen=True)
class RayleighTaylor(Scenario):
    """A heavy gas above a light one, of the same γ, stirred by one broad push upwards.

    The domain is 1/3 cm wide and 1 cm high between mirrors, the light gas has 1 g/cm³, gravity is
    1 cm/s² downwards and the pressure hydrostatic. At the start

        v_y = 0.01 v_init (1 + cos 6πx) (1 + cos 2πy) / 4

    The pressure at the bottom is not published: with 10 g/(cm s²) the Mach number stays below 1.2
    and the pressure above 5.9 at all corners of the ranges (96 × 32 cells). A simulation is
    symmetric about x = 0 to the last bit.

    Examples
    --------
    >>> scenario = RayleighTaylor()
    >>> [p.name for p in scenario.parameters]
    ['density_ratio', 'gamma', 'v_init']
    >>> scenario.simulate([2.0, 1.4, 5.0], scenario.grid((24, 8))).shape
    (51, 6, 24, 8)
    """

    name: ClassVar[str] = "rayleigh-taylor"
    time_unit: ClassVar[str] = "s"
    start: ClassVar[tuple[int, int]] = (3, 1)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("density_ratio", "1", 1.1, 6.7),
        Parameter("gamma", "1", 1.1, 1.6),
        Parameter("v_init", "cm/s", 0.6, 10.0),
    )
    quantities: ClassVar[tuple[str, ...]] = ("mass", "momentum_x", "momentum_y", "thickness")
    curve: ClassVar[str] = "thickness"
    momentum: ClassVar[str] = "momentum_y"
    description: ClassVar[str] = (
        "Heavy gas lies above light gas; a small velocity disturbs the interface, and gravity does "
        "the rest."
    )
    constants: ClassVar[tuple[str, ...]] = ("light", "gravity", "base_pressure")
    light: ClassVar[float] = 1.0
    gravity: ClassVar[float] = 1.0
    base_pressure: ClassVar[float] = 10.0

    @property
    def times(self) -> np.ndarray:
        """When the fields are recorded, in s: 0, 0.2 … 10, float64 ``(51,)``."""
        return np.linspace(0.0, 10.0, 51)

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Return the grid of ``(ny, nx)`` cells; ValueError unless ny is 3 nx."""
        ny, nx = shape
        if ny != 3 * nx:
            raise ValueError(f"{self.name} needs a shape (3n, n), not {(ny, nx)}")
        return Grid.uniform({"y": (ny, -0.5, 0.5), "x": (nx, -1 / 6, 1 / 6)}, unit="cm")

    def densities(self, parameters: Sequence[float]) -> tuple[float, float]:
        """Return the densities of the light and the heavy gas in g/cm³, ρ1 < ρ2 of Eq. (4)."""
        return self.light, self.light * self.checked(parameters)[0]

    def initial_state(self, parameters: Sequence[float], grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""
        light, heavy = self.densities(parameters)
        v_init = self.checked(parameters)[2]
        (ny, _), x, y = grid.shape, grid.x.centres, grid.y.centres[:, None]
        # Part of each row that lies above y = 0; an odd number of rows halves the middle one.
        above = np.clip(np.arange(1, ny + 1) - ny / 2, 0.0, 1.0)[:, None]
        density = light + (heavy - light) * above
        # Hydrostatic from cell to cell as `euler` balances them, so that only the push moves gas.
        weight = self.gravity * grid.y.width * density
        pressure = self.base_pressure - (np.cumsum(weight, axis=0) - 0.5 * weight)
        push = 1.0 + np.cos(6.0 * np.pi * x)
        push = 0.5 * (push + push[::-1])  # the rounding of x must not break the symmetry
        velocity_y = 0.01 * v_init * push * (1.0 + np.cos(2.0 * np.pi * y)) / 4.0
        material = heavy * above / density
        return np.stack(np.broadcast_arrays(density, 0.0, velocity_y, pressure, material))

    def physics(self, parameters: Sequence[float]) -> dict[str, Any]:
        """Return the gas of either density, and gravity."""
        gamma = self.checked(parameters)[1]
        return {"materials": (Material(gamma),), "gravity": self.gravity}
