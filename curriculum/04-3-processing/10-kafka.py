# %% [markdown] minutes=60 datasets=["departure-events"] systems=["kafka"]
# # Kafka
#
# A maintenance alarm says that an aircraft left LaGuardia before it had landed there, and each deployment repeats
# a few messages. You keep order, share the work of a topic, survive a dead broker, and compute the delay board.

# %% [markdown]
# ## You will be able to
#
# - choose a key that keeps order, and know when order is lost (exercise 1)
# - give partitions away without losing or repeating work (exercise 2)
# - say how far a group is behind, and what it missed (exercise 3)
# - predict what compaction leaves (exercise 4)
# - read, compute and write exactly once (exercise 5)
# - answer a question about event time from a topic (exercise 6)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Batch and stream* | topics, offsets, `read_committed` |
# | the lab *Event time* | windows, watermarks, late events and repeats |
#
# Kafka is the real one, with one broker. Flights and delays are real, arrival times invented.

# %% role="setup"
import contextlib
import itertools
import json
import logging
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt
from kafka import (
    AsyncConsumerRebalanceListener,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.cooperative_sticky import (
    CooperativeStickyAssignor,
)
from kafka.errors import KafkaError
from kafka.partitioner import murmur2

from labkit import dataset, engines, open_lab, picture
from labkit.services import service

logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
lab = open_lab("04-3-processing/10-kafka")
kafka = service("kafka")
admin = kafka.client()
producer = kafka.producer(retry_backoff_ms=20)
lab

# %%
QUICK = {"bootstrap_servers": kafka.bootstrap_servers, "api_version": (4, 0)}
QUICK |= {"retry_backoff_ms": 5}
EVENTS = dataset("departure-events").arrow().to_pylist()  # in order of arrival
TOPICS = {}  # the number of partitions of each


def new_topic(partitions=3, **settings):
    """A new topic that keeps all messages, however old their timestamps are."""
    topic = f"departures-{len(TOPICS) + 1}"
    settings = {name.replace("_", "."): str(value) for name, value in settings.items()}
    settings = {"retention.ms": "-1"} | settings
    admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
    TOPICS[topic] = partitions
    return topic


def send(topic, messages):
    """Send dictionaries with `value`, and some of `key`, `partition`, `timestamp_ms`."""
    futures = []
    for message in messages:
        data = {n: v.encode() if isinstance(v, str) else v for n, v in message.items()}
        futures.append(producer.send(topic, **data))
    producer.flush()
    return [future.get(10) for future in futures]


event = EVENTS[400]
print(
    len(EVENTS), "events, for example", event["flight"], "with aircraft", event["tail"]
)

# %% [markdown] topics=["4.3-4.1"]
# ## Before it came
#
# An aircraft leaves New York several times a day. Maintenance wants its departures in order.
#
# Kafka keeps order within a *partition* only. The producer computes it: a hash of the *key* called murmur2, without its
# top bit, modulo the number of partitions.
#
# **Predict:** the key is the number of the flight, as "US1431". Are the departures of one aircraft in order?

# %%
chosen = [event for event in EVENTS if event["tail"] in ("N229JB", "N355JB")]
for field in ("flight", "tail"):
    topic, found = new_topic(4), defaultdict(list)
    messages = [{"key": event[field], "value": event["tail"]} for event in chosen]
    for event, sent in zip(chosen, send(topic, messages), strict=True):
        found[event["tail"]].append(sent.partition)
    print(f"key {field:<6} partitions of each aircraft: {dict(found)}")

admin.create_partitions({topic: NewPartitions(6)})
producer.close()
producer = kafka.producer(retry_backoff_ms=20)
again = [send(topic, [m])[0].partition for m in messages]
print("with 6 partitions:", dict(zip([m["key"] for m in messages], again, strict=True)))

# %% [markdown]
# With the flight as key, one aircraft's departures are read in any order. With the tail number they are in order,
# until somebody adds partitions: old messages stay, new ones go elsewhere. So choose the key by what must stay in
# order, and plenty of partitions from the first day.

# %% [markdown] role="task" exercise="scattered" points=2 topics=["4.3-4.1"]
# ### Whose order is lost?
#
# Write `scattered(events, field)`. An event has a `tail`, other fields, and `partitions`: the number that the topic had
# when it was sent. `field` names the field whose text, in UTF-8, was the key.
#
# Return the tails whose events may lie in more than one partition, sorted. Without a key (`None`) an event may lie in
# any. Use `murmur2(key_as_bytes)`; keep its lower 31 bits.
#
# Example: with the field `tail`, N229JB lies in partition 1 of 4, and in 1 of 6: not scattered.
#
# Why: nothing reports lost order.


# %% role="answer" exercise="scattered"
def scattered(events: list[dict], field: str) -> list[str]:
    """The tails whose events may lie in more than one partition."""
    ### BEGIN SOLUTION
    places = defaultdict(set)
    for event in events:
        key, count = event[field], event["partitions"]
        if key is None:
            places[event["tail"]].update(range(count))
        else:
            places[event["tail"]].add((murmur2(key.encode()) & 0x7FFFFFFF) % count)
    return sorted(tail for tail, found in places.items() if len(found) > 1)
    ### END SOLUTION


# %% role="check" exercise="scattered"
with lab.check("scattered") as answer:
    for field, rows, expected in [
        ("tail", [("N1", "A", 4), ("N1", "B", 4), ("N2", "A", 4)], []),
        (
            "flight",
            [("N9", "US21", 6), ("N9", "US22", 6), ("N1", "UA3", 6), ("N1", "UA3", 6)],
            ["N9"],
        ),
        ("flight", [("N1", "US21", 6), ("N1", "B69", 6)], []),
        (
            "tail",
            [(t, "A", n) for n in (4, 6) for t in ("N37298", "N229JB", "N355JB")],
            ["N355JB", "N37298"],
        ),
        ("tail", [("N355JB", "A", 6), ("N3", "A", 4), ("N355JB", "A", 4)], ["N355JB"]),
        ("flight", [("N2", None, 3), ("N1", None, 1)], ["N2"]),
    ]:
        names = ("tail", "flight", "partitions")
        answer.equal(
            answer.call(
                "scattered", [dict(zip(names, r, strict=True)) for r in rows], field
            ),
            expected,
            asked=f"the scattered tails of these (tail, flight, partitions), with the field "
            f"{field} as key: {rows}",
        )

# %% role="hidden" exercise="scattered"
with lab.check("scattered", hidden=True) as answer:
    draw = answer.random
    for field in ("tail", "flight", "flight"):
        events = [
            {
                "tail": f"N{draw.randrange(40)}É",
                "flight": draw.choice(
                    [None, "Ñ1", "Ñ2"] + [f"US{n}" for n in range(9)]
                ),
                "partitions": draw.choice([3, 5, 6, 7]),
            }
            for _ in range(70)
        ]
        where = defaultdict(set)
        for event in events:
            count = event["partitions"]
            value = event[field]
            hashed = (
                [(murmur2(value.encode()) % 2**31) % count] if value else range(count)
            )
            where[event["tail"]] |= {*hashed}
        answer.equal(
            answer.call("scattered", events, field),
            sorted(tail for tail, numbers in where.items() if len(numbers) > 1),
            asked=f"the scattered tails of 70 events with the field {field} as key, in topics "
            "of 3 to 7 partitions",
        )

# %% [markdown] role="hint" exercise="scattered"
# Which of the event's fields decide its partition? What do you have to remember for each tail?

# %% [markdown] role="hint" exercise="scattered"
# `text.encode()` gives UTF-8. `& 0x7FFFFFFF` keeps 31 bits. A `defaultdict(set)` keeps numbers by tail.

# %% [markdown] role="hint" exercise="scattered"
# ```python
# places = defaultdict(set)
# for event in events:
#     if event[field] is None:
#         places[event["tail"]].update(...)
#     else:
#         places[event["tail"]].add(...)
# return sorted(...)
# ```


# %% role="right" exercise="scattered"
def scattered(events, field):
    found = {}
    for event in events:
        if event[field] is None:
            numbers = set(range(event["partitions"]))
        else:
            hashed = murmur2(bytes(event[field], "utf-8")) % 2**31
            numbers = {hashed % event["partitions"]}
        found[event["tail"]] = found.get(event["tail"], set()) | numbers
    return sorted([tail for tail in found if len(found[tail]) >= 2])


# %% role="wrong" exercise="scattered" misconception="The same key is the same partition for ever" caught="check" says="B69"
def scattered(events, field):
    keys = defaultdict(set)
    for event in events:
        keys[event["tail"]].add(event[field])
    return sorted(
        tail for tail, found in keys.items() if len(found) > 1 or None in found
    )


# %% role="wrong" exercise="scattered" misconception="The top bit does not matter" caught="check" says="US21"
def scattered(events, field):
    places = defaultdict(set)
    for event in events:
        key, count = event[field], event["partitions"]
        if key is None:
            places[event["tail"]].update(range(count))
        else:
            places[event["tail"]].add(murmur2(key.encode()) % count)
    return sorted(tail for tail, found in places.items() if len(found) > 1)


# %% role="wrong" exercise="scattered" misconception="Every client hashes alike" caught="check" says="scattered tails"
def scattered(events, field):
    from zlib import crc32

    places = defaultdict(set)
    for event in events:
        key, count = event[field], event["partitions"]
        if key is None:
            places[event["tail"]].update(range(count))
        else:
            places[event["tail"]].add(crc32(key.encode()) % count)
    return sorted(tail for tail, found in places.items() if len(found) > 1)


# %% role="wrong" exercise="scattered" misconception="Kafka moves old messages when partitions are added" caught="check" says="with the field tail as key"
def scattered(events, field):
    places = defaultdict(set)
    count = max(event["partitions"] for event in events)
    for event in events:
        key = event[field]
        if key is None:
            places[event["tail"]].update(range(count))
        else:
            places[event["tail"]].add((murmur2(key.encode()) & 0x7FFFFFFF) % count)
    return sorted(tail for tail, found in places.items() if len(found) > 1)


# %% role="wrong" exercise="scattered" misconception="No key is a key like any other" caught="check" says="None"
def scattered(events, field):
    places = defaultdict(set)
    for event in events:
        key, count = str(event[field]), event["partitions"]
        places[event["tail"]].add((murmur2(key.encode()) & 0x7FFFFFFF) % count)
    return sorted(tail for tail, found in places.items() if len(found) > 1)


# %% [markdown] topics=["4.3-4.1", "4.3-4"]
# ## Six partitions, two at work
#
# The delay board groups by airport, so somebody chose the airport as key.
#
# **Predict:** how many of six partitions get messages of EWR, JFK and LGA?

# %%
figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)
KEYS = {
    "airport": "{origin}",
    "aircraft": "{tail}",
    "airport#event": "{origin}#{event}",
}
for panel, (name, form) in zip(axes, KEYS.items(), strict=True):
    keys = [form.format(**event) for event in EVENTS]
    counts = Counter((murmur2(key.encode()) & 0x7FFFFFFF) % 6 for key in keys)
    panel.bar(range(6), [counts[n] for n in range(6)], color="tab:blue")
    panel.set(title=f"key: {name}", xlabel="partition", xticks=range(6))
    print(f"{name:<15}", [counts[n] for n in range(6)])
