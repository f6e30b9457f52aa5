"""Colours of fields: map, ends and scale are the same on screen, on paper, in code and in state."""

import io

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from surrlab import explorer
from surrlab.explorer import html
from surrlab.explorer._look import AUTOMATIC, FIXED, MAPS, SIGNED, Look
from surrlab.explorer.widget import ASK, FIELDS, MODELS

Y, X = np.mgrid[0:1:40j, 0:1:24j]
POSITIVE = np.exp(6 * Y * X) * (1 + 0.2 * np.sin(20 * X))


def colours(data):
    return (255 * matplotlib.image.imread(io.BytesIO(data))[::-1, :, :3]).round().astype(int)


def expected(values, cmap, limits, log=False):
    """The colours that matplotlib itself gives to values."""
    norm = (matplotlib.colors.LogNorm if log else matplotlib.colors.Normalize)(*limits, clip=True)
    return (255 * matplotlib.colormaps[cmap](norm(values))[..., :3]).round().astype(int)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("cmap", MAPS)
def test_pictures_have_matplotlib_s_colours(cmap, log):
    found = colours(html.png(POSITIVE, (2.0, 100.0), cmap, log))
    off = np.abs(found - expected(POSITIVE, cmap, (2.0, 100.0), log)).max(axis=-1)
    assert np.quantile(off, 0.99) <= 12  # the next shade of 256


def test_a_field_of_both_signs_is_light_at_zero_and_another_one_is_not():
    for low, high, cmap, ends in (
        (-1.0, 0.5, SIGNED, (-1, 1)), (-0.1, 2.0, "viridis", (-0.1, 2)), (1, 2, "viridis", (1, 2)),
    ):  # fmt: skip
        assert Look().shades((low, high)) == (ends, cmap, False)
    assert Look(limits=(-3, 1)).shades((-1, 1)).limits == (-3, 1)  # as they were typed


def test_what_cannot_be_is_a_sentence():
    for wrong, message in (
        ({"cmap": "jet"}, "no colour map 'jet' here, but viridis, cividis"),
        ({"limits": (2, 1)}, "limits of colours must increase, not go from 2 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Look(**wrong)
    with pytest.raises(ValueError, match="logarithmic colours need values above 0, not from −1 on"):
        Look(log=True).shades((-1, 1))


def test_controls_colour_pictures_bars_and_paper():
    view = explorer.explore_field(POSITIVE, name="height", unit="m")
    page, look = view.fields, view._shared.look
    look.map.value, look.log.value = "magma", True
    limits = POSITIVE.min(), POSITIVE.max()
    off = np.abs(colours(page.images["truth"].value) - expected(POSITIVE, "magma", limits, True))
    assert np.quantile(off, 0.99) <= 12 and "logarithmic colours of height" in page._bars[0].value
    look.limits.value = FIXED
    assert (look.low.value, look.high.value) == pytest.approx(limits, abs=0.01)  # as they were
    assert look.low.value <= limits[0] and look.high.value >= limits[1]
    look.low.value, look.high.value = 2.0, 50.0
    bar = page._bars[0].value
    assert "from 2 to 50" in bar and ">10<" in bar  # the middle of a logarithmic bar
    shown = page.view().sample.truth, page.view().decoded
    assert f"◂ {html.number(np.min(shown))}" in bar and f"{html.number(np.max(shown))} ▸" in bar
    namespace = {"array": POSITIVE}
    call = view.call()
    assert "cmap='magma', limits=(2.0, 50.0), log=True" in call
    exec(call.replace("explorer.picture", "figure = explorer.picture"), namespace)
    image = namespace["figure"].subfigs[0].axes[0].images[0]
    assert image.get_clim() == (2, 50) and image.cmap.name == "magma"
    assert isinstance(image.norm, matplotlib.colors.LogNorm)
    bars = [ax for ax in namespace["figure"].subfigs[0].axes if ax.get_label() == "<colorbar>"]
    assert bars[0]._colorbar.extend == "both"
    look.high.value = 1.0
    assert "must increase, not go from 2" in view.message and page._bars[0].value == bar
    look.limits.value = AUTOMATIC
    assert "from 2 to 50" not in page._bars[0].value and view.message == ""


def test_a_logarithm_is_greyed_out_where_values_are_not_positive():
    view = explorer.explore_field(POSITIVE - 2)
    look, before = view._shared.look, bytes(view.fields.images["truth"].value)
    assert look.log.disabled and look.log.description == "log (needs values > 0)"
    look.log.value = True
    assert view.fields.images["truth"].value == before and "log" not in view.call()
    view.figure()
    look.limits.value = FIXED
    look.low.value = 0.5
    assert not look.log.disabled and "log=True" in view.call() and view.message == ""


@pytest.mark.parametrize("page", [FIELDS, MODELS, ASK])
def test_every_page_has_the_colours_and_its_gif_too(studied, page):
    view = explorer.explore(studied)
    view.page.value = page
    view._shared.look.map.value = "gray"
    shown = view.shown_page
    first = next(iter(shown.images.values()))
    picture = colours((first[0] if page == MODELS else first).value)
    assert (picture[..., 0] == picture[..., 1]).all() and view.message == ""
    one = next(iter(shown.frames())).rows[0][0][1]
    assert np.ptp(colours(one), axis=-1).max() == 0
    assert shown.shades().cmap == "gray" and "cmap='gray'" in view.call()
    other = explorer.restore(view.state)
    assert other.state == view.state and other._shared.look.map.value == "gray"


def test_fixed_limits_are_of_one_field_alone(studied):
    view = explorer.explore(studied)
    look = view._shared.look
    look.limits.value = FIXED
    density = look.low.value, look.high.value
    view.field.value = "pressure"
    assert look.limits.value == AUTOMATIC and "limits" not in view.call()
    view.field.value = "density"
    assert (look.low.value, look.high.value) == density and look.limits.value == FIXED
    low, high = Image.open(io.BytesIO(view.fields.images["truth"].value)).convert("L").getextrema()
    assert low < high
