import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import compression
from surrlab.compression import hdf5_filters
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.search import find_tolerance
from surrlab.data import native
from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import open_native


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def errors(ensemble):
    """A tenth of each field's spread, for every simulation."""
    samples = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
    return xr.DataArray(0.1 * samples.std(axis=(0, 2, 3)), {"field": list(ensemble.field_names)})


@pytest.fixture(scope="module")
def found(ensemble, errors, pool, tmp_path_factory):
    path = tmp_path_factory.mktemp("compressed") / "x1"
    return compression.search_and_compress(ensemble, errors, path, executor=pool)


def build(path, ensemble, samples, pool):
    """A raw ensemble of given samples: ``{simulation: (T, 6, ny, nx)}``."""
    times = ensemble.runs[0].times
    runs = {s: Run(s, (2.0, 1.4, 1.0), times[: len(values)]) for s, values in samples.items()}
    header = native.Header.of(ensemble)
    writers = {
        s: lambda path, s=s: native.write_simulation(path, header, runs[s], samples[s])
        for s in samples
    }
    return native.build(path, header, {}, runs, writers, executor=pool, label="test")


def of(table, simulation):
    """The rows of one simulation."""
    return table[{"sample": table["simulation"].values == simulation}]


def manifest(ensemble):
    return json.loads((ensemble.path / native.MANIFEST).read_text())


def test_every_value_is_within_tolerance_and_every_mean_within_the_model_s(ensemble, errors, found):
    table = compression.table(found)
    for simulation in ensemble.simulations:
        difference = abs(
            found.read_simulation(simulation).astype(float) - ensemble.read_simulation(simulation)
        )
        at = of(table, simulation)
        assert (difference.max(axis=(2, 3)) <= at["tolerance"]).all()
        np.testing.assert_array_equal(difference.max(axis=(2, 3)), at["max_error"])
        np.testing.assert_allclose(difference.mean(axis=(2, 3)), at["error"], rtol=1e-12)
        assert (difference.mean(axis=(2, 3)) <= errors.values).all()
    assert (table["error"] <= errors).all() and (table["max_error"] <= table["tolerance"]).all()
    assert float(table["n_encodes"].mean()) <= 2.5


def test_the_stream_that_the_search_ends_on_is_the_one_stored(ensemble, errors, found):
    own = find_tolerance(ensemble.read(ensemble.position(3, 40))[0], float(errors[0]))
    with h5py.File(found.file(3)) as file:
        stored = file[f"_chunks/density/{own.codec.class_name}"]
        chunks = [stored.id.read_direct_chunk((i, 0, 0))[1] for i in range(len(stored))]
    assert own.stream + hdf5_filters.fletcher32(own.stream).to_bytes(4, "little") in chunks


def test_a_compressed_ensemble_looks_like_the_raw_one(ensemble, found):
    for name in ("fields", "grid", "shape", "runs", "input_names", "input_units", "benchmark"):
        assert getattr(found, name) == getattr(ensemble, name)
    np.testing.assert_array_equal(found.inputs, ensemble.inputs)
    request = found.metadata["request"]
    assert (request["source"], request["codec"]) == (ensemble.digest, "zfp")
    assert found.digest != ensemble.digest


def test_ratios_count_streams_and_files(ensemble, found):
    streams = 0
    for simulation in found.simulations:
        with h5py.File(found.file(simulation)) as file:
            for field in file["_chunks"].values():
                for stored in field.values():
                    assert stored.fletcher32
                    streams += stored.id.get_storage_size() - 4 * len(stored)
    ratios = compression.ratios(found)
    assert ratios.payload == pytest.approx(6 * 51 * 6 * 24 * 8 * 4 / streams)
    files = sum(found.file(s).stat().st_size for s in found.simulations)
    assert ratios.file == pytest.approx(6 * 51 * 6 * 24 * 8 * 4 / files)
    assert 1 < ratios.file < ratios.payload
    with pytest.raises(ValueError, match="not compressed"):
        compression.ratios(ensemble)


