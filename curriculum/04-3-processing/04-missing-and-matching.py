# %% [markdown] minutes=60 datasets=["weather", "flights", "planes"] systems=[]
# # Missing values, matching, and a report
#
# One filled column makes a bad model that looks good, and a job that runs twice invents winds. You fill without a look at
# the future, match keys without a guess, and prove where each row went.

# %% [markdown]
# ## You will be able to
#
# - find out why values are missing (exercise 1)
# - fill gaps without a look at the future (exercise 2)
# - match keys that people write differently (exercise 3)
# - build a pipeline with quarantine and report that may run twice (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Cleaning* | repair, flag, fill or quarantine |
# | pandas: `groupby`, `transform`, masks | most answers take a frame |
# | regular expressions | exercise 3 |
#
# The dirt that you see was published so; where we add some, it says *invented*. Use any library.

# %% role="setup"
import random
import re
from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from labkit import dataset, open_lab, picture

lab = open_lab("04-3-processing/04-missing-and-matching")
lab

# %% [markdown] topics=["4.3-2"]
# ## Nulls that are there
#
# The lab before judged values. This one begins with those that are not there. So many nulls have some columns:

# %%
WEATHER = dataset("weather").frame()
FLIGHTS = dataset("flights").frame()
for name, frame in {"flights": FLIGHTS, "weather": WEATHER}.items():
    nulls = frame.isna().mean()
    found = (100 * nulls[nulls > 0.01]).round(1).sort_values()
    print(f"{name}, percent missing:", found.to_dict())

# %% [markdown] topics=["4.3-2"]
# ## Why is it missing?
#
# A value is missing by chance, because of *another* column, or because of *itself*; books say MCAR, MAR, MNAR. Only in
# the first case do the other rows speak for all.
#
# **Predict:** on 8 February, a blizzard closes New York. How late is the average flight?

# %%
days = FLIGHTS.groupby(["month", "day"]).agg(
    cancelled=("dep_time", lambda times: times.isna().mean()),
    delay=("dep_delay", "mean"),
)
figure, axes = plt.subplots(figsize=(6.4, 3.2))
axes.scatter(100 * days["cancelled"], days["delay"], s=9)
for name, day in {"8 Feb": (2, 8), "9 Feb": (2, 9), "8 Mar": (3, 8)}.items():
    axes.annotate(name, (100 * days["cancelled"][day] + 1, days["delay"][day]))
axes.set(xlabel="cancelled flights in percent", ylabel="mean delay in minutes")
axes.set(xlim=(-2, 65))
picture(
    figure,
    alt="Each day of 2013 by its cancelled flights and its mean delay. On 8 and 9 February more than half "
    "of the flights are cancelled, and the mean delay is below 20 minutes, like on an ordinary day; on "
    "8 March, with 18 percent cancelled, it is 84.",
)

# %% [markdown]
# Half the flights have no delay: they never left. The worst day looks ordinary. Fill nothing here, a cancelled flight
# *has* no delay; count it beside the mean.
#
# Other gaps are values that nobody recorded. Whether by chance can be measured.

# %% [markdown] role="task" exercise="gaps" points=2 topics=["4.3-2"]
# ### Where are the gaps?
#
# Write `gaps(frame, column, by)`. Return a table with one row for each value of the column `by`, of which null is one:
#
# | Column | Holds |
# |---|---|
# | `group` | the value of `by` |
# | `rows`, `missing` | its rows; those with a null in `column` |
# | `share` | `missing` / `rows` |
# | `others` | the same share of all rows *outside* the group; null if there are none |
#
# Example: 4 rows with 1 gap, all other 6 with 3: `share` 0.25, `others` 0.5.
#
# Why: a big group compared with all rows is compared with itself.


# %% role="answer" exercise="gaps"
def gaps(frame: pd.DataFrame, column: str, by: str) -> pd.DataFrame:
    """The share of missing values in each group and outside of it."""
    ### BEGIN SOLUTION
    missing = frame[column].isna()
    found = missing.groupby(frame[by], dropna=False).agg(["size", "sum"]).reset_index()
    found.columns = ["group", "rows", "missing"]
    found["share"] = found["missing"] / found["rows"]
    others = len(frame) - found["rows"]
    found["others"] = (missing.sum() - found["missing"]) / others
    return found
    ### END SOLUTION


# %% role="check" exercise="gaps"
with lab.check("gaps") as answer:
    sky = ["rain"] * 4 + ["dry"] * 5 + [None]
    pressure = [None, 1.0, 2.0, 3.0, None, None, 4.0, 5.0, None, 6.0]
    frame = pd.DataFrame({"pressure": pressure, "sky": sky})
    for rows, expected in {
        10: [
            ("rain", 4, 1, 0.25, 0.5),
            ("dry", 5, 3, 0.6, 0.2),
            (None, 1, 0, 0.0, 4 / 9),
        ],
        4: [("rain", 4, 1, 0.25, None)],
    }.items():
        names = ["group", "rows", "missing", "share", "others"]
        answer.same_rows(
            answer.call("gaps", frame[:rows], "pressure", "sky"),
            [dict(zip(names, row, strict=True)) for row in expected],
            asked=f"the gaps in pressure {pressure[:rows]} by sky {sky[:rows]}",
            key=["group"],
        )

# %% role="hidden" exercise="gaps"
with lab.check("gaps", hidden=True) as answer:
    draw = answer.random
    column = draw.choice(["tailnum", "air_time", "text"])
    rows = [
        {
            "crew": draw.choice(["Zoë", "Ivo", "", None]),
            column: draw.choice([None, 0, 7])
            if column != "text"
            else draw.choice([None, "a"]),
        }
        for _ in range(80)
    ]
    expected = []
    for crew in ("Zoë", "Ivo", "", None):
        inside = [row[column] is None for row in rows if row["crew"] == crew]
        outside = [row[column] is None for row in rows if row["crew"] != crew]
        row = {"group": crew, "rows": len(inside), "missing": sum(inside)}
        row |= {"share": sum(inside) / len(inside)}
        expected.append(row | {"others": sum(outside) / len(outside)})
    answer.same_rows(
        answer.call("gaps", pd.DataFrame(rows), column, "crew"),
        expected,
        asked=f"the gaps in {column} by crew, in 80 invented rows",
        key=["group"],
    )

# %% [markdown] role="hint" exercise="gaps"
# What does `groupby` do with rows whose key is null? Which count includes nulls?

# %% [markdown] role="hint" exercise="gaps"
# Group the mask `isna()`, not the values: its `size` are the rows, its `sum` are the gaps. `dropna=False` keeps the
# null group. The others are all minus the group.

