"""Warm processes: the libraries of a lab are imported once, each notebook gets forks.

``python -m grader.engine.forkserver`` imports them and forks once: the forks of the one process run
students' code behind walls, those of the other judge. :class:`WarmServer` starts the pair. What is
to be kept from students comes later, to the judges' forks alone.
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
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from grader.engine import confine
from grader.engine.sandbox import Limits, can_mount, keep
from labkit.errors import CourseError

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Libraries that start threads or processes when imported or first used: a fork would lose them.
NEVER_WARM = frozenset({"pyspark", "grpc", "polars", "distributed", "torch", "confluent_kafka"})
START_SECONDS = 120
#: Python makes code faster that has run a few times, and forks share what it has learnt.
REHEARSALS = 12
_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # pyarrow's allocator has a thread of its own otherwise.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class WarmServer:
    """The running pair of warm processes of a lab, asked for forks; close it when done."""

    def __init__(
        self,
        imports: Sequence[str],
        datasets: Sequence[str],
        view: Sequence[str],
        setup: str,
        first: Sequence[str],
        limits: Limits,
        hash_seed: int = 0,
    ) -> None:
        """``setup`` is the judges' first cell, ``first`` are those before students' answers."""
        self._scratch = tempfile.mkdtemp(prefix="grader-")
        # Passable, for a work directory of the throw-away user where mounts cannot be had.
        os.chmod(self._scratch, 0o711)
        (pathlib.Path(self._scratch) / "root").mkdir()
        #: Send forks' requests to these; several processes may hold them.
        self.student, students = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.judge, judges = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        plan = {
            "setup": setup,
            "first": list(first),
            "limits": dataclasses.asdict(limits),
            "imports": [n for n in imports if n.split(".")[0] not in NEVER_WARM],
            "datasets": list(datasets),
            "view": list(view),
            "scratch": self._scratch,
            "student": students.fileno(),
            "judge": judges.fileno(),
        }
        # A student's process sees this environment: nothing of the grader's own may be in it.
        environment = {
            **{k: os.environ[k] for k in ("LANG", "LC_ALL", "TZ") if k in os.environ},
            **_ONE_THREAD,
            "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.defpath]),
            "HOME": "/tmp/home",
            "TMPDIR": "/tmp",
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
            pass_fds=[students.fileno(), judges.fileno()],
        )
        students.close()
        judges.close()
        for control in (self.student, self.judge):
            if error := self._first_word(control):
                self.close()
                raise CourseError(error)
            control.settimeout(START_SECONDS)

    def _first_word(self, control: socket.socket) -> str:
        """Wait until a process is ready; returns what kept it from that."""
        end = time.monotonic() + START_SECONDS
        control.settimeout(0.5)
        while True:
            try:
                return json.loads(control.recv(65536))["error"]
            except TimeoutError:
                # A socket of this kind does not tell that nobody is left to write to it.
                if self.alive and time.monotonic() < end:
                    continue
            except (OSError, ValueError):
                pass
            return "The grader's warm process did not start."

    def close(self) -> None:
        """End the processes and what they forked."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self.student.close()
        self.judge.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether the pair still runs: neither lives without the other."""
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
    """Warm up, become two processes, and fork on request until standard input closes."""
    from grader.engine import ahead, child

    student, judge = (socket.socket(fileno=plan[kind]) for kind in ("student", "judge"))
    # Importing makes no garbage, and looking for it takes a tenth of the time.
    gc.disable()
    try:
        # Libraries ask for the shell when they are imported, so it comes first.
        shell = child.make_shell()
        own = ahead.loaded()
        _import(plan, shell.builtin_trap)
    except Exception as error:
        _report(student, f"The grader cannot warm up: {error}.")
        return
    threads = ahead.threads()
    if threads != 1:
        error = f"The grader cannot fork safely: a library of the lab runs {threads} threads."
        _report(student, error)
        return
    if "pandas" in sys.modules:
        _rehearse_tables()
    _freeze()
    # Each end of the tie is closed by the end of the process that holds it.
    tie, other = socket.socketpair()
    if os.fork() == 0:
        confine.die_with_parent()
        student.close()
        tie.close()
        os.environ["TMPDIR"] = tempfile.tempdir = plan["scratch"]
        judging = importlib.import_module("grader.engine.judge")
        opened = judging.Opened(plan["setup"])
        if ahead.leaves_nothing(opened.steps, own):
            opened.run()
        _freeze()

        def judge_one(channel: socket.socket, lifeline: socket.socket, _request: dict) -> None:
            judging.main(channel, lifeline, plan["scratch"], opened)

        _fork_on_request(judge, other, judge_one)
    judge.close()
    other.close()
    try:
        ran = ahead.run_ahead(shell, plan["first"], Limits(**plan["limits"]), plan["scratch"], own)
    except RuntimeError as error:
        _report(student, f"The grader cannot warm up: {error}.")
        return
    _freeze()
    can_mount()
    confine.rehearse()

    def run_one(channel: socket.socket, lifeline: socket.socket, request: dict) -> None:
        limits = Limits(**request["limits"])

        def run(layers: list[str], work: str) -> None:
            child.serve(channel, shell, ran, limits, layers, work)

        off = frozenset(request["off"])
        keep(lifeline, limits, plan["view"], plan["scratch"], off, run, [channel])

    _fork_on_request(student, tie, run_one)


def _freeze() -> None:
    """What is there now is shared by all forks; looking for garbage in it would copy it."""
    gc.enable()
    gc.collect()
    gc.freeze()


def _report(control: socket.socket, error: str = "") -> None:
    control.send(json.dumps({"error": error}).encode())


def _fork_on_request(
    control: socket.socket,
    tie: socket.socket,
    run: Callable[[socket.socket, socket.socket, dict[str, Any]], None],
) -> NoReturn:
    """Call ``run(channel, lifeline, request)`` in a fork for each request, while ``tie`` holds."""
    from grader.engine import ahead

    files = ahead.files_read()
    _report(control)
    while True:
        ready, _, _ = select.select([control, sys.stdin, tie], [], [])
        # Reaped here, not by the kernel: so their processor time is on our account.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if sys.stdin in ready or tie in ready:
            os._exit(0)  # a proper end would free what is frozen, of which libraries complain
        data, handles, _, _ = socket.recv_fds(control, 65536, 2)
        if os.fork() == 0:
            status = 70
            try:
                ahead.reopen(files)
                control.close()
                tie.close()
                sys.stdin = open(os.devnull)  # noqa: SIM115
                os.dup2(sys.stdin.fileno(), 0)
                run(*(socket.socket(fileno=handle) for handle in handles), json.loads(data))
                status = 0
            finally:
                os._exit(status)
        for handle in handles:
            os.close(handle)


def _import(plan: dict[str, Any], in_a_cell: contextlib.AbstractContextManager) -> None:
    """Import the lab's libraries and verify its data."""
    sys.path[:] = [entry for entry in sys.path if entry]
    logging.disable(logging.WARNING)  # what a library says when it is imported is no one's here
    # Only while a cell runs do libraries find the shell; pandas asks it how much to print.
    with in_a_cell:
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


def _rehearse_tables() -> None:
    """Send a table and compare it, as often as Python needs to make that faster for all forks."""
    import pandas as pd

    from labkit.check import compare, wire

    table = pd.DataFrame({"text": ["a", "b"], "number": [0.5, None], "integer": [1, 2]})
    for _ in range(REHEARSALS):
        compare.rows_gap(wire.decode(wire.encode(table)), table[::-1])


def _meets_tables(plan: dict[str, Any]) -> bool:
    """Whether answers may cross as tables: a lab with data, or with a library beside Python's."""
    own = {"labkit", *sys.stdlib_module_names}
    return bool(plan["datasets"]) or any(n.split(".")[0] not in own for n in plan["imports"])


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
