"""Batches on a device: the next one is copied there while the caller computes with this one.

A GPU copies from page-locked memory by itself, and from other memory only while a processor waits.
So a loader takes page-locked buffers, and these are kept until their copies are done. What fits
stays on the device, decoded.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from surrlab.loading.loader import SampleLoader

Arrays = tuple[np.ndarray, ...]
Tensors = tuple[torch.Tensor, ...]


def page_locked(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised float32 array for a loader's ``allocate=``; page-locked where CUDA is."""
    pin = torch.cuda.is_available()
    return torch.empty(shape, dtype=torch.float32, pin_memory=pin).numpy()


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
    stream = _own_stream(device)

    def copy(arrays: Arrays) -> Tensors:
        ahead = stream is not None
        return tuple(torch.from_numpy(a).to(device, non_blocking=ahead) for a in arrays)

    return _copied(batches, copy, device, stream)


class DeviceCache:
    """Batches of a loader on a device that keeps as many decoded samples as fit.

    An iteration is an epoch of the loader: the same batches in the same order. The samples that it
    meets first stay on the device while there is room. From then on only the others are read,
    decoded and copied there, one batch ahead as by `on_device`::

        with SampleLoader(ensemble, 64, seed=0, allocate=page_locked) as loader:
            batches = DeviceCache(loader, "cuda", 8 << 30)
            for epoch in range(250):
                batches.set_epoch(epoch)
                for inputs, fields in batches:
                    ...

    Each of several ranks keeps the samples that it met; another epoch brings it others.

    Parameters
    ----------
    loader : SampleLoader
        One without a cache of its own, or with ``cache="memory"``.
    device : torch.device or str
        Also the CPU.
    nbytes : int
        Decoded bytes to keep. Beside them the device holds what `on_device` needs, and a batch.
    """

    def __init__(self, loader: SampleLoader, device: torch.device | str, nbytes: int):
        self.loader, self.device = loader, torch.device(device)
        n = len(loader.inputs)
        self._capacity = max(0, min(n, nbytes // (4 * math.prod(loader.sample_shape))))
        self._n_kept, self._rows = 0, np.full(n, -1)  # of each sample: -1 if it is not kept
        # Rows that stay, and after them those that one batch needs.
        self._table: torch.Tensor | None = None
        self._stream = _own_stream(self.device)
        self.batch_size, self.set_epoch = loader.batch_size, loader.set_epoch

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Tensors]:
        order = self.loader.order()
        lacking = [self._rows[samples] < 0 for samples in order]
        read = self.loader.read([s[new] for s, new in zip(order, lacking, strict=True)])
        batches = zip(order, lacking, read, strict=True)
        return _copied(batches, self._gathered, self.device, self._stream)

    def _gathered(self, batch: tuple[np.ndarray, np.ndarray, Arrays]) -> Tensors:
        """A batch out of rows that are kept, and of fields that were read."""
        samples, lacking, (_, fields) = batch
        if self._table is None:
            longest = max(map(len, self.loader.order()))
            shape = self._capacity + longest, *self.loader.sample_shape
            self._table = torch.empty(shape, dtype=torch.float32, device=self.device)
        start, end = self._n_kept, min(self._n_kept + len(fields), self._capacity)
        passing = slice(self._capacity, self._capacity + len(fields) - (end - start))
        rows = self._rows[samples]
        rows[lacking] = np.r_[start:end, passing]
        ahead = self._stream is not None
        # These two first: what is not page-locked waits for the copies before it.
        inputs, places = (
            torch.from_numpy(a).to(self.device, non_blocking=ahead)
            for a in (self.loader.inputs[samples], rows)
        )
        kept, passed = torch.from_numpy(fields).tensor_split([end - start])
        self._table[start:end].copy_(kept, non_blocking=ahead)
        self._table[passing].copy_(passed, non_blocking=ahead)
        self._n_kept = end  # before an interrupt could let others take rows that are known
        self._rows[samples[lacking][: end - start]] = np.arange(start, end)
        return inputs, self._table.index_select(0, places)


def _copied(
    batches: Iterable[Any],
    copy: Callable[[Any], Tensors],
    device: torch.device,
    stream: torch.cuda.Stream | None,
) -> Iterator[Tensors]:
    """What `copy` makes of each batch; on a stream, one batch ahead."""
    if stream is None:
        return map(copy, batches)
    return one_ahead(batches, *_copies(device, copy, stream))


def _own_stream(device: torch.device) -> torch.cuda.Stream | None:
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def one_ahead(
    batches: Iterable[Any],
    start: Callable[[Any], tuple[Tensors, Any]],
    use: Callable[[Tensors, Any], None],
) -> Iterator[Tensors]:
    """Yield what `start` makes of each batch, after it has been called with the next one too.

    Parameters
    ----------
    batches : iterable
        Of tuples of arrays, say.
    start : callable
        Begins to copy; returns the copies and an event with a method ``synchronize``.
    use : callable
        Makes whoever gets the copies wait for the event.

    Yields
    ------
    tuple of torch.Tensor
        A batch's arrays are kept until ``synchronize`` of its event has returned.
    """
    waiting: deque[tuple[Any, Tensors, Any]] = deque()
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


def _copies(
    device: torch.device, copy: Callable[[Any], Tensors], stream: torch.cuda.Stream
) -> tuple[Callable, Callable]:
    """How to copy to a GPU on a stream of its own, and to wait for that in the current one."""

    def start(batch: Any) -> tuple[Tensors, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            copies = copy(batch)
        return copies, stream.record_event()

    def use(copies: Tensors, event: torch.cuda.Event) -> None:
        current = torch.cuda.current_stream(device)
        current.wait_event(event)
        for copy in copies:  # or their memory might be given away while this stream computes
            copy.record_stream(current)

    return start, use
