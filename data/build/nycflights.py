"""The five published tables with types, sorted by their keys, as Parquet."""

from pathlib import Path

from data.build.catalogue import Resource
from data.build.formats import write_parquet
from data.build.tables import RawTable


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the typed form of the raw set of the same name."""
    key = [(column, "ascending") for column in resource["schema"]["primaryKey"]]
    write_parquet(raw(f"{resource['name']}-raw").sort_by(key), out)
