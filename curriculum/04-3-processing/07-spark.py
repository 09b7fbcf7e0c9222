# %% [markdown] minutes=90 datasets=["flights", "planes", "departure-events"] systems=["kafka", "spark"] layers=["spark"]
# # Spark
#
# A join waits for one task out of many, and a stream that crashed counts flights twice. You read what Spark plans,
# split the key that is too large, restart a stream from its checkpoint, and compute the delay board.

# %% [markdown]
# ## You will be able to
#
# - read from a plan which join runs and what is shuffled (exercise 1)
# - split a skewed key, and only that (exercise 2)
# - say from a checkpoint what a restarted query reads (exercise 3)
# - write a batch so that its repetition changes nothing (exercise 4)
# - answer a question about event time with Structured Streaming (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the labs *Event time* and *Exactly once* | windows, watermarks, late events and repeats |
# | the lab *Dask* | partitions, lazy work, shuffles |
#
# Spark is the real one, in one process with two threads. Kafka is the real one, with one broker. Flights and delays are
# real, arrival times invented.

# %% role="setup"
import itertools
import json
import pathlib
import re
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt

from labkit import dataset, engines, open_lab, picture
from labkit.services import service
from labkit.spark import session

lab = open_lab("04-3-processing/07-spark")

# What open_lab has installed.
from pyspark.errors import StreamingQueryException
from pyspark.logger import PySparkLogger
from pyspark.sql import functions as F

SETTINGS = {
    "spark.sql.shuffle.partitions": "1",  # small data: one task is quickest
    "spark.sql.codegen.wholeStage": "false",  # plans are easier to read
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",  # interpreted: nothing to compile first
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",  # no empty batch at the end
}
spark = session("lab", extras=["kafka"], settings=SETTINGS)
spark.sparkContext.setLogLevel("OFF")
PySparkLogger.getLogger("DataFrameQueryContextLogger").disabled = True
kafka = service("kafka")
producer = kafka.producer()
lab

# %%
SCRATCH = tempfile.TemporaryDirectory(prefix="spark-lab-")
HOME = pathlib.Path(SCRATCH.name)
FLIGHTS = dataset("flights").arrow().to_pandas()[["origin", "tailnum"]]
flights = spark.createDataFrame(FLIGHTS.head(20_000))
PLANES = dataset("planes").arrow().to_pandas()[["tailnum", "seats"]]
planes = spark.createDataFrame(PLANES)


def plan(frame):
    """The text of a frame's physical plan, without the numbers of its columns."""
    text = frame._jdf.queryExecution().executedPlan().toString()
    text = re.sub(r"#\d+L?|, \[plan_id=\d+\]", "", text)
    return "\n".join(line[:80].rstrip() for line in text.splitlines())


print(flights.count(), "flights and", planes.count(), "planes")

# %% [markdown] topics=["4.3-3.1"]
# ## The join that changed overnight
#
# A *DataFrame* is a description of work. `join` and `groupBy` only make the description longer; an *action*, as `count`
# or `collect`, plans it and runs it.
#
# Rows lie in *partitions*, one task each. A join needs equal keys in one place. *SortMergeJoin* moves both sides by a
# hash of the key: two *shuffles*, in plans `Exchange`. *BroadcastHashJoin* sends a copy of the small side to all tasks,
# and moves nothing of the large one. Spark chooses by the estimated size.
#
# **Predict:** nobody changed the code, but the table of planes grows beyond the threshold. What becomes of the join?

# %%
spark.conf.set("spark.sql.adaptive.enabled", "false")
for threshold in ("10MB", "-1"):  # -1: never by broadcast
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", threshold)
    again = flights.join(planes, "tailnum").groupBy("tailnum").agg(F.sum("seats"))
    print(f"threshold {threshold}\n{plan(again)}")

# %% [markdown]
# Read a plan from the bottom. The broadcast join has one shuffle, for the sum. The other has two, for the join; the sum
# needs none, because equal tail numbers are together already. `BroadcastExchange` is a copy, no shuffle.
#
# A plan is a forecast. *Adaptive execution*, on by default, measures each shuffle and plans the rest anew.
#
# **Predict:** there is a threshold again, 200 kB, but only for the measured size. Which join runs?

# %%
spark.conf.set("spark.sql.adaptive.enabled", "true")
spark.conf.set("spark.sql.adaptive.autoBroadcastJoinThreshold", "200KB")
again = flights.join(planes, "tailnum").groupBy("tailnum").agg(F.sum("seats"))
again.collect()
print(plan(again))

# %% [markdown]
# A broadcast after all (the first threshold is still -1). But both shuffles had run when the sizes were known: what is saved
# is the sort.

# %% [markdown] role="task" exercise="read-plan" points=3 topics=["4.3-3.1"]
# ### What really ran?
#
# Write `read_plan(text)` for the text of a physical plan, as above. Return a dictionary:
#
# - `joins`: the names of the joins from top to bottom. A join's line begins, behind the drawing (blanks and `:+-*`, a
#   number in brackets), with a word that ends in `Join` or is `CartesianProduct`;
# - `shuffles`: how many lines begin, behind the drawing, with the word `Exchange`. A `ReusedExchange` is read again,
#   not moved again.
#
# If the plan has a line with `== Final Plan ==`, only the lines between it and `== Initial Plan ==` count.
#
# Example: the first plan above gives `{"joins": ["BroadcastHashJoin"], "shuffles": 1}`.
#
# Why: a test of the plan notices a lost broadcast before the bill does.


# %% role="answer" exercise="read-plan"
def read_plan(text: str) -> dict:
    """The joins and the number of shuffles of a physical plan."""
    ### BEGIN SOLUTION
    final = text.split("== Final Plan ==")[-1].split("== Initial Plan ==")[0]
    found = [re.match(r"[\s:+*-]*(?:\(\d+\))?\s*(\w+)", x) for x in final.splitlines()]
    words = [match[1] for match in found if match]
    joins = [w for w in words if w.endswith("Join") or w == "CartesianProduct"]
    return {"joins": joins, "shuffles": words.count("Exchange")}
    ### END SOLUTION


# %% role="check" exercise="read-plan"
PLAN_OF_TWO = """\
*(5) SortMergeJoin [tailnum], [tailnum], LeftOuter
:- *(2) Sort [tailnum ASC NULLS FIRST], false, 0
:  +- Exchange hashpartitioning(tailnum, 2), ENSURE_REQUIREMENTS
:     +- *(1) BroadcastHashJoin [carrier], [carrier], Inner, BuildRight, false
:        :- *(1) Scan ExistingRDD[carrier,tailnum]
:        +- BroadcastExchange HashedRelationBroadcastMode(List(input[0, string, true]))
:           +- Project [Exchange AS carrier]
+- *(4) Sort [tailnum ASC NULLS FIRST], false, 0
   +- ReusedExchange [tailnum], Exchange hashpartitioning(tailnum, 2)"""
