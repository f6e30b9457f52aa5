"""Small real data, made once a session."""

import os

import pytest

# Before torch is there, for all that tests start: several of them share the cores, and threads that
# wait in a loop for one that has no core take it from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from surrlab import ensembles
from surrlab.scenarios import RayleighTaylor


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory):
    """Six simulations of 51 samples on 24 x 8."""
    path = tmp_path_factory.mktemp("data") / "ensemble"
    return ensembles.generate(RayleighTaylor(), path, n_simulations=6, shape=(24, 8), seed=1)
