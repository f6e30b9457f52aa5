"""What showing other programs' layouts adds to a compressed file, in bytes.

    python benchmarks/views.py ENSEMBLE ... > benchmarks/views.json

Three simulations of each ensemble are compressed with a tolerance of a fifth of each field's
standard deviation: with no view, professor's, the Well's, both, and what `compress` does by itself.
"""

import contextlib
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
from machine import machine

from surrlab.compression import compress, ratios
from surrlab.data import open_ensemble

CHOICES = {
    "none": (),
    "professor": ("professor",),
    "well": ("well",),
    "both": ("professor", "well"),
    "default": None,
}


def measured(ensemble, folder, executor):
    """Mean bytes of a file, and what each choice of views adds to it."""
    spread = np.std([ensemble.read(i) for i in range(len(ensemble.samples))], axis=(0, -2, -1))
    bounds = xr.DataArray(spread / 5, {"field": list(ensemble.field_names)}, ["field"])
    sizes = {}
    for name, views in CHOICES.items():
        made = compress(ensemble, bounds, folder / name, executor=executor, views=views)
        sizes[name] = np.mean([file.stat().st_size for file in made.files])
    return {
        "benchmark": ensemble.benchmark,
        "shape": list(ensemble.grid.shape),
        "fields": len(ensemble.fields),
        "samples_per_file": len(ensemble.samples) / len(ensemble.runs),
        "ratio_file": round(ratios(made).file, 2),
        "file": round(sizes["none"]),
        "added": {name: round(size - sizes["none"]) for name, size in sizes.items()},
    }


def main():
    rows = []
    with contextlib.redirect_stdout(sys.stderr), ThreadPoolExecutor(1) as executor:
        for path in sys.argv[1:]:
            ensemble = open_ensemble(path)
            with tempfile.TemporaryDirectory() as folder:
                some = ensemble.select(ensemble.simulations[:3])
                rows.append(measured(some, Path(folder), executor))
    print(json.dumps({"machine": machine("h5py", "hdf5plugin", "zfpy"), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
