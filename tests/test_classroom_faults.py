"""What can go wrong with a class is one sentence; what a student shows harms no reader."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from hostile.mortal import work
from hostile.small import lab

from grader.classroom import cluster
from grader.classroom.command import grade
from grader.export import safe
from grader.reference import make_reference
from grader.samples import sample_class, submission
from grader.source import ROOT
from labkit.errors import CourseError

MODULE, NOTEBOOK = "04-1-ingestion", "01-file-formats.ipynb"
#: A spreadsheet would run this name.
FORMULA = "=HYPERLINK(0)"
SHOWN = """
from IPython.display import HTML, display

display(HTML(
    "<script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>a</a>"
    "<a href='data:text/html,alert(4)'>b</a><img src='http://127.0.0.1/pixel.png'>"
    "<iframe src='data:text/html,alert(5)'></iframe><b>harmless</b>"
))
display({"text/html": "<svg onload=alert(6)>", "application/javascript": "alert(7)"}, raw=True)
"""


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory) -> pathlib.Path:
    """Three students have handed in; nothing is graded yet."""
    root = tmp_path_factory.mktemp("class")
    students = {s.name: s.answers for s in sample_class(lab()) if s.name in ("ada", "kim")}
    students["ada"] = students["ada"] | {"wind": students["ada"]["wind"] + SHOWN}
    students[FORMULA] = students["kim"]
    for name, answers in students.items():
        folder = root / "submitted" / name / MODULE
        folder.mkdir(parents=True)
        nbformat.write(submission(make_reference(lab()), answers), folder / NOTEBOOK)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    return root


@pytest.fixture
def room(handed_in, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(handed_in, tmp_path / "class"))


@pytest.fixture(scope="module")
def graded(handed_in, tmp_path_factory) -> pathlib.Path:
    """The class after grading, feedback and export, all by their commands."""
    root = pathlib.Path(shutil.copytree(handed_in, tmp_path_factory.mktemp("graded") / "class"))
    done = course("grade", MODULE, "--course-dir", str(root))
    assert done.returncode == 0, done.stderr
    for step in (["generate_feedback", MODULE], ["export"]):
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *step],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
    return root


def course(*arguments: str, before=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
    )


def files(root: pathlib.Path) -> dict[str, bytes]:
    """All files but what the coordinator keeps for itself."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "grading" not in path.relative_to(root).parts
    }


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def corrupt(path: pathlib.Path) -> None:
    path.write_bytes(b"no database" * 500)


def foreign(path: pathlib.Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE friends (name TEXT)")
    database.close()


def a_folder(path: pathlib.Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(corrupt, "damaged"), (foreign, "not an nbgrader gradebook"), (a_folder, "access rights")],
)
def test_a_gradebook_that_is_none(room, spoil, words):
    spoil(room / "gradebook.db")
    before = files(room)
    refused(course("grade", MODULE, "--course-dir", str(room)), words)
    assert files(room) == before


def test_a_locked_gradebook(graded, tmp_path):
    room = pathlib.Path(shutil.copytree(graded, tmp_path / "class"))
    shutil.rmtree(room / "grading")
    # Before the lock: closing a file gives up all locks that this process holds on it.
    before = files(room)
    database = sqlite3.connect(room / "gradebook.db")
    database.execute("BEGIN EXCLUSIVE")
    try:
        refused(course("grade", MODULE, "--course-dir", str(room)), "locked")
    finally:
        database.close()
    assert files(room) == before


