"""A study and the folder of its results: what is there is read, what is missing is computed.

Simulations, models and tables carry what made them, so a study goes on where it stopped, nothing is
computed twice, and changed numbers never meet stale results. A folder belongs to one ensemble.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import xarray as xr

from surrlab._executors import named
from surrlab._files import DamagedError, read_whole, say_again, write_json
from surrlab._injected import check_parameters
from surrlab._locks import locked, remove_dead_lock
from surrlab._tables import read_table, write_table
from surrlab.data.ensemble import Ensemble
from surrlab.data.layouts.cards.extra import Given
from surrlab.data.open import open_ensemble
from surrlab.evaluation.quantities import INTEGRAL, Quantity, quantities_of
from surrlab.simulation.generate import generate
from surrlab.studies import _chosen
from surrlab.studies._command import command_line
from surrlab.studies._statistics import field_statistics
from surrlab.studies.config import StudyConfig, configured, default_results, get_preset

OWNER, SUMMARY = "study.json", "summary.json"


@dataclass(frozen=True)
class Results:
    """The folder of a study.

    Parameters
    ----------
    path : Path
        ``results/<name>``: tables ``*.nc``, ``summary.json``, figures, models.
    """

    path: Path

    def claim(self, ensemble: Ensemble) -> None:
        """Make the folder this ensemble's.

        Raises
        ------
        FileExistsError
            If it belongs to another one.
        """
        owner = self.path / OWNER
        ours = {"ensemble": ensemble.name, "ensemble_digest": ensemble.digest}
        if known := read_whole(owner):
            remove_dead_lock(owner)
        else:
            with locked(owner):
                known = read_whole(owner) or ours
                write_json(owner, known)
        if known.get("ensemble_digest") != ensemble.digest:
            raise FileExistsError(
                f"{self.path} holds the results of another ensemble ({known.get('ensemble')}, "
                f"{known.get('ensemble_digest')}) than {ensemble.name} ({ensemble.digest}): choose "
                "another results folder, or remove this one"
            )

    def table(
        self, name: str, made_from: Mapping[str, Any], compute: Callable[[], xr.Dataset]
    ) -> xr.Dataset:
        """Return ``<name>.nc``: as stored if it was made from this, else computed and stored.

        `made_from` holds named values, as JSON (digests, run ids, seeds); they become attributes.
        """
        return cached_table(self.path / f"{name}.nc", made_from, compute)

    def summarise(self, section: str, values: dict[str, Any]) -> dict[str, Any]:
        """Put a notebook's numbers into ``summary.json`` under its section, and return them."""
        with locked(self.path / SUMMARY):  # two notebooks may come at once
            write_json(self.path / SUMMARY, {**self.summary, section: values})
        return values

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds."""
        return read_whole(self.path / SUMMARY)


def cached_table(
    path: Path, made_from: Mapping[str, Any], compute: Callable[[], xr.Dataset]
) -> xr.Dataset:
    """Return a NetCDF table: as stored if it was made from this, computed and stored otherwise.

    A damaged one is made again, and a line on standard error says so.
    """
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in made_from.items()
    }

    def find(*, say: bool = False) -> xr.Dataset | None:
        if not path.exists():
            return None
        try:
            stored = read_table(path)
        except DamagedError as error:
            if say:
                say_again(path, error)
            return None
        return stored if attributes.items() <= stored.attrs.items() else None

    if (dataset := find()) is not None:
        remove_dead_lock(path)
        return dataset
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if (dataset := find(say=True)) is None:  # no other process has made it meanwhile
            dataset = compute().assign_attrs(attributes)
            write_table(path, dataset)
    return dataset


@dataclass(frozen=True, eq=False)
class Study:
    """A configuration, an ensemble and the folder of the results.

    Parameters
    ----------
    config : StudyConfig
        The numbers.
    path : Path
        ``results/<name>``.
    source : Path, optional
        An ensemble that exists already, in place of one that is simulated into ``path/ensemble``.
    executor : concurrent.futures.Executor, optional
        Where simulations, searches, compression and trainings run; by default processes here.
    preset : str
        Name of the preset; ``""`` for numbers that were chosen from the ensemble.
    card : path or dict, optional
        What the files of `source` do not say.
    settings : mapping
        Numbers that were given, by name, as `configured` takes them.
    """

    config: StudyConfig
    path: Path
    source: Path | None = None
    executor: Executor | None = None
    preset: str = ""
    card: Given = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def results(self) -> Results:
        """The folder of the results."""
        return Results(self.path)

    @cached_property
    def ensemble(self) -> Ensemble:
        """The raw ensemble, simulated on first use."""
        if self.source is not None:
            ensemble = open_ensemble(self.source, card=self.card)
        else:
            ensemble = self._generate("ensemble", self.config.n_simulations, self.config.seed)
        self.results.claim(ensemble)
        return ensemble

    def _generate(self, folder: str, n_simulations: int, seed: int) -> Ensemble:
        if self.config.scenario is None:
            raise ValueError("a study needs an ensemble, or a preset that simulates one")
        return generate(
            self.config.scenario,
            self.path / folder,
            n_simulations=n_simulations,
            shape=self.config.shape,
            seed=seed,
            executor=self.executor,
        )

    @cached_property
    def train_set(self) -> Ensemble:
        """The simulations that models learn from."""
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[0]

    @cached_property
    def test_set(self) -> Ensemble:
        """The simulations that every model is judged on; raw, whatever the model saw.

        Where the study simulates, an ensemble of its own: a test simulation costs about a second, a
        training half a minute. Of an existing ensemble, the other side of the split.
        """
        if self.source is None and self.config.n_test_simulations:
            # The seed of a study's own parameters must not return: its draws are its training set.
            seed = self.config.seed + 1_000_003
            return self._generate("test_ensemble", self.config.n_test_simulations, seed)
        return self.ensemble.split(self.config.test_fraction, self.config.seed)[1]

    @cached_property
    def field_statistics(self) -> xr.Dataset:
        """``low``, ``high``, ``scale`` and ``scored`` of each true field, ``(field,)``.

        ``high - low`` over the whole ensemble is the peak of PSNR; the scale is the standard
        deviation over the training samples, by which errors of several fields are added up: both in
        the field's unit. What is the same in all samples is not ``scored``.

        Raises
        ------
        ValueError
            If no field ever changes.
        """
        made_from = {
            "ensemble_digest": self.ensemble.digest,
            "training_digest": self.train_set.digest,
            "statistics_version": 2,
        }
        compute = partial(field_statistics, self.ensemble, self.train_set)
        return self.results.table("fields", made_from, compute)

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """The quantities that are followed, by name: the study's own, else the benchmark's.

        Where there are none, the integrals of the fields that are scored.
        """
        names = self.config.quantities
        if not names and not self.ensemble.metadata.get("benchmark", {}).get("quantities"):
            scored = self.field_statistics["field"][self.field_statistics["scored"].values]
            names = tuple(INTEGRAL + str(name) for name in scored.values)
        return quantities_of(self.ensemble, names)

    def simulation(self, side: Ensemble, place: int) -> int:
        """Return the number of the simulation at a place of one side of the split, from 0.

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

    def step(self, side: Ensemble, simulation: int, step: int | None, share: float = 0.6) -> int:
        """Return a time step of a simulation, once it is known to be there.

        Parameters
        ----------
        side : Ensemble
            One side of the split.
        simulation : int
            Its number.
        step : int or None
            Counted from 0; None: the one at a `share` of the simulation's steps.

        Raises
        ------
        IndexError
            If there is none.
        """
        if step is None:
            step = round(share * (len(side.of(simulation)) - 1))
        side.position(simulation, step)
        return step

    def figure(self, name: str):
        """Draw a figure from its saved table, keep it under ``figures/``, and return it.

        Where the ensemble has nothing to draw, say so, and return None.
        """
        from surrlab.figures.catalogue import NothingToDraw, draw

        try:
            return draw(self.path, name)
        except NothingToDraw as reason:
            print(reason)
            return None

    @property
    def command(self) -> str:
        """The command line that goes on with this study, in its folder and with its numbers."""
        return command_line(self)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returned when this study was first asked for `name`."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}


