"""A build asks that a lab and JupyterLab fit into what Binder gives; here is JupyterLab's part."""

from __future__ import annotations

import pathlib
import shutil

import psutil
import pytest
import requests
from browser import TOKEN, jupyterlab, server

from grader.memory import share
from grader.reference import JUPYTERLAB_BYTES
from grader.source import ROOT, sources


@pytest.mark.skipif(not pathlib.Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_jupyterlab_needs_no_more_than_its_part(tmp_path: pathlib.Path) -> None:
    """The server's PSS with a kernel started, and the largest notebook opened and saved."""
    notebooks = [path.with_suffix(".ipynb") for path in sources("")]
    shutil.copy(max(notebooks, key=lambda path: path.stat().st_size), tmp_path / "lab.ipynb")
    with (
        server(jupyterlab(), tmp_path, tmp_path / "home", PYTHONPATH=str(ROOT)) as running,
        requests.Session() as browser,
    ):
        browser.headers["Authorization"] = f"token {TOKEN}"
        api = f"{running.address}/api"
        browser.post(f"{api}/kernels", json={"name": "python3"}, timeout=60).raise_for_status()
        lab = browser.get(f"{api}/contents/lab.ipynb", timeout=60).json()
        browser.put(f"{api}/contents/lab.ipynb", json=lab, timeout=60).raise_for_status()
        process = psutil.Process(running.pid)
        needed, kernel = share(process), sum(map(share, process.children()))
    print(f"JupyterLab: {needed // 2**20} MiB, beside a kernel of {kernel // 2**20} MiB")
    assert kernel > 0  # it is no part of the server's figure
    # A server needs more than the lower bound: less would be a broken measure.
    assert 2**26 < needed < JUPYTERLAB_BYTES
