"""Set-up: what is declared, pinned and made is the same everywhere, and an install is whole."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import surrlab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = {  # module -> extra that not everybody needs
    "neuralop": "fno",
    "zarr": "zarr",
    "distributed": "cluster",
    "executorlib": "cluster",
}
NEEDED = [EXTRAS[name] for name in EXTRAS if name not in OPTIONAL.values()]


def names(requirements):
    return {canonicalize_name(Requirement(one).name) for one in requirements}


DECLARED = names(chain(PROJECT["dependencies"], *NEEDED))
CONDA_NAMES = {"pytorch": "torch", "python-build": "build"}
SETUP = (
    "pyproject.toml",
    "constraints.txt",
    "environment.yml",
    "Makefile",
    ".ci/run",
    ".pre-commit-config.yaml",
)
# Torch pins its CUDA libraries itself, and only where there are any.
PINNED_ELSEWHERE = ("nvidia-", "cuda-", "triton")


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_constraints_hold_exact_versions_and_nothing_of_one_machine():
    for name, version in pins().items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"
    assert "surrlab" not in pins()


def test_zarr_can_be_imported_where_surrlab_is_installed():
    """numcodecs 0.16 takes zfpy's number apart as whole numbers, and dies of "1.0.1.post0"."""
    (zfpy,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "zfpy"]
    assert not zfpy.specifier.contains("1.0.1.post0") and zfpy.specifier.contains("1.0.1")
    assert tuple(map(int, pins()["zfpy"].split("."))) >= (1, 0, 1)  # as numcodecs does it
    if find_spec("zarr") and distribution("zfpy").version == pins()["zfpy"]:
        program = "import surrlab.compression, zarr, numcodecs.zfpy; numcodecs.zfpy.ZFPY"
        subprocess.run([sys.executable, "-c", program], check=True)


def test_everything_that_is_installed_with_surrlab_is_pinned():
    pinned = {canonicalize_name(name) for name in pins()}
    waiting, seen = [Requirement(name) for name in DECLARED], set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), wanted.extras or {""}
        if (name, *extras) in seen or name.startswith(PINNED_ELSEWHERE):
            continue
        seen.add((name, *extras))
        assert name in pinned, f"{name} is not in constraints.txt"
        needs = map(Requirement, distribution(name).requires or ())
        waiting += [
            need
            for need in needs
            if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        ]


def test_conda_environment_lists_what_pyproject_lists():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python, _, *found = conda
    assert python == f"python{PROJECT['requires-python']}"
    *from_pip, editable = pip["pip"]
    listed = [canonicalize_name(CONDA_NAMES.get(name, name)) for name in (*found, *from_pip)]
    assert sorted(listed) == sorted(DECLARED)
    assert editable == "--editable ."


LAB = {"figures", "explorer"}  # wings that may need what only surrlab[lab] brings
LAB_FILES = {"_notebook_runner.py"}


@pytest.mark.parametrize("folder", ["surrlab", "docs", "benchmarks", "tests"])
def test_what_is_imported_is_declared(folder):
    """By the extra that installs it: the heart may need nothing else than `dependencies`."""
    owners = packages_distributions()
    ours = {"surrlab", *(path.stem for path in (ROOT / folder).rglob("*.py"))}
    ours |= {path.parent.name for path in (ROOT / folder).rglob("*.py")}
    if folder == "benchmarks":
        ours.add("browsing")  # of tests/explorer
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT / folder).parts
        lab = bool(LAB.intersection(parts) or LAB_FILES.intersection(parts))
        if folder != "surrlab":
            declared = DECLARED
        else:
            needed = [*PROJECT["dependencies"], *(EXTRAS["lab"] if lab else [])]
            declared = names(needed)
        nodes = list(at_run_time(ast.parse(path.read_text(encoding="utf-8"))))
        modules = {
            alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
        }
        modules |= {
            node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
        }
        for name in {name.split(".")[0] for name in modules} - sys.stdlib_module_names - ours:
            if folder == "surrlab" and name in OPTIONAL:
                assert EXTRAS[OPTIONAL[name]]
                continue
            packages = {canonicalize_name(package) for package in owners[name]}
            assert packages & declared, f"{path} imports {name}, pyproject.toml lacks it"


