"""What the graded notebook shows is what a real kernel shows, cell by cell.

May differ, and is left out below: folders, addresses in memory and names of cells in a message; the
order of standard output and standard error, which is chance in a kernel; and the score that a lab
prints at its end, for checks run elsewhere here.
"""

from __future__ import annotations

import dataclasses
import itertools
import re

import nbformat
import pytest
from hostile.small import lab, notebook, plan
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from grader.engine.grading import Grader
from grader.engine.rebuild import PlanCell
from grader.reference import VARIES, make_reference

CELLS = {
    "print": "print('a'); print('b', end=''); print('ü\\t€')",
    "result": "1 + 1",
    "none": "None",
    "assignment": "x = 5",
    "text": "'text'",
    "semicolon": "6 * 7;",
    "frame": "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
    "series": "pd.Series([1.5, 2.5], name='s')",
    "stderr": "import sys\nprint('to stderr', file=sys.stderr); print('to stdout')",
    "warning": "import warnings\nwarnings.warn('careful')",
    "error": "{}['missing']",
    "after the error": "print('still here')",
    "syntax error": "1 +",
    "display": "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'), 3)",
    "markdown": "from IPython.display import Markdown\nMarkdown('**m**')",
    "cleared": """
from IPython.display import clear_output
print('gone')
clear_output()
print('kept')
""",
    "await": "import asyncio\nawait asyncio.sleep(0, 'slept')",
    "shell": "!echo from a shell",
    "magic": "%%capture kept\nprint('captured')",
    "captured": "kept.stdout",
    "figure": """
import matplotlib.pyplot as plt
plt.figure(figsize=(2, 1))
plt.plot([1, 2, 1])
plt.show()
""",
    "open figure": "fig, axis = plt.subplots(figsize=(2, 1))\naxis.bar([1], [2]);",
    "thread": """
import threading
thread = threading.Thread(target=lambda: print('thread'))
thread.start()
thread.join()
""",
    "representation": """
class A:
    def _repr_html_(self):
        return '<i>a</i>'
    def __repr__(self):
        return 'A'
A()
""",
    "last result": "_",
    "long": "list(range(1200))",
}
#: Words of a path or of memory that no two runs share.
VARYING = re.compile(r"0x[0-9a-f]{6,}|/tmp/[^\s:]+(:\d+:)?|<ipython-input-[^>]+>(:\d+:)?|\d+\.py")


def simple(outputs: list) -> list[tuple]:
    """The outputs as plain values: a picture is only there or not, a traceback ends alike."""
    found = []
    for output in outputs:
        match output["output_type"]:
            case "stream":
                text = VARYING.sub("…", output["text"])
                if found and found[-1][:2] == ("stream", output["name"]):
                    text = found.pop()[2] + text
                found.append(("stream", output["name"], text))
            case "error":
                found.append(("error", output["ename"], VARYING.sub("…", output["evalue"])))
            case kind:
                data = {
                    mime: value if mime.startswith("text/") else "…"
                    for mime, value in output["data"].items()
                }
                data = {mime: VARYING.sub("…", "".join(v)) for mime, v in data.items()}
                found.append((kind, tuple(sorted(data.items()))))
    # Which of two streams in a row came first is chance in a kernel.
    runs = [list(run) for _, run in itertools.groupby(found, key=lambda output: output[0])]
    return [one for run in runs for one in (sorted(run) if run[0][0] == "stream" else run)]


@pytest.fixture(scope="module")
def both() -> dict[str, tuple[list, list]]:
    """By cell: the outputs of a real kernel, and ours."""
    sources = list(CELLS.values())
    written = new_notebook(cells=[new_code_cell(plan().setup), *map(new_code_cell, sources)])
    NotebookClient(
        written,
        allow_errors=True,
        extra_arguments=["--IPKernelApp.log_level=40"],
    ).execute()
    cells = (PlanCell("set-up", plan().setup),)
    cells += tuple(PlanCell(f"cell-{n}", source) for n, source in enumerate(sources))
    # An answer cell first: what fails before it counts as the lab's own fault.
    answer = next(cell for cell in plan().cells if cell.exercise)
    own = dataclasses.replace(plan(), cells=(cells[0], answer, *cells[1:]))
    with Grader(own) as grader:
        shown = grader.grade(notebook({})).cells
    return {
        name: (written.cells[n + 1].outputs, shown[f"cell-{n}"]["outputs"])
        for n, name in enumerate(CELLS)
    }


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_shows_what_it_shows_in_a_kernel(both, name):
    theirs, ours = both[name]
    assert simple(ours) == simple(theirs)


def test_a_lab_shows_what_its_reference_shows():
    reference = nbformat.read(lab().notebook, as_version=4)
    with Grader(lab()) as grader:
        result = grader.grade(nbformat.writes(make_reference(lab())).encode())
    assert result.points == result.maximum
    compared = 0
    for cell in reference.cells:
        varies = VARIES in cell.metadata.get("tags", []) or "lab.close()" in cell.source
        if cell.id in result.cells and not varies:
            ours = simple(result.cells[cell.id]["outputs"])
            assert ours == simple(cell.outputs), cell.source
            compared += bool(ours)
    assert compared >= 7
