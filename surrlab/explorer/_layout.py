"""Boxes of the explorer's pages: rows that wrap, pictures under headings, colour bars."""

from __future__ import annotations

import re

import ipywidgets as widgets

from surrlab._text import with_unit
from surrlab.explorer import html
from surrlab.explorer.comparison import ModelView
from surrlab.explorer.settings import SampleField


def file_name(text: str) -> str:
    """Text as the name of a file: a field may be called anything."""
    return f"surrlab-{re.sub(r'[^A-Za-z0-9_.-]+', '_', text)}"


def row(*children: widgets.Widget) -> widgets.Box:
    """Children side by side, on a new line where there is no room."""
    box = widgets.Box(children)
    box.add_class("sl-wrap")
    return box


def picture_box(width: int, height: int) -> widgets.Image:
    """A picture of a field, in pixels; the page's script finds it by its class."""
    image = widgets.Image(format="png", layout={"width": f"{width}px", "height": f"{height}px"})
    return image.add_class("sl-field")


def draw_bars(
    bars: list[widgets.HTML],
    view: SampleField | ModelView,
    difference: str,
    color_limit: float | None = None,
) -> None:
    """Colour bars of a field and of its differences, up to ±`color_limit` or the view's own."""
    limits, end = view.limits, color_limit or view.color_limit
    ends = (-end, end)
    label, unit = with_unit(view.field.label, view.field.unit), view.field.unit
    bars[0].value = html.color_bar(limits, html.FIELD, label)
    bars[1].value = html.color_bar(ends, html.DIFFERENCE, with_unit(difference, unit))


def panel(title: str, images: list, width: int) -> widgets.VBox:
    """Pictures under a heading."""
    layout = {"width": f"{width + 8}px", "align_items": "center"}
    column = widgets.VBox([widgets.HTML(html.heading(title)), *images], layout=layout)
    column.add_class("sl-column")
    return column
