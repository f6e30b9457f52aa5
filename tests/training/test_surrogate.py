import dataclasses
import json
import os
import sys
import time

import numpy as np
import pytest
import torch
from scipy import stats

from surrlab._files import read_json, write_json
from surrlab.data import Field, Grid
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.training import (
    NetworkConfig,
    Normaliser,
    TrainConfig,
    build,
    load,
    predict,
    run_config,
)

SMALL = {"start": [3, 1], "max_features": 8, "min_features": 8}


def test_statistics_are_of_the_given_samples_alone(ensemble):
    fitted = Normaliser.fit(ensemble.select([1, 4]))
    samples = np.concatenate([ensemble.read_simulation(s) for s in (1, 4)]).astype(np.float64)
    np.testing.assert_allclose(fitted.field_mean, samples.mean(axis=(0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(fitted.field_scale, samples.std(axis=(0, 2, 3)), rtol=1e-7)
    assert fitted != Normaliser.fit(ensemble.select([0, 5]))


def test_a_stored_model_is_the_trained_one(ensemble, fit, tmp_path):
    path = tmp_path / "model"
    trained = fit(ensemble, path=path)
    loaded = load(path)
    np.testing.assert_array_equal(
        *(predict(model, ensemble.inputs[:51]) for model in (loaded, trained))
    )
    assert loaded.history == trained.history and loaded.normaliser == trained.normaliser
    assert sorted(os.listdir(path)) == ["config.json", "history.json", "model.safetensors"]

    before = (path / "model.safetensors").stat().st_mtime_ns
    fit(ensemble, path=path)
    assert (path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="model of another run"):
        fit(ensemble, path=path, seed=1)


def test_an_unfinished_model_is_not_loaded(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished model"):
        load(tmp_path)


def test_a_model_of_an_older_version_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"train": {"start": [3, 1]}}))
    with pytest.raises(ValueError, match=r"surrlab 0\.1: remove it, and train it again"):
        load(tmp_path)


def test_a_folder_does_not_run_code_unless_it_is_trusted(ensemble, fit, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text("from surrlab.training import Generator as net\n")
    path, start = tmp_path / "model", {"start": [3, 1], "max_features": 8, "min_features": 8}
    config = TrainConfig(epochs=1, network=NetworkConfig("generator", start))
    trained = fit(ensemble, config, path=path)

    def rename(network):
        run = read_json(path / "config.json")
        run["train"]["network"]["name"] = network
        write_json(path / "config.json", run)

    rename("os:system")  # imported, but no network
    with pytest.raises(ValueError, match=r"wants to import the network 'os:system'.* trust=True"):
        load(path)
    rename("nothing")
    with pytest.raises(ValueError, match="no network is called 'nothing'"):
        load(path)
    rename("stranger:net")
    with pytest.raises(ValueError, match="wants to import the network 'stranger:net'"):
        load(path)
    assert "stranger" not in sys.modules
    for trust in (True, False):  # known to the process from the first time on
        inputs = ensemble.inputs[:3]
        fields = predict(load(path, trust=trust), inputs)
        np.testing.assert_array_equal(fields, predict(trained, inputs))


def test_prediction_does_not_depend_on_the_batch(ensemble, trained):
    whole = predict(trained, ensemble.inputs)
    assert whole.shape == ensemble.shape
    some = ensemble.inputs[105:107].reshape(2, 1, -1)
    parts = predict(trained, some, batch_size=1)
    assert parts.shape == (2, 1, *ensemble.sample_shape)
    np.testing.assert_allclose(whole[105:107, None], parts, rtol=1e-4, atol=1e-4)


def test_inputs_of_another_length_are_refused(ensemble, trained):
    with pytest.raises(ValueError, match=r"takes 4 inputs \(density_ratio, .*, time\), not 1"):
        predict(trained, ensemble.inputs[:, :1])


def test_an_ensemble_that_does_not_fit_is_refused(ensemble, trained):
    trained.require(ensemble)
    finer = Grid.uniform({"y": (48, -0.5, 0.5), "x": (16, -1 / 6, 1 / 6)}, unit="cm")
    for changes, match in [
        ({"grid": finer}, r"grid \[24, 8\].* \[48, 16\]"),
        ({"fields": (Field("density", "g/cm³"),)}, r"fields .*has \['density'\]"),
    ]:
        with pytest.raises(ValueError, match=match):
            trained.require(dataclasses.replace(ensemble, **changes))


def test_initial_weights_are_spread_like_torch_s_own(ensemble, small):
    """Seeds draw different networks from one distribution, not shifted copies of one network."""
    run = run_config(ensemble, small, seed=0)
    with torch.random.fork_rng():
        first = build(run).layers[0].weight.detach().ravel()
        run["seeds"]["init"] = 1
        second = build(run).layers[0].weight.detach()
    assert abs(stats.pearsonr(first, second.ravel()).statistic) < 0.3


@pytest.mark.parametrize("name", ["model.safetensors", "history.json", "config.json"])
def test_a_damaged_model_is_refused_and_trained_again(ensemble, fit, tmp_path, capsys, name):
    config = TrainConfig(epochs=1, network=NetworkConfig("generator", SMALL))
    first = fit(ensemble, config, path=tmp_path)
    file = tmp_path / name
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 16
    file.write_bytes(contents)
    with pytest.raises(OSError, match=name):
        load(tmp_path)
    again = fit(ensemble, config, path=tmp_path)
    assert "is made again" in capsys.readouterr().err
    for one, two in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, two)
    load(tmp_path)


def endless_inputs(run):
    run["interface"]["inputs"] = [f"p{i}" for i in range(10**7 // 40)]


def many_features(run):
    run["train"]["network"]["arguments"] |= {"max_features": 20_000, "min_features": 20_000}


def lacking(run):
    del run["normaliser"]["field_mean"]


def of_text(run):
    run["normaliser"]["field_mean"] = "12"


def not_finite(run):
    run["normaliser"]["field_scale"][0] = float("nan")


def no_object(run):
    run["interface"] = ["x"]


@pytest.mark.parametrize(
    "change", [endless_inputs, many_features, lacking, of_text, not_finite, no_object]
)
def test_an_absurd_configuration_is_refused_at_once(ensemble, fit, tmp_path, change):
    config = TrainConfig(epochs=1, network=NetworkConfig("generator", SMALL))
    fit(ensemble, config, path=tmp_path)
    run = read_json(tmp_path / "config.json")
    change(run)
    write_json(tmp_path / "config.json", run)
    began = time.monotonic()
    with pytest.raises(ValueError, match=str(tmp_path)):
        load(tmp_path)
    assert time.monotonic() - began < 5


def test_training_on_what_stands_for_no_value_is_refused(ensemble):
    samples = [ensemble.read_simulation(s).copy() for s in ensemble.simulations]
    samples[0][5, 1, 2, 2] = 9.97e36
    odd = InMemoryEnsemble.like(ensemble, samples, "odd")
    with pytest.raises(ValueError, match="time 5, field velocity_x holds 1 values"):
        Normaliser.fit(odd)
