"""Jobs in parallel on any executor, under a progress bar; one whose worker died is run again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import SimpleQueue

from tqdm import tqdm

from surrlab._executors import NamedExecutor

TRIES = 3
"""Times that a job is begun whose worker dies, for want of memory or of a machine."""


def run(
    jobs: list[tuple[Callable, tuple]],
    *,
    executor: Executor | None = None,
    label: str,
    unit: str = "file",
    total: int | None = None,
    long: bool = False,
    spare: Iterator[tuple[Callable, tuple]] | None = None,
) -> Iterator:
    """Run jobs in parallel and yield their results as they end, under a progress bar.

    A job whose worker dies is run again: it has to look at what is there already. The first error,
    or Ctrl-C, ends the others and is raised. Where every call starts a process somewhere, jobs that
    are not `long` share as many calls as there are workers. A worker that would wait for the last
    jobs takes one from `spare`, which is asked then; their results are yielded, too.

    Raises
    ------
    RuntimeError
        If the worker of a job has died `TRIES` times.
    OSError
        If a scheduler ended.
    """
    total = len(jobs) if total is None else total
    if not jobs:
        return
    executor = NamedExecutor("local") if executor is None else executor
    named = executor if isinstance(executor, NamedExecutor) else None
    calls = [[job] for job in jobs]
    if named and named.starts_slowly and not long:
        calls = [jobs[first :: named.workers] for first in range(min(len(jobs), named.workers))]
    waiting, deaths = list(range(len(calls)))[::-1], Counter[int]()
    at_a_time = named.workers if named else len(calls)
    running: dict[Future, int] = {}
    ended: SimpleQueue[Future] = SimpleQueue()
    try:
        with tqdm(total=total, initial=total - len(jobs), desc=label, unit=unit) as bar:
            while waiting or running:
                while waiting and len(running) < at_a_time:
                    future = executor.submit(_each, calls[waiting[-1]])
                    running[future] = waiting.pop()
                    future.add_done_callback(ended.put)
                if spare and len(running) < at_a_time and (more := next(spare, None)):
                    waiting.append(len(calls))
                    calls.append([more])
                    bar.total += 1
                    continue
                future = ended.get()
                call = running.pop(future)
                if future.cancelled():
                    raise OSError(f"{label}: the executor dropped a job: its scheduler is gone")
                if (error := future.exception()) is not None and _died(error):
                    deaths[call] += 1
                    if deaths[call] == TRIES:
                        raise RuntimeError(
                            f"{label}: a worker died {TRIES} times (out of memory or of time?); "
                            "what is finished is kept, and the same command goes on from here"
                        ) from error
                    bar.write(f"surrlab: {label}: a worker died; its job is run again", sys.stderr)
                    waiting.append(call)
                    continue
                for result in future.result():
                    yield result
                    bar.update()
    except BaseException:
        for future in running:
            future.cancel()
        if named:
            named.shutdown(cancel_futures=True)
        raise
    if named:
        named.shutdown()


def _each(calls: list[tuple[Callable, tuple]]) -> list:
    return [function(*arguments) for function, arguments in calls]


def _died(error: BaseException) -> bool:
    """Whether the process of a job died, rather than the job failed.

    Of Dask a worker that dies is no error: its scheduler runs the job again.
    """
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "ExecutorlibSocketError"
