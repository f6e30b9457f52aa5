"""Other people's layouts of the same bytes, beside surrlab's own names.

A view is made of virtual datasets over the fields of the same file: a few kilobytes, and no field
is stored twice. ``professor`` is LLNL professor's ``fields`` (time, field, *axes); ``well``
are the groups of the Well, one trajectory per file. `export` lays a whole folder as their trainers
want it.
Formats: llnl/professor, docs/basics.md; PolymathicAI/the_well, docs/data_format.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from surrlab._files import replacing
from surrlab.data import native
from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Run
from surrlab.data.native import Header, NativeEnsemble
from surrlab.data.stored import OFFSET, OFFSET_NAMED

FIELDS, FILELIST = "fields", "filelist.txt"
ORDERS = range(3)
"""Of a tensor: the Well has scalars, vectors and matrices."""
WELL = (*(f"t{order}_fields" for order in ORDERS), "dimensions", "scalars", "boundary_conditions")
VIEWS = {"professor": (FIELDS,), "well": WELL}
"""Name of each view, and what it adds to the root of a file."""
DEFAULT, MOST_GROWTH = ("professor",), 0.01
"""What compressed files show unless somebody says, and the share of a file that it may add."""
LEAST_GROWTH = 1000
"""Bytes that no view takes less than."""
STATISTICS = ("mean", "std", "rms")


class Shown(NamedTuple):
    """A dataset of the Well: one field, or the components of a vector or matrix."""

    order: int
    name: str
    components: tuple[str, ...]


def check_views(views: Iterable[str], header: Header) -> None:
    """Refuse views that are not known, or whose names the ensemble has already.

    Raises
    ------
    ValueError
        Naming what is wrong.
    """
    names = {f.name: "field" for f in header.fields} | dict.fromkeys(header.grid.names, "axis")
    for view in views:
        if view not in VIEWS:
            raise ValueError(f"there is no view {view!r}; there are {', '.join(VIEWS)}")
        for name in VIEWS[view]:
            if name in names:
                what = names[name]
                raise ValueError(
                    f"the view of {view} is called {name!r}, and so is one {what} of this ensemble"
                )
    if "well" in views and len(twice := [n for n in header.inputs if n in _OURS]):
        raise ValueError(f"files have an attribute {twice[0]!r}, and the Well's view needs it")


_OURS = frozenset(
    "format benchmark simulation parameter_names parameter_units field_names field_units "
    "hdf5_filter dataset_name grid_type n_spatial_dims n_trajectories simulation_parameters".split()
)
"""Attributes of a file's root: the Well keeps a simulation's parameters among them."""


def default_views(header: Header) -> tuple[str, ...]:
    """Views that compressed files get unless somebody says.

    None where names are taken, or cells are masked: views show the numbers that stand for them.
    """
    if any(field.mask for field in header.fields):
        return ()
    try:
        check_views(DEFAULT, header)
    except ValueError:
        return ()
    return DEFAULT


def add_views(file: h5py.File, header: Header, run: Run, views: Iterable[str]) -> None:
    """Show the fields of an open file of ours in other layouts, too."""
    for view in views:
        if view == "professor":
            _add_professor(file, header)
        else:
            _add_well(file, header, run)


def _add_professor(file: h5py.File, header: Header) -> None:
    names = [field.name for field in header.fields]
    layout = _layout((len(file["time"]), len(names), *header.grid.shape), header)
    for i, name in enumerate(names):
        layout[:, i] = h5py.VirtualSource(".", name, file[name].shape)
    view = file.create_virtual_dataset(FIELDS, layout, fillvalue=np.nan)
    if without := [name for name in names if OFFSET_NAMED in file[name].attrs]:
        view.attrs["comment"] = f"to be added: {', '.join(map(OFFSET.format, without))} (time)"
    file["field"] = names
    file["field"].make_scale("field")
    for dim, name in zip(view.dims, ("time", "field", *header.grid.names), strict=True):
        dim.attach_scale(file[name])


def _add_well(file: h5py.File, header: Header, run: Run) -> None:
    """The Well's attributes and groups; boundaries are not known, so it takes them for open."""
    text, axes = h5py.string_dtype(), header.grid.names
    fixed = {"sample_varying": False, "time_varying": False}
    named = dict(zip(list(header.inputs)[:-1], run.parameters, strict=True))
    file.attrs.update({"grid_type": "cartesian", "n_spatial_dims": len(axes), "n_trajectories": 1})
    file.attrs["dataset_name"] = header.benchmark.get("name", "") or "unnamed"
    file.attrs["simulation_parameters"] = np.array(list(named), text)
    file.attrs.update(named)
    file.create_group("boundary_conditions")
    dimensions, scalars = file.create_group("dimensions"), file.create_group("scalars")
    dimensions.attrs["spatial_dims"] = np.array(axes, text)
    scalars.attrs["field_names"] = np.array(list(named), text)
    for name in ("time", *axes):  # the Well reads single precision
        _compact(dimensions, name, file[name][:])
        # Its validator wants time to vary in time; its document leaves that open.
        dimensions[name].attrs.update({**fixed, "time_varying": name == "time"})
    for name, value in named.items():
        _compact(scalars, name, value).attrs.update(fixed)
    shown = list(well_fields(header))
    full = {"sample_varying": True, "time_varying": True, "dim_varying": [True] * len(axes)}
    for order, group in enumerate(WELL[:3]):
        mine = [one for one in shown if one.order == order]
        file.create_group(group).attrs["field_names"] = np.array([one.name for one in mine], text)
        for one in mine:
            inner = (len(axes),) * order
            layout = _layout((1, len(file["time"]), *header.grid.shape, *inner), header)
            for place, name in zip(np.ndindex(*inner), one.components, strict=True):
                where = (0, slice(None), *(slice(None) for _ in axes), *place)
                layout[where] = h5py.VirtualSource(".", name, file[name].shape)
            view = file[group].create_virtual_dataset(one.name, layout, fillvalue=np.nan)
            view.attrs.update(full)
            if order == 2:
                view.attrs.update({"symmetric": False, "antisymmetric": False})


