"""A study of anybody's ensemble: no benchmark, no preset, an odd grid, ragged times."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from waves import FIELDS, SHAPE, waves, write

import surrlab
from surrlab import cli, studies
from surrlab.data import native
from surrlab.data.ensemble import Run
from surrlab.data.fields import Grid
from surrlab.studies import _chosen
from surrlab.studies.config import PRESETS

pytestmark = pytest.mark.timeout(600)
SMALL = {
    "epochs": 2,
    "looks": [2],
    "n_raw_models": 3,
    "generation_seeds": [1, 2],
    "factors": [1.0, 4.0],
    "network": ["generator", {"max_features": 16, "min_features": 8}],
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Ten simulations of one to six times."""
    path = tmp_path_factory.mktemp("data") / "waves.v1"
    waves(path, [3, 1, 6, 4, 2, 5, 3, 6, 1, 4])
    return path


@pytest.fixture(scope="module")
def results(path, tmp_path_factory):
    """A finished study of them, made by the command."""
    results = tmp_path_factory.mktemp("study")
    overrides = [part for n, v in SMALL.items() for part in ("-p", n, json.dumps(v))]
    line = ["study", "--ensemble", str(path), "--results", str(results), *overrides]
    assert cli.main(line) == 0
    return results / "waves"


def test_notebooks_run_through_on_any_ensemble(results):
    assert len(list(results.glob("[0-9]_*.html"))) == 7
    summary = json.loads((results / "summary.json").read_text())
    assert summary["answer"]["sentence"].endswith(".")
    assert summary["chosen"]["epochs"] == 2 and summary["chosen"]["test_simulations"] == 2
    drawn = {p.stem for p in (results / "figures").glob("*.png")}
    assert drawn >= {"evolution", "history", "thresholds", "tolerances", "totals", "psnr"}
    assert drawn >= {"compressed", "side_by_side", "verdict", "generation_loss"}
    assert not drawn & {"momentum_band", "momentum_band_lossy", "correlation"}
    page = (results / "2_variability.ipynb").read_text()
    assert "momentum_band: the ensemble names no momentum quantity" in page
    page = (results / "1_ensemble.ipynb").read_text()
    assert "the same in all samples, and not scored: orography, nothing" in page


def test_what_never_changes_is_in_no_score(results, path):
    study = surrlab.open_study(None, results.parent, path, **SMALL)
    assert study.path == results
    verdict = json.loads((results / "summary.json").read_text())["generation_loss"]
    kept = ["salinity", "T2M"]
    psnr, integrals = ([f"{what}_{name}" for name in kept] for what in ("psnr", "integral"))
    assert list(verdict["scores"]) == ["l1", *psnr, *integrals]
    assert study.field_statistics["scored"].values.tolist() == [True, False, True, False]
    label, unit = (study.quantities["integral_T2M"].label, study.quantities["integral_T2M"].unit)
    assert (label, unit) == ("integral of temperature", "K deg²")
    assert study.command.startswith(f"surrlab study --ensemble {path} --results {results.parent} ")
    assert studies.answer(study)["rows"]


def test_a_result_goes_on_with_the_numbers_that_were_chosen(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_chosen, "_measured_epochs", lambda *_: 7)
    first = surrlab.open_study(None, tmp_path, path, minutes=2)
    said = capsys.readouterr().out
    assert "a study without a preset takes these numbers" in said and "epochs            7" in said
    monkeypatch.setattr(_chosen, "_measured_epochs", lambda *_: 9)
    again = surrlab.open_study("", tmp_path, path, looks=[2, 4])
    assert again.config.train == first.config.train and again.config.looks == (2, 4)
    assert capsys.readouterr().out == ""
    assert surrlab.open_study(None, tmp_path, path, minutes=3).config.train.epochs == 9
    assert surrlab.open_study(None, tmp_path, path, epochs=4).config.train.epochs == 4
    assert surrlab.open_study(None, tmp_path, path).config.train.epochs == 9
    network = surrlab.open_study(None, tmp_path, path, network="unet").config.train.network
    assert network.name == "unet"
    config = first.config
    assert config.scenario is None and config.n_test_simulations == 0 and config.shape == SHAPE
    assert config.train.network.arguments["start"] == [4, 2]
    assert len(first.test_set.simulations) == 2 and len(first.train_set.simulations) == 8


