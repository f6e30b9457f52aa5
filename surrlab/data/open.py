"""Open an ensemble in whatever layout it lies; layouts register here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from surrlab.data.ensemble import Ensemble
from surrlab.data.native import is_native, open_native

Card = dict[str, Any]
"""What files do not say themselves, as JSON: names, units, parameters."""


class Layout(NamedTuple):
    """A way in which ensembles lie on disk.

    Parameters
    ----------
    recognises : callable
        Whether a path looks like it, by names and headers only.
    open : callable
        Path and card -> `Ensemble`.
    """

    recognises: Callable[[Path], bool]
    open: Callable[[Path, Card], Ensemble]


_LAYOUTS: dict[str, Layout] = {"native": Layout(is_native, lambda path, card: open_native(path))}


def register_layout(
    name: str,
    opener: Callable[[Path, Card], Ensemble],
    recognises: Callable[[Path], bool],
) -> None:
    """Let `open_ensemble` read another layout.

    Parameters
    ----------
    name : str
        What users call it.
    opener : callable
        Path and card -> `Ensemble`.
    recognises : callable
        Whether a path looks like it, by names and headers only.
    """
    _LAYOUTS[name] = Layout(recognises, opener)


def open_ensemble(
    path: str | os.PathLike, layout: str | None = None, card: Card | None = None
) -> Ensemble:
    """Open an ensemble, raw or compressed.

    Parameters
    ----------
    path : path
        Its folder or file.
    layout : str, optional
        Name of its layout; by default the one that recognises it.
    card : dict, optional
        What the files do not say themselves.

    Raises
    ------
    FileNotFoundError
        If there is nothing, or nothing that any layout recognises.
    KeyError
        If no layout is called `layout`.
    ValueError
        If two layouts recognise it, or the one that does cannot read it.
    OSError
        If a file is damaged.
    """
    path = Path(path).expanduser()
    if layout is not None:
        if layout not in _LAYOUTS:
            raise KeyError(f"there is no layout {layout!r}; there are {', '.join(_LAYOUTS)}")
        return _LAYOUTS[layout].open(path, card or {})
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    fitting = [name for name, one in _LAYOUTS.items() if one.recognises(path)]
    if len(fitting) > 1:
        raise ValueError(f"{path} looks like {' and '.join(fitting)}: name the layout")
    if not fitting:
        raise FileNotFoundError(
            f"{path} is not an ensemble: none of the layouts {', '.join(_LAYOUTS)} recognises it"
        )
    return _LAYOUTS[fitting[0]].open(path, card or {})
