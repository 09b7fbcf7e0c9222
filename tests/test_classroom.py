"""A class graded by the coordinator: durable, incremental, and careful with the gradebook.

The worker is a quick stand-in here, so that a hundred deaths take seconds; what it stands in for is
tested in test_grading.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import time

import pytest
from hostile.small import KEPT, lab

from grader.classroom import command
from grader.classroom.folder import ClassFolder, only_one
from grader.classroom.labs import ClassLab, digest, make_class_lab
from grader.classroom.record import Record
from grader.classroom.similarity import fingerprints, similar
from grader.engine.sandbox import Limits
from labkit.errors import CourseError

MODULE = "04-1-ingestion"
STUDENTS = [f"student{n:02d}" for n in range(24)]


@pytest.fixture(scope="module")
def class_lab() -> ClassLab:
    return make_class_lab(lab(), "version 1", Limits())


def folder_of(root: pathlib.Path) -> ClassFolder:
    database = f"sqlite:///{root / 'gradebook.db'}"
    return ClassFolder(root, root / "submitted", root / "autograded", database, "data-engineering")


@pytest.fixture(scope="module")
def new_class(tmp_path_factory, class_lab) -> pathlib.Path:
    """A class that has handed in, with a gradebook as nbgrader makes it, not yet graded."""
    from grader.classroom.gradebook import _create

    root = tmp_path_factory.mktemp("class")
    for number, student in enumerate(STUDENTS):
        place = root / "submitted" / student / MODULE
        place.mkdir(parents=True)
        notebook = {**class_lab.template, "metadata": {"number": number}}
        (place / "01-file-formats.ipynb").write_text(json.dumps(notebook))
        (place / "timestamp.txt").write_text(f"2026-11-20 10:00:{number:02d}.000001 UTC")
    _create(root / "gradebook.db", "data-engineering")
    return root


@pytest.fixture
def room(new_class, tmp_path) -> ClassFolder:
    return folder_of(pathlib.Path(shutil.copytree(new_class, tmp_path / "class")))


def judged(job: dict, labs: list[ClassLab], graded: list | None = None) -> dict:
    """A worker's result that follows from the file alone."""
    class_lab = next(lab for lab in labs if lab.name == job["lab"])
    hashes = {name: digest(base, job["file"]) for name, base in class_lab.exercises.items()}
    known = {n: v for n, v in job["known"].items() if v["hash"] == hashes[n]}
    exercises = dict(known)
    for name in [name for name in hashes if name not in known]:
        if graded is not None:
            graded.append((job["student"], name))
        done = hashlib.sha256(f"{job['file']}{name}".encode()).digest()[0] % 2
        exercises[name] = {
            "hash": hashes[name],
            "outcome": "done" if done else "not started",
            "points": 1 if done else 0,
            "stage": "",
            "lines": [f"line of {name}"],
        }
    fresh = len(known) < len(hashes)
    return {
        "exercises": {name: exercises[name] for name in hashes},
        "repairs": [],
        "fingerprints": {},
        "notebook": b'{"cells": []}' if fresh else None,
        "layers": ["limits"],
        "measured": {},
    }


def runner(graded: list | None = None, pause: float = 0):
    def run(jobs, labs):
        for job in jobs:
            time.sleep(pause)
            yield job, judged(job, labs, graded)

    return run


def grade(room: ClassFolder, class_lab: ClassLab, graded: list | None = None, pause: float = 0):
    with only_one(room):
        return command.grade_class(room, [class_lab], runner(graded, pause))


def rows(room: ClassFolder, query: str) -> list[tuple]:
    connection = sqlite3.connect(room.gradebook)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def recorded(room: ClassFolder) -> set[str]:
    path = room.grading / f"{MODULE}.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {key[2] for key in (json.loads(line)["key"] for line in lines) if key[0] == "notebook"}


def test_a_coordinator_killed_a_hundred_times_loses_and_repeats_nothing(
    room, new_class, tmp_path, class_lab
):
    other = folder_of(pathlib.Path(shutil.copytree(new_class, tmp_path / "undisturbed")))
    started = time.monotonic()
    grade(other, class_lab, pause=0.002)
    whole = time.monotonic() - started
    expected = other.gradebook.read_bytes()
    fresh = room.gradebook.read_bytes()
    assert expected != fresh
    draw, lengths, deaths = random.Random(4), set(), 0
    while deaths < 100:
        before, log = recorded(room), tmp_path / "log"
        log.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            graded = _Log(log)
            try:
                grade(room, class_lab, graded, pause=0.002)
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        again = {line.split()[0] for line in log.read_text().splitlines()} if log.exists() else ()
        assert not before.intersection(again)
        # Whatever the moment, the gradebook has all of it or nothing.
        with sqlite3.connect(room.gradebook) as connection:
            assert connection.execute("SELECT count(*) FROM submitted_assignment").fetchone()[
                0
            ] in (0, len(STUDENTS))
        lengths.add(len(recorded(room)))
        deaths += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status) or len(recorded(room)) == len(STUDENTS):
            grade(room, class_lab)
            assert room.gradebook.read_bytes() == expected
            shutil.rmtree(room.grading)
            shutil.rmtree(room.autograded)
            room.gradebook.write_bytes(fresh)
    # The kills came at many moments, not all before the first notebook or after the last.
    assert len(lengths) > 5