# %% [markdown] role="hint" exercise="gaps"
# ```python
# missing = frame[column].isna()
# found = missing.groupby(frame[by], ...).agg(["size", ...]).reset_index()
# found.columns = ["group", "rows", "missing"]
# found["share"] = ...
# found["others"] = (missing.sum() - ...) / (len(frame) - ...)
# ```


# %% role="right" exercise="gaps"
def gaps(frame, column, by):
    result = []
    empty = frame[column].isna()
    for value in frame[by].drop_duplicates():
        inside = frame[by].isna() if pd.isna(value) else frame[by] == value
        row = {"group": None if pd.isna(value) else value, "rows": int(inside.sum())}
        row["missing"] = int(empty[inside].sum())
        row["share"] = empty[inside].mean()
        row["others"] = empty[~inside].mean() if (~inside).any() else None
        result.append(row)
    return result


# %% [markdown] role="equivalent" exercise="gaps" reason="None is as false as False"
# - found = missing.groupby(frame[by], dropna=False).agg(["size", "sum"]).reset_index()
# + found = missing.groupby(frame[by], dropna=None).agg(["size", "sum"]).reset_index()


# %% role="wrong" exercise="gaps" misconception="groupby keeps every row" caught="check" says="1 row(s) missing"
def gaps(frame, column, by):
    missing = frame[column].isna()
    found = missing.groupby(frame[by]).agg(["size", "sum"]).reset_index()
    found.columns = ["group", "rows", "missing"]
    outside = len(frame) - found["rows"]
    found["share"] = found["missing"] / found["rows"]
    found["others"] = (missing.sum() - found["missing"]) / outside.where(outside > 0)
    return found


# %% role="wrong" exercise="gaps" misconception="The others are the whole table" caught="check" says="column others"
def gaps(frame, column, by):
    missing = frame[column].isna()
    found = missing.groupby(frame[by], dropna=False).agg(["size", "sum"]).reset_index()
    found.columns = ["group", "rows", "missing"]
    found["share"] = found["missing"] / found["rows"]
    found["others"] = missing.mean()
    return found


# %% role="wrong" exercise="gaps" misconception="count is the number of rows" caught="check" says="column rows"
def gaps(frame, column, by):
    missing = frame[column].isna()
    groups = frame.groupby(by, dropna=False)[column]
    found = groups.count().reset_index()
    found.columns = ["group", "rows"]
    found["missing"] = missing.groupby(frame[by], dropna=False).sum().to_numpy()
    outside = len(frame) - found["rows"]
    found["share"] = found["missing"] / found["rows"]
    found["others"] = (missing.sum() - found["missing"]) / outside.where(outside > 0)
    return found


# %% role="wrong" exercise="gaps" misconception="A share is a part of all gaps" caught="check" says="column share"
def gaps(frame, column, by):
    missing = frame[column].isna()
    found = missing.groupby(frame[by], dropna=False).agg(["size", "sum"]).reset_index()
    found.columns = ["group", "rows", "missing"]
    outside = len(frame) - found["rows"]
    found["share"] = found["missing"] / missing.sum()
    found["others"] = (missing.sum() - found["missing"]) / outside.where(outside > 0)
    return found


# %%
sky = WEATHER.assign(sky=(WEATHER["precip"] > 0).map({True: "rain", False: "dry"}))
shares = gaps(sky, "pressure", "sky")
if shares is None:
    shares = sky["pressure"].isna().groupby(sky["sky"]).mean().reset_index()
print(shares.round(3).to_string(index=False))

# %% [markdown]
# Pressure is missing in every second hour of rain, and it is lower in rain: the mean of the rest is too high. Fill within
# the groups that explain the gap, and keep an *indicator*, for the gap itself says something.

# %% [markdown] topics=["4.3-2"]
# ## The model that knew tomorrow
#
# A model learns in June to predict delays from the hour and from `inbound`, the delay of the same aircraft earlier that
# day; July tests it. Three of four values of `inbound` are missing. Somebody fills them with the mean delay of that airport
# and hour, before the split.
#
# **Predict:** what is the score worth in July, when that mean is not known yet?

# %%
chosen = FLIGHTS["month"].isin([6, 7]) & FLIGHTS["dep_delay"].notna()
summer = FLIGHTS[chosen].copy()
flown = summer.groupby(["tailnum", "month", "day"])["dep_delay"]
summer["inbound"], june = flown.shift(), summer["month"] == 6
hours = summer.groupby(["origin", "month", "day", "hour"])["dep_delay"]
leaky = summer["inbound"].fillna(hours.transform("mean"))
honest = summer["inbound"].fillna(summer["inbound"][june].median())
for name, trained, used in [
    ("leaky, in the lab", leaky, leaky),
    ("leaky, in July", leaky, honest),
    ("honest, in July", honest, honest),
]:
    table = summer[["hour"]].assign(gap=summer["inbound"].isna())
    model = LinearRegression()
    model.fit(table.assign(inbound=trained)[june], summer["dep_delay"][june])
    found = model.predict(table.assign(inbound=used)[~june])
    print(f"{name:<18} R² {r2_score(summer['dep_delay'][~june], found):5.2f}")

# %% [markdown]
# R² is the share of the variation that is explained. Twice as good in the lab, worse than nothing in July: the filled values
# held the answer. This is a *leak*. A median or a limit is *fitted* on training rows, then applied to all.

# %% [markdown] role="task" exercise="impute" points=3 topics=["4.3-2"]
# ### Fill without a look ahead
#
# Write `impute(train, test)`. Both frames have `id`, `origin`, `hour` and `inbound` (may be null). Return one table with `id`,
# `inbound` and `was_missing` (boolean) for all rows of both. Fill a gap with the first that is known, of
#
# 1. the median of the same origin and hour
# 2. the median of the same origin
# 3. the median of all
#
# in the known values of `train`, which has at least one.
#
# Example: `train` knows 10 and 20 for JFK at 7, and 60 for JFK at 9. A gap at JFK at 7 becomes 15, at JFK at 8 it becomes 20.
#
# Why: a score is a promise about days that nobody has seen.


