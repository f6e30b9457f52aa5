"""Ensembles of xarray users in NetCDF4 or HDF5: one file with many runs, or one file per run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from surrlab.data.layouts.cards import labelled_arrays
from surrlab.data.layouts.cards.card import Card
from surrlab.data.layouts.cards.labelled_arrays import Variable
from surrlab.data.layouts.cards.stores import HDF5, data_files, first_file, header, members

HIDDEN = "_nc4_non_coord_"
"""What netCDF puts before a variable that has a dimension's name and is not its coordinate."""


def recognises(path: Path) -> bool:
    """Whether the first HDF5 file has arrays of two dimensions or more with dimension scales."""
    with header(first_file(path, HDF5)) as file:
        others = {"fields", "inputs"} <= set(file) or "t0_fields" in file
        return not others and any(len(v.dims) > 1 for v in variables(file).values())


def scan(path: Path, extra: Mapping[str, Any]) -> Card:
    """Return the card of a file, or of all such files in a folder."""
    return labelled_arrays.scan("xarray", path, data_files(path, HDF5), variables, extra)


def variables(file: Any) -> dict[str, Variable]:
    """Labelled arrays of the root group; those without dimension scales are left out."""
    found = {}
    for name, dataset in members(file).items():
        if name[0] in "._" and not name.startswith(HIDDEN):
            continue
        if not isinstance(dataset, h5py.Dataset) or _is_bare_dimension(dataset):
            continue
        dims = _dims(dataset, name)
        if dims is not None:
            found[name.removeprefix(HIDDEN)] = Variable(dims, dataset, dataset.attrs, name)
    return found


def _dims(dataset: h5py.Dataset, name: str) -> tuple[str, ...] | None:
    if dataset.ndim == 0:
        return ()
    if dataset.ndim == 1 and dataset.is_scale:
        return (name,)
    scales = [dim[0].name if len(dim) else None for dim in dataset.dims]
    return None if None in scales else tuple(s.rsplit("/", 1)[-1] for s in scales if s)


def _is_bare_dimension(dataset: h5py.Dataset) -> bool:
    text = dataset.attrs.get("NAME", b"")
    text = text.decode() if isinstance(text, bytes) else str(text)
    return text.startswith("This is a netCDF dimension but not a netCDF variable")
