"""Which exercises differ from a revision."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile

from grader.source import ROOT, Cell, ExerciseSource, LabSource, read_source
from labkit.errors import CourseError

#: A change in one of these may change any verdict.
COMMON = ("labkit/check", "labkit/lab.py", "grader/engine", "grader/verify", "requirements", "data")
#: Cells of others that an exercise's verdict does not depend on.
OTHERS = ("task", "check", "hidden", "hint", "right", "wrong", "equivalent")

Chosen = list[tuple[LabSource, ExerciseSource]]


def changed_since(chosen: Chosen, revision: str) -> Chosen:
    """Those of the exercises whose cells, or whose lab's other code, differ from ``revision``.

    All of them when the code that judges differs. Raises :class:`~labkit.errors.CourseError` for
    a revision that git does not know.
    """
    if _git("diff", "--name-only", revision, "--", *COMMON).strip():
        return chosen
    before: dict[str, LabSource | None] = {}
    for lab, _ in chosen:
        if lab.name not in before:
            before[lab.name] = _at(revision, lab.path)
    return [(lab, e) for lab, e in chosen if _differs(lab, before[lab.name], e.name)]


def _at(revision: str, path: pathlib.Path) -> LabSource | None:
    name = path.relative_to(ROOT).as_posix()
    if not _git("ls-tree", "--name-only", revision, "--", name).strip():
        return None
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / path.parent.name / path.name
        copy.parent.mkdir()
        copy.write_text(_git("show", f"{revision}:{name}"), encoding="utf-8")
        try:
            return read_source(copy)
        except CourseError:
            # What was written under older rules is judged anew.
            return None


def _differs(lab: LabSource, before: LabSource | None, exercise: str) -> bool:
    return before is None or _code(lab.cells, exercise) != _code(before.cells, exercise)


def _code(cells: list[Cell], exercise: str) -> list[tuple[str, str]]:
    return [
        (cell.source, repr(sorted(cell.meta.items(), key=str)))
        for cell in cells
        if cell.exercise == exercise or (cell.kind == "code" and cell.role not in OTHERS)
    ]


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise CourseError(f"git cannot compare with that revision ({reason}).")
    return done.stdout
