"""What there is to look at: fields at every setting, models, their verdicts.

A `ResultsView` never stops at what is missing: its `notes` say it in sentences, and the rest works.
`_opening` makes one of a folder, a file or an array. Nothing here draws.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from surrlab.compression.codecs import Codec, codec_class, codecs_by_field
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.race import CODECS
from surrlab.compression.version import Version
from surrlab.data.ensemble import Ensemble, InMemoryEnsemble
from surrlab.evaluation.quantities import quantities_of
from surrlab.explorer._planes import ArrayEnsemble, Planes
from surrlab.explorer._stored import StoredVersion
from surrlab.explorer.comparison import (
    ModelView,
    ResultTables,
    SampleReader,
    TrainedModels,
    by_simulation,
)
from surrlab.explorer.settings import (
    FieldSettings,
    FieldView,
    SampleField,
    cached,
    settings_for,
)

NO_MODELS = "There are no evaluated models of this ensemble here: run `make study` to have some."


class ResultsView:
    """An ensemble to look at, with what is known of it.

    Parameters
    ----------
    truth : Ensemble
        What is shown as true: raw, or the only stored version there is. Of more than two axes the
        last two are shown, as `Planes`.
    stored : sequence of StoredVersion
        Its compressed versions.
    path : Path, optional
        The results folder with tables and models.
    notes : sequence of str
        What is missing, in sentences.
    errors : dict, optional
        Mean absolute errors ``(T, fields)`` of a model on each simulation, where known.

    variable, variables : str, sequence of str
        Of a file: the array that is shown, and those that can be.

    Attributes
    ----------
    plane : tuple of (str, int)
        Index on each axis that is not shown.

    Raises
    ------
    ValueError
        If the grid has one axis.
    """

    def __init__(
        self,
        truth: Ensemble,
        stored=(),
        path=None,
        notes=(),
        errors=None,
        variable="",
        variables=(),
    ):
        if truth.grid.ndim < 2:
            raise ValueError(
                f"The explorer shows fields on two axes; {truth.name} has one "
                f"({truth.grid.names[0]})."
            )
        self.notes, self.variable, self.variables = list(notes), variable, variables
        if truth.grid.ndim > 2:
            truth = Planes.through(SampleReader(truth))
            if stored or path:
                self.notes.append("Of three axes two are shown, without stored versions or models.")
            stored, path = (), None
        self.truth = truth
        self.plane = tuple(truth.at.items()) if isinstance(truth, Planes) else ()
        self.stored = tuple(sorted(stored, key=lambda one: one.order))
        self._samples = SampleReader(truth)
        tables = ResultTables(path, truth)
        self.models = TrainedModels.read(tables)
        self._statistics = tables.read("fields", "low", "high")
        search = tables.read("tolerance_search", "model_error")
        self._errors = dict(errors or {})
        if self.models is not None and self.models.held_out:
            self._errors |= self.models.errors
        if search is not None:
            self._errors |= by_simulation(search, search["model_error"].values)
        self.notes += tables.notes
        try:
            self.quantities = {} if isinstance(truth, Planes) else quantities_of(truth)
        except KeyError as error:
            self.quantities = {}
            self.notes.append(f"{error.args[0]}: totals such as the mass are not shown.")

    @property
    def heading(self) -> str:
        """What is shown, in a line."""
        truth = self.truth
        whole = truth.whole if isinstance(truth, Planes) else truth
        cells = " × ".join(map(str, whole.grid.shape))
        if isinstance(whole, ArrayEnsemble):
            return f"{whole.fields[0].label} of {whole.path.name}, {cells} values, {whole.dtype}"
        if isinstance(truth, InMemoryEnsemble):
            return f"an array of {cells} values, {truth.dtype}"
        counts = sorted({len(run.times) for run in truth.runs})
        times = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        n = f"{len(truth.runs)} simulation{'s' if len(truth.runs) > 1 else ''}"
        return f"{n} of {truth.benchmark}, {times} times, {cells} cells"

    def at(self, indices: Mapping[str, int]) -> ResultsView:
        """Two other axes, or another place on the axes that are not shown.

        KeyError, IndexError, ValueError if there are none.
        """
        if not isinstance(self.truth, Planes):
            raise ValueError(
                f"{self.truth.name} has no axes but {', '.join(self.truth.grid.names)}"
            )
        truth = Planes.through(self.truth.reader, indices)
        return ResultsView(truth, (), None, self.notes, None, self.variable, self.variables)

    # ------------------------------------------------------------------------------------ fields

    @property
    def simulations(self) -> tuple[int, ...]:
        """Numbers of the simulations."""
        return self.truth.simulations

    @property
    def has_model_errors(self) -> bool:
        """Whether anything is known of what models get wrong."""
        return bool(self._errors)

    def model_error(self, simulation: int, step: int, name: str) -> float | None:
        """Mean absolute error of the raw models on a field of a sample; None if unknown."""
        errors = self._errors.get(simulation)
        return None if errors is None else float(errors[step, self.truth.index(name)])

    def _peak(self, simulation: int, name: str) -> float:
        """Range of the true field, over the ensemble if that is known, or over the simulation."""
        if self._statistics is not None:
            one = self._statistics.sel(field=name)
            return float(one["high"] - one["low"])
        low, high = self._samples.limits(simulation, name)
        return high - low

    def codec(self, name: str) -> type[Codec]:
        """Class of a field's codec: that of the stored versions, zfp where there are none."""
        named = [one.version.codec for one in self.stored if one.version]
        return codecs_by_field(named[0], self.truth.field_names)[name] if named else Zfp

    @property
    def codecs(self) -> tuple[str, ...]:
        """Names of the codecs to choose from: those of a race, and whatever is stored."""
        stored = (self.codec(name).name for name in self.truth.field_names)
        return tuple(dict.fromkeys((*CODECS, *stored)))

    @property
    def file_ratios(self) -> dict[Version, float]:
        """Ratio on disk of each stored version: all its fields and times together."""
        stored = (one for one in self.stored if one.version and one.ensemble.file_nbytes)
        return {one.version: one.file_ratio for one in stored}

    def _table(self, version: StoredVersion, simulation: int) -> np.ndarray:
        key = ("tolerances", version.name, simulation)
        return cached(self._samples.cache, key, lambda: version.tolerances(simulation))

    def is_stored(self, simulation: int) -> bool:
        """Whether a compressed version holds this simulation."""
        return any(one.holds(simulation) for one in self.stored)

    def version_note(self, version: Version, simulation: int) -> str:
        """A sentence on a version in whose tolerance a field of a simulation is shown."""
        for one in self.stored:
            if one.version == version and one.holds(simulation):
                return (
                    f"Stored, as {version.name}: all fields and times together "
                    f"{one.ratios.payload:.1f}× smaller as streams, {one.ratios.file:.1f}× as "
                    "files."
                )
        return "Algorithm 1's choice for this field"

    def field_settings(
        self, simulation: int, step: int, name: str, codec: str | None = None
    ) -> FieldSettings:
        """A field of a sample at every setting of a codec, by default the field's own.

        KeyError, IndexError if there is no such field, sample or codec; ValueError or OSError
        where the field cannot be read or encoded.
        """
        self.truth.index(name)
        key = (simulation, step, name, codec or self.codec(name).name)
        return cached(self._samples.cache, ("settings", *key), lambda: self._field_settings(*key))

    def settings_by_codec(
        self, simulation: int, step: int, name: str, codec: str | None = None
    ) -> dict[str, Callable[[], FieldSettings]]:
        """What makes `field_settings` for each of `codecs`, in any thread.

        `codec` is one whose settings are there already: it spares reading the sample again.
        """
        sample = self.field_settings(simulation, step, name, codec).sample
        return {
            one: functools.partial(
                settings_for, sample, codec_class(one), *self._stored(simulation, step, name, one)
            )
            for one in self.codecs
        }

    def _stored(
        self, simulation: int, step: int, name: str, codec: str
    ) -> tuple[dict[Version, float], float]:
        """A field's tolerance in each version stored with a codec, and the coarsest at all."""
        place, bounds, coarsest = self.truth.index(name), {}, 0.0
        for one in self.stored:
            if one.holds(simulation) and one.is_of(codec_class(codec), name):
                column = self._table(one, simulation)[:, place]
                coarsest = max(coarsest, float(column.max()))
                if one.version:
                    bounds[one.version] = float(column[step])
        return bounds, coarsest

    def _field_settings(self, simulation: int, step: int, name: str, codec: str) -> FieldSettings:
        truth, place = self.truth, self.truth.index(name)
        # First of all: it says which field holds NaN, where codecs would say that something does.
        limits, errors = self._samples.limits(simulation, name), self._errors.get(simulation)
        sample = self._samples.read(simulation, step)
        numbers = sample if truth.valid is None else np.where(truth.valid, sample, 0)
        parameters = zip(truth.input_names[:-1], truth.run(simulation).parameters, strict=True)
        field = SampleField(
            title=self._samples.title(simulation, step),
            field=truth.fields[place],
            truth=np.ascontiguousarray(sample[place]),
            grid=truth.grid,
            limits=limits,
            color_limit=self._samples.color_limit(
                None if errors is None else errors[:, place], limits
            ),
            peak=self._peak(simulation, name),
            model_error=self.model_error(simulation, step, name),
            fields=dict(zip(truth.field_names, numbers, strict=True)),
            parameters=dict(parameters),
            constants=truth.metadata.get("benchmark", {}).get("constants", {}),
            quantities=self.quantities,
        )
        stored = self._stored(simulation, step, name, codec)
        key = (simulation, step, name, codec)
        return settings_for(field, codec_class(codec), *stored, self._samples.cache, key)

    def field_view(self, simulation: int, step: int, name: str, setting: int) -> FieldView:
        """A field at a setting of its codec, and what is lost."""
        return self.field_settings(simulation, step, name).view(setting)

    # ------------------------------------------------------------------------------------ models

    @property
    def held_out(self) -> tuple[int, ...]:
        """Simulations of the truth that no model learned from."""
        return () if self.models is None else self.models.held_out

    def model_view(self, simulation: int, step: int, name: str) -> ModelView:
        """A field of a test sample as simulated, and as one model of each version predicts it."""
        if self.models is None:
            raise ValueError(NO_MODELS)
        return self.models.view(simulation, step, name)
