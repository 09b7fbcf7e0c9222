"""A class with plain nbgrader commands, as nbgrader's manual gives them, and our demo."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

import nbformat
import pytest

from grader.demo import LAB
from grader.release import course_config
from grader.samples import sample_class, submission
from grader.source import ROOT, read_source

MODULE, NOTEBOOK = LAB.parent.name, f"{LAB.stem}.ipynb"


def nbgrader(*arguments: str, cwd: pathlib.Path, **environment: str) -> str:
    """Run an nbgrader command; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"nbgrader {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def graded(clone: pathlib.Path) -> pathlib.Path:
    """Two students of a class, from release to export."""
    # nbgrader's own way takes minutes for the labs that start systems: one without is handed out.
    for path in (clone / "curriculum" / MODULE).glob("*.*"):
        if path.stem != LAB.stem:
            path.unlink()
    (clone / "exchange").mkdir(mode=0o777)
    nbgrader("generate_assignment", MODULE, cwd=clone)
    nbgrader("release_assignment", MODULE, cwd=clone)
    for student in chosen():
        home = clone / "homes" / student.name
        home.mkdir(parents=True)
        # A student's own account has the exchange in its configuration, and nothing else of ours.
        (home / "nbgrader_config.py").write_text(
            f"c = get_config()\nc.CourseDirectory.course_id = 'data-engineering'\n"
            f"c.Exchange.root = {str(clone / 'exchange')!r}\n"
            f"c.Exchange.cache = {str(home / 'cache')!r}\n"
        )
        nbgrader("fetch_assignment", MODULE, cwd=home)
        path = home / MODULE / NOTEBOOK
        nbformat.write(submission(nbformat.read(path, as_version=4), student.answers), path)
        nbgrader("submit", MODULE, f"--student={student.name}", cwd=home)
    nbgrader("collect", MODULE, "--ExchangeCollect.check_owner=False", cwd=clone)
    nbgrader("autograde", MODULE, "--create", cwd=clone)
    nbgrader("generate_feedback", MODULE, cwd=clone)
    nbgrader("export", cwd=clone)
    return clone


def chosen() -> list:
    return [s for s in sample_class(read_source(LAB)) if s.name in ("ada", "kim")]


def test_a_released_lab_is_prepared_for_our_own_grading(graded):
    assert [path.name for path in (graded / "grading" / "labs").iterdir()] == [
        f"{MODULE}.{LAB.stem}.json"
    ]


def test_the_grades_are_what_the_answers_deserve(graded):
    with (graded / "grades.csv").open(encoding="utf-8", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {student.name: student.deserved for student in chosen()}


@pytest.mark.parametrize("student", ["ada", "kim"])
def test_feedback_is_written(graded, student):
    page = graded / "feedback" / student / MODULE / f"{LAB.stem}.html"
    text = page.read_text(encoding="utf-8")
    assert "Sources and file formats" in text
    assert ("✗ not yet" in text) == (student == "kim")


def test_only_the_notebooks_are_released(graded):
    names = [
        p.name for p in (graded / "exchange").rglob("*") if p.is_file() and "outbound" in p.parts
    ]
    assert names == [NOTEBOOK]


def test_a_released_notebook_validates_as_nbgrader_says(graded):
    said = nbgrader("validate", f"release/{MODULE}/{NOTEBOOK}", cwd=graded)
    assert "VALIDATION FAILED ON 4 CELL(S)" in said
    assert "not started" in said
    assert "Traceback" not in said


def test_the_configuration_names_no_folder_of_this_machine():
    assert str(course_config().CourseDirectory.root) == str(ROOT)
    assert str(ROOT) not in (ROOT / "nbgrader_config.py").read_text()


def test_the_demo_grades_a_class_of_seven(clone):
    def demo() -> str:
        return subprocess.run(
            [sys.executable, "-m", "grader", "demo"],
            cwd=clone,
            env={**os.environ, "PYTHONPATH": str(clone), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    printed = demo()
    lab = read_source(LAB)
    with (clone / "demo" / "grades.csv").open(encoding="utf-8", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {student.name: student.deserved for student in sample_class(lab)}
    for student in sample_class(lab):
        assert student.name in printed
        assert (clone / "demo" / "feedback" / student.name / MODULE / f"{LAB.stem}.html").is_file()
    assert (clone / "demo" / "report.html").is_file()
