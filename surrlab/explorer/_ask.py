"""The explorer's third page: ask the surrogate, with a slider for each parameter and for time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from surrlab._text import number, quantity
from surrlab.explorer import html
from surrlab.explorer._controls import SharedControls
from surrlab.explorer._figures import picture_of
from surrlab.explorer._layout import file_name, panel, picture_box, picture_size, row
from surrlab.explorer._look import Look, Shades
from surrlab.explorer._predictor import DIFFERENCE, PredictionView, Predictor, open_predictor
from surrlab.explorer._save import Frame, Shown
from surrlab.explorer._state import set_controls
from surrlab.explorer.comparison import RAW
from surrlab.figures.charts import draw_pictures, verbatim
from surrlab.figures.style import plain_text

_MEANINGS = {
    "difference L1": "Mean absolute difference between the lossy and the raw model's prediction.",
    "difference L∞": "Largest absolute difference of any cell.",
    "training variability": "Mean absolute difference, at this very place, between the raw model "
    "that is shown and raw models that differ in the seed alone.",
    "model error": "Mean absolute error of the raw models on the test samples: what the network "
    "gets wrong anyway.",
}


def headline(view: PredictionView) -> str:
    """How far the two models are apart, in a sentence; plain text."""
    if view.lossy is None:
        return "There is a raw model alone: train one on a compressed version to compare."
    if view.variability:
        share = _times(view.l1, view.variability)
        return f"The two models differ by {share} times what another seed of the raw model changes."
    return f"The two models differ by {quantity(view.l1, view.field.unit)} on average."


def _times(value: float, unit: float) -> str:
    return number(value / unit, 2 if value < 9 * unit else 3)


def numbers(view: PredictionView) -> str:
    """Differences, in the field's unit and in units of what models get wrong anyway, as a list."""
    unit, rows = view.field.unit, {}
    if view.lossy is not None:
        rows["difference L1"] = quantity(view.l1, unit)
        if view.model_error:
            rows["difference L1"] += f" ({_times(view.l1, view.model_error)} × model error)"
        rows["difference L∞"] = quantity(view.linf, unit)
    if view.variability is not None:
        rows["training variability"] = quantity(view.variability, unit)
        if view.variability and view.lossy is not None:
            share = _times(view.l1, view.variability)
            rows["training variability"] += f" (the difference is {share} × that)"
    rows["model error"] = quantity(view.model_error, unit)
    terms = "".join(
        f'<div title="{html.escape(_MEANINGS[name])}"><dt>{html.escape(name)}</dt>'
        f"<dd>{html.escape(text)}</dd></div>"
        for name, text in rows.items()
    )
    return f'<dl class="sl-numbers">{terms}</dl>'


@plain_text()
def prediction_figure(view: PredictionView, look: Look | None = None) -> Figure:
    """The raw model, the lossy one and their difference on paper."""
    look = look or Look()
    shades = look.shades(view.limits)
    figure = Figure(figsize=(12, 6), dpi=110, layout="constrained")
    panels = view.panels
    figure.suptitle(
        verbatim(f"{view.field.label} at {view.title}\n{headline(view)}"),
        x=0.01,
        ha="left",
        fontsize=11,
    )
    ends = Shades((-view.color_limit, view.color_limit), html.DIFFERENCE)
    pictures = [
        picture_of(name, values, view, ends, name, look)
        if name == DIFFERENCE
        else picture_of(name, values, view, shades, view.field.label, look)
        for name, values in view.panels.items()
    ]
    axes, bar = figure.subplots(1, len(panels), squeeze=False)[0], {"aspect": 25, "shrink": 0.9}
    draw_pictures(figure, axes[:2], pictures[:2], **bar)
    if len(panels) > 2:
        draw_pictures(figure, axes[2:], pictures[2:], **bar)
    return figure


# ------------------------------------------------------------------------------------------ page


