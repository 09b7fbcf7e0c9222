"""What several tests share: the labs under test, and a copy of the course to work in."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import subprocess

import pytest

from grader.build import prepare_data, read_labs
from grader.source import ROOT

#: Memory that a process of a test may fill; the largest system that is tested needs a quarter.
DATA_BYTES = 8 * 2**30


def chosen_labs() -> list:
    """The labs under test: all, or those of the module given to ``./course test MODULE``."""
    return read_labs(os.environ.get("COURSE_TEST_MODULE", ""))


def pytest_configure(config: pytest.Config) -> None:
    """Build the labs' data once, before the processes of a parallel run need them."""
    if not hasattr(config, "workerinput"):
        prepare_data(chosen_labs())
        return
    # A test that runs away ends with a MemoryError and its traceback, not with the whole machine.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, hard))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the files that git knows or would add: a class's own checkout."""
    target = tmp_path_factory.mktemp("course")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target
