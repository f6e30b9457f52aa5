"""Results of the smallest studies that have all there is: 24 x 8 cells and one epoch per model."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from surrlab import studies
from surrlab.studies.answer import verdict_table


def small_study(path, **changes):
    """The results folder of a study, with tables, models and verdicts."""
    smoke = studies.get_preset("smoke")
    train = dataclasses.replace(smoke.train, epochs=1)
    changes = {"n_raw_models": 2, "generation_seeds": (1,), "looks": (2,)} | changes
    config = dataclasses.replace(smoke, n_simulations=6, train=train, **changes)
    with ThreadPoolExecutor(1) as pool:
        study = studies.open_study(config, path, executor=pool)
        evaluation, found = studies.lossy_training(study)
        verdict_table(study, evaluation, found)
        studies.variability_study(study)
        studies.tolerance_search(study)
        study.field_statistics  # noqa: B018  a table, made when it is asked for
    return study.path


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """Its test side is held out of the study's own ensemble."""
    return small_study(tmp_path_factory.mktemp("studied"), n_test_simulations=0)


@pytest.fixture(scope="session")
def studied_apart(tmp_path_factory):
    """Its test side is an ensemble of its own."""
    return small_study(tmp_path_factory.mktemp("apart"), n_test_simulations=2)
