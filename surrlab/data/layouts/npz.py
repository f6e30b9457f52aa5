"""Arrays in npy or npz files, which a card explains: ``arrays`` says what their axes are.

``{"arrays": {"density": ["run", "time", "y", "x"], "t": ["time"], "viscosity": ["run"]}}``: what
lies over the grid is a field, over time the times, over runs a parameter, over one axis its points.
A number instead of a name takes that index; ``"field"`` takes each of them in turn. In a folder of
npz files each may be a run of its own; npy files hold one array each, called by the file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrlab.data.layouts.cards import labelled_arrays
from surrlab.data.layouts.cards.card import RUN, TIME, UNKNOWN, Card
from surrlab.data.layouts.cards.labelled_arrays import Variable
from surrlab.data.layouts.cards.stores import NUMPY, data_files, first_file, opened

COMPONENT = "field"
"""The axis along which fields, or parameters, lie side by side."""


def recognises(path: Path) -> bool:
    """Whether the path is an npy or npz file, or holds some."""
    return first_file(path, NUMPY) is not None


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of arrays whose axes the user's card says."""
    arrays = extra.get("arrays")
    if not isinstance(arrays, Mapping):
        raise ValueError(
            f"{path} does not say what its arrays are; a card does: surrlab card {path} prints "
            "one to fill in"
        )
    for name, axes in arrays.items():
        if not isinstance(axes, list) or not all(isinstance(a, (str, int)) for a in axes):
            raise ValueError(f"arrays of the card: {name} needs a list of axes, not {axes!r}")
    names = dict.fromkeys(a for axes in arrays.values() for a in axes if isinstance(a, str))
    dims = {a: a if a in (RUN, TIME) else "grid" for a in names if a != COMPONENT}

    def variables(file: Any) -> dict[str, Variable]:
        return _variables(file, arrays)

    return labelled_arrays.scan("npz", path, _files(path), variables, {**extra, "dims": dims})


def template(path: Path) -> dict[str, Any]:
    """Return a card to fill in: arrays and their shapes, with ``"?"`` for each axis."""
    with opened(_files(path)[0]) as file:
        arrays = {name: [UNKNOWN] * file[name].ndim for name in file}
    return {"layout": "npz", "arrays": arrays}


def _files(path: Path) -> list[Path]:
    """Files of a run or of many each; all npy files of a folder are one of them, the folder."""
    return data_files(path, (".npz",)) or (data_files(path, (".npy",)) and [path])


def _variables(file: Any, arrays: Mapping[str, list]) -> dict[str, Variable]:
    """Arrays by what they are: times, points of an axis, or what their name says."""
    found = {}
    for name, axes in arrays.items():
        if name not in file:
            raise ValueError(f"the card has an array {name!r}; the files have {', '.join(file)}")
        array = file[name]
        if array.ndim != len(axes):
            raise ValueError(f"the card gives {name} {len(axes)} axes; it is {array.shape}")
        named = [a for a in axes if isinstance(a, str)]
        if named in ([TIME], [RUN, TIME]):
            found[TIME] = Variable(tuple(axes), array, {}, name)
        elif len(named) == 1 and named[0] not in (RUN, COMPONENT):
            found[named[0]] = Variable(tuple(axes), array, {}, name)
        elif COMPONENT in axes:
            place = axes.index(COMPONENT)
            for i in range(array.shape[place]):
                each = (*axes[:place], i, *axes[place + 1 :])
                found[f"{name}_{i}"] = Variable(each, array, {}, name)
        else:
            found[name] = Variable(tuple(axes), array, {}, name)
    return found
