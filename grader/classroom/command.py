"""``./course grade MODULE…``: the coordinator, which alone writes.

Only what a run in which nothing has changed needs is imported at the top.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from grader.classroom.folder import ClassFolder, only_one, open_folder, write_safely
from grader.classroom.labs import ClassLab, answered, digest, prepare, secret
from grader.classroom.record import Record, no_room
from grader.classroom.submissions import Hand, Submission, find_submissions
from grader.engine.sandbox import Limits
from grader.source import ROOT, sources
from labkit.errors import CourseError

#: When nothing can be graded at all, this many failures show it.
HOPELESS = 3

Run = Callable[..., Iterator[tuple[dict[str, Any], dict[str, Any]]]]


@dataclass
class Assignment:
    """One assignment of a class: its labs, what was handed in, and the record of its grading."""

    name: str
    labs: list[ClassLab]
    hands: list[Hand]
    record: Record
    #: What the labs' own wrong answers are told: of the labs, whatever the class.
    told: Record
    #: Notebooks that could not be graded, with the reason.
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Labs whose misconceptions cannot all be named, with the reason.
    unnamed: dict[str, str] = field(default_factory=dict)

    def submissions(self) -> list[Submission]:
        """The notebooks that were handed in, lab by lab."""
        found = [s for hand in self.hands for s in hand.notebooks if s.path is not None]
        return sorted(found, key=lambda s: (s.lab, s.student))

    def entry(self, submission: Submission) -> dict[str, Any] | None:
        """What the record says of a notebook."""
        return self.record.find("notebook", submission.lab, submission.student)


def grade(
    modules: Iterable[str],
    *,
    root: pathlib.Path = ROOT,
    scheduler: str = "",
    workers: int = 0,
    require: Iterable[str] = (),
    limits: Limits | None = None,
) -> pathlib.Path:
    """Grade modules (or single labs) of the class in ``root``; returns the report's path.

    Raises :class:`~labkit.errors.CourseError` for what a person can mend; what is finished by then
    is kept, and the same command goes on.
    """
    limits = limits or Limits()
    paths = list(dict.fromkeys(path for module in modules for path in sources(module)))
    folder = open_folder(root)
    if scheduler:
        from grader.classroom import cluster

        # Before anything is written: a scheduler that does not answer changes nothing.
        cluster.look_at(scheduler)
    with only_one(folder):
        labs = [prepare(path, folder, limits) for path in paths]
        shared = {
            "secret": secret(),
            "limits": dataclasses.asdict(limits),
            "require": sorted(require),
        }

        def run(jobs: Iterable[dict[str, Any]], labs: list[ClassLab]) -> Iterator[tuple]:
            from grader.classroom import cluster
            from grader.classroom.worker import describe, grade_notebook

            told = {**shared, "labs": {lab.name: describe(lab) for lab in labs}}
            return cluster.run(grade_notebook, jobs, told, scheduler=scheduler, workers=workers)

        return grade_class(folder, labs, run)


def grade_class(folder: ClassFolder, labs: list[ClassLab], run: Run) -> pathlib.Path:
    """Grade these labs; ``run(jobs, labs)`` executes, everything is written here."""
    with ExitStack() as stack:
        assignments = []
        for name in sorted({lab.assignment for lab in labs}):
            own = [lab for lab in labs if lab.assignment == name]
            answers = {
                lab.name: [cell.id for cell in lab.plan.cells if cell.exercise] for lab in own
            }
            hands = find_submissions(folder, name, answers)
            if not hands:
                raise CourseError(
                    f"Nobody has handed in {name}: there is no {folder.submitted}/STUDENT/{name}."
                )
            record = stack.enter_context(Record(folder.grading / f"{name}.jsonl"))
            told = stack.enter_context(Record(folder.grading / "labs" / f"{name}.jsonl"))
            assignments.append(Assignment(name, own, hands, record, told))
        report = folder.grading / "report.html"
        todo = [(a, s) for a in assignments for s in a.submissions() if not _is_done(folder, a, s)]
        if not todo and report.is_file() and all(_is_saved(folder, a) for a in assignments):
            count = sum(len(a.submissions()) for a in assignments)
            print(f"Nothing has changed: {count} notebooks are graded.")
            return report
        _look_at_gradebook(folder)
        if todo:
            _grade_all(folder, todo, labs, run)
        _name_misconceptions(assignments, run)
        for assignment in assignments:
            _save(folder, assignment)
        for assignment in assignments:
            state, stamp = _state(assignment), _stamp(folder)
            assignment.record.append({"key": ["saved"], "state": state, "gradebook": stamp})
        from grader.classroom.report import show, write_report

        write_report(report, assignments)
        show(assignments)
        failed = {key: why for a in assignments for key, why in a.failed.items()}
        if failed:
            (lab, student), why = next(iter(sorted(failed.items())))
            raise CourseError(
                f"{len(failed)} notebook(s) could not be graded, the first is {lab} of {student}: "
                f"{why.rstrip('.')}. The others are; the same command tries again."
            )
        return report


def _is_done(folder: ClassFolder, assignment: Assignment, submission: Submission) -> bool:
    entry = assignment.entry(submission)
    if entry is None or not _is_shown(folder, entry):
        return False
    lab = _lab(assignment.labs, submission.lab)
    return entry["lab"] == lab.key and entry["file"] == digest(submission.read())


def _is_shown(folder: ClassFolder, entry: dict[str, Any]) -> bool:
    """Whether the autograded notebook of an entry is still there."""
    _, lab, student = entry["key"]
    try:
        return _autograded(folder, lab, student).stat().st_size == entry["autograded"]
    except OSError:
        return False


def _autograded(folder: ClassFolder, lab: str, student: str) -> pathlib.Path:
    return folder.autograded / student / f"{lab}.ipynb"


def _lab(labs: list[ClassLab], name: str) -> ClassLab:
    return next(lab for lab in labs if lab.name == name)


def _grade_all(
    folder: ClassFolder,
    todo: list[tuple[Assignment, Submission]],
    labs: list[ClassLab],
    run: Run,
) -> None:
    from grader.classroom.progress import bar

    places = {(s.lab, s.student): (a, s) for a, s in todo}
    done = 0
    with bar("Grading", len(todo)) as advance:
        for job, result in run(_jobs(folder, todo), labs):
            assignment, _ = places[job["lab"], job["student"]]
            advance()
            if "error" in result:
                assignment.failed[job["lab"], job["student"]] = result["error"]
                failed = sum(len(a.failed) for a in {id(a): a for a, _ in todo}.values())
                if not done and failed >= min(HOPELESS, len(todo)):
                    raise CourseError(result["error"])
                continue
            done += 1
            _keep(folder, assignment, job, result)


def _jobs(
    folder: ClassFolder, todo: list[tuple[Assignment, Submission]]
) -> Iterator[dict[str, Any]]:
    for assignment, submission in todo:
        entry = assignment.entry(submission)
        hand = next(hand for hand in assignment.hands if hand.student == submission.student)
        data = submission.read()
        yield {
            "lab": submission.lab,
            "student": submission.student,
            "data": data,
            "file": digest(data),
            "known": entry["exercises"] if entry and _is_shown(folder, entry) else {},
            "notes": [*hand.notes, *dict.fromkeys(submission.notes)],
        }


def _keep(
    folder: ClassFolder, assignment: Assignment, job: dict[str, Any], result: dict[str, Any]
) -> None:
    """Put one result on the disk: first the notebook to show, then the line that counts."""
    lab, student = job["lab"], job["student"]
    before = assignment.record.find("notebook", lab, student) or {}
    entry = {
        "key": ["notebook", lab, student],
        "file": job["file"],
        "lab": _lab(assignment.labs, lab).key,
        "exercises": result["exercises"],
        "repairs": [*job["notes"], *result["repairs"]],
        "fingerprints": result["fingerprints"],
        "layers": result.get("layers", before.get("layers", [])),
        "measured": result.get("measured", before.get("measured", {})),
        "autograded": before.get("autograded", 0),
    }
    if result["notebook"] is not None:
        path = _autograded(folder, lab, student)
        try:
            write_safely(path, result["notebook"], 0o444)
        except OSError as error:
            raise no_room(error, path) from None
        entry["autograded"] = len(result["notebook"])
    assignment.record.append(entry)


def _name_misconceptions(assignments: list[Assignment], run: Run) -> None:
    """Have on record what the labs' own wrong answers are told, where a student needs it."""
    rounds = [job for a in assignments for lab in a.labs for job in _wrong_jobs(a, lab)]
    if not rounds:
        return
    from grader.classroom.progress import bar

    labs = [lab for a in assignments for lab in a.labs]
    told: dict[tuple[str, str], list[list[Any]]] = {}
    places = {lab.name: assignment for assignment in assignments for lab in assignment.labs}
    lost: set[tuple[str, str]] = set()
    with bar("Judging the labs' wrong answers", len(rounds)) as advance:
        for job, result in run(rounds, labs):
            advance()
            if "error" in result:
                places[job["lab"]].unnamed[job["lab"]] = result["error"]
                lost |= {(job["lab"], exercise) for exercise in job["misconceptions"]}
            for exercise, verdict in result.get("exercises", {}).items():
                name = job["misconceptions"].get(exercise)
                if name:
                    pattern = [verdict["outcome"], verdict["stage"], verdict["lines"]]
                    told.setdefault((job["lab"], exercise), []).append([name, *pattern])
    for assignment in assignments:
        for lab in assignment.labs:
            for exercise, key in lab.exercises.items():
                patterns = told.get((lab.name, exercise))
                # Half of the names would count as all of them the next time.
                if patterns and (lab.name, exercise) not in lost:
                    entry = {"key": ["wrong", lab.name, exercise], "hash": _wrong_key(lab, key)}
                    assignment.told.append(entry | {"patterns": sorted(patterns)})


