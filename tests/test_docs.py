"""The documentation: it builds without a warning, its links hold, its examples run.

Each fenced ``python`` or ``bash`` block of README.md and docs/*.md runs here, in an empty folder,
unless an HTML comment in the line above says why not (``<!-- needs a cluster -->``) or where else
it runs (``<!-- runs in tests/… -->``). Commands of the blocks that do not run are checked by the
parser of the command line, and by the Makefile.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

import surrlab
from surrlab import _parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WINGS = [name for name in surrlab._modules if name in surrlab.__doc__]

# ---- the built site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as a fresh clone builds it: no study was run."""
    clone = tmp_path_factory.mktemp("clone")
    made = shutil.ignore_patterns("_build", "api", "extra", "notebooks", "__pycache__")
    shutil.copytree(ROOT / "docs", clone / "docs", ignore=made)
    (clone / "notebooks").symlink_to(ROOT / "notebooks")
    recipe = re.search(r"^docs:.*\n\t\$\(BIN\)/python (.*)$", text_of("Makefile"), flags=re.M)
    command = [sys.executable, *shlex.split(recipe[1])]
    assert {"-W", "-n"} <= set(command)
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return clone / command[-1]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a page loads by itself, what it links to, and the places that links may lead to."""

    LOADS = ("script", "link", "img", "iframe", "source", "video", "audio", "embed", "object")

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.places = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        for name in ("src", "href", "data", "srcset"):
            if tag in self.LOADS and given.get(name):
                self.loads.append(given[name])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def elsewhere(address):
    return re.match(r"(https?:)?//", address.strip()) is not None


@pytest.fixture(scope="module")
def pages(site):
    found = sorted(site.rglob("*.html"))
    assert len(found) > len(PAGES)
    return {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in found}


def test_what_a_page_loads_is_found():
    page = Page('<script src="https://a.b/c.js"></script><link href="//d.e/f.css"><a href="g#h">')
    assert [address for address in page.loads if elsewhere(address)] == page.loads
    assert page.links == ["g#h"] and len(page.loads) == 2


def test_no_page_loads_anything_from_the_network(site, pages):
    for path, page in pages.items():
        assert not [address for address in page.loads if elsewhere(address)], path
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", path.read_text()), path


def test_links_hold(pages):
    for path, page in pages.items():
        for link in page.links:
            if elsewhere(link) or link.startswith("mailto:"):
                continue
            name, _, place = link.partition("#")
            aim = (path.parent / unquote(name)).resolve() if name else path
            assert aim.exists(), f"{path.name} links to {link}"
            if aim in pages:
                assert unquote(place) in pages[aim].places, f"{path.name} links to {link}"


@pytest.mark.parametrize("wing", WINGS)
def test_the_api_page_describes_every_public_name(wing, site, pages):
    page = pages[(site / "api" / f"{wing}.html").resolve()]
    module = import_module(f"surrlab.{wing}")
    assert not {f"surrlab.{wing}.{name}" for name in module.__all__} - page.places


def test_every_verb_and_every_notebook_has_its_page(site):
    api = (site / "api.html").read_text(encoding="utf-8")
    for verb, wing in surrlab._names.items():
        assert f"api/{wing}.html#surrlab.{wing}.{verb}" in api
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{notebook.stem}.html").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_of_the_repository_hold(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert elsewhere(link) or (page.parent / link).exists(), link


# ---- the examples


class Block(NamedTuple):
    page: str
    line: int
    why_not: str  # empty: it runs here
    language: str
    code: str


def blocks():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        found = r"(?:^<!-- ([^\n]+) -->\n)?^```(\w+)\n(.*?)^```$"
        for match in re.finditer(found, text, flags=re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(path.name, line, match[1] or "", match[2], match[3])


BLOCKS = list(blocks())
RUN_PYTHON = """
import contextlib, io, json, os, sys, tempfile, traceback

