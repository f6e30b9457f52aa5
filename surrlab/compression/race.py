"""Which codec for which field: all of them on simulations of the reader's own ensemble.

Every codec is held to the same mean absolute errors, stored as `compress` stores it, and read back
from its files: what is compared is what would lie on the disk.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

from surrlab import _parallel
from surrlab.compression.codecs import Codec, codec_class
from surrlab.compression.compress import search_and_compress
from surrlab.compression.compress import table as table_of
from surrlab.compression.hdf5_filters import codec_of
from surrlab.compression.tolerances import broadcast_to_ensemble, read_finite
from surrlab.data.ensemble import Ensemble

CODECS = ("zfp", "sz3", "sperr", "bitround")
TARGETS = (0.01, 0.02, 0.05)
_UNITS = {
    "ratio_file": "1",
    "ratio_payload": "1",
    "l1": "allowed error",
    "linf": "allowed error",
    "bias": "allowed error",
    "encode_mb_s": "MB/s",
    "decode_mb_s": "MB/s",
    "n_encodes": "1",
}


def race(
    ensemble: Ensemble,
    *,
    codecs: Sequence[str] = CODECS,
    targets: Sequence[float] = TARGETS,
    errors: xr.DataArray | None = None,
    n_simulations: int = 2,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Compress some simulations with every codec to the same L1 errors, and measure what it takes.

    Parameters
    ----------
    ensemble : Ensemble
        The data, in any layout.
    codecs : sequence of str
        Names of registered codecs.
    targets : sequence of float
        L1 errors that are allowed: parts of `errors`.
    errors : DataArray, optional
        Model errors in the fields' units, over some of (sample, field), as in
        `tolerances.broadcast_to_ensemble`; by default each field's standard deviation.
    n_simulations : int
        How many simulations take part, spread over the ensemble.
    executor : concurrent.futures.Executor, optional
        Measures a codec at a target in each job; by default on the cores of this machine.

    Returns
    -------
    Dataset
        Over (codec, target, field): ``ratio_file`` and ``ratio_payload``; ``l1``, ``linf`` (mean of
        the samples' largest errors) and ``bias`` (of their absolute mean errors) as parts of the
        allowed error; ``encode_mb_s`` and ``decode_mb_s`` of decoded data and a core's time;
        ``n_encodes``, the encodings that Algorithm 1 took. What a file spends on its structure is
        split evenly among the fields. NaN where a codec refuses the ensemble; the attribute
        ``refused`` (JSON) says why.

    Raises
    ------
    KeyError
        If no codec has one of the names.
    ValueError
        If a field holds NaN or Inf, or no target or codec is given.
    """
    classes = [codec_class(name) for name in codecs]
    if not (classes and targets and n_simulations > 0):
        raise ValueError("a race needs a codec, a target and a simulation at least")
    places = np.linspace(0, len(ensemble.simulations) - 1, n_simulations).round().astype(int)
    some = ensemble.select([ensemble.simulations[i] for i in np.unique(places)])
    truth = np.concatenate([read_finite(some, s) for s in some.simulations])
    names = list(some.field_names)
    if errors is None:
        inside = True if some.valid is None else some.valid
        spread = truth.std(axis=(0, *range(2, truth.ndim)), dtype=np.float64, where=inside)
        errors = xr.DataArray(spread, {"field": names}, ["field"])
    allowed = broadcast_to_ensemble(errors, some, "model error")
    shape = (len(classes), len(targets), len(names))
    found = {name: np.full(shape, np.nan) for name in _UNITS}
    refused = {}
    jobs = [
        (_measure, ((c, t), some, truth, errors * target, allowed * target, codec))
        for (c, codec), (t, target) in itertools.product(enumerate(classes), enumerate(targets))
    ]
    for (c, t), columns in _parallel.run(jobs, executor=executor, label="race", unit="case"):
        if isinstance(columns, str):
            refused[classes[c].name] = columns
            continue
        for name, values in columns.items():
            found[name][c, t] = values
    dims = ("codec", "target", "field")
    return xr.Dataset(
        {name: (dims, values, {"units": _UNITS[name]}) for name, values in found.items()},
        {"codec": [codec.name for codec in classes], "target": list(targets), "field": names},
        {
            "refused": json.dumps(refused, sort_keys=True),
            "simulations": [int(s) for s in some.simulations],
        },
    )


