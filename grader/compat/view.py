"""What a kernel in a sandbox is given: parts of the system to read, and its assignment's files."""

from __future__ import annotations

import pathlib
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable
from typing import IO

from grader.engine.grading import SYSTEM


def python_view(program: str = sys.executable) -> list[str]:
    """The system and the Python installations, without which no kernel starts."""
    return [
        *SYSTEM,
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_paths()["stdlib"],
        str(pathlib.Path(program).parent.parent),
    ]


def visible(paths: Iterable[str]) -> list[str]:
    """Those that exist, sorted, without those below another one, which need no mount."""
    found = sorted({path for path in paths if pathlib.Path(path).exists()})
    return [
        path
        for path in found
        if not any(path != other and path.startswith(other.rstrip("/") + "/") for other in found)
    ]


def files_of(folder: pathlib.Path) -> IO[bytes]:
    """An archive of an assignment's files, without notebooks, in a file that has no name.

    The notebooks hold the hidden tests; links are left out, for they may lead anywhere.
    """

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name.endswith(".ipynb") or not (member.isreg() or member.isdir()):
            return None
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.add(folder, folder.name, filter=kept)
        for cache in (pathlib.Path.home() / ".cache/matplotlib").glob("fontlist-*.json"):
            # Searching the system for fonts takes a second, for every kernel.
            archive.add(cache, f".cache/matplotlib/{cache.name}", filter=kept)
    file.seek(0)
    return file
