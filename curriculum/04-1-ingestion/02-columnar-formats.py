# %% [markdown] minutes=60 datasets=["flights", "flights-day-csv", "flights-day-avro", "flights-day-parquet"] systems=[]
# # Formats with a schema
#
# The ground handler changed its program in June, a query costs more than the report is worth, and half a
# file landed as a whole one. You read old and new together, say what a query costs, and land a delivery whole or not at all.

# %% [markdown]
# ## You will be able to
#
# - read old and new files together after a schema change (exercise 1)
# - say how many bytes a query has to read before you run it (exercise 2)
# - choose a format by measuring it (exercise 3)
# - refuse a damaged delivery and survive a repeated one (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Sources and file formats* | what a CSV file forgets |
# | Python: dictionaries, files, `pathlib` | every answer is a function of these |
#
# Flights are real, the ground handler's events invented.

# %% role="setup"
import hashlib
import io
from pathlib import Path
from time import perf_counter

import fastavro
import matplotlib.pyplot as plt
import pandas as pd
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

from labkit import dataset, open_lab, picture

lab = open_lab("04-1-ingestion/02-columnar-formats")
lab

# %% [markdown] topics=["4.1-8"]
# ## Who remembers the types?
#
# A text file has no types: in the lab before, you stated them for each column. Here is that reader, for what follows, and what a CSV file
# and a Parquet file of the same day say of themselves.


# %%
def read_departures(path):
    """Departures of a CSV file, with their types stated."""
    kinds = dict.fromkeys(["carrier", "origin", "dest", "tailnum"], "string")
    kinds |= {"flight": "Int64", "dep_time": "Int64"}
    columns = [*kinds, "time_hour"]
    unknown = {"tailnum": ["NA"], "dep_time": ["NA"]}
    options = {"dtype": kinds, "keep_default_na": False, "na_values": unknown}
    frame = pd.read_csv(path, usecols=columns, **options)
    return frame.assign(time_hour=pd.to_datetime(frame["time_hour"], utc=True))


for name in ("dep_time", "time_hour"):
    guessed = pd.read_csv(dataset("flights-day-csv").path)[name].dtype
    kept = pq.read_schema(dataset("flights-day-parquet").path).field(name).type
    print(f"{name:<10} CSV, as pandas guesses: {guessed}; Parquet: {kept}")

# %% [markdown] topics=["4.1-8"]
# ## Formats that carry their schema
#
# Avro, Parquet and ORC store names and types beside the values: nobody guesses. Avro keeps whole
# records together, so it suits messages. Parquet and ORC keep columns together, so they suit
# queries. What each format keeps of a flight:
#
# | | types | null | time zone | nesting | layout |
# |---|---|---|---|---|---|
# | CSV | no | no | no | no | rows of text |
# | JSON | some | yes | no | yes | rows of text |
# | XML | no | absent element | no | yes | a tree of text |
# | Avro | yes | yes | instants in UTC | yes | rows |
# | Parquet, ORC | yes | yes | instants in UTC | yes | columns |
#
# An Avro file holds the schema of its *writer*. You bring the schema you want, the *reader's*, and
# Avro resolves the two by rules: a new field needs a default, a renamed field an alias, and a
# number may only grow wider (int, long, float, double).

# %%
with dataset("flights-day-avro").path.open("rb") as file:
    written = fastavro.reader(file).writer_schema
for field in written["fields"][:5]:
    print(field["name"], field["type"])

# %% [markdown]
# The ground handler sends gate events in Avro. Since June, a new version of its program writes
# them. Both files wait in your landing folder.

# %%
OLD = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tailnum", "type": ["null", "string"]},
        {"name": "bags", "type": "int"},
        {"name": "fuel", "type": "int"},
    ],
}
NEW = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "type": ["null", "string"]},
        {"name": "bags", "type": "long"},
        {"name": "fuel", "type": "double"},
        {"name": "gate", "type": ["null", "string"], "default": None},
    ],
}

# %% [markdown] role="task" exercise="evolve" points=3 topics=["4.1-8"]
# ### Read old and new together
#
# Set `READER` to an Avro schema (a dictionary like the two above) with which both old and new
# files can be read. Its record has the same name and these fields:
#
# | Field | Type | In an old file |
# |---|---|---|
# | `flight` | string | the same |
# | `tail_number` | null or string | the value of `tailnum` |
# | `bags` | long | the same |
# | `fuel` | double | the same |
# | `gate` | null or string | null |
#
# Why: the files of last year stay as they were written. One reader must serve both, or every
# change upstream becomes a migration of the archive.

# %% role="answer" exercise="evolve"
READER = ...
### BEGIN SOLUTION
READER = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "aliases": ["tailnum"], "type": ["null", "string"]},
        {"name": "bags", "type": "long"},
        {"name": "fuel", "type": "double"},
        {"name": "gate", "type": ["null", "string"], "default": None},
    ],
}
### END SOLUTION

