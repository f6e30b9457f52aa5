"""Labelled arrays of any library -> a card: what is a run, what is time, what is a parameter.

There is no standard, only habits: a dimension is a run or time by its name, or as the card says
(``dims``). Parameters are numbers over the runs, or, one file per run, attributes and scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surrlab.data.layouts.cards.card import RUN, TIME, Card, Part, Source
from surrlab.data.layouts.cards.draft import Draft, attribute, is_number, numbers, scalar

RUNS = set(
    "simulation simulations sim sims run runs member members ensemble realization realisation "
    "realizations number sample samples trajectory trajectories traj case cases experiment batch "
    "ensemble_member n".split()
)
TIMES = set(
    "time times t step steps timestep time_step snapshot snapshots frame date valid_time nt "
    "iteration instant".split()
)
SPACE = set(
    "x y z i j k r theta phi lat lon latitude longitude lev level depth height altitude plev "
    "nx ny nz rlat rlon xc yc zc row column cell eta xi sigma nlat nlon south_north west_east "
    "bottom_top".split()
)


class Variable(NamedTuple):
    """A labelled array, not read yet; a number among its dimensions takes that index."""

    dims: tuple[str | int, ...]
    array: Any
    attrs: Mapping[str, Any]
    dataset: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its dimensions."""
        return tuple(d for d in self.dims if isinstance(d, str))

    def values(self) -> np.ndarray:
        """Read it, as float64."""
        index = tuple(slice(None) if isinstance(d, str) else d for d in self.dims)
        return np.asarray(self.array[index], np.float64)


Variables = Callable[[Any], dict[str, Variable]]


def scan(
    layout: str, path: Path, files: Sequence[Path], variables: Variables, extra: Mapping[str, Any]
) -> Card:
    """Return the card of labelled files, one run per file or many."""
    draft = Draft(layout, path)
    for file in files:
        with draft.opened(file) as handle:
            found = variables(handle)
            if not draft.fields:
                given = extra.get("fields", ())
                chosen = given if isinstance(given, list) else ()
                names = [str(one["name"] if isinstance(one, dict) else one) for one in chosen]
                _describe(draft, file, handle, found, _roles(found, extra), extra, names)
            _add(draft, file, handle, found, _roles(found, extra))
        for i, field in enumerate(draft.fields if len(files) > 1 else ()):
            draft.fields[i] = replace(field, static=False)  # it may differ from file to file
    return draft.card(extra)


def _add(
    draft: Draft, path: Path, file: Any, found: dict[str, Variable], role: Mapping[str, str]
) -> None:
    """Add one file's runs."""
    of = {kind: next((d for d in role if role[d] == kind), "") for kind in (RUN, TIME)}
    lengths = draft.inspect(path, file)
    for name in lengths:
        if name not in (RUN, TIME):
            along = found[name] if name in found and found[name].names == (name,) else None
            points = along.values() if along else None
            unit = attribute(along.attrs, "units") if along else ""
            draft.axis(str(path), name, lengths[name], points, unit)
    n_runs, n_times = lengths.get(RUN, 1), lengths.get(TIME, 1)
    times, draft.time_unit = _times(path, found, of, n_runs, n_times)
    values = _parameters(draft, file, found, of[RUN], n_runs)
    number = draft.file(path)
    for run in range(n_runs):
        mine = None if times is None else times[run]
        n = n_times
        if mine is not None:  # the shorter runs of an array are filled up with NaN
            n = int(np.flatnonzero(np.isfinite(mine)).max(initial=-1)) + 1
        where = f"{path}, {of[RUN]} {run}" if of[RUN] else str(path)
        part = Part(number, tuple(range(n)), run if RUN in lengths else 0)
        one = {name: column[run] for name, column in values.items()}
        draft.simulation(where, None if mine is None else mine[:n].tolist(), [part], one)


def _roles(found: dict[str, Variable], extra: Mapping[str, Any]) -> dict[str, str]:
    """Dimension -> run, time or grid."""
    named = extra.get("dims", {})
    dims = dict.fromkeys(d for v in found.values() if len(v.dims) > 1 for d in v.names)
    for name, kind in named.items():
        if name not in dims or kind not in (RUN, TIME, "grid"):
            raise ValueError(f"dims of the card: {name!r} as {kind!r}; there are {', '.join(dims)}")
    role = {}
    for name in dims:
        attrs = found[name].attrs if name in found else {}
        of_time = attribute(attrs, "axis") == "T" or attribute(attrs, "standard_name") == "time"
        if name in named:
            role[name] = named[name]
        elif name.lower() in TIMES or of_time or " since " in attribute(attrs, "units"):
            role[name] = TIME
        else:
            others = [n for n, v in found.items() if v.names == (name,) and n != name]
            is_run = name.lower() in RUNS or (others and name.lower() not in SPACE)
            role[name] = RUN if is_run else "grid"
    for kind in (RUN, TIME):
        if len(both := [d for d in role if role[d] == kind]) > 1:
            raise ValueError(
                f"{' and '.join(both)} could both be the {kind}: say in a card which it is, as "
                f'"dims": {{"{both[0]}": "{kind}", "{both[1]}": "grid"}}'
            )
    return role


