"""Correct answers that make noise or come in a mangled file: all of them earn full marks."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Iterator

import pytest
from hostile.small import notebook, plan, reference
from test_grading import MANGLED

from grader.engine.grading import Grader

#: Put before a right answer in its own cell.
BEFORE = {
    "a warning": "import warnings; warnings.warn('careful')",
    "a warning that was made an error and back": (
        "import warnings; warnings.simplefilter('error'); warnings.simplefilter('default')"
    ),
    "text on standard error": "import sys; print('loud', file=sys.stderr)",
    "text on the raw standard error": "import os; os.write(2, b'loud\\n')",
    "logging": "import logging; logging.basicConfig(); logging.error('loud')",
    "a displayed number": "0",
    "a displayed text of failure": "'✗ not yet'",
    "a printed traceback": "import traceback\ntry: 1 / 0\nexcept Exception: traceback.print_exc()",
    "much output": "for _ in range(2000): print('x' * 100)",
    "control characters": "print('\\x1b[31m\\x00\\x07 red')",
    "lone surrogates": "print(repr('\\ud800'))",
    "HTML": "from IPython.display import HTML, display; display(HTML('<script>1</script>'))",
    "a figure": "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
    "a table": "import pandas as pd; pd.DataFrame({'a': [1]})",
    "a progress bar": "import sys\nfor n in range(50): sys.stderr.write(f'\\r{n} %')",
    "cleared output": "from IPython.display import clear_output; print(1); clear_output()",
    "a shell command": "!echo loud",
    "a magic": "%precision 3",
    "a timed cell": "%timeit -n 1 -r 1 pass",
    "another locale": "import locale; locale.setlocale(locale.LC_ALL, 'C')",
    "another time zone": "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
    "a changed folder": "import os; os.makedirs('deep', exist_ok=True); os.chdir('deep')",
    "files of its own": "open('notes.txt', 'w').write('mine')",
    "a thread": "import threading; threading.Thread(target=print).start()",
    "a thread that stays": (
        "import threading, time\n"
        "threading.Thread(target=lambda: time.sleep(60), daemon=True).start()"
    ),
    "a process": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1)'])",
    "an await": "import asyncio; await asyncio.sleep(0)",
    "a seeded generator": "import random; random.seed(1)",
    "pandas' options": "import pandas as pd; pd.set_option('display.max_rows', 3)",
    "pandas' text type": "import pandas as pd; pd.options.future.infer_string = False",
    "a low recursion limit": "import sys; sys.setrecursionlimit(400)",
    "the garbage collector off": "import gc; gc.disable()",
    "an own json": "import json as _json",
    "names that checks use": "answer = report = knots = group = plan = None",
    "an own lab": "kept, lab = lab, None",
    "an unused class": "class Report:\n    def __eq__(self, other): return True",
    "Unicode names": "größe = 1; 速度 = 2",
    "a comment with the marks": "# BEGIN HIDDEN TESTS\n# END HIDDEN TESTS",
    "an exception that was caught": "try: 1 / 0\nexcept ZeroDivisionError: pass",
    "a quiet exit handler": "import atexit; atexit.register(print)",
    "tabs and blank lines": "if True:\n\tpass\n\n\n",
    "a help text": "len?",
    "a semicolon": "1;",
    "an ignored interrupt": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "type hints": "from typing import Any\nspeed: Any = 1",
}
#: Put after it.
AFTER = {
    "an example of use": "print(wind_knots('KJFK 101551Z 19012KT 10SM'))",
    "a displayed result": "wind_knots('KJFK 101551Z 19012KT 10SM')",
    "a failing experiment": "1 / 0",
    "a decorator": "import functools\nwind_knots = functools.lru_cache(wind_knots)",
    "a callable object": (
        "class Knots:\n"
        "    def __init__(self, of): self.of = of\n"
        "    def __call__(self, report): return self.of(report)\n"
        "wind_knots = Knots(wind_knots)"
    ),
    "a partial": "import functools\nwind_knots = functools.partial(wind_knots)",
    "numpy's integers": (
        "import numpy as np\n"
        "plain = wind_knots\n"
        "def wind_knots(report):\n"
        "    speed = plain(report)\n"
        "    return None if speed is None else np.int64(speed)"
    ),
    "output at each call": (
        "quiet = wind_knots\n"
        "def wind_knots(report):\n"
        "    import sys, warnings\n"
        "    warnings.warn('slow'); print('called', file=sys.stderr)\n"
        "    return quiet(report)"
    ),
}


def edit(change: Callable[[dict], object]) -> Callable[[dict], dict]:
    def edited(nb: dict) -> dict:
        change(nb)
        return nb

    return edited


def each(nb: dict, **entries: object) -> None:
    for cell in nb["cells"]:
        cell.update(copy.deepcopy(entries))


#: Mangled files beyond those of test_grading.py.
FILES = {
    "Windows line ends": lambda nb: json.dumps(nb).replace("\\n", "\\r\\n").encode(),
    "strict ASCII": lambda nb: json.dumps(nb, ensure_ascii=True).encode(),
    "one long line": lambda nb: json.dumps(nb, separators=(",", ":")).encode(),
    "new ids": edit(lambda nb: [c.update(id=uuid.uuid4().hex[:8]) for c in nb["cells"]]),
    "format 4.4": edit(
        lambda nb: (nb.update(nbformat_minor=4), [c.pop("id") for c in nb["cells"]])
    ),
    "no format": edit(lambda nb: (nb.pop("nbformat"), nb.pop("nbformat_minor"))),
    "no metadata at all": edit(lambda nb: nb.pop("metadata")),
    "old outputs": edit(
        lambda nb: each(nb, outputs=[{"output_type": "stream", "name": "stdout", "text": "old"}])
    ),
    "an old error": edit(
        lambda nb: each(nb, outputs=[{"output_type": "error", "ename": "E", "evalue": "old"}])
    ),
    "execution counts": edit(lambda nb: each(nb, execution_count=99)),
    "cells locked": edit(lambda nb: [c["metadata"].update(editable=False) for c in nb["cells"]]),
    "tags": edit(lambda nb: [c["metadata"].update(tags=["skip-execution"]) for c in nb["cells"]]),
    "cells collapsed": edit(lambda nb: [c["metadata"].update(collapsed=True) for c in nb["cells"]]),
    "cells of another kind between": edit(
        lambda nb: nb["cells"].insert(0, {"cell_type": "raw", "source": "x", "metadata": {}})
    ),
    "helper cells between": edit(
        lambda nb: nb["cells"].insert(
            1, {"cell_type": "code", "source": "spare = 1", "metadata": {}, "outputs": []}
        )
    ),
    "attachments": edit(lambda nb: each(nb, attachments={"a.png": {"image/png": "AAAA"}})),
    "widgets' state": edit(lambda nb: nb["metadata"].update(widgets={"state": {"x": [1] * 1000}})),
}


def joined(answer: str) -> dict:
    return notebook({**reference(), "wind": answer})


CASES: dict[str, Callable[[], dict | bytes]] = {
    **{
        f"before: {n}": lambda c=c: joined(f"{c}\n{reference()['wind']}") for n, c in BEFORE.items()
    },
    **{f"after: {n}": lambda c=c: joined(f"{reference()['wind']}\n{c}") for n, c in AFTER.items()},
    **{f"file: {n}": lambda m=m: m(notebook(reference())) for n, m in FILES.items()},
    **{f"mangled: {n}": lambda m=m: m(notebook(reference())) for n, (m, _) in MANGLED.items()},
}


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(plan()) as made:
        yield made


def test_there_are_at_least_sixty_of_them():
    assert len(CASES) >= 60


def test_the_same_file_with_a_wrong_answer_loses_its_points(grader):
    wrong = {**reference(), "wind": "def wind_knots(report): return -1"}
    result = grader.grade(notebook(wrong))
    assert result.outcome("wind") == "not yet"
    assert result.points == result.maximum - 1


@pytest.mark.parametrize("name", CASES)
def test_noise_costs_nothing(grader, name):
    result = grader.grade(CASES[name]())
    assert result.points == result.maximum, [e.lines for e in result.exercises]
