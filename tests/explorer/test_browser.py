"""The explorer as its users meet it: Chromium, JupyterLab, voila. ``make browser``.

Left out of plain ``make test``, which must pass where there is no Chromium; ``.ci/run`` runs both.
"""

import itertools
import re
import time

import numpy as np
import pytest
from browsing import ARTEFACTS, browser, command_page, lab, menu, run_all, status, voila, workplace
from hostile import hostile_ensemble

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

# Voila's own page names a style sheet of the world's; its policy keeps the browser from asking.
SILENT = re.compile(r"favicon|cdn\.jsdelivr\.net.*(Content Security Policy|violates)")


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def notebooks(studied, tmp_path_factory):
    return workplace(tmp_path_factory.mktemp("work"), studied)


@pytest.fixture(scope="module")
def page(chromium, notebooks, tmp_path_factory):
    """The explorer in JupyterLab, all cells run; at the end nothing may have been complained of."""
    complaints = []
    with lab(notebooks, tmp_path_factory.mktemp("lab")) as url:
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        listen(page, complaints)
        page.goto(url)
        run_all(page)
        yield page
        assert page.locator(".jp-RenderedText[data-mime-type*='stderr']").count() == 0
        page.close()
    assert complaints == []


def listen(page, complaints):
    def console(message):
        text = f"{message.text} {message.location.get('url')}"
        if message.type == "error" and not SILENT.search(text):
            complaints.append(text)

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(str(error)))


@pytest.fixture
def view(page):
    """The widget, on its first page, with nothing of an earlier test's focus."""
    view = page.locator(".surrlab").last
    view.get_by_role("button", name="Fields", exact=True).click()
    view.get_by_role("img", name="decoded", exact=True).wait_for()
    return view


PICTURE = """image => { const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
  return canvas.toDataURL(); }"""


def picture(view, name):
    """What an image shows, pixel by pixel: not its address, which changes with every message."""
    return view.get_by_role("img", name=name, exact=True).evaluate(PICTURE)


def changed(read, before):
    """What `read` gives as soon as it differs from `before`."""
    deadline = time.monotonic() + 10
    while (now := read()) == before:
        assert time.monotonic() < deadline, "nothing changed within 10 s"
        time.sleep(0.02)
    return now


def place(image):
    """Left, top, width and height of an image in the explorer, wherever the page is scrolled."""
    return image.evaluate("""node => { const box = node.getBoundingClientRect();
      const view = node.closest('.surrlab').getBoundingClientRect();
      return [box.left - view.left, box.top - view.top, box.width, box.height]; }""")


def numbers(view):
    return view.locator(".sl-numbers").inner_text()


def artefact(page, name):
    ARTEFACTS.mkdir(exist_ok=True)
    view = page.locator(".surrlab").last
    view.evaluate("view => view.scrollIntoView()")
    page.screenshot(path=ARTEFACTS / f"{name}.png")


def test_the_notebook_has_run_and_shows_a_static_picture_too(page):
    assert page.locator(".jp-RenderedImage img").count() == 1
    assert page.locator(".jp-OutputArea-error").count() == 0


def test_arrow_keys_on_the_ratio_slider_change_pictures_and_numbers(page, view):
    slider = view.get_by_role("slider", name="Setting")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        before = picture(view, "decoded"), picture(view, "decoded − truth"), numbers(view)
        truth = picture(view, "truth")
        slider.focus()
        page.keyboard.press(key)
        changed(lambda: numbers(view), before[2])
        changed(lambda: picture(view, "decoded − truth"), before[1])
        assert picture(view, "truth") == truth
    changed(lambda: picture(view, "decoded"), "")


@pytest.fixture
def point(view):
    """Codec, setting and ratio that the panel of ratio and error says is chosen."""
    panel = view.get_by_role("slider", name=re.compile("^Point on the lines"))
    view.locator(".sl-rates circle").first.wait_for(timeout=20_000)
    return panel, lambda: panel.get_attribute("aria-valuetext")


