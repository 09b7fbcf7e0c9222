"""``./course verify``: every exercise's checks judged, in parallel, and shown as a table."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from grader.build import prepare_data, read_labs
from grader.engine.grading import Grader
from grader.source import ExerciseSource, LabSource
from grader.verify import newest
from grader.verify.changed import changed_since
from grader.verify.exercise import Finding, Judgement
from grader.verify.report import REPORT, write_report
from labkit.errors import CourseError

#: What each exercise, and all of them together, must reach.
MUTATION_EACH, MUTATION_ALL = 0.95, 0.98
#: How many exercises further on the next day begins, where there is not the time for all.
STEP = 7


def verify(what: str, *, as_json: bool, since: str = "", minutes: float | None = None) -> int:
    """Judge the checks of all labs, a module, a lab or an exercise; returns the exit code.

    ``since`` leaves what differs from a revision. With ``minutes`` no exercise begins later than
    that: what differs comes first, then the others, from another one each day.
    """
    everything = chosen = select(what)
    if since or minutes is not None:
        first = changed_since(chosen, since) if since else []
        others = [each for each in chosen if each not in first] if minutes is not None else []
        day = dt.datetime.now(dt.UTC).toordinal()
        chosen = turned(first, day) + turned(others, day)
    judged = {finding.name: finding for finding in judge(chosen, minutes)}
    names = [f"{lab.name}/{exercise.name}" for lab, exercise in everything]
    findings = [judged[name] for name in names if name in judged]
    if interpreter := newest.python():
        newest.add_newest(findings, interpreter)
    totals = total(findings)
    if as_json:
        rows = [_row(finding) for finding in findings]
        print(json.dumps({"exercises": rows, "totals": totals}, indent=1, ensure_ascii=False))
    else:
        show(findings, totals)
        write_report(findings, totals, {e.name: e for _, e in chosen})
        if unjudged := len(chosen) - len(findings):
            print(f"Not judged, for there was no time left: {unjudged} of {len(chosen)} exercises.")
        print(f"Report: {REPORT}")
    return 0 if all(sound(finding) for finding in findings) and _all_sound(totals) else 1


def select(what: str) -> list[tuple[LabSource, ExerciseSource]]:
    """The exercises that ``MODULE[/LAB[/EXERCISE]]`` names, with their labs."""
    module, lab, exercise, *rest = [*what.split("/"), "", "", ""][:4]
    labs = read_labs("/".join(part for part in (module, lab) if part))
    chosen = [(found, e) for found in labs for e in found.exercises if exercise in ("", e.name)]
    if not chosen or any(rest):
        names = ", ".join(e.name for found in labs for e in found.exercises)
        raise CourseError(f"There is no exercise {what!r}; the lab's exercises are {names}.")
    return chosen


def turned(chosen: list[Any], day: int) -> list[Any]:
    """The list begun elsewhere each day; so few minutes a day judge them all within a while."""
    start = day * STEP % len(chosen) if chosen else 0
    return chosen[start:] + chosen[:start]


def judge(
    chosen: list[tuple[LabSource, ExerciseSource]], minutes: float | None = None
) -> list[Finding]:
    """Judge these exercises side by side, those that begin within ``minutes``."""
    prepare_data(list({lab.name: lab for lab, _ in chosen}.values()))
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    graders = _Graders(Counter(lab.name for lab, _ in chosen), end)
    bar = Progress(
        TextColumn("Verifying {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    found: list[Finding] = []
    with bar, graders, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = bar.add_task("", total=len(chosen))
        jobs = {
            pool.submit(graders.run, lab, exercise): (lab, exercise) for lab, exercise in chosen
        }
        for job in as_completed(jobs):
            lab, exercise = jobs[job]
            found += [finding] if (finding := job.result()) else []
            bar.update(task, advance=1, description=f"{lab.name}/{exercise.name}")
    return found


class _Graders:
    """Two graders for each lab, closed with the lab's last exercise."""

    def __init__(self, left: Counter[str], end: float) -> None:
        self._left, self._open, self._end = left, {}, end
        self._lock = threading.Lock()

    def __enter__(self) -> _Graders:
        return self

    def __exit__(self, *_error: object) -> None:
        for grader in (one for pair in self._open.values() for one in pair):
            grader.close()

    def run(self, lab: LabSource, exercise: ExerciseSource) -> Finding | None:
        """What was found; None where there was no time left to begin."""
        try:
            if time.monotonic() > self._end:
                return None
            return Judgement(lab, exercise, *self._pair(lab)).run()
        except CourseError as error:  # the other labs can be judged all the same
            fault = f"could not be judged: {error}"
            return Finding(lab.name, exercise.name, lab.path.name, faults=[fault])
        finally:
            with self._lock:
                self._left[lab.name] -= 1
                if not self._left[lab.name]:
                    for grader in self._open.pop(lab.name, ()):
                        grader.close()

    def _pair(self, lab: LabSource) -> tuple[Grader, Grader]:
        with self._lock:
            if lab.name not in self._open:
                self._open[lab.name] = (Grader(lab), Grader(lab, hash_seed=1))
            return self._open[lab.name]


