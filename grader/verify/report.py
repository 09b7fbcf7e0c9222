"""The page for authors: what each exercise's checks let through, beside the checks."""

from __future__ import annotations

import pathlib
from typing import Any

import jinja2

from grader.source import ROOT, ExerciseSource
from grader.verify.exercise import Finding

REPORT = ROOT / "verify" / "report.html"


def write_report(
    findings: list[Finding], totals: dict[str, Any], exercises: dict[str, ExerciseSource]
) -> pathlib.Path:
    """Write the page; ``exercises`` are the sources by name. Returns its path."""
    from grader.verify.command import problems, sound

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent), autoescape=True
    )
    rows = [(f, exercises[f.exercise], sound(f), problems(f)) for f in findings]
    page = environment.get_template("report.html.j2").render(rows=rows, totals=totals)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(page, encoding="utf-8")
    return REPORT
