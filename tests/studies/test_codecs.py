"""A study of data that another codec compressed."""

from concurrent.futures import ThreadPoolExecutor

import h5py

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
