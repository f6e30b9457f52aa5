"""What a newcomer adds, each in one short file and one line, and a study of it all.

The files of ``tests/newcomer/`` are what CONTRIBUTING.md shows.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from newcomer import npz, perceptron, rounding

import surrlab
from surrlab import compression, studies
from surrlab.compression.codecs import codec_from_config

NEWCOMERS = {
    "rounding": "register_codec",
    "perceptron": "register_network",
    "npz": "register_layout",
}
HERE = Path(__file__).parent
N_TIMES, SHAPE = 6, (12, 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight simulations of a wave that travels at its own speed, two fields on 12 x 10."""
    path = tmp_path_factory.mktemp("npz")
    y, x = np.meshgrid(*(np.linspace(0, 1, n, dtype=np.float32) for n in SHAPE), indexing="ij")
    times = np.linspace(0, 1, N_TIMES)
    for simulation, speed in enumerate(np.linspace(0.5, 1.5, 8)):
        height = np.stack([np.sin(6 * (x - speed * t)) * np.exp(-y) for t in times])
        fields = {"height": height.astype(np.float32), "slope": np.gradient(height, axis=2)}
        fields["slope"] = fields["slope"].astype(np.float32)
        np.savez(path / f"{simulation}.npz", time=times, parameters=np.array([speed]), **fields)
    return path


@pytest.mark.parametrize("name", NEWCOMERS)
def test_each_is_one_short_file_and_one_line(name):
    text = (HERE / "newcomer" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    assert len(re.findall(rf"^{NEWCOMERS[name]}\(", text, flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("name", NEWCOMERS)
def test_contributing_shows_the_code_that_runs(name):
    text = (HERE / "newcomer" / f"{name}.py").read_text()
    shown = [
        block
        for block in re.findall(r"```python\n(.*?)```", contributing(), flags=re.DOTALL)
        if f"{NEWCOMERS[name]}(" in block
    ]
    assert len(shown) == 1
    assert all(part.strip() in text for part in shown[0].split("# …\n"))


def contributing():
    return (HERE.parent / "CONTRIBUTING.md").read_text()


def test_layout(folder):
    ensemble = surrlab.open_ensemble(folder, card={"units": {"height": "m"}})
    assert isinstance(ensemble, npz.NpzEnsemble)
    assert ensemble.shape == (8 * N_TIMES, 2, *SHAPE) and ensemble.fields[0].unit == "m"
    np.testing.assert_array_equal(ensemble.read(9), ensemble.read_simulation(1)[3])


def test_codec_keeps_its_bound():
    field = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    codec = codec_from_config({"codec": "rounding", "tolerance": 0.01})
    assert isinstance(codec, rounding.Rounding)
    back = codec.decode(codec.encode(field), field.shape)
    assert 0 < np.abs(back - field).max() <= 0.01


def test_network():
    network = perceptron.perceptron(2, 3, (5, 4))
    import torch

    assert network(torch.zeros(7, 2)).shape == (7, 3, 5, 4)


@pytest.mark.filterwarnings("ignore:samples are read through their library:UserWarning")
def test_a_study_of_all_three(folder, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        study = surrlab.open_study(
            "smoke",
            tmp_path,
            folder,
            executor=pool,
            codec="rounding",
            network="perceptron",
            epochs=40,
            learning_rate=1e-2,
            looks=[2],
            n_raw_models=2,
            generation_seeds=[1],
        )
        answer = studies.answer(study)
    assert isinstance(study.ensemble, npz.NpzEnsemble)
    fine = compression.Version("rounding", "field", 1.0)
    assert [row["version"] for row in answer["rows"]] == list(studies.versions(study))
    assert answer["rows"][0]["version"] == fine.name and answer["sentence"]
    assert compression.ratios(studies.compressed(study, fine)).payload > 1
    models = [surrlab.training.load(path) for path in (study.path / "models").iterdir()]
    assert {model.config["train"]["network"]["name"] for model in models} == {"perceptron"}
