"""``./course exec python benchmarks/grading/run.py``: our grader beside ``nbgrader autograde``.

Makes a course in a temporary folder, with the labs of ``labs/`` and a class of submissions, and
grades it both ways in one run: plain nbgrader in one process over the whole class, its fairest
form, then ``./course grade``. Processor seconds are those of all processes, from start to end.
"""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULE = "04-1-benchmark"
STUDENTS = 30
#: Where the part of nbgrader_config.py begins and ends that puts kernels in a sandbox.
SANDBOX = ("# A student's code runs in a sandbox", "# Kernels started by nbgrader find")
_NBGRADER = [sys.executable, "-m", "nbgrader"]


def main() -> None:
    """Measure each lab and print a table in Markdown."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        course = pathlib.Path(folder) / "course"
        _copy(course)
        labs = sorted(path.stem for path in (HERE / "labs").glob("0*.py"))
        _run(course, [sys.executable, "-m", "grader", "build", MODULE])
        for lab in labs:
            shutil.rmtree(course / "submitted", ignore_errors=True)
            _hand_in(course, lab)
            _nbgrader(course, "generate_assignment", MODULE)
            theirs = _measure(course, [*_NBGRADER, "autograde", MODULE, "--create"])
            plain = _scores(course, lab)
            for name in ("gradebook.db", "autograded"):
                _remove(course / name)
            _nbgrader(course, "generate_assignment", MODULE)
            ours = _measure(course, [sys.executable, "-m", "grader", "grade", f"{MODULE}/{lab}"])
            same = _scores(course, lab) == plain
            again = _measure(course, [sys.executable, "-m", "grader", "grade", f"{MODULE}/{lab}"])
            rows.append((lab, theirs, ours, again, same, len(plain)))
            for name in ("gradebook.db", "autograded", "grading"):
                _remove(course / name)
    print(
        f"\n{STUDENTS} submissions, {os.cpu_count()} cores; seconds of processor and of wall time"
    )
    print("| lab | nbgrader | ours | times less CPU | times faster | unchanged | same scores |")
    print("|---|---|---|---|---|---|---|")
    for lab, theirs, ours, again, same, count in rows:
        print(
            f"| {lab} | {theirs[0]:.1f} / {theirs[1]:.1f} | {ours[0]:.1f} / {ours[1]:.1f} "
            f"| {theirs[0] / ours[0]:.1f} | {theirs[1] / ours[1]:.1f} | {again[0]:.2f} "
            f"| {'yes' if same else 'NO'}, {count} |"
        )


def _nbgrader(course: pathlib.Path, *arguments: str) -> None:
    _run(course, [*_NBGRADER, *arguments])


def _copy(course: pathlib.Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        target = course / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    if (ROOT / "data/built").exists():
        shutil.copytree(ROOT / "data/built", course / "data/built")
    shutil.copytree(HERE / "labs", course / "curriculum" / MODULE)
    (course / "curriculum" / MODULE / "ruff.toml").unlink()
    # nbgrader at its fastest: kernels that nothing walls in.
    config = (course / "nbgrader_config.py").read_text(encoding="utf-8")
    start, end = (config.index(mark) for mark in SANDBOX)
    (course / "nbgrader_config.py").write_text(config[:start] + config[end:], encoding="utf-8")


def _hand_in(course: pathlib.Path, lab: str) -> None:
    """A class in which every third student has a wrong answer."""
    script = """
import json, pathlib, sys
import nbformat
from grader.reference import make_reference
from grader.samples import submission
from grader.source import read_source
lab = read_source(pathlib.Path(sys.argv[1]))
reference = make_reference(lab)
for n in range(int(sys.argv[2])):
    answers = {e.name: e.answer.source for e in lab.exercises}
    if n % 3 == 2:
        wrong = lab.exercises[n % len(lab.exercises)]
        answers[wrong.name] = wrong.wrong[n % len(wrong.wrong)].source
    folder = pathlib.Path("submitted", f"student-{n:03}", lab.path.parent.name)
    folder.mkdir(parents=True)
    nbformat.write(submission(reference, answers), folder / f"{lab.path.stem}.ipynb")
"""
    source = course / "curriculum" / MODULE / f"{lab}.py"
    _run(course, [sys.executable, "-c", script, str(source), str(STUDENTS)])


def _environment(course: pathlib.Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(course)}


def _run(course: pathlib.Path, command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=course, env=_environment(course), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[1:4])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _measure(course: pathlib.Path, command: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of a command with all processes that it waited for."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(course, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start


def _scores(course: pathlib.Path, lab: str) -> list[tuple]:
    """Student, cell and score of each graded cell of a lab."""
    with sqlite3.connect(course / "gradebook.db") as database:
        query = """
            SELECT a.student_id, b.name, coalesce(g.manual_score, g.auto_score)
            FROM grade g JOIN base_cell b ON b.id = g.cell_id
            JOIN submitted_notebook s ON s.id = g.notebook_id
            JOIN notebook n ON n.id = s.notebook_id
            JOIN submitted_assignment a ON a.id = s.assignment_id
            WHERE n.name = ? ORDER BY 1, 2
        """
        return database.execute(query, [lab]).fetchall()


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
