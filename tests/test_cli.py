"""The command line: what it refuses before any work, where it runs, and how it ends."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import surrlab
from surrlab import _commands, _parallel, _parser, cli
from surrlab import _notebook_runner as notebooks
from surrlab._files import write_json

SURRLAB = [sys.executable, "-m", "surrlab.cli"]
COMMANDS = [
    "presets",
    "study",
    "figures",
    "explore",
    "verdict",
    "simulate",
    "train",
    "compress",
    "card",
    "certificate",
    "export",
    "race",
    "bench",
]


def surrlab_command(*arguments, **environment):
    return subprocess.run(
        [*SURRLAB, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_alone_it_prints_help(capsys):
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"    {name}" in said for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0 and "usage: surrlab" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"surrlab {surrlab.__version__}\n"


def test_a_fresh_clone_says_what_to_run_before_it_is_explored(tmp_path, monkeypatch, capsys):
    pytest.importorskip("papermill")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["explore"]) == 1
    said = capsys.readouterr().err
    assert "there is no results/quick to look at: run `surrlab study` first" in said
    assert said.count("\n") == 1


def test_presets_are_listed_with_size_and_minutes(capsys):
    assert cli.main(["presets"]) == 0
    said = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in said[1:]}
    assert list(rows)[:3] == ["smoke", "smoke-pchip", "quick"]
    # 64 simulations x 51 times x 6 fields x 48 x 16 cells x 4 bytes
    assert "48 × 16" in rows["quick"] and " 60 MB " in rows["quick"]
    assert float(rows["quick"].split()[-1]) > 0
    assert rows["paper-rt"].endswith("days on GPUs") and "481 GB" in rows["paper-rt"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a folder and a file in it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("study --timeout 0", "--timeout: must be a whole number of 1 or more, not 0"),
        ("study --timeout soon", "must be a whole number of 1 or more, not soon"),
        ("study --seeds-max -1", "must be a whole number of 0 or more, not -1"),
        ("study --results no/such/place", "there is no folder no/such to make it in"),
        ("study --results file", "file is not a folder"),
        ("study --ensemble folder", "folder is not an ensemble"),
        ("study --ensemble nowhere", "nowhere does not exist"),
        ("study --preset quikc", "there is no preset 'quikc'; there are smoke"),
        ("study -p simulation three", "-p simulation three: not JSON"),
        ("study -p results 3", "-p results would mix two studies; use --results"),
        ("study -p simulaton 3", "a study has no number called 'simulaton'; it has"),
        ("study -p settings {}", "-p takes each setting by its own name"),
        ("study -p epochs 0", "epochs must be positive, not 0"),
        ("study -p looks [5,3]", "looks must increase, not be (5, 3)"),
        ("study -p factors [0]", "tolerance factors are above 0"),
        ("study -p rule 4", "rule must be a text, not 4"),
        ('study -p rule "odd"', "rule is one of"),
        ('study -p epochs "3"', "epochs must be a whole number of 0 or more, not '3'"),
        ("study -p epochs 1e400", "epochs must be a whole number of 0 or more, not inf"),
        ("study -p looks 3", "looks must be a list, each a whole number of 0 or more, not 3"),
        ("study -p seed -1", "seed must be a whole number of 0 or more, not -1"),
        ('study -p learning_rate "fast"', "learning_rate must be a finite number, not 'fast'"),
        ("study -p batch_size 0", "batch_size must be positive, not 0"),
        ("study -p shape [0,8]", "rayleigh-taylor needs a shape (3n, n), not (0, 8)"),
        ('study -p network "nonsense"', "no network is called 'nonsense'; there are"),
        ("study --network no.such:module", "network 'no.such:module' cannot be imported"),
        ('study -p network ["generator",{"start":[5,5]}]', "is not 5 x 5 doubled"),
        ("study -p n_simulations 0", "leaves 0 of 0 simulations for testing"),
        ("study -p test_fraction 2", "leaves 128 of 64 simulations for testing"),
        ("study -p n_test_simulations -1", "n_test_simulations must be a whole number of 0 or"),
        ("figures --results nowhere", "nowhere does not exist"),
        ("figures --results folder --preset quick", "folder/quick holds no table"),
        ("simulate new --simulations 0", "must be a whole number of 1 or more, not 0"),
        ("simulate new --simulations -3", "must be a whole number of 1 or more, not -3"),
        ("simulate new --preset quikc", "there is no preset 'quikc'"),
        ("simulate no/such/place", "there is no folder no/such to make it in"),
        ("train nowhere model", "nowhere does not exist"),
        ("train folder no/such/place", "there is no folder no/such to make it in"),
        ("train folder file", "file is not a folder"),
        ("train folder model --seed -1", "must be a whole number from 0 to 4294967295, not -1"),
        (f"train folder model --seed {10**30}", "must be a whole number from 0 to 4294967295"),
        ("train folder model --devices abc", "must be their number, indices like 0,1 or auto"),
        ("train folder model --devices 0", "must be their number, indices like 0,1 or auto"),
        ("train folder model --num-nodes 0", "must be a whole number of 1 or more, not 0"),
        ("train folder model --threads 0", "must be a whole number of 1 or more, not 0"),
        ("train folder model", "folder is not an ensemble"),
        ("compress folder folder new --factor 1e300", "must be a number from 1e-06 to 1e+06"),
        ("compress folder folder new --factor 0", "must be a number from 1e-06 to 1e+06, not 0"),
        ("compress folder folder new --factor nan", "must be a number from 1e-06 to 1e+06"),
        ("compress folder nowhere new", "nowhere does not exist"),
        ("compress folder folder new --keep mass,,x", "must be names such as a,b, each of them"),
        ("compress folder folder", "name a model or --errors, and the folder of the compressed"),
        ("compress folder folder new --errors file", "name a model or --errors, and the folder"),
        ("compress folder new --errors nowhere", "nowhere does not exist"),
        ("compress folder no/such/place --errors file", "there is no folder no/such to make it in"),
        ("compress folder new --errors file", "folder is not an ensemble"),
        ("study --trainer train", "the trainer 'train' needs {data} among its arguments"),
        ("study --quantities", "expected at least one argument"),
        ("study --minutes 0", "must be a number from 0.001 to 1e+06, not 0"),
        ("study --minutes 3", "minutes choose the epochs of an ensemble without a preset"),
        ("bench folder --processes 0", "must be a whole number of 1 or more, not 0"),
        ("bench folder --bandwidth -1", "must be a number of 0 or more, not -1"),
        ("bench folder --latency inf", "must be a number of 0 or more, not inf"),
        ("bench folder nowhere", "nowhere does not exist"),
        ("verdict file nowhere", "file is no readable CSV file"),
        ("exlpore", "invalid choice: 'exlpore'"),
    ],
)
def test_refused_in_one_sentence_before_any_work(place, capsys, line, sentence):
    before = sorted(place.rglob("*"))
    try:
        code = cli.main(line.split())
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert code in (1, 2) and not said.out
    assert said.err.startswith("surrlab") and sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def runs(monkeypatch, place):
    """What `surrlab study` would run, with a summary of a study that has ended."""
    done = []

    def run(notebook, output, parameters, *, timeout, kernel=None):
        done.append((notebook, output, parameters, timeout))
        output.parent.mkdir(parents=True, exist_ok=True)
        row = {"stored_at": "1/21", "on_disk": "1/10", "noticed": "no", "because": "it is not"}
        answer = {"sentence": "Store it at 1/21.", "rows": [row]}
        loading = {"sentence": "It pays."}
        write_json(output.parent / "summary.json", {"answer": answer, "loading": loading})

    monkeypatch.setattr(notebooks, "run", run)
    return done


def test_study_runs_the_notebooks_in_order(runs, capsys, ensemble):
    arguments = ["--seeds-max", "20", "-p", "looks", "[2, 4]", "-p", "simulation", "1"]
    assert cli.main(["study", "--preset", "smoke", "--ensemble", ensemble.name, *arguments]) == 0
    stems = [notebook.stem for notebook, *_ in runs]
    assert stems == sorted(stems) and stems[0] == "1_ensemble" and "explore" not in stems
    here = Path.cwd()
    for notebook, output, parameters, timeout in runs:
        assert output == here / "results" / "smoke" / notebook.name and timeout == 3600
        assert parameters["preset"] == "smoke" and parameters["results"] == str(here / "results")
        assert parameters["ensemble"] == ensemble.name
        assert parameters["settings"] == {"looks": [2, 4], "seeds_max": 20}
        assert parameters.keys() <= set(notebooks.parameters(notebook))
    assert [p["simulation"] for *_, p, _ in runs if "simulation" in p] == [1] * sum(
        "simulation" in notebooks.parameters(notebook) for notebook, *_ in runs
    )
    said = capsys.readouterr().out
    assert "Store it at 1/21." in said and "1/21       1/10     no" in said and "it is not" in said


def test_bench_runs_the_sixth(runs, capsys, ensemble):
    line = ["bench", ensemble.name, "folder", "--bandwidth", "100", "--processes", "1"]
    assert cli.main([*line, "--preset", "smoke"]) == 0
    ((notebook, output, parameters, timeout),) = runs
    assert notebook.stem == "6_loading" and output.parent == Path.cwd() / "results/bench/smoke"
    assert parameters["bandwidth"] == 100.0 and parameters["processes"] == [1]
    assert parameters["compressed"] == [str(Path.cwd() / "folder")] and timeout == 86_400
    assert "It pays." in capsys.readouterr().out


def test_notebooks_are_part_of_the_package():
    assert _commands._notebooks("[0-9]_*.ipynb")[0].name == "1_ensemble.ipynb"
    with pytest.raises(FileNotFoundError, match="holds no notebooks: install surrlab again"):
        _commands._notebooks("none")


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "", "LOCAL_WORLD_SIZE": "0"},
        {"WORLD_SIZE": "0", "LOCAL_WORLD_SIZE": "many"},
        {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1", "SLURM_PROCID": "0"},
        {"COLUMNS": "1", "TERM": "dumb"},
        {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda environment: "-".join(environment),
)
def test_help_in_hostile_environments(environment):
    done = surrlab_command("train", "--help", **environment)
    assert done.returncode == 0 and "--devices" in done.stdout and not done.stderr


def test_a_terminal_that_knows_ascii_only():
    done = surrlab_command("presets", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and not done.stderr
    assert "48 x 16" in done.stdout and "<= " in done.stdout


def test_devices_and_machines_of_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    args = _parser.parser().parse_args(["train", "/", "/tmp/model"])
    assert (args.devices, args.num_nodes, args.strategy) == (4, 2, "ddp")
    args = _parser.parser().parse_args(["train", "/", "/tmp/model", "--devices", "0,1"])
    assert args.devices == "0,1"


@pytest.mark.parametrize("said", ["", "Unable to allocate 9.3 TiB for an array"])
def test_memory_that_runs_out_is_one_sentence(monkeypatch, capsys, said):
    def presets(args):
        raise MemoryError(*[said] * bool(said))

    monkeypatch.setattr(_commands, "presets", presets)
    assert cli.main(["presets"]) == 1
    expected = said or "there is not enough memory"
    assert capsys.readouterr().err == f"surrlab: {expected}; what was done is kept\n"


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(RuntimeError, match=r"work: a worker died 3 times \(out of memory"):
        list(_parallel.run([(_killed, ())], label="work", total=1))


def _killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def waiting(tmp_path):
    """A program that runs `surrlab presets`, which starts a child and waits."""
    program = tmp_path / "waiting.py"
    program.write_text("""
