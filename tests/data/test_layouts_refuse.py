"""What foreign data may not be: one sentence each, before anything is written."""

import json
import os

import foreign
import h5py
import numpy as np
import platformdirs
import pytest

from surrlab._files import cache_folder
from surrlab.data import open as opening
from surrlab.data.open import open_ensemble
from surrlab.loading import SampleLoader


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: str(folder))


@pytest.fixture
def runs(tmp_path):
    return foreign.netcdf_runs(tmp_path / "it")[0]


@pytest.fixture
def listed(tmp_path):
    return foreign.professor(tmp_path / "it")[0]


def change(file, **values):
    """Overwrite datasets of an HDF5 file."""
    with h5py.File(file, "r+") as f:
        for name, new in values.items():
            f[name][...] = new


def test_two_layouts_at_once(runs, tmp_path, monkeypatch):
    (runs / "filelist.txt").write_text("run_0.nc 0\n")
    for names in (list(opening._LAYOUTS), list(opening._LAYOUTS)[::-1]):
        monkeypatch.setattr(opening, "_LAYOUTS", {n: opening._LAYOUTS[n] for n in names})
        with pytest.raises(ValueError, match="looks like professor and xarray: name the layout"):
            open_ensemble(runs)
    (runs / "surrlab.json").write_text('{"layout": "xarray"}')
    assert len(open_ensemble(runs).runs) == 3
    with pytest.raises(KeyError, match="no layout 'tape'"):
        open_ensemble(runs, "tape")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, 1, 1, 2, 3], r"run_0\.nc: time 1 occurs twice"),
        ([0, 2, 1, 3, 4], r"run_0\.nc: the times of simulation 0 must increase: 1\.0 follows 2\.0"),
        ([0, 1, np.nan, 3, 4], r"run_0\.nc: .*must be finite"),
    ],
)
def test_times(runs, times, said):
    change(runs / "run_0.nc", t=times)
    with pytest.raises(ValueError, match=said):
        open_ensemble(runs)


def test_times_of_professor(listed):
    change(listed / "run_1.h5", inputs=np.float32([[1, 1, t] for t in (0, 1, 1, 2)]))
    with pytest.raises(ValueError, match=r"run_1\.h5: time 1 occurs twice"):
        open_ensemble(listed)


def test_parameters_that_are_nan(runs):
    with h5py.File(runs / "run_1.nc", "r+") as f:
        f.attrs["viscosity"] = np.nan
    with pytest.raises(ValueError, match=r"run_1\.nc: parameter viscosity is nan"):
        open_ensemble(runs)


def test_parameters_that_only_some_runs_have(runs):
    with h5py.File(runs / "run_1.nc", "r+") as f:
        f.attrs["version"] = 2
    with pytest.raises(ValueError, match=r"run_0\.nc has no version, other runs have"):
        open_ensemble(runs)
    ensemble = open_ensemble(runs, card={"parameters": ["speed", "viscosity"]})
    assert ensemble.input_names == ("speed", "viscosity", "time")


def test_files_of_different_grids(runs):
    change(runs / "run_2.nc", lon=np.arange(7) * 1.5)
    with pytest.raises(
        ValueError, match=r"run_2\.nc lies on another grid than .*run_0\.nc: axis lon"
    ):
        open_ensemble(runs)


def test_different_kinds_of_pdebench(tmp_path):
    folder, _ = foreign.pdebench(tmp_path / "it")
    with h5py.File(folder / "2D_CFD_M0.9.hdf5", "w") as f:
        f["tensor"], f["x-coordinate"] = np.zeros((2, 3, 7)), np.arange(7.0)
    with pytest.raises(ValueError, match=r"M0\.9\.hdf5 has no Vx, density, pressure"):
        open_ensemble(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run_0.h5 0\nrun_7.h5 0\n", r"there is no .*run_7\.h5"),
        ("run_0.h5 0\nrun_0.h5 5\n", r"names row 5 of run_0\.h5, which has fewer"),
        ("/etc/passwd 0\n", r"line 1: /etc/passwd lies outside the folder"),
        ("run_0.h5 0\n../it/run_1.h5 0\n", r"line 2: \.\./it/run_1\.h5 lies outside the folder"),
        ("run_0.h5 0\nrun_0.h5 0\n", r"names run_0\.h5 0 twice"),
        ("run_0.h5 0\nrun_1.h5\n", "should name samples"),
        ("run_0.h5 first\n", "line 1: .* is not a file"),
        ("# nothing\n", "should name samples"),
        ("filelist.txt 0\n", r"filelist\.txt: .*signature"),
    ],
)
def test_filelists(listed, text, said):
    (listed / "filelist.txt").write_text(text)
    with pytest.raises((ValueError, OSError), match=said):
        open_ensemble(listed)


