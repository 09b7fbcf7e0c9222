# %% [markdown] minutes=90 datasets=["departure-events"] systems=["kafka", "flink"]
# # Flink
#
# The delay board stands still because one airport is silent, and since the last deployment it counts from zero.
# You find out what Flink waits for, what it remembers, and where it begins again.

# %% [markdown]
# ## You will be able to
#
# - say which events a watermark drops (exercise 1)
# - read a changelog as a table (exercise 2)
# - predict what a time to live forgets (exercise 3)
# - say where a job begins after a crash (exercise 4)
# - ask by event time, in SQL over Kafka (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Event time* | windows, watermarks, late events, checkpoints |
# | SQL with `OVER` | you ask Flink in SQL |
#
# Flights and delays are real, arrival times invented.

# %% role="setup"
import itertools
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from time import sleep

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import requests
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from labkit import dataset, engines, open_lab, picture
from labkit.services import service

lab = open_lab("04-3-processing/08-flink")
kafka = service("kafka")
flink = service("flink")
admin = kafka.client()
producer = kafka.producer()
lab

# %%
EVENTS = dataset("departure-events").arrow().to_pylist()  # in order of arrival
TOPICS = []
reader = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)


def new_topic(partitions=1):
    """A new topic that keeps all messages, however old they are."""
    topic = f"departures-{len(TOPICS) + 1}"
    admin.create_topics(
        [NewTopic(topic, partitions, 1, topic_configs={"retention.ms": "-1"})]
    )
    TOPICS.append(topic)
    return topic


def send(topic, rows, partition=0):
    """Send dictionaries as JSON, with their moments as Flink reads them."""
    for row in rows:
        row = {
            name: f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"
            if isinstance(value, datetime)
            else value
            for name, value in row.items()
        }
        producer.send(topic, json.dumps(row).encode(), partition=partition)
    producer.flush()


def with_kafka(topic, **more):
    """The WITH clause of a table over a topic, which the query reads to its end.

    `scan_bounded_mode="unbounded"` sets 'scan.bounded.mode', and so on.
    """
    options = {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": kafka.bootstrap_servers[0],
        "properties.group.id": "board",
        "properties.auto.offset.reset": "earliest",
        "scan.startup.mode": "earliest-offset",
        "scan.bounded.mode": "latest-offset",
        "format": "json",
        "json.timestamp-format.standard": "ISO-8601",
    } | {name.replace("_", "."): text for name, text in more.items()}
    pairs = ", ".join(f"'{name}' = '{text}'" for name, text in options.items())
    return f"WITH ({pairs})"


def new_session(settings=None):
    """A session of the SQL gateway; a job of it that fails is not tried again."""
    return flink.client(**{"restart-strategy.type": "none"} | (settings or {}))


print(len(EVENTS), "events, for example", EVENTS[400]["flight"])

# %% [markdown] topics=["4.3-3.2"]
# ## The board that stands still
#
# A Flink *job* is SQL that goes on until somebody stops it. `WATERMARK FOR departed AS
# departed - INTERVAL '10' MINUTE` makes `departed` its event time. `TUMBLE`, `HOP` and `SESSION` put windows on it.
#
# The source keeps a watermark for each partition of the topic. The job's watermark is the smallest.
#
# **Predict:** partition 0 has departures of 10:05 and 12:30, partition 1 none. Is the window of 10:00 written?


# %%
def messages(topic):
    """What the topic holds now, as dictionaries; a message without value is None."""
    place, found = TopicPartition(topic, 0), []
    reader.assign([place])
    reader.seek_to_beginning(place)
    end = reader.end_offsets([place])[place]
    while reader.position(place) < end:
        found += [m for batch in reader.poll(100).values() for m in batch]
    return [message.value and json.loads(message.value) for message in found]


def committed(topic):
    """How far Flink says, with each checkpoint, that it has read partition 0."""
    try:
        offsets = admin.list_group_offsets("board")["board"]
    except KafkaError:  # nobody has committed yet
        return 0
    place = TopicPartition(topic, 0)
    return offsets[place].offset if place in offsets else 0


def job(identity, path=""):
    """What the job manager's REST interface says about a job."""
    return requests.get(f"{flink.url}/jobs/{identity}{path}", timeout=10).json()


def cancel(identity):
    requests.patch(f"{flink.url}/jobs/{identity}?mode=cancel", timeout=10)


# %%
HOURS = """
    SELECT window_start, COUNT(*) AS departures
    FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
    GROUP BY window_start, window_end
"""
source, sink = new_topic(partitions=2), new_topic()
send(source, [{"departed": datetime(2013, 7, 10, 10, 5, tzinfo=UTC)}])
send(source, [{"departed": datetime(2013, 7, 10, 12, 30, tzinfo=UTC)}])
with new_session() as sql:
    sql.sql(
        "CREATE TEMPORARY TABLE departures (departed TIMESTAMP_LTZ(3), "
        "WATERMARK FOR departed AS departed - INTERVAL '10' MINUTE) "
        + with_kafka(source, scan_bounded_mode="unbounded")
    )
    sql.sql(
        "CREATE TEMPORARY TABLE board (hour_start TIMESTAMP(3), departures BIGINT) "
        + with_kafka(sink)
    )
    running = sql.sql(f"INSERT INTO board {HOURS}")[0][0]
flink.wait(lambda: committed(source), lambda offset: offset == 2)
print("Flink has read both, and writes", messages(sink))
send(source, [{"departed": datetime(2013, 7, 10, 12, 31, tzinfo=UTC)}], partition=1)
print("partition 1 speaks:", flink.wait(lambda: messages(sink), bool))
cancel(running)

# %% [markdown]
# With a partition for each airport, it happens at night, when one airport after the other falls silent:

# %%
figure, axis = plt.subplots(figsize=(7, 3))
arrivals = [event["arrived"] for event in EVENTS]
marks = {}
for origin in ("EWR", "JFK", "LGA"):
    marks[origin], latest = [], datetime(2013, 7, 10, 4, tzinfo=UTC)
    for event in EVENTS:
        if event["origin"] == origin:
            latest = max(latest, event["departed"])
        marks[origin].append(latest)
    axis.step(arrivals, marks[origin], where="post", label=origin, linewidth=1)
smallest = [min(each) for each in zip(*marks.values(), strict=True)]
axis.step(arrivals, smallest, "k--", where="post", label="job", linewidth=2)
hours = mdates.DateFormatter("%H:%M", tz=UTC)
axis.xaxis.set_major_formatter(hours)
axis.yaxis.set_major_formatter(hours)
night = [datetime(2013, 7, 11, hour, tzinfo=UTC) for hour in (3, 10)]
axis.set(xlabel="arrival (UTC)", ylabel="watermark, wait 0", xlim=night, ylim=night)
axis.legend(loc="upper left")
picture(
    figure,
    alt="Watermarks of three partitions, one for each airport, over the time of arrival. They rise in steps until each stays "
    "where its last departure was: EWR from 5:35, LGA from 6:06, JFK from 7:25. The job follows the lowest, and stays at 5:35.",
)

# %% [markdown]
# With `'table.exec.source.idle-timeout' = '1 min'`, a partition that gives nothing for so long is *idle*: it does not
# count until its next event. If all partitions of a source task are idle, its watermark stays.
#
# A window is closed when the watermark reaches its end. SQL drops what comes for it later, and only a metric,
# `numLateRecordsDropped`, tells.

