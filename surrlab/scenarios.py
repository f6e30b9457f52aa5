"""The benchmarks: what varies between the simulations of an ensemble, and how one of them is made.

A scenario knows its parameters and their ranges, the instants it records, the domain and the
initial state; `hydro` does the rest. `RayleighTaylor` and `PchipImpact` are the two benchmarks of
the paper (Sec. II, Table I), with the numbers of the data that the paper trained on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from scipy.interpolate import PchipInterpolator

from surrlab import fields, hydro, metrics
from surrlab.fields import Grid
from surrlab.hydro import Material
from surrlab.metrics import Quantity


@dataclass(frozen=True)
class Parameter:
    """One number that varies between simulations, uniformly in ``[low, high]``."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Scenario(ABC):
    """What the benchmarks share: drawing and checking of parameters, and the run itself."""

    name: ClassVar[str]
    time_unit: ClassVar[str]
    start: ClassVar[tuple[int, int]]
    """Shape (ny, nx) that the generator network starts from."""
    parameters: ClassVar[tuple[Parameter, ...]]
    constants: ClassVar[tuple[str, ...]]
    """Names of the numbers that are the same for every simulation; they stand in `config`."""
    curve: ClassVar[str]
    """The quantity whose course in time is scored by its correlation with the truth's (Fig. 8)."""
    momentum: ClassVar[str]
    """The quantity of Fig. 3: the momentum in the direction that things move in."""
    story: ClassVar[str]
    """What happens, in a sentence."""

    @property
    @abstractmethod
    def times(self) -> np.ndarray:
        """When the fields are recorded, in `time_unit`, float64 ``(T,)``."""

    @abstractmethod
    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return the grid of ``(ny, nx)`` cells; ValueError if the scenario has none of it."""

    @abstractmethod
    def initial_state(self, parameters, grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""

    @abstractmethod
    def physics(self, parameters) -> dict:
        """Return what `hydro.Flow` has to know besides the initial state."""

    @property
    @abstractmethod
    def quantities(self) -> dict[str, Quantity]:
        """What `measure` returns, in order."""

    @abstractmethod
    def measure(self, samples, parameters, grid: Grid) -> dict[str, np.ndarray]:
        """Return each of `quantities` in time, ``(T,)`` float64, of samples ``(T, 6, ny, nx)``."""

    def sample(self, n: int, *, seed: int) -> np.ndarray:
        """Draw parameters of `n` simulations, ``(n, p)``; row i is the same for any `n`."""
        low, high = np.array([(p.low, p.high) for p in self.parameters]).T
        return low + (high - low) * np.random.default_rng(seed).random((n, len(low)))

    def inputs(self, parameters) -> np.ndarray:
        """Return the network's inputs, parameters and then time, float32 ``(T, p + 1)``."""
        values = self.checked(parameters)
        return np.array([[*values, time] for time in self.times], np.float32)

    def simulate(self, parameters, grid: Grid) -> np.ndarray:
        """Return the fields of one simulation, float32 ``(T, 6, ny, nx)`` in order `fields.NAMES`.

        Parameters
        ----------
        parameters : sequence of float
            One value for each of `parameters`.
        grid : Grid
            As made by `grid`.

        Raises
        ------
        ValueError
            If a parameter is out of range, their number is wrong or the grid is another scenario's.
        FloatingPointError
            If the state leaves the materials' equations of state.
        """
        if grid != self.grid(grid.shape):
            raise ValueError(f"{grid} is not the domain of {self.name}; use its grid(shape)")
        state = self.initial_state(parameters, grid)
        return hydro.evolve(state, grid, self.times, **self.physics(parameters))

    def config(self) -> dict:
        """Return all that a simulation depends on besides its parameters, as JSON types."""
        return {
            "name": self.name,
            "solver": hydro.VERSION,
            "parameters": [asdict(p) for p in self.parameters],
            "times": self.times.tolist(),
            **{name: getattr(self, name) for name in self.constants},
        }

    def checked(self, parameters) -> list[float]:
        """Return the parameters as numbers; ValueError if one is out of range or missing."""
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
    curve: ClassVar[str] = "thickness"
    momentum: ClassVar[str] = "momentum_y"
    story: ClassVar[str] = (
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

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return the grid of ``(ny, nx)`` cells; ValueError unless ny is 3 nx."""
        ny, nx = shape
        if ny != 3 * nx:
            raise ValueError(f"{self.name} needs a shape (3n, n), not {(ny, nx)}")
        return Grid(ny, nx, (-1 / 6, 1 / 6), (-0.5, 0.5))

    def densities(self, parameters) -> tuple[float, float]:
        """Return the densities of the light and the heavy gas in g/cm³, ρ1 < ρ2 of Eq. (4)."""
        return self.light, self.light * self.checked(parameters)[0]

    def initial_state(self, parameters, grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""
        light, heavy = self.densities(parameters)
        v_init = self.checked(parameters)[2]
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

    def physics(self, parameters) -> dict:
        """Return the gas of either density, and gravity."""
        gamma = self.checked(parameters)[1]
        return {"materials": (Material(gamma),), "gravity": self.gravity}

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
            samples[:, fields.index(name)] for name in ("density", "velocity_x", "velocity_y")
        )
        px, py = metrics.total_momentum(density, velocity_x, velocity_y, grid.cell_area)
        light, heavy = self.densities(parameters)
        return {
            "mass": metrics.total_mass(density, grid.cell_area),
            "momentum_x": px,
            "momentum_y": py,
            "thickness": metrics.mixing_layer_thickness(density, light, heavy, grid.dy),
        }


@dataclass(frozen=True)
class PchipImpact(Scenario):
    """A copper plate hits a resting one, whose curved free side then throws jets into the air.

    The impactor comes from the left and touches the target, 0.5 cm thick, at time 0 and x = 0. The
    target's free side lies at

        x = 0.5 cm + curve(y)

    with the monotone piecewise cubic curve (PCHIP) through four control points, spread evenly from
    the bottom to the top. The shock that leaves there turns it inside out and throws jets from
    where it caved in: the Richtmyer-Meshkov instability of a heavy material against a light one.

    Copper is a stiffened gas of the metal's density and sound speed, without strength: p∞ = ρ c²/γ.
    It holds tension up to p∞, where the metal would long have torn; so the impactor is thicker than
    the domain, and copper follows from the left: the release from its back would otherwise put both
    plates under 0.2 g/(cm µs²) of tension that pulls the jets back. Bottom and top are mirrors, the
    sides let through what comes.

    The domain is 6.4 cm square, x from -1 to 5.4. The shocked copper ends near x = 3.5 at 15 µs and
    the usual jet within 5; only the fastest, near the corners of the ranges, reach the right edge,
    and not before 13 µs. With 64 x 64 cells the range of the control points spans five of them.

    Examples
    --------
    >>> scenario = PchipImpact()
    >>> scenario.simulate([0.0, -0.2, 0.2, 0.0, 0.2], scenario.grid((32, 32))).shape
    (51, 6, 32, 32)
    """

    name: ClassVar[str] = "pchip-impact"
    time_unit: ClassVar[str] = "µs"
    start: ClassVar[tuple[int, int]] = (4, 4)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        *(Parameter(f"control_{i}", "cm", -0.25, 0.25) for i in (1, 2, 3, 4)),
        Parameter("velocity", "cm/µs", 0.18, 0.22),
    )
    constants: ClassVar[tuple[str, ...]] = (
        *("target", "copper_density", "copper_gamma", "copper_sound_speed"),
        *("air_density", "air_gamma", "pressure"),
    )
    curve: ClassVar[str] = "jet_length"
    momentum: ClassVar[str] = "momentum_x"
    story: ClassVar[str] = (
        "A copper plate strikes another; where the free side of that one caves in, the shock "
        "throws a jet into the air."
    )
    target: ClassVar[float] = 0.5
    copper_density: ClassVar[float] = 8.93
    copper_gamma: ClassVar[float] = 4.0
    copper_sound_speed: ClassVar[float] = 0.394
    air_density: ClassVar[float] = 1.2e-3
    air_gamma: ClassVar[float] = 1.4
    pressure: ClassVar[float] = 1e-6  # one bar
    x: ClassVar[tuple[float, float]] = (-1.0, 5.4)
    y: ClassVar[tuple[float, float]] = (-3.2, 3.2)

    @property
    def times(self) -> np.ndarray:
        """When the fields are recorded, in µs: 0, 0.3 … 15, float64 ``(51,)``."""
        return np.linspace(0.0, 15.0, 51)

    @property
    def materials(self) -> tuple[Material, Material]:
        """Copper and air."""
        stiffness = self.copper_density * self.copper_sound_speed**2
        copper = Material(self.copper_gamma, stiffness / self.copper_gamma - self.pressure)
        return copper, Material(self.air_gamma)

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return the grid of ``(n, n)`` cells; ValueError if the curve would span less than two."""
        ny, nx = shape
        if ny != nx:
            raise ValueError(f"{self.name} needs a square shape, not {(ny, nx)}")
        grid = Grid(ny, nx, self.x, self.y)
        span = self.parameters[0].high - self.parameters[0].low
        if span < 2 * grid.dx:
            least = math.ceil(2 * (self.x[1] - self.x[0]) / span)
            raise ValueError(
                f"cells of {grid.dx:.3g} cm are too coarse for an interface that varies by "
                f"{span} cm; {self.name} needs {least} x {least} cells or more, not {ny} x {nx}"
            )
        return grid

    def interface(self, parameters, y) -> np.ndarray:
        """Return x of the target's free side at heights `y`, in cm.

        Raises
        ------
        ValueError
            If the side would cut into the impactor, or the parameters are none.
        """
        controls = self.checked(parameters)[:4]
        x = self.target + PchipInterpolator(np.linspace(*self.y, 4), controls)(y)
        if np.min(x) <= 0:
            raise ValueError(
                f"the interface reaches x = {np.min(x):.3g} cm, but the impactor ends at 0: the "
                f"target's {self.target} cm are too thin for control points {controls}"
            )
        return x

    def initial_state(self, parameters, grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""
        *controls, velocity = self.checked(parameters)
        rows = grid.y_centres[:, None] + grid.dy * ((np.arange(16) + 0.5) / 16 - 0.5)

        def left_of(x):  # (...) -> (..., nx): which part of each cell lies to the left of x
            edges = grid.x_centres - 0.5 * grid.dx
            return np.clip((np.asarray(x)[..., None] - edges) / grid.dx, 0.0, 1.0)

        def target(controls):  # each row of cells cut into 16 thin ones
            return left_of(self.interface([*controls, velocity], rows)).mean(axis=1)

        # With its mirror image: the rounding of y must not break the symmetry.
        copper = 0.5 * (target(controls) + target(controls[::-1])[::-1])
        density = copper * self.copper_density + (1.0 - copper) * self.air_density
        velocity_x = velocity * left_of(0.0)  # of the one copper, which moves up to x = 0
        return np.stack(np.broadcast_arrays(density, velocity_x, 0.0, self.pressure, copper))

    def physics(self, parameters) -> dict:
        """Return the materials, and that they may leave by the sides."""
        return {"materials": self.materials, "sides": "outflow", "time_unit": self.time_unit}

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What `measure` returns, in order."""
        return {
            "mass": Quantity("mass of copper", "g/cm"),
            "momentum_x": Quantity("x-momentum of copper", f"g/{self.time_unit}"),
            "momentum_y": Quantity("y-momentum of copper", f"g/{self.time_unit}"),
            "jet_length": Quantity("jet length", "cm"),
        }

    def measure(self, samples, parameters, grid: Grid) -> dict[str, np.ndarray]:
        """Return the course of each of `quantities`, from a simulation or from a prediction of it.

        The density is the mixture's; the copper in it is what is left without the air, taken at its
        first density. Shocked air is up to 6 times as dense, which counts less than 0.3 % of the
        copper's mass as copper.

        Parameters
        ----------
        samples : array_like (T, 6, ny, nx)
            In the order of `fields.NAMES`.
        parameters : sequence of float
            Those of the simulation.
        grid : Grid
            As made by `grid`.

        Returns
        -------
        dict of str to array (T,), float64
        """
        density, velocity_x, velocity_y, material = (
            np.asarray(samples)[:, fields.index(name)].astype(np.float64)
            for name in ("density", "velocity_x", "velocity_y", "material")
        )
        copper = density - (1.0 - material) * self.air_density
        momentum = metrics.total_momentum(copper, velocity_x, velocity_y, grid.cell_area)
        return {
            "mass": metrics.total_mass(copper, grid.cell_area),
            "momentum_x": momentum[0],
            "momentum_y": momentum[1],
            "jet_length": metrics.jet_length(material, grid.dx),
        }


_SCENARIOS = {scenario.name: scenario for scenario in (RayleighTaylor, PchipImpact)}


def by_name(name: str) -> Scenario:
    """Return the scenario of that name.

    >>> by_name("rayleigh-taylor")
    RayleighTaylor()
    """
    if name not in _SCENARIOS:
        raise KeyError(f"no scenario is called {name!r}; there is {', '.join(_SCENARIOS)}")
    return _SCENARIOS[name]()
