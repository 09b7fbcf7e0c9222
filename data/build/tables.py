"""Arrow schemas from table schemas, and the hash that tells whether a built file is right."""

import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data.build import formats
from data.build.catalogue import Resource

RawTable = Callable[[str], pa.Table]

BLOCK = 50_000

TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


def arrow_schema(resource: Resource) -> pa.Schema:
    """Return the Arrow schema of a resource; fields of type ``object`` are left to the reader."""
    return pa.schema(
        [
            pa.field(
                field["name"],
                TYPES[field["type"]],
                nullable=not field.get("constraints", {}).get("required", False),
            )
            for field in resource["schema"]["fields"]
            if field["type"] in TYPES
        ]
    )


def read_table(resource: Resource, path: Path) -> pa.Table:
    """Read a file of the resource's format as a table with the resource's types.

    Raises ValueError, OSError or an error of the format's library when the file is broken.
    """
    return formats.READERS[resource["format"]](path, arrow_schema(resource))


def make(resource: Resource, out: Path, raw: RawTable) -> None:
    """Run the resource's generator: write its file to ``out``, from tables that ``raw`` returns."""
    module = Path(resource["generator"]).stem
    import_module(f"data.build.{module}").build(resource, out, raw)


def content(resource: Resource, path: Path) -> tuple[int, str]:
    """Return the number of rows and the content hash of a built file.

    The hash of a table does not depend on the file format or on the version of its writer; that
    of a zip is of the names and bytes of its files, its rows are their number; the hash of anything
    else is that of its bytes.
    """
    if resource["format"] == "zip":
        return _content_of_zip(path)
    if resource.get("type") != "table":
        payload = path.read_bytes()
        return payload.count(b"\n"), f"sha256:{sha256(payload).hexdigest()}"
    table = read_table(resource, path)
    digest = sha256()
    for block in canonical(resource, table):
        digest.update(block)
    return table.num_rows, f"sha256:{digest.hexdigest()}"


def _content_of_zip(path: Path) -> tuple[int, str]:
    digest = sha256()
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        for name in names:
            payload = archive.read(name)
            digest.update(f"{name}\x1f{len(payload)}\n".encode() + payload)
    return len(names), f"sha256:{digest.hexdigest()}"


def canonical(resource: Resource, table: pa.Table) -> Iterator[bytes]:
    """Yield a table as text: schema's columns, rows in the order of the key, null as nothing.

    U+001F stands between columns and a line feed ends a row; times are ISO 8601 in UTC, floats
    have six decimals.
    """
    schema = resource["schema"]
    ordered = table.sort_by([(column, "ascending") for column in schema["primaryKey"]])
    # In blocks: the text of a year of flights is four times its table.
    for start in range(0, ordered.num_rows, BLOCK):
        block = ordered.slice(start, BLOCK)
        texts = [_text(block[field["name"]]) for field in schema["fields"]]
        lines = pc.binary_join_element_wise(*texts, "\x1f").to_pylist()
        yield "".join(f"{line}\n" for line in lines).encode()


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        # Without the zone, which is UTC, no time zone database is needed.
        column = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%SZ")
    elif pa.types.is_floating(column.type):
        values = column.to_pylist()
        column = pa.chunked_array([[None if v is None else f"{v:.6f}" for v in values]])
    return column.cast(pa.string()).fill_null("")
