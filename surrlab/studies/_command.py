"""The command line that goes on with a study, whole: its folder, its data, all of its numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrlab._files import replacing
from surrlab.studies.config import GALLERY, PRESETS
from surrlab.training.networks import NetworkConfig

if TYPE_CHECKING:
    from surrlab.studies.results import Study


def command_line(study: Study) -> str:
    """Return the command of `Study.command`; a card that was no file becomes ``card.json``."""
    if study.preset not in ("", *PRESETS, *GALLERY):
        return "surrlab.open_study with the same StudyConfig, and"
    named: dict[str, Any] = {"preset": study.preset, "ensemble": study.source}
    named |= {"results": study.path.parent, "card": _card_file(study)}
    words = ["surrlab", "study"]
    for name, value in named.items():
        words += [f"--{name}", str(value)] if value else []
    numbers = dict(study.settings)
    if study.config.trainer:
        numbers["trainer"] = study.config.trainer  # with files named from the root on
    for name, value in numbers.items():
        if value not in (None, "", [], {}, ()):
            words += ["-p", name, json.dumps(value, default=_as_json)]
    return shlex.join([*words, *getattr(study.executor, "options", [])])


def _card_file(study: Study) -> Path | None:
    if not isinstance(study.card, Mapping):
        return Path(study.card) if study.card else None
    file = study.path / "card.json"
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(dict(study.card)))
    return file


def _as_json(value: Any) -> Any:
    """What `configured` takes in place of a number that is no JSON."""
    if isinstance(value, NetworkConfig):
        return [value.name, value.arguments]
    raise TypeError(f"{value!r} cannot stand in a command")
