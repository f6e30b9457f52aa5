"""Damage and fill values in files of the native layout: noticed, or made again with a line."""

import json
import os
import shutil
import subprocess
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import h5py
import hdf5plugin
import numpy as np
import pytest

from surrlab._files import read_json, write_json
from surrlab.compression import compress
from surrlab.compression.compress import table
from surrlab.data import _native, native
from surrlab.data.fields import Run, check_values
from surrlab.data.native import open_native
from surrlab.loading import SampleLoader


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def everything(ensemble):
    """All that anything downstream sees of a view, by each way of reading it."""
    (simulation,) = ensemble.simulations
    with SampleLoader(ensemble, 64, seed=0, shuffle=False, threads=1) as loader:
        loaded = [fields.copy() for _, fields in loader]
    one = [ensemble.read(sample) for sample in range(len(ensemble.samples))]
    seen = [ensemble.read_simulation(simulation), np.concatenate(loaded), np.stack(one)]
    if ensemble.metadata["request"].get("codec"):
        seen += [variable.values for variable in table(ensemble).values()]
    return seen


@pytest.mark.parametrize("compressed", [False, True])
def test_every_flip_in_a_file_is_noticed_or_harmless(write, tmp_path, compressed):
    made, _ = write((4, 2))
    if compressed:
        with ThreadPoolExecutor(1) as executor:
            made = compress(made, 0.1, tmp_path / "small", executor=executor)
    one, file = made.select([2]), made.file(2)
    truth, whole, stat = everything(one), file.read_bytes(), file.stat()
    noticed, rng = 0, np.random.default_rng(1)
    for at in rng.integers(len(whole), size=120):
        contents = bytearray(whole)
        contents[at] ^= 1 << rng.integers(8)
        file.write_bytes(contents)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a disk does it: unseen
        try:
            for seen, true in zip(everything(one), truth, strict=True):
                np.testing.assert_array_equal(seen, true)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            noticed += 1
            assert str(file) in str(error)
    assert noticed > 20  # the rest of a small file is gaps


@pytest.mark.skipif(not shutil.which("h5dump"), reason="h5dump is not installed")
@pytest.mark.parametrize("compressed", [False, True])
def test_h5dump_reads_the_files(write, tmp_path, compressed):
    """A reader that never heard of surrlab; of the codec it needs the filter alone."""
    made, _ = write((4, 2))
    if compressed:
        with ThreadPoolExecutor(1) as executor:
            made = compress(made, 0.1, tmp_path / "small", executor=executor)
    plugins = {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    command = ["h5dump", "-y", "-w", "1", "-m", "%.9g", "-d", "/rho", str(made.file(2))]
    done = subprocess.run(command, env={**os.environ, **plugins}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data = done.stdout.split("DATA {")[1].split("}")[0]
    shown = np.array([float(value) for value in data.replace(",", " ").split()], np.float32)
    np.testing.assert_array_equal(shown, made.read_simulation(2)[:, 1].ravel())


def test_a_lost_field_is_no_zero(write):
    made, _ = write()
    with h5py.File(made.file(2), "r+") as file:
        assert np.isnan(file["u"].fillvalue)
        values = file["u"][:]
        del file["u"]
        lost = file.create_dataset("u", values.shape, "f4", chunks=(1, 4, 3), fillvalue=np.nan)
        lost[0] = values[0]
    with pytest.raises(ValueError, match=r"simulation 2, time 1, field u holds 12 values that are"):
        made.read_simulation(2)


# ----------------------------------------------------------------------------------- made again


def rebuild(made, arrays, **changes):
    """The command that wrote an ensemble, once more."""
    from ragged import write_ensemble

    return write_ensemble(made.path, **changes)[0]


def flip(path, at):
    stat, contents = path.stat(), bytearray(path.read_bytes())
    contents[at] ^= 4
    path.write_bytes(contents)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def flipped(made):
    flip(made.file(12), -100)
    return ("simulation_00012.h5",)


def cut(made):
    made.file(12).write_bytes(made.file(12).read_bytes()[:-9])
    return ("simulation_00012.h5",)


def gone(made):
    made.file(2).unlink()
    flip(made.file(22), 50)
    return ("simulation_00002.h5", "simulation_00022.h5")


def manifest(made):
    flip(made.path / "ensemble.json", 200)
    return ("ensemble.json",)


def unfinished(made):
    flip(made.file(12), -100)
    (made.path / "ensemble.json").unlink()
    return ("simulation_00012.h5",)


@pytest.mark.parametrize("damage", [flipped, cut, gone, manifest, unfinished])
def test_what_is_damaged_is_made_again_with_a_line_and_nothing_else(write, capsys, damage):
    made, arrays = write()
    digest = made.digest
    stamps = {path.name: path.stat().st_mtime_ns for path in made.files}
    time.sleep(0.01)
    names = damage(made)
    again = rebuild(made, arrays)
    said = [line for line in capsys.readouterr().err.splitlines() if "made again" in line]
    assert len(said) == len(names) and all(n in line for n, line in zip(names, said, strict=True))
    assert again.digest == digest == open_native(made.path).digest
    again.verify()
    kept = {p.name for p in again.files if p.stat().st_mtime_ns == stamps[p.name]}
    assert kept == {p.name for p in made.files} - set(names)
    assert rebuild(made, arrays).digest == digest
    assert "made again" not in capsys.readouterr().err


def test_a_damaged_manifest_of_an_unknown_command_is_refused(write):
    made, arrays = write()
    flip(made.path / "ensemble.json", 200)
    (made.path / "request.json").unlink()
    with pytest.raises(OSError, match=r"ensemble\.json is damaged or incomplete"):
        rebuild(made, arrays)


def test_failures_survive_a_repair(write):
    made, _ = write()
    head = read_json(made.path / "ensemble.json")
    write_json(made.path / "ensemble.json", head | {"failed": [{"simulation": 5, "reason": "x"}]})
    made.file(2).unlink()
    native._mend(made.path, read_json(made.path / "request.json"))
    assert read_json(made.path / "simulation_00005.failed") == {"reason": "x"}


def test_copies_without_time_stamps_are_hashed_once(write, tmp_path, monkeypatch):
    made, _ = write()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("ensemble.json", *(file.name for file in made.files)):
        shutil.copyfile(made.path / name, copy / name)  # the manifest first
        time.sleep(0.01)
    hashed, sha256 = [], _native.sha256
    monkeypatch.setattr(_native, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    assert open_native(copy).digest == made.digest
    assert len(hashed) == 3
    open_native(copy)
    assert len(hashed) == 3
    (copy / "simulation_00002.h5").touch()
    open_native(copy)
    assert len(hashed) == 4
    flip(copy / "simulation_00002.h5", 600)
    (copy / "simulation_00002.h5").touch()
    with pytest.raises(OSError, match=r"simulation_00002\.h5 has changed"):
        open_native(copy)


# ---------------------------------------------------------------------------- values for no value

FIELDS = ("u", "rho")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "are NaN or infinite"),
        (np.inf, "are NaN or infinite"),
        (-np.inf, "are NaN or infinite"),
        (1e30, r"stand for no value \(1e\+30\)"),
        (-1e34, r"stand for no value \(-1e\+34\)"),
        (9.969209968386869e36, r"stand for no value \(9.969e\+36\)"),  # netCDF's default
    ],
)
def test_values_that_stand_for_none_are_refused_by_name(value, what):
    samples = np.zeros((3, 2, 4, 5), np.float32)
    samples[1, 1, 2, 3:] = samples[2, 1] = value
    sentence = f"x, time 1, field rho holds 2 values that {what}; fill them in, or leave the field"
    with pytest.raises(ValueError, match=sentence):
        check_values(samples, FIELDS, "x")
    check_values(samples[:1], FIELDS, "x")


