# %% [markdown] minutes=60 datasets=["departure-events"] systems=["storm", "samza"]
# # Storm and Samza
#
# A counter says 24 departures, and the log has 20: what failed was sent again, and counted again. Storm (2011) and Samza
# (2013) invented how a stream recovers. You build what they found, and meet it again in every engine since.

# %% [markdown]
# ## You will be able to
#
# - tell from one number that a tree of messages is done (exercise 1)
# - send again what failed, without a flood and not for ever (exercise 2)
# - count a batch once that comes twice with other content (exercise 3)
# - say what a task's state is after a crash (exercise 4)
# - write a stateful step that runs in both engines (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the labs *Event time* and *Exactly once* | windows, watermarks, repeats |
# | the lab *Kafka* | topics, offsets, compaction |
#
# Storm and Samza are the real ones (label: engine). Storm runs as a local cluster in one JVM, Samza beside a Kafka broker; spouts, bolts and tasks
# are Python. Departures are real, arrival times invented.

# %% role="setup"
import contextlib
import json
import pathlib
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta

import cloudpickle
import matplotlib.pyplot as plt
from kafka import TopicPartition
from kafka.admin import NewTopic

from labkit import dataset, engines, open_lab, picture
from labkit.services import service
from labkit.services.storm import Component

lab = open_lab("04-3-processing/11-storm-and-samza")
EVENTS = dataset("departure-events").arrow().to_pylist()  # in order of arrival
lab

# %% [markdown] topics=["4.3-4.2"]
# ## A number that becomes zero
#
# In Storm, a *spout* emits *tuples*, *bolts* take them and emit others; together they are a *topology*. One tuple grows into a tree: a departure becomes a row for its airport and
# one for its airline. The spout wants to know when the *whole* tree is done, or that a part of it failed.
#
# Storm does not store the tree. Each tuple has a random number of 64 bits. An *acker* keeps one value for each tree: the exclusive or (XOR, in Python `^`) of all it hears. A tuple's
# number comes twice, when it is emitted and when it is acked, and `x ^ x` is 0. When the value is 0, all is done: some 20 bytes, however large the tree.
#
# **Predict:** the tree below has three tuples, with the numbers 5, 3 and 3. After which message is the value 0?

