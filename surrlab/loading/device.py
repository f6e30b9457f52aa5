"""Batches on a device: the next one is copied there while the caller computes with this one.

A GPU copies from page-locked memory by itself, and from other memory only while a processor waits.
So a loader takes page-locked buffers, and these are kept until their copies are done.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

Arrays = tuple[np.ndarray, ...]
Tensors = tuple[torch.Tensor, ...]


def page_locked(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised float32 array for a loader's ``allocate=``; page-locked where CUDA is."""
    return torch.empty(shape, pin_memory=torch.cuda.is_available()).numpy()


def on_device(batches: Iterable[Arrays], device: torch.device | str) -> Iterator[Tensors]:
    """Yield batches of arrays as tensors on a device.

    To a GPU the next batch is copied while the caller computes with this one::

        with SampleLoader(ensemble, 64, seed=0, allocate=page_locked) as loader:
            for inputs, fields in on_device(loader, "cuda"):
                ...

    Parameters
    ----------
    batches : iterable of tuples of arrays
        A `SampleLoader`, say.
    device : torch.device or str
        On the CPU, tensors share the arrays' memory.

    Yields
    ------
    tuple of torch.Tensor
        The arrays of a batch. On a GPU, copies that the current stream may use.
    """
    device = torch.device(device)
    if device.type != "cuda":
        for arrays in batches:
            yield tuple(torch.from_numpy(array).to(device) for array in arrays)
        return
    yield from one_ahead(batches, *_copies(device))


def one_ahead(
    batches: Iterable[Arrays],
    start: Callable[[Arrays], tuple[Tensors, Any]],
    use: Callable[[Tensors, Any], None],
) -> Iterator[Tensors]:
    """Yield what `start` makes of each batch, after it has been called with the next one too.

    Parameters
    ----------
    batches : iterable of tuples of arrays
    start : callable
        Begins to copy; returns the copies and an event with a method ``synchronize``.
    use : callable
        Makes whoever gets the copies wait for the event.

    Yields
    ------
    tuple of torch.Tensor
        Arrays are kept until ``synchronize`` of their event has returned.
    """
    waiting: deque[tuple[Arrays, Tensors, Any]] = deque()
    try:
        for arrays in itertools.chain(batches, [None]):
            if arrays is not None:
                waiting.append((arrays, *start(arrays)))
                if len(waiting) == 1:
                    continue
            if waiting:
                tensors, event = waiting[0][1:]
                use(tensors, event)
                yield tensors
                del tensors
                event.synchronize()
                waiting.popleft()  # from now on a loader may fill these arrays again
    finally:
        for _, _, event in waiting:
            event.synchronize()


def _copies(device: torch.device) -> tuple[Callable, Callable]:
    """How to copy to a GPU on a stream of its own, and to wait for that in the current one."""
    stream = torch.cuda.Stream(device)

    def start(arrays: Arrays) -> tuple[Tensors, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            copies = tuple(torch.from_numpy(a).to(device, non_blocking=True) for a in arrays)
        return copies, stream.record_event()

    def use(copies: Tensors, event: torch.cuda.Event) -> None:
        current = torch.cuda.current_stream(device)
        current.wait_event(event)
        for copy in copies:  # or their memory might be given away while this stream computes
            copy.record_stream(current)

    return start, use
