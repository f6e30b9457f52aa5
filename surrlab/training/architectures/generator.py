"""The paper's generator, on any grid of two axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from surrlab.training.architectures.batch_norm import BatchNorm


class Generator(nn.Module):
    """The paper's DCGAN-style generator, layer for layer as LLNL's trainer builds it.

    A transposed convolution turns the inputs into a small map of the `start` shape; each further
    one (kernel 4, stride 2) doubles the sides, with batch normalisation and ReLU, until the last
    gives the fields, each with a trainable scale and shift. Features halve towards the end. Where
    the sides do not come out even, the rim of the last map is cut off.

    Parameters
    ----------
    n_inputs : int
        Length of the input vector: the simulation's parameters, then time.
    n_fields : int
        Number of output channels.
    shape : tuple of int
        Grid of the output, of two axes.
    start : tuple of int, optional
        Shape of the first map: `shape` halved some times, each time rounded up. By default until no
        side is longer than 4, as in the paper.
    max_features, min_features : int
        Features of the widest layer, and of the last hidden one.

    Raises
    ------
    ValueError
        If `shape` is not reached from `start` by doubling.

    References
    ----------
    Radford, Metz, Chintala (2015), arXiv:1511.06434; Jekel et al. (2024), MLST 5, 045048.

    Examples
    --------
    >>> network = Generator(4, 6, (48, 16), (3, 1), max_features=32, min_features=8)
    >>> network(torch.zeros(2, 4)).shape
    torch.Size([2, 6, 48, 16])
    """

    def __init__(
        self,
        n_inputs: int,
        n_fields: int,
        shape: tuple[int, int],
        start: tuple[int, int] | None = None,
        max_features: int = 1024,
        min_features: int = 128,
    ):
        super().__init__()
        if not max_features > 0 < min_features:
            raise ValueError(f"features must be positive, not {max_features} and {min_features}")
        self.shape, first = tuple(shape), tuple(start or start_shape(shape))
        doublings = _doublings(self.shape, first)
        hidden = [min(max_features, min_features << i) for i in reversed(range(doublings))]
        layers: list[nn.Module] = []
        previous, kernel = n_inputs, dict[str, Any](kernel_size=first)
        for features in hidden:
            layers += [
                ConvTranspose2d(previous, features, **kernel, bias=False),
                BatchNorm(features),
                nn.ReLU(inplace=True),
            ]
            previous, kernel = features, {"kernel_size": 4, "stride": 2, "padding": 1}
        layers.append(ConvTranspose2d(previous, n_fields, **kernel, bias=False))
        self.layers = nn.Sequential(*layers)
        self.scale = nn.Parameter(torch.ones(n_fields, 1, 1))
        self.shift = nn.Parameter(torch.zeros(n_fields, 1, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (b, n_inputs) -> (b, n_fields, …)
        """Fields of a batch of samples, in the units that the network was trained in."""
        maps, (*hidden, last) = inputs[:, :, None, None], self.layers
        for layer in hidden:
            maps = layer(maps)
        return cropped(last(maps, self.scale, self.shift), self.shape)


class ConvTranspose2d(nn.ConvTranspose2d):
    """Torch's layer, with its weights; quicker on CPUs where maps are small.

    There oneDNN's kernel also multiplies what falls outside the map (of 3 x 1 cells' products more
    than half), and it leaves matrix products of many features half as fast as they can be.
    """

    SMALL = 12
    """Cells of a map up to which the products are faster; from 4 x 4 on oneDNN was, on AVX-512."""

    def forward(  # type: ignore[override]
        self,
        maps: torch.Tensor,
        scale: torch.Tensor | None = None,
        shift: torch.Tensor | None = None,
    ) -> torch.Tensor:  # (b, c, ny, nx), scale and shift of the result (c', 1, 1)
        """Maps of twice the sides, each channel scaled and shifted.

        Scaling the weights is scaling the maps, and takes a hundredth of the time.
        """
        weight = self.weight if scale is None else self.weight * scale
        sides = maps.shape[2:]
        small = self.stride == (2, 2) and sides.numel() <= self.SMALL and maps.is_cpu
        if not small:
            bias = None if shift is None else shift.flatten()
            padding: Any = self.padding
            return functional.conv_transpose2d(maps, weight, bias, self.stride, padding)
        # The outer taps of a single row or column fall outside.
        rows, columns = (slice(1, 3) if side == 1 else slice(0, 4) for side in sides)
        weight = weight[:, :, rows, columns].permute(0, 2, 3, 1)  # (c, ky, kx, c')
        tiles = maps.permute(0, 2, 3, 1).flatten(0, 2) @ weight.flatten(1)
        maps = _Overlap.apply(tiles.view(len(maps), *sides, *weight.shape[1:]))
        return maps if shift is None else maps + shift


class _Overlap(torch.autograd.Function):
    """Tiles (b, ny, nx, ky, kx, c), two cells apart, added up where they overlap; torch's fold.

    Of 4 x 4 cells, whose rim is cut off, or of 2 along an axis, where they only touch.
    """

    @staticmethod
    def forward(ctx, tiles):
        b, ny, nx, ky, kx, c = ctx.tiles = tiles.shape
        maps = tiles.new_zeros(b, ny + ky // 2 - 1, 2, nx + kx // 2 - 1, 2, c)
        for y in range(ky // 2):
            for x in range(kx // 2):
                part = tiles[:, :, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                maps[:, y : y + ny, :, x : x + nx] += part.transpose(2, 3)
        maps = maps.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return cropped(maps, (2 * ny, 2 * nx)).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx, gradient):
        ky, kx = ctx.tiles[3:5]
        rim = (kx // 2 - 1, kx // 2 - 1, ky // 2 - 1, ky // 2 - 1)
        padded = functional.pad(gradient, rim).unfold(2, ky, 2).unfold(3, kx, 2)
        return padded.permute(0, 2, 3, 4, 5, 1).contiguous()


def cropped(maps: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The middle of maps ``(..., ny, nx)``, of another shape."""
    if maps.shape[-2:] == shape:
        return maps  # the way back would fill and copy the whole
    for axis, side in zip((-2, -1), shape, strict=True):
        maps = maps.narrow(axis, (maps.shape[axis] - side) // 2, side)
    return maps


def halved(shape: tuple[int, ...], times: int) -> tuple[int, ...]:
    """Sides halved so many times, rounded up: what has to be doubled to cover `shape`."""
    return tuple(-(-side >> times) for side in shape)


def start_shape(shape: tuple[int, ...], longest: int = 4) -> tuple[int, ...]:
    """A grid halved, once or more, until no side is longer than `longest`.

    Examples
    --------
    >>> start_shape((768, 256)), start_shape((512, 512)), start_shape((50, 30))
    ((3, 1), (4, 4), (4, 2))
    """
    times = 1
    while max(halved(shape, times)) > longest:
        times += 1
    return halved(shape, times)


def _doublings(shape: tuple[int, ...], start: tuple[int, ...]) -> int:
    """How often a map of the `start` shape has to be doubled to cover `shape`, at least once."""
    grid, first = (" x ".join(map(str, sides)) for sides in (shape, start))
    if len(shape) != 2:
        raise ValueError(
            f"the generator makes maps of two axes, and the grid is {grid}: choose another network"
        )
    for times in range(1, max(shape).bit_length() + 1):
        if halved(shape, times) == start:
            return times
    right = " x ".join(map(str, start_shape(shape)))
    raise ValueError(
        f"a grid of {grid} is not {first} doubled: choose a start shape that reaches it, such as "
        f"{right}"
    )
