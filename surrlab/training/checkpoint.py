"""Checkpoints of a training that is under way; a killed one goes on to the same weights."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from surrlab._files import SEAL, say_again, write_bytes
from surrlab.training.surrogate import tensors

CHECKPOINT = "checkpoint.safetensors"


class Checkpoint:
    """The checkpoint file of one run: one file, so that weights, moments and epoch always agree.

    Parameters
    ----------
    path : Path or None
        Folder of the model; without one nothing is written and nothing resumed.
    run_id : str
        Of the run. A checkpoint of another run is ignored.
    seconds : float
        Least time between two checkpoints.
    """

    def __init__(self, path: Path | None, run_id: str, seconds: float):
        self._file = None if path is None else path / CHECKPOINT
        self._run_id, self._seconds = run_id, seconds
        self._written = time.monotonic()

    def resume(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
        """Load the last checkpoint of this very run, if there is one.

        Returns
        -------
        list of dict
            History of the epochs that are done.
        """
        if self._file is None or not self._file.exists():
            return []
        try:
            with safe_open(self._file, framework="pt") as file:
                metadata = file.metadata()
                weights = {name: file.get_tensor(name) for name in file.keys()}
            seal = metadata.pop(SEAL)
            if seal != _seal(metadata, weights):
                raise ValueError(f"its {SEAL} is not that of what it holds")
        except Exception as error:  # whatever is said of a damaged file
            say_again(self._file, f"it is damaged ({error})")
            return []
        if metadata["run"] != self._run_id:
            return []
        # Adam's moments lie beside the weights as adam.<index of the parameter>.<moment>. Fused
        # Adam pairs memory, whatever its layout: moments take that of their weights.
        state: dict[int, dict] = {}
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        for name in [name for name in weights if name.startswith("adam.")]:
            _, i, moment = name.split(".")
            values, like = weights.pop(name), parameters[int(i)]
            if values.shape == like.shape:
                values = torch.empty_like(like).copy_(values)
            state.setdefault(int(i), {})[moment] = values
        network.load_state_dict(weights)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        return json.loads(metadata["history"])

    def write_if_due(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]
    ) -> None:
        """Write what `resume` loads, unless the last time was a moment ago."""
        if self._file is None or time.monotonic() - self._written < self._seconds:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        moments = {
            f"adam.{i}.{name}": tensor.contiguous()
            for i, state in optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
        }
        weights = {**tensors(network), **moments}
        metadata = {"run": self._run_id, "history": json.dumps(history)}
        metadata[SEAL] = _seal(metadata, weights)
        write_bytes(self._file, save(weights, metadata=metadata))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the model is finished."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


def _seal(metadata: dict[str, str], weights: dict[str, torch.Tensor]) -> str:
    """Digest of all that a checkpoint says."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(values.dtype), list(values.shape)]).encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
