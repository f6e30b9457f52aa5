"""surrlab's own layout: a folder, one HDF5 file a simulation, and a manifest that is written last.

A file shows one plain dataset ``(time, *axes)`` for each field, with names, units and dimension
scales, so h5py, xarray, h5dump and ParaView read it without surrlab. A folder without
``ensemble.json`` is incomplete: `build` goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import numpy as np
from tqdm import tqdm

from surrlab._files import replacing, sha256, write_json
from surrlab._parallel import run as run_jobs
from surrlab.data.ensemble import Ensemble, Run
from surrlab.data.stored import (  # noqa: F401  others write with them, too
    FORMAT,
    Header,
    StoredChunk,
    check_finite,
    describe,
    label_axes,
    locate,
    write_simulation,
)

MANIFEST = "ensemble.json"
REQUEST = "ensemble.partial.json"
"""What is being built here: tells a build that goes on from one that would mix two ensembles."""
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
        path, arrays = self.file(simulation), []
        with h5py.File(path, "r") as file:
            for name in self.field_names:
                if name not in file:
                    raise KeyError(f"{path} has no field {name!r}; it has {', '.join(file)}")
                try:
                    arrays.append(file[name][step])
                except OSError as error:
                    raise OSError(f"{path}: field {name}, time {step}: {error}") from error
        return np.stack(arrays, axis=-1 - self.grid.ndim).astype(self.dtype, copy=False)

    def chunks(self, file: Path) -> Iterator[StoredChunk]:
        """Yield address and encoding of every field of this view that lies in one of `files`."""
        run = self.run(self._simulation_of[file])
        start, shape = self.of(run.simulation)[0], (len(run.times), *self.grid.shape)
        with h5py.File(file, "r") as opened:
            for i, name in enumerate(self.field_names):
                if name not in opened:
                    raise KeyError(f"{file} has no field {name!r}; it has {', '.join(opened)}")
                if opened[name].shape != shape:
                    raise ValueError(
                        f"{file}: {name} is {opened[name].shape}, {MANIFEST} says {shape}"
                    )
                for step, offset, nbytes, filters in locate(opened[name], self.dtype):
                    yield StoredChunk(start + step, i, offset, nbytes, filters)

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest.

        Raises
        ------
        OSError
            On the first file that is not what was written.
        """
        for simulation in tqdm(self.simulations, "verify", unit="file", leave=False):
            path = self.file(simulation)
            if sha256(path) != self.entries[simulation]["sha256"]:
                raise OSError(f"{path} has changed since {MANIFEST} was written; make it anew")


def is_native(path: Path) -> bool:
    """Whether a folder is an ensemble of this layout, finished or not."""
    return (path / MANIFEST).exists() or (path / REQUEST).exists()


def open_native(path: str | os.PathLike) -> NativeEnsemble:
    """Open a finished ensemble: raw or compressed, the view is the same.

    Raises
    ------
    FileNotFoundError
        If the folder has no manifest (it is missing, or was never finished) or lacks a file.
    ValueError
        If the manifest is of another format.
    OSError
        If a file is not as long as the manifest says, or was written to since and has changed.
    """
    path = Path(path)
    manifest_path = path / MANIFEST
    if not manifest_path.exists():
        reason = "is not finished" if (path / REQUEST).exists() else "is not an ensemble"
        raise FileNotFoundError(f"{path} {reason}: it has no {MANIFEST}")
    ensemble = _from_manifest(path, _load(manifest_path))
    written = manifest_path.stat().st_mtime_ns
    younger = []
    for simulation in ensemble.simulations:
        file, nbytes = ensemble.file(simulation), ensemble.entries[simulation]["bytes"]
        if not file.exists():
            raise FileNotFoundError(f"{file} is missing: {MANIFEST} lists it")
        stat = file.stat()
        if stat.st_size != nbytes:
            raise OSError(f"{file} has {stat.st_size} bytes; {MANIFEST} says {nbytes}")
        if stat.st_mtime_ns > written:  # edited, or only copied: the contents tell
            younger.append(simulation)
    if younger:
        ensemble.select(younger).verify()
    return ensemble