def well_fields(header: Header) -> Iterator[Shown]:
    """What the Well calls the fields: those of one name and all axes are a vector, or a matrix."""
    names, axes = [field.name for field in header.fields], header.grid.names
    found: dict[str, Shown] = {}
    for order in reversed(ORDERS[1:]):
        suffixes = ["".join(those) for those in product(axes, repeat=order)]
        for name in names:
            base = name.removesuffix(f"_{suffixes[0]}")
            components = tuple(f"{base}_{suffix}" for suffix in suffixes)
            if base != name and base not in names and set(components) <= set(names) - set(found):
                found |= dict.fromkeys(components, Shown(order, base, components))
    return iter(dict.fromkeys(found.get(name, Shown(0, name, (name,))) for name in names))


def _layout(shape: tuple[int, ...], header: Header) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout(shape, header.dtype)
    layout.dcpl.set_obj_track_times(False)  # equal contents make equal files
    return layout


def _compact(group: h5py.Group, name: str, values: np.ndarray | float) -> h5py.Dataset:
    """Small numbers in a dataset's own header, where HDF5 has a checksum over them."""
    values = np.asarray(values, np.float32)
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if values.nbytes < 1 << 15:
        create.set_layout(h5py.h5d.COMPACT)
    return group.create_dataset(name, data=values, dcpl=create)


# --------------------------------------------------------------------------------------- export


class Exported(NamedTuple):
    """What an export took: files that were linked, and files and bytes that were written.

    ``without`` names the totals that the exported values do not keep, for lack of their offsets.
    """

    linked: int
    written: int
    nbytes: int
    without: tuple[str, ...] = ()


