"""A trained model: the network with the statistics of its training data, stored and asked.

Weights are stored as safetensors beside a JSON configuration: no code is ever unpickled.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import nn

from surrlab._files import (
    DamagedError,
    check_file,
    check_types,
    read_json,
    sha256,
    write_bytes,
    write_json,
)
from surrlab.data.fields import MISSING, check_values
from surrlab.loading.loader import SampleLoader
from surrlab.training.networks import NetworkConfig, check_output

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from surrlab.data.ensemble import Ensemble

WEIGHTS, CONFIG, HISTORY = "model.safetensors", "config.json", "history.json"
_LARGEST, _MOST = 1 << 22, 10_000
"""Bytes that a configuration may have, and inputs, fields or axes that it may name."""
_TYPES = dict.fromkeys(("train", "seeds", "data", "interface", "normaliser", "files"), dict)


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
        dwarfs its variation (a base pressure) loses nothing. Masked cells do not count. The ranks
        of a launched `fabric` share the simulations.
        """
        rank, world_size = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        simulations = ensemble.simulations[rank::world_size]
        valid = ensemble.valid
        cells = np.full(len(ensemble.fields), np.prod(ensemble.grid.shape))
        if valid is not None:
            cells = valid.reshape(len(valid), -1).sum(axis=1)
        count = len(ensemble.samples) * cells
        over_samples = (0, *range(2, 2 + len(ensemble.grid.shape)))

        def mean_of(function):  # (b, n_fields, *shape) -> the same; its mean for each field
            total = np.zeros(len(ensemble.field_names))
            if simulations:
                part = ensemble.select(simulations)
                with SampleLoader(part, 64, seed=0, shuffle=False) as loader:
                    for _, fields in loader:
                        values = function(fields)
                        values = values if valid is None else np.where(valid, values, 0)
                        total += values.sum(axis=over_samples, dtype=np.float64)
            if fabric is not None and world_size > 1:
                summed = torch.from_numpy(total).to(fabric.device)
                total = fabric.all_reduce(summed, reduce_op="sum").cpu().numpy()
            return total / count

        mean = mean_of(lambda fields: fields)
        for name, value, n in zip(ensemble.field_names, mean, count, strict=True):
            if not abs(value) < MISSING / n:
                for simulation in ensemble.simulations:  # in place nothing looks at values: now do
                    samples = ensemble.read_simulation(simulation)
                    where = f"simulation {simulation}"
                    check_values(samples, ensemble.field_names, where, valid=valid)
                if not np.isfinite(value):
                    raise ValueError(f"{ensemble.name}: the mean of field {name} is {value}")
        centre = mean.reshape(-1, *(1 for _ in ensemble.grid.shape))
        variance = mean_of(lambda fields: (fields - centre) ** 2)
        inputs = ensemble.inputs.astype(np.float64)
        return cls(
            tuple(inputs.mean(axis=0).tolist()),
            tuple(_scale(inputs.std(axis=0)).tolist()),
            tuple(mean.tolist()),
            tuple(_scale(np.sqrt(variance)).tolist()),
        )


def _scale(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 0, deviation, 1.0)  # what never changes needs no scaling


class DeviceNormaliser:
    """A `Normaliser` on a device: takes tensors to standard deviations and fields back."""

    def __init__(self, normaliser: Normaliser, device: torch.device):
        self._statistics = {
            name: torch.tensor(values, device=device) for name, values in asdict(normaliser).items()
        }

    def inputs(self, values: torch.Tensor) -> torch.Tensor:  # (b, n) -> the same
        """Inputs in standard deviations."""
        return (values - self._of("input_mean", values)) / self._of("input_scale", values)

    def fields(self, values: torch.Tensor) -> torch.Tensor:  # (b, n_fields, …) -> the same
        """Fields in standard deviations, as the network gives them."""
        return (values - self._of("field_mean", values)) / self._of("field_scale", values)

    def fields_in_units(self, values: torch.Tensor) -> torch.Tensor:  # (b, n_fields, …)
        """A network's output in the fields' units."""
        return values * self._of("field_scale", values) + self._of("field_mean", values)

    def _of(self, name: str, like: torch.Tensor) -> torch.Tensor:  # (n, 1, …)
        return self._statistics[name].reshape(-1, *(1 for _ in like.shape[2:]))


