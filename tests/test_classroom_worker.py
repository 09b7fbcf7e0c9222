"""A worker proves its machine with the lab's own answers, once, where a student's do not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hostile.small import notebook, plan, points, reference

from grader.classroom import worker
from grader.engine.rebuild import Plan
from grader.engine.sandbox import Limits

WRONG = {**reference(), "wind": "def wind_knots(report):\n    return 0\n"}


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    monkeypatch.setattr(worker, "_plans", {})
    yield
    worker.close()


@pytest.fixture
def proofs(monkeypatch) -> list[str]:
    """The labs that were proven."""
    found: list[str] = []
    prove = worker._prove

    def noted(grader: Any, lab: dict[str, Any]) -> None:
        found.append(lab["key"])
        prove(grader, lab)

    monkeypatch.setattr(worker, "_prove", noted)
    return found


def graded(lab: Plan, *submissions: dict[str, str]) -> list[dict[str, Any]]:
    described = {
        "key": "key",
        "plan": dataclasses.asdict(lab),
        "exercises": {exercise.name: exercise.name for exercise in lab.exercises},
        "template": None,
        "proof": json.dumps(notebook(reference())).encode(),
    }
    shared = {
        "labs": {lab.lab: described},
        "secret": "public",
        "limits": dataclasses.asdict(Limits()),
        "require": [],
    }
    jobs = [
        {"lab": lab.lab, "data": json.dumps(notebook(answers)).encode(), "known": {}, "notes": []}
        for answers in submissions
    ]
    return [worker.grade_notebook(job, shared) for job in jobs]


def earned(result: dict[str, Any]) -> int:
    return sum(verdict["points"] for verdict in result["exercises"].values())


def test_full_marks_are_proof_enough(proofs):
    results = graded(plan(), reference(), WRONG)
    assert [earned(result) for result in results] == [points("wind", "flatten"), points("flatten")]
    assert not proofs


def test_a_wrong_answer_has_the_machine_prove_itself_once(proofs):
    results = graded(plan(), WRONG, WRONG)
    assert [earned(result) for result in results] == [points("flatten")] * 2
    assert proofs == ["key"]


def test_a_machine_on_which_the_reference_fails_grades_nothing():
    first, *rest = plan().exercises
    broken = dataclasses.replace(first, hidden="import a_library_that_is_not_there\n")
    results = graded(dataclasses.replace(plan(), exercises=(broken, *rest)), reference(), WRONG)
    assert all("even the reference answer" in result["error"] for result in results)
