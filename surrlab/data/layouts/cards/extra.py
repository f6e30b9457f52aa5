"""What the owner of an ensemble adds to its card: ``surrlab.json`` beside the data, or ``card=``.

It says what no file says, and may not contradict what files do say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surrlab.data.fields import Axis, Grid
from surrlab.data.layouts.cards.card import UNKNOWN, Card
from surrlab.data.layouts.cards.stores import check_file, is_zarr
from surrlab.data.stored import TAKEN

NAME = "surrlab.json"
KEYS = {
    "layout": "name of the layout",
    "benchmark": "name of what was simulated",
    "constants": "name -> number, the same in all runs",
    "fields": "names in stored order, or name -> {name, unit, label}",
    "parameters": "names in stored order, or name -> {name, unit, values: one per run}",
    "axes": "name -> {name, unit, points or low and high}",
    "time": "{unit, values: one per sample, or a list of them for each run}",
    "mask": "the number that stands for no value, or field -> number",
    "dims": "a file's name of a dimension -> run, time or grid",
    "arrays": "array -> its axes: run, time, a number (the index to take) or names of the grid's",
    "input_scale": "what stored inputs are divided by, one number each",
}
"""What an owner may say."""

Extra = dict[str, Any]
Given = Mapping[str, Any] | str | os.PathLike | None


def load_extra(path: Path, card: Given = None) -> Extra:
    """Return what ``surrlab.json`` beside an ensemble says, and what `card` adds to it.

    Parameters
    ----------
    path : Path
        The ensemble.
    card : dict or path, optional
        More of it, or a JSON file that holds it.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """
    inside = path / NAME if path.is_dir() else path.parent / NAME
    if is_zarr(path) and not inside.exists():
        inside = path.parent / NAME
    extra: Extra = _read(inside) if inside.exists() else {}
    if isinstance(card, (str, os.PathLike)):
        card = _read(Path(card))
    for key, value in (card or {}).items():
        old = extra.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        extra[key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return _without_unknown(extra)


def check_keys(extra: Extra) -> None:
    """Raise ValueError if a card has other keys than `KEYS`."""
    for key in set(extra) - set(KEYS):
        raise ValueError(f"a card has no {key!r}; it may have {', '.join(KEYS)}")


def _read(path: Path) -> Extra:
    check_file(path)
    try:
        # An empty one says nothing: `surrlab card PATH > PATH/surrlab.json` makes it beforehand.
        found = json.loads(path.read_text(encoding="utf-8") or "{}")
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} should hold an object, not {type(found).__name__}")
    return found


def _without_unknown(value: Any) -> Any:
    """Return a card's JSON without what still has to be filled in."""
    if not isinstance(value, Mapping):
        return value
    found = {k: _without_unknown(v) for k, v in value.items() if v != UNKNOWN}
    return {k: v for k, v in found.items() if v != {}}


def complete(card: Card, extra: Extra) -> Card:
    """Return a card with what its owner adds.

    Raises
    ------
    ValueError
        If that contradicts the files, or names what they lack.
    """
    benchmark = dict(card.benchmark)
    if "benchmark" in extra:
        benchmark["name"] = str(extra["benchmark"])
    if "constants" in extra:
        benchmark["constants"] = {**benchmark.get("constants", {}), **extra["constants"]}
    card = replace(card, benchmark=benchmark)
    steps = {"axes": _axes, "fields": _fields, "parameters": _parameters, "time": _time}
    for key, step in {**steps, "mask": _mask}.items():
        if key not in extra:
            continue
        try:
            card = step(card, extra[key])
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            raise ValueError(
                f"{key!r} of the card should be {KEYS[key]}, not {extra[key]!r}"
            ) from error
    names = [f.name for f in card.fields]
    if not names:
        raise ValueError("an ensemble needs a field")
    for i, name in enumerate(every := [*TAKEN, *card.grid.names, *names]):
        if name in every[:i]:
            raise ValueError(f"{name!r} cannot name a field or an axis: it is taken; rename it")
    return card


