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
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr

from surrlab._hdf5 import naming, new_file, own_dataset
from surrlab.compression import hdf5_filters
from surrlab.compression._totals import Totals
from surrlab.compression._views import (
    LEAST_GROWTH,
    MOST_GROWTH,
    add_views,
    check_views,
    default_views,
)
from surrlab.compression.codecs import Codec, Raw, joined
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import EncodedField
from surrlab.compression.tolerances import (
    COLUMNS,
    Codecs,
    Errors,
    ToleranceSearch,
    as_dataset,
    as_rows,
    broadcast_to_ensemble,
    naming_refusals,
    read_finite,
)
from surrlab.compression.version import Version
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Run
from surrlab.data.stored import OFFSET, OFFSET_NAMED, add_offsets, offsets_of

CHUNKS = "_chunks"
GROUP = "compression"
"""Group of a compressed file that holds its table."""
_TABLE_TYPES = {"tolerance": "f8", "error": "f8", "max_error": "f8", "nbytes": "u4"}


_COMPACT = 1 << 15
"""Bytes that fit into the header of a dataset, with room to spare."""


class Ratios(NamedTuple):
    """Raw bytes over compressed bytes: of the streams alone, and of the whole files."""

    payload: float
    file: float


def compress(
    ensemble: Ensemble,
    tolerances: Errors,
    path: str | os.PathLike,
    *,
    codec: Codecs = Zfp,
    executor: Executor | None = None,
    version: Version | None = None,
    views: tuple[str, ...] | None = None,
    keep: Sequence[str] = (),
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
    codec : type, or mapping of str to type
        Makes a codec of a tolerance; the same one for all fields, or one for each by name.
    executor : concurrent.futures.Executor, optional
        Where simulations are compressed; by default a pool of processes.
    version : Version, optional
        What a study calls the result; it stands in the manifest.
    views : tuple of str, optional
        Other layouts in which the files show the same bytes, for a few kilobytes each:
        ``"professor"``, ``fields`` (time, field, *axes) as LLNL's trainer reads them, and
        ``"well"``, the groups of the Well. By default professor's, where it adds less than 1 % to
        a file and shows all that is read: neither totals are kept nor cells masked.
    keep : sequence of str
        Totals that stay exact, to `_totals.EXACT`: names of quantities that are linear in a field
        of their own, as in ``("mass", "momentum_x", "momentum_y")``. The field gets an offset for
        each time, ``<field>_offset`` in the file, which `Ensemble.read` and the loader add. Its
        L-infinity bound grows by the offset, which is no more than its mean error.

    Raises
    ------
    FileExistsError
        If the folder holds anything but this very ensemble, or a part of it.
    KeyError, ValueError
        If the tolerances do not fit the ensemble, or one is negative or not finite, or a field
        holds NaN or Inf (named); or a total is not known, or cannot be kept.
    OSError
        If a field cannot be written, or does not come back from its file within its tolerance.
    """
    bounds = broadcast_to_ensemble(tolerances, ensemble, "tolerance")
    encode = ToleranceSearch.of(ensemble, "fixed", [1.0] * len(ensemble.fields), codec)
    request = {"tolerances": _hash(bounds), **_named(version)}
    return _build(ensemble, path, request, bounds, encode, executor, views, keep)


def search_and_compress(
    ensemble: Ensemble,
    model_errors: Errors,
    path: str | os.PathLike,
    *,
    rule: str = "field",
    scale: Sequence[float] | None = None,
    codec: Codecs = Zfp,
    executor: Executor | None = None,
    version: Version | None = None,
    views: tuple[str, ...] | None = None,
    keep: Sequence[str] = (),
) -> native.NativeEnsemble:
    """Find every field's tolerance with Algorithm 1 and store the streams that the search ends on.

    Parameters are those of `tolerances.find_tolerances`; `path`, `keep`, resuming and errors
    those of `compress`. `table` returns what was found.
    """
    encode = ToleranceSearch.of(ensemble, rule, scale, codec)
    errors = broadcast_to_ensemble(model_errors, ensemble, "model error")
    request = {"model_errors": _hash(errors), "rule": rule, "scale": encode.scale}
    request |= _named(version)
    return _build(ensemble, path, request, errors, encode, executor, views, keep)


def table(ensemble: Ensemble) -> xr.Dataset:
    """What the files of a compressed ensemble say of each (sample, field).

    Returns
    -------
    Dataset
        ``tolerance``, ``error`` (L1), ``max_error`` in the fields' units, ``nbytes`` of the
        stream and ``n_encodes``, the encodings that it took to find it; where totals were kept
        also ``offset``, by which ``max_error`` may exceed the tolerance.

    Raises
    ------
    ValueError
        If the ensemble is not compressed.
    """
    if not isinstance(ensemble, native.NativeEnsemble):
        raise ValueError(f"{ensemble.name} is not compressed: surrlab did not write it")
    rows, offsets = {}, []
    for simulation in ensemble.simulations:
        with h5py.File(ensemble.file(simulation), "r") as file:
            if GROUP not in file:
                raise ValueError(f"{file.filename} is not compressed: it has no {GROUP!r} group")
            with naming(file, GROUP):
                columns = [own_dataset(file, f"{GROUP}/{column}")[:] for column in COLUMNS]
            rows[simulation] = np.stack(columns, axis=-1)
            n = len(columns[0])
            each = [offsets_of(file, name, n) for name in ensemble.field_names]
            offsets.append([np.zeros(n, "f4") if one is None else one for one in each])
    found = as_dataset(ensemble, rows)
    if ensemble.metadata["request"].get("keep"):
        found["offset"] = ("sample", "field"), np.concatenate(offsets, axis=1).T.astype(float)
    return found


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
    keep: Sequence[str],
) -> native.NativeEnsemble:
    """Compress in parallel over simulations; `encode` goes by `values` (n_samples, n_fields)."""
    check_views(views or (), native.Header.of(ensemble))
    totals = Totals.of(ensemble, keep)
    request |= {"views": list(views)} if views is not None else {}
    request |= {"keep": list(keep)} if keep else {}
    writers = {
        s: partial(_write, ensemble.select([s]), encode, values[ensemble.of(s)], totals, views)
        for s in ensemble.simulations
    }
    return native.build(
        path,
        native.Header.of(ensemble),
        request | {"source": ensemble.digest, "codec": joined(encode.codecs)},
        dict(zip(ensemble.simulations, ensemble.runs, strict=True)),
        writers,
        executor=executor,
        label="compress",
    )


def _write(
    ensemble: Ensemble,
    encode: ToleranceSearch,
    values: np.ndarray,
    totals: Totals,
    views: tuple[str, ...] | None,
    path: Path,
) -> None:
    """Write the file of a single simulation and read it back."""
    (run,), header = ensemble.runs, native.Header.of(ensemble)
    samples = read_finite(ensemble, run.simulation)
    with naming_refusals(f"{ensemble.name}: simulation {run.simulation}"):
        encoded = encode(samples, values)
        if totals.quantities:
            encoded = totals.keep(ensemble, samples, encoded, encode, values)
    write = partial(_write_file, path, header, run, encoded, samples)
    size, default = write(views or ()), () if totals.quantities else default_views(header)
    small = MOST_GROWTH * size < LEAST_GROWTH
    if views is None and default and not small and write(default) > (1 + MOST_GROWTH) * size:
        write(())
    _verify(path, ensemble, samples, encoded, totals)


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
            _write_offsets(file, dataset, column)
        _write_table(file, as_rows(encoded))
        if codecs := _coded([one for row in encoded for one in row]):
            file.attrs["hdf5_filter"] = hdf5_filters.needed(codecs)
        add_views(file, header, run, views)
    return path.stat().st_size


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


def _write_offsets(file: h5py.File, dataset: h5py.Dataset, encoded: list[EncodedField]) -> None:
    """Store what is to be added to a field at each time, if anything is."""
    offsets = np.array([one.offset for one in encoded], np.float32)
    if not offsets.any():
        return
    name = OFFSET.format(dataset.name.strip("/"))
    options: dict[str, Any] = {"chunks": offsets.shape, "fletcher32": True}
    if offsets.nbytes < _COMPACT:  # within the header, under its checksum: half a kilobyte less
        options = {"dcpl": h5py.h5p.create(h5py.h5p.DATASET_CREATE)}
        options["dcpl"].set_layout(h5py.h5d.COMPACT)
    stored = file.create_dataset(name, data=offsets, **options)
    stored.attrs["units"] = dataset.attrs["units"]
    stored.dims[0].attach_scale(file["time"])
    dataset.attrs[OFFSET_NAMED] = name


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
    ensemble: Ensemble,
    samples: np.ndarray,
    encoded: list[list[EncodedField]],
    totals: Totals,
) -> None:
    """Read the closed file back as any HDF5 program would, and hold it against its source.

    The handle that wrote would answer from its cache, with the raw values.
    """
    where, valid = f"{path}: simulation {ensemble.simulations[0]}", ensemble.valid
    stored = []
    with h5py.File(path, "r") as file:
        for i, name in enumerate(ensemble.field_names):
            values = file[name][:]
            if (offsets := offsets_of(file, name, len(values))) is not None:
                add_offsets(values, offsets)
            for step, back in enumerate(values):
                promised = encoded[step][i]
                error = np.abs(np.subtract(back, samples[step, i], dtype=np.float64))
                error = error if valid is None else error[valid[i]]
                if not (
                    error.max() <= promised.bound
                    and math.isclose(error.mean(), promised.error, rel_tol=1e-9)
                ):
                    raise OSError(
                        f"{where}, time {step}, field {name} came back with errors up to "
                        f"{error.max():.6g} and {error.mean():.6g} in the mean, where tolerance "
                        f"{promised.bound:.6g} and mean error {promised.error:.6g} were promised; "
                        "nothing was kept"
                    )
            if totals.quantities:
                stored.append(values)
    for step, fields in enumerate(zip(*stored, strict=True)):
        missing = totals.offsets(ensemble, samples[step], np.stack(fields))
        if missing is None or missing.any():
            raise OSError(f"{where}, time {step}: totals came back changed; nothing was kept")
