"""The benchmarks: what varies between the simulations of an ensemble, and how one of them is made.

A scenario knows its parameters and their ranges, the instants it records, the domain and the
initial state; `hydro` does the rest. `RayleighTaylor` is the first benchmark of the paper (Sec. II,
Table I), with the numbers of the data that the paper trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from surrlab import hydro, metrics
from surrlab.fields import Grid, index
from surrlab.metrics import Quantity


@dataclass(frozen=True)
class Parameter:
    """One number that varies between simulations, uniformly in ``[low, high]``."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class RayleighTaylor:
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
    """Shape (ny, nx) that the generator network starts from."""
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("density_ratio", "1", 1.1, 6.7),
        Parameter("gamma", "1", 1.1, 1.6),
        Parameter("v_init", "cm/s", 0.6, 10.0),
    )
    curve: ClassVar[str] = "thickness"
    """The quantity whose course in time is scored by its correlation with the truth's (Fig. 8)."""
    momentum: ClassVar[str] = "momentum_y"
    """The quantity of Fig. 3: the momentum in the direction that things move in."""
    story: ClassVar[str] = (
        "Heavy gas lies above light gas; a small velocity disturbs the interface, and gravity does "
        "the rest."
    )
    light: ClassVar[float] = 1.0
    gravity: ClassVar[float] = 1.0
    base_pressure: ClassVar[float] = 10.0

    @property
    def times(self) -> np.ndarray:
        """When the fields are recorded, in s: 0, 0.2 … 10, float64 ``(51,)``."""
        return np.linspace(0.0, 10.0, 51)

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return the grid of ``(ny, nx)`` cells; ValueError unless ny is 3 nx."""
        ny, nx = shape
        if ny != 3 * nx:
            raise ValueError(f"{self.name} needs a shape (3n, n), not {(ny, nx)}")
        return Grid(ny, nx, (-1 / 6, 1 / 6), (-0.5, 0.5))

    def sample(self, n: int, *, seed: int) -> np.ndarray:
        """Draw parameters of `n` simulations, float64 ``(n, 3)``; row i is the same for any `n`."""
        low, high = np.array([(p.low, p.high) for p in self.parameters]).T
        return low + (high - low) * np.random.default_rng(seed).random((n, len(low)))

    def densities(self, parameters) -> tuple[float, float]:
        """Return the densities of the light and the heavy gas in g/cm³, ρ1 < ρ2 of Eq. (4)."""
        return self.light, self.light * self._checked(parameters)[0]

    def inputs(self, parameters) -> np.ndarray:
        """Return the network's inputs, parameters and then time, float32 ``(51, 4)``."""
        values = self._checked(parameters)
        return np.array([[*values, time] for time in self.times], np.float32)

    def initial_state(self, parameters, grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""
        light, heavy = self.densities(parameters)
        v_init = self._checked(parameters)[2]
        x, y = grid.x_centres, grid.y_centres[:, None]
        # Part of each row that lies above y = 0; an odd number of rows halves the middle one.
        above = np.clip(np.arange(1, grid.ny + 1) - grid.ny / 2, 0.0, 1.0)[:, None]
        density = light + (heavy - light) * above
        # Hydrostatic from cell to cell as `hydro` balances them, so that only the push moves gas.
        weight = self.gravity * grid.dy * density
        pressure = self.base_pressure - (np.cumsum(weight, axis=0) - 0.5 * weight)
        push = 1.0 + np.cos(6.0 * np.pi * x)
        push = 0.5 * (push + push[::-1])  # the rounding of x must not break the symmetry
        velocity_y = 0.01 * v_init * push * (1.0 + np.cos(2.0 * np.pi * y)) / 4.0
        material = heavy * above / density
        return np.stack(np.broadcast_arrays(density, 0.0, velocity_y, pressure, material))

    def simulate(self, parameters, grid: Grid) -> np.ndarray:
        """Return the fields of one simulation, float32 ``(51, 6, ny, nx)`` in order `fields.NAMES`.

        Parameters
        ----------
        parameters : sequence of float, (3,)
            density_ratio, gamma, v_init (cm/s).
        grid : Grid
            As made by `grid`.

        Raises
        ------
        ValueError
            If a parameter is out of range, their number is wrong or the grid is another scenario's.
        FloatingPointError
            If density or pressure stops being positive.
        """
        if grid != self.grid(grid.shape):
            raise ValueError(f"{grid} is not the domain of {self.name}; use its grid(shape)")
        state = self.initial_state(parameters, grid)
        gamma = self._checked(parameters)[1]
        return hydro.evolve(state, grid, self.times, gamma=gamma, gravity=self.gravity)

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What `measure` returns, in order: Eqs. (2) to (4)."""
        momentum = f"g/{self.time_unit}"
        return {
            "mass": Quantity("total mass", "g/cm"),
            "momentum_x": Quantity("total x-momentum", momentum),
            "momentum_y": Quantity("total y-momentum", momentum),
            "thickness": Quantity("mixing-layer thickness", "cm"),
        }

    def measure(self, samples, parameters, grid: Grid) -> dict[str, np.ndarray]:
        """Return each of `quantities` in time, ``(T,)`` float64, of samples ``(T, 6, ny, nx)``."""
        density, velocity_x, velocity_y = (
            samples[:, index(name)] for name in ("density", "velocity_x", "velocity_y")
        )
        px, py = metrics.total_momentum(density, velocity_x, velocity_y, grid.cell_area)
        light, heavy = self.densities(parameters)
        return {
            "mass": metrics.total_mass(density, grid.cell_area),
            "momentum_x": px,
            "momentum_y": py,
            "thickness": metrics.mixing_layer_thickness(density, light, heavy, grid.dy),
        }

    def config(self) -> dict:
        """Return all that a simulation depends on besides its parameters, as JSON types."""
        return {
            "name": self.name,
            "parameters": [asdict(p) for p in self.parameters],
            "times": self.times.tolist(),
            "light": self.light,
            "gravity": self.gravity,
            "base_pressure": self.base_pressure,
        }

    def _checked(self, parameters) -> list[float]:
        values = [float(value) for value in parameters]
        if len(values) != len(self.parameters):
            names = ", ".join(p.name for p in self.parameters)
            raise ValueError(
                f"{self.name} takes {len(self.parameters)} parameters ({names}), not {len(values)}"
            )
        for p, value in zip(self.parameters, values, strict=True):
            # Compared as float32: an ensemble stores them so, and its values must be accepted.
            if not np.float32(p.low) <= np.float32(value) <= np.float32(p.high):
                raise ValueError(f"{p.name} must lie in [{p.low}, {p.high}] {p.unit}, not {value}")
        return values


_SCENARIOS = {scenario.name: scenario for scenario in (RayleighTaylor,)}


def by_name(name: str) -> RayleighTaylor:
    """Return the scenario of that name.

    >>> by_name("rayleigh-taylor")
    RayleighTaylor()
    """
    if name not in _SCENARIOS:
        raise KeyError(f"no scenario is called {name!r}; there is {', '.join(_SCENARIOS)}")
    return _SCENARIOS[name]()