def _agree(card: Card, what: str, old: Any, new: Any) -> Any:
    """Return what the owner says, unless files say otherwise."""
    if what in card.unknown or old == new:
        return new
    raise ValueError(f"the card says that the {what} is {new!r}, the files say {old!r}")


def _now_known(card: Card, stated: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in card.unknown if one not in stated)


def _fields(card: Card, extra: Sequence | Mapping) -> Card:
    old = {f.name: (f, source) for f, source in zip(card.fields, card.sources, strict=True)}
    fields, sources = [], []
    stated, renamed = ["fields"], {}
    for name, says in _by_name(card, extra, list(old), "fields").items():
        field, source = old[name]
        new_name = says.get("name", name)
        changes = {"name": new_name, "label": says.get("label", field.label)}
        if new_name != name and "label" not in says and field.label == name.replace("_", " "):
            changes["label"] = ""
        if "unit" in says:
            changes["unit"] = _agree(card, f"unit of {name}", field.unit, says["unit"])
            stated.append(f"unit of {name}")
        renamed[f"unit of {name}"] = f"unit of {new_name}"
        fields.append(replace(field, **changes))
        sources.append(source)
    unknown = tuple(renamed.get(one, one) for one in _now_known(card, stated))
    return replace(card, fields=tuple(fields), sources=tuple(sources), unknown=unknown)


def _parameters(card: Card, extra: Sequence | Mapping) -> Card:
    names, n_runs = list(card.inputs)[:-1], len(card.runs)
    table = {n: [run.parameters[i] for run in card.runs] for i, n in enumerate(names)}
    new = {n: s for n, s in extra.items() if n not in names} if isinstance(extra, Mapping) else {}
    for name, says in new.items():
        if not (isinstance(says, Mapping) and "values" in says):
            raise ValueError(
                f"the card names the parameter {name!r}, of which the files ({_list(names)}) say "
                "nothing: give its values, one per run"
            )
    stated, inputs, columns = ["parameters"], {}, []
    known = {n: s for n, s in extra.items() if n in names} if isinstance(extra, Mapping) else extra
    for old, says in {**_by_name(card, known, names, "parameters"), **new}.items():
        unit = says.get("unit", card.inputs.get(old, "1"))
        if "unit" in says and old in names:
            _agree(card, f"unit of {old}", card.inputs[old], unit)
            stated.append(f"unit of {old}")
        inputs[says.get("name", old)] = unit
        values = table.get(old)
        if "values" in says:
            given = _numbers(says["values"], n_runs, f"values of {old}", "runs")
            if values is not None and not np.allclose(values, given, rtol=1e-6, atol=0):
                raise ValueError(f"the card's values of {old} are not those of the files")
            if not np.isfinite(given).all():
                raise ValueError(f"the card's values of {old} must be finite")
            values = given.tolist() if values is None else values
        columns.append(values)
    if len(inputs) < len(columns) or "time" in inputs:
        raise ValueError(f"parameters need different names, none of them 'time': {_list(inputs)}")
    rows = zip(*columns, strict=True) if columns else [()] * n_runs
    runs = tuple(replace(r, parameters=tuple(p)) for r, p in zip(card.runs, rows, strict=True))
    inputs["time"] = card.inputs["time"]
    return replace(card, inputs=inputs, runs=runs, unknown=_now_known(card, stated))


