"""The learner's folder: student notebooks that are theirs to change, and the map of labs."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil

import nbformat
from ipykernel.ipkernel import IPythonKernel
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader.build import map_table, prepare_data, read_labs
from grader.reference import to_text
from grader.release import RELEASE, release
from grader.source import ROOT, LabSource
from labkit.progress import FILE

WORK = ROOT / "work"
MAP = WORK / "index.ipynb"
#: Hashes of the notebooks as they were handed out: tells the learner's changes from ours.
HANDED_OUT = ".handed-out.json"

WELCOME = """# The map of labs

Click a lab to open it. Run its cells one after the other with **Shift + Enter**. Each exercise has
a cell for your answer and, below it, a check that says *not started*, *not yet* or *done*.

Your answers stay in these notebooks. Nothing leaves this machine."""


def prepare_work(target: pathlib.Path = WORK) -> list[pathlib.Path]:
    """Bring ``work/`` up to date and return the notebooks left alone because they were changed.

    A notebook that the learner has not touched is replaced by the newest release; one that they
    have is theirs.
    """
    labs = read_labs()
    prepare_data(labs)
    target.mkdir(exist_ok=True)
    record = target / HANDED_OUT
    handed_out: dict[str, str] = json.loads(record.read_text()) if record.is_file() else {}
    kept = []
    for source in release():
        name = source.relative_to(RELEASE).as_posix()
        copy, new = target / name, _digest(source)
        if copy.is_file() and _digest(copy) not in (new, handed_out.get(name)):
            kept.append(copy)
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        handed_out[name] = new
    record.write_text(json.dumps(handed_out, indent=1, sort_keys=True))
    (target / FILE).touch()
    (target / MAP.name).write_text(_map(labs), encoding="utf-8")
    return kept


def _map(labs: list[LabSource]) -> str:
    table = map_table(labs, link="{name}.ipynb")
    cells = [
        new_markdown_cell(WELCOME, id="welcome"),
        new_markdown_cell(f"## Labs by chapter\n\n{table}", id="labs"),
        new_markdown_cell(
            "## Your progress\n\nRun this cell to see what you have done.", id="progress"
        ),
        new_code_cell("from labkit.progress import table\n\ntable()", id="progress-table"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    # JupyterLab would add the language, and count a map that was only opened as changed.
    language = IPythonKernel.language_info
    return to_text(
        new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": language})
    )


def _digest(path: pathlib.Path) -> str:
    # What JupyterLab changes by opening and running (outputs, counts, its metadata) is not theirs.
    cells = nbformat.read(path, as_version=4).cells
    return hashlib.sha256(json.dumps([[c.cell_type, c.source] for c in cells]).encode()).hexdigest()
