"""Networks by name: parameters and time in, the fields out (Fig. 1)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Factory = Callable[..., nn.Module]
"""Called as ``factory(n_inputs, n_fields, shape, **arguments)``."""

_ARCHITECTURES = "surrlab.training.architectures"
_BUILT_IN = {  # imported when one is built
    "fno": f"{_ARCHITECTURES}.fno:FourierOperator",
    "generator": f"{_ARCHITECTURES}.generator:Generator",
    "unet": f"{_ARCHITECTURES}.unet:UNet",
    "vit": f"{_ARCHITECTURES}.vit:VisionTransformer",
}
_factories: dict[str, Factory] = {}  # registered names, and what was imported, by its name


def register_network(name: str, factory: Factory) -> None:
    """Give a network a name that `NetworkConfig` knows in this process.

    Parameters
    ----------
    name : str
        Without a colon. A name can be registered again for an edited version of its factory.
    factory : callable
        ``factory(n_inputs, n_fields, shape, **arguments) -> nn.Module``; the module turns inputs
        ``(b, n_inputs)`` into fields ``(b, n_fields, *shape)``, both normalised.

    Raises
    ------
    ValueError
        If the name has a colon, or belongs to another factory.
    """
    known = _imported(name, _BUILT_IN[name]) if name in _BUILT_IN else _factories.get(name)
    if ":" in name:
        raise ValueError(f"the name of a network has no colon, which {name!r} has")
    if known is not None and _origin(known) != _origin(factory):
        raise ValueError(f"the name {name!r} belongs to {_origin(known)}; choose another one")
    _factories[name] = factory


def _origin(factory: Factory) -> str:
    return f"{factory.__module__}.{getattr(factory, '__qualname__', factory)}"


@dataclass(frozen=True, init=False, repr=False)
class NetworkConfig:
    """Which network, with which arguments: a value, whose repr and whose config rebuild it.

    It is a part of the run id, the code of the network is not: give an edited network another name
    or argument, or its stored models are taken for new ones.

    Parameters
    ----------
    name : str
        A registered name, or ``"module:factory"``, which is imported when a network is built.
    arguments : mapping, optional
        Keyword arguments of the factory, as JSON knows them: tuples become lists.

    Raises
    ------
    TypeError
        If the arguments are not JSON.

    Examples
    --------
    >>> NetworkConfig("generator", {"start": (3, 1)})
    NetworkConfig('generator', {'start': [3, 1]})
    >>> generator(start=(3, 1), min_features=24).build(4, 6, (48, 16))(torch.zeros(2, 4)).shape
    torch.Size([2, 6, 48, 16])
    """

    name: str
    _json: str = field(init=False)  # of the arguments, keys sorted: hashable, and never changed

    def __init__(self, name: str, arguments: Mapping[str, Any] | None = None):
        try:
            text = json.dumps(dict(arguments or {}), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"arguments of network {name!r} must be numbers, strings, lists and dictionaries, "
                f"as JSON has them, not {arguments}: {error}"
            ) from error
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_json", text)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the factory; a copy."""
        return json.loads(self._json)

    def __repr__(self):
        return f"NetworkConfig({self.name!r}, {self.arguments})"

    def __reduce__(self):
        # A worker process has not run the user's `register_network`: the factory goes along.
        return _unpickle, (self.name, self.arguments, _factories.get(self.name))

    def config(self) -> dict[str, Any]:
        """The value as JSON; ``NetworkConfig(**config)`` rebuilds it."""
        return {"name": self.name, "arguments": self.arguments}

    @property
    def known(self) -> bool:
        """Whether `build` can do without importing anybody else's code."""
        return self.name in _factories or self.name in _BUILT_IN

    def build(self, n_inputs: int, n_fields: int, shape: tuple[int, ...]) -> nn.Module:
        """A new network, its weights drawn from torch's global generator.

        Parameters
        ----------
        n_inputs : int
            Length of the input vector: the simulation's parameters, then time.
        n_fields : int
            Number of fields of a sample.
        shape : tuple of int
            Of the grid.

        Raises
        ------
        ValueError
            If no network has the name, its module cannot be imported, or the factory refuses.
        """
        factory = self._factory()
        try:
            network = factory(n_inputs, n_fields, tuple(shape), **self.arguments)
        except TypeError as error:  # wrong or missing arguments, most of the time
            raise ValueError(f"{self} cannot be built: {error}") from error
        if not isinstance(network, nn.Module):
            raise ValueError(f"{self} gives {type(network).__name__}, not a torch.nn.Module")
        return network

    def check(self, n_inputs: int, n_fields: int, shape: tuple[int, ...]) -> None:
        """Refuse with a ValueError what `build` would refuse; it takes neither time nor memory."""
        # A network of somebody's that has to see its weights cannot be built without them.
        with suppress(NotImplementedError), torch.device("meta"), torch.random.fork_rng(devices=[]):
            self.build(n_inputs, n_fields, shape)

    def _factory(self) -> Factory:
        origin = self.name if ":" in self.name else _BUILT_IN.get(self.name, "")
        if self.name not in _factories and origin:
            _imported(self.name, origin)
        if self.name not in _factories:
            names = {*_factories, *_BUILT_IN}
            known = ", ".join(sorted(name for name in names if ":" not in name))
            raise ValueError(
                f"no network is called {self.name!r}; there are {known}. Register it first, or "
                "name it 'module:factory'"
            )
        return _factories[self.name]


