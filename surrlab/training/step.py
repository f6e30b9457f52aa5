"""One step of training on the devices that a Fabric manages, and the Fabric itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from surrlab.training.architectures.batch_norm import synchronise
from surrlab.training.surrogate import DeviceNormaliser, Normaliser

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from surrlab.loading.device import DeviceCache
    from surrlab.loading.loader import SampleLoader

    Values = np.ndarray | torch.Tensor


class Step:
    """A network on a fabric's devices; a call is one step of Adam.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric
        A launched one.
    network : torch.nn.Module
        From `build`; it is moved.
    rate : float
        Learning rate, until a call gives another.
    normaliser : Normaliser
        Statistics of the training data.
    valid : bool array (n_fields, *shape), optional
        Cells that the loss counts, so that each field weighs the same; by default all.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        rate: float,
        normaliser: Normaliser,
        valid: np.ndarray | None = None,
    ):
        self.fabric = fabric
        self._weight: torch.Tensor | None = None
        if valid is not None:
            share = valid.mean(axis=tuple(range(1, valid.ndim)), keepdims=True)
            self._weight = torch.tensor(valid / share, dtype=torch.float32, device=fabric.device)
        self.network = synchronise(network, fabric.device) if fabric.world_size > 1 else network
        weights = list(self.network.parameters())
        # One pass over all weights, a tenth of a small network's step; complex ones it refuses.
        fused = all(one.is_floating_point() for one in weights)
        self.optimizer = torch.optim.Adam(weights, lr=rate, fused=fused)
        self._model, self._optimizer = fabric.setup(self.network, self.optimizer)
        self._statistics = DeviceNormaliser(normaliser, fabric.device)
        self.network.train()

    def __call__(self, inputs: Values, fields: Values, size: int, rate: float) -> torch.Tensor:
        """Learn from this rank's part of a batch of `size` samples.

        Returns the part's loss, so weighted that its mean over the ranks is the loss of the batch.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x, y = self._normalised(inputs, fields)
        # Eq. (1). Gradients are averaged over the ranks, whose parts may differ in size.
        loss = MeanAbsolute.apply(self._model(x) - y, self._weight)
        loss = loss * (len(x) * self.fabric.world_size / size)
        self._optimizer.zero_grad()
        self.fabric.backward(loss)
        self._optimizer.step()
        return loss.detach()

    def _normalised(self, inputs: Values, fields: Values):
        """A batch on the device in standard deviations, in the network's memory format."""
        x = torch.as_tensor(inputs).to(self.fabric.device, non_blocking=True)
        y = torch.as_tensor(fields).to(self.fabric.device, non_blocking=True)
        x, y = self._statistics.inputs(x), self._statistics.fields(y)
        if self._weight is not None:  # 0 times NaN is NaN, in gradients, too
            y = torch.where(self._weight > 0, y, 0.0)
        return x, y.contiguous(memory_format=torch.channels_last) if y.ndim == 4 else y


class MeanAbsolute(torch.autograd.Function):
    """Mean of absolute differences, each times a weight; the differences become the gradient.

    To the last bit what torch's own operators give, which take a tenth of a small network's step:
    they make five arrays on the way back, and lose the memory format.
    """

    @staticmethod
    def forward(ctx, differences: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        """Mean over all cells of ``(b, n_fields, *shape)``, weights ``(n_fields, *shape)``."""
        ctx.differences, ctx.weight = differences, weight
        absolute = differences.abs()
        return (absolute if weight is None else absolute.mul_(weight)).mean()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The sign of each difference, times its weight, over the number of cells."""
        each = gradient / ctx.differences.numel()
        scale = each if ctx.weight is None else each * ctx.weight
        return ctx.differences.sign_().mul_(scale), None


def rank_batches(
    loader: SampleLoader | DeviceCache, n_samples: int
) -> Iterator[tuple[Values, Values, int]]:
    """This rank's part of every batch of an epoch of `n_samples`, and the whole batch's size."""
    batches: Iterable[tuple[Values, ...]] = loader
    for batch, (inputs, fields) in enumerate(batches, 1):
        # The last batch has what is left: less than the others, or more (see `SampleLoader`).
        rest = n_samples - (batch - 1) * loader.batch_size
        yield inputs, fields, loader.batch_size if batch < len(loader) else rest


def best_accelerator() -> str:
    """``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_PROCID", "GROUP_RANK")


def make_fabric(
    accelerator: str | None = None,
    devices: int | str = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
) -> Fabric:
    """A Fabric for `train`, not launched yet.

    Parameters
    ----------
    accelerator : str, optional
        By default the best there is.
    devices, num_nodes, strategy, precision
        As `lightning_fabric.Fabric` takes them. Only with more than one device does it look for
        torchrun, Slurm and the like: on a login node, or in a batch job without ``srun``, they
        would be found although nobody started a second process.
    """
    for name in _RANKS:
        if os.environ.get(name) == "":  # as outside a job some schedulers leave it; Fabric stumbles
            del os.environ[name]
    from lightning_fabric import Fabric  # 1 s that reading a finished study need not pay
    from lightning_fabric.plugins.environments import LightningEnvironment

    single = str(devices) == "1" and num_nodes == 1
    return Fabric(
        accelerator=accelerator or best_accelerator(),
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
        plugins=[LightningEnvironment()] if single else None,
    )
