"""On what a number was measured: goes beside every result in this folder."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine(*packages):
    """Processor, cores and versions of Python, surrlab and the packages that matter."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("surrlab", *packages)},
        },
    }