# %% role="check" exercise="evolve"
with lab.check("evolve") as answer:
    schema = answer.value("READER")
    old_fields = [
        ("flight", "string"),
        ("tailnum", ["null", "string"]),
        ("bags", "int"),
        ("fuel", "int"),
    ]
    new_fields = [
        ("flight", "string"),
        ("tail_number", ["null", "string"]),
        ("bags", "long"),
    ]
    new_fields += [("fuel", "double"), ("gate", ["null", "string"])]
    old_row = {"flight": "UA1", "tailnum": "N14228", "bags": 90, "fuel": 8000}
    new_row = {
        "flight": "B62",
        "tail_number": None,
        "bags": 2**33,
        "fuel": 8000.5,
        "gate": "B6",
    }
    wanted = {
        "old": {
            "flight": "UA1",
            "tail_number": "N14228",
            "bags": 90,
            "fuel": 8000,
            "gate": None,
        },
        "new": new_row,
    }
    for age, fields, row in (
        ("old", old_fields, old_row),
        ("new", new_fields, new_row),
    ):
        writer = {"type": "record", "name": "GateEvent"}
        writer["fields"] = [{"name": name, "type": kind} for name, kind in fields]
        file = io.BytesIO()
        fastavro.writer(file, writer, [row])
        file.seek(0)
        try:
            rows = list(fastavro.reader(file, reader_schema=schema))
        except Exception as error:
            rows = f"{type(error).__name__}: {str(error).splitlines()[0][:140]}"
        answer.same_rows(
            rows,
            [wanted[age]],
            asked=f"the record in the file of the {age} program",
            key=["flight"],
        )

# %% role="hidden" exercise="evolve"
with lab.check("evolve", hidden=True) as answer:
    schema = answer.value("READER")
    kinds = {
        "flight": "string",
        "tail_number": ["null", "string"],
        "bags": "long",
        "fuel": "double",
        "gate": ["null", "string"],
    }
    got = {field["name"]: field["type"] for field in schema["fields"]}
    for name, kind in kinds.items():
        mine = got.get(name)
        same = sorted(mine) == kind if isinstance(mine, list) else mine == kind
        answer.true(
            same, asked=f"the type that the task gives {name}", found=repr(mine)
        )
    old = {
        "flight": "string",
        "tailnum": ["null", "string"],
        "bags": "int",
        "fuel": "int",
    }
    writer = {"type": "record", "name": "GateEvent"}
    writer["fields"] = [{"name": name, "type": kind} for name, kind in old.items()]
    rows = [
        {
            "flight": f"Ü{number}",
            "tailnum": answer.random.choice([None, "N1Å"]),
            "bags": number,
            "fuel": number * 8,
        }
        for number in answer.random.sample(range(10_000), 50)
    ]
    file = io.BytesIO()
    fastavro.writer(file, writer, rows)
    file.seek(0)
    wanted = [
        {
            "flight": row["flight"],
            "tail_number": row["tailnum"],
            "bags": row["bags"],
            "fuel": row["fuel"],
            "gate": None,
        }
        for row in rows
    ]
    answer.same_rows(
        list(fastavro.reader(file, reader_schema=schema)),
        wanted,
        asked="the records of an older file, nulls included",
        key=["flight"],
    )

# %% [markdown] role="hint" exercise="evolve"
# Take `NEW` as a start. Which of its fields does an old file not have under that name?

# %% [markdown] role="hint" exercise="evolve"
# The Avro specification, section "Schema Resolution", says what happens to a field that only the
# reader knows. The section on records names the attribute that lists a field's earlier names.

# %% [markdown] role="hint" exercise="evolve"
# ```python
# {"name": "tail_number", "aliases": [...], "type": ...},
# {"name": "gate", "type": ..., "default": ...},
# ```

# %% role="right" exercise="evolve"
READER = {
    "name": "GateEvent",
    "type": "record",
    "doc": "Gate events of all versions.",
    "fields": [
        {"name": "gate", "default": None, "type": ["null", "string"]},
        {"name": "fuel", "type": "double"},
        {"name": "bags", "type": "long"},
        {
            "name": "tail_number",
            "type": ["null", "string"],
            "default": None,
            "aliases": ["tail", "tailnum"],
        },
        {"name": "flight", "type": "string"},
    ],
}

# %% role="wrong" exercise="evolve" misconception="The newest schema reads everything" caught="check" says="old program"
READER = NEW

# %% role="wrong" exercise="evolve" misconception="A default is enough for a renamed field" caught="check" says="tail_number holds empty"
READER = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "type": ["null", "string"], "default": None},
        {"name": "bags", "type": "long"},
        {"name": "fuel", "type": "double"},
        {"name": "gate", "type": ["null", "string"], "default": None},
    ],
}

# %% role="wrong" exercise="evolve" misconception="A field that may be null needs no default" caught="check" says="old program"
READER = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "aliases": ["tailnum"], "type": ["null", "string"]},
        {"name": "bags", "type": "long"},
        {"name": "fuel", "type": "double"},
        {"name": "gate", "type": ["null", "string"]},
    ],
}

