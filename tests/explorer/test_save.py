"""What the explorer writes holds what it shows, and a state reopens it; all fields, and cuts."""

import csv
import io
import re

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from surrlab import explorer
from surrlab._text import number, quantity, times
from surrlab.explorer import html
from surrlab.explorer._look import Look
from surrlab.explorer._looks import COLUMN, OFF, ROW, _curves
from surrlab.explorer.pages import ALL, ONE
from surrlab.explorer.widget import ASK, FIELDS, MODELS


@pytest.fixture
def view(studied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return explorer.explore(studied)


def saved(view, kind, tmp_path):
    """The file that the button writes, which is the one that it says."""
    view.format.value = kind
    view.save.click()
    (path,) = tmp_path.glob("surrlab-*")
    assert view.message == f"Saved as {path}"
    data = path.read_bytes()
    path.unlink()
    return data


def test_netcdf_holds_the_arrays_with_units_and_settings(view, tmp_path):
    view.fields.setting.value = 14
    one = view.fields.view()
    data = xr.load_dataset(io.BytesIO(saved(view, "NetCDF", tmp_path)), engine="h5netcdf")
    np.testing.assert_array_equal(data["truth"], one.sample.truth)
    np.testing.assert_array_equal(data["decoded"], one.decoded)
    np.testing.assert_array_equal(data["difference"], one.difference)
    assert data["truth"].units == "g/cm³" and data["y"].units == "cm"
    np.testing.assert_array_equal(data["x"], one.sample.grid.x.points)
    attributes = data.attrs
    assert attributes["tolerance"] == one.tolerance and attributes["codec"] == "zfp"
    assert attributes["L1 error (g per cm³)"] == one.losses.l1
    assert (attributes["simulation"], attributes["step"]) == view.fields.at[:2]


@pytest.mark.parametrize("page", [MODELS, ASK])
def test_arrays_of_the_other_pages(view, page, tmp_path):
    view.page.value = page
    panels = view.shown_page.view().panels
    data = xr.load_dataset(io.BytesIO(saved(view, "NetCDF", tmp_path)), engine="h5netcdf")
    assert len(data.data_vars) == len(panels) > 2
    for found, (name, values) in zip(data.data_vars.values(), panels.items(), strict=True):
        np.testing.assert_array_equal(found, values)
        assert found.long_name.endswith(name)


def test_csv_holds_the_numbers(view, tmp_path):
    one = view.fields.view()
    rows = list(csv.reader(io.StringIO(saved(view, "CSV", tmp_path).decode())))
    assert rows[0] == ["name", "value", "unit"]
    found = {name: (value, unit) for name, value, unit in rows[1:]}
    assert float(found["L1 error"][0]) == one.losses.l1 and found["L1 error"][1] == "g/cm³"
    assert float(found["ratio"][0]) == one.ratio and int(found["bytes"][0]) == one.nbytes
    assert found["field"][0] == "density"
    view.page.value = MODELS
    rows = list(csv.reader(io.StringIO(saved(view, "CSV", tmp_path).decode())))
    states = [value for name, value, _ in rows if name.startswith("verdict, ")]
    assert states == [one.state for one in view.results.models.verdicts]


@pytest.mark.parametrize(("page", "frames"), [(FIELDS, 51), (MODELS, 51), (ASK, 25)])
def test_gif_goes_through_time(view, page, frames, tmp_path):
    view.page.value = page
    with Image.open(io.BytesIO(saved(view, "GIF", tmp_path))) as film:
        assert film.n_frames == frames and film.info["duration"] == 250
        seen = set()
        for frame in range(frames):
            film.seek(frame)
            seen.add(film.convert("RGB").tobytes())
    assert len(seen) == frames


def test_the_sweep_shows_the_setting_that_is_kept(view):
    """A frame's decoded field is what the page shows at that time."""
    page = view.fields
    page.setting.value = 17
    frames = list(page.frames())
    for step in (12, 33):
        view.time.value = step
        ((panels,),) = [frames[step].rows]
        shown = [page.images[name].value for name in ("truth", "decoded", "difference")]
        assert [png for _, png in panels] == shown


def test_svg_is_svg(view, tmp_path):
    data = saved(view, "SVG", tmp_path)
    assert b"<svg" in data and b"density" in data


def test_what_has_no_models_saves_nothing(studied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = explorer.explore(studied / "ensemble")
    view.page.value = MODELS
    for kind in view.format.options:
        view.format.value = kind
        view.save.click()
        assert view.message.startswith("There are no evaluated models")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------ state


def restless(view):
    """A view with everything moved."""
    page = view.fields
    page.simulation.value = view.results.simulations[-1]
    view.time.value, view.field.value = 21, "pressure"
    page.codec.value, page.keep.value, page.setting.value = "sz3", "tolerance", 9
    page.lock.value = False
    page.lock.value = True  # at what is shown
    page.cut.along.value, page.cut.row.value = COLUMN, 3
    page.compare.how.value, page.rates.measure.value = "wipe", "PSNR"
    look = page.shared.look
    look.map.value, look.limits.value, look.log.value = "magma", "fixed", True
    look.low.value *= 1.01
    return view


def looks(view):
    page = view.fields
    pictures = [bytes(image.value) for image in page.images.values()]
    return [
        *pictures,
        *(bar.value for bar in page._bars),
        page.numbers.value,
        page.cut.charts.value,
        view.call(),
        view.state,
    ]


def test_a_state_reopens_the_view(view):
    state = restless(view).state
    assert state.startswith("surrlab:fields?folder=") and "&limit=" in state
    other = explorer.restore(state)
    assert other.message == "" and looks(other) == looks(view)
    assert other.fields.compare.how.value == "wipe" and other.fields.keep.value == "tolerance"
    assert html.escape(state) in view._shared.code.value  # to read and to copy


@pytest.mark.parametrize("page", [MODELS, ASK])
def test_a_state_of_the_other_pages(view, page):
    view.page.value = page
    view.field.value = "pressure"
    if page == ASK:
        view.ask.sliders["time"].value = 3.25
    else:
        view.time.value = 11
    other = explorer.restore(view.state)
    assert other.page.value == page and other.state == view.state and other.call() == view.call()


def test_a_state_in_place_of_a_folder(view, studied):
    state = restless(view).state
    other = explorer.explore(studied / "ensemble")
    other.folder.value = state
    assert (
        other.message == "" and other.folder.value == str(studied) and looks(other) == looks(view)
    )


def test_a_state_of_an_array_in_a_file(tmp_path):
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((5, 8, 9), np.float32))
    view = explorer.explore(tmp_path / "cube.npy")
    view.chooser.plane.value = ("z", "x")
    view.chooser.sliders["y"].value, view.fields.setting.value = 6, 8
    other = explorer.restore(view.state)
    assert other.message == "" and looks(other) == looks(view)
    assert explorer.explore_field(np.eye(4)).state == ""  # there is nothing to name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("surrlab:fields", "surrlab:cellar"), "page=cellar, which is not to be had here"),
        (("step=40", "step=99"), "step=99, which is not to be had here"),
        (("setting=", "setting=a"), r"setting=a\d+, which is not from 0 to 21"),
        (("codec=zfp", "codec=zip"), "codec=zip, which is not to be had"),
        (("step=40", "step=40&limit=-1"), "limit=-1, where a positive number belongs"),
        (("step=40", "step=40&limits=2,1"), "limits=2,1, where two growing numbers belong"),
        (("step=40", "step=40&map=jet"), "map=jet, which is not to be had"),
        (("step=40", "step=40&at.z=one"), "at.z=one, where a whole number belongs"),
        (("step=40", "step=40&at.z=1"), "has no axes but y, x"),
    ],
)
def test_a_state_that_does_not_fit_is_a_sentence(view, change, message):
    other = explorer.restore(view.state.replace(*change))
    assert re.search(message, other.message), other.message


