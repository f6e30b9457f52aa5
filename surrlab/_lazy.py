"""Public names of a package, loaded on first use: to import surrlab costs nothing."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _LazyPackage(ModuleType):
    """A package whose public names live in its modules.

    A name wins over a module of the same name: ``surrlab.training.train`` is the function, also
    once ``surrlab/training/train.py`` is loaded and Python wants to put the module there.
    """

    def __getattr__(self, name: str):
        module = self.__dict__["_modules"].get(name)
        if module is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in self.__dict__["_modules"]:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self):
        return sorted({*super().__dir__(), *self.__dict__["_modules"]})


def attach(package: str, **names: str) -> list[str]:
    """Offer the names that a package's modules define as the package's own.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    **names : str
        For each module the names, separated by spaces.

    Returns
    -------
    list of str
        All of them, for ``__all__``.
    """
    this = sys.modules[package]
    modules = {name: f"{package}.{m}" for m, defined in names.items() for name in defined.split()}
    this.__dict__["_modules"] = modules
    this.__class__ = _LazyPackage
    return sorted(modules)
