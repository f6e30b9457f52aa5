"""Storage of a chosen speed on one machine: the paper compares file systems (Section VI-C).

Throughput of training from raw and from compressed data depends on how fast bytes come. Every read
of a loader goes through here, so a loader can be slowed down to a given file system, or kept from
the copies that the operating system holds in memory.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import time
from dataclasses import dataclass, field

BURST = 0.005
"""Seconds of bandwidth that the bucket may save up: a sleeper never wakes up quite on time."""


@dataclass(frozen=True)
class Bandwidth:
    """How fast bytes come. One value limits all threads that read through it.

    Parameters
    ----------
    bytes_per_second : float
        Over all threads of the process together.
    latency : float
        Seconds that every read takes besides; reads of several threads wait at the same time.
    drop_cache : bool
        Make the operating system forget its copy of what is read, just before (with
        ``posix_fadvise(DONTNEED)``): bytes come from the device. Without it they come from
        memory if they were read or written lately.

    Examples
    --------
    >>> Bandwidth()  # whatever the machine does
    Bandwidth(bytes_per_second=inf, latency=0.0, drop_cache=False)
    >>> print(Bandwidth(145.65e6, latency=1e-3))
    146 MB/s after 1 ms, page cache in use
    """

    bytes_per_second: float = math.inf
    latency: float = 0.0
    drop_cache: bool = False
    _bucket: _Bucket = field(
        default_factory=lambda: _Bucket(), init=False, repr=False, compare=False
    )

    def __post_init__(self):
        if not self.bytes_per_second > 0:
            raise ValueError(
                f"a bandwidth is a positive number of bytes/s, not {self.bytes_per_second}"
            )
        if not 0 <= self.latency < math.inf:
            raise ValueError(f"a latency is a number of seconds ≥ 0, not {self.latency}")
        if self.drop_cache and not hasattr(os, "posix_fadvise"):
            raise ValueError("this system has no posix_fadvise: its page cache cannot be dropped")
        object.__setattr__(self, "_bucket", _Bucket())

    def __str__(self) -> str:
        limited = self.bytes_per_second < math.inf
        speed = f"{self.bytes_per_second / 1e6:.0f} MB/s" if limited else "full speed"
        delay = f" after {self.latency * 1e3:g} ms" if self.latency else ""
        return f"{speed}{delay}, page cache {'dropped' if self.drop_cache else 'in use'}"

    def read(self, file: int, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from an open file descriptor; the bytes read, fewer only at its end."""
        if self.drop_cache:  # whole pages only: a part of one would be kept
            start = offset - offset % mmap.PAGESIZE
            end = offset + len(buffer)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # nor read ahead
            os.posix_fadvise(
                file, start, end + -end % mmap.PAGESIZE - start, os.POSIX_FADV_DONTNEED
            )
        if self.latency or self.bytes_per_second < math.inf:
            self._bucket.wait(len(buffer) / self.bytes_per_second, self.latency)
        n = os.preadv(file, [buffer], offset)
        while 0 < n < len(buffer):
            more = os.preadv(file, [buffer[n:]], offset + n)
            if not more:
                break
            n += more
        return n


class _Bucket:
    """A token bucket that counts seconds: a read begins when those before it are paid for."""

    def __init__(self):
        self._paid, self._lock = 0.0, threading.Lock()

    def wait(self, seconds: float, latency: float) -> None:
        with self._lock:
            self._paid = end = max(time.monotonic() - BURST, self._paid) + seconds
        rest = end + latency - time.monotonic()
        if rest > 0:  # sleeping for nothing costs as much as a read
            time.sleep(rest)

    def __reduce__(self):  # another process has its own
        return _Bucket, ()
