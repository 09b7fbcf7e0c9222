# %% [markdown] minutes=55 datasets=["flights"] systems=[]
# # Features for machine learning
#
# A model is excellent in the notebook and useless on the day, because its features know the evening. You compute features
# that know only the past, in batch and in a stream, and find those that cheat.

# %% [markdown]
# ## You will be able to
#
# - compute features as they were known at a moment (exercise 1)
# - compute the same features from a stream (exercise 2)
# - find features that know the future (exercise 3)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | pandas or SQL, Python | the answers |
# | the lab *Missing values, matching, and a report* | filling gaps without a leak comes from there |
#
# The flights are real. When a message about a departure arrived, and its first wrong version, is *invented*.
# Times are whole minutes from the start of 2013 in UTC.

# %% role="setup"
import re

import duckdb
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labkit import dataset, open_lab

lab = open_lab("04-3-processing/13-features")
lab

# %% [markdown] topics=["4.3-6"]
# ## The model that had seen the evening
#
# One hour before each flight, the airline asks: will it leave more than 15 minutes late? A notebook adds the
# mean delay of the carrier's flights in that hour at the airport, and gets a splendid model.
#
# *AUC* is the chance that a late flight gets a higher score than a punctual one: 0.5 is a coin, 1 is perfect.
#
# **Predict:** what does the AUC become when the same column holds only what was known an hour before?

# %%
START = pd.Timestamp("2013-01-01", tz="UTC")


def flights_of(months):
    """Flights that left, with the minute of prediction and what became known when."""
    rows = dataset("flights").frame()
    rows = rows[rows["month"].isin(months) & rows["dep_delay"].notna()]
    rows = rows.sort_values(["time_hour", "carrier", "flight"]).reset_index(drop=True)
    hour = (rows["time_hour"] - START) // pd.Timedelta(minutes=1)
    rows["id"] = [f"F{n}" for n in rows.index]
    rows["scheduled"] = hour + rows["minute"]
    rows["moment"] = rows["scheduled"] - 60
    rows["delay"] = rows["dep_delay"].astype(int)
    rows["left"] = rows["scheduled"] + rows["delay"]
    lag = np.random.default_rng(1).choice([1, 3, 10, 60], len(rows))
    rows["known"] = rows["left"] + lag
    rows["late"] = (rows["delay"] > 15).astype(int)
    names = ["id", "month", "day", "origin", "carrier", "distance", "scheduled"]
    return rows[[*names, "moment", "left", "known", "delay", "late"]]


FLIGHTS = flights_of([1, 2])
print(FLIGHTS.head(2).drop(columns="month").to_string(index=False))


# %%
def so_far(rows):
    """The mean delay of the day at the airport, of flights known before each moment."""
    found = []
    days = dict(list(rows.groupby(["month", "day", "origin"])))
    for row in rows.itertuples():
        day = days[row.month, row.day, row.origin]
        found.append(day["delay"][day["known"] < row.moment].mean())
    return pd.Series(found, rows.index).fillna(0)


hour = FLIGHTS["scheduled"] // 60
mean_of = FLIGHTS.groupby([hour, "origin", "carrier"])["delay"].transform("mean")
sample = FLIGHTS[FLIGHTS["month"] == 2]
notebook = FLIGHTS.assign(mean=mean_of)[["distance", "mean"]]
model = make_pipeline(StandardScaler(), LogisticRegression())
model.fit(notebook[FLIGHTS["month"] == 1], FLIGHTS["late"][FLIGHTS["month"] == 1])
live = notebook.loc[sample.index].assign(mean=so_far(sample))
for name, rows in {"notebook": notebook.loc[sample.index], "live": live}.items():
    auc = roc_auc_score(sample["late"], model.predict_proba(rows)[:, 1])
    print(f"{name:<9} AUC {auc:.2f}")

# %% [markdown]
# The hour's mean contains the flight itself and its neighbours; an hour before, hardly one of them has left. Live, you have to make do
# with another column, the mean of the day so far. Such a column is a *leak*: knowledge in training
# that the moment of prediction lacks. The notebook's test rows have it too.
#
# | Time | Question |
# |---|---|
# | effective | when did it happen? (`left`) |
# | known | when could we read it? (`known`) |
# | moment | when do we predict? |
#
# A feature is *correct at the point in time* if it uses only what was known before the moment.

# %% [markdown] role="task" exercise="history" points=3 topics=["4.3-6"]
# ### What was known by then
#
# Write `history(messages, queries)`. Both are frames.
#
# - `messages`: `flight`, `origin`, `left`, `known`, `delay`. A flight may have several messages, each a new version
#   of the whole; no two of one flight have the same `known`. `left` is never after `known`.
# - `queries`: `id`, `origin`, `moment`.
#
# For each query, take the messages known *before* the moment (not at it). Of each flight, only the version known
# last counts, whatever an older one said. Of these, keep the flights of the query's origin that left at most
# 120 minutes before the moment (120 included).
#
# Return a frame with a row for each query: `id`, `flights` (how many), `mean` (of their delays; missing if none).
#
# Example: A left at 100 with delay 10, known at 105; at 150 a message corrects the delay to 40. At 150 the mean
# is 10, at 151 it is 40, at 221 there is no flight.
#
# Why: this is the table that training needs, with the errors that were believed at the time.


