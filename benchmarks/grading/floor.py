"""The floor: the cells of submissions in forks of a warm interpreter, with nothing graded.

``python benchmarks/grading/floor.py LAB.py SUBMITTED [--checks]``: no sandbox, no judge, nothing
saved. With ``--checks`` the check cells and hidden tests run too, in the student's own process.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import sys

from grader.engine.child import make_shell
from grader.engine.forkserver import NEVER_WARM
from grader.engine.rebuild import make_plan, rebuild
from grader.engine.sandbox import Limits
from grader.source import read_source


def main(source: str, submitted: str, *options: str) -> None:
    """Run all submissions of a lab, one after the other."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    plan = make_plan(read_source(pathlib.Path(source)))
    shell = make_shell()
    for name in plan.imports:
        if name.split(".")[0] not in NEVER_WARM:
            importlib.import_module(name)
    checks = {e.name: (e.check, e.hidden) for e in plan.exercises} if options else {}
    limits = Limits(cell_seconds=120)
    for path in sorted(pathlib.Path(submitted).glob(f"*/*/{pathlib.Path(source).stem}.ipynb")):
        cells = rebuild(plan, json.loads(path.read_text(encoding="utf-8"))).cells
        child = os.fork()
        if child == 0:
            for cell in cells:
                for text in (cell.source, *checks.get(cell.exercise, ())):
                    shell.run(text, limits)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
