"""Careful files: the old one or the new one, damage is noticed, and writers take turns."""

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import xarray as xr

from surrlab import _files, _locks, _tables
from surrlab._files import DamagedError, read_json, replacing, write_json
from surrlab.simulation import RayleighTaylor, generate
from surrlab.studies.results import cached_table


def flips(path, n, seed=0):
    """The same file with one bit changed, again and again; whole afterwards."""
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    for at in rng.integers(len(whole), size=n):
        contents = bytearray(whole)
        contents[at] ^= 1 << rng.integers(8)
        path.write_bytes(contents)
        yield int(at)
    path.write_bytes(whole)


def table():
    values = np.random.default_rng(0).normal(size=(3, 4))
    made = xr.Dataset({"a": (("x", "y"), values, {"units": "m"})}, {"x": ["p", "q", "r"]})
    return made.assign_attrs(seed="1", source='["b", 1]')


# ---------------------------------------------------------------------------------------- digests


def test_every_flip_in_json_is_noticed_or_harmless(tmp_path):
    path, value = tmp_path / "v.json", {"b": [1.5, "µ"], "a": {"c": None}, "d": True}
    write_json(path, value)
    assert read_json(path) == value and json.loads(path.read_text())["b"] == [1.5, "µ"]
    noticed = 0
    for _ in flips(path, 200):
        try:
            assert read_json(path) == value
        except DamagedError as error:
            noticed += 1
            assert str(path) in str(error)
    assert noticed > 150


def test_every_flip_in_a_table_is_noticed(tmp_path):
    path = tmp_path / "t.nc"
    _tables.write_table(path, table())
    xr.testing.assert_identical(_tables.read_table(path), table())
    for _ in flips(path, 200):
        with pytest.raises(DamagedError, match=r"t\.nc is damaged or incomplete; remove it"):
            _tables.read_table(path)
    for contents in (b"", path.read_bytes()[:-1], path.read_bytes()[:-200]):
        (tmp_path / "cut.nc").write_bytes(contents)
        with pytest.raises(DamagedError, match="damaged or incomplete"):
            _tables.read_table(tmp_path / "cut.nc")


def test_a_table_belongs_to_who_read_it(tmp_path):
    """Parsed once in a process, and handed out as a copy."""
    path = tmp_path / "t.nc"
    _tables.write_table(path, table())
    first = _tables.read_table(path)
    first["a"][:], first["x"] = 7.0, ["u", "v", "w"]
    first["a"].attrs["units"] = first.attrs["seed"] = "other"
    xr.testing.assert_identical(_tables.read_table(path), table())
    _tables.write_table(path, first)
    xr.testing.assert_identical(_tables.read_table(path), first)


@pytest.mark.parametrize(("largest", "parsed"), [(1 << 21, 1), (0, 2)])
def test_only_small_tables_are_kept(tmp_path, monkeypatch, largest, parsed):
    """Those of a large study take gigabytes."""
    _tables.write_table(tmp_path / "t.nc", table().assign_attrs(seed=largest))
    calls, load = [], xr.load_dataset
    monkeypatch.setattr(xr, "load_dataset", lambda *a, **k: calls.append(1) or load(*a, **k))
    monkeypatch.setattr(_tables, "REMEMBERED", largest)
    for _ in range(2):
        _tables.read_table(tmp_path / "t.nc")
    assert len(calls) == parsed


def test_any_program_reads_a_table(tmp_path):
    _tables.write_table(tmp_path / "t.nc", table())
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "t.nc"), table())


@pytest.mark.parametrize("text", ["", "{", "[1]", "5", "null", "[" * 100_000, '{"a": 1}', "\x00"])
def test_what_is_no_sealed_object_is_refused(tmp_path, text):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(DamagedError, match=r"v\.json is damaged or incomplete"):
        read_json(tmp_path / "v.json")


def test_what_is_no_file_or_too_long_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(DamagedError, match="is not a file"):
            read_json(path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DamagedError, match="more than 16,777,216 is not ours"):
        read_json(tmp_path / "huge")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")


# --------------------------------------------------------------------------------------- writing


