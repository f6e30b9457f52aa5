"""Zoom: all pictures show one window; cuts, axes, code, states and files keep true places."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from surrlab import explorer
from surrlab.data.fields import Axis, Field, Grid
from surrlab.explorer import html
from surrlab.explorer._figures import picture_of
from surrlab.explorer._look import Look, Shades
from surrlab.explorer._looks import ROW
from surrlab.explorer._zoom import edges
from surrlab.explorer.pages import ALL
from surrlab.explorer.widget import ASK, FIELDS, MODELS
from surrlab.figures.charts import draw_picture

WINDOW = (4, 16, 2, 6)  # of 24 x 8 cells
PART = np.s_[4:16, 2:6]


@pytest.fixture
def view(studied):
    view = explorer.explore(studied)
    view.fields.setting.value = 15
    view._shared.look.zoom.picked.value = "4 16 2 6 #1"
    return view


def size(png):
    return Image.open(io.BytesIO(png)).size


def test_pictures_are_the_window_and_a_step_keeps_it(view):
    page = view.fields
    for setting in (15, 18):
        page.setting.value = setting
        one, shades = page.view(), page.shades()
        expected = html.png(one.sample.truth[PART], *shades), html.png(one.decoded[PART], *shades)
        assert (page.images["truth"].value, page.images["decoded"].value) == expected
        limit = page._color_limit(one)
        difference = html.png(one.difference[PART], (-limit, limit), html.DIFFERENCE)
        assert page.images["difference"].value == difference
    before = page.numbers.value
    view._shared.look.zoom.whole.click()
    assert size(page.images["truth"].value) == (8, 24) and view.message == ""
    assert page.numbers.value == before and view._shared.look.zoom.whole.disabled


@pytest.mark.parametrize("name", [FIELDS, MODELS, ASK])
def test_every_picture_of_every_page_and_film_shows_it(view, name):
    view.page.value = name
    page = view.shown_page
    for images in page.images.values():
        for image in images if name == MODELS else [images]:
            if image.value:  # the truth has no difference from itself
                assert size(image.value) == (4, 12)
    frame = next(iter(page.frames()))
    assert {size(png) for row in frame.rows for _, png in row if png} == {(4, 12)}
    assert "window=(4, 16, 2, 6)" in view.call() and "&window=4,16,2,6" in view.state.replace(
        "%2C", ","
    )
    other = explorer.restore(view.state)
    assert other._shared.look.zoom.window == WINDOW and other.state == view.state
    assert view.message == other.message == ""


def test_all_fields_show_it(view):
    view.fields.which.value = ALL
    pictures = [image.value for images in view.fields.all.images.values() for image in images]
    assert {size(one) for one in pictures} == {(4, 12)}


def test_axes_on_screen_and_on_paper_say_where_it_is(view):
    grid = view.results.truth.grid
    ends = [(g.low + g.length * a / g.n, g.low + g.length * b / g.n)
            for g, a, b in ((grid.x, 2, 6), (grid.y, 4, 16))]  # fmt: skip
    text = view._shared.look.zoom.place.value
    for (low, high), name in zip(ends, "xy", strict=True):
        assert f"{name} from {html.number(low)} to {html.number(high)} cm" in text
    image = view.figure().subfigs[0].axes[0].images[0]
    np.testing.assert_allclose(image.get_extent(), [*ends[0], *ends[1]])
    assert image.get_array().shape == (12, 4)
    assert (image.axes.get_xlabel(), image.axes.get_ylabel()) == ("x (cm)", "y (cm)")


def test_edges_of_an_axis_that_runs_down():
    axis = Axis("z", "m", (3.5, 2.5, 1.5, 0.5))
    assert edges(axis, 0, 1) == (4, 3) and edges(axis, 1, 4) == (3, 0)


def test_cells_that_are_not_equally_wide_end_where_they_do():
    """On paper such an axis has no ticks, for the picture has equal cells."""
    stretched = Axis("x", "cm", (0.5, 1.5, 3.0, 6.0), 0.0, 8.0)
    assert edges(stretched, 0, 4) == (0.0, 8.0)
    assert edges(stretched, 1, 3) == pytest.approx((1.0, 4.5))
    downwards = Axis("y", "cm", (6.0, 3.0, 1.5, 0.5), 0.0, 8.0)
    assert edges(downwards, 1, 3) == pytest.approx((4.5, 1.0))
    view = SimpleNamespace(
        grid=Grid((Axis.uniform("y", "cm", 4, 0, 1), stretched)), field=Field("density", "g")
    )
    picture = picture_of("truth", np.eye(4), view, Shades((0.0, 1.0)), "density", Look())
    axes = Figure().subplots()
    draw_picture(axes, picture)
    assert len(axes.get_xticks()) == 0 < len(axes.get_yticks())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("", "y (cm)")


def test_a_cut_keeps_its_place_and_its_axis_is_the_window_s(view):
    page = view.fields
    page.cut.picked.value = "7 3 #2"
    assert page.cut.along.value == ROW
    assert f'data-row="{3.5 / 12:.4f}" data-column="{1.5 / 4:.4f}"' in page.cut.charts.value
    values, _ = page.cut.describe(page.view(), 1.0, WINDOW)
    assert values.x.limits == edges(view.results.truth.grid.x, 2, 6)
    np.testing.assert_array_equal(values.elements[0].y, page.view().sample.truth[7].astype(float))
    page.cut.row.value = 20  # above the window: the script draws an arrow
    assert f'data-row="{16.5 / 12:.4f}"' in page.cut.charts.value


@pytest.mark.parametrize("asked", ["4 30 0 8 #2", "-1 4 0 8 #3", "5 5 0 8 #4"])
def test_a_window_that_the_grid_does_not_have_is_a_sentence(view, asked):
    view._shared.look.zoom.picked.value = asked
    assert "a window has two rows within 0 to 24" in view.message
    assert view._shared.look.zoom.window == WINDOW


def test_a_state_and_a_call_with_other_cells_are_refused(view, studied):
    other = explorer.restore(view.state.replace("window=4", "window=40"))
    assert "a window has two rows within 0 to 24" in other.message
    with pytest.raises(ValueError, match="two columns within 0 to 8"):
        explorer.picture(
            studied, simulation=0, step=3, field="density", tolerance=1.0, window=(0, 4, 0, 9)
        )
