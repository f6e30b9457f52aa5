"""Run the notebooks head-less, and keep them thin.

The paper's figures are told by ``notebooks/``. `run` executes one of them through papermill and
leaves a whole notebook or none; `check` lists the house's rules that one breaks, `strip` removes
what a session left in it.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from surrlab._files import replacing

MAX_CODE_CELLS = 12
MAX_CODE_LINES = 80
MAX_CELL_LINES = 15

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(RuntimeError):
    """A cell of a notebook failed, ran out of time or took its kernel down."""


def run(
    notebook: str | Path, output: str | Path, parameters: Mapping[str, object], *, timeout: int
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
        executed = papermill.execute_notebook(
            source,
            str(part).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
            dict(parameters),
            kernel_name="python3",
            kernel_manager_class=_kernel_manager(),
            cwd=notebook.parent,
            execution_timeout=timeout,
            iopub_timeout=60,  # 4 s by default: a cell's last output may be late on a busy machine
            coalesce_streams=True,  # a progress bar leaves its last state, not a thousand
            progress_bar=False,
            stderr_file=sys.stderr if sys.stderr.isatty() else None,
        )
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


def parameters(notebook: str | Path) -> tuple[str, ...]:
    """Names of the parameters that `run` takes for this notebook."""
    return _parameters(_read(notebook))


def check(notebook: str | Path) -> list[str]:
    """Rules of the house that a notebook breaks: it is text, one call, one figure, again.

    At most 12 code cells and 80 code lines (blank ones do not count), 15 a cell; plain Python
    without ``def`` and ``class``; one cell tagged ``parameters`` whose lines are all
    ``name: type = literal  # comment``; nothing left in it by a session.

    Returns
    -------
    list of str
        One sentence a broken rule, with the cell's place from 1; empty if all is well.
    """
    nb = _read(notebook)
    code = [(n, cell) for n, cell in enumerate(nb.cells, 1) if cell.cell_type == "code"]
    lines = {n: [ln for ln in cell.source.splitlines() if ln.strip()] for n, cell in code}
    tagged = [(n, cell) for n, cell in code if "parameters" in cell.metadata.get("tags", [])]

    broken = [
        f"{count} {what}, at most {most} are allowed"
        for count, what, most in (
            (len(code), "code cells", MAX_CODE_CELLS),
            (sum(map(len, lines.values())), "code lines", MAX_CODE_LINES),
            *((len(lines[n]), f"code lines in cell {n}", MAX_CELL_LINES) for n in lines),
        )
        if count > most
    ]
    for n, cell in code:
        try:
            nodes = list(ast.walk(ast.parse(cell.source)))
        except SyntaxError as error:
            broken.append(f"cell {n} is not plain Python: {error.msg} (line {error.lineno})")
            continue
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        broken += [
            f"cell {n} defines {node.name!r}: move it into the package"
            for node in nodes
            if isinstance(node, definitions)
        ]
    if len(tagged) != 1:
        broken.append(f"{len(tagged)} cells are tagged 'parameters', there must be one")
    broken += [
        f"cell {n} must hold lines like `name: type = literal  # comment`, not {line!r}"
        for n, _ in tagged
        for line in lines[n]
        if not _is_parameter(line)
    ]
    if nb != _stripped(nb):
        broken.append("it holds outputs or metadata of a session: run `make format`")
    return broken


def strip(notebook: str | Path) -> bool:
    """Remove outputs, counts and session metadata from a notebook; True if there were any.

    Tags stay, and the kernel becomes ``python3``: without one JupyterLab stops to ask.
    """
    import nbformat

    nb = _read(notebook)
    clean = _stripped(nb)
    if clean != nb:
        _replace(Path(notebook), nbformat.writes(clean) + "\n")
    return clean != nb


def _read(notebook):
    import nbformat

    return nbformat.read(notebook, as_version=4)


def _stripped(nb):
    import nbformat

    clean = nbformat.from_dict({**nb, "metadata": _METADATA})
    for cell in clean.cells:
        cell.metadata = {key: cell.metadata[key] for key in cell.metadata if key == "tags"}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return clean


def _is_parameter(line):
    try:
        (statement,) = ast.parse(line).body
        ast.literal_eval(statement.value)
    except (AttributeError, SyntaxError, ValueError):
        return False
    comment = line.encode()[statement.end_col_offset :].strip()  # ast counts bytes
    return (
        isinstance(statement, ast.AnnAssign)
        and not isinstance(statement.annotation, ast.BinOp)  # papermill overlooks `int | None`
        and comment.startswith(b"#")
        and len(comment) > 1
    )


def _parameters(nb):
    import papermill

    nb.metadata.update(_METADATA)  # whatever environment the author's session named
    return tuple(papermill.inspect_notebook(nb))


def _kernel_manager():
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    # The variable alone would show a figure as `<Figure size 640x480>`; with IPython's own option
    # it becomes a picture without a window.
    options = ["--InteractiveShellApp.matplotlib=agg"]
    spec = KernelSpec(**get_kernel_dict(options), env={"MPLBACKEND": "agg"})

    class ThisInterpreter(AsyncKernelManager):
        """Starts the running interpreter, whatever kernels are installed under its name."""

        kernel_spec = spec
        transport_encryption = "auto"  # else every kernel begins with a warning

    return ThisInterpreter


def _explain(notebook, failed, error, timeout):
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


def _replace(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _say(line):
    print(line, file=sys.stderr, flush=True)