def test_temporary_files_are_new_and_their_names_unpredictable(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other and _files.TEMPORARY.search(one.name)
        assert one.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert os.listdir(tmp_path) == ["a"]


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_error_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a", {"old": 1})
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert read_json(tmp_path / "a") == {"old": 1} and os.listdir(tmp_path) == ["a"]


def test_what_would_not_change_is_left_as_it_is(tmp_path):
    path = tmp_path / "a"
    write_json(path, {"v": 1})
    stamp = path.stat()
    os.utime(path, ns=(1, 1))
    write_json(path, {"v": 1})
    assert path.stat().st_mtime_ns == 1 and path.stat().st_ino == stamp.st_ino
    write_json(path, {"v": 2})
    assert path.stat().st_mtime_ns > 1 and read_json(path) == {"v": 2}
    (tmp_path / "link").symlink_to(path)
    write_json(tmp_path / "link", {"v": 2})  # a link is no file of ours
    assert not (tmp_path / "link").is_symlink()


@pytest.fixture
def small_disk():
    """Files of this process may have 4 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_room_is_one_sentence_and_keeps_the_old_file(tmp_path, small_disk):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(OSError, match=r"make room, and the same command goes on: '.*a\.json'"):
        write_json(tmp_path / "a.json", {"new": "x" * 10_000})
    with pytest.raises(OSError, match=r"make room, .*t\.nc"):
        _tables.write_table(tmp_path / "t.nc", table())
    assert read_json(tmp_path / "a.json") == {"old": 1} and os.listdir(tmp_path) == ["a.json"]


# ------------------------------------------------------------------------------------------ locks

COUNTING = """
import json, sys, time
from pathlib import Path
from surrlab._locks import locked
path = Path(sys.argv[1])
for _ in range(20):
    with locked(path):
        n = int(path.read_text())
        time.sleep(0.002)
        path.write_text(str(n + 1))
"""


def test_writers_take_turns_and_leave_nothing(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    both = [
        subprocess.Popen([sys.executable, "-c", COUNTING, str(path)], stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [one.wait(timeout=60) for one in both] == [0, 0, 0]
    assert path.read_text() == "60" and os.listdir(tmp_path) == ["count"]


HOLDING = """
import sys, time
from pathlib import Path
from surrlab._locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(path, seconds):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    return holder


def test_who_waits_says_for_whom(tmp_path, capsys):
    with hold(tmp_path, 1) as holder, _locks.locked(tmp_path):
        assert holder.wait(timeout=10) == 0
    said = capsys.readouterr().err
    assert f"{tmp_path}: waiting for process {holder.pid} on {os.uname().nodename}" in said
    assert len(said.splitlines()) == 1 and os.listdir(tmp_path) == []


def test_a_dead_owner_s_lock_and_temporaries_are_no_obstacle(tmp_path, capsys):
    with hold(tmp_path, 60) as holder:
        holder.kill()
    left = tmp_path / f"model.h5.{'0' * 16}.tmp"
    for path in (left, tmp_path / "mine.tmp", tmp_path / ".lock"):
        path.touch()
    began = time.monotonic()
    with _locks.locked(tmp_path):
        pass
    assert time.monotonic() - began < 1 and not capsys.readouterr().err
    assert os.listdir(tmp_path) == ["mine.tmp"]


@pytest.mark.parametrize("name", ["", "a.nc"])
def test_a_dead_owner_s_lock_on_what_is_finished_goes_and_a_live_one_stays(tmp_path, name):
    path = tmp_path / name
    with hold(path, 60) as holder:
        (lock,) = os.listdir(tmp_path)
        _locks.remove_dead_lock(path)
        assert os.listdir(tmp_path) == [lock]
        holder.kill()
    _locks.remove_dead_lock(path)
    _locks.remove_dead_lock(path)
    assert os.listdir(tmp_path) == []


def test_a_build_and_a_table_found_finished_leave_no_lock(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        scenario, few = RayleighTaylor(), {"n_simulations": 1, "shape": (24, 8), "seed": 1}
        build = partial(generate, scenario, tmp_path / "e", **few, executor=pool)
        make = partial(cached_table, tmp_path / "a.nc", {}, lambda: xr.Dataset({"x": 1.0}))
        build()
        make()
        for lock in (tmp_path / "e" / ".lock", tmp_path / ".a.nc.lock"):
            lock.touch()
        build()
        make()
    assert not [*tmp_path.rglob("*.lock")]


def test_temporaries_of_a_file_are_swept_and_no_others(tmp_path):
    names = {"a.nc", f"a.nc.{'1' * 16}.tmp", f"b.nc.{'1' * 16}.tmp"}
    for name in names:
        (tmp_path / name).touch()
    with _locks.locked(tmp_path / "a.nc"):
        pass
    assert set(os.listdir(tmp_path)) == names - {f"a.nc.{'1' * 16}.tmp"}


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import errno

    from filelock import _unix

    def refuse(_):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(_unix, "lock_fd_nonblocking", refuse)
    with _locks.locked(tmp_path):
        assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())
    assert os.listdir(tmp_path) == []
