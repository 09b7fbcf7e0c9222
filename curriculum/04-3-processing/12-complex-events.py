# %% [markdown] minutes=60 datasets=["flights"] systems=["flink"]
# # Complex events
#
# Delta's N707TW leaves New York for San Francisco, and 35 minutes later it leaves New York for Los Angeles. Each message is
# fine; the *sequence* is impossible. You find such patterns by hand, with SQL, and where the event is one that never comes.

# %% [markdown]
# ## You will be able to
#
# - find an impossible sequence with a small state machine (exercise 1)
# - say where the search goes on after a match (exercise 2)
# - raise an alarm for what did not happen (exercise 3)
# - keep a pattern right when events come out of order (exercise 4)
# - write a pattern in SQL (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Event time: windows and watermarks* | watermarks, late events |
# | SQL: `SELECT … FROM` | exercise 5 |
#
# Flights and aircraft are real. Scans of passengers and bags are invented, on a real day. Flink is the real one (label: engine); it
# starts in the section on SQL.

# %% role="setup"
import heapq
import json
import random
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import requests

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-3-processing/12-complex-events")
lab

# %%
START = pd.Timestamp("2013-01-01", tz="UTC")


def departures_of(month):
    """Departures in order of time: tail number, flight, minute, minutes it must be away."""
    rows = dataset("flights").frame().dropna(subset=["tailnum", "air_time"])
    rows = rows[rows["month"] == month]
    minute = (rows["time_hour"] - START) // pd.Timedelta("1min") + rows["minute"]
    table = pd.DataFrame({"tail": rows["tailnum"]})
    table["flight"] = rows["carrier"] + rows["flight"].astype(str)
    table["time"] = minute + rows["dep_delay"].astype(int)
    table["away"] = 2 * rows["air_time"].astype(int)
    return table.sort_values(["time", "flight"]).to_dict("records")


MARCH = departures_of(3)
print(len(MARCH), "departures in March, for example", MARCH[0])

# %% [markdown] topics=["4.3-5"]
# ## The aircraft in two places
#
# *Complex event processing* (CEP) looks for *patterns*: several events of one *key*, in an order, within a time. No event
# is wrong by itself.
#
# An aircraft that leaves New York cannot leave it again before it has flown there and back. `away` is twice its time in the air: about
# the least that it takes, for winds that help one way hinder the other.
#
# **Predict:** how many of 28,000 departures of March are impossible?


# %%
def not_back(events):
    """Pairs of departures of one aircraft: the second comes before it can be back."""
    last, pairs = {}, []
    for event in events:
        before = last.get(event["tail"])
        if before and event["time"] < before["time"] + before["away"]:
            pairs.append((before, event))
        last[event["tail"]] = event
    return pairs


impossible = not_back(MARCH)
print(len(impossible), "pairs; the shortest stays:")
for first, second in sorted(impossible, key=lambda p: p[1]["time"] - p[0]["time"])[:3]:
    minutes = second["time"] - first["time"]
    print(
        f"{first['tail']}: {first['flight']}, {minutes} minutes later {second['flight']}"
    )
print(len({event["tail"] for event in MARCH}), "aircraft are remembered")

# %% [markdown]
# Perhaps somebody swapped two aircraft, and one message kept the planned tail number. Maintenance counts its hours by that number.
#
# The loop is a *state machine* for each aircraft: at home, or away until a time. It has one fault: it remembers each aircraft for ever.
# Keys come and go, so state must be bounded by *time*.


# %%
def watched(events):
    """Alarms of too_soon, and the aircraft in its state after each event."""
    state, alarms, held = {}, [], []
    for event in events:
        alarms.append(too_soon(state, event))
        held.append(sorted(state))
    return {"alarms": [alarm for alarm in alarms if alarm], "held": held}


# %% [markdown] role="task" exercise="too-soon" points=3 topics=["4.3-5"]
# ### Too soon
#
# Write `too_soon(state, event)`. Events come in order of `time`: dictionaries with `tail`, `flight`, `time` and `away` (minutes). `state` is
# a dictionary, empty at first; change it in place, and keep in it what you like, by tail number.
#
# An aircraft is *back* at `time + away`. If it leaves before that (not at it), return a dictionary with `tail`, `first`, `second` (the two
# flights) and `early` (by how many minutes); else return `None`. In both cases its new departure counts from then on.
#
# After each call, `state` must hold the aircraft that are away at the event's `time`, and no others.
#
# Example: N1 leaves as F1 at 100 with `away` 300, and as F2 at 390: `{"tail": "N1", "first": "F1", "second": "F2", "early": 10}`.
#
# Why: a pattern that never forgets is a memory leak with a business name.


# %% role="answer" exercise="too-soon"
def too_soon(state: dict, event: dict) -> dict | None:
    """An alarm if the aircraft cannot be back yet."""
    ### BEGIN SOLUTION
    for tail in [tail for tail, (_, back) in state.items() if back <= event["time"]]:
        del state[tail]
    first, back = state.get(event["tail"], (None, None))
    state[event["tail"]] = (event["flight"], event["time"] + event["away"])
    if first is None:
        return None
    alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
    return alarm | {"early": back - event["time"]}
    ### END SOLUTION


# %% role="check" exercise="too-soon"
with lab.check("too-soon") as answer:
    script = "N1 F1 100 300, N2 F2 120 50, N2 F3 170 60, N4 F8 180 50, N1 F4 390 300, N3 F5 400 10, N1 F6 689 20, N1 F7 700 9"
    names = ("tail", "flight", "time", "away")
    events = [
        dict(zip(names, (tail, flight, int(at), int(away)), strict=True))
        for tail, flight, at, away in map(str.split, script.split(", "))
    ]
    answer.value("too_soon")
    found = answer.call("watched", events)
    answer.same_rows(
        found["alarms"],
        [
            {"tail": "N1", "first": "F1", "second": "F4", "early": 10},
            {"tail": "N1", "first": "F4", "second": "F6", "early": 1},
            {"tail": "N1", "first": "F6", "second": "F7", "early": 9},
        ],
        key=["second"],
        asked=f"the alarms of these departures (tail, flight, time, away): {script}",
    )
    answer.equal(
        found["held"],
        [
            ["N1"],
            ["N1", "N2"],
            ["N1", "N2"],
            ["N1", "N2", "N4"],
            ["N1"],
            ["N1", "N3"],
            ["N1"],
            ["N1"],
        ],
        asked=f"the aircraft in the state after each of these departures: {script}",
    )

# %% role="hidden" exercise="too-soon"
with lab.check("too-soon", hidden=True) as answer:
    answer.value("too_soon")
    draw, time_now, events = answer.random, 10**6, []
    for number in range(60):
        time_now += draw.randrange(0, 20, 3)
        event = {"tail": draw.choice("ÄBCDEF"), "flight": f"F{number}"}
        events.append(event | {"time": time_now, "away": draw.randrange(3, 90, 3)})
    alarms, held, back = [], [], {}
    for event in events:
        tail, now = event["tail"], event["time"]
        if tail in back and now < back[tail][1]:
            alarm = {"tail": tail, "first": back[tail][0], "second": event["flight"]}
            alarms.append(alarm | {"early": back[tail][1] - now})
        back[tail] = event["flight"], now + event["away"]
        held.append(sorted(tail for tail, (_, end) in back.items() if end > now))
    found = answer.call("watched", events)
    answer.same_rows(
        found["alarms"], alarms, key=["second"], asked="the alarms of 60 departures"
    )
    answer.equal(
        found["held"],
        held,
        asked="the aircraft in the state after each of 60 departures",
    )