axes[0].set_ylabel("messages")
picture(
    figure,
    alt="Messages in six partitions. With the airport as key, partition 1 has over 600 and partition 0 "
    "the rest, four are empty. With the aircraft or a salted airport, all six have about 150.",
)

# %% [markdown]
# More readers do not help: a partition has one reader in a group. *Salting* helps: something of the event, here its
# number, is added to the key. Then you count in two steps. Salt when one partition is too much for one reader.

# %% [markdown] topics=["4.3-4.1"]
# ## Who reads what
#
# The members of a consumer *group* share the partitions of a topic. When one comes or goes, they are shared out anew: a
# *rebalance*.
#
# **Predict:** three partitions; one member, then two, then one again. How many partitions has each?


# %%
def member(topic, name, listener=None):
    """A new member of the group "maintenance"."""
    settings = {"group_id": f"maintenance-{topic}", "client_id": name}
    settings |= {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    settings |= {"heartbeat_interval_ms": 20, "fetch_max_wait_ms": 20}
    settings |= {"partition_assignment_strategy": [CooperativeStickyAssignor]}
    consumer = KafkaConsumer(**QUICK, **settings)
    consumer.subscribe([topic], listener=listener)
    return consumer


def take_turns(members, until):
    """Poll the members in turns until something is true; give up after a minute."""
    latest = time.monotonic() + 60
    while not until():
        if time.monotonic() > latest:
            raise TimeoutError("a minute of polls, and not done")
        for one in members:
            one.poll(10)


def shared(members):
    """Whether all three partitions have one owner, and no member could have one more."""
    sizes = [len(one.assignment()) for one in members]
    return sum(sizes) == 3 and max(sizes) - min(sizes) < 2


topic, members = new_topic(), []
for name in ("a", "b"):
    members.append(member(topic, name))
    take_turns(members, lambda: shared(members))
    print(len(members), "members have", sorted(len(m.assignment()) for m in members))
members.pop().close()
take_turns(members, lambda: shared(members))
print("one is left and has", len(members[0].assignment()))
members.pop().close()

# %% [markdown]
# A fourth member would get none, and wait in reserve. This assignment is *cooperative*: only partitions that change hands are taken away.
# An *eager* one takes all first, so all work stops.
#
# Before partitions go, the client calls `on_partitions_revoked`, and Kafka waits. What the worker below has polled and
# not done stands in its queue. A plain `commit()` commits what is polled, of the
# partitions that are still there.


# %%
class Worker(AsyncConsumerRebalanceListener):
    """Polls messages into a queue, and does them one by one."""

    def __init__(self, topic, name):
        self.queue = []  # polled, not done; in order
        self.done = {}  # for each partition: the offset of the next message to do
        self.did, self.commits, self.errors = [], [], []
        self.consumer = member(topic, name, listener=self)

    async def on_partitions_revoked(self, revoked):
        try:
            handover(self, revoked)
        except Exception as error:
            self.errors.append(error)
        while self.commits:
            await self.commits.pop()

    async def on_partitions_assigned(self, assigned):
        """The consumer begins at what is committed."""

    def commit(self, offsets=None):
        """Commit {partition: offset}, or what has been polled."""
        if offsets is not None:
            offsets = {p: OffsetAndMetadata(n, "", -1) for p, n in offsets.items()}
        self.commits.append(self.consumer.commit_async(offsets))

    def poll(self, wait):
        for batch in self.consumer.poll(wait).values():
            self.queue += batch
        self.queue.sort(key=lambda m: (m.offset, m.partition))
        for error in self.errors:
            raise error

    def work(self, count=None):
        for message in self.queue[:count]:
            self.did.append(message.value.decode())
            place = TopicPartition(message.topic, message.partition)
            self.done[place] = message.offset + 1
        del self.queue[:count]


# %% [markdown] role="task" exercise="handover" points=3 topics=["4.3-4.1"]
# ### Hand over
#
# Write `handover(worker, revoked)`. It runs before the partitions in `revoked`, a set of `TopicPartition`, are taken
# from a `Worker`. Afterwards
#
# - the next owner begins with the first message of each that is not done,
# - nothing of these partitions is left in the worker's `queue` and `done`, as they may come back later,
# - and all of the others is.
#
# `worker.commit({partition: offset, …})` commits offsets.
#
# Example: of a revoked partition, offsets 0 and 1 are done, so `done` says 2; 2 and 3 are queued. 2 is committed, and
# the two leave the queue.
#
# Why: each deployment is a rebalance.


# %%
def at_end(consumer):
    """Whether the consumer has polled all that its partitions have."""
    ends = consumer.end_offsets(consumer.assignment())
    return all(consumer.position(place) == end for place, end in ends.items())


def shifts(sizes, early, later):
    """ "a" works, "b" comes, works, and leaves. How often was each message done?"""
    topic = new_topic()
    names = {
        number: [f"{number}-{n}" for n in range(size)]
        for number, size in enumerate(sizes)
    }
    send(topic, [{"value": v, "partition": n} for n, vs in names.items() for v in vs])
    a, b = Worker(topic, "a"), None
    try:
        take_turns([a], lambda: len(a.queue) == sum(sizes))
        a.work(early)
        b = Worker(topic, "b")
        both = [a.consumer, b.consumer]
        take_turns([a, b], lambda: shared(both))
        take_turns([b], lambda: at_end(b.consumer))
        b.work(later)
        b.consumer.close()
        places = {
            TopicPartition(topic, number): len(vs) for number, vs in names.items()
        }
        take_turns([a], lambda: len(a.consumer.assignment()) == 3)
        take_turns([a], lambda: at_end(a.consumer))
        a.work()
    finally:
        for worker in (a, b):
            if worker:
                worker.consumer.close()
    counts = Counter(a.did + b.did)
    found = {
        "left": 0,
        "lost": [v for vs in names.values() for v in vs if not counts[v]],
    }
    found["twice"] = sorted(value for value, count in counts.items() if count > 1)
    with reader(topic, group=f"maintenance-{topic}") as consumer:
        found["left"] = sum(end - consumer.position(p) for p, end in places.items())
    return found


class Reader(KafkaConsumer):
    """A consumer which gives up after 20 polls that bring nothing."""

    idle = 0

    def poll(self, *args, **options):
        found = super().poll(*args, **options)
        self.idle = 0 if found else self.idle + 1
        if self.idle > 20:
            raise TimeoutError("20 polls, and no message")
        return found

    def commit(self, *args, **options):
        Calls.before()
        return super().commit(*args, **options)


class Calls:
    """`before` runs ahead of each call of a transaction and of each commit."""

    before = staticmethod(lambda: None)


def reader(topic, partitions=range(3), group="board"):
    """A consumer of some partitions, from where the group has committed."""
    settings = {"group_id": group, "auto_offset_reset": "earliest"}
    settings |= {"enable_auto_commit": False, "isolation_level": "read_committed"}
    consumer = Reader(**QUICK, fetch_max_wait_ms=20, **settings)
    consumer.assign([TopicPartition(topic, number) for number in partitions])
    return consumer


def drain(consumer):
    """All messages up to the ends at the time of the call, in order within a partition."""
    ends = consumer.end_offsets(consumer.assignment())
    found = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for place, batch in consumer.poll(100).items():
            found += [message for message in batch if message.offset < ends[place]]
    for place, end in ends.items():
        consumer.seek(place, end)
    return found


# %% role="answer" exercise="handover"
def handover(worker: Worker, revoked: set[TopicPartition]) -> None:
    """Commit what is done of the partitions, and forget the rest."""
    ### BEGIN SOLUTION
    done = {place: worker.done.pop(place) for place in revoked if place in worker.done}
    worker.commit(done)
    worker.queue = [
        message
        for message in worker.queue
        if TopicPartition(message.topic, message.partition) not in revoked
    ]
    ### END SOLUTION


# %% role="check" exercise="handover"
with lab.check("handover") as answer:
    answer.value("handover")
    for sizes, early, later, said in [
        ([4, 4, 4], 5, None, "b comes, does all of its own and leaves"),
        ([1, 1, 9], 5, 0, "b comes, does nothing and leaves"),
    ]:
        found = answer.call("shifts", sizes, early, later)
        for kind, wish, expected in [
            ("lost", "no message that nobody does", []),
            ("twice", "no message that is done twice", []),
            ("left", "no message that waits uncommitted when all have left", 0),
        ]:
            answer.equal(
                found[kind],
                expected,
                asked=f"{wish}: a polls {sizes} messages of three partitions and does {early}, "
                f"{said}, a does the rest",
            )

# %% role="hidden" exercise="handover"
with lab.check("handover", hidden=True) as answer:
    answer.value("handover")
    draw = answer.random
    sizes = [1, draw.randrange(5, 9), draw.choice([1, 6])]
    for early, later in {draw.randrange(4, 7): draw.choice([0, 1]), 0: 3}.items():
        answer.equal(
            answer.call("shifts", sizes, early, later),
            {"left": 0, "lost": [], "twice": []},
            asked=f"no message lost, twice or left, of partitions with {sizes}, when a does {early} "
            f"before b comes, and b {later}",
        )

# %% [markdown] role="hint" exercise="handover"
# What stands in `worker.done` for a partition, and what if it comes back later with that still there? Which of the
# queue's messages will another worker do?

# %% [markdown] role="hint" exercise="handover"
# `dict.pop` takes a value out. Each message has `topic` and `partition`; `TopicPartition(topic, partition)` can
# be looked up in `revoked`.

# %% [markdown] role="hint" exercise="handover"
# ```python
# done = {place: ... for place in revoked if ...}
# worker.commit(done)
# worker.queue = [message for message in worker.queue if ...]
# ```


# %% role="right" exercise="handover"
def handover(worker, revoked):
    for place in revoked:
        if place in worker.done:
            worker.commit({place: worker.done[place]})
            del worker.done[place]
        for message in [*worker.queue]:
            if (message.topic, message.partition) == (place.topic, place.partition):
                worker.queue.remove(message)


# %% role="wrong" exercise="handover" misconception="commit() commits what is done" caught="check" says="done twice"
def handover(worker, revoked):
    worker.commit()
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]
    for place in revoked:
        worker.done.pop(place, None)


