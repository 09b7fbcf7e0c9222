"""A lab that is prepared for a class: once, when it is released or first graded."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from grader.classroom import labs
from grader.classroom.folder import GRADING, ClassFolder
from grader.engine.sandbox import Limits
from grader.source import ROOT

LAB = ROOT / "curriculum" / "04-1-ingestion" / "01-file-formats.py"


@pytest.fixture
def released(tmp_path, monkeypatch) -> pathlib.Path:
    """The source of a lab in a course of its own, after its release."""
    source = tmp_path / "curriculum" / "module" / LAB.name
    source.parent.mkdir(parents=True)
    shutil.copy(LAB, source)
    monkeypatch.setattr(labs, "CURRICULUM", tmp_path / "curriculum")
    labs.after_release("module")
    return source


def prepare(source: pathlib.Path, limits: Limits | None = None) -> labs.ClassLab:
    root = source.parents[2]
    folder = ClassFolder(root, root / "submitted", root / "autograded", "sqlite://", "course")
    return labs.prepare(source, folder, limits or Limits())


def test_a_released_lab_is_not_parsed_again(released, monkeypatch):
    parsed = []
    read = labs.read_source
    monkeypatch.setattr(labs, "read_source", lambda path: parsed.append(path) or read(path))
    found = prepare(released)
    assert not parsed
    released.write_text(released.read_text().replace("# # ", "# # Again: ", 1))
    changed = prepare(released)
    assert parsed == [released]
    assert changed.key != found.key
    assert changed.exercises == found.exercises  # a title decides no verdict


def test_a_secret_and_limits_change_what_must_be_judged(released, monkeypatch):
    found = prepare(released)
    assert found == prepare(released)
    others = [prepare(released, Limits(cell_seconds=7))]
    monkeypatch.setenv("COURSE_SECRET", "another")
    others.append(prepare(released))
    for other in others:
        assert other.key != found.key
        assert other.template == found.template
        assert not {*other.exercises.values()} & {*found.exercises.values()}


def test_what_is_kept_is_the_teachers_alone(released):
    (kept,) = (released.parents[2] / GRADING / "labs").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_an_assignment_of_the_teachers_own_is_nothing_to_prepare(released, tmp_path):
    labs.after_release("essay")
    assert len([*(tmp_path / GRADING / "labs").iterdir()]) == 1
