import dataclasses

import numpy as np
import torch

from surrlab.training.checkpoint import CHECKPOINT, Checkpoint
from surrlab.training.surrogate import CONFIG

# Kills itself in the middle of the seventh epoch.
PROGRAM = """
import os, signal, sys
from surrlab.data import open_ensemble
from surrlab.training.train import Step, train

class Killed(Step):
    n = 0

    def __call__(self, *batch):
        self.n += 1
        if self.n == 65:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*batch)

sys.modules["surrlab.training.train"].Step = Killed
train(open_ensemble(data), config, seed=0, path=path, threads=1, checkpoint_seconds=0)
"""


def weights(surrogate):
    return np.concatenate([t.ravel().numpy() for t in surrogate.network.state_dict().values()])


def test_killed_in_the_middle_it_ends_with_the_same_weights(ensemble, fit, small, start, tmp_path):
    config, path = dataclasses.replace(small, epochs=12), tmp_path / "model"
    (tmp_path / "program.py").write_text(PROGRAM)
    child = start(tmp_path / "program.py", data=ensemble.name, config=config, path=path)
    child.join(60)
    assert child.exitcode == -9
    assert (path / CHECKPOINT).exists() and not (path / CONFIG).exists()
    resumed = fit(ensemble, config, path=path)
    np.testing.assert_array_equal(weights(resumed), weights(fit(ensemble, config)))
    assert [epoch["epoch"] for epoch in resumed.history] == list(range(12))
    assert not (path / CHECKPOINT).exists()


def test_a_checkpoint_of_another_run_is_not_resumed(trained, tmp_path):
    network = trained.network
    optimizer = torch.optim.Adam(network.parameters())
    Checkpoint(tmp_path, "one", 0).write_if_due(network, optimizer, [{"epoch": 0}])
    assert Checkpoint(tmp_path, "other", 0).resume(network, optimizer) == []
    assert Checkpoint(tmp_path, "one", 0).resume(network, optimizer) == [{"epoch": 0}]
    assert Checkpoint(None, "one", 0).resume(network, optimizer) == []


def test_checkpoints_are_not_written_all_the_time(trained, tmp_path):
    optimizer = torch.optim.Adam(trained.network.parameters())
    Checkpoint(tmp_path, "one", 3600).write_if_due(trained.network, optimizer, [])
    assert not (tmp_path / CHECKPOINT).exists()


def test_every_flip_in_a_checkpoint_is_noticed_or_harmless(tmp_path, capsys):
    def network():
        torch.manual_seed(3)
        return torch.nn.Linear(3, 2)

    def step(of):
        optimizer = torch.optim.Adam(of.parameters())
        of(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return optimizer

    trained = network()
    optimizer = step(trained)
    Checkpoint(tmp_path, "run", -1).write_if_due(trained, optimizer, [{"epoch": 0, "loss": 0.5}])
    path, fresh = tmp_path / "checkpoint.safetensors", 0
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        contents = bytearray(whole)
        contents[at] ^= 1 << at % 8
        path.write_bytes(contents)
        other = network()
        history = Checkpoint(tmp_path, "run", 0).resume(other, step(network()))
        if history:
            assert history == [{"epoch": 0, "loss": 0.5}]
            for one, two in zip(trained.parameters(), other.parameters(), strict=True):
                assert torch.equal(one, two)
        else:
            fresh += 1
            assert "is made again" in capsys.readouterr().err
    assert fresh > len(whole) // 14