# %% [markdown] role="hint" exercise="too-soon"
# At the time of an event, which aircraft can no longer matter? What do you need to know of the others?

# %% [markdown] role="hint" exercise="too-soon"
# A dictionary must not change while you walk through it: make a list of the tail numbers first. Forget before you look.

# %% [markdown] role="hint" exercise="too-soon"
# ```python
# for tail in [tail for tail, ... in state.items() if ...]:
#     del state[tail]
# before = state.get(event["tail"])
# state[event["tail"]] = ...
# if before is None:
#     return None
# return {"tail": ..., "first": ..., "second": ..., "early": ...}
# ```


# %% role="right" exercise="too-soon"
def too_soon(state, event):
    now, found = event["time"], None
    before = state.pop(event["tail"], None)
    if before and before["time"] + before["away"] > now:
        early = before["time"] + before["away"] - now
        found = dict(tail=event["tail"], first=before["flight"], second=event["flight"])
        found["early"] = early
    state[event["tail"]] = event
    away = {tail: e for tail, e in state.items() if e["time"] + e["away"] > now}
    state.clear()
    state.update(away)
    return found


# %% role="wrong" exercise="too-soon" misconception="One row for each key is bounded" caught="check" says="the aircraft in the state"
def too_soon(state, event):
    first, back = state.get(event["tail"], (None, 0))
    state[event["tail"]] = (event["flight"], event["time"] + event["away"])
    if event["time"] < back:
        alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
        return alarm | {"early": back - event["time"]}
    return None


# %% role="wrong" exercise="too-soon" misconception="One comes in, so one goes out" caught="check" says="the aircraft in the state"
def too_soon(state, event):
    oldest = min(state, key=lambda tail: state[tail][1], default=None)
    if oldest is not None and state[oldest][1] <= event["time"]:
        del state[oldest]
    first, back = state.get(event["tail"], (None, 0))
    state[event["tail"]] = (event["flight"], event["time"] + event["away"])
    if first is None or event["time"] >= back:
        return None
    alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
    return alarm | {"early": back - event["time"]}


# %% role="wrong" exercise="too-soon" misconception="After an alarm the first departure still counts" caught="check" says="second"
def too_soon(state, event):
    for tail in [tail for tail, (_, back) in state.items() if back <= event["time"]]:
        del state[tail]
    if event["tail"] not in state:
        state[event["tail"]] = (event["flight"], event["time"] + event["away"])
        return None
    first, back = state[event["tail"]]
    alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
    return alarm | {"early": back - event["time"]}


# %% role="wrong" exercise="too-soon" misconception="Who is back at that minute is still away" caught="check" says="second"
def too_soon(state, event):
    for tail in [tail for tail, (_, back) in state.items() if back < event["time"]]:
        del state[tail]
    first, back = state.get(event["tail"], (None, None))
    state[event["tail"]] = (event["flight"], event["time"] + event["away"])
    if first is None:
        return None
    alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
    return alarm | {"early": back - event["time"]}


# %% role="wrong" exercise="too-soon" misconception="A match ends the story of its key" caught="check" says="second"
def too_soon(state, event):
    for tail in [tail for tail, (_, back) in state.items() if back <= event["time"]]:
        del state[tail]
    first, back = state.pop(event["tail"], (None, None))
    if first is None:
        state[event["tail"]] = (event["flight"], event["time"] + event["away"])
        return None
    alarm = {"tail": event["tail"], "first": first, "second": event["flight"]}
    return alarm | {"early": back - event["time"]}


# %% [markdown]
# How much does forgetting save, in March?

# %%
state, sizes, seen = {}, {"time-bounded": [], "never forgets": []}, set()
for event in MARCH:
    alarm = too_soon(state, event)
    seen.add(event["tail"])
    sizes["time-bounded"].append(len(state))
    sizes["never forgets"].append(len(seen))
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
days = [(event["time"] - MARCH[0]["time"]) / 1440 for event in MARCH]
for name, held in sizes.items():
    if held[-1]:
        axes.plot(days, held, label=name, linewidth=1)
axes.set(xlabel="days of March", ylabel="aircraft in the state")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
picture(
    figure,
    alt="Aircraft in the state over March: without forgetting the number grows beyond 3,000; with it, it swings between some 30 and 330 each day.",
)

# %% [markdown] topics=["4.3-5"]
# ## After a match
#
# Three late departures in a row of one airline raise an alarm. With five in a row, how many alarms are that? The *skip strategy* decides
# where the search goes on after a match:
#
# | Strategy | The search goes on at |
# |---|---|
# | `SKIP PAST LAST ROW` | the row after the match |
# | `SKIP TO NEXT ROW` | the row after the match's *first* row |
# | `SKIP TO LAST A` | the match's last row itself |

# %% [markdown] role="task" exercise="skip" points=2 topics=["4.3-5"]
# ### Where the search goes on
#
# Write `matches(late, n, skip)`. `late` is a list of booleans in order, `n` is at least 2. A match is `n` neighbours that are all true.
# Search from the first row; after a match, go on as `skip` says: `"past last row"`, `"to next row"` or `"to last"`.
#
# Return the matches as pairs `[first, last]` of positions, counted from 0.
#
# Example: five times true with `n` 3 is `[[0, 2]]`, then `[[0, 2], [1, 3], [2, 4]]`, then `[[0, 2], [2, 4]]`.
#
# Why: the same pattern is one ticket or three, and nobody looks at this line.


# %% role="answer" exercise="skip"
def matches(late: list[bool], n: int, skip: str) -> list[list[int]]:
    """First and last position of each match."""
    ### BEGIN SOLUTION
    step = {"past last row": n, "to next row": 1, "to last": n - 1}[skip]
    found, row = [], 0
    while row + n <= len(late):
        if all(late[row : row + n]):
            found.append([row, row + n - 1])
            row += step
        else:
            row += 1
    return found
    ### END SOLUTION


# %% role="check" exercise="skip"
with lab.check("skip") as answer:
    for text, n, skip, expected in [
        ("11111", 3, "past last row", [[0, 2]]),
        ("11111", 3, "to next row", [[0, 2], [1, 3], [2, 4]]),
        ("11111", 3, "to last", [[0, 2], [2, 4]]),
        ("1101111011", 2, "past last row", [[0, 1], [3, 4], [5, 6], [8, 9]]),
        ("1101111011", 2, "to next row", [[0, 1], [3, 4], [4, 5], [5, 6], [8, 9]]),
        ("011101111111", 4, "to last", [[5, 8], [8, 11]]),
        ("1110", 4, "to next row", []),
    ]:
        got = answer.call("matches", [digit == "1" for digit in text], n, skip)
        answer.equal(
            [list(pair) for pair in got],
            expected,
            asked=f"matches of {n} with skip {skip!r} in {text} (1 is true)",
        )

