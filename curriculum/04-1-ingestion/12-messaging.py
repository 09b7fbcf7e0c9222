# %% [markdown] minutes=60 datasets=["airports"] systems=["postgresql", "valkey"]
# # Messaging: publish, outbox, dead letters
#
# A delay is in the database and no partner knows it; a broken message stops a queue. You cut the power and poison
# a queue, and build a border that loses nothing and invents nothing.

# %% [markdown]
# ## You will be able to
#
# - let several systems hear every event (exercise 1)
# - publish what you have committed, and only that (exercise 2)
# - get a bad message out of the way (exercise 3)
# - put it all together at one border (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: transactions | exercises 2 to 4 |
# | the lab *Integration patterns* | manifests, contracts, a canonical model |
# | the labs *APIs*, *Log-based replication* | *idempotent*, *at least once* come from there |
#
# PostgreSQL and Valkey, the BSD-licensed fork of Redis, are the real ones (label: engine). `db` is a connection of
# psycopg in which each statement commits itself; what belongs together stands in `with db.transaction():`.
# `client` is redis-py's client of Valkey. Checks empty both. The partners are invented.
#
# You need not read the code cells between a task and its answer, nor the one that defines `Watched`: through them the checks
# call yours, and cut the power.

# %% role="setup"
import hashlib
import json
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import matplotlib.pyplot as plt
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-1-ingestion/12-messaging")
pg = service("postgresql")
kv = service("valkey")
lab

# %%
TABLES = {
    "flights": "id text PRIMARY KEY, delay int",
    "outbox": "id bigint GENERATED ALWAYS AS IDENTITY, body jsonb, sent bool DEFAULT false",
    "inbox": "message text PRIMARY KEY",
    "loads": "flight text PRIMARY KEY, bags int",
    "deliveries": "number text PRIMARY KEY, hashes jsonb",
    "refusals": "delivery text, file text, line int, reason text, original text",
}
QUICK = "-c synchronous_commit=off"  # the power of the server itself never fails here


class Refused(Exception):
    """This message will never be right, however often it comes."""


class PowerCut(BaseException):
    """The power fails; no `except Exception` catches that."""


class Power:
    """Each statement, commit and command is a step; from step `cut` on, there is no power."""

    steps, cut, meanwhile = 0, None, None


def step():
    """Count a step; let somebody else act before it."""
    Power.steps += 1
    if Power.cut and Power.steps >= Power.cut:
        raise PowerCut
    if Power.steps > 3000:
        raise RuntimeError("more than 3,000 steps: a loop without an end?")
    if Power.meanwhile:
        Power.meanwhile()


class WatchedCursor(psycopg.Cursor):
    """A cursor that counts its statements."""

    def execute(self, *args, **options):
        step()
        return super().execute(*args, **options)

    def executemany(self, *args, **options):
        step()
        return super().executemany(*args, **options)


class Watched(psycopg.Connection):
    """A connection that counts the ends of its transactions."""

    @contextmanager
    def transaction(self, *args, **options):
        with super().transaction(*args, **options) as transaction:
            yield transaction
            step()

    def commit(self):
        step()
        super().commit()


class WatchedBroker(redis.Redis):
    """A client of Valkey that counts its commands; a pipeline is one."""

    def execute_command(self, *args, **options):
        step()
        return super().execute_command(*args, **options)

    def pipeline(self, *args, **options):
        pipe = super().pipeline(*args, **options)
        send = pipe.execute
        pipe.execute = lambda *args, **options: (step(), send(*args, **options))[1]
        return pipe


def connect():
    """A connection to PostgreSQL; outside of `transaction()`, each statement commits itself."""
    return Watched.connect(
        pg.dsn(options=f"'{QUICK} -c lock_timeout=1s -c statement_timeout=3s'"),
        cursor_factory=WatchedCursor,
        autocommit=True,
    )


def broker():
    """A client of Valkey, which gives up after three seconds of waiting."""
    return WatchedBroker(
        host="127.0.0.1",
        port=kv.port("primary"),
        decode_responses=True,
        socket_timeout=3,
        retry=Retry(NoBackoff(), 0),
    )


def fresh(flights=()):
    """Begin anew: power, nothing in Valkey, and in the tables these flights with no delay."""
    Power.steps, Power.cut, Power.meanwhile = 0, None, None
    if keys := queue.keys():
        queue.delete(*keys)
    admin.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
    admin.execute("INSERT INTO flights SELECT unnest(%s::text[]), 0", [[*flights]])


admin, queue = pg.client(options=QUICK), kv.client()
for table, columns in TABLES.items():
    admin.execute(f"CREATE TABLE {table} ({columns})")
db, client = connect(), broker()
for system in (pg, kv):
    print(f"{system.title} {system.version} ({system.label})")

# %% [markdown] topics=["4.1-5"]
# ## One speaks, many hear
#
# In *publish/subscribe*, the sender does not know who listens. Valkey's *pub/sub* is a radio: who is off
# misses it. A *stream* is a log, and each *consumer group* gets all of it; the members of one group share. What
# a member was given is *pending* until `XACK`.
#
# **Predict:** of six events, the radio is on for two. Then members `a` and `b` of one group ask for three
# entries each, and Valkey is killed. What is left?

# %%
fresh()
radio = queue.pubsub()
receivers = []
for number in range(1, 7):
    if number in (3, 5):
        kind = "subscribe" if number == 3 else "unsubscribe"
        getattr(radio, kind)("delays")
        while radio.get_message(timeout=9)["type"] != kind:
            pass  # until Valkey has done it
    receivers.append(queue.publish("delays", number))
    queue.xadd("delays", {"number": number})
print("radio, receivers of each event:", receivers)
queue.xgroup_create("delays", "board", id="0")
for member in "ab":
    ((_, entries),) = queue.xreadgroup("board", member, {"delays": ">"}, count=3)
    print(f"stream, {member} of board:", [fields["number"] for _, fields in entries])
kv.kill()
kv.restart()
pending = queue.xpending("delays", "board")
print(f"after the kill: {queue.xlen('delays')} entries, {pending['pending']} pending")

# %% [markdown]
# The stream kept all, because our Valkey writes each change into an *append-only file* (`appendonly yes`, `appendfsync always`). By
# default a kill costs what came after the last snapshot.

# %% [markdown] role="task" exercise="subscribe" points=3 topics=["4.1-5"]
# ### Hear every event
#
# Write `listen(client, group, member, idle, effect)` for the stream `delays`.
#
# - If there is no such group yet, create it, so that it hears the stream from its first entry on. There may be
#   no stream yet, either.
# - The member handles, until nothing is left: what is pending with itself; what has been pending with another
#   member for `idle` milliseconds; what is new.
# - Handling is to call `effect(fields)`. If the power fails in it, the entry must come again.
#
# Why: with this loop, members may die and join at any time.


