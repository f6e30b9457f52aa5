"""Ways to look at truth and decoded field: side by side, wiped, blinking; cut along a line."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from surrlab._text import number, quantity, with_unit
from surrlab.data.fields import Axis, Grid
from surrlab.explorer import charts, html
from surrlab.explorer._zoom import Window, edges
from surrlab.explorer.settings import FieldView
from surrlab.figures.charts import Chart, ChartAxis, Curve, Mark

SIDES, WIPE, BLINK = "side by side", "wipe", "blink"
OFF, ROW, COLUMN = "off", "row", "column"

_WIPE = (
    '<label class="sl-wiper">truth <input type="range" min="0" max="100" value="50" '
    'class="sl-wipe" aria-label="Wipe from truth to decoded" data-lm-suppress-shortcuts="true" '
    'title="Left of here stands the truth, right of it the decoded field"> decoded</label>'
)


def choice(options: list[str], name: str, tips: list[str], width: str) -> widgets.ToggleButtons:
    """Buttons of which one is pressed."""
    buttons = widgets.ToggleButtons(options=options, description=name, tooltips=tips)
    buttons.style.button_width, buttons.layout.width = width, "auto"
    return buttons


class Compare:
    """Truth and decoded field side by side, or one over the other: the browser does it alone.

    Attributes
    ----------
    how : widgets.ToggleButtons
        `SIDES`, `WIPE` or `BLINK`.
    wiper : widgets.HTML
        A slider: how far the truth reaches.
    """

    def __init__(self, pair: widgets.Box):
        self._pair = pair.add_class("sl-pair")
        self.how = choice(
            [SIDES, WIPE, BLINK],
            "Compare",
            [
                "Truth and decoded field next to each other",
                "The truth left of a line, the decoded field right of it",
                "Truth and decoded field in turns at the same place",
            ],
            "104px",
        )
        self.wiper = widgets.HTML(_WIPE)
        self.wiper.add_class("sl-hidden")
        self.how.observe(lambda change: self._show(change.new), "value")

    def _show(self, how: str) -> None:
        for name, here in (("sl-over", how != SIDES), ("sl-wiped", how == WIPE),
                           ("sl-blink", how == BLINK)):  # fmt: skip
            (self._pair.add_class if here else self._pair.remove_class)(name)
        (self.wiper.remove_class if how == WIPE else self.wiper.add_class)("sl-hidden")


class LineCut:
    """A row or a column through the chosen cell: truth, decoded field and their difference.

    Parameters
    ----------
    grid : Grid
        Two axes.
    draw : callable
        Draws the page again.

    Attributes
    ----------
    along : widgets.ToggleButtons
        `OFF`, `ROW` or `COLUMN`.
    row, column : widgets.IntSlider
        The cell; a click on a picture moves both.
    picked : widgets.Text
        Where the page's script writes what was clicked, ``"row column"``.
    """

    def __init__(self, grid: Grid, draw: Callable[[], None]):
        self.grid, self._draw = grid, draw
        self._changing = False
        self.along = choice(
            [OFF, ROW, COLUMN],
            "Cut",
            [
                "Without a cut through the pictures",
                "Values along the row through the chosen cell",
                "Values along the column through the chosen cell",
            ],
            "78px",
        )
        self.row, self.column = (
            widgets.IntSlider(
                value=axis.n // 2,
                max=axis.n - 1,
                description=name,
                readout=False,
                tooltip="Of the cell that the cut goes through; a click on a picture moves it",
                layout={"width": "230px"},
            )
            for name, axis in (("Row", grid.y), ("Column", grid.x))
        )
        self.picked = widgets.Text(layout={"display": "none"}).add_class("sl-picked")
        self.charts = widgets.HTML().add_class("sl-cuts")
        self.controls = widgets.HBox([])
        self.along.observe(lambda _: self._switched(), "value")
        for slider in (self.row, self.column):
            slider.observe(lambda _: None if self._changing else draw(), "value")
        self.picked.observe(lambda change: self._on_picked(change.new), "value")

    @property
    def on(self) -> bool:
        """Whether there is a cut."""
        return self.along.value != OFF

    def _switched(self) -> None:
        self.controls.children = [self.row, self.column] if self.on else []
        self._draw()

    def _on_picked(self, text: str) -> None:
        row, column = map(int, text.partition("#")[0].split())
        self._changing = True
        self.row.value, self.column.value = row, column
        self._changing = False
        if self.on:
            self._draw()
        else:
            self.along.value = ROW

    def show(self, view: FieldView, color_limit: float, window: Window) -> None:
        """Draw the cut through a window of a view; differences reach to ±`color_limit`."""
        if not self.on:
            if self.charts.value:
                self.charts.value = ""
            return
        y, x = self.grid.y, self.grid.x
        first, end, left, right = window
        # Places within the window: below 0 and above 1 they lie outside of it.
        up, along = (
            (self.row.value + 0.5 - first) / (end - first),
            (self.column.value + 0.5 - left) / (right - left),
        )
        axis, index = (y, self.row.value) if self.along.value == ROW else (x, self.column.value)
        place = html.escape(f"{axis.name} = {_at(axis, index)}")
        drawn = "".join(map(charts.svg, self.describe(view, color_limit, window)))
        self.charts.value = (
            f'<div class="sl-cut" data-along="{self.along.value}" data-row="{up:.4f}" '
            f'data-column="{along:.4f}" data-place="{place}">{drawn}</div>'
        )

    def describe(
        self, view: FieldView, color_limit: float, window: Window | None = None
    ) -> tuple[Chart, Chart]:
        """The values along the cut, and their difference; by default through the whole field."""
        first, end, left, right = window or (0, self.grid.y.n, 0, self.grid.x.n)
        y, x, sample = self.grid.y, self.grid.x, view.sample
        row, column = self.row.value, self.column.value
        if self.along.value == ROW:
            line, axis, fixed, other = (row, slice(None)), x, f"{y.name} = {_at(y, row)}", column
        else:
            line, axis, fixed, other = (slice(None), column), y, f"{x.name} = {_at(x, column)}", row
        unit, points = sample.field.unit, axis.centres
        truth, decoded, difference = (
            np.asarray(one[line], np.float64)
            for one in (sample.truth, view.decoded, view.difference)
        )
        place, low, high = f"{axis.name} = {_at(axis, other)}", *sample.limits
        if not low < high:
            low, high = low - 1, high + 1
        there = Mark(
            float(points[other]), f"{place}: {quantity(difference[other], unit)}", dash=(1, 3)
        )
        ends = edges(axis, left, right) if self.along.value == ROW else edges(axis, first, end)
        along = ChartAxis(with_unit(axis.name, axis.unit), (min(ends), max(ends)))
        values = f"{number(truth[other])} → {quantity(decoded[other], unit)}"
        here = Mark(float(points[other]), f"{place}: {values}", dash=(1, 3))
        return (
            Chart(
                title=f"Along {axis.name} at {fixed}",
                x=along,
                y=ChartAxis(with_unit(sample.field.label, unit), (low, high)),
                elements=(
                    *_curves(points, truth, "truth", width=2.2),
                    *_curves(points, decoded, "decoded", charts.DECODED, (6, 3), 2),
                    here,
                ),
                summary=f"Truth and decoded field along {fixed}",
            ),
            Chart(
                title=f"decoded − truth at {fixed}",
                x=along,
                y=ChartAxis(with_unit("decoded − truth", unit), (-color_limit, color_limit)),
                elements=(*_curves(points, difference, "difference", charts.ERROR), there),
                summary=f"Difference along {fixed}",
            ),
        )


def _curves(x: np.ndarray, y: np.ndarray, label: str, *look, **more) -> list[Curve]:
    """A curve, in pieces where a mask interrupts it."""
    ends = np.flatnonzero(np.diff(np.isnan(y), prepend=True, append=True)).reshape(-1, 2)
    pieces = [Curve(x[a:b], y[a:b], label, *look, **more) for a, b in ends.tolist()]
    return [*pieces[:1], *(Curve(p.x, p.y, "", p.color, p.dash, p.width) for p in pieces[1:])]


def _at(axis: Axis, index: int) -> str:
    return quantity(axis.points[index], axis.unit)
