"""Write ensembles so that nothing is lost and nothing half-written is taken for whole.

`build` runs one job a simulation in parallel, each writing one HDF5 file under a temporary name,
and the manifest last; a killed build goes on where it stopped. The rest is what every file of an
ensemble has, raw or compressed, and the small tools of careful writing that other modules share.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import loky
import numpy as np
from tqdm import tqdm

from surrlab.fields import Grid

FORMAT = "surrlab-ensemble/1"
HEADER = ("scenario", "fields", "inputs", "grid", "times")
"""What a manifest says of all simulations alike."""
MANIFEST = "ensemble.json"
REQUEST = "ensemble.partial.json"
"""What is being built here: tells a build that goes on from one that would mix two ensembles."""
FAILED = ".failed"
"""Suffix of what stands in for a failed simulation's file until the manifest: why there is none."""


def build(
    path: str | os.PathLike,
    header: dict,
    request: dict,
    parameters: Mapping[int, list[float]],
    writers: Mapping[int, Callable[[Path], None]],
    *,
    executor: Executor | None = None,
    label: str,
    failures: tuple[type[Exception], ...] = (),
) -> None:
    """Write an ensemble file by file in parallel, the manifest last; go on where it stopped.

    Parameters
    ----------
    path : path
        The folder.
    header : dict
        The keys of `HEADER`: scenario, fields with units, inputs with units, grid, times.
    request : dict
        What else decides the contents. A folder begun for another request is refused.
    parameters : mapping
        Parameter vector of each simulation.
    writers : mapping
        For each simulation what writes its HDF5 file to a temporary path; must pickle.
    executor : concurrent.futures.Executor, optional
        Where the writers run.
    label : str
        What the progress bar says.
    failures : tuple of exception types
        Those that end one simulation only: the manifest lists it under ``failed``, with its
        parameters and the reason. Any other error ends the build.

    Raises
    ------
    FileExistsError
        If the folder holds other contents.
    RuntimeError
        If every simulation failed.
    """
    path = Path(path)
    head = json.loads(json.dumps({"format": FORMAT, **header, "request": request}))
    if (path / MANIFEST).exists():
        manifest = json.loads((path / MANIFEST).read_text())
        if {key: manifest.get(key) for key in head} != head:
            raise FileExistsError(
                f"{path} holds another ensemble; remove it or choose another path"
            )
        return
    _begin(path, head)
    files = {s: path / f"simulation_{s:05d}.h5" for s in writers}
    jobs = [
        (_write, (writers[s], file, failures))
        for s, file in files.items()
        if not (file.exists() or file.with_suffix(FAILED).exists())
    ]
    for _ in run(jobs, executor=executor, label=label, total=len(files)):
        pass
    entries, failed = [], []
    for s, file in files.items():
        entry = {"simulation": s, "parameters": list(parameters[s])}
        if file.exists():
            size = file.stat().st_size
            entries.append(entry | {"file": file.name, "bytes": size, "sha256": sha256(file)})
        else:
            failed.append(entry | {"reason": file.with_suffix(FAILED).read_text()})
    if failed and not entries:
        raise RuntimeError(
            f"{path}: all {len(failed)} simulations failed, the first because of {failed[0]}"
        )
    write_json(path / MANIFEST, {**head, "files": entries, "failed": failed})
    for left in (path / REQUEST, *path.glob(f"*{FAILED}")):
        left.unlink()


