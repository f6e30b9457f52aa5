"""A study of data that another codec compressed."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest

from surrlab import compression, studies


def test_a_study_with_sz3(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        study = studies.open_study(
            "smoke",
            tmp_path,
            executor=pool,
            codec="sz3",
            n_simulations=12,
            epochs=1,
            looks=(2,),
            n_raw_models=2,
            generation_seeds=(1,),
            n_test_simulations=2,
            factors=(1.0, 4.0),
        )
        table, _ = studies.lossy_training(study)
        answer = studies.answer(study)
    version = compression.Version("sz3", "field", 1.0)
    assert [row["version"] for row in answer["rows"]] == [version.name, "sz3 ×4"]
    assert set(table["codec"].values) == {"raw", "sz3"} and answer["sentence"]
    made = studies.compressed(study, version)
    assert made.metadata["request"]["codec"] == "sz3" and compression.ratios(made).payload > 1.5
    found = compression.table(made)
    assert (found["max_error"] <= found["tolerance"]).all() and float(found["n_encodes"].mean()) < 5
    with h5py.File(made.file(made.simulations[0])) as file:
        assert not file["density"].is_virtual


SMALL = {
    "n_simulations": 6,
    "epochs": 1,
    "looks": (2,),
    "n_raw_models": 2,
    "generation_seeds": (1,),
    "n_test_simulations": 2,
    "factors": (1.0, 4.0),
}
TOTALS = ("mass", "momentum_x", "momentum_y")


def test_auto_is_what_the_race_finds_and_totals_are_kept(tmp_path):
    """The choice is made before anything is named by it; the certificate says what was kept."""
    with ThreadPoolExecutor(1) as pool:
        study = studies.open_study(
            "smoke", tmp_path, executor=pool, codec="auto", keep=TOTALS, **SMALL
        )
        version = studies.algorithm_1(study)
        names = version.codec.split("+")
        best = compression.recommend(studies.codec_race(study).sel(target=[1.0]))
        fields = study.ensemble.field_names
        assert names * (6 // len(names)) == [best[name] for name in fields]
        assert "auto" not in version.name + version.folder and version.keep == TOTALS
        made = studies.compressed(study, version)
        studies.lossy_training(study)
        answer = studies.answer(study)
        certificate = studies.certify(study, answer)
    assert made.metadata["request"]["keep"] == list(TOTALS)
    totals = studies.stored_totals(study)
    assert totals.index.tolist() == list(TOTALS) and totals["kept"].all()
    assert (totals["largest error"] < 1e-6).all()
    known = studies.versions(study)
    answer["version"] = version.name  # whatever so small a study recommends
    recommended = studies.certify(study, answer)["recommended"]
    assert recommended["keep"] == list(TOTALS) and recommended["totals_within"] == 1e-7
    low, high = recommended["offsets"]["density"]
    assert low < 0 < high and recommended["offsets"]["pressure"] == [0, 0]
    assert [row["version"] for row in certificate["versions"]] == list(known)
    again = studies.open_study("smoke", tmp_path, codec="auto", keep=list(TOTALS), **SMALL)
    assert studies.versions(again) == known  # from the stored race
    plain = studies.open_study("smoke", tmp_path, codec="auto", **SMALL)
    assert not set(studies.versions(plain)) & set(known)


def test_totals_that_are_not_kept_are_measured(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        study = studies.open_study("smoke", tmp_path, executor=pool, **SMALL)
        totals = studies.stored_totals(study)
    assert totals.index.tolist() == list(TOTALS) and not totals["kept"].any()
    assert (totals["largest error"][["mass", "momentum_y"]] > 1e-5).all()


def test_a_codec_that_nobody_registered_is_refused_at_once(tmp_path):
    with pytest.raises(KeyError, match="no codec is called 'zip'"):
        studies.open_study("smoke", tmp_path, codec="zip")
    assert not list(tmp_path.iterdir())