def test_a_click_on_a_point_chooses_its_codec_and_moves_the_slider(view, point):
    panel, text = point
    before = text(), numbers(view)
    # Among its neighbours: a click beside a point means the nearest one.
    circle = panel.locator('circle[data-point="sz3 9"]')
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    view.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 3)
    assert changed(text, before[0]).startswith("SZ3, ")
    changed(lambda: numbers(view), before[1])
    codec = view.get_by_label("Codec", exact=True)
    assert codec.evaluate("choice => choice.selectedOptions[0].text") == "SZ3"
    assert float(view.get_by_role("slider", name="Setting").get_attribute("aria-valuenow")) == 9
    codec.select_option(label="zfp")


def test_arrow_keys_on_the_panel_move_setting_and_codec_and_keep_the_focus(page, view, point):
    panel, text = point
    panel.focus()
    seen = [text()]
    for key in ("ArrowLeft", "ArrowDown", "ArrowLeft", "ArrowUp"):
        before = picture(view, "decoded − truth")
        page.keyboard.press(key)
        seen.append(changed(text, seen[-1]))
        changed(lambda: picture(view, "decoded − truth"), before)
        assert panel.evaluate("node => node === document.activeElement")
    assert [one.split(",")[0] for one in seen] == ["zfp", "zfp", "SZ3", "SZ3", "zfp"]


def test_the_panel_by_psnr_and_of_another_time(page, view, point):
    panel, text = point
    view.get_by_role("button", name="PSNR", exact=True).click()
    panel.locator("text", has_text="PSNR (dB)").wait_for()
    assert " dB" in changed(text, "")
    before = text()
    view.get_by_role("slider", name="Time").focus()
    page.keyboard.press("ArrowLeft")
    changed(text, before)  # measured in the background
    view.get_by_role("button", name="L1", exact=True).click()
    panel.locator("text", has_text="L1 error").first.wait_for()


def test_another_codec_changes_pictures_and_marks(view):
    codec, marks = view.get_by_label("Codec", exact=True), view.locator(".sl-settings")
    before, zfp = numbers(view), marks.inner_text()
    codec.select_option(label="SPERR")
    sperr = changed(lambda: numbers(view), before)
    assert "Algorithm 1" in marks.inner_text() != zfp and "×4" in zfp
    codec.select_option(label="zfp")
    assert changed(lambda: numbers(view), sperr) == before and marks.inner_text() == zfp


def test_colours_of_the_difference_stay_or_follow(page, view):
    box = view.get_by_role("checkbox", name="same colours at every setting")
    bar = view.get_by_role("img", name=re.compile("colours of difference")).locator("p").first
    slider = view.get_by_role("slider", name="Setting")
    box.focus()
    before = bar.inner_text()
    page.keyboard.press("Space")
    free = changed(bar.inner_text, before)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    finer = changed(bar.inner_text, free)
    box.focus()
    page.keyboard.press("Space")
    slider.focus()
    told = numbers(view)
    page.keyboard.press("ArrowRight")
    changed(lambda: numbers(view), told)
    assert bar.inner_text() == finer


def test_the_time_slider_and_the_field(page, view):
    before = picture(view, "truth")
    view.get_by_role("slider", name="Time").focus()
    page.keyboard.press("ArrowLeft")
    before = changed(lambda: picture(view, "truth"), before)
    view.get_by_label("Field", exact=True).select_option(label="pressure")
    changed(lambda: picture(view, "truth"), before)
    view.get_by_role("img", name=re.compile("colours of pressure")).wait_for()
    view.get_by_label("Field", exact=True).select_option(label="density")
    view.get_by_role("img", name=re.compile("colours of density")).wait_for()


def test_play_moves_time(view):
    before = picture(view, "truth")
    play = view.get_by_role("button", name="Play or pause")
    play.click()
    before = changed(lambda: picture(view, "truth"), before)
    changed(lambda: picture(view, "truth"), before)
    play.click()