def _begin(path: Path, head: dict) -> None:
    """Claim the folder for this build, or refuse; sweep up what a killed one left half-written."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / REQUEST).exists():
        if json.loads((path / REQUEST).read_text()) != head:
            raise FileExistsError(
                f"{path} holds a part of another ensemble; remove it or choose another path"
            )
        for left in path.glob("*.tmp"):
            left.unlink()
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


def run(
    jobs: list[tuple[Callable, tuple]],
    *,
    executor: Executor | None = None,
    label: str,
    unit: str = "file",
    total: int | None = None,
) -> Iterator:
    """Run jobs in parallel and yield their results as they end, under a progress bar.

    The first error, or Ctrl-C, ends the others and is raised.
    """
    total = len(jobs) if total is None else total
    if not jobs:
        return
    own = None
    if executor is None:
        # One pool for the whole session: a worker that has imported torch is worth keeping.
        executor = own = loky.get_reusable_executor(loky.cpu_count(), timeout=60)
    futures = []
    try:
        with tqdm(total=total, initial=total - len(jobs), desc=label, unit=unit) as bar:
            futures = [executor.submit(function, *arguments) for function, arguments in jobs]
            for future in as_completed(futures):
                yield future.result()
                bar.update()
    except BaseException:
        for future in futures:
            future.cancel()
        if own is not None:
            own.shutdown(kill_workers=True)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends well."""
    # Named after the process: a worker that outlived its killed parent may write the same file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value) -> None:
    """Write JSON so that a reader finds the old file or the new one, never a half."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_simulation(
    path: Path, header: dict, simulation: int, parameters: list[float], samples: np.ndarray
) -> None:
    """Write one raw simulation's file from its samples ``(T, 6, ny, nx)``.

    Raises
    ------
    ValueError
        If a field holds NaN or Inf.
    """
    with h5py.File(path, "w") as file:
        describe(file, header, simulation, parameters)
        for i, name in enumerate(header["fields"]):
            values = np.ascontiguousarray(samples[:, i])
            check_finite(values, name, path.name, simulation)
            dataset = file.create_dataset(
                name, data=values, chunks=(1, *values.shape[1:]), fletcher32=True
            )
            label_axes(file, dataset, header["fields"][name])


def describe(file: h5py.File, header: dict, simulation: int, parameters: list[float]) -> None:
    """Write what every file says of itself: root attributes, dimension scales, ``inputs``."""
    grid, times, inputs = header["grid"], header["times"], header["inputs"]
    file.attrs["format"] = FORMAT
    file.attrs["scenario"] = header["scenario"]["name"]
    file.attrs["simulation"] = simulation
    file.attrs["x_extent"] = grid["x"]
    file.attrs["y_extent"] = grid["y"]
    file.attrs["parameter_names"] = list(inputs)[:-1]
    file.attrs["parameter_units"] = list(inputs.values())[:-1]
    file.attrs["field_names"] = list(header["fields"])
    file.attrs["field_units"] = list(header["fields"].values())
    centres = Grid(grid["ny"], grid["nx"], tuple(grid["x"]), tuple(grid["y"]))
    scales = {
        "time": (times, inputs["time"]),
        "y": (centres.y_centres, "cm"),
        "x": (centres.x_centres, "cm"),
        "input": (list(inputs), None),
    }
    for name, (values, unit) in scales.items():
        file[name] = values
        file[name].make_scale(name)
        if unit:
            file[name].attrs["units"] = unit
    rows = [[*parameters, time] for time in times]
    dataset = file.create_dataset("inputs", data=np.array(rows, np.float32))
    for dim, name in zip(dataset.dims, ("time", "input"), strict=True):
        dim.attach_scale(file[name])


def label_axes(file: h5py.File, dataset: h5py.Dataset, unit: str) -> None:
    """Give a field its unit and its dimension scales ``(time, y, x)``."""
    dataset.attrs["units"] = unit
    for dim, name in zip(dataset.dims, ("time", "y", "x"), strict=True):
        dim.attach_scale(file[name])


def check_finite(values: np.ndarray, field: str, file: str, simulation: int) -> None:
    """Refuse NaN and Inf in a field's ``(T, ny, nx)``: codecs turn them into finite numbers.

    Raises
    ------
    ValueError
        Naming file, simulation, field and the first time at fault.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        time = int(np.flatnonzero(bad.any(axis=(-2, -1)))[0])
        raise ValueError(
            f"{file}: simulation {simulation}, time {time}, field {field} holds "
            f"{int(bad[time].sum())} values that are NaN or infinite"
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
