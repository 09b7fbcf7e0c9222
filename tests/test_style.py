"""The tree is formatted, clean, and says nothing about the machine it was written on."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from grader.source import ROOT


def tracked() -> list[str]:
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return names.stdout.split()


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_registry_is_named():
    hosts = re.compile(
        r"pypi\.org|pythonhosted|registry\.npmjs|repo1?\.maven|maven\.org|deb\.debian|crates\.io"
    )
    named = [
        n
        for n in tracked()
        if n.endswith((".py", ".txt", ".toml", ".yml", ".md", ".cfg", "course"))
    ]
    found = [
        n
        for n in named
        if n != "tests/test_style.py" and hosts.search((ROOT / n).read_text("utf-8"))
    ]
    assert not found


def test_committed_data_stay_small():
    size = sum((ROOT / name).stat().st_size for name in tracked() if (ROOT / name).is_file())
    assert size < 60_000_000
