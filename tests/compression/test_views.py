"""Professor's layout of the same bytes, and a folder that its trainer reads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from ragged import FIELDS, GRIDS, write_ensemble

from surrlab import cli
from surrlab.compression import compress, search_and_compress
from surrlab.compression._views import export
from surrlab.data.fields import Field
from surrlab.data.open import open_ensemble

PROFESSOR = ("professor",)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def viewed(ensemble, pool, tmp_path_factory):
    """Two simulations, each sample and field with a tolerance of its own."""
    some, path = ensemble.select(ensemble.simulations[:2]), tmp_path_factory.mktemp("v") / "small"
    return search_and_compress(some, 0.02, path, executor=pool, views=PROFESSOR)


def test_the_view_holds_the_same_numbers_for_a_few_kilobytes(viewed, ensemble, pool, tmp_path):
    plain = search_and_compress(
        ensemble.select(viewed.simulations), 0.02, tmp_path / "plain", executor=pool
    )
    for s in viewed.simulations:
        with h5py.File(viewed.file(s)) as file:
            np.testing.assert_array_equal(file["fields"], viewed.read_simulation(s))
            np.testing.assert_array_equal(file["inputs"], viewed.inputs[viewed.of(s)])
            assert file["fields"].is_virtual
        np.testing.assert_array_equal(viewed.read_simulation(s), plain.read_simulation(s))
        extra = viewed.file(s).stat().st_size - plain.file(s).stat().st_size
        assert 0 < extra < 12_000
    viewed.verify()


def test_our_own_reading_is_as_before(viewed):
    opened = open_ensemble(viewed.path)
    assert opened.digest == viewed.digest and opened.field_names == viewed.field_names
    assert len(list(opened.chunks(opened.files[0]))) == 51 * 6  # in place, not through HDF5


def test_xarray_finds_dimensions_with_names(viewed):
    with xr.open_dataset(viewed.files[0], engine="h5netcdf", decode_times=False) as table:
        assert table["fields"].dims == ("time", "field", "y", "x")
        assert [str(name) for name in table["field"].values] == list(viewed.field_names)


@pytest.mark.parametrize("dimension", GRIDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_grid_and_length(tmp_path, pool, dimension, dtype):
    raw, arrays = write_ensemble(tmp_path / "raw", grid=GRIDS[dimension], dtype=dtype)
    made = compress(raw, 0.0, tmp_path / "small", executor=pool, views=PROFESSOR)
    for s, array in arrays.items():
        with h5py.File(made.file(s)) as file:
            np.testing.assert_array_equal(file["fields"], array)
            assert file["fields"].dtype == dtype


def test_equal_contents_make_equal_files(viewed, ensemble, pool, tmp_path):
    again = search_and_compress(
        ensemble.select(viewed.simulations), 0.02, tmp_path / "a", executor=pool, views=PROFESSOR
    )
    assert again.digest == viewed.digest


def test_what_cannot_be_shown_is_refused(tmp_path, pool):
    raw, _ = write_ensemble(tmp_path / "raw", fields=(Field("u"), Field("v")))
    with pytest.raises(ValueError, match="there is no view 'wel'; there are professor"):
        compress(raw, 0.0, tmp_path / "small", views=("wel",))
    raw, _ = write_ensemble(tmp_path / "named", fields=(Field("fields"), FIELDS[1]))
    with pytest.raises(ValueError, match="called 'fields', and so is a field of this ensemble"):
        compress(raw, 0.0, tmp_path / "small", views=PROFESSOR)
    with pytest.raises(ValueError, match="so is a field"):
        export(raw, tmp_path / "out")


def test_export_links_what_shows_the_view(viewed, tmp_path, capsys):
    before = {file: file.read_bytes() for file in viewed.files}
    out = tmp_path / "out"
    assert cli.main(["export", str(viewed.path), "--as", "professor", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 files linked, 0 written (0.00 MB)" in said and "HDF5_PLUGIN_PATH=" in said
    assert {file: file.read_bytes() for file in viewed.files} == before
    again = open_ensemble(out, layout="professor")
    assert len(again.samples) == len(viewed.samples)
    for s, theirs in zip(viewed.simulations, again.simulations, strict=True):
        np.testing.assert_array_equal(viewed.read_simulation(s), again.read_simulation(theirs))
    assert cli.main(["export", str(viewed.path), "--as", "professor", str(out)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_export_copies_or_writes_what_does_not(tmp_path, pool):
    raw, arrays = write_ensemble(tmp_path / "raw")
    small = compress(raw, 0.01, tmp_path / "small", executor=pool)
    before = {file: file.read_bytes() for file in (*raw.files, *small.files)}
    for name, one in (("of raw", raw), ("of small", small)):
        made = export(one, tmp_path / name)
        assert (made.linked, made.written) == (0, 3) and made.nbytes > 0
        for s in arrays:
            with h5py.File(tmp_path / name / f"simulation_{s:06d}.h5") as file:
                np.testing.assert_array_equal(file["fields"], one.read_simulation(s))
    assert {file: file.read_bytes() for file in before} == before
    theirs = open_ensemble(tmp_path / "of raw", layout="professor")
    export(theirs, tmp_path / "again")  # of a foreign layout: plain files
    lines = (tmp_path / "again" / "filelist.txt").read_text().splitlines()
    assert len(lines) == len(raw.samples)


def test_a_trainer_that_never_heard_of_zfp(viewed, tmp_path):
    """Plain h5py in a process of its own, with the variable that README names."""
    export(viewed, tmp_path / "out")
    file = next((tmp_path / "out").glob("*.h5"))
    code = f"import h5py; print(float(h5py.File({str(file)!r})['fields'][7].sum()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH},
        capture_output=True,
        text=True,
    )
    with h5py.File(file) as opened:
        assert float(done.stdout) == pytest.approx(float(opened["fields"][7].sum()))
