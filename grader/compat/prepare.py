"""What nbgrader has done before it autogrades a submission of ours: the labs' data is made."""

from __future__ import annotations

import functools
from typing import Any

from grader.source import read_source, sources
from labkit.datasets import dataset


def before_autograde(assignment: str, **_rest: Any) -> None:
    """Build the data sets of an assignment that are missing; a sandbox may only read them."""
    _build(assignment)


@functools.cache
def _build(assignment: str) -> None:
    labs = [read_source(path) for path in sources(assignment)]
    for name in sorted({name for lab in labs for name in lab.datasets}):
        dataset(name).path  # noqa: B018  (reading the path builds and verifies the file)
