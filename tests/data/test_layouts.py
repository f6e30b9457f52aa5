"""Every foreign layout: values bit for bit, views, places, and the card that completes it."""

import json
import pickle
import shutil
import subprocess
import sys
from importlib.util import find_spec

import foreign
import h5py
import numpy as np
import platformdirs
import pytest

from surrlab.data.ensemble import Ensemble
from surrlab.data.layouts.cards import stores
from surrlab.data.layouts.cards.card import Card
from surrlab.data.layouts.cards.reading import CardEnsemble
from surrlab.data.open import card_template, open_ensemble, read_card
from surrlab.loading.loader import SampleLoader

HAS_ZARR = pytest.mark.skipif(find_spec("zarr") is None, reason="zarr is an extra")
FIELDS = ("a", "b", "c")
LAYOUTS = {  # name -> writer, layout, names of fields, axes and parameters, read in place
    "professor1": (
        lambda p: foreign.professor(p, 1), "professor", ("field_0", "field_1", "field_2"),
        ("y", "x"), ("parameter_0", "parameter_1"), True),
    "professor0": (
        lambda p: foreign.professor(p, 0), "professor", ("field_0", "field_1", "field_2"),
        ("y", "x"), ("parameter_0", "parameter_1"), True),
    "well": (
        foreign.well, "well", ("heat", "velocity_y", "velocity_x"), ("y", "x"), ("viscosity",),
        False),
    "one netcdf": (
        foreign.netcdf, "xarray", FIELDS, ("lat", "lon"), ("viscosity", "speed"), True),
    "gzip netcdf": (
        lambda p: foreign.netcdf(p, zlib=True), "xarray", FIELDS, ("lat", "lon"),
        ("viscosity", "speed"), False),
    "big-endian netcdf": (
        lambda p: foreign.netcdf(p, dtype=">f4"), "xarray", FIELDS, ("lat", "lon"),
        ("viscosity", "speed"), False),
    "chunked netcdf": (
        lambda p: foreign.netcdf(p, chunksizes=(2, 3, 12, 7), fletcher32=False), "xarray", FIELDS,
        ("lat", "lon"), ("viscosity", "speed"), True),
    "checksummed netcdf": (
        lambda p: foreign.netcdf(p, chunksizes=(1, 1, 12, 7), fletcher32=True), "xarray", FIELDS,
        ("lat", "lon"), ("viscosity", "speed"), True),
    "netcdf runs": (
        foreign.netcdf_runs, "xarray", FIELDS, ("lat", "lon"), ("viscosity", "speed"), True),
    "pdebench": (
        foreign.pdebench, "pdebench", ("Vx", "density", "pressure"), ("x", "y"), ("M",), True),
    "pdebench groups": (
        foreign.pdebench_groups, "pdebench", ("field_0", "field_1", "field_2"), ("x", "y"),
        ("Du",), False),
    "npz": (foreign.npz, "npz", ("u_0", "u_1", "u_2"), ("y", "x"), ("p_0", "p_1"), True),
    "pyro": (
        foreign.pyro, "pyro", ("density", "energy", "x_momentum"), ("x", "y"),
        ("rt.amp", "rt.dens2"), True),
    "zarr 2": (
        lambda p: foreign.zarr(p, 2), "zarr", FIELDS, ("lat", "lon"), ("speed", "viscosity"),
        False),
    "zarr 3": (
        lambda p: foreign.zarr(p, 3), "zarr", FIELDS, ("lat", "lon"), ("speed", "viscosity"),
        False),
}  # fmt: skip
EVERY = [pytest.param(n, marks=HAS_ZARR) if "zarr" in n else n for n in LAYOUTS]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache, emptied for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: str(folder))
    return folder


def write(name, folder):
    """Write one and open it -> ensemble, truth."""
    if "zarr" in name:
        stores.import_zarr()
    path, truth = LAYOUTS[name][0](folder)
    return open_ensemble(path, card=foreign.NPZ_CARD if name == "npz" else None), truth


