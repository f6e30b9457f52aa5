import contextlib
import dataclasses
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from surrlab import compression
from surrlab.compression import codecs
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.hdf5_filters import fletcher32
from surrlab.data import native
from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import open_native
from surrlab.loading import reader
from surrlab.loading.bandwidth import Bandwidth
from surrlab.loading.index import ChunkIndex, NotInPlaceError
from surrlab.loading.loader import SampleLoader


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def compressed(ensemble, pool, tmp_path_factory):
    path = tmp_path_factory.mktemp("loading") / "compressed"
    return compression.search_and_compress(ensemble, 0.02, path, executor=pool)


@pytest.fixture(params=["raw", "compressed"])
def data(request, ensemble, compressed):
    return ensemble if request.param == "raw" else compressed


@pytest.fixture
def copy(data, tmp_path):
    return open_native(shutil.copytree(data.path, tmp_path / "copy"))


@pytest.fixture
def made(ensemble, pool, tmp_path):
    """Ensembles of one simulation with a few samples, their fields written by the test."""

    def make(write_field, n_times=3, dtype="float32"):
        header = native.Header.of(ensemble)
        header = native.Header(header.fields, header.grid, header.inputs, dtype)
        run = Run(0, ensemble.runs[2].parameters, ensemble.runs[2].times[:n_times])
        values = ensemble.read_simulation(2)[:n_times]

        def write(path):
            with h5py.File(path, "w") as file:
                for i, name in enumerate(ensemble.field_names):
                    write_field(file, name, values[:, i])

        path = tmp_path / "made"
        return native.build(path, header, {}, {0: run}, {0: write}, executor=pool, label="test")

    return make


def whole(data):
    return np.concatenate([data.read_simulation(s) for s in data.simulations])


def everything(loader):
    inputs, fields = zip(*loader, strict=True)
    return np.concatenate(inputs), np.concatenate(fields)


def resources():
    """Threads of loaders, and open files of ensembles."""
    threads = sum(thread.name.startswith("surrlab-loader") for thread in threading.enumerate())
    files = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # that of the listing itself
            pass
    return threads, sum(file.endswith(".h5") for file in files)


def damage(path, name, time):
    """Flip bytes in the middle of one stored field."""
    with h5py.File(path) as file:
        dataset, row = file[name], time
        for part in dataset.virtual_sources() if dataset.is_virtual else []:
            blocks = part.vspace.get_select_hyper_blocklist()[:, :, 0]
            times = [i for start, end in blocks for i in range(start, end + 1)]
            if time in times:
                dataset, row = file[part.dset_name], times.index(time)
        chunk = dataset.id.get_chunk_info_by_coord((row, 0, 0))
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        old = file.read(2)
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(bytes(255 - byte for byte in old))


def test_in_order_it_gives_what_hdf5_gives(data):
    with SampleLoader(data, 64, seed=0, shuffle=False) as loader:
        inputs, fields = everything(loader)
    assert inputs.dtype == fields.dtype == np.float32
    np.testing.assert_array_equal(inputs, data.inputs)
    np.testing.assert_array_equal(fields, whole(data))


def test_an_epoch_has_every_sample_once_with_its_own_inputs(data):
    train, _ = data.split(0.5, seed=3)
    with SampleLoader(train, 32, seed=5) as loader:
        batches = list(loader)
    assert len(loader) == len(batches) == 5
    assert [len(fields) for _, fields in batches] == [32, 32, 32, 32, 25]
    where = {tuple(row): i for i, row in enumerate(train.inputs)}
    order = [where[tuple(row)] for inputs, _ in batches for row in inputs]
    assert sorted(order) == list(range(153)) != order
    truth = whole(train)
    np.testing.assert_array_equal(np.concatenate([f for _, f in batches]), truth[order])


