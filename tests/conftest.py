"""Small real data, made once a session."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import loky
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
    """Results of a study: the smallest that has all there is, 24 x 8 and one epoch a model."""
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