@pytest.mark.parametrize("name", EVERY)
def test_values_are_the_source_s_bit_for_bit(name, tmp_path):
    _, layout, fields, axes, parameters, in_place = LAYOUTS[name]
    ensemble, truth = write(name, tmp_path / "it")
    assert isinstance(ensemble, CardEnsemble) and ensemble.metadata["layout"] == layout
    assert (ensemble.field_names, ensemble.grid.names) == (fields, axes)
    assert ensemble.input_names == (*parameters, "time")
    assert ensemble.reads_in_place == in_place and bool(ensemble.library) != in_place
    assert ensemble.dtype == truth[0][2].dtype.name and len(ensemble.runs) == len(truth)
    order = [0, 1] if parameters != ("speed", "viscosity") else [1, 0]  # Zarr lists by name
    for run, (values, times, samples) in zip(ensemble.runs, truth, strict=True):
        np.testing.assert_array_equal(run.times, times)
        np.testing.assert_array_equal(
            run.parameters, np.array(values)[order[: len(values)]], strict=False)  # fmt: skip
        found = ensemble.read_simulation(run.simulation)
        assert found.dtype == samples.dtype and found.dtype.isnative
        np.testing.assert_array_equal(found, samples)
        for step, sample in enumerate(ensemble.of(run.simulation)):
            np.testing.assert_array_equal(ensemble.read(sample), samples[step])


@pytest.mark.parametrize("name", EVERY)
def test_views(name, tmp_path):
    ensemble, truth = write(name, tmp_path / "it")
    part = ensemble.select([2, 0])
    np.testing.assert_array_equal(part.read(0), truth[2][2][0])
    np.testing.assert_array_equal(part.read_simulation(0), truth[0][2])
    train, test = ensemble.split(0.34, seed=1)
    assert sorted(train.simulations + test.simulations) == list(ensemble.simulations)
    table = part.to_xarray()
    for i, field in enumerate(ensemble.field_names):
        every = np.concatenate([truth[2][2][:, i], truth[0][2][:, i]])
        np.testing.assert_array_equal(table[field], every)
    assert table[ensemble.field_names[0]].dims == ("sample", *ensemble.grid.names)


@pytest.mark.parametrize("name", EVERY)
def test_chunks_are_where_the_fields_lie(name, tmp_path):
    whole, _ = write(name, tmp_path / "it")
    ensemble = whole.select([2, 1])
    if not whole.reads_in_place:
        assert ensemble.files == ()
        with pytest.raises(ValueError, match="it"):
            list(ensemble.chunks(tmp_path))
        return
    found = {}
    for file in ensemble.files:
        stored = file.read_bytes()
        for chunk in ensemble.chunks(file):
            end = len(ensemble.read(0)[0].tobytes())
            assert [number for number, _ in chunk.filters] in ([], [3])
            found[chunk.sample, chunk.field] = stored[chunk.offset :][:end]
    assert len(found) == len(ensemble.samples) * len(ensemble.fields)
    for (sample, field), stored in found.items():
        assert stored == ensemble.read(sample)[field].tobytes()


@pytest.mark.parametrize("name", ["professor1", "pyro", "netcdf runs", "npz", "checksummed netcdf"])
def test_the_loader_reads_them_in_place(name, tmp_path):
    ensemble, _ = write(name, tmp_path / "it")
    with SampleLoader(ensemble, 4, seed=0, shuffle=False, threads=1) as loader:
        assert loader.reads_in_place
        fields = np.concatenate([batch for _, batch in loader])
    every = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
    np.testing.assert_array_equal(fields, every.astype(fields.dtype))  # networks take float32


def test_the_loader_follows_a_list_that_changes(tmp_path):
    folder, truth = foreign.professor(tmp_path / "it")
    for order in (1, -1):
        lines = [f"run_{s}.h5 {i}\n" for s in range(3)[::order] for i in range(4)]
        (folder / "filelist.txt").write_text("".join(lines))
        with SampleLoader(open_ensemble(folder), 12, seed=0, shuffle=False, threads=1) as loader:
            ((_, fields),) = loader
            np.testing.assert_array_equal(
                fields, np.concatenate([t[2][:4] for t in truth[::order]])
            )


@pytest.mark.parametrize("name", EVERY)
def test_the_digest_is_identity(name, tmp_path, cache):
    ensemble, _ = write(name, tmp_path / "it")
    shutil.copytree(tmp_path / "it", tmp_path / "copy")
    copied = str(ensemble.path).replace("/it", "/copy")
    copy = open_ensemble(copied, card=foreign.NPZ_CARD if name == "npz" else None)
    assert copy.digest == ensemble.digest != ensemble.select([0, 1]).digest
    assert "checksums" in ensemble.digest_kind or "4096 bytes" in ensemble.digest_kind
    assert ("checksums" in ensemble.digest_kind) == (name == "checksummed netcdf")
    if ensemble.reads_in_place:  # another value, and the digest that was remembered is made again
        file = copy.files[-1]
        last = max(copy.chunks(file), key=lambda chunk: chunk.offset)
        stored = bytearray(file.read_bytes())
        stored[last.offset + last.nbytes - 1] ^= 1
        file.write_bytes(stored)
        again = open_ensemble(copied, card=foreign.NPZ_CARD if name == "npz" else None)
        assert again.digest != ensemble.digest


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_written_beside_the_data(name, tmp_path):
    ensemble, _ = write(name, tmp_path / "it")
    before = sorted(p for p in (tmp_path / "it").rglob("*"))
    assert ensemble.digest
    assert sorted(p for p in (tmp_path / "it").rglob("*")) == before


