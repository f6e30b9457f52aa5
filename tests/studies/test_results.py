"""The folder of a study: tables that know what made them, one ensemble, settings by name."""

import dataclasses
import json
import re

import numpy as np
import pytest
import xarray as xr
from ragged import write_ensemble

import surrlab
from surrlab import studies
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.studies.config import PRESETS, configured, get_preset
from surrlab.studies.results import Study, cached_table, read_table
from surrlab.training.networks import NetworkConfig


def test_a_table_is_made_again_when_what_made_it_changes(tmp_path):
    made = []

    def compute(value):
        made.append(value)
        return xr.Dataset({"v": value})

    for source, value in [("a", 1), ("a", 2), (["b", 1], 3)]:
        table = cached_table(tmp_path / "t.nc", {"source": source}, lambda v=value: compute(v))
    assert made == [1, 3] and int(table["v"]) == 3
    assert json.loads(read_table(tmp_path / "t.nc").attrs["source"]) == ["b", 1]


def test_a_damaged_table_is_named(tmp_path):
    cached_table(tmp_path / "t.nc", {}, lambda: xr.Dataset({"v": 1}))
    (tmp_path / "t.nc").write_bytes((tmp_path / "t.nc").read_bytes()[:100])
    with pytest.raises(OSError, match=r"t\.nc is damaged"):
        read_table(tmp_path / "t.nc")


def test_results_belong_to_one_ensemble(ensemble, tmp_path):
    study = studies.open_study("smoke", tmp_path, ensemble.path)
    assert study.ensemble.digest == ensemble.digest
    assert studies.open_study("smoke", tmp_path, ensemble.path).ensemble
    other = ensemble.select(ensemble.simulations[:4])
    with pytest.raises(FileExistsError, match="holds the results of another ensemble"):
        study.results.claim(other)


def test_a_second_ensemble_under_one_folder_is_refused_at_opening(tmp_path):
    """With a preset and without one; what the first one left stays as it is."""
    paths = [tmp_path / name / "runs" for name in ("a", "b")]
    for path, last in zip(paths, (3, 4), strict=True):
        write_ensemble(path, lengths=(2, 3, 2, last))
    network = ["generator", {"start": [2, 2], "max_features": 4, "min_features": 4}]
    given = {"epochs": 1, "network": network}
    for preset in ("smoke", None):
        surrlab.open_study(preset, tmp_path / "results", paths[0], **given)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(FileExistsError, match=r"holds the results of another ensemble \(.*/a/"):
            surrlab.open_study(preset, tmp_path / "results", paths[1], **given)
        assert sorted(tmp_path.rglob("*")) == before
        surrlab.open_study(preset, tmp_path / "results", paths[0], **given)
    with pytest.raises(
        ValueError, match="4 x 3 is not 3 x 1 doubled: choose a start shape that re"
    ):
        surrlab.open_study("smoke", tmp_path / "new", paths[0])
    assert not (tmp_path / "new").exists()


def test_another_split_or_seed_never_meets_stale_tables(ensemble, tmp_path):
    studied = [
        studies.open_study("smoke", tmp_path, ensemble.path, **changes)
        for changes in ({}, {"test_fraction": 0.4}, {"seed": 5})
    ]
    scales = {tuple(study.field_statistics["scale"].values) for study in studied}
    assert len(scales) == 3


def test_settings_are_those_of_the_study_and_of_its_training():
    quick = get_preset("quick")
    given = {"looks": [3, 6], "epochs": 7, "codec": "", "margins": {"l1": "3 %"}, "rule": None}
    config = configured(quick, given)
    assert (config.looks, config.train.epochs, config.codec) == ((3, 6), 7, quick.codec)
    assert config.margins == {"l1": "3 %"} and config.rule == quick.rule
    network = configured(quick, {"network": ["mlp", {"width": 8}]}).train.network
    assert network == NetworkConfig("mlp", {"width": 8})
    with pytest.raises(KeyError, match="no number called 'epoch'"):
        configured(quick, {"epoch": 3})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("epochs", "3", "a whole number of 0 or more, not '3'"),
        ("epochs", 2.5, "a whole number of 0 or more, not 2.5"),
        ("epochs", True, "a whole number of 0 or more, not True"),
        ("n_test_simulations", -1, "a whole number of 0 or more, not -1"),
        ("seed", -1, "a whole number of 0 or more, not -1"),
        ("timeout", 0, "a whole number of 0 or more, not 0"),
        ("learning_rate", float("inf"), "a finite number, not inf"),
        ("learning_rate", "fast", "a finite number, not 'fast'"),
        ("looks", 3, "a list, each a whole number of 0 or more, not 3"),
        ("looks", ["a", "b"], "a list, each a whole number of 0 or more, not ('a', 'b')"),
        ("factors", [1, None], "a list, each a finite number, not (1, None)"),
        ("shape", 5, "a list, each a whole number of 0 or more, not 5"),
        ("codec", 7, "a text, not 7"),
        ("quantities", [3], "a list, each a text, not (3,)"),
        ("margins", "5 %", "values by name, not '5 %'"),
    ],
)
def test_settings_of_another_kind_are_refused_by_name(name, value, said):
    with pytest.raises(ValueError, match=re.escape(f"{name} must be {said}")):
        configured(get_preset("quick"), {name: value})