# %% role="answer" exercise="history"
def history(messages: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Flights and mean delay of the last two hours, as known before each moment."""
    ### BEGIN SOLUTION
    return duckdb.sql("""
        WITH version AS (
            SELECT *, lead(known) OVER (PARTITION BY flight ORDER BY known) AS until
            FROM messages
        )
        SELECT id, count(delay) AS flights, avg(delay) AS mean
        FROM queries LEFT JOIN version ON version.origin = queries.origin
            AND known < moment AND (until IS NULL OR until >= moment)
            AND "left" >= moment - 120
        GROUP BY id
    """).df()
    ### END SOLUTION


# %% role="check" exercise="history"
with lab.check("history") as answer:
    messages = pd.DataFrame(
        [
            ("A", "EWR", 100, 105, 10),
            ("A", "EWR", 100, 150, 40),
            ("B", "EWR", 90, 200, 7),
            ("C", "JFK", 120, 121, -5),
            ("D", "EWR", 140, 141, 0),
            ("E", "LGA", 300, 301, 9),
            ("E", "LGA", 150, 310, 159),
            ("F", "LGA", 295, 309, 20),
            ("F", "JFK", 295, 320, 20),
        ],
        columns=["flight", "origin", "left", "known", "delay"],
    )
    for origin, moment, flights, mean in [
        ("EWR", 105, 0, None),
        ("EWR", 106, 1, 10),
        ("EWR", 150, 2, 5),
        ("EWR", 151, 2, 20),
        ("EWR", 200, 2, 20),
        ("EWR", 201, 3, 47 / 3),
        ("EWR", 220, 2, 20),
        ("EWR", 221, 1, 0),
        ("JFK", 150, 1, -5),
        ("LGA", 310, 2, 14.5),
        ("LGA", 311, 1, 20),
        ("LGA", 321, 0, None),
        ("JFK", 321, 1, 20),
        ("SWF", 150, 0, None),
    ]:
        queries = pd.DataFrame({"id": ["q"], "origin": origin, "moment": moment})
        answer.same_rows(
            answer.call("history", messages, queries),
            [{"id": "q", "flights": flights, "mean": mean}],
            key=["id"],
            asked=f"the flights of {origin} as known before {moment}",
        )
    queries = pd.DataFrame({"id": ["p", "q", "r"], "origin": "EWR"})
    queries["moment"] = [201, 150, 201]
    answer.same_rows(
        answer.call("history", messages[::-1], queries),
        [
            {"id": "p", "flights": 3, "mean": 47 / 3},
            {"id": "q", "flights": 2, "mean": 5},
            {"id": "r", "flights": 3, "mean": 47 / 3},
        ],
        key=["id"],
        asked="the flights of EWR as known before 201, 150 and 201 (p, q, r), with the messages in reverse order",
    )

# %% role="hidden" exercise="history"
with lab.check("history", hidden=True) as answer:
    draw = answer.random
    rows = []
    for number in range(60):
        left, known = draw.randrange(600), 0
        for _ in range(draw.choice([1, 1, 2, 3])):
            known = max(known, left) + draw.randint(1, 90)
            origin = draw.choice(["EWR", "JFK"])
            rows.append((f"F{number}", origin, left, known, draw.randint(-9, 99)))
            left -= draw.choice([0, 30, 90])
    draw.shuffle(rows)
    names = ["flight", "origin", "left", "known", "delay"]
    messages = [dict(zip(names, row, strict=True)) for row in rows]
    queries, expected = [], []
    for number in range(60):
        query = {"id": f"q{number}", "origin": draw.choice(["EWR", "JFK", "LGA"])}
        query["moment"] = draw.choice(
            [draw.choice(rows)[3], draw.choice(rows)[2] + 120, draw.randrange(900)]
        )
        queries.append(query)
        last = {}
        for message in sorted(messages, key=lambda row: row["known"]):
            if message["known"] < query["moment"]:
                last[message["flight"]] = message
        delays = [
            message["delay"]
            for message in last.values()
            if message["origin"] == query["origin"]
            and query["moment"] - message["left"] <= 120
        ]
        mean = sum(delays) / len(delays) if delays else None
        expected.append({"id": query["id"], "flights": len(delays), "mean": mean})
    answer.same_rows(
        answer.call("history", pd.DataFrame(messages), pd.DataFrame(queries)),
        expected,
        key=["id"],
        asked="the features of 60 queries, with up to three versions of a flight",
    )

# %% [markdown] role="hint" exercise="history"
# From when to when is a version the one that is believed? What ends its time?

# %% [markdown] role="hint" exercise="history"
# `lead(known) OVER (PARTITION BY flight ORDER BY known)` in SQL, or a sort and a grouped `shift(-1)` in pandas, finds
# the end. A left join keeps queries without flights.

# %% [markdown] role="hint" exercise="history"
# ```sql
# WITH version AS (SELECT *, lead(...) OVER (...) AS until FROM messages)
# SELECT id, count(...) AS flights, avg(...) AS mean
# FROM queries LEFT JOIN version ON ...
# GROUP BY id
# ```


# %% role="right" exercise="history"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        known = messages[messages["known"] < query["moment"]].sort_values("known")
        last = known.drop_duplicates("flight", keep="last")
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% [markdown] role="equivalent" exercise="history" reason="a relation is a table too, and the check reads it"
# - """).df()
# + """)