def total(findings: list[Finding]) -> dict[str, Any]:
    """The figures over all exercises: fractions, and counts of what must not be."""

    def share(part: str, of: str) -> float:
        whole = sum(getattr(finding, of) for finding in findings)
        return sum(getattr(finding, part) for finding in findings) / whole if whole else 1.0

    return {
        "exercises": len(findings),
        "right_accepted": share("right_accepted", "right_tried"),
        "wrong_refused": share("wrong_refused", "wrong_tried"),
        "starters_zero": sum(f.starter_zero for f in findings) / len(findings) if findings else 1.0,
        "mutants": sum(finding.mutants for finding in findings),
        "equivalent": sum(finding.equivalent for finding in findings),
        "mutation_score": share("killed", "mutants"),
        "idle_lines": sum(len(finding.idle_lines) for finding in findings),
        "flaky": sum(finding.flaky for finding in findings),
        "faults": sum(len(finding.faults) for finding in findings),
    }


def sound(finding: Finding) -> bool:
    """Whether an exercise's checks reach what is asked of them."""
    return (
        not finding.faults
        and not finding.idle_lines
        and finding.starter_zero
        and finding.right_accepted == finding.right_tried
        and finding.wrong_refused == finding.wrong_tried
        and finding.mutation_score >= MUTATION_EACH
    )


def _all_sound(totals: dict[str, Any]) -> bool:
    return totals["mutation_score"] >= MUTATION_ALL


def show(findings: list[Finding], totals: dict[str, Any]) -> None:
    """A line for each exercise, what to mend, and the totals."""
    console = Console()
    for lab in dict.fromkeys(finding.lab for finding in findings):
        console.print(lab)
        console.print(_table([finding for finding in findings if finding.lab == lab]))
    for finding in findings:
        for line in problems(finding):
            print(f"{finding.name}: {line}")
    print(
        f"{totals['exercises']} exercises: right accepted {totals['right_accepted']:.1%}, wrong "
        f"refused {totals['wrong_refused']:.1%}, starters at 0 {totals['starters_zero']:.1%}, "
        f"mutation score {totals['mutation_score']:.1%} of {totals['mutants']} "
        f"(and {totals['equivalent']} equivalent), idle lines {totals['idle_lines']}, "
        f"flaky {totals['flaky']}"
    )


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Exercise", min_width=22)
    for name in ("Right", "Wrong", "Starter", "Mutants", "Idle", "Flaky", "s", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for f in findings:
        table.add_row(
            f"{'✓' if sound(f) else '✗'} {f.exercise}",
            f"{f.right_accepted}/{f.right_tried}",
            f"{f.wrong_refused}/{f.wrong_tried}",
            "0" if f.starter_zero else "✗",
            f"{f.killed}/{f.mutants}",
            str(len(f.idle_lines)),
            str(f.flaky),
            f"{f.seconds:.2f}",
            str(f.peak_mb),
        )
    return table


def problems(finding: Finding) -> list[str]:
    """What an author has to mend in one exercise."""
    idle = [f"no wrong answer or mutant needs {line}" for line in finding.idle_lines]
    alive = [
        "a mutant passes all checks: " + survivor.diff.replace("\n", " / ")
        for survivor in finding.survivors
    ]
    return [*finding.faults, *idle, *alive]


def _row(finding: Finding) -> dict[str, Any]:
    row = dataclasses.asdict(finding)
    row["survivors"] = [survivor.diff for survivor in finding.survivors]
    return row | {"mutation_score": finding.mutation_score, "sound": sound(finding)}
