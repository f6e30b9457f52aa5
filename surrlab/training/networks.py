"""The networks: parameters and time in, the fields of one sample out (Fig. 1)."""

from __future__ import annotations

import torch
from torch import distributed, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the whole batch, over all ranks that share it.

    Torch's own layer normalises each rank's share by itself (its synchronised one knows GPUs only),
    so that a model would depend on how many processes trained it. Weights have the same names.
    """

    def forward(self, inputs):  # (b, c, ny, nx), of this rank -> the same
        """Normalised maps; one process alone takes torch's own kernel."""
        alone = not distributed.is_initialized() or distributed.get_world_size() == 1
        if alone or not self.training:
            return super().forward(inputs)
        maps, mean, variance, n = _Normalise.apply(
            inputs.to(self.weight.dtype), self.weight, self.bias, self.eps
        )
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        return maps.to(inputs.dtype)


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy (2015), arXiv:1502.03167, with every sum taken over the ranks.

    As a function of its own it keeps one map for the way back, as torch's kernel does; automatic
    differentiation would keep four.
    """

    @staticmethod
    def forward(ctx, maps, weight, bias, eps):
        n, mean = maps[:, 0].numel(), maps.mean((0, 2, 3))
        maps = maps - _by_channel(mean)
        mine = torch.stack([torch.full_like(mean, n), mean, maps.square().sum((0, 2, 3))])
        shares = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
        distributed.all_gather(shares, mine)
        counts, means, squares = torch.stack(shares, 1)
        n = counts.sum(0)
        centre = (counts * means).sum(0) / n
        variance = (squares + counts * (means - centre).square()).sum(0) / n
        scale = (variance + eps).rsqrt()
        maps = maps.add_(_by_channel(mean - centre)).mul_(_by_channel(scale))
        ctx.save_for_backward(maps, weight, scale, n)
        ctx.mark_non_differentiable(centre, variance, n)
        return maps * _by_channel(weight) + _by_channel(bias), centre, variance, n

    @staticmethod
    def backward(ctx, gradient, *_):
        maps, weight, scale, n = ctx.saved_tensors
        mine = torch.stack([gradient.sum((0, 2, 3)), (gradient * maps).sum((0, 2, 3))])
        total = mine.clone()
        distributed.all_reduce(total)
        total = _by_channel(total / n)
        to_maps = (gradient - total[0] - maps * total[1]) * _by_channel(weight * scale)
        return to_maps, mine[1], mine[0], None


def _by_channel(values):  # (..., c) -> (..., c, 1, 1)
    return values[..., None, None]


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
        shape, start = tuple(shape), tuple(start)
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
                BatchNorm(features),
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
