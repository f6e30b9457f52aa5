"""Ratio against error of one field with every codec: the panel from which a point is chosen.

The lines take some dozens of encodings per codec. They are measured in a thread once time and
field have stood still for a moment, and kept; a step of the setting moves nothing but the mark.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from surrlab._text import factor, number, quantity, times, with_unit
from surrlab.compression.version import Version
from surrlab.explorer import charts, html
from surrlab.explorer.settings import FieldSettings, SampleField, is_algorithm_1
from surrlab.figures.charts import Chart, ChartAxis, Curve, Mark

TITLE = "Which codec is smaller at the same error?"
LABELS = {"zfp": "zfp", "sz3": "SZ3", "sperr": "SPERR", "bitround": "BitRound"}
L1, PSNR, LINF = MEASURES = ("L1", "PSNR", "L∞")
DELAY = 0.3  # seconds without a step of time or field, until the lines are measured
SIZE = (360, 250)
_LOOKS = (("#4a90d9", ()), ("#d97706", (7, 3)), ("#3c9d5b", (2, 3)), ("#a366c9", (9, 3, 2, 3)))
_KEPT = 32  # samples whose lines are kept: some kilobytes each
_ON_DISK = "◇ a stored version's files: all its fields and times"
_WAITING = "Measured as soon as time stands still …"

Plan = Mapping[str, Callable[[], FieldSettings]]


class RateCurve(NamedTuple):
    """A codec at each of its settings: arrays ``(n,)``; setting -> name, and version, if it is one.

    Errors are in the field's unit, PSNR in dB.
    """

    codec: str
    ratio: np.ndarray
    l1: np.ndarray
    psnr: np.ndarray
    linf: np.ndarray
    versions: dict[int, str]
    stored: dict[int, Version]

    @classmethod
    def of(cls, codec: str, settings: FieldSettings) -> RateCurve:
        """Decode a field at every setting, and measure what is lost."""
        losses = [settings.view(setting).losses for setting in range(len(settings))]
        columns = (np.array([getattr(o, k) for o in losses]) for k in ("l1", "psnr", "linf"))
        versions = versions_at(settings)
        names = {setting: _name(version) for setting, version in versions.items()}
        return cls(codec, settings.ratios, *columns, names, versions)


def versions_at(settings: FieldSettings) -> dict[int, Version]:
    """The settings that are versions of the study, or Algorithm 1's choice."""
    found: dict[int, Version] = {}
    # Algorithm 1 first: where two versions share a setting, it stands there.
    for version in sorted(settings.versions, key=is_algorithm_1, reverse=True):
        bound = settings.versions[version]
        setting = settings.setting_of(bound)
        if settings.tolerances[setting] == bound:  # not beyond the ends of the settings
            found.setdefault(setting, version)
    return found


def named_settings(settings: FieldSettings) -> dict[int, str]:
    """The settings of `versions_at`, by name."""
    return {setting: _name(version) for setting, version in versions_at(settings).items()}


def _name(version: Version) -> str:
    if is_algorithm_1(version):
        return html.ALGORITHM_1
    return f"×{factor(version.factor)}" if version.rule != "fixed" else version.name


class Rates(NamedTuple):
    """The lines of one field, and codec -> why it takes no part."""

    sample: SampleField
    curves: tuple[RateCurve, ...]
    refused: dict[str, str]


def measure(sample: SampleField, plan: Plan, wanted: Callable[[], bool]) -> Rates | None:
    """Measure a field with every codec of a plan; None as soon as it is not wanted any more."""
    curves, refused = [], {}
    for codec, make in plan.items():
        if not wanted():
            return None
        try:
            curves.append(RateCurve.of(codec, make()))
        except (ValueError, TypeError, OSError) as reason:
            refused[codec] = str(reason)
    return Rates(sample, tuple(curves), refused)


