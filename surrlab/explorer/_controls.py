"""The controls of the first page: simulation, codec, setting, and what stays when others move."""

from __future__ import annotations

import ipywidgets as widgets

from surrlab.explorer import html
from surrlab.explorer._rates import LABELS
from surrlab.explorer.settings import N_TOLERANCES
from surrlab.explorer.source import ResultsView


def field_controls(
    results: ResultsView, field: str
) -> tuple[
    widgets.Dropdown, widgets.Dropdown, widgets.Checkbox, widgets.IntSlider, widgets.ToggleButtons
]:
    """Simulation, codec, lock of colours, setting, and what is kept, as `FieldPage` has them."""
    simulations = results.simulations
    held_out = {number: f"{number} (held out)" for number in results.held_out}
    simulation = widgets.Dropdown(
        options=[(held_out.get(number, str(number)), number) for number in simulations],
        value=next(filter(results.is_stored, simulations), simulations[0]),
        description="Simulation",
        tooltip="Which run of the simulation code; held out: models never saw it",
        layout={"width": "230px"},
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
    return simulation, codec, lock, setting, keep