# %%
def heard(plan):
    """For each group: the events that took effect, how many came twice, how many are pending.

    Lines of a plan: ("publish", how many); ("listen", group, member, idle); ("dies", group,
    member, n): it listens, and the power fails in its n-th event; ("takes", group, member, n): it
    reads n events and dies.
    """
    fresh()
    done, numbers = {}, iter(range(1, 1000))
    for act, *rest in plan:
        if act == "publish":
            for _ in range(*rest):
                queue.xadd("delays", {"number": next(numbers)})
            continue
        group, member, last = rest
        effects, calls = done.setdefault(group, []), []
        if act == "takes":
            queue.xgroup_create("delays", group, id="0")
            queue.xreadgroup(group, member, {"delays": ">"}, count=last)
            continue

        def effect(
            fields, fails=act == "dies", last=last, effects=effects, calls=calls
        ):
            calls.append(fields)
            if fails and len(calls) == last:
                raise PowerCut
            effects.append(int(fields["number"]))

        with suppress(PowerCut):
            listen(client, group, member, 60_000 if act == "dies" else last, effect)
    left = {one["name"]: one["pending"] for one in queue.xinfo_groups("delays")}
    return {
        group: {
            "events": sorted(set(effects)),
            "twice": len(effects) - len(set(effects)),
            "pending": left.get(group, "no such group"),
        }
        for group, effects in done.items()
    }


# %% role="answer" exercise="subscribe"
def listen(client: redis.Redis, group: str, member: str, idle: int, effect) -> None:
    """Handle all events that this member of a group is due."""
    ### BEGIN SOLUTION
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)
    ### END SOLUTION


# %% role="check" exercise="subscribe"
with lab.check("subscribe") as answer:
    answer.value("listen")
    six = {"events": [1, 2, 3, 4, 5, 6], "twice": 0, "pending": 0}
    start = [("publish", 3), ("listen", "board", "a", 60_000), ("publish", 3)]
    answer.equal(
        answer.call(
            "heard",
            [
                *start,
                ("listen", "board", "b", 60_000),
                ("listen", "billing", "c", 60_000),
            ],
        ),
        {"board": six, "billing": six},
        asked="each of six events once in each of two groups",
    )
    fails = [("publish", 6), ("dies", "board", "a", 3)]
    answer.equal(
        answer.call("heard", [*fails, ("listen", "board", "a", 60_000)]),
        {"board": six},
        asked="each event once, after the power failed in the third",
    )
    taken = [("publish", 6), ("takes", "board", "a", 2)]
    answer.equal(
        answer.call("heard", [*taken, ("listen", "board", "b", 60_000)]),
        {"board": {"events": [3, 4, 5, 6], "twice": 0, "pending": 2}},
        asked="all but the two events that another member was given a moment ago",
    )
    answer.equal(
        answer.call("heard", [*taken, ("listen", "board", "b", 0)]),
        {"board": six},
        asked="all events, two of them from another member, idle for more than 0 ms",
    )
    early = [("listen", "board", "a", 60_000), ("publish", 6)]
    answer.equal(
        answer.call("heard", [*early, ("listen", "board", "a", 60_000)]),
        {"board": six},
        asked="six events of a stream that was not there when the group first listened",
    )

# %% role="hidden" exercise="subscribe"
with lab.check("subscribe", hidden=True) as answer:
    answer.value("listen")
    group, count = f"Ñ {answer.random.random()}", answer.random.randint(150, 250)
    every = {"events": [*range(1, count + 1)], "twice": 0, "pending": 0}
    taken = [("publish", count), ("takes", group, "a", count - 20)]
    answer.equal(
        answer.call("heard", [*taken, ("listen", group, "b", 0)]),
        {group: every},
        asked="all events, more than a hundred of them from another member",
    )
    quiet = [("listen", group, "a", 0), ("publish", count)]
    answer.equal(
        answer.call("heard", [*quiet, ("listen", group, "a", 0)]),
        {group: every},
        asked="all events of a stream that was not there when the group first listened",
    )

# %% [markdown] role="hint" exercise="subscribe"
# Three kinds of entries are due. Which of them does the id `>` give you, and how do the others become
# yours?

# %% [markdown] role="hint" exercise="subscribe"
# Valkey's pages on `XGROUP CREATE` (`0` or `$`?), `XREADGROUP` (`>` or `0`?) and `XAUTOCLAIM`, which takes
# a hundred at a time and returns where to go on, `0-0` at the end. In redis-py: `xautoclaim(stream, group,
# member, idle, start)`. A group that exists raises `redis.ResponseError`; so does a stream that does not, unless
# `mkstream` is true.

# %% [markdown] role="hint" exercise="subscribe"
# ```python
# with suppress(redis.ResponseError):
#     client.xgroup_create(...)
# ...  # claim, until the cursor is "0-0"
# for start in (..., ">"):
#     while found := client.xreadgroup(group, member, {"delays": start}):
#         ((_, entries),) = found
#         if not entries:
#             break
#         for entry, fields in entries:
#             ...
# ```


# %% role="right" exercise="subscribe"
def listen(client, group, member, idle, effect):
    groups = []
    if client.exists("delays"):
        groups = [one["name"] for one in client.xinfo_groups("delays")]
    if group not in groups:
        client.xgroup_create("delays", group, "0-0", mkstream=True)

    def handle(entries):
        for entry, fields in entries:
            effect(fields)
            client.xack("delays", group, entry)
        return bool(entries)

    mine = [0]
    while mine:
        mine = client.xpending_range("delays", group, "-", "+", 50, consumername=member)
        ids = [one["message_id"] for one in mine]
        handle(client.xclaim("delays", group, member, 0, ids) if ids else [])
    while True:
        left = client.xpending_range("delays", group, "-", "+", 50, idle=idle)
        ids = [one["message_id"] for one in left]
        if not ids or not handle(client.xclaim("delays", group, member, idle, ids)):
            break
    while found := client.xreadgroup(group, member, {"delays": ">"}, count=10):
        handle(found[0][1])


# %% role="wrong" exercise="subscribe" misconception="A group hears what comes after it" caught="check" says="two groups"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="$", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="All listeners belong to one group" caught="check" says="two groups"
def listen(client, group, member, idle, effect):
    group = {"billing": "board"}.get(group, group)
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="Acknowledge on receipt, then work" caught="check" says="the power failed in the third"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                client.xack("delays", group, entry)
                effect(fields)


# %% role="wrong" exercise="subscribe" misconception="What is new is all there is to do" caught="check" says="the power failed in the third"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in (">",):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="The members of a group look after themselves" caught="check" says="two of them from another member"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="Whatever is pending is mine" caught="check" says="a moment ago"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, 0, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="One call claims all" caught="hidden" says="more than a hundred"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    client.xautoclaim("delays", group, member, idle)
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="Where a group is made, there is a stream" caught="check" says="NOGROUP"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0")
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                client.xack("delays", group, entry)


