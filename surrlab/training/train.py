"""Train a surrogate from an ensemble's files (Sections II and V-A).

The loss is the paper's Eq. (1), the mean absolute error, on fields normalised with statistics of
the training data. Lightning Fabric moves the work to whatever devices there are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from surrlab._files import DamagedError, say_again
from surrlab._locks import locked, remove_dead_lock
from surrlab.loading.device import DeviceCache, page_locked
from surrlab.loading.loader import SampleLoader
from surrlab.training.checkpoint import Checkpoint
from surrlab.training.networks import NetworkConfig, generator
from surrlab.training.step import Step, make_fabric, rank_batches
from surrlab.training.surrogate import (
    CONFIG,
    Normaliser,
    Surrogate,
    build,
    interface,
    load,
    read_model,
    save,
    tensors,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from surrlab.data.ensemble import Ensemble

STEPS = 2
"""Version of what a step of training computes, to the last bit: a part of the run id."""
DECODED = 1 << 28
"""Bytes of decoded samples that a training keeps: on a CPU all or none, on a GPU those that fit."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train: by default the paper's numbers for Rayleigh-Taylor (Section V-A).

    Parameters
    ----------
    epochs : int
        Passes over the training samples.
    batch_size : int
        Samples per step, over all devices together.
    learning_rate : float
        Adam's rate; the peak with ``schedule="one-cycle"``.
    schedule : {"constant", "one-cycle"}
        The paper keeps the rate constant. One cycle (cosine up over 30 % of the steps, then down)
        converges in a tenth of the epochs.
    network : NetworkConfig
        What is trained.
    """

    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-4
    schedule: str = "constant"
    network: NetworkConfig = field(default_factory=generator)

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.schedule not in ("constant", "one-cycle"):
            raise ValueError(f"schedule must be 'constant' or 'one-cycle', not {self.schedule!r}")

    def config(self) -> dict[str, Any]:
        """The numbers and the network as JSON."""
        return asdict(self) | {"network": self.network.config()}

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step of `steps`."""
        if self.schedule == "constant":
            return self.learning_rate
        peak = 0.3 * steps
        if step < peak:
            low, progress = 1 / 25, step / peak
        else:
            low, progress = 1e-4, 1 - (step - peak) / (steps - peak)
        return self.learning_rate * (low + (1 - low) * (1 - math.cos(math.pi * progress)) / 2)


def run_config(
    ensemble: Ensemble,
    config: TrainConfig,
    *,
    seed: int,
    init_seed: int | None = None,
    shuffle_seed: int | None = None,
    kernel_seed: int | None = None,
    precision: str = "32-true",
) -> dict[str, Any]:
    """What decides a model's weights, as JSON; `run_id` hashes it.

    Devices, processes and threads are not part of it: they change the order of sums, not the model.
    """
    seeds = {"init": init_seed, "shuffle": shuffle_seed, "kernel": kernel_seed}
    return {
        "steps": STEPS,
        "train": config.config(),
        "seeds": {name: seed if value is None else value for name, value in seeds.items()},
        "precision": precision,
        "data": {"digest": ensemble.digest, "simulations": list(ensemble.simulations)},
        "interface": interface(ensemble),
    }


def run_id(run: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that name a run's folder: equal configurations, equal names."""
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:12]


