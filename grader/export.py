"""``nbgrader export``: the columns of nbgrader's own table, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import pathlib
import sys
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)
#: A spreadsheet takes a text that begins with one of these for a formula and runs it (OWASP,
#: "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class SafeCsvExportPlugin(ExportPlugin):
    """Rows like those of nbgrader's plugin, quoted as RFC 4180 asks; a name is never a formula."""

    def export(self, gradebook: Gradebook) -> None:
        """Write the table; ends the program with a sentence where it cannot be written."""
        path = pathlib.Path(self.to or "grades.csv")
        self.log.info("Exporting grades to %s", path)
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                writer.writerows(self._rows(gradebook))
        except OSError as error:
            sys.exit(f"{path} cannot be written: {error.strerror}.")

    def _rows(self, gradebook: Gradebook) -> list[list[Any]]:
        students, assignments = map(str, self.student), map(str, self.assignment)
        wanted, named = {*students}, {*assignments}
        return [
            _row(gradebook, assignment, student)
            for assignment in gradebook.assignments
            if not named or assignment.name in named
            for student in gradebook.students
            if not wanted or student.id in wanted
        ]


def safe(value: Any) -> Any:
    """A text as a spreadsheet shows it, never runs it; other values as they are."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _row(gradebook: Gradebook, assignment: Any, student: Any) -> list[Any]:
    try:
        found = gradebook.find_submission(assignment.name, student.id)
        raw, penalty, time = found.score, found.late_submission_penalty or 0.0, found.timestamp
    except MissingEntry:
        raw, penalty, time = 0.0, 0.0, None
    person = [student.id, student.last_name, student.first_name, student.email]
    points = [raw, penalty, max(0.0, raw - penalty), assignment.max_score]
    return [safe(value) for value in (assignment.name, assignment.duedate, time, *person, *points)]
