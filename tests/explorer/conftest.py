"""Results of the smallest studies that have all there is: 24 x 8 cells and one epoch per model."""

from concurrent.futures import ThreadPoolExecutor

import pytest


def small_study(path, **numbers):
    """The results folder of a study, with tables, models and verdicts."""
    from surrlab import studies

    numbers |= {"n_simulations": 6, "epochs": 1, "n_raw_models": 2, "generation_seeds": (1,)}
    # Symmetry keeps the total x-momentum at 0: it has no range of which 2 % could be a margin.
    numbers |= {"looks": (2,), "margins": {"momentum_x": "1 g/s"}}
    with ThreadPoolExecutor(1) as pool:
        study = studies.open_study("smoke", path, executor=pool, **numbers)
        table, verdicts = studies.lossy_training(study)
        studies.verdict_table(study, table, verdicts)
        studies.variability_study(study)
        studies.tolerance_search(study)
    return study.path


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """Two of its six simulations are held out for testing."""
    path = tmp_path_factory.mktemp("studied")
    return small_study(path, n_test_simulations=0, test_fraction=1 / 3)


@pytest.fixture(scope="session")
def studied_apart(tmp_path_factory):
    """Its test simulations are an ensemble of their own."""
    return small_study(tmp_path_factory.mktemp("apart"), n_test_simulations=2)
