"""Which figure is drawn from which saved table: the one list that notebooks and command share.

A notebook calls `draw` when its table is there; ``surrlab figures`` draws all of them again, years
later and without the ensemble, the models or any computing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from surrlab import _files, studies
from surrlab.figures import data, loading, models


class Plate(NamedTuple):
    """A figure: the table that it is drawn from, the notebook that makes both, and how."""

    table: str
    notebook: str
    figure: Callable[[xr.Dataset], Figure]


def _of_one(draw: Callable[[xr.Dataset, int], Figure]) -> Callable[[xr.Dataset], Figure]:
    """A figure of the only simulation in its table."""
    return lambda table: draw(table, table["simulation"].item())


def _generation_loss(table: xr.Dataset) -> Figure:
    return models.generation_loss(studies.generation_errors(table))


PLATES = {
    "evolution": Plate("evolution", "1_ensemble", data.evolution),
    "history": Plate("history", "2_variability", models.history),
    "momentum_band": Plate("raw_curves", "2_variability", _of_one(models.momentum_band)),
    "generation_loss": Plate("generation_loss", "3_generation_loss", _generation_loss),
    "thresholds": Plate("thresholds", "4_tolerance_search", data.thresholds),
    "compressed": Plate("compressed_fields", "4_tolerance_search", data.compressed),
    "tolerances": Plate("tolerance_search", "4_tolerance_search", data.tolerances),
    "momentum_band_lossy": Plate("curves", "5_lossy_training", _of_one(models.momentum_band)),
    "totals": Plate("curves", "5_lossy_training", _of_one(models.totals)),
    "psnr": Plate("lossy_training", "5_lossy_training", models.psnr),
    "correlation": Plate("lossy_training", "5_lossy_training", models.correlation),
    "side_by_side": Plate("pictures", "5_lossy_training", models.side_by_side),
    "verdict": Plate("verdicts", "5_lossy_training", models.verdict),
    "throughput": Plate("loading_rates", "6_loading", loading.throughput),
    "epoch_time": Plate("epoch_times", "6_loading", loading.epoch_time),
}
"""Every figure of a study by the name of its file, in the order of the notebooks."""


def draw(results: str | os.PathLike, name: str) -> Figure:
    """Draw a figure from its saved table, keep it as ``figures/<name>.png``, and return it.

    Parameters
    ----------
    results : path
        Folder of a study.
    name : str
        One of `PLATES`.

    Raises
    ------
    FileNotFoundError
        If the table is not there, naming the notebook that makes it.
    ValueError
        If the table lacks what the figure needs: another version made it.
    """
    results, plate = Path(results), PLATES[name]
    path = results / f"{plate.table}.nc"
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no {path}; {plate.notebook}.ipynb makes it")
    table = xr.load_dataset(path, engine="h5netcdf")
    try:
        figure = plate.figure(table)
    except KeyError as error:
        raise ValueError(
            f"{name}: {path} lacks {error}; another version made it, {plate.notebook}.ipynb makes "
            "it again"
        ) from error
    kept = results / "figures" / f"{name}.png"
    kept.parent.mkdir(exist_ok=True)
    with _files.replacing(kept) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return figure


def draw_all(results: str | os.PathLike) -> tuple[list[str], list[str]]:
    """Draw every figure whose table is there; return their names, and what is said of the others.

    Raises
    ------
    FileNotFoundError
        If the folder holds none of the tables.
    """
    drawn, missing = [], []
    for name in PLATES:
        try:
            draw(results, name)
            drawn.append(name)
        except (FileNotFoundError, ValueError) as error:
            missing.append(str(error))
    if not drawn:
        raise FileNotFoundError(f"{results} holds no table that a figure is drawn from")
    return drawn, missing
