import math
import mmap
import os
import pickle
import threading

import pytest

from surrlab.loading import bandwidth
from surrlab.loading.bandwidth import Bandwidth


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(250)) * 400)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes while somebody sleeps, and not otherwise."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            assert seconds >= 0
            self.now += seconds

    monkeypatch.setattr(bandwidth, "time", clock := Clock())
    return clock


def read(limit, file, nbytes, offset=0):
    buffer = bytearray(nbytes)
    return limit.read(file, memoryview(buffer), offset), bytes(buffer)


@pytest.mark.parametrize("limit", [Bandwidth(), Bandwidth(1e9, 1e-4), Bandwidth(drop_cache=True)])
def test_bytes_are_those_of_the_file(file, limit):
    assert read(limit, file, 3, 99) == (3, b"\x63\x64\x65")
    assert read(limit, file, 5, 99_998) == (2, b"\xf8\xf9\0\0\0")
    assert read(limit, file, 5, 200_000) == (0, bytes(5))


def test_a_read_that_comes_in_parts_is_gone_on_with(file, monkeypatch):
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda f, buffers, at: whole(f, [buffers[0][:4]], at))
    assert read(Bandwidth(), file, 11, 1) == (11, bytes(range(1, 12)))


def test_bandwidth_is_kept_over_all_reads(file, clock):
    limit = Bandwidth(1000.0)
    for _ in range(10):
        read(limit, file, 500)
    assert clock.now == pytest.approx(105 - bandwidth.BURST)
    clock.now += 60  # a pause saves up no more than the burst
    read(limit, file, 2000)
    assert clock.now == pytest.approx(167 - 2 * bandwidth.BURST)


def test_threads_share_the_bandwidth_but_wait_for_the_latency_together(clock):
    limit, ends = Bandwidth(1000.0, latency=3.0), []
    clock.sleep = ends.append  # nobody's sleep holds up another
    for _ in range(4):
        limit._bucket.wait(1.0, limit.latency)
    assert ends == pytest.approx([4, 5, 6, 7], abs=bandwidth.BURST)


def test_no_limit_never_sleeps(file, clock):
    clock.sleep = None
    read(Bandwidth(), file, 1000)


def test_the_page_cache_forgets_whole_pages_before_each_read(file, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *call: calls.append(call[1:]))
    page = mmap.PAGESIZE
    read(Bandwidth(drop_cache=True), file, page, page + 7)
    assert calls == [
        (0, 0, os.POSIX_FADV_RANDOM),
        (page, 2 * page, os.POSIX_FADV_DONTNEED),
    ]


def test_it_compares_prints_and_pickles_without_its_lock():
    limit = Bandwidth(5e6, latency=0.25, drop_cache=True)
    again = pickle.loads(pickle.dumps(limit))
    assert again == limit == eval(repr(limit))
    assert str(again) == "5 MB/s after 250 ms, page cache dropped"
    assert str(Bandwidth()) == "full speed, page cache in use"
    assert isinstance(again._bucket._lock, type(threading.Lock()))


@pytest.mark.parametrize(
    "arguments",
    [
        {"bytes_per_second": 0.0},
        {"bytes_per_second": math.nan},
        {"latency": -1.0},
        {"latency": math.inf},
    ],
)
def test_speeds_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"a (bandwidth|latency) is .*, not "):
        Bandwidth(**arguments)


def test_a_system_that_cannot_drop_its_cache_is_named(monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise")
    with pytest.raises(ValueError, match="posix_fadvise"):
        Bandwidth(drop_cache=True)