import subprocess, sys, time
from surrlab import _commands, _parallel, cli

def presets(args):
    child = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", child])
    print("started", flush=True)
    time.sleep(60)

_commands.presets = presets
sys.exit(cli.main(["presets"]))
""")
    return [sys.executable, str(program)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_in_a_sentence_with_its_children(waiting, number, code):
    process = subprocess.Popen(
        waiting, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "started\n"
    children = psutil.Process(process.pid).children()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert said == "surrlab: stopped; the same command goes on from here\n"
    assert children and not any(child.is_running() for child in children)


def test_ctrl_c_on_a_terminal(tmp_path):
    """All processes of the terminal get it: the command's own and its pool's."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*SURRLAB, "simulate", str(tmp_path / "ensemble"), "--preset", "quick"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: take_terminal(),
    )
    os.close(follower)
    while not [*tmp_path.glob("ensemble/*.h5")]:  # the pool is at work
        assert process.poll() is None, read(leader)
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.write(leader, b"\x03")
    after = b""
    while chunk := read(leader):
        after += chunk
    assert process.wait(timeout=10) == 130
    lines = [line for line in after.decode().splitlines() if line.strip()]
    assert lines[-1].endswith("surrlab: stopped; the same command goes on from here")
    assert len(lines) <= 5 and b"Traceback" not in after
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read(leader):
    try:
        return os.read(leader, 4096)
    except OSError:  # how a terminal says that nobody is left
        return b""


def test_compress_to_the_errors_of_anybody_s_model(ensemble, tmp_path, capsys):
    """A table of errors by time, as a script of somebody's wrote it; each bound is kept."""
    rows = ["simulation,time,density,velocity_x,velocity_y,pressure,energy,material"]
    for s, t in zip(ensemble.samples.simulation, ensemble.samples.time, strict=True):
        rows.append(f"{s},{t:.5g},0.01,0.02,0.02,0.05,0.05,0.01")
    (tmp_path / "errors.csv").write_text("\n".join(rows))
    out, source = tmp_path / "small", str(ensemble.path)
    line = ["compress", source, str(out), "--errors", str(tmp_path / "errors.csv")]
    assert cli.main([*line, "--factor", "0.5"]) == 0
    assert "payload" in capsys.readouterr().out
    made = surrlab.open_ensemble(out)
    for s in ensemble.simulations[:2]:
        error = abs(made.read_simulation(s).astype(float) - ensemble.read_simulation(s))
        assert (error.mean((2, 3)) <= [0.005, 0.01, 0.01, 0.025, 0.025, 0.005]).all()
        assert error.max() > 0