# %% [markdown] role="task" exercise="dropped" points=3 topics=["4.3-3.2"]
# ### What is dropped?
#
# Write `dropped(records, partitions, wait)`. `records` is a list of `[partition, time]` in the order in which the job reads
# them; `time` is in whole minutes, or `None`: then the partition becomes idle. There are `partitions` of them, counted
# from 0. Windows last 60 minutes and begin at multiples of 60.
#
# - A partition's watermark is its latest time, less `wait` minutes. Without an event it has none, and holds all back.
# - The job's watermark is the smallest of those partitions that are not idle; if all are idle, it stays. It never goes back.
#   An event wakes its partition.
#
# Return the records, in their order, whose window ends at or before the watermark that stands before they move it.
#
# Example, 2 partitions, `wait` 10: after `[0, 5], [1, 6], [0, 80], [1, 70]` the watermark is 60. `[1, 59]` is dropped.
#
# Why: an idle timeout that is too short turns slow partitions into lost departures.


# %% role="answer" exercise="dropped"
def dropped(records: list[list], partitions: int, wait: int) -> list[list]:
    """The records that come after their window was closed."""
    ### BEGIN SOLUTION
    marks = dict.fromkeys(range(partitions), float("-inf"))
    idle, watermark, found = set(), float("-inf"), []
    for partition, time in records:
        if time is None:
            idle.add(partition)
        else:
            if time // 60 * 60 + 60 <= watermark:
                found.append([partition, time])
            marks[partition] = max(marks[partition], time - wait)
            idle.discard(partition)
        active = [marks[one] for one in marks if one not in idle]
        watermark = max(watermark, min(active, default=watermark))
    return found
    ### END SOLUTION


# %% role="check" exercise="dropped"
with lab.check("dropped") as answer:
    for records, partitions, wait, expected in [
        ([[0, 5], [1, 6], [0, 80], [1, 70], [1, 59]], 2, 10, [[1, 59]]),
        ([[0, 5], [1, 6], [0, 80], [1, 69], [1, 59]], 2, 10, []),
        ([[0, 5], [0, 300], [0, 6]], 2, 10, []),
        (
            [[0, 5], [1, None], [0, 130], [0, 59], [0, 60], [1, 3]],
            2,
            10,
            [[0, 59], [0, 60], [1, 3]],
        ),
        (
            [[0, 5], [1, None], [0, 130], [1, 60], [0, 200], [1, 121], [0, 119]],
            2,
            10,
            [[1, 60], [0, 119]],
        ),
        ([[0, 200], [1, 90], [0, None], [1, None], [1, 50], [1, 80]], 2, 0, [[1, 50]]),
        ([[0, 200], [0, 100], [0, 130], [0, 119]], 1, 60, [[0, 100], [0, 119]]),
    ]:
        answer.equal(
            answer.call("dropped", records, partitions, wait),
            expected,
            asked=f"the records that are dropped of {records} (partition, time) with {partitions} "
            f"partition(s) and wait {wait}",
        )

