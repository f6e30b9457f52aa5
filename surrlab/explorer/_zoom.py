"""Which part of the fields is shown: one window for all pictures, in whole cells.

The page's script asks for a window, whole, in a hidden text: an answer that comes late, or a
question that the next one overtakes, moves nothing to a wrong place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets
import numpy as np

from surrlab._text import number, quantity
from surrlab.data.fields import Axis, Grid
from surrlab.explorer import html

Window = tuple[int, int, int, int]
"""First row and the one after the last, first column and the one after the last."""


def edges(axis: Axis, first: int, end: int) -> tuple[float, float]:
    """Where the cells from `first` to before `end` of an axis begin and end, in its unit."""
    low, high = axis.low, axis.high
    if axis.points[0] > axis.points[-1]:
        low, high = high, low
    shares = np.cumsum([0.0, *axis.widths])  # cells need not be equally wide
    shares /= shares[-1]
    return float(low + (high - low) * shares[first]), float(low + (high - low) * shares[end])


def within(window: Window, grid: Grid) -> Window:
    """A window of a grid; ValueError if the grid has no such cells."""
    top, right = grid.y.n, grid.x.n
    if len(window) != 4 or not (
        0 <= window[0] < window[1] <= top and 0 <= window[2] < window[3] <= right
    ):
        raise ValueError(
            f"a window has two rows within 0 to {top} and two columns within 0 to {right}, the "
            f"smaller one first, not {', '.join(map(str, window))}"
        )
    return window


class Zoom:
    """The window that all pictures show.

    Parameters
    ----------
    grid : Grid
        Two axes.
    attempt : callable
        Does something, and says what goes wrong: `StatusLine.attempt`.
    changed : callable
        Draws the shown page again.

    Attributes
    ----------
    window : tuple of int
        A `Window`.
    index : tuple of slice
        The window as an index of an array ``(ny, nx)``.
    picked : widgets.Text
        Where the page's script writes the window that it asks for.
    whole : widgets.Button
        Shows the whole field again.
    """

    def __init__(self, grid: Grid, attempt: Callable, changed: Callable[[], None]):
        self.grid, self._changed, self._heard = grid, changed, "0"
        self.place = widgets.HTML(layout={"width": "330px"}).add_class("sl-place")
        self.picked = widgets.Text(layout={"display": "none"}).add_class("sl-zoomed")
        self.whole = widgets.Button(
            description="whole",
            tooltip="Show the whole field again, as 0 on a picture does; numbers are always of it",
            layout={"width": "62px"},
        )
        self.whole.on_click(lambda _: attempt(lambda: self.show(self.all)))
        self.picked.observe(lambda change: attempt(lambda: self._on_picked(change.new)), "value")
        self.set(self.all)

    @property
    def all(self) -> Window:
        """The window of the whole field."""
        return 0, self.grid.y.n, 0, self.grid.x.n

    def set(self, window: Window) -> None:
        """Choose a window; ValueError if the grid has no such cells."""
        self.window = within(window, self.grid)
        first, end, left, right = window
        self.index = slice(first, end), slice(left, right)
        self.whole.disabled = window == self.all
        sides = []
        for axis, cells in ((self.grid.x, window[2:]), (self.grid.y, window[:2])):
            start, stop = edges(axis, *cells)
            sides.append(f"{axis.name} from {number(start)} to {quantity(stop, axis.unit)}")
        self.place.value = (
            f'<p class="sl-window" data-window="{first} {end} {left} {right}" '
            f'data-whole="{self.grid.y.n} {self.grid.x.n}" data-heard="{self._heard}">'
            f"{html.escape(', '.join(sides))}</p>"
        )

    def show(self, window: Window) -> None:
        """Show a window in all pictures."""
        self.set(window)
        self._changed()

    def _on_picked(self, text: str) -> None:
        cells, _, asked = text.partition("#")
        first, end, left, right = map(int, cells.split())
        self._heard = str(int(asked))
        self.show((first, end, left, right))

    def apply(self, state: Mapping[str, str]) -> None:
        """Choose the window of a state; ValueError if the grid has no such cells."""
        try:
            cells = tuple(map(int, state["window"].split(",")))
        except ValueError:
            cells = ()
        self.set(within(cells, self.grid))  # type: ignore[arg-type]
