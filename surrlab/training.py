"""Train a surrogate from an ensemble's files, and predict with it (Sections II and V-A).

The loss is the paper's Eq. (1), the mean absolute error, on fields normalised with statistics of
the training data. Lightning Fabric moves the work to whatever devices there are. Weights are
stored as safetensors beside a JSON configuration: no code is ever unpickled.
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
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from surrlab.ensembles import Ensemble
from surrlab.loading import SampleLoader
from surrlab.storage import replacing, write_json
from surrlab.surrogates import Generator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DECODED = 1 << 28
"""Bytes of decoded samples that a training keeps; a larger ensemble is decoded every epoch anew."""

WEIGHTS, CONFIG, CHECKPOINT = "model.safetensors", "config.json", "checkpoint.safetensors"


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


@dataclass(frozen=True)
class Normaliser:
    """Mean and scale of inputs and fields over the training samples; stored with the weights.

    Parameters
    ----------
    input_mean, input_scale : tuple of float
        One of each for an input.
    field_mean, field_scale : tuple of float
        One of each for a field, in its unit.
    """

    input_mean: tuple[float, ...]
    input_scale: tuple[float, ...]
    field_mean: tuple[float, ...]
    field_scale: tuple[float, ...]

    @classmethod
    def fit(cls, ensemble: Ensemble, fabric: Fabric | None = None) -> Normaliser:
        """Statistics of all samples of `ensemble`, which is the training side of a split.

        Two passes in float64: the second sums squares about the mean, so that a field whose mean
        dwarfs its variation (a base pressure) loses nothing. The ranks of a launched `fabric`
        share the simulations.
        """
        rank, world_size = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        share = ensemble.simulations[rank::world_size]
        count = ensemble.inputs[..., 0].size * np.prod(ensemble.grid.shape)

        def mean_of(function):
            total = np.zeros(len(ensemble.fields))
            if share:
                with SampleLoader(ensemble.select(share), 64, seed=0, shuffle=False) as loader:
                    for _, fields in loader:
                        total += function(fields).sum(axis=(0, 2, 3), dtype=np.float64)
            if world_size > 1:
                total = torch.from_numpy(total).to(fabric.device)
                total = fabric.all_reduce(total, reduce_op="sum").cpu().numpy()
            return total / count

        mean = mean_of(lambda fields: fields)
        variance = mean_of(lambda fields: (fields - mean[:, None, None]) ** 2)
        inputs = ensemble.inputs.reshape(-1, ensemble.inputs.shape[-1]).astype(np.float64)
        return cls(
            tuple(inputs.mean(axis=0).tolist()),
            tuple(_scale(inputs.std(axis=0)).tolist()),
            tuple(mean.tolist()),
            tuple(_scale(np.sqrt(variance)).tolist()),
        )


def _scale(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 0, deviation, 1.0)  # what never changes needs no scaling


@dataclass(frozen=True)
class Surrogate:
    """A trained model: the network, its statistics, and how it was made.

    Parameters
    ----------
    network : Generator
        In evaluation mode, on the CPU unless moved.
    normaliser : Normaliser
        Statistics of its training data.
    config : dict
        What `run_config` said when it was trained.
    history : list of dict
        Training loss (mean absolute error of normalised fields), rate and seconds of each epoch.
    """

    network: Generator
    normaliser: Normaliser
    config: dict
    history: list[dict]

    def require(self, ensemble: Ensemble) -> None:
        """Refuse an ensemble that this model was not made for.

        Raises
        ------
        ValueError
            Naming what differs: grid, fields or inputs.
        """
        for name, theirs in _interface(ensemble).items():
            ours = self.config["interface"][name]
            if ours != theirs:
                raise ValueError(
                    f"the model was trained on {name} {ours}; {ensemble.path} has {theirs}"
                )


def _interface(ensemble: Ensemble) -> dict:
    return {
        "inputs": list(ensemble.input_names),
        "fields": list(ensemble.fields),
        "grid": list(ensemble.grid.shape),
    }


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
        "interface": _interface(ensemble),
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
    fabric.barrier()  # whoever returns finds the folder whole
    return surrogate


class Step:
    """The network of a run on a fabric's devices; a call is one step of Adam."""

    def __init__(self, fabric: Fabric, run: dict, rate: float, normaliser: Normaliser):
        self.fabric, self.network = fabric, build(run)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self._model, self._optimizer = fabric.setup(self.network, self.optimizer)
        self._scales = _on_device(normaliser, fabric.device)
        self.network.train()

    def __call__(self, inputs, fields, size: int, rate: float) -> torch.Tensor:
        """Learn from this rank's share of a batch of `size` samples.

        Returns the share's part in the loss: its mean over the ranks is the loss of the batch.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        inputs, fields = _normalise(inputs, fields, self._scales, self.fabric.device)
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


def build(run: dict) -> Generator:
    """The untrained network of a run, its weights drawn from the run's ``init`` seed."""
    train, interface = run["train"], run["interface"]
    torch.manual_seed(run["seeds"]["init"])
    network = Generator(
        len(interface["inputs"]),
        len(interface["fields"]),
        tuple(interface["grid"]),
        tuple(train["start"]),
        train["max_features"],
        train["min_features"],
    )
    # 1.3 to 1.7 times faster than the default format on CPUs; what tensor cores want on GPUs.
    return network.to(memory_format=torch.channels_last)


