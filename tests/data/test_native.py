"""The layout of surrlab's own: what it writes, what it refuses, and how it goes on when killed."""

import dataclasses
import functools
import json
import os
import shutil
import time
from concurrent.futures import Future

import h5py
import numpy as np
import pytest
from ragged import FIELDS, GRIDS

from surrlab._files import write_json
from surrlab.data import native, open_ensemble
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Axis, Field, Grid, Run
from surrlab.data.native import Header, open_native
from surrlab.data.stored import TAKEN
from surrlab.simulation.rayleigh_taylor import RayleighTaylor


@pytest.fixture
def copy(ensemble, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(ensemble.path, tmp_path / "copy")


def test_a_file_explains_itself_to_any_hdf5_reader(ensemble):
    fields = RayleighTaylor().fields
    with h5py.File(ensemble.file(2)) as file:
        assert file.attrs["format"] == "surrlab-ensemble/2"
        assert list(file.attrs["field_names"]) == [field.name for field in fields]
        assert list(file.attrs["parameter_names"]) == ["density_ratio", "gamma", "v_init"]
        for field in fields:
            dataset = file[field.name]
            assert (dataset.dtype, dataset.chunks) == (np.float32, (1, 24, 8))
            assert dataset.attrs["units"] == field.unit
            assert dataset.attrs["long_name"] == field.label
            assert [dim[0].name for dim in dataset.dims] == ["/time", "/y", "/x"]
        np.testing.assert_array_equal(file["inputs"], ensemble.inputs[ensemble.of(2)])
        np.testing.assert_array_equal(file["y"], ensemble.grid.y.centres)
        assert file["y"].attrs["extent"].tolist() == [-0.5, 0.5]


def test_split_is_by_simulation_and_by_seed(ensemble):
    train, test = ensemble.split(0.34, seed=5)
    assert len(test.simulations) == 2
    assert sorted(train.simulations + test.simulations) == list(range(6))
    assert ensemble.split(0.34, seed=5)[1].simulations == test.simulations
    assert len({ensemble.split(0.34, seed=s)[1].simulations for s in range(8)}) > 1
    first = test.simulations[0]
    np.testing.assert_array_equal(test.inputs[:51], ensemble.inputs[ensemble.of(first)])
    np.testing.assert_array_equal(test.read(3), ensemble.read(ensemble.position(first, 3)))
    with pytest.raises(KeyError, match=f"no simulation {train.simulations[0]}"):
        test.read_simulation(train.simulations[0])
    with pytest.raises(ValueError, match="leaves 0 of 6"):
        ensemble.split(0.01, seed=0)


def test_the_digest_follows_the_contents(ensemble, copy):
    assert open_native(copy).digest == ensemble.digest
    assert ensemble.select([0, 1]).digest != ensemble.digest


def test_the_digest_does_not_follow_path_or_time_stamps(write, tmp_path):
    one, _ = write(path=tmp_path / "one")
    time.sleep(1.01 - time.time() % 1)  # HDF5's time stamps count seconds
    other, _ = write(path=tmp_path / "other")
    assert one.digest == other.digest
    for changes in ({"parameters": ("a", "c")}, {"lengths": (3, 1, 4)}, {"dtype": "float64"}):
        changed, _ = write(path=tmp_path / str(changes), **changes)
        assert changed.digest != one.digest


# ------------------------------------------------------------------------- any ensemble at all


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parameters", [(), ("a", "b")])
def test_ragged_simulations_come_back_as_written(write, ndim, dtype, parameters):
    made, arrays = write((3, 1, 5), GRIDS[ndim], dtype, parameters=parameters)
    for ensemble in (made, open_ensemble(made.path), made.select([22, 2])):
        assert ensemble.dtype == dtype and ensemble.grid == GRIDS[ndim]
        assert ensemble.fields == FIELDS and len(ensemble.input_names) == len(parameters) + 1
        for s in ensemble.simulations:
            whole = ensemble.read_simulation(s)
            assert whole.dtype == dtype and whole.dtype.isnative
            np.testing.assert_array_equal(whole, arrays[s])
            for step, sample in enumerate(ensemble.of(s)):
                np.testing.assert_array_equal(ensemble.read(sample), arrays[s][step])
                assert ensemble.position(s, step) == sample
    assert made.samples.step.tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4]
    train, test = made.split(0.34, seed=0)
    assert sorted(len(side.samples) for side in (train, test)) in ([1, 8], [3, 6], [4, 5])
    made.verify()