# %% role="hidden" exercise="dropped"
with lab.check("dropped", hidden=True) as answer:
    for partitions in (2, 3, 4):
        wait, now, records = answer.random.choice([0, 20, 45]), -200, []
        for _ in range(90):
            now += answer.random.randrange(25)
            time = now - answer.random.choice([0, 0, 10, 90, 250])
            if answer.random.random() < 0.2:
                time = None
            records.append([answer.random.randrange(partitions), time])
        newest, sleeping, mark, expected = {}, set(), -(10**9), []
        for partition, time in records:
            sleeping = (
                sleeping | {partition} if time is None else sleeping - {partition}
            )
            if time is not None:
                if (time // 60 + 1) * 60 <= mark:
                    expected.append([partition, time])
                newest[partition] = max(newest.get(partition, time), time)
            awake = {*range(partitions)} - sleeping
            if awake:
                mark = max(mark, min(newest.get(p, -(10**9)) for p in awake) - wait)
        answer.equal(
            answer.call("dropped", records, partitions, wait),
            expected,
            asked=f"the records that are dropped of 90, with {partitions} partitions, some of them idle at "
            f"times, and wait {wait}",
        )

# %% [markdown] role="hint" exercise="dropped"
# What do you remember for each partition, and what for the job? Which of them may become smaller?

# %% [markdown] role="hint" exercise="dropped"
# Start each partition with `float("-inf")`. `min(…, default=…)` helps when all are idle. Decide on the record first, then
# move the watermark.

# %% [markdown] role="hint" exercise="dropped"
# ```python
# marks = dict.fromkeys(range(partitions), float("-inf"))
# idle, watermark, found = set(), float("-inf"), []
# for partition, time in records:
#     if time is None:
#         idle.add(partition)
#     else:
#         if ...:
#             found.append([partition, time])
#         marks[partition] = ...
#         idle.discard(partition)
#     active = [...]
#     watermark = max(watermark, min(active, default=...))
# return found
# ```


# %% role="right" exercise="dropped"
def dropped(records, partitions, wait):
    latest = [-(10**9)] * partitions
    awake, clock, late = {*range(partitions)}, -(10**9), []
    for number, time in records:
        if time is None:
            awake -= {number}
        else:
            awake |= {number}
            if time - time % 60 + 60 <= clock:
                late += [[number, time]]
            latest[number] = max(latest[number], time)
        if awake:
            clock = max(clock, min(latest[n] for n in awake) - wait)
    return late


# %% [markdown] role="equivalent" exercise="dropped" reason="the larger of two does not depend on their order"
# - marks[partition] = max(marks[partition], time - wait)
# + marks[partition] = max(time - wait, marks[partition])

# %% [markdown] role="equivalent" exercise="dropped" reason="the larger of two does not depend on their order"
# - watermark = max(watermark, min(active, default=watermark))
# + watermark = max(min(active, default=watermark), watermark)


# %% role="wrong" exercise="dropped" misconception="The newest event moves the job's watermark" caught="check" says="[1, 69]"
def dropped(records, partitions, wait):
    newest, found = float("-inf"), []
    for partition, time in records:
        if time is not None:
            if time // 60 * 60 + 60 <= newest - wait:
                found.append([partition, time])
            newest = max(newest, time)
    return found


# %% role="wrong" exercise="dropped" misconception="A partition without events does not count" caught="check" says="[[0, 5], [0, 300], [0, 6]]"
def dropped(records, partitions, wait):
    marks, idle, watermark, found = {}, set(), float("-inf"), []
    for partition, time in records:
        if time is None:
            idle.add(partition)
        else:
            if time // 60 * 60 + 60 <= watermark:
                found.append([partition, time])
            marks[partition] = max(marks.get(partition, time - wait), time - wait)
            idle.discard(partition)
        active = [marks[one] for one in marks if one not in idle]
        watermark = max(watermark, min(active, default=watermark))
    return found


# %% role="wrong" exercise="dropped" misconception="Idle once, idle for ever" caught="check" says="[1, 121]"
def dropped(records, partitions, wait):
    marks = dict.fromkeys(range(partitions), float("-inf"))
    idle, watermark, found = set(), float("-inf"), []
    for partition, time in records:
        if time is None:
            idle.add(partition)
        else:
            if time // 60 * 60 + 60 <= watermark:
                found.append([partition, time])
            marks[partition] = max(marks[partition], time - wait)
        active = [marks[one] for one in marks if one not in idle]
        watermark = max(watermark, min(active, default=watermark))
    return found


# %% role="wrong" exercise="dropped" misconception="A partition that comes back sets the clock back" caught="check" says="[1, 60]"
def dropped(records, partitions, wait):
    marks = dict.fromkeys(range(partitions), float("-inf"))
    idle, watermark, found = set(), float("-inf"), []
    for partition, time in records:
        if time is None:
            idle.add(partition)
        else:
            if time // 60 * 60 + 60 <= watermark:
                found.append([partition, time])
            marks[partition] = max(marks[partition], time - wait)
            idle.discard(partition)
        active = [marks[one] for one in marks if one not in idle]
        watermark = min(active, default=watermark)
    return found


# %% role="wrong" exercise="dropped" misconception="What is older than the watermark is dropped" caught="check" says="wait 10"
def dropped(records, partitions, wait):
    marks = dict.fromkeys(range(partitions), float("-inf"))
    idle, watermark, found = set(), float("-inf"), []
    for partition, time in records:
        if time is None:
            idle.add(partition)
        else:
            if time <= watermark:
                found.append([partition, time])
            marks[partition] = max(marks[partition], time - wait)
            idle.discard(partition)
        active = [marks[one] for one in marks if one not in idle]
        watermark = max(watermark, min(active, default=watermark))
    return found


# %% [markdown] topics=["4.3-3.2"]
# ## Rows that are taken back
#
# A window is written once, when it closes. A `GROUP BY` without a window never closes: Flink corrects what it said, in a
# *changelog*.
#
# **Predict:** three departures, JFK, EWR, JFK. How many rows does it take to say how many airports have one, and how
# many have two?

# %%
BUSY = """
    SELECT n, COUNT(*) AS airports FROM (
        SELECT origin, COUNT(*) AS n
        FROM (VALUES ('JFK'), ('EWR'), ('JFK')) AS departures (origin) GROUP BY origin
    ) GROUP BY n
"""
with new_session() as sql:
    CHANGES = [
        {"kind": kind, "row": dict(zip(("n", "airports"), row, strict=True))}
        for kind, row in sql.changes(BUSY)
    ]
for change in CHANGES:
    print(f"{change['kind']:<13}", change["row"])

# %% [markdown]
# `UPDATE_BEFORE` takes a row back, `UPDATE_AFTER` puts one in its place, `DELETE` only takes back. This form is called
# *retract*: it needs no key, and rows may be equal.
#
# A sink with a `PRIMARY KEY`, as `upsert-kafka`, writes the *upsert* form: the newest row of a key is valid, and a
# `DELETE` may know the key alone. Plain `kafka` takes insertions only.

# %% [markdown] role="task" exercise="meaning" points=3 topics=["4.3-3.2"]
# ### What does a changelog mean?
#
# Write `meaning(changes, key)`. Each change has `kind` (`INSERT`, `UPDATE_BEFORE`, `UPDATE_AFTER`, `DELETE`) and `row`, a
# dictionary.
#
# - With `key` `None` it is in retract form: `UPDATE_BEFORE` and `DELETE` take back one row that is equal, which is there.
# - Else the form is upsert, and `key` names the key's column: `INSERT` and `UPDATE_AFTER` set the key's row, `DELETE`
#   removes it, if it is there. `UPDATE_BEFORE` changes nothing.
#
# Return the table's rows in the end, in any order.
#
# Example: the changelog above, with `None`, means two rows: one airport with 1 departure, one with 2.
#
# Why: who adds up all rows counts each correction.


# %% role="answer" exercise="meaning"
def meaning(changes: list[dict], key: str | None) -> list[dict]:
    """The table that a changelog means."""
    ### BEGIN SOLUTION
    rows, by_key = [], {}
    for change in changes:
        kind, row = change["kind"], change["row"]
        if key is None:
            if kind in ("INSERT", "UPDATE_AFTER"):
                rows.append(row)
            else:
                rows.remove(row)
        elif kind in ("INSERT", "UPDATE_AFTER"):
            by_key[row[key]] = row
        elif kind == "DELETE":
            by_key.pop(row[key], None)
    return rows if key is None else [*by_key.values()]
    ### END SOLUTION


# %% role="check" exercise="meaning"
with lab.check("meaning") as answer:
    names = {
        "+I": "INSERT",
        "-U": "UPDATE_BEFORE",
        "+U": "UPDATE_AFTER",
        "-D": "DELETE",
    }
    for key, script, expected in [
        (None, "+I 1 1, -U 1 1, +U 1 2, -U 1 2, +U 1 1, +I 2 1", "1 1, 2 1"),
        (None, "+I EWR 5, +I EWR 5, +I JFK 2, -D EWR 5", "EWR 5, JFK 2"),
        (None, "+I EWR 5, +I EWR 7, +I LGA 5", "EWR 5, EWR 7, LGA 5"),
        ("a", "+I EWR 1, +U EWR 2, +I JFK 1, +U EWR 3", "EWR 3, JFK 1"),
        ("a", "+I EWR 1, +I JFK 4, -D EWR None, -D LGA None", "JFK 4"),
        ("a", "+I EWR 1, -U EWR 1, +I JFK 7, -U JFK 3", "EWR 1, JFK 7"),
        ("a", "+I EWR 1, +I EWR 2, +U LGA 4", "EWR 2, LGA 4"),
        ("b", "+I EWR 1, +I LGA 1, +I JFK 2", "LGA 1, JFK 2"),
    ]:
        changes = [
            {"kind": names[kind], "row": {"a": a, "b": None if b == "None" else b}}
            for kind, a, b in (text.split() for text in script.split(", "))
        ]
        answer.same_rows(
            answer.call("meaning", changes, key),
            [
                dict(zip("ab", text.split(), strict=True))
                for text in expected.split(", ")
            ],
            asked=f"the table of columns a and b with key {key} after: {script}",
        )

# %% role="hidden" exercise="meaning"
with lab.check("meaning", hidden=True) as answer:
    counts, changes = Counter(), []
    airports = ["ÉWR", "JFK", "LGA", None]
    for _ in range(80):
        airport, leaves = answer.random.choice(airports), answer.random.random() < 0.3
        before = counts[airport]
        counts[airport] += -1 if leaves and before else 1
        after = counts[airport]
        if before and not after:
            changes.append({"kind": "DELETE", "row": {"origin": airport, "n": before}})
        elif before:
            changes.append(
                {"kind": "UPDATE_BEFORE", "row": {"origin": airport, "n": before}}
            )
            changes.append(
                {"kind": "UPDATE_AFTER", "row": {"origin": airport, "n": after}}
            )
        else:
            changes.append({"kind": "INSERT", "row": {"origin": airport, "n": after}})
    for key in (None, "origin"):
        if key:
            changes = [
                change for change in changes if change["kind"] != "UPDATE_BEFORE"
            ]
        answer.same_rows(
            answer.call("meaning", changes, key),
            [{"origin": airport, "n": n} for airport, n in counts.items() if n],
            asked=f"the table after {len(changes)} changes of counts by airport, with key {key}",
        )

# %% [markdown] role="hint" exercise="meaning"
# What identifies the row that is taken back: its key, or all of it?

# %% [markdown] role="hint" exercise="meaning"
# `list.remove` takes out the first element that is equal. `dict.pop(key, None)` does not mind a key that is not there.

# %% [markdown] role="hint" exercise="meaning"
# ```python
# rows, by_key = [], {}
# for change in changes:
#     kind, row = change["kind"], change["row"]
#     if key is None:
#         ...
#     elif kind in (...):
#         by_key[row[key]] = ...
#     elif kind == "DELETE":
#         ...
# return rows if key is None else [*by_key.values()]
# ```


# %% role="right" exercise="meaning"
def meaning(changes, key):
    if key:
        newest = {}
        for change in changes:
            if change["kind"] != "UPDATE_BEFORE":
                newest[change["row"][key]] = change
        return [c["row"] for c in newest.values() if c["kind"] != "DELETE"]
    counts = Counter()
    for change in changes:
        sign = 1 if change["kind"] in ("INSERT", "UPDATE_AFTER") else -1
        counts[tuple(change["row"].items())] += sign
    return [dict(row) for row in counts.elements()]


# %% role="wrong" exercise="meaning" misconception="All rows of the topic are rows of the table" caught="check" says="with key None"
def meaning(changes, key):
    return [change["row"] for change in changes if change["kind"] != "DELETE"]


# %% role="wrong" exercise="meaning" misconception="Each row has a key" caught="check" says="+I EWR 5, +I EWR 5"
def meaning(changes, key):
    table = {}
    for change in changes:
        row = change["row"]
        name = row[key] if key else tuple(row.items())
        if change["kind"] in ("INSERT", "UPDATE_AFTER"):
            table[name] = row
        elif change["kind"] == "DELETE" or key is None:
            table.pop(name, None)
    return [*table.values()]


# %% role="wrong" exercise="meaning" misconception="A deletion names the whole row" caught="check" says="-D EWR None"
def meaning(changes, key):
    rows, by_key = [], {}
    for change in changes:
        kind, row = change["kind"], change["row"]
        if kind in ("INSERT", "UPDATE_AFTER"):
            rows.append(row)
            if key:
                by_key[row[key]] = row
        elif key is None:
            rows.remove(row)
        elif kind == "DELETE" and by_key.get(row[key]) == row:
            del by_key[row[key]]
    return rows if key is None else [*by_key.values()]


# %% role="wrong" exercise="meaning" misconception="An upsert stream takes back before it sets" caught="check" says="-U EWR 1"
def meaning(changes, key):
    rows, by_key = [], {}
    for change in changes:
        kind, row = change["kind"], change["row"]
        if kind in ("INSERT", "UPDATE_AFTER"):
            rows.append(row)
            if key:
                by_key[row[key]] = row
        elif key is None:
            rows.remove(row)
        else:
            by_key.pop(row[key], None)
    return rows if key is None else [*by_key.values()]


# %% role="wrong" exercise="meaning" misconception="The first column is the key" caught="check" says="with key b"
def meaning(changes, key):
    rows, by_key = [], {}
    for change in changes:
        kind, row = change["kind"], change["row"]
        first = next(iter(row.values()))
        if kind in ("INSERT", "UPDATE_AFTER"):
            rows.append(row)
            by_key[first] = row
        elif key is None:
            rows.remove(row)
        elif kind == "DELETE":
            by_key.pop(first, None)
    return rows if key is None else [*by_key.values()]


# %%
print("It means:", meaning(CHANGES, None) or "not started")

# %% [markdown] topics=["4.3-3.2"]
# ## What Flink forgets
#
# To drop repeats, number the rows of each `id` and keep the first: `ROW_NUMBER() OVER (PARTITION BY id ORDER BY …) = 1`.
# Flink then remembers each `id` for ever, in its *state*. With `table.exec.state.ttl`, state goes when it has not been
# *written* for so long, by the machine's clock.
#
# **Predict:** with a time to live of 2 seconds, an id comes at 0, 1.2 and 2.4 seconds. How often is it new? How far does
# `COUNT(*) … GROUP BY id` get?

# %%
FIRST = """
    SELECT 'first', id, CAST(1 AS BIGINT) FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY seen) AS k FROM departures
    ) WHERE k = 1
"""
source, firsts, counts = new_topic(), new_topic(), new_topic()
keyed = {"connector": "upsert-kafka", "key.format": "json", "value.format": "json"}
keyed["properties.bootstrap.servers"] = kafka.bootstrap_servers[0]


def with_upserts(topic):
    """The WITH clause of a table whose newest row of a key is valid."""
    pairs = ", ".join(f"'{n}' = '{text}'" for n, text in keyed.items())
    return f"WITH ({pairs}, 'topic' = '{topic}')"


with new_session({"table.exec.state.ttl": "2 s"}) as sql:
    sql.sql(
        "CREATE TEMPORARY TABLE departures (id STRING, seen AS PROCTIME()) "
        + with_kafka(source, scan_bounded_mode="unbounded")
    )
    columns = "(query STRING, id STRING, n BIGINT"
    sql.sql(f"CREATE TEMPORARY TABLE firsts {columns}) {with_kafka(firsts)}")
    sql.sql(
        f"CREATE TEMPORARY TABLE counts {columns}, PRIMARY KEY (id) NOT ENFORCED) "
        + with_upserts(counts)
    )
    running = sql.sql(
        f"EXECUTE STATEMENT SET BEGIN INSERT INTO firsts {FIRST}; INSERT INTO counts "
        "SELECT 'count', id, COUNT(*) FROM departures GROUP BY id; END"
    )[0][0]

# %% tags=["nbval-ignore-output"]
send(source, [{"id": "warm-up"}])
flink.wait(lambda: messages(firsts) and messages(counts), bool)
for _ in range(3):
    send(source, [{"id": "B6725"}])
    sleep(1.2)  # the machine's clock is the point here
for topic in (firsts, counts):
    print([m["n"] for m in messages(topic) if m and m["id"] == "B6725"])
cancel(running)

# %% [markdown]
# A repeat does not write the state of *keep the first*: the id is forgotten two seconds after its first event, and the
# third is new again. Each event writes the count, so it lives on.
#
# Windows need no time to live: the watermark clears their state. Number the rows *within* the window, `PARTITION BY
# window_start, window_end, id` over the rows of `TABLE(TUMBLE(…))`, and repeats are cleared with it.

# %% [markdown] role="task" exercise="remembered" points=3 topics=["4.3-3.2"]
# ### What is remembered?
#
# Write `remembered(events, ttl)`. `events` is a list of `[id, second]`, in the order of processing; `ttl` is in seconds.
#
# Return for each event a list `[new, count]`: whether *keep the first* lets it through (`True` or `False`), and what
# `COUNT(*) … GROUP BY id` says after it. State is gone at the second of its last write plus `ttl`. A `ttl` of 0 means: never.
#
# Example with `ttl` 20: `[["a", 0], ["a", 12], ["a", 24]]` gives `[[True, 1], [False, 2], [True, 3]]`.
#
# Why: one setting holds for all queries of a job, and means something else in each.


# %% role="answer" exercise="remembered"
def remembered(events: list[list], ttl: int) -> list[list]:
    """For each event: is it new, and which count is it?"""
    ### BEGIN SOLUTION
    first, counted, found = {}, {}, []
    for name, now in events:
        new = name not in first or (ttl > 0 and first[name] + ttl <= now)
        if new:
            first[name] = now
        count, written = counted.get(name, (0, now))
        if ttl and written + ttl <= now:
            count = 0
        counted[name] = (count + 1, now)
        found.append([new, count + 1])
    return found
    ### END SOLUTION


# %% role="check" exercise="remembered"
with lab.check("remembered") as answer:
    for events, ttl, expected in [
        ([["a", 0], ["a", 12], ["a", 24]], 20, [[True, 1], [False, 2], [True, 3]]),
        ([["a", 0], ["a", 19], ["b", 19]], 20, [[True, 1], [False, 2], [True, 1]]),
        ([["a", 5], ["a", 25], ["a", 26]], 20, [[True, 1], [True, 1], [False, 2]]),
        (
            [["a", 0], ["a", 9], ["a", 18], ["a", 27], ["a", 36], ["a", 46]],
            10,
            [[True, 1], [False, 2], [True, 3], [False, 4], [True, 5], [True, 1]],
        ),
        (
            [["a", 0], ["a", 10**7], ["a", 10**7]],
            0,
            [[True, 1], [False, 2], [False, 3]],
        ),
        ([["a", 0], ["a", 1]], 1, [[True, 1], [True, 1]]),
    ]:
        answer.equal(
            answer.call("remembered", events, ttl),
            expected,
            asked=f"[new, count] for each (id, second) of {events} with a time to live of {ttl}",
        )

# %% role="hidden" exercise="remembered"
with lab.check("remembered", hidden=True) as answer:
    for ttl in (7, 15, 0):
        events, now = [], -50
        for _ in range(80):
            now += answer.random.randrange(5)
            events.append([answer.random.choice(["É1", "B6", "US", "UA"]), now])
        expected = []
        for place, (name, _) in enumerate(events):
            mine = [s for n, s in events[: place + 1] if n == name]
            birth, count = mine[0], 1
            new = True
            for before, moment in itertools.pairwise(mine):
                gone = bool(ttl) and moment - before >= ttl
                count = 1 if gone else count + 1
                new = bool(ttl) and moment - birth >= ttl
                birth = moment if new else birth
            expected.append([new, count])
        answer.equal(
            answer.call("remembered", events, ttl),
            expected,
            asked=f"[new, count] for each of 80 events of 4 ids with a time to live of {ttl}",
        )

# %% [markdown] role="hint" exercise="remembered"
# Which of the two queries writes something when a repeat comes?

# %% [markdown] role="hint" exercise="remembered"
# Two dictionaries: for each id the second of the last write; for the count the number as well. Look at whether it is
# gone before you use it.

# %% [markdown] role="hint" exercise="remembered"
# ```python
# first, counted, found = {}, {}, []
# for name, now in events:
#     new = name not in first or (...)
#     if new:
#         first[name] = ...
#     count, written = counted.get(name, (0, now))
#     if ...:
#         count = 0
#     counted[name] = ...
#     found.append([new, count + 1])
# return found
# ```


# %% role="right" exercise="remembered"
def remembered(events, ttl):
    ttl = ttl or float("inf")
    born, lives, found = {}, {}, []
    for name, now in events:
        new = now - born.get(name, float("-inf")) >= ttl if name in born else True
        born[name] = now if new else born[name]
        life = lives.setdefault(name, [])
        if life and now - life[-1] >= ttl:
            life.clear()
        life.append(now)
        found.append([new, len(life)])
    return found


# %% role="wrong" exercise="remembered" misconception="Reading keeps state alive" caught="check" says="[['a', 0], ['a', 12], ['a', 24]]"
def remembered(events, ttl):
    last, count, found = {}, Counter(), []
    for name, now in events:
        new = name not in last or (ttl > 0 and last[name] + ttl <= now)
        count[name] = 1 if new else count[name] + 1
        last[name] = now
        found.append([new, count[name]])
    return found


# %% role="wrong" exercise="remembered" misconception="State lives from its creation, whatever is written" caught="check" says="[['a', 0], ['a', 12], ['a', 24]]"
def remembered(events, ttl):
    born, count, found = {}, Counter(), []
    for name, now in events:
        new = name not in born or (ttl > 0 and born[name] + ttl <= now)
        if new:
            born[name], count[name] = now, 0
        count[name] += 1
        found.append([new, count[name]])
    return found


# %% role="wrong" exercise="remembered" misconception="Zero means: remember nothing" caught="check" says="live of 0"
def remembered(events, ttl):
    first, counted, found = {}, {}, []
    for name, now in events:
        new = name not in first or first[name] + ttl <= now
        if new:
            first[name] = now
        count, written = counted.get(name, (0, now))
        if written + ttl <= now:
            count = 0
        counted[name] = (count + 1, now)
        found.append([new, count + 1])
    return found


# %% role="wrong" exercise="remembered" misconception="A repeat is a repeat, however late" caught="check" says="[['a', 0], ['a', 12], ['a', 24]]"
def remembered(events, ttl):
    count, found = Counter(), []
    for name, _ in events:
        count[name] += 1
        found.append([count[name] == 1, count[name]])
    return found


# %% role="wrong" exercise="remembered" misconception="State lives to the end of its last second" caught="check" says="[['a', 5], ['a', 25], ['a', 26]]"
def remembered(events, ttl):
    first, counted, found = {}, {}, []
    for name, now in events:
        new = name not in first or (ttl > 0 and first[name] + ttl < now)
        if new:
            first[name] = now
        count, written = counted.get(name, (0, now))
        if ttl and written + ttl < now:
            count = 0
        counted[name] = (count + 1, now)
        found.append([new, count + 1])
    return found


# %% [markdown] topics=["4.3-3.2"]
# ## Break it: kill the worker
#
# A *checkpoint* keeps the state of all operators and the source's offsets, as of one moment. After a crash the *job
# manager* gives the newest one to the *task managers*, the workers, and the source reads again from there.
#
# The job below copies each event to a topic, and counts by airport in another.
#
# **Predict:** it reads 300 events, makes a checkpoint, reads 200 more, and dies. Then 100 more come. How many copies are
# there, and what do the counts add up to?

# %%
source, copies, totals = new_topic(), new_topic(), new_topic()
SETTINGS = {"restart-strategy.type": "fixed-delay"}
SETTINGS |= {"execution.checkpointing.interval": "1 h"}


def run(hint="", settings=SETTINGS, into=totals):
    """Start the job that copies and counts; return its id."""
    with new_session(settings) as sql:
        columns = "(id STRING, origin STRING)"
        unbounded = with_kafka(source, scan_bounded_mode="unbounded")
        sql.sql(f"CREATE TEMPORARY TABLE departures {columns} {unbounded}")
        sql.sql(f"CREATE TEMPORARY TABLE copies {columns} {with_kafka(copies)}")
        sql.sql(
            "CREATE TEMPORARY TABLE totals (origin STRING, n BIGINT, "
            f"PRIMARY KEY (origin) NOT ENFORCED) {with_upserts(into)}"
        )
        return sql.sql(
            "EXECUTE STATEMENT SET BEGIN "
            f"INSERT INTO copies SELECT * FROM departures {hint}; INSERT INTO totals "
            f"SELECT origin, COUNT(*) FROM departures {hint} GROUP BY origin; END"
        )[0][0]


def total(topic=totals):
    """The newest counts, by airport."""
    rows = [row for row in messages(topic) if row]
    return dict(sorted({row["origin"]: row["n"] for row in rows}.items()))


def feed(first, last):
    rows = EVENTS[first:last]
    send(source, [{"id": row["event"], "origin": row["origin"]} for row in rows])


def settled(copied, counted):
    """Wait until the topics hold so many copies, and counts of so many events."""
    flink.wait(lambda: len(messages(copies)), lambda n: n >= copied)
    return flink.wait(total, lambda table: sum(table.values()) == counted)


def ask(path, body):
    """Ask the job manager for something that takes a while; wait until it is done."""
    url = f"{flink.url}/jobs/{path}"
    request = requests.post(url, json=body, timeout=10).json()["request-id"]
    url = url.replace("/stop", "/savepoints") + f"/{request}"
    done = flink.wait(
        lambda: requests.get(url, timeout=10).json(),
        lambda answer: answer["status"]["id"] == "COMPLETED",
    )
    return done["operation"]


# %%
running = run()
feed(0, 300)
print("before the checkpoint", settled(300, 300))
checkpoint = ask(f"{running}/checkpoints", {"checkpointType": "FULL"})
feed(300, 500)
settled(500, 500)
flink.kill("taskmanager")
feed(500, 600)
flink.restart("taskmanager")
print("after the crash      ", settled(800, 600))
restored = job(running, "/checkpoints")["latest"]["restored"]
print("restored what you asked for:", restored["id"] == checkpoint["checkpointId"])
print("copies of 600 events:", len(messages(copies)))

# %% [markdown]
# The counts are right: state and offset went back together. 200 copies are there twice: what was written stays
# written. Flink's *exactly once* means the state.
#
# A Kafka sink with `'sink.delivery-guarantee' = 'exactly-once'` writes in transactions, and commits with each checkpoint.
# `read_committed` sees each copy once, but later.

# %% [markdown] role="task" exercise="recovery" points=3 topics=["4.3-3.2"]
# ### Where does it begin again?
#
# Write `recovery(checkpoints, read, sink)`. The job reads one partition from offset 0 and writes one message for each that it reads.
# It dies after `read` messages. `checkpoints` is a list of dictionaries, in any order:
#
# - `id`, which grows; `status`: `COMPLETED`, `IN_PROGRESS` or `FAILED`; `offset`, the next to read
# - `savepoint`: `True` if it is a *savepoint*, made on request to be kept, and no checkpoint. A crash does not go back to one
#   that was made while the job ran (since Flink 1.15).
#
# `sink` is `append` (plain `kafka`), `upsert` (results replace those of their key) or `exactly-once` (transactions).
# Return a dictionary:
#
# - `id` of the checkpoint that is restored, or `None`; `again`: how many messages are read twice
# - `doubled`: how many results are seen twice in the end
# - `hidden`: how many results a reader of committed messages has not seen yet at the crash
#
# Example: a completed checkpoint 1 at offset 300, 500 are read, `append`: `{"id": 1, "again": 200, "doubled": 200, "hidden": 0}`.
#
# Why: the sink decides whether a restart is seen.


# %% role="answer" exercise="recovery"
def recovery(checkpoints: list[dict], read: int, sink: str) -> dict:
    """What a restart reads again, and what readers see of it."""
    ### BEGIN SOLUTION
    chosen = {"id": None, "offset": 0}
    for each in sorted(checkpoints, key=lambda each: each["id"]):
        if each["status"] == "COMPLETED" and not each["savepoint"]:
            chosen = each
    again = read - chosen["offset"]
    return {
        "id": chosen["id"],
        "again": again,
        "doubled": again if sink == "append" else 0,
        "hidden": again if sink == "exactly-once" else 0,
    }
    ### END SOLUTION


# %% role="check" exercise="recovery"
with lab.check("recovery") as answer:
    for script, read, sink, expected in [
        ("1 COMPLETED 300", 500, "append", (1, 200, 200, 0)),
        ("1 COMPLETED 300", 500, "upsert", (1, 200, 0, 0)),
        ("1 COMPLETED 300", 500, "exactly-once", (1, 200, 0, 200)),
        ("", 40, "append", (None, 40, 40, 0)),
        ("2 COMPLETED 90, 1 COMPLETED 50", 95, "append", (2, 5, 5, 0)),
        (
            "9 COMPLETED 90, 10 COMPLETED 95, 11 IN_PROGRESS 98",
            99,
            "upsert",
            (10, 4, 0, 0),
        ),
        ("3 COMPLETED 10, 4 FAILED 20", 20, "exactly-once", (3, 10, 0, 10)),
        ("1 COMPLETED 10, 2 COMPLETED 20 savepoint", 30, "append", (1, 20, 20, 0)),
        ("1 COMPLETED 7, 2 COMPLETED 7", 7, "append", (2, 0, 0, 0)),
    ]:
        checkpoints = [
            {"id": int(words[0]), "status": words[1], "offset": int(words[2])}
            | {"savepoint": "savepoint" in words}
            for words in (text.split() for text in script.split(", ") if text)
        ]
        answer.equal(
            answer.call("recovery", checkpoints, read, sink),
            dict(zip(("id", "again", "doubled", "hidden"), expected, strict=True)),
            asked=f"the recovery after {read} messages, with the sink {sink} and these checkpoints (id, "
            f"status, offset): {script or 'none'}",
        )

# %% role="hidden" exercise="recovery"
with lab.check("recovery", hidden=True) as answer:
    for sink in ("append", "upsert", "exactly-once"):
        checkpoints, offset, best = [], 0, (None, 0)
        for number in range(7, 14):
            offset += answer.random.randrange(1, 60)
            status = answer.random.choice(["COMPLETED", "COMPLETED", "FAILED"])
            savepoint = answer.random.random() < 0.4
            checkpoints.append(
                {
                    "id": number,
                    "status": status,
                    "offset": offset,
                    "savepoint": savepoint,
                }
            )
            if (status, savepoint) == ("COMPLETED", False):
                best = (number, offset)
        answer.random.shuffle(checkpoints)
        read = offset + answer.random.randrange(1, 50)
        lost = read - best[1]
        answer.equal(
            answer.call("recovery", checkpoints, read, sink),
            {"id": best[0], "again": lost, "doubled": lost * (sink == "append")}
            | {"hidden": lost * (sink == "exactly-once")},
            asked=f"the recovery after {read} messages, with the sink {sink} and 7 checkpoints, shuffled",
        )

# %% [markdown] role="hint" exercise="recovery"
# Which of the checkpoints may be used at all? Which of these is the newest?

# %% [markdown] role="hint" exercise="recovery"
# What was read after the checkpoint is read again. Is what was written for it visible, replaced, or in a transaction that
# nobody commits?

# %% [markdown] role="hint" exercise="recovery"
# ```python
# chosen = {"id": None, "offset": 0}
# for each in sorted(checkpoints, key=...):
#     if ...:
#         chosen = each
# again = ...
# return {"id": chosen["id"], "again": again, "doubled": ..., "hidden": ...}
# ```


# %% role="right" exercise="recovery"
def recovery(checkpoints, read, sink):
    usable = {
        c["id"]: c["offset"]
        for c in checkpoints
        if c["status"] == "COMPLETED" and c["savepoint"] is False
    }
    newest = max(usable, default=None)
    lost = read - usable.get(newest, 0)
    found = {"id": newest, "again": lost, "doubled": 0, "hidden": 0}
    if sink != "upsert":
        found["doubled" if sink == "append" else "hidden"] = lost
    return found


# %% role="wrong" exercise="recovery" misconception="A savepoint is a checkpoint like any other" caught="check" says="savepoint"
def recovery(checkpoints, read, sink):
    done = [c for c in checkpoints if c["status"] == "COMPLETED"]
    chosen = max(done, key=lambda c: c["id"], default={"id": None, "offset": 0})
    again = read - chosen["offset"]
    found = {"id": chosen["id"], "again": again}
    found["doubled"] = again if sink == "append" else 0
    return found | {"hidden": again if sink == "exactly-once" else 0}


# %% role="wrong" exercise="recovery" misconception="A checkpoint counts from when it begins" caught="check" says="IN_PROGRESS"
def recovery(checkpoints, read, sink):
    done = [c for c in checkpoints if c["status"] != "FAILED" and not c["savepoint"]]
    chosen = max(done, key=lambda c: c["id"], default={"id": None, "offset": 0})
    again = read - chosen["offset"]
    found = {"id": chosen["id"], "again": again}
    found["doubled"] = again if sink == "append" else 0
    return found | {"hidden": again if sink == "exactly-once" else 0}


# %% role="wrong" exercise="recovery" misconception="The last of the list is the newest" caught="check" says="2 COMPLETED 90"
def recovery(checkpoints, read, sink):
    done = [c for c in checkpoints if c["status"] == "COMPLETED" and not c["savepoint"]]
    chosen = done[-1] if done else {"id": None, "offset": 0}
    again = read - chosen["offset"]
    found = {"id": chosen["id"], "again": again}
    found["doubled"] = again if sink == "append" else 0
    return found | {"hidden": again if sink == "exactly-once" else 0}


# %% role="wrong" exercise="recovery" misconception="Flink is exactly once, so nothing is doubled" caught="check" says="append"
def recovery(checkpoints, read, sink):
    done = [c for c in checkpoints if c["status"] == "COMPLETED" and not c["savepoint"]]
    chosen = max(done, key=lambda c: c["id"], default={"id": None, "offset": 0})
    again = read - chosen["offset"]
    found = {"id": chosen["id"], "again": again, "doubled": 0}
    return found | {"hidden": again if sink == "exactly-once" else 0}


# %% role="wrong" exercise="recovery" misconception="A transaction is seen at once" caught="check" says="exactly-once"
def recovery(checkpoints, read, sink):
    done = [c for c in checkpoints if c["status"] == "COMPLETED" and not c["savepoint"]]
    chosen = max(done, key=lambda c: c["id"], default={"id": None, "offset": 0})
    again = read - chosen["offset"]
    found = {"id": chosen["id"], "again": again, "hidden": 0}
    return found | {"doubled": again if sink == "append" else 0}


# %% [markdown] topics=["4.3-3.2"]
# ## A new version
#
# A checkpoint belongs to its job, and goes when you cancel it, unless `RETAIN_ON_CANCELLATION` is set. To deploy, *stop with a savepoint*: the job leaves its
# state and offsets. `execution.state-recovery.path` starts the next one from there.
#
# Without it, state is empty, and `scan.startup.mode` says where to read: with `group-offsets`, where the last
# checkpoint told Kafka.
#
# **Predict:** 600 events are counted, and 324 come during the deployment. What does the new job count from the group's
# offsets on?

# %%
ask(f"{running}/checkpoints", {"checkpointType": "FULL"})
flink.wait(lambda: committed(source), lambda offset: offset == 600)
savepoint = ask(f"{running}/stop", {"targetDirectory": f"file://{flink.folder}/kept"})
BEFORE = total()
feed(600, 924)
fresh = new_topic()
wrong_one = run("/*+ OPTIONS('scan.startup.mode' = 'group-offsets') */", into=fresh)
path = {"execution.state-recovery.path": savepoint["location"]}
right_one = run(settings=SETTINGS | path)
FRESH = flink.wait(lambda: total(fresh), lambda table: sum(table.values()) == 324)
AFTER = flink.wait(total, lambda table: sum(table.values()) == 924)
cancel(wrong_one)
cancel(right_one)
print("stopped with            ", BEFORE)
print("without state           ", FRESH)
print("started from a savepoint", AFTER)

# %% [markdown]
# No event was skipped, but the old counts were in the state, so the job without it counted only 324. A savepoint fits a query that keeps its operators; after
# another change, compute anew.

# %% [markdown] topics=["4.3-3.2"]
# ## SQL over a topic
#
# With `'scan.bounded.mode' = 'latest-offset'` the job reads what is there and ends, and all windows close.
#
# **Predict:** departures at 10:00 and 10:15. With a gap of 15 minutes, is that one session? What is the mean of the
# delays 4 and 9?

# %%
topic = new_topic()
for minute, delay in [(0, 4), (15, 9)]:
    at = datetime(2013, 7, 10, 10, minute, tzinfo=UTC)
    send(topic, [{"departed": at, "delay": delay}])
with new_session() as sql:
    sql.sql(
        "CREATE TEMPORARY TABLE departures (departed TIMESTAMP_LTZ(3), delay INT, "
        f"WATERMARK FOR departed AS departed) {with_kafka(topic)}"
    )
    rows = sql.sql("""
        SELECT window_start, window_end, AVG(delay), AVG(CAST(delay AS DOUBLE))
        FROM TABLE(SESSION(TABLE departures, DESCRIPTOR(departed), INTERVAL '15' MINUTE))
        GROUP BY window_start, window_end""")
for row in rows:
    print(row)

# %% [markdown]
# Flink merges sessions that touch. And the mean of whole numbers is a whole number, unless you cast.
#
# By default a source gives a watermark every 200 milliseconds. A job that catches up reads a whole day in less than that, and
# counts late events that it would have dropped live. With `'scan.watermark.emit.strategy' = 'on-event'` each run says the
# same.

# %% [markdown] role="task" exercise="board" points=3 topics=["4.3-3.2"]
# ### The delay board
#
# Write `board(events, wait)`. `events` come in order of arrival, with `id`, `origin`, `departed` and `arrived` (datetimes)
# and `delay` (minutes); some come twice. `wait` is in minutes.
#
# 1. `send` them to one `new_topic()`. Make a table over it, `with_kafka(…)`, with a watermark that waits `wait` minutes
#    and comes with each event (`'on-event'`, as above). Write `INTERVAL '120' MINUTE(3)`: without the 3, two digits are the
#    limit.
# 2. In each window of an hour, keep of each `id` the row with the earliest `departed`, then count and average by `origin`.
#
# Return a list of dictionaries: `origin`, `hour` (a datetime in UTC), `departures` and `delay` (the mean, not cut to a
# whole number). `sql.sql(…)` gives moments as text in UTC.
#
# Example: with `wait` 120, a departure at 17:00 ends the hour 14:00 of all airports; 16:59 does not.
#
# Why: windows, late events and repeats are Flink's work, if you say so.


# %% role="answer" exercise="board" dialect="none"
def board(events: list[dict], wait: int) -> list[dict]:
    """Departures and mean delay by airport and hour, from a topic."""
    ### BEGIN SOLUTION
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            f"departed - INTERVAL '{wait}' MINUTE(3)) "
            + with_kafka(topic, scan_watermark_emit_strategy="on-event")
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(*), AVG(CAST(delay AS DOUBLE)) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) WHERE k = 1 GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]
    ### END SOLUTION


