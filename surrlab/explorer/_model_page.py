"""The second page of the explorer: what models predict that learned from compressed data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from surrlab.explorer import _figures, charts, html, source
from surrlab.explorer._controls import SharedControls
from surrlab.explorer._layout import file_name, panel, picture_box, picture_size, row
from surrlab.explorer._look import Shades
from surrlab.explorer._save import Frame, Shown, steps_of
from surrlab.explorer._state import set_controls
from surrlab.explorer.comparison import TRUTH, ModelView, VersionVerdict
from surrlab.figures.style import STATE_COLORS


class ModelPage:
    """Truth, raw model and one model per version; the curve in time; the verdicts.

    Attributes
    ----------
    simulation : widgets.Dropdown
        One of those that no model learned from.
    """

    name = "models"

    def __init__(self, shared: SharedControls):
        self.shared, self.models = shared, shared.results.models
        self.simulation = widgets.Dropdown(
            options=list(self.models.simulations) if self.models else [],
            description="Simulation",
            tooltip="Held out: no model learned from it",
            layout={"width": "206px"},
        )
        self.simulation.observe(lambda _: shared.status.attempt(self.draw), "value")
        self._pictures, self.chart, self.verdicts = widgets.Box(), widgets.HTML(), widgets.HTML()
        self._pictures.add_class("sl-wrap")
        self._pictures.add_class("sl-models")
        self.images: dict[str, list[widgets.Image]] = {}
        self._bars = [widgets.HTML(), widgets.HTML()]
        self.chart.add_class("sl-curve")
        self.verdicts.add_class("sl-list")
        beside = row(self.chart, self.verdicts)
        beside.add_class("sl-verdict-row")
        self._sizes = widgets.HTML(layout={"display": "none"})  # of the columns: a style sheet
        self.box = row(self._sizes, self._pictures, beside)

    def draw(self) -> None:
        """Draw what the controls say."""
        if self.shared.changing:
            return
        if self.models is None:
            self.box.children = [widgets.HTML(html.sentence(source.NO_MODELS))]
            self.shared.status.say("")
            self.shared.code.offer({}, self.state())
            return
        self.shared.show_times(self.models.test_set.run(self.simulation.value).times)
        if not self.images:
            self._pictures.children = [widgets.HTML(html.status("Loading the models …"))]
        view = self.view()
        if not self.images:
            self._layout(view)
        ends, part = (-view.color_limit, view.color_limit), self.shared.look.zoom.index
        shades = self.shared.look.show(view.field.name, view.limits)
        shown = {name: values[part] for name, values in view.panels.items()}
        truth, differences = shown[TRUTH], []
        for name, values in shown.items():
            upper, lower = self.images[name]
            upper.value = html.png(values, *shades)
            if name != TRUTH:
                differences.append(values - truth)
                lower.value = html.png(differences[-1], ends, html.DIFFERENCE)
        bars = html.color_bars(
            view.field, shades, list(shown.values()),
            "model − truth", view.color_limit, differences,
        )  # fmt: skip
        for bar, drawn in zip(self._bars, bars, strict=True):
            bar.value = drawn
        chart = view.curves and charts.curve_chart(view.curves, view.time)
        self.chart.value = charts.svg(chart, (500, 280)) if chart else ""
        self.verdicts.value = verdicts(view.verdicts)
        self.shared.status.say("")
        self.shared.code.offer(self.arguments(), self.state())

    def _layout(self, view: ModelView) -> None:
        self.frame_size = width, height = picture_size(view.grid, 300, 150)
        columns = []
        for name in view.panels:
            upper, lower = (
                picture_box(width, height),
                picture_box(width, height).add_class("sl-difference"),
            )
            self.images[name] = [upper, lower]
            beneath = widgets.VBox(self._bars) if name == TRUTH else lower
            # A second line for each: what stands beneath the titles must stand in one row.
            title = (
                name if "(" in name else f"{name} ({'simulation' if name == TRUTH else 'no loss'})"
            )
            columns.append(panel(title, [upper, beneath], max(width, 120)))
        self._pictures.children = columns
        self._sizes.value = (
            f"<style>.surrlab .sl-models {{ --n: {len(columns)}; --w: {max(width, 120) + 8}px; "
            f"--image: {width}px; --aspect: {width} / {height}; }}</style>"
        )

    def view(self) -> ModelView:
        """Truth and models; ValueError where there are none."""
        shared = self.shared
        return shared.results.model_view(
            self.simulation.value, shared.time.value, shared.field.value
        )

    def arguments(self) -> dict[str, Any]:
        """Arguments of `picture`."""
        step, name = self.shared.time.value, self.shared.field.value
        shown = {"simulation": self.simulation.value, "step": step, "field": name}
        return shown | self.shared.look.arguments

    def figure(self) -> Figure:
        """The page on paper."""
        view = self.view()
        return _figures.model_figure(view, self.shared.look.look(view.field.name, view.limits))

    def shades(self) -> Shades:
        """Colours of the field that is shown."""
        view = self.view()
        return self.shared.look.show(view.field.name, view.limits)

    def file_name(self) -> str:
        """Name of a file of this view, without its ending."""
        one = self.arguments()
        return file_name(f"models-{one['field']}-simulation{one['simulation']}-step{one['step']}")

    def _controls(self) -> dict[str, widgets.Widget]:
        names = {"simulation": self.simulation, "step": self.shared.time}
        return {**names, "field": self.shared.field}

    def state(self) -> dict[str, Any]:
        """What the controls say, by name."""
        said = {k: v.value for k, v in self._controls().items()}
        return {"page": self.name} | said | self.shared.look.state

    def apply(self, state: Mapping[str, str]) -> None:
        """Set the controls to a state; ValueError if one has no such value."""
        set_controls(self._controls(), state)
        self.shared.look.apply(self.shared.field.value, state)

    def shown(self) -> Shown:
        """Truth and predictions, with their errors and the verdicts."""
        view = self.view()
        rows: list[tuple[str, float | str, str]] = []
        for name, values in view.panels.items():
            if name != TRUTH:
                error = np.abs(values - view.panels[TRUTH])
                rows.append((f"L1 error, {name}", float(np.nanmean(error)), view.field.unit))
                rows.append((f"Linf error, {name}", float(np.nanmax(error)), view.field.unit))
        rows += [(f"verdict, {one.name}", one.state, "") for one in view.verdicts]
        return Shown(view.panels, view.field, view.grid, tuple(rows), self.arguments())

    def frames(self) -> Iterator[Frame]:
        """All models at each time of the simulation, above their differences from the truth."""
        name = self.shared.field.value
        n = len(self.models.test_set.run(self.simulation.value).times) if self.models else 0
        shades, part = self.shades(), self.shared.look.zoom.index
        for step in steps_of(n):
            view = self.shared.results.model_view(self.simulation.value, step, name)
            shown = {name: values[part] for name, values in view.panels.items()}
            truth, ends = shown[TRUTH], (-view.color_limit, view.color_limit)
            upper = [(name, html.png(values, *shades)) for name, values in shown.items()]
            lower = [("", html.png(v - truth, ends, html.DIFFERENCE)) for v in shown.values()]
            yield Frame(f"{view.field.label}, {view.title}", [upper, [("", b""), *lower[1:]]])


# ---------------------------------------------------------------------------------------- verdicts


def traffic_light(state: str) -> str:
    """A lamp for each state of a verdict, lit for one; words stand beside it."""
    lamps = "".join(
        f'<circle cx="11" cy="{11 + 18 * i}" r="7" fill="{color if name == state else "none"}" '
        f'stroke="{color if name == state else "#888"}" stroke-width="1.5"/>'
        for i, (name, color) in enumerate(reversed(STATE_COLORS.items()))
    )
    height = 4 + 18 * len(STATE_COLORS)
    return (
        f'<svg width="22" height="{height + 2}" aria-hidden="true"><rect x="1" y="1" width="20" '
        f'height="{height}" rx="7" fill="none" stroke="#888"/>{lamps}</svg>'
    )


def verdicts(rows: Iterable[VersionVerdict]) -> str:
    """A traffic light with state and reason for each version."""
    cards = [
        f"<li>{traffic_light(row.state)}<p><strong>{html.escape(row.name)}: "
        f'<span style="color:{STATE_COLORS.get(row.state, "currentColor")}">'
        f"{html.escape(row.state)}</span></strong><br>{html.escape(row.reason)}</p></li>"
        for row in rows
    ]
    if not cards:
        return "<p>No verdict is stored here.</p>"
    return f'<ul class="sl-verdicts" aria-label="verdicts">{"".join(cards)}</ul>'
