"""See what compression does to fields and to models: sliders over a folder of results.

`explore` shows any ensemble or results folder, `explore_field` one array. Whatever a slider moves
is drawn by `views` within milliseconds; `picture` makes the same view again as a figure on paper.
"""

from __future__ import annotations

import base64
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab import figures_explorer, gallery, views
from surrlab.fields import LABELS
from surrlab.figures import factor
from surrlab.gallery import Gallery, OneField
from surrlab.ladder import RUNGS, Shown
from surrlab.storage import replacing
from surrlab.styles import SCRIPT, STYLE

FIELDS, MODELS = "fields", "models"
NO_MODELS = "There are no judged models here to compare."
_START = 20.0  # ratio to begin with where no model says better
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
    found = gallery.open(path, ensemble)
    if field not in found.fields:
        raise KeyError(f"{path} has no field {field!r}; it has {', '.join(found.fields)}")
    if simulation not in found.simulations:
        raise KeyError(f"{path} has no simulation {simulation}")
    if not 0 <= time < len(found.times):
        raise IndexError(f"there is no time {time}: {path} has {len(found.times)}, from 0")
    if tolerance is None:
        return figures_explorer.models(found.compare(simulation, time, field))
    return figures_explorer.field(_at(found, simulation, time, field, tolerance))


def picture_field(
    values, *, tolerance: float, name: str = "field", unit: str = "", model_error=None
) -> Figure:
    """What `explore_field` shows at a tolerance (0: lossless), as a figure."""
    return figures_explorer.field(
        _at(OneField(values, name, unit, model_error), 0, 0, name, tolerance)
    )


def _at(found: Gallery, simulation: int, time: int, field: str, tolerance: float) -> Shown:
    rung = found.ladder(simulation, time, field).rung_of(tolerance)
    return found.show(simulation, time, field, rung)


def _told(update: Callable) -> Callable:
    """An update whose failure becomes a sentence in the widget."""

    @functools.wraps(update)
    def wrapper(self, *arguments):
        try:
            return update(self, *arguments)
        except _TROUBLE as error:
            self.say(str(error.args[0] if isinstance(error, KeyError) else error), trouble=True)

    return wrapper


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
        style = widgets.HTML(f"<style>{STYLE}</style>{SCRIPT}")
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
        self.folder.observe(lambda change: self._open(lambda: gallery.open(change.new)), "value")
        if self._of_folder:
            self._open(lambda: gallery.open(source, ensemble))
        else:
            self._open(lambda: OneField(source, name, unit, model_error))

    def say(self, text: str, trouble: bool = False) -> None:
        """Put a sentence under the view, or in its place."""
        self.message = text
        role = "alert" if trouble else "status"
        look = ' class="sl-trouble"' if trouble else ""
        self._status.value = f'<p role="{role}"{look}>{views.escape(text)}</p>'

    def _open(self, make: Callable[[], Gallery]) -> None:
        self.gallery = self.fields = self.models = None
        try:
            self.gallery = make()
            self._build()
        except _TROUBLE as error:
            self.gallery = None
            self._body.children = [self._status]
            self.say(str(error.args[0] if isinstance(error, KeyError) else error), trouble=True)

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
            layout={"width": "320px"},
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
        self._bar = _row()
        self.save = widgets.Button(
            description="Save PNG",
            icon="download",
            tooltip="Write this view as a picture into the notebook's folder",
        )
        self.save.on_click(lambda _: self._save())
        self._call = widgets.HTML()
        notes = "".join(f"<li>{views.escape(note)}</li>" for note in shown.notes)
        head = widgets.HTML(
            f'<p class="sl-head">{views.escape(shown.heading)}</p>'
            + (f'<ul class="sl-notes">{notes}</ul>' if notes else "")
        )
        self._pages = widgets.VBox()
        self._body.children = [
            head, self._bar, self._pages, _row(self.save, self._call), self._status
        ]  # fmt: skip
        self.message = self._status.value = ""
        self.field.observe(self._moved, "value")
        self.time.observe(self._moved, "value")
        self.page.observe(self._turned, "value")
        self._turn()

    @property
    def shown_page(self) -> FieldsPage | ModelsPage:
        """The page that is looked at."""
        return self.fields if self.page.value == FIELDS else self.models

    @_told
    def _moved(self, _):
        self.shown_page.draw()

    @_told
    def _turned(self, _):
        self._turn()

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
        self._call.value = views.copy_button(call)

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
            return HTML(f"<p>{views.escape(self.message)}</p>")
        return Image(self._png(), format="png", alt="the explorer's view when the notebook ran")

    def _png(self) -> bytes:
        out = io.BytesIO()
        self.figure().savefig(out, format="png")
        return out.getvalue()

    @_told
    def _save(self):
        path = Path.cwd() / f"surrlab-{self.shown_page.name()}.png"
        data = self._png()
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        self.message = f"Saved as {path}"
        link = base64.b64encode(data).decode()
        self._status.value = (
            f'<p role="status">Saved as <code>{views.escape(str(path))}</code> '
            f'(<a download="{path.name}" href="data:image/png;base64,{link}">download</a>)</p>'
        )


