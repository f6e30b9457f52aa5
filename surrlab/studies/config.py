"""The numbers of a study, and presets of them; the small ones take the path of the big ones."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from surrlab.compression.codecs import AUTO, BETWEEN, codec_class
from surrlab.compression.version import RULES
from surrlab.simulation.pchip_impact import PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor
from surrlab.simulation.scenario import Scenario
from surrlab.studies._trainer import Trainer
from surrlab.training.networks import NetworkConfig, generator
from surrlab.training.train import TrainConfig


@dataclass(frozen=True)
class StudyConfig:
    """The numbers of a study.

    Parameters
    ----------
    scenario : Scenario or None
        The benchmark; None for a study of an ensemble that exists already.
    n_simulations : int
        Size of the ensemble.
    shape : tuple of int
        Grid, ``(ny, nx)``.
    train : TrainConfig
        How every model is trained.
    looks : tuple of int
        Numbers of common seeds at which the answer is looked for: 3, then 5 …
    seeds_max : int
        Where to go on to beyond the planned looks; 0: nowhere.
    budget_minutes : float
        For training, in all runs of the study together: none begins that would exceed it, and the
        answer is what is known by then; 0: no limit.
    factors : tuple of float
        Tolerance factors, from fine to coarse; the last is the control that must be noticed.
    fixed : tuple of float
        Fixed tolerances, in standard deviations of each field, that come before the factors in the
        ladder, from fine to coarse: the paper's levels.
    rule : {"field", "sample", "fixed"}
        How tolerances are chosen.
    codec : str
        Name of the codec; ``"auto"``: for each field the one of the fewest bytes on disk.
    keep : tuple of str
        Totals that stay exact in compressed data, as `compress` takes them.
    n_raw_models : int
        Raw models whose spread is the training variability; the answer trains more where its looks
        need them.
    first_seed : int
        Seed of the first model; the others' follow it. A repetition of a study starts elsewhere.
    generation_seeds : tuple of int
        Seeds, from `first_seed` on, of the models that are trained on the first raw model's output
        (Fig. 5): 1 is the second raw model's.
    n_test_simulations : int
        Size of the test ensemble that a simulating study makes; 0: the held-out side of the split.
    test_fraction : float
        Share of the simulations held out of training.
    seed : int
        Of the parameter draw and of the split.
    quantities : tuple of str
        What is followed beside the fields, as `quantities_of` takes it; by default what the
        ensemble's benchmark names, else the fields' integrals.
    trainer, trainer_layout : str
        Command of a program that trains in place of surrlab, and how it wants its data: see
        `Trainer`; empty: `train`.
    margins : mapping
        What counts as harmless, by the beginning of a score's name, as in ``{"psnr": "0.5 dB"}``;
        scores without one take the default's.
    timeout : int
        Seconds that one cell of a notebook may take.
    """

    scenario: Scenario | None
    n_simulations: int
    shape: tuple[int, ...]
    train: TrainConfig
    looks: tuple[int, ...] = (3, 5, 8, 12)
    seeds_max: int = 0
    budget_minutes: float = 0.0
    factors: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
    fixed: tuple[float, ...] = ()
    rule: str = "field"
    codec: str = "zfp"
    keep: tuple[str, ...] = ()
    n_raw_models: int = 5
    first_seed: int = 0
    generation_seeds: tuple[int, ...] = (1, 2, 3)
    n_test_simulations: int = 120
    test_fraction: float = 0.1
    seed: int = 1
    quantities: tuple[str, ...] = ()
    trainer: str = ""
    trainer_layout: str = "professor"
    margins: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 3600

    def __post_init__(self):
        if self.scenario is not None:
            self.scenario.grid(self.shape)  # refuses one that it cannot have
        for name in ("looks", "factors", "generation_seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must hold values, each of them once, not {values}")
            if name != "generation_seeds" and list(values) != sorted(values):
                raise ValueError(f"{name} must increase, not be {values}")
        if not self.factors[0] > 0:
            raise ValueError(f"tolerance factors are above 0, not {self.factors}")
        if list(self.fixed) != sorted(set(self.fixed)) or min(self.fixed, default=1) <= 0:
            raise ValueError(f"fixed tolerances are above 0 and increase, not {self.fixed}")
        if self.fixed and self.rule == "fixed":
            raise ValueError("with rule 'fixed' the factors are the fixed tolerances: give one")
        if self.looks[0] < 2:
            raise ValueError(f"a verdict needs two or more common seeds, not {self.looks[0]}")
        if self.rule not in RULES:
            raise ValueError(f"rule is one of {', '.join(RULES)}, not {self.rule!r}")
        if self.trainer:
            command = Trainer(self.trainer, self.trainer_layout).command
            object.__setattr__(self, "trainer", command)
        if not set(self.generation_seeds) <= set(range(1, self.n_raw_models)):
            raise ValueError(
                f"generation_seeds {self.generation_seeds} must be seeds of raw models, but for 0, "
                f"the teacher's: 1 to {self.n_raw_models - 1}"
            )
        if not 0 <= self.first_seed < 2**31:
            raise ValueError(f"first_seed is a whole number from 0 on, not {self.first_seed}")
        if not self.budget_minutes >= 0:
            raise ValueError(f"budget_minutes is 0 or more, not {self.budget_minutes}")

    @property
    def raw_seeds(self) -> tuple[int, ...]:
        """Seeds of the raw models whose spread is the training variability."""
        return self.seeds(self.n_raw_models)

    @property
    def student_seeds(self) -> tuple[int, ...]:
        """Seeds of the models that are trained on the first raw model's output."""
        return tuple(self.first_seed + seed for seed in self.generation_seeds)

    def seeds(self, n: int) -> tuple[int, ...]:
        """Return the seeds of the first `n` models."""
        return tuple(range(self.first_seed, self.first_seed + n))


