"""The trusted side: holds the checks and what they expect, and asks the student's process.

Nothing that the student's process prints, raises or displays is a score. Whatever it sends is a
plain value, decoded here, where it can only be compared. This process serves one notebook.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grader.engine import frames
from grader.engine.forkserver import fork
from grader.engine.sandbox import Limits
from labkit.check.answers import AnswerError, Missing
from labkit.check.verdicts import Exercise, NotYet, Verdict

#: The judge decodes what a student made: it needs room, but not the machine's.
MEMORY_MB = 6144
#: Restarts of the student's process beyond one for each exercise.
SPARE_RESTARTS = 3

#: Gives the student's process the names that it had before the answer that was tried last.
FORGET = """\
_before = globals().setdefault("_before", dict(globals()))
for _name in {*globals()} - {*_before, "_before"}:
    del globals()[_name]
globals().update(_before)
"""


@dataclass
class Cost:
    """What the student's processes used."""

    cpu_seconds: float = 0.0
    peak_mb: int = 0


class Session:
    """The student's process, made anew with the same cells when it is gone."""

    def __init__(
        self,
        control: socket.socket,
        cells: list[dict[str, Any]],
        limits: Limits,
        off: frozenset[str],
        restarts: int,
    ) -> None:
        self._control, self._cells, self._limits, self._off = control, cells, limits, off
        self._given = len(cells)
        self._restarts = restarts
        self._end = time.monotonic() + limits.total_seconds
        self._channel: socket.socket | None = None
        self._lifeline: socket.socket | None = None
        self.layers: list[str] | None = None
        self.cost = Cost()
        #: By cell id: outputs and execution count, of the first run.
        self.outputs: dict[str, dict[str, Any]] = {}
        #: By cell id: why it cannot be run.
        self.lethal: dict[str, str] = {}
        #: By cell id: the error that it ended with.
        self.errors: dict[str, str] = {}
        self.secret_in_use = False

    def ask(self, op: str, body: bytes = b"", seconds: float = 0, **names: str) -> tuple:
        """One question. Raises :class:`AnswerError` when the process does not survive it."""
        self.start()
        limit = min(seconds or self._limits.call_seconds, max(self._end - time.monotonic(), 0.1))
        try:
            # The process rings its own alarm first; two seconds later its keeper kills it.
            frames.send(self._channel, {"op": op, **names}, body, limit + 2)
            header, data = frames.receive(self._channel, limit + 2)
        except frames.Late:
            self.stop()
            raise AnswerError(f"it ran longer than {limit:.0f} s and was ended") from None
        except frames.FrameError as error:
            reason = self.stop()
            raise AnswerError(reason or f"it ended its own process ({error})") from None
        if header.get("status") == "missing":
            raise Missing(names.get("name", ""))
        if header.get("status") != "ok":
            raise AnswerError(str(header.get("message", "no reason given"))[:2000])
        return header, data

    def start(self) -> None:
        """Have a process that has run all cells that can be run."""
        while self._channel is None:
            if self._restarts < 0 or time.monotonic() > self._end:
                raise AnswerError("the notebook has used up its time or its restarts")
            self._restarts -= 1
            self._channel, self._lifeline = fork(self._control, self._limits, self._off)
            try:
                header, _ = frames.receive(self._channel, 60, max_body=0)
                self.layers = [str(name) for name in header.get("layers", [])][:32]
            except frames.FrameError:
                self.stop()
                continue
            for cell in self._cells:
                if cell["id"] not in self.lethal and not self._run(cell):
                    break

    def redo(self, cells: list[dict[str, Any]]) -> None:
        """Run these after the cells that were given, in the place of those of the last call."""
        self._cells = [*self._cells[: self._given], *cells]
        for cell in cells:
            for kept in (self.lethal, self.errors, self.outputs):
                kept.pop(cell["id"], None)
        if self._channel is not None:
            for cell in cells:
                if not self._run(cell):
                    break

    def _run(self, cell: dict[str, Any]) -> bool:
        try:
            header, data = self.ask(
                "run", cell["source"].encode("utf-8", "replace"), self._limits.cell_seconds
            )
            items = json.loads(data.decode("utf-8", "surrogatepass"))
        except AnswerError as error:
            self.lethal[cell["id"]] = str(error)
            return self._channel is not None
        except (ValueError, RecursionError):
            items = []
        items = items if isinstance(items, list) else []
        count = header.get("count")
        shown = {"outputs": items, "count": count if isinstance(count, int) else None}
        self.outputs.setdefault(cell["id"], shown)
        if failure := str(header.get("failure", "")):
            self.errors.setdefault(cell["id"], failure.splitlines()[0][:200])
        return True

    def stop(self) -> str:
        """End the process; returns the keeper's reason when it was the keeper who ended it."""
        if self._channel is None:
            return ""
        self._channel.close()
        self._channel = None
        # The keeper may be killing it already: give it the time to say why.
        select.select([self._lifeline], [], [], 0.1)
        report: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._lifeline.shutdown(socket.SHUT_WR)
            self._lifeline.settimeout(10)
            report = json.loads(self._lifeline.recv(65536) or b"{}")
        self._lifeline.close()
        self.cost.cpu_seconds += report.get("cpu_seconds", 0.0)
        self.cost.peak_mb = max(self.cost.peak_mb, report.get("peak_mb", 0))
        reason = report.get("reason", "")
        return f"it {reason} and was ended" if reason.startswith("used") else ""


