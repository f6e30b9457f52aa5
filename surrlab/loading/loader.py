"""Batches for training, straight from the files of an ensemble (Fig. 2, workflow 2; Section VI).

HDF5 holds one lock for all threads of a process, so it is asked only once, where each field lies.
After that the bytes come by `os.preadv` and are decoded by threads, straight into the batch. Files
stay standard HDF5; raw ones take the same path.
"""

from __future__ import annotations

import itertools
import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future

import numpy as np

from surrlab.data._masks import blank
from surrlab.data.ensemble import Ensemble, InMemoryEnsemble
from surrlab.data.fields import no_value
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.index import ChunkIndex, NotInPlaceError
from surrlab.loading.reader import (
    CLOSED,
    PREFETCH,
    BatchBuffers,
    ChunkReader,
    LibraryReader,
    Reader,
)


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class SampleLoader:
    """Iterate over the samples of an ensemble in batches; one iteration is one epoch.

    Yields ``(inputs, fields)``, arrays ``(b, n)`` and ``(b, n_fields, *shape)`` of float32, to
    which fields of float64 are rounded; the cells of a mask are NaN. The order depends on seed and
    epoch alone. Threads and open
    files last until `close`, the end of a ``with`` block, or the loader's own end; the loader
    pickles, and survives a fork, without them.

    ``fields`` is a buffer that a later batch gets again once nobody holds it, its views, or a
    tensor made from it with ``torch.from_numpy``. Keep a reference until an asynchronous copy
    (``non_blocking=True``) has finished, as `on_device` does.

    Memory does not grow with the number of simulations, but for 26 bytes per stored field: it is
    `PREFETCH` + 2 batches (with what the caller keeps) and, for each thread, a read of
    `reader.READ` bytes or one chunk. A `cache` grows with the ensemble.

    Parameters
    ----------
    ensemble : Ensemble
        Raw or compressed; one side of a split.
    batch_size : int
        Samples per batch, over all ranks together; the last batch has what is left.
    seed : int
        Of the order.
    shuffle : bool
        If false, samples come simulation by simulation in time.
    threads : int, optional
        Threads that read and decode; by default as many as this process has cores. More help where
        each read has to wait.
    rank, world_size : int
        Which part of every batch this process gets, of how many. A last batch with fewer samples
        than there are ranks joins the one before.
    bandwidth : Bandwidth, optional
        How fast files are read; by default at full speed.
    cache : {None, "memory", "decoded"}
        With ``"memory"`` each file is read once, whole, and its stored (compressed) bytes are kept;
        it needs samples that can be read in place. With ``"decoded"`` every field is decoded once,
        before the first batch, and kept: 4 bytes per value, for ensembles so small that decoding
        them again costs more than their memory.
    allocate : callable, optional
        Makes an uninitialised float32 array of a shape: `page_locked`, say.

    Attributes
    ----------
    inputs : array (n_samples, n) float32
        Of the whole ensemble.
    sample_shape : tuple of int
        ``(n_fields, *shape)``.
    reads_in_place : bool
        Whether stored chunks are read and decoded without a library. Where they cannot be, which a
        warning says, the threads call `Ensemble.read`, and libraries let them run in turns only.

    Raises
    ------
    ValueError
        If batch size, threads, rank, cache or bandwidth make no sense.
    OSError
        If a file cannot be read, or (while iterating) a field fails its checksum, or a file is no
        longer the one it was.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        threads: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        bandwidth: Bandwidth | None = None,
        cache: str | None = None,
        allocate: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    ):
        threads = n_cores() if threads is None else threads
        if threads < 1:
            raise ValueError(f"a loader needs at least one thread, not {threads}")
        self.inputs, self.sample_shape = ensemble.inputs, ensemble.sample_shape
        if not 0 <= rank < world_size <= min(batch_size, len(self.inputs)):
            raise ValueError(
                f"batches of {batch_size} out of {len(self.inputs)} samples cannot be shared out "
                f"to rank {rank} of {world_size}"
            )
        if cache not in (None, "memory", "decoded"):
            raise ValueError(f"cache is None, 'memory' or 'decoded', not {cache!r}")
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.threads, self.rank, self.world_size, self.epoch = threads, rank, world_size, 0
        self.bandwidth, self.cache = bandwidth or Bandwidth(), cache
        self._allocate = allocate
        try:
            self._source: ChunkIndex | Ensemble = ChunkIndex(ensemble)
        except NotInPlaceError as reason:
            if self.bandwidth != Bandwidth():
                raise ValueError(
                    f"reads through a library cannot be slowed down: {reason}"
                ) from None
            self._source = ensemble
            if not isinstance(ensemble, InMemoryEnsemble):
                warnings.warn(f"samples are read through their library: {reason}", stacklevel=2)
        self.reads_in_place = isinstance(self._source, ChunkIndex)
        self._masked = None if ensemble.valid is None else ensemble
        self._reader: Reader | None = None
        self._decoded: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._starts())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the iterations that begin from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self.read(self.order())

    def order(self) -> list[np.ndarray]:
        """Positions in the ensemble of the samples of each batch of this rank, in this epoch."""
        order = np.arange(len(self.inputs))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        batches = np.split(order, self._starts()[1:])
        return [batch[self.rank :: self.world_size] for batch in batches]

    def read(self, batches: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the inputs and fields of chosen samples, no more at once than `order` has."""
        return self._from_decoded(batches) if self.cache == "decoded" else self._batches(batches)

    def _starts(self) -> range:
        """Where each batch begins, in the order of the epoch."""
        n = len(self.inputs)
        return range(0, n - self.world_size + 1, self.batch_size)

    def _from_decoded(self, batches: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches out of samples that the first iteration decoded."""
        reader, decoded = self._running_reader(), self._decoded
        if decoded is None:
            decoded = np.empty((len(self.inputs), *self.sample_shape), np.float32)
            _wait(reader.start(np.arange(len(decoded)), decoded))
            self._blank(np.arange(len(decoded)), decoded)
            self._decoded = decoded
        for samples in batches:
            if reader.closed:
                raise RuntimeError(CLOSED)
            fields = reader.buffers.take(len(samples))
            # Any mode but the default one writes straight into the buffer.
            np.take(decoded, samples, axis=0, out=fields, mode="clip")
            inputs = self.inputs[samples]
            yield inputs, fields
            del fields

    def _batches(self, batches: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches that the threads read while the caller computes."""
        reader, remaining = self._running_reader(), iter(batches)
        waiting: deque[tuple[np.ndarray, np.ndarray, list[Future]]] = deque()
        try:
            while True:
                if reader.closed:
                    raise RuntimeError(CLOSED)
                for samples in itertools.islice(remaining, 1 + PREFETCH - len(waiting)):
                    fields = reader.buffers.take(len(samples))
                    waiting.append((samples, fields, reader.start(samples, fields)))
                if not waiting:
                    return
                _wait(waiting[0][2])
                samples, fields, _ = waiting.popleft()
                self._blank(samples, fields)
                inputs = self.inputs[samples]
                yield inputs, fields
                del fields  # or this frame would hold the buffer while the next batch starts
        finally:
            for _, _, parts in waiting:
                for part in parts:
                    part.cancel()
            waiting.clear()  # an error that a part holds must not hold this frame

    def _blank(self, samples: np.ndarray, fields: np.ndarray) -> None:
        """Set the cells of masks to NaN, once no value is found there."""
        if self._masked is None or (valid := self._masked.valid) is None:
            return
        for i, fill in enumerate(self._masked.fills or ()):
            found = ~no_value(fields[:, i][:, ~valid[i]], fill).all(axis=1)
            for sample in samples[found]:
                self._masked.read(int(sample))  # which refuses it by name
        blank(fields, valid)

    def _running_reader(self) -> Reader:
        """The threads of this process."""
        if self._reader is None or self._reader.pid != os.getpid():
            largest = max(np.diff([*self._starts(), len(self.inputs)]))
            shape = (-(-largest // self.world_size), *self.sample_shape)
            buffers = BatchBuffers(shape, self._allocate)
            if isinstance(self._source, ChunkIndex):
                keep_files = self.cache == "memory"
                self._reader = ChunkReader(
                    self._source, self.threads, buffers, self.bandwidth, keep_files
                )
            else:
                self._reader = LibraryReader(self._source, self.threads, buffers)
            weakref.finalize(self, self._reader.close)
        return self._reader

    def close(self) -> None:
        """End the threads and close the files; another iteration starts them again."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._decoded = None

    def __enter__(self) -> SampleLoader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_reader": None, "_decoded": None}


def _wait(parts: list[Future]) -> None:
    """Wait for the threads; raise what went wrong in one of them."""
    try:
        while parts:
            parts.pop(0).result()  # popped: an error must not hold what holds it
    except CancelledError:
        raise RuntimeError(CLOSED) from None
