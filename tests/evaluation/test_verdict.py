"""The band and the verdict: hand numbers, symmetries, error rates, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from surrlab import evaluation
from surrlab.evaluation.verdict import decide, p_harmful, paired_error, verdict

BETTER = {
    "l1": "lower",
    "psnr_velocity_x": "higher",
    "psnr_pressure": "higher",
    "mixing_correlation": "higher",
}
LABELS = {"l1": "L1 error", "psnr_pressure": "PSNR of pressure"}


def scores(models, shift=0.0, seed=0):
    """Raw models, and lossy ones that differ by noise and a degradation in pressure PSNR."""
    rng = np.random.default_rng(seed)
    index = range(100, 100 + models)
    raw = pd.DataFrame(rng.normal(40, 1, (models, 4)), columns=list(BETTER), index=index)
    lossy = raw + rng.normal(0, 0.2, raw.shape)
    lossy["psnr_pressure"] -= shift
    return raw, lossy


def test_band_by_hand_and_the_fraction_inside():
    mean, sigma = evaluation.band([[1, 0.1], [2, 0.1], [6, 0.1]])
    np.testing.assert_allclose(mean, [3, 0.1])
    assert sigma.tolist() == [pytest.approx(np.sqrt(7)), 0]  # not the 1e-17 of rounding
    band = evaluation.band(np.random.default_rng(0).normal(size=(1000, 2000)))
    assert band.inside(np.random.default_rng(1).normal(size=2000)) == pytest.approx(0.954, abs=0.02)
    assert band.inside(band.mean + 3 * band.sigma) == 0
    with pytest.raises(ValueError, match="at least two raw models, not 1"):
        evaluation.band([[1.0, 2.0]])


def test_without_margin_and_pooled_pair_it_is_students_t():
    d = np.random.default_rng(0).normal(0.5, 1, 7)
    p = p_harmful(d.mean(), d.std(ddof=1) / np.sqrt(7), 6, 1.0, 5, margin=0)
    assert p == pytest.approx(stats.ttest_1samp(d, 0, alternative="greater").pvalue, rel=1e-6)


def test_with_an_exact_shift_it_is_the_chi_squared_bound_on_sigma():
    # Shift 6 known exactly and σ̂ = 1: harm unless the true σ is above 3, that is χ² < (K − 1)/9.
    for raws in (3, 5, 30):
        p = p_harmful(6.0, 0.0, 5, 1.0, raws, margin=2)
        assert p == pytest.approx(stats.chi2.cdf((raws - 1) / 9, raws - 1), rel=0.2, abs=1e-5)


def test_p_harmful_is_the_average_that_it_says():
    rng = np.random.default_rng(0)
    for raws, shift in ((3, 8.0), (5, 6.0), (10, 4.0), (30, 1.0)):
        sigma = 1.3 * np.sqrt((raws - 1) / rng.chisquare(raws - 1, 400_000))
        drawn = np.mean(stats.t.sf((shift - 2 * sigma) / 0.7, 4))
        assert p_harmful(shift, 0.7, 4, 1.3, raws, 2) == pytest.approx(drawn, rel=0.02)


def test_paired_error_by_hand():
    error, dof = paired_error(np.array([2.0, 2.0]), np.array([1.0, 0.0]), 3)
    np.testing.assert_allclose(error, [np.sqrt((2 * 4 + 2) / 3 / 3), np.sqrt(4 / 3)])
    assert dof.tolist() == [3, 2]


def test_holm_by_hand():
    p = np.array([[0.04, 0.01, 0.03, 0.6], [0.99, 0.98, 0.96, 0.97]])
    adjusted, harmful, benign = decide(p, 0.05)
    np.testing.assert_allclose(adjusted, [[0.09, 0.04, 0.09, 0.6], [1, 1, 1, 1]])
    assert harmful.tolist() == [[False, True, False, False], [False] * 4]
    assert benign.tolist() == [[False] * 4, [True] * 4]


def test_error_rates_and_power_by_simulation():
    """The claims of the docstring at K = 5, K' = 3, σ = 1, rho = 0.5; 3 standard errors allowed."""
    rng = np.random.default_rng(0)
    repeats, raws, pairs = 2000, 5, 3
    shared = rng.normal(size=(repeats, raws, 6))
    raw = shared + rng.normal(size=shared.shape)
    lossy = shared[:, :pairs] + rng.normal(size=(repeats, pairs, 6))
    d = (lossy - raw[:, :pairs]) / np.sqrt(2)
    shift, paired_sd, sigma = d.mean(1), d.std(1, ddof=1), raw.std(1, ddof=1) / np.sqrt(2)

    def decided(true):
        error, dof = paired_error(paired_sd, sigma, pairs)
        return decide(p_harmful(shift + true, error, dof, sigma, raws, 2.0), 0.05)[1:]

    assert decided(0)[0].any(-1).mean() < 0.005
    assert decided(2)[0].any(-1).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert decided(2)[1].mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert decided(np.array([30, 0, 0, 0, 0, 0]))[0].any(-1).mean() > 0.98
    assert decided(-1)[1].all(-1).mean() > 0.5


