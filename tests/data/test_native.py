import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from surrlab import compression, simulation
from surrlab.data import native
from surrlab.simulation import scenario
from surrlab.simulation.rayleigh_taylor import RayleighTaylor


@pytest.fixture
def copy(ensemble, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(ensemble.path, tmp_path / "copy")


def generate(path, **changes):
    numbers = {"n_simulations": 4, "shape": (24, 8), "seed": 3} | changes
    return simulation.generate(RayleighTaylor(), path, **numbers)


def test_samples_are_the_scenario_s(ensemble):
    scenario = RayleighTaylor()
    parameters = scenario.sample(6, seed=1)
    expected = scenario.simulate(parameters[4], scenario.grid((24, 8)))
    np.testing.assert_array_equal(ensemble.read(4), expected)
    np.testing.assert_array_equal(ensemble.read(4, 7), expected[7])
    np.testing.assert_array_equal(ensemble.inputs[4], scenario.inputs(parameters[4]))
    assert ensemble.shape == (6, 51, 6, 24, 8)


def test_a_file_explains_itself_to_any_hdf5_reader(ensemble):
    with h5py.File(ensemble.file(2)) as file:
        assert file.attrs["format"] == "surrlab-ensemble/1"
        assert list(file.attrs["field_names"]) == list(scenario.NAMES)
        assert list(file.attrs["parameter_names"]) == ["density_ratio", "gamma", "v_init"]
        for name in scenario.NAMES:
            dataset = file[name]
            assert (dataset.dtype, dataset.chunks) == (np.float32, (1, 24, 8))
            assert dataset.attrs["units"] == scenario.units()[name]
            assert [dim[0].name for dim in dataset.dims] == ["/time", "/y", "/x"]
        np.testing.assert_array_equal(file["inputs"], ensemble.inputs[2])


def test_xarray_is_lazy_and_labelled(ensemble):
    dataset = ensemble.to_xarray()
    assert dataset["density"].chunks is not None
    assert dataset["density"].sizes == {"simulation": 6, "time": 51, "y": 24, "x": 8}
    assert dataset["velocity_y"].attrs["units"] == "cm/s"
    sample = dataset["pressure"].sel(simulation=5).sel(time=1.4, method="nearest")
    np.testing.assert_array_equal(sample, ensemble.read(5, 7)[scenario.NAMES.index("pressure")])


def test_split_is_by_simulation_and_by_seed(ensemble):
    train, test = ensemble.split(0.34, seed=5)
    assert len(test.simulations) == 2
    assert sorted(train.simulations + test.simulations) == list(range(6))
    assert ensemble.split(0.34, seed=5)[1].simulations == test.simulations
    assert len({ensemble.split(0.34, seed=s)[1].simulations for s in range(8)}) > 1
    np.testing.assert_array_equal(test.inputs[0], ensemble.inputs[test.simulations[0]])
    with pytest.raises(KeyError, match=f"no simulation {train.simulations[0]}"):
        test.read(train.simulations[0])
    with pytest.raises(ValueError, match="leaves 0 of 6"):
        ensemble.split(0.01, seed=0)


def test_the_digest_follows_the_contents(ensemble, copy):
    assert native.open(copy).digest == ensemble.digest
    assert ensemble.select([0, 1]).digest != ensemble.digest


def test_a_finished_ensemble_is_opened_not_made_again(tmp_path):
    first = generate(tmp_path / "e")
    stamp = first.file(0).stat().st_mtime_ns
    assert generate(tmp_path / "e").file(0).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("change", [{"seed": 4}, {"n_simulations": 5}, {"shape": (48, 16)}])
def test_a_folder_of_another_ensemble_is_refused(tmp_path, change):
    generate(tmp_path / "e")
    with pytest.raises(FileExistsError, match="holds another ensemble"):
        generate(tmp_path / "e", **change)


def test_a_folder_with_other_contents_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("do not lose me")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex"):
        generate(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_killed_in_the_middle_it_goes_on_to_the_same_ensemble(tmp_path):
    code = (
        "from surrlab import ensembles, scenarios\n"
        f"simulation.generate(scenarios.RayleighTaylor(), {str(tmp_path / 'e')!r},"
        " n_simulations=40, shape=(48, 16), seed=3)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not list((tmp_path / "e").glob("*.h5")):
        assert child.poll() is None
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "e").glob("*.h5")}
    assert 0 < len(kept) < 40
    with pytest.raises(FileNotFoundError, match="is not finished"):
        native.open(tmp_path / "e")

    numbers = {"n_simulations": 40, "shape": (48, 16), "seed": 3}
    resumed = simulation.generate(RayleighTaylor(), tmp_path / "e", **numbers)
    whole = simulation.generate(RayleighTaylor(), tmp_path / "whole", **numbers)
    assert resumed.digest == whole.digest
    assert all((tmp_path / "e" / name).stat().st_mtime_ns == t for name, t in kept.items())
    assert not list((tmp_path / "e").glob("*.tmp"))


class Vacuum(RayleighTaylor):
    """So little pressure that under a heavy gas none is left at the top."""

    base_pressure = 1.6

    def simulate(self, parameters, grid):
        Vacuum.runs += 1
        return super().simulate(parameters, grid)


def test_simulations_that_fail_are_listed_and_the_others_go_on(tmp_path, monkeypatch):
    Vacuum.runs = 0
    numbers = {"n_simulations": 6, "shape": (24, 8), "seed": 3}
    with monkeypatch.context() as patch:
        patch.setattr(native, "sha256", lambda _: 1 / 0)  # dies before the manifest is written
        with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
            simulation.generate(Vacuum(), tmp_path / "e", executor=executor, **numbers)
    with ThreadPoolExecutor(1) as executor:
        made = simulation.generate(Vacuum(), tmp_path / "e", executor=executor, **numbers)
    assert Vacuum.runs == 6  # none a second time
    heavy = Vacuum().sample(6, seed=3)[:, 0] > 3
    assert list(made.failed) == np.flatnonzero(heavy).tolist()
    assert list(made.simulations) == np.flatnonzero(~heavy).tolist()
    for reason in made.failed.values():
        assert reason.startswith("step 0, t = 0 s: pressure is -") and "cell of row" in reason
    assert f"{(~heavy).sum()} simulations of rayleigh-taylor ({heavy.sum()} more failed)" in repr(
        made
    )
    train, test = made.split(0.5, seed=1)
    assert not set(train.simulations + test.simulations) & set(made.failed)
    small = compression.compress(train, 0.01, tmp_path / "small")
    assert small.simulations == train.simulations
    np.testing.assert_allclose(
        small.read(train.simulations[0]), made.read(train.simulations[0]), atol=0.01
    )
    made.verify()
    assert sorted(os.listdir(tmp_path / "e")) == sorted(
        ["ensemble.json", *(made.file(s).name for s in made.simulations)]
    )


def test_an_ensemble_of_failures_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Vacuum, "base_pressure", 0.1)
    with ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="all 2 simulations"):
        simulation.generate(
            Vacuum(), tmp_path, n_simulations=2, shape=(24, 8), seed=3, executor=executor
        )