def test_an_ensemble_of_one_time(write):
    made, arrays = write((1, 1))
    assert made.shape == (2, *made.sample_shape) and set(made.samples.step) == {0}
    np.testing.assert_array_equal(made.read(1), arrays[12][0])
    assert json.loads((made.path / "ensemble.json").read_text())["times"][1:] != []


def test_equal_times_are_written_once(ensemble):
    manifest = json.loads((ensemble.path / "ensemble.json").read_text())
    assert len(manifest["times"]) == 1 and {e["times"] for e in manifest["files"]} == {0}


def test_a_decreasing_and_a_stretched_axis_come_back(write):
    grid = Grid((Axis("z", "m", (3.0, 1.0, 0.5)), Axis("r", "m", (0.1, 0.2, 0.4), 0.0, 0.6)))
    made, arrays = write(grid=grid)
    again = open_ensemble(made.path)
    assert again.grid == grid
    np.testing.assert_array_equal(again.read(0), arrays[2][0])
    with h5py.File(made.file(2)) as file:
        np.testing.assert_array_equal(file["z"], [3.0, 1.0, 0.5])


def test_a_header_is_what_writes_the_same_again(write, tmp_path):
    made, arrays = write(dtype="float64", benchmark={"name": "b", "constants": {"g": 9.8}})
    header = Header.of(made)
    assert header == Header.from_config(json.loads(json.dumps(header.config())))
    run = made.runs[2]
    native.write_simulation(tmp_path / "again.h5", header, run, arrays[run.simulation])
    assert (tmp_path / "again.h5").read_bytes() == made.file(run.simulation).read_bytes()
    assert made.metadata["benchmark"]["constants"] == {"g": 9.8}
    assert "of b, 9 samples" in repr(made)
    memory = InMemoryEnsemble.like(made, [arrays[s] for s in made.simulations], "memory")
    assert Header.of(memory) == header


@pytest.mark.parametrize("name", ["y", *TAKEN])
def test_names_that_are_taken_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot name a field or an axis"):
        Header((Field("u"), Field(name)), GRIDS[2], {"time": "s"})
    if name != "y":
        with pytest.raises(ValueError, match=f"'{name}' cannot name a field or an axis"):
            Header((Field("u"),), Grid.uniform({name: (2, 0, 1)}), {"time": "s"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": ()}, "needs a field"),
        ({"fields": (Field("u"), Field("u", "m"))}, "'u' cannot name a field or an axis"),
        ({"inputs": {}}, "the last input must be 'time'"),
        ({"inputs": {"time": "s", "a": "1"}}, "the last input must be 'time'"),
        ({"dtype": "float16"}, "float32 or float64, not float16"),
    ],
)
def test_headers_that_cannot_be_are_refused(changes, message):
    header = {"fields": FIELDS, "grid": GRIDS[2], "inputs": {"time": "s"}} | changes
    with pytest.raises(ValueError, match=message):
        Header(**header)


