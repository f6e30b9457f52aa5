"""Models of a study: tables, weights and verdicts that belong together, and those that do not."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from counted import Counted

from surrlab import training
from surrlab._tables import write_table
from surrlab.explorer._opening import open_results
from surrlab.explorer.comparison import (
    ResultTables,
    SampleReader,
    TrainedModels,
    by_simulation,
)
from surrlab.explorer.source import NO_MODELS


@pytest.fixture
def copy(studied, tmp_path):
    return shutil.copytree(studied, tmp_path / "copy")


def rewrite(path, change):
    table = change(xr.load_dataset(path, engine="h5netcdf"))
    write_table(path, table)


def test_models_and_curves_are_those_of_the_study(studied):
    results = open_results(studied)
    simulation, models = results.held_out[0], results.models
    view = results.model_view(simulation, 30, "pressure")
    assert list(view.panels)[:2] == ["truth", "raw model"] and len(view.panels) == 4
    table = xr.load_dataset(studied / "lossy_training.nc", engine="h5netcdf")
    inputs = results.truth.inputs[results.truth.position(simulation, 30)]
    surrogate = training.load(studied / "models" / str(table["folder"].values[0]))
    expected = training.predict(surrogate, inputs)[3]
    np.testing.assert_allclose(view.panels["raw model"], expected, rtol=1e-5)
    one = table.isel(sample=table["simulation"].values == simulation)
    raw = one["thickness"].values[table["kind"].values == "raw"]
    np.testing.assert_allclose(view.curves.two_sigma, 2 * raw.std(axis=0, ddof=1))
    np.testing.assert_array_equal(view.curves.truth, one["truth_thickness"])
    np.testing.assert_array_equal(view.curves.times, one["time"])
    assert view.curves.label == "mixing-layer thickness" and view.curves.n_raw == 2
    verdicts = xr.load_dataset(studied / "verdicts.nc", engine="h5netcdf")
    assert [v.state for v in view.verdicts] == verdicts["verdict"].values.tolist()
    assert [v.reason for v in view.verdicts] == verdicts["reason"].values.tolist()
    assert [v.name for v in view.verdicts] == list(models.models)[1:]


def test_large_samples_are_predicted_one_by_one_and_come_out_the_same(studied, monkeypatch):
    models = open_results(studied).models
    simulation = models.simulations[0]
    whole = models.predict(0, simulation, 7)
    monkeypatch.setattr("surrlab.explorer.comparison._WHOLE", 0)
    other = open_results(studied).models
    np.testing.assert_allclose(other.predict(0, simulation, 7), whole, rtol=1e-4, atol=1e-5)


def test_tables_of_another_version(copy):
    for name in ("lossy_training", "variability"):
        rewrite(copy / f"{name}.nc", lambda table: table.drop_vars("folder"))
    results = open_results(copy)
    assert any("variability.nc was made" in note for note in results.notes)
    assert results.models is None and len(results.stored) == 2


@pytest.mark.parametrize("attribute", ["ensemble_digest", "test_digest"])
def test_tables_of_other_data(copy, attribute):
    rewrite(copy / "lossy_training.nc", lambda table: table.assign_attrs({attribute: "0"}))
    results = open_results(copy)
    assert any("lossy_training.nc was made from another" in note for note in results.notes)
    assert list(results.models.models) == ["raw model"]  # from variability.nc


def test_weights_that_are_gone_leave_curves_and_verdicts(copy):
    shutil.rmtree(copy / "models")
    results = open_results(copy)
    assert list(results.models.models) == [] and "has no weights" in results.notes[0]
    view = results.model_view(results.held_out[0], 30, "density")
    assert list(view.panels) == ["truth"] and len(view.verdicts) == 2


def test_without_verdicts_there_are_none(copy):
    (copy / "verdicts.nc").unlink()
    assert open_results(copy).models.verdicts == ()


def test_a_test_ensemble_that_is_gone(studied_apart, tmp_path):
    copy = shutil.copytree(studied_apart, tmp_path / "copy")
    shutil.rmtree(copy / "test_ensemble")
    results = open_results(copy)
    assert results.models is None and NO_MODELS in results.notes


def test_a_table_names_folders_of_models_only(copy, tmp_path):
    """A table may come from anywhere: weights are loaded from the study's own models."""
    outside = shutil.move(copy / "models", tmp_path / "outside")

    def change(table):
        outside = [f"../../outside/{folder}" for folder in table["folder"].values]
        return table.assign_coords(folder=("model", outside))

    rewrite(copy / "lossy_training.nc", change)
    results = open_results(copy)
    assert outside.exists() and results.models.models == {}


def test_a_benchmark_without_a_curve(studied):
    results = open_results(studied)
    tables = ResultTables(studied, results.truth)
    table = tables.read("lossy_training")
    del table.attrs["curve"]
    one = TrainedModels(results.truth.select(results.held_out), True, table, None, studied)
    assert one.curves(results.held_out[0]) is None and one.verdicts == ()


def test_a_damaged_table_is_left_out_with_a_note(copy):
    (copy / "fields.nc").write_bytes(b"nothing")
    results = open_results(copy)
    assert any("fields.nc is damaged" in note for note in results.notes)
    assert results.models is not None and results.field_view(1, 40, "density", 9).ratio > 1


def test_limits_are_of_all_times_of_a_simulation(ensemble):
    reader = SampleReader(ensemble)
    whole = ensemble.read_simulation(2)
    for place, name in enumerate(ensemble.field_names):
        limits = float(whole[:, place].min()), float(whole[:, place].max())
        assert reader.limits(2, name) == limits
    assert reader.title(2, 50) == "simulation 2 at 10 s"
    assert reader.color_limit(np.array([1.0, 2.0, 9.0]), (0, 1)) == 8
    assert reader.color_limit(None, (0, 1)) == 0.02 and reader.color_limit(None, (0, 0)) == 1


def test_rows_are_sorted_by_simulation_in_time_and_at_once():
    counts = {}
    for n in (3, 30):  # a comparison for each simulation would be a hundred times as much
        simulation = np.tile(np.arange(n)[::-1], 4)
        values, Counted.n = np.arange(4.0 * n)[:, None], 0
        table = {"simulation": SimpleNamespace(values=simulation.view(Counted))}
        found = by_simulation(table, values)
        assert found.keys() == set(range(n))
        for s, rows in found.items():
            np.testing.assert_array_equal(rows, values[simulation == s])
        counts[n] = Counted.n
    assert 0 < counts[30] < 11 * counts[3]