def train(
    ensemble: Ensemble,
    config: TrainConfig,
    *,
    seed: int,
    init_seed: int | None = None,
    shuffle_seed: int | None = None,
    kernel_seed: int | None = None,
    path: str | os.PathLike | None = None,
    fabric: Fabric | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 20.0,
    progress: bool = True,
) -> Surrogate:
    """Train a network on every sample of `ensemble`, raw or compressed.

    Samples come through `SampleLoader`, so a compressed ensemble is decoded on-line (Fig. 2,
    workflow 2); one of no more than `DECODED` bytes is decoded once. A GPU keeps that many of a
    larger one, too, and gets the next batch while it computes. With a `path` the model is stored
    there, a finished one is loaded instead of trained again, and a killed run goes on from its last
    checkpoint to the same weights.

    Parameters
    ----------
    ensemble : Ensemble
        The training side of a split.
    config : TrainConfig
        Epochs, batch, rate, network.
    seed : int
        Default of the three below.
    init_seed, shuffle_seed, kernel_seed : int, optional
        Of the initial weights, of the order of the samples, and of whatever draws random numbers
        during training on the device (dropout; nothing in `Generator`). Kernels are
        deterministic where torch offers it.
    path : path, optional
        Folder of the model: weights, ``config.json`` (written last), history.
    fabric : lightning_fabric.Fabric, optional
        Devices and precision, see `make_fabric`; launched here unless it is. By default one CPU
        process. With several ranks each takes its part of every batch, and the model is that of
        one device, to rounding.
    threads : int, optional
        CPU threads of torch (from now on in this process) and of the loader; results are equal
        to the last bit only for an equal number.
    checkpoint_seconds : float
        Least time between two checkpoints, which are taken between epochs.
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        If the network cannot be built or does not fit the ensemble, or `path` holds another run.
    FloatingPointError
        If the loss is no longer finite.
    """
    run = run_config(
        ensemble,
        config,
        seed=seed,
        init_seed=init_seed,
        shuffle_seed=shuffle_seed,
        kernel_seed=kernel_seed,
        precision="32-true" if fabric is None else fabric.strategy.precision.precision,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    path = None if path is None else Path(path)
    if path is not None and (finished := _finished(path, run)) is not None:
        remove_dead_lock(path)
        return finished
    fabric = fabric or make_fabric("cpu")
    fabric.launch()
    with _only_writer(path, fabric), torch.random.fork_rng(), _deterministic():
        finished = _finished(path, run, say=fabric.global_rank == 0)
        if fabric.broadcast(finished is not None):  # by another process, in the meantime
            return finished or load(path, trust=True)  # type: ignore[arg-type]
        network = build(run, check=True)  # before the statistics, which read the whole ensemble
        normaliser = Normaliser.fit(ensemble, fabric)
        step = Step(fabric, network, config.learning_rate, normaliser, ensemble.valid)
        checkpoint = Checkpoint(path, run_id(run), checkpoint_seconds)
        history = checkpoint.resume(step.network, step.optimizer)
        if fabric.broadcast(len(history)) != len(history):
            raise ValueError(f"{path} must be one folder that every process sees")
        bar = tqdm(
            range(len(history), config.epochs),
            f"train seed {seed}",
            unit="epoch",
            disable=not progress or fabric.global_rank > 0,
        )
        with _loader(ensemble, config, run, fabric, threads) as loader:
            gpu = _on_gpu(fabric)
            batches = DeviceCache(loader, fabric.device, DECODED) if gpu else loader
            for epoch in bar:
                torch.manual_seed(run["seeds"]["kernel"] * 100_003 + epoch)
                history.append(_epoch(step, batches, config, epoch, len(ensemble.samples)))
                bar.set_postfix(loss=f"{history[-1]['loss']:.4f}")
                if fabric.global_rank == 0 and epoch < config.epochs - 1:
                    checkpoint.write_if_due(step.network, step.optimizer, history)
        # On the CPU and in float32, whatever trained it: the model is the one that `load` gives.
        network = build(run)
        network.load_state_dict(tensors(step.network))
        surrogate = Surrogate(network.eval(), normaliser, run, fabric.broadcast(history))
        if path is not None and fabric.global_rank == 0:
            save(surrogate, path)
            checkpoint.remove()
        fabric.barrier()  # whoever returns finds the folder whole
    return surrogate


def _finished(path: Path | None, run: dict[str, Any], *, say: bool = False) -> Surrogate | None:
    """The model of a run in its folder; None if there is none, or it is damaged."""
    if path is None or not (path / CONFIG).exists():
        return None
    try:
        if read_model(path)[0] != run:
            raise ValueError(f"{path} holds the model of another run; choose another path")
        return load(path, trust=True)  # the caller, too, names this network
    except DamagedError as error:
        if say:
            say_again(path, error)
            (path / CONFIG).unlink()
        return None


@contextmanager
def _only_writer(path: Path | None, fabric: Fabric) -> Iterator[None]:
    """The first rank holds the lock of the model's folder, for all of them."""
    if path is None or fabric.global_rank > 0:
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        yield


def _on_gpu(fabric: Fabric) -> bool:
    return fabric.device.type == "cuda"


def _loader(
    ensemble: Ensemble,
    config: TrainConfig,
    run: dict[str, Any],
    fabric: Fabric,
    threads: int | None,
) -> SampleLoader:
    """This rank's batches."""
    gpu = _on_gpu(fabric)
    return SampleLoader(
        ensemble,
        config.batch_size,
        seed=run["seeds"]["shuffle"],
        threads=threads,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        cache="decoded" if ensemble.raw_nbytes <= DECODED and not gpu else None,
        allocate=page_locked if gpu else None,
    )


def _epoch(
    step: Step, loader: SampleLoader | DeviceCache, config: TrainConfig, epoch: int, n_samples: int
) -> dict[str, Any]:
    """Learn from every sample once; what the history says of it."""
    began, steps, n = time.perf_counter(), config.epochs * len(loader), 0
    total = torch.zeros((), device=step.fabric.device)
    loader.set_epoch(epoch)
    for batch, (inputs, fields, size) in enumerate(rank_batches(loader, n_samples)):
        rate = config.rate(epoch * len(loader) + batch, steps)
        total, n = total + step(inputs, fields, size, rate) * size, n + size
    mean = float(step.fabric.all_reduce(total / n))  # type: ignore[arg-type]
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"the training loss is {mean} in epoch {epoch}; lower the learning rate "
            f"({config.learning_rate})"
        )
    return {"epoch": epoch, "loss": mean, "rate": rate, "seconds": time.perf_counter() - began}


@contextmanager
def _deterministic() -> Iterator[None]:
    """Deterministic kernels, without torch's habit of filling every new tensor with NaN then."""
    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filling
