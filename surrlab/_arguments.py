"""What arguments of the ``surrlab`` command must be; each refuses in one sentence."""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from surrlab._executors import NAMES, named


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number from `low`, perhaps to `high`."""

    def check(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            limits = f"from {low} to {high}" if high is not None else f"of {low} or more"
            raise ArgumentTypeError(f"must be a whole number {limits}, not {text}")
        return value

    return check


def number(low: float, high: float = math.inf) -> Callable[[str], float]:
    """A finite number from `low` to `high`."""

    def check(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)):
            limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            raise ArgumentTypeError(f"must be a number {limits}, not {text}")
        return value

    return check


def names(text: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    found = tuple(text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise ArgumentTypeError(f"must be names such as a,b, each of them once, not {text}")
    return found


def devices(text: str) -> int | str:
    """Devices as Fabric takes them: a number, their indices ``0,1``, or ``auto``."""
    if text == "auto" or ("," in text and text.replace(",", "").isdecimal()):
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"must be their number, indices like 0,1 or auto, not {text}")


def existing(text: str) -> Path:
    """A file or folder that exists."""
    if not Path(text).exists():
        raise ArgumentTypeError(f"{text} does not exist")
    return Path(text)


def folder(text: str) -> Path:
    """A folder that exists."""
    if not existing(text).is_dir():
        raise ArgumentTypeError(f"{text} is not a folder")
    return Path(text)


def new_folder(text: str) -> Path:
    """A folder that may be made, in one that exists: a longer path is a misspelt one."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise ArgumentTypeError(f"{path}: there is no folder {path.parent} to make it in")
    if path.exists() and not path.is_dir():
        raise ArgumentTypeError(f"{path} is not a folder")
    return path


def processes(variable: str, default: int) -> int:
    """A number of processes as torchrun sets it; outside a job some schedulers leave "" or 0."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else default


def ascending(kind: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Numbers above 0 that ascend, separated by commas; fractions become floats."""

    def check(text: str) -> tuple:
        try:
            values = [kind(part) for part in text.split(",")]
        except (ValueError, ZeroDivisionError):
            values = []
        if not values or min(values) <= 0 or values != sorted(set(values)):
            raise ArgumentTypeError(f"must be ascending numbers such as 1,2,4, not {text}")
        return tuple(value if isinstance(value, int) else float(value) for value in values)

    return check


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """What ``NAME=VALUE`` texts say, by name."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"write SCORE=VALUE, such as l1=5%, not {text!r}")
        found[name.strip()] = value.strip()
    return found


def add_executor(parser: ArgumentParser) -> None:
    """Let a command name what its jobs run on."""
    parser.add_argument(
        "--executor", metavar="NAME", help=f"of the parallel steps: {NAMES}; docs/clusters.md"
    )
    parser.add_argument(
        "--resources",
        type=resources,
        metavar="KEY=N,…",
        help="of each of its jobs: cores, gpus, minutes; and workers, jobs at a time",
    )


def resources(text: str) -> dict[str, int]:
    """Whole numbers by name, such as ``cores=4,minutes=60``."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and value.isdecimal() for name, _, value in pairs):
        raise ArgumentTypeError(f"must be numbers such as cores=4,minutes=60, not {text}")
    return {name: int(value) for name, _, value in pairs}


def executor(args: Namespace) -> Executor | None:
    """The executor that `add_executor`'s options name; None without one."""
    importable_from_here()
    return named(args.executor, args.resources)


def importable_from_here() -> None:
    """Let ``module:name`` be found in the working folder: by notebooks and workers, too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    known = os.environ.get("PYTHONPATH", "")
    if here not in known.split(os.pathsep):
        os.environ["PYTHONPATH"] = here + (os.pathsep + known if known else "")