def test_settings_may_be_numpy_s_numbers():
    config = configured(get_preset("quick"), {"epochs": np.int64(3), "factors": [np.float32(2)]})
    assert config.train.epochs == 3 and config.factors == (2.0,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"looks": (3, 3)}, "looks must hold values, each of them once"),
        ({"looks": (5, 3)}, "looks must increase"),
        ({"looks": (1, 3)}, "two or more common seeds, not 1"),
        ({"factors": ()}, "factors must hold values"),
        ({"factors": (-1.0, 2.0)}, "factors are above 0"),
        ({"fixed": (0.1, 0.01)}, "fixed tolerances are above 0 and increase"),
        ({"fixed": (0.0, 0.01)}, "fixed tolerances are above 0 and increase"),
        ({"fixed": (0.1,), "rule": "fixed"}, "the factors are the fixed tolerances: give one"),
        ({"first_seed": -1}, "first_seed is a whole number from 0 on"),
        ({"budget_minutes": -1}, "budget_minutes is 0 or more"),
        ({"generation_seeds": ()}, "generation_seeds must hold values"),
        ({"generation_seeds": (0,)}, "must be seeds of raw models, but for 0"),
        ({"rule": "fields"}, "rule is one of field, sample, fixed, not 'fields'"),
    ],
)
def test_a_study_that_could_not_end_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(get_preset("smoke"), **wrong)


def test_the_paper_s_levels_are_a_preset(tmp_path):
    names = list(studies.versions(surrlab.open_study("paper-levels", tmp_path)))
    assert names == [*(f"zfp fixed ×1/{n}" for n in (1000, 100, 10)), "zfp ×1", "zfp ×4"]


def test_all_seeds_count_from_the_first():
    config = dataclasses.replace(get_preset("quick"), first_seed=100)
    assert config.raw_seeds == (100, 101, 102, 103, 104)
    assert config.student_seeds == (101, 102, 103)


def test_an_unknown_preset_lists_those_there_are():
    with pytest.raises(KeyError, match="no preset 'enormous'; there are smoke,"):
        get_preset("enormous")
    assert {"smoke", "quick", "quick-pchip", "paper-rt", "paper-pchip"} <= set(PRESETS)


def test_a_simulation_or_step_that_is_not_there_is_said(ensemble, tmp_path):
    study = surrlab.open_study("smoke", tmp_path, ensemble.path)
    test = study.test_set
    assert study.simulation(test, 0) == test.simulations[0]
    with pytest.raises(IndexError, match="no simulation at place 1: of 6 simulations this side"):
        study.simulation(test, 1)
    assert study.step(test, test.simulations[0], 50) == 50
    with pytest.raises(IndexError, match="no time step 51; it has 51"):
        study.step(test, test.simulations[0], 51)


def test_a_damaged_table_is_made_again_with_a_line(tmp_path, capsys):
    path = tmp_path / "t.nc"
    first = cached_table(path, {"seed": 1}, lambda: xr.Dataset({"a": ("x", [1.0, 2.0])}))
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    again = cached_table(path, {"seed": 1}, lambda: xr.Dataset({"a": ("x", [1.0, 2.0])}))
    xr.testing.assert_identical(again, first)
    said = capsys.readouterr().err
    assert said.startswith(f"surrlab: {path} is made again: ") and len(said.splitlines()) == 1
    xr.testing.assert_identical(read_table(path), first)


def test_a_range_that_hangs_on_few_cells_is_named(tmp_path, ensemble):
    samples = [ensemble.read_simulation(s).copy() for s in ensemble.simulations]
    samples[2][7, 0, 3, 3] = 9999.0
    odd = InMemoryEnsemble.like(ensemble, samples, "odd")
    study = Study(get_preset("smoke"), tmp_path)
    study.__dict__["ensemble"] = odd
    with pytest.warns(UserWarning, match="odd: field density reaches from .* to 9999"):
        study.field_statistics  # noqa: B018
