"""Batches for training, straight from the files of an ensemble (Fig. 2, workflow 2; Section VI).

HDF5 holds one lock for all threads of a process, so it is asked only once, where each field lies.
After that the bytes come by `os.pread` and are decoded by threads, straight into the batch. Files
stay standard HDF5; raw ones take the same path.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import h5py
import numpy as np

from surrlab import codecs
from surrlab.ensembles import Ensemble

PREFETCH = 2
"""Batches in the making while the caller computes."""

OPEN_FILES = 512
"""Files kept open; those beyond are opened for each sample."""


class SampleLoader:
    """Iterate over the samples of an ensemble in batches; one iteration is one epoch.

    Yields ``(inputs, fields)``, float32 arrays ``(b, n)`` and ``(b, n_fields, ny, nx)``. The order
    depends on seed and epoch alone. Threads and open files last until `close`, the end of a
    ``with`` block, or the loader's own end; the loader pickles, and survives a fork, without them.

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
        Threads that read and decode; by default as many as this process has cores.
    rank, world_size : int
        Which share of every batch this process gets, of how many.

    Raises
    ------
    ValueError
        If a file's layout can be read by HDF5 only; or batch size, threads or rank make no sense.
    OSError
        If a file cannot be read, or (while iterating) a field fails its checksum.
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
    ):
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if threads < 1:
            raise ValueError(f"a loader needs at least one thread, not {threads}")
        if not 0 <= rank < world_size <= batch_size:
            raise ValueError(
                f"batches of {batch_size} cannot be shared out to rank {rank} of {world_size}"
            )
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.threads, self.rank, self.world_size, self.epoch = threads, rank, world_size, 0
        self._inputs = ensemble.inputs.reshape(-1, ensemble.inputs.shape[-1])
        self._index = _Index(ensemble)
        self._reader = None

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self._inputs) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the iterations that begin from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.arange(len(self._inputs))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        return self._batches(order)

    def _batches(self, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        starts = iter(range(0, len(order), self.batch_size))
        waiting = deque()
        try:
            while True:
                for start in itertools.islice(starts, 1 + PREFETCH - len(waiting)):
                    share = self._share(order[start : start + self.batch_size])
                    waiting.append((share, *self._start(share)))
                if not waiting:
                    return
                share, fields, parts = waiting[0]
                for part in parts:
                    part.result()
                waiting.popleft()
                yield self._inputs[share], fields
        finally:
            for _, _, parts in waiting:
                for part in parts:
                    part.cancel()

    def _share(self, batch: np.ndarray) -> np.ndarray:
        """This rank's samples; a last batch with fewer samples than ranks gives some twice."""
        share = batch[self.rank :: self.world_size]
        return share if len(share) else batch[[self.rank % len(batch)]]

    def _start(self, samples: np.ndarray) -> tuple[np.ndarray, list[Future]]:
        """Set the threads to decode `samples` into a new batch, some samples each."""
        reader = self._reader
        if reader is None or reader.pid != os.getpid():
            self._reader = reader = _Reader(self._index, self.threads)
            weakref.finalize(self, reader.close)
        fields = np.empty((len(samples), *self._index.shape), np.float32)
        cuts = np.linspace(0, len(samples), min(self.threads, len(samples)) + 1).astype(int)
        return fields, [
            reader.pool.submit(reader.decode, samples[a:b].tolist(), fields[a:b])
            for a, b in itertools.pairwise(cuts)
        ]

    def close(self) -> None:
        """End the threads and close the files; another iteration starts them again."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def __enter__(self) -> SampleLoader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_reader": None}


class _Reader:
    """The threads and open files of one process."""

    def __init__(self, index: _Index, threads: int):
        self.index, self.pid = index, os.getpid()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="surrlab-loader")
        self._files, self._lock = {}, threading.Lock()

    def decode(self, samples: list[int], out: np.ndarray) -> None:
        """Read, check and decode samples into `out` (len(samples), n_fields, ny, nx)."""
        index = self.index
        shape = index.shape[1:]
        for sample, fields in zip(samples, out, strict=True):
            simulation, time = divmod(sample, index.n_times)
            file, kept = self._open(simulation)
            try:
                for i, (offset, nbytes, kind) in enumerate(index.entries[sample].tolist()):
                    codec, checked = index.kinds[kind]
                    try:
                        data = os.pread(file, nbytes, offset)
                        if len(data) != nbytes:
                            raise OSError(f"the file ends {nbytes - len(data)} bytes too early")
                        if checked:
                            data, stored = data[:-4], int.from_bytes(data[-4:], "little")
                            if codecs.fletcher32(data) != stored:
                                raise OSError("the checksum does not match; the file was damaged")
                        codec.decode(data, shape, out=fields[i])
                    except (OSError, ValueError) as error:
                        raise OSError(f"{index.name(simulation, time, i)}: {error}") from error
            finally:
                if not kept:
                    os.close(file)

    def _open(self, simulation: int) -> tuple[int, bool]:
        """Descriptor of a simulation's file, and whether it stays open."""
        with self._lock:
            if simulation in self._files:
                return self._files[simulation], True
            file = os.open(self.index.paths[simulation], os.O_RDONLY | os.O_CLOEXEC)
            if len(self._files) >= OPEN_FILES:
                return file, False
            self._files[simulation] = file
            return file, True

    def close(self) -> None:
        if self.pid != os.getpid():  # a fork's copy: the threads are not here
            return
        self.pool.shutdown(cancel_futures=True)
        while self._files:
            os.close(self._files.popitem()[1])


class _Index:
    """Where each field of each sample lies, and how it is stored; asked of HDF5 once.

    ``entries`` (samples, n_fields, 3) holds offset, bytes, and the position in ``kinds`` of the
    codec with its "a checksum follows".
    """

    def __init__(self, ensemble: Ensemble):
        n_simulations, self.n_times, *shape = ensemble.shape
        self.shape = tuple(shape)
        self.fields, self.simulations = ensemble.fields, ensemble.simulations
        self.paths = [ensemble.file(simulation) for simulation in ensemble.simulations]
        kinds = {}
        self.entries = np.full((n_simulations, self.n_times, len(self.fields), 3), -1)
        for path, entries in zip(self.paths, self.entries, strict=True):
            try:
                with h5py.File(path, "r") as file:
                    self._read(file, entries, kinds)
            except OSError as error:
                raise type(error)(f"{path}: {error}") from error
        self.kinds = list(kinds)
        for missing in np.argwhere(self.entries[..., 0] < 0):
            raise OSError(f"{self.name(*missing)} was never written")
        self.entries = self.entries.reshape(-1, len(self.fields), 3)

    def _read(self, file: h5py.File, entries: np.ndarray, kinds: dict) -> None:
        for i, name in enumerate(self.fields):
            if name not in file:
                raise KeyError(f"{file.filename} has no field {name!r}; it has {', '.join(file)}")
            if file[name].shape != (self.n_times, *self.shape[1:]):
                raise ValueError(
                    f"{file.filename}: {name} is {file[name].shape}, the ensemble's manifest says "
                    f"{(self.n_times, *self.shape[1:])}"
                )
            for time, offset, nbytes, kind in _locate(file[name]):
                entries[time, i] = offset, nbytes, kinds.setdefault(kind, len(kinds))

    def name(self, simulation: int, time: int, field: int) -> str:
        """What an error calls an entry."""
        return (
            f"{self.paths[simulation]}: simulation {self.simulations[simulation]}, time {time}, "
            f"field {self.fields[field]}"
        )


def _locate(dataset: h5py.Dataset) -> Iterator[tuple[int, int, int, tuple]]:
    """Yield (time, offset, bytes, (codec, checked)) of each plane of a dataset (time, y, x)."""
    if dataset.is_virtual:
        for part in dataset.virtual_sources():
            if part.file_name != ".":
                raise _unreadable(dataset, f"lies in another file, {part.file_name}")
            source = dataset.file[part.dset_name]
            times = _planes(part.vspace, dataset)
            stored = {row: rest for row, *rest in _locate(source)}
            for time, row in zip(times, _planes(part.src_space, source), strict=True):
                yield time, *stored[row]
        return
    if dataset.dtype != np.float32:
        raise _unreadable(dataset, f"is {dataset.dtype.str}, not native float32")
    nbytes = 4 * dataset.shape[1] * dataset.shape[2]
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None:
            raise _unreadable(dataset, "has no place in the file")
        for time in range(len(dataset)):
            yield time, start + time * nbytes, nbytes, (codecs.Raw(), False)
        return
    if dataset.chunks != (1, *dataset.shape[1:]):
        raise _unreadable(dataset, f"has chunks of {dataset.chunks}, not of one field each")
    chunks = []
    dataset.id.chunk_iter(chunks.append)
    kinds = {mask: codecs.stored_as(dataset, mask) for mask in {c.filter_mask for c in chunks}}
    for chunk in chunks:
        yield chunk.chunk_offset[0], chunk.byte_offset, chunk.size, kinds[chunk.filter_mask]


def _planes(space: h5py.h5s.SpaceID, dataset: h5py.Dataset) -> list[int]:
    """First indices of the whole planes ``[i, :, :]`` that a selection of `dataset` covers."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return list(range(len(dataset)))
    blocks = space.get_select_hyper_blocklist()
    last = np.array(dataset.shape[1:]) - 1
    if (blocks[:, 0, 1:] != 0).any() or (blocks[:, 1, 1:] != last).any():
        raise _unreadable(dataset, "is put together from parts of fields")
    return sorted(i for start, end in blocks[:, :, 0] for i in range(start, end + 1))


def _unreadable(dataset: h5py.Dataset, what: str) -> ValueError:
    return ValueError(
        f"{dataset.file.filename}: {dataset.name} {what}; only HDF5 itself can read it "
        "(Ensemble.read), or write it anew with compression.compress"
    )
