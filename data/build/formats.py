"""Readers and writers of the file formats: each reader returns a table of the schema it is given.

Every writer gives the same bytes for the same table and the same library version. Libraries that
only one format needs are imported where it is read or written.
"""

import csv
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any

import pyarrow as pa

NAMESPACE = "urn:nyc-airline-2013:flights"
ATTRIBUTES = ("carrier", "flight", "origin", "time_hour")


def rows_as_text(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows as dicts, with times as ISO 8601 in UTC."""
    for row in table.to_pylist():
        yield {
            k: f"{v:%Y-%m-%dT%H:%M:%SZ}" if isinstance(v, datetime) else v for k, v in row.items()
        }


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a CSV file, alone or the only file of a zip; empty and NA are null."""
    from pyarrow import csv as arrow_csv

    payload = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            payload = archive.read(archive.namelist()[0])
    options = arrow_csv.ConvertOptions(
        column_types=schema, null_values=["", "NA"], strings_can_be_null=True
    )
    return arrow_csv.read_csv(pa.BufferReader(payload), convert_options=options).cast(schema)


def write_csv(table: pa.Table, path: Path) -> None:
    """Write CSV as the published files have it: LF at the end of a line, NA for null."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table.column_names, lineterminator="\n")
        writer.writeheader()
        for row in rows_as_text(table):
            writer.writerow({k: "NA" if v is None else v for k, v in row.items()})


def read_jsonl(path: Path, schema: pa.Schema) -> pa.Table:
    """Read JSON lines; keys that the schema does not name become nested columns of their own."""
    from pyarrow import json as arrow_json

    options = arrow_json.ParseOptions(explicit_schema=schema)
    table = arrow_json.read_json(path, parse_options=options)
    nested = [field for field in table.schema if field.name not in schema.names]
    full = pa.schema([*schema, *nested])
    return table.select(full.names).cast(full)


def write_jsonl(table: pa.Table, path: Path) -> None:
    """Write one JSON object a line, null as null."""
    write_json_lines(rows_as_text(table), path)


def write_json_lines(objects: Iterator[dict[str, Any]], path: Path) -> None:
    """Write objects as JSON lines in UTF-8, without escapes, keys in their order."""
    lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in objects)
    path.write_bytes("".join(lines).encode())


def read_xml(path: Path, schema: pa.Schema) -> pa.Table:
    """Read the XML that write_xml writes; an absent element is null."""
    from lxml import etree

    rows = []
    for flight in etree.parse(path).getroot().iterfind(f"{{{NAMESPACE}}}flight"):
        row = dict(flight.attrib)
        row |= {etree.QName(child).localname: child.text for child in flight}
        rows.append(row)
    text = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in schema.names]))
    return text.cast(schema)


def write_xml(table: pa.Table, path: Path) -> None:
    """Write one element a flight: the key in attributes, the rest in elements, nulls left out."""
    from lxml import etree

    root = etree.Element(f"{{{NAMESPACE}}}flights", nsmap={None: NAMESPACE})
    for row in rows_as_text(table):
        keys = {name: str(row.pop(name)) for name in ATTRIBUTES}
        flight = etree.SubElement(root, f"{{{NAMESPACE}}}flight", keys)
        for name, value in row.items():
            if value is not None:
                etree.SubElement(flight, f"{{{NAMESPACE}}}{name}").text = str(value)
    etree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True, pretty_print=True)


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """Read Parquet."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.read().cast(schema)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write Parquet, compressed with zstd."""
    from pyarrow import parquet

    parquet.write_table(table, path, compression="zstd")


def read_avro(path: Path, schema: pa.Schema) -> pa.Table:
    """Read an Avro container file."""
    import fastavro

    with path.open("rb") as file:
        return pa.Table.from_pylist(list(fastavro.reader(file)), schema)


def write_avro(table: pa.Table, path: Path) -> None:
    """Write an Avro container file; columns that may be null are unions."""
    import fastavro

    # The marker between blocks is random by default.
    marker = md5(NAMESPACE.encode(), usedforsecurity=False).digest()
    schema = {
        "type": "record",
        "name": "Flight",
        "namespace": "nyc_airline_2013",
        "fields": [_avro_field(field) for field in table.schema],
    }
    with path.open("wb") as file:
        fastavro.writer(file, schema, table.to_pylist(), codec="deflate", sync_marker=marker)


def _avro_field(field: pa.Field) -> dict[str, Any]:
    if pa.types.is_timestamp(field.type):
        kind: Any = {"type": "long", "logicalType": "timestamp-micros"}
    else:
        kind = "long" if pa.types.is_integer(field.type) else "string"
    return {"name": field.name, "type": ["null", kind] if field.nullable else kind}


def read_orc(path: Path, schema: pa.Schema) -> pa.Table:
    """Read ORC."""
    from pyarrow import orc

    return orc.read_table(path).cast(schema)


def write_orc(table: pa.Table, path: Path) -> None:
    """Write ORC, compressed with zstd."""
    from pyarrow import orc

    orc.write_table(table, path, compression="zstd")


def csv_file(rows: Iterable[dict[str, Any]], columns: list[str]) -> bytes:
    """Return a CSV file of these columns: what a row lacks is empty, the rest left out."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def riff_chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk of RIFF (WAV, AVI): name, length, body, filled to an even length."""
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def write_zip(files: Iterable[tuple[str, bytes]], path: Path) -> None:
    """Write files as a zip, sorted by name, undated, not compressed: media are already."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, payload in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), payload)


READERS = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "xml": read_xml,
    "parquet": read_parquet,
    "avro": read_avro,
    "orc": read_orc,
}
WRITERS = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "xml": write_xml,
    "parquet": write_parquet,
    "avro": write_avro,
    "orc": write_orc,
}
