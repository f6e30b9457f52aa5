"""Cells of a field that never hold a value: land beside a sea, an obstacle in a flow.

Such a mask is the same in all samples. It is kept once, with its field, and reads as NaN, whatever
stood there. Codecs see values that go on smoothly instead; nothing else counts these cells.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

import numpy as np

from surrlab.data.fields import Field, no_value


def pack(mask: np.ndarray) -> str:
    """Return a mask ``(*grid.shape)``, True where there is no value, as a short text."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode()


def unpack(text: str, shape: Sequence[int]) -> np.ndarray:
    """Return the mask ``(*shape)`` that was packed; no text: none.

    Raises
    ------
    ValueError
        If it is no mask of this shape.
    """
    n = int(np.prod(shape))
    if not text:
        return np.zeros(shape, bool)
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text), n // 8 + 2)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a mask is damaged: {error}") from error
    if len(data) != -(-n // 8):
        raise ValueError(f"a mask has {len(data)} bytes, not one bit for each of {n} cells")
    mask = np.unpackbits(np.frombuffer(data, np.uint8), count=n).astype(bool).reshape(shape)
    if mask.all():
        raise ValueError("a mask leaves no cell")
    return mask


def valid_cells(fields: Sequence[Field], shape: Sequence[int]) -> np.ndarray | None:
    """Return which cells hold values, ``(n_fields, *shape)``; None if all of them do."""
    if not any(field.mask for field in fields):
        return None
    return ~np.stack([unpack(field.mask, shape) for field in fields])


def find(samples: Sequence[np.ndarray], fills: Sequence[Sequence[float]]) -> list[str]:
    """Return the mask of each field that some samples agree on, packed; empty if there is none.

    Parameters
    ----------
    samples : sequence of array (n_fields, *shape)
        Of different simulations and times, as stored.
    fills : sequence of sequence of float
        Values of each field that stand for none. Infinite ones are an accident, never a mask.
    """
    masks = []
    for i, fill in enumerate(fills):
        first, *others = (no_value(sample[i], fill) for sample in samples)
        constant = first.any() and not first.all() and all((one == first).all() for one in others)
        infinite = any(np.isinf(sample[i]).any() for sample in samples)
        masks.append(pack(first) if constant and not infinite else "")
    return masks


def blank(samples: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Set the cells of samples ``(..., n_fields, *shape)`` that hold no value to NaN, in place."""
    if valid is not None:
        for i in np.flatnonzero(~valid.reshape(len(valid), -1).all(axis=1)):
            samples[(..., i, ~valid[i])] = np.nan
    return samples


def filled(samples: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Return samples ``(..., n_fields, *shape)`` with smooth numbers where there is no value."""
    if valid is None:
        return samples
    samples = np.array(samples)
    for i, cells in enumerate(valid):
        if not cells.all():
            field = np.moveaxis(samples, -1 - cells.ndim, 0)[i]  # a view
            field[...] = _spread(field, cells)
    return samples


def _spread(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fill in the mean of the smallest block of 2, 4, 8 … cells a side that holds a value.

    Blocks are aligned with zfp's: those without a value become constants, which take a few bits.
    Smoothing them further costs zfp up to a fifth of all bytes.

    References
    ----------
    Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4: pull-push.
    """
    filled = _pull_push(np.where(valid, values, 0).astype(np.float64), valid)
    return np.where(valid, values, filled).astype(values.dtype)


def _pull_push(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    if valid.all():
        return values
    sums, counts = values, valid.astype(np.float64)
    for axis, n in zip(range(-valid.ndim, 0), valid.shape, strict=True):
        pairs = np.arange(0, n, 2)
        sums, counts = (np.add.reduceat(one, pairs, axis=axis) for one in (sums, counts))
    coarse = _pull_push(sums / np.maximum(counts, 1), counts > 0)
    for axis, n in zip(range(-valid.ndim, 0), valid.shape, strict=True):
        coarse = np.repeat(coarse, 2, axis=axis).take(np.arange(n), axis=axis)
    return np.where(valid, values, coarse)
