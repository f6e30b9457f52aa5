import weakref

import numpy as np
import pytest
import torch

from surrlab.loading import on_device, page_locked
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu():
    assert torch.from_numpy(page_locked((2, 3))).is_pinned()
    found = [fields.sum() for _, fields in on_device(batches(5), "cuda")]
    assert [float(total) for total in found] == [400 * i for i in range(5)]
