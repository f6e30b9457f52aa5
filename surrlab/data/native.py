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
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import numpy as np
from tqdm import tqdm

from surrlab._files import replacing, sha256, write_json
from surrlab._parallel import run as run_jobs
from surrlab.data.ensemble import Ensemble, Run
from surrlab.data.fields import Field, Grid
from surrlab.data.stored import StoredChunk, locate

FORMAT = "surrlab-ensemble/2"
MANIFEST = "ensemble.json"
TAKEN = ("sample", "simulation", "step", "time", "field", "input", "inputs")
"""What neither fields nor axes may be called: files and tables have them already."""
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


@dataclass(frozen=True)
class Header:
    """What a manifest says of all simulations alike.

    Parameters
    ----------
    fields : tuple of Field
        Names, units, labels, in the order of a sample's first axis.
    grid : Grid
        Shared by all samples.
    inputs : dict of str
        Unit of each network input: the parameters, then ``time``.
    dtype : str
        ``"float32"`` or ``"float64"``.
    benchmark : dict
        Name, constants and quantities of what was simulated, as JSON.
    """

    fields: tuple[Field, ...]
    grid: Grid
    inputs: dict[str, str]
    dtype: str = "float32"
    benchmark: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        names = [f.name for f in self.fields]
        if not names:
            raise ValueError("an ensemble needs a field")
        for i, name in enumerate(taken := [*TAKEN, *self.grid.names, *names]):
            if name in taken[:i]:
                raise ValueError(f"{name!r} cannot name a field or an axis here: the name is taken")
        if list(self.inputs)[-1:] != ["time"]:
            raise ValueError(f"the last input must be 'time'; the inputs are {list(self.inputs)}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"fields are float32 or float64, not {self.dtype}")

    @classmethod
    def of(cls, ensemble: Ensemble) -> Self:
        """Return the header under which an ensemble's samples can be written again."""
        inputs = dict(zip(ensemble.input_names, ensemble.input_units, strict=True))
        benchmark = ensemble.metadata.get("benchmark", {})
        return cls(ensemble.fields, ensemble.grid, inputs, ensemble.dtype, benchmark)

    def config(self) -> dict[str, Any]:
        """Return the header as JSON; `from_config` rebuilds it."""
        return {
            "fields": [asdict(f) for f in self.fields],
            "grid": self.grid.config(),
            "inputs": self.inputs,
            "dtype": self.dtype,
            "benchmark": self.benchmark,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the header whose `config` this is."""
        return cls(
            tuple(Field(**f) for f in config["fields"]),
            Grid.from_config(config["grid"]),
            dict(config["inputs"]),
            config["dtype"],
            config["benchmark"],
        )


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


def write_simulation(path: Path, header: Header, run: Run, samples: np.ndarray) -> None:
    """Write one raw simulation's file.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        Of the ensemble.
    run : Run
        The simulation's number, parameters and times.
    samples : array (T, n_fields, *grid.shape)
        One for each time.

    Raises
    ------
    ValueError
        If a field holds NaN or Inf, or the samples are of another shape.
    """
    expected = (len(run.times), len(header.fields), *header.grid.shape)
    if samples.shape != expected:
        raise ValueError(
            f"{path.name}: samples of simulation {run.simulation} are {samples.shape}, "
            f"not {expected} (times, fields, {', '.join(header.grid.names)})"
        )
    with h5py.File(path, "w") as file:
        describe(file, header, run)
        for i, one in enumerate(header.fields):
            values = np.ascontiguousarray(samples[:, i], header.dtype)
            check_finite(values, one.name, path.name, run.simulation)
            dataset = file.create_dataset(
                one.name, data=values, chunks=(1, *values.shape[1:]), fletcher32=True
            )
            label_axes(file, dataset, one, header.grid)


def describe(file: h5py.File, header: Header, run: Run) -> None:
    """Write what every file says of itself: root attributes, dimension scales, ``inputs``."""
    names = list(header.inputs)
    file.attrs["format"] = FORMAT
    file.attrs["benchmark"] = header.benchmark.get("name", "")
    file.attrs["simulation"] = run.simulation
    file.attrs["parameter_names"] = names[:-1] or h5py.Empty("S1")
    file.attrs["parameter_units"] = list(header.inputs.values())[:-1] or h5py.Empty("S1")
    file.attrs["field_names"] = [f.name for f in header.fields]
    file.attrs["field_units"] = [f.unit for f in header.fields]
    scales = [("time", run.times, header.inputs["time"])]
    scales += [(axis.name, axis.points, axis.unit) for axis in header.grid.axes]
    for name, values, unit in scales:
        file[name] = values
        file[name].make_scale(name)
        file[name].attrs["units"] = unit
    for axis in header.grid.axes:
        file[axis.name].attrs["extent"] = (axis.low, axis.high)
    file["input"] = names
    file["input"].make_scale("input")
    rows = [[*run.parameters, time] for time in run.times]
    dataset = file.create_dataset("inputs", data=np.array(rows, np.float32))
    for dim, name in zip(dataset.dims, ("time", "input"), strict=True):
        dim.attach_scale(file[name])


def label_axes(file: h5py.File, dataset: h5py.Dataset, field: Field, grid: Grid) -> None:
    """Give a field its unit, its label and its dimension scales ``(time, *axes)``."""
    dataset.attrs["units"], dataset.attrs["long_name"] = field.unit, field.label
    for dim, name in zip(dataset.dims, ("time", *grid.names), strict=True):
        dim.attach_scale(file[name])


def check_finite(values: np.ndarray, field: str, file: str, simulation: int) -> None:
    """Refuse NaN and Inf in a field's ``(T, *axes)``: codecs turn them into finite numbers.

    Raises
    ------
    ValueError
        Naming file, simulation, field and the first time at fault.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        time = int(np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))[0])
        raise ValueError(
            f"{file}: simulation {simulation}, time {time}, field {field} holds "
            f"{int(bad[time].sum())} values that are NaN or infinite"
        )