# %% role="wrong" exercise="handover" misconception="The next owner finds out by itself" caught="check" says="done twice"
def handover(worker, revoked):
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]


# %% role="wrong" exercise="handover" misconception="What I polled is mine" caught="check" says="done twice"
def handover(worker, revoked):
    done = {place: worker.done.pop(place) for place in revoked if place in worker.done}
    worker.commit(done)


# %% role="wrong" exercise="handover" misconception="A rebalance takes everything" caught="check" says="nobody does"
def handover(worker, revoked):
    done = {place: worker.done.pop(place) for place in revoked if place in worker.done}
    worker.commit(done)
    worker.queue = []


# %% role="wrong" exercise="handover" misconception="An offset is the last message that is done" caught="check" says="done twice"
def handover(worker, revoked):
    done = {
        place: worker.done.pop(place) - 1 for place in revoked if place in worker.done
    }
    worker.commit(done)
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]


# %% role="wrong" exercise="handover" misconception="Nothing done is offset 0" caught="check" says="waits uncommitted"
def handover(worker, revoked):
    worker.commit({place: worker.done.pop(place, 0) for place in revoked})
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]


# %% role="wrong" exercise="handover" misconception="After a rebalance, done begins anew" caught="check" says="waits uncommitted"
def handover(worker, revoked):
    worker.commit({p: worker.done[p] for p in revoked if p in worker.done})
    worker.done.clear()
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]


# %% role="wrong" exercise="handover" misconception="A partition that is gone never comes back" caught="check" says="waits uncommitted"
def handover(worker, revoked):
    done = dict(worker.done)
    worker.commit(done)
    worker.queue = [
        m for m in worker.queue if TopicPartition(m.topic, m.partition) not in revoked
    ]


# %% [markdown] topics=["4.3-4.1", "4.3-4"]
# ## How far behind
#
# The *lag* of a group is what it still has to read. Tools compute it for each partition as the end less the committed offset.
#
# Kafka deletes old messages, read or not (*retention*); then the partition *begins* later. A group that was away too
# long goes on at the beginning (with `auto_offset_reset="earliest"`), and nobody tells you.

# %% [markdown] role="task" exercise="lag" points=2 topics=["4.3-4.1", "4.3-4"]
# ### Lag, and loss
#
# Write `lag(consumer)`, for a consumer to which partitions are assigned. Return, for each partition's number, a
# dictionary of
#
# - `lag`: the number of offsets that its group will still read,
# - `lost`: the number of offsets from its committed one on that were deleted.
#
# A group that has never committed begins at the beginning, and has lost nothing.
#
# `consumer.beginning_offsets(partitions)` and `end_offsets(partitions)` return dictionaries; `committed(partition)` an
# offset or `None`.
#
# Example: partition 0 has lost its offsets 0 to 3, its end is 10. For a group that committed 2, the answer is
# `{0: {"lag": 6, "lost": 2}}`.
#
# Why: a lag that shrinks by loss looks like good news.


