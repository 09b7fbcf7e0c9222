# %% [markdown] minutes=60 datasets=["departure-events", "flights", "planes"] systems=[]
# # pandas and Dask
#
# A report that was right for January needs twelve times the memory for the year, and names the wrong airline.
# You make it small, then right in pieces, then lazy.

# %% [markdown]
# ## You will be able to
#
# - change a table without touching its owner's (exercise 1)
# - bring a table under a budget without changing a value (exercise 2)
# - replace a loop over rows by columns (exercise 3)
# - combine the results of parts, so that they are those of the whole (exercise 4)
# - compute an exact median of a file that is larger than memory (exercise 5)
# - read a source once for several answers (exercise 6)
# - join without a shuffle (exercise 7)
# - build a lazy report on files that differ (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | pandas: select, `groupby`, `merge` | every exercise |
# | the lab *Sources and file formats* | row groups, and what a CSV file forgets |
#
# The flights and planes are real, and so are pandas 3 and Dask.

# %% role="setup"
import gc
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
import tracemalloc
import urllib.request
import warnings
from collections import Counter
from pathlib import Path

import dask
import dask.dataframe as dd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labkit import dataset, engines, open_lab, picture

lab = open_lab("04-3-processing/03-pandas-and-dask")
dask.config.set(scheduler="synchronous")
lab

# %% [markdown] topics=["4.3-3.4"]
# ## The notebook that grew
#
# In January, a colleague loads the month, sorts and groups it. In December she loads the year, and one day
# ten years: "The kernel has died." pandas holds a whole table in memory, and most steps make another one.
#
# **Predict:** how many bytes does one row of 19 columns take?

# %%
FLIGHTS = dataset("flights").frame()
months = {"January": FLIGHTS[FLIGHTS["month"] == 1], "the year": FLIGHTS}
for name, frame in months.items():
    size = frame.memory_usage(index=False, deep=True).sum()
    text = frame.select_dtypes("str").memory_usage(index=False, deep=True).sum()
    print(
        f"{name:<9} {len(frame):>7,} rows {size / 1e6:>5.1f} MB, "
        f"{size / len(frame):.0f} bytes a row, texts {text / len(frame):.0f}"
    )

# %% [markdown]
# Plan for two or three times that. Since pandas 3, texts are Arrow arrays (type `str`); before, each was a Python
# object of some 50 bytes.
#
# pandas 3 also saves copies, by *copy-on-write*: what you select, or derive with `copy(deep=False)` or `assign`,
# shares its columns with the original. Who *writes* to a shared column gets a copy of it, so no derived table
# can change another one.
#
# **Predict:** which lines change `small`?

# %%
small = FLIGHTS[["carrier", "arr_delay"]].head(3)
column = small["arr_delay"]
column[:] = 0
print("through a column: ", small["arr_delay"].tolist())
with warnings.catch_warnings(record=True, action="always") as told:
    small["arr_delay"].replace(33, 0, inplace=True)
warned = ", ".join(warning.category.__name__ for warning in told)
print("replace inplace:  ", small["arr_delay"].tolist(), warned)
other = small
other.loc[other["arr_delay"] > 0, "arr_delay"] = 0
print("through a name:   ", small["arr_delay"].tolist())

# %% [markdown]
# `small["arr_delay"]` is a new object: writing to it changes nothing else. A second *name* is no new object. Write
# with one `loc` for rows and column, on a table of your own.

# %% [markdown] role="task" exercise="mend" points=2 topics=["4.3-3.4"] ordered=true
# ### Mend a table that is not yours
#
# Write `mend(flights)`. Return a table in which 2400 is 0 in `dep_time` and `arr_time`, and only there. Leave the
# caller's table as it is. Do not copy columns that you do not change.
#
# Labels of the index may repeat, as after `pd.concat`. Missing values stay missing.
#
# Example: `dep_time` 2400, 517 becomes 0, 517.
#
# Why: a function that changes its argument makes the *next* cell wrong.


# %%
def mended(flights):
    """What `mend` returns, whether it changed its argument, and which columns it copied."""
    flights = flights.set_axis([7] * len(flights))
    before = flights.copy()
    with warnings.catch_warnings(action="ignore"):
        result = mend(flights)
    copied = [
        name
        for name in before.select_dtypes("number").columns.intersection(result.columns)
        if not np.shares_memory(flights[name].to_numpy(), result[name].to_numpy())
    ]
    return {"table": result, "same": before.equals(flights), "copied": copied}


# %% role="answer" exercise="mend"
def mend(flights: pd.DataFrame) -> pd.DataFrame:
    """The flights, with midnight as 0."""
    ### BEGIN SOLUTION
    result = flights.copy(deep=False)
    for name in ("dep_time", "arr_time"):
        result[name] = result[name].replace(2400, 0)
    return result
    ### END SOLUTION


# %% role="check" exercise="mend"
with lab.check("mend") as answer:
    answer.value("mend")
    given = {
        "flight": [2400, 11, 12, 13],
        "dep_time": [2400.0, 517.0, None, 2359.0],
        "arr_time": [5.0, 2400.0, None, None],
        "distance": [2400.0, 200.0, 300.0, 24.0],
    }
    expected = given | {
        "dep_time": [0.0, 517.0, None, 2359.0],
        "arr_time": [5.0, 0.0, None, None],
    }
    found = answer.call("mended", pd.DataFrame(given))
    answer.same_rows(
        found["table"],
        pa.table(expected),
        asked=f"2400 as 0 in dep_time and arr_time of {given}",
    )
    answer.true(
        found["same"],
        asked="the caller's table as it was",
        found="a table that has changed",
    )
    copied = [name for name in found["copied"] if not name.endswith("_time")]
    answer.true(
        not copied,
        asked="no copy of columns that do not change",
        found=f"copies of {copied}",
    )

# %% role="hidden" exercise="mend"
with lab.check("mend", hidden=True) as answer:
    answer.value("mend")
    draw = answer.random
    times = [0.0, 2400.0, 240.0, 1.0, 2359.0, None]
    given = {"month": [n % 12 for n in range(200)]}
    for name in ("dep_time", "arr_time", "sched_dep_time", "dep_delay"):
        given[name] = draw.choices(times, k=200)
    expected = dict(given)
    for name in ("dep_time", "arr_time"):
        expected[name] = [0.0 if time == 2400 else time for time in given[name]]
    answer.same_rows(
        answer.call("mended", pd.DataFrame(given))["table"],
        pa.table(expected),
        asked="2400 as 0 in dep_time and arr_time, and nowhere else, in 200 rows",
    )

# %% [markdown] role="hint" exercise="mend"
# What must be new, the table or its 19 columns? Which of the ways above wrote to the table?

# %% [markdown] role="hint" exercise="mend"
# `copy(deep=False)` gives a table of your own that shares all columns. A column's `replace` or `mask` returns a
# new column; assign it.

# %% [markdown] role="hint" exercise="mend"
# ```python
# result = flights.copy(deep=...)
# for name in (...):
#     result[name] = result[name]...
# return result
# ```


# %% role="right" exercise="mend"
def mend(flights):
    names = ["dep_time", "arr_time"]
    return flights.assign(**{n: flights[n].mask(flights[n] == 2400, 0) for n in names})


# %% role="right" exercise="mend"
def mend(flights):
    flights = flights.copy(deep=False)
    flights.loc[flights["dep_time"] == 2400, "dep_time"] = 0
    flights.loc[flights["arr_time"] == 2400, "arr_time"] = 0
    return flights


# %% [markdown] role="equivalent" exercise="mend" reason="None is as false as False"
# - result = flights.copy(deep=False)
# + result = flights.copy(deep=None)


# %% role="wrong" exercise="mend" misconception="A column that is selected is a window into the table" caught="check" says="2400 as 0"
def mend(flights):
    result = flights.copy(deep=False)
    for name in ("dep_time", "arr_time"):
        result[name].replace(2400, 0, inplace=True)
    return result


# %% role="wrong" exercise="mend" misconception="Two brackets write like one" caught="check" says="2400 as 0"
def mend(flights):
    result = flights.copy(deep=False)
    for name in ("dep_time", "arr_time"):
        result[name][result[name] == 2400] = 0
    return result


# %% role="wrong" exercise="mend" misconception="A new name is a new table" caught="check" says="has changed"
def mend(flights):
    result = flights
    for name in ("dep_time", "arr_time"):
        result.loc[result[name] == 2400, name] = 0
    return result


# %% role="wrong" exercise="mend" misconception="Only a deep copy is safe" caught="check" says="copies of"
def mend(flights):
    result = flights.copy()
    for name in ("dep_time", "arr_time"):
        result[name] = result[name].replace(2400, 0)
    return result


# %% role="wrong" exercise="mend" misconception="A value means the same in every column" caught="check" says="flight"
def mend(flights):
    return flights.replace(2400, 0)


# %% role="wrong" exercise="mend" misconception="Copy-on-write protects the caller from any write" caught="check" says="has changed"
def mend(flights):
    for name in ("dep_time", "arr_time"):
        flights[name] = flights[name].replace(2400, 0)
    return flights


# %% [markdown] topics=["4.3-3.4"]
# ## Types are most of the memory
#
# A number takes 64 bits unless you say otherwise, and a missing one makes a whole column float: flight 517
# departs at 517.0. pandas' *nullable* types keep integers integers: a mask beside the values says what is missing.
#
# | Type | Holds | Bytes a value |
# |---|---|---|
# | `float64`, `int64` | | 8 |
# | `Int8`, `Int16`, `Int32`, `Int64` | ±127, ±32,767, ±2 billion, ±9·10¹⁸ | 2, 3, 5, 9 |
# | `category` | numbers of texts that are stored once | 1, 2 or 4 |
# | `str` | the letters, and where each text begins | 8 + letters |
#
# **Predict:** which of these three lose a value?

# %%
delays = pd.Series([1272.0, None, -43.0])
print("numpy int8: ", delays.dropna().astype("int64").astype("int8").tolist())
print("float16:    ", pd.Series([2013.0, 2049.0]).astype("float16").tolist())
print("Int16:      ", delays.astype("Int16").tolist())
tails = FLIGHTS["tailnum"]
print(f"tailnum:     {tails.nunique():,} texts in {len(tails):,} rows")

# %% [markdown]
# numpy wraps 1272 around to -8 without a word; a small float has few digits. Look at the values before you
# choose a smaller type.