# %% role="wrong" exercise="evolve" misconception="The narrower type is the common one" caught="check" says="new program"
READER = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "aliases": ["tailnum"], "type": ["null", "string"]},
        {"name": "bags", "type": "int"},
        {"name": "fuel", "type": "int"},
        {"name": "gate", "type": ["null", "string"], "default": None},
    ],
}

# %% role="wrong" exercise="evolve" misconception="The widest type is always safe" caught="hidden" says="bags"
READER = {
    "type": "record",
    "name": "GateEvent",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "tail_number", "aliases": ["tailnum"], "type": ["null", "string"]},
        {"name": "bags", "type": "double"},
        {"name": "fuel", "type": "double"},
        {"name": "gate", "type": ["null", "string"], "default": None},
    ],
}

# %% [markdown] topics=["4.1-8"]
# ## Read only what you need
#
# A Parquet file is cut into row groups, and each row group into columns. Its footer, at the end
# of the file, says where each piece lies, how long it is, and its smallest and largest value.
#
# A reader that needs two columns skips the others. A reader that wants one month skips every row
# group whose statistics prove that the month is not in it. (Our file of the year is so small that it
# has one row group; files in a data lake have hundreds.)
#
# **Predict:** the year's flights have 19 columns. Which share of the file holds `carrier` and
# `dep_delay`?

# %%
year = pq.ParquetFile(dataset("flights").path)
sizes = {name: 0 for name in year.schema_arrow.names}
for group in range(year.metadata.num_row_groups):
    for number in range(year.metadata.num_columns):
        piece = year.metadata.row_group(group).column(number)
        sizes[piece.path_in_schema] += piece.total_compressed_size
share = (sizes["carrier"] + sizes["dep_delay"]) / sum(sizes.values())
figure, axes = plt.subplots(figsize=(7, 4))
ordered = dict(sorted(sizes.items(), key=lambda item: item[1]))
colors = [
    "#c44e00" if name in ("carrier", "dep_delay") else "#9aa5b1" for name in ordered
]
axes.barh(list(ordered), [size / 1000 for size in ordered.values()], color=colors)
axes.set(
    xlabel="kilobytes in the file", title=f"Two of 19 columns: {share:.0%} of the bytes"
)
picture(
    figure,
    alt="Bars of the kilobytes of each column of flights.parquet. The two columns that "
    f"the query needs, carrier and dep_delay, are marked and hold {share:.0%} of the bytes.",
)

# %% [markdown] role="task" exercise="bytes-to-read" points=3 topics=["4.1-8"]
# ### Say what a query costs before you run it
#
# Write `bytes_to_read(path, columns, column, low, high)`. It answers for the query "these
# `columns`, where `column` lies between `low` and `high`, both included": how many compressed bytes
# of the Parquet file must be read, by its footer?
#
# - Count the pieces of all `columns` and of `column` itself, each once.
# - Leave out a row group only if its smallest and largest value prove that no value lies in the
#   range. A piece may lack statistics, or have some but no smallest and largest value (where all
#   values are null, say): it proves nothing.
#
# | Row group | smallest | largest | query 10 to 20 |
# |---|---|---|---|
# | 0 | 1 | 9 | left out |
# | 1 | 9 | 10 | read |
# | 2 | not known | not known | read |
#
# Why: cloud query services bill by the bytes read. This is the estimate on their invoice.


# %% role="answer" exercise="bytes-to-read"
def bytes_to_read(
    path: str, columns: list[str], column: str, low: int, high: int
) -> int:
    """Compressed bytes that a query with one range condition must read."""
    ### BEGIN SOLUTION
    metadata = pq.ParquetFile(path).metadata
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        pieces = {
            row_group.column(number).path_in_schema: row_group.column(number)
            for number in range(row_group.num_columns)
        }
        statistics = pieces[column].statistics
        known = statistics is not None and statistics.has_min_max
        if known and (statistics.max < low or statistics.min > high):
            continue
        total += sum(pieces[name].total_compressed_size for name in {column, *columns})
    return total
    ### END SOLUTION