# %% role="wrong" exercise="subscribe" misconception="Without acknowledgement it is simpler" caught="check" says="the power failed in the third"
def listen(client, group, member, idle, effect):
    with suppress(redis.ResponseError):  # the group is there
        client.xgroup_create("delays", group, id="0", mkstream=True)
    cursor = None
    while cursor != "0-0":
        claimed = client.xautoclaim("delays", group, member, idle, cursor or "0-0")
        cursor = claimed[0]
    for start in ("0", ">"):
        while found := client.xreadgroup(group, member, {"delays": start}, noack=True):
            ((_, entries),) = found
            if not entries:
                break
            for entry, fields in entries:
                effect(fields)
                if start == "0":
                    client.xack("delays", group, entry)


# %% [markdown] topics=["4.1-5"]
# ## Break it: two writes, one power cut
#
# A delay changes: your program writes it into the database, and tells the partners by a message. No
# transaction spans both.
#
# **Predict:** the power fails before step 1, 2, … of a function. In which order of the two writes is nothing
# lost?


# %%
CHANGE = "UPDATE flights SET delay = %s WHERE id = %s"
KEEP = "INSERT INTO outbox (body) VALUES (%s)"


def database_first(flight, minutes):
    db.execute(CHANGE, [minutes, flight])
    client.xadd("delays", {"flight": flight, "delay": minutes})


def message_first(flight, minutes):
    client.xadd("delays", {"flight": flight, "delay": minutes})
    db.execute(CHANGE, [minutes, flight])


def with_outbox(flight, minutes):
    with db.transaction():
        db.execute(CHANGE, [minutes, flight])
        db.execute(KEEP, [json.dumps({"flight": flight, "delay": minutes})])


def outcome(way, cut):
    """What is left when the power fails before this step."""
    fresh(["UA322"])
    Power.cut = cut
    with suppress(PowerCut):
        way("UA322", 12)
    ((changed,),) = admin.execute("SELECT delay > 0 FROM flights").fetchall()
    ((kept,),) = admin.execute("SELECT count(*) FROM outbox").fetchall()
    told = bool(kept or queue.exists("delays"))
    return {(0, 1): "invented", (1, 0): "lost", (1, 1): "both"}.get(
        (changed, told), "neither"
    )


print("power fails     before step 1, 2, 3, 4")
for way in (database_first, message_first, with_outbox):
    print(f"{way.__name__:<15}", [outcome(way, cut) for cut in (1, 2, 3, 4)])
fresh()

# %% [markdown]
# Either order fails. With an *outbox*, the message is a row, committed together with the change, and a *relay*
# publishes it later. If that dies before it has marked the row, it publishes it again: *at least once*. So each
# message bears a number.

# %% [markdown] role="task" exercise="outbox" points=3 topics=["4.1-5"]
# ### Publish what you have committed
#
# Write `set_delays(db, client, changes)`, where `changes` is a list of pairs `(flight, minutes)`.
#
# - First, for each pair in turn, it sets the `delay` in `flights` and adds a row to `outbox`, both or
#   neither. `body` is `{"flight": …, "delay": …}`. A flight that is not there, or has that delay already, needs
#   no message.
# - Then it publishes each row of `outbox` that is not `sent`, also those of others, in order of `id`. An entry of the
#   stream `delays` has the fields `message` (the `id`) and `body` (JSON). It marks the row as `sent`.
#
# After a power cut, the next call, even with no changes, publishes what was committed. Between your steps,
# others may commit rows, even with a lower `id`: it is drawn before the commit.
#
# Why: so a service tells others the truth.


# %%
def published(flights, changes, every=1):
    """What is wrong after a power cut before step 1, 2, …, and the messages without one."""
    for cut in range(1, 200, every):
        fresh(flights)
        others = iter(range(1, 4))

        def somebody(others=others):
            if Power.steps % 6 == 0 and (number := next(others, 0)):
                row = [f"ZZ{number}", number]
                with admin.transaction():
                    admin.execute("INSERT INTO flights VALUES (%s, %s)", row)
                    body = json.dumps({"flight": row[0], "delay": number})
                    put = "INSERT INTO outbox OVERRIDING SYSTEM VALUE VALUES (%s, %s)"
                    admin.execute(put, [-number, body])

        Power.cut, Power.meanwhile = cut, somebody
        calm = False
        with suppress(PowerCut):
            set_delays(db, client, changes)
            calm = True
        Power.cut, Power.meanwhile = None, None
        set_delays(db, client, [])
        entries = [fields for _, fields in queue.xrange("delays")]
        first = {int(e["message"]): json.loads(e["body"]) for e in entries[::-1]}
        numbers = list(dict.fromkeys(int(e["message"]) for e in entries))
        told = {first[n]["flight"]: first[n]["delay"] for n in numbers}
        real = dict(admin.execute("SELECT id, delay FROM flights"))
        wrong = [id for id in {**real, **told} if real.get(id) != told.get(id, 0)]
        ours = [number for number in numbers if number > 0]
        set_delays(db, client, [])
        fault = (
            f"after a cut before step {cut}, told wrongly: {wrong[:3]}" if wrong else ""
        )
        if ours != sorted(ours):
            fault = f"after a cut before step {cut}, out of order: {ours}"
        if calm or fault:
            return {
                "fault": fault or "nothing",
                "messages": [[first[n]["flight"], first[n]["delay"]] for n in ours],
                "again": queue.xlen("delays") - len(first) if calm else 0,
            }
    return {"fault": "no end after 200 steps", "messages": [], "again": 0}


# %% role="answer" exercise="outbox" dialect="postgres"
def set_delays(
    db: psycopg.Connection, client: redis.Redis, changes: list[tuple]
) -> None:
    """Change delays, and publish each committed change at least once."""
    ### BEGIN SOLUTION
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])
    ### END SOLUTION


# %% role="check" exercise="outbox"
with lab.check("outbox") as answer:
    answer.value("set_delays")
    flights = ["UA1", "AA2"]
    changes = [("UA1", 9), ("XX9", 1), ("UA1", 9), ("AA2", 5)]
    found = answer.call("published", flights, changes)
    answer.equal(
        found["fault"],
        "nothing",
        asked="the same delays in table and stream, wherever the power fails",
    )
    answer.equal(
        found["messages"],
        [["UA1", 9], ["AA2", 5]],
        asked=f"a message for each of {changes} that changes something in {flights}",
    )
    answer.true(
        found["again"] == 0,
        asked="each message once, as long as the power stays on",
        found=f"{found['again']} messages that came again",
    )