def test_links_out_of_the_folder(runs, tmp_path):
    (runs / "run_1.nc").rename(tmp_path / "other.nc")
    with h5py.File(runs / "run_1.nc", "w") as f:
        for name in ("a", "b", "c", "t", "lat", "lon"):
            f[name] = h5py.ExternalLink("../other.nc", name)
    with pytest.raises(ValueError, match=r"run_1\.nc: a lies in \.\./other\.nc, outside"):
        open_ensemble(runs)
    with h5py.File(runs / "run_1.nc", "w") as f:
        f["a"] = h5py.ExternalLink("missing.nc", "a")
    with pytest.raises(
        FileNotFoundError, match=r"run_1\.nc: a lies in missing\.nc, which is missing"
    ):
        open_ensemble(runs)


@pytest.mark.parametrize(("file", "error"), [("../other.h5", "outside"), ("gone.h5", "is missing")])
def test_virtual_datasets_out_of_the_folder(listed, tmp_path, file, error):
    (listed / "run_1.h5").rename(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((4, 3, 12, 7), np.float32)
    layout[:] = h5py.VirtualSource(file, "fields", (4, 3, 12, 7))
    with h5py.File(tmp_path / "other.h5") as old, h5py.File(listed / "run_1.h5", "w") as f:
        f.create_virtual_dataset("fields", layout)
        f["inputs"] = old["inputs"][:]
    with pytest.raises((ValueError, OSError), match=error):
        open_ensemble(listed)


def test_a_virtual_dataset_within_the_folder_is_read_through_hdf5(listed):
    (listed / "run_1.h5").rename(listed / "stored.h5")
    layout = h5py.VirtualLayout((4, 3, 12, 7), np.float32)
    layout[:] = h5py.VirtualSource("stored.h5", "fields", (4, 3, 12, 7))
    with h5py.File(listed / "stored.h5") as old, h5py.File(listed / "run_1.h5", "w") as f:
        f.create_virtual_dataset("fields", layout)
        f["inputs"], expected = old["inputs"][:], old["fields"][:]
    ensemble = open_ensemble(listed)
    assert not ensemble.reads_in_place and "virtual" in ensemble.library
    np.testing.assert_array_equal(ensemble.read_simulation(1), expected)


def test_what_is_not_a_file(runs, tmp_path):
    os.mkfifo(runs / "run_9.nc")
    with pytest.raises(ValueError, match=r"run_9\.nc should be a file, and is a FIFO"):
        open_ensemble(runs)
    (runs / "run_9.nc").unlink()
    (runs / "run_9.nc").mkdir()
    with pytest.raises(ValueError, match=r"run_9\.nc should be a file, and is a folder"):
        open_ensemble(runs, "xarray")
    os.mkfifo(tmp_path / "pipe.nc")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        open_ensemble(tmp_path / "pipe.nc")
    with pytest.raises(FileNotFoundError, match="there is no"):
        open_ensemble(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="none of the layouts"):
        open_ensemble(tmp_path / "empty")


def test_a_truncated_file(listed):
    file = listed / "run_2.h5"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(OSError, match=r"run_2\.h5"):
        open_ensemble(listed)


def test_a_file_that_changes_after_opening(listed):
    ensemble = open_ensemble(listed)
    (listed / "run_2.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no .*run_2\.h5"):
        ensemble.read_simulation(2)


@pytest.mark.parametrize(
    ("chunks", "said"), [(None, "was never written"), ((1, 3, 12, 7), "is incomplete: 2 of 4")]
)
def test_what_was_never_written(listed, chunks, said):
    with h5py.File(listed / "run_1.h5", "r+") as f:
        del f["fields"]
        fields = f.create_dataset("fields", (4, 3, 12, 7), "f4", chunks=chunks)
        if chunks:
            fields[:2] = 1
    with pytest.raises(ValueError, match=rf"run_1\.h5: fields {said}"):
        open_ensemble(listed)


@pytest.mark.parametrize("chunks", [None, (1, 3, 12, 7)])
def test_what_lies_beyond_the_end_of_its_file(tmp_path, chunks):
    """A writer was killed: HDF5 opens the file, and each way of reading notices."""
    listed, _ = foreign.professor(tmp_path / "it")
    file = listed / "run_1.h5"
    with h5py.File(file) as old:
        inputs, fields = old["inputs"][:], old["fields"][:]
    with h5py.File(file, "w") as f:
        f["inputs"] = inputs
        f.create_dataset("fields", data=fields, chunks=chunks)
        f.flush()
        at = f["fields"].id.get_offset() or f["fields"].id.get_chunk_info(3).byte_offset
    contents = bytearray(file.read_bytes()[: at + 40])
    assert contents[40:48] == file.stat().st_size.to_bytes(8, "little")  # the end that it knows
    contents[40:48] = len(contents).to_bytes(8, "little")
    file.write_bytes(contents)
    for read in (lambda e: e.read_simulation(1), lambda e: list(SampleLoader(e, 4, seed=0))):
        with pytest.raises((OSError, ValueError), match=r"run_1\.h5"):
            read(open_ensemble(listed))


def test_a_place_that_was_kept_and_not_filled_is_said(listed):
    with h5py.File(listed / "run_1.h5", "r+") as f:
        f["fields"][2:, 1] = 0
    ensemble = open_ensemble(listed)
    said = r"run_1\.h5: simulation 1, field field_1 is zero from step 2 of 4 on: was all of it wr"
    with pytest.warns(UserWarning, match=said):
        ensemble.read_simulation(1)
    ensemble.read_simulation(0)


def test_types_that_no_float_holds(listed):
    with h5py.File(listed / "run_1.h5", "r+") as f:
        shape = f["fields"].shape
        del f["fields"]
        f["fields"] = np.zeros(shape, np.int64)
    with pytest.raises(ValueError, match=r"run_1\.h5: fields is int64: neither float32 nor"):
        open_ensemble(listed)


def test_packed_numbers(tmp_path):
    encoding = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -9999}
    path, _ = foreign.netcdf(tmp_path / "it", **encoding)
    with pytest.raises(ValueError, match=r"all\.nc: a is packed \(scale_factor"):
        open_ensemble(path)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"fields": ["a", "d"]}, "names 'd' among its fields; the files have a, b, c"),
        ({"fields": {"a": {"unit": "m"}}}, "unit of a is 'm', the files say 'K'"),
        ({"fields": {"a": {"name": "b"}}}, "'b' cannot name a field or an axis"),
        ({"fields": "a"}, "'fields' of the card should be names"),
        ({"fields": []}, "needs a field"),
        ({"parameters": {"depth": "m"}}, "names the parameter 'depth'.*give its values"),
        (
            {"parameters": {"depth": {"values": [1, 2]}}},
            "gives 2 values of depth; there are 3 runs",
        ),
        ({"parameters": {"depth": {"values": [1, 2, None]}}}, "values of depth must be finite"),
        ({"parameters": {"speed": {"values": [9, 9, 9]}}}, "values of speed are not those"),
        ({"axes": {"z": {"unit": "m"}}}, "has an axis 'z'; the files have lat, lon"),
        ({"axes": {"lon": {"points": [1, 2]}}}, "gives 2 points of axis lon; there are 7 cells"),
        ({"axes": {"lon": {"points": list(range(1, 8))}}}, "points of axis lon are not the files'"),
        ({"axes": {"lon": {"n": 8}}}, "gives axis lon 8 cells, not 7"),
        ({"axes": {"lon": {"low": 3}}}, "axis lon must end around its points"),
        ({"time": {"unit": "h"}}, "unit of time is 'h', the files say 's'"),
        ({"time": {"values": [0, 1]}}, "gives 2 times of simulation 0; there are 5 samples"),
        ({"time": {"values": [[0], [1]]}}, "gives times of 2 runs; there are 3"),
        ({"mask": {"d": 0}}, "masks the field 'd'; the files have a, b, c"),
        ({"dims": {"u": "run"}}, "'u' as 'run'; there are t, lat, lon"),
        ({"colour": "red"}, "a card has no 'colour'"),
    ],
)
def test_cards_that_contradict_the_files(runs, card, said):
    with pytest.raises(ValueError, match=said):
        open_ensemble(runs, card=card)


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[]", "should hold an object")])
def test_cards_that_are_none(runs, text, said):
    (runs / "surrlab.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        open_ensemble(runs)
    (runs / "surrlab.json").unlink()
    os.mkfifo(runs / "surrlab.json")
    with pytest.raises(ValueError, match="FIFO"):
        open_ensemble(runs)


def test_values_that_stand_for_none(tmp_path):
    for i, (value, extra) in enumerate(
        [(np.nan, {}), (np.inf, {}), (9.96921e36, {}), (-999.0, {"mask": {"b": -999}}), (1e30, {})]
    ):
        folder, _ = foreign.netcdf_runs(tmp_path / str(i))
        with h5py.File(folder / "run_1.nc", "r+") as f:
            f["b"][2, 3:5, 0] = value
        ensemble = open_ensemble(folder, card=extra)
        ensemble.read(5), ensemble.read_simulation(2)
        said = r"run_1\.nc: simulation 1, time 0\.5 \(step 2\), field b holds 2 values"
        for read in (ensemble.verify, lambda e=ensemble: e.read(e.position(1, 2))):
            with pytest.raises(ValueError, match=said):
                read()


def test_fill_values_that_files_declare(tmp_path):
    folder, _ = foreign.netcdf_runs(tmp_path / "it")
    with h5py.File(folder / "run_0.nc", "r+") as f:
        f["c"].attrs["missing_value"] = np.array([-1.0])
        f["c"][4, 1, 1] = -1.0
    with pytest.raises(ValueError, match=r"step 4\), field c holds 1 values"):
        open_ensemble(folder).verify()


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "bad.npz", u=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"bad\.npz: array u: .*allow_pickle"):
        open_ensemble(tmp_path / "bad.npz", card={"arrays": {"u": ["x"]}})
    (tmp_path / "no.npz").write_text("no archive")
    with pytest.raises(OSError, match=r"no\.npz"):
        open_ensemble(tmp_path / "no.npz", card={"arrays": {"u": ["x"]}})


