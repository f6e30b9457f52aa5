"""The explorer without a browser: what a slider does to pictures, numbers and sentences."""

import base64
import io
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import matplotlib.image
import nbformat
import numpy as np
import pytest

from surrlab import _notebook_runner, explorer
from surrlab._text import number, quantity
from surrlab.compression.codecs.sz3 import Sz3
from surrlab.compression.codecs.zfp import Zfp
from surrlab.data import native
from surrlab.data.ensemble import Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import Header
from surrlab.explorer import html, source
from surrlab.explorer.settings import CACHE_BYTES, N_TOLERANCES
from surrlab.explorer.widget import FIELDS, MODELS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def view(studied):
    return explorer.explore(studied)


def pixels(data, cmap, limits):
    """What a PNG's colours mean: values ``(ny, nx)``, row 0 at the bottom."""
    colours = matplotlib.image.imread(io.BytesIO(data))[::-1, :, :3]
    table = matplotlib.colormaps[cmap](np.arange(256))[:, :3]
    shades = np.abs(colours[:, :, None] - table).sum(-1).argmin(-1)
    return limits[0] + (shades + 0.5) / 256 * (limits[1] - limits[0])


def test_the_slider_changes_pictures_and_numbers(view):
    page = view.fields
    seen = set()
    for setting in (0, 8, 14, N_TOLERANCES):
        page.setting.value = setting
        seen.add((page.images["decoded"].value, page.numbers.value, page.charts.value))
    assert len({images for images, _, _ in seen}) >= 3  # 8 is too fine for 256 shades
    assert len({numbers for _, numbers, _ in seen}) == 4 == len({charts for *_, charts in seen})
    assert view.message == ""


def test_pictures_show_the_fields_on_shared_and_fixed_limits(view):
    page = view.fields
    page.setting.value = N_TOLERANCES - 4
    before = page.view().sample
    for step in (10, 40):
        view.time.value = step
        after, sample = page.view(), page.view().sample
        assert sample.limits == before.limits and sample.color_limit == before.color_limit
        shade = (sample.limits[1] - sample.limits[0]) / 256
        for name, values in (("truth", sample.truth), ("decoded", after.decoded)):
            found = pixels(page.images[name].value, html.FIELD, sample.limits)
            np.testing.assert_allclose(found, values.clip(*sample.limits), atol=1.5 * shade)
        ends = (-sample.color_limit, sample.color_limit)
        found = pixels(page.images["difference"].value, html.DIFFERENCE, ends)
        expected = after.difference.clip(*ends)
        np.testing.assert_allclose(found, expected, atol=sample.color_limit / 30)


def test_the_numbers_are_those_of_the_arrays(view):
    page = view.fields
    page.setting.value = 16
    one = page.view()
    text = re.sub(r"<[^>]+>", " ", page.numbers.value)
    error = np.abs(one.decoded.astype(float) - one.sample.truth)
    assert quantity(error.mean(), "g/cm³") in text
    assert quantity(error.max(), "g/cm³") in text
    assert f"{one.losses.psnr:.1f} dB" in text and "total mass" in text
    assert f"({one.nbytes:,} bytes)" in text
    for word in ("ratio", "tolerance", "L1 error", "L∞ error", "PSNR", "model error"):
        assert html.escape(html.MEANINGS[word]) in page.numbers.value  # as a tooltip


@pytest.mark.parametrize("keep", ["ratio", "tolerance", "Algorithm 1"])
def test_what_is_chosen_stays_when_the_time_changes(view, keep):
    page, results = view.fields, view.results
    page.keep.value = keep
    page.setting.value = 15
    before, chosen = page.view(), results.field_settings(*page.at).algorithm_1
    view.time.value = 30
    after, settings = page.view(), results.field_settings(*page.at)
    if keep == "ratio":
        assert page.setting.value == settings.nearest_ratio(before.ratio)
    elif keep == "tolerance":
        assert after.tolerance == before.tolerance
    else:
        assert after.tolerance / settings.algorithm_1 == before.tolerance / chosen


def test_a_tolerance_in_another_unit_is_not_kept(view):
    page = view.fields
    page.keep.value = "tolerance"
    page.setting.value = 18
    ratio = page.view().ratio
    view.field.value = "velocity_x"
    assert page.setting.value == view.results.field_settings(*page.at).nearest_ratio(ratio)


