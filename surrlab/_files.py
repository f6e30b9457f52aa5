"""Careful files: a reader finds the old one or the new one, never a half, and notices damage."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

SEAL = "sha256"
"""Key, or attribute, under which a file holds the digest of all else that it says."""
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp$")
"""How the names of our temporary files end."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DamagedError(OSError, ValueError):
    """A stored file is not what was written."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place only when the block ends well.

    A file that would become what it is stays as it is, its time stamp included.

    Raises
    ------
    OSError
        If it cannot be written: the path, and what to do where a disk is full.
    """
    # Unpredictable, and made by us alone: nobody can have put a link or a FIFO in its place.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        os.close(os.open(temporary, flags, 0o666))
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if not _equal(temporary, path):
            os.replace(temporary, path)
            _fsync_folder(path.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        reason = f"{os.strerror(error.errno or 0)}; make room, and the same command goes on"
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _equal(new: Path, old: Path) -> bool:
    """Whether there is an old file, of the same bytes."""
    try:
        found = old.lstat()
    except FileNotFoundError:
        return False
    same_size = stat.S_ISREG(found.st_mode) and found.st_size == new.stat().st_size
    return same_size and filecmp.cmp(new, old, shallow=False)


def _fsync_folder(path: Path) -> None:
    """Make a renaming last through a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: Path, contents: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(contents)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; an object also gets the digest that `read_json` checks."""
    if isinstance(value, dict):
        value = value | {SEAL: seal(value)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def seal(value: dict[str, Any]) -> str:
    """SHA-256 of a JSON object, apart from its own seal and whatever its layout."""
    plain = json.loads(json.dumps({key: one for key, one in value.items() if key != SEAL}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_json(path: Path, *, limit: int = 1 << 24) -> dict[str, Any]:
    """Return the object that `write_json` wrote, without its seal.

    Parameters
    ----------
    path : Path
        The file.
    limit : int
        Most bytes that it may have.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedError
        If it is no file, longer, no JSON object, or not what was written.
    """
    check_file(path, limit)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged or incomplete: {error}") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{path} is damaged or incomplete: it holds no JSON object")
    if value.pop(SEAL, None) != seal(value):
        raise DamagedError(f"{path} is damaged or incomplete: its {SEAL} is not that of the rest")
    return value


def read_whole(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing if there is none, or it is damaged, which is said."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}
    except DamagedError as error:
        say_again(path, error)
        return {}


def check_file(path: Path, limit: int | None = None) -> os.stat_result:
    """Refuse what is not a file, or a longer one: opening a FIFO would wait for ever.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    DamagedError
        If it is something else, or longer than `limit` bytes.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path} is not a file")
    if limit is not None and found.st_size > limit:
        raise DamagedError(f"{path} has {found.st_size:,} bytes; more than {limit:,} is not ours")
    return found


def check_types(content: Any, types: Mapping[str, type], where: str) -> None:
    """Refuse what lacks a key or holds something of another type under it."""
    for key, kind in types.items():
        if not isinstance(content, dict) or key not in content:
            raise ValueError(f"{where} has no {key!r}")
        if not isinstance(content[key], kind):
            raise ValueError(f"{key!r} of {where} is {content[key]!r}, not a {kind.__name__}")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say_again(path: Path, why: object) -> None:
    """Say in one line that a damaged file is made again."""
    reason = str(why).partition("\n")[0].removeprefix(f"{path} ").removeprefix(f"{path}: ")
    print(f"surrlab: {path} is made again: {reason}", file=sys.stderr, flush=True)


def cache_folder(name: str) -> Path:
    """Folder of the user's cache for what is called `name`, a path; made if need be."""
    key = hashlib.sha256(os.path.abspath(name).encode()).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("surrlab")) / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home
        ours = Path(tempfile.gettempdir()) / f"surrlab-{os.getuid()}"
        ours.mkdir(exist_ok=True, mode=0o700)
        if ours.is_symlink() or ours.stat().st_uid != os.getuid():
            ours = Path(tempfile.mkdtemp(prefix="surrlab-"))  # somebody else was there first
        folder = ours / key
        folder.mkdir(exist_ok=True)
    return folder
