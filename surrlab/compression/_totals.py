"""Totals that a compressed ensemble keeps: mass, momenta, and whatever else is linear in a field.

A codec's error nearly vanishes in the mean, but not quite, and a total drifts by what is left. A
constant added to one field makes it exact again: to the density for the mass, to a velocity for the
momentum. One number for each stored field is all that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from surrlab.compression.search import EncodedField
from surrlab.compression.tolerances import ToleranceSearch
from surrlab.data.ensemble import Ensemble
from surrlab.data.stored import OFFSET

if TYPE_CHECKING:
    from surrlab.evaluation.quantities import Quantity

EXACT = 1e-7
"""Error of a kept total, as part of what it would be if all of its field had one sign."""
_SWEEPS = 4  # over the quantities: one may read the field that another one corrects
_FINER = (*(0.8**k for k in range(11)), 0.0)  # where an offset would break a bound; 0: lossless


@dataclass(frozen=True)
class Totals:
    """Offsets of the fields of a sample at which totals are those of the truth.

    Parameters
    ----------
    quantities : tuple of Quantity
        Each linear in a field of its own, given the others.
    """

    quantities: tuple[Quantity, ...]

    @classmethod
    def of(cls, ensemble: Ensemble, names: Sequence[str]) -> Totals:
        """Look quantities up by name, as `evaluation.quantities.quantities_of` does.

        Raises
        ------
        KeyError
            If there is none of that name, or the ensemble lacks its field.
        ValueError
            If one is not linear in any field, or two are in the same one, or a field of the
            ensemble has the name under which offsets are stored.
        """
        if not names:
            return cls(())
        from surrlab.evaluation.quantities import measure, quantities_of  # once it is asked for

        found = quantities_of(ensemble, names)
        of_field: dict[str, str] = {}
        for name, one in found.items():
            if not one.linear_in:
                raise ValueError(
                    f"the total {name!r} cannot be kept: it is not known to be linear in a field "
                    "(linear_in of a Quantity)"
                )
            ensemble.index(one.linear_in)
            if one.linear_in in of_field:
                raise ValueError(
                    f"{of_field[one.linear_in]!r} and {name!r} cannot both be kept: each needs the "
                    f"offset of {one.linear_in}, of which there is one"
                )
            of_field[one.linear_in] = name
            taken = {*ensemble.field_names, *ensemble.grid.names}
            if (stored := OFFSET.format(one.linear_in)) in taken:
                raise ValueError(f"offsets are stored as {stored!r}, and {ensemble.name} has that")
        measure(found, ensemble, ensemble.simulations[0], ensemble.read(0)[None])  # refuses early
        return cls(tuple(found.values()))

    def keep(
        self,
        ensemble: Ensemble,
        samples: np.ndarray,
        encoded: Sequence[Sequence[EncodedField]],
        encode: ToleranceSearch,
        values: np.ndarray,
    ) -> list[list[EncodedField]]:
        """Give encoded samples of the only simulation of an ensemble their offsets.

        No bound is given up for it. Where an offset would exceed the mean error of its field, or
        break what `encode` promises, the sample is encoded finer, and lossless at last.

        Parameters
        ----------
        ensemble : Ensemble
            Says names, parameters, constants and grid.
        samples : array (T, n_fields, *shape)
            The truth.
        encoded : sequence of sequence of EncodedField
            ``encoded[step][field]``, from ``encode(samples, values)``.
        encode : ToleranceSearch
            Encodes again.
        values : array (T, n_fields)
            Model errors or tolerances that were asked for.

        Raises
        ------
        ValueError
            If a total of the truth is not a number.
        """
        kept = []
        for sample, row, allowed in zip(samples, encoded, values, strict=True):
            for factor in _FINER:
                if factor < 1:
                    (again,) = encode(sample[None], factor * allowed[None])
                    n = [a.n_encodes + b.n_encodes for a, b in zip(row, again, strict=True)]
                    row = [replace(f, n_encodes=k) for f, k in zip(again, n, strict=True)]
                found = self._shifted(ensemble, sample, row)
                if found is not None and encode.holds(found, allowed):
                    kept.append(found)
                    break
            else:  # not even of the truth itself
                names = ", ".join(one.name for one in self.quantities)
                raise ValueError(f"{names} cannot be kept: one is not a number")
        return kept

    def _shifted(
        self, ensemble: Ensemble, sample: np.ndarray, row: Sequence[EncodedField]
    ) -> list[EncodedField] | None:
        """The fields of a sample with their offsets; None if one would exceed its mean error."""
        stored = np.stack(
            [f.codec.decode(f.stream, t.shape, t.dtype) for f, t in zip(row, sample, strict=True)]
        )
        offsets = self.offsets(ensemble, sample, stored)
        if offsets is None:
            return None
        found = list(row)
        for i in np.flatnonzero(offsets).tolist():
            error = np.abs(np.subtract(stored[i] + offsets[i], sample[i], dtype=np.float64))
            error = error if ensemble.valid is None else error[ensemble.valid[i]]
            mean, most, offset = float(error.mean()), float(error.max()), float(offsets[i])
            found[i] = replace(row[i], error=mean, max_error=most, offset=offset)
            # The two are equal where all errors have one sign, but for a float32's last digit.
            if abs(offsets[i]) > (1 + EXACT) * row[i].error or found[i].max_error > found[i].bound:
                return None
        return found

    def offsets(
        self, ensemble: Ensemble, sample: np.ndarray, stored: np.ndarray
    ) -> np.ndarray | None:
        """Offset of each field at which the totals of a stored sample are exact; None if none is.

        Parameters
        ----------
        ensemble : Ensemble
            Of a single simulation.
        sample, stored : array (n_fields, *shape)
            The truth, and what its streams decode to.

        Returns
        -------
        array (n_fields,), float32, or None
            Zero where nothing is needed, or no quantity asks.
        """
        offsets = np.zeros(len(sample), np.float32)
        truth, shifted = _by_name(ensemble, sample), _by_name(ensemble, stored)
        for _ in range(_SWEEPS):
            done = True
            for one in self.quantities:
                name, i = one.linear_in, ensemble.index(one.linear_in)
                inside = 1.0 if ensemble.valid is None else ensemble.valid[i]
                zero, response, size = (
                    _total(one, ensemble, {**shifted, name: values})
                    for values in (0 * truth[name], 0 * truth[name] + inside, np.abs(truth[name]))
                )
                response -= zero
                lacking = _total(one, ensemble, truth) - _total(one, ensemble, shifted)
                if abs(lacking) <= EXACT * abs(size - zero):
                    continue
                done = False
                if response and np.isfinite(lacking):
                    offsets[i] += lacking / response
                    shifted[name] = ((stored[i] + offsets[i]) * inside)[None].astype(np.float64)
            if done:
                return offsets
        return None


def _by_name(ensemble: Ensemble, sample: np.ndarray) -> dict[str, np.ndarray]:
    """Fields (1, *shape) of a sample, in float64; 0 in masked cells."""
    if ensemble.valid is not None:
        sample = np.where(ensemble.valid, sample, 0)
    return dict(zip(ensemble.field_names, sample[:, None].astype(np.float64), strict=True))


def _total(quantity: Quantity, ensemble: Ensemble, fields: dict[str, np.ndarray]) -> float:
    """A quantity of one sample, whose fields are (1, *shape)."""
    parameters = dict(zip(ensemble.input_names[:-1], ensemble.runs[0].parameters, strict=True))
    constants = ensemble.metadata.get("benchmark", {}).get("constants", {})
    return float(quantity.function(fields, parameters, constants, ensemble.grid)[0])
