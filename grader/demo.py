"""``./course demo``: the whole way of a lab through a class, with nbgrader underneath."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed

import nbformat
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from traitlets.config import Config

from grader.build import prepare_data
from grader.release import course_config
from grader.samples import Student, sample_class, submission
from grader.source import CURRICULUM, ROOT, LabSource, read_source
from labkit.errors import CourseError

DEMO = ROOT / "demo"
LAB = CURRICULUM / "04-1-ingestion" / "01-file-formats.py"
#: An answer that never ends costs the demo this many seconds, not the default minute.
CELL_TIMEOUT = 10


def demo() -> None:
    """Hand out, collect, grade and return one lab to a sample class; print the grades."""
    console = Console(record=True)
    lab = read_source(LAB)
    prepare_data([lab])
    students = sample_class(lab)
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    with Progress(console=Console(), transient=True) as progress:
        bar = progress.add_task("Handing out", total=3 + len(students))
        _hand_out(lab)
        progress.advance(bar)
        progress.update(bar, description="Collecting")
        _submit_and_collect(lab, students)
        progress.advance(bar)
        progress.update(bar, description="Grading")
        for _ in _grade(lab, students):
            progress.advance(bar)
        progress.update(bar, description="Writing feedback")
        _export(lab)
        progress.advance(bar)
    console.print(_table(lab, students))
    report = DEMO / "report.html"
    console.save_html(str(report))
    print(f"Report:   {report.relative_to(ROOT)}")
    print(f"Grades:   {(DEMO / 'grades.csv').relative_to(ROOT)}")
    print(f"Feedback: {(DEMO / 'feedback').relative_to(ROOT)}/<student>/{lab.path.parent.name}/")


def demo_config(student: str = "*", folder: str = "") -> Config:
    """The teacher's configuration, moved into the demo's folder and to its own exchange."""
    config = course_config(
        root=str(DEMO),
        source_directory=str(DEMO / "source"),
        student_id=student,
        release_directory="release",
    )
    config.CourseDirectory.assignment_id = LAB.parent.name
    config.Exchange.root = str(DEMO / "exchange")
    config.Exchange.cache = str(DEMO / "cache" / folder)
    config.Exchange.assignment_dir = str(DEMO / "homes" / folder)
    # One account plays all students here; in a class, nbgrader compares the files' owners.
    config.ExchangeCollect.check_owner = False
    config.ExecutePreprocessor.timeout = CELL_TIMEOUT
    return config


def _api(config: Config):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from sqlalchemy.exc import SAWarning

    # nbgrader 0.9.6 sets off one for each submission; nobody at this prompt can act on it.
    warnings.filterwarnings("ignore", category=SAWarning)
    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    api.log.setLevel(logging.CRITICAL)
    return api


def _must(result: dict, what: str) -> None:
    if not result["success"]:
        log = (result.get("error") or result.get("log") or "").strip().splitlines()
        raise CourseError(f"The demo stopped while {what}: {log[-1] if log else 'no reason given'}")


def _hand_out(lab: LabSource) -> None:
    (DEMO / "exchange").mkdir()
    (DEMO / "exchange").chmod(0o777)
    api = _api(demo_config())
    module = lab.path.parent.name
    # One lab: its neighbours start systems for each student, and minutes are long in a demo.
    (DEMO / "source" / module).mkdir(parents=True)
    shutil.copy(lab.path.with_suffix(".ipynb"), DEMO / "source" / module)
    _must(api.generate_assignment(module), "making the student version")
    _must(api.release_assignment(module), "handing out")


def _submit_and_collect(lab: LabSource, students: list[Student]) -> None:
    from nbgrader.auth import Authenticator
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange.default import ExchangeFetchAssignment, ExchangeSubmit

    module = lab.path.parent.name
    for student in students:
        config = demo_config(student.name, student.name)
        (DEMO / "homes" / student.name).mkdir(parents=True)
        parts = {
            "coursedir": CourseDirectory(config=config),
            "authenticator": Authenticator(config=config),
            "config": config,
        }
        for step in (ExchangeFetchAssignment, ExchangeSubmit):
            exchange = step(**parts)
            exchange.log.setLevel(logging.CRITICAL)
            exchange.start()
            if step is ExchangeFetchAssignment:
                path = DEMO / "homes" / student.name / module / lab.notebook.name
                notebook = nbformat.read(path, as_version=4)
                nbformat.write(submission(notebook, student.answers), path)
    _must(_api(demo_config()).collect(module), "collecting")


def _grade(lab: LabSource, students: list[Student]):
    """Grade side by side; yields each student's name when done."""
    module = lab.path.parent.name
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(_grade_one, module, s.name): s.name for s in reversed(students)}
        for job in as_completed(jobs):
            _must(job.result(), f"grading {jobs[job]}")
            yield jobs[job]


def _grade_one(module: str, student: str) -> dict:
    api = _api(demo_config())
    graded = api.autograde(module, student)
    return api.generate_feedback(module, student) if graded["success"] else graded


def _export(lab: LabSource) -> None:
    from grader.export import SafeCsvExportPlugin

    plugin = SafeCsvExportPlugin(config=demo_config())
    plugin.to = str(DEMO / "grades.csv")
    plugin.log.setLevel(logging.ERROR)
    with _api(demo_config()).gradebook as gradebook:
        plugin.export(gradebook)


def _table(lab: LabSource, students: list[Student]) -> Table:
    from nbgrader.api import Gradebook

    table = Table(title=f"{lab.title}: points")
    for heading in ("Student", "Who answers with"):
        table.add_column(heading)
    for number, exercise in enumerate(lab.exercises, 1):
        table.add_column(f"{number}\n/{exercise.points}", justify="right")
    table.add_column(f"All\n/{lab.points}", justify="right")
    with Gradebook(f"sqlite:///{DEMO / 'gradebook.db'}") as gradebook:
        for student in students:
            nb = gradebook.find_submission_notebook(
                lab.path.stem, lab.path.parent.name, student.name
            )
            points = {grade.name: grade.score for grade in nb.grades}
            cells = [f"{points[f'{e.name}-check']:g}" for e in lab.exercises]
            table.add_row(student.name, student.about, *cells, f"{nb.score:g}")
    return table