def _axes(card: Card, extra: Mapping) -> Card:
    for name in set(extra) - set(card.grid.names):
        raise ValueError(f"the card has an axis {name!r}; the files have {_list(card.grid.names)}")
    axes, stated, renamed = [], [], {}
    for axis in card.grid.axes:
        says, known = extra.get(axis.name, {}), f"axis {axis.name}" not in card.unknown
        unit = says.get("unit", axis.unit)
        if "unit" in says:
            _agree(card, f"unit of {axis.name}", axis.unit, unit)
            stated.append(f"unit of {axis.name}")
        if says.get("n", axis.n) != axis.n:
            raise ValueError(f"the card gives axis {axis.name} {says['n']} cells, not {axis.n}")
        points, ends = axis.points, (says.get("low", axis.low), says.get("high", axis.high))
        if "points" in says:
            given = _numbers(says["points"], axis.n, f"points of axis {axis.name}", "cells")
            if known and not np.allclose(given, points, rtol=1e-6, atol=1e-6 * axis.width):
                raise ValueError(f"the card's points of axis {axis.name} are not the files'")
            points, ends = tuple(given), (says.get("low"), says.get("high"))
        elif not known and {"low", "high"} & set(says):
            points = Axis.uniform(axis.name, unit, axis.n, *ends).points
        if {"points", "low", "high"} & set(says):
            stated.append(f"axis {axis.name}")
        renamed[axis.name] = says.get("name", axis.name)
        axes.append(Axis(renamed[axis.name], unit, points, *ends))
    sources = tuple(
        s._replace(axes=tuple(renamed.get(a, a) if isinstance(a, str) else a for a in s.axes))
        for s in card.sources
    )
    unknown = _now_known(card, stated)
    return replace(card, grid=Grid(tuple(axes)), sources=sources, unknown=unknown)


def _time(card: Card, extra: Mapping) -> Card:
    runs, known = list(card.runs), "time" not in card.unknown
    unit = extra.get("unit", card.inputs["time"])
    if "unit" in extra:
        _agree(card, "unit of time", card.inputs["time"], unit)
    if "values" in extra:
        values = extra["values"]
        each = values if np.ndim(values[0]) else [values] * len(runs)
        if len(each) != len(runs):
            raise ValueError(f"the card gives times of {len(each)} runs; there are {len(runs)}")
        for i, (run, times) in enumerate(zip(card.runs, each, strict=True)):
            what = f"times of simulation {run.simulation}"
            new = _numbers(times, len(run.times), what, "samples")
            if known and not np.allclose(new, run.times, rtol=1e-6):
                raise ValueError(f"the card's {what} are not those of the files")
            runs[i] = run if known else replace(run, times=tuple(new.tolist()))
    keys = {"unit": "unit of time", "values": "time"}
    unknown = _now_known(card, [what for key, what in keys.items() if key in extra])
    inputs = {**card.inputs, "time": unit}
    return replace(card, inputs=inputs, runs=tuple(runs), unknown=unknown)


def _mask(card: Card, extra: float | Mapping) -> Card:
    names = [f.name for f in card.fields]
    values = extra if isinstance(extra, Mapping) else dict.fromkeys(names, extra)
    for name in set(values) - set(names):
        raise ValueError(f"the card masks the field {name!r}; the files have {_list(names)}")
    sources = [
        s._replace(fill=(*s.fill, float(values[name]))) if name in values else s
        for name, s in zip(names, card.sources, strict=True)
    ]
    return replace(card, sources=tuple(sources))


def _by_name(
    card: Card, extra: Sequence | Mapping, names: Sequence[str], what: str
) -> dict[str, dict]:
    """Present name -> what the owner says, from a list of names or a mapping."""
    if isinstance(extra, str):
        raise TypeError(extra)
    if isinstance(extra, Mapping):  # of those that are not mentioned nothing is said
        says = {n: dict(v) if isinstance(v, Mapping) else {"unit": v} for n, v in extra.items()}
        kept = {n: says.get(n, {}) for n in names}
    else:
        listed = [dict(v) if isinstance(v, Mapping) else {"name": v} for v in extra]
        if what in card.unknown:  # names for what has none, in stored order
            if len(listed) != len(names):
                raise ValueError(
                    f"the card names {len(listed)} {what}, the files have {len(names)}"
                )
            return dict(zip(names, listed, strict=True))
        says = kept = {v["name"]: v for v in listed}  # a choice, in this order
    for name in set(says) - set(names):
        raise ValueError(f"the card names {name!r} among its {what}; the files have {_list(names)}")
    return kept


def _list(names: Sequence[str] | Mapping) -> str:
    return ", ".join(names) or "none"


def _numbers(values: Any, n: int, what: str, each: str) -> np.ndarray:
    numbers = np.array(values, np.float64).ravel()
    if len(numbers) != n:
        raise ValueError(f"the card gives {len(numbers)} {what}; there are {n} {each}")
    return numbers
