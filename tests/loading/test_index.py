import dataclasses
import json
import os
import shutil

import h5py
import numpy as np
import pytest
from counted import Counted

from surrlab import _files
from surrlab.compression import codecs
from surrlab.data import native
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Samples
from surrlab.data.native import NativeEnsemble, open_native
from surrlab.data.stored import StoredChunk
from surrlab.loading import index as index_module
from surrlab.loading.index import CACHE, ChunkIndex, NotInPlaceError


@pytest.fixture
def data(ensemble, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return open_native(shutil.copytree(ensemble.path, tmp_path / "data"))


@pytest.fixture
def asked(monkeypatch):
    """Names of the files that HDF5 is asked about."""
    names, whole = [], NativeEnsemble.chunks

    def chunks(ensemble, file):
        names.append(file.name)
        return whole(ensemble, file)

    monkeypatch.setattr(NativeEnsemble, "chunks", chunks)
    return names


def same(one, other):
    samples = np.arange(len(one.samples))
    a, b = one.chunks(samples), other.chunks(samples)
    encodings = [[i.encodings[e] for e in c["encoding"]] for i, c in ((one, a), (other, b))]
    names = [name for name in a.dtype.names if name != "encoding"]
    return encodings[0] == encodings[1] and all(np.array_equal(a[n], b[n]) for n in names)


def test_chunks_are_in_disk_order_and_hold_what_they_say(data):
    index = ChunkIndex(data)
    found = index.chunks(np.array([60, 3, 59]))
    assert (np.diff(found["file"]) >= 0).all()
    assert all((np.diff(found["offset"][found["file"] == f]) > 0).all() for f in (0, 1))
    for chunk in found:
        row, field = divmod(int(chunk["slot"]), 6)
        simulation, time = divmod([60, 3, 59][row], 51)
        name = f"simulation {simulation}, time {time}, field {data.field_names[field]}"
        assert name in index.name(chunk)
        with index.paths[chunk["file"]].open("rb") as file:
            file.seek(chunk["offset"])
            values = np.frombuffer(file.read(24 * 8 * 4), np.float32).reshape(24, 8)
        np.testing.assert_array_equal(values, data.read([60, 3, 59][row])[field])


def test_hdf5_is_asked_once(data, asked):
    first = ChunkIndex(data)
    assert len(asked) == 6
    assert same(ChunkIndex(data), first) and len(asked) == 6


def test_views_add_to_what_is_known(data, asked):
    train, test = data.split(0.5, seed=0)
    first = [ChunkIndex(train), ChunkIndex(test)]
    assert len(asked) == 6
    whole = ChunkIndex(data)
    again = [ChunkIndex(train), ChunkIndex(test)]
    assert len(asked) == 6
    assert all(map(same, first, again))
    (data.cache_folder / CACHE).unlink()
    assert same(ChunkIndex(data), whole) and len(asked) == 12


def test_views_in_any_order_find_their_own_samples(data, asked):
    ChunkIndex(data)
    shuffled = data.select([4, 1, 5])
    index = ChunkIndex(shuffled)
    assert len(asked) == 6
    for chunk in index.chunks(np.array([60])):
        assert "simulation 1, time 9" in index.name(chunk)
        assert index.paths[chunk["file"]] == data.file(1)


def test_what_is_known_is_found_by_going_through_the_samples_once(data):
    ChunkIndex(data)
    counts = {}
    for n in (3, 6):  # three times the table for each file would be four times as much for twice
        view, Counted.n = data.select(range(n)), 0
        columns = (view.samples.simulation, view.samples.step, view.samples.time)
        vars(view)["samples"] = Samples(*(column.view(Counted) for column in columns))
        ChunkIndex(view)
        counts[n] = Counted.n
    assert 0 < counts[6] == 2 * counts[3] < 10 * len(data.samples)


def test_what_is_known_may_be_looked_at_in_parts(data, asked, monkeypatch):
    whole = ChunkIndex(data)
    os.utime(data.file(2), ns=(1, 1))
    monkeypatch.setattr(index_module, "_BLOCK", 2 * 51 * 6)
    again = ChunkIndex(data)
    assert same(again, whole) and asked[6:] == ["simulation_00002.h5"]


def test_a_changed_file_is_asked_about_again(data, asked):
    ChunkIndex(data)
    os.utime(data.file(2), ns=(1, 1))
    del asked[:]
    ChunkIndex(data)
    ChunkIndex(data)
    assert asked == ["simulation_00002.h5"]


def test_another_manifest_forgets_everything(data, asked):
    ChunkIndex(data)
    with (data.path / native.MANIFEST).open("a") as file:
        file.write("\n")
    ChunkIndex(data)
    assert len(asked) == 12


def test_other_fields_of_the_same_files_forget_everything(data, asked):
    ChunkIndex(data)
    part = dataclasses.replace(data, fields=data.fields[::-1])
    found = ChunkIndex(part).chunks(np.array([7]))
    assert len(asked) == 12
    for chunk in found:
        values = np.fromfile(data.file(0), np.float32, 192, offset=int(chunk["offset"]))
        np.testing.assert_array_equal(values, part.read(7)[chunk["slot"]].ravel())


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04 not a zip", b"x" * 1000])
def test_what_is_not_an_index_is_replaced(data, asked, contents):
    (data.cache_folder / CACHE).write_bytes(contents)
    first = ChunkIndex(data)
    assert same(ChunkIndex(data), first) and len(asked) == 6


def beyond_the_end(values):
    values["rows"]["offset"][5] = 1 << 40


def overflowing(values):
    values["rows"]["offset"][5] = np.iinfo(np.int64).max - 3


def negative(values):
    values["rows"]["offset"][5] = -1


def too_long(values):
    values["rows"]["nbytes"][5] += 8


def too_short(values):
    values["rows"]["nbytes"][5] = 1


def of_no_field(values):
    values["rows"]["field"][5] = 6


def of_a_negative_field(values):
    values["rows"]["field"][5] = -1


def of_no_encoding(values):
    values["rows"]["encoding"][5] = 9


def of_a_codec_that_is_not_there(values):
    values["encodings"] = json.dumps([[{"codec": "sz9"}, True]])


def of_a_codec_without_sense(values):
    values["encodings"] = json.dumps([[{"codec": "zfp", "tolerance": "much"}, True]])


def of_another_type(values):
    values["rows"] = values["rows"].astype([(n, "f8") for n in values["rows"].dtype.names])


def of_another_size(values):
    values["stats"] = values["stats"][:, :1]


def counted_wrongly(values):
    values["counts"] = values["counts"] + 100


def lacking_an_array(values):
    del values["paths"]


@pytest.mark.parametrize(
    "spoil",
    [
        beyond_the_end,
        overflowing,
        negative,
        too_long,
        too_short,
        of_no_field,
        of_a_negative_field,
        of_no_encoding,
        of_a_codec_that_is_not_there,
        of_a_codec_without_sense,
        of_another_type,
        of_another_size,
        counted_wrongly,
        lacking_an_array,
    ],
)
def test_a_cache_that_cannot_be_true_is_not_believed(data, asked, spoil):
    first = ChunkIndex(data)
    del asked[:]
    path = data.cache_folder / CACHE
    values = dict(np.load(path))
    spoil(values)
    np.savez(path, **values)
    assert same(ChunkIndex(data), first) and asked
    del asked[:]
    assert same(ChunkIndex(data), first) and not asked


@pytest.mark.parametrize("at", range(0, 100, 7))
def test_a_cache_with_flipped_bytes_is_right_or_not_believed(data, at):
    first = ChunkIndex(data)
    path = data.cache_folder / CACHE
    contents = bytearray(path.read_bytes())
    place = len(contents) * at // 100
    contents[place : place + 3] = bytes(255 - byte for byte in contents[place : place + 3])
    path.write_bytes(contents)
    assert same(ChunkIndex(data), first)


def test_a_folder_that_cannot_be_written(data, asked, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(_files, "replacing", refuse)
    first = ChunkIndex(data)
    assert same(ChunkIndex(data), first) and len(asked) == 12
    assert not (data.cache_folder / CACHE).exists()


def test_nothing_is_left_beside_the_ensemble(data):
    before = set(os.listdir(data.path))
    ChunkIndex(data)
    assert set(os.listdir(data.path)) == before
    assert os.listdir(data.cache_folder) == [CACHE]


def test_an_ensemble_without_files_is_read_through_its_library(data):
    arrays = [data.read_simulation(s) for s in data.simulations]
    with pytest.raises(NotInPlaceError, match="copy: samples are read through a library"):
        ChunkIndex(InMemoryEnsemble.like(data, arrays, "a copy"))


def test_a_chunk_that_cannot_be_where_it_is_said_to_be_is_named(data, monkeypatch):
    def chunks(ensemble, file):
        yield StoredChunk(0, 2, 1 << 40, 768, ())

    monkeypatch.setattr(NativeEnsemble, "chunks", chunks)
    with pytest.raises(OSError, match=r"simulation 0, time 0, field velocity_y: 768 bytes at 10"):
        ChunkIndex(data)


def test_one_file_of_many_simulations_and_views_of_it(data, asked, monkeypatch):
    """A layout that keeps all samples in one file; views know a part of it each."""

    class OneFile(NativeEnsemble):
        @property
        def files(self):
            return (data.file(0),)

        def chunks(self, file):
            asked.append(self.simulations)
            size = file.stat().st_size - 768
            for sample, simulation in enumerate(self.samples.simulation.tolist()):
                for field in range(6):
                    place = 1000 * simulation + 10 * self.samples.step[sample] + field
                    yield StoredChunk(sample, field, place % size, 768, ())

    whole = OneFile(**{f.name: getattr(data, f.name) for f in dataclasses.fields(data)})
    for simulations in ([1, 2], [2, 5], [5], [0, 1, 2, 3, 4, 5], [4]):
        view = whole.select(simulations)
        found = ChunkIndex(view).chunks(np.array([3]))
        assert found["offset"][0] == 1000 * simulations[0] + 30
    assert asked == [(1, 2), (2, 5), (0, 1, 2, 3, 4, 5)]


def test_a_field_of_a_sample_that_lies_nowhere_is_named(data, monkeypatch):
    whole = NativeEnsemble.chunks

    def chunks(ensemble, file):
        yield from (c for c in whole(ensemble, file) if (c.sample, c.field) != (53, 3))

    monkeypatch.setattr(NativeEnsemble, "chunks", chunks)
    with pytest.raises(OSError, match="simulation 1, time 2, field pressure was never written"):
        ChunkIndex(data)


def test_a_codec_that_nobody_registered_is_read_by_hdf5_only(tmp_path, data, monkeypatch):
    monkeypatch.delitem(codecs._by_filter, 1, raising=False)
    with h5py.File(data.file(0), "r+") as file:
        values = file["density"][:]
        del file["density"]
        file.create_dataset("density", data=values, chunks=(1, 24, 8), compression="gzip")
    with pytest.raises(NotInPlaceError, match=r"00000\.h5: the HDF5 filters deflate"):
        ChunkIndex(data)
