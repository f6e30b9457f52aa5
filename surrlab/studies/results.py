"""Where a study lives: its numbers, the folder of its results, and the models in it.

Simulations, models and tables carry a hash of what made them, so a study goes on where it stopped,
nothing is computed twice, and changed numbers never meet stale results.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from surrlab import _files, evaluation, training
from surrlab.data import native
from surrlab.data.native import Ensemble
from surrlab.simulation.generate import generate, scenario_of
from surrlab.studies.config import StudyConfig

if TYPE_CHECKING:
    from surrlab.studies.models import Model


@dataclass(frozen=True)
class Study:
    """A configuration and the folder of its results.

    Parameters
    ----------
    config : StudyConfig
        The numbers.
    path : Path
        ``results/<preset>``.
    ensemble_path : Path, optional
        An ensemble that exists already, in place of one that is simulated into ``path/ensemble``.
    """

    config: StudyConfig
    path: Path
    ensemble_path: Path | None = None

    @cached_property
    def ensemble(self) -> Ensemble:
        """The raw ensemble, simulated on first use."""
        if self.ensemble_path is not None:
            ensemble = native.open(self.ensemble_path)
            scenario_of(ensemble)  # the quantities need one that this version knows
            return ensemble
        return generate(
            self.config.scenario,
            self.path / "ensemble",
            n_simulations=self.config.n_simulations,
            shape=self.config.shape,
            seed=self.config.seed,
        )

    @cached_property
    def train_set(self) -> Ensemble:
        """The simulations that models learn from."""
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[0]

    @cached_property
    def test_set(self) -> Ensemble:
        """The simulations that every model is judged on; raw, whatever the model saw."""
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[1]

    @cached_property
    def field_statistics(self) -> xr.Dataset:
        """``low``, ``high`` and ``scale`` of each true field, ``(field,)``, in its unit.

        ``high - low`` over the whole ensemble is the peak of PSNR; the scale is the standard
        deviation over the training samples, by which errors of several fields are added up.
        """
        key = [self.ensemble.digest, self.train_set.digest]
        return self.table("fields", key, self._field_statistics)

    def _field_statistics(self) -> xr.Dataset:
        low, high = np.inf, -np.inf
        for simulation in self.ensemble.simulations:
            samples = self.ensemble.read(simulation)
            low = np.minimum(low, samples.min(axis=(0, 2, 3)))
            high = np.maximum(high, samples.max(axis=(0, 2, 3)))
        for name, least, most in zip(self.ensemble.fields, low, high, strict=True):
            if least == most:
                raise ValueError(
                    f"{self.ensemble.path}: field {name} is {least} everywhere, always; "
                    "nothing can be said of a field that never varies"
                )
        scale = training.Normaliser.fit(self.train_set).field_scale
        return xr.Dataset(
            {"low": ("field", low), "high": ("field", high), "scale": ("field", list(scale))},
            coords={
                "field": list(self.ensemble.fields),
                "unit": ("field", list(self.ensemble.units.values())),
            },
        )

    def folder(self, model: Model) -> Path:
        """Where a model is stored: ``models/<run id>``."""
        run = training.run_config(model.data, self.config.train, seed=model.seed)
        return self.path / "models" / training.run_id(run)

    def judgement(self, model: Model) -> Path:
        """The table of what a model makes of the test side, beside its weights."""
        name = f"evaluation{evaluation.VERSION}-{self.test_set.digest}.nc"
        return self.folder(model) / name

    @property
    def time_unit(self) -> str:
        """Unit of the samples' times."""
        return self.ensemble.input_units[-1]

    @property
    def scenario(self):
        """The benchmark of the ensemble."""
        return scenario_of(self.ensemble)

    def simulation(self, side: Ensemble, place: int) -> int:
        """Number of the simulation at a place of one side of the split, counted from 0.

        Raises
        ------
        IndexError
            If that side has fewer.
        """
        if not 0 <= place < len(side.simulations):
            raise IndexError(
                f"there is no simulation at place {place}: of {len(self.ensemble.simulations)} "
                f"simulations this side of the split has {len(side.simulations)}"
            )
        return side.simulations[place]

    def time(self, place: int) -> int:
        """Place of a time of the samples, once it is known to be there.

        Raises
        ------
        IndexError
            If there is none.
        """
        if not 0 <= place < len(self.ensemble.times):
            raise IndexError(
                f"there is no time at place {place}: a simulation has {len(self.ensemble.times)}"
            )
        return place

    def table(self, name: str, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """``<name>.nc``: as stored if it was made from `key`, computed and stored otherwise."""
        return keep(self.path / f"{name}.nc", key, compute)

    def once(self, name: str, make: Callable):
        """What `make` returned when this study was first asked for `name`."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def _made(self) -> dict:
        return {}

    def summarise(self, section: str, values: dict) -> dict:
        """Put a notebook's numbers into ``summary.json`` under its section, and return them."""
        path = self.path / "summary.json"
        summary = json.loads(path.read_text()) if path.exists() else {}
        summary[section] = values
        _files.write_json(path, summary)
        return values


def open_study(config: StudyConfig, path: str | os.PathLike, ensemble: str = "") -> Study:
    """A study in a results folder, on its own ensemble or, with `ensemble`, on an existing one."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return Study(config, path, Path(ensemble) if ensemble else None)


def keep(path: Path, key: object, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
    """A NetCDF table: as stored if it was made from `key`, computed and stored otherwise."""
    key = json.dumps(key)
    if path.exists():
        stored = xr.load_dataset(path, engine="h5netcdf")
        if stored.attrs.get("key") == key:
            return stored
    dataset = compute().assign_attrs(key=key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
    return dataset
