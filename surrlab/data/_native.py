"""The reader of surrlab's own layout: the manifest, what is wrong with files, and their fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import numpy as np
from tqdm import tqdm

from surrlab._files import DamagedError, check_file, check_types, read_json, sha256, write_json
from surrlab._hdf5 import own_dataset
from surrlab.data._masks import blank
from surrlab.data.ensemble import Ensemble, Run
from surrlab.data.fields import StoredChunk, check_values
from surrlab.data.stored import (
    FORMAT,
    Header,
    add_offsets,
    locate,
    missing_filters,
    offsets_of,
)

MANIFEST = "ensemble.json"
REQUEST = "request.json"
"""What is built here: tells a build that goes on from one that would mix two ensembles."""
VERIFIED = "verified.json"
"""In the user's cache: files whose contents were compared with the manifest, by their stat."""
WHOLE = 1 << 30
"""Bytes of files up to which `build` compares contents, and not only what the file system says."""
TYPES = {
    **dict.fromkeys(("fields", "grid", "times", "files", "failed"), list),
    **dict.fromkeys(("inputs", "benchmark", "request"), dict),
    "dtype": str,
}
ENTRY_TYPES = {
    **dict.fromkeys(("simulation", "times", "bytes"), int),
    **dict.fromkeys(("file", "sha256"), str),
    "parameters": list,
}
"""Types of what a manifest holds, and of what it holds for each file."""
FAILED = ".failed"
"""Suffix of the text file that records why a simulation failed, until the manifest lists it."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NativeEnsemble(Ensemble):
    """An ensemble in surrlab's own layout, raw or compressed: the view is the same.

    Parameters
    ----------
    path : Path
        The folder.
    entries : dict
        What the manifest says of each simulation's file: its name, bytes and SHA-256.
    failures : dict of int to str
        Simulations that failed, and why.
    """

    path: Path
    entries: dict[int, dict[str, Any]]
    failures: dict[int, str]

    by_simulation: ClassVar[tuple[str, ...]] = ("entries",)

    @property
    def failed(self) -> dict[int, str]:
        """Simulations that left their equation of state, and where; they have no file."""
        return dict(self.failures)

    def file(self, simulation: int) -> Path:
        """Return the path of one simulation's file; KeyError if this view lacks it."""
        return self.path / self.entries[self.run(simulation).simulation]["file"]

    @property
    def files(self) -> tuple[Path, ...]:
        """Path of each simulation's file."""
        return tuple(self.file(simulation) for simulation in self.simulations)

    @cached_property
    def _simulation_of(self) -> dict[Path, int]:
        return dict(zip(self.files, self.simulations, strict=True))

    @property
    def file_nbytes(self) -> int:
        """Bytes of the files of these simulations on disk."""
        return sum(self.entries[s]["bytes"] for s in self.simulations)

    def contents(self, run: Run) -> str:
        """Return the SHA-256 of a simulation's file, from the manifest."""
        return self.entries[run.simulation]["sha256"]

    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, *grid.shape)``, in native float32 or float64."""
        run, step = self.where(sample)
        return self._read(run.simulation, step)

    def read_simulation(self, simulation: int) -> np.ndarray:
        """Return all samples of a simulation in time, ``(T, n_fields, *grid.shape)``."""
        return self._read(simulation, slice(None))

    def _read(self, simulation: int, step: int | slice) -> np.ndarray:
        path, arrays, fills = self.file(simulation), [], {}
        when = "any" if isinstance(step, slice) else step
        with _opened(path) as file:
            for name in self.field_names:
                dataset = self._dataset(file, name, simulation)
                try:
                    fills[name] = _fills(dataset)
                    values, n = dataset[step], len(self.run(simulation).times)
                    if (offsets := offsets_of(file, name, n)) is not None:
                        add_offsets(values, offsets[step])
                    arrays.append(values)
                except (OSError, RuntimeError, KeyError) as error:
                    if lacking := missing_filters(dataset):
                        raise OSError(
                            f"{path}: field {name} needs the HDF5 filter {' and '.join(lacking)}, "
                            "which this machine lacks: pip install --upgrade hdf5plugin"
                        ) from error
                    raise _damaged(f"{path}: field {name}, time {when}: {error}") from error
        samples = np.stack(arrays, axis=-1 - self.grid.ndim).astype(self.dtype, copy=False)
        several = samples if samples.ndim > len(self.sample_shape) else samples[None]
        first = 0 if isinstance(step, slice) else step
        blank(several, self.valid)  # a view: compressed files hold anything there
        where = f"{path}: simulation {simulation}"
        check_values(several, self.field_names, where, fills, first, valid=self.valid)
        return samples

    def _dataset(self, file: h5py.File, name: str, simulation: int) -> h5py.Dataset:
        """A field of a file, once it is known to be the file's own, and as long as it should be."""
        dataset, n = own_dataset(file, name), len(self.run(simulation).times)
        if dataset.shape != (n, *self.grid.shape) or dataset.dtype.kind != "f":
            raise DamagedError(
                f"{file.filename}: {name} is {dataset.shape} {dataset.dtype}, {MANIFEST} says "
                f"{(n, *self.grid.shape)} {self.dtype}"
            )
        return dataset

    def chunks(self, file: Path) -> Iterator[StoredChunk]:
        """Yield address and encoding of every field of this view that lies in one of `files`."""
        run = self.run(self._simulation_of[file])
        start = self.of(run.simulation)[0]
        with _opened(file) as opened:
            for i, name in enumerate(self.field_names):
                dataset = self._dataset(opened, name, run.simulation)
                if _fills(dataset):
                    raise ValueError(f"{name} may hold fill values; Ensemble.read refuses them")
                shifts = offsets_of(opened, name, len(run.times))
                for step, offset, nbytes, filters in locate(dataset, self.dtype):
                    shift = 0.0 if shifts is None else float(shifts[step])
                    yield StoredChunk(start + step, i, offset, nbytes, filters, shift)

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest.

        Raises
        ------
        OSError
            On the first file that is not what was written.
        """
        for simulation in tqdm(self.simulations, "verify", unit="file", leave=False):
            if fault := self.fault(simulation, contents=True):
                raise fault

    def fault(self, simulation: int, *, contents: bool) -> OSError | None:
        """What is wrong with a file, by its size, and by its contents if they are in doubt."""
        path, entry = self.file(simulation), self.entries[simulation]
        try:
            if path.resolve().parent != self.path.resolve():
                raise DamagedError(f"{path} is a link out of its folder")
            stat = check_file(path)
        except FileNotFoundError:
            return FileNotFoundError(f"{path} is missing: {MANIFEST} lists it")
        except OSError as error:
            return error
        if stat.st_size != entry["bytes"]:
            return _damaged(f"{path} has {stat.st_size} bytes; {MANIFEST} says {entry['bytes']}")
        if contents and sha256(path) != entry["sha256"]:
            return _damaged(f"{path} has changed since {MANIFEST} was written")
        return None


def _damaged(what: str) -> DamagedError:
    return DamagedError(f"{what}; remove it, and the command that made it makes it again")


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _damaged(f"{path}: {error}") from error
    with file:
        yield file


def _fills(dataset: h5py.Dataset) -> list[float]:
    """Values that a dataset says stand for none; NaN always does."""
    named = [dataset.attrs.get(key) for key in ("_FillValue", "missing_value")]
    values = [float(v) for one in named if one is not None for v in np.ravel(one)]
    return [value for value in values if not np.isnan(value)]


def read_manifest(path: Path) -> NativeEnsemble:
    """Return a finished ensemble whose files were not looked at.

    Raises
    ------
    FileNotFoundError, ValueError
        As `open_native`.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.exists():
        reason = "is not finished" if (path / REQUEST).exists() else "is not an ensemble"
        raise FileNotFoundError(f"{path} {reason}: it has no {MANIFEST}")
    return from_manifest(path, load_manifest(manifest_path))


