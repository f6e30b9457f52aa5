"""Parameters that papermill gave a notebook: those that it does not have are refused by itself."""

from __future__ import annotations

import ast
import sys

MARK = "# Parameters\n"
"""How the cell begins that papermill puts behind the notebook's own."""


def check_parameters() -> None:
    """Refuse parameters of the running notebook that its own first cell does not name.

    papermill warns and runs the notebook without them.

    Raises
    ------
    ValueError
        Naming one, and those that there are.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    typed: list[str] = list(shell.user_ns.get("In", ())) if shell else []
    _, own, injected, *_ = (*typed, "", "", "")
    if injected.startswith(MARK):
        known = _assigned(own)
        for name in _assigned(injected):
            if name not in known:
                raise ValueError(
                    f"this notebook has no parameter {name!r}; it has {', '.join(known)}"
                )


def _assigned(cell: str) -> list[str]:
    """Names that a cell gives values."""
    names: list[str] = []
    for line in ast.parse(cell).body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names
