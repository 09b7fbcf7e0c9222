"""A warm process: the libraries of a lab are imported once, each notebook gets a fork of it.

``python -m grader.engine.forkserver`` is the process; :class:`WarmServer` starts it. Two kinds
exist: one whose forks run students' code behind walls, one whose forks judge. They share nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import logging
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from grader.engine.sandbox import LINUX, Limits, can_mount, keep
from labkit.errors import CourseError

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Libraries that start threads or processes when imported or first used: a fork would lose them.
NEVER_WARM = frozenset({"pyspark", "grpc", "polars", "distributed", "torch", "confluent_kafka"})
START_SECONDS = 120
_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # pyarrow's allocator has a thread of its own otherwise.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class WarmServer:
    """A running warm process, asked for forks; close it when done."""

    def __init__(
        self,
        kind: str,
        imports: Sequence[str],
        datasets: Sequence[str],
        view: Sequence[str] = (),
        child: str = "grader.engine.child",
        setup: str = "",
        hash_seed: int = 0,
    ) -> None:
        self._scratch = tempfile.mkdtemp(prefix="grader-")
        # Passable, for a work directory of the throw-away user where mounts cannot be had.
        os.chmod(self._scratch, 0o711)
        (pathlib.Path(self._scratch) / "root").mkdir()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        plan = {
            "kind": kind,
            "child": child,
            "setup": setup,
            "imports": [n for n in imports if n.split(".")[0] not in NEVER_WARM],
            "datasets": list(datasets),
            "view": list(view),
            "scratch": self._scratch,
            "control": theirs.fileno(),
        }
        # A student's process sees this environment: nothing of the grader's own may be in it.
        environment = {
            **{k: os.environ[k] for k in ("LANG", "LC_ALL", "TZ") if k in os.environ},
            **_ONE_THREAD,
            "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.defpath]),
            "HOME": "/tmp/home",
            "TMPDIR": "/tmp" if kind == "student" else self._scratch,
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": str(hash_seed),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": self._scratch,
            "IPYTHONDIR": self._scratch,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "grader.engine.forkserver", json.dumps(plan)],
            stdin=subprocess.PIPE,
            env=environment,
            cwd=self._scratch,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        #: Send forks' requests here; several processes may hold it.
        self.control = ours
        ours.settimeout(START_SECONDS)
        try:
            #: What the process said of itself when it was ready.
            self.about = json.loads(ours.recv(65536))
        except (TimeoutError, OSError, ValueError):
            self.close()
            raise CourseError("The grader's warm process did not start.") from None
        if self.about.get("error"):
            self.close()
            raise CourseError(self.about["error"])

    def close(self) -> None:
        """End the process and what it forked."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self.control.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None


def fork(
    control: socket.socket, limits: Limits, off: frozenset[str] = frozenset()
) -> tuple[socket.socket, socket.socket]:
    """Ask a warm server for a fork; returns its channel and its lifeline."""
    channel, theirs = socket.socketpair()
    lifeline, keeper = socket.socketpair()
    request = json.dumps({"limits": dataclasses.asdict(limits), "off": sorted(off)}).encode()
    with theirs, keeper:
        socket.send_fds(control, [request], [theirs.fileno(), keeper.fileno()])
    return channel, lifeline


def serve(plan: dict[str, Any]) -> None:
    """Warm up, then fork on request until standard input closes."""
    control = socket.socket(fileno=plan["control"])
    try:
        warm = _warm_up(plan)
    except Exception as error:
        control.send(json.dumps({"error": f"The grader cannot warm up: {error}."}).encode())
        return
    threads = _threads()
    if threads != 1:
        message = f"The grader cannot fork safely: a library of the lab runs {threads} threads."
        control.send(json.dumps({"error": message}).encode())
        return
    can_mount()
    control.send(json.dumps({"threads": threads}).encode())
    # What is there now is shared by all forks; moving it would copy it into each.
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([control, sys.stdin], [], [])
        # Reaped here, not by the kernel: so their processor time is on our account.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if sys.stdin in ready:
            os._exit(0)  # a proper end would free what is frozen, of which libraries complain
        data, handles, _, _ = socket.recv_fds(control, 65536, 2)
        request = json.loads(data)
        if os.fork() == 0:
            _become_fork(plan, warm, request, handles, control)
        for handle in handles:
            os.close(handle)


def _become_fork(
    plan: dict[str, Any],
    warm: Any,
    request: dict[str, Any],
    handles: list[int],
    control: socket.socket,
) -> None:
    status = 70
    try:
        control.close()
        sys.stdin = open(os.devnull)  # noqa: SIM115
        os.dup2(sys.stdin.fileno(), 0)
        channel, lifeline = (socket.socket(fileno=handle) for handle in handles)
        limits = Limits(**request["limits"])
        if plan["kind"] == "judge":
            from grader.engine import judge

            judge.main(channel, lifeline, plan["scratch"], warm)
        else:
            child = importlib.import_module(plan["child"])

            def run(layers: list[str], work: str) -> None:
                child.serve(channel, warm, limits, layers, work)

            off = frozenset(request["off"])
            keep(lifeline, limits, plan["view"], plan["scratch"], off, run, [channel])
        status = 0
    finally:
        os._exit(status)


def _warm_up(plan: dict[str, Any]) -> Any:
    """Import the lab's libraries; returns the student's shell, or the judge's opened lab."""
    sys.path[:] = [entry for entry in sys.path if entry]
    if plan["kind"] == "judge":
        warm = importlib.import_module("grader.engine.judge").Opened(plan["setup"])
    else:
        # Libraries ask for the shell when they are imported, so it comes first.
        warm = importlib.import_module(plan["child"]).make_shell()
    logging.disable(logging.WARNING)  # what a library says when it is imported is no one's here
    # Only while a cell runs do libraries find the shell; pandas asks it how much to print.
    with getattr(warm, "builtin_trap", contextlib.nullcontext()):
        for name in [*plan["imports"], *(["pyarrow.parquet"] if _meets_tables(plan) else [])]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    logging.disable(logging.NOTSET)
    if "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        # The first figure loads fonts and the backend; a new shell's hooks come with it.
        plt.close(plt.figure())
    if plan["datasets"]:
        from labkit.datasets import dataset

        for name in plan["datasets"]:
            dataset(name).path  # noqa: B018  (reading the path verifies the file)
    if plan["kind"] == "judge" and _stays_single(warm.run):
        warm.run()
    return warm


def _meets_tables(plan: dict[str, Any]) -> bool:
    """Whether answers may cross as tables: a lab with data, or with a library beside Python's."""
    own = {"labkit", *sys.stdlib_module_names}
    return bool(plan["datasets"]) or any(n.split(".")[0] not in own for n in plan["imports"])


def _stays_single(run: Callable[[], None]) -> bool:
    """Whether ``run`` starts no thread, which a fork would lose; tried in a fork of its own."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0 if _threads() == 1 else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _threads() -> int:
    if LINUX:
        return len(os.listdir("/proc/self/task"))
    return threading.active_count()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
