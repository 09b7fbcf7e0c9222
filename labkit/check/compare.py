"""Comparisons that accept every correct answer and name the gap of a wrong one.

Row order, column order, the width of a type and the engine that made a table do not matter here.
Every function returns ``None`` when all is well, or what was *found* as one short text. A text
describes the learner's own values and the size of the gap; it never prints an expected value.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit.check.wire import Opaque

if TYPE_CHECKING:  # a table brings pyarrow along; a process that meets none never imports it
    import pyarrow as pa

#: What libraries call the one zone: DuckDB says Etc/UTC, ISO 8601 says +00:00.
UTC_NAMES = ("UTC", "Etc/UTC", "+00:00", "Z", "GMT", "Etc/GMT", "utc")


def as_table(value: Any) -> pa.Table | str:
    """``value`` as an Arrow table, or a text that says what was found in its place."""
    if _is_arrow(value, "Table"):
        return value
    import pyarrow as pa

    if type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "columns"):
        return pa.Table.from_pandas(value, preserve_index=False)
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        try:
            names = list(dict.fromkeys(name for row in value for name in row))
            return pa.table({name: [row.get(name) for row in value] for name in names})
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            return f"rows whose columns mix kinds of values ({str(error).splitlines()[0][:100]})"
    return found(value)


def _is_arrow(value: Any, name: str) -> bool:
    return type(value).__module__.split(".")[0] == "pyarrow" and type(value).__name__ == name


def found(value: Any) -> str:
    """A short text for a value of any kind."""
    if value is None:
        return "nothing (did the function return a value?)"
    if isinstance(value, Opaque):
        return str(value)
    if _is_arrow(value, "Table"):
        return f"a table of {value.num_rows} rows and {value.num_columns} columns"
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def kind(type_: pa.DataType) -> str:
    """The kind of an Arrow type, its width left out: integer, number, text, timestamp[UTC] …"""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return kind(type_.value_type)
    if pa.types.is_timestamp(type_):
        zone = "UTC" if type_.tz in UTC_NAMES else type_.tz
        return f"timestamp[{zone}]" if zone else "timestamp without zone"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {kind(type_.value_type)}"
    names = {
        "integer": pa.types.is_integer,
        "number": lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t),
        "text": lambda t: (
            pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)
        ),
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date,
        "empty": pa.types.is_null,
        "struct": pa.types.is_struct,
    }
    return next((name for name, matches in names.items() if matches(type_)), str(type_))


def schema_gap(got: Any, expected: dict[str, str]) -> str | None:
    """Compare column names and kinds; ``expected`` maps each column to its :func:`kind`."""
    table = got if _is_arrow(got, "Schema") else as_table(got)
    if isinstance(table, str):
        return table
    schema = table if _is_arrow(table, "Schema") else table.schema
    gap = _column_gap(schema.names, expected)
    if gap:
        return gap
    for name, wanted in expected.items():
        is_kind = kind(schema.field(name).type)
        if is_kind != wanted:
            return f"column {name} holds {is_kind}{_example(table, name)}"
    return None


def rows_gap(got: Any, expected: Any, *, key: Sequence[str] = (), tell: bool = True) -> str | None:
    """Compare two tables as multisets of rows, whatever their order.

    With ``key`` (columns that are unique in ``expected``) the text names the first row and
    column that differ; without it, how many rows are missing or too many. Unless ``tell``, no
    value of ``expected`` is named.
    """
    left, right = as_table(got), as_table(expected)
    if isinstance(left, str):
        return left
    gap = _column_gap(left.column_names, dict.fromkeys(right.column_names, ""))
    if gap:
        return gap
    names = right.column_names
    if left.select(names).equals(right):
        return None
    mine, asked = _rows(left, names), _rows(right, names)
    if Counter(mine) == Counter(asked):
        return None
    if key:
        return _keyed_gap(mine, asked, names, key, tell)
    return _bag_gap(mine, asked, names)


def plan_gap(plan: str, uses: Sequence[str], avoids: Sequence[str]) -> str | None:
    """Look for operators (or files, indexes, columns) in the text of an engine's query plan."""
    missing = [name for name in uses if name not in plan]
    if missing:
        return f"a plan without {_list(missing)}: {_squeeze(plan)}"
    unwanted = [name for name in avoids if name in plan]
    return f"a plan with {_list(unwanted)}: {_squeeze(plan)}" if unwanted else None


