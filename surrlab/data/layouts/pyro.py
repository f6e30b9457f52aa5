"""pyro-hydro's own output: a folder per run, an HDF5 file per step, double precision, x before y.

Times differ from run to run: the first step at or beyond each output time. Parameters are the
runtime parameters that differ between runs.
Format: pyro's ``Simulation.write`` and ``CellCenterData2d.write``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surrlab.data.layouts.cards.card import Card, Part, Source
from surrlab.data.layouts.cards.draft import Draft, attribute, numbers
from surrlab.data.layouts.cards.stores import data_files, first_file, header

SUFFIXES, PARAMETERS = (".h5",), "runtime parameters"


def recognises(path: Path) -> bool:
    """Whether the first file of a folder, or of its first folder, is pyro's."""
    first = next((one for at in _runs(path) if (one := first_file(at, SUFFIXES))), None)
    with header(first) as file:
        return "state" in file and "grid" in file and PARAMETERS in file


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a folder of runs, or of one run's folder."""
    draft = Draft("pyro", path)
    for folder in _runs(path):
        found = []
        for file in data_files(folder, SUFFIXES):
            with draft.opened(file) as handle:
                if not draft.fields:
                    _describe(draft, handle)
                _check_grid(draft, file, handle, draft.inspect(file, handle))
                time, values = float(handle.attrs["time"]), numbers(handle[PARAMETERS].attrs)
            found.append((time, draft.file(file)))
        if found:
            found.sort()
            parts = [Part(number, (0,)) for _, number in found]
            draft.simulation(str(folder), [time for time, _ in found], parts, values)
    return draft.card(extra)


def _runs(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    folders = sorted(one for one in path.iterdir() if one.is_dir())
    return [path, *folders]


def _describe(draft: Draft, file: Any) -> None:
    draft.benchmark["name"] = attribute(file.attrs, "problem") or "pyro"
    for name in file["state"]:
        draft.field(name.replace("-", "_"), Source(f"state/{name}/data", ("x", "y")))


def _check_grid(draft: Draft, path: Path, file: Any, lengths: dict[str, int]) -> None:
    ends = file["grid"].attrs
    for name, n in lengths.items():
        low, high = float(ends[f"{name}min"]), float(ends[f"{name}max"])
        points = low + (np.arange(n) + 0.5) * (high - low) / n
        draft.axis(str(path), name, n, points)