def test_samples_of_another_shape_are_refused(tmp_path):
    header, run = Header(FIELDS, GRIDS[2], {"time": "s"}), Run(4, (), (0.0, 1.0))
    for shape in ((3, 2, 4, 3), (2, 1, 4, 3), (2, 2, 3, 4), (2, 2, 4)):
        with pytest.raises(ValueError, match=r"samples of simulation 4 .* not \(2, 2, 4, 3\)"):
            native.write_simulation(tmp_path / "x.h5", header, run, np.zeros(shape))


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path):
    def write(simulation, path):
        path.write_bytes(b"half a file")
        if simulation == 1:
            raise OSError(28, "No space left on device", str(path))

    class InProcess:
        def submit(self, function, *arguments):
            future = Future()
            try:
                future.set_result(function(*arguments))
            except OSError as error:
                future.set_exception(error)
            return future

    def build():
        header = Header(FIELDS, GRIDS[2], {"a": "1", "time": "s"})
        runs = {s: Run(s, (s + 1.0,), (0.0,)) for s in (0, 1)}
        writers = {s: functools.partial(write, s) for s in runs}
        native.build(tmp_path, header, {}, runs, writers, executor=InProcess(), label="write")

    with pytest.raises(OSError, match="No space left"):
        build()
    assert sorted(os.listdir(tmp_path)) == ["request.json", "simulation_00000.h5"]
    with pytest.raises(FileNotFoundError, match="is not finished"):
        open_native(tmp_path)


# --------------------------------------------------------------------------------------- damage


def test_a_missing_truncated_or_tampered_file_is_named(copy):
    def spoil(name, change):
        path = copy / name
        data = path.read_bytes()
        path.write_bytes(change(data))
        return path, data

    path, data = spoil("simulation_00001.h5", lambda d: d[:-7])
    with pytest.raises(OSError, match=r"simulation_00001\.h5 has .* bytes; ensemble\.json says"):
        open_native(copy)
    path.write_bytes(data)

    untouched = open_native(copy)
    path, data = spoil("simulation_00002.h5", lambda d: d[:9000] + bytes([d[9000] ^ 1]) + d[9001:])
    for look in (untouched.verify, lambda: open_native(copy)):
        with pytest.raises(OSError, match=r"simulation_00002\.h5 has changed"):
            look()
    path.write_bytes(data)

    (copy / "simulation_00003.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"simulation_00003\.h5 is missing"):
        open_native(copy)


def test_a_flipped_bit_in_a_field_is_an_error_and_not_a_number(copy):
    path, opened = copy / "simulation_00000.h5", open_native(copy)
    with h5py.File(path) as file:
        chunk = file["energy"].id.get_chunk_info(7)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"simulation_00000\.h5: field energy, time 7"):
        opened.read(7)


def rewrite(path, change):
    """Change the manifest of an ensemble."""
    manifest = json.loads((path / "ensemble.json").read_text())
    change(manifest)
    write_json(path / "ensemble.json", manifest)


def test_a_foreign_manifest_and_a_missing_field_are_named(copy):
    with h5py.File(copy / "simulation_00000.h5", "r+") as file:
        del file["material"]
    size = (copy / "simulation_00000.h5").stat().st_size
    rewrite(copy, lambda manifest: manifest["files"][0].update(bytes=size))
    for read in (lambda e: e.read(0), lambda e: list(e.chunks(e.files[0]))):
        with pytest.raises(KeyError, match="no field 'material'"):
            read(open_native(copy))
    rewrite(copy, lambda manifest: manifest.update(format="other/9"))
    with pytest.raises(ValueError, match="'other/9'"):
        open_native(copy)


KEYS = ("fields", "grid", "inputs", "dtype", "benchmark", "request", "times", "files", "failed")
WRONG = (None, 5, "text", [], {}, ["x"], [5], [{}], [[]], {"x": None})


@pytest.mark.parametrize("key", KEYS)
def test_a_damaged_manifest_is_one_sentence_that_names_it(write, key):
    made, _ = write((2, 1))
    whole = json.loads((made.path / "ensemble.json").read_text())
    sentence = r"written/ensemble\.json is damaged or incomplete: [^\n]+"
    del (lacking := dict(whole))[key]
    harmless = {"benchmark": ({}, {"x": None}), "request": ({}, {"x": None}), "failed": ([],)}
    wrong = [whole | {key: value} for value in WRONG if value not in harmless.get(key, ())]
    for manifest in (lacking, *wrong):
        write_json(made.path / "ensemble.json", manifest)
        with pytest.raises(ValueError, match=sentence):
            open_native(made.path)


