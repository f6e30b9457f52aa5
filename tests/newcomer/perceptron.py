"""A network as a user adds one: two layers, for a grid of any shape."""

import math

from torch import nn

from surrlab.training.networks import register_network


def perceptron(n_inputs, n_fields, shape, width=32):
    """Inputs (b, n_inputs) -> fields (b, n_fields, *shape), both normalised."""
    n_values = n_fields * math.prod(shape)
    layers = nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, n_values)
    return nn.Sequential(*layers, nn.Unflatten(1, (n_fields, *shape)))


register_network("perceptron", perceptron)