def test_what_is_no_state(view):
    for text in ("results/quick", "surrlab:fields", "other:fields?folder=x"):
        with pytest.raises(ValueError, match="is no state of the explorer"):
            explorer.restore(text)


def test_a_state_never_trusts_a_network(view):
    view.page.value = MODELS
    assert not explorer.restore(view.state + "&trust=1").results.models.trust
    assert explorer.restore(view.state, trust=True).results.models.trust


# ------------------------------------------------------------------------------- cuts, all fields


@pytest.mark.parametrize("along", [ROW, COLUMN])
def test_a_cut_goes_through_the_chosen_cell(view, along):
    page = view.fields
    page.cut.picked.value = "5 2 #1"  # a click turns it on
    assert page.cut.along.value == ROW and (page.cut.row.value, page.cut.column.value) == (5, 2)
    page.cut.along.value = along
    one, line = page.view(), (5, slice(None)) if along == ROW else (slice(None), 2)
    values, difference = page.cut.describe(one, 1.0)
    truth, decoded = (curve.y for curve in values.elements[:2])
    np.testing.assert_array_equal(truth, one.sample.truth[line].astype(float))
    np.testing.assert_array_equal(decoded, one.decoded[line].astype(float))
    np.testing.assert_array_equal(difference.elements[0].y, one.difference[line])
    axis = one.sample.grid.x if along == ROW else one.sample.grid.y
    np.testing.assert_array_equal(values.elements[0].x, axis.points)
    before = page.cut.charts.value
    page.setting.value -= 3
    assert page.cut.charts.value != before and view.message == ""
    page.cut.along.value = OFF
    assert page.cut.charts.value == ""


