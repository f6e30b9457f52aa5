"""Where stored fields lie: every address is read with plain file reads and compared."""

import h5py
import hdf5plugin
import numpy as np
import pytest
from ragged import GRIDS

from surrlab.data.stored import StoredChunk, locate

T, SHAPE = 5, (4, 3)
FLETCHER = (3, ())  # its number in the HDF Group's registry


def plain(file, chunk, shape, dtype):
    """A raw chunk's values, without HDF5."""
    assert all(number == FLETCHER[0] for number, _ in chunk.filters)
    with open(file, "rb") as stream:
        stream.seek(chunk.offset)
        data = stream.read(chunk.nbytes)
    return np.frombuffer(data[: len(data) - 4 * len(chunk.filters)], dtype).reshape(shape)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(T, *SHAPE)).astype(np.float32)


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        yield file


def stored(file, name="a", dtype="float32"):
    """What `locate` says once the file is written, in order of rows."""
    path = file.filename
    file.close()
    with h5py.File(path) as again:
        return sorted(locate(again[name], dtype)), path


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_field_of_a_ragged_view_lies_where_its_chunk_says(write, ndim, dtype):
    made, _ = write((3, 1, 5), GRIDS[ndim], dtype)
    for view in (made, made.select([22, 2])):
        found = {}
        assert view.files == tuple(view.file(s) for s in view.simulations)
        for file in view.files:
            for chunk in view.chunks(file):
                assert isinstance(chunk, StoredChunk) and chunk.filters == (FLETCHER,)
                values = plain(file, chunk, GRIDS[ndim].shape, dtype)
                found[chunk.sample, chunk.field] = values
        assert sorted(found) == [(s, f) for s in range(len(view.samples)) for f in (0, 1)]
        for sample in range(len(view.samples)):
            whole = np.stack([found[sample, field] for field in (0, 1)])
            np.testing.assert_array_equal(whole, view.read(sample))
    with pytest.raises(KeyError):
        list(made.select([2]).chunks(made.file(12)))


def test_a_field_of_another_length_than_the_manifest_s_is_refused(write):
    made, _ = write((3, 1))
    with h5py.File(made.file(2), "r+") as file:
        values = file["rho"][:2]
        del file["rho"]
        file["rho"] = values
    with pytest.raises(ValueError, match=r"rho is \(2, 4, 3\) float32, .* says \(3, 4, 3\)"):
        list(made.chunks(made.file(2)))


def test_fields_in_one_piece_lie_one_after_the_other(file, values):
    file["a"] = values
    rows, path = stored(file)
    for row, offset, nbytes, filters in rows:
        chunk = StoredChunk(row, 0, offset, nbytes, filters)
        np.testing.assert_array_equal(plain(path, chunk, SHAPE, "f4"), values[row])
    assert len(rows) == T


def test_a_user_block_before_the_file_is_counted(tmp_path, values):
    with h5py.File(tmp_path / "u.h5", "w", userblock_size=512) as file:
        file.create_dataset("a", data=values, chunks=(1, *SHAPE))
    with h5py.File(tmp_path / "u.h5") as file:
        rows = list(locate(file["a"], "float32"))
    for row, *place in rows:
        chunk = StoredChunk(row, 0, *place)
        np.testing.assert_array_equal(plain(tmp_path / "u.h5", chunk, SHAPE, "f4"), values[row])


def test_filters_and_their_options_are_those_of_the_file(file, values):
    file.create_dataset(
        "a", data=values, chunks=(1, *SHAPE), fletcher32=True, **hdf5plugin.Zfp(accuracy=0.25)
    )
    rows, _ = stored(file)
    for _, _, _, filters in rows:
        (zfp, options), checksum = filters
        assert zfp == hdf5plugin.Zfp.filter_id and checksum == FLETCHER
        assert hdf5plugin.from_filter_options(zfp, options) == hdf5plugin.Zfp(accuracy=0.25)


def test_filters_that_a_chunk_left_out_are_none_of_its(file, values):
    made = file.create_dataset(
        "a", values.shape, "f4", chunks=(1, *SHAPE), **hdf5plugin.Zfp(accuracy=0.25)
    )
    for row, field in enumerate(values):
        made.id.write_direct_chunk((row, 0, 0), field.tobytes(), filter_mask=1)
    rows, path = stored(file)
    for row, *place in rows:
        chunk = StoredChunk(row, 0, *place)
        assert chunk.filters == ()
        np.testing.assert_array_equal(plain(path, chunk, SHAPE, "f4"), values[row])


