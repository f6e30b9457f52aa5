"""A Vision Transformer that draws fields patch by patch from the inputs (Section VIII)."""

from __future__ import annotations

import torch
from torch import nn

from surrlab.training.architectures.generator import cropped


class VisionTransformer(nn.Module):
    """Learned queries, one a patch, that look at each other and at a token of every input.

    Parameters
    ----------
    n_inputs, n_fields, shape
        Length of the input vector, output channels, grid of two axes.
    patch : tuple of int
        Cells of a patch, (ny, nx); patches beyond the grid are cut off.
    width, depth, heads : int
        Numbers of a token, layers, and heads of attention in each.

    References
    ----------
    Dosovitskiy et al., An image is worth 16x16 words (2021), arXiv:2010.11929.
    """

    def __init__(
        self,
        n_inputs: int,
        n_fields: int,
        shape: tuple[int, ...],
        patch: tuple[int, int] = (4, 4),
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        if len(shape) != 2 or len(patch) != 2 or min(patch) < 1 or width % heads:
            raise ValueError(
                "a Vision Transformer takes a grid and patches of two axes, and a width that its "
                f"heads divide, not {shape}, {patch}, {width} and {heads}"
            )
        self.shape, self.patch, self.n_fields = shape, tuple(patch), n_fields
        self.tiles = tuple(-(-side // p) for side, p in zip(shape, patch, strict=True))
        self.queries = nn.Parameter(0.02 * torch.randn(self.tiles[0] * self.tiles[1], width))
        self.names = nn.Parameter(0.02 * torch.randn(n_inputs, width))
        self.values = nn.Parameter(torch.randn(n_inputs, width))  # a token is name + input x value
        self.condition = nn.Sequential(
            nn.Linear(n_inputs, width), nn.GELU(), nn.Linear(width, width)
        )
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, n_fields * patch[0] * patch[1])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (b, n_inputs) -> (b, n_fields, …)
        """Fields of a batch of samples, in the units that the network was trained in."""
        tokens = self.names + inputs[..., None] * self.values
        patches = self.queries + self.condition(inputs)[:, None]
        seen = self.layers(torch.cat([patches, tokens], dim=1))[:, : patches.shape[1]]
        drawn = self.pixels(self.norm(seen))
        (ty, tx), (py, px) = self.tiles, self.patch
        maps = drawn.reshape(-1, ty, tx, self.n_fields, py, px).permute(0, 3, 1, 4, 2, 5)
        return cropped(maps.reshape(-1, self.n_fields, ty * py, tx * px), self.shape)