def faults(ensemble: NativeEnsemble, up_to: int = 0) -> Iterator[OSError]:
    """Yield what is wrong with each file of an ensemble.

    Contents are compared where files are younger than the manifest (edited, or only copied), until
    they are found as they should be; and of all files together of up to so many bytes.
    """
    written = (ensemble.path / MANIFEST).stat().st_mtime_ns
    every = ensemble.file_nbytes <= up_to
    cache, known = ensemble.cache_folder / VERIFIED, dict[str, Any]()
    with suppress(OSError):
        known = read_json(cache, limit=1 << 28)
    fresh = {}
    for simulation in ensemble.simulations:
        path = ensemble.file(simulation)
        with suppress(OSError):
            stat = path.stat()
            seen = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            seen.append(ensemble.entries[simulation]["sha256"])
        doubtful = path.exists() and stat.st_mtime_ns > written and known.get(path.name) != seen
        if fault := ensemble.fault(simulation, contents=every or doubtful):
            yield fault
        elif doubtful:
            fresh[path.name] = seen
    if fresh:
        with suppress(OSError):  # a cache that only others may write
            write_json(cache, known | fresh)


def load_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest, or a request."""
    return read_json(path, limit=1 << 28)


def from_manifest(path: Path, manifest: dict[str, Any]) -> NativeEnsemble:
    """Return the ensemble of a manifest, once it makes sense."""
    found = manifest.get("format")
    if found == "surrlab-ensemble/1":
        raise ValueError(
            f"{path} was written by surrlab 0.1, whose files this version does not read: "
            "remove the folder, and the same command makes it again"
        )
    if found != FORMAT:
        raise ValueError(f"{path / MANIFEST} is of format {found!r}, not {FORMAT!r}")
    try:
        check_types(manifest, TYPES, "the manifest")
        for entry in manifest["files"]:
            check_types(entry, ENTRY_TYPES, "an entry of 'files'")
        for entry in manifest["failed"]:
            check_types(entry, {"simulation": int, "reason": str}, "an entry of 'failed'")
        header = Header.from_config(manifest)
        entries = {entry["simulation"]: entry for entry in manifest["files"]}
        if not entries or len(entries) < len(manifest["files"]):
            raise ValueError("it lists no simulation, or one of them twice")
        runs = tuple(
            Run(s, tuple(entry["parameters"]), tuple(manifest["times"][entry["times"]]))
            for s, entry in entries.items()
        )
        for entry in entries.values():
            if Path("x", entry["file"]).name != entry["file"] or entry["file"] == "..":
                raise ValueError(f"it lists {entry['file']!r}, which is no file of this folder")
            if len(entry["parameters"]) != len(header.inputs) - 1:
                raise ValueError(
                    f"simulation {entry['simulation']} has {len(entry['parameters'])} parameters, "
                    f"not {len(header.inputs) - 1}"
                )
        return NativeEnsemble(
            name=str(path),
            fields=header.fields,
            grid=header.grid,
            input_names=tuple(header.inputs),
            input_units=tuple(header.inputs.values()),
            runs=runs,
            dtype=header.dtype,
            metadata={"benchmark": header.benchmark, "request": manifest["request"]},
            path=path,
            entries=entries,
            failures={entry["simulation"]: entry["reason"] for entry in manifest["failed"]},
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{path / MANIFEST} is damaged or incomplete: {error}") from error
