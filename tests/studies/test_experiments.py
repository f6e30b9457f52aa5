"""What is kept for the pictures is what the ensemble holds; test_study has the whole study."""

import numpy as np
import pytest

from surrlab import studies
from surrlab.compression import zfp
from surrlab.studies import presets


@pytest.fixture
def study(ensemble, tmp_path):
    return studies.open_study(presets.get("smoke"), tmp_path, str(ensemble.path))


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
    sample, ratios = ensemble.read(2, 12), table["ratio"].values
    assert ratios[0] == 1 and 5 < ratios[1] < 7.2 and 12 < ratios[2] < 18
    np.testing.assert_array_equal(table["pressure"][0], sample[3])
    # Every field to the same share of its spread: that of each version is found again here.
    spread, shares = sample.std(axis=(1, 2), dtype=np.float64), 2.0 ** np.arange(-12, 10, 0.25)
    reached = [
        sample.nbytes
        / sum(len(zfp.Zfp(k * s).encode(f)) for s, f in zip(spread, sample, strict=True))
        for k in shares
    ]
    for version, target in ((1, 6.0), (2, 15.0)):
        nearest = int(np.abs(np.log(np.array(reached) / target)).argmin())
        assert ratios[version] == pytest.approx(reached[nearest])
        error = np.abs(table["density"][version].values.astype(float) - sample[0])
        assert 0 < error.max() <= shares[nearest] * spread[0]
        loss = float(table["loss"].sel(field="density")[version])
        assert loss == pytest.approx(error.mean() / spread[0])
    assert not table["loss"][0].any()


def test_a_field_without_spread_is_kept_as_it_is(study, ensemble):
    table = studies.compressed_fields(study, 2, 0, targets=(20.0,), fields=("velocity_x",))
    assert not ensemble.read(2, 0)[1].any() and not table["velocity_x"].any()
    assert float(table["loss"].sel(field="velocity_x")[1]) == 0


def test_table_one_has_a_row_an_ensemble_and_the_paper_s_two(ensemble):
    table = studies.table_one({"here": ensemble})
    assert list(table.index) == ["rayleigh-taylor (here)", "RT (paper)", "PCHIP (paper)"]
    assert table.loc["rayleigh-taylor (here)"].tolist() == [
        6 * 51 * 6 * 24 * 8 * 4 / 1e9, 24, 8, 6, 6 * 51
    ]  # fmt: skip
