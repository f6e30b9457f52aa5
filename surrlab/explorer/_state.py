"""The explorer's state as a short text: `html.state_text` writes it, here it is read.

A state names a folder, and what is chosen there. It never says that a folder's networks may be
imported: whoever opens a state that somebody sent decides that.
"""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Mapping

import ipywidgets as widgets

from surrlab.explorer.html import STATE


def is_state(text: str) -> bool:
    """Whether a text means to be a state, and no path."""
    return text.startswith(f"{STATE}:")


def read_state(text: str) -> dict[str, str]:
    """What a state says, by name.

    Raises
    ------
    ValueError
        If it is none, or names no folder.
    """
    scheme, _, rest = text.strip().partition(":")
    page, _, query = rest.partition("?")
    found = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    if scheme != STATE or not page or "folder" not in found:
        raise ValueError(
            f"{text!r} is no state of the explorer: that begins with {STATE}: and names a page and "
            "a folder"
        )
    return {"page": page, **found}


def indices(state: Mapping[str, str]) -> dict[str, int] | None:
    """Index on each axis that is not shown; None where there are none. ValueError if no number."""
    found = {name[3:]: whole(name, text) for name, text in state.items() if name[:3] == "at."}
    return found or None


def whole(name: str, text: str) -> int:
    """A whole number of a state; ValueError if it is none."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the state has {name}={text}, where a whole number belongs") from None


def real(name: str, text: str) -> float:
    """A positive number of a state; ValueError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"the state has {name}={text}, where a positive number belongs")
    return value


def set_controls(controls: Mapping[str, widgets.Widget], state: Mapping[str, str]) -> None:
    """Set each control, in turn, to what a state says of it.

    Raises
    ------
    ValueError
        If a control has no such value.
    """
    for name, control in controls.items():
        if (text := state.get(name)) is None:
            continue
        if isinstance(control, widgets.Checkbox):
            control.value = text != "0"
        elif hasattr(control, "options"):
            values = [value for _, value in control._options_full]
            if text not in map(str, values):
                raise ValueError(f"the state has {name}={text}, which is not to be had here")
            control.value = values[list(map(str, values)).index(text)]
        else:
            try:
                value = type(control.value)(text)
            except ValueError:
                value = control.max + 1
            if not control.min <= value <= control.max:
                raise ValueError(
                    f"the state has {name}={text}, which is not from {control.min:g} to "
                    f"{control.max:g}"
                )
            control.value = value
