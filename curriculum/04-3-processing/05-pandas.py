# %% [markdown] minutes=60 datasets=["departure-events", "flights"] systems=[]
# # pandas
#
# A report that was right for January needs twelve times the memory for the year, and names the wrong airline.
# You make it small, quick, and right in pieces.

# %% [markdown]
# ## You will be able to
#
# - change a table without touching its owner's (exercise 1)
# - bring a table under a budget without changing a value (exercise 2)
# - replace a loop over rows by columns (exercise 3)
# - combine the results of parts, so that they are those of the whole (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | pandas: select, `groupby`, `merge` | every exercise |
# | the lab *Sources and file formats* | what a CSV file forgets |
#
# The flights are real, and so is pandas 3.

# %% role="setup"
import itertools
import math
import statistics
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from labkit import dataset, engines, open_lab, picture

lab = open_lab("04-3-processing/05-pandas")
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
# | `Int8`, `Int16`, `Int32`, `Int64` | ±127, ±32,767, ±2 billion, ±9·10¹⁸, and one more below 0 | 2, 3, 5, 9 |
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
            "delay": [n % 300 - 200 for n in range(rows)],
            "gain": [n % 256 - 128 for n in range(rows)],
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
    most = rows * (3 + 2 + 3 + 5 + 9 + 3 + 2 + 8 + 1 + 14 + 8) + 500
    answer.true(
        found["bytes"] <= most,
        asked=f"at most {most:,} bytes for {', '.join(given)}",
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
    most = rows * (3 + 2 + 2 + 3 + 3 + 5 + 8 + 2) + 600 * 19 + 1000
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


# %% role="wrong" exercise="slim" misconception="The largest value decides about the type" caught="check" says="column delay holds"
def slim(frame):
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            if (column.dropna() % 1 == 0).all():
                column = column.astype("Int64")
                ends = {8: 127, 16: 32_767, 32: 2**31 - 1, 64: 2**63 - 1}
                bits = min(b for b, most in ends.items() if column.max() <= most)
                column = column.astype(f"Int{bits}")
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
# ## Break it: the worst airline that was not
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
# | Polars, DuckDB | one machine (in their open-source form), larger than memory |
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
# The result must be that of the whole table, but for the last digits of floats, however it was cut. `std` is the sample standard deviation,
# `sqrt((q - s*s/n) / (n - 1))` for count n, sum s, sum of squares q. Without a known delay, `flights` is 0;
# what cannot be computed is missing.
#
# Example: OO with 107 in one part, 3 and a missing one in another: 2 flights, mean 55.
#
# Why: any tool for large data asks you for these three.


# %%
def in_parts(pieces):
    """The report on pieces of a table, combined up to three at a time, and the rows of each partial table."""
    parts = [partial(piece) for piece in pieces]
    sizes = [len(part) for part in parts]
    while len(parts) > 1:
        parts = [combine(parts[n : n + 3]) for n in range(0, len(parts), 3)]
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
    for ends in ([0, 8], [0, 1, 8], [0, 2, 2, 4, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]):
        pieces = [
            pd.DataFrame(rows[a:b], columns=["carrier", "arr_delay"]).astype(
                {"carrier": "str", "arr_delay": "float64"}
            )
            for a, b in itertools.pairwise(ends)
        ]
        found = answer.call("in_parts", pieces)
        answer.same_rows(
            found["report"],
            expected,
            asked=f"the report on {delays} in parts of {[len(piece) for piece in pieces]} rows",
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


# %% role="wrong" exercise="combine" misconception="What is combined has a left and a right side" caught="check" says="[2, 0, 2, 4] rows"
def partial(flights):
    squares = flights.assign(square=flights["arr_delay"] ** 2)
    return squares.groupby("carrier", as_index=False).agg(
        n=("arr_delay", "count"), s=("arr_delay", "sum"), q=("square", "sum")
    )


def combine(parts):
    if len(parts) == 1:
        return parts[0]
    left, right = (part.set_index("carrier") for part in parts[:2])
    return left.add(right, fill_value=0).reset_index()


def finish(part):
    n, s, q = part["n"], part["s"], part["q"]
    result = part[["carrier"]].assign(flights=n, mean=s / n)
    return result.assign(std=np.sqrt((q - s * s / n) / (n - 1)))


# %% [markdown] topics=["4.3-3"]
# ## One question in all engines
#
# The other labs of this module ask their engine one question about the same events, some late and some sent twice:
# how many departures, and what mean delay, by airport and hour? A batch has all events, so it waits for none.


# %%
def pandas_board(events, wait):
    """The board by pandas, from all that came."""
    first = pd.DataFrame(events).drop_duplicates("id")
    hours = first.assign(hour=first["departed"].dt.floor("h"))
    board = hours.groupby(["origin", "hour"])["delay"].agg(["count", "mean"])
    return board.set_axis(["departures", "delay"], axis=1).reset_index()


# %%
engines.compare("pandas", pd.__version__, pandas_board)

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | write under copy-on-write | one `loc` or one assignment, on a table of your own |
# | slim a table | look at the values, then choose the type |
# | vectorise | conditions in columns; mind what is missing |
# | combine parts | carry counts and sums; divide at the end |
#
# **New words.** *Copy-on-write*: who writes to a shared column gets a copy. *Nullable type*: values with a mask for what is
# missing. *Partial result*: what can still be combined.
#
# **Read on.** pandas documentation, "Copy-on-Write" (2026). W. McKinney, *Python for Data Analysis*, 3rd edition,
# chapter 10 (2022).

# %%
lab.close()