def test_order_depends_on_seed_and_epoch_and_not_on_threads(compressed):
    def epoch(seed, number, threads):
        with SampleLoader(compressed, 50, seed=seed, threads=threads) as loader:
            loader.set_epoch(number)
            return everything(loader)

    first = epoch(1, 0, threads=1)
    for threads in (1, 2, 7):
        np.testing.assert_array_equal(epoch(1, 0, threads)[0], first[0])
        np.testing.assert_array_equal(epoch(1, 0, threads)[1], first[1])
    orders = {epoch(seed, number, 2)[0].tobytes() for seed in (1, 2) for number in (0, 1)}
    assert len(orders) == 4


@pytest.mark.parametrize("batch_size, last", [(2, 2), (61, 62), (64, 50), (1000, 306)])
def test_ranks_share_every_batch_and_every_sample_once(compressed, batch_size, last):
    rows = compressed.inputs.tolist()
    whole = [inputs.tolist() for inputs, _ in SampleLoader(compressed, batch_size, seed=1)]
    if len(whole[-1]) == 1:  # fewer than there are ranks
        whole[-2:] = [whole[-2] + whole[-1]]
    ranks = [SampleLoader(compressed, batch_size, seed=1, rank=r, world_size=2) for r in (0, 1)]
    shares = [[inputs.tolist() for inputs, _ in loader] for loader in ranks]
    assert len(ranks[0]) == len(ranks[1]) == len(whole) and len(whole[-1]) == last
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(parts[0] + parts[1]) == sorted(batch)
        assert 0 <= len(parts[0]) - len(parts[1]) <= 1
    assert sorted(row for share in shares for batch in share for row in batch) == sorted(rows)


@pytest.mark.parametrize("field, time", [("density", 0), ("material", 50), ("velocity_y", 20)])
def test_a_damaged_field_is_named_and_stops_the_epoch(copy, field, time):
    damage(copy.file(3), field, time)
    with SampleLoader(copy, 16, seed=0) as loader:
        with pytest.raises(OSError, match=rf"00003\.h5: simulation 3, time {time}, field {field}:"):
            everything(loader)
        with pytest.raises(OSError, match="checksum"):
            everything(loader)


def test_a_file_cut_short_after_the_start_is_named(copy):
    with SampleLoader(copy, 16, seed=0) as loader:
        os.truncate(copy.file(5), 9000)
        with pytest.raises(OSError, match=r"00005\.h5: simulation 5, .* has changed"):
            everything(loader)


def test_a_file_cut_short_or_gone_before_the_start_is_named(copy):
    os.truncate(copy.file(5), 9000)
    with pytest.raises(OSError, match=r"00005\.h5: .*truncated"):
        SampleLoader(copy, 16, seed=0)
    copy.file(1).unlink()
    with pytest.raises(FileNotFoundError, match=r"00001\.h5"):
        SampleLoader(copy, 16, seed=0)


def test_a_field_that_is_not_there_is_named(copy):
    with h5py.File(copy.file(0), "r+") as file:
        del file["energy"]
    with pytest.raises(KeyError, match=r"00000\.h5 has no field 'energy'"):
        SampleLoader(copy, 16, seed=0)


def contiguous(file, name, values):
    file[name] = values


def several_in_a_chunk(file, name, values):
    file.create_dataset(name, data=values, chunks=(2, *values.shape[1:]))


def unchecked(file, name, values):
    file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]))


def filtered_by_hdf5(file, name, values):
    file.create_dataset(
        name, data=values, chunks=(1, *values.shape[1:]), fletcher32=True, **Zfp(0.01).h5_filter()
    )


def partly_left_out(file, name, values):
    """As HDF5 does with a chunk that would not shrink: its mask names the filters left out."""
    filters = Zfp(0.01).h5_filter()
    chunk = (1, *values.shape[1:])
    dataset = file.create_dataset(
        name, values.shape, "f4", chunks=chunk, fletcher32=True, **filters
    )
    raw, stream = values[0].tobytes(), Zfp(0.01).encode(values[1])
    dataset.id.write_direct_chunk((0, 0, 0), raw, filter_mask=0b11)
    dataset.id.write_direct_chunk((1, 0, 0), stream, filter_mask=0b10)
    raw = values[2].tobytes()
    checked = raw + fletcher32(raw).to_bytes(4, "little")
    dataset.id.write_direct_chunk((2, 0, 0), checked, filter_mask=0b01)


