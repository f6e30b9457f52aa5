"""The explorer as one page without a kernel: what its widgets show, written down beforehand.

    python docs/look.py OUT [FOLDER]

OUT gets ``index.html`` and a script for each field and time. FOLDER is an ensemble or a study's
results; without it a small Rayleigh-Taylor ensemble is simulated. The page needs no server: a
browser opens the file. `conf.py` writes it into the site.
"""

import base64
import hashlib
import html
import importlib.resources
import json
import shutil
import string
import sys
import tempfile
import zlib
from pathlib import Path

import surrlab
from surrlab.explorer import explore
from surrlab.simulation import RayleighTaylor, generate

HERE = Path(__file__).parent
N_TIMES = 3
CODECS = ("zfp", "sz3", "sperr")  # those of them that take the field
PARTS = ("headline", "readout", "strip", "numbers", "charts")


def sample(explorer):
    """What the widgets say of one field at one time: pictures, words and curves by codec."""
    page = explorer.fields
    page.rates.finish()
    shown = {
        "truth": picture(page.images["truth"]),
        "rates": page.rates.lines.value,
        "start": [page.codec.value, page.setting.value],
        "codecs": {},
    }
    names = [name for _, name in page.codec.options if name in CODECS]
    for name in names:
        page.codec.value = name
        page.setting.value = 0
        if explorer.message:  # this codec does not take the field
            continue
        page.rates.finish()
        ratios = explorer.results.field_settings(*page.at).ratios
        frames: list = []
        shown["codecs"][name] = {"ratios": ratios.tolist(), "frames": frames}
        for setting in range(page.setting.max + 1):
            page.setting.value = setting
            frames.append(
                {
                    "decoded": picture(page.images["decoded"]),
                    "difference": picture(page.images["difference"]),
                    **{part: getattr(page, part).value for part in PARTS},
                    "bars": [bar.value for bar in page._bars],
                    "mark": page.rates.mark.value,
                }
            )
    page.codec.value, page.setting.value = shown["start"]
    return shown


def picture(image):
    """PNG of an image widget in base 64."""
    return base64.b64encode(image.value).decode()


def write_page(out, folder):
    """Write the page of a folder's explorer, at one simulation and `N_TIMES` times."""
    explorer = explore(folder)
    if explorer.results is None:
        raise ValueError(explorer.message)
    out.mkdir(parents=True, exist_ok=True)
    size = explorer.fields.images["truth"].layout
    steps = explorer.time.options
    chosen = [steps[round(i * (len(steps) - 1) / N_TIMES)] for i in range(1, N_TIMES + 1)]
    for i, (_, name) in enumerate(explorer.field.options):
        explorer.field.value = name
        for j, (_, step) in enumerate(chosen):
            explorer.time.value = step
            packed = zlib.compress(json.dumps(sample(explorer)).encode(), 9)
            text = base64.b64encode(packed).decode()
            (out / f"{i}-{j}.js").write_text(f'samples["{i}-{j}"]("{text}")\n')
    static = importlib.resources.files("surrlab.explorer") / "static" / "explorer.css"
    page = string.Template((HERE / "look.html").read_text("utf-8")).substitute(
        style=static.read_text("utf-8"),
        title=html.escape(explorer.results.heading),
        width=size.width,
        height=size.height,
        fields=options(label for label, _ in explorer.field.options),
        times=script([label for label, _ in chosen]),
        last=explorer.fields.setting.max,
        codecs=script({name: label for label, name in explorer.fields.codec.options}),
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def options(labels):
    """Choices of an HTML select, numbered."""
    texts = map(html.escape, labels)
    return "".join(f'<option value="{i}">{text}</option>' for i, text in enumerate(texts))


def script(value):
    """A value as JavaScript that no name in it can end."""
    return json.dumps(value).replace("<", "\\u003c")


def write(out, folder=None):
    """Write the page of a folder, or of an ensemble that is simulated for it; only if it is new.

    Parameters
    ----------
    out : Path
        What is in there is lost.
    folder : Path, optional
        An ensemble or a study's results.
    """
    code = sorted((Path(surrlab.__file__).parent / "explorer").rglob("*.*"))
    sources = [HERE / "look.py", HERE / "look.html", *(c for c in code if c.suffix != ".pyc")]
    told = [source.read_bytes() for source in sources]
    if folder is not None:
        told.append(f"{folder} {folder.stat().st_mtime_ns}".encode())
    stamp = hashlib.sha256(b"".join(told)).hexdigest()  # no path of this machine in the site
    known = out / "stamp.txt"
    if known.exists() and known.read_text() == stamp:
        return
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            folder = Path(scratch) / "ensemble"
            generate(RayleighTaylor(), folder, n_simulations=1, shape=(96, 32), seed=1)
        write_page(out, folder)
    known.write_text(stamp)


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
