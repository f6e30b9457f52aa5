"""The six fields of a sample, their units, and the grid that they live on.

Everything in surrlab names fields by these names and never relies on their order in a file. In
memory a sample is one array ``(6, ny, nx)`` in the order of `NAMES`; row 0 is the bottom (smallest
y) and column 0 the left (smallest x) of the domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NAMES = ("density", "velocity_x", "velocity_y", "pressure", "energy", "material")
"""Order of the fields in every in-memory sample ``(6, ny, nx)``."""

LABELS = {
    "density": "density",
    "velocity_x": "velocity x",
    "velocity_y": "velocity y",
    "pressure": "pressure",
    "energy": "specific internal energy",
    "material": "material",
}
"""What a figure calls each field."""


def units(time: str = "s") -> dict[str, str]:
    """Unit of each field where lengths are in cm, masses in g and times in `time`.

    With ``time="µs"`` pressure is in g/(cm µs²), which is the megabar.

    >>> units()["velocity_x"]
    'cm/s'
    """
    return {
        "density": "g/cm³",
        "velocity_x": f"cm/{time}",
        "velocity_y": f"cm/{time}",
        "pressure": f"g/(cm {time}²)",
        "energy": f"cm²/{time}²",
        "material": "1",
    }


def index(name: str) -> int:
    """Place of a field on a sample's first axis.

    Raises
    ------
    KeyError
        Listing the fields there are.

    Examples
    --------
    >>> index("pressure")
    3
    """
    if name not in NAMES:
        raise KeyError(f"there is no field {name!r}; there are {', '.join(NAMES)}")
    return NAMES.index(name)


@dataclass(frozen=True)
class Grid:
    """A uniform Cartesian grid of cell averages.

    Parameters
    ----------
    ny, nx : int
        Number of cells; a field is an array ``(ny, nx)``.
    x, y : tuple of float
        Extents of the domain, (low, high), in cm.
    """

    ny: int
    nx: int
    x: tuple[float, float]
    y: tuple[float, float]

    def __post_init__(self):
        if self.ny < 1 or self.nx < 1:
            raise ValueError(f"a grid needs at least one cell a side, not {self.ny} x {self.nx}")
        for axis, (low, high) in (("x", self.x), ("y", self.y)):
            if not low < high:
                raise ValueError(f"extent of {axis} must be (low, high), not ({low}, {high})")

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.ny, self.nx

    @property
    def dx(self) -> float:
        """Width of a cell in cm."""
        return (self.x[1] - self.x[0]) / self.nx

    @property
    def dy(self) -> float:
        """Height of a cell in cm."""
        return (self.y[1] - self.y[0]) / self.ny

    @property
    def cell_area(self) -> float:
        """Area of a cell in cm²: the A of Eqs. (2) and (3)."""
        return self.dx * self.dy

    @property
    def height(self) -> float:
        """Height of the domain in cm: the H of Eq. (4)."""
        return self.y[1] - self.y[0]

    @property
    def x_centres(self) -> np.ndarray:
        """x of the cell centres in cm, ``(nx,)``."""
        return self.x[0] + (np.arange(self.nx) + 0.5) * self.dx

    @property
    def y_centres(self) -> np.ndarray:
        """y of the cell centres in cm, ``(ny,)``."""
        return self.y[0] + (np.arange(self.ny) + 0.5) * self.dy
