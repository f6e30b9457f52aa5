"""Folders of every kind, whole and damaged: what is missing is said, and the rest works."""

import json
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import compression, training
from surrlab.compression import search
from surrlab.data import native
from surrlab.explorer import source
from surrlab.explorer.source import OneField


@pytest.fixture(scope="module")
def whole(studied):
    return source.open(studied)


@pytest.fixture
def copy(studied, tmp_path):
    return shutil.copytree(studied, tmp_path / "copy")


def training_and_test(found):
    held_out = found.held_out
    return next(s for s in found.simulations if s not in held_out), held_out[0]


def test_a_study_is_whole(whole):
    assert whole.notes == []
    assert [one.level for one in whole.stored] == [1.0, 4.0]
    assert len(whole.held_out) == 1
    ratios = [one.ratios.payload for one in whole.stored]
    assert ratios[0] < ratios[1]
    assert [name.partition("×")[0] for name in list(whole.judged.models)[1:]] == [
        f"{ratio:.1f}" for ratio in ratios
    ]


@pytest.mark.parametrize("name", ["density", "pressure"])
def test_the_marked_rung_is_bit_for_bit_what_is_stored(whole, name):
    simulation, _ = training_and_test(whole)
    marks = whole.marks(simulation, 40, name)
    assert set(marks) == {1.0, 4.0}
    ladder = whole.ladder(simulation, 40, name)
    for one in whole.stored:
        rung = ladder.rung_of(marks[one.level])
        assert ladder.tolerance(rung) == marks[one.level]
        with h5py.File(one.ensemble.file(simulation)) as file:
            stored = file[name][40]
        np.testing.assert_array_equal(whole.show(simulation, 40, name, rung).decoded, stored)


def test_algorithm_1_runs_where_a_simulation_was_held_out(whole):
    _, held_out = training_and_test(whole)
    field = whole.field(held_out, 40, "density")
    table = whole.judged.table.sel(simulation=held_out, field="density").isel(time=40)
    error = float(table["l1"][table["kind"].values == "raw"].mean())
    assert whole.model_error(held_out, 40, "density") == pytest.approx(error)
    expected = search.find_tolerance(field, error).tolerance
    assert whole.marks(held_out, 40, "density") == {1.0: expected}


def test_totals_are_of_the_sample_with_one_field_decoded(whole):
    simulation, _ = training_and_test(whole)
    coarse = whole.show(simulation, 40, "density", 20)
    mass, *_ = coarse.totals
    area = whole.grid.cell_area
    assert mass.label == "total mass" and mass.unit == "g/cm"
    assert mass.before == pytest.approx(coarse.truth.sum(dtype=float) * area)
    assert mass.after == pytest.approx(coarse.decoded.sum(dtype=float) * area)
    assert all(one.before == one.after for one in whole.show(simulation, 40, "energy", 20).totals)


def test_models_and_curves_are_those_of_the_study(whole, studied):
    held_out = whole.held_out[0]
    compared = whole.compare(held_out, 30, "pressure")
    assert list(compared.panels)[:2] == ["truth", "raw model"] and len(compared.panels) == 4
    folder = whole.judged.folders["raw seed 0"]
    inputs = whole.truth.select([held_out]).inputs[0, 30]
    expected = training.predict(training.load(folder), inputs)[3]
    np.testing.assert_allclose(compared.panels["raw model"], expected, rtol=1e-5)
    table = xr.load_dataset(studied / "lossy_training.nc").sel(simulation=held_out)
    raw = table["thickness"].values[table["kind"].values == "raw"]
    np.testing.assert_allclose(compared.curves.reach, 2 * raw.std(axis=0, ddof=1))
    np.testing.assert_array_equal(compared.curves.truth, table["truth_thickness"])
    assert compared.curves.label == "mixing-layer thickness"
    rows = json.loads((studied / "summary.json").read_text())["lossy_training"]["verdicts"]
    assert [v["state"] for v in compared.verdicts] == [row["state"] for row in rows]
    assert [v["reason"] for v in compared.verdicts] == [row["reason"] for row in rows]


def test_an_ensemble_alone(studied):
    found = source.open(studied / "ensemble")
    assert "no models" in found.notes[0] and found.marks(0, 40, "density") == {}
    shown = found.show(0, 40, "density", 12)
    assert shown.share is None and shown.ratio > 1
    with pytest.raises(ValueError, match="no judged models"):
        found.compare(0, 40, "density")


def test_a_compressed_ensemble_finds_its_source_two_folders_up(studied):
    version = next((studied / "compressed").glob("x1-*"))
    found = source.open(version)
    assert found.notes == [] and found.truth.path == studied / "ensemble"
    assert found.stored[0].level == 1.0


def test_a_compressed_ensemble_whose_source_is_gone(copy):
    shutil.rmtree(copy / "ensemble")
    version = next((copy / "compressed").glob("x1-*"))
    found = source.open(version)
    assert "its source is not here" in found.notes[0]
    assert found.show(found.simulations[0], 40, "density", 12).ratio > 1
    results = source.open(copy)
    assert "the least compressed version" in results.notes[0]
    assert results.truth.path == version and results.judged is None