def _wrong_jobs(assignment: Assignment, lab: ClassLab) -> list[dict[str, Any]]:
    """One notebook for the first misconception of each exercise, one for the second, …"""
    entries = [assignment.entry(s) for s in assignment.submissions() if s.lab == lab.name]
    needed = {
        name
        for entry in filter(None, entries)
        for name, verdict in entry["exercises"].items()
        if verdict["outcome"] == "not yet" and name in lab.wrong
    }
    needed = sorted(
        name
        for name in needed
        if (assignment.told.find("wrong", lab.name, name) or {}).get("hash")
        != _wrong_key(lab, lab.exercises[name])
    )
    jobs = []
    for number in range(max((len(lab.wrong[name]) for name in needed), default=0)):
        chosen = {n: lab.wrong[n][number] for n in needed if number < len(lab.wrong[n])}
        answers = lab.reference | {name: source for name, (_, source) in chosen.items()}
        jobs.append(
            {
                "lab": lab.name,
                "student": "",
                "data": answered(lab.template, answers),
                "known": {},
                "notes": [],
                "only": sorted(chosen),
                "misconceptions": {name: words for name, (words, _) in chosen.items()},
            }
        )
    return jobs


def _wrong_key(lab: ClassLab, key: str) -> str:
    return digest(key, json.dumps([lab.reference, lab.wrong], sort_keys=True))