# %% role="hidden" exercise="skip"
with lab.check("skip", hidden=True) as answer:
    late = [answer.random.random() < 0.8 for _ in range(80)]
    for skip in ("past last row", "to next row", "to last"):
        n, expected, free = answer.random.randrange(2, 5), [], 0
        for row in range(len(late) - n + 1):
            if row >= free and all(late[row : row + n]):
                expected.append([row, row + n - 1])
                free = {"past last row": row + n, "to last": row + n - 1}.get(
                    skip, row + 1
                )
        got = answer.call("matches", late, n, skip)
        answer.equal(
            [list(p) for p in got],
            expected,
            asked=f"matches of {n} in 80 rows, skip {skip!r}",
        )

# %% [markdown] role="hint" exercise="skip"
# By how many rows does the search move after a match, for each of the three strategies? And where there was none?

# %% [markdown] role="hint" exercise="skip"
# `all(late[row : row + n])` asks for a match. Mind the end: a shorter slice is no match.

# %% [markdown] role="hint" exercise="skip"
# ```python
# step = {"past last row": ..., "to next row": ..., "to last": ...}[skip]
# found, row = [], 0
# while ...:
#     if all(late[row : row + n]):
#         ...
#     else:
#         row += 1
# return found
# ```


# %% role="right" exercise="skip"
def matches(late, n, skip):
    free, found = 0, []
    for first in range(len(late) - n + 1):
        last = first + n - 1
        if first >= free and sum(late[first : last + 1]) == n:
            found.append((first, last))
            if skip == "past last row":
                free = last + 1
            elif skip == "to last":
                free = last
    return found


# %% role="wrong" exercise="skip" misconception="Each match is found, whatever it overlaps" caught="check" says="past last row"
def matches(late, n, skip):
    rows = range(len(late) - n + 1)
    return [[row, row + n - 1] for row in rows if all(late[row : row + n])]


# %% role="wrong" exercise="skip" misconception="To the last row means behind it" caught="check" says="to last"
def matches(late, n, skip):
    step = {"past last row": n, "to next row": 1, "to last": n}[skip]
    found, row = [], 0
    while row + n <= len(late):
        hit = all(late[row : row + n])
        found += [[row, row + n - 1]] if hit else []
        row += step if hit else 1
    return found


# %% role="wrong" exercise="skip" misconception="The search moves by the length of the pattern" caught="check" says="past last row"
def matches(late, n, skip):
    step = {"past last row": n, "to next row": 1, "to last": n - 1}[skip]
    rows = range(0, len(late) - n + 1, step)
    return [[row, row + n - 1] for row in rows if all(late[row : row + n])]


# %% role="wrong" exercise="skip" misconception="A run is one match, however long" caught="check" says="in 11111"
def matches(late, n, skip):
    found, row = [], 0
    while row < len(late):
        end = row
        while end < len(late) and late[end]:
            end += 1
        if end - row >= n:
            found.append([row, end - 1])
        row = max(end, row + 1)
    return found


# %% [markdown] topics=["4.3-5"]
# ## What did not happen
#
# A bag is checked in, and never loaded. There is no event for that: a pattern would wait for a row that never comes. *Absence* is a fact only when
# time has passed: so a machine sets a *timer*, in event time, which the watermark rings.
#
# A watermark of 100 promises: every event of a time up to 100 has come.


# %%
def belt(events, limit):
    """The alarms after each watermark, and the bags that the state names then."""
    state, alarms, held = {}, [], []
    for event in events:
        found = unloaded(state, event, limit)
        if event["kind"] == "watermark":
            alarms.append(found)
            held.append(sorted(set(re.findall(r"bag \w+", str(state)))))
        elif found:
            alarms.append(["before a watermark", *found])
    return {"alarms": alarms, "held": held}


# %% [markdown] role="task" exercise="unloaded" points=3 topics=["4.3-5"]
# ### The bag that was never loaded
#
# Write `unloaded(state, event, limit)`. `state` is a dictionary, empty at first; change it in place, and keep in it what you like. An event is one of
#
# - `{"kind": "checked", "bag": …, "time": …}`, once for each bag
# - `{"kind": "loaded", "bag": …, "time": …}`, at most once for each bag; it may *come* before `checked`, but never has an earlier `time`
# - `{"kind": "watermark", "time": …}`
#
# A bag that is checked at t must be loaded at t + `limit` at the latest. Return a list of bags for which an alarm is due: at the first watermark of t + `limit`
# or more, those without a `loaded` in time; sorted by name. Else an empty list.
#
# After a watermark of w, `state` holds no bag that was decided, and no `loaded` of a time up to w; a `loaded` of a time after w may wait. Each bag raises one alarm at most.
#
# Example, with `limit` 30: a bag checked at 100 and loaded at 131 raises an alarm at watermark 130, 131 or whatever comes first from 130 on.
#
# Why: before the door closes, it is a walk of five minutes; after that, a courier.


# %% role="answer" exercise="unloaded"
def unloaded(state: dict, event: dict, limit: int) -> list[str]:
    """Bags whose time is over, at a watermark."""
    ### BEGIN SOLUTION
    checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
    if event["kind"] != "watermark":
        state[event["kind"]][event["bag"]] = event["time"]
        return []
    alarms = []
    for bag, time in list(checked.items()):
        if time + limit <= event["time"]:
            if bag not in loaded or loaded[bag] > time + limit:
                alarms.append(bag)
            del checked[bag]
            loaded.pop(bag, None)
        elif bag in loaded and loaded[bag] <= event["time"]:
            del checked[bag], loaded[bag]
    for bag in [bag for bag, time in loaded.items() if time <= event["time"]]:
        del loaded[bag]
    return sorted(alarms)
    ### END SOLUTION


# %% role="check" exercise="unloaded"
with lab.check("unloaded") as answer:
    answer.value("unloaded")
    for script, alarms, held in [
        (
            "c A 100, c B 105, l A 120, w 129, w 130, w 135",
            [[], [], ["bag B"]],
            ["B", "B", ""],
        ),
        (
            "l A 110, c A 100, c B 100, l B 130, c C 100, l C 131, w 131",
            [["bag C"]],
            [""],
        ),
        (
            "c A 100, w 99, w 100, w 200, w 300",
            [[], [], ["bag A"], []],
            ["A", "A", "", ""],
        ),
        ("c A 100, l A 131, w 120, w 130", [[], ["bag A"]], ["A", ""]),
        ("c A 100, w 130, l A 131, w 131", [["bag A"], []], ["", ""]),
        (
            "c B 101, c A 102, c C 103, w 132, l C 133, w 140",
            [["bag A", "bag B"], []],
            ["C", ""],
        ),
        ("c A 100, l A 110, c B 105, w 110, w 135", [[], ["bag B"]], ["B", ""]),
        ("l A 115, w 100, c A 105, w 135", [[], []], ["A", ""]),
    ]:
        kinds = {"c": "checked", "l": "loaded", "w": "watermark"}
        events = []
        for letter, *bag, at in map(str.split, script.split(", ")):
            named = {"bag": f"bag {bag[0]}"} if bag else {}
            events.append({"kind": kinds[letter], "time": int(at)} | named)
        found = answer.call("belt", events, 30)
        said = f"with limit 30, of checked (c), loaded (l) and watermark (w): {script}"
        answer.equal(
            found["alarms"], alarms, asked=f"the alarms after each watermark {said}"
        )
        answer.equal(
            found["held"],
            [[f"bag {letter}" for letter in letters] for letters in held],
            asked=f"the bags in the state after each watermark {said}",
        )

