"""``grade(notebook, lab)``: one submission, judged in processes of its own."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import pathlib
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.build.catalogue import DATA, resources
from grader.engine import frames
from grader.engine.forkserver import NEVER_WARM, ROOT, WarmServer, fork
from grader.engine.rebuild import Plan, PlanCell, make_plan, rebuild
from grader.engine.sandbox import Limits
from grader.source import LabSource, read_source, sources
from labkit import layers
from labkit.datasets import dataset
from labkit.errors import CourseError

#: Seconds that the judge may spend on one exercise, beyond the student's own limits.
JUDGE_SECONDS = 120
#: Parts of the system that a student's code may read; the grader, the labs' sources and the
#: tests are not among them.
SYSTEM = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/fonts",
]


@dataclass
class ExerciseResult:
    """The verdict on one exercise, as the student reads it."""

    name: str
    title: str
    points: int
    maximum: int
    outcome: str
    lines: list[str]
    #: Where it was decided: "answer", "check", "hidden", or "" when all is done.
    stage: str
    seconds: float


@dataclass
class Result:
    """The verdict on one notebook."""

    lab: str
    exercises: list[ExerciseResult]
    repairs: list[str]
    layers: list[str]
    seconds: float
    cpu_seconds: float
    peak_mb: int
    #: By cell id: what was run, its outputs and its execution count.
    cells: dict[str, dict[str, Any]] = field(repr=False, default_factory=dict)

    @property
    def points(self) -> int:
        """Points earned."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def maximum(self) -> int:
        """Points of all exercises."""
        return sum(exercise.maximum for exercise in self.exercises)

    def outcome(self, exercise: str) -> str:
        """The outcome of one exercise."""
        return next(e.outcome for e in self.exercises if e.name == exercise)


@dataclass(frozen=True)
class Try:
    """One answer to an exercise, with what judges it."""

    answer: str
    check: str
    hidden: str
    secret: str = "public"