def _imported(name: str, origin: str) -> Factory:
    """Import ``"module:factory"``, once, and know it by a name."""
    module, _, attribute = origin.partition(":")
    if name not in _factories:
        try:
            _factories[name] = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # whatever the user's module does when it is imported
            raise ValueError(
                f"network {name!r} cannot be imported ({type(error).__name__}: {error}); "
                "is its module installed, or on PYTHONPATH?"
            ) from error
    return _factories[name]


def _unpickle(name: str, arguments: dict, factory: Factory | None) -> NetworkConfig:
    if factory is not None:
        _factories[name] = factory
    return NetworkConfig(name, arguments)


def check_output(network: nn.Module, n_inputs: int, n_fields: int, shape: tuple[int, ...]) -> None:
    """Try an untrained network on two samples, in evaluation mode.

    Raises
    ------
    ValueError
        If it fails, or gives other than finite numbers ``(2, n_fields, *shape)``.
    """
    inputs, wanted = torch.linspace(-1, 1, 2 * n_inputs).reshape(2, n_inputs), (2, n_fields, *shape)
    name, training = type(network).__name__, network.training
    try:
        with torch.no_grad():
            fields = network.eval()(inputs)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name} fails on inputs (2, {n_inputs}): {reason}") from error
    finally:
        network.train(training)
    came = tuple(getattr(fields, "shape", ()))
    if came != wanted:
        raise ValueError(f"{name} turns inputs (2, {n_inputs}) into {came}, not {wanted}")
    if not torch.isfinite(fields).all():
        raise ValueError(f"{name} gives numbers that are not finite before it is trained")


def generator(
    start: tuple[int, int] = (3, 1), max_features: int = 1024, min_features: int = 128
) -> NetworkConfig:
    """Configuration of the paper's `Generator`, by default with its numbers for Rayleigh-Taylor.

    Defaults are spelt out in the value, so that a run id holds all numbers.
    """
    arguments = {"start": start, "max_features": max_features, "min_features": min_features}
    return NetworkConfig("generator", arguments)


def layers(network: nn.Module, n_inputs: int) -> list[dict[str, Any]]:
    """Return what a network is made of, in the order in which data flow.

    Returns
    -------
    list of dict
        For every module that holds weights of its own: ``name``, ``kind``, ``shape`` of what it
        returns, without the batch, and number of ``parameters``.
    """
    found: list[dict[str, Any]] = []

    def note(name: str) -> Callable[..., None]:
        def seen(module: nn.Module, _: Any, output: Any) -> None:
            n = sum(weights.numel() for weights in module.parameters(recurse=False))
            shape = list(output.shape[1:]) if isinstance(output, torch.Tensor) else []
            kind = type(module).__name__
            found.append({"name": name, "kind": kind, "shape": shape, "parameters": n})

        return seen

    own = [(n, m) for n, m in network.named_modules() if any(True for _ in m.parameters(False))]
    handles = [module.register_forward_hook(note(name)) for name, module in own]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, n_inputs))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return found
