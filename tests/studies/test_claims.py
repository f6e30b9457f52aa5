"""The paper's claims beside a study's tables: what decides them, and what does not."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from surrlab import studies
from surrlab._tables import write_table
from surrlab.studies import _claims

SCORES = ("l1", "psnr_density", "mass", "momentum_y", "thickness_correlation")


def verdicts(own="benign", control="harmful", **of):
    """Verdicts at Algorithm 1's tolerances and on the control; `of` says single scores' states."""
    state = [[of.get(name, own) for name in SCORES], [control] * len(SCORES)]
    rows = {
        "inside": [0.8, 0.3],
        "inside_by_chance": [0.85, 0.85],
        "criterion": ["no more than chance gives", "they lie outside more often"],
    }
    coords = {"rule": ["field"] * 2, "factor": [1.0, 4.0], "ratio": [20.9, 31.2]}
    table = xr.Dataset({"state": (("version", "score"), state)}, {"score": list(SCORES)})
    table = table.assign({name: ("version", values) for name, values in rows.items()})
    return table.assign_coords({name: ("version", values) for name, values in coords.items()})


@pytest.fixture
def study(tmp_path):
    ensemble = SimpleNamespace(
        benchmark="rayleigh-taylor", grid=SimpleNamespace(shape=(48, 16)), fields=range(6)
    )
    summary = {
        "generation_loss": {
            "state": "harmful",
            "scores": {"l1": {"shift": 10.4, "bound": 12.6, "unit": "%"}},
        },
        "tolerance_search": {"payload": 20.99, "file": 11.03, "encodes_per_field": 2.125},
        "ensemble": {"raw_nbytes": 60_162_048, "samples": 3264},
    }
    return SimpleNamespace(
        path=tmp_path, ensemble=ensemble, results=SimpleNamespace(summary=summary)
    )


def agrees(study):
    return studies.claims(study).set_index("claim")["agrees"].to_dict()


def test_verdicts_decide_the_claims_on_models(study):
    write_table(study.path / "verdicts.nc", verdicts())
    found = agrees(study)
    assert {found[name] for name in ("Fig. 3", "Fig. 6", "Fig. 7", "Fig. 8")} == {"yes"}
    said = studies.beside(studies.claims(study), "Fig. 6")
    assert "21×: 2 of 2 scores within their margins; 31×: 2 beyond them for certain" in said


@pytest.mark.parametrize(
    ("change", "denied"),
    [
        ({"psnr_density": "harmful"}, "Fig. 7"),
        ({"mass": "undecided"}, "Fig. 6"),
        ({"control": "small"}, "Fig. 8"),
    ],
)
def test_a_score_beyond_its_margin_or_a_control_that_does_not_fail_denies_a_claim(
    study, change, denied
):
    write_table(study.path / "verdicts.nc", verdicts(**change))
    assert agrees(study)[denied] == "no"


def test_lossy_models_outside_the_band_deny_figure_3(study):
    table = verdicts()
    table["criterion"][0] = "they lie outside more often (p = 0.04)"
    write_table(study.path / "verdicts.nc", table)
    assert agrees(study)["Fig. 3"] == "no"


def test_training_on_a_model_s_output_is_judged_by_its_verdict(study):
    assert agrees(study)["Fig. 5"] == "no"
    study.results.summary["generation_loss"]["state"] = "small"
    assert agrees(study)["Fig. 5"] == "yes"


def test_loading_agrees_only_if_the_fastest_file_system_gains_nothing(study):
    def rates(third):
        rate = np.array([[[1.0], [3.0]], [[1.0], [1.9]], [[1.0], [third]], [[1.0], [0.5]]])
        coords = {"bandwidth": ("storage", [145.0, 227.0, 747.0, np.inf])}
        table = xr.Dataset({"rate": (("storage", "version", "round"), rate)}, coords)
        write_table(study.path / "loading_rates.nc", table)
        return agrees(study)["Fig. 11"]

    assert (rates(0.9), rates(1.3)) == ("yes", "no")


def test_what_is_not_there_is_not_decided(study):
    found = studies.claims(study)
    assert found["claim"].tolist() == [claim.figure for claim in _claims.CLAIMS]
    rows = found.set_index("claim")
    assert rows.loc["Fig. 12", "here"] == "nothing to compare"
    assert rows.loc["Fig. 9", "here"] == "another benchmark"
    assert set(rows["agrees"][["Fig. 3", "Fig. 9", "Fig. 12", "Algorithm 1"]]) == {"–"}
