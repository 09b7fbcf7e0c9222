"""What a teacher sees at the end: a table on the terminal, and a page of HTML in one file."""

from __future__ import annotations

import pathlib
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grader.classroom.folder import write_safely
from grader.classroom.labs import ClassLab
from grader.classroom.record import no_room
from grader.classroom.similarity import Pair, fingerprints, similar

if TYPE_CHECKING:
    from grader.classroom.command import Assignment

MARKS = {"done": "✓", "not yet": "✗", "not started": "○"}
#: Ends of a student's process that a mistake does not explain.
SUSPICIOUS = ("ended its own process", "used more than", "ran longer than")
BINS = 10


@dataclass
class Question:
    """How a class did on one exercise."""

    number: int
    name: str
    title: str
    maximum: int
    outcomes: Counter[str]
    #: Misconceptions by name, with the students whose result shows them.
    misconceptions: dict[str, list[str]]

    @property
    def share(self) -> float:
        """The part of those who handed in that is done with it."""
        return self.outcomes["done"] / max(self.outcomes.total(), 1)


@dataclass
class Row:
    """One student's line; an outcome of "" is a notebook that is missing or could not be graded."""

    student: str
    outcomes: list[str]
    points: int
    seconds: float
    peak_mb: int
    notes: list[str]


@dataclass
class LabReport:
    """What is said of one lab."""

    name: str
    title: str
    maximum: int
    questions: list[Question]
    rows: list[Row]
    pairs: list[Pair]
    layers: dict[str, int]
    missing: list[str]
    failed: dict[str, str]
    #: Why misconceptions may be missing, or an empty text.
    unnamed: str
    #: Students by tenth of the points.
    bins: list[int] = field(default_factory=list)

    @property
    def hardest(self) -> list[Question]:
        """The questions, the one that fewest have done first."""
        return sorted(self.questions, key=lambda q: (q.share, q.number))

    @property
    def median(self) -> float:
        """The class's median of points."""
        return statistics.median([row.points for row in self.rows] or [0])

    @property
    def seconds(self) -> float:
        """Seconds that grading all notebooks took, one after the other."""
        return round(sum(row.seconds for row in self.rows), 1)

    @property
    def suspicious(self) -> list[Row]:
        """The lines that have something to look at."""
        return [row for row in self.rows if row.notes]


def reports(assignments: list[Assignment]) -> list[LabReport]:
    """The figures of each lab."""
    return [_report(a, lab) for a in assignments for lab in a.labs]


def write_report(path: pathlib.Path, assignments: list[Assignment]) -> None:
    """Write the page."""
    from jinja2 import Environment, FileSystemLoader

    folder = pathlib.Path(__file__).parent
    # A student's name or result is text on the page, whatever it looks like.
    pages = Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True)
    template = pages.get_template("report.html.j2")
    page = template.render(labs=reports(assignments), marks=MARKS)
    try:
        write_safely(path, page.encode("utf-8", "replace"))
    except OSError as error:
        raise no_room(error, path) from None