class RemoteAnswers:
    """The :class:`~labkit.check.Answers` of a process on the other side of a socket."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def bind(self, session: Session) -> None:
        """Ask this process from now on: the lab was opened before there was one."""
        self._session = session

    def value(self, name: str) -> bytes:
        return self._session.ask("value", name=name)[1]

    def call(self, name: str, arguments: bytes) -> bytes:
        try:
            return self._session.ask("call", arguments, name=name)[1]
        except AnswerError as error:
            text = str(error)
            raise AnswerError(text if text.startswith(name) else f"{name}: {text}") from None

    def put(self, name: str, data: bytes) -> str:
        return str(self._session.ask("put", data, name=name)[0].get("path", ""))

    def folder(self) -> str:
        return str(self._session.ask("folder")[0].get("path", ""))

    def read(self, path: str) -> bytes:
        return self._session.ask("read", path=path)[1]

    def files(self, folder: str) -> list[str]:
        found = json.loads(self._session.ask("files", folder=folder)[1])
        return [str(name) for name in found][:10_000] if isinstance(found, list) else []

    def close(self) -> None:
        # Only the folders of a living process need to go.
        if self._session._channel is not None:
            with contextlib.suppress(AnswerError):
                self._session.ask("close")


def main(channel: socket.socket, lifeline: socket.socket, scratch: str, opened: Opened) -> None:
    """Judge one notebook: the job comes over ``channel``, a verdict goes back for each exercise."""
    lifeline.close()
    limit = MEMORY_MB * 2**20
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    _, handles, _, _ = socket.recv_fds(channel, 1, 1)
    control = socket.socket(fileno=handles[0])
    job = json.loads(frames.receive(channel, 60)[1])
    os.environ["COURSE_SECRET"] = job["secret"]
    limits = Limits(**job["limits"])
    restarts = len(job["exercises"]) * 2 + SPARE_RESTARTS
    session = Session(control, job["cells"], limits, frozenset(job["off"]), restarts)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="judge-") as folder:
        os.chdir(folder)
        judge_all(channel, session, job, opened)
        os.chdir("/")


def judge_all(
    channel: socket.socket, session: Session, job: dict[str, Any], opened: Opened
) -> None:
    """Run the cells, then each exercise's check and hidden test; send each verdict when known."""
    with contextlib.suppress(AnswerError):
        session.start()
    broken = _broken_before_answers(session, job["cells"])
    frames.send(channel, {"layers": session.layers, "broken": broken})
    required = set(job["required"])
    if broken or session.layers is None or required - set(session.layers):
        session.stop()
        return
    opened.run()
    opened.answers.bind(session)
    for exercise in job["exercises"]:
        frames.send(channel, {"begin": exercise["key"]})
        if "answer" in exercise:
            os.environ["COURSE_SECRET"] = exercise["secret"]
            cell = {"id": f"{exercise['name']}-answer", "source": exercise["answer"]}
            session.redo([{"id": "forget", "source": FORGET}, cell])
        started = time.monotonic()
        outcome, lines, stage = _judge(session, opened.namespace, exercise)
        seconds = round(time.monotonic() - started, 3)
        verdict = {"outcome": outcome, "lines": lines, "stage": stage, "seconds": seconds}
        frames.send(channel, {"exercise": exercise["key"]}, json.dumps(verdict).encode())
    session.stop()
    end = {"cpu_seconds": session.cost.cpu_seconds, "peak_mb": session.cost.peak_mb}
    frames.send(channel, {"end": True, **end}, json.dumps(session.outputs).encode())


