"""A lab with its JupyterLab stays inside what Binder gives."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import nbformat
import pytest
import requests
from browser import TOKEN, jupyterlab, server
from conftest import chosen_labs
from jupyter_client.blocking import BlockingKernelClient

from grader.memory import Peak
from grader.reference import LAB_BYTES
from grader.source import ROOT, LabSource


@pytest.mark.skipif(not pathlib.Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
@pytest.mark.parametrize("lab", chosen_labs(), ids=lambda lab: lab.name)
def test_memory(
    lab: LabSource, tmp_path: pathlib.Path, record_property: Callable[[str, object], None]
) -> None:
    """JupyterLab's server, its kernel and all that they start, while the whole lab runs with the
    reference answers: the peak of their summed PSS."""
    cells = nbformat.read(lab.notebook, as_version=4).cells
    home, outcomes = tmp_path / "home", []
    with (
        server(jupyterlab(), tmp_path, home, PYTHONPATH=str(ROOT)) as running,
        Peak(running.pid) as peak,
    ):
        api = f"{running.address}/api/kernels?token={TOKEN}"
        kernel = requests.post(api, json={"name": "python3"}, timeout=60).json()["id"]
        client = BlockingKernelClient(
            connection_file=str(home / "runtime" / f"kernel-{kernel}.json")
        )
        client.load_connection_file()
        client.start_channels(hb=False)  # on a busy machine a heart that beats late is no dead one
        client.wait_for_ready(timeout=60)
        for cell in cells:
            if cell.cell_type == "code":
                reply = client.execute_interactive(
                    cell.source, timeout=120, output_hook=lambda message: None
                )
                outcomes.append(reply["content"]["status"])
        client.stop_channels()
    record_property("MiB", peak.bytes // 2**20)
    print(f"{lab.name}: {peak.bytes // 2**20} MiB")
    assert set(outcomes) == {"ok"}
    # A kernel with pandas alone needs more than the lower bound: less would be a broken measure.
    assert 2**27 < peak.bytes < LAB_BYTES
