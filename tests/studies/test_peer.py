"""A peer's real data: Rayleigh-Taylor runs as pyro-hydro writes them, in place, to an answer."""

import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

import surrlab
from surrlab import studies

# pyro leaves its parameter files for the garbage collector to close, and divides by empty ghosts.
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:pyro"),
]
SHAPE = (12, 24)  # x comes first
RT = {
    **{"driver.tmax": 0.5, "driver.max_steps": 10_000, "driver.verbose": 0, "vis.dovis": 0},
    **{"io.basename": "rt_", "io.do_io": 1, "io.dt_out": 0.1, "io.n_out": 10**9},
    **{"mesh.nx": SHAPE[0], "mesh.ny": SHAPE[1], "mesh.xmax": 1.0, "mesh.ymax": 2.0},
    **{"mesh.xlboundary": "periodic", "mesh.xrboundary": "periodic"},
    **{"mesh.ylboundary": "reflect", "mesh.yrboundary": "reflect"},
    **{"compressible.grav": -1.0, "compressible.limiter": 2, "rt.p0": 10.0},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Five runs of other densities and amplitudes, each in a folder of its own."""
    pyro = pytest.importorskip("pyro")
    folder = tmp_path_factory.mktemp("peer") / "rayleigh_taylor"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.pyplot.ion", lambda: None)
        for run, (heavy, amplitude) in enumerate(np.linspace((1.5, 0.4), (4.0, 0.1), 5)):
            place = folder / f"run_{run}"
            place.mkdir(parents=True)
            patch.chdir(place)  # pyro writes where it stands
            simulation = pyro.Pyro("compressible_rk")
            varied = {"rt.dens2": heavy, "rt.amp": amplitude}
            simulation.initialize_problem("rt", inputs_dict=RT | varied)
            simulation.run_sim()
    return folder


def test_what_pyro_wrote_is_what_is_read(runs):
    ensemble = surrlab.open_ensemble(runs)
    assert ensemble.metadata["layout"] == "pyro" and ensemble.dtype == "float64"
    assert ensemble.reads_in_place and ensemble.benchmark == "rt"
    assert set(ensemble.input_names) == {"rt.amp", "rt.dens2", "time"}
    times = [run.times for run in ensemble.runs]
    assert len({steps[1] for steps in times}) > 1  # an output stands where a step ends
    for simulation, place in zip(ensemble.simulations, sorted(runs.iterdir()), strict=True):
        for sample, path in zip(ensemble.of(simulation), sorted(place.glob("*.h5")), strict=True):
            with h5py.File(path) as file:
                stored = [file[f"state/{name}/data"][:] for name in file["state"]]
                assert ensemble.samples.time[sample] == file.attrs["time"]
            np.testing.assert_array_equal(ensemble.read(sample), stored)


def test_a_study_of_it_ends_with_an_answer(runs, tmp_path):
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    numbers = {
        **{"epochs": 2, "looks": [2], "n_raw_models": 2, "generation_seeds": [1]},
        **{"factors": [1.0, 4.0], "network": ["generator", {"max_features": 16}]},
    }
    with ThreadPoolExecutor(1) as pool:  # models of a second are not worth processes with torch
        study = surrlab.open_study(None, tmp_path, runs, executor=pool, **numbers)
        table, verdicts = studies.lossy_training(study)
        studies.verdict_table(study, table, verdicts)
        answer = study.results.summarise("answer", studies.answer(study))
    assert answer["sentence"].endswith(".") and len(answer["rows"]) == 2
    assert {"integral_density", "integral_energy"} <= set(table)
    small = studies.compressed(study, studies.algorithm_1(study))
    assert small.dtype == "float64" and studies.ratios(study, studies.algorithm_1(study)).file > 1
    assert json.loads((study.path / "summary.json").read_text())["answer"]["rows"]
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before
