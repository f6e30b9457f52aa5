"""How long a step of the explorer's sliders takes, and whether its memory grows.

    python benchmarks/explorer.py            # about 6 minutes; writes benchmarks/explorer.json

In Python: from setting a slider's value to the last picture's bytes. In the browser: from the key
to the frame that shows the new picture, in Debian's Chromium under a real JupyterLab, kernel and
network and all. Fields of 768 x 256 are a run of 96 x 32, enlarged, with noise of 0.1 % of each
field's spread so that they have something to compress at every scale.
"""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.ndimage
import xarray as xr
from machine import machine

from surrlab import compression, explorer, simulation
from surrlab.data import native
from surrlab.data.stored import Header, write_simulation
from surrlab.simulation.rayleigh_taylor import RayleighTaylor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "explorer"))
SHAPES, STEPS, LONG = ((96, 32), (768, 256)), 100, 500
LIMITS = {
    "python": {"96 x 32": 50, "768 x 256": 200},
    "browser": {"96 x 32": 250, "768 x 256": 450},
}


def study(folder, shape):
    """Results that hold one simulation of `shape`, raw and compressed as Algorithm 1 says."""
    scenario, path = RayleighTaylor(), folder / f"results-{shape[0]}"
    small = simulation.generate(
        scenario, folder / "small", n_simulations=1, shape=SHAPES[0], seed=1
    )
    factor, rng = shape[0] // SHAPES[0][0], np.random.default_rng(0)
    samples = small.read_simulation(0)
    if factor > 1:
        samples = scipy.ndimage.zoom(samples, (1, 1, factor, factor), order=1)
        spread = samples.std(axis=(0, 2, 3), keepdims=True)
        samples += (1e-3 * spread * rng.standard_normal(samples.shape)).astype(np.float32)
    header, (run,) = replace(Header.of(small), grid=scenario.grid(shape)), small.runs
    with ThreadPoolExecutor(1) as pool:
        writer = lambda file: write_simulation(file, header, run, samples)  # noqa: E731
        whole = native.build(
            path / "ensemble", header, {}, {0: run}, {0: writer}, executor=pool, label="write"
        )
        spread = samples.std(axis=(0, 2, 3))
        errors = xr.DataArray(0.05 * spread, {"field": list(whole.field_names)})
        version = compression.Version("zfp", "field", 1.0)
        compression.search_and_compress(
            whole, errors, path / "compressed" / version.folder, executor=pool, version=version
        )
    return path


def quantiles(milliseconds):
    """Median, 95th percentile and maximum."""
    values = np.asarray(milliseconds)
    return {
        "median_ms": round(float(np.median(values)), 1),
        "p95_ms": round(float(np.quantile(values, 0.95)), 1),
        "max_ms": round(float(values.max()), 1),
        "steps": len(values),
    }


def walk(n, low, high):
    """Up and down a slider, a step at a time."""
    period = np.concatenate([np.arange(low, high), np.arange(high, low, -1)])
    return np.resize(period, n).tolist()


def resident():
    """Resident memory of this process in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def in_python(path):
    """Steps of both sliders in this process, and its memory over many."""
    view = explorer.explore(path)
    assert view.message == "", view.message

    def steps(control, values):
        taken = []
        for value in values:
            start = time.perf_counter()
            control.value = value
            taken.append(1e3 * (time.perf_counter() - start))
        assert view.message == "", view.message
        return taken

    settings = walk(STEPS, 4, 20)
    found = {
        "setting": quantiles(steps(view.fields.setting, settings)),
        "time": quantiles(steps(view.time, walk(STEPS, 0, 50))),
    }
    memory = []
    for _ in range(6):  # the first hundred fill the caches, whose bytes are bounded
        steps(view.time, walk(STEPS // 2, 0, 50))
        steps(view.fields.setting, walk(STEPS // 2, 4, 20))
        memory.append(resident())
    return {**found, "resident_mb_after_each_100_steps": memory}


CLOCK = """() => {
  window.steps = [];
  let start = null;
  document.addEventListener('keydown', () => { start = performance.now(); }, true);
  document.querySelectorAll('.surrlab img.sl-field[alt^="decoded"]').forEach(image =>
    image.addEventListener('load', () => requestAnimationFrame(() => setTimeout(() => {
      if (image.alt.includes('truth') && start !== null) {
        window.steps.push(performance.now() - start); start = null; }
    }))));
}"""


def in_browser(path, home):
    """Steps of both sliders from key to frame, and the page's memory over many."""
    from browsing import browser, lab, run_all, workplace

    notebooks = workplace(home / "work", path)
    found = {}
    with browser() as running, lab(notebooks, home / "lab") as url:
        page = running.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(url)
        run_all(page)
        page.wait_for_timeout(3000)
        page.evaluate(CLOCK)
        view = page.locator(".surrlab").last
        for name, label in (("setting", "Setting"), ("time", "Time")):
            press(page, view.get_by_role("slider", name=label), 40)
            page.evaluate("window.steps = []")
            press(page, view.get_by_role("slider", name=label), STEPS)
            found[name] = quantiles(page.evaluate("window.steps"))
        devtools = page.context.new_cdp_session(page)
        memory = [heap(devtools)]
        for _ in range(LONG // STEPS):
            press(page, view.get_by_role("slider", name="Setting"), STEPS)
            memory.append(heap(devtools))
        found["javascript_heap_mb_after_each_100_steps"] = memory
    return found


def press(page, slider, n):
    """Step a slider to and fro by keys, each as soon as the picture of the one before stands."""
    slider.focus()
    value = round(float(slider.get_attribute("aria-valuenow")))
    low, high, key = value - 5, value + 1, "ArrowLeft"  # where a step shows in 256 shades
    for _ in range(n):
        key = {low: "ArrowRight", high: "ArrowLeft"}.get(value, key)
        value += 1 if key == "ArrowRight" else -1
        before = page.evaluate("window.steps.length")
        page.keyboard.press(key)
        page.wait_for_function(f"window.steps.length > {before}", polling=5, timeout=20_000)
    while value != high - 1:  # back to where it began
        page.keyboard.press("ArrowRight" if value < high - 1 else "ArrowLeft")
        page.wait_for_timeout(300)
        value += 1 if value < high - 1 else -1


def heap(devtools):
    """The page's JavaScript heap after a collection, in MB."""
    devtools.send("HeapProfiler.collectGarbage")
    return round(devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6, 1)


def main():
    report = {"limits_ms": LIMITS, "python": {}, "browser": {}}
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            name, path = f"{shape[0]} x {shape[1]}", study(Path(folder), shape)
            # A process of its own: nothing of the preparation counts as its memory.
            child = [sys.executable, __file__, str(path)]
            done = subprocess.run(child, capture_output=True, text=True, check=True)
            report["python"][name] = json.loads(done.stdout)
            report["browser"][name] = in_browser(path, Path(folder) / f"home-{shape[0]}")
            print(name, json.dumps({k: report[k][name] for k in ("python", "browser")}, indent=1))
    packages = ("ipywidgets", "jupyterlab", "numpy", "pillow", "playwright", "zfpy")
    report["machine"] = machine(*packages)
    report["machine"]["versions"]["chromium"] = chromium_version()
    out = HERE / "explorer.json"
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def chromium_version():
    said = subprocess.run([shutil.which("chromium"), "--version"], capture_output=True, text=True)
    return re.search(r"[\d.]+", said.stdout)[0]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(in_python(sys.argv[1])))
    else:
        main()
