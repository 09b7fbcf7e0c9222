"""The checks of every lab reach the judge's figures, by the command that authors run."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys

import pytest
from conftest import chosen_labs

from grader.source import ROOT


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader", "verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def which() -> list[str]:
    """All of a module that is named; of all labs, today's half and what has changed.

    Variables of the environment: ``COURSE_VERIFY=all``, and ``COURSE_VERIFY_SINCE``, a revision.
    """
    if os.environ.get("COURSE_TEST_MODULE") or os.environ.get("COURSE_VERIFY") == "all":
        return []
    since = os.environ.get("COURSE_VERIFY_SINCE")
    half = dt.datetime.now(dt.UTC).toordinal() % 2 + 1
    return ["--part", f"{half}/2", *(["--changed", since] if since else [])]


@pytest.mark.parametrize("lab", [lab.name for lab in chosen_labs()])
def test_the_checks_of_a_lab_are_right(lab):
    done = verify(lab, "--json", *which())
    found = json.loads(done.stdout)
    problems = {
        row["exercise"]: row["faults"] + row["idle_lines"] + row["survivors"]
        for row in found["exercises"]
        if not row["sound"]
    }
    assert not problems
    totals = found["totals"]
    assert totals["right_accepted"] == totals["wrong_refused"] == totals["starters_zero"] == 1
    assert totals["mutation_score"] >= 0.98
    assert totals["idle_lines"] == totals["flaky"] == 0
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_one_sentence():
    for arguments, words in [
        (["99-nothing"], "There is no module or lab"),
        (["04-1-ingestion/01-file-formats/nothing"], "There is no exercise"),
        (["04-1-ingestion", "--changed", "no-such-revision"], "git cannot compare"),
        (["04-1-ingestion", "--part", "3/2"], "--part takes two numbers"),
    ]:
        done = verify(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
