"""``./course test``: one pytest run over the tests and the reference notebooks."""

from __future__ import annotations

import os
import subprocess
import sys

from grader.source import ROOT, sources


def run(module: str = "") -> int:
    """Run every test, or those that concern one module or lab; returns pytest's exit code."""
    notebooks = [str(path.with_suffix(".ipynb").relative_to(ROOT)) for path in sources(module)]
    tests = (
        ["tests/test_answers.py", "tests/test_labs_verified.py", "tests/test_notebooks.py"]
        if module
        else ["tests"]
    )
    command = [sys.executable, "-m", "pytest", *tests, *notebooks]
    command += ["--nbval", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    # nbval and the answers share a kernel within a file, so a file stays in one process.
    # In the order given, the short notebooks come last, and no process waits long for another. One
    # process more than cores: tests of systems wait longer than they compute.
    processes = str((os.cpu_count() or 1) + 1)
    command += ["-n", processes, "--dist", "loadfile", "--no-loadscope-reorder", "-q"]
    environment = {**os.environ, "COURSE_TEST_MODULE": module}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