def export(ensemble: Ensemble, path: str | os.PathLike, layout: str = "professor") -> Exported:
    """Lay an ensemble as another program's trainer wants it.

    Stored files are never changed. Those that show the view are linked (copied, on another disk);
    other ones of ours are copied and get it, compressed as they are; of any other layout plain
    files are written.

    Parameters
    ----------
    ensemble : Ensemble
        In any layout; one side of a split, too.
    path : path
        A new or empty folder.
    layout : {"professor", "well"}
        LLNL professor's type 1, with its list of samples; or the Well's ``data/train``, with
        ``stats.yaml``.

    Raises
    ------
    FileExistsError
        If the folder holds anything.
    ValueError
        If there is no such layout, or one of its names is taken.
    """
    header, path = Header.of(ensemble), Path(path)
    check_views([layout], header)
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty; choose another path")
    folder = path if layout == "professor" else path / "data" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    linked, written, nbytes, lines = 0, 0, 0, []
    statistics = _Statistics(header)
    for run in ensemble.runs:
        file = folder / f"simulation_{run.simulation:06d}.h5"
        if _lay(ensemble, run, header, layout, file):
            linked += 1
        else:
            written, nbytes = written + 1, nbytes + file.stat().st_size
        if layout == "well":
            statistics.add(ensemble.read_simulation(run.simulation))
        lines += [f"{file.name} {step}\n" for step in range(len(run.times))]
    name, text = FILELIST, "".join(lines)
    if layout == "well":
        name, text = "stats.yaml", statistics.yaml()
    with replacing(path / name) as temporary:
        temporary.write_text(text)
    kept = ensemble.metadata.get("request", {}).get("keep", ())
    return Exported(linked, written, nbytes, tuple(kept))


def _lay(ensemble: Ensemble, run: Run, header: Header, layout: str, file: Path) -> bool:
    """Put one simulation's file into place; whether it is a link."""
    stored = ensemble.file(run.simulation) if isinstance(ensemble, NativeEnsemble) else None
    shows = stored is not None and _shows(stored, layout)
    if stored is not None and shows:
        try:
            os.link(stored.resolve(), file)
            return True
        except OSError:  # on another disk, or one that has no links
            pass
    with replacing(file) as temporary:
        if stored is None:
            samples = ensemble.read_simulation(run.simulation)
            native.write_simulation(temporary, header, run, samples)
        else:
            shutil.copyfile(stored, temporary)
        if not shows:
            with h5py.File(temporary, "r+", libver=("v110", "v110")) as opened:
                add_views(opened, header, run, [layout])
    return False


def _shows(stored: Path, layout: str) -> bool:
    with h5py.File(stored) as file:
        return all(name in file for name in VIEWS[layout])


class _Statistics:
    """Moments of each field over all samples, and of its change from sample to sample.

    As the Well's ``scripts/compute_statistics.py`` has them; components of a vector on their own.
    """

    def __init__(self, header: Header):
        self.header = header
        self.count = np.zeros(2)
        self.sums = np.zeros((2, 2, len(header.fields)))  # (values, changes) x (x, x²) x fields

    def add(self, samples: np.ndarray) -> None:
        """Take the samples of one simulation in, (T, n_fields, *grid.shape)."""
        axes = (0, *range(2, samples.ndim))
        values = samples.astype(np.float64)
        for i, one in enumerate((values, np.diff(values, axis=0))):
            self.count[i] += one.size / len(self.header.fields)
            self.sums[i] += one.sum(axes), (one**2).sum(axes)

    def yaml(self) -> str:
        """The text of ``stats.yaml``."""
        index = [f.name for f in self.header.fields].index
        lines = []
        for i, suffix in enumerate(("", "_delta")):
            mean, square = self.sums[i] / max(self.count[i], 1)
            spread = np.sqrt(np.maximum(square - mean**2, 0))
            for name, values in zip(STATISTICS, (mean, spread, np.sqrt(square)), strict=True):
                lines.append(f"{name}{suffix}:")
                for one in well_fields(self.header):
                    each = values[[index(component) for component in one.components]]
                    shape = (self.header.grid.ndim,) * one.order
                    lines.append(f"  {one.name}: {_listed(each.reshape(shape))}")
        return "\n".join(lines) + "\n"


def _listed(values: np.ndarray) -> str:
    """Numbers in YAML, which takes 1e-05 for a text and 1.0e-05 for a number."""
    if not values.ndim:
        return f"{float(values):.9e}"
    return f"[{', '.join(map(_listed, values))}]"