# %%
def lagging(partitions):
    """What lag says of a new topic: for each partition (messages, committed, deleted)."""
    topic = new_topic(len(partitions))
    for number, (count, _, deleted) in enumerate(partitions):
        send(topic, [{"value": str(n), "partition": number} for n in range(count)])
        if deleted:
            admin.delete_records({TopicPartition(topic, number): deleted})
    with reader(topic, range(len(partitions))) as consumer:
        offsets = {
            TopicPartition(topic, number): OffsetAndMetadata(committed, "", -1)
            for number, (_, committed, _) in enumerate(partitions)
            if committed is not None
        }
        consumer.commit(offsets)
    with reader(topic, range(len(partitions))) as consumer:
        return lag(consumer)


# %% role="answer" exercise="lag"
def lag(consumer: KafkaConsumer) -> dict[int, dict]:
    """For each partition, the lag of the group and what it has lost."""
    ### BEGIN SOLUTION
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place, begin in begins.items():
        committed = consumer.committed(place)
        after = begin if committed is None else max(committed, begin)
        lost = 0 if committed is None else after - committed
        found[place.partition] = {"lag": ends[place] - after, "lost": lost}
    return found
    ### END SOLUTION


# %% role="check" exercise="lag"
with lab.check("lag") as answer:
    answer.value("lag")
    script = [
        (10, 2, 4),
        (10, 6, 4),
        (6, None, 0),
        (7, None, 3),
        (3, 3, 0),
        (0, None, 0),
    ]
    script += [(5, 0, 2)]
    expected = [(6, 2), (4, 0), (6, 0), (4, 0), (0, 0), (0, 0), (3, 2)]
    found = answer.call("lagging", script)
    for number, (row, (waiting, lost)) in enumerate(zip(script, expected, strict=True)):
        answer.equal(
            found[number],
            {"lag": waiting, "lost": lost},
            asked=f"lag and loss of a partition with {row[0]} messages sent, committed {row[1]}, "
            f"and {row[2]} deleted",
        )

# %% role="hidden" exercise="lag"
with lab.check("lag", hidden=True) as answer:
    answer.value("lag")
    script = []
    for _ in range(9):
        count = answer.random.randrange(2, 12)
        committed = answer.random.choice([None, answer.random.randrange(count)])
        script.append((count, committed, answer.random.randrange(count)))
    expected = {}
    for number, (count, committed, deleted) in enumerate(script):
        gone = [n for n in range(deleted) if committed is not None and n >= committed]
        rest = [n for n in range(count) if n >= deleted and n >= (committed or 0)]
        expected[number] = {"lag": len(rest), "lost": len(gone)}
    answer.equal(
        answer.call("lagging", script),
        expected,
        asked=f"lag and loss of nine partitions (sent, committed, deleted): {script}",
    )

# %% [markdown] role="hint" exercise="lag"
# Where will the group go on reading? When is that not its committed offset?

# %% [markdown] role="hint" exercise="lag"
# Compare the committed offset with the beginning. An offset of 0 is a committed one, `None` is none.

# %% [markdown] role="hint" exercise="lag"
# ```python
# for place, begin in begins.items():
#     committed = consumer.committed(place)
#     after = ... if committed is None else ...
#     lost = ...
#     found[place.partition] = {"lag": ..., "lost": lost}
# ```


# %% role="right" exercise="lag"
def lag(consumer):
    result = {}
    for place in sorted(consumer.assignment()):
        begin = consumer.beginning_offsets([place])[place]
        end = consumer.end_offsets([place])[place]
        committed = consumer.committed(place)
        if committed is None:
            committed = begin
        lost = max(0, begin - committed)
        result[place.partition] = {"lag": end - committed - lost, "lost": lost}
    return result


# %% [markdown] role="equivalent" exercise="lag" reason="the larger of two does not depend on their order"
# - after = begin if committed is None else max(committed, begin)
# + after = begin if committed is None else max(begin, committed)


# %% role="wrong" exercise="lag" misconception="The lag is end minus committed" caught="check" says="10 messages sent, committed 2"
def lag(consumer):
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place in places:
        committed = consumer.committed(place)
        if committed is None:
            committed = begins[place]
        lost = max(0, begins[place] - committed)
        found[place.partition] = {"lag": ends[place] - committed, "lost": lost}
    return found


# %% role="wrong" exercise="lag" misconception="Who never committed has no lag" caught="check" says="6 messages sent, committed None"
def lag(consumer):
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place in places:
        committed = consumer.committed(place)
        if committed is None:
            committed = ends[place]
        after = max(committed, begins[place])
        lost = after - committed
        found[place.partition] = {"lag": ends[place] - after, "lost": lost}
    return found


# %% role="wrong" exercise="lag" misconception="Never committed is committed 0" caught="check" says="7 messages sent, committed None"
def lag(consumer):
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place in places:
        committed = consumer.committed(place) or 0
        after = max(committed, begins[place])
        lost = after - committed
        found[place.partition] = {"lag": ends[place] - after, "lost": lost}
    return found


# %% role="wrong" exercise="lag" misconception="Committed 0 is nothing committed" caught="check" says="5 messages sent, committed 0"
def lag(consumer):
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place in places:
        committed = consumer.committed(place) or begins[place]
        after = max(committed, begins[place])
        lost = after - committed
        found[place.partition] = {"lag": ends[place] - after, "lost": lost}
    return found


# %% role="wrong" exercise="lag" misconception="All that was deleted is lost" caught="check" says="lag and loss of a partition"
def lag(consumer):
    places = consumer.assignment()
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    found = {}
    for place in places:
        committed = consumer.committed(place)
        after = begins[place] if committed is None else max(committed, begins[place])
        lost = 0 if committed is None else begins[place]
        found[place.partition] = {"lag": ends[place] - after, "lost": lost}
    return found


# %% [markdown] topics=["4.3-4.1"]
# ## A topic as a table
#
# Which gate has each aircraft? The key is the tail, the newest message counts, and one without value, a *tombstone*,
# means: no gate. With *compaction* the log cleaner removes messages whose key comes again later.
#
# **Predict:** which offsets are left below?

# %%
admin.alter_configs(
    [ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "50"})]
)
gates = new_topic(1, segment_ms=3_600_000)
HOURS = [(10.0, "N1", "A1"), (10.1, "N2", "B7"), (10.2, "N1", "A2"), (12.0, "N2", None)]
HOURS += [
    (12.1, "N3", "C3"),
    (14.0, "N3", "C4"),
    (14.1, "N1", None),
    (14.2, "N4", "D1"),
]
midnight = int(datetime(2013, 7, 10, tzinfo=UTC).timestamp() * 1000)
for hour, key, value in HOURS:
    at = midnight + int(hour * 3_600_000)
    send(gates, [{"key": key, "value": value, "partition": 0, "timestamp_ms": at}])


def log_of(topic):
    """The messages of a topic of one partition: offset, key and value."""
    with reader(topic, [0]) as consumer:
        messages = drain(consumer)
    return [(m.offset, m.key.decode(), m.value and m.value.decode()) for m in messages]


settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, gates, settings)])
cleaned = kafka.wait(lambda: log_of(gates), lambda log: len(log) < len(HOURS))
print(*cleaned, sep="\n")

# %% [markdown]
# Offsets 0 and 1 are gone. Offset 4 is not, though N3 has a newer gate: offset 5 is in the *active* segment, the
# file that is written now. The cleaner neither cleans it nor looks at it. So readers must expect older values of a key.
#
# The tombstone 3 stays for a time (`delete.retention.ms`) from its first cleaning on. Who is away for longer keeps a gate
# that is gone.
#
# Kafka Streams and Samza keep the state of an analysis so: each change goes to a compacted topic, the *changelog*. A
# new instance reads it, and goes on where the old one died.