# %% role="wrong" exercise="history" misconception="The last row is the last version" caught="check" says="in reverse order"
def history(messages, queries):
    rows = []
    for query in queries.itertuples():
        known = messages[messages["known"] < query.moment]
        known = known.drop_duplicates("flight", keep="last")
        mine = known[known["origin"] == query.origin]
        mine = mine[mine["left"] >= query.moment - 120]
        rows.append((query.id, len(mine), mine["delay"].mean()))
    return pd.DataFrame(rows, columns=["id", "flights", "mean"])


# %% role="wrong" exercise="history" misconception="What has left is known" caught="check" says="known before 105"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        known = messages[messages["left"] < query["moment"]].sort_values("known")
        last = known.drop_duplicates("flight", keep="last")
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% role="wrong" exercise="history" misconception="The same instant is before" caught="check" says="known before 105"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        known = messages[messages["known"] <= query["moment"]].sort_values("known")
        last = known.drop_duplicates("flight", keep="last")
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% role="wrong" exercise="history" misconception="The corrected value is the true one, so it counts from the start" caught="check" says="known before 105"
def history(messages, queries):
    final = messages.sort_values("known").drop_duplicates("flight", keep="last")
    rows = []
    for query in queries.to_dict("records"):
        last = final[final["left"] < query["moment"]]
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% role="wrong" exercise="history" misconception="Each message is a flight" caught="check" says="known before 151"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        last = messages[messages["known"] < query["moment"]]
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% role="wrong" exercise="history" misconception="Filter by window and airport first, then take the last version" caught="check" says="known before 311"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        known = messages[messages["known"] < query["moment"]].sort_values("known")
        here = known[known["origin"] == query["origin"]]
        here = here[here["left"] >= query["moment"] - 120]
        delays = here.drop_duplicates("flight", keep="last")["delay"]
        rows.append({"id": query["id"], "flights": len(delays), "mean": delays.mean()})
    return pd.DataFrame(rows)


# %% role="wrong" exercise="history" misconception="A query without flights has no row" caught="check" says="missing"
def history(messages, queries):
    rows = []
    for query in queries.to_dict("records"):
        known = messages[messages["known"] < query["moment"]].sort_values("known")
        last = known.drop_duplicates("flight", keep="last")
        last = last[last["origin"] == query["origin"]]
        delays = last.loc[last["left"] >= query["moment"] - 120, "delay"]
        if len(delays):
            rows.append(
                {"id": query["id"], "flights": len(delays), "mean": delays.mean()}
            )
    return pd.DataFrame(rows, columns=["id", "flights", "mean"])


# %% [markdown] topics=["4.3-6"]
# ## Batch trains, stream serves
#
# Training reads years at once. On the day, features come from a stream, by other code, often of another team.
# If the two differ, that is *training-serving skew*. No error is raised.
#
# **Predict:** a service restarts from its saved state. Which messages must that state hold?


# %%
def again(state, events):
    """The answers of step, twice from one saved state."""
    return [step(state, events)[1], step(state, events)[1]]


# %% [markdown] role="task" exercise="step" points=3 topics=["4.3-6"]
# ### The same feature, event by event
#
# Write `step(state, events)`. It returns a new state and the answers to the queries among the events, as a list of
# `{"id", "flights", "mean"}`, with the meaning of exercise 1 (`None` if there is no mean). Leave the given state as it
# is: after a crash, the service starts from it once more.
#
# Each event is a dictionary with a `time`, which never falls, also not from one call to the next:
#
# - a message, at the time it became known: `time`, `flight`, `origin`, `left`, `delay`
# - a query, at its moment: `time`, `id`, `origin`
#
# Events of the same time come in any order: a message of the query's own minute does not count, also if it came first.
# The same message may come twice.
#
# The first state is `None`; yours is plain data (dictionaries, lists, texts, numbers, `None`; text keys). It must stay small: after an
# event, hold no message of an earlier time whose flight left more than 120 minutes before that event.
#
# Example: after `{"time": 105, "flight": "A", "origin": "EWR", "left": 100, "delay": 10}`, the query
# `{"time": 106, "id": "q", "origin": "EWR"}` gives `[{"id": "q", "flights": 1, "mean": 10.0}]`.
#
# Why: with one test that both must pass, skew becomes a failed build.


# %% role="answer" exercise="step"
def step(state, events: list[dict]) -> tuple:
    """The state after these events, and the answers to the queries among them."""
    ### BEGIN SOLUTION
    state = state or {"flights": {}, "waiting": []}
    flights, waiting, answers = state["flights"], state["waiting"], []
    for event in events:
        now = event["time"]
        flights = flights | {w["flight"]: w for w in waiting if w["time"] < now}
        waiting = [w for w in waiting if w["time"] == now]
        flights = {f: m for f, m in flights.items() if m["left"] >= now - 120}
        if "flight" in event:
            waiting.append(event)
            continue
        delays = [
            m["delay"] for m in flights.values() if m["origin"] == event["origin"]
        ]
        mean = sum(delays) / len(delays) if delays else None
        answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return {"flights": flights, "waiting": waiting}, answers
    ### END SOLUTION


