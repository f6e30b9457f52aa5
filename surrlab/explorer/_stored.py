"""A compressed version of an ensemble, as it lies in its folder."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrlab.compression.codecs import Codec, codecs_by_field
from surrlab.compression.compress import Ratios, ratios, table
from surrlab.compression.version import Version
from surrlab.data.ensemble import Ensemble
from surrlab.data.open import open_ensemble


@dataclass(frozen=True, eq=False)
class StoredVersion:
    """A compressed version of the ensemble, or of some of its simulations.

    Parameters
    ----------
    version : Version or None
        What the folder's own request says; None where it names no version.
    ensemble : Ensemble
        Its samples.
    """

    version: Version | None
    ensemble: Ensemble

    @classmethod
    def of(cls, ensemble: Ensemble) -> StoredVersion:
        """The version that a compressed ensemble says it is."""
        request = ensemble.metadata.get("request", {})
        try:
            version = Version.from_config(request["version"])
        except (KeyError, TypeError, ValueError):
            version = None
        return cls(version, ensemble)

    @classmethod
    def open(cls, folder: Path) -> StoredVersion:
        """The version in a folder."""
        return cls.of(open_ensemble(folder))

    def is_made_from(self, truth: Ensemble) -> bool:
        """Whether it was made from these simulations of `truth`."""
        try:
            source = truth.select(self.ensemble.simulations).digest
            return self.ensemble.metadata["request"]["source"] == source
        except KeyError:
            return False

    @property
    def name(self) -> str:
        """Its version, or its folder."""
        return self.version.name if self.version else Path(self.ensemble.name).name

    @property
    def order(self) -> tuple:
        """Sorts versions from the least compressed; unknown ones last."""
        one = self.version
        return (0, one.codec, one.rule, one.factor, one.keep) if one else (1, self.name)

    def is_of(self, codec: type[Codec], field: str) -> bool:
        """Whether a field of it went through this codec, or through nobody knows which."""
        if self.version is None:
            return True
        return codecs_by_field(self.version.codec, self.ensemble.field_names)[field] is codec

    def holds(self, simulation: int) -> bool:
        """Whether it has this simulation."""
        return simulation in self.ensemble.simulations

    @functools.cached_property
    def ratios(self) -> Ratios:
        """Payload and file ratio of the whole."""
        return ratios(self.ensemble)

    @property
    def file_ratio(self) -> float:
        """Raw bytes over bytes on disk, without a look into the files."""
        return self.ensemble.raw_nbytes / self.ensemble.file_nbytes

    def tolerances(self, simulation: int) -> np.ndarray:
        """Tolerances ``(T, fields)`` of a simulation that this version holds."""
        return table(self.ensemble.select([simulation]))["tolerance"].values
