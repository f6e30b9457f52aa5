import dataclasses
import sys

import numpy as np
import pytest
import torch

from surrlab.training import (
    TrainConfig,
    build,
    generator,
    load,
    make_fabric,
    predict,
    run_config,
    run_id,
)


def weights(surrogate):
    return weights_of(surrogate.network)


def weights_of(network):
    return np.concatenate([t.ravel().numpy() for t in network.state_dict().values()])


def test_defaults_are_the_paper_s():
    paper = TrainConfig()
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (250, 64, 1e-4)
    assert paper.rate(0, 100) == paper.rate(99, 100) == 1e-4
    numbers = {"start": [3, 1], "max_features": 1024, "min_features": 128}
    assert paper.network.config() == {"name": "generator", "arguments": numbers}


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing(small):
    rates = [small.rate(step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(small.learning_rate) and np.argmax(rates) == 30
    assert rates[-1] < 0.01 * small.learning_rate
    assert np.all(np.diff(rates[:31]) > 0) and np.all(np.diff(rates[30:]) < 0)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": -1.0}, {"schedule": "cosine"}])
def test_a_wrong_configuration_cannot_be_built(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*{next(iter(wrong.values()))}"):
        TrainConfig(**wrong)


def test_what_a_gpu_keeps_changes_no_bit_of_the_model(ensemble, fit, trained, monkeypatch):
    train = sys.modules[run_id.__module__]
    monkeypatch.setattr(train, "_on_gpu", lambda fabric: True)
    monkeypatch.setattr(train, "DECODED", ensemble.raw_nbytes // 3)
    np.testing.assert_array_equal(weights(fit(ensemble)), weights(trained))


def test_it_learns(ensemble, fit, small):
    surrogate = fit(ensemble, dataclasses.replace(small, epochs=20))
    losses = [epoch["loss"] for epoch in surrogate.history]
    assert len(losses) == 20 and losses[-1] < 0.6 * losses[0]

    scale = np.array(surrogate.normaliser.field_scale)[:, None, None]
    truth, inputs = ensemble.read_simulation(3), ensemble.inputs[list(ensemble.of(3))]
    error = (np.abs(predict(surrogate, inputs) - truth) / scale).mean()
    mean = (np.abs(truth.mean(axis=0) - truth) / scale).mean()
    assert error < mean  # better than the best guess that ignores time


def test_seeds_act_each_on_its_own(ensemble, fit, trained):
    base = weights(trained)
    np.testing.assert_array_equal(base, weights(fit(ensemble)))
    np.testing.assert_array_equal(base, weights(fit(ensemble, kernel_seed=7)))  # no dropout
    same = fit(ensemble, seed=9, init_seed=0, shuffle_seed=0)
    np.testing.assert_array_equal(base, weights(same))
    init, shuffle = (fit(ensemble, **{name: 1}) for name in ("init_seed", "shuffle_seed"))
    assert not np.array_equal(base, weights(init))
    assert not np.array_equal(base, weights(shuffle))
    np.testing.assert_array_equal(*(weights_of(build(m.config)) for m in (shuffle, trained)))


def test_training_leaves_torch_s_generator_alone(ensemble, fit):
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    fit(ensemble)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_another_precision_trains_a_model_that_predicts(
    ensemble, fit, trained, tmp_path, precision
):
    model = fit(ensemble, fabric=make_fabric("cpu", precision=precision), path=tmp_path)
    assert model.config["precision"] == precision
    assert all(tensor.dtype != torch.float64 for tensor in model.network.state_dict().values())
    inputs = ensemble.inputs[:51]
    fields = predict(model, inputs)
    np.testing.assert_array_equal(fields, predict(load(str(tmp_path)), inputs))
    exact = predict(trained, inputs)
    assert not np.array_equal(fields, exact)
    assert np.corrcoef(fields.ravel(), exact.ravel())[0, 1] > 0.95


def test_a_fabric_can_be_launched_already(ensemble, fit, trained):
    fabric = make_fabric("cpu")
    fabric.launch()
    np.testing.assert_array_equal(weights(fit(ensemble, fabric=fabric)), weights(trained))


def test_a_run_id_is_of_its_configuration(ensemble, small, monkeypatch):
    def name(config=small, data=ensemble, **seeds):
        return run_id(run_config(data, config, **{"seed": 0} | seeds))

    wider = dataclasses.replace(small, network=generator(max_features=16, min_features=16))
    assert name() == name() == name(init_seed=0)
    ids = [name(), name(seed=1), name(data=ensemble.select([0, 1]))]
    ids += [name(TrainConfig()), name(wider)]
    monkeypatch.setattr(sys.modules[run_id.__module__], "STEPS", 0)  # other arithmetic
    assert len({name(), *ids}) == 6


def test_a_loss_that_explodes_is_said(ensemble, fit, small):
    config = dataclasses.replace(small, learning_rate=1e30, schedule="constant")
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit(ensemble, config)
