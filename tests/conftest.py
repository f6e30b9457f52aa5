"""Small real data, made once a session."""

import pytest

from surrlab import ensembles
from surrlab.scenarios import RayleighTaylor


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory):
    """Six simulations of 51 samples on 24 x 8."""
    path = tmp_path_factory.mktemp("data") / "ensemble"
    return ensembles.generate(RayleighTaylor(), path, n_simulations=6, shape=(24, 8), seed=1)