def test_the_largest_numbers_that_are_numbers_pass():
    check_values(np.full((1, 2, 3), 9.9e29, np.float32), FIELDS, "x")
    check_values(np.zeros((0, 2, 3)), FIELDS, "x")


def test_masks_are_refused_by_name_and_empty_ones_pass():
    samples = np.ma.masked_greater(np.arange(24.0).reshape(3, 2, 4), 21)
    with pytest.raises(ValueError, match="x, time 2, field rho holds 2 values that are masked"):
        check_values(samples, FIELDS, "x")
    check_values(np.ma.masked_greater(samples.data, 99), FIELDS, "x")


def test_named_fill_values_are_refused():
    samples = np.zeros((2, 2, 4))
    samples[1, 0, 1] = -999
    with pytest.raises(ValueError, match=r"time 1, field u holds 1 values .* no value \(-999\)"):
        check_values(samples, FIELDS, "x", {"u": [-999.0]})
    check_values(samples, FIELDS, "x", {"rho": [-999.0], "u": [np.nan]})


@pytest.mark.parametrize("value", [np.nan, 9.97e36, np.ma.masked])
def test_nothing_of_the_kind_is_written(write, tmp_path, value):
    made, arrays = write()
    samples = np.ma.array(arrays[2])
    samples[1, 0, 1, 1] = value
    if value is not np.ma.masked:
        samples = samples.data
    with pytest.raises(ValueError, match=r"new\.h5: simulation 2, time 1, field u holds 1 values"):
        native.write_simulation(tmp_path / "new.h5", native.Header.of(made), made.runs[0], samples)
    assert not (tmp_path / "new.h5").exists()


@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value"])
def test_fill_values_of_a_file_are_refused_on_every_way_in(write, attribute):
    made, _ = write()
    with h5py.File(made.file(2), "r+") as file:
        file["rho"][1, 2, 2] = -5.0
        file["rho"].attrs[attribute] = np.float32(-5.0)
    ways = (
        lambda: made.read_simulation(2),
        lambda: made.read(1),
        lambda: compress(made, 0.1, made.path.parent / "c", executor=ThreadPoolExecutor(1)),
        lambda: [*SampleLoader(made.select([2]), 2, seed=0)],
    )
    warnings.filterwarnings("ignore", "samples are read through their library")
    for way in ways:
        with pytest.raises(ValueError, match=r"simulation 2.* field rho holds 1 values .*\(-5\)"):
            way()


