"""An ensemble as nobody's benchmark has it: odd grid, ragged times, fields that never change."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from surrlab.data import native
from surrlab.data.ensemble import Run
from surrlab.data.fields import Axis, Field, Grid

SHAPE = (50, 30)
FIELDS = (
    Field("salinity", "g/kg"),
    Field("orography", "m"),  # varies over the grid, and is the same in all samples
    Field("T2M", "K", "temperature"),
    Field("nothing"),  # 0 everywhere
)


def write(path, header, run, samples):
    native.write_simulation(path, header, run, samples)


def waves(path, lengths, parameters=("speed",), shape=SHAPE):
    """A wave in one field, its mean in another; simulations 3, 5, 7 … of so many times."""
    stretched = np.cumsum(np.linspace(1, 2, shape[0]))
    axes = Axis("lat", "deg", tuple(stretched)), Axis.uniform("lon", "deg", shape[1], 0, 360)
    inputs = dict.fromkeys(parameters, "m/s") | {"time": "day"}
    header = native.Header(FIELDS, Grid(axes), inputs)
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    rng, runs, writers = np.random.default_rng(0), {}, {}
    for place, n in enumerate(lengths):
        s, speed = 2 * place + 3, 0.5 + place / len(lengths)
        runs[s] = Run(s, (speed,) * len(parameters), tuple(np.sort(rng.uniform(0, 9, n)).tolist()))
        wave = np.stack([np.sin(6 * (x - speed * t / 9)) * np.exp(-y) for t in runs[s].times])
        land, zero = np.broadcast_to(100 * y, wave.shape), np.zeros(wave.shape)
        warm = 280 + 10 * wave.mean((1, 2), keepdims=True) + wave**2
        samples = np.stack([wave, land, warm, zero], axis=1).astype(np.float32)
        writers[s] = partial(write, header=header, run=runs[s], samples=samples)
    with ThreadPoolExecutor(1) as pool:
        return native.build(path, header, {}, runs, writers, executor=pool, label="write")