def test_results_without_compressed_versions_and_models(copy):
    for name in ("compressed", "models"):
        shutil.rmtree(copy / name)
    for table in copy.glob("*.nc"):
        table.unlink()
    found = source.open(copy)
    assert found.notes == [
        "No compressed versions are stored here: every setting is computed on demand.",
        source.NO_MODELS,
    ]
    assert found.marks(0, 40, "density") == {}


def test_weights_that_are_gone_leave_curves_and_verdicts(copy):
    shutil.rmtree(copy / "models")
    found = source.open(copy)
    assert list(found.judged.models) == [] and "has no weights" in found.notes[0]
    compared = found.compare(found.held_out[0], 30, "density")
    assert list(compared.panels) == ["truth"] and len(compared.verdicts) == 2


def test_results_of_another_ensemble(copy, ensemble):
    """Same format, other simulations: nothing of the study may be shown beside them."""
    shutil.rmtree(copy / "ensemble")
    shutil.copytree(ensemble.path, copy / "ensemble")
    manifest = json.loads((copy / "ensemble" / "ensemble.json").read_text())
    for entry in manifest["files"]:
        entry["sha256"] = "0" * 64  # as if their contents were others
    (copy / "ensemble" / "ensemble.json").write_text(json.dumps(manifest))
    found = source.open(copy)
    assert any("was made from another ensemble" in note for note in found.notes)
    assert any("lossy_training.nc" in note for note in found.notes)
    assert found.stored == () and found.judged is None and not found.has_model_errors


def test_tables_of_another_version(copy):
    for name in ("lossy_training", "variability"):
        table = xr.load_dataset(copy / f"{name}.nc", engine="h5netcdf")
        table.drop_vars("folder").to_netcdf(copy / f"{name}.nc", engine="h5netcdf")
    found = source.open(copy)
    assert any("variability.nc was made" in note for note in found.notes)
    assert found.judged is None and len(found.stored) == 2


def test_a_benchmark_that_this_version_does_not_know(copy):
    manifest = json.loads((copy / "ensemble" / "ensemble.json").read_text())
    manifest["scenario"]["name"] = "kelvin-helmholtz"
    (copy / "ensemble" / "ensemble.json").write_text(json.dumps(manifest))
    found = source.open(copy / "ensemble")
    assert any("'kelvin-helmholtz'" in note for note in found.notes)
    assert found.show(0, 40, "density", 12).totals == ()


def test_folders_with_nothing_to_look_at(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        source.open(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There is nothing to look at in"):
        source.open(tmp_path)


def test_a_constant_field_of_an_ensemble(ensemble, tmp_path):
    copy = native.open(shutil.copytree(ensemble.path, tmp_path / "e"))
    with h5py.File(copy.file(0), "a") as file:
        file["pressure"][:] = 10.0
    found = source.Gallery(copy)
    shown = found.show(0, 40, "pressure", 12)
    assert shown.l1 == 0 and shown.limits == (10.0, 10.0) and np.isnan(shown.psnr)


def test_nan_in_an_ensemble_is_named(ensemble, tmp_path):
    copy = native.open(shutil.copytree(ensemble.path, tmp_path / "e"))
    with h5py.File(copy.file(0), "a") as file:
        file["pressure"][3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"field pressure of simulation 0 in .* holds NaN"):
        source.Gallery(copy).show(0, 40, "pressure", 12)


def test_every_version_of_a_level_less_folder_is_a_version(studied, tmp_path):
    found = source.open(studied)
    errors = xr.full_like(compression.table(found.stored[0].ensemble)["tolerance"], 0.01)
    mine = compression.compress(found.stored[0].ensemble, errors, tmp_path / "mine")
    opened = source.open(tmp_path / "mine", ensemble=studied / "ensemble")
    assert "its source is not here" in opened.notes[0]  # made from a compressed one, not from raw
    assert opened.truth.digest == mine.digest


@pytest.mark.parametrize(
    ("values", "model_error", "message"),
    [
        (np.zeros(4), None, r"an array \(ny, nx\) with values, not of \(4,\)"),
        (np.zeros((0, 4)), None, r"not of \(0, 4\)"),
        (np.full((2, 2), np.nan), None, "4 of 4 values are NaN or infinite"),
        ([["a", "b"]], None, "real numbers, not <U1"),
        (np.zeros((2, 2)), 0.0, "a model error is a positive number, not 0"),
    ],
)
def test_arrays_that_are_no_field(values, model_error, message):
    with pytest.raises((TypeError, ValueError), match=message):
        OneField(values, model_error=model_error)


def test_one_field():
    counts = np.arange(64).reshape(8, 8)
    one = OneField(counts, "count", "K", model_error=0.5)
    assert one.values.dtype == np.float32 and one.units == {"count": "K"}
    found = one.show(0, 0, "count", one.ladder(0, 0, "count").rung_of(one.marks(0, 0, "count")[1]))
    assert found.l1 <= 0.5 and found.share <= 1
    assert OneField(counts.astype(float)).values.dtype == np.float64
