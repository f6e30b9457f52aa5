"""Executors by name: they run jobs, also those whose worker dies, and refuse in one sentence."""

import os
import signal
from pathlib import Path

import dying
import pytest

import surrlab
from surrlab import _executors, _notebook_runner, _parallel, cli, studies
from surrlab._executors import NamedExecutor, named
from surrlab.data import native
from surrlab.simulation.rayleigh_taylor import RayleighTaylor
from surrlab.studies.models import folder, train_models

HERE = Path(__file__).parent
SMALL = {"n_raw_models": 2, "generation_seeds": [1], "epochs": 1, "test_fraction": 0.4}


@pytest.fixture(autouse=True)
def importable(monkeypatch, tmp_path):
    """Workers and kernels, too, find what tests import."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))


@pytest.fixture(params=["local", "executorlib:SingleNodeExecutor", "dask"])
def name(request, tmp_path):
    if request.param == "local":
        yield request.param
    elif request.param != "dask":
        pytest.importorskip("executorlib")
        yield request.param
    else:
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=tmp_path / "dask",
        ) as cluster:
            yield f"dask:{cluster.scheduler_address}"


def calls():
    """Processes that `dying.Counting` was called in, a line for each call."""
    file = Path(os.environ["CALLS"])
    return file.read_text().split() if file.exists() else []


def run(executor, *jobs, **options):
    return list(_parallel.run(list(jobs), executor=executor, label="test", **options))


def squares(numbers):
    return [(dying.square, (number,)) for number in numbers]


def test_a_job_whose_worker_dies_is_run_again(name, tmp_path):
    executor = NamedExecutor(name, {"workers": 2})
    found = run(executor, *squares([2, 3]), (dying.die_once, (tmp_path / "marker",)))
    assert sorted(map(str, found)) == ["4", "9", "survived"]
    assert run(executor, *squares([5])) == [25]  # opened again


def test_a_job_that_always_dies_ends_with_a_sentence(capsys):
    with pytest.raises(RuntimeError, match=r"test: a worker died 3 times .* goes on from here"):
        run(NamedExecutor("local"), (dying.die, ()))
    assert capsys.readouterr().err.count("a worker died; its job is run again") == 2


def test_an_error_of_a_job_is_not_tried_again():
    with pytest.raises(TypeError):
        run(NamedExecutor("dying:Counting"), (dying.square, ("x",)))
    assert len(calls()) == 1


def test_jobs_share_calls_where_each_call_starts_a_process():
    executor = NamedExecutor("dying:Counting", {"workers": 2})
    executor.starts_slowly = True  # as Slurm and Flux do
    assert sorted(run(executor, *squares(range(5)))) == [0, 1, 4, 9, 16]
    assert len(calls()) == 2
    assert sorted(run(executor, *squares(range(5)), long=True)) == [0, 1, 4, 9, 16]
    assert len(calls()) == 2 + 5


def test_a_file_that_is_there_is_not_written_again(tmp_path):
    for suffix in (".h5", native.FAILED):
        (tmp_path / f"x{suffix}").touch()
        native._write(pytest.fail, tmp_path / "x.h5", ())
        (tmp_path / f"x{suffix}").unlink()


def test_models_are_those_of_this_machine_though_a_worker_dies(name, ensemble, tmp_path):
    dying.compare_with_here(name, ensemble, tmp_path)
    assert len(calls()) == 2


def test_an_interrupted_study_goes_on(ensemble, tmp_path):
    def opened():
        given = ("smoke", tmp_path, ensemble.path)
        return studies.open_study(*given, executor="dying:Counting", **SMALL)

    study = opened()
    train_models(study, studies.raw_models(study, [0]), "train")
    for _ in range(2):
        train_models(opened(), studies.raw_models(study, [0, 1]), "train")
    assert len(calls()) == 2


def test_ctrl_c_is_not_for_workers():
    """All processes of a terminal get it; the one that waits for them ends them, and says so."""
    pool = NamedExecutor("local")
    assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
    pool.shutdown()


@pytest.mark.parametrize(("executor", "seeds"), [("local", [0, 1]), ("dying:Counting", [0])])
def test_a_worker_of_this_machine_that_would_be_idle_takes_what_is_likely(
    executor, seeds, ensemble, tmp_path
):
    given = {"executor": executor, "resources": {"workers": 2}, **SMALL}
    study = studies.open_study("smoke", tmp_path, ensemble.path, **given)
    for _ in range(2):  # the second time nobody is busy, so nobody is idle
        train_models(
            study, studies.raw_models(study, [0]), "train", studies.raw_models(study, [1, 2])
        )
    trained = sorted(path.parent for path in (study.path / "models").glob("*/config.json"))
    assert trained == sorted(folder(study, one) for one in studies.raw_models(study, seeds))


def test_a_student_takes_the_core_that_would_wait_for_the_last_raw_model(ensemble, tmp_path):
    given = {"executor": "local", "resources": {"workers": 2}, **SMALL, "n_raw_models": 2}
    study = studies.open_study("smoke", tmp_path, ensemble.path, **given)
    teacher, _ = studies.raw_models(study)
    train_models(study, [teacher], "train")
    studies.variability_study(study)
    found = {path.parent.name for path in (study.path / "models").glob("*/config.json")}
    table = studies.generation_loss(study)
    students = table["folder"].values[table["kind"].values == "generated"]
    assert len(found) == 3 and len(found & set(students)) == 1
    assert len(students) == len(study.config.student_seeds)


def test_notebooks_make_executors_of_their_own(tmp_path):
    settings = {"executor": "dying:Counting", "resources": {"workers": 3}, "n_simulations": 3}
    settings |= {"n_test_simulations": 1}
    _notebook_runner.run(
        _notebook_runner.FOLDER / "1_ensemble.ipynb",
        tmp_path / "1_ensemble.ipynb",
        {"preset": "smoke", "results": str(tmp_path), "settings": settings},
        timeout=300,
    )
    assert len(calls()) == 4 and len(set(calls())) == 1 and str(os.getpid()) not in calls()


def test_commands_take_it(tmp_path):
    arguments = ["simulate", str(tmp_path / "e"), "--preset", "smoke", "--simulations", "2"]
    assert cli.main([*arguments, "--executor", "dying:Counting", "--resources", "workers=1"]) == 0
    assert len(calls()) == 2


def test_the_command_that_goes_on_names_it(tmp_path):
    resources = {"workers": 3, "cores": 2}
    study = studies.open_study("smoke", tmp_path, executor="local", resources=resources)
    assert study.command.endswith(" --executor local --resources workers=3,cores=2")


@pytest.mark.parametrize(
    ("name", "resources", "error", "message"),
    [
        ("cloud", {}, ValueError, r"there is no executor 'cloud'; it is local, dask:ADDRESS"),
        ("dask", {}, ValueError, "there is no executor 'dask'"),
        (":made", {}, ValueError, "there is no executor ':made'"),
        ("nowhere:made", {}, ValueError, "nowhere:made cannot be made: No module named 'nowhere'"),
        ("dying:made", {}, ValueError, "dying:made cannot be made: .* no attribute 'made'"),
        ("dying:Counting", {"gpus": 1}, ValueError, "cannot be made: .* argument 'gpus'"),
        ("os:getcwd", {}, ValueError, "os:getcwd returned '.*', not a concurrent.futures.Executor"),
        ("local", {"minutes": 9}, ValueError, "executor local takes cores, workers, not minutes"),
        ("slurm", {"memory": 9}, ValueError, "takes cores, gpus, minutes, workers, not memory"),
        ("local", {"cores": 0}, ValueError, "cores of executor local is a positive number, not 0"),
        ("local", {"cores": "2"}, ValueError, "cores of executor local is a positive number"),
        ("", {"cores": 2}, ValueError, "resources are for an executor that is named: local"),
    ],
)
def test_what_is_wrong_is_refused(name, resources, error, message):
    with pytest.raises(error, match=message):
        named(name, resources)


def test_an_address_that_does_not_answer_is_refused(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(_executors, "SECONDS", 1)
    with pytest.raises(OSError, match=r"connect to tcp://127.0.0.1:9"):
        NamedExecutor("dask:tcp://127.0.0.1:9")


def test_a_scheduler_that_is_not_there_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("executorlib")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="sinfo is not on this machine's PATH"):
        NamedExecutor("slurm")
    (tmp_path / "sinfo").write_text("#!/bin/sh\necho no controller >&2\nexit 1\n")
    (tmp_path / "sinfo").chmod(0o755)
    with pytest.raises(OSError, match="sinfo gets no answer from its scheduler: no controller"):
        NamedExecutor("slurm")
    (tmp_path / "sinfo").write_text("#!/bin/sh\necho retrying >&2\nexec /bin/sleep 60\n")
    monkeypatch.setattr(_executors, "SECONDS", 1)
    with pytest.raises(OSError, match="sinfo gets no answer within 1 s"):
        NamedExecutor("slurm")


@pytest.mark.parametrize(
    ("name", "package"),
    [("slurm", "executorlib"), ("flux", "executorlib"), ("dask:x", "distributed")],
)
def test_what_is_not_installed_is_said(name, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    message = rf"surrlab needs {package}: pip install 'surrlab\[cluster\]'"
    with pytest.raises(ImportError, match=message):
        NamedExecutor(name)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--executor", "cloud"], 1, "surrlab: there is no executor 'cloud'"),
        (["--resources", "cores"], 2, "must be numbers such as cores=4,minutes=60, not cores"),
        (["--resources", "cores=2"], 1, "surrlab: resources are for an executor that is named"),
    ],
)
@pytest.mark.parametrize("command", ["study", "simulate"])
def test_commands_refuse_before_any_work(command, arguments, code, message, tmp_path, capsys):
    where = ["--results", str(tmp_path / "r")] if command == "study" else [str(tmp_path / "r")]
    try:
        assert cli.main([command, "--preset", "smoke", *where, *arguments]) == code
    except SystemExit as stop:
        assert stop.code == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.h5"))


def test_objects_are_taken_as_before(tmp_path):
    with dying.Counting() as executor:
        surrlab.generate(
            RayleighTaylor(),
            tmp_path / "e",
            n_simulations=1,
            shape=(24, 8),
            seed=1,
            executor=executor,
        )
        assert named(executor, None) is executor and named("", None) is None
    plain = type("Plain", (), {"submit": None})()  # no subclass of concurrent.futures' own
    assert named(plain, None) is plain
    assert len(calls()) == 1