def test_a_cut_stops_at_a_mask():
    line = np.ones(9)
    line[[0, 4, 5]] = np.nan
    pieces = _curves(np.arange(9.0), line, "truth")
    assert [piece.x.tolist() for piece in pieces] == [[1, 2, 3], [6, 7, 8]]
    assert [piece.label for piece in pieces] == ["truth", ""]


def test_all_fields_at_once_each_at_what_is_chosen(view):
    page = view.fields
    page.which.value = ALL
    assert view.message == "" and list(page.all.images) == list(view.results.truth.field_names)
    page.setting.value += 1
    factor = page._remembered["factor"]
    for name, (truth, decoded, _) in page.all.images.items():
        simulation, step, _, _ = page.at
        settings = view.results.field_settings(simulation, step, name)
        one = settings.view(settings.setting_of(settings.algorithm_1 * factor))
        shades = Look().shades(one.sample.limits)
        assert truth.value == html.png(one.sample.truth, *shades)
        assert decoded.value == html.png(one.decoded, *shades)
        text = page.all._texts[name].value
        assert re.sub("</?p>", "|", text) == (
            f"|{times(one.ratio)}||L1 {number(one.share, 2)} × model error||"
            f"±{html.escape(quantity(one.sample.color_limit, one.sample.field.unit))}|"
        )
    assert "From above: truth, decoded, decoded − truth." in page.all.box.children[-1].value
    assert page.all.names["velocity_x"].description == "velocity x"
    page.all.names["pressure"].click()
    assert page.which.value == ONE and view.field.value == "pressure" and view.message == ""
    sample = page.view().sample
    assert page.images["truth"].value == html.png(sample.truth, sample.limits)


def test_all_fields_without_a_model_say_errors_in_their_units(studied):
    page = explorer.explore(studied / "ensemble").fields
    page.which.value = ALL
    for name in page.all.images:
        field = page.results.truth.fields[page.results.truth.index(name)]
        unit = "" if field.unit == "1" else f" {re.escape(html.escape(field.unit))}"
        text = page.all._texts[name].value
        assert re.fullmatch(
            rf"<p>[\d.]+×</p><p>L1 [\d.,·⁻⁰¹²³⁴-⁹]+{unit}</p><p>±\S+{unit}</p>", text
        )
