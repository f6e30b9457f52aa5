"""A compressed ensemble from an ensemble and its tolerances, verified field by field.

A filter of HDF5 has one setting per dataset, and Algorithm 1 finds a tolerance for each sample.
A field whose streams carry theirs (SZ3's, SPERR's) is one filtered dataset. Streams that need the
tolerance to be decoded (zfp's) fall into a few classes: each is one filtered dataset
``_chunks/<field>/<class>``, and ``<field>`` is a virtual dataset over them in the same file. Any
HDF5 program with the codec's filter sees ``file["density"][7]``.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import xarray as xr

from surrlab._hdf5 import naming, new_file, own_dataset
from surrlab.compression import hdf5_filters
from surrlab.compression._views import MOST_GROWTH, add_views, check_views, default_views
from surrlab.compression.codecs import Codec, Raw
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import EncodedField
from surrlab.compression.tolerances import (
    COLUMNS,
    Errors,
    ToleranceSearch,
    as_dataset,
    as_rows,
    broadcast_to_ensemble,
    read_finite,
)
from surrlab.compression.version import Version
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Field, Run

CHUNKS = "_chunks"
GROUP = "compression"
"""Group of a compressed file that holds its table."""
_TABLE_TYPES = {"tolerance": "f8", "error": "f8", "max_error": "f8", "nbytes": "u4"}


class Ratios(NamedTuple):
    """Raw bytes over compressed bytes: of the streams alone, and of the whole files."""

    payload: float
    file: float


def compress(
    ensemble: Ensemble,
    tolerances: Errors,
    path: str | os.PathLike,
    *,
    codec: type[Codec] = Zfp,
    executor: Executor | None = None,
    version: Version | None = None,
    views: tuple[str, ...] | None = None,
) -> native.NativeEnsemble:
    """Write `ensemble` again with every field within its tolerance.

    Finished simulations of a killed run are kept; the folder counts once its manifest is written.
    Fields keep their type: those of float64 are stored as float64.

    Parameters
    ----------
    ensemble : Ensemble
        What to compress: raw, compressed, or one side of a split, in any layout.
    tolerances : DataArray, DataFrame, Series or float
        L-infinity bounds in the fields' own units, over some or all of (sample, field), as in
        `tolerances.broadcast_to_ensemble`; 0 is lossless. A safety factor is a product:
        ``table(other)["tolerance"] / 8``.
    path : path
        Folder of the compressed ensemble.
    codec : type
        Makes a codec of a tolerance.
    executor : concurrent.futures.Executor, optional
        Where simulations are compressed; by default a pool of processes.
    version : Version, optional
        What a study calls the result; it stands in the manifest.
    views : tuple of str, optional
        Other layouts in which the files show the same bytes, for a few kilobytes each:
        ``"professor"``, ``fields`` (time, field, *axes) as LLNL's trainer reads them, and
        ``"well"``, the groups of the Well. By default professor's, where it adds less than 1 % to
        a file.

    Raises
    ------
    FileExistsError
        If the folder holds anything but this very ensemble, or a part of it.
    KeyError, ValueError
        If the tolerances do not fit the ensemble, or one is negative or not finite, or a field
        holds NaN or Inf (named).
    OSError
        If a field cannot be written, or does not come back from its file within its tolerance.
    """
    bounds = broadcast_to_ensemble(tolerances, ensemble, "tolerance")
    encode = ToleranceSearch.of(ensemble, "fixed", [1.0] * len(ensemble.fields), codec)
    request = {"tolerances": _hash(bounds), **_named(version)}
    return _build(ensemble, path, request, bounds, encode, executor, views)


def search_and_compress(
    ensemble: Ensemble,
    model_errors: Errors,
    path: str | os.PathLike,
    *,
    rule: str = "field",
    scale: Sequence[float] | None = None,
    codec: type[Codec] = Zfp,
    executor: Executor | None = None,
    version: Version | None = None,
    views: tuple[str, ...] | None = None,
) -> native.NativeEnsemble:
    """Find every field's tolerance with Algorithm 1 and store the streams that the search ends on.

    Parameters are those of `tolerances.find_tolerances`; `path`, resuming and errors those of
    `compress`. `table` returns what was found.
    """
    encode = ToleranceSearch.of(ensemble, rule, scale, codec)
    errors = broadcast_to_ensemble(model_errors, ensemble, "model error")
    request = {"model_errors": _hash(errors), "rule": rule, "scale": encode.scale}
    request |= _named(version)
    return _build(ensemble, path, request, errors, encode, executor, views)


def table(ensemble: Ensemble) -> xr.Dataset:
    """What the files of a compressed ensemble say of each (sample, field).

    Returns
    -------
    Dataset
        ``tolerance``, ``error`` (L1), ``max_error`` in the fields' units, ``nbytes`` of the
        stream and ``n_encodes``, the encodings that it took to find it.

    Raises
    ------
    ValueError
        If the ensemble is not compressed.
    """
    if not isinstance(ensemble, native.NativeEnsemble):
        raise ValueError(f"{ensemble.name} is not compressed: surrlab did not write it")
    rows = {}
    for simulation in ensemble.simulations:
        with h5py.File(ensemble.file(simulation), "r") as file:
            if GROUP not in file:
                raise ValueError(f"{file.filename} is not compressed: it has no {GROUP!r} group")
            with naming(file, GROUP):
                columns = [own_dataset(file, f"{GROUP}/{column}")[:] for column in COLUMNS]
            rows[simulation] = np.stack(columns, axis=-1)
    return as_dataset(ensemble, rows)


def ratios(ensemble: Ensemble) -> Ratios:
    """Compression ratios of a compressed ensemble, against the fields that it would hold raw."""
    payload = int(table(ensemble)["nbytes"].sum())
    files = ensemble.file_nbytes
    return Ratios(ensemble.raw_nbytes / payload, ensemble.raw_nbytes / files if files else math.nan)


def _named(version: Version | None) -> dict:
    return {} if version is None else {"version": version.config()}


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _build(
    ensemble: Ensemble,
    path: str | os.PathLike,
    request: dict,
    values: np.ndarray,
    encode: ToleranceSearch,
    executor: Executor | None,
    views: tuple[str, ...] | None,
) -> native.NativeEnsemble:
    """Compress in parallel over simulations; `encode` goes by `values` (n_samples, n_fields)."""
    check_views(views or (), native.Header.of(ensemble))
    request |= {"views": list(views)} if views is not None else {}
    writers = {
        s: partial(_write, ensemble.select([s]), encode, values[ensemble.of(s)], views)
        for s in ensemble.simulations
    }
    return native.build(
        path,
        native.Header.of(ensemble),
        request | {"source": ensemble.digest, "codec": encode.codec.name},
        dict(zip(ensemble.simulations, ensemble.runs, strict=True)),
        writers,
        executor=executor,
        label="compress",
    )


def _write(
    ensemble: Ensemble,
    encode: ToleranceSearch,
    values: np.ndarray,
    views: tuple[str, ...] | None,
    path: Path,
) -> None:
    """Write the file of a single simulation and read it back."""
    (run,), header = ensemble.runs, native.Header.of(ensemble)
    samples = read_finite(ensemble, run.simulation)
    encoded = encode(samples, values)
    write = partial(_write_file, path, header, run, encoded, samples)
    bare = write(()) if views is None else 0
    size = write(default_views(header) if views is None else views)
    if views is None and size > (1 + MOST_GROWTH) * bare:
        write(())
    _verify(path, run.simulation, header.fields, samples, encoded)


def _write_file(
    path: Path,
    header: native.Header,
    run: Run,
    encoded: list[list[EncodedField]],
    samples: np.ndarray,
    views: tuple[str, ...],
) -> int:
    """Write a simulation's streams; return the bytes of the file."""
    with new_file(path) as file:
        native.describe(file, header, run)
        for i, field in enumerate(header.fields):
            column = [row[i] for row in encoded]
            dataset = _write_field(file, field.name, column, samples[:, i])
            native.label_axes(file, dataset, field, header.grid)
        _write_table(file, as_rows(encoded))
        _name_filter(file, [one for row in encoded for one in row])
        add_views(file, header, run, views)
    return path.stat().st_size


