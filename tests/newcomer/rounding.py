"""A codec as a user adds one: rounding to multiples, and deflate, which every HDF5 knows."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from surrlab.compression.codecs import Codec, checked, output_array, register_codec


@dataclass(frozen=True)
class Rounding(Codec):
    """Values rounded to multiples of twice the tolerance, then deflated."""

    name: ClassVar[str] = "rounding"
    carries_bound: ClassVar[bool] = True
    tolerance: float

    def encode(self, array):
        values = checked(array)
        step = 2 * (self.tolerance - np.spacing(np.abs(values).max()))
        if step > 0:  # or the last digit is worth more than the tolerance
            values = (np.round(values / step) * step).astype(values.dtype)
        return zlib.compress(values.tobytes(), 4)

    def decode(self, data, shape, dtype=np.float32, out=None):
        out = output_array(out, shape, dtype)
        out[...] = np.frombuffer(zlib.decompress(data), dtype).reshape(shape)
        return out

    def h5_filter(self):
        return {"compression": "gzip", "compression_opts": 4}


register_codec(Rounding, h5_filter_id=1)
