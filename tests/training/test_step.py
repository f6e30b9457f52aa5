import dataclasses

import numpy as np
import pytest
import torch

from surrlab.training import build, make_fabric
from surrlab.training.step import MeanAbsolute


def weights(network):
    return np.concatenate([t.ravel().numpy() for t in network.state_dict().values()])


def test_the_last_step_of_adam_is_torch_s_own(ensemble, fit, small):
    """One step of one batch against plain torch: no hidden scaling of loss or gradient."""
    config = dataclasses.replace(small, epochs=1, batch_size=51, schedule="constant")
    one = ensemble.select([2])
    surrogate = fit(one, config)
    network = build(surrogate.config)
    normaliser = surrogate.normaliser
    inputs = (one.inputs - np.float32(normaliser.input_mean)) / np.float32(normaliser.input_scale)
    fields = one.read_simulation(2) - np.float32(normaliser.field_mean)[:, None, None]
    fields /= np.float32(normaliser.field_scale)[:, None, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    torch.nn.functional.l1_loss(network(torch.tensor(inputs)), torch.tensor(fields)).backward()
    optimizer.step()
    # Batch normalisation sees the samples in shuffled order: sums agree to rounding, and Adam's
    # first step is the sign of the gradient, so entries with a vanishing one may differ.
    close = np.isclose(weights(network), weights(surrogate.network), atol=1e-4)
    assert close.mean() > 0.98


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(33, 3, 50, 30), (5, 2, 7), (4, 1, 3, 4, 5)])
def test_the_loss_and_its_gradient_are_torch_s_own_to_the_last_bit(shape, masked):
    """Or stored models would no longer be those of their run ids."""
    rng = torch.Generator().manual_seed(0)
    made, truth = torch.randn(2, *shape, generator=rng)
    made[0, 0] = truth[0, 0]  # where the gradient is zero
    weight = torch.rand(shape[1:], generator=rng) if masked else None

    def found(loss_of, factor=7 / 3):
        x = made.clone().requires_grad_()
        loss = loss_of(x - truth) * factor
        loss.backward()
        return loss.detach(), x.grad

    ours = found(lambda differences: MeanAbsolute.apply(differences, weight))
    theirs = found(lambda d: (d.abs() if weight is None else d.abs() * weight).mean())
    assert all(map(torch.equal, ours, theirs))
    assert (ours[1][0, 0] == 0).all() and (ours[1][1] != 0).any()


SLURM = {"JOB_ID": "7", "JOB_NAME": "job", "NTASKS": "4", "NNODES": "2", "PROCID": "3"}
SLURM |= {"LOCALID": "1", "NODEID": "1", "NTASKS_PER_NODE": "2", "NODELIST": "node[1-2]"}


@pytest.mark.parametrize("variables", [{}, SLURM])
@pytest.mark.parametrize("devices", [1, "1"])
def test_one_process_does_not_look_for_a_cluster(
    ensemble, fit, trained, tmp_path, monkeypatch, variables, devices
):
    """On a login node with ``srun``, in a batch job without it. A warning would be an error."""
    (tmp_path / "srun").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    fabric = make_fabric("cpu", devices)
    assert (fabric.world_size, fabric.global_rank) == (1, 0)
    model = fit(ensemble, fabric=fabric)
    np.testing.assert_array_equal(weights(model.network), weights(trained.network))