# %% role="check" exercise="step"
with lab.check("step") as answer:
    names = ["time", "flight", "origin", "left", "delay"]
    log = [
        (105, "A", "EWR", 100, 10),
        (105, "q0", "EWR", 0, None),
        (106, "q1", "EWR", 1, 10),
        (121, "C", "JFK", 120, -5),
        (150, "q2", "EWR", 1, 10),
        (150, "A", "EWR", 100, 40),
        (150, "q3", "EWR", 1, 10),
        (151, "D", "EWR", 140, 0),
        (152, "q4", "EWR", 2, 20),
        (152, "q5", "JFK", 1, -5),
        (200, "B", "EWR", 75, 7),
        (201, "D", "EWR", 140, 0),
        (220, "q6", "EWR", 2, 20),
        (221, "q7", "EWR", 1, 0),
        (230, "A", "EWR", 200, 60),
        (231, "q8", "EWR", 2, 30),
        (240, "D", "EWR", 100, -40),
        (241, "q9", "EWR", 1, 60),
        (242, "A", "JFK", 200, 60),
        (243, "q10", "EWR", 0, None),
        (243, "q11", "JFK", 1, 60),
    ]
    events, expected = [], []
    for row in log:
        if row[1][0] == "q":
            events.append({"time": row[0], "id": row[1], "origin": row[2]})
            expected.append([{"id": row[1], "flights": row[3], "mean": row[4]}])
        else:
            events.append(dict(zip(names, row, strict=True)))
            expected.append([])
    for cut in [1, 3, 6, 21]:
        state = None
        for start in range(0, len(log), cut):
            result = answer.call("step", state, events[start : start + cut])
            state = result[0]
            answer.equal(
                result[1],
                [row for rows in expected[start : start + cut] for row in rows],
                asked=f"the answers to {[row[1] for row in log[start : start + cut]]}, "
                f"{cut} event(s) at a time",
            )
    state = answer.call("step", None, events[:12])[0]
    answer.equal(
        answer.call("again", state, events[12:]),
        [[row for rows in expected[12:] for row in rows]] * 2,
        asked=f"the same answers to {[row[1] for row in log[12:]]}, twice from one state",
    )
    message = {"origin": "JFK", "delay": 3}
    many = [
        message | {"time": n, "flight": f"F{n}", "left": n - 1} for n in range(300, 900)
    ]
    state = answer.call("step", None, many)[0]
    state = answer.call("step", state, [{"time": 1000, "id": "q", "origin": "JFK"}])[0]
    held = sorted(set(re.findall(r"\bF\d+\b", str(state))))
    answer.equal(
        held,
        [f"F{n}" for n in range(881, 900)],
        asked="a small state: at 1000, of F300 (left at 299) to F899 (left at 898), those that left from 880 on",
        found=f"{len(held)} flights: {', '.join([*held[:2], '...', *held[-1:]])}",
    )

# %% role="hidden" exercise="step"
with lab.check("step", hidden=True) as answer:
    draw = answer.random
    log = []
    for number in range(60):
        left, time = draw.randrange(600), 0
        for _ in range(draw.choice([1, 1, 2, 3])):
            time = max(time, left) + draw.randint(1, 90)
            message = {"time": time, "flight": f"F{number}", "left": left}
            message |= {"origin": draw.choice(["EWR", "JFK"])}
            log.append(message | {"delay": draw.randint(-9, 99)})
            left -= draw.choice([0, 30, 90])
    times = [m["time"] for m in log] + [m["left"] + 120 for m in log]
    for number in range(80):
        query = {"time": draw.choice(times), "id": f"q{number}"}
        log.append(query | {"origin": draw.choice(["EWR", "JFK", "LGA"])})
    draw.shuffle(log)
    log.sort(key=lambda event: event["time"])
    expected, found = [], []
    for query in log:
        if "id" in query:
            known = [m for m in log if "flight" in m and m["time"] < query["time"]]
            last = {m["flight"]: m for m in known}.values()
            last = [m for m in last if m["origin"] == query["origin"]]
            delays = [m["delay"] for m in last if query["time"] - m["left"] <= 120]
            mean = sum(delays) / len(delays) if delays else None
            expected.append({"id": query["id"], "flights": len(delays), "mean": mean})
    state = None
    while log:
        size = draw.randint(1, 60)
        after = answer.call("step", state, log[:size])[0]
        found += answer.call("again", state, log[:size])[1]
        state = after
        log = log[size:]
    answer.same_rows(
        found,
        expected,
        key=["id"],
        asked="the answers to 80 queries in a stream, each the second time from one state",
    )

# %% [markdown] role="hint" exercise="step"
# When may a message replace the older version of its flight: when it arrives, or later?

# %% [markdown] role="hint" exercise="step"
# Keep two things: the versions that are believed, by flight, and the messages of the current minute, which wait.
# When the time moves on, the waiting ones move over.