# %% role="check" exercise="board"
with lab.check("board") as answer:
    answer.value("board")
    script = (
        "D1 EWR 14:20 3, D2 EWR 16:59 6, D3 EWR 14:40 9, D4 JFK 17:00 0, D5 EWR 14:50 90, "
        "D6 EWR 15:02 8, D3 EWR 14:40 9, D2 EWR 16:59 6, D7 JFK 16:05 5, D8 EWR 16:30 9"
    )
    expected = "EWR 14 2 6, EWR 15 1 8, EWR 16 2 7.5, JFK 16 1 5, JFK 17 1 0"
    events = []
    for text in script.split(", "):
        name, origin, clock, delay = text.split()
        hour, minute = map(int, clock.split(":"))
        departed = datetime(2013, 7, 10, hour, minute, tzinfo=UTC)
        arrived = max([departed, *(event["arrived"] for event in events)])
        events.append({"id": name, "origin": origin, "delay": int(delay)})
        events[-1] |= {"departed": departed, "arrived": arrived}
    answer.same_rows(
        answer.call("board", events, 120),
        [
            {"origin": origin, "hour": datetime(2013, 7, 10, int(hour), tzinfo=UTC)}
            | {"departures": int(count), "delay": float(mean)}
            for origin, hour, count, mean in map(str.split, expected.split(", "))
        ],
        asked=f"the board with wait 120 of these (id, origin, departed, delay): {script}",
        key=["origin", "hour"],
    )