# %% [markdown] role="task" exercise="slim" points=3 topics=["4.3-3.4"]
# ### Bring a table under its budget
#
# Write `slim(frame)`. Return the same columns and values in smaller types:
#
# - whole numbers, floats without a fraction too: the smallest of `Int8` to `Int64`, or as small a type; missing
#   values stay missing
# - texts with at most half as many distinct values as rows: category
# - all others as they are
#
# The budget is what these types take. Example: `[2013.0, None]` becomes `[2013, <NA>]`, of type `Int16`.
#
# Why: the cheapest machine is the one you already have.


# %%
def slimmed(frame):
    """The table that `slim` returns, its bytes, and the names of its categories."""
    result = slim(frame)
    size = result.memory_usage(index=False, deep=True).sum()
    types = pa.Table.from_pandas(result, preserve_index=False).schema
    few = sorted(field.name for field in types if pa.types.is_dictionary(field.type))
    return {"table": result, "bytes": int(size), "categories": few}


# %% role="answer" exercise="slim"
def slim(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values in smaller types."""
    ### BEGIN SOLUTION
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = pd.to_numeric(column.astype("Int64"), downcast="integer")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)
    ### END SOLUTION


# %% role="check" exercise="slim"
with lab.check("slim") as answer:
    answer.value("slim")
    rows = 1000
    given = pd.DataFrame(
        {
            "id": range(rows),
            "day": [n % 31 + 1 for n in range(rows)],
            "year": [None if n % 9 == 4 else 2013.0 for n in range(rows)],
            "seats": [40_000 - 7 * n for n in range(rows)],
            "meters": [3_000_000_000 + n for n in range(rows)],
            "temp": [n / 10 for n in range(rows)],
            "carrier": [["UA", "DL", None][n % 3] for n in range(rows)],
            "tailnum": [f"N{n % 501:05}" for n in range(rows)],
            "hour": [*pd.date_range("2013-01-01", periods=10, freq="h", tz="UTC")]
            * 100,
        }
    )
    found = answer.call("slimmed", given)
    kinds = dict.fromkeys(given, "integer") | {
        "temp": "number",
        "carrier": "text",
        "tailnum": "text",
        "hour": "timestamp[UTC]",
    }
    answer.schema(
        found["table"],
        kinds,
        asked="integers for whole numbers, and the same kind for all others",
    )
    answer.same_rows(
        found["table"], given, asked="the same 1,000 rows of values", key=["id"]
    )
    answer.equal(
        found["categories"],
        ["carrier"],
        asked="a category for carrier (2 texts), not for tailnum (501 texts in 1,000 rows)",
    )
    most = rows * (3 + 2 + 3 + 5 + 9 + 8 + 1 + 14 + 8) + 1500
    answer.true(
        found["bytes"] <= most,
        asked=f"at most {most:,} bytes for id, day, year, seats, meters, temp, carrier, tailnum, hour",
        found=f"{found['bytes']:,} bytes",
    )

# %% role="hidden" exercise="slim"
with lab.check("slim", hidden=True) as answer:
    answer.value("slim")
    draw = answer.random
    rows = 1200
    edges = {"one": 127, "two": 128, "three": 32_767, "four": 32_768, "five": 2**31}
    given = pd.DataFrame(
        {"id": range(rows)}
        | {
            name: [-most, most - 1, None, *draw.choices(range(-most, most), k=rows - 3)]
            for name, most in edges.items()
        }
        | {
            "share": [0.5, None, *(draw.random() for _ in range(rows - 2))],
            "half": [f"Zürich {n % 600}" for n in range(rows)],
        }
    )
    found = answer.call("slimmed", given)
    answer.same_rows(
        found["table"],
        given,
        asked="the same values at the ends of the types' ranges",
        key=["id"],
    )
    most = rows * (3 + 2 + 2 + 3 + 3 + 5 + 8 + 2) + 600 * 19 + 1500
    answer.true(
        found["bytes"] <= most,
        asked=f"at most {most:,} bytes for {rows:,} rows with numbers of 8 to 32 bits",
        found=f"{found['bytes']:,} bytes",
    )

# %% [markdown] role="hint" exercise="slim"
# How do you know that all values of a float column are whole, when some are missing? Which function looks at
# the values before it chooses a type?

# %% [markdown] role="hint" exercise="slim"
# `pd.to_numeric(column, downcast="integer")` chooses the smallest type, for nullable columns too. `% 1` is 0 for
# whole numbers. `pd.api.types` has `is_numeric_dtype` and `is_string_dtype`; `nunique()` counts without missing.

# %% [markdown] role="hint" exercise="slim"
# ```python
# columns = {}
# for name, column in frame.items():
#     if pd.api.types.is_numeric_dtype(column):
#         if (...).all():
#             column = pd.to_numeric(column.astype(...), downcast=...)
#     elif ...:
#         if ...:
#             column = ...
#     columns[name] = column
# return pd.DataFrame(columns)
# ```


# %% role="right" exercise="slim"
def slim(frame):
    result = frame.copy(deep=False)
    for name in frame.columns:
        column = frame[name].convert_dtypes()
        if str(column.dtype).startswith("Int"):
            for bits, most in (
                (8, 127),
                (16, 32_767),
                (32, 2**31 - 1),
                (64, 2**63 - 1),
            ):
                if -most - 1 <= column.min() and column.max() <= most:
                    result[name] = column.astype(f"Int{bits}")
                    break
        elif pd.api.types.is_string_dtype(column) and 2 * len(
            column.dropna().unique()
        ) <= len(column):
            result[name] = column.astype("category")
    return result


# %% role="right" exercise="slim"
def slim(frame):
    result = {}
    for name, column in frame.items():
        array = pa.array(column, from_pandas=True)
        if pa.types.is_floating(array.type):
            whole = all(v is None or v == int(v) for v in array.to_pylist())
            array = array.cast(pa.int64()) if whole else array
        if pa.types.is_integer(array.type):
            ends = pc.min_max(array).as_py()
            size = max(abs(ends["min"] + 0.5), abs(ends["max"] + 0.5))
            array = array.cast(
                next(
                    kind
                    for kind, most in {
                        pa.int8(): 128,
                        pa.int16(): 32_768,
                        pa.int32(): 2**31,
                        pa.int64(): 2**63,
                    }.items()
                    if size < most
                )
            )
            column = pd.Series(
                array, index=frame.index, dtype=pd.ArrowDtype(array.type)
            )
        elif str(column.dtype) == "str" and column.nunique() * 2 <= len(column):
            column = column.astype("category")
        result[name] = column
    return pd.DataFrame(result)


# %% role="wrong" exercise="slim" misconception="Nullable is small" caught="check" says="bytes"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = column.astype("Int64")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %% role="wrong" exercise="slim" misconception="A missing number is 0" caught="check" says="column year holds 0"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = pd.to_numeric(column.fillna(0), downcast="integer")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %% role="wrong" exercise="slim" misconception="Half the bits hold the same float" caught="check" says="column temp holds"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = pd.to_numeric(column.astype("Int64"), downcast="integer")
            else:
                column = column.astype("float32")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %% role="wrong" exercise="slim" misconception="A float column is no integer" caught="check" says="column year holds number"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_integer_dtype(column):
            column = pd.to_numeric(column.astype("Int64"), downcast="integer")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %% role="wrong" exercise="slim" misconception="A category is always smaller" caught="check" says="'tailnum'"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = pd.to_numeric(column.astype("Int64"), downcast="integer")
        elif pd.api.types.is_string_dtype(column):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %% role="wrong" exercise="slim" misconception="A type that is too small raises an error" caught="check" says="column seats holds"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_integer_dtype(column):
            column = pd.Series(column.to_numpy().astype("int16"))
            if name == "meters":
                column = frame[name].astype("Int64")
        elif pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = pd.to_numeric(column.astype("Int64"), downcast="integer")
        elif (
            pd.api.types.is_string_dtype(column) and column.nunique() <= len(column) / 2
        ):
            column = column.astype("category")
        columns[name] = column
    return pd.DataFrame(columns)


# %%
slimmer = slim(FLIGHTS)
sizes = {
    name: frame.memory_usage(index=False, deep=True) / 1e6
    for name, frame in {"as loaded": FLIGHTS, "slim": slimmer}.items()
    if frame is not None
}
figure, axes = plt.subplots(figsize=(7, 4.2))
for shift, (name, size) in enumerate(sizes.items()):
    places = np.arange(len(size)) + 0.4 * shift
    axes.barh(places, size, height=0.4, label=f"{name}: {size.sum():.0f} MB")
axes.set_yticks(np.arange(len(FLIGHTS.columns)) + 0.2, FLIGHTS.columns, fontsize=8)
axes.set(xlabel="megabytes")
axes.invert_yaxis()
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
picture(
    figure,
    alt="Megabytes of each of the 19 columns as loaded and slim: together 56 before and 17 after. "
    "Numbers shrink from 2.7 to at most 1, tail numbers from 4.7 to under 1; time_hour stays.",
)

# %% [markdown] topics=["4.3-3.4"]
# ## A loop in disguise
#
# `apply(…, axis=1)` builds a Series and calls a Python function, for each row. Arithmetic on columns is one call
# of compiled code for all rows.
#
# **Predict:** twice the rows, how many more lines of Python run?


# %% tags=["nbval-ignore-output"]
def fee(row):
    """Dollars owed to a passenger of this flight; missing where nobody knows."""
    if pd.isna(row["dep_time"]):  # cancelled
        return 200
    if pd.isna(row["arr_delay"]):  # diverted
        return None
    owed = 100 if row["arr_delay"] >= 180 else 25 if row["arr_delay"] >= 60 else 0
    at_night = row["dep_time"] < 600 or row["dep_time"] >= 2200
    return owed * 2 if at_night else owed


def steps(function, *args):
    """What the function returns, and how many lines of Python run meanwhile."""
    count, before = [0], sys.gettrace()

    def trace(_frame, event, _arg):
        count[0] += event == "line"
        return trace

    sys.settrace(trace)
    try:
        return function(*args), count[0]
    finally:
        sys.settrace(before)


for rows in (100, 200):
    day = FLIGHTS.head(rows)
    by_row = steps(lambda day: day.apply(fee, axis=1), day)[1]
    by_column = steps(lambda day: day["dep_time"] // 100 * 60, day)[1]
    print(f"{rows} rows: lines of Python by row {by_row:,}, by column {by_column:,}")

# %% [markdown] role="task" exercise="fees" points=2 topics=["4.3-3.4"]
# ### Columns for a loop
#
# Write `fees(flights)`. Return a Series: for each flight, in order, what `fee` returns, missing where that is `None`.
# The number of Python steps must not grow with the rows.
#
# Times and delays may be `float64` or `Int16`. In nullable types, a comparison with a missing value is not false
# but missing.
#
# Example: a departure at 23:00 that arrives 60 minutes late: 50.
#
# Why: the same rule, on a year of flights, in milliseconds.


# %%
def paid(flights, kind="float64"):
    """What `fees` returns, and whether its steps grow with the rows."""
    flights = flights.astype(dict.fromkeys(["dep_time", "arr_delay"], kind))
    result, count = steps(fees, flights)
    more = pd.concat([flights] * 4, ignore_index=True)
    grown = steps(fees, more)[1] - count > len(flights)
    return {"fees": list(pd.Series(result).astype("Float64")), "grows": grown}


# %% role="answer" exercise="fees"
def fees(flights: pd.DataFrame) -> pd.Series:
    """Dollars owed for each flight."""
    ### BEGIN SOLUTION
    left, delay = (flights[n].astype("float64") for n in ("dep_time", "arr_delay"))
    owed = 25 * (delay >= 60) + 75 * (delay >= 180)
    owed = owed.mask((left < 600) | (left >= 2200), owed * 2)
    return owed.where(delay.notna()).mask(left.isna(), 200)
    ### END SOLUTION


# %% role="check" exercise="fees"
with lab.check("fees") as answer:
    answer.value("fees")
    rows = {
        (None, None): 200,
        (900, None): None,
        (2300, None): None,
        (900, 59): 0,
        (900, 60): 25,
        (900, 179): 25,
        (900, 180): 100,
        (599, 60): 50,
        (600, 60): 25,
        (2199, 999): 100,
        (2200, 999): 200,
        (1, -20): 0,
    }
    flights = pd.DataFrame([*rows], columns=["dep_time", "arr_delay"])
    for kind in ("float64", "Int16"):
        found = answer.call("paid", flights, kind)
        for row, owed, expected in zip(rows, found["fees"], rows.values(), strict=True):
            answer.equal(
                owed,
                expected,
                asked=f"the fee for dep_time {row[0]} and arr_delay {row[1]}, as {kind}",
            )
    answer.true(
        not answer.call("paid", pd.concat([flights] * 20, ignore_index=True))["grows"],
        asked="steps of Python that do not grow with the rows",
        found="more steps for more rows",
    )

# %% role="hidden" exercise="fees"
with lab.check("fees", hidden=True) as answer:
    answer.value("fees")
    times = [1, 559, 600, 1200, 2159, 2200, 2400]
    delays = [None, -40, 0, 59, 60, 61, 179, 180, 181, 1272]
    rows = [
        (answer.random.choice(times), answer.random.choice(delays)) for _ in range(300)
    ]
    rows += [(None, None)] * 20
    answer.random.shuffle(rows)
    expected = [
        200
        if left is None
        else None
        if delay is None
        else [0, 25, 100][(delay >= 60) + (delay >= 180)]
        * (1 + (not 600 <= left < 2200))
        for left, delay in rows
    ]
    flights = pd.DataFrame(rows, columns=["dep_time", "arr_delay"])
    for kind in ("float64", "Int16"):
        answer.equal(
            answer.call("paid", flights, kind)["fees"],
            expected,
            asked=f"the fees of 320 flights, as {kind}",
        )

# %% [markdown] role="hint" exercise="fees"
# Which `if` of `fee` comes first? In columns, what is written last wins. What is `NA >= 60`?

# %% [markdown] role="hint" exercise="fees"
# `astype("float64")` turns missing into NaN, and comparisons with NaN are false. `a.where(condition)` keeps,
# `a.mask(condition, b)` replaces; `np.select([conditions], [values])` takes the first that holds.

# %% [markdown] role="hint" exercise="fees"
# ```python
# left, delay = (flights[n].astype("float64") for n in (...))
# owed = 25 * (...) + 75 * (...)
# owed = owed.mask(..., owed * 2)
# return owed.where(...).mask(..., 200)
# ```


# %% role="right" exercise="fees"
def fees(flights):
    left = flights["dep_time"].to_numpy("float64", na_value=np.nan)
    delay = flights["arr_delay"].to_numpy("float64", na_value=np.nan)
    times = np.where((left < 600) | (left >= 2200), 2, 1)
    cases = [np.isnan(left), np.isnan(delay), delay >= 180, delay >= 60]
    return pd.Series(np.select(cases, [200, np.nan, 100 * times, 25 * times], 0.0))


# %% [markdown] role="equivalent" exercise="fees" reason="nullable columns carry what is missing along"
# - left, delay = (flights[n].astype("float64") for n in ("dep_time", "arr_delay"))
# + left, delay = (flights[n].astype(None) for n in ("dep_time", "arr_delay"))

# %% [markdown] role="equivalent" exercise="fees" reason="nullable columns carry what is missing along"
# - left, delay = (flights[n].astype("float64") for n in ("dep_time", "arr_delay"))
# + left, delay = (flights[n] for n in ("dep_time", "arr_delay"))


# %% role="wrong" exercise="fees" misconception="apply is a vectorised call" caught="check" says="more steps"
def fees(flights):
    return flights.apply(fee, axis=1).astype("Float64")


# %% role="wrong" exercise="fees" misconception="np.vectorize makes compiled code" caught="check" says="more steps"
def fees(flights):
    def one(left, delay):
        owed = fee({"dep_time": left, "arr_delay": delay})
        return np.nan if owed is None else float(owed)

    columns = [flights[n].astype("float64") for n in ("dep_time", "arr_delay")]
    return pd.Series(np.vectorize(one, otypes=[float])(*columns))


# %% role="wrong" exercise="fees" misconception="A comprehension is no loop" caught="check" says="more steps"
def fees(flights):
    rows = flights[["dep_time", "arr_delay"]].astype("float64").to_dict("records")
    return pd.Series([fee(row) for row in rows], dtype="Float64")


# %% role="wrong" exercise="fees" misconception="numpy takes a missing truth for false" caught="check" says="NA is ambiguous"
def fees(flights):
    left, delay = flights["dep_time"], flights["arr_delay"]
    owed = np.where(delay >= 180, 100.0, np.where(delay >= 60, 25.0, 0.0))
    owed = np.where((left < 600) | (left >= 2200), owed * 2, owed)
    owed = np.where(left.isna(), 200.0, np.where(delay.isna(), np.nan, owed))
    return pd.Series(owed)


# %% role="wrong" exercise="fees" misconception="What is missing is not late" caught="check" says="arr_delay None"
def fees(flights):
    left, delay = (flights[n].astype("float64") for n in ("dep_time", "arr_delay"))
    owed = 25 * (delay >= 60) + 75 * (delay >= 180)
    owed = owed.mask((left < 600) | (left >= 2200), owed * 2)
    return owed.mask(left.isna(), 200)


# %% role="wrong" exercise="fees" misconception="The order of conditions does not matter" caught="check" says="dep_time None"
def fees(flights):
    left, delay = (flights[n].astype("float64") for n in ("dep_time", "arr_delay"))
    owed = 25 * (delay >= 60) + 75 * (delay >= 180)
    owed = owed.mask((left < 600) | (left >= 2200), owed * 2)
    return owed.mask(left.isna(), 200).where(delay.notna())


# %% [markdown] topics=["4.3-3"]
# ## The worst airline that was not
#
# A table that does not fit is read in parts. Each month's report has a mean delay for each airline; for the year,
# somebody takes the mean of these.
#
# **Predict:** OO is the worst airline by that report. What is its true mean?

# %%
known = FLIGHTS.dropna(subset=["arr_delay"])
monthly = known.groupby(["month", "carrier"])["arr_delay"].agg(["size", "mean"])
reports = {
    "mean of monthly means": monthly.groupby("carrier")["mean"].mean(),
    "mean of all flights": known.groupby("carrier")["arr_delay"].mean(),
}
for name, report in reports.items():
    print(f"{name:<22} worst {report.idxmax()}, OO {report['OO']:.1f} minutes late")
skywest = monthly.xs("OO", level="carrier")
figure, axes = plt.subplots(figsize=(6, 2.8))
bars = axes.bar(skywest.index.astype(str), skywest["mean"])
axes.bar_label(bars, labels=[f"n = {n}" for n in skywest["size"]], fontsize=8)
axes.set(xlabel="month in which OO flew", ylabel="mean delay, minutes", ylim=(-30, 125))
picture(
    figure,
    alt="Mean arrival delay of OO in the months in which it flew: 107 minutes in January from one "
    "flight, 69 in June from two, 65 in August from four; in September, 17 flights were 9 minutes "
    "early, and in November, five were on time.",
)

# %% [markdown]
# One flight in January counts as much as seventeen in September. A mean has forgotten how many it stands for.
#
# What can be combined is a *partial* result that has forgotten nothing:
#
# | Wanted | Partial result | Combined by |
# |---|---|---|
# | count, sum, min, max | itself | sum, sum, min, max |
# | mean | count, sum | adding both |
# | standard deviation | count, sum, sum of squares | adding all three |
# | median | how often each value occurs | adding the counts |
#
# All tools for large data work like that: *partial*, *combine*, *finish*.
#
# | Tool | Takes |
# |---|---|
# | pandas | what fits into memory, several times |
# | Polars, DuckDB | one machine, larger than memory |
# | Dask | pandas' and numpy's code in parts, one machine or some |
# | Spark | SQL and tables on many machines |
# | Flink; Beam, which runs on it and others | streams without an end, on many machines |

# %% [markdown] role="task" exercise="combine" points=3 topics=["4.3-3"]
# ### Combine parts
#
# Write three functions on tables with the columns `carrier` and `arr_delay`, of which some are missing:
#
# - `partial(flights)`: a table with one row for each carrier, a column `carrier` and others that you choose
# - `combine(parts)`: one such table for a list of them, again one row for each carrier; it may be combined again
# - `finish(part)`: a table with `carrier`, `flights` (how many delays are known), `mean` and `std`
#
# The result must be that of the whole table, however it was cut. `std` is the sample standard deviation,
# `sqrt((q - s*s/n) / (n - 1))` for count n, sum s, sum of squares q. Without a known delay, `flights` is 0;
# what cannot be computed is missing.
#
# Example: OO with 107 in one part, 3 and a missing one in another: 2 flights, mean 55.
#
# Why: any tool for large data asks you for these three.


# %%
def in_parts(pieces):
    """The report on pieces of a table, combined two by two, and the rows of each partial table."""
    parts = [partial(piece) for piece in pieces]
    sizes = [len(part) for part in parts]
    while len(parts) > 1:
        parts = [combine(parts[n : n + 2]) for n in range(0, len(parts), 2)]
        sizes += [len(part) for part in parts]
    return {"report": finish(parts[0]), "rows": sizes}


# %% role="answer" exercise="combine"
# Your three functions: partial(flights), combine(parts), finish(part).
### BEGIN SOLUTION
def partial(flights: pd.DataFrame) -> pd.DataFrame:
    """What must be known of a part: one row for each carrier."""
    squares = flights.assign(square=flights["arr_delay"] ** 2)
    by_carrier = squares.groupby("carrier", as_index=False)
    return by_carrier.agg(
        n=("arr_delay", "count"), s=("arr_delay", "sum"), q=("square", "sum")
    )


def combine(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One partial table for several."""
    return pd.concat(parts).groupby("carrier", as_index=False).sum()


def finish(part: pd.DataFrame) -> pd.DataFrame:
    """The report: carrier, flights, mean, std."""
    n, s, q = part["n"], part["s"], part["q"]
    result = part[["carrier"]].assign(flights=n, mean=s / n)
    return result.assign(std=np.sqrt((q - s * s / n) / (n - 1)))


### END SOLUTION

# %% role="check" exercise="combine"
with lab.check("combine") as answer:
    for name in ("partial", "combine", "finish"):
        answer.value(name)
    delays = {"OO": [107, -4, 11, None], "F9": [30, 30], "EV": [8], "HA": [None]}
    rows = [(code, delay) for code, known in delays.items() for delay in known]
    expected = [
        {"carrier": "OO", "flights": 3, "mean": 38, "std": math.sqrt(3627)},
        {"carrier": "F9", "flights": 2, "mean": 30, "std": 0.0},
        {"carrier": "EV", "flights": 1, "mean": 8, "std": None},
        {"carrier": "HA", "flights": 0, "mean": None, "std": None},
    ]
    for ends in ([0, 8], [0, 1, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]):
        pieces = [
            pd.DataFrame(rows[a:b], columns=["carrier", "arr_delay"]).astype(
                {"arr_delay": "float64"}
            )
            for a, b in itertools.pairwise(ends)
        ]
        found = answer.call("in_parts", pieces)
        answer.same_rows(
            found["report"],
            expected,
            asked=f"the report on {delays} in {len(pieces)} part(s)",
            key=["carrier"],
        )
    answer.true(
        found["rows"][-1] <= 4,
        asked="one row for each of 4 carriers, when all parts are combined",
        found=f"{found['rows'][-1]} rows",
    )

# %% role="hidden" exercise="combine"
with lab.check("combine", hidden=True) as answer:
    for name in ("partial", "combine", "finish"):
        answer.value(name)
    draw = answer.random
    rows = [
        (draw.choice(["UA", "DL", "Ñ1"]), draw.choice([None, draw.randint(-60, 900)]))
        for _ in range(400)
    ]
    expected = []
    for code in ("UA", "DL", "Ñ1"):
        known = [
            delay for carrier, delay in rows if carrier == code and delay is not None
        ]
        moments = {"mean": statistics.mean(known), "std": statistics.stdev(known)}
        expected.append({"carrier": code, "flights": len(known)} | moments)
    ends = sorted([0, 400, 400, *draw.sample(range(1, 400), 4)])
    pieces = [
        pd.DataFrame(rows[a:b], columns=["carrier", "arr_delay"]).astype(
            {"carrier": "str", "arr_delay": "float64"}
        )
        for a, b in itertools.pairwise(ends)
    ]
    found = answer.call("in_parts", pieces)
    report = found["report"]
    answer.same_rows(
        report,
        expected,
        asked="the report on 400 flights in 6 parts of other sizes, one of them empty",
        key=["carrier"],
    )
    answer.true(
        max(found["rows"]) <= 3,
        asked="at most one row for each of 3 carriers in each partial table",
        found=f"up to {max(found['rows'])} rows",
    )

# %% [markdown] role="hint" exercise="combine"
# From 107 of one flight and -4 of twenty, can you compute the mean of all? What else would you need?

# %% [markdown] role="hint" exercise="combine"
# Keep three columns that may be added: how many are known (`"count"`, not `"size"`), their sum, the sum of their
# squares. Divide only in `finish`; 0 / 0 is missing by itself.

# %% [markdown] role="hint" exercise="combine"
# ```python
# squares = flights.assign(square=...)
# return squares.groupby("carrier", as_index=False).agg(n=(...), s=(...), q=(...))
#
# return pd.concat(parts).groupby("carrier", as_index=False)...
#
# n, s, q = part["n"], part["s"], part["q"]
# return part[["carrier"]].assign(flights=..., mean=..., std=np.sqrt(...))
# ```


# %% role="right" exercise="combine"
def partial(flights):
    groups = flights.groupby("carrier")["arr_delay"]
    table = pd.DataFrame({"n": groups.count(), "mean": groups.mean().fillna(0.0)})
    table["far"] = groups.var(ddof=0).fillna(0.0) * table["n"]
    return table.rename_axis("carrier").reset_index()


def combine(parts):
    whole = pd.concat(parts, ignore_index=True)
    whole["s"] = whole["n"] * whole["mean"]
    sums = whole.groupby("carrier")[["n", "s", "far"]].sum()
    sums["mean"] = (sums["s"] / sums["n"]).fillna(0.0)
    gap = whole["mean"] - whole["carrier"].map(sums["mean"])
    sums["far"] += (whole["n"] * gap**2).groupby(whole["carrier"]).sum()
    return sums[["n", "mean", "far"]].reset_index()


def finish(part):
    n, result = part["n"], part[["carrier"]].copy()
    result["flights"] = n
    result["mean"] = part["mean"].where(n > 0)
    result["std"] = (part["far"] / (n - 1)).where(n > 1) ** 0.5
    return result


# %% [markdown] role="equivalent" exercise="combine" reason="None is as false as False"
# - by_carrier = squares.groupby("carrier", as_index=False)
# + by_carrier = squares.groupby("carrier", as_index=None)

# %% [markdown] role="equivalent" exercise="combine" reason="None is as false as False"
# - return pd.concat(parts).groupby("carrier", as_index=False).sum()
# + return pd.concat(parts).groupby("carrier", as_index=None).sum()


# %% role="wrong" exercise="combine" misconception="The mean of means is the mean" caught="check" says="column mean"
def partial(flights):
    groups = flights.groupby("carrier", as_index=False)
    return groups.agg(
        n=("arr_delay", "count"), mean=("arr_delay", "mean"), std=("arr_delay", "std")
    )


def combine(parts):
    groups = pd.concat(parts).groupby("carrier", as_index=False)
    return groups.agg(n=("n", "sum"), mean=("mean", "mean"), std=("std", "mean"))


def finish(part):
    return part.rename(columns={"n": "flights"})


# %% role="wrong" exercise="combine" misconception="All rows of a group have a value" caught="check" says="column flights"
def partial(flights):
    squares = flights.assign(square=flights["arr_delay"] ** 2)
    return squares.groupby("carrier", as_index=False).agg(
        n=("arr_delay", "size"), s=("arr_delay", "sum"), q=("square", "sum")
    )


def combine(parts):
    return pd.concat(parts).groupby("carrier", as_index=False).sum()


def finish(part):
    n, s, q = part["n"], part["s"], part["q"]
    result = part[["carrier"]].assign(flights=n, mean=s / n)
    return result.assign(std=np.sqrt((q - s * s / n) / (n - 1)))


# %% role="wrong" exercise="combine" misconception="Deviations have a weighted mean, as means have" caught="check" says="column std"
def partial(flights):
    groups = flights.groupby("carrier", as_index=False)
    table = groups.agg(
        n=("arr_delay", "count"), s=("arr_delay", "sum"), std=("arr_delay", "std")
    )
    return table.assign(std=table["std"].fillna(0) * table["n"])


def combine(parts):
    return pd.concat(parts).groupby("carrier", as_index=False).sum()


def finish(part):
    n = part["n"]
    result = part[["carrier"]].assign(flights=n, mean=part["s"] / n)
    return result.assign(std=(part["std"] / n).where(n > 1))


# %% role="wrong" exercise="combine" misconception="To combine is to put below each other" caught="check" says="rows"
def partial(flights):
    squares = flights.assign(square=flights["arr_delay"] ** 2)
    return squares.groupby("carrier", as_index=False).agg(
        n=("arr_delay", "count"), s=("arr_delay", "sum"), q=("square", "sum")
    )


def combine(parts):
    return pd.concat(parts)


def finish(part):
    part = part.groupby("carrier", as_index=False).sum()
    n, s, q = part["n"], part["s"], part["q"]
    result = part[["carrier"]].assign(flights=n, mean=s / n)
    return result.assign(std=np.sqrt((q - s * s / n) / (n - 1)))


# %% role="wrong" exercise="combine" misconception="A part is a part of the rows" caught="check" says="8 rows"
def partial(flights):
    return flights[["carrier", "arr_delay"]]


def combine(parts):
    return pd.concat(parts)


def finish(part):
    groups = part.groupby("carrier", as_index=False)
    return groups.agg(
        flights=("arr_delay", "count"),
        mean=("arr_delay", "mean"),
        std=("arr_delay", "std"),
    )


# %% role="wrong" exercise="combine" misconception="The deviation is that of all, not of a sample" caught="check" says="column std"
def partial(flights):
    squares = flights.assign(square=flights["arr_delay"] ** 2)
    return squares.groupby("carrier", as_index=False).agg(
        n=("arr_delay", "count"), s=("arr_delay", "sum"), q=("square", "sum")
    )


def combine(parts):
    return pd.concat(parts).groupby("carrier", as_index=False).sum()


def finish(part):
    n, s, q = part["n"], part["s"], part["q"]
    result = part[["carrier"]].assign(flights=n, mean=s / n)
    return result.assign(std=np.sqrt(q / n - (s / n) ** 2))


# %% [markdown] topics=["4.3-3.4"]
# ## Larger than memory
#
# A Parquet file is cut into *row groups*; each, and each column of it, can be read alone. Memory then holds one
# group and the partial result.
#
# **Predict:** the year takes 51 MB. How much is `arr_delay` of one of twelve row groups?


# %%
POOLS = []  # a pool must outlive what it holds


def peak(function, path):
    """The result, and the most bytes that Arrow and Python held meanwhile."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    POOLS.append(pool)
    gc.collect()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        result = function(path)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
    return result, pool.max_memory(), held


with tempfile.TemporaryDirectory() as folder:
    pq.write_table(
        dataset("flights").arrow(), f"{folder}/f.parquet", row_group_size=28_065
    )
    for name, read in {
        "all": lambda path: pq.read_table(path),
        "one column": lambda path: pq.read_table(path, columns=["arr_delay"]),
        "one group's": lambda path: pq.ParquetFile(path).read_row_group(
            0, ["arr_delay"]
        ),
    }.items():
        print(f"{name:<11} {peak(read, f'{folder}/f.parquet')[1] / 1e6:>5.1f} MB")

# %% [markdown] role="task" exercise="medians" points=3 topics=["4.3-3.4"]
# ### An exact median, a row group at a time
#
# Write `medians(path)` for a Parquet file. Return a dictionary with the median of `arr_delay` for each `dest`. Leave
# out missing delays, and airports without a known one.
#
# Hold one row group at a time, and only the two columns. Delays are whole minutes: a few hundred different
# values, however many flights.
#
# `pq.ParquetFile(path)` has `num_row_groups` and `read_row_group(number, columns=[…])`.
#
# Example: delays 4, 1 and 3 in one group and 40 in another have the median 3.5.
#
# Why: "a median cannot be combined" is true of medians, not of what they are made of.


# %%
def measured(groups):
    """The medians of a file with these row groups, and the most that Arrow and Python held."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/flights.parquet"
        kinds = {"dest": pa.string(), "arr_delay": pa.int64(), "note": pa.string()}
        with pq.ParquetWriter(path, pa.schema(kinds)) as writer:
            for rows in groups:
                notes = [f"{n} {'remark ' * 40}" for n in range(len(rows["dest"]))]
                writer.write_table(pa.table({**rows, "note": notes}, pa.schema(kinds)))
        result, arrow, python = peak(medians, path)
    return {"medians": dict(result), "arrow": arrow, "python": python}


# %% role="answer" exercise="medians"
def medians(path: str) -> dict[str, float]:
    """The median arrival delay of each destination."""
    ### BEGIN SOLUTION
    file = pq.ParquetFile(path)
    counts = {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["dest", "arr_delay"]).to_pandas()
        for (dest, delay), n in group.value_counts().items():
            counts.setdefault(dest, Counter())[delay] += n
    found = {}
    for dest, by_delay in counts.items():
        delays = sorted(by_delay)
        ends = np.cumsum([by_delay[delay] for delay in delays])
        middle = [(ends[-1] - 1) / 2, ends[-1] / 2]
        low, high = np.searchsorted(ends, middle, side="right")
        found[dest] = (delays[low] + delays[high]) / 2
    return found
    ### END SOLUTION


# %% role="check" exercise="medians"
with lab.check("medians") as answer:
    answer.value("medians")
    groups = [
        {"dest": ["LAX", "LAX", "LAX", "SFO"], "arr_delay": [4, 1, 3, 9]},
        {"dest": ["LAX", "SFO", "SFO", "EGE"], "arr_delay": [40, None, 9, None]},
        {"dest": ["SFO", "SFO"], "arr_delay": [-5, -7]},
        {"dest": ["SFO"], "arr_delay": [800]},
    ]
    answer.equal(
        answer.call("measured", groups)["medians"],
        {"LAX": 3.5, "SFO": 9.0},
        asked=f"the medians of the row groups {[[*g.values()] for g in groups]}",
    )
    rows = 1000
    one = {
        "dest": [f"A{n % 5}" for n in range(rows)],
        "arr_delay": [n * n % 97 for n in range(rows)],
    }
    answer.call("measured", [one])
    few, many = (answer.call("measured", [one] * n) for n in (2, 10))
    answer.true(
        many["arrow"] < 100_000,
        asked="two columns of 1,000 rows at a time, so at most 100,000 bytes in Arrow",
        found=f"{many['arrow']:,} bytes",
    )
    answer.true(
        many["python"] < 1.5 * few["python"] + 20_000,
        asked="as much memory for 10 row groups as for 2",
        found=f"{few['python']:,} bytes for 2, {many['python']:,} for 10",
    )

# %% role="hidden" exercise="medians"
with lab.check("medians", hidden=True) as answer:
    answer.value("medians")
    draw = answer.random
    groups, known = [], {}
    for size in (90, 1, 60, 0, 150):
        rows = {
            "dest": draw.choices(["BOS", "Ñuñoa", "ATL"], k=size),
            "arr_delay": [
                draw.choice([None, draw.randint(-60, 300)]) for _ in range(size)
            ],
        }
        groups.append(rows)
        for dest, delay in zip(*rows.values(), strict=True):
            if delay is not None:
                known.setdefault(dest, []).append(delay)
    answer.equal(
        answer.call("measured", groups)["medians"],
        {dest: float(statistics.median(delays)) for dest, delays in known.items()},
        asked="the medians of 301 flights in 5 row groups of other sizes, one of them empty",
    )

# %% [markdown] role="hint" exercise="medians"
# If you knew for one airport how often each delay occurs, how would you find the middle flight?

# %% [markdown] role="hint" exercise="medians"
# `group.value_counts()` counts pairs of `dest` and `arr_delay`; add the counts of all groups in a `Counter` for each
# airport. With the values sorted, walk through the counts up to the middle. An even number has two middle ones.

# %% [markdown] role="hint" exercise="medians"
# ```python
# for number in range(file.num_row_groups):
#     group = file.read_row_group(number, columns=[...]).to_pandas()
#     for (dest, delay), n in group...:
#         counts.setdefault(dest, Counter())[delay] += ...
# for dest, by_delay in counts.items():
#     delays = sorted(by_delay)
#     ends = np.cumsum([...])
#     low, high = np.searchsorted(ends, [..., ...], side="right")
#     found[dest] = ...
# ```


# %% role="right" exercise="medians"
def medians(path):
    file, counts = pq.ParquetFile(path), None
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["arr_delay", "dest"])
        more = group.to_pandas().groupby(["dest", "arr_delay"]).size()
        counts = more if counts is None else counts.add(more, fill_value=0)
    found = {}
    for dest, part in counts.groupby("dest"):
        ends = part.droplevel("dest").sort_index().cumsum()
        total = int(ends.iloc[-1])
        two = [ends.index[ends > place][0] for place in ((total - 1) // 2, total // 2)]
        found[dest] = sum(two) / 2
    return found


# %% role="wrong" exercise="medians" misconception="The median of medians is the median" caught="check" says="medians of the row groups"
def medians(path):
    file, found = pq.ParquetFile(path), {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["dest", "arr_delay"]).to_pandas()
        for dest, delays in group.dropna().groupby("dest")["arr_delay"]:
            found.setdefault(dest, []).append(delays.median())
    return {dest: float(statistics.median(values)) for dest, values in found.items()}


# %% role="wrong" exercise="medians" misconception="Reading in parts is enough, whatever is kept" caught="check" says="for 10"
def medians(path):
    file = pq.ParquetFile(path)
    found = {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["dest", "arr_delay"]).to_pandas()
        for dest, delays in group.dropna().groupby("dest")["arr_delay"]:
            found.setdefault(dest, []).extend(delays.tolist())
    return {dest: float(statistics.median(delays)) for dest, delays in found.items()}


# %% role="wrong" exercise="medians" misconception="A file is read as a whole" caught="check" says="in Arrow"
def medians(path):
    frame = pd.read_parquet(path, columns=["dest", "arr_delay"]).dropna()
    return frame.groupby("dest")["arr_delay"].median().to_dict()


# %% role="wrong" exercise="medians" misconception="Columns can be chosen after reading" caught="check" says="in Arrow"
def medians(path):
    file, counts = pq.ParquetFile(path), {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number).to_pandas()[["dest", "arr_delay"]]
        for (dest, delay), n in group.dropna().value_counts().items():
            counts.setdefault(dest, Counter())[delay] += n
    return {dest: float(statistics.median(c.elements())) for dest, c in counts.items()}


# %% role="wrong" exercise="medians" misconception="There is one value in the middle" caught="check" says="medians of the row groups"
def medians(path):
    file, counts = pq.ParquetFile(path), {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["dest", "arr_delay"]).to_pandas()
        for (dest, delay), n in group.dropna().value_counts().items():
            counts.setdefault(dest, Counter())[delay] += n
    found = {}
    for dest, by_delay in counts.items():
        delays = sorted(by_delay)
        ends = np.cumsum([by_delay[delay] for delay in delays])
        place = np.searchsorted(ends, ends[-1] // 2, side="right")
        found[dest] = float(delays[place])
    return found


# %% role="wrong" exercise="medians" misconception="Each different value counts once" caught="check" says="medians of the row groups"
def medians(path):
    file, seen = pq.ParquetFile(path), {}
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=["dest", "arr_delay"]).to_pandas()
        for dest, delay in group.dropna().itertuples(index=False):
            seen.setdefault(dest, set()).add(delay)
    return {dest: float(statistics.median(delays)) for dest, delays in seen.items()}


# %% [markdown] topics=["4.3-3.4"]
# ## The same in Dask
#
# A Dask table is a plan for many pandas tables, its *partitions*. Each method only adds to the plan. `compute()`
# optimises it, cuts it into *tasks* and runs them: in turn (`"synchronous"`, as here), in threads, or on a cluster.
#
# Aim at partitions of about 100 MB: memory holds one for each thread, several times. *Divisions* say which index
# values lie in which partition.
#
# **Predict:** how many of the twelve months does each of these lines read?

# %%
COLUMNS = ["month", "carrier", "tailnum", "origin", "dep_time", "arr_delay"]
READS = Counter()


def lazy(months, **options):
    """A Dask table with these tables as partitions; counts in READS how often each is read."""
    READS.clear()

    def read(number):
        READS[number] += 1
        return months[number]

    return dd.from_map(read, range(len(months)), meta=months[0].head(0), **options)


MONTHS = [part.set_index("month") for _, part in FLIGHTS[COLUMNS].groupby("month")]
flights = lazy(MONTHS, divisions=[*range(1, 13), 12])
for name, line in {
    "mean":             lambda: flights["arr_delay"].mean(),
    "mean, computed":   lambda: flights["arr_delay"].mean().compute(),
    "July and August":  lambda: flights.loc[7:8]["arr_delay"].mean().compute(),
    "rows, then mean":  lambda: (len(flights), flights["arr_delay"].mean().compute()),
}.items():  # fmt: skip
    READS.clear()
    line()
    print(f"{name:<16} {READS.total():>2} partitions read")

# %% [markdown]
# Each `compute()` and each `len` starts from the source again. `dask.compute(a, b)` makes one plan, in which common
# steps are done once and kept until their last use; it takes dictionaries, too. `persist()` keeps a computed table
# in memory, if it fits.

# %% [markdown] role="task" exercise="once" points=2 topics=["4.3-3.4"]
# ### Four answers, one reading
#
# Write `summary(flights)` for a Dask table with `carrier` and `arr_delay`. Return a dictionary of plain values:
#
# - `flights`: the number of rows
# - `mean`: the mean of the known arrival delays
# - `late`: how many flights were more delayed than this mean
# - `worst`: the carrier with the highest mean
#
# Read each partition once, and never make one pandas table of them all.
#
# Example: UA with 10 and 20, DL with 60 and a missing one: 4 flights, mean 30, 1 late, worst DL.
#
# Why: reading is what costs; a `compute()` in a loop reads in a loop.


# %%
class Largest(dask.callbacks.Callback):
    """Notes the most rows of a table that a task makes."""

    rows = 0

    def _posttask(self, key, result, dsk, state, worker_id):
        if isinstance(result, pd.DataFrame | pd.Series):
            self.rows = max(self.rows, len(result))


def watched(months):
    """The summary of these months, how often each was read, and the largest table made."""
    flights = lazy(months)
    with Largest() as largest:
        found = dict(summary(flights))
    return {"found": found, "reads": sorted(READS.values()), "rows": largest.rows}


# %% role="answer" exercise="once"
def summary(flights: dd.DataFrame) -> dict:
    """Number of flights, mean delay, flights later than that, worst carrier."""
    ### BEGIN SOLUTION
    delay = flights["arr_delay"]
    plan = {"flights": flights.shape[0], "mean": delay.mean()}
    plan["late"] = (delay > delay.mean()).sum()
    plan["worst"] = flights.groupby("carrier")["arr_delay"].mean()
    (found,) = dask.compute(plan)
    return found | {"worst": found["worst"].idxmax()}
    ### END SOLUTION


# %% role="check" exercise="once"
with lab.check("once") as answer:
    answer.value("summary")
    rows = [("UA", 10), ("DL", 60), ("UA", 20), ("DL", None), ("AA", 30), ("UA", None)]
    rows += [("UA", 35), ("UA", 25)]
    months = [
        pd.DataFrame(rows[a:b] * 3, columns=["carrier", "arr_delay"]).astype(
            {"arr_delay": "float64"}
        )
        for a, b in ((0, 1), (1, 4), (4, 8))
    ]
    result = answer.call("watched", months)
    for name, expected in {
        "flights": 24,
        "mean": 30,
        "late": 6,
        "worst": "DL",
    }.items():
        answer.equal(
            result["found"].get(name),
            expected,
            asked=f"{name} of {rows}, each three times, in three partitions",
        )
    answer.equal(
        result["reads"],
        [1, 1, 1],
        asked="each of three partitions read once",
        found=f"{result['reads']} readings",
    )
    answer.true(
        result["rows"] <= 12,
        asked="no table with more rows than a partition has, 12 at most",
        found=f"a table of {result['rows']} rows",
    )

# %% role="hidden" exercise="once"
with lab.check("once", hidden=True) as answer:
    answer.value("summary")
    draw = answer.random
    months, known, total = [], {}, 0
    for size in (40, 1, 90, 25):
        rows = [
            (
                draw.choice(["UA", "Ñ1", "DL"]),
                draw.choice([None, draw.randint(-60, 900)]),
            )
            for _ in range(size)
        ]
        total += size
        months.append(
            pd.DataFrame(rows, columns=["carrier", "arr_delay"]).astype(
                {"arr_delay": "float64"}
            )
        )
        for carrier, delay in rows:
            if delay is not None:
                known.setdefault(carrier, []).append(delay)
    delays = [delay for part in known.values() for delay in part]
    mean = statistics.mean(delays)
    answer.equal(
        answer.call("watched", months)["found"],
        {
            "flights": total,
            "mean": float(mean),
            "late": sum(delay > mean for delay in delays),
            "worst": max(known, key=lambda carrier: statistics.mean(known[carrier])),
        },
        asked="the summary of flights in four partitions of other sizes",
    )

# %% [markdown] role="hint" exercise="once"
# How many `compute()` do you need? Must the mean be a number before you can write `>`?

# %% [markdown] role="hint" exercise="once"
# `flights.shape[0]` is lazy, `len(flights)` is not. A lazy column may be compared with a lazy number. `idxmax` is
# quick on the small table that the plan returns.

# %% [markdown] role="hint" exercise="once"
# ```python
# delay = flights["arr_delay"]
# plan = {"flights": ..., "mean": ..., "late": (...).sum(), "worst": flights.groupby(...)...}
# (found,) = dask.compute(plan)
# return found | {"worst": ...}
# ```


# %% role="right" exercise="once"
def summary(flights):
    kept = flights[["carrier", "arr_delay"]].persist()
    mean = kept["arr_delay"].mean().compute()
    groups = kept.groupby("carrier")["arr_delay"].mean().compute()
    return {
        "flights": len(kept),
        "mean": float(mean),
        "late": int((kept["arr_delay"] > mean).sum().compute()),
        "worst": groups.sort_values().dropna().index[-1],
    }


# %% role="wrong" exercise="once" misconception="A lazy table remembers what it has read" caught="check" says="readings"
def summary(flights):
    delay = flights["arr_delay"]
    mean = delay.mean().compute()
    return {
        "flights": len(flights),
        "mean": mean,
        "late": (delay > mean).sum().compute(),
        "worst": flights.groupby("carrier")["arr_delay"].mean().compute().idxmax(),
    }


# %% role="wrong" exercise="once" misconception="The mean must be known before the rest can be planned" caught="check" says="readings"
def summary(flights):
    delay = flights["arr_delay"]
    mean = delay.mean().compute()
    rows, late, groups = dask.compute(
        flights.shape[0],
        (delay > mean).sum(),
        flights.groupby("carrier")["arr_delay"].mean(),
    )
    return {"flights": rows, "mean": mean, "late": late, "worst": groups.idxmax()}


# %% role="wrong" exercise="once" misconception="Dask tables are to be turned into pandas ones first" caught="check" says="a table of 24 rows"
def summary(flights):
    table = flights.compute()
    mean = table["arr_delay"].mean()
    worst = table.groupby("carrier")["arr_delay"].mean().idxmax()
    late = (table["arr_delay"] > mean).sum()
    return {"flights": len(table), "mean": mean, "late": late, "worst": worst}


# %% role="wrong" exercise="once" misconception="A mean of the partitions' means will do" caught="check" says="mean of"
def summary(flights):
    kept = flights.persist()
    means = kept["arr_delay"].map_partitions(
        lambda part: part.mean(), meta=(None, "f8")
    )
    mean = means.compute().mean()
    worst = kept.groupby("carrier")["arr_delay"].mean().compute().idxmax()
    late = int((kept["arr_delay"] > mean).sum().compute())
    return {"flights": len(kept), "mean": mean, "late": late, "worst": worst}


# %% role="wrong" exercise="once" misconception="The worst carrier has the most minutes" caught="check" says="worst of"
def summary(flights):
    delay = flights["arr_delay"]
    plan = {"flights": flights.shape[0], "mean": delay.mean()}
    plan["late"] = (delay > delay.mean()).sum()
    plan["worst"] = flights.assign(n=1).groupby("carrier")["n"].sum()
    (found,) = dask.compute(plan)
    return found | {"worst": found["worst"].idxmax()}


# %% role="wrong" exercise="once" misconception="count counts rows" caught="check" says="flights of"
def summary(flights):
    delay = flights["arr_delay"]
    plan = {"flights": delay.count(), "mean": delay.mean()}
    plan["late"] = (delay > delay.mean()).sum()
    plan["worst"] = flights.groupby("carrier")["arr_delay"].mean()
    (found,) = dask.compute(plan)
    return found | {"worst": found["worst"].idxmax()}


# %% [markdown] topics=["4.3-3.4"]
# ## Pieces that must meet
#
# Most steps treat each partition alone. A join needs the rows of one key in one place: a *shuffle* sends every row
# of both tables there, through the network or the disk.
#
# **Predict:** flights has 12 partitions, planes 3,322 rows. In which of these joins do flights move?


# %%
def plan(table):
    """The steps of a lazy table's optimised plan, the last first."""
    steps = table.optimize(fuse=False).expr.walk()
    return " < ".join(type(step).__name__ for step in steps)


PLANES = dataset("planes").frame()[["tailnum", "manufacturer"]]
flights = lazy(MONTHS)
for name, other in {
    "in 3 partitions": dd.from_pandas(PLANES, npartitions=3),
    "in 1 partition": dd.from_pandas(PLANES, npartitions=1),
    "pandas table": PLANES,
}.items():
    joined = flights.merge(other, on="tailnum", how="left")
    tasks = len(joined.optimize().__dask_graph__())
    print(f"{name}: {plan(joined).count('Shuffle')} shuffles, {tasks} tasks")

# %% [markdown]
# A table in one partition is *broadcast*: each task gets all of it. A groupby with a small result needs no shuffle
# either: partial results are combined as a tree. Look at the plan, not at the clock: small data are always quick.

# %% [markdown] role="task" exercise="makers" points=3 topics=["4.3-3.4"]
# ### A join without a shuffle
#
# Write `makers(flights, planes)` for two Dask tables: `flights` is large (`tailnum`, `arr_delay`), `planes` is small, in
# several partitions (`tailnum`, `manufacturer`, …). Return a *lazy* Dask table:
#
# - `manufacturer`; flights whose plane is not in `planes`, or has no tail number, have `"unknown"`
# - `flights`: how many arrival delays are known
# - `mean`: their mean
#
# The plan must hold no shuffle, and no flight may be read before somebody computes the result.
#
# Why: a shuffle is what most Dask programs die of.


# %%
def fleet(months, planes):
    """The plan of what `makers` returns, the flights read before, and the table."""
    table = makers(lazy(months), dd.from_pandas(planes, npartitions=3))
    found = {"reads": READS.total(), "plan": type(table).__name__, "table": table}
    if isinstance(table, dd.DataFrame):
        found |= {"plan": f"DataFrame: {plan(table)}", "table": table.compute()}
    return found


# %% role="answer" exercise="makers"
def makers(flights: dd.DataFrame, planes: dd.DataFrame) -> dd.DataFrame:
    """Known delays and their mean for each manufacturer, lazy and without a shuffle."""
    ### BEGIN SOLUTION
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})
    ### END SOLUTION


