"""What is kept for the pictures is what the ensemble holds; test_study has the whole study."""

import numpy as np
import pytest

from surrlab import studies
from surrlab.compression.codecs.zfp import Zfp


@pytest.fixture
def study(ensemble, tmp_path):
    return studies.open_study("smoke", tmp_path, ensemble.path)


def test_evolution_is_of_the_ensemble_and_says_of_which_simulation(study, ensemble):
    table = studies.evolution(study, 3, ("density", "velocity_y"))
    steps = [0, 7, 14, 21, 29, 36, 43, 50]
    np.testing.assert_array_equal(table["time"], np.array(ensemble.run(3).times)[steps])
    assert table["time"].attrs["units"] == "s"
    assert table["fields"].dims == ("sample", "field", "y", "x")
    expected = ensemble.read_simulation(3)[steps]
    np.testing.assert_array_equal(table["fields"].sel(field="velocity_y"), expected[:, 2])
    assert table["unit"].values.tolist() == ["g/cm³", "cm/s"]
    ratio, gamma, push = ensemble.run(3).parameters
    assert table.attrs["title"] == (
        f"density ratio {ratio:.3g}, gamma {gamma:.3g}, v init {push:.3g} cm/s"
    )
    assert table.attrs["description"].startswith("Heavy gas lies above light gas")
    assert list(table["y"].attrs["extent"]) == [-0.5, 0.5] and table["x"].attrs["units"] == "cm"
    again = studies.evolution(study, 3, ("density", "velocity_y"))
    assert again.attrs == {**table.attrs}
    assert studies.evolution(study, 4).attrs["simulation"] == "4"


def test_compressed_fields_reach_the_ratio_that_they_state(study, ensemble):
    table = studies.compressed_fields(study, 2, 12, targets=(6.0, 15.0))
    sample, ratios = ensemble.read(ensemble.position(2, 12)), table["ratio"].values
    assert ratios[0] == 1 and 5 < ratios[1] < 7.2 and 12 < ratios[2] < 18
    np.testing.assert_array_equal(table["fields"].sel(field="pressure")[0], sample[3])
    # Every field to the same share of its spread: that of each version is found again here.
    spread, shares = sample.std(axis=(1, 2), dtype=np.float64), 2.0 ** np.arange(-12, 10, 0.25)
    reached = [
        sample.nbytes / sum(len(Zfp(k * s).encode(f)) for s, f in zip(spread, sample, strict=True))
        for k in shares
    ]
    for version, target in ((1, 6.0), (2, 15.0)):
        nearest = int(np.abs(np.log(np.array(reached) / target)).argmin())
        assert ratios[version] == pytest.approx(reached[nearest])
        decoded = table["fields"].sel(field="density")[version].values.astype(float)
        error = np.abs(decoded - sample[0])
        assert 0 < error.max() <= shares[nearest] * spread[0]
        loss = float(table["loss"].sel(field="density")[version])
        assert loss == pytest.approx(error.mean() / spread[0])
    assert not table["loss"][0].any()


def test_a_field_without_spread_is_kept_as_it_is(study, ensemble):
    table = studies.compressed_fields(study, 2, 0, targets=(20.0,), fields=("velocity_x",))
    assert not ensemble.read(ensemble.position(2, 0))[1].any() and not table["fields"].any()
    assert float(table["loss"].sel(field="velocity_x")[1]) == 0


def test_table_one_has_a_row_per_ensemble_and_the_paper_s_two(ensemble):
    table = studies.ensemble_table({"here": ensemble})
    assert list(table.index) == ["rayleigh-taylor (here)", "RT (paper)", "PCHIP (paper)"]
    size = 6 * 51 * 6 * 24 * 8 * 4 / 1e9
    assert table.loc["rayleigh-taylor (here)"].tolist() == [size, "24 × 8", 6, 6 * 51]
