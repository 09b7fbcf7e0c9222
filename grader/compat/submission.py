"""What a worker does: nbgrader's own Autograde on one submission, in a course of its own.

The course is made from plain data: the files of one submission and of its assignment, and the rows
that concern them in a small gradebook. The class's gradebook and folders are out of reach.
"""

from __future__ import annotations

import logging
import os
import pathlib
import sqlite3
import tempfile
import threading
from typing import Any

import nbformat
from nbclient.util import run_sync
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import DeduplicateIds, Execute
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from grader.compat.flags import flags
from grader.compat.kernel import SandboxedExecute

#: nbgrader changes the working directory of its process.
_alone = threading.Lock()


class Deduplicate(DeduplicateIds):
    """nbgrader's own, without the empty metadata that would stop it at the next step."""

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Take the metadata of all but the last of several cells with the same id."""
        nb, resources = super().preprocess(nb, resources)
        for cell in nb.cells:
            if cell.metadata.get("nbgrader") == {}:
                del cell.metadata["nbgrader"]
        return nb, resources


class CompatExecute(SandboxedExecute):
    """Remembers the walls behind which its kernels ran."""

    layers: set[str] | None = None

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel; what every kernel of a submission had is what counts."""
        await super().async_start_new_kernel(**kwargs)
        found = set(self.km.provisioner.layers)
        before = CompatExecute.layers
        CompatExecute.layers = found if before is None else before & found

    start_new_kernel = run_sync(async_start_new_kernel)


def grade_submission(job: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Grade the files ``job["files"]`` of one student.

    The result is plain data: ``files`` of the autograded folder, ``rows`` for the gradebook,
    ``flags``, ``layers``; and an ``error``, a sentence, when nbgrader could not grade it.
    """
    assignment = shared["assignments"][job["assignment"]]
    with _alone, tempfile.TemporaryDirectory(prefix="course-") as name:
        root = pathlib.Path(name)
        handed_in = root / "submitted" / job["student"] / job["assignment"]
        _write(handed_in, job["files"])
        _write(root / "source" / job["assignment"], assignment["files"])
        database = root / "gradebook.db"
        _fill(database, shared["schema"], assignment["rows"] | job["rows"])
        CompatExecute.layers = None
        result: dict[str, Any] = {"flags": _flags(handed_in, assignment["tests"])}
        error = _autograde(root, job, shared["config"], shared["course"])
        if error:
            result["error"] = error
        result["layers"] = sorted(CompatExecute.layers or ())
        result["rows"] = _results(database)
        result["files"] = _read(root / "autograded" / job["student"] / job["assignment"])
        return result


def _autograde(root: pathlib.Path, job: dict[str, Any], config: Config, course: str) -> str:
    """Run nbgrader; returns why it failed, or nothing."""
    config = Config(config)
    config.CourseDirectory = Config(
        {k: v for k, v in config.CourseDirectory.items() if k in ("ignore", "include")},
        root=str(root),
        course_id=course,
        student_id=job["student"],
        assignment_id=job["assignment"],
    )
    config.SandboxedExecute.require_full = bool(job["require"])
    said: list[str] = []
    log = logging.Logger("compat")
    log.addHandler(_Kept(said))
    converter = Autograde(coursedir=CourseDirectory(config=config), config=config, log=log)
    converter.sanitize_preprocessors = [
        Deduplicate if step is DeduplicateIds else step
        for step in map(_imported, converter.sanitize_preprocessors)
    ]
    converter.autograde_preprocessors = [
        CompatExecute if step in (Execute, SandboxedExecute) else step
        for step in map(_imported, converter.autograde_preprocessors)
    ]
    before = os.getcwd()
    try:
        converter.start()
    except (Exception, SystemExit) as error:
        os.chdir(before)
        lines = [text.strip().splitlines()[-1] for text in said if "Traceback" in text]
        return lines[0] if lines else f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


class _Kept(logging.Handler):
    """Keeps what nbgrader says of errors, which it raises without a reason."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self._said.append(record.getMessage())


def _imported(step: Any) -> Any:
    return import_item(step) if isinstance(step, str) else step


def _write(folder: pathlib.Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _read(folder: pathlib.Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _fill(path: pathlib.Path, schema: list[str], rows: dict[str, list[dict[str, Any]]]) -> None:
    database = sqlite3.connect(path)
    for statement in schema:
        database.execute(statement)
    for table, found in rows.items():
        for row in found:
            marks = ", ".join("?" * len(row))
            columns = ", ".join(row)
            database.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values())
            )
    database.commit()
    database.close()


def _results(path: pathlib.Path) -> dict[str, list[list[Any]]]:
    """What nbgrader entered, in the words of the class's gradebook: its cells' and notebooks' ids.

    Timestamps are text, as SQLite has them.
    """
    asked = {
        "submission": "SELECT timestamp FROM submitted_assignment",
        "notebooks": "SELECT notebook_id, late_submission_penalty FROM submitted_notebook",
        "grades": "SELECT n.notebook_id, g.cell_id, g.auto_score, g.needs_manual_grade "
        "FROM grade g JOIN submitted_notebook n ON n.id = g.notebook_id",
        "comments": "SELECT n.notebook_id, c.cell_id, c.auto_comment "
        "FROM comment c JOIN submitted_notebook n ON n.id = c.notebook_id",
    }
    database = sqlite3.connect(path)
    found = {
        name: sorted(map(list, database.execute(query)), key=lambda row: [str(v) for v in row])
        for name, query in asked.items()
    }
    database.close()
    return found


def _flags(folder: pathlib.Path, tests: dict[str, list[str]]) -> list[str]:
    found = []
    for path in sorted(folder.glob("*.ipynb")):
        try:
            notebook = nbformat.read(path, as_version=4)
            found += [f"{path.stem}: {flag}" for flag in flags(notebook, tests.get(path.stem, []))]
        except Exception:
            # nbgrader says what is wrong with a notebook that cannot be read.
            continue
    return found
