"""Threads that read samples into batches: stored chunks in place, or through a library."""

from __future__ import annotations

import itertools
import os
import resource
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np

from surrlab.data.ensemble import Ensemble
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.index import ChunkIndex
from surrlab.loading.zfp_decoder import Decoder

PREFETCH = 2
"""Batches in the making while the caller computes."""

READ = 1 << 20
"""Bytes that a thread reads before it decodes: they are still in the processor's cache then."""

GAP, CALL = 1 << 14, 1e-5
"""Bytes between two chunks that are read along, at most: as many as take the seconds of a read."""

TASK = 1 << 20
"""Decoded bytes that are worth waking up one more thread for."""

_numbers = itertools.count()

CLOSED = "the loader was closed while it was iterated"


def max_open_files() -> int:
    """Files that a loader keeps open: a quarter of what this process may have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit // 4 if limit != resource.RLIM_INFINITY else 1 << 16


class BatchBuffers:
    """Batch buffers that return by themselves when the last view of them is gone.

    Fresh memory costs a page fault every 4 kB, a third of the time that decoding takes.
    """

    def __init__(
        self, shape: tuple[int, ...], allocate: Callable[[tuple[int, ...]], np.ndarray] | None
    ):
        self.shape, self.allocate = shape, allocate or _empty
        self.free: deque[np.ndarray] = deque(maxlen=PREFETCH + 2)

    def take(self, n: int) -> np.ndarray:
        """An array of `n` samples, of undefined contents."""
        try:
            buffer = self.free.pop()
        except IndexError:
            buffer = self.allocate(self.shape)
        return np.asarray(_BufferLease(buffer, self.free))[:n]


class _BufferLease:
    """What NumPy takes for the owner of a buffer: it goes when the last view has gone."""

    def __init__(self, buffer: np.ndarray, free: deque[np.ndarray]):
        self.buffer, self.free = buffer, free
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self):
        self.free.append(self.buffer)


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.float32)


class Reader(ABC):
    """The threads and buffers of one process."""

    def __init__(self, threads: int, buffers: BatchBuffers):
        self.threads, self.buffers, self.pid = threads, buffers, os.getpid()
        self._name = f"surrlab-loader-{next(_numbers)}-thread"
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=self._name)
        self.closed = False

    @abstractmethod
    def start(self, samples: np.ndarray, fields: np.ndarray) -> list[Future]:
        """Let the threads put `samples` into ``fields`` (b, n_fields, *shape); one part each."""

    def _submit(self, work: Callable, items: np.ndarray, fields: np.ndarray) -> list[Future]:
        """Split items in as many parts as there are threads that it pays to wake up."""
        n = min(self.threads, len(items), 1 + fields.nbytes // TASK)
        cuts = np.linspace(0, len(items), n + 1).astype(int).tolist()
        return [self.pool.submit(work, a, items[a:b], fields) for a, b in itertools.pairwise(cuts)]

    def close(self) -> None:
        """End the threads; a batch that is being read raises CancelledError."""
        if self.pid != os.getpid():  # a fork's copy: the threads are not here
            return
        self.closed = True
        # Garbage may be collected in one of the threads, which cannot wait for itself.
        own = threading.current_thread().name.startswith(self._name)
        self.pool.shutdown(wait=not own, cancel_futures=True)


class LibraryReader(Reader):
    """Reads whole samples with `Ensemble.read`, in turns where its library has a lock."""

    def __init__(self, ensemble: Ensemble, threads: int, buffers: BatchBuffers):
        super().__init__(threads, buffers)
        self.ensemble = ensemble

    def start(self, samples: np.ndarray, fields: np.ndarray) -> list[Future]:
        """See `Reader.start`."""
        return self._submit(self._read, samples, fields)

    def _read(self, first: int, samples: np.ndarray, fields: np.ndarray) -> None:
        for i, sample in enumerate(samples.tolist(), first):
            if self.closed:
                raise CancelledError
            fields[i] = self.ensemble.read(sample)


class ChunkReader(Reader):
    """Reads stored chunks with `os.preadv` and decodes them without the interpreter's lock.

    Parameters
    ----------
    index : ChunkIndex
        Where chunks lie.
    bandwidth : Bandwidth
        How fast they may be read.
    keep_files : bool
        Read each file once, whole, and keep its bytes.
    """

    def __init__(
        self,
        index: ChunkIndex,
        threads: int,
        buffers: BatchBuffers,
        bandwidth: Bandwidth,
        keep_files: bool,
    ):
        super().__init__(threads, buffers)
        self.index, self.bandwidth = index, bandwidth
        self._decoder = Decoder(index.encodings, index.sample_shape[1:], index.dtype)
        self._read = self._from_memory if keep_files else self._from_files
        self._local, self._lock = threading.local(), threading.Lock()
        self._max_open, self._descriptors = max_open_files(), dict[int, int]()
        self._memory: dict[int, Future] = {}

    def start(self, samples: np.ndarray, fields: np.ndarray) -> list[Future]:
        """See `Reader.start`."""
        return self._submit(self._decode_batch, self.index.chunks(samples), fields)

    def _decode_batch(self, _: int, chunks: np.ndarray, fields: np.ndarray) -> None:
        """Read, check and decode `chunks` of the index into a batch."""
        out = fields.reshape(-1, *fields.shape[2:])
        with closing(self._read(chunks)) as parts:
            for here, addresses in parts:
                part = chunks[here]
                bad = self._decoder.decode(
                    addresses, part["nbytes"], part["encoding"], part["slot"], out, part["shift"]
                )
                if bad >= 0:
                    raise self._explain(part[bad], int(addresses[bad]), out)

    def _from_files(self, chunks: np.ndarray) -> Generator[tuple[slice, np.ndarray], None, None]:
        """Read `READ` bytes at a time, neighbours at once; yield which chunks lie where."""
        gap = min(GAP, self.bandwidth.bytes_per_second * (self.bandwidth.latency + CALL))
        starts, ends = chunks["offset"], chunks["offset"] + chunks["nbytes"]
        apart = (np.diff(chunks["file"]) != 0) | (starts[1:] - ends[:-1] > gap)
        apart |= starts[1:] < ends[:-1]  # damaged: a read ends where its last chunk does
        apart |= np.diff(np.cumsum(chunks["nbytes"]) // READ) != 0
        runs = itertools.pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(chunks)])
        files, addresses = chunks["file"].tolist(), np.empty(len(chunks), np.int64)
        (buffer, base), first, used = self._buffer(READ), 0, 0
        for _, group in itertools.groupby(runs, lambda run: files[run[0]]):
            in_file = list(group)
            with self._open(chunks[in_file[0][0]]) as descriptor:
                for a, b in in_file:
                    offset = int(starts[a])
                    nbytes = int(ends[b - 1]) - offset
                    if used + nbytes > len(buffer):  # decode what is there, and begin anew
                        yield slice(first, a), addresses[first:a]
                        (buffer, base), first, used = self._buffer(nbytes), a, 0
                    self._fetch(descriptor, buffer[used : used + nbytes], offset, chunks[a])
                    addresses[a:b] = starts[a:b] + (base + used - offset)
                    used += nbytes
        yield slice(first, None), addresses[first:]

    def _from_memory(self, chunks: np.ndarray) -> Generator[tuple[slice, np.ndarray], None, None]:
        """As `_from_files`, from the bytes of whole files that stay in memory."""
        files = chunks["file"]
        cuts = [0, *(np.flatnonzero(np.diff(files)) + 1).tolist(), len(chunks)]
        addresses = chunks["offset"].copy()  # within the file's size: the index has checked them
        for a, b in itertools.pairwise(cuts):
            addresses[a:b] += self._file_bytes(chunks[a]).ctypes.data
        yield slice(None), addresses

    def _file_bytes(self, chunk: np.void) -> np.ndarray:
        """The bytes of a chunk's file, read by the first thread that asks for them."""
        file = int(chunk["file"])
        with self._lock:
            is_first = file not in self._memory
            future = self._memory.setdefault(file, Future())
        if is_first:
            try:
                file_bytes = np.empty(self.index.stats[file, 0], np.uint8)
                with self._open(chunk) as descriptor:
                    for start in range(0, len(file_bytes), READ):
                        part = file_bytes.data[start : start + READ]
                        self._fetch(descriptor, part, start, chunk)
                future.set_result(file_bytes)
            except BaseException as error:
                del self._memory[file]
                future.set_exception(error)
        return future.result()

    def _fetch(self, descriptor: int, buffer: memoryview, offset: int, chunk: np.void) -> None:
        if self.closed:
            raise CancelledError
        try:
            lacking = len(buffer) - self.bandwidth.read(descriptor, buffer, offset)
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
                    if len(self._descriptors) < self._max_open:
                        self._descriptors[file] = descriptor
        except OSError as error:
            raise self._error(chunk, error) from error
        try:
            if not self.index.is_unchanged(file, descriptor):
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
            self._local.buffer, self._local.address = array.data, array.ctypes.data
        return self._local.buffer, self._local.address

    def _explain(self, chunk: np.void, address: int, out: np.ndarray) -> OSError:
        """What is wrong with a chunk that could not be decoded."""
        try:
            field = out[chunk["slot"]]
            self._decoder.explain(address, int(chunk["nbytes"]), int(chunk["encoding"]), field)
        except Exception as error:  # whatever a codec says of a damaged stream
            return self._error(chunk, error)
        return self._error(chunk, "its stream goes on beyond its end; it was truncated")

    def _error(self, chunk: np.void, what: object) -> OSError:
        return OSError(f"{self.index.name(chunk)}: {what}")

    def close(self) -> None:
        """End the threads, close the files and forget their bytes."""
        super().close()
        if self.pid == os.getpid():
            self._memory.clear()
            while self._descriptors:
                os.close(self._descriptors.popitem()[1])