def _broken_before_answers(session: Session, cells: list[dict[str, Any]]) -> str:
    """Why a cell of the lab's own fails before the first answer: never the student's fault."""
    for cell in cells:
        if cell["exercise"]:
            break
        if fault := session.lethal.get(cell["id"]) or session.errors.get(cell["id"]):
            return fault
    return ""


class Opened:
    """The names of a lab's set-up cell, whose checks ask :attr:`answers`; run once, then forked."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.answers = RemoteAnswers()
        self.namespace: dict[str, Any] = {}

    def run(self) -> None:
        """Run the set-up cell, if that was not done before the fork."""
        if self.namespace:
            return
        import labkit.lab

        labkit.lab.ask(self.answers)
        self.namespace["__name__"] = "__main__"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(self._source, "<set-up>", "exec"), self.namespace)

    def steps(self) -> Iterator[bool]:
        """Run it between two steps, for who looks at what it leaves (``ahead.leaves_nothing``)."""
        yield True
        self.run()
        yield True


def _judge(
    session: Session, namespace: dict[str, Any], plan: dict[str, Any]
) -> tuple[str, list[str], str]:
    exercise = Exercise(plan["name"], plan["title"], plan["points"], plan["section"])
    cell = f"{plan['name']}-answer"
    if cell in session.lethal:
        return *_not_yet(exercise, "an answer that runs to its end", session.lethal[cell]), "answer"
    names = dict(namespace)
    done = ""
    for stage in ("check", "hidden"):
        printed = io.StringIO()
        hidden = stage == "hidden"
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(plan[stage], f"<{stage}>", "exec"), names)
        except Verdict as verdict:
            if verdict.outcome == "not started" and cell in session.errors:
                asked = "an answer that runs to its end"
                return *_not_yet(exercise, asked, session.errors[cell]), "answer"
            return verdict.outcome, _clean(verdict.lines), stage
        except AnswerError as error:
            asked = "an answer that runs to its end"
            return *_not_yet(exercise, asked, str(error), hidden=hidden), stage
        except Exception as error:
            # The check trusted the form of the answer: a missing key, a list in place of a number.
            asked = "a result of the form that the task describes"
            found = f"one that the check cannot read ({type(error).__name__})"
            return *_not_yet(exercise, asked, found, hidden=hidden), stage
        done = printed.getvalue().strip()
    return "done", _clean(done.splitlines()[-1:]), ""


def _not_yet(
    exercise: Exercise, asked: str, found: str, *, hidden: bool = False
) -> tuple[str, list[str]]:
    return "not yet", _clean(NotYet(exercise, asked, found, hidden=hidden).lines)


def _clean(lines: list[str]) -> list[str]:
    """Lines for a page or a terminal: no control characters, no line without an end."""
    shown = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    return [line if len(line) <= 400 else f"{line[:400]}…" for line in shown[:8]]
