"""Where a class keeps its files, as nbgrader's configuration says."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from grader.source import ROOT
from labkit.errors import CourseError

#: What ``./course grade`` keeps for itself, in a class's folder: records, reports, prepared labs.
GRADING = "grading"


@dataclass(frozen=True)
class ClassFolder:
    """The folders and the gradebook of one class."""

    root: pathlib.Path
    submitted: pathlib.Path
    autograded: pathlib.Path
    database: str
    course: str

    @property
    def grading(self) -> pathlib.Path:
        """The folder :data:`GRADING`."""
        return self.root / GRADING

    @property
    def gradebook(self) -> pathlib.Path | None:
        """The gradebook's file, None where it is on a database server."""
        _, slashes, path = self.database.partition("sqlite:///")
        return pathlib.Path(path) if slashes else None


def open_folder(root: pathlib.Path = ROOT) -> ClassFolder:
    """The class in ``root``. Raises :class:`~labkit.errors.CourseError` when there is none."""
    from grader.release import course_config

    root = root.resolve()
    directory = course_config(root=str(root)).CourseDirectory
    folders = {
        step: root / directory.get(f"{step}_directory", step)
        for step in ("submitted", "autograded")
    }
    if not folders["submitted"].is_dir():
        raise CourseError(
            f"There is no folder {folders['submitted']}: collect the submissions first, or name "
            "the class's folder with --course-dir."
        )
    return ClassFolder(
        root=root,
        **folders,
        database=directory.get("db_url", f"sqlite:///{root / 'gradebook.db'}"),
        course=directory.get("course_id", "default_course"),
    )


@contextlib.contextmanager
def only_one(folder: ClassFolder) -> Iterator[None]:
    """Keep a second grading of this class out."""
    try:
        folder.grading.mkdir(exist_ok=True)
        lock = (folder.grading / "lock").open("w")
    except OSError as error:
        raise CourseError(f"{folder.grading} cannot be written: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CourseError(
                "Another ./course grade is at work in this class: wait for it, or end it first."
            ) from None
        yield


def write_safely(path: pathlib.Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that is whole and on the disk, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, mode)
        os.replace(part, path)
    except BaseException:
        pathlib.Path(part).unlink(missing_ok=True)
        raise
