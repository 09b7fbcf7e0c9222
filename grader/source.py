"""The source of a lab: one percent script, read into cells that know their role.

Only cell metadata is ours (design, section 3); jupytext does the reading.
"""

from __future__ import annotations

import ast
import builtins
import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import CourseError

ROOT = pathlib.Path(__file__).resolve().parent.parent
CURRICULUM = ROOT / "curriculum"

#: Roles by kind of cell; a cell without a role is prose or a worked example.
MARKDOWN_ROLES = ("task", "hint", "equivalent")
CODE_ROLES = ("setup", "answer", "check", "hidden", "right", "wrong")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HINT_LEVELS = 3


class SourceError(CourseError):
    """A mistake in a lab's source, with file and line."""

    def __init__(self, path: pathlib.Path, line: int, message: str) -> None:
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        super().__init__(f"{shown}:{line}: {message}")


@dataclass(frozen=True)
class Cell:
    """One cell of a source: its text, our metadata, and the line of its marker."""

    kind: str
    source: str
    meta: dict[str, Any]
    line: int

    @property
    def role(self) -> str:
        """The role, or an empty string for prose and worked examples."""
        return self.meta.get("role", "")

    @property
    def exercise(self) -> str:
        """The name of the exercise that the cell belongs to, or an empty string."""
        return self.meta.get("exercise", "")


@dataclass
class ExerciseSource:
    """All that stands in a source about one exercise."""

    name: str
    title: str
    points: int
    topics: list[str]
    section: str
    task: Cell
    answer: Cell
    check: Cell
    hidden: Cell
    right: list[Cell] = field(default_factory=list)
    wrong: list[Cell] = field(default_factory=list)
    #: Mutants of the answer that are as right as it is: their changed lines, with a reason.
    equivalent: list[Cell] = field(default_factory=list)


