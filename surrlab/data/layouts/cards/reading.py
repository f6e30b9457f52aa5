"""The ensemble that reads by card: any layout, as its data are stored, in place if possible."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from surrlab import _files
from surrlab.data._masks import blank, find
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Run, StoredChunk, check_values
from surrlab.data.layouts.cards.card import RUN, TIME, Card, Part, Source
from surrlab.data.layouts.cards.places import (
    SAMPLED,
    locate_fields,
    read_block,
    sampled_bytes,
)
from surrlab.data.layouts.cards.stores import dataset, opened

CONTENTS = "contents.json"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CardEnsemble(Ensemble):
    """Somebody's ensemble, read as it lies.

    Parameters
    ----------
    path : Path
        Its folder or file.
    folder : Path
        What the files' paths count from.
    sources : tuple of Source
        Where each field lies in a file.
    parts : dict of int to tuple of Part
        Where the samples of each simulation lie, in time.
    file_names, sizes, counts : dicts of int to str, int, int
        The files of this view by their numbers in the card, their bytes and the samples in them.
    library : str
        Why samples are read through a library; empty if they are read in place.
    checksums : bool
        Whether every stored chunk has a checksum.
    places : str
        Hash of where all samples lie: what is remembered of files belongs to it.
    """

    path: Path
    folder: Path
    sources: tuple[Source, ...]
    parts: dict[int, tuple[Part, ...]]
    file_names: dict[int, str]
    sizes: dict[int, int]
    counts: dict[int, int]
    library: str = ""
    checksums: bool = False
    places: str = ""

    by_simulation: ClassVar[tuple[str, ...]] = ("parts",)

    @classmethod
    def from_card(cls, path: Path, folder: Path, card: Card) -> Self:
        """Return the ensemble that a card describes."""
        where = [card.sources, card.parts, card.files]
        counts = Counter[int]()
        for part in chain.from_iterable(card.parts):
            counts[part.file] += len(part.rows)
        return cls(
            name=str(path),
            fields=card.fields,
            grid=card.grid,
            input_names=tuple(card.inputs),
            input_units=tuple(card.inputs.values()),
            runs=card.runs,
            dtype=card.dtype,
            metadata={
                "benchmark": card.benchmark,
                "layout": card.layout,
                "left_out": card.left_out,
                "unknown": card.unknown,
            },
            path=path,
            folder=folder,
            sources=card.sources,
            parts={run.simulation: parts for run, parts in zip(card.runs, card.parts, strict=True)},
            file_names=dict(enumerate(card.files)),
            sizes=dict(enumerate(card.sizes)),
            counts={i: counts[i] for i in range(len(card.files))},
            library=card.library,
            checksums=card.checksums,
            places=hashlib.sha256(json.dumps(where).encode()).hexdigest()[:16],
        )

    def select(self, simulations: Iterable[int]) -> Self:
        """Return the same ensemble, seen through some of its simulations, in the order given.

        Raises
        ------
        KeyError, ValueError
            As `Ensemble.select`.
        """
        view = super().select(simulations)
        # A view of one simulation travels to a process, for every simulation: with all files'
        # names that would be bytes in the square of the ensemble.
        used = dict.fromkeys(part.file for parts in view.parts.values() for part in parts)
        return replace(
            view,
            file_names={i: self.file_names[i] for i in used},
            sizes={i: self.sizes[i] for i in used},
            counts={i: self.counts[i] for i in used},
        )

    @property
    def cache_folder(self) -> Path:
        """Folder of the user's cache, another one if a list or a card moves the samples."""
        return _files.cache_folder(f"{self.name}#{self.places}")

    @property
    def reads_in_place(self) -> bool:
        """Whether stored chunks are read without their library; `library` says why not."""
        return not self.library

    @property
    def digest_kind(self) -> str:
        """What of the stored fields the digest rests on."""
        if self.checksums:
            return "sizes and checksums of all stored chunks"
        return f"sizes, and {SAMPLED} bytes at both ends of each simulation's fields"

    # ----------------------------------------------------------------------------- reading

    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, *grid.shape)``, in native float32 or float64.

        Raises
        ------
        ValueError
            If it holds NaN, infinite or fill values.
        """
        run, step = self.where(sample)
        return self._read(run, step)[0]

    def read_simulation(self, simulation: int) -> np.ndarray:
        """Return all samples of a simulation in time, ``(T, n_fields, *grid.shape)``."""
        run = self.run(simulation)
        samples = self._read(run, 0, len(run.times))
        if not self.checksums:
            self._warn_of_zeros(run, samples)
        return samples

    def _warn_of_zeros(self, run: Run, samples: np.ndarray) -> None:
        """Warn where a field ends with zeros: a file's place may have been kept, and not filled."""
        for i, name in enumerate(self.field_names):
            if samples[-1, i].any() or not samples[0, i].any():
                continue
            n = int(np.flatnonzero(samples[:, i].reshape(len(samples), -1).any(axis=1))[-1]) + 1
            part = self.parts[run.simulation][-1]
            warnings.warn(
                f"{self.folder / self.file_names[part.file]}: simulation {run.simulation}, field "
                f"{name} is zero from step {n} of {len(samples)} on: was all of it written?",
                stacklevel=3,
            )

    @property
    def fills(self) -> tuple[tuple[float, ...], ...]:
        """Numbers that stand for no value in each stored field, besides NaN and huge ones."""
        return tuple(source.fill for source in self.sources)

    def with_masks(self) -> Self:
        """Return the ensemble with the masks that its first and its last sample agree on."""
        ends = {0, len(self.samples) - 1}
        try:
            samples = [self._read(*self.where(i), check=False)[0] for i in sorted(ends)]
        except (OSError, ValueError, KeyError):  # reading that sample will raise it
            return self
        masks = find(samples, self.fills)
        both = zip(self.fields, masks, strict=True)
        return replace(self, fields=tuple(replace(f, mask=mask) for f, mask in both))

    def _read(
        self, run: Run, first: int, end: int | None = None, *, check: bool = True
    ) -> np.ndarray:
        end = first + 1 if end is None else end
        samples = np.empty((end - first, *self.sample_shape), self.dtype)
        fills = dict(zip(self.field_names, self.fills, strict=True))
        start = 0
        for part in self.parts[run.simulation]:
            rows = part.rows[max(first - start, 0) : max(end - start, 0)]
            if rows:
                at = max(start, first) - first
                self._read_part(part, rows, samples[at : at + len(rows)])
                where = f"{self.folder / self.file_names[part.file]}: simulation {run.simulation}"
                values = samples[at : at + len(rows)]
                if check:
                    names, when = self.field_names, (first + at, run.times)
                    check_values(values, names, where, fills, *when, self.valid)
            start += len(part.rows)
        return blank(samples, self.valid)

    def _read_part(self, part: Part, rows: Sequence[int], out: np.ndarray) -> None:
        """Read rows of one file; several fields of one array are read at once."""
        path, blocks = self.folder / self.file_names[part.file], {}
        with opened(path) as file:
            for i, source in enumerate(self.sources):
                key = source.dataset, tuple(a for a in source.axes if not isinstance(a, int))
                if key not in blocks:
                    array = dataset(file, part.group + source.dataset, path, self.folder)
                    try:
                        blocks[key] = read_block(array, source, part.run, rows)
                    except OSError as error:
                        raise OSError(f"{path}: {source.dataset}: {error}") from error
                inside = tuple(
                    axis if isinstance(axis, int) else slice(None)
                    for axis in source.axes
                    if axis != RUN
                )
                values = blocks[key][inside]
                if TIME in source.axes:
                    kept = [a for a in source.axes if a != RUN and not isinstance(a, int)]
                    values = np.moveaxis(values, kept.index(TIME), 0)
                out[:, i] = values

    def verify(self) -> None:
        """Read everything once; ValueError on the first value that is NaN, infinite or a fill."""
        for simulation in self.simulations:
            self.read_simulation(simulation)

    # ---------------------------------------------------------------------------- in place

    @cached_property
    def _parts_of(self) -> dict[Path, list[tuple[int, Part]]]:
        """File -> position of the first sample of each part that lies there, and the part."""
        found: dict[Path, list[tuple[int, Part]]] = {}
        for simulation in self.simulations:
            start = self.of(simulation)[0]
            for part in self.parts[simulation]:
                path = self.folder / self.file_names[part.file]
                found.setdefault(path, []).append((start, part))
                start += len(part.rows)
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of these simulations; none if only a library can read them."""
        return tuple(self._parts_of) if self.reads_in_place else ()

    @property
    def file_nbytes(self) -> int | None:
        """Bytes of the files of these simulations; None if they hold others too."""
        found = Counter[int]()
        for part in chain.from_iterable(self.parts.values()):
            found[part.file] += len(part.rows)
        whole = all(self.counts[i] == n for i, n in found.items())
        return sum(self.sizes[i] for i in found) if whole else None

    def chunks(self, file: Path) -> Iterator[StoredChunk]:
        """Yield address and encoding of every field of this view that lies in one of `files`."""
        if self.library:
            raise ValueError(f"{self.name}: {self.library}")
        with opened(file) as handle:
            tables: dict[str, Any] = {}
            for start, part in self._parts_of[file]:
                for i, source in enumerate(self.sources):
                    name = part.group + source.dataset
                    if name not in tables:
                        array = dataset(handle, name, file, self.folder)
                        tables[name] = array.shape, locate_fields(array, self.dtype, self.grid.ndim)
                    shape, table = tables[name]
                    for k, row in enumerate(part.rows):
                        lead = source.lead(part.run, row)
                        flat = np.ravel_multi_index(lead, shape[: len(lead)]) if lead else 0
                        yield StoredChunk(start + k, i, *table[int(flat)])

    # ---------------------------------------------------------------------------- identity

    def contents(self, run: Run) -> str:
        """Return a hash of the stored fields of one simulation, see `digest_kind`."""
        return self._hashes[run.simulation]

    @cached_property
    def _hashes(self) -> dict[int, str]:
        """Hash of each simulation's stored fields, remembered until its files change."""
        cache, keys = self.cache_folder / CONTENTS, {}
        for simulation in self.simulations:
            stats = [_stat(self.folder / self.file_names[p.file]) for p in self.parts[simulation]]
            identity = [2, self.sources, self.parts[simulation], self.dtype, stats]
            keys[simulation] = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        try:
            known = {key: str(one) for key, one in _files.read_json(cache, limit=1 << 28).items()}
        except (OSError, ValueError):
            known = {}
        fresh = {
            key: self._fingerprint(simulation)
            for simulation, key in keys.items()
            if key not in known
        }
        if fresh:
            try:
                _files.write_json(cache, known | fresh)
            except OSError:
                pass  # a cache that only others may write
        known |= fresh
        return {simulation: known[key] for simulation, key in keys.items()}

    def _fingerprint(self, simulation: int) -> str:
        """Hash what stored chunks have: sizes, and checksums or sampled bytes."""
        found = hashlib.sha256(np.dtype(self.dtype).str.encode())
        for part in self.parts[simulation]:
            path = self.folder / self.file_names[part.file]
            with opened(path) as file:
                for source in self.sources:
                    array = dataset(file, part.group + source.dataset, path, self.folder)
                    for piece in sampled_bytes(array, source, part, path):
                        found.update(piece)
        return found.hexdigest()


def _stat(path: Path) -> list[int]:
    """Size and time of change of a file, or of all files of a store."""
    if path.is_dir():
        every = [os.stat(Path(at) / name) for at, _, names in os.walk(path) for name in names]
        return [sum(s.st_size for s in every), max((s.st_mtime_ns for s in every), default=0)]
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
