"""The numbers of a study at one size; the small ones take the path of the big ones."""

from __future__ import annotations

from dataclasses import replace

from surrlab.simulation.pchip_impact import PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor
from surrlab.studies.config import StudyConfig
from surrlab.training.train import TrainConfig

PRESETS = {
    # Seconds: for the tests. Its models are too small to say anything.
    "smoke": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=10,
        shape=(24, 8),
        train=TrainConfig(
            epochs=4,
            start=RayleighTaylor.start,
            learning_rate=4e-3,
            schedule="one-cycle",
            max_features=32,
            min_features=16,
        ),
        raw_seeds=(0, 1, 2),
        lossy_seeds=(0, 1),
        levels=(1.0, 4.0),
        test_fraction=0.2,
    ),
    "smoke-pchip": StudyConfig(
        scenario=PchipImpact(),
        n_simulations=10,
        shape=(32, 32),
        train=TrainConfig(
            epochs=3,
            start=PchipImpact.start,
            learning_rate=4e-3,
            schedule="one-cycle",
            max_features=32,
            min_features=8,
        ),
        raw_seeds=(0, 1),
        lossy_seeds=(0, 1),
        levels=(1.0, 4.0),
        test_fraction=0.2,
    ),
    # Minutes on two cores: the paper's effect, small.
    "quick": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=64,
        shape=(48, 16),
        train=TrainConfig(
            epochs=20,
            start=RayleighTaylor.start,
            learning_rate=2e-3,
            schedule="one-cycle",
            max_features=192,
            min_features=24,
        ),
        raw_seeds=(0, 1, 2, 3, 4),
        lossy_seeds=(0, 1, 2, 3, 4),
    ),
    # The same for the second benchmark, whose fields have five times the cells.
    "quick-pchip": StudyConfig(
        scenario=PchipImpact(),
        n_simulations=48,
        shape=(64, 64),
        train=TrainConfig(
            epochs=20,
            start=PchipImpact.start,
            learning_rate=2e-3,
            schedule="one-cycle",
            max_features=128,
            min_features=16,
        ),
        raw_seeds=(0, 1, 2, 3, 4),
        lossy_seeds=(0, 1, 2, 3, 4),
    ),
    # The paper's own: 450 GB of data, and models that take a GPU day each.
    "paper-rt": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=2000,
        shape=(768, 256),
        train=TrainConfig(start=RayleighTaylor.start),
        raw_seeds=tuple(range(30)),  # Fig. 3's band; Figs. 6-8 show five
        lossy_seeds=(0, 1, 2, 3, 4),
        test_fraction=0.1,  # 200 simulations: Sections II and V-A agree here
        timeout=365 * 86_400,
    ),
    "paper-pchip": StudyConfig(
        scenario=PchipImpact(),
        n_simulations=2985,
        shape=(512, 512),
        train=TrainConfig(
            epochs=125,
            batch_size=16,
            start=PchipImpact.start,
            learning_rate=5e-4,  # Section V-A; Section II says 1e-4
        ),
        raw_seeds=(0, 1, 2, 3, 4),
        lossy_seeds=(0, 1, 2, 3, 4),
        test_fraction=200 / 2985,  # 200 simulations: Section V-A; Section II says a tenth
        timeout=365 * 86_400,
    ),
}

GALLERY = {
    # One fine simulation each: the pictures of the README.
    "gallery-rt": replace(PRESETS["quick"], n_simulations=1, shape=(192, 64), seed=12),
    "gallery-pchip": replace(PRESETS["quick-pchip"], n_simulations=1, shape=(128, 128), seed=1),
}


def get(name: str) -> StudyConfig:
    """A preset by name.

    Raises
    ------
    KeyError
        Listing the names there are.

    Examples
    --------
    >>> get("quick").shape
    (48, 16)
    """
    if name not in PRESETS:
        raise KeyError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