def test_harm_is_found_named_and_does_not_depend_on_the_sign_convention():
    raw, lossy = scores(5, shift=15.0)
    found = verdict(raw, lossy, better=BETTER, labels=LABELS)
    assert (found.state, found.further_seeds, found.n_raw) == ("harmful", 0, 5)
    assert found.reason.startswith("PSNR of pressure falls by 15 dB (95 % interval 14 to 16)")
    assert "1 of 4 metrics" in found.reason
    assert found.table["state"].to_dict()["psnr_pressure"] == "harmful"
    assert found.table["shift"]["psnr_pressure"] == pytest.approx(15, abs=0.3)
    flipped = {metric: {"lower": "higher", "higher": "lower"}[b] for metric, b in BETTER.items()}
    mirrored = verdict(-raw, -lossy, better=flipped, labels=LABELS)
    pd.testing.assert_frame_equal(mirrored.table, found.table)


def test_an_improvement_is_no_harm_and_reads_as_one():
    raw, lossy = scores(10, shift=-15.0)
    found = verdict(raw, lossy, better=BETTER)
    assert found.state == "benign"
    assert found.table["effect"]["psnr_pressure"] < -8
    alone = verdict(raw, lossy, better={"psnr_pressure": "higher"}, labels=LABELS)
    assert "PSNR of pressure rises by 15 dB (95 % interval 15 to 15)" in alone.reason


def test_benign_needs_every_metric():
    raw, lossy = scores(10)
    assert verdict(raw, lossy, better=BETTER).state == "benign"
    lossy["l1"] += 2 * raw["l1"].std()
    found = verdict(raw, lossy, better=BETTER, labels=LABELS)
    assert found.state == "inconclusive"
    assert found.table["state"].tolist() == ["inconclusive", "benign", "benign", "benign"]
    assert "L1 error rises by" in found.reason


def test_units_do_not_matter():
    raw, lossy = scores(5, shift=2.0)
    table = verdict(raw, lossy, better=BETTER).table
    scaled = verdict(1e-6 * raw + 3, 1e-6 * lossy + 3, better=BETTER).table
    unitless = ["effect", "p_harmful", "p_benign"]
    np.testing.assert_allclose(scaled[unitless], table[unitless], rtol=1e-6)
    assert scaled["state"].tolist() == table["state"].tolist()


def test_a_wider_margin_and_more_confidence_make_harm_harder_to_claim():
    raw, lossy = scores(5, shift=10.0)

    def p(**kwargs):
        return verdict(raw, lossy, better=BETTER, **kwargs).table["p_harmful"]["psnr_pressure"]

    assert p(margin=1.0) < p(margin=2.0) < p(margin=4.0)
    states = [verdict(raw, lossy, better=BETTER, confidence=c).state for c in (0.95, 0.999999)]
    assert states == ["harmful", "inconclusive"]


def test_further_seeds_is_the_smallest_number_that_settles_it():
    raw, lossy = scores(4, shift=1.6)
    lossy = lossy.iloc[:2]
    found = verdict(raw, lossy, better=BETTER)
    assert found.state == "inconclusive"
    assert f"about {found.further_seeds} more common seeds" in found.reason
    d = np.array([1, -1, -1, -1]) * (lossy - raw.loc[lossy.index])
    shift, paired_sd, sigma = d.mean(), d.std(), raw.std()

    def settled(pairs):
        error, dof = paired_error(paired_sd, sigma, pairs)
        p = p_harmful(shift, error, dof, sigma, max(4, pairs), 2.0)
        _, harmful, benign = decide(p, 0.05)
        return harmful.any() or benign.all()

    first = next(pairs for pairs in range(2, 1000) if settled(pairs))
    assert found.further_seeds == first - 2 > 4  # more than the raw models that are there


def test_a_metric_is_told_by_its_label_or_else_by_its_name():
    raw, lossy = scores(5, shift=15.0)
    table = verdict(raw, lossy, better=BETTER, labels=LABELS).table
    expected = ["L1 error", "psnr_velocity_x", "PSNR of pressure", "mixing_correlation"]
    assert table["label"].tolist() == expected
    bare = verdict(raw, lossy, better=BETTER)
    assert bare.table["label"].tolist() == list(BETTER)
    assert bare.reason.startswith("psnr_pressure falls by 15 dB")


