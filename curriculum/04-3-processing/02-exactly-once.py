# %% [markdown] minutes=60 datasets=["departure-events"] systems=[]
# # Exactly once
#
# One consumer doubles the traffic, another counts each repeat, and after a crash both are wrong. You read corrections,
# drop repeats and survive a crash, and build an aggregator whose answer is that of the nightly batch.

# %% [markdown]
# ## You will be able to
#
# - read results that come in several panes (exercise 1)
# - drop repeats with bounded memory (exercise 2)
# - survive a crash with the same effect (exercise 3)
# - build the whole aggregator (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Event time: windows and watermarks* | windows, watermarks, late events |
# | the lab *Batch and stream* | offsets and *idempotent* come from there |
#
# You build a *model* of what stream engines do inside; the next labs ask the engines the same question, about
# the same events. Flights and delays are real, arrival times invented.

# %% role="setup"
import itertools
import json
import statistics
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from labkit import dataset, open_lab

lab = open_lab("04-3-processing/02-exactly-once")
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
# ## From the lab before
#
# An event has a `time` (departure) and an `arrived`, both in minutes since midnight. The watermark, here 10 minutes behind the newest
# departure, says up to where all has probably arrived; a window fires when the watermark reaches its end.
#
# **Predict:** of the 924 events, how many come when the window of their hour has fired?

# %%
AIRPORTS = ["EWR", "JFK", "LGA"]
newest = itertools.accumulate((event["time"] for event in EVENTS), max)
late = [
    event["time"] // 60 * 60 + 60 <= mark - 10
    for event, mark in zip(EVENTS, newest, strict=True)
]
print(
    sum(late),
    "of",
    len(EVENTS),
    "events are late;",
    len(EVENTS) - len(FIRST),
    "are repeats",
)

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
# Why: who adds up accumulating panes counts the traffic twice.


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
# ## Break it: a crash between effect and checkpoint
#
# *Exactly once* is about effects. A crash loses what was in memory: windows half full, the watermark, the ids. An offset does not bring them back.
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
# Why: this is what "exactly once" means, with a sink that may be written twice.


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
        {"origin": ("EWR", "JFK")[n % 2], "time": 595 + 5 * n - 40 * (n % 5 == 0)}
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


