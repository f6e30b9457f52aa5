"""Kills, flipped bits, two builders, full disks and hostile environments: `make faults`.

What is expected everywhere: identical numbers, or one sentence.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults
HERE = Path(__file__).parent

KILLS = """
import os, random, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pieces
place, rng, kills, rounds = Path(sys.argv[2]), random.Random(1), 0, 0
expected = pieces.pieces(place / "whole")  # compiles what is compiled, for all children
began = time.monotonic()
assert pieces.wait(pieces.forked(place / "timed"), 600) == 0
whole = time.monotonic() - began
while kills < 24:
    rounds += 1
    folder = place / f"killed{rounds}"
    for _ in range(4):
        child = pieces.forked(folder)
        status = pieces.wait(child, rng.uniform(0.02, 0.9) * whole)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        else:
            assert status == 0, status
            break
    child = pieces.forked(folder)
    assert pieces.wait(child, 600) == 0
    left = [p for p in folder.rglob("*") if p.suffix == ".tmp" or p.name.endswith(".lock")]
    assert not left, left
for i in range(1, rounds + 1):
    found = pieces.pieces(place / f"killed{i}")
    assert found == expected, [key for key in found if found[key] != expected[key]]
print(f"a run takes {whole:.1f} s; {kills} kills in {rounds} runs, all identical")
"""

BEFORE_RELEASE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pieces
from surrlab import _locks
folder, really, killed = Path(sys.argv[2]) / "killed", _locks._release, set()

def release(lock, file):
    if file.read_text().split()[0] == str(os.getpid()) and str(file) not in killed:
        (folder.parent / "last").write_text(str(file))
        os._exit(0)
    really(lock, file)

expected = pieces.pieces(folder.parent / "whole")
_locks._release = release
while True:
    (folder.parent / "last").write_text("")
    assert pieces.wait(pieces.forked(folder), 600) == 0
    if not (last := (folder.parent / "last").read_text()):
        break
    killed.add(last)
left = list(folder.rglob("*.lock"))
assert not left, left
assert len(killed) > 10, killed
assert pieces.pieces(folder) == expected
print(f"killed before the release of {len(killed)} locks")
"""

TWICE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pieces
place = Path(sys.argv[2])
expected = pieces.pieces(place / "alone")
for i in range(2):
    both = [pieces.forked(place / f"both{i}") for _ in range(2)]
    assert [pieces.wait(child, 600) for child in both] == [0, 0]
    assert pieces.pieces(place / f"both{i}") == expected
print("2 x 2 builders, all identical")
"""

FLIPS = """
import contextlib, io, os, random, shutil, sys
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pieces
place, rng = Path(sys.argv[2]), random.Random(2)
expected = pieces.pieces(place / "whole")
cache = Path(os.environ["XDG_CACHE_HOME"])
kinds = {}
for path in pieces.stored(place / "whole"):
    parts = path.relative_to(place / "whole").parts[:-1]
    kinds.setdefault((parts[:2], path.suffix), []).append(path)
groups, outcome = list(kinds.values()), Counter()
for i in range(208):
    path = rng.choice(groups[i % len(groups)])
    good, stat = path.read_bytes(), path.stat()
    bad = bytearray(good)
    bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    path.write_bytes(bad)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            found = pieces.pieces(place / "whole")
    except (OSError, ValueError, KeyError) as error:
        assert path.name in str(error) or path.parent.name in str(error), (path, error)
        outcome["refused"] += 1
    else:
        wrong = [key for key in found if found[key] != expected[key]]
        assert not wrong, f"SILENT: {path}: {wrong}"
        outcome["made again" if "made again" in said.getvalue() else "harmless"] += 1
    path.write_bytes(good)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
