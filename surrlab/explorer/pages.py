"""The two pages of the explorer: a field at every setting, and what models predict of it.

Each page has its own controls and draws what they say; `SharedControls` belong to both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab._text import factor, with_unit
from surrlab.explorer import charts, html, source
from surrlab.explorer.comparison import TRUTH, ModelView
from surrlab.explorer.html import StatusLine
from surrlab.explorer.settings import (
    N_TOLERANCES,
    FieldSettings,
    FieldView,
    SampleField,
    is_algorithm_1,
)
from surrlab.explorer.source import ResultsView

_START = 20.0  # ratio to begin with where no model says better


class SharedControls:
    """Field, time and status line, which both pages share.

    `call` makes the Python that draws a view's figure from the view's `arguments`.
    """

    def __init__(self, results: ResultsView, status: StatusLine, call: Callable[[dict], str]):
        self.results, self.status, self.call = results, status, call
        self.code = widgets.HTML()
        self.field = widgets.Dropdown(
            options=[(field.label, field.name) for field in results.truth.fields],
            description="Field",
            tooltip="Which of the sample's fields to look at",
            layout={"width": "240px"},
            style={"description_width": "60px"},
        )
        self.time = widgets.SelectionSlider(
            options=[("", 0)],
            description="Time",
            tooltip="Time of the sample; arrow keys move by one",
            layout={"width": "280px"},
            style={"description_width": "50px"},
        )
        self.play = widgets.Play(interval=250, tooltip="Play the simulation in time")
        self._link = widgets.jslink((self.play, "value"), (self.time, "index"))
        self._times: tuple[float, ...] = ()
        self.changing = False  # while controls move by themselves, and not by a hand

    def show_times(self, times: tuple[float, ...]) -> None:
        """Let the slider run over the times of a simulation, near the time that was chosen."""
        if times == self._times:
            return
        here = self._times[self.time.value] if self._times else 0.8 * times[-1] + 0.2 * times[0]
        nearest = min(range(len(times)), key=lambda step: abs(times[step] - here))
        unit = self.results.truth.time_unit
        unit = "" if unit in ("", "1") else f" {unit}"
        self.changing = True
        self.time.options = [(f"{time:g}{unit}", step) for step, time in enumerate(times)]
        self.time.index = nearest
        self.play.max, self.play.value = len(times) - 1, nearest
        self.changing, self._times = False, times

    def drawn(self, arguments: dict[str, Any]) -> None:
        """After a page has drawn: clear the status line, and offer the code of the view."""
        self.status.say("")
        self.code.value = html.copy_button(self.call(arguments) if arguments else "")


class FieldPage:
    """Truth, decoded field and difference at one setting of the codec.

    Attributes
    ----------
    simulation : widgets.Dropdown
        Number of the simulation.
    setting : widgets.IntSlider
        Setting of the codec: 0 is lossless, to the right more is lost.
    keep : widgets.ToggleButtons
        What stays the same when another time, field or simulation is chosen.
    images : dict
        ``truth``, ``decoded`` and ``difference``: the pictures.
    """

    def __init__(self, shared: SharedControls):
        self.shared, self.results = shared, shared.results
        results, simulations = self.results, self.results.simulations
        held_out = {number: f"{number} (held out)" for number in results.held_out}
        self.simulation = widgets.Dropdown(
            options=[(held_out.get(number, str(number)), number) for number in simulations],
            value=next(filter(results.is_stored, simulations), simulations[0]),
            description="Simulation",
            tooltip="Which run of the simulation code; held out: models never saw it",
            layout={"width": "230px"},
        )
        self.setting = widgets.IntSlider(
            max=N_TOLERANCES,
            description="Setting",
            readout=False,
            tooltip="Of the codec, from lossless on the left to the loss of nearly everything",
            layout={"width": "100%"},
        )
        meanings = {
            "ratio": "Choose by compression ratio: it stays when time or field change",
            "tolerance": "Choose by tolerance: it stays when the time changes",
        }
        if results.has_model_errors:
            meanings[html.ALGORITHM_1] = (
                "Choose by the factor on Algorithm 1's tolerance, the largest error that the "
                "model cannot see: it stays when time or field change"
            )
        self.keep = widgets.ToggleButtons(
            options=list(meanings),
            value=html.ALGORITHM_1 if results.has_model_errors else "ratio",
            description="Choose by",
            tooltips=list(meanings.values()),
        )
        self.keep.style.button_width, self.keep.layout.width = "110px", "440px"
        width, height = html.picture_size(results.truth.grid, 400, 258)
        names = ("truth", "decoded", "difference")
        self.images = {name: _image(width, height) for name in names}
        self.readout, self.strip, self.headline, self.charts, self.numbers = (
            widgets.HTML() for _ in range(5)
        )
        self._bars = [widgets.HTML(), widgets.HTML()]
        self._remembered: dict[str, Any] = {"ratio": _START, "factor": 1.0}
        self._settings: FieldSettings | None = None
        self._drawn_at = self._drawn_limits = None
        self._version_notes: dict = {}
        attempt = shared.status.attempt
        self.simulation.observe(lambda _: attempt(self.draw), "value")
        self.setting.observe(lambda _: attempt(self._setting_moved), "value")
        self.keep.observe(lambda _: attempt(self._remember_setting), "value")
        self.box = self._layout(max(width, 120))

    def _layout(self, width: int) -> widgets.VBox:
        titles = {"difference": "decoded − truth"}
        panels = [
            _panel(titles.get(name, name), [image], width) for name, image in self.images.items()
        ]
        pictures = row(
            widgets.VBox([widgets.HBox(panels[:2]), self._bars[0]]),
            widgets.VBox([panels[2], self._bars[1]]),
        )
        slider = widgets.VBox([self.setting, self.strip], layout={"width": "min(760px, 98%)"})
        slider.add_class("sl-slider")
        self.readout.add_class("sl-readout")
        self.headline.add_class("sl-headline")
        self.charts.add_class("sl-charts")
        self.numbers.add_class("sl-list")
        rows = [row(self.keep, self.readout), slider, self.headline]
        return widgets.VBox([*rows, row(pictures, self.charts, self.numbers)])

    @property
    def at(self) -> tuple[int, int, str]:
        """Simulation, step and field that are shown."""
        return self.simulation.value, self.shared.time.value, self.shared.field.value

    def _setting_moved(self) -> None:
        if not self.shared.changing:
            self._remember_setting()
            self.draw()

    def _remember_setting(self) -> None:
        """Remember what the setting means, to find it again for another sample."""
        settings, setting = self._settings, self.setting.value
        if settings is None:
            return
        bound, chosen = float(settings.tolerances[setting]), settings.algorithm_1
        self._remembered = {
            "ratio": float(settings.ratios[setting]),
            "tolerance": (self.shared.field.value, bound),
            "factor": bound / chosen if chosen else 1.0,
        }

    def _restore_setting(self) -> None:
        """Move the slider to where it keeps its meaning for the sample that is now shown."""
        settings, known = self._settings, self._remembered
        chosen, setting = settings.algorithm_1, settings.nearest_ratio(known["ratio"])
        name, bound = known.get("tolerance", ("", 0.0))
        if self.keep.value == html.ALGORITHM_1 and chosen is not None:
            setting = settings.setting_of(chosen * known["factor"])
        elif self.keep.value == "tolerance" and name == self.shared.field.value:
            setting = settings.setting_of(bound)
        self.shared.changing = True
        self.setting.value = setting
        self.shared.changing = False

    def view(self) -> FieldView:
        """The field at its setting."""
        return self.results.field_view(*self.at, self.setting.value)

    def draw(self) -> None:
        """Draw what the controls say."""
        if self.shared.changing:
            return
        moved = self.at != self._drawn_at
        if moved:
            self.shared.show_times(self.results.truth.run(self.simulation.value).times)
            self._settings = self.results.field_settings(*self.at)
            self._restore_setting()
            self._name_settings()
        view = self._settings.view(self.setting.value)
        sample = view.sample
        differences = (-sample.color_limit, sample.color_limit)
        if (sample.limits, differences, sample.field) != self._drawn_limits:
            _draw_bars(self._bars, sample, "difference")
            self._drawn_limits = sample.limits, differences, sample.field
        if moved:
            self.images["truth"].value = html.png(sample.truth, sample.limits)
        self.images["decoded"].value = html.png(view.decoded, sample.limits)
        self.images["difference"].value = html.png(view.difference, differences, html.DIFFERENCE)
        self.charts.value = "".join(
            map(charts.svg, (charts.error_chart(view), charts.spectrum_chart(view)))
        )
        self.numbers.value = html.numbers(view)
        self.headline.value = html.sentence(html.headline(view))
        self._update_readout(view)
        self._drawn_at = self.at
        self.shared.drawn(self.arguments())

    def _name_settings(self) -> None:
        """Find the settings that are versions of the study, and what stands under them."""
        settings, self._names, self._versions = self._settings, {}, {}
        self._ticks = html.setting_ticks(settings)
        # Algorithm 1 first: where two versions share a setting, its name stands there.
        for version in sorted(settings.versions, key=is_algorithm_1, reverse=True):
            setting = settings.setting_of(settings.versions[version])
            # A version beyond the ends of the settings has no place among them.
            if settings.tolerances[setting] == settings.versions[version]:
                name = f"×{factor(version.factor)}" if version.rule != "fixed" else version.name
                self._names.setdefault(
                    setting, html.ALGORITHM_1 if is_algorithm_1(version) else name
                )
                self._versions.setdefault(setting, version)

    def _update_readout(self, view: FieldView) -> None:
        """The text beside the slider, and the marks under it."""
        setting = self.setting.value
        note = self._note(self._versions[setting]) if setting in self._versions else ""
        self.strip.value = html.settings_strip(self._ticks, self._names, setting)
        self.readout.value = html.readout(view, note)

    def _note(self, version) -> str:
        key = version, self.simulation.value
        if key not in self._version_notes:
            self._version_notes[key] = self.results.version_note(*key)
        return self._version_notes[key]

    def arguments(self) -> dict[str, Any]:
        """Arguments of `picture`."""
        simulation, step, name = self.at
        bound = float(self._settings.tolerances[self.setting.value])
        return {"simulation": simulation, "step": step, "field": name, "tolerance": bound}

    def figure(self) -> Figure:
        """The page on paper."""
        return charts.field_figure(self.view())

    def file_name(self) -> str:
        """Name of a file of this view, without its ending."""
        simulation, step, name = self.at
        return _file_name(f"{name}-simulation{simulation}-step{step}-{self.view().ratio:.0f}x")


class ModelPage:
    """Truth, raw model and one model per version; the curve in time; the verdicts.

    Attributes
    ----------
    simulation : widgets.Dropdown
        One of those that no model learned from.
    """

    def __init__(self, shared: SharedControls):
        self.shared, self.models = shared, shared.results.models
        self.simulation = widgets.Dropdown(
            options=list(self.models.simulations) if self.models else [],
            description="Simulation",
            tooltip="Held out: no model learned from it",
            layout={"width": "230px"},
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
        self.box = row(self._pictures, beside)

    def draw(self) -> None:
        """Draw what the controls say."""
        if self.shared.changing:
            return
        if self.models is None:
            self.box.children = [widgets.HTML(html.sentence(source.NO_MODELS))]
            self.shared.drawn({})
            return
        self.shared.show_times(self.models.test_set.run(self.simulation.value).times)
        if not self.images:
            self._pictures.children = [widgets.HTML(html.status("Loading the models …"))]
        view = self.view()
        if not self.images:
            self._layout(view)
        truth, differences = view.panels[TRUTH], (-view.color_limit, view.color_limit)
        for name, values in view.panels.items():
            upper, lower = self.images[name]
            upper.value = html.png(values, view.limits)
            if name != TRUTH:
                lower.value = html.png(values - truth, differences, html.DIFFERENCE)
        _draw_bars(self._bars, view, "model − truth")
        chart = view.curves and charts.curve_chart(view.curves, view.time)
        self.chart.value = charts.svg(chart, (500, 280)) if chart else ""
        self.verdicts.value = html.verdicts(view.verdicts)
        self.shared.drawn(self.arguments())

    def _layout(self, view: ModelView) -> None:
        width, height = html.picture_size(view.grid, 300, 150)
        columns = []
        for name in view.panels:
            upper, lower = _image(width, height), _image(width, height).add_class("sl-difference")
            self.images[name] = [upper, lower]
            beneath = widgets.VBox(self._bars) if name == TRUTH else lower
            # A second line for each: what stands beneath the titles must stand in one row.
            title = (
                name if "(" in name else f"{name} ({'simulation' if name == TRUTH else 'no loss'})"
            )
            columns.append(_panel(title, [upper, beneath], max(width, 120)))
        self._pictures.children = columns

    def view(self) -> ModelView:
        """Truth and models; ValueError where there are none."""
        shared = self.shared
        return shared.results.model_view(
            self.simulation.value, shared.time.value, shared.field.value
        )

    def arguments(self) -> dict[str, Any]:
        """Arguments of `picture`."""
        step, name = self.shared.time.value, self.shared.field.value
        return {"simulation": self.simulation.value, "step": step, "field": name}

    def figure(self) -> Figure:
        """The page on paper."""
        return charts.model_figure(self.view())

    def file_name(self) -> str:
        """Name of a file of this view, without its ending."""
        one = self.arguments()
        return _file_name(f"models-{one['field']}-simulation{one['simulation']}-step{one['step']}")


def _file_name(text: str) -> str:
    """Text as the name of a file: a field may be called anything."""
    return f"surrlab-{re.sub(r'[^A-Za-z0-9_.-]+', '_', text)}"


def row(*children: widgets.Widget) -> widgets.Box:
    """Children side by side, on a new line where there is no room."""
    box = widgets.Box(children)
    box.add_class("sl-wrap")
    return box


def _image(width: int, height: int) -> widgets.Image:
    image = widgets.Image(format="png", layout={"width": f"{width}px", "height": f"{height}px"})
    return image.add_class("sl-field")


def _draw_bars(bars: list[widgets.HTML], view: SampleField | ModelView, difference: str) -> None:
    """Colour bars of a field and of its differences."""
    limits, ends = view.limits, (-view.color_limit, view.color_limit)
    label, unit = with_unit(view.field.label, view.field.unit), view.field.unit
    bars[0].value = html.color_bar(limits, html.FIELD, label)
    bars[1].value = html.color_bar(ends, html.DIFFERENCE, with_unit(difference, unit))


def _panel(title: str, images: list, width: int) -> widgets.VBox:
    layout = {"width": f"{width + 8}px", "align_items": "center"}
    column = widgets.VBox([widgets.HTML(html.heading(title)), *images], layout=layout)
    column.add_class("sl-column")
    return column
