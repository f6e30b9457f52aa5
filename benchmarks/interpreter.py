"""Does a loader decode faster in a process of its own, where the training loop holds Python's lock?

Threads decode without that lock, but take it for a moment between one read and the next, and a loop
in Python's own code gives it up only every 5 ms. The consumer computes as one of 3.18 GB/s does in
`utilisation.py`; for a part of that time it runs Python's own code, and for the rest it sleeps.
Feeds take turns on the same compressed files: `threads`, SampleLoader; `memory`, the same with
``cache="memory"``; `process`, a SampleLoader in another process, which decodes into shared memory
and says where each batch lies. It is the least that can be measured: no error of it is passed on.
Milliseconds of a step, without an epoch's first, medians over the rounds.

    python benchmarks/interpreter.py [FOLDER] > benchmarks/interpreter.json

The ensemble in FOLDER is that of `utilisation.py`.
"""

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from machine import machine
from utilisation import BATCH, CONSUMERS, ensembles

from surrlab.loading import reader
from surrlab.loading.loader import SampleLoader

HELD, ROUNDS = (0, 0.5, 0.75, 1), 5
AHEAD = 2  # batches that the process passes on before it gets one back


def serve(loader, connection):
    """Iterate whenever asked; every batch is passed on as its block's number and its length."""
    blocks, numbers, held = [], {}, {}

    def allocate(shape):
        blocks.append(SharedMemory(create=True, size=4 * math.prod(shape)))
        array = np.ndarray(shape, np.float32, blocks[-1].buf)
        numbers[array.ctypes.data] = len(blocks) - 1
        connection.send((blocks[-1].name, shape))
        return array

    reader.PREFETCH += AHEAD  # so many more buffers are used again
    loader._allocate = allocate
    while connection.recv():
        for inputs, fields in loader:
            number = numbers[fields.ctypes.data]
            held[number] = fields
            connection.send((number, inputs))
            del fields
            while len(held) > AHEAD or connection.poll():
                del held[connection.recv()]
        connection.send(None)
        while held:
            del held[connection.recv()]
    del loader
    for block in blocks:
        block.unlink()
    os._exit(0)  # arrays still point into the blocks


class Process:
    """The batches of a loader that runs in another process; a buffer is valid for one step."""

    def __init__(self, loader):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(loader, other), daemon=True)
        self.process.start()
        self.blocks, self.arrays = [], []

    def __iter__(self):
        self.connection.send(True)
        while message := self.connection.recv():
            what, value = message
            if isinstance(what, str):
                self.blocks.append(SharedMemory(what))
                self.arrays.append(np.ndarray(value, np.float32, self.blocks[-1].buf))
                continue
            yield value, self.arrays[what][: len(value)]
            self.connection.send(what)

    def close(self):
        self.connection.send(False)
        self.process.join()


def compute(seconds, held):
    """Compute so long, a part of it in Python's own code."""
    end = time.thread_time() + held * seconds
    while time.thread_time() < end:
        sum(range(100))
    time.sleep((1 - held) * seconds)


def step(feed, held):
    """Seconds of a step but the first of an epoch."""
    began = n = 0
    for _, fields in feed:
        compute(fields.nbytes / CONSUMERS["unet3d"], held)
        if began:
            n += len(fields) / BATCH
        else:
            began = time.perf_counter()
        del fields
    return (time.perf_counter() - began) / n


def main(folder=None):
    with (
        contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as path,
        contextlib.ExitStack() as stack,
    ):
        _, compressed, _ = ensembles(Path(path))
        load = os.getloadavg()[0]
        feeds = {
            "threads": SampleLoader(compressed, BATCH, seed=0),
            "memory": SampleLoader(compressed, BATCH, seed=0, cache="memory"),
            "process": Process(SampleLoader(compressed, BATCH, seed=0)),
        }
        for feed in feeds.values():
            stack.callback(feed.close)
        found = {}
        for turn, held, name in itertools.product(range(ROUNDS + 1), HELD, feeds):
            seconds = step(feeds[name], held)
            print(name, held, seconds, file=sys.stderr)
            if turn:
                found.setdefault((held, name), []).append(seconds)
        medians = {key: statistics.median(each) for key, each in found.items()}
        report = {
            "ms_per_step": {
                str(held): {name: round(1e3 * medians[held, name], 1) for name in feeds}
                for held in HELD
            },
            "threads_over_process": {
                str(held): round(medians[held, "threads"] / medians[held, "process"], 2)
                for held in HELD
            },
            "computes_ms": round(
                1e3 * 4 * BATCH * math.prod(compressed.sample_shape) / CONSUMERS["unet3d"], 1
            ),
            "rounds": ROUNDS,
            "cores": len(os.sched_getaffinity(0)),
            "load_before_and_after": [round(x, 2) for x in (load, os.getloadavg()[0])],
            "machine": machine("numba", "numpy"),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