PLAN_ADAPTIVE = """\
AdaptiveSparkPlan isFinalPlan=true
+- == Final Plan ==
   ResultQueryStage 1
   +- BroadcastHashJoin [tailnum], [tailnum], Inner, BuildRight, false
      :- AQEShuffleRead local
      :  +- ShuffleQueryStage 0
      :     +- Exchange hashpartitioning(tailnum, 1), ENSURE_REQUIREMENTS
      :        +- Scan ExistingRDD[carrier,tailnum]
      +- BroadcastQueryStage 2
         +- CartesianProduct
            :- Scan ExistingRDD[seats]
            +- Exchange SinglePartition, ENSURE_REQUIREMENTS
+- == Initial Plan ==
   SortMergeJoin [tailnum], [tailnum], Inner
   :- Exchange hashpartitioning(tailnum, 1), ENSURE_REQUIREMENTS
   +- Exchange hashpartitioning(tailnum, 1), ENSURE_REQUIREMENTS"""
PLAN_OF_ONE = "Exchange SinglePartition, REPARTITION\n+- Scan ExistingRDD[seats]"
with lab.check("read-plan") as answer:
    for name, text, joins, shuffles in [
        ("PLAN_OF_TWO", PLAN_OF_TWO, ["SortMergeJoin", "BroadcastHashJoin"], 1),
        ("PLAN_ADAPTIVE", PLAN_ADAPTIVE, ["BroadcastHashJoin", "CartesianProduct"], 2),
        ("PLAN_OF_ONE", PLAN_OF_ONE, [], 1),
    ]:
        answer.equal(
            answer.call("read_plan", text),
            {"joins": joins, "shuffles": shuffles},
            asked=f"the joins and shuffles of {name}, which stands in this cell",
        )

# %% role="hidden" exercise="read-plan"
with lab.check("read-plan", hidden=True) as answer:
    draw = answer.random
    NAMES = [
        "SortMergeJoin",
        "BroadcastNestedLoopJoin",
        "CartesianProduct",
        "ShuffledHashJoin",
        "Exchange",
        "ReusedExchange",
        "BroadcastExchange",
        "Project [SortMergeJoin]",
    ]
    for adaptive in (False, True):
        picked = [draw.choice(NAMES) for _ in range(20)]
        lines = [
            f"{'   ' * n}:  +- *({n + 9}) {name} x" for n, name in enumerate(picked)
        ]
        if adaptive:
            other = ["Exchange x", ":- ShuffledHashJoin x", "+- CartesianProduct"]
            head = ["AdaptiveSparkPlan isFinalPlan=true", "+- == Final Plan =="]
            lines = [*head, *lines, "+- == Initial Plan ==", *other]
        answer.equal(
            answer.call("read_plan", "\n".join(lines)),
            {
                "joins": [n for n in picked if n in NAMES[:4]],
                "shuffles": sum(n == "Exchange" for n in picked),
            },
            asked=f"the joins and shuffles of a plan of {len(lines)} lines",
        )

# %% [markdown] role="hint" exercise="read-plan"
# Which lines are of the plan that ran? Which word of a line says what it does?

# %% [markdown] role="hint" exercise="read-plan"
# `text.split(mark)[-1]` is the whole text where there is no mark. `re.match` begins at the line's begin; `\w+` is a
# word.

# %% [markdown] role="hint" exercise="read-plan"
# ```python
# final = ...
# words = []
# for line in final.splitlines():
#     match = re.match(r"[\s:+*-]*(?:\(\d+\))?\s*(\w+)", line)
#     if match:
#         words.append(match[1])
# return {"joins": [...], "shuffles": ...}
# ```


# %% role="right" exercise="read-plan"
def read_plan(text):
    inside, joins, shuffles = "== Final Plan ==" not in text, [], 0
    for line in text.splitlines():
        if "== Final Plan ==" in line:
            inside = True
            continue
        if "== Initial Plan ==" in line:
            break
        line = re.sub(r"^\*?\(\d+\)", "", line.lstrip(" :+-")).strip()
        name = (re.split(r"\W", line) or [""])[0]
        if inside and (name.endswith("Join") or name == "CartesianProduct"):
            joins.append(name)
        shuffles += inside and name == "Exchange"
    return {"joins": joins, "shuffles": shuffles}


# %% [markdown] role="equivalent" exercise="read-plan" reason="nothing that counts stands before the mark"
# - final = text.split("== Final Plan ==")[-1].split("== Initial Plan ==")[0]
# + final = text.split("XX== Final Plan ==XX")[-1].split("== Initial Plan ==")[0]


# %% role="wrong" exercise="read-plan" misconception="The first plan is what runs" caught="check" says="PLAN_ADAPTIVE"
def read_plan(text):
    final = text.split("== Initial Plan ==")[-1]
    found = [re.match(r"[\s:+*-]*(?:\(\d+\))?\s*(\w+)", x) for x in final.splitlines()]
    words = [match[1] for match in found if match]
    joins = [w for w in words if w.endswith("Join") or w == "CartesianProduct"]
    return {"joins": joins, "shuffles": words.count("Exchange")}


# %% role="wrong" exercise="read-plan" misconception="Every exchange is a shuffle" caught="check" says="PLAN_OF_TWO"
def read_plan(text):
    final = text.split("== Final Plan ==")[-1].split("== Initial Plan ==")[0]
    found = [re.match(r"[\s:+*-]*(?:\(\d+\))?\s*(\w+)", x) for x in final.splitlines()]
    words = [match[1] for match in found if match]
    joins = [w for w in words if w.endswith("Join") or w == "CartesianProduct"]
    shuffles = [word for word in words if word.endswith("Exchange")]
    return {"joins": joins, "shuffles": len(shuffles)}


# %% role="wrong" exercise="read-plan" misconception="Count the word wherever it stands" caught="check" says="the joins and shuffles"
def read_plan(text):
    final = text.split("== Final Plan ==")[-1].split("== Initial Plan ==")[0]
    words = re.findall(r"\w+", final)
    joins = [w for w in words if w.endswith("Join") or w == "CartesianProduct"]
    return {"joins": joins, "shuffles": words.count("Exchange")}


