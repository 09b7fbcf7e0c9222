# %% [markdown] minutes=5 datasets=["flights"] systems=[]
# # pandas
#
# About half a second of work in pandas.

# %% [markdown]
# ## You will be able to
#
# - find the mean delay by airport and hour (exercise 1)
# - count delayed aircraft (exercise 2)

# %% role="setup"

from labkit import dataset, open_lab

lab = open_lab("04-1-benchmark/02-pandas")
flights = dataset("flights").frame()

# %% [markdown] topics=["4.1-1"]
# ## Delays

# %%
ordered = flights.sort_values(["tailnum", "time_hour"])
ordered["before"] = ordered.groupby("tailnum")["arr_delay"].shift()
ordered["usual"] = ordered.groupby("tailnum")["dep_delay"].transform("median")
ordered["route"] = ordered["origin"] + "-" + ordered["dest"]
ordered.groupby("route")[["before", "usual", "dep_delay"]].mean().round(1).head()

# %% [markdown] role="task" exercise="by-hour" points=2 topics=["4.1-1"]
# ### Mean delay by airport and hour
#
# Write `by_hour(flights)`: a frame with `origin`, `hour` and `delay`, the mean of `dep_delay`.


# %% role="answer" exercise="by-hour"
def by_hour(flights):
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
        asked="the mean delay of 1,000 flights by airport and hour",
    )

# %% role="hidden" exercise="by-hour"
with lab.check("by-hour", hidden=True) as answer:
    few = flights[["origin", "hour", "dep_delay"]].sample(
        5000, random_state=answer.random.randrange(1000)
    )
    answer.same_rows(
        answer.call("by_hour", few),
        few.groupby(["origin", "hour"], as_index=False).agg(
            delay=("dep_delay", "mean")
        ),
        asked="the mean delay of other flights by airport and hour",
    )

# %% [markdown] role="hint" exercise="by-hour"
# What are the groups?

# %% [markdown] role="hint" exercise="by-hour"
# Look up `groupby` and `agg`.

# %% [markdown] role="hint" exercise="by-hour"
# `flights.groupby([...]).agg(delay=(..., "mean"))`


# %% role="right" exercise="by-hour"
def by_hour(flights):
    return (
        flights.groupby(["hour", "origin"])["dep_delay"]
        .mean()
        .rename("delay")
        .reset_index()
    )


# %% role="wrong" exercise="by-hour" misconception="the sum" caught="check" says="mean"
def by_hour(flights):
    return flights.groupby(["origin", "hour"], as_index=False).agg(
        delay=("dep_delay", "sum")
    )


# %% role="wrong" exercise="by-hour" misconception="no airport" caught="check" says="origin"
def by_hour(flights):
    return flights.groupby("hour", as_index=False).agg(delay=("dep_delay", "mean"))


# %% role="wrong" exercise="by-hour" misconception="missing is zero" caught="check" says="mean"
def by_hour(flights):
    filled = flights.fillna({"dep_delay": 0})
    return filled.groupby(["origin", "hour"], as_index=False).agg(
        delay=("dep_delay", "mean")
    )


# %% [markdown] role="task" exercise="tails" points=3 topics=["4.1-1"]
# ### Delayed aircraft
#
# Make `tails`: how many aircraft of `flights` left an hour late or more, at least once.

# %% role="answer" exercise="tails"
tails = ...
### BEGIN SOLUTION
late = flights[flights["dep_delay"] >= 60]
joined = late.merge(
    flights[["tailnum", "distance"]].drop_duplicates(), on="tailnum", how="left"
)
tails = int(joined["tailnum"].nunique())
### END SOLUTION

# %% role="check" exercise="tails"
with lab.check("tails") as answer:
    late = flights[flights["dep_delay"] >= 60]
    answer.equal(
        answer.value("tails"),
        int(late["tailnum"].nunique()),
        asked="the number of late aircraft",
    )

# %% role="hidden" exercise="tails"
with lab.check("tails", hidden=True) as answer:
    answer.true(answer.value("tails") > 0, asked="a number above 0", found="none")

# %% [markdown] role="hint" exercise="tails"
# Which flights count?

# %% [markdown] role="hint" exercise="tails"
# Look up `nunique`.

# %% [markdown] role="hint" exercise="tails"
# `flights[...]["tailnum"].nunique()`

# %% role="right" exercise="tails"
tails = len(set(flights.loc[flights["dep_delay"] >= 60, "tailnum"].dropna()))

# %% role="wrong" exercise="tails" misconception="flights, not aircraft" caught="check" says="number"
tails = int((flights["dep_delay"] >= 60).sum())

# %% role="wrong" exercise="tails" misconception="more than an hour" caught="check" says="number"
tails = int(flights.loc[flights["dep_delay"] > 75, "tailnum"].nunique())

# %% role="wrong" exercise="tails" misconception="arrivals" caught="check" says="number"
tails = int(flights.loc[flights["arr_delay"] >= 60, "tailnum"].nunique())