class RateChart:
    """The chart of `Rates` by one of `MEASURES`, and where its points lie.

    An error is shown in units of the model error where that is known. A ratio is that of the
    field's stream; versions in `files` have theirs on disk as well, of all fields and times.
    """

    def __init__(self, rates: Rates, by: str, files: Mapping[Version, float] | None = None):
        self.rates, self.by = rates, by
        files = files or {}
        self._files = {
            curve.codec: {s: files[v] for s, v in curve.stored.items() if v in files}
            for curve in rates.curves
        }
        error = rates.sample.model_error
        self._unit = 1.0 if by == PSNR or not error else error
        unit = rates.sample.field.unit
        self.label = (
            "PSNR (dB)"
            if by == PSNR
            else f"{by} error / model error"
            if error
            else with_unit(f"{by} error", unit)
        )
        self._errors = {curve.codec: self._error(curve) for curve in rates.curves}
        self.chart = self._chart()

    def _error(self, curve: RateCurve) -> np.ndarray:
        column = {L1: curve.l1, PSNR: curve.psnr, LINF: curve.linf}[self.by]
        return column / self._unit

    def _shown(self, error: np.ndarray) -> np.ndarray:
        """Which settings have a place: not those without any error."""
        return np.isfinite(error) & ((error > 0) | (self.by == PSNR))

    def _chart(self) -> Chart:
        curves, is_log = self.rates.curves, self.by != PSNR
        shown = {name: self._shown(error) for name, error in self._errors.items()}
        x = np.concatenate([self._errors[c.codec][shown[c.codec]] for c in curves] or [[]])
        on_disk = [ratio for of in self._files.values() for ratio in of.values()]
        y = np.concatenate([on_disk, *(c.ratio[shown[c.codec]] for c in curves)])
        summary = "Ratio against error, a line per codec"
        if not x.size:
            text = "No setting changes this field." if curves else "No codec takes this field."
            empty = ChartAxis("", (1, 10), log=True)
            return Chart(TITLE, empty, empty, (), summary, text)
        elements = [
            Curve(
                self._errors[c.codec][shown[c.codec]],
                c.ratio[shown[c.codec]],
                LABELS.get(c.codec, c.codec),
                *_look(i),
            )
            for i, c in enumerate(curves)
        ]
        if self.by == L1 and self.rates.sample.model_error:
            elements.append(Mark(1.0, "model error"))
        ends = _decades(x) if is_log else (5 * math.floor(x.min() / 5), 5 * math.ceil(x.max() / 5))
        if not ends[0] < ends[1]:
            ends = ends[0] - 5, ends[1] + 5
        return Chart(
            TITLE,
            ChartAxis(self.label, ends, log=is_log),
            ChartAxis(
                "ratio (● stream, ◇ files)" if on_disk else "estimate: ratio of the stream",
                (min(1.0, float(y.min())), 1.15 * float(y.max())),
                log=True,
            ),
            tuple(elements),
            summary,
        )

    def lines(self) -> str:
        """The chart as HTML that takes clicks and keys: a point per setting, versions ringed."""
        points = []
        for i, curve in enumerate(self.rates.curves if not self.chart.notice else ()):
            error, (color, _) = self._errors[curve.codec], _look(i)
            for setting in np.flatnonzero(self._shown(error)).tolist():
                x, y = charts.place(self.chart, SIZE, error[setting], curve.ratio[setting])
                name = curve.versions.get(setting, "")
                ring = ' stroke="currentColor" r="5"' if name else ' r="2.5"'
                points.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}"{ring} fill="{color}" '
                    f'data-point="{curve.codec} {setting}"><title>'
                    f"{html.escape(self.text(curve, setting))}</title></circle>"
                )
                if setting in self._files[curve.codec]:
                    _, y = charts.place(
                        self.chart, SIZE, error[setting], self._files[curve.codec][setting]
                    )
                    points.append(
                        f'<path d="M{x - 5:.1f} {y:.1f}l5 -5l5 5l-5 5z" fill="none" '
                        f'stroke="{color}" stroke-width="1.6"/>'
                    )
        beneath = html.sentence(_ON_DISK) if any(self._files.values()) else ""
        beneath += "".join(
            html.sentence(f"{LABELS.get(codec, codec)} does not take this field: {why}")
            for codec, why in self.rates.refused.items()
        )
        return _panel(charts.svg(self.chart, SIZE, "".join(points)) + beneath)

    def mark(self, codec: str, setting: int) -> str:
        """The chosen point, to be laid over the lines."""
        curve = next((c for c in self.rates.curves if c.codec == codec), None)
        if curve is None or self.chart.notice:
            return ""
        i, error = self.rates.curves.index(curve), self._errors[codec]
        x, y = charts.place(self.chart, SIZE, error[setting], curve.ratio[setting])
        ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="currentColor" '
        ring += (
            f'stroke-width="2.5"/><circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_look(i)[0]}"/>'
        )
        if not self._shown(error)[setting]:  # at no false place: an arrow, and what it means
            at_end = self.by == PSNR
            x, text = (SIZE[0] - 14, "exact ▸") if at_end else (62, "◂ exact")
            anchor = "end" if at_end else "start"
            ring = f'<text x="{x}" y="{y - 4:.1f}" text-anchor="{anchor}">{text}</text>'
        return (
            f'<svg class="sl-chart" width="{SIZE[0]}" height="{SIZE[1]}" aria-hidden="true" '
            f'data-setting="{setting}" data-last="{len(curve.ratio) - 1}" '
            f'data-text="{html.escape(self.text(curve, setting))}">{ring}</svg>'
        )

    def text(self, curve: RateCurve, setting: int) -> str:
        """A point in words."""
        parts = [LABELS.get(curve.codec, curve.codec), times(curve.ratio[setting])]
        error = self._error(curve)[setting]
        if self.by == PSNR:
            parts.append(f"PSNR {number(error)} dB")
        elif self.rates.sample.model_error:
            parts.append(f"{self.by} error {number(error)} × model error")
        else:
            parts.append(f"{self.by} error {quantity(error, self.rates.sample.field.unit)}")
        if setting in curve.versions:
            parts.append(curve.versions[setting])
        if setting in self._files[curve.codec]:
            parts.append(f"{times(self._files[curve.codec][setting])} as files")
        return ", ".join(parts)


