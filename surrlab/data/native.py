"""surrlab's own layout: a folder, an HDF5 file per simulation, and a manifest that is written last.

A file shows one plain dataset ``(time, *axes)`` for each field, with names, units and dimension
scales, so h5py, xarray, h5dump and ParaView read it without surrlab. A folder without
``ensemble.json`` is incomplete: `build` goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from surrlab._files import DamagedError, read_json, replacing, say_again, sha256, write_json
from surrlab._locks import LOCK, locked, remove_dead_lock
from surrlab._parallel import run as run_jobs
from surrlab.data._native import (
    FAILED,
    MANIFEST,
    REQUEST,
    WHOLE,
    NativeEnsemble,
    faults,
    from_manifest,
    load_manifest,
    read_manifest,
)
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Run
from surrlab.data.stored import FORMAT, Header, describe, label_axes, write_simulation  # noqa: F401


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
        If a file is not as long as the manifest says, or was written to since and has changed, or
        lies elsewhere.
    """
    ensemble = read_manifest(Path(path))
    for fault in faults(ensemble):
        raise fault
    return ensemble


# -------------------------------------------------------------------------------------- writing


def copy(
    ensemble: Ensemble, path: str | os.PathLike, *, executor: Executor | None = None
) -> NativeEnsemble:
    """Write an ensemble of any layout once more: raw, a field of a sample in one piece.

    Parameters
    ----------
    ensemble : Ensemble
        What is read; one side of a split, too.
    path : path
        The folder. A copy that was interrupted goes on.
    executor : concurrent.futures.Executor, optional
        Where simulations are copied; by default a pool of processes.

    Raises
    ------
    FileExistsError
        If the folder holds other contents.
    ValueError
        If a field holds what stands for no value.
    """
    runs = {run.simulation: run for run in ensemble.runs}
    writers = {s: partial(_copy_simulation, ensemble.select([s])) for s in runs}
    request = {"copy_of": ensemble.digest}
    header = Header.of(ensemble)
    return build(path, header, request, runs, writers, executor=executor, label="copy")


def _copy_simulation(ensemble: Ensemble, path: Path) -> None:
    (run,) = ensemble.runs
    samples = ensemble.read_simulation(run.simulation)
    write_simulation(path, Header.of(ensemble), run, samples)


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
    if (path / MANIFEST).exists() and not _mend(path, head, say=False):
        remove_dead_lock(path)
        return read_manifest(path)  # finished and whole: no lock, others' folders can be read
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if (path / MANIFEST).exists():
            _mend(path, head)
        if (path / MANIFEST).exists():  # another process has finished it
            return read_manifest(path)
        _begin(path, head)
        files = {s: path / f"simulation_{s:05d}.h5" for s in writers}
        jobs = [
            (_write, (writers[s], file, failures))
            for s, file in files.items()
            if not (_is_whole(file) or file.with_suffix(FAILED).exists())
        ]
        for _ in run_jobs(jobs, executor=executor, label=label, total=len(files)):
            pass
        _finish(path, head, runs, files)
    return read_manifest(path)


def _mend(path: Path, head: dict, *, say: bool = True) -> bool:
    """Whether a finished ensemble is damaged; with `say` also remove what has to be made again.

    Raises
    ------
    FileExistsError
        If it is another ensemble.
    DamagedError
        If the manifest is damaged, and nothing says what it was.
    """
    try:
        manifest = load_manifest(path / MANIFEST)
    except DamagedError as error:
        if not (path / REQUEST).exists() or load_manifest(path / REQUEST) != head:
            raise
        if say:
            say_again(path / MANIFEST, error)
            (path / MANIFEST).unlink()
        return True
    if {key: manifest.get(key) for key in head} != head:
        raise FileExistsError(f"{path} holds another ensemble; remove it or choose another path")
    ensemble = from_manifest(path, manifest)
    found = list(faults(ensemble, WHOLE))
    if found and say:
        write_json(path / REQUEST, head)  # a build that goes on, from here
        for simulation, reason in ensemble.failures.items():
            write_json(path / f"simulation_{simulation:05d}{FAILED}", {"reason": reason})
        for simulation in ensemble.simulations:
            if fault := ensemble.fault(simulation, contents=True):
                say_again(ensemble.file(simulation), fault)
                ensemble.file(simulation).unlink(missing_ok=True)
        (path / MANIFEST).unlink()
    return bool(found)


def _is_whole(file: Path) -> bool:
    """Whether an earlier build left a file here that can be read; a damaged one is removed."""
    if not file.exists():
        return False

    def read(name: str, found: h5py.Group | h5py.Dataset) -> None:
        if isinstance(found, h5py.Dataset):
            found[()]

    try:
        with h5py.File(file, "r") as opened:
            opened.visititems(read)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        say_again(file, error)
        file.unlink()
        return False
    return True


def _begin(path: Path, head: dict) -> None:
    """Claim the folder for this build, or refuse."""
    if (path / REQUEST).exists():
        if load_manifest(path / REQUEST) != head:
            raise FileExistsError(
                f"{path} holds a part of another ensemble; remove it or choose another path"
            )
    else:
        others = sorted(p.name for p in path.iterdir() if p.name != LOCK)
        if others:
            raise FileExistsError(
                f"{path} is not empty (it holds {others[0]}) and no ensemble was begun there; "
                "choose another path"
            )
        write_json(path / REQUEST, head)


def _write(writer: Callable[[Path], None], file: Path, failures: tuple) -> None:
    if file.exists() or file.with_suffix(FAILED).exists():
        return  # written before the worker of this job died
    try:
        with replacing(file) as temporary:
            writer(temporary)
    except failures as error:
        write_json(file.with_suffix(FAILED), {"reason": str(error)})


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
            failed.append(entry | {"reason": read_json(file.with_suffix(FAILED))["reason"]})
    if failed and not entries:
        raise RuntimeError(
            f"{path}: all {len(failed)} simulations failed, the first because of "
            f"{failed[0]['reason']}"
        )
    write_json(path / MANIFEST, {**head, "times": times, "files": entries, "failed": failed})
    for leftover in path.glob(f"*{FAILED}"):
        leftover.unlink()