def _state(assignment: Assignment) -> str:
    """Hash of all that the gradebook is told."""
    times = {hand.student: str(hand.timestamp) for hand in assignment.hands}
    entries = [
        (s.lab, s.student, (assignment.entry(s) or {}).get("exercises"))
        for hand in assignment.hands
        for s in hand.notebooks
    ]
    return digest(json.dumps([times, entries, [lab.key for lab in assignment.labs]]))


def _stamp(folder: ClassFolder) -> list[int] | None:
    path = folder.gradebook
    if path is None or not path.exists():
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _is_saved(folder: ClassFolder, assignment: Assignment) -> bool:
    entry, stamp = assignment.record.find("saved"), _stamp(folder)
    if entry is None or stamp is None:
        return False
    return entry["gradebook"] == stamp and entry["state"] == _state(assignment)


def _look_at_gradebook(folder: ClassFolder) -> None:
    """Find out what is wrong with the gradebook before the work, not after it."""
    path = folder.gradebook
    if path is not None and not path.exists():
        if not os.access(path.parent, os.W_OK):
            raise CourseError(f"The folder {path.parent} cannot be written: mend its rights.")
        return
    from grader.classroom.gradebook import open_gradebook

    with open_gradebook(folder):
        pass


def _save(folder: ClassFolder, assignment: Assignment) -> None:
    from grader.classroom.gradebook import Entry, open_gradebook
    from grader.release import course_config

    entries = []
    for hand in assignment.hands:
        for submission in hand.notebooks:
            kept = assignment.entry(submission)
            if submission.path is None:
                entries.append(Entry(hand.student, submission.lab, None))
            elif kept:
                entries.append(Entry(hand.student, submission.lab, kept["exercises"]))
        _copy_time(folder, assignment.name, hand)
    times = {hand.student: hand.timestamp for hand in assignment.hands}
    with open_gradebook(folder) as gradebook:
        gradebook.save(folder.course, assignment.labs, times, entries)
        gradebook.penalise(assignment.name, course_config(root=str(folder.root)))


def _copy_time(folder: ClassFolder, assignment: str, hand: Hand) -> None:
    """Beside a graded notebook, nbgrader looks for the time to know whether its feedback is old."""
    place = folder.autograded / hand.student / assignment
    if hand.timestamp is None or not place.is_dir():
        return
    data = f"{hand.timestamp.isoformat(sep=' ')} UTC".encode()
    path = place / "timestamp.txt"
    if not path.is_file() or path.read_bytes() != data:
        try:
            write_safely(path, data, 0o444)
        except OSError as error:
            raise no_room(error, path) from None
