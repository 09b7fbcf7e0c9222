# %% [markdown] minutes=5 datasets=["flights"] systems=[]
# # pandas
#
# Eight questions about 20,000 flights, and one picture: about half a second of work.

# %% [markdown]
# ## You will be able to
#
# - group, join and reshape a table with pandas (exercises 1 to 8)

# %% role="setup"
import matplotlib.pyplot as plt
import pandas as pd
import pyarrow.parquet as pq

from labkit import dataset, open_lab

lab = open_lab("04-1-benchmark/02-pandas")
columns = [
    "time_hour",
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "dep_delay",
    "arr_delay",
]
columns += ["distance", "air_time", "day", "hour"]
batches = pq.ParquetFile(dataset("flights").path).iter_batches(20_000, columns=columns)
flights = next(batches).to_pandas()

# %% [markdown] topics=["4.1-1"]
# ## Delays

# %%
flights.describe()

# %%
figure, axes = plt.subplots(figsize=(6, 3))
flights["dep_delay"].clip(upper=120).hist(ax=axes, bins=40)
axes.set(xlabel="minutes late", ylabel="flights")
plt.show()

# %% [markdown] role="task" exercise="routes" points=2 topics=["4.1-1"]
# ### Flights on each route
#
# Write `routes(flights)`: a frame with `origin`, `dest` and `flights`, their number.


# %% role="answer" exercise="routes"
def routes(flights):
    """Number of flights on each route."""
    ### BEGIN SOLUTION
    return flights.groupby(["origin", "dest"]).size().reset_index(name="flights")
    ### END SOLUTION


# %% role="check" exercise="routes"
with lab.check("routes") as answer:
    few = flights[["origin", "dest"]].head(1000)
    answer.same_rows(
        answer.call("routes", few),
        few.groupby(["origin", "dest"]).size().reset_index(name="flights"),
        asked="flights on each route, of the first 1,000 flights",
    )

