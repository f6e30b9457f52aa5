"""Every notebook keeps the house's rules; the runner, on small notebooks made here."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from surrlab import _injected
from surrlab import _notebook_runner as notebooks
from surrlab.studies.config import default_results

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
MAX_CODE_CELLS, MAX_CODE_LINES, MAX_CELL_LINES = 12, 80, 15
KERNEL = {  # without one JupyterLab stops to ask
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
PARAMETERS = 'preset: str = "quick"  # size of the study\nk: int = 3  # seeds'


def write(path, *cells, parameters=PARAMETERS):
    """A notebook with a parameters cell and these code cells, stripped."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    others = [nbformat.v4.new_code_cell(cell) for cell in cells]
    book = nbformat.v4.new_notebook(cells=[first, *others], metadata=KERNEL)
    nbformat.write(book, path)
    return path


def broken_rules(notebook):
    """Rules of the house that a notebook breaks: it is text, one call, one figure, again.

    At most 12 code cells and 80 code lines (blank ones do not count), 15 a cell; plain Python
    without ``def`` and ``class``; one cell tagged ``parameters`` whose lines are all
    ``name: type = literal  # comment``; nothing left in it by a session.
    """
    nb = nbformat.read(notebook, as_version=4)
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
        if not is_parameter(line)
    ]
    left = [cell for _, cell in code if cell.outputs or cell.execution_count is not None]
    left += [cell for cell in nb.cells if set(cell.metadata) - {"tags"}]
    if left or nb.metadata != KERNEL:
        broken.append("it holds outputs or metadata of a session: run `make format`")
    return broken


def is_parameter(line):
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