# %% role="hidden" exercise="unloaded"
with lab.check("unloaded", hidden=True) as answer:
    answer.value("unloaded")
    draw, scans, limit = answer.random, [], answer.random.randrange(20, 40)
    for number in range(40):
        at, bag = draw.randrange(1000, 1100), f"bag Ä{number}"
        scans.append({"kind": "checked", "bag": bag, "time": at})
        if draw.random() < 0.8:
            after = draw.choice([draw.randrange(limit), 0, limit, limit + 1])
            scans.append({"kind": "loaded", "bag": bag, "time": at + after})
    arrived = sorted(scans, key=lambda scan: scan["time"] + draw.randrange(10))
    checks, loads = (
        {scan["bag"]: scan["time"] for scan in scans if scan["kind"] == kind}
        for kind in ("checked", "loaded")
    )
    events, alarms, wanted, open_ = [], [], [], dict(checks)
    for number, scan in enumerate(arrived):
        events.append(scan)
        mark = min((s["time"] for s in arrived[number + 1 :]), default=5000) - 1
        if number % 5 == 4 or number + 1 == len(arrived):
            events.append({"kind": "watermark", "time": mark})
            due = [bag for bag, at in open_.items() if at + limit <= mark]
            alarms.append(
                sorted(b for b in due if loads.get(b, 9999) > open_[b] + limit)
            )
            open_ = {bag: at for bag, at in open_.items() if bag not in due}
            ahead = {bag for bag, at in loads.items() if at > mark}
            wanted.append(ahead | (open_.keys() - loads.keys()))
    found = answer.call("belt", events, limit)
    answer.equal(
        found["alarms"],
        alarms,
        asked=f"the alarms of 40 bags, limit {limit}, scans out of order",
    )
    decided = [
        set(held) - open_ for held, open_ in zip(found["held"], wanted, strict=True)
    ]
    answer.equal(
        [len(bags) for bags in decided],
        [0] * len(wanted),
        asked="how many decided bags are in the state after each watermark",
    )

# %% [markdown] role="hint" exercise="unloaded"
# What do you know at a watermark of w about a bag checked at t, if t + limit ≤ w? And if not?

# %% [markdown] role="hint" exercise="unloaded"
# Keep two dictionaries in the state, of check-ins and of loadings, each from bag to time. Decide only at watermarks. A loading of a time up to w has met its check-in,
# or never will.

# %% [markdown] role="hint" exercise="unloaded"
# ```python
# checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
# if event["kind"] != "watermark":
#     state[event["kind"]][event["bag"]] = ...
#     return []
# alarms = []
# for bag, time in list(checked.items()):
#     if ...:  # its time is over
#         ...
# ...  # forget what is decided
# return sorted(alarms)
# ```


# %% role="right" exercise="unloaded"
def unloaded(state, event, limit):
    bags = state.setdefault("bags", {})
    if event["kind"] != "watermark":
        bags.setdefault(event["bag"], {})[event["kind"]] = event["time"]
        return []
    now, due, left = event["time"], [], {}
    for bag, times in bags.items():
        start, end = times.get("checked"), times.get("loaded")
        if start is not None and now >= start + limit:
            if end is None or end - start > limit:
                due.append(bag)
        elif end is None or end > now:
            left[bag] = times
    state["bags"] = left
    due.sort()
    return due


# %% role="wrong" exercise="unloaded" misconception="The next event tells what is missing" caught="check" says="the alarms after each watermark"
def unloaded(state, event, limit):
    checked = state.setdefault("checked", {})
    alarms = sorted(b for b, t in checked.items() if t + limit < event["time"])
    for bag in alarms:
        del checked[bag]
    if event["kind"] == "checked":
        checked[event["bag"]] = event["time"]
    if event["kind"] == "loaded":
        checked.pop(event["bag"], None)
    return alarms


# %% role="wrong" exercise="unloaded" misconception="What is loaded has been checked in before" caught="check" says="the alarms after each watermark"
def unloaded(state, event, limit):
    checked = state.setdefault("checked", {})
    if event["kind"] == "checked":
        checked[event["bag"]] = event["time"]
    elif event["kind"] == "loaded":
        if event["bag"] in checked and event["time"] <= checked[event["bag"]] + limit:
            del checked[event["bag"]]
    else:
        due = sorted(b for b, t in checked.items() if t + limit <= event["time"])
        for bag in due:
            del checked[bag]
        return due
    return []


# %% role="wrong" exercise="unloaded" misconception="Loaded is loaded, however late" caught="check" says="the alarms after each watermark"
def unloaded(state, event, limit):
    checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
    if event["kind"] != "watermark":
        state[event["kind"]][event["bag"]] = event["time"]
        return []
    due = [bag for bag, time in checked.items() if time + limit <= event["time"]]
    alarms = [bag for bag in due if bag not in loaded]
    for bag in due:
        del checked[bag]
        loaded.pop(bag, None)
    for bag in [bag for bag in loaded if bag in checked]:
        del loaded[bag], checked[bag]
    return sorted(alarms)


# %% role="wrong" exercise="unloaded" misconception="An alarm is repeated until somebody acts" caught="check" says="the bags in the state"
def unloaded(state, event, limit):
    checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
    if event["kind"] != "watermark":
        state[event["kind"]][event["bag"]] = event["time"]
        return []
    return sorted(
        bag
        for bag, time in checked.items()
        if time + limit <= event["time"] and loaded.get(bag, 10**9) > time + limit
    )


# %% role="wrong" exercise="unloaded" misconception="A bag is decided at its deadline, not before" caught="check" says="the bags in the state"
def unloaded(state, event, limit):
    bags = state.setdefault("bags", {})
    if event["kind"] != "watermark":
        bags.setdefault(event["bag"], {})[event["kind"]] = event["time"]
        return []
    alarms = []
    for bag, times in list(bags.items()):
        end = times.get("checked", times.get("loaded")) + limit
        if end <= event["time"]:
            if times.get("loaded", 10**9) > end:
                alarms.append(bag)
            del bags[bag]
    return sorted(alarms)


# %% role="wrong" exercise="unloaded" misconception="What is due first stands first" caught="check" says="the alarms after each watermark"
def unloaded(state, event, limit):
    checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
    if event["kind"] != "watermark":
        state[event["kind"]][event["bag"]] = event["time"]
        return []
    alarms = []
    for bag, time in sorted(checked.items(), key=lambda pair: pair[1]):
        if time + limit <= event["time"]:
            if loaded.get(bag, 10**9) > time + limit:
                alarms.append(bag)
            del checked[bag]
            loaded.pop(bag, None)
    for bag in [bag for bag, time in loaded.items() if time <= event["time"]]:
        del loaded[bag]
        checked.pop(bag, None)
    return alarms


