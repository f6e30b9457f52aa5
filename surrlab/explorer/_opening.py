"""Open a folder, a file or an array to look at, and say what is missing.

`open_results` takes the results of a study, an ensemble in any layout, raw or compressed, or a file
with arrays.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from surrlab.data.ensemble import Ensemble, InMemoryEnsemble
from surrlab.data.fields import Field
from surrlab.data.native import MANIFEST, is_native
from surrlab.data.open import open_ensemble
from surrlab.explorer._planes import Planes, open_array, variables
from surrlab.explorer._stored import StoredVersion
from surrlab.explorer.comparison import SampleReader
from surrlab.explorer.source import NO_MODELS, ResultsView


def open_field(values, name: str = "field", unit: str = "", model_error=None) -> ResultsView:
    """One array ``(ny, nx)`` to look at; parameters are those of `widget.explore_field`.

    Raises
    ------
    TypeError, ValueError
        Not two-dimensional, not numbers, or not finite.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a field is an array (ny, nx) with values, not of {values.shape}")
    if values.dtype.kind not in "fiub":
        raise TypeError(f"a field holds real numbers, not {values.dtype}")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        n = np.count_nonzero(~np.isfinite(values))
        raise ValueError(f"{n} of {values.size} values are NaN or infinite: no codec keeps them")
    if model_error is not None and not 0 < model_error < math.inf:
        raise ValueError(f"a model error is a positive number, not {model_error}")
    array = InMemoryEnsemble.of_field(np.ascontiguousarray(values), Field(name, unit or "1"))
    errors = None if model_error is None else {0: np.full((1, 1), model_error)}
    return ResultsView(array, errors=errors)


def open_results(
    path: str | os.PathLike,
    ensemble: str | os.PathLike | None = None,
    variable: str | None = None,
    at: Mapping[str, int] | None = None,
) -> ResultsView:
    """Open a folder or a file to look at.

    Parameters
    ----------
    path : path
        An ensemble in any layout, raw or compressed, the results of a study, or an npy, npz,
        NetCDF or HDF5 file.
    ensemble : path, optional
        The raw ensemble, where the results do not hold it or the compressed one lies elsewhere.
    variable : str, optional
        Array of the file; by default the largest, unless the file is an ensemble.
    at : dict of str to int, optional
        Index on each axis that is not shown, where there are more than two.

    Raises
    ------
    FileNotFoundError, KeyError, IndexError
        There is no such folder, file, array, axis or index, or nothing to look at.
    ValueError, OSError
        It cannot be read.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or file {path} (seen from {Path.cwd()}).")
    view = _open_file(path, variable) if path.is_file() else _open_folder(path, ensemble)
    return view if at is None else view.at(at)


def _open_file(path: Path, variable: str | None) -> ResultsView:
    """One array of a file, or the ensemble that the file is."""
    if variable is None:
        with suppress(OSError, ValueError, KeyError):  # mostly it is none, and needs no card
            return _open_alone(path, None)
    names = tuple(variables(path))
    name = names[0] if variable is None else variable
    whole = open_array(path, name)
    flat = Planes.through(SampleReader(whole)) if whole.grid.ndim == 2 else whole
    return ResultsView(flat, variable=name, variables=names)


def _open_folder(path: Path, ensemble) -> ResultsView:
    if is_native(path):
        return _open_alone(path, ensemble)
    raw = Path(ensemble).expanduser() if ensemble else path / "ensemble"
    folders = sorted(manifest.parent for manifest in path.glob(f"compressed/*/{MANIFEST}"))
    if raw.exists():
        return _open_study(open_ensemble(raw), folders, path)
    if folders:
        stored = sorted(map(StoredVersion.open, folders), key=lambda one: one.order)
        note = (
            f"{raw} is not there: what is called truth is {stored[0].name}, the least compressed "
            "version. Name the raw one with explore(…, ensemble=FOLDER)."
        )
        return ResultsView(stored[0].ensemble, path=path, notes=[note])
    try:
        return _open_alone(path, ensemble)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is nothing to look at in {path}: it is not the results of a study (it has no "
            f"ensemble/ and no compressed/), and {error}."
        ) from error


def _open_study(truth: Ensemble, folders: list[Path], path: Path) -> ResultsView:
    """The results of a study, with a note on whatever does not belong to its ensemble."""
    versions, notes = list(map(StoredVersion.open, folders)), []
    fitting = [one for one in versions if one.is_made_from(truth)]
    if not versions:
        notes.append("No compressed versions are stored here: every setting is computed on demand.")
    elif unmatched := [one.name for one in versions if one not in fitting]:
        notes.append(
            f"{', '.join(unmatched)} in {path / 'compressed'} was made from another ensemble than "
            f"{truth.name}: left out."
        )
    view = ResultsView(truth, fitting, path, notes)
    if view.models is None:
        view.notes.append(NO_MODELS)
    elif not view.models.models:
        view.notes.append(f"{path} has no weights: curves and verdicts stand without pictures.")
    return view


def _open_alone(path: Path, ensemble) -> ResultsView:
    """An ensemble without results; a compressed one with its source, where that is known."""
    opened = open_ensemble(path)
    if "source" not in opened.metadata.get("request", {}):
        note = (
            "This is an ensemble alone: settings are computed on demand, and there are no models "
            "to compare (those stand in a results folder)."
        )
        return ResultsView(opened, notes=[note])
    raw = Path(ensemble).expanduser() if ensemble else path.parent.parent / "ensemble"
    if raw.exists():
        truth, stored = open_ensemble(raw), StoredVersion.of(opened)
        if stored.is_made_from(truth):
            return ResultsView(truth.select(opened.simulations), [stored])
    note = (
        "This ensemble is compressed and its source is not here: what is called truth is what was "
        "stored, and every setting compresses it once more."
    )
    return ResultsView(opened, notes=[note])
