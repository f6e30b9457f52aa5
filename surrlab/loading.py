"""Batches for training, straight from the files of an ensemble (Fig. 2, workflow 2; Section VI).

HDF5 holds one lock for all threads of a process, so it is asked only once, where each field lies.
After that the bytes come by `os.preadv` and are decoded by threads, straight into the batch. Files
stay standard HDF5; raw ones take the same path.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np

from surrlab import decoding
from surrlab.chunks import Index
from surrlab.disks import Storage
from surrlab.ensembles import Ensemble

PREFETCH = 2
"""Batches in the making while the caller computes."""

OPEN_FILES = 512
"""Files kept open; those beyond are opened for each sample."""

READ = 1 << 20
"""Bytes that a thread reads before it decodes: they are still in the processor's cache then."""

GAP, CALL = 1 << 14, 1e-5
"""Bytes between two chunks that are read along, at most: as many as take the seconds of a read."""

CLOSED = "the loader was closed while it was iterated"

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


class _Buffers:
    """Batch buffers that come back of themselves when the last view of them is gone.

    Fresh memory costs a page fault every 4 kB, a third of the time that decoding takes.
    """

    def __init__(self, shape: tuple[int, ...], allocate: Callable):
        self.shape, self.allocate, self.free = shape, allocate, deque(maxlen=PREFETCH + 2)

    def take(self, n: int) -> np.ndarray:
        """An array of `n` samples, of undefined contents."""
        try:
            buffer = self.free.pop()
        except IndexError:
            buffer = self.allocate(self.shape)
        return np.asarray(_Lease(buffer, self.free))[:n]


class _Lease:
    """What NumPy takes for the owner of a buffer: it goes when the last view has gone."""

    def __init__(self, buffer: np.ndarray, free: deque):
        self.buffer, self.free = buffer, free
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self):
        self.free.append(self.buffer)


