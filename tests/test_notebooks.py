"""Built notebooks: byte-stable, free of answers, and kind to someone who has not begun."""

from __future__ import annotations

import functools
import json
import pathlib

import nbformat
import pytest
from conftest import chosen_labs
from nbclient import NotebookClient
from nbgrader.utils import determine_grade

from grader.build import read_labs
from grader.reference import execute, make_reference, to_text
from grader.release import release
from grader.source import BEGIN, LabSource

LABS = chosen_labs()
each_lab = pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    target = tmp_path_factory.mktemp("release")
    release(sorted({lab.path.parent.name for lab in LABS}), target)
    return target


def student(lab: LabSource, released: pathlib.Path) -> pathlib.Path:
    return released / lab.path.parent.name / lab.notebook.name


@each_lab
def test_a_rebuild_changes_no_byte(lab, monkeypatch):
    # The 90 s are asked of an author's build; a machine that tests two labs at once takes longer.
    monkeypatch.setattr("grader.reference.LAB_SECONDS", 600)
    assert to_text(execute(lab, make_reference(lab))) == lab.notebook.read_text(encoding="utf-8")


@each_lab
def test_nothing_of_an_answer_reaches_a_student(lab, released):
    everything = "".join(
        path.read_bytes().decode("utf-8", "replace")
        for path in sorted((released / lab.path.parent.name).rglob("*"))
        if path.is_file()
    )
    for exercise in lab.exercises:
        secret = [exercise.hidden.source, *(c.source for c in (*exercise.right, *exercise.wrong))]
        _, _, solution = exercise.answer.source.partition(BEGIN)
        # What another lab shows in the open is no secret of this one.
        shown = shown_anywhere()
        for text in [solution, *secret]:
            lines = {line.strip() for line in text.splitlines() if len(line.strip()) > 24}
            # A hint may hold the beginning of a line; what it shows is not a leak.
            hidden = {line for line in lines if not any(line in known for known in shown)}
            leaked = [line for line in hidden if json.dumps(line)[1:-1] in everything]
            assert not leaked, f"{exercise.name}: {leaked}"
        for cell in exercise.wrong:
            assert cell.meta["misconception"] not in everything


@functools.cache
def shown_anywhere() -> set[str]:
    """Lines that some lab shows in the open."""
    return set().union(*map(visible, read_labs()))


def visible(lab: LabSource) -> set[str]:
    """Lines that every student may see: tasks, checks, hints, worked examples, stubs."""
    lines = set()
    for cell in lab.cells:
        if cell.role in ("", "setup", "task", "check", "hint"):
            lines |= {line.strip() for line in cell.source.splitlines()}
        if cell.role == "answer":
            lines |= {line.strip() for line in cell.source.partition(BEGIN)[0].splitlines()}
    return lines


def test_the_leak_test_can_fail(tmp_path):
    lab = LABS[0]
    folder = tmp_path / lab.path.parent.name
    folder.mkdir()
    (folder / "notes.txt").write_text(lab.exercises[0].hidden.source)
    with pytest.raises(AssertionError, match=lab.exercises[0].name):
        test_nothing_of_an_answer_reaches_a_student(lab, tmp_path)


@each_lab
def test_only_notebooks_are_handed_out(lab, released):
    names = {path.name for path in (released / lab.path.parent.name).iterdir()}
    assert all(name.endswith(".ipynb") for name in names), names


@each_lab
def test_student_notebook_runs_and_every_check_says_not_started(lab, released, tmp_path):
    notebook = nbformat.read(student(lab, released), as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(tmp_path)}},
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    client.execute()
    graded = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert not [o for o in cell.outputs if o.get("name") == "stderr"], cell.outputs
        if cell.metadata.get("nbgrader", {}).get("grade"):
            graded += 1
            assert [error.ename for error in errors] == ["NotStarted"], cell.source
            assert len(errors[0].traceback) <= 3
            assert len(cell.outputs) == 1
            assert determine_grade(cell)[0] == 0
        else:
            assert not errors, cell.source
    assert graded == len(lab.exercises)


@each_lab
def test_the_released_notebook_is_a_valid_nbgrader_assignment(lab, released):
    from nbgrader.preprocessors import CheckCellMetadata

    notebook = nbformat.read(student(lab, released), as_version=4)
    CheckCellMetadata().preprocess(notebook, {})
    points = [c.metadata.get("nbgrader", {}).get("points", 0) for c in notebook.cells]
    assert sum(points) == lab.points
