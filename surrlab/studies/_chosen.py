"""Numbers of a study that nobody gave, chosen from its ensemble: once, said, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import loky

from surrlab._files import read_whole, write_json
from surrlab.data.ensemble import Ensemble, held_out
from surrlab.studies.config import PRESETS, StudyConfig, configured
from surrlab.training.architectures.generator import start_shape
from surrlab.training.networks import NetworkConfig

CHOSEN = "chosen.json"
MINUTES = 30.0
"""For all trainings of a study whose epochs nobody names."""

MOST_TEST, MOST_EPOCHS, LEAST_STEPS = 120, 250, 16
"""Of a study of any ensemble: test simulations, the paper's epochs, steps in an epoch."""


def check_possible(config: StudyConfig, ensemble: Ensemble | None) -> None:
    """Refuse with a ValueError a study whose split or whose network cannot be made.

    Parameters
    ----------
    config : StudyConfig
        Its numbers.
    ensemble : Ensemble, optional
        The data; without one the scenario's that `config` names.
    """
    if ensemble is not None:
        n, shape = len(ensemble.simulations), ensemble.grid.shape
        sizes = len(ensemble.input_names), len(ensemble.fields)
    elif config.scenario is not None:
        n, shape = config.n_simulations, config.shape
        sizes = len(config.scenario.parameters) + 1, len(config.scenario.fields)
    else:
        return
    held_out(n, config.test_fraction)
    if not config.trainer:
        config.train.network.check(*sizes, shape)


def suited(ensemble: Ensemble) -> StudyConfig:
    """Return the numbers of a study of an ensemble that no preset was made for, but for epochs.

    A fifth of the simulations is held out, at most `MOST_TEST`; an epoch has `LEAST_STEPS` steps or
    more; the network is the paper's generator on this grid, as wide as that of ``quick``.

    Raises
    ------
    ValueError
        If there are too few simulations to hold any out.
    """
    n = len(ensemble.simulations)
    if n < 4:
        raise ValueError(
            f"{ensemble.name} has {n} simulation{'s' * (n > 1)}; a study needs 4 or more: two to "
            "learn from, two to be judged on"
        )
    n_test = min(max(2, round(n / 5)), MOST_TEST)
    samples = len(ensemble.samples) * (n - n_test) / n
    batch_size = 1 << max(2, min(6, int(samples / LEAST_STEPS).bit_length() - 1))
    quick = PRESETS["quick"]
    shape = ensemble.grid.shape
    arguments = {"start": start_shape(shape), "max_features": 192, "min_features": 24}
    network = NetworkConfig("generator", arguments)
    train = replace(quick.train, batch_size=batch_size, network=network)
    return replace(
        quick,
        scenario=None,
        n_simulations=n,
        n_test_simulations=0,
        shape=shape,
        train=train,
        test_fraction=n_test / n,
        timeout=86_400,
    )


def affordable_epochs(config: StudyConfig, seconds: float, minutes: float) -> int:
    """Return how many epochs fit, if all models that the first look may need are trained.

    Parameters
    ----------
    config : StudyConfig
        Its seeds, versions and looks.
    seconds : float
        That one epoch of one model takes, over the number of models that are trained at a time.
    minutes : float
        For all of them.

    Raises
    ------
    ValueError
        If not even one epoch fits.
    """
    models = config.n_raw_models + len(config.generation_seeds)
    models += len(config.fixed + config.factors) * config.looks[0]
    epochs = int(60 * minutes / (models * seconds))
    if epochs < 1:
        raise ValueError(
            f"an epoch of each of {models} models takes {models * seconds / 60:.3g} minutes, and "
            f"there are {minutes:g}: allow more minutes, or choose a smaller network, fewer looks "
            "or fewer factors"
        )
    return min(epochs, MOST_EPOCHS)


def chosen(
    ensemble: Ensemble, path: Path, settings: Mapping[str, Any], minutes: float | None
) -> tuple[StudyConfig, dict[str, Any]]:
    """Return the numbers of a study of an ensemble without a preset, and those to be stated.

    Epochs are chosen by a budget of time, once: a step of the network is timed. What was chosen is
    printed, and stands in ``chosen.json`` of the study's folder, where a later call finds it.

    Parameters
    ----------
    ensemble : Ensemble
        The data.
    path : Path
        Folder of the study.
    settings : mapping
        What was given, as `configured` takes it.
    minutes : float, optional
        For all trainings up to the first look; by default `MINUTES`, or what was chosen before.

    Raises
    ------
    KeyError, ValueError
        If a setting is none, or makes no sense, or not one epoch fits into the time.
    """
    config = configured(suited(ensemble), settings)
    train, file = config.train, path / CHOSEN
    known = read_whole(file)
    asked = {"network": train.network.config(), "batch_size": train.batch_size}
    asked["test_fraction"] = config.test_fraction
    epochs = settings.get("epochs")
    if not epochs and known.get("asked") == asked and minutes in (None, known["minutes"]):
        epochs = known["epochs"]
    elif not epochs and not config.trainer:
        minutes = minutes or MINUTES
        epochs = _measured_epochs(ensemble, config, minutes)
    train = replace(train, epochs=epochs or train.epochs)
    config = replace(config, train=train)
    names = ("epochs", "batch_size", "learning_rate", "schedule")
    of_training = {"network": train.network.config()} | {n: getattr(train, n) for n in names}
    numbers = {
        **({"trainer": config.trainer} if config.trainer else of_training),
        "test_simulations": round(config.test_fraction * config.n_simulations),
        "seed": config.seed,
        "quantities": list(config.quantities) or "the benchmark's, else integrals of the fields",
    }
    if known.get("numbers") != numbers:
        if epochs and not settings.get("epochs"):
            known |= {"asked": asked, "minutes": minutes, "epochs": epochs}
        write_json(file, known | {"numbers": numbers})
        said = "\n".join(f"  {name:<17} {value}" for name, value in numbers.items())
        print(f"{ensemble.name}: a study without a preset takes these numbers (each can be given)")
        print(said)
    return config, numbers


def _measured_epochs(ensemble: Ensemble, config: StudyConfig, minutes: float) -> int:
    from surrlab.training.step import best_accelerator
    from surrlab.training.throughput import epoch_seconds

    train_set, _ = ensemble.split(config.test_fraction, config.seed)
    at_a_time = loky.cpu_count() if best_accelerator() == "cpu" else 1
    return affordable_epochs(config, epoch_seconds(train_set, config.train) / at_a_time, minutes)