def show(assignments: list[Assignment]) -> None:
    """Print a table of each lab."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for lab in reports(assignments):
        table = Table(title=Text(f"{lab.title}: points of {lab.maximum}"))
        table.add_column("Student")
        for question in lab.questions:
            table.add_column(f"{question.number}\n/{question.maximum}", justify="center")
        table.add_column("All", justify="right")
        table.add_column("Look at")
        for row in lab.rows:
            marks = [MARKS.get(outcome, "–") for outcome in row.outcomes]
            notes = str(len(row.notes)) if row.notes else ""
            table.add_row(Text(_printable(row.student)), *marks, str(row.points), notes)
        done = [f"{question.share:.0%}" for question in lab.questions]
        table.add_section()
        table.add_row("done by", *done, f"{lab.median:g}", "")
        console.print(table)


def _report(assignment: Assignment, lab: ClassLab) -> LabReport:
    entries = {
        s.student: entry
        for s in assignment.submissions()
        if s.lab == lab.name and (entry := assignment.entry(s))
    }
    failed = {s: why for (name, s), why in assignment.failed.items() if name == lab.name}
    handed = [hand.student for hand in assignment.hands]
    questions = [
        Question(
            number=number,
            name=exercise.name,
            title=exercise.title,
            maximum=exercise.points,
            outcomes=Counter(e["exercises"][exercise.name]["outcome"] for e in entries.values()),
            misconceptions=_misconceptions(assignment, lab, exercise.name, entries),
        )
        for number, exercise in enumerate(lab.plan.exercises, 1)
    ]
    rows = [_row(lab, student, entries.get(student), failed) for student in handed]
    maximum = sum(exercise.points for exercise in lab.plan.exercises)
    layers = Counter(", ".join(entry["layers"]) for entry in entries.values())
    return LabReport(
        name=lab.name,
        title=lab.plan.title,
        maximum=maximum,
        questions=questions,
        rows=rows,
        pairs=_pairs(lab, entries),
        layers=dict(layers),
        missing=[s for s in handed if s not in entries and s not in failed],
        failed=failed,
        unnamed=assignment.unnamed.get(lab.name, ""),
        bins=_bins([row.points for row in rows], maximum),
    )


def _row(lab: ClassLab, student: str, entry: dict[str, Any] | None, failed: dict[str, str]) -> Row:
    names = [exercise.name for exercise in lab.plan.exercises]
    if entry is None:
        why = failed.get(student)
        note = f"could not be graded: {why}" if why else f"no {lab.notebook}.ipynb was handed in"
        return Row(student, ["" for _ in names], 0, 0.0, 0, [note])
    verdicts, measured = entry["exercises"], entry["measured"]
    deaths = [
        f"{name}: {line.strip()}"
        for name in names
        for line in verdicts[name]["lines"]
        if any(words in line for words in SUSPICIOUS)
    ]
    return Row(
        student=student,
        outcomes=[verdicts[name]["outcome"] for name in names],
        points=sum(verdicts[name]["points"] for name in names),
        seconds=measured.get("seconds", 0.0),
        peak_mb=measured.get("peak_mb", 0),
        notes=[*entry["repairs"], *deaths],
    )


def _misconceptions(
    assignment: Assignment, lab: ClassLab, exercise: str, entries: dict[str, dict[str, Any]]
) -> dict[str, list[str]]:
    """The students whose result is that of a wrong answer of the lab, by its name."""
    known = assignment.told.find("wrong", lab.name, exercise) or {"patterns": []}
    names: dict[tuple, list[str]] = {}
    for name, *pattern in known["patterns"]:
        names.setdefault(_pattern(*pattern), []).append(name)
    found: dict[str, list[str]] = {}
    for student, entry in entries.items():
        verdict = entry["exercises"][exercise]
        same = names.get(_pattern(verdict["outcome"], verdict["stage"], verdict["lines"]))
        if same and verdict["outcome"] == "not yet":
            found.setdefault(" — or: ".join(same), []).append(student)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _pattern(outcome: str, stage: str, lines: list[str]) -> tuple:
    return (outcome, stage, *lines)


def _pairs(lab: ClassLab, entries: dict[str, dict[str, Any]]) -> list[Pair]:
    stubs = {cell.exercise: cell.source for cell in lab.plan.cells if cell.exercise}
    given = [fingerprints(stubs), fingerprints(lab.reference)]
    for exercise, answers in lab.wrong.items():
        given += [fingerprints({exercise: source}) for _, source in answers]
    work = {student: entry["fingerprints"] for student, entry in entries.items()}
    return similar(lab.name, work, given)


def _bins(points: list[int], maximum: int) -> list[int]:
    counts = Counter(min(value * BINS // max(maximum, 1), BINS - 1) for value in points)
    return [counts[number] for number in range(BINS)]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
