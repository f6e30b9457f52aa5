"""Where each stored field of an ensemble lies in its files; asked of HDF5 once (Section VI).

What was found is kept beside the ensemble, in a hidden file that may be deleted at any time: to ask
HDF5 takes about 5 ms a file, and every loader needs to know.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from surrlab import _files
from surrlab.compression import codecs, hdf5_filters
from surrlab.data import native
from surrlab.data.native import Ensemble
from surrlab.loading import zfp_decoder

KEPT = ".chunks.npz"
_FORMAT = "surrlab-chunks/1"
_ENTRY = np.dtype([("offset", "i8"), ("nbytes", "u4"), ("kind", "u2")])
_CHUNK = np.dtype([(name, "i8") for name in ("file", "offset", "nbytes", "kind", "slot", "entry")])


class Index:
    """Places and kinds of all fields of an ensemble, or of one side of a split.

    Attributes
    ----------
    shape : tuple
        Of a sample, ``(n_fields, ny, nx)``.
    paths, stats : list of Path, array (N, 2) int64
        The files, and size and modification time (ns) of each when its places were asked for.
    kinds : array (k, 2) float64
        How chunks are stored, as `zfp_decoder.decode` takes it.

    Raises
    ------
    ValueError
        A file's layout can be read by HDF5 only.
    OSError
        A file cannot be read, or lacks a field of some time.
    """

    def __init__(self, ensemble: Ensemble):
        n_simulations, self.n_times, *shape = ensemble.shape
        self.shape, self.fields = tuple(shape), ensemble.fields
        self.simulations = np.array(ensemble.simulations)
        self.paths = [ensemble.file(simulation) for simulation in ensemble.simulations]
        self.stats = np.array([_stat(os.stat(path)) for path in self.paths])
        self._entries = np.zeros((n_simulations, self.n_times, len(self.fields)), _ENTRY)
        kept = self._load(ensemble.path)
        kinds = dict.fromkeys(map(tuple, kept["kinds"].tolist()))
        kinds = {kind: i for i, kind in enumerate(kinds)}
        known = {key: i for i, key in enumerate(_keys(kept["simulations"], kept["stats"]))}
        rows = [known.get(key, -1) for key in _keys(self.simulations, self.stats)]
        for path, row, entries in zip(self.paths, rows, self._entries, strict=True):
            if row >= 0:
                entries[:] = kept["entries"][row]
                continue
            try:
                with h5py.File(path, "r") as file:
                    self._ask(file, entries, kinds)
            except OSError as error:
                raise type(error)(f"{path}: {error}") from error
        self.kinds = np.array(list(kinds), np.float64).reshape(-1, 2)
        for missing in np.argwhere(self._entries["nbytes"] == 0):
            raise OSError(f"{self._name(*missing)} was never written")
        if -1 in rows:
            self._keep(ensemble.path, kept)

    def chunks(self, samples: np.ndarray) -> np.ndarray:
        """The chunks of `samples` in the order in which they lie on disk.

        Returns
        -------
        structured array
            ``file``, the position in `paths`; ``offset`` and ``nbytes`` there; ``kind``, the row of
            `kinds`; ``slot``, where the field goes in an array (samples, fields); and ``entry``,
            which `name` understands.
        """
        n = len(self.fields)
        found = self._entries.reshape(-1, n)[samples].reshape(-1)
        chunks = np.empty(len(found), _CHUNK)
        for name in _ENTRY.names:
            chunks[name] = found[name]
        chunks["file"] = np.repeat(samples // self.n_times, n)
        chunks["slot"] = np.arange(len(found))
        chunks["entry"] = (samples[:, None] * n + np.arange(n)).reshape(-1)
        return chunks[np.lexsort((chunks["offset"], chunks["file"]))]

    def name(self, chunk) -> str:
        """What an error calls a chunk."""
        return self._name(*np.unravel_index(chunk["entry"], self._entries.shape))

    def _name(self, simulation: int, time: int, field: int) -> str:
        return (
            f"{self.paths[simulation]}: simulation {self.simulations[simulation]}, time {time}, "
            f"field {self.fields[field]}"
        )

    def still(self, i: int, file: int) -> bool:
        """Whether an open file is the one whose places are known."""
        return _stat(os.fstat(file)) == tuple(self.stats[i].tolist())

    def _ask(self, file: h5py.File, entries: np.ndarray, kinds: dict) -> None:
        for i, name in enumerate(self.fields):
            if name not in file:
                raise KeyError(f"{file.filename} has no field {name!r}; it has {', '.join(file)}")
            if file[name].shape != (self.n_times, *self.shape[1:]):
                raise ValueError(
                    f"{file.filename}: {name} is {file[name].shape}, the ensemble's manifest says "
                    f"{(self.n_times, *self.shape[1:])}"
                )
            for time, offset, nbytes, (codec, checked) in _locate(file[name]):
                kind = zfp_decoder.kind(codec, checked)
                entries[time, i] = offset, nbytes, kinds.setdefault(kind, len(kinds))

    def _load(self, folder: Path) -> dict[str, np.ndarray]:
        """What an earlier index of the same ensemble found, of all or some simulations."""
        nothing = {
            "simulations": np.empty(0, int),
            "stats": np.empty((0, 2), int),
            "kinds": np.empty((0, 2)),
            "entries": self._entries[:0],
        }
        try:
            with (folder / KEPT).open("rb") as file:
                values = np.load(file, allow_pickle=False)
                kept = {name: values[name] for name in [*nothing, "identity"]}
        except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile):
            return nothing  # none is there, or it is not ours
        return kept if kept.pop("identity") == _identity(folder) else nothing

    def _keep(self, folder: Path, kept: dict[str, np.ndarray]) -> None:
        others = ~np.isin(kept["simulations"], self.simulations)
        values = {
            "simulations": np.concatenate([kept["simulations"][others], self.simulations]),
            "stats": np.concatenate([kept["stats"][others], self.stats]),
            "entries": np.concatenate([kept["entries"][others], self._entries]),
            "kinds": self.kinds,
        }
        try:
            with _files.replacing(folder / KEPT) as temporary, temporary.open("wb") as file:
                np.savez(file, identity=_identity(folder), **values)
        except OSError:
            pass  # a folder that only others may write: ask HDF5 again next time


def _keys(simulations: np.ndarray, stats: np.ndarray) -> Iterator[tuple[int, int, int]]:
    return zip(simulations.tolist(), *stats.T.tolist(), strict=True)


def _stat(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _identity(folder: Path) -> str:
    """Format of what is kept, and the checksum of the manifest that it was made for."""
    return f"{_FORMAT} {_files.sha256(folder / native.MANIFEST)}"


def _locate(dataset: h5py.Dataset) -> Iterator[tuple[int, int, int, tuple]]:
    """Yield (time, offset, bytes, (codec, checked)) of each plane of a dataset (time, y, x)."""
    if dataset.is_virtual:
        for part in dataset.virtual_sources():
            if part.file_name != ".":
                raise _unreadable(dataset, f"lies in another file, {part.file_name}")
            source = dataset.file[part.dset_name]
            times = _planes(part.vspace, dataset)
            stored = {row: rest for row, *rest in _locate(source)}
            for time, row in zip(times, _planes(part.src_space, source), strict=True):
                yield time, *stored[row]
        return
    if dataset.dtype != np.float32:
        raise _unreadable(dataset, f"is {dataset.dtype.str}, not native float32")
    nbytes = 4 * dataset.shape[1] * dataset.shape[2]
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None:
            raise _unreadable(dataset, "has no place in the file")
        for time in range(len(dataset)):
            yield time, start + time * nbytes, nbytes, (codecs.Raw(), False)
        return
    if dataset.chunks != (1, *dataset.shape[1:]):
        raise _unreadable(dataset, f"has chunks of {dataset.chunks}, not of one field each")
    chunks = []
    dataset.id.chunk_iter(chunks.append)
    kinds = {
        mask: hdf5_filters.stored_as(dataset, mask) for mask in {c.filter_mask for c in chunks}
    }
    for chunk in chunks:
        yield chunk.chunk_offset[0], chunk.byte_offset, chunk.size, kinds[chunk.filter_mask]


def _planes(space: h5py.h5s.SpaceID, dataset: h5py.Dataset) -> list[int]:
    """First indices of the whole planes ``[i, :, :]`` that a selection of `dataset` covers."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return list(range(len(dataset)))
    blocks = space.get_select_hyper_blocklist()
    last = np.array(dataset.shape[1:]) - 1
    if (blocks[:, 0, 1:] != 0).any() or (blocks[:, 1, 1:] != last).any():
        raise _unreadable(dataset, "is put together from parts of fields")
    return sorted(i for start, end in blocks[:, :, 0] for i in range(start, end + 1))


def _unreadable(dataset: h5py.Dataset, what: str) -> ValueError:
    return ValueError(
        f"{dataset.file.filename}: {dataset.name} {what}; only HDF5 itself can read it "
        "(Ensemble.read), or write it anew with compression.compress"
    )