def test_it_begins_at_algorithm_1_and_marks_it(view):
    page = view.fields
    assert page.view().tolerance == view.results.field_settings(*page.at).algorithm_1
    assert "Algorithm 1</b>" in page.strip.value and "Stored, as" in page.readout.value
    page.setting.value += 2
    assert "Stored, as zfp ×4:" in page.readout.value
    page.setting.value += 1
    assert "Stored" not in page.readout.value


def test_models_page(view):
    view.page.value = MODELS
    page = view.models
    assert [name.partition("×")[0] for name in page.images][:2] == ["truth", "raw model"]
    before = {
        name: bytes(upper.value) + bytes(lower.value)
        for name, (upper, lower) in page.images.items()
    }
    view.time.value = 20
    after = {
        name: bytes(upper.value) + bytes(lower.value)
        for name, (upper, lower) in page.images.items()
    }
    assert all(before[name] != after[name] for name in before)
    assert page.verdicts.value.count("<li>") == 2
    for row in view.results.models.verdicts:  # words, and not colour alone
        assert f">{row.state}</span>" in page.verdicts.value
    assert "±2σ of 2 raw models" in page.chart.value and view.message == ""


@pytest.mark.parametrize("page", [FIELDS, MODELS])
def test_the_call_makes_the_same_figure(view, page):
    view.page.value = page
    view.time.value = 25
    namespace = {}
    exec(view.call().replace("explorer.picture", "figure = explorer.picture"), namespace)
    ours, theirs = (np.asarray(drawn(figure)) for figure in (view.figure(), namespace["figure"]))
    np.testing.assert_array_equal(ours, theirs)
    assert html.escape(view.call()) in view._shared.code.value


