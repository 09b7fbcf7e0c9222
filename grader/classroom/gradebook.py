"""nbgrader's gradebook: the rows that nbgrader would write, all in one transaction.

Ids follow from names and nothing depends on the time of the day, so the same results make the same
file, byte for byte. Rows that are already right are not touched, and what a person entered (manual
scores and comments, extra credit, flags, names, due dates, extensions) is never changed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from grader.classroom.autograded import comment
from grader.classroom.folder import ClassFolder
from grader.classroom.labs import ClassLab
from grader.classroom.record import no_room
from labkit.errors import CourseError

#: The columns that came last: without them a gradebook is of an older nbgrader.
COLUMNS = {"student": "lms_user_id", "grade": "extra_credit", "notebook": "kernelspec"}
#: nbgrader enters this course wherever one of its steps is not told which course it serves.
UNNAMED = "default_course"
NAMES = uuid.uuid5(uuid.NAMESPACE_DNS, "gradebook.data-engineering-course")
TABLES = (
    "alembic_version",
    "assignment",
    "base_cell",
    "comment",
    "course",
    "grade",
    "grade_cells",
    "notebook",
    "solution_cells",
    "source_cell",
    "student",
    "submitted_assignment",
    "submitted_notebook",
)


@dataclass(frozen=True)
class Entry:
    """What the gradebook is told of one student's notebook; no verdicts: none was handed in."""

    student: str
    lab: str
    verdicts: dict[str, dict[str, Any]] | None


Row = dict[str, Any]