# %% [markdown] role="task" exercise="compact" points=3 topics=["4.3-4.1"]
# ### Clean a log
#
# Write `compact(log, active, now, keep)`: the list of messages that one cleaning leaves. `log` is a list of dictionaries
# in the order of `offset`, with `key`, `value` and `until`, the minute until which a tombstone stays (`None` before its
# first cleaning). `active` is the first offset of the active segment; `now` and `keep` are minutes.
#
# - A message from `active` on stays as it is.
# - Of those before `active`, the last one of each key is left.
# - If this is a tombstone (`value` is `None`) with no `until` yet, a copy with `now + keep` as `until` is left.
# - If it has one, it is left unless `now` has reached it.
#
# Example: with `active` 5, `now` 100 and `keep` 30, offset 3 above is left with `until` 130, and 4 stays as it is.
#
# Why: who knows what stays does not lose deletions.


# %% role="answer" exercise="compact"
def compact(log: list[dict], active: int, now: int, keep: int) -> list[dict]:
    """What the log cleaner leaves."""
    ### BEGIN SOLUTION
    last = {m["key"]: m["offset"] for m in log if m["offset"] < active}
    left = []
    for message in log:
        if message["offset"] < active:
            if message["offset"] < last[message["key"]]:
                continue
            if message["value"] is None:
                until = message["until"]
                if until is None:
                    message = message | {"until": now + keep}
                elif until <= now:
                    continue
        left.append(message)
    return left
    ### END SOLUTION


# %% role="check" exercise="compact"
with lab.check("compact") as answer:
    names = ("offset", "key", "value", "until")
    for rows, active, expected in [
        (
            [(0, "N1", "A1", None), (1, "N2", "B7", None), (2, "N1", "A2", None)],
            3,
            [(1, "N2", "B7", None), (2, "N1", "A2", None)],
        ),
        (
            [(4, "N3", "C3", None), (5, "N3", "C4", None), (7, "N3", "C5", None)],
            5,
            [(4, "N3", "C3", None), (5, "N3", "C4", None), (7, "N3", "C5", None)],
        ),
        (
            [(0, "N1", "A1", None), (3, "N1", None, None), (5, "N2", None, None)],
            5,
            [(3, "N1", None, 130), (5, "N2", None, None)],
        ),
        (
            [(1, "N1", None, 99), (2, "N2", None, 100), (3, "N3", None, 101)],
            9,
            [(3, "N3", None, 101)],
        ),
        (
            [(1, "N1", None, 99), (2, "N1", "", None), (4, "N1", "A1", None)],
            4,
            [(2, "N1", "", None), (4, "N1", "A1", None)],
        ),
        ([(0, "N1", "A1", None), (3, "N1", None, 99)], 5, []),
        ([(1, "N1", None, 0), (6, "N1", None, 99)], 5, [(6, "N1", None, 99)]),
    ]:
        answer.equal(
            answer.call(
                "compact",
                [dict(zip(names, r, strict=True)) for r in rows],
                active,
                100,
                30,
            ),
            [dict(zip(names, r, strict=True)) for r in expected],
            asked=f"what is left of {rows} (offset, key, value, until), with the active segment "
            f"from {active} on, now = 100 and keep = 30",
        )

# %% role="hidden" exercise="compact"
with lab.check("compact", hidden=True) as answer:
    for _ in range(3):
        log, offset = [], 0
        for _ in range(50):
            offset += answer.random.choice([1, 1, 2])
            value = answer.random.choice([None, "Ä1", ""])
            until = answer.random.choice([None, 49, 50, 51]) if value is None else None
            key = f"N{answer.random.randrange(20)}"
            log.append({"offset": offset, "key": key, "value": value, "until": until})
        active = log[40]["offset"] + answer.random.choice([-1, 0, 1])
        old = [m for m in log if m["offset"] < active]
        expected = []
        for place, message in enumerate(old):
            if message["key"] in {m["key"] for m in old[place + 1 :]}:
                continue
            if message["value"] is not None or message["until"] == 51:
                expected.append(message)
            elif message["until"] is None:
                expected.append({**message, "until": 57})
        answer.equal(
            answer.call("compact", log, active, 50, 7),
            expected + log[len(old) :],
            asked="what is left of a log of 50 messages with gaps, about ten of them in the active "
            "segment, now = 50 and keep = 7",
        )

# %% [markdown] role="hint" exercise="compact"
# Which messages may make an older one superfluous? Which three kinds of tombstones are there before `active`?

# %% [markdown] role="hint" exercise="compact"
# First go through the log once, and note the last offset of each key before `active`: a dictionary keeps the last
# value. `message | {"until": …}` makes a changed copy.

# %% [markdown] role="hint" exercise="compact"
# ```python
# last = {... for m in log if m["offset"] < active}
# for message in log:
#     if message["offset"] < active:
#         if ...:
#             continue
#         if message["value"] is None:
#             ...
#     left.append(message)
# ```


# %% role="right" exercise="compact"
def compact(log, active, now, keep):
    table = {}
    for message in log:
        if message["offset"] < active:
            table.pop(message["key"], None)
            table[message["key"]] = dict(message)
    left = []
    for message in table.values():
        if message["value"] is None and message["until"] is None:
            message["until"] = now + keep
        if message["value"] is not None or message["until"] > now:
            left.append(message)
    return left + [m for m in log if m["offset"] >= active]


# %% role="wrong" exercise="compact" misconception="What has expired goes first" caught="check" says="(0, 'N1', 'A1', None), (3"
def compact(log, active, now, keep):
    def expired(message):
        return message["until"] is not None and message["until"] <= now

    old = [m for m in log if m["offset"] < active and not expired(m)]
    last = {m["key"]: m["offset"] for m in old}
    left = []
    for message in old:
        if message["offset"] == last[message["key"]]:
            if message["value"] is None and message["until"] is None:
                message = message | {"until": now + keep}
            left.append(message)
    return left + [m for m in log if m["offset"] >= active]


# %% role="wrong" exercise="compact" misconception="Compaction leaves one message for each key" caught="check" says="from 5 on"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log}
    left = []
    for message in log:
        if message["offset"] < last[message["key"]]:
            continue
        if message["value"] is None and message["offset"] < active:
            if message["until"] is None:
                message = message | {"until": now + keep}
            elif message["until"] <= now:
                continue
        left.append(message)
    return left


# %% role="wrong" exercise="compact" misconception="The active segment is not cleaned, but counts" caught="check" says="from 5 on"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log}
    left = []
    for message in log:
        if message["offset"] < active:
            if message["offset"] < last[message["key"]]:
                continue
            if message["value"] is None:
                if message["until"] is None:
                    message = message | {"until": now + keep}
                elif message["until"] <= now:
                    continue
        left.append(message)
    return left


# %% role="wrong" exercise="compact" misconception="A tombstone goes at once, with its key" caught="check" says="what is left"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log if m["offset"] < active}
    return [
        m
        for m in log
        if m["offset"] >= active
        or (m["offset"] == last[m["key"]] and m["value"] is not None)
    ]


# %% role="wrong" exercise="compact" misconception="A tombstone is a value that stays" caught="check" says="what is left"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log if m["offset"] < active}
    return [m for m in log if m["offset"] >= active or m["offset"] == last[m["key"]]]


# %% role="wrong" exercise="compact" misconception="An empty text deletes" caught="check" says="'N1', ''"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log if m["offset"] < active}
    left = []
    for message in log:
        if message["offset"] < active:
            if message["offset"] < last[message["key"]]:
                continue
            if not message["value"]:
                if message["until"] is None:
                    message = message | {"until": now + keep}
                elif message["until"] <= now:
                    continue
        left.append(message)
    return left


# %% role="wrong" exercise="compact" misconception="Each cleaning starts the clock again" caught="check" says="what is left"
def compact(log, active, now, keep):
    last = {m["key"]: m["offset"] for m in log if m["offset"] < active}
    left = []
    for message in log:
        if message["offset"] < active:
            if message["offset"] < last[message["key"]]:
                continue
            if message["value"] is None:
                if message["until"] is not None and message["until"] <= now:
                    continue
                message = message | {"until": now + keep}
        left.append(message)
    return left