# %% role="hidden" exercise="outbox"
with lab.check("outbox", hidden=True) as answer:
    answer.value("set_delays")
    draw = answer.random
    flights = [f"Ñ'{number}" for number in range(2)]
    changes = [
        (draw.choice([*flights, "gone"]), draw.choice([0, 3, -2])) for _ in range(6)
    ]
    delays, expected = dict.fromkeys(flights, 0), []
    for flight, minutes in changes:
        if delays.get(flight, minutes) != minutes:
            delays[flight] = minutes
            expected.append([flight, minutes])
    found = answer.call("published", flights, changes, 4)
    answer.equal(
        found["fault"],
        "nothing",
        asked="the same delays in table and stream, for changes back and forth",
    )
    answer.equal(
        found["messages"],
        expected,
        asked=f"a message for each of {changes} that changes something",
    )

# %% [markdown] role="hint" exercise="outbox"
# Name what is true after each of your steps. Before which of them would a power cut leave a change without a
# message, or a message without a change?

# %% [markdown] role="hint" exercise="outbox"
# The `rowcount` of what `db.execute` returns says how many rows an `UPDATE` changed. Mark a row after it
# is published, and only rows that you have published yourself.

# %% [markdown] role="hint" exercise="outbox"
# ```python
# for flight, minutes in changes:
#     with db.transaction():
#         changed = db.execute("UPDATE ... WHERE id = %s AND ...", [...])
#         if changed.rowcount:
#             ...
# waiting = db.execute("SELECT ...")
# for id, body in waiting.fetchall():
#     client.xadd(...)
#     ...
# ```


# %% role="right" exercise="outbox"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        db.execute(
            "WITH changed AS (UPDATE flights SET delay = %s WHERE id = %s"
            " AND delay IS DISTINCT FROM %s RETURNING id, delay)"
            " INSERT INTO outbox (body) SELECT jsonb_build_object('flight', id, 'delay', delay)"
            " FROM changed",
            [minutes, flight, minutes],
        )
    while True:
        rows = db.execute(
            "SELECT id, body::text FROM outbox WHERE sent = false ORDER BY id LIMIT 2"
        ).fetchall()
        if not rows:
            return
        pipe = client.pipeline()
        for number, body in rows:
            pipe.xadd("delays", {"body": body, "message": str(number)})
        pipe.execute()
        ids = [number for number, _ in rows]
        db.execute("UPDATE outbox SET sent = true WHERE id = ANY(%s)", [ids])


# %% role="right" exercise="outbox"
def set_delays(db, client, changes):
    # One transaction for all changes; a lock on each row while it is published.
    with db.transaction(), db.cursor() as cursor:
        for flight, minutes in changes:
            found = cursor.execute(
                "SELECT delay FROM flights WHERE id = %s FOR UPDATE", [flight]
            )
            row = found.fetchone()
            if row is not None and row[0] != minutes:
                cursor.execute(
                    "UPDATE flights SET delay = %s WHERE id = %s", [minutes, flight]
                )
                body = psycopg.types.json.Jsonb({"flight": flight, "delay": minutes})
                cursor.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    with db.transaction():
        rows = db.execute(
            "SELECT * FROM outbox WHERE NOT sent ORDER BY id FOR UPDATE"
        ).fetchall()
        for number, body, _ in rows:
            client.xadd("delays", {"message": number, "body": json.dumps(body)})
            db.execute("UPDATE outbox SET sent = true WHERE id = %s", [number])


# %% [markdown] role="equivalent" exercise="outbox" reason="psycopg has fetched all rows by then"
# - for id, body in waiting.fetchall():
# + for id, body in waiting:


# %% role="wrong" exercise="outbox" misconception="A commit is quick, so publish right after it" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        changed = db.execute(
            "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
            [minutes, flight, minutes],
        )
        if changed.rowcount:
            body = json.dumps({"flight": flight, "delay": minutes})
            db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])


# %% role="wrong" exercise="outbox" misconception="Mark first, so that nothing is published twice" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])
        client.xadd("delays", {"message": id, "body": json.dumps(body)})


# %% role="wrong" exercise="outbox" misconception="What is not sent yet, I have just published" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
    db.execute("UPDATE outbox SET sent = true WHERE NOT sent")


# %% role="wrong" exercise="outbox" misconception="All rows up to the last one are published" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    id = 0
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
    db.execute("UPDATE outbox SET sent = true WHERE id <= %s", [id])


# %% role="wrong" exercise="outbox" misconception="Publishing inside the transaction makes it one" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                put = "INSERT INTO outbox (body, sent) VALUES (%s, true) RETURNING id"
                ((id,),) = db.execute(put, [body]).fetchall()
                client.xadd("delays", {"message": id, "body": body})
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])


# %% role="wrong" exercise="outbox" misconception="Each request to change is an event" caught="check" says="that changes something"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s",
                [minutes, flight],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])


# %% role="wrong" exercise="outbox" misconception="At least once is as often as you like" caught="check" says="came again"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox ORDER BY id")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])


# %% role="wrong" exercise="outbox" misconception="A table has an order" caught="check" says="wherever the power fails"
def set_delays(db, client, changes):
    for flight, minutes in changes:
        with db.transaction():
            changed = db.execute(
                "UPDATE flights SET delay = %s WHERE id = %s AND delay <> %s",
                [minutes, flight, minutes],
            )
            if changed.rowcount:
                body = json.dumps({"flight": flight, "delay": minutes})
                db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    waiting = db.execute("SELECT id, body FROM outbox WHERE NOT sent ORDER BY body")
    for id, body in waiting.fetchall():
        client.xadd("delays", {"message": id, "body": json.dumps(body)})
        db.execute("UPDATE outbox SET sent = true WHERE id = %s", [id])


# %% [markdown] topics=["4.1-5"]
# ## The message that stops the queue
#
# The handler tells how many bags it has loaded. A *poison message* kills the worker, stays pending, comes again,
# and kills it again. All others wait behind it. A *dead-letter channel* takes it, with the reason.
#
# And since a relay may repeat a message, the worker keeps the numbers of handled ones in a table, its *inbox*.
#
# **Predict:** `load` adds 40 bags, then fails, as the hold is closed. At the third attempt it is open. How many
# bags are counted?