# %% role="check" exercise="bytes-to-read"
with lab.check("bytes-to-read") as answer:
    table = pa.table(
        {
            "n": list(range(100)),
            "text": [f"{n * n:06d}" for n in range(100)],
            "other": [1.5] * 100,
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=10)
    path, metadata = (
        answer.put("hundred.parquet", file.getvalue()),
        pq.ParquetFile(file).metadata,
    )
    size = {
        (
            group,
            metadata.row_group(group).column(number).path_in_schema,
        ): metadata.row_group(group).column(number).total_compressed_size
        for group in range(10)
        for number in range(3)
    }
    question = (
        "in a file whose ten row groups hold n from 0-9, 10-19, and so on to 90-99"
    )
    answer.equal(
        answer.call("bytes_to_read", path, ["text", "n"], "n", 19, 30),
        sum(size[group, name] for group in (1, 2, 3) for name in ("n", "text")),
        asked=f"the bytes of n and text in three row groups, for n from 19 to 30, {question}",
    )
    bare = io.BytesIO()
    pq.write_table(table, bare, row_group_size=50, write_statistics=False)
    path, metadata = (
        answer.put("bare.parquet", bare.getvalue()),
        pq.ParquetFile(bare).metadata,
    )
    answer.equal(
        answer.call("bytes_to_read", path, [], "n", 19, 30),
        sum(
            metadata.row_group(group).column(0).total_compressed_size
            for group in (0, 1)
        ),
        asked="the bytes of n in both row groups of a file without statistics",
    )

# %% role="hidden" exercise="bytes-to-read"
with lab.check("bytes-to-read", hidden=True) as answer:
    for statistics in (True, False, ["text"]):
        numbers = sorted(answer.random.sample(range(10_000), 600))
        # The last row group has statistics, but no smallest and no largest value.
        values = [*numbers, *[None] * 50]
        table = pa.table(
            {"n": values, "text": [f"{n}" * 3 for n in values], "z": values}
        )
        file = io.BytesIO()
        pq.write_table(table, file, row_group_size=50, write_statistics=statistics)
        path = answer.put("numbers.parquet", file.getvalue())
        metadata = pq.ParquetFile(file).metadata
        low, high = sorted(answer.random.sample(numbers, 2))
        total = 0
        for group in range(metadata.num_row_groups):
            part = numbers[group * 50 : group * 50 + 50]
            if statistics is True and part and (part[-1] < low or part[0] > high):
                continue
            total += sum(
                metadata.row_group(group).column(number).total_compressed_size
                for number in (0, 1)
            )
        answer.equal(
            answer.call("bytes_to_read", path, ["text"], "n", low, high),
            total,
            asked="the bytes for another file, with and without statistics",
        )

# %% [markdown] role="hint" exercise="bytes-to-read"
# When is it certain that a row group holds no value of the range? Say it as a sentence about its
# smallest and its largest value.

# %% [markdown] role="hint" exercise="bytes-to-read"
# The cell above walks over all pieces of a file. Each piece has `statistics`, which may be `None`,
# with `has_min_max`, `min` and `max`.

# %% [markdown] role="hint" exercise="bytes-to-read"
# ```python
# for group in range(metadata.num_row_groups):
#     pieces = {...}  # name of the column: its piece in this row group
#     statistics = pieces[column].statistics
#     if ... :  # proved: nothing in the range
#         continue
#     total += ...
# ```


# %% role="right" exercise="bytes-to-read"
def bytes_to_read(path, columns, column, low, high):
    import duckdb

    wanted = [column, *columns]
    return duckdb.execute(
        """
        WITH pieces AS (
            SELECT row_group_id, path_in_schema AS name, total_compressed_size AS size,
                   TRY_CAST(stats_min_value AS BIGINT) AS low, TRY_CAST(stats_max_value AS BIGINT) AS high
            FROM parquet_metadata(?)
        ), needed AS (
            SELECT row_group_id FROM pieces
            WHERE name = ? AND NOT COALESCE(high < ? OR low > ?, false)
        )
        SELECT COALESCE(SUM(size), 0)::BIGINT FROM pieces
        WHERE row_group_id IN (FROM needed) AND list_contains(?, name)
        """,
        [path, column, low, high, wanted],
    ).fetchall()[0][0]


# %% role="wrong" exercise="bytes-to-read" misconception="Columns are read, so row groups do not matter" caught="check" says="three row groups"
def bytes_to_read(path, columns, column, low, high):
    metadata = pq.ParquetFile(path).metadata
    pieces = [
        metadata.row_group(group).column(number)
        for group in range(metadata.num_row_groups)
        for number in range(metadata.num_columns)
    ]
    return sum(
        p.total_compressed_size
        for p in pieces
        if p.path_in_schema in {column, *columns}
    )


# %% role="wrong" exercise="bytes-to-read" misconception="A row group is needed when it lies inside the range" caught="check" says="three row groups"
def bytes_to_read(path, columns, column, low, high):
    metadata, total = pq.ParquetFile(path).metadata, 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        pieces = {
            row_group.column(n).path_in_schema: row_group.column(n)
            for n in range(row_group.num_columns)
        }
        found = pieces[column].statistics
        if found is None or (found.min >= low and found.max <= high):
            total += sum(
                pieces[name].total_compressed_size for name in {column, *columns}
            )
    return total


# %% role="wrong" exercise="bytes-to-read" misconception="The size in memory is the size in the file" caught="check" says="three row groups"
def bytes_to_read(path, columns, column, low, high):
    metadata, total = pq.ParquetFile(path).metadata, 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        pieces = {
            row_group.column(n).path_in_schema: row_group.column(n)
            for n in range(row_group.num_columns)
        }
        found = pieces[column].statistics
        if found is None or (found.max >= low and found.min <= high):
            total += sum(
                pieces[name].total_uncompressed_size for name in {column, *columns}
            )
    return total


# %% role="wrong" exercise="bytes-to-read" misconception="No statistics means no values" caught="check" says="without statistics"
def bytes_to_read(path, columns, column, low, high):
    metadata, total = pq.ParquetFile(path).metadata, 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        pieces = {
            row_group.column(n).path_in_schema: row_group.column(n)
            for n in range(row_group.num_columns)
        }
        found = pieces[column].statistics
        if (
            found is not None
            and found.has_min_max
            and found.max >= low
            and found.min <= high
        ):
            total += sum(
                pieces[name].total_compressed_size for name in {column, *columns}
            )
    return total


# %% role="wrong" exercise="bytes-to-read" misconception="A column named twice is read twice" caught="check" says="three row groups"
def bytes_to_read(path, columns, column, low, high):
    metadata, total = pq.ParquetFile(path).metadata, 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        pieces = {
            row_group.column(n).path_in_schema: row_group.column(n)
            for n in range(row_group.num_columns)
        }
        found = pieces[column].statistics
        if (
            found is None
            or not found.has_min_max
            or (found.max >= low and found.min <= high)
        ):
            total += sum(
                pieces[name].total_compressed_size for name in [column, *columns]
            )
    return total


# %% [markdown] topics=["4.1-8"]
# ## Size against speed
#
# Which format is the smallest, and which the fastest to write? People quote numbers from other
# data on other machines. You measure your own. The next cell holds one function for each format;
# each writes the same week of January, some 6,000 flights, to a path.

# %%
year = dataset("flights").arrow()
week = year.filter((pa.compute.field("month") == 1) & (pa.compute.field("day") <= 7))
records = week.to_pylist()
wide = {"int16": "int", "int32": "int", "int64": "long", "string": "string"}
avro = {
    "type": "record",
    "name": "Flight",
    "fields": [
        {
            "name": f.name,
            "type": [
                "null",
                wide.get(
                    str(f.type), {"type": "long", "logicalType": "timestamp-micros"}
                ),
            ],
        }
        for f in week.schema
    ],
}


def write_avro(path):
    with open(path, "wb") as file:
        fastavro.writer(file, avro, records, codec="deflate")


WRITERS = {
    "csv": lambda path: week.to_pandas().to_csv(path, index=False),
    "jsonl": lambda path: week.to_pandas().to_json(
        path, orient="records", lines=True, date_format="iso"
    ),
    "avro": write_avro,
    "orc": lambda path: orc.write_table(week, path, compression="zstd"),
    "parquet": lambda path: pq.write_table(week, path, compression="zstd"),
}
print(week.num_rows, "flights,", week.num_columns, "columns,", len(WRITERS), "writers")

# %% [markdown] role="task" exercise="measure" points=2 topics=["4.1-8"]
# ### Measure the formats
#
# Write `measure(folder)`. For each name in `WRITERS` it writes the file `flights.<name>` (for
# example `flights.csv`) into `folder`, and returns a list of dictionaries, smallest file first:
#
# - `format`: the name in `WRITERS`
# - `bytes`: the size of the file
# - `seconds`: how long the writing took, measured with `perf_counter()`
#
# Why: a choice of format binds a team for years. An hour of measuring is cheap.


# %% role="answer" exercise="measure"
def measure(folder: str) -> list[dict]:
    """Bytes and seconds of each writer, smallest file first."""
    ### BEGIN SOLUTION
    rows = []
    for name, write in WRITERS.items():
        path = Path(folder) / f"flights.{name}"
        start = perf_counter()
        write(path)
        seconds = perf_counter() - start
        rows.append({"format": name, "bytes": path.stat().st_size, "seconds": seconds})
    return sorted(rows, key=lambda row: row["bytes"])
    ### END SOLUTION


# %% role="check" exercise="measure"
with lab.check("measure") as answer:
    folder = answer.folder()
    got = answer.call("measure", folder)
    names = ["avro", "csv", "jsonl", "orc", "parquet"]
    answer.schema(
        got,
        {"format": "text", "bytes": "integer", "seconds": "number"},
        asked="a dictionary with format, bytes and seconds for each writer",
    )
    on_disk = {name: len(answer.read(f"{folder}/flights.{name}")) for name in names}
    answer.equal(
        {row["format"]: row["bytes"] for row in got},
        on_disk,
        asked="for each format, the size of the file on disk",
    )
    answer.true(
        [row["format"] for row in got] == sorted(on_disk, key=on_disk.get),
        asked="the smallest file first",
        found=f"the order {', '.join(row['format'] for row in got)}",
    )

# %% role="hidden" exercise="measure"
with lab.check("measure", hidden=True) as answer:
    started = perf_counter()
    got = answer.call("measure", answer.folder())
    elapsed = perf_counter() - started
    answer.true(
        all(row["seconds"] > 0 for row in got)
        and sum(row["seconds"] for row in got) <= elapsed,
        asked="for each format, the seconds of its own writing",
        found="seconds that cannot be: a clock started once, or never",
    )

# %% [markdown] role="hint" exercise="measure"
# What do you know only after the file is written? Where must the clock start, and where stop?

# %% [markdown] role="hint" exercise="measure"
# `Path(folder) / "name"` makes a path, `Path.stat().st_size` is its size in bytes, and `sorted`
# takes a `key`.

# %% [markdown] role="hint" exercise="measure"
# ```python
# for name, write in WRITERS.items():
#     path = ...
#     start = perf_counter()
#     write(path)
#     rows.append({"format": name, "bytes": ..., "seconds": ...})
# return sorted(rows, key=...)
# ```


# %% role="right" exercise="measure"
def measure(folder):
    import os

    frame = pd.DataFrame(columns=["seconds", "bytes", "format"])
    for number, (name, write) in enumerate(WRITERS.items()):
        path = os.path.join(folder, "flights." + name)
        start = perf_counter()
        write(path)
        frame.loc[number] = [perf_counter() - start, os.path.getsize(path), name]
    frame = frame.astype({"bytes": "int64", "seconds": "float64"})
    return frame.sort_values("bytes").to_dict("records")


# %% role="wrong" exercise="measure" misconception="The size in memory is the size of the file" caught="check" says="size of the file"
def measure(folder):
    rows = []
    for name, write in WRITERS.items():
        start = perf_counter()
        write(f"{folder}/flights.{name}")
        rows.append(
            {"format": name, "bytes": week.nbytes, "seconds": perf_counter() - start}
        )
    return rows


# %% role="wrong" exercise="measure" misconception="The blocks on the disk are the size of the file" caught="check" says="size of the file"
def measure(folder):
    rows = []
    for name, write in WRITERS.items():
        path = Path(folder) / f"flights.{name}"
        start = perf_counter()
        write(path)
        seconds = perf_counter() - start
        blocks = -(-path.stat().st_size // 4096)
        rows.append({"format": name, "bytes": blocks * 4096, "seconds": seconds})
    return sorted(rows, key=lambda row: row["bytes"])


# %% role="wrong" exercise="measure" misconception="One clock for all" caught="hidden" says="seconds that cannot be"
def measure(folder):
    rows, start = [], perf_counter()
    for name, write in WRITERS.items():
        path = Path(folder) / f"flights.{name}"
        write(path)
        rows.append(
            {
                "format": name,
                "bytes": path.stat().st_size,
                "seconds": perf_counter() - start,
            }
        )
    return sorted(rows, key=lambda row: row["bytes"])


# %% role="wrong" exercise="measure" misconception="The order of writing is the order of size" caught="check" says="the order csv"
def measure(folder):
    rows = []
    for name, write in WRITERS.items():
        path = Path(folder) / f"flights.{name}"
        start = perf_counter()
        write(path)
        rows.append(
            {
                "format": name,
                "bytes": path.stat().st_size,
                "seconds": perf_counter() - start,
            }
        )
    return rows


# %% role="wrong" exercise="measure" misconception="One file name serves all formats" caught="check" says="no file flights.avro"
def measure(folder):
    rows = []
    for name, write in WRITERS.items():
        path = Path(folder) / "flights.data"
        start = perf_counter()
        write(path)
        rows.append(
            {
                "format": name,
                "bytes": path.stat().st_size,
                "seconds": perf_counter() - start,
            }
        )
    return sorted(rows, key=lambda row: row["bytes"])


# %% [markdown] topics=["4.1-8"]
# ## Break it: half a file
#
# A network drops while the partner uploads. Half of the file arrives, under its final name. The
# next cell cuts the day's CSV and its Parquet file at 60 % and reads both.
#
# **Predict:** which of the two readers notices?

# %%
for name in ("flights-day-csv", "flights-day-parquet"):
    whole = dataset(name).path.read_bytes()
    half = io.BytesIO(whole[: len(whole) * 6 // 10])
    try:
        rows = (
            len(pd.read_csv(half))
            if name.endswith("csv")
            else pq.read_table(half).num_rows
        )
        print(f"{name}: {rows} of {dataset(name).rows} rows, and no word of it")
    except pa.ArrowInvalid as error:
        print(f"{name}: refused. {str(error).split('.')[0]}.")

# %% [markdown]
# The CSV reader delivers what came and says nothing: a report on 60 % of the flights looks fine.
# Parquet keeps its footer at the end, so a cut file cannot be opened.
#
# The cure for text files is a *manifest*: a second, small file from the sender that says how many
# rows and which SHA-256 hash the delivery has. And the receiver must be *idempotent*: a delivery
# that comes twice leaves the same as one that comes once.

# %% [markdown] role="task" exercise="land" points=4 topics=["4.1-8"]
# ### Land a delivery, whole or not at all
#
# Write `land(source, manifest, target)`. It takes the path of a CSV file of departures, a
# dictionary with `rows` (without the header line) and `sha256` (hexadecimal, of the file's bytes),
# and the path of a folder, which exists.
#
# - If both agree with the file: write its departures, with the columns and types of `read_departures`,
#   to `departures.parquet` in `target`, in place of an earlier one. Return `"landed"`.
# - If one of them does not: leave `target` as it was and return `"refused"`.
#
# Add no other file to `target`, and remove none. You may call `read_departures`, from the beginning of this lab.
#
# Why: with this function, a cut upload, a repeated one and a corrected one are all routine.


# %% role="answer" exercise="land"
def land(source: str, manifest: dict, target: str) -> str:
    """Write a delivery as Parquet if it is whole; "landed" or "refused"."""
    ### BEGIN SOLUTION
    data = Path(source).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        return "refused"
    departures = read_departures(source)
    if len(departures) != manifest["rows"]:
        return "refused"
    # A reader of the folder sees the old file or the new one, never half of one.
    part = Path(target) / ".departures.part"
    departures.to_parquet(part, index=False)
    part.replace(Path(target) / "departures.parquet")
    return "landed"
    ### END SOLUTION


# %% role="check" exercise="land"
with lab.check("land") as answer:
    whole = dataset("flights-day-csv").path.read_bytes()
    expected = dataset("flights-day-parquet").arrow()
    manifest = {"rows": expected.num_rows, "sha256": hashlib.sha256(whole).hexdigest()}
    target, good = answer.folder(), answer.put("day.csv", whole)
    answer.equal(
        answer.call("land", good, manifest, target),
        "landed",
        asked='"landed" for a whole file',
    )
    first = answer.parquet(f"{target}/departures.parquet").read()
    types = {name: "text" for name in ("carrier", "origin", "dest", "tailnum")}
    types |= {"flight": "integer", "dep_time": "integer", "time_hour": "timestamp[UTC]"}
    answer.schema(
        first,
        types,
        asked="the columns and types of read_departures in the Parquet file",
    )
    answer.same_rows(
        first, expected.select(list(types)), asked="every row of the delivery"
    )
    answer.call("land", good, manifest, target)
    second = answer.parquet(f"{target}/departures.parquet").read()
    answer.idempotent(
        first, second, asked="the same rows when the same delivery comes twice"
    )
    cut = answer.put("day.csv", whole[: len(whole) * 6 // 10])
    answer.equal(
        answer.call("land", cut, manifest, target),
        "refused",
        asked='"refused" for a cut file',
    )
    files = answer.files(target)
    if "departures.parquet" in files:
        answer.same_rows(
            answer.parquet(f"{target}/departures.parquet").read(),
            second,
            asked="the earlier rows, untouched by a refusal",
        )
    answer.equal(
        files,
        ["departures.parquet"],
        asked="just departures.parquet in the folder, after two deliveries and a refusal",
    )

# %% role="hidden" exercise="land"
with lab.check("land", hidden=True) as answer:
    head = "carrier,flight,tailnum,origin,dest,dep_time,time_hour\n"
    lines = [
        f"NA,{number},N{number}Å,JFK,SNN,{number},2013-11-03T11:00:00Z\n"
        for number in answer.random.sample(range(100, 2300), 30)
    ]
    data = (head + "".join(lines)).encode()
    manifest = {"rows": 30, "sha256": hashlib.sha256(data).hexdigest()}
    damaged = {
        "whose bytes changed on the way, with the right number of rows": (
            data.replace(b"SNN", b"SNM", 1),
            manifest,
        ),
        "whose sender counts other rows than arrived": (data, {**manifest, "rows": 29}),
    }
    for what, (bytes_, claimed) in damaged.items():
        target = answer.folder()
        got = answer.call("land", answer.put("day.csv", bytes_), claimed, target)
        answer.equal(got, "refused", asked=f'"refused" for a file {what}')
        answer.equal(
            answer.files(target), [], asked=f"nothing in the folder after a file {what}"
        )
    target = answer.folder()
    answer.call("land", answer.put("day.csv", data), manifest, target)
    shorter = (head + "".join(lines[:7])).encode()
    manifest = {"rows": 7, "sha256": hashlib.sha256(shorter).hexdigest()}
    answer.equal(
        answer.call("land", answer.put("day.csv", shorter), manifest, target),
        "landed",
        asked='"landed" for a corrected delivery',
    )
    landed = answer.parquet(f"{target}/departures.parquet").read()
    answer.equal(landed.num_rows, 7, asked="only the rows of the corrected delivery")

# %% [markdown] role="hint" exercise="land"
# At which line of your function does the target folder change for the first time? What do you know
# for certain at that line?

# %% [markdown] role="hint" exercise="land"
# `hashlib.sha256(data).hexdigest()` for the hash, `len` of what `read_departures` returns for the rows,
# and `Path.replace`, which swaps a finished file in under another name in one step.

# %% [markdown] role="hint" exercise="land"
# ```python
# data = Path(source).read_bytes()
# if ...:
#     return "refused"
# departures = read_departures(source)
# if ...:
#     return "refused"
# ...  # write beside, then swap in
# return "landed"
# ```


# %% role="right" exercise="land"
def land(source, manifest, target):
    import tempfile

    with open(source, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest["sha256"]:
            return "refused"
    departures = pa.Table.from_pandas(
        pd.DataFrame(read_departures(source)), preserve_index=False
    )
    if departures.num_rows != manifest["rows"]:
        return "refused"
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as beside:
        pq.write_table(departures, f"{beside}/part", compression="zstd")
        Path(beside, "part").replace(Path(target, "departures.parquet"))
    return "landed"


# %% [markdown] role="equivalent" exercise="land" reason="any other name does, for the file is swapped in"
# - part = Path(target) / ".departures.part"
# + part = Path(target) / "XX.departures.partXX"

# %% [markdown] role="equivalent" exercise="land" reason="a plain count of rows is kept as a note, not as a column"
# - departures.to_parquet(part, index=False)
# + departures.to_parquet(part, index=None)
#
# - departures.to_parquet(part, index=False)
# + departures.to_parquet(part, )


# %% role="wrong" exercise="land" misconception="A column with unknown values must be a float" caught="check" says="dep_time holds number"
def land(source, manifest, target):
    data = Path(source).read_bytes()
    departures = read_departures(source)
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        return "refused"
    if len(departures) != manifest["rows"]:
        return "refused"
    table = pa.Table.from_pandas(departures.astype({"dep_time": "float64"}))
    pq.write_table(table, Path(target) / "departures.parquet")
    return "landed"


# %% role="wrong" exercise="land" misconception="A flight without a time did not happen" caught="check" says="missing"
def land(source, manifest, target):
    data = Path(source).read_bytes()
    departures = read_departures(source)
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        return "refused"
    if len(departures) != manifest["rows"]:
        return "refused"
    known = departures[departures["dep_time"].notna()]
    known.to_parquet(Path(target) / "departures.parquet", index=False)
    return "landed"


# %% role="wrong" exercise="land" misconception="The sender's file is kept beside, to be safe" caught="check" says="source.csv"
def land(source, manifest, target):
    data = Path(source).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        return "refused"
    departures = read_departures(source)
    if len(departures) != manifest["rows"]:
        return "refused"
    (Path(target) / "source.csv").write_bytes(data)
    departures.to_parquet(Path(target) / "departures.parquet", index=False)
    return "landed"


# %% role="wrong" exercise="land" misconception="The number of rows proves a delivery" caught="hidden" says="bytes changed"
def land(source, manifest, target):
    departures = read_departures(source)
    if len(departures) != manifest["rows"]:
        return "refused"
    departures.to_parquet(Path(target) / "departures.parquet", index=False)
    return "landed"


# %% role="wrong" exercise="land" misconception="The hash proves that the sender counted right" caught="hidden" says="counts other rows"
def land(source, manifest, target):
    if hashlib.sha256(Path(source).read_bytes()).hexdigest() != manifest["sha256"]:
        return "refused"
    read_departures(source).to_parquet(Path(target) / "departures.parquet", index=False)
    return "landed"


# %% role="wrong" exercise="land" misconception="Write first, look afterwards" caught="check" says="untouched by a refusal"
def land(source, manifest, target):
    departures = read_departures(source)
    departures.to_parquet(Path(target) / "departures.parquet", index=False)
    same = hashlib.sha256(Path(source).read_bytes()).hexdigest() == manifest["sha256"]
    return "landed" if same and len(departures) == manifest["rows"] else "refused"


# %% role="wrong" exercise="land" misconception="A new delivery is appended" caught="check" says="comes twice"
def land(source, manifest, target):
    departures = read_departures(source)
    same = hashlib.sha256(Path(source).read_bytes()).hexdigest() == manifest["sha256"]
    if not same or len(departures) != manifest["rows"]:
        return "refused"
    file = Path(target) / "departures.parquet"
    if file.exists():
        departures = pd.concat([pd.read_parquet(file), departures])
    departures.to_parquet(file, index=False)
    return "landed"


# %% role="wrong" exercise="land" misconception="Clear the way before the delivery is known to be good" caught="check" says="and a refusal"
def land(source, manifest, target):
    file = Path(target) / "departures.parquet"
    file.unlink(missing_ok=True)
    departures = read_departures(source)
    same = hashlib.sha256(Path(source).read_bytes()).hexdigest() == manifest["sha256"]
    if not same or len(departures) != manifest["rows"]:
        return "refused"
    departures.to_parquet(file, index=False)
    return "landed"


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | evolve a schema | new field: default; new name: alias; numbers only grow wider |
# | estimate a query | columns needed, times row groups not ruled out |
# | choose a format | measure on your data, and on the machine that will run it |
# | land a delivery | verify first, write beside, swap in |
#
# **New words.** *Schema evolution*: change of a schema while old data stay readable. *Row group*: a horizontal slice of a
# Parquet file. *Manifest*: what a sender says about a delivery. *Idempotent*: twice leaves the same as once.
#
# **Read on.** Apache Avro specification 1.12, "Schema Resolution" (2024). Apache Parquet documentation, "File Format".
# M. Kleppmann, *Designing Data-Intensive Applications*, chapter 4 (2017).

# %%
lab.close()