# %% role="wrong" exercise="unloaded" misconception="What matched needs no forgetting" caught="check" says="the bags in the state"
def unloaded(state, event, limit):
    checked, loaded = state.setdefault("checked", {}), state.setdefault("loaded", {})
    if event["kind"] != "watermark":
        state[event["kind"]][event["bag"]] = event["time"]
        return []
    due = [bag for bag, time in checked.items() if time + limit <= event["time"]]
    alarms = [bag for bag in due if loaded.get(bag, 10**9) > checked[bag] + limit]
    for bag in due:
        del checked[bag]
    return sorted(alarms)


# %% [markdown]
# A day of invented bags, three for each real departure; one in two hundred is forgotten, and scans come up to ten minutes late.

# %%
DAY = dataset("flights").frame().dropna(subset=["tailnum", "dep_delay"])
DAY = DAY[(DAY["month"] == 7) & (DAY["day"] == 10)].sort_values(["time_hour", "minute"])
draw, scans = random.Random(7), []
for number, row in enumerate(DAY.itertuples()):
    for piece in range(3):
        bag, at = (
            f"bag {row.carrier}{row.flight}-{piece}",
            row.hour * 60 + row.minute - 70,
        )
        scans.append({"kind": "checked", "bag": f"{bag}-{number}", "time": at})
        if draw.random() > 0.005:
            scans.append(
                {
                    "kind": "loaded",
                    "bag": f"{bag}-{number}",
                    "time": at + draw.randrange(45),
                }
            )
arrivals = sorted(scans, key=lambda scan: scan["time"] + draw.randrange(10))
state, alarms, newest = {}, [], 0
for scan in arrivals:
    unloaded(state, scan, 45)
    newest = max(newest, scan["time"])
    alarms += unloaded(state, {"kind": "watermark", "time": newest - 10}, 45) or []
print(
    f"{len(scans)} scans, {len(alarms)} alarms, for example {alarms[:2]}"
    if alarms
    else "not started"
)

# %% [markdown] topics=["4.3-5"]
# ## Out of order
#
# A state machine believes the order in which events come. Real ones come late, and an aircraft's second departure may overtake its first.
#
# **Predict:** in March's departures, each tenth comes six hours late. How many alarms are missed, how many false?

# %%
draw = random.Random(3)
LATE = [(event["time"] + (360 if draw.random() < 0.1 else 0), event) for event in MARCH]
LATE = [event for _, event in sorted(LATE, key=lambda pair: pair[0])]
truth, found = (
    {(a["flight"], b["flight"], b["time"]) for a, b in pairs}
    for pairs in (impossible, not_back(LATE))
)
print(
    f"{len(truth)} true ones: {len(truth - found)} missed, {len(found - truth)} false"
)

# %% [markdown] role="task" exercise="in-order" points=4 topics=["4.3-5"]
# ### In the order of events
#
# Write `in_order(events, delay)`, which puts the parts together. `events` are departures in the order in which they *come*. The watermark is the largest `time` so
# far, this event included, minus `delay`.
#
# - An event whose `time` is at or before the watermark that was reached *before* it came is late: it is not used, only counted.
# - All others wait until the watermark has reached their `time`; then each goes to `too_soon` (your exercise 1), in the order of `time`, and of two with the same
#   `time` the one that came first.
# - At the end of the events, all that still waits goes there, too.
#
# Return a dictionary: `alarms`, a list of what `too_soon` returned, without `None`, and `late`, the number of late events.
#
# Example: with `delay` 10, times 100, 95, 120, 109, 110: 109 and 110 are late.
#
# Why: engines do this ahead of each pattern, and it is why a pattern is never faster than its watermark.


# %% role="answer" exercise="in-order"
def in_order(events: list[dict], delay: int) -> dict:
    """Alarms of the events in the order of their time; how many came too late."""
    ### BEGIN SOLUTION
    waiting, state, alarms, late, watermark = [], {}, [], 0, None
    for number, event in enumerate(events):
        if watermark is not None and event["time"] <= watermark:
            late += 1
            continue
        heapq.heappush(waiting, (event["time"], number, event))
        mark = event["time"] - delay
        watermark = mark if watermark is None else max(watermark, mark)
        while waiting and waiting[0][0] <= watermark:
            alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
    while waiting:
        alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
    return {"alarms": [alarm for alarm in alarms if alarm], "late": late}
    ### END SOLUTION


# %% role="check" exercise="in-order"
with lab.check("in-order") as answer:
    answer.value("in_order")
    names = ("tail", "flight", "time", "away")
    for script, delay, alarms, late in [
        (
            "N1 F1 100 60, N1 F2 95 20, N2 F3 120 5, N3 F4 109 9, N3 F5 110 9",
            10,
            ["F2 F1 15"],
            2,
        ),
        ("N1 F2 130 40, N1 F1 100 60, N1 F3 180 10, N1 F4 175 4", 40, ["F1 F2 30"], 0),
        ("N1 F2 130 40, N1 F1 100 60, N1 F3 160 10", 30, ["F2 F3 10"], 1),
        ("N1 F1 50 9, N1 F2 50 9, N1 F3 58 1", 0, ["F1 F3 1"], 1),
        ("N1 F1 100 60, N2 F2 95 5, N1 F3 88 9", 10, [], 1),
        (
            "N1 F2 50 9, N1 F1 50 7, N2 F3 49 1, N1 F4 56 3",
            5,
            ["F2 F1 9", "F1 F4 1"],
            0,
        ),
    ]:
        events = [
            dict(zip(names, (tail, flight, int(at), int(away)), strict=True))
            for tail, flight, at, away in map(str.split, script.split(", "))
        ]
        found = answer.call("in_order", events, delay)
        said = f"with delay {delay}, of departures (tail, flight, time, away) in the order in which they come: {script}"
        got = found.get("alarms") if isinstance(found, dict) else found
        pairs = [f"{a['first']} {a['second']} {a['early']}" for a in got]
        answer.equal(pairs, alarms, asked=f"the alarms (first, second, early) {said}")
        answer.equal(found.get("late"), late, asked=f"the number of late events {said}")

# %% role="hidden" exercise="in-order"
with lab.check("in-order", hidden=True) as answer:
    answer.value("in_order")
    draw, delay = answer.random, answer.random.choice([10, 20, 30])
    numbers = draw.sample(range(100, 200), 80)
    events = [
        {
            "tail": draw.choice("ABC"),
            "flight": f"F{number}",
            "time": draw.randrange(1000, 1500, 5),
            "away": draw.randrange(1, 90),
        }
        for number in numbers
    ]
    lag = [0, 0, delay, delay + 5, delay + 10]
    events.sort(key=lambda event: event["time"] + draw.choice(lag))
    # The last two wait for a watermark that never comes.
    for flight, at in [("F200", 1501), ("F201", 1505)]:
        events.append({"tail": "A", "flight": flight, "time": at, "away": 9})
    used, newest = [], None
    for event in events:
        if newest is None or event["time"] > newest - delay:
            used.append(event)
            newest = event["time"] if newest is None else max(newest, event["time"])
    back, alarms = {}, []
    for event in sorted(used, key=lambda event: event["time"]):
        first, end = back.get(event["tail"], ("", 0))
        if event["time"] < end:
            alarms.append([first, event["flight"], end - event["time"]])
        back[event["tail"]] = event["flight"], event["time"] + event["away"]
    found = answer.call("in_order", events, delay)
    got = [[a["first"], a["second"], a["early"]] for a in found["alarms"]]
    answer.equal(
        got, alarms, asked=f"the alarms of 82 departures out of order, delay {delay}"
    )
    answer.equal(
        found["late"],
        len(events) - len(used),
        asked=f"how many of 82 come too late, delay {delay}",
    )

