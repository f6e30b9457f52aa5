"""What all figures share: looks, groups of models, the band of raw models, captions."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from scipy import stats
from synthetic import FACTORS, LABELS, caption, evaluation_table, legend, model_coords

from surrlab import _text
from surrlab.figures import style


@pytest.mark.parametrize("n", range(1, 7))
def test_styles_of_versions_darken_and_differ(n):
    looks = style.version_styles(n)
    greys = [np.dot(to_rgb(look["color"]), (0.299, 0.587, 0.114)) for look in looks]
    assert greys == sorted(greys, reverse=True)
    assert len({str(look["ls"]) for look in looks}) == len({look["color"] for look in looks}) == n


@pytest.mark.parametrize("n", [0, 1, 6, 7, 36])
def test_fields_look_different_however_many_there_are(n):
    looks = style.field_styles(n)
    assert len({(look["color"], str(look["ls"])) for look in looks}) == n
    assert looks == style.field_styles(36)[:n]  # a field keeps its look


def test_states_differ_on_a_grey_printer():
    greys = [np.dot(to_rgb(c), (0.299, 0.587, 0.114)) for c in style.STATE_COLORS.values()]
    assert list(style.STATE_COLORS) == ["benign", "small", "undecided", "harmful"]
    assert len({round(grey, 2) for grey in greys}) == 4


def test_groups_are_raw_models_then_versions_by_ratio():
    shuffled = evaluation_table().isel(model=[10, 3, 5, 9, 0, 8, 7, 6, 1, 2, 4])
    raw, *lossy = style.groups(shuffled)
    assert raw.short == "raw" and raw.style is style.RAW and raw.table.sizes["model"] == 5
    assert [group.label for group in lossy] == list(LABELS.values())
    assert [group.short for group in lossy] == ["10.9×", "21.7×", "34.6×"]
    for group, factor in zip(lossy, FACTORS, strict=True):
        assert set(group.table["factor"].values) == {factor} and group.table.sizes["model"] == 2
    (only,) = style.groups(evaluation_table(factors=()))
    assert only.label == "raw models"


def test_versions_of_equal_ratio_are_told_apart():
    """Two codecs at one ratio: neither swallows the other, and the labels name the codec."""
    of_codec = [model_coords([0.0, 1.0], [0, 0], {1.0: 21.7}, codec) for codec in ("zfp", "sz3")]
    tables = [xr.Dataset({"loss": ("model", [1.0, 2.0])}, coords) for coords in of_codec]
    _, *lossy = style.groups(xr.concat(tables, "model"))
    labels = ["21.7× (sz3, tolerance ×1)", "21.7× (zfp, tolerance ×1)"]
    assert [group.label for group in lossy] == labels == [group.short for group in lossy]


@pytest.mark.parametrize(
    ("rule", "label", "note"),
    [
        ("field", "21.7× (tolerance ×1)", "the factor on Algorithm 1's tolerances."),
        ("sample", "21.7× (sample tolerance ×1)", "the factor on Algorithm 1's tolerances."),
        ("fixed", "21.7× (fixed tolerance 1)", "tolerance in standard deviations of the fields."),
    ],
)
def test_a_label_says_how_the_tolerances_were_chosen(rule, label, note):
    table = xr.Dataset(coords=model_coords([0.0, 1.0], [0, 0], rule=rule))
    assert style.groups(table)[1].label == label
    assert style.version_note(table).endswith(note)
    assert style.version_note(table.isel(model=[0])) == ""


def test_the_band_is_mean_and_two_sigma():
    raw = xr.DataArray([[1.0, 5.0], [3.0, 5.0]], dims=("model", "sample"))
    mean, two_sigma = band = style.two_sigma_band(raw)
    assert mean.values.tolist() == [2, 5]
    np.testing.assert_allclose(two_sigma, [2 * 2**0.5, 0])
    assert band.inside(xr.DataArray([4.0, 6.0], dims="sample")) == 0.5
    with pytest.raises(ValueError, match="at least two raw models; the table holds 1"):
        style.two_sigma_band(raw[:1])


def models(values, seeds):
    return xr.DataArray(values, {"seed": ("model", list(seeds))}, ("model", "sample"))


def test_a_share_is_of_the_band_of_other_seeds():
    raw = models([[0.0], [1.0], [2.0], [9.0]], range(4))
    assert style.share_inside(raw, raw) == 0.75  # of the others' mean 1 and σ 1, 9 is far outside
    lossy = models([[2.9], [2.9], [9.0]], [3, 0, 3])
    assert style.share_inside(lossy, raw) == pytest.approx(2 / 3)
    assert np.isnan(style.share_inside(raw[:2], raw[:2]))


def test_chance_is_what_raw_models_reach_among_each_other():
    raw = models(np.random.default_rng(0).normal(size=(5, 20_000)), range(5))
    chance = stats.t(3).cdf(2 / 1.25**0.5) - stats.t(3).cdf(-2 / 1.25**0.5)
    assert style.share_inside(raw, raw) == pytest.approx(chance, abs=0.005)
    copies = raw + 1e-9  # lossy models that shuffled and began as the raw ones did
    assert style.share_inside(copies, raw) == pytest.approx(chance, abs=0.005)
    assert style.two_sigma_band(raw).inside(copies) > 0.99  # what the band with its own seed says


def test_captions_have_paragraphs_and_real_signs():
    figure, [[ax]] = style.subplots("title", 2)
    for _ in range(2):
        ax.plot([0, 1], label="twice")
    style.add_caption(figure, f"From -1 to 3 dB.\n{'word ' * 40}end.")
    title = figure.legends[0].get_title().get_text()
    assert title.startswith("From −1 to 3\N{NO-BREAK SPACE}dB.\nword") and title.count("\n") == 2
    assert legend(figure) == ["twice"] and caption(figure).endswith("end.")


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (3, 1), (4, 2), (6, 2), (9, 3)])
def test_panels_for_any_number(n, rows):
    figure, axes = style.subplot_grid("title", 2, n)
    assert len(axes) == len(figure.axes) == n
    assert figure.get_figheight() == 2 * rows


def test_a_density_fits_every_curve():
    figure, [[ax]] = style.subplots("title", 2)
    flat, steep = np.linspace(0, 10, 99), np.linspace(4.9, 5.1, 99)
    for values in (flat, steep, np.array([np.nan, np.inf])):
        style.plot_density(ax, values, "", {})
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert low == 0 and high > max(ax.lines[1].get_ydata())
    for line in ax.lines[:2]:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.01)


def test_numbers_that_are_none():
    assert _text.number(np.nan) == "—" and _text.number(-np.inf) == "−∞"
    assert _text.times(9.96) == "10×" and _text.percent(0.0996) == "10 %"