class Grader:
    """The two warm processes of a lab, and the grading of its notebooks. Use it in a ``with``."""

    def __init__(
        self,
        lab: LabSource | Plan | str,
        *,
        limits: Limits | None = None,
        require: Iterable[str] = (),
        off: Iterable[str] = (),
        hash_seed: int = 0,
    ) -> None:
        """``hash_seed`` decides the order of sets, the same for all submissions."""
        self.plan = _plan(lab)
        self.required, self.off = frozenset(require), frozenset(off)
        names = list(self.plan.datasets)
        for name in names:
            dataset(name).path  # noqa: B018  (builds what is missing, before the walls stand)
        layers.fetch(self.plan.layers)
        view = _view(names)
        if self.plan.systems:
            view += _fetched(self.plan.systems)
        self.limits = self._for_systems(limits or Limits())
        self._start = functools.partial(
            WarmServer,
            self.plan.imports,
            names,
            view,
            self.plan.setup,
            _first_cells(self.plan),
            self.limits,
            hash_seed,
        )
        self._running: WarmServer | None = None
        self._starting = threading.Lock()

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the warm processes."""
        if self._running:
            self._running.close()
        self._running = None

    def grade(
        self, submitted: pathlib.Path | bytes | dict[str, Any], only: Iterable[str] = ()
    ) -> Result:
        """Grade one submission, or ``only`` some of its exercises.

        Raises :class:`~labkit.errors.CourseError` when it cannot be judged at all: a file that is
        none, or fewer sandbox layers than required.
        """
        started = time.monotonic()
        rebuilt = rebuild(self.plan, submitted)
        wanted = set(only) or {exercise.name for exercise in self.plan.exercises}
        items = [{"key": e.name, **dataclasses.asdict(e)} for e in self._chosen(wanted)]
        verdicts, end = self._judge(rebuilt.cells, items, self.limits)
        return Result(
            lab=self.plan.lab,
            exercises=[self._result(e, verdicts[e.name]) for e in self._chosen(wanted)],
            repairs=rebuilt.repairs,
            layers=end["layers"],
            seconds=round(time.monotonic() - started, 3),
            cpu_seconds=round(end["cpu_seconds"], 3),
            peak_mb=end["peak_mb"],
            cells={
                cell.id: {"source": cell.source, **_shown(end["outputs"].get(cell.id))}
                for cell in rebuilt.cells
            },
        )

    def tries(
        self, exercise: str, answers: dict[str, str], tries: Sequence[Try], limits: Limits
    ) -> tuple[list[ExerciseResult], int]:
        """Judge many answers to one exercise, one after the other in one student's process.

        ``answers`` are those to the exercises before it. Returns a verdict for each try, and the
        peak memory in MB. Names do not outlive a try; what it changed in an object or a file may.
        """
        mine = self._chosen({exercise})[0]
        place = [cell.exercise for cell in self.plan.cells].index(exercise)
        cells = [
            dataclasses.replace(cell, source=answers[cell.exercise]) if cell.exercise else cell
            for cell in self.plan.cells[:place]
        ]
        items = [
            {"key": str(number), **dataclasses.asdict(mine), **dataclasses.asdict(one)}
            for number, one in enumerate(tries)
        ]
        verdicts, end = self._judge(cells, items, self._for_systems(limits))
        return [self._result(mine, verdicts[item["key"]]) for item in items], end["peak_mb"]

    def _judge(
        self, cells: list[PlanCell], items: list[dict[str, Any]], limits: Limits
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """Verdicts by the items' keys, and what the student's processes showed and used."""
        verdicts: dict[str, dict[str, Any]] = {}
        died: set[str] = set()
        end: dict[str, Any] = {"layers": [], "cpu_seconds": 0.0, "peak_mb": 0, "outputs": {}}
        while items:
            job = {
                "cells": [dataclasses.asdict(cell) for cell in cells],
                "exercises": items,
                "limits": dataclasses.asdict(limits),
                "secret": os.environ.get("COURSE_SECRET", "public"),
                "off": sorted(self.off),
                "required": sorted(self.required),
            }
            begun = self._run(job, verdicts, end, limits)
            items = [item for item in items if item["key"] not in verdicts]
            if items:
                lost = next((item for item in items if item["key"] == begun), items[0])
                if lost["key"] not in died:
                    # The machine may have ended the judge, for memory say: that is no verdict.
                    died.add(lost["key"])
                    continue
                # It did not survive this answer twice; that costs this one exercise.
                lines = [f"✗ not yet: {lost['title']}", "  found: an answer that cannot be judged"]
                verdicts[lost["key"]] = _verdict("not yet", lines, "judge")
                items.remove(lost)
        return verdicts, end

    def _for_systems(self, limits: Limits) -> Limits:
        """A system's threads count as processes, a JVM reserves far more than it uses, and starts.

        The cell that starts a system gets the time that the system itself is given to answer.
        """
        from labkit.services import load

        if not self.plan.systems:
            return limits
        systems = [load(name) for name in self.plan.systems]
        patience = max(system.patience for system in systems)
        return dataclasses.replace(
            limits,
            processes=max(limits.processes, 1024),
            reserved_mb=max(limits.reserved_mb, 16384),
            work_mb=limits.work_mb + sum(system.disk_mb for system in systems),
            cell_seconds=max(limits.cell_seconds, patience),
            cpu_seconds=max(limits.cpu_seconds, 600),
            total_seconds=max(limits.total_seconds, patience + 600),
        )

    def _chosen(self, wanted: set[str]) -> list[Any]:
        return [e for e in self.plan.exercises if e.name in wanted]

    def _result(self, exercise: Any, verdict: dict[str, Any]) -> ExerciseResult:
        points = exercise.points if verdict["outcome"] == "done" else 0
        return ExerciseResult(
            exercise.name,
            exercise.title,
            points,
            exercise.points,
            verdict["outcome"],
            verdict["lines"],
            verdict["stage"],
            verdict["seconds"],
        )

    def _server(self) -> WarmServer:
        # A worker's threads share a grader.
        with self._starting:
            if self._running and not self._running.alive:
                self.close()
            self._running = self._running or self._start()
            return self._running

    def _run(
        self,
        job: dict[str, Any],
        verdicts: dict[str, dict],
        end: dict[str, Any],
        limits: Limits,
    ) -> str:
        """One judge's life; returns the exercise at which it ended."""
        server = self._server()
        channel, lifeline = fork(server.judge, limits)
        begun = ""
        with channel, lifeline:
            try:
                socket.send_fds(channel, [b"c"], [server.student.fileno()])
                frames.send(channel, {}, json.dumps(job).encode())
                while True:
                    wait = limits.total_seconds + JUDGE_SECONDS
                    header, body = frames.receive(channel, wait)
                    if "layers" in header:
                        self._look_at(header["layers"], header["broken"])
                        end["layers"] = header["layers"]
                    elif "begin" in header:
                        begun = header["begin"]
                    elif "exercise" in header:
                        verdicts[header["exercise"]] = json.loads(body)
                    elif "end" in header:
                        end["cpu_seconds"] += header["cpu_seconds"]
                        end["peak_mb"] = max(end["peak_mb"], header["peak_mb"])
                        end["outputs"] = json.loads(body)
                        return ""
            except frames.FrameError:
                return begun

    def _look_at(self, layers: list[str] | None, broken: str) -> None:
        if layers is None:
            raise CourseError(
                "The process for the student's code could not be started; nothing was graded. "
                "Run ./course doctor, and look for a lack of memory or of processes."
            )
        if broken:
            raise CourseError(
                f"The lab's own cells fail in the sandbox ({broken}); nothing was graded. Keep "
                "the environment and the course in folders that all users of the machine may read."
            )
        lacking = self.required - set(layers)
        if lacking:
            raise CourseError(
                f"The sandbox lacks {', '.join(sorted(lacking))} on this machine, and require= "
                "asks for them; leave them out to grade with what there is."
            )


