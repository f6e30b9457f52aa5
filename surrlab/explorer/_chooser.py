"""What to look at: a folder or a file, an array of it, and the plane of what has more axes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from surrlab.explorer._layout import row
from surrlab.explorer._opening import open_results
from surrlab.explorer._planes import FILES, Planes, place
from surrlab.explorer.html import StatusLine
from surrlab.explorer.source import ResultsView

_MOST = 1000  # entries of a list


class Chooser:
    """The controls above the pages: which folder or file, which array, which plane.

    Parameters
    ----------
    path : str
        Folder or file to begin with.
    status : StatusLine
        Says what goes wrong.
    open_path : callable
        Path and name of an array (None: the file's own choice), which opens them.
    move : callable
        Index on each axis that is not shown, and whether other axes are shown than before.

    Attributes
    ----------
    folder : widgets.Text
        The path.
    browse, entries, enter : widgets
        ToggleButton that shows a list of what lies there, the list, and the button that opens one.
    variable, plane : widgets.Dropdown
        Array of a file; the two axes that are shown.
    sliders : dict of str to widgets.SelectionSlider
        One for each axis that is not shown.
    """

    def __init__(
        self,
        path: str,
        status: StatusLine,
        open_path: Callable[[str, str | None], None],
        move: Callable[[dict[str, int], bool], None],
    ):
        self._status, self._open, self._move = status, open_path, move
        self._changing = False
        self.folder = widgets.Text(
            value=path,
            description="Folder",
            tooltip="An ensemble, a study's results, or a file with arrays; Enter opens another",
            continuous_update=False,
            layout={"width": "min(420px, 95%)"},
        )
        self.browse = widgets.ToggleButton(
            description="Browse",
            tooltip="List the folders and files that lie here",
            layout={"width": "80px"},
        )
        self.entries = widgets.Select(
            description="Choose",
            rows=8,
            layout={"width": "min(420px, 95%)"},
        )
        self.enter = widgets.Button(
            description="Open",
            tooltip="Show what is chosen, or list what lies in it",
            layout={"width": "80px"},
        )
        self.variable = widgets.Dropdown(
            description="Variable",
            tooltip="Which array of the file is shown",
            layout={"width": "240px"},
        )
        self.plane = widgets.Dropdown(
            description="Plane",
            tooltip="The two axes that are shown; others have a slider",
            layout={"width": "200px"},
        )
        self.sliders: dict[str, widgets.SelectionSlider] = {}
        self._list, self._axes = row(), row()
        self.box = widgets.VBox([row(self.folder, self.browse), self._list, self._axes])
        self.folder.observe(lambda change: self._path_chosen(change.new), "value")
        self.browse.observe(lambda _: status.attempt(self._show_list), "value")
        self.enter.on_click(lambda _: status.attempt(self._enter))
        self.variable.observe(lambda _: self._variable_chosen(), "value")
        self.plane.observe(lambda _: self._moved(True), "value")

    def _show_list(self, folder: Path | None = None) -> None:
        """Show what lies in a folder, by default in or beside what is open; or hide the list."""
        if not self.browse.value:
            self._list.children = []
            return
        if folder is None:
            here = Path(os.path.abspath(Path(self.folder.value).expanduser()))
            folder = here if here.is_dir() else here.parent
        # Links are followed: a folder of results may be one.
        inside = [one for one in itertools.islice(folder.iterdir(), _MOST) if one.name[0] != "."]
        folders = sorted((f"{one.name}/", str(one)) for one in inside if one.is_dir())
        files = [one for one in inside if one.suffix.lower() in FILES and one.is_file()]
        listed = [*folders, *sorted((one.name, str(one)) for one in files)]
        self.entries.options = [(f"..  ({folder.parent})", str(folder.parent)), *listed]
        self.entries.index = min(1, len(listed))
        self._list.children = [self.entries, self.enter]

    def _enter(self) -> None:
        """Open what is chosen in the list, or list what lies in it."""
        path = Path(self.entries.value)
        if path.is_dir():
            try:
                open_results(path)
            except (OSError, ValueError, KeyError) as error:
                self._show_list(path)
                if isinstance(error, FileNotFoundError):
                    return  # nothing of ours: a folder on the way
                raise
        self.folder.value = str(path)

    def show(self, results: ResultsView | None) -> None:
        """Offer the arrays, axes and indices of what has been opened; None: nothing has."""
        self.sliders, controls = {}, []
        if results is None:
            self._axes.children = []
            return
        self._changing = True
        if results.variables:
            self.variable.options, self.variable.value = results.variables, results.variable
            controls.append(self.variable)
        truth = results.truth
        if isinstance(truth, Planes) and truth.at:
            grid = truth.whole.grid
            self.plane.options = [
                (" × ".join(pair), pair) for pair in itertools.combinations(grid.names, 2)
            ]
            self.plane.value = truth.grid.names
            for name, index in truth.at.items():
                axis = grid[name]
                slider = widgets.SelectionSlider(
                    options=[(place(axis, i), i) for i in range(axis.n)],
                    value=index,
                    description=name,
                    tooltip=f"Place on axis {name}; arrow keys move by one",
                    layout={"width": "300px"},
                )
                slider.observe(lambda _: self._moved(False), "value")
                self.sliders[name] = slider
            controls += [self.plane, *self.sliders.values()]
        self._axes.children = controls
        self._changing = False

    def rename(self, path: str) -> None:
        """Show the path of what has been opened already."""
        self._changing = True
        self.folder.value = path
        self._changing = False

    def _path_chosen(self, path: str) -> None:
        if not self._changing:
            self._open(path, None)
            self._status.attempt(self._show_list)

    def _variable_chosen(self) -> None:
        if not self._changing:
            self._open(self.folder.value, self.variable.value)

    def _moved(self, other_axes: bool) -> None:
        if self._changing:
            return
        at = {name: slider.value for name, slider in self.sliders.items()}
        self._status.attempt(lambda: self._move(at, other_axes))