def text(path):
    """What the cells of an executed notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.parametrize("notebook", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(notebook):
    assert broken_rules(notebook) == []


def test_run(tmp_path, monkeypatch, capfd):
    # Braces in a path mean something to papermill, and the kernel must not depend on where we are.
    source = write(
        tmp_path / "a{b}.ipynb",
        "import os, sys\nprint(preset, k, sys.executable, os.getcwd(), sep='|')",
        "from tqdm import tqdm\nfor _ in tqdm(range(3), file=sys.stdout, mininterval=0): pass",
        "import matplotlib\nfrom matplotlib.figure import Figure\nprint(matplotlib.get_backend())",
        "figure = Figure()\nfigure.subplots()\nfigure",
    )
    before = source.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("JUPYTER_PATH", str(foreign_kernel(tmp_path)))
    output = notebooks.run(source, "{out}/a.ipynb", {"preset": "smoke"}, timeout=60)

    assert output == tmp_path / "elsewhere" / "{out}" / "a.ipynb"
    assert sorted(path.name for path in output.parent.iterdir()) == ["a.html", "a.ipynb"]
    assert source.read_bytes() == before
    running, done = capfd.readouterr().err.strip().splitlines()
    assert running == "a{b}.ipynb: running" and done.startswith("a{b}.ipynb: done in ")
    first, bar, backend = text(output).splitlines()
    assert first == f"smoke|3|{sys.executable}|{tmp_path}"
    assert bar.startswith("100%")  # one line: the earlier states are gone
    assert backend.lower() == "agg"
    figure = nbformat.read(output, as_version=4).cells[-1].outputs[0]
    assert "image/png" in figure.data
    assert "data:image/png" in output.with_suffix(".html").read_text()


def test_notebooks_one_after_another_share_a_process_and_no_names(tmp_path):
    first = write(tmp_path / "a.ipynb", "import os\nnumber = 7\nprint(os.getpid())")
    ask = "import os\nprint(os.getpid(), 'number' in globals(), k, __spec__)"
    second = write(tmp_path / "b.ipynb", ask)
    with notebooks.one_kernel() as kernel:
        one, two = (
            notebooks.run(path, tmp_path / "out" / path.name, {"k": k}, timeout=60, kernel=kernel)
            for path, k in ((first, 1), (second, 2))
        )
    pid = text(one).strip()
    assert text(two).strip() == f"{pid} False 2 None"
    cells = nbformat.read(two, as_version=4).cells
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_kernel_ends_with_a_notebook_that_fails(tmp_path):
    source = write(tmp_path / "a.ipynb", "import os\nprint(os.getpid(), flush=True)", "1 / 0")
    with pytest.raises(notebooks.NotebookError), notebooks.one_kernel() as kernel:
        notebooks.run(source, tmp_path / "out" / "a.ipynb", {}, timeout=60, kernel=kernel)
    with pytest.raises(ProcessLookupError):
        os.kill(int(text(tmp_path / "out" / "a.failed.ipynb")), 0)


def foreign_kernel(folder):
    """A kernel specification that takes the name python3 and does not start."""
    spec = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false"], "display_name": "other", "language": "python"}')
    return folder / "jupyter"


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    source = write(tmp_path / "a.ipynb", f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ValueError, match=r"a\.ipynb has no parameter 'pre'; it has preset, k"):
        notebooks.run(source, tmp_path / "out" / "a.ipynb", {"pre": "smoke"}, timeout=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb"]


def test_parameters(tmp_path):
    assert notebooks.parameters(write(tmp_path / "a.ipynb")) == ("preset", "k")


def test_time_limit_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds, not 0"):
        notebooks.run(write(tmp_path / "a.ipynb"), tmp_path / "b.ipynb", {}, timeout=0)


@pytest.mark.parametrize(
    ("cell", "timeout", "reason"),
    [
        ("numbers = [1]\nnumbers[3]", 60, "IndexError: list index out of range"),
        ("import time\ntime.sleep(60)", 1, "it ran longer than 1 s"),
        ("import os\nos._exit(1)", 60, "its kernel died"),
    ],
)
def test_failing_cell_is_named_and_what_ran_is_kept(tmp_path, cell, timeout, reason):
    source = write(tmp_path / "a.ipynb", "print('so far')", cell, "print('never')")
    output = tmp_path / "out" / "a.ipynb"
    output.parent.mkdir()
    output.write_text("of an earlier run")
    with pytest.raises(notebooks.NotebookError) as caught:
        notebooks.run(source, output, {}, timeout=timeout)
    first = cell.splitlines()[0]
    assert f"a.ipynb failed in cell [3] `{first}`: {reason}" in str(caught.value)
    assert "a.failed.ipynb" in str(caught.value)
    assert [path.name for path in output.parent.iterdir()] == ["a.failed.ipynb"]
    assert text(output.with_suffix(".failed.ipynb")) == "so far\n"


def test_killed_run_leaves_no_notebook(tmp_path):
    source = write(tmp_path / "a.ipynb", "open('started', 'w')", "import time\ntime.sleep(60)")
    program = (
        "import sys; from surrlab import _notebook_runner as notebooks; "
        "notebooks.run(*sys.argv[1:], {}, timeout=60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, source, tmp_path / "out" / "a.ipynb"],
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "started").exists():
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert [*tmp_path.glob("out/*.ipynb"), *tmp_path.glob("out/*.html")] == []


def test_a_notebook_is_accepted_at_the_limits(tmp_path):
    cells = ["\n".join(["x = 1", ""] * 15)] * 5 + ["x = 1"] * 3 + [""] * 3
    assert broken_rules(write(tmp_path / "a.ipynb", *cells)) == []


@pytest.mark.parametrize(
    ("cells", "parameters", "broken"),
    [
        (["x = 1"] * 12, PARAMETERS, "13 code cells, at most 12 are allowed"),
        (["\n".join(["x = 1"] * 15)] * 6, PARAMETERS, "92 code lines, at most 80 are allowed"),
        (["x = 1\n" * 16], PARAMETERS, "16 code lines in cell 2, at most 15 are allowed"),
        (["if x:\n    def f(): pass"], PARAMETERS, "cell 2 defines 'f': move it into the package"),
        (["class C: pass"], PARAMETERS, "cell 2 defines 'C': move it into the package"),
        (["%matplotlib inline"], PARAMETERS, "cell 2 is not plain Python: invalid syntax (line 1)"),
        *(
            ([], line, f"must hold lines like `name: type = literal  # comment`, not {line!r}")
            for line in (
                "k = 3  # no type",
                "k: int = 3",
                "k: int = f()  # a call",
                "# nothing",
                "k: int | None = 3  # papermill does not see it",
            )
        ),
    ],
)
def test_broken_rule_is_named(tmp_path, cells, parameters, broken):
    (said,) = broken_rules(write(tmp_path / "a.ipynb", *cells, parameters=parameters))
    assert said.endswith(broken)


@pytest.mark.parametrize("tagged", [0, 2])
def test_one_parameters_cell_is_wanted(tmp_path, tagged):
    path = write(tmp_path / "a.ipynb", PARAMETERS)
    nb = nbformat.read(path, as_version=4)
    for n, cell in enumerate(nb.cells):
        cell.metadata = {"tags": ["parameters"]} if n < tagged else {}
    nbformat.write(nb, path)
    assert broken_rules(path) == [f"{tagged} cells are tagged 'parameters', there must be one"]


def strip(path):
    """What `make format` does to a notebook; True if there was anything to remove."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    session = re.search(r"^SESSION := (.*)$", makefile, flags=re.MULTILINE)[1]
    keys = re.sub(
        r"\$\(addprefix (\S+),([^)]*)\)",
        lambda match: " ".join(match[1] + key for key in match[2].split()),
        session,
    )
    before = path.read_bytes()
    nbstripout = [sys.executable, "-m", "nbstripout", "--keep-id", "--extra-keys", keys]
    subprocess.run([*nbstripout, path], check=True)
    return path.read_bytes() != before