# %% role="check" exercise="makers"
with lab.check("makers") as answer:
    answer.value("makers")
    rows = [("N1", 10), ("N2", 20), ("N1", None), ("N9", 7), (None, None), ("N3", 6)]
    months = [
        pd.DataFrame(rows[a : a + 2], columns=["tailnum", "arr_delay"]).astype(
            {"tailnum": "str", "arr_delay": "float64"}
        )
        for a in (0, 2, 4)
    ]
    makes = {"N1": "BOEING", "N2": "AIRBUS", "N3": "BOEING", "N4": "EMBRAER"}
    planes = pd.DataFrame({"tailnum": [*makes], "manufacturer": [*makes.values()]})
    found = answer.call("fleet", months, planes.assign(seats=[100, 150, 50, 20]))
    answer.plan(
        found["plan"],
        asked="a lazy Dask DataFrame whose plan has no shuffle",
        uses=["DataFrame:"],
        avoids=["Shuffle"],
    )
    answer.equal(
        found["reads"],
        0,
        asked="no flights read before the result is computed",
        found=f"{found['reads']} partitions read",
    )
    answer.same_rows(
        found["table"],
        [
            {"manufacturer": "BOEING", "flights": 2, "mean": 8.0},
            {"manufacturer": "AIRBUS", "flights": 1, "mean": 20.0},
            {"manufacturer": "unknown", "flights": 1, "mean": 7.0},
        ],
        asked=f"the makers of {rows} with the planes {makes}",
        key=["manufacturer"],
    )