@pytest.mark.parametrize("name", EVERY)
def test_a_card_is_json_and_a_template_adds_nothing(name, tmp_path):
    ensemble, _ = write(name, tmp_path / "it")
    given = foreign.NPZ_CARD if name == "npz" else {}
    card = read_card(ensemble.path, LAYOUTS[name][1], given)
    assert Card.from_config(json.loads(json.dumps(card.config()))) == card
    template = json.loads(json.dumps(card_template(ensemble.path, card=given)))
    filled = open_ensemble(ensemble.path, card={**given, **template})
    assert filled.digest == ensemble.digest


def test_what_is_missing_is_marked_and_filled_in(tmp_path):
    folder, truth = foreign.professor(tmp_path / "it")
    template = card_template(folder)
    assert template["fields"]["field_0"] == {"name": "?", "unit": "?", "label": "field 0"}
    assert template["axes"]["y"] == {"unit": "?", "low": "?", "high": "?"}
    assert template["time"] == {"unit": "?"}
    (folder / "surrlab.json").write_text(json.dumps({
        "benchmark": "jet",
        "fields": ["density", {"name": "speed", "unit": "m/s"}, {"name": "p", "label": "pressure"}],
        "parameters": {"parameter_0": {"name": "viscosity", "unit": "m2/s"}},
        "axes": {"y": {"low": -1, "high": 2, "unit": "m"}, "x": {"name": "r"}},
        "time": {"unit": "s"},
    }))  # fmt: skip
    ensemble = open_ensemble(folder, card={"constants": {"gravity": 9.81}})
    assert ensemble.benchmark == "jet"
    assert ensemble.metadata["benchmark"]["constants"] == {"gravity": 9.81}
    assert [(f.name, f.unit, f.label) for f in ensemble.fields] == [
        ("density", "1", "density"), ("speed", "m/s", "speed"), ("p", "1", "pressure")]  # fmt: skip
    assert ensemble.input_names == ("viscosity", "parameter_1", "time")
    assert ensemble.input_units == ("m2/s", "1", "s")
    assert ensemble.grid.names == ("y", "r") and ensemble.grid["y"].length == 3
    assert ensemble.grid["y"].is_uniform
    np.testing.assert_array_equal(ensemble.read_simulation(1), truth[1][2])
    assert card_template(folder)["fields"]["speed"]["unit"] == "m/s"


@pytest.mark.parametrize(
    ("n_parameters", "benchmark", "fourth"),
    [(3, "Rayleigh-Taylor", "pressure"), (5, "PCHIP", "energy")],
)
def test_llnl_s_fields_are_known_by_their_inputs(tmp_path, n_parameters, benchmark, fourth):
    (tmp_path / "it").mkdir()
    (run,) = foreign.runs(n_fields=6, times=(3,), n_parameters=n_parameters)
    with h5py.File(tmp_path / "it" / "a.h5", "w") as f:
        f["fields"], f["inputs"] = run[2], np.float32([[*run[0], t] for t in run[1]])
    (tmp_path / "it" / "filelist.txt").write_text("".join(f"a.h5 {i}\n" for i in range(3)))
    ensemble = open_ensemble(tmp_path / "it")
    assert ensemble.benchmark == benchmark and ensemble.field_names[3] == fourth


def test_professor_s_list_may_mix_and_choose(tmp_path):
    folder, truth = foreign.professor(tmp_path / "it")
    with h5py.File(folder / "mixed.h5", "w") as f:  # two simulations, and a row that is not listed
        inputs = [[*p, t] for p, times, _ in truth[:2] for t in times]
        f["inputs"] = np.float32(inputs)
        f["fields"] = np.concatenate([truth[0][2], truth[1][2]])
    (folder / "filelist.txt").write_text("".join(f"mixed.h5 {i}\n" for i in (8, 1, 0, 5, 3, 6, 2)))
    ensemble = open_ensemble(folder, card={"input_scale": [2.0, 1.0, 1.0]})
    assert [len(run.times) for run in ensemble.runs] == [3, 4]
    np.testing.assert_array_equal(ensemble.read_simulation(0), truth[1][2][[0, 1, 3]])
    np.testing.assert_array_equal(ensemble.read_simulation(1), truth[0][2][:4])
    np.testing.assert_array_equal(ensemble.parameters[1], np.array(truth[0][0]) / [2, 1])
    assert ensemble.file_nbytes == (folder / "mixed.h5").stat().st_size
    assert ensemble.select([0]).file_nbytes is None