def predict(surrogate: Surrogate, inputs: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Fields in their own units for any number of input vectors.

    Parameters
    ----------
    surrogate : Surrogate
        From `train` or `load`.
    inputs : array ``(..., n)``
        Parameters, then time, as ``Ensemble.inputs`` holds them.
    batch_size : int
        Samples at a time; the result does not depend on it beyond rounding.

    Returns
    -------
    array ``(..., 6, ny, nx)`` float32

    Raises
    ------
    ValueError
        If the vectors are not as long as the network's inputs.
    """
    names = surrogate.config["interface"]["inputs"]
    if inputs.shape[-1] != len(names):
        raise ValueError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), not {inputs.shape[-1]}"
        )
    device = next(surrogate.network.parameters()).device
    scales = _on_device(surrogate.normaliser, device)
    rows = np.ascontiguousarray(inputs, dtype=np.float32).reshape(-1, inputs.shape[-1])
    out = []
    with torch.inference_mode():
        for i in range(0, len(rows), batch_size):
            batch = torch.from_numpy(rows[i : i + batch_size]).to(device)
            fields = surrogate.network((batch - scales["input_mean"]) / scales["input_scale"])
            fields = fields * scales["field_scale"] + scales["field_mean"]
            out.append(fields.contiguous().cpu().numpy())
    fields = np.concatenate(out)
    return fields.reshape(*inputs.shape[:-1], *fields.shape[1:])


def save(surrogate: Surrogate, path: str | os.PathLike) -> None:
    """Write weights and history, then ``config.json``: a folder that has it is whole."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    with replacing(path / WEIGHTS) as temporary:
        save_file(_tensors(surrogate.network), temporary)
    write_json(path / "history.json", surrogate.history)
    write_json(path / CONFIG, {**surrogate.config, "normaliser": asdict(surrogate.normaliser)})
    (path / CHECKPOINT).unlink(missing_ok=True)


def load(path: str | os.PathLike) -> Surrogate:
    """A model that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished model.
    """
    path = Path(path)
    if not (path / CONFIG).exists():
        raise FileNotFoundError(f"{path} holds no finished model: it has no {CONFIG}")
    run = json.loads((path / CONFIG).read_text())
    normaliser = Normaliser(**{k: tuple(v) for k, v in run.pop("normaliser").items()})
    with torch.random.fork_rng():
        network = build(run)
    network.load_state_dict(load_file(path / WEIGHTS))
    network.eval()
    return Surrogate(network, normaliser, run, json.loads((path / "history.json").read_text()))


def _tensors(network: Generator) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


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
        save_file({**_tensors(network), **moments}, temporary, metadata=metadata)


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


def _on_device(normaliser: Normaliser, device) -> dict[str, torch.Tensor]:
    scales = {k: torch.tensor(v, device=device) for k, v in asdict(normaliser).items()}
    for name in ("field_mean", "field_scale"):
        scales[name] = scales[name][:, None, None]
    return scales


def _normalise(inputs, fields, scales, device):
    inputs = torch.from_numpy(inputs).to(device, non_blocking=True)
    fields = torch.from_numpy(fields).to(device, non_blocking=True)
    inputs = (inputs - scales["input_mean"]) / scales["input_scale"]
    fields = (fields - scales["field_mean"]) / scales["field_scale"]
    return inputs, fields.contiguous(memory_format=torch.channels_last)


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
