"""Raw and lossy models of a study, asked where nobody has simulated, within the training data.

Numbers alone: `_ask` puts them on the page. torch comes in with the first question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from surrlab._files import read_json
from surrlab._text import quantity, with_unit
from surrlab.data._masks import blank
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Field, Grid
from surrlab.explorer.comparison import RAW, ResultTables, SampleReader, TrainedModels
from surrlab.explorer.source import NO_MODELS, ResultsView

DIFFERENCE = "lossy − raw"
_OTHERS = 4  # raw models beside the one that is shown: each costs a prediction
_SMALL = 1 << 18
"""Values of a sample up to which threads of torch wait longer for each other than they compute."""


class InputRange(NamedTuple):
    """Range of one input over the training samples, in its unit."""

    name: str
    unit: str
    low: float
    high: float
    middle: float

    @property
    def label(self) -> str:
        """Its name and unit."""
        return with_unit(self.name, self.unit)


@dataclass(frozen=True, eq=False)
class PredictionView:
    """One field as a raw and a lossy model predict it.

    Parameters
    ----------
    title : str
        Where: the inputs with their units.
    field : Field
        Name, unit and label.
    grid : Grid
        Where the field lives.
    version : str
        Label of the lossy model; empty where there is none.
    raw, lossy : array (ny, nx)
        The predictions, in the field's unit; NaN where the field has no value.
    limits : tuple of float
        Colour limits of the field: its range over the ensemble, whatever the inputs are.
    color_limit : float
        Differences are coloured from −color_limit to color_limit.
    model_error : float
        Mean absolute error of the raw models over the test samples.
    variability : float or None
        Mean absolute difference from raw models with other seeds; None where there are none.
    """

    title: str
    field: Field
    grid: Grid
    version: str
    raw: np.ndarray
    lossy: np.ndarray | None
    limits: tuple[float, float]
    color_limit: float
    model_error: float
    variability: float | None

    @property
    def panels(self) -> dict[str, np.ndarray]:
        """Name -> array (ny, nx): the raw model, the lossy one, and their difference."""
        if self.lossy is None:
            return {RAW: self.raw}
        return {RAW: self.raw, self.version: self.lossy, DIFFERENCE: self.lossy - self.raw}

    @property
    def l1(self) -> float:
        """Mean absolute difference between the two models, in the field's unit."""
        return math.nan if self.lossy is None else _l1(self.lossy, self.raw)

    @property
    def linf(self) -> float:
        """Largest absolute difference between the two models, in the field's unit."""
        return math.nan if self.lossy is None else float(np.nanmax(np.abs(self.lossy - self.raw)))


def _l1(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.nanmean(np.abs(one - other), dtype=np.float64))