def _describe(
    draft: Draft,
    path: Path,
    file: Any,
    found: dict[str, Variable],
    role: dict[str, str],
    extra: Mapping[str, Any],
    chosen: Sequence[str],
) -> None:
    """Add fields: those chosen, or else the arrays over most of the grid's axes."""
    every = [file.attrs, *(v.attrs for v in found.values())]
    coordinates = {word for attrs in every for word in attribute(attrs, "coordinates").split()}
    over = {
        name: tuple(d for d in v.names if role[d] == "grid")
        for name, v in found.items()
        if len(v.dims) > 1 and name not in coordinates and attribute(v.attrs, "axis") != "T"
    }
    if chosen and set(chosen) <= set(over):
        over = {name: over[name] for name in chosen}

    def size(name: str) -> tuple[int, int]:
        return len(over[name]), int(np.prod(found[name].array.shape, dtype=np.int64))

    most = over[max(over, key=size)] if over else ()
    odd = [d for d in most if d.lower() not in SPACE and d not in extra.get("dims", {})]
    has_both = {RUN, TIME} <= set(role.values())
    if not 1 <= len(most) <= 3 or (
        not has_both and odd and (len(most) == 3 or len(odd) < len(most))
    ):
        listed = ", ".join(role) or "nothing"
        raise ValueError(
            f"{path}: arrays lie over {listed}; say in a card which are runs and times, as "
            '"dims": {"<name>": "run", "<name>": "time", "<name>": "grid"}'
        )
    for name, axes in over.items():
        variable = found[name]
        dtype = np.dtype(variable.array.dtype)
        if axes != most or not is_number(dtype):
            draft.left_out[name] = f"{dtype} over {', '.join(variable.names)}"
            continue
        if {"scale_factor", "add_offset"} & set(variable.attrs):
            raise ValueError(f"{path}: {name} is packed (scale_factor, add_offset); unpack it")
        over_runs = {d: kind for d, kind in role.items() if kind != "grid"}
        stored = tuple(over_runs.get(d, d) if isinstance(d, str) else d for d in variable.dims)
        fills = [scalar(variable.attrs.get(one)) for one in ("_FillValue", "missing_value")]
        fill = tuple(v for v in fills if v is not None and np.isfinite(v))
        source = Source(variable.dataset, stored, fill)
        label = attribute(variable.attrs, "long_name")
        unit = attribute(variable.attrs, "units") or None
        draft.field(name, source, unit, label, static=not {RUN, TIME} & set(stored))


def _times(
    path: Path, found: dict[str, Variable], of: dict[str, str], n_runs: int, n_times: int
) -> tuple[np.ndarray | None, str | None]:
    """Times (n_runs, n_times), None if nothing says them; and their unit."""
    for name in dict.fromkeys((of[TIME], "time", "times", "t")):
        variable = found.get(name)
        if variable is None or not set(variable.names) <= {of[RUN], of[TIME]}:
            continue
        values = variable.values()
        if variable.names == (of[TIME], of[RUN]):
            values = values.T
        elif variable.names == (of[RUN],):  # one sample a run
            values = values[:, None]
        unit = attribute(variable.attrs, "units") or None
        return np.broadcast_to(values, (n_runs, n_times)), unit
    return None, None


def _parameters(
    draft: Draft, file: Any, found: dict[str, Variable], run: str, n_runs: int
) -> dict[str, list[float]]:
    """Name -> value in each run."""
    values: dict[str, list[float]] = {}
    for name, variable in found.items():
        over_runs = run and variable.names == (run,) and name not in (run, *TIMES)
        alone = not run and variable.names == () and name.lower() not in TIMES
        if (over_runs or alone) and np.dtype(variable.array.dtype).kind in "fiu":
            values[name] = variable.values().reshape(-1).tolist()
            if unit := attribute(variable.attrs, "units"):
                draft.units[name] = unit
    if not run:
        values = {n: [v] for n, v in numbers(file.attrs).items()} | values
    return values
