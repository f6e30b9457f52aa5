"""Generated ensembles: what they hold, what ends them, and how they go on when killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from surrlab import compression, simulation
from surrlab.data import native
from surrlab.data.native import open_native
from surrlab.simulation.rayleigh_taylor import RayleighTaylor


@pytest.fixture
def threads():
    """An executor that starts at once: the solver lets go of the GIL."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def generate(path, executor=None, scenario=None, **changes):
    numbers = {"n_simulations": 2, "shape": (24, 8), "seed": 3} | changes
    return simulation.generate(scenario or RayleighTaylor(), path, executor=executor, **numbers)


def test_samples_are_the_scenario_s(ensemble):
    scenario = RayleighTaylor()
    parameters = scenario.sample(6, seed=1)
    expected = scenario.simulate(parameters[4], scenario.grid((24, 8)))
    np.testing.assert_array_equal(ensemble.read_simulation(4), expected)
    np.testing.assert_array_equal(ensemble.read(ensemble.position(4, 7)), expected[7])
    np.testing.assert_array_equal(ensemble.inputs[ensemble.of(4)], scenario.inputs(parameters[4]))
    assert ensemble.shape == (6 * 51, 6, 24, 8)
    assert ensemble.fields == scenario.fields and ensemble.benchmark == "rayleigh-taylor"
    assert ensemble.input_units == ("1", "1", "cm/s", "s") and ensemble.time_unit == "s"


def test_a_finished_ensemble_is_opened_not_made_again(tmp_path, threads):
    first = generate(tmp_path / "e", threads)
    stamp = first.file(0).stat().st_mtime_ns
    assert generate(tmp_path / "e").file(0).stat().st_mtime_ns == stamp


class Shorter(RayleighTaylor):
    """The same benchmark, recorded less often."""

    times = property(lambda self: np.linspace(0.0, 10.0, 11))


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_ensemble_is_refused(tmp_path, threads, finished):
    generate(tmp_path / "e", threads)
    if not finished:
        (tmp_path / "e" / "ensemble.json").unlink()
    others = [{"seed": 4}, {"n_simulations": 5}, {"shape": (48, 16)}, {"scenario": Shorter()}]
    for change in others:
        with pytest.raises(FileExistsError, match=r"holds (a part of )?another ensemble"):
            generate(tmp_path / "e", threads, **change)
    assert generate(tmp_path / "e", threads).simulations == (0, 1)


def test_a_folder_with_other_contents_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("do not lose me")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex"):
        generate(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


KILLED = """
import time
from surrlab import simulation
from surrlab.simulation.rayleigh_taylor import RayleighTaylor

class Stuck(RayleighTaylor):
    def simulate(self, parameters, grid):
        if parameters[0] == self.sample(6, seed=3)[4, 0]:
            time.sleep(600)
        return super().simulate(parameters, grid)

simulation.generate(Stuck(), {path!r}, n_simulations=6, shape=(24, 8), seed=3)
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_ensemble(tmp_path, threads):
    folder = tmp_path / "e"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=str(folder))],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list(folder.glob("*.h5")):
        assert child.poll() is None
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.h5")}
    assert 0 < len(kept) < 6
    (folder / f"simulation_00004.h5.{'0' * 16}.tmp").write_bytes(b"half a file")
    with pytest.raises(FileNotFoundError, match="is not finished"):
        open_native(folder)

    resumed = generate(folder, threads, n_simulations=6)
    whole = generate(tmp_path / "whole", threads, n_simulations=6)
    assert resumed.digest == whole.digest
    assert all((folder / name).stat().st_mtime_ns == t for name, t in kept.items())
    assert not list(folder.glob("*.tmp"))


class Vacuum(RayleighTaylor):
    """So little pressure that under a heavy gas none is left at the top."""

    base_pressure = 1.6

    def simulate(self, parameters, grid):
        Vacuum.runs += 1
        return super().simulate(parameters, grid)


def test_simulations_that_fail_are_listed_and_the_others_go_on(tmp_path, monkeypatch, threads):
    Vacuum.runs = 0
    numbers = {"scenario": Vacuum(), "n_simulations": 6}
    with monkeypatch.context() as patch:
        patch.setattr(native, "sha256", lambda _: 1 / 0)  # dies before the manifest is written
        with pytest.raises(ZeroDivisionError):
            generate(tmp_path / "e", threads, **numbers)
    made = generate(tmp_path / "e", threads, **numbers)
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
    small = compression.compress(train, 0.01, tmp_path / "small", executor=threads)
    assert small.simulations == train.simulations
    first = train.simulations[0]
    np.testing.assert_allclose(small.read_simulation(first), made.read_simulation(first), atol=0.01)
    made.verify()
    assert sorted(os.listdir(tmp_path / "e")) == sorted(
        ["ensemble.json", "request.json", *(made.file(s).name for s in made.simulations)]
    )


def test_an_ensemble_of_failures_is_an_error(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(Vacuum, "base_pressure", 0.1)
    with pytest.raises(RuntimeError, match=r"all 2 simulations failed, .*: pressure is"):
        generate(tmp_path, threads, scenario=Vacuum())


def test_an_ensemble_of_no_simulation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one simulation or more, not 0"):
        generate(tmp_path, n_simulations=0)
