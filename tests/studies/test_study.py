"""The whole study on the `smoke` preset: real simulations, models, files, kernels."""

import dataclasses
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

from surrlab import cli, compression, studies, training
from surrlab.data import native
from surrlab.figures import catalogue
from surrlab.studies import presets

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
    summary = json.loads((results / "summary.json").read_text())
    assert 0 < summary.pop("loading")["epoch"]
    return summary


def test_it_leaves_notebooks_figures_and_tables(results):
    names = sorted(p.stem for p in cli.NOTEBOOKS.glob("[0-9]_*.ipynb"))
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
    assert set(drawn) == {f"{name}.png" for name in catalogue.PLATES}
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nc")} == stamps


def test_the_summary_is_what_the_files_say(results, summary):
    study = studies.open_study(presets.get("smoke"), results)
    assert summary["ensemble"]["samples"] == 10 * 51
    scores = summary["variability"]
    assert scores["seeds"] == [0, 1, 2] and 0 < scores["sigma"]["l1"] < scores["mean"]["l1"]

    found = studies.tolerance_search(study)
    assert float((found["error"] / found["model_error"]).max()) <= 1
    raw = study.train_set.raw_nbytes
    assert summary["tolerance_search"]["payload"] == pytest.approx(raw / int(found["nbytes"].sum()))
    assert summary["tolerance_search"]["encodes_per_field"] <= 2.5

    levels = summary["lossy_training"]["verdicts"]
    assert [row["level"] for row in levels] == [1.0, 4.0]
    assert 1 < levels[0]["payload"] < levels[1]["payload"]
    assert {row["state"] for row in levels} <= {"benign", "harmful", "inconclusive"}


def test_algorithm_1_measured_independently(results):
    """Model error from the stored weights, compression error from plain HDF5, nothing of ours."""
    study = studies.open_study(presets.get("smoke"), results)
    models = studies.raw_models(study)
    simulation = study.train_set.simulations[3]
    truth, inputs = study.train_set.read(simulation), study.train_set.inputs[3]
    errors = [
        np.abs(training.predict(training.load(study.folder(m)), inputs) - truth) for m in models
    ]
    model_error = np.mean([e.mean(axis=(2, 3)) for e in errors], axis=0)
    with h5py.File(studies.compressed(study, 1.0).file(simulation)) as file:
        decoded = np.stack([file[name][:] for name in study.ensemble.fields], axis=1)
    error = np.abs(decoded.astype(float) - truth).mean(axis=(2, 3))
    assert np.all(error <= model_error * (1 + 1e-5))
    assert np.median(error / model_error) > 0.3  # and the tolerance is not needlessly small


def test_lossy_models_learned_from_the_compressed_files(results):
    study = studies.open_study(presets.get("smoke"), results)
    for model in studies.lossy_models(study):
        stored = training.load(study.folder(model))
        assert stored.config["data"]["digest"] == studies.compressed(study, model.level).digest
        assert stored.config["seeds"] == dict.fromkeys(("init", "shuffle", "kernel"), model.seed)


