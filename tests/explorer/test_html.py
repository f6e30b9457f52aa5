"""What goes into the page: pictures, numbers, and nothing that a file brought as markup."""

import html.parser
import io
import re
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from hostile import EVIL, hostile_ensemble

from surrlab import explorer
from surrlab._tables import write_table
from surrlab.data.fields import Field, Grid
from surrlab.explorer import _figures, _layout, _model_page
from surrlab.explorer import html as page
from surrlab.explorer.comparison import Curves, ModelView, VersionVerdict
from surrlab.explorer.settings import Losses, SampleField, Total
from surrlab.figures.style import STATE_COLORS

TAGS = frozenset(
    "p b i br ul li dl dt dd div span strong code pre button a img style svg g path rect circle "
    "polyline polygon text tspan title figure figcaption label input".split()
)
HANDLERS = {("img", "onload"), ("button", "onclick")}


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of HTML, as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]

    def handle_data(self, data):
        self.text += data


def check(markup):
    """Only the explorer's own tags and handlers."""
    found = Page(markup)
    assert set(found.tags) <= TAGS
    for tag, name, value in found.attributes:
        assert not name.startswith("on") or (tag, name) in {
            ("img", "onload"),
            ("button", "onclick"),
        }
        assert name != "src" or value.startswith("data:image/gif;")
        assert name != "href" or re.match("data:[a-z/+-]+;base64,[A-Za-z0-9+/=]*$", value)
        if name == "onload":
            assert value == (Path(page.__file__).parent / "static/explorer.js").read_text()
        if name == "onclick":
            assert "alert" not in value
    return found


