"""What the benchmarks share: draws, inputs, and what an ensemble keeps of them."""

import json

import numpy as np
import pytest
from ragged import of_scenario

from surrlab.evaluation.quantities import quantities_of
from surrlab.simulation import PchipImpact, RayleighTaylor

BOTH = pytest.mark.parametrize("scenario", [RayleighTaylor(), PchipImpact()], ids=lambda s: s.name)


@BOTH
def test_samples_fill_the_ranges_and_do_not_depend_on_how_many_are_drawn(scenario):
    many = scenario.sample(1000, seed=7)
    low, high = np.array([(p.low, p.high) for p in scenario.parameters]).T
    assert np.all((low <= many) & (many <= high))
    np.testing.assert_allclose(many.mean(axis=0), (low + high) / 2, atol=0.05 * (high - low).max())
    np.testing.assert_array_equal(scenario.sample(3, seed=7), many[:3])
    assert not np.any(scenario.sample(3, seed=8) == many[:3])


@BOTH
def test_the_ends_of_the_ranges_survive_float32(scenario):
    scenario.inputs(np.float32([p.low for p in scenario.parameters]))
    scenario.inputs(np.float32([p.high for p in scenario.parameters]))


@BOTH
def test_config_is_json_and_says_all_that_simulations_share(scenario):
    config = json.loads(json.dumps(scenario.config()))
    assert config == scenario.config() and config["name"] == scenario.name
    assert config["constants"] == {name: getattr(scenario, name) for name in scenario.constants}
    ranges = [(p["name"], p["unit"], p["low"], p["high"]) for p in config["parameters"]]
    assert ranges == [(p.name, p.unit, p.low, p.high) for p in scenario.parameters]
    assert len(config["description"].split()) > 5 and config["solver"] >= 1


@BOTH
def test_every_quantity_that_it_names_is_known(scenario):
    grid = scenario.grid((48, 16) if scenario.name == "rayleigh-taylor" else (32, 32))
    parameters = [(p.low + p.high) / 2 for p in scenario.parameters]
    samples = np.zeros((1, 6, *grid.shape), np.float32)
    ensemble = of_scenario(scenario, grid, parameters, samples)
    assert list(quantities_of(ensemble)) == list(scenario.quantities)
    assert {scenario.curve, scenario.momentum} <= set(scenario.quantities)