def test_the_notebooks_pass_nbval_and_compute_nothing_again(results, tmp_path):
    def stamps():
        made = [*results.glob("models/*/*"), *results.glob("ensemble/*"), *results.glob("**/*.h5")]
        return {p: p.stat().st_mtime_ns for p in made}

    before = stamps()
    executed = sorted(map(str, results.glob("[0-9]_*.ipynb")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["--nbval-current-env", "-c", os.devnull, f"--rootdir={results}", *executed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cli.NOTEBOOKS)
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
    readme = (cli.NOTEBOOKS.parent / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "results/quick").mkdir(parents=True)
    (tmp_path / "results/quick/ensemble").symlink_to(results / "ensemble")
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Ratios(payload=")


def test_an_ensemble_of_one_s_own(results, tmp_path):
    """The same models and the same scores on a folder that exists, into another results folder."""
    smoke = dataclasses.replace(presets.get("smoke"), raw_seeds=(0, 1), lossy_seeds=(0, 1))
    study = studies.open_study(smoke, tmp_path, str(results / "ensemble"))
    table = studies.variability_study(study)
    assert not (tmp_path / "ensemble").exists()
    made = studies.variability_study(studies.open_study(presets.get("smoke"), results))
    xr.testing.assert_equal(table["l1"], made["l1"].isel(model=slice(2)))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("base_pressure", 3.0, r"its base_pressure is 3\.0, here it is 10\.0"),
        ("solver", 0, "its solver is 0, here it is"),
        ("viscosity", 0.1, r"its viscosity is 0\.1, here it is None"),
    ],
)
def test_an_ensemble_of_another_benchmark_is_refused_before_any_training(
    results, tmp_path, key, value, message
):
    copy = shutil.copytree(results / "ensemble", tmp_path / "copy")
    manifest = json.loads((copy / "ensemble.json").read_text())
    manifest["scenario"][key] = value
    (copy / "ensemble.json").write_text(json.dumps(manifest))
    study = studies.open_study(presets.get("smoke"), tmp_path / "results", str(copy))
    with pytest.raises(ValueError, match=message):
        studies.variability_study(study)
    assert not (tmp_path / "results" / "models").exists()


def test_a_simulation_that_is_not_there_is_said_before_any_training(results):
    study = studies.open_study(presets.get("smoke"), results)
    assert study.simulation(study.test_set, 1) == study.test_set.simulations[1]
    with pytest.raises(IndexError, match="no simulation at place 2: of 10 simulations this side"):
        study.simulation(study.test_set, 2)


def test_another_split_or_seed_never_meets_stale_tables(results, tmp_path):
    source, smoke = str(results / "ensemble"), presets.get("smoke")
    studied = [
        studies.open_study(dataclasses.replace(smoke, **changes), tmp_path, source)
        for changes in ({}, {"test_fraction": 0.4}, {"seed": 5})
    ]
    scales = {tuple(study.field_statistics["scale"].values) for study in studied}
    assert len(scales) == 3
    assert len({study.judgement(studies.raw_models(study)[0]) for study in studied}) == 3
    study = studied[0]
    made = []

    def compute(value):
        made.append(value)
        return xr.Dataset({"v": value})

    for key, value in [("a", 1), ("a", 2), ("b", 3)]:
        table = study.table("t", key, lambda value=value: compute(value))
    assert made == [1, 3] and int(table["v"]) == 3


def test_compress_command(results, tmp_path, capsys):
    study = studies.open_study(presets.get("smoke"), results)
    model = study.folder(studies.raw_models(study)[0])
    arguments = [str(results / "ensemble"), str(model), str(tmp_path / "small")]
    assert cli.main(["compress", *arguments, "--factor", "0.5"]) == 0
    made = native.open(tmp_path / "small")
    assert compression.ratios(made).payload > 1
    assert f"payload {compression.ratios(made).payload:.1f}x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--preset", "enormous"], "no preset 'enormous'; there are smoke,"),
        (["study", "--preset", "smoke", "-p", "epoch", "3"], "no notebook has a parameter 'epoch'"),
        (["study", "-p", "preset", '"smoke"'], "-p preset would mix two studies; use --preset"),
        (["study", "-p", "time", "abc"], "-p time abc: not JSON"),
        (["compress", "nowhere", "model", "out"], "nowhere is not an ensemble"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_seeds_that_cannot_give_a_verdict_are_refused():
    with pytest.raises(ValueError, match=r"two or more lossy seeds, not \(0,\)"):
        dataclasses.replace(presets.get("smoke"), lossy_seeds=(0,))
    with pytest.raises(ValueError, match="lossy_seeds holds 9"):
        dataclasses.replace(presets.get("smoke"), lossy_seeds=(0, 9))


@pytest.mark.parametrize(
    "wrong",
    [{"raw_seeds": (0, 0, 1)}, {"generation_seeds": ()}, {"levels": ()}, {"levels": (1.0, -2.0)}],
)
def test_a_study_that_could_not_end_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(presets.get("smoke"), **wrong)


def test_levels_that_zfp_cannot_tell_apart_share_models_but_not_rows(results, tmp_path):
    config = dataclasses.replace(
        presets.get("smoke"), raw_seeds=(0, 1), levels=(4.0, 4.5), generation_seeds=(0,)
    )
    shutil.copytree(results / "models", tmp_path / "models")
    study = studies.open_study(config, tmp_path, str(results / "ensemble"))
    table = studies.lossy_training(study)
    assert table["level"].values.tolist() == [0, 0, 4, 4, 4.5, 4.5]
    xr.testing.assert_equal(
        table["l1"].isel(model=[2, 3]).drop_vars(["model", "level"]),
        table["l1"].isel(model=[4, 5]).drop_vars(["model", "level"]),
    )
    other = dataclasses.replace(config, levels=(4.0,))
    again = studies.lossy_training(studies.open_study(other, tmp_path, str(results / "ensemble")))
    assert again["level"].values.tolist() == [0, 0, 4, 4]


def test_a_time_that_is_not_there_is_said_before_any_training(results):
    study = studies.open_study(presets.get("smoke"), results)
    assert study.time(50) == 50
    with pytest.raises(IndexError, match="no time at place 51: a simulation has 51"):
        study.time(51)
