"""Every right answer is accepted, every wrong one refused where and with the words it names."""

from __future__ import annotations

import functools
import re

import pytest
from conftest import chosen_labs
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from grader.reference import make_reference
from grader.source import BEGIN, END

LABS = {lab.name: lab for lab in chosen_labs()}


def stub(answer: str) -> str:
    """The answer cell as nbgrader hands it out."""
    return re.sub(f"{BEGIN}.*{END}", "# your code here", answer, flags=re.DOTALL)


Outcomes = dict[tuple[str, str], tuple[str, str, str]]


def outcomes(lab_name: str, tmp: str) -> Outcomes:
    """What run() returns, or raises, each time; it runs once for each lab."""
    found = ran(lab_name, tmp)
    if isinstance(found, Exception):
        raise found
    return found


@functools.cache
def ran(lab_name: str, tmp: str) -> Outcomes | Exception:
    # A failure is remembered too: a hundred cases would run the lab again, for an hour.
    try:
        return run(lab_name, tmp)
    except Exception as error:
        return error


def run(lab_name: str, tmp: str) -> Outcomes:
    """Run all variants of all answers in one kernel.

    Returns by (exercise, variant): where it was stopped ("", "answer", "check" or "hidden"), the
    exception's name and its text.
    """
    lab = LABS[lab_name]
    cells, keys = [], []

    def add(source: str, key: tuple[str, str, str] | None) -> None:
        cells.append(new_code_cell(source, metadata={"tags": ["raises-exception"]}))
        keys.append(key)

    exercises = {exercise.name: exercise for exercise in lab.exercises}
    for cell in make_reference(lab).cells:
        name = cell["id"].removesuffix("-check")
        if cell.cell_type == "code" and name not in exercises:
            add(cell.source, None)
        elif cell["id"].endswith("-check"):
            exercise = exercises[name]
            for variant, source in variants(exercise).items():
                add(source, (name, variant, "answer"))
                add(exercise.check.source, (name, variant, "check"))
                add(exercise.hidden.source, (name, variant, "hidden"))
    notebook = new_notebook(cells=cells)
    client = NotebookClient(
        notebook,
        timeout=180,
        resources={"metadata": {"path": tmp}},
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    client.execute()
    found: Outcomes = {}
    for key, cell in zip(keys, notebook.cells, strict=True):
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if key is None:
            assert not errors, f"{cell.source}\n{errors}"
            continue
        name, variant, where = key
        stderr = "".join(o.text for o in cell.outputs if o.get("name") == "stderr")
        if where != "answer":
            assert not stderr, f"{name} {variant}: a check writes to standard error: {stderr}"
        if errors and found.get((name, variant), ("",))[0] == "":
            found[name, variant] = (where, errors[0].ename, "\n".join(errors[0].traceback))
        found.setdefault((name, variant), ("", "", ""))
    return found


def variants(exercise) -> dict[str, str]:
    """The starter, all right answers and all wrong ones; the reference last, for later cells."""
    names = {"starter": "\n".join([f"globals().pop({n!r}, None)" for n in defined(exercise)])}
    names["starter"] += "\n" + stub(exercise.answer.source)
    names |= {f"right {n}": cell.source for n, cell in enumerate(exercise.right, 1)}
    names |= {f"wrong {n}": cell.source for n, cell in enumerate(exercise.wrong, 1)}
    return names | {"reference": exercise.answer.source}


def defined(exercise) -> list[str]:
    return re.findall(r"^(?:def )?(\w+)(?= ?[=(])", exercise.answer.source, flags=re.MULTILINE)[:1]


def cases(role: str) -> list:
    return [
        pytest.param(lab.name, exercise.name, number, id=f"{lab.name}/{exercise.name}-{number}")
        for lab in LABS.values()
        for exercise in lab.exercises
        for number, _ in enumerate(getattr(exercise, role), 1)
    ]


def exercises() -> list:
    return [
        pytest.param(lab.name, exercise.name, id=f"{lab.name}/{exercise.name}")
        for lab in LABS.values()
        for exercise in lab.exercises
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("answers"))


@pytest.mark.parametrize(("lab", "exercise"), exercises())
def test_the_reference_earns_full_marks(lab, exercise, folder):
    assert outcomes(lab, folder)[exercise, "reference"] == ("", "", "")


@pytest.mark.parametrize(("lab", "exercise"), exercises())
def test_the_untouched_starter_is_not_started(lab, exercise, folder):
    where, name, text = outcomes(lab, folder)[exercise, "starter"]
    assert (where, name) == ("check", "NotStarted"), text
    assert "○ not started" in text
    assert len(text.splitlines()) <= 2


@pytest.mark.parametrize(("lab", "exercise", "number"), cases("right"))
def test_every_right_answer_is_accepted(lab, exercise, number, folder):
    where, _, text = outcomes(lab, folder)[exercise, f"right {number}"]
    assert not where, text


@pytest.mark.parametrize(("lab", "exercise", "number"), cases("wrong"))
def test_every_wrong_answer_is_refused_as_it_says(lab, exercise, number, folder):
    cell = next(e for e in LABS[lab].exercises if e.name == exercise).wrong[number - 1]
    where, name, text = outcomes(lab, folder)[exercise, f"wrong {number}"]
    assert (where, name) == (cell.meta["caught"], "NotYet"), f"{cell.meta['misconception']}: {text}"
    assert cell.meta["says"] in text
    assert {"asked:", "found:", "read:"} <= set(text.split())
    assert len(text.splitlines()) <= 6
