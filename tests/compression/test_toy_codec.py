"""A codec that surrlab does not know, from search to training batches."""

import inspect
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import xarray as xr
from newcomer import rounding
from newcomer.rounding import Rounding

from surrlab import compression
from surrlab.compression.codecs import Raw, codec_class
from surrlab.data.native import open_native
from surrlab.loading import SampleLoader


@pytest.fixture(scope="module")
def made(ensemble, tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "x"
    with ThreadPoolExecutor(2) as pool:
        two = ensemble.select([1, 4])
        return compression.search_and_compress(two, 0.02, path, codec=Rounding, executor=pool)


def test_it_is_one_short_class_and_one_line():
    assert len(inspect.getsource(Rounding).splitlines()) <= 40
    assert inspect.getsource(rounding).count("register_codec(") == 1
    assert codec_class("rounding") is Rounding


def test_every_field_is_within_its_bounds(ensemble, made):
    table = compression.table(made)
    assert made.metadata["request"]["codec"] == "rounding"
    assert (table["error"] <= 0.02).all() and 0.01 < float(table["error"].max())
    for sample, position in enumerate([*ensemble.of(1), *ensemble.of(4)]):
        error = abs(made.read(sample).astype(float) - ensemble.read(position)).max(axis=(1, 2))
        np.testing.assert_array_equal(error, table["max_error"][sample])
        assert (error <= table["tolerance"][sample]).all()
    assert compression.ratios(made).payload > 1.5


def test_a_field_is_one_plain_dataset_with_many_tolerances(made):
    tolerances = compression.table(made)["tolerance"][:51, 0]
    assert len(np.unique(tolerances)) > 5
    with h5py.File(made.file(1)) as file:
        assert not file["density"].is_virtual and "_chunks" not in file
        assert file["density"].compression == "gzip" and file["density"].fletcher32


def test_hdf5_without_plugins_reads_it(made, tmp_path):
    program = (
        "import sys, h5py, numpy as np\n"
        f"with h5py.File({str(made.file(4))!r}) as f: np.save('seven.npy', f['density'][7])\n"
        "assert not any(name.startswith(('surrlab', 'hdf5plugin')) for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "seven.npy"), made.read(51 + 7)[0])


def test_the_loader_decodes_it_in_its_threads(made, recwarn):
    with SampleLoader(made, 16, seed=0, shuffle=False) as loader:
        fields = np.concatenate([fields for _, fields in loader])
    assert loader.reads_in_place and not recwarn
    np.testing.assert_array_equal(fields, [made.read(sample) for sample in range(102)])


def test_a_damaged_stream_is_named(made, tmp_path):
    copy = open_native(shutil.copytree(made.path, tmp_path / "copy"))
    with h5py.File(copy.file(4)) as file:
        chunk = file["energy"].id.get_chunk_info_by_coord((9, 0, 0))
    with copy.file(4).open("r+b") as opened:
        opened.seek(chunk.byte_offset + 20)
        opened.write(b"\xff\x00\xff")
    with SampleLoader(copy, 16, seed=0) as loader:
        with pytest.raises(OSError, match="simulation 4, time 9, field energy: the checksum"):
            list(loader)


def test_lossless_is_lossless(ensemble, tmp_path):
    one = ensemble.select([2])
    with ThreadPoolExecutor(1) as pool:
        made = compression.compress(one, 0, tmp_path / "x", codec=Rounding, executor=pool)
    np.testing.assert_array_equal(made.read_simulation(2), one.read_simulation(2))


class WithoutLossless(Rounding):
    """A codec that has no lossless mode of its own, as many have none."""

    @classmethod
    def lossless(cls):
        return Raw()


def test_a_codec_without_a_lossless_mode_stores_raw_fields(ensemble, tmp_path):
    one = ensemble.select([2])
    tolerances = xr.DataArray(
        np.where(np.arange(51) % 3, 0.1, 0), {"sample": np.arange(51)}, name="tolerance"
    ).assign_coords(simulation=("sample", np.full(51, 2)), step=("sample", np.arange(51)))
    with ThreadPoolExecutor(1) as pool:
        made = compression.compress(
            one, tolerances, tmp_path / "x", codec=WithoutLossless, executor=pool
        )
    with h5py.File(made.file(2)) as file:
        assert not file["density"].is_virtual and "_chunks" not in file
        chunks = [file["density"].id.get_chunk_info(step) for step in range(51)]
        assert [chunk.filter_mask for chunk in chunks] == [int(step % 3 == 0) for step in range(51)]
    values, wanted = made.read_simulation(2), one.read_simulation(2)
    np.testing.assert_array_equal(values[::3], wanted[::3])
    assert 0 < abs(values - wanted).max() <= 0.1 * (1 + 1e-6)
    with SampleLoader(made, 16, seed=0, shuffle=False) as loader:
        np.testing.assert_array_equal(np.concatenate([f for _, f in loader]), values)