def test_a_virtual_dataset_is_followed_to_its_parts(file, values):
    """As compressed files are: samples fall into classes, each a dataset of its own."""
    classes = {"even": [0, 2, 4], "odd": [1, 3]}
    layout = h5py.VirtualLayout(values.shape, "f4")
    for name, rows in classes.items():
        file.create_dataset(f"_chunks/a/{name}", data=values[rows], chunks=(1, *SHAPE))
        layout[rows] = h5py.VirtualSource(".", f"_chunks/a/{name}", (len(rows), *SHAPE), "f4")
    file.create_virtual_dataset("a", layout)
    rows, path = stored(file)
    assert [row for row, *_ in rows] == list(range(T))
    for row, *place in rows:
        chunk = StoredChunk(row, 0, *place)
        np.testing.assert_array_equal(plain(path, chunk, SHAPE, "f4"), values[row])


def virtual(file, values, source, *, rows=slice(None), shape=None):
    layout = h5py.VirtualLayout(shape or values.shape, "f4")
    layout[rows] = source
    file.create_virtual_dataset("a", layout)


def in_another_file(file, values):
    virtual(file, values, h5py.VirtualSource("other.h5", "b", values.shape, "f4"))


def virtual_thrice(file, values):
    file["d"] = values
    for name, below in (("c", "d"), ("b", "c")):
        layout = h5py.VirtualLayout(values.shape, "f4")
        layout[:] = h5py.VirtualSource(".", below, values.shape, "f4")
        file.create_virtual_dataset(name, layout)
    virtual(file, values, h5py.VirtualSource(".", "b", values.shape, "f4"))


def virtual_of_itself(file, values):
    virtual(file, values, h5py.VirtualSource(".", "a", values.shape, "f4"))


def of_parts(file, values):
    file.create_dataset("b", data=values, chunks=(1, *SHAPE))
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[:, :, :2] = h5py.VirtualSource(".", "b", values.shape, "f4")[:, :, :2]
    file.create_virtual_dataset("a", layout)


def with_holes(file, values):
    file.create_dataset("b", data=values[:2], chunks=(1, *SHAPE))
    virtual(file, values, h5py.VirtualSource(".", "b", (2, *SHAPE), "f4"), rows=slice(2))


def never_written(file, values):
    file.create_dataset("a", shape=values.shape, dtype="f4", chunks=(1, *SHAPE))[:2] = values[:2]


def of_several_fields(file, values):
    file.create_dataset("a", data=values, chunks=(2, *SHAPE), fletcher32=True)


def big_endian(file, values):
    file.create_dataset("a", data=values.astype(">f4"), chunks=(1, *SHAPE))


def of_doubles(file, values):
    file.create_dataset("a", data=values.astype("f8"), chunks=(1, *SHAPE))


def empty(file, values):
    file.create_dataset("a", shape=values.shape, dtype="f4")  # in one piece, and never written


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (in_another_file, r"lies in another file, other\.h5"),
        (virtual_thrice, "virtual dataset over virtual datasets"),
        (virtual_of_itself, "virtual dataset over virtual datasets"),
        (of_parts, "put together from parts of fields"),
        (of_several_fields, r"has chunks of \(2, 4, 3\), not of one field each"),
        (big_endian, "is >f4, not native float32"),
        (of_doubles, "is <f8, not native float32"),
        (empty, "has no place in the file"),
    ],
)
def test_what_only_hdf5_can_read_is_refused_with_the_reason(file, values, make, reason):
    make(file, values)
    with pytest.raises(ValueError, match=rf"file\.h5: /\w+ .*{reason}; only HDF5 itself can read"):
        stored(file)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_holes, "shows fields that lie nowhere"),
        (never_written, "has fields that were never written"),
    ],
)
def test_missing_fields_are_an_error_and_not_fill_values(file, values, make, reason):
    make(file, values)
    with pytest.raises(OSError, match=rf"file\.h5: /\w+ .*{reason}"):
        stored(file)


@pytest.mark.parametrize("n_lead", [1, 2])
def test_raw_chunks_of_several_fields_hold_each_of_them(file, values, n_lead):
    shape = (2, *SHAPE) if n_lead == 1 else (2, 3, *SHAPE)  # the last chunks are partly empty
    values = values if n_lead == 1 else np.stack([values, -values])
    file.create_dataset("a", data=values, chunks=shape)
    path = file.filename
    file.close()
    with h5py.File(path) as again:
        rows = sorted(locate(again["a"], "float32", grid_ndim=2))
    assert [row for row, *_ in rows] == list(range(n_lead * T))
    for row, offset, nbytes, filters in rows:
        found = plain(path, StoredChunk(row, 0, offset, nbytes, filters), SHAPE, "f4")
        np.testing.assert_array_equal(found, values.reshape(-1, *SHAPE)[row])
