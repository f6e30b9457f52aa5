"""Impact of two copper plates, PCHIP: the second benchmark of the paper (Section II, Table I)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from surrlab.data.fields import Grid
from surrlab.simulation.euler import Material
from surrlab.simulation.scenario import Parameter, Scenario


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
    quantities: ClassVar[tuple[str, ...]] = (
        *("copper_mass", "copper_momentum_x", "copper_momentum_y", "jet_length"),
    )
    curve: ClassVar[str] = "jet_length"
    momentum: ClassVar[str] = "copper_momentum_x"
    description: ClassVar[str] = (
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

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Return the grid of ``(n, n)`` cells; ValueError if the curve would span less than two."""
        ny, nx = shape
        if ny != nx:
            raise ValueError(f"{self.name} needs a square shape, not {(ny, nx)}")
        grid = Grid.uniform({"y": (ny, *self.y), "x": (nx, *self.x)}, unit="cm")
        span = self.parameters[0].high - self.parameters[0].low
        if span < 2 * grid.x.width:
            least = math.ceil(2 * (self.x[1] - self.x[0]) / span)
            raise ValueError(
                f"cells of {grid.x.width:.3g} cm are too coarse for an interface that varies by "
                f"{span} cm; {self.name} needs {least} x {least} cells or more, not {ny} x {nx}"
            )
        return grid

    def interface(self, parameters: Sequence[float], y: ArrayLike) -> np.ndarray:
        """Return x of the target's free side at heights `y`, in cm.

        Raises
        ------
        ValueError
            If the side would cut into the impactor, or the parameters are none.
        """
        from scipy.interpolate import PchipInterpolator  # 0.3 s that others need not pay

        controls = self.checked(parameters)[:4]
        x = self.target + PchipInterpolator(np.linspace(*self.y, 4), controls)(y)
        if np.min(x) <= 0:
            raise ValueError(
                f"the interface reaches x = {np.min(x):.3g} cm, but the impactor ends at 0: the "
                f"target's {self.target} cm are too thin for control points {controls}"
            )
        return x

    def initial_state(self, parameters: Sequence[float], grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""
        *controls, velocity = self.checked(parameters)
        rows = grid.y.centres[:, None] + grid.y.width * ((np.arange(16) + 0.5) / 16 - 0.5)

        def left_of(x):  # (...) -> (..., nx): which part of each cell lies to the left of x
            edges = grid.x.centres - 0.5 * grid.x.width
            return np.clip((np.asarray(x)[..., None] - edges) / grid.x.width, 0.0, 1.0)

        def target(controls):  # each row of cells cut into 16 thin ones
            return left_of(self.interface([*controls, velocity], rows)).mean(axis=1)

        # With its mirror image: the rounding of y must not break the symmetry.
        copper = 0.5 * (target(controls) + target(controls[::-1])[::-1])
        density = copper * self.copper_density + (1.0 - copper) * self.air_density
        velocity_x = velocity * left_of(0.0)  # of the one copper, which moves up to x = 0
        return np.stack(np.broadcast_arrays(density, velocity_x, 0.0, self.pressure, copper))

    def physics(self, parameters: Sequence[float]) -> dict[str, Any]:
        """Return the materials, and that they may leave by the sides."""
        return {"materials": self.materials, "sides": "outflow", "time_unit": self.time_unit}
