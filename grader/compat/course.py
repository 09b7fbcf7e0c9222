"""``./course grade --nbgrader COURSE_DIR``: any nbgrader course, graded by nbgrader behind walls.

The coordinator alone writes the class's gradebook and its autograded folder; workers run
:func:`grader.compat.submission.grade_submission` on plain data.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import pathlib
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from traitlets.config import Config, PyFileConfigLoader

from grader.classroom.folder import ClassFolder, only_one
from grader.classroom.record import Record, no_room
from labkit.errors import CourseError

WARNING = (
    "Tests ran in the students' own processes, as nbgrader has it: forging a grade inside the "
    "kernel is not stopped in this mode, and flags show only what looks like it."
)
#: Tables that hold one assignment, with the condition on each.
_NOTEBOOKS = "SELECT id FROM notebook WHERE assignment_id = :assignment"
_CELLS = f"SELECT id FROM base_cell WHERE notebook_id IN ({_NOTEBOOKS})"
_DEFINITION = {
    "alembic_version": "1",
    "course": "1",
    "assignment": "id = :assignment",
    "notebook": "assignment_id = :assignment",
    "base_cell": f"notebook_id IN ({_NOTEBOOKS})",
    "grade_cells": f"id IN ({_CELLS})",
    "solution_cells": f"id IN ({_CELLS})",
    "task_cells": f"id IN ({_CELLS})",
    "source_cell": f"notebook_id IN ({_NOTEBOOKS})",
}
_WORK = "SELECT id FROM submitted_assignment WHERE assignment_id = :assignment "
_WORK += "AND student_id = :student"
_WORKS = f"SELECT id FROM submitted_notebook WHERE assignment_id IN ({_WORK})"
_STUDENT = {
    "student": "id = :student",
    "submitted_assignment": f"id IN ({_WORK})",
    "submitted_notebook": f"id IN ({_WORKS})",
    "grade": f"notebook_id IN ({_WORKS})",
    "comment": f"notebook_id IN ({_WORKS})",
}


@dataclass
class Course:
    """An nbgrader course: its folders, its configuration, and nbgrader's view of both."""

    folder: ClassFolder
    config: Config
    directory: Any

    def path(self, step: str, student: str, assignment: str) -> pathlib.Path:
        """The folder of one step for one submission."""
        return pathlib.Path(self.directory.format_path(step, student, assignment))


@dataclass
class Assignment:
    """One assignment: what workers are told of it, its submissions, and its record."""

    name: str
    id: str
    told: dict[str, Any]
    #: Hash of all that a grade follows from, but the submission.
    key: str
    students: list[str]
    record: Record


def grade_course(
    root: pathlib.Path,
    names: Iterable[str] = (),
    *,
    scheduler: str = "",
    workers: int = 0,
    require_full: bool = False,
) -> None:
    """Grade assignments (by default all that were handed in) of the nbgrader course in ``root``.

    Raises :class:`~labkit.errors.CourseError` for what a person can mend; what is finished by then
    is kept, and the same command goes on.
    """
    from grader.classroom import cluster
    from grader.classroom.gradebook import open_gradebook
    from grader.compat.submission import grade_submission

    course = open_course(root)
    with open_gradebook(course.folder):
        pass
    definitions = _definitions(course, list(dict.fromkeys(names)))
    if scheduler:
        cluster.look_at(scheduler)
    with only_one(course.folder), contextlib.ExitStack() as stack:
        schema = _schema(course.folder)
        assignments = []
        for name, (identity, rows, students) in definitions.items():
            record = stack.enter_context(Record(course.folder.grading / f"nbgrader-{name}.jsonl"))
            told = {
                "files": _files(course.path(course.directory.source_directory, ".", name), course),
                "rows": rows,
                "tests": _tests(rows),
            }
            excluded = course.config.get("Autograde", {}).get("exclude_overwriting", {})
            for path in excluded.get(name, []):
                told["files"].pop(path, None)
            key = _digest(told, course.config, version("nbgrader"), require_full)
            assignments.append(Assignment(name, identity, told, key, students, record))
        todo = [(a, s) for a in assignments for s in a.students if not _is_done(course, a, s)]
        shared = {
            "schema": schema,
            "config": course.config,
            "course": course.folder.course,
            "assignments": {a.name: a.told for a in assignments},
        }
        jobs = (_job(course, a, student, require_full) for a, student in todo)
        results = cluster.run(
            grade_submission, jobs, shared, scheduler=scheduler, workers=workers, processes=True
        )
        failed = _keep_all(course, assignments, results, len(todo)) if todo else {}
        for assignment in assignments:
            _save(course, assignment)
        _show(course, assignments, failed, len(todo))
        if failed:
            (name, student), why = min(failed.items())
            raise CourseError(
                f"{len(failed)} submission(s) could not be graded, the first is {name} of "
                f"{student}: {why.rstrip('.')}. The others are; the same command tries again."
            )


