"""Train a surrogate from an ensemble's files, and predict with it (Sections II and V-A).

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from surrlab._files import replacing
from surrlab.data.native import Ensemble
from surrlab.loading.loader import SampleLoader
from surrlab.training.surrogate import (
    CONFIG,
    Normaliser,
    Surrogate,
    build,
    interface,
    load,
    normalise,
    save,
    scales_on,
    tensors,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DECODED = 1 << 28
"""Bytes of decoded samples that a training keeps; a larger ensemble is decoded every epoch anew."""

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainConfig:
    """How to train: by default the paper's numbers for Rayleigh-Taylor (Section V-A).

    Parameters
    ----------
    epochs : int
        Passes over the training samples.
    batch_size : int
        Samples a step, over all devices together.
    learning_rate : float
        Adam's rate; the peak with ``schedule="one-cycle"``.
    schedule : {"constant", "one-cycle"}
        The paper keeps the rate constant. One cycle (cosine up over 30 % of the steps, then down)
        converges in a tenth of the epochs.
    start : tuple of int
        First map of the network, see `Generator`.
    max_features, min_features : int
        Widths of the network, see `Generator`.
    """

    epochs: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-4
    schedule: str = "constant"
    start: tuple[int, int] = (3, 1)
    max_features: int = 1024
    min_features: int = 128

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "max_features", "min_features"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.schedule not in ("constant", "one-cycle"):
            raise ValueError(f"schedule must be 'constant' or 'one-cycle', not {self.schedule!r}")

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
) -> dict:
    """What decides a model's weights, as JSON; `run_id` hashes it.

    Devices, processes and threads are not part of it: they change the order of sums, not the model.
    """
    seeds = {"init": init_seed, "shuffle": shuffle_seed, "kernel": kernel_seed}
    return {
        "train": json.loads(json.dumps(asdict(config))),
        "seeds": {name: seed if value is None else value for name, value in seeds.items()},
        "precision": precision,
        "data": {"digest": ensemble.digest, "simulations": list(ensemble.simulations)},
        "interface": interface(ensemble),
    }


def run_id(run: dict) -> str:
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
    accelerator: str = "cpu",
    devices: int | str = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
    threads: int | None = None,
    checkpoint_seconds: float = 20.0,
    progress: bool = True,
) -> Surrogate:
    """Train a `Generator` on every sample of `ensemble`, raw or compressed.

    Samples come through `loading.SampleLoader`, so a compressed ensemble is decoded on-line
    (Fig. 2, workflow 2); one of no more than `DECODED` bytes is decoded once. With a `path` the
    model is stored there, a finished one is loaded instead of trained again, and a killed run goes
    on from its last checkpoint to the same weights.

    Parameters
    ----------
    ensemble : Ensemble
        The training side of a split.
    config : TrainConfig
        Epochs, batch, rate, widths.
    seed : int
        Default of the three below.
    init_seed, shuffle_seed, kernel_seed : int, optional
        Of the initial weights, of the order of the samples, and of whatever draws random numbers
        during training on the device (dropout; nothing in `Generator`). Kernels are
        deterministic where torch offers it.
    path : path, optional
        Folder of the model: weights, ``config.json`` (written last), history.
    accelerator, devices, num_nodes, strategy, precision
        Handed to `lightning_fabric.Fabric`. Under ``strategy="ddp"`` each device takes its share
        of every batch, and the model is that of one device, to rounding.
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
        If the grid cannot be reached from ``config.start``, or `path` holds another run.
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
        precision=precision,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    path = None if path is None else Path(path)
    if path is not None and (path / CONFIG).exists():
        surrogate = load(path)
        if surrogate.config != run:
            raise ValueError(f"{path} holds the model of another run; choose another path")
        return surrogate
    for left in [] if path is None else path.glob("*.tmp"):  # by a killed run
        left.unlink(missing_ok=True)
    from lightning_fabric import Fabric  # 1.5 s that reading a finished study need not pay

    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,
    )
    fabric.launch()
    normaliser = Normaliser.fit(ensemble, fabric)
    with torch.random.fork_rng(), _deterministic():
        step = Step(fabric, run, config.learning_rate, normaliser)
        loader = SampleLoader(
            ensemble,
            config.batch_size,
            seed=run["seeds"]["shuffle"],
            threads=threads,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            cache="decoded" if ensemble.raw_nbytes <= DECODED else None,
        )
        history = _resume(path, run, step.network, step.optimizer)
        if fabric.broadcast(len(history)) != len(history):
            raise ValueError(f"{path} must be one folder that every process sees")
        samples = ensemble.inputs[..., 0].size
        steps, saved = config.epochs * len(loader), time.monotonic()
        bar = tqdm(
            range(len(history), config.epochs),
            f"train seed {seed}",
            unit="epoch",
            disable=not progress or fabric.global_rank > 0,
        )
        with loader:
            for epoch in bar:
                began, total, n = time.perf_counter(), 0.0, 0
                loader.set_epoch(epoch)
                torch.manual_seed(run["seeds"]["kernel"] * 100_003 + epoch)
                for batch, (inputs, fields, size) in enumerate(shares(loader, samples)):
                    rate = config.rate(epoch * len(loader) + batch, steps)
                    total, n = total + step(inputs, fields, size, rate) * size, n + size
                mean = float(fabric.all_reduce(total / n))
                if not math.isfinite(mean):
                    raise FloatingPointError(
                        f"the training loss is {mean} in epoch {epoch}; lower the learning rate "
                        f"({config.learning_rate})"
                    )
                seconds = time.perf_counter() - began
                history.append({"epoch": epoch, "loss": mean, "rate": rate, "seconds": seconds})
                bar.set_postfix(loss=f"{mean:.4f}")
                last = epoch == config.epochs - 1
                if path is not None and fabric.global_rank == 0 and not last:
                    if time.monotonic() - saved >= checkpoint_seconds:
                        _checkpoint(path, run, step.network, step.optimizer, history)
                        saved = time.monotonic()
    network = step.network.eval().cpu().float()  # as `load` builds it
    surrogate = Surrogate(network, normaliser, run, fabric.broadcast(history))
    if path is not None and fabric.global_rank == 0:
        save(surrogate, path)
        (path / CHECKPOINT).unlink(missing_ok=True)
    fabric.barrier()  # whoever returns finds the folder whole
    return surrogate


