"""The walls of the house: which wing may import which, where torch comes in, how big a room is.

`HOUSE` is the table to change, with a reason, when a wall stands wrongly. A wing may import those
that its row names; each of them stands above it, so imports run one way.
"""

import ast
import graphlib
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import surrlab

PACKAGE = Path(surrlab.__file__).parent

SMALL = "_lazy _text _compiled _injected _files _locks _hdf5 _tables _executors _parallel"
HOUSE = {  # wing or single module -> what it may import of surrlab, besides _lazy and itself
    "_lazy": "",
    "_text": "",
    "_files": "",
    "_compiled": "_files",
    "_injected": "",
    "_locks": "_files",
    "_hdf5": "_files",
    "_tables": "_files",
    "_executors": "",
    "_parallel": "_executors",
    "data": "_files _hdf5 _locks _parallel",
    "simulation": "data _compiled _files _parallel",
    "compression": "data _compiled _files _hdf5 _parallel _text",
    "loading": "data compression _compiled _files _parallel",
    "training": "data loading _files _locks",
    "evaluation": "data training _files",
    "studies": "data simulation compression loading training evaluation _executors _files _hdf5 "
    "_injected _locks _parallel _tables _text",
    "figures": "_files _tables _text",
    # Changes of mass and momentum are quantities; the explorer asks the registry for them.
    "explorer": "data compression training evaluation.metrics evaluation.quantities "
    "studies.results figures.style figures.charts _files _injected _tables _text",
    "_notebook_runner": "_files",
    "_arguments": "_executors",
    "_commands": "data simulation compression training evaluation studies figures "
    "_files _text _notebook_runner _arguments",
    "_parser": "_arguments _commands",
    "cli": "_parser",
}
ONLY_ROOM = {("evaluation", "training"): "evaluate"}  # the other rooms are arrays and statistics
LATE = {
    ("studies.results", "figures.catalogue"),  # Study.figure("…"), once it is called
    # The registry of quantities, which stands with the metrics: compress(keep=…), once it is asked.
    ("compression._totals", "evaluation.quantities"),
}
TORCH = ("training", "loading.device")
TORCH_PACKAGES = {"torch", "lightning_fabric", "safetensors"}
NOT_IN_METRICS = {"torch", "h5py", "xarray", "pandas"}  # pure functions of arrays
STANDARD = {"__future__", "importlib", "types", "warnings"}  # most of it is there already
MOST_ROOMS, MOST_LINES = 7, 400

# What `surrlab[lab]` brings: nothing of the heart may need it.
HEART = ("data", "simulation", "compression", "loading", "training", "evaluation", "studies")
LAB = (
    "IPython ipykernel ipywidgets jupyter_client matplotlib nbclient nbconvert nbformat papermill "
    "PIL seaborn voila"
)

# Others' scripts call these (a wing may offer more).
NAMES = {
    "surrlab": "open_ensemble generate find_tolerances compress SampleLoader train evaluate "
    "verdict open_study explore",
    "surrlab.data": "Ensemble Field Grid open_ensemble",
    "surrlab.simulation": "RayleighTaylor PchipImpact generate",
    "surrlab.compression": "Zfp Version find_tolerance find_tolerances compress "
    "search_and_compress ratios",
    "surrlab.loading": "SampleLoader",
    "surrlab.training": "Generator TrainConfig train load predict",
    "surrlab.evaluation": "l1 psnr total_mass total_momentum mixing_layer_thickness evaluate "
    "model_errors verdict band",
    "surrlab.studies": "open_study StudyConfig get_preset",
    "surrlab.figures": "FIGURES draw",
    "surrlab.explorer": "explore explore_field",
}


def room_of(path):  # .../surrlab/data/native.py -> "data.native"; a wing's __init__ -> "data"
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {room_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path)}
WINGS = sorted({room.split(".")[0] for room in FILES if (PACKAGE / room.split(".")[0]).is_dir()})


def imports(source, *, types=True):
    """Dotted names that a module imports anywhere in it, as in ``surrlab.data`` or ``numpy``.

    ``from a import b`` is ``a.b``, module or not. Without `types`: what is imported at run time.
    """
    names, waiting = set(), [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "import from surrlab.…, not from dots"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
    return names


def ours(source, **options):
    """Rooms, wings and single modules of surrlab that a module imports."""
    found = set()
    for name in imports(source, **options):
        package, *parts = name.split(".")
        if package == "surrlab" and parts and not parts[0].startswith("__"):
            while len(parts) > 1 and ".".join(parts) not in FILES:
                parts.pop()  # a name within the room
            found.add(".".join(parts))
    return found


def allows(allowed, room):
    return any(room == name or room.startswith(f"{name}.") for name in allowed)


def broken_walls(room, source):
    """Imports of a room that its wing's row does not allow."""
    wing, _, inside = room.partition(".")
    allowed = ["_lazy", wing, *HOUSE.get(wing, "").split()]
    for (here, there), only in ONLY_ROOM.items():
        if here == wing and inside != only:
            allowed.remove(there)
    late = {there for here, there in LATE if here == room}
    return sorted(other for other in ours(source) - late if not allows(allowed, other))


def python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import surrlab.data.fields", {"data.fields"}),
        ("import surrlab.data.fields as f", {"data.fields"}),
        ("from surrlab import data, _files", {"data", "_files"}),
        ("from surrlab.data import fields", {"data.fields"}),
        ("from surrlab.data import Field", {"data"}),
        ("from surrlab.data.fields import Grid", {"data.fields"}),
        ("def f():\n    from surrlab.data import fields", {"data.fields"}),
        ("if TYPE_CHECKING:\n    from surrlab.data.fields import Grid", {"data.fields"}),
        ("from surrlab import __version__", set()),
        ("import numpy.linalg", set()),
    ],
)
def test_every_way_to_import_is_seen(line, found):
    assert ours(line) == found
    assert ours(line, types=False) == (set() if "TYPE_CHECKING" in line else found)


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        (
            "data.native",
            "from surrlab.simulation.scenario import Scenario",
            ["simulation.scenario"],
        ),
        ("evaluation.evaluate", "from surrlab.training.surrogate import load", []),
        ("evaluation.verdict", "from surrlab.training import surrogate", ["training.surrogate"]),
        ("explorer.html", "from surrlab.figures import style, data", ["figures.data"]),
        ("explorer.html", "from surrlab import figures", ["figures"]),
    ],
)
def test_walls_are_seen(room, line, broken):
    assert broken_walls(room, line) == broken