# %% role="wrong" exercise="run" misconception="Save first: what is saved is safe" caught="check" says="the sink as without a crash"
def run(log, store, sink):
    saved = store.load() or {"offset": 0, "state": {}}
    state = saved["state"]
    for offset in range(saved["offset"], len(log)):
        rows = advance(state, log[offset])
        if (offset + 1) % EVERY == 0:
            store.save({"offset": offset + 1, "state": state})
        for key, row in rows:
            sink.put(key, row)
    store.save({"offset": len(log), "state": state})


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
# - The watermark is the smallest of the airports' own: each one's largest `time` so far, this event included, minus `delay`.
#   While an airport has sent nothing there is none: nothing fires, nothing is late. At the end, it is after everything.
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
    whole = [
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
    airports = ["EWR", "JFK", "LGA"]
    rules = {"size": 60, "delay": 10, "lateness": 30, "airports": airports}
    silent = [
        (("A", "EWR", 10, 5), []),
        (("B", "JFK", 200, 2), []),
        (None, [("on time", "EWR", 0, 1, 5), ("on time", "JFK", 180, 1, 2)]),
    ]
    corrected = [
        (("A", "EWR", 10, 5), []),
        (("B", "JFK", 75, 2), []),
        (("C", "LGA", 80, 1), []),
        (("D", "EWR", 70, 3), [("on time", "EWR", 0, 1, 5)]),
        (("E", "EWR", 50, 1), [("late", "EWR", 0, 2, 6)]),
        (
            None,
            [
                ("on time", "EWR", 60, 1, 3),
                ("on time", "JFK", 60, 1, 2),
                ("on time", "LGA", 60, 1, 1),
            ],
        ),
    ]
    for script in (whole, silent, corrected, [(None, [])]):
        events = [e and dict(zip(keys, e, strict=True)) for e, _ in script]
        results, _ = answer.call("streamed", events, rules)
        for n, (event, rows) in enumerate(script):
            expected = [
                dict(zip(names if len(row) > 2 else ("kind", "id"), row, strict=True))
                for row in rows
            ]
            answer.equal(
                sorted(results[n], key=lambda row: json.dumps(row, sort_keys=True)),
                sorted(expected, key=lambda row: json.dumps(row, sort_keys=True)),
                asked=f"what {event or 'the end'} gives (id, origin, time, delay), with "
                "windows of 60, delay 10, lateness 30 and the three airports, after "
                f"{[e for e, _ in script[:n]]}",
            )
    events = [
        {"id": f"D{n}", "origin": airports[n % 3], "time": 5 * n, "delay": 0}
        for n in range(600)
    ]
    _, sizes = answer.call("streamed", events, rules)
    grown = max(sizes) / max(sizes[:100])
    answer.true(
        grown < 2,
        asked="a state that does not grow: of 600 events, five minutes apart, less than "
        "twice what the first 100 need",
        found=f"{grown:.1f} times as many characters",
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
        rows = []
        for one in counted.keys() - shown:
            row = {"kind": "on time", "origin": one[0], "start": one[1]}
            row |= {"departures": len(counted[one])}
            rows.append(row | {"minutes": sum(counted[one].values())})
        expected.append(sorted(json.dumps(row, sort_keys=True) for row in rows))
        rules = {"size": size, "delay": delay, "lateness": lateness}
        found, sizes = answer.call(
            "streamed", [*events, None], rules | {"airports": airports}
        )
        wrong = [
            n
            for n, rows in enumerate(found)
            if sorted(json.dumps(row, sort_keys=True) for row in rows) != expected[n]
        ]
        answer.equal(
            wrong,
            [],
            asked=f"what each of {len(events)} events of {len(airports)} airport(s) and the end "
            f"give, with windows of {size}, delay {delay}, lateness {lateness}",
            found=f"other results from {len(wrong)} calls, first from number {wrong[:1]}",
        )
        answer.true(
            max(sizes) <= 2 * max(sizes[:150]),
            asked="a state that does not grow: at most twice what the first 150 calls needed",
            found=f"{max(sizes) // max(1, max(sizes[:150]))} times as many characters",
        )
    found, _ = answer.call(
        "streamed", [*events[:40], None], rules | {"airports": [*airports, "XYZ"]}
    )
    answer.equal(
        [len(rows) for rows in found],
        [0] * 40 + [len({(e["origin"], e["time"] // size) for e in events[:40]})],
        asked="numbers of results of 40 events and the end, where one of three airports "
        "sends nothing",
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


# %% role="wrong" exercise="aggregate" misconception="Memory is cheap, nothing need be forgotten" caught="check" says="a state that does not grow"
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


# %% role="wrong" exercise="aggregate" misconception="The end shows every open window once more" caught="check" says="what the end gives"
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
        if end <= mark and (event is None or window["shown"] < departures):
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if event and window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
    return found


# %% role="wrong" exercise="aggregate" misconception="Without a watermark a stream cannot end" caught="check" says="what the end gives"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    waiting = len(newest) < len(rules["airports"])
    found, mark = [], float("-inf") if waiting else float("inf")
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


# %% role="wrong" exercise="aggregate" misconception="The ids must outlive their windows" caught="check" says="times as many characters"
def aggregate(state, event, rules):
    newest = state.setdefault("newest", {})
    windows_of = state.setdefault("windows", {})
    ids = state.setdefault("ids", [])
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
                {"origin": origin, "start": start, "n": 0, "minutes": 0, "shown": 0},
            )
            if event["id"] not in ids:
                ids.append(event["id"])
                window["n"] += 1
                window["minutes"] += event["delay"]
    for key, window in [*windows_of.items()]:
        end = window["start"] + rules["size"]
        departures = window["n"]
        if end <= mark and window["shown"] < departures:
            row = {name: window[name] for name in ("origin", "start", "minutes")}
            row |= {"kind": "late" if window["shown"] else "on time"}
            found.append(row | {"departures": departures})
            window["shown"] = departures
        if end + rules["lateness"] <= mark:
            del windows_of[key]
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
# | read panes | accumulating or discarding: ask |
# | drop repeats | refuse what is older than your memory |
# | survive a crash | state and offset together; output by key |
# | build an aggregator | a batch is a stream that ends |
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
# **New words.** *Trigger*: when a window fires. *Pane*: one of a window's results. *Checkpoint*: state and offset together.
#
# **Read on.** Apache Beam Programming Guide, "Triggers" (2026). P. Carbone and others, "State Management in Apache
# Flink", VLDB (2017).

# %%
lab.close()