class Predictor:
    """Raw and lossy models of a study, asked at any inputs within their training data.

    Parameters
    ----------
    models : TrainedModels
        Of the results folder.
    truth : Ensemble
        The study's ensemble: the training samples are a part of it.

    Attributes
    ----------
    ranges : tuple of InputRange
        One for each input, time last.
    versions : tuple of str
        Labels of the lossy models that there are.
    first : str
        The one to begin with; empty where there are none.

    Raises
    ------
    ValueError
        If the folder holds no weights of a raw model; the sentence says what to run.
    """

    def __init__(self, models: TrainedModels, truth: Ensemble):
        self.models, self.truth = models, truth
        if RAW not in models.models:
            raise ValueError(
                f"There are no weights of a raw model in {models.path / 'models'}: run the study "
                "again (`surrlab study`, or `make study`), and what is missing is trained. Models "
                "that a trainer of your own made cannot be asked: their predictions alone are here."
            )
        self.versions = tuple(name for name in models.models if name != RAW)
        factors = models.table["factor"].values
        # Algorithm 1's own choice is where people begin.
        self.first = next(
            (name for name in self.versions if factors[models.models[name]] == 1),
            self.versions[0] if self.versions else "",
        )
        run = read_json(models.folder(models.models[RAW]) / "config.json")
        learned = set(run["data"]["simulations"]) & set(truth.simulations)
        train_set = truth.select(s for s in truth.simulations if s in learned or not learned)
        inputs = train_set.inputs.astype(np.float64)
        self.ranges = tuple(
            InputRange(name, unit, float(v.min()), float(v.max()), float(np.median(v)))
            for name, unit, v in zip(truth.input_names, truth.input_units, inputs.T, strict=True)
        )
        self._others = [
            int(i)
            for i in np.flatnonzero(models.raw)
            if i != models.models[RAW] and models.has_weights(i)
        ][:_OTHERS]
        self._statistics = ResultTables(models.path, truth).read("fields", "low", "high")
        self._samples = SampleReader(models.test_set)

    @property
    def missing(self) -> tuple[str, ...]:
        """Labels of the versions whose models the study has judged, and whose weights are gone."""
        return tuple(name for name in self.models.judged if name not in self.models.models)

    def inputs(self, values: Mapping[str, float]) -> np.ndarray:
        """An input vector ``(n,)`` float32, from a value for each name.

        Raises
        ------
        KeyError
            If a name is missing, or there is no such input.
        ValueError
            If a value is outside the training data.
        """
        names = [one.name for one in self.ranges]
        if set(values) != set(names):
            raise KeyError(
                f"the model takes {', '.join(names)}; what came is {', '.join(values) or 'nothing'}"
            )
        for one in self.ranges:
            slack = 1e-5 * max(abs(one.low), abs(one.high))  # code shows six digits of a value
            if not one.low - slack <= values[one.name] <= one.high + slack:
                raise ValueError(
                    f"{one.name} = {values[one.name]:g} is outside the training data, which reach "
                    f"from {one.low:g} to {one.high:g}"
                    + ("" if one.unit in ("", "1") else f" {one.unit}")
                )
        vector = [min(max(values[one.name], one.low), one.high) for one in self.ranges]
        return np.array(vector, np.float32)

    def limits(self, name: str) -> tuple[float, float]:
        """Range of a field over the ensemble; of one test simulation where that is not stored."""
        if self._statistics is not None:
            one = self._statistics.sel(field=name)
            return float(one["low"]), float(one["high"])
        return self._samples.limits(self.models.simulations[0], name)

    def view(self, values: Mapping[str, float], version: str, name: str) -> PredictionView:
        """A field as the raw model and that of a version predict it; KeyError if there is none.

        ValueError for inputs outside the training data, and for a network that would have to be
        imported.
        """
        if version and version not in self.versions:
            raise KeyError(
                f"there is no model of {version!r}; there are {', '.join(self.versions) or 'none'}"
            )
        inputs, place = self.inputs(values), self.truth.index(name)
        raw = self._predict(self.models.models[RAW], inputs, place)
        others = [self._predict(i, inputs, place) for i in self._others]
        limits = self.limits(name)
        errors = np.concatenate([errors[:, place] for errors in self.models.errors.values()])
        at = (f"{one.name} {quantity(values[one.name], one.unit)}" for one in self.ranges)
        return PredictionView(
            title=", ".join(at),
            field=self.truth.fields[place],
            grid=self.truth.grid,
            version=version,
            raw=raw,
            lossy=self._predict(self.models.models[version], inputs, place) if version else None,
            limits=limits,
            color_limit=self._samples.color_limit(errors, limits),
            model_error=float(errors.mean()),
            variability=float(np.mean([_l1(one, raw) for one in others])) if others else None,
        )

    def _predict(self, model: int, inputs: np.ndarray, place: int) -> np.ndarray:
        from surrlab.training.surrogate import predict  # torch takes two seconds

        threads = 1 if math.prod(self.truth.sample_shape) <= _SMALL else None
        fields = predict(self.models.surrogate(model), inputs, threads=threads)
        return blank(fields, self.truth.valid)[place]


def open_predictor(results: ResultsView) -> Predictor:
    """What can be asked in a folder; ValueError, with what to run, where there are no models."""
    if results.models is None:
        raise ValueError(NO_MODELS)
    return Predictor(results.models, results.truth)
