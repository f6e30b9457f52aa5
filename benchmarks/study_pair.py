"""`make study` in several checkouts, one after another: what a change saves, by the clock.

    python benchmarks/study_pair.py CHECKOUT CHECKOUT ... > benchmarks/study_pair.json

Each has its `.venv` already, and loses its results and its compiled code first: what is measured is
the first run on a fresh clone. On a machine with nothing else to do; a pair takes 20 minutes.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import machine


def measure(checkout):
    """Seconds of the clock and of all processes, models trained, and the answer."""
    shutil.rmtree(checkout / "results", ignore_errors=True)
    for cache in list((checkout / "surrlab").rglob("__pycache__")):
        shutil.rmtree(cache)
    load, began = os.getloadavg()[0], time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["make", "study"], cwd=checkout, check=True, stdout=sys.stderr)
    clock, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    results = checkout / "results/quick"
    trained = json.loads((results / "training_times.json").read_text())
    return {
        "commit": subprocess.check_output(
            ["git", "describe", "--always"], cwd=checkout, text=True
        ).strip(),
        "clock": round(clock, 1),
        "processor": round(processor, 1),
        "models": trained["models"],
        "training_clock": round(trained["seconds"], 1),
        "sentence": json.loads((results / "summary.json").read_text())["answer"]["sentence"],
        "load_before_and_after": [round(load, 2), round(os.getloadavg()[0], 2)],
    }


def main(*checkouts):
    rows = [measure(Path(checkout).absolute()) for checkout in checkouts]
    report = {"runs": rows, "machine": machine("torch", "numpy", "numba", "zfpy", "h5py")}
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