class Gradebook:
    """An open gradebook. Use it in a ``with``; what is not saved was never there."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        metadata = sa.MetaData()
        metadata.reflect(connection, only=TABLES)
        self._tables = metadata.tables
        #: Whether anything had to be written.
        self.changed = False

    def save(
        self,
        course: str,
        labs: list[ClassLab],
        times: dict[str, dt.datetime | None],
        entries: list[Entry],
    ) -> None:
        """Enter the results of one assignment, whose ``labs`` these are.

        ``times`` holds the students who handed it in, and when (UTC).
        """
        self._settle("course", ["id"], [{"id": course}])
        name = labs[0].assignment
        assignment = self._settle(
            "assignment",
            ["name"],
            [{"name": name, "course_id": course}],
            path=name,
            fixed={"course_id"},
        )[(name,)]
        notebooks = self._notebooks(assignment, name, labs)
        cells = {lab.name: self._cells(notebooks[lab.notebook], lab) for lab in labs}
        self._settle("student", ["id"], [{"id": student} for student in sorted(times)])
        submissions = self._settle(
            "submitted_assignment",
            ["assignment_id", "student_id"],
            [
                {"assignment_id": assignment, "student_id": student, "timestamp": time}
                for student, time in sorted(times.items())
            ],
            path=name,
        )
        works = self._settle(
            "submitted_notebook",
            ["assignment_id", "notebook_id"],
            [
                {"assignment_id": submission, "notebook_id": notebook, "flagged": False}
                for (_, _student), submission in sorted(submissions.items())
                for _, notebook in sorted(notebooks.items())
            ],
            path=name,
            fixed={"flagged"},
        )
        work = {
            (entry.student, entry.lab): works[
                submissions[assignment, entry.student], notebooks[entry.lab.rpartition("/")[2]]
            ]
            for entry in entries
        }
        order = sorted(entries, key=lambda entry: (entry.student, entry.lab))
        self._grades(name, order, work, cells)
        self._comments(name, order, work, cells)
        self._rest(name, works, {*work.values()})

    def penalise(self, assignment: str, config: Any) -> None:
        """Enter late penalties where a due date is set, by the plugin that nbgrader would ask."""
        tables = self._tables
        submitted, work, grade = (
            tables[name] for name in ("submitted_assignment", "submitted_notebook", "grade")
        )
        due = tables["assignment"]
        rows = self._connection.execute(
            sa.select(
                submitted.c.id, submitted.c.student_id, submitted.c.timestamp,
                submitted.c.extension, due.c.duedate,
            )
            .join(due, due.c.id == submitted.c.assignment_id)
            .where(due.c.name == assignment, due.c.duedate.is_not(None))
        ).all()  # fmt: skip
        if not rows:
            return
        from nbgrader.preprocessors import AssignLatePenalties

        step = AssignLatePenalties(config=config)
        step.init_plugin()
        wanted = []
        for row in sorted(rows):
            due_at = row.duedate + _interval(row.extension)
            late = (row.timestamp - due_at).total_seconds() if row.timestamp else 0
            points = sa.func.coalesce(grade.c.manual_score, grade.c.auto_score, 0.0)
            score = sa.func.sum(points + sa.func.coalesce(grade.c.extra_credit, 0.0))
            for notebook, earned in self._connection.execute(
                sa.select(work.c.id, sa.func.coalesce(score, 0.0))
                .outerjoin(grade, grade.c.notebook_id == work.c.id)
                .where(work.c.assignment_id == row.id)
                .group_by(work.c.id)
                .order_by(work.c.id)
            ):
                penalty = None
                if late > 0:
                    penalty = step.plugin_inst.late_submission_penalty(row.student_id, earned, late)
                if penalty is not None:
                    penalty = float(min(max(penalty, 0), earned))
                wanted.append({"id": notebook, "late_submission_penalty": penalty})
        self._settle("submitted_notebook", ["id"], wanted)

    def _notebooks(self, assignment: str, name: str, labs: list[ClassLab]) -> dict[str, str]:
        rows = [
            {
                "assignment_id": assignment,
                "name": lab.notebook,
                "kernelspec": json.dumps(lab.template["metadata"]["kernelspec"]),
            }
            for lab in sorted(labs, key=lambda lab: lab.notebook)
        ]
        keys = ["assignment_id", "name"]
        self._settle("notebook", keys, rows, path=name, fixed={"kernelspec"})
        table = self._tables["notebook"]
        found = self._connection.execute(
            sa.select(table.c.name, table.c.id).where(table.c.assignment_id == assignment)
        )
        return {row.name: row.id for row in found}

    def _cells(self, notebook: str, lab: ClassLab) -> dict[tuple[str, str], str]:
        """The ids of a notebook's graded and solution cells, by name and type."""
        wanted = [
            {"name": cell["name"], "notebook_id": notebook, "type": kind}
            for cell in lab.cells
            for kind, role in (("GradeCell", "grade"), ("SolutionCell", "solution"))
            if cell[role]
        ]
        ids = self._settle("base_cell", ["name", "notebook_id", "type"], wanted, path=lab.name)
        grades = [
            {
                "id": ids[cell["name"], notebook, "GradeCell"],
                "max_score": cell["max_score"],
                "cell_type": cell["cell_type"],
            }
            for cell in lab.cells
            if cell["grade"]
        ]
        self._settle("grade_cells", ["id"], grades)
        solutions = [row for row in wanted if row["type"] == "SolutionCell"]
        self._settle(
            "solution_cells",
            ["id"],
            [{"id": ids[row["name"], notebook, "SolutionCell"]} for row in solutions],
        )
        sources = [
            {
                "name": cell["name"],
                "notebook_id": notebook,
                **{key: cell[key] for key in ("cell_type", "locked", "source", "checksum")},
            }
            for cell in lab.cells
        ]
        self._settle("source_cell", ["name", "notebook_id"], sources, path=lab.name)
        self._forget(notebook, {row["name"] for row in wanted})
        return {(name, kind): cell for (name, _, kind), cell in ids.items()}

    def _forget(self, notebook: str, names: set[str]) -> None:
        """Take away cells that the lab no longer has, unless a person has entered something."""
        base, grade, said = (self._tables[name] for name in ("base_cell", "grade", "comment"))
        rows = self._connection.execute(
            sa.select(base.c.id, base.c.name, base.c.type).where(base.c.notebook_id == notebook)
        ).all()
        old = sorted(row.id for row in rows if row.name not in names)
        by_hand = sa.or_(grade.c.manual_score.is_not(None), grade.c.extra_credit.is_not(None))
        for cell in old:
            if self._connection.execute(
                sa.union_all(
                    sa.select(grade.c.id).where(grade.c.cell_id == cell, by_hand),
                    sa.select(said.c.id).where(
                        said.c.cell_id == cell, said.c.manual_comment.is_not(None)
                    ),
                )
            ).first():
                continue
            self.changed = True
            name = next(row.name for row in rows if row.id == cell)
            for table, column in (
                ("grade", "cell_id"), ("comment", "cell_id"), ("grade_cells", "id"),
                ("solution_cells", "id"), ("base_cell", "id"),
            ):  # fmt: skip
                there = self._tables[table]
                self._connection.execute(sa.delete(there).where(there.c[column] == cell))
            source = self._tables["source_cell"]
            self._connection.execute(
                sa.delete(source).where(source.c.notebook_id == notebook, source.c.name == name)
            )

    def _grades(
        self,
        path: str,
        entries: list[Entry],
        work: dict[tuple[str, str], str],
        cells: dict[str, dict[tuple[str, str], str]],
    ) -> None:
        wanted = []
        for place, verdict in _judged(entries, work, cells, "GradeCell"):
            score = float(verdict["points"]) if verdict else 0.0
            wanted.append({**place, "auto_score": score, "needs_manual_grade": False})

        def look_again(before: Row, row: Row) -> Row:
            # As nbgrader does: a new automatic score asks the person who gave another one to look.
            if before["manual_score"] is None:
                return row
            same = before["auto_score"] == row["auto_score"]
            return {**row, "needs_manual_grade": before["needs_manual_grade"] if same else True}

        keys = ["notebook_id", "cell_id"]
        self._settle("grade", keys, wanted, path=path, adapt=look_again)

    def _comments(
        self,
        path: str,
        entries: list[Entry],
        work: dict[tuple[str, str], str],
        cells: dict[str, dict[tuple[str, str], str]],
    ) -> None:
        wanted = []
        for place, verdict in _judged(entries, work, cells, "SolutionCell"):
            text = comment(verdict) if verdict else "No response."
            wanted.append({**place, "auto_comment": text})
        self._settle("comment", ["notebook_id", "cell_id"], wanted, path=path)

    def _rest(self, path: str, works: dict[tuple, str], done: set[str]) -> None:
        """Empty rows, as nbgrader makes them, for notebooks of the assignment not graded now."""
        base = self._tables["base_cell"]
        open_ = {(notebook, work) for (_, notebook), work in works.items() if work not in done}
        kinds = self._connection.execute(
            sa.select(base.c.notebook_id, base.c.id, base.c.type).order_by(base.c.id)
        ).all()
        rows: dict[str, list[Row]] = {"GradeCell": [], "SolutionCell": []}
        for notebook, work in sorted(open_):
            for cell in kinds:
                if cell.notebook_id == notebook and cell.type in rows:
                    rows[cell.type].append({"notebook_id": work, "cell_id": cell.id})
        keys = ["notebook_id", "cell_id"]
        needs = [row | {"needs_manual_grade": True} for row in rows["GradeCell"]]
        self._settle("grade", keys, needs, path=path, fixed={"needs_manual_grade"})
        self._settle("comment", keys, rows["SolutionCell"], path=path)

    def _settle(
        self,
        name: str,
        keys: list[str],
        wanted: Iterable[Row],
        *,
        path: str = "",
        fixed: Iterable[str] = (),
        adapt: Any = None,
    ) -> dict[tuple, str]:
        """Insert rows that are missing, mend columns that differ; returns the rows' ids by key.

        ``fixed`` columns are given to new rows only; ``path`` names those rows' ids; ``adapt``
        changes a wanted row by the one that is there.
        """
        table = self._tables[name]
        column = table.c[keys[0]]
        wanted = list(wanted)
        # One range of the first key, read once: an assignment's rows, or one notebook's.
        values = sorted({row[keys[0]] for row in wanted})
        there: dict[tuple, Row] = {}
        for start in range(0, len(values), 500):
            query = sa.select(table).where(column.in_(values[start : start + 500]))
            for found in self._connection.execute(query).mappings():
                there[tuple(found[key] for key in keys)] = dict(found)
        new, changed = [], []
        for row in wanted:
            key = tuple(row[k] for k in keys)
            before = there.get(key)
            if before is None:
                identity = {} if "id" in keys else {"id": _id(name, path, key)}
                there[key] = row | identity
                new.append(there[key])
                continue
            row = adapt(before, row) if adapt else row
            if any(before[k] != v for k, v in row.items() if k not in (*keys, *fixed)):
                changed.append(row | {"id": before["id"]})
        if new:
            self._connection.execute(sa.insert(table), new)
        if changed:
            columns = [k for k in changed[0] if k not in ("id", *fixed)]
            update = (
                sa.update(table)
                .where(table.c.id == sa.bindparam("the_id"))
                .values({k: sa.bindparam(f"new_{k}") for k in columns})
            )
            values = [
                {"the_id": row["id"], **{f"new_{k}": row[k] for k in columns}} for row in changed
            ]
            self._connection.execute(update, values)
        self.changed |= bool(new or changed)
        chosen = (tuple(row[k] for k in keys) for row in wanted)
        return {key: there[key].get("id", "") for key in chosen}


