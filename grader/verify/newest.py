"""The right answers once more, with the newest versions of the libraries, where they are installed.

``envs/newest`` in the course's cache is an environment without a lock; CONTRIBUTING says how it is
made. It is never made here, so that a verdict does not hang on the network.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterable

from grader.source import ROOT
from grader.verify.exercise import Finding
from labkit.errors import CourseError
from labkit.services.artifacts import cache


def python() -> pathlib.Path | None:
    """The Python of the newest versions, unless there is none or this is it."""
    found = cache() / "envs" / "newest" / "bin" / "python"
    return found if found.exists() and found.parent.parent != pathlib.Path(sys.prefix) else None


def add_newest(findings: list[Finding], interpreter: pathlib.Path) -> None:
    """Judge these exercises with ``interpreter`` too, and add what it refuses of right answers.

    Raises :class:`~labkit.errors.CourseError` when that environment cannot run the judge.
    """
    by_name = {finding.name: finding for finding in findings}
    for lab in dict.fromkeys(finding.lab for finding in findings):
        command = [str(interpreter), "-P", "-m", "grader", "verify", lab, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CourseError(
                f"The newest versions in {interpreter.parent.parent} cannot run the judge "
                f"({reason}); make that folder anew or remove it."
            )
        for row in json.loads(done.stdout)["exercises"]:
            if finding := by_name.get(f"{row['lab']}/{row['exercise']}"):
                _add(finding, row["right_tried"], row["right_accepted"], row["faults"])


def _add(finding: Finding, tried: int, accepted: int, faults: Iterable[str]) -> None:
    finding.right_tried += tried
    finding.right_accepted += accepted
    finding.faults += [f"with the newest versions, {fault}" for fault in faults]
