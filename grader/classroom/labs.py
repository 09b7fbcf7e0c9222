"""What grading a class needs of a lab: made once for each version of it, and kept."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from grader.classroom.folder import GRADING, ClassFolder, write_safely
from grader.classroom.record import no_room
from grader.engine.rebuild import Plan, PlanCell, PlanExercise, make_plan
from grader.engine.sandbox import Limits
from grader.source import CURRICULUM, ROOT, LabSource, read_source
from labkit.layers import LAYERS


@dataclass(frozen=True)
class ClassLab:
    """A lab, ready to grade a class: plain data, so that it can be kept and sent."""

    #: Hash of all that a verdict depends on, the submission apart.
    key: str
    plan: Plan
    #: By exercise: hash of all that its verdict depends on, the answers apart.
    exercises: dict[str, str]
    #: The released notebook: no solution, no hidden test.
    template: dict[str, Any]
    #: The rows that nbgrader keeps of the notebook's cells.
    cells: list[dict[str, Any]]
    #: By exercise: the reference answer.
    reference: dict[str, str]
    #: By exercise: the misconceptions, each with an answer that shows it.
    wrong: dict[str, list[tuple[str, str]]]

    @property
    def name(self) -> str:
        """The lab's id, for example ``04-1-ingestion/01-file-formats``."""
        return self.plan.lab

    @property
    def assignment(self) -> str:
        """What nbgrader calls the lab's module."""
        return self.name.rpartition("/")[0]

    @property
    def notebook(self) -> str:
        """What nbgrader calls the lab."""
        return self.name.rpartition("/")[2]


def prepare(path: pathlib.Path, folder: ClassFolder, limits: Limits) -> ClassLab:
    """The lab of a source, as this class is graded."""
    return _for_class(_keep(path, folder.grading), limits)


def after_release(assignment: str, **_rest: Any) -> None:
    """What nbgrader does once it has made an assignment's notebooks: grading finds it prepared."""
    for path in sorted((CURRICULUM / assignment).glob("[0-9]*.py")):
        _keep(path, CURRICULUM.parent / GRADING)


def make_class_lab(lab: LabSource, version: str, limits: Limits) -> ClassLab:
    """A lab, prepared; ``version`` is a hash of all that it is made from."""
    return _for_class(_parse(lab, version), limits)


def _keep(path: pathlib.Path, grading: pathlib.Path) -> ClassLab:
    """What of a lab is the same for every class; only a version that is new here is parsed."""
    version = _version(path)
    kept = grading / "labs" / f"{path.parent.name}.{path.stem}.json"
    try:
        data = json.loads(kept.read_bytes())
        if data["key"] == version:
            return _load(data)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    lab = _parse(read_source(path), version)
    # The hidden tests stand in it, as in nbgrader's gradebook: for the teacher's eyes.
    try:
        write_safely(kept, json.dumps(dataclasses.asdict(lab)).encode(), 0o600)
    except OSError as error:
        raise no_room(error, kept) from None
    return lab


def _parse(lab: LabSource, version: str) -> ClassLab:
    template, cells = _release(lab)
    return ClassLab(
        key=version,
        plan=make_plan(lab),
        exercises={},
        template=template,
        cells=cells,
        reference={e.name: e.answer.source for e in lab.exercises},
        wrong={
            e.name: [(c.meta["misconception"], c.source) for c in e.wrong] for e in lab.exercises
        },
    )


def _for_class(lab: ClassLab, limits: Limits) -> ClassLab:
    ours = (digest("secret", secret()), repr(limits))
    exercises = _hashes(lab.plan, *ours)
    return dataclasses.replace(lab, key=digest(lab.key, *ours), exercises=exercises)


def answered(template: dict[str, Any], answers: dict[str, str]) -> bytes:
    """A released notebook with these answers filled in."""
    cells = [
        {**cell, "source": answers.get(cell["id"].removesuffix("-answer"), cell["source"])}
        for cell in template["cells"]
    ]
    return json.dumps({**template, "cells": cells}).encode()


def digest(*parts: bytes | str) -> str:
    """A hash of parts, each with its length."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(f"{len(data)}:".encode())
        whole.update(data)
    return whole.hexdigest()


@functools.cache
def code() -> str:
    """Hash of the code that decides a verdict, and of the Python that runs it."""
    paths = [
        *(ROOT / "labkit").rglob("*.py"),
        *(ROOT / "grader" / "engine").glob("*.py"),
        *(ROOT / "grader" / name for name in ("source.py", "reference.py")),
        *(ROOT / "grader" / "classroom" / name for name in ("labs.py", "worker.py")),
    ]
    return digest(
        f"{sys.version_info.major}.{sys.version_info.minor}",
        *(part for path in sorted(paths) for part in (path.name, path.read_bytes())),
    )


def secret() -> str:
    """What the hidden data are drawn from."""
    return os.environ.get("COURSE_SECRET", "public")


def _version(path: pathlib.Path) -> str:
    files = [path, ROOT / "data" / "datapackage.json", *_locks(LAYERS)]
    return digest(code(), *(file.read_bytes() for file in files))


def _locks(layers: Iterable[str]) -> list[pathlib.Path]:
    return [ROOT / "requirements" / f"{name}.txt" for name in ("main", *layers)]


def _hashes(plan: Plan, *ours: str) -> dict[str, str]:
    from data.build.catalogue import resources

    data = [resources()[name] for name in plan.datasets]
    common = digest(
        code(),
        *ours,
        plan.setup,
        *(cell.source for cell in plan.cells if not cell.exercise),
        *(str(r.get("hash")) + str(r.get("contentHash")) for r in data),
        *(lock.read_bytes() for lock in _locks(plan.layers)),
    )
    return {e.name: digest(common, *map(str, dataclasses.astuple(e))) for e in plan.exercises}


def _release(lab: LabSource) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The student's notebook and nbgrader's rows, by nbgrader's own preprocessors."""
    import nbformat
    from nbgrader.converters import GenerateAssignment
    from nbgrader.preprocessors import SaveCells

    from grader.reference import make_reference
    from grader.release import course_config

    config = course_config()
    notebook, rows = make_reference(lab), []
    for step in GenerateAssignment(config=config).preprocessors:
        if step is SaveCells:
            rows = [_row(cell) for cell in notebook.cells if "nbgrader" in cell.metadata]
        elif (made := step(config=config)).enabled:
            notebook, _ = made.preprocess(notebook, {})
    return json.loads(nbformat.writes(notebook)), rows


def _row(cell: Any) -> dict[str, Any]:
    from nbgrader import utils

    ours = cell.metadata["nbgrader"]
    return {
        "name": ours["grade_id"],
        "grade": utils.is_grade(cell),
        "solution": utils.is_solution(cell),
        "max_score": float(ours.get("points", 0)),
        "cell_type": cell.cell_type,
        "locked": utils.is_locked(cell),
        "source": cell.source,
        "checksum": ours.get("checksum"),
    }


def _load(data: dict[str, Any]) -> ClassLab:
    return ClassLab(**{**data, "plan": load_plan(data["plan"])})


def load_plan(data: dict[str, Any]) -> Plan:
    """A plan from its plain data."""
    return Plan(
        **{
            **data,
            "cells": tuple(
                PlanCell(**{**cell, "defines": tuple(cell["defines"])}) for cell in data["cells"]
            ),
            "exercises": tuple(PlanExercise(**exercise) for exercise in data["exercises"]),
            **{name: tuple(data[name]) for name in ("datasets", "systems", "layers", "imports")},
        }
    )
