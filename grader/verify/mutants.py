"""Mutants of a reference answer: small changes of meaning, of which the checks must see each one.

The operators for Python are those of mutmut, and some of ours for what data work gets wrong:
joins, filters, dropped calls. Strings that hold SQL have their own, in :mod:`grader.verify.sql`.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation import mutators

from grader.source import BEGIN, END
from grader.verify import sql

#: A call of one for a call of the other.
NEIGHBOURS = {
    "min": "max",
    "max": "min",
    "sum": "mean",
    "mean": "sum",
    "any": "all",
    "all": "any",
    "head": "tail",
    "tail": "head",
    "first": "last",
    "last": "first",
    "floor": "ceil",
    "ceil": "floor",
}
#: A string argument for another one.
CHOICES = {
    "inner": "left",
    "left": "inner",
    "right": "inner",
    "outer": "inner",
    "first": "last",
    "last": "first",
    "backward": "forward",
    "forward": "backward",
    "a": "w",
}


@dataclass(frozen=True)
class Mutant:
    """A changed answer, and the changed lines as ``- before`` and ``+ after``."""

    source: str
    diff: str


def mutants(answer: str, modules: Iterable[str] = (), dialect: str = "duckdb") -> list[Mutant]:
    """All mutants of an answer's solution, without repeats, in the order of its lines.

    ``modules`` are names of imported modules, which are no values. Raises ``ValueError`` for SQL
    that cannot be read in ``dialect``; with ``"none"`` SQL is a text like any other.
    """
    wrapper = MetadataWrapper(cst.parse_module(answer))
    places = wrapper.resolve(PositionProvider)
    parents = wrapper.resolve(ParentNodeProvider)
    first, last = _solution(answer)
    known = frozenset(modules) | _imported(wrapper.module)
    seen = {_meaning(answer)}
    found = []
    for node, place in places.items():
        if not first < place.start.line <= place.end.line < last or _idle(node, parents):
            continue
        for new in _changes(node, parents, known, dialect):
            source = wrapper.module.deep_replace(node, new).code
            meaning = _meaning(source)
            if meaning and meaning not in seen:
                seen.add(meaning)
                found.append(((place.start.line, place.start.column), source))
    return [Mutant(source, diff(answer, source)) for _, source in sorted(found, key=lambda f: f[0])]


def diff(before: str, after: str) -> str:
    """The lines that differ, stripped: what stays the same wherever the answer moves."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return "\n".join(f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "-+")


def plain_renderings(answer: str, dialect: str = "duckdb") -> list[str]:
    """The answer once for each SQL text in it, rendered anew without a change.

    What is not accepted in this form has no mutants that mean anything.
    """
    if dialect == "none":
        return []
    module = cst.parse_module(answer)
    texts = m.findall(module, m.SimpleString() | m.FormattedString())
    rendered = [(text, sql.rendered(text, dialect)) for text in texts]
    return [module.deep_replace(text, new).code for text, new in rendered if new is not None]


def _solution(answer: str) -> tuple[int, int]:
    """The lines of the solution's marks, counted from 1."""
    lines = [line.strip() for line in answer.splitlines()]
    return lines.index(BEGIN) + 1, lines.index(END) + 1