# %% role="answer" exercise="impute"
def impute(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """All rows with their gaps filled from the training rows."""
    ### BEGIN SOLUTION
    cells = train.groupby(["origin", "hour"])["inbound"].median().rename("usual")
    origins = train.groupby("origin")["inbound"].median()
    rows = pd.concat([train, test]).join(cells, on=["origin", "hour"])
    filled = rows["inbound"].fillna(rows["usual"])
    filled = filled.fillna(rows["origin"].map(origins))
    filled = filled.fillna(train["inbound"].median())
    return rows[["id"]].assign(inbound=filled, was_missing=rows["inbound"].isna())
    ### END SOLUTION


# %% role="check" exercise="impute"
with lab.check("impute") as answer:
    names = ["id", "origin", "hour", "inbound"]
    train = [
        (1, "JFK", 7, 10.0),
        (2, "JFK", 7, 20.0),
        (3, "JFK", 9, 60.0),
        (4, "JFK", 7, None),
        (5, "LGA", 7, 0.0),
        (6, "LGA", 8, None),
        (7, "LGA", 9, 2.0),
        (8, "LGA", 9, 98.0),
    ]
    test = [
        (11, "JFK", 7, None),
        (12, "JFK", 7, 900.0),
        (13, "JFK", 8, None),
        (14, "LGA", 8, None),
        (15, "EWR", 8, None),
        (16, "EWR", 8, -5.0),
        (17, "LGA", 7, None),
    ]
    filled = {4: 15, 6: 2, 11: 15, 13: 20, 14: 2, 15: 15, 17: 0}
    expected = [
        {
            "id": row[0],
            "inbound": float(filled.get(row[0], row[3])),
            "was_missing": row[3] is None,
        }
        for row in [*train, *test]
    ]
    answer.same_rows(
        answer.call(
            "impute",
            pd.DataFrame(train, columns=names),
            pd.DataFrame(test, columns=names),
        ),
        expected,
        asked=f"train {train} and test {test} ({', '.join(names)})",
        key=["id"],
    )

# %% role="hidden" exercise="impute"
with lab.check("impute", hidden=True) as answer:
    draw = answer.random

    def invented(first, count, origins):
        return pd.DataFrame(
            {
                "id": range(first, first + count),
                "origin": [draw.choice(origins) for _ in range(count)],
                "hour": [draw.randrange(6, 12) for _ in range(count)],
                "inbound": [
                    draw.choice([None, float(draw.randrange(-5, 200))])
                    for _ in range(count)
                ],
            }
        )

    train = invented(0, 60, ["JFK", "LGA"])
    train.loc[(train["origin"] == "LGA") & (train["hour"] > 9), "inbound"] = None
    test = invented(60, 40, ["JFK", "LGA", "EWR"])
    known = train.dropna(subset="inbound")
    expected = []
    for row in [*train.to_dict("records"), *test.to_dict("records")]:
        here = known[known["origin"] == row["origin"]]
        usual = [here[here["hour"] == row["hour"]], here, known]
        value, missing = row["inbound"], bool(pd.isna(row["inbound"]))
        if missing:
            value = next(part for part in usual if len(part))["inbound"].median()
        expected.append({"id": row["id"], "inbound": value, "was_missing": missing})
    answer.same_rows(
        answer.call("impute", train, test),
        pd.DataFrame(expected),
        asked="60 invented rows of train and 40 of test, with an origin that train does not have",
        key=["id"],
    )

# %% [markdown] role="hint" exercise="impute"
# Which rows may your medians see? When is it still known which values were missing?

# %% [markdown] role="hint" exercise="impute"
# Compute three medians from `train` alone: `groupby` by two columns, by one, and none. Then put both frames together
# and fill, one `fillna` after the other. Take the indicator from the unfilled column.

# %% [markdown] role="hint" exercise="impute"
# ```python
# cells = train.groupby(["origin", "hour"])["inbound"].median().rename("usual")
# origins = ...
# rows = pd.concat([train, test]).join(cells, on=[...])
# filled = rows["inbound"].fillna(...)
# filled = filled.fillna(rows["origin"].map(...))
# ...
# ```


# %% role="right" exercise="impute"
def impute(train, test):
    known = train[train["inbound"].notna()]
    result = []
    for frame in (train, test):
        for row in frame.itertuples():
            value = row.inbound
            if pd.isna(value):
                here = known[known["origin"] == row.origin]
                now = here[here["hour"] == row.hour]
                source = now if len(now) else here if len(here) else known
                value = float(source["inbound"].median())
            result.append(
                {
                    "id": row.id,
                    "inbound": value,
                    "was_missing": bool(pd.isna(row.inbound)),
                }
            )
    return result


# %% role="wrong" exercise="impute" misconception="More data make a better median" caught="check" says="id 4"
def impute(train, test):
    rows = pd.concat([train, test], ignore_index=True)
    usual = rows.groupby(["origin", "hour"])["inbound"].transform("median")
    filled = rows["inbound"].fillna(usual)
    filled = filled.fillna(rows.groupby("origin")["inbound"].transform("median"))
    filled = filled.fillna(rows["inbound"].median())
    return pd.DataFrame(
        {"id": rows["id"], "inbound": filled, "was_missing": rows["inbound"].isna()}
    )


# %% role="wrong" exercise="impute" misconception="Train and test are each filled from themselves" caught="check" says="id 11"
def impute(train, test):
    parts = []
    for rows in (train, test):
        usual = rows.groupby(["origin", "hour"])["inbound"].transform("median")
        filled = rows["inbound"].fillna(usual)
        filled = filled.fillna(rows.groupby("origin")["inbound"].transform("median"))
        filled = filled.fillna(rows["inbound"].median())
        parts.append(
            rows[["id"]].assign(inbound=filled, was_missing=rows["inbound"].isna())
        )
    return pd.concat(parts)


# %% role="wrong" exercise="impute" misconception="No earlier delay is a delay of 0" caught="check" says="id 4"
def impute(train, test):
    rows = pd.concat([train, test], ignore_index=True)
    missing = rows["inbound"].isna()
    return rows[["id"]].assign(inbound=rows["inbound"].fillna(0), was_missing=missing)


# %% role="wrong" exercise="impute" misconception="Every group of the test was seen in training" caught="check" says="id 6"
def impute(train, test):
    rows = pd.concat([train, test], ignore_index=True)
    usual = train.groupby(["origin", "hour"])["inbound"].median().rename("usual")
    rows = rows.join(usual, on=["origin", "hour"])
    filled = rows["inbound"].fillna(rows["usual"])
    return rows[["id"]].assign(inbound=filled, was_missing=rows["inbound"].isna())


# %% role="wrong" exercise="impute" misconception="The indicator can be computed afterwards" caught="check" says="was_missing"
def impute(train, test):
    rows = pd.concat([train, test], ignore_index=True)
    usual = train.groupby(["origin", "hour"])["inbound"].median().rename("usual")
    rows = rows.join(usual, on=["origin", "hour"])
    origins = train.groupby("origin")["inbound"].median()
    rows["inbound"] = rows["inbound"].fillna(rows["usual"])
    rows["inbound"] = rows["inbound"].fillna(rows["origin"].map(origins))
    rows["inbound"] = rows["inbound"].fillna(train["inbound"].median())
    return rows[["id", "inbound"]].assign(was_missing=rows["inbound"].isna())


# %% role="wrong" exercise="impute" misconception="A mean is as good as a median" caught="check" says="id 6"
def impute(train, test):
    rows = pd.concat([train, test], ignore_index=True)
    usual = train.groupby(["origin", "hour"])["inbound"].mean().rename("usual")
    rows = rows.join(usual, on=["origin", "hour"])
    origins = train.groupby("origin")["inbound"].mean()
    filled = rows["inbound"].fillna(rows["usual"])
    filled = filled.fillna(rows["origin"].map(origins))
    filled = filled.fillna(train["inbound"].mean())
    return rows[["id"]].assign(inbound=filled, was_missing=rows["inbound"].isna())


# %% [markdown] topics=["4.3-2"]
# ## One aircraft, many spellings
#
# A mechanic writes `n-711 mq`, the registry `N711MQ`. A popular mend takes the most similar name.
#
# **Predict:** of 3,322 aircraft, how many have a sister whose tail number differs in one character?

# %%
REGISTRY = dataset("planes").frame()["tailnum"].tolist()
flown = set(FLIGHTS["tailnum"].dropna())
CHARACTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


def sisters(tail):
    """The registry's tail numbers that differ from this one in one replaced character."""
    made = {tail[:n] + c + tail[n + 1 :] for n in range(len(tail)) for c in CHARACTERS}
    return sorted((made - {tail}) & KNOWN)


KNOWN = set(REGISTRY)
print(
    sum(bool(sisters(tail)) for tail in REGISTRY), "of", len(REGISTRY), "have a sister"
)
foreign = sorted(flown - KNOWN)
single = [tail for tail in foreign if len(sisters(tail)) == 1]
print(
    len(foreign), "that fly are not in the registry;", len(single), "have one sister:"
)
print({tail: sisters(tail)[0] for tail in single[:3]})

# %% [markdown]
# "The only similar one" gives real aircraft the identity of others: their age, their seats, their repairs. Mend only what
# *cannot* change the meaning; a person decides the rest.

# %% [markdown] role="task" exercise="match" points=3 topics=["4.3-2"]
# ### Match, or ask
#
# Write `match(written, registry)` for two lists of texts. Return a list of dictionaries, in the order of `written`, with `how`,
# `tailnum` and `candidates`. First tidy a text:
#
# - capitals; only letters A to Z and digits stay
# - O and I look like 0 and 1, so no tail number of the United States has them: read them as digits
# - if it begins with a digit, put the missing `N` in front
#
# | `how` | When (the first that holds) | `tailnum` | `candidates` |
# |---|---|---|---|
# | `"match"` | tidied, it is in the registry | that one | `[]` |
# | `"review"` | one character replaced, added or left out gives some of the registry | `None` | these, sorted |
# | `"unknown"` | otherwise | `None` | `[]` |
#
# The registry is tidy. Example: with `["N101DU", "N102DU"]`, `n-1o1 du` matches; `N103DU` has both as candidates.
#
# Why: nobody will ever look for a wrong match.


# %% role="answer" exercise="match"
def match(written: list[str], registry: list[str]) -> list[dict]:
    """How each text relates to the registry."""
    ### BEGIN SOLUTION
    found = []
    for text in written:
        tail = re.sub(r"[^A-Z0-9]", "", text.upper())
        tail = tail.replace("O", "0").replace("I", "1")
        if tail[:1].isdigit():
            tail = "N" + tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                if long[:n] + long[n + 1 :] in (short, short[:n] + short[n + 1 :]):
                    near.add(known)
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found
    ### END SOLUTION


# %% role="check" exercise="match"
with lab.check("match") as answer:
    registry = ["N101DU", "N102DU", "N10156", "N725MQ", "N7", "D942DN", "N711", "N7XA"]
    cases = {
        "N725MQ": "N725MQ",
        " n-725 mq": "N725MQ",
        "725.MQ": "N725MQ",
        "nº 725 mq": "N725MQ",
        "N1O1DU": "N101DU",
        "nl01du": ["N101DU"],
        "7ii": "N711",
        "7 xa": "N7XA",
        "o": ["N7"],
        "N7": "N7",
        "d942dn": "D942DN",
        "N103DU": ["N101DU", "N102DU"],
        "N725M": ["N725MQ"],
        "N7255MQ": ["N725MQ"],
        "N725MQQ": ["N725MQ"],
        "XN725MQ": ["N725MQ"],
        "9725MQ": ["N725MQ"],
        "N275MQ": [],
        "N71": ["N7", "N711"],
        "N1015": ["N10156"],
        "": [],
    }
    asked = {
        f"what {text!r} is, with the registry {registry}": [text] for text in cases
    }
    asked[f"the same of these {len(cases)} texts in one call, twice"] = [*cases, *cases]
    for what, written in asked.items():
        expected = []
        for case in map(cases.get, written):
            sure = isinstance(case, str)
            row = {"how": "match" if sure else "review" if case else "unknown"}
            row |= {"tailnum": case if sure else None}
            expected.append(row | {"candidates": [] if sure else case})
        answer.equal(answer.call("match", written, registry), expected, asked=what)

# %% role="hidden" exercise="match"
with lab.check("match", hidden=True) as answer:
    draw = answer.random
    tails = dataset("planes").frame()["tailnum"].tolist()
    start = draw.randrange(len(tails) - 200)
    registry = [*tails[start : start + 120], "D123AB"]
    draw.shuffle(registry)
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
    written, expected = [], []
    for number in range(24):
        tail = draw.choice(registry) if number else "D123AB"
        if number % 4 == 3:
            tail = tail.replace("1", "L", 1)
        elif number % 2:
            place = draw.randrange(1, len(tail))
            new = draw.choice(["", *draw.sample(letters, 4)])
            tail = tail[:place] + new + tail[place + draw.choice([0, 1]) :]
        made = {tail[:n] + tail[n + 1 :] for n in range(len(tail))}
        made |= {
            tail[:n] + c + tail[n + more :]
            for n in range(len(tail) + 1)
            for c in letters
            for more in (0, 1)
        }
        near = sorted(made & {*registry} - {tail})
        if tail in registry:
            expected.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            expected.append({"how": how, "tailnum": None, "candidates": near})
        text = tail.replace("0", draw.choice("0Oo")).replace("1", draw.choice("1Ii"))
        text = draw.choice([text, text[1:], text.lower(), f"{text[:3]} - {text[3:]}"])
        written.append(
            text if re.match(r"N\d", tail) and text[-5:].strip("- ") else tail
        )
    # Two mechanics may write of one aircraft.
    written, expected = written + written[:6], expected + expected[:6]
    answer.equal(
        answer.call("match", written, registry),
        expected,
        asked=f"what {written} are, with {len(registry)} aircraft in the registry",
    )

# %% [markdown] role="hint" exercise="match"
# Which changes can never turn one aircraft into another? Which can? Does "only one is near" prove anything?

# %% [markdown] role="hint" exercise="match"
# Tidy first: `upper`, `re.sub`, `replace`, then the `N`. For two texts of one length, one character is replaced if they agree
# without their nth character. For two that differ by one, leave each character of the longer one out.

# %% [markdown] role="hint" exercise="match"
# ```python
# for text in written:
#     tail = re.sub(r"...", "", text.upper()).replace(...)...
#     if tail[:1].isdigit():
#         ...
#     near = set()
#     for known in registry:
#         short, long = sorted([tail, known], key=len)
#         for n in range(len(long)):
#             if ...:
#                 near.add(known)
#     ...
# ```


# %% role="right" exercise="match"
def match(written, registry):
    def distance(one, two):
        before = list(range(len(two) + 1))
        for i, a in enumerate(one, 1):
            row = [i]
            for j, b in enumerate(two, 1):
                row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b)))
            before = row
        return before[-1]

    result = []
    for text in written:
        tail = "".join(c for c in text.upper() if c.isalnum() and c.isascii())
        tail = tail.translate(str.maketrans("OI", "01"))
        tail = re.sub(r"^(?=\d)", "N", tail)
        if tail in registry:
            result.append({"how": "match", "tailnum": tail, "candidates": []})
            continue
        near = [k for k in registry if abs(len(k) - len(tail)) < 2]
        near = sorted({k for k in near if distance(tail, k) == 1})
        result.append(
            {
                "how": "review" if near else "unknown",
                "tailnum": None,
                "candidates": near,
            }
        )
    return result


