"""A lab's first cells run once, for all: only where a fork can go on from what they leave."""

from __future__ import annotations

import dataclasses
import sys

import psutil
import pytest
from hostile.small import notebook, plan, reference

from grader.engine import grading
from grader.engine.grading import Grader
from grader.engine.rebuild import PlanCell
from grader.engine.sandbox import can_mount
from labkit.errors import CourseError

#: A cell that shows something else each time that it runs.
TOKEN = "import secrets\nprint(secrets.token_hex())\n"
NAP = "61.25"
LEFT = {
    "a thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "a thread of a library": "import duckdb\nopen_db = duckdb.connect()\nopen_db.sql('SELECT 1')",
    "a process": f"import subprocess\nnap = subprocess.Popen(['sleep', '{NAP}'])",
    "a socket": "import socket\nopen_socket = socket.socket()",
    "a file": "open('left.txt', 'w').close()",
    "a file to write": "import os\nnull = open(os.devnull, 'w')",
    "a name of a folder": "import tempfile\nwhere = tempfile.gettempdir()",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell enough")


def graded(first: str, last: str = "", imports: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """What a lab's first and its last cell show, for each of two submissions."""
    setup, *rest = plan().cells
    cells = (setup, PlanCell("first", first), *rest, PlanCell("last", last))
    shown = []
    with Grader(dataclasses.replace(plan(), cells=cells, imports=imports)) as grader:
        for _ in range(2):
            result = grader.grade(notebook(reference()))
            assert result.points == result.maximum
            outputs = [result.cells[name]["outputs"] for name in ("first", "last")]
            shown.append(tuple("".join(o.get("text", "") for o in cell) for cell in outputs))
    return shown


def test_the_first_cells_run_once():
    one, other = graded(TOKEN)
    assert one == other
    assert one[0].strip()


@pytest.mark.parametrize("left", LEFT)
def test_what_a_fork_would_lack_is_left_in_each(left):
    one, other = graded(f"{TOKEN}{LEFT[left]}", imports=("duckdb",))
    assert one != other
    assert not [p for p in psutil.process_iter(["cmdline"]) if NAP in (p.info["cmdline"] or [])]


def test_arrow_goes_on_in_each_fork():
    table = "import io\nimport pyarrow as pa\nimport pyarrow.parquet as pq\nfile = io.BytesIO()\n"
    table += "pq.write_table(pa.table({'n': range(100_000)}), file)\n"
    count = "print(pq.read_table(file, columns=['n']).num_rows, threads())"
    threads = "import os\ndef threads():\n    return len(os.listdir('/proc/self/task')) > 1\n"
    first, other = graded(f"{threads}{table}{TOKEN}{count}", count, imports=("pyarrow.parquet",))
    assert first == other
    assert first[0].endswith("100000 True\n")
    assert first[1] == "100000 True\n"


def test_each_fork_reads_an_open_file_from_the_same_place():
    opened = "import os\nfile = open(os.__file__, 'rb', buffering=0)\nprint(file.read(20))"
    first, other = graded(f"{TOKEN}{opened}", "print(file.read(20))")
    assert first == other
    assert first[1].strip() not in first[0]


@pytest.mark.skipif(not can_mount(), reason="there are no mounts here")
def test_what_cannot_be_read_inside_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(grading, "_view", lambda _datasets: ["/usr", "/lib", "/lib64"])
    with Grader(plan()) as grader, pytest.raises(CourseError, match="fail in the sandbox"):
        grader.grade(notebook(reference()))


def test_neither_warm_process_lives_without_the_other():
    for kill in (psutil.Process.kill, lambda judges: psutil.Process(judges.ppid()).kill()):
        with Grader(plan()) as grader:
            grader.grade(notebook(reference()))
            process = psutil.Process(grader._running._process.pid)
            # The first child; others keep students' processes, and are reaped later.
            judges = min(process.children(), key=psutil.Process.create_time)
            kill(judges)
            grader._running._process.wait(10)
            judges.wait(10)
            result = grader.grade(notebook(reference()))
        assert result.points == result.maximum