# %% [markdown] role="hint" exercise="in-order"
# Which of the waiting events may leave when the watermark has moved, and in which order?

# %% [markdown] role="hint" exercise="in-order"
# `heapq.heappush(waiting, (event["time"], number, event))` keeps the earliest in front; `number`, the order of arrival, decides between equal times. First ask whether
# the event is late, then move the watermark.

# %% [markdown] role="hint" exercise="in-order"
# ```python
# waiting, state, alarms, late, watermark = [], {}, [], 0, None
# for number, event in enumerate(events):
#     if ...:
#         late += 1
#         continue
#     heapq.heappush(waiting, (event["time"], number, event))
#     watermark = ...
#     while waiting and ...:
#         alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
# ...  # the end
# return {"alarms": [alarm for alarm in alarms if alarm], "late": late}
# ```


# %% role="right" exercise="in-order"
def in_order(events, delay):
    used, late, newest = [], 0, float("-inf")
    for event in events:
        if event["time"] <= newest - delay:
            late += 1
        else:
            used.append(event)
            newest = max(newest, event["time"])
    state = {}
    alarms = [too_soon(state, event) for event in sorted(used, key=lambda e: e["time"])]
    return {"late": late, "alarms": [alarm for alarm in alarms if alarm is not None]}


# %% role="wrong" exercise="in-order" misconception="Events come in the order in which they happen" caught="check" says="the alarms"
def in_order(events, delay):
    state, newest, late, alarms = {}, None, 0, []
    for event in events:
        if newest is not None and event["time"] <= newest - delay:
            late += 1
            continue
        newest = event["time"] if newest is None else max(newest, event["time"])
        alarms.append(too_soon(state, event))
    return {"alarms": [alarm for alarm in alarms if alarm], "late": late}


# %% role="wrong" exercise="in-order" misconception="Whatever comes is sorted in" caught="check" says="the alarms"
def in_order(events, delay):
    state = {}
    alarms = [
        too_soon(state, event) for event in sorted(events, key=lambda e: e["time"])
    ]
    return {"alarms": [alarm for alarm in alarms if alarm], "late": 0}


# %% role="wrong" exercise="in-order" misconception="Of two at one time, the name decides" caught="check" says="the alarms"
def in_order(events, delay):
    used, late, newest = [], 0, float("-inf")
    for event in events:
        if event["time"] <= newest - delay:
            late += 1
        else:
            used.append(event)
            newest = max(newest, event["time"])
    used.sort(key=lambda e: (e["time"], e["tail"], e["flight"]))
    state = {}
    alarms = [too_soon(state, event) for event in used]
    return {"alarms": [alarm for alarm in alarms if alarm], "late": late}


# %% [markdown] role="equivalent" exercise="in-order" reason="max of two numbers in another order"
# - watermark = mark if watermark is None else max(watermark, mark)
# + watermark = mark if watermark is None else max(mark, watermark)

# %% [markdown] role="equivalent" exercise="in-order" reason="What waits longer leaves in the same order"
# - while waiting and waiting[0][0] <= watermark:
# + while waiting and waiting[(-1)][0] <= watermark:

# %% [markdown] role="equivalent" exercise="in-order" reason="What waits longer leaves in the same order"
# - while waiting and waiting[0][0] <= watermark:
# + while waiting and waiting[0][0] < watermark:


# %% role="wrong" exercise="in-order" misconception="The watermark follows the last event" caught="check" says="with delay"
def in_order(events, delay):
    waiting, state, alarms, late, watermark = [], {}, [], 0, None
    for number, event in enumerate(events):
        if watermark is not None and event["time"] <= watermark:
            late += 1
            continue
        heapq.heappush(waiting, (event["time"], number, event))
        watermark = event["time"] - delay
        while waiting and waiting[0][0] <= watermark:
            alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
    while waiting:
        alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
    return {"alarms": [alarm for alarm in alarms if alarm], "late": late}


# %% role="wrong" exercise="in-order" misconception="What the watermark has not reached at the end never happened" caught="check" says="the alarms"
def in_order(events, delay):
    waiting, state, alarms, late, watermark = [], {}, [], 0, None
    for number, event in enumerate(events):
        if watermark is not None and event["time"] <= watermark:
            late += 1
            continue
        heapq.heappush(waiting, (event["time"], number, event))
        mark = event["time"] - delay
        watermark = mark if watermark is None else max(watermark, mark)
        while waiting and waiting[0][0] <= watermark:
            alarms.append(too_soon(state, heapq.heappop(waiting)[2]))
    return {"alarms": [alarm for alarm in alarms if alarm], "late": late}


# %%
for delay in (60, 180, 360):
    result = in_order(LATE, delay)
    if result:
        found = {(a["first"], a["second"]) for a in result["alarms"]}
        pairs = {(first, second) for first, second, _ in truth}
        print(
            f"delay {delay:>3}: {result['late']} late, {len(pairs - found)} missed, {len(found - pairs)} false"
        )
    else:
        print("not started")

# %% [markdown]
# A delay of six hours finds all, six hours later. In SQL, the same is `WATERMARK FOR ts AS ts - INTERVAL '6' HOUR`.

# %% [markdown] topics=["4.3-5"]
# ## A pattern in SQL
#
# The standard SQL:2016 has a clause for patterns, `MATCH_RECOGNIZE`; Flink, Oracle, Snowflake and Trino know it. A *pattern* is a
# regular expression over rows: its letters are variables, and `DEFINE` says which row may be which.
#
# | Part | Says |
# |---|---|
# | `PARTITION BY`, `ORDER BY` | the key; the order, in Flink by event time |
# | `PATTERN (A B{4,} C)` | `*`, `+`, `?`, `{n,m}` repeat, as much as possible; with `?` behind, as little |
# | `WITHIN INTERVAL '4' HOUR` | the whole match takes less than that (an addition of Flink's) |
# | `DEFINE` | a condition for each variable; `LAST(B.delay, 1)` is the `B` before this one |
# | `MEASURES` | what a match gives |
# | `AFTER MATCH` | the skip strategy |
#
# Rows of a match are *neighbours*: a row in between that fits no variable ends the attempt. The watermark below is a thousandth of a second behind:
# with `WATERMARK FOR ts AS ts`, the second of two events at one instant would be late, and dropped.


# %%
flink = service("flink")
sql = flink.client()