def _meaning(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return ""


def _imported(module: cst.Module) -> frozenset[str]:
    names = set()
    for node in m.findall(module, m.ImportAlias()):
        name = node.asname.name.value if node.asname else node.evaluated_name.split(".")[0]
        names.add(name)
    return frozenset(names)


def _idle(node: cst.CSTNode, parents: Any) -> bool:
    """Whether a node is prose: a docstring, an annotation, an import, the text of an error."""
    above = node
    while above is not None:
        if isinstance(above, cst.Annotation | cst.Import | cst.ImportFrom | cst.Raise):
            return True
        if isinstance(above, cst.Expr) and isinstance(above.value, cst.SimpleString):
            return True
        above = parents.get(above)
    return False


def _changes(
    node: cst.CSTNode, parents: Any, modules: frozenset[str], dialect: str
) -> Iterator[cst.CSTNode]:
    if (
        dialect != "none"
        and isinstance(node, cst.SimpleString | cst.FormattedString)
        and sql.holds_sql(node)
    ):
        yield from sql.mutants(node, dialect)
        return
    for kind, operator in OPERATORS:
        if isinstance(node, kind):
            yield from operator(node)
    if isinstance(node, cst.Call):
        yield from _dropped_call(node, modules)
    if isinstance(node, cst.Name | cst.SimpleString):
        yield from _neighbour(node, parents.get(node))


def _string(node: cst.SimpleString) -> Iterator[cst.CSTNode]:
    # Only the first of mutmut's three: capitals in a word are no misconception.
    yield from list(mutators.operator_string(node))[:1]


def _pattern(node: cst.SimpleString) -> Iterator[cst.CSTNode]:
    """A regular expression (a raw string) with one repetition, anchor or choice less."""
    if "r" not in node.prefix.lower():
        return
    text = node.raw_value
    for part in re.finditer(r"\\.|\[\^?\]?[^\]]*\]|\(\?[:=!<P]*|\{\d+,\d*\}|[?*+^$|]", text):
        less = {"?": "", "*": "", "+": "", "^": "", "$": "", "|": ""}.get(part[0])
        if part[0].startswith("{"):
            less = f"{part[0].partition(',')[0]}}}"
        if less is not None:
            changed = text[: part.start()] + less + text[part.end() :]
            yield node.with_changes(value=f"{node.prefix}{node.quote}{changed}{node.quote}")


def _one_less(node: cst.Integer) -> Iterator[cst.CSTNode]:
    yield cst.parse_expression(f"({node.evaluated_value - 1})")


def _dropped_call(node: cst.Call, modules: frozenset[str]) -> Iterator[cst.CSTNode]:
    match node.func:
        case cst.Attribute(value=cst.Name(value=name)) if name in modules:
            pass
        case cst.Attribute(value=value):
            yield value
            return
    if node.args and not node.args[0].star and node.args[0].keyword is None:
        yield _bracketed(node.args[0].value)


def _swapped_arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    plain = [arg for arg in node.args[:2] if not arg.star and arg.keyword is None]
    if len(plain) == 2:
        one, two = plain
        swapped = [one.with_changes(value=two.value), two.with_changes(value=one.value)]
        yield node.with_changes(args=[*swapped, *node.args[2:]])


def _dropped_filter(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    match node:
        case cst.CompFor(ifs=ifs) if ifs:
            yield node.with_changes(ifs=ifs[1:])
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=mask))]):
            if isinstance(mask, cst.Comparison | cst.BooleanOperation | cst.UnaryOperation) or (
                isinstance(mask, cst.BinaryOperation)
                and isinstance(mask.operator, cst.BitAnd | cst.BitOr)
            ):
                yield node.value


def _one_side(node: cst.BooleanOperation | cst.BinaryOperation) -> Iterator[cst.CSTNode]:
    if isinstance(node.operator, cst.And | cst.Or | cst.BitAnd | cst.BitOr):
        yield _bracketed(node.left)
        yield _bracketed(node.right)


def _decided(node: cst.If) -> Iterator[cst.CSTNode]:
    space = cst.SimpleWhitespace(" ")
    for word in ("True", "False"):
        yield node.with_changes(test=cst.Name(word), whitespace_before_test=space)


def _dropped_statement(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    match node.body:
        case [cst.Expr(value=cst.Call()) | cst.AugAssign() | cst.Del()]:
            yield node.with_changes(body=[cst.Pass()])
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Subscript() | cst.Attribute())])]:
            yield node.with_changes(body=[cst.Pass()])


def _neighbour(node: cst.Name | cst.SimpleString, parent: Any) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.SimpleString):
        if isinstance(parent, cst.Arg) and node.raw_value in CHOICES:
            yield cst.SimpleString(repr(CHOICES[node.raw_value]))
    elif node.value in NEIGHBOURS and isinstance(parent, cst.Attribute | cst.Call):
        yield node.with_changes(value=NEIGHBOURS[node.value])


def _bracketed(node: Any) -> Any:
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


#: Kinds of nodes, and what makes others of them.
OPERATORS: list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    (cst.BaseNumber, mutators.operator_number),
    (cst.Integer, _one_less),
    (cst.SimpleString, _string),
    (cst.SimpleString, _pattern),
    (cst.Name, mutators.operator_name),
    (cst.AugAssign, mutators.operator_augmented_assignment),
    (cst.UnaryOperation, mutators.operator_remove_unary_ops),
    (cst.Call, mutators.operator_arg_removal),
    (cst.Call, mutators.operator_symmetric_string_methods_swap),
    (cst.Call, mutators.operator_unsymmetrical_string_methods_swap),
    (cst.Call, _swapped_arguments),
    (cst.CSTNode, mutators.operator_keywords),
    (cst.CSTNode, mutators.operator_swap_op),
    (cst.Match, mutators.operator_match),
    (cst.IfExp, mutators.operator_if_exp),
    (cst.CompFor | cst.Subscript, _dropped_filter),
    (cst.BooleanOperation | cst.BinaryOperation, _one_side),
    (cst.If, _decided),
    (cst.SimpleStatementLine, _dropped_statement),
]
