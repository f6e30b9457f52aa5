"""Folders of every kind, whole and damaged: what is missing is said, and the rest works."""

import json
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab._files import write_json
from surrlab.compression.codecs.sz3 import Sz3
from surrlab.compression.compress import compress, table
from surrlab.compression.search import find_tolerance
from surrlab.compression.version import Version
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Field
from surrlab.data.open import open_ensemble
from surrlab.explorer import source
from surrlab.explorer._opening import open_field, open_results
from surrlab.explorer.source import ResultsView

FINE, COARSE = Version("zfp", "field", 1.0), Version("zfp", "field", 4.0)


@pytest.fixture(scope="module")
def whole(studied):
    return open_results(studied)


@pytest.fixture
def copy(studied, tmp_path):
    return shutil.copytree(studied, tmp_path / "copy")


def training_and_test(results):
    held_out = results.held_out
    return next(s for s in results.simulations if s not in held_out), held_out[0]


def version_folder(results, version=FINE):
    return next((results / "compressed").glob(f"{version.folder}-*"))


def edit_manifest(folder, change):
    manifest = json.loads((folder / "ensemble.json").read_text())
    change(manifest)
    write_json(folder / "ensemble.json", manifest)


def test_a_study_is_whole(whole):
    assert whole.notes == []
    assert [one.version for one in whole.stored] == [FINE, COARSE]
    assert len(whole.held_out) == 2 == len(whole.models.simulations)
    ratios = [one.ratios.payload for one in whole.stored]
    assert ratios[0] < ratios[1]
    assert list(whole.models.models)[1:] == [
        version.label(ratio) for version, ratio in zip((FINE, COARSE), ratios, strict=True)
    ]


def test_test_samples_of_their_own(studied_apart):
    """Simulations of the two ensembles have the same numbers: nothing may be mixed up."""
    results = open_results(studied_apart)
    assert results.notes == [] and results.held_out == ()
    test = open_ensemble(studied_apart / "test_ensemble")
    assert results.models.test_set.digest == test.digest != results.truth.digest
    view = results.model_view(1, 30, "pressure")
    np.testing.assert_array_equal(view.panels["truth"], test.read(test.position(1, 30))[3])
    search = xr.load_dataset(studied_apart / "tolerance_search.nc", engine="h5netcdf")
    here = search.isel(sample=(search["simulation"] == 1) & (search["step"] == 30))
    error = here["model_error"].sel(field="pressure").item()
    assert results.model_error(1, 30, "pressure") == pytest.approx(error)


@pytest.mark.parametrize("name", ["density", "pressure"])
def test_the_marked_setting_is_bit_for_bit_what_is_stored(whole, name):
    simulation, _ = training_and_test(whole)
    settings = whole.field_settings(simulation, 40, name)
    assert set(settings.versions) == {FINE, COARSE}
    for one in whole.stored:
        setting = settings.setting_of(settings.versions[one.version])
        assert settings.tolerances[setting] == settings.versions[one.version]
        with h5py.File(one.ensemble.file(simulation)) as file:
            stored = file[name][40]
        np.testing.assert_array_equal(settings.view(setting).decoded, stored)
    assert "Stored, as zfp ×4" in whole.version_note(COARSE, simulation)


def test_algorithm_1_runs_where_a_simulation_was_held_out(whole):
    _, held_out = training_and_test(whole)
    settings = whole.field_settings(held_out, 40, "density")
    rows = whole.models.table
    rows = rows.isel(sample=(rows["simulation"] == held_out) & (rows["step"] == 40))
    error = float(rows["l1"].sel(field="density")[rows["kind"].values == "raw"].mean())
    assert whole.model_error(held_out, 40, "density") == pytest.approx(error)
    expected = find_tolerance(settings.sample.truth, error).tolerance
    assert settings.versions == {FINE: expected} and settings.algorithm_1 == expected
    assert whole.version_note(FINE, held_out) == "Algorithm 1's choice for this field"


def test_another_codec_has_its_own_settings_and_no_marks_of_versions_that_are_not_its_own(whole):
    simulation, _ = training_and_test(whole)
    assert whole.codec("density").name == "zfp"
    assert whole.codecs == ("zfp", "sz3", "sperr", "bitround")
    settings = whole.field_settings(simulation, 40, "density", "sz3")
    error = whole.model_error(simulation, 40, "density")
    found = find_tolerance(settings.sample.truth, error, Sz3)
    assert settings.versions == {Version("sz3", "field", 1.0): found.tolerance}
    chosen = settings.setting_of(found.tolerance)
    assert settings.codecs[chosen] == found.codec and settings.streams[chosen] == found.stream
    with pytest.raises(KeyError, match="no codec is called 'gzip'"):
        whole.field_settings(simulation, 40, "density", "gzip")


def test_totals_are_of_the_sample_with_one_field_decoded(whole):
    simulation, _ = training_and_test(whole)
    coarse = whole.field_view(simulation, 40, "density", 20)
    mass, *_ = coarse.losses.totals
    area = whole.truth.grid.cell_volume
    assert mass.label == "total mass" and mass.unit == "g/cm"
    assert mass.before == pytest.approx(coarse.sample.truth.sum(dtype=float) * area)
    assert mass.after == pytest.approx(coarse.decoded.sum(dtype=float) * area)
    energy = whole.field_view(simulation, 40, "energy", 20).losses.totals
    assert len(energy) == 4 and all(one.before == one.after for one in energy)


def test_an_ensemble_alone(studied):
    results = open_results(studied / "ensemble")
    assert "no models" in results.notes[0]
    assert results.field_settings(0, 40, "density").versions == {}
    view = results.field_view(0, 40, "density", 12)
    assert view.share is None and view.ratio > 1
    with pytest.raises(ValueError, match="no evaluated models"):
        results.model_view(0, 40, "density")


