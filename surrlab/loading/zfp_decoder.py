"""Stored fields decoded many at a time, without the interpreter's lock (Section VI).

On a small grid a call of zfpy costs as much as the field it decodes, and threads that return to the
interpreter after each field wait for each other and for the training loop. So what a loader meets
most, 2-D float32 fields in zfp's fixed-accuracy mode, is decoded here by compiled code, to the same
bits, and 2.0 to 2.8 times as fast as by zfp. All else goes through its codec's own `decode_many`.

Decoded MB/s of one core, ours / zfpy's (`benchmarks/decoder.py`, on a Xeon that others used too):

=========  =============  =============  =============
field      about 10x      about 20x      about 30x
=========  =============  =============  =============
48 x 16    1,278 / 462    2,095 / 748    2,164 / 856
96 x 32    1,105 / 450    1,812 / 822    2,565 / 1,135
192 x 64   961 / 471      1,696 / 841    2,848 / 1,426
768 x 256  1,356 / 545    2,300 / 1,021  2,911 / 1,333
=========  =============  =============  =============

References
----------
P. Lindstrom, "Fixed-Rate Compressed Floating-Point Arrays", IEEE TVCG 20(12), 2014. The stream is
that of zfp's codec version 5 (zfp 0.5 to 1.0).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np

from surrlab.compression import hdf5_filters
from surrlab.compression.codecs import Codec, Raw, long_sides
from surrlab.compression.codecs.zfp import Zfp
from surrlab.loading._zfp_stream import OTHER, RAW, ZFP, decode_chunks, plane_tables


class Decoder:
    """Checks and decodes chunks that lie in memory into float32 fields.

    Parameters
    ----------
    encodings : sequence of (Codec, bool)
        How chunks are stored: codec, and whether a checksum follows.
    shape : tuple of int
        Of a field.
    dtype : dtype
        Of the stored values; those of float64 are rounded to float32.
    """

    def __init__(self, encodings: Sequence[tuple[Codec, bool]], shape: tuple[int, ...], dtype):
        self.encodings, self.shape, self.dtype = encodings, shape, np.dtype(dtype)
        # Compiled code knows rows (ny, nx); without sides of length 1 a stream is the same.
        sides = long_sides(shape)
        self._sides = sides if len(sides) == 2 else (1, math.prod(shape))
        self._bounds = Zfp.plausible_bytes(self._sides, 4)
        self._rows = np.zeros((len(encodings), 3), np.int64)  # how, exponent, has_checksum
        for row, (codec, has_checksum) in zip(self._rows, encodings, strict=True):
            row[2] = has_checksum
            if self.dtype != np.float32:
                continue
            if isinstance(codec, Raw):
                row[0] = RAW
            elif isinstance(codec, Zfp) and codec.exponent is not None and len(sides) == 2:
                row[:2] = ZFP, codec.exponent

    def decode(
        self,
        addresses: np.ndarray,
        nbytes: np.ndarray,
        chosen: np.ndarray,
        slots: np.ndarray,
        out: np.ndarray,
        shifts: np.ndarray | None = None,
    ) -> int:
        """Decode chunks into the fields ``out[slots]``.

        Parameters
        ----------
        addresses, nbytes : arrays (n,) int64
            Where each chunk lies and how long it is, its checksum included. The caller answers for
            them: they are not, and cannot be, checked here.
        chosen : array (n,) int64
            Position in `encodings` of each chunk.
        slots : array (n,) int64
            Where each goes.
        out : array (m, *shape) float32
            C-contiguous.
        shifts : array (n,) float32, optional
            What is added to each decoded field.

        Returns
        -------
        int
            Index of the first damaged chunk, or -1; call `explain` for the reason.
        """
        fields = out.reshape(-1, *self._sides)
        added = np.zeros(len(slots), np.float32) if shifts is None else shifts
        bad = decode_chunks(
            addresses,
            nbytes,
            self._rows,
            chosen,
            slots,
            fields,
            added,
            *self._bounds,
            plane_tables(),
        )
        others = np.flatnonzero(self._rows[chosen[:bad], 0] == OTHER)
        try:
            for encoding in np.unique(chosen[others]):
                codec, has_checksum = self.encodings[encoding]
                group = others[chosen[others] == encoding].tolist()
                streams = [_stream(addresses[i], nbytes[i], has_checksum) for i in group]
                self._decode_many(codec, streams, [out[slots[i]] for i in group], added[group])
        except Exception:  # whatever a codec says of a damaged stream: find out which one
            for i in others.tolist():
                try:
                    self.explain(addresses[i], nbytes[i], chosen[i], out[slots[i]])
                except Exception:
                    return i
            raise
        return bad if bad < len(slots) else -1

    def explain(self, address: int, nbytes: int, encoding: int, out: np.ndarray) -> None:
        """Decode one chunk with its codec into ``out`` (*shape), or say what is wrong with it.

        Only compiled code notices a stream that goes on beyond its end.

        Raises
        ------
        OSError
            The checksum does not match.
        ValueError
            It cannot be a chunk of a field like `out`.
        """
        codec, has_checksum = self.encodings[encoding]
        self._decode_many(codec, [_stream(address, nbytes, has_checksum)], [out])

    def _decode_many(
        self,
        codec: Codec,
        streams: list[bytes],
        outs: list[np.ndarray],
        shifts: Sequence[float] = (),
    ) -> None:
        narrow = self.dtype == np.float32
        wide = outs if narrow else list(np.empty((len(outs), *self.shape), self.dtype))
        codec.decode_many(streams, wide)
        for values, shift in zip(wide, shifts, strict=False):
            if shift:
                values += shift
        if narrow:
            return
        if any(np.abs(values).max(initial=0) > np.finfo(np.float32).max for values in wide):
            raise ValueError("it holds values beyond the range of float32")
        for out, values in zip(outs, wide, strict=True):
            out[...] = values


def _stream(address: int, nbytes: int, has_checksum: bool) -> bytes:
    """A chunk's stream, checked and without its checksum; OSError if that does not match."""
    data = ctypes.string_at(int(address), int(nbytes))
    if has_checksum:
        data, stored = data[:-4], int.from_bytes(data[-4:], "little")
        if hdf5_filters.fletcher32(data) != stored:
            raise OSError("the checksum does not match; the file was damaged")
    return data
