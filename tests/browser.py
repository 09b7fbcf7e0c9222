"""What the browser tests share: a real server, a real Chromium, and JupyterLab's notebooks."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Locator, Page, expect, sync_playwright

TOKEN = "a-token-of-the-tests"
#: Milliseconds that a step in the browser may take on a busy machine before it counts as failed.
PATIENCE = 120_000
FLAGS = [
    "--no-sandbox",  # Chromium has none for root, and these pages are ours
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A lab needs no network, so none is there.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium() -> str:
    """The path of the system's Chromium; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium here: sudo apt-get install --no-install-recommends chromium")
    return found


@contextlib.contextmanager
def browser_page() -> Iterator[Page]:
    """An empty page of a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


@dataclass(frozen=True)
class Server:
    """A running Jupyter server."""

    address: str
    pid: int


@contextlib.contextmanager
def server(
    command: list[str], folder: pathlib.Path, home: pathlib.Path, **variables: str
) -> Iterator[Server]:
    """Run a Jupyter server in ``folder`` and yield it; ``{port}`` stands for its port.

    Its settings are fresh ones in ``home``, so nobody's own JupyterLab plays a part.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = home / "config"
    config.mkdir(parents=True)
    # Tests in a container run as root, which a server refuses unless told otherwise.
    (config / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    environment = {
        **os.environ,
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        # The launcher or nbgrader_config.py must bring labkit, not the run of the tests.
        "PYTHONPATH": "",
        **variables,
    }
    log = home / "server.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env=environment,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}", log)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.send_signal(signal.SIGTERM)  # kernels have sessions of their own: it ends them
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def jupyterlab(*options: str) -> list[str]:
    """JupyterLab as a teacher starts it, for :func:`server`."""
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port={port}"]
    return [*command, "--ServerApp.port_retries=0", *options]


def _wait(process: subprocess.Popen, address: str, log: pathlib.Path) -> None:
    for _ in range(300):
        with contextlib.suppress(requests.ConnectionError):
            status = requests.get(f"{address}/api/status", params={"token": TOKEN}, timeout=30)
            status.raise_for_status()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            break
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


class Notebook:
    """The notebook in front, as a person sees it; cells are named by their place in the file."""

    def __init__(self, page: Page, title: str) -> None:
        self.page = page
        self.panel = page.locator(".jp-NotebookPanel:visible")
        expect(self.panel.get_by_role("heading", name=title)).to_be_visible()
        # JupyterLab drops what it is asked to run before the kernel is there.
        ready = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
        expect(self.panel.locator(ready)).to_be_visible()

    def cell(self, index: int) -> Locator:
        """A cell, in view: JupyterLab draws the others late or not at all."""
        found = self.panel.locator(f'.jp-Cell[data-windowed-list-index="{index}"]')
        found.scroll_into_view_if_needed()
        return found

    def output(self, index: int) -> Locator:
        """What a code cell shows below its text."""
        return self.cell(index).locator(".jp-OutputArea")

    def run_all(self) -> None:
        """Run every cell from the menu, as someone in a hurry does."""
        menu(self.page, "Run", "Run All Cells")

    def write(self, index: int, text: str) -> None:
        """Replace the text of a code cell and run it."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Shift+Enter")

    def run(self, index: int) -> None:
        """Run one cell."""
        self.cell(index).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Shift+Enter")


def menu(page: Page, *names: str) -> None:
    """Click through a menu of JupyterLab."""
    for name in names:
        page.get_by_role("menuitem", name=name, exact=True).click()