# %% role="hidden" exercise="makers"
with lab.check("makers", hidden=True) as answer:
    answer.value("makers")
    draw = answer.random
    tails = [f"N{n}" for n in range(60)]
    makes = {tail: draw.choice(["BOEING", "Åero"]) for tail in tails[:40]}
    months, known = [], {"unknown": []}
    for size in (50, 1, 80, 30):
        rows = [
            (draw.choice([*tails, None]), draw.choice([None, draw.randint(-60, 900)]))
            for _ in range(size)
        ]
        months.append(
            pd.DataFrame(rows, columns=["tailnum", "arr_delay"]).astype(
                {"tailnum": "str", "arr_delay": "float64"}
            )
        )
        for tail, delay in rows:
            if delay is not None:
                known.setdefault(makes.get(tail, "unknown"), []).append(delay)
    planes = pd.DataFrame({"tailnum": [*makes], "manufacturer": [*makes.values()]})
    found = answer.call("fleet", months, planes)
    answer.same_rows(
        found["table"],
        [
            {"manufacturer": make, "flights": len(part), "mean": statistics.mean(part)}
            for make, part in known.items()
        ],
        asked="the makers of 161 flights in 4 partitions, a third of them with unknown planes",
        key=["manufacturer"],
    )

# %% [markdown] role="hint" exercise="makers"
# Which of the three joins above moved no flights? How do you get from several partitions to one, lazily?