@dataclass(frozen=True)
class Surrogate:
    """A trained model: the network, its statistics, and how it was made.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU unless moved.
    normaliser : Normaliser
        Statistics of its training data.
    config : dict
        What `run_config` said when it was trained.
    history : list of dict
        Training loss (mean absolute error of normalised fields), rate and seconds of each epoch.
    """

    network: nn.Module
    normaliser: Normaliser
    config: dict[str, Any]
    history: list[dict[str, Any]]

    def require(self, ensemble: Ensemble) -> None:
        """Refuse an ensemble that this model was not made for.

        Raises
        ------
        ValueError
            Naming what differs: grid, fields or inputs.
        """
        for name, theirs in interface(ensemble).items():
            ours = self.config["interface"][name]
            if ours != theirs:
                raise ValueError(
                    f"the model was trained on {name} {ours}; {ensemble.name} has {theirs}"
                )


def interface(ensemble: Ensemble) -> dict[str, list]:
    """What a model must share with an ensemble: names of inputs and fields, shape of the grid."""
    return {
        "inputs": list(ensemble.input_names),
        "fields": list(ensemble.field_names),
        "grid": list(ensemble.grid.shape),
    }


def build(run: dict[str, Any], *, check: bool = False) -> nn.Module:
    """The untrained network of a run, its weights drawn from the run's ``init`` seed.

    Parameters
    ----------
    run : dict
        From `run_config`.
    check : bool
        Try it on two samples.

    Raises
    ------
    ValueError
        If there is no such network, it refuses its arguments or the grid, or fails the check.
    """
    inputs, fields, grid = (run["interface"][name] for name in ("inputs", "fields", "grid"))
    sizes = len(inputs), len(fields), tuple(grid)
    torch.manual_seed(run["seeds"]["init"])
    network = NetworkConfig(**run["train"]["network"]).build(*sizes)
    if check:
        check_output(network, *sizes)
    # 1.3 to 1.7 times faster than the default format on CPUs; what tensor cores want on GPUs.
    if len(grid) == 2:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def predict(
    surrogate: Surrogate, inputs: np.ndarray, *, batch_size: int = 64, threads: int | None = None
) -> np.ndarray:
    """Fields in their own units for any number of input vectors.

    Parameters
    ----------
    surrogate : Surrogate
        From `train` or `load`.
    inputs : array ``(..., n)``
        Parameters, then time, as ``Ensemble.inputs`` holds them.
    batch_size : int
        Samples at a time; the result does not depend on it beyond rounding.
    threads : int, optional
        CPU threads of torch meanwhile; by default as many as it has.

    Returns
    -------
    array ``(..., n_fields, *shape)`` float32

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
    statistics = DeviceNormaliser(surrogate.normaliser, device)
    rows = np.ascontiguousarray(inputs, dtype=np.float32).reshape(-1, inputs.shape[-1])
    out, before = [], torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            for i in range(0, len(rows), batch_size):
                batch = torch.from_numpy(rows[i : i + batch_size]).to(device)
                fields = statistics.fields_in_units(surrogate.network(statistics.inputs(batch)))
                out.append(fields.contiguous().cpu().numpy())
    finally:
        if threads is not None:
            torch.set_num_threads(before)
    joined = np.concatenate(out)
    return joined.reshape(*inputs.shape[:-1], *joined.shape[1:])


def save(surrogate: Surrogate, path: str | os.PathLike) -> None:
    """Write weights and history, then ``config.json``: a folder that has it is whole."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    write_bytes(path / WEIGHTS, save_tensors(tensors(surrogate.network)))
    write_json(path / HISTORY, surrogate.history)
    config = {**surrogate.config, "normaliser": asdict(surrogate.normaliser)}
    config["files"] = {name: sha256(path / name) for name in (WEIGHTS, HISTORY)}
    write_json(path / CONFIG, config)


