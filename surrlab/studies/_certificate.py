"""The certificate of a study's answer: what it says, of which data, and whether it still holds."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import xarray as xr

from surrlab._files import SEAL, seal, write_json
from surrlab.compression._totals import EXACT
from surrlab.compression.compress import table as compression_table
from surrlab.data.native import open_native
from surrlab.evaluation.ladder import PROBABLY, noticed_because
from surrlab.evaluation.variability import LOOKS
from surrlab.evaluation.verdict import verdict
from surrlab.studies.answer import scored, versions
from surrlab.studies.experiments import compressed
from surrlab.studies.results import Study, read_table

CERTIFICATE = "certificate.json"
_SOFTWARE = ("surrlab", "numpy", "torch", "h5py", "hdf5plugin", "zfpy", "xarray")


def certify(study: Study, answer: dict[str, Any]) -> dict[str, Any]:
    """Write ``certificate.json`` of a study's answer, and return it.

    It holds digests of the ensembles and of the compressed data, network and training, the
    verdicts with their bounds, seeds and looks, the tolerances by field, and software versions.
    """
    body: dict[str, Any] = {
        "sentence": answer["sentence"],
        "state": answer["state"],
        "ensemble": {"digest": study.ensemble.digest, "name": study.ensemble.benchmark},
        "training_simulations": list(study.train_set.simulations),
        "test_digest": study.test_set.digest,
        "training": _training(study),
        "margins": dict(study.config.margins),
        "looks": list(study.config.looks),
        "versions": answer["rows"],
        "recommended": _recommended(study, answer),
        "software": {name: _installed(name) for name in _SOFTWARE},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }
    write_json(study.path / CERTIFICATE, body)
    return {**body, SEAL: seal(body)}


def _training(study: Study) -> dict[str, Any]:
    train = study.config.train
    if study.config.trainer:
        return {"trainer": study.config.trainer, "layout": study.config.trainer_layout}
    return {
        "network": train.network.config(),
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "learning_rate": train.learning_rate,
        "schedule": train.schedule,
    }


def _recommended(study: Study, answer: dict[str, Any]) -> dict[str, Any] | None:
    """What is recommended: version, ratios, bounds, and the tolerances of its fields."""
    if answer["version"] is None:
        return None
    chosen = versions(study)[answer["version"]]
    data = compressed(study, chosen)
    found = compression_table(data)
    offsets = {}
    if chosen.keep:
        offsets = {"offsets": _ends(found["offset"]), "totals_within": EXACT}
    return {
        **chosen.config(),
        **offsets,
        "folder": str(Path(data.name).resolve().relative_to(study.path.resolve())),
        "digest": data.digest,
        "ratio_payload": answer["ratio_payload"],
        "ratio_file": answer["ratio_file"],
        "bounds": answer["bounds"],
        "tolerances": _ends(found["tolerance"]),
    }


def _ends(values: xr.DataArray) -> dict[str, list[float]]:
    """The least and the largest of each field's values."""
    by_field = zip(values["field"].values, values.transpose("field", ...), strict=True)
    return {str(name): [float(of.min()), float(of.max())] for name, of in by_field}


def verify_certificate(path: Path) -> list[str]:
    """Return what is wrong with a certificate; nothing if all of it holds.

    Checked are its own hash; the compressed data's digest and the checksums of their files; and the
    verdicts, computed again from the stored scores.

    Raises
    ------
    FileNotFoundError
        If there is no certificate.
    ValueError
        If it is none.
    """
    path = path / CERTIFICATE if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"there is no certificate {path}")
    try:
        certificate = json.loads(path.read_text())
        claimed = certificate.pop(SEAL)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no certificate: {error}") from error
    problems = []
    if claimed != seal(certificate):
        problems.append(f"{path}: its contents were changed after it was written")
    if recommended := certificate["recommended"]:
        problems += _check_data(path.parent / recommended["folder"], recommended["digest"])
    try:
        evaluation = read_table(path.parent / "lossy_training.nc")
    except OSError as error:
        return [*problems, str(error)]
    return problems + _check_verdicts(certificate, evaluation)


def _check_data(folder: Path, digest: str) -> list[str]:
    try:
        data = open_native(folder)
        data.verify()
    except (OSError, ValueError) as error:
        return [str(error)]
    return [] if data.digest == digest else [f"{folder} holds other data than those certified"]


def _check_verdicts(certificate: dict[str, Any], evaluation: xr.Dataset) -> list[str]:
    of, problems = evaluation["version"].values, []
    for row in certificate["versions"]:
        if row["version"] not in of:
            continue
        seeds = set(evaluation["seed"].values[of == row["version"]].tolist())
        raw = [
            kind == "raw" and int(seed) in seeds
            for kind, seed in zip(evaluation["kind"].values, evaluation["seed"].values, strict=True)
        ]
        found = verdict(
            **scored(evaluation.isel(model=raw), evaluation.isel(model=of == row["version"])),
            margins=certificate["margins"],
            looks=tuple(certificate["looks"] or LOOKS),
        )
        _, because = noticed_because(found, row["noticed"] == PROBABLY)
        if (found.state, because) != (row["state"], row["because"]):
            problems.append(
                f"{row['version']}: the stored scores say {found.state} ({because}), the "
                f"certificate {row['state']} ({row['because']})"
            )
    return problems


def _installed(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "unknown"
