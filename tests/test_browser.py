"""The labs as people meet them: a learner, a student and a teacher in JupyterLab 4, in Chromium."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import nbformat
import pytest
from browser import TOKEN, Notebook, browser_page, jupyterlab, menu, server
from playwright.sync_api import Page, expect
from test_class import MODULE, NOTEBOOK, chosen, nbgrader

from grader.demo import LAB
from grader.samples import sample_class, submission
from grader.source import read_source, sources

SOURCE = read_source(LAB)
#: The class hands in one lab of the module; its row counts the points of all.
MODULE_POINTS = sum(read_source(path).points for path in sources(MODULE))


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as opened:
        yield opened


def shot(page: Page, tmp_path: pathlib.Path, name: str) -> None:
    """Keep what is on the screen for whoever wants to look at it."""
    page.screenshot(path=tmp_path / f"{name}.png")


def places(notebook: pathlib.Path) -> dict[str, int]:
    """Where each cell stands, by its id."""
    return {c.id: n for n, c in enumerate(nbformat.read(notebook, as_version=4).cells)}


def test_self_study(page: Page, clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first, count = SOURCE.exercises[0], len(SOURCE.exercises)
    command = [str(clone / "course"), "lab", "--no-browser", "--port={port}"]
    with server(command, clone, tmp_path / "home") as running:
        # The default page is the map, and it leads to the lab.
        page.goto(f"{running.address}/?token={TOKEN}")
        overview = Notebook(page, "The map of labs")
        # A map that was only opened does not ask to be saved.
        tab = page.get_by_role("tab", name="index.ipynb")
        expect(tab).not_to_have_class(re.compile("jp-mod-dirty"))
        # No dialog of a first start lies over the page.
        expect(page.get_by_text("Jupyter news")).to_have_count(0)
        shot(page, tmp_path, "map")
        overview.panel.get_by_role("link", name=SOURCE.title).click()
        lab = Notebook(page, SOURCE.title)
        shot(page, tmp_path, "lab")
        at = places(clone / "work" / MODULE / NOTEBOOK)
        answer, check = at[f"{first.name}-answer"], at[f"{first.name}-check"]

        # A check without an answer says so in two lines, and the cells below it still run.
        lab.run_all()
        expect(lab.output(len(at) - 1)).to_contain_text(f"0 of {SOURCE.points} points")
        shot(page, tmp_path, "end")
        refusals = lab.panel.locator(".jp-OutputArea-output").filter(has_text="○ not started")
        expect(refusals).to_have_count(count)
        expect(lab.output(check)).to_contain_text(f"○ not started: {first.title} (1 point)")
        assert len(lab.output(check).inner_text().splitlines()) == 2
        shot(page, tmp_path, "not-started")

        # Hints are folded until asked for.
        hints = lab.cell(at[f"{first.name}-hints"]).locator("details")
        expect(hints).to_have_count(3)
        expect(hints.first.locator("p")).to_be_hidden()
        hints.first.get_by_text("Hint 1").click()
        expect(hints.first.locator("p")).to_be_visible()

        # A misconception is answered with a reason, the right answer with "done".
        wrong = next(cell for cell in first.wrong if cell.meta["caught"] == "check")
        lab.write(answer, wrong.source)
        lab.run(check)
        expect(lab.output(check)).to_contain_text(f"✗ not yet: {first.title}")
        expect(lab.output(check)).to_contain_text(wrong.meta["says"])
        assert "Traceback" not in lab.output(check).inner_text()
        shot(page, tmp_path, "not-yet")
        lab.write(answer, first.answer.source)
        lab.run(check)
        expect(lab.output(check)).to_have_text(f"✓ done: {first.title} (1 point)")
        shot(page, tmp_path, "done")

        # The map knows.
        tab.click()
        progress = places(clone / "work" / "index.ipynb")["progress-table"]
        overview.run(progress)
        expect(overview.output(progress)).to_contain_text(f"1 of {count} done")
        shot(page, tmp_path, "progress")


@pytest.fixture(scope="module")
def course_folder(clone: pathlib.Path) -> pathlib.Path:
    """A teacher's folder in which two students' submissions are graded."""
    nbgrader("generate_assignment", MODULE, cwd=clone)
    for student in chosen():
        _hand_in(clone, student.name, clone / "submitted" / student.name / MODULE / NOTEBOOK)
    nbgrader("autograde", MODULE, "--create", cwd=clone)
    return clone


@pytest.fixture(scope="module")
def classroom(
    course_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a JupyterLab in the teacher's folder."""
    with server(jupyterlab(), course_folder, tmp_path_factory.mktemp("home") / "new") as running:
        yield running.address


def _hand_in(folder: pathlib.Path, student: str, path: pathlib.Path) -> None:
    """Write a sample student's copy of the released notebook."""
    answers = next(s.answers for s in sample_class(SOURCE) if s.name == student)
    released = nbformat.read(folder / "release" / MODULE / NOTEBOOK, as_version=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(submission(released, answers), path)


def test_formgrader(page: Page, classroom: str, tmp_path: pathlib.Path) -> None:
    page.goto(f"{classroom}/lab?token={TOKEN}")
    menu(page, "Nbgrader", "Formgrader")
    formgrader = page.frame_locator("iframe")
    row = formgrader.get_by_role("row").filter(has_text=MODULE)
    expect(row).to_be_visible()
    shot(page, tmp_path, "formgrader")
    row.locator(".num-submissions a").click()
    for student in chosen():
        row = formgrader.get_by_role("row").filter(has_text=student.name)
        expect(row).to_contain_text(f"{student.deserved} / {MODULE_POINTS}")
    shot(page, tmp_path, "submissions")

    # Manual grading shows the verdict of each check below the answer.
    for link in ("Manual Grading", MODULE, LAB.stem):
        formgrader.get_by_role("link", name=link, exact=True).click()
    kim = next(student for student in chosen() if student.name == "kim")
    row = formgrader.get_by_role("row").filter(has_text=f"{kim.deserved} / {SOURCE.points}")
    row.get_by_role("link", name="Submission").click()
    verdict = formgrader.get_by_text("✗ not yet").first
    verdict.scroll_into_view_if_needed()
    shot(page, tmp_path, "manual-grading")


@pytest.mark.parametrize("student", ["blank", "ada"])
def test_validate(
    page: Page, classroom: str, course_folder: pathlib.Path, tmp_path: pathlib.Path, student: str
) -> None:
    _hand_in(course_folder, student, course_folder / "desk" / f"{student}.ipynb")
    # Without a reset, the last test's notebook is in front for a moment.
    page.goto(f"{classroom}/lab/tree/desk/{student}.ipynb?reset&token={TOKEN}")
    Notebook(page, SOURCE.title)
    page.get_by_role("button", name="Validate").click()
    dialog = page.locator(".jp-Dialog")
    if student == "ada":
        expect(dialog).to_contain_text("Success! Your notebook passes all the tests.")
    else:
        expect(dialog.get_by_text("The following cell failed")).to_have_count(len(SOURCE.exercises))
        for exercise in SOURCE.exercises:
            expect(dialog).to_contain_text(f"○ not started: {exercise.title}")
        assert "Traceback" not in dialog.inner_text()
    shot(page, tmp_path, "validated")