def test_models_page(page, view):
    view.get_by_role("button", name="Models", exact=True).click()
    view.get_by_role("img", name=re.compile("^raw model")).wait_for()
    verdicts = view.get_by_role("list", name="verdicts").get_by_role("listitem")
    assert verdicts.count() == 2
    for text in verdicts.all_inner_texts():
        assert re.search("benign|small|undecided|harmful", text)
    before = picture(view, "truth(simulation)")
    view.get_by_role("slider", name="Time").focus()
    page.keyboard.press("ArrowLeft")
    changed(lambda: picture(view, "truth(simulation)"), before)


def test_ask_page_answers_to_the_arrow_keys(page, view):
    """Every slider has a name, moves by keyboard, and changes pictures and numbers."""
    view.get_by_role("button", name="Ask", exact=True).click()
    raw = "raw model(no loss)"
    view.get_by_role("img", name=raw, exact=True).wait_for(timeout=60_000)
    for name in ("density_ratio", "time (s)"):
        before = picture(view, raw), numbers(view)
        slider = view.get_by_role("slider", name=name, exact=True)
        slider.focus()
        for _ in range(20):
            page.keyboard.press("ArrowLeft")
        changed(lambda: numbers(view), before[1])
        changed(lambda: picture(view, raw), before[0])
    assert "× model error" in numbers(view)
    code = view.locator(".sl-call").first
    code.filter(has_text="picture_prediction").wait_for()
    assert "density_ratio" in code.inner_text()


def test_ask_page_ends_where_the_training_data_end(page, view):
    view.get_by_role("button", name="Ask", exact=True).click()
    slider = view.get_by_role("slider", name="time (s)", exact=True)
    slider.wait_for(timeout=60_000)
    slider.focus()
    page.keyboard.press("End")
    last = changed(lambda: slider.get_attribute("aria-valuenow"), "")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
    assert float(last) <= float(slider.get_attribute("aria-valuemax"))
    version = view.get_by_label("Beside raw", exact=True)
    before = picture(view, "lossy − raw(models)")
    other = version.locator("option").all_inner_texts()
    version.select_option(label=next(o for o in other if "×1)" not in o))
    changed(lambda: picture(view, "lossy − raw(models)"), before)


def test_save_writes_a_png_beside_the_notebook(view, notebooks):
    view.get_by_role("button", name=re.compile("Save$")).click()
    status = view.get_by_role("status").filter(has_text="Saved as")
    status.wait_for()
    (path,) = notebooks.glob("*.png")
    assert str(path) in status.inner_text()
    assert path.read_bytes().startswith(b"\x89PNG")


