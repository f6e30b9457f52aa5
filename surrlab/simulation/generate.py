"""Run a scenario's simulations in parallel and write them as an ensemble."""

from __future__ import annotations

import json
import os
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np

from surrlab.data import native
from surrlab.data.native import Ensemble
from surrlab.simulation.euler import NAMES, units
from surrlab.simulation.pchip_impact import PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor
from surrlab.simulation.scenario import Scenario


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
    unit_of = units(scenario.time_unit)
    header = {
        "scenario": scenario.config(),
        "fields": {name: unit_of[name] for name in NAMES},
        "inputs": {p.name: p.unit for p in scenario.parameters} | {"time": scenario.time_unit},
        "grid": {"ny": grid.ny, "nx": grid.nx, "x": grid.x, "y": grid.y},
        "times": list(map(float, scenario.times)),
    }
    rows = dict(enumerate(parameters.tolist()))
    native.build(
        path,
        header,
        {"n_simulations": n_simulations, "seed": seed},
        rows,
        {i: partial(_simulate, scenario, header, i, row) for i, row in rows.items()},
        executor=executor,
        label="simulate",
        failures=(FloatingPointError,),
    )
    return native.open(path)


def _simulate(scenario, header: dict, simulation: int, parameters: list[float], path: Path) -> None:
    grid = scenario.grid((header["grid"]["ny"], header["grid"]["nx"]))
    samples = scenario.simulate(np.array(parameters), grid)
    native.write_simulation(path, header, simulation, parameters, samples)


def scenario_of(ensemble: Ensemble):
    """The scenario that an ensemble was generated from.

    Raises
    ------
    ValueError
        If this version's scenario of that name is not the one that made the ensemble.
    """
    scenario = by_name(ensemble.scenario)
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


_SCENARIOS = {scenario.name: scenario for scenario in (RayleighTaylor, PchipImpact)}


def by_name(name: str) -> Scenario:
    """Return the scenario of that name.

    >>> by_name("rayleigh-taylor")
    RayleighTaylor()
    """
    if name not in _SCENARIOS:
        raise KeyError(f"no scenario is called {name!r}; there is {', '.join(_SCENARIOS)}")
    return _SCENARIOS[name]()