# %% [markdown] role="hint" exercise="step"
# ```python
# for event in events:
#     now = event["time"]
#     flights |= {... for w in waiting if ...}
#     waiting = [...]
#     flights = {...}  # forget what is too old
#     if "flight" in event:
#         ...
#     else:
#         answers.append(...)
# ```


# %% role="right" exercise="step"
def step(state, events):
    messages = state or []
    answers = []
    for event in events:
        now = event["time"]
        last = {}
        for m in messages:
            if m["time"] < now:
                last[m["flight"]] = m
        last = [m for m in last.values() if m["left"] >= now - 120]
        messages = last + [m for m in messages if m["time"] == now]
        if "flight" in event:
            messages.append(event)
        else:
            delays = [m["delay"] for m in last if m["origin"] == event["origin"]]
            mean = float(np.mean(delays)) if delays else None
            answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return messages, answers


# %% role="wrong" exercise="step" misconception="What stands before the query in the log was known before it" caught="check" says="answers to"
def step(state, events):
    flights, answers = dict(state or {}), []
    for event in events:
        now = event["time"]
        if "flight" in event:
            flights[event["flight"]] = event
        flights = {f: m for f, m in flights.items() if m["left"] >= now - 120}
        if "id" in event:
            delays = [
                m["delay"] for m in flights.values() if m["origin"] == event["origin"]
            ]
            mean = sum(delays) / len(delays) if delays else None
            answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return flights, answers


# %% role="wrong" exercise="step" misconception="The old state is of no use once there is a new one" caught="check" says="twice from one state"
def step(state, events):
    state, answers = state or {"flights": {}, "waiting": []}, []
    flights, waiting = state["flights"], state["waiting"]
    for event in events:
        now = event["time"]
        while waiting and waiting[0]["time"] < now:
            message = waiting.pop(0)
            flights[message["flight"]] = message
        for name in [f for f, m in flights.items() if m["left"] < now - 120]:
            del flights[name]
        if "flight" in event:
            waiting.append(event)
            continue
        delays = [
            m["delay"] for m in flights.values() if m["origin"] == event["origin"]
        ]
        mean = sum(delays) / len(delays) if delays else None
        answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return state, answers


# %% role="wrong" exercise="step" misconception="A flight belongs to its airport, so the airport is part of the key" caught="check" says="q10"
def step(state, events):
    state = state or {"flights": {}, "waiting": []}
    flights, waiting, answers = state["flights"], state["waiting"], []
    for event in events:
        now = event["time"]
        known = [w for w in waiting if w["time"] < now]
        flights = flights | {w["origin"] + w["flight"]: w for w in known}
        waiting = [w for w in waiting if w["time"] == now]
        flights = {f: m for f, m in flights.items() if m["left"] >= now - 120}
        if "flight" in event:
            waiting.append(event)
            continue
        delays = [
            m["delay"] for m in flights.values() if m["origin"] == event["origin"]
        ]
        mean = sum(delays) / len(delays) if delays else None
        answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return {"flights": flights, "waiting": waiting}, answers


# %% role="wrong" exercise="step" misconception="A running sum needs no messages: a correction is one flight more" caught="check" says="answers to"
def step(state, events):
    messages, answers = list(state or []), []
    for event in events:
        now = event["time"]
        messages = [m for m in messages if m["left"] >= now - 120]
        if "flight" in event:
            messages.append(event)
            continue
        delays = [
            m["delay"]
            for m in messages
            if m["origin"] == event["origin"] and m["time"] < now
        ]
        mean = sum(delays) / len(delays) if delays else None
        answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return messages, answers


# %% role="wrong" exercise="step" misconception="The window goes by when a message arrived" caught="check" says="answers to"
def step(state, events):
    messages, answers = state or [], []
    for event in events:
        now = event["time"]
        last = {m["flight"]: m for m in messages if m["time"] < now}
        last = [m for m in last.values() if m["time"] >= now - 120]
        messages = last + [m for m in messages if m["time"] == now]
        if "flight" in event:
            messages.append(event)
        else:
            delays = [m["delay"] for m in last if m["origin"] == event["origin"]]
            mean = sum(delays) / len(delays) if delays else None
            answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return messages, answers


# %% role="wrong" exercise="step" misconception="A message too old for the window can be thrown away unread" caught="check" says="q9"
def step(state, events):
    messages, answers = state or [], []
    for event in events:
        now = event["time"]
        last = {m["flight"]: m for m in messages if m["time"] < now}
        last = [m for m in last.values() if m["left"] >= now - 120]
        messages = last + [m for m in messages if m["time"] == now]
        if "flight" in event:
            if event["left"] >= now - 120:
                messages.append(event)
        else:
            delays = [m["delay"] for m in last if m["origin"] == event["origin"]]
            mean = sum(delays) / len(delays) if delays else None
            answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return messages, answers


# %% role="wrong" exercise="step" misconception="Memory is cheap: keep all" caught="check" says="small state"
def step(state, events):
    messages, answers = list(state or []), []
    for event in events:
        now = event["time"]
        if "flight" in event:
            messages.append(event)
            continue
        last = {m["flight"]: m for m in messages if m["time"] < now}
        delays = [
            m["delay"]
            for m in last.values()
            if m["left"] >= now - 120 and m["origin"] == event["origin"]
        ]
        mean = sum(delays) / len(delays) if delays else None
        answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return messages, answers


