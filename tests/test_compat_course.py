"""Any nbgrader course is graded as nbgrader grades it, in sandboxes, side by side, and goes on.

The course is nbgrader's own from its manual, which its package carries, with an assignment of
notebooks that are clean but tricky beside it.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import nbformat
import nbgrader
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader.source import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

GUIDE = pathlib.Path(nbgrader.__file__).parent / "docs" / "source" / "user_guide"
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "manual"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "__pycache__"]
c.ExecutePreprocessor.timeout = 8
c.ExecutePreprocessor.iopub_timeout = 60
c.ExecutePreprocessor.interrupt_on_timeout = True
c.ExecutePreprocessor.extra_arguments = ["--IPKernelApp.log_level=40"]
c.LateSubmissionPlugin.penalty_method = "zero"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
"""
RIGHT = "def double(x):\n    return 2 * x"
#: What a student handed in for the one answer cell, by case.
TRICKY = {
    "right": RIGHT,
    "wrong": "def double(x):\n    return x",
    "untouched": "raise NotImplementedError()",
    "syntax-error": "def double(x)",
    "raises": f"{RIGHT}\n1 / 0",
    "warns": f"import warnings\n{RIGHT}\nwarnings.warn('careful')",
    "stderr-in-the-test": "import sys\ndef double(x):\n    print('!', file=sys.stderr)\n"
    "    return 2 * x",
    "prints": f"{RIGHT}\nprint('ü€', 'x' * 50_000)",
    "displays": f"from IPython.display import HTML, display\n{RIGHT}\ndisplay(HTML('<b>x</b>'), 3)",
    "updates": "from IPython.display import display\nd = display(1, display_id=True)\n"
    f"d.update(2)\n{RIGHT}",
    "figure": f"%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n{RIGHT}",
    "awaits": f"import asyncio\nawait asyncio.sleep(0)\n{RIGHT}",
    "magic": f"%time x = 1\n{RIGHT}",
    "shell": f"!echo hello\n{RIGHT}",
    "thread": f"import threading\nt = threading.Thread(target=print, args=('t',))\n"
    f"t.start(); t.join()\n{RIGHT}",
    "elsewhere": f"import os\nos.mkdir('there'); os.chdir('there')\n{RIGHT}",
    "reads-data": "factor = int(open('factor.txt').read())\ndef double(x):\n    return factor * x",
    "asks": f"input('name?')\n{RIGHT}",
    "half": "def double(x):\n    return abs(2 * x)",
    "endless": "while True:\n    pass",
}
#: Notebooks that nbgrader itself grades by chance, or not at all.
HOSTILE = {
    "forger": f"{RIGHT}\nimport builtins, gc\nbuiltins.double = 4",
    "vandal": "import pathlib, socket\nfound = []\nfor place in PLACES:\n    try:\n"
    "        found.append(open(place).read())\n"
    "        open(place, 'w').write('gone')\n    except OSError as error:\n        pass\n"
    "try:\n    socket.create_connection(('127.0.0.1', PORT), 2).sendall(b'x')\n"
    "    found.append('network')\nexcept OSError:\n    pass\nprint('FOUND', found)\n" + RIGHT,
    "killer": f"{RIGHT}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
}