def _id(table: str, path: str, key: tuple) -> str:
    return uuid.uuid5(NAMES, json.dumps([table, path, *map(str, key)])).hex


@contextlib.contextmanager
def open_gradebook(folder: ClassFolder) -> Iterator[Gradebook]:
    """The class's gradebook, made if there is none; all of a ``with`` block is saved, or nothing.

    Raises :class:`~labkit.errors.CourseError` for one that is locked, damaged, old, or another
    course's.
    """
    path = folder.gradebook
    shown = path or "The gradebook's database"
    if path is not None and not path.exists():
        try:
            with _sentences(shown):
                _create(path, folder.course)
        except OSError as error:
            raise no_room(error, path) from None
    engine = sa.create_engine(folder.database)
    try:
        with engine.connect() as connection:
            if path is not None:
                # Taken at once, so that a gradebook in use is found out before work begins.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            with _sentences(shown):
                _look_at(connection, folder.course, shown)
                gradebook = Gradebook(connection)
                yield gradebook
                if gradebook.changed:
                    connection.commit()
                else:
                    connection.rollback()
    except DatabaseError as error:
        raise _sentence(error, shown) from None
    finally:
        engine.dispose()


@contextlib.contextmanager
def _sentences(shown: Any) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise _sentence(error, shown) from None


