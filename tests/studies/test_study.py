"""The whole study on the `smoke` preset: real simulations, models, files, kernels."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import _notebook_runner, cli, compression, studies, training
from surrlab._files import write_json
from surrlab.data.open import open_ensemble
from surrlab.figures import catalogue
from surrlab.studies.models import TIMES, folder, training_times
from surrlab.studies.results import read_table

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A finished smoke study, made by the command."""
    path = tmp_path_factory.mktemp("study")
    assert cli.main(["study", "--preset", "smoke", "--results", str(path)]) == 0
    return path / "smoke"


@pytest.fixture(scope="session")
def summary(results):
    return numbers(results)


def numbers(results):
    """The summary without what a clock said."""
    text = (results / "summary.json").read_text()
    text = re.sub(r" \(about \d+ minutes?\)", "", text).replace(str(results.parent), "HERE")
    summary = json.loads(text)
    timed = ("Fig. 2", "Fig. 11", "Fig. 12")
    rows = summary["claims"]["rows"]
    summary["claims"]["rows"] = [row for row in rows if row["claim"] not in timed]
    assert 0 < summary.pop("loading")["epoch"] and summary.pop("sha256")
    return summary


def test_it_leaves_notebooks_figures_and_tables(results):
    names = sorted(p.stem for p in _notebook_runner.FOLDER.glob("[0-9]_*.ipynb"))
    assert names == [p.stem for p in sorted(results.glob("*.ipynb"))]
    assert names == [p.stem for p in sorted(results.glob("*.html"))]
    figures = {p.stem for p in (results / "figures").glob("*.png")}
    assert figures >= {"momentum_band", "generation_loss", "thresholds", "psnr", "verdict"}


