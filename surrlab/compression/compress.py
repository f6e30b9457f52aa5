"""A compressed ensemble from an ensemble and its tolerances, verified field by field.

A filter of HDF5 has one tolerance a dataset, and Algorithm 1 finds one for each sample. zfp knows
powers of two only, so the fields of a file fall into a few classes: each is one filtered dataset
``_chunks/<field>/<exponent>``, and ``<field>`` is a virtual dataset over them in the same file. Any
HDF5 program with the zfp filter sees ``file["density"][7]``.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import xarray as xr

from surrlab.compression import hdf5_filters, zfp
from surrlab.compression.search import (
    COLUMNS,
    Found,
    Searcher,
    align,
    as_dataset,
    as_rows,
    measure,
    read_finite,
)
from surrlab.data import native
from surrlab.data.native import Ensemble

CHUNKS = "_chunks"
TABLES = "compression"
_TABLE_TYPES = {"tolerance": "f4", "error": "f8", "max_error": "f4", "nbytes": "u4", "tries": "u1"}


class Ratios(NamedTuple):
    """Raw bytes over compressed bytes: of the streams alone, and of the whole files."""

    payload: float
    file: float


def compress(
    ensemble: Ensemble,
    tolerances: xr.DataArray | float,
    path: str | os.PathLike,
    *,
    codec=zfp.Zfp,
    executor: Executor | None = None,
) -> Ensemble:
    """Write `ensemble` again with every field within its tolerance.

    Finished simulations of a killed run are kept; the folder counts once its manifest is written.

    Parameters
    ----------
    ensemble : Ensemble
        What to compress: raw, compressed, or one side of a split.
    tolerances : DataArray
        L-infinity bounds in the fields' own units, over some or all of (simulation, time, field);
        0 is lossless. A safety factor is a product: ``table(other)["tolerance"] / 8``.
    path : path
        Folder of the compressed ensemble.
    codec : type
        Makes a codec of a tolerance.
    executor : concurrent.futures.Executor, optional
        Where simulations are compressed; by default a pool of processes.

    Raises
    ------
    FileExistsError
        If the folder holds anything but this very ensemble, or a part of it.
    KeyError, ValueError
        If the tolerances do not fit the ensemble, or a field holds NaN or Inf (named).
    OSError
        If a field cannot be written, or does not come back from its file within its tolerance.
    """
    bounds = align(tolerances, ensemble, "tolerance")
    request = {"tolerances": _hash(bounds)}
    return _build(ensemble, path, request, bounds, _Bounded(codec), executor)


def search_and_compress(
    ensemble: Ensemble,
    model_errors: xr.DataArray,
    path: str | os.PathLike,
    *,
    granularity: str = "field",
    scale: Sequence[float] | None = None,
    codec=zfp.Zfp,
    executor: Executor | None = None,
) -> Ensemble:
    """Find every field's tolerance with Algorithm 1 and store the streams that the search ends on.

    Parameters are those of `tolerance.find_tolerances`; `path`, resuming and errors those of
    `compress`. `table` tells what was found.
    """
    searcher = Searcher.of(ensemble, granularity, scale, codec)
    errors = align(model_errors, ensemble, "model error")
    request = {"model_errors": _hash(errors), "granularity": granularity, "scale": searcher.scale}
    return _build(ensemble, path, request, errors, searcher, executor)


def table(ensemble: Ensemble) -> xr.Dataset:
    """What the files of a compressed ensemble say of each (simulation, time, field).

    Returns
    -------
    Dataset
        ``tolerance``, ``error`` (L1), ``max_error`` in the fields' units, ``nbytes`` of the
        stream and ``tries``, the encodings that it took to find it.

    Raises
    ------
    ValueError
        If the ensemble is not compressed.
    """
    rows = []
    for simulation in ensemble.simulations:
        with h5py.File(ensemble.file(simulation), "r") as file:
            if TABLES not in file:
                raise ValueError(f"{file.filename} is not compressed: it has no {TABLES!r} group")
            rows.append(np.stack([file[TABLES][column][:] for column in COLUMNS], axis=-1))
    return as_dataset(ensemble, rows)


def ratios(ensemble: Ensemble) -> Ratios:
    """Compression ratios of a compressed ensemble, against its fields as float32."""
    payload = int(table(ensemble)["nbytes"].sum())
    return Ratios(ensemble.raw_nbytes / payload, ensemble.raw_nbytes / ensemble.file_nbytes)


@dataclass(frozen=True)
class _Bounded:
    """Encode each field of a simulation once, within its bound."""

    codec: type

    def __call__(self, samples, bounds) -> list[list[Found]]:
        return [
            [self._field(field, bound) for field, bound in zip(sample, row, strict=True)]
            for sample, row in zip(samples, bounds, strict=True)
        ]

    def _field(self, field, bound) -> Found:
        found = measure(field, self.codec(bound))
        if found.max_error > found.tolerance:  # finer than zfp can keep
            found = measure(field, self.codec(0.0))
        return found


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _build(ensemble, path, request, values, encode, executor) -> Ensemble:
    """Compress in parallel over simulations; `encode` goes by `values` (N, T, n_fields)."""
    request |= {"source": ensemble.digest, "codec": encode.codec(0.0).config()["codec"]}
    parameters = dict(zip(ensemble.simulations, ensemble.parameters.tolist(), strict=True))
    writers = {
        s: partial(_write, ensemble.select([s]), encode, row)
        for s, row in zip(ensemble.simulations, values, strict=True)
    }
    native.build(
        path, ensemble.header, request, parameters, writers, executor=executor, label="compress"
    )
    return native.open(path)


def _write(ensemble, encode, values, path: Path) -> None:
    """Write the file of a single simulation and read it back."""
    ((simulation,), header) = ensemble.simulations, ensemble.header
    samples = read_finite(ensemble, simulation)
    found = encode(samples, values)
    # Fixed-array chunk indices, known since HDF5 1.10 as virtual datasets are: a small file spends
    # a quarter of the default format's bytes on its structure.
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        native.describe(file, header, simulation, ensemble.parameters[0].tolist())
        for i, (name, unit) in enumerate(header["fields"].items()):
            column = [row[i] for row in found]
            dataset = _write_field(file, name, column, samples.shape[2:], encode.codec)
            native.label_axes(file, dataset, unit)
        _write_table(file, as_rows(found))
    _verify(path, simulation, header["fields"], samples, found)


def _write_field(file, name, found: list[Found], shape, codec) -> h5py.Dataset:
    """Store the streams by tolerance, and lay the virtual dataset (time, y, x) over them."""
    classes = {}
    for time, one in enumerate(found):
        classes.setdefault(one.tolerance, []).append(time)
    layout = h5py.VirtualLayout((len(found), *shape), np.float32)
    layout.dcpl.set_obj_track_times(False)  # equal contents make equal files
    for tolerance, times in sorted(classes.items()):
        stored_by = codec(tolerance)
        exponent = stored_by.exponent
        dataset = file.create_dataset(
            f"{CHUNKS}/{name}/{'reversible' if exponent is None else exponent}",
            (len(times), *shape),
            np.float32,
            chunks=(1, *shape),
            fletcher32=True,
            **stored_by.h5_filter(),
        )
        for i, time in enumerate(times):
            stream = found[time].stream
            checksum = hdf5_filters.fletcher32(stream).to_bytes(4, "little")
            dataset.id.write_direct_chunk((i, 0, 0), stream + checksum)
        layout[times] = h5py.VirtualSource(".", dataset.name, dataset.shape)
    return file.create_virtual_dataset(name, layout, fillvalue=np.nan)  # shows if one is lost


def _write_table(file, rows: np.ndarray) -> None:
    group = file.create_group(TABLES)
    group["field"] = file.attrs["field_names"]
    group["field"].make_scale("field")
    for i, (column, kind) in enumerate(_TABLE_TYPES.items()):
        dataset = group.create_dataset(column, data=rows[..., i].astype(kind))
        dataset.dims[0].attach_scale(file["time"])
        dataset.dims[1].attach_scale(group["field"])


def _verify(path: Path, simulation: int, names, samples: np.ndarray, found) -> None:
    """Read the closed file back as any HDF5 program would, and hold it against its source.

    The handle that wrote would answer from its cache, with the raw values.
    """
    with h5py.File(path, "r") as file:
        for i, name in enumerate(names):
            for time, back in enumerate(file[name][:]):
                promised = found[time][i]
                error = np.abs(np.subtract(back, samples[time, i], dtype=np.float64))
                if not (
                    error.max() <= promised.tolerance
                    and math.isclose(error.mean(), promised.error, rel_tol=1e-9)
                ):
                    raise OSError(
                        f"{path}: simulation {simulation}, time {time}, field {name} came back "
                        f"with errors up to {error.max():.6g} and {error.mean():.6g} in the mean, "
                        f"where tolerance {promised.tolerance:.6g} and mean error "
                        f"{promised.error:.6g} were promised; nothing was kept"
                    )