@dataclass
class LabSource:
    """A lab as its author wrote it."""

    path: pathlib.Path
    cells: list[Cell]
    title: str
    minutes: int
    datasets: list[str]
    systems: list[str]
    #: Layers of the environment that the lab's libraries come in.
    layers: list[str]
    #: Topics that a section teaches, by the section's heading.
    sections: dict[str, list[str]]
    exercises: list[ExerciseSource]

    @property
    def name(self) -> str:
        """The lab's id, for example ``04-1-ingestion/01-file-formats``."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def notebook(self) -> pathlib.Path:
        """Where the reference notebook lies."""
        return self.path.with_suffix(".ipynb")

    @property
    def points(self) -> int:
        """Points of all exercises."""
        return sum(exercise.points for exercise in self.exercises)


def sources(module: str = "") -> list[pathlib.Path]:
    """The sources of all labs, of a module or of one lab, in the guide's order.

    A name's number is enough: ``04-3`` is ``04-3-processing``, ``04-3/07`` its seventh lab, and
    ``04`` the modules of a chapter. Raises :class:`~labkit.errors.CourseError` where there is none.
    """
    found = sorted(CURRICULUM.glob("[0-9]*/[0-9]*.py"))
    chosen = [path for path in found if _is_named(_lab_name(path), module)]
    if not chosen:
        inside = [path for path in found if _is_named(_lab_name(path), module.partition("/")[0])]
        names = [path.stem for path in inside] or sorted({path.parent.name for path in found})
        raise CourseError(f"There is no module or lab {module!r}; there are {', '.join(names)}.")
    return chosen


def _is_named(lab: str, wanted: str) -> bool:
    names, parts = lab.split("/"), wanted.split("/") if wanted else []
    pairs = zip(names, parts, strict=False)
    return len(parts) <= len(names) and all(f"{name}-".startswith(f"{p}-") for name, p in pairs)


def read_source(path: pathlib.Path) -> LabSource:
    """Read and check one source. Raises :class:`SourceError` with file and line."""
    cells = _read_cells(path)
    head = cells[0]
    if head.kind != "markdown" or not head.source.startswith("# "):
        raise SourceError(path, head.line, "the first cell must be Markdown with the title (# ...)")
    for key, kind in {"minutes": int, "datasets": list, "systems": list}.items():
        if not isinstance(head.meta.get(key), kind):
            raise SourceError(path, head.line, f"the first cell needs {key}= ({kind.__name__})")
    if [cell.role for cell in cells].count("setup") != 1:
        raise SourceError(path, head.line, 'exactly one cell must have role="setup"')
    _check_code(path, cells)
    return LabSource(
        path=path,
        cells=cells,
        title=head.source.splitlines()[0].removeprefix("# ").strip(),
        minutes=head.meta["minutes"],
        datasets=head.meta["datasets"],
        systems=head.meta["systems"],
        layers=head.meta.get("layers", []),
        sections={h: c.meta["topics"] for c, h in _headings(cells) if c.meta.get("topics")},
        exercises=_exercises(path, cells),
    )


def _lab_name(path: pathlib.Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _read_cells(path: pathlib.Path) -> list[Cell]:
    # It takes seconds to import, and much here only needs a path.
    import jupytext

    text = path.read_text(encoding="utf-8")
    markers = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"# %%( |$)", line)]
    if not markers:
        raise SourceError(path, 1, 'no cell: a cell begins with a line "# %%"')
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except Exception as error:
        raise SourceError(path, 1, f"jupytext cannot read it: {error}") from None
    if len(notebook.cells) != len(markers):
        raise SourceError(path, 1, 'there is text before the first cell marker "# %%"')
    cells = []
    for cell, line in zip(notebook.cells, markers, strict=True):
        role = cell.metadata.get("role", "")
        known = MARKDOWN_ROLES if cell.cell_type == "markdown" else CODE_ROLES
        if role and role not in known:
            raise SourceError(path, line, f"a {cell.cell_type} cell cannot have role {role!r}")
        if role not in ("", "setup") and not cell.metadata.get("exercise"):
            raise SourceError(path, line, f'role "{role}" needs exercise="..."')
        cells.append(Cell(cell.cell_type, cell.source, dict(cell.metadata), line))
    return cells


def _check_code(path: pathlib.Path, cells: list[Cell]) -> None:
    allowed: set[str] = set()
    for cell in cells:
        if cell.kind != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError as error:
            line = cell.line + (error.lineno or 1)
            raise SourceError(path, line, f"this cell is not Python: {error.msg}") from None
        if cell.role == "setup":
            allowed = _bound(tree)
        if cell.role in ("check", "hidden"):
            _check_check(path, cell, tree, allowed)


def _check_check(path: pathlib.Path, cell: Cell, tree: ast.Module, allowed: set[str]) -> None:
    free = _loaded(tree) - _bound(tree) - allowed - set(dir(builtins))
    if free:
        # The check may run in a process that holds no object of the learner's.
        names = ", ".join(sorted(free))
        message = f"a check reaches the answer only through its handle, not by name: {names}"
        raise SourceError(path, cell.line, message)
    if not tree.body or not isinstance(tree.body[-1], ast.With):
        # nbgrader takes a displayed last value for the score.
        raise SourceError(path, cell.line, 'a check ends with its "with lab.check(...)" block')


def _bound(tree: ast.Module) -> set[str]:
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not _is_load(n)}
    names |= {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in _all_args(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            names |= {node.name} - {None}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def _loaded(tree: ast.Module) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_load(n)}


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _all_args(node: ast.arguments) -> list[ast.arg]:
    rest = [node.vararg, node.kwarg]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *(arg for arg in rest if arg)]


def _headings(cells: list[Cell]) -> list[tuple[Cell, str]]:
    """Each cell beside the last second-level heading at or before it."""
    section, rows = "", []
    for cell in cells:
        if cell.kind == "markdown":
            found = re.findall(r"^## +(.+)$", cell.source, flags=re.MULTILINE)
            section = found[-1].strip() if found else section
        rows.append((cell, section))
    return rows


def _exercises(path: pathlib.Path, cells: list[Cell]) -> list[ExerciseSource]:
    sections = dict(zip((c.line for c in cells), (s for _, s in _headings(cells)), strict=True))
    found = []
    for task in [cell for cell in cells if cell.role == "task"]:
        parts: dict[str, list[Cell]] = {role: [] for role in (*MARKDOWN_ROLES, *CODE_ROLES)}
        for cell in cells:
            if cell.exercise == task.exercise:
                parts[cell.role].append(cell)
        _check_parts(path, task, parts)
        title = task.source.splitlines()[0].removeprefix("### ").strip()
        found.append(
            ExerciseSource(
                name=task.exercise,
                title=title,
                points=task.meta["points"],
                topics=task.meta["topics"],
                section=f"section “{sections[task.line]}” of this lab",
                task=task,
                answer=parts["answer"][0],
                check=parts["check"][0],
                hidden=parts["hidden"][0],
                right=parts["right"],
                wrong=parts["wrong"],
                equivalent=parts["equivalent"],
            )
        )
    names = {exercise.name for exercise in found}
    for cell in cells:
        if cell.exercise and cell.exercise not in names:
            raise SourceError(path, cell.line, f"exercise {cell.exercise!r} has no task cell")
    return found


def _check_parts(path: pathlib.Path, task: Cell, parts: dict[str, list[Cell]]) -> None:
    name = task.exercise
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise SourceError(path, task.line, f"exercise {name!r}: use small letters, digits and -")
    if not task.source.startswith("### "):
        raise SourceError(path, task.line, f"the task of {name} must begin with ### and its title")
    if not isinstance(task.meta.get("points"), int) or not task.meta.get("topics"):
        raise SourceError(path, task.line, f"the task of {name} needs points= and topics=")
    for role, least in {
        "task": 1,
        "answer": 1,
        "check": 1,
        "hidden": 1,
        "hint": HINT_LEVELS,
        "right": 1,
        "wrong": 3,
    }.items():
        count = len(parts[role])
        if count < least or (role not in ("right", "wrong") and count > least):
            raise SourceError(
                path, task.line, f"exercise {name} has {count} {role} cell(s), needs {least}"
            )
    answer = parts["answer"][0]
    if answer.source.count(BEGIN) != 1 or answer.source.count(END) != 1:
        raise SourceError(path, answer.line, f"the answer of {name} needs one {BEGIN} … {END}")
    for cell in parts["equivalent"]:
        if not cell.meta.get("reason"):
            raise SourceError(path, cell.line, 'an equivalent mutant needs reason="..."')
    for cell in parts["wrong"]:
        if cell.meta.get("caught") not in ("check", "hidden") or not cell.meta.get("says"):
            raise SourceError(
                path, cell.line, 'a wrong answer needs caught="check" or "hidden", and says="..."'
            )
        if not cell.meta.get("misconception"):
            raise SourceError(path, cell.line, 'a wrong answer needs misconception="..."')
