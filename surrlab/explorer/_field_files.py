"""The first page as files: a figure, arrays and numbers, a sweep in time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab._text import times
from surrlab.explorer import _figures, html
from surrlab.explorer._controls import SharedControls
from surrlab.explorer._layout import file_name
from surrlab.explorer._look import Shades
from surrlab.explorer._save import Frame, Shown, steps_of
from surrlab.explorer._state import real, set_controls
from surrlab.explorer.settings import FieldSettings, FieldView
from surrlab.explorer.source import ResultsView


class FieldFiles:
    """What `FieldPage` writes and reads."""

    shared: SharedControls
    results: ResultsView
    at: tuple[int, int, str, str]
    _own_codec: str
    _locked: tuple[str, float] | None

    def view(self) -> FieldView: ...
    def arguments(self) -> dict[str, Any]: ...
    def draw(self) -> None: ...
    def _color_limit(self, view: FieldView) -> float: ...
    def _setting_of(self, settings: FieldSettings) -> int: ...
    def _controls(self) -> dict[str, widgets.Widget]: ...

    def figure(self) -> Figure:
        """The page on paper."""
        view = self.view()
        look = self.shared.look.look(self.at[2], view.sample.limits)
        return _figures.field_figure(view, self._color_limit(view), look)

    def shades(self) -> Shades:
        """Colours of the field that is shown."""
        return self.shared.look.show(self.at[2], self.view().sample.limits)

    def file_name(self) -> str:
        """Name of a file of this view, without its ending."""
        simulation, step, name, codec = self.at
        own = "" if codec == self._own_codec else f"-{codec}"
        ratio = f"{self.view().ratio:.0f}x"
        place = "".join(f"-{axis}{index}" for axis, index in self.results.plane)
        return file_name(f"{name}-simulation{simulation}-step{step}{place}{own}-{ratio}")

    def apply(self, state: Mapping[str, str]) -> None:
        """Set the controls to a state; ValueError if one has no such value."""
        set_controls(self._controls(), state)
        self.shared.look.apply(self.at[2], state)
        if "limit" in state:
            self._locked = self.at[2], real("limit", state["limit"])
            self.draw()

    def shown(self) -> Shown:
        """Truth, decoded field and difference, with what was lost."""
        view = self.view()
        sample, losses = view.sample, view.losses
        unit = sample.field.unit
        rows: list[tuple[str, float | str, str]] = [
            ("ratio", view.ratio, ""),
            ("bytes", view.nbytes, ""),
            ("tolerance", view.tolerance, unit),
            ("L1 error", losses.l1, unit),
            ("Linf error", losses.linf, unit),
        ]
        if math.isfinite(losses.psnr):
            rows.append(("PSNR", losses.psnr, "dB"))
        if sample.model_error is not None:
            rows.append(("model error", sample.model_error, unit))
        for total in losses.totals:
            rows.append((total.label, total.before, total.unit))
            rows.append((f"{total.label}, decoded", total.after, total.unit))
        fields = {"truth": sample.truth, "decoded": view.decoded, "difference": view.difference}
        chosen = {"source": self.results.truth.name, **self.arguments(), "codec": self.at[3]}
        return Shown(fields, sample.field, sample.grid, tuple(rows), chosen)

    def frames(self) -> Iterator[Frame]:
        """The field at each time of its simulation, at what was chosen, on the same colours."""
        simulation, _, name, codec = self.at
        limit, shades = self._color_limit(self.view()), self.shades()
        part = self.shared.look.zoom.index
        for step in steps_of(len(self.results.truth.run(simulation).times)):
            settings = self.results.field_settings(simulation, step, name, codec)
            view = settings.view(self._setting_of(settings))
            sample = view.sample
            panels = [
                ("truth", html.png(sample.truth[part], *shades)),
                (f"decoded, {times(view.ratio)}", html.png(view.decoded[part], *shades)),
                (
                    "decoded − truth",
                    html.png(view.difference[part], (-limit, limit), html.DIFFERENCE),
                ),
            ]
            title = f"{sample.field.label}, {sample.title}" if sample.title else sample.field.label
            yield Frame(title, [panels])
