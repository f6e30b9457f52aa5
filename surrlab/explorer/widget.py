"""Sliders over a folder of results: what compression does to fields and to models.

`explore` shows any ensemble, results folder or file of arrays, `explore_field` one array; `_paper`
makes the same views as figures.
"""

from __future__ import annotations

import base64
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab._files import replacing
from surrlab._injected import check_parameters
from surrlab.explorer import _save, html
from surrlab.explorer._ask import AskPage
from surrlab.explorer._chooser import Chooser
from surrlab.explorer._controls import SharedControls
from surrlab.explorer._layout import page_style, row
from surrlab.explorer._model_page import ModelPage
from surrlab.explorer._opening import open_field, open_results
from surrlab.explorer._save import FORMATS
from surrlab.explorer._state import indices, is_state, read_state, set_controls
from surrlab.explorer.html import StatusLine
from surrlab.explorer.pages import FieldPage
from surrlab.explorer.source import ResultsView

FIELDS, MODELS, ASK = FieldPage.name, ModelPage.name, AskPage.name


def explore(
    path: str | os.PathLike, *, ensemble: str | os.PathLike | None = None, trust: bool = False
) -> Explorer:
    """Look into an ensemble, raw or compressed, the results of a study, or a file with arrays.

    What cannot be shown is said in the widget, never raised; a parameter that papermill gave the
    notebook, and that it does not have, is a ValueError.

    Parameters
    ----------
    path : path
        The folder; or an npy, npz, NetCDF or HDF5 file, whose arrays of two axes or more are shown.
    ensemble : path, optional
        The raw ensemble, where a results folder does not hold it.
    trust : bool
        Import the networks that this folder calls ``"module:factory"``, as `training.load` does.
    """
    check_parameters()
    return Explorer(path, ensemble=ensemble, trust=trust)


def explore_field(
    values, *, name: str = "field", unit: str = "", model_error: float | None = None
) -> Explorer:
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


def restore(state: str, *, trust: bool = False) -> Explorer:
    """Open the explorer where a state was copied.

    Parameters
    ----------
    state : str
        The text beside *Copy state*; its folder is seen from here.
    trust : bool
        As `explore` takes it; no state says it itself.

    Raises
    ------
    ValueError
        If it is no state. What cannot be shown is said in the widget.
    """
    read_state(state)
    return Explorer(state, trust=trust)


