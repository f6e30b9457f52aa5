"""Files of any library, opened alike: HDF5, NetCDF4, Zarr, npy and npz, with care.

Opening a FIFO would wait for ever, a link may lead out of the folder, and HDF5 shows fill values
where a virtual dataset's file is missing: all of this is refused by name.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  without it HDF5 says "can't open directory", and never "zfp"
import numpy as np

HDF5 = (".h5", ".hdf5", ".hdf", ".nc", ".nc4", ".cdf", ".he5")
NUMPY = (".npy", ".npz")
ZARR = (".zgroup", ".zarray", ".zmetadata", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store, of version 2 or 3."""
    return path.is_dir() and any((path / name).is_file() for name in ZARR)


def check_file(path: Path) -> None:
    """Refuse what is not a plain file.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing, or a folder, a FIFO …
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {path}") from None
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise ValueError(f"{path} should be a file, and is {kind}")


def data_files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of some suffixes in a folder itself, by name; or the path, if it is such a file.

    Raises
    ------
    ValueError
        If something of such a name is not a file.
    """
    found = _named(path, suffixes) if path.is_dir() else [path] if _fits(path, suffixes) else []
    for one in found:
        check_file(one)
    return found


def first_file(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the first file of some suffixes in a folder, or the path; others are skipped."""
    found = _named(path, suffixes) if path.is_dir() else [path] if _fits(path, suffixes) else []
    return next((one for one in found if one.is_file()), None)


def _named(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(one for one in folder.iterdir() if _fits(one, suffixes))


def _fits(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file, or a Zarr store, as a mapping of names to arrays, for reading.

    Raises
    ------
    OSError, ValueError
        If it is not a file, or damaged.
    """
    if is_zarr(path):
        yield import_zarr().open_group(str(path), mode="r")
        return
    if path.is_dir() and data_files(path, (".npy",)):
        yield _Arrays(path)
        return
    check_file(path)
    if path.suffix.lower() in NUMPY:
        yield _Arrays(path)
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise OSError(f"{path}: {error}") from error
    with file:
        yield file


@contextmanager
def header(path: Path | None) -> Iterator[Any]:
    """Open a file to recognise it: an empty mapping if there is none, or it cannot be opened."""
    try:
        manager = opened(path) if path else None
        file = manager.__enter__() if manager else {}
    except (OSError, ValueError):
        manager, file = None, {}
    try:
        yield file
    finally:
        if manager:
            manager.__exit__(None, None, None)


def dataset(file: Any, name: str, path: Path, folder: Path) -> Any:
    """Return an array of an open file, whose values lie in the folder.

    Raises
    ------
    KeyError
        If the file has no such array.
    OSError
        If it is damaged.
    ValueError
        If a link, an external or a virtual dataset leads to a file outside the folder, or to none.
    """
    if isinstance(file, h5py.File):
        parts = name.strip("/").split("/")
        for i in range(len(parts)):
            link = file.get("/".join(parts[: i + 1]), getlink=True)
            if isinstance(link, h5py.ExternalLink):
                _check_inside(path, link.filename, name, folder)
    if name not in file:
        raise KeyError(f"{path} has no {name!r}; it has {', '.join(file)}")
    try:
        found = file[name]
    except KeyError as error:  # it is there
        raise OSError(f"{path}: {name} is damaged ({error.args[0]})") from error
    if isinstance(found, h5py.Dataset):
        others = [one[0] for one in found.external or ()]
        others += [one.file_name for one in found.virtual_sources()] if found.is_virtual else []
        for other in set(others) - {"."}:
            _check_inside(path, other, name, folder)
    return found


def members(file: Any) -> dict[str, Any]:
    """What the root of an HDF5 file holds itself: links to other files are left out."""
    found = {}
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.ExternalLink) and name in file:
            found[name] = file[name]
    return found


def check_links(file: Any, path: Path, folder: Path) -> None:
    """Refuse a file whose root leads to files outside the folder, or to none.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the link.
    """
    for name in file if isinstance(file, h5py.File) else ():
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            _check_inside(path, link.filename, name, folder)


def _check_inside(path: Path, other: str, name: str, folder: Path) -> None:
    target = (path.parent / other).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ValueError(f"{path}: {name} lies in {other}, outside {folder}; copy it there")
    if not target.is_file():
        raise FileNotFoundError(f"{path}: {name} lies in {other}, which is missing")


class _Arrays(Mapping):
    """Arrays of an npy file, a folder of them, or an npz file; left there if possible."""

    attrs: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, path: Path):
        self.path = path
        self.members: dict[str, zipfile.ZipInfo | None] = {}
        if path.is_dir():
            self.members = dict.fromkeys(one.stem for one in data_files(path, (".npy",)))
        elif path.suffix.lower() == ".npz":
            try:
                with zipfile.ZipFile(path) as archive:
                    self.members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            except zipfile.BadZipFile as error:
                raise OSError(f"{path}: {error}") from error
        else:
            self.members = {path.stem: None}

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, name: str) -> np.ndarray:
        info = self.members[name]
        try:
            if info is None:
                path = self.path / f"{name}.npy" if self.path.is_dir() else self.path
                return np.load(path, mmap_mode="r", allow_pickle=False)
            if info.compress_type != zipfile.ZIP_STORED:
                with np.load(self.path, allow_pickle=False) as file:
                    return file[name]
            with self.path.open("rb") as file:
                file.seek(info.header_offset + 26)  # lengths of the name and of what follows it
                file.seek(sum(np.frombuffer(file.read(4), "<u2").tolist()), os.SEEK_CUR)
                version = np.lib.format.read_magic(file)
                read = {(1, 0): np.lib.format.read_array_header_1_0}
                shape, fortran, dtype = read.get(version, np.lib.format.read_array_header_2_0)(file)
                if dtype.hasobject:
                    raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
                at = file.tell()
            return np.memmap(self.path, dtype, "r", at, shape, "F" if fortran else "C")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{self.path}: array {name}: {error}") from error


def import_zarr() -> ModuleType:
    """Import zarr, also where numcodecs cannot read the version of zfpy.

    numcodecs 0.16 takes ``importlib.metadata.version("zfpy")`` apart as three whole numbers and
    fails on "1.0.1.post0", whose code is that of 1.0.1. While zarr is imported it sees "1.0.1".

    Raises
    ------
    ImportError
        If zarr is not installed.
    """
    if "zarr" in sys.modules:
        return sys.modules["zarr"]
    version = importlib.metadata.version

    def plain(name: str) -> str:
        found = version(name)
        return found.split(".post")[0] if name == "zfpy" else found

    importlib.metadata.version = plain  # type: ignore[assignment]
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise ImportError(f"to read Zarr stores: pip install 'surrlab[zarr]' ({error})") from error
    finally:
        importlib.metadata.version = version