def test_make_format_removes_what_a_session_left(tmp_path):
    clean = write(tmp_path / "a.ipynb", "1")
    nb = nbformat.read(clean, as_version=4)
    assert not strip(clean)

    nb.cells[1].outputs = [
        nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=2)
    ]
    nb.cells[1].execution_count = 2
    nb.cells[1].metadata = {"execution": {}, "collapsed": False, "papermill": {}}
    nb.metadata |= {"papermill": {}, "widgets": {}}
    nb.metadata.language_info |= {"version": "3.13.1", "mimetype": "text/x-python"}
    dirty = tmp_path / "b.ipynb"
    nbformat.write(nb, dirty)
    left = "it holds outputs or metadata of a session: run `make format`"
    assert broken_rules(dirty) == [left]
    assert strip(dirty)
    assert dirty.read_bytes() == clean.read_bytes()
    assert broken_rules(dirty) == []

    nb.metadata.kernelspec.name = "of-the-author"
    nbformat.write(nb, dirty)
    strip(dirty)
    assert broken_rules(dirty) == [left]


def test_a_user_s_startup_files_and_looks_stay_out(tmp_path, monkeypatch):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "0.py").write_text("import sys; sys.exit('startup ran')\nhidden = 1")
    (tmp_path / "looks").write_text("lines.linewidth: 77\n")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "looks"))
    look = "import matplotlib; assert 'hidden' not in globals()"
    width = "assert matplotlib.rcParams['lines.linewidth'] == 1.5"
    source = write(tmp_path / "b.ipynb", look, width)
    notebooks.run(source, tmp_path / "a.ipynb", {}, timeout=60)


@pytest.mark.parametrize("name", ["1_ensemble", "explore"])
def test_plain_papermill_from_anywhere(name, tmp_path):
    """An unknown parameter, of which papermill only warns, is refused by the notebook itself."""
    command = [sys.executable, "-m", "papermill", FOLDER / f"{name}.ipynb", tmp_path / "out.ipynb"]
    done = subprocess.run(
        [*command, "-k", "python3", "-p", "presett", "smoke"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert "ValueError: this notebook has no parameter 'presett'; it has" in done.stderr
    assert os.listdir(tmp_path) == ["out.ipynb"]


def test_parameters_that_a_notebook_has(monkeypatch):
    cells = ["", PARAMETERS, '# Parameters\npreset = "smoke"\n', "pressed = 1"]
    shell = type("Shell", (), {"user_ns": {"In": cells}})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    _injected.check_parameters()
    cells[2] += "pre = 3\n"
    with pytest.raises(ValueError, match="this notebook has no parameter 'pre'; it has preset, k"):
        _injected.check_parameters()
    cells[2] = "pre = 3  # typed by hand"
    _injected.check_parameters()
    shell.user_ns = {}
    _injected.check_parameters()


def test_results_go_to_the_checkout_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_results() == ROOT / "results"
