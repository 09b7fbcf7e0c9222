"""A lab with its JupyterLab stays inside what Binder gives."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable

import nbformat
import psutil
import pytest
import requests
from browser import TOKEN, jupyterlab, server
from conftest import chosen_labs
from jupyter_client.blocking import BlockingKernelClient

from grader.source import ROOT, LabSource

#: Binder kills at 2 GiB; a learner's own experiments need the rest.
LIMIT = int(1.8 * 2**30)


class Peak:
    """The largest memory of a process and its children, sampled while the block runs."""

    def __init__(self, pid: int, seconds: float = 0.1) -> None:
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._seconds = seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(self._seconds):
            tree = [self._root, *self._root.children(recursive=True)]
            self.bytes = max(self.bytes, sum(map(_share, tree)))


def _share(process: psutil.Process) -> int:
    """The memory of one process in bytes, pages that it shares counted in part (PSS)."""
    try:
        lines = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (OSError, psutil.Error):  # it has just ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


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
        client.start_channels()
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
    assert 2**27 < peak.bytes < LIMIT
