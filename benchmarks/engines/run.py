"""The page that compares the engines, from their labs' own answers to the one question.

``./course exec python benchmarks/engines/run.py [NN-name ...]`` runs the reference notebook of each
lab of module 4.3 that calls ``engines.compare`` (or of the named ones), measures, and writes
``results.json`` here and ``curriculum/04-3-processing/engines.md``. Run it when nothing else runs.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
import tempfile
import time
from typing import Any

import jinja2
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from grader.memory import Peak
from grader.reference import LAB_SECONDS, make_reference
from grader.source import ROOT, LabSource, read_source, sources
from labkit.engines import DAYS, HASTE, PATIENCE, RECORD, events

MODULE = "04-3-processing"
RESULTS = pathlib.Path(__file__).with_name("results.json")
TEMPLATE = pathlib.Path(__file__).with_name("page.md.j2")
PAGE = ROOT / "curriculum" / MODULE / "engines.md"
#: What starts an engine in a lab.
STARTS = re.compile(r"\b(service|session)\(")
COMPARES = "engines.compare("


def measure(lab: LabSource) -> list[dict[str, Any]]:
    """One row for each engine of a lab: what its cells recorded, start in seconds, peak in MB."""
    notebook = make_reference(lab)
    rows: list[dict[str, Any]] = []
    start = 0.0
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        record = pathlib.Path(folder) / "record.jsonl"
        client = NotebookClient(
            notebook,
            timeout=4 * LAB_SECONDS,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
        with client.setup_kernel(env={**os.environ, RECORD: str(record)}):
            pid = client.km.provisioner.pid
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    continue
                compares = COMPARES in cell.source
                began = time.monotonic()
                with Peak(pid) as peak:
                    client.execute_cell(cell, index)
                if "open_lab(" in cell.source or (STARTS.search(cell.source) and not compares):
                    start += time.monotonic() - began
                if compares:
                    found = [json.loads(line) for line in record.read_text().splitlines()]
                    more = {"lab": lab.name, "title": lab.title, "start_seconds": round(start, 1)}
                    more |= {"peak_mb": round(peak.bytes / 1e6)}
                    rows += [row | more for row in found[len(rows) :]]
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The page: one row for each engine."""
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True)
    return template.render(
        rows=rows, count=len(events()), days=DAYS, patience=PATIENCE, haste=HASTE
    )


def main(names: list[str]) -> int:
    """Measure the named labs, or all that ask the one question; 1 if a lab fails."""
    labs = [read_source(path) for path in sources(MODULE)]
    asking = [lab for lab in labs if any(COMPARES in cell.source for cell in lab.cells)]
    short = {lab.name.rpartition("/")[2]: lab for lab in asking}
    if unknown := sorted({*names} - {*short}):
        print(f"{unknown[0]} asks no engine; there are {', '.join(short)}.", file=sys.stderr)
        return 2
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    chosen = {short[name].name for name in names} or {lab.name for lab in asking}
    rows = [row for row in before if row["lab"] not in chosen]
    for lab in asking:
        if lab.name not in chosen:
            continue
        print(f"{lab.name}: running", file=sys.stderr)
        try:
            rows += measure(lab)
        except CellExecutionError as error:
            print(f"{lab.name}: a cell fails:\n{error}", file=sys.stderr)
            return 1
    rows.sort(key=lambda row: row["lab"])
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