# %% [markdown] role="hint" exercise="makers"
# `repartition(npartitions=1)` is lazy. A left join keeps flights without a plane; `fillna` names them. `agg` takes a
# list of names: `"count"` counts what is known.

# %% [markdown] role="hint" exercise="makers"
# ```python
# small = planes[[...]].repartition(...)
# joined = flights.merge(small, on=..., how=...)
# joined["manufacturer"] = ...
# delays = joined.groupby("manufacturer")["arr_delay"].agg([...])
# return delays.reset_index().rename(columns=...)
# ```


# %% role="right" exercise="makers"
def makers(flights, planes):
    of_tail = planes.compute().set_index("tailnum")["manufacturer"]

    def named(part):
        make = part["tailnum"].map(of_tail).astype("object").fillna("unknown")
        return part[["arr_delay"]].assign(manufacturer=make.astype("str"))

    table = flights.map_partitions(named)
    sums = table.groupby("manufacturer").agg({"arr_delay": ["count", "sum"]})
    sums.columns = ["flights", "total"]
    sums = sums.assign(mean=sums["total"] / sums["flights"]).reset_index()
    return sums[["manufacturer", "flights", "mean"]]


# %% [markdown] role="equivalent" exercise="makers" reason="tailnum is the only column that both have"
# - joined = flights.merge(small, on="tailnum", how="left")
# + joined = flights.merge(small, on=None, how="left")

