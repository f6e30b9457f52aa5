"""The ladder: which version is recommended, what is trained next, and the answer's sentence."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from surrlab.new_ladder import RAW, Ladder, answer, harmful_from, plan, recommend
from surrlab.new_variability import level, limits, two_way
from surrlab.new_verdict import position, verdict

FACTORS = (0.125, 0.5, 1.0, 4.0)
RATIOS = {0.125: (11.2, 7.3), 0.5: (17.0, 9.6), 1.0: (21.4, 10.9), 4.0: (31.9, 12.4)}
LADDER = Ladder(FACTORS)


def found(state, n=3, hopeless=False):
    return SimpleNamespace(state=state, seeds=list(range(n)), hopeless=hopeless, reason="why")


def verdicts(*states, n=3):
    return {f: found(s, n) for f, s in zip(FACTORS, states, strict=False) if s}


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
        for factor, state in zip(FACTORS[:-1], states, strict=False):
            if state not in ("benign", "small"):
                break
            expected = factor
        assert recommend(LADDER, verdicts(*states)) == expected
    assert recommend(LADDER, {}) is None
    assert recommend(LADDER, verdicts("benign", None, "benign")) == 0.125  # a gap ends it


def test_harm_is_claimed_from_the_control_down():
    assert harmful_from(LADDER, verdicts("benign", "small", "harmful", "harmful")) == 1.0
    assert harmful_from(LADDER, verdicts("benign", "harmful", "undecided", "harmful")) == 4.0
    assert harmful_from(LADDER, verdicts("benign", "harmful", None, "harmful")) == 0.5
    assert harmful_from(LADDER, verdicts("harmful", "harmful", "harmful", "undecided")) is None


def test_plan_by_hand():
    first = (0, 1, 2)
    assert plan(LADDER, {}, {}) == [(RAW, first), (0.125, first), (4.0, first)]
    trained = {RAW: first, 0.125: first, 4.0: first}
    now = verdicts("benign", None, None, "harmful")
    assert plan(LADDER, now, trained) == [(0.5, first)]
    now |= {0.5: found("small")}
    trained |= {0.5: first}
    assert plan(LADDER, now, trained) == [(1.0, first)]
    now |= {1.0: found("undecided")}
    trained |= {1.0: first}
    assert plan(LADDER, now, trained) == [(RAW, (3, 4)), (1.0, (3, 4))]
    for state in ("harmful", "benign"):
        assert plan(LADDER, now | {1.0: found(state, 5)}, trained) == []
    assert plan(LADDER, now | {1.0: found("undecided", 12)}, trained) == []
    assert plan(LADDER, now | {1.0: found("undecided", 3, hopeless=True)}, trained) == []
    patient = Ladder(FACTORS, give_up=False)
    hopeless = now | {1.0: found("undecided", 3, hopeless=True)}
    assert plan(patient, hopeless, trained) == [(RAW, (3, 4)), (1.0, (3, 4))]
    longer = Ladder(FACTORS, seeds=tuple(range(18)), further=(18,))
    full = dict.fromkeys((RAW, *FACTORS), tuple(range(12)))
    last = verdicts("benign", "benign", "undecided", "harmful", n=12)
    assert plan(longer, last, full) == [(RAW, tuple(range(12, 18))), (1.0, tuple(range(12, 18)))]


def test_plan_of_control_and_finest():
    trained = dict.fromkeys((RAW, 0.125, 4.0), (0, 1, 2))
    more = (3, 4)
    unsure = verdicts("undecided", None, None, "undecided")
    assert plan(LADDER, unsure, trained) == [(RAW, more), (0.125, more), (4.0, more)]
    assert plan(LADDER, verdicts("undecided", None, None, "benign"), trained) == []
    assert plan(LADDER, verdicts("harmful", None, None, "undecided"), trained) == []
    beyond = {f: found("undecided", hopeless=True) for f in (0.125, 4.0)}
    assert len(plan(LADDER, beyond, trained)) == 3  # neither is given up
    with pytest.raises(ValueError, match=r"×0\.125 has models of 3 seeds and no verdict on them"):
        plan(LADDER, {}, dict.fromkeys((RAW, 0.125, 4.0), (0, 1, 2)))


def test_every_study_ends_and_trains_each_model_once():
    rng = np.random.default_rng(0)
    ladder = Ladder()
    for _ in range(200):
        of = {
            f: rng.choice(["benign", "small", "harmful", "undecided"], p=rng.dirichlet([1] * 4))
            for f in ladder.factors
        }
        decided_at = {f: rng.choice(ladder.looks) for f in ladder.factors}
        trained, known, rounds = {}, {}, 0
        while todo := plan(ladder, known, trained):
            rounds += 1
            for factor, seeds in todo:
                assert not set(seeds) & set(trained.get(factor, ()))
                trained[factor] = (*trained.get(factor, ()), *seeds)
            for factor in set(trained) - {RAW}:
                n = min(len(trained[factor]), len(trained[RAW]))
                known[factor] = found(of[factor] if n >= decided_at[factor] else "undecided", n)
            assert rounds < 30
        assert len(trained[RAW]) == max(len(s) for f, s in trained.items() if f)
        assert recommend(ladder, known) in (None, *ladder.factors[:-1])


def test_a_ladder_that_makes_no_sense_is_refused():
    for factors in ((), (1.0,), (2.0, 1.0), (0.0, 1.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="two or more ascending positive factors"):
            Ladder(factors)
    with pytest.raises(ValueError, match="looks are ascending"):
        Ladder(looks=(5, 3))
    with pytest.raises(ValueError, match="looks are ascending"):
        Ladder(further=(12,))
    for seeds in ((0, 1, 2), (0,) * 12):
        with pytest.raises(ValueError, match="needs 12 different seeds"):
            Ladder(seeds=seeds)


def test_the_answer_is_one_sentence_and_one_number():
    known = dict(zip(FACTORS, map(judged, (0, 0.1, 0.5, 4)), strict=True))
    assert [v.state for v in known.values()] == ["benign", "small", "small", "harmful"]
    result = json.loads(json.dumps(answer(LADDER, known, RATIOS), allow_nan=False))
    assert result["state"] == "recommended"
    assert result["tolerance_factor"] == 1.0
    assert (result["ratio_payload"], result["ratio_file"]) == (21.4, 10.9)
    bound, dB = (known[1.0].table["bound"][name] for name in ("l1", "psnr_density"))
    assert result["bounds"]["l1"] == {"bound": bound, "unit": "%"}
    assert result["bounds"]["psnr_density"] == {"bound": dB, "unit": "dB"}
    costs = known[1.0].costs()
    assert result["sentence"] == (
        "Store the training data at 1/21 (1/10 on disk): the model gets at most "
        f"{costs[0].size} worse in L1 and {costs[1].size} in any field (95 %). "
        "At 1/31 it clearly gets worse."
    )
    assert [row["noticed"] for row in result["rows"]] == ["no", "a little", "a little", "yes"]
    assert [row["stored_at"] for row in result["rows"]] == ["1/11", "1/17", "1/21", "1/31"]
    assert [row["on_disk"] for row in result["rows"]] == ["1/7.3", "1/9.6", "1/10", "1/12"]
    assert result["rows"][3]["because"] == known[4.0].reason


def test_an_undecided_version_above_says_how_to_go_on():
    known = {0.125: judged(0), 0.5: judged(0.98, s=None, k=3), 4.0: judged(4)}
    assert known[0.5].state == "undecided"
    result = answer(LADDER, known, RATIOS, go_on="surrlab study quick --seeds-max 18, 20 minutes")
    assert result["tolerance_factor"] == 0.125
    assert result["sentence"].endswith(
        "At 1/31 it clearly gets worse; at 1/17 it is undecided; "
        "to go on: surrlab study quick --seeds-max 18, 20 minutes."
    )
    skipped = result["rows"][2]
    assert (skipped["noticed"], skipped["state"], skipped["because"]) == (*["not trained"] * 2, "")


def test_not_at_all_yardstick_and_undecided():
    harm, fine, open_ = judged(4), judged(0), judged(0.98, s=None, k=3)
    none = answer(LADDER, {0.125: harm, 4.0: harm}, RATIOS)
    assert none["state"] == "not at all"
    assert none["sentence"].startswith("Not at all with this codec: already at 1/11 the model gets")
    assert "L1 rises by 20 %" in none["sentence"]
    blunt = answer(LADDER, dict.fromkeys(FACTORS, fine), RATIOS)
    assert blunt["state"] == "yardstick"
    assert "The yardstick is too coarse: even at 1/31" in blunt["sentence"]
    for known, start in (
        ({}, "Undecided at 1/11: no models yet"),
        ({0.125: open_, 4.0: harm}, "Undecided at 1/11: 3 common seeds cannot tell"),
        ({0.125: fine, 4.0: open_}, "Undecided at the control 1/31: 3 common seeds cannot"),
    ):
        result = answer(LADDER, known, RATIOS, go_on="more")
        assert result["state"] == "undecided"
        assert result["sentence"].startswith(start)
        assert result["sentence"].endswith("; to go on: more.")
    for result in (none, blunt):
        assert result["tolerance_factor"] is result["ratio_file"] is result["ratio_payload"] is None
        assert result["bounds"] == {}
        json.dumps(result, allow_nan=False)


def test_without_simulations_the_sentence_is_about_these():
    known = {0.125: judged(0, s=None, psnr=False), 4.0: judged(4, s=None, psnr=False)}
    result = answer(LADDER, known, RATIOS)
    assert "worse in L1 (95 %, for these test simulations)." in result["sentence"]


def test_family_wise_error_under_the_rule_itself():
    """All versions but the control exactly at the margin of one score: few are recommended."""
    rng = np.random.default_rng(0)
    repeats, ladder, wrong = 1000, Ladder((1.0, 2.0, 4.0)), 0
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
            for factor, seeds in todo:
                trained[factor] = (*trained.get(factor, ()), *seeds)
            for i, factor in enumerate(ladder.factors):
                if n := len(trained.get(factor, ())):
                    state, beyond = (array[study, i] for array in of[n])
                    known[factor] = found(state, n, beyond)
        assert known[4.0].state == "harmful"
        wrong += recommend(ladder, known) is not None
    assert wrong / repeats < 0.05