def test_epochs_by_a_budget_of_time(path, tmp_path):
    long = surrlab.open_study(None, tmp_path, path, minutes=1e4)
    assert long.config.train.epochs == _chosen.MOST_EPOCHS
    config = PRESETS["quick"]  # 5 + 3 models, and 6 versions of 3 seeds
    assert _chosen.affordable_epochs(config, seconds=3.0, minutes=26) == 20
    with pytest.raises(ValueError, match=r"an epoch of each of 26 models takes 1\.3 minutes, and"):
        _chosen.affordable_epochs(config, seconds=3.0, minutes=1)


def test_presets_have_epochs_already(path, tmp_path):
    with pytest.raises(ValueError, match="minutes choose the epochs of an ensemble without a pres"):
        surrlab.open_study("smoke", tmp_path, path, minutes=3)


def test_a_study_needs_simulations(tmp_path):
    waves(tmp_path / "few", [2, 2, 3])
    with pytest.raises(ValueError, match="few has 3 simulations; a study needs 4 or more"):
        surrlab.open_study(None, tmp_path, tmp_path / "few")
    with pytest.raises(ValueError, match=r"fraction of 0\.9 leaves 3 of 3 simulations for test"):
        surrlab.open_study("smoke", tmp_path, tmp_path / "few", test_fraction=0.9)
    waves(tmp_path / "some", [2, 2, 3, 3])
    with pytest.raises(ValueError, match=r"fraction of 0\.1 leaves 0 of 4 simulations for test"):
        surrlab.open_study(None, tmp_path, tmp_path / "some", test_fraction=0.1)
    with pytest.raises(ValueError, match=r"fraction of 0\.2 leaves 0 of 1 simulations for test"):
        surrlab.open_study("smoke", tmp_path, n_simulations=1)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["few", "some"]  # nothing written


def test_no_parameters_and_quantities_of_a_module(tmp_path, monkeypatch):
    """Time is all that the network sees; a user's own quantity is scored, integrals are not."""
    (tmp_path / "their_quantities.py").write_text(
        "def warmest(fields, parameters, constants, grid):\n"
        "    return fields['T2M'].max((-2, -1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    waves(tmp_path / "steady", [4, 3, 4, 2, 3], parameters=(), shape=(9, 7))
    with ThreadPoolExecutor(1) as pool:
        study = surrlab.open_study(
            None,
            tmp_path,
            tmp_path / "steady",
            executor=pool,
            quantities="their_quantities:warmest",
            **SMALL,
        )
        assert study.ensemble.input_names == ("time",)
        answer = studies.answer(study)
        other = surrlab.open_study(None, tmp_path, tmp_path / "steady", executor=pool, **SMALL)
        table = studies.variability_study(other)
    assert answer["sentence"]
    evaluation, _ = studies.lossy_training(study)
    assert "warmest" in evaluation and "integral_T2M" not in evaluation
    assert "integral_T2M" in table and "warmest" not in table  # never the stale table
    assert studies.evolution(study, study.ensemble.simulations[0]).attrs["title"] == "simulation 3"
    sys.modules.pop("their_quantities")


def test_nothing_that_changes_is_refused(tmp_path):
    fields = {0: np.ones((2, 1, 5, 4), np.float32)}
    grid = Grid.uniform({"y": (5, 0, 1), "x": (4, 0, 1)})
    header = native.Header(FIELDS[:1], grid, {"time": "s"})
    runs = {s: Run(s, (), (0.0, 1.0)) for s in range(5)}
    writers = {s: partial(write, header=header, run=runs[s], samples=fields[0]) for s in runs}
    with ThreadPoolExecutor(1) as pool:
        native.build(tmp_path / "flat", header, {}, runs, writers, executor=pool, label="write")
    study = surrlab.open_study(None, tmp_path, tmp_path / "flat", epochs=1)
    with pytest.raises(ValueError, match="flat: no field changes: there is nothing to learn"):
        study.field_statistics  # noqa: B018
