"""Models that another program trains: its data are written, it runs, its predictions are read back.

The command is a list of arguments, never a shell's line, in which four names are filled in:
``{data}``, a folder with the training samples of a version; ``{inputs}``, an HDF5 file whose
dataset ``inputs`` (N, n) holds the inputs of every sample, training and test; ``{seed}``; and
``{out}``, the HDF5 file that it has to write, with a dataset ``fields`` (N, n_fields, *shape) in
the fields' units. No field of a test sample is ever in ``{data}``.
"""

from __future__ import annotations

import hashlib
import math
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from surrlab import _parallel
from surrlab._files import (
    DamagedError,
    read_json,
    replacing,
    say_again,
    sha256,
    write_json,
)
from surrlab._hdf5 import new_file
from surrlab.data import native
from surrlab.data.ensemble import Ensemble, Run
from surrlab.data.layouts.cards.card import TIME
from surrlab.data.layouts.cards.reading import CardEnsemble
from surrlab.data.native import Header, NativeEnsemble, open_native
from surrlab.data.stored import filters_of

PLACES = ("{data}", "{inputs}", "{seed}", "{out}")
LAYOUTS = ("professor", "native")
OUT, RUN, LOG = "predictions.h5", "trainer.json", "trainer.log"
SIDES = ("training", "test")


@dataclass(frozen=True)
class Trainer:
    """A command that trains one model.

    Parameters
    ----------
    command : str
        Arguments as a shell would part them, among them `PLACES`. Files that exist are named from
        the root on: it runs in the folder of its model.
    layout : {"professor", "native"}
        Of ``{data}``: plain HDF5, one file per simulation with ``inputs`` (T, n) and ``fields``
        (T, n_fields, *shape), and a ``filelist.txt``; or surrlab's own, compressed as it is. Raw
        fields are not written once more where HDF5 can show them as they lie.

    Raises
    ------
    ValueError
        If the command lacks one of `PLACES`, or cannot be parted.
    """

    command: str
    layout: str = "professor"

    def __post_init__(self):
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"the trainer {self.command!r} cannot be parted: {error}") from None
        for place in PLACES:
            if not any(place in word for word in words):
                raise ValueError(f"the trainer {self.command!r} needs {place} among its arguments")
        if self.layout not in LAYOUTS:
            raise ValueError(f"trainer_layout is {' or '.join(LAYOUTS)}, not {self.layout!r}")
        found = [str(Path(w).absolute()) if Path(w).is_file() else w for w in words]
        object.__setattr__(self, "command", shlex.join(found))

    def arguments(self, **values: object) -> list[str]:
        """The command with `PLACES` filled in."""
        words = shlex.split(self.command)
        for name, value in values.items():
            words = [word.replace(f"{{{name}}}", str(value)) for word in words]
        return words


def write_data(trainer: Trainer, data: Ensemble, folder: Path, executor: Executor | None) -> Path:
    """Write the training samples of a version for a trainer, once; return their folder.

    Parameters
    ----------
    trainer : Trainer
        Says the layout.
    data : Ensemble
        The samples, and nothing else.
    folder : Path
        Where versions are written, each into a folder named by its digest.
    """
    path = folder / f"{trainer.layout}-{data.digest}"
    if trainer.layout == "native":
        whole = isinstance(data, NativeEnsemble) and open_native(data.path).runs == data.runs
        if kept := data.metadata.get("request", {}).get("keep"):
            whole = False  # a program that reads the fields alone would miss their offsets
            print(f"{data.name} is decoded for the trainer, so that {', '.join(kept)} stay exact")
        if isinstance(data, NativeEnsemble) and whole:
            return data.path.absolute()
        if not isinstance(data, NativeEnsemble) or kept:
            return native.copy(data, path, executor=executor).path.absolute()
        runs = {run.simulation: run for run in data.runs}
        links = {s: partial(_link, data.file(s)) for s in runs}
        label = "data for the trainer"
        native.build(path, Header.of(data), {}, runs, links, executor=executor, label=label)
        return path.absolute()
    path.mkdir(parents=True, exist_ok=True)
    names = {s: f"simulation_{s:06d}.h5" for s in data.simulations}
    missing = {s: name for s, name in names.items() if not _is_whole(path / name)}
    if missing or not (path / "filelist.txt").exists():
        tasks = [(_write_plain, (data.select([s]), path / n)) for s, n in missing.items()]
        for _ in _parallel.run(tasks, executor=executor, label="data for the trainer"):
            pass
        lines = [f"{names[r.simulation]} {i}\n" for r in data.runs for i in range(len(r.times))]
        with replacing(path / "filelist.txt") as temporary:
            temporary.write_text("".join(lines))
    return path.absolute()


