"""Run notebooks head-less, through papermill: a run leaves a whole notebook or none."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from surrlab import _lazy
from surrlab._files import replacing

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelClient, AsyncKernelManager
    from nbformat import NotebookNode

    Kernel = tuple[Any, IO[bytes]]

_lazy.require("lab", "papermill", "nbconvert", "ipykernel")

FOLDER = Path(str(files("surrlab"))) / "_notebooks"
"""The notebooks that come with the package."""

# Whatever environment the author's session named, the kernel is this interpreter.
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# IPython's own reset, which also takes away what processes that are spawned look for: __spec__.
_RESET = """
(lambda shell, kept: (shell.reset(), shell.user_ns.update(kept)))(
    get_ipython(),
    {name: value for name, value in globals().items() if name[:2] == "__" and name.strip("_")},
)
"""


class NotebookError(RuntimeError):
    """A cell of a notebook failed, ran out of time or took its kernel down."""


@contextmanager
def one_kernel() -> Iterator[Kernel]:
    """A kernel for notebooks of one folder, one after another: imports and workers are paid once.

    It starts with the first of them, in that folder. Each finds it without names, as a new one.
    """
    from jupyter_client.utils import run_sync

    # What the kernel itself says while it ends is nobody's business unless it died.
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as own:
        manager = _kernel_manager(log, Path(own))(kernel_name="python3")
        try:
            yield manager, log
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)()


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: Mapping[str, object],
    *,
    timeout: int,
    kernel: Kernel | None = None,
) -> Path:
    """Execute a notebook with these parameters and write it, with an HTML copy beside it.

    The kernel is the running interpreter, in the notebook's own folder as under JupyterLab: give
    paths as absolute ones. Its standard error (progress bars) is passed on to a terminal.

    Parameters
    ----------
    notebook : path
        Has one cell tagged ``parameters``. It is not changed.
    output : path
        Where the executed notebook goes; the copy has the suffix ``.html``. What an earlier run
        left there is removed first, and `output` appears only when every cell has run.
    parameters : mapping of str
        Replace values of the ``parameters`` cell: numbers, strings, booleans, None, lists, dicts.
    timeout : int
        Seconds that one cell may take.
    kernel : Kernel, optional
        From `one_kernel`; by default one that ends with the notebook.

    Returns
    -------
    pathlib.Path
        `output`, absolute.

    Raises
    ------
    ValueError
        A parameter that the notebook does not have, or a timeout that is not positive; nothing has
        been executed or removed then.
    NotebookError
        A cell failed or ran out of time. What was executed is kept in ``<name>.failed.ipynb``.
    """
    notebook, output = Path(notebook).resolve(), Path(output).resolve()
    if not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout}")
    source = _read(notebook)
    known = _parameters(source)
    for name in parameters:  # papermill would warn only, and run the notebook without it
        if name not in known:
            raise ValueError(
                f"{notebook.name} has no parameter {name!r}; it has {', '.join(known) or 'none'}"
            )

    import nbformat
    import papermill
    from jupyter_client.utils import run_sync
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbconvert import HTMLExporter
    from papermill.exceptions import PapermillExecutionError

    failed = output.with_suffix(".failed.ipynb")
    part = output.with_name(f".{output.stem}.part.json")  # a suffix that papermill accepts
    output.parent.mkdir(parents=True, exist_ok=True)
    for old in (output, output.with_suffix(".html"), failed):
        old.unlink(missing_ok=True)

    started = time.monotonic()
    _say(f"{notebook.name}: running")
    try:
        with nullcontext(kernel) if kernel else one_kernel() as (manager, log):
            try:
                if manager.has_kernel:
                    run_sync(_empty)(manager)
                executed = papermill.execute_notebook(
                    source,
                    str(part).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
                    dict(parameters),
                    kernel_name="python3",
                    km=manager,
                    cwd=notebook.parent,
                    execution_timeout=timeout,
                    iopub_timeout=60,  # 4 s by default: a busy machine's last output may be late
                    coalesce_streams=True,  # a progress bar leaves its last state, not a thousand
                    progress_bar=False,
                    stderr_file=sys.stderr if sys.stderr.isatty() else None,
                )
            except DeadKernelError:
                log.seek(0)
                _say(log.read().decode(errors="replace"))
                raise
            finally:
                manager.disconnect()
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError) as error:
        os.replace(part, failed)
        raise NotebookError(_explain(notebook, failed, error, timeout)) from error
    finally:
        part.unlink(missing_ok=True)

    for path in ("input_path", "output_path"):
        del executed.metadata.papermill[path]  # the source once more, and the temporary name
    quiet = logging.getLogger("surrlab.nbconvert")
    quiet.setLevel(logging.ERROR)  # it would remind every reader that our plots have no alt text
    page, _ = HTMLExporter(log=quiet).from_notebook_node(
        executed, {"metadata": {"name": notebook.stem}}
    )
    _replace(output.with_suffix(".html"), page)
    _replace(output, nbformat.writes(executed) + "\n")
    _say(f"{notebook.name}: done in {time.monotonic() - started:.0f} s")
    return output


def explore(path: str | Path | None = None) -> int:
    """Serve the explorer as a page to this machine alone, and open it, until it is stopped.

    Parameters
    ----------
    path : path, optional
        What to look at first; by default the results of `surrlab study`.

    Returns
    -------
    int
        The server's exit code. Its log names the page's address, token included.

    Raises
    ------
    FileNotFoundError
        There is nothing to look at, with what to run first.
    """
    import nbformat

    folder = Path("results/quick" if path is None else path)
    if not folder.exists():
        raise FileNotFoundError(
            f"there is no {folder} to look at: run `surrlab study` first (about ten minutes), or "
            "name an ensemble, results or a file: surrlab explore FOLDER"
        )
    here = str(Path.cwd())  # seen from here, and saved here; the notebook lies elsewhere
    cell = f"import os\n\nimport surrlab\n\nos.chdir({here!r})\nsurrlab.explore({str(folder)!r})"
    page = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell)], metadata={**_METADATA, "title": "surrlab"}
    )
    with tempfile.TemporaryDirectory() as own:
        nbformat.write(page, Path(own) / "explore.ipynb")
        shutil.copy(FOLDER / "voila.json", own)
        command = [sys.executable, "-m", "voila", "explore.ipynb"]
        return subprocess.run(command, cwd=own, check=False).returncode


def parameters(notebook: str | Path) -> tuple[str, ...]:
    """Names of the parameters that `run` takes for this notebook."""
    return _parameters(_read(notebook))


def _read(notebook: str | Path) -> NotebookNode:
    import nbformat

    return nbformat.read(notebook, as_version=4)


def _parameters(nb: NotebookNode) -> tuple[str, ...]:
    import papermill

    nb.metadata.update(_METADATA)
    return tuple(papermill.inspect_notebook(nb))


def _kernel_manager(log: IO[bytes], own: Path) -> type[AsyncKernelManager]:
    """What starts the kernels, away from the user's start-up files and looks of pictures."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    # The variable alone would show a figure as `<Figure size 640x480>`; with IPython's own option
    # it becomes a picture without a window.
    options = ["--InteractiveShellApp.matplotlib=agg"]
    (own / "matplotlibrc").touch()
    alone = {"IPYTHONDIR": str(own), "MATPLOTLIBRC": str(own / "matplotlibrc")}
    spec = KernelSpec(**get_kernel_dict(options), env={"MPLBACKEND": "agg", **alone})

    class ThisInterpreter(AsyncKernelManager):
        """Starts the running interpreter, whatever kernels are installed under its name."""

        kernel_spec = spec
        _client: AsyncKernelClient | None = None
        transport_encryption = "auto"  # else every kernel begins with a warning

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**options, stdout=log, stderr=log)

        def client(self, **options: Any) -> AsyncKernelClient:  # type: ignore[override]
            self._client = super().client(**options)
            return self._client

        def disconnect(self) -> None:
            """Close what papermill leaves open of a kernel that goes on."""
            if self._client is not None:
                self._client.stop_channels()

    return ThisInterpreter


async def _empty(manager: AsyncKernelManager) -> None:
    """Leave nothing of the last notebook in a kernel, but what it has imported."""
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        await client.execute_interactive(_RESET, silent=True, store_history=False, timeout=60)
    finally:
        client.stop_channels()


def _explain(notebook: Path, failed: Path, error: Exception, timeout: int) -> str:
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        reason = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        reason = f"it ran longer than {timeout} s"
    else:
        reason = "its kernel died (out of memory?)"
    started = [
        cell.source.strip().partition("\n")[0]
        for cell in _read(failed).cells
        if cell.cell_type == "code"
        and cell.source.strip()
        and cell.metadata.get("papermill", {}).get("start_time")
    ]
    return (
        f"{notebook.name} failed in cell [{len(started)}] `{started[-1]}`: {reason}\n"
        f"What was executed is kept in {failed}"
    )


def _replace(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
