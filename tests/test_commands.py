"""The command line: what it prints, and one clear sentence for every mistake."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from grader.source import ROOT
from grader.topics import coverage, summary, topics


def course(*arguments: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "grader", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "There is no command 'fly'; the commands are lab, demo,"),
        (["build", "99-none"], "There is no module or lab '99-none'"),
        (["test", "99-none"], "There is no module or lab '99-none'"),
        (["data", "build", "flights-dya"], "did you mean"),
        (["build", "--chek"], "No such option"),
        (["lab", "--port", "many"], "not a valid integer"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, words):
    done = course(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_port_in_use_is_said_before_anything_is_made():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = course("lab", "--no-browser", "--port", str(port))
    assert done.returncode == 2
    assert f"Port {port} is in use; choose another" in done.stderr


def test_help_fits_one_screen():
    text = course("--help").stdout
    assert len(text.splitlines()) <= 30
    for command in ("lab", "demo", "test", "build", "topics", "data", "doctor"):
        assert f"  {command} " in text


def test_topics_as_json():
    totals = json.loads(course("topics", "--json").stdout)
    assert totals["topics"] == 203
    assert totals["covered"] + len(totals["missing"]) == 203
    assert "4.1-8" not in totals["missing"]


def test_topics_as_a_table():
    text = course("topics").stdout
    assert "203 topics are taught and graded" in text
    assert "no lab yet" in text


def test_a_topic_needs_a_section_and_an_exercise():
    rows = coverage([])
    assert summary(rows) == {"topics": 203, "covered": 0, "missing": list(topics())}


def test_build_check_notices_any_difference(clone):
    page = clone / "curriculum" / "04-1-ingestion" / "README.md"
    page.write_text(page.read_text() + "x")
    # One lab: each notebook is rebuilt by itself in test_notebooks.py.
    done = course("build", "04-1-ingestion/01-file-formats", "--check", cwd=clone)
    assert done.returncode == 2
    assert "Out of date, run ./course build:\n  curriculum/04-1-ingestion/README.md" in done.stderr


def test_a_broken_source_changes_nothing(clone):
    source = clone / "curriculum" / "04-1-ingestion" / "01-file-formats.py"
    sound, notebook = source.read_text(), source.with_suffix(".ipynb").read_bytes()
    source.write_text(sound.replace("def scheduled_utc(", "def scheduled_utc((", 1))
    done = course("build", cwd=clone)
    source.write_text(sound)
    assert done.returncode == 2
    assert "01-file-formats.py:" in done.stderr
    assert "is not Python" in done.stderr
    assert source.with_suffix(".ipynb").read_bytes() == notebook


def test_a_damaged_data_set_is_named(clone):
    file = clone / "data" / "raw" / "airlines.csv"
    sound = file.read_bytes()
    file.write_bytes(sound[:-1])
    done = course("data", "verify", "airlines-raw", cwd=clone)
    file.write_bytes(sound)
    assert done.returncode == 2
    assert "Damaged: airlines-raw. Restore with: git checkout data/raw" in done.stderr
    assert course("data", "verify", "airlines-raw", cwd=clone).returncode == 0


def test_work_keeps_what_a_learner_changed(clone):
    assert course("work", cwd=clone).returncode == 0
    notebook = clone / "work" / "04-1-ingestion" / "01-file-formats.ipynb"
    changed = notebook.read_text().replace("# your code here", "return 12", 1)
    notebook.write_text(changed)
    done = course("work", cwd=clone)
    assert "kept 1 changed notebook" in done.stdout
    assert notebook.read_text() == changed
    map_ = json.loads((clone / "work" / "index.ipynb").read_text())
    assert "(04-1-ingestion/01-file-formats.ipynb)" in json.dumps(map_)


def test_work_replaces_what_a_learner_only_ran(clone):
    notebook = clone / "work" / "04-1-ingestion" / "01-file-formats.ipynb"
    notebook.unlink(missing_ok=True)
    course("work", cwd=clone)
    cells = json.loads(notebook.read_text())
    cells["cells"][3]["execution_count"] = 7
    notebook.write_text(json.dumps(cells))
    done = course("work", cwd=clone)
    assert "kept" not in done.stdout
