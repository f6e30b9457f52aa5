"""The ``surrlab`` command: what it takes, and how it ends.

``surrlab study`` runs the notebooks in order, head-less, up to the verdict; the other commands are
its steps one by one. Numbers and paths are checked before any work.
"""

from __future__ import annotations

import argparse
import codecs
import io
import logging
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import psutil

from surrlab import _parser

PLAIN = {
    "×": "x",
    "–": "-",
    "−": "-",
    "⁻": "-",
    "·": "*",
    "≤": "<=",
    "∞": "inf",
    "µ": "u",
    "σ": "sigma",
}


_REFUSALS = (
    *(OSError, ValueError, LookupError, RuntimeError, ArithmeticError, ImportError),
    argparse.ArgumentTypeError,
)
"""What ends a command with one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the ``surrlab`` command; returns the exit code."""
    _write_to_any_terminal()
    with _stoppable():
        try:
            args = _parser.parser().parse_args(arguments)
            return args.run(args) or 0
        except _Stopped as stop:
            _end(stop.children)
            print("surrlab: stopped; the same command goes on from here", file=sys.stderr)
            return 128 + stop.number
        except MemoryError as e:  # NumPy says how much it asked for
            why = str(e) or "there is not enough memory"
            print(f"surrlab: {why}; what was done is kept", file=sys.stderr)
            return 1
        except _REFUSALS as e:
            print(f"surrlab: {e.args[0] if isinstance(e, KeyError) else e}", file=sys.stderr)
            return 1


class _Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came; what cleans up after Ctrl-C cleans up after either."""

    def __init__(self, number: int, children: list[psutil.Process]):
        super().__init__(f"signal {number}")
        self.number, self.children = number, children


@contextmanager
def _stoppable() -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM raises `_Stopped`, a second one is obeyed."""
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        # Ignored: we run in a script's background. Another thread's command cannot be signalled.
        if signal.getsignal(number) != signal.SIG_IGN
        and threading.current_thread() is threading.main_thread()
    ]
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, _: object) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        logging.disable()  # tasks that are cut short would log their tracebacks
        # Listed now: the children of a child that ends first could not be found later.
        raise _Stopped(number, psutil.Process().children(recursive=True))

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _end(processes: list[psutil.Process]) -> None:
    """End those that are still there, by force after a while.

    Python's resource trackers stay: each cleans up and ends once its parents have.
    """
    with suppress(psutil.NoSuchProcess):
        processes = [p for p in processes if "resource_tracker" not in " ".join(p.cmdline())]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, processes = psutil.wait_procs(processes, timeout=2)


def _write_to_any_terminal() -> None:
    """Where standard output cannot write ``×``, let it be ``x``."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        character = error.object[error.start]
        simple = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
        return PLAIN.get(character, simple or "?"), error.start + 1

    codecs.register_error("surrlab", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrlab")


if __name__ == "__main__":
    sys.exit(main())
