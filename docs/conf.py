"""Settings of the documentation: pages in Markdown, the API from docstrings, executed notebooks.

``make docs`` builds it. What is written here before the build lies in folders that git ignores:
``api/``, a page for each wing; ``notebooks/``, from a finished study's results where there are
any, otherwise unexecuted; and ``extra/``, the explorer as a page without a kernel. No notebook is
executed and nothing is fetched from the network.
"""

import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import surrlab

HERE = Path(__file__).parent
ROOT = HERE.parent
WINGS = [name for name in surrlab._modules if name in surrlab.__doc__]
sys.path.insert(0, str(HERE))
look = import_module("look")
STUDIES = ("quick", "smoke")  # whose executed notebooks are shown: the first that is finished
LAST = "7_figures.ipynb"  # a study that has it has all that come before

project = "surrlab"
author = "The surrlab developers"
project_copyright = author
version = release = surrlab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
default_role = "literal"  # `name` in a docstring is code
html_theme = "furo"
html_static_path = ["_static"]
html_extra_path = ["extra"]  # the explorer's page, as it is
html_css_files = ["site.css"]
html_title = f"surrlab {release}"
html_show_sourcelink = False
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 4
myst_enable_extensions = ["substitution"]
nb_execution_mode = "off"
nb_output_stderr = "remove"  # progress bars
nb_ipywidgets_js = {}  # they would come from a content delivery network
suppress_warnings = ["mystnb.unknown_mime_type"]  # of widgets, which need a kernel

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say types, with shapes and units
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
# Types in docstrings are words and shapes, such as "ndarray (K, ...)": no names to look up.
nitpick_ignore_regex = [("py:(class|data|exc)", ".*")]


def described(module, name):
    """What a module's source says under a constant, as lines of reStructuredText."""
    home = f"{module.__name__}.{module._names[name]}"
    return ModuleAnalyzer.for_module(home).find_attr_docs()["", name]


def api_page(wing):  # "training" -> text of api/training.rst
    """A wing's page: its first line, a table of its functions and classes, all names at length."""
    module = import_module(f"surrlab.{wing}")
    title = module.__name__
    things = {name: getattr(module, name) for name in module.__all__}
    lines = [title, "=" * len(title), "", module.__doc__.strip(), ""]
    lines += [f".. currentmodule:: {title}", "", ".. list-table::", ""]
    for name, thing in things.items():
        said = inspect.getdoc(thing) if callable(thing) else "\n".join(described(module, name))
        first = " ".join(said.partition("\n\n")[0].split())
        lines += [f"   * - :py:obj:`{name}`", f"     - {escaped(first)}"]
    for name, thing in things.items():
        if not callable(thing):
            lines += ["", f".. py:data:: {name}", ""]
            lines += [f"   {line}" for line in described(module, name)]
        elif inspect.isclass(thing):
            lines += ["", f".. autoclass:: {name}", "   :members:"]
        else:
            lines += ["", f".. autofunction:: {name}"]
    return "\n".join([*lines, ""])


def escaped(line):
    """Say that shapes, ``(n, *shape)``, and absolute values, ``|a - b|``, are no markup."""
    parts = re.split(r"(`+[^`]*`+)", line)
    for j in range(0, len(parts), 2):
        parts[j] = re.sub(r"(?<=[(\s])\*(?=\w+[),])", r"\\*", parts[j]).replace("|", r"\|")
    return "".join(parts)


def escape(app, what, name, thing, options, lines):
    """Escape the lines of a docstring that are no examples."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else escaped(line) for line in lines
    ]


def skip(app, what, name, thing, skipped, options):
    """Leave out the elements of named tuples, which the class describes."""
    return True if type(thing).__name__ == "_tuplegetter" else skipped


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=1)  # before napoleon
    app.connect("autodoc-skip-member", skip)


def write(path, text):
    """Write a page, unless it is there already: Sphinx reads again what is newer."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def page_of(notebook):  # Path of an .ipynb -> its text
    """A notebook without the cell that papermill adds: it names folders of one machine."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    injected = "injected-parameters"
    cells = content["cells"]
    content["cells"] = [c for c in cells if injected not in c["metadata"].get("tags", [])]
    return json.dumps(content, ensure_ascii=False, indent=1)


FINISHED = next((name for name in STUDIES if (ROOT / "results" / name / LAST).exists()), None)


def collect_notebooks():
    """Lay the notebooks into ``docs/notebooks/``; returns what to say about them."""
    for source in sorted((ROOT / "notebooks").glob("*.ipynb")):
        made = ROOT / "results" / FINISHED / source.name if FINISHED else source
        write(HERE / "notebooks" / source.name, page_of(made if made.exists() else source))
    if not FINISHED:
        return "They were not executed before this site was built: `make study`, then `make docs`."
    small = ", whose models are too small to say anything" * (FINISHED == "smoke")
    return f"The numbered ones ran in a study with the preset `{FINISHED}`{small}."


look.write(HERE / "extra" / "explorer", ROOT / "results" / FINISHED if FINISHED else None)
for wing in WINGS:
    write(HERE / "api" / f"{wing}.rst", api_page(wing))
verbs = [
    f"{{py:obj}}`surrlab.{verb} <surrlab.{wing}.{verb}>`" for verb, wing in surrlab._names.items()
]
myst_substitutions = {
    "notebooks_note": collect_notebooks(),
    "verbs": f"`surrlab` itself offers the verbs that people type: {', '.join(verbs)}.",
}
