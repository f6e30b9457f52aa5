"""The first page of the explorer: a field at every setting of a codec.

Each page has its own controls and draws what they say; `_controls.SharedControls` belong to all.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import ipywidgets as widgets

from surrlab.explorer import charts, html
from surrlab.explorer._all_fields import AllFields
from surrlab.explorer._controls import SharedControls, field_controls
from surrlab.explorer._field_files import FieldFiles
from surrlab.explorer._layout import panel, picture_box, picture_size, row
from surrlab.explorer._looks import OFF, Compare, LineCut, choice
from surrlab.explorer._rates import RatePanel, named_settings
from surrlab.explorer.settings import (
    FieldSettings,
    FieldView,
    is_algorithm_1,
)
from surrlab.explorer.source import ResultsView

ONE, ALL = "one field", "all fields"
_START = 20.0  # ratio to begin with where no model says better


class FieldPage(FieldFiles):
    """Truth, decoded field and difference at one setting of the codec.

    Attributes
    ----------
    simulation : widgets.Dropdown
        Number of the simulation.
    setting : widgets.IntSlider
        Setting of the codec: 0 is lossless, to the right more is lost.
    keep : widgets.ToggleButtons
        What stays the same when another time, field or simulation is chosen.
    codec : widgets.Dropdown
        Name of the codec.
    lock, limit : widgets.Checkbox, widgets.FloatText
        Whether the colours of the difference stay as they are, or follow what is shown; where they
        end.
    rates : RatePanel
        Ratio against error, with every codec.
    images : dict
        ``truth``, ``decoded`` and ``difference``: the pictures.
    which : widgets.ToggleButtons
        `ONE` field large, or `ALL` small.
    compare, cut : Compare, LineCut
        Wipe and blink between truth and decoded; a line through them.
    """

    name = "fields"

    def __init__(self, shared: SharedControls):
        self.shared, self.results = shared, shared.results
        results = self.results
        self.simulation, self.codec, self.lock, self.limit, self.setting, self.keep = (
            field_controls(results, shared.field.value)
        )
        width, height = picture_size(results.truth.grid, 360, 258)
        names = ("truth", "decoded", "difference")
        self.images = {name: picture_box(width, height) for name in names}
        self.readout, self.strip, self.headline, self.charts, self.numbers = (
            widgets.HTML() for _ in range(5)
        )
        self._bars = [widgets.HTML(), widgets.HTML()]
        self._remembered: dict[str, Any] = {"ratio": _START, "factor": 1.0}
        self._settings: FieldSettings | None = None
        self._drawn_at = self._token = None
        self._locked: tuple[str, float] | None = None  # field, and the limit of its differences
        self.rates = RatePanel(self._pick, results.file_ratios)
        self._version_notes: dict = {}
        attempt = shared.status.attempt
        self.simulation.observe(lambda _: attempt(self.draw), "value")
        self.codec.observe(lambda _: attempt(self.draw), "value")
        self.lock.observe(lambda change: attempt(lambda: self._lock_limits(change.new)), "value")
        self.limit.observe(lambda change: attempt(lambda: self._type_limit(change.new)), "value")
        self.setting.observe(lambda _: attempt(self._setting_moved), "value")
        self.keep.observe(lambda _: attempt(self._keep_chosen), "value")
        self.which = choice(
            [ONE, ALL],
            "Show",
            ["The chosen field, with its errors", "All fields of the sample, small"],
            "84px",
        )
        self.cut = LineCut(results.truth.grid, lambda: attempt(self.draw))
        self.all = AllFields(results.truth.fields, results.truth.grid, self._enlarge)
        self.which.observe(lambda _: attempt(self._show_which), "value")
        self.frame_size = width, height
        self.box = self._layout(max(width, 120))
        self.compare.how.observe(lambda _: attempt(self._say_drawn), "value")

    def _layout(self, width: int) -> widgets.VBox:
        titles = {"difference": "decoded − truth"}
        panels = [
            panel(titles.get(name, name), [image], width) for name, image in self.images.items()
        ]
        pair = widgets.HBox(panels[:2], layout={"min_width": f"{2 * width + 16}px"})
        self.compare = Compare(pair)
        pictures = row(
            widgets.VBox([pair, self._bars[0]]),
            widgets.VBox(
                [panels[2], self._bars[1], self.lock, self.limit],
                layout={"width": f"{width + 8}px"},
            ),
        )
        slider = widgets.VBox([self.setting, self.strip], layout={"width": "min(760px, 98%)"})
        slider.add_class("sl-slider")
        self.readout.add_class("sl-readout")
        self.headline.add_class("sl-headline")
        self.charts.add_class("sl-charts")
        self.numbers.add_class("sl-list")
        looks = (self.compare.how, self.cut.along, self.cut.controls, self.compare.wiper)
        self._one = [
            row(*looks),
            row(pictures, self.rates.box, self.cut.charts, self.numbers, self.charts),
            self.cut.picked,
        ]
        self._shown = widgets.VBox(self._one).add_class("sl-one")
        controls = row(self.which, self.codec, self.keep)
        return widgets.VBox([controls, row(slider, self.readout), self.headline, self._shown])

    def _show_which(self) -> None:
        """Show one field or all of them."""
        self._shown.children = [self.all.box] if self.which.value == ALL else self._one
        self._drawn_at = None
        self.draw()

    def _enlarge(self, name: str) -> None:
        """Show one of all fields alone."""
        self.shared.changing = True  # drawn once, at the end
        self.shared.field.value = name
        self.shared.changing = False
        self.which.value = ONE

    def _keep_chosen(self) -> None:
        self._remember_setting()
        self._say_drawn()

    def _say_drawn(self) -> None:
        if self._drawn_at:  # code and state alone
            self.shared.status.say("")
            self.shared.code.offer(self.arguments(), self.state())

    @property
    def at(self) -> tuple[int, int, str, str]:
        """Simulation, step, field and codec that are shown."""
        shared = self.shared
        return self.simulation.value, shared.time.value, shared.field.value, self.codec.value

    def _pick(self, what: str, setting: int | None) -> None:
        """Go to a codec's setting that was clicked, or where a key leads from here."""
        names = list(self.results.codecs)
        if setting is not None:
            self.codec.value = what
        elif what in ("ArrowUp", "ArrowDown"):
            step = 1 if what == "ArrowDown" else -1
            self.codec.value = names[(names.index(self.codec.value) + step) % len(names)]
            return
        else:
            here, last = self.setting.value, self.setting.max
            steps = {"ArrowLeft": here - 1, "ArrowRight": here + 1, "Home": 0, "End": last}
            setting = min(max(steps.get(what, here), 0), last)
        self.setting.value = setting

    def _lock_limits(self, locked: bool) -> None:
        """Keep the limits of the difference that are shown, or let them follow it."""
        if self.shared.changing:
            return
        self._locked = (self.shared.field.value, html.shown_limit(self.view())) if locked else None
        self.draw()

    def _type_limit(self, limit: float) -> None:
        if self.shared.changing:
            return
        if not 0 < limit < math.inf:
            raise ValueError(f"colours of a difference end at a number above 0, not at {limit:g}")
        self.shared.changing = self.lock.value = True
        self.shared.changing = False
        self._locked = self.shared.field.value, limit
        self.draw()

    def _color_limit(self, view: FieldView) -> float:
        if not self.lock.value:
            return html.shown_limit(view)
        field, limit = self._locked or ("", 0.0)
        return limit if field == self.shared.field.value else view.sample.color_limit

    def _follow_field(self) -> None:
        """Where each field is stored with a codec of its own: show the new one's with it."""
        if self._drawn_at and self._drawn_at[2] != self.shared.field.value:
            if self.codec.value == self._own_codec:
                self.shared.changing = True
                self.codec.value = self.results.codec(self.shared.field.value).name
                self.shared.changing = False

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
        self.shared.changing = True
        self.setting.value = self._setting_of(self._settings)
        self.shared.changing = False

    def _setting_of(self, settings: FieldSettings) -> int:
        """The setting of a field that means what was chosen."""
        known, chosen = self._remembered, settings.algorithm_1
        name, bound = known.get("tolerance", ("", 0.0))
        if self.keep.value == html.ALGORITHM_1 and chosen is not None:
            return settings.setting_of(chosen * known["factor"])
        if self.keep.value == "tolerance" and name == settings.sample.field.name:
            return settings.setting_of(bound)
        return settings.nearest_ratio(known["ratio"])

    def view(self) -> FieldView:
        """The field at its setting."""
        return self.results.field_settings(*self.at).view(self.setting.value)

    def look_at(self, results: ResultsView) -> None:
        """Show the same field of another plane."""
        self.results = self.shared.results = results
        self._drawn_at = None
        self.draw()

    def draw(self) -> None:
        """Draw what the controls say."""
        if self.shared.changing:
            return
        self._follow_field()
        moved = self.at != self._drawn_at
        if moved:
            self.shared.show_times(self.results.truth.run(self.simulation.value).times)
            self._settings = self.results.field_settings(*self.at)
            self._own_codec = self.results.codec(self.at[2]).name
            self._restore_setting()
            self._name_settings()
        view, look = self._settings.view(self.setting.value), self.shared.look
        if moved := moved or look.token is not self._token:
            self._shades = look.show(self.at[2], view.sample.limits)
            self._token = look.token
        self._draw_all() if self.which.value == ALL else self._draw_one(view, moved)
        self.headline.value = html.sentence(html.headline(view))
        self._update_readout(view)
        self._drawn_at = self.at
        self.shared.status.say("")
        self.shared.code.offer(self.arguments(), self.state())

    def _draw_all(self) -> None:
        simulation, step, name, codec = self.at
        chosen = codec if codec != self._own_codec else None
        views = {}
        for one in self.results.truth.field_names:
            settings = self.results.field_settings(simulation, step, one, chosen)
            here = self.setting.value if one == name else self._setting_of(settings)
            views[one] = settings.view(here)
        look = self.shared.look
        self.all.show(
            views,
            {
                one: look.look(one, view.sample.limits).shades(view.sample.limits)
                for one, view in views.items()
            },
            look.zoom.index,
        )

    def _draw_one(self, view: FieldView, moved: bool) -> None:
        sample = view.sample
        color_limit = self._color_limit(view)
        differences = (-color_limit, color_limit)
        part = self.shared.look.zoom.index
        truth, decoded, difference = (
            values[part] for values in (sample.truth, view.decoded, view.difference)
        )
        bars = html.color_bars(
            sample.field, self._shades, [truth, decoded], "difference", color_limit, [difference]
        )
        for bar, drawn in zip(self._bars, bars, strict=True):
            bar.value = drawn
        self.shared.changing = True
        self.limit.value = float(f"{color_limit:.4g}")
        self.shared.changing = False
        if moved:
            self.images["truth"].value = html.png(truth, *self._shades)
        self.images["decoded"].value = html.png(decoded, *self._shades)
        self.images["difference"].value = html.png(difference, differences, html.DIFFERENCE)
        self.charts.value = "".join(
            map(charts.svg, (charts.error_chart(view), charts.spectrum_chart(view)))
        )
        self.numbers.value = html.numbers(view)
        if self.cut.along.value != OFF or self.cut.charts.value:
            self.cut.show(view, color_limit, self.shared.look.zoom.window)
        plan = functools.partial(self.results.settings_by_codec, *self.at)
        self.rates.show((self.results.plane, *self.at), self._settings, plan, self.setting.value)

    def _name_settings(self) -> None:
        """Find the settings that are versions of the study, and what stands under them."""
        settings = self._settings
        self._ticks, self._names = html.setting_ticks(settings), named_settings(settings)
        self._versions: dict = {}
        for version in sorted(settings.versions, key=is_algorithm_1, reverse=True):
            self._versions.setdefault(settings.setting_of(settings.versions[version]), version)

    def _update_readout(self, view: FieldView) -> None:
        """The text beside the slider, and the marks under it."""
        setting = self.setting.value
        note = self._note(self._versions[setting]) if setting in self._names else ""
        self.strip.value = html.settings_strip(self._ticks, self._names, setting)
        self.readout.value = html.readout(view, note)

    def _note(self, version) -> str:
        key = version, self.simulation.value
        if key not in self._version_notes:
            self._version_notes[key] = self.results.version_note(*key)
        return self._version_notes[key]

    def arguments(self) -> dict[str, Any]:
        """Arguments of `picture`."""
        simulation, step, name, codec = self.at
        bound = float(self._settings.tolerances[self.setting.value])
        chosen = {"simulation": simulation, "step": step, "field": name, "tolerance": bound}
        chosen |= self.shared.look.arguments
        if codec != self._own_codec:
            chosen["codec"] = codec
        if self.results.plane:
            chosen["at"] = dict(self.results.plane)
        limit = self._color_limit(view := self._settings.view(self.setting.value))
        return chosen if limit == view.sample.color_limit else chosen | {"color_limit": limit}

    def _controls(self) -> dict[str, widgets.Widget]:
        """By name what a state says, in the order in which it is set."""
        return {
            "simulation": self.simulation,
            "step": self.shared.time,
            "field": self.shared.field,
            "codec": self.codec,
            "keep": self.keep,
            "setting": self.setting,
            "lock": self.lock,
            "row": self.cut.row,
            "column": self.cut.column,
            "show": self.which,
            "compare": self.compare.how,
            "cut": self.cut.along,
            "error": self.rates.measure,
        }

    def state(self) -> dict[str, Any]:
        """What the controls say, by name, but for what most views have; `apply` sets them."""
        state = {name: control.value for name, control in self._controls().items()}
        for name in ("show", "compare", "cut", "error"):
            if state[name] == self._controls()[name].options[0]:
                del state[name]
        if self.cut.along.value == OFF:
            del state["row"], state["column"]
        if state.pop("lock") is False:
            state["lock"] = 0
        elif self._locked:
            state["limit"] = self._locked[1]
        at = {f"at.{axis}": index for axis, index in self.results.plane}
        return {"page": self.name, **state, **self.shared.look.state, **at}
