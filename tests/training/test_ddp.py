"""Two processes under torchrun train the model that one trains: gloo, on this machine's cores."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from surrlab import cli, training
from surrlab.studies import presets

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]  # any free port

# Every rank notes what it learns from and what it gets back. In the first life, rank 1 kills itself
# in the third epoch.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from surrlab import ensembles, training

data, path, config, life = sys.argv[1:]
rank, life = os.environ["RANK"], int(life)
seen = (Path(path) / f"seen{rank}").open("a")

class Watched(training.Step):
    n = 0

    def __call__(self, inputs, fields, size, rate):
        print(json.dumps([life, inputs.tolist()]), file=seen, flush=True)
        self.n += 1
        if (life, rank, self.n) == (0, "1", 10):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(inputs, fields, size, rate)

training.Step = Watched
model = training.train(
    ensembles.open(data), training.TrainConfig(**json.loads(config)), seed=0, threads=1,
    path=Path(path) / "model", devices=2, strategy="ddp", precision="64-true", checkpoint_seconds=0,
)
sums = [float(t.double().sum()) for t in model.network.state_dict().values()]
(Path(path) / f"got{rank}").write_text(json.dumps([sums, model.history]))
"""


def uneven(ensemble):
    """The smoke preset's, on 306 samples in batches of 101: the last 3 are shared unevenly."""
    assert ensemble.inputs[..., 0].size == 306
    return dataclasses.replace(presets.get("smoke").train, batch_size=101)


def torchrun(*arguments, fails=False):
    command = [*TORCHRUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode != 0) == fails, done.stderr[-3000:]


def alone(ensemble, config, precision):
    return training.train(ensemble, config, seed=0, threads=1, precision=precision, progress=False)


@pytest.fixture(scope="module")
def folder(ensemble, tmp_path_factory):
    """What two ranks wrote."""
    path = tmp_path_factory.mktemp("ddp")
    (path / "program.py").write_text(PROGRAM)
    config = json.dumps(dataclasses.asdict(uneven(ensemble)))
    for life in (0, 1):
        torchrun(path / "program.py", ensemble.path, path, config, life, fails=life == 0)
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
    wanted = sorted(map(tuple, ensemble.inputs.reshape(-1, 4).tolist()))
    for shares in epochs:
        assert sorted(row for share in shares for batch in share for row in batch) == wanted
        assert sorted(map(len, (shares[0][-1], shares[1][-1]))) == [1, 2]
    assert epochs[0] != epochs[1]


def test_two_ranks_train_the_model_of_one(ensemble, folder):
    """In float64, the loss in float32: Adam makes a step of the rounding of a gradient near 0."""
    one = alone(ensemble, uneven(ensemble), "64-true")
    state = one.network.state_dict()
    weights = load_file(folder / "model" / training.WEIGHTS)
    assert set(weights) == set(state)
    for name, values in weights.items():
        theirs = state[name].numpy()
        np.testing.assert_allclose(values, theirs, rtol=1e-5, atol=1e-8, err_msg=name)
    losses = [[e["loss"] for e in m.history] for m in (training.load(folder / "model"), one)]
    np.testing.assert_allclose(*losses, rtol=1e-6)  # summed up in float32


def test_every_rank_returns_the_model_that_is_stored(folder):
    first, second = (json.loads((folder / f"got{rank}").read_text()) for rank in (0, 1))
    assert first == second
    assert training.load(folder / "model").history == first[1]
    names = ["config.json", "history.json", "model.safetensors"]
    assert sorted(path.name for path in (folder / "model").iterdir()) == names


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_train_command(ensemble, tmp_path, ranks):
    """On the preset's training side, as its study does; one process gives the study's model."""
    arguments = [ensemble.path, tmp_path / "model", "--preset", "smoke", "--hold-out"]
    arguments = [*map(str, arguments), "--threads", "1"]
    if ranks == 1:
        assert cli.main(["train", *arguments]) == 0
    else:
        torchrun("-m", "surrlab.cli", "train", *arguments)
    smoke = presets.get("smoke")
    train_set, _ = ensemble.split(smoke.test_fraction, smoke.seed)
    model, one = training.load(tmp_path / "model"), alone(train_set, smoke.train, "32-true")
    assert model.config == one.config
    losses = [[epoch["loss"] for epoch in m.history] for m in (model, one)]
    np.testing.assert_allclose(*losses, rtol=0 if ranks == 1 else 1e-3)
