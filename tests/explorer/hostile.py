"""An ensemble whose every name would run a script if a page took it for markup."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from surrlab.data import native
from surrlab.data.ensemble import Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import Header
from surrlab.evaluation.quantities import Quantity, register_quantity

EVIL = "\"'><img src=x onerror=alert(1)></svg></style><script>alert(2)</script>${x}$&lt;"
EVIL_FIELD = EVIL.replace("/", "\\")


def hostile_ensemble(path):
    """The folder of an ensemble of one simulation and two fields."""
    unit = EVIL.replace("{x}", "")  # a quantity's unit has place-holders of its own
    register_quantity(Quantity("evil", EVIL, unit, lambda f, p, c, g: p[EVIL_FIELD]))
    benchmark = {"name": EVIL, "quantities": ["evil"], "description": EVIL, "constants": {}}
    fields = (Field(EVIL_FIELD, EVIL, EVIL), Field(f"b{EVIL_FIELD}", EVIL, EVIL))
    grid = Grid.uniform({"y": (6, 0, 1), "x": (5, 0, 1)}, unit=EVIL)
    header = Header(fields, grid, {EVIL_FIELD: EVIL, "time": EVIL}, benchmark=benchmark)
    run = Run(0, (1.0,), (0.0, 1.0))
    samples = np.random.default_rng(0).random((2, 2, 6, 5), np.float32)

    def write(file):
        native.write_simulation(file, header, run, samples)

    with ThreadPoolExecutor(1) as pool:
        native.build(path, header, {}, {0: run}, {0: write}, executor=pool, label="write")
    return path
