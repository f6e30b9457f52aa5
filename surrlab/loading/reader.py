"""Reader."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np

from surrlab.loading import zfp_decoder
from surrlab.loading.bandwidth import Storage
from surrlab.loading.index import Index

PREFETCH = 2
"""Batches in the making while the caller computes."""

OPEN_FILES = 512
"""Files kept open; those beyond are opened for each sample."""

READ = 1 << 20
"""Bytes that a thread reads before it decodes: they are still in the processor's cache then."""

GAP, CALL = 1 << 14, 1e-5
"""Bytes between two chunks that are read along, at most: as many as take the seconds of a read."""

CLOSED = "the loader was closed while it was iterated"


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
                bad = zfp_decoder.decode(
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
            zfp_decoder.explain(address, int(chunk["nbytes"]), kind, field)
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