@pytest.mark.parametrize(
    "write", [contiguous, several_in_a_chunk, unchecked, filtered_by_hdf5, partly_left_out]
)
def test_other_layouts_are_read_as_hdf5_reads_them(made, write):
    data = made(write)
    _, fields = everything(SampleLoader(data, 2, seed=0, shuffle=False))
    np.testing.assert_array_equal(fields, data.read_simulation(0))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"chunks": (1, 24, 8), "compression": "gzip"}, "deflate"),
        ({"chunks": (3, 24, 8), "fletcher32": True}, r"chunks of \(3, 24, 8\)"),
        ({"chunks": (1, 24, 8), "dtype": ">f4"}, "not native float32"),
        ({"chunks": (1, 24, 8), "dtype": "f8"}, "not native float32"),
    ],
)
@pytest.mark.parametrize("cache", [None, "memory", "decoded"])
def test_layouts_that_only_hdf5_can_read_are_read_by_it(
    made, monkeypatch, arguments, message, cache
):
    monkeypatch.delitem(codecs._by_filter, 1, raising=False)  # another test's codec reads deflate
    data = made(lambda file, name, values: file.create_dataset(name, data=values, **arguments))
    with pytest.raises(NotInPlaceError, match=message):
        ChunkIndex(data)
    with pytest.warns(UserWarning, match=message):
        loader = SampleLoader(data, 2, seed=0, shuffle=False, cache=cache)
    assert not loader.reads_in_place
    with loader:
        for _ in range(2):
            np.testing.assert_array_equal(everything(loader)[1], data.read_simulation(0))
    with pytest.raises(ValueError, match="cannot be slowed down"):
        SampleLoader(data, 2, seed=0, bandwidth=Bandwidth(1e6))


@pytest.fixture
def lines():
    """Simulations of 20 and of 30 samples that are arrays already, on a line, in float64."""
    values = np.random.default_rng(0).normal(size=(50, 2, 33))
    return InMemoryEnsemble(
        name="lines",
        fields=(Field("u", "m/s"), Field("p")),
        grid=Grid.uniform({"x": (33, 0.0, 1.0)}, unit="m"),
        input_names=("a", "time"),
        input_units=("1", "s"),
        runs=(Run(7, (0.5,), tuple(range(20))), Run(3, (1.5,), tuple(range(30)))),
        dtype="float64",
        metadata={},
        arrays={7: values[:20], 3: values[20:]},
    )


def test_an_ensemble_in_memory_is_loaded_without_a_warning(lines):
    with SampleLoader(lines, 16, seed=0, shuffle=False, threads=3) as loader:
        inputs, fields = everything(loader)
    assert not loader.reads_in_place and fields.dtype == np.float32
    np.testing.assert_array_equal(inputs, lines.inputs)
    np.testing.assert_array_equal(fields, whole(lines).astype(np.float32))