def open_course(root: pathlib.Path) -> Course:
    """The course in ``root``. Raises :class:`~labkit.errors.CourseError` when there is none."""
    from nbgrader.coursedir import CourseDirectory

    root = root.resolve()
    if not root.is_dir():
        raise CourseError(f"There is no folder {root}: name the folder of an nbgrader course.")
    config = Config()
    if (root / "nbgrader_config.py").is_file():
        before = os.getcwd()
        os.chdir(root)
        try:
            config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
        except Exception as error:
            raise CourseError(
                f"{root / 'nbgrader_config.py'} cannot be loaded ({type(error).__name__}: "
                f"{error}): mend it first."
            ) from None
        finally:
            os.chdir(before)
    config.CourseDirectory.root = str(root)
    directory = CourseDirectory(config=config)
    folders = {
        step: root / getattr(directory, f"{step}_directory")
        for step in ("source", "submitted", "autograded")
    }
    if not folders["source"].is_dir():
        raise CourseError(
            f"{root} is not an nbgrader course: it has no folder {folders['source'].name}."
        )
    if not folders["submitted"].is_dir():
        raise CourseError(f"Nobody has handed in anything: there is no {folders['submitted']}.")
    folder = ClassFolder(
        root=root,
        submitted=folders["submitted"],
        autograded=folders["autograded"],
        database=directory.db_url,
        course=directory.course_id,
    )
    if folder.gradebook is None:
        raise CourseError(
            f"The gradebook {directory.db_url.partition(':')[0]}://… is on a server: this mode "
            "grades courses whose gradebook is an SQLite file."
        )
    if not folder.gradebook.is_file():
        raise CourseError(
            f"There is no gradebook {folder.gradebook}: run nbgrader generate_assignment first."
        )
    return Course(folder, config, directory)


def _definitions(course: Course, names: list[str]) -> dict[str, tuple[str, dict, list[str]]]:
    """For each assignment its id, its rows of the gradebook, and who handed it in."""
    with _reading(course.folder) as database:
        known = dict(database.execute("SELECT name, id FROM assignment ORDER BY name").fetchall())
        for name in names:
            if name not in known:
                raise CourseError(
                    f"The gradebook knows no assignment {name!r}, only "
                    f"{', '.join(known) or 'none at all'}: run nbgrader generate_assignment first."
                )
        found = {}
        for name in names or known:
            students = _students(course, name)
            if not students and names:
                where = course.path(course.directory.submitted_directory, "STUDENT", name)
                raise CourseError(f"Nobody has handed in {name}: there is no {where}.")
            rows = _rows(database, _DEFINITION, assignment=known[name])
            if students and not rows["notebook"]:
                raise CourseError(
                    f"The gradebook knows no notebook of {name}: run nbgrader "
                    "generate_assignment first."
                )
            if students:
                found[name] = (known[name], rows, students)
    if not found:
        raise CourseError(
            "Nobody has handed in an assignment that the gradebook knows "
            f"({', '.join(known) or 'it knows none'})."
        )
    return found


def _students(course: Course, name: str) -> list[str]:
    directory = course.directory
    submitted = directory.submitted_directory
    folders = course.folder.root.glob(
        os.path.relpath(course.path(submitted, "*", name), course.folder.root)
    )
    form = re.compile(directory.format_path(submitted, "(?P<student>.*)", name, escape=True))
    found = (form.fullmatch(str(folder)) for folder in folders if folder.is_dir())
    excluded = set(filter(None, directory.student_id_exclude.split(",")))
    return sorted({match["student"] for match in found if match} - excluded)


