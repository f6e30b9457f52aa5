"""A Fourier neural operator, as neuraloperator builds it, on a grid of any number of axes."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn


class FourierOperator(nn.Module):
    """Inputs as constant maps, the grid's coordinates beside them, through Fourier layers.

    Parameters
    ----------
    n_inputs, n_fields, shape
        Length of the input vector, output channels, grid.
    modes : int
        Fourier modes kept along each axis, as far as it has them.
    width, layers : int
        Channels, and Fourier layers.

    Raises
    ------
    ImportError
        If neuraloperator is not installed.

    References
    ----------
    Li et al., Fourier neural operator for parametric partial differential equations (2021),
    arXiv:2010.08895.
    """

    def __init__(
        self,
        n_inputs: int,
        n_fields: int,
        shape: tuple[int, ...],
        modes: int = 12,
        width: int = 32,
        layers: int = 4,
    ):
        super().__init__()
        if find_spec("neuralop") is None:
            raise ImportError("the network 'fno' needs neuraloperator: pip install neuraloperator")
        from neuralop.models import FNO  # type: ignore[import-not-found]

        self.shape = tuple(shape)
        self.operator = FNO(
            n_modes=tuple(min(modes, side) for side in shape),
            in_channels=n_inputs,
            out_channels=n_fields,
            hidden_channels=width,
            n_layers=layers,
            positional_embedding="grid",
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:  # (b, n_inputs) -> (b, n_fields, …)
        """Fields of a batch of samples, in the units that the network was trained in."""
        maps = inputs.reshape(*inputs.shape, *(1 for _ in self.shape))
        return self.operator(maps.expand(*inputs.shape, *self.shape))
