"""The walls of the house: which module may import which, and where torch may come in.

`HOUSE` is the table to change, with a reason, when a wall stands wrongly. A module may import those
that its row names; each of them stands above it, so imports run one way.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import surrlab

PACKAGE = Path(surrlab.__file__).parent
ALL_ABOVE = "all above"

HOUSE = {
    "fields": "",
    "hydro": "fields",
    "metrics": "fields",
    "scenarios": "fields hydro metrics",
    "codecs": "",
    "storage": "fields",
    "ensembles": "fields scenarios storage",
    "tolerance": "codecs storage ensembles",
    "compression": "storage ensembles codecs tolerance",
    "decoding": "codecs",
    "disks": "",
    "chunks": "codecs storage ensembles decoding",
    "loading": "ensembles decoding disks chunks",
    "networks": "",
    "surrogates": "storage ensembles loading networks",
    "training": "storage ensembles loading surrogates",
    "variability": "",
    "evaluation": "fields ensembles surrogates metrics",
    "workspace": "storage ensembles surrogates training evaluation",
    "studies": ALL_ABOVE,
    "throughput": ALL_ABOVE,
    "drawing": "fields",
    "figures": "fields drawing",
    "figures_data": "fields drawing",
    "figures_loading": "drawing",
    "plates": "storage studies figures figures_data figures_loading",
    "ladder": "fields codecs tolerance metrics",
    "judged": "fields ensembles surrogates drawing ladder",
    "gallery": "fields storage ensembles compression ladder judged",
    "views": "fields ladder",
    "charts": "ladder judged views",
    "figures_explorer": "drawing ladder judged views",
    "pages": "drawing ladder judged gallery views charts figures_explorer",
    "explorer": "fields storage ladder gallery views figures_explorer pages",
    "presets": "scenarios training workspace",
    "notebooks": "storage",
    "cli": ALL_ABOVE,
}
TORCH = {"networks", "surrogates", "training", "throughput"}  # which times steps of training
NOT_IN_METRICS = {"torch", "h5py", "xarray", "pandas"}  # pure functions of arrays

ROOMS = list(HOUSE)
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def may_import(module):
    above = ROOMS[: ROOMS.index(module)]
    return set(above if HOUSE[module] == ALL_ABOVE else HOUSE[module].split())


def imports(source):
    """Dotted names that a module imports anywhere in it, as in ``surrlab.fields`` or ``numpy``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["surrlab" if node.level else "", node.module]))
            inside = base == "surrlab"  # `from surrlab import fields` imports a module
            names |= {f"{base}.{alias.name}" for alias in node.names} if inside else {base}
    return names


def ours(source):
    """Modules of surrlab that a module imports."""
    named = {name.split(".")[1] for name in imports(source) if name.startswith("surrlab.")}
    return {name for name in named if not name.startswith("__")}


def roots(source):
    return {name.split(".")[0] for name in imports(source)}


def python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import surrlab.fields", {"fields"}),
        ("import surrlab.fields as f", {"fields"}),
        ("from surrlab import fields, hydro", {"fields", "hydro"}),
        ("from surrlab.fields import Grid", {"fields"}),
        ("from . import fields", {"fields"}),
        ("from .fields import Grid", {"fields"}),
        ("def f():\n    from surrlab import fields", {"fields"}),
        ("from surrlab import __version__", set()),
        ("import numpy.linalg", set()),
    ],
)
def test_every_way_to_import_is_seen(line, found):
    assert ours(line) == found


@pytest.mark.parametrize("module", ROOMS)
def test_a_row_names_only_rooms_above_it(module):
    assert may_import(module) <= set(ROOMS[: ROOMS.index(module)])


@pytest.mark.parametrize("module", MODULES)
def test_module_stays_within_its_walls(module):
    assert module in HOUSE, f"surrlab/{module}.py has no row in HOUSE"
    source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert ours(source) <= may_import(module)
    if module not in TORCH:
        assert not roots(source) & {"torch", "lightning_fabric", "safetensors"}
    if module == "metrics":
        assert not roots(source) & NOT_IN_METRICS


def test_torch_stays_out_of_what_does_not_train():
    """Nor does it come in through a package: what is imported is what costs the 1.8 s."""
    reach = {module: {module} for module in ROOMS}
    for module in ROOMS:
        reach[module] |= set().union(*(reach[other] for other in may_import(module)))
    light = [module for module in MODULES if not reach.get(module, TORCH) & TORCH]
    assert {"fields", "metrics"} <= set(light)
    program = f"""
import importlib, sys
for module in {light}:
    importlib.import_module("surrlab." + module)
    assert "torch" not in sys.modules, module
"""
    python(program)


def test_the_package_itself_imports_nothing():
    program = "import sys; old = set(sys.modules); import surrlab; print(*set(sys.modules) - old)"
    assert python(program).split() == ["surrlab"]


def test_reading_order_is_the_table():
    listed = re.findall(r"^    (\w+) {2,}\S", surrlab.__doc__, flags=re.MULTILINE)
    assert listed == [module for module in ROOMS if module in listed]
    assert set(MODULES) <= set(listed)