def test_every_figure_is_drawn_again_from_the_tables_alone(results, tmp_path):
    """Without ensemble, models or compressed data, by another process, to the same bytes."""
    folder = tmp_path / "smoke"
    folder.mkdir()
    for table in results.glob("*.nc"):
        shutil.copy2(table, folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert cli.main(["figures", "--preset", "smoke", "--results", str(tmp_path)]) == 0
    drawn = {path.name: path.read_bytes() for path in folder.glob("figures/*.png")}
    assert drawn == {path.name: path.read_bytes() for path in results.glob("figures/*.png")}
    assert set(drawn) == {f"{name}.png" for name in catalogue.FIGURES}
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nc")} == stamps


def test_the_summary_is_what_the_files_say(results, summary):
    study = studies.open_study("smoke", results.parent)
    assert summary["ensemble"]["samples"] == 10 * 51
    scores = summary["variability"]
    assert scores["seeds"] == [0, 1, 2] and 0 < scores["sigma"]["l1"] < scores["mean"]["l1"]

    found = studies.tolerance_search(study)
    assert float((found["error"] / found["model_error"]).max()) <= 1
    raw = study.train_set.raw_nbytes
    assert summary["tolerance_search"]["payload"] == pytest.approx(raw / int(found["nbytes"].sum()))
    assert summary["tolerance_search"]["encodes_per_field"] <= 2.5

    answer = summary["answer"]
    assert [row["tolerance_factor"] for row in answer["rows"]] == [1.0, 4.0]
    assert {row["state"] for row in answer["rows"]} <= {
        *("benign", "small", "harmful", "undecided", "not trained")
    }
    assert answer["sentence"].endswith(".")
    table = xr.load_dataset(results / "verdicts.nc")
    ratios = table["ratio"].values
    assert 1 < ratios[0] < ratios[1]
    assert table["verdict"].values.tolist() == [row["state"] for row in answer["rows"]]


def test_algorithm_1_measured_independently(results):
    """Model error from the stored weights, compression error from plain HDF5, nothing of ours."""
    study = studies.open_study("smoke", results.parent)
    models = studies.raw_models(study)
    simulation = study.train_set.simulations[3]
    truth = study.train_set.read_simulation(simulation)
    inputs = study.train_set.inputs[study.train_set.of(simulation)]
    errors = [
        np.abs(training.predict(training.load(folder(study, m)), inputs) - truth) for m in models
    ]
    model_error = np.mean([e.mean(axis=(2, 3)) for e in errors], axis=0)
    data = studies.compressed(study, studies.algorithm_1(study))
    with h5py.File(data.file(simulation)) as file:
        decoded = np.stack([file[name][:] for name in study.ensemble.field_names], axis=1)
    error = np.abs(decoded.astype(float) - truth).mean(axis=(2, 3))
    assert np.all(error <= model_error * (1 + 1e-5))
    assert np.median(error / model_error) > 0.3  # and the tolerance is not needlessly small


def test_lossy_models_learned_from_the_compressed_files(results):
    study = studies.open_study("smoke", results.parent)
    trained = xr.load_dataset(results / "lossy_training.nc")
    lossy = trained.isel(model=trained["kind"].values == "lossy")
    known = studies.versions(study)
    assert set(lossy["version"].values) == set(known)
    columns = (lossy[c].values for c in ("version", "seed", "folder"))
    for version, seed, name in zip(*columns, strict=True):
        stored = training.load(results / "models" / str(name))
        digest = studies.compressed(study, known[str(version)]).digest
        assert stored.config["data"]["digest"] == digest
        assert stored.config["seeds"] == dict.fromkeys(("init", "shuffle", "kernel"), int(seed))


def test_the_notebooks_pass_nbval_and_write_nothing_again(results, tmp_path):
    def stamps():
        return {p: p.stat().st_mtime_ns for p in results.rglob("*") if p.is_file()}

    before = stamps()
    executed = sorted(map(str, results.glob("[0-9]_*.ipynb")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["--nbval-current-env", "-c", os.devnull, f"--rootdir={results}", *executed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_notebook_runner.FOLDER)
    assert done.returncode == 0, done.stdout[-3000:]
    assert stamps() == before


def test_killed_twice_it_ends_with_the_same_numbers(results, summary, tmp_path):
    """SIGKILL during training and during compression; simulation has a test of its own."""
    command = [sys.executable, "-m", "surrlab.cli", "study", "--preset", "smoke", "--results"]
    smoke = tmp_path / "smoke"
    for sign_of_progress in ("models/*/config.json", "compressed/*/*.h5"):
        child = subprocess.Popen(
            [*command, str(tmp_path)], stderr=subprocess.DEVNULL, start_new_session=True
        )
        while not list(smoke.glob(sign_of_progress)):
            assert child.poll() is None
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGKILL)  # the command, its kernel and its workers
        child.wait()
        assert not (smoke / "5_lossy_training.ipynb").exists()
    assert subprocess.run([*command, str(tmp_path)], stderr=subprocess.DEVNULL).returncode == 0
    assert numbers(smoke) == summary


def test_the_readme_s_example_runs(results, tmp_path):
    readme = (_notebook_runner.FOLDER.resolve().parent / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "results/quick").mkdir(parents=True)
    (tmp_path / "results/quick/ensemble").symlink_to(results / "ensemble")
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Ratios(payload=")


def test_an_ensemble_of_one_s_own(results, tmp_path):
    """The same models on a folder that exists, into another results folder; nothing simulated."""
    numbers = {"n_raw_models": 2, "generation_seeds": (1,)}
    study = studies.open_study("smoke", tmp_path, results / "ensemble", **numbers)
    (tmp_path / "smoke/models").symlink_to(results / "models")
    table = studies.variability_study(study)
    assert not (tmp_path / "smoke/ensemble").exists()
    made = studies.variability_study(studies.open_study("smoke", results.parent))
    assert table["folder"].values.tolist() == made["folder"].values.tolist()[:2]
    assert set(table["simulation"].values) == set(study.test_set.simulations)


def test_compress_command(results, tmp_path, capsys):
    study = studies.open_study("smoke", results.parent)
    model = folder(study, studies.raw_models(study)[0])
    arguments = [str(results / "ensemble"), str(model), str(tmp_path / "small")]
    assert cli.main(["compress", *arguments, "--factor", "0.5"]) == 0
    made = open_ensemble(tmp_path / "small")
    assert compression.ratios(made).payload > 1
    assert f"payload {compression.ratios(made).payload:.1f}×" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--preset", "enormous"], "no preset 'enormous'; there are smoke,"),
        (["study", "--preset", "smoke", "-p", "epoch", "3"], "no number called 'epoch'"),
        (["study", "--preset", "smoke", "-p", "generation_seeds", "[1]"], "two or more seeds"),
        (["study", "-p", "preset", '"smoke"'], "-p preset would mix two studies; use --preset"),
        (["study", "-p", "time", "abc"], "-p time abc: not JSON"),
        (["compress", "nowhere", "model", "out"], "nowhere does not exist"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    try:
        assert cli.main(arguments) == 1
    except SystemExit as stopped:  # by the parser
        assert stopped.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_minutes_end_a_study_between_two_looks_and_a_command_goes_on(results, tmp_path):
    def opened(**numbers):
        numbers |= {"looks": (2, 6), "first_seed": 40}  # nothing of it is trained yet
        return studies.open_study("smoke", tmp_path, results / "ensemble", **numbers)

    study = opened(budget_minutes=1004.5)
    studies.variability_study(study)
    trained = list((study.path / "models").glob("*/config.json"))  # and what an idle core began
    assert 3 <= training_times(study)["models"] == len(trained)
    # As if a model took a minute, and a thousand had been trained.
    write_json(study.path / TIMES, {"models": 1000, "seconds": 60_000.0})
    too_few = r"^1001 minutes are too few: training took 1000\.0 so far, .* needs about 4\.0 more$"
    with pytest.raises(ValueError, match=too_few):
        studies.answer(opened(budget_minutes=1001))
    found = studies.answer(study)
    on = f"to go on: {study.command}"
    assert found["state"] == "undecided"
    assert found["sentence"].endswith(f"{on} --budget-minutes 1012 (about 11 minutes).")
    assert set(read_table(study.path / "lossy_training.nc")["seed"].values) == {40, 41, 42}
    assert studies.answer(study)["sentence"] == found["sentence"]
    more = opened(budget_minutes=1020)
    further = studies.answer(more)
    assert set(read_table(study.path / "lossy_training.nc")["seed"].values) == {*range(40, 46)}
    if further["state"] == "undecided":
        on = f"to go on: {more.command}"
        assert f"{on} --seeds-max 10 --budget-minutes " in further["sentence"]


def test_extras_end_in_a_table_a_sentence_and_a_figure(results, capsys):
    names = ("equal-bytes", "convergence", "proxy")
    arguments = ["study", "--preset", "smoke", "--results", str(results.parent)]
    assert cli.main([*arguments, "--extra", ",".join(names)]) == 0
    said = capsys.readouterr().out
    summary = json.loads((results / "summary.json").read_text())
    whole, kept, fewer = summary["extra equal-bytes"]
    assert whole["MB"] > kept["MB"] >= fewer["MB"] and whole["simulations"] == 8
    assert fewer["simulations"] < 8 and fewer["L1"] > 0
    assert f"there is room for {fewer['simulations']:.0f} raw one" in " ".join(said.split())
    epochs = [row["epochs"] for row in summary["extra convergence"]]
    assert epochs == [1, 2, 4, 8]
    errors = [row["test"] for row in summary["extra convergence"]]
    assert errors[0] > errors[-1] > 0
    assert all(row["ratio"] > 1 for row in summary["extra proxy"])
    assert {"equal_bytes", "convergence"} <= {p.stem for p in (results / "figures").glob("*.png")}
    drawn, _ = catalogue.draw_all(results)
    assert drawn[-2:] == ["equal_bytes", "convergence"]


def test_versions_that_zfp_cannot_tell_apart_share_models_but_not_rows(results, tmp_path):
    numbers = {"n_raw_models": 2, "generation_seeds": (1,), "looks": (2,), "factors": (4.0, 4.5)}
    study = studies.open_study("smoke", tmp_path, results / "ensemble", **numbers)
    (tmp_path / "smoke/models").symlink_to(results / "models")
    table, _ = studies.lossy_training(study)
    lossy = table.isel(model=table["kind"].values == "lossy")
    assert set(lossy["version"].values) == {"zfp ×4", "zfp ×9/2"}
    folders = lossy["folder"].values
    same = [set(folders[lossy["version"].values == v]) for v in ("zfp ×4", "zfp ×9/2")]
    assert same[0] == same[1]
