"""A step of training beside a bare loop over the same layers, and beside steps of stacked models.

    python benchmarks/training_step.py > benchmarks/training_step.json

On one thread, for the networks of the quick presets, with batches of 64 that lie in memory. All
candidates take a step in turns; medians of processor time, which other work on the machine moves
less than the clock.

- *bare*: torch's own layers, forward and backward, without loss, normalising, or optimiser; in
  either memory format. What is counted as GFLOP/s are the products of the layers.
- *step*: `surrlab.training.step.Step`; *compiled*: with the network through `torch.compile`.
- *grouped K*, *vmap K*: a step of K models at once, as grouped convolutions, and by
  `torch.func.stack_module_state` and `vmap`; each model with its own inputs; time per model.
"""

import copy
import json
import os
import sys
import time

import numpy as np
import torch
from machine import machine
from torch import nn

from surrlab.studies.config import get_preset
from surrlab.training.architectures.batch_norm import BatchNorm
from surrlab.training.step import Step, make_fabric
from surrlab.training.surrogate import Normaliser

BATCH, ROUNDS, STACKS, CL = 64, 9, (2, 4, 8), torch.channels_last


def plain(network):
    """Torch's own layers, without what `Generator` does to be fast."""
    layers = copy.deepcopy(network.layers)
    for layer in layers:
        own = {BatchNorm: nn.BatchNorm2d}.get(type(layer), nn.ConvTranspose2d)
        layer.__class__ = own if layer._parameters else type(layer)
    return layers


def gflop(layers, n_inputs):
    """Products and sums of a forward and a backward pass, in 1e9."""
    maps, count = torch.zeros(1, n_inputs, 1, 1), 0
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            count += maps.shape[2:].numel() * layer.weight.numel()
        maps = layer.eval()(maps)
    layers.train()
    return 3 * 2 * BATCH * count / 1e9


def bare(layers, inputs, gradient):
    def step():
        layers.zero_grad()
        layers(inputs[:, :, None, None]).backward(gradient)

    return step


def grouped(layers, k):
    """K models as one network, their channels side by side."""
    made = []
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            options = {"kernel_size": layer.kernel_size, "stride": layer.stride}
            options |= {"padding": layer.padding, "groups": k, "bias": False}
            one = nn.ConvTranspose2d(k * layer.in_channels, k * layer.out_channels, **options)
            one.weight.data = layer.weight.data.repeat(k, 1, 1, 1)
        else:
            wide = isinstance(layer, nn.BatchNorm2d)
            one = nn.BatchNorm2d(k * layer.num_features) if wide else layer
        made.append(one)
    return nn.Sequential(*made).to(memory_format=CL)


def stacked(forward, weights, inputs, fields):
    """A step of several models; each has the loss that it has alone."""
    optimizer = torch.optim.Adam(weights, lr=1e-3, fused=True)

    def step():
        optimizer.zero_grad()
        loss = (forward(inputs) - fields).abs().mean(dim=tuple(range(1, fields.ndim)))
        loss.sum().backward()
        optimizer.step()

    return step


class WithScale(nn.Module):
    """A network of torch's own layers, with a scale and a shift for each field."""

    def __init__(self, layers, n):
        super().__init__()
        self.layers = layers
        self.scale = nn.Parameter(torch.ones(n, 1, 1))
        self.shift = nn.Parameter(torch.zeros(n, 1, 1))

    def forward(self, inputs):
        return self.layers(inputs[:, :, None, None]) * self.scale + self.shift


def by_groups(layers, k, x, y):
    network = WithScale(grouped(layers, k), k * y.shape[1])
    inputs = x.repeat(1, k)
    fields = y.repeat(1, k, 1, 1).contiguous(memory_format=CL)
    inner = fields.unflatten(1, (k, -1)).movedim(1, 0)

    def forward(inputs):
        return network(inputs).unflatten(1, (k, -1)).movedim(1, 0)

    return stacked(forward, list(network.parameters()), inputs, inner)


def by_vmap(layers, k, x, y):
    networks = [WithScale(copy.deepcopy(layers), y.shape[1]) for _ in range(k)]
    weights, buffers = torch.func.stack_module_state(networks)
    network = copy.deepcopy(networks[0]).to("meta")

    def one(weights, buffers, inputs):
        return torch.func.functional_call(network, (weights, buffers), (inputs,))

    def forward(inputs):
        return torch.vmap(one)(weights, buffers, inputs)

    return stacked(forward, list(weights.values()), x.repeat(k, 1, 1), y.repeat(k, 1, 1, 1, 1))


def seconds(candidates):
    """Median of processor seconds of each, in turns."""
    found = {name: [] for name in candidates}
    for turn in range(ROUNDS + 1):
        for name, call in candidates.items():
            began = time.process_time()
            call()
            if turn:
                found[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in found.items()}


def measured(preset):
    config = get_preset(preset)
    n_inputs, n_fields = len(config.scenario.parameters) + 1, len(config.scenario.fields)
    torch.manual_seed(0)
    network = config.train.network.build(n_inputs, n_fields, config.shape).to(memory_format=CL)
    x, y = torch.randn(BATCH, n_inputs), torch.randn(BATCH, n_fields, *config.shape)
    fabric, layers = make_fabric("cpu"), plain(network)
    fabric.launch()
    flat = [values for n in (n_inputs, n_fields) for values in ((0.0,) * n, (1.0,) * n)]
    normaliser = Normaliser(*flat)

    def step_of(network):
        step = Step(fabric, network, 1e-3, normaliser)
        return lambda: step(x.numpy(), y.numpy(), BATCH, 1e-3)

    candidates = {
        "bare": bare(copy.deepcopy(layers), x, y.contiguous(memory_format=CL)),
        "bare, default format": bare(
            copy.deepcopy(layers).to(memory_format=torch.contiguous_format), x, y
        ),
        "step": step_of(copy.deepcopy(network)),
    }
    for k in STACKS:
        candidates[f"grouped {k}"] = by_groups(layers, k, x, y)
        candidates[f"vmap {k}"] = by_vmap(layers, k, x, y)
    try:
        candidates["compiled"] = step_of(torch.compile(copy.deepcopy(network)))
        candidates["compiled"]()
    except Exception as error:  # no compiler, most of the time
        print(f"not compiled: {str(error).splitlines()[0]}", file=sys.stderr)
        candidates.pop("compiled", None)
    a = torch.randn(1024, 1024)
    found = seconds(candidates | {"matrix product": lambda: a @ a})
    product = 2 * 1024**3 / found.pop("matrix product") / 1e9
    work, rows = gflop(layers, n_inputs), {}
    for name, time_ in found.items():
        per_model = time_ / (int(name.split()[-1]) if name[-1].isdigit() else 1)
        rows[name] = {"ms": round(1e3 * per_model, 2), "gflops": round(work / per_model, 1)}
    ours = rows["step"]["ms"]
    return {
        "gflop": round(work, 3),
        "matrix_product_gflops": round(product, 1),
        "of_bare": round(rows["bare"]["ms"] / ours, 3),
        "best_stack_over_step": round(
            min(rows[n]["ms"] for n in rows if n[-1].isdigit()) / ours, 3
        ),
        "rows": rows,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    report = {preset: measured(preset) for preset in ("quick", "quick-pchip")}
    report["load"] = [round(before, 2), round(os.getloadavg()[0], 2)]
    report["machine"] = machine("torch", "numpy")
    print(json.dumps(report, indent=1, ensure_ascii=False))