# %% role="wrong" exercise="read-plan" misconception="A join is a join: sides without a key do not count" caught="check" says="PLAN_ADAPTIVE"
def read_plan(text):
    final = text.split("== Final Plan ==")[-1].split("== Initial Plan ==")[0]
    found = [re.match(r"[\s:+*-]*(?:\(\d+\))?\s*(\w+)", x) for x in final.splitlines()]
    words = [match[1] for match in found if match]
    joins = [word for word in words if word.endswith("Join")]
    return {"joins": joins, "shuffles": words.count("Exchange")}


# %% [markdown] topics=["4.3-3.1"]
# ## One task, all the work
#
# A shuffle sends each key to one task. A stage ends with its slowest task, so a frequent key makes all others wait:
# *skew*. More partitions do not help: a key is never divided.
#
# *Salting* divides it. Rows of the large side get a number, the salt, and each row of the other side is copied once
# for each salt. Then you join by key and salt.
#
# **Predict:** 20,000 flights by airport, in eight partitions. How many tasks have work?

# %%
spark.conf.set("spark.sql.adaptive.enabled", "false")


def sizes(frame, *keys):
    """How many rows each of eight partitions has."""
    found = frame.repartition(8, *keys).groupBy(F.spark_partition_id().alias("task"))
    counts = {row["task"]: row["count"] for row in found.count().collect()}
    return [counts.get(task, 0) for task in range(8)]


salted = flights.withColumn("salt", F.monotonically_increasing_id() % 12)
before, after = sizes(flights, "origin"), sizes(salted, "origin", "salt")
print("by airport         ", before)
print("by airport and salt", after)
figure, axis = plt.subplots(figsize=(7, 2.8))
axis.bar([n - 0.2 for n in range(8)], before, 0.4, label="by airport")
axis.bar([n + 0.2 for n in range(8)], after, 0.4, label="by airport and salt")
axis.set(xlabel="task", ylabel="flights", ylim=(0, max(before) * 1.4))
axis.legend(ncols=2, loc="upper center")
picture(
    figure,
    alt="Flights in each of eight tasks. By airport alone three tasks have about 7,000 each and five "
    "have none; with twelve salts for each airport all have some, and none more than 4,000.",
)

# %% [markdown]
# Three airports, three tasks, however many machines. Keys with their salts are hashed too, so shares are not quite
# even. Adaptive execution splits a skewed partition of a sort-merge join
# itself, but by default only above 256 MB and five times the median, and not for a sum. And in an inner
# join a null never joins: filter it out. (An outer join keeps it: salt it there.)

# %% [markdown] role="task" exercise="salt" points=3 topics=["4.3-3.1"]
# ### Split the large keys
#
# Write `salt(left, right, most)`. `left` and `right` are lists of keys, one for each row; they will be joined (inner
# join). Return a dictionary with `left` and `right`, lists of `[key, salt]`:
#
# - no `[key, salt]` occurs more than `most` times in `left`; each key has as few salts as that allows, numbered from 0;
# - each row of `left` has one salt, each row of `right` is there once for each salt of its key in `left`;
# - rows that cannot find a partner (the key is null, `None`, or only on one side) are left out.
#
# Any order of rows is right.
#
# Example: `salt(["UA", "UA", "UA", "OO"], ["UA", "OO"], 2)` gives UA two salts and OO one: `right` is
# `[["UA", 0], ["UA", 1], ["OO", 0]]`.
#
# Why: to salt all keys copies the whole other side.


