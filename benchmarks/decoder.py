"""Decoded MB/s of one core: surrlab's decoder beside zfpy, by size of field and by ratio.

Rayleigh–Taylor fields, each within one tolerance of equal parts of its standard deviation, chosen
for about the ratio asked for; streams lie in memory, and both decode all of them into the same
array, in turns. zfpy is called as barely as it can be, once a field. Numbers are medians over the
rounds, of the thread's own time; 768 x 256 is 192 x 64 interpolated.

    python benchmarks/decoder.py > benchmarks/decoder.json
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zfpy
from machine import machine
from scipy.ndimage import zoom

from surrlab import simulation
from surrlab.compression.codecs.zfp import Zfp
from surrlab.loading.zfp_decoder import Decoder
from surrlab.simulation import RayleighTaylor

SIMULATED, INTERPOLATED = ((48, 16), (96, 32), (192, 64)), (768, 256)
SIMULATIONS, RATIOS, ROUNDS, VALUES = 2, (10, 20, 30), 15, 5e6


def samples_of(shape, folder):
    """Samples (n, n_fields, *shape) of all times, about `VALUES` numbers."""
    made = simulation.generate(
        RayleighTaylor(), folder / str(shape), n_simulations=SIMULATIONS, shape=shape, seed=1
    )
    return np.concatenate([made.read_simulation(s) for s in made.simulations])


def some_of(samples):
    n = max(1, round(VALUES / samples[0].size))
    return samples[np.linspace(0, len(samples) - 1, n).astype(int)]


def interpolated(samples):
    factor = np.divide(INTERPOLATED, samples.shape[2:])
    fields = [
        zoom(f, factor, order=3, mode="nearest") for f in samples.reshape(-1, *samples.shape[2:])
    ]
    return np.stack(fields).reshape(*samples.shape[:2], *INTERPOLATED)


def encoded(samples, ratio):
    """Codecs of the fields and streams of all, as near to `ratio` as one factor brings them."""
    spread, found = samples.std(axis=(0, 2, 3), dtype=np.float64), []
    part = samples[:: max(1, len(samples) // 8)]
    for factor in 2.0 ** np.arange(-14, 4, 0.25):
        codecs = [Zfp(float(factor * s)) for s in spread]
        nbytes = sum(len(c.encode(f)) for s in part for c, f in zip(codecs, s, strict=True))
        found.append((abs(np.log(part.nbytes / nbytes / ratio)), codecs))
    codecs = min(found, key=lambda each: each[0])[1]
    return codecs, [c.encode(f) for s in samples for c, f in zip(codecs, s, strict=True)]


def measure(samples, ratio):
    """A row: what was reached, and MB/s of both."""
    codecs, streams = encoded(samples, ratio)
    shape, n = samples.shape[2:], len(streams)
    memory = np.frombuffer(b"".join(streams), np.uint8)
    nbytes = np.array([len(stream) for stream in streams])
    addresses = memory.ctypes.data + np.cumsum([0, *nbytes[:-1]])
    decoder = Decoder([(codec, False) for codec in codecs], shape, np.float32)
    chosen, slots = np.arange(n) % len(codecs), np.arange(n)
    out = np.empty((n, *shape), np.float32)

    def ours():
        assert decoder.decode(addresses, nbytes, chosen, slots, out) == -1

    def theirs():
        for stream, field, i in zip(streams, out, chosen, strict=True):
            tolerance = codecs[i].tolerance
            zfpy._decompress(stream, zfpy.type_float, shape, out=field, tolerance=tolerance)

    found, seen = {ours: [], theirs: []}, []
    for turn in range(ROUNDS + 1):
        for way, seconds in found.items():
            start = time.thread_time()
            way()
            seconds.append(time.thread_time() - start)
            if not turn:
                seen.append(out.tobytes())
    assert seen[0] == seen[1]  # to the last bit
    a, b = (statistics.median(seconds[1:]) for seconds in found.values())
    return {
        "shape": shape,
        "ratio": round(out.nbytes / int(nbytes.sum()), 1),
        "bits_per_block": round(8 * int(nbytes.sum()) / (out.size / 16), 1),
        "surrlab_mb_per_s": round(out.nbytes / 1e6 / a),
        "zfpy_mb_per_s": round(out.nbytes / 1e6 / b),
        "over_zfpy": round(b / a, 2),
        "surrlab_ns_per_block": round(a / (out.size / 16) * 1e9, 1),
    }


def main():
    load, rows = [os.getloadavg()[0]], []
    with tempfile.TemporaryDirectory() as folder:
        sizes = {shape: samples_of(shape, Path(folder)) for shape in SIMULATED}
    sizes[INTERPOLATED] = interpolated(sizes[SIMULATED[-1]][::25])
    for samples in sizes.values():
        for ratio in RATIOS:
            rows.append(measure(some_of(samples), ratio))
            print(rows[-1], file=sys.stderr)
    report = {
        "rows": rows,
        "rounds": ROUNDS,
        "load_before_and_after": [round(x, 2) for x in (*load, os.getloadavg()[0])],
        "machine": machine("numba", "numpy", "zfpy"),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