def cached(ensemble, name):
    """A file that surrlab remembers of an ensemble; its card lies where no card is known yet."""
    folder = cache_folder(ensemble.name) if name == "card.json" else ensemble.cache_folder
    assert (folder / name).exists()
    return folder / name


def test_a_damaged_cache_is_made_again(runs, tmp_path_factory):
    first = open_ensemble(runs)
    digest = first.digest
    for name, text in (("card.json", '{"key": 1}'), ("contents.json", json.dumps([1]))):
        cached(first, name).write_text(text)
    again = open_ensemble(runs)
    assert again.runs == first.runs and again.digest == digest


@pytest.mark.parametrize("name", ["card.json", "contents.json"])
def test_a_cache_whose_values_changed_is_made_again(runs, name):
    """JSON that is still whole, with another number in it: only its digest shows that."""
    first = open_ensemble(runs)
    digest, cache = first.digest, cached(first, name)
    written = cache.read_text()
    changed = json.loads(written)
    if name == "card.json":
        changed["card"]["benchmark"] = {"name": "another"}
    else:
        changed |= {key: "0" * 64 for key in changed if key != "sha256"}
    cache.write_text(json.dumps(changed))
    again = open_ensemble(runs)
    assert again.digest == digest and again.metadata == first.metadata
    assert cache.read_text() == written


def test_a_card_for_surrlab_s_own_files(tmp_path):
    """They say everything themselves: a card would be passed over without a word."""
    from ragged import write_ensemble

    made, _ = write_ensemble(tmp_path / "own", (2,))
    with pytest.raises(ValueError, match="own is surrlab's own: a card may not say constants"):
        open_ensemble(made.path, card={"constants": {"g": 1}})
    assert open_ensemble(made.path, card={"layout": "native"}).runs == made.runs
