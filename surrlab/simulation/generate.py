"""Run a scenario's simulations in parallel and write them as an ensemble."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from surrlab.data import native
from surrlab.data.ensemble import Ensemble, Run
from surrlab.data.native import Header
from surrlab.simulation.scenario import Scenario


def generate(
    scenario: Scenario,
    path: str | os.PathLike,
    *,
    n_simulations: int,
    shape: tuple[int, ...],
    seed: int,
    executor: Executor | None = None,
) -> Ensemble:
    """Run a scenario's simulations in parallel and write them as an ensemble.

    A killed run goes on where it stopped: finished simulations are kept. One that fails with a
    FloatingPointError is left out: `Ensemble.failed` says where it went wrong.

    Parameters
    ----------
    scenario : Scenario
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
        Where the simulations run: by default one process per core; a Dask cluster's
        ``client.get_executor()`` or mpi4py's where one machine is too small.

    Raises
    ------
    FileExistsError
        If the folder holds anything but this very ensemble, or a part of it.
    RuntimeError
        If every simulation failed.
    ValueError
        If no simulation is asked for, or the scenario has no such grid.
    """
    if n_simulations < 1:
        raise ValueError(f"an ensemble needs one simulation or more, not {n_simulations}")
    inputs = {p.name: p.unit for p in scenario.parameters} | {"time": scenario.time_unit}
    header = Header(scenario.fields, scenario.grid(shape), inputs, benchmark=scenario.config())
    times = tuple(map(float, scenario.times))
    parameters = scenario.sample(n_simulations, seed=seed).tolist()
    runs = {i: Run(i, tuple(row), times) for i, row in enumerate(parameters)}
    return native.build(
        path,
        header,
        {"n_simulations": n_simulations, "seed": seed, "times": list(times)},
        runs,
        {i: partial(_simulate, scenario, header, run) for i, run in runs.items()},
        executor=executor,
        label="simulate",
        failures=(FloatingPointError,),
    )


def _simulate(scenario: Scenario, header: Header, run: Run, path: Path) -> None:
    samples = scenario.simulate(run.parameters, header.grid)
    native.write_simulation(path, header, run, samples)
