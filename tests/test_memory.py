"""A build asks that a lab and JupyterLab fit into what Binder gives: JupyterLab's part, and how
memory that processes share is counted."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import requests
from browser import TOKEN, jupyterlab, server

from grader.engine.sandbox import _usage
from grader.memory import share
from grader.reference import JUPYTERLAB_BYTES
from grader.source import ROOT, sources
from labkit.services import supervisor

LINUX = pathlib.Path("/proc/self/smaps_rollup").exists()
#: Holds memory, and starts a child as a JVM does: it has its parent's memory until it execs.
PARENT = f"""
import ctypes, sys
libc, block = ctypes.CDLL(None), b"x" * 2**27
stack = ctypes.create_string_buffer(2**20)
top = (ctypes.addressof(stack) + 2**20 - 64) & ~15
flags = int(sys.argv[1]) | {int(signal.SIGCHLD)}
sleep = ctypes.cast(libc.pause, ctypes.c_void_p)
libc.clone(sleep, ctypes.c_void_p(top), flags, None)
libc.pause()
"""
CLONE_VM = 0x100


def kernel_tells() -> bool:
    """Containers may forbid the question."""
    me = os.getpid(), os.getpid()
    number = supervisor._KCMP
    return bool(number) and not supervisor._libc.syscall(number, *me, supervisor._KCMP_VM, 0, 0)


@pytest.mark.skipif(not LINUX or not kernel_tells(), reason="needs kcmp(2), as Linux has it")
@pytest.mark.parametrize("flags", [CLONE_VM, 0], ids=["vfork", "fork"])
def test_memory_that_a_child_has_of_its_parent_counts_once(flags: int) -> None:
    """A JVM that starts a program was counted twice for a moment, and ended for it."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(flags)]) as running:
        try:
            parent = psutil.Process(running.pid)
            while not (children := parent.children()):
                assert running.poll() is None
            (child,) = children
            twice = [process.memory_full_info().pss for process in (parent, child)]
            assert supervisor.in_parents_memory(child) == bool(flags)
            assert not supervisor.in_parents_memory(parent)
            assert 2**27 < share(parent) + share(child) < 1.5 * 2**27
            assert (sum(twice) > 2 * 2**27) == bool(flags)  # what a plain sum says
            looks = [supervisor._megabytes(process, shared=True) for process in (parent, child)]
            assert 128 < sum(looks) < 192
            assert 128 < _usage(running.pid, limit_mb=0)[0] < 192
        finally:
            for process in [*psutil.Process(running.pid).children(), running]:
                process.kill()


@pytest.mark.skipif(not LINUX, reason="needs Linux")
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
