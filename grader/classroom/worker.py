"""What a worker does: grade one notebook. It gets plain data, gives plain data, writes nothing."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

from grader.classroom.autograded import autograded
from grader.classroom.labs import answered, digest, load_plan
from grader.classroom.similarity import fingerprints
from grader.engine.grading import Grader, Result
from grader.engine.rebuild import Plan, rebuild
from grader.engine.sandbox import Limits
from labkit.errors import CourseError

#: Warm graders that a process keeps for labs that nobody is grading just now.
SPARE = 1


@dataclasses.dataclass
class _Kept:
    grader: Grader
    users: int = 0
    #: Whether answers to the whole lab have earned full marks in this process.
    proven: bool = False
    proving: threading.Lock = dataclasses.field(default_factory=threading.Lock)


_graders: dict[tuple[str, frozenset[str]], _Kept] = {}
_plans: dict[str, Plan] = {}
_lock = threading.Lock()


def grade_notebook(job: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Grade the notebook ``job["data"]``; only what ``job["known"]`` does not answer is judged.

    ``shared["labs"]`` holds the labs by name (:func:`describe`). The result is plain data:
    ``exercises`` with their verdicts and hashes, ``repairs``, ``layers``, ``fingerprints``, the
    ``notebook`` to show (bytes; None when nothing was judged), and what was ``measured``; or an
    ``error``, a sentence, when no process for the student's code could be had.
    """
    lab = shared["labs"][job["lab"]]
    plan = _plan(lab)
    rebuilt = rebuild(plan, job["data"])
    answers = [part for item in sorted(rebuilt.answers.items()) for part in item]
    hashes = {name: digest(base, *answers) for name, base in lab["exercises"].items()}
    known = {
        name: verdict
        for name, verdict in job["known"].items()
        if verdict["hash"] == hashes.get(name)
    }
    wanted = [e.name for e in plan.exercises if e.name not in known]
    if "only" in job:
        wanted = [name for name in wanted if name in job["only"]]
    result = None
    if wanted:
        # The hidden data are the coordinator's course's, wherever this runs.
        os.environ["COURSE_SECRET"] = shared["secret"]
        try:
            result = _grade(lab, plan, job["data"], wanted, shared)
        except (CourseError, OSError) as error:
            return {"error": str(error)}
    verdicts = dict(known)
    for exercise in result.exercises if result else []:
        verdicts[exercise.name] = {
            "hash": hashes[exercise.name],
            "outcome": exercise.outcome,
            "points": exercise.points,
            "stage": exercise.stage,
            # An address in memory differs from run to run, and says nothing.
            "lines": [re.sub(r"\b0x[0-9a-f]{6,}\b", "0x…", line) for line in exercise.lines],
        }
    done = {
        "exercises": {e.name: verdicts[e.name] for e in plan.exercises if e.name in verdicts},
        "repairs": rebuilt.repairs,
        "fingerprints": fingerprints(rebuilt.answers),
        "notebook": None,
    }
    if result:
        notes = [*job["notes"], *rebuilt.repairs]
        if lab["template"]:
            done["notebook"] = autograded(lab["template"], result.cells, verdicts, notes)
        done["layers"] = result.layers
        done["measured"] = {
            "seconds": result.seconds,
            "cpu_seconds": result.cpu_seconds,
            "peak_mb": result.peak_mb,
        }
    return done


def describe(lab: Any) -> dict[str, Any]:
    """What workers are told of a :class:`~grader.classroom.labs.ClassLab`."""
    return {
        "key": lab.key,
        "plan": dataclasses.asdict(lab.plan),
        "exercises": lab.exercises,
        "template": lab.template,
        "proof": answered(lab.template, lab.reference),
    }


def _grade(
    lab: dict[str, Any], plan: Plan, data: bytes, wanted: list[str], shared: dict[str, Any]
) -> Result:
    for attempt in (1, 2):
        with _warm(lab["key"], plan, shared) as kept:
            try:
                result = kept.grader.grade(data, wanted)
                if all(e.outcome == "done" for e in result.exercises):
                    kept.proven |= len(wanted) == len(plan.exercises)
                    return result
                judge_ended = any(e.stage == "judge" for e in result.exercises)
                if judge_ended and attempt == 1:
                    continue
                # Is it the answer, or this machine? Students would pay for our fault.
                with kept.proving:
                    if judge_ended or not kept.proven:
                        _prove(kept.grader, lab)
                        kept.proven = True
                return result
            except (CourseError, OSError):
                # One process that does not start may be chance; a second one is a reason.
                if attempt == 2:
                    raise
    raise AssertionError("unreachable")


def _prove(grader: Grader, lab: dict[str, Any]) -> None:
    """Have the lab's own answers earn full marks here, or raise."""
    result = grader.grade(lab["proof"])
    lost = next((e for e in result.exercises if e.outcome != "done"), None)
    if lost:
        raise CourseError(
            f"On this machine even the reference answer of {lost.name!r} does not pass "
            f"({' '.join(' '.join(lost.lines).split())}); nothing was graded. Run ./course doctor."
        )


@contextlib.contextmanager
def _warm(key: str, plan: Plan, shared: dict[str, Any]) -> Iterator[_Kept]:
    """The warm grader of a lab, shared by the threads of this process."""
    require = frozenset(shared["require"])
    with _lock:
        kept = _graders.get((key, require))
        if kept is None:
            limits = Limits(**shared["limits"])
            kept = _graders[key, require] = _Kept(Grader(plan, limits=limits, require=require))
        kept.users += 1
    try:
        yield kept
    finally:
        with _lock:
            kept.users -= 1
            idle = [name for name, other in _graders.items() if not other.users]
            for name in [name for name in idle if name != (key, require)][SPARE:]:
                _graders.pop(name).grader.close()


@atexit.register
def close() -> None:
    """End all warm processes of this process."""
    with _lock:
        while _graders:
            _graders.popitem()[1].grader.close()


def _plan(lab: dict[str, Any]) -> Plan:
    if lab["key"] not in _plans:
        _plans[lab["key"]] = load_plan(lab["plan"])
    return _plans[lab["key"]]
