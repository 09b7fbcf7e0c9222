"""The student's side: runs cells in a kernel's shell, and answers the judge's questions.

All that stands here may be read and changed by the code it runs; nothing here is worth it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import traitlets
from ipykernel import zmqshell
from ipykernel.displayhook import ZMQShellDisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets import Type
from traitlets.config import Config

import labkit
from grader.engine import frames
from grader.engine.forkserver import REHEARSALS
from grader.engine.sandbox import Limits
from labkit.check.answers import AnswerError, LocalAnswers, Missing, describe
from labkit.check.wire import MAX_BYTES

#: A cell like those of students.
REHEARSAL = '''
def _rehearse(n):
    """One thing."""
    return [n]


_rehearsed = _rehearse(1)
'''


class TooLong(BaseException):
    """A cell or a call ran past its limit."""


@dataclass
class Ran:
    """What became of a cell: its outputs, its execution count, and the error that it ended with."""

    source: str
    items: list[dict[str, Any]]
    count: int
    failure: str


class Outputs:
    """The outputs of one cell in nbformat's form, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.items: list[dict[str, Any]] = []
        self._left = limit

    def stream(self, name: str, text: str) -> None:
        """Add text to a stream, joined to the one before it."""
        text = self._cut(text)
        if not text:
            return
        last = self.items[-1] if self.items else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += text
        else:
            self.items.append({"output_type": "stream", "name": name, "text": text})

    def add(self, output: dict[str, Any]) -> None:
        """Add a display, a result or an error."""
        text = json.dumps(output, default=str)
        if len(text) <= self._left:
            self._left -= len(text)
            self.items.append(json.loads(text))

    def _cut(self, text: str) -> str:
        if self._left <= 0:
            return ""
        kept = text[: self._left]
        self._left -= len(kept)
        return kept if len(kept) == len(text) else f"{kept}\n… (cut: too much output)\n"