def _job(course: Course, assignment: Assignment, student: str, require: bool) -> dict[str, Any]:
    with _reading(course.folder) as database:
        rows = _rows(database, _STUDENT, assignment=assignment.id, student=student)
    return {
        "assignment": assignment.name,
        "student": student,
        "files": _handed_in(course, assignment.name, student),
        "rows": rows,
        "require": require,
    }


def _handed_in(course: Course, name: str, student: str) -> dict[str, bytes]:
    folder = course.path(course.directory.submitted_directory, student, name)
    return _files(folder, course, notebooks=True)


def _files(folder: pathlib.Path, course: Course, notebooks: bool = False) -> dict[str, bytes]:
    """Files that nbgrader would copy; links are left out, for a student's may lead anywhere."""
    from nbgrader.utils import find_all_files

    ignored = [*course.directory.ignore, *([] if notebooks else ["*.ipynb"])]
    paths = [pathlib.Path(path) for path in sorted(find_all_files(str(folder), ignored))]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and path.resolve().is_relative_to(folder.resolve())
    }


def _is_done(course: Course, assignment: Assignment, student: str) -> bool:
    entry = assignment.record.find("submission", student)
    place = course.path(course.directory.autograded_directory, student, assignment.name)
    return (
        entry is not None
        and entry["assignment"] == assignment.key
        and entry["file"] == _digest(_handed_in(course, assignment.name, student))
        and all((place / name).is_file() for name in entry["autograded"])
    )


def _keep_all(
    course: Course,
    assignments: list[Assignment],
    results: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    total: int,
) -> dict[tuple[str, str], str]:
    """Put each result on the disk: first the notebooks, then the line that counts."""
    from grader.classroom.progress import bar

    named = {assignment.name: assignment for assignment in assignments}
    failed = {}
    with bar("Grading", total) as advance:
        for job, result in results:
            advance()
            name, student = job["assignment"], job["student"]
            if "error" in result:
                failed[name, student] = result["error"]
                continue
            place = course.path(course.directory.autograded_directory, student, name)
            try:
                _replace(place, result["files"])
            except OSError as error:
                raise no_room(error, place) from None
            named[name].record.append(
                {
                    "key": ["submission", student],
                    "assignment": named[name].key,
                    "file": _digest(job["files"]),
                    "rows": result["rows"],
                    "flags": result["flags"],
                    "layers": result["layers"],
                    "autograded": sorted(result["files"]),
                }
            )
    return failed


