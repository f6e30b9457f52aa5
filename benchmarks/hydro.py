"""How fast `simulation.euler` is: zone-steps per second of one core, of one material and of two.

A zone-step is one cell taken through one whole time step, both Runge-Kutta stages. Timed is the CPU
time of a single thread, after compilation.

    python benchmarks/hydro.py > benchmarks/hydro.json
"""

import json
import math
import statistics
import time

from machine import machine

from surrlab.simulation.euler import Flow
from surrlab.simulation.pchip_impact import PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor

REPEATS = 7
# Parameters; the shape of the whole simulation that is timed; and of each run, with its end.
BENCHMARKS = {
    RayleighTaylor(): (
        [3.0, 1.4, 5.0],
        (48, 16),
        [((48, 16), 2.0), ((96, 32), 1.0), ((768, 256), 0.02)],
    ),
    PchipImpact(): (
        [0.1, -0.2, 0.15, 0.05, 0.2],
        (64, 64),
        [((64, 64), 15.0), ((512, 512), 0.3)],
    ),
}


def measure(scenario, parameters, shape, end):
    """Zone-steps a CPU second up to `end`: best and median of the repeats."""
    grid = scenario.grid(shape)
    state = scenario.initial_state(parameters, grid)
    rates = []
    for _ in range(REPEATS):
        flow = Flow(state, grid, **scenario.physics(parameters))
        start = time.process_time()
        flow.advance(end)
        rates.append(flow.steps * math.prod(grid.shape) / (time.process_time() - start))
    return {
        "shape": shape,
        "steps": flow.steps,
        "zone_steps_per_s_best": round(max(rates)),
        "zone_steps_per_s_median": round(statistics.median(rates)),
    }


def report(scenario, parameters, shape, runs):
    grid = scenario.grid(shape)
    scenario.simulate(parameters, grid)  # compiles
    start = time.process_time()
    scenario.simulate(parameters, grid)
    return {
        "parameters": parameters,
        "simulation_shape": shape,
        "simulation_cpu_s": round(time.process_time() - start, 3),
        "runs": [measure(scenario, parameters, *run) for run in runs],
    }


def main():
    benchmarks = {scenario.name: report(scenario, *row) for scenario, row in BENCHMARKS.items()}
    result = {"repeats": REPEATS, **benchmarks, "machine": machine("numba", "llvmlite", "numpy")}
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