def grade(
    notebook: pathlib.Path | str | bytes | dict[str, Any],
    lab: LabSource | str,
    *,
    limits: Limits | None = None,
    require: Iterable[str] = (),
) -> Result:
    """Grade one notebook of one lab, without a course tree or a database.

    ``lab`` is a lab's id (``04-1-ingestion/01-file-formats``) or its source; ``require`` names the
    sandbox layers without which nothing is graded (``grader.engine.sandbox.FULL``: all).
    """
    submitted = pathlib.Path(notebook) if isinstance(notebook, str) else notebook
    with Grader(lab, limits=limits, require=require) as grader:
        return grader.grade(submitted)


def _plan(lab: LabSource | Plan | str) -> Plan:
    if isinstance(lab, Plan):
        return lab
    if isinstance(lab, str):
        found = sources(lab)
        if len(found) != 1:
            raise CourseError(f"{lab!r} is a module with {len(found)} labs; name one lab.")
        lab = read_source(found[0])
    return make_plan(lab)


def _first_cells(plan: Plan) -> list[str]:
    """The cells before the first answer, where they may be tried outside the sandbox."""
    if plan.systems or any(name.split(".")[0] in NEVER_WARM for name in plan.imports):
        return []
    return [c.source for c in itertools.takewhile(lambda cell: not cell.exercise, plan.cells)]


def _view(datasets: list[str]) -> list[str]:
    """The paths that a student's process may read."""
    ours = [ROOT / "labkit", *(DATA / name for name in ("build", "schemas", "datapackage.json"))]
    ours += [DATA / resources()[name]["path"] for name in datasets]
    ours += [DATA / "built" / f".{name}.verified" for name in datasets]
    python = {sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"]}
    found = [*SYSTEM, *sorted(python), *map(str, ours)]
    # A path below another one that is visible needs no mount of its own.
    found = [path for path in found if os.path.exists(path)]
    return [
        p for p in found if not any(p != q and p.startswith(q.rstrip("/") + "/") for q in found)
    ]


def _fetched(systems: Iterable[str]) -> list[str]:
    """Where the files of a lab's systems lie, fetched before the walls stand."""
    from labkit.services import load
    from labkit.services.artifacts import cache

    for name in systems:
        load(name)().fetch()
    # Debian's Java lies behind two links in /etc; the launcher knows where tools are kept.
    places = [*pathlib.Path("/etc").glob("java-*"), pathlib.Path("/etc/alternatives")]
    places += [cache() / name for name in ("maven", "unpacked", "tools")]
    return [str(path) for path in (*places, ROOT / "course") if path.exists()]


def _verdict(outcome: str, lines: list[str], stage: str) -> dict[str, Any]:
    return {"outcome": outcome, "lines": lines, "stage": stage, "seconds": 0.0}


def _shown(output: dict[str, Any] | None) -> dict[str, Any]:
    return output or {"outputs": [], "count": None}
