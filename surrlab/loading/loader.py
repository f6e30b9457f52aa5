"""Batches for training, straight from the files of an ensemble (Fig. 2, workflow 2; Section VI).

HDF5 holds one lock for all threads of a process, so it is asked only once, where each field lies.
After that the bytes come by `os.preadv` and are decoded by threads, straight into the batch. Files
stay standard HDF5; raw ones take the same path.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future

import numpy as np

from surrlab.data.native import Ensemble
from surrlab.loading.bandwidth import Storage
from surrlab.loading.index import Index
from surrlab.loading.reader import CLOSED, PREFETCH, _Buffers, _Reader

TASK = 1 << 20
"""Decoded bytes that are worth waking up one more thread for."""


class SampleLoader:
    """Iterate over the samples of an ensemble in batches; one iteration is one epoch.

    Yields ``(inputs, fields)``, float32 arrays ``(b, n)`` and ``(b, n_fields, ny, nx)``. The order
    depends on seed and epoch alone. Threads and open files last until `close`, the end of a
    ``with`` block, or the loader's own end; the loader pickles, and survives a fork, without them.

    ``fields`` is a buffer that a later batch gets again once nobody holds it, its views, or a
    tensor made from it with ``torch.from_numpy``. Who copies it to a GPU without waiting must hold
    it until the copy is done.

    Memory does not grow with the number of simulations, but for 14 bytes a stored field: it is
    `PREFETCH` + 2 batches (with what the caller keeps) and, for each thread, a read of `READ` bytes
    or one chunk. A `cache` grows with the ensemble.

    Parameters
    ----------
    ensemble : Ensemble
        Raw or compressed; one side of a split.
    batch_size : int
        Samples a batch, over all ranks together; the last batch has what is left.
    seed : int
        Of the order.
    shuffle : bool
        If false, samples come simulation by simulation in time.
    threads : int, optional
        Threads that read and decode; by default as many as this process has cores. More help where
        each read has to wait.
    rank, world_size : int
        Which share of every batch this process gets, of how many. A last batch with fewer samples
        than there are ranks joins the one before.
    storage : Storage
        How files are read.
    cache : {None, "memory", "decoded"}
        With ``"memory"`` each file is read once, whole, and its stored (compressed) bytes are kept.
        With ``"decoded"`` every field is decoded once, before the first batch, and kept: 4 bytes a
        value, for ensembles so small that decoding them again costs more than their memory.
    allocate : callable, optional
        Makes an uninitialised float32 array of a shape: page-locked memory, say.

    Raises
    ------
    ValueError
        If a file's layout can be read by HDF5 only; or batch size, threads, rank or cache make no
        sense.
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
        storage: Storage | None = None,
        cache: str | None = None,
        allocate: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    ):
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if threads < 1:
            raise ValueError(f"a loader needs at least one thread, not {threads}")
        self._inputs = ensemble.inputs.reshape(-1, ensemble.inputs.shape[-1])
        if not 0 <= rank < world_size <= min(batch_size, len(self._inputs)):
            raise ValueError(
                f"batches of {batch_size} out of {len(self._inputs)} samples cannot be shared out "
                f"to rank {rank} of {world_size}"
            )
        if cache not in (None, "memory", "decoded"):
            raise ValueError(f"cache is None, 'memory' or 'decoded', not {cache!r}")
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.threads, self.rank, self.world_size, self.epoch = threads, rank, world_size, 0
        self.storage, self.cache = storage or Storage(), cache
        self._allocate = allocate or _empty
        self._index = Index(ensemble)
        self._reader = self._decoded = None

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._starts())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the iterations that begin from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.arange(len(self._inputs))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        batches = np.split(order, self._starts()[1:])
        shares = [batch[self.rank :: self.world_size] for batch in batches]
        return self._kept(shares) if self.cache == "decoded" else self._batches(shares)

    def _starts(self) -> range:
        """Where each batch begins, in the order of the epoch."""
        n = len(self._inputs)
        return range(0, n - self.world_size + 1, self.batch_size)

    def _kept(self, shares: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches out of samples that the first iteration decoded."""
        reader, decoded = self._started(), self._decoded
        if decoded is None:
            decoded = np.empty((len(self._inputs), *self._index.shape), np.float32)
            _wait(self._fill(reader, np.arange(len(decoded)), decoded))
            self._decoded = decoded
        for share in shares:
            if reader.closed:
                raise RuntimeError(CLOSED)
            fields = reader.buffers.take(len(share))
            # Any mode but the default one writes straight into the buffer.
            np.take(decoded, share, axis=0, out=fields, mode="clip")
            inputs = self._inputs[share]
            yield inputs, fields
            del fields

    def _batches(self, shares: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        shares, waiting = iter(shares), deque()
        try:
            while True:
                for share in itertools.islice(shares, 1 + PREFETCH - len(waiting)):
                    waiting.append((share, *self._start(share)))
                if not waiting:
                    return
                _wait(waiting[0][2])
                share, fields, _ = waiting.popleft()
                inputs = self._inputs[share]
                yield inputs, fields
                del fields  # or this frame would hold the buffer while the next batch starts
        finally:
            for _, _, parts in waiting:
                for part in parts:
                    part.cancel()

    def _start(self, samples: np.ndarray) -> tuple[np.ndarray, list[Future]]:
        """Set the threads to decode `samples` into a batch, each a part of the files."""
        reader = self._started()
        fields = reader.buffers.take(len(samples))
        return fields, self._fill(reader, samples, fields)

    def _fill(self, reader: _Reader, samples: np.ndarray, fields: np.ndarray) -> list[Future]:
        chunks = self._index.chunks(samples)
        n = min(self.threads, len(chunks), 1 + fields.nbytes // TASK)
        cuts = np.linspace(0, len(chunks), n + 1).astype(int)
        return [
            reader.pool.submit(reader.fill, chunks[a:b], fields)
            for a, b in itertools.pairwise(cuts)
        ]

    def _started(self) -> _Reader:
        """The threads of this process."""
        if self._reader is None or self._reader.pid != os.getpid():
            self._reader = _Reader(
                self._index, self.threads, self.storage, self.cache, self._buffers()
            )
            weakref.finalize(self, self._reader.close)
        return self._reader

    def _buffers(self) -> _Buffers:
        largest = max(np.diff([*self._starts(), len(self._inputs)]))
        return _Buffers((-(-largest // self.world_size), *self._index.shape), self._allocate)

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
    try:
        for part in parts:
            part.result()
    except CancelledError:
        raise RuntimeError(CLOSED) from None


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.float32)
