"""The second benchmark goes through the same notebooks: nothing branches on its name."""

import json

import h5py
import numpy as np
import pytest

from surrlab import cli, studies
from surrlab.data import native
from surrlab.figures import catalogue
from surrlab.simulation import pchip_impact
from surrlab.studies import presets

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A finished study of impacts, made by the command."""
    path = tmp_path_factory.mktemp("study")
    assert cli.main(["study", "--preset", "smoke-pchip", "--results", str(path)]) == 0
    return path / "smoke-pchip"


def test_it_leaves_every_figure_and_a_verdict_on_its_own_scores(results):
    assert {p.stem for p in (results / "figures").glob("*.png")} == set(catalogue.PLATES)
    summary = json.loads((results / "summary.json").read_text())
    assert summary["ensemble"]["samples"] == 510
    first, _ = summary["lossy_training"]["verdicts"]
    scores = first["table"]
    assert list(scores)[-4:] == ["mass", "momentum_x", "momentum_y", "jet_length_correlation"]
    assert scores["momentum_x"]["label"] == "error of x-momentum of copper"


def test_what_moves_is_followed_in_its_own_units(results):
    study = studies.open_study(presets.get("smoke-pchip"), results)
    table = studies.variability_study(study)
    assert (table.attrs["curve"], table.attrs["momentum"]) == ("jet_length", "momentum_x")
    assert table["time"].attrs["units"] == "µs"
    assert table["truth_momentum_x"].attrs["units"] == "g/µs"
    scenario, ensemble = study.scenario, study.test_set
    truth = [
        scenario.measure(ensemble.read(s), p, ensemble.grid)["jet_length"]
        for s, p in zip(ensemble.simulations, ensemble.parameters, strict=True)
    ]
    np.testing.assert_allclose(table["truth_jet_length"], truth)


def test_names_tell_energy_from_pressure(results):
    """Elsewhere PCHIP's files hold energy before pressure: only names may matter."""
    ensemble = native.open(results / "ensemble")
    simulation, (copper, _) = ensemble.simulations[0], pchip_impact.PchipImpact().materials
    with h5py.File(ensemble.file(simulation)) as file:
        pure = file["material"][:] > 1 - 1e-6
        rho, e, p = (
            file[name][:][pure].astype(float) for name in ("density", "energy", "pressure")
        )
        assert file["pressure"].attrs["units"] == "g/(cm µs²)"
    law = (copper.gamma - 1) * rho * e - copper.gamma * copper.p_inf
    np.testing.assert_allclose(p, law, atol=1e-5)
    assert np.ptp(p) > 0.3  # a shock is in it