# %% [markdown] topics=["4.3-4.1"]
# ## Break it: the broker dies
#
# `send` returns at once; a thread brings the message to the broker. If no answer comes, was it written? The producer
# sends again. An *idempotent* producer numbers its messages, and the broker drops a number that it has.
#
# **Predict:** the broker is killed (`kill -9`) while the producer sends 600 messages. How many are in the log, how many
# twice, how many out of order?

# %%
topic = new_topic(1)
safe = KafkaProducer(**QUICK, acks="all", enable_idempotence=True)
futures = [safe.send(topic, b"%d" % n, partition=0) for n in range(200)]
safe.flush()
futures += [safe.send(topic, b"%d" % n, partition=0) for n in range(200, 400)]
kafka.kill()
futures += [safe.send(topic, b"%d" % n, partition=0) for n in range(400, 600)]
print("the broker is dead; sent so far:", len(futures))
kafka.restart()
safe.flush()
print(sum(future.succeeded() for future in futures), "acknowledged")
safe.close()
admin, producer = kafka.client(), kafka.producer()  # the old ones may still be waiting
with reader(topic, [0]) as consumer:
    found = [int(message.value) for message in drain(consumer)]
print(
    len(found),
    "in the log,",
    len({*found}),
    "different, in order:",
    found == sorted(found),
)

# %% [markdown]
# | Setting | If it is missing |
# |---|---|
# | `acks="all"` | acknowledged messages are lost with the broker that had them |
# | `enable_idempotence=True` | some messages twice, some out of order |
# | looking at the future | a message that failed for good is lost silently |
#
# One broker has no copies. In earnest, take three replicas and `min.insync.replicas=2`.
#
# The producer forgets its numbers when *it* dies. So read, compute and write must be one *transaction*: results and
# offsets are committed together, or not at all. The `transactional_id` outlives the process: `init_transactions` of the
# next one aborts what the last one left open, and shuts that one out if it still lives (a *zombie*).


# %%
class Outage(Exception):
    """The process dies, before a call has an effect."""


class Producer(KafkaProducer):
    """A producer that runs `Calls.before` ahead of what a transaction consists of."""

    open = False

    def begin_transaction(self):
        Calls.before()
        super().begin_transaction()
        self.open = True

    def send(self, *args, **options):
        Calls.before()
        return super().send(*args, **options)

    def send_offsets_to_transaction(self, *args):
        Calls.before()
        super().send_offsets_to_transaction(*args)

    def commit_transaction(self):
        Calls.before()
        super().commit_transaction()
        self.open = False


def up_to(offset):
    """What is committed for a partition, if `offset` is the next one to read."""
    return OffsetAndMetadata(offset, "", -1)


def transactional(name):
    """A new producer for the transactions of an instance; ends what the last one left open."""
    producer = Producer(**QUICK, transactional_id=name, linger_ms=0)
    producer.init_transactions()
    return producer


PRODUCERS = {}  # that live, by name


def end(producer):
    """End a producer. What it has sent is written, and an open transaction stays open."""
    with contextlib.suppress(KafkaError):
        producer.flush(1)
        producer.close(1)


def living(step, name, runs):
    """Call step(producer, run) for each run, with an outage before call number `run["dies"]`.

    After an outage, a new producer runs it again.
    """
    producer, found = PRODUCERS.pop(name, None) or transactional(name), []
    try:
        for run in runs:
            calls, dies = itertools.count(1), run.get("dies")

            def fail(calls=calls, dies=dies):
                if next(calls) == dies:
                    raise Outage

            Calls.before = staticmethod(fail)
            try:
                found.append(step(producer, run))
            except Outage:
                end(producer)
                Calls.before = staticmethod(lambda: None)
                producer = transactional(name)
                found.append(step(producer, run))
            if producer.open:
                raise RuntimeError("the transaction was not committed")
        PRODUCERS[name] = producer
    finally:
        Calls.before = staticmethod(lambda: None)
        if name not in PRODUCERS:
            with contextlib.suppress(KafkaError):
                if producer.open:
                    producer.abort_transaction()
            end(producer)
    return found


# %% [markdown] role="task" exercise="relay" points=3 topics=["4.3-4.1", "4.3-4"]
# ### Read, compute, write: once
#
# Write `relay(consumer, producer, target)`. It reads with `drain(consumer)` what waits. A value is an event as JSON. If
# its `delay` is 60 minutes or more, the value is sent to the topic `target`, in the same partition and order.
#
# Results and offsets are committed in one transaction, so that each alarm is there once, whenever the process dies.
# Afterwards no message waits, with or without alarms.
#
# `producer.begin_transaction()`, `send(topic, value, partition=…)`,
# `send_offsets_to_transaction({partition: up_to(offset), …}, consumer.group_metadata())`, and
# `commit_transaction()` do what they say. `consumer.position(partition)` is the next offset to read.
#
# Example: of delays 20, 60 and 90 in partition 2, two values are sent to partition 2, and offset 3 is committed.
#
# Why: this is exactly once, as far as Kafka reaches.


# %%
def relayed(deliveries, dies):
    """The alarms in the target after deliveries, and what waits; see living."""
    source, target = new_topic(), new_topic()

    def step(producer, run):
        if not run.get("sent"):
            send(
                source,
                [{"value": json.dumps(e), "partition": p} for p, e in run["new"]],
            )
            run["sent"] = True
        with reader(source) as consumer:
            relay(consumer, producer, target)

    runs = [{"new": new, "dies": at} for new, at in zip(deliveries, dies, strict=True)]
    living(step, "alarms", runs)
    with reader(target) as consumer:
        found = {0: [], 1: [], 2: []}
        for message in drain(consumer):
            found[message.partition].append(json.loads(message.value))
    with reader(source) as consumer:
        ends = consumer.end_offsets(consumer.assignment())
        waiting = sum(end - consumer.position(place) for place, end in ends.items())
    return {"alarms": found, "waiting": waiting}


# %% role="answer" exercise="relay"
def relay(consumer: KafkaConsumer, producer: KafkaProducer, target: str) -> None:
    """Send long delays on; results and offsets in one transaction."""
    ### BEGIN SOLUTION
    messages = drain(consumer)
    producer.begin_transaction()
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.send(target, message.value, partition=message.partition)
    offsets = {
        place: up_to(consumer.position(place)) for place in consumer.assignment()
    }
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()
    ### END SOLUTION


# %% role="check" exercise="relay"
with lab.check("relay") as answer:
    answer.value("relay")
    first = [
        (p, {"event": f"D{p}{n}", "delay": 20 * n}) for p in (0, 2) for n in range(6)
    ]
    quiet = [(1, {"event": "D9", "delay": 59}), (0, {"event": "D8", "delay": -3})]
    for dies in (None, 4, 9):
        found = answer.call("relayed", [first, quiet], [dies, None])
        said = (
            "after a delivery with alarms in partitions 0 and 2, and one without alarms"
            + (
                f", where the process dies before call {dies} of the first"
                if dies
                else ""
            )
        )
        answer.equal(
            found["alarms"],
            {p: [e for q, e in first if q == p and e["delay"] >= 60] for p in range(3)},
            asked=f"each alarm once, in its partition and in order, {said}",
        )
        answer.equal(
            found["waiting"],
            0,
            asked=f"no message that waits, {said}",
            found=f"{found['waiting']} offsets that the group has not committed",
        )

# %% role="hidden" exercise="relay"
with lab.check("relay", hidden=True) as answer:
    answer.value("relay")
    deliveries, alarms = [], {0: [], 1: [], 2: []}
    for number in range(4):
        new = []
        for n in range(4):
            event = {
                "event": f"Ø{number}{n}",
                "delay": answer.random.choice([5, 60, 61, 300]),
            }
            new.append((answer.random.randrange(3), event))
            if event["delay"] >= 60:
                alarms[new[-1][0]].append(event)
        deliveries.append(new)
    found = answer.call("relayed", deliveries, [1, 2, 3, None])
    answer.equal(
        found,
        {"alarms": alarms, "waiting": 0},
        asked="each alarm once and no message that waits, after four deliveries, when the process "
        "dies before call 1, 2 and 3",
    )

