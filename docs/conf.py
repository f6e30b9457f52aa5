"""Settings of the documentation: pages in Markdown, the API from docstrings, executed notebooks.

``make docs`` builds it. What is written here before the build lies in folders that git ignores:
``api/``, a page for each wing, and ``notebooks/``, from a finished study's results where there are
any, otherwise unexecuted. Nothing is executed and nothing is fetched from the network.
"""

import inspect
import re
from importlib import import_module
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import surrlab

HERE = Path(__file__).parent
ROOT = HERE.parent
WINGS = [name for name in surrlab._modules if name in surrlab.__doc__]
STUDIES = ("quick", "smoke")  # whose executed notebooks are shown: the first that is finished
LAST = "7_figures.ipynb"  # a study that has it has all that come before

project = "surrlab"
author = "The surrlab developers"
project_copyright = author
version = release = surrlab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
default_role = "literal"  # `name` in a docstring is code
html_theme = "furo"
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

autosummary_generate = False
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
    lines += [f".. currentmodule:: {title}", "", ".. autosummary::", ""]
    lines += [f"   {name}" for name, thing in things.items() if callable(thing)]
    for name, thing in things.items():
        if not callable(thing):
            lines += ["", f".. py:data:: {name}", ""]
            lines += [f"   {line}" for line in described(module, name)]
        elif inspect.isclass(thing):
            lines += ["", f".. autoclass:: {name}", "   :members:"]
        else:
            lines += ["", f".. autofunction:: {name}"]
    return "\n".join([*lines, ""])


def escape(app, what, name, thing, options, lines):
    """Say that shapes, ``(n, *shape)``, and absolute values, ``|a - b|``, are no markup."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            for j in range(0, len(parts), 2):
                parts[j] = re.sub(r"(?<=[(\s])\*(?=\w+[),])", r"\\*", parts[j]).replace("|", r"\|")
            lines[i] = "".join(parts)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=1)  # before napoleon


def write(path, text):
    """Write a page, unless it is there already: Sphinx reads again what is newer."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def collect_notebooks():
    """Lay the notebooks into ``docs/notebooks/``; returns what to say about them."""
    pages = HERE / "notebooks"
    finished = [name for name in STUDIES if (ROOT / "results" / name / LAST).exists()]
    for source in sorted((ROOT / "notebooks").glob("*.ipynb")):
        made = ROOT / "results" / finished[0] / source.name if finished else source
        write(pages / source.name, (made if made.exists() else source).read_text(encoding="utf-8"))
    if not finished:
        return "They were not executed before this site was built: `make study`, then `make docs`."
    return f"These ran in a study with the preset `{finished[0]}`."


for wing in WINGS:
    write(HERE / "api" / f"{wing}.rst", api_page(wing))
verbs = [
    f"{{py:obj}}`surrlab.{verb} <surrlab.{wing}.{verb}>`" for verb, wing in surrlab._names.items()
]
myst_substitutions = {
    "notebooks_note": collect_notebooks(),
    "verbs": f"`surrlab` itself offers the verbs that people type: {', '.join(verbs)}.",
}
