"""Everything that is built from the labs' sources, and the proof that nothing is out of date."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from rich.progress import Progress

from grader import services
from grader.gate import ENGINES, check_files, check_lab
from grader.reference import execute, make_reference, to_text
from grader.source import ROOT, LabSource, SourceError, read_source, sources
from grader.topics import coverage, summary, topics
from labkit.datasets import dataset
from labkit.errors import CourseError
from labkit.lab import CATALOGUE

README = ROOT / "README.md"
MAP_MARKS = ("<!-- map: built by ./course build -->", "<!-- end of the map -->")
SERVICE_MARKS = ("<!-- services: built by ./course build -->", "<!-- end of the services -->")
CHAPTERS = {
    "1": "Introduction to data engineering",
    "2": "Foundational knowledge",
    "3": "Data architecture and modeling",
    "4.1": "Data acquisition and ingestion",
    "4.2": "Data storage and management",
    "4.3": "Data processing and transformation",
    "4.4": "Data pipeline development",
    "5": "Data quality and governance",
    "6": "Cloud computing and big data technologies",
    "7.1": "Data mesh and domain-driven design",
    "7.2": "Multimodal data processing",
    "8": "Performance optimization",
    "9": "Security and compliance",
    "10": "Monitoring, logging, and maintenance",
    "11": "Best practices and design patterns",
}


def read_labs(module: str = "") -> list[LabSource]:
    """The sources of all labs (or one module's), checked. Raises on the first mistake."""
    labs = [read_source(path) for path in sources(module)]
    for lab in labs:
        check_lab(lab)
        for cell in lab.cells:
            unknown = sorted({*cell.meta.get("topics", [])} - {*topics()})
            if unknown:
                raise SourceError(lab.path, cell.line, f"the guide has no topic {unknown[0]}")
    return labs


def build(module: str = "", *, check: bool = False) -> list[pathlib.Path]:
    """Build the products of all labs, or of one module.

    With ``check`` nothing is written. Returns the files that changed (or would change).
    """
    check_files()
    everything = read_labs()
    chosen = {lab.name for lab in (read_labs(module) if module else everything)}
    # The labs read their plan while they run, so it comes first.
    changed = _settle(_plans(everything), check=check)
    if check and changed:
        return changed
    notebooks = _notebooks([lab for lab in everything if lab.name in chosen])
    pages = {README: _readme(everything), **_module_pages(everything)}
    return sorted(changed + _settle(notebooks | pages, check=check))


def prepare_data(labs: list[LabSource]) -> None:
    """Build the data sets of these labs that are missing, so that no lab waits for them."""
    for name in sorted({name for lab in labs for name in lab.datasets}):
        dataset(name).path  # noqa: B018  (reading the path builds and verifies the file)


def _settle(products: dict[pathlib.Path, str], *, check: bool) -> list[pathlib.Path]:
    """Write what differs (unless ``check``); returns those paths."""
    changed = []
    for path, text in products.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        changed.append(path)
        if not check:
            part = path.with_name(f"{path.name}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(path)
    return changed


def _notebooks(labs: list[LabSource]) -> dict[pathlib.Path, str]:
    prepare_data(labs)
    built: dict[pathlib.Path, str] = {}
    with Progress(transient=True) as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = progress.add_task("Running the labs", total=len(labs))
        jobs = {
            pool.submit(lambda lab: to_text(execute(lab, make_reference(lab))), lab): lab
            for lab in labs
        }
        for job in as_completed(jobs):
            built[jobs[job].notebook] = job.result()
            progress.advance(bar)
    return built


def _plans(labs: list[LabSource]) -> dict[pathlib.Path, str]:
    plans = {
        lab.name: {
            "title": lab.title,
            "minutes": lab.minutes,
            "datasets": lab.datasets,
            "systems": lab.systems,
            "layers": lab.layers,
            "exercises": [
                {
                    "name": exercise.name,
                    "title": exercise.title,
                    "points": exercise.points,
                    "section": exercise.section,
                }
                for exercise in lab.exercises
            ],
        }
        for lab in labs
    }
    return {CATALOGUE: json.dumps(plans, indent=1, ensure_ascii=False) + "\n"}


def _module_pages(labs: list[LabSource]) -> dict[pathlib.Path, str]:
    pages = {}
    for module in sorted({lab.path.parent for lab in labs}):
        mine = [lab for lab in labs if lab.path.parent == module]
        chapter = _chapter(module.name)
        lines = [f"# {chapter} {CHAPTERS[chapter]}", ""]
        lines += ["| Lab | Minutes | Points | Systems |", "|---|---|---|---|"]
        for lab in mine:
            link = f"[{lab.title}]({lab.notebook.name})"
            systems = ", ".join(lab.systems) or "–"
            lines.append(f"| {link} | {lab.minutes} | {lab.points} | {systems} |")
        if (module / ENGINES).is_file():
            lines += ["", f"[One question in all engines]({ENGINES}): what each answers and costs."]
        for lab in mine:
            lines += ["", f"## {lab.title}", "", *_outcomes(lab)]
        lines += [
            "",
            "## Topics of the guide",
            "",
            "| Topic | Taught in | Graded by |",
            "|---|---|---|",
        ]
        for row in coverage(mine):
            if row.topic.chapter == chapter:
                taught = "; ".join(_short(place) for place in row.sections) or "no lab yet"
                graded = "; ".join(_short(place) for place in row.exercises) or "no lab yet"
                lines.append(f"| {row.topic.id} {row.topic.title} | {taught} | {graded} |")
        lines += ["", "*Built by `./course build` from the labs' sources.*", ""]
        pages[module / "README.md"] = "\n".join(lines)
    return pages


def _readme(labs: list[LabSource]) -> str:
    text = README.read_text(encoding="utf-8")
    text = _between(MAP_MARKS, map_table(labs), text)
    return _between(SERVICE_MARKS, services.markdown(), text)


def _between(marks: tuple[str, str], body: str, text: str) -> str:
    if any(text.count(mark) != 1 for mark in marks):
        raise CourseError(f"README.md must hold {marks[0]} and {marks[1]}, once each.")
    start, end = (re.escape(mark) for mark in marks)
    return re.sub(
        f"{start}.*{end}", lambda _: f"{marks[0]}\n{body}\n{marks[1]}", text, flags=re.DOTALL
    )


def map_table(labs: list[LabSource], link: str = "curriculum/{name}.ipynb") -> str:
    """The map of chapters and labs as a Markdown table; ``link`` is each lab's address."""
    rows = coverage(labs)
    lines = ["| Chapter of the guide | Topics covered | Labs |", "|---|---|---|"]
    for chapter, title in CHAPTERS.items():
        mine = [row for row in rows if row.topic.chapter == chapter]
        covered = sum(row.covered for row in mine)
        links = "<br>".join(
            f"[{lab.title}]({link.format(name=lab.name)}) ({lab.minutes} min)"
            for lab in labs
            if _chapter(lab.path.parent.name) == chapter
        )
        lines.append(f"| {chapter} {title} | {covered} of {len(mine)} | {links or 'no lab yet'} |")
    total = summary(rows)
    lines.append(f"| **All** | **{total['covered']} of {total['topics']}** | {len(labs)} |")
    return "\n".join(lines)


def _chapter(module: str) -> str:
    """``04-1-ingestion`` is chapter 4.1, ``05-quality`` is chapter 5."""
    numbers = re.match(r"(\d+)(?:-(\d+))?-", module)
    if numbers is None:
        raise CourseError(f"curriculum/{module}: a module's name begins with the chapter's number.")
    return ".".join(str(int(part)) for part in numbers.groups() if part)


def _outcomes(lab: LabSource) -> Iterable[str]:
    """The list under the heading of the learning outcomes."""
    for cell in lab.cells:
        if cell.source.startswith("## You will be able to"):
            return [line for line in cell.source.splitlines()[1:] if line.startswith("- ")]
    raise SourceError(lab.path, 1, 'there is no section "## You will be able to" with a list')


def _short(place: str) -> str:
    lab, _, what = place.partition(": ")
    return f"{lab.rpartition('/')[2]}: {what}"


def display(paths: Iterable[pathlib.Path]) -> str:
    """Paths relative to the course, one a line."""
    return "\n".join(f"  {path.relative_to(ROOT)}" for path in paths)
