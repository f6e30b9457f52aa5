"""Small real data, made once a session; nothing heavy is imported before a test asks for it."""

import fcntl
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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


# ----- The core rewrites this fixture when the studies are ready: until then it does not work.
@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """Results of a study: the smallest that has all there is, 24 x 8 and one epoch a model."""
    import dataclasses

    import loky

    from surrlab import studies
    from surrlab.studies import presets

    smoke = presets.get("smoke")
    train = dataclasses.replace(smoke.train, epochs=1)
    config = dataclasses.replace(smoke, n_simulations=6, train=train, raw_seeds=(0, 1))
    study = studies.open_study(config, tmp_path_factory.mktemp("studied") / "quick")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        # Six models of a second each are not worth processes that import torch.
        patch.setattr(loky, "get_reusable_executor", lambda *_, **__: pool)
        table = studies.lossy_training(study)
        studies.tolerance_search(study)
        verdicts = studies.rows(study, studies.verdicts(study, table))
    study.summarise("lossy_training", {"verdicts": verdicts})
    return study.path