class _Log(list):
    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def append(self, item: tuple) -> None:
        with self.path.open("a") as file:
            file.write(" ".join(item) + "\n")


def test_an_unchanged_class_is_not_graded_again(room, class_lab):
    first, second = [], []
    grade(room, class_lab, first)
    before = room.gradebook.read_bytes(), (room.grading / f"{MODULE}.jsonl").read_bytes()
    grade(room, class_lab, second)
    assert len(first) == len(STUDENTS) * len(class_lab.exercises)
    assert not second
    assert before == (room.gradebook.read_bytes(), (room.grading / f"{MODULE}.jsonl").read_bytes())


def test_after_one_check_changed_only_its_question_is_judged(room, class_lab):
    from dataclasses import replace

    grade(room, class_lab)
    name = KEPT[0]
    changed = replace(class_lab, key="2", exercises={**class_lab.exercises, name: "other"})
    graded = []
    grade(room, changed, graded)
    assert sorted(graded) == [(student, name) for student in STUDENTS]


def test_what_a_person_entered_stays(room, class_lab):
    grade(room, class_lab)
    with sqlite3.connect(room.gradebook) as connection:
        connection.execute("UPDATE grade SET manual_score = 7, extra_credit = 1")
        connection.execute("UPDATE comment SET manual_comment = 'well done'")
        connection.execute("UPDATE student SET first_name = 'Ada'")
        connection.execute("INSERT INTO student (id) VALUES ('guest')")
    connection.close()
    path = room.submitted / STUDENTS[0] / MODULE / "01-file-formats.ipynb"
    path.write_text(path.read_text() + "\n")
    graded = []
    grade(room, class_lab, graded)
    assert {student for student, _ in graded} == {STUDENTS[0]}
    assert set(rows(room, "SELECT manual_score, extra_credit FROM grade")) == {(7, 1)}
    assert set(rows(room, "SELECT manual_comment FROM comment")) == {("well done",)}
    assert set(rows(room, "SELECT first_name FROM student")) == {("Ada",), (None,)}
    assert rows(room, "SELECT id FROM student WHERE id = 'guest'")


def test_a_torn_last_line_is_dropped(tmp_path):
    path = tmp_path / "record.jsonl"
    with Record(path) as record:
        record.append({"key": ["a"], "n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key":["b"],"n"')
    with Record(path) as record:
        assert record.find("a") == {"key": ["a"], "n": 1}
        assert record.find("b") is None
        record.append({"key": ["c"]})
    assert path.read_bytes() == whole + b'{"key":["c"]}\n'


def corrupt(room: ClassFolder) -> None:
    room.gradebook.write_bytes(b"not a database" * 500)


def other_course(room: ClassFolder) -> None:
    with sqlite3.connect(room.gradebook) as connection:
        connection.execute("UPDATE course SET id = 'history'")
    connection.close()


def no_gradebook(room: ClassFolder) -> None:
    room.gradebook.unlink()
    sqlite3.connect(room.gradebook).executescript("CREATE TABLE friends (name TEXT)")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(corrupt, "damaged"), (other_course, "another course"), (no_gradebook, "not an nbgrader")],
)
def test_a_gradebook_that_cannot_be_used_is_one_sentence(room, class_lab, spoil, says):
    spoil(room)
    before, graded = room.gradebook.read_bytes(), []
    with pytest.raises(CourseError, match=says):
        grade(room, class_lab, graded)
    assert not graded
    assert room.gradebook.read_bytes() == before


def test_two_coordinators_do_not_meet(room, class_lab):
    with only_one(room), pytest.raises(CourseError, match="Another"):
        grade(room, class_lab)


def test_a_misnamed_and_a_missing_notebook_are_named(room, class_lab):
    first = room.submitted / STUDENTS[0] / MODULE / "01-file-formats.ipynb"
    first.rename(first.with_name("01-file-formats (2).ipynb"))
    (room.submitted / STUDENTS[1] / MODULE / "01-file-formats.ipynb").unlink()
    page = grade(room, class_lab).read_text()
    assert "The file was named" in page
    assert "no 01-file-formats.ipynb was handed in" in page
    assert len(rows(room, "SELECT id FROM submitted_assignment")) == len(STUDENTS)


def test_copies_are_found_and_short_answers_are_not_accused():
    long = "def f(rows):\n" + "".join(
        f"    a{n} = [x.lower() for x in rows if len(x) > {n} or not x{'.strip()' * n}]\n"
        for n in range(12)
    )
    renamed = long.replace("rows", "lines").replace("a1", "total") + "# mine\n"
    work = {
        "ada": fingerprints({"q": long}),
        "kim": fingerprints({"q": renamed}),
        "eve": fingerprints({"q": "def f(rows):\n    return sum(rows)"}),
        "bob": fingerprints({"q": "def f(rows):\n    return sum(rows)"}),
    }
    assert [(pair.first, pair.second) for pair in similar("lab", work)] == [("ada", "kim")]
