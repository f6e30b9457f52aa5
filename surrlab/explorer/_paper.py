"""The explorer's views as figures: what *Copy Python* calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from surrlab.explorer import _figures
from surrlab.explorer._ask import prediction_figure
from surrlab.explorer._look import Look
from surrlab.explorer._opening import open_field, open_results
from surrlab.explorer._predictor import open_predictor
from surrlab.explorer.settings import FieldView
from surrlab.explorer.source import ResultsView


def picture(
    path: str | os.PathLike,
    *,
    simulation: int,
    step: int,
    field: str,
    tolerance: float | None = None,
    codec: str | None = None,
    color_limit: float | None = None,
    ensemble: str | os.PathLike | None = None,
    variable: str | None = None,
    at: Mapping[str, int] | None = None,
    **look: Any,
) -> Figure:
    """The explorer's view of a sample as a figure.

    Parameters
    ----------
    path, ensemble : path
        As `explore` takes them.
    simulation, step : int
        Number of the simulation, and place of the time in it, from 0.
    field : str
        Its name.
    tolerance : float, optional
        Of the codec, in the field's unit (0: lossless). Without it: what the models predict.
    codec : str, optional
        Name of the codec; by default the one that the field is stored with, or zfp.
    color_limit : float, optional
        Differences are coloured up to ±this, in the field's unit.
    variable : str, optional
        Array of a file; by default the largest.
    at : mapping of str to int, optional
        Index on each axis but the two that are shown; by default the last two, in the middle.
    **look
        How the field is coloured, as `Look` takes it: ``cmap``, ``limits`` and ``log``.

    Raises
    ------
    KeyError, IndexError
        If there is no such simulation, step, field, codec, array, axis or index.
    FileNotFoundError, ValueError
        If there is nothing to show, or it cannot look so.
    """
    results = open_results(path, ensemble, variable, at)
    if tolerance is None:
        return _figures.model_figure(results.model_view(simulation, step, field), Look(**look))
    view = _view_at(results, simulation, step, field, tolerance, codec)
    return _figures.field_figure(view, color_limit, Look(**look))


def picture_prediction(
    path: str | os.PathLike,
    *,
    inputs: Mapping[str, float],
    field: str,
    version: str = "",
    ensemble: str | os.PathLike | None = None,
    trust: bool = False,
    **look: Any,
) -> Figure:
    """What a raw and a lossy model of a study predict where nobody has simulated, as a figure.

    Parameters
    ----------
    path, ensemble, trust
        As `explore` takes them.
    inputs : mapping of str to float
        A value for each parameter and for time, in its unit, within the training data.
    field : str
        Its name.
    version : str
        Label of the lossy model, as the explorer shows it; without it the raw model alone.
    **look
        How the field is coloured, as `Look` takes it: ``cmap``, ``limits`` and ``log``.

    Raises
    ------
    KeyError
        If there is no such input, field or version.
    FileNotFoundError, ValueError
        If there are no models, an input is outside the training data, or a network would have to
        be imported without `trust`.
    """
    results = open_results(path, ensemble)
    predictor = open_predictor(results)
    predictor.models.trust = trust
    return prediction_figure(predictor.view(inputs, version, field), Look(**look))


def picture_field(
    values,
    *,
    tolerance: float,
    name: str = "field",
    unit: str = "",
    model_error: float | None = None,
    codec: str | None = None,
    color_limit: float | None = None,
    **look: Any,
) -> Figure:
    """What `explore_field` shows at a tolerance (0: lossless) of a codec, as a figure.

    `look` is how it is coloured, as `Look` takes it.
    """
    results = open_field(values, name, unit, model_error)
    view = _view_at(results, 0, 0, name, tolerance, codec)
    return _figures.field_figure(view, color_limit, Look(**look))


def _view_at(
    results: ResultsView,
    simulation: int,
    step: int,
    field: str,
    tolerance: float,
    codec: str | None,
) -> FieldView:
    settings = results.field_settings(simulation, step, field, codec)
    return settings.view(settings.setting_of(tolerance))
