"""SPERR: wavelets, set-partitioned bit planes, and corrections of the values beyond the bound.

References
----------
S. Li, P. Lindstrom, J. Clyne, "Lossy Scientific Data Compression With SPERR", IPDPS 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import hdf5plugin
import numpy as np

from surrlab.compression.codecs import Codec, Raw, long_sides, register_codec
from surrlab.compression.codecs.filter_library import FilterCodec, local_words

_LARGEST = 2.0**63  # tolerance that the filter's options hold


@dataclass(frozen=True)
class Sperr(FilterCodec):
    """SPERR with a bound on the absolute error of every value.

    It knows arrays with two or three sides longer than 1. Through HDF5, the filter refuses to
    *write* sides below 9, yet reads them.

    Parameters
    ----------
    tolerance : float
        Largest absolute error, in the unit of the data. SPERR has no lossless mode: `lossless` is
        `Raw`.

    Examples
    --------
    >>> codec, field = Sperr(0.1), np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    >>> stream = codec.encode(field)
    >>> bool(abs(codec.decode(stream, field.shape) - field).max() <= codec.tolerance)
    True
    """

    name: ClassVar[str] = "sperr"
    number: ClassVar[int] = hdf5plugin.SPERR_ID
    library: ClassVar[str] = "sperr"
    tolerance: float

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.tolerance < _LARGEST:
            raise ValueError(
                f"SPERR takes tolerances above 0 and below 2^63, not {self.tolerance:g}; "
                "Sperr.lossless() changes nothing"
            )

    @classmethod
    def lossless(cls) -> Codec:
        """`Raw`: SPERR has no lossless mode."""
        return Raw()

    @classmethod
    def from_h5_options(cls, options: tuple[int, ...]) -> Sperr:
        """Any: streams carry their bound."""
        return cls(1.0)

    @classmethod
    def expected_tolerance(cls, error: float, ndim: int) -> float:
        """Four and a half times the mean absolute error: measured on simulations."""
        return 4.5 * error

    def h5_filter(self) -> dict[str, Any]:
        """Arguments of ``create_dataset`` for which HDF5 writes the same stream in each chunk."""
        return dict(hdf5plugin.Sperr(absolute=self.tolerance))

    def _encoder(self, values: np.ndarray) -> Sperr:
        # SPERR keeps its bound in float64; what comes back is rounded to the type of the data.
        rounding = float(np.spacing(np.abs(values).max())) / 2
        finer = self.tolerance - rounding
        return replace(self, tolerance=finer) if finer > 0 else self

    def _words(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        if len(long_sides(shape)) not in (2, 3):
            raise ValueError(f"SPERR takes two or three sides longer than 1, not {shape}")
        kind, _, *sides = local_words(self.number, Sperr(1.0)._options(), shape, dtype.str)
        return kind, self._options()[0], *sides

    def _damage(self, stream: bytes, shape: tuple[int, ...], dtype: np.dtype) -> str:
        # A byte of the filter; for a volume 14 bytes and the length of what follows; 17 bytes on
        # the mean, or on the only value that there is; then bit planes, then corrections, if any:
        # for each 9 bytes that say how many bits follow.
        at = 1 if len(long_sides(shape)) == 2 else 19
        if len(stream) < at + 17:
            return f"where {at + 17} are the least"
        if at == 19 and int.from_bytes(stream[15:19], "little") != len(stream) - at:
            return "which is not what its header says"
        is_constant = stream[at] & 1
        n_values = int.from_bytes(stream[at + 1 : at + 9], "little")
        if is_constant and n_values != math.prod(shape):
            return f"which hold a constant for {n_values} values"
        at += 17
        n_parts = 0
        while not is_constant and at < len(stream) and n_parts < 2:
            at += 9 + -(-int.from_bytes(stream[at + 1 : at + 9], "little") // 8)
            n_parts += 1
        if at != len(stream) or n_parts == is_constant:
            return f"where its headers say {at}"
        return ""


register_codec(Sperr, h5_filter_id=Sperr.number)
