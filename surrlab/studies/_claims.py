"""The paper's claims, figure by figure, beside what a study found: computed from saved tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from surrlab._text import number, times
from surrlab.studies.results import Study, read_table

AGREES, DISAGREES, OPEN = "yes", "no", "–"


class Found(NamedTuple):
    """What a study says to a claim."""

    here: str
    agrees: str


class Claim(NamedTuple):
    """One claim of the paper.

    Parameters
    ----------
    figure : str
        Where the paper makes it.
    paper : str
        In short.
    find : callable
        What the study says to it; KeyError or FileNotFoundError where it says nothing.
    """

    figure: str
    paper: str
    find: Callable[[Study], Found]


def _table(study: Study, name: str) -> xr.Dataset:
    return read_table(study.path / f"{name}.nc")


def _agrees(holds: bool) -> str:
    return AGREES if holds else DISAGREES


def _size(study: Study) -> Found:
    found, grid = study.results.summary["ensemble"], study.ensemble.grid
    shape = " × ".join(map(str, (*grid.shape, len(study.ensemble.fields))))
    return Found(
        f"{found['raw_nbytes'] / 1e6:,.0f} MB, {shape}, {found['samples']:,} samples", OPEN
    )


def _network(study: Study) -> Found:
    table = _table(study, "network")
    return Found(f"{table.sizes['layer']} layers that learn ({table.attrs['network']})", OPEN)


def _workflow(study: Study) -> Found:
    table = _table(study, "pipeline")
    raw, small = table["MB"].values
    return Found(f"{number(small)} MB in place of {number(raw)}, decoded while training", OPEN)


def _at_algorithm_1(study: Study) -> tuple[xr.Dataset, xr.Dataset]:
    """Verdicts at Algorithm 1's own tolerances, and on the control."""
    table = _table(study, "verdicts")
    own = np.flatnonzero((table["factor"].values == 1) & (table["rule"].values != "fixed"))
    if not own.size:
        raise KeyError("Algorithm 1's own version was not trained")
    return table.isel(version=own[0]), table.isel(version=-1)


def _band(study: Study) -> Found:
    own, control = _at_algorithm_1(study)
    share, chance = float(own["inside"]), float(own["inside_by_chance"])
    if np.isnan(share):
        raise KeyError("no momentum")
    said = (
        f"{times(float(own['ratio']))}: {share:.0%} of the points inside, another raw model "
        f"{chance:.0%}; the control {float(control['inside']):.0%}"
    )
    return Found(said, _agrees("outside more often" not in str(own["criterion"].item())))


def _two_thresholds(study: Study) -> Found:
    table = _table(study, "thresholds")
    kept = [
        table["ratio"].where(table["error"] <= table[name]).max("setting").fillna(1)
        for name in ("roundoff", "model_error")
    ]
    first, second = (float(1 / (1 / ratio).mean()) for ratio in kept)
    return Found(
        f"one sample: {times(first)} at threshold 1, {times(second)} at threshold 2",
        _agrees(second > first),
    )


def _generation(study: Study) -> Found:
    found = study.results.summary["generation_loss"]
    cost = found["scores"]["l1"]
    said = f"L1 rises by {number(cost['shift'], 2)} {cost['unit']}, at most {number(cost['bound'])}"
    return Found(f"{said} (95 %)", _agrees(found["state"] in ("benign", "small")))


def _ratio(study: Study) -> Found:
    found = study.results.summary["tolerance_search"]
    said = f"{times(found['payload'])} (streams), {times(found['file'])} on disk"
    return Found(f"{said}, {found['encodes_per_field']:.1f} encodes per field", OPEN)


def _scores(prefixes: tuple[str, ...]) -> Callable[[Study], Found]:
    """Scores at Algorithm 1's tolerances stay within their margins, and the control's do not."""

    def find(study: Study) -> Found:
        own, control = _at_algorithm_1(study)
        names = [str(name) for name in own["score"].values if str(name).startswith(prefixes)]
        judged = [n for n in names if own["state"].sel(score=n).item() != "not judged"]
        if not judged:
            raise KeyError(f"no score {prefixes}")
        fine, coarse = (one["state"].sel(score=judged).values.tolist() for one in (own, control))
        kept = sum(state in ("benign", "small") for state in fine)
        lost = sum(state == "harmful" for state in coarse)
        said = (
            f"{times(float(own['ratio']))}: {kept} of {len(judged)} scores within their margins; "
            f"{times(float(control['ratio']))}: {lost} beyond them for certain"
        )
        return Found(said, _agrees(kept == len(judged) and lost > 0))

    return find


