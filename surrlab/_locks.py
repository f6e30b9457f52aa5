"""One writer at a time in a folder, whichever host it runs on; readers need no lock.

A lock is a file held with `flock`, so the kernel frees it when its owner dies. File systems without
locks get a file that names its owner instead (`filelock.SoftFileLock`); one of a dead process of
this host is taken over, one of another host has to be removed by hand.
"""

from __future__ import annotations

import glob
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from surrlab._files import TEMPORARY

LOCK = ".lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only writer of a folder, or of a file, within the block; wait for another one.

    Temporary files that a killed writer left are removed.

    Raises
    ------
    OSError
        If the lock cannot be made, as in a folder that only others may write.
    """
    is_folder, file = path.is_dir(), _file(path)
    lock = filelock.FileLock(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a file stands in for flock is said in our docstring
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            print(f"surrlab: {path}: waiting for {_owner(file)}", file=sys.stderr, flush=True)
            lock.acquire(poll_interval=0.2)
    try:
        if isinstance(lock, filelock.UnixFileLock):  # the others say it themselves
            file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
        folder = path if is_folder else path.parent
        for left in folder.glob("*.tmp" if is_folder else f"{glob.escape(path.name)}.*.tmp"):
            if TEMPORARY.search(left.name):
                left.unlink(missing_ok=True)
        yield
    finally:
        _release(lock, file)


def remove_dead_lock(path: Path) -> None:
    """Remove the lock that a killed writer left on what it had finished; a live one stays."""
    file = _file(path)
    if file.exists():
        lock = filelock.FileLock(file)
        with suppress(OSError, filelock.Timeout):  # others' folders, other writers
            lock.acquire(timeout=0)
            _release(lock, file)


def _file(path: Path) -> Path:
    return path / LOCK if path.is_dir() else path.with_name(f".{path.name}{LOCK}")


def _release(lock: filelock.BaseFileLock, file: Path) -> None:
    # Before it is free: who waits for this very file sees that it has no name any more.
    if isinstance(lock, filelock.UnixFileLock):
        with suppress(OSError):
            file.unlink()
    lock.release()


def _owner(file: Path) -> str:
    """Say who holds a lock."""
    try:
        process, host = file.read_text().split()[:2]
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {host}, which writes there"
