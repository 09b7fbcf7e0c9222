"""A class graded by workers over TCP gets what a class graded on one machine gets."""

from __future__ import annotations

import json
import pathlib
import shutil
import sqlite3

import nbformat
import pytest
from distributed import LocalCluster
from hostile.small import lab

from grader.classroom.command import grade
from grader.reference import make_reference
from grader.samples import sample_class, submission
from grader.source import ROOT
from labkit.errors import CourseError

MODULE = "04-1-ingestion"
SCORES = "SELECT name, auto_score FROM grade JOIN base_cell ON base_cell.id = cell_id ORDER BY 1, 2"


@pytest.fixture
def new_class(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two students have handed in; nothing is graded yet."""
    root = tmp_path / "class"
    for student in (s for s in sample_class(lab()) if s.name in ("ada", "kim")):
        folder = root / "submitted" / student.name / MODULE
        folder.mkdir(parents=True)
        notebook = submission(make_reference(lab()), student.answers)
        nbformat.write(notebook, folder / "01-file-formats.ipynb")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    return root


def outcome(root: pathlib.Path) -> tuple[list, dict[str, bytes]]:
    """All scores, and the notebooks that were written."""
    with sqlite3.connect(root / "gradebook.db") as database:
        scores = database.execute(SCORES).fetchall()
    shown = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("autograded/**/*.ipynb")}
    return scores, shown


def test_two_workers_over_tcp_give_what_this_machine_gives(new_class, tmp_path):
    elsewhere = pathlib.Path(shutil.copytree(new_class, tmp_path / "elsewhere"))
    grade([MODULE], root=new_class)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with LocalCluster(protocol="tcp", host="127.0.0.1", dashboard_address=None, **workers) as many:
        grade([MODULE], root=elsewhere, scheduler=many.scheduler_address)
    scores, shown = outcome(new_class)
    assert sum(score for _, score in scores) == 9 + 3
    assert len(shown) == 2
    assert (scores, {k: cells(v) for k, v in shown.items()}) == (
        outcome(elsewhere)[0],
        {k: cells(v) for k, v in outcome(elsewhere)[1].items()},
    )
    lines = records(new_class)
    assert {line["key"][-1] for line in lines} == {"ada", "kim"}
    assert lines == records(elsewhere)


def records(root: pathlib.Path) -> list[dict]:
    """The record's lines, whichever finished first, without what was measured and drawn."""
    found = []
    for path in (root / "grading").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["key"][0] != "notebook":  # the gradebook's time and size, say
                continue
            entry.pop("measured", None)
            if entry.get("notebook"):
                entry["notebook"] = cells(json.dumps(entry["notebook"]).encode())
            found.append(entry)
    return sorted(found, key=lambda entry: entry["key"])


def cells(notebook: bytes) -> list[tuple[str, str]]:
    """Ids and sources; outputs may hold measured times."""
    return [(cell["id"], cell["source"]) for cell in json.loads(notebook)["cells"]]


def test_a_scheduler_that_does_not_answer_is_one_sentence_and_changes_nothing(new_class):
    before = sorted(new_class.rglob("*"))
    with pytest.raises(CourseError, match="scheduler"):
        grade([MODULE], root=new_class, scheduler="tcp://127.0.0.1:9")
    after = [p for p in sorted(new_class.rglob("*")) if p.is_file()]
    assert not [p for p in after if p.suffix in (".db", ".ipynb") and p not in before]
