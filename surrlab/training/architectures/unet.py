"""A U-Net-style generator: residual blocks that see the inputs at every resolution."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from surrlab.training.architectures.generator import cropped, halved, start_shape

UPSAMPLING = ("nearest", "bilinear")


class Block(nn.Module):
    """Two convolutions beside a shortcut; the inputs scale and shift the features between them."""

    def __init__(self, n_inputs: int, before: int, after: int):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv2d(after, after, 3, padding=1, padding_mode="replicate")
        self.norm = nn.GroupNorm(min(8, after), after)
        self.modulation = nn.Linear(n_inputs, 2 * after)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, maps: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Maps (b, before, ny, nx) and inputs (b, n) -> (b, after, ny, nx)."""
        scale, shift = self.modulation(inputs)[..., None, None].chunk(2, dim=1)
        hidden = self.norm(self.first(maps)) * (1 + scale) + shift
        return self.shortcut(maps) + self.second(functional.silu(hidden))


class UNet(nn.Module):
    """The decoder of a U-Net whose skip connections come from the inputs: upsample, then a block.

    Nothing is transposed, so the checkerboards of `Generator` cannot arise.

    Parameters
    ----------
    n_inputs, n_fields, shape
        Length of the input vector, output channels, grid of two axes.
    features : int
        At full resolution; they double towards the start, up to `max_features`.
    max_features : int
        Multiples of 8, both.
    upsampling : {"nearest", "bilinear"}
        How maps double.
    """

    def __init__(
        self,
        n_inputs: int,
        n_fields: int,
        shape: tuple[int, ...],
        features: int = 24,
        max_features: int = 128,
        upsampling: str = "nearest",
    ):
        super().__init__()
        if len(shape) != 2 or upsampling not in UPSAMPLING or features % 8 or max_features % 8:
            raise ValueError(
                "a U-Net takes a grid of two axes, features in multiples of 8 and nearest or "
                f"bilinear upsampling, not {shape}, {features}, {max_features} and {upsampling!r}"
            )
        self.shape, self.start, self.upsampling = shape, start_shape(shape), upsampling
        times = next(k for k in range(1, 64) if halved(shape, k) == self.start)
        widths = [min(max_features, features << k) for k in range(times, -1, -1)]
        self.first = nn.Linear(n_inputs, widths[0] * self.start[0] * self.start[1])
        pairs = itertools.pairwise(widths)
        self.blocks = nn.ModuleList(Block(n_inputs, before, after) for before, after in pairs)
        self.last = nn.Conv2d(widths[-1], n_fields, 3, padding=1, padding_mode="replicate")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (b, n_inputs) -> (b, n_fields, …)
        """Fields of a batch of samples, in the units that the network was trained in."""
        maps = self.first(inputs).reshape(len(inputs), -1, *self.start)
        for block in self.blocks:
            maps = block(functional.interpolate(maps, scale_factor=2, mode=self.upsampling), inputs)
        return self.last(cropped(maps, self.shape))
