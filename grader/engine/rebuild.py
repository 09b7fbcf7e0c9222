"""From what a student handed in to the notebook that runs: the lab's cells, the student's answers.

Only answer cells are taken, by id. Whatever else a submission holds or lacks cannot stop it: what
was mended is named in a sentence that the student reads.
"""

from __future__ import annotations

import ast
import functools
import json
import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

from grader.source import BEGIN, END, LabSource
from labkit.errors import CourseError

#: What the student sees in place of a solution; as in nbgrader_config.py.
STUB = "# your code here"
MAX_BYTES = 50 * 2**20
MAX_ANSWER = 500_000


@dataclass(frozen=True)
class PlanCell:
    """A code cell that runs in the student's process; an answer cell names its exercise."""

    id: str
    source: str
    exercise: str = ""
    #: The names that the reference answer defines.
    defines: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanExercise:
    """What the judge knows of an exercise."""

    name: str
    title: str
    points: int
    section: str
    check: str
    hidden: str


@dataclass(frozen=True)
class Plan:
    """A lab as its grading needs it: plain data, no reference answer in it."""

    lab: str
    title: str
    setup: str
    cells: tuple[PlanCell, ...]
    exercises: tuple[PlanExercise, ...]
    datasets: tuple[str, ...]
    systems: tuple[str, ...]
    layers: tuple[str, ...]
    imports: tuple[str, ...]


@dataclass
class Rebuilt:
    """The cells to run, and what had to be mended for it."""

    cells: list[PlanCell]
    answers: dict[str, str]
    repairs: list[str] = field(default_factory=list)


def make_plan(lab: LabSource) -> Plan:
    """The grading plan of a lab."""
    # Workers are given plans and do without what makes them, which takes seconds to import.
    from grader.reference import make_reference

    names = {exercise.name for exercise in lab.exercises}
    cells = []
    for cell in make_reference(lab).cells:
        name, _, role = cell["id"].rpartition("-")
        if cell.cell_type != "code" or (role == "check" and name in names):
            continue
        if role == "answer" and name in names:
            defines = tuple(sorted(_defined(cell.source)))
            cells.append(PlanCell(cell["id"], stub(cell.source), name, defines))
        else:
            cells.append(PlanCell(cell["id"], cell.source))
    setup = next(cell.source for cell in lab.cells if cell.role == "setup")
    return Plan(
        lab=lab.name,
        title=lab.title,
        setup=setup,
        cells=tuple(cells),
        exercises=tuple(
            PlanExercise(e.name, e.title, e.points, e.section, e.check.source, e.hidden.source)
            for e in lab.exercises
        ),
        datasets=tuple(lab.datasets),
        systems=tuple(lab.systems),
        layers=tuple(lab.layers),
        imports=tuple(imports("\n".join(cell.source for cell in cells if not cell.exercise))),
    )


def stub(answer: str) -> str:
    """An answer cell as it is handed out."""
    return re.sub(f"{BEGIN}.*{END}", STUB, answer, flags=re.DOTALL)


def rebuild(plan: Plan, submitted: pathlib.Path | bytes | dict[str, Any]) -> Rebuilt:
    """Put a submission's answers into the lab's own cells."""
    repairs: list[str] = []
    notebook = submitted if isinstance(submitted, dict) else _read(submitted, repairs)
    cells = _cells(notebook, repairs)
    _look_at_kernel(notebook, repairs)
    found = {cell.exercise: _candidates(cells, cell) for cell in plan.cells if cell.exercise}
    used = {id(item) for items in found.values() for item in items}
    spare = [cell for cell in cells if id(cell) not in used and _kind(cell) == "code"]
    answers, rebuilt = {}, []
    for cell in plan.cells:
        if cell.exercise:
            text = _choose(cell, found[cell.exercise], spare, repairs)
            answers[cell.exercise] = text
            cell = PlanCell(cell.id, text, cell.exercise, cell.defines)
        rebuilt.append(cell)
    _look_at_order(plan, cells, found, repairs)
    _look_at_the_rest(plan, cells, repairs)
    return Rebuilt(rebuilt, answers, repairs)


def _read(submitted: pathlib.Path | bytes, repairs: list[str]) -> dict[str, Any]:
    if isinstance(submitted, pathlib.Path):
        try:
            if submitted.is_symlink() or not submitted.is_file():
                raise CourseError(f"{submitted.name} is not a file.")
            if submitted.stat().st_size > MAX_BYTES:
                repairs.append(f"The file is larger than {MAX_BYTES // 2**20} MB and was not read.")
                return {}
            submitted = submitted.read_bytes()
        except OSError as error:
            raise CourseError(f"{submitted.name} cannot be read: {error.strerror}.") from None
    text = _decode(submitted, repairs)
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        return _salvage(text, repairs)
    if not isinstance(notebook, dict):
        repairs.append("The file is not a notebook: no answer was found in it.")
        return {}
    return notebook


def _decode(data: bytes, repairs: list[str]) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        repairs.append("The file was in UTF-16 and has been read as such.")
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        repairs.append("The file holds bytes that are not UTF-8; they were replaced.")
        return data.decode("utf-8", "replace")


def _salvage(text: str, repairs: list[str]) -> dict[str, Any]:
    """The cells of a damaged file that are whole."""
    decoder, cells = json.JSONDecoder(strict=False), []
    for start in re.finditer(r'\{\s*"(?:cell_type|attachments|execution_count|id)"\s*:', text):
        try:
            cell, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if "cell_type" in cell:
            cells.append(cell)
        if len(cells) > 5000:
            break
    repairs.append(f"The file is damaged JSON: {len(cells)} whole cell(s) were recovered from it.")
    return {"cells": cells}


