"""Public names of a package, loaded on first use: importing surrlab costs nothing."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _LazyPackage(ModuleType):
    """A package whose public names live in its modules.

    A name wins over a module of the same name: ``surrlab.training.train`` is the function, also
    once ``surrlab/training/train.py`` is loaded and Python wants to put the module there.
    """

    _names: dict[str, str]  # public name -> module that defines it
    _modules: tuple[str, ...]

    def __getattr__(self, name: str) -> object:
        if name in self._names:
            module = importlib.import_module(f"{self.__name__}.{self._names[name]}")
            self.__dict__[name] = getattr(module, name)
            return self.__dict__[name]
        if name in self._modules:
            return importlib.import_module(f"{self.__name__}.{name}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in self._names:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names, *self._modules})


def attach(package: str, **names: str) -> list[str]:
    """Offer the names that a package's modules define as the package's own; list them all.

    ``attach(__name__, networks="Generator")`` in ``surrlab/training/__init__.py`` makes
    ``surrlab.training.Generator`` load ``surrlab/training/networks.py`` when it is first used.
    The stubs that type checkers read are made from these calls by ``docs/stubs.py``.
    """
    this = sys.modules[package]
    modules = {name: module for module, defined in names.items() for name in defined.split()}
    this.__dict__.update(_names=modules, _modules=tuple(names))
    this.__class__ = _LazyPackage
    return sorted(modules)


def require(extra: str, *modules: str) -> None:
    """Raise ImportError, naming the extra to install, unless the modules can be imported."""
    from importlib.util import find_spec

    if missing := [module for module in modules if find_spec(module) is None]:
        raise ImportError(f"surrlab needs {', '.join(missing)}: pip install 'surrlab[{extra}]'")