for name, code in json.load(sys.stdin):
    os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))
    os.symlink("../runs", "runs")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(code, name, "exec"), {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            sys.exit(f"{name} fails")
"""


def test_every_block_has_a_language_that_somebody_checks():
    assert {block.language for block in BLOCKS} <= {"bash", "python", "json", "text"}
    assert sum(not block.why_not for block in BLOCKS if block.language == "python") >= 8
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.code)
        if block.why_not.startswith("runs in "):
            test = text_of(block.why_not.removeprefix("runs in "))
            assert block.page in test, f"{block.page}:{block.line}"


def test_python_examples_run(tmp_path):
    """All in one process, each in its own folder, with a foreign ensemble in ``runs``."""
    scenario = surrlab.simulation.RayleighTaylor()
    ours = surrlab.generate(scenario, tmp_path / "ours", n_simulations=2, shape=(24, 8), seed=0)
    surrlab.compression.export(ours, tmp_path / "runs", "professor")
    here = [b for b in BLOCKS if b.language == "python" and not b.why_not]
    done = subprocess.run(
        [sys.executable, "-c", RUN_PYTHON, tmp_path],
        input=json.dumps([(f"{block.page}:{block.line}", block.code) for block in here]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b.language == "bash" and not b.why_not],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_shell_examples_run(block, tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def commands():
    """Every line of a shell block that calls ``surrlab`` or ``make``, as words."""
    for block in BLOCKS:
        if block.language == "bash":
            for line in block.code.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for stop in (">", "&"):
                    words = words[: words.index(stop)] if stop in words else words
                if "surrlab.cli" in words:
                    words = ["surrlab", *words[words.index("surrlab.cli") + 1 :]]
                words = words[words[:1] == ["srun"] :]
                if words[:1] in (["surrlab"], ["make"]):
                    yield f"{block.page}:{block.line}", words


def test_commands_of_all_shell_examples_exist(monkeypatch):
    """Options and targets; files that a reader would have are taken to be there."""
    targets = re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), flags=re.M)[1].split()
    found = list(commands())
    assert len(found) > 20
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    for where, (program, *words) in found:
        if program == "make":
            assert {word for word in words if "=" not in word} <= set(targets), where
        else:
            try:
                _parser.parser().parse_args([os.path.expandvars(word) for word in words])
            except SystemExit:
                pytest.fail(f"{where}: surrlab {shlex.join(words)}")


# ---- the prose

UNITS = "model field sample seed simulation run version file dataset worker row cell step batch"
COUNTED = r"one(?: \w+)?|box|rooms?|lines?|files?|folder|encodes|encodings?|ms|thread|studies"
COUNTED += r"|number|tolerances|\d[\d,]*"
TICS = {  # what to say -> what is said
    "per": re.compile(rf"\b(?:{COUNTED})(?: \(\w+\))? an? (?:{'|'.join(UNITS.split())})\b"),
    "minus or without": re.compile(r", less (?:its|their|the)\b|\bless (?:\w+ ){1,2}means?\b"),
    "another word": re.compile(r"\btold\b|\bfate\b|one of the family"),
}


def prose():
    """(where, text) of README and other pages, notebooks, docstrings and other texts in code."""
    for path in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield path.name, "".join(cell["source"])
    for folder in ("surrlab", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield str(path.relative_to(ROOT)), node.value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a box a model", "per"),
        ("one number a model", "per"),
        ("one tolerance a field", "per"),
        ("less raw mean", "minus or without"),
        ("less the raw mean", "minus or without"),
        ("whose fate `explain` tells", "another word"),
        ("waits to be told", "another word"),
    ],
)
def test_a_tic_is_found(text, meant):
    assert TICS[meant].search(text)


def test_prose_has_no_tics():
    found = [
        f"{where}: {match[0]!r}: say {meant}"
        for where, text in prose()
        for meant, tic in TICS.items()
        for match in tic.finditer(" ".join(text.split()))
    ]
    assert not found, "\n".join(sorted(found))
