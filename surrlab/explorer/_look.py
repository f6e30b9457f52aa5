"""How fields look, the same on all pages: colour map, its ends, logarithmic or not; which part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import ipywidgets as widgets

from surrlab._text import number
from surrlab.data.fields import Grid
from surrlab.explorer._layout import row
from surrlab.explorer._state import set_controls
from surrlab.explorer._zoom import Window, Zoom, within
from surrlab.explorer.html import FIELD

SIGNED = "PuOr_r"
"""Map of a field of both signs, light at zero; differences have another one."""
MAPS = ("viridis", "cividis", "magma", "gray", SIGNED)
"""Maps to choose from: each grows evenly lighter, the last one towards zero from both sides."""
AUTOMATIC, FIXED = "automatic", "fixed"
_NAMES = {"gray": "grey", SIGNED: "purple to orange"}

Ends = tuple[float, float]


class Shades(NamedTuple):
    """Ends and map of the colours of a field, as `html.png` takes them."""

    limits: Ends
    cmap: str = FIELD
    log: bool = False


@dataclass(frozen=True)
class Look:
    """How a field is coloured, and which part of it is shown.

    Parameters
    ----------
    cmap : str, optional
        One of `MAPS`; by default viridis or, for a field of both signs, `SIGNED`.
    limits : tuple of float, optional
        Ends of the colours, in the field's unit; by default its range over the simulation.
    log : bool
        Whether colours are logarithmic.
    window : tuple of int, optional
        The cells that are shown: first row and the one after the last, from the bottom; then the
        columns. By default all.

    Raises
    ------
    ValueError
        If there is no such map, or the limits do not increase, or begin at 0 or below with `log`.
    """

    cmap: str = ""
    limits: Ends | None = None
    log: bool = False
    window: Window | None = None

    def __post_init__(self):
        if self.cmap and self.cmap not in MAPS:
            raise ValueError(f"there is no colour map {self.cmap!r} here, but {', '.join(MAPS)}")
        if self.limits is not None:
            low, high = self.limits
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"limits of colours must increase, not go from {low} to {high}")

    def part(self, grid: Grid) -> Window:
        """The cells of a grid that are shown; ValueError if it has no such cells."""
        return within(self.window or (0, grid.y.n, 0, grid.x.n), grid)

    def shades(self, limits: Ends) -> Shades:
        """Colours of a field whose values lie within `limits`; ValueError if `log` cannot be."""
        low, high = self.limits or limits
        # A sign counts from a quarter of the other, as in the figures.
        signed = -low > 0.25 * high and high > -0.25 * low
        if self.log and not low > 0:
            raise ValueError(f"logarithmic colours need values above 0, not from {number(low)} on")
        cmap = self.cmap or (SIGNED if signed and not self.log else FIELD)
        if cmap == SIGNED and signed and self.limits is None:
            high = max(-low, high)
            low = -high
        return Shades((low, high), cmap, self.log)


def _rounded(low: float, high: float) -> Ends:
    """Ends with few digits, at most a ten-thousandth of their distance further apart."""
    step = 10.0 ** (math.floor(math.log10(high - low)) - 4) or high - low
    down, up = (
        float(f"{way(end / step) * step:.12g}")
        for way, end in ((math.floor, low), (math.ceil, high))
    )
    return (down if down > 0 or not low > 0 else low), up


class LookControls:
    """Controls of the colours; limits are fixed for one field, map and scale hold for all.

    Parameters
    ----------
    grid : Grid
        Two axes.
    attempt : callable
        Does something, and says what goes wrong: `StatusLine.attempt`.

    Attributes
    ----------
    map, limits : widgets.Dropdown
        One of `MAPS` or nothing; `AUTOMATIC` or `FIXED`.
    low, high : widgets.FloatText
        Ends of the colours where they are fixed: those that were shown, until others are typed.
    log : widgets.Checkbox
        Greyed out where there are values at or below 0.
    zoom : Zoom
        The part that is shown.
    changed : callable
        Draws the shown page again.
    token : object
        Another one after each change.
    arguments, state : dict
        What the controls say of the field that is shown, for Python and for a state.
    """

    def __init__(self, grid: Grid, attempt: Callable[[Callable[[], None]], None]):
        self.changed: Callable[[], None] = lambda: None
        self._changing = False
        self._fixed: dict[str, Ends] = {}
        self._field, self._own = "", (0.0, 1.0)  # that is shown, and its range
        self.token: object = None
        self.arguments: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.map = widgets.Dropdown(
            options=[("automatic", ""), *((_NAMES.get(name, name), name) for name in MAPS)],
            description="Colours",
            tooltip="Colour map of the fields; automatic: around zero for a field of both signs",
            layout={"width": "208px"},
            style={"description_width": "72px"},
        )
        self.limits = widgets.Dropdown(
            options=[AUTOMATIC, FIXED],
            description="Limits",
            tooltip="Ends of this field's colours: its range over the simulation, or fixed ones",
            layout={"width": "160px"},
            style={"description_width": "50px"},
        )
        self.low, self.high = (
            widgets.FloatText(
                description=name,
                tooltip=f"Value at the {end} end of this field's colours, in its unit",
                layout={"width": "106px"},
                style={"description_width": "34px"},
            )
            for name, end in (("from", "low"), ("to", "high"))
        )
        self.log = widgets.Checkbox(
            indent=False,
            tooltip="Logarithmic colours: equal ratios look the same; values above 0 are needed",
            layout={"width": "172px"},
        )
        self._ends = widgets.HBox([])
        self.zoom = Zoom(grid, attempt, self._draw)
        zoom = self.zoom.place, self.zoom.whole, self.zoom.picked
        self.box = row(self.map, self.limits, self._ends, self.log, *zoom)
        for one in (self.map, self.log, self.low, self.high):
            one.observe(lambda _: attempt(self._moved), "value")
        self.limits.observe(lambda _: attempt(self._fix), "value")

    def look(self, field: str, limits: Ends) -> Look:
        """How a field with values within `limits` looks: logarithmic where it can be."""
        ends = self._fixed.get(field)
        log, window = self.log.value and (ends or limits)[0] > 0, self.zoom.window
        return Look(self.map.value, ends, log, window if window != self.zoom.all else None)

    def show(self, field: str, limits: Ends) -> Shades:
        """Show what holds of a field with values within `limits`, and return its colours."""
        self._field, self._own, self._changing = field, limits, True
        look, ends = self.look(field, limits), self._fixed.get(field)
        self.limits.value = AUTOMATIC if ends is None else FIXED
        if ends is not None:
            self.low.value, self.high.value = ends
        self._ends.children = [] if ends is None else [self.low, self.high]
        self.log.disabled = not (ends or limits)[0] > 0
        self.log.description = "log (needs values > 0)" if self.log.disabled else "log"
        self._changing, self.token = False, object()
        said = {"cmap": look.cmap, "limits": look.limits, "log": look.log, "window": look.window}
        self.arguments = {name: value for name, value in said.items() if value}
        ends_text = ends and ",".join(map(repr, ends))
        window = look.window and ",".join(map(str, look.window))
        state = {
            "map": look.cmap, "limits": ends_text, "log": int(self.log.value), "window": window
        }  # fmt: skip
        self.state = {name: value for name, value in state.items() if value}
        return look.shades(limits)

    def apply(self, field: str, state: Mapping[str, str]) -> None:
        """Set the controls to a state; ValueError if a map, limits or cells are not to be had."""
        if "limits" in state:
            low, _, high = state["limits"].partition(",")
            try:
                self._fixed[field] = Look(limits=(float(low), float(high))).limits
            except ValueError:
                raise ValueError(
                    f"the state has limits={state['limits']}, where two growing numbers belong"
                ) from None
        if "window" in state:
            self.zoom.apply(state)
        self._changing = True
        set_controls({"map": self.map, "log": self.log}, state)
        self._changing = False
        self._draw()

    def _moved(self) -> None:
        if self._changing:
            return
        if self.limits.value == FIXED:
            ends = self.low.value, self.high.value
            self._fixed[self._field] = Look(limits=ends).limits  # refused where they do not grow
        self._draw()

    def _fix(self) -> None:
        """Keep the ends that are shown, to be typed over; or follow the field again."""
        if self._changing:
            return
        low, high = self.look(self._field, self._own).shades(self._own).limits
        self._fixed.pop(self._field, None)
        if self.limits.value == FIXED:
            self._fixed[self._field] = _rounded(low, high) if low < high else (low - 1, high + 1)
        self._draw()

    def _draw(self) -> None:
        self.token = None
        self.changed()
