"""Write ``__init__.pyi`` of every wing, from which type checkers learn what it offers.

    python docs/stubs.py [--check]

With ``--check`` nothing is written, and the exit code is 1 if a file is missing or out of date.
"""

import importlib
import sys
from pathlib import Path

import surrlab

PACKAGE = Path(surrlab.__file__).parent


def stub(package):  # "surrlab.training" -> text of its stub
    """One line ``from module import name as name`` for each name that the package offers."""
    offered = vars(importlib.import_module(package))
    names, modules = offered["_names"], offered["_modules"]
    lines = [f"from {package}.{module} import {name} as {name}" for name, module in names.items()]
    if package == "surrlab":
        lines += [f"from surrlab import {module} as {module}" for module in modules]
        lines.append("__version__: str")
    return "\n".join([*sorted(lines), ""])


def main(check):
    """Write the stubs, or compare them; returns the exit code."""
    stale = []
    for file in [PACKAGE / "__init__.py", *sorted(PACKAGE.glob("[a-z]*/__init__.py"))]:
        package = ".".join(("surrlab", *file.parent.relative_to(PACKAGE).parts))
        path, text = file.with_suffix(".pyi"), stub(package)
        if not path.exists() or path.read_text() != text:
            stale.append(path)
            if not check:
                path.write_text(text)
    for path in stale:
        print(f"{path} {'is out of date: run `make format`' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