def test_copy_puts_the_call_on_the_clipboard(page, view):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = view.get_by_role("button", name="Copy Python")
    button.click()
    view.get_by_role("button", name="Copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("from surrlab import explorer\nexplorer.picture(")


def test_every_control_has_a_name(view):
    for role in ("slider", "combobox", "button", "textbox"):
        found = view.get_by_role(role).all()
        assert found, role
        for control in found:
            snapshot = control.aria_snapshot()
            assert re.match(rf'- {role} "[^"]+"', snapshot), snapshot
    for image in view.locator("img.sl-field").all():
        assert image.get_attribute("alt")


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
@pytest.mark.parametrize("width", [700, 1280, 1920])
def test_nothing_is_cut_off_and_text_has_contrast(page, view, theme, width):
    page.set_viewport_size({"width": width, "height": 1100})
    menu(page, "Settings", "Theme", theme)
    dark = theme.endswith("Dark")
    page.locator(f"body[data-jp-theme-light={'false' if dark else 'true'}]").wait_for(
        state="attached"
    )
    tag = f"{width}-{'dark' if dark else 'light'}"
    for name in ("Ask", "Models", "Fields"):
        view.get_by_role("button", name=name, exact=True).click()
        shown = "decoded" if name == "Fields" else "raw model(no loss)"
        view.get_by_role("img", name=shown, exact=True).wait_for()
        assert view.evaluate("v => v.scrollWidth - v.clientWidth") <= 1, "it scrolls sideways"
        artefact(page, f"explorer-{name.lower()}-{tag}")
        for selector in ("dd", ".sl-chart text", ".sl-headline p", "figcaption"):
            found = view.locator(selector).first
            if found.count() and found.is_visible():
                assert contrast(found) > 4.5, (selector, theme)


def contrast(locator):
    """Contrast of a text with what lies behind it, as WCAG counts it (4.5 is legible)."""
    ink, paper = locator.evaluate("""node => {
      const style = getComputedStyle(node);
      const ink = node instanceof SVGElement ? style.fill : style.color;
      let behind = node;
      while (behind && /rgba\\(.*, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor))
        behind = behind.parentElement;
      return [ink, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)']; }""")

    def luminance(colour):
        values = np.array([float(v) for v in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(ink), luminance(paper)))
    return (high + 0.05) / (low + 0.05)


def test_a_folder_with_nothing_is_a_sentence(page, view, tmp_path):
    box = view.get_by_label("Folder")
    before = box.input_value()
    box.fill(str(tmp_path))
    box.press("Enter")
    view.get_by_role("alert").filter(has_text="There is nothing to look at").wait_for()
    box.fill(before)
    box.press("Enter")
    view.get_by_role("img", name="decoded", exact=True).wait_for()


def test_names_from_a_strangers_folder_run_no_script(page, view, tmp_path):
    """What `test_html` finds to be text is text for a real browser, too."""
    page.evaluate("window.alert = text => { window.attacked = text; }")
    box = view.get_by_label("Folder")
    before = box.input_value()
    box.fill(str(hostile_ensemble(tmp_path / "ensemble")))
    box.press("Enter")
    view.locator(".sl-head").filter(has_text="onerror=alert(1)").wait_for()
    view.get_by_role("img", name="decoded", exact=True).wait_for()
    for name in ("Models", "Ask", "Fields"):
        view.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(300)
    artefact(page, "explorer-hostile")
    assert page.evaluate("window.attacked") is None
    assert view.locator("script, img[src=x]").count() == 0
    box.fill(before)
    box.press("Enter")
    view.locator(".sl-head").filter(has_text="rayleigh-taylor").wait_for()


def test_the_list_and_a_file_by_keyboard_alone(page, view, tmp_path):
    cube = np.random.default_rng(0).random((4, 8, 9), np.float32)
    np.save(tmp_path / "cube.npy", cube)
    box = view.get_by_label("Folder")
    before = box.input_value()
    box.fill(str(tmp_path))
    box.press("Enter")
    view.get_by_role("alert").filter(has_text="does not say what its arrays are").wait_for()
    view.get_by_role("button", name="Browse", exact=True).press("Enter")
    entries = view.get_by_label("Choose", exact=True)
    entries.focus()
    assert entries.evaluate("list => list.selectedOptions[0].text") == "cube.npy"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Open"
    page.keyboard.press("Enter")
    view.locator(".sl-head").filter(has_text="cube.npy, 4 × 8 × 9 values").wait_for()
    shown = picture(view, "truth")
    view.get_by_role("slider", name="z", exact=True).focus()
    page.keyboard.press("ArrowRight")
    changed(lambda: picture(view, "truth"), shown)
    artefact(page, "explorer-file")
    view.get_by_role("button", name="Browse", exact=True).press("Enter")
    box.fill(before)
    box.press("Enter")
    view.locator(".sl-head").filter(has_text="rayleigh-taylor").wait_for()
    view.get_by_label("Plane", exact=True).wait_for(state="detached")


def test_wipe_and_blink(page, view):
    images = [view.get_by_role("img", name=name, exact=True) for name in ("truth", "decoded")]
    boxes = [place(image) for image in images]
    view.get_by_role("button", name="wipe", exact=True).press("Enter")
    style = "image => { const s = getComputedStyle(image); return s.clipPath + s.animationName; }"
    assert "50%" in changed(lambda: images[1].evaluate(style), "nonenone")
    now = [place(image) for image in images]
    assert now[0] == now[1] and now[0][2:] == boxes[0][2:]  # one over the other
    view.get_by_label("Wipe from truth to decoded").focus()
    page.keyboard.press("ArrowRight")
    assert "51%" in images[1].evaluate(style)
    artefact(page, "explorer-wipe")
    view.get_by_role("button", name="blink", exact=True).press("Enter")
    changed(lambda: "sl-blink" in images[1].evaluate(style), False)
    view.get_by_role("button", name="side by side", exact=True).press("Enter")
    changed(lambda: place(images[1]), now[1])
    assert [place(image) for image in images] == boxes


def test_a_line_cut_by_click_and_by_keyboard(page, view):
    assert view.locator(".sl-cut-line").count() == 0
    decoded = view.get_by_role("img", name="decoded", exact=True)
    decoded.evaluate("image => image.scrollIntoView({block: 'end'})")
    box = decoded.bounding_box()
    page.mouse.click(box["x"] + 1, box["y"] + box["height"] - 1)  # the first cell of the first row
    cut = view.locator(".sl-cut")
    cut.wait_for()
    row = view.get_by_role("slider", name="Row", exact=True)
    assert float(row.get_attribute("aria-valuenow")) == 0
    lines = view.locator(".sl-cut-line")
    assert lines.count() == 3
    before, box = lines.first.bounding_box()["y"], decoded.bounding_box()
    assert abs(before - box["y"] - box["height"]) < box["height"] / 20
    row.focus()
    page.keyboard.press("ArrowRight")
    assert changed(lambda: lines.first.bounding_box()["y"], before) < before
    text = cut.inner_text()
    view.get_by_role("button", name="column", exact=True).press("Enter")
    assert "Along y at x" in changed(cut.inner_text, text)
    artefact(page, "explorer-cut")
    view.get_by_role("button", name="off", exact=True).press("Enter")
    cut.wait_for(state="detached")
    assert lines.count() == 0


def test_colours_and_limits_by_keyboard(page, view):
    bar = view.get_by_role("img", name=re.compile("colours of density"))
    before, name = picture(view, "truth"), bar.get_attribute("aria-label")
    view.get_by_label("Colours", exact=True).select_option(label="magma")
    magma = changed(lambda: picture(view, "truth"), before)
    view.get_by_role("checkbox", name="log", exact=True).focus()
    page.keyboard.press("Space")
    changed(lambda: picture(view, "truth"), magma)
    assert bar.get_attribute("aria-label") == f"logarithmic {name}"
    page.keyboard.press("Space")
    changed(lambda: bar.get_attribute("aria-label"), f"logarithmic {name}")
    view.get_by_label("Limits", exact=True).select_option(label="fixed")
    low = view.get_by_label("from", exact=True)
    low.fill("2.5")
    low.press("Enter")
    changed(
        lambda: bar.get_attribute("aria-label").startswith("colours of density (g/cm³) from 2.5"),
        False,
    )
    arrow = bar.locator(".sl-beyond")
    assert arrow.inner_text().startswith("◂ ")  # how far below the values go
    artefact(page, "explorer-colours")
    view.get_by_label("Limits", exact=True).select_option(label="automatic")
    view.get_by_label("Colours", exact=True).select_option(label="automatic")
    changed(lambda: picture(view, "truth") == before, False)


def test_zoom_and_pan_by_keyboard_wheel_and_mouse(page, view):
    truth = view.get_by_role("img", name="truth", exact=True)
    window = view.locator(".sl-window")

    def after(act):
        before = window.get_attribute("data-window")
        act()
        return list(map(int, changed(lambda: window.get_attribute("data-window"), before).split()))

    def sizes():
        shown = view.locator("img.sl-field").evaluate_all(
            "all => all.map(image => image.naturalWidth + ' ' + image.naturalHeight)"
        )
        return set(shown)

    whole = window.get_attribute("data-window")
    truth.evaluate("image => image.scrollIntoView({block: 'center'})")
    truth.focus()
    first = after(lambda: page.keyboard.press("+"))
    rows, columns = first[1] - first[0], first[3] - first[2]
    assert rows < 24 and columns < 8
    changed(lambda: sizes() == {f"{columns} {rows}"}, False)  # all pictures together
    upper = after(lambda: page.keyboard.press("ArrowUp"))
    assert upper[0] > first[0] and upper[2:] == first[2:]
    box = truth.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    closer = after(lambda: page.mouse.wheel(0, -120))
    assert closer[1] - closer[0] < rows

    def drag():
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
        page.mouse.up()

    lower = after(drag)
    assert lower[0] < closer[0] and lower[1] - lower[0] == closer[1] - closer[0]
    assert view.locator(".sl-cut").count() == 0  # a drag is no click
    page.mouse.click(box["x"] + 1, box["y"] + box["height"] - 1)
    view.locator(".sl-cut").wait_for()
    row = view.get_by_role("slider", name="Row", exact=True)
    at = list(map(int, window.get_attribute("data-window").split()))
    assert float(row.get_attribute("aria-valuenow")) == at[0]  # its first row, of the whole field
    truth.focus()
    for _ in range(3):
        after(lambda: page.keyboard.press("ArrowUp"))
    away = view.locator(".sl-cut-line").first
    changed(lambda: away.inner_text().startswith("▼ y = "), False)  # it lies beneath the window
    artefact(page, "explorer-zoom")
    truth.focus()
    page.keyboard.press("0")
    changed(lambda: window.get_attribute("data-window") == whole, False)
    assert away.inner_text() == ""
    view.get_by_role("button", name="off", exact=True).press("Enter")
    view.locator(".sl-cut").wait_for(state="detached")


def test_all_fields_and_one_of_them_large(page, view):
    view.get_by_role("button", name="all fields", exact=True).press("Enter")
    pressure = view.get_by_role("button", name="pressure", exact=True)
    pressure.wait_for()
    assert view.locator("img.sl-field").count() == 18
    before = picture(view, "pressure: difference")
    view.get_by_role("slider", name="Setting").focus()
    page.keyboard.press("ArrowLeft")
    changed(lambda: picture(view, "pressure: difference"), before)
    artefact(page, "explorer-all")
    pressure.press("Enter")
    view.get_by_role("img", name=re.compile("colours of pressure")).wait_for()
    view.get_by_label("Field", exact=True).select_option(label="density")
    view.get_by_role("img", name=re.compile("colours of density")).wait_for()


def test_a_copied_state_reopens_the_view(page, view):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    before = numbers(view)
    view.get_by_role("button", name="Copy state").press("Enter")
    view.get_by_role("button", name="Copied").wait_for()
    state = page.evaluate("navigator.clipboard.readText()")
    assert state.startswith("surrlab:fields?folder=")
    view.get_by_role("slider", name="Setting").focus()
    page.keyboard.press("Home")
    changed(lambda: numbers(view), before)
    box = view.get_by_label("Folder")
    box.fill(state)
    box.press("Enter")
    changed(lambda: numbers(view) == before, False)
    assert box.input_value() == "../results/quick"


def test_the_arrays_are_saved_and_offered(view, notebooks):
    view.get_by_label("Save as", exact=True).select_option(label="NetCDF")
    view.get_by_role("button", name=re.compile("Save$")).press("Enter")
    link = view.get_by_role("link", name="download")
    view.get_by_role("status").filter(has_text=".nc").wait_for()
    assert link.get_attribute("href").startswith("data:application/x-netcdf;base64,")
    (path,) = notebooks.glob("*.nc")
    assert path.read_bytes().startswith(b"\x89HDF")
    view.get_by_label("Save as", exact=True).select_option(label="PNG")


def test_narrow_pages_have_models_in_one_row_and_labels_apart(page, view):
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 1100})
        labels = view.locator(".sl-settings i").evaluate_all(
            "all => all.filter(i => getComputedStyle(i).visibility === 'visible')"
            ".map(i => { const text = document.createRange(); text.selectNodeContents(i);"
            " const box = text.getBoundingClientRect(); return [box.left, box.right]; })"
        )
        assert all(right < left for (_, right), (left, _) in itertools.pairwise(labels))
        assert len(labels) < 22 if width == 700 else len(labels) == 22
        view.get_by_role("button", name="Models", exact=True).click()
        view.get_by_role("img", name="raw model(no loss)", exact=True).wait_for()
        uppers = "all => all.map(image => image.getBoundingClientRect().top)"
        tops = view.locator("img.sl-field:not(.sl-difference)").evaluate_all(uppers)
        assert len(tops) == 4 and max(tops) - min(tops) < 1
        view.get_by_role("button", name="Fields", exact=True).click()
        view.get_by_role("img", name="decoded", exact=True).wait_for()
    page.set_viewport_size({"width": 1280, "height": 1000})