# %% role="hidden" exercise="board"
with lab.check("board", hidden=True) as answer:
    answer.value("board")
    start = datetime(2013, 7, 9, 22, 0, 7, tzinfo=UTC)
    wait, events = answer.random.choice([35, 100]), []
    for number in range(60):
        arrived = start + timedelta(minutes=5 * number)
        late = timedelta(minutes=answer.random.choice([0, 0, 60, 130, 190]))
        event = {
            "id": f"Ø{number}",
            "origin": answer.random.choice(["ÉWR", "JFK", "LGA"]),
        }
        event |= {"departed": arrived - late, "arrived": arrived}
        event |= {"delay": answer.random.randrange(-9, 200)}
        events += [event] if number % 5 else [event, event]
    newest, groups = start - timedelta(days=1), {}
    for event in events:
        hour = datetime.fromisoformat(f"{event['departed']:%Y-%m-%dT%H:00Z}")
        if newest - timedelta(minutes=wait) < hour + timedelta(hours=1):
            groups.setdefault((event["origin"], hour), {})[event["id"]] = event["delay"]
        newest = max(newest, event["departed"])
    answer.same_rows(
        answer.call("board", events, wait),
        [
            {"origin": origin, "hour": hour, "departures": len(delays)}
            | {"delay": sum(delays.values()) / len(delays)}
            for (origin, hour), delays in groups.items()
        ],
        asked=f"the board of 72 events around midnight, some late, some twice, with wait {wait}",
        key=["origin", "hour"],
    )