def _is_whole(file: Path) -> bool:
    """Whether a file was written, and what it shows is still there: HDF5 would show NaN."""
    if not file.exists():
        return False
    with h5py.File(file) as opened:
        fields = opened["fields"]
        shown = fields.virtual_sources() if fields.is_virtual else ()
    return all(Path(one.file_name).is_file() for one in shown)


def _link(source: Path, path: Path) -> None:
    """The same file under a second name; on another file system its copy."""
    path.unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def _write_plain(data: Ensemble, path: Path) -> None:
    with replacing(path) as temporary, new_file(temporary) as file:
        file["inputs"] = data.inputs
        if (shown := _in_place(data)) is None:
            file["fields"] = data.read_simulation(data.simulations[0])
        else:
            file.create_virtual_dataset("fields", shown, fillvalue=np.nan)  # if a file is moved
        file.attrs["input_names"], file.attrs["field_names"] = data.input_names, data.field_names


PLAIN = {1, 2, 3}
"""HDF5 filters that every program has: deflate, shuffle, fletcher32."""


def _in_place(data: Ensemble) -> h5py.VirtualLayout | None:
    """Fields of a simulation where they lie, if any HDF5 program can read them there.

    Returns
    -------
    VirtualLayout or None
        ``(T, n_fields, *shape)``; None for what has to be written out: masks, codecs of our own,
        fields whose totals were kept by offsets, other libraries' files, fields without a time.
    """
    layout = h5py.VirtualLayout((len(data.samples), *data.sample_shape), data.dtype)
    (simulation,), first = data.simulations, 0
    if data.valid is not None or data.metadata.get("request", {}).get("keep"):
        return None
    pieces: list[tuple[Path, slice, str, list[tuple[str, tuple]]]] = []
    if isinstance(data, NativeEnsemble):
        each = [(name, (slice(None),)) for name in data.field_names]
        pieces.append((data.file(simulation), slice(None), "", each))
    elif isinstance(data, CardEnsemble):
        for part in data.parts[simulation]:
            rows = slice(part.rows[0], part.rows[-1] + 1)
            if list(part.rows) != list(range(rows.start, rows.stop)):
                return None
            if any(TIME not in source.axes or not source.n_grid for source in data.sources):
                return None
            steps = slice(first, first + len(part.rows))
            each = [(s.dataset, s.lead(part.run, rows)) for s in data.sources]
            pieces.append((data.folder / data.file_names[part.file], steps, part.group, each))
            first += len(part.rows)
    for path, steps, group, each in pieces:
        if not h5py.is_hdf5(path):
            return None
        with h5py.File(path) as file:
            for i, (name, index) in enumerate(each):
                source = file[group + name]
                filters = {number for number, _ in filters_of(source)}
                if source.is_virtual or source.external or not filters <= PLAIN:
                    return None
                place = h5py.VirtualSource(str(path.absolute()), source.name, source.shape)
                layout[steps, i] = place[index]
    return layout if pieces else None


def write_inputs(sides: Mapping[str, Ensemble], folder: Path) -> Path:
    """Write the inputs of every sample of both sides, training first; return the file."""
    rows = np.concatenate([sides[side].inputs for side in SIDES])
    path = folder / f"inputs-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}.h5"
    if not path.exists():
        with replacing(path) as temporary, new_file(temporary) as file:
            file["inputs"] = rows
            file.attrs["input_names"] = sides[SIDES[0]].input_names
            for name in ("simulation", "step"):
                each = [getattr(sides[side].samples, name) for side in SIDES]
                file[name] = np.concatenate(each)
    return path.absolute()


def train_elsewhere(
    trainer: Trainer,
    run: dict[str, Any],
    sides: Mapping[str, Ensemble],
    data: Path,
    inputs: Path,
    path: Path,
) -> None:
    """Run a trainer for one model, unless it has; its predictions are in the folder `path` then.

    Parameters
    ----------
    trainer : Trainer
        The command.
    run : dict
        What decides the model, as JSON; ``run["seed"]`` is its seed.
    sides : mapping
        Training and test side, of which predictions are asked.
    data, inputs : Path
        From `write_data` and `write_inputs`.

    Raises
    ------
    RuntimeError
        If the command cannot be started, fails, writes nothing, or not all of what was asked.
    """
    try:
        if read_run(path)["run"] == run:
            return
    except FileNotFoundError:
        pass
    except DamagedError as error:
        say_again(path, error)
    path.mkdir(parents=True, exist_ok=True)
    out = (path / OUT).absolute()
    out.unlink(missing_ok=True)
    words = trainer.arguments(data=data, inputs=inputs, seed=run["seed"], out=out)
    log = path / LOG
    try:
        with log.open("wb") as said:
            code = subprocess.run(words, cwd=path, stdout=said, stderr=said).returncode
    except OSError as error:
        raise RuntimeError(f"the trainer {words[0]!r} cannot be started: {error}") from error
    if code:
        last = log.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"
        raise RuntimeError(f"the trainer ended with {code} ({last}); all that it said is in {log}")
    _check(out, sides)
    rows, first = {}, 0
    for side in SIDES:
        starts = {str(s): first + sides[side].of(s)[0] for s in sides[side].simulations}
        rows[side], first = starts, first + len(sides[side].samples)
    write_json(path / RUN, {"run": run, "rows": rows, "predictions": sha256(out)})


