"""Controls: those that the pages share, and those of the first page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from surrlab.explorer import html
from surrlab.explorer._look import LookControls
from surrlab.explorer._rates import LABELS
from surrlab.explorer.html import StatusLine
from surrlab.explorer.settings import N_TOLERANCES
from surrlab.explorer.source import ResultsView


class SharedControls:
    """Field, time and status line, which the pages share.

    `call` makes the Python that draws a view's figure from the view's `arguments`; `source` says in
    a state what is looked at, nothing for an array.
    """

    def __init__(
        self,
        results: ResultsView,
        status: StatusLine,
        call: Callable[[dict], str],
        source: Mapping[str, Any],
    ):
        self.results, self.status, self.call = results, status, call
        self.look = LookControls(results.truth.grid, status.attempt)
        self.code = html.CodeLine(call, source)
        self.field = widgets.Dropdown(
            options=[(field.label, field.name) for field in results.truth.fields],
            description="Field",
            tooltip="Which of the sample's fields to look at",
            layout={"width": "206px"},
            style={"description_width": "44px"},
        )
        self.time = widgets.SelectionSlider(
            options=[("", 0)],
            description="Time",
            tooltip="Time of the sample; arrow keys move by one",
            layout={"width": "260px"},
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


def field_controls(
    results: ResultsView, field: str
) -> tuple[
    widgets.Dropdown, widgets.Dropdown, widgets.Checkbox, widgets.FloatText, widgets.IntSlider,
    widgets.ToggleButtons,
]:  # fmt: skip
    """The controls of `FieldPage`, in its order: from the simulation to what is kept."""
    simulations = results.simulations
    held_out = {number: f"{number} (held out)" for number in results.held_out}
    simulation = widgets.Dropdown(
        options=[(held_out.get(number, str(number)), number) for number in simulations],
        value=next(filter(results.is_stored, simulations), simulations[0]),
        description="Simulation",
        tooltip="Which run of the simulation code; held out: models never saw it",
        layout={"width": "206px"},
    )
    codec = widgets.Dropdown(
        options=[(LABELS.get(name, name), name) for name in results.codecs],
        value=results.codec(field).name,
        description="Codec",
        tooltip="Which codec the field is compressed with",
        layout={"width": "180px"},
        style={"description_width": "72px"},
    )
    lock = widgets.Checkbox(
        value=True,
        indent=False,
        description="same colours at every setting",
        tooltip="Keep the limits of the difference's colours; else they follow what is shown",
        layout={"width": "auto"},
    ).add_class("sl-lock")
    limit = widgets.FloatText(
        description="±",
        tooltip="Where the colours of the difference end, in the field's unit; typing locks them",
        layout={"width": "auto", "min_width": "110px"},
        style={"description_width": "14px"},
    )
    setting = widgets.IntSlider(
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
    keep = widgets.ToggleButtons(
        options=list(meanings),
        value=html.ALGORITHM_1 if results.has_model_errors else "ratio",
        description="Choose by",
        tooltips=list(meanings.values()),
    )
    keep.style.button_width, keep.layout.width = "106px", "auto"
    return simulation, codec, lock, limit, setting, keep