# %% [markdown] role="hint" exercise="board"
# Which of the two steps of the query needs the window: dropping repeats, counting, or both?

# %% [markdown] role="hint" exercise="board"
# `with_kafka(topic, scan_watermark_emit_strategy="on-event")`. `PARTITION BY window_start, window_end, id` keeps the first
# in the window; `GROUP BY window_start, window_end, origin` counts.

# %% [markdown] role="hint" exercise="board"
# ```python
# topic = new_topic()
# send(...)
# with new_session() as sql:
#     sql.sql(f"CREATE TEMPORARY TABLE departures (..., WATERMARK FOR ...) " + with_kafka(...))
#     rows = sql.sql("""
#         SELECT origin, window_start, COUNT(*), ... FROM (
#             SELECT *, ROW_NUMBER() OVER (PARTITION BY ... ORDER BY departed) AS k
#             FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
#         ) WHERE k = 1 GROUP BY ...""")
# return [... for origin, hour, count, mean in rows]
# ```


# %% role="right" exercise="board"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE d (id STRING, origin STRING, delay DOUBLE, departed "
            f"TIMESTAMP_LTZ(3), WATERMARK FOR departed AS departed - INTERVAL '{wait}' "
            f"MINUTE(3)) {with_kafka(topic, scan_watermark_emit_strategy='on-event')}"
        )
        rows = sql.sql("""
            SELECT window_start, origin, COUNT(*), AVG(delay) FROM (
                SELECT window_start, window_end, origin, id, MIN(delay) AS delay
                FROM TABLE(TUMBLE(TABLE d, DESCRIPTOR(departed), INTERVAL '60' MINUTE))
                GROUP BY window_start, window_end, origin, id
            ) GROUP BY origin, window_end, window_start""")
    names = ("hour", "origin", "departures", "delay")
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    return [row | {"hour": datetime.fromisoformat(row["hour"] + "Z")} for row in rows]