def test_a_missing_truncated_or_tampered_file_is_named(copy):
    def spoil(name, change):
        path = copy / name
        data = path.read_bytes()
        path.write_bytes(change(data))
        return path, data

    path, data = spoil("simulation_00001.h5", lambda d: d[:-7])
    with pytest.raises(OSError, match=r"simulation_00001\.h5 has .* bytes; ensemble\.json says"):
        native.open(copy)
    path.write_bytes(data)

    untouched = native.open(copy)
    path, data = spoil("simulation_00002.h5", lambda d: d[:9000] + bytes([d[9000] ^ 1]) + d[9001:])
    for look in (untouched.verify, lambda: native.open(copy)):
        with pytest.raises(OSError, match=r"simulation_00002\.h5 has changed"):
            look()
    path.write_bytes(data)

    (copy / "simulation_00003.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"simulation_00003\.h5 is missing"):
        native.open(copy)


def test_a_flipped_bit_in_a_field_is_an_error_and_not_a_number(copy):
    path, opened = copy / "simulation_00000.h5", native.open(copy)
    with h5py.File(path) as file:
        chunk = file["energy"].id.get_chunk_info(7)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"simulation_00000\.h5: field energy, time 7"):
        opened.read(0, 7)


def test_a_foreign_manifest_and_a_missing_field_are_named(copy):
    with h5py.File(copy / "simulation_00000.h5", "r+") as file:
        del file["material"]
    manifest = json.loads((copy / "ensemble.json").read_text())
    manifest["files"][0]["bytes"] = (copy / "simulation_00000.h5").stat().st_size
    (copy / "ensemble.json").write_text(json.dumps(manifest))
    with pytest.raises(KeyError, match="no field 'material'"):
        native.open(copy).read(0)
    (copy / "ensemble.json").write_text(json.dumps(manifest | {"format": "other/9"}))
    with pytest.raises(ValueError, match="'other/9'"):
        native.open(copy)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(tmp_path, ensemble, value):
    samples = ensemble.read(0).copy()
    samples[13, scenario.NAMES.index("energy"), 2, 3] = value
    header = ensemble.header
    with pytest.raises(ValueError, match="simulation 8, time 13, field energy holds 1 value"):
        native.write_simulation(tmp_path / "new.h5", header, 8, [2.0, 1.4, 1.0], samples)


@pytest.mark.parametrize("dtype", [">f4", "f8"])
def test_other_number_formats_are_converted(tmp_path, ensemble, copy, dtype):
    path = copy / "simulation_00000.h5"
    with h5py.File(path, "r+") as file:
        values = file["density"][:]
        del file["density"]
        file["density"] = values.astype(dtype)
    manifest = json.loads((copy / "ensemble.json").read_text())
    manifest["files"][0]["bytes"] = path.stat().st_size
    (copy / "ensemble.json").write_text(json.dumps(manifest))
    sample = native.open(copy).read(0)
    assert sample.dtype == np.float32 and sample.dtype.isnative
    np.testing.assert_array_equal(sample, ensemble.read(0))


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path):
    def write(simulation, path):
        path.write_bytes(b"half a file")
        if simulation == 1:
            raise OSError(28, "No space left on device", str(path))

    class InProcess:
        def submit(self, function, *arguments):
            from concurrent.futures import Future

            future = Future()
            try:
                future.set_result(function(*arguments))
            except OSError as error:
                future.set_exception(error)
            return future

    def build():
        header, rows = {key: {} for key in native.HEADER}, {0: [1.0], 1: [2.0]}
        writers = {s: functools.partial(write, s) for s in rows}
        native.build(tmp_path, header, {}, rows, writers, executor=InProcess(), label="write")

    with pytest.raises(OSError, match="No space left"):
        build()
    assert sorted(os.listdir(tmp_path)) == ["ensemble.partial.json", "simulation_00000.h5"]
    with pytest.raises(FileNotFoundError, match="is not finished"):
        native.open(tmp_path)
