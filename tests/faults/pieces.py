"""Pieces of a smoke study in one process, so that it can be killed, damaged and run twice.

A process that has imported torch forks: each child does the work of `surrlab study`'s notebooks.
"""

import os
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from surrlab import studies
from surrlab._files import sha256
from surrlab.loading import SampleLoader
from surrlab.training import train

NUMBERS = {
    "n_simulations": 4,
    "epochs": 2,
    "n_raw_models": 2,
    "looks": (2,),
    "generation_seeds": (1,),
    "n_test_simulations": 0,
    "test_fraction": 0.25,
}


class InProcess:
    """An executor that needs neither threads nor processes: safe in a forked child."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


def pieces(folder):
    """Simulate, train, search and compress, train again; return every number that came out."""
    study = studies.open_study("smoke", folder, executor=InProcess(), **NUMBERS)
    model = train(
        study.train_set,
        study.config.train,
        seed=7,
        path=study.path / "extra_model",
        threads=1,
        checkpoint_seconds=0,
        progress=False,
    )
    table = studies.variability_study(study)
    found = studies.tolerance_search(study)
    small = studies.compressed(study, studies.algorithm_1(study))
    with SampleLoader(small, 32, seed=0, shuffle=False, threads=1) as loader:
        loaded = np.concatenate([fields.copy() for _, fields in loader])
    study.results.summarise("pieces", {"l1": float(table["normalised_l1"].mean())})
    for name in ("models/*/model.safetensors", "extra_model/model.safetensors"):
        for path in study.path.glob(name):
            sha256(path)
    weights = [values.numpy().tobytes() for values in model.network.state_dict().values()]
    return {
        "ensemble": study.ensemble.digest,
        "truth": study.ensemble.read(3).tobytes(),
        "weights": b"".join(weights),
        "table": table["normalised_l1"].values.tobytes(),
        "tolerances": found["tolerance"].values.tobytes(),
        "statistics": study.field_statistics["scale"].values.tobytes(),
        "loaded": loaded.tobytes(),
        "summary": study.results.summary["pieces"]["l1"],
    }


def forked(folder):
    """Process id of a child that does the pieces, and ends with 0 if it could."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        pieces(folder)
        os._exit(0)
    finally:
        os._exit(1)


def stored(folder):
    """Every file that a study stores and reads again."""
    readable = (".json", ".nc", ".h5", ".safetensors")
    return sorted(p for p in Path(folder).rglob("*") if p.suffix in readable and p.is_file())


def wait(child, seconds):
    """Exit status of a child; None if it is still at work after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    return None
