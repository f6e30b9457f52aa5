"""See what compression does to fields and to models: sliders over a folder of results.

`explore` shows any ensemble or results folder, `explore_field` one array. Whatever a slider moves
is drawn by `views` within milliseconds; `picture` makes the same view again as a figure on paper.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab._files import replacing
from surrlab.explorer import html, paper, source
from surrlab.explorer.pages import FieldsPage, ModelsPage, row
from surrlab.explorer.settings import Shown
from surrlab.explorer.source import Gallery, OneField
from surrlab.simulation.scenario import LABELS

FIELDS, MODELS = "fields", "models"
_TROUBLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)


def explore(path: str | os.PathLike, *, ensemble: str | os.PathLike | None = None) -> Explorer:
    """Look into a folder: an ensemble, raw or compressed, or the results of a study.

    What cannot be shown is said in the widget, never raised.

    Parameters
    ----------
    path : path
        The folder.
    ensemble : path, optional
        The raw ensemble, where a results folder does not hold it.
    """
    return Explorer(path, ensemble=ensemble)


def explore_field(values, *, name: str = "field", unit: str = "", model_error=None) -> Explorer:
    """Look at one array ``(ny, nx)`` at every setting of the codec.

    Parameters
    ----------
    values : array (ny, nx)
        Finite numbers; row 0 is drawn at the bottom.
    name, unit : str
        What people read.
    model_error : float, optional
        Mean absolute error of a model on it, in its unit: then Algorithm 1's choice is marked.
    """
    return Explorer(values, name=name, unit=unit, model_error=model_error)


def picture(
    path: str | os.PathLike,
    *,
    simulation: int,
    time: int,
    field: str,
    tolerance: float | None = None,
    ensemble: str | os.PathLike | None = None,
) -> Figure:
    """What the explorer shows, as a figure.

    Parameters
    ----------
    path, ensemble : path
        As `explore` takes them.
    simulation, time : int
        Number of the simulation, and place of the time in it.
    field : str
        Its name.
    tolerance : float, optional
        Of the codec, in the field's unit (0: lossless). Without it: what the models make of it.

    Raises
    ------
    KeyError, IndexError
        If there is no such simulation, time or field.
    FileNotFoundError, ValueError
        If there is nothing to show.
    """
    found = source.open(path, ensemble)
    if field not in found.fields:
        raise KeyError(f"{path} has no field {field!r}; it has {', '.join(found.fields)}")
    if simulation not in found.simulations:
        raise KeyError(f"{path} has no simulation {simulation}")
    if not 0 <= time < len(found.times):
        raise IndexError(f"there is no time {time}: {path} has {len(found.times)}, from 0")
    if tolerance is None:
        return paper.models(found.compare(simulation, time, field))
    return paper.field(_at(found, simulation, time, field, tolerance))


def picture_field(
    values, *, tolerance: float, name: str = "field", unit: str = "", model_error=None
) -> Figure:
    """What `explore_field` shows at a tolerance (0: lossless), as a figure."""
    return paper.field(_at(OneField(values, name, unit, model_error), 0, 0, name, tolerance))


def _at(found: Gallery, simulation: int, time: int, field: str, tolerance: float) -> Shown:
    rung = found.ladder(simulation, time, field).rung_of(tolerance)
    return found.show(simulation, time, field, rung)


class Explorer(widgets.VBox):
    """The widget of `explore` and `explore_field`.

    Attributes
    ----------
    gallery : Gallery or None
        What is looked at; None where there is nothing, `message` says why.
    field, time, page : widgets
        What both pages share: Dropdown, SelectionSlider, ToggleButtons.
    fields, models : FieldsPage, ModelsPage
        The pages, with their own controls.
    """

    def __init__(self, source, *, ensemble=None, name="field", unit="", model_error=None):
        super().__init__()
        self.add_class("surrlab")
        self.gallery = self.fields = self.models = None
        self.message = ""
        self._ensemble = ensemble
        self._status = widgets.HTML()
        self._status.add_class("sl-status")
        self._of_folder = isinstance(source, str | os.PathLike)
        style = widgets.HTML(f"<style>{html.STYLE}</style>{html.SCRIPT}")
        style.layout.display = "block"
        self._body = widgets.VBox()
        self.folder = widgets.Text(
            value=str(source) if self._of_folder else "",
            description="Folder",
            tooltip="An ensemble's folder or a study's results; Enter opens another one",
            continuous_update=False,
            layout={"width": "min(420px, 95%)"},
        )
        self.children = [style, *([self.folder] if self._of_folder else []), self._body]
        self.folder.observe(lambda change: self._another(change.new), "value")
        if self._of_folder:
            self._open(lambda: source.open(source, ensemble))
        else:
            self._open(lambda: OneField(source, name, unit, model_error))

    def _another(self, path: str) -> None:
        self._ensemble = None  # it was the first folder's
        self._open(lambda: source.open(path))

    def say(self, text: str, trouble: bool = False) -> None:
        """Put a sentence under the view, or in its place."""
        self.message = text
        role = "alert" if trouble else "status"
        look = ' class="sl-trouble"' if trouble else ""
        self._status.value = f'<p role="{role}"{look}>{html.escape(text)}</p>'

    def _open(self, make: Callable[[], Gallery]) -> None:
        self.gallery = self.fields = self.models = None
        try:
            self.gallery = make()
            self._build()
        except _TROUBLE as error:
            self.gallery = None
            self._body.children = [self._status]
            self._complain(error)

    def _build(self) -> None:
        shown = self.gallery
        labels = [(LABELS.get(name, name), name) for name in shown.fields]
        self.field = widgets.Dropdown(
            options=labels,
            description="Field",
            tooltip="Which of the sample's fields to look at",
            layout={"width": "240px"},
            style={"description_width": "60px"},
        )
        times = [(f"{time:g} {shown.time_unit}", i) for i, time in enumerate(shown.times)]
        last = len(times) - 1
        self.time = widgets.SelectionSlider(
            options=times,
            value=round(0.8 * last),
            description="Time",
            tooltip="Time of the sample; arrow keys move by one",
            layout={"width": "280px"},
            style={"description_width": "50px"},
        )
        self.play = widgets.Play(
            value=self.time.index, max=last, interval=250, tooltip="Play the simulation in time"
        )
        self._link = widgets.jslink((self.play, "value"), (self.time, "index"))
        self.page = widgets.ToggleButtons(
            options=[("Fields", FIELDS), ("Models", MODELS)],
            description="Look at",
            tooltips=[
                "What the codec does to one field",
                "What models make of it that learned from compressed data",
            ],
        )
        self.page.style.button_width, self.page.layout.width = "80px", "270px"
        self.fields, self.models = FieldsPage(self), ModelsPage(self)
        self._bar = row()
        self.save = widgets.Button(
            description="Save PNG",
            icon="download",
            tooltip="Write this view as a picture into the notebook's folder",
        )
        self.save.on_click(lambda _: self.attempt(self._save))
        self._call = widgets.HTML()
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in shown.notes)
        head = widgets.HTML(
            f'<p class="sl-head">{html.escape(shown.heading)}</p>'
            + (f'<ul class="sl-notes">{notes}</ul>' if notes else "")
        )
        self._pages = widgets.VBox()
        self._body.children = [
            head, self._bar, self._pages, row(self.save, self._call), self._status
        ]  # fmt: skip
        self.message = self._status.value = ""
        self.field.observe(self.redraw, "value")
        self.time.observe(self.redraw, "value")
        self.page.observe(lambda _: self.attempt(self._turn), "value")
        self._turn()

    @property
    def shown_page(self) -> FieldsPage | ModelsPage:
        """The page that is looked at."""
        return self.fields if self.page.value == FIELDS else self.models

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something for a control; what goes wrong becomes a sentence in the widget."""
        try:
            action()
        except _TROUBLE as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self.say(str(error.args[0] if isinstance(error, KeyError) else error), trouble=True)

    def redraw(self, _=None) -> None:
        """Draw the page again, for a control that has moved."""
        self.attempt(self.shown_page.draw)

    def _turn(self):
        page = self.shown_page
        if not isinstance(self.gallery, OneField):
            self._bar.children = [self.page, page.simulation, self.field, self.time, self.play]
        self._pages.children = [page.box]
        page.draw()

    def drawn(self, call: str) -> None:
        """A page has drawn: forget what was said, and offer the call that draws the same."""
        if self.message:
            self.message = self._status.value = ""
        self._call.value = html.copy_button(call)

    def call(self) -> str:
        """Python that makes the figure of this view."""
        if isinstance(self.gallery, OneField):
            name = self.gallery.fields[0]
            more = {"name": name, "unit": self.gallery.units[name]}
            arguments = self.shown_page.arguments() | more
            arguments = {k: arguments[k] for k in ("tolerance", "name", "unit")}
            if self.gallery.error is not None:
                arguments["model_error"] = self.gallery.error
            function, first = "picture_field", "array"
        else:
            arguments = self.shown_page.arguments()
            if self._ensemble:
                arguments["ensemble"] = str(self._ensemble)
            function, first = "picture", repr(self.folder.value)
        listed = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        return f"from surrlab import explorer\nexplorer.{function}({first}, {listed})"

    def figure(self) -> Figure:
        """This view on paper; ValueError, with the reason, where there is none."""
        if self.gallery is None:
            raise ValueError(self.message)
        return self.shown_page.figure()

    def static(self):
        """This view as a picture that stays in a notebook without a kernel."""
        from IPython.display import HTML, Image

        if self.gallery is None:
            return HTML(f"<p>{html.escape(self.message)}</p>")
        return Image(self._png(), format="png", alt="the explorer's view when the notebook ran")

    def _png(self) -> bytes:
        out = io.BytesIO()
        self.figure().savefig(out, format="png")
        return out.getvalue()

    def _save(self):
        path = Path.cwd() / f"surrlab-{self.shown_page.name()}.png"
        data = self._png()
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        self.message = f"Saved as {path}"
        link = base64.b64encode(data).decode()
        self._status.value = (
            f'<p role="status">Saved as <code>{html.escape(str(path))}</code> '
            f'(<a download="{path.name}" href="data:image/png;base64,{link}">download</a>)</p>'
        )