# %% role="answer" exercise="salt"
def salt(left: list, right: list, most: int) -> dict:
    """The rows of both sides with their salts."""
    ### BEGIN SOLUTION
    counts, seen = Counter(left), Counter()
    pieces = {key: -(-count // most) for key, count in counts.items()}
    found = {"left": [], "right": []}
    for key in left:
        if key is not None and key in right:
            found["left"].append([key, seen[key] % pieces[key]])
            seen[key] += 1
    for key in right:
        if key is not None:
            found["right"] += [[key, n] for n in range(pieces.get(key, 0))]
    return found
    ### END SOLUTION


# %% role="check" exercise="salt"
with lab.check("salt") as answer:

    def salt_gap(found, left, right, most):
        """What is wrong with an answer, or nothing."""
        keys = {*left} & {*right} - {None}
        rows = Counter(map(tuple, found["left"]))
        copies = Counter(map(tuple, found["right"]))
        mine = Counter(key for key, _ in found["left"])
        if mine != {key: left.count(key) for key in keys}:
            return f"in left, rows for each key: {dict(mine)}"
        if rows and max(rows.values()) > most:
            return f"in left, one key and salt {max(rows.values())} times"
        pairs = [
            (k, n) for k in keys for n in range((left.count(k) + most - 1) // most)
        ]
        if {*rows} != {*pairs}:
            return f"in left, these keys and salts: {sorted(rows, key=str)}"
        if copies != {pair: right.count(pair[0]) for pair in pairs}:
            return f"in right, rows for each key and salt: {dict(copies)}"
        return ""

    for left, right, most in [
        (["UA"] * 3 + ["OO"], ["UA", "OO"], 2),
        (["UA"] * 4 + ["B6"] * 5, ["B6", "UA", "UA", "HA"], 2),
        (["UA", None, None, None, "DL"], ["UA", None], 1),
    ]:
        gap = salt_gap(answer.call("salt", left, right, most), left, right, most)
        answer.true(not gap, asked=f"salt({left}, {right}, {most})", found=gap)

# %% role="hidden" exercise="salt"
with lab.check("salt", hidden=True) as answer:

    def salt_gap(found, left, right, most):
        """What is wrong with an answer, or nothing."""
        keys = {*left} & {*right} - {None}
        rows = Counter(map(tuple, found["left"]))
        copies = Counter(map(tuple, found["right"]))
        mine = Counter(key for key, _ in found["left"])
        if mine != {key: left.count(key) for key in keys}:
            return f"in left, rows for each key: {dict(mine)}"
        if rows and max(rows.values()) > most:
            return f"in left, one key and salt {max(rows.values())} times"
        pairs = [
            (k, n) for k in keys for n in range((left.count(k) + most - 1) // most)
        ]
        if {*rows} != {*pairs}:
            return f"in left, these keys and salts: {sorted(rows, key=str)}"
        if copies != {pair: right.count(pair[0]) for pair in pairs}:
            return f"in right, rows for each key and salt: {dict(copies)}"
        return ""

    draw = answer.random
    for most in (draw.choice([3, 4]), 7):
        keys = ["É"] * 9 + ["UA"] * 5 + [None, "B6", "DL"]
        left = [draw.choice(keys) for _ in range(60)] + ["É"] * most + ["HA"]
        right = [draw.choice(["É", "UA", "B6", "OO", None]) for _ in range(12)] + ["É"]
        gap = salt_gap(answer.call("salt", left, right, most), left, right, most)
        answer.true(
            not gap, asked=f"salted rows, at most {most} to a key and salt", found=gap
        )

# %% [markdown] role="hint" exercise="salt"
# How many pieces does a key of seven rows need, if a piece has three at most? Which rows of the other side must each
# piece meet?

# %% [markdown] role="hint" exercise="salt"
# `-(-7 // 3)` rounds up. `Counter` counts keys; a second one numbers the rows of each key as you go.

# %% [markdown] role="hint" exercise="salt"
# ```python
# counts, seen = Counter(left), Counter()
# pieces = {key: ... for key, count in counts.items()}
# for key in left:
#     if ...:
#         ....append([key, seen[key] % pieces[key]])
#         seen[key] += 1
# for key in right:
#     ... range(pieces.get(key, 0))
# ```


# %% role="right" exercise="salt"
def salt(left, right, most):
    found = {"left": [], "right": []}
    for key in {*left} & {*right} - {None}:
        rows = left.count(key)
        found["left"] += [[key, n // most] for n in range(rows)]
        for n in range(0, rows, most):
            found["right"] += [[key, n // most]] * right.count(key)
    return found


# %% [markdown] role="equivalent" exercise="salt" reason="salts may be given in any order"
# - seen[key] += 1
# + seen[key] -= 1


# %% [markdown] role="equivalent" exercise="salt" reason="the range of a negative number is empty too"
# - found["right"] += [[key, n] for n in range(pieces.get(key, 0))]
# + found["right"] += [[key, n] for n in range(pieces.get(key, (-1)))]


# %% role="wrong" exercise="salt" misconception="Salt all keys alike" caught="check" says="UA"
def salt(left, right, most):
    keys = {*left} & {*right} - {None}
    pieces = max(-(-left.count(key) // most) for key in keys)
    rows = [key for key in left if key in keys]
    copies = [[key, n] for key in right if key in keys for n in range(pieces)]
    return {"left": [[k, n % pieces] for n, k in enumerate(rows)], "right": copies}


# %% role="wrong" exercise="salt" misconception="Give the other side one salt too" caught="check" says="in right"
def salt(left, right, most):
    found = {"left": [], "right": []}
    for key in {*left} & {*right} - {None}:
        rows = left.count(key)
        found["left"] += [[key, n // most] for n in range(rows)]
        pieces = -(-rows // most)
        found["right"] += [[key, n % pieces] for n in range(right.count(key))]
    return found


# %% role="wrong" exercise="salt" misconception="Null is a key like any other" caught="check" says="in left"
def salt(left, right, most):
    found = {"left": [], "right": []}
    for key in {*left} & {*right}:
        rows = left.count(key)
        found["left"] += [[key, n // most] for n in range(rows)]
        for n in range(0, rows, most):
            found["right"] += [[key, n // most]] * right.count(key)
    return found


# %% role="wrong" exercise="salt" misconception="One piece more does no harm" caught="check" says="UA"
def salt(left, right, most):
    found = {"left": [], "right": []}
    for key in {*left} & {*right} - {None}:
        rows = left.count(key)
        pieces = rows // most + 1
        found["left"] += [[key, n % pieces] for n in range(rows)]
        for n in range(pieces):
            found["right"] += [[key, n]] * right.count(key)
    return found


# %% [markdown] topics=["4.3-3.1"]
# ## Break it: a crash between write and commit
#
# *Structured Streaming* runs the plan of a DataFrame again and again on what is new: *micro-batches*. Before batch 1
# runs, Spark writes the offsets at which it will end into the *checkpoint*, a folder: file `offsets/1`. After the sink it
# writes `commits/1`. Kafka's own consumer groups have no part in it.
#
# `availableNow` reads what is there, in batches of a limited size, and stops.
#
# **Predict:** 300 events, batches of 100. The query fails in batch 1, after its write, and the broker is killed with it. What does a restart write?

# %%
DAY = engines.events()


def send(topic, events):
    """Send events to a topic's only partition."""
    for event in events:
        producer.send(topic, json.dumps(event, default=str).encode(), partition=0)
    producer.flush()


def read(topic, most):
    """A topic as a streaming DataFrame, in batches of so many messages."""
    options = {"kafka.bootstrap.servers": kafka.bootstrap_servers[0]}
    options |= {"subscribe": topic, "startingOffsets": "earliest"}
    options |= {"maxOffsetsPerTrigger": str(most)}
    return spark.readStream.format("kafka").options(**options).load()


def run(sink, checkpoint, die_in=None, most=100):
    """Run a query until all is read; `sink` gets a number and rows."""

    def write(frame, batch):
        values = frame.select(F.col("value").cast("string")).collect()
        try:
            sink(batch, [json.loads(row["value"]) for row in values])
        except Exception as error:
            print(f"the sink raised {type(error).__name__}: {error}")
            raise
        if batch == die_in:
            raise RuntimeError("a crash after the write, before the commit")

    writer = read("alarms", most).writeStream.foreachBatch(write)
    writer = writer.option("checkpointLocation", str(checkpoint))
    query = writer.trigger(availableNow=True).start()
    try:
        query.awaitTermination()
        return "done"
    except StreamingQueryException:
        return "died"


def in_checkpoint(folder):
    """The files of the offsets and commits of a checkpoint, with their texts."""
    found = [*folder.glob("commits/[0-9]*"), *folder.glob("offsets/[0-9]*")]
    return {
        f"{path.parent.name}/{path.name}": path.read_text() for path in sorted(found)
    }


DIFFERENT = [*{event["id"]: event for event in DAY}.values()]
send("alarms", DIFFERENT[:300])
written = []


def append(batch, rows):
    written.extend(row["id"] for row in rows)
    print("batch", batch, "writes", len(rows))


print(run(append, HOME / "append", die_in=1))
kafka.kill()
for name, text in in_checkpoint(HOME / "append").items():
    print(name, text.splitlines()[-1])

# %% [markdown]
# Batch 1 has offsets and no commit. So the restart repeats it, with exactly the same offsets: at least once. Kafka's log is on its disk, and outlives the broker's process.

# %%
kafka.restart()
for start in range(3):
    state = run(append, HOME / "append")
    print("restart", start + 1, state)
    if state == "done":
        break
print(len(written), "rows written,", len(set(written)), "of them different")

# %% [markdown]
# Nothing is lost, and a batch is doubled. The first restart died again: in Spark 4.1 the Kafka source fails in its
# report on a repeated batch, after the commit (SPARK-55271). Whatever supervises the query must start it once more.

# %% [markdown] role="task" exercise="restart" points=3 topics=["4.3-3.1"]
# ### What does it read next?
#
# Write `restart(files, newest)`. `files` are a checkpoint's files by name, such as `"offsets/0"` or `"commits/0"`, with
# their texts. The last line of an offsets file is JSON, `{"alarms": {"0": 100}}`: the one topic, and the end of
# each partition.
# `newest` has the end of each partition in Kafka now. Partitions are strings, as in the files.
#
# Return a list of what a restarted query reads, in order: `[batch, {partition: [from, to]}]`.
#
# - If the last batch with offsets has no commit, it is repeated, from the ends of the batch before to its own.
# - Then one more batch, numbered one higher, reads what is new, if anything is.
# - A partition that was not known before begins at 0. Leave out partitions with nothing to read.
#
# Example: `offsets/0` ends at 4, no commit, the newest is 6: `[[0, {"0": [0, 4]}], [1, {"0": [4, 6]}]]`.
#
# Why: after a crash, this tells which rows your sink may see twice.


# %% role="answer" exercise="restart"
def restart(files: dict, newest: dict) -> list:
    """The batches that a restarted query reads."""
    ### BEGIN SOLUTION
    ends, found = {-1: {}}, []
    for name, text in files.items():
        if name.startswith("offsets/"):
            (ends[int(name[8:])],) = json.loads(text.splitlines()[-1]).values()
    last = max(ends)
    ends[last + 1] = newest
    first = last + 1 if f"commits/{last}" in files else last
    for batch in range(max(first, 0), last + 2):
        begin = ends[batch - 1]
        parts = {p: [begin.get(p, 0), end] for p, end in ends[batch].items()}
        parts = {p: span for p, span in parts.items() if span[0] < span[1]}
        found += [[batch, parts]] if parts else []
    return found
    ### END SOLUTION


# %% role="check" exercise="restart"
with lab.check("restart") as answer:
    for offsets, commits, newest, expected in [
        ([{"0": 4}], [], {"0": 6}, [[0, {"0": [0, 4]}], [1, {"0": [4, 6]}]]),
        ([{"0": 4}, {"0": 7}], [0, 1], {"0": 9}, [[2, {"0": [7, 9]}]]),
        (
            [{"0": 4, "1": 2}, {"0": 7, "1": 2}],
            [0],
            {"0": 7, "1": 5, "2": 3},
            [[1, {"0": [4, 7]}], [2, {"1": [2, 5], "2": [0, 3]}]],
        ),
        ([{"0": 4}, {"0": 7}], [0, 1], {"0": 7}, []),
        ([], [], {"0": 3}, [[0, {"0": [0, 3]}]]),
    ]:
        files = {f"commits/{n}": 'v1\n{"nextBatchWatermarkMs":0}' for n in commits}
        for n, ends in enumerate(offsets):
            head = 'v1\n{"batchWatermarkMs":0,"conf":{}}\n'
            files[f"offsets/{n}"] = head + json.dumps({"alarms": ends})
        answer.equal(
            answer.call("restart", files, newest),
            expected,
            asked=f"what is read with these ends of batches: {offsets}, commits of {commits}, "
            f"and newest {newest}",
        )

# %% role="hidden" exercise="restart"
with lab.check("restart", hidden=True) as answer:
    draw = answer.random
    for committed in (True, False):
        ends = {"0": 5, "1": 8}
        log = []
        while len(log) < 12:
            log.append(dict(ends))
            ends = {p: end + draw.randrange(1, 5) for p, end in ends.items()}
        files = {
            f"offsets/{n}": 'v1\n{"batchWatermarkMs":7}\n' + json.dumps({"é": row})
            for n, row in enumerate(log)
        }
        done = 12 if committed else 11
        files |= {f"commits/{n}": "v1\n{}" for n in range(done)}
        names = sorted(files)
        expected = [[12, {p: [log[11][p], ends[p]] for p in ends}]]
        if not committed:
            again = {p: [log[10][p], log[11][p]] for p in ends}
            expected = [[11, again], *expected]
        answer.equal(
            answer.call("restart", {name: files[name] for name in names}, ends),
            expected,
            asked=f"what is read after 12 batches, of which {done} are committed",
        )

# %% [markdown] role="hint" exercise="restart"
# Which file says that a batch was planned, and which that it was finished?

# %% [markdown] role="hint" exercise="restart"
# Numbers sort otherwise than texts: `int(name[8:])`. Think of a batch -1 whose ends are `{}`.

# %% [markdown] role="hint" exercise="restart"
# ```python
# ends = {-1: {}}
# for name, text in files.items():
#     if name.startswith("offsets/"):
#         ends[...] = ...
# last = max(ends)
# ends[last + 1] = newest
# first = ...
# for batch in range(first, last + 2):
#     begin = ends[batch - 1]
#     ...
# ```


# %% role="right" exercise="restart"
def restart(files, newest):
    logs = sorted(int(n.split("/")[1]) for n in files if n.split("/")[0] == "offsets")

    def end(batch):
        if f"offsets/{batch}" not in files:
            return {}
        return next(iter(json.loads(files[f"offsets/{batch}"].split("\n")[2]).values()))

    steps = []
    last = logs[-1] if logs else -1
    if logs and f"commits/{last}" not in files:
        steps.append((last, end(last - 1), end(last)))
    steps.append((last + 1, end(last), newest))
    spans = [
        [n, {p: [a.get(p, 0), b[p]] for p in b if b[p] > a.get(p, 0)}]
        for n, a, b in steps
    ]
    return [step for step in spans if step[1]]


# %% [markdown] role="equivalent" exercise="restart" reason="the larger of two numbers does not depend on their order"
# - for batch in range(max(first, 0), last + 2):
# + for batch in range(max(0, first), last + 2):


# %% role="wrong" exercise="restart" misconception="The offsets file says what is done" caught="check" says="commits of []"
def restart(files, newest):
    ends = {-1: {}}
    for name, text in files.items():
        if name.startswith("offsets/"):
            (ends[int(name[8:])],) = json.loads(text.splitlines()[-1]).values()
    last = max(ends)
    spans = {p: [ends[last].get(p, 0), newest[p]] for p in newest}
    spans = {p: span for p, span in spans.items() if span[0] < span[1]}
    return [[last + 1, spans]] if spans else []


# %% role="wrong" exercise="restart" misconception="The repeated batch takes what is new as well" caught="check" says="commits of []"
def restart(files, newest):
    ends = {-1: {}}
    for name, text in files.items():
        if name.startswith("offsets/"):
            (ends[int(name[8:])],) = json.loads(text.splitlines()[-1]).values()
    done = max([int(n[8:]) for n in files if n.startswith("commits/")], default=-1)
    spans = {p: [ends[done].get(p, 0), newest[p]] for p in newest}
    spans = {p: span for p, span in spans.items() if span[0] < span[1]}
    return [[done + 1, spans]] if spans else []


# %% role="wrong" exercise="restart" misconception="Files sort by name" caught="hidden" says="12 batches"
def restart(files, newest):
    names = sorted(name for name in files if name.startswith("offsets/"))
    logs = [next(iter(json.loads(files[n].splitlines()[-1]).values())) for n in names]
    logs = [{}, *logs, newest]
    last = len(names) - 1
    first = last + 1 if last < 0 or f"commits/{last}" in files else last
    found = []
    for batch in range(first, last + 2):
        begin, end = logs[batch], logs[batch + 1]
        spans = {p: [begin.get(p, 0), end[p]] for p in end if end[p] > begin.get(p, 0)}
        found += [[batch, spans]] if spans else []
    return found


# %% [markdown] role="task" exercise="write-batch" points=2 topics=["4.3-3.1"]
# ### Write twice, count once
#
# Write `write_batch(folder, batch, rows)`, a sink for files. It writes the rows of a batch, dictionaries, into `folder`,
# which exists: one file for each batch, one row as JSON in each line. It returns nothing.
#
# If the same batch comes again, its rows replace those that were there, of which a crash may have left a part. Equal
# rows of one batch stay as often as they are. A batch without rows has a file without lines. (In production, write to another name first and rename, so that readers
# see all or nothing.)
#
# Example: batch 0 with `[{"id": "D1"}]`, then batch 0 with the same: one file, one line.
#
# Why: the engine gives at least once; only the sink makes it once.


# %% role="answer" exercise="write-batch"
def write_batch(folder: str, batch: int, rows: list[dict]) -> None:
    """Write the rows of a batch, so that a repetition changes nothing."""
    ### BEGIN SOLUTION
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path = pathlib.Path(folder) / f"batch-{batch}.json"
    path.write_text(text)
    ### END SOLUTION


# %% role="check" exercise="write-batch"
with lab.check("write-batch") as answer:
    for script in (
        [(0, ["D1", "D2"]), (0, ["D1", "D2"])],
        [(0, ["D1", "D1"]), (1, ["D2"]), (10, ["D1"])],
        [(3, ["D1"]), (3, ["D1", "D2"])],
        [(0, ["D1", "D2"]), (0, [])],
    ):
        folder, last = answer.folder(), {}
        for batch, ids in script:
            rows = [{"id": name, "delay": 5} for name in ids]
            answer.call("write_batch", folder, batch, rows)
            last[batch] = rows
        names = answer.files(folder)
        lines = [
            answer.read(f"{folder}/{name}").decode().splitlines() for name in names
        ]
        found = sorted([json.loads(x)["id"] for x in group] for group in lines)
        answer.equal(
            found,
            sorted([row["id"] for row in rows] for rows in last.values()),
            asked=f"the ids in each file after these batches: {script}",
        )

# %% role="hidden" exercise="write-batch"
with lab.check("write-batch", hidden=True) as answer:
    draw = answer.random
    folder, last = answer.folder(), {}
    for batch in (0, 1, 1, 2, 1, 12):
        rows = [{"id": f"Ø{draw.randrange(9)}", "gate": None} for _ in range(5)]
        answer.call("write_batch", folder, batch, rows)
        last[batch] = rows
    texts = [answer.read(f"{folder}/{name}").decode() for name in answer.files(folder)]
    answer.equal(
        sorted(([json.loads(x) for x in t.splitlines()] for t in texts), key=str),
        sorted(last.values(), key=str),
        asked="the rows in each file after six batches, one of them three times",
    )

# %% [markdown] role="hint" exercise="write-batch"
# What is the same when a batch comes again, and can be the name of its file?

# %% [markdown] role="hint" exercise="write-batch"
# `Path.write_text` replaces a file. `json.dumps` makes one line.

# %% [markdown] role="hint" exercise="write-batch"
# ```python
# text = "".join(... for row in rows)
# path = pathlib.Path(folder) / ...
# path.write_text(...)
# ```


# %% role="right" exercise="write-batch"
def write_batch(folder, batch, rows):
    import os

    path = os.path.join(folder, f".{batch}.part")
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False), file=file)
    os.replace(path, os.path.join(folder, f"{batch:06}.jsonl"))


# %% role="wrong" exercise="write-batch" misconception="Append, as a stream does" caught="check" says="ids in each file"
def write_batch(folder, batch, rows):
    with open(f"{folder}/batch-{batch}.json", "a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# %% role="wrong" exercise="write-batch" misconception="A name that is always new never collides" caught="check" says="ids in each file"
def write_batch(folder, batch, rows):
    name = f"batch-{batch}-{len([*pathlib.Path(folder).iterdir()])}"
    part = pathlib.Path(folder) / f".{name}"
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    part.replace(pathlib.Path(folder) / name)


# %% role="wrong" exercise="write-batch" misconception="Equal rows are repeats" caught="check" says="ids in each file"
def write_batch(folder, batch, rows):
    part = pathlib.Path(folder) / f".batch-{batch}"
    lines = dict.fromkeys(json.dumps(row) + "\n" for row in rows)
    part.write_text("".join(lines))
    part.replace(pathlib.Path(folder) / f"batch-{batch}.json")


# %% role="wrong" exercise="write-batch" misconception="What is there is complete" caught="check" says="ids in each file"
def write_batch(folder, batch, rows):
    path = pathlib.Path(folder) / f"batch-{batch}.json"
    if not path.exists():
        part = pathlib.Path(folder) / f".batch-{batch}"
        part.write_text("".join(json.dumps(row) + "\n" for row in rows))
        part.replace(path)


# %% [markdown]
# Now your sink, with the same crash. Then somebody deletes the checkpoint, to "start clean", and takes larger batches.
#
# **Predict:** how many rows are there after each?


# %%
def total(folder):
    """How many rows lie in a folder, and how many different."""
    texts = [path.read_text().splitlines() for path in folder.glob("[!.]*")]
    ids = [json.loads(line)["id"] for lines in texts for line in lines]
    return f"{len(ids)} rows, {len(set(ids))} different"


out, checkpoint = HOME / "out", HOME / "once"
out.mkdir(exist_ok=True)
print(run(lambda n, rows: write_batch(str(out), n, rows), checkpoint, die_in=1))
for _ in range(2):  # the report of the repeated batch fails once
    print(run(lambda n, rows: write_batch(str(out), n, rows), checkpoint))
print("after restarts:      ", total(out))
shutil.rmtree(checkpoint)
run(lambda n, rows: write_batch(str(out), n, rows), checkpoint, most=150)
print("checkpoint was lost: ", total(out))

# %% [markdown]
# Without checkpoint, batch 0 is another batch: 150 rows. Batches 0 and 1 replace the old ones, old batch 2 stays and its
# rows are there twice. A batch's number means something only together with its checkpoint. So keep both in step, or use
# a key of the data, such as the event's id.

# %% [markdown] topics=["4.3-3.1", "4.3-4"]
# ## The delay board
#
# `withWatermark("departed", "10 minutes")` sets a watermark: the newest `departed` seen, less ten minutes, over the whole
# query. It moves only *between* batches, and is used with a delay of one batch, so that operators that follow each other
# agree:
#
# | Batch | Newest so far | Watermark in use | So |
# |---|---|---|---|
# | first | 16:00 | none | nothing is late |
# | second | 16:05 | none | 15:49 counts |
# | third | 16:05 | 15:50, from the first | 15:49 and 15:50 are dropped, 15:51 counts |
#
# Both ways to drop repeats drop what is at or before the watermark, even if its hour is still open. They differ in what they
# keep: `dropDuplicatesWithinWatermark(["id"])` remembers an id until the watermark passes its first event by the wait;
# `dropDuplicates(["id"])` remembers every id for ever, and its state grows until the memory is full.
#
# The *output mode* says what a batch writes: `append` gives an hour once, when it is closed; `update` gives changed hours;
# `complete` gives all, and keeps all.
#
# **Predict:** the watermark waits 10 minutes. Are more events dropped with small batches or with large ones?


# %%
LIMIT = {"most": 200, "seconds": 30}  # messages in a batch; how long a query may take


def stream(events):
    """Events as a streaming DataFrame: `id`, `origin`, `departed`, `delay`."""
    topic = f"board-{next(TOPIC)}"
    send(topic, events)
    schema = "id string, origin string, departed timestamp, delay int"
    value = F.from_json(F.col("value").cast("string"), schema)
    return read(topic, LIMIT["most"]).select(value.alias("event")).select("event.*")


def show(table, mode):
    """Run a streaming DataFrame to its end; its rows as dictionaries."""
    name = f"rows_{next(TOPIC)}"
    writer = table.writeStream.format("memory").queryName(name).outputMode(mode)
    query = writer.trigger(availableNow=True).start()
    if not query.awaitTermination(LIMIT["seconds"]):
        query.stop()
        raise TimeoutError(f"the query did not end within {LIMIT['seconds']} seconds")
    return spark.table(name).toArrow().to_pylist()


TOPIC = itertools.count(1)
for most in (924, 100):
    LIMIT["most"] = most
    rows = stream(DAY).withWatermark("departed", "10 minutes")
    kept = rows.dropDuplicatesWithinWatermark(["id"]).groupBy().count()
    print(f"batches of {most}: {show(kept, 'complete')[0]['count']} events kept")

# %% [markdown]
# With one batch the watermark has not moved when the events are read: nothing is late. With smaller batches it moves
# more often, so events are late in time. The size of the batches is part of the answer.

# %% [markdown] role="task" exercise="board" points=4 topics=["4.3-3.1", "4.3-4"]
# ### The board
#
# Write `board(events, wait)`. Make a stream with `stream(events)`. Its watermark is the newest `departed`, less `wait`
# minutes. An `id` counts once, as it came first; events at or before the watermark do not count. Then compute departures and mean
# delay by airport and hour of `departed`. Run it with `show(table, mode)`; the hours that are still open must be there
# too, and each hour once.
#
# Return the list of `show`: dictionaries with `origin`, `hour` (the start of the hour, a datetime), `departures` and
# `delay` (the mean).
#
# Example: `wait` is 10, and 16:00 is in the first batch. In the second, 15:49 still counts. In the third it is dropped,
# and 15:51 counts.
#
# Why: the same lines run on a cluster.


# %%
def watched(events, wait, most):
    """The rows of a board with batches of so many messages."""
    before, LIMIT["most"] = LIMIT["most"], most
    try:
        return board(events, wait)
    finally:
        LIMIT["most"] = before


# %% role="answer" exercise="board"
def board(events: list[dict], wait: int) -> list[dict]:
    """Departures and mean delay by airport and hour, from a stream."""
    ### BEGIN SOLUTION
    rows = stream(events).withWatermark("departed", f"{wait} minutes")
    once = rows.dropDuplicatesWithinWatermark(["id"])
    hours = once.groupBy("origin", F.window("departed", "1 hour"))
    table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
    hour = F.col("window.start").alias("hour")
    return show(table.select("origin", hour, "departures", "delay"), "complete")
    ### END SOLUTION


# %% role="check" exercise="board"
with lab.check("board") as answer:
    answer.value("board")
    script = (
        "D1 EWR 14:20 3, D2 EWR 16:00 6, D3 JFK 15:05 -4, D4 EWR 15:49 90, D5 JFK 15:51 9, "
        "D6 EWR 16:05 1, D2 EWR 16:00 7, D7 LGA 15:55 8, D8 LGA 15:49 50"
    )
    events = []
    for text in script.split(", "):
        name, origin, clock, delay = text.split()
        moment = datetime(2013, 7, 10, int(clock[:2]), int(clock[3:]), tzinfo=UTC)
        event = {"id": name, "origin": origin, "departed": moment, "arrived": moment}
        events.append(event | {"delay": int(delay)})
    expected = "EWR 14 1 3, EWR 15 1 90, EWR 16 2 3.5, JFK 15 2 2.5, LGA 15 1 8"
    answer.same_rows(
        answer.call("watched", events, 10, 3),
        [
            {"origin": o, "hour": datetime(2013, 7, 10, int(h), tzinfo=UTC)}
            | {"departures": int(n), "delay": float(mean)}
            for o, h, n, mean in [text.split() for text in expected.split(", ")]
        ],
        asked=f"the board with wait 10, in batches of three (id, origin, departed, delay): {script}",
        key=["origin", "hour"],
    )

# %% role="hidden" exercise="board"
with lab.check("board", hidden=True) as answer:
    answer.value("board")
    draw = answer.random
    start = datetime(2013, 7, 9, 22, 3, tzinfo=UTC)
    wait, events = draw.choice([20, 35]), []
    for number in range(16):
        moment = start + timedelta(minutes=9 * number - draw.choice([0, 0, 9, 80]))
        event = {"id": f"Ø{number}", "origin": draw.choice(["ÉWR", "JFK"])}
        event |= {
            "departed": moment,
            "delay": draw.randrange(-9, 99),
            "arrived": moment,
        }
        events += [event] if number % 5 else [event, event]
    events[2]["departed"] = start + timedelta(minutes=77)
    events[15]["departed"] = start  # late for certain
    limit, mark, newest, groups = *[start - timedelta(days=9)] * 3, {}
    for number, event in enumerate(events):
        if number % 7 == 0:
            limit, mark = mark, newest - timedelta(minutes=wait)
        newest = max(newest, event["departed"])
        hour = event["departed"].replace(minute=0)
        if event["departed"] > limit:
            groups.setdefault((event["origin"], hour), {})[event["id"]] = event["delay"]
    answer.same_rows(
        answer.call("watched", events, wait, 7),
        [
            {"origin": o, "hour": h, "departures": len(d)}
            | {"delay": sum(d.values()) / len(d)}
            for (o, h), d in groups.items()
        ],
        asked=f"the board of {len(events)} events around midnight, some late, some twice, with "
        f"wait {wait}, in batches of seven",
        key=["origin", "hour"],
    )

# %% [markdown] role="hint" exercise="board"
# Which operation drops late events and repeats? Which output mode also gives hours that are not closed?

# %% [markdown] role="hint" exercise="board"
# First `withWatermark`, then the repeats, then `groupBy("origin", F.window(...))`. The start is `F.col("window.start")`.

# %% [markdown] role="hint" exercise="board"
# ```python
# rows = stream(events).withWatermark(...)
# once = rows....
# hours = once.groupBy("origin", F.window("departed", ...))
# table = hours.agg(F.count("id").alias(...), ...)
# return show(table.select("origin", ...), ...)
# ```


# %% role="right" exercise="board"
def board(events, wait):
    rows = stream(events).withWatermark("departed", f"{wait * 60} seconds")
    rows = rows.dropDuplicates(["id", "departed"])
    rows = rows.groupBy(F.window(F.col("departed"), "60 minutes"), F.col("origin"))
    table = rows.agg(F.expr("count(*) AS departures"), F.mean("delay").alias("delay"))
    return show(
        table.selectExpr("origin", "window.start AS hour", "departures", "delay"),
        "complete",
    )


# %% [markdown] role="equivalent" exercise="board" reason="The order of keys plays no part"
# - hours = once.groupBy("origin", F.window("departed", "1 hour"))
# + hours = once.groupBy(F.window("departed", "1 hour"), "origin")

# %% [markdown] role="equivalent" exercise="board" reason="The order of columns plays no part"
# - table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
# + table = hours.agg(F.avg("delay").alias("delay"), F.count("id").alias("departures"))

# %% [markdown] role="equivalent" exercise="board" reason="The order of columns plays no part"
# - return show(table.select("origin", hour, "departures", "delay"), "complete")
# + return show(table.select(hour, "origin", "departures", "delay"), "complete")


# %% role="wrong" exercise="board" misconception="Append gives all hours at the end" caught="check" says="missing"
def board(events, wait):
    rows = stream(events).withWatermark("departed", f"{wait} minutes")
    once = rows.dropDuplicatesWithinWatermark(["id"])
    hours = once.groupBy("origin", F.window("departed", "1 hour"))
    table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
    hour = F.col("window.start").alias("hour")
    return show(table.select("origin", hour, "departures", "delay"), "append")


# %% role="wrong" exercise="board" misconception="An update replaces the row before" caught="check" says="the board"
def board(events, wait):
    rows = stream(events).withWatermark("departed", f"{wait} minutes")
    once = rows.dropDuplicatesWithinWatermark(["id"])
    hours = once.groupBy("origin", F.window("departed", "1 hour"))
    table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
    hour = F.col("window.start").alias("hour")
    return show(table.select("origin", hour, "departures", "delay"), "update")


# %% role="wrong" exercise="board" misconception="Checkpoints make repeats impossible" caught="check" says="departures"
def board(events, wait):
    rows = stream(events).withWatermark("departed", f"{wait} minutes")
    hours = rows.groupBy("origin", F.window("departed", "1 hour"))
    table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
    hour = F.col("window.start").alias("hour")
    return show(table.select("origin", hour, "departures", "delay"), "complete")


# %% role="wrong" exercise="board" misconception="Only append mode needs a watermark" caught="check" says="LGA"
def board(events, wait):
    once = stream(events).dropDuplicates(["id"])
    hours = once.groupBy("origin", F.window("departed", "1 hour"))
    table = hours.agg(F.count("id").alias("departures"), F.avg("delay").alias("delay"))
    hour = F.col("window.start").alias("hour")
    return show(table.select("origin", hour, "departures", "delay"), "complete")


# %% [markdown]
# Now the whole day: 924 events, some six hours late. The same question is asked of every engine of this module, and the answer
# compared with that of a batch job over all events: 66 *cells*, an airport and an hour each. First the wait is long enough for
# all.

# %%
LIMIT |= {"most": 200, "seconds": 200}
engines.compare("Spark", spark.version, board, stream, show, read, send)

# %%
for wait in (engines.HASTE, engines.PATIENCE):
    rows = board(engines.events(), wait) or []
    print("wait", wait, "- departures counted:", sum(row["departures"] for row in rows))

# %% [markdown]
# Spark has watermark, windows, repeats and state of its own; it needed `complete` mode to show open hours, and that mode
# keeps every hour for ever. With a short wait few events are left out, because the watermark moves only after a batch.
# It belongs to the whole query, not to an airport.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | read a plan | the final one; `BroadcastExchange` is no shuffle |
# | repair skew | salt the large keys, copy the other side |
# | restart a query | offsets without commit: the batch again |
# | write once | the sink replaces by batch, with its checkpoint |
# | answer by event time | the watermark moves between batches |
#
# **New words.** *Shuffle*: rows move to the task of their key. *Skew*: one key has too many. *Micro-batch*: what is new,
# as one job. *Output mode*: what of the result a batch writes.
#
# **Read on.** Apache Spark documentation, "Performance Tuning" and "Structured Streaming Programming Guide". J. Damji
# and others, *Learning Spark*, 2nd edition (2020).

# %%
lab.close()