# %%
def load(db, message):
    """Count the bags of a message; raises Refused, or another exception that may pass."""
    try:
        body = json.loads(message["body"])
        flight, bags = body["flight"], int(body["bags"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"no bags in {message['body']}") from error
    db.execute(
        "INSERT INTO loads VALUES (%s, %s) ON CONFLICT (flight)"
        " DO UPDATE SET bags = loads.bags + excluded.bags",
        [flight, bags],
    )
    if CLOSED.get(flight, 0) > 0:
        CLOSED[flight] -= 1
        raise TimeoutError(f"the hold of {flight} is closed")


def due(client):
    """The entries of the stream bags that are due: (entry, message, attempt), old ones first."""
    given = []
    for start in ("0", ">"):
        for _, entries in client.xreadgroup("desk", "one", {"bags": start}):
            given += entries
    told = client.xpending_range("bags", "desk", "-", "+", 1000)
    attempts = {one["message_id"]: one["times_delivered"] for one in told}
    return [(entry, message, attempts[entry]) for entry, message in given]


fresh()
CLOSED = {"UA322": 2}
for _ in range(3):
    with suppress(TimeoutError):
        load(db, {"message": "1", "body": json.dumps({"flight": "UA322", "bags": 40})})
print(admin.execute("SELECT * FROM loads").fetchall())

# %% [markdown]
# An effect and its entry in the inbox belong into one transaction: a failure undoes both.

# %% [markdown] role="task" exercise="dead" points=3 topics=["4.1-5"]
# ### Bury what cannot be handled
#
# Write `work(db, client, limit)`, one round over the entries that `due(client)` returns.
#
# - Handle each with `load(db, message)`. A message takes effect once, however often it comes: its number is
#   `message["message"]`; the table `inbox` has the column `message`.
# - `Refused` cannot pass: the message goes to the stream `dead` at once. With any other `Exception` it stays
#   pending for the next round, but at attempt `limit` it goes to `dead`, too.
# - An entry in `dead` has all fields of the message, and `reason` (the exception's text) and `attempts`.
# - What has taken effect or is dead is acknowledged: stream `bags`, group `desk`.
#
# After a power cut, the next rounds leave the same counts, and each dead letter once.
#
# Why: one bad message must cost one message.


# %%
def worked(bodies, limit, closed, cuts):
    """Counts, dead letters and pending entries after five rounds of your work.

    With cuts, the power fails before step 1, 2, … of the first round: the first case that ends
    otherwise than one without a power cut, or the last case.
    """
    ends = []
    for cut in [None, *range(1, 80)] if cuts else [None]:
        fresh()
        queue.xgroup_create("bags", "desk", id="0", mkstream=True)
        pipe = queue.pipeline()
        for number, body in bodies:
            pipe.xadd("bags", {"message": number, "body": body})
        pipe.execute()
        CLOSED.clear()
        CLOSED.update(closed)
        Power.cut, calm = cut, False
        with suppress(PowerCut):
            work(db, client, limit)
            calm = True
        Power.cut = None
        for _ in range(4):
            work(db, client, limit)
        dead = [fields for _, fields in queue.xrange("dead")]
        if cuts:  # a power cut is an attempt, too
            dead = [{**fields, "attempts": "?"} for fields in dead]
        ends.append(
            {
                "bags": dict(
                    admin.execute("SELECT * FROM loads ORDER BY flight").fetchall()
                ),
                "dead": sorted(dead, key=json.dumps),
                "pending": queue.xpending("bags", "desk")["pending"],
            }
        )
        if ends[-1] != ends[0] or (calm and cut):
            break
    return ends[-1]


# %% role="answer" exercise="dead" dialect="postgres"
def work(db: psycopg.Connection, client: redis.Redis, limit: int) -> None:
    """Handle all entries that are due; bury those that cannot be handled."""
    ### BEGIN SOLUTION
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()
    ### END SOLUTION


# %% role="check" exercise="dead"
with lab.check("dead") as answer:
    answer.value("work")
    good = [
        ("7", '{"flight": "UA1", "bags": 40}'),
        ("8", '{"flight": "AA2", "bags": 9}'),
    ]
    bad = [("9", "no JSON"), ("10", '{"flight": "DL3"}')]
    bodies = [bad[0], good[0], bad[1], good[1], good[0]]
    dead = [
        {"message": n, "body": b, "reason": f"no bags in {b}", "attempts": "1"}
        for n, b in bad
    ]
    found = answer.call("worked", bodies, 3, {}, False)
    answer.equal(
        found["bags"],
        {"UA1": 40, "AA2": 9},
        asked="the bags of UA1 and AA2, each message counted once",
    )
    answer.same_rows(
        found["dead"],
        dead,
        asked="a dead letter for each message that was refused, and for no other",
        key=["message"],
    )
    both, late = {"UA1": 40, "AA2": 9}, ["3", "the hold of UA1 is closed"]
    for times, limit, bags, letters in [
        (2, 3, both, []),
        (3, 3, {"AA2": 9}, [late]),
        (99, 99, {"AA2": 9}, []),
    ]:
        found = answer.call("worked", good, limit, {"UA1": times}, False)
        answer.equal(
            [
                found["bags"],
                [[one["attempts"], one["reason"]] for one in found["dead"]],
            ],
            [bags, letters],
            asked="bags, and attempts and reasons of dead letters, after five rounds with "
            f"limit {limit}, UA1 closed {times} times",
        )
    found = answer.call("worked", [bad[0], *good], 3, {"AA2": 99}, True)
    answer.equal(
        [found["bags"], [one["message"] for one in found["dead"]], found["pending"]],
        [{"UA1": 40}, ["8", "9"], 0],
        asked="bags, numbers of dead letters, and pending ones, after a power cut anywhere",
    )

# %% role="hidden" exercise="dead"
with lab.check("dead", hidden=True) as answer:
    answer.value("work")
    draw, bags, bodies = answer.random, {}, []
    for number in draw.sample(range(1000), 30):
        flight = draw.choice(["Ñ'1", "UA2", "shut"])
        kind = draw.choice(["good", "good", "bad", "twice"])
        body = json.dumps({"flight": flight, "bags": "?" if kind == "bad" else number})
        bodies += [(f"m-{number}", body)] * (2 if kind == "twice" else 1)
        if kind != "bad" and flight != "shut":
            bags[flight] = bags.get(flight, 0) + number
    draw.shuffle(bodies)
    buried = sorted(n for n, body in bodies if "shut" in body or "?" in body)
    found = answer.call("worked", bodies, 2, {"shut": 999}, False)
    answer.equal(
        found["bags"],
        bags,
        asked="the bags of thirty messages, some of them broken, late or repeated",
    )
    answer.equal(
        sorted(letter["message"] for letter in found["dead"]),
        buried,
        asked="a dead letter for each entry that was refused, or failed twice",
    )

# %% [markdown] role="hint" exercise="dead"
# What has to be in one transaction of PostgreSQL, and what in one of Valkey? What if the power fails between
# the two?

# %% [markdown] role="hint" exercise="dead"
# `INSERT … ON CONFLICT DO NOTHING` has a `rowcount` of 0 for a number that is there. An exception that leaves
# `with db.transaction():` undoes it, so catch it outside. `client.pipeline()` collects commands;
# `execute()` runs them as one.

# %% [markdown] role="hint" exercise="dead"
# ```python
# for entry, message, attempt in due(client):
#     reason = None
#     try:
#         with db.transaction():
#             if db.execute("INSERT INTO inbox ...", [...]).rowcount:
#                 load(db, message)
#     except Refused as error:
#         ...
#     except Exception as error:
#         ...
#     both = client.pipeline()
#     ...
#     both.execute()
# ```


# %% role="right" exercise="dead"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        number = message["message"]
        try:
            with db.transaction():
                known = db.execute("SELECT FROM inbox WHERE message = %s", [number])
                if not known.rowcount:
                    load(db, message)
                    db.execute("INSERT INTO inbox (message) VALUES (%s)", [number])
        except Exception as error:
            if isinstance(error, Refused) or attempt >= limit:
                with client.pipeline(transaction=True) as pipe:
                    letter = dict(message, attempts=attempt, reason=f"{error}")
                    pipe.xack("bags", "desk", entry).xadd("dead", letter).execute()
        else:
            client.xack("bags", "desk", entry)


# %% role="wrong" exercise="dead" misconception="Every failure is worth another try" caught="check" says="was refused"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="A failure is final" caught="check" says="closed 2 times"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="The inbox is written when the work is done" caught="check" says="power cut anywhere"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            if not db.execute(
                "SELECT FROM inbox WHERE message = %s", [message["message"]]
            ).rowcount:
                with db.transaction():
                    load(db, message)
                db.execute("INSERT INTO inbox VALUES (%s)", [message["message"]])
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="Messages come once" caught="check" says="each message counted once"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="An entry is a message" caught="check" says="each message counted once"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [entry]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="The last attempt is one more" caught="check" says="closed 3 times"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt <= limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="A statement that failed has done nothing" caught="check" says="closed 3 times"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            if True:
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="Two commands in a row are one" caught="check" says="power cut anywhere"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        if reason is not None:
            client.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        client.xack("bags", "desk", entry)


