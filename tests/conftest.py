"""Small real data, made once a session; nothing heavy is imported before a test asks for it."""

import fcntl
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# Not tests: what tests import and run.
collect_ignore_glob = ["newcomer/*", "dying.py", "studies/a_trainer.py"]

# Before torch is there, for all that tests start: several of them share the cores, and threads that
# wait in a loop for one that has no core take it from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_configure(config):
    """Keep caches of tests away from the user's; xdist's workers inherit the controller's."""
    if hasattr(config, "workerinput"):
        return
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    # matplotlib's list of fonts takes seconds to make: it may stay where it is.
    os.environ.setdefault("MPLCONFIGDIR", str(users / "matplotlib"))
    cache = tempfile.TemporaryDirectory(prefix="surrlab-tests-", ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = cache.name
    config.add_cleanup(cache.cleanup)


def pytest_collection_modifyitems(items):
    """Whole studies and the site first: of two processes none should begin a long file last."""
    long = ("test_study", "test_any_ensemble", "test_throughput", "test_ddp", "test_docs")
    items.sort(key=lambda item: not item.path.stem.startswith(long))


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory, request):
    """Six simulations of 51 samples on 24 x 8; xdist's workers share them."""
    from surrlab import simulation
    from surrlab.simulation.rayleigh_taylor import RayleighTaylor

    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent
    numbers = {"n_simulations": 6, "shape": (24, 8), "seed": 1}
    # The solver lets go of the GIL; processes would take longer to start than to simulate.
    with (folder / "ensemble.lock").open("w") as lock, ThreadPoolExecutor(2) as executor:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return simulation.generate(
            RayleighTaylor(), folder / "ensemble", executor=executor, **numbers
        )


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
