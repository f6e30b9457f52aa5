import shutil
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from surrlab.data import _masks
from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.data.fields import Field, Grid
from surrlab.data.open import open_ensemble
from surrlab.loading import DeviceCache, SampleLoader, device, on_device, page_locked
from surrlab.loading.device import one_ahead


def batches(n):
    for i in range(n):
        yield np.full((2, 3), i, np.float32), np.full((2, 4, 5), 10 * i, np.float32)


def test_on_the_cpu_tensors_are_the_arrays():
    arrays = list(batches(3))
    for found, given in zip(on_device(arrays, "cpu"), arrays, strict=True):
        assert [tensor.data_ptr() for tensor in found] == [array.ctypes.data for array in given]


def test_page_locked_is_an_array_that_can_be_written():
    array = page_locked((2, 3, 4))
    array[...] = 1
    assert array.dtype == np.float32 and array.flags.c_contiguous and array.sum() == 24


class Copies:
    """A device that notes what is asked of it, and which arrays are still there at that time."""

    def __init__(self):
        self.log, self.arrays = [], []

    def start(self, arrays):
        i = len(self.arrays)
        self.arrays.append(weakref.ref(arrays[1]))
        self.log.append(f"copy {i}")
        return tuple(torch.from_numpy(a.copy()) for a in arrays), Event(self, i)

    def use(self, tensors, event):
        self.log.append(f"use {event.i}")


class Event:
    def __init__(self, copies, i):
        self.copies, self.i = copies, i

    def synchronize(self):
        assert self.copies.arrays[self.i]() is not None, "the array went before its copy was done"
        self.copies.log.append(f"done {self.i}")


def test_the_next_copy_begins_before_a_batch_is_handed_over():
    device = Copies()
    for i, (inputs, fields) in enumerate(one_ahead(batches(3), device.start, device.use)):
        assert (inputs == i).all() and (fields == 10 * i).all()
        device.log.append(f"compute {i}")
        assert device.arrays[i]() is not None
    assert device.log == (
        "copy 0,copy 1,use 0,compute 0,done 0,copy 2,use 1,compute 1,done 1,use 2,compute 2,done 2"
    ).split(",")
    assert not any(array() is not None for array in device.arrays)


def test_who_stops_early_waits_for_the_copies():
    device = Copies()
    running = one_ahead(batches(3), device.start, device.use)
    next(running)
    running.close()
    assert sorted(device.log[-2:]) == ["done 0", "done 1"]


def test_no_batches():
    assert list(one_ahead(batches(0), None, None)) == list(on_device(batches(0), "cpu")) == []


@pytest.fixture
def counted():
    """45 samples, a corner of whose second field is masked, and a list of those that were read."""
    corner = np.zeros((4, 3), bool)
    corner[:2, 0] = True
    values = np.random.default_rng(0).normal(size=(45, 2, 4, 3)).astype(np.float32)
    values[:, 1, corner] = np.nan
    read = []

    class Counted(InMemoryEnsemble):
        def read(self, sample):
            read.append(sample)
            return super().read(sample)

    ensemble = Counted(
        name="counted",
        fields=(Field("u"), Field("v", mask=_masks.pack(corner))),
        grid=Grid.uniform({"y": (4, 0.0, 1.0), "x": (3, 0.0, 1.0)}),
        input_names=("a", "time"),
        input_units=("1", "s"),
        runs=(Run(0, (0.5,), tuple(range(20))), Run(1, (1.5,), tuple(range(25)))),
        dtype="float32",
        metadata={},
        arrays={0: values[:20], 1: values[20:]},
    )
    return ensemble, read


def as_on_a_gpu(monkeypatch):
    """Whatever is copied is copied one batch ahead."""

    def copies(_, copy, stream):
        def start(batch):
            return copy(batch), stream

        return start, lambda tensors, event: None

    monkeypatch.setattr(device, "_own_stream", lambda _: SimpleNamespace(synchronize=bool))
    monkeypatch.setattr(device, "_copies", copies)


def epoch(feed, number):
    """Every batch of an epoch, as bytes: NaN is NaN."""
    feed.set_epoch(number)
    return [[torch.as_tensor(values).numpy().tobytes() for values in batch] for batch in feed]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("order", [{}, {"shuffle": False}, {"rank": 1, "world_size": 2}])
@pytest.mark.parametrize("kept", [0, 1, 7, 8, 44, 45, 1000])
def test_a_cache_changes_no_bit_and_saves_the_reads_of_what_it_keeps(
    counted, kept, order, ahead, monkeypatch
):
    if ahead:
        as_on_a_gpu(monkeypatch)
    ensemble, read = counted
    loader = SampleLoader(ensemble, 8, seed=3, **order)
    row, held = 4 * 2 * 4 * 3, set()
    cache = DeviceCache(loader, "cpu", kept * row + row - 1)
    assert len(cache) == len(loader)
    for number in range(4):
        expected = epoch(loader, number)
        samples = np.concatenate(loader.order()).tolist()
        assert np.isnan(np.frombuffer(expected[0][1], np.float32)).any()
        read.clear()
        assert epoch(cache, number) == expected
        assert sorted(read) == sorted(set(samples) - held)
        held.update([s for s in samples if s not in held][: kept - len(held)])
        assert cache._table.nbytes <= (kept + 8) * row  # and those of a batch
    assert kept == 0 or len(held) >= min(kept, 22)


@pytest.mark.parametrize("cache", [None, "memory", "decoded"])
def test_a_cache_that_holds_all_needs_no_files(ensemble, tmp_path, cache):
    copy = open_ensemble(shutil.copytree(ensemble.path, tmp_path / "copy"))
    expected = epoch(SampleLoader(ensemble, 50, seed=1), 1)
    with SampleLoader(copy, 50, seed=1, cache=cache) as loader:
        feed = DeviceCache(loader, "cpu", copy.raw_nbytes)
        epoch(feed, 0)
        loader.close()
        shutil.rmtree(copy.path)
        if cache != "decoded":  # which would decode them again
            assert epoch(feed, 1) == expected


def test_an_epoch_left_early_and_two_at_once(counted):
    ensemble, _ = counted
    loader = SampleLoader(ensemble, 8, seed=3)
    expected = [epoch(loader, number) for number in range(2)]
    cache = DeviceCache(loader, "cpu", ensemble.raw_nbytes)
    cache.set_epoch(0)
    next(iter(cache))
    pairs = zip(iter(cache), iter(cache), strict=True)
    for (_, wanted), ((_, one), (_, other)) in zip(expected[0], pairs, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes() == wanted
    assert epoch(cache, 1) == expected[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cache_on_a_gpu(counted):
    loader = SampleLoader(counted[0], 8, seed=3, allocate=page_locked)
    for kept in (0, 20, 45):
        cache = DeviceCache(loader, "cuda", kept * 4 * 2 * 4 * 3)
        for number in range(3):
            cache.set_epoch(number)
            found = [[values.cpu().numpy().tobytes() for values in batch] for batch in cache]
            assert found == epoch(loader, number)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu():
    assert torch.from_numpy(page_locked((2, 3))).is_pinned()
    found = [fields.sum() for _, fields in on_device(batches(5), "cuda")]
    assert [float(total) for total in found] == [400 * i for i in range(5)]