class _Reader:
    """The threads, open files and buffers of one process."""

    def __init__(
        self, index: Index, threads: int, storage: Storage, cache: str | None, buffers: _Buffers
    ):
        self.index, self.storage, self.buffers, self.pid = index, storage, buffers, os.getpid()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="surrlab-loader")
        self._read = self._from_memory if cache == "memory" else self._pieces
        self._local, self._lock, self.closed = threading.local(), threading.Lock(), False
        self._descriptors: dict[int, int] = {}
        self._memory: dict[int, Future] = {}

    def fill(self, chunks: np.ndarray, fields: np.ndarray) -> None:
        """Read, check and decode `chunks` of an `Index` into a batch."""
        out, kinds = fields.reshape(-1, *fields.shape[2:]), self.index.kinds
        with closing(self._read(chunks)) as pieces:
            for part, addresses in pieces:
                piece = chunks[part]
                bad = decoding.decode(
                    addresses, piece["nbytes"], kinds, piece["kind"], piece["slot"], out
                )
                if bad >= 0:
                    raise self._explain(piece[bad], int(addresses[bad]), out)

    def _pieces(self, chunks: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Read `READ` bytes at a time, neighbours at once; yield which chunks lie where."""
        gap = min(GAP, self.storage.bandwidth * (self.storage.latency + CALL))
        starts, ends = chunks["offset"], chunks["offset"] + chunks["nbytes"]
        apart = (np.diff(chunks["file"]) != 0) | (starts[1:] - ends[:-1] > gap)
        apart |= np.diff(np.cumsum(chunks["nbytes"]) // READ) != 0
        runs = itertools.pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(chunks)])
        files, addresses = chunks["file"].tolist(), np.empty(len(chunks), np.int64)
        (buffer, base), first, used = self._buffer(READ), 0, 0
        for _, parts in itertools.groupby(runs, lambda run: files[run[0]]):
            parts = list(parts)
            with self._open(chunks[parts[0][0]]) as descriptor:
                for a, b in parts:
                    offset = int(starts[a])
                    nbytes = int(ends[b - 1]) - offset
                    if used + nbytes > len(buffer):
                        yield slice(first, a), addresses[first:a]
                        (buffer, base), first, used = self._buffer(nbytes), a, 0
                    self._fetch(descriptor, buffer[used : used + nbytes], offset, chunks[a])
                    addresses[a:b] = starts[a:b] + (base + used - offset)
                    used += nbytes
        yield slice(first, None), addresses[first:]

    def _from_memory(self, chunks: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """As `_pieces`, from whole files that stay in memory."""
        files = chunks["file"]
        cuts = [0, *(np.flatnonzero(np.diff(files)) + 1).tolist(), len(chunks)]
        addresses, ends = chunks["offset"].copy(), chunks["offset"] + chunks["nbytes"]
        for a, b in itertools.pairwise(cuts):
            whole = self._whole(chunks[a])
            if ends[b - 1] > len(whole):
                raise self._error(chunks[b - 1], f"lies beyond the file's {len(whole)} bytes")
            addresses[a:b] += whole.ctypes.data
        yield slice(None), addresses

    def _whole(self, chunk: np.void) -> np.ndarray:
        """The bytes of a chunk's file, read by the first thread that asks for them."""
        file = int(chunk["file"])
        with self._lock:
            first = file not in self._memory
            held = self._memory.setdefault(file, Future())
        if first:
            try:
                whole = np.empty(self.index.stats[file, 0], np.uint8)
                with self._open(chunk) as descriptor:
                    for start in range(0, len(whole), READ):
                        part = memoryview(whole)[start : start + READ]
                        self._fetch(descriptor, part, start, chunk)
                held.set_result(whole)
            except BaseException as error:
                del self._memory[file]
                held.set_exception(error)
        return held.result()

    def _fetch(self, file: int, buffer: memoryview, offset: int, chunk: np.void) -> None:
        if self.closed:
            raise CancelledError
        try:
            lacking = len(buffer) - self.storage.read(file, buffer, offset)
        except OSError as error:
            raise self._error(chunk, error) from error
        if lacking:
            raise self._error(chunk, f"the file ends {lacking} bytes too early")

    @contextmanager
    def _open(self, chunk: np.void) -> Iterator[int]:
        """Descriptor of a chunk's file, which stays open unless too many are."""
        file = int(chunk["file"])
        try:
            with self._lock:
                descriptor = self._descriptors.get(file)
                if descriptor is None:
                    descriptor = os.open(self.index.paths[file], os.O_RDONLY | os.O_CLOEXEC)
                    if len(self._descriptors) < OPEN_FILES:
                        self._descriptors[file] = descriptor
        except OSError as error:
            raise self._error(chunk, error) from error
        try:
            if not self.index.still(file, descriptor):
                raise self._error(
                    chunk, "the file has changed since this loader was made; make another"
                )
            yield descriptor
        finally:
            if self._descriptors.get(file) != descriptor:
                os.close(descriptor)

    def _buffer(self, nbytes: int) -> tuple[memoryview, int]:
        """This thread's own buffer, at least so long, and its address."""
        if nbytes > len(getattr(self._local, "buffer", b"")):
            array = np.empty(max(nbytes, READ), np.uint8)
            self._local.buffer, self._local.address = memoryview(array), array.ctypes.data
        return self._local.buffer, self._local.address

    def _explain(self, chunk: np.void, address: int, out: np.ndarray) -> OSError:
        """What is wrong with a chunk that compiled code gave up."""
        kind, field = self.index.kinds[chunk["kind"]], out[chunk["slot"]]
        try:
            decoding.explain(address, int(chunk["nbytes"]), kind, field)
        except (OSError, ValueError) as error:
            return self._error(chunk, error)
        return self._error(chunk, "its stream goes on beyond its end; it was truncated")

    def _error(self, chunk: np.void, what) -> OSError:
        return OSError(f"{self.index.name(chunk)}: {what}")

    def close(self) -> None:
        if self.pid != os.getpid():  # a fork's copy: the threads are not here
            return
        self.closed = True
        self.pool.shutdown(cancel_futures=True)
        self._memory.clear()
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
