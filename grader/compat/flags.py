"""Signs that an answer forges its own grade; hints for a person, never a verdict.

Where tests run in the student's process no such list is complete: what is not flagged is not
thereby honest.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

#: Modules that an answer to an exercise hardly needs, and a forger does.
MODULES = {"builtins", "gc", "inspect", "ctypes", "IPython", "ipykernel", "sqlite3", "nbgrader"}
#: Attributes that reach the interpreter, the kernel, or the frames of the tests.
ATTRIBUTES = {
    *("_exit", "_getframe", "modules", "settrace", "setprofile", "excepthook", "currentframe"),
    *("f_globals", "f_locals", "f_back", "tb_frame", "__globals__", "__subclasses__"),
    *("__builtins__", "user_ns", "run_cell", "showtraceback", "displayhook", "meta_path"),
}
NAMES = {"__builtins__", "get_ipython", "globals", "__import__"}


def flags(notebook: Any, tests: Iterable[str]) -> list[str]:
    """What is suspicious in a submitted notebook's own code cells, a sentence each, sorted.

    ``tests`` are the sources of the released, locked cells, which tell what tests rely on.
    """
    relied = helpers(tests)
    found: set[str] = set()
    for number, cell in enumerate(notebook.cells, 1):
        told = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or told.get("locked") or _only_tests(told):
            continue
        name = told.get("grade_id") or f"number {number}"
        found |= {f"cell {name} {what}" for what in _signs(cell.source, relied)}
    return sorted(found)


def helpers(tests: Iterable[str]) -> set[str]:
    """Names that tests use and no answer should define: built-in ones and what they import."""
    found = set()
    for source in tests:
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.Name) and hasattr(builtins, node.id):
                found.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return found


def _only_tests(told: dict[str, Any]) -> bool:
    return bool(told.get("grade")) and not told.get("solution")


def _tree(source: str) -> ast.Module:
    """A cell as Python; one that is not is empty, and cannot run either."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _signs(source: str, relied: set[str]) -> Iterator[str]:
    tree = _tree(source)
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for top in {alias.name.partition(".")[0] for alias in names} & MODULES:
                    yield f"imports {top}"
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES and module != "IPython.display":
                    yield f"imports {module.partition('.')[0]}"
                for alias in names:
                    if alias.name in ATTRIBUTES:
                        yield f"uses {alias.name}"
                    # The very helper under its own name is what the tests import too.
                    if alias.asname and alias.asname != alias.name and alias.asname in relied:
                        yield f"redefines {alias.asname}, which tests use"
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name in relied:
                yield f"redefines {name}, which tests use"
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if name in relied:
                yield f"redefines {name}, which tests use"
            case ast.Name(id="get_ipython"):
                # Magics become this name too; only a written one counts.
                if re.search(r"\bget_ipython\b", source):
                    yield "uses get_ipython"
            case ast.Name(id=name) if name in NAMES:
                yield f"uses {name}"
            case ast.Attribute(value=ast.Name(id=owner), attr=attr, ctx=ast.Store()) if (
                owner in imported | relied
            ):
                yield f"changes {owner}.{attr}"
            case ast.Call(func=ast.Name(id="setattr"), args=[ast.Name(id=owner), *_]) if (
                owner in imported | relied
            ):
                yield f"changes {owner} by setattr"
            case ast.Constant(value=str(text)) if "NBGRADER_" in text:
                yield "asks whether it is graded"
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield f"uses {node.attr}"
        if isinstance(node, ast.FunctionDef) and node.name in ("__eq__", "__ne__"):
            yield f"defines {node.name}"
