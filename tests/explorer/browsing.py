"""A real JupyterLab or voila on a free loopback port, and a real Chromium to look at it."""

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
# No look-ups and no updates: the machine may be cut off, and the tests' subject is on loopback.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY_SECONDS = 60


def chromium():
    """Path of the distribution's Chromium; Playwright's own is never downloaded."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise FileNotFoundError("no chromium on this machine: `apt-get install chromium`")
    return found


@contextlib.contextmanager
def browser():
    """Playwright's handle of a running Chromium."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        try:
            yield running
        finally:
            running.close()


def workplace(folder, results):
    """The notebooks beside ``results/quick``, as the explorer's own parameter has it."""
    (folder / "notebooks").mkdir(parents=True)
    for file in (*(ROOT / "notebooks").glob("*.ipynb"), ROOT / "notebooks" / "voila.json"):
        shutil.copy(file, folder / "notebooks")
    (folder / "results").mkdir()
    (folder / "results" / "quick").symlink_to(results)
    return folder / "notebooks"


@contextlib.contextmanager
def lab(notebooks, home):
    """URL of a JupyterLab in `notebooks`, with a token and no settings but its own."""
    config = home / "config" / "labconfig"
    config.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "page_config.json").write_text(json.dumps(quiet))
    token, port = secrets.token_hex(16), free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={notebooks}"]
    with serving(command, home, f"http://127.0.0.1:{port}/api?token={token}"):
        yield f"http://127.0.0.1:{port}/lab/tree/explore.ipynb?token={token}"


@contextlib.contextmanager
def voila(notebooks, home):
    """URL of what voila makes of a folder of notebooks, as ``make explore`` does, and its token."""
    token, port = secrets.token_hex(16), free_port()
    command = [sys.executable, "-m", "voila", ".", "--no-browser", f"--port={port}"]
    url = f"http://127.0.0.1:{port}/"
    with serving([*command, f"--token={token}"], home, url, notebooks):
        yield url, token


@contextlib.contextmanager
def command_page(*arguments, home):
    """URL, token included, of the page that a `surrlab` command run in `home` says it serves."""
    log, command = home / "command.log", [sys.executable, "-m", "surrlab.cli", *map(str, arguments)]
    with log.open("w") as out:
        environment = {**os.environ, "BROWSER": "true", "IPYTHONDIR": str(home / "ipython")}
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=home)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not (found := re.search(r"http://127\S+token=\w+", log.read_text())):
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield found[0]
        finally:
            server.terminate()  # ends voila and its kernels, too
            server.wait(20)


@contextlib.contextmanager
def serving(command, home, url, cwd=None):
    """A server that answers at `url`, its settings and its log in `home`; stopped at the end."""
    home.mkdir(parents=True, exist_ok=True)
    names = ("CONFIG", "DATA", "RUNTIME")
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in names}
    folders |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    log = home / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env={**os.environ, **folders}, stdout=out, stderr=out, cwd=cwd
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not answers(url):
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            server.terminate()  # ends its kernels, too
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def status(url, host):
    """What a server answers to whoever calls it by another name; no redirection is followed."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Host": f"{host}:{parts.port}"}
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        return connection.getresponse().status


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run_all(page):
    """Choose Run → Run All Cells, and wait until the explorer stands there with its pictures."""
    # Before its kernel is there, a notebook that is run asks which one to take.
    page.locator(".jp-StatusBar-TextItem:text('Idle')").first.wait_for(timeout=60_000)
    menu(page, "Run", "Run All Cells")
    page.locator(".surrlab .sl-field").first.wait_for(timeout=30_000)


def menu(page, *labels):
    """Choose an item of JupyterLab's menus."""
    first, *others, last = labels
    page.locator(f".lm-MenuBar-itemLabel:text-is('{first}')").click()
    for label in others:
        page.locator(f".lm-Menu-itemLabel:text-is('{label}')").hover()
    page.locator(f".lm-Menu-itemLabel:text-is('{last}')").click()