# %% [markdown] role="equivalent" exercise="makers" reason="tailnum is the only column that both have"
# - joined = flights.merge(small, on="tailnum", how="left")
# + joined = flights.merge(small, how="left")


# %% role="wrong" exercise="makers" misconception="Dask sees by itself that a table is small" caught="check" says="Shuffle"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]]
    joined = flights.merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


# %% role="wrong" exercise="makers" misconception="An index makes a join cheap" caught="check" says="Shuffle"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].set_index("tailnum")
    joined = flights.merge(small, left_on="tailnum", right_index=True, how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


# %% role="wrong" exercise="makers" misconception="What is computed is quicker from then on" caught="check" says="partitions read"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.persist().merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


# %% role="wrong" exercise="makers" misconception="A result is a pandas table" caught="check" says="without DataFrame:"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = (
        joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"]).compute()
    )
    return {"rows": delays.reset_index().rename(columns={"count": "flights"})}


# %% role="wrong" exercise="makers" misconception="An inner join loses nothing that matters" caught="check" says="row(s) missing"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.merge(small, on="tailnum")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


# %% role="wrong" exercise="makers" misconception="Rows of a group are its known values" caught="check" says="column flights"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["size", "mean"])
    return delays.reset_index().rename(columns={"size": "flights"})


