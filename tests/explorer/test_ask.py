"""The third page: what raw and lossy models predict where nobody has simulated."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr
from waves import waves

import surrlab
from surrlab import explorer, training
from surrlab._files import write_json
from surrlab.explorer._opening import open_results
from surrlab.explorer._predictor import DIFFERENCE, open_predictor
from surrlab.explorer.source import NO_MODELS
from surrlab.explorer.widget import ASK


@pytest.fixture
def predictor(studied):
    return open_predictor(open_results(studied))


@pytest.fixture
def copy(studied, tmp_path):
    return shutil.copytree(studied, tmp_path / "copy")


def middle(predictor):
    return {one.name: one.middle for one in predictor.ranges}


def text_of(markup):
    return re.sub("<[^>]+>", " ", markup)


def test_ranges_are_those_of_the_training_simulations_alone(studied, predictor):
    results = open_results(studied)
    learned = sorted(set(results.simulations) - set(results.held_out))
    inputs = results.truth.select(learned).inputs
    np.testing.assert_allclose([one.low for one in predictor.ranges], inputs.min(axis=0))
    np.testing.assert_allclose([one.high for one in predictor.ranges], inputs.max(axis=0))
    assert [one.name for one in predictor.ranges] == list(results.truth.input_names)
    assert predictor.ranges[-1].label == "time (s)"


def test_predictions_are_those_of_the_stored_models(studied, predictor):
    values, version = middle(predictor), predictor.versions[0]
    view = predictor.view(values, version, "pressure")
    table = xr.load_dataset(studied / "lossy_training.nc", engine="h5netcdf")
    raw = table["folder"].values[table["kind"].values == "raw"]
    lossy = table["folder"].values[table["kind"].values == "lossy"]
    inputs, models = np.float32(list(values.values())), studied / "models"
    first, other, one = (
        training.predict(training.load(models / str(name)), inputs)[3] for name in (*raw, lossy[0])
    )
    np.testing.assert_allclose(view.raw, first, rtol=1e-5)
    np.testing.assert_allclose(view.lossy, one, rtol=1e-5)
    assert view.l1 == pytest.approx(np.abs(one - first).mean(), rel=1e-4)
    assert view.linf == pytest.approx(np.abs(one - first).max(), rel=1e-4)
    assert view.variability == pytest.approx(np.abs(other - first).mean(), rel=1e-4)
    errors = table["l1"].sel(field="pressure").values[table["kind"].values == "raw"]
    assert view.model_error == pytest.approx(errors.mean())
    np.testing.assert_array_equal(view.panels[DIFFERENCE], view.lossy - view.raw)


def test_each_model_is_loaded_once(predictor, monkeypatch):
    from surrlab.training import surrogate

    loaded, load = [], surrogate.load
    monkeypatch.setattr(surrogate, "load", lambda *a, **k: loaded.append(a) or load(*a, **k))
    threads = torch.get_num_threads()
    for time in (1.0, 2.0, 3.0):
        predictor.view(middle(predictor) | {"time": time}, predictor.versions[0], "density")
    assert len(loaded) == len(set(loaded)) == 3  # two raw models and a lossy one
    assert torch.get_num_threads() == threads


def test_what_is_outside_the_training_data_is_said(predictor):
    values = middle(predictor)
    with pytest.raises(ValueError, match=r"time = 99 is outside the training data, .* s$"):
        predictor.view(values | {"time": 99.0}, "", "density")
    with pytest.raises(KeyError, match="the model takes density_ratio"):
        predictor.inputs({"time": 1.0})
    with pytest.raises(KeyError, match="there is no model of 'gzip'"):
        predictor.view(values, "gzip", "density")
    for one in predictor.ranges:  # its ends belong to it, also after they were written as text
        for end in (one.low, one.high):
            predictor.inputs(values | {one.name: float(f"{end:.6g}")})


def test_sliders_change_pictures_numbers_and_code(studied):
    view = explorer.explore(studied)
    view.page.value = ASK
    page = view.ask
    assert view.message == "" and list(page.sliders)[-1] == "time"
    assert page.version.value.endswith("×1)")
    seen = set()
    for value in (page.sliders["time"].min, page.sliders["time"].max):
        page.sliders["time"].value = value
        images = tuple(bytes(one.value) for one in page.images.values())
        seen |= {*images, page.numbers.value, view.call()}
    assert len(seen) == 2 * 5
    one = page.view()
    text = text_of(page.numbers.value)
    for unit, pattern in ((one.model_error, "model error"), (one.variability, "that")):
        shown = re.search(rf"([\d.,]+) × {pattern}", text)[1]
        assert float(shown.replace(",", "")) == pytest.approx(one.l1 / unit, rel=0.06)
    page.sliders["time"].value = 1e9  # a slider cannot leave its range
    assert page.sliders["time"].value == page.sliders["time"].max and view.message == ""
    namespace = {}
    exec(view.call().replace("explorer.picture", "figure = explorer.picture"), namespace)
    assert len(namespace["figure"].axes) == 5


def test_without_models_the_page_says_what_to_run(copy):
    for name in ("lossy_training", "variability"):
        (copy / f"{name}.nc").unlink()
    view = explorer.explore(copy)
    view.page.value = ASK
    assert NO_MODELS in view.ask.box.children[0].value.replace("&#x27;", "'")
    assert view.call() and view.message == ""


def test_without_weights_the_page_says_what_to_run(copy):
    shutil.rmtree(copy / "models")
    view = explorer.explore(copy)
    view.page.value = ASK
    assert "surrlab study" in view.ask.box.children[0].value and not view.ask.sliders


def test_a_version_whose_weights_are_gone_is_named(copy):
    results = open_results(copy)
    name, model = list(results.models.models.items())[-1]
    shutil.rmtree(results.models.folder(model))
    view = explorer.explore(copy)
    view.page.value = ASK
    assert name not in view.ask.version.options
    notes = text_of("".join(one.value for one in view.ask.box.children[1].children[0].children[4:]))
    assert name in notes and "run the study again" in notes


def test_a_network_that_a_folder_names_is_not_imported_unless_told(copy):
    """`here:never` does not exist: importing it would fail in another way."""
    for file in copy.glob("models/*/config.json"):
        run = json.loads(file.read_text())
        del run["sha256"]
        run["train"]["network"] = {"name": "here:never", "arguments": {}}
        write_json(file, run)
    for trust, sentence in ((False, "wants to import the network"), (True, "No module named")):
        view = explorer.explore(copy, trust=trust)
        view.page.value = ASK
        assert sentence in view.message


def tiny(n_inputs, n_fields, shape):
    """Somebody's own network: one layer."""
    ny, nx = shape
    return torch.nn.Sequential(
        torch.nn.Linear(n_inputs, n_fields * ny * nx), torch.nn.Unflatten(1, (n_fields, ny, nx))
    )


def test_a_foreign_ensemble_and_a_network_of_ones_own(tmp_path):
    """Odd names, ragged times, fields that never change; a raw model alone."""
    training.register_network("tiny-ask", tiny)
    path = tmp_path / "waves"
    waves(path, (4, 5, 3, 6, 4, 5))
    numbers = {
        "network": "tiny-ask",
        "epochs": 1,
        "n_raw_models": 2,
        "looks": (2,),
        "generation_seeds": (1,),
    }
    with ThreadPoolExecutor(1) as pool:
        study = surrlab.open_study(None, tmp_path / "results", path, executor=pool, **numbers)
        surrlab.studies.variability_study(study)
    view = explorer.explore(study.path, ensemble=path)
    view.page.value = ASK
    assert view.message == "" and set(view.ask.sliders) == {"speed", "time"}
    for name in ("salinity", "orography", "temperature", "nothing"):
        view.field.value = {"temperature": "T2M"}.get(name, name)
        assert view.message == "" and view.ask.images["raw"].value
    assert list(view.ask.images) == ["raw"] and "raw model alone" in view.ask.headline.value
    assert view.figure().axes and "version" not in view.call()
