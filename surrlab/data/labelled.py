"""An ensemble as a labelled dataset of xarray that reads nothing before it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    from surrlab.data.ensemble import Ensemble


class _LazyField(BackendArray):
    """One field of all samples, ``(S, *grid.shape)``, read sample by sample."""

    def __init__(self, ensemble: Ensemble, place: int):
        self.ensemble, self.place = ensemble, place
        self.shape = (len(ensemble.samples), *ensemble.grid.shape)
        self.dtype = np.dtype(ensemble.dtype)

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple):
        samples, *inside = key
        chosen = np.arange(self.shape[0])[samples]
        fields = [self.ensemble.read(int(s))[self.place] for s in np.atleast_1d(chosen)]
        stack = np.stack(fields) if fields else np.empty((0, *self.shape[1:]), self.dtype)
        for axis in range(len(inside), 0, -1):  # from the last one: an integer drops its axis
            part = inside[axis - 1]
            stack = stack[(slice(None),) * axis + (part,)]
        return stack[0] if np.ndim(chosen) == 0 else stack


def to_xarray(ensemble: Ensemble) -> xr.Dataset:
    """Return a lazy, labelled view: each field over ``(sample, *axes)``, units in ``attrs``."""
    dims = ("sample", *ensemble.grid.names)
    variables = {
        field.name: xr.Variable(
            dims,
            indexing.LazilyIndexedArray(_LazyField(ensemble, i)),
            {"units": field.unit, "long_name": field.label},
        )
        for i, field in enumerate(ensemble.fields)
    }
    axes = {a.name: (a.name, a.centres, {"units": a.unit}) for a in ensemble.grid.axes}
    of_sample = {n: ensemble.coords[n] for n in ("simulation", "step", "time")}
    return xr.Dataset(variables, of_sample | axes)
