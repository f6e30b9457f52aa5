"""Boxes of the explorer's pages: rows that wrap, pictures under headings, colour bars."""

from __future__ import annotations

import importlib.resources
import re

import ipywidgets as widgets

from surrlab.data.fields import Grid
from surrlab.explorer import html


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


def panel(title: str, images: list, width: int) -> widgets.VBox:
    """Pictures under a heading."""
    layout = {"width": f"{width + 8}px", "align_items": "center"}
    column = widgets.VBox([widgets.HTML(html.heading(title)), *images], layout=layout)
    column.add_class("sl-column")
    return column


def picture_size(grid: Grid, height: int, width: int) -> tuple[int, int]:
    """Width and height in pixels of a picture inside a box.

    In true proportions, or with square cells where the axes have different units.
    """
    y, x = grid.y, grid.x
    aspect = y.length / x.length if y.unit == x.unit else y.n / x.n
    width = min(width, height / aspect)
    return max(round(width), 24), max(round(width * aspect), 24)


_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def page_style() -> str:
    """The style sheet and the script of the explorer, from the files in ``static/``."""
    folder = importlib.resources.files("surrlab.explorer") / "static"
    style, script = ((folder / f"explorer.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        f"<style>{style}</style>"
        f'<img alt="" width="0" height="0" src="{_PIXEL}" onload="{html.escape(script)}">'
    )