class FieldsPage:
    """Truth, decoded field and difference at one setting of the codec.

    Attributes
    ----------
    simulation : widgets.Dropdown
        Number of the simulation.
    setting : widgets.IntSlider
        Rung of the field's ladder: 0 is lossless, to the right more is lost.
    keep : widgets.ToggleButtons
        What stays the same when another time, field or simulation is chosen.
    images : dict
        ``truth``, ``decoded`` and ``difference``: the pictures.
    """

    def __init__(self, owner: Explorer):
        self.owner, shown = owner, owner.gallery
        known = shown.has_model_errors
        self.simulation = widgets.Dropdown(
            options=[(_simulation(shown, one), one) for one in shown.simulations],
            description="Simulation",
            tooltip="Which run of the simulation code; held out: models never saw it",
            layout={"width": "230px"},
        )
        self.setting = widgets.IntSlider(
            max=RUNGS,
            description="Setting",
            readout=False,
            tooltip="Of the codec, from lossless on the left to the loss of nearly everything",
            layout={"width": "100%"},
        )
        keep = {
            "ratio": "Choose by compression ratio: it stays when time or field change",
            "tolerance": "Choose by tolerance: it stays when the time changes",
        }
        if known:
            keep[views.ALGORITHM_1] = (
                "Choose by the factor on Algorithm 1's tolerance, the largest error that the "
                "model cannot see: it stays when time or field change"
            )
        self.keep = widgets.ToggleButtons(
            options=list(keep),
            value=views.ALGORITHM_1 if known else "ratio",
            description="Choose by",
            tooltips=list(keep.values()),
        )
        self.keep.style.button_width, self.keep.layout.width = "110px", "440px"
        self._readout, self._strip, self._headline = (widgets.HTML() for _ in range(3))
        self.images = {
            name: widgets.Image(format="png") for name in ("truth", "decoded", "difference")
        }
        self._bars = [widgets.HTML(), widgets.HTML()]
        self.charts, self.numbers = widgets.HTML(), widgets.HTML()
        self._held = {"ratio": _START, "tolerance": None, views.ALGORITHM_1: 1.0}
        self._known = self._framed = None
        self._moving = False
        self.simulation.observe(owner._moved, "value")
        self.setting.observe(self._set, "value")
        self.keep.observe(lambda _: self._hold(), "value")
        self.box = self._layout()

    def _layout(self) -> widgets.VBox:
        width, height = views.size_of(self.owner.gallery.grid)
        panels = []
        for name, image in self.images.items():
            title = "decoded − truth" if name == "difference" else name
            image.layout = widgets.Layout(width=f"{width}px", height=f"{height}px")
            image.add_class("sl-field")
            panels.append(_panel(title, [image], max(width, 120)))
        pictures = _row(
            widgets.VBox([widgets.HBox(panels[:2]), self._bars[0]]),
            widgets.VBox([panels[2], self._bars[1]]),
        )
        slider = widgets.VBox([self.setting, self._strip], layout={"width": "min(760px, 98%)"})
        slider.add_class("sl-slider")
        self._readout.add_class("sl-readout")
        self._headline.add_class("sl-headline")
        self.charts.add_class("sl-charts")
        self.numbers.add_class("sl-list")
        rows = [_row(self.keep, self._readout), slider, self._headline]
        return widgets.VBox([*rows, _row(pictures, self.charts, self.numbers)])

    @property
    def at(self) -> tuple[int, int, str]:
        """Simulation, time and field that are shown."""
        return self.simulation.value, self.owner.time.value, self.owner.field.value

    def _set(self, _):
        if not self._moving:  # by a hand, and not by `_follow`
            self._hold()
            self.owner._moved(_)

    def _hold(self) -> None:
        """Remember what the setting means, to keep it elsewhere."""
        found = self.owner.gallery
        ladder = found.ladder(*self.at)
        rung = self.setting.value
        chosen = found.marks(*self.at).get(1.0)
        self._held["ratio"] = float(ladder.ratios[rung])
        self._held["tolerance"] = self.owner.field.value, ladder.tolerance(rung)
        self._held[views.ALGORITHM_1] = ladder.tolerance(rung) / chosen if chosen else 1.0

    def _follow(self) -> None:
        """Move the setting to where it keeps its meaning for the sample that is now shown."""
        found, held = self.owner.gallery, self._held
        ladder, chosen = found.ladder(*self.at), found.marks(*self.at).get(1.0)
        rung = ladder.near_ratio(held["ratio"])
        if self.keep.value == views.ALGORITHM_1 and chosen is not None:
            rung = ladder.rung_of(chosen * held[views.ALGORITHM_1])
        elif self.keep.value == "tolerance" and held["tolerance"]:
            name, bound = held["tolerance"]
            rung = ladder.rung_of(bound) if name == self.owner.field.value else rung
        self._moving = True
        self.setting.value = rung
        self._moving = False

    def shown(self) -> Shown:
        """The field at its setting."""
        return self.owner.gallery.show(*self.at, self.setting.value)

    def draw(self) -> None:
        """Draw what the controls say."""
        moved = self.at != self._known
        if moved:
            self._follow()
        shown = self.shown()
        frame = shown.limits, shown.reach, shown.label
        if frame != self._framed:
            label = views.label(shown.label, shown.unit)
            self._bars[0].value = views.colour_bar(shown.limits, views.FIELD, label)
            ends, unit = (-shown.reach, shown.reach), views.label("", shown.unit)
            self._bars[1].value = views.colour_bar(ends, views.DIFFERENCE, f"difference{unit}")
            self._framed = frame
        if moved:
            self.images["truth"].value = views.png(shown.truth, shown.limits)
        self.images["decoded"].value = views.png(shown.decoded, shown.limits)
        ends = (-shown.reach, shown.reach)
        self.images["difference"].value = views.png(shown.difference, ends, views.DIFFERENCE)
        self.charts.value = views.error_chart(shown) + views.spectrum_chart(shown)
        self.numbers.value = views.numbers(shown)
        self._headline.value = f"<p>{views.escape(views.headline(shown))}</p>"
        self._tell(shown)
        self._known = self.at
        self.owner.drawn(self.owner.call())

    def _tell(self, shown: Shown) -> None:
        """The readout of the setting and the ladder under the slider."""
        found = self.owner.gallery
        ladder, marks = found.ladder(*self.at), found.marks(*self.at)
        named = {}
        for level, bound in sorted(marks.items(), key=lambda mark: mark[0] != 1.0):
            name = views.ALGORITHM_1 if level == 1.0 else f"×{factor(level)}"
            named.setdefault(ladder.rung_of(bound), name)
        bounds = [ladder.tolerance(rung) for rung in range(len(ladder))]
        self._strip.value = views.ladder_strip(ladder.ratios, bounds, named, self.setting.value)
        self._readout.value = views.readout(shown, self._version(marks, shown))

    def _version(self, marks: dict, shown: Shown) -> str:
        """What the setting is in the study, if it is one of its levels."""
        for level, bound in marks.items():
            if bound != shown.tolerance:
                continue
            stored = [one for one in self.owner.gallery.stored if one.level == level]
            if stored and self.simulation.value in stored[0].ensemble.simulations:
                ratios = stored[0].ratios
                return (
                    f"Stored, as Algorithm 1 ×{factor(level)}: all fields and times together "
                    f"{ratios.payload:.1f}× smaller as streams, {ratios.file:.1f}× as files."
                )
            return "Algorithm 1's choice for this field"
        return ""

    def arguments(self) -> dict:
        """Arguments of `picture`."""
        simulation, time, field = self.at
        bound = self.owner.gallery.ladder(*self.at).tolerance(self.setting.value)
        return {"simulation": simulation, "time": time, "field": field, "tolerance": bound}

    def figure(self) -> Figure:
        """The page on paper."""
        return figures_explorer.field(self.shown())

    def name(self) -> str:
        """What a file of this view is called."""
        simulation, time, field = self.at
        return f"{field}-simulation{simulation}-time{time}-{self.shown().ratio:.0f}x"


