"""The pictures of the README: python docs/pictures.py notebooks/figures [RESULTS].

Two of each study under RESULTS (default: results) that has been run, two of one fine simulation
of each benchmark, which is simulated if need be, and one of each of `BENCHMARKS`. Those alone:
python docs/pictures.py notebooks/figures benchmarks.
"""

import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

from surrlab import _files, studies
from surrlab.figures.catalogue import FIGURES, draw
from surrlab.figures.style import add_caption, plain_text, subplots
from surrlab.studies.config import GALLERY, PRESETS

HERE = Path(__file__).parent
OURS, OTHERS, LOSSLESS = "#0173b2", "#9ec9e2", "0.75"


@plain_text()
def peers(report):
    """The rates of benchmarks/peers.json: a bar for each way to read the same batches."""
    rows = sorted(report["rows"].items(), key=lambda row: row[1]["mb_per_s"])
    ny, nx = report["ensemble"]["shape"]
    title = f"How fast is the same batch ready? {ny} × {nx} cells, {report['cores']} cores"
    figure, ((ax,),) = subplots(title, 0.6 + 0.3 * len(rows))
    for place, (name, row) in enumerate(rows):
        lossy = row["ratio_on_disk"] > 5
        color = OURS if name == "sample_loader" else OTHERS if lossy else LOSSLESS
        label = "compressed within a tolerance" if lossy else "raw, or compressed without loss"
        label = "compressed within a tolerance: surrlab" if name == "sample_loader" else label
        ax.barh(place, row["mb_per_s"], color=color, label=label)
        ax.plot(row["rounds"], [place] * len(row["rounds"]), "|", color="0.2", ms=9)
        text = f"{row['mb_per_s']:,.0f} MB/s, {row['ratio_on_disk']:.3g}× smaller"
        text = text if row["ratio_on_disk"] > 1 else f"{row['mb_per_s']:,.0f} MB/s"
        ax.annotate(
            text,
            (max(row["rounds"]), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(rows)), [row["label"] for _, row in rows])
    ax.set_xlabel("MB/s of uncompressed data")
    ax.margins(x=0.2)
    return add_caption(
        figure,
        "Bars are medians, strokes the single rounds, taken in turns from a warm page cache. What "
        "it costs to fetch files from a storage, less for smaller ones, is not in it.",
    )


BY_CODEC = {
    "zfp": ("zfp", "#0173b2", "o"),
    "sz3": ("SZ3", "#de8f05", "s"),
    "sperr": ("SPERR", "#029e73", "^"),
}
COSTS = {
    "l1": ("L1 error: % more than of raw models", 5),
    "psnr": ("PSNR of the worst field: dB less", 0.5),
}


@plain_text()
def codec_verdicts(report):
    """What benchmarks/codec_verdicts.json found: costs over the ratio, a line for each codec."""
    title = "Which codec leaves the better model? Rayleigh–Taylor on 48 × 16"
    figure, (axes,) = subplots(title, 3.6, 1, 2)
    for ax, (kind, (label, margin)) in zip(axes, COSTS.items(), strict=True):
        for numbers in report["codecs"].values():
            name, color, marker = BY_CODEC[numbers["codec"]]
            rows = [(r["file"], r[kind]["shift"], r[kind]["bound"]) for r in numbers["versions"]]
            x, y, bound = zip(*sorted(rows), strict=True)
            ax.plot(x, y, marker=marker, color=color, label=name, lw=1.2, ms=5)
            ax.vlines(x, y, bound, color=color, lw=1)
            (at,) = (row for row in numbers["versions"] if row["factor"] == 1)
            ring = {"marker": "o", "ms": 12, "mfc": "none", "mec": color, "ls": ""}
            ax.plot(at["file"], at[kind]["shift"], **ring)
        ax.axhline(margin, color="0.35", ls="--", lw=0.9, label="margin")
        ax.axhline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yscale("symlog", linthresh=2 * margin)
        ticks = [0, margin, 2 * margin, 10 * margin, 30 * margin]
        ax.set_yticks(ticks[: 4 if kind == "psnr" else 5], minor=False)
        ax.set_yticks([], minor=True)
        ax.set_ylim(bottom=-margin / 2)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="raw bytes / bytes on disk", ylabel=label)
    used = ", ".join(
        f"{BY_CODEC[one['codec']][0]} {100 * one['error_used']:.0f} %"
        for one in report["codecs"].values()
    )
    return add_caption(
        figure,
        "Mean of three to five seeds on 120 test simulations, a stroke to the bound (95 %); linear "
        "up to twice the margin, then logarithmic. Rings: Algorithm 1's own tolerances (share of "
        f"the model error that is used: {used}); the other points are multiples of them.",
        5,
    )


BENCHMARKS = {"peers": peers, "codec_verdicts": codec_verdicts}
"""What draws each of these results in benchmarks/."""


def pictures(results):
    """Names of figures by the folder of the study whose tables they are drawn from."""
    studied = [name for name in PRESETS if "smoke" not in name]  # whose models say nothing
    names = {results / name: ("verdict", "side_by_side") for name in studied}
    for name, config in GALLERY.items():
        study = studies.Study(config, results / name)
        study.path.mkdir(parents=True, exist_ok=True)
        simulation = study.ensemble.simulations[0]
        studies.evolution(study, simulation)
        studies.compressed_fields(study, simulation, len(study.ensemble.of(simulation)) // 2)
        names[study.path] = ("evolution", "compressed")
    return names


def shrink(source, target):
    """Copy a picture with 256 colours, which do at a third of the bytes: these are committed."""
    few = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
    with Image.open(source) as drawn, _files.replacing(target) as temporary:
        drawn.convert("RGB").quantize(256, **few).save(temporary, format="PNG", optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def main(folder, results="results"):
    """Draw them all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, draw_report in BENCHMARKS.items():
            drawn = Path(scratch) / f"{name}.png"
            report = json.loads((HERE.parent / "benchmarks" / f"{name}.json").read_text("utf-8"))
            draw_report(report).savefig(drawn)
            shrink(drawn, folder / f"{name.replace('_', '-')}.png")
    if results == "benchmarks":
        return
    for study, names in pictures(Path(results)).items():
        for name in names:
            if not (study / f"{FIGURES[name].table}.nc").exists():
                print(f"not drawn: {name} of {study.name}, which has not been studied yet")
                continue
            draw(study, name)
            shrink(study / "figures" / f"{name}.png", folder / f"{study.name}-{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