print(dict(outcome), "over", len(groups), "kinds of file")
"""


def run(program, tmp_path, seconds=1200):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(HERE), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    print(done.stdout)


def test_killed_at_any_moment_it_goes_on_to_identical_numbers(tmp_path):
    run(KILLS, tmp_path)


def test_killed_before_a_lock_is_released(tmp_path):
    run(BEFORE_RELEASE, tmp_path)


def test_every_flip_is_refused_made_again_or_harmless(tmp_path):
    run(FLIPS, tmp_path)


def test_two_studies_in_one_folder(tmp_path):
    run(TWICE, tmp_path)


# ----------------------------------------------------------------------------- the command itself


def surrlab(*arguments, limits=(), cwd=None, **environment):
    def limit():
        for which, value in limits:
            resource.setrlimit(which, (value, value))

    return subprocess.run(
        [sys.executable, "-m", "surrlab.cli", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=limit,
        cwd=cwd,
    )


NO_AFFINITY = "import os\ndel os.sched_getaffinity\n"
ENVIRONMENTS = {
    "world size empty": {"WORLD_SIZE": "", "LOCAL_WORLD_SIZE": "0", "RANK": ""},
    "slurm without srun": {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1", "SLURM_PROCID": "0"},
    "srun on the path": {"PATH": "{tmp}/bin:" + os.environ["PATH"]},
    "no home": {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent/cache"},
    "cache is a file": {"XDG_CACHE_HOME": "{tmp}/rc"},
    "numba cache nowhere": {"NUMBA_CACHE_DIR": "/nonexistent/numba"},
    "ascii": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "matplotlibrc": {"MATPLOTLIBRC": "{tmp}/rc", "MPLBACKEND": "tkagg"},
    "no affinity": {"PYTHONPATH": "{tmp}/site:" + os.environ.get("PYTHONPATH", "")},
    "threads empty": {"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "x", "COLUMNS": "1"},
    "startup": {"PYTHONSTARTUP": "{tmp}/rc", "IPYTHONDIR": "{tmp}/rc", "TERM": "dumb"},
    "numba switched off": {"NUMBA_DISABLE_JIT": "1"},
    "seeds": {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    for name in ("bin", "site"):
        (place / name).mkdir()
    (place / "rc").write_text("text.usetex: True\n")
    (place / "site" / "sitecustomize.py").write_text(NO_AFFINITY)
    (place / "bin" / "srun").write_text("#!/bin/sh\nexit 1\n")
    (place / "bin" / "srun").chmod(0o755)
    made = surrlab("simulate", place / "ensemble", "--preset", "smoke", "--simulations", 2)
    assert made.returncode == 0, made.stderr
    return place


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_hostile_environments(hostile, name, tmp_path):
    environment = {k: v.replace("{tmp}", str(hostile)) for k, v in ENVIRONMENTS[name].items()}
    command = ("simulate", tmp_path / "e", "--preset", "smoke", "--simulations", 1)
    if name in ("world size empty", "slurm without srun", "srun on the path", "no home"):
        command = ("train", hostile / "ensemble", tmp_path / "m", "--preset", "smoke")
    done = surrlab(*command, **environment)
    assert "Traceback" not in done.stderr and "arning" not in done.stderr
    assert done.returncode == 0 or len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("which", "value"), [("RLIMIT_FSIZE", 50_000), ("RLIMIT_NOFILE", 40), ("RLIMIT_NOFILE", 24)]
)
def test_scarce_disks_and_descriptors(hostile, tmp_path, which, value):
    command = ("simulate", tmp_path / "e", "--preset", "smoke", "--simulations", 2)
    done = surrlab(*command, limits=[(getattr(resource, which), value)])
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1]
        assert said.startswith("surrlab: ") and "Traceback" not in said
    done = surrlab(*command)
    assert done.returncode == 0, done.stderr
    assert not [p for p in (tmp_path / "e").iterdir() if p.suffix in (".tmp", ".lock")]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, and what makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", disk]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody may mount a file system here")
    yield disk, ["mount", "-o", "remount,size=100m", disk]
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_and_room_again(small_disk, hostile):
    disk, enlarge = small_disk
    commands = (
        ("simulate", disk / "e", "--preset", "smoke", "--simulations", 2),
        ("train", hostile / "ensemble", disk / "m", "--preset", "smoke"),
    )
    for command in commands:
        done = surrlab(*command)
        (disk / "others").write_bytes(bytes(180_000))  # a small model would fit
        said = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "No space left on device; make room, and the same command goes on" in said
    subprocess.run(enlarge, check=True)
    for command in commands:  # each sweeps what a worker of its own left that was ended
        assert surrlab(*command).returncode == 0
    assert not [p for p in disk.rglob("*") if p.suffix in (".tmp", ".lock")]


READING = "import surrlab, sys; e = surrlab.open_ensemble(sys.argv[1]); e.verify(); print(e.digest)"


def test_folders_that_only_others_may_write(hostile, tmp_path):
    """Reading needs no permission; what has to write is refused before any work."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.getuid():
        drop = []
    elif not shutil.which("setpriv"):
        pytest.skip("there is no setpriv, and this is a user who may write anywhere")
    others = shutil.copytree(hostile / "ensemble", tmp_path / "others" / "ensemble")
    for folder in (others, others.parent):
        folder.chmod(0o555)
    environment = {**os.environ, "HOME": str(others), "XDG_CACHE_HOME": str(others / "cache")}
    python = [*drop, sys.executable, "-c", READING, str(others)]
    done = subprocess.run(python, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and len(done.stdout.strip()) == 16, done.stderr
    command = [*drop, sys.executable, "-m", "surrlab.cli"]
    for arguments in (
        ("simulate", others.parent / "new", "--preset", "smoke"),
        ("train", others, others.parent / "model", "--preset", "smoke"),
    ):
        done = subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 1 and "Permission denied" in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert str(arguments[1 if arguments[0] == "simulate" else 2]) in done.stderr
    for folder in (others.parent, others):
        folder.chmod(0o755)


def test_two_commands_build_one_ensemble(tmp_path):
    command = [sys.executable, "-m", "surrlab.cli", "simulate", str(tmp_path / "e")]
    for _ in range(2):
        shutil.rmtree(tmp_path / "e", ignore_errors=True)
        both = [
            subprocess.Popen([*command, "--preset", "smoke"], stdout=-1, stderr=-1, text=True)
            for _ in range(2)
        ]
        ends = [one.communicate(timeout=300) for one in both]
        assert [one.returncode for one in both] == [0, 0], ends
        assert ends[0][0] == ends[1][0] and "10 simulations" in ends[0][0]
        assert sum("waiting for process" in err for _, err in ends) <= 1


def test_killed_commands_resume(tmp_path):
    rng = random.Random(3)
    command = [sys.executable, "-m", "surrlab.cli", "simulate", str(tmp_path / "e")]
    for _ in range(4):
        running = subprocess.Popen(
            [*command, "--preset", "smoke"], stdout=-1, stderr=-1, start_new_session=True
        )
        time.sleep(rng.uniform(0.5, 4))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert surrlab("simulate", tmp_path / "e", "--preset", "smoke").returncode == 0
    assert surrlab("simulate", tmp_path / "whole", "--preset", "smoke").returncode == 0
    for path in sorted((tmp_path / "whole").glob("*.h5")):
        assert path.read_bytes() == (tmp_path / "e" / path.name).read_bytes()


def test_no_stream_makes_the_decoder_read_beyond_its_memory(tmp_path):
    """Compiled anew with every index checked: noise and damaged streams stay inside."""
    tests = HERE.parent / "loading" / "test_zfp_decoder.py"
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = ["-m", "pytest", "-q", "-k", "noise or damaged_stream", str(tests)]
    done = subprocess.run(
        [sys.executable, *command, "--basetemp", str(tmp_path / "run")],
        env={**os.environ, **checked},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
