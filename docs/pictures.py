"""The pictures of the README: python docs/pictures.py notebooks/figures [RESULTS].

Two of each study under RESULTS (default: results) that has been run, and two of one fine simulation
of each benchmark, which is simulated if need be.
"""

import sys
from pathlib import Path

from PIL import Image

from surrlab import _files, studies
from surrlab.figures.catalogue import FIGURES, draw
from surrlab.studies.config import GALLERY, PRESETS


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
    for study, names in pictures(Path(results)).items():
        for name in names:
            if not (study / f"{FIGURES[name].table}.nc").exists():
                print(f"not drawn: {name} of {study.name}, which has not been studied yet")
                continue
            draw(study, name)
            shrink(study / "figures" / f"{name}.png", folder / f"{study.name}-{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