def match(rows, query, table="departures"):
    """Give Flink rows (dictionaries with a datetime `ts`) as a table; the query's rows."""
    kinds = {str: "STRING", int: "INT", datetime: "TIMESTAMP(3)"}
    columns = ", ".join(
        f"{name} {kinds[type(value)]}" for name, value in rows[0].items()
    )
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            json.dumps(row, default=lambda t: f"{t:%Y-%m-%d %H:%M:%S}") for row in rows
        ]
        Path(folder, "rows.json").write_text("\n".join(lines), encoding="utf-8")
        sql.sql(f"DROP TEMPORARY TABLE IF EXISTS {table}")
        sql.sql(
            f"CREATE TEMPORARY TABLE {table} ({columns}, WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND) WITH "
            f"('connector' = 'filesystem', 'path' = 'file://{folder}', 'format' = 'json')"
        )
        return sorted(sql.sql(query), key=str)


rows = [
    {"line": f"{row.carrier} at {row.origin}", "delay": int(row.dep_delay)}
    | {"ts": (row.time_hour + pd.Timedelta(minutes=row.minute)).to_pydatetime()}
    for row in DAY.itertuples()
]
GROWS = """
    SELECT line, first_delay, last_delay, n FROM departures MATCH_RECOGNIZE (
        PARTITION BY line ORDER BY ts
        MEASURES A.delay AS first_delay, LAST(B.delay) AS last_delay, COUNT(B.delay) AS n
        AFTER MATCH SKIP PAST LAST ROW
        PATTERN (A B{4,} C)
        DEFINE
            B AS B.delay > COALESCE(LAST(B.delay, 1), A.delay),
            C AS C.delay <= LAST(B.delay)
    )
"""
for found in match(rows, GROWS):
    print("{}: from {} to {} minutes, growing {} times".format(*found))

# %% [markdown]
# Why the `C`? In a stream, `B{4,}` cannot know that it is over until a row comes
# that is no `B`. Flink refuses a pattern that ends with a greedy repetition.


# %%
def stranded(scans):
    """Passenger, time of landing and of closing, by your query; scans in any order."""
    ordered = sorted(scans, key=lambda scan: scan["ts"])
    names = ("passenger", "landed", "closed")
    return [
        dict(zip(names, row, strict=True)) for row in match(ordered, missed(), "scans")
    ]


# %% [markdown] role="task" exercise="missed" points=3 topics=["4.3-5"]
# ### Missed connections
#
# Passengers are scanned: the table `scans` has `passenger`, `kind` and `ts` (event time). Kinds are `landed`, `boarded`, `closed` (the gate of the
# connection) and others, such as `shop`.
#
# Write `missed()`, which returns a query. A connection is missed when a passenger has landed, and later the gate is closed, with no
# `boarded` and no other `landed` in between, less than 4 hours after landing. Any number of other scans may lie in between.
#
# The query gives `passenger`, `landed` and `closed` (both `ts`), a row for each missed connection.
#
# Example: landed 10:00, shop 10:20, closed 10:45 is missed; with boarded at 10:40 it is not.
#
# Why: a hotel room is cheap at eleven, and not to be had at midnight.


# %% role="answer" exercise="missed" dialect="none"
def missed() -> str:
    """A query for missed connections."""
    ### BEGIN SOLUTION
    return """
        SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
            PARTITION BY passenger ORDER BY ts
            MEASURES L.ts AS landed, C.ts AS closed
            AFTER MATCH SKIP PAST LAST ROW
            PATTERN (L N* C) WITHIN INTERVAL '4' HOUR
            DEFINE
                L AS L.kind = 'landed',
                N AS N.kind NOT IN ('landed', 'boarded', 'closed'),
                C AS C.kind = 'closed'
        )
    """
    ### END SOLUTION


# %% role="check" exercise="missed"
with lab.check("missed") as answer:
    script = (
        "Ada: landed 10:00, shop 10:20, closed 10:45; Ben: landed 10:00, boarded 10:40, closed 10:45; "
        "Cem: landed 08:00, closed 12:00; Dan: landed 08:00, closed 11:59; "
        "Eva: landed 09:00, boarded 09:30, landed 10:10, lounge 10:20, shop 10:30, closed 10:50; "
        "Fay: landed 10:00, closed 10:30, closed 10:40; Gil: closed 10:00, landed 10:05; "
        "Hal: landed 09:00, landed 10:00, closed 10:30"
    )
    scans = [
        {
            "passenger": who,
            "kind": kind,
            "ts": datetime.fromisoformat(f"2013-07-10T{clock}Z"),
        }
        for who, text in (part.split(": ") for part in script.split("; "))
        for kind, clock in map(str.split, text.split(", "))
    ]
    answer.value("missed")
    answer.same_rows(
        answer.call("stranded", scans),
        [
            {
                "passenger": who,
                "landed": f"2013-07-10T{a}:00",
                "closed": f"2013-07-10T{b}:00",
            }
            for who, a, b in [
                ("Ada", "10:00", "10:45"),
                ("Dan", "08:00", "11:59"),
                ("Eva", "10:10", "10:50"),
                ("Fay", "10:00", "10:30"),
                ("Hal", "10:00", "10:30"),
            ]
        ],
        key=["passenger"],
        asked=f"the missed connections of {script}",
    )

# %% role="hidden" exercise="missed"
with lab.check("missed", hidden=True) as answer:
    answer.value("missed")
    draw, scans, expected = answer.random, [], []
    midnight = datetime(2013, 12, 31, 22, tzinfo=UTC)
    for number in range(30):
        who, minute, landed = f"P{number}", 0, None
        for _ in range(8):
            kind = draw.choice(["landed", "boarded", "closed", "shop", "bar"])
            minute += draw.choice([1, 30, 119, 121])
            scans.append(
                {
                    "passenger": who,
                    "kind": kind,
                    "ts": midnight + timedelta(minutes=minute),
                }
            )
            if kind == "closed" and landed is not None and minute - landed < 240:
                ends = (midnight + timedelta(minutes=m) for m in (landed, minute))
                names = ("passenger", "landed", "closed")
                row = (who, *(f"{end:%Y-%m-%dT%H:%M:%S}" for end in ends))
                expected.append(dict(zip(names, row, strict=True)))
            if kind in ("landed", "boarded", "closed"):
                landed = minute if kind == "landed" else None
    answer.same_rows(
        answer.call("stranded", scans),
        expected,
        asked="the missed connections of 30 passengers around midnight",
    )

# %% [markdown] role="hint" exercise="missed"
# Which rows may stand between the landing and the closing? What happens to the pattern `(L C)` when somebody buys a newspaper?

# %% [markdown] role="hint" exercise="missed"
# Name the rows in between with a third variable and repeat it with `*`. Its condition says what must *not* be in between. `MEASURES L.ts AS landed`
# gives the columns.

# %% [markdown] role="hint" exercise="missed"
# ```sql
# SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
#     PARTITION BY ... ORDER BY ts
#     MEASURES ...
#     AFTER MATCH SKIP PAST LAST ROW
#     PATTERN (L ... C) WITHIN ...
#     DEFINE
#         L AS L.kind = 'landed',
#         ...
# )
# ```