# %% [markdown] role="hint" exercise="relay"
# Which two things must never be committed one without the other? Which offset belongs to a partition from which no
# alarm came?

# %% [markdown] role="hint" exercise="relay"
# After `drain`, `consumer.position(…)` is behind the last message that was read. `consumer.assignment()` has all
# partitions. The consumer itself commits nothing.

# %% [markdown] role="hint" exercise="relay"
# ```python
# messages = drain(consumer)
# producer.begin_transaction()
# for message in messages:
#     ...
# offsets = {place: up_to(...) for place in ...}
# producer.send_offsets_to_transaction(...)
# producer.commit_transaction()
# ```


# %% role="right" exercise="relay"
def relay(consumer, producer, target):
    for message in drain(consumer):
        producer.begin_transaction()
        if json.loads(message.value)["delay"] > 59:
            producer.send(target, value=message.value, partition=message.partition)
        place = TopicPartition(message.topic, message.partition)
        offset = up_to(message.offset + 1)
        producer.send_offsets_to_transaction({place: offset}, consumer.group_metadata())
        producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="Commit the offsets when the results are safe" caught="check" says="before call 9"
def relay(consumer, producer, target):
    messages = drain(consumer)
    producer.begin_transaction()
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.send(target, message.value, partition=message.partition)
    producer.commit_transaction()
    consumer.commit()


# %% role="wrong" exercise="relay" misconception="The consumer's commit belongs to the transaction" caught="check" says="each alarm once"
def relay(consumer, producer, target):
    messages = drain(consumer)
    producer.begin_transaction()
    consumer.commit()
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.send(target, message.value, partition=message.partition)
    producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="The offset to commit is that of the last message" caught="check" says="each alarm once"
def relay(consumer, producer, target):
    messages = drain(consumer)
    producer.begin_transaction()
    offsets = {}
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.send(target, message.value, partition=message.partition)
        place = TopicPartition(message.topic, message.partition)
        offsets[place] = up_to(message.offset)
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="Without results there is nothing to commit" caught="check" says="no message that waits"
def relay(consumer, producer, target):
    messages = [m for m in drain(consumer) if json.loads(m.value)["delay"] >= 60]
    if not messages:
        return
    producer.begin_transaction()
    for message in messages:
        producer.send(target, message.value, partition=message.partition)
    offsets = {
        place: up_to(consumer.position(place)) for place in consumer.assignment()
    }
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="One transaction for results, one for offsets" caught="check" says="each alarm once"
def relay(consumer, producer, target):
    messages = drain(consumer)
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.begin_transaction()
            producer.send(target, message.value, partition=message.partition)
            producer.commit_transaction()
    producer.begin_transaction()
    offsets = {
        place: up_to(consumer.position(place)) for place in consumer.assignment()
    }
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="The key finds the partition" caught="check" says="in its partition and in order"
def relay(consumer, producer, target):
    messages = drain(consumer)
    producer.begin_transaction()
    for message in messages:
        if json.loads(message.value)["delay"] >= 60:
            producer.send(target, message.value, key=message.value)
    offsets = {
        place: up_to(consumer.position(place)) for place in consumer.assignment()
    }
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()


# %% role="wrong" exercise="relay" misconception="More than an hour is an hour or more" caught="check" says="each alarm once"
def relay(consumer, producer, target):
    messages = drain(consumer)
    producer.begin_transaction()
    for message in messages:
        if json.loads(message.value)["delay"] > 60:
            producer.send(target, message.value, partition=message.partition)
    offsets = {
        place: up_to(consumer.position(place)) for place in consumer.assignment()
    }
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
    producer.commit_transaction()


# %% [markdown] topics=["4.3-4", "4.3-4.1"]
# ## The delay board
#
# The question of this module: departures and mean delay, by airport and hour of *event time*, repeats counted once.
# Kafka is a log: it gives you order within a partition. Windows and watermarks are your program, or a library's, such
# as Kafka Streams.
#
# Messages of different partitions come in any order. So a watermark over all of them differs from run to run; one for
# each key does not.

# %% [markdown] role="task" exercise="board" points=3 topics=["4.3-4", "4.3-4.1"]
# ### The board, from a topic
#
# Write `board(events, wait)`. Events come in order of arrival, with `id`, `origin`, `departed`, `arrived` (datetimes in
# UTC) and `delay`.
#
# 1. Send them to one `new_topic()`, each with its airport, `origin`, as key. `json.dumps(event, default=str)` makes a
#    value; `datetime.fromisoformat` reads its times.
# 2. Read them with `reader` and `drain`. An airport's *watermark* is the latest `departed` of its messages so far, less
#    `wait` minutes.
# 3. A message counts unless the watermark has reached the end of its hour. Of those of one `id`, only the last counts.
#
# Return a list of dictionaries: `origin`, `hour` (a datetime in UTC), `departures` and `delay` (the mean).
#
# Example: with `wait` 10, a departure at 15:10 ends the hour 14:00 of its airport; 15:09 does not.
#
# Why: with the right key, the answer is the same in each run.


# %%
def watched(events, wait):
    """The rows of a board, and the keys of each topic that it made."""
    before = {*TOPICS}
    rows = board(events, wait)
    keys = []
    for topic in [topic for topic in TOPICS if topic not in before]:
        with reader(topic, range(TOPICS[topic])) as consumer:
            found = Counter(m.key and m.key.decode() for m in drain(consumer))
        keys.append(dict(found))
    return {"rows": rows, "keys": keys}


# %% role="answer" exercise="board"
def board(events: list[dict], wait: int) -> list[dict]:
    """Departures and mean delay by airport and hour, from a topic."""
    ### BEGIN SOLUTION
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    latest, groups = {}, defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest[origin] = max(at, latest.get(origin, at))
        watermark = latest[origin] - timedelta(minutes=wait)
        if watermark < hour + timedelta(hours=1):
            groups[origin, hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]
    ### END SOLUTION


# %% role="check" exercise="board"
with lab.check("board") as answer:
    answer.value("board")

    def at(clock):
        hour, minute = map(int, clock.split(":"))
        return datetime(2013, 7, 10, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)

    for wait, script, expected in [
        (
            480,
            "D1 EWR 14:59 10, D2 EWR 15:00 0, D3 JFK 18:30 -5, D1 EWR 14:59 12, "
            "D4 EWR 14:00 21, D5 JFK 13:05 7",
            "EWR 14:00 2 16.5, EWR 15:00 1 0, JFK 13:00 1 7, JFK 18:00 1 -5",
        ),
        (
            10,
            "D1 EWR 14:20 3, D2 EWR 15:09 6, D3 EWR 14:40 9, D4 EWR 15:10 0, D5 EWR 14:50 90, "
            "D6 EWR 15:02 8, D7 EWR 15:05 4, D5 EWR 14:50 90",
            "EWR 14:00 2 6, EWR 15:00 4 4.5",
        ),
        (
            10,
            "D1 LGA 14:20 3, D2 LGA 18:00 6, D3 EWR 14:30 9, D4 EWR 18:01 1, D5 JFK 14:40 5, "
            "D6 JFK 18:02 2",
            "LGA 14:00 1 3, LGA 18:00 1 6, EWR 14:00 1 9, EWR 18:00 1 1, JFK 14:00 1 5, "
            "JFK 18:00 1 2",
        ),
        (
            10,
            "D1 EWR 23:59 5, D2 EWR 24:00 7, D3 EWR 24:09 1, D4 EWR 23:00 4, D5 EWR 24:10 4, "
            "D6 EWR 23:55 3",
            "EWR 23:00 2 4.5, EWR 24:00 3 4",
        ),
    ]:
        events = [
            {"id": name, "origin": origin, "departed": at(clock), "delay": int(delay)}
            for text in script.split(", ")
            for name, origin, clock, delay in [text.split()]
        ]
        arrived = itertools.accumulate((event["departed"] for event in events), max)
        for number, (event, moment) in enumerate(zip(events, arrived, strict=True)):
            event["arrived"] = moment + timedelta(seconds=number)
        found = answer.call("watched", events, wait)
        said = f"with wait {wait}, of these (id, origin, departed, delay; 24:00 is midnight): {script}"
        answer.same_rows(
            found["rows"],
            [
                {"origin": origin, "hour": at(clock), "departures": int(count)}
                | {"delay": float(mean)}
                for text in expected.split(", ")
                for origin, clock, count, mean in [text.split()]
            ],
            asked=f"the board {said}",
            key=["origin", "hour"],
        )
        answer.true(
            dict(Counter(event["origin"] for event in events)) in found["keys"],
            asked=f"a topic with each event once, its airport as key, {said}",
            found=f"topics with these numbers of keys: {found['keys']}",
        )

