"""Values as JSON and Arrow, the only two forms that may cross between an answer and its check.

Types are exact: a subclass of ``int`` that lies about equality is not an ``int`` here. What has
no plain form (a generator, a class of the learner's own) arrives as :class:`Opaque`, by name.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a table brings pyarrow along; a process that meets none never imports it
    import pyarrow as pa

#: No answer of this course is larger; a bigger one is a mistake (an unbounded loop, a cross join).
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Opaque:
    """A value without a plain form: what it was, for the message to the learner."""

    type_name: str
    why: str = ""

    def __str__(self) -> str:
        return f"{_article(self.type_name)}{': ' + self.why if self.why else ''}"


def encode(value: Any) -> bytes:
    """The JSON text of ``value``; tables ride in it as Arrow streams.

    Raises ``ValueError`` when the value is larger than :data:`MAX_BYTES`.
    """
    data = json.dumps(_pack(value), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        raise ValueError(f"the value is larger than {MAX_BYTES // 2**20} MB")
    return data


def decode(data: bytes) -> Any:
    """The plain value that :func:`encode` wrote."""
    return _unpack(json.loads(data.decode("utf-8", "surrogatepass")))


_PLAIN = (type(None), bool, int, str)
_ISO = {dt.datetime: "datetime", dt.date: "date", dt.time: "time"}
_SEQUENCES = {list: "list", tuple: "tuple", set: "set", frozenset: "set"}


def _pack(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"$": "float", "v": repr(value)}
    if value is ...:
        return {"$": "ellipsis"}
    if kind in _SEQUENCES:
        return {"$": _SEQUENCES[kind], "v": [_pack(item) for item in value]}
    if kind is dict:
        return {"$": "dict", "v": [[_pack(k), _pack(v)] for k, v in value.items()]}
    if kind in _ISO:
        return {"$": _ISO[kind], "v": value.isoformat()}
    if kind is decimal.Decimal:
        return {"$": "decimal", "v": str(value)}
    if kind in (bytes, bytearray):
        return {"$": "bytes", "v": base64.b64encode(value).decode()}
    if isinstance(value, pathlib.PurePath):
        return {"$": "path", "v": str(value)}
    return _pack_library_value(value)


def _pack_library_value(value: Any) -> Any:
    # By name, so that a process which never imported the library does not do so here.
    module, name = type(value).__module__.split(".")[0], type(value).__qualname__
    if module == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        item = value.item()
        return _opaque(value) if type(item) is type(value) else _pack(item)
    if module == "numpy" and name == "ndarray":
        return _pack(value.tolist())
    if module == "pandas" and name == "Timestamp":
        return _pack(value.to_pydatetime(warn=False))
    if module == "pandas" and name in ("NAType", "NaTType"):
        return None
    if module == "pandas" and name == "DataFrame":
        return _pack_table("pandas", lambda: _from_pandas(value))
    if module == "pandas" and name == "Series":
        return _pack_table("series", lambda: _from_pandas(value.to_frame(name="value")))
    if module == "pyarrow" and name == "Table":
        return _pack_table("arrow", lambda: value)
    if module == "pyarrow" and name == "Schema":
        return {"$": "schema", "v": base64.b64encode(value.serialize().to_pybytes()).decode()}
    if module == "duckdb" and name == "DuckDBPyRelation":
        return _pack_table("arrow", value.to_arrow_table)
    return _opaque(value)


def _from_pandas(frame: Any) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _pack_table(kind: str, to_arrow: Any) -> Any:
    import pyarrow as pa

    try:
        table = to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        why = f"a column that mixes kinds of values ({str(error).splitlines()[0][:120]})"
        return {"$": "opaque", "type": "table", "why": why}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {"$": kind, "v": base64.b64encode(sink.getvalue()).decode()}


def _opaque(value: Any) -> Any:
    return {"$": "opaque", "type": type(value).__name__, "why": ""}


def _unpack(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind, v = value["$"], value.get("v")
    match kind:
        case "float":
            return float(v)
        case "ellipsis":
            return ...
        case "list":
            return [_unpack(item) for item in v]
        case "tuple":
            return tuple(_unpack(item) for item in v)
        case "set":
            return {_unpack(item) for item in v}
        case "dict":
            return {_unpack(k): _unpack(item) for k, item in v}
        case "datetime" | "date" | "time":
            return getattr(dt, kind).fromisoformat(v)
        case "decimal":
            return decimal.Decimal(v)
        case "bytes":
            return base64.b64decode(v)
        case "path":
            return pathlib.Path(v)
        case "schema":
            return _read_schema(v)
        case "opaque":
            return Opaque(value["type"], value["why"])
        case "arrow":
            return _read_table(v)
        case "pandas":
            return _to_pandas(_read_table(v))
        case "series":
            return _to_pandas(_read_table(v))["value"]
    raise ValueError(f"unknown kind {kind!r} on the wire")


def _read_schema(text: str) -> pa.Schema:
    import pyarrow as pa

    return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))


def _read_table(text: str) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(base64.b64decode(text)).read_all()


def _to_pandas(table: pa.Table) -> Any:
    # Nullable integers stay integers: the check must see what the answer held, not a float.
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    frame = table.to_pandas()
    for field in table.schema:
        if field.type in nullable and table[field.name].null_count:
            frame[field.name] = table[field.name].to_pandas(types_mapper=nullable.get)
    return frame


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