def drawn(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.buffer_rgba()


def test_the_call_names_codec_and_colours_where_they_are_chosen(view):
    page = view.fields
    assert "codec" not in view.call() and "color_limit" not in view.call()
    page.codec.value, page.lock.value = "sz3", False
    assert ", codec='sz3', color_limit=" in view.call()
    namespace = {}
    exec(view.call().replace("explorer.picture", "figure = explorer.picture"), namespace)
    ours, theirs = (np.asarray(drawn(figure)) for figure in (view.figure(), namespace["figure"]))
    np.testing.assert_array_equal(ours, theirs)
    assert "-sz3-" in page.file_name()


def test_a_codec_changes_pictures_numbers_and_marks(view):
    page = view.fields
    before = page.images["decoded"].value, page.numbers.value, page.strip.value
    page.codec.value = "sperr"
    after = page.images["decoded"].value, page.numbers.value, page.strip.value
    assert view.message == "" and all(b != a for b, a in zip(before, after, strict=True))
    settings = view.results.field_settings(*page.at)
    assert page.view().tolerance == settings.algorithm_1  # it stays chosen by Algorithm 1
    assert type(settings.codecs[5]).name == "sperr" and "×4" not in page.strip.value
    page.codec.value = "zfp"
    assert (page.images["decoded"].value, page.numbers.value, page.strip.value) == before


def test_a_point_of_the_panel_moves_codec_and_slider(view):
    page = view.fields
    page.rates.finish()
    page.rates.picked.value = "bitround 11 #1"
    assert (page.codec.value, page.setting.value) == ("bitround", 11)
    assert 'data-text="BitRound' in page.rates.mark.value
    for key, codec, setting in (
        ("ArrowRight", "bitround", 12),
        ("Home", "bitround", 0),
        ("ArrowLeft", "bitround", 0),
        ("End", "bitround", N_TOLERANCES),
    ):
        page.rates.picked.value = f"{key} #{setting}-{key}"
        assert (page.codec.value, page.setting.value) == (codec, setting)
    page.rates.picked.value = "ArrowDown #9"
    assert page.codec.value == "zfp" and view.message == ""  # after the last comes the first


def test_each_field_is_shown_with_its_own_codec_until_another_is_chosen(view, monkeypatch):
    own = {"density": Zfp, "pressure": Sz3}
    monkeypatch.setattr(view.results, "codec", lambda name: own.get(name, Zfp))
    view.field.value = "pressure"
    assert view.fields.codec.value == "sz3" and "codec" not in view.call()
    view.field.value = "density"
    assert view.fields.codec.value == "zfp"
    view.fields.codec.value = "sperr"
    view.field.value = "pressure"
    assert view.fields.codec.value == "sperr" and view.message == ""


def test_colours_of_the_difference_are_locked_or_follow_what_is_shown(view):
    page = view.fields
    page.setting.value = 12
    page.lock.value = False
    for setting in (12, 16):
        page.setting.value = setting
        one = page.view()
        limit = page._color_limit(one)
        assert 1 <= limit / np.abs(one.difference).max() <= 1.01
        found = pixels(page.images["difference"].value, html.DIFFERENCE, (-limit, limit))
        np.testing.assert_allclose(found, one.difference, atol=limit / 30)
        assert number(limit) in page._bars[1].value
    page.lock.value = True
    for setting in (5, 20):
        page.setting.value = setting
        assert page._color_limit(page.view()) == limit  # as it was when it was locked
        assert f"{number(-limit)} to {number(limit)}" in page._bars[1].value
        arrows = re.findall("[^<>]*[◂▸][^<>]*", page._bars[1].value)
        assert bool(arrows) == (np.abs(page.view().difference).max() > 1.01 * limit)
    page.limit.value = 2 * limit  # typed
    assert page._color_limit(page.view()) == 2 * limit
    assert f" to {number(2 * limit)}" in page._bars[1].value
    page.limit.value = -1.0
    assert "end at a number above 0, not at -1" in view.message
    view.field.value = "pressure"  # in another unit
    assert page._color_limit(page.view()) == page.view().sample.color_limit
    page.lock.value = False
    page.setting.value = 0  # nothing differs
    assert page._color_limit(page.view()) == page.view().sample.color_limit and view.message == ""


def test_save_says_where(view, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view.save.click()
    (path,) = tmp_path.glob("*.png")
    assert view.message == f"Saved as {path}" and str(path) in view._status.value
    (link,) = re.findall(r'href="data:image/png;base64,([^"]+)"', view._status.value)
    assert base64.b64decode(link) == path.read_bytes()
    view.time.value = 12
    assert view.message == ""  # it is of another view


def test_a_folder_that_cannot_be_written_is_said(view, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    view.save.click()
    assert "No such file or directory" in view.message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nowhere", "There is no folder or file"),
        (lambda path: path, "There is nothing to look at in"),
    ],
)
def test_a_folder_without_anything_is_a_sentence(tmp_path, make, message):
    view = explorer.explore(make(tmp_path))
    assert view.message.startswith(message) and 'role="alert"' in view._status.value
    assert message in view.static().data
    with pytest.raises(ValueError, match=message):
        view.figure()


def test_another_folder_can_be_opened_from_the_widget(view, studied, tmp_path):
    view.folder.value = str(tmp_path)
    assert view.message.startswith("There is nothing to look at")
    view.folder.value = str(studied / "ensemble")
    assert view.message == "" and "no models" in view.results.notes[0]
    view.page.value = MODELS
    assert source.NO_MODELS in view.models.box.children[0].value
    view.save.click()
    assert view.message == source.NO_MODELS


def test_what_goes_wrong_on_the_way_is_a_sentence(studied, tmp_path):
    copy = shutil.copytree(studied / "ensemble", tmp_path / "e")
    view = explorer.explore(copy)
    file = view.results.truth.file(1)
    with h5py.File(file, "a") as damaged:
        damaged["density"][7, 0, 0] = np.nan
    view.fields.simulation.value = 1
    assert "simulation 1, time 7, field density holds 1 values that are NaN" in view.message
    view.fields.simulation.value = 2
    assert view.message == ""
    file.unlink()
    view.fields.simulation.value = 1
    assert str(file) in view.message


def test_one_array():
    y, x = np.mgrid[0:1:40j, 0:1:60j]
    view = explorer.explore_field(np.sin(9 * x * y), name="height", unit="m", model_error=0.01)
    assert view.fields.view().tolerance == view.results.field_settings(0, 0, "height").algorithm_1
    view.fields.setting.value = 10
    call = view.call()
    assert call.endswith(", name='height', unit='m', model_error=0.01)")
    namespace = {"array": np.sin(9 * x * y)}
    exec(call.replace("explorer.picture", "figure = explorer.picture"), namespace)
    np.testing.assert_array_equal(drawn(namespace["figure"]), drawn(view.figure()))


def test_a_constant_array_and_one_with_nan():
    view = explorer.explore_field(np.full((16, 16), 7.0))
    assert view.message == "" and "this field never varies" in view.fields.numbers.value
    assert "nothing is lost" in view.fields.headline.value
    view.figure()
    view = explorer.explore_field(np.full((16, 16), np.nan))
    assert view.message == "256 of 256 values are NaN or infinite: no codec keeps them"


def test_picture_refuses_what_is_not_there(studied):
    where = {"simulation": 0, "step": 0, "field": "density"}
    for wrong, error, message in (
        ({"field": "heat"}, KeyError, "has no field 'heat'; it has density"),
        ({"simulation": 99}, KeyError, "has no simulation 99"),
        ({"step": 51}, IndexError, "has no time step 51; it has 51"),
    ):
        for how in ({}, {"tolerance": 0.5}):
            with pytest.raises(error, match=message):
                explorer.picture(studied, **where | wrong | how)


def test_memory_is_bounded(view):
    """What is kept: caches by bytes, one picture an image, no widgets that pile up."""
    from ipywidgets.widgets import widget

    page = view.fields
    count = len(widget._instances)
    for step in range(60):
        view.time.value = step % 51
        page.setting.value = 5 + step % 15
    assert len(widget._instances) == count
    assert view.results._samples.cache.currsize <= CACHE_BYTES


def test_it_costs_no_torch_until_models_are_looked_at(studied):
    program = f"""
import sys
from surrlab import explorer
view = explorer.explore({str(studied)!r})
assert view.message == "" and "torch" not in sys.modules
view.page.value = {MODELS!r}
assert view.message == "" and "torch" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_notebook_shows_a_picture_without_a_kernel(studied, tmp_path):
    output = tmp_path / "explore.ipynb"
    _notebook_runner.run(NOTEBOOKS / "explore.ipynb", output, {"folder": str(studied)}, timeout=120)
    cells = nbformat.read(output, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]
    assert len(pictures) == 1 and len(base64.b64decode(pictures[0].data["image/png"])) > 10_000
    assert any("application/vnd.jupyter.widget-view+json" in one.data for one in outputs)
    assert "Traceback" not in output.read_text()


def test_every_control_has_a_name_and_an_explanation(view):
    page = view.fields
    for control in (
        view.field, view.time, page.simulation, page.codec, page.setting, page.lock, view.folder
    ):  # fmt: skip
        assert control.description and len(control.tooltip.split()) > 4
    for choice in (view.page, page.keep, page.rates.measure):
        assert all(len(tip.split()) > 4 for tip in choice.tooltips) and choice.description
    assert view.save.tooltip and "title=" in view._shared.code.value


@pytest.fixture
def ragged(tmp_path):
    """Two simulations of different times, three and five of them."""
    header = Header(
        (Field("height", "m"),),
        Grid.uniform({"y": (6, 0, 1), "x": (5, 0, 1)}),
        {"time": "h"},
        benchmark={"name": "tide"},
    )
    runs = {3: Run(3, (), (0.0, 1.0, 2.5)), 8: Run(8, (), (0.5, 1.1, 1.6, 2.4, 9.0))}
    rng = np.random.default_rng(0)

    def writer(run):
        samples = rng.random((len(run.times), 1, 6, 5), np.float32)
        return lambda file: native.write_simulation(file, header, run, samples)

    writers = {s: writer(run) for s, run in runs.items()}
    with ThreadPoolExecutor(1) as pool:
        native.build(tmp_path / "e", header, {}, runs, writers, executor=pool, label="write")
    return explorer.explore(tmp_path / "e")


def test_the_time_slider_follows_the_simulations_own_times(ragged):
    view, page = ragged, ragged.fields
    assert view.message == "" and "3 to 5 times" in view.results.heading
    assert view.time.label == "2.5 h" and view.play.max == 2
    page.simulation.value = 8
    assert view.time.label == "2.4 h"  # the nearest one
    assert view.time.value == 3 and view.play.max == 4
    assert page.view().sample.title == "simulation 8 at 2.4 h"
    view.time.value = 4
    page.simulation.value = 3
    assert view.time.label == "2.5 h" and view.message == ""


def test_pages_with_different_times_keep_their_own(studied_apart):
    view = explorer.explore(studied_apart)
    view.fields.simulation.value = view.results.simulations[-1]
    view.page.value = MODELS
    assert view.message == "" and view.models.simulation.value in (0, 1)
    view.models.simulation.value = 1
    first = bytes(view.models.images["truth"][0].value)
    view.models.simulation.value = 0
    assert bytes(view.models.images["truth"][0].value) != first


def test_a_setting_step_stays_within_seven_rooms(view):
    """Modules of surrlab that Python enters, in any thread, when the slider moves by one."""
    package = Path(explorer.__file__).parents[1]
    rooms = set()

    def profile(frame, event, _):
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(package):
            rooms.add(file.relative_to(package).as_posix())

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        view.fields.setting.value -= 1
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert len(rooms) <= 7, rooms