# %% role="wrong" exercise="step" misconception="The process keeps its memory, so the state may be empty" caught="check" says="answers to"
def step(state, events):
    messages, answers = [], []
    for event in events:
        now = event["time"]
        last = {m["flight"]: m for m in messages if m["time"] < now}
        last = [m for m in last.values() if m["left"] >= now - 120]
        messages = last + [m for m in messages if m["time"] == now]
        if "flight" in event:
            messages.append(event)
        else:
            delays = [m["delay"] for m in last if m["origin"] == event["origin"]]
            mean = sum(delays) / len(delays) if delays else None
            answers.append({"id": event["id"], "flights": len(delays), "mean": mean})
    return {}, answers


# %% [markdown]
# Both on a week of real flights. One first message in twenty says 0 minutes (invented), and is corrected later.

# %%
week = FLIGHTS[(FLIGHTS["month"] == 2) & (FLIGHTS["day"] <= 7)]
MESSAGES = week.rename(columns={"id": "flight"})
MESSAGES = MESSAGES[["flight", "origin", "left", "known", "delay"]]
fixed = MESSAGES[::20].assign(known=lambda rows: rows["known"] + 30)
MESSAGES.iloc[::20, 4] = 0
MESSAGES = pd.concat([MESSAGES, fixed])
batch = history(MESSAGES, week[["id", "origin", "moment"]])
log = MESSAGES.rename(columns={"known": "time"}).to_dict("records")
asked = week.rename(columns={"moment": "time"})[["time", "id", "origin"]]
log = sorted(log + asked.to_dict("records"), key=lambda event: event["time"])
state, stream = step(None, log) or (None, [])
same = "not yet"
if batch is not None and stream:
    both = batch.merge(pd.DataFrame(stream), on="id", suffixes=("", "_stream"))
    gap = (both["mean"] - both["mean_stream"]).abs().max()
    same = (
        f"{len(both)} features, the largest difference below a millionth: {gap < 1e-6}"
    )
print(same)

# %% [markdown] topics=["4.3-6"]
# ## Break it: change the future
#
# You cannot read each feature's code. But you can *experiment*: blank all that is not known at the moment. A
# feature that changes has looked.
#
# **Predict:** which of these features leak?


# %%
def here(flight, table):
    return [row for row in table if row["origin"] == flight["origin"]]


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


FEATURES = {
    "distance": lambda flight, table: flight["distance"],
    "rush": lambda flight, table: sum(
        0 <= row["scheduled"] - flight["scheduled"] < 60 for row in here(flight, table)
    ),
    "day": lambda flight, table: mean(row["delay"] for row in here(flight, table)),
    "gone": lambda flight, table: sum(
        row["left"] is not None and row["left"] < flight["scheduled"] - 60
        for row in here(flight, table)
    ),
}
FEATURES["before"] = lambda flight, table: mean(
    row["delay"]
    for row in here(flight, table)
    if row["scheduled"] < flight["scheduled"] - 60
)
FEATURES["air"] = lambda flight, table: mean(
    row["air_time"]
    for row in here(flight, table)
    if row["left"] is not None and row["left"] < flight["scheduled"] - 60
)
FEATURES["down"] = lambda flight, table: mean(
    row["air_time"]
    for row in here(flight, table)
    if row["landed"] is not None and row["landed"] < flight["scheduled"] - 60
)
FEATURES["own"] = lambda flight, table: flight["air_time"]
print(*FEATURES)

# %% [markdown] role="task" exercise="leaks" points=3 topics=["4.3-6"]
# ### Find the leaks
#
# Write `leaks(table)`. The table is a list of dictionaries: `id`, `origin`, `distance`, `scheduled`, `left`, `delay`,
# `landed`, `air_time`. The moment of a flight is 60 minutes before its `scheduled`.
#
# | Cells | Known |
# |---|---|
# | `id`, `origin`, `distance`, `scheduled` | always |
# | `left`, `delay` | if `left` is before the moment |
# | `landed`, `air_time` | if `landed` is before the moment |
#
# For each flight, blank (`None`) all cells of *all* rows that are not known at *its* moment, the flight's own too. A feature leaks if its
# value is another then, for any flight. `FEATURES[name](flight, table)` computes one. All of them cope with `None`.
#
# Return the names that leak on this table, as a sorted list. Leave the table as it is.
#
# Example: with one flight, whose `air_time` is 90, the list has `day` and `own`: the day's mean is its own delay.
#
# Why: this test can run on each feature that anybody adds.


# %% role="answer" exercise="leaks"
def leaks(table: list[dict]) -> list[str]:
    """The features that change when the unknown is blanked."""

    ### BEGIN SOLUTION
    def blank(row, moment):
        row = dict(row)
        for time, other in [("left", "delay"), ("landed", "air_time")]:
            if row[time] is None or row[time] >= moment:
                row[time] = row[other] = None
        return row

    found = set()
    for flight in table:
        moment = flight["scheduled"] - 60
        known = [blank(row, moment) for row in table]
        own = blank(flight, moment)
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(own, known):
                found.add(name)
    return sorted(found)
    ### END SOLUTION


