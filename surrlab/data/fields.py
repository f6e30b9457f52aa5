"""Fields and grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
