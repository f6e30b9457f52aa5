"""Batch normalisation with the statistics of the whole batch, over all processes that share it."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all ranks on CPUs; maps may have any number of grid axes.

    Torch's own layer normalises the part of the batch that each rank holds by itself, so that a
    model would depend on the number of processes that trained it; torch's `SyncBatchNorm` does as
    this layer does, on GPUs only. `synchronise` chooses. All of them name their weights alike.
    """

    def _check_input_dim(self, inputs: torch.Tensor) -> None:
        if inputs.ndim < 2:
            raise ValueError(f"batch norm takes maps (b, c, …), not an array {tuple(inputs.shape)}")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (b, c, …) of this rank -> the same
        """Normalised maps; one process alone takes torch's own kernel."""
        alone = not distributed.is_initialized() or distributed.get_world_size() == 1
        if alone or not self.training:
            return super().forward(inputs)
        maps, mean, variance, n = _Normalise.apply(
            inputs.to(self.weight.dtype), self.weight, self.bias, self.eps
        )
        layer: Any = self  # torch declares as optional what a layer of these defaults has
        with torch.no_grad():
            layer.num_batches_tracked += 1
            layer.running_mean.lerp_(mean, layer.momentum)
            layer.running_var.lerp_(variance * n / (n - 1), layer.momentum)  # unbiased, as torch's
        return maps.to(inputs.dtype)


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch norm of a network see all ranks: `BatchNorm` on CPUs, torch's own on GPUs.

    Layers without weights or running statistics stay as they are on CPUs.
    """
    if device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        plain = isinstance(module, _BatchNorm) and module.affine and module.track_running_stats
        if plain and module.momentum is not None:
            module.__class__ = BatchNorm  # it has the attributes of torch's layers, no other
    return network


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy (2015), arXiv:1502.03167, with every sum taken over the ranks.

    As a function of its own it keeps one map for the way back, as torch's kernel does; automatic
    differentiation would keep four.
    """

    @staticmethod
    def forward(ctx, maps, weight, bias, eps):
        # Each rank's count, mean and sum of squares about its mean, gathered in one message.
        axes = (0, *range(2, maps.ndim))
        n, mean = maps[:, 0].numel(), maps.mean(axes)
        maps = maps - _by_channel(mean, maps)
        mine = torch.stack([torch.full_like(mean, n), mean, maps.square().sum(axes)])
        parts = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, mine)
        counts, means, squares = torch.stack(parts, 1)
        # Chan, Golub, LeVeque (1983): squares about the common mean from those about each mean.
        n = counts.sum(0)
        centre = (counts * means).sum(0) / n
        variance = (squares + counts * (means - centre).square()).sum(0) / n
        scale = (variance + eps).rsqrt()
        maps = maps.add_(_by_channel(mean - centre, maps)).mul_(_by_channel(scale, maps))
        ctx.save_for_backward(maps, weight, scale, n)
        ctx.mark_non_differentiable(centre, variance, n)
        out = maps * _by_channel(weight, maps) + _by_channel(bias, maps)
        return out, centre, variance, n

    @staticmethod
    def backward(ctx, gradient, *_):
        maps, weight, scale, n = ctx.saved_tensors
        axes = (0, *range(2, maps.ndim))
        mine = torch.stack([gradient.sum(axes), (gradient * maps).sum(axes)])
        total = mine.clone()
        distributed.all_reduce(total)
        # The gradient less its parts along the mean and along the normalised maps.
        along_mean, along_maps = (_by_channel(part, maps) for part in total / n)
        to_maps = gradient - along_mean - maps * along_maps
        return to_maps * _by_channel(weight * scale, maps), mine[1], mine[0], None


def _by_channel(values, maps):  # (c,), (b, c, …) -> (c, 1, …)
    return values.reshape(-1, *(1 for _ in maps.shape[2:]))