# %%
for numbers in (
    (5, 3, 3),
    (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
):
    root, left, right = numbers
    messages = {"spout emits": root, "bolt acks, emits two": root ^ left ^ right}
    messages |= {"left is acked": left, "right is acked": right}
    value, zeros = 0, []
    for name, number in messages.items():
        value ^= number
        zeros += [name] if value == 0 else []
    print(*(f"{number:x}" for number in numbers), "- zero after:", zeros)

# %% [markdown]
# With small numbers, two tuples have the same one by chance: 3 ^ 3 is 0, and the tree counts as done while both are on their way. With 64 random bits, that chance is one in 2⁶⁴.

# %% [markdown] role="task" exercise="told" points=3 topics=["4.3-4.2"]
# ### The acker
#
# Write `told(log, timeout)`. `log` has what an acker hears, dictionaries in the order of arrival; `time` (seconds) never falls.
#
# - `{"kind": "emit", "time", "root", "xor"}`: the spout has emitted the root of a tree.
# - `{"kind": "ack", "time", "root", "xor"}`: a bolt has acked a tuple; `xor` is of its number and those of all tuples that it emitted. It may come before its tree's `emit`.
# - `{"kind": "fail", "time", "root"}`: a bolt gives up; always after `emit`.
#
# Return what the spout is told, as a list of `[time, root, word]` in the order of telling: `"ack"` at the message that makes the value of an emitted tree 0, `"fail"` at a `fail`.
# A tree that is open `timeout` seconds after its `emit` fails at that very second, before any message of that time. Each tree is told of once; what comes for it later is ignored. What is still open when the log ends is not
# told of.
#
# Example: emit of root 1 with 5 at 0, ack with 5 ^ 3 at 1, ack with 3 at 2: `[[2, 1, "ack"]]`; with `timeout` 2 it is `[[2, 1, "fail"]]`.
#
# Why: "done" of a whole pipeline, for the price of one number.


# %% role="answer" exercise="told"
def told(log: list[dict], timeout: int) -> list[list]:
    """What the spout is told of its trees."""
    ### BEGIN SOLUTION
    emitted, value, found, done = {}, Counter(), [], set()
    for entry in log:
        for root, at in list(emitted.items()):
            if entry["time"] >= at + timeout:
                found.append([at + timeout, root, "fail"])
                done.add(root)
                del emitted[root]
        root = entry["root"]
        if root in done:
            continue
        if entry["kind"] == "emit":
            emitted[root] = entry["time"]
        failed = entry["kind"] == "fail"
        if not failed:
            value[root] ^= entry["xor"]
        if failed or (root in emitted and value[root] == 0):
            found.append([entry["time"], root, "fail" if failed else "ack"])
            done.add(root)
            del emitted[root]
    return found
    ### END SOLUTION


# %% role="check" exercise="told"
with lab.check("told") as answer:
    answer.value("told")
    for script, timeout, expected in [
        ("0 emit 1 5, 1 ack 1 6, 2 ack 1 3", 9, "2 1 ack"),
        ("0 emit 1 5, 1 ack 1 6, 2 ack 1 3", 2, "2 1 fail"),
        (
            "0 ack 1 6, 0 ack 1 3, 3 emit 1 5, 4 emit 2 7, 4 ack 2 7",
            9,
            "3 1 ack, 4 2 ack",
        ),
        ("0 ack 1 0, 1 emit 1 4, 2 ack 1 4", 9, "2 1 ack"),
        (
            "0 emit 1 5, 1 fail 1, 2 ack 1 5, 3 emit 2 8, 4 ack 2 8, 4 ack 2 8",
            9,
            "1 1 fail, 4 2 ack",
        ),
        (
            "0 emit 1 5, 1 emit 2 6, 2 emit 3 7, 11 ack 3 7",
            10,
            "10 1 fail, 11 2 fail, 11 3 ack",
        ),
        (
            "0 emit 1 5, 8 ack 1 3, 9 emit 2 4, 30 fail 2, 31 ack 1 6",
            10,
            "10 1 fail, 19 2 fail",
        ),
        ("0 emit 1 5, 1 ack 2 9", 10, ""),
        (
            "3 ack 1 6, 7 emit 1 5, 9 emit 2 4, 16 ack 1 3, 20 ack 2 4",
            10,
            "16 1 ack, 19 2 fail",
        ),
        ("0 emit 1 5, 1 ack 1 5, 2 fail 1, 3 ack 1 5", 10, "1 1 ack"),
    ]:
        log = []
        for text in script.split(", "):
            time, kind, root, *number = text.split()
            entry = {"kind": kind, "time": int(time), "root": int(root)}
            log.append(entry | ({"xor": int(number[0])} if number else {}))
        rows = [text.split() for text in expected.split(", ") if text]
        answer.equal(
            [list(row) for row in answer.call("told", log, timeout)],
            [[int(time), int(root), word] for time, root, word in rows],
            asked=f"what the spout is told with timeout {timeout} after (time, kind, root, xor): {script}",
        )

# %% role="hidden" exercise="told"
with lab.check("told", hidden=True) as answer:
    answer.value("told")
    draw, log = answer.random, []
    for root in range(30):
        at = draw.randrange(40, 400)
        numbers = [draw.getrandbits(64) for _ in range(draw.randrange(1, 6))]
        log.append({"kind": "emit", "time": at, "root": root, "xor": numbers[0]})
        for place, number in enumerate(numbers):
            children = numbers[1:] if place == 0 else []
            late = at + draw.choice([-40, 0, 1, 5, 20, 70])
            chance = draw.random()
            if chance < 0.05:
                continue  # lost: nobody acks it
            if chance < 0.12:
                log.append({"kind": "fail", "time": late + 80, "root": root})
                continue
            for child in children:
                number ^= child
            log.append({"kind": "ack", "time": late, "root": root, "xor": number})
    order = {id(entry): draw.random() for entry in log}
    log.sort(key=lambda e: (e["time"], e["kind"] == "fail", order[id(e)]))
    timeout, tells = 60, []
    for root in range(30):
        mine = [entry for entry in log if entry["root"] == root]
        start = next(e["time"] for e in mine if e["kind"] == "emit")
        value, seen = 0, False
        for entry in mine:
            if entry["time"] >= start + timeout:
                break
            value ^= entry.get("xor", 0)
            seen = seen or entry["kind"] == "emit"
            if entry["kind"] == "fail" or (seen and value == 0):
                word = "fail" if entry["kind"] == "fail" else "ack"
                tells.append((entry["time"], root, word))
                break
        else:
            entry = None
        ended = tells and tells[-1][1] == root
        if not ended and log[-1]["time"] >= start + timeout:
            tells.append((start + timeout, root, "fail"))
    answer.same_rows(
        [
            dict(zip(("time", "root", "word"), row, strict=True))
            for row in answer.call("told", log, timeout)
        ],
        [dict(zip(("time", "root", "word"), row, strict=True)) for row in tells],
        key=["root"],
        asked="what the spout is told of 30 trees, timeout 60",
    )

# %% [markdown] role="hint" exercise="told"
# What must you remember of a tree whose first bolt was quicker than the news of its spout? And of a tree that was told of?

# %% [markdown] role="hint" exercise="told"
# `Counter()` gives 0 for a tree that is new: `value[root] ^= …` works at once. Look for trees that are over their time first, at each entry; a dictionary keeps the order of `emit`.

# %% [markdown] role="hint" exercise="told"
# ```python
# emitted, value, found, done = {}, Counter(), [], set()
# for entry in log:
#     for root, at in list(emitted.items()):
#         if ...:
#             found.append([at + timeout, root, "fail"])
#             ...
#     root = entry["root"]
#     if root in done:
#         continue
#     ...
#     ...
#     if ...:
#         ...
# return found
# ```


# %% role="right" exercise="told"
def told(log, timeout):
    trees, found = {}, []
    for entry in log:
        now = entry["time"]
        over = [r for r, t in trees.items() if t["at"] is not None and not t["told"]]
        for root in sorted(over, key=lambda r: trees[r]["at"]):
            if trees[root]["at"] + timeout <= now:
                trees[root]["told"] = True
                found.append((trees[root]["at"] + timeout, root, "fail"))
        tree = trees.setdefault(entry["root"], {"at": None, "xor": 0, "told": False})
        if tree["told"]:
            continue
        if entry["kind"] == "fail":
            word = "fail"
        else:
            tree["at"] = now if entry["kind"] == "emit" else tree["at"]
            tree["xor"] = tree["xor"] ^ entry["xor"]
            word = "ack" if tree["at"] is not None and not tree["xor"] else ""
        if word:
            tree["told"] = True
            found.append((now, entry["root"], word))
    return found


# %% role="wrong" exercise="told" misconception="The value is 0, so the tree is done, whoever has spoken" caught="check" says="0 ack 1 0"
def told(log, timeout):
    emitted, value, found, done = {}, Counter(), [], set()
    for entry in log:
        for root, at in list(emitted.items()):
            if entry["time"] >= at + timeout:
                found.append([at + timeout, root, "fail"])
                done.add(root)
                del emitted[root]
        root = entry["root"]
        if root in done:
            continue
        if entry["kind"] == "emit":
            emitted[root] = entry["time"]
        value[root] ^= entry.get("xor", 0)
        failed = entry["kind"] == "fail"
        if failed or value[root] == 0:
            found.append([entry["time"], root, "fail" if failed else "ack"])
            done.add(root)
            emitted.pop(root, None)
    return found


# %% role="wrong" exercise="told" misconception="What comes before the emit is noise" caught="check" says="0 ack 1 6"
def told(log, timeout):
    emitted, value, found, done = {}, Counter(), [], set()
    for entry in log:
        for root, at in list(emitted.items()):
            if entry["time"] >= at + timeout:
                found.append([at + timeout, root, "fail"])
                done.add(root)
                del emitted[root]
        root = entry["root"]
        if root in done:
            continue
        if entry["kind"] == "emit":
            emitted[root] = entry["time"]
        if root not in emitted:
            continue
        value[root] ^= entry.get("xor", 0)
        failed = entry["kind"] == "fail"
        if failed or value[root] == 0:
            found.append([entry["time"], root, "fail" if failed else "ack"])
            done.add(root)
            del emitted[root]
    return found


# %% role="wrong" exercise="told" misconception="The clock of a tree starts with the first that is heard of it" caught="check" says="3 ack 1 6"
def told(log, timeout):
    trees, found = {}, []
    for entry in log:
        for root, tree in trees.items():
            over = tree["at"] + timeout
            if tree["open"] and tree["emitted"] and over <= entry["time"]:
                found.append([over, root, "fail"])
                tree["open"] = False
        fresh = {"at": entry["time"], "value": 0, "emitted": False, "open": True}
        tree = trees.setdefault(entry["root"], fresh)
        tree["emitted"] |= entry["kind"] == "emit"
        tree["value"] ^= entry.get("xor", 0)
        failed = entry["kind"] == "fail"
        if tree["open"] and (failed or (tree["emitted"] and tree["value"] == 0)):
            found.append([entry["time"], entry["root"], "fail" if failed else "ack"])
            tree["open"] = False
    return found


# %% role="wrong" exercise="told" misconception="The first ack is the tuple's ack" caught="check" says="1 ack 1 6"
def told(log, timeout):
    emitted, found = {}, []
    for entry in log:
        for root, at in list(emitted.items()):
            if entry["time"] >= at + timeout:
                found.append([at + timeout, root, "fail"])
                del emitted[root]
        root = entry["root"]
        if entry["kind"] == "emit":
            emitted[root] = entry["time"]
        elif root in emitted:
            found.append([entry["time"], root, entry["kind"]])
            del emitted[root]
    return found


# %% role="wrong" exercise="told" misconception="A timeout is found when the late message comes" caught="check" says="11 ack 3 7"
def told(log, timeout):
    emitted, value, found, done = {}, Counter(), [], set()
    for entry in log:
        root = entry["root"]
        if root in done:
            continue
        if entry["kind"] == "emit":
            emitted[root] = entry["time"]
        value[root] ^= entry.get("xor", 0)
        if root not in emitted:
            continue
        over = entry["time"] >= emitted[root] + timeout
        failed = entry["kind"] == "fail" or over
        if failed or value[root] == 0:
            at = emitted[root] + timeout if over else entry["time"]
            found.append([at, root, "fail" if failed else "ack"])
            done.add(root)
            del emitted[root]
    return found


# %% [markdown] topics=["4.3-4.2"]
# ## Sent again, counted again
#
# When a tree fails, Storm calls the spout's `fail(id)`; what to do is the spout's affair. It has to keep what it emitted until it hears of it, and emit it again. That is *at least once*.
#
# The bolt below counts 20 departures. Each fifth time it has counted, and then fails: a database was gone, say.
#
# **Predict:** the counter's last word?

# %%
storm = service("storm")
WORK = tempfile.TemporaryDirectory(prefix="storm-lab-")
HOME = pathlib.Path(WORK.name)
SPOUT = """
import cloudpickle, json, pathlib, storm

class Lines(storm.Spout):
    def initialize(self, conf, context):
        self.spout = cloudpickle.loads(pathlib.Path(conf["spout"]).read_bytes())
    def nextTuple(self):
        found = self.spout.next()
        if found:
            storm.emit([found[1]["origin"], json.dumps(found[1])], id=found[0])
    def ack(self, id):
        self.spout.ack(id)
    def fail(self, id):
        self.spout.fail(id)

Lines().run()
"""
BOLT = """
import cloudpickle, json, pathlib, storm

class Lines(storm.Bolt):
    def initialize(self, conf, context):
        self.work = cloudpickle.loads(pathlib.Path(conf["bolt"]).read_bytes())
        self.out = open(conf["out"], "a", buffering=1)
    def process(self, tup):
        try:
            self.out.write(json.dumps(self.work(json.loads(tup.values[1]))) + "\\n")
            storm.ack(tup)
        except OSError:
            storm.fail(tup)

Lines().run()
"""
(HOME / "spout.py").write_text(SPOUT)
(HOME / "bolt.py").write_text(BOLT)
RUNS = []


def topology(spout, bolt, end):
    """Run spout -> bolt in Storm until end(lines) holds; what the bolt returned, line by line."""
    name = f"departures-{len(RUNS)}"
    RUNS.append(name)
    files = {key: str(HOME / f"{name}.{key}") for key in ("spout", "bolt", "out")}
    for key, part in (("spout", spout), ("bolt", bolt)):
        pathlib.Path(files[key]).write_bytes(cloudpickle.dumps(part))
    out = pathlib.Path(files["out"])
    out.touch()
    bolt = Component(HOME / "bolt.py", reads={"lines": ("origin",)})
    emits = ("origin", "event")
    storm.submit(name, files, lines=Component(HOME / "spout.py", emits), count=bolt)
    storm.wait(lambda: out.read_text().splitlines(), end)
    storm.kill_topology(name)
    return [json.loads(line) for line in out.read_text().splitlines()]


class Stubborn:
    """A spout that sends each event again until it hears that it is done."""

    def __init__(self, events):
        self.left = [*enumerate(events)][::-1]
        self.pending = {}

    def next(self):
        if self.left:
            number, event = self.left.pop()
            self.pending[number] = event
            return number, event

    def ack(self, number):
        self.pending.pop(number, None)

    def fail(self, number):
        self.left.append((number, self.pending[number]))


class Forgetful:
    """Counts, writes the count, and each fifth time fails after that."""

    def __init__(self, file):
        self.count, self.file = 0, file

    def __call__(self, event):
        self.count += 1
        with open(self.file, "a") as sink:
            sink.write(f"{self.count}\n")
        if self.count % 5 == 0:
            raise OSError("the database is gone")
        return event["event"]


SMALL = [{"event": e["event"], "origin": e["origin"]} for e in EVENTS[:20]]
lines = topology(
    Stubborn(SMALL), Forgetful(str(HOME / "count")), lambda out: len(out) == 20
)
print(len(set(lines)), "departures were acked")
print("the counter says", (HOME / "count").read_text().split()[-1])

# %% [markdown]
# Nothing was lost, and four departures count twice. The spout needs two more things in production: a limit on what is on its way (Storm's `topology.max.spout.pending`), and an end for a message that fails always. Storm leaves
# the second to the spout (its Kafka spout has `maxRetries`). A spout without one sends a *poison* message round for ever.

# %% [markdown] role="task" exercise="spout" points=3 topics=["4.3-4.2"]
# ### A spout that keeps its word
#
# Write `departures(events, most, tries)`. It returns an object, a spout as `Stubborn` above: with the methods `next`, `ack` and `fail`, and the list `dead`. The id of an event is its place in the list `events`.
#
# - `next()` returns `(id, event)`, or `None` if there is nothing to send or if `most` ids are on their way: sent, neither acked nor failed. What failed goes first, in the order of failing, then what is new, in order.
# - `ack(id)`: it is done. `fail(id)`: it will be sent again; but after `tries` sendings in all its id goes to `dead` instead.
# - An id that is not on its way is ignored by both: after a timeout, an ack may come for a tuple that was given up.
#
# Example: with two events, `most` 1 and `tries` 2: next gives 0, next gives `None`; fail 0, next gives 0; fail 0, next gives 1, and `dead` is `[0]`.
#
# Why: without the first limit a slow bolt drowns; without the second, one bad message stops a day.


# %%
def moves(events, most, tries, script):
    """What a spout's next() gave, and what is dead, after words as "next" and "fail 0"."""
    spout, found = departures(events, most, tries), []
    for move in script:
        word, _, number = move.partition(" ")
        if word == "next":
            given = spout.next()
            found.append(given if given is None else list(given))
        else:
            (spout.ack if word == "ack" else spout.fail)(int(number))
    return {"next": found, "dead": list(spout.dead)}


# %% role="answer" exercise="spout"
def departures(events: list[dict], most: int, tries: int) -> object:
    """A spout that sends each event until it is done, or dead."""

    ### BEGIN SOLUTION
    class Spout:
        def __init__(self):
            self.queue, self.failed, self.dead = list(range(len(events))), [], []
            self.pending, self.sent = set(), Counter()

        def next(self):
            waiting = self.failed or self.queue
            if not waiting or len(self.pending) >= most:
                return None
            number = waiting.pop(0)
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            if number in self.pending:
                self.pending.remove(number)
                again = self.sent[number] < tries
                (self.failed if again else self.dead).append(number)

    return Spout()
    ### END SOLUTION


# %% role="check" exercise="spout"
with lab.check("spout") as answer:
    answer.value("departures")
    for most, tries, script, given, dead in [
        (1, 2, "next, next, fail 0, next, fail 0, next", "0 - 0 1", [0]),
        (
            9,
            3,
            "next, next, fail 1, fail 0, next, next, next, next, next",
            "0 1 1 0 2 3 -",
            [],
        ),
        (
            2,
            3,
            "next, next, next, ack 1, next, ack 0, ack 2, next, ack 3, next",
            "0 1 - 2 3 -",
            [],
        ),
        (1, 2, "next, ack 0, fail 0, next, fail 7, fail 1, ack 1, next", "0 1 1", []),
        (3, 1, "next, next, fail 1, fail 0, next, fail 2, ack 2", "0 1 2", [1, 0, 2]),
        (
            2,
            3,
            "next, fail 0, fail 0, next, fail 0, next, fail 0, next",
            "0 0 0 1",
            [0],
        ),
        (0, 3, "next, next", "- -", []),
    ]:
        events = [{"event": f"D{n}"} for n in range(4)]
        found = answer.call("moves", events, most, tries, script.split(", "))
        said = f"of four events, with most {most} and tries {tries}, after: {script}"
        answer.equal(
            [row and [row[0], row[1]] for row in found["next"]],
            [None if n == "-" else [int(n), events[int(n)]] for n in given.split()],
            asked=f"what next() gives, {said}",
        )
        answer.equal(found["dead"], dead, asked=f"the dead {said}")

# %% role="hidden" exercise="spout"
with lab.check("spout", hidden=True) as answer:
    answer.value("departures")
    draw = answer.random
    most, tries = draw.randrange(2, 5), draw.randrange(2, 4)
    events = [{"event": f"Ø{n}"} for n in range(12)]
    new, again, on_way, sent, dead = [*range(12)], [], [], [0] * 12, []
    script, given = [], []
    for _ in range(120):
        if on_way and draw.random() < 0.6:
            number = draw.choice(on_way)
            word = draw.choice(["ack", "fail", "fail"])
            on_way.remove(number)
            if word == "fail":
                (dead if sent[number] >= tries else again).append(number)
            script.append(f"{word} {number}")
            continue
        script.append("next")
        source = again if again else new
        if len(on_way) < most and source:
            number, source[:] = source[0], source[1:]
            on_way.append(number)
            sent[number] += 1
            given.append([number, events[number]])
        else:
            given.append(None)
    found = answer.call("moves", events, most, tries, script)
    said = f"in 120 moves with most {most} and tries {tries}"
    answer.equal(
        [row and [row[0], row[1]] for row in found["next"]],
        given,
        asked=f"what next() gives {said}",
    )
    answer.equal(found["dead"], dead, asked=f"the dead {said}")

# %% [markdown] role="hint" exercise="spout"
# Which of an id's five states (new, on its way, failed, done, dead) must you store, and which follows from the others?

# %% [markdown] role="hint" exercise="spout"
# Two lists in order (new, failed), one set (on its way) and a `Counter` of sendings are enough. `self.failed or self.queue` is the list to take from.

# %% [markdown] role="hint" exercise="spout"
# ```python
# class Spout:
#     def __init__(self):
#         self.queue, self.failed, self.dead = list(range(len(events))), [], []
#         self.pending, self.sent = set(), Counter()
#
#     def next(self):
#         waiting = ...
#         if ...:
#             return None
#         number = waiting.pop(0)
#         ...
#         return number, events[number]
#
#     def ack(self, number): ...
#
#     def fail(self, number):
#         if number in self.pending: ...
#
# return Spout()
# ```


# %% role="right" exercise="spout"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.state = dict.fromkeys(range(len(events)), "new")
            self.order, self.left, self.dead = [], {}, []

        def next(self):
            if list(self.state.values()).count("sent") >= most:
                return None
            new = [n for n, state in self.state.items() if state == "new"]
            for number in self.order + new:
                self.order = [n for n in self.order if n != number]
                self.state[number] = "sent"
                self.left[number] = self.left.get(number, tries) - 1
                return number, events[number]

        def ack(self, number):
            if self.state.get(number) == "sent":
                self.state[number] = "done"

        def fail(self, number):
            if self.state.get(number) != "sent":
                return
            if self.left[number] > 0:
                self.state[number] = "failed"
                self.order.append(number)
            else:
                self.state[number] = "dead"
                self.dead.append(number)

    return Spout()


# %% role="wrong" exercise="spout" misconception="What is given up may be forgotten" caught="check" says="the dead"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.queue, self.failed, self.dead = list(range(len(events))), [], []
            self.pending, self.sent = set(), Counter()

        def next(self):
            waiting = self.failed or self.queue
            if not waiting or len(self.pending) >= most:
                return None
            number = waiting.pop(0)
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            if number in self.pending:
                self.pending.remove(number)
                if self.sent[number] < tries:
                    self.failed.append(number)

    return Spout()


# %% role="wrong" exercise="spout" misconception="What failed goes behind what waits" caught="check" says="what next() gives"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.queue, self.dead = list(range(len(events))), []
            self.pending, self.sent = set(), Counter()

        def next(self):
            if not self.queue or len(self.pending) >= most:
                return None
            number = self.queue.pop(0)
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            if number in self.pending:
                self.pending.remove(number)
                again = self.sent[number] < tries
                (self.queue if again else self.dead).append(number)

    return Spout()


# %% role="wrong" exercise="spout" misconception="The engine never speaks of a tuple twice" caught="check" says="ack 0, fail 0"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.queue, self.failed, self.dead = list(range(len(events))), [], []
            self.pending, self.sent = set(), Counter()

        def next(self):
            waiting = self.failed or self.queue
            if not waiting or len(self.pending) >= most:
                return None
            number = waiting.pop(0)
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            self.pending.discard(number)
            again = self.sent[number] < tries
            (self.failed if again else self.dead).append(number)

    return Spout()


# %% role="wrong" exercise="spout" misconception="A stack is as good as a queue" caught="check" says="fail 1, fail 0"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.queue, self.dead = list(range(len(events)))[::-1], []
            self.pending, self.sent = set(), Counter()

        def next(self):
            if not self.queue or len(self.pending) >= most:
                return None
            number = self.queue.pop()
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            if number in self.pending:
                self.pending.remove(number)
                again = self.sent[number] < tries
                (self.queue if again else self.dead).append(number)

    return Spout()


# %% role="wrong" exercise="spout" misconception="Tries are repeats, the first sending does not count" caught="check" says="tries 2"
def departures(events, most, tries):
    class Spout:
        def __init__(self):
            self.queue, self.failed, self.dead = list(range(len(events))), [], []
            self.pending, self.sent = set(), Counter()

        def next(self):
            waiting = self.failed or self.queue
            if not waiting or len(self.pending) >= most:
                return None
            number = waiting.pop(0)
            self.pending.add(number)
            self.sent[number] += 1
            return number, events[number]

        def ack(self, number):
            self.pending.discard(number)

        def fail(self, number):
            if number in self.pending:
                self.pending.remove(number)
                again = self.sent[number] <= tries
                (self.failed if again else self.dead).append(number)

    return Spout()


# %% [markdown]
# Your spout in Storm, with a departure that no bolt can take:


# %%
def picky(event):
    """Takes all but one."""
    if event["event"] == SMALL[7]["event"]:
        raise OSError("no airport has that code")
    return event["event"]


if departures(SMALL, 4, 3) is None:
    print("not started")
else:
    lines = topology(departures(SMALL, 4, 3), picky, lambda out: len(out) == 19)
    print(len(lines), "done, one dead; the line does not stop")

# %% [markdown] topics=["4.3-4.2"]
# ## The same batch with other rows
#
# How do you count once what comes twice? Storm's answer was *Trident*: tuples in numbered *batches*, whose results are stored one after the other, each with its number. A repeated number is recognised.
#
# That is simple if a repeated batch has the same rows. But a source that lost a partition may fill batch 7 with other rows the second time. What batch 7 added before must go, without being known any more.
#
# **Predict:** stored is "count 30, batch 7". Batch 7 comes again, with 4 rows instead of 5. What do you need to know?


# %%
def updated(batches):
    """The row after each of these batches, pairs of number and rows."""
    row, found = None, []
    for batch, rows in batches:
        row = update(row, batch, rows)
        found.append(dict(row))
    return found


# %% [markdown] role="task" exercise="opaque" points=2 topics=["4.3-4.2"]
# ### Opaque batches
#
# Write `update(row, batch, rows)`. `row` is what is stored: `None`, or a dictionary with `count`, `before` and `batch`. `rows` is how many rows the batch has now. Return what to store.
#
# - A batch with a larger number than the stored one adds its rows; `before` is the count without them. Before the first batch, the count is 0.
# - The stored batch again replaces what it added before.
# - A smaller number is news of the past: the row stays as it is.
#
# Example: batch 6 with 25 rows, batch 7 with 5, batch 7 with 4: `{"count": 29, "before": 25, "batch": 7}`.
#
# Why: one number more in each row, and any replay is exactly once in its effect.


# %% role="answer" exercise="opaque"
def update(row: dict | None, batch: int, rows: int) -> dict:
    """The row after a batch, whether it is new, again or old."""
    ### BEGIN SOLUTION
    if row is None:
        return {"count": rows, "before": 0, "batch": batch}
    if batch < row["batch"]:
        return row
    before = row["before"] if batch == row["batch"] else row["count"]
    return {"count": before + rows, "before": before, "batch": batch}
    ### END SOLUTION


# %% role="check" exercise="opaque"
with lab.check("opaque") as answer:
    answer.value("update")
    for batches, expected in [
        ([(6, 25), (7, 5), (7, 4)], [(25, 0, 6), (30, 25, 7), (29, 25, 7)]),
        (
            [(0, 3), (0, 5), (1, 1), (1, 1)],
            [(3, 0, 0), (5, 0, 0), (6, 5, 1), (6, 5, 1)],
        ),
        (
            [(2, 3), (1, 9), (2, 0), (5, 2)],
            [(3, 0, 2), (3, 0, 2), (0, 0, 2), (2, 0, 5)],
        ),
        (
            [(4, 10), (4, 10), (4, 7), (3, 1), (5, 2)],
            [(10, 0, 4), (10, 0, 4), (7, 0, 4), (7, 0, 4), (9, 7, 5)],
        ),
    ]:
        names = ("count", "before", "batch")
        answer.equal(
            answer.call("updated", batches),
            [dict(zip(names, row, strict=True)) for row in expected],
            asked=f"the row after each of these batches (number, rows): {batches}",
        )

# %% role="hidden" exercise="opaque"
with lab.check("opaque", hidden=True) as answer:
    answer.value("update")
    batches, expected, number = [], [], answer.random.randrange(50)
    kept = {}
    for _ in range(30):
        number += answer.random.choice([0, 0, 1, 3])
        rows = answer.random.randrange(9)
        batch = number - answer.random.choice([0, 0, 0, 1, 4])
        batches.append((batch, rows))
        if not kept or batch >= max(kept):
            kept[batch] = rows
        total, newest = sum(kept.values()), max(kept)
        expected.append(
            {"count": total, "before": total - kept[newest], "batch": newest}
        )
    answer.equal(
        answer.call("updated", batches),
        expected,
        asked=f"the row after each of these batches (number, rows): {batches}",
    )

# %% [markdown] role="hint" exercise="opaque"
# From which count must the second try of a batch begin?

# %% [markdown] role="hint" exercise="opaque"
# Three cases: the number is smaller, the same, larger. Only `before` differs between the last two.

# %% [markdown] role="hint" exercise="opaque"
# ```python
# if row is None:
#     return ...
# if ...:
#     return row
# before = ... if batch == row["batch"] else ...
# return {"count": ..., "before": before, "batch": batch}
# ```


# %% role="right" exercise="opaque"
def update(row, batch, rows):
    if row is None:
        return dict(count=rows, before=0, batch=batch)
    new = dict(row)
    if batch > row["batch"]:
        new.update(before=row["count"], batch=batch, count=row["count"] + rows)
    elif batch == row["batch"]:
        new["count"] = row["before"] + rows
    return new


# %% role="wrong" exercise="opaque" misconception="A number that was seen is done" caught="check" says="(7, 4)"
def update(row, batch, rows):
    row = row or {"count": 0, "before": 0, "batch": -1}
    if batch <= row["batch"]:
        return row
    return {"count": row["count"] + rows, "before": row["count"], "batch": batch}


# %% role="wrong" exercise="opaque" misconception="Each delivery counts" caught="check" says="(7, 4)"
def update(row, batch, rows):
    row = row or {"count": 0, "before": 0, "batch": -1}
    return {"count": row["count"] + rows, "before": row["count"], "batch": batch}


# %% role="wrong" exercise="opaque" misconception="Another number is another batch, also a smaller one" caught="check" says="(1, 9)"
def update(row, batch, rows):
    row = row or {"count": 0, "before": 0, "batch": -1}
    before = row["before"] if batch == row["batch"] else row["count"]
    return {"count": before + rows, "before": before, "batch": batch}


# %% role="wrong" exercise="opaque" misconception="A repeat begins where the last try ended" caught="check" says="(7, 4)"
def update(row, batch, rows):
    row = row or {"count": 0, "before": 0, "batch": -1}
    if batch < row["batch"]:
        return row
    before = row["before"] if batch == row["batch"] else row["count"]
    return {"count": before + rows, "before": row["count"], "batch": batch}


# %% [markdown] topics=["4.3-4.3"]
# ## State beside its task
#
# Samza has a *task* for each partition of the input topic. A task sees one message at a time, and keeps what it knows in a store on its own disk (RocksDB), so that a count is a local read and no question to a database.
#
# A disk dies with its machine. So each change of the store also goes to a Kafka topic, the *changelog*, which is compacted: the last value of each key, and a *tombstone* (no value) for a key that is gone. A new task reads it
# first. How far the input was read is a *checkpoint*, written now and then.
#
# The task below counts 40 departures of JFK. Then its JVM is killed, before any checkpoint was written; a new one goes on, with the changelog.
#
# **Predict:** the counter's last word?

# %%
samza = service("samza")


def topics(*names):
    """New topics of one partition."""
    with contextlib.closing(samza.kafka.client()) as admin:
        admin.create_topics([NewTopic(name, 1, 1) for name in names])


def put(topic, messages):
    """Send pairs of key and text."""
    with contextlib.closing(samza.kafka.producer()) as producer:
        for key, text in messages:
            producer.send(topic, text.encode(), key=key.encode())


def get(topic, enough):
    """The messages of a topic, as soon as enough(messages) holds."""
    found = []
    with contextlib.closing(samza.kafka.consumer(topic)) as consumer:
        for message in consumer:
            found.append(message.value.decode())
            if enough(found):
                return found


def length(topic):
    """How many messages a topic has had."""
    part = TopicPartition(topic, 0)
    with contextlib.closing(samza.kafka.consumer(topic)) as consumer:
        return consumer.end_offsets([part])[part]


class Count:
    """A task: counts messages by key, and says the count."""

    def __init__(self, out):
        self.out = out

    def init(self, context):
        self.store = context.getTaskContext().getStore("counts")

    def process(self, envelope, collector, coordinator):
        key = envelope.getKey()
        count = int(self.store.get(key) or 0) + 1
        self.store.put(key, str(count))
        samza.send(collector, self.out, key, str(count))


# %% [markdown] topics=["4.3-4.3"]
# ## Break it: a JVM dies between two checkpoints


# %%
def killed(app, settings):
    """Count 40 messages, kill the JVM, go on; what the task said after that."""
    settings |= {"task.commit.ms": "600000", "stores.counts.object.cache.size": "0"}
    given, out, log = f"{app}-in", f"{app}-out", f"{app}-counts"
    topics(given, out)
    put(given, [("JFK", "departed")] * 40)
    parts = {"inputs": [given], "outputs": [out], "stores": ["counts"]}
    samza.run(app, lambda: Count(out), settings=settings, **parts)
    samza.wait(lambda: (length(out), length(log)), lambda n: n == (40, 40))
    samza.kill("samza")
    samza.restart("samza")
    application = samza.run(app, lambda: Count(out), settings=settings, **parts)
    said = get(out, lambda found: len(found) == 80)
    application.stop()
    return said[40:]


said = killed("plain", {})
print("first word after the crash:", said[0], "- last word:", said[-1])

# %% [markdown]
# The changelog was ahead of the checkpoint: state of the future, input of the past. Since version 1.5 Samza can tie them: a checkpoint also holds the *offset of the changelog* up to which it is true, and what lies behind
# that offset is undone first.

# %%
said = killed(
    "tied",
    {
        "task.transactional.state.checkpoint.enabled": "true",
        "task.transactional.state.restore.enabled": "true",
        "task.transactional.state.retain.existing.state": "false",
    },
)
print("first word after the crash:", said[0], "- last word:", said[-1])

# %% [markdown]
# The state is right. What was *said* to the outside is still said twice, 1 to 40 and 1 to 40 again: whoever reads the output must take the last word, not the sum.

# %% [markdown] role="task" exercise="resume" points=3 topics=["4.3-4.3"]
# ### What does it know after a crash?
#
# Write `resume(inputs, changelog, checkpoint, tied)`. The task counts by key; the message `["JFK", "close"]` deletes its key from the store, any other `["JFK", …]` adds 1.
#
# - `inputs`: the messages of the input partition, by offset: pairs of key and text.
# - `changelog`: what was written to the changelog, by offset: pairs of key and count, or key and `None` (a tombstone).
# - `checkpoint`: `None`, or a dictionary with `input` (the offset of the next message to read) and `changelog` (how many entries there were when it was written).
# - `tied`: only entries of the changelog that the checkpoint knows of count; without a checkpoint, none. If it is false, all count.
#
# Return a dictionary: `restored`, the store when the task begins again, and `store`, the store when it has read the rest of the input. Without a checkpoint, it reads all.
#
# Example: inputs JFK, JFK, changelog JFK 1, JFK 2, checkpoint input 1 and changelog 1. Not tied: restored `{"JFK": 2}`, in the end `{"JFK": 3}`. Tied: 1, then 2.
#
# Why: Kafka Streams, Flink and Spark all answer this question; they differ in what they tie to what.


# %% role="answer" exercise="resume"
def resume(inputs: list, changelog: list, checkpoint: dict | None, tied: bool) -> dict:
    """The store when the task begins again, and when it has read the rest."""
    ### BEGIN SOLUTION
    known = checkpoint or {"input": 0, "changelog": 0}
    store = {}
    for key, count in changelog[: known["changelog"]] if tied else changelog:
        store[key] = count
    store = {key: count for key, count in store.items() if count is not None}
    restored = dict(store)
    for key, text in inputs[known["input"] :]:
        if text == "close":
            store.pop(key, None)
        else:
            store[key] = store.get(key, 0) + 1
    return {"restored": restored, "store": store}
    ### END SOLUTION


# %% role="check" exercise="resume"
with lab.check("resume") as answer:
    for inputs, changes, checkpoint, tied, restored, store in [
        ("JFK JFK", "JFK=1 JFK=2", (1, 1), False, "JFK=2", "JFK=3"),
        ("JFK JFK", "JFK=1 JFK=2", (1, 1), True, "JFK=1", "JFK=2"),
        ("JFK JFK", "JFK=1 JFK=2", None, True, "", "JFK=2"),
        ("JFK JFK", "JFK=1 JFK=2", None, False, "JFK=2", "JFK=4"),
        (
            "EWR LGA EWR/close LGA",
            "EWR=1 LGA=1 EWR LGA=2",
            (3, 3),
            True,
            "LGA=1",
            "LGA=2",
        ),
        (
            "EWR LGA EWR/close LGA EWR",
            "EWR=1 LGA=1 EWR",
            (2, 3),
            False,
            "LGA=1",
            "LGA=2 EWR=1",
        ),
        ("EWR EWR/close EWR", "EWR=1 EWR EWR=1", (1, 1), True, "EWR=1", "EWR=1"),
        ("LGA LGA", "LGA=1 LGA=2", (2, 2), True, "LGA=2", "LGA=2"),
        ("JFK JFK JFK", "JFK=2 JFK=3", (2, 1), True, "JFK=2", "JFK=3"),
        ("JFK JFK/landed", "JFK=1 JFK=2", (1, 1), True, "JFK=1", "JFK=2"),
    ]:
        messages = [[*text.split("/"), "departed"][:2] for text in inputs.split()]
        log = []
        for text in changes.split():
            key, _, count = text.partition("=")
            log.append([key, int(count) if count else None])
        place = checkpoint and dict(
            zip(("input", "changelog"), checkpoint, strict=True)
        )
        states = [
            {k: int(n) for k, n in (pair.split("=") for pair in text.split())}
            for text in (restored, store)
        ]
        answer.equal(
            answer.call("resume", messages, log, place, tied),
            dict(zip(("restored", "store"), states, strict=True)),
            asked=f"the stores with inputs {messages}, changelog {log}, checkpoint {place}, tied {tied}",
        )

# %% role="hidden" exercise="resume"
with lab.check("resume", hidden=True) as answer:
    draw = answer.random
    for tied in (True, False):
        inputs = [
            [
                draw.choice(["Ä", "Ö", "Ü"]),
                draw.choice(["departed", "departed", "close"]),
            ]
            for _ in range(30)
        ]
        log, states, now = [], [{}], {}
        for key, text in inputs:
            now = dict(now)
            if text == "close":
                now.pop(key, None)
            else:
                now[key] = now.get(key, 0) + 1
            log.append([key, now.get(key)])
            states.append(now)
        place, crash = draw.randrange(5, 15), draw.randrange(16, 30)
        restored = states[place] if tied else states[crash]
        store = dict(restored)
        for key, text in inputs[place:]:
            if text == "close":
                store.pop(key, None)
            else:
                store[key] = store.get(key, 0) + 1
        checkpoint = {"input": place, "changelog": place}
        answer.equal(
            answer.call("resume", inputs, log[:crash], checkpoint, tied),
            {"restored": restored, "store": store},
            asked=f"the stores of 30 messages, checkpoint at {place}, crash at {crash}, tied {tied}",
        )

# %% [markdown] role="hint" exercise="resume"
# Two logs, two positions: which belongs to the state, which to the messages?

# %% [markdown] role="hint" exercise="resume"
# Fill a dictionary from the changelog in its order; the last entry of a key wins, and `None` takes the key away. Copy it before you go on.

# %% [markdown] role="hint" exercise="resume"
# ```python
# known = checkpoint or {"input": 0, "changelog": 0}
# store = {}
# for key, count in changelog[: ...] if tied else changelog:
#     store[key] = count
# store = {... if count is not None}
# restored = dict(store)
# for key, text in inputs[known["input"] :]:
#     ...
# return {"restored": restored, "store": store}
# ```


# %% role="right" exercise="resume"
def resume(inputs, changelog, checkpoint, tied):
    start, end = 0, len(changelog)
    if tied:
        end = 0
    if checkpoint is not None:
        start = checkpoint["input"]
        end = checkpoint["changelog"] if tied else end
    last = dict(map(tuple, changelog[:end]))
    restored = {key: count for key, count in last.items() if count}
    store = Counter(restored)
    for key, text in inputs[start:]:
        store[key] += 1
        if text == "close":
            del store[key]
    return {"restored": restored, "store": dict(store)}


# %% role="wrong" exercise="resume" misconception="The offset of the input is that of the changelog too" caught="check" says="{'input': 2, 'changelog': 1}"
def resume(inputs, changelog, checkpoint, tied):
    done = checkpoint["input"] if checkpoint else 0
    store = {}
    for key, count in changelog[:done] if tied else changelog:
        store[key] = count
    store = {key: count for key, count in store.items() if count is not None}
    restored = dict(store)
    for key, text in inputs[done:]:
        if text == "close":
            store.pop(key, None)
        else:
            store[key] = store.get(key, 0) + 1
    return {"restored": restored, "store": store}


# %% role="wrong" exercise="resume" misconception="A tombstone is a count of nothing" caught="check" says="'EWR': None"
def resume(inputs, changelog, checkpoint, tied):
    known = checkpoint or {"input": 0, "changelog": 0}
    store = dict(map(tuple, changelog[: known["changelog"]] if tied else changelog))
    restored = dict(store)
    for key, text in inputs[known["input"] :]:
        if text == "close":
            store.pop(key, None)
        else:
            store[key] = (store.get(key) or 0) + 1
    return {"restored": restored, "store": store}


# %% role="wrong" exercise="resume" misconception="The state says how far the input was read" caught="check" says="tied False"
def resume(inputs, changelog, checkpoint, tied):
    known = checkpoint or {"input": 0, "changelog": 0}
    changes = changelog[: known["changelog"]] if tied else changelog
    store = {}
    for key, count in changes:
        store[key] = count
    store = {key: count for key, count in store.items() if count is not None}
    restored = dict(store)
    for key, text in inputs[len(changes) :]:
        if text == "close":
            store.pop(key, None)
        else:
            store[key] = store.get(key, 0) + 1
    return {"restored": restored, "store": store}


# %% role="wrong" exercise="resume" misconception="The changelog is always right" caught="check" says="tied True"
def resume(inputs, changelog, checkpoint, tied):
    store = {}
    for key, count in changelog:
        store[key] = count
    store = {key: count for key, count in store.items() if count is not None}
    restored = dict(store)
    for key, text in inputs[(checkpoint or {"input": 0})["input"] :]:
        if text == "close":
            store.pop(key, None)
        else:
            store[key] = store.get(key, 0) + 1
    return {"restored": restored, "store": store}


# %% role="wrong" exercise="resume" misconception="The changelog holds changes to add up" caught="check" says="'JFK': 3"
def resume(inputs, changelog, checkpoint, tied):
    known = checkpoint or {"input": 0, "changelog": 0}
    store = Counter()
    for key, count in changelog[: known["changelog"]] if tied else changelog:
        if count is None:
            del store[key]
        else:
            store[key] += count
    restored = dict(store)
    for key, text in inputs[known["input"] :]:
        store[key] += 1
        if text == "close":
            del store[key]
    return {"restored": restored, "store": dict(store)}


# %% [markdown] topics=["4.3-4.2", "4.3-4.3", "4.3-4"]
# ## One step, two engines
#
# Both engines have windows in their higher layers. Here you use the lowest one: a message, and a place to keep things. Many streams were written so before Beam's model; it fits both engines, if the step does not know where its state lies.

# %% [markdown] role="task" exercise="step" points=4 topics=["4.3-4", "4.3-4.2", "4.3-4.3"]
# ### The board, a message at a time
#
# Write `step(store, event, wait)`. `event` has `id`, `origin`, `departed` (a text, ISO 8601 in UTC) and `delay`. `store` has `get(key)`, a text or `None`, and `put(key, text)`; keys and values are texts. What you keep must be in there, under
# the key `event["origin"]`: the process may be another one for the next message. `json` makes text of it.
#
# - The airport's watermark is its latest `departed` so far, this event included, less `wait` minutes.
# - An event is late if the watermark has reached the end of its hour: return `None`. A repeat (the same `id`, in an hour that is still open) too; its delay does not count, even if it is another.
# - Else return the row of its hour as it is now: `origin`, `hour` (a text such as `"2013-07-10T15:00:00+00:00"`), `departures` and `delay` (the mean).
#
# When the watermark reaches the end of an hour, nothing of that hour may stay in the store.
#
# Example: with `wait` 10, departures at 13:05, 14:10 and 13:50: the third is late. With 14:09 it is not.
#
# Why: a pure step can be tested without any engine, and moves from one to the next.


# %%
class Memory:
    """A store in a dictionary; like RocksDB's, it takes texts only."""

    def __init__(self):
        self.texts = {}

    def get(self, key):
        return self.texts.get(key)

    def put(self, key, text):
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError("the store takes texts only")
        self.texts[key] = text


def steps(events, wait):
    """What step returned for each event, and all that is in the store in the end."""
    store, rows = Memory(), []
    for event in events:
        row = step(store, event, wait)
        rows.append(None if row is None else dict(row))
    return {"rows": rows, "kept": dict(store.texts)}


# %% role="answer" exercise="step"
def step(store: object, event: dict, wait: int) -> dict | None:
    """The row that this event changes, or None."""
    ### BEGIN SOLUTION
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
    known["latest"] = max(known["latest"], at.isoformat())
    watermark = datetime.fromisoformat(known["latest"]) - timedelta(minutes=wait)
    hour = at.replace(minute=0, second=0).isoformat()
    delays = known["hours"].setdefault(hour, {})
    repeat = event["id"] in delays
    delays.setdefault(event["id"], event["delay"])
    known["hours"] = {
        start: group
        for start, group in known["hours"].items()
        if watermark < datetime.fromisoformat(start) + timedelta(hours=1)
    }
    store.put(origin, json.dumps(known))
    if repeat or hour not in known["hours"]:
        return None
    mean = sum(delays.values()) / len(delays)
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": mean}
    ### END SOLUTION


# %% role="check" exercise="step"
with lab.check("step") as answer:
    answer.value("step")
    for wait, script, expected in [
        (
            10,
            "D1 JFK 13:05 4, D2 JFK 14:09 6, D3 JFK 13:50 9",
            "13 1 4, 14 1 6, 13 2 6.5",
        ),
        (10, "D1 JFK 13:05 4, D2 JFK 14:10 6, D3 JFK 13:50 8", "13 1 4, 14 1 6, -"),
        (10, "D1 JFK 13:05 4, D1 JFK 13:05 40, D2 JFK 13:00 -2", "13 1 4, -, 13 2 1"),
        (
            60,
            "D1 JFK 13:05 4, D2 EWR 18:00 6, D3 JFK 13:50 -7, D4 EWR 15:59 1",
            "13 1 4, 18 1 6, 13 2 -1.5, -",
        ),
        (
            0,
            "D1 JFK 13:05 4, D2 JFK 14:00 6, D3 JFK 13:59 8, D4 JFK 14:01:30 2",
            "13 1 4, 14 1 6, -, 14 2 4",
        ),
        (
            90,
            "D1 LGA 16:00 3, D2 LGA 14:40 5, D3 LGA 13:59 1, D4 LGA 15:00 7",
            "16 1 3, 14 1 5, -, 15 1 7",
        ),
    ]:
        events, rows = [], []
        for text in script.split(", "):
            name, origin, clock, delay = text.split()
            event = {"id": name, "origin": origin, "delay": int(delay)}
            events.append(event | {"departed": f"2013-07-10T{f'{clock}:00'[:8]}+00:00"})
        for text, event in zip(expected.split(", "), events, strict=True):
            if text == "-":
                rows.append(None)
                continue
            hour, count, mean = text.split()
            row = {"origin": event["origin"], "hour": f"2013-07-10T{hour}:00:00+00:00"}
            rows.append(row | {"departures": int(count), "delay": float(mean)})
        found = answer.call("steps", events, wait)
        answer.equal(
            found["rows"],
            rows,
            asked=f"the row of each step with wait {wait} (id, origin, departed, delay): {script}",
        )
    day = [
        {"id": f"D{n}", "origin": "JFK", "delay": n % 7}
        | {
            "departed": (
                datetime(2013, 7, 10, tzinfo=UTC) + timedelta(minutes=9 * n)
            ).isoformat()
        }
        for n in range(150)
    ]
    found = answer.call("steps", day, 60)
    kept = found["kept"].get("JFK", "")
    answer.true(
        len(found["kept"]) == 1
        and "D149" in kept
        and not any(f'D{n}"' in kept for n in range(100)),
        asked="in the store, under the key JFK, only open hours after 150 departures, one in nine minutes, with wait 60",
        found=f"{len(found['kept'])} keys with {sum(map(len, found['kept'].values()))} characters",
    )

# %% role="hidden" exercise="step"
with lab.check("step", hidden=True) as answer:
    answer.value("step")
    draw, wait = answer.random, answer.random.choice([15, 75])
    start, events = datetime(2013, 12, 31, 20, tzinfo=UTC), []
    for number in range(70):
        at = start + timedelta(minutes=7 * number - draw.choice([0, 0, 0, 40, 150]))
        event = {"id": f"Ø{number}", "origin": draw.choice(["ÉWR", "JFK"])}
        event |= {"departed": at.isoformat(), "delay": draw.randrange(-9, 99)}
        again = [event | {"delay": event["delay"] + draw.choice([0, 30])}]
        events += [event, *again] if draw.random() < 0.2 else [event]
    latest, groups, rows = {}, {}, []
    for event in events:
        at, origin = datetime.fromisoformat(event["departed"]), event["origin"]
        latest[origin] = max(at, latest.get(origin, at))
        hour = at.replace(minute=0)
        group = groups.setdefault((origin, hour), {})
        late = latest[origin] - timedelta(minutes=wait) >= hour + timedelta(hours=1)
        if late or event["id"] in group:
            rows.append(None)
            continue
        group[event["id"]] = event["delay"]
        row = {"origin": origin, "hour": hour.isoformat(), "departures": len(group)}
        rows.append(row | {"delay": sum(group.values()) / len(group)})
    answer.equal(
        answer.call("steps", events, wait)["rows"],
        rows,
        asked=f"the row of each of {len(events)} steps around midnight, some late, some twice, with wait {wait}",
    )

# %% [markdown] role="hint" exercise="step"
# What do you need to know of an airport before its next message: one time, and what of each open hour?

# %% [markdown] role="hint" exercise="step"
# ISO texts of one zone sort as times do, so `max` of two texts is the later one. JSON turns the keys of a dictionary into texts: use the hour's text as key.

# %% [markdown] role="hint" exercise="step"
# ```python
# origin, at = event["origin"], datetime.fromisoformat(event["departed"])
# known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
# known["latest"] = ...
# watermark = ...
# hour = ....isoformat()
# delays = known["hours"].setdefault(hour, {})
# repeat = ...
# delays.setdefault(event["id"], event["delay"])
# known["hours"] = {start: group for start, group in known["hours"].items() if ...}
# store.put(origin, json.dumps(known))
# if ...:
#     return None
# return {...}
# ```


# %% role="right" exercise="step"
def step(store, event, wait):
    text = store.get(event["origin"])
    known = json.loads(text) if text else {"latest": 0, "groups": []}
    at = datetime.fromisoformat(event["departed"]).timestamp()
    start = at // 3600 * 3600
    known["latest"] = max(known["latest"], at)
    over = known["latest"] - 60 * wait - 3600
    known["groups"] = [g for g in known["groups"] if g["start"] > over]
    row = None
    if start > over:
        group = next((g for g in known["groups"] if g["start"] == start), None)
        if group is None:
            group = {"start": start, "ids": [], "sum": 0}
            known["groups"].append(group)
        if event["id"] not in group["ids"]:
            group["ids"].append(event["id"])
            group["sum"] += event["delay"]
            hour = datetime.fromtimestamp(start, UTC).isoformat()
            row = {"origin": event["origin"], "hour": hour}
            row["departures"] = len(group["ids"])
            row["delay"] = group["sum"] / len(group["ids"])
    store.put(event["origin"], json.dumps(known))
    return row


# %% [markdown] role="equivalent" exercise="step" reason="max of two texts in another order"
# - known["latest"] = max(known["latest"], at.isoformat())
# + known["latest"] = max(at.isoformat(), known["latest"])


# %% role="wrong" exercise="step" misconception="The watermark is the event's own time" caught="check" says="the row of each step"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"hours": {}}')
    watermark = at - timedelta(minutes=wait)
    hour = at.replace(minute=0, second=0, microsecond=0).isoformat()
    delays = known["hours"].setdefault(hour, {})
    repeat = event["id"] in delays
    delays.setdefault(event["id"], event["delay"])
    known["hours"] = {
        start: group
        for start, group in known["hours"].items()
        if watermark < datetime.fromisoformat(start) + timedelta(hours=1)
    }
    store.put(origin, json.dumps(known))
    if repeat or hour not in known["hours"]:
        return None
    mean = sum(delays.values()) / len(delays)
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": mean}


# %% role="wrong" exercise="step" misconception="State is small, so it may stay" caught="check" says="only open hours"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
    known["latest"] = max(known["latest"], at.isoformat())
    watermark = datetime.fromisoformat(known["latest"]) - timedelta(minutes=wait)
    start = at.replace(minute=0, second=0, microsecond=0)
    hour = start.isoformat()
    delays = known["hours"].setdefault(hour, {})
    late = watermark >= start + timedelta(hours=1)
    repeat = event["id"] in delays
    if not late:
        delays.setdefault(event["id"], event["delay"])
    store.put(origin, json.dumps(known))
    if repeat or late:
        return None
    mean = sum(delays.values()) / len(delays)
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": mean}


# %% role="wrong" exercise="step" misconception="The store takes what a dictionary takes" caught="check" says="texts only"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = store.get(origin) or {"latest": at, "hours": {}}
    known["latest"] = max(known["latest"], at)
    watermark = known["latest"] - timedelta(minutes=wait)
    start = at.replace(minute=0, second=0, microsecond=0)
    delays = known["hours"].setdefault(start, {})
    repeat = event["id"] in delays
    delays.setdefault(event["id"], event["delay"])
    store.put(origin, known)
    if repeat or watermark >= start + timedelta(hours=1):
        return None
    mean = sum(delays.values()) / len(delays)
    row = {"origin": origin, "hour": start.isoformat(), "departures": len(delays)}
    return row | {"delay": mean}


# %% role="wrong" exercise="step" misconception="Delivered is delivered: a repeat counts" caught="check" says="the row of each step"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
    known["latest"] = max(known["latest"], at.isoformat())
    watermark = datetime.fromisoformat(known["latest"]) - timedelta(minutes=wait)
    hour = at.replace(minute=0, second=0, microsecond=0).isoformat()
    delays = known["hours"].setdefault(hour, [])
    delays.append(event["delay"])
    known["hours"] = {
        start: group
        for start, group in known["hours"].items()
        if watermark < datetime.fromisoformat(start) + timedelta(hours=1)
    }
    store.put(origin, json.dumps(known))
    if hour not in known["hours"]:
        return None
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": sum(delays) / len(delays)}


# %% role="wrong" exercise="step" misconception="Whole minutes have a mean of whole minutes" caught="check" says="the row of each step"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
    known["latest"] = max(known["latest"], at.isoformat())
    watermark = datetime.fromisoformat(known["latest"]) - timedelta(minutes=wait)
    hour = at.replace(minute=0, second=0, microsecond=0).isoformat()
    delays = known["hours"].setdefault(hour, {})
    repeat = event["id"] in delays
    delays.setdefault(event["id"], event["delay"])
    known["hours"] = {
        start: group
        for start, group in known["hours"].items()
        if watermark < datetime.fromisoformat(start) + timedelta(hours=1)
    }
    store.put(origin, json.dumps(known))
    if repeat or hour not in known["hours"]:
        return None
    mean = sum(delays.values()) // len(delays)
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": mean}


# %% role="wrong" exercise="step" misconception="The last message of a departure knows best" caught="check" says="the row of each step"
def step(store, event, wait):
    origin, at = event["origin"], datetime.fromisoformat(event["departed"])
    known = json.loads(store.get(origin) or '{"latest": "", "hours": {}}')
    known["latest"] = max(known["latest"], at.isoformat())
    watermark = datetime.fromisoformat(known["latest"]) - timedelta(minutes=wait)
    hour = at.replace(minute=0, second=0, microsecond=0).isoformat()
    delays = known["hours"].setdefault(hour, {})
    repeat = event["id"] in delays
    delays[event["id"]] = event["delay"]
    known["hours"] = {
        start: group
        for start, group in known["hours"].items()
        if watermark < datetime.fromisoformat(start) + timedelta(hours=1)
    }
    store.put(origin, json.dumps(known))
    if repeat or hour not in known["hours"]:
        return None
    mean = sum(delays.values()) / len(delays)
    row = {"origin": origin, "hour": hour, "departures": len(delays)}
    return row | {"delay": mean}


# %% [markdown]
# In Storm, the store is the bolt's memory, and rows are lines of a file. In Samza, it is RocksDB with a changelog, and rows go to a topic. In both, the last row of an hour is its answer.


# %%
def as_messages(events):
    """Events as plain dictionaries, with times as texts."""
    return [
        {**event, "departed": event["departed"].isoformat(), "arrived": ""}
        for event in events
    ]


def last_rows(rows):
    """The last row of each airport and hour, with the hour as a datetime."""
    last = {(row["origin"], row["hour"]): row for row in rows if row}
    return [
        row | {"hour": datetime.fromisoformat(row["hour"])} for row in last.values()
    ]


def storm_board(events, wait):
    """The board by a bolt of Storm."""
    store, messages = Memory(), as_messages(events)
    if step(Memory(), messages[0], wait) is None:
        return None

    def work(event):
        return step(store, event, wait)

    return last_rows(
        topology(Stubborn(messages), work, lambda out: len(out) == len(messages))
    )


class Board:
    """The board as a task of Samza."""

    def __init__(self, out, wait):
        self.out, self.wait = out, wait

    def init(self, context):
        self.store = context.getTaskContext().getStore("board")

    def process(self, envelope, collector, coordinator):
        event = json.loads(envelope.getMessage())
        row = step(self.store, event, self.wait) if event else "end"
        if row:
            samza.send(collector, self.out, envelope.getKey(), json.dumps(row))


def samza_board(events, wait):
    """The board by a task of Samza."""
    messages = as_messages(events)
    if step(Memory(), messages[0], wait) is None:
        return None
    RUNS.append(name := f"board-{len(RUNS)}")
    given, out = f"{name}-in", f"{name}-out"
    topics(given, out)
    put(given, [(event["origin"], json.dumps(event)) for event in messages])
    put(given, [("end", "null")])
    parts = {"inputs": [given], "outputs": [out], "stores": ["board"]}
    application = samza.run(name, lambda: Board(out, wait), **parts)
    found = get(out, lambda found: found[-1] == '"end"')
    application.stop()
    return last_rows(json.loads(text) for text in found[:-1])


engines.compare(
    "Storm", storm.version, storm_board, step, topology, last_rows, as_messages
)

# %%
engines.compare(
    "Samza", samza.version, samza_board, step, Board, last_rows, as_messages
)

# %% [markdown]
# Both answer as the batch does, with the step that you wrote, and neither engine knows what an hour is.

# %%
sizes = {}
for wait in (10, 60, 480):
    store, sizes[wait] = Memory(), []
    for event in as_messages(engines.events()):
        step(store, event, wait)
        sizes[wait].append(sum(map(len, store.texts.values())) / 1000)
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
for wait, kept in sizes.items():
    axes.plot(kept, label=f"wait {wait} minutes", linewidth=1)
axes.set(xlabel="events of the day", ylabel="store, 1,000 characters")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
picture(
    figure,
    alt="Size of the store over the day for three waits: with 10 and 60 minutes it stays small and flat, with 480 minutes it grows to several times as much before it levels off.",
)

# %% [markdown]
# Patience is paid in state. What later engines took over: from Storm at-least-once by acks, and the lesson that exactly once needs state and input tied together; Flink's checkpoints do that for a whole job. From Samza,
# local state with a changelog: Kafka Streams is built on it. Storm is still released, Samza hardly (1.8 is of 2023); neither is often chosen for new work.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | follow a tree of messages | one XOR, 64 random bits, a timeout |
# | replay | a limit on the way, an end for poison |
# | count batches once | the number, and the value before |
# | restore state | changelog and checkpoint must be of one moment |
# | write a step | state in the store, time from the events |
#
# **Read on.** Apache Storm documentation, "Guaranteeing Message Processing" and "Trident State". Apache Samza documentation, "State Management". S. Noghabi and others, "Samza: Stateful Scalable Stream Processing at LinkedIn", VLDB (2017).

# %%
lab.close()
