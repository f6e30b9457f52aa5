"""How long `make study` takes, first and second time, and what it finds.

    python benchmarks/study.py RESULTS [PRESET [ARGUMENT ...]]

Writes benchmarks/study-PRESET.json; with further arguments of ``surrlab study``, such as
``--extra proxy`` or ``-p first_seed 100``, RESULTS/study-PRESET.json. Whole processes, the
notebooks' kernels included: seconds on the clock, which other work on the machine lengthens, and
processor seconds of all processes. RESULTS is a folder that does not exist yet.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

HERE = Path(__file__).parent


def run(preset, results, arguments):
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "surrlab.cli", "study"]
    subprocess.run([*command, "--preset", preset, "--results", results, *arguments], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clock": round(time.monotonic() - start, 1), "processor": round(cpu, 1)}


def main(results, preset="quick", *arguments):
    Path(results).mkdir(parents=True)
    seconds = {time: run(preset, results, arguments) for time in ("first", "second")}
    summary = json.loads((Path(results) / preset / "summary.json").read_text())
    packages = ("torch", "numpy", "numba", "zfpy", "h5py", "hdf5plugin")
    report = {
        "arguments": arguments,
        "seconds": seconds,
        "load_average_at_the_end": os.getloadavg()[1],
        "summary": summary,
        "machine": machine(*packages),
    }
    out = (Path(results) if arguments else HERE) / f"study-{preset}.json"
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
