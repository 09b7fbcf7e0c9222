"""From a source to its reference notebook: nbgrader's cells, stable ids, kept outputs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from grader.memory import Peak
from grader.source import HINT_LEVELS, ROOT, Cell, ExerciseSource, LabSource, SourceError
from labkit.datasets import dataset
from labkit.errors import CourseError
from labkit.layers import LAYERS
from labkit.services import load

#: A cell with this tag shows times or sizes that differ from run to run.
VARIES = "nbval-ignore-output"
VARIES_NOTE = "This output differs from machine to machine: run the cell to see yours.\n"
#: What rich's bar of progress leaves in a notebook.
BARS = ("Output()", "")
#: Seconds that a lab may take while its reference notebook is made, and bytes of memory, of which
#: JupyterLab's server needs a part (a test measures it).
LAB_SECONDS, LAB_BYTES, JUPYTERLAB_BYTES = 90, int(1.8 * 2**30), 200 * 2**20


def make_reference(lab: LabSource) -> NotebookNode:
    """The reference notebook of a lab, not yet executed."""
    cells: list[NotebookNode] = []
    exercises = {exercise.name: exercise for exercise in lab.exercises}
    hints: dict[str, list[Cell]] = {}
    number = 0
    for index, cell in enumerate(lab.cells):
        exercise = exercises.get(cell.exercise)
        match cell.role:
            case "task":
                number += 1
                cells.append(_task(exercise, cell, number))
            case "answer":
                cells.append(_answer(cell))
            case "check":
                cells.append(_check(exercise))
            case "hint":
                hints.setdefault(cell.exercise, []).append(cell)
                if len(hints[cell.exercise]) == HINT_LEVELS:
                    cells.append(_hints(cell.exercise, hints[cell.exercise]))
            case "hidden" | "right" | "wrong" | "equivalent":
                pass
            case _:
                cells.append(_plain(lab, cell, is_head=index == 0))
    _set_ids(cells)
    return new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )


def execute(lab: LabSource, notebook: NotebookNode) -> NotebookNode:
    """Run a reference notebook and keep its outputs, normalised.

    Raises :class:`~grader.source.SourceError` for a cell that raises or writes to standard error
    (nbgrader gives such a check no points), and for a lab that takes over 90 s or 1.8 GiB.
    """
    for system in lab.systems:
        load(system)().fetch()  # a download shows its progress, which is no output of the lab
    kernel: list[Peak] = []
    with tempfile.TemporaryDirectory(prefix="lab-") as folder, contextlib.ExitStack() as measured:

        def watch(**_: Any) -> None:
            kernel.append(measured.enter_context(Peak(client.km.provisioner.pid)))

        client = NotebookClient(
            notebook,
            timeout=LAB_SECONDS,
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
            shutdown_kernel="immediate",
            on_notebook_start=watch,
            # Else each kernel warns on the terminal that its loopback ports are not encrypted.
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
        started = time.monotonic()
        try:
            client.execute(env={**os.environ, "PYTHONHASHSEED": "0"})
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            line = _failing_line(lab, notebook)
            text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            raise SourceError(lab.path, line, f"a cell of the reference fails:\n{text}") from None
        _check_cost(lab, time.monotonic() - started, kernel[0].bytes)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                _normalise(lab, cell, folder)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """The bytes-stable text of a notebook."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def _check_cost(lab: LabSource, seconds: float, peak: int) -> None:
    if seconds > LAB_SECONDS:
        message = f"the reference runs {seconds:.0f} s; a lab has {LAB_SECONDS} s"
        raise SourceError(lab.path, 1, message)
    if (needed := peak + JUPYTERLAB_BYTES) > LAB_BYTES:
        has = f"a lab has {LAB_BYTES / 2**30:.1f}"
        message = f"the reference needs {needed / 2**30:.2f} GiB with JupyterLab; {has}"
        raise SourceError(lab.path, 1, message)


def _plain(lab: LabSource, cell: Cell, *, is_head: bool) -> NotebookNode:
    if cell.kind == "markdown":
        text = cell.source + (f"\n\n{_head_table(lab)}" if is_head else "")
        return new_markdown_cell(text)
    return new_code_cell(cell.source, metadata=_tags(cell.meta.get("tags", [])))


def _head_table(lab: LabSource) -> str:
    topics = sorted(
        {topic for exercise in lab.exercises for topic in exercise.topics}
        | {topic for topics in lab.sections.values() for topic in topics}
    )
    rows = {
        "Time": f"{lab.minutes} minutes",
        "Points": f"{lab.points} in {len(lab.exercises)} exercises",
        "Topics of the guide": ", ".join(topics),
        "Systems": ", ".join(lab.systems) or "none: only Python libraries",
        **_layers(lab),
        "Data sets": ", ".join(_data(name) for name in lab.datasets) or "none",
    }
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    )


