"""Mutants of SQL that stands in a string of an answer, parsed and written by sqlglot."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import sqlglot
from sqlglot import exp

#: What a text begins with that is SQL.
BEGINS = re.compile(r"\s*(with|select|insert|update|delete|merge)\s", re.IGNORECASE)
SWAPS: dict[type[exp.Expression], type[exp.Expression]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.And: exp.Or,
    exp.Or: exp.And,
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Div,
    exp.Div: exp.Mul,
    exp.Sum: exp.Avg,
    exp.Avg: exp.Sum,
    exp.Min: exp.Max,
    exp.Max: exp.Min,
}
String = cst.SimpleString | cst.FormattedString


def holds_sql(node: String) -> bool:
    """Whether a string of an answer is a query or a statement that changes rows."""
    return bool(BEGINS.match(_text(node)[0]))


def rendered(node: String, dialect: str) -> cst.BaseExpression | None:
    """The string with its SQL written anew, or None when it holds no SQL."""
    if not holds_sql(node):
        return None
    text, fields = _text(node)
    return _string(_parse(text, dialect), fields, dialect)


def mutants(node: String, dialect: str) -> Iterator[cst.BaseExpression]:
    """The string with one change in its SQL, for all changes. Raises ``ValueError``."""
    text, fields = _text(node)
    statements = _parse(text, dialect)
    for number, statement in enumerate(statements):
        for place, part in enumerate(statement.walk()):
            for change in range(len(list(_changes(part)))):
                changed = [tree.copy() for tree in statements]
                target = list(changed[number].walk())[place]
                new = list(_changes(target))[change]
                if target is changed[number]:
                    changed[number] = new
                elif new is None:
                    target.pop()
                else:
                    target.replace(new)
                yield _string(changed, fields, dialect)


def _changes(node: exp.Expression) -> Iterator[exp.Expression | None]:
    """What may stand in the place of a node; None: nothing."""
    if type(node) in SWAPS:
        yield SWAPS[type(node)](**{name: value for name, value in node.copy().args.items()})
    match node:
        case exp.And() | exp.Or():
            yield node.left.copy()
            yield node.right.copy()
        case exp.Where() | exp.Having() | exp.Qualify() | exp.Distinct():
            # COUNT(DISTINCT x) holds its argument in the node.
            if node.arg_key == "this" and isinstance(node, exp.Distinct):
                yield node.expressions[0].copy()
            else:
                yield None
        case exp.Literal() if node.is_string:
            yield exp.Literal.string(f"XX{node.this}XX")
        case exp.Literal() if re.fullmatch(r"\d+", node.this):
            yield exp.Literal.number(int(node.this) + 1)
            yield exp.Literal.number(max(int(node.this) - 1, 0))
        case exp.Join() if node.args.get("on") or node.args.get("using"):
            new = node.copy()
            new.set("side", None if node.side else "LEFT")
            new.set("kind", None)
            yield new
        case exp.Union():
            new = node.copy()
            new.set("distinct", not node.args.get("distinct"))
            yield new
        case exp.Ordered():
            new = node.copy()
            new.set("desc", not node.args.get("desc"))
            # Else the default place of nulls, which goes with the direction, is written out.
            new.set("nulls_first", None)
            yield new
        case exp.Coalesce() | exp.Cast() | exp.TryCast() | exp.Lower() | exp.Upper() | exp.Trim():
            yield node.this.copy()
        case exp.Not():
            yield node.this.copy()
        case exp.Is() if not isinstance(node.parent, exp.Not):
            yield exp.Not(this=node.copy())
        case exp.Window() if node.args.get("partition_by"):
            new = node.copy()
            new.set("partition_by", [])
            yield new


def _text(node: String) -> tuple[str, list[str]]:
    """The text with a name in the place of each field, and the code of the fields."""
    if isinstance(node, cst.SimpleString):
        value = node.evaluated_value
        return (value if isinstance(value, str) else ""), []
    text, fields = "", []
    for part in node.parts:
        if isinstance(part, cst.FormattedStringText):
            # As Python reads it: escapes, and doubled braces.
            raw = part.value.replace("{{", "{").replace("}}", "}")
            text += raw if "r" in node.prefix.lower() else _unescaped(raw)
        else:
            text += f"__field{len(fields)}__"
            fields.append(cst.Module([]).code_for_node(part))
    return text, fields


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text, flags=re.S
    )


def _parse(text: str, dialect: str) -> list[exp.Expression]:
    try:
        return [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        reason = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()[0]
        raise ValueError(f"SQL that cannot be read as {dialect}: {reason}") from None


def _string(trees: list[exp.Expression], fields: list[str], dialect: str) -> cst.BaseExpression:
    text = ";\n".join(tree.sql(dialect=dialect, pretty=True) for tree in trees)
    if not fields:
        return cst.SimpleString(repr(text))
    literal = repr(text.replace("{", "{{").replace("}", "}}"))
    for number, code in enumerate(fields):
        literal = literal.replace(f"__field{number}__", code)
    quote = '"""' if literal[0] == '"' else "'''"
    return cst.parse_expression(f"f{quote}{literal[1:-1]}{quote}")
