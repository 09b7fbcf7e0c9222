"""What looks like forging is flagged in answers, and honest answers are not."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from grader.compat.flags import flags

TESTS = [
    "from numpy.testing import assert_equal\nimport numpy as np",
    "assert isinstance(double(2), int)\nassert_equal(double(2), np.abs(4))",
]


def found(source: str, **told: object) -> list[str]:
    metadata = {"nbgrader": {"grade_id": "a", "solution": True, **told}}
    notebook = new_notebook(cells=[new_code_cell(source, metadata=metadata)])
    return flags(notebook, TESTS)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def isinstance(*_): return True", "redefines isinstance"),
        ("assert_equal = print", "redefines assert_equal"),
        ("from os import getpid as assert_equal", "redefines assert_equal"),
        ("class int: pass", "redefines int"),
        ("np.abs = lambda x: 4", "changes np.abs"),
        ("import unittest\nunittest.TestCase = None", "changes unittest.TestCase"),
        ("import json\nsetattr(json, 'loads', None)", "changes json by setattr"),
        ("import builtins", "imports builtins"),
        ("__builtins__", "uses __builtins__"),
        ("from sys import modules", "uses modules"),
        ("import sys\nsys.modules['x'] = 1", "uses modules"),
        ("import sys\nsys._getframe()", "uses _getframe"),
        ("import gc", "imports gc"),
        ("from inspect import stack", "imports inspect"),
        ("get_ipython().run_cell('1')", "uses get_ipython"),
        ("from IPython.core.interactiveshell import InteractiveShell", "imports IPython"),
        ("class Yes:\n    def __eq__(self, other): return True", "defines __eq__"),
        ("import os\nos._exit(0)", "uses _exit"),
        ("import os\nos.environ.get('NBGRADER_EXECUTION')", "asks whether it is graded"),
    ],
)
def test_what_looks_like_forging_is_flagged(source, words):
    assert any(words in flag for flag in found(source)), found(source)


@pytest.mark.parametrize(
    "source",
    [
        "def double(x):\n    return 2 * x",
        "import numpy as np\nfrom numpy.testing import assert_equal\nresult = np.abs(3)",
        "%matplotlib inline\n!echo hello\nfiles = !ls\nprint(files)",
        "%%time\nx = 1",
        "from IPython.display import display\ndisplay(3)",
        "def broken(",
        "class Table:\n    def __len__(self): return 3\ntable = Table()\ntable.rows = 4",
    ],
)
def test_an_honest_answer_is_not_flagged(source):
    assert found(source) == []


def test_only_what_a_student_may_write_is_read():
    assert found("import gc", locked=True) == []
    assert found("import gc", solution=False, grade=True) == []
    bare = new_notebook(cells=[new_code_cell("import gc")])
    assert flags(bare, TESTS) == ["cell number 1 imports gc"]
