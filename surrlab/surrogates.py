"""The networks: parameters and time in, the fields of one sample out (Fig. 1)."""

from __future__ import annotations

import torch
from torch import nn


class Generator(nn.Module):
    """The paper's DCGAN-style generator, layer for layer as LLNL's trainer builds it.

    A transposed convolution turns the inputs into a small map of the `start` shape; each further
    one (kernel 4, stride 2) doubles the sides, with batch normalisation and ReLU, until the last
    gives the fields, each with a trainable scale and shift. Features halve towards the end.

    Parameters
    ----------
    n_inputs : int
        Length of the input vector: the simulation's parameters, then time.
    n_fields : int
        Number of output channels.
    shape : tuple of int
        Grid of the output, ``(ny, nx)``.
    start : tuple of int
        Shape of the first map; `shape` must be `start` times a power of two.
    max_features, min_features : int
        Features of the widest layer, and of the last hidden one.

    Raises
    ------
    ValueError
        If `shape` cannot be reached from `start` by doubling.

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
        start: tuple[int, int],
        max_features: int = 1024,
        min_features: int = 128,
    ):
        super().__init__()
        doublings = (shape[0] // start[0]).bit_length() - 1
        if doublings < 1 or shape != (start[0] << doublings, start[1] << doublings):
            raise ValueError(
                f"a grid of {shape[0]} x {shape[1]} is not {start[0]} x {start[1]} doubled: "
                "choose a start shape that reaches it"
            )
        hidden = [min(max_features, min_features << i) for i in reversed(range(doublings))]
        layers: list[nn.Module] = []
        previous, kernel = n_inputs, {"kernel_size": start}
        for features in hidden:
            layers += [
                nn.ConvTranspose2d(previous, features, **kernel, bias=False),
                nn.BatchNorm2d(features),
                nn.ReLU(inplace=True),
            ]
            previous, kernel = features, {"kernel_size": 4, "stride": 2, "padding": 1}
        layers.append(nn.ConvTranspose2d(previous, n_fields, **kernel, bias=False))
        self.layers = nn.Sequential(*layers)
        self.scale = nn.Parameter(torch.ones(n_fields, 1, 1))
        self.shift = nn.Parameter(torch.zeros(n_fields, 1, 1))

    def forward(self, inputs):  # (batch, n_inputs) -> (batch, n_fields, ny, nx)
        """Fields of a batch of samples, in the units that the network was trained in."""
        return self.layers(inputs[:, :, None, None]) * self.scale + self.shift
