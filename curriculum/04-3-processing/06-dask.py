# %% [markdown] minutes=60 datasets=["departure-events", "flights", "planes"] systems=[]
# # Dask
#
# The kernel has died: the table is larger than memory. You work a piece at a time, then lazily, and read a plan before
# it costs an hour.

# %% [markdown]
# ## You will be able to
#
# - compute an exact median of a file that is larger than memory (exercise 1)
# - read a source once for several answers (exercise 2)
# - join without a shuffle (exercise 3)
# - build a lazy report on files that differ (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *pandas* | types, and partial results that can be combined |
# | the lab *Formats with a schema* | row groups |
#
# The flights and planes are real, and so are pandas 3 and Dask.

# %% role="setup"
import gc
import json
import statistics
import tempfile
import time
import tracemalloc
import urllib.request
from collections import Counter
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labkit import dataset, engines, open_lab

lab = open_lab("04-3-processing/06-dask")
dask.config.set(scheduler="synchronous")
lab

# %% [markdown] topics=["4.3-3"]
# ## Partial, combine, finish
#
# From the lab before: what is computed in pieces must carry counts and sums, and divide at the end. This is what all tools
# for large data do, Dask too.

# %%
FLIGHTS = dataset("flights").frame()
parts = [
    part.groupby("carrier")["arr_delay"].agg(["count", "sum"])
    for _, part in FLIGHTS.groupby("month")
]
whole = pd.concat(parts).groupby("carrier").sum()
print(
    len(parts), "parts;", (whole["sum"] / whole["count"]).nlargest(3).round(1).to_dict()
)

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
# - `flights`: how many arrival delays are known, 0 included
# - `mean`: their mean, missing where there is none
#
# The plan must hold no shuffle, and no flight may be read before somebody computes the result.
#
# Why: a shuffle moves every row, and needs memory for them.


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
    rows += [(None, 3), ("N4", None)]
    months = [
        pd.DataFrame(rows[a : a + 2], columns=["tailnum", "arr_delay"]).astype(
            {"tailnum": "str", "arr_delay": "float64"}
        )
        for a in (0, 2, 4, 6)
    ]
    makes = {"N1": "BOEING", "N2": "AIRBUS", "N3": "BOEING", "N4": "EMBRAER"}
    makes["N5"] = "CESSNA"
    planes = pd.DataFrame({"tailnum": [*makes], "manufacturer": [*makes.values()]})
    found = answer.call("fleet", months, planes.assign(seats=[100, 150, 50, 20, 4]))
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
            {"manufacturer": "unknown", "flights": 2, "mean": 5.0},
            {"manufacturer": "EMBRAER", "flights": 0, "mean": None},
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
    makes |= {"N98": "CESSNA", "N99": "EMBRAER"}
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
    months[2].loc[80] = ["N99", None]
    planes = pd.DataFrame({"tailnum": [*makes], "manufacturer": [*makes.values()]})
    found = answer.call("fleet", months, planes)
    answer.same_rows(
        found["table"],
        [
            {"manufacturer": make, "flights": len(part), "mean": statistics.mean(part)}
            for make, part in known.items()
        ]
        + [{"manufacturer": "EMBRAER", "flights": 0, "mean": None}],
        asked="the makers of 162 flights in 4 partitions, a third of them with unknown planes",
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


# %% role="wrong" exercise="makers" misconception="Who has no tail number has no group" caught="check" says="column flights"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.dropna(subset=["tailnum"]).merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


# %% role="wrong" exercise="makers" misconception="A group of unknown values is no group" caught="check" says="row(s) missing"
def makers(flights, planes):
    small = planes[["tailnum", "manufacturer"]].repartition(npartitions=1)
    joined = flights.dropna(subset=["arr_delay"]).merge(small, on="tailnum", how="left")
    joined["manufacturer"] = joined["manufacturer"].fillna("unknown")
    delays = joined.groupby("manufacturer")["arr_delay"].agg(["count", "mean"])
    return delays.reset_index().rename(columns={"count": "flights"})


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
# Each task costs some time before it does anything: a fifth of a millisecond with threads, a millisecond on a cluster.
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
# how many departures, and what mean delay, by airport and hour? A batch has all events, so it waits for none. Departures that
# meet must share a partition: Dask drops repeats by a shuffle.


# %%
def dask_board(events, wait):
    """The board by Dask, in four partitions, from all that came."""
    first = dd.from_pandas(pd.DataFrame(events), npartitions=4).drop_duplicates("id")
    hours = first.assign(hour=first["departed"].dt.floor("h"))
    board = hours.groupby(["origin", "hour"])["delay"].agg(["count", "mean"])
    return board.compute().set_axis(["departures", "delay"], axis=1).reset_index()


# %%
engines.compare("Dask", dask.__version__, dask_board)

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | work out of core | one part and a small partial result |
# | read once | one `compute` for all answers |
# | join without a shuffle | the small table in one partition; look at the plan |
# | tell Dask what you know | types, missing values, meta |
#
# **New words.** *Partition*: one pandas table of a Dask table. *Meta*: the promise of names and types. *Shuffle*: rows
# of one key move to one place. *Broadcast*: each task gets the whole small table.
#
# **Read on.** Dask documentation, "DataFrame Best Practices" (2026).

# %%
lab.close()