def test_professor_s_runs_may_differ_by_their_initial_state_alone(tmp_path):
    folder, truth = foreign.professor(tmp_path / "it")
    for s, (_, times, _) in enumerate(truth):
        with h5py.File(folder / f"run_{s}.h5", "r+") as f:
            f["inputs"][...] = np.float32([[1, 2, t] for t in times])
    ensemble = open_ensemble(folder)
    assert [len(run.times) for run in ensemble.runs] == list(foreign.RAGGED)


def test_names_of_dimensions_may_be_told(tmp_path):
    dataset, truth = foreign.labelled()
    dataset = dataset.rename({"member": "who", "step": "when"})
    dataset.to_netcdf(tmp_path / "it.nc", engine="h5netcdf")
    with pytest.raises(
        ValueError, match=r"arrays lie over who, when, lat, lon; say in a card which are runs"
    ):
        open_ensemble(tmp_path / "it.nc")
    ensemble = open_ensemble(tmp_path / "it.nc", card={"dims": {"who": "run", "when": "time"}})
    np.testing.assert_array_equal(ensemble.read_simulation(2), truth[2][2])


def test_bounds_and_surfaces_are_not_taken_for_the_fields(tmp_path):
    import xarray as xr

    dataset, _ = foreign.labelled()
    dataset["bounds"] = xr.DataArray(np.zeros((12, 2)), dims=("lat", "nv"))
    dataset["Area"] = xr.DataArray(np.zeros((12, 7)), dims=("lat", "lon"))
    dataset["mean"] = xr.DataArray(np.ones((3, 4, 12)), dims=("member", "step", "lat"))
    dataset = dataset.set_coords("Area")
    dataset.to_netcdf(tmp_path / "it.nc", engine="h5netcdf")
    ensemble = open_ensemble(tmp_path / "it.nc")
    assert ensemble.field_names == FIELDS and set(ensemble.metadata["left_out"]) == {
        "bounds",
        "mean",
    }
    ensemble = open_ensemble(tmp_path / "it.nc", card={"fields": ["mean"]})
    assert ensemble.shape == (12, 1, 12) and (ensemble.read(3) == 1).all()
    dataset.drop_vars(("viscosity", "speed")).rename(member="who").to_netcdf(
        tmp_path / "who.nc", engine="h5netcdf"
    )
    with pytest.raises(ValueError, match="arrays lie over who, step, lat, lon"):
        open_ensemble(tmp_path / "who.nc")


def test_ragged_runs_in_one_file_are_filled_up_with_nan(tmp_path):
    import xarray as xr

    dataset, truth = foreign.labelled()
    times = np.array([times for _, times, _ in truth])
    times[1, 3:], dataset["a"][1, 3:] = np.nan, np.nan
    dataset = dataset.drop_vars("step").assign_coords(time=(("member", "step"), times))
    dataset["scalar"] = xr.DataArray(np.zeros((3, 4)), dims=("member", "step"))
    dataset.to_netcdf(tmp_path / "it.nc", engine="h5netcdf")
    ensemble = open_ensemble(tmp_path / "it.nc")
    assert [len(run.times) for run in ensemble.runs] == [4, 3, 4]
    np.testing.assert_array_equal(ensemble.read_simulation(1), truth[1][2][:3])


def test_static_fields_and_other_orders_of_axes(tmp_path):
    dataset, truth = foreign.labelled()
    ground = dataset["a"][0, 0].drop_vars("step") * 2
    dataset = dataset.transpose("step", "lat", "lon", "member").assign(ground=ground)
    dataset.to_netcdf(tmp_path / "it.nc", engine="h5netcdf")
    ensemble = open_ensemble(tmp_path / "it.nc")
    assert [field.static for field in ensemble.fields] == [False, False, False, True]
    assert not ensemble.reads_in_place and "grid's axes before others" in ensemble.library
    np.testing.assert_array_equal(ensemble.read_simulation(1)[:, :3], truth[1][2])
    np.testing.assert_array_equal(ensemble.read(6)[3], ground)


