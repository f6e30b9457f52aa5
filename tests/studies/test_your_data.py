"""The tutorial on a foreign ensemble, and the commands that README's second section names."""

import json
import re
import shlex
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pytest

import surrlab
from surrlab import _notebook_runner, _parser

pytestmark = pytest.mark.timeout(600)
README = _notebook_runner.FOLDER.resolve().parent / "README.md"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The tutorial at its smallest, run from another folder."""
    results = tmp_path_factory.mktemp("results")
    small = {"simulations": 6, "epochs": 1, "looks": [2], "factors": [1.0, 4.0]}
    _notebook_runner.run(
        _notebook_runner.FOLDER / "your_data.ipynb",
        results / "your_data.ipynb",
        {"results": str(results), **small},
        timeout=300,
    )
    return results / "your_data"


def test_the_tutorial_goes_from_bare_files_to_an_answer(home):
    executed = nbformat.read(home.parent / "your_data.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 3
    answer = json.loads((home / "laser" / "summary.json").read_text())["answer"]
    assert any(answer["sentence"] in output.get("text", "") for output in outputs)


def test_the_tutorial_s_files_are_foreign_and_stay_as_they_are(home):
    files = home / "files" / "laser"
    assert {path.suffix for path in files.iterdir()} == {".h5", ".txt"}
    ensemble = surrlab.open_ensemble(files)
    assert ensemble.metadata["layout"] == "professor" and ensemble.reads_in_place
    assert len({len(run.times) for run in ensemble.runs}) > 1  # ragged
    spread = ensemble.read(len(ensemble.samples) - 1).std((-2, -1))
    assert np.all(spread > 0)


def test_the_tutorial_gives_the_bytes_back_in_professor_s_layout(home):
    files = sorted((home / "for_professor").glob("*.h5"))
    (made,) = (home / "laser" / "compressed").glob("zfp-field-x1.0-*")
    small = surrlab.open_ensemble(made)
    assert surrlab.open_ensemble(home / "for_professor").shape == small.shape
    for file, simulation in zip(files, small.simulations, strict=True):
        with h5py.File(file) as opened:
            np.testing.assert_array_equal(opened["fields"], small.read_simulation(simulation))


def test_commands_of_the_readme_are_commands(tmp_path, monkeypatch):
    section = README.read_text().partition("## Your own data")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name in ("card.json", "errors.csv"):
        Path(name).touch()
    for name in ("my_runs", "small"):
        Path(name).mkdir()
    lines = [line for line in block.splitlines() if line.startswith("surrlab")]
    assert len(lines) == len(block.splitlines()) <= 8
    for line in lines:
        words = shlex.split(line.replace("/data/my_runs", "my_runs"), comments=True)
        words = words[: words.index(">")] if ">" in words else words
        _parser.parser().parse_args(words[1:])
