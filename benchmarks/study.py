"""How long `make study` takes, first and second time, and what it finds.

    python benchmarks/study.py RESULTS [PRESET]    # writes benchmarks/study-PRESET.json

Whole processes, the notebooks' kernels included; RESULTS is a folder that does not exist yet.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

HERE = Path(__file__).parent


def run(preset, results):
    start = time.monotonic()
    command = [sys.executable, "-m", "surrlab.cli", "study"]
    subprocess.run([*command, "--preset", preset, "--results", results], check=True)
    return round(time.monotonic() - start, 1)


def main(results, preset="quick"):
    Path(results).mkdir(parents=True)
    seconds = {"first": run(preset, results), "second": run(preset, results)}
    summary = json.loads((Path(results) / preset / "summary.json").read_text())
    packages = ("torch", "numpy", "numba", "zfpy", "h5py", "hdf5plugin")
    report = {"seconds": seconds, "summary": summary, "machine": machine(*packages)}
    out = HERE / f"study-{preset}.json"
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