# %% role="wrong" exercise="dead" misconception="A dead letter needs no acknowledgement" caught="check" says="more than one row"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        if reason is None:
            both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="The reason is enough" caught="check" says="body"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                continue
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd(
                "dead",
                {"message": message["message"], "reason": reason, "attempts": attempt},
            )
        both.xack("bags", "desk", entry)
        both.execute()


# %% role="wrong" exercise="dead" misconception="One failure ends the round" caught="check" says="closed 99 times"
def work(db, client, limit):
    for entry, message, attempt in due(client):
        reason = None
        try:
            with db.transaction():
                put = "INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING"
                if db.execute(put, [message["message"]]).rowcount:
                    load(db, message)
        except Refused as error:
            reason = str(error)
        except Exception as error:
            if attempt < limit:
                return
            reason = str(error)
        both = client.pipeline()
        if reason is not None:
            both.xadd("dead", {**message, "reason": reason, "attempts": attempt})
        both.xack("bags", "desk", entry)
        both.execute()


# %% [markdown]
# Forty messages: one hold is closed for three rounds, the eleventh message is broken.


# %%
def stubborn(db, client, limit):
    """Handle what is due, in order, and stop at the first failure."""
    for entry, message, _ in due(client):
        try:
            with db.transaction():
                load(db, message)
        except Exception:
            return
        client.xack("bags", "desk", entry)


figure, axes = plt.subplots(figsize=(7, 3))
for worker, color in ((stubborn, "#c44e00"), (work, "#35507a")):
    fresh()
    CLOSED = {"UA5": 3}
    queue.xgroup_create("bags", "desk", id="0", mkstream=True)
    counts = [0]
    for start in range(0, 40, 8):
        for number in range(start, start + 8):
            body = json.dumps(
                {"flight": f"UA{number}", "bags": "?" if number == 10 else 1}
            )
            queue.xadd("bags", {"message": number, "body": body})
        worker(db, client, 5)
        counts += admin.execute("SELECT count(*) FROM loads").fetchone()
    axes.plot(
        counts, marker="o", color=color, label=f"{worker.__name__}: {counts[-1]} of 40"
    )
    told = f"{counts[1:]}, dead letters: {queue.xlen('dead')}"
    print(f"{worker.__name__:<9}", told if counts[-1] else "not started")
axes.set(xlabel="round, eight new messages in each", ylabel="messages handled")
axes.legend(frameon=False)
picture(
    figure,
    alt="Messages handled after each round of eight new ones. The stubborn worker stands still at the first "
    "message that fails; the worker with dead letters handles all but the broken one.",
)

# %% [markdown]
# Later, mend the cause and put the dead letter back with its *old* number: the inbox prevents a double.

# %% [markdown] topics=["4.1-5"]
# ## All together
#
# The handler's new station in Phoenix drops files of JSON lines into a folder, and manifests that end in
# `.manifest.json`. This may cross:

# %%
DIGITS = {"type": "string", "pattern": "^[0-9]{4}$"}
FORM = {
    "type": "object",
    "properties": {
        "airline": {"type": "string"},
        "number": DIGITS,
        "station": {"type": "string"},
        "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "std": DIGITS,
        "late": DIGITS,
        "code": {"type": "string"},
    },
    "required": ["airline", "number", "station", "date", "std"],
}
line = {"airline": "US", "number": "0015", "station": "PHX", "date": "2013-02-30"}
HANDLER = jsonschema.Draft202012Validator(FORM)
HANDLER.validate(line | {"std": "0700", "late": "0012"})
print("accepted, although there is no 30 February")

# %% [markdown]
# From the lab before, there are two functions: `judge` says in one word what to do with a delivery (such as
# `complete`, `waiting`, `repeated`), and `from_handler` translates a message or raises `Refused`.

# %%
ZONES = {row["faa"]: row["tzone"] for row in dataset("airports").arrow().to_pylist()}
CAUSES = {"32": "loading", "41": "defect", "71": "weather", "81": "traffic"}
CAUSES |= {"93": "rotation"}


def judge(folder, manifest, taken):
    """What to do with a delivery, in one word."""
    number, files = manifest["delivery"], manifest["files"]
    if any(f["name"] in ("", ".", "..") or "/" in f["name"] for f in files):
        return "unsafe"
    if number in taken:
        same = taken[number] == {f["name"]: f["sha256"] for f in files}
        return "repeated" if same else "conflict"
    word = "complete"
    for f in files:
        path = Path(folder, f["name"])
        if not path.exists() or path.stat().st_size < f["bytes"]:
            return "waiting"
        if hashlib.sha256(path.read_bytes()).hexdigest() != f["sha256"]:
            word = "damaged"
    return word


def from_handler(message):
    """A delay as the handler sends it, in canonical words."""
    extra = dict(message)
    station, late = extra.pop("station"), extra.pop("late", None)
    code = extra.pop("code", None)
    if station not in ZONES or code not in (None, *CAUSES):
        raise Refused(f"station {station}, code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=ZoneInfo(ZONES[station])).timestamp()
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": None if late is None else int(late[:2]) * 60 + int(late[2:]),
        "cause": CAUSES.get(code),
        "extra": extra,
    }


# %% [markdown] role="task" exercise="border" points=3 topics=["4.1-5"]
# ### A border for a partner
#
# Write `integrate(db, client, folder)`. It judges the manifests in `folder`, in the order of their names, and
# returns a dictionary: the name of each manifest's file, and the word of `judge`.
#
# | Table | Columns |
# |---|---|
# | `deliveries` | `number`, `hashes` (JSON, `{name: sha256}`): what was taken |
# | `outbox` | `body` (JSON) and others, as before |
# | `refusals` | `delivery`, `file`, `line` (from 1), `reason` (a text that tells faults apart), `original` (the text of the line) |
#
# Take a complete delivery as a whole or not at all. Each line of each file goes into `outbox`, translated by
# `from_handler`. A line that is no JSON, breaks the contract `HANDLER`, or cannot be translated goes into
# `refusals`; `NaN` and `\u0000` do not occur. Files are in UTF-8. Other words change nothing.
#
# At the end, `set_delays(db, client, [])` publishes what waits in `outbox`. After a power cut, the next call
# brings all in order, and nothing is taken twice.
#
# Why: it replaces a nightly script that somebody has to watch.


# %%
def crossed(deliveries, files, cuts=False):
    """Words, messages and refusals of your integrate, called again and again.

    deliveries: {manifest's file: (number, names)}; files: {name: text}. With cuts, the power fails
    before step 1, 2, … of the first call: the first case that ends otherwise, or the last.
    """
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_bytes(text.encode())
        for manifest, (number, names) in deliveries.items():
            listed = [
                {
                    "name": name,
                    "bytes": len(files.get(name, "").encode()),
                    "sha256": hashlib.sha256(files.get(name, "").encode()).hexdigest(),
                }
                for name in names
            ]
            told = json.dumps({"delivery": number, "files": listed})
            Path(folder, manifest).write_text(told)
        for cut in [None, *range(1, 100)] if cuts else [None]:
            fresh()
            Power.cut, words = cut, None
            with suppress(PowerCut):
                words = integrate(db, client, folder)
            Power.cut = None
            integrate(db, client, folder)
            sent = {
                e["message"]: json.loads(e["body"]) for _, e in queue.xrange("delays")
            }
            rows = admin.execute(
                "SELECT delivery, file, line, original, reason FROM refusals"
                " WHERE reason <> '' ORDER BY delivery, file, line"
            ).fetchall()
            end = {"sent": [*sent.values()], "refused": [[*row[:4]] for row in rows]}
            end["reasons"] = len({row[4] for row in rows})
            ends.append(end | {"again": integrate(db, client, folder)})
            if ends[-1] != ends[0] or (cut and words):
                break
    return ends[-1] | {"words": words}


# %% role="answer" exercise="border" dialect="postgres"
def integrate(
    db: psycopg.Connection, client: redis.Redis, folder: str
) -> dict[str, str]:
    """Take all complete deliveries from a folder, and publish what they say."""
    ### BEGIN SOLUTION
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words
    ### END SOLUTION


# %% role="check" exercise="border"
with lab.check("border") as answer:
    answer.value("integrate")
    base = {"airline": "US", "number": "0015", "station": "PHX", "date": "2013-07-04"}
    base |= {"std": "0700", "late": "0012", "code": "41"}
    words = {"flight": "US15", "origin": "PHX", "delay": 12, "cause": "defect"}
    words |= {"scheduled": "2013-07-04T14:00:00+00:00", "extra": {}}
    good, more = json.dumps(base), json.dumps({**base, "seat": "7A"})
    bad = ["{", json.dumps({**base, "late": 12}), json.dumps({**base, "code": "99"})]
    bad.append(json.dumps({**base, "date": "2013-02-30"}))
    files = {
        "a.jsonl": "\n".join([*bad, good]),
        "b.jsonl": more + "\n",
        "stray.jsonl": good,
    }
    first = {"1.manifest.json": ("PHX-1", ["a.jsonl", "b.jsonl"])}
    rest = {
        "2.manifest.json": ("PHX-1", ["a.jsonl", "b.jsonl"]),
        "3.manifest.json": ("PHX-1", ["b.jsonl"]),
        "4.manifest.json": ("PHX-2", ["b.jsonl", "late.jsonl"]),
    }
    found = answer.call("crossed", first | rest, files)
    answer.equal(
        found["words"],
        dict(
            zip(
                first | rest,
                ["complete", "repeated", "conflict", "waiting"],
                strict=True,
            )
        ),
        asked="a word for each of four manifests: two files, the same again, one of them, one missing",
    )
    answer.equal(
        found["refused"],
        [["PHX-1", "a.jsonl", place, line] for place, line in enumerate(bad, 1)],
        asked="the four refused lines of one delivery, with file, line, original and a reason",
    )
    answer.true(
        found["reasons"] > 1,
        asked="reasons that tell different faults apart",
        found="the same reason for each refused line",
    )
    answer.equal(
        found["sent"],
        [words, words | {"extra": {"seat": "7A"}}],
        asked="a message for each of the two good lines, in their order",
    )
    files = {"a.jsonl": f"{bad[0]}\n{good}", "b.jsonl": more}
    found = answer.call("crossed", first, files, True)
    answer.equal(
        [found["sent"], len(found["refused"]), found["again"]],
        [
            [words, words | {"extra": {"seat": "7A"}}],
            1,
            {"1.manifest.json": "repeated"},
        ],
        asked="messages and number of refused lines one call after a power cut anywhere, and the words of a third call",
    )

# %% role="hidden" exercise="border"
with lab.check("border", hidden=True) as answer:
    answer.value("integrate")
    draw, sent, refused, files, deliveries = answer.random, [], [], {}, {}
    for number in range(3):
        name, lines = f"Ñ {number}.jsonl", []
        for place in range(1, draw.randint(3, 9)):
            minutes, kind = (
                draw.randint(0, 999),
                draw.choice(["good", "good", "list", "std"]),
            )
            message = {
                "airline": "9E",
                "number": f"{place:04}",
                "station": "DEN",
                "ü": "é",
            }
            message |= {
                "date": "2013-01-05",
                "std": "2400" if kind == "std" else "2359",
            }
            message |= {"late": f"{minutes // 60:02}{minutes % 60:02}"}
            line = "[]" if kind == "list" else json.dumps(message, ensure_ascii=False)
            lines.append(line)
            if kind != "good":
                refused.append([f"DEN-{number}", name, place, line])
                continue
            words = {
                "flight": f"9E{place}",
                "origin": "DEN",
                "delay": minutes,
                "cause": None,
            }
            words |= {"scheduled": "2013-01-06T06:59:00+00:00", "extra": {"ü": "é"}}
            sent.append(words)
        files[name] = "\n".join(lines)
        deliveries[f"{number}.manifest.json"] = (f"DEN-{number}", [name])
    deliveries["9.manifest.json"] = ("DEN-9", [])
    found = answer.call("crossed", deliveries, files)
    answer.equal(
        found["sent"], sent, asked="a message for each good line of three deliveries"
    )
    answer.equal(
        found["refused"], refused, asked="each line with a fault of three deliveries"
    )
    answer.equal(
        [found["words"], found["again"]],
        [dict.fromkeys(deliveries, word) for word in ("complete", "repeated")],
        asked="the words of four deliveries, and of a second call; one has no files",
    )

