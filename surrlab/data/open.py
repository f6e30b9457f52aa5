"""Open an ensemble in whatever layout it lies; layouts register here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from surrlab._files import cache_folder, read_json, write_json
from surrlab.data._native import NativeEnsemble
from surrlab.data.ensemble import Ensemble
from surrlab.data.layouts import npz, pdebench, professor, pyro, well, xarray, zarr
from surrlab.data.layouts.cards.card import Card
from surrlab.data.layouts.cards.extra import Extra, Given, check_keys, load_extra
from surrlab.data.layouts.cards.reading import CardEnsemble
from surrlab.data.native import copy, is_native, open_native

CACHE = "card.json"
_VERSION = 2
"""Of what a remembered card means."""


class Layout(NamedTuple):
    """A way in which ensembles lie on disk.

    Parameters
    ----------
    recognises : callable
        Whether a path looks like it, by names and headers only.
    open : callable
        Path, and what a user adds -> `Ensemble`.
    """

    recognises: Callable[[Path], bool]
    open: Callable[[Path, Extra], Ensemble]


def _open_by_card(name: str, path: Path, extra: Extra) -> Ensemble:
    folder = path if path.is_dir() else path.parent
    return CardEnsemble.from_card(path, folder, read_card(path, name, extra))


def _open_native(path: Path, extra: Extra) -> Ensemble:
    if keys := set(extra) - {"layout"}:
        raise ValueError(f"{path} is surrlab's own: a card may not say {', '.join(sorted(keys))}")
    return open_native(path)


FOREIGN = {
    one.__name__.rsplit(".", 1)[-1]: one
    for one in (professor, well, xarray, zarr, pdebench, npz, pyro)
}
"""Modules of foreign layouts, by name."""
_LAYOUTS: dict[str, Layout] = {
    "native": Layout(is_native, _open_native),
    **{name: Layout(one.recognises, partial(_open_by_card, name)) for name, one in FOREIGN.items()},
}


def register_layout(
    name: str,
    opener: Callable[[Path, Extra], Ensemble],
    recognises: Callable[[Path], bool],
) -> None:
    """Let `open_ensemble` read another layout.

    Parameters
    ----------
    name : str
        What users call it.
    opener : callable
        Path, and what a user adds (the keys of ``surrlab.json`` and ``card=``) -> `Ensemble`.
    recognises : callable
        Whether a path looks like it, by names and headers only; a user's layout wins over those
        that come with surrlab.

    Raises
    ------
    ValueError
        If a layout that comes with surrlab is called so.
    """
    if name == "native" or name in FOREIGN:
        raise ValueError(f"surrlab has a layout {name!r} itself: choose another name")
    _LAYOUTS[name] = Layout(recognises, opener)


def open_ensemble(
    path: str | os.PathLike,
    layout: str | None = None,
    card: Given = None,
) -> Ensemble:
    """Open an ensemble, raw or compressed, in any layout.

    Nothing is written beside it: its headers, once read, are remembered in the user's cache.

    Parameters
    ----------
    path : path
        Its folder or file.
    layout : str, optional
        Name of its layout; by default the one that recognises it.
    card : dict or path, optional
        What the files do not say themselves, or a JSON file with it; it adds to a
        ``surrlab.json`` beside the data (see `surrlab.data.card_template`).

    Raises
    ------
    FileNotFoundError
        If there is nothing, or nothing that any layout recognises.
    KeyError
        If no layout is called `layout`.
    ValueError
        If two layouts recognise it, the one that does cannot read it, or the card contradicts it.
    OSError
        If a file is damaged.
    """
    path = Path(path).expanduser()
    extra = load_extra(path, card) if path.exists() else {}
    name = _layout_of(path, layout or extra.get("layout"))
    return _LAYOUTS[name].open(path, extra)


def import_ensemble(
    path: str | os.PathLike,
    out: str | os.PathLike,
    layout: str | None = None,
    card: Given = None,
    *,
    executor: Executor | None = None,
) -> NativeEnsemble:
    """Write somebody's ensemble in surrlab's own layout, raw: every field of it is read in place.

    Parameters
    ----------
    path, layout, card
        As `open_ensemble` takes them.
    out : path
        Folder of the copy; an interrupted one goes on.
    executor : concurrent.futures.Executor, optional
        Where simulations are copied; by default a pool of processes.

    Raises
    ------
    ValueError
        If nobody says what fields, units, axes or times are: a copy would make guesses of them for
        good. Or as `open_ensemble`.
    FileExistsError
        If the folder holds anything else.
    """
    ensemble = open_ensemble(path, layout, card)
    if unknown := ensemble.metadata.get("unknown"):
        raise ValueError(
            f"{path}: no file says {', '.join(unknown)}; say it in a surrlab.json beside the data "
            f"or with --card (`surrlab card {path}` prints one to fill in), then import"
        )
    return copy(ensemble, out, executor=executor)


def card_template(
    path: str | os.PathLike,
    layout: str | None = None,
    card: Given = None,
) -> dict[str, Any]:
    """Return the card of an ensemble to fill in, as JSON: ``"?"`` stands where nobody says.

    Raises
    ------
    FileNotFoundError, KeyError, ValueError, OSError
        As `open_ensemble`.
    """
    path = Path(path).expanduser()
    extra = load_extra(path, card) if path.exists() else {}
    name = _layout_of(path, layout or extra.get("layout"))
    if name not in FOREIGN:
        raise ValueError(f"{path} is of layout {name}, which needs no card")
    if name == "npz" and "arrays" not in extra:
        return npz.template(path)
    return read_card(path, name, extra).template()


def _layout_of(path: Path, name: str | None) -> str:
    """Name of the layout of a path, given or recognised."""
    if name is not None and name not in _LAYOUTS:
        raise KeyError(f"there is no layout {name!r}; there are {', '.join(_LAYOUTS)}")
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if not (path.is_dir() or path.is_file()):
        raise ValueError(f"{path} is neither a file nor a folder")
    if name is not None:
        return name
    if is_native(path):  # its files may show other layouts' views, too
        return "native"
    fitting = [one for one, layout in _LAYOUTS.items() if layout.recognises(path)]
    fitting = [one for one in fitting if one not in FOREIGN] or fitting
    if len(fitting) > 1:
        raise ValueError(f"{path} looks like {' and '.join(sorted(fitting))}: name the layout")
    if not fitting:
        raise FileNotFoundError(
            f"{path} is not an ensemble: none of the layouts {', '.join(_LAYOUTS)} recognises it"
        )
    return fitting[0]


def read_card(path: Path, name: str, extra: Extra) -> Card:
    """Card of an ensemble of a foreign layout: remembered, if none of its files changed since."""
    check_keys(extra)
    key = hashlib.sha256(
        json.dumps([_VERSION, name, extra, _stats(path)], sort_keys=True).encode()
    ).hexdigest()
    cache = cache_folder(str(path)) / CACHE
    try:
        known = read_json(cache, limit=1 << 28)
        if known["key"] == key:
            return Card.from_config(known["card"])
    except (OSError, ValueError, TypeError, KeyError):
        pass  # none is there, or it is damaged
    try:
        card = FOREIGN[name].scan(path, extra)
    except KeyError as error:
        raise ValueError(f"{path} is not as files of {name} should be: {error.args[0]}") from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
    folder = path if path.is_dir() else path.parent
    card = replace(card, fields=CardEnsemble.from_card(path, folder, card).with_masks().fields)
    try:
        write_json(cache, {"key": key, "card": card.config()})
    except OSError:
        pass  # a cache that only others may write
    return card


def _stats(path: Path) -> list:
    """Name, size and time of change of every file of an ensemble."""
    if path.is_file():
        return [[path.name, path.stat().st_size, path.stat().st_mtime_ns]]
    found, waiting = [], [str(path)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file():
                    stat = entry.stat()
                    found.append([entry.path, stat.st_size, stat.st_mtime_ns])
    return sorted(found)
