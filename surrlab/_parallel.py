"""Jobs in parallel on any executor, under a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, as_completed

import loky
from tqdm import tqdm


def run(
    jobs: list[tuple[Callable, tuple]],
    *,
    executor: Executor | None = None,
    label: str,
    unit: str = "file",
    total: int | None = None,
) -> Iterator:
    """Run jobs in parallel and yield their results as they end, under a progress bar.

    The first error, or Ctrl-C, ends the others and is raised; RuntimeError if a worker is killed.
    """
    total = len(jobs) if total is None else total
    if not jobs:
        return
    own = None
    if executor is None:
        # One pool for the whole session: a worker that has imported torch is worth keeping.
        executor = own = loky.get_reusable_executor(loky.cpu_count(), timeout=60)
    futures = []
    try:
        with tqdm(total=total, initial=total - len(jobs), desc=label, unit=unit) as bar:
            futures = [executor.submit(function, *arguments) for function, arguments in jobs]
            for future in as_completed(futures):
                try:
                    result = future.result()
                except BrokenExecutor as error:
                    raise RuntimeError(
                        f"{label}: a worker process was killed, perhaps for want of memory; what "
                        "was done is kept, and the same command goes on"
                    ) from error
                yield result
                bar.update()
    except BaseException:
        if own is not None:
            own.shutdown(kill_workers=True)
        else:
            for future in futures:
                future.cancel()
        raise