# %% [markdown] topics=["4.3-3.4", "4.3-3"]
# ## Break it: what Dask guesses
#
# A plan needs names and types before anything is read. Dask guesses them: for CSV from the first bytes of the
# first file, for `map_partitions` by calling your function with two invented rows. The guess is called *meta*.
#
# **Predict:** both guesses are wrong for flights. What happens at `compute()`?

# %%
with tempfile.TemporaryDirectory() as folder:
    for number, month in enumerate(MONTHS, 1):
        whole = month.astype({"dep_time": "Int64", "arr_delay": "Int64"})
        whole.to_csv(f"{folder}/{number:02}.csv", index=False)
    guessed = dd.read_csv(f"{folder}/*.csv", sample=2_000)
    print("guessed:", guessed.dtypes[["dep_time", "arr_delay"]].astype(str).to_dict())
    origins = lazy(MONTHS)["origin"].map_partitions(pd.get_dummies)
    for question in (guessed["arr_delay"].mean(), origins):
        try:
            question.compute()
        except ValueError as error:
            print("\n".join(str(error).splitlines()[:7]))

# %% [markdown]
# The sample had no missing delay, the invented text was `a`. An error is the lucky case: an airline `NA` that is read
# as missing makes no sound. So say what you know: `dtype=`, `na_values=`, `meta=`, and which columns shall exist.

# %% [markdown] role="task" exercise="year" points=3 topics=["4.3-3.4", "4.3-3"]
# ### A report on files that differ
#
# Write `year(folder)` for a folder of files `*.csv` with `carrier`, `origin`, `dep_time` and `arr_delay`, together too
# large for memory. Return a lazy Dask table with one row for each carrier:
#
# - `carrier`
# - `flights`, `mean`: how many arrival delays are known, and their mean, missing where there is none
# - `EWR`, `JFK`, `LGA`: how many flights were to leave from there, 0 included
#
# Times and delays are whole numbers or missing, in some files all of them. Only an empty field is missing: there is an
# airline `NA`. The plan holds no shuffle, and no task makes a table with more rows than the longest file.
#
# Why: this is the report that outlives its author's laptop.


# %%
def delivered(files):
    """The plan and columns that `year` promises for files {name: text}, and its table."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        table = year(folder)
        found = {
            "plan": type(table).__name__,
            "table": table,
            "promised": [],
            "rows": 0,
        }
        if isinstance(table, dd.DataFrame):
            found |= {"plan": f"DataFrame: {plan(table)}", "promised": [*table.columns]}
            with Largest() as largest:
                found["table"] = table.compute()
            found["rows"] = largest.rows
    return found


# %% role="answer" exercise="year"
def year(folder: str) -> dd.DataFrame:
    """The year's report for each carrier, lazy."""
    ### BEGIN SOLUTION
    flights = dd.read_csv(
        f"{folder}/*.csv",
        dtype={"dep_time": "Int64", "arr_delay": "Int64"},
        keep_default_na=False,
    )
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()
    ### END SOLUTION


# %% role="check" exercise="year"
with lab.check("year") as answer:
    answer.value("year")
    head = "carrier,origin,dep_time,arr_delay\n"
    files = {
        "01.csv": "UA,EWR,517,10\nNA,JFK,600,30\nUA,EWR,3,12\n",
        "02.csv": "UA,EWR,,\nDL,LGA,,\n",
        "03.csv": "UA,JFK,2400,1\nNA,JFK,,\nNA,LGA,1,2\n",
    }
    lines = [text.split() for text in files.values()]
    found = answer.call(
        "delivered", {name: head + text * 5 for name, text in files.items()}
    )
    answer.plan(
        found["plan"],
        asked="a lazy Dask DataFrame that reads the files when it is computed, without a shuffle",
        uses=["DataFrame:"],
        avoids=["Shuffle", "FromPandas"],
    )
    names = ["carrier", "flights", "mean", "EWR", "JFK", "LGA"]
    expected = [
        ("UA", 15, 23 / 3, 15, 5, 0),
        ("NA", 10, 16.0, 0, 10, 5),
        ("DL", 0, None, 0, 0, 5),
    ]
    answer.same_rows(
        found["table"],
        [dict(zip(names, row, strict=True)) for row in expected],
        asked=f"the report on three files with the lines {lines}, each five times",
        key=["carrier"],
    )
    answer.equal(
        sorted(found["promised"]),
        sorted(names),
        asked=f"the columns {names} before anything is computed",
    )
    answer.true(
        found["rows"] <= 15,
        asked="no table with more rows than the longest file, 15",
        found=f"a table of {found['rows']} rows",
    )

