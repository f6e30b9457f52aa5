import os
import shutil

import h5py
import numpy as np
import pytest

from surrlab.data import native
from surrlab.loading import index
from surrlab.loading.index import KEPT, Index


@pytest.fixture
def data(ensemble, tmp_path):
    folder = shutil.copytree(ensemble.path, tmp_path / "data", ignore=lambda *_: [KEPT])
    return native.open(folder)


@pytest.fixture
def asked(monkeypatch):
    """Names of the files that HDF5 is asked about."""
    names, whole = [], h5py.File

    def file(path, *arguments, **keywords):
        names.append(path.name)
        return whole(path, *arguments, **keywords)

    monkeypatch.setattr(index.h5py, "File", file)
    return names


def same(one, other):
    samples = np.arange(len(one.simulations) * one.n_times)
    a, b = one.chunks(samples), other.chunks(samples)
    kinds = np.array_equal(one.kinds[a["kind"]], other.kinds[b["kind"]])
    names = [name for name in a.dtype.names if name != "kind"]
    return kinds and all(np.array_equal(a[name], b[name]) for name in names)


def test_chunks_are_in_disk_order_and_hold_what_they_say(data):
    index = Index(data)
    found = index.chunks(np.array([60, 3, 59]))
    assert (np.diff(found["file"]) >= 0).all()
    assert all((np.diff(found["offset"][found["file"] == f]) > 0).all() for f in (0, 1))
    for chunk in found:
        row, field = divmod(int(chunk["slot"]), 6)
        simulation, time = divmod([60, 3, 59][row], 51)
        assert f"simulation {simulation}, time {time}, field {data.fields[field]}" in index.name(
            chunk
        )
        with index.paths[chunk["file"]].open("rb") as file:
            file.seek(chunk["offset"])
            values = np.frombuffer(file.read(24 * 8 * 4), np.float32).reshape(24, 8)
        np.testing.assert_array_equal(values, data.read(simulation, time)[field])


def test_hdf5_is_asked_once(data, asked):
    first = Index(data)
    assert len(asked) == 6
    assert same(Index(data), first) and len(asked) == 6


def test_views_add_to_what_is_known(data, asked):
    train, test = data.split(0.5, seed=0)
    first = [Index(train), Index(test)]
    assert len(asked) == 6
    whole = Index(data)
    again = [Index(train), Index(test)]
    assert len(asked) == 6
    assert all(map(same, first, again))
    (data.path / KEPT).unlink()
    assert same(Index(data), whole) and len(asked) == 12


def test_a_changed_file_is_asked_about_again(data, asked):
    Index(data)
    os.utime(data.file(2), ns=(1, 1))
    del asked[:]
    Index(data)
    Index(data)
    assert asked == ["simulation_00002.h5"]


def test_another_manifest_forgets_everything(data, asked):
    Index(data)
    with (data.path / native.MANIFEST).open("a") as file:
        file.write("\n")
    Index(data)
    assert len(asked) == 12


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04 not a zip", b"x" * 1000])
def test_what_is_not_an_index_is_replaced(data, asked, contents):
    (data.path / KEPT).write_bytes(contents)
    first = Index(data)
    assert same(Index(data), first) and len(asked) == 6


def test_a_folder_that_cannot_be_written(data, asked, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(storage, "replacing", refuse)
    first = Index(data)
    assert same(Index(data), first) and len(asked) == 12
    assert not (data.path / KEPT).exists()


def test_no_file_is_left_beside_it(data):
    before = set(os.listdir(data.path))
    Index(data)
    assert set(os.listdir(data.path)) - before == {KEPT}
