"""The real flights of the day the clocks go back, in six file formats."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data.build.catalogue import Resource
from data.build.formats import WRITERS
from data.build.tables import RawTable


def flights_on(flights: pa.Table, month: int, day: int) -> pa.Table:
    """Return the flights of one local day of 2013."""
    return flights.filter((pc.field("month") == month) & (pc.field("day") == day))


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the flights of 2013-11-03 in the format of the resource."""
    key = [(column, "ascending") for column in resource["schema"]["primaryKey"]]
    day = flights_on(raw("flights-raw"), month=11, day=3).sort_by(key).combine_chunks()
    WRITERS[resource["format"]](day, out)