def at_run_time(node):
    """The nodes of a module, less what only type checkers see."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from at_run_time(child)


def test_wheel_holds_all_that_surrlab_reads(tmp_path):
    """Built as an installer builds it, from a copy: nothing is left in the checkout."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "surrlab", tmp_path / "surrlab", symlinks=True, ignore=without)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=without)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", tmp_path]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("surrlab-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("surrlab/")}
    files = [path for path in (ROOT / "surrlab").rglob("*") if path.is_file()]
    files += (ROOT / "surrlab" / "_notebooks").glob("*.ipynb")
    files.append(ROOT / "surrlab" / "_notebooks" / "voila.json")
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert packed == expected


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CITATION.cff"])
def test_version_is_said_once_more(name):
    """A development version has its number, still unreleased, in the change log and citation."""
    version = surrlab.__version__.partition(".dev")[0]
    assert version in (ROOT / name).read_text()


def test_contributing_is_one_page():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 120
    for path in re.findall(r"`((?:surrlab|tests|docs|notebooks)/[\w./]+)`", text):
        if path.startswith("docs/_build/"):  # made by `make docs`
            continue
        assert (ROOT / path).exists(), path
    for wing in sorted(path.parent.name for path in (ROOT / "surrlab").glob("[a-z]*/__init__.py")):
        assert f"{wing}/" in text or f"surrlab/{wing}" in text, wing


def test_pre_commit_runs_what_ci_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "nbstripout", "mypy"}
    assert not any("http" in str(hook) for hook in hooks)


def test_no_package_index_is_named():
    for name in SETUP:
        assert not re.search(r"://|index-url|find-links", (ROOT / name).read_text()), name


@pytest.fixture
def checkout(tmp_path):
    """The Makefile on its own, with a `python3` whose pip notes its calls and can be broken."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(f"""#!/bin/sh
case "$*" in
  -c*) exec {sys.executable} "$@" ;;
  "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip install"*) echo "$*" >> {tmp_path}/calls; test ! -e {tmp_path}/broken ;;
esac
""")
    fake.chmod(0o755)
    return tmp_path


def make(checkout, *arguments):
    """Run make; returns its result and the pip calls so far."""
    # We may run under `make test` ourselves: what that make hands down is not for this one.
    handed_down = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "PRESET", "PYTHON"}
    environment = {name: os.environ[name] for name in os.environ.keys() - handed_down}
    environment["PATH"] = f"{checkout / 'bin'}:{environment['PATH']}"
    done = subprocess.run(
        ["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True
    )
    calls = checkout / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_make_installs_once_and_again_when_what_is_declared_changes(checkout):
    done, calls = make(checkout, "test")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 1
    assert "--constraint constraints.txt --editable .[test,lab,docs]" in calls[0]
    assert len(make(checkout, "test")[1]) == 1
    later = (checkout / ".venv" / "installed").stat().st_mtime + 1
    for count, name in enumerate(("pyproject.toml", "constraints.txt"), 2):
        os.utime(checkout / name, (later, later))
        assert len(make(checkout, "test")[1]) == count
        os.utime(checkout / name, (later - 100, later - 100))


def test_an_interrupted_installation_does_not_count(checkout):
    (checkout / "broken").touch()
    assert make(checkout, "test")[0].returncode != 0
    (checkout / ".venv" / "half-installed").touch()
    (checkout / "broken").unlink()
    done, calls = make(checkout, "test")
    assert done.returncode == 0 and len(calls) == 2
    assert not (checkout / ".venv" / "half-installed").exists()


@pytest.mark.parametrize(("arguments", "preset"), [([], "quick"), (["PRESET=smoke"], "smoke")])
def test_make_study_runs_the_preset(checkout, arguments, preset):
    done, _ = make(checkout, "-n", "study", *arguments)
    assert done.stdout.splitlines()[-1].endswith(f"surrlab study --preset {preset}")


def test_licence_is_the_one_that_is_declared():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0" and PROJECT["license-files"] == ["LICENSE"]
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_readme_is_finished():
    readme = (ROOT / "README.md").read_text()
    assert not re.search(r"@\w*@", readme)
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", readme)
    assert len(pictures) >= 2
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG"), picture