# %% role="wrong" exercise="match" misconception="The only similar one is meant" caught="check" says="nl01du"
def match(written, registry):
    found = []
    for text in written:
        tail = (
            re.sub(r"[^A-Z0-9]", "", text.upper()).replace("O", "0").replace("I", "1")
        )
        tail = "N" + tail if tail[:1].isdigit() else tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in registry or len(near) == 1:
            one = tail if tail in registry else min(near)
            found.append({"how": "match", "tailnum": one, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="O and 0 are different characters" caught="check" says="N1O1DU"
def match(written, registry):
    found = []
    for text in written:
        tail = re.sub(r"[^A-Z0-9]", "", text.upper())
        tail = "N" + tail if tail[:1].isdigit() else tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="L looks like 1, too" caught="check" says="nl01du"
def match(written, registry):
    found = []
    for text in written:
        tail = re.sub(r"[^A-Z0-9]", "", text.upper())
        for letter, digit in zip("OIL", "011", strict=True):
            tail = tail.replace(letter, digit)
        tail = "N" + tail if tail[:1].isdigit() else tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="Every aircraft's number begins with N" caught="check" says="d942dn"
def match(written, registry):
    found = []
    for text in written:
        tail = (
            re.sub(r"[^A-Z0-9]", "", text.upper()).replace("O", "0").replace("I", "1")
        )
        tail = tail if tail.startswith("N") or not tail else "N" + tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="A typo replaces a character" caught="check" says="N725M'"
def match(written, registry):
    found = []
    for text in written:
        tail = (
            re.sub(r"[^A-Z0-9]", "", text.upper()).replace("O", "0").replace("I", "1")
        )
        tail = "N" + tail if tail[:1].isdigit() else tail
        near = {
            known
            for known in registry
            if len(known) == len(tail)
            and sum(a != b for a, b in zip(known, tail, strict=True)) == 1
        }
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="Each aircraft is matched once" caught="check" says="in one call"
def match(written, registry):
    found, free = [], set(registry)
    for text in written:
        tail = (
            re.sub(r"[^A-Z0-9]", "", text.upper()).replace("O", "0").replace("I", "1")
        )
        tail = "N" + tail if tail[:1].isdigit() else tail
        near = set()
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in free:
            free.remove(tail)
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% role="wrong" exercise="match" misconception="What was near once is near again" caught="check" says="in one call"
def match(written, registry):
    found, near = [], set()
    for text in written:
        tail = (
            re.sub(r"[^A-Z0-9]", "", text.upper()).replace("O", "0").replace("I", "1")
        )
        tail = "N" + tail if tail[:1].isdigit() else tail
        for known in registry:
            short, long = sorted([tail, known], key=len)
            for n in range(len(long)):
                rest = long[:n] + long[n + 1 :]
                same = len(short) == len(long)
                if short == rest or (same and short[:n] + short[n + 1 :] == rest):
                    near.add(known)
        if tail in registry:
            found.append({"how": "match", "tailnum": tail, "candidates": []})
        else:
            how = "review" if near else "unknown"
            found.append({"how": how, "tailnum": None, "candidates": sorted(near)})
    return found


# %% [markdown] topics=["4.3-2"]
# ## Break it: the job runs twice
#
# A job converts knots to metres a second, in place. It seems to fail, and the scheduler starts it again, and again.
#
# **Predict:** which winds are left after each run?

# %%
table = pd.DataFrame({"wind": [10.0, 20.0, None, 24.0, 60.0, 300.0], "filled": False})


def naive(rows):
    """Convert, drop what is far from the mean, fill."""
    wind = rows["wind"] * 0.514444
    wind = wind[~((wind - wind.mean()).abs() > 1.4 * wind.std())]
    gap = wind.isna()
    return pd.DataFrame({"wind": wind.fillna(wind.mean()), "filled": gap})


for run in range(1, 4):
    table = naive(table)
    print(
        f"run {run}: {table['wind'].round(1).tolist()}, filled {table['filled'].sum()}"
    )

# %% [markdown]
# Three faults. The unit is not in the data. The limit is computed from the data, so a new run finds new outliers. The indicator
# forgets.
#
# A step is *idempotent* if doing it again changes nothing. So the state stands in the row (unit, indicator), limits are
# constants, and what was fitted comes from outside.

# %% [markdown] topics=["4.3-2"]
# ## All together
#
# The *quarantine* keeps what you cannot use, raw, with a reason. The *cleaning report* adds up: rows in are rows out plus
# quarantine.

# %% [markdown] role="task" exercise="clean" points=4 topics=["4.3-2"]
# ### Clean, and prove it
#
# Write `clean(rows, medians)`. The frame has `id`, `station`, `time` (an instant), `wind` (may be null), `unit` and `filled`
# (boolean); station and unit may be null, index labels may repeat. `medians` maps each station to a possible wind in m/s,
# rounded to two places. Rules, in this order, each for the rows that are left:
#
# | Rule | What it does |
# |---|---|
# | `station` | trimmed, in capitals, `KEWR`, `KJFK`, `KLGA` without the `K`; if then not EWR, JFK or LGA: quarantine |
# | `unit` | `kt` (1,852 m an hour) and `mph` (1,609.344 m an hour) become `m/s`; others: quarantine. Every wind is rounded to two places |
# | `wind` | below 0 or above 60 m/s: quarantine |
# | `repeat` | same station, time and wind (two nulls are the same): the smallest `id` stays, the others: quarantine |
# | `conflict` | same station and time still twice: all of these: quarantine |
# | `filled` | a missing wind becomes the median, `filled` true; true stays true |
#
# Return a dictionary:
#
# - `rows`: the clean rows, perhaps none, with the columns of the input
# - `quarantine`: the others *as they came in*, and `reason`, the rule
# - `report`: a dictionary with `in` and `out`, the rows; for each of the first five rules, the rows it put into quarantine;
#   `converted`, the rows whose unit changed, wherever they end; `filled`, the gaps filled now
#
# On `rows`, a second run must change nothing.
#
# Why: somebody will ask where their row is.


# %%
def clean_pieces(rows, medians):
    """Clean rows whose index labels are all 0, as concat leaves them."""
    return clean(rows.set_axis([0] * len(rows)), medians)


# %% role="answer" exercise="clean"
def clean(rows: pd.DataFrame, medians: dict[str, float]) -> dict:
    """Clean rows, quarantined rows, and a report that adds up."""
    ### BEGIN SOLUTION
    raw = rows.reset_index(drop=True)
    left = raw.sort_values("id")
    report = {"in": len(raw)}
    bad = []

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = mask.sum()

    name = left["station"].str.strip().str.upper()
    left["station"] = name.replace({"KEWR": "EWR", "KJFK": "JFK", "KLGA": "LGA"})
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    factor = factor[left.index]  # where no row is left, a longer one would add some
    report["converted"] = (left["unit"] != "m/s").sum()
    left = left.assign(wind=(left["wind"] * factor).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = gap.sum()
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}
    ### END SOLUTION


# %% role="check" exercise="clean"
with lab.check("clean") as answer:
    answer.value("clean")
    names = ["id", "station", "time", "wind", "unit", "filled"]
    medians = {"EWR": 4.12, "JFK": 4.63, "LGA": 4.63}
    # Each row is followed by its mended station, wind and filled, or by the reason.
    for rows in [
        [
            (1, " kewr", "01:00", 10.0, "kt", False, ("EWR", 5.14, False)),
            (2, "EWR", "02:00", 20.0, "mph", False, ("EWR", 8.94, False)),
            (3, "KLga", "03:00", 5.557, "m/s", False, ("LGA", 5.56, False)),
            (4, "KBOS", "01:00", 9.0, "kt", False, "station"),
            (5, "KLGAK", "01:00", 9.0, "kt", False, "station"),
            (6, None, "04:00", 9.0, "m/s", False, "station"),
        ],
        [
            (1, "LGA", "01:00", 9.0, "KMT", False, "unit"),
            (2, "LGA", "01:00", 9.0, None, False, "unit"),
            (3, "LGA", "01:00", 911.0, "kt", False, "wind"),
            (4, "LGA", "02:00", -1.0, "kt", False, "wind"),
            (5, "LGA", "03:00", 100.0, "kt", False, ("LGA", 51.44, False)),
            (6, "LGA", "04:00", 60.0, "m/s", False, ("LGA", 60.0, False)),
            (7, "LGA", "05:00", 0.0, "m/s", False, ("LGA", 0.0, False)),
        ],
        [
            (9, "EWR", "01:00", 10.0, "kt", False, "repeat"),
            (2, "KEWR", "01:00", 10.0, "kt", False, ("EWR", 5.14, False)),
            (5, "KJFK", "01:00", 12.0, "kt", False, "conflict"),
            (4, "JFK", "01:00", 13.0, "kt", False, "conflict"),
            (6, "jfk", "02:00", 13.0, "kt", False, ("JFK", 6.69, False)),
        ],
        [
            (1, "EWR", "01:00", None, "m/s", False, ("EWR", 4.12, True)),
            (2, "JFK", "02:00", None, "kt", False, ("JFK", 4.63, True)),
            (3, "jfk", "02:00", None, "m/s", False, "repeat"),
            (4, "JFK", "05:00", 4.63, "m/s", False, "conflict"),
            (5, "JFK", "05:00", None, "m/s", False, "conflict"),
            (6, "LGA", "04:00", 4.63, "m/s", True, ("LGA", 4.63, True)),
        ],
        [
            (1, "KBOS", "01:00", 911.0, "kmh", False, "station"),
            (2, "LGA", "01:00", -1.0, "kmh", False, "unit"),
            (3, "LGA", "02:00", 911.0, "kt", False, "wind"),
            (4, "LGA", "02:00", 911.0, "kt", False, "wind"),
            (5, "LGA", "02:00", 10.0, "kt", False, ("LGA", 5.14, False)),
            (6, "LGA", "03:00", 60.004, "m/s", False, ("LGA", 60.0, False)),
        ],
        [
            (1, "EWR", "06:00", 10.0, "kt", False, ("EWR", 5.14, False)),
            (2, "EWR", "06:00", 5.14, "m/s", False, "repeat"),
            (3, "JFK", "02:00", 10.0, "kt", False, "conflict"),
            (4, "JFK", "02:00", 10.0, "m/s", False, "conflict"),
            (5, "LGA", "03:00", 10.0, "kt", False, "conflict"),
            (6, "LGA", "03:00", 10.0, "kt", False, "repeat"),
            (7, "LGA", "03:00", 12.0, "kt", False, "conflict"),
        ],
        [
            (1, "LGA", "01:00", 9.0, "kmh", False, "unit"),
            (2, "JFK", "01:00", 8.0, "kmh", False, "unit"),
        ],
    ]:
        given = pd.DataFrame([row[:6] for row in rows], columns=names)
        given["time"] = pd.to_datetime("2013-02-12 " + given["time"], utc=True)
        asked = f"of {[row[:6] for row in rows]} ({', '.join(names)})"
        good = [row for row in rows if not isinstance(row[6], str)]
        mended = given[given["id"].isin([row[0] for row in good])].assign(
            station=[row[6][0] for row in good],
            wind=[row[6][1] for row in good],
            unit="m/s",
            filled=[row[6][2] for row in good],
        )
        result = answer.call("clean_pieces", given, medians)
        answer.same_rows(result["rows"], mended, asked=f"rows {asked}", key=["id"])
        reasons = {row[0]: row[6] for row in rows if isinstance(row[6], str)}
        bad = given[given["id"].isin(reasons)]
        answer.same_rows(
            result["quarantine"],
            bad.assign(reason=bad["id"].map(reasons)),
            asked=f"the quarantine {asked}",
            key=["id"],
        )
        taken = [*reasons.values()]
        rules = ["station", "unit", "wind", "repeat", "conflict"]
        known = [row for row in rows if row[6] not in ("station", "unit")]
        expected = {rule: taken.count(rule) for rule in rules}
        expected |= {"in": len(rows), "out": len(good)}
        expected |= {"converted": sum(row[4] != "m/s" for row in known)}
        expected |= {"filled": sum(row[3] is None for row in good)}
        answer.equal(result["report"], expected, asked=f"a report {asked}")
        again = answer.call("clean", result["rows"], medians)
        answer.idempotent(
            result["rows"], again["rows"], asked=f"the same rows again, {asked}"
        )

# %% role="hidden" exercise="clean"
with lab.check("clean", hidden=True) as answer:
    draw = answer.random
    names = ["id", "station", "time", "wind", "unit", "filled"]
    medians = {"EWR": 4.12, "JFK": 4.63, "LGA": 5.14}
    day = datetime(2013, 2, 12, tzinfo=UTC)
    factors = {"kt": 1852 / 3600, "mph": 1609.344 / 3600, "m/s": 1}
    stations = [" ewr", "KEWR", "JFK", "kjfk ", "LGA", "Lga", "KK", "KSJU", "XKJFK"]
    rows = []
    for number in draw.sample(range(1000), 160):
        wind = draw.choice([None, 0, 10, 11, 12, 90, 135, -2])
        row = [number, draw.choice(stations + ["EWR"] * 4)]
        row += [day + timedelta(hours=draw.randrange(30)), wind]
        rows.append([*row, draw.choice(["kt", "kt", "mph", "m/s", "knots"])])
        rows[-1].append(draw.random() < 0.2)
    was_filled = {row[0]: row[5] for row in rows}
    left, reason = {}, {}
    counts = {"in": 160, "converted": 0, "filled": 0}
    for number, station, moment, wind, unit, _ in sorted(rows):
        code = station.strip().upper()
        code = code[1:] if len(code) == 4 and code[0] == "K" else code
        value = None if wind is None else round(wind * factors.get(unit, 1), 2)
        if code not in medians:
            reason[number] = "station"
        elif unit not in factors:
            reason[number] = "unit"
        else:
            counts["converted"] += unit != "m/s"
            if value is not None and not 0 <= value <= 60:
                reason[number] = "wind"
            elif value in left.setdefault((code, moment), {}):
                reason[number] = "repeat"
            else:
                left[code, moment][value] = number
    clean_rows = []
    for (code, moment), winds in left.items():
        if len(winds) > 1:
            reason |= dict.fromkeys(winds.values(), "conflict")
            continue
        for value, number in winds.items():
            counts["filled"] += value is None
            filled = medians[code] if value is None else value
            flag = value is None or was_filled[number]
            clean_rows.append([number, code, moment, filled, "m/s", flag])
    for rule in ("station", "unit", "wind", "repeat", "conflict"):
        counts[rule] = [*reason.values()].count(rule)
    given = pd.DataFrame(rows, columns=names)
    result = answer.call("clean", given, medians)
    answer.same_rows(
        result["rows"],
        pd.DataFrame(clean_rows, columns=names),
        asked="the clean rows of 160 invented ones",
        key=["id"],
    )
    bad = given[given["id"].isin(reason)]
    answer.same_rows(
        result["quarantine"],
        bad.assign(reason=bad["id"].map(reason)),
        asked="the quarantine of 160 invented rows",
        key=["id"],
    )
    answer.equal(
        result["report"],
        counts | {"out": len(clean_rows)},
        asked="the report on 160 invented rows",
    )
    rules = ["station", "unit", "wind", "repeat", "conflict", "converted", "filled"]
    lost = answer.call("clean", given.assign(unit="knots"), medians)
    answer.same_rows(
        lost["rows"],
        given[:0],
        asked="the clean rows of 160 with unknown units",
        key=["id"],
    )
    again = answer.call("clean", result["rows"], medians)
    answer.equal(
        again["report"],
        dict.fromkeys(rules, 0) | dict.fromkeys(["in", "out"], len(clean_rows)),
        asked="a report on a second run, on the rows of the first",
    )

# %% [markdown] role="hint" exercise="clean"
# Where does a raw row come from when it is already half repaired? Which steps would do something to a row that is
# clean?

# %% [markdown] role="hint" exercise="clean"
# Keep the raw frame, and let the working frame keep its index: `raw.loc[left.index[mask]]` are the raw rows. Sort by `id`, so that
# `duplicated` spares the smallest. One helper puts a mask into quarantine and counts it. A column
# that you assign to an empty frame brings its rows along.

# %% [markdown] role="hint" exercise="clean"
# ```python
# raw = rows.reset_index(drop=True)
# left = raw.sort_values("id")
# report, bad = {"in": len(raw)}, []
#
# def quarantine(rule, mask):
#     nonlocal left
#     bad.append(raw.loc[...].assign(reason=rule))
#     left = left[...]
#     report[rule] = ...
#
# left["station"] = ...
# quarantine("station", ...)
# factor = left["unit"].map(...)
# quarantine("unit", ...)
# ...
# return {"rows": left, "quarantine": pd.concat(bad), "report": report}
# ```


# %% role="right" exercise="clean"
def clean(rows, medians):
    factors = {"kt": 1852 / 3600, "mph": 1609.344 / 3600, "m/s": 1}
    rules = ["station", "unit", "wind", "repeat", "conflict", "converted", "filled"]
    report = {"in": len(rows)} | dict.fromkeys(rules, 0)
    held, groups = [], {}

    def hold(row, rule):
        held.append(row | {"reason": rule})
        report[rule] += 1

    for row in sorted(rows.to_dict("records"), key=lambda row: row["id"]):
        station = str(row["station"]).strip().upper()
        if station in ("KEWR", "KJFK", "KLGA"):
            station = station[1:]
        if station not in ("EWR", "JFK", "LGA"):
            hold(row, "station")
            continue
        if row["unit"] not in factors:
            hold(row, "unit")
            continue
        report["converted"] += row["unit"] != "m/s"
        wind = None
        if not pd.isna(row["wind"]):
            wind = round(row["wind"] * factors[row["unit"]], 2)
            if wind < 0 or wind > 60:
                hold(row, "wind")
                continue
        group = groups.setdefault((station, row["time"]), {})
        if wind in group:
            hold(row, "repeat")
        else:
            mended = {"station": station, "wind": wind, "unit": "m/s"}
            group[wind] = row, row | mended
    result = []
    for group in groups.values():
        for row, mended in group.values():
            if len(group) > 1:
                hold(row, "conflict")
            else:
                if mended["wind"] is None:
                    mended |= {"wind": medians[mended["station"]], "filled": True}
                    report["filled"] += 1
                result.append(mended)
    report["out"] = len(result)
    names = list(rows.columns)
    return {
        "rows": pd.DataFrame(result, columns=names),
        "quarantine": pd.DataFrame(held, columns=[*names, "reason"]),
        "report": report,
    }


# %% role="wrong" exercise="clean" misconception="The quarantine holds rows as far as they were cleaned" caught="check" says="quarantine of"
def clean(rows, medians):
    left = rows.reset_index(drop=True).sort_values("id")
    bad, report = [], {"in": len(rows)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(left[mask].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="The indicator says what this run filled" caught="check" says="column filled"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    filled = left["wind"].fillna(left["station"].map(medians))
    left = left.assign(wind=filled, filled=gap)
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="The unit need not be changed in the data" caught="check" says="column unit"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2))
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="Of two contradicting rows, the first is right" caught="check" says="should not be there"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"]))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="Gaps are filled first, so that no rule meets a null" caught="check" says="rows of"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="A report counts the rows that a rule would hit, whatever came before" caught="check" says="report"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}
    report["converted"] = int((raw["unit"] != "m/s").sum())
    report["filled"] = int(raw["wind"].isna().sum())

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="An index label names one row" caught="check" says="rows of"
def clean(rows, medians):
    raw = rows
    left = raw.sort_values("id")
    report = {"in": len(raw)}
    bad = []

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left.drop(left.index[mask])
        report[rule] = mask.sum()

    name = left["station"].str.strip().str.upper()
    left["station"] = name.replace({"KEWR": "EWR", "KJFK": "JFK", "KLGA": "LGA"})
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = (left["unit"] != "m/s").sum()
    left = left.assign(wind=(left["wind"] * factor).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = gap.sum()
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="A pipeline remembers what it has loaded" caught="check" says="the same rows again"
LOADED = set()


def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left = raw.sort_values("id")
    report = {"in": len(raw)}
    bad = []

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = mask.sum()

    name = left["station"].str.strip().str.upper()
    left["station"] = name.replace({"KEWR": "EWR", "KJFK": "JFK", "KLGA": "LGA"})
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = (left["unit"] != "m/s").sum()
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    repeats = left.duplicated(["station", "time", "wind"])
    keys = [*zip(left["id"], left["station"], left["time"], left["wind"], strict=True)]
    quarantine(
        "repeat", repeats | left["id"].isin([key[0] for key in keys if key in LOADED])
    )
    LOADED.update(keys)
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = gap.sum()
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="A repeat has the same numbers as it came in" caught="check" says="rows of [(1, 'EWR', '06:00', 10.0"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    came_in = left.assign(wind=raw["wind"])
    quarantine("repeat", came_in.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="What cannot be contradicts what can" caught="check" says="rows of [(1, 'KBOS'"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor[left.index]).round(2), unit="m/s")
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% role="wrong" exercise="clean" misconception="Some row is always clean" caught="check" says="of [(1, 'LGA', '01:00', 9.0, 'kmh'"
def clean(rows, medians):
    raw = rows.reset_index(drop=True)
    left, bad, report = raw.sort_values("id"), [], {"in": len(raw)}

    def quarantine(rule, mask):
        nonlocal left
        bad.append(raw.loc[left.index[mask]].assign(reason=rule))
        left = left[~mask]
        report[rule] = int(mask.sum())

    name = left["station"].str.strip().str.upper()
    left["station"] = name.str.replace(r"^K(?=EWR$|JFK$|LGA$)", "", regex=True)
    quarantine("station", ~left["station"].isin(["EWR", "JFK", "LGA"]))
    factor = left["unit"].map({"kt": 1852 / 3600, "mph": 0.44704, "m/s": 1})
    quarantine("unit", factor.isna())
    report["converted"] = int((left["unit"] != "m/s").sum())
    left = left.assign(wind=(left["wind"] * factor).round(2), unit="m/s")
    quarantine("wind", (left["wind"] < 0) | (left["wind"] > 60))
    quarantine("repeat", left.duplicated(["station", "time", "wind"]))
    quarantine("conflict", left.duplicated(["station", "time"], keep=False))
    gap = left["wind"].isna()
    report["filled"] = int(gap.sum())
    left = left.assign(
        wind=left["wind"].fillna(left["station"].map(medians)),
        filled=left["filled"] | gap,
    )
    report["out"] = len(left)
    return {"rows": left, "quarantine": pd.concat(bad), "report": report}


# %% [markdown]
# February's real weather with invented dirt, medians from January, then a second run.

# %%
draw = random.Random(4)
dirty = WEATHER[WEATHER["month"] == 2].reset_index(drop=True)
dirty = dirty.rename(columns={"origin": "station", "time_hour": "time"})
dirty = dirty.assign(id=dirty.index, filled=False, unit="mph", wind=dirty["wind_speed"])
dirty["station"] = [draw.choice(["", "K", " "]) + name for name in dirty["station"]]
for name, value in {"unit": "?", "wind": None}.items():
    dirty[name] = dirty[name].mask([draw.random() < 0.01 for _ in dirty.index], value)
dirty = dirty[["id", "station", "time", "wind", "unit", "filled"]]
again = dirty.sample(50, random_state=4).assign(id=lambda rows: rows["id"] + 5000)
dirty = pd.concat([dirty, again[:40], again[40:].assign(wind=7.0)])
january = WEATHER[WEATHER["month"] == 1].groupby("origin")["wind_speed"].median()
MEDIANS = (january * 0.44704).round(2).to_dict()
first = clean(dirty, MEDIANS) or {"rows": dirty, "report": {}}
second = clean(first["rows"], MEDIANS) or {"report": {}}
print(pd.DataFrame({"first": first["report"], "second": second["report"]}).to_string())

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | judge gaps | ask why; compare with all *other* rows |
# | fill gaps | fit on training rows, keep an indicator |
# | match keys | tidy what cannot matter, ask about the rest |
# | clean | raw rows in quarantine, counts that add up |
#
# **New words.** *MCAR*, *MAR*, *MNAR*: missing by chance, by another column, by itself. *Leak*: knowledge in training that
# real life lacks. *Idempotent*: twice is once. *Cleaning report*: what became of each row.
#
# **Read on.** scikit-learn documentation, "Common pitfalls and recommended practices" (2026). D. B. Rubin, "Inference
# and Missing Data", *Biometrika* 63 (1976).

# %%
lab.close()