def cell(source: str, name: str, *, points: float | None = None, solution: bool, grade: bool):
    ours = {
        "grade": grade,
        "grade_id": name,
        "locked": grade and not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    metadata = {"nbgrader": ours | ({"points": points} if grade else {})}
    return new_code_cell(source, metadata=metadata)


def problem() -> nbformat.NotebookNode:
    answer = f"### BEGIN SOLUTION\n{RIGHT}\n### END SOLUTION"
    essay = new_markdown_cell("Why?")
    essay.metadata = cell("", "essay", points=3, solution=True, grade=True).metadata
    return new_notebook(
        cells=[
            cell(answer, "double", solution=True, grade=False),
            cell("assert double(2) == 4", "test-two", points=2, solution=False, grade=True),
            cell("assert double(-2) == -4", "test-minus", points=1, solution=False, grade=True),
            cell("(double(3) == 6) * 0.5", "test-part", points=1, solution=False, grade=True),
            cell("assert double([1]) == [1, 1]", "extra", points=0, solution=False, grade=True),
            essay,
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )


def run(course: pathlib.Path, *arguments: str, check: bool = True):
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def grade(course: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", "grade", "--nbgrader", str(course), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> pathlib.Path:
    """The course after hand-in, not graded."""
    root = tmp_path_factory.mktemp("nbgrader") / "course"
    for name in ("source/ps1", "submitted"):
        shutil.copytree(GUIDE / name, root / name, ignore=shutil.ignore_patterns("ps1_autotest"))
    for path in (root / "submitted").glob("*/*"):
        if path.name != "ps1":
            shutil.rmtree(path)
    (root / "nbgrader_config.py").write_text(CONFIG)
    tricky = root / "source" / "ps2"
    tricky.mkdir()
    nbformat.write(problem(), tricky / "p.ipynb")
    (tricky / "factor.txt").write_text("2")
    run(root, "generate_assignment", "ps1")
    run(root, "generate_assignment", "ps2")
    with sqlite3.connect(root / "gradebook.db") as database:
        database.execute("UPDATE assignment SET duedate = '2015-02-02 15:00:00' WHERE name = 'ps1'")
    database.close()
    released = nbformat.read(root / "release" / "ps2" / "p.ipynb", as_version=4)
    for student, source in TRICKY.items():
        released.cells[0].source = source
        place = root / "submitted" / student / "ps2"
        place.mkdir(parents=True)
        nbformat.write(released, place / "p.ipynb")
        (place / "factor.txt").write_text("2")
    # A copy of a cell, and a notebook that nobody asked for.
    twice = nbformat.read(root / "submitted" / "right" / "ps2" / "p.ipynb", as_version=4)
    twice.cells.append(twice.cells[0].copy())
    folder = root / "submitted" / "twice" / "ps2"
    folder.mkdir(parents=True)
    nbformat.write(twice, folder / "p.ipynb")
    nbformat.write(twice, folder / "unasked.ipynb")
    empty = root / "submitted" / "no-notebook" / "ps2"
    empty.mkdir(parents=True)
    (empty / "notes.txt").write_text("later")
    return root


QUERIES = {
    "grade": """
        SELECT a.name, s.student_id, n.name, b.name, g.auto_score, g.manual_score, g.extra_credit,
               g.needs_manual_grade, n_.late_submission_penalty, s.timestamp
        FROM grade g JOIN base_cell b ON b.id = g.cell_id
        JOIN submitted_notebook n_ ON n_.id = g.notebook_id JOIN notebook n ON n.id = n_.notebook_id
        JOIN submitted_assignment s ON s.id = n_.assignment_id
        JOIN assignment a ON a.id = s.assignment_id ORDER BY 1, 2, 3, 4""",
    "comment": """
        SELECT s.student_id, n.name, b.name, c.auto_comment, c.manual_comment
        FROM comment c JOIN base_cell b ON b.id = c.cell_id
        JOIN submitted_notebook n_ ON n_.id = c.notebook_id JOIN notebook n ON n.id = n_.notebook_id
        JOIN submitted_assignment s ON s.id = n_.assignment_id ORDER BY 1, 2, 3""",
    "student": "SELECT id FROM student ORDER BY 1",
}


def rows(course: pathlib.Path) -> dict[str, list[tuple]]:
    connection = sqlite3.connect(course / "gradebook.db")
    try:
        return {name: connection.execute(query).fetchall() for name, query in QUERIES.items()}
    finally:
        connection.close()


@pytest.fixture(scope="module")
def theirs(course, tmp_path_factory) -> pathlib.Path:
    """Graded by nbgrader itself."""
    root = pathlib.Path(shutil.copytree(course, tmp_path_factory.mktemp("theirs") / "course"))
    for student in ("no-notebook", "twice"):
        # A copied cell, or no notebook at all, would stop its grading of the whole class.
        shutil.rmtree(root / "submitted" / student)
    run(root, "autograde", "ps1")
    run(root, "autograde", "ps2")
    return root


@pytest.fixture(scope="module")
def ours(course, tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess[str]]:
    root = pathlib.Path(shutil.copytree(course, tmp_path_factory.mktemp("ours") / "course"))
    return root, grade(root)


def test_all_scores_are_nbgraders(theirs, ours):
    root, _ = ours
    mine, asked = rows(root), rows(theirs)
    students = {row[1] for row in mine["grade"]}
    assert students >= {"bitdiddle", "hacker", "twice", *TRICKY}
    for table in ("grade", "comment"):
        assert [row for row in mine[table] if "twice" not in row[:2]] == asked[table]
    points = {row[1]: 0.0 for row in mine["grade"]}
    for row in mine["grade"]:
        points[row[1]] += row[4] or 0
    assert points["right"] == points["twice"] == 3.5
    assert points["wrong"] == points["untouched"] == points["endless"] == 0
    assert points["half"] == 2.5
    assert points["reads-data"] == 3.5
    assert {row[8] for row in mine["grade"] if row[1] == "bitdiddle"} != {0.0}, "it was late"


def test_a_submission_that_cannot_be_graded_stops_no_other(ours):
    _, done = ours
    assert done.returncode == 2
    assert "1 submission(s) could not be graded, the first is ps2 of no-notebook" in done.stderr
    assert "Traceback" not in done.stderr
    assert "is not stopped in this mode" in " ".join(done.stdout.split())


VARYING = re.compile(
    r"0x[0-9a-f]{6,}|/tmp/[^\s:]+(:\d+:)?|ipykernel_\d+\S*|\d+\.py|\d+(\.\d+)? [nµμm]?s|sys: [^,]*,"
)


def shown(root: pathlib.Path, student: str, name: str) -> list[tuple]:
    """Outputs of a graded notebook; times, addresses and the text of pictures differ by nature."""
    found = []
    for one in nbformat.read(str(root / "autograded" / student / name), as_version=4).cells:
        outputs = []
        for output in one.get("outputs", []):
            data = {
                mime: VARYING.sub("…", str(value)) if mime.startswith("text/") else "…"
                for mime, value in output.get("data", {}).items()
            }
            text = VARYING.sub("…", output.get("text", "") + output.get("evalue", ""))
            outputs.append((output["output_type"], output.get("name", ""), text, *data.items()))
        found.append((one.cell_type, one.source, sorted(outputs, key=repr)))
    return found


def test_outputs_are_nbgraders(theirs, ours):
    compared = 0
    for path in sorted((theirs / "autograded").glob("*/*/*.ipynb")):
        student, *name = path.relative_to(theirs / "autograded").parts
        if student != "endless":  # where it was interrupted is chance
            assert shown(ours[0], student, "/".join(name)) == shown(theirs, student, "/".join(name))
            compared += 1
    assert compared > 20


def test_feedback_and_export_work_after_it(ours):
    root, _ = ours
    run(root, "generate_feedback", "ps1")
    assert (root / "feedback" / "bitdiddle" / "ps1" / "problem1.html").is_file()
    run(root, "export")
    assert "bitdiddle" in (root / "grades.csv").read_text()


def test_what_is_unchanged_is_left_alone_and_what_people_entered_stays(ours):
    root, _ = ours
    shutil.rmtree(root / "submitted" / "no-notebook")
    with sqlite3.connect(root / "gradebook.db") as database:
        database.execute("UPDATE grade SET manual_score = 2.5 WHERE needs_manual_grade")
    database.close()
    before, record = rows(root), (root / "grading" / "nbgrader-ps2.jsonl").read_bytes()
    started = {p: p.stat().st_mtime_ns for p in (root / "autograded").rglob("*.ipynb")}
    done = grade(root)
    assert done.returncode == 0, done.stderr
    assert "\n0 of " in done.stdout
    assert rows(root) == before
    assert (root / "grading" / "nbgrader-ps2.jsonl").read_bytes().startswith(record)
    assert started == {p: p.stat().st_mtime_ns for p in (root / "autograded").rglob("*.ipynb")}


def small(course: pathlib.Path, place: pathlib.Path, answers: dict[str, str]) -> pathlib.Path:
    """A course of a few students in the one assignment."""
    root = pathlib.Path(shutil.copytree(course, place / "course"))
    whole = nbformat.read(root / "release" / "ps2" / "p.ipynb", as_version=4)
    shutil.rmtree(root / "submitted")
    for student, source in answers.items():
        whole.cells[0].source = source
        folder = root / "submitted" / student / "ps2"
        folder.mkdir(parents=True)
        nbformat.write(whole, folder / "p.ipynb")
    return root


def test_hostile_notebooks_harm_nobody_and_are_flagged(course, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    answers = {"ada": RIGHT, **HOSTILE}
    root = tmp_path / "course"
    places = [root / "gradebook.db", root / "submitted" / "ada" / "ps2" / "p.ipynb"]
    named = f"PLACES = {[str(p) for p in places]!r}\nPORT = {listener.getsockname()[1]}\n"
    answers["vandal"] = named + answers["vandal"]
    small(course, tmp_path, answers)
    other = places[1].read_bytes()
    done = grade(root)
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()
    assert places[1].read_bytes() == other
    points = {student: 0.0 for student in answers}
    for row in rows(root)["grade"]:
        points[row[1]] += row[4] or 0
    assert points["ada"] == points["vandal"] == 3.5
    assert points["killer"] == 0
    text = (root / "autograded" / "vandal" / "ps2" / "p.ipynb").read_text()
    assert "FOUND []" in text
    # The control: without walls these very lines read the file.
    assert places[1].read_text()
    words = " ".join(done.stdout.split())
    assert "Flag: ps2 of forger" in words and "imports builtins" in words
    assert "of ada" not in words


def test_a_killed_coordinator_goes_on_where_it_was(course, tmp_path):
    answers = {f"s{n}": RIGHT if n % 2 else TRICKY["half"] for n in range(6)}
    undisturbed = small(course, tmp_path / "a", answers)
    assert grade(undisturbed).returncode == 0
    root = small(course, tmp_path / "b", answers)
    record = root / "grading" / "nbgrader-ps2.jsonl"
    command = [sys.executable, "-m", "grader", "grade", "--nbgrader", str(root)]
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while running.poll() is None and not (record.exists() and record.read_bytes().count(b"\n") > 1):
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not rows(root)["grade"], "it was killed before it wrote the gradebook"
    done = grade(root)
    assert done.returncode == 0, done.stderr
    assert rows(root) == rows(undisturbed)
    keys = [json.loads(line)["key"] for line in record.read_text().splitlines()]
    graded = [tuple(key) for key in keys if key[0] == "submission"]
    assert len(graded) == len({*graded}) == 6


def corrupt(root: pathlib.Path) -> None:
    (root / "gradebook.db").write_bytes(b"no database" * 500)


def none(root: pathlib.Path) -> None:
    (root / "gradebook.db").unlink()


def nothing_handed_in(root: pathlib.Path) -> None:
    shutil.rmtree(root / "submitted")


def broken_config(root: pathlib.Path) -> None:
    (root / "nbgrader_config.py").write_text("c = ")


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (corrupt, [], "damaged"),
        (none, [], "generate_assignment"),
        (nothing_handed_in, [], "is"),
        (broken_config, [], "cannot be loaded"),
        (lambda root: None, ["ps9"], "no assignment 'ps9'"),
        (lambda root: None, ["--scheduler", "tcp://127.0.0.1:9"], "does not answer"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(course, tmp_path, spoil, arguments, words):
    root = small(course, tmp_path, {"ada": RIGHT})
    spoil(root)
    before = {p: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    done = grade(root, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert before == {p: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_locked_gradebook_is_one_sentence(course, tmp_path):
    root = small(course, tmp_path, {"ada": RIGHT})
    database = sqlite3.connect(root / "gradebook.db")
    database.execute("BEGIN EXCLUSIVE")
    done = grade(root)
    database.close()
    assert done.returncode == 2
    assert "locked" in done.stderr
    assert not (root / "autograded").exists()
