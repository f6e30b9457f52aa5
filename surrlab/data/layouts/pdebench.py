"""PDEBench's HDF5 files: arrays over (run, time, x, y, z), or one group per run, channels last.

``x`` comes before ``y``. ``t-coordinate`` is one longer than there are steps. The parameters are
attributes, one set per file; runs of one file differ by their initial state alone, which no
parameter says (a card may).
Format: pdebench/data_gen/data_gen_NLE/Data_Merge.py, models/fno/utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from surrlab.data.layouts.cards.card import RUN, TIME, Card, Part, Source
from surrlab.data.layouts.cards.draft import Draft, attribute, numbers
from surrlab.data.layouts.cards.stores import HDF5, data_files, first_file, header, members

NUMBER = re.compile(r"^\s*(\w+):\s*([-+.\deE]+)\s*$", re.MULTILINE)
"""A line of a group's ``config``, which is YAML."""


def recognises(path: Path) -> bool:
    """Whether the first file has ``x-coordinate``, or groups with ``data`` and ``grid``."""
    with header(first_file(path, HDF5)) as file:
        return "x-coordinate" in file or bool(_groups(file))


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a file, or of files of the same arrays in a folder."""
    draft = Draft("pdebench", path)
    for file in data_files(path, HDF5):
        with draft.opened(file) as handle:
            if groups := _groups(handle):
                for name in groups:
                    _add_group(draft, file, handle, name)
            else:
                _add(draft, file, handle)
    return draft.card(extra)


def _groups(file: Any) -> list[str]:
    return [
        n
        for n, g in members(file).items()
        if isinstance(g, h5py.Group) and "data" in g and "grid" in g
    ]


def _add(draft: Draft, path: Path, file: Any) -> None:
    """Add the runs of a file of bare arrays."""
    dims = [d for d in "xyz" if f"{d}-coordinate" in file]
    if not draft.fields:
        for name, array in members(file).items():
            axes = {len(dims) + 2: (RUN, TIME, *dims), len(dims) + 1: (RUN, *dims)}
            if not name.endswith("-coordinate") and (over := axes.get(getattr(array, "ndim", 0))):
                draft.field(name, Source(name, over))
    elif missing := [s.dataset for s in draft.sources if s.dataset not in file]:
        raise ValueError(f"{path} has no {', '.join(missing)}: it is not of the same kind")
    lengths = draft.inspect(path, file)
    for name in dims:
        points = file[f"{name}-coordinate"][: lengths[name]]
        draft.axis(str(path), name, lengths[name], points)
    number, n = draft.file(path), lengths.get(TIME, 1)
    times = file["t-coordinate"][:] if "t-coordinate" in file else None
    if times is not None and len(times) not in (n, n + 1):
        raise ValueError(f"{path}: t-coordinate has {len(times)} times, for {n} steps")
    for run in range(lengths[RUN]):
        part, where = Part(number, tuple(range(n)), run), f"{path}, run {run}"
        draft.simulation(where, None if times is None else times[:n], [part], numbers(file.attrs))


def _add_group(draft: Draft, path: Path, file: Any, name: str) -> None:
    """Add the run of one group of a file."""
    group = file[name]
    dims = [d for d in "xyz" if d in group["grid"]]
    if not draft.fields:
        for i in range(group["data"].shape[-1]):
            draft.field(f"field_{i}", Source("data", (TIME, *dims, i)))
        draft.unknown.append("fields")
    lengths = draft.inspect(path, file, f"{name}/")
    for dim in dims:
        draft.axis(f"{path}, {name}", dim, lengths[dim], group[f"grid/{dim}"][: lengths[dim]])
    config = dict(NUMBER.findall(attribute(group.attrs, "config")))
    values = {key: float(text) for key, text in config.items() if key != "seed"}
    part = Part(draft.file(path), tuple(range(lengths[TIME])), group=f"{name}/")
    draft.simulation(f"{path}, {name}", group["grid/t"][: lengths[TIME]], [part], values)
