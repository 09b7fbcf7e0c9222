"""One notebook graded: what is deserved is given, and mangled files are mended by name."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Callable

import pytest
from hostile.small import lab, notebook, plan, reference
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from grader.engine.grading import Grader, grade
from grader.engine.rebuild import PlanCell, rebuild
from grader.engine.sandbox import Limits
from grader.reference import make_reference
from grader.samples import sample_class, submission
from labkit.errors import CourseError


@pytest.fixture(scope="module")
def whole():
    with Grader(lab()) as made:
        yield made


@pytest.mark.parametrize(
    "student", [s for s in sample_class(lab()) if s.name != "endless"], ids=lambda s: s.name
)
def test_each_sample_student_gets_what_they_deserve(whole, student):
    result = whole.grade(
        submission(make_reference(lab()), student.answers) if student.answers else {}
    )
    assert (result.points, result.maximum) == (student.deserved, lab().points)


def raw(text: Callable[[str], bytes]) -> Callable[[dict], bytes]:
    return lambda nb: text(json.dumps(nb))


def change(work: Callable[[dict], object]) -> Callable[[dict], dict]:
    def changed(nb: dict) -> dict:
        work(nb)
        return nb

    return changed


MANGLED = {
    "byte order mark": (raw(lambda t: b"\xef\xbb\xbf" + t.encode()), ""),
    "utf-16": (raw(lambda t: t.encode("utf-16")), "UTF-16"),
    "cut at the end": (raw(lambda t: t[:-40].encode()), "damaged"),
    "text after the end": (raw(lambda t: t.encode() + b"\n<<<<<<<"), "damaged"),
    "check cells deleted": (
        change(lambda nb: nb.update(cells=[c for c in nb["cells"] if "answer" in c["id"]])),
        "removed",
    ),
    "cells reversed": (change(lambda nb: nb["cells"].reverse()), "moved"),
    "cells twice": (
        change(lambda nb: nb["cells"].extend(copy.deepcopy(nb["cells"]))),
        "There were",
    ),
    "ids lost": (change(lambda nb: [c.pop("id") for c in nb["cells"]]), ""),
    "metadata lost": (change(lambda nb: [c.update(metadata={}) for c in nb["cells"]]), ""),
    "ids and metadata lost": (
        change(lambda nb: [(c.pop("id"), c.update(metadata={})) for c in nb["cells"]]),
        "lost its id",
    ),
    "retyped": (
        change(lambda nb: [c.update(cell_type="markdown") for c in nb["cells"]]),
        "no code",
    ),
    "foreign kernel": (change(lambda nb: nb["metadata"]["kernelspec"].update(name="ir")), "kernel"),
    "lines as a list": (
        change(lambda nb: [c.update(source=c["source"].splitlines(True)) for c in nb["cells"]]),
        "",
    ),
    "checks that pass": (
        change(lambda nb: [c.update(source="1 / 0") for c in nb["cells"] if "check" in c["id"]]),
        "",
    ),
    "points forged": (
        change(lambda nb: [c["metadata"]["nbgrader"].update(points=99) for c in nb["cells"]]),
        "",
    ),
}


@pytest.mark.parametrize("name", MANGLED)
def test_a_mangled_file_keeps_its_answers(name):
    mangle, repair = MANGLED[name]
    rebuilt = rebuild(plan(), mangle(notebook(reference())))
    assert {k: v.strip() for k, v in rebuilt.answers.items()} == {
        k: v.strip() for k, v in reference().items()
    }
    assert any(repair in text for text in rebuilt.repairs) == bool(repair), rebuilt.repairs


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff", b"[1]", b'{"cells": 3}', b'{"cells": [1, null]}']
)
def test_a_file_that_is_no_notebook_is_not_started(data):
    rebuilt = rebuild(plan(), data)
    assert all("BEGIN" not in text for text in rebuilt.answers.values())
    assert rebuilt.repairs


def test_a_layer_that_is_required_and_missing_is_one_sentence():
    with (
        Grader(plan(), require={"seccomp"}, off={"seccomp"}) as grader,
        pytest.raises(CourseError, match="seccomp"),
    ):
        grader.grade(notebook(reference()))


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
def test_a_child_that_cannot_be_started_is_no_zero():
    with (
        Grader(plan(), limits=Limits(processes=0)) as grader,
        pytest.raises(CourseError, match="could not be started; nothing was graded"),
    ):
        grader.grade(notebook(reference()))


def test_a_lab_that_fails_before_the_first_answer_is_no_zero():
    broken = dataclasses.replace(plan(), cells=(PlanCell("first", "1 / 0"), *plan().cells))
    with (
        Grader(broken) as grader,
        pytest.raises(CourseError, match="ZeroDivisionError.*nothing was graded"),
    ):
        grader.grade(notebook(reference()))


def test_a_lab_grades_without_any_namespace():
    off = {"user", "mount", "pid", "network", "ipc", "uts"}
    with Grader(plan(), off=off) as grader:
        result = grader.grade(notebook(reference()))
    assert result.points == result.maximum
    assert not off & set(result.layers)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(CourseError, match="not a file"):
        grade(tmp_path / "no.ipynb", lab())


def test_a_table_is_shown_as_in_a_notebook():
    """Libraries that take a warm process for a terminal would cut a wide table."""
    wide = "import pandas as pd\npd.DataFrame({f'column {n:020}': [n] for n in range(12)})"
    first, *rest = plan().cells
    cells = (first, PlanCell("wide", wide), *rest)
    imports = ("pandas", *plan().imports)
    with Grader(dataclasses.replace(plan(), cells=cells, imports=imports)) as grader:
        shown = grader.grade(notebook(reference())).cells["wide"]["outputs"]
    kernel = NotebookClient(new_notebook(cells=[new_code_cell(wide)]), timeout=60)
    expected = kernel.execute().cells[0].outputs
    text, html = ([o["data"][kind] for o in shown] for kind in ("text/plain", "text/html"))
    assert text == [o.data["text/plain"] for o in expected]
    assert html == [o.data["text/html"] for o in expected]