class RatePanel:
    """The lines, the chosen point on them, and what is sent when another one is picked.

    Parameters
    ----------
    pick : callable
        Takes a codec and a setting, or a key's name and None.
    files : mapping, optional
        Ratio on disk of each stored version.

    Attributes
    ----------
    measure : widgets.ToggleButtons
        One of `MEASURES`: what ratio is set against.
    lines, mark : widgets.HTML
        What is drawn.
    """

    def __init__(
        self,
        pick: Callable[[str, int | None], None],
        files: Mapping[Version, float] | None = None,
    ):
        self.measure = widgets.ToggleButtons(
            options=MEASURES,
            description="Error",
            tooltips=[
                "Ratio against the mean absolute error",
                "Ratio against the peak signal-to-noise ratio in decibels",
                "Ratio against the largest error of any cell",
            ],
        )
        self.measure.style.button_width, self.measure.layout.width = "60px", "290px"
        self.lines, self.mark = widgets.HTML(), widgets.HTML()
        self.lines.add_class("sl-rates")
        self.mark.add_class("sl-rate-mark")
        # The page's script writes here what was clicked, or which key was pressed.
        self.picked = widgets.Text(layout={"display": "none"}).add_class("sl-picked")
        stack = widgets.Box([self.lines, self.mark, self.picked]).add_class("sl-rate-stack")
        self.box = widgets.VBox([self.measure, stack])
        self._lock, self._pick, self._files = threading.RLock(), pick, files
        self._rates: dict[Hashable, Rates] = {}
        self._key: Hashable = None
        self._chart: RateChart | None = None
        self._chosen = ("", 0)
        self._waiting: threading.Timer | None = None
        self.measure.observe(lambda _: self._draw_lines(), "value")
        self.picked.observe(lambda change: self._on_picked(change.new), "value")

    def _on_picked(self, text: str) -> None:
        what, *rest = text.partition("#")[0].split()  # after # a number: no two are the same
        self._pick(what, int(rest[0]) if rest else None)

    def show(
        self, key: Hashable, settings: FieldSettings, plan: Callable[[], Plan], setting: int
    ) -> None:
        """Mark a setting of a field; its lines are drawn at once if they are known.

        `key` says which field of which sample it is and ends with the codec, and `plan` what makes
        its settings with every codec.
        """
        *field, codec = key
        with self._lock:
            self._chosen = codec, setting
            if self._key == (key := tuple(field)):
                self._draw_mark()
                return
            self._key = key
            if self._waiting:
                self._waiting.cancel()
            if key not in self._rates:
                # The plan is made here: it reads files and caches, which belong to this thread.
                given = key, settings.sample, plan()
                self._waiting = threading.Timer(DELAY, self._measure, given)
                self._waiting.start()
            self._draw_lines()

    def finish(self) -> None:
        """Measure at once what waits for time to stand still."""
        if waiting := self._waiting:
            waiting.cancel()
            self._measure(*waiting.args)

    def _measure(self, key: Hashable, sample: SampleField, plan: Plan) -> None:
        def wanted() -> bool:
            return self._key == key and threading.main_thread().is_alive()

        rates = measure(sample, plan, wanted)
        with self._lock:
            if rates is None or not wanted():
                return
            while len(self._rates) >= _KEPT:
                del self._rates[next(iter(self._rates))]
            self._rates[key] = rates
            self._draw_lines()

    def _draw_lines(self) -> None:
        with self._lock:
            rates = self._rates.get(self._key)
            self._chart = rates and RateChart(rates, self.measure.value, self._files)
            if self._chart is None:
                axis = ChartAxis("", (1, 10), log=True)
                waiting = Chart(TITLE, axis, axis, (), notice=_WAITING)
                self.lines.value = _panel(charts.svg(waiting, SIZE))
            else:
                self.lines.value = self._chart.lines()
            self._draw_mark()

    def _draw_mark(self) -> None:
        self.mark.value = self._chart.mark(*self._chosen) if self._chart else ""


def _look(i: int) -> tuple[str, tuple[float, ...]]:
    """Colour and dashes of the i-th codec."""
    return _LOOKS[i % len(_LOOKS)]


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Powers of ten around positive values."""
    low, high = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _panel(content: str) -> str:
    return (
        '<div class="sl-rate-panel" tabindex="0" role="slider" data-lm-suppress-shortcuts="true" '
        'aria-label="Point on the lines" aria-valuemin="0" aria-valuenow="0" title="Click a point, '
        'or use the arrow keys: left and right change the setting, up and down the codec">'
        f"{content}</div>"
    )
