"""``./course exec python benchmarks/grading/run.py``: our grader beside ``nbgrader autograde``.

Makes a course in a temporary folder, with the labs of ``labs/`` and a class of submissions, and
grades it both ways in one run: plain nbgrader in one process over the whole class, its fairest
form, then ``./course grade``. Processor seconds are those of the whole machine, on which nothing
else may run: what a sandbox kills is in no parent's account.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psutil

from grader.memory import share

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULE = "04-1-benchmark"
STUDENTS = 30
#: For nbgrader, Spark as it comes.
PLAIN_SPARK = """
def session(settings=None):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]")
    arrow = "spark.sql.execution.arrow.pyspark.enabled"
    return builder.config(arrow, "true").getOrCreate()
"""
#: Where the part of nbgrader_config.py begins and ends that puts kernels in a sandbox.
SANDBOX = ("# A student's code runs in a sandbox", "# Kernels started by nbgrader find")
_NBGRADER = [sys.executable, "-m", "nbgrader"]
_GRADE = [sys.executable, "-P", "-m", "grader", "grade"]


def main() -> None:
    """Measure the labs and print a table in Markdown."""
    parser = argparse.ArgumentParser(description="Our grader beside nbgrader autograde.")
    parser.add_argument("--labs", nargs="+", default=["01-trivial", "02-pandas", "03-spark"])
    parser.add_argument("--large", action="store_true", help="also the large classes, some minutes")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans below become children of this process
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        course = pathlib.Path(folder) / "course"
        _copy(course, options.labs)
        _run(course, [sys.executable, "-m", "grader", "build", MODULE])
        pairs = [_pair(course, lab) for lab in options.labs]
        print(f"\n{os.cpu_count()} cores; seconds of CPU / of wall time, all processes")
        print("Two figures: a lab that is released and was never graded, and one that was.")
        heads = ("lab, submissions", "nbgrader", "ours", "ours later", "floor", "less CPU")
        heads = (*heads, "× floor", "faster", "a notebook", "cells")
        print(f"| {' | '.join(heads)} |")
        print(f"|{'---|' * len(heads)}")
        for row in pairs:
            print(row)
        print()
        print(_workers(course, options.labs[min(1, len(options.labs) - 1)]))
        if options.large:
            print(_unchanged(course, options.labs[0], 1000))
            print(_many(course, 200, 5))


def _pair(course: pathlib.Path, lab: str) -> str:
    """One lab graded both ways, and its floor, as a row."""
    shutil.rmtree(course / "submitted", ignore_errors=True)
    _hand_in(course, lab, STUDENTS)
    _nbgrader(course, "generate_assignment", MODULE)
    ours_of_spark = (course / "labkit/spark.py").read_text(encoding="utf-8")
    (course / "labkit/spark.py").write_text(f"{ours_of_spark}\n{PLAIN_SPARK}", encoding="utf-8")
    theirs = _measure(course, [*_NBGRADER, "autograde", MODULE, "--create"])
    (course / "labkit/spark.py").write_text(ours_of_spark, encoding="utf-8")
    plain, shown = _scores(course, lab), _outputs(course, lab)
    _begin_anew(course)
    ours = _measure(course, [*_GRADE, f"{MODULE}/{lab}"])
    same = _scores(course, lab) == plain
    cells = _outputs(course, lab)
    differ = [key for key in shown if cells.get(key) != shown[key]]
    _begin_anew(course, keep="labs")
    later = _measure(course, [*_GRADE, f"{MODULE}/{lab}"])
    _begin_anew(course)
    source = str(course / "curriculum" / MODULE / f"{lab}.py")
    command = [sys.executable, str(HERE / "floor.py"), source, "submitted"]
    floor = _measure(course, [*command, "--checks"])
    scores = f"{len(plain)} scores {'the same' if same else 'DIFFER'}"
    print(f"{lab}: cells whose outputs differ: {differ[:8]}", file=sys.stderr)
    return (
        f"| {lab}, {STUDENTS} | {theirs.cpu:.1f} / {theirs.wall:.1f} "
        f"| {ours.cpu:.1f} / {ours.wall:.1f} | {later.cpu:.1f} / {later.wall:.1f} "
        f"| {floor.cpu:.1f} / {floor.wall:.1f} "
        f"| {theirs.cpu / ours.cpu:.1f}, {theirs.cpu / later.cpu:.1f} "
        f"| {ours.cpu / floor.cpu:.2f}, {later.cpu / floor.cpu:.2f} "
        f"| {theirs.wall / ours.wall:.1f}, {theirs.wall / later.wall:.1f} "
        f"| {ours.cpu / STUDENTS:.3f}, {later.cpu / STUDENTS:.3f} "
        f"| {scores}, {len(shown) - len(differ)} of {len(shown)} outputs |"
    )


def _workers(course: pathlib.Path, lab: str) -> str:
    """The same class with one worker and with two."""
    shutil.rmtree(course / "submitted", ignore_errors=True)
    _hand_in(course, lab, 8 * STUDENTS)
    runs = []
    for number in (1, 2):
        runs.append(_measure(course, [*_GRADE, f"{MODULE}/{lab}", "--workers", str(number)]))
        _begin_anew(course)
    one, two = runs
    return (
        f"{8 * STUDENTS} submissions of {lab}: {one.wall:.1f} s with one worker, {two.wall:.1f} s "
        f"with two ({one.wall / two.wall:.2f}×); the coordinator's own CPU is {two.own:.1f} of "
        f"{two.cpu:.1f} s ({two.own / two.cpu:.0%})."
    )


def _unchanged(course: pathlib.Path, lab: str, students: int) -> str:
    """A class that is graded already."""
    shutil.rmtree(course / "submitted", ignore_errors=True)
    _hand_in(course, lab, students)
    first = _measure(course, [*_GRADE, f"{MODULE}/{lab}"])
    again = [_measure(course, [*_GRADE, f"{MODULE}/{lab}"]).cpu for _ in range(5)]
    _begin_anew(course)
    return (
        f"{students} submissions of {lab}: {first.cpu:.1f} CPU-s; unchanged, "
        f"{statistics.median(again):.2f} CPU-s."
    )


def _many(course: pathlib.Path, students: int, notebooks: int) -> str:
    """A large class with several notebooks each, in one command."""
    shutil.rmtree(course / "submitted", ignore_errors=True)
    labs = [f"{n:02}-copy" for n in range(10, 10 + notebooks)]
    for lab in labs:
        text = (HERE / "labs" / "01-trivial.py").read_text(encoding="utf-8")
        target = course / "curriculum" / MODULE / f"{lab}.py"
        target.write_text(text.replace("/01-trivial", f"/{lab}"), encoding="utf-8")
    _run(course, [sys.executable, "-m", "grader", "build", MODULE])
    for lab in labs:
        _hand_in(course, lab, students)
    done = _measure(course, [*_GRADE, *(f"{MODULE}/{lab}" for lab in labs)])
    half = len(done.memory) // 2
    return (
        f"{students} students × {notebooks} notebooks: {done.cpu:.0f} CPU-s, {done.wall:.0f} s; "
        f"memory of all processes at most {max(done.memory[:half], default=0)} MB in the first "
        f"half, {max(done.memory[half:], default=0)} MB in the second."
    )


def _begin_anew(course: pathlib.Path, keep: str = "") -> None:
    """Forget all grading, but for what ``keep`` names in its folder: labs that are prepared."""
    for path in (course / "grading").glob("*"):
        if path.name != keep:
            _remove(path)
    for name in ("gradebook.db", "autograded"):
        _remove(course / name)
    _nbgrader(course, "generate_assignment", MODULE)


def _nbgrader(course: pathlib.Path, *arguments: str) -> None:
    _run(course, [*_NBGRADER, *arguments])


def _copy(course: pathlib.Path, labs: list[str]) -> None:
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
    (course / "curriculum" / MODULE).mkdir()
    for lab in labs:
        shutil.copy2(HERE / "labs" / f"{lab}.py", course / "curriculum" / MODULE)
    # nbgrader at its fastest: kernels that nothing walls in.
    config = (course / "nbgrader_config.py").read_text(encoding="utf-8")
    start, end = (config.index(mark) for mark in SANDBOX)
    (course / "nbgrader_config.py").write_text(config[:start] + config[end:], encoding="utf-8")


def _hand_in(course: pathlib.Path, lab: str, students: int) -> None:
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
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(submission(reference, answers), folder / f"{lab.path.stem}.ipynb")
"""
    source = course / "curriculum" / MODULE / f"{lab}.py"
    _run(course, [sys.executable, "-c", script, str(source), str(students)])