def test_ranks_and_epochs_of_a_library_are_those_of_files(lines, pool, tmp_path):
    lossless = compression.compress(lines, 0, tmp_path / "x", executor=pool)
    for rank in range(2):
        orders = []
        for data in (lines, lossless):
            with SampleLoader(data, 16, seed=4, rank=rank, world_size=2) as loader:
                loader.set_epoch(3)
                orders.append(everything(loader))
        for one, other in zip(*orders, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tolerance", [0, 1e-3])
def test_float64_of_ragged_simulations_on_a_line_is_rounded_for_training(
    lines, pool, tmp_path, tolerance
):
    made = compression.compress(lines, tolerance, tmp_path / "x", executor=pool)
    with SampleLoader(made, 16, seed=0, shuffle=False) as loader:
        inputs, fields = everything(loader)
    assert loader.reads_in_place and fields.dtype == np.float32
    np.testing.assert_array_equal(inputs, lines.inputs)
    np.testing.assert_array_equal(fields, whole(made).astype(np.float32))


def test_closed_while_a_library_reads(lines, monkeypatch):
    class Slow(InMemoryEnsemble):
        def read(self, sample):
            threading.Event().wait(0.01)
            return super().read(sample)

    slow = Slow(**{f.name: getattr(lines, f.name) for f in dataclasses.fields(lines)})
    loader = SampleLoader(slow, 8, seed=0)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    with pytest.raises(RuntimeError, match="closed while"):
        list(iterator)


def test_a_field_that_was_never_written_is_named(made):
    def write(file, name, values):
        dataset = file.create_dataset(name, values.shape, "f4", chunks=(1, 24, 8))
        dataset[: 2 if name == "pressure" else 3] = values[: 2 if name == "pressure" else 3]

    data = made(write)
    for load in (ChunkIndex, lambda data: SampleLoader(data, 2, seed=0)):
        with pytest.raises(OSError, match=r"00000\.h5.*/pressure has fields .* never written"):
            load(data)


def test_an_iteration_left_early_leaves_nothing_behind(data):
    before = resources()
    loader = SampleLoader(data, 8, seed=0)
    for _ in loader:
        break
    iterator = iter(loader)
    next(iterator)
    assert resources() > before
    del iterator
    loader.close()
    assert resources() == before
    next(iter(loader))  # it starts again
    del loader
    assert resources() == before


def test_an_error_in_the_caller_leaves_nothing_behind(data):
    before = resources()
    with pytest.raises(ZeroDivisionError), SampleLoader(data, 8, seed=0) as loader:
        for _ in loader:
            raise ZeroDivisionError
    assert resources() == before


def child(loader, connection):
    connection.send_bytes(b"".join(fields.tobytes() for _, fields in loader))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_reads_the_same(compressed, method):
    with SampleLoader(compressed, 64, seed=0) as loader:
        expected = b"".join(fields.tobytes() for _, fields in loader)  # threads, files are there
        context = multiprocessing.get_context(method)
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(loader, send))
        process.start()
        assert receive.poll(60) and receive.recv_bytes() == expected
        process.join()
        assert process.exitcode == 0
        assert b"".join(fields.tobytes() for _, fields in loader) == expected


def test_a_loader_pickles_while_it_is_read(compressed):
    loader = SampleLoader(compressed, 64, seed=0)
    expected = everything(loader)
    np.testing.assert_array_equal(everything(pickle.loads(pickle.dumps(loader)))[1], expected[1])


def test_more_files_than_may_stay_open(compressed, monkeypatch):
    expected = everything(SampleLoader(compressed, 20, seed=0))
    monkeypatch.setattr(reader, "max_open_files", lambda: 2)
    loader = SampleLoader(compressed, 20, seed=0)
    before = resources()[1]
    np.testing.assert_array_equal(everything(loader)[1], expected[1])
    assert resources()[1] == before + 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"threads": 0},
        {"batch_size": 0},
        {"rank": 2, "world_size": 2},
        {"world_size": 9},
        {"cache": "disk"},
        {"batch_size": 400, "world_size": 307},  # of 306 samples
    ],
)
def test_numbers_that_make_no_sense_are_refused(ensemble, arguments):
    with pytest.raises(ValueError, match=r"thread|shared out|cache"):
        SampleLoader(ensemble, **{"batch_size": 8, "seed": 0} | arguments)


def reads(monkeypatch):
    """What is read from now on, as (nbytes, offset)."""
    calls, read = [], Bandwidth.read

    def count(bandwidth, file, buffer, offset):
        calls.append((len(buffer), offset))
        return read(bandwidth, file, buffer, offset)

    monkeypatch.setattr(Bandwidth, "read", count)
    return calls


