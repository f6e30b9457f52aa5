"""The Well's layout: HDF5 files of some trajectories each; vectors are one array with a last axis.

A field of ``t0_fields`` lies over (trajectory, time, *axes), of ``t1_fields`` with one axis more,
of ``t2_fields`` with two; its attributes say which of them it lacks. Parameters are attributes of
the file, or scalars that vary with the trajectory.
Format: PolymathicAI/the_well, docs/data_format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from surrlab.data.layouts import professor
from surrlab.data.layouts.cards.card import RUN, TIME, Card, Part, Source
from surrlab.data.layouts.cards.draft import Draft, scalar
from surrlab.data.layouts.cards.stores import HDF5, data_files, first_file, header

SPLITS = ("train", "valid", "test")


def recognises(path: Path) -> bool:
    """Whether the first file has the Well's groups; not if a list makes it professor's, too."""
    if professor.recognises(path):
        return False
    first = next((one for at in _folders(path) if (one := first_file(at, HDF5))), None)
    with header(first) as file:
        return "t0_fields" in file and "dimensions" in file


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a file, of a folder of files, or of ``data/{train,valid,test}``."""
    draft = Draft("well", path)
    for file in [one for at in _folders(path) for one in data_files(at, HDF5)]:
        with draft.opened(file) as handle:
            _add(draft, file, handle)
    return draft.card(extra)


def _folders(path: Path) -> list[Path]:
    data = path / "data" if (path / "data").is_dir() else path
    return [path] if path.is_file() else [data, *(data / s for s in SPLITS if (data / s).is_dir())]


def _add(draft: Draft, path: Path, file: Any) -> None:
    """Add one file's trajectories, and, if it is the first, fields and axes."""
    dims = [_text(d) for d in file["dimensions"].attrs["spatial_dims"]]
    if not draft.fields:
        draft.benchmark["name"] = _text(file.attrs.get("dataset_name", "")) or path.stem
        _describe(draft, path, file, dims)
    lengths = draft.inspect(path, file)
    for name in dims:
        points = file[f"dimensions/{name}"]
        draft.axis(str(path), name, lengths[name], points[:] if points.ndim == 1 else None)
    times = np.asarray(file["dimensions/time"][()], np.float64)
    n_runs = lengths.get(RUN, int(file.attrs.get("n_trajectories", 1)))
    times = np.broadcast_to(times, (n_runs, times.shape[-1]))
    if lengths.get(TIME, times.shape[1]) != times.shape[1]:
        raise ValueError(f"{path}: {lengths[TIME]} steps, and {times.shape[1]} times")
    number = draft.file(path)
    for run in range(n_runs):
        part = Part(number, tuple(range(times.shape[1])), run)
        where = f"{path}, trajectory {run}"
        draft.simulation(where, times[run].tolist(), [part], _parameters(file, run))


def _describe(draft: Draft, path: Path, file: Any, dims: list[str]) -> None:
    for order in range(3):
        group = file.get(f"t{order}_fields", {})
        for name in map(_text, group.attrs["field_names"] if len(group) else ()):
            array, attrs = group[name], group[name].attrs
            if not np.all(attrs.get("dim_varying", True)):
                draft.left_out[name] = "it does not lie over all dimensions"
                continue
            lead = [RUN] * bool(attrs.get("sample_varying", True))
            lead += [TIME] * bool(attrs.get("time_varying", True))
            for component in product(range(len(dims)), repeat=order):
                suffix = "".join(dims[i] for i in component)
                source = Source(f"t{order}_fields/{name}", (*lead, *dims, *component))
                static = RUN not in lead and TIME not in lead and len(draft.files) == 0
                draft.field(f"{name}_{suffix}" if order else name, source, static=static)
            del array


def _parameters(file: Any, run: int) -> dict[str, float]:
    """Name -> value of a trajectory."""
    found = {}
    for name in map(_text, file.attrs.get("simulation_parameters", ())):
        scalars = file.get("scalars", {})
        values = scalars[name] if name in scalars else None
        if values is not None and values.ndim == 1 and values.attrs.get("sample_varying"):
            found[name] = float(values[run])
        elif (value := scalar(file.attrs.get(name, values))) is not None:
            found[name] = value
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
