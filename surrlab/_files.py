"""Careful writing: a reader finds the old file or the new one, never a half."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends well."""
    # Named after the process: a worker that outlived its killed parent may write the same file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value) -> None:
    """Write JSON so that a reader finds the old file or the new one, never a half."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(name: str) -> Path:
    """Folder of the user's cache for what is called `name`, a path; made if need be."""
    key = hashlib.sha256(os.path.abspath(name).encode()).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("surrlab")) / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home
        folder = Path(tempfile.gettempdir()) / f"surrlab-{os.getuid()}" / key
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
