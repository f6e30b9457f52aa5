"""The list of figures: which one is drawn from which saved table.

A study draws a figure when its table is there; ``surrlab figures`` draws all of them again, years
later and without the ensemble, the models or any computing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from matplotlib import rc_context
from matplotlib.figure import Figure

from surrlab._files import replacing
from surrlab._tables import read_table
from surrlab.figures import _diagrams, data, images, loading, models
from surrlab.figures.style import NothingToDraw, plain_text


class FigureSpec(NamedTuple):
    """A figure: the table that it is drawn from, the notebook that makes both, the function."""

    table: str
    notebook: str
    function: Callable[[xr.Dataset], Figure]


def _of_one(function: Callable[[xr.Dataset, int], Figure]) -> Callable[[xr.Dataset], Figure]:
    """A figure of the only simulation in its table."""
    return lambda table: function(table, int(table["simulation"].values[0]))


FIGURES = {
    "evolution": FigureSpec("evolution", "1_ensemble", images.evolution),
    "history": FigureSpec("history", "2_variability", models.history),
    "momentum_band": FigureSpec("raw_curves", "2_variability", _of_one(models.momentum_band)),
    "generation_loss": FigureSpec("generation_loss", "3_generation_loss", data.generation_loss),
    "thresholds": FigureSpec("thresholds", "4_tolerance_search", data.thresholds),
    "compressed": FigureSpec("compressed_fields", "4_tolerance_search", images.compressed),
    "codecs": FigureSpec("codecs", "4_tolerance_search", data.codecs),
    "tolerances": FigureSpec("tolerance_search", "4_tolerance_search", data.tolerances),
    "momentum_band_lossy": FigureSpec("curves", "5_lossy_training", _of_one(models.momentum_band)),
    "totals": FigureSpec("curves", "5_lossy_training", _of_one(models.totals)),
    "psnr": FigureSpec("lossy_training", "5_lossy_training", models.psnr),
    "correlation": FigureSpec("lossy_training", "5_lossy_training", models.correlation),
    "side_by_side": FigureSpec("pictures", "5_lossy_training", images.side_by_side),
    "verdict": FigureSpec("verdicts", "5_lossy_training", models.verdict),
    "throughput": FigureSpec("loading_rates", "6_loading", loading.throughput),
    "epoch_time": FigureSpec("epoch_times", "6_loading", loading.epoch_time),
    "network": FigureSpec("network", "7_figures", _diagrams.network),
    "pipeline": FigureSpec("pipeline", "7_figures", _diagrams.pipeline),
}
"""Every figure of a study by the name of its file, in the order of the notebooks."""

EXTRAS = {
    "equal_bytes": FigureSpec("extra_equal_bytes", "equal-bytes", data.equal_bytes),
    "convergence": FigureSpec("extra_convergence", "convergence", data.convergence),
}
"""Figures of ``surrlab study --extra``, whose name stands in the notebook's place."""


FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 110},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}
"""How each kind of file is written: the same table gives the same bytes."""


@plain_text()
def draw(results: str | os.PathLike, name: str, *, formats: Sequence[str] = ("png",)) -> Figure:
    """Draw a figure from its saved table, store it as ``figures/<name>.png``, and return it.

    Parameters
    ----------
    results : path
        Folder of a study.
    name : str
        One of `FIGURES`, or of `EXTRAS`.
    formats : sequence of str
        Kinds of files, each stored under its ending: png, svg, pdf.

    Raises
    ------
    KeyError
        If there is no such figure.
    FileNotFoundError
        If the table is not there, naming the notebook that makes it.
    NothingToDraw
        If the ensemble has nothing that the figure shows.
    ValueError
        If the table lacks what the figure needs.
    """
    known = FIGURES | EXTRAS
    if unknown := set(formats) - set(FORMATS):
        raise ValueError(f"figures are {', '.join(FORMATS)}, not {min(unknown)}")
    if name not in known:
        raise KeyError(f"there is no figure {name!r}; there are {', '.join(known)}")
    spec = known[name]
    maker = f"surrlab study --extra {spec.notebook}"
    if name in FIGURES:
        maker = f"{spec.notebook}.ipynb"
    path = Path(results) / f"{spec.table}.nc"
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no {path}; {maker} makes it")
    table = read_table(path)
    try:
        figure = spec.function(table)
    except KeyError as error:
        raise ValueError(
            f"{name}: {path} lacks {error}; another version made it, {maker} makes it again"
        ) from error
    except NothingToDraw as error:
        raise NothingToDraw(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {path}: {error}") from error
    folder = path.parent / "figures"
    folder.mkdir(exist_ok=True)
    for kind in formats:
        with replacing(folder / f"{name}.{kind}") as temporary, rc_context({"svg.hashsalt": name}):
            figure.savefig(temporary, format=kind, **FORMATS[kind])
    return figure


def draw_all(
    results: str | os.PathLike, *, formats: Sequence[str] = ("png",)
) -> tuple[list[str], list[str]]:
    """Draw every figure whose table is there; return their names, and why others are missing.

    Raises
    ------
    FileNotFoundError
        If the folder holds none of the tables.
    """
    drawn, missing = [], []
    of_extras = [name for name in EXTRAS if (Path(results) / f"{EXTRAS[name].table}.nc").exists()]
    for name in [*FIGURES, *of_extras]:
        try:
            draw(results, name, formats=formats)
            drawn.append(name)
        except (FileNotFoundError, ValueError) as error:
            missing.append(str(error))
    if not drawn:
        raise FileNotFoundError(f"{results} holds no table that a figure is drawn from")
    return drawn, missing
