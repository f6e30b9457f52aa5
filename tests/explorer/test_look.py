"""The explorer's page without a kernel, as a browser shows it from a file: `docs/look.py`."""

import html
import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from browsing import ARTEFACTS, browser
from hostile import hostile_ensemble

from surrlab.explorer import explore

LOOK = Path(__file__).parents[2] / "docs" / "look.py"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def look():
    spec = importlib.util.spec_from_file_location("look", LOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(look, studied, tmp_path_factory):
    """The page of a study's results."""
    look.write(folder := tmp_path_factory.mktemp("look") / "page", studied)
    return folder


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


def opened(chromium, folder, complaints):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: complaints.append(one.url) if outside(one.url) else None)
    page.goto((folder / "index.html").as_uri())
    page.locator("#headline p").wait_for()
    return page


def outside(address):
    return not address.startswith(("file:", "data:"))


def words(markup):
    return html.unescape(re.sub("<[^>]*>", " ", markup)).split()


def test_it_says_what_the_widgets_say_and_needs_no_server(look, chromium, studied, built):
    complaints = []
    page = opened(chromium, built, complaints)
    widget = explore(studied)
    chosen = page.locator("#when").inner_text()
    widget.time.value = dict(widget.time.options)[chosen]

    def same():
        fields = widget.fields
        assert page.locator("#numbers").inner_text().split() == words(fields.numbers.value)
        assert page.locator("#headline").inner_text().split() == words(fields.headline.value)
        shown = page.locator("#decoded").get_attribute("src").partition("base64,")[2]
        assert shown == look.picture(fields.images["decoded"])

    same()
    page.locator("#setting").focus()
    page.keyboard.press("ArrowLeft")
    widget.fields.setting.value -= 1
    same()
    page.locator("#codec").select_option(label="SPERR")
    widget.fields.codec.value = "sperr"
    widget.fields.setting.value = int(page.locator("#setting").input_value())
    same()
    page.locator('#rates circle[data-point="zfp 9"]').click(force=True)
    widget.fields.codec.value, widget.fields.setting.value = "zfp", 9
    same()
    page.locator("#rates [role=slider]").focus()
    page.keyboard.press("ArrowRight")
    widget.fields.setting.value = 10
    same()
    page.locator("#field").select_option(label="pressure")
    page.locator("#numbers").filter(has_text=re.compile("Pa|g/")).wait_for()
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "look.png", full_page=True)
    page.close()
    assert complaints == []


def test_names_of_a_stranger_run_no_script(look, chromium, tmp_path):
    look.write(tmp_path / "page", hostile_ensemble(tmp_path / "ensemble"))
    page = opened(chromium, tmp_path / "page", [])
    page.evaluate("window.alert = text => { window.attacked = text; }")
    page.reload()
    page.locator("#headline p").wait_for()
    assert "onerror=alert(1)" in page.locator(".sl-head").inner_text()
    assert page.locator("img[src=x]").count() == 0
    page.close()


def test_a_missing_part_is_a_sentence(chromium, built, tmp_path):
    shutil.copytree(built, tmp_path / "page")
    for part in (tmp_path / "page").glob("1-*.js"):
        part.unlink()
    page = opened(chromium, tmp_path / "page", [])
    page.locator("#field").select_option(index=1)
    page.locator("#headline .sl-trouble").filter(has_text="cannot read").wait_for()
    page.close()


def test_it_is_written_again_only_when_something_is_new(look, tmp_path):
    ensemble = hostile_ensemble(tmp_path / "ensemble")
    look.write(tmp_path / "page", ensemble)
    page = tmp_path / "page" / "index.html"
    before = page.stat().st_mtime_ns
    look.write(tmp_path / "page", ensemble)
    assert page.stat().st_mtime_ns == before
    (tmp_path / "page" / "stamp.txt").write_text("of another one")
    look.write(tmp_path / "page", ensemble)
    assert page.stat().st_mtime_ns > before