RAYLEIGH_TAYLOR_START, PCHIP_START = (3, 1), (4, 4)
"""Shapes (ny, nx) that the paper's generator starts from."""

PRESETS = {
    # Seconds: for the tests. Its models are too small to say anything.
    "smoke": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=10,
        shape=(24, 8),
        train=TrainConfig(
            epochs=4,
            learning_rate=4e-3,
            schedule="one-cycle",
            network=generator(RAYLEIGH_TAYLOR_START, 32, 16),
        ),
        looks=(2, 3),
        factors=(1.0, 4.0),
        n_test_simulations=4,
        n_raw_models=3,
        generation_seeds=(1, 2),
        test_fraction=0.2,
    ),
    "smoke-pchip": StudyConfig(
        scenario=PchipImpact(),
        n_simulations=10,
        shape=(32, 32),
        train=TrainConfig(
            epochs=3,
            learning_rate=4e-3,
            schedule="one-cycle",
            network=generator(PCHIP_START, 32, 8),
        ),
        looks=(2,),
        factors=(1.0, 4.0),
        n_test_simulations=0,
        n_raw_models=3,
        generation_seeds=(1, 2),
        test_fraction=0.2,
    ),
    # Minutes on two cores: the paper's effect, small.
    "quick": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=64,
        shape=(48, 16),
        train=TrainConfig(
            epochs=20,
            learning_rate=2e-3,
            schedule="one-cycle",
            network=generator(RAYLEIGH_TAYLOR_START, 192, 24),
        ),
    ),
    # The same for the second benchmark, whose fields have five times the cells.
    "quick-pchip": StudyConfig(
        scenario=PchipImpact(),
        n_simulations=48,
        shape=(64, 64),
        train=TrainConfig(
            epochs=20,
            learning_rate=2e-3,
            schedule="one-cycle",
            network=generator(PCHIP_START, 128, 16),
        ),
    ),
    # The paper's own: 450 GB of data, and models that take a GPU day each.
    "paper-rt": StudyConfig(
        scenario=RayleighTaylor(),
        n_simulations=2000,
        shape=(768, 256),
        train=TrainConfig(network=generator(RAYLEIGH_TAYLOR_START, 1024, 128)),
        n_test_simulations=0,
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
            learning_rate=5e-4,  # Section V-A; Section II says 1e-4
            network=generator(PCHIP_START, 1024, 128),
        ),
        n_test_simulations=0,
        test_fraction=200 / 2985,  # 200 simulations: Section V-A; Section II says a tenth
        timeout=365 * 86_400,
    ),
}
"""Studies by name; ``surrlab presets`` prints their sizes."""