@pytest.mark.parametrize("width", [700, 1280])
def test_nothing_moves_when_the_setting_changes(page, view, width):
    page.set_viewport_size({"width": width, "height": 1000})
    truth = view.get_by_role("img", name="truth", exact=True)
    seen, said = set(), numbers(view)
    view.get_by_role("slider", name="Setting").focus()
    for key in ("Home", "End", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        said = changed(lambda: numbers(view), said)
        page.wait_for_timeout(100)  # the sentence and the readout come after the numbers
        seen.add(tuple(place(truth)))
    assert len(seen) == 1


def test_surrlab_explore_opens_that_one_page(chromium, studied, tmp_path):
    complaints = []
    with command_page("explore", studied, home=tmp_path) as url:
        assert status(url.partition("?")[0], "127.0.0.1") == 302  # to what asks for the token
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        listen(page, complaints)
        page.goto(url)
        view = page.locator(".surrlab")
        view.get_by_role("img", name="decoded", exact=True).wait_for(timeout=60_000)
        assert view.count() == 1 and view.get_by_label("Folder").input_value() == str(studied)
        view.get_by_role("button", name=re.compile("Save$")).click()
        view.get_by_role("status").filter(has_text=str(tmp_path)).wait_for()  # and not elsewhere
        page.close()
    assert complaints == []


def test_voila_serves_the_explorer_without_a_notebook(chromium, notebooks, tmp_path):
    complaints, asked = [], []
    with voila(notebooks, tmp_path) as (url, token):
        for path in ("", "voila/render/explore.ipynb"):
            assert status(url + path, "127.0.0.1") == 302  # to its page that asks for the token
            assert status(f"{url}{path}?token={token}", "stranger.example") == 403
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.on("response", lambda response: asked.append(response.url))
        page.goto(f"{url}?token={token}")  # voila's own list asks for kernels it does not serve
        for path in notebooks.glob("*.ipynb"):
            page.get_by_text(path.name).wait_for()
        page.goto("about:blank")
        listen(page, complaints)
        page.goto(f"{url}voila/render/explore.ipynb")
        view = page.locator(".surrlab").last
        view.get_by_role("img", name="decoded", exact=True).wait_for(timeout=60_000)
        before = numbers(view)
        view.get_by_role("slider", name="Setting").focus()
        page.keyboard.press("ArrowLeft")
        changed(lambda: numbers(view), before)
        artefact(page, "explorer-voila")
        page.close()
        assert all(one.startswith((url, "data:", "blob:")) for one in asked)
    assert complaints == []
