"""All fields of a sample at once, small; a click on a name shows that one large."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from surrlab._text import number, quantity, times
from surrlab.data.fields import Field, Grid
from surrlab.explorer import html
from surrlab.explorer._layout import picture_box, picture_size, row
from surrlab.explorer._look import Shades
from surrlab.explorer.settings import FieldView


class AllFields:
    """Truth, decoded field and difference of each field, one above the other.

    Parameters
    ----------
    fields : sequence of Field
        Those of the sample.
    grid : Grid
        Two axes.
    choose : callable
        Takes the name of the field that is to be shown large.

    Attributes
    ----------
    images : dict
        Name of a field -> its three pictures.
    names : dict
        Name of a field -> its button.
    """

    def __init__(self, fields: Sequence[Field], grid: Grid, choose: Callable[[str], None]):
        width, height = picture_size(grid, 170, 150)
        self.images: dict[str, list[widgets.Image]] = {}
        self.names: dict[str, widgets.Button] = {}
        self._texts: dict[str, widgets.HTML] = {}
        columns = []
        for field in fields:
            self.images[field.name] = [picture_box(width, height) for _ in range(3)]
            self._texts[field.name] = widgets.HTML().add_class("sl-small")
            button = widgets.Button(
                description=field.label,
                tooltip=f"Show {field.label} alone, large",
                layout={"width": f"{max(width, 150)}px"},
            )
            button.on_click(lambda _, name=field.name: choose(name))
            self.names[field.name] = button
            layout = {"width": f"{max(width, 150) + 8}px", "align_items": "center"}
            children = [button, *self.images[field.name], self._texts[field.name]]
            columns.append(widgets.VBox(children, layout=layout).add_class("sl-column"))
        legend = widgets.HTML(
            "<p>From above: truth, decoded, decoded − truth. Each on colours of its own.</p>"
        )
        self.box = widgets.VBox([row(*columns), legend])

    def show(
        self, views: dict[str, FieldView], shades: dict[str, Shades], part: tuple[slice, slice]
    ) -> None:
        """Draw a part of each field at its setting, in its colours."""
        for name, view in views.items():
            sample, end = view.sample, view.sample.color_limit
            truth, decoded, difference = self.images[name]
            truth.value = html.png(sample.truth[part], *shades[name])
            decoded.value = html.png(view.decoded[part], *shades[name])
            difference.value = html.png(view.difference[part], (-end, end), html.DIFFERENCE)
            share = quantity(view.losses.l1, sample.field.unit)
            if view.share is not None:
                share = f"{number(view.share, 2)} × model error"
            self._texts[name].value = (
                f"<p>{times(view.ratio)}</p><p>L1 {html.escape(share)}</p>"
                f"<p>±{html.escape(quantity(end, sample.field.unit))}</p>"
            )