# %% role="hidden" exercise="routes"
with lab.check("routes", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["origin", "dest"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("routes", few),
        few.groupby(["origin", "dest"]).size().reset_index(name="flights"),
        asked="flights on each route, of other flights",
    )

# %% [markdown] role="hint" exercise="routes"
# What is a group here?

# %% [markdown] role="hint" exercise="routes"
# Look up `groupby` and `size`.

# %% [markdown] role="hint" exercise="routes"
# `flights.groupby([...]).size().reset_index(name=...)`


# %% role="right" exercise="routes"
def routes(flights):
    counts = flights[["origin", "dest"]].value_counts()
    return counts.rename("flights").reset_index()


# %% role="wrong" exercise="routes" misconception="destinations only" caught="check" says="origin"
def routes(flights):
    return flights.groupby("dest").size().reset_index(name="flights")


# %% role="wrong" exercise="routes" misconception="pairs, not flights" caught="check" says="flights"
def routes(flights):
    return flights[["origin", "dest"]].drop_duplicates().assign(flights=1)


# %% role="wrong" exercise="routes" misconception="the ten largest" caught="check" says="row"
def routes(flights):
    counts = flights[["origin", "dest"]].value_counts().head(10)
    return counts.rename("flights").reset_index()


# %% [markdown] role="task" exercise="by-hour" points=2 topics=["4.1-1"]
# ### Mean delay by airport and hour
#
# Write `by_hour(flights)`: a frame with `origin`, `hour` and `delay`, the mean of
# `dep_delay`.


# %% role="answer" exercise="by-hour"
def by_hour(flights):
    """Mean delay at departure for each airport and hour."""
    ### BEGIN SOLUTION
    named = flights.groupby(["origin", "hour"], as_index=False)
    return named.agg(delay=("dep_delay", "mean"))
    ### END SOLUTION


# %% role="check" exercise="by-hour"
with lab.check("by-hour") as answer:
    few = flights[["origin", "hour", "dep_delay"]].head(1000)
    answer.same_rows(
        answer.call("by_hour", few),
        few.groupby(["origin", "hour"], as_index=False).agg(
            delay=("dep_delay", "mean")
        ),
        asked="mean delay by airport and hour, of the first 1,000 flights",
    )

# %% role="hidden" exercise="by-hour"
with lab.check("by-hour", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["origin", "hour", "dep_delay"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("by_hour", few),
        few.groupby(["origin", "hour"], as_index=False).agg(
            delay=("dep_delay", "mean")
        ),
        asked="mean delay by airport and hour, of other flights",
    )

# %% [markdown] role="hint" exercise="by-hour"
# What are the groups?

# %% [markdown] role="hint" exercise="by-hour"
# Look up `groupby` and `agg`.

# %% [markdown] role="hint" exercise="by-hour"
# `flights.groupby([...]).agg(delay=(..., "mean"))`


# %% role="right" exercise="by-hour"
def by_hour(flights):
    means = flights.groupby(["hour", "origin"])["dep_delay"].mean()
    return means.rename("delay").reset_index()


# %% role="wrong" exercise="by-hour" misconception="the sum" caught="check" says="delay"
def by_hour(flights):
    named = flights.groupby(["origin", "hour"], as_index=False)
    return named.agg(delay=("dep_delay", "sum"))


# %% role="wrong" exercise="by-hour" misconception="no airport" caught="check" says="origin"
def by_hour(flights):
    return flights.groupby("hour", as_index=False).agg(delay=("dep_delay", "mean"))


# %% role="wrong" exercise="by-hour" misconception="missing is zero" caught="check" says="delay"
def by_hour(flights):
    filled = flights.fillna({"dep_delay": 0})
    named = filled.groupby(["origin", "hour"], as_index=False)
    return named.agg(delay=("dep_delay", "mean"))


# %% [markdown] role="task" exercise="cancelled" points=2 topics=["4.1-1"]
# ### Cancelled flights
#
# Write `cancelled(flights)`: a frame with `day` and `share`, the share of flights
# without a `dep_delay`.


# %% role="answer" exercise="cancelled"
def cancelled(flights):
    """Share of flights that never left, by day."""
    ### BEGIN SOLUTION
    missing = flights["dep_delay"].isna()
    return missing.groupby(flights["day"]).mean().rename("share").reset_index()
    ### END SOLUTION


# %% role="check" exercise="cancelled"
with lab.check("cancelled") as answer:
    few = flights[["day", "dep_delay"]].head(1000)
    answer.same_rows(
        answer.call("cancelled", few),
        few.assign(share=few["dep_delay"].isna())
        .groupby("day", as_index=False)["share"]
        .mean(),
        asked="cancelled flights, of the first 1,000 flights",
    )

# %% role="hidden" exercise="cancelled"
with lab.check("cancelled", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["day", "dep_delay"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("cancelled", few),
        few.assign(share=few["dep_delay"].isna())
        .groupby("day", as_index=False)["share"]
        .mean(),
        asked="cancelled flights, of other flights",
    )

# %% [markdown] role="hint" exercise="cancelled"
# When is `dep_delay` missing?

# %% [markdown] role="hint" exercise="cancelled"
# Look up `isna`.

# %% [markdown] role="hint" exercise="cancelled"
# The mean of True and False is a share.


# %% role="right" exercise="cancelled"
def cancelled(flights):
    marked = flights.assign(share=flights["dep_delay"].isna())
    return marked.groupby("day", as_index=False)["share"].mean()


# %% role="wrong" exercise="cancelled" misconception="the number" caught="check" says="share"
def cancelled(flights):
    marked = flights.assign(share=flights["dep_delay"].isna())
    return marked.groupby("day", as_index=False)["share"].sum()


# %% role="wrong" exercise="cancelled" misconception="those that left" caught="check" says="share"
def cancelled(flights):
    marked = flights.assign(share=flights["dep_delay"].notna())
    return marked.groupby("day", as_index=False)["share"].mean()


# %% role="wrong" exercise="cancelled" misconception="per cent" caught="check" says="share"
def cancelled(flights):
    marked = flights.assign(share=flights["dep_delay"].isna() * 100.0)
    return marked.groupby("day", as_index=False)["share"].mean()


# %% [markdown] role="task" exercise="gained" points=2 topics=["4.1-1"]
# ### Minutes gained in the air
#
# Write `gained(flights)`: a frame with `carrier` and `gained`, the mean of `dep_delay
# - arr_delay`.


# %% role="answer" exercise="gained"
def gained(flights):
    """Mean minutes gained between departure and arrival, by carrier."""
    ### BEGIN SOLUTION
    minutes = flights["dep_delay"] - flights["arr_delay"]
    return minutes.groupby(flights["carrier"]).mean().rename("gained").reset_index()
    ### END SOLUTION


# %% role="check" exercise="gained"
with lab.check("gained") as answer:
    few = flights[["carrier", "dep_delay", "arr_delay"]].head(1000)
    answer.same_rows(
        answer.call("gained", few),
        few.assign(gained=few["dep_delay"] - few["arr_delay"])
        .groupby("carrier", as_index=False)["gained"]
        .mean(),
        asked="minutes gained in the air, of the first 1,000 flights",
    )

# %% role="hidden" exercise="gained"
with lab.check("gained", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["carrier", "dep_delay", "arr_delay"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("gained", few),
        few.assign(gained=few["dep_delay"] - few["arr_delay"])
        .groupby("carrier", as_index=False)["gained"]
        .mean(),
        asked="minutes gained in the air, of other flights",
    )

# %% [markdown] role="hint" exercise="gained"
# What is gained by a flight that leaves 10 minutes late and lands in time?

# %% [markdown] role="hint" exercise="gained"
# Subtract two columns first.

# %% [markdown] role="hint" exercise="gained"
# `(flights["dep_delay"] - ...).groupby(...)`


# %% role="right" exercise="gained"
def gained(flights):
    table = flights.eval("gained = dep_delay - arr_delay")
    return table.groupby("carrier", as_index=False)["gained"].mean()


# %% role="wrong" exercise="gained" misconception="lost, not gained" caught="check" says="gained"
def gained(flights):
    table = flights.eval("gained = arr_delay - dep_delay")
    return table.groupby("carrier", as_index=False)["gained"].mean()


# %% role="wrong" exercise="gained" misconception="the median" caught="check" says="gained"
def gained(flights):
    table = flights.eval("gained = dep_delay - arr_delay")
    return table.groupby("carrier", as_index=False)["gained"].median()


# %% role="wrong" exercise="gained" misconception="all carriers at once" caught="check" says="row"
def gained(flights):
    table = flights.eval("gained = dep_delay - arr_delay")
    return table[["carrier", "gained"]].head(1)


# %% [markdown] role="task" exercise="farthest" points=2 topics=["4.1-1"]
# ### The farthest destination
#
# Write `farthest(flights)`: for each `origin` the `dest` and the `distance` of its
# longest flight.


# %% role="answer" exercise="farthest"
def farthest(flights):
    """The longest flight of each airport."""
    ### BEGIN SOLUTION
    rows = flights.groupby("origin")["distance"].idxmax()
    return flights.loc[rows, ["origin", "dest", "distance"]]
    ### END SOLUTION


# %% role="check" exercise="farthest"
with lab.check("farthest") as answer:
    few = flights[["origin", "dest", "distance"]].head(1000)
    answer.same_rows(
        answer.call("farthest", few),
        few.sort_values("distance", ascending=False, kind="stable").drop_duplicates(
            "origin"
        ),
        asked="the farthest destination, of the first 1,000 flights",
    )

# %% role="hidden" exercise="farthest"
with lab.check("farthest", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["origin", "dest", "distance"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("farthest", few),
        few.sort_values("distance", ascending=False, kind="stable").drop_duplicates(
            "origin"
        ),
        asked="the farthest destination, of other flights",
    )

# %% [markdown] role="hint" exercise="farthest"
# The greatest `dest` is the last of the alphabet: is it the farthest?

# %% [markdown] role="hint" exercise="farthest"
# Look up `idxmax`.

# %% [markdown] role="hint" exercise="farthest"
# `flights.loc[flights.groupby(...)[...].idxmax(), ...]`


# %% role="right" exercise="farthest"
def farthest(flights):
    ordered = flights.sort_values("distance", ascending=False, kind="stable")
    return ordered.drop_duplicates("origin")[["origin", "dest", "distance"]]


# %% role="wrong" exercise="farthest" misconception="the nearest" caught="check" says="distance"
def farthest(flights):
    rows = flights.groupby("origin")["distance"].idxmin()
    return flights.loc[rows, ["origin", "dest", "distance"]]


# %% role="wrong" exercise="farthest" misconception="columns apart" caught="check" says="dest"
def farthest(flights):
    return flights.groupby("origin", as_index=False)[["dest", "distance"]].max()


# %% role="wrong" exercise="farthest" misconception="one for all" caught="check" says="row"
def farthest(flights):
    return flights.nlargest(1, "distance")[["origin", "dest", "distance"]]


# %% [markdown] role="task" exercise="previous" points=2 topics=["4.1-1"]
# ### The delay before
#
# Write `previous(flights)`: a frame with `tailnum`, `time_hour` and `before`, the
# `arr_delay` of the aircraft's flight before. Rows without one are left out.


# %% role="answer" exercise="previous"
def previous(flights):
    """The delay with which each aircraft arrived before."""
    ### BEGIN SOLUTION
    ordered = flights.dropna(subset=["tailnum"])
    ordered = ordered.sort_values(["tailnum", "time_hour"], kind="stable")
    ordered["before"] = ordered.groupby("tailnum")["arr_delay"].shift()
    return ordered.dropna(subset=["before"])[["tailnum", "time_hour", "before"]]
    ### END SOLUTION


# %% role="check" exercise="previous"
with lab.check("previous") as answer:
    few = flights[["tailnum", "time_hour", "arr_delay"]].head(1000)
    answer.same_rows(
        answer.call("previous", few),
        (
            few.dropna(subset=["tailnum"])
            .sort_values(["tailnum", "time_hour"], kind="stable")
            .assign(before=lambda f: f.groupby("tailnum")["arr_delay"].shift())
            .dropna(subset=["before"])[["tailnum", "time_hour", "before"]]
        ),
        asked="the delay before, of the first 1,000 flights",
    )

# %% role="hidden" exercise="previous"
with lab.check("previous", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["tailnum", "time_hour", "arr_delay"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("previous", few),
        (
            few.dropna(subset=["tailnum"])
            .sort_values(["tailnum", "time_hour"], kind="stable")
            .assign(before=lambda f: f.groupby("tailnum")["arr_delay"].shift())
            .dropna(subset=["before"])[["tailnum", "time_hour", "before"]]
        ),
        asked="the delay before, of other flights",
    )

# %% [markdown] role="hint" exercise="previous"
# Whose flight was the one before?

# %% [markdown] role="hint" exercise="previous"
# Look up `shift` of a group.

# %% [markdown] role="hint" exercise="previous"
# Sort by aircraft and time, then `groupby(...)[...].shift()`.


# %% role="right" exercise="previous"
def previous(flights):
    ordered = flights.sort_values(["tailnum", "time_hour"], kind="stable")
    same = ordered["tailnum"] == ordered["tailnum"].shift()
    before = ordered["arr_delay"].shift().where(same)
    found = ordered.assign(before=before).dropna(subset=["before", "tailnum"])
    return found[["tailnum", "time_hour", "before"]]


# %% role="wrong" exercise="previous" misconception="the flight after" caught="check" says="before"
def previous(flights):
    ordered = flights.sort_values(["tailnum", "time_hour"], kind="stable")
    ordered["before"] = ordered.groupby("tailnum")["arr_delay"].shift(-1)
    return ordered.dropna(subset=["before"])[["tailnum", "time_hour", "before"]]


# %% role="wrong" exercise="previous" misconception="another aircraft" caught="check" says="row"
def previous(flights):
    ordered = flights.sort_values(["tailnum", "time_hour"], kind="stable")
    ordered["before"] = ordered["arr_delay"].shift()
    return ordered.dropna(subset=["before"])[["tailnum", "time_hour", "before"]]


# %% role="wrong" exercise="previous" misconception="not put in order" caught="check" says="before"
def previous(flights):
    table = flights.sort_values("arr_delay")
    table["before"] = table.groupby("tailnum")["arr_delay"].shift()
    return table.dropna(subset=["before"])[["tailnum", "time_hour", "before"]]


# %% [markdown] role="task" exercise="daily" points=2 topics=["4.1-1"]
# ### Flights a day
#
# Write `daily(flights)`: a frame with `day` and one column for each `origin`, the
# number of its flights.


# %% role="answer" exercise="daily"
def daily(flights):
    """Flights of each day, one column for each airport."""
    ### BEGIN SOLUTION
    return pd.crosstab(flights["day"], flights["origin"]).reset_index()
    ### END SOLUTION


# %% role="check" exercise="daily"
with lab.check("daily") as answer:
    few = flights[["day", "origin"]].head(1000)
    answer.same_rows(
        answer.call("daily", few),
        few.groupby(["day", "origin"]).size().unstack(fill_value=0).reset_index(),
        asked="flights a day, of the first 1,000 flights",
    )

# %% role="hidden" exercise="daily"
with lab.check("daily", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["day", "origin"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("daily", few),
        few.groupby(["day", "origin"]).size().unstack(fill_value=0).reset_index(),
        asked="flights a day, of other flights",
    )

# %% [markdown] role="hint" exercise="daily"
# Which values become columns?

# %% [markdown] role="hint" exercise="daily"
# Look up `pandas.crosstab`.

# %% [markdown] role="hint" exercise="daily"
# `pd.crosstab(rows, columns).reset_index()`


# %% role="right" exercise="daily"
def daily(flights):
    counts = flights.groupby(["day", "origin"]).size()
    return counts.unstack(fill_value=0).reset_index()


# %% role="wrong" exercise="daily" misconception="long, not wide" caught="check" says="EWR"
def daily(flights):
    return flights.groupby(["day", "origin"]).size().reset_index(name="flights")


# %% role="wrong" exercise="daily" misconception="shares" caught="check" says="EWR"
def daily(flights):
    counts = pd.crosstab(flights["day"], flights["origin"], normalize="index")
    return counts.reset_index()


# %% role="wrong" exercise="daily" misconception="the first week" caught="check" says="row"
def daily(flights):
    return pd.crosstab(flights["day"], flights["origin"]).head(1).reset_index()


# %% [markdown] role="task" exercise="speed" points=2 topics=["4.1-1"]
# ### Mean speed
#
# Write `speed(flights)`: a frame with `dest` and `speed`, the sum of `distance` over
# the hours of all `air_time` (minutes), without flights that have none.


# %% role="answer" exercise="speed"
def speed(flights):
    """Miles an hour by destination."""
    ### BEGIN SOLUTION
    flown = flights.dropna(subset=["air_time"])
    sums = flown.groupby("dest")[["distance", "air_time"]].sum()
    return (sums["distance"] / sums["air_time"] * 60).rename("speed").reset_index()
    ### END SOLUTION


# %% role="check" exercise="speed"
with lab.check("speed") as answer:
    few = flights[["dest", "distance", "air_time"]].head(1000)
    answer.same_rows(
        answer.call("speed", few),
        (
            few.dropna(subset=["air_time"])
            .groupby("dest", as_index=False)[["distance", "air_time"]]
            .sum()
            .assign(speed=lambda f: f["distance"] / f["air_time"] * 60)[
                ["dest", "speed"]
            ]
        ),
        asked="mean speed, of the first 1,000 flights",
    )

# %% role="hidden" exercise="speed"
with lab.check("speed", hidden=True) as answer:
    draw = answer.random.randrange(1000)
    few = flights[["dest", "distance", "air_time"]].sample(2000, random_state=draw)
    answer.same_rows(
        answer.call("speed", few),
        (
            few.dropna(subset=["air_time"])
            .groupby("dest", as_index=False)[["distance", "air_time"]]
            .sum()
            .assign(speed=lambda f: f["distance"] / f["air_time"] * 60)[
                ["dest", "speed"]
            ]
        ),
        asked="mean speed, of other flights",
    )

# %% [markdown] role="hint" exercise="speed"
# A long flight counts for more than a short one.

# %% [markdown] role="hint" exercise="speed"
# Sum first, then divide.

# %% [markdown] role="hint" exercise="speed"
# `sums["distance"] / sums["air_time"] * 60`


# %% role="right" exercise="speed"
def speed(flights):
    flown = flights[flights["air_time"].notna()]
    miles = flown.groupby("dest")["distance"].sum()
    hours = flown.groupby("dest")["air_time"].sum() / 60
    return (miles / hours).rename("speed").reset_index()


# %% role="wrong" exercise="speed" misconception="miles a minute" caught="check" says="speed"
def speed(flights):
    flown = flights.dropna(subset=["air_time"])
    sums = flown.groupby("dest")[["distance", "air_time"]].sum()
    return (sums["distance"] / sums["air_time"]).rename("speed").reset_index()


# %% role="wrong" exercise="speed" misconception="mean of the speeds" caught="check" says="speed"
def speed(flights):
    each = flights.assign(speed=flights["distance"] / flights["air_time"] * 60)
    flown = each.dropna(subset=["speed"])
    return flown.groupby("dest", as_index=False)["speed"].mean()


# %% role="wrong" exercise="speed" misconception="cancelled flights flew" caught="check" says="speed"
def speed(flights):
    miles = flights.groupby("dest")["distance"].sum()
    hours = flights.groupby("dest")["air_time"].mean() / 60
    return (miles / hours).rename("speed").reset_index()
