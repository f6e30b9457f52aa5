"""Invented ensembles in surrlab's own layout, of any grid and any numbers of times."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from surrlab.data import native
from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.data.fields import Field, Grid

GRIDS = {
    1: Grid.uniform({"x": (7, 0.0, 7.0)}),
    2: Grid.uniform({"y": (4, 0.0, 2.0), "x": (3, -1.0, 1.0)}, unit="cm"),
    3: Grid.uniform({"z": (2, 0.0, 1.0), "y": (4, 0.0, 2.0), "x": (3, 0.0, 1.0)}, unit="m"),
}
FIELDS = (Field("u", "m/s", "speed"), Field("rho", "kg/m³"))


def _write(header, run, samples, path):
    native.write_simulation(path, header, run, samples)


def write_ensemble(
    path,
    lengths=(3, 1, 5),
    grid=GRIDS[2],
    dtype="float32",
    fields=FIELDS,
    parameters=("a", "b"),
    **changes,
):
    """Write simulations 2, 12, 22 … of these numbers of times; return them and their arrays."""
    rng = np.random.default_rng(5)
    inputs = dict.fromkeys(parameters, "1") | {"time": "s"}
    header = native.Header(fields, grid, inputs, dtype, **changes)
    runs, arrays = {}, {}
    for place, n in enumerate(lengths):
        s = 10 * place + 2  # numbers of simulations are no places
        times = tuple(np.cumsum(rng.uniform(0.1, 1, n)).tolist())
        runs[s] = Run(s, tuple(rng.uniform(size=len(parameters)).tolist()), times)
        arrays[s] = rng.normal(size=(n, len(fields), *grid.shape)).astype(dtype)
    writers = {s: partial(_write, header, runs[s], arrays[s]) for s in runs}
    with ThreadPoolExecutor(1) as executor:
        made = native.build(path, header, {}, runs, writers, executor=executor, label="write")
    return made, arrays


def of_scenario(scenario, grid, parameters, samples):
    """Samples ``(T, 6, ny, nx)`` as one simulation of a benchmark, number 0, in memory."""
    return InMemoryEnsemble(
        name="samples",
        fields=scenario.fields,
        grid=grid,
        input_names=(*(p.name for p in scenario.parameters), "time"),
        input_units=(*(p.unit for p in scenario.parameters), scenario.time_unit),
        runs=(Run(0, tuple(parameters), tuple(map(float, range(len(samples))))),),
        dtype=samples.dtype.name,
        metadata={"benchmark": scenario.config()},
        arrays={0: samples},
    )
