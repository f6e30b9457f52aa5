"""Margins: how much loss in a score counts as harmless, in the unit that the user thinks in."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

DEFAULT_MARGINS = {"l1": "5 %", "psnr": "0.5 dB", "quantity": "2 % of range", "correlation": "0.01"}
"""The loss that still counts as harmless; see `verdict` for the scores that each one covers."""


@dataclass(frozen=True)
class Margin:
    """The loss in one score that still counts as harmless.

    Attributes
    ----------
    size : float
        A positive number.
    unit : str
        ``"%"``: per cent of the raw models' mean score. ``"% of range"``: per cent of the range
        that the true quantity covers. Anything else: the score's own unit, ``"1"`` for a pure
        number.

    Raises
    ------
    ValueError
        If the size is not a positive number.
    """

    size: float
    unit: str = "1"

    def __post_init__(self):
        if not (math.isfinite(self.size) and self.size > 0):
            raise ValueError(f"a margin is a loss and must be a positive number, not {self}")

    def __str__(self):
        return quantity(f"{self.size:g}", self.unit)

    @classmethod
    def parse(cls, text: str | Margin) -> Margin:
        """Read a margin such as ``"5 %"``, ``"0.5 dB"``, ``"2 % of range"`` or ``"0.01"``.

        Raises
        ------
        ValueError
            If the text does not begin with a number, or the number is not positive.

        Examples
        --------
        >>> Margin.parse("0.5dB")
        Margin(size=0.5, unit='dB')
        >>> str(Margin.parse("2% of range"))
        '2 % of range'
        """
        if isinstance(text, Margin):
            return text
        found = re.fullmatch(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*", str(text))
        try:
            if found is None:
                raise ValueError
            size = float(found[1])
        except ValueError:
            raise ValueError(
                f"a margin reads like '5 %', '0.5 dB', '2 % of range' or '0.01', not {text!r}"
            ) from None
        return cls(size, found[2] or "1")


def direction(name, better) -> int:
    """1 where a higher score is worse, −1 where a lower one is."""
    rule = "higher" if name.startswith("psnr") or name.endswith("correlation") else "lower"
    given = better.get(name, rule)
    if given not in ("lower", "higher"):
        raise ValueError(f"better of {name} is 'lower' or 'higher', not {given!r}")
    return 1 if given == "lower" else -1


def known_unit(name) -> str:
    """Unit of a score that a table does not say: empty where no rule gives it."""
    return "dB" if name.startswith("psnr") else "1" if name.endswith("correlation") else ""


def choose(names, given, units, ranges) -> list[Margin | None]:
    """The margin of each score, or None; refused where it does not fit."""
    chosen, used, found = DEFAULT_MARGINS | given, set(), []
    for name in names:
        keys = [key for key in chosen if name.startswith(key)]
        keys += ["correlation"] if name.endswith("correlation") else []
        ranged = name in ranges or units.get(name) == "% of range"
        keys += ["quantity"] if not keys and ranged else []
        key = max((key for key in keys if key in chosen), key=len, default=None)
        used.add(key)
        margin = None if key is None or chosen[key] is None else Margin.parse(chosen[key])
        if margin and margin.unit == "% of range" and not ranged and key not in given:
            margin = None  # a default cannot apply: the score is reported, not judged
        if margin:
            _check_fit(name, margin, units.get(name, known_unit(name)), ranges)
        found.append(margin)
    if strange := [key for key in given if key not in used and key not in DEFAULT_MARGINS]:
        raise KeyError(f"no score for the margin of {', '.join(strange)}; there are {names}")
    if not any(found):
        raise ValueError(f"none of the scores {', '.join(names)} has a margin: give one")
    return found


def _check_fit(name, margin, unit, ranges) -> None:
    if margin.unit == "1" and (name.startswith("l1") or unit not in ("", "1")):
        wanted = f"such as '{margin.size:g} {unit or '%'}'"
        raise ValueError(f"the margin of {name}, {margin.size:g}, needs a unit, {wanted}")
    if margin.unit == "% of range" != unit:
        if not ranges.get(name, 0) > 0:
            raise ValueError(f"the margin of {name} is {margin}: give its range, a positive number")
    elif margin.unit not in ("%", "1") and unit and margin.unit != unit:
        raise ValueError(f"the margin of {name} is {margin}, but its unit is {unit}")


def quantity(number: str, unit: str) -> str:
    """A number and its unit, as people read them."""
    return number if unit in ("", "1") else f"{number} {unit}"


def short(number, up=False, down=False) -> str:
    """Two digits that people read; rounded up for "at most", down for "at least"."""
    if number == 0 or not np.isfinite(number):
        return f"{number:g}"
    digit = 10.0 ** (math.floor(math.log10(abs(number))) - 1)
    steps = round(number / digit, 9)
    whole = math.ceil(steps) if up else math.floor(steps) if down else round(steps)
    return f"{whole * digit:.{max(0, -round(math.log10(digit)))}f}"
