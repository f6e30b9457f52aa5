"""What tests of training share: a small configuration, and processes that start at once."""

import multiprocessing
import runpy

import pytest

from surrlab.training import TrainConfig, generator, train

SMALL = TrainConfig(
    epochs=3,
    batch_size=32,
    learning_rate=4e-3,
    schedule="one-cycle",
    network=generator(max_features=16, min_features=8),
)


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def fit():
    """Train on one thread, by default the small configuration with seed 0."""

    def fit(ensemble, config=SMALL, **arguments):
        return train(ensemble, config, progress=False, threads=1, **{"seed": 0} | arguments)

    return fit


@pytest.fixture(scope="session")
def trained(ensemble, fit):
    return fit(ensemble)


@pytest.fixture(scope="session")
def start():
    """Run a Python file in a process that has torch already, its arguments as globals."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["surrlab.training.train", "surrlab.data.open", "lightning_fabric"]
    )

    def start(file, **arguments):
        process = context.Process(target=runpy.run_path, args=(str(file), arguments), daemon=True)
        process.start()
        return process

    return start
