"""LLNL professor's layouts of type 0, 1 and 2: files without names, and a list of the samples.

``filelist.txt`` has a line ``file`` (type 0: one sample per file) or ``file index`` (type 1) for
each sample; a file has ``inputs`` (n,) or (T, n) and ``fields`` (F, *axes) or (T, F, *axes). Type 2
is type 0 whose inputs the trainer divides: ``input_scale`` of a card. The last input is time, and
samples of equal other inputs are one simulation.
Format: llnl/professor, docs/basics.md and src/professor/mltrainer.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from surrlab.data.layouts.cards.card import TIME, Card, Part, Source
from surrlab.data.layouts.cards.draft import Draft
from surrlab.data.layouts.cards.stores import check_file, dataset

FILELIST = "filelist.txt"
BENCHMARKS: dict[int, dict[str, Any]] = {
    # Number of inputs -> what LLNL published with six fields (Li et al. 2026, Section III).
    4: {
        "benchmark": "Rayleigh-Taylor",
        "fields": "density velocity_x velocity_y pressure energy materials".split(),
        "parameters": "density_ratio gamma v_init".split(),
    },
    6: {
        "benchmark": "PCHIP",
        "fields": "density velocity_x velocity_y energy pressure materials".split(),
        "parameters": "control_1 control_2 control_3 control_4 impact_velocity".split(),
    },
}


def recognises(path: Path) -> bool:
    """Whether a folder has a list of files, or the path is such a list."""
    return (path / FILELIST).is_file() or (path.name == FILELIST and path.is_file())


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a folder, from its list, headers and inputs."""
    folder = path if path.is_dir() else path.parent
    draft, rows = Draft("professor", folder), _listed(folder)
    inputs, has_time = _inputs(draft, folder, rows, extra)
    n_inputs = inputs.shape[1]
    for samples in _simulations(inputs, [name for name, _ in rows], has_time):
        parts: list[Part] = []
        for i in samples:
            file, row = draft.files[rows[i][0]], rows[i][1]
            if has_time and parts and parts[-1].file == file:
                parts[-1] = parts[-1]._replace(rows=(*parts[-1].rows, row))
            else:
                parts.append(Part(file, (row,)))
        where = f"{folder / FILELIST}, {rows[samples[0]][0]}"
        values = {f"parameter_{k}": v for k, v in enumerate(inputs[samples[0], :-1].tolist())}
        draft.simulation(where, inputs[samples, -1].tolist(), parts, values)
    published = BENCHMARKS.get(n_inputs, {}) if len(draft.fields) == 6 else {}
    draft.unknown += ["fields", "parameters"] if n_inputs > 1 else ["fields"]
    return draft.card({**published, **extra}, keep_constants=True)


def _simulations(inputs: np.ndarray, files: list[str], has_time: bool) -> list[list[int]]:
    """Places of the samples of each simulation, in time: those of equal parameters.

    Files that hold equal times of equal parameters are runs that differ otherwise.
    """
    times = inputs[:, -1]
    groups: dict[Any, list[int]] = {}
    for i, row in enumerate(inputs[:, :-1].tolist()):  # with time alone, a file is a simulation
        key = tuple(row) if row or not has_time else files[i]
        groups.setdefault(key, []).append(i)
    found = []
    for samples in groups.values():
        parts = [samples]
        if has_time and len(set(times[samples])) < len(samples):
            names = dict.fromkeys(files[i] for i in samples)
            parts = [[i for i in samples if files[i] == name] for name in names]
        found += [sorted(part, key=lambda i: times[i]) for part in parts]
    return found


def _listed(folder: Path) -> list[tuple[str, int]]:
    """File and row of each sample, as the list has them."""
    path, rows = folder / FILELIST, []
    check_file(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or (len(words) == 2 and not words[1].isdigit()):
            raise ValueError(f"{path}, line {number}: {line!r} is not a file, or a file and a row")
        name = PurePosixPath(words[0])
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"{path}, line {number}: {name} lies outside the folder")
        rows.append((str(name), int(words[1]) if len(words) == 2 else -1))
    if len(set(rows)) < len(rows):
        twice = next(row for row, n in Counter(rows).items() if n > 1)
        raise ValueError(f"{path} names {twice[0]} {max(twice[1], 0)} twice")
    if len({row < 0 for _, row in rows}) != 1:
        raise ValueError(f"{path} should name samples, all as 'file' or all as 'file row'")
    return rows


def _inputs(
    draft: Draft, folder: Path, rows: list[tuple[str, int]], extra: Mapping[str, Any]
) -> tuple[np.ndarray, bool]:
    """Inputs (S, n) of the listed samples; whether files have many of them."""
    has_time, tables = rows[0][1] >= 0, {}
    for name in dict.fromkeys(name for name, _ in rows):
        path = folder / name
        with draft.opened(path) as file:
            if not draft.fields:
                shape = dataset(file, "fields", path, folder).shape
                _describe(draft, path, shape, has_time)
            lengths = draft.inspect(path, file)
            for axis, n in lengths.items():
                if axis != TIME:
                    draft.axis(str(path), axis, n)
            table = dataset(file, "inputs", path, folder)[()]
        draft.file(path)
        expected = (lengths[TIME],) if has_time else ()
        if table.ndim != 1 + has_time or table.shape[:-1] != expected or not table.shape[-1]:
            raise ValueError(f"{path}: inputs are {table.shape}, not one row for each sample")
        tables[name] = np.atleast_2d(np.asarray(table, np.float64))
    if len({t.shape[1] for t in tables.values()}) > 1:
        raise ValueError(f"{folder}: files have different numbers of inputs")
    for name, row in rows:
        if row >= len(tables[name]):
            raise ValueError(f"{folder / FILELIST} names row {row} of {name}, which has fewer")
    inputs = np.array([tables[name][max(row, 0)] for name, row in rows])
    scale = np.array(extra.get("input_scale", 1.0), np.float64)
    if scale.ndim and len(scale) != inputs.shape[1]:
        raise ValueError(
            f"input_scale has {len(scale)} numbers; there are {inputs.shape[1]} inputs"
        )
    return inputs / scale, has_time


def _describe(draft: Draft, path: Path, shape: tuple[int, ...], has_time: bool) -> None:
    """Add fields and axes, by number: no file names them."""
    n_grid = len(shape) - 1 - has_time
    if not 1 <= n_grid <= 3:
        raise ValueError(f"{path}: fields are {shape}, not (fields, …, y, x) of one sample or more")
    axes = ("z", "y", "x")[-n_grid:]
    for i in range(shape[has_time]):
        source = Source("fields", (*[TIME][: int(has_time)], i, *axes))
        draft.field(f"field_{i}", source)