def _cells(notebook: dict[str, Any], repairs: list[str]) -> list[dict[str, Any]]:
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        repairs.append("The notebook is of an old format (version 3) and was read as such.")
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or []]
    if not isinstance(cells, list):
        return []
    return [cell for cell in cells if isinstance(cell, dict)]


def _kind(cell: dict[str, Any]) -> str:
    return str(cell.get("cell_type", ""))


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    text = (source if isinstance(source, str) else "").replace("\r\n", "\n")
    fence = re.fullmatch(r"\s*```(?:python|py)?\n(.*?)\n?```\s*", text, flags=re.DOTALL)
    return fence[1] if fence and _kind(cell) != "code" else text


def _grade_id(cell: dict[str, Any]) -> str:
    metadata = cell.get("metadata")
    ours = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = ours.get("grade_id") if isinstance(ours, dict) else None
    return name if isinstance(name, str) else ""


def _candidates(cells: list[dict[str, Any]], cell: PlanCell) -> list[dict[str, Any]]:
    """Cells with the id of an answer cell, or with its name in nbgrader's metadata."""
    return [c for c in cells if c.get("id") == cell.id or _grade_id(c) == cell.exercise]


def _choose(
    cell: PlanCell, found: list[dict[str, Any]], spare: list[dict[str, Any]], repairs: list[str]
) -> str:
    label = f"answer {cell.exercise!r}"
    retyped = [item for item in found if _kind(item) != "code"]
    if retyped:
        repairs.append(f"The cell of {label} was no code cell; its text was run as code.")
    if not found:
        found = [item for item in spare if _defined(_text(item)) & set(cell.defines)][:1]
        if not found:
            repairs.append(f"The cell of {label} is missing; it counts as not started.")
            return cell.source
        repairs.append(f"The cell of {label} had lost its id and was found by the name it defines.")
    texts = list(dict.fromkeys(_text(item) for item in found))
    worked = [text for text in texts if text.strip() and text.strip() != cell.source.strip()]
    if len(found) > 1:
        repairs.append(f"There were {len(found)} cells for {label}; {_which(cell, worked)}.")
    text = _one(cell, worked) if worked else texts[0]
    if len(text) > MAX_ANSWER:
        repairs.append(f"The text of {label} is longer than {MAX_ANSWER:,} characters: not run.")
        return cell.source
    return text


def _one(cell: PlanCell, worked: list[str]) -> str:
    joined = "\n".join(worked)
    if len(worked) > 1 and _is_split(cell, worked):
        return joined
    return next((text for text in worked if _defined(text) & set(cell.defines)), worked[0])


def _which(cell: PlanCell, worked: list[str]) -> str:
    if len(worked) > 1 and _is_split(cell, worked):
        return "they were joined"
    return "the first with an answer in it counts"


def _is_split(cell: PlanCell, worked: list[str]) -> bool:
    """Whether the parts belong together: one alone does not do what all of them do."""
    wanted = set(cell.defines)
    complete = [text for text in worked if _defined(text) & wanted]
    whole = _parses("\n".join(worked))
    return whole and (len(complete) < len(worked)) and not (len(complete) > 1)


@functools.lru_cache(4096)
def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(source: str) -> bool:
    return _tree(source) is not None


def _defined(source: str) -> set[str]:
    tree = _tree(source)
    names: set[str] = set()
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def imports(source: str) -> list[str]:
    """The modules that a source imports by their whole names, in its order."""
    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
    return list(names)


def _look_at_kernel(notebook: dict[str, Any], repairs: list[str]) -> None:
    metadata = notebook.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = spec.get("name") if isinstance(spec, dict) else None
    if notebook and name not in (None, "python3"):
        shown = re.sub(r"[^\w .-]", "?", str(name))[:40]
        repairs.append(f"The notebook asked for the kernel {shown!r}; it was run with Python 3.")


def _look_at_order(
    plan: Plan,
    cells: list[dict[str, Any]],
    found: dict[str, list[dict[str, Any]]],
    repairs: list[str],
) -> None:
    place = {id(cell): n for n, cell in enumerate(cells)}
    order = [place[id(found[c.exercise][0])] for c in plan.cells if found.get(c.exercise)]
    if order != sorted(order):
        repairs.append("Answer cells had been moved; they were run in the lab's order.")


def _look_at_the_rest(plan: Plan, cells: list[dict[str, Any]], repairs: list[str]) -> None:
    here = {str(cell.get("id")) for cell in cells} | {_grade_id(cell) for cell in cells}
    lost = [e.name for e in plan.exercises if f"{e.name}-check" not in here]
    if cells and lost:
        repairs.append(f"{len(lost)} check cell(s) had been removed; the lab's own were used.")
    known = {cell.id for cell in plan.cells}
    known |= {name for e in plan.exercises for name in (e.name, f"{e.name}-check")}
    texts = {cell.source.strip() for cell in plan.cells} | {""}
    names = {name for cell in plan.cells for name in cell.defines}
    own = [
        cell
        for cell in cells
        if _kind(cell) == "code"
        and not {str(cell.get("id")), _grade_id(cell)} & known
        and _text(cell).strip() not in texts
        and not _defined(_text(cell)) & names
    ]
    if own:
        repairs.append(
            f"{len(own)} code cell(s) outside of the answer cells were not run: whatever an "
            "answer needs stands in the answer's own cell."
        )