def read_run(path: Path) -> dict[str, Any]:
    """Return what a trainer's folder says of its model, once its predictions are found whole.

    Raises
    ------
    FileNotFoundError, DamagedError
        If it holds none, or a file is not what was written.
    """
    found = read_json(path / RUN)
    if not (path / OUT).is_file() or sha256(path / OUT) != found.get("predictions"):
        raise DamagedError(f"{path / OUT} has changed since {RUN} was written")
    return found


def _check(out: Path, sides: Mapping[str, Ensemble]) -> None:
    """Refuse predictions that are not one finite sample for each row of the inputs."""
    truth = sides[SIDES[0]]
    counted = True if truth.valid is None else truth.valid
    expected = (sum(len(sides[side].samples) for side in SIDES), *truth.sample_shape)
    if not out.exists():
        raise RuntimeError(f"the trainer wrote no {out}")
    try:
        with h5py.File(out) as file:
            if not isinstance(dataset := file.get("fields"), h5py.Dataset):
                raise RuntimeError(f"the trainer wrote no dataset 'fields' into {out}")
            if dataset.shape != expected or dataset.dtype.name not in ("float32", "float64"):
                raise RuntimeError(
                    f"the trainer wrote {dataset.dtype} {dataset.shape} into {out}, not "
                    f"float32 {expected} (a sample for each row of the inputs)"
                )
            sides_of = zip(expected, dataset.chunks or expected, strict=True)
            n_chunks = math.prod(-(-n // chunk) for n, chunk in sides_of)
            whole = dataset.chunks is None or dataset.id.get_num_chunks() == n_chunks
            if not (whole and dataset.id.get_storage_size() and dataset[-1].any()):
                raise RuntimeError(f"the trainer left {out} half written")
            for row in range(len(dataset)):
                if not np.isfinite(dataset[row]).all(where=counted):
                    raise RuntimeError(f"the trainer predicts NaN or Inf in row {row} of {out}")
    except OSError as error:
        raise RuntimeError(f"the trainer left {out} damaged: {error}") from error


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Predictions(Ensemble):
    """What a trainer's model makes of the inputs of an ensemble.

    Parameters
    ----------
    file : Path
        With the dataset ``fields``.
    rows : dict of int
        Row of each simulation's first sample.
    """

    file: Path
    rows: dict[int, int]

    by_simulation: ClassVar[tuple[str, ...]] = ("rows",)

    @classmethod
    def stored(cls, path: Path, truth: Ensemble, side: str) -> Predictions:
        """Return what the model in a folder predicts of (a part of) one side."""
        rows = read_json(path / RUN)["rows"][side]
        with h5py.File(path / OUT) as file:
            dtype = file["fields"].dtype.name
        shared = {field.name: getattr(truth, field.name) for field in fields(Ensemble)}
        shared |= {"name": str(path / OUT), "dtype": dtype}
        return cls(**shared, file=path / OUT, rows={s: rows[str(s)] for s in truth.simulations})

    def read(self, sample: int) -> np.ndarray:
        """Return one sample, ``(n_fields, *grid.shape)``."""
        run, step = self.where(sample)
        with h5py.File(self.file) as file:
            return file["fields"][self.rows[run.simulation] + step]

    def read_simulation(self, simulation: int) -> np.ndarray:
        """Return all samples of a simulation in time, ``(T, n_fields, *grid.shape)``."""
        first, n = self.rows[simulation], len(self.run(simulation).times)
        with h5py.File(self.file) as file:
            return file["fields"][first : first + n]

    def contents(self, run: Run) -> str:
        """Return the SHA-256 of a simulation's values."""
        return hashlib.sha256(self.read_simulation(run.simulation).tobytes()).hexdigest()