def _sentence(error: DatabaseError, shown: Any) -> CourseError:
    text = str(error.orig)
    if "locked" in text or "busy" in text:
        return CourseError(
            f"{shown} is in use by another program, which holds it locked: end that one and run "
            "the same command again."
        )
    if "full" in text or "disk I/O" in text:
        return CourseError(
            f"{shown} cannot be written, the disk is full or failing: what is graded is kept; free "
            "some space and run the same command again."
        )
    if isinstance(error, OperationalError) and ("readonly" in text or "unable to open" in text):
        return CourseError(f"{shown} cannot be opened for writing: mend its access rights.")
    return CourseError(
        f"{shown} is damaged, or is no SQLite database ({text}): restore it from a backup, or move "
        "it away to have a new one made."
    )


def _look_at(connection: sa.Connection, course: str, shown: Any) -> None:
    names = set(sa.inspect(connection).get_table_names())
    if not names.issuperset(TABLES):
        raise CourseError(f"{shown} is a database, but not an nbgrader gradebook: move it away.")
    inspector = sa.inspect(connection)
    there = {name: {c["name"] for c in inspector.get_columns(name)} for name in COLUMNS}
    if any(column not in there[name] for name, column in COLUMNS.items()):
        raise CourseError(
            f"{shown} was made by an older nbgrader: back it up, then run ./course exec "
            "nbgrader db upgrade."
        )
    courses = set(connection.exec_driver_sql("SELECT id FROM course").scalars()) - {UNNAMED}
    if courses and course not in courses:
        raise CourseError(
            f"{shown} belongs to another course ({', '.join(sorted(courses))}), and this one is "
            f"{course}: move it away, or name the folder of this course with --course-dir."
        )


def _create(path: pathlib.Path, course: str) -> None:
    """An empty gradebook by nbgrader itself, which appears whole or not at all."""
    import sys

    from nbgrader.api import Gradebook as Nbgrader

    before = os.environ.get("PATH", os.defpath)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".gradebook-") as folder:
        made = pathlib.Path(folder) / path.name
        # nbgrader runs the program alembic, which stands beside this Python.
        os.environ["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), before])
        try:
            Nbgrader(f"sqlite:///{made}", course).close()
        finally:
            os.environ["PATH"] = before
        os.replace(made, path)


def _interval(value: dt.timedelta | dt.datetime | None) -> dt.timedelta:
    # SQLite keeps an interval as a moment counted from the epoch.
    if isinstance(value, dt.datetime):
        return value - dt.datetime(1970, 1, 1)
    return value or dt.timedelta(0)


def _judged(
    entries: list[Entry],
    work: dict[tuple[str, str], str],
    cells: dict[str, dict[tuple[str, str], str]],
    wanted: str,
) -> Iterator[tuple[dict[str, str], dict[str, Any] | None]]:
    """Where each cell of one kind stands in the gradebook, with the verdict on its exercise."""
    for entry in entries:
        for (name, kind), cell in sorted(cells[entry.lab].items()):
            if kind == wanted:
                place = {"notebook_id": work[entry.student, entry.lab], "cell_id": cell}
                exercise = name.removesuffix("-check") if kind == "GradeCell" else name
                yield place, (entry.verdicts or {}).get(exercise)
