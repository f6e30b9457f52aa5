"""The verdict: hand numbers, independent references, invariances, and what is refused."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from surrlab import cli
from surrlab._commands import read_scores
from surrlab.evaluation.margins import DEFAULT_MARGINS, Margin, short
from surrlab.evaluation.variability import LOOKS, band, band_share, level, limits, per_cent, two_way
from surrlab.evaluation.verdict import overall, position, verdict

SCORES = {
    "l1": (0.16, 0.002, -1),
    "psnr_density": (31.0, 0.1, 1),
    "psnr_pressure": (39.0, 0.1, 1),
    "mass": (0.014, 0.001, -1),
    "thickness_correlation": (0.99, 0.001, 1),
}
RANGES = {"mass": 0.8}


def tables(k=5, s=None, seed=0, **worse):
    """Raw and lossy scores; `worse` adds a loss to a score, in its own unit."""
    rng = np.random.default_rng(seed)
    index = pd.Index(range(100, 100 + k), name="seed")
    if s:
        index = pd.MultiIndex.from_product([index, range(s)], names=["seed", "simulation"])
    both = []
    for lossy in (False, True):
        columns = {}
        for name, (mean, sigma, sign) in SCORES.items():
            noise = rng.normal(size=(k, 1))
            if s:
                hard = np.random.default_rng(7).normal(size=(1, s))
                noise = noise + rng.normal(size=(1, s)) + rng.normal(size=(k, s)) + 5 * hard
            loss = worse.get(name, 0.0) if lossy else 0.0
            columns[name] = (mean + sigma * noise - sign * loss).ravel()
        both.append(pd.DataFrame(columns, index=index))
    return both


def every_state_is_a_position(found):
    stored = json.loads(json.dumps(found.config(), allow_nan=False))["scores"]
    for row in stored.values():
        low, bound = (
            {None: limit}.get(row[name], row[name])
            for name, limit in (("low", -np.inf), ("bound", np.inf))
        )
        if row["margin"] is None:
            expected = "not judged"
        elif low > row["margin"]:
            expected = "harmful"
        elif bound > row["margin"]:
            expected = "undecided"
        else:
            expected = "small" if low > 0 else "benign"
        assert row["state"] == expected
        assert low <= row["shift"] <= bound
    states = {row["state"] for row in stored.values()} - {"not judged"}
    for state in ("harmful", "undecided", "small", "benign"):
        if state in states:
            assert found.state == state
            break


@pytest.mark.parametrize("s", [None, 6, 30])
@pytest.mark.parametrize("k", [2, 3, 4, 5, 8, 14, 20])
def test_position_relative_to_the_margin_is_the_state(k, s):
    for seed, loss in enumerate((0, 0.1, 0.3, 0.45, 0.55, 2, 10)):
        raw, lossy = tables(k, s, seed, psnr_density=loss, l1=0.016 * loss)
        every_state_is_a_position(verdict(raw, lossy, ranges=RANGES))
        every_state_is_a_position(verdict(raw, lossy, margins={"mass": "0.001 g/cm"}))


def test_position_and_overall_by_hand():
    low = [-1, 0.1, 1.1, -1, -np.inf, 0.5]
    bound = [1.0, 1.0, 3, 1.1, np.inf, 2]
    expected = ["benign", "small", "harmful", "undecided", "undecided", "not judged"]
    assert position(low, bound, [1, 1, 1, 1, 1, np.nan]).tolist() == expected
    assert overall(["benign", "small", "not judged"]) == "small"
    assert overall(["benign", "undecided"]) == "undecided"
    assert overall(["harmful", "undecided"]) == "harmful"
    assert overall(["benign"]) == "benign"


def test_levels_leave_a_fifth_of_alpha_and_never_rise_past_the_plan():
    for looks in ((3, 5, 8, 12), (5,), (2, 4), (3, 5, 8, 12, 18)):
        for late in (False, True):
            planned = [level(n, looks, late=late) for n in looks]
            assert sum(planned) == pytest.approx(0.035)
            past = [level(n, looks, late=late) for n in range(looks[-1], 200)]
            assert past == sorted(past, reverse=True)
            stages = [round(looks[-1] * 1.5**i) + 1 for i in range(1, 20)]
            assert sum(planned + [level(n, looks, late=late) for n in stages]) < 0.04 + 1e-9
    assert level(2) == 0
    assert level(4) == level(3)
    assert [level(n, alpha=0.1) for n in LOOKS] == [2 * level(n) for n in LOOKS]


def test_without_simulations_it_is_students_paired_t():
    raw, lossy = tables(8, psnr_density=0.2)
    found = verdict(raw, lossy, ranges=RANGES)
    d = raw["psnr_density"] - lossy["psnr_density"]
    row, t = found.table.loc["psnr_density"], stats.ttest_rel(raw, lossy, axis=0)
    assert row["shift"] == pytest.approx(d.mean())
    bound = stats.ttest_1samp(d, 0, alternative="less").confidence_interval(1 - level(8)).high
    assert row["bound"] == pytest.approx(bound)
    share = 0.75 / 4  # L1 has a quarter of the five scores' error rate
    test = stats.ttest_1samp(d, 0, alternative="greater")
    low = test.confidence_interval(1 - share * level(8, late=True)).low
    assert [row["low"], row["high"]] == pytest.approx([low, 2 * row["shift"] - low])
    error, dof = two_way((raw - lossy).to_numpy().T[..., None])
    np.testing.assert_allclose((raw - lossy).mean() / error, t.statistic)
    assert dof.tolist() == [7] * 5


def test_mean_squares_by_hand():
    # Seeds 0 and 2, simulations 0 and 4, rest ±1: A = 4, B = 16, E = 4.
    values = np.array([[0 + 1, 4 - 1], [2 - 1, 6 + 1]], float)
    error, dof = two_way(values)
    assert error == pytest.approx(np.sqrt((4 + 16 - 4) / 4))
    assert dof == pytest.approx(16**2 / (4**2 / 1 + 16**2 / 1 + 4**2 / 1))
    # Without a seed effect its mean square may fall below the rest, and is not believed.
    flat = np.array([[1.0, -1], [-1, 1]])
    assert two_way(flat)[0] == pytest.approx(np.sqrt(4 / 4))


def test_closed_form_agrees_with_a_two_way_bootstrap_and_with_components():
    rng = np.random.default_rng(1)
    k, s = 30, 40
    values = rng.normal(size=(k, 1)) + 2 * rng.normal(size=(1, s)) + 3 * rng.normal(size=(k, s))
    error, _ = two_way(values)
    draws = [
        values[rng.integers(k, size=k)][:, rng.integers(s, size=s)].mean() for _ in range(2000)
    ]
    # Resampling both ways counts the rest three times: E/(K S) too much, twice (Owen 2007).
    assert np.std(draws) == pytest.approx(np.hypot(error, np.sqrt(2 * 9 / k / s)), rel=0.1)
    many = rng.normal(size=(4000, 6, 1)) + 2 * rng.normal(size=(4000, 1, 9))
    many = many + 3 * rng.normal(size=(4000, 6, 9))
    error, dof = two_way(many)
    assert np.mean(error**2) == pytest.approx(1 / 6 + 4 / 9 + 9 / 54, rel=0.05)
    wrong = many.mean((-2, -1)) > stats.t.ppf(0.95, dof) * error
    assert wrong.mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_more_simulations_and_more_seeds_narrow_the_bound():
    def bound(k, s):
        return verdict(*tables(k, s, seed=3), ranges=RANGES).table["bound"]["psnr_density"]

    assert bound(5, 6) > bound(5, 200)
    assert bound(3, 200) > bound(20, 200)


def test_per_cent_is_a_ratio_of_means():
    rng = np.random.default_rng(0)
    raw = rng.uniform(1, 3, (4, 5))
    exact = per_cent(0.04 * raw, raw)
    np.testing.assert_allclose(exact, 4)  # what follows the raw score has no spread
    change = rng.normal(size=(4, 5))
    assert per_cent(change, raw).mean() == pytest.approx(100 * change.mean() / raw.mean())
    # Jackknife over simulations of the ratio itself, as a reference for its spread.
    leave = [(np.delete(change, j, 1).mean() / np.delete(raw, j, 1).mean()) for j in range(5)]
    jackknife = 100 * np.sqrt(4 / 5 * np.square(leave - np.mean(leave)).sum())
    columns = per_cent(change, raw).mean(0)
    assert columns.std(ddof=1) / np.sqrt(5) == pytest.approx(jackknife, rel=0.2)


def test_units_order_and_sign_do_not_matter():
    raw, lossy = tables(6, 12, psnr_density=0.2, l1=0.003)
    found = verdict(raw, lossy, ranges=RANGES)
    scale = {"l1": 1e-6, "mass": 50.0}
    scaled = [t.assign(**{n: t[n] * f for n, f in scale.items()}) for t in (raw, lossy)]
    other = verdict(*scaled, ranges={"mass": 40.0})
    pd.testing.assert_frame_equal(other.table, found.table, rtol=1e-9)
    assert other.reason == found.reason
    shuffled = lossy.sample(frac=1, random_state=1)[list(lossy)[::-1]]
    again = verdict(raw.sample(frac=1, random_state=2), shuffled, ranges=RANGES)
    pd.testing.assert_frame_equal(again.table, found.table, rtol=1e-9)
    assert sorted(again.seeds) == found.seeds
    flipped = [t.assign(psnr_density=-t["psnr_density"]) for t in (raw, lossy)]
    mirrored = verdict(*flipped, ranges=RANGES, better={"psnr_density": "lower"})
    numbers = ["shift", "low", "high", "bound", "state"]
    pd.testing.assert_frame_equal(mirrored.table[numbers], found.table[numbers])
    names = {"raw": raw, "lossy": lossy}
    renamed = [t.rename(index=lambda i: i + 7, level="seed") for t in names.values()]
    pd.testing.assert_frame_equal(verdict(*renamed, ranges=RANGES).table, found.table)


def test_sentences_are_in_the_users_units():
    sigma = {"psnr_density": 0.1}
    raw, lossy = tables(8, 40, **sigma)
    found = verdict(raw, lossy, ranges=RANGES)
    assert found.state in ("benign", "small")
    pattern = r"at most [\d.]+ % more L1, [\d.]+ dB less PSNR in any field, [\d.]+ % of range more "
    pattern += r"mass and [\d.]+ less thickness_correlation \(95 % each\)"
    assert re.match(pattern, found.reason)
    raw, lossy = tables(8, psnr_density=3.0)
    found = verdict(raw, lossy, labels={"psnr_density": "PSNR of density"}, ranges=RANGES)
    assert found.state == "harmful"
    pattern = r"PSNR of density falls by [\d.]+ dB, at least [\d.]+ \(95 %, for these test simulat"
    assert re.match(pattern, found.reason)
    assert "beyond it for certain: 1 of 5 scores" in found.reason
    raw, lossy = tables(5, 40, psnr_density=0.5)
    found = verdict(raw, lossy)
    assert found.state == "undecided"
    assert found.reason.startswith("5 common seeds cannot tell for 1 of 4 scores")
    assert "the margin is 0.5 dB; next look: 8 seeds" in found.reason
    assert found.table.loc["mass", "state"] == "not judged"
    raw, lossy = tables(8, 200, psnr_density=0.2)
    found = verdict(raw, lossy, ranges=RANGES)
    assert found.state == "small"
    assert "; small but real: psnr_density falls by 0.2" in found.reason
    assert verdict(raw, lossy, looks=(3, 8)).looks == (3, 8)


def test_bounds_are_never_told_smaller_than_they_are():
    assert [short(x, up=True) for x in (0.297, 0.3, 4.04, 12.2, 0.0, 9.96, 123)] == [
        "0.30", "0.30", "4.1", "13", "0", "10.0", "130",
    ]  # fmt: skip
    assert [short(x, down=True) for x in (0.297, 4.09, 129)] == ["0.29", "4.0", "120"]
    for number in np.random.default_rng(0).lognormal(0, 4, 200):
        assert float(short(number, up=True)) >= number * (1 - 1e-9)
        assert float(short(number, down=True)) <= number * (1 + 1e-9)


def test_an_improvement_is_benign_and_costs_nothing():
    raw, lossy = tables(8, psnr_density=-3.0, psnr_pressure=-3.0)
    found = verdict(raw, lossy, ranges=RANGES)
    assert found.state == "benign"
    assert "0 dB less PSNR in any field" in found.reason


def test_margins_go_by_the_longest_prefix_and_may_be_taken_away():
    raw, lossy = tables()
    margins = {"psnr_pres": "1 dB", "psnr_density": None, "mass": "0.1 g/cm", "l1": Margin(3, "%")}
    table = verdict(raw, lossy, margins=margins).table
    told = table["margin"].replace(np.nan, None).to_dict()
    assert told == {
        "l1": 3, "psnr_density": None, "psnr_pressure": 1, "mass": 0.1,
        "thickness_correlation": 0.01,
    }  # fmt: skip
    assert table["unit"].tolist() == ["%", "dB", "dB", "g/cm", "1"]
    assert table["state"]["psnr_density"] == "not judged"
    ranged = verdict(raw, lossy, ranges=RANGES).table.loc["mass"]
    assert (ranged["margin"], ranged["unit"]) == (2, "% of range")
    plain = verdict(raw, lossy, margins={"mass": "0.1"}).table.loc["mass"]
    assert ranged["shift"] == pytest.approx(100 / 0.8 * plain["shift"])
    percent = [t.assign(mass=100 / 0.8 * t["mass"]) for t in (raw, lossy)]
    given = verdict(*percent, units={"mass": "% of range"}).table.loc["mass"]
    assert given["bound"] == pytest.approx(ranged["bound"])
    assert set(DEFAULT_MARGINS) == {"l1", "psnr", "quantity", "correlation"}


@pytest.mark.parametrize(
    ("margin", "sentence"),
    [
        ({"l1": "5"}, "margin of l1, 5, needs a unit, such as '5 %'"),
        ({"psnr": "0.5"}, "margin of psnr_density, 0.5, needs a unit, such as '0.5 dB'"),
        ({"psnr": "-0.5 dB"}, "must be a positive number, not -0.5 dB"),
        ({"l1": "0 %"}, "must be a positive number, not 0 %"),
        ({"l1": "nan %"}, "a margin reads like '5 %'"),
        ({"l1": "five"}, "a margin reads like '5 %', .* not 'five'"),
        ({"l1": "1.2.3 %"}, "a margin reads like"),
        ({"psnr": "1 m"}, "margin of psnr_density is 1 m, but its unit is dB"),
        ({"mass": "2 % of range"}, "margin of mass is 2 % of range: give its range"),
        (dict.fromkeys(DEFAULT_MARGINS), "none of the scores .* has a margin"),
    ],
)
def test_margins_that_do_not_fit_are_refused(margin, sentence):
    with pytest.raises(ValueError, match=sentence):
        verdict(*tables(), margins=margin)


def test_bad_tables_are_refused_in_a_sentence():
    raw, lossy = tables()
    crossed = tables(s=6)
    with pytest.raises(ValueError, match=r"share, not 1; raw: \[100\]"):
        verdict(raw.iloc[:1], lossy)
    with pytest.raises(ValueError, match="share, not 0"):
        verdict(raw, lossy.rename(index=lambda seed: seed + 50))
    with pytest.raises(ValueError, match="one test simulation says nothing about others"):
        verdict(*tables(s=1))
    with pytest.raises(ValueError, match="index both tables by seed"):
        verdict(raw, crossed[1])
    with pytest.raises(ValueError, match=r"raw scores have more than one row for \[100\]"):
        verdict(pd.concat([raw, raw.iloc[:1]]), lossy)
    with pytest.raises(ValueError, match=r"lossy models and the first raw .*: \[\(103, 2\)\]"):
        verdict(crossed[0], crossed[1].drop((103, 2)))
    with pytest.raises(KeyError, match="lossy scores lack l1; they have psnr_density"):
        verdict(raw, lossy.drop(columns="l1"))
    with pytest.raises(KeyError, match="raw scores lack l1; they have psnr_density"):
        verdict(raw.drop(columns="l1"), lossy)
    with pytest.raises(KeyError, match="no score for the margin of psnr_densty"):
        verdict(raw, lossy, margins={"psnr_densty": "1 dB"})
    with pytest.raises(KeyError, match="better names energy; the scores are l1"):
        verdict(raw, lossy, better={"energy": "lower"})
    with pytest.raises(ValueError, match="better of l1 is 'lower' or 'higher', not 'smaller'"):
        verdict(raw, lossy, better={"l1": "smaller"})
    with pytest.raises(ValueError, match="scores must be numbers"):
        verdict(raw.assign(l1="many"), lossy)
    with pytest.raises(ValueError, match=r"mean, which is -0\.16 and must be positive"):
        verdict(-raw.round(2), -lossy, margins=dict.fromkeys(DEFAULT_MARGINS) | {"l1": "5 %"})
    for bad in (0.4, 95):
        with pytest.raises(ValueError, match=r"confidence lies between 0\.5 and 1"):
            verdict(raw, lossy, confidence=bad)
    for looks in ((), (1, 3), (5, 3), (3, 3)):
        with pytest.raises(ValueError, match="looks are ascending numbers of seeds"):
            verdict(raw, lossy, looks=looks)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_scores_must_be_finite(which, value):
    both, crossed = tables(), tables(s=3)
    both[which].loc[102, "l1"] = value
    crossed[which].loc[(102, 1), "l1"] = value
    name = ["raw", "lossy"][which]
    with pytest.raises(ValueError, match=f"{name} score l1 of seed 102 is {value}; it must be"):
        verdict(*both)
    with pytest.raises(ValueError, match=f"{name} score l1 of seed 102, simulation 1 is {value}"):
        verdict(*crossed)


def test_scores_that_never_vary():
    raw, _ = tables()
    same = verdict(raw, raw)
    assert same.state == "benign"
    assert not same.table[["shift", "low", "bound"]].to_numpy().any()
    constant = verdict(raw, raw.assign(psnr_density=raw["psnr_density"] - 3))
    row = constant.table.loc["psnr_density"]
    assert (row["state"], row["shift"], row["bound"]) == ("undecided", pytest.approx(3), np.inf)
    assert "the same in every seed, and without a spread there is no bound" in constant.reason
    assert constant.config()["scores"]["psnr_density"]["bound"] is None
    follows = verdict(raw, raw.assign(l1=1.02 * raw["l1"]))  # by rounding a spread of 1e-15 %
    assert follows.table["state"]["l1"] == "undecided"


def test_before_the_first_look_nothing_is_claimed():
    found = verdict(*tables(2, psnr_density=30))
    assert found.state == "undecided"
    assert "without a bound yet" in found.reason
    assert "next look: 3 seeds" in found.reason
    json.dumps(found.config(), allow_nan=False)
    past = verdict(*tables(20, psnr_density=0.5))
    assert past.reason.count("that was the last planned look") == (past.state == "undecided")


def test_only_common_seeds_count_and_strangers_are_named():
    raw, lossy = tables(6, psnr_density=10)
    found = verdict(raw, lossy.iloc[[4, 1, 2, 0]].rename(index={102: 999}), ranges=RANGES)
    assert found.seeds == [100, 101, 104]
    assert found.reason.endswith("left out for want of a raw model: seeds 999")
    expected = verdict(raw.loc[found.seeds], lossy.loc[found.seeds], ranges=RANGES)
    pd.testing.assert_frame_equal(found.table, expected.table)


def test_config_is_json_and_the_verdict_is_frozen():
    found = verdict(*tables(5, 6, psnr_density=5), ranges=RANGES)
    back = json.loads(json.dumps(found.config(), allow_nan=False))
    assert {"state", "reason", "looks", "seeds", "n_simulations", "scores"} <= set(back)
    assert (back["looks"], back["n_simulations"]) == ([3, 5, 8, 12], 6)
    assert back["seeds"] == [100, 101, 102, 103, 104]
    assert back["scores"]["psnr_density"] == found.table.loc["psnr_density"].to_dict()
    assert verdict(*tables()).config()["n_simulations"] is None
    with pytest.raises(AttributeError):
        found.state = "benign"


def test_stop_when_decided_keeps_its_error_rate():
    """Normal scores at the margin, planned looks and every number of seeds from 3 to 12."""
    rng = np.random.default_rng(0)
    repeats, weights = 4000, np.full(3, 1 / 3)
    change = 1 + 0.3 * rng.normal(size=(repeats, 3, 12, 1))
    for looks in (LOOKS, range(3, 13)):
        harm, within = np.zeros(repeats, bool), np.zeros((repeats, 3), bool)
        for n in looks:
            part = change[:, :, :n]
            error, dof = two_way(part)
            levels = level(n), level(n, late=True)
            low, _, bound = limits(part.mean((-2, -1)), error, dof, *levels, weights)
            harm |= (low > 1).any(-1)
            within |= bound < 1
        allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
        assert harm.mean() < allowed
        assert within.mean(0).max() < allowed


def test_band_by_hand_and_the_fraction_inside():
    mean, sigma = band([[1, 0.1], [2, 0.1], [6, 0.1]])
    np.testing.assert_allclose(mean, [3, 0.1])
    assert sigma.tolist() == [pytest.approx(np.sqrt(7)), 0]  # not the 1e-17 of rounding
    wide = band(np.random.default_rng(0).normal(size=(1000, 2000)))
    assert wide.inside(np.random.default_rng(1).normal(size=2000)) == pytest.approx(0.954, abs=0.02)
    with pytest.raises(ValueError, match="at least two raw models, not 1"):
        band([[1.0, 2.0]])


def test_band_share_leaves_one_model_out():
    rng = np.random.default_rng(0)
    raw, lossy = 5 + rng.normal(size=(2, 5, 4, 10))
    found = band_share(raw, lossy)
    for j in range(5):
        others = band(np.delete(raw, j, 0).reshape(4, -1))
        assert found.raw[j] == pytest.approx(others.inside(raw[j].ravel()))
        assert found.lossy[j] == pytest.approx(others.inside(lossy[j].ravel()))
    # Chance: a band of four raw models holds another with P(|t3| < 2 / sqrt(1 + 1/4)).
    many = band_share(*np.random.default_rng(3).normal(size=(2, 5, 5000)))
    chance = 1 - 2 * stats.t.sf(2 / np.sqrt(1.25), 3)
    assert [many.raw.mean(), many.lossy.mean()] == pytest.approx([chance] * 2, abs=0.015)
    assert not many.apart
    json.dumps(many.config())


def test_band_share_finds_a_shift_and_says_when_it_cannot():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(5, 50))
    assert band_share(raw, raw + 8).apart
    assert not band_share(raw, raw).apart
    few = band_share(raw[:3], raw[:3] + 8)
    assert not few.apart
    assert few.smallest_p == pytest.approx(0.1)
    assert "3 seeds cannot show more, p is 0.1 or more" in few.reason
    same = np.ones((4, 3))
    assert band_share(same, same).lossy.tolist() == [1] * 4
    assert band_share(same, same + 1).lossy.tolist() == [0] * 4
    for bad, sentence in (
        ((raw, raw[:, :9]), "differ in shape"),
        ((raw[:2], raw[:2]), "three or more seeds"),
        ((raw * np.nan, raw), "not finite"),
    ):
        with pytest.raises(ValueError, match=sentence):
            band_share(*bad)


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, table in zip(("raw", "lossy"), tables(5, 6, psnr_density=5), strict=True):
        table.to_csv(tmp_path / f"{name}.csv")
        paths.append(str(tmp_path / f"{name}.csv"))
    return paths


def test_csv_in_json_out(files, capsys):
    raw, _ = tables(5, 6, psnr_density=5)
    pd.testing.assert_frame_equal(read_scores(files[0]), raw)
    assert cli.main(["verdict", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "harmful"
    assert {"shift", "low", "high", "bound", "unit", "state"} <= set(found["scores"]["l1"])
    options = ["--margin", "psnr_density=50dB", "--margin", "mass=0.1", "--better"]
    assert cli.main(["verdict", *files, *options, "l1=lower", "mass=higher", "--looks", "3,5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(("benign: at most", "small: at most"))
    assert "psnr_density" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--margin", "l1=5"], "the margin of l1, 5, needs a unit"),
        (["--margin", "l1=-5%"], "must be a positive number"),
        (["--margin", "l1"], "write SCORE=VALUE"),
        (["--margin", "energy=1%"], "no score for the margin of energy"),
        (["--better", "l1=smaller"], "better of l1 is"),
        (["--looks", "5,3"], "looks are ascending"),
        (["--looks", "few"], "looks are numbers of seeds"),
        (["--confidence", "95"], "confidence lies between"),
    ],
)
def test_csv_bad_options_exit_with_2_and_a_sentence(files, capsys, options, sentence):
    assert cli.main(["verdict", *files, *options]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_csv_bad_files(files, tmp_path, capsys):
    for text, sentence in (
        ("", "no readable CSV file"),
        ("l1,psnr\n1,2\n", "needs a column seed"),
        ("seed\n1\n", "needs a column seed and a column per score"),
        ("seed,l1\n1,x\n2,3\n", "score l1 has 'x' where a number belongs"),
        ("seed,l1\n,1\n2,3\n", "rows without a seed"),
        ("seed,l1\n1,\n2,3\n", "raw score l1 of seed 1 is nan"),
    ):
        path = tmp_path / "bad.csv"
        path.write_text(text)
        good = tmp_path / "good.csv"
        good.write_text("seed,l1\n1,2\n2,3\n")
        assert cli.main(["verdict", str(path), str(good)]) == 2
        assert sentence in capsys.readouterr().err
    assert cli.main(["verdict", str(tmp_path / "none.csv"), files[1]]) == 2
    assert "no readable CSV file" in capsys.readouterr().err