def _name_filter(file: h5py.File, encoded: list[EncodedField]) -> None:
    """Say in an attribute what programs need to read the fields."""
    for codec in _coded(encoded)[:1]:
        number = codec.h5_filter().get("compression")
        plugin = "; HDF5_PLUGIN_PATH: where Python's hdf5plugin is" if number != "gzip" else ""
        file.attrs["hdf5_filter"] = f"{number} ({codec.name}){plugin}"


def _write_field(
    file: h5py.File, name: str, encoded: list[EncodedField], samples: np.ndarray
) -> h5py.Dataset:
    """Store the streams of a field by class, and show them as one dataset (time, *axes)."""
    if all(codec.carries_bound for codec in _coded(encoded)):  # no virtual dataset over it
        return _write_class(file, name, encoded, samples)
    classes: dict[str, list[int]] = {}
    for step in sorted(range(len(encoded)), key=lambda step: encoded[step].tolerance):
        classes.setdefault(encoded[step].codec.class_name, []).append(step)
    layout = h5py.VirtualLayout(samples.shape, samples.dtype)
    layout.dcpl.set_obj_track_times(False)  # equal contents make equal files
    for class_name, steps in classes.items():
        steps.sort()
        members = [encoded[step] for step in steps]
        dataset = _write_class(file, f"{CHUNKS}/{name}/{class_name}", members, samples[steps])
        layout[steps] = h5py.VirtualSource(".", dataset.name, dataset.shape)
    return file.create_virtual_dataset(name, layout, fillvalue=np.nan)  # shows if one is lost


