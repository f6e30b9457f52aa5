"""The benchmarks: what varies between the simulations of an ensemble, and how one of them is made.

A scenario knows its parameters and their ranges, the instants it records, the domain and the
initial state; `euler` does the rest. `RayleighTaylor` and `PchipImpact` are the two benchmarks of
the paper (Sec. II, Table I), with the numbers of the data that the paper trained on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from surrlab.data.fields import Field, Grid
from surrlab.simulation import euler


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
    quantities: ClassVar[tuple[str, ...]]
    """Names of the quantities that evaluations follow (`evaluation.quantities`)."""
    curve: ClassVar[str]
    """The quantity whose course in time is scored by its correlation with the truth's (Fig. 8)."""
    momentum: ClassVar[str]
    """The quantity of Fig. 3: the momentum in the direction that things move in."""
    description: ClassVar[str]
    """What happens, in a sentence."""

    @property
    @abstractmethod
    def times(self) -> np.ndarray:
        """When the fields are recorded, in `time_unit`, float64 ``(T,)``."""

    @abstractmethod
    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Return the grid of ``(ny, nx)`` cells; ValueError if the scenario has none of it."""

    @abstractmethod
    def initial_state(self, parameters: Sequence[float], grid: Grid) -> np.ndarray:
        """Return density, velocity_x, velocity_y, pressure, material at time 0, ``(5, ny, nx)``."""

    @abstractmethod
    def physics(self, parameters: Sequence[float]) -> dict[str, Any]:
        """Return what `euler.Flow` has to know besides the initial state."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """What `simulate` records, in the order of a sample's first axis."""
        time = self.time_unit  # with µs pressure is in g/(cm µs²), which is the megabar
        return (
            Field("density", "g/cm³"),
            Field("velocity_x", f"cm/{time}"),
            Field("velocity_y", f"cm/{time}"),
            Field("pressure", f"g/(cm {time}²)"),
            Field("energy", f"cm²/{time}²", "specific internal energy"),
            Field("material"),
        )

    def sample(self, n: int, *, seed: int) -> np.ndarray:
        """Draw parameters of `n` simulations, ``(n, p)``; row i is the same for any `n`."""
        low, high = np.array([(p.low, p.high) for p in self.parameters]).T
        return low + (high - low) * np.random.default_rng(seed).random((n, len(low)))

    def inputs(self, parameters: Sequence[float]) -> np.ndarray:
        """Return the network's inputs, parameters and then time, float32 ``(T, p + 1)``."""
        values = self.checked(parameters)
        return np.array([[*values, time] for time in self.times], np.float32)

    def simulate(self, parameters: Sequence[float], grid: Grid) -> np.ndarray:
        """Return one simulation, float32 ``(T, 6, ny, nx)`` in the order of `fields`.

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
        return euler.evolve(state, grid, self.times, **self.physics(parameters))

    def config(self) -> dict[str, Any]:
        """Return what the simulations of an ensemble have in common, as JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "solver": euler.VERSION,
            "parameters": [asdict(p) for p in self.parameters],
            "constants": {name: getattr(self, name) for name in self.constants},
            "quantities": list(self.quantities),
            "curve": self.curve,
            "momentum": self.momentum,
        }

    def checked(self, parameters: Sequence[float]) -> list[float]:
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