def _load(path: Path) -> dict[str, Any]:
    """Read a manifest, or a request; ValueError with its path if it is no JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged or incomplete: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged or incomplete: it holds no JSON object")
    return content


def _check_types(content: Any, types: Mapping[str, type], where: str) -> None:
    """Refuse what lacks a key or holds something of another type under it."""
    for key, kind in types.items():
        if not isinstance(content, dict) or key not in content:
            raise ValueError(f"{where} has no {key!r}")
        if not isinstance(content[key], kind):
            raise ValueError(f"{key!r} of {where} is {content[key]!r}, not a {kind.__name__}")


def _from_manifest(path: Path, manifest: dict[str, Any]) -> NativeEnsemble:
    found = manifest.get("format")
    if found == "surrlab-ensemble/1":
        raise ValueError(
            f"{path} was written by surrlab 0.1, whose files this version does not read: "
            "remove the folder, and the same command makes it again"
        )
    if found != FORMAT:
        raise ValueError(f"{path / MANIFEST} is of format {found!r}, not {FORMAT!r}")
    try:
        _check_types(manifest, TYPES, "the manifest")
        for entry in manifest["files"]:
            _check_types(entry, ENTRY_TYPES, "an entry of 'files'")
        for entry in manifest["failed"]:
            _check_types(entry, {"simulation": int, "reason": str}, "an entry of 'failed'")
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


# -------------------------------------------------------------------------------------- writing


def build(
    path: str | os.PathLike,
    header: Header,
    request: dict[str, Any],
    runs: Mapping[int, Run],
    writers: Mapping[int, Callable[[Path], None]],
    *,
    executor: Executor | None = None,
    label: str,
    failures: tuple[type[Exception], ...] = (),
) -> NativeEnsemble:
    """Write an ensemble file by file in parallel, the manifest last; go on where it stopped.

    Parameters
    ----------
    path : path
        The folder.
    header : Header
        Fields, grid, inputs, benchmark.
    request : dict
        What else decides the contents, as JSON. A folder begun for another request is refused.
    runs : mapping
        Each simulation: parameters and times.
    writers : mapping
        For each simulation what writes its HDF5 file to a temporary path; must pickle.
    executor : concurrent.futures.Executor, optional
        Where the writers run; by default a pool of processes.
    label : str
        What the progress bar says.
    failures : tuple of exception types
        Those that end one simulation only: the manifest lists it under ``failed``, with the
        reason. Any other error ends the build.

    Raises
    ------
    FileExistsError
        If the folder holds other contents.
    RuntimeError
        If every simulation failed.
    """
    path = Path(path)
    head = json.loads(json.dumps({"format": FORMAT, **header.config(), "request": request}))
    if (path / MANIFEST).exists():
        manifest = _load(path / MANIFEST)
        if {key: manifest.get(key) for key in head} != head:
            raise FileExistsError(
                f"{path} holds another ensemble; remove it or choose another path"
            )
        return open_native(path)
    _begin(path, head)
    files = {s: path / f"simulation_{s:05d}.h5" for s in writers}
    jobs = [
        (_write, (writers[s], file, failures))
        for s, file in files.items()
        if not (file.exists() or file.with_suffix(FAILED).exists())
    ]
    for _ in run_jobs(jobs, executor=executor, label=label, total=len(files)):
        pass
    _finish(path, head, runs, files)
    return open_native(path)


def _begin(path: Path, head: dict) -> None:
    """Claim the folder for this build, or refuse; remove what a killed one left half-written."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / REQUEST).exists():
        if _load(path / REQUEST) != head:
            raise FileExistsError(
                f"{path} holds a part of another ensemble; remove it or choose another path"
            )
        for leftover in path.glob("*.tmp"):
            leftover.unlink()
    else:
        others = sorted(p.name for p in path.iterdir() if not p.name.endswith(".tmp"))
        if others:
            raise FileExistsError(
                f"{path} is not empty (it holds {others[0]}) and no ensemble was begun there; "
                "choose another path"
            )
        write_json(path / REQUEST, head)


def _write(writer: Callable[[Path], None], file: Path, failures: tuple) -> None:
    try:
        with replacing(file) as temporary:
            writer(temporary)
    except failures as error:
        with replacing(file.with_suffix(FAILED)) as temporary:
            temporary.write_text(str(error))


def _finish(path: Path, head: dict, runs: Mapping[int, Run], files: dict[int, Path]) -> None:
    """Write the manifest, and remove what stood in for it."""
    times = list(dict.fromkeys(runs[s].times for s in files))
    places = {these: place for place, these in enumerate(times)}
    entries, failed = [], []
    for s, file in files.items():
        entry: dict[str, Any] = {"simulation": s, "parameters": list(runs[s].parameters)}
        if file.exists():
            size, place = file.stat().st_size, places[runs[s].times]
            entry |= {"times": place, "file": file.name, "bytes": size, "sha256": sha256(file)}
            entries.append(entry)
        else:
            failed.append(entry | {"reason": file.with_suffix(FAILED).read_text()})
    if failed and not entries:
        raise RuntimeError(
            f"{path}: all {len(failed)} simulations failed, the first because of "
            f"{failed[0]['reason']}"
        )
    write_json(path / MANIFEST, {**head, "times": times, "files": entries, "failed": failed})
    for leftover in (path / REQUEST, *path.glob(f"*{FAILED}")):
        leftover.unlink()