def test_every_wing_has_a_row_below_what_it_imports():
    rows = list(HOUSE)
    assert {room.split(".")[0] for room in FILES} == set(rows)
    for wing, allowed in HOUSE.items():
        assert {name.split(".")[0] for name in allowed.split()} <= set(rows[: rows.index(wing)])


@pytest.mark.parametrize("room", FILES)
def test_room_stays_within_its_walls(room):
    source = FILES[room].read_text(encoding="utf-8")
    assert not broken_walls(room, source)
    roots = {name.split(".")[0] for name in imports(source)}
    if not allows(TORCH, room):
        assert not roots & TORCH_PACKAGES
    if room == "evaluation.metrics":
        assert not roots & NOT_IN_METRICS


@pytest.mark.parametrize("room", FILES)
def test_room_is_small(room):
    assert len(FILES[room].read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("wing", WINGS)
def test_wing_has_few_rooms(wing):
    rooms = {room.split(".")[1] for room in FILES if room.startswith(f"{wing}.")}
    assert len([room for room in rooms if not room.startswith("_")]) <= MOST_ROOMS


def test_folder_inside_a_wing_has_few_rooms():
    folders = {path.parent for path in FILES.values()} - {PACKAGE}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if not path.name.startswith("_")]
        assert len(modules) <= MOST_ROOMS, folder


def test_no_cycles():
    graph = {}
    for room, path in FILES.items():
        graph[room] = ours(path.read_text(encoding="utf-8"), types=False)
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which lists one


def test_torch_stays_out_of_what_does_not_train():
    """Nor does it come in through another package: its two seconds are what is saved."""
    light = [
        f"surrlab.{room}"
        for room in FILES
        if room.split(".")[0] in (*SMALL.split(), "data", "simulation", "compression", "loading")
        or room in ("cli", "evaluation", "evaluation.metrics", "evaluation.verdict")
        if not allows(TORCH, room)
    ]
    assert {"surrlab.data.fields", "surrlab.evaluation.metrics"} <= set(light)
    python(f"""
import importlib, sys
for module in {light}:
    importlib.import_module(module)
    assert "torch" not in sys.modules, module
""")


def test_the_package_itself_imports_nothing():
    program = "import sys; old = set(sys.modules); import surrlab; print(*set(sys.modules) - old)"
    loaded = {name for name in python(program).split() if name.split(".")[0] not in STANDARD}
    assert loaded == {"surrlab", "surrlab._lazy"}


def test_heart_does_without_the_lab():
    heart = [f"surrlab.{room}" for room in FILES if room.split(".")[0] in HEART]
    python(f"""
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LAB.split()}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
for module in {heart}:
    importlib.import_module(module)
""")


@pytest.mark.parametrize(
    "program", ["import surrlab.explorer", "from surrlab.figures import style"]
)
def test_what_needs_the_lab_says_so(program):
    said = python(f"""
import sys
sys.modules["matplotlib"] = None
try:
    {program}
except ImportError as error:
    print(error)
""")
    assert said == "surrlab needs matplotlib: pip install 'surrlab[lab]'\n"


@pytest.mark.parametrize("package", NAMES)
def test_wing_offers_its_names(package):
    wing = import_module(package)
    missing = [name for name in NAMES[package].split() if name not in wing.__all__]
    assert not missing
    for name in wing.__all__:
        assert not isinstance(getattr(wing, name), type(wing)), f"{name} is a module"
    assert set(wing.__all__) <= set(dir(wing))


def test_a_name_wins_over_its_module():
    python("""
import surrlab.training, surrlab.training.surrogate
from surrlab.training import train
from surrlab.training.train import train as function
assert train is function and surrlab.training.train is function and surrlab.train is function
""")


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'surrlab\.data' has no attribute 'nothing'"):
        import_module("surrlab.data").nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    done = subprocess.run(
        [sys.executable, PACKAGE.parent / "docs" / "stubs.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_docstring_lists_the_wings_and_the_verbs():
    listed = re.findall(r"^    (\w+) {2,}\S", surrlab.__doc__, flags=re.MULTILINE)
    assert listed[: len(WINGS)] == [name for name in HOUSE if name in WINGS]
    assert listed[len(WINGS) :] == NAMES["surrlab"].split()