def _replace(folder: pathlib.Path, files: dict[str, bytes]) -> None:
    """Have exactly these files in a folder, read-only as nbgrader leaves them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Elsewhere than beside it, where nbgrader would take it for an assignment.
    above = folder.parent.parent
    with tempfile.TemporaryDirectory(prefix=".grading-", dir=above) as part:
        new = pathlib.Path(part) / "new"
        new.mkdir()
        for name, data in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o444)
        if folder.exists():
            os.replace(folder, pathlib.Path(part) / "old")
        os.replace(new, folder)


def _save(course: Course, assignment: Assignment) -> None:
    """Enter what is new in the gradebook, in one transaction."""
    from grader.classroom.gradebook import open_gradebook

    entries = {s: assignment.record.find("submission", s) for s in assignment.students}
    entries = {student: entry for student, entry in entries.items() if entry}
    old = {
        student
        for student in entries
        if (assignment.record.find("saved", student) or {}).get("entry") == _state(entries[student])
    }
    if not entries:
        return
    path = f"nbgrader/{assignment.name}"
    with open_gradebook(course.folder) as gradebook:
        settle = gradebook._settle
        settle("student", ["id"], [{"id": student} for student in sorted(entries)])
        submissions = settle(
            "submitted_assignment",
            ["assignment_id", "student_id"],
            [
                {
                    "assignment_id": assignment.id,
                    "student_id": student,
                    "timestamp": _time(entry["rows"]["submission"]),
                }
                for student, entry in sorted(entries.items())
            ],
            path=path,
        )
        wanted, kept = [], set()
        for student, entry in sorted(entries.items()):
            submission = submissions[assignment.id, student]
            if student in old:
                kept.add(submission)
            for notebook, penalty in entry["rows"]["notebooks"]:
                wanted.append(
                    {
                        "assignment_id": submission,
                        "notebook_id": notebook,
                        "late_submission_penalty": penalty,
                        "flagged": False,
                    }
                )

        def unless_kept(before: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
            # What was entered once is a person's to change, until there is something new.
            return before if before[key] in kept else row

        key = "assignment_id"
        keys = ["assignment_id", "notebook_id"]
        works = settle(
            "submitted_notebook", keys, wanted, path=path, fixed={"flagged"}, adapt=unless_kept
        )
        kept = {work for (submission, _), work in works.items() if submission in kept}
        key = "notebook_id"
        for table, rows, columns in (
            ("grade", "grades", ("auto_score", "needs_manual_grade")),
            ("comment", "comments", ("auto_comment",)),
        ):
            wanted = [
                {
                    "notebook_id": works[submissions[assignment.id, student], notebook],
                    "cell_id": cell,
                    **dict(zip(columns, values, strict=True)),
                }
                for student, entry in sorted(entries.items())
                for notebook, cell, *values in entry["rows"][rows]
            ]
            for row in wanted:
                if "needs_manual_grade" in row:
                    row["needs_manual_grade"] = bool(row["needs_manual_grade"])
            settle(table, ["notebook_id", "cell_id"], wanted, path=path, adapt=unless_kept)
    for student in sorted(entries.keys() - old):
        state = _state(entries[student])
        assignment.record.append({"key": ["saved", student], "entry": state})


def _state(entry: dict[str, Any]) -> str:
    return _digest(entry["assignment"], entry["file"], entry["rows"])


def _time(rows: list[list[Any]]) -> dt.datetime | None:
    text = rows[0][0]
    return dt.datetime.fromisoformat(text) if text else None


def _show(
    course: Course, assignments: list[Assignment], failed: dict[tuple[str, str], str], done: int
) -> None:
    """A table per assignment, the flags, and what this mode does not stop."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for assignment in assignments:
        table = Table("student", "automatic points", "by hand", "flags", title=assignment.name)
        for student in assignment.students:
            entry = assignment.record.find("submission", student)
            if (assignment.name, student) in failed or entry is None:
                table.add_row(escape(student), "not graded", "", "")
                continue
            grades = entry["rows"]["grades"]
            points = sum(row[2] or 0 for row in grades)
            manual = sum(bool(row[3]) for row in grades)
            flagged = str(len(entry["flags"]) or "")
            table.add_row(escape(student), f"{points:g}", str(manual or ""), flagged)
        console.print(table)
    for assignment in assignments:
        for student in assignment.students:
            entry = assignment.record.find("submission", student) or {}
            for flag in entry.get("flags", []):
                console.print(f"Flag: {assignment.name} of {student}: {flag}", markup=False)
    count = sum(len(assignment.students) for assignment in assignments)
    console.print(f"{done - len(failed)} of {count} submissions graded now.", markup=False)
    console.print(WARNING, markup=False)


def _tests(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The sources of each notebook's locked code cells."""
    names = {row["id"]: row["name"] for row in rows["notebook"]}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for row in rows["source_cell"]:
        if row["locked"] and row["cell_type"] == "code":
            found[names[row["notebook_id"]]].append(row["source"] or "")
    return found


@contextlib.contextmanager
def _reading(folder: ClassFolder) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"{folder.gradebook.as_uri()}?mode=ro", uri=True)
    try:
        yield database
    except sqlite3.Error as error:
        raise CourseError(f"{folder.gradebook} cannot be read ({error}).") from None
    finally:
        database.close()


def _rows(
    database: sqlite3.Connection, tables: dict[str, str], **values: str
) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for table, condition in tables.items():
        cursor = database.execute(f"SELECT * FROM {table} WHERE {condition} ORDER BY 1", values)
        columns = [column[0] for column in cursor.description]
        found[table] = [dict(zip(columns, row, strict=True)) for row in cursor]
    return found


def _schema(folder: ClassFolder) -> list[str]:
    with _reading(folder) as database:
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, rowid"
        return [row[0] for row in database.execute(query)]


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
