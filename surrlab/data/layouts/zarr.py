"""Zarr stores of versions 2 and 3, as xarray writes them: one store, or a folder of one per run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrlab.data.layouts.cards import labelled_arrays
from surrlab.data.layouts.cards.card import Card
from surrlab.data.layouts.cards.labelled_arrays import Variable
from surrlab.data.layouts.cards.stores import is_zarr


def recognises(path: Path) -> bool:
    """Whether a folder is a Zarr store, or holds some."""
    return bool(_stores(path))


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a store, or of all stores in a folder."""
    return labelled_arrays.scan("zarr", path, _stores(path), variables, extra)


def variables(group: Any) -> dict[str, Variable]:
    """Labelled arrays of a group; those without names of dimensions are left out."""
    found = {}
    for name, array in sorted(group.arrays()):
        attrs = dict(array.attrs)
        dims = attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
        if dims is not None and None not in dims:
            found[name] = Variable(tuple(dims), array, attrs, name)
        elif array.ndim == 0:
            found[name] = Variable((), array, attrs, name)
    return found


def _stores(path: Path) -> list[Path]:
    if is_zarr(path):
        return [path]
    return sorted(one for one in path.iterdir() if is_zarr(one)) if path.is_dir() else []