class Step:
    """The network of a run on a fabric's devices; a call is one step of Adam."""

    def __init__(self, fabric: Fabric, run: dict, rate: float, normaliser: Normaliser):
        self.fabric, self.network = fabric, build(run)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self._model, self._optimizer = fabric.setup(self.network, self.optimizer)
        self._scales = scales_on(normaliser, fabric.device)
        self.network.train()

    def __call__(self, inputs, fields, size: int, rate: float) -> torch.Tensor:
        """Learn from this rank's share of a batch of `size` samples.

        Returns the share's part in the loss: its mean over the ranks is the loss of the batch.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        inputs, fields = normalise(inputs, fields, self._scales, self.fabric.device)
        loss = (self._model(inputs) - fields).abs()
        # Eq. (1). Gradients are averaged over the ranks, whose shares may differ in size.
        loss = loss.mean() * (len(inputs) * self.fabric.world_size / size)
        self._optimizer.zero_grad()
        self.fabric.backward(loss)
        self._optimizer.step()
        return loss.detach()


def shares(loader: SampleLoader, samples: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """This rank's share of every batch of an epoch, and the size of the whole batch."""
    for batch, (inputs, fields) in enumerate(loader, 1):
        rest = samples - (batch - 1) * loader.batch_size
        yield inputs, fields, loader.batch_size if batch < len(loader) else rest


def best_accelerator() -> str:
    """``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _checkpoint(path, run, network, optimizer, history) -> None:
    """One file, so that weights, Adam's moments and the epoch can never disagree."""
    path.mkdir(parents=True, exist_ok=True)
    moments = {
        f"adam.{i}.{name}": tensor.contiguous()
        for i, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }
    metadata = {"run": run_id(run), "history": json.dumps(history)}
    with replacing(path / CHECKPOINT) as temporary:
        save_file({**tensors(network), **moments}, temporary, metadata=metadata)


def _resume(path, run, network, optimizer) -> list[dict]:
    """Load the last checkpoint of this very run, if there is one; the epochs that are done."""
    if path is None or not (path / CHECKPOINT).exists():
        return []
    with safe_open(path / CHECKPOINT, framework="pt") as file:
        metadata = file.metadata()
        if metadata["run"] != run_id(run):
            return []
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    state: dict[int, dict] = {}
    for name in [name for name in tensors if name.startswith("adam.")]:
        _, i, moment = name.split(".")
        state.setdefault(int(i), {})[moment] = tensors.pop(name)
    network.load_state_dict(tensors)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return json.loads(metadata["history"])


@contextmanager
def _deterministic():
    """Deterministic kernels, without torch's habit of filling every new tensor with NaN then."""
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling
