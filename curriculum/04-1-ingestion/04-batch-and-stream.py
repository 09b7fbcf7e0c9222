# %% [markdown] minutes=60 datasets=["flights"] systems=["kafka", "postgresql"]
# # Batch and stream, ETL and ELT
#
# On a day of snow, the delay board shows yesterday. You measure how old an answer is and what a fresher
# one costs, and build loads that no outage makes wrong.

# %% [markdown]
# ## You will be able to
#
# - say how old an answer is (exercise 1)
# - end a batch on an endless topic (exercise 2)
# - count in a stream what comes late and twice (exercise 3)
# - commit effect and offset in the right order (exercise 4)
# - transform raw messages in the database, and lose none (exercise 5)
# - find out what a producer changed, and when (exercise 6)
# - compute past days anew (exercise 7)
# - build one loader of all that (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: `GROUP BY`, `INSERT`, transactions | exercises 3 to 8 |
# | Python functions | every answer is one |
# | the labs *APIs*, *Change data capture* | *idempotent*, *at least once* come from there |
#
# Kafka and PostgreSQL are the real ones (engine). The flights are real, the arrival times of messages
# invented.

# %% role="setup"
import itertools
import json
import random
import statistics
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
import psycopg
import pyarrow.compute as pc
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-1-ingestion/04-batch-and-stream")
kafka = service("kafka")
pg = service("postgresql")
admin = kafka.client()
producer = kafka.producer()
lab

# %%
NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT = datetime(2013, 3, 8, tzinfo=NEW_YORK)


