"""Compiled functions, whatever the environment says of numba."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from surrlab.compression import hdf5_filters
assert hdf5_filters.fletcher32(b"abcdef") == 0x50562A2D
print(type(hdf5_filters._fletcher32).__name__, hdf5_filters._fletcher32._cache.cache_path)
"""


def run(*command, **environment):
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def test_compiling_that_was_switched_off_for_other_code():
    done = run(sys.executable, "-c", PROGRAM, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0 and done.stdout.startswith("CPUDispatcher"), done.stderr
    done = run(sys.executable, "-c", "import numba\n" + PROGRAM, NUMBA_DISABLE_JIT="1")
    assert "ImportError: numba was imported with NUMBA_DISABLE_JIT set" in done.stderr


@pytest.mark.skipif(not shutil.which("setpriv") and os.getuid() == 0, reason="needs setpriv")
def test_a_home_and_a_package_that_nobody_may_write(tmp_path):
    """As on a cluster whose software is another user's: "no locator available" is numba's word."""
    package = shutil.copytree(
        Path(__file__).parents[1] / "surrlab",
        tmp_path / "surrlab",
        ignore=shutil.ignore_patterns("__pycache__", "_notebooks"),
    )
    here = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    for folder in (*package.rglob("*"), package, tmp_path):
        folder.chmod(0o555)
    command = [sys.executable, "-I", "-c", here + PROGRAM]
    if os.getuid() == 0:  # who may write anywhere
        drop = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
        command = ["setpriv", *drop, *command]
    done = run(*command, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    for folder in (tmp_path, package, *package.rglob("*")):
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "/surrlab-" in done.stdout and str(tmp_path) not in done.stdout