def test_any_hdf5_program_reads_it(ensemble, found, tmp_path):
    moved = shutil.copy(found.file(2), tmp_path / "renamed.h5")
    program = (
        "import sys, h5py, hdf5plugin, numpy as np\n"
        f"with h5py.File({str(moved)!r}) as f: np.save('seven.npy', f['density'][7])\n"
        "assert not any(name.startswith('surrlab') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    seven = ensemble.position(2, 7)
    tolerance = compression.table(found)["tolerance"][seven, 0]
    difference = abs(np.load(tmp_path / "seven.npy") - ensemble.read(seven)[0])
    assert 0 < difference.max() <= tolerance


def test_xarray_opens_it_with_labels(found):
    with xr.open_dataset(found.file(1), engine="h5netcdf") as dataset:
        assert dataset["pressure"].dims == ("time", "y", "x")
        assert dataset["pressure"].attrs["units"] == "g/(cm s²)"
        sample = dataset["velocity_y"].sel(time=1.4, method="nearest")
        np.testing.assert_array_equal(sample, found.read(found.position(1, 7))[2])
        np.testing.assert_array_equal(dataset["y"], found.grid.y.centres)
    with xr.open_dataset(found.file(1), engine="h5netcdf", group="compression") as table:
        own = of(compression.table(found), 1)["tolerance"]
        np.testing.assert_array_equal(table["tolerance"].sel(field="energy"), own[:, 4])
        assert table["tolerance"].dtype == table["error"].dtype == np.float64


def test_other_factors_reuse_what_was_found(ensemble, found, pool, tmp_path):
    tolerance = compression.table(found)["tolerance"]
    train, _ = ensemble.split(0.5, seed=0)
    finer = compression.compress(train, tolerance / 8, tmp_path / "finer", executor=pool)
    same = compression.compress(train, tolerance, tmp_path / "same", executor=pool)
    coarser = compression.compress(train, tolerance * 4, tmp_path / "coarser", executor=pool)
    assert finer.simulations == train.simulations
    payloads = [compression.ratios(e).payload for e in (finer, same, coarser)]
    assert payloads == sorted(payloads)
    for simulation in train.simulations:
        values = train.read_simulation(simulation)
        np.testing.assert_array_equal(
            same.read_simulation(simulation), found.read_simulation(simulation)
        )
        difference = abs(finer.read_simulation(simulation) - values).max(axis=(2, 3))
        assert (difference <= of(tolerance, simulation) / 8).all()


def test_by_sample_on_normalised_fields(ensemble, errors, pool, tmp_path):
    scale = (10 * errors).values.tolist()
    made = compression.search_and_compress(
        ensemble.select([0]),
        errors,
        tmp_path / "x",
        rule="sample",
        scale=scale,
        executor=pool,
    )
    table = compression.table(made)
    assert ((table["error"] / scale).mean("field") <= 0.1 * (1 + 1e-12)).all()
    assert (table["error"] > errors).any()  # what one field saves, another may spend
    assert made.metadata["request"]["scale"] == scale


def test_one_number_for_all_and_zero_for_lossless(ensemble, pool, tmp_path):
    one = ensemble.select([4])
    lossless = compression.compress(one, 0, tmp_path / "lossless", executor=pool)
    np.testing.assert_array_equal(lossless.read_simulation(4), one.read_simulation(4))
    assert (compression.table(lossless)["max_error"] == 0).all()
    rounded = compression.compress(one, 0.1, tmp_path / "rounded", executor=pool)
    assert (compression.table(rounded)["tolerance"] == 0.0625).all()
    again = compression.compress(rounded, 0.0, tmp_path / "again", executor=pool)
    np.testing.assert_array_equal(again.read_simulation(4), rounded.read_simulation(4))


def test_a_tolerance_finer_than_zfp_can_keep_is_kept_lossless(ensemble, pool, tmp_path):
    samples = 1e-33 * np.random.default_rng(0).normal(size=(3, 6, 24, 8))
    raw = build(tmp_path / "raw", ensemble, {0: samples.astype(np.float32)}, pool)
    made = compression.compress(raw, 1e-35, tmp_path / "x", executor=pool)
    assert (compression.table(made)["tolerance"] == 0).all()
    np.testing.assert_array_equal(made.read_simulation(0), raw.read_simulation(0))


def test_constant_and_zero_fields(ensemble, pool, tmp_path):
    samples = np.zeros((4, 6, 24, 8), np.float32)
    samples[:, 1], samples[2:, 3] = 3, -1e6
    raw = build(tmp_path / "raw", ensemble, {0: samples, 5: samples}, pool)
    made = compression.search_and_compress(raw, 0.01, tmp_path / "x", executor=pool)
    np.testing.assert_allclose(made.read_simulation(5), samples, atol=0.01)
    lossless = compression.search_and_compress(raw, 0, tmp_path / "lossless", executor=pool)
    np.testing.assert_array_equal(lossless.read_simulation(5), samples)
    assert (compression.table(lossless)["tolerance"] == 0).all()


def test_nan_is_named_and_nothing_is_kept(ensemble, pool, tmp_path):
    raw = build(
        tmp_path / "raw",
        ensemble,
        {s: ensemble.read_simulation(i) for i, s in enumerate((0, 7))},
        pool,
    )
    with h5py.File(raw.file(7), "r+") as file:
        file["velocity_x"][33, 2, 2] = np.inf
    for make in (compression.compress, compression.search_and_compress):
        path = tmp_path / make.__name__
        with pytest.raises(
            ValueError, match=r"raw.*00007.h5: simulation 7, time 33, field velocity_x"
        ):
            make(raw, 0.1, path, executor=pool)
        assert not (path / "simulation_00007.h5").exists()
        with pytest.raises(FileNotFoundError, match="not finished"):
            open_native(path)


def test_a_damaged_source_is_named(ensemble, pool, tmp_path):
    raw = build(tmp_path / "raw", ensemble, {7: ensemble.read_simulation(1)}, pool)
    with h5py.File(raw.file(7)) as file:
        chunk = file["material"].id.get_chunk_info_by_coord((9, 0, 0))
    with raw.file(7).open("r+b") as file:
        file.seek(chunk.byte_offset + 100)
        file.write(b"\xff\xff")
    with pytest.raises(OSError, match=r"00007.h5: field material"):
        compression.compress(raw, 0.1, tmp_path / "x", executor=pool)


def test_what_does_not_come_back_from_the_file_is_not_kept(ensemble, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(Zfp, "h5_filter", lambda codec: dict(Zfp(8 * codec.tolerance).filter()))
    monkeypatch.setattr(Zfp, "filter", ORIGINAL_FILTER, raising=False)
    with pytest.raises(OSError, match=r"simulation 4, time 0, field density .* tolerance 0.0625"):
        compression.compress(ensemble.select([4]), 0.1, tmp_path / "x", executor=pool)
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [native.REQUEST]


ORIGINAL_FILTER = Zfp.h5_filter


def test_a_folder_is_reused_for_the_same_request_only(ensemble, errors, found, pool):
    class Refuse:
        def submit(self, *_):
            raise AssertionError("computed again")

    again = compression.search_and_compress(ensemble, errors, found.path, executor=Refuse())
    assert (again.path, again.digest) == (found.path, found.digest)
    for other in (
        lambda: compression.search_and_compress(ensemble, errors / 2, found.path, executor=pool),
        lambda: compression.search_and_compress(
            ensemble.select([1]), errors, found.path, executor=pool
        ),
        lambda: compression.compress(ensemble, errors, found.path, executor=pool),
    ):
        with pytest.raises(FileExistsError, match="another ensemble"):
            other()


def test_a_folder_with_other_contents_is_refused(ensemble, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        compression.compress(ensemble, 0.1, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


PROGRAM = """
import os, resource, signal, sys
from concurrent.futures import ThreadPoolExecutor
from surrlab.compression import compress, search_and_compress
from surrlab.data.native import open_native

def die(path, ensemble, *_):
    if ensemble.simulations == (3,):
        os.kill(os.getpid(), signal.SIGKILL)

source, path, how = sys.argv[1:]
if how == "killed":
    sys.modules["surrlab.compression.compress"]._verify = die
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
with ThreadPoolExecutor(1) as pool:
    search_and_compress(open_native(source), 0.02, path, executor=pool)
"""


def interrupted(ensemble, path, how):
    arguments = [sys.executable, "-c", PROGRAM, str(ensemble.path), str(path), how]
    return subprocess.run(arguments, capture_output=True, text=True)


def test_after_a_kill_it_goes_on_to_the_same_files(ensemble, pool, tmp_path):
    path = tmp_path / "x"
    assert interrupted(ensemble, path, "killed").returncode == -signal.SIGKILL
    assert list(path.glob("simulation_00003.h5.*tmp"))
    kept = {p: p.stat().st_mtime_ns for p in path.glob("*.h5")}
    assert sorted(p.name for p in kept) == [f"simulation_0000{i}.h5" for i in range(3)]
    with pytest.raises(FileNotFoundError, match="not finished"):
        open_native(path)
    with pytest.raises(FileExistsError, match="part of another"):
        compression.search_and_compress(ensemble, 0.03, path, executor=pool)
    resumed = compression.search_and_compress(ensemble, 0.02, path, executor=pool)
    straight = compression.search_and_compress(ensemble, 0.02, tmp_path / "y", executor=pool)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert manifest(resumed) == manifest(straight)  # with every file's SHA-256
    assert not list(path.glob("*.tmp"))


def test_a_full_disk_leaves_nothing_half_written(ensemble, pool, tmp_path):
    path = tmp_path / "x"
    ended = interrupted(ensemble, path, "full")
    assert ended.returncode == 1 and "OSError" in ended.stderr
    assert [p.name for p in path.iterdir()] == [native.REQUEST]
    made = compression.search_and_compress(ensemble, 0.02, path, executor=pool)
    assert abs(made.read_simulation(5) - ensemble.read_simulation(5)).mean() <= 0.02


def test_a_lost_class_reads_as_nan_and_never_as_numbers(found, tmp_path):
    with h5py.File(shutil.copy(found.file(2), tmp_path), "r+") as file:
        tolerances = of(compression.table(found), 2)["tolerance"][:, 0].values
        lost = tolerances == tolerances[7]
        del file[f"_chunks/density/{Zfp(tolerances[7]).class_name}"]
        assert np.isnan(file["density"][lost]).all()
        kept = found.read_simulation(2)[~lost, 0]
        np.testing.assert_array_equal(file["density"][~lost], kept)


def test_tampered_and_missing_files_are_noticed(found, tmp_path):
    copy = shutil.copytree(found.path, tmp_path / "copy")
    victim = copy / "simulation_00002.h5"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1000])
    with pytest.raises(OSError, match=r"simulation_00002\.h5 has"):
        open_native(copy)
    victim.write_bytes(whole)
    opened = open_native(copy)
    with h5py.File(victim) as file:
        source = file["density"].virtual_sources()[0].dset_name
        chunk = file[source].id.get_chunk_info(0)
    victim.write_bytes(
        whole[: chunk.byte_offset + 2] + b"\xff\x00\xff" + whole[chunk.byte_offset + 5 :]
    )
    with pytest.raises(OSError, match=r"simulation_00002\.h5: field density"):
        opened.read_simulation(2)
    with pytest.raises(OSError, match=r"simulation_00002\.h5 has changed"):
        open_native(copy)
    victim.unlink()
    with pytest.raises(FileNotFoundError, match=r"simulation_00002\.h5 is missing"):
        open_native(copy)


def test_any_executor_will_do(ensemble, errors, found, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=tmp_path / "dask",
        ) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        on_dask = compression.search_and_compress(
            ensemble, errors, tmp_path / "dask-made", executor=executor
        )
    default = compression.search_and_compress(ensemble, errors, tmp_path / "processes")
    assert manifest(on_dask) == manifest(default) == manifest(found)


@pytest.fixture
def ragged():
    """Simulations of two and of three samples, two float64 fields in three dimensions."""
    values = np.random.default_rng(0).normal(size=(5, 2, 5, 6, 7)).cumsum(axis=-1)
    axes = {"z": (5, 0.0, 1.0), "y": (6, 0.0, 1.0), "x": (7, 0.0, 1.0)}
    return InMemoryEnsemble(
        name="ragged",
        fields=(Field("u", "m/s"), Field("p")),
        grid=Grid.uniform(axes, unit="m"),
        input_names=("a", "time"),
        input_units=("1", "s"),
        runs=(Run(7, (0.5,), (0.0, 1.0)), Run(3, (1.5,), (0.0, 0.25, 0.5))),
        dtype="float64",
        metadata={},
        arrays={7: values[:2], 3: values[2:]},
    )


def test_float64_fields_of_ragged_simulations_in_space_stay_what_they_are(ragged, pool, tmp_path):
    made = compression.search_and_compress(ragged, 1e-10, tmp_path / "x", executor=pool)
    assert made.dtype == "float64" and made.read(4).dtype == np.float64
    assert (made.shape, made.runs, made.grid) == (ragged.shape, ragged.runs, ragged.grid)
    table = compression.table(made)
    for sample in range(5):
        error = abs(made.read(sample) - ragged.read(sample)).reshape(2, -1)
        assert (error.mean(axis=1) <= 1e-10).all() and error.max() > 0
        np.testing.assert_array_equal(table["max_error"][sample], error.max(axis=1))
    assert compression.ratios(made).payload == pytest.approx(
        5 * 2 * 210 * 8 / int(table["nbytes"].sum())
    )
    lossless = compression.compress(ragged, 0, tmp_path / "lossless", executor=pool)
    np.testing.assert_array_equal(lossless.read(3), ragged.read(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_tolerances_that_are_none_are_refused(ragged, tmp_path, bad):
    tolerances = xr.DataArray([0.1, bad], {"field": ["u", "p"]})
    with pytest.raises(ValueError, match=f"tolerance: .* not {bad} .*simulation 7, .* field p"):
        compression.compress(ragged, tolerances, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_what_no_file_of_surrlab_holds_is_not_called_compressed(ragged):
    with pytest.raises(ValueError, match="ragged is not compressed"):
        compression.table(ragged)


def test_a_fixed_rule_stores_what_it_measured(ensemble, errors, pool, tmp_path):
    one = ensemble.select([4])
    made = compression.search_and_compress(
        one, 0.5, tmp_path / "x", rule="fixed", scale=errors.values, executor=pool
    )
    table = compression.table(made)
    assert (table["tolerance"] == [Zfp(t).tolerance for t in 0.5 * errors.values]).all()
    assert made.metadata["request"]["rule"] == "fixed"
