"""Checks that go on after a comparison that fails, and say which lines failed.

``./course verify`` has them run in the place of a lab's own: from the lines that a wrong answer
fails follows which lines are idle, and from the compared values whether a message tells the answer.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from labkit.check import Check, NotYet
from labkit.check.compare import as_table

COMPARISONS = ("true", "equal", "schema", "same_rows", "plan", "idempotent")
_IMPORT = "from grader.verify.watch import attempt as _attempt, watched as _watched\n"
_MARK = "lines that fail: "
#: More of them would not fit into a line of a verdict.
MAX_LEAKS = 3


@dataclass(frozen=True)
class Seen:
    """The lines of a check cell that an answer failed, and expected values that it was told."""

    lines: frozenset[int]
    leaks: tuple[str, ...] = ()


def comparisons(source: str) -> dict[int, str]:
    """The comparisons of a check cell: number of the first line, and the beginning of the text."""
    return {
        node.lineno: " ".join((ast.get_source_segment(source, node) or "").split())[:100]
        for node in ast.walk(ast.parse(source))
        if _compares(node)
    }


def watching(source: str, public: str) -> str:
    """A check cell, made to go on and to tell; ``public`` is what the learner can read anyway."""
    tree = _Watching(sorted(_plain_words(public))).visit(ast.parse(source))
    return _IMPORT + ast.unparse(ast.fix_missing_locations(tree))


def seen(lines: list[str]) -> Seen | None:
    """What a verdict of a watching check tells, or None: it ended elsewhere, or is done."""
    for line in lines:
        if _MARK in line:
            with contextlib.suppress(ValueError):
                failed, leaks = json.loads(line.partition(_MARK)[2])
                return Seen(frozenset(failed), tuple(leaks))
    return None


def _compares(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in COMPARISONS
        and isinstance(node.value.func.value, ast.Name)
    )


class _Watching(ast.NodeTransformer):
    def __init__(self, public: list[str]) -> None:
        self._public = public

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not _compares(node):
            return node
        call = _call("_attempt", ast.Constant(node.lineno))
        return ast.With(items=[ast.withitem(call)], body=[node])

    def visit_With(self, node: ast.With) -> ast.AST:
        self.generic_visit(node)
        for item in node.items:
            if (
                isinstance(item.context_expr, ast.Call)
                and isinstance(item.context_expr.func, ast.Attribute)
                and item.context_expr.func.attr == "check"
            ):
                public = ast.Constant(" ".join(self._public))
                item.context_expr = _call("_watched", item.context_expr, public)
        return node


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(name, ast.Load()), args=[*arguments], keywords=[])


class Watched:
    """A check whose comparisons are remembered."""

    def __init__(self, check: Check, public: str) -> None:
        self._check = check
        self.failed: set[int] = set()
        self.leaks: set[str] = set()
        self.compared: tuple[Any, Any, set[str]] = (None, None, set())
        self.tables = False
        #: What an answer was given, and what stands in the task: a message may name it.
        self._given = set(public.split())

    def __enter__(self) -> Watched:
        global _current
        _current = self
        self._check.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        if error is not None or not self.failed:
            self._check.__exit__(kind, error, frames)
            return
        told = json.dumps([sorted(self.failed), sorted(self.leaks)[:MAX_LEAKS]])
        told = NotYet(self._check._exercise, "every line", _MARK + told, hidden=False)
        self._check.__exit__(NotYet, told, None)
        raise told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._check, name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`labkit.check.Check.call`."""
        self._given |= _words([args, kwargs])
        return self._check.call(name, *args, **kwargs)

    def put(self, name: str, data: bytes | str) -> str:
        """As :meth:`labkit.check.Check.put`."""
        if isinstance(data, str):
            self._given |= _plain_words(data)
        return self._check.put(name, data)

    def equal(self, got: Any, expected: Any, **how: Any) -> None:
        """As :meth:`labkit.check.Check.equal`."""
        self.compared, self.tables = (got, expected, set()), False
        self._check.equal(got, expected, **how)

    def same_rows(self, got: Any, expected: Any, **how: Any) -> None:
        """As :meth:`labkit.check.Check.same_rows`."""
        # The key tells which row is meant.
        self.compared, self.tables = (got, expected, {*how.get("key", ())}), True
        self._check.same_rows(got, expected, **how)

    def look_for_leaks(self, told: list[str]) -> None:
        """Note the expected values that these lines tell and that the answer did not hold."""
        got, expected, keys = self.compared
        secret = _words(expected, without=keys) - _words(got) - self._given
        told = _plain_words("\n".join(told))
        self.leaks |= {word for word in secret if len(word) > 2 and word in told}


_current: Watched


def watched(check: Check, public: str) -> Watched:
    """The check, watched."""
    return Watched(check, public)


@contextlib.contextmanager
def attempt(line: int) -> Iterator[None]:
    """Note the line of a comparison that fails, and go on."""
    _current.compared = (None, None, set())
    try:
        yield
    except NotYet as verdict:
        _current.failed.add(line)
        # What was asked and found; the words about tables that differ are labkit's own.
        _current.look_for_leaks(verdict.lines[1 : 2 if _current.tables else 3])


def _plain_words(text: str) -> set[str]:
    return {word.strip(".:") for word in re.split(r"[^\w.:+-]+", text)}


def _words(value: Any, without: set[str] = frozenset()) -> set[str]:
    """Numbers and texts within a value, as they would be printed; not words like None or True."""
    table = as_table(value) if _is_table(value) else None
    if table is not None and not isinstance(table, str):
        value = [table[name].to_pylist() for name in table.column_names if name not in without]
    match value:
        case None | bool():
            return set()
        case dict():
            pairs = [
                part for key, item in value.items() if key not in without for part in (key, item)
            ]
            return _words(pairs)
        case list() | tuple() | set():
            return {word for item in value for word in _words(item, without)}
    return {str(value)}


def _is_table(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("pandas", "pyarrow")
