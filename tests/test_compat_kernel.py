"""Plain ``nbgrader autograde`` runs a student's code in a sandbox, and scores it as before."""

from __future__ import annotations

import logging
import pathlib
import socket
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

from grader.compat.kernel import SandboxedExecute
from grader.engine.sandbox import FULL
from labkit.errors import CourseError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")


def run(folder: pathlib.Path, *cells: str, **traits: object) -> tuple[nbformat.NotebookNode, set]:
    """Execute cells as nbgrader does; returns the notebook and the layers that were active."""
    seen: set[str] = set()

    class Watched(SandboxedExecute):
        async def async_start_new_kernel(self, **kwargs: object) -> None:
            await super().async_start_new_kernel(**kwargs)
            seen.update(self.km.provisioner.layers)

        from nbclient.util import run_sync

        start_new_kernel = run_sync(async_start_new_kernel)

    notebook = new_notebook(cells=[new_code_cell(text) for text in cells])
    config = Config(Watched=dict(iopub_timeout=60, **traits))
    # A logger of its own, since an application of another test's may have taken the usual one.
    execute = Watched(config=config, log=logging.getLogger("compat"))
    execute.preprocess(notebook, {"metadata": {"path": str(folder)}})
    return notebook, seen


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell printed, or the name of its error."""
    return [
        "".join(o.get("text", o.get("ename", "")) for o in cell.outputs) for cell in notebook.cells
    ]


def test_a_kernel_sees_its_files_and_nothing_of_the_teacher(tmp_path):
    course = tmp_path / "course"
    work = course / "ps1"
    (work / "data").mkdir(parents=True)
    (course / "gradebook.db").write_text("a canary")
    (work / "data" / "numbers.csv").write_text("1,2")
    (work / "problem.ipynb").write_text("hidden tests")
    (work / "link").symlink_to(course / "gradebook.db")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), 2).close()
    notebook, layers = run(
        work,
        "print(open('data/numbers.csv').read(), end='')",
        f"open({str(course / 'gradebook.db')!r})",
        "open('problem.ipynb')",
        "open('link')",
        "open('own.txt', 'w').write('kept inside'); print(open('own.txt').read(), end='')",
        f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    )
    listener.close()
    absent = "FileNotFoundError"
    expected = ["1,2", absent, absent, absent, "kept inside", "ConnectionRefusedError"]
    assert texts(notebook) == expected
    assert not (work / "own.txt").exists()
    assert {"mount", "network", "pid", "limits", "no_new_privs", "seccomp"} <= layers


def test_the_control_reads_the_canary_without_the_sandbox(tmp_path):
    from nbgrader.preprocessors import Execute

    (tmp_path / "gradebook.db").write_text("a canary")
    code = f"print(open({str(tmp_path / 'gradebook.db')!r}).read(), end='')"
    notebook = new_notebook(cells=[new_code_cell(code)])
    Execute(iopub_timeout=60).preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    assert texts(notebook) == ["a canary"]


def test_a_cell_without_an_end_is_interrupted_and_the_next_one_runs(tmp_path):
    notebook, _ = run(tmp_path, "while True: pass", "print('after', end='')", timeout=2)
    assert texts(notebook) == ["KeyboardInterruptCellTimeoutError", "after"]


def test_a_layer_that_is_required_and_missing_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("grader.engine.sandbox.FULL", FULL | {"moat"})
    with pytest.raises(CourseError, match="lacks moat"):
        run(tmp_path, "1", require_full=True)


def test_a_missing_layer_is_said_aloud(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("grader.engine.sandbox.FULL", FULL | {"moat"})
    with caplog.at_level(logging.INFO, "compat"):
        run(tmp_path, "1")
    assert "lacks moat" in caplog.text
    assert "runs in a sandbox" in caplog.text