class Explorer(widgets.VBox):
    """The widget of `explore` and `explore_field`.

    Attributes
    ----------
    results : ResultsView or None
        What is looked at; None where there is nothing, `message` says why.
    field, time, page : widgets
        What both pages share: Dropdown, SelectionSlider, ToggleButtons.
    fields, models, ask : FieldPage, ModelPage, AskPage
        The pages, with their own controls.
    chooser : Chooser
        What is looked at; not for an array.
    """

    def __init__(
        self, source, *, ensemble=None, trust=False, name="field", unit="", model_error=None
    ):
        super().__init__()
        self.add_class("surrlab")
        self._status, self._body = StatusLine(), widgets.VBox()
        style = widgets.HTML(page_style())
        style.layout.display = "block"
        if isinstance(source, str | os.PathLike):
            named = str(source)
            self.chooser = Chooser(
                read_state(named)["folder"] if is_state(named) else named,
                self._status,
                lambda path, variable: self._open_path(path, variable=variable),
                self._move,
            )
            self.folder = self.chooser.folder
            self.children = [style, self.chooser.box, self._body]
            self._open_path(named, ensemble, trust)
        else:
            always = {"name": name, "unit": unit}
            always |= {} if model_error is None else {"model_error": model_error}
            self.children = [style, self._body]

            def call(view: dict[str, Any]) -> str:
                places = ("simulation", "step", "field")
                chosen = {name: said for name, said in view.items() if name not in places}
                return html.python_call("picture_field", "array", always, chosen)

            self._open(lambda: open_field(source, name, unit, model_error), call, alone=True)

    @property
    def message(self) -> str:
        """What went wrong or was saved, in a sentence; empty if there is nothing to say."""
        return self._status.message

    def _open_path(self, path, ensemble=None, trust: bool = False, variable=None, at=None) -> None:
        if is_state(path):
            self._status.attempt(lambda: self._restore(read_state(path), trust))
            return
        always = {"ensemble": str(ensemble)} if ensemble else {}
        call = functools.partial(html.folder_call, repr(str(path)), always, trust)

        def make() -> ResultsView:
            results = open_results(path, ensemble, variable, at)
            if results.variables:
                always["variable"] = self._source["variable"] = results.variable
            if results.models is not None:
                results.models.trust = trust  # of this folder, and of no other that is opened here
            return results

        self._source = {"folder": str(path), **always}
        self._open(make, call)
        self.chooser.show(self.results)

    def _restore(self, state: Mapping[str, str], trust: bool) -> None:
        """Open what a state names, and set the controls to what it says."""
        names = (state.get("ensemble"), trust, state.get("variable"), indices(state))
        self._open_path(state["folder"], *names)
        self.chooser.rename(state["folder"])
        if self.results is not None:
            set_controls({"page": self.page}, state)
            self.shown_page.apply(state)

    def _move(self, at: dict[str, int], other_axes: bool) -> None:
        """Show another plane of what is open."""
        results, call = self.results, self._shared.call
        if results is None:
            return
        if other_axes:
            pair, grid = self.chooser.plane.value, results.truth.whole.grid
            at = {one.name: one.n // 2 for one in grid.axes if one.name not in pair}
            self._open(lambda: results.at(at), call)
            self.chooser.show(self.results)
            return
        self.results = results.at(at)
        self.fields.look_at(self.results)

    def _open(self, make: Callable[[], ResultsView], call, alone: bool = False) -> None:
        self.results = self.fields = self.models = self.ask = None
        self._body.children = [self._status]

        def build() -> None:
            results = make()
            self._build(results, call, alone)
            self.results = results
            self._show_page()

        self._status.attempt(build)

    def _build(self, results: ResultsView, call, alone: bool) -> None:
        self._shared = SharedControls(results, self._status, call, {} if alone else self._source)
        self.field, self.time, self.play = (
            getattr(self._shared, name) for name in ("field", "time", "play")
        )
        self.page = widgets.ToggleButtons(
            options=[("Fields", FIELDS), ("Models", MODELS), ("Ask", ASK)],
            description="Look at",
            tooltips=[
                "What the codec does to one field",
                "What models predict that learned from compressed data",
                "What the models answer at parameters of your choice",
            ],
        )
        self.page.style.button_width, self.page.layout.width = "72px", "316px"
        self.fields, self.models = FieldPage(self._shared), ModelPage(self._shared)
        self.ask = AskPage(self._shared)
        self._bar = None if alone else row()
        self.format = widgets.Dropdown(
            options=list(FORMATS),
            description="Save as",
            tooltip="A picture, the arrays, the numbers, or all times as a moving picture",
            layout={"width": "160px"},
            style={"description_width": "60px"},
        )
        self.save = widgets.Button(
            description="Save",
            icon="download",
            tooltip="Write this view as a file into the notebook's folder",
            layout={"width": "90px"},
        )
        self.save.on_click(lambda _: self._status.attempt(self._save))
        head = widgets.HTML(html.page_head(results.heading, results.notes))
        self._pages = widgets.VBox()
        saving = row(self.format, self.save, self._shared.code)
        rows = [head, self._bar, self._shared.look.box, self._pages, saving, self._status]
        self._body.children = [one for one in rows if one is not None]
        for control in (self.field, self.time):
            control.observe(lambda _: self._status.attempt(self.shown_page.draw), "value")
        self.page.observe(lambda _: self._status.attempt(self._show_page), "value")
        self._shared.look.changed = lambda: self.shown_page.draw()

    @property
    def shown_page(self) -> FieldPage | ModelPage | AskPage:
        """The page that is looked at."""
        return {FIELDS: self.fields, MODELS: self.models, ASK: self.ask}[self.page.value]

    def _show_page(self) -> None:
        page = self.shown_page
        if self._bar is not None:
            controls = (
                page.controls
                if isinstance(page, AskPage)
                else (page.simulation, self.field, self.time, self.play)
            )
            self._bar.children = [self.page, *controls]
        self._pages.children = [page.box]
        page.draw()

    def call(self) -> str:
        """Python that makes the figure of this view."""
        return self._shared.call(self.shown_page.arguments())

    def figure(self) -> Figure:
        """This view on paper; ValueError, with the reason, where there is none."""
        if self.results is None:
            raise ValueError(self.message)
        return self.shown_page.figure()

    def static(self):
        """This view as a picture that stays in a notebook without a kernel."""
        from IPython.display import HTML, Image

        if self.results is None:
            return HTML(html.sentence(self.message))
        picture = _save.picture(self.figure, "png")
        return Image(picture, format="png", alt="the explorer's view when the notebook ran")

    @property
    def state(self) -> str:
        """What `restore` reopens this view from; empty for an array."""
        return self._shared.code.state if self.results is not None else ""

    def _save(self) -> None:
        page, kind = self.shown_page, self.format.value
        path = Path.cwd() / f"{page.file_name()}{_save.ending(kind)}"
        data = _save.contents(page, kind)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        link = base64.b64encode(data).decode()
        said = html.download(str(path), path.name, link, FORMATS[kind])
        self._status.say(f"Saved as {path}", said)