def _layers(lab: LabSource) -> dict[str, str]:
    """What a learner who has not installed them waits for."""
    sizes = [f"`{name}` ({LAYERS[name].size_mb} MB)" for name in lab.layers]
    return {"Installed on first use": ", ".join(sizes)} if sizes else {}


def _data(name: str) -> str:
    # A reader must know which values are nobody's.
    return f"{name} (generated)" if dataset(name).resource.get("generated") else name


def _task(exercise: ExerciseSource, cell: Cell, number: int) -> NotebookNode:
    _, _, body = cell.source.partition("\n")
    unit = "point" if exercise.points == 1 else "points"
    heading = f"### Exercise {number} · {exercise.title} · {exercise.points} {unit}"
    return _named(new_markdown_cell(f"{heading}\n{body}"), f"{exercise.name}-task")


def _answer(cell: Cell) -> NotebookNode:
    name = cell.exercise
    return _named(
        new_code_cell(cell.source, metadata=_nbgrader(name, solution=True)), f"{name}-answer"
    )


def _check(exercise: ExerciseSource) -> NotebookNode:
    hidden = f"### BEGIN HIDDEN TESTS\n{exercise.hidden.source}\n### END HIDDEN TESTS"
    metadata = _nbgrader(f"{exercise.name}-check", grade=True, points=exercise.points)
    # "Run all cells" goes on after a check that is not yet passed.
    metadata |= _tags(["raises-exception"])
    cell = new_code_cell(f"{exercise.check.source}\n{hidden}", metadata=metadata)
    return _named(cell, f"{exercise.name}-check")


def _hints(name: str, levels: list[Cell]) -> NotebookNode:
    folded = [
        f"<details><summary>Hint {n}</summary>\n\n{level.source}\n\n</details>"
        for n, level in enumerate(levels, 1)
    ]
    return _named(new_markdown_cell("\n\n".join(folded)), f"{name}-hints")


def _nbgrader(
    grade_id: str, *, solution: bool = False, grade: bool = False, points: int = 0
) -> dict[str, Any]:
    metadata = {
        "grade": grade,
        "grade_id": grade_id,
        "locked": grade,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return {"nbgrader": metadata | ({"points": points} if grade else {})}


def _tags(tags: list[str]) -> dict[str, Any]:
    return {"tags": tags} if tags else {}


def _named(cell: NotebookNode, cell_id: str) -> NotebookNode:
    cell["id"] = cell_id
    return cell


def _set_ids(cells: list[NotebookNode]) -> None:
    # An id from the content stays when cells around it come and go.
    taken = {cell["id"] for cell in cells}
    for cell in cells:
        if cell["id"].rpartition("-")[2] in ("task", "answer", "check", "hints"):
            continue
        digest = hashlib.sha256(cell.source.encode()).hexdigest()
        taken.discard(cell["id"])
        name = next(name for n in range(9) if (name := f"text-{digest[n : n + 8]}") not in taken)
        cell["id"] = name
        taken.add(name)


def _failing_line(lab: LabSource, notebook: NotebookNode) -> int:
    """The source line of the cell that raised, or that never finished."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed or cell.execution_count is None:
            return _line(lab, cell)
    return 1


def _line(lab: LabSource, cell: NotebookNode) -> int:
    """The line of the source at which a cell of the reference begins."""
    return next((c.line for c in lab.cells if c.source and c.source in cell.source), 1)


def _normalise(lab: LabSource, cell: NotebookNode, folder: str) -> None:
    cell.metadata.pop("execution", None)
    # The bar of a download, on first use, is gone from the screen when it ends, and leaves these.
    cell.outputs = [o for o in cell.outputs if o.get("data", {}).get("text/plain") not in BARS]
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            text = output.get("text") or output.get("evalue")
            message = f"this cell of the reference must not say: {text}"
            raise SourceError(lab.path, _line(lab, cell), message)
    if VARIES in cell.metadata.get("tags", []):
        cell.outputs = [new_output("stream", name="stdout", text=VARIES_NOTE)]
    for output in cell.outputs:
        if output.output_type == "stream":
            output.text = _stable(output.text, folder)
        for kind, data in output.get("data", {}).items():
            if isinstance(data, str) and kind.startswith("text/"):
                output["data"][kind] = _stable(data, folder)


def _stable(text: str, folder: str) -> str:
    """Leave out what differs from machine to machine: folders and memory addresses."""
    text = text.replace(folder, "~/work").replace(str(ROOT), "~/course")
    return re.sub(r"\b0x[0-9a-f]{6,}\b", "0x…", text)


def read_notebook(text: str) -> NotebookNode:
    """A notebook from its text. Raises :class:`~labkit.errors.CourseError` when it is none."""
    try:
        return nbformat.reads(text, as_version=4)
    except Exception as error:
        raise CourseError(f"This is not a notebook: {str(error).splitlines()[0][:120]}") from None