# %% role="check" exercise="leaks"
with lab.check("leaks") as answer:
    names = ["id", "origin", "distance", "scheduled", "left"]
    names += ["delay", "landed", "air_time"]
    for text, rows, expected in [
        (
            "one flight",
            [("A", "EWR", 500, 100, 110, 10, 210, 90)],
            ["day", "own"],
        ),
        ("a cancelled flight", [("A", "EWR", 500, 100, None, None, None, None)], []),
        (
            "a flight in the air at the moment of a cancelled one",
            [
                ("A", "EWR", 500, 100, 110, 10, 210, 90),
                ("B", "EWR", 500, 200, None, None, None, None),
            ],
            ["air", "day", "own"],
        ),
        (
            "a flight that is late at the moment of a cancelled one",
            [
                ("A", "EWR", 500, 100, 150, 50, 160, 10),
                ("B", "EWR", 500, 200, None, None, None, None),
            ],
            ["before", "day", "own"],
        ),
        (
            "a flight that leaves at the very moment of a cancelled one",
            [
                ("A", "EWR", 500, 100, 140, 40, 145, None),
                ("B", "EWR", 500, 200, None, None, None, None),
            ],
            ["before", "day"],
        ),
        (
            "a flight that landed a minute before its moment, and a cancelled one",
            [
                ("A", "EWR", 500, 100, 10, -90, 39, 29),
                ("B", "EWR", 500, 100, None, None, None, None),
            ],
            [],
        ),
        (
            "a flight that left early and lands at its own moment",
            [("A", "EWR", 500, 100, 10, -90, 40, 30)],
            ["air", "own"],
        ),
        (
            "a flight with delay 0",
            [("A", "EWR", 500, 100, 100, 0, 190, 90)],
            ["day", "own"],
        ),
        (
            "a flight that left at minute 0, and a cancelled one",
            [
                ("A", "EWR", 500, 90, 0, -90, 25, 25),
                ("B", "EWR", 500, 100, None, None, None, None),
            ],
            [],
        ),
        ("no flights", [], []),
    ]:
        table = [dict(zip(names, row, strict=True)) for row in rows]
        answer.equal(
            answer.call("leaks", table), expected, asked=f"the leaks with {text}"
        )

# %% role="hidden" exercise="leaks"
with lab.check("leaks", hidden=True) as answer:
    draw = answer.random

    def values(flight, table):
        """All features of a flight, computed once more."""
        moment = flight["scheduled"] - 60
        near = [row for row in table if row["origin"] == flight["origin"]]
        gone = [row for row in near if row["left"] is not None and row["left"] < moment]
        down = [
            row for row in near if row["landed"] is not None and row["landed"] < moment
        ]
        past = [row for row in near if row["scheduled"] < moment]
        found = {"own": flight["air_time"], "gone": len(gone)}
        for name, rows, column in [
            ("day", near, "delay"),
            ("before", past, "delay"),
            ("air", gone, "air_time"),
            ("down", down, "air_time"),
        ]:
            numbers = [row[column] for row in rows if row[column] is not None]
            found[name] = sum(numbers) / len(numbers) if numbers else None
        return found

    for size in [2, 2, 3, 3, 4, 4, 5, 6, 12]:
        table = []
        for number in range(size):
            scheduled = draw.randrange(60, 600, 20)
            left = scheduled + draw.choice([-scheduled, -100, -90, -60, 0, 40, 100])
            air = draw.choice([20, 40, 90])
            row = {"id": f"F{number}", "origin": draw.choice(["EWR", "JFK"])}
            row |= {"distance": 8 * air, "scheduled": scheduled, "left": left}
            row |= {"delay": left - scheduled, "landed": left + air, "air_time": air}
            if draw.random() < 0.3:
                row |= dict.fromkeys(["left", "delay", "landed", "air_time"])
            elif draw.random() < 0.3:
                row |= {"landed": None, "air_time": None}
            table.append(row)
        expected = set()
        for number, flight in enumerate(table):
            known, moment = [], flight["scheduled"] - 60
            for row in table:
                copy = row.copy()
                if not (row["left"] is not None and row["left"] < moment):
                    copy |= {"left": None, "delay": None}
                if not (row["landed"] is not None and row["landed"] < moment):
                    copy |= {"landed": None, "air_time": None}
                known.append(copy)
            full, seen = values(flight, table), values(known[number], known)
            expected |= {name for name in full if full[name] != seen[name]}
        answer.equal(
            answer.call("leaks", table),
            sorted(expected),
            asked=f"the leaks of {size} flights",
        )

# %% [markdown] role="hint" exercise="leaks"
# Two flights have two moments. How many versions of the table do you need?

# %% [markdown] role="hint" exercise="leaks"
# Copy each row (`dict(row)`) before you blank. Departure and landing become known apart. Compare the feature of the
# full flight in the full table with that of the blanked flight in the blanked table.

# %% [markdown] role="hint" exercise="leaks"
# ```python
# for flight in table:
#     moment = ...
#     known = [blank(row, moment) for row in table]
#     for name, feature in FEATURES.items():
#         if feature(flight, table) != ...:
#             found.add(name)
# ```


