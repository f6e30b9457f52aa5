"""Tables of results as NetCDF files; the digest of a file's bytes stands at its end.

HDF5 ignores what follows its own bytes, so any program reads these files. The digest is compared
before HDF5 sees anything: damaged structure can crash it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import sys
from contextlib import nullcontext
from pathlib import Path

import xarray as xr

from surrlab._files import DamagedError, check_file, write_bytes

_MARK = b"\nsha256 "
REMEMBERED = 1 << 21
"""Bytes up to which a table that was read is kept: every step of a study reads the same few."""


def write_table(path: Path, table: xr.Dataset) -> None:
    """Write a table whole or not at all.

    It is put together in memory: HDF5 does not survive a disk that is full.
    """
    # Beside a Dask client xarray would ask the cluster for a lock on our memory; there is none.
    dask = sys.modules.get("dask")
    with dask.config.set(scheduler="threads") if dask else nullcontext():
        image = bytes(table.to_netcdf(engine="h5netcdf"))
    write_bytes(path, image + _seal(image))


def read_table(path: Path) -> xr.Dataset:
    """Return a stored table, with what it was made from in its attributes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedError
        If it is not what was written.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no table {path}")
    check_file(path)
    contents = path.read_bytes()
    image = contents[: -len(_seal(b""))]
    if contents != image + _seal(image):
        raise DamagedError(f"{path} is damaged or incomplete; remove it, and it is made again")
    return _parsed(image) if len(image) > REMEMBERED else _remembered(image).copy(deep=True)


def _parsed(image: bytes) -> xr.Dataset:
    return xr.load_dataset(io.BytesIO(image), engine="h5netcdf", decode_times=False)


_remembered = functools.lru_cache(maxsize=16)(_parsed)  # saves 50 ms each


def _seal(image: bytes) -> bytes:
    return _MARK + hashlib.sha256(image).hexdigest().encode() + b"\n"