def departures_of(days):
    """Departures of days in March 2013; minutes count from midnight of 8 March."""
    draw = random.Random(8)
    found = []
    chosen = (pc.field("month") == 3) & pc.field("day").isin(days)
    rows = dataset("flights").arrow().filter(chosen & pc.field("dep_delay").is_valid())
    for row in rows.to_pylist():
        planned = row["time_hour"] + timedelta(minutes=row["minute"])
        left = planned + timedelta(minutes=row["dep_delay"])
        happened = int((left - MIDNIGHT).total_seconds() // 60)
        lag = draw.choices([1, 2, 4, 20, 150], [50, 30, 15, 4.7, 0.3])[0]
        flight = f"{row['carrier']}{row['flight']}-{row['origin']}"
        event = {"id": f"{flight}-{row['day']:02}", "origin": row["origin"]}
        event |= {"departed": left.astimezone(NEW_YORK).isoformat()}
        event |= {"delay": row["dep_delay"]}
        found.append(event | {"happened": happened, "arrived": happened + lag})
    return sorted(found, key=lambda event: event["arrived"])


EVENTS = departures_of([7, 8])
print(len(EVENTS), "departures, for example", EVENTS[800])

# %% [markdown] topics=["4.1-2"]
# ## The board that showed yesterday
#
# 8 March 2013 is a day of snow. A nightly job fills the delay board at midnight, from all messages that
# have arrived.
#
# **Predict:** it is 17:00. What does the board show, and what if it were filled at 16:00, or now?


# %%
def board(arrived_by):
    """The latest day that is known from what has arrived, its flights, their mean delay."""
    known = [event for event in EVENTS if event["arrived"] <= arrived_by]
    day = max(event["happened"] // 1440 for event in known)
    delays = [e["delay"] for e in known if e["happened"] // 1440 == day]
    return (
        f"{8 + day} March: {len(delays)} flights, {statistics.mean(delays):.0f} minutes"
    )


for name, hour in {"nightly": 0, "hourly": 16, "now": 17}.items():
    print(f"{name:<8} {board(60 * hour)}")

# %% [markdown]
# It is the right answer, about another day. *Freshness* must be a number, or nobody notices:
#
# | Time since | Fooled by |
# |---|---|
# | the last run | a run that found nothing |
# | the newest event in the answer | one quick message among a thousand missing ones |
# | the oldest event *not* in the answer | nothing, but it is known only later |
#
# The third is the *age*: up to there, the answer is complete. An event happens, its message arrives, a run
# publishes it; each step takes time.

# %% [markdown] role="task" exercise="ages" points=2 topics=["4.1-2"]
# ### How old is the answer?
#
# Write `ages(events, runs, moments)`. All times are minutes.
#
# - An event has `happened` and `arrived`.
# - A run has `start` and `end`. It reads all that has arrived by its start (that minute included). From its
#   end on, its answer is shown, until the next run ends. Runs do not overlap. At first, the answer is empty.
#
# Return the age at each moment, as a list: the time since the oldest event that has happened by then and is
# not in the answer shown; 0 if there is none.
#
# Example: events happen at 10 and 20, and arrive at 12 and 21. One run goes from 15 to 18. At 17 the age
# is 7, at 19 it is 0, at 30 it is 10.
#
# Why: "fresh within 15 minutes" is a promise that you can now check.


# %% role="answer" exercise="ages"
def ages(events: list[dict], runs: list[dict], moments: list[int]) -> list[int]:
    """Minutes since the oldest event that is missing in the answer, for each moment."""
    ### BEGIN SOLUTION
    found = []
    for moment in moments:
        read = max((r["start"] for r in runs if r["end"] <= moment), default=None)
        missing = [
            event["happened"]
            for event in events
            if event["happened"] <= moment and (read is None or event["arrived"] > read)
        ]
        found.append(moment - min(missing, default=moment))
    return found
    ### END SOLUTION


# %% role="check" exercise="ages"
with lab.check("ages") as answer:
    events = [
        {"happened": happened, "arrived": arrived}
        for happened, arrived in [(10, 15), (20, 21), (22, 60), (50, 51), (68, 71)]
    ]
    runs = [
        {"start": 15, "end": 18},
        {"start": 40, "end": 55},
        {"start": 70, "end": 71},
    ]
    for moment, expected in {
        5: 0,
        17: 7,
        18: 0,
        30: 10,
        54: 34,
        55: 33,
        70: 48,
        72: 4,
        99: 31,
    }.items():
        answer.equal(
            answer.call("ages", events, runs, [moment]),
            [expected],
            asked=f"the age at {moment}, with events {[(*e.values(),) for e in events]} "
            f"(happened, arrived) and runs {[(*r.values(),) for r in runs]} (start, end)",
        )

# %% role="hidden" exercise="ages"
with lab.check("ages", hidden=True) as answer:
    draw = answer.random
    events = []
    for _ in range(60):
        happened = draw.randrange(300)
        events.append({"happened": happened, "arrived": happened + draw.randrange(40)})
    runs = [
        {"start": start, "end": start + draw.randrange(29)}
        for start in range(30, 330, 30)
    ]
    moments = draw.sample(range(-20, 400), 80)
    expected = []
    for moment in moments:
        shown = [run["start"] for run in runs if run["end"] <= moment] or [-1]
        gone = [e["happened"] for e in events if e["arrived"] > shown[-1]]
        expected.append(max([moment - time for time in gone if time <= moment] or [0]))
    answer.equal(
        answer.call("ages", events, runs, moments),
        expected,
        asked="the ages at 80 moments in any order, with 60 events and 10 runs",
    )

# %% [markdown] role="hint" exercise="ages"
# Which run's answer is shown at a moment? What had arrived when that run *began*?

# %% [markdown] role="hint" exercise="ages"
# The latest `start` among the runs that have ended says what was read. `max` and `min` take a `default`
# for the case that there is nothing.

# %% [markdown] role="hint" exercise="ages"
# ```python
# for moment in moments:
#     read = max((... for r in runs if ...), default=None)
#     missing = [event["happened"] for event in events if ...]
#     found.append(moment - min(missing, default=...))
# ```


# %% role="right" exercise="ages"
def ages(events, runs, moments):
    result = []
    for moment in moments:
        ended = sorted(
            (run for run in runs if run["end"] <= moment), key=lambda r: r["end"]
        )
        shown = set()
        if ended:
            shown = {
                n for n, e in enumerate(events) if e["arrived"] <= ended[-1]["start"]
            }
        oldest = moment
        for n, event in enumerate(events):
            if n not in shown and event["happened"] < oldest:
                oldest = event["happened"]
        result.append(moment - oldest)
    return result


# %% [markdown] role="equivalent" exercise="ages" reason="an event that happens at this very moment is 0 minutes old"
# - if event["happened"] <= moment and (read is None or event["arrived"] > read)
# + if event["happened"] < moment and (read is None or event["arrived"] > read)


# %% role="wrong" exercise="ages" misconception="An answer is as old as its newest event" caught="check" says="age at"
def ages(events, runs, moments):
    found = []
    for moment in moments:
        read = max((r["start"] for r in runs if r["end"] <= moment), default=-1)
        known = [e["happened"] for e in events if e["arrived"] <= read]
        found.append(moment - max(known, default=moment))
    return found


# %% role="wrong" exercise="ages" misconception="An answer is as old as its run" caught="check" says="age at"
def ages(events, runs, moments):
    ends = {
        m: max((r["end"] for r in runs if r["end"] <= m), default=m) for m in moments
    }
    return [moment - ends[moment] for moment in moments]


# %% role="wrong" exercise="ages" misconception="A run contains all that arrived before it ended" caught="check" says="age at 72"
def ages(events, runs, moments):
    found = []
    for moment in moments:
        read = max((r["end"] for r in runs if r["end"] <= moment), default=-1)
        missing = [
            e["happened"]
            for e in events
            if e["happened"] <= moment and e["arrived"] > read
        ]
        found.append(moment - min(missing, default=moment))
    return found


# %% role="wrong" exercise="ages" misconception="What has happened has arrived" caught="check" says="age at 55"
def ages(events, runs, moments):
    found = []
    for moment in moments:
        read = max((r["start"] for r in runs if r["end"] <= moment), default=-1)
        missing = [e["happened"] for e in events if read < e["happened"] <= moment]
        found.append(moment - min(missing, default=moment))
    return found


# %% role="wrong" exercise="ages" misconception="An answer is shown when its run starts" caught="check" says="age at 17"
def ages(events, runs, moments):
    found = []
    for moment in moments:
        read = max((r["start"] for r in runs if r["start"] <= moment), default=-1)
        missing = [
            e["happened"]
            for e in events
            if e["happened"] <= moment and e["arrived"] > read
        ]
        found.append(moment - min(missing, default=moment))
    return found


# %% [markdown]
# Now 8 March, by three schedules, and by a stream that publishes each message as it arrives.
#
# **Predict:** how old does the stream get?

# %%
SCHEDULES = {
    "nightly, 60 min": [{"start": -1440, "end": -1380}, {"start": 0, "end": 60}],
    "hourly, 10 min": [{"start": s, "end": s + 10} for s in range(-120, 1440, 60)],
    "each 5, 1 min": [{"start": s, "end": s + 1} for s in range(-10, 1440, 5)],
    "stream": [{"start": s, "end": s} for s in range(-1, 1440)],
}
moments = range(0, 1440, 10)
figure, axes = plt.subplots(figsize=(7, 3.4))
for name, runs in SCHEDULES.items():
    found = ages(EVENTS, runs, [*moments]) or [0 for _ in moments]
    axes.plot([m / 60 for m in moments], [max(age, 1) for age in found], label=name)
    print(f"{name:<16} median {statistics.median(found):>5.0f}, worst {max(found):>5}")
axes.set(xlabel="hour of 8 March", ylabel="age in minutes", yscale="log")
axes.set_xticks(range(0, 25, 4))
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
picture(
    figure,
    alt="Age of the answer over 8 March, on a logarithmic scale: the nightly one climbs to over "
    "1,000 minutes, the hourly one is a saw between 10 and 80, the two others stay below 25. Soon "
    "after midnight a late message makes all of them 150 minutes old.",
)

# %% [markdown]
# No schedule is fresher than its source: a message that was 150 minutes on its way makes every answer
# old: *event time* is not *processing time*.

# %% [markdown] topics=["4.1-2"]
# ## A topic has no end
#
# A Kafka *topic* is a log in *partitions*. Messages with one key stay in one partition, in order. Each has
# an *offset*, its number there. A *group* of readers commits the offsets at which to go on.
#
# A batch must stop somewhere, while producers go on writing.
#
# **Predict:** five messages are sent, one in a transaction that is aborted. How many can be read, and what
# is the end offset?


# %%
class Outage(Exception):
    """A call to the database or to Kafka fails, before it has an effect."""


class Calls:
    """`before` runs ahead of each statement, commit and poll of the connections below."""

    before = staticmethod(lambda: None)


class Reader(KafkaConsumer):
    """A consumer which gives up after 30 polls."""

    polls = 0

    def poll(self, *args, **options):
        Calls.before()
        self.polls += 1
        if self.polls > 30:
            raise TimeoutError("30 polls, and no end")
        return super().poll(*args, **options)

    def commit(self, *args, **options):
        Calls.before()
        return super().commit(*args, **options)


def reader(topic, **options):
    """A consumer of a topic's partitions, from where the group "board" has committed."""
    settings = {"group_id": "board", "auto_offset_reset": "earliest"}
    settings |= {"enable_auto_commit": False, "isolation_level": "read_committed"}
    settings |= {"max_poll_records": 10, "auto_commit_interval_ms": 1}
    settings |= {"api_version": (4, 0), "fetch_max_wait_ms": 50, "retry_backoff_ms": 5}
    consumer = Reader(bootstrap_servers=kafka.bootstrap_servers, **settings | options)
    consumer.assign([TopicPartition(topic, number) for number in range(3)])
    return consumer


NUMBERS = itertools.count(1)
transactions = kafka.producer(transactional_id="airline")
transactions.init_transactions()


def new_topic():
    """A new topic with three partitions."""
    topic = f"departures-{next(NUMBERS)}"
    admin.create_topics([NewTopic(topic, 3, 1)])
    return topic


def send(topic, values, partition=None, aborted=False):
    """Send messages, the values as JSON with their id as key, or bytes as they are."""
    if aborted:
        transactions.begin_transaction()
    sender = transactions if aborted else producer
    for value in values:
        key = value["id"].encode() if isinstance(value, dict) else b"?"
        data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        sender.send(topic, data, key=key, partition=partition)
    sender.flush()
    if aborted:
        transactions.abort_transaction()
        # Kafka writes the mark "aborted" a moment later.
        every = reader(topic, isolation_level="read_uncommitted")
        with every, reader(topic) as ended:
            places = every.assignment()
            while every.end_offsets(places) != ended.end_offsets(places):
                pass


topic = new_topic()
send(topic, [b"one", b"two"], partition=0)
send(topic, [b"never happened"], partition=0, aborted=True)
send(topic, [b"three", b"four"], partition=0)
with reader(topic) as consumer:
    (place,) = [p for p in consumer.assignment() if p.partition == 0]
    found = {m.offset: m.value for batch in consumer.poll(2000).values() for m in batch}
    print(found, "end:", consumer.end_offsets([place])[place])

# %% [markdown]
# Four, and the end is 6: the aborted message has an offset, and the mark that says "aborted", too. So do
# not count. `position(partition)`, where the consumer reads next, moves over such gaps.

# %% [markdown] role="task" exercise="drain" points=2 topics=["4.1-2"]
# ### Read what is there, and stop
#
# Write `drain(consumer)`, where `consumer` comes from `reader`. Return a list of all messages between its
# positions and the ends of its partitions *at the time of the call*, those of one partition in order,
# whatever producers add meanwhile. Afterwards each position is that end, so that the next call finds the rest.
#
# `poll(200)` returns a dictionary: for each partition that has some, a list of messages (`offset`, `value`,
# …). `seek(partition, offset)` sets a position.
#
# Why: a batch that waits for silence never ends on a busy day.


# %%
def drained(script):
    """What calls of drain find: for each, the messages sent before it and during its polls."""
    topic, found = new_topic(), []
    with reader(topic) as consumer:
        for before, during in script:
            for sent in before:
                send(topic, **sent)
            live = iter(during)
            Calls.before = staticmethod(
                lambda live=live: send(topic, **next(live, {"values": []}))
            )
            try:
                messages = drain(consumer)
            finally:
                Calls.before = staticmethod(lambda: None)
            values = {0: [], 1: [], 2: []}
            for message in messages:
                values[message.partition].append(message.value.decode())
            found.append(values)
    return found


# %% role="answer" exercise="drain"
def drain(consumer: KafkaConsumer) -> list:
    """All messages up to the ends at the time of the call."""
    ### BEGIN SOLUTION
    ends = consumer.end_offsets(consumer.assignment())
    found = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for place, batch in consumer.poll(200).items():
            found += [message for message in batch if message.offset < ends[place]]
    for place, end in ends.items():
        consumer.seek(place, end)
    return found
    ### END SOLUTION


# %% role="check" exercise="drain"
with lab.check("drain") as answer:
    answer.value("drain")
    first = [
        {"values": [b"a", b"b", b"c"], "partition": 0},
        {"values": [b"d"], "partition": 1},
    ]
    late = [{"values": [f"late {n}".encode()], "partition": n % 2} for n in range(60)]
    found = answer.call("drained", [(first, late), ([], [])])
    answer.equal(
        found[0],
        {0: ["a", "b", "c"], 1: ["d"], 2: []},
        asked="a, b, c and d of two partitions, while a producer sends another one before each poll",
    )
    answer.true(
        found[1][0][:1] == ["late 0"],
        asked="the message that was sent during the first call, from the second call",
        found=f"{found[1]}",
    )

# %% role="hidden" exercise="drain"
with lab.check("drain", hidden=True) as answer:
    answer.value("drain")
    script, expected = [], []
    for call in range(3):
        sent = {
            n: [f"{n}-{call}-{k}" for k in range(answer.random.randrange(1, 40))]
            for n in (0, 2)
        }
        before = [
            {"values": [v.encode() for v in values], "partition": n}
            for n, values in sent.items()
        ]
        before.insert(1, {"values": [b"no"], "partition": 1, "aborted": True})
        before.append({"values": [b"no"], "partition": 2, "aborted": True})
        script.append((before, []))
        expected.append({0: sent[0], 1: [], 2: sent[2]})
    script.append(([], []))
    expected.append({0: [], 1: [], 2: []})
    answer.equal(
        answer.call("drained", script),
        expected,
        asked="what three deliveries and an empty one left, with aborted messages at the ends",
    )

# %% [markdown] role="hint" exercise="drain"
# When do you ask for the ends: before the first poll, or after each? What does a poll return that nobody
# asked for?

# %% [markdown] role="hint" exercise="drain"
# `consumer.assignment()` gives the partitions, `consumer.end_offsets(…)` a dictionary of their ends. Go on
# while some `position` is before its end.

# %% [markdown] role="hint" exercise="drain"
# ```python
# ends = consumer.end_offsets(...)
# found = []
# while any(... for place, end in ends.items()):
#     for place, batch in consumer.poll(200).items():
#         found += [... if ...]
# for place, end in ends.items():
#     ...
# return found
# ```


# %% role="right" exercise="drain"
def drain(consumer):
    ends = {p: consumer.end_offsets([p])[p] for p in consumer.assignment()}
    result, waiting = {place: [] for place in ends}, set(ends)
    while True:
        for place in sorted(waiting):
            if consumer.position(place) >= ends[place]:
                consumer.seek(place, ends[place])
                consumer.pause(place)
                waiting.remove(place)
        if not waiting:
            break
        for place, batch in consumer.poll(timeout_ms=100).items():
            result[place].extend(m for m in batch if m.offset < ends[place])
    consumer.resume(*ends)
    return [message for messages in result.values() for message in messages]


# %% [markdown] role="equivalent" exercise="drain" reason="how long a poll may wait is all the same"
# - for place, batch in consumer.poll(200).items():
# + for place, batch in consumer.poll(201).items():

# %% [markdown] role="equivalent" exercise="drain" reason="how long a poll may wait is all the same"
# - for place, batch in consumer.poll(200).items():
# + for place, batch in consumer.poll((199)).items():


# %% role="wrong" exercise="drain" misconception="Read until a poll finds nothing" caught="check" says="no end"
def drain(consumer):
    found = []
    while polled := consumer.poll(200):
        for batch in polled.values():
            found += batch
    return found


# %% role="wrong" exercise="drain" misconception="One poll returns all there is" caught="check" says="late 0"
def drain(consumer):
    return [message for batch in consumer.poll(200).values() for message in batch]


# %% role="wrong" exercise="drain" misconception="What was fetched too much comes again by itself" caught="check" says="from the second call"
def drain(consumer):
    ends = consumer.end_offsets(consumer.assignment())
    found = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for place, batch in consumer.poll(200).items():
            found += [message for message in batch if message.offset < ends[place]]
    return found


# %% role="wrong" exercise="drain" misconception="The end minus the position is the number of messages" caught="hidden" says="no end"
def drain(consumer):
    ends = consumer.end_offsets(consumer.assignment())
    wanted = sum(end - consumer.position(place) for place, end in ends.items())
    found = []
    while len(found) < wanted:
        for place, batch in consumer.poll(200).items():
            found += [message for message in batch if message.offset < ends[place]]
    for place, end in ends.items():
        consumer.seek(place, end)
    return found


# %% role="wrong" exercise="drain" misconception="The ends may be asked for again and again" caught="check" says="no end"
def drain(consumer):
    places = consumer.assignment()
    found = []
    while any(
        consumer.position(p) < end for p, end in consumer.end_offsets(places).items()
    ):
        for batch in consumer.poll(200).values():
            found += batch
    return found


# %% role="wrong" exercise="drain" misconception="Past the end means lost, so nothing may be dropped" caught="check" says="late 0"
def drain(consumer):
    ends = consumer.end_offsets(consumer.assignment())
    found = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for batch in consumer.poll(200).values():
            found += batch
    return found


# %% [markdown] topics=["4.1-2"]
# ## The same question as a stream
#
# How many departures, and what delay, by airport and hour? A batch groups all events (`BATCH` below). A
# stream keeps the groups and adds to them. Both must agree in the end.
#
# - A *late* event belongs to the hour in which the flight left.
# - A producer that got no answer sends again: the same event, at another offset.
# - Each partition may have its own consumer, so several add to one row.

# %%
TABLES = """
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public;
    CREATE TABLE seen (id text PRIMARY KEY, origin text, departed timestamptz, delay int);
    CREATE TABLE board (origin text, hour timestamptz, departures int, minutes int,
        PRIMARY KEY (origin, hour));
    CREATE TABLE raw (part int, place int, arrived timestamptz, body jsonb,
        PRIMARY KEY (part, place));
    CREATE TABLE bad (part int, place int, value bytea, PRIMARY KEY (part, place));
    CREATE TABLE daily (day date, origin text, departures int, minutes int,
        PRIMARY KEY (day, origin));
    CREATE TABLE done (run text, day date, PRIMARY KEY (run, day));
"""


class Connection(psycopg.Connection):
    """A connection that runs `Calls.before` ahead of each commit and end of a block."""

    def commit(self):
        Calls.before()
        super().commit()

    @contextmanager
    def transaction(self, *args, **options):
        with super().transaction(*args, **options) as block:
            yield block
            Calls.before()


class Cursor(psycopg.Cursor):
    """A cursor that runs `Calls.before` ahead of each statement."""

    def execute(self, *args, **options):
        Calls.before()
        return super().execute(*args, **options)

    def executemany(self, *args, **options):
        Calls.before()
        return super().executemany(*args, **options)


def connect(**options):
    """A connection; `with connect() as db:` commits at its end. It waits a second for locks."""
    settings = {
        "cursor_factory": Cursor,
        "application_name": "answer",
        "sslmode": "disable",
    }
    settings |= {"options": "-c lock_timeout=1s -c statement_timeout=3s"}
    return Connection.connect(pg.dsn(), **settings | options)


def fresh():
    """Begin anew, with empty tables."""
    Calls.before = staticmethod(lambda: None)
    with pg.client() as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'answer'"
        )
        db.execute(TABLES)


BATCH = """
    SELECT origin, date_trunc('hour', departed) AS hour,
        count(*) AS departures, sum(delay) AS minutes
    FROM seen GROUP BY 1, 2
"""
fresh()

# %% [markdown] role="task" exercise="count" points=3 topics=["4.1-2"]
# ### Count each departure once
#
# Write `count(db, events)`. An event is a dictionary with `id`, `origin`, `departed` (text in ISO 8601) and
# `delay`. If its `id` is not in the table `seen`, add the event to `seen`, and one departure and the delay to the
# row of `board` for its `origin` and the `hour` it began. Else it changes nothing.
#
# Others add to `board` at the same time: lose no addition. Do not commit, the caller does.
#
# Example: EWR at 10:05 and 10:40, 12 and 3 minutes late: EWR, 10:00, 2 departures, 15 minutes.
#
# Why: sums kept by a stream drift away from the truth without a sound.


# %%
def counted(deliveries):
    """The board after some deliveries, while somebody else adds to it before each statement.

    Returns what a batch over seen finds, the board, and how often somebody added.
    """
    fresh()
    added = [0]
    patience = "-c lock_timeout=20"
    with pg.client(options=patience) as rival, connect() as db:
        rival.execute("INSERT INTO board VALUES ('JFK', '2013-03-08 15:00Z', 0, 0)")

        def add():
            try:
                rival.execute(
                    "UPDATE board SET departures = departures + 1 WHERE origin = 'JFK'"
                )
                added[0] += 1
            except psycopg.errors.LockNotAvailable:
                pass  # the answer changes this row right now

        for events in deliveries:
            Calls.before = staticmethod(add)
            try:
                count(db, events)
            finally:
                Calls.before = staticmethod(lambda: None)
            db.commit()
        names = ("origin", "hour", "departures", "minutes")
        found = {}
        for name, query in {"batch": BATCH, "board": "TABLE board"}.items():
            rows = db.execute(query).fetchall()
            found[name] = [dict(zip(names, row, strict=True)) for row in rows]
    return found | {"added": added[0]}


# %% role="answer" exercise="count" dialect="postgres"
def count(db: psycopg.Connection, events: list[dict]) -> None:
    """Add events to the board, each id once."""
    ### BEGIN SOLUTION
    db.execute(
        """
        WITH fresh AS (
            INSERT INTO seen (id, origin, departed, delay)
            SELECT id, origin, departed, delay
            FROM jsonb_to_recordset(%s)
                AS e(id text, origin text, departed timestamptz, delay int)
            ON CONFLICT DO NOTHING
            RETURNING origin, departed, delay
        )
        INSERT INTO board
        SELECT origin, date_trunc('hour', departed), count(*), sum(delay)
        FROM fresh GROUP BY 1, 2
        ON CONFLICT (origin, hour) DO UPDATE SET
            departures = board.departures + excluded.departures,
            minutes = board.minutes + excluded.minutes
        """,
        [json.dumps(events)],
    )
    ### END SOLUTION


# %% role="check" exercise="count"
with lab.check("count") as answer:
    answer.value("count")
    names = ("id", "origin", "departed", "delay")
    rows = [
        ("UA1", "EWR", "2013-03-08T10:05:00-05:00", 12),
        ("UA2", "EWR", "2013-03-08T10:40:00-05:00", 3),
        ("B61", "JFK", "2013-03-08T10:59:59-05:00", -4),
    ]
    events = [dict(zip(names, row, strict=True)) for row in rows]
    hour = datetime(2013, 3, 8, 15, tzinfo=UTC)
    deliveries = {
        "once": [events],
        "in two deliveries": [events[1:], events[:1]],
        "twice": [events, events[::-1]],
        "with repeats in one delivery": [events + events],
    }
    for what, delivery in deliveries.items():
        found = answer.call("counted", delivery)
        answer.same_rows(
            found["board"],
            [
                {"origin": "EWR", "hour": hour, "departures": 2, "minutes": 15},
                {
                    "origin": "JFK",
                    "hour": hour,
                    "departures": 1 + found["added"],
                    "minutes": -4,
                },
            ],
            asked=f"the board after {rows}, delivered {what}, while somebody else "
            f"adds {found['added']} to the departures of JFK",
            key=["origin", "hour"],
        )

# %% role="hidden" exercise="count"
with lab.check("count", hidden=True) as answer:
    answer.value("count")
    start = datetime(2013, 3, 9, 22, tzinfo=UTC)
    events, expected = [], {}
    for number in range(60):
        left = start + timedelta(seconds=answer.random.randrange(5 * 3600))
        origin, delay = (
            answer.random.choice(["EWR", "LGA"]),
            answer.random.randint(-9, 99),
        )
        zone = answer.random.choice([UTC, ZoneInfo("America/New_York")])
        event = {"id": f"Ñ{number}", "origin": origin, "delay": delay}
        events.append(event | {"departed": left.astimezone(zone).isoformat()})
        key = (origin, left.replace(minute=0, second=0))
        total = expected.get(key, (0, 0))
        expected[key] = (total[0] + 1, total[1] + delay)
    mixed = events + answer.random.sample(events, 30)
    answer.random.shuffle(mixed)
    found = answer.call("counted", [mixed[n : n + 30] for n in range(0, 90, 30)])
    names = ("origin", "hour", "departures", "minutes")
    rows = [
        dict(zip(names, [*key, *total], strict=True)) for key, total in expected.items()
    ]
    answer.same_rows(
        [row for row in found["board"] if row["origin"] != "JFK"],
        rows,
        asked="the board after 60 events around midnight, half of them twice, in three deliveries",
        key=["origin", "hour"],
    )
    answer.same_rows(
        found["batch"],
        rows,
        asked="each event in seen, so that a batch finds the same",
        key=["origin", "hour"],
    )

# %% [markdown] role="hint" exercise="count"
# How does an `INSERT` tell you which rows are new? Who else may write between your reading a number and your
# writing it?

# %% [markdown] role="hint" exercise="count"
# `INSERT … ON CONFLICT DO NOTHING RETURNING …` returns only new rows. In `DO UPDATE SET`, `board.x` is the row
# as it is now and `excluded.x` the one that you bring. `date_trunc('hour', …)` cuts.

# %% [markdown] role="hint" exercise="count"
# ```python
# for event in events:
#     new = db.execute("INSERT INTO seen VALUES (...) ON CONFLICT ... RETURNING ...", event)
#     if new.fetchone():
#         db.execute(
#             "INSERT INTO board VALUES (...) ON CONFLICT (origin, hour)"
#             " DO UPDATE SET departures = ..., minutes = ...",
#             event,
#         )
# ```
# One statement for all events is faster: `WITH fresh AS (INSERT … RETURNING …) INSERT …`.


# %% role="right" exercise="count"
def count(db, events):
    for event in events:
        new = db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT (id) DO NOTHING RETURNING id",
            event,
        ).fetchone()
        if new:
            db.execute(
                "INSERT INTO board VALUES (%(origin)s,"
                " date_trunc('hour', %(departed)s::timestamptz), 1, %(delay)s)"
                " ON CONFLICT (origin, hour) DO UPDATE SET"
                " departures = board.departures + 1, minutes = board.minutes + %(delay)s",
                event,
            )


# %% role="right" exercise="count"
def count(db, events):
    unique = list({event["id"]: event for event in events}.values())
    known = {
        id
        for (id,) in db.execute(
            "SELECT id FROM seen WHERE id = ANY(%s)", [[e["id"] for e in unique]]
        )
    }
    totals = {}
    for event in unique:
        if event["id"] not in known:
            db.execute(
                "INSERT INTO seen (delay, departed, origin, id) VALUES (%s, %s, %s, %s)",
                [event["delay"], event["departed"], event["origin"], event["id"]],
            )
            left = datetime.fromisoformat(event["departed"]).astimezone(UTC)
            key = (event["origin"], left.replace(minute=0, second=0, microsecond=0))
            n, minutes = totals.get(key, (0, 0))
            totals[key] = (n + 1, minutes + event["delay"])
    for (origin, hour), (n, minutes) in sorted(totals.items()):
        db.execute(
            "INSERT INTO board AS b VALUES (%s, %s, %s, %s) ON CONFLICT (origin, hour)"
            " DO UPDATE SET departures = b.departures + %s, minutes = b.minutes + %s",
            [origin, hour, n, minutes, n, minutes],
        )


# %% role="wrong" exercise="count" misconception="Kafka delivers each event once" caught="check" says="delivered twice"
def count(db, events):
    for event in events:
        db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT DO NOTHING",
            event,
        )
        db.execute(
            "INSERT INTO board VALUES (%(origin)s,"
            " date_trunc('hour', %(departed)s::timestamptz), 1, %(delay)s)"
            " ON CONFLICT (origin, hour) DO UPDATE SET"
            " departures = board.departures + 1, minutes = board.minutes + excluded.minutes",
            event,
        )


# %% role="wrong" exercise="count" misconception="Nobody writes between my reading and my writing" caught="check" says="somebody else"
def count(db, events):
    for event in events:
        new = db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT (id) DO NOTHING RETURNING date_trunc('hour', departed)",
            event,
        ).fetchone()
        if new:
            key = [event["origin"], new[0]]
            old = db.execute(
                "SELECT departures, minutes FROM board WHERE origin = %s AND hour = %s",
                key,
            ).fetchone() or (0, 0)
            db.execute(
                "INSERT INTO board VALUES (%s, %s, %s, %s) ON CONFLICT (origin, hour)"
                " DO UPDATE SET departures = excluded.departures, minutes = excluded.minutes",
                [*key, old[0] + 1, old[1] + event["delay"]],
            )


# %% role="wrong" exercise="count" misconception="An upsert makes everything idempotent" caught="check" says="delivered once"
def count(db, events):
    totals = {}
    for event in {event["id"]: event for event in events}.values():
        db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT DO NOTHING",
            event,
        )
        left = datetime.fromisoformat(event["departed"])
        key = (event["origin"], left.replace(minute=0, second=0))
        n, minutes = totals.get(key, (0, 0))
        totals[key] = (n + 1, minutes + event["delay"])
    for (origin, hour), (n, minutes) in totals.items():
        db.execute(
            "INSERT INTO board VALUES (%s, %s, %s, %s) ON CONFLICT (origin, hour)"
            " DO UPDATE SET departures = greatest(board.departures, excluded.departures),"
            " minutes = excluded.minutes",
            [origin, hour, n, minutes],
        )


# %% role="wrong" exercise="count" misconception="Compute all anew, that is always right" caught="check" says="somebody else"
def count(db, events):
    for event in events:
        db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT DO NOTHING",
            event,
        )
    db.execute("DELETE FROM board")
    db.execute(
        "INSERT INTO board SELECT origin, date_trunc('hour', departed), count(*), sum(delay)"
        " FROM seen GROUP BY 1, 2"
    )


# %% role="wrong" exercise="count" misconception="Repeats come in one delivery" caught="check" says="delivered twice"
def count(db, events):
    for event in {event["id"]: event for event in events}.values():
        db.execute(
            "INSERT INTO board VALUES (%(origin)s,"
            " date_trunc('hour', %(departed)s::timestamptz), 1, %(delay)s)"
            " ON CONFLICT (origin, hour) DO UPDATE SET"
            " departures = board.departures + 1, minutes = board.minutes + excluded.minutes",
            event,
        )


# %% role="wrong" exercise="count" misconception="The hour is what stands in the text" caught="check" says="should not be there"
def count(db, events):
    for event in events:
        new = db.execute(
            "INSERT INTO seen VALUES (%(id)s, %(origin)s, %(departed)s, %(delay)s)"
            " ON CONFLICT (id) DO NOTHING RETURNING id",
            event,
        ).fetchone()
        if new:
            db.execute(
                "INSERT INTO board VALUES (%s, %s, 1, %s) ON CONFLICT (origin, hour)"
                " DO UPDATE SET departures = board.departures + 1,"
                " minutes = board.minutes + excluded.minutes",
                [event["origin"], event["departed"][:13] + ":00", event["delay"]],
            )


# %% role="wrong" exercise="count" misconception="To know an event again, its id is enough" caught="hidden" says="a batch finds the same"
def count(db, events):
    for event in events:
        new = db.execute(
            "INSERT INTO seen (id) VALUES (%(id)s) ON CONFLICT DO NOTHING RETURNING id",
            event,
        ).fetchone()
        if new:
            db.execute(
                "INSERT INTO board VALUES (%(origin)s,"
                " date_trunc('hour', %(departed)s::timestamptz), 1, %(delay)s)"
                " ON CONFLICT (origin, hour) DO UPDATE SET"
                " departures = board.departures + 1, minutes = board.minutes + excluded.minutes",
                event,
            )


# %% [markdown]
# Now both ways on the real departures, in any order, 300 of them twice.
#
# **Predict:** how many departures does the stream have, how many the batch?

# %%
fresh()
mixed = EVENTS + EVENTS[:300]
random.Random(4).shuffle(mixed)
with connect() as db:
    for first in range(0, len(mixed), 100):
        count(db, mixed[first : first + 100])
    for name, query in {"stream": "TABLE board", "batch": BATCH}.items():
        rows = sorted(db.execute(query).fetchall())
        print(
            f"{name:<7} {sum(row[2] for row in rows)} departures in {len(rows)} rows, {rows[:1]}"
        )

# %% [markdown] topics=["4.1-2"]
# ## Break it: an outage between effect and offset
#
# The effect is in PostgreSQL, the offset in Kafka, and no transaction spans both.
#
# | First | Then | After an outage in between, messages are |
# |---|---|---|
# | offset | effect | lost: *at most once* |
# | effect | offset | read again: *at least once* |
#
# `enable_auto_commit=True`, the default of kafka-python, commits what has been *read*, now and then and on
# `close()`, whatever became of it.
#
# **Predict:** the database fails while a consumer works on two messages. What does the next consumer read?

# %%
for automatic in (True, False):
    topic = new_topic()
    send(topic, [b"one", b"two"], partition=0)
    consumer = reader(topic, enable_auto_commit=automatic)
    consumer.poll(2000)  # and now the database fails
    consumer.close()
    with reader(topic) as consumer:
        found = [m.value for batch in consumer.poll(1000).values() for m in batch]
    print(f"auto commit {automatic!s:<5} the next one reads {found}")

# %% [markdown] role="task" exercise="consume" points=2 topics=["4.1-2"]
# ### First the effect, then the offset
#
# Write `consume(topic)`. It reads what waits in the topic, counts it, and commits in PostgreSQL and in Kafka.
# After an outage before any call, the next `consume` brings all in order. Then no message waits.
#
# Use `reader`, your `drain` and `count`, and `connect`. A message's `value` is an event as JSON in UTF-8.
#
# Why: at least once, together with an effect that repeats do not change, is as good as exactly once.


# %%
def waiting(topic):
    """How many offsets lie between what the group has committed and the end."""
    with reader(topic) as consumer:
        ends = consumer.end_offsets(consumer.assignment())
        return sum(end - consumer.position(place) for place, end in ends.items())


def outages(deliveries):
    """The board after deliveries, with an outage before call 1, 2, … of your consume."""
    fresh()
    topic = new_topic()
    for number, events in enumerate(deliveries):
        send(topic, events)
        calls = itertools.count(1)

        def fail(calls=calls, number=number):
            if next(calls) == number:
                raise Outage

        Calls.before = staticmethod(fail)
        try:
            consume(topic)
        except Outage:
            pass
        finally:
            Calls.before = staticmethod(lambda: None)
        consume(topic)
    with pg.client() as db:
        rows = db.execute("SELECT origin, departures, minutes FROM board").fetchall()
    names = ("origin", "departures", "minutes")
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    return {"board": rows, "waiting": waiting(topic)}


# %% role="answer" exercise="consume"
def consume(topic: str) -> None:
    """Count what waits in the topic, whatever happened to the last call."""
    ### BEGIN SOLUTION
    with reader(topic) as consumer:
        events = [json.loads(message.value) for message in drain(consumer)]
        with connect() as db:
            count(db, events)
        consumer.commit()
    ### END SOLUTION


# %% role="check" exercise="consume"
with lab.check("consume") as answer:
    answer.value("consume")
    deliveries = [
        [
            {
                "id": f"{origin}{number}-{part}",
                "origin": origin,
                "departed": "2013-03-08T15:00:00Z",
                "delay": 10**number,
            }
            for origin in ("EWR", "JFK")
            for part in range(8)
        ]
        for number in range(6)
    ]
    found = answer.call("outages", deliveries)
    answer.same_rows(
        found["board"],
        [{"origin": o, "departures": 48, "minutes": 888_888} for o in ("EWR", "JFK")],
        asked="48 departures of EWR and of JFK, 8 with a delay of 1 minute, 8 of 10, 8 of 100 …, after "
        "an outage before each call",
        key=["origin"],
    )
    answer.equal(
        found["waiting"],
        0,
        asked="no message that waits after the last call",
        found=f"{found['waiting']} messages that the group has not committed",
    )

# %% role="hidden" exercise="consume"
with lab.check("consume", hidden=True) as answer:
    answer.value("consume")
    deliveries, sent = [], []
    for number in range(5):
        new = [
            {
                "id": f"Ñ{number}-{n}",
                "origin": "LGA",
                "departed": "2013-03-08T16:00:00Z",
                "delay": answer.random.randrange(100),
            }
            for n in range(answer.random.randrange(1, 5))
        ]
        deliveries.append([*new, *answer.random.sample(sent, min(2, len(sent)))])
        sent += new
    found = answer.call("outages", deliveries)
    total = sum(event["delay"] for event in sent)
    answer.same_rows(
        found["board"],
        [{"origin": "LGA", "departures": len(sent), "minutes": total}],
        asked="each departure once, after an outage before each call and events sent twice",
        key=["origin"],
    )

# %% [markdown] role="hint" exercise="consume"
# Which of the two commits must come last? When exactly does `with connect() as db:` commit?

# %% [markdown] role="hint" exercise="consume"
# `with reader(topic) as consumer:` closes it in any case. `consumer.commit()` commits its positions,
# which `drain` has set. A `with` block of a connection commits where it ends.

# %% [markdown] role="hint" exercise="consume"
# ```python
# with reader(topic) as consumer:
#     events = [... for message in drain(consumer)]
#     with connect() as db:
#         ...
#     ...
# ```


# %% role="right" exercise="consume"
def consume(topic):
    consumer, db = reader(topic), connect()
    try:
        for message in drain(consumer):
            count(db, [json.loads(message.value.decode("utf-8"))])
        db.commit()
        consumer.commit()
    finally:
        db.close()
        consumer.close()


# %% role="wrong" exercise="consume" misconception="First note the place, then work" caught="check" says="outage before each call"
def consume(topic):
    with reader(topic) as consumer:
        events = [json.loads(message.value) for message in drain(consumer)]
        consumer.commit()
        with connect() as db:
            count(db, events)


# %% role="wrong" exercise="consume" misconception="Inside the block, the effect is already there" caught="check" says="outage before each call"
def consume(topic):
    with reader(topic) as consumer, connect() as db:
        count(db, [json.loads(message.value) for message in drain(consumer)])
        consumer.commit()


# %% role="wrong" exercise="consume" misconception="Kafka's client commits at the right time by itself" caught="check" says="outage before each call"
def consume(topic):
    with reader(topic, enable_auto_commit=True) as consumer:
        events = [json.loads(message.value) for message in drain(consumer)]
        with connect() as db:
            count(db, events)


# %% role="wrong" exercise="consume" misconception="Repeats do no harm, so offsets need not be committed" caught="check" says="has not committed"
def consume(topic):
    with reader(topic) as consumer:
        events = [json.loads(message.value) for message in drain(consumer)]
        with connect() as db:
            count(db, events)


# %% role="wrong" exercise="consume" misconception="Commit whatever happens, so that nothing blocks" caught="check" says="outage before each call"
def consume(topic):
    with reader(topic) as consumer:
        events = [json.loads(message.value) for message in drain(consumer)]
        try:
            with connect() as db:
                count(db, events)
        finally:
            consumer.commit()


# %% [markdown]
# ### What freshness costs
#
# All departures go through Kafka, and your `count` takes them one by one, in *micro-batches*, or at once. Each
# group is a transaction. Measured are seconds, and bytes of the *write-ahead log*.
#
# **Predict:** how much more work is it, for each departure, to be fresh at once?

# %% tags=["nbval-ignore-output"]
topic = new_topic()
send(
    topic,
    [
        {name: event[name] for name in ("id", "origin", "departed", "delay")}
        for event in EVENTS
    ],
)
with reader(topic, max_poll_records=500) as consumer:
    events = [json.loads(message.value) for message in drain(consumer) or []]
print("   size  transactions  seconds  bytes of log each")
for size in (1, 10, 100, len(EVENTS)):
    fresh()
    with connect() as db:
        start, begin = (
            db.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0],
            time.time(),
        )
        for first in range(0, len(events), size):
            count(db, events[first : first + size])
            db.commit()
        seconds = time.time() - begin
        log = db.execute(
            "SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [start]
        ).fetchone()[0]
    print(
        f"{size:>7} {-(-len(EVENTS) // size):>13} {seconds:>8.2f} {log / len(EVENTS):>18.0f}"
    )

# %% [markdown]
# The price of freshness is paid for each *run*, hardly for each message. If a run also computes the whole day
# anew, it reads more and more. Rows read during 8 March:

# %%
minutes = [event["arrived"] for event in EVENTS if 0 <= event["arrived"] < 1440]
each = [1440, 240, 60, 15, 5, 1]
again = [sum(sum(m < end for m in minutes) for end in range(i, 1441, i)) for i in each]
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.plot(each, again, marker="o", label="the whole day, each time")
axes.plot(each, [len(minutes) for _ in each], marker="o", label="only what is new")
axes.set(
    xscale="log",
    yscale="log",
    xlabel="minutes between runs",
    ylabel="rows read in a day",
)
axes.set_xticks(each, [str(minutes) for minutes in each])
axes.minorticks_off()
axes.invert_xaxis()
axes.legend(frameon=False)
picture(
    figure,
    alt="Rows read in a day against the minutes between runs, both logarithmic: reading only what is "
    "new stays at 800 rows, reading the whole day each time grows from 800 rows for one run to half "
    "a million for a run each minute.",
)

# %% [markdown]
# Three numbers decide: the age that the business bears, the price of a run, the lag of the source. Where an hour
# will do, a batch each half hour is simpler to build, test and repeat than a stream.

# %% [markdown] topics=["4.1-3"]
# ## What the ETL threw away
#
# *ETL*: extract, transform in a program, load the result. *ELT*: extract, load raw messages, and transform them
# inside the database.
#
# The airline's ETL, in Python, loads airport, hour and delay, and takes an early flight as "0 minutes late". After
# three years, somebody asks for the true mean.
#
# **Predict:** which table can answer, when Kafka has deleted the messages (by default, after seven days)?