def test_memory_keeps_stored_bytes_and_reads_each_file_once(copy, monkeypatch):
    expected = everything(SampleLoader(copy, 16, seed=0))
    calls = reads(monkeypatch)
    with SampleLoader(copy, 16, seed=0, cache="memory", threads=3) as loader:
        first = everything(loader)
        assert sum(n for n, _ in calls) == copy.file_nbytes
        assert len(calls) == len(copy.simulations)
        shutil.rmtree(copy.path)
        second = everything(loader)
    assert len(calls) == len(copy.simulations)
    for got in (first, second):
        np.testing.assert_array_equal(got[1], expected[1])


def test_decoded_samples_are_read_once_and_come_in_the_order_of_any_epoch(copy, monkeypatch):
    loaders = [SampleLoader(copy, 16, seed=0, cache=cache) for cache in (None, "decoded")]
    expected = []
    for epoch in (0, 1):
        loaders[0].set_epoch(epoch)
        expected.append(everything(loaders[0]))
    calls = reads(monkeypatch)
    with loaders[1] as loader:
        for epoch in (0, 1):
            loader.set_epoch(epoch)
            for got, wanted in zip(everything(loader), expected[epoch], strict=True):
                np.testing.assert_array_equal(got, wanted)
            if epoch == 0:
                shutil.rmtree(copy.path)
    assert 0 < sum(n for n, _ in calls) <= copy.file_nbytes
    assert loader._decoded is None  # closed


@pytest.mark.parametrize("cache", ["memory", "decoded"])
def test_damage_is_named_from_memory_too(copy, cache):
    damage(copy.file(3), "density", 7)
    with SampleLoader(copy, 16, seed=0, cache=cache) as loader:
        with pytest.raises(OSError, match=r"simulation 3, time 7, field density: the checksum"):
            everything(loader)


def test_neighbours_on_disk_are_one_read(data, monkeypatch):
    calls = reads(monkeypatch)
    with SampleLoader(data, 51, seed=0, shuffle=False, threads=1) as loader:
        everything(loader)
    assert len(calls) < 2 * len(data.simulations)  # 306 fields in each


def test_buffers_are_used_again_once_nobody_holds_them(data):
    with SampleLoader(data, 8, seed=0) as loader:
        places = [fields.ctypes.data for _, fields in loader]
    assert len(places) == 39 and len(set(places)) <= reader.PREFETCH + 3


def test_whoever_holds_a_view_keeps_it(data):
    import torch  # takes seconds in a process that is spawned

    with SampleLoader(data, 8, seed=0) as loader:
        views, copies = [], []
        for _, fields in loader:
            views.append(
                torch.from_numpy(fields)[:5, 2].numpy() if len(views) % 2 else fields[0][1:]
            )
            copies.append(views[-1].copy())
            del fields
        everything(loader)
    for view, copied in zip(views, copies, strict=True):
        np.testing.assert_array_equal(view, copied)


def test_the_caller_may_allocate(data):
    made = []

    def allocate(shape):
        made.append(np.zeros(shape, np.float32))
        return made[-1]

    with SampleLoader(data, 50, seed=0, allocate=allocate) as loader:
        assert all(any(np.shares_memory(fields, a) for a in made) for _, fields in loader)
    assert {array.shape for array in made} == {(50, 6, 24, 8)}


@pytest.mark.parametrize("cache", [None, "memory"])
def test_a_file_changed_in_place_is_noticed(copy, cache):
    with SampleLoader(copy, 16, seed=0, cache=cache) as loader:
        if cache is None:
            everything(loader)
        with copy.file(2).open("r+b") as file:
            file.write(b"\x89")
        with pytest.raises(OSError, match=r"simulation 2, .* has changed since this loader"):
            everything(loader)


