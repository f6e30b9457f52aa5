"""How fast `surrlab.hydro` is: zone-steps a second of one core, on Rayleigh-Taylor.

A zone-step is one cell taken through one whole time step, both Runge-Kutta stages. Timed is the CPU
time of a single thread, after compilation.

    python benchmarks/hydro.py > benchmarks/hydro.json
"""

import json
import statistics
import time

from machine import machine

from surrlab.hydro import Flow
from surrlab.scenarios import RayleighTaylor

PARAMETERS = [3.0, 1.4, 5.0]
REPEATS = 7
RUNS = ((48, 16), 2.0), ((96, 32), 1.0), ((768, 256), 0.02)  # shape, end in s


def measure(shape, end):
    """Zone-steps a CPU second up to `end`: best and median of the repeats."""
    scenario = RayleighTaylor()
    grid = scenario.grid(shape)
    state = scenario.initial_state(PARAMETERS, grid)
    rates = []
    for _ in range(REPEATS):
        flow = Flow(state, grid, gamma=PARAMETERS[1], gravity=scenario.gravity)
        start = time.process_time()
        flow.advance(end)
        rates.append(flow.steps * grid.nx * grid.ny / (time.process_time() - start))
    return {
        "shape": shape,
        "steps": flow.steps,
        "zone_steps_per_s_best": round(max(rates)),
        "zone_steps_per_s_median": round(statistics.median(rates)),
    }


def main():
    scenario = RayleighTaylor()
    scenario.simulate(PARAMETERS, scenario.grid((3, 1)))  # compiles
    start = time.process_time()
    scenario.simulate(PARAMETERS, scenario.grid((48, 16)))
    simulation = time.process_time() - start
    report = {
        "parameters": PARAMETERS,
        "repeats": REPEATS,
        "simulation_48x16_cpu_s": round(simulation, 3),
        "runs": [measure(*run) for run in RUNS],
        "machine": machine("numba", "llvmlite", "numpy"),
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
