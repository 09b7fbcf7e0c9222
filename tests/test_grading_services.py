"""A lab's systems run inside the sandbox of the answer that uses them, and nowhere else."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from hostile.small import notebook, plan, reference

from grader.engine.grading import Grader
from grader.engine.rebuild import Plan, PlanCell
from labkit.services import SERVICES, load
from labkit.services.artifacts import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


def with_system(name: str, job: str) -> Plan:
    """The small lab, whose set-up cell also starts a system; ``job`` is its own second cell."""
    start = f"from labkit.services import service\nsystem = service({name!r})\n"
    first, *rest = plan().cells
    cells = (PlanCell("start", start), PlanCell("job", job), *rest)
    setup = f"{plan().setup}\n{start}client = system.client()\n"
    return dataclasses.replace(plan(), systems=(name,), setup=setup, cells=(first, *cells))


@pytest.mark.parametrize("name", SERVICES)
def test_a_system_does_its_job_behind_the_walls(name):
    missing = [n for n in load(name).needs if isinstance(n, Program) and not n.cached()]
    if missing:
        pytest.skip(f"{name} is a system package that is not installed here")
    with Grader(with_system(name, "system.check()\nprint('worked', end='')")) as grader:
        result = grader.grade(notebook(reference()))
    assert [o["text"] for o in result.cells["job"]["outputs"]] == ["worked"]
    assert result.points == result.maximum
    assert "network" in result.layers
