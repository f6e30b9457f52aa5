"""Where each stored field of an ensemble lies in its files; asked of HDF5 once (Section VI).

To ask HDF5 takes about 5 ms per file, and every loader needs to know. The answers are kept in a
file of the user's cache that may be deleted at any time. Nothing in it is believed unchecked: what
it says decides which bytes compiled code reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from surrlab import _files
from surrlab.compression import hdf5_filters
from surrlab.compression.codecs import Codec, codec_from_config
from surrlab.data.ensemble import Ensemble
from surrlab.data.native import MANIFEST

CACHE = "chunks.npz"
_FORMAT = "surrlab-chunks/3"
_STORED = [("offset", "i8"), ("nbytes", "i8"), ("encoding", "u2"), ("shift", "f4")]
_ENTRY = np.dtype([("file", "i4"), *_STORED])
_ROW = np.dtype([("simulation", "i8"), ("step", "i8"), ("field", "i4"), *_STORED])
_ARRAYS = ("rows", "paths", "stats", "counts")
_BLOCK = 1 << 16
"""Rows of a cache that are looked at together, unless a file has more."""
_PLACES = ("file", "offset", "nbytes", "encoding", "shift")
_CHUNK = np.dtype([(name, "i8") for name in (*_PLACES[:-1], "slot", "entry")] + [("shift", "f4")])

Encoding = tuple[Codec, bool]
"""Codec of a chunk, and whether four bytes of a fletcher32 checksum follow the stream."""


class NotInPlaceError(ValueError):
    """The samples of an ensemble can only be read through the library of their format."""


class ChunkIndex:
    """Places and encodings of all fields of an ensemble, or of one side of a split.

    Attributes
    ----------
    sample_shape : tuple
        Of a sample, ``(n_fields, *shape)``.
    paths, stats : tuple of Path, array (n_files, 2) int64
        The files, and size and modification time (ns) of each when its places were asked for.
    encodings : list of (Codec, bool)
        How chunks are stored: codec, and whether a checksum follows.

    Raises
    ------
    NotInPlaceError
        Only a library can read the samples, with the reason.
    OSError
        A file cannot be read, or lacks a field of some sample, or a chunk has an impossible place.
    """

    def __init__(self, ensemble: Ensemble):
        if not ensemble.files:
            raise NotInPlaceError(f"{ensemble.name}: samples are read through a library")
        self.sample_shape, self.dtype = ensemble.sample_shape, np.dtype(ensemble.dtype)
        self.field_names, self.samples = ensemble.field_names, ensemble.samples
        self.paths = ensemble.files
        self.stats = np.array([_stat(os.stat(path)) for path in self.paths])
        self.encodings: list[Encoding] = []
        self._encoding_of: dict[Encoding, int] = {}
        self._entries = np.zeros((len(ensemble.samples), len(ensemble.fields)), _ENTRY)
        self._n_steps = int(self.samples.step.max()) + 1
        keys = self.samples.simulation * self._n_steps + self.samples.step
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

        cache = self._read_cache(ensemble)
        fresh: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for file in np.flatnonzero(~self._recall(cache)).tolist():
            fresh[str(self.paths[file])] = self.stats[file], self._ask(ensemble, file)
        if self._missing() is not None:  # what is cached came from another view of the same files
            for file in range(len(self.paths)):
                if (path := str(self.paths[file])) not in fresh:
                    rows = np.concatenate([self._ask(ensemble, file), cache[path][1]])
                    fresh[path] = self.stats[file], np.unique(rows)
        if (missing := self._missing()) is not None:
            raise OSError(f"{self._name(*missing)} was never written")
        if fresh:
            self._write_cache(ensemble, cache | fresh)

    def chunks(self, samples: np.ndarray) -> np.ndarray:
        """The chunks of `samples` in the order in which they lie on disk.

        Parameters
        ----------
        samples : array (b,) int64
            Positions in the ensemble's view.

        Returns
        -------
        structured array (b * n_fields,)
            ``file``, the position in `paths`; ``offset`` and ``nbytes`` there; ``encoding``, the
            position in `encodings`; ``shift``, what is added to the values; ``slot``, where the
            field goes in an array (samples, fields); and ``entry``, which `name` understands.
        """
        n = len(self.field_names)
        found = self._entries[samples].reshape(-1)
        chunks = np.empty(len(found), _CHUNK)
        for name in _PLACES:
            chunks[name] = found[name]
        chunks["slot"] = np.arange(len(found))
        chunks["entry"] = (samples[:, None] * n + np.arange(n)).reshape(-1)
        return chunks[np.lexsort((chunks["offset"], chunks["file"]))]

    def name(self, chunk: np.void) -> str:
        """What an error calls a chunk: its file, simulation, time and field."""
        return self._name(*divmod(int(chunk["entry"]), len(self.field_names)))

    def _name(self, sample: int, field: int) -> str:
        path = self.paths[self._entries[sample, field]["file"]]
        return (
            f"{path}: simulation {self.samples.simulation[sample]}, "
            f"time {self.samples.step[sample]}, field {self.field_names[field]}"
        )

    def is_unchanged(self, file: int, descriptor: int) -> bool:
        """Whether an open file is the one whose places are known."""
        return _stat(os.fstat(descriptor)) == tuple(self.stats[file].tolist())

    def _missing(self) -> tuple[int, int] | None:
        """Sample and field of the first chunk whose place is not known yet."""
        sample, field = np.nonzero(self._entries["nbytes"] == 0)
        return (int(sample[0]), int(field[0])) if len(sample) else None

    def _fill(self, file: int | np.ndarray, samples: np.ndarray, rows: np.ndarray) -> None:
        """Put the rows of a file, or of one file each, where they belong."""
        entries = np.zeros(len(rows), _ENTRY)
        entries["file"] = file
        for name, _ in _STORED:
            entries[name] = rows[name]
        self._entries[samples, rows["field"]] = entries

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Positions in the view of the samples of rows; -1 where it lacks one."""
        steps, wanted = rows["step"], rows["simulation"] * self._n_steps + rows["step"]
        place = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        known = (self._keys[place] == wanted) & (steps >= 0) & (steps < self._n_steps)
        return np.where(known, self._order[place], -1)

    # ------------------------------------------------------------------------ asking HDF5

    def _ask(self, ensemble: Ensemble, file: int) -> np.ndarray:
        """Ask HDF5 for all chunks of a file; keep them, and return them as rows of a cache."""
        path = self.paths[file]
        try:
            stored = list(ensemble.chunks(path))
            filters = {chunk.filters for chunk in stored}
            encodings = {one: hdf5_filters.codec_of(one) for one in filters}
        except (OSError, ValueError) as error:
            kind = type(error) if isinstance(error, OSError) else NotInPlaceError
            text = str(error)
            raise kind(text if str(path) in text else f"{path}: {text}") from error
        rows = np.empty(len(stored), _ROW)
        for i, name in enumerate(("field", "offset", "nbytes"), 1):
            rows[name] = [chunk[i] for chunk in stored]
        rows["shift"] = [chunk.shift for chunk in stored]
        rows["encoding"] = [self._number(encodings[chunk.filters]) for chunk in stored]
        samples = np.array([chunk.sample for chunk in stored], np.int64)
        rows["simulation"] = self.samples.simulation[samples]
        rows["step"] = self.samples.step[samples]
        self._fill(file, samples, rows)
        for i in np.flatnonzero(~self._plausible(file, rows))[:1]:
            raise OSError(
                f"{self._name(samples[i], rows['field'][i])}: {rows['nbytes'][i]} bytes at "
                f"{rows['offset'][i]} of {self.stats[file, 0]} cannot be such a field; the file "
                "is damaged"
            )
        return rows

    def _number(self, encoding: Encoding) -> int:
        """Position of an encoding in `encodings`, where it is put if need be."""
        number = self._encoding_of.setdefault(encoding, len(self.encodings))
        if number == len(self.encodings):
            self.encodings.append(encoding)
        return number

    def _plausible(self, file: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether chunks lie within their files and are as long as their encoding allows."""
        shape, itemsize = self.sample_shape[1:], self.dtype.itemsize
        bounds = [
            np.add(codec.plausible_bytes(shape, itemsize), 4 * has_checksum)
            for codec, has_checksum in self.encodings
        ]
        low, high = np.array(bounds).reshape(-1, 2)[rows["encoding"]].T
        offset, nbytes, size = rows["offset"], rows["nbytes"], self.stats[file, 0]
        within = (offset >= 0) & (nbytes > 0) & (nbytes <= size) & (offset <= size - nbytes)
        return within & (low <= nbytes) & (nbytes <= high)

    # ------------------------------------------------------------------------ the cache

    def _recall(self, cache: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Take places from the cache, of each file if all that it says of it can be true.

        Many files at a time: files may hold one sample each, and there may be 100,000.

        Returns
        -------
        bool array (n_files,)
            Whose places were taken.
        """
        nothing = np.empty((0, 2), np.int64), np.empty(0, _ROW)
        each = [cache.get(str(path), nothing) for path in self.paths]
        recalled = np.array([len(rows) > 0 for _, rows in each], bool)
        for file in np.flatnonzero(recalled).tolist():
            recalled[file] = (each[file][0] == self.stats[file]).all()
        files = np.flatnonzero(recalled)
        counts = [len(each[file][1]) for file in files]
        for block in np.split(files, np.flatnonzero(np.diff(np.cumsum(counts) // _BLOCK)) + 1):
            if not len(block):
                continue
            rows = np.concatenate([each[file][1] for file in block])
            owner = np.repeat(block, [len(each[file][1]) for file in block])
            right = (rows["field"] >= 0) & (rows["field"] < len(self.field_names))
            right &= (rows["encoding"] < len(self.encodings)) & np.isfinite(rows["shift"])
            right[right] = self._plausible(owner[right], rows[right])
            recalled[owner[~right]] = False
            samples = self._positions(rows)
            taken = recalled[owner] & (samples >= 0)
            self._fill(owner[taken], samples[taken], rows[taken])
        return recalled

    def _read_cache(self, ensemble: Ensemble) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What earlier indices found of any files: stat and rows by path; not believed yet."""
        try:
            with (ensemble.cache_folder / CACHE).open("rb") as opened:
                values = np.load(opened, allow_pickle=False)
                if str(values["identity"]) != self._identity(ensemble):
                    return {}
                rows, paths, stats, counts = (values[key] for key in _ARRAYS)
                encodings = [
                    (codec_from_config(config), bool(has_checksum))
                    for config, has_checksum in json.loads(str(values["encodings"]))
                ]
            if rows.dtype != _ROW or stats.shape != (len(paths), 2) or stats.dtype != np.int64:
                return {}
            if (counts < 0).any() or counts.sum() != len(rows):
                return {}
            each = np.split(rows, np.cumsum(counts)[:-1])
            cache = dict(zip(paths.tolist(), zip(stats, each, strict=True), strict=True))
        except Exception:  # none is there, or it is not ours, or damaged in whatever way
            return {}
        for encoding in encodings:
            self._number(encoding)
        return cache

    def _write_cache(
        self, ensemble: Ensemble, cache: dict[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        encodings = [(codec.config(), has_checksum) for codec, has_checksum in self.encodings]
        stats, rows = zip(*cache.values(), strict=True)
        try:
            with (
                _files.replacing(ensemble.cache_folder / CACHE) as temporary,
                temporary.open("wb") as file,
            ):
                np.savez(
                    file,
                    identity=self._identity(ensemble),
                    encodings=json.dumps(encodings),
                    rows=np.concatenate(rows),
                    paths=list(cache),
                    stats=stats,
                    counts=list(map(len, rows)),
                )
        except OSError:
            pass  # a folder that only others may write: ask HDF5 again next time

    def _identity(self, ensemble: Ensemble) -> str:
        """What the rows of a cache go by, besides the files themselves."""
        manifest = Path(ensemble.name) / MANIFEST  # says which file holds which simulation
        stat = _stat(os.stat(manifest)) if manifest.exists() else ()
        return json.dumps([_FORMAT, self.field_names, self.sample_shape, self.dtype.str, stat])


def _stat(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
