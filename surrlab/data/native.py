"""Ensembles on disk: a folder, one HDF5 file a simulation, and a manifest that is written last."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import numpy as np
import xarray as xr
from tqdm import tqdm

from surrlab._files import replacing, sha256, write_json
from surrlab._parallel import run
from surrlab.data.fields import Grid

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


@dataclass(frozen=True)
class Ensemble:
    """Simulations of one benchmark on one grid, as `open` found them; nothing is held in memory.

    Parameters
    ----------
    path : Path
        The folder.
    manifest : dict
        What ``ensemble.json`` says; of the files only those of this view, all of them or one side
        of a `split`.
    """

    path: Path
    manifest: dict

    @cached_property
    def simulations(self) -> tuple[int, ...]:
        """Numbers of the simulations that this view shows."""
        return tuple(self._entries)

    def __repr__(self):
        ny, nx = self.grid.shape
        failed = f" ({len(self.failed)} more failed)" if self.failed else ""
        return (
            f"<Ensemble {self.path}: {len(self.simulations)} simulations of {self.scenario}"
            f"{failed}, {len(self.times)} times, {len(self.fields)} fields on {ny} x {nx}>"
        )

    @property
    def failed(self) -> dict[int, str]:
        """Simulations that left their equation of state, and where; they have no file."""
        return {entry["simulation"]: entry["reason"] for entry in self.manifest.get("failed", ())}

    @property
    def header(self) -> dict:
        """What the manifest says of all simulations alike, as `build` takes it."""
        return {key: self.manifest[key] for key in HEADER}

    @property
    def scenario(self) -> str:
        """Name of the benchmark, as `scenarios.by_name` knows it."""
        return self.manifest["scenario"]["name"]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in the order of a sample's first axis."""
        return tuple(self.manifest["fields"])

    @property
    def units(self) -> dict[str, str]:
        """Unit of each field."""
        return dict(self.manifest["fields"])

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the network's inputs: the parameters, then time."""
        return tuple(self.manifest["inputs"])

    @property
    def input_units(self) -> tuple[str, ...]:
        """Unit of each input."""
        return tuple(self.manifest["inputs"].values())

    @cached_property
    def grid(self) -> Grid:
        """The grid that all simulations share."""
        grid = self.manifest["grid"]
        return Grid(grid["ny"], grid["nx"], tuple(grid["x"]), tuple(grid["y"]))

    @cached_property
    def times(self) -> np.ndarray:
        """Times of the samples, ``(T,)``."""
        return np.array(self.manifest["times"])

    @cached_property
    def _entries(self) -> dict[int, dict]:
        return {entry["simulation"]: entry for entry in self.manifest["files"]}

    @cached_property
    def parameters(self) -> np.ndarray:
        """Parameter vectors, ``(N, n - 1)`` float64."""
        return np.array([self._entries[s]["parameters"] for s in self.simulations])

    @cached_property
    def inputs(self) -> np.ndarray:
        """What the network is given: ``(N, T, n)`` float32, the parameters and then time."""
        n, t = len(self.simulations), len(self.times)
        parameters = np.broadcast_to(self.parameters[:, None], (n, t, self.parameters.shape[1]))
        times = np.broadcast_to(self.times[None, :, None], (n, t, 1))
        return np.concatenate([parameters, times], axis=2).astype(np.float32)

    @property
    def coords(self) -> dict:
        """Coordinates of a table over (simulation, time, field), for xarray."""
        return {
            "simulation": list(self.simulations),
            "time": ("time", self.times, {"units": self.input_units[-1]}),
            "field": list(self.fields),
            "unit": ("field", list(self.units.values())),
        }

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(simulations, times, fields, ny, nx)``."""
        return (len(self.simulations), len(self.times), len(self.fields), *self.grid.shape)

    @cached_property
    def digest(self) -> str:
        """Hash of what these simulations hold; equal contents have equal digests, wherever."""
        contents = [[s, self._entries[s]["sha256"]] for s in self.simulations]
        return hashlib.sha256(json.dumps([self.fields, contents]).encode()).hexdigest()[:16]

    @property
    def raw_nbytes(self) -> int:
        """Bytes of the fields uncompressed, as float32."""
        return 4 * int(np.prod(self.shape))

    @property
    def file_nbytes(self) -> int:
        """Bytes of the files of these simulations on disk."""
        return sum(self._entries[s]["bytes"] for s in self.simulations)

    def file(self, simulation: int) -> Path:
        """Path of one simulation's file.

        Raises
        ------
        KeyError
            If the ensemble (or this side of the split) has no such simulation.
        """
        if simulation not in self.simulations:
            raise KeyError(
                f"{self.path} has no simulation {simulation} here; "
                f"it has {len(self.simulations)}, from {self.simulations[0]} to "
                f"{self.simulations[-1]}"
            )
        return self.path / self._entries[simulation]["file"]

    def read(self, simulation: int, time: int | slice = slice(None)) -> np.ndarray:
        """One sample ``(6, ny, nx)`` float32; with a slice of times ``(times, 6, ny, nx)``.

        Parameters
        ----------
        simulation : int
            Its number, one of `simulations`.
        time : int or slice
            Index into `times`.

        Raises
        ------
        KeyError
            If there is no such simulation, or its file lacks a field.
        OSError
            If a stored chunk fails its checksum.
        """
        path = self.file(simulation)
        with h5py.File(path, "r") as file:
            missing = [name for name in self.fields if name not in file]
            if missing:
                raise KeyError(f"{path} has no field {missing[0]!r}; it has {', '.join(file)}")
            arrays = []
            for name in self.fields:
                try:
                    arrays.append(file[name][time])
                except OSError as error:
                    raise OSError(f"{path}: field {name}, time {time}: {error}") from error
        return np.stack(arrays, axis=-3).astype(np.float32, copy=False)

    def to_xarray(self) -> xr.Dataset:
        """Lazy, labelled view: the fields over ``(simulation, time, y, x)``, units in ``attrs``."""
        dataset = xr.open_mfdataset(
            [self.file(s) for s in self.simulations],
            engine="h5netcdf",
            combine="nested",
            concat_dim="simulation",
            data_vars="all",
            coords="minimal",
            compat="override",
            join="override",
            chunks={},
        )
        return dataset.assign_coords(simulation=list(self.simulations))

    def select(self, simulations: Iterable[int]) -> Ensemble:
        """The same ensemble, seen through some of its simulations."""
        chosen = [int(s) for s in simulations]
        unknown = sorted(set(chosen) - set(self.simulations))
        if unknown:
            raise KeyError(f"{self.path} has no simulation {unknown[0]}")
        files = [self._entries[s] for s in chosen]
        return Ensemble(self.path, {**self.manifest, "files": files})

    def split(self, test_fraction: float, seed: int) -> tuple[Ensemble, Ensemble]:
        """Training and test side, by whole simulations: no time step leaks across.

        Raises
        ------
        ValueError
            If either side would be empty.
        """
        n = len(self.simulations)
        n_test = round(test_fraction * n)
        if not 0 < n_test < n:
            raise ValueError(
                f"a test fraction of {test_fraction} leaves {n_test} of {n} simulations for "
                "testing; both sides need at least one"
            )
        order = np.random.default_rng(seed).permutation(self.simulations)
        return self.select(sorted(order[n_test:])), self.select(sorted(order[:n_test]))

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest.

        Raises
        ------
        OSError
            On the first file that is not what was written.
        """
        for simulation in tqdm(self.simulations, "verify", unit="file", leave=False):
            path = self.file(simulation)
            if sha256(path) != self._entries[simulation]["sha256"]:
                raise OSError(f"{path} has changed since {MANIFEST} was written; make it anew")


def open(path: str | os.PathLike) -> Ensemble:
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
    manifest = json.loads(manifest_path.read_text())
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{manifest_path} is of format {manifest.get('format')!r}, not {FORMAT!r}")
    written = manifest_path.stat().st_mtime_ns
    younger = []
    for entry in manifest["files"]:
        file = path / entry["file"]
        if not file.exists():
            raise FileNotFoundError(f"{file} is missing: {MANIFEST} lists it")
        stat = file.stat()
        if stat.st_size != entry["bytes"]:
            raise OSError(f"{file} has {stat.st_size} bytes; {MANIFEST} says {entry['bytes']}")
        if stat.st_mtime_ns > written:  # edited, or only copied: the contents tell
            younger.append(entry["simulation"])
    ensemble = Ensemble(path, manifest)
    if younger:
        ensemble.select(younger).verify()
    return ensemble