def open_study(
    preset: str | StudyConfig | None = None,
    results: str | os.PathLike | None = None,
    ensemble: str | os.PathLike | None = None,
    *,
    card: Given = None,
    minutes: float | None = None,
    executor: Executor | str | None = None,
    resources: Mapping[str, int] | None = None,
    **settings: Any,
) -> Study:
    """Open a study: begun, finished or new.

    Parameters
    ----------
    preset : str or StudyConfig, optional
        Its numbers. By default ``"quick"``; for an ensemble that exists already they are chosen
        from it, said, and kept.
    results : path, optional
        Folder of all results; the study's own is ``<results>/<preset>``, without one
        ``<results>/<name of the ensemble>``. By default the checkout's ``results``.
    ensemble : path, optional
        An ensemble that exists already, in place of the one that the preset simulates.
    card : path or dict, optional
        What the ensemble's files do not say.
    minutes : float, optional
        For training, where the epochs are chosen; 30 by default.
    executor : concurrent.futures.Executor or str, optional
        Where simulations, searches, compression and trainings run; by default processes here. By
        name: ``"local"``, ``"dask:ADDRESS"``, ``"slurm"``, ``"flux"`` or ``"MODULE:FACTORY"``.
    resources : mapping of str to int, optional
        Of each job of a named one, ``cores``, ``gpus``, ``minutes``; ``workers``, jobs at a time.
    **settings
        Other values of `StudyConfig`, or of its `TrainConfig`; None and empty ones mean the
        preset's.

    Raises
    ------
    KeyError
        If there is no such preset, or setting.
    ValueError
        If a setting makes no sense, there are too few simulations, or papermill gave a notebook a
        parameter that it does not have.
    FileExistsError
        If the folder holds the results of another ensemble.
    ImportError, OSError
        If a named executor is not installed, or does not answer.
    """
    check_parameters()
    executor = named(executor, resources)
    source = Path(ensemble).expanduser().absolute() if ensemble else None
    root = (Path(results).expanduser() if results else default_results()).absolute()
    data = None if source is None else open_ensemble(source, card=card)
    if source is not None and data is not None and not preset:
        _chosen.check_possible(configured(_chosen.suited(data), settings), data)
        path = root / source.resolve().name.partition(".")[0]
        path.mkdir(parents=True, exist_ok=True)
        Results(path).claim(data)
        config, numbers = _chosen.chosen(data, path, settings, minutes)
        study = Study(config, path, source, executor, card=card, settings=settings)
        if study.results.summary.get("chosen") != numbers:
            study.results.summarise("chosen", numbers)
        return study
    if minutes:
        raise ValueError("minutes choose the epochs of an ensemble without a preset; name epochs")
    config = preset if isinstance(preset, StudyConfig) else get_preset(preset or "quick")
    name = "study" if isinstance(preset, StudyConfig) else preset or "quick"
    config = configured(config, settings)
    _chosen.check_possible(config, data)
    path = root / name
    path.mkdir(parents=True, exist_ok=True)
    if data is not None:
        Results(path).claim(data)
    return Study(config, path, source, executor, name, card, settings)