# %% role="right" exercise="missed"
def missed():
    return """
        SELECT person AS passenger, since AS landed, until AS closed
        FROM (SELECT passenger AS person, kind, ts FROM scans)
        MATCH_RECOGNIZE (
            PARTITION BY person ORDER BY ts
            MEASURES FIRST(A.ts) AS since, LAST(Z.ts) AS until
            ONE ROW PER MATCH
            AFTER MATCH SKIP TO NEXT ROW
            PATTERN (A B*? Z) WITHIN INTERVAL '240' MINUTE(3)
            DEFINE
                A AS kind = 'landed',
                B AS kind <> 'landed' AND kind <> 'boarded' AND kind <> 'closed',
                Z AS kind = 'closed'
        ) AS found
    """


# %% role="wrong" exercise="missed" misconception="L C means: C some time after L" caught="check" says="missing"
def missed():
    return """
        SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
            PARTITION BY passenger ORDER BY ts
            MEASURES L.ts AS landed, C.ts AS closed
            AFTER MATCH SKIP PAST LAST ROW
            PATTERN (L C) WITHIN INTERVAL '4' HOUR
            DEFINE L AS L.kind = 'landed', C AS C.kind = 'closed'
        )
    """


# %% role="wrong" exercise="missed" misconception="What lies in between does not matter" caught="check" says="row"
def missed():
    return """
        SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
            PARTITION BY passenger ORDER BY ts
            MEASURES L.ts AS landed, C.ts AS closed
            AFTER MATCH SKIP PAST LAST ROW
            PATTERN (L N* C) WITHIN INTERVAL '4' HOUR
            DEFINE L AS L.kind = 'landed', N AS N.kind <> 'closed', C AS C.kind = 'closed'
        )
    """


# %% role="wrong" exercise="missed" misconception="A pattern ends by itself" caught="check" says="should not be there"
def missed():
    return """
        SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
            PARTITION BY passenger ORDER BY ts
            MEASURES L.ts AS landed, C.ts AS closed
            AFTER MATCH SKIP PAST LAST ROW
            PATTERN (L N* C)
            DEFINE
                L AS L.kind = 'landed',
                N AS N.kind NOT IN ('landed', 'boarded', 'closed'),
                C AS C.kind = 'closed'
        )
    """


# %% role="wrong" exercise="missed" misconception="All rows are one sequence" caught="check" says="row"
def missed():
    return """
        SELECT passenger, landed, closed FROM scans MATCH_RECOGNIZE (
            ORDER BY ts
            MEASURES L.passenger AS passenger, L.ts AS landed, C.ts AS closed
            AFTER MATCH SKIP PAST LAST ROW
            PATTERN (L N* C) WITHIN INTERVAL '4' HOUR
            DEFINE
                L AS L.kind = 'landed',
                N AS N.kind NOT IN ('landed', 'boarded', 'closed'),
                C AS C.kind = 'closed'
        )
    """


# %% [markdown] topics=["4.3-5"]
# ## Break it: the worker dies in the middle of a match
#
# A pattern that is half matched is state, too. The job below watches a folder; each file is a batch of scans. You let a passenger land, kill
# Flink's worker, start another one, and then close the gate.
#
# **Predict:** is the connection found?

# %%
WATCH = """
    CREATE TEMPORARY TABLE scans (passenger STRING, kind STRING, ts TIMESTAMP(3),
        WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND)
    WITH ('connector' = 'filesystem', 'path' = 'file://{inbox}', 'format' = 'json',
        'source.monitor-interval' = '100 ms')
"""
REPORT = """
    CREATE TEMPORARY TABLE report (passenger STRING, landed TIMESTAMP(3), closed TIMESTAMP(3))
    WITH ('connector' = 'filesystem', 'path' = 'file://{outbox}', 'format' = 'json',
        'sink.rolling-policy.inactivity-interval' = '1 s',
        'sink.rolling-policy.check-interval' = '1 s')
"""


def drop(inbox, number, text):
    """Put a file of scans into the folder, under its name only when it is whole."""
    rows = [
        dict(zip(("passenger", "kind", "ts"), line.split(" ", 2), strict=True))
        for line in text.split("; ")
    ]
    part = Path(inbox, f".{number}.part")
    part.write_text("\n".join(json.dumps(row) for row in rows))
    part.replace(Path(inbox, f"{number}.json"))


def ask(path):
    """What the job manager says."""
    return requests.get(f"{flink.url}/jobs/{path}", timeout=10).json()


def read_rows(job):
    """How many rows the job's source has read."""
    source = ask(job)["vertices"][0]["metrics"]
    return source["write-records"] or 0


def checkpoints(job):
    """How many checkpoints of a job are complete."""
    return ask(f"{job}/checkpoints")["counts"]["completed"]


def reported(outbox):
    """The rows that are committed in the report's folder."""
    files = [
        p for p in Path(outbox).rglob("*") if p.is_file() and p.name[0] not in "._"
    ]
    return [json.loads(line) for p in files for line in p.read_text().splitlines()]


if missed() is None:
    print("not started")
else:
    with (
        tempfile.TemporaryDirectory() as inbox,
        tempfile.TemporaryDirectory() as outbox,
        flink.client() as session,
    ):
        session.sql(WATCH.format(inbox=inbox))
        session.sql(REPORT.format(outbox=outbox))
        job = session.sql(f"INSERT INTO report {missed()}")[0][0]
        drop(inbox, 1, "Ada landed 2013-07-10 10:00:00; Ben shop 2013-07-10 10:01:00")
        flink.wait(lambda: read_rows(job), lambda rows: rows >= 2)
        done = checkpoints(job)
        flink.wait(lambda: checkpoints(job), lambda now: now > done + 1)
        flink.kill("taskmanager")
        flink.restart("taskmanager")
        drop(inbox, 2, "Ada closed 2013-07-10 10:45:00")
        drop(inbox, 3, "Eva shop 2013-07-10 23:00:00")
        flink.wait(lambda: len(reported(outbox)), lambda rows: rows >= 1)
        for row in reported(outbox):
            print("after the crash:", row)
        requests.patch(f"{flink.url}/jobs/{job}?mode=cancel", timeout=10)
        flink.wait(lambda: ask(job)["state"], lambda state: state == "CANCELED")

# %% [markdown]
# It is: the half match lay in the checkpoint. The third file is there for the *time*: by event time, nothing is decided before the watermark has
# passed it.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | find a sequence | state for each key, bounded by time |
# | choose a skip strategy | one ticket or three |
# | write a pattern | rows are neighbours; name what may lie between |
# | see what did not happen | a timer in event time, rung by the watermark |
# | trust the order | sort up to the watermark, then match |
#
# **New words.** *Complex event processing*, *pattern*, *skip strategy*, *greedy*: as much as possible. *Timer*: a call at a time. *Absence*: an
# event that did not come in time.
#
# **Read on.** ISO/IEC 19075-5, *Row pattern recognition* (2021). Apache Flink documentation, "Pattern Recognition" (2026). D. Luckham, *The Power of
# Events* (2002).

# %%
lab.close()