def test_a_compressed_ensemble_finds_its_source_two_folders_up(studied):
    results = open_results(version_folder(studied))
    assert results.notes == [] and results.truth.name == str(studied / "ensemble")
    assert results.stored[0].version == FINE


def test_a_compressed_ensemble_whose_source_is_gone(copy):
    shutil.rmtree(copy / "ensemble")
    version = version_folder(copy)
    found = open_results(version)
    assert "its source is not here" in found.notes[0]
    assert found.field_view(found.simulations[0], 40, "density", 12).ratio > 1
    results = open_results(copy)
    assert "truth is zfp ×1, the least compressed version" in results.notes[0]
    assert results.truth.name == str(version) and results.models is None


def test_the_raw_ensemble_can_lie_elsewhere(copy, tmp_path):
    moved = shutil.move(copy / "ensemble", tmp_path / "elsewhere")
    assert open_results(copy, moved).notes == []
    found = open_results(version_folder(copy), moved)
    assert found.notes == [] and found.truth.name == str(moved)


def test_results_without_compressed_versions_and_models(copy):
    for name in ("compressed", "models"):
        shutil.rmtree(copy / name)
    for one in copy.glob("*.nc"):
        one.unlink()
    results = open_results(copy)
    assert results.notes == [
        "No compressed versions are stored here: every setting is computed on demand.",
        source.NO_MODELS,
    ]
    assert results.field_settings(0, 40, "density").versions == {}


def test_results_of_another_ensemble(copy, ensemble):
    """Same format, other simulations: nothing of the study may be shown beside them."""
    shutil.rmtree(copy / "ensemble")
    shutil.copytree(ensemble.path, copy / "ensemble")

    def change(manifest):
        for entry in manifest["files"]:
            entry["sha256"] = "0" * 64  # as if their contents were others

    edit_manifest(copy / "ensemble", change)
    results = open_results(copy)
    assert any("was made from another ensemble" in note for note in results.notes)
    assert any("lossy_training.nc" in note for note in results.notes)
    assert results.stored == () and results.models is None and not results.has_model_errors


def test_a_version_is_what_its_folder_says_inside_whatever_its_name(copy):
    shutil.move(version_folder(copy, COARSE), copy / "compressed" / "x0.125-b833bc67")
    results = open_results(copy)
    assert [one.version for one in results.stored] == [FINE, COARSE] and results.notes == []


def test_a_quantity_that_nobody_registered(copy):
    def change(manifest):
        manifest["benchmark"]["quantities"] = ["swirl"]

    edit_manifest(copy / "ensemble", change)
    results = open_results(copy / "ensemble")
    assert any("'swirl'" in note and "totals" in note for note in results.notes)
    assert results.field_view(0, 40, "density", 12).losses.totals == ()


def test_folders_with_nothing_to_look_at(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        open_results(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There is nothing to look at in"):
        open_results(tmp_path)


def test_a_constant_field_of_an_ensemble(ensemble, tmp_path):
    copy = open_ensemble(shutil.copytree(ensemble.path, tmp_path / "e"))
    with h5py.File(copy.file(0), "a") as file:
        file["pressure"][:] = 10.0
    view = ResultsView(copy).field_view(0, 40, "pressure", 12)
    assert view.losses.l1 == 0 and view.sample.limits == (10.0, 10.0)
    assert np.isnan(view.losses.psnr)


def test_nan_in_an_ensemble_is_named(ensemble, tmp_path):
    copy = open_ensemble(shutil.copytree(ensemble.path, tmp_path / "e"))
    with h5py.File(copy.file(0), "a") as file:
        file["pressure"][3, 0, 0] = np.nan
    with pytest.raises(
        ValueError, match=r"simulation 0, time 3, field pressure holds 1 values that are NaN"
    ):
        ResultsView(copy).field_view(0, 40, "pressure", 12)


def test_a_compressed_folder_that_names_no_version(studied, tmp_path):
    results = open_results(studied)
    errors = xr.full_like(table(results.stored[0].ensemble)["tolerance"], 0.01)
    mine = compress(results.stored[0].ensemble, errors, tmp_path / "mine")
    found = open_results(tmp_path / "mine", ensemble=studied / "ensemble")
    assert "its source is not here" in found.notes[0]  # made from a compressed one, not from raw
    assert found.truth.digest == mine.digest
    compress(results.truth, 0.01, tmp_path / "fixed")
    found = open_results(tmp_path / "fixed", ensemble=studied / "ensemble")
    assert found.notes == [] and found.stored[0].version is None
    assert found.stored[0].name == "fixed"
    assert found.field_settings(0, 40, "density").versions == {}


def test_a_field_on_one_axis_is_a_sentence():
    line = InMemoryEnsemble.of_field(np.zeros(4, np.float32), Field("a"))
    with pytest.raises(ValueError, match=r"two axes; an array has one \(x\)"):
        ResultsView(line)


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
        open_field(values, model_error=model_error)


def test_one_field():
    counts = np.arange(64).reshape(8, 8)
    results = open_field(counts, "count", "K", model_error=0.5)
    assert results.truth.dtype == "float32" and results.truth.fields == (Field("count", "K"),)
    settings = results.field_settings(0, 0, "count")
    view = settings.view(settings.setting_of(settings.algorithm_1))
    assert view.losses.l1 <= 0.5 and view.share <= 1
    (total,) = view.losses.totals  # nobody names another quantity
    assert (total.label, total.before) == ("integral of count", 2016)
    assert view.sample.wavenumber_unit == "cycles / cell"
    assert open_field(counts.astype(float)).truth.dtype == "float64"
