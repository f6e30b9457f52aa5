"""Config."""

from __future__ import annotations

from dataclasses import dataclass

from surrlab.training.train import TrainConfig


@dataclass(frozen=True)
class StudyConfig:
    """The numbers of a study.

    Parameters
    ----------
    scenario : scenarios.Scenario
        The benchmark.
    n_simulations : int
        Size of the ensemble.
    shape : tuple of int
        Grid, ``(ny, nx)``.
    train : TrainConfig
        How every model is trained.
    raw_seeds : tuple of int
        One raw model a seed; their spread is the training variability.
    lossy_seeds : tuple of int
        Seeds of the lossy models of each level: common seeds, so each must be a raw seed.
    levels : tuple of float
        Factors on Algorithm 1's tolerance; the last is the over-compressed control.
    generation_seeds : tuple of int
        Raw seeds of the models that are trained on the first raw model's output (Fig. 5).
    test_fraction : float
        Share of the simulations held out.
    seed : int
        Of the parameter draw and of the split.
    margin : float
        Degradation that is still benign, in standard deviations of the raw models.
    timeout : int
        Seconds that one cell of a notebook may take.
    """

    scenario: object
    n_simulations: int
    shape: tuple[int, int]
    train: TrainConfig
    raw_seeds: tuple[int, ...]
    lossy_seeds: tuple[int, ...]
    levels: tuple[float, ...] = (1 / 8, 1.0, 4.0)
    generation_seeds: tuple[int, ...] = (0,)
    test_fraction: float = 0.1
    seed: int = 1
    margin: float = 2.0
    timeout: int = 3600

    def __post_init__(self):
        for name in ("lossy_seeds", "generation_seeds"):
            strangers = sorted(set(getattr(self, name)) - set(self.raw_seeds))
            if strangers:
                raise ValueError(f"{name} holds {strangers[0]}, which is not a raw seed")
        for name in ("raw_seeds", "lossy_seeds", "generation_seeds", "levels"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must hold values, each of them once, not {values}")
        if not min(self.levels) > 0:
            raise ValueError(f"levels are factors above 0, not {self.levels}")
        if len(self.lossy_seeds) < 2:
            raise ValueError(f"a verdict needs two or more lossy seeds, not {self.lossy_seeds}")
