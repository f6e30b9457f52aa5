"""The command that a study prints to go on with it is whole: it opens the very same study."""

import json
import shlex
from pathlib import Path

import masked
import pytest

import surrlab
from surrlab import cli
from surrlab.studies.config import PRESETS
from surrlab.training.networks import NetworkConfig


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return masked.write(tmp_path_factory.mktemp("data") / "sea's")


GIVEN = {
    "few": {"epochs": 3, "network": ["generator", {"start": [3, 2], "max_features": 32}]},
    "all": {
        "network": NetworkConfig("unet", {"features": 8}),
        "looks": (2, 3),
        "factors": [0.5, 4.0],
        "margins": {"psnr": "0.5 dB"},
        "quantities": ["integral_wind"],
        "codec": "sz3",
        "epochs": 2,
        "seeds_max": 4,
        "budget_minutes": 5,
    },
    "trainer": {"trainer": 'python -c "it\'s" {data} {inputs} {seed} {out}', "looks": [2]}
    | {"trainer_layout": "native"},
}


@pytest.mark.parametrize("card", [None, "file", "object"])
@pytest.mark.parametrize("preset", [None, "smoke"])
@pytest.mark.parametrize("kind", GIVEN)
def test_the_command_that_goes_on_is_whole(path, tmp_path, monkeypatch, kind, preset, card):
    """Typed into a shell it opens the same study: numbers, card, folder, network, trainer."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    told = {"benchmark": "a sea"}
    (tmp_path / "mine.json").write_text(json.dumps(told))
    given = {None: None, "file": tmp_path / "mine.json", "object": told}[card]
    study = surrlab.open_study(preset, folder, path, card=given, **GIVEN[kind])
    found = []

    def run(notebook, out, parameters, timeout, kernel):
        found.append(parameters)
        raise RuntimeError("enough")

    monkeypatch.setattr("surrlab._notebook_runner.run", run)
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(study.command + " --seeds-max 9")
    assert program == "surrlab" and cli.main(words) == 1
    again = found[0]
    assert again["settings"].pop("seeds_max") == 9
    expected = {name: value for name, value in GIVEN[kind].items() if name != "seeds_max"}
    made = surrlab.open_study(again["preset"], again["results"], again["ensemble"],
                              **again["settings"])  # fmt: skip
    same = surrlab.open_study(preset, folder, path, card=given, **expected)
    assert (made.config, made.path, made.source) == (same.config, same.path, same.source)
    assert card is None or json.loads(Path(made.card).read_text()) == told


def test_a_study_of_ones_own_config_has_no_command_line(tmp_path):
    study = surrlab.open_study(PRESETS["smoke"], tmp_path)
    assert study.command == "surrlab.open_study with the same StudyConfig, and"