class ModelsPage:
    """Truth, raw model and a model of each level; the curve in time; the verdicts.

    Attributes
    ----------
    simulation : widgets.Dropdown
        One of those that no model learned from.
    """

    def __init__(self, owner: Explorer):
        self.owner = owner
        self.judged = owner.gallery.judged
        self.simulation = widgets.Dropdown(
            options=list(self.judged),
            description="Simulation",
            tooltip="Held out: no model learned from it",
            layout={"width": "230px"},
        )
        self.simulation.observe(owner._moved, "value")
        self._pictures, self.chart, self._verdicts = widgets.Box(), widgets.HTML(), widgets.HTML()
        self._pictures.add_class("sl-wrap")
        self.images: dict[str, list[widgets.Image]] = {}
        self._bars = [widgets.HTML(), widgets.HTML()]
        self.chart.add_class("sl-curve")
        self._verdicts.add_class("sl-list")
        judged = _row(self.chart, self._verdicts)
        judged.add_class("sl-judged")
        self.box = _row(self._pictures, judged)

    def draw(self) -> None:
        """Draw what the controls say."""
        found = self.owner.gallery
        if not self.judged:
            self.box.children = [widgets.HTML(f"<p>{NO_MODELS}</p>")]
            self.owner.drawn("")
            return
        if not self.images:
            self._pictures.children = [widgets.HTML("<p role='status'>Loading the models …</p>")]
        compared = self.compared()
        if not self.images:
            self._layout(compared)
        truth = compared.panels[gallery.TRUTH]
        ends = (-compared.reach, compared.reach)
        for name, values in compared.panels.items():
            upper, lower = self.images[name]
            upper.value = views.png(values, compared.limits)
            if name != gallery.TRUTH:
                lower.value = views.png(values - truth, ends, views.DIFFERENCE)
        label = views.label(compared.label, compared.unit)
        self._bars[0].value = views.colour_bar(compared.limits, views.FIELD, label)
        label = views.label("model − truth", compared.unit)
        self._bars[1].value = views.colour_bar(ends, views.DIFFERENCE, label)
        self.chart.value = views.curve_chart(compared.curves, compared.time)
        self._verdicts.value = views.verdicts(found.verdicts)
        self.owner.drawn(self.owner.call())

    def _layout(self, compared) -> None:
        width, height = views.size_of(compared.grid, 300, 220)
        columns = []
        for name in compared.panels:
            self.images[name] = [widgets.Image(format="png") for _ in range(2)]
            for image in self.images[name]:
                image.layout = widgets.Layout(width=f"{width}px", height=f"{height}px")
                image.add_class("sl-field")
            upper, lower = self.images[name]
            lower.add_class("sl-difference")
            beneath = widgets.VBox(self._bars) if name == gallery.TRUTH else lower
            # A second line for each: what stands beneath the titles must stand in one row.
            title = (
                name
                if "(" in name
                else f"{name} ({'simulation' if name == gallery.TRUTH else 'no loss'})"
            )
            columns.append(_panel(title, [upper, beneath], max(width, 120)))
        self._pictures.children = columns

    def compared(self):
        """Truth and models; ValueError where there are none."""
        if not self.judged:
            raise ValueError(NO_MODELS)
        return self.owner.gallery.compare(
            self.simulation.value, self.owner.time.value, self.owner.field.value
        )

    def arguments(self) -> dict:
        """Arguments of `picture`."""
        time, field = self.owner.time.value, self.owner.field.value
        return {"simulation": self.simulation.value, "time": time, "field": field}

    def figure(self) -> Figure:
        """The page on paper."""
        return figures_explorer.models(self.compared())

    def name(self) -> str:
        """What a file of this view is called."""
        one = self.arguments()
        return f"models-{one['field']}-simulation{one['simulation']}-time{one['time']}"


def _simulation(shown: Gallery, number: int) -> str:
    return f"{number} (held out)" if number in shown.judged else str(number)


def _row(*children) -> widgets.Box:
    box = widgets.Box(children)
    box.add_class("sl-wrap")
    return box


def _panel(title: str, images: list, width: int) -> widgets.VBox:
    title = views.escape(title).replace(" (", "<br>(")
    name = widgets.HTML(f'<p class="sl-panel">{title}</p>')
    layout = {"width": f"{width + 8}px", "align_items": "center"}
    column = widgets.VBox([name, *images], layout=layout)
    column.add_class("sl-column")
    return column
