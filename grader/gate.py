"""What ``./course build`` refuses in a source beyond its form."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import re
from collections.abc import Iterator

from grader.engine.rebuild import imports, stub
from grader.source import CURRICULUM, ROOT, Cell, LabSource, SourceError
from labkit.layers import LAYERS

MAX_WORDS = 2200
#: A module's page that compares engines; ``benchmarks/engines`` writes it.
ENGINES = "engines.md"
#: Folders that tools leave, and git ignores.
CACHES = {".ipynb_checkpoints", ".ruff_cache", "__pycache__"}
#: Roles of cells that a learner reads or runs.
SHOWN = ("", "setup", "task", "answer", "check", "hint")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(<?([^)\s>]*)>?[^)]*\)")


def check_lab(lab: LabSource) -> None:
    """Refuse a lab with the first fault, naming file and line.

    Raises :class:`~grader.source.SourceError` for an empty cell, a stub that raises, a skipped
    heading level, an image without alternative text, a dead link, a helper between an answer and
    its check, a data set that the first cell does not name, a layer's module before ``open_lab``,
    or more than 2,200 words beside the hints.
    """
    prose = [cell for cell in lab.cells if cell.kind == "markdown" and cell.role in SHOWN]
    for cell in lab.cells:
        if not cell.source.strip():
            raise SourceError(lab.path, cell.line, f"an empty {cell.role or cell.kind} cell")
    for exercise in lab.exercises:
        _check_stub(lab, exercise.answer)
    _check_helpers(lab)
    _check_data(lab)
    _check_layers(lab)
    _check_headings(lab, prose)
    for cell in prose:
        _check_links(lab, cell)
    # Hints are folded, and read by those who need them.
    words = sum(len(_words(cell.source)) for cell in prose if cell.role != "hint")
    if words > MAX_WORDS:
        raise SourceError(lab.path, 1, f"{words} words of prose; a lab has at most {MAX_WORDS}")


def check_files(folder: pathlib.Path = CURRICULUM) -> None:
    """Refuse a file in the curriculum that is neither a source nor built from one."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.as_posix() in ("ruff.toml", "topics.csv") or path.name == ENGINES:
            continue
        if not path.is_file() or CACHES & {*inside.parts}:
            continue
        if len(inside.parts) == 2 and re.match(r"\d", inside.parts[0]):
            if re.fullmatch(r"\d\d-[a-z0-9-]+\.py", path.name) or path.name == "README.md":
                continue
            if path.suffix == ".ipynb" and path.with_suffix(".py").is_file():
                continue
        raise SourceError(path, 1, "a stray file: labs are curriculum/MODULE/NN-name.py")


def _check_stub(lab: LabSource, answer: Cell) -> None:
    try:
        tree = ast.parse(stub(answer.source))
    except SyntaxError as error:
        line = answer.line + (error.lineno or 1)
        message = f"the stub of {answer.exercise} is not Python ({error.msg}); give it a docstring"
        raise SourceError(lab.path, line, message) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.Assert):
            line = answer.line + node.lineno
            raise SourceError(lab.path, line, f"the stub of {answer.exercise} raises")


def _check_helpers(lab: LabSource) -> None:
    # A judge tries many answers after the cells that stand before them.
    waiting = ""
    for cell in lab.cells:
        if cell.role in ("answer", "check"):
            waiting = cell.exercise if cell.role == "answer" else ""
        elif waiting and cell.kind == "code" and not cell.role:
            message = (
                f"a helper between the answer of {waiting} and its check: put it before the task"
            )
            raise SourceError(lab.path, cell.line, message)


def _check_data(lab: LabSource) -> None:
    for cell in lab.cells:
        for name in re.findall(r"\bdataset\(\"([^\"]+)\"", cell.source):
            if cell.kind == "code" and name not in lab.datasets:
                message = f"the data set {name} is used; name it in datasets= of the first cell"
                raise SourceError(lab.path, cell.line, message)


def _check_layers(lab: LabSource) -> None:
    # A learner has no layer until open_lab has installed it.
    modules = _modules_of(lab.layers) if lab.layers else set()
    for cell in lab.cells:
        if cell.kind != "code" or cell.role not in ("", "setup"):
            continue
        for statement in ast.parse(cell.source).body:
            text = ast.unparse(statement)
            if "open_lab(" in text:
                return
            for name in imports(text):
                if name.partition(".")[0] in modules:
                    message = f"{name} is of a layer: import it below open_lab, which installs it"
                    raise SourceError(lab.path, cell.line + statement.lineno, message)


def _modules_of(layers: list[str]) -> set[str]:
    """The modules that come with these layers only, as far as they are installed."""
    packages = {name for layer in layers for name in _locked(layer)} - _locked("main")
    found = importlib.metadata.packages_distributions().items()
    return {LAYERS[name].module for name in layers} | {
        module for module, sources in found if packages.issuperset(map(_normal, sources))
    }


def _locked(layer: str) -> set[str]:
    text = (ROOT / "requirements" / f"{layer}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", text, re.MULTILINE))


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()  # PEP 503


def _check_headings(lab: LabSource, prose: list[Cell]) -> None:
    before = 0
    for cell in prose:
        for number, line in _lines(cell):
            if found := re.match(r"(#+) ", line):
                level = len(found[1])
                if level > before + 1 or (level == 1 and before):
                    message = f"a heading of level {level} after one of level {before}"
                    raise SourceError(lab.path, number, message)
                before = level


def _check_links(lab: LabSource, cell: Cell) -> None:
    for number, line in _lines(cell):
        for image in re.findall(r"<img\b[^>]*>", line):
            if not re.search(r"alt=['\"]\s*[^'\"\s]", image):
                raise SourceError(lab.path, number, "an image without alternative text (alt=)")
        for image, text, target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if image and not text.strip():
                raise SourceError(lab.path, number, "an image without alternative text")
            if not text.strip():
                raise SourceError(lab.path, number, f"a link without words to {target}")
            if fault := _dead(lab, target):
                raise SourceError(lab.path, number, fault)


def _dead(lab: LabSource, target: str) -> str:
    if re.match(r"[a-z]+:", target):
        return ""
    name, _, anchor = target.partition("#")
    path = (lab.path.parent / name).resolve() if name else lab.path
    if not path.is_relative_to(ROOT) and not path.is_relative_to(lab.path.parent):
        return f"a link to {target}, outside of the course"
    if not path.exists():
        return f"a link to {target}, which is not there"
    if anchor and not name and anchor not in _anchors(lab):
        return f"a link to {target}, but no heading has that name"
    return ""


def _anchors(lab: LabSource) -> set[str]:
    """The names that JupyterLab gives to headings: the text, with - for a space."""
    headings = [
        line.lstrip("# ").strip()
        for cell in lab.cells
        if cell.kind == "markdown" and cell.role in SHOWN
        for _, line in _lines(cell)
        if line.startswith("#")
    ]
    return {heading.replace(" ", "-") for heading in headings}


def _lines(cell: Cell) -> Iterator[tuple[int, str]]:
    """The lines of a cell outside of code blocks, with their numbers in the source."""
    fenced = False
    for number, line in enumerate(cell.source.splitlines(), cell.line + 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced:
            yield number, line


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_][\w'’.-]*", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