def test_fields_of_one_and_of_three_dimensions(tmp_path):
    for name, shape in (("one", (9,)), ("three", (3, 4, 5))):
        ((_, times, samples),) = foreign.runs(shape, n_fields=1, times=(2,))
        np.savez(tmp_path / f"{name}.npz", u=samples[:, 0], t=times)
        axes = ["time", "z", "y", "x"][: 1 + len(shape)]
        card = {"arrays": {"u": axes, "t": ["time"]}}
        ensemble = open_ensemble(tmp_path / f"{name}.npz", card=card)
        assert ensemble.grid.shape == shape and ensemble.input_names == ("time",)
        np.testing.assert_array_equal(ensemble.read_simulation(0), samples)


def test_arrays_in_npy_files_and_small_integers(tmp_path):
    (tmp_path / "it").mkdir()
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.save(tmp_path / "it" / "level.npy", values)
    card = {"arrays": {"level": ["time", "y", "x"]}, "time": {"values": [0, 2.5], "unit": "s"}}
    ensemble = open_ensemble(tmp_path / "it", card=card)
    assert ensemble.dtype == "float32" and "level is <i2" in ensemble.library
    np.testing.assert_array_equal(ensemble.read_simulation(0)[:, 0], values)
    assert ensemble.runs[0].times == (0.0, 2.5)
    before = card_template(tmp_path / "it")
    assert before["arrays"] == {"level": ["?", "?", "?"]}
    (tmp_path / "it" / "surrlab.json").touch()  # as `surrlab card it > it/surrlab.json` begins
    assert card_template(tmp_path / "it") == before
    with pytest.raises(ValueError, match=r"does not say what its arrays are.*surrlab card"):
        open_ensemble(tmp_path / "it")


def test_a_second_opening_reads_no_file(tmp_path, monkeypatch):
    folder, _ = foreign.netcdf_runs(tmp_path / "it")
    first = open_ensemble(folder, "xarray")
    monkeypatch.setattr(stores.h5py, "File", None)
    again = open_ensemble(folder, "xarray")
    assert (again.runs, again.fields, again.grid) == (first.runs, first.fields, first.grid)
    monkeypatch.undo()
    (folder / "run_2.nc").unlink()
    assert len(open_ensemble(folder).runs) == 2


def test_a_hundred_thousand_samples_open_at_once(tmp_path, cache):
    folder, n, text = tmp_path / "it", 2000, ""
    folder.mkdir()
    with h5py.File(folder / "0.h5", "w") as f:
        f["inputs"] = np.float32([[1, 2, t] for t in range(50)])
        f["fields"] = np.ones((50, 2, 3, 2), np.float32)
    stored = (folder / "0.h5").read_bytes()
    for i in range(n):
        (folder / f"{i}.h5").write_bytes(stored)
        text += "".join(f"{i}.h5 {row}\n" for row in range(50))
    (folder / "filelist.txt").write_text(text)
    assert open_ensemble(folder).shape == (50 * n, 2, 3, 2)
    program = f"""
import re, time
import platformdirs
platformdirs.user_cache_dir = lambda *_: {str(cache)!r}
from surrlab.data.open import open_ensemble
began = time.process_time()
ensemble = open_ensemble({str(folder)!r})
took = time.process_time() - began
peak = int(re.search("VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
assert len(ensemble.samples) == 100_000
assert took < 2 and peak < 300_000, (took, peak)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_view_takes_along_the_names_of_its_own_files_alone(tmp_path):
    path, truth = foreign.professor(tmp_path / "data", 0)  # one sample a file
    ensemble = open_ensemble(path)
    for simulation, (_, times, _) in enumerate(truth):
        view = ensemble.select([simulation])
        assert pickle.dumps(view).count(b"image_") == len(times)
        assert view.file_nbytes == sum(file.stat().st_size for file in view.files)


def test_views_travel_to_other_processes(tmp_path):
    import pickle

    ensemble, truth = write("pyro", tmp_path / "it")
    part = pickle.loads(pickle.dumps(ensemble.select([1])))
    assert isinstance(part, Ensemble)
    np.testing.assert_array_equal(part.read_simulation(1), truth[1][2])


@HAS_ZARR
def test_zarr_can_be_imported_beside_any_zfpy():
    """numcodecs 0.16 cannot read "1.0.1.post0"."""
    program = """
import importlib.metadata
version = importlib.metadata.version
importlib.metadata.version = lambda name: "1.0.1.post0" if name == "zfpy" else version(name)
from surrlab.data.layouts.cards.stores import import_zarr
import_zarr()
import numcodecs, zarr
assert importlib.metadata.version("zfpy") == "1.0.1.post0"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