# %% role="hidden" exercise="board"
with lab.check("board", hidden=True) as answer:
    answer.value("board")
    draw = answer.random
    start = datetime(2013, 7, 9, 22, 0, 7, 250_000, tzinfo=UTC)
    for wait in (draw.choice([0, 15, 35]), 90):
        events, newest, groups = [], {}, defaultdict(dict)
        for number in range(60):
            moment = start + timedelta(
                minutes=4 * number - draw.choice([0, 0, 50, 130])
            )
            event = {"id": f"Ø{number}", "origin": draw.choice(["ÉWR", "JFK", "LGA"])}
            event |= {"departed": moment, "delay": draw.randrange(-9, 200)}
            event |= {"arrived": start + timedelta(minutes=4 * number)}
            again = [] if number % 7 else [event | {"delay": draw.randrange(-9, 200)}]
            events += [event, *again]
        for event in events:
            origin, moment = event["origin"], event["departed"]
            newest[origin] = max(newest.get(origin, moment), moment)
            hour = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:00Z}")
            if (newest[origin] - hour) // timedelta(minutes=1) < 60 + wait:
                groups[origin, hour][event["id"]] = event["delay"]
        answer.same_rows(
            answer.call("watched", events, wait)["rows"],
            [
                {"origin": o, "hour": h, "departures": len(d)}
                | {"delay": sum(d.values()) / len(d)}
                for (o, h), d in groups.items()
            ],
            asked=f"the board of 60 events around midnight, some late, some twice, with wait {wait}",
            key=["origin", "hour"],
        )

# %% [markdown] role="hint" exercise="board"
# What do you have to remember for each airport, and what for each of its hours, so that a repeat changes nothing?

# %% [markdown] role="hint" exercise="board"
# `moment.replace(minute=0, second=0, microsecond=0)` is the start of the hour. A dictionary from `id` to delay for each
# airport and hour knows repeats. Move the watermark first, then decide.

# %% [markdown] role="hint" exercise="board"
# ```python
# topic = new_topic()
# send(topic, [{"key": ..., "value": ...} for event in events])
# latest, groups = {}, defaultdict(dict)
# with reader(topic) as consumer:
#     messages = drain(consumer)
# for message in messages:
#     event = json.loads(message.value)
#     ...
#     if ...:
#         groups[origin, hour][event["id"]] = event["delay"]
# return [... for (origin, hour), delays in groups.items()]
# ```


# %% role="right" exercise="board"
def board(events, wait):
    topic, keep = new_topic(6), timedelta(minutes=60 + wait)
    for event in events:
        event = {name: str(value) for name, value in event.items()}
        data = json.dumps(event).encode()
        producer.send(topic, key=event["origin"].encode(), value=data)
    producer.flush()
    last, rows = {}, {}
    for number in range(6):
        newest = {}
        with reader(topic, [number], group="board-2") as consumer:
            for message in drain(consumer):
                event = json.loads(message.value)
                moment = datetime.fromisoformat(event["departed"])
                newest.setdefault(message.key, []).append(moment)
                hour = datetime.fromisoformat(event["departed"][:13] + ":00:00+00:00")
                if max(newest[message.key]) - hour < keep:
                    last[event["origin"], hour, event["id"]] = int(event["delay"])
    for (origin, hour, _), delay in last.items():
        fresh = {"hour": hour, "origin": origin, "departures": 0, "sum": 0}
        row = rows.setdefault((origin, hour), fresh)
        row["departures"] += 1
        row["sum"] += delay
    for row in rows.values():
        row["delay"] = row.pop("sum") / row["departures"]
    return list(rows.values())


# %% [markdown] role="equivalent" exercise="board" reason="the later of two moments does not depend on their order"
# - latest[origin] = max(at, latest.get(origin, at))
# + latest[origin] = max(latest.get(origin, at), at)


# %% role="wrong" exercise="board" misconception="One watermark is enough for all" caught="check" says="missing"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    latest, groups = datetime(1970, 1, 1, tzinfo=UTC), defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest = max(at, latest)
        if latest - timedelta(minutes=wait) < hour + timedelta(hours=1):
            groups[origin, hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="A log delivers once, so repeats are gone" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    latest, groups = {}, defaultdict(list)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest[origin] = max(at, latest.get(origin, at))
        if latest[origin] - timedelta(minutes=wait) < hour + timedelta(hours=1):
            groups[origin, hour].append(event["delay"])
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="Sort by arrival, and the key does not matter" caught="check" says="airport as key"
def board(events, wait):
    topic = new_topic()
    send(topic, [{"value": json.dumps(event, default=str)} for event in events])
    latest, groups = {}, defaultdict(dict)
    with reader(topic) as consumer:
        messages = [json.loads(message.value) for message in drain(consumer)]
    for event in sorted(messages, key=lambda event: event["arrived"]):
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest[origin] = max(at, latest.get(origin, at))
        if latest[origin] - timedelta(minutes=wait) < hour + timedelta(hours=1):
            groups[origin, hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="An event is too late when it arrives late" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    groups = defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        arrived = datetime.fromisoformat(event["arrived"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        if arrived - at <= timedelta(minutes=wait):
            groups[origin, hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="What was counted once is not looked at again" caught="check" says="delay holds"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    latest, groups = {}, defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest[origin] = max(at, latest.get(origin, at))
        if latest[origin] - timedelta(minutes=wait) < hour + timedelta(hours=1):
            groups[origin, hour].setdefault(event["id"], event["delay"])
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="A later time has a later hour" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    latest, groups = {}, defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        origin, at = event["origin"], datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        latest[origin] = max(at, latest.get(origin, at))
        if (latest[origin] - timedelta(minutes=wait)).hour <= at.hour:
            groups[origin, hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="The log has it all, so wait for nothing" caught="check" says="departures holds"
def board(events, wait):
    topic = new_topic()
    values = [(event["origin"], json.dumps(event, default=str)) for event in events]
    send(topic, [{"key": origin, "value": value} for origin, value in values])
    groups = defaultdict(dict)
    with reader(topic) as consumer:
        messages = drain(consumer)
    for message in messages:
        event = json.loads(message.value)
        at = datetime.fromisoformat(event["departed"])
        hour = at.replace(minute=0, second=0, microsecond=0)
        groups[event["origin"], hour][event["id"]] = event["delay"]
    return [
        {"origin": origin, "hour": hour, "departures": len(delays)}
        | {"delay": sum(delays.values()) / len(delays)}
        for (origin, hour), delays in groups.items()
    ]


# %% [markdown]
# Now the whole day: 924 events, some six hours late.

# %%
engines.compare("Kafka", kafka.version, board, new_topic, send, reader, drain)

# %%
for wait in (engines.HASTE, 60, engines.PATIENCE):
    rows = board(engines.events(), wait) or []
    print("wait", wait, "- departures counted:", sum(row["departures"] for row in rows))

# %% [markdown]
# Kafka needed the right key. Windows, watermark and repeats are your own lines, and the state is a dictionary that dies
# with its process; a changelog would keep it. With a short wait, hours are closed when late events come, and these are
# left out.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | keep order | the key decides; more partitions move keys |
# | hand over | commit what is done, drop what is queued |
# | watch a group | loss looks like progress |
# | read a compacted topic | older values and tombstones stay a while |
# | write exactly once | results and offsets in one transaction |
# | answer by event time | a watermark for each key |
#
# **Read on.** Apache Kafka documentation, "Design". G. Shapira and others, *Kafka: The Definitive Guide*, 2nd edition
# (2021).

# %%
lab.close()
