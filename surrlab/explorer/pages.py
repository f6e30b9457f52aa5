"""The two pages of the explorer: a field at every setting, and what models make of it.

Each has its own controls and draws what they say; what both share belongs to their `Explorer`.
"""

from __future__ import annotations

import ipywidgets as widgets
from matplotlib.figure import Figure

from surrlab.explorer import charts, html, paper, source
from surrlab.explorer.comparison import TRUTH, Compared
from surrlab.explorer.settings import RUNGS, Shown
from surrlab.explorer.source import Gallery
from surrlab.figures.style import factor

_START = 20.0  # ratio to begin with where no model says better


class FieldsPage:
    """Truth, decoded field and difference at one setting of the codec.

    Parameters
    ----------
    owner : explorer.Explorer
        Its gallery is shown, by the time and field chosen there.

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

    def __init__(self, owner):
        self.owner, shown = owner, owner.gallery
        known = shown.has_model_errors
        self.simulation = widgets.Dropdown(
            options=[(_simulation(shown, one), one) for one in shown.simulations],
            value=next(filter(shown.is_stored, shown.simulations), shown.simulations[0]),
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
            keep[html.ALGORITHM_1] = (
                "Choose by the factor on Algorithm 1's tolerance, the largest error that the "
                "model cannot see: it stays when time or field change"
            )
        self.keep = widgets.ToggleButtons(
            options=list(keep),
            value=html.ALGORITHM_1 if known else "ratio",
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
        self._held = {"ratio": _START, "tolerance": None, html.ALGORITHM_1: 1.0}
        self._known = self._framed = None
        self._moving = False
        self.simulation.observe(owner.redraw, "value")
        self.setting.observe(lambda _: owner.attempt(self._set), "value")
        self.keep.observe(lambda _: owner.attempt(self._hold), "value")
        self.box = self._layout()

    def _layout(self) -> widgets.VBox:
        width, height = html.size_of(self.owner.gallery.grid, 400, 258)
        panels = []
        for name, image in self.images.items():
            title = "decoded − truth" if name == "difference" else name
            image.layout = widgets.Layout(width=f"{width}px", height=f"{height}px")
            image.add_class("sl-field")
            panels.append(_panel(title, [image], max(width, 120)))
        pictures = row(
            widgets.VBox([widgets.HBox(panels[:2]), self._bars[0]]),
            widgets.VBox([panels[2], self._bars[1]]),
        )
        slider = widgets.VBox([self.setting, self._strip], layout={"width": "min(760px, 98%)"})
        slider.add_class("sl-slider")
        self._readout.add_class("sl-readout")
        self._headline.add_class("sl-headline")
        self.charts.add_class("sl-charts")
        self.numbers.add_class("sl-list")
        rows = [row(self.keep, self._readout), slider, self._headline]
        return widgets.VBox([*rows, row(pictures, self.charts, self.numbers)])

    @property
    def at(self) -> tuple[int, int, str]:
        """Simulation, time and field that are shown."""
        return self.simulation.value, self.owner.time.value, self.owner.field.value

    def _set(self) -> None:
        if not self._moving:  # by a hand, and not by `_follow`
            self._hold()
            self.draw()

    def _hold(self) -> None:
        """Remember what the setting means, to keep it elsewhere."""
        found = self.owner.gallery
        ladder = found.ladder(*self.at)
        rung = self.setting.value
        chosen = found.marks(*self.at).get(1.0)
        self._held["ratio"] = float(ladder.ratios[rung])
        self._held["tolerance"] = self.owner.field.value, ladder.tolerance(rung)
        self._held[html.ALGORITHM_1] = ladder.tolerance(rung) / chosen if chosen else 1.0

    def _follow(self) -> None:
        """Move the setting to where it keeps its meaning for the sample that is now shown."""
        found, held = self.owner.gallery, self._held
        ladder, chosen = found.ladder(*self.at), found.marks(*self.at).get(1.0)
        rung = ladder.near_ratio(held["ratio"])
        if self.keep.value == html.ALGORITHM_1 and chosen is not None:
            rung = ladder.rung_of(chosen * held[html.ALGORITHM_1])
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
            label = html.label(shown.label, shown.unit)
            self._bars[0].value = html.colour_bar(shown.limits, html.FIELD, label)
            ends, unit = (-shown.reach, shown.reach), html.label("", shown.unit)
            self._bars[1].value = html.colour_bar(ends, html.DIFFERENCE, f"difference{unit}")
            self._framed = frame
        if moved:
            self.images["truth"].value = html.png(shown.truth, shown.limits)
        self.images["decoded"].value = html.png(shown.decoded, shown.limits)
        ends = (-shown.reach, shown.reach)
        self.images["difference"].value = html.png(shown.difference, ends, html.DIFFERENCE)
        self.charts.value = charts.error_chart(shown) + charts.spectrum_chart(shown)
        self.numbers.value = html.numbers(shown)
        self._headline.value = f"<p>{html.escape(html.headline(shown))}</p>"
        self._tell(shown)
        self._known = self.at
        self.owner.drawn(self.owner.call())

    def _tell(self, shown: Shown) -> None:
        """The readout of the setting and the ladder under the slider."""
        found = self.owner.gallery
        ladder, marks = found.ladder(*self.at), found.marks(*self.at)
        named = {}
        for level, bound in sorted(marks.items(), key=lambda mark: mark[0] != 1.0):
            name = html.ALGORITHM_1 if level == 1.0 else f"×{factor(level)}"
            rung = ladder.rung_of(bound)
            if ladder.tolerance(rung) == bound:  # and not beyond an end of the ladder
                named.setdefault(rung, name)
        bounds = [ladder.tolerance(rung) for rung in range(len(ladder))]
        self._strip.value = html.ladder_strip(ladder.ratios, bounds, named, self.setting.value)
        self._readout.value = html.readout(shown, self._version(marks, shown))

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
        return paper.field(self.shown())

    def name(self) -> str:
        """What a file of this view is called."""
        simulation, time, field = self.at
        return f"{field}-simulation{simulation}-time{time}-{self.shown().ratio:.0f}x"


class ModelsPage:
    """Truth, raw model and a model of each level; the curve in time; the verdicts.

    Parameters
    ----------
    owner : explorer.Explorer
        As for `FieldsPage`.

    Attributes
    ----------
    simulation : widgets.Dropdown
        One of those that no model learned from.
    """

    def __init__(self, owner):
        self.owner = owner
        self.judged = owner.gallery.held_out
        self.simulation = widgets.Dropdown(
            options=list(self.judged),
            description="Simulation",
            tooltip="Held out: no model learned from it",
            layout={"width": "230px"},
        )
        self.simulation.observe(owner.redraw, "value")
        self._pictures, self.chart, self._verdicts = widgets.Box(), widgets.HTML(), widgets.HTML()
        self._pictures.add_class("sl-wrap")
        self._pictures.add_class("sl-models")
        self.images: dict[str, list[widgets.Image]] = {}
        self._bars = [widgets.HTML(), widgets.HTML()]
        self.chart.add_class("sl-curve")
        self._verdicts.add_class("sl-list")
        judged = row(self.chart, self._verdicts)
        judged.add_class("sl-judged")
        self.box = row(self._pictures, judged)

    def draw(self) -> None:
        """Draw what the controls say."""
        if not self.judged:
            self.box.children = [widgets.HTML(f"<p>{source.NO_MODELS}</p>")]
            self.owner.drawn("")
            return
        if not self.images:
            self._pictures.children = [widgets.HTML("<p role='status'>Loading the models …</p>")]
        compared = self.compared()
        if not self.images:
            self._layout(compared)
        truth = compared.panels[TRUTH]
        ends = (-compared.reach, compared.reach)
        for name, values in compared.panels.items():
            upper, lower = self.images[name]
            upper.value = html.png(values, compared.limits)
            if name != TRUTH:
                lower.value = html.png(values - truth, ends, html.DIFFERENCE)
        label = html.label(compared.label, compared.unit)
        self._bars[0].value = html.colour_bar(compared.limits, html.FIELD, label)
        label = html.label("model − truth", compared.unit)
        self._bars[1].value = html.colour_bar(ends, html.DIFFERENCE, label)
        self.chart.value = charts.curve_chart(compared.curves, compared.time)
        self._verdicts.value = html.verdicts(compared.verdicts)
        self.owner.drawn(self.owner.call())

    def _layout(self, compared) -> None:
        width, height = html.size_of(compared.grid, 300, 150)
        columns = []
        for name in compared.panels:
            self.images[name] = [widgets.Image(format="png") for _ in range(2)]
            for image in self.images[name]:
                image.layout = widgets.Layout(width=f"{width}px", height=f"{height}px")
                image.add_class("sl-field")
            upper, lower = self.images[name]
            lower.add_class("sl-difference")
            beneath = widgets.VBox(self._bars) if name == TRUTH else lower
            # A second line for each: what stands beneath the titles must stand in one row.
            title = (
                name if "(" in name else f"{name} ({'simulation' if name == TRUTH else 'no loss'})"
            )
            columns.append(_panel(title, [upper, beneath], max(width, 120)))
        self._pictures.children = columns

    def compared(self) -> Compared:
        """Truth and models; ValueError where there are none."""
        if not self.judged:
            raise ValueError(source.NO_MODELS)
        return self.owner.gallery.compare(
            self.simulation.value, self.owner.time.value, self.owner.field.value
        )

    def arguments(self) -> dict:
        """Arguments of `picture`."""
        time, field = self.owner.time.value, self.owner.field.value
        return {"simulation": self.simulation.value, "time": time, "field": field}

    def figure(self) -> Figure:
        """The page on paper."""
        return paper.models(self.compared())

    def name(self) -> str:
        """What a file of this view is called."""
        one = self.arguments()
        return f"models-{one['field']}-simulation{one['simulation']}-time{one['time']}"


def _simulation(shown: Gallery, number: int) -> str:
    return f"{number} (held out)" if number in shown.held_out else str(number)


def row(*children) -> widgets.Box:
    """Children side by side, on a new line where there is no room."""
    box = widgets.Box(children)
    box.add_class("sl-wrap")
    return box


def _panel(title: str, images: list, width: int) -> widgets.VBox:
    title = html.escape(title).replace(" (", "<br>(")
    name = widgets.HTML(f'<p class="sl-panel">{title}</p>')
    layout = {"width": f"{width + 8}px", "align_items": "center"}
    column = widgets.VBox([name, *images], layout=layout)
    column.add_class("sl-column")
    return column
