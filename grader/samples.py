"""A sample class: submissions made from a lab's own right and wrong answers, not typed twice."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from nbformat import NotebookNode

from grader.source import ExerciseSource, LabSource

CRASHES = 'raise RuntimeError("my notebook is broken")'
#: Replaces the body of an answer: every call of it runs for ever.
ENDLESS = "while True:\n    pass"


@dataclass(frozen=True)
class Student:
    """A sample student: how they answer, and the points that these answers deserve."""

    name: str
    about: str
    answers: dict[str, str]
    deserved: int


def sample_class(lab: LabSource) -> list[Student]:
    """Seven students: two right, two wrong, one blank, one who crashes, one who never ends."""
    exercises = lab.exercises
    most = {e.name: e.answer.source for e in exercises}
    last = exercises[-1]
    return [
        Student("ada", "the reference answers", most, lab.points),
        Student(
            "grace", "another right way", {e.name: e.right[0].source for e in exercises}, lab.points
        ),
        Student("linus", "a misconception everywhere", _wrong(exercises, 0), 0),
        Student("kim", "every second answer wrong", *_every_second(exercises)),
        Student("blank", "nothing filled in", {}, 0),
        Student(
            "crash", "one answer raises", most | {last.name: CRASHES}, lab.points - last.points
        ),
        Student(
            "endless",
            "one answer never ends",
            most | {last.name: ENDLESS},
            lab.points - last.points,
        ),
    ]


def submission(released: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """A student's copy of a released notebook with these answer cells filled in."""
    notebook = copy.deepcopy(released)
    for cell in notebook.cells:
        name = cell.get("id", "").removesuffix("-answer")
        if cell.get("id", "").endswith("-answer") and name in answers:
            cell.source = answers[name]
    return notebook


def _wrong(exercises: list[ExerciseSource], which: int) -> dict[str, str]:
    return {exercise.name: exercise.wrong[which].source for exercise in exercises}


def _every_second(exercises: list[ExerciseSource]) -> tuple[dict[str, str], int]:
    answers = {e.name: (e.wrong[-1] if n % 2 else e.answer).source for n, e in enumerate(exercises)}
    return answers, sum(e.points for n, e in enumerate(exercises) if not n % 2)
