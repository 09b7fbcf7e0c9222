"""Starts a kernel behind walls: those of :mod:`grader.engine.sandbox`, or bubblewrap's.

``python -m grader.compat.launcher PLAN`` stays outside as the kernel's keeper; ``inside PLAN`` is
what bubblewrap starts. The kernel's files come as a tar archive through an open descriptor.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import sys
import tarfile
from typing import Any, NoReturn

from grader.engine import confine, sandbox

#: What bubblewrap's options give, in the sandbox's words.
_BUBBLEWRAP = {"user", "mount", "pid", "network", "ipc", "uts", "read-only", "work-quota"}
#: The modules that ``inside`` imports; a kernel may read these few files of the grader.
_OWN = ["__init__", "compat/__init__", "compat/launcher"]
_OWN += ["engine/__init__", "engine/confine", "engine/sandbox"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def main(plan: dict[str, Any]) -> NoReturn:
    """Start the kernel and keep watch until it ends."""
    limits = sandbox.Limits(**plan["limits"])
    lifeline = socket.socket(fileno=plan["lifeline"])

    def run(layers: list[str], work: str) -> None:
        _become_kernel(plan, layers, work)

    if not plan["bubblewrap"]:
        off = frozenset(plan["off"])
        sandbox.keep(lifeline, limits, plan["view"], plan["scratch"], off, run, [], plan["meeting"])
    process = os.fork()
    if process == 0:
        confine.die_with_parent()
        program = [sys.executable, "-P", "-m", "grader.compat.launcher", "inside"]
        os.execvp("bwrap", bubblewrap(plan, program))
    walls = sandbox._Walls(frozenset())
    walls.active.add("pid")
    report = sandbox._watch(process, lifeline, limits, walls)
    with contextlib.suppress(OSError):
        lifeline.sendall(json.dumps(report).encode())
    os._exit(0)


def inside(plan: dict[str, Any]) -> NoReturn:
    """Close the walls that bubblewrap leaves open, then become the kernel."""
    layers = set(_BUBBLEWRAP)
    sandbox._limit(sandbox.Limits(**plan["limits"]))
    layers.add("limits")
    if confine.no_new_privileges():
        layers.add("no_new_privs")
        if confine.landlock(["/"], [sandbox.HOME, "/tmp", "/dev"], plan["meeting"]):
            layers.add("landlock")
        if confine.seccomp(network=True):
            layers.add("seccomp")
    _become_kernel(plan, sorted(layers), sandbox.HOME)


def bubblewrap(plan: dict[str, Any], program: list[str]) -> list[str]:
    """The command line that starts ``program`` with the plan in namespaces of its own."""
    options = ["bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    options += ["--unshare-uts", "--die-with-parent", "--new-session", "--proc", "/proc"]
    size = plan["limits"]["work_mb"] * 2**20
    options += ["--dev", "/dev", "--size", str(size), "--tmpfs", "/tmp", "--dir", sandbox.HOME]
    for path in plan["view"]:
        options += ["--ro-bind", path, path]
    for path in plan["meeting"]:
        options += ["--bind", path, path]
    for path in (str(ROOT / f"grader/{name}.py") for name in _OWN):
        options += ["--ro-bind", path, path]
    return [*options, "--chdir", sandbox.HOME, "--", *program, json.dumps(plan)]


def _become_kernel(plan: dict[str, Any], layers: list[str], work: str) -> NoReturn:
    folder = os.path.join(work, plan["folder"])
    os.makedirs(folder, exist_ok=True)
    with os.fdopen(plan["files"], "rb") as file, tarfile.open(fileobj=file) as archive:
        # The grader made the archive; a filter for foreign ones is not in every Python 3.11.
        archive.extraction_filter = lambda member, _path: member
        archive.extractall(work)
    os.chdir(folder)
    os.write(plan["report"], json.dumps(layers).encode())
    os.close(plan["report"])
    with contextlib.suppress(OSError):
        os.close(plan["lifeline"])
    temporary = "/tmp" if work == sandbox.HOME else work
    environment = {**plan["environment"], "HOME": work, "TMPDIR": temporary}
    os.execvpe(plan["command"][0], plan["command"], environment)


if __name__ == "__main__":
    confine.die_with_parent()
    if sys.argv[1] == "inside":
        inside(json.loads(sys.argv[2]))
    main(json.loads(sys.argv[1]))
