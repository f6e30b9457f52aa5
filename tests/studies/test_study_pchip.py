"""The second benchmark goes through the same notebooks: nothing branches on its name."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import cli, studies
from surrlab.data.open import open_ensemble
from surrlab.evaluation import quantities
from surrlab.figures import catalogue
from surrlab.simulation import PchipImpact

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A finished study of impacts, made by the command."""
    path = tmp_path_factory.mktemp("study")
    assert cli.main(["study", "--preset", "smoke-pchip", "--results", str(path)]) == 0
    return path / "smoke-pchip"


def test_it_leaves_every_figure_and_a_verdict_on_its_own_scores(results):
    assert {p.stem for p in (results / "figures").glob("*.png")} == set(catalogue.FIGURES)
    summary = json.loads((results / "summary.json").read_text())
    assert summary["ensemble"]["samples"] == 510
    answer = summary["answer"]
    assert [row["tolerance_factor"] for row in answer["rows"]] == [1.0, 4.0]
    table = xr.load_dataset(results / "verdicts.nc")
    assert table["score"].values.tolist()[-4:] == [
        "copper_mass",
        "copper_momentum_x",
        "copper_momentum_y",
        "jet_length_correlation",
    ]
    label = table["label"].sel(score="copper_momentum_x").item()
    assert label == "error of x-momentum of copper"


def test_what_moves_is_followed_in_its_own_units(results):
    study = studies.open_study("smoke-pchip", results.parent)
    table = studies.variability_study(study)
    assert (table.attrs["curve"], table.attrs["momentum"]) == ("jet_length", "copper_momentum_x")
    assert table["time"].attrs["units"] == "µs"
    assert table["truth_copper_momentum_x"].attrs["units"] == "g/µs"
    test = study.test_set
    followed = quantities.quantities_of(test)
    truth = [
        quantities.measure(followed, test, s, test.read_simulation(s))["jet_length"]
        for s in test.simulations
    ]
    np.testing.assert_allclose(table["truth_jet_length"], np.concatenate(truth))


def test_names_tell_energy_from_pressure(results):
    """Elsewhere PCHIP's files hold energy before pressure: only names may matter."""
    ensemble = open_ensemble(results / "ensemble")
    simulation, (copper, _) = ensemble.simulations[0], PchipImpact().materials
    with h5py.File(ensemble.file(simulation)) as file:
        pure = file["material"][:] > 1 - 1e-6
        rho, e, p = (
            file[name][:][pure].astype(float) for name in ("density", "energy", "pressure")
        )
        assert file["pressure"].attrs["units"] == "g/(cm µs²)"
    law = (copper.gamma - 1) * rho * e - copper.gamma * copper.p_inf
    np.testing.assert_allclose(p, law, atol=1e-5)
    assert np.ptp(p) > 0.3  # a shock is in it
