"""What is kept for the pictures is what the ensemble holds; test_study has the whole study."""

import math

import numpy as np
import pytest

from surrlab import codecs, presets, studies, workspace


@pytest.fixture
def study(ensemble, tmp_path):
    return workspace.open_study(presets.get("smoke"), tmp_path, str(ensemble.path))


def test_evolution_is_of_the_ensemble_and_says_of_which_simulation(study, ensemble):
    table = studies.evolution(study, 3, ("density", "velocity_y"))
    shown = [0, 7, 14, 21, 29, 36, 43, 50]
    np.testing.assert_array_equal(table["time"], ensemble.times[shown])
    assert table["time"].attrs["units"] == "s" and list(table) == ["density", "velocity_y"]
    np.testing.assert_array_equal(table["velocity_y"], ensemble.read(3)[shown, 2])
    assert table["velocity_y"].attrs["units"] == "cm/s"
    ratio, gamma, push = ensemble.parameters[3]
    assert table.attrs["title"] == (
        f"density ratio {ratio:.3g}, gamma {gamma:.3g}, v init {push:.3g} cm/s"
    )
    assert table.attrs["story"].startswith("Heavy gas lies above light gas")
    assert list(table.attrs["y_extent"]) == [-0.5, 0.5]
    again = studies.evolution(study, 3, ("density", "velocity_y"))
    assert again.attrs["key"] == table.attrs["key"]
    assert studies.evolution(study, 4).attrs["key"] != table.attrs["key"]


def test_compressed_fields_reach_the_ratio_that_they_state(study, ensemble):
    table = studies.compressed_fields(study, 2, 12, targets=(6.0, 15.0))
    sample, samples = ensemble.read(2, 12), ensemble.read(2)
    ratios = table["ratio"].values
    assert ratios[0] == 1 and 5 < ratios[1] < 7.2 and 12 < ratios[2] < 18
    np.testing.assert_array_equal(table["pressure"][0], sample[3])
    # Every field to the same share of its spread: that of each version is found again here.
    spread = samples.std(axis=(0, 2, 3), dtype=np.float64)
    shares = 2.0 ** np.arange(-12, 10, 0.25)
    reached = [
        sample.nbytes
        / sum(len(codecs.Zfp(k * s).encode(f)) for s, f in zip(spread, sample, strict=True))
        for k in shares
    ]
    for version in (1, 2):
        share = shares[reached.index(ratios[version])]
        assert abs(math.log(ratios[version] / (6, 15)[version - 1])) == pytest.approx(
            np.abs(np.log(np.array(reached) / (6, 15)[version - 1])).min()
        )
        error = np.abs(table["density"][version].values - sample[0]).max()
        assert 0 < error <= share * spread[0]
    error = np.square(table["density"][2].astype(float) - sample[0]).mean()
    peak = np.ptp(samples[:, 0])
    assert float(table["psnr"].sel(field="density")[2]) == pytest.approx(
        10 * math.log10(peak**2 / float(error)), abs=1e-3
    )
    assert table["psnr"][0].values.tolist() == [math.inf] * 6


def test_a_field_that_never_varies_has_no_share_to_lose(study, monkeypatch):
    monkeypatch.setattr(type(study.ensemble), "read", lambda *_: np.ones((51, 6, 24, 8), "f4"))
    with pytest.raises(ValueError, match=r"field density never varies in .*\.h5"):
        studies.compressed_fields(study, 2, 12)


def test_table_one_has_a_row_an_ensemble_and_the_paper_s_two(ensemble):
    table = studies.table_one(ensemble)
    assert list(table.index) == ["rayleigh-taylor (here)", "RT (paper)", "PCHIP (paper)"]
    assert table.loc["rayleigh-taylor (here)"].tolist() == [
        6 * 51 * 6 * 24 * 8 * 4 / 1e9, 24, 8, 6, 6 * 51
    ]  # fmt: skip