def test_a_disk_that_takes_no_gradebook(room):
    """A file may have 16 kB here: room for a record, none for a gradebook."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))

    before = files(room)
    done = course("grade", MODULE, "--course-dir", str(room), before=small)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert files(room) == before
    assert course("grade", MODULE, "--course-dir", str(room)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Say what to grade"),
        (["99-nothing"], "There is no module or lab"),
        ([MODULE, "--course-dir", "/no/such/folder"], "collect the submissions first"),
        ([MODULE, "--scheduler", "tcp://127.0.0.1:9"], "does not answer"),
        ([MODULE, "--scheduler", "nonsense://x"], "no address of a scheduler"),
    ],
)
def test_what_is_not_there(room, arguments, words):
    before = sorted(room.rglob("*"))
    if "--course-dir" not in arguments:
        arguments = [*arguments, "--course-dir", str(room)]
    refused(course("grade", *arguments), words)
    assert sorted(room.rglob("*")) == before


def test_fewer_layers_than_required_grade_nothing(room):
    with pytest.raises(CourseError, match="lacks a-layer-of-tomorrow"):
        grade([MODULE], root=room, require=["a-layer-of-tomorrow"])
    assert not (room / "autograded").exists()


def test_layers_are_on_every_record(graded):
    lines = (graded / "grading" / f"{MODULE}.jsonl").read_text().splitlines()
    entries = [e for e in map(json.loads, lines) if e["key"][0] == "notebook"]
    assert len(entries) == 3
    assert all({"limits", "no_new_privs"} <= {*entry["layers"]} for entry in entries)


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))


def test_a_killed_worker_costs_nothing(workers, tmp_path):
    jobs = [{"number": n, "deaths": n == 3} for n in range(8)]
    shared = {"folder": str(tmp_path)}
    results = [
        (job["number"], result["double"])
        for job, result in cluster.run(work, jobs, shared, workers=2, processes=True)
    ]
    assert sorted(results) == [(n, 2 * n) for n in range(8)]
    assert (tmp_path / "deaths-3").read_text() == "x"
    finished = (tmp_path / "done").read_text().split()
    assert finished.count("3") == 1
    # Only what was under way on the dead worker may run again.
    assert len(finished) <= len(jobs) + 2 * cluster.AHEAD


def test_a_job_that_kills_every_worker_stops_no_other(workers, tmp_path):
    jobs = [{"number": n, "deaths": 99 * (n == 1)} for n in range(12)]
    shared = {"folder": str(tmp_path)}
    results = {
        job["number"]: result
        for job, result in cluster.run(work, jobs, shared, workers=2, processes=True)
    }
    assert "worker processes ended" in results[1]["error"]
    innocent = [result.get("double", result) for n, result in sorted(results.items()) if n != 1]
    assert innocent == [2 * n for n in range(12) if n != 1]


def test_the_report_says_what_a_teacher_asks(graded):
    page = (graded / "grading" / "report.html").read_text(encoding="utf-8")
    for heading in ("Distribution of points", "Hardest questions", "Misconceptions", "To look at"):
        assert heading in page
    for n, exercise in enumerate(lab().exercises):
        if n % 2:
            # Kim answers these with the last wrong answer of the lab.
            assert exercise.wrong[-1].meta["misconception"] in page
    assert FORMULA in page
    assert f"{FORMULA}, kim" in page  # they handed in the same answers
    assert "MB" in page


def test_nothing_that_a_student_shows_runs_in_a_page(graded):
    feedback = graded / "feedback" / "ada" / MODULE / "01-file-formats.html"
    notebook = json.loads((graded / "autograded" / "ada" / MODULE / NOTEBOOK).read_text())
    shown = [
        "".join(data.get("text/html", ""))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if (data := output.get("data"))
    ]
    assert any("harmless" in text for text in shown)
    kinds = {
        kind for c in notebook["cells"] for o in c.get("outputs", []) for kind in o.get("data", {})
    }
    assert kinds <= {"text/plain", "text/html", "image/png", "image/jpeg"}
    report = (graded / "grading" / "report.html").read_text(encoding="utf-8")
    for page in (feedback.read_text(encoding="utf-8"), report, *shown):
        tree = BeautifulSoup(page, "lxml")
        assert not [tag for tag in tree.find_all("script") if "alert(" in tag.text]
        for tag in tree.find_all(True):
            assert "alert(" not in " ".join(map(str, tag.attrs.values())), tag
            if tag.name == "a":
                assert not tag.get("href", "").startswith(("javascript:", "data:")), tag
            assert "pixel.png" not in tag.get("src", ""), tag
    assert "<b>harmless</b>" in feedback.read_text(encoding="utf-8")


def test_feedback_tells_no_hidden_test(graded):
    for student in ("ada", "kim", FORMULA):
        page = graded / "feedback" / student / MODULE / "01-file-formats.html"
        text = page.read_text(encoding="utf-8")
        assert "HIDDEN TESTS" not in text
        known = "".join(cell.source for cell in lab().cells if cell.role != "hidden")
        for exercise in lab().exercises:
            for line in exercise.hidden.source.splitlines():
                if len(line.strip()) > 40 and line.strip() not in known:
                    assert line.strip() not in text


def test_an_exported_name_is_no_formula(graded):
    with (graded / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {*rows} == {"ada", "kim", f"'{FORMULA}"}
    assert float(rows["ada"]["score"]) == lab().points
    assert float(rows["kim"]["score"]) == float(rows[f"'{FORMULA}"]["score"]) > 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_each_beginning_of_a_formula_is_harmless(text):
    assert safe(text) == f"'{text}"


def test_other_values_are_exported_as_they_are():
    assert [safe(v) for v in ("Ada", -3.5, None, "a=b")] == ["Ada", -3.5, "", "a=b"]
