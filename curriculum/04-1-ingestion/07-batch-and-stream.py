# %% [markdown] minutes=60 datasets=["flights"] systems=["kafka", "postgresql"]
# # Batch and stream
#
# On a day of snow, the delay board shows yesterday. You measure how old an answer is and what a fresher
# one costs, and build a stream that no outage makes wrong.

# %% [markdown]
# ## You will be able to
#
# - say how old an answer is (exercise 1)
# - end a batch on an endless topic (exercise 2)
# - count in a stream what comes late and twice (exercise 3)
# - commit effect and offset in the right order (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: `GROUP BY`, `INSERT`, transactions | exercises 3 and 4 |
# | Python functions | every answer is one |
# | the lab *APIs* | *idempotent*, *at least once* come from there |
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
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
import psycopg
import pyarrow.compute as pc
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-1-ingestion/07-batch-and-stream")
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
    """A connection; `with connect() as db:` commits at its end. It waits five seconds for locks."""
    settings = {
        "cursor_factory": Cursor,
        "application_name": "answer",
        "sslmode": "disable",
    }
    settings |= {"options": "-c lock_timeout=5s -c statement_timeout=9s"}
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
        departures = sum(row[2] for row in rows)
        print(name, f"{departures} departures, {rows[:1]}" if rows else "not started")

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
if not events:
    print("not started")
print("   size  transactions  seconds  bytes of log each")
for size in (1, 10, 100, len(EVENTS)) if events else ():
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

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | measure freshness | the oldest event that is missing |
# | end a batch | first the ends, then read, then seek |
# | count in a stream | new ids only, added in the database |
# | survive an outage | effect, then offset |
#
# | | Right where | Price |
# |---|---|---|
# | batch | hours are enough | old answers |
# | stream | minutes count | a run each minute; repeats, late events |
#
# **New words.** *Freshness*: how old an answer is. *Offset*: a message's number in its partition. *Micro-batch*: a few
# messages in one transaction.
#
# **Read on.** Apache Kafka documentation, "Message Delivery Semantics" (2026). T. Akidau and others, *Streaming
# Systems*, chapters 1 and 2 (2018).

# %%
lab.close()