# %%
SEVENTH = [event for event in EVENTS if event["id"].endswith("-07")]
fresh()
with connect() as db, db.cursor() as cursor:
    db.execute("CREATE TABLE etl (origin text, hour timestamptz, delay int)")
    cursor.executemany(
        "INSERT INTO etl VALUES (%s, date_trunc('hour', %s::timestamptz), %s)",
        [(e["origin"], e["departed"], max(e["delay"], 0)) for e in SEVENTH],
    )
    cursor.executemany(
        "INSERT INTO raw VALUES (0, %s, now(), %s)",
        [(place, json.dumps(event)) for place, event in enumerate(SEVENTH)],
    )
    print("ETL", db.execute("SELECT round(avg(delay), 1) FROM etl").fetchone()[0])
    query = "SELECT round(avg((body->>'delay')::int), 1), count(*) FROM raw"
    early = "WHERE body->>'delay' LIKE '-%'"
    print("ELT", db.execute(query).fetchone()[0])
    print("early", *db.execute(f"{query} {early}").fetchone())

# %% [markdown]
# With ELT, the repair is another query, over all the past. The price: raw data take space, and may hold what must
# not be kept, such as names.
#
# `jsonb` takes any JSON. `body->>'delay'` is a field as text, null where there is none. A cast that fails stops the
# whole query, so ask first: `pg_input_is_valid('12x', 'integer')` is false, and null for null.

# %% [markdown] role="task" exercise="views" points=3 topics=["4.1-3"]
# ### Transform where the data are
#
# `raw` has `part`, `place` (partition and offset), `arrived` and `body`: an event with `id`, `origin`, `departed` and
# `delay`. Twice, the producer changed it without a word: `delay` was a number, then a text, then it was called
# `delay_minutes`.
#
# Write `views()`, which returns a dictionary of two texts, each a `SELECT`:
#
# | Key | Rows |
# |---|---|
# | `"departures"` | `id`, `origin`, `departed` (`timestamptz`), `delay` (`integer`), `day` (`date`, by New York's clock): for each `id`, the readable message with the highest `place` |
# | `"rejects"` | `part`, `place` of each message that is not readable |
#
# Readable: `id` and `origin` are there, `departed` is valid as a `timestamptz`, the delay (by either name, never both)
# as an `integer`. All messages of one `id` are in one partition.
#
# Why: at the third change, nothing is lost, and you know how much you cannot read.


# %%
def viewed(messages):
    """What your two queries find as views over raw; messages are JSON texts."""
    fresh()
    start = datetime(2013, 3, 8, tzinfo=UTC)
    with connect() as db, db.cursor() as cursor:
        for name, query in views().items():
            db.execute(f"CREATE VIEW {name} AS {query}")
        cursor.executemany(
            "INSERT INTO raw VALUES (1, %s, %s, %s)",
            [
                (n, start + timedelta(minutes=n), body)
                for n, body in enumerate(messages)
            ],
        )
        found = {}
        for name in ("departures", "rejects"):
            cursor.execute(f"SELECT * FROM {name}")
            columns = [column.name for column in cursor.description]
            found[name] = [dict(zip(columns, row, strict=True)) for row in cursor]
        return found


# %% role="answer" exercise="views" dialect="postgres"
def views() -> dict[str, str]:
    """Queries over raw: readable departures, and the places of all other messages."""
    ### BEGIN SOLUTION
    departures = """
        WITH field AS (
            SELECT place, body->>'id' AS id, body->>'origin' AS origin,
                body->>'departed' AS departed,
                coalesce(body->>'delay', body->>'delay_minutes') AS delay
            FROM raw
        )
        SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
            (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
            delay::integer AS delay
        FROM field
        WHERE id IS NOT NULL AND origin IS NOT NULL
            AND pg_input_is_valid(departed, 'timestamptz')
            AND pg_input_is_valid(delay, 'integer')
        ORDER BY id, place DESC
    """
    rejects = """
        SELECT part, place FROM raw
        WHERE body->>'id' IS NULL OR body->>'origin' IS NULL
            OR pg_input_is_valid(body->>'departed', 'timestamptz') IS NOT TRUE
            OR pg_input_is_valid(
                coalesce(body->>'delay', body->>'delay_minutes'), 'integer'
            ) IS NOT TRUE
    """
    return {"departures": departures, "rejects": rejects}
    ### END SOLUTION


# %% role="check" exercise="views"
with lab.check("views") as answer:
    answer.value("views")
    rows = [
        {
            "id": "UA1",
            "origin": "EWR",
            "departed": "2013-03-08T10:05:00-05:00",
            "delay": 12,
        },
        {
            "id": "UA2",
            "origin": "EWR",
            "departed": "2013-03-08T23:30:00-05:00",
            "delay": "-3",
        },
        {
            "id": "B61",
            "origin": "JFK",
            "departed": "2013-03-08T16:00:00Z",
            "delay_minutes": 4,
        },
        {
            "id": "UA1",
            "origin": "EWR",
            "departed": "2013-03-08T10:07:00-05:00",
            "delay": "14",
        },
        {"id": "AA1", "origin": "LGA", "departed": "2013-03-08T16:00:00Z", "late": 9},
        {"id": "AA2", "origin": "LGA", "departed": "soon", "delay": 9},
        {
            "id": "B61",
            "origin": "JFK",
            "departed": "2013-03-08T16:00:00Z",
            "delay": "4 min",
        },
    ]
    found = answer.call("viewed", [json.dumps(row) for row in rows])
    names = ("id", "origin", "departed", "day", "delay")
    day = date(2013, 3, 8)
    answer.same_rows(
        found["departures"],
        [
            dict(zip(names, row, strict=True))
            for row in [
                ("UA1", "EWR", datetime(2013, 3, 8, 15, 7, tzinfo=UTC), day, 14),
                ("UA2", "EWR", datetime(2013, 3, 9, 4, 30, tzinfo=UTC), day, -3),
                ("B61", "JFK", datetime(2013, 3, 8, 16, tzinfo=UTC), day, 4),
            ]
        ],
        asked=f"departures, one row for each id with a readable message, of {rows}",
        key=["id"],
    )
    answer.same_rows(
        found["rejects"],
        [{"part": 1, "place": place} for place in (4, 5, 6)],
        asked=f"rejects: place of each message without a readable delay or time, of {rows}",
        key=["place"],
    )

# %% role="hidden" exercise="views"
with lab.check("views", hidden=True) as answer:
    answer.value("views")
    good = {
        "id": "DL1",
        "origin": "LGA",
        "departed": "2013-07-08T04:00:01Z",
        "delay": 1,
    }
    faults = [good | {name: None} for name in good]
    faults += [{n: v for n, v in good.items() if n != name} for name in good]
    faults += [
        good | {"delay": "1.5"},
        good | {"departed": ""},
        ["UA1"],
        "UA1",
        None,
        7,
    ]
    answer.random.shuffle(faults)
    messages, kept, places = [], {}, []
    for _ in range(30):
        name = answer.random.choice(["delay", "delay_minutes"])
        value, id = answer.random.randint(-20, 500), f"Ñ{answer.random.randrange(9)}"
        row = {"id": id, "origin": "LGA", "departed": "2013-07-08T04:00:01Z"}
        messages.append(row | {name: answer.random.choice([value, str(value)])})
        left = datetime(2013, 7, 8, 4, 0, 1, tzinfo=UTC)
        kept[id] = {"id": id, "origin": "LGA", "departed": left, "delay": value}
        kept[id]["day"] = date(2013, 7, 8)
    for number, fault in enumerate(faults, 30):
        same = isinstance(fault, dict) and fault.get("id")
        messages.append(
            fault | {"id": answer.random.choice(sorted(kept))} if same else fault
        )
        places.append({"part": 1, "place": number})
    found = answer.call("viewed", [json.dumps(message) for message in messages])
    answer.same_rows(
        found["departures"],
        [*kept.values()],
        asked="departures of a summer night, with messages at the end that cannot be read",
        key=["id"],
    )
    answer.same_rows(
        found["rejects"],
        places,
        asked="rejects of these messages: fields that are missing or null, and bodies that are no object",
        key=["place"],
    )

# %% [markdown] role="hint" exercise="views"
# A message without any delay: is your condition for it false, or null? What does `NOT` make of that?

# %% [markdown] role="hint" exercise="views"
# `coalesce(a, b)` takes the first that is not null. `x IS NOT TRUE` holds for false and for null. `DISTINCT ON
# (id) … ORDER BY id, place DESC` keeps one row for each id. `t AT TIME ZONE '…'` is the local clock.

# %% [markdown] role="hint" exercise="views"
# ```python
# departures = """
#     WITH field AS (SELECT place, body->>'id' AS id, ..., coalesce(...) AS delay FROM raw)
#     SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
#         (...)::date AS day, delay::integer AS delay
#     FROM field WHERE ... ORDER BY ...
# """
# rejects = "SELECT part, place FROM raw WHERE ..."
# return {"departures": departures, "rejects": rejects}
# ```


# %% role="right" exercise="views"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            CASE WHEN pg_input_is_valid(body->>'departed', 'timestamptz')
                THEN (body->>'departed')::timestamptz END AS departed,
            CASE WHEN pg_input_is_valid(body->>'delay', 'integer')
                THEN (body->>'delay')::integer
                WHEN body->>'delay' IS NULL
                    AND pg_input_is_valid(body->>'delay_minutes', 'integer')
                THEN (body->>'delay_minutes')::integer END AS delay
        FROM raw
    """
    whole = "num_nulls(id, origin, departed, delay) = 0"
    return {
        "departures": f"""
            SELECT delay, id, origin, departed,
                date(timezone('America/New_York', departed)) AS day
            FROM (
                SELECT m.*, row_number() OVER (PARTITION BY id ORDER BY place DESC) AS n
                FROM ({read}) AS m WHERE {whole}
            ) AS ranked WHERE n = 1
        """,
        "rejects": f"SELECT place, part FROM ({read}) AS m WHERE NOT {whole}",
    }


# %% [markdown] role="equivalent" exercise="views" reason="the order of the flights is all the same"
# + departures = "WITH field AS (\n  SELECT\n    place,\n    body ->> 'id' AS id,\n    body ->> 'origin' AS origin,\n    body ->> 'departed' AS departed,\n    COALESCE(body ->> 'delay', body ->> 'delay_minutes') AS delay\n  FROM raw\n)\nSELECT DISTINCT ON (id)\n  id,\n  origin,\n  CAST(departed AS TIMESTAMPTZ) AS departed,\n  CAST((\n    CAST(departed AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York'\n  ) AS DATE) AS day,\n  CAST(delay AS INT) AS delay\nFROM field\nWHERE\n  id IS NOT NULL\n  AND origin IS NOT NULL\n  AND PG_INPUT_IS_VALID(departed, 'timestamptz')\n  AND PG_INPUT_IS_VALID(delay, 'integer')\nORDER BY\n  id DESC NULLS LAST,\n  place DESC"
# - departures = """
# - WITH field AS (
# - SELECT place, body->>'id' AS id, body->>'origin' AS origin,
# - body->>'departed' AS departed,
# - coalesce(body->>'delay', body->>'delay_minutes') AS delay
# - FROM raw
# - )
# - SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
# - (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
# - delay::integer AS delay
# - FROM field
# - WHERE id IS NOT NULL AND origin IS NOT NULL
# - AND pg_input_is_valid(departed, 'timestamptz')
# - AND pg_input_is_valid(delay, 'integer')
# - ORDER BY id, place DESC
# - """


# %% role="wrong" exercise="views" misconception="NOT finds all that the condition does not" caught="check" says="row(s) missing"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz') AND pg_input_is_valid(delay, 'integer')"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE NOT ({good})",
    }