# The levels of Section V on `quick`: fixed ones, Algorithm 1's own, and the control.
PRESETS["paper-levels"] = replace(PRESETS["quick"], fixed=(1e-3, 1e-2, 1e-1), factors=(1.0, 4.0))

GALLERY = {
    # One fine simulation each: the pictures of the README.
    "gallery-rt": replace(PRESETS["quick"], n_simulations=1, shape=(192, 64), seed=12),
    "gallery-pchip": replace(PRESETS["quick-pchip"], n_simulations=1, shape=(128, 128), seed=1),
}
"""Studies of one fine simulation each, for pictures."""


def get_preset(name: str) -> StudyConfig:
    """Return a preset by name.

    Raises
    ------
    KeyError
        Listing the names there are.

    Examples
    --------
    >>> get_preset("quick").shape
    (48, 16)
    """
    known = PRESETS | GALLERY
    if name not in known:
        raise KeyError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return known[name]


def configured(config: StudyConfig, settings: Mapping[str, Any]) -> StudyConfig:
    """Return a configuration with other numbers, of the study or of its training.

    Parameters
    ----------
    config : StudyConfig
        Whose numbers hold where none is given.
    settings : mapping
        Values by name, as JSON has them; None and empty ones are left out. ``network`` is a
        registered name or ``"module:factory"``, or one with arguments: ``["mlp", {"width": 64}]``.

    Raises
    ------
    KeyError
        Naming what is no number of a study, and what is.
    ValueError
        If a value is of another kind, or makes no sense.
    """
    empty = {n for n, v in settings.items() if v is None or (isinstance(v, Sized) and not len(v))}
    given = {n: settings[n] for n in settings if n not in empty}
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    for name in ("quantities", "keep"):
        if isinstance(given.get(name), str):
            given[name] = (given[name],)
    of_study, of_training = config.__dataclass_fields__, config.train.__dataclass_fields__
    for name in given:
        if name not in of_study and name not in of_training:
            known = ", ".join(sorted({*of_study, *of_training}))
            raise KeyError(f"a study has no number called {name!r}; it has {known}")
        _check_kind(name, given[name], (of_study | of_training)[name].type)
    if given.get("codec", AUTO) != AUTO:
        for name in given["codec"].split(BETWEEN):
            codec_class(name)  # refuses here what would be refused after hours of training
    if "network" in given and not isinstance(given["network"], NetworkConfig):
        network = given["network"]
        given["network"] = NetworkConfig(*([network] if isinstance(network, str) else network))
    train = replace(config.train, **{k: v for k, v in given.items() if k in of_training})
    return replace(config, **{"train": train} | {k: v for k, v in given.items() if k in of_study})


_KINDS: dict[str, tuple[type, str]] = {
    "int": (numbers.Integral, "a whole number of 0 or more"),
    "float": (numbers.Real, "a finite number"),
    "str": (str, "a text"),
    "Mapping[str, str]": (Mapping, "values by name"),
}


def _check_kind(name: str, value: Any, annotation: Any) -> None:
    """Refuse a value that is not of the kind that a field's annotation says."""
    several = str(annotation).startswith("tuple[")
    one = str(annotation).removeprefix("tuple[").removesuffix(", ...]")
    if one not in _KINDS:
        return
    kind, said = _KINDS[one]
    for each in value if several and isinstance(value, tuple) else (value,):
        right = isinstance(each, kind) and not isinstance(each, bool)
        if isinstance(each, numbers.Real) and right:
            least = 1 if name == "timeout" else 0
            right = math.isfinite(each) and (one != "int" or float(each) >= least)
        if not right or bool(several) != isinstance(value, tuple):
            what = f"a list, each {said}" if several else said
            raise ValueError(f"{name} must be {what}, not {value!r}")


def default_results() -> Path:
    """Return where results go by default: the checkout's ``results``, else the working folder's."""
    checkout = Path(__file__).resolve().parents[2]
    inside = (checkout / "pyproject.toml").exists() and (checkout / "notebooks").exists()
    return (checkout if inside else Path.cwd()) / "results"