# %% role="right" exercise="leaks"
def leaks(table):
    frame = pd.DataFrame(table).astype(object)
    found = []
    for name, feature in FEATURES.items():
        for number, flight in enumerate(table):
            known = frame.copy()
            for time, other in [("left", "delay"), ("landed", "air_time")]:
                late = ~(
                    pd.to_numeric(known[time]).fillna(10**9) < flight["scheduled"] - 60
                )
                known.loc[late, [time, other]] = None
            rows = known.astype(object).where(known.notna(), None).to_dict("records")
            if feature(rows[number], rows) != feature(flight, table):
                found.append(name)
                break
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="Only the flight's own row can leak" caught="check" says="leaks with"
def leaks(table):
    found = set()
    for flight in table:
        own = dict(flight)
        for time, other in [("left", "delay"), ("landed", "air_time")]:
            if own[time] is None or own[time] >= flight["scheduled"] - 60:
                own[time] = own[other] = None
        known = [own if row is flight else row for row in table]
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(own, known):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="The future is what is scheduled later" caught="check" says="leaks with"
def leaks(table):
    found = set()
    for flight in table:
        known = [
            row
            if row["scheduled"] < flight["scheduled"]
            else row | dict.fromkeys(["left", "delay", "landed", "air_time"])
            for row in table
        ]
        own = flight | dict.fromkeys(["left", "delay", "landed", "air_time"])
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(own, known):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="A flight that has left is known in full" caught="check" says="in the air"
def leaks(table):
    def blank(row, moment):
        if row["left"] is not None and row["left"] < moment:
            return row
        return row | dict.fromkeys(["left", "delay", "landed", "air_time"])

    found = set()
    for flight in table:
        moment = flight["scheduled"] - 60
        known = [blank(row, moment) for row in table]
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(blank(flight, moment), known):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="A time of 0 is no time" caught="check" says="at minute 0"
def leaks(table):
    def blank(row, moment):
        row = dict(row)
        for time, other in [("left", "delay"), ("landed", "air_time")]:
            if not row[time] or row[time] >= moment:
                row[time] = row[other] = None
        return row

    found = set()
    for flight in table:
        moment = flight["scheduled"] - 60
        known = [blank(row, moment) for row in table]
        own = blank(flight, moment)
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(own, known):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="A mean of 0 is as good as none" caught="check" says="delay 0"
def leaks(table):
    def blank(row, moment):
        row = dict(row)
        for time, other in [("left", "delay"), ("landed", "air_time")]:
            if row[time] is None or row[time] >= moment:
                row[time] = row[other] = None
        return row

    found = set()
    for flight in table:
        moment = flight["scheduled"] - 60
        known = [blank(row, moment) for row in table]
        own = blank(flight, moment)
        for name, feature in FEATURES.items():
            before, after = feature(flight, table), feature(own, known)
            if (before or 0) != (after or 0):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="The rows of the future are removed, plans too" caught="check" says="leaks with"
def leaks(table):
    found = set()
    for flight in table:
        moment = flight["scheduled"] - 60
        known = [r for r in table if r["left"] is not None and r["left"] < moment]
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(flight, known):
                found.add(name)
    return sorted(found)


# %% role="wrong" exercise="leaks" misconception="The prediction is made at the time of the schedule" caught="check" says="leaks with"
def leaks(table):
    def blank(row, moment):
        row = dict(row)
        for time, other in [("left", "delay"), ("landed", "air_time")]:
            if row[time] is None or row[time] >= moment:
                row[time] = row[other] = None
        return row

    found = set()
    for flight in table:
        known = [blank(row, flight["scheduled"]) for row in table]
        own = blank(flight, flight["scheduled"])
        for name, feature in FEATURES.items():
            if feature(flight, table) != feature(own, known):
                found.add(name)
    return sorted(found)


# %% [markdown]
# Fifteen flights of a real day. `landed` is `left` and the time in the air, without the taxiing.

# %%
rows = dataset("flights").frame()
rows = rows[(rows["month"] == 2) & (rows["day"] == 9) & rows["air_time"].notna()]
rows = rows.sort_values(["time_hour", "carrier", "flight"])[::30].head(15)
TABLE = []
for row in rows.to_dict("records"):
    planned = row["hour"] * 60 + row["minute"]
    left = planned + int(row["dep_delay"])
    item = {"id": row["flight"], "origin": row["origin"], "distance": row["distance"]}
    item |= {"scheduled": planned, "left": left, "delay": int(row["dep_delay"])}
    air = int(row["air_time"])
    TABLE.append(item | {"landed": left + air, "air_time": air})
print(leaks(TABLE) or "not yet")

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | compute features | known before the moment, in the version of then |
# | serve them | two codes, one test |
# | find leaks | change the future, and look |
#
# **New words.** *Leak*: knowledge in training that the moment of prediction lacks. *Point-in-time correct*: only what was
# known. *Training-serving skew*: two codes, two features.
#
# **Read on.** D. Sculley et al., "Hidden Technical Debt in Machine Learning Systems", *NeurIPS* (2015). S. Kaufman et al.,
# "Leakage in Data Mining", *ACM TKDD* 6 (2012).

# %%
lab.close()
