# %% [markdown] minutes=60 datasets=["departure-events"] systems=[]
# # Event time: windows and watermarks
#
# The delay board blames the wrong hour, and the stream has fewer flights than billing. You build a small
# windowed aggregator whose answer is that of the nightly batch, and that says what it left out.

# %% [markdown]
# ## You will be able to
#
# - put an event into its windows, in every time zone (exercise 1)
# - keep sessions that a late event joins (exercise 2)
# - compute a watermark that no silent source holds back (exercise 3)
# - say what becomes of each late event (exercise 4)
# - read results that come in several panes (exercise 5)
# - drop repeats with bounded memory (exercise 6)
# - survive a crash with the same effect (exercise 7)
# - build the whole aggregator (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: dictionaries, functions | every answer is one |
# | the lab *Batch and stream* | freshness, offsets and *idempotent* come from there |
#
# You build a *model* of what stream engines do inside; the next labs ask the engines the same question, about
# the same events. Flights and delays are real, arrival times invented.

# %% role="setup"
import itertools
import json
import statistics
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt

from labkit import dataset, open_lab, picture

lab = open_lab("04-3-processing/01-event-time")
lab

# %%
MIDNIGHT = datetime(2013, 7, 10, 4, tzinfo=UTC)  # in New York


def minute(moment):
    """Full minutes since midnight."""
    return (moment - MIDNIGHT) // timedelta(minutes=1)


def clock(minutes):
    """Minutes since midnight as a time of day, with +1 for the next day."""
    days, rest = divmod(minutes, 1440)
    return f"{rest // 60:02}:{rest % 60:02}" + (f" +{days}" if days else "")


EVENTS = [
    {"id": row["event"], "origin": row["origin"], "delay": row["delay"]}
    | {"time": minute(row["departed"]), "arrived": minute(row["arrived"])}
    for row in dataset("departure-events").arrow().to_pylist()
]
first = {}
for event in EVENTS:
    first.setdefault(event["id"], event)
FIRST = [*first.values()]  # without repeats
print(len(EVENTS), "events in order of arrival,", len(FIRST), "departures")
print(EVENTS[400])

# %% [markdown] topics=["4.3-1"]
# ## The wrong hour
#
# An event has two clocks. *Event time* is when it happened: `time`, the departure. *Processing time* is
# when it reached you: `arrived`. The board shows the mean delay by airport and hour of arrival.
#
# **Predict:** most events arrive within half a minute. Where is the board wrong most?