def recommend(table: xr.Dataset, bandwidth: float | None = None, cores: int = 1) -> dict[str, str]:
    """The codec of each field that takes the fewest bytes on disk, over all targets of a `race`.

    Parameters
    ----------
    table : Dataset
        From `race`.
    bandwidth : float, optional
        MB/s of a storage. What counts then is the time of loading from there, the longer of reading
        and decoding; fewer bytes where that is the same.
    cores : int
        That decode.

    Raises
    ------
    ValueError
        If every codec refused the ensemble.
    """
    nbytes = (1 / table["ratio_file"]).mean("target", skipna=False)
    if bool(nbytes.isnull().all()):
        raise ValueError(f"no codec takes this ensemble: {table.attrs['refused']}")
    cost = nbytes.fillna(np.inf)
    if bandwidth is not None:
        decoding = (1 / table["decode_mb_s"]).mean("target") / cores
        slower = xr.apply_ufunc(np.maximum, nbytes / bandwidth, decoding)
        seconds = slower.fillna(np.inf)
        cost = nbytes.where(seconds <= 1.02 * seconds.min("codec"), np.inf)  # timing has noise
    best = cost.argmin("codec")
    return {
        str(f): str(table["codec"].values[i])
        for f, i in zip(table["field"].values, best.values, strict=True)
    }


def choose(
    ensemble: Ensemble, errors: xr.DataArray, *, n_simulations: int = 2
) -> dict[str, type[Codec]]:
    """The codec of each field with which `errors` take the fewest bytes on disk, by a `race`.

    This is what `codecs.AUTO` stands for.
    """
    table = race(ensemble, targets=(1.0,), errors=errors, n_simulations=n_simulations)
    return {field: codec_class(name) for field, name in recommend(table).items()}


def _measure(place: tuple[int, int], *case) -> tuple[tuple[int, int], dict[str, np.ndarray] | str]:
    """One codec at one target, and its place in the tables; or why the codec refuses."""
    try:
        return place, _measured(*case)
    except ValueError as reason:
        return place, str(reason)


def _measured(
    ensemble: Ensemble,
    truth: np.ndarray,
    errors: xr.DataArray,
    allowed: np.ndarray,
    codec: type[Codec],
) -> dict[str, np.ndarray]:
    """A number per field for each of `_UNITS`.

    `truth` is (n_samples, n_fields, *shape), `errors` and `allowed` (n_samples, n_fields) the same
    L1 errors with labels and without.
    """
    (n_samples, n_fields), valid = truth.shape[:2], ensemble.valid
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        path = Path(folder) / codec.name
        made = search_and_compress(ensemble, errors, path, codec=codec, executor=pool)
        columns = table_of(made)
        stored = np.zeros(n_fields)
        decode, bias, field = np.zeros(n_fields), np.zeros(n_fields), np.empty_like(truth[0, 0])
        for file in made.files:
            with file.open("rb") as opened:
                for chunk in made.chunks(file):
                    opened.seek(chunk.offset)
                    data = opened.read(chunk.nbytes)
                    one, has_checksum = codec_of(chunk.filters)
                    start = time.thread_time()
                    one.decode_many([data[: len(data) - 4 * has_checksum]], [field])
                    decode[chunk.field] += time.thread_time() - start
                    error = np.subtract(field, truth[chunk.sample, chunk.field], dtype=np.float64)
                    inside = True if valid is None else valid[chunk.field]
                    bias[chunk.field] += abs(error.mean(where=inside)) / n_samples
                    stored[chunk.field] += chunk.nbytes
        structure = ((made.file_nbytes or 0) - stored.sum()) / n_fields
    encode = np.zeros(n_fields)
    for (sample, i), tolerance in np.ndenumerate(columns["tolerance"].values):
        one = codec(float(tolerance)) if tolerance else codec.lossless()
        start = time.thread_time()
        one.encode(truth[sample, i])
        encode[i] += time.thread_time() - start
    raw = truth.nbytes / n_fields
    mean = np.where(allowed > 0, allowed, np.nan).mean(axis=0)  # of a field without any: NaN
    return {
        "ratio_file": raw / (stored + structure),
        "ratio_payload": raw / columns["nbytes"].values.sum(axis=0),
        "l1": columns["error"].values.mean(axis=0) / mean,
        "linf": columns["max_error"].values.mean(axis=0) / mean,
        "bias": bias / mean,
        "encode_mb_s": raw / 1e6 / encode,
        "decode_mb_s": raw / 1e6 / decode,
        "n_encodes": columns["n_encodes"].values.mean(axis=0),
    }
