"""Ensembles on disk: a folder, one HDF5 file a simulation, and a manifest that is written last.

A file shows six plain datasets ``(time, y, x)`` with names, units and dimension scales, so h5py,
xarray, h5dump and ParaView read it without surrlab. A folder without ``ensemble.json`` is
incomplete: `generate` and `compression` go on where they stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from tqdm import tqdm

from surrlab import fields, scenarios, storage
from surrlab.fields import Grid
from surrlab.storage import FORMAT, MANIFEST, REQUEST


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
        """What the manifest says of all simulations alike, as `storage.build` takes it."""
        return {key: self.manifest[key] for key in storage.HEADER}

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
            if storage.sha256(path) != self._entries[simulation]["sha256"]:
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


def generate(
    scenario,
    path: str | os.PathLike,
    *,
    n_simulations: int,
    shape: tuple[int, int],
    seed: int,
    executor: Executor | None = None,
) -> Ensemble:
    """Run a scenario's simulations in parallel and write them as an ensemble.

    A killed run goes on where it stopped: finished simulations are kept. One that fails with a
    FloatingPointError is left out: `Ensemble.failed` says where it went wrong.

    Parameters
    ----------
    scenario : scenarios.Scenario
        What to simulate.
    path : path
        Folder of the ensemble; made if need be.
    n_simulations : int
        How many parameter vectors to draw, uniformly from the scenario's ranges.
    shape : tuple of int
        Grid, ``(ny, nx)``.
    seed : int
        Of the parameter draw. The first simulations of a larger ensemble are the smaller one's.
    executor : concurrent.futures.Executor, optional
        Where the simulations run: by default one process a core; a Dask cluster's
        ``client.get_executor()`` or mpi4py's where one machine is too small.

    Raises
    ------
    FileExistsError
        If the folder holds anything but this very ensemble, or a part of it.
    RuntimeError
        If every simulation failed.
    """
    grid = scenario.grid(shape)
    parameters = scenario.sample(n_simulations, seed=seed)
    units = fields.units(scenario.time_unit)
    header = {
        "scenario": scenario.config(),
        "fields": {name: units[name] for name in fields.NAMES},
        "inputs": {p.name: p.unit for p in scenario.parameters} | {"time": scenario.time_unit},
        "grid": {"ny": grid.ny, "nx": grid.nx, "x": grid.x, "y": grid.y},
        "times": list(map(float, scenario.times)),
    }
    rows = dict(enumerate(parameters.tolist()))
    storage.build(
        path,
        header,
        {"n_simulations": n_simulations, "seed": seed},
        rows,
        {i: partial(_simulate, scenario, header, i, row) for i, row in rows.items()},
        executor=executor,
        label="simulate",
        failures=(FloatingPointError,),
    )
    return open(path)


def _simulate(scenario, header: dict, simulation: int, parameters: list[float], path: Path) -> None:
    grid = scenario.grid((header["grid"]["ny"], header["grid"]["nx"]))
    samples = scenario.simulate(np.array(parameters), grid)
    storage.write_simulation(path, header, simulation, parameters, samples)


def scenario_of(ensemble: Ensemble):
    """The scenario that an ensemble was generated from.

    Raises
    ------
    ValueError
        If this version's scenario of that name is not the one that made the ensemble.
    """
    scenario = scenarios.by_name(ensemble.scenario)
    made = ensemble.manifest["scenario"]
    ours = json.loads(json.dumps(scenario.config()))
    ours, made = ours | {"grid": scenario.grid(ensemble.grid.shape)}, made | {"grid": ensemble.grid}
    changed = [key for key in ours | made if ours.get(key) != made.get(key)]
    if changed:
        raise ValueError(
            f"{ensemble.path} was made with another {ensemble.scenario}: its {changed[0]} is "
            f"{made.get(changed[0])}, here it is {ours.get(changed[0])}"
        )
    return scenario