# %%
def hourly(clock_name):
    """Departures and mean delay, by airport and hour of one of the two clocks."""
    groups = defaultdict(list)
    for event in FIRST:
        groups[event["origin"], event[clock_name] // 60 * 60].append(event["delay"])
    return {key: (len(d), round(statistics.mean(d))) for key, d in groups.items()}


happened, arrived = hourly("time"), hourly("arrived")
wrong = sorted(k for k in happened | arrived if happened.get(k) != arrived.get(k))
print(len(wrong), "of", len(happened | arrived), "cells are wrong, among them")
for key in [("EWR", 18 * 60), ("LGA", 22 * 60), ("JFK", 29 * 60)]:
    print(key[0], clock(key[1]), happened.get(key), "- the board:", arrived.get(key))

# %% [markdown]
# At five in the morning nobody departed from JFK. A message came six hours late, and raised an alarm about an
# empty runway.
#
# A *window* is a span of event time, with its start, without its end. *Hopping* windows begin every `hop` minutes
# and are `size` minutes long. Where both are equal, they *tumble*: each begins where the last one ends. Engines
# count the starts from 1970 in UTC, whatever zone an event is written in.

# %% [markdown] role="task" exercise="windows" points=3 topics=["4.3-1"]
# ### Which windows?
#
# Write `windows(departed, size, hop)`. `departed` is a text in ISO 8601 with an offset; `size` and `hop` are
# whole minutes. A window begins at each multiple of `hop` minutes since 1970-01-01T00:00Z.
#
# Return the starts of all windows that contain the moment, as datetimes with a zone, the earliest first. With a
# hop larger than the size there may be none.
#
# Example: `windows("2013-07-10T10:05:00-04:00", 60, 30)` gives 13:30 and 14:00 in UTC.
#
# Why: partners write local times, and not all zones differ by whole hours.


# %% role="answer" exercise="windows"
def windows(departed: str, size: int, hop: int) -> list[datetime]:
    """The starts of the windows that contain a moment."""
    ### BEGIN SOLUTION
    moment = int(datetime.fromisoformat(departed).timestamp() // 60)
    starts = range(moment // hop * hop, moment - size, -hop)
    return [datetime.fromtimestamp(60 * start, UTC) for start in reversed(starts)]
    ### END SOLUTION


# %% role="check" exercise="windows"
with lab.check("windows") as answer:
    for departed, size, hop, expected in [
        ("2013-07-10T10:05:00-04:00", 60, 60, ["2013-07-10T14:00Z"]),
        ("2013-07-10T10:00:00-04:00", 60, 60, ["2013-07-10T14:00Z"]),
        ("2013-07-10T19:40:00+05:30", 60, 60, ["2013-07-10T14:00Z"]),
        ("2013-11-03T01:30:00-04:00", 60, 60, ["2013-11-03T05:00Z"]),
        ("2013-11-03T01:30:00-05:00", 60, 60, ["2013-11-03T06:00Z"]),
        ("2013-07-10T21:00:00-04:00", 1440, 1440, ["2013-07-11T00:00Z"]),
        (
            "2013-07-10T14:29:30Z",
            60,
            30,
            ["2013-07-10T13:30Z", "2013-07-10T14:00Z"],
        ),
        (
            "2013-07-10T14:30:00Z",
            50,
            20,
            ["2013-07-10T14:00Z", "2013-07-10T14:20Z"],
        ),
        ("2013-07-10T14:25:00Z", 20, 30, []),
    ]:
        answer.equal(
            answer.call("windows", departed, size, hop),
            [datetime.fromisoformat(start) for start in expected],
            asked=f"the starts of all windows of {size} minutes, one each {hop} minutes, "
            f"that contain {departed}",
        )

# %% role="hidden" exercise="windows"
with lab.check("windows", hidden=True) as answer:
    for offset in ("+05:45", "-03:30", "+00:00"):
        size, hop = answer.random.choice([(7, 7), (50, 7), (45, 11)])
        second = answer.random.randrange(-(10**6), 10**9)
        expected = [
            datetime.fromtimestamp(start, UTC)
            for start in range((second // 60 - 99) * 60, second + 1, 60)
            if start % (60 * hop) == 0 and start <= second < start + 60 * size
        ]
        zone = datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo
        departed = datetime.fromtimestamp(second, zone).isoformat()
        answer.equal(
            answer.call("windows", departed, size, hop),
            expected,
            asked=f"the windows of {size} minutes, one each {hop} minutes, of {departed}",
        )
    answer.equal(
        answer.call("windows", "1969-12-31T23:59:30+00:00", 60, 60),
        [datetime(1969, 12, 31, 23, tzinfo=UTC)],
        asked="the window of an hour that contains 1969-12-31T23:59:30+00:00",
    )

# %% [markdown] role="hint" exercise="windows"
# Which number is the same for one moment, in whatever zone it is written? What is the last start that is not
# after the moment, and how far back may a start be?

# %% [markdown] role="hint" exercise="windows"
# `datetime.fromisoformat(…).timestamp()` counts seconds since 1970 in UTC. `//` rounds down. `range` takes a
# negative step.

# %% [markdown] role="hint" exercise="windows"
# ```python
# moment = int(datetime.fromisoformat(departed).timestamp() // 60)
# starts = range(..., ..., -hop)
# return [datetime.fromtimestamp(60 * start, UTC) for start in reversed(starts)]
# ```


# %% role="right" exercise="windows"
def windows(departed, size, hop):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment = datetime.fromisoformat(departed)
    start = epoch + (moment - epoch) // timedelta(minutes=hop) * timedelta(minutes=hop)
    found = []
    while start + timedelta(minutes=size) > moment:
        found.insert(0, start)
        start -= timedelta(minutes=hop)
    return found


# %% role="right" exercise="windows"
def windows(departed, size, hop):
    import pandas as pd

    moment = pd.Timestamp(departed).tz_convert("UTC")
    last = pd.Timestamp(
        (moment.timestamp() // (60 * hop)) * 60 * hop, unit="s", tz="UTC"
    )
    starts = [last - pd.Timedelta(minutes=n * hop) for n in range(size // hop + 1)]
    return [s for s in starts[::-1] if moment < s + pd.Timedelta(minutes=size)]


# %% role="wrong" exercise="windows" misconception="Hours begin when my clock says so" caught="check" says="2013-07-10T19:40:00+05:30"
def windows(departed, size, hop):
    local = datetime.fromisoformat(departed)
    moment = local.hour * 60 + local.minute
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = range(moment // hop * hop, moment - size, -hop)
    return [
        (midnight + timedelta(minutes=start)).astimezone(UTC)
        for start in reversed(starts)
    ]


# %% role="wrong" exercise="windows" misconception="The offset is decoration" caught="check" says="2013-07-10T10:05:00-04:00"
def windows(departed, size, hop):
    local = datetime.fromisoformat(departed).replace(tzinfo=UTC)
    moment = int(local.timestamp() // 60)
    starts = range(moment // hop * hop, moment - size, -hop)
    return [datetime.fromtimestamp(60 * start, UTC) for start in reversed(starts)]


# %% role="wrong" exercise="windows" misconception="A day of the data is a day of the airport" caught="check" says="2013-07-10T21:00:00-04:00"
def windows(departed, size, hop):
    moment = int(datetime.fromisoformat(departed).timestamp() // 60) - 240
    starts = range(moment // hop * hop, moment - size, -hop)
    return [
        datetime.fromtimestamp(60 * (start + 240), UTC) for start in reversed(starts)
    ]


# %% role="wrong" exercise="windows" misconception="Each event has one window" caught="check" says="2013-07-10T14:29:30Z"
def windows(departed, size, hop):
    moment = int(datetime.fromisoformat(departed).timestamp() // 60)
    return [datetime.fromtimestamp(60 * (moment // size * size), UTC)]


# %% role="wrong" exercise="windows" misconception="Each event has size divided by hop windows" caught="check" says="windows of 50 minutes"
def windows(departed, size, hop):
    moment = int(datetime.fromisoformat(departed).timestamp() // 60)
    last = moment // hop * hop
    count = -(-size // hop)
    starts = [last - n * hop for n in range(count)]
    return [datetime.fromtimestamp(60 * start, UTC) for start in reversed(starts)]


# %% role="wrong" exercise="windows" misconception="A window contains its end" caught="check" says="2013-07-10T10:00:00-04:00"
def windows(departed, size, hop):
    moment = int(datetime.fromisoformat(departed).timestamp() // 60)
    starts = range(moment // hop * hop, moment - size - 1, -hop)
    return [datetime.fromtimestamp(60 * start, UTC) for start in reversed(starts)]


# %% role="wrong" exercise="windows" misconception="Windows are counted from midnight" caught="hidden" says="one each"
def windows(departed, size, hop):
    there = datetime.fromisoformat(departed).astimezone(UTC)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
    moment = there.hour * 60 + there.minute
    starts = range(moment // hop * hop, moment - size, -hop)
    return [midnight + timedelta(minutes=start) for start in reversed(starts)]


# %% [markdown] topics=["4.3-1"]
# ## Windows that follow the events
#
# How long is an airport busy without a pause? A *session* ends when `gap` minutes pass without an event. A
# stream *merges* sessions: an event alone is one, from its time to its time plus the gap, and joins what it
# overlaps.
#
# **Predict:** departures at 10:00, 10:12 and 10:24, with a gap of 15; the second arrives last. How many
# sessions are there before, how many after?

# %% [markdown] role="task" exercise="add" points=2 topics=["4.3-1"]
# ### Keep sessions
#
# Write `add(sessions, time, gap)`. `sessions` is a list of dictionaries with `start`, `end` (in minutes) and
# `events`, their number; no two overlap. The new event's session goes from `time` to `time + gap`. Merge it with
# all that it overlaps; touching is not overlapping.
#
# Return the new list, in the order of `start`.
#
# Example, with a gap of 15: 612, added to sessions from 600 to 615 and from 624 to 639, of one event each, leaves
# one from 600 to 639 of 3 events.
#
# Why: a late event changes sessions that were already reported.


# %% role="answer" exercise="add"
def add(sessions: list[dict], time: int, gap: int) -> list[dict]:
    """The sessions after one more event."""
    ### BEGIN SOLUTION
    merged = {"start": time, "end": time + gap, "events": 1}
    found = []
    for session in sessions:
        if session["start"] < time + gap and time < session["end"]:
            merged["start"] = min(merged["start"], session["start"])
            merged["end"] = max(merged["end"], session["end"])
            merged["events"] += session["events"]
        else:
            found.append(session)
    return sorted([*found, merged], key=lambda session: session["start"])
    ### END SOLUTION


# %% role="check" exercise="add"
with lab.check("add") as answer:
    names = ("start", "end", "events")
    for sessions, time, expected in [
        ([], 600, [(600, 615, 1)]),
        ([(600, 615, 1)], 612, [(600, 627, 2)]),
        ([(600, 627, 2)], 605, [(600, 627, 3)]),
        ([(600, 615, 1)], 590, [(590, 615, 2)]),
        ([(600, 615, 1)], 615, [(600, 615, 1), (615, 630, 1)]),
        ([(600, 615, 1)], 585, [(585, 600, 1), (600, 615, 1)]),
        ([(600, 615, 1), (624, 639, 2)], 612, [(600, 639, 4)]),
        (
            [(600, 615, 1), (700, 750, 4), (900, 915, 1)],
            720,
            [(600, 615, 1), (700, 750, 5), (900, 915, 1)],
        ),
    ]:
        answer.equal(
            answer.call(
                "add", [dict(zip(names, s, strict=True)) for s in sessions], time, 15
            ),
            [dict(zip(names, s, strict=True)) for s in expected],
            asked=f"sessions after {time} is added to {sessions} (start, end, events), "
            "with a gap of 15",
        )

# %% role="hidden" exercise="add"
with lab.check("add", hidden=True) as answer:
    for gap in (3, 10):
        times = [answer.random.randrange(-99, 300) for _ in range(40)]
        found, expected = [], []
        for time in times:
            found = answer.call("add", found, time, gap)
        for time in sorted(times):
            if expected and time < expected[-1]["end"]:
                expected[-1]["end"] = time + gap
                expected[-1]["events"] += 1
            else:
                expected.append({"start": time, "end": time + gap, "events": 1})
        answer.equal(
            found,
            expected,
            asked=f"the sessions after 40 events in any order, with a gap of {gap}",
        )

# %% [markdown] role="hint" exercise="add"
# How many sessions can one event overlap? Can it move a start as well as an end?

# %% [markdown] role="hint" exercise="add"
# Two spans overlap if each begins before the other ends. Sort what is left and what was merged with `sorted` and
# a `key`.

# %% [markdown] role="hint" exercise="add"
# ```python
# merged = {"start": time, "end": time + gap, "events": 1}
# found = []
# for session in sessions:
#     if ... and ...:
#         merged["start"] = ...
#         merged["end"] = ...
#         merged["events"] += ...
#     else:
#         found.append(session)
# return sorted(...)
# ```


# %% role="right" exercise="add"
def add(sessions, time, gap):
    touched = [s for s in sessions if s["end"] > time and s["start"] - gap < time]
    rest = [s for s in sessions if s not in touched]
    whole = {
        "events": 1 + sum(s["events"] for s in touched),
        "end": max([time + gap, *(s["end"] for s in touched)]),
        "start": min([time, *(s["start"] for s in touched)]),
    }
    place = sum(s["start"] < whole["start"] for s in rest)
    return [*rest[:place], whole, *rest[place:]]


# %% [markdown] role="equivalent" exercise="add" reason="the larger and the smaller of two do not depend on their order"
# - merged["start"] = min(merged["start"], session["start"])
# + merged["start"] = min(session["start"], merged["start"])
#
# - merged["end"] = max(merged["end"], session["end"])
# + merged["end"] = max(session["end"], merged["end"])


# %% role="wrong" exercise="add" misconception="Events come in order, so only the last session can grow" caught="check" says="after 605 is added"
def add(sessions, time, gap):
    if sessions and time < sessions[-1]["end"]:
        last = sessions[-1]
        last = {**last, "end": time + gap, "events": last["events"] + 1}
        return [*sessions[:-1], last]
    return [*sessions, {"start": time, "end": time + gap, "events": 1}]


# %% role="wrong" exercise="add" misconception="An event belongs to one session, and joins no two" caught="check" says="after 612 is added to [(600, 615, 1), (624, 639, 2)]"
def add(sessions, time, gap):
    found = [dict(session) for session in sessions]
    for session in found:
        if session["start"] < time + gap and time < session["end"]:
            session["start"] = min(session["start"], time)
            session["end"] = max(session["end"], time + gap)
            session["events"] += 1
            return found
    new = {"start": time, "end": time + gap, "events": 1}
    return sorted([*found, new], key=lambda session: session["start"])


# %% role="wrong" exercise="add" misconception="A session only grows at its end" caught="check" says="after 590 is added"
def add(sessions, time, gap):
    merged = {"start": time, "end": time + gap, "events": 1}
    found = []
    for session in sessions:
        if session["start"] <= time < session["end"]:
            merged["start"] = session["start"]
            merged["end"] = max(merged["end"], session["end"])
            merged["events"] += session["events"]
        else:
            found.append(session)
    return sorted([*found, merged], key=lambda session: session["start"])


# %% role="wrong" exercise="add" misconception="Touching is overlapping" caught="check" says="after 615 is added"
def add(sessions, time, gap):
    merged = {"start": time, "end": time + gap, "events": 1}
    found = []
    for session in sessions:
        if session["start"] <= time + gap and time <= session["end"]:
            merged["start"] = min(merged["start"], session["start"])
            merged["end"] = max(merged["end"], session["end"])
            merged["events"] += session["events"]
        else:
            found.append(session)
    return sorted([*found, merged], key=lambda session: session["start"])


# %% role="wrong" exercise="add" misconception="A new session is the latest one" caught="check" says="after 585 is added"
def add(sessions, time, gap):
    merged = {"start": time, "end": time + gap, "events": 1}
    found = []
    for session in sessions:
        if session["start"] < time + gap and time < session["end"]:
            merged["start"] = min(merged["start"], session["start"])
            merged["end"] = max(merged["end"], session["end"])
            merged["events"] += session["events"]
        else:
            found.append(session)
    return [*found, merged]


# %%
sessions = []
for event in FIRST:
    if event["origin"] == "LGA":
        before = len(sessions)
        sessions = add(sessions, event["time"], 15) or []
        if len(sessions) < before:
            print(
                f"{clock(event['time'])} arrives {clock(event['arrived'])}: joins two"
            )
for session in sorted(sessions, key=lambda s: s["start"] - s["end"])[:3]:
    span = f"{clock(session['start'])} to {clock(session['end'])}"
    print(f"LGA is busy from {span} with {session['events']} departures")

# %% [markdown] topics=["4.3-1"]
# ## When is an hour complete?
#
# A batch is *bounded*: it has an end, and then all is there. A stream is *unbounded*: when is the window from
# 14:00 to 15:00 complete?
#
# A *watermark* is a moment in event time, and a guess: what is before it has arrived. Usually it is the newest
# event so far, minus a fixed `delay`. A window *fires*, and shows its result, when the watermark reaches its end.
#
# How far behind the newest event do events arrive?

# %%
newest = itertools.accumulate((event["time"] for event in EVENTS), max)
behind = [most - event["time"] for most, event in zip(newest, EVENTS, strict=True)]
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.scatter([e["arrived"] / 60 for e in EVENTS], behind, s=9, color="tab:blue")
for delay in (10, 60):
    axes.axhline(delay, color="tab:red", linewidth=1)
    axes.text(30.2, delay, f"delay {delay}", va="center", color="tab:red")
axes.set_yscale("symlog", linthresh=5)
axes.set(xlabel="arrival, hours since midnight", ylabel="minutes behind the newest")
axes.set(ylim=(-0.5, 600), xlim=(4, 30))
axes.set_yticks([0, 5, 10, 60, 360], ["0", "5", "10", "60", "360"])
for delay in (0, 10, 60):
    print(
        f"delay {delay:>2}: {sum(b > delay for b in behind)} come after the watermark"
    )
picture(
    figure,
    alt="How far each event is behind the newest one when it arrives, on a logarithmic scale: most "
    "points lie at 0, some dozens between 5 and 60, and about a dozen above 180.",
)

# %% [markdown]
# Each airport writes to its own *partition*. One may be slower than the others, so the watermark of all is the
# *smallest* of theirs. A silent one holds back all; so an engine calls it *idle* after a while, and does without it.

# %% [markdown] role="task" exercise="watermarks" points=3 topics=["4.3-1"]
# ### A watermark for several sources
#
# Write `watermarks(events, airports, delay, idle)`. `events` come in order of arrival and have `origin`, `time` and
# `arrived`. `airports` names all sources.
#
# - A source's own watermark is its largest `time` so far, this event included, minus `delay`.
# - When an event arrives, a source is idle if its last one arrived *more* than `idle` minutes before. One that has
#   sent nothing counts from the arrival of the first event of all.
# - The watermark is the smallest of all sources that are not idle. While one of these has sent nothing, it stays
#   what it was, `None` at first.
# - It never goes back.
#
# Return the watermark after each event, as a list.
#
# Example, with EWR and JFK, delay 5 and idle 30: EWR at 100, EWR at 104, JFK at 90 give `None`, `None`, 85.
#
# Why: one dead sensor stops every board, and nothing reports an error.


# %% role="answer" exercise="watermarks"
def watermarks(
    events: list[dict], airports: list[str], delay: int, idle: int
) -> list[int | None]:
    """The watermark after each event."""
    ### BEGIN SOLUTION
    newest, heard, mark, found = {}, {}, None, []
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        heard[origin] = now
        active = [
            airport
            for airport in airports
            if now - heard.get(airport, events[0]["arrived"]) <= idle
        ]
        if all(airport in newest for airport in active):
            low = min(newest[airport] for airport in active) - delay
            mark = low if mark is None else max(mark, low)
        found.append(mark)
    return found
    ### END SOLUTION


# %% role="check" exercise="watermarks"
with lab.check("watermarks") as answer:
    both = [
        ("EWR", 100, 100, None),
        ("EWR", 104, 105, None),
        ("JFK", 90, 106, 85),
        ("JFK", 80, 107, 85),
        ("JFK", 110, 110, 99),
        ("JFK", 114, 115, 99),
        ("JFK", 115, 116, 110),
        ("EWR", 108, 117, 110),
        ("EWR", 130, 118, 110),
        ("JFK", 140, 119, 125),
    ]
    alone = [("EWR", 99, 100, None), ("EWR", 110, 110, None), ("EWR", 110, 111, 105)]
    for script in (both, alone):
        names = ("origin", "time", "arrived")
        events = [dict(zip(names, row[:3], strict=True)) for row in script]
        for n, (*_, expected) in enumerate(script, 1):
            answer.equal(
                answer.call("watermarks", events[:n], ["EWR", "JFK"], 5, 10)[-1:],
                [expected],
                asked="the watermark after the last of these (origin, time, arrived), with "
                f"EWR, JFK, delay 5 and idle 10: {[row[:3] for row in script[:n]]}",
            )

# %% role="hidden" exercise="watermarks"
with lab.check("watermarks", hidden=True) as answer:
    airports = ["ABC", "ÉÉÉ", "XYZ"]
    for idle, talkers in ((4, airports), (60, airports), (15, airports[1:])):
        events, now = [], answer.random.randrange(1000)
        for _ in range(60):
            now += answer.random.choice([0, 1, 1, 6])
            time = now - answer.random.choice([0, 1, 2, 30])
            origin = answer.random.choice(talkers)
            events.append({"origin": origin, "time": time, "arrived": now})
        expected = []
        for n, event in enumerate(events):
            lows = []
            for airport in airports:
                mine = [e for e in events[: n + 1] if e["origin"] == airport]
                since = mine[-1]["arrived"] if mine else events[0]["arrived"]
                if event["arrived"] - since <= idle:
                    lows.append(max((e["time"] for e in mine), default=None))
            known = [*expected[-1:], None if None in lows else min(lows) - 7]
            expected.append(max((k for k in known if k is not None), default=None))
        answer.equal(
            answer.call("watermarks", events, airports, 7, idle),
            expected,
            asked=f"the watermarks of 60 events of {len(talkers)} of 3 airports, delay 7, "
            f"idle {idle}",
        )
    answer.equal(
        answer.call("watermarks", [], airports, 7, 7),
        [],
        asked="no watermark, as there are no events",
    )

# %% [markdown] role="hint" exercise="watermarks"
# What must you remember of each source, by which of the two clocks? What happens to the smallest when a source that
# was idle comes back with old events?

# %% [markdown] role="hint" exercise="watermarks"
# Two dictionaries by airport: the largest `time`, and the last `arrived`. `heard.get(airport, …)` takes a value
# for one that has not sent.

# %% [markdown] role="hint" exercise="watermarks"
# ```python
# for event in events:
#     newest[origin] = max(...)
#     heard[origin] = ...
#     active = [airport for airport in airports if ... <= idle]
#     if all(... for airport in active):
#         low = min(...) - delay
#         mark = low if mark is None else ...
#     found.append(mark)
# ```


# %% role="right" exercise="watermarks"
def watermarks(events, airports, delay, idle):
    sources, result = {}, []
    for event in events:
        if not sources:
            sources = {a: (float("-inf"), event["arrived"]) for a in airports}
        time = max(sources[event["origin"]][0], event["time"])
        sources[event["origin"]] = (time, event["arrived"])
        lowest = min(t for t, at in sources.values() if at >= event["arrived"] - idle)
        candidates = [lowest - delay] if lowest > float("-inf") else []
        if result and result[-1] is not None:
            candidates.append(result[-1])
        result.append(max(candidates) if candidates else None)
    return result


# %% [markdown] role="equivalent" exercise="watermarks" reason="the larger of two does not depend on their order"
# - newest[origin] = max(newest.get(origin, event["time"]), event["time"])
# + newest[origin] = max(event["time"], newest.get(origin, event["time"]))
#
# - mark = low if mark is None else max(mark, low)
# + mark = low if mark is None else max(low, mark)


# %% role="wrong" exercise="watermarks" misconception="The newest event of all is what counts" caught="check" says="the watermark after the last"
def watermarks(events, airports, delay, idle):
    found = []
    for event in events:
        found.append(max([event["time"] - delay, *found[-1:]]))
    return found


# %% role="wrong" exercise="watermarks" misconception="Who has not sent yet is not there" caught="check" says="the watermark after the last"
def watermarks(events, airports, delay, idle):
    newest, heard, found = {}, {}, []
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        heard[origin] = now
        low = min(newest[a] for a in newest if now - heard[a] <= idle) - delay
        found.append(max([low, *found[-1:]]))
    return found


# %% role="wrong" exercise="watermarks" misconception="A watermark follows the last event, back too" caught="check" says="'JFK', 80, 107"
def watermarks(events, airports, delay, idle):
    newest, heard, mark, found = {}, {}, None, []
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = event["time"]
        heard[origin] = now
        active = [
            a for a in airports if now - heard.get(a, events[0]["arrived"]) <= idle
        ]
        if all(a in newest for a in active):
            mark = min(newest[a] for a in active) - delay
        found.append(mark)
    return found


# %% role="wrong" exercise="watermarks" misconception="Who comes back turns back the watermark" caught="check" says="'EWR', 108, 117"
def watermarks(events, airports, delay, idle):
    newest, heard, mark, found = {}, {}, None, []
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        heard[origin] = now
        active = [
            a for a in airports if now - heard.get(a, events[0]["arrived"]) <= idle
        ]
        if all(a in newest for a in active):
            mark = min(newest[a] for a in active) - delay
        found.append(mark)
    return found


# %% role="wrong" exercise="watermarks" misconception="All sources send for ever" caught="check" says="'JFK', 115, 116"
def watermarks(events, airports, delay, idle):
    newest, found = {}, []
    for event in events:
        origin = event["origin"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        if all(a in newest for a in airports):
            found.append(max([min(newest.values()) - delay, *filter(None, found)]))
        else:
            found.append(None)
    return found


# %% role="wrong" exercise="watermarks" misconception="Silence is measured by event time" caught="check" says="the watermark after the last"
def watermarks(events, airports, delay, idle):
    newest, mark, found = {}, None, []
    for event in events:
        origin = event["origin"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        top = max(newest.values())
        active = [a for a in airports if top - newest.get(a, events[0]["time"]) <= idle]
        if all(a in newest for a in active):
            low = min(newest[a] for a in active) - delay
            mark = low if mark is None else max(mark, low)
        found.append(mark)
    return found


# %% role="wrong" exercise="watermarks" misconception="There is always a first event" caught="hidden" says="IndexError"
def watermarks(events, airports, delay, idle):
    newest, mark, found = {}, None, []
    heard = dict.fromkeys(airports, events[0]["arrived"])
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        heard[origin] = now
        active = [a for a in airports if now - heard[a] <= idle]
        if all(a in newest for a in active):
            low = min(newest[a] for a in active) - delay
            mark = low if mark is None else max(mark, low)
        found.append(mark)
    return found


# %% role="wrong" exercise="watermarks" misconception="Idleness needs a last sign of life" caught="check" says="('EWR', 110, 110)"
def watermarks(events, airports, delay, idle):
    newest, heard, mark, found = {}, {}, None, []
    for event in events:
        origin, now = event["origin"], event["arrived"]
        newest[origin] = max(newest.get(origin, event["time"]), event["time"])
        heard[origin] = now
        active = [a for a in airports if now - heard.get(a, now) <= idle]
        if all(a in newest for a in active):
            low = min(newest[a] for a in active) - delay
            mark = low if mark is None else max(mark, low)
        found.append(mark)
    return found


# %% [markdown]
# **Break it.** LGA's network fails from 15:00 to 20:00; then all that it has kept arrives at once.
#
# **Predict:** where is the watermark at 19:00, with and without idleness? What does idleness cost at 20:00?

# %%
AIRPORTS = ["EWR", "JFK", "LGA"]
silent = [e for e in EVENTS if e["origin"] == "LGA" and 900 <= e["arrived"] < 1200]
held = [e | {"arrived": 1200} if e in silent else e for e in EVENTS]
held.sort(key=lambda event: event["arrived"])
for name, events, idle in [
    ("all well, never idle", EVENTS, 10**6),
    ("LGA silent, never idle", held, 10**6),
    ("LGA silent, idle after 30", held, 30),
]:
    marks = watermarks(events, AIRPORTS, 10, idle) or [0 for _ in events]
    pairs = [(e, mark or 0) for e, mark in zip(events, marks, strict=True)]
    at_seven = max(mark for event, mark in pairs if event["arrived"] < 19 * 60)
    after = sum(event["time"] // 60 * 60 + 60 <= mark for event, mark in pairs)
    print(f"{name:<25} {clock(at_seven)} at 19:00; {after:>2} events miss their window")

# %% [markdown]
# Idleness frees the others, and LGA pays: the watermark ran ahead, and what comes back misses its windows. Choose
# for each board, and raise an alarm when a source becomes idle.

# %% [markdown] topics=["4.3-1"]
# ## Late events
#
# The hours are right now, and billing complains: its nightly batch counts more flights. By default, stream engines
# drop what belongs to a window that is over; at most a metric tells.
#
# | An event comes | Then |
# |---|---|
# | before its window fires | it is *on time*, even if the watermark is past it |
# | after that, within the *allowed lateness* | the window fires again, corrected |
# | later still | the window is gone: put the event *aside*, where billing finds it |

# %% [markdown] role="task" exercise="route" points=2 topics=["4.3-1"]
# ### What becomes of each event?
#
# Write `route(events, size, delay, lateness)`. `events` come in order of arrival; only their `time` counts. Windows
# begin at multiples of `size` and are `size` minutes long. The watermark is the largest `time` so far, the event's
# own included, minus `delay`.
#
# Return for each event
#
# - `"on time"` while the watermark is before the end of its window,
# - `"late"` while it is before that end plus `lateness`,
# - `"too late"` otherwise.
#
# Example: with `size` 60, `delay` 10 and `lateness` 30, the times 65, 52, 70, 59 give three times on time, then late.
#
# Why: never lose in silence.


# %% role="answer" exercise="route"
def route(events: list[dict], size: int, delay: int, lateness: int) -> list[str]:
    """What becomes of each event."""
    ### BEGIN SOLUTION
    found, mark = [], None
    for event in events:
        time = event["time"]
        mark = time - delay if mark is None else max(mark, time - delay)
        end = time // size * size + size
        if mark < end:
            found.append("on time")
        else:
            found.append("late" if mark < end + lateness else "too late")
    return found
    ### END SOLUTION


# %% role="check" exercise="route"
with lab.check("route") as answer:
    script = [
        (65, 66, "on time"),
        (52, 66, "on time"),
        (69, 70, "on time"),
        (59, 300, "on time"),
        (70, 300, "on time"),
        (59, 301, "late"),
        (66, 301, "on time"),
        (99, 302, "on time"),
        (3, 303, "late"),
        (100, 304, "on time"),
        (59, 305, "too late"),
        (60, 306, "on time"),
        (-5, 307, "too late"),
    ]
    events = [{"time": time, "arrived": arrived} for time, arrived, _ in script]
    for n, (_, _, expected) in enumerate(script, 1):
        answer.equal(
            answer.call("route", events[:n], 60, 10, 30)[-1:],
            [expected],
            asked="what becomes of the last event, with windows of 60, delay 10, lateness "
            f"30, and these times: {[row[0] for row in script[:n]]}",
        )

# %% role="hidden" exercise="route"
with lab.check("route", hidden=True) as answer:
    for size, delay, lateness in ((7, 3, 9), (15, 0, 40), (10, 20, 0)):
        times, now = [], answer.random.randrange(-500, 500)
        for _ in range(80):
            now += answer.random.randrange(3)
            times.append(now - answer.random.choice([0, 1, 2, 8, 30, 60]))
        expected = []
        for n, time in enumerate(times, 1):
            over = max(times[:n]) - delay - (time - time % size + size)
            reached = (over >= 0) + (over >= lateness)
            expected.append(["on time", "late", "too late"][reached])
        answer.equal(
            answer.call("route", [{"time": t} for t in times], size, delay, lateness),
            expected,
            asked=f"what becomes of 80 events, with windows of {size}, delay {delay} and "
            f"lateness {lateness}",
        )

# %% [markdown] role="hint" exercise="route"
# Is an event that is behind the watermark always late? What has to be over?

# %% [markdown] role="hint" exercise="route"
# Compare the watermark with the end of the event's window, `time // size * size + size`, never with its time.

# %% [markdown] role="hint" exercise="route"
# ```python
# for event in events:
#     mark = ...
#     end = ...
#     if mark < end:
#         found.append("on time")
#     else:
#         ...
# ```


# %% role="right" exercise="route"
def route(events, size, delay, lateness):
    times = [event["time"] for event in events]
    result = []
    for time, newest in zip(times, itertools.accumulate(times, max), strict=True):
        overdue = newest - delay - (time - time % size) - size
        word = "too late" if overdue >= lateness else "late"
        result.append("on time" if overdue < 0 else word)
    return result


# %% [markdown] role="equivalent" exercise="route" reason="the larger of two does not depend on their order"
# - mark = time - delay if mark is None else max(mark, time - delay)
# + mark = time - delay if mark is None else max(time - delay, mark)


# %% role="wrong" exercise="route" misconception="What is behind the watermark is late" caught="check" says="[65, 52]"
def route(events, size, delay, lateness):
    found, newest = [], float("-inf")
    for event in events:
        newest = max(newest, event["time"])
        behind = newest - delay - event["time"]
        if behind <= 0:
            found.append("on time")
        else:
            found.append("late" if behind < lateness else "too late")
    return found


# %% role="wrong" exercise="route" misconception="Late is who took long to arrive" caught="check" says="[65, 52, 69, 59]"
def route(events, size, delay, lateness):
    found = []
    for event in events:
        took = event.get("arrived", event["time"]) - event["time"]
        if took <= delay + size:
            found.append("on time")
        else:
            found.append("late" if took <= delay + size + lateness else "too late")
    return found


# %% role="wrong" exercise="route" misconception="Allowed lateness is counted from the event" caught="check" says="99, 3]"
def route(events, size, delay, lateness):
    found, newest = [], float("-inf")
    for event in events:
        newest = max(newest, event["time"])
        mark = newest - delay
        if mark < event["time"] // size * size + size:
            found.append("on time")
        else:
            found.append("late" if mark < event["time"] + lateness else "too late")
    return found


# %% role="wrong" exercise="route" misconception="Windows wait for delay and lateness before they fire" caught="check" says="70, 59]"
def route(events, size, delay, lateness):
    found, newest = [], float("-inf")
    for event in events:
        newest = max(newest, event["time"])
        end = event["time"] // size * size + size
        waits = newest - delay - lateness < end
        found.append("on time" if waits else "too late")
    return found


# %% role="wrong" exercise="route" misconception="The watermark is the last event minus the delay" caught="check" says="70, 59]"
def route(events, size, delay, lateness):
    found = []
    for event in events:
        mark = event["time"] - delay
        end = event["time"] // size * size + size
        if mark < end:
            found.append("on time")
        else:
            found.append("late" if mark < end + lateness else "too late")
    return found


# %%
routes = route(FIRST, 60, 10, 60) or ["on time" for _ in FIRST]
print({name: routes.count(name) for name in ("on time", "late", "too late")})
print(f"billing counts {len(FIRST)}, a stream that drops the late ones", end=" ")
print(routes.count("on time"))

# %% [markdown]
# Waiting longer helps, and makes the board older.
#
# **Predict:** which delay makes 95 of 100 windows right when they first fire?


# %%
def trade(delay):
    """Percent of windows right on first firing; median minutes from their end to that."""
    keys = [(event["origin"], event["time"] // 60 * 60) for event in FIRST]
    routes = route(FIRST, 60, delay, 0) or ["on time" for _ in FIRST]
    broken = {k for k, word in zip(keys, routes, strict=True) if word != "on time"}
    ages = []
    for end in sorted({start + 60 for _, start in keys}):
        after = [e["arrived"] for e in FIRST if e["time"] >= end + delay]
        ages += [moment - end for moment in after[:1]]  # nothing follows the last ones
    return 100 - 100 * len(broken) / len(set(keys)), statistics.median(ages)


DELAYS = [0, 5, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360]
right, age = zip(*map(trade, DELAYS), strict=True)
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 4), sharex=True)
above.plot(DELAYS, right, marker="o", markersize=4)
above.set(ylabel="right at first, %", ylim=(40, 104))
below.plot(DELAYS, age, marker="o", markersize=4, color="tab:orange")
below.set(xlabel="watermark delay, minutes", ylabel="age, minutes")
for delay, percent, minutes in list(zip(DELAYS, right, age, strict=True))[::2]:
    print(f"delay {delay:>3}: {percent:>3.0f} % right, {minutes:>3.0f} minutes old")
picture(
    figure,
    alt="Two curves over the watermark's delay. Windows that are right at first climb steeply from 53 "
    "to 80 percent at a delay of 45 minutes, stay there up to 180, and reach 100 at 360. The age of "
    "the result is as large as the delay, all the way.",
)

# %% [markdown]
# Four windows of five are right after 45 minutes; the last one costs six hours. So fire while the result is of
# use, and correct it.

# %% [markdown] topics=["4.3-1"]
# ## One window, several results
#
# A *trigger* says when a window fires. Each result is a *pane*: *early* ones before the watermark, one *on time*,
# and one for each *late* event. What is in a later pane?
#
# | Pane of a window | departures, *accumulating* | departures, *discarding* |
# |---|---|---|
# | 0, early | 5 | 5 |
# | 1, on time | 9 | 4 |
# | 2, late | 10 | 1 |
#
# **Predict:** two consumers, one adds all panes up, one keeps the last. What do they count, in each mode?


# %%
def panes_of(mode):
    """The panes of a trigger that fires each 30 minutes of processing time."""
    found, sums = [], defaultdict(lambda: [0, 0, 0])
    for _, events in itertools.groupby(FIRST, lambda e: e["arrived"] // 30):
        changed = defaultdict(list)
        for event in events:
            changed[event["origin"], event["time"] // 60 * 60].append(event["delay"])
        for key, delays in changed.items():
            pane = sums[key]
            new = [pane[0], len(delays), sum(delays)]
            sums[key] = [pane[0] + 1, pane[1] + new[1], pane[2] + new[2]]
            shown = new if mode == "discarding" else [pane[0], *sums[key][1:]]
            names = ("origin", "start", "pane", "departures", "minutes")
            found.append(dict(zip(names, [*key, *shown], strict=True)))
    return found


for mode in ("accumulating", "discarding"):
    panes = panes_of(mode)
    last = {(p["origin"], p["start"]): p["departures"] for p in panes}
    added = sum(p["departures"] for p in panes)
    print(f"{mode:<12} adding: {added:>4}, keeping the last: {sum(last.values()):>4}")

# %% [markdown]
# Each mode has its right consumer, and no row tells which. The mode belongs in the stream's contract.

# %% [markdown] role="task" exercise="totals" points=2 topics=["4.3-1"]
# ### Read panes
#
# Write `totals(panes, mode)`. A pane is a dictionary with `origin`, `start`, `pane` (its number in its window: 0, 1, …),
# `departures` and `minutes` (the sum of delays). `mode` is `"accumulating"` or `"discarding"`. Panes come in any
# order, and some twice.
#
# Return a list with one dictionary for each `origin` and `start`: these two, `departures` and the `mean` delay.
#
# Example: the three panes above give 10 departures, in both modes.
#
# Why: who adds up accumulating panes doubles the traffic, on busy days most.


# %% role="answer" exercise="totals"
def totals(panes: list[dict], mode: str) -> list[dict]:
    """Departures and mean delay of each window."""
    ### BEGIN SOLUTION
    windows_of = {}
    for pane in panes:
        numbered = windows_of.setdefault((pane["origin"], pane["start"]), {})
        numbered[pane["pane"]] = pane
    found = []
    for (origin, start), numbered in windows_of.items():
        chosen = [*numbered.values()]
        if mode == "accumulating":
            chosen = [numbered[max(numbered)]]
        departures = sum(pane["departures"] for pane in chosen)
        minutes = sum(pane["minutes"] for pane in chosen)
        row = {"origin": origin, "start": start, "departures": departures}
        found.append(row | {"mean": minutes / departures})
    return found
    ### END SOLUTION


# %% role="check" exercise="totals"
with lab.check("totals") as answer:
    names = ("origin", "start", "pane", "departures", "minutes")
    modes = {
        "accumulating": [(5, 50), (9, 54), (10, 154)],
        "discarding": [(5, 50), (4, 4), (1, 100)],
    }
    for mode, values in modes.items():
        panes = [
            dict(zip(names, ["JFK", 600, n, *pair], strict=True))
            for n, pair in enumerate(values)
        ]
        others = [
            dict(zip(names, [*key, 0, 2, 7], strict=True))
            for key in (("JFK", 660), ("EWR", 600))
        ]
        expected = [
            {"origin": "JFK", "start": 600, "departures": 10, "mean": 15.4},
            {"origin": "JFK", "start": 660, "departures": 2, "mean": 3.5},
            {"origin": "EWR", "start": 600, "departures": 2, "mean": 3.5},
        ]
        for what, order in {
            "in order": [0, 1, 2],
            "in another order": [2, 0, 1],
            "with a repeat": [0, 1, 1, 2, 1],
        }.items():
            answer.same_rows(
                answer.call("totals", [*[panes[n] for n in order], *others], mode),
                expected,
                asked=f"totals of {mode} panes {what}: {[values[n] for n in order]} "
                "(departures, minutes) of JFK at 600, and one pane (2, 7) of two others",
                key=["origin", "start"],
            )

# %% role="hidden" exercise="totals"
with lab.check("totals", hidden=True) as answer:
    names = ("origin", "start", "pane", "departures", "minutes")
    for mode in ("discarding", "accumulating"):
        panes, expected = [], []
        for origin in ("Ñ", "JFK"):
            for start in range(0, 300, 60):
                sums = [0, 0]
                for number in range(answer.random.randrange(1, 14)):
                    new = [
                        answer.random.randrange(1, 9),
                        answer.random.randrange(-99, 9),
                    ]
                    sums = [sums[0] + new[0], sums[1] + new[1]]
                    shown = new if mode == "discarding" else sums
                    row = [origin, start, number, *shown]
                    panes.append(dict(zip(names, row, strict=True)))
                row = [origin, start, sums[0], sums[1] / sums[0]]
                expected.append(
                    dict(
                        zip(("origin", "start", "departures", "mean"), row, strict=True)
                    )
                )
        mixed = panes + answer.random.sample(panes, len(panes) // 2)
        answer.random.shuffle(mixed)
        answer.same_rows(
            answer.call("totals", mixed, mode),
            expected,
            asked=f"totals of {len(mixed)} {mode} panes of 10 windows, mixed, some twice",
            key=["origin", "start"],
        )

# %% [markdown] role="hint" exercise="totals"
# Which panes are needed in each mode: one, or all? How do you know a repeat from another pane with the same numbers?

# %% [markdown] role="hint" exercise="totals"
# Keep the panes of each window in a dictionary by their number. A repeat then lands on itself.

# %% [markdown] role="hint" exercise="totals"
# ```python
# windows_of = {}
# for pane in panes:
#     numbered = windows_of.setdefault((pane["origin"], pane["start"]), {})
#     ...
# for (origin, start), numbered in windows_of.items():
#     chosen = [*numbered.values()]
#     if mode == "accumulating":
#         chosen = ...
#     ...
# ```


# %% role="right" exercise="totals"
def totals(panes, mode):
    by_number = sorted(panes, key=lambda p: (p["origin"], p["start"], p["pane"]))
    rows = []
    for (origin, start), group in itertools.groupby(
        by_number, lambda p: (p["origin"], p["start"])
    ):
        unique = [
            next(same) for _, same in itertools.groupby(group, lambda p: p["pane"])
        ]
        chosen = unique if mode == "discarding" else unique[-1:]
        count = sum(p["departures"] for p in chosen)
        mean = sum(p["minutes"] for p in chosen) / count
        rows.append(
            {"mean": mean, "departures": count, "start": start, "origin": origin}
        )
    return rows


# %% role="right" exercise="totals"
def totals(panes, mode):
    import pandas as pd

    key = ["origin", "start"]
    frame = pd.DataFrame(panes).drop_duplicates([*key, "pane"]).sort_values("pane")
    if mode == "accumulating":
        frame = frame.drop_duplicates(key, keep="last")
    sums = frame.groupby(key, as_index=False)[["departures", "minutes"]].sum()
    sums["mean"] = sums["minutes"] / sums["departures"]
    return sums[[*key, "mean", "departures"]]


# %% role="wrong" exercise="totals" misconception="Results of a stream are added up" caught="check" says="accumulating panes in order"
def totals(panes, mode):
    sums = {}
    for number, key in {(p["pane"], (p["origin"], p["start"])): 0 for p in panes}:
        pane = next(
            p for p in panes if p["pane"] == number and (p["origin"], p["start"]) == key
        )
        n, minutes = sums.get(key, (0, 0))
        sums[key] = (n + pane["departures"], minutes + pane["minutes"])
    return [
        {"origin": o, "start": s, "departures": n, "mean": m / n}
        for (o, s), (n, m) in sums.items()
    ]


# %% role="wrong" exercise="totals" misconception="A later result replaces an earlier one" caught="check" says="discarding panes in order"
def totals(panes, mode):
    last = {}
    for pane in sorted(panes, key=lambda p: p["pane"]):
        last[pane["origin"], pane["start"]] = pane
    return [
        {"origin": o, "start": s, "departures": p["departures"]}
        | {"mean": p["minutes"] / p["departures"]}
        for (o, s), p in last.items()
    ]


# %% role="wrong" exercise="totals" misconception="The pane that arrives last is the newest" caught="check" says="accumulating panes in another order"
def totals(panes, mode):
    windows_of = {}
    for pane in panes:
        numbered = windows_of.setdefault((pane["origin"], pane["start"]), {})
        if mode == "accumulating":
            numbered.clear()
        numbered[pane["pane"]] = pane
    found = []
    for (origin, start), numbered in windows_of.items():
        n = sum(pane["departures"] for pane in numbered.values())
        mean = sum(pane["minutes"] for pane in numbered.values()) / n
        found.append({"origin": origin, "start": start, "departures": n, "mean": mean})
    return found


# %% role="wrong" exercise="totals" misconception="Each pane comes once" caught="check" says="discarding panes with a repeat"
def totals(panes, mode):
    windows_of = {}
    for pane in sorted(panes, key=lambda p: p["pane"]):
        windows_of.setdefault((pane["origin"], pane["start"]), []).append(pane)
    found = []
    for (origin, start), mine in windows_of.items():
        chosen = mine[-1:] if mode == "accumulating" else mine
        n = sum(pane["departures"] for pane in chosen)
        mean = sum(pane["minutes"] for pane in chosen) / n
        found.append({"origin": origin, "start": start, "departures": n, "mean": mean})
    return found


# %% role="wrong" exercise="totals" misconception="The mean of the panes' means is the mean" caught="check" says="discarding panes in order"
def totals(panes, mode):
    windows_of = {}
    for pane in panes:
        numbered = windows_of.setdefault((pane["origin"], pane["start"]), {})
        numbered[pane["pane"]] = pane
    found = []
    for (origin, start), numbered in windows_of.items():
        if mode == "accumulating":
            numbered = {0: numbered[max(numbered)]}
        chosen = numbered.values()
        mean = statistics.mean(p["minutes"] / p["departures"] for p in chosen)
        n = sum(pane["departures"] for pane in chosen)
        found.append({"origin": origin, "start": start, "departures": n, "mean": mean})
    return found


# %% role="wrong" exercise="totals" misconception="Equal numbers are a repeat" caught="hidden" says="discarding panes of 10 windows"
def totals(panes, mode):
    windows_of = {}
    for pane in sorted(panes, key=lambda p: p["pane"]):
        mine = windows_of.setdefault((pane["origin"], pane["start"]), {})
        mine[pane["departures"], pane["minutes"]] = pane
    found = []
    for (origin, start), mine in windows_of.items():
        chosen = [*mine.values()]
        if mode == "accumulating":
            chosen = [max(chosen, key=lambda p: p["pane"])]
        n = sum(pane["departures"] for pane in chosen)
        mean = sum(pane["minutes"] for pane in chosen) / n
        found.append({"origin": origin, "start": start, "departures": n, "mean": mean})
    return found


# %% [markdown] topics=["4.3-1"]
# ## Repeats, with bounded memory
#
# To know a repeat you remember ids; to remember all for ever fills the memory. The watermark bounds it: forget ids
# that are older than any result you would still correct, and refuse events that are as old.

# %% [markdown] role="task" exercise="is-new" points=2 topics=["4.3-1"]
# ### Forget in time
#
# Write `is_new(state, event, watermark, keep)`. `state` is a dictionary from id to event time, empty at first; change it
# in place. `event` has `id` and `time`. A time is *past* when it is `keep` minutes or more before the watermark.
#
# - Forget all ids whose time is past.
# - Return `"too old"` if the event's own time is past, and do not remember it.
# - Return `"repeat"` if its id is known, else remember it and return `"new"`.
#
# Example: with `keep` 60, an event of 10:00 is too old from watermark 11:00 on.
#
# Why: memory then depends on the traffic of an hour, not on the age of the job.


# %%
def deduplicated(events, delay, keep):
    """What is_new says of each event, and how many ids it holds after each."""
    state, words, sizes, newest = {}, [], [], None
    for event in events:
        newest = event["time"] if newest is None else max(newest, event["time"])
        words.append(is_new(state, event, newest - delay, keep))
        sizes.append(len(state))
    return words, sizes


# %% role="answer" exercise="is-new"
def is_new(state: dict[str, int], event: dict, watermark: int, keep: int) -> str:
    """Whether an event is new, a repeat, or too old to tell."""
    ### BEGIN SOLUTION
    for known in [i for i, time in state.items() if time + keep <= watermark]:
        del state[known]
    if event["time"] + keep <= watermark:
        return "too old"
    if event["id"] in state:
        return "repeat"
    state[event["id"]] = event["time"]
    return "new"
    ### END SOLUTION


# %% role="check" exercise="is-new"
with lab.check("is-new") as answer:
    answer.value("is_new")
    script = [
        ("A", 600, "new", 1),
        ("A", 600, "repeat", 1),
        ("B", 590, "new", 2),
        ("C", 659, "new", 3),
        ("B", 590, "repeat", 3),
        ("D", 660, "new", 3),
        ("B", 590, "too old", 3),
        ("A", 600, "repeat", 3),
        ("E", 580, "too old", 3),
        ("F", 669, "new", 4),
        ("G", 670, "new", 4),
        ("A", 600, "too old", 4),
        ("H", 900, "new", 1),
    ]
    events = [{"id": id, "time": time} for id, time, _, _ in script]
    for n, (_, _, word, size) in enumerate(script, 1):
        words, sizes = answer.call("deduplicated", events[:n], 10, 60)
        shown = [row[:2] for row in script[:n]]
        answer.equal(
            words[-1],
            word,
            asked=f"what the last event is, with delay 10 and keep 60: {shown}",
        )
        answer.equal(
            sizes[-1],
            size,
            asked=f"in the state only ids that are not past, after {shown}, with delay 10 "
            "and keep 60",
            found=f"{sizes[-1]} ids",
        )

# %% role="hidden" exercise="is-new"
with lab.check("is-new", hidden=True) as answer:
    answer.value("is_new")
    for delay, keep in ((0, 7), (5, 30)):
        events, now = [], 0
        for number in range(90):
            now += answer.random.randrange(3)
            lag = answer.random.choice([0, 0, 1, 5, 25, 50])
            events.append({"id": f"D{number}", "time": now - lag})
            events += answer.random.choices(events, k=answer.random.randrange(3))
        words, sizes, newest = [], [], events[0]["time"]
        for n, event in enumerate(events):
            newest = max(newest, event["time"])
            past = newest - delay - keep
            before = {
                e["id"] for e, w in zip(events[:n], words, strict=True) if w == "new"
            }
            word = "repeat" if event["id"] in before else "new"
            words.append("too old" if event["time"] <= past else word)
            pairs = zip(events[: n + 1], words, strict=True)
            sizes.append(sum(w == "new" and e["time"] > past for e, w in pairs))
        answer.equal(
            answer.call("deduplicated", events, delay, keep),
            (words, sizes),
            asked=f"words and numbers of ids kept for {len(events)} events, delay {delay}, "
            f"keep {keep}",
        )

# %% [markdown] role="hint" exercise="is-new"
# Which entries can go, before you look at the event? May you change a dictionary while you walk through it?

# %% [markdown] role="hint" exercise="is-new"
# Make a list of the ids first, then `del state[…]`. Past means `time + keep <= watermark`, for ids and for the event.

# %% [markdown] role="hint" exercise="is-new"
# ```python
# for known in [i for i, time in state.items() if ...]:
#     del state[known]
# if ...:
#     return "too old"
# if ...:
#     return "repeat"
# ...
# return "new"
# ```


# %% role="right" exercise="is-new"
def is_new(state, event, watermark, keep):
    horizon = watermark - keep
    fresh = {id: time for id, time in state.items() if time > horizon}
    state.clear()
    state.update(fresh)
    if event["time"] <= horizon:
        return "too old"
    known = len(state)
    state.setdefault(event["id"], event["time"])
    return "repeat" if len(state) == known else "new"


# %% role="wrong" exercise="is-new" misconception="Ids must be kept for ever" caught="check" says="only ids that are not past"
def is_new(state, event, watermark, keep):
    if event["time"] + keep <= watermark:
        return "too old"
    if event["id"] in state:
        return "repeat"
    state[event["id"]] = event["time"]
    return "new"


# %% role="wrong" exercise="is-new" misconception="What is not known is new" caught="check" says="('D', 660), ('B', 590)]"
def is_new(state, event, watermark, keep):
    for known in [i for i, time in state.items() if time + keep <= watermark]:
        del state[known]
    if event["id"] in state:
        return "repeat"
    if event["time"] + keep <= watermark:
        return "new"
    state[event["id"]] = event["time"]
    return "new"


# %% role="wrong" exercise="is-new" misconception="What is behind the watermark is too old" caught="check" says="('B', 590)"
def is_new(state, event, watermark, keep):
    for known in [i for i, time in state.items() if time + keep <= watermark]:
        del state[known]
    if event["id"] in state:
        return "repeat"
    if event["time"] <= watermark:
        return "too old"
    state[event["id"]] = event["time"]
    return "new"


# %% role="wrong" exercise="is-new" misconception="It is enough to remember the last hundred ids" caught="hidden" says="numbers of ids kept"
def is_new(state, event, watermark, keep):
    if event["time"] + keep <= watermark:
        return "too old"
    known = event["id"] in state
    state[event["id"]] = event["time"]
    while len(state) > 4 or min(state.values()) + keep <= watermark:
        del state[min(state, key=state.get)]
    return "repeat" if known else "new"


# %% role="wrong" exercise="is-new" misconception="A repeat begins the time to keep anew" caught="check" says="only ids that are not past"
def is_new(state, event, watermark, keep):
    for known in [i for i, time in state.items() if time + keep <= watermark]:
        del state[known]
    if event["time"] + keep <= watermark:
        return "too old"
    word = "repeat" if event["id"] in state else "new"
    state[event["id"]] = max(event["time"], watermark)
    return word


# %%
words, sizes = deduplicated(EVENTS, 10, 120)
counts = {name: words.count(name) for name in ("new", "repeat", "too old")}
print(counts, "- at most", max(sizes), "ids at once, of", len(FIRST))

# %% [markdown] topics=["4.3-1"]
# ## Exactly once, as effect
#
# A crash loses what was in memory: windows half full, the watermark, the ids. An offset does not bring them back.
# So engines save a *checkpoint*: the offset *and* the state after exactly these events, in one piece. After a
# crash they load the last one and *replay* what follows.
#
# Some events are then processed twice. Their *effect* is there once if the output is idempotent: a row replaces
# the row with its key, here airport and window.

# %%
EVERY = 20


class Crash(BaseException):
    """The power fails; no `except Exception` catches that."""


class Power:
    """Calls of store and sink have two steps, before and after their effect. From step
    `cut` on there is no power."""

    steps, cut, events, saves = 0, None, 0, []


def step():
    """Count a step, and fail if there is no power."""
    Power.steps += 1
    if Power.cut and Power.steps >= Power.cut:
        raise Crash


class Store:
    """Keeps one checkpoint: `save` replaces it as a whole, `load` returns it, or None."""

    text = "null"

    def save(self, checkpoint):
        text = json.dumps(checkpoint)
        Power.saves.append(Power.events)
        step()
        self.text = text
        step()

    def load(self):
        return json.loads(self.text)


class Sink:
    """A table: `put` sets the row of a key, `add` adds to it."""

    def __init__(self):
        self.rows = {}

    def put(self, key, row):
        step()
        self.rows[key] = list(row)
        step()

    def add(self, key, row):
        step()
        old = self.rows.get(key, [0, 0])
        self.rows[key] = [a + b for a, b in zip(old, row, strict=True)]
        step()


# %% [markdown]
# `advance(state, event)` is an aggregator whose memory is all in `state`, a dictionary that JSON can hold, empty at
# first. It changes that, and returns pairs of key and row for the windows that fire.


# %%
def advance(state, event):
    """Count an event in its hour; the watermark is 30 minutes behind the newest."""
    Power.events += 1
    state["newest"] = max(event["time"], state.get("newest", event["time"]))
    start = event["time"] // 60 * 60
    key = f"{event['origin']} {clock(start)}"
    window = state.setdefault(key, {"end": start + 60, "sums": [0, 0], "shown": 0})
    window["sums"] = [window["sums"][0] + 1, window["sums"][1] + event["delay"]]
    rows = []
    for key, window in state.items():
        fires = key != "newest" and window["end"] <= state["newest"] - 30
        if fires and window["shown"] < window["sums"][0]:
            window["shown"] = window["sums"][0]
            rows.append((key, window["sums"]))
    return rows


state = {}
for event in FIRST[:120]:
    for key, row in advance(state, event):
        print(clock(event["arrived"]), key, row)

# %% [markdown] role="task" exercise="run" points=3 topics=["4.3-1"]
# ### Crash and go on
#
# Write `run(log, store, sink)`. `log` is a list of all events so far. Give each to `advance`, in order, and write what
# it returns to the `sink`. The power may fail before or after the effect of `store.save`, `sink.put` and `sink.add`.
# Called again, with the same or a longer log, `run` goes on.
#
# - In the end the sink holds what it would hold without a crash.
# - Save when `EVERY` events of the log are done, twice as many, and so on (20, 40, …), and at the end. After a
#   crash at most `EVERY` events are processed again.
#
# Why: this is all that "exactly once" means.


# %%
def crashed(logs, cuts):
    """For each step at which the power fails: what is in the sink in the end, the events
    processed again, and after how many events each checkpoint was saved."""
    found = []
    for cut in cuts:
        store, sink = Store(), Sink()
        Power.steps, Power.cut, Power.events, Power.saves = 0, cut, 0, []
        for log in logs:
            try:
                run(list(log), store, sink)
            except Crash:
                Power.cut = None  # the power is back
                run(list(log), store, sink)
        again = Power.events - len(logs[-1])
        found.append({"sink": sink.rows, "again": again, "saves": Power.saves})
    Power.cut = None
    return found


# %% role="answer" exercise="run"
def run(log: list[dict], store: Store, sink: Sink) -> None:
    """Process the log from the last checkpoint on."""
    ### BEGIN SOLUTION
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})
    store.save({"offset": len(log), "state": state})
    ### END SOLUTION


# %% role="check" exercise="run"
with lab.check("run") as answer:
    answer.value("run")
    log = [
        {"origin": ("EWR", "JFK")[n % 2], "time": 600 + 5 * n - 40 * (n % 5 == 0)}
        | {"delay": n}
        for n in range(70)
    ]
    expected = {}
    for start in range(540, 960, 60):
        for origin in ("EWR", "JFK"):
            mine = [e for e in log if e["origin"] == origin]
            mine = [e["delay"] for e in mine if e["time"] // 60 * 60 == start]
            if mine and start + 60 <= max(e["time"] for e in log) - 30:
                key = f"{origin} {start // 60:02}:00"
                expected[key] = [len(mine), sum(mine)]
    cuts = [*range(1, 90)]
    for cut, found in zip(cuts, answer.call("crashed", [log], cuts), strict=True):
        answer.equal(
            found["sink"],
            expected,
            asked=f"the sink as without a crash, after one at step {cut} and a second run, "
            "with 70 events",
        )
        answer.true(
            found["again"] <= 20,
            asked=f"at most 20 events processed again after a crash at step {cut}",
            found=f"{found['again']} events",
        )
    answer.equal(
        sorted({*found["saves"]} - {0}),
        [20, 40, 60, 70],
        asked="checkpoints after 20, 40, 60 and 70 events, without a crash",
    )

# %% role="hidden" exercise="run"
with lab.check("run", hidden=True) as answer:
    answer.value("run")
    log = []
    for n in range(101):
        origin = answer.random.choice(["Ü", "LGA"])
        time = 3000 + 4 * n - answer.random.choice([0, 0, 9, 45])
        delay = answer.random.randrange(-9, 99)
        log.append({"origin": origin, "time": time, "delay": delay})
    most = max(event["time"] for event in log)
    expected = {}
    for event in log:
        start = event["time"] // 60 * 60
        key = f"{event['origin']} {start // 60 % 24:02}:00 +2"
        if start + 60 <= most - 30:
            n, minutes = expected.get(key, [0, 0])
            expected[key] = [n + 1, minutes + event["delay"]]
    some = answer.random.randrange(30, 70)
    cuts = [*range(1, 120)]
    for cut, found in zip(
        cuts, answer.call("crashed", [log[:some], log], cuts), strict=True
    ):
        answer.equal(
            found["sink"],
            expected,
            asked=f"the sink as without a crash, after one at step {cut}, with a log of "
            f"{some} events that grows to 101",
        )

# %% [markdown] role="hint" exercise="run"
# What is lost in a crash, and what must therefore be in the checkpoint? If the power fails between `put` and `save`,
# what happens in the next run? And the other way round?

# %% [markdown] role="hint" exercise="run"
# One `save` holds a dictionary with the offset and the state. First the effect, then the checkpoint that says that it
# is done.

# %% [markdown] role="hint" exercise="run"
# ```python
# saved = store.load() or {"offset": 0, "state": {}}
# for offset in range(..., len(log)):
#     for key, row in advance(..., log[offset]):
#         ...
#     if ...:
#         store.save(...)
# store.save(...)
# ```


# %% role="right" exercise="run"
def run(log, store, sink):
    done, state = store.load() or (0, {})
    while done < len(log):
        stop = min(done + EVERY - done % EVERY, len(log))
        rows = {}
        for event in log[done:stop]:
            rows |= dict(advance(state, event))
        for key, row in rows.items():
            sink.put(key, row)
        done = stop
        store.save((done, state))


# %% role="wrong" exercise="run" misconception="The offset is all that must be saved" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0}
    state = {}
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1})
    store.save({"offset": len(log)})


# %% role="wrong" exercise="run" misconception="The checkpoint may come before the output" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state, waiting = saved["state"], []
    for offset in range(saved["offset"], len(log)):
        waiting += advance(state, log[offset])
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})
            for key, row in waiting:
                sink.put(key, row)
            waiting = []
    store.save({"offset": len(log), "state": state})
    for key, row in waiting:
        sink.put(key, row)


# %% role="wrong" exercise="run" misconception="Output is added to the sink" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.add(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})
    store.save({"offset": len(log), "state": state})


# %% role="wrong" exercise="run" misconception="An idempotent sink needs no checkpoint" caught="check" says="processed again"
def run(log, store, sink):
    state = {}
    for offset in range(len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})
    store.save({"offset": len(log), "state": state})


# %% role="wrong" exercise="run" misconception="The state is newer than the offset, that does no harm" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset, "state": state})
    store.save({"offset": len(log), "state": state})


# %% role="wrong" exercise="run" misconception="An error must not stop the job" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        try:
            for key, row in advance(state, log[offset]):
                sink.put(key, row)
            if (offset + 1) % EVERY == 0:
                store.save({"offset": offset + 1, "state": state})
        except BaseException:
            continue
    try:
        store.save({"offset": len(log), "state": state})
    except BaseException:
        print("not saved")


# %% role="wrong" exercise="run" misconception="An end needs no checkpoint" caught="check" says="checkpoints after"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})


# %% role="wrong" exercise="run" misconception="Each log begins with a new state" caught="hidden" says="that grows to 101"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}, "length": len(log)}
    if saved["length"] != len(log):
        saved["state"] = {}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        for key, row in advance(state, log[offset]):
            sink.put(key, row)
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state, "length": len(log)})
    store.save({"offset": len(log), "state": state, "length": len(log)})


# %% [markdown] topics=["4.3-1"]
# ## The whole aggregator
#
# Now all of it, and one thing more: a batch is a stream that ends. At its end the watermark jumps past everything,
# and all windows fire. So the same code answers both.

# %% [markdown] role="task" exercise="aggregate" points=4 topics=["4.3-1"]
# ### Build it
#
# Write `aggregate(state, event, rules)`. `state` is a dictionary, empty at first; change it in place. Between two calls
# it goes through JSON. `event` has `id`, `origin`, `time` and `delay`; `None` is the end of the stream, the last call.
# `rules` has `size`, `delay`, `lateness` and `airports`.
#
# - The watermark is that of exercise 3, without idleness, this event included. Before there is one, nothing fires
#   and nothing is late. At the end, it is after everything.
# - An event whose window ended `lateness` or more before the watermark gives `{"kind": "too late", "id": …}`, a
#   repeat too.
# - Else it counts in the window of its origin, unless that has its id already.
# - A window's first result has the kind `"on time"`: it comes as soon as the watermark has reached its end. After
#   that, each event that counts gives a `"late"` one. Both are `{"kind": …, "origin": …, "start": …, "departures": …,
#   "minutes": …}`, accumulating; `minutes` is the sum of delays.
# - A window that can no more be corrected is forgotten, with its ids.
#
# Return a list of what this call gives, in any order.
#
# Why: this is what an engine's window operator does.


# %%
def streamed(events, rules):
    """What each call gives, and the size of the state after each, in characters of JSON."""
    state, found, sizes = {}, [], []
    for event in events:
        found.append(aggregate(state, event, rules))
        text = json.dumps(state)
        state = json.loads(text)
        sizes.append(len(text))
    return found, sizes


# %% role="answer" exercise="aggregate"
def aggregate(state: dict, event: dict | None, rules: dict) -> list[dict]:
    """The results of one more event."""
    ### BEGIN SOLUTION
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found
    ### END SOLUTION


# %% role="check" exercise="aggregate"
with lab.check("aggregate") as answer:
    answer.value("aggregate")
    names = ("kind", "origin", "start", "departures", "minutes")
    script = [
        (("A", "EWR", 10, 5), []),
        (("B", "EWR", 80, 1), []),
        (("C", "JFK", 50, 7), []),
        (("A", "EWR", 10, 5), []),
        (("X", "LGA", 75, 0), []),
        (("D", "JFK", 69, 2), []),
        (
            ("E", "JFK", 70, 4),
            [("on time", "EWR", 0, 1, 5), ("on time", "JFK", 0, 1, 7)],
        ),
        (("F", "JFK", 59, -3), [("late", "JFK", 0, 2, 4)]),
        (("F", "JFK", 59, -3), []),
        (("G", "EWR", 20, 0), [("late", "EWR", 0, 2, 5)]),
        (("M", "LGA", 5, 3), [("on time", "LGA", 0, 1, 3)]),
        (("N", "LGA", 6, 1), [("late", "LGA", 0, 2, 4)]),
        (("H", "EWR", 150, 9), []),
        (("O", "LGA", 110, 0), []),
        (("I", "JFK", 99, 6), []),
        (("J", "JFK", 0, 8), [("late", "JFK", 0, 3, 12)]),
        (("K", "JFK", -60, 8), [("too late", "K")]),
        (("L", "JFK", 100, 6), []),
        (("A", "EWR", 10, 5), [("too late", "A")]),
        (
            None,
            [
                ("on time", "EWR", 60, 1, 1),
                ("on time", "EWR", 120, 1, 9),
                ("on time", "JFK", 60, 4, 18),
                ("on time", "LGA", 60, 2, 0),
            ],
        ),
    ]
    keys = ("id", "origin", "time", "delay")
    events = [e and dict(zip(keys, e, strict=True)) for e, _ in script]
    airports = ["EWR", "JFK", "LGA"]
    rules = {"size": 60, "delay": 10, "lateness": 30, "airports": airports}
    results, _ = answer.call("streamed", events, rules)
    for n, (event, rows) in enumerate(script):
        expected = [
            dict(zip(names if len(row) > 2 else ("kind", "id"), row, strict=True))
            for row in rows
        ]
        answer.equal(
            sorted(results[n], key=lambda row: json.dumps(row, sort_keys=True)),
            sorted(expected, key=lambda row: json.dumps(row, sort_keys=True)),
            asked=f"what {event or 'the end'} gives (id, origin, time, delay), with windows "
            "of 60, delay 10, lateness 30 and the three airports, after "
            f"{[e for e, _ in script[:n]]}",
        )

# %% role="hidden" exercise="aggregate"
with lab.check("aggregate", hidden=True) as answer:
    answer.value("aggregate")
    for airports, (size, delay, lateness) in (
        (["Ñ"], (20, 7, 25)),
        (["JFK", "Ñ"], (7, 0, 0)),
    ):
        events, now = [], answer.random.randrange(-99, 999)
        for number in range(600):
            now += answer.random.randrange(4)
            time = now - answer.random.choice([0, 0, 0, 3, 12, 40, 90])
            event = {"id": f"D{number}", "origin": answer.random.choice(airports)}
            events.append(
                event | {"time": time, "delay": answer.random.randrange(-9, 99)}
            )
            if answer.random.random() < 0.1:
                events.append(answer.random.choice(events[-5:]))
        expected, newest, counted, shown = [], {}, {}, set()
        for event in events:
            newest.setdefault(event["origin"], []).append(event["time"])
            mark = min(max(times) for times in newest.values()) - delay
            over = len(newest) == len(airports)
            key = (event["origin"], event["time"] - event["time"] % size)
            rows = []
            if over and key[1] + size + lateness <= mark:
                rows.append({"kind": "too late", "id": event["id"]})
            elif event["id"] not in counted.setdefault(key, {}):
                counted[key][event["id"]] = event["delay"]
                if key in shown:
                    row = {"kind": "late", "origin": key[0], "start": key[1]}
                    row |= {"departures": len(counted[key])}
                    rows.append(row | {"minutes": sum(counted[key].values())})
            for one in counted:
                if over and one not in shown and one[1] + size <= mark:
                    shown.add(one)
                    row = {"kind": "on time", "origin": one[0], "start": one[1]}
                    row |= {"departures": len(counted[one])}
                    rows.append(row | {"minutes": sum(counted[one].values())})
            expected.append(sorted(json.dumps(row, sort_keys=True) for row in rows))
        rules = {"size": size, "delay": delay, "lateness": lateness}
        found, sizes = answer.call("streamed", events, rules | {"airports": airports})
        wrong = [
            n
            for n, rows in enumerate(found)
            if sorted(json.dumps(row, sort_keys=True) for row in rows) != expected[n]
        ]
        answer.equal(
            wrong,
            [],
            asked=f"what each of {len(events)} events of {len(airports)} airport(s) gives, "
            f"with windows of {size}, delay {delay}, lateness {lateness}",
            found=f"other results from {len(wrong)} calls, first from number {wrong[:1]}",
        )
        answer.true(
            max(sizes) <= 2 * max(sizes[:150]),
            asked="a state that does not grow: at most twice what the first 150 calls needed",
            found=f"{max(sizes) // max(1, max(sizes[:150]))} times as many characters",
        )

# %% [markdown] role="hint" exercise="aggregate"
# Which parts have you got already? In which order must one call do things: watermark, the event, what fires, what
# is forgotten?

# %% [markdown] role="hint" exercise="aggregate"
# JSON knows no sets and no tuples, and makes keys of dictionaries texts: use a key such as `f"{origin} {start}"`, a list of
# ids, and note in each window how many departures were shown last. `float("inf")` is after everything.

# %% [markdown] role="hint" exercise="aggregate"
# ```python
# newest = state.setdefault("newest", {})
# windows_of = state.setdefault("windows", {})
# found, mark = [], float("inf")
# if event:
#     ...  # newest, mark, the start of the window
#     if ...:
#         found.append({"kind": "too late", "id": event["id"]})
#     else:
#         ...  # a new id counts in its window
# for key, window in [*windows_of.items()]:
#     if ...:  # past its end, and something has not been shown
#         ...
#     if ...:
#         del windows_of[key]
# return found
# ```


# %% role="right" exercise="aggregate"
def aggregate(state, event, rules):
    size, out = rules["size"], []
    sources, seen, fired = (state.setdefault(k, d) for k, d in NEW().items())
    if event is not None:
        old = sources.get(event["origin"])
        sources[event["origin"]] = (
            event["time"] if old is None else max(old, event["time"])
        )
    known = all(airport in sources for airport in rules["airports"])
    mark = min(sources.values(), default=0) - rules["delay"] if known else None

    def passed(moment):
        return event is None or (mark is not None and moment <= mark)

    if event is not None:
        start = event["time"] - event["time"] % size
        if passed(start + size + rules["lateness"]):
            return [{"id": event["id"], "kind": "too late"}, *fire(state, passed, size)]
        if not any(row[:2] == [event["origin"], event["id"]] for row in seen):
            seen.append([event["origin"], event["id"], start, event["delay"]])
            if [event["origin"], start] in fired:
                out.append(pane_of(seen, event["origin"], start, "late"))
    out += fire(state, passed, size)
    seen[:] = [r for r in seen if not passed(r[2] + size + rules["lateness"])]
    fired[:] = [k for k in fired if not passed(k[1] + size + rules["lateness"])]
    return out


def NEW():
    return {"sources": {}, "seen": [], "fired": []}


def pane_of(seen, origin, start, kind):
    delays = [r[3] for r in seen if r[0] == origin and r[2] == start]
    row = {"kind": kind, "origin": origin, "start": start, "minutes": sum(delays)}
    return {**row, "departures": len(delays)}


def fire(state, passed, size):
    rows = []
    for origin, _, start, _ in state["seen"]:
        if passed(start + size) and [origin, start] not in state["fired"]:
            state["fired"].append([origin, start])
            rows.append(pane_of(state["seen"], origin, start, "on time"))
    return rows


# %% [markdown] role="equivalent" exercise="aggregate" reason="names inside the state are free, and the larger of two does not depend on their order"
# - newest = state.setdefault("newest", {})
# + newest = state.setdefault("XXnewestXX", {})
#
# - windows_of = state.setdefault("windows", {})
# + windows_of = state.setdefault("XXwindowsXX", {})
#
# - newest[origin] = max(time, newest.get(origin, time))
# + newest[origin] = max(newest.get(origin, time), time)


# %% [markdown] role="equivalent" exercise="aggregate" reason="such a window is refused by then, and is forgotten a minute later"
# - if end + rules["lateness"] <= mark:
# + if end + rules["lateness"] < mark:


# %% role="wrong" exercise="aggregate" misconception="The newest event of all is what counts" caught="check" says="what ('X', 'LGA', 75, 0) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else max(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="Who has not sent yet is not there" caught="check" says="what ('B', 'EWR', 80, 1) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        mark = min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="What is behind the watermark is too late" caught="check" says="what ('F', 'JFK', 59, -3) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if time + rules["lateness"] // 30 <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="Repeats are the producer's problem" caught="check" says="what ('E', 'JFK', 70, 4) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            window["ids"].append(event["id"])
            window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="Too late is not worth a word" caught="check" says="what ('K', 'JFK', -60, 8) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            pass
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="A window is over when it has fired" caught="check" says="what ('F', 'JFK', 59, -3) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="A later pane holds only what is new" caught="check" says="what ('F', 'JFK', 59, -3) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and int(window["shown"]) < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
            window["ids"], window["minutes"] = [], 0
            window["shown"] = 0.5
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="At the end, what has not fired is lost" caught="check" says="what the end gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("-inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="A set goes through JSON" caught="check" says="not JSON serializable"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {
                    "origin": origin,
                    "start": start,
                    "ids": set(),
                    "minutes": 0,
                    "shown": 0,
                },
            )
            if event["id"] not in window["ids"]:
                window["ids"].add(event["id"])
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="A number as key stays a number" caught="check" says="what ('F', 'JFK', 59, -3) gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = state["windows"].setdefault(origin, {})
            window = window.setdefault(
                start,
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for windows_of, key, window in [
        (mine, key, window)
        for mine in state["windows"].values()
        for key, window in mine.items()
    ]:
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="Memory is cheap, nothing need be forgotten" caught="hidden" says="a state that does not grow"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    found, mark = [], float("inf")
    if event:
        origin, time = event["origin"], event["time"]
        newest[origin] = max(time, newest.get(origin, time))
        waiting = len(newest) < len(rules["airports"])
        mark = float("-inf") if waiting else min(newest.values()) - rules["delay"]
        start = time // rules["size"] * rules["size"]
        if start + rules["size"] + rules["lateness"] <= mark:
            found.append({"kind": "too late", "id": event["id"]})
        else:
            window = windows_of.setdefault(
                f"{origin} {start}",
                {"origin": origin, "start": start, "ids": [], "minutes": 0, "shown": 0},
            )
            if event["id"] not in window["ids"]:
                window["ids"].append(event["id"])
                window["minutes"] += event["delay"]
    for window in windows_of.values():
        end = window["start"] + rules["size"]
        departures = len(window["ids"])
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
    return found


# %%
RULES = {"size": 60, "delay": 10, "lateness": 60, "airports": AIRPORTS}
calls, _ = streamed([*EVENTS, None], RULES)
results = [row for rows in calls for row in rows or []]
aside = {row["id"] for row in results if row["kind"] == "too late"}
table = {(r["origin"], r["start"]): r for r in results if r["kind"] != "too late"}
count = sum(row["departures"] for row in table.values())
print(f"on the board {count}, aside {len(aside)}, billing counts {len(FIRST)}")
equal = {"all": 0, "all but what is aside": 0}
for (origin, start), row in table.items():
    batch = [e for e in FIRST if (e["origin"], e["time"] // 60 * 60) == (origin, start)]
    known = [event for event in batch if event["id"] not in aside]
    for name, events in {"all": batch, "all but what is aside": known}.items():
        delays = [event["delay"] for event in events]
        equal[name] += (row["departures"], row["minutes"]) == (len(delays), sum(delays))
print(f"of {len(table)} windows, so many are those of a batch over", equal)

# %% [markdown]
# Each window is that of the batch, but for the events that came later than you allowed; and these you can name. A
# repeat may land aside, too, so billing joins by id.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | put events into windows | instants, not wall clocks |
# | keep sessions | a late event joins two |
# | compute a watermark | the smallest of all; idleness is a broken promise |
# | treat late events | on time, corrected, aside; never dropped in silence |
# | read panes | accumulating or discarding: ask |
# | drop repeats | refuse what is older than your memory |
# | survive a crash | state and offset together; output by key |
#
# The engines have the same ideas:
#
# | Engine | Watermark | Late events | Panes |
# |---|---|---|---|
# | Flink | `for_bounded_out_of_orderness`, `with_idleness` | `allowed_lateness`, `side_output_late_data` | accumulating |
# | Beam | from the source | `allowed_lateness`, then dropped | you choose |
# | Spark | `withWatermark` | dropped, counted in a metric | append or update mode |
# | Kafka Streams | newest time in a partition | grace period, then dropped | accumulating, or the last alone |
#
# **New words.** *Watermark*: what is before it has probably arrived. *Allowed lateness*: how long a result is corrected.
# *Pane*: one of a window's results. *Checkpoint*: state and offset together.
#
# **Read on.** T. Akidau and others, "The Dataflow Model", VLDB (2015). Apache Flink documentation, "Timely Stream
# Processing" (2026). Apache Beam Programming Guide, "Triggers" (2026).

# %%
lab.close()
