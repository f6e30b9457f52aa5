import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scipy import stats

from surrlab import training
from surrlab.training.surrogate import Normaliser
from surrlab.training.train import TrainConfig

SMALL = TrainConfig(
    epochs=3, batch_size=32, learning_rate=4e-3, schedule="one-cycle", max_features=16,
    min_features=8,
)  # fmt: skip


def train(ensemble, config=SMALL, **arguments):
    return training.train(ensemble, config, progress=False, threads=1, **{"seed": 0} | arguments)


def weights(surrogate):
    return np.concatenate([t.ravel().numpy() for t in surrogate.network.state_dict().values()])


def test_defaults_are_the_paper_s():
    paper = TrainConfig()
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (250, 64, 1e-4)
    assert paper.rate(0, 100) == paper.rate(99, 100) == 1e-4


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing():
    rates = [SMALL.rate(step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(SMALL.learning_rate) and np.argmax(rates) == 30
    assert rates[-1] < 0.01 * SMALL.learning_rate
    assert np.all(np.diff(rates[:31]) > 0) and np.all(np.diff(rates[30:]) < 0)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": -1.0}, {"schedule": "cosine"}])
def test_a_wrong_configuration_cannot_be_built(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*{next(iter(wrong.values()))}"):
        TrainConfig(**wrong)


def test_statistics_are_of_the_given_samples_alone(ensemble):
    part = ensemble.select([1, 4])
    fitted = Normaliser.fit(part)
    samples = np.concatenate([ensemble.read(1), ensemble.read(4)]).astype(np.float64)
    np.testing.assert_allclose(fitted.field_mean, samples.mean(axis=(0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(fitted.field_scale, samples.std(axis=(0, 2, 3)), rtol=1e-7)
    assert fitted != Normaliser.fit(ensemble.select([0, 5]))


def test_it_learns(ensemble):
    config = dataclasses.replace(SMALL, epochs=30)
    surrogate = train(ensemble, config)
    losses = [epoch["loss"] for epoch in surrogate.history]
    assert len(losses) == 30 and losses[-1] < 0.6 * losses[0]

    scale = np.array(surrogate.normaliser.field_scale)[:, None, None]
    truth = ensemble.read(3)
    error = (np.abs(training.predict(surrogate, ensemble.inputs[3]) - truth) / scale).mean()
    mean = (np.abs(truth.mean(axis=0) - truth) / scale).mean()
    assert error < mean  # better than the best guess that ignores time


def test_the_last_step_of_adam_is_torch_s_own(ensemble):
    """One step of one batch against plain torch: no hidden scaling of loss or gradient."""
    config = dataclasses.replace(SMALL, epochs=1, batch_size=51, schedule="constant")
    one = ensemble.select([2])
    surrogate = train(one, config)
    network = training.build(surrogate.config)
    normaliser = surrogate.normaliser
    inputs = (one.inputs[0] - np.float32(normaliser.input_mean)) / np.float32(
        normaliser.input_scale
    )
    fields = one.read(2) - np.float32(normaliser.field_mean)[:, None, None]
    fields /= np.float32(normaliser.field_scale)[:, None, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    torch.nn.functional.l1_loss(network(torch.tensor(inputs)), torch.tensor(fields)).backward()
    optimizer.step()
    # Batch normalisation sees the samples in shuffled order: sums agree to rounding, and Adam's
    # first step is the sign of the gradient, so entries with a vanishing one may differ.
    close = np.isclose(weights_of(network), weights(surrogate), atol=1e-4)
    assert close.mean() > 0.98


def weights_of(network):
    return np.concatenate([t.ravel().numpy() for t in network.state_dict().values()])


def test_seeds_act_each_on_its_own(ensemble):
    base = weights(train(ensemble))
    np.testing.assert_array_equal(base, weights(train(ensemble)))
    np.testing.assert_array_equal(base, weights(train(ensemble, kernel_seed=7)))  # no dropout
    same = train(ensemble, seed=9, init_seed=0, shuffle_seed=0)
    np.testing.assert_array_equal(base, weights(same))
    for name in ("init_seed", "shuffle_seed"):
        assert not np.array_equal(base, weights(train(ensemble, **{name: 1})))
    first = training.build(train(ensemble, shuffle_seed=1).config)
    np.testing.assert_array_equal(
        weights_of(first), weights_of(training.build(train(ensemble).config))
    )


def test_training_leaves_torch_s_generator_alone(ensemble):
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    train(ensemble)
    assert torch.equal(torch.rand(3), expected)


def test_a_stored_model_is_the_trained_one(ensemble, tmp_path):
    path = tmp_path / "model"
    trained = train(ensemble, path=path)
    loaded = training.load(path)
    np.testing.assert_array_equal(
        *(training.predict(model, ensemble.inputs[0]) for model in (loaded, trained))
    )
    assert loaded.history == trained.history and loaded.normaliser == trained.normaliser
    assert sorted(os.listdir(path)) == ["config.json", "history.json", "model.safetensors"]

    before = (path / "model.safetensors").stat().st_mtime_ns
    train(ensemble, path=path)
    assert (path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="model of another run"):
        train(ensemble, path=path, seed=1)


def test_an_unfinished_model_is_not_loaded(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished model"):
        training.load(tmp_path)


def test_prediction_does_not_depend_on_the_batch(ensemble):
    surrogate = train(ensemble)
    whole = training.predict(surrogate, ensemble.inputs)
    assert whole.shape == ensemble.shape
    parts = training.predict(surrogate, ensemble.inputs[2, 7:8], batch_size=1)
    np.testing.assert_allclose(whole[2, 7:8], parts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_another_precision_trains_a_model_that_predicts(ensemble, tmp_path, precision):
    trained = train(ensemble, precision=precision, path=tmp_path)
    fields = training.predict(trained, ensemble.inputs[0])
    np.testing.assert_array_equal(
        fields, training.predict(training.load(str(tmp_path)), ensemble.inputs[0])
    )
    exact = training.predict(train(ensemble), ensemble.inputs[0])
    assert not np.array_equal(fields, exact)
    assert np.corrcoef(fields.ravel(), exact.ravel())[0, 1] > 0.95


def test_inputs_of_another_length_are_refused(ensemble):
    with pytest.raises(ValueError, match=r"takes 4 inputs \(density_ratio, .*, time\), not 1"):
        training.predict(train(ensemble), ensemble.inputs[0][:, :1])


def test_an_ensemble_that_does_not_fit_is_refused(ensemble, tmp_path):
    surrogate = train(ensemble)
    surrogate.require(ensemble)
    for key, value, match in [
        ("grid", ensemble.manifest["grid"] | {"ny": 48, "nx": 16}, r"grid \[24, 8\].* \[48, 16\]"),
        ("fields", {"density": "g/cm³"}, r"fields .*has \['density'\]"),
    ]:
        manifest = ensemble.manifest | {key: value}
        with pytest.raises(ValueError, match=match):
            surrogate.require(dataclasses.replace(ensemble, manifest=manifest))


def test_killed_in_the_middle_it_ends_with_the_same_weights(ensemble, tmp_path):
    config = dataclasses.replace(SMALL, epochs=60)
    code = (
        "from surrlab import ensembles, training\n"
        f"training.train(ensembles.open({str(ensemble.path)!r}), training.{config!r}, seed=0,"
        f" path=__import__('pathlib').Path({str(tmp_path)!r}), threads=1, checkpoint_seconds=0)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not (tmp_path / training.CHECKPOINT).exists():
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / training.CONFIG).exists()
    resumed = train(ensemble, config, path=tmp_path)
    np.testing.assert_array_equal(weights(resumed), weights(train(ensemble, config)))
    assert [epoch["epoch"] for epoch in resumed.history] == list(range(60))


def test_a_run_id_is_of_its_configuration(ensemble):
    def name(config=SMALL, data=ensemble, **seeds):
        return training.run_id(training.run_config(data, config, **{"seed": 0} | seeds))

    assert name() == name() == name(init_seed=0)
    others = [name(seed=1), name(data=ensemble.select([0, 1])), name(TrainConfig())]
    assert len({name(), *others}) == 4


def test_a_loss_that_explodes_is_said(ensemble):
    config = dataclasses.replace(SMALL, learning_rate=1e30, schedule="constant")
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(ensemble, config)


def test_initial_weights_are_spread_like_torch_s_own(ensemble):
    """Seeds draw different networks from one distribution, not shifted copies of one network."""
    run = training.run_config(ensemble, SMALL, seed=0)
    first = training.build(run).layers[0].weight.detach().ravel()
    run["seeds"]["init"] = 1
    second = training.build(run).layers[0].weight.detach()
    assert abs(stats.pearsonr(first, second.ravel()).statistic) < 0.3