# %% [markdown] role="hint" exercise="border"
# If the power fails after the delivery is committed and before it is published: what does the next call
# find, and what must it still do?

# %% [markdown] role="hint" exercise="border"
# `Path(folder).glob("*.manifest.json")` finds manifests. psycopg reads `jsonb` as a dictionary, and takes
# `json.dumps(…)` for it. `json.loads` and `datetime.strptime` raise `ValueError`, `HANDLER.validate` raises
# `jsonschema.ValidationError`.

# %% [markdown] role="hint" exercise="border"
# ```python
# taken, words = dict(db.execute(...).fetchall()), {}
# for path in sorted(...):
#     manifest = json.loads(path.read_text())
#     words[path.name] = judge(...)
#     if ...:
#         continue
#     with db.transaction():
#         ...  # the delivery
#         for name in ...:
#             for place, line in enumerate(..., 1):
#                 try:
#                     ...
#                 except (...) as error:
#                     ...
# ...
# return words
# ```


# %% role="right" exercise="border"
def integrate(db, client, folder):
    words = {}

    def take(number, files):
        known = {f["name"]: f["sha256"] for f in files}
        good, bad = [], []
        for name in known:
            with open(Path(folder) / name, encoding="utf-8") as lines:
                for place, line in enumerate(lines, 1):
                    line = line.rstrip("\n")
                    try:
                        message = json.loads(line)
                        faults = list(HANDLER.iter_errors(message))
                        if faults:
                            raise Refused(faults[0].message)
                        good.append([json.dumps(from_handler(message))])
                    except Exception as error:
                        bad.append([number, name, place, repr(error), line])
        with db.transaction(), db.cursor() as cursor:
            cursor.execute(
                "INSERT INTO deliveries (number, hashes) VALUES (%s, %s)",
                [number, psycopg.types.json.Jsonb(known)],
            )
            cursor.executemany("INSERT INTO outbox (body) VALUES (%s)", good)
            cursor.executemany(
                "INSERT INTO refusals (delivery, file, line, reason, original)"
                " VALUES (%s, %s, %s, %s, %s)",
                bad,
            )

    for name in sorted(p.name for p in Path(folder).iterdir()):
        if name.endswith(".manifest.json"):
            manifest = json.loads(Path(folder, name).read_bytes())
            taken = {
                n: h for n, h in db.execute("SELECT number, hashes FROM deliveries")
            }
            words[name] = judge(folder, manifest, taken)
            if words[name] == "complete":
                take(manifest["delivery"], manifest["files"])
    set_delays(db, client, [])
    return words


# %% [markdown] role="equivalent" exercise="border" reason="dict reads the rows of a cursor, too"
# - taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
# + taken = dict(db.execute("SELECT number, hashes FROM deliveries"))


# %% role="wrong" exercise="border" misconception="One bad line spoils the delivery" caught="check" says="JSONDecodeError"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for line in lines:
                    if True:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="The contract catches everything" caught="check" says="ValueError"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (
                        json.JSONDecodeError,
                        Refused,
                        jsonschema.ValidationError,
                    ) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="A translator is a contract" caught="check" says="TypeError"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="A delivery is taken when it is noted" caught="check" says="power cut anywhere"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        if True:
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="Note the delivery when its lines are done" caught="check" says="power cut anywhere"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
        keep = "INSERT INTO deliveries VALUES (%s, %s)"
        db.execute(keep, [number, json.dumps(taken[number])])
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="Publish when there was something to take" caught="check" says="power cut anywhere"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    if "complete" in words.values():
        set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="What lies in the folder was delivered" caught="check" says="a message for each"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in sorted(p.name for p in Path(folder).glob("*.jsonl")):
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="Only what was taken before can be repeated" caught="check" says="a word for each"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words, known = {}, dict(taken)
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, known)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(
                f"{keep} ON CONFLICT DO NOTHING", [number, json.dumps(taken[number])]
            )
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), line]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% role="wrong" exercise="border" misconception="Refused is good enough, the text is not needed" caught="check" says="the four refused lines"
def integrate(db, client, folder):
    taken = dict(db.execute("SELECT number, hashes FROM deliveries").fetchall())
    words = {}
    for path in sorted(Path(folder).glob("*.manifest.json")):
        manifest = json.loads(path.read_text())
        words[path.name] = word = judge(folder, manifest, taken)
        if word != "complete":
            continue
        number = manifest["delivery"]
        taken[number] = {f["name"]: f["sha256"] for f in manifest["files"]}
        with db.transaction():
            keep = "INSERT INTO deliveries VALUES (%s, %s)"
            db.execute(keep, [number, json.dumps(taken[number])])
            for name in taken[number]:
                lines = Path(folder, name).read_text().splitlines()
                for place, line in enumerate(lines, 1):
                    try:
                        message = json.loads(line)
                        HANDLER.validate(message)
                        body = json.dumps(from_handler(message))
                        db.execute("INSERT INTO outbox (body) VALUES (%s)", [body])
                    except (ValueError, Refused, jsonschema.ValidationError) as error:
                        row = [number, name, place, str(error), None]
                        db.execute(
                            "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s)", row
                        )
    set_delays(db, client, [])
    return words


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | listen | old entries first; acknowledge after the effect |
# | tell | change and message in one transaction |
# | go on | dead letters with a reason, an inbox |
# | guard a border | one transaction for each delivery |
#
# | Need | Pattern | Price |
# |---|---|---|
# | many listeners | stream with groups | watch `pending` and `dead` |
# | a change and its message | outbox and relay | repeats |
#
# **New words.** *Consumer group*: readers that share a stream. *Outbox*, *inbox*: tables of messages to send, and of those
# handled. *Poison message*: it kills each worker. *Dead-letter channel*: where it ends.
#
# **Read on.** C. Richardson, *Microservices Patterns*, chapter 3 (2018). Valkey documentation, "Introduction to Valkey
# Streams". G. Hohpe, B. Woolf, *Enterprise Integration Patterns* (2003).

# %%
lab.close()