# %% role="hidden" exercise="year"
with lab.check("year", hidden=True) as answer:
    answer.value("year")
    draw = answer.random
    carriers = {"UA": 70, "NA": 80, "9E": 65, "Ñ1": 90}
    head, files, known = "carrier,origin,dep_time,arr_delay\n", {}, {}
    counts = {code: Counter() for code in carriers}
    for number, size in enumerate([40, 25, 90]):
        lines = []
        for _ in range(size):
            code = draw.choice([*carriers])
            origin = draw.choice(["EWR", "JFK", "LGA"][: 2 + number // 2])
            delay = "" if number == 1 else draw.choice(["", draw.randint(-60, 900)])
            lines.append(f"{code},{origin},{draw.choice(['', 517])},{delay}\n")
            counts[code][origin] += 1
            if delay != "":
                known.setdefault(code, []).append(delay)
        files[f"{number}.csv"] = head + "".join(lines)
    answer.same_rows(
        answer.call("delivered", files)["table"],
        [
            {"carrier": code, "flights": len(known.get(code, []))}
            | {"mean": statistics.mean(known[code]) if code in known else None}
            | {origin: counts[code][origin] for origin in ("EWR", "JFK", "LGA")}
            for code in carriers
            if counts[code]
        ],
        asked="the report on three files, the second without any delay",
        key=["carrier"],
    )

# %% [markdown] role="hint" exercise="year"
# Which of the columns can Dask guess wrong, and from what does it guess? Which columns must exist even in a file
# without a flight from LGA?

# %% [markdown] role="hint" exercise="year"
# `dd.read_csv` takes `dtype`, `keep_default_na` and `na_values` as pandas does. A column that is true or false can be
# summed. `a.join(b)` of two small results by their index needs no shuffle.

# %% [markdown] role="hint" exercise="year"
# ```python
# flights = dd.read_csv(f"{folder}/*.csv", dtype=..., keep_default_na=..., na_values=...)
# for origin in ("EWR", "JFK", "LGA"):
#     flights[origin] = ...
# groups = flights.groupby("carrier")
# report = groups["arr_delay"].agg([...]).join(...)
# return report.rename(columns=...).reset_index()
# ```


# %% role="right" exercise="year"
def year(folder):
    kinds = {
        "carrier": "str",
        "origin": "str",
        "dep_time": "float64",
        "arr_delay": "float64",
    }

    def read(path):
        part = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
        return part.assign(
            flights=part["arr_delay"].notna().astype("int64"),
            **{
                name: (part["origin"] == name).astype("int64")
                for name in ("EWR", "JFK", "LGA")
            },
        ).drop(columns=["dep_time", "origin"])

    numbers = ("flights", "EWR", "JFK", "LGA")
    meta = {"carrier": "str", "arr_delay": "float64"} | dict.fromkeys(numbers, "int64")
    table = dd.from_map(read, sorted(Path(folder).glob("*.csv")), meta=meta)
    sums = table.groupby("carrier").sum()
    means = sums["arr_delay"] / sums["flights"]
    return sums.assign(mean=means).drop(columns="arr_delay").reset_index()


# %% role="right" exercise="year"
def year(folder):
    origins, kinds = ["EWR", "JFK", "LGA"], {"dep_time": "Int64", "arr_delay": "Int64"}
    flights = dd.read_csv(f"{folder}/*.csv", dtype=kinds, keep_default_na=False)

    def partial(part):
        part = part.assign(flights=part["arr_delay"].notna())
        part = part.assign(**{name: part["origin"] == name for name in origins})
        names = ["flights", "arr_delay", *origins]
        return part.groupby("carrier")[names].sum().astype("int64").reset_index()

    def finish(parts):
        sums = parts.groupby("carrier", as_index=False).sum()
        return sums.assign(mean=sums.pop("arr_delay") / sums["flights"])

    whole = flights.map_partitions(partial).repartition(npartitions=1)
    return whole.map_partitions(finish)


# %% [markdown] role="equivalent" exercise="year" reason="None is as false as False"
# - keep_default_na=False,
# + keep_default_na=None,


# %% role="wrong" exercise="year" misconception="Dask knows the types of all files" caught="check" says="Mismatched dtypes"
def year(folder):
    flights = dd.read_csv(f"{folder}/*.csv", keep_default_na=False, na_values=[""])
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()


# %% role="wrong" exercise="year" misconception="NA is no value" caught="check" says="row(s) missing"
def year(folder):
    flights = dd.read_csv(
        f"{folder}/*.csv", dtype={"dep_time": "Int64", "arr_delay": "Int64"}
    )
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()


# %% role="wrong" exercise="year" misconception="Read with pandas, then hand over to Dask" caught="check" says="FromPandas"
def year(folder):
    parts = [
        pd.read_csv(path, keep_default_na=False, na_values=[""])
        for path in sorted(Path(folder).glob("*.csv"))
    ]
    flights = dd.from_pandas(pd.concat(parts, ignore_index=True), npartitions=4)
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()


# %% role="wrong" exercise="year" misconception="A group's function needs the whole group" caught="check" says="Shuffle"
def year(folder):
    flights = dd.read_csv(
        f"{folder}/*.csv",
        dtype={"dep_time": "float64", "arr_delay": "float64"},
        keep_default_na=False,
        na_values=[""],
    )

    def one(group):
        found = {
            "flights": group["arr_delay"].count(),
            "mean": group["arr_delay"].mean(),
        }
        return pd.Series(
            found | {o: (group["origin"] == o).sum() for o in ("EWR", "JFK", "LGA")}
        )

    meta = dict.fromkeys(["flights", "mean", "EWR", "JFK", "LGA"], "float64")
    return flights.groupby("carrier").apply(one, meta=meta).reset_index()


# %% role="wrong" exercise="year" misconception="One partition is simplest" caught="check" says="a table of 40 rows"
def year(folder):
    flights = dd.read_csv(
        f"{folder}/*.csv",
        dtype={"dep_time": "Int64", "arr_delay": "Int64"},
        keep_default_na=False,
        na_values=[""],
    ).repartition(npartitions=1)
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()


# %% role="wrong" exercise="year" misconception="What Dask promises is for show" caught="check" says="before anything is computed"
def year(folder):
    flights = dd.read_csv(
        f"{folder}/*.csv",
        dtype={"dep_time": "float64", "arr_delay": "float64"},
        keep_default_na=False,
        na_values=[""],
    )
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())

    def polish(part):
        return part.rename(columns={"count": "flights"}).reset_index()

    return report.map_partitions(polish, meta=report._meta, enforce_metadata=False)


# %% role="wrong" exercise="year" misconception="A missing delay is no delay" caught="check" says="column flights"
def year(folder):
    flights = dd.read_csv(
        f"{folder}/*.csv",
        dtype={"dep_time": "Int64", "arr_delay": "Int64"},
        keep_default_na=False,
        na_values=[""],
    )
    flights["arr_delay"] = flights["arr_delay"].fillna(0)
    for origin in ("EWR", "JFK", "LGA"):
        flights[origin] = flights["origin"] == origin
    groups = flights.groupby("carrier")
    delays = groups["arr_delay"].agg(["count", "mean"])
    report = delays.join(groups[["EWR", "JFK", "LGA"]].sum())
    return report.rename(columns={"count": "flights"}).reset_index()


# %% [markdown] topics=["4.3-3"]
# ## When Dask loses
#
# Each task costs about a millisecond before it does anything.
#
# **Predict:** the mean delay of each carrier, by pandas and by Dask in 1, 12 and 300 partitions. Which wins?


# %% tags=["nbval-ignore-output"]
def seconds(question):
    """The best time of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        question()
        times.append(time.perf_counter() - start)
    return min(times)


year_table = FLIGHTS[["carrier", "arr_delay"]]
best = seconds(lambda: year_table.groupby("carrier")["arr_delay"].mean())
for partitions in (1, 12, 300):
    table = dd.from_pandas(year_table, npartitions=partitions)
    means = table.groupby("carrier")["arr_delay"].mean()
    ratio = seconds(lambda means=means: means.compute(scheduler="threads")) / best
    print(f"{partitions:>3} partitions: {ratio:.0f} times as long as pandas")

# %% [markdown]
# If a table fits into memory, slim it and stay with pandas. Dask wins where it does not fit, or where each
# task works for seconds.
#
# The same plan runs on a cluster. `distributed` can start a small one in this process. Its *dashboard* is a web page
# of tasks, transfers (red) and memory while they happen. The page needs the package bokeh; here are numbers
# behind it.

# %%
from distributed import Client, wait

local = {"host": "127.0.0.1", "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
local |= {"worker_dashboard_address": "127.0.0.1:0", "memory_limit": 0}
with Client(processes=False, n_workers=1, threads_per_worker=2, **local) as client:
    kept = dd.from_pandas(year_table.head(10_000), npartitions=12).persist()
    wait(kept)
    print("dashboard at", client.dashboard_link.rsplit(":", 1)[0])
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    link = client.dashboard_link.replace("/status", "/json/counts.json")
    counts = json.load(direct.open(link))
    print({name: counts[name] for name in ("workers", "cores", "memory", "processing")})
    del kept

# %% [markdown]
# The workers' memory holds twelve results: the partitions that were persisted.

# %% [markdown] topics=["4.3-3"]
# ## One question in all engines
#
# The other labs of this module ask their engine one question about the same events, some late and some sent twice:
# how many departures, and what mean delay, by airport and hour? A batch has all events, so it waits for none. For
# Dask, departures that meet must share a partition: it drops repeats by a shuffle.


# %%
def pandas_board(events, wait):
    """The board by pandas, from all that came."""
    first = pd.DataFrame(events).drop_duplicates("id")
    hours = first.assign(hour=first["departed"].dt.floor("h"))
    board = hours.groupby(["origin", "hour"])["delay"].agg(["count", "mean"])
    return board.set_axis(["departures", "delay"], axis=1).reset_index()


def dask_board(events, wait):
    """The same by Dask, in four partitions."""
    first = dd.from_pandas(pd.DataFrame(events), npartitions=4).drop_duplicates("id")
    hours = first.assign(hour=first["departed"].dt.floor("h"))
    board = hours.groupby(["origin", "hour"])["delay"].agg(["count", "mean"])
    return board.compute().set_axis(["departures", "delay"], axis=1).reset_index()


# %%
engines.compare("pandas", pd.__version__, pandas_board)

# %%
engines.compare("Dask", dask.__version__, dask_board)

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | write under copy-on-write | one `loc` or one assignment, on a table of your own |
# | slim a table | look at the values, then choose the type |
# | vectorise | conditions in columns; mind what is missing |
# | combine parts | carry counts and sums; divide at the end |
# | work out of core | one part and a small partial result |
# | read once | one `compute` for all answers |
# | join without a shuffle | the small table in one partition; look at the plan |
# | tell Dask what you know | types, missing values, meta |
#
# **New words.** *Partition*: one pandas table of a Dask table. *Meta*: the promise of names and types. *Shuffle*: rows
# of one key move to one place. *Broadcast*: each task gets the whole small table.
#
# **Read on.** pandas documentation, "Copy-on-Write" (2026). Dask documentation, "DataFrame Best Practices" (2026).
# W. McKinney, *Python for Data Analysis*, 3rd edition, chapter 10 (2022).

# %%
lab.close()
