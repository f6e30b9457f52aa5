"""The ladder: which version is recommended, what is trained next, and the answer's sentence."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from surrlab.evaluation.ladder import RAW, Ladder, answer, harmful_from, plan, recommend
from surrlab.evaluation.variability import level, limits, two_way
from surrlab.evaluation.verdict import position, verdict

NAMES = ("×1/8", "×1/2", "×1", "×4")
RATIOS = {"×1/8": (11.2, 7.3), "×1/2": (17.0, 9.6), "×1": (21.4, 10.9), "×4": (31.9, 12.4)}
LADDER = Ladder(NAMES)


def found(state, n=3, hopeless=False):
    return SimpleNamespace(state=state, seeds=list(range(n)), hopeless=hopeless, reason="why")


def verdicts(*states, n=3):
    return {f: found(s, n) for f, s in zip(NAMES, states, strict=False) if s}


def judged(loss, k=8, s=40, psnr=True):
    """A true verdict on models that lose so many margins in L1, and half of it in PSNR."""
    rng = np.random.default_rng(int(100 * loss) + k)
    index = pd.Index(range(k), name="seed")
    if s:
        index = pd.MultiIndex.from_product([range(k), range(s)], names=["seed", "simulation"])
    n = len(index)
    raw = pd.DataFrame({"l1": 0.16 + 0.002 * rng.normal(size=n)}, index=index)
    lossy = raw * (1 + 0.05 * loss + 0.01 * rng.normal(size=(n, 1)))
    if psnr:
        for name in ("psnr_density", "psnr_pressure"):
            raw[name] = 35 + 0.1 * rng.normal(size=n)
            lossy[name] = raw[name] - 0.25 * loss + 0.05 * rng.normal(size=n)
    return verdict(raw, lossy)


def test_the_recommendation_is_the_coarsest_below_which_all_pass():
    for states in itertools.product(("benign", "small", "harmful", "undecided"), repeat=4):
        expected = None
        for name, state in zip(NAMES[:-1], states, strict=False):
            if state not in ("benign", "small"):
                break
            expected = name
        assert recommend(LADDER, verdicts(*states)) == expected
    assert recommend(LADDER, {}) is None
    assert recommend(LADDER, verdicts("benign", None, "benign")) == "×1/8"  # a gap ends it


def test_harm_is_claimed_from_the_control_down():
    assert harmful_from(LADDER, verdicts("benign", "small", "harmful", "harmful")) == "×1"
    assert harmful_from(LADDER, verdicts("benign", "harmful", "undecided", "harmful")) == "×4"
    assert harmful_from(LADDER, verdicts("benign", "harmful", None, "harmful")) == "×1/2"
    assert harmful_from(LADDER, verdicts("harmful", "harmful", "harmful", "undecided")) is None


def test_plan_by_hand():
    first = (0, 1, 2)
    assert plan(LADDER, {}, {}) == [(RAW, first), ("×1/8", first), ("×4", first)]
    trained = {RAW: first, "×1/8": first, "×4": first}
    now = verdicts("benign", None, None, "harmful")
    assert plan(LADDER, now, trained) == [("×1/2", first)]
    now |= {"×1/2": found("small")}
    trained |= {"×1/2": first}
    assert plan(LADDER, now, trained) == [("×1", first)]
    now |= {"×1": found("undecided")}
    trained |= {"×1": first}
    assert plan(LADDER, now, trained) == [(RAW, (3, 4)), ("×1", (3, 4))]
    for state in ("harmful", "benign"):
        assert plan(LADDER, now | {"×1": found(state, 5)}, trained) == []
    assert plan(LADDER, now | {"×1": found("undecided", 12)}, trained) == []
    assert plan(LADDER, now | {"×1": found("undecided", 3, hopeless=True)}, trained) == []
    patient = Ladder(NAMES, give_up=False)
    hopeless = now | {"×1": found("undecided", 3, hopeless=True)}
    assert plan(patient, hopeless, trained) == [(RAW, (3, 4)), ("×1", (3, 4))]
    longer = Ladder(NAMES, seeds=tuple(range(18)), further=(18,))
    full = dict.fromkeys((RAW, *NAMES), tuple(range(12)))
    last = verdicts("benign", "benign", "undecided", "harmful", n=12)
    assert plan(longer, last, full) == [(RAW, tuple(range(12, 18))), ("×1", tuple(range(12, 18)))]


def test_plan_of_control_and_finest():
    trained = dict.fromkeys((RAW, "×1/8", "×4"), (0, 1, 2))
    more = (3, 4)
    unsure = verdicts("undecided", None, None, "undecided")
    assert plan(LADDER, unsure, trained) == [(RAW, more), ("×1/8", more), ("×4", more)]
    assert plan(LADDER, verdicts("undecided", None, None, "benign"), trained) == []
    assert plan(LADDER, verdicts("harmful", None, None, "undecided"), trained) == []
    beyond = {f: found("undecided", hopeless=True) for f in ("×1/8", "×4")}
    assert len(plan(LADDER, beyond, trained)) == 3  # neither is given up
    with pytest.raises(ValueError, match="×1/8 has models of 3 seeds and no verdict on them"):
        plan(LADDER, {}, dict.fromkeys((RAW, "×1/8", "×4"), (0, 1, 2)))


def test_every_study_ends_and_trains_each_model_once():
    rng = np.random.default_rng(0)
    ladder = Ladder(("×1/8", "×1/4", *NAMES[1:]))
    for _ in range(200):
        of = {
            f: rng.choice(["benign", "small", "harmful", "undecided"], p=rng.dirichlet([1] * 4))
            for f in ladder.versions
        }
        decided_at = {f: rng.choice(ladder.looks) for f in ladder.versions}
        trained, known, rounds = {}, {}, 0
        while todo := plan(ladder, known, trained):
            rounds += 1
            for name, seeds in todo:
                assert not set(seeds) & set(trained.get(name, ()))
                trained[name] = (*trained.get(name, ()), *seeds)
            for name in set(trained) - {RAW}:
                n = min(len(trained[name]), len(trained[RAW]))
                known[name] = found(of[name] if n >= decided_at[name] else "undecided", n)
            assert rounds < 30
        assert len(trained[RAW]) == max(len(s) for f, s in trained.items() if f != RAW)
        assert recommend(ladder, known) in (None, *ladder.versions[:-1])


def test_a_ladder_that_makes_no_sense_is_refused():
    for names in ((), ("×1",), ("×1", "×1"), (RAW, "×1")):
        with pytest.raises(ValueError, match="two or more different lossy versions"):
            Ladder(names)
    with pytest.raises(ValueError, match="looks are ascending"):
        Ladder(NAMES, looks=(5, 3))
    with pytest.raises(ValueError, match="looks are ascending"):
        Ladder(NAMES, further=(12,))
    for seeds in ((0, 1, 2), (0,) * 12):
        with pytest.raises(ValueError, match="needs 12 different seeds"):
            Ladder(NAMES, seeds=seeds)


def test_the_answer_is_one_sentence_and_one_number():
    known = dict(zip(NAMES, map(judged, (0, 0.1, 0.5, 4)), strict=True))
    assert [v.state for v in known.values()] == ["benign", "small", "small", "harmful"]
    result = json.loads(json.dumps(answer(LADDER, known, RATIOS), allow_nan=False))
    assert result["state"] == "recommended"
    assert result["version"] == "×1"
    assert (result["ratio_payload"], result["ratio_file"]) == (21.4, 10.9)
    bound, dB = (known["×1"].table["bound"][name] for name in ("l1", "psnr_density"))
    assert result["bounds"]["l1"] == {"bound": bound, "unit": "%"}
    assert result["bounds"]["psnr_density"] == {"bound": dB, "unit": "dB"}
    costs = known["×1"].costs()
    assert result["sentence"] == (
        "Store the training data at 1/21 (1/10 on disk): the model gets at most "
        f"{costs[0].size} worse in L1 and {costs[1].size} in any field (95 %). "
        "At 1/31 it clearly gets worse."
    )
    assert [row["noticed"] for row in result["rows"]] == ["no", "a little", "a little", "yes"]
    assert [row["stored_at"] for row in result["rows"]] == ["1/11", "1/17", "1/21", "1/31"]
    assert [row["on_disk"] for row in result["rows"]] == ["1/7.3", "1/9.6", "1/10", "1/12"]
    assert result["rows"][3]["because"] == known["×4"].reason


def test_an_undecided_version_above_says_how_to_go_on():
    known = {"×1/8": judged(0), "×1/2": judged(0.8, s=None, k=3), "×4": judged(4)}
    assert known["×1/2"].state == "undecided"
    result = answer(LADDER, known, RATIOS, go_on="surrlab study quick --seeds-max 18, 20 minutes")
    assert result["version"] == "×1/8"
    assert result["sentence"].endswith(
        "At 1/31 it clearly gets worse; at 1/17 it is undecided; "
        "to go on: surrlab study quick --seeds-max 18, 20 minutes."
    )
    skipped = result["rows"][2]
    assert (skipped["noticed"], skipped["state"], skipped["because"]) == (*["not trained"] * 2, "")


def test_a_version_that_is_given_up_is_said_to_probably_fail_and_nothing_goes_on():
    known = {"×1/8": judged(0), "×1/2": judged(1.05, s=None, k=3), "×4": judged(4)}
    assert known["×1/2"].state == "undecided" and known["×1/2"].hopeless
    assert LADDER.given_up("×1/2", known) and not LADDER.given_up("×4", known)
    result = answer(LADDER, known, RATIOS, go_on="more")
    assert result["state"] == "recommended" and result["version"] == "×1/8"
    assert result["sentence"].endswith("At 1/31 it clearly gets worse; at 1/17 it probably does.")
    row = result["rows"][1]
    assert (row["noticed"], row["state"]) == ("probably", "undecided")
    assert row["because"].endswith("; given up: a shift is beyond its margin")
    assert "next look" not in row["because"]


def test_not_at_all_yardstick_and_undecided():
    harm, fine, open_ = judged(4), judged(0), judged(0.98, s=None, k=3)
    none = answer(LADDER, {"×1/8": harm, "×4": harm}, RATIOS)
    assert none["state"] == "not at all"
    assert none["sentence"].startswith("Not at all with this codec: already at 1/11 the model gets")
    assert "L1 rises by 20 %" in none["sentence"]
    blunt = answer(LADDER, dict.fromkeys(NAMES, fine), RATIOS)
    assert blunt["state"] == "yardstick"
    assert "The yardstick is too coarse: even at 1/31" in blunt["sentence"]
    for known, start in (
        ({}, "Undecided at 1/11: no models yet"),
        ({"×1/8": open_, "×4": harm}, "Undecided at 1/11: 3 common seeds cannot tell"),
        ({"×1/8": fine, "×4": open_}, "Undecided at the control 1/31: 3 common seeds cannot"),
    ):
        result = answer(LADDER, known, RATIOS, go_on="more")
        assert result["state"] == "undecided"
        assert result["sentence"].startswith(start)
        assert result["sentence"].endswith("; to go on: more.")
    for result in (none, blunt):
        assert result["version"] is result["ratio_file"] is result["ratio_payload"] is None
        assert result["bounds"] == {}
        json.dumps(result, allow_nan=False)


def test_without_simulations_the_sentence_is_about_these():
    known = {"×1/8": judged(0, s=None, psnr=False), "×4": judged(4, s=None, psnr=False)}
    result = answer(LADDER, known, RATIOS)
    assert "worse in L1 (95 %, for these test simulations)." in result["sentence"]


def test_family_wise_error_under_the_rule_itself():
    """All versions but the control exactly at the margin of one score: few are recommended."""
    rng = np.random.default_rng(0)
    repeats, ladder, wrong = 1000, Ladder(("×1", "×2", "×4")), 0
    cost = np.array([1.0, 1.0, 20.0])[:, None, None]
    raw = rng.normal(size=(repeats, 1, 12, 1))
    change = cost + 0.2 * (rng.normal(size=(repeats, 3, 12, 1)) - raw)
    of = {}
    for n in ladder.looks:
        part = change[:, :, :n]
        levels = level(n), level(n, late=True)
        low, _, bound = limits(part.mean((-2, -1)), *two_way(part), *levels, np.ones(1))
        of[n] = position(low, bound, 1.0), part.mean((-2, -1)) >= 1
    for study in range(repeats):
        known, trained = {}, {}
        while todo := plan(ladder, known, trained):
            for name, seeds in todo:
                trained[name] = (*trained.get(name, ()), *seeds)
            for i, name in enumerate(ladder.versions):
                if n := len(trained.get(name, ())):
                    state, beyond = (array[study, i] for array in of[n])
                    known[name] = found(state, n, beyond)
        assert known["×4"].state == "harmful"
        wrong += recommend(ladder, known) is not None
    assert wrong / repeats < 0.05