# ------------------------------------------------------------------------------ hostile folders


def external_link(file, outside):
    del file["rho"]
    file["rho"] = h5py.ExternalLink(str(outside), "secret")


def soft_link(file, outside):
    del file["rho"]
    file["rho"] = h5py.SoftLink("/u")


def external_storage(file, outside):
    del file["rho"]
    file.create_dataset("rho", (3, 4, 3), "f4", external=[(str(outside), 0, 144)])


def virtual_of_another_file(file, outside):
    del file["rho"]
    layout = h5py.VirtualLayout((3, 4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(outside), "secret", (3, 4, 3))
    file.create_virtual_dataset("rho", layout)


def virtual_of_itself(file, outside):
    del file["rho"]
    layout = h5py.VirtualLayout((3, 4, 3), "f4")
    layout[:] = h5py.VirtualSource(".", "/rho", (3, 4, 3))
    file.create_virtual_dataset("rho", layout)


def virtual_of_each_other(file, outside):
    for name, other in (("rho", "/u"), ("u", "/rho")):
        del file[name]
        layout = h5py.VirtualLayout((3, 4, 3), "f4")
        layout[:] = h5py.VirtualSource(".", other, (3, 4, 3))
        file.create_virtual_dataset(name, layout)


def group(file, outside):
    del file["rho"]
    file.create_group("rho")


def huge(file, outside):
    del file["rho"]
    file.create_dataset("rho", (3, 1 << 20, 1 << 20), "f4", chunks=(1, 16, 16))


def huge_chunks(file, outside):
    del file["rho"]
    chunks, ends = (1, 1 << 14, 1 << 14), (None, None, None)
    file.create_dataset("rho", (3, 4, 3), "f4", chunks=chunks, maxshape=ends, compression="gzip")


def of_text(file, outside):
    del file["rho"]
    file.create_dataset("rho", (3, 4, 3), h5py.string_dtype())


@pytest.mark.parametrize(
    "trick",
    [
        external_link,
        soft_link,
        external_storage,
        virtual_of_another_file,
        virtual_of_itself,
        virtual_of_each_other,
        group,
        huge,
        huge_chunks,
        of_text,
    ],
)
def test_a_file_shows_its_own_fields_only(write, tmp_path, trick):
    made, _ = write()
    with h5py.File(tmp_path / "outside.h5", "w") as outside:
        outside["secret"] = np.ones((3, 4, 3), np.float32)
    with h5py.File(made.file(2), "r+") as file:
        trick(file, tmp_path / "outside.h5")
    for look in (
        lambda: made.read_simulation(2),
        lambda: made.read(0),
        lambda: list(made.chunks(made.file(2))),
        lambda: [*SampleLoader(made.select([2]), 2, seed=0)],
    ):
        with pytest.raises((OSError, ValueError), match=r"simulation_00002\.h5"):
            look()


def linked_out(file, outside):
    outside.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(outside)


def fifo(file, outside):
    file.unlink()
    os.mkfifo(file)


def folder(file, outside):
    file.unlink()
    file.mkdir()


def device(file, outside):
    file.unlink()
    file.symlink_to("/dev/zero")


def loop(file, outside):
    file.unlink()
    file.symlink_to(file)


@pytest.mark.parametrize("trick", [linked_out, fifo, folder, device, loop])
def test_a_folder_shows_its_own_files_only(write, tmp_path, trick):
    made, _ = write()
    trick(made.file(2), tmp_path / "outside")
    with pytest.raises((OSError, RuntimeError), match=r"simulation_00002\.h5"):
        open_native(made.path)


def test_a_manifest_that_is_a_fifo_or_endless_is_refused(write):
    made, _ = write()
    (made.path / "ensemble.json").unlink()
    os.mkfifo(made.path / "ensemble.json")
    with pytest.raises(ValueError, match=r"ensemble\.json is not a file"):
        open_native(made.path)
    (made.path / "ensemble.json").unlink()
    (made.path / "ensemble.json").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"ensemble\.json is not a file"):
        open_native(made.path)


def test_runs_that_no_simulation_has_are_refused():
    for times in ((0.0, 0.0), (1.0, 0.5), (), (np.nan,)):
        with pytest.raises(ValueError, match="simulation 3"):
            Run(3, (), times)


def test_an_edited_manifest_is_damaged(write):
    made, _ = write()
    text = (made.path / "ensemble.json").read_text()
    edited = json.loads(text)
    edited["files"][0]["parameters"][0] += 1
    (made.path / "ensemble.json").write_text(json.dumps(edited))
    with pytest.raises(ValueError, match="its sha256 is not that of the rest"):
        open_native(made.path)