def _write_class(
    file: h5py.File, name: str, encoded: list[EncodedField], samples: np.ndarray
) -> h5py.Dataset:
    """Store streams in one filtered dataset, a chunk each, as its filters would have."""
    codec = next(iter(_coded(encoded)), Raw())
    dataset = file.create_dataset(
        name,
        samples.shape,
        samples.dtype,
        chunks=(1, *samples.shape[1:]),
        fletcher32=True,
        **codec.h5_filter(),
    )
    # A chunk's mask names the filters that it skipped: all but the checksum, which is the last.
    skipped = (1 << dataset.id.get_create_plist().get_nfilters() - 1) - 1
    for i, one in enumerate(encoded):
        checksum = hdf5_filters.fletcher32(one.stream).to_bytes(4, "little")
        place = (i, *(0 for _ in samples.shape[1:]))
        mask = skipped if isinstance(one.codec, Raw) else 0
        dataset.id.write_direct_chunk(place, one.stream + checksum, mask)
    return dataset


def _coded(encoded: list[EncodedField]) -> list[Codec]:
    return [one.codec for one in encoded if not isinstance(one.codec, Raw)]


def _write_table(file: h5py.File, rows: np.ndarray) -> None:
    group = file.create_group(GROUP)
    group["field"] = file.attrs["field_names"]
    group["field"].make_scale("field")
    for i, column in enumerate(COLUMNS):
        values = rows[..., i].astype(_TABLE_TYPES.get(column, "u1"))
        dataset = group.create_dataset(
            column,
            data=values,
            chunks=values.shape,
            compression="gzip",
            shuffle=True,
            fletcher32=True,
        )
        dataset.dims[0].attach_scale(file["time"])
        dataset.dims[1].attach_scale(group["field"])


def _verify(
    path: Path,
    simulation: int,
    fields: Sequence[Field],
    samples: np.ndarray,
    encoded: list[list[EncodedField]],
) -> None:
    """Read the closed file back as any HDF5 program would, and hold it against its source.

    The handle that wrote would answer from its cache, with the raw values.
    """
    with h5py.File(path, "r") as file:
        for i, field in enumerate(fields):
            for step, back in enumerate(file[field.name][:]):
                promised = encoded[step][i]
                error = np.abs(np.subtract(back, samples[step, i], dtype=np.float64))
                if not (
                    error.max() <= promised.tolerance
                    and math.isclose(error.mean(), promised.error, rel_tol=1e-9)
                ):
                    raise OSError(
                        f"{path}: simulation {simulation}, time {step}, field {field.name} came "
                        f"back with errors up to {error.max():.6g} and {error.mean():.6g} in the "
                        f"mean, where tolerance {promised.tolerance:.6g} and mean error "
                        f"{promised.error:.6g} were promised; nothing was kept"
                    )
