"""Executors by name: this machine, a Dask cluster, Slurm, Flux, or what a function makes.

A named executor opens when a parallel step begins and closes when it ends, so that a notebook's
kernel leaves nothing behind. If its pool breaks, it opens a new one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import loky

from surrlab import _lazy

NAMES = "local, dask:ADDRESS, slurm, flux or MODULE:FACTORY"
RESOURCES = ("cores", "gpus", "minutes", "workers")
LACKS = {"local": ("gpus", "minutes"), "dask": ("minutes",)}
QUEUED, SECONDS = 64, 30
"""Jobs submitted at a time unless `workers` says it; and how long a scheduler may take to answer"""

Opened = tuple[Executor, Callable[[bool], None]]  # and what closes it: now, or when all is done


class NamedExecutor(Executor):
    """An executor by name, opened by the first `submit` and closed by `shutdown`, again and again.

    Parameters
    ----------
    name : str
        ``"local"``: processes on this machine. ``"dask:ADDRESS"``: the workers of a scheduler.
        ``"slurm"`` and ``"flux"``: a job for every model, or for some files, through executorlib.
        ``"MODULE:FACTORY"``: what a function returns, called with the resources that are given
        (`workers` as ``max_workers``).
    resources : mapping of str to int
        ``cores``, ``gpus`` and ``minutes`` of each job; ``workers``: jobs at a time.

    Raises
    ------
    ValueError
        If there is no such executor, or it does not take a resource.
    ImportError
        If what it needs is not installed.
    OSError
        If it does not answer.
    """

    def __init__(self, name: str, resources: Mapping[str, int] | None = None):
        kind, _, rest = name.partition(":")
        if kind and rest:
            self._open = self._dask if kind == "dask" else self._made
        elif name in ("local", "slurm", "flux"):
            self._open = {"local": self._local, "slurm": self._slurm, "flux": self._flux}[name]
        else:
            raise ValueError(f"there is no executor {name!r}; it is {NAMES}")
        self.name, self.resources = name, dict(resources or {})
        takes = [key for key in RESOURCES if key not in LACKS.get(kind, ())]
        for key, value in self.resources.items():
            if key not in takes:
                raise ValueError(f"executor {name} takes {', '.join(takes)}, not {key}")
            if isinstance(value, bool) or not isinstance(value, int) or value < (key != "gpus"):
                raise ValueError(f"{key} of executor {name} is a positive number, not {value!r}")
        self.starts_slowly = name in ("slurm", "flux")
        self.cores = self.resources.get("cores", 1)
        default = max(1, loky.cpu_count() // self.cores) if name == "local" else QUEUED
        self.workers = self.resources.get("workers", default)
        self._opened: Opened | None = None
        if name != "local":
            self._opened = self._open()  # refuses now, before any work
            self.shutdown()

    def submit(self, function: Callable, /, *arguments: Any, **named: Any) -> Future:
        """Schedule a call; on a new pool if the last one broke."""
        try:
            return self._executor().submit(function, *arguments, **named)
        except BrokenExecutor:
            self.shutdown(wait=False)
            return self._executor().submit(function, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close it; calls that have not begun are dropped if `cancel_futures`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1](cancel_futures or not wait)

    @property
    def options(self) -> list[str]:
        """The words of a command line that name it."""
        asked = ",".join(f"{key}={value}" for key, value in self.resources.items())
        return ["--executor", self.name, *(["--resources", asked] if asked else [])]

    def _executor(self) -> Executor:
        if self._opened is None:
            self._opened = self._open()
        return self._opened[0]

    def _local(self) -> Opened:
        # One pool for the whole session: a worker that has imported torch is worth keeping.
        # Ctrl-C reaches all processes of a terminal: who shuts the pool down ends its workers.
        ignore = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
        pool = loky.get_reusable_executor(self.workers, timeout=60, **ignore)
        return pool, lambda now: pool.shutdown(kill_workers=True) if now else None

    def _dask(self) -> Opened:
        _lazy.require("cluster", "distributed")
        from distributed import Client

        gpus = self.resources.get("gpus")
        client = Client(self.name.partition(":")[2], timeout=SECONDS)
        executor = client.get_executor(resources={"GPU": gpus} if gpus else None)

        def close(now: bool) -> None:
            executor.shutdown(wait=not now)
            client.close()

        return executor, close

    def _slurm(self) -> Opened:
        _lazy.require("cluster", "executorlib")
        _ask("sinfo", "--noheader")
        from executorlib import SlurmJobExecutor

        options = ["--quiet", "--job-name=surrlab"]
        if minutes := self.resources.get("minutes"):
            options.append(f"--time={minutes}")
        # Within an allocation jobs are steps, each of which would take all of it.
        side_by_side = "SLURM_JOB_ID" in os.environ
        asked = self._asked() | {"slurm_cmd_args": options, "exclusive": side_by_side}
        return _closable(SlurmJobExecutor(resource_dict=asked))

    def _flux(self) -> Opened:
        _lazy.require("cluster", "executorlib")
        if importlib.util.find_spec("flux") is None:
            raise ImportError("executor flux needs Flux's own Python package, flux")
        _ask("flux", "uptime")
        from executorlib import FluxJobExecutor

        minutes = self.resources.get("minutes")
        limit = {"run_time_max": 60 * minutes} if minutes else {}
        return _closable(FluxJobExecutor(resource_dict=self._asked() | limit))

    def _asked(self) -> dict[str, Any]:
        """One process with so many threads: what executorlib calls cores are MPI ranks."""
        gpus = self.resources.get("gpus", 0)
        return {"cores": 1, "threads_per_core": self.cores, "gpus_per_core": gpus}

    def _made(self) -> Opened:
        module, _, factory = self.name.partition(":")
        given = {"max_workers" if k == "workers" else k: v for k, v in self.resources.items()}
        try:
            made = getattr(importlib.import_module(module), factory)(**given)
        except (ImportError, AttributeError, TypeError) as error:
            raise ValueError(f"executor {self.name} cannot be made: {error}") from error
        if not isinstance(made, Executor):
            raise ValueError(f"{self.name} returned {made!r}, not a concurrent.futures.Executor")
        return _closable(made)


def named(executor: Executor | str | None, resources: Mapping[str, int] | None) -> Executor | None:
    """Return an executor that may be given by its name; none for None, or an empty name."""
    if isinstance(executor, str) and executor:
        return NamedExecutor(executor, resources)
    if resources:
        raise ValueError(f"resources are for an executor that is named: {NAMES}")
    return None if isinstance(executor, str) else executor  # whatever has `submit` will do


def _closable(executor: Executor) -> Opened:
    return executor, lambda now: executor.shutdown(wait=not now, cancel_futures=now)


def _ask(*command: str) -> None:
    """See whether a scheduler answers."""
    if not shutil.which(command[0]):
        raise OSError(f"{command[0]} is not on this machine's PATH: is it one of the cluster's?")
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} gets no answer within {SECONDS} s") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        raise OSError(f"{command[0]} gets no answer from its scheduler: {said}") from error