class AskPage:
    """A slider for each parameter and for time; a raw and a lossy model, and their difference.

    Attributes
    ----------
    version : widgets.Dropdown
        Whose model stands beside the raw one.
    sliders : dict
        Name of an input -> its slider, from the least to the largest value of the training data.
    images : dict
        ``raw``, ``lossy`` and ``difference``: the pictures.
    """

    name = "ask"

    def __init__(self, shared: SharedControls):
        self.shared, self.results = shared, shared.results
        self.version = widgets.Dropdown(
            description="Beside raw",
            tooltip="The version whose model stands beside the raw model",
            layout={"width": "300px"},
            style={"description_width": "80px"},
        )
        self.sliders: dict[str, widgets.FloatSlider] = {}
        self.images: dict[str, widgets.Image] = {}
        self.headline, self.numbers = widgets.HTML(), widgets.HTML()
        self.headline.add_class("sl-headline")
        self.numbers.add_class("sl-list")
        self._bars = [widgets.HTML(), widgets.HTML()]
        self._titles = {name: widgets.HTML() for name in ("raw", "lossy", "difference")}
        self._predictor: Predictor | None = None
        self._fixed: list[widgets.Widget] = []
        self.box = widgets.VBox()

    @property
    def controls(self) -> tuple[widgets.Widget, ...]:
        """What stands above the page."""
        return (self.version, self.shared.field)

    def draw(self) -> None:
        """Draw what the controls say."""
        if self.shared.changing:
            return
        try:
            if self._predictor is None:
                self.box.children = [widgets.HTML(html.status("Loading the models …"))]
                self._build(open_predictor(self.results))
        except (OSError, ValueError) as error:
            self.box.children = [widgets.HTML(html.sentence(str(error)))]
            self.shared.status.say("")
            self.shared.code.offer({}, {"page": self.name})
            return
        assert self._predictor is not None
        view = self._predictor.view(self.values, self.version.value, self.shared.field.value)
        # Before its picture is there: that takes its name from the title.
        self._titles["lossy"].value = html.heading(view.version)
        if not self.images:  # not before there is something to show: loading takes seconds
            self._layout(bool(view.version))
        ends = (-view.color_limit, view.color_limit)
        shades = self.shared.look.show(view.field.name, view.limits)
        part = self.shared.look.zoom.index
        shown, differences = [view.raw[part]], []
        self.images["raw"].value = html.png(shown[0], *shades)
        if view.lossy is not None:
            shown.append(view.lossy[part])
            differences.append(view.panels[DIFFERENCE][part])
            self.images["lossy"].value = html.png(shown[1], *shades)
            self.images["difference"].value = html.png(differences[0], ends, html.DIFFERENCE)
        bars = html.color_bars(view.field, shades, shown, DIFFERENCE, view.color_limit, differences)
        for bar, drawn in zip(self._bars, bars, strict=True):
            bar.value = drawn
        self.headline.value = html.sentence(headline(view))
        self.numbers.value = numbers(view)
        self.shared.status.say("")
        self.shared.code.offer(self.arguments(), self.state())

    def _build(self, predictor: Predictor) -> None:
        attempt, versions = self.shared.status.attempt, predictor.versions
        self.version.options = versions or [("no lossy model", "")]
        self.version.value = predictor.first
        self.version.observe(lambda _: attempt(self.draw), "value")
        fixed = []
        for one in predictor.ranges:
            if one.low == one.high:
                text = f"{one.name} is {quantity(one.low, one.unit)} in all training data."
                fixed.append(widgets.HTML(html.sentence(text)))
                continue
            slider = widgets.FloatSlider(
                value=one.middle,
                min=one.low,
                max=one.high,
                step=(one.high - one.low) / 100,
                readout_format=".4g",
                description=one.label,
                tooltip=f"From {one.low:g} to {one.high:g}, as in the training data",
                layout={"width": "380px"},
                style={"description_width": "120px"},
            )
            slider.observe(lambda _: attempt(self.draw), "value")
            self.sliders[one.name] = slider
        self._predictor, self._fixed = predictor, fixed

    def _layout(self, lossy: bool) -> None:
        self._titles["raw"].value = html.heading(f"{RAW} (no loss)")
        self._titles["difference"].value = html.heading(f"{DIFFERENCE} (models)")
        self.frame_size = width, height = picture_size(self.results.truth.grid, 400, 258)
        shown = ("raw", "lossy", "difference") if lossy else ("raw",)
        self.images = {name: picture_box(width, height) for name in shown}
        panels = [panel("", [self.images[name]], max(width, 120)) for name in shown]
        for box, name in zip(panels, shown, strict=True):
            box.children = [self._titles[name], *box.children[1:]]
        pictures = row(
            widgets.VBox([widgets.HBox(panels[:2]), self._bars[0]]),
            *([widgets.VBox([panels[2], self._bars[1]])] if lossy else []),
        )
        notes = ["Sliders end where the training data end."]
        if self._predictor and self._predictor.missing:
            notes.append(
                f"The weights of {', '.join(self._predictor.missing)} are not here: run the study "
                "again, and they are trained."
            )
        lines = [*self._fixed, *(widgets.HTML(html.sentence(note)) for note in notes)]
        asked = widgets.VBox([*self.sliders.values(), *lines], layout={"width": "390px"})
        self.box.children = [self.headline, row(asked, pictures, self.numbers)]

    @property
    def values(self) -> dict[str, float]:
        """What is asked: a value for each input."""
        ranges = self._predictor.ranges if self._predictor else ()
        return {
            one.name: self.sliders[one.name].value if one.name in self.sliders else one.low
            for one in ranges
        }

    def view(self) -> PredictionView:
        """What is asked, answered; ValueError where there is no model."""
        if self._predictor is None:
            self._build(open_predictor(self.results))
        assert self._predictor is not None
        return self._predictor.view(self.values, self.version.value, self.shared.field.value)

    def arguments(self) -> dict[str, Any]:
        """Arguments of `picture_prediction`."""
        values = {name: float(f"{value:.6g}") for name, value in self.values.items()}
        asked = {"inputs": values, "field": self.shared.field.value}
        asked |= {"version": self.version.value} if self.version.value else {}
        return asked | self.shared.look.arguments

    def figure(self) -> Figure:
        """The page on paper."""
        view = self.view()
        return prediction_figure(view, self.shared.look.look(view.field.name, view.limits))

    def shades(self) -> Shades:
        """Colours of the field that is shown."""
        view = self.view()
        return self.shared.look.show(view.field.name, view.limits)

    def file_name(self) -> str:
        """Name of a file of this view, without its ending."""
        at = "-".join(f"{name}{value:.4g}" for name, value in self.values.items())
        return file_name(f"ask-{self.shared.field.value}-{at}")

    def _controls(self) -> dict[str, widgets.Widget]:
        asked = {f"in.{name}": slider for name, slider in self.sliders.items()}
        return {"version": self.version, "field": self.shared.field, **asked}

    def state(self) -> dict[str, Any]:
        """What the controls say, by name."""
        values = {name: control.value for name, control in self._controls().items()}
        short = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in values.items()}
        return {"page": self.name} | short | self.shared.look.state

    def apply(self, state: Mapping[str, str]) -> None:
        """Set the controls to a state; ValueError if one has no such value."""
        set_controls(self._controls(), state)
        self.shared.look.apply(self.shared.field.value, state)

    def shown(self) -> Shown:
        """The predictions, and how far they are apart."""
        view = self.view()
        rows = [
            ("difference L1", view.l1, view.field.unit),
            ("difference Linf", view.linf, view.field.unit),
            ("training variability", view.variability, view.field.unit),
            ("model error", view.model_error, view.field.unit),
        ]
        known = tuple((name, value, unit) for name, value, unit in rows if value is not None)
        return Shown(view.panels, view.field, view.grid, known, self.arguments())

    def frames(self) -> Iterator[Frame]:
        """The predictions at 25 times, from the first to the last of the training data."""
        asked, predictor = self.view(), self._predictor
        assert predictor is not None
        ends, time = (-asked.color_limit, asked.color_limit), predictor.ranges[-1]
        shades, part = self.shades(), self.shared.look.zoom.index
        for value in np.linspace(time.low, time.high, 25):
            values = self.values | {time.name: float(value)}
            view = predictor.view(values, self.version.value, self.shared.field.value)
            panels = [
                (name, html.png(one[part], ends, html.DIFFERENCE))
                if name == DIFFERENCE
                else (name, html.png(one[part], *shades))
                for name, one in view.panels.items()
            ]
            yield Frame(f"{view.field.label} at {view.title}", [panels])