class _Stream:
    encoding, errors = "utf-8", "strict"

    def __init__(self, shell: ZMQInteractiveShell, name: str) -> None:
        self._shell, self.name = shell, name

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._shell.outputs.stream(self.name, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return {"stdout": 1, "stderr": 2}[self.name]


class _Publisher(DisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, **_rest: Any) -> None:
        output = {"output_type": "display_data", "data": data, "metadata": metadata or {}}
        self.shell.outputs.add(output)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.outputs.items.clear()


class _DisplayHook(ZMQShellDisplayHook):
    def start_displayhook(self) -> None:
        self._data: dict[str, Any] = {}

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self._data = {"data": format_dict, "metadata": md_dict or {}}

    def finish_displayhook(self) -> None:
        if self._data:
            count = self.shell.execution_count
            output = {"output_type": "execute_result", "execution_count": count, **self._data}
            self.shell.outputs.add(output)


class ZMQInteractiveShell(zmqshell.ZMQInteractiveShell):
    """A kernel's shell whose outputs go to a list; by its name, libraries know a notebook."""

    displayhook_class = Type(_DisplayHook)
    display_pub_class = Type(_Publisher)

    def __init__(self, **rest: Any) -> None:
        self.outputs = Outputs(0)
        super().__init__(**rest)

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        output = {
            "output_type": "error",
            "ename": str(etype.__name__),
            "evalue": str(evalue),
            "traceback": stb,
        }
        self.outputs.add(output)

    def run(self, source: str, limits: Limits) -> Ran:
        """Run one cell, once outputs are captured."""
        self.outputs = Outputs(limits.output_bytes)
        start = os.lseek(1, 0, os.SEEK_END)
        try:
            with _alarm(limits.cell_seconds):
                result = self.run_cell(source, store_history=True)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as caught:
            error = caught
            self._showtraceback(type(error), error, [f"{type(error).__name__}: {error}"])
        # Told apart from the outputs: what the shell failed to format is no silent success.
        failure = f"{type(error).__name__}: {error}" if error else ""
        # What subprocesses and C code wrote went past Python's own streams.
        written = os.pread(1, limits.output_bytes, start)
        self.outputs.stream("stdout", written.decode("utf-8", "replace"))
        return Ran(source, self.outputs.items, self.execution_count - 1, failure)


def make_shell() -> ZMQInteractiveShell:
    """The one shell of this process, made before the libraries are imported."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    shell = ZMQInteractiveShell.instance(config=config)
    for _ in range(REHEARSALS):
        shell.run_cell(REHEARSAL, store_history=False)
    for name in ("_rehearse", "_rehearsed"):
        del shell.user_ns[name]
    shell.last_execution_result = None
    return shell


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: Any) -> None:
        raise TooLong(f"it ran longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def capture(shell: ZMQInteractiveShell, folder: str) -> None:
    """Have all that this process writes among the shell's outputs."""
    handle = os.memfd_create("output") if hasattr(os, "memfd_create") else _file(folder)
    for number in (1, 2):
        os.dup2(handle, number)
    os.close(handle)
    sys.stdout, sys.stderr = _Stream(shell, "stdout"), _Stream(shell, "stderr")


def serve(
    channel: socket.socket,
    shell: ZMQInteractiveShell,
    ahead: list[Ran],
    limits: Limits,
    layers: list[str],
    work: str,
) -> None:
    """Answer the judge until it goes away; what was run ``ahead`` is not run again."""
    os.environ["TMPDIR"] = "/tmp" if work.startswith("/tmp/home") else work
    os.environ["HOME"] = work
    capture(shell, work)
    if ahead and (missing := _unreadable()):
        ahead[0].failure = missing
    shell.user_ns.pop("exit", None)
    answers = LocalAnswers(shell.user_ns)
    frames.send(channel, {"layers": layers})
    while True:
        header, body = frames.receive(channel, None)
        try:
            reply, data = _answer(shell, ahead, answers, limits, header, body)
        except Missing:
            reply, data = {"status": "missing"}, b""
        except AnswerError as error:
            reply, data = {"status": "error", "message": str(error)[:2000]}, b""
        except MemoryError:
            reply, data = {"status": "error", "message": "it needs too much memory"}, b""
        except BaseException as error:
            message = describe(error, header.get("name", "the answer"))
            reply, data = {"status": "error", "message": message[:2000]}, b""
        frames.send(channel, reply, data)


def _unreadable() -> str:
    """Why Python's own files cannot be read in here, where it once could read them outside."""
    for module in (json, traitlets, labkit):
        try:
            open(module.__file__).close()
        except OSError as error:
            return f"{type(error).__name__}: {error}"
    return ""


def _answer(
    shell: ZMQInteractiveShell,
    ahead: list[Ran],
    answers: LocalAnswers,
    limits: Limits,
    header: dict[str, Any],
    body: bytes,
) -> tuple[dict[str, Any], bytes]:
    done = {"status": "ok"}
    match header["op"]:
        case "run":
            source = body.decode("utf-8", "replace")
            ran = ahead.pop(0) if ahead else shell.run(source, limits)
            if ran.source != source:
                raise AnswerError("other cells were run ahead")
            done |= {"count": ran.count, "failure": ran.failure[:2000]}
            return done, json.dumps(ran.items).encode("utf-8", "surrogatepass")
        case "value":
            with _alarm(limits.call_seconds):
                return done, answers.value(header["name"])
        case "call":
            shell.outputs = Outputs(limits.output_bytes)
            with _alarm(limits.call_seconds):
                return done, answers.call(header["name"], body)
        case "put":
            return done | {"path": answers.put(header["name"], body)}, b""
        case "folder":
            return done | {"path": answers.folder()}, b""
        case "read":
            return done, answers.read(header["path"])[:MAX_BYTES]
        case "files":
            return done, json.dumps(answers.files(header["folder"])).encode()
        case "close":
            answers.close()
    return done, b""


def _file(work: str) -> int:
    return os.open(os.path.join(work, ".output"), os.O_RDWR | os.O_CREAT, 0o600)
