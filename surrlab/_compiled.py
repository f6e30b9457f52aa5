"""Functions compiled by numba, in any environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from surrlab._files import cache_folder

# For somebody else's debugging: without compiling, the decoder fails and the solver takes hours.
# numba looks again whenever it compiles, and so do the processes that we start.
os.environ.pop("NUMBA_DISABLE_JIT", None)
import numba

_config: Any = numba.config
if _config.DISABLE_JIT:  # numba itself is in pieces then
    raise ImportError(
        "numba was imported with NUMBA_DISABLE_JIT set, and surrlab's decoder and solver have to "
        "be compiled: unset it"
    )


def njit(*, cache: bool = True, **options: Any) -> Callable[[Callable], Any]:
    """Decorate a function as ``numba.njit`` does, wherever and by whomever it is run.

    Where neither the package's folder nor the user's cache can be written, compiled code is kept in
    the machine's folder for temporary files.

    Parameters
    ----------
    cache : bool
        Whether the compiled function is kept for the next process.
    **options
        What else ``numba.njit`` takes.
    """

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=cache, **options)(function)
        except RuntimeError:  # "no locator available": nothing can be written where it looks
            before = _config.CACHE_DIR
        _config.CACHE_DIR = str(cache_folder("numba"))
        try:
            return numba.njit(cache=cache, **options)(function)
        finally:
            _config.CACHE_DIR = before

    return decorate