def _by_eye(study: Study) -> Found:
    table = _table(study, "pictures")
    return Found(f"{table.attrs['title']}, {table.sizes['field']} fields: see the figure", OPEN)


def _throughput(study: Study) -> Found:
    rate = _table(study, "loading_rates")
    median = rate["rate"].median("round")
    gain = (median / median.isel(version=0)).isel(version=slice(1, None)).max("version")
    file_systems = gain.isel(storage=np.isfinite(rate["bandwidth"].values))
    gains = [float(value) for value in file_systems.values]
    said = ", ".join(f"{value:.2f}×" for value in gains)
    same = len(gains) == 3 and gains[0] > 1 and gains[1] > 1 and gains[2] <= 1
    return Found(f"{said} on imitated file systems of that speed", _agrees(same))


def _epoch(study: Study) -> Found:
    epochs = _table(study, "epoch_times").isel(processes=-1)
    both = epochs["both"].median("round")
    best = float(both.isel(version=slice(1, None)).min() / both.isel(version=0))
    n = int(epochs["processes"])
    said = f"{best:.2f} of raw's time with {n} processes ({epochs.attrs['storage']})"
    return Found(said, _agrees(best < 1))


QUANTITIES = ("mass", "momentum", "integral_")

CLAIMS = (
    Claim("Table I", "RT 450 GB, 768 × 256 × 6, 102,000 samples; PCHIP 893 GB", _size),
    Claim("Fig. 1", "a nine-layer convolutional network (DCGAN)", _network),
    Claim("Fig. 2", "raw data, or compressed data decoded while training", _workflow),
    Claim("Fig. 3", "momentum of lossy models lies inside the raw models' ±2σ band", _band),
    Claim("Fig. 4", "a model bears more than the data's own round-off", _two_thresholds),
    Claim("Fig. 5", "a model trained on a model's output is as good", _generation),
    Claim("Algorithm 1", "23.7× (RT) and 39× (PCHIP), one or two iterations", _ratio),
    Claim("Fig. 6", "mass and momenta agree up to 23.7×, not at 32×", _scores(QUANTITIES)),
    Claim("Fig. 7", "PSNR does not shift up to 23.7× (RT), it does at 32×", _scores(("psnr",))),
    Claim(
        "Fig. 8",
        "correlation of mixing-layer thickness holds up to 23.7×, not at 32×",
        _scores(("thickness",)),
    ),
    Claim("Fig. 9", "PSNR does not shift up to 39× (PCHIP)", _scores(("psnr",))),
    Claim("Fig. 10", "no visible difference up to 23.7×, lost features at 32×", _by_eye),
    Claim("Fig. 11", "loading gains up to 2.96× and 1.89×, nothing at 747 MB/s", _throughput),
    Claim("Fig. 12", "an epoch is shorter from compressed data: a third at 20× (72 GPUs)", _epoch),
)
"""In the paper's order."""

_BENCHMARKS = {"Fig. 7": "rayleigh-taylor", "Fig. 8": "rayleigh-taylor", "Fig. 9": "pchip-impact"}


def claims(study: Study) -> pd.DataFrame:
    """Return the paper's claims beside what a finished study found.

    Returns
    -------
    DataFrame
        ``claim``, ``paper``, ``here`` and ``agrees``: ``"yes"``, ``"no"``, or ``"–"`` where the two
        cannot be compared or the study has nothing to compare.
    """
    rows = []
    for claim in CLAIMS:
        if _BENCHMARKS.get(claim.figure, study.ensemble.benchmark) != study.ensemble.benchmark:
            found = Found("another benchmark", OPEN)
        else:
            try:
                found = claim.find(study)
            except (KeyError, FileNotFoundError):
                found = Found("nothing to compare", OPEN)
        rows.append((claim.figure, claim.paper, found.here, found.agrees))
    return pd.DataFrame(rows, columns=["claim", "paper", "here", "agrees"])


def beside(table: pd.DataFrame, *figures: str) -> str:
    """Return a line per figure: what the paper says, and what was found here."""
    some = table[table["claim"].isin(figures)]
    lines = [f"{f}. The paper: {p}. Here: {h}." for f, p, h, _ in some.itertuples(index=False)]
    return "\n".join(lines)
