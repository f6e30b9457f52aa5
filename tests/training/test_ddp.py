"""Two processes train the model that one trains: gloo, on this machine's cores."""

import dataclasses
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from surrlab import cli
from surrlab.studies import get_preset
from surrlab.training import load, make_fabric
from surrlab.training.surrogate import WEIGHTS

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]  # any free port

# Every rank notes what it learns from and what it gets back. In the first life, rank 1 kills itself
# in the third epoch. In the second, batch norm meets maps of other shapes afterwards.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path

os.environ |= environment  # before Fabric looks

from surrlab.data import open_ensemble
from surrlab.training import BatchNorm, make_fabric
from surrlab.training.train import Step, train

rank, path = os.environ["RANK"], Path(path)
seen = (path / f"seen{rank}").open("a")

class Watched(Step):
    n = 0

    def __call__(self, inputs, fields, size, rate):
        print(json.dumps([life, inputs.tolist()]), file=seen, flush=True)
        self.n += 1
        if (life, rank, self.n) == (0, "1", 10):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(inputs, fields, size, rate)

sys.modules["surrlab.training.train"].Step = Watched
model = train(
    open_ensemble(data), config, seed=0, threads=1, path=path / "model", checkpoint_seconds=0,
    fabric=make_fabric("cpu", 2, strategy="ddp", precision="64-true"),
)
sums = [float(t.double().sum()) for t in model.network.state_dict().values()]
layers = []
for maps in batches:
    layer, mine = BatchNorm(3).double(), maps[int(rank) :: 2].clone().requires_grad_()
    layer(mine).square().mul(maps[int(rank) :: 2]).sum().backward()
    layers.append([layer.running_mean.tolist(), layer.running_var.tolist(), mine.grad.tolist()])
(path / f"got{rank}").write_text(json.dumps([sums, model.history, layers]))
"""


def batches():
    """For batch norm: 5 samples, 3 channels, on grids of any number of axes."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (5, 3, 4), (5, 3, 2, 2, 3)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def uneven(ensemble):
    """The smoke preset's, on 306 samples in batches of 101: the last 3 are shared unevenly."""
    assert len(ensemble.samples) == 306
    return dataclasses.replace(get_preset("smoke").train, batch_size=101)


def torchrun(*arguments):
    command = [*TORCHRUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]


def two_ranks(start, program, **arguments):
    """Start a program as torchrun would, in two processes that have torch already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        start(program, environment=shared | {"RANK": str(r), "LOCAL_RANK": str(r)}, **arguments)
        for r in (0, 1)
    ]


@pytest.fixture(scope="module")
def folder(ensemble, start, tmp_path_factory):
    """What two ranks wrote."""
    path = tmp_path_factory.mktemp("ddp")
    (path / "program.py").write_text(PROGRAM)
    arguments = {"data": ensemble.name, "path": str(path), "config": uneven(ensemble)}
    arguments["batches"] = batches()
    for life in (0, 1):
        first, second = two_ranks(start, path / "program.py", life=life, **arguments)
        second.join(100)
        if life == 0:
            first.kill()  # as torchrun does, if it is still there
        first.join(100)
        assert (first.exitcode == second.exitcode == 0) == (life == 1)
    return path


def test_two_ranks_see_each_sample_once_an_epoch(ensemble, folder):
    steps = {}
    for rank in (0, 1):
        for line in (folder / f"seen{rank}").read_text().splitlines():
            life, rows = json.loads(line)
            steps.setdefault((life, rank), []).append(list(map(tuple, rows)))
    # Two whole epochs of four steps and a part; then the part again, and the rest.
    assert len(steps[0, 1]) == 10 and len(steps[1, 0]) == len(steps[1, 1]) == 8
    epochs = [[steps[k // 2, rank][4 * (k % 2) :][:4] for rank in (0, 1)] for k in range(4)]
    wanted = sorted(map(tuple, ensemble.inputs.tolist()))
    for parts in epochs:
        assert sorted(row for part in parts for batch in part for row in batch) == wanted
        assert sorted(map(len, (parts[0][-1], parts[1][-1]))) == [1, 2]
    assert epochs[0] != epochs[1]


def test_two_ranks_train_the_model_of_one(ensemble, folder, fit):
    """In float64, the loss in float32: Adam makes a step of the rounding of a gradient near 0."""
    one = fit(ensemble, uneven(ensemble), fabric=make_fabric("cpu", precision="64-true"))
    state = one.network.state_dict()
    weights = load_file(folder / "model" / WEIGHTS)
    assert set(weights) == set(state)
    for name, values in weights.items():
        theirs = state[name].numpy()
        np.testing.assert_allclose(values, theirs, rtol=1e-5, atol=1e-8, err_msg=name)
    losses = [[e["loss"] for e in m.history] for m in (load(folder / "model"), one)]
    np.testing.assert_allclose(*losses, rtol=1e-6)  # summed up in float32


def test_every_rank_returns_the_model_that_is_stored(folder):
    first, second = (json.loads((folder / f"got{rank}").read_text())[:2] for rank in (0, 1))
    assert first == second
    assert load(folder / "model").history == first[1]
    names = ["config.json", "history.json", "model.safetensors"]
    assert sorted(path.name for path in (folder / "model").iterdir()) == names


@pytest.mark.parametrize("i", range(3))
def test_batch_norm_of_two_ranks_is_that_of_the_whole_batch(folder, i):
    maps, layer = batches()[i].requires_grad_(), [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm3d][i]
    torchs = layer(3).double()
    torchs(maps).square().mul(maps.detach()).sum().backward()
    for rank in (0, 1):
        mean, variance, gradient = json.loads((folder / f"got{rank}").read_text())[2][i]
        np.testing.assert_allclose(mean, torchs.running_mean, atol=1e-14)
        np.testing.assert_allclose(variance, torchs.running_var, rtol=1e-14)
        np.testing.assert_allclose(gradient, maps.grad[rank::2], atol=1e-12)


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_train_command(ensemble, fit, tmp_path, ranks):
    """On the preset's training side, as its study does; one process gives the study's model."""
    arguments = [ensemble.name, tmp_path / "model", "--preset", "smoke", "--hold-out"]
    arguments = [*map(str, arguments), "--threads", "1"]
    if ranks == 1:
        assert cli.main(["train", *arguments]) == 0
    else:
        torchrun("-m", "surrlab.cli", "train", *arguments)
    smoke = get_preset("smoke")
    train_set, _ = ensemble.split(smoke.test_fraction, smoke.seed)
    model, one = load(tmp_path / "model"), fit(train_set, smoke.train)
    assert model.config == one.config
    losses = [[epoch["loss"] for epoch in m.history] for m in (model, one)]
    np.testing.assert_allclose(*losses, rtol=0 if ranks == 1 else 1e-3)