# %% role="wrong" exercise="views" misconception="The day is the date of the instant" caught="check" says="column day"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                departed::timestamptz::date AS day, delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="Take the last message of each flight, then look whether it can be read" caught="check" says="missing, first id 'B61'"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                delay::integer AS delay
            FROM (SELECT DISTINCT ON (id) * FROM ({read}) AS m ORDER BY id, place DESC) AS last
            WHERE {good}
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="A cast gives null where it does not fit" caught="check" says="invalid input syntax"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            (body->>'departed')::timestamptz AS departed,
            coalesce(body->>'delay', body->>'delay_minutes')::integer AS delay
        FROM raw
    """
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed,
                (departed AT TIME ZONE 'America/New_York')::date AS day, delay
            FROM ({read}) AS m
            WHERE num_nulls(id, origin, departed, delay) = 0 ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m"
        " WHERE num_nulls(id, origin, departed, delay) > 0",
    }


# %% role="wrong" exercise="views" misconception="All messages look like the first" caught="check" says="missing, first id 'B61'"
def views():
    good = """(body->>'id' IS NOT NULL AND body->>'origin' IS NOT NULL
        AND pg_input_is_valid(body->>'departed', 'timestamptz')
        AND pg_input_is_valid(body->>'delay', 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (body->>'id') body->>'id' AS id, body->>'origin' AS origin,
                (body->>'departed')::timestamptz AS departed,
                ((body->>'departed')::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                (body->>'delay')::integer AS delay
            FROM raw WHERE {good} ORDER BY body->>'id', place DESC
        """,
        "rejects": f"SELECT part, place FROM raw WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="Standard time all year" caught="hidden" says="column day"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE interval '-5 hours')::date AS day,
                delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% [markdown] topics=["4.1-3"]
# ## Schema drift
#
# ELT lands whatever comes: the load succeeds, and the numbers become wrong. So compare with a *contract*, the kind
# of value of each field. `jsonb_each(body)` gives a row for each field (`key`, `value`), and `jsonb_typeof(value)` its
# kind: `string`, `number`, `boolean`, `null`, `array` or `object`.
#
# **Predict:** at noon, the producer renames a field. What happens to a mean that reads the old name?

# %%
fresh()
with connect() as db, db.cursor() as cursor:
    for place, event in enumerate(SEVENTH):
        late = event["happened"] >= -720  # noon of 7 March
        body = {"delay_minutes" if late else "delay": event["delay"]}
        cursor.execute(
            "INSERT INTO raw VALUES (0, %s, now(), %s)", [place, json.dumps(body)]
        )
    query = "SELECT count(*), round(avg((body->>'delay')::int), 1) FROM raw"
    print("{} departures, {} minutes late".format(*db.execute(query).fetchone()))

# %% [markdown]
# No error: a mean of the morning, which calls itself the mean of the day. The true one is 20.

# %% [markdown] role="task" exercise="drift" points=2 topics=["4.1-3"]
# ### What did the producer change?
#
# Write `drift(db, contract)`. `contract` is, for example, `{"id": "string", "delay": "number"}`. Each `body` in `raw` is
# an object. Return a list of dictionaries, one for each field and problem in any message:
#
# | Key | Content |
# |---|---|
# | `field` | the name |
# | `problem` | `"missing"`: in the contract, not in the message; `"new"`: the other way round; `"kind"`: in both, but a value of another kind |
# | `since` | `arrived` of the first such message |
# | `messages` | how many there are |
#
# Why: "`delay` is missing since 12:03" is the sentence that a producer's team needs.


# %%
def drifted(contract, bodies):
    """What your drift finds; body number n arrives at minute n of 8 March (UTC)."""
    fresh()
    start = datetime(2013, 3, 8, tzinfo=UTC)
    with connect() as db, db.cursor() as cursor:
        rows = [
            (n % 3, n, start + timedelta(minutes=n), json.dumps(body))
            for n, body in enumerate(bodies)
        ]
        cursor.executemany("INSERT INTO raw VALUES (%s, %s, %s, %s)", rows[::-1])
        return drift(db, contract)


# %% role="answer" exercise="drift" dialect="postgres"
def drift(db: psycopg.Connection, contract: dict[str, str]) -> list[dict]:
    """Fields that are missing, new, or of another kind, with the time of the first."""
    ### BEGIN SOLUTION
    found = {}
    for arrived, body, kinds in db.execute(
        """
        SELECT arrived, body,
            (SELECT jsonb_object_agg(key, jsonb_typeof(value)) FROM jsonb_each(body))
        FROM raw ORDER BY arrived
        """
    ):
        for field in contract | body:
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]
    ### END SOLUTION


# %% role="check" exercise="drift"
with lab.check("drift") as answer:
    answer.value("drift")
    contract = {"id": "string", "delay": "number"}
    bodies = [
        {"id": "UA1", "delay": 12},
        {"id": "UA2", "delay": "3"},
        {"id": "UA3", "delay": 4, "gate": "C7"},
        {"id": "UA4", "delay_minutes": 4, "gate": "C8"},
        {"id": "UA5", "delay": None},
        {"id": "UA6"},
        {},
    ]
    names = ("field", "problem", "since", "messages")
    answer.same_rows(
        answer.call("drifted", contract, bodies),
        [
            {
                "field": f,
                "problem": p,
                "since": datetime(2013, 3, 8, 0, n, tzinfo=UTC),
                "messages": m,
            }
            for f, p, n, m in [
                ("delay", "kind", 1, 2),
                ("delay", "missing", 3, 3),
                ("delay_minutes", "new", 3, 1),
                ("gate", "new", 2, 2),
                ("id", "missing", 6, 1),
            ]
        ],
        asked=f"the drift from {contract} of {bodies}",
        key=["field", "problem"],
    )

# %% role="hidden" exercise="drift"
with lab.check("drift", hidden=True) as answer:
    answer.value("drift")
    kinds = {
        "number": 1.5,
        "string": "1",
        "boolean": False,
        "null": None,
        "array": [{"delay": 1}],
        "object": {"id": "x"},
    }
    contract = {
        "id": "string",
        "delay": "number",
        "causes": "array",
        "Ñ": "boolean",
        "tail": "null",
    }
    bodies = [{name: kinds[kind] for name, kind in contract.items()} for _ in range(40)]
    expected = {}
    for body in bodies:
        for _ in range(answer.random.randrange(3)):
            name = answer.random.choice(sorted(contract))
            other = answer.random.choice(sorted(kinds))
            match answer.random.choice(["missing", "new", "kind"]):
                case "missing":
                    body.pop(name, None)
                case "new":
                    body[f"{name} {other}"] = kinds[other]
                case "kind":
                    body[name] = kinds[other]
    whole = {name: kinds[kind] for name, kind in contract.items()}
    bodies += [whole | {name: value} for name in contract for value in kinds.values()]
    for number, body in enumerate(bodies):
        for name in sorted({*contract, *body}):
            right = (
                name in body
                and name in contract
                and body[name] == kinds[contract[name]]
            )
            problem = (
                "new" if name not in contract else "kind" if name in body else "missing"
            )
            if not right:
                since = datetime(2013, 3, 8, tzinfo=UTC) + timedelta(minutes=number)
                row = {"field": name, "problem": problem, "since": since, "messages": 0}
                expected.setdefault((name, problem), row)["messages"] += 1
    answer.same_rows(
        answer.call("drifted", contract, bodies),
        [*expected.values()],
        asked="the drift of 70 messages with values of all kinds",
        key=["field", "problem"],
    )

# %% [markdown] role="hint" exercise="drift"
# For one message: which fields have to be looked at? Those of the contract, those of the body, or both?

# %% [markdown] role="hint" exercise="drift"
# In Python, `contract | body` has all fields, and psycopg makes a dictionary of `jsonb`. In SQL, it is a
# `FULL JOIN` of the contract with `jsonb_each(body)`, for each message, then `GROUP BY`.

# %% [markdown] role="hint" exercise="drift"
# ```python
# found = {}
# for arrived, body, kinds in db.execute("SELECT arrived, body, (...) FROM raw ORDER BY ..."):
#     for field in contract | body:
#         if ...:
#             problem = "missing"
#         ...
#         entry = {"field": field, "problem": problem, "since": arrived, "messages": 0}
#         found.setdefault((field, problem), entry)["messages"] += 1
# return [*found.values()]
# ```


# %% role="right" exercise="drift"
def drift(db, contract):
    rows = db.execute(
        """
        SELECT coalesce(agreed, found), CASE WHEN found IS NULL THEN 'missing'
            WHEN agreed IS NULL THEN 'new' ELSE 'kind' END, min(arrived), count(*)
        FROM raw CROSS JOIN LATERAL (
            SELECT c.key AS agreed, b.key AS found, c.value AS kind, b.value
            FROM jsonb_each_text(%s) AS c FULL JOIN jsonb_each(body) AS b ON c.key = b.key
        ) AS field
        WHERE kind IS DISTINCT FROM jsonb_typeof(value)
        GROUP BY 1, 2
        """,
        [json.dumps(contract)],
    )
    names = ("field", "problem", "since", "messages")
    return [dict(zip(names, row, strict=True)) for row in rows]


# %% role="wrong" exercise="drift" misconception="What the contract does not name cannot hurt" caught="check" says="row(s) missing"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw ORDER BY arrived"
    ):
        for field, kind in contract.items():
            problem = "missing" if field not in body else "kind"
            if field not in body or kinds[field] != kind:
                entry = {
                    "field": field,
                    "problem": problem,
                    "since": arrived,
                    "messages": 0,
                }
                found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="Null is the same as missing" caught="check" says="column messages"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw ORDER BY arrived"
    ):
        for field in contract.keys() | body.keys():
            if body.get(field) is None:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="A sample of the newest message is enough" caught="check" says="column since"
def drift(db, contract):
    arrived, body = db.execute(
        "SELECT arrived, body FROM raw ORDER BY arrived DESC LIMIT 1"
    ).fetchone()
    changes = {field: "missing" for field in contract.keys() - body.keys()}
    changes |= {field: "new" for field in body.keys() - contract.keys()}
    return [
        {"field": field, "problem": problem, "since": arrived, "messages": 1}
        for field, problem in changes.items()
    ]


# %% role="wrong" exercise="drift" misconception="The rows come in the order of their arrival" caught="check" says="column since"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw"
    ):
        for field in contract | body:
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="In Python, a boolean is a number" caught="hidden" says="drift of 70 messages"
def drift(db, contract):
    types = {"string": str, "number": (int, float), "boolean": int, "null": type(None)}
    types |= {"array": list, "object": dict}
    found = {}
    for arrived, body in db.execute("SELECT arrived, body FROM raw ORDER BY arrived"):
        for field in contract.keys() | body.keys():
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif not isinstance(body[field], types[contract[field]]):
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% [markdown] topics=["4.1-3", "4.1-2"]
# ## Backfill
#
# The view is repaired; `daily` still holds what the old one gave. A *backfill* computes past days anew.
#
# | Property | How |
# |---|---|
# | idempotent | replace a whole *partition*, here a day |
# | bounded | days are arguments; no `now()` |
# | restartable | each day is a transaction, and is noted in it |
# | quiet | readers never wait, and never see half a day |
#
# **Predict:** the old view misread an airport's code. After an upsert, how many airports does the day have?

# %%
VIEW = """
    CREATE VIEW departures AS
    SELECT DISTINCT ON (body->>'id') body->>'id' AS id, body->>'origin' AS origin,
        ((body->>'departed')::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
        (body->>'delay')::int AS delay
    FROM raw WHERE body ? 'id' ORDER BY body->>'id', place DESC
"""
AGAIN = "SELECT day, origin, count(*), sum(delay) FROM departures"


def land(db, events):
    """Put events into raw, behind those that are there."""
    (place,) = db.execute("SELECT coalesce(max(place) + 1, 0) FROM raw").fetchone()
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO raw VALUES (0, %s, now(), %s)",
            [(n, json.dumps(event)) for n, event in enumerate(events, place)],
        )


fresh()
with connect() as db:
    db.execute(VIEW)
    land(db, SEVENTH)
    db.execute("INSERT INTO daily VALUES ('2013-03-07', 'E\\R', 17, 340)")
    db.execute(
        f"INSERT INTO daily {AGAIN} WHERE day = '2013-03-07' GROUP BY day, origin"
        " ON CONFLICT (day, origin) DO UPDATE SET minutes = excluded.minutes"
    )
    print(db.execute("SELECT origin, departures FROM daily ORDER BY 1").fetchall())

# %% [markdown] role="task" exercise="backfill" points=3 topics=["4.1-3", "4.1-2"]
# ### Compute past days anew
#
# An upsert leaves what the new view does not give any more. So write `backfill(run, first, last)`. For each day from
# `first` to `last` (dates, both included) that has no row in `done` for this `run` (a text), replace the day's rows of
# `daily` by what the view `departures` gives, as in `AGAIN`, and note `run` and `day` in `done`.
#
# Each day is one transaction (psycopg opens one with the first statement; `with db.transaction():` after that commits
# nothing). Leave other days alone. Nobody who reads `daily` or writes `raw` may wait. Use `connect`.
#
# Why: a backfill of three years fails at some day, and must go on there.


# %%
def backfilled(events, days, run, fail_at=None):
    """What a backfill leaves in daily, where each day had one old row, and what a reader saw.

    Before call number `fail_at` comes an outage; then the same run is repeated.
    """
    fresh()
    first, last = days
    seen, calls, finished = set(), itertools.count(1), []
    with pg.client(options="-c lock_timeout=100") as other:
        other.execute(VIEW)
        land(other, events)
        other.execute(
            "INSERT INTO daily SELECT %s::date + n, 'OLD', -1, -1"
            " FROM generate_series(-1, %s::date - %s::date + 1) AS n",
            [first, last, first],
        )
        other.execute("INSERT INTO done VALUES ('older run', %s)", [first])

        def look():
            old = "count(DISTINCT day) FILTER (WHERE origin = 'OLD')"
            counts = other.execute(f"SELECT count(DISTINCT day), {old} FROM daily")
            seen.add(counts.fetchone())
            other.execute("INSERT INTO raw SELECT 2, count(*), now(), '{}' FROM raw")
            if next(calls) == fail_at:
                raise Outage

        Calls.before = staticmethod(look)
        version = (
            "SELECT day, min(xmin::text) FROM daily WHERE origin <> 'OLD' GROUP BY 1"
        )
        for _ in range(2):
            try:
                backfill(run, first, last)
                break
            except Outage:
                finished = other.execute(version).fetchall()
        Calls.before = staticmethod(lambda: None)
        now = dict(other.execute(version).fetchall())
        rows = other.execute("TABLE daily").fetchall()
        done = other.execute("SELECT run, day FROM done ORDER BY 1, 2").fetchall()
    names = ("day", "origin", "departures", "minutes")
    return {
        "daily": [dict(zip(names, row, strict=True)) for row in rows],
        "done": done,
        "days seen": sorted({days for days, _ in seen}),
        "old days seen": sorted({old for _, old in seen}),
        "again": [day for day, before in finished if now.get(day) != before],
    }


# %% role="answer" exercise="backfill" dialect="postgres"
def backfill(run: str, first: date, last: date) -> None:
    """Replace the days of daily that this run has not done yet."""
    ### BEGIN SOLUTION
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    """
                    INSERT INTO daily
                    SELECT day, origin, count(*), sum(delay) FROM departures
                    WHERE day = %s GROUP BY day, origin
                    """,
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)
    ### END SOLUTION


# %% role="check" exercise="backfill"
with lab.check("backfill") as answer:
    answer.value("backfill")
    days = [date(2013, 3, number) for number in range(5, 11)]
    events = [
        {
            "id": f"{origin}{n}",
            "origin": origin,
            "departed": f"{day}T17:00:00Z",
            "delay": delay,
        }
        for n, day in enumerate(days)
        for origin, delay in (("EWR", 10), ("JFK", n))
    ]
    events += [event | {"id": f"{event['id']} again"} for event in events]
    first, last = days[1], days[4]
    rows = [
        {"day": day, "origin": origin, "departures": 2, "minutes": 2 * delay}
        for n, day in enumerate(days)
        for origin, delay in (("EWR", 10), ("JFK", n))
        if first <= day <= last
    ]
    rows += [
        {"day": day, "origin": "OLD", "departures": -1, "minutes": -1}
        for day in (days[0], days[5])
    ]
    for fail_at in (0, 8, 12):
        found = answer.call("backfilled", events, (first, last), "repair 1", fail_at)
        outage = (
            f"an outage before call {fail_at} and a repeat" if fail_at else "a backfill"
        )
        answer.same_rows(
            found["daily"],
            rows,
            asked=f"new rows from {first} to {last}, old ones before and after, after {outage}",
            key=["day", "origin"],
        )
        answer.equal(
            [tuple(row) for row in found["done"]],
            [("older run", first), *(("repair 1", day) for day in days[1:5])],
            asked=f"a row in done for each day of this run, after {outage}",
        )
        answer.equal(
            found["days seen"],
            [6],
            asked="six days in daily for a reader, before each of your calls",
            found=f"a reader who saw {found['days seen']} days",
        )
        answer.true(
            {3, 4, 5} <= {*found["old days seen"]},
            asked="one new day after the other for a reader, of four in all",
            found=f"a reader for whom {found['old days seen']} days were still old, before the last commit",
        )
        answer.equal(
            found["again"],
            [],
            asked=f"no day computed twice, after {outage}",
            found=f"{len(found['again'])} days that were done before and computed again",
        )

# %% role="hidden" exercise="backfill"
with lab.check("backfill", hidden=True) as answer:
    answer.value("backfill")
    start = date(2013, 12, answer.random.randrange(20, 30))
    days = [start + timedelta(days=n) for n in range(14)]
    empty = days[6]
    events, totals = [], {}
    for number in range(120):
        origin, day = answer.random.choice("ABC"), answer.random.choice(days)
        delay = answer.random.randint(-9, 200)
        event = {"id": f"Ñ{number}", "origin": origin, "departed": f"{day}T12:00:00Z"}
        if day != empty:
            events.append(event | {"delay": delay})
            if days[2] <= day <= days[11]:
                n, minutes = totals.get((day, origin), (0, 0))
                totals[day, origin] = (n + 1, minutes + delay)
    rows = [(*key, *total) for key, total in totals.items()]
    rows += [(day, "OLD", -1, -1) for day in (days[1], days[12])]
    names = ("day", "origin", "departures", "minutes")
    found = answer.call(
        "backfilled", events, (days[2], days[11]), "Ñ", answer.random.randrange(6, 40)
    )
    answer.same_rows(
        found["daily"],
        [dict(zip(names, row, strict=True)) for row in rows],
        asked="ten days around New Year computed anew, one of them without departures",
        key=["day", "origin"],
    )

# %% [markdown] role="hint" exercise="backfill"
# What has to be in one transaction, so that an outage leaves either all of it or nothing?

# %% [markdown] role="hint" exercise="backfill"
# Open a connection for each day: `with connect() as db:` is one transaction. `DELETE` lets readers see the old rows
# until the commit; `TRUNCATE` makes them wait.

# %% [markdown] role="hint" exercise="backfill"
# ```python
# day = first
# while day <= last:
#     with connect() as db:
#         if not db.execute("SELECT ... FROM done WHERE ...", [...]).fetchone():
#             db.execute("DELETE ...", [...])
#             db.execute("INSERT INTO daily SELECT ...", [...])
#             db.execute("INSERT INTO done ...", [...])
#     day += timedelta(days=1)
# ```


# %% role="right" exercise="backfill"
def backfill(run, first, last):
    with connect(autocommit=True) as db:
        days = db.execute(
            "SELECT d::date FROM generate_series(%s::date, %s::date, interval '1 day') AS d"
            " EXCEPT SELECT day FROM done WHERE run = %s ORDER BY 1 DESC",
            [first, last, run],
        ).fetchall()
        for day in days:
            with db.transaction():
                db.execute("INSERT INTO done (day, run) VALUES (%s, %s)", [day[0], run])
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    "INSERT INTO daily (origin, day, minutes, departures)"
                    " SELECT origin, min(day), sum(delay), count(id) FROM departures"
                    " WHERE day = %s GROUP BY origin",
                    day,
                )


# %% role="wrong" exercise="backfill" misconception="An upsert replaces" caught="check" says="should not be there"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin ON CONFLICT (day, origin) DO UPDATE SET"
                    " departures = excluded.departures, minutes = excluded.minutes",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Each statement may commit by itself" caught="check" says="a reader who saw"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect(autocommit=True) as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Begin with an empty table" caught="check" says="lock timeout"
def backfill(run, first, last):
    with connect() as db:
        db.execute("TRUNCATE daily")
        db.execute(
            "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
            " WHERE day BETWEEN %s AND %s GROUP BY day, origin",
            [first, last],
        )


# %% role="wrong" exercise="backfill" misconception="All or nothing, so one transaction" caught="check" says="were still old"
def backfill(run, first, last):
    with connect() as db:
        day = first
        while day <= last:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
            day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="A day belongs to the last run that did it" caught="check" says="a row in done"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM done WHERE day = %s", [day])
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Replacing may be repeated, so it need not be noted" caught="check" says="a row in done"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Note the day first, so that nobody does it twice" caught="check" says="after an outage"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            new = db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING day",
                [run, day],
            ).fetchone()
        if new:
            with connect() as db:
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="What was done once, by any run, is done" caught="check" says="should not be there"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE day = %s"
            if not db.execute(done, [day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Days count back from today" caught="check" says="should not be there"
def backfill(run, first, last):
    for back in range((last - first).days + 1):
        with connect() as db:
            (day,) = db.execute("SELECT current_date - %s::int", [back]).fetchone()
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
            db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING", [run, day]
            )


# %% role="wrong" exercise="backfill" misconception="A day that is computed again is only slower" caught="check" says="computed again"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
            db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING", [run, day]
            )
        day += timedelta(days=1)


# %% [markdown] topics=["4.1-2", "4.1-3"]
# ## All together
#
# A *poison pill* is a message that no program can read: a loader that fails at it fails there for ever. It must go
# aside, as it is. `jsonb` is stricter than Python: it refuses `NaN` and `\u0000`. An error ends the whole transaction,
# unless a *savepoint* surrounds the statement: in psycopg, a block `with db.transaction():` inside another one. A
# block where nothing was executed before commits at its end.

# %%
fresh()
with connect() as db, db.transaction():
    for text in ('{"delay": 3}', '{"delay": NaN}', '{"note": "\\u0000"}'):
        try:
            with db.transaction():
                db.execute(
                    "INSERT INTO raw (part, place, body) VALUES (0, 0, %s)", [text]
                )
            print(text, "is in")
        except psycopg.DataError as error:
            print(
                f"{text}: {error.diag.message_primary}, for Python {json.loads(text)}"
            )

# %% [markdown] role="task" exercise="load" points=4 topics=["4.1-2", "4.1-3"]
# ### Load, whatever comes
#
# Write `load(topic)`. It reads what waits in the topic. Afterwards
#
# - `raw` has a row for each message that `jsonb` takes: `part`, `place`, `arrived` (`now()`), `body`;
# - `bad` has a row for each other one: `part`, `place` and `value`, its bytes (null if it has none);
# - `daily` holds what the view `departures` gives for each day that the new messages change. A message with a
#   known `id` may move a flight to another day: then both change. Leave the rows of other days alone;
# - no message waits. After an outage before any call, the next `load` brings all in order.
#
# JSON objects among the messages are whole departures. Use `reader`, `drain`, `connect` and, if you like,
# `AGAIN`.
#
# Why: this is a whole ingestion, small enough to read.


# %%
def loaded(deliveries, cuts):
    """What is left after deliveries (values, days that change), each with an outage.

    A cut of 3 is an outage before the third call of your load, -1 one before its last, 0 none.
    """
    fresh()
    topic, length, needless = new_topic(), 0, []
    version = "SELECT day, min(xmin::text) FROM daily GROUP BY 1"
    with pg.client() as db:
        db.execute(VIEW)
        db.execute("INSERT INTO daily VALUES ('2013-01-01', 'EWR', 7, 7)")
        for (values, days), cut in zip(deliveries, cuts, strict=True):
            send(topic, values)
            before = dict(db.execute(version).fetchall())
            calls = itertools.count(1)
            number = cut if cut >= 0 else max(length + 1 + cut, 1)

            def fail(calls=calls, number=number):
                if next(calls) == number:
                    raise Outage

            Calls.before = staticmethod(fail)
            try:
                load(topic)
                length = next(calls) - 1
            except Outage:
                pass
            finally:
                Calls.before = staticmethod(lambda: None)
            load(topic)
            now = dict(db.execute(version).fetchall())
            needless += [
                day
                for day, seen in before.items()
                if day not in days and now.get(day) != seen
            ]
        names = ("day", "origin", "departures", "minutes")
        daily = db.execute("TABLE daily").fetchall()
        bad = db.execute("SELECT value FROM bad ORDER BY value").fetchall()
        landed = "SELECT count(*) FROM raw WHERE arrived <= now()"
        return {
            "daily": [dict(zip(names, row, strict=True)) for row in daily],
            "raw": db.execute(landed).fetchone()[0],
            "bad": [value for (value,) in bad],
            "waiting": waiting(topic),
            "needless": needless,
        }


# %% role="answer" exercise="load" dialect="postgres"
def load(topic: str) -> None:
    """Land what waits in the topic, and compute anew the days that it changes."""
    ### BEGIN SOLUTION
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    """
                    INSERT INTO daily SELECT day, origin, count(*), sum(delay)
                    FROM departures WHERE day = %s GROUP BY day, origin
                    """,
                    day,
                )
        consumer.commit()
    ### END SOLUTION


# %% role="check" exercise="load"
with lab.check("load") as answer:
    answer.value("load")

    def left(id, origin, day, delay):
        departed = f"2013-03-{day:02}T17:00:00Z"
        return {"id": id, "origin": origin, "departed": departed, "delay": delay}

    sixth, seventh, eighth = (date(2013, 3, number) for number in (6, 7, 8))
    deliveries = [
        (
            [
                left("UA1", "EWR", 7, 10),
                left("DL1", "LGA", 7, 1),
                left("B61", "JFK", 8, 5),
                b"{",
            ],
            [seventh, eighth],
        ),
        (
            [
                left("UA1", "EWR", 7, 20),
                left("UA2", "EWR", 8, 4),
                left("AA1", "LGA", 8, 0),
                None,
            ],
            [seventh, eighth],
        ),
        (
            [left("DL1", "LGA", 8, 900), left("UA3", "EWR", 8, 2), b"[8]"],
            [seventh, eighth],
        ),
        (
            [
                left("UA4", "EWR", 6, 7),
                left("B62", "JFK", 8, 3),
                b'"late"',
                b"\xff",
                b'{"delay": NaN}',
            ],
            [sixth, eighth],
        ),
        ([b"late"], []),
    ]
    found = answer.call("loaded", deliveries, (0, -1, -3, -2, 0))
    names = ("day", "origin", "departures", "minutes")
    rows = [
        (date(2013, 1, 1), "EWR", 7, 7),
        (sixth, "EWR", 1, 7),
        (seventh, "EWR", 1, 20),
        (eighth, "EWR", 2, 6),
        (eighth, "JFK", 2, 8),
        (eighth, "LGA", 2, 900),
    ]
    answer.same_rows(
        found["daily"],
        [dict(zip(names, row, strict=True)) for row in rows],
        asked="daily like departures after five deliveries with late, repeated and moved flights, and an "
        "outage before the last calls",
        key=["day", "origin"],
    )
    answer.equal(
        [found["raw"], found["bad"]],
        [12, [b"late", b"{", b'{"delay": NaN}', b"\xff", None]],
        asked="12 rows in raw, and in bad the bytes of the five messages that jsonb does not take",
        found=f"{found['raw']} rows in raw, and in bad {found['bad']}",
    )
    answer.equal(
        found["waiting"],
        0,
        asked="no message that waits after the last call",
        found=f"{found['waiting']} messages that the group has not committed",
    )
    answer.equal(
        found["needless"],
        [],
        asked="the rows of days that a delivery does not change left alone",
        found=f"rows written again on {[str(day) for day in found['needless']]}",
    )

# %% role="hidden" exercise="load"
with lab.check("load", hidden=True) as answer:
    answer.value("load")
    poison = [
        b"",
        b'{"id": "x\\u0000"}',
        b'"\x00"',
        b"\xed\xa0\x80",
        b"1e",
        b"[Infinity]",
    ]
    taken = [b"7", b'"\xc3\x91"', b"null", b"{}"]
    answer.random.shuffle(poison)
    answer.random.shuffle(taken)
    deliveries, state = [], {}
    for number in range(4):
        values, days = [poison[number], taken[number]], set()
        for id in answer.random.sample("ABCDÑFG", 4):
            day = date(2013, 7, answer.random.randrange(1, 5))
            row = {"id": id, "origin": answer.random.choice(["EWR", "LGA"])}
            row |= {
                "departed": f"{day}T23:00:00-04:00",
                "delay": answer.random.randrange(99),
            }
            days |= {day, state.get(id, (day,))[0]}
            state[id] = (day, row["origin"], row["delay"])
            values.append(row)
        answer.random.shuffle(values)
        deliveries.append((values, sorted(days)))
    totals = {(date(2013, 1, 1), "EWR"): (7, 7)}
    for day, origin, delay in state.values():
        n, minutes = totals.get((day, origin), (0, 0))
        totals[day, origin] = (n + 1, minutes + delay)
    found = answer.call(
        "loaded", deliveries, (0, -1, answer.random.randrange(3, 12), -4)
    )
    names = ("day", "origin", "departures", "minutes")
    answer.same_rows(
        found["daily"],
        [
            dict(zip(names, (*key, *total), strict=True))
            for key, total in totals.items()
        ],
        asked="daily like departures after four deliveries of flights that come again on other days",
        key=["day", "origin"],
    )
    answer.equal(
        [found["raw"], found["bad"]],
        [20, sorted(poison[:4])],
        asked="JSON of any kind in raw, and the bytes of all other messages in bad",
        found=f"{found['raw']} rows in raw, and in bad {found['bad']}",
    )

# %% [markdown] role="hint" exercise="load"
# Which steps belong in one transaction, so that an outage cannot leave a day old whose message is already in `raw`?

# %% [markdown] role="hint" exercise="load"
# The days that change: those of the message's `id` in `departures`, before and after it is landed. The database alone
# knows what `jsonb` takes: try it, in `with db.transaction():`, and catch `psycopg.DataError`. What else can go
# wrong with bytes?

# %% [markdown] role="hint" exercise="load"
# ```python
# with reader(topic) as consumer:
#     with connect() as db, db.transaction():
#         days = set()
#         for message in drain(consumer):
#             try:
#                 with db.transaction():
#                     text = message.value.decode()
#                     ...  # the flight's day; land; the flight's day
#             except (...):
#                 ...  # into bad
#         for day in days:
#             ...  # replace
#     ...
# ```


# %% role="right" exercise="load"
def load(topic):
    with reader(topic) as consumer:
        messages = drain(consumer)
        db = connect()
        try:
            db.execute("CREATE TEMP TABLE old AS TABLE departures")
            for m in messages:
                valid = False
                if m.value is not None and b"\x00" not in m.value:
                    text = m.value.decode("utf-8", "replace")
                    valid = (
                        text.encode() == m.value
                        and (
                            db.execute(
                                "SELECT pg_input_is_valid(%s, 'jsonb')", [text]
                            ).fetchone()[0]
                        )
                    )
                if valid:
                    db.execute(
                        "INSERT INTO raw (body, arrived, place, part) SELECT %s, now(), %s, %s"
                        " WHERE NOT EXISTS (SELECT FROM raw WHERE place = %s AND part = %s)",
                        [text, m.offset, m.partition, m.offset, m.partition],
                    )
                else:
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT (part, place)"
                        " DO UPDATE SET value = excluded.value",
                        [m.partition, m.offset, m.value],
                    )
            changed = db.execute(
                "SELECT DISTINCT day FROM ("
                " (TABLE departures EXCEPT TABLE old) UNION (TABLE old EXCEPT TABLE departures)) AS d"
            ).fetchall()
            db.execute(
                "DELETE FROM daily WHERE day = ANY(%s)", [[day for (day,) in changed]]
            )
            db.execute(
                f"INSERT INTO daily {AGAIN} WHERE day = ANY(%s) GROUP BY day, origin",
                [[day for (day,) in changed]],
            )
            db.commit()
            consumer.commit()
        finally:
            db.close()


# %% role="wrong" exercise="load" misconception="A flight belongs to the day of its newest message" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="A block with db.transaction is always a savepoint" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db:
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="To be safe, compute all days anew" caught="check" says="rows written again"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in db.execute("SELECT DISTINCT day FROM departures").fetchall():
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="What cannot be read is not needed" caught="check" says="in bad []"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    pass
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Inside the block, the rows are already safe" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer, connect() as db, db.transaction():
        days = set()
        for message in drain(consumer):
            at = [message.partition, message.offset]
            try:
                with db.transaction():
                    text = message.value.decode()
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
            except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                db.execute(
                    "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    [*at, message.value],
                )
        for day in days:
            db.execute("DELETE FROM daily WHERE day = %s", day)
            db.execute(f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day)
        consumer.commit()


# %% role="wrong" exercise="load" misconception="What Python reads is JSON" caught="check" says="invalid input syntax"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    text = message.value.decode()
                    json.loads(text)
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, ValueError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="An error that is caught is over" caught="check" says="transaction is aborted"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    if True:
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Each step is a transaction of its own" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db:
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        before = {*db.execute(day_of, [text])}
                        new = db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING"
                            " RETURNING place",
                            [*at, text],
                        ).fetchone()
                        if new:
                            days |= before | {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            db.commit()
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Offsets need not be committed where repeats do no harm" caught="check" says="has not committed"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer, connect() as db, db.transaction():
        days = set()
        for message in drain(consumer):
            at = [message.partition, message.offset]
            try:
                with db.transaction():
                    text = message.value.decode()
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
            except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                db.execute(
                    "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    [*at, message.value],
                )
        for day in days:
            db.execute("DELETE FROM daily WHERE day = %s", day)
            db.execute(f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day)


# %% role="wrong" exercise="load" misconception="Where nothing was landed, there is nothing to commit" caught="check" says="has not committed"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    """
                    INSERT INTO daily SELECT day, origin, count(*), sum(delay)
                    FROM departures WHERE day = %s GROUP BY day, origin
                    """,
                    day,
                )
        if days:
            consumer.commit()


# %% role="wrong" exercise="load" misconception="A message has a text" caught="check" says="NoneType"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="A message of bytes is UTF-8" caught="check" says="UnicodeDecodeError"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Only objects are JSON" caught="check" says="rows in raw"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        if not text.startswith("{"):
                            raise psycopg.DataError
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | measure freshness | the oldest event that is missing |
# | end a batch | first the ends, then read, then seek |
# | count in a stream | new ids only, added in the database |
# | survive an outage | effect, then offset |
# | transform raw data | ask before a cast; null is not false |
# | watch a schema | a contract, and since when |
# | backfill | replace a day in one transaction |
# | load whatever comes | one transaction, poison aside |
#
# | | Right where | Price |
# |---|---|---|
# | batch | hours are enough | old answers |
# | stream | minutes count | a run each minute; repeats, late events |
# | ETL | raw data must not be kept | what is gone cannot be repaired |
# | ELT | questions and producers change | space, rules for raw data |
#
# **New words.** *Offset*: a message's number in its partition. *Micro-batch*: a few messages in one transaction.
# *Schema drift*: messages change without a word. *Backfill*: computing the past anew.
#
# **Read on.** Apache Kafka documentation, "Message Delivery Semantics" (2026). PostgreSQL 18 documentation,
# chapter "JSON Types" (2025). T. Akidau and others, *Streaming Systems*, chapters 1 and 2 (2018).

# %%
lab.close()