def markup_of(widget):
    """HTML of all widgets inside one."""
    own = [widget.value] if type(widget).__mro__[0].__name__ in ("HTML", "StatusLine") else []
    return own + [text for child in getattr(widget, "children", ()) for text in markup_of(child)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return hostile_ensemble(tmp_path_factory.mktemp("hostile") / "ensemble")


def test_hostile_names_of_an_ensemble_are_text_in_every_view(hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = explorer.explore(hostile)
    assert view.message == ""
    view.fields.setting.value -= 1
    view.time.value = 0
    view.page.value = explorer.widget.MODELS
    view.page.value = explorer.widget.FIELDS
    seen = " ".join(check(text).text for text in markup_of(view))
    assert seen.count("<img src=x onerror=alert(1)>") > 8  # as text, in many places
    view.save.click()
    (saved,) = tmp_path.glob("*")
    assert saved.parent == tmp_path and "<" not in saved.name
    for kind in ("NetCDF", "CSV", "GIF"):
        view.format.value = kind
        view.save.click()
        assert view.message.startswith("Saved as ")
        check(view._status.value)
    view.fields.cut.along.value = "row"
    for which in ("all fields", "one field"):
        view.fields.which.value = which
        for text in markup_of(view):
            check(text)
    assert view.message == "" and "alert(2)" in view.call()
    assert view.static().data.startswith(b"\x89PNG")


def test_a_hostile_path_is_text(tmp_path):
    view = explorer.explore(tmp_path / EVIL.replace("/", "\\"))
    assert view.message.startswith("There is no folder")
    for text in markup_of(view):
        check(text)
    check(view.static().data)


def test_a_hostile_array_is_text():
    view = explorer.explore_field(np.eye(6), name=EVIL.replace("/", "\\"), unit=EVIL)
    assert view.message == ""
    for text in markup_of(view):
        check(text)
    view.figure()


def test_hostile_labels_reasons_and_states_are_text():
    t = np.arange(3.0)
    curves = Curves(EVIL, EVIL, EVIL, t, t, t, t, 3, {EVIL: t})
    verdicts = (VersionVerdict(EVIL, EVIL, EVIL), VersionVerdict("a", "benign", EVIL))
    grid = Grid.uniform({"y": (6, 0, 1), "x": (5, 0, 1)})
    panels = dict.fromkeys(("truth", EVIL), np.eye(6, 5))
    view = ModelView(EVIL, Field("a", EVIL, EVIL), panels, grid, (0, 1), 1, 0.0, curves, verdicts)
    for text in (
        _model_page.verdicts(verdicts),
        explorer.charts.svg(explorer.charts.curve_chart(curves, 1.0)),
        page.heading(EVIL),
        page.page_head(EVIL, [EVIL]),
        page.download(EVIL, EVIL, "AA"),
        page.copy_buttons(EVIL, EVIL),
        page.copy_buttons("", page.state_text({"page": "fields", "folder": EVIL})),
        page.color_bar((0, 1), page.FIELD, EVIL),
        page.settings_strip([("1", "a"), ("2", "b")], {1: EVIL}, 0),
    ):
        check(text)
    _figures.model_figure(view).canvas.draw()


def test_style_and_script_are_those_of_the_files():
    found = check(_layout.page_style())
    style = (Path(page.__file__).parent / "static/explorer.css").read_text()
    assert style in _layout.page_style() and found.tags == ["style", "img"]


def test_a_picture_is_the_field_row_0_at_the_bottom():
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    image = matplotlib.image.imread(io.BytesIO(page.png(values, (0, 3))))
    colors = matplotlib.colormaps[page.FIELD](np.array([[170, 255], [0, 85]]))
    np.testing.assert_allclose(image[..., :3], colors[..., :3], atol=2 / 255)
    flat = matplotlib.image.imread(io.BytesIO(page.png(values, (3, 3))))
    assert (flat == flat[0, 0]).all()


def test_every_state_has_a_lamp_and_its_word():
    rows = [VersionVerdict(f"v{i}", state, "r") for i, state in enumerate(STATE_COLORS)]
    markup = _model_page.verdicts([*rows, VersionVerdict("w", "not judged", "r")])
    for state, color in STATE_COLORS.items():
        assert f">{state}</span>" in markup and f'fill="{color}"' in markup
    assert ">not judged</span>" in markup
    assert _model_page.verdicts([]) == "<p>No verdict is stored here.</p>"


def test_a_sample_without_model_error_says_what_a_cell_loses():
    grid = Grid.uniform({"y": (6, 0, 1), "x": (5, 0, 1)})
    sample = SampleField("a", Field("h", "m"), np.eye(6, 5), grid, (0, 1), 1.0, 1.0)
    losses = Losses(0.25, 0.5, 12.0, (Total("mass", "g", 2.0, 1.9),))
    view = explorer.settings.FieldView(sample, np.eye(6, 5), losses, 0.5, 20.0, 100)
    assert page.headline(view) == "At 20× a cell is off by 0.25 m on average, 0.5 m at worst."
    assert "2 g, −0.1 (−5 %)" in page.numbers(view) and "model error" not in page.numbers(view)


def test_tables_of_hostile_studies_are_text(studied, tmp_path):
    copy = shutil.copytree(studied, tmp_path / "copy")
    for name, column in (("verdicts", "reason"), ("verdicts", "verdict")):
        table = xr.load_dataset(copy / f"{name}.nc", engine="h5netcdf")
        table[column] = table[column].astype(object).copy(data=[EVIL] * table.sizes["version"])
        write_table(copy / f"{name}.nc", table)
    table = xr.load_dataset(copy / "lossy_training.nc", engine="h5netcdf")
    table[table.attrs["curve"]].attrs.update(long_name=EVIL, units=EVIL)
    write_table(copy / "lossy_training.nc", table)
    view = explorer.explore(copy)
    view.page.value = explorer.widget.MODELS
    assert view.message == ""
    seen = " ".join(check(text).text for text in markup_of(view))
    assert "<script>alert(2)</script>" in seen
    view.figure().canvas.draw()


def shades(picture):
    return matplotlib.image.imread(io.BytesIO(picture))[..., :3]


@pytest.mark.parametrize("share", [None, 0.01])
@pytest.mark.parametrize(
    ("size", "dtype"), [(1e-40, "f4"), (3e38, "f4"), (1e300, "f8"), (1e-310, "f8")]
)
def test_the_largest_and_smallest_numbers_have_the_colours_and_numbers_of_others(
    size, dtype, share
):
    """No square, no range and no scale of them leaves what floats can say: warnings are errors."""
    y, x = np.mgrid[-1:1:48j, -1:1:16j]
    plain = np.sin(3 * x) * np.cos(4 * y) * x
    values = (plain / np.abs(plain).max() * size).astype(dtype)
    typical = None if share is None else share * size
    view = explorer.explore_field(values, model_error=typical)
    assert view.message == ""
    view.fields.shared.look.map.value = "viridis"
    expected = page.png(plain, (plain.min(), plain.max()))
    off = np.abs(shades(view.fields.images["truth"].value) - shades(expected))
    assert off.max() < 0.02  # of 1: a shade
    for setting in range(view.fields.setting.max + 1):
        view.fields.setting.value = setting
        assert view.message == ""
        one = view.fields.view()
        assert np.isfinite(one.decoded).all()
        assert one.losses.linf <= one.tolerance or size < 1e-38  # where zfp keeps no bound
        errors = np.abs(one.decoded / np.float64(size) - values / np.float64(size))
        assert one.losses.l1 / size == pytest.approx(errors.mean(), rel=1e-3)
        if errors.any():
            ptp = float(np.ptp(values / np.float64(size)))
            psnr = 10 * np.log10(ptp**2 / np.square(errors).mean())
            assert one.losses.psnr == pytest.approx(psnr, abs=0.01)
    for text in markup_of(view):
        assert not {"nan", "inf"} & set(check(text).text.lower().split())
    view.figure().savefig(io.BytesIO(), format="png")


def test_a_user_s_tex_is_not_asked(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with matplotlib.rc_context({"text.usetex": True}):
        view = explorer.explore_field(np.eye(6), name="a_b %", unit="µm")
        assert view.static().data.startswith(b"\x89PNG")
        view.figure().savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(
    ("limits", "numbers"),
    [((0.882, 7.69), ["0.882", "4.29", "7.69"]), ((-0.00824, 0.00824), ["−0.00824", "0.00824"])],
)
def test_numbers_of_a_narrow_colour_bar_do_not_run_into_each_other(limits, numbers):
    bar = page.color_bar(limits, page.FIELD, "difference")
    assert re.findall(r"<span>([^<]*)</span>", bar.partition("</p>")[0]) == numbers