def equal(got: Any, expected: Any) -> bool:
    """Equality of plain values: exact in type family, floats to nine significant digits."""
    return _plain(got) == _plain(expected)


def _column_gap(names: Sequence[str], expected: dict[str, str]) -> str | None:
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing:
        return f"no column {_list(missing)}; the columns are {_list(names)}"
    if extra:
        return f"{len(extra)} column(s) that were not asked for: {_list(extra)}"
    return None


def _example(table: Any, name: str) -> str:
    if _is_arrow(table, "Schema"):
        return ""
    first = next((value for value in table[name].to_pylist() if value is not None), None)
    return "" if first is None else f", for example {_show(first)}"


def _rows(table: pa.Table, names: Sequence[str]) -> list[tuple]:
    columns = [[_plain(value) for value in table[name].to_pylist()] for name in names]
    return list(zip(*columns, strict=True)) if columns else []


def _plain(value: Any) -> Any:
    """One value in the form in which equal things are equal, and hashable."""
    match value:
        case bool():
            # True == 1 in Python; an answer of 1 is not an answer of True.
            return ("bool", value)
        case float() if math.isnan(value):
            return None
        case float():
            return int(value) if value.is_integer() else float(f"{value:.9g}")
        case dt.datetime() if value.tzinfo is not None:
            return ("instant", value.astimezone(dt.UTC).replace(tzinfo=None))
        case dict():
            return ("dict", frozenset((key, _plain(item)) for key, item in value.items()))
        case set():
            return ("set", frozenset(_plain(item) for item in value))
        case list() | tuple():
            return ("list", tuple(_plain(item) for item in value))
    return value


def _keyed_gap(
    mine: list[tuple], asked: list[tuple], names: Sequence[str], key: Sequence[str], tell: bool
) -> str:
    at = [names.index(name) for name in key]

    def label(row: tuple) -> str:
        return ", ".join(f"{name} {_show(row[i])}" for name, i in zip(key, at, strict=True))

    wanted = {tuple(row[i] for i in at): row for row in asked}
    seen: set[tuple] = set()
    for row in mine:
        row_key = tuple(row[i] for i in at)
        if row_key in seen:
            return f"more than one row for {label(row)}"
        seen.add(row_key)
        if row_key not in wanted:
            return f"a row that should not be there: {label(row)}"
        for name, value, other in zip(names, row, wanted[row_key], strict=True):
            if value != other:
                return f"column {name} holds {_show(value)} in the row with {label(row)}"
    lost = [row for row_key, row in wanted.items() if row_key not in seen]
    first = f", first {label(lost[0])}" if tell else ""
    return f"{len(lost)} row(s) missing{_shared_null(lost, names)}{first}"


def _bag_gap(mine: list[tuple], asked: list[tuple], names: Sequence[str]) -> str:
    lost = list((Counter(asked) - Counter(mine)).elements())
    extra = list((Counter(mine) - Counter(asked)).elements())
    if not lost:
        twice = Counter(mine)[extra[0]] > 1
        return f"{len(extra)} row(s) too many{', rows that occur twice' if twice else ''}"
    if not extra:
        return f"{len(lost)} row(s) missing{_shared_null(lost, names)}"
    row = ", ".join(f"{n}={_show(v)}" for n, v in zip(names, extra[0], strict=True))
    if len(mine) != len(asked):
        return f"{len(lost)} row(s) missing, and {len(extra)} that should not be there: {row[:200]}"
    return f"{len(extra)} of {len(mine)} rows differ, the first is {row[:200]}"


def _shared_null(rows: list[tuple], names: Sequence[str]) -> str:
    """The telling thing about lost rows is often that all lack the same value."""
    empty = [name for i, name in enumerate(names) if all(row[i] is None for row in rows)]
    return f", all of them with an empty {empty[0]}" if empty else ""


def _show(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case ("instant", moment):
            return f"{moment.isoformat()}Z"
        case ("bool" | "dict" | "set" | "list", inner):
            return repr(inner)
        case dt.date():
            return value.isoformat()
    return repr(value)


def _squeeze(plan: str) -> str:
    """A plan without its box drawing, on one line."""
    words = re.sub(r"[^\w.,:;=<>()'\"*/+-]+", " ", plan).split()
    return " ".join(words)[:200]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(str(name) for name in list(names)[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
