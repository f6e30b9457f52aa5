"""The ladder: versions of growing tolerance, tested in a fixed order, and the answer of a study.

Versions are tested from the finest up, each one only if all finer ones passed, so that the chance
of recommending any harmful version is that of a single test (fixed-sequence testing: Maurer,
Hothorn and Lehmacher 1995). Harm is claimed in the opposite order, from the control down. Nothing
here trains: `plan` says which models are needed next, `answer` what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surrlab.evaluation.variability import LOOKS, checked_looks
from surrlab.evaluation.verdict import Verdict, listed

RAW = "raw"
"""Name that stands for raw data."""

PASSED = ("benign", "small")


@dataclass(frozen=True)
class Ladder:
    """Which versions a study may train, and how often.

    Attributes
    ----------
    versions : tuple of str
        Names of the versions, from fine to coarse; the last is the control, which must come out
        harmful.
    looks : tuple of int
        Numbers of common seeds at which a version is looked at.
    seeds : tuple of int
        Seeds in the order in which they are trained, one for each of the most models.
    further : tuple of int
        Stages past the planned looks, for who goes on. Verdicts keep the planned `looks`, whose
        `level` has something left for them.
    give_up : bool
        Whether to give up a version that is `Verdict.hopeless`.

    Raises
    ------
    ValueError
        If there are fewer than two versions, one occurs twice, looks do not ascend, or seeds are
        too few or occur twice.
    """

    versions: tuple[str, ...]
    looks: tuple[int, ...] = LOOKS
    seeds: tuple[int, ...] = tuple(range(LOOKS[-1]))
    further: tuple[int, ...] = ()
    give_up: bool = True

    def __post_init__(self):
        stages = checked_looks(self.stages)
        names = (RAW, *self.versions)
        if len(self.versions) < 2 or len(set(names)) < len(names):
            raise ValueError(
                f"a ladder has two or more different lossy versions, not {self.versions}"
            )
        if len(set(self.seeds)) < len(self.seeds) or len(self.seeds) < stages[-1]:
            raise ValueError(f"a ladder needs {stages[-1]} different seeds, not {self.seeds}")

    @property
    def stages(self) -> tuple[int, ...]:
        """All numbers of common seeds at which there may be a look."""
        return (*self.looks, *self.further)

    @property
    def control(self) -> str:
        """The coarsest version, which must come out harmful."""
        return self.versions[-1]

    def finished(self, version: str, verdicts: Mapping[str, Verdict]) -> bool:
        """Whether a version needs no more models: decided, at its last look, or hopeless.

        Giving up where a shift is beyond its margin saves models and can only lower the chance of
        a wrong recommendation. Finest version and control are not given up: there the answer hangs
        on whether harm is shown.
        """
        if version not in verdicts:
            return False
        found = verdicts[version]
        decided = found.state != "undecided" or len(found.seeds) >= self.stages[-1]
        return decided or self.given_up(version, verdicts)

    def given_up(self, version: str, verdicts: Mapping[str, Verdict]) -> bool:
        """Whether a version is undecided and no longer trained: its shift is beyond its margin."""
        if version not in self.versions[1:-1] or version not in verdicts:
            return False
        found = verdicts[version]
        return self.give_up and found.state == "undecided" and found.hopeless


def recommend(ladder: Ladder, verdicts: Mapping[str, Verdict]) -> str | None:
    """The coarsest version that passes, as do all finer ones; None where the finest does not.

    The control itself is never recommended. No order among the true costs is assumed.
    """
    best = None
    for version in ladder.versions[:-1]:
        if version not in verdicts or verdicts[version].state not in PASSED:
            break
        best = version
    return best


def harmful_from(ladder: Ladder, verdicts: Mapping[str, Verdict]) -> str | None:
    """The finest version that is harmful, as is every coarser one that was tested."""
    worst = None
    for version in reversed(ladder.versions):
        if version in verdicts:
            if verdicts[version].state != "harmful":
                break
            worst = version
    return worst


def plan(
    ladder: Ladder, verdicts: Mapping[str, Verdict], trained: Mapping[str, Sequence[int]]
) -> list[tuple[str, tuple[int, ...]]]:
    """Models to train next, as (version, seeds), raw ones first; none once `answer` can be given.

    The rule: the control, and the finest unfinished version below the first that does not pass,
    each go on to their next look. A passing control ends the study, and so does a finest version
    that is finished and does not pass.

    Parameters
    ----------
    ladder : Ladder
        The versions and looks.
    verdicts : mapping
        The verdict on each version that has one.
    trained : mapping
        Seeds of the models that exist of each version, `RAW` included.

    Raises
    ------
    ValueError
        If a version has the models of its next look but no verdict on them.
    """
    control, finest = verdicts.get(ladder.control), verdicts.get(ladder.versions[0])
    if control is not None and control.state in PASSED:
        return []
    done = ladder.finished(ladder.versions[0], verdicts)
    if done and finest is not None and finest.state not in PASSED:
        return []
    next_up = None
    for version in ladder.versions[:-1]:
        found = verdicts.get(version)
        if not ladder.finished(version, verdicts):
            next_up = version
        if found is None or found.state not in PASSED:
            break
    needed: dict[str, tuple[int, ...]] = {}
    for version in filter(None, (next_up, ladder.control)):
        if ladder.finished(version, verdicts):
            continue
        seen = len(verdicts[version].seeds) if version in verdicts else 0
        seeds = ladder.seeds[: next(look for look in ladder.stages if look > seen)]
        needed[RAW] = max(needed.get(RAW, ()), seeds, key=len)
        needed[version] = seeds
        if all(set(seeds) <= set(trained.get(f, ())) for f in (RAW, version)):
            raise ValueError(
                f"{version} has models of {len(seeds)} seeds and no verdict on them: judge first"
            )
    missing = {
        version: tuple(seed for seed in seeds if seed not in trained.get(version, ()))
        for version, seeds in needed.items()
    }
    return [(version, seeds) for version, seeds in missing.items() if seeds]


def answer(
    ladder: Ladder,
    verdicts: Mapping[str, Verdict],
    ratios: Mapping[str, tuple[float, float]],
    go_on: str = "",
) -> dict:
    """The answer of a study: one sentence, one number, and a table of four columns.

    Parameters
    ----------
    ladder : Ladder
        The versions and looks.
    verdicts : mapping
        The verdict on each version that has one.
    ratios : mapping
        Payload and file ratio of each version that was compressed.
    go_on : str
        How to go on where something is undecided, such as a command and its minutes.

    Returns
    -------
    dict
        Ready for JSON. ``state``: ``"recommended"``, ``"not at all"``, ``"yardstick"`` (the control
        does not fail) or ``"undecided"``; ``sentence``; of the recommended version
        ``version``, ``ratio_payload``, ``ratio_file`` and ``bounds`` (a number and a unit
        per score), None or empty where there is none; ``rows``, a dict per version with
        ``version``, ``stored_at``, ``on_disk``, ``noticed`` and ``because``.
    """
    open_ = False  # whether more models could say more
    best, worst = recommend(ladder, verdicts), harmful_from(ladder, verdicts)
    control, finest = verdicts.get(ladder.control), verdicts.get(ladder.versions[0])

    def at(version):
        return f"1/{_ratio(ratios[version][0])}" if version in ratios else f"{version}"

    if control is not None and control.state in PASSED:
        state, best = "yardstick", None
        sentence = (
            f"The yardstick is too coarse: even at {at(ladder.control)} these scores and margins "
            f"find no harm ({control.reason}), so that they cannot tell a good version from a bad"
        )
    elif finest is not None and finest.state == "harmful":
        state = "not at all"
        sentence = (
            f"Not at all with this codec: already at {at(ladder.versions[0])} the model gets "
            f"clearly worse ({finest.reason})"
        )
    elif best is None or control is None or control.state != "harmful":
        state, open_ = "undecided", True
        at_, what = (ladder.versions[0], "") if best is None else (ladder.control, "the control ")
        why = verdicts[at_].reason if at_ in verdicts else "no models yet"
        sentence, best = f"Undecided at {what}{at(at_)}: {why}", None
    else:
        state = "recommended"
        above = ladder.versions[ladder.versions.index(best) + 1]
        given_up = ladder.given_up(above, verdicts)
        undecided = verdicts.get(above) is None or verdicts[above].state == "undecided"
        open_ = undecided and not given_up
        sentence = _recommendation(verdicts[best], *ratios[best])
        sentence += f". At {at(worst)} it clearly gets worse"
        sentence += f"; at {at(above)} it probably does" * given_up
        sentence += f"; at {at(above)} it is undecided" * open_
    sentence += f"; to go on: {go_on}." if open_ and go_on else "."
    bounds, payload, file = {}, None, None
    if best is not None:
        payload, file = map(float, ratios[best])
        judged = verdicts[best].table.dropna(subset="margin")
        bounds = judged[["bound", "unit"]].to_dict("index")
    return {
        "state": state,
        "sentence": sentence,
        "version": best,
        "ratio_payload": payload,
        "ratio_file": file,
        "bounds": bounds,
        "rows": [
            _row(v, verdicts.get(v), ratios.get(v), ladder.given_up(v, verdicts))
            for v in ladder.versions
        ],
    }


def _recommendation(found, payload, file) -> str:
    costs = [
        f"{cost.size} {'worse ' if i == 0 else ''}in {cost.place}"
        for i, cost in enumerate(found.costs())
    ]
    where = "" if found.n_simulations else ", for these test simulations"
    return (
        f"Store the training data at 1/{_ratio(payload)} (1/{_ratio(file)} on disk): the model "
        f"gets at most {listed(costs)} ({found.sure()}{where})"
    )


NOTICED = {"benign": "no", "small": "a little", "harmful": "yes", "undecided": "undecided"}


PROBABLY = "probably"
"""Whether a version that is given up is noticed."""


def noticed_because(found: Verdict, given_up: bool) -> tuple[str, str]:
    """Whether the model notices a version, and why: as the answer's table says it."""
    if not given_up:
        return NOTICED[found.state], found.reason
    said = found.reason.partition("; next look")[0]
    return PROBABLY, f"{said}; given up: a shift is beyond its margin"


def _row(version, found, ratio, given_up) -> dict:
    """A row of the four-column table."""
    noticed, because = noticed_because(found, given_up) if found else ("not trained", "")
    stored_at, on_disk = (f"1/{_ratio(r)}" for r in ratio) if ratio else ("", "")
    return {
        "version": version,
        "stored_at": stored_at,
        "on_disk": on_disk,
        "noticed": noticed,
        "because": because,
        "state": found.state if found else "not trained",
    }


def _ratio(ratio) -> str:
    """A ratio that is not promised larger than it is: rounded down."""
    return f"{int(ratio)}" if ratio >= 10 else f"{int(10 * ratio) / 10:g}"