def _environment(course: pathlib.Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(course)}


def _run(course: pathlib.Path, command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=course, env=_environment(course), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[1:4])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


@dataclass
class Measured:
    """Seconds of a command with all its processes; its memory in MB, sampled each second or two."""

    cpu: float
    wall: float
    #: CPU seconds of the command's first process alone.
    own: float
    memory: list[int]


def _measure(course: pathlib.Path, command: list[str]) -> Measured:
    start, memory, busy = time.perf_counter(), [], _busy_seconds()
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command, cwd=course, env=_environment(course), stdout=words, stderr=words
        )
        looked = start
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if time.perf_counter() - looked > 2:
                memory.append(_memory(process.pid))
                looked = time.perf_counter()
            time.sleep(0.02)
        # A process that has ended keeps its own account until it is waited for.
        own = _own_seconds(process.pid)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        # What outlived its parent, a kernel's Java for one, has come to this process.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait3(0)
        cpu = _busy_seconds() - busy
        if process.returncode:
            words.seek(0)
            said = words.read().decode(errors="replace")[-2000:]
            sys.exit(f"{' '.join(command[1:4])} failed:\n{said}")
    return Measured(cpu, wall, own, memory)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.system + times.nice + times.irq + times.softirq


def _own_seconds(pid: int) -> float:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Megabytes of a process and its descendants, pages that forks share counted once."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(map(share, [process, *process.children(recursive=True)])) // 2**20
    return 0


def _outputs(course: pathlib.Path, lab: str) -> dict[tuple[str, str], list]:
    """What each cell of the students' own showed, by student and cell; checks are ours or theirs.

    Left out are an error's traceback, which names the process's files and lines, and the count of
    cells that ran, which differs because no check runs in the student's process of ours.
    """
    found = {}
    for path in sorted((course / "autograded").glob(f"*/{MODULE}/{lab}.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code" and not cell["id"].endswith("-check"):
                shown = [_plain(output) for output in cell["outputs"]]
                found[path.parent.parent.name, cell["id"]] = shown
    return found


def _plain(output: dict) -> list:
    data = output.get("data", {})
    text = {
        kind: re.sub(r"<style.*?</style>|\s|0x[0-9a-f]+", "", "".join(value), flags=re.DOTALL)
        for kind, value in data.items()
        if kind in ("text/plain", "image/png")
    }
    return [output["output_type"], output.get("ename"), "".join(output.get("text", "")), text]


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