def load(path: str | os.PathLike, *, trust: bool = False) -> Surrogate:
    """A model that `save` wrote.

    Parameters
    ----------
    path : path
        Folder of the model.
    trust : bool
        Import the module of a network that the folder calls ``"module:factory"``: that runs code of
        the folder's choice. One that this process has registered or built is used in any case.

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished model.
    ValueError
        If its network would have to be imported, or an older version of surrlab wrote it.
    """
    path = Path(path)
    run, normaliser, history = read_model(path)
    network_config = NetworkConfig(**run["train"]["network"])
    if ":" in network_config.name and not (trust or network_config.known):
        raise ValueError(
            f"the model in {path} wants to import the network {network_config.name!r}; if you "
            "trust it, load it with trust=True"
        )
    weights = load_file(path / WEIGHTS)
    _check_size(path, run, weights)
    with torch.random.fork_rng():
        network = build(run)
    network.load_state_dict(weights)
    return Surrogate(network.eval(), normaliser, run, history)


def read_model(path: Path) -> tuple[dict[str, Any], Normaliser, list[dict[str, Any]]]:
    """The run, the statistics and the history of a finished model's folder, all files checked.

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished model.
    DamagedError
        If a file is not what was written, or the configuration makes no sense.
    ValueError
        If an older version of surrlab wrote it.
    """
    file = path / CONFIG
    if not file.exists():
        raise FileNotFoundError(f"{path} holds no finished model: it has no {CONFIG}")
    if b'"network"' not in file.read_bytes()[:_LARGEST]:
        raise ValueError(f"{path} holds a model of surrlab 0.1: remove it, and train it again")
    run = read_json(file, limit=_LARGEST)
    try:
        check_types(run, _TYPES, str(file))
        check_types(run["interface"], dict.fromkeys(("inputs", "fields", "grid"), list), str(file))
        normaliser = Normaliser(**{k: tuple(map(float, v)) for k, v in run["normaliser"].items()})
        for name, values in asdict(normaliser).items():
            n = len(run["interface"]["inputs" if name.startswith("input") else "fields"])
            if len(values) != n or not np.isfinite(values).all():
                raise ValueError(f"{name!r} must hold {n} finite numbers")
        if max(len(one) for one in run["interface"].values()) > _MOST:
            raise ValueError(f"'interface' has more than {_MOST:,} inputs, fields or axes")
        files = {name: str(run["files"][name]) for name in (WEIGHTS, HISTORY)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{file} is damaged or incomplete: {error}") from error
    for name, digest in files.items():
        check_file(path / name)
        if sha256(path / name) != digest:
            raise DamagedError(
                f"{path / name} has changed since {CONFIG} was written; remove {path}, and the "
                "model is trained again"
            )
    history = json.loads((path / HISTORY).read_bytes())
    return {k: v for k, v in run.items() if k not in ("normaliser", "files")}, normaliser, history


def _check_size(path: Path, run: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Refuse a network that is larger than its weights, before it takes the memory."""
    try:
        with torch.device("meta"), torch.random.fork_rng():
            network = build(run)
    except NotImplementedError:  # a network of somebody's that must see its weights
        return
    asked, stored = (sum(w.numel() for w in of.values()) for of in (tensors(network), weights))
    if asked != stored:
        raise DamagedError(f"{path} asks for a network of {asked:,} numbers, and has {stored:,}")


def tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as safetensors takes them: what else a state holds (neuraloperator's) is left."""
    state = network.state_dict().items()
    return {name: one.contiguous() for name, one in state if isinstance(one, torch.Tensor)}