@pytest.mark.parametrize("key", ["simulation", "parameters", "times", "file", "bytes", "sha256"])
def test_a_damaged_entry_is_one_sentence_that_names_the_manifest(write, key):
    made, _ = write((2, 1))
    whole = json.loads((made.path / "ensemble.json").read_text())
    (first, second), sentence = whole["files"], r"ensemble\.json is damaged or incomplete: [^\n]+"
    lacking = {k: v for k, v in first.items() if k != key}
    for entry in (lacking, *({**first, key: value} for value in (None, [5], ["a", "b"], {}))):
        write_json(made.path / "ensemble.json", whole | {"files": [entry, second]})
        with pytest.raises(ValueError, match=sentence):
            open_native(made.path)
    write_json(made.path / "ensemble.json", whole | {"files": [first, first]})
    with pytest.raises(ValueError, match=r"ensemble\.json .* one of them twice"):
        open_native(made.path)


def test_failures_of_a_damaged_manifest_and_parameters_that_lack_are_named(write):
    made, _ = write((2, 1))
    rewrite(made.path, lambda m: m["files"][0].update(parameters=[1.0]))
    with pytest.raises(ValueError, match="simulation 2 has 1 parameters, not 2"):
        open_native(made.path)
    rewrite(made.path, lambda m: m.update(failed=[{"simulation": 3}]))
    with pytest.raises(ValueError, match="an entry of 'failed' has no 'reason'"):
        open_native(made.path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "5", '"text"', "null", "\x00\xff"])
@pytest.mark.parametrize("name", ["ensemble.json", "request.json"])
def test_what_is_no_json_object_is_one_sentence_that_names_it(write, tmp_path, text, name):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=f"{name} is damaged or incomplete"):
        write(path=tmp_path)
    if name == "ensemble.json":
        with pytest.raises(ValueError, match=f"{name} is damaged or incomplete"):
            open_native(tmp_path)


@pytest.mark.parametrize("name", ["../x.h5", "/x.h5", "sub/x.h5", "..", ".", ""])
def test_a_manifest_that_leaves_its_folder_is_refused(write, name):
    made, _ = write((2, 1))
    shutil.copy(made.file(2), made.path.parent / "x.h5")
    (made.path / "sub").mkdir()
    shutil.copy(made.file(2), made.path / "sub" / "x.h5")
    name = str(made.path.parent / "x.h5") if name == "/x.h5" else name
    rewrite(made.path, lambda manifest: manifest["files"][0].update(file=name))
    with pytest.raises(ValueError, match="which is no file of this folder"):
        open_native(made.path)


def test_folders_of_surrlab_0_1_are_refused_with_what_to_do(write, tmp_path):
    old = {"format": "surrlab-ensemble/1", "scenario": {"name": "rayleigh-taylor"}, "files": []}
    write_json(tmp_path / "ensemble.json", old)
    for opened in (open_native, open_ensemble):
        with pytest.raises(ValueError, match=r"written by surrlab 0\.1, .* remove the folder"):
            opened(tmp_path)
    with pytest.raises(FileExistsError, match="remove it or choose another path"):
        write(path=tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(tmp_path, ensemble, value):
    samples = ensemble.read_simulation(0).copy()
    samples[13, ensemble.index("energy"), 2, 3] = value
    run = dataclasses.replace(ensemble.runs[0], simulation=8)
    with pytest.raises(ValueError, match="simulation 8, time 13, field energy holds 1 value"):
        native.write_simulation(tmp_path / "new.h5", Header.of(ensemble), run, samples)


@pytest.mark.parametrize("dtype", [">f4", "f8"])
def test_other_number_formats_are_converted(tmp_path, ensemble, copy, dtype):
    path = copy / "simulation_00000.h5"
    with h5py.File(path, "r+") as file:
        values = file["density"][:]
        del file["density"]
        file["density"] = values.astype(dtype)
    rewrite(copy, lambda manifest: manifest["files"][0].update(bytes=path.stat().st_size))
    samples = open_native(copy).read_simulation(0)
    assert samples.dtype == np.float32 and samples.dtype.isnative
    np.testing.assert_array_equal(samples, ensemble.read_simulation(0))
