"""The checks of the labs reach the judge's figures, by the command that authors run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from grader.source import ROOT

#: What the whole of the tests has for it; ``COURSE_VERIFY=all`` judges every exercise.
MINUTES = 8


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader", "verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def which() -> list[str]:
    """What ``COURSE_VERIFY_SINCE``, a revision, says has changed, then others, while time lasts."""
    since = os.environ.get("COURSE_VERIFY_SINCE")
    changed = ["--changed", since] if since else []
    whole = os.environ.get("COURSE_VERIFY") == "all"
    return [] if whole else [*changed, "--minutes", str(MINUTES)]


def test_the_checks_of_the_labs_are_right():
    module = os.environ.get("COURSE_TEST_MODULE")
    done = verify(*([module] if module else []), "--json", *which())
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    problems = {
        f"{row['lab']}/{row['exercise']}": row["faults"] + row["idle_lines"] + row["survivors"]
        for row in found["exercises"]
        if not row["sound"]
    }
    assert not problems
    totals = found["totals"]
    assert totals["exercises"] > 0
    assert totals["right_accepted"] == totals["wrong_refused"] == totals["starters_zero"] == 1
    assert totals["mutation_score"] >= 0.98
    assert totals["idle_lines"] == totals["flaky"] == 0
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_one_sentence():
    for arguments, words in [
        (["99-nothing"], "There is no module or lab"),
        (["04-1-ingestion/01-file-formats/nothing"], "There is no exercise"),
        (["04-1-ingestion", "--changed", "no-such-revision"], "git cannot compare"),
    ]:
        done = verify(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