def test_a_file_replaced_while_open_is_read_as_it_was(copy):
    with SampleLoader(copy, 16, seed=0) as loader:
        expected = everything(loader)
        shutil.copy(copy.file(1), copy.path / "other")
        os.replace(copy.path / "other", copy.file(2))
        np.testing.assert_array_equal(everything(loader)[1], expected[1])
        loader.close()
        with pytest.raises(OSError, match=r"simulation 2, .* has changed since this loader"):
            everything(loader)


def test_a_loader_that_failed_goes_with_its_last_reference(copy):
    damage(copy.file(3), "density", 7)
    before = resources()
    gc.collect()
    gc.disable()
    try:
        loader = SampleLoader(copy, 16, seed=0)
        with contextlib.suppress(OSError):
            everything(loader)
        assert resources() > before
        del loader
        assert resources() == before
    finally:
        gc.enable()


def test_an_error_of_the_disk_is_named(data, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    with SampleLoader(data, 16, seed=0, shuffle=False, threads=1) as loader:
        next(iter(loader))
        monkeypatch.setattr(Bandwidth, "read", fail)
        with pytest.raises(OSError, match=r"00000\.h5: simulation 0, time .*: \[Errno 5\]"):
            everything(loader)


@pytest.mark.parametrize("threads", [1, 100])
@pytest.mark.parametrize("batch_size", [1, 1000])
def test_a_single_sample(made, threads, batch_size):
    data = made(filtered_by_hdf5, n_times=1)
    ((inputs, fields),) = SampleLoader(data, batch_size, seed=0, threads=threads)
    np.testing.assert_array_equal(fields, data.read_simulation(0))
    assert inputs.shape == (1, 4)


def test_a_chunk_that_was_stored_too_short(made):
    def write(file, name, values):
        shape, chunks = values.shape, (1, *values.shape[1:])
        dataset = file.create_dataset(name, shape, "f4", chunks=chunks, **Zfp(1e-3).h5_filter())
        for time, field in enumerate(values):
            stream = Zfp(1e-3).encode(field)
            cut = name == "energy" and time == 1
            dataset.id.write_direct_chunk((time, 0, 0), stream[: -16 if cut else None])

    with pytest.raises(OSError, match=r"time 1, field energy: .* beyond its end"):
        everything(SampleLoader(made(write), 2, seed=0))


def test_a_filter_that_is_not_installed_is_named(made):
    def write(file, name, values):
        space, options = (
            h5py.h5s.create_simple(values.shape),
            h5py.h5p.create(h5py.h5p.DATASET_CREATE),
        )
        options.set_chunk((1, *values.shape[1:]))
        options.set_filter(299, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_FLOAT, space, options)
        for time, field in enumerate(values):
            file[name].id.write_direct_chunk((time, 0, 0), field.tobytes())

    data = made(write)
    with pytest.warns(UserWarning, match=r"the HDF5 filters 299 are not"):
        loader = SampleLoader(data, 2, seed=0)
    lacking = r"00000\.h5: field density needs the HDF5 filter .*299"
    with loader, pytest.raises(OSError, match=lacking):
        everything(loader)


@pytest.mark.parametrize("cache", [None, "decoded"])
def test_closed_while_it_is_iterated(data, cache):
    loader = SampleLoader(data, 8, seed=0, bandwidth=Bandwidth(latency=0.01), cache=cache)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    with pytest.raises(RuntimeError, match="closed while"):
        list(iterator)
    assert loader._reader is None  # and no threads were started again


INTERRUPTED = """
import sys, threading
from surrlab.data.native import open_native
from surrlab.loading import Bandwidth, SampleLoader

loader = SampleLoader(open_native(sys.argv[1]), 64, seed=0, bandwidth=Bandwidth(1e6))
try:
    for number, _ in enumerate(loader):
        print(number, flush=True)
except KeyboardInterrupt:
    loader.close()
    print("threads", threading.active_count())
    raise
"""


def test_an_interrupt_ends_it_at_once(compressed):
    program = [sys.executable, "-c", INTERRUPTED, compressed.path]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert out.splitlines()[-1] == b"threads 1"
    assert error.strip().endswith(b"KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