# %% role="wrong" exercise="board" misconception="The watermark follows each event by itself" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            f"departed - INTERVAL '{wait}' MINUTE(3)) " + with_kafka(topic)
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(*), AVG(CAST(delay AS DOUBLE)) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) WHERE k = 1 GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]


# %% role="wrong" exercise="board" misconception="Kafka delivers once, so repeats are gone" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            f"departed - INTERVAL '{wait}' MINUTE(3)) "
            + with_kafka(topic, scan_watermark_emit_strategy="on-event")
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(*), AVG(CAST(delay AS DOUBLE)) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]


# %% role="wrong" exercise="board" misconception="The mean of whole numbers may be broken" caught="check" says="delay holds"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            f"departed - INTERVAL '{wait}' MINUTE(3)) "
            + with_kafka(topic, scan_watermark_emit_strategy="on-event")
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(*), AVG(delay) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) WHERE k = 1 GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]


# %% role="wrong" exercise="board" misconception="Events come in order, so wait for nothing" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            "departed) " + with_kafka(topic, scan_watermark_emit_strategy="on-event")
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(*), AVG(CAST(delay AS DOUBLE)) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) WHERE k = 1 GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]


# %% role="wrong" exercise="board" misconception="A distinct count is enough" caught="check" says="delay holds"
def board(events, wait):
    topic = new_topic()
    send(topic, events)
    with new_session() as sql:
        sql.sql(
            "CREATE TEMPORARY TABLE departures (id STRING, origin STRING, delay INT, "
            "departed TIMESTAMP_LTZ(3), WATERMARK FOR departed AS "
            f"departed - INTERVAL '{wait}' MINUTE(3)) "
            + with_kafka(topic, scan_watermark_emit_strategy="on-event")
        )
        rows = sql.sql("""
            SELECT origin, window_start, COUNT(DISTINCT id), AVG(CAST(delay AS DOUBLE)) FROM (
                SELECT *, ROW_NUMBER() OVER (
                    PARTITION BY window_start, window_end, id ORDER BY departed) AS k
                FROM TABLE(
                    TUMBLE(TABLE departures, DESCRIPTOR(departed), INTERVAL '1' HOUR))
            ) GROUP BY window_start, window_end, origin""")
    return [
        {"origin": origin, "hour": datetime.fromisoformat(hour).replace(tzinfo=UTC)}
        | {"departures": count, "delay": mean}
        for origin, hour, count, mean in rows
    ]


# %%
version = requests.get(f"{flink.url}/overview", timeout=10).json()["flink-version"]
engines.compare("Flink", version, board, new_topic, send, with_kafka, new_session)

# %% [markdown]
# The table compares with a batch job over all events: 66 *cells*, an airport and an hour each. This wait is long enough for
# all; with a shorter one, hours are closed when late events come. Flink needed a table with a watermark and one query;
# windows and repeats are its state.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | find what holds a job back | the slowest partition |
# | read a changelog | retract takes back, upsert replaces |
# | set a time to live | it counts from the last write |
# | survive a crash | state goes back, output stays |
# | deploy | start from a savepoint |
# | ask by event time | late events go in silence |
#
# **Read on.** Apache Flink documentation, "Checkpoints vs. Savepoints" (2026).

# %%
lab.close()