def test_a_shift_on_the_margin_is_never_settled():
    raw, lossy = scores(5)
    lossy["l1"] = raw["l1"] + 2 * raw["l1"].std() + [1e-3, -1e-3, 0, 2e-3, -2e-3]
    found = verdict(raw, lossy, better=BETTER)
    assert found.state == "inconclusive"
    assert found.further_seeds is None
    assert "too close to the margin for 1,000 more" in found.reason


def test_only_common_seeds_are_paired_and_strangers_are_named():
    raw, lossy = scores(6, shift=15.0)
    shuffled = lossy.iloc[[4, 1, 2]].rename(index={102: 999})
    found = verdict(raw, shuffled, better=BETTER)
    assert found.seeds == [101, 104]
    assert found.reason.endswith("left out for want of a raw model: seeds 999")
    fall = (raw - lossy)["psnr_pressure"].loc[[101, 104]]
    row = found.table.loc["psnr_pressure"]
    assert row["shift"] == pytest.approx(fall.mean())
    assert row["sigma"] == pytest.approx(raw["psnr_pressure"].std())  # of all six
    half = stats.t.ppf(0.975, 2) * np.sqrt((fall.var() + 2 * row["sigma"] ** 2) / 2 / 2)
    assert [row["low"], row["high"]] == pytest.approx([row["shift"] - half, row["shift"] + half])
    with pytest.raises(ValueError, match=r"share, not 1; raw: \[100, .*raw model: \[999\]"):
        verdict(raw, shuffled.loc[[999, 101]], better=BETTER)


def test_where_raw_models_agree_the_margin_is_zero():
    index = [1, 2, 3]
    raw = pd.DataFrame({"momentum": [0.1, 0.1, 0.1]}, index=index)
    better = {"momentum": "lower"}
    assert verdict(raw, raw, better=better).state == "benign"
    worse = verdict(raw, raw + 0.5, better=better)
    assert worse.state == "harmful"
    assert "where raw models agree" in worse.reason
    assert verdict(raw, raw - 0.5, better=better).state == "benign"
    noisy = raw + np.array([[0.5], [-0.4], [0.1]])
    assert verdict(raw, noisy, better=better).state == "inconclusive"


def test_config_is_json():
    raw, lossy = scores(5, shift=15.0)
    raw["l1"], lossy["l1"] = 1.0, 2.0  # an infinite effect
    found = verdict(raw, lossy, better=BETTER)
    back = json.loads(json.dumps(found.config(), allow_nan=False))
    assert back["state"] == "harmful"
    assert back["seeds"] == [100, 101, 102, 103, 104]
    assert back["table"]["l1"]["effect"] is None
    assert back["table"]["l1"]["shift"] == 1.0
    assert back["table"]["psnr_pressure"] == found.table.loc["psnr_pressure"].to_dict()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_scores_must_be_finite(which, value):
    tables = scores(4)
    tables[which].loc[102, "psnr_pressure"] = value
    name = ["raw", "lossy"][which]
    with pytest.raises(ValueError, match=f"{name} score psnr_pressure of seed 102 is {value}"):
        verdict(*tables, better=BETTER)


def test_what_makes_no_sense_is_refused():
    raw, lossy = scores(4)
    with pytest.raises(KeyError, match="lossy scores lack l1; they have psnr_velocity_x"):
        verdict(raw, lossy.drop(columns="l1"), better=BETTER)
    with pytest.raises(ValueError, match=r"raw scores have more than one row for seeds \[100\]"):
        verdict(pd.concat([raw, raw.iloc[:1]]), lossy, better=BETTER)
    with pytest.raises(ValueError, match="share, not 1"):
        verdict(raw.iloc[:1], lossy, better=BETTER)
    for better in ({}, {"l1": "smaller"}):
        with pytest.raises(ValueError, match="'lower' or 'higher'"):
            verdict(raw, lossy, better=better)
    for bad in ({"margin": -1}, {"margin": np.nan}, {"confidence": 0.4}, {"confidence": 95}):
        with pytest.raises(ValueError, match="need margin >= 0"):
            verdict(raw, lossy, better=BETTER, **bad)


def test_benchmark_reads_the_scores_of_real_models(tmp_path):
    raw, _ = scores(6)
    raw.to_csv(tmp_path / "scores.csv", index_label="seed")
    script = Path(__file__).parents[1] / "benchmarks" / "verdict.py"
    options = ["--repeats", "10", "--scores", tmp_path / "scores.csv", "--out", tmp_path / "o.json"]
    subprocess.run([sys.executable, script, *options], check=True, capture_output=True)
    found = json.loads((tmp_path / "o.json").read_text())
    assert {row["K'"] for row in found["real raw against raw"]} == {2, 3}
    assert all(row["harm@0"] <= 20 for row in found["real correlation"])
