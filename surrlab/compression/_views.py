"""Other people's layouts of the same bytes: LLNL professor's ``fields`` beside surrlab's own names.

A view is a virtual dataset over the stored chunks of the same file: a few kilobytes, and no field
is stored twice. `export` lays a whole folder as professor's trainer wants it.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from surrlab._files import replacing
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.native import Header, NativeEnsemble
from surrlab.data.stored import OFFSET, OFFSET_NAMED

VIEWS = ("professor",)
FIELDS, FILELIST = "fields", "filelist.txt"


def check_views(views: tuple[str, ...], header: Header) -> None:
    """Refuse views that are not known, or whose names the ensemble has already.

    Raises
    ------
    ValueError
        Naming what is wrong.
    """
    for view in views:
        if view not in VIEWS:
            raise ValueError(f"there is no view {view!r}; there are {', '.join(VIEWS)}")
    if views and FIELDS in (f.name for f in header.fields):
        raise ValueError(
            f"professor's view is called {FIELDS!r}, and so is a field of this ensemble"
        )


def add_professor(file: h5py.File, header: Header) -> None:
    """Show all fields of an open file of ours as ``fields`` (time, field, *axes)."""
    names = [field.name for field in header.fields]
    shape = (len(file["time"]), len(names), *header.grid.shape)
    layout = h5py.VirtualLayout(shape, header.dtype)
    layout.dcpl.set_obj_track_times(False)  # equal contents make equal files
    for i, name in enumerate(names):
        for source, rows in _parts(file[name]):
            layout[rows, i] = h5py.VirtualSource(".", source.name, source.shape)
    view = file.create_virtual_dataset(FIELDS, layout, fillvalue=np.nan)
    if without := [name for name in names if OFFSET_NAMED in file[name].attrs]:
        view.attrs["comment"] = f"to be added: {', '.join(map(OFFSET.format, without))} (time)"
    file["field"] = names
    file["field"].make_scale("field")
    for dim, name in zip(view.dims, ("time", "field", *header.grid.names), strict=True):
        dim.attach_scale(file[name])


def _parts(dataset: h5py.Dataset) -> list[tuple[h5py.Dataset, list[int] | slice]]:
    """Stored datasets of a field, and the times that each of them holds."""
    if not dataset.is_virtual:  # a view over a view would be found by HDF5 alone
        return [(dataset, slice(None))]
    found: list[tuple[h5py.Dataset, list[int] | slice]] = []
    for part in dataset.virtual_sources():
        source = dataset.file[part.dset_name]
        if part.vspace.get_select_type() == h5py.h5s.SEL_ALL:
            found.append((source, slice(None)))
            continue
        blocks = part.vspace.get_select_hyper_blocklist()
        rows = {i for first, last in blocks[:, :, 0] for i in range(first, last + 1)}
        found.append((source, sorted(rows)))
    return found


class Exported(NamedTuple):
    """What an export took: files that were linked, and files and bytes that were written.

    ``without`` names the totals that the exported values do not keep, for lack of their offsets.
    """

    linked: int
    written: int
    nbytes: int
    without: tuple[str, ...] = ()


def export(ensemble: Ensemble, path: str | os.PathLike) -> Exported:
    """Lay an ensemble as LLNL professor's trainer wants it: type 1, with its list of samples.

    Stored files are never changed. Those that show the view are linked, other ones of ours are
    copied and get it, compressed as they are; of any other layout plain files are written.

    Parameters
    ----------
    ensemble : Ensemble
        In any layout; one side of a split, too.
    path : path
        A new or empty folder.

    Raises
    ------
    FileExistsError
        If the folder holds anything.
    ValueError
        If one of the fields is called ``fields``.
    """
    header, path = Header.of(ensemble), Path(path)
    check_views(VIEWS, header)
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty; choose another path")
    linked, written, nbytes, lines = 0, 0, 0, []
    for run in ensemble.runs:
        file = path / f"simulation_{run.simulation:06d}.h5"
        stored = ensemble.file(run.simulation) if isinstance(ensemble, NativeEnsemble) else None
        if stored is not None and _shows(stored):
            file.symlink_to(stored.absolute())
            linked += 1
        else:
            with replacing(file) as temporary:
                if stored is not None:
                    shutil.copyfile(stored, temporary)
                    mode = partial(h5py.File, temporary, "r+", libver=("v110", "v110"))
                else:
                    samples = ensemble.read_simulation(run.simulation)
                    native.write_simulation(temporary, header, run, samples)
                    mode = partial(h5py.File, temporary, "r+")
                with mode() as opened:
                    add_professor(opened, header)
            written, nbytes = written + 1, nbytes + file.stat().st_size
        lines += [f"{file.name} {step}\n" for step in range(len(run.times))]
    with replacing(path / FILELIST) as temporary:
        temporary.write_text("".join(lines))
    kept = ensemble.metadata.get("request", {}).get("keep", ())
    return Exported(linked, written, nbytes, tuple(kept))


def _shows(stored: Path) -> bool:
    with h5py.File(stored) as file:
        return FIELDS in file
