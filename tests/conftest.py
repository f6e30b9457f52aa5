"""Small real data, made once a session."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

# Before torch is there, for all that tests start: several of them share the cores, and threads that
# wait in a loop for one that has no core take it from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from surrlab import simulation
from surrlab.simulation.rayleigh_taylor import RayleighTaylor


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory):
    """Six simulations of 51 samples on 24 x 8."""
    path = tmp_path_factory.mktemp("data") / "ensemble"
    return simulation.generate(RayleighTaylor(), path, n_simulations=6, shape=(24, 8), seed=1)


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """Results of a study: the smallest that has all there is, 24 x 8 and one epoch per model."""
    from surrlab import studies

    numbers = {
        "n_simulations": 6,
        "epochs": 1,
        "n_raw_models": 2,
        "looks": (2,),
        "generation_seeds": (1,),
        "n_test_simulations": 0,
    }
    path = tmp_path_factory.mktemp("studied")
    with ThreadPoolExecutor(1) as pool:  # models of a second are not worth processes with torch
        study = studies.open_study("smoke", path, executor=pool, **numbers)
        table, verdicts = studies.lossy_training(study)
        studies.tolerance_search(study)
        studies.verdict_table(study, table, verdicts)
        study.results.summarise("answer", studies.answer(study))
    return study.path
