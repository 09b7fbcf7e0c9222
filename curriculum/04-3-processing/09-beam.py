# %% [markdown] minutes=60 datasets=["departure-events"] systems=[] layers=["beam"]
# # One pipeline, several runners: Apache Beam
#
# The pipeline passed its tests on a laptop. On the cluster all hours became one, and no error said so. You
# write windows, merges, state and effects that hold on every runner, and measure what a runner leaves out.

# %% [markdown]
# ## You will be able to
#
# - count in windows of event time (exercise 1)
# - write a combiner that may be merged in any way (exercise 2)
# - choose triggers, lateness and mode, and test them with a scripted stream (exercise 3)
# - keep state for each key, and forget it in time (exercise 4)
# - write effects that may happen twice (exercise 5)
# - put all that into one pipeline (exercise 6)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Event time: windows and watermarks* | windows, watermarks, panes and lateness come from there |
# | SQL: `INSERT … ON CONFLICT` | exercise 5 |
#
# Beam is the real one, and so are its runners: the direct runner in this process, and Dask's with a worker process
# of its own. Flights and delays are real, arrival times invented.

# %% role="setup"
import itertools
import logging
import os
import pickle
import signal
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt

from labkit import engines, open_lab, picture

logging.disable(logging.CRITICAL)  # Beam and Dask log each retry
lab = open_lab("04-3-processing/09-beam")
lab

# %%
import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms import trigger, userstate
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue
from apache_beam.utils import interactive_utils
from dask.distributed import LocalCluster

# Beam's extras for notebooks need an older pandas, and its Dask runner refuses
# notebooks: here, Beam takes this one for a program.
interactive_utils.is_in_ipython = lambda: False

# Beam leaves folders behind: they go where this notebook removes them.
scratch = tempfile.TemporaryDirectory()
tempfile.tempdir = scratch.name

DIRECT = "BundleBasedDirectRunner"
DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"


def collect(build, source, runner=DIRECT, flags=()):
    """Run a pipeline: the elements of build(source), as a list."""
    flags = [*flags, "--auto_unique_labels"]
    if isinstance(source, TestStream):
        flags.append("--streaming")
    with tempfile.NamedTemporaryFile() as file:
        path = file.name

        def keep(element):
            with open(path, "ab") as sink:
                pickle.dump(element, sink)

        pipeline = beam.Pipeline(runner, options=PipelineOptions(flags))
        build(pipeline | "source" >> source) | "keep" >> beam.Map(keep)
        result = pipeline.run()
        try:
            result.wait_until_finish()
        finally:
            if runner == DASK:
                result.client.close()
        found = []
        while file.peek(1):
            found.append(pickle.load(file))
    return found


def dask_cluster():
    """Dask with one worker process, which is started again when it dies."""
    return LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
        preload="import logging; logging.disable(logging.CRITICAL)",
    )


def on_dask(cluster):
    """What `collect` needs to run on this cluster."""
    return {
        "runner": DASK,
        "flags": ["--dask_client_address", cluster.scheduler_address],
    }


EVENTS = engines.events()
print(f"Beam {beam.__version__}, {len(EVENTS)} events in order of arrival, for example")
print(EVENTS[400])

# %% [markdown] topics=["4.3-3.3"]
# ## The board that lost its hours
#
# A Beam *pipeline* is a description: *PCollections* (elements without order or size, each with a timestamp and a
# window) and *transforms* between them. A *runner* executes it. `Map` and `ParDo` call your code for each element;
# the runner pickles that code and sends it to workers. So a list that your code appends to is a copy; `collect`
# writes to a file.
#
# Here is the same pipeline on two runners. `Create` gives its elements no time of their own; a `TimestampedValue` does.
#
# **Predict:** which runner puts departures into hours?


# %%
def hours(rows):
    return (
        rows
        | beam.Map(lambda r: TimestampedValue(r["origin"], r["departed"].timestamp()))
        | beam.WindowInto(FixedWindows(3600))
        | beam.combiners.Count.PerElement()
        | beam.Map(
            lambda pair, window=beam.DoFn.WindowParam: (*pair, float(window.start))
        )
    )


with dask_cluster() as cluster:
    for name, runner in {"direct": {}, "Dask": on_dask(cluster)}.items():
        found = collect(hours, beam.Create(EVENTS), **runner)
        print(
            f"{name:<6} {len(found):>2} cells,", len({f[2] for f in found}), "windows;"
        )
        print("       for example", min(found))

# %% [markdown]
# Both count 924 messages. Dask's runner, which Beam ships, drops the timestamps that a step assigns: all is in one
# window, at Beam's smallest time. No error, no log. *A pipeline is portable as far as you have tested it on the
# runner that will run it.*
#
# From now on, the direct runner. Under the name `DirectRunner`, Beam picks one of three for each pipeline: Prism, the
# FnApiRunner or the BundleBasedDirectRunner. `collect` names the last, as it needs no download and runs scripted streams.
#
# `beam.DoFn.WindowParam` gives a step the window of its element; this makes its
# start a datetime:


# %%
def start_of(window):
    """The start of a window, in UTC."""
    return window.start.to_utc_datetime(has_tz=True)


# %% [markdown] role="task" exercise="windowed" points=2 topics=["4.3-3.3"]
# ### Count by event time
#
# Write `windowed(events, size)`. An event is a dictionary with `id`, `origin`, `departed`, `arrived` (datetimes with a
# zone) and `delay`; `size` is the windows' length in minutes. Beam's times and lengths are seconds.
#
# Count the departures by airport and window of *event time*. Return a list of dictionaries with `origin`, `start` (a
# datetime with a zone) and `departures`. Run the pipeline with `collect(build, beam.Create(events))`.
#
# Example: two departures from JFK, at 13:05 and 13:50 UTC, with `size` 30: one in the window from 13:00, one in that
# from 13:30.
#
# Why: without a timestamp, every element has the same one.


# %% role="answer" exercise="windowed"
def windowed(events: list[dict], size: int) -> list[dict]:
    """Departures by airport and window of event time."""

    ### BEGIN SOLUTION
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    def build(rows):
        return (
            rows
            | beam.Map(
                lambda e: TimestampedValue(e["origin"], e["departed"].timestamp())
            )
            | beam.WindowInto(FixedWindows(60 * size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        )

    return collect(build, beam.Create(events))
    ### END SOLUTION


# %% role="check" exercise="windowed"
with lab.check("windowed") as answer:
    events = [
        {
            "id": f"D{n}",
            "origin": origin,
            "departed": datetime.fromisoformat(departed),
            "arrived": datetime.fromisoformat("2013-07-10T16:10:00+00:00"),
            "delay": 7,
        }
        for n, (origin, departed) in enumerate(
            [
                ("JFK", "2013-07-10T13:05:00+00:00"),
                ("JFK", "2013-07-10T13:50:00+00:00"),
                ("JFK", "2013-07-10T09:29:59-04:00"),
                ("EWR", "2013-07-10T13:30:00+00:00"),
            ]
        )
    ]
    shown = [(e["origin"], e["departed"].isoformat()) for e in events]
    for size, expected in {
        30: [("JFK", "13:00", 2), ("JFK", "13:30", 1), ("EWR", "13:30", 1)],
        60: [("JFK", "13:00", 3), ("EWR", "13:00", 1)],
    }.items():
        answer.same_rows(
            answer.call("windowed", events, size),
            [
                {
                    "origin": origin,
                    "start": datetime.fromisoformat(f"2013-07-10T{start}:00+00:00"),
                    "departures": departures,
                }
                for origin, start, departures in expected
            ],
            key=["origin", "start"],
            asked=f"departures by airport and window of {size} minutes of {shown}",
        )

# %% role="hidden" exercise="windowed"
with lab.check("windowed", hidden=True) as answer:
    size = answer.random.choice([15, 20, 45])
    events, expected = [], {}
    for n in range(40):
        minute = answer.random.randrange(10**6, 10**6 + 240)
        origin = answer.random.choice(["JFK", "ÉÉÉ", "LGA"])
        departed = datetime.fromtimestamp(60 * minute, UTC)
        late = departed + timedelta(minutes=answer.random.randrange(400))
        times = {"departed": departed, "arrived": late}
        events.append({"id": f"D{n}", "origin": origin, "delay": n} | times)
        key = (origin, datetime.fromtimestamp(60 * (minute // size * size), UTC))
        expected[key] = expected.get(key, 0) + 1
    answer.same_rows(
        answer.call("windowed", events, size),
        [
            {"origin": origin, "start": start, "departures": n}
            for (origin, start), n in expected.items()
        ],
        asked=f"departures of 40 events by airport and window of {size} minutes",
    )

# %% [markdown] role="hint" exercise="windowed"
# Which time does an element have when it comes out of `Create`? Which of its two clocks should it have?

# %% [markdown] role="hint" exercise="windowed"
# The pipeline `hours` above is nearly it. What in it is fixed, and what must a row hold? Give the last step a function
# with `window=beam.DoFn.WindowParam`.

# %% [markdown] role="hint" exercise="windowed"
# ```python
# def row(pair, window=beam.DoFn.WindowParam):
#     return {"origin": pair[0], "start": ..., "departures": ...}
#
# def build(rows):
#     return (
#         rows
#         | beam.Map(lambda e: TimestampedValue(..., ...))
#         | beam.WindowInto(...)
#         | beam.combiners.Count.PerElement()
#         | beam.Map(row)
#     )
#
# return collect(build, beam.Create(events))
# ```


# %% role="right" exercise="windowed"
def windowed(events, size):
    class Stamp(beam.DoFn):
        def process(self, event):
            yield TimestampedValue((event["origin"], 1), event["departed"].timestamp())

    class Row(beam.DoFn):
        def process(self, pair, window=beam.DoFn.WindowParam):
            start = datetime.fromtimestamp(float(window.start), UTC)
            yield {"departures": sum(pair[1]), "origin": pair[0], "start": start}

    return collect(
        lambda rows: (
            rows
            | beam.ParDo(Stamp())
            | beam.WindowInto(FixedWindows(size * 60))
            | beam.GroupByKey()
            | beam.ParDo(Row())
        ),
        beam.Create(events),
    )


# %% role="wrong" exercise="windowed" misconception="WindowInto finds the time of an event by itself" caught="check" says="windowed raised"
def windowed(events, size):
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    return collect(
        lambda rows: (
            rows
            | beam.Map(lambda e: e["origin"])
            | beam.WindowInto(FixedWindows(60 * size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        ),
        beam.Create(events),
    )


# %% role="wrong" exercise="windowed" misconception="An event happens when it arrives" caught="check" says="a row that should not be there"
def windowed(events, size):
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    return collect(
        lambda rows: (
            rows
            | beam.Map(
                lambda e: TimestampedValue(e["origin"], e["arrived"].timestamp())
            )
            | beam.WindowInto(FixedWindows(60 * size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        ),
        beam.Create(events),
    )


# %% role="wrong" exercise="windowed" misconception="Windows are measured in minutes" caught="check" says="a row that should not be there"
def windowed(events, size):
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    return collect(
        lambda rows: (
            rows
            | beam.Map(
                lambda e: TimestampedValue(e["origin"], e["departed"].timestamp())
            )
            | beam.WindowInto(FixedWindows(size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        ),
        beam.Create(events),
    )


# %% role="wrong" exercise="windowed" misconception="The zone of a time is decoration" caught="check" says="column departures holds 1"
def windowed(events, size):
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    return collect(
        lambda rows: (
            rows
            | beam.Map(
                lambda e: TimestampedValue(
                    e["origin"], e["departed"].replace(tzinfo=UTC).timestamp()
                )
            )
            | beam.WindowInto(FixedWindows(60 * size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        ),
        beam.Create(events),
    )


# %% role="wrong" exercise="windowed" misconception="Any windows of that length will do" caught="check" says="should not be there"
def windowed(events, size):
    def row(pair, window=beam.DoFn.WindowParam):
        return {"origin": pair[0], "start": start_of(window), "departures": pair[1]}

    return collect(
        lambda rows: (
            rows
            | beam.Map(
                lambda e: TimestampedValue(e["origin"], e["departed"].timestamp())
            )
            | beam.WindowInto(SlidingWindows(60 * size, 30 * size))
            | beam.combiners.Count.PerElement()
            | beam.Map(row)
        ),
        beam.Create(events),
    )


# %% [markdown] topics=["4.3-3.3"]
# ## Parts that meet
#
# A runner may add up elements in parts, on several workers, and merge the parts. A *CombineFn* says how: an empty
# *accumulator*, one more element, several accumulators merged, the result. Here is a mean whose accumulator is the
# mean so far.
#
# **Predict:** delays of 0, 0, 0 and 60 minutes. Which mean does each runner show?


# %%
class MeanSoFar(beam.CombineFn):
    def create_accumulator(self):
        return (0, 0)  # elements, their mean

    def add_input(self, part, delay):
        return (part[0] + 1, (part[0] * part[1] + delay) / (part[0] + 1))

    def merge_accumulators(self, parts):
        counts, means = zip(*parts, strict=True)
        return (sum(counts), sum(means) / len(means))

    def extract_output(self, part):
        return part[1]


with dask_cluster() as cluster:
    for name, runner in {"direct": {}, "Dask": on_dask(cluster)}.items():
        source = beam.Create([0, 0, 0, 60])
        mean = collect(
            lambda p: p | beam.CombineGlobally(MeanSoFar()), source, **runner
        )
        print(f"{name:<6} {mean[0]:.0f} minutes")

# %% [markdown]
# The direct runner adds up all in one part, and hides the error; Dask's makes three parts. The mean of means is no mean.
# An accumulator must hold what can be added: any order and any tree of merges then give the same.

# %% [markdown] role="task" exercise="delays" points=2 topics=["4.3-3.3"]
# ### Merge in any way
#
# Write `delays()`: it returns a CombineFn, whose four methods are those of `MeanSoFar`. The accumulator's form is yours.
#
# - The result is a dictionary with `departures`, `mean` (minutes) and `late`, the share of departures that are 15 minutes late or
#   more. Of no departures, `mean` and `late` are `None`.
# - `merge_accumulators` gets an iterable, perhaps a generator, of at least one part. Parts may be empty ones.
# - Each worker calls a combiner of its own: all that counts is in the accumulator.
#
# Example: 0 and 60, added to two parts and merged, give 2 departures, a mean of 30 and 0.5.
#
# Why: the runner chooses the parts, and chooses anew each day.


# %%
def in_parts(groups):
    """What comes out of groups that are added up apart, then merged up to three at a time."""
    parts = []
    for group in groups:
        combiner = delays()  # each worker has its own
        part = combiner.create_accumulator()
        for delay in group:
            part = combiner.add_input(part, delay)
        parts.append(pickle.dumps(part))  # parts travel between workers
    for _ in groups:  # more often than needed: at last, one part alone
        some = (pickle.loads(part) for part in parts[:3])
        parts = [*parts[3:], pickle.dumps(delays().merge_accumulators(some))]
    return delays().extract_output(pickle.loads(parts[0]))


# %% role="answer" exercise="delays"
def delays() -> beam.CombineFn:
    """A combiner for departures, their mean delay and the share of late ones."""

    ### BEGIN SOLUTION
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay >= 15))

        def merge_accumulators(self, parts):
            n, minutes, late = self.create_accumulator()
            for part in parts:
                n, minutes, late = n + part[0], minutes + part[1], late + part[2]
            return (n, minutes, late)

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()
    ### END SOLUTION


# %% role="check" exercise="delays"
with lab.check("delays") as answer:
    answer.value("delays")
    for groups, expected in [
        ([[0], [60]], (2, 30, 0.5)),
        ([[0, 0, 0], [60]], (4, 15, 0.25)),
        ([[15], [14, 16]], (3, 15, 2 / 3)),
        ([[-6, -4], [], [70]], (3, 20, 1 / 3)),
        ([[1], [2], [3], [14], [30]], (5, 10, 1 / 5)),
        ([[], []], (0, None, None)),
    ]:
        answer.equal(
            answer.call("in_parts", groups),
            dict(zip(("departures", "mean", "late"), expected, strict=True)),
            asked=f"the result of {groups}, each list added up apart, then merged",
        )

# %% role="hidden" exercise="delays"
with lab.check("delays", hidden=True) as answer:
    answer.value("delays")
    for sizes in ([5, 1, 40], [3, 0, 0, 9, 2]):
        groups = [[answer.random.randrange(-20, 90) for _ in range(n)] for n in sizes]
        flat = [delay for group in groups for delay in group]
        answer.equal(
            answer.call("in_parts", groups),
            {
                "departures": len(flat),
                "mean": sum(flat) / len(flat),
                "late": sum(delay >= 15 for delay in flat) / len(flat),
            },
            asked=f"the result of groups of {sizes} delays, added up apart, then merged",
        )

# %% [markdown] role="hint" exercise="delays"
# From which numbers of two groups can you compute the mean of both? When may you divide?

# %% [markdown] role="hint" exercise="delays"
# Three numbers are enough, and all three are sums. A generator can be walked through once: make a list of it, or use one
# loop.

# %% [markdown] role="hint" exercise="delays"
# ```python
# class Delays(beam.CombineFn):
#     def create_accumulator(self):
#         return (0, 0, 0)
#
#     def add_input(self, part, delay):
#         return (part[0] + 1, ..., ...)
#
#     def merge_accumulators(self, parts):
#         n, minutes, late = self.create_accumulator()
#         for part in parts:
#             ...
#         return (n, minutes, late)
#
#     def extract_output(self, part):
#         ...  # no departures first
#         return {"departures": ..., "mean": ..., "late": ...}
#
# return Delays()
# ```


# %% role="right" exercise="delays"
def delays():
    class Sums(beam.CombineFn):
        def create_accumulator(self):
            return {"n": 0, "sum": 0, "late": 0}

        def add_input(self, part, delay):
            part["n"] += 1
            part["sum"] += delay
            part["late"] += 1 if delay > 14 else 0
            return part

        def merge_accumulators(self, parts):
            whole = self.create_accumulator()
            for part in parts:
                whole = {name: whole[name] + part[name] for name in whole}
            return whole

        def extract_output(self, part):
            n = part["n"]
            return {
                "late": part["late"] / n if n else None,
                "mean": part["sum"] / n if n else None,
                "departures": n,
            }

    return Sums()


# %% role="right" exercise="delays"
def delays():
    import statistics

    class All(beam.CombineFn):
        def create_accumulator(self):
            return []

        def add_input(self, part, delay):
            return [*part, delay]

        def merge_accumulators(self, parts):
            return [*itertools.chain.from_iterable(parts)]

        def extract_output(self, part):
            found = {"departures": len(part), "mean": None, "late": None}
            if part:
                found["mean"] = statistics.mean(part)
                found["late"] = statistics.mean(float(delay >= 15) for delay in part)
            return found

    return All()


# %% role="wrong" exercise="delays" misconception="The mean of the parts' means is the mean" caught="check" says="[[0, 0, 0], [60]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (
                part[0] + 1,
                part[1] + (delay - part[1]) / (part[0] + 1),
                part[2] + (delay >= 15),
            )

        def merge_accumulators(self, parts):
            return self.mean_of([part for part in parts if part[0]] or [(0, 0, 0)])

        def extract_output(self, part):
            n, mean, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": mean, "late": late / n}

        def mean_of(self, full):
            n, means, late = (sum(column) for column in zip(*full, strict=True))
            return (n, means / len(full), late)

    return Delays()


# %% role="wrong" exercise="delays" misconception="Parts can be read as often as you like" caught="check" says="[[0], [60]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay >= 15))

        def merge_accumulators(self, parts):
            return tuple(sum(part[n] for part in parts) for n in range(3))

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="There is always a departure" caught="check" says="ZeroDivisionError"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay >= 15))

        def merge_accumulators(self, parts):
            n, minutes, late = self.create_accumulator()
            for part in parts:
                n, minutes, late = n + part[0], minutes + part[1], late + part[2]
            return (n, minutes, late)

        def extract_output(self, part):
            n, minutes, late = part
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="Who leaves early is on time, with a delay of 0" caught="check" says="[[-6, -4], [], [70]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (
                part[0] + 1,
                part[1] + max(delay, 0),
                part[2] + (delay >= 15),
            )

        def merge_accumulators(self, parts):
            n, minutes, late = self.create_accumulator()
            for part in parts:
                n, minutes, late = n + part[0], minutes + part[1], late + part[2]
            return (n, minutes, late)

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="Late is more than 15 minutes" caught="check" says="[[15], [14, 16]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay > 15))

        def merge_accumulators(self, parts):
            n, minutes, late = self.create_accumulator()
            for part in parts:
                n, minutes, late = n + part[0], minutes + part[1], late + part[2]
            return (n, minutes, late)

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="The fullest part stands for all" caught="check" says="[[0], [60]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay >= 15))

        def merge_accumulators(self, parts):
            return max(parts)

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="A combiner sees all elements, so it may count them itself" caught="check" says="[[0], [60]]"
def delays():
    class Delays(beam.CombineFn):
        def __init__(self):
            self.seen = []

        def create_accumulator(self):
            return ()

        def add_input(self, part, delay):
            self.seen.append(delay)
            return part

        def merge_accumulators(self, parts):
            return ()

        def extract_output(self, part):
            n, late = len(self.seen), sum(delay >= 15 for delay in self.seen)
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": sum(self.seen) / n, "late": late / n}

    return Delays()


# %% role="wrong" exercise="delays" misconception="Two parts are merged at a time" caught="check" says="[[-6, -4], [], [70]]"
def delays():
    class Delays(beam.CombineFn):
        def create_accumulator(self):
            return (0, 0, 0)

        def add_input(self, part, delay):
            return (part[0] + 1, part[1] + delay, part[2] + (delay >= 15))

        def merge_accumulators(self, parts):
            left, *rest = parts
            right = rest[0] if rest else self.create_accumulator()
            return tuple(a + b for a, b in zip(left, right, strict=True))

        def extract_output(self, part):
            n, minutes, late = part
            if n == 0:
                return {"departures": 0, "mean": None, "late": None}
            return {"departures": n, "mean": minutes / n, "late": late / n}

    return Delays()


# %%
with dask_cluster() as cluster:
    for name, runner in {"direct": {}, "Dask": on_dask(cluster)}.items():
        combiner, source = delays(), beam.Create([0, 0, 0, 60])
        if combiner is None:
            print("not started")
            break
        found = collect(
            lambda p, c=combiner: p | beam.CombineGlobally(c), source, **runner
        )
        print(f"{name:<6} {found[0]}")

# %% [markdown] topics=["4.3-3.3"]
# ## What a runner leaves out
#
# The name of the runner is one argument; what it supports is not one thing. Each line below is a small pipeline, run by
# both. A *side input* is a second PCollection that each element sees whole (here: the airports' cities). `with_outputs`
# splits a PCollection by tags. A *stateful* step remembers something for each key.
#
# **Predict:** which of these does Dask's runner do, which does it refuse, and which does it get wrong?


# %%
class Keep(beam.DoFn):
    SEEN = beam.DoFn.StateParam(
        userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
    )

    def process(self, pair, seen=SEEN):
        seen.write(1)
        yield pair


def side_input(p):
    cities = p.pipeline | "cities" >> beam.Create(
        [("JFK", "New York"), ("EWR", "Newark")]
    )
    return p | beam.Map(lambda e, names: names[e[0]], names=beam.pvalue.AsDict(cities))


def tagged(p):
    def tag(e):
        return beam.pvalue.TaggedOutput("late", e) if e[1] > 14 else e

    return (p | beam.Map(tag).with_outputs("late", main="punctual")).late


PAIRS = [("EWR", 3), ("JFK", 20)]
FEATURES = {
    "side input": (side_input, lambda: beam.Create(PAIRS)),
    "tags": (tagged, lambda: beam.Create(PAIRS)),
    "state": (lambda p: p | beam.ParDo(Keep()), lambda: beam.Create(PAIRS)),
    "stream": (lambda p: p | beam.Map(str), lambda: TestStream().add_elements(["EWR"])),
}
with dask_cluster() as cluster:
    for feature, (build, source) in FEATURES.items():
        for name, runner in {"direct": {}, "Dask": on_dask(cluster)}.items():
            try:
                found = sorted(collect(build, source(), **runner))
            except Exception as error:
                found = f"{type(error).__name__} {str(error)[:60]}"
            print(f"{feature:<11}{name:<7}{found}")

# %% [markdown]
# A refusal, however rude, costs an hour. A wrong answer (the tag that tags all, the lost hours) costs trust. So test
# each feature that you use on the runner that you use, before you promise a move.
#
# Flink's and Samza's runners cannot be had here: the job server for Flink takes jobs from every machine of the network,
# and Samza's is not published for this Beam. With Docker, start the image `apache/beam_flink1.19_job_server` and give
# `PortableRunner` its job endpoint. Prism, Beam's newer local runner, fetches a program from outside the package registries.

# %% [markdown] topics=["4.3-4", "4.3-3.3"]
# ## A stream that follows a script
#
# How do you test what happens when an event comes late? A `TestStream` is a source that you direct: elements, then the
# watermark, then more elements. In `replay`, a step is a list of (minute, value), or a number: the watermark's minute.


# %%
def replay(steps):
    """A stream of these steps. Times are minutes; a watermark that does not advance is left out."""
    stream, reached = TestStream(), float("-inf")
    for step in steps:
        if isinstance(step, list):
            pairs = [TimestampedValue(value, 60 * minute) for minute, value in step]
            stream.add_elements(pairs)
        elif step > reached:
            # A second more, as this runner still takes what comes at the very end.
            stream.advance_watermark_to(60 * step + 1)
            reached = step
    return stream.advance_watermark_to_infinity()


def pane(pair, window=beam.DoFn.WindowParam, info=beam.DoFn.PaneInfoParam):
    """A count as a row, with its window's first minute and its pane."""
    timing = ["early", "on time", "late", "unknown"][info.timing]
    row = {"origin": pair[0], "start": int(window.start) // 60, "pane": info.index}
    return row | {"timing": timing, "departures": pair[1]}


STEPS = [[(605, "JFK")], 640, [(620, "JFK")], 660, [(615, "JFK")], 700, [(616, "JFK")]]


def default(p):
    return (
        p
        | beam.WindowInto(FixedWindows(3600))
        | beam.combiners.Count.PerElement()
        | beam.Map(pane)
    )


for row in collect(default, replay(STEPS)):
    print(row)

# %% [markdown]
# By default, a window fires when the watermark reaches its end, the *allowed lateness* is 0, and the two late departures
# are dropped in silence. `WindowInto` takes what you want in its place:
#
# | Option | Says |
# |---|---|
# | `trigger` | when to fire: `AfterWatermark(early=…, late=…)`, each an `AfterCount(n)`, that is after n new elements |
# | `allowed_lateness` | seconds after the window's end for which late elements count |
# | `accumulation_mode` | `trigger.AccumulationMode.ACCUMULATING`: a pane holds all so far; `DISCARDING`: only what is new |

# %% [markdown] role="task" exercise="panes" points=3 topics=["4.3-4"]
# ### Fire, and fire again
#
# Write `panes(steps, lateness, mode)`: count departures by airport (an element's value) and hour. Show a pane
#
# - early, after each 2 departures of an airport's hour,
# - when the watermark reaches the end of the hour,
# - for each late departure, until `lateness` minutes after that end.
#
# `mode` is `"accumulating"` or `"discarding"`. Return the rows of `pane`. Use `collect` and `replay`.
#
# Example: `STEPS` with `lateness` 30, accumulating, gives an early pane of 2 departures, an on-time pane of 2 and a late one
# of 3. The last departure comes too late.
#
# Why: a script of ten steps shows what a production stream shows once a month.


# %% role="answer" exercise="panes"
def panes(steps: list, lateness: int, mode: str) -> list[dict]:
    """The panes of departures by airport and hour."""
    ### BEGIN SOLUTION
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.AfterWatermark(
                    early=trigger.AfterCount(2), late=trigger.AfterCount(1)
                ),
                accumulation_mode=modes[mode],
                allowed_lateness=60 * lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))
    ### END SOLUTION


# %% role="check" exercise="panes"
with lab.check("panes") as answer:
    steps = [
        *[[(605, "JFK")], [(650, "EWR")], [(610, "JFK")], [(615, "JFK")], 640],
        *[[(641, "JFK")], [(642, "JFK")], 660, [(616, "JFK")], 689, [(617, "JFK")]],
        *[[(650, "EWR")], [(662, "JFK")], 691, [(618, "JFK")], [(655, "LGA")]],
    ]
    start = ("early", 2), ("early", 4), ("on time", 5)
    for lateness, mode, expected in [
        (30, "accumulating", [*start, ("late", 6), ("late", 7)]),
        (30, "discarding", [("early", 2)] * 2 + [("on time", 1)] + [("late", 1)] * 2),
        (10, "accumulating", [*start, ("late", 6)]),
    ]:
        found = answer.call("panes", steps, lateness, mode)
        mine = sorted(
            (row["pane"], row["timing"], row["departures"])
            for row in found
            if row["origin"] == "JFK" and row["start"] == 600
        )
        answer.equal(
            [(timing, departures) for _, timing, departures in mine],
            expected,
            asked=f"panes (timing, departures) of JFK from minute 600, with lateness "
            f"{lateness}, {mode}, and steps {steps}",
        )

# %% role="hidden" exercise="panes"
with lab.check("panes", hidden=True) as answer:
    base = 60 * answer.random.randrange(1000, 2000)
    early = [base + answer.random.randrange(50) for _ in range(3)]
    late = [base + answer.random.randrange(60) for _ in range(4)]
    for mode in ("accumulating", "discarding"):
        steps = [[(minute, "ÉÉÉ")] for minute in early]
        steps += [base + 60, [(late[0], "ÉÉÉ")], [(base + 61, "ABC")], base + 149]
        steps += [
            [(late[1], "ÉÉÉ")],
            base + 151,
            [(late[2], "ÉÉÉ")],
            [(late[3], "ABC")],
        ]
        whole = mode == "accumulating"
        expected = [
            ("ÉÉÉ", base, 0, "early", 2),
            ("ÉÉÉ", base, 1, "on time", 3 if whole else 1),
            ("ÉÉÉ", base, 2, "late", 4 if whole else 1),
            ("ÉÉÉ", base, 3, "late", 5 if whole else 1),
            ("ABC", base + 60, 0, "on time", 1),
        ]
        names = ("origin", "start", "pane", "timing", "departures")
        answer.same_rows(
            answer.call("panes", steps, 90, mode),
            [dict(zip(names, row, strict=True)) for row in expected],
            asked=f"the panes of two airports, with lateness 90, {mode}",
        )

# %% [markdown] role="hint" exercise="panes"
# Which three options of `WindowInto` does the task speak of? In which unit does Beam want a time?

# %% [markdown] role="hint" exercise="panes"
# `default` is the pipeline without the options. A trigger of `AfterWatermark` has two parts, and each may be left out.

# %% [markdown] role="hint" exercise="panes"
# ```python
# modes = {"accumulating": ..., "discarding": ...}
#
# def build(departures):
#     return (
#         departures
#         | beam.WindowInto(
#             FixedWindows(3600),
#             trigger=trigger.AfterWatermark(early=..., late=...),
#             accumulation_mode=...,
#             allowed_lateness=...,
#         )
#         | beam.combiners.Count.PerElement()
#         | beam.Map(pane)
#     )
#
# return collect(build, replay(steps))
# ```


# %% role="right" exercise="panes"
def panes(steps, lateness, mode):
    chosen = getattr(trigger.AccumulationMode, mode.upper())
    when = trigger.AfterWatermark(trigger.AfterCount(2), trigger.AfterCount(1))
    stream = collect(
        lambda p: (
            p
            | beam.Map(lambda origin: (origin, 1))
            | beam.WindowInto(
                FixedWindows(timedelta(hours=1).total_seconds()),
                trigger=when,
                accumulation_mode=chosen,
                allowed_lateness=timedelta(minutes=lateness).total_seconds(),
            )
            | beam.CombinePerKey(sum)
            | beam.Map(pane)
        ),
        replay(steps),
    )
    return sorted(stream, key=lambda row: row["pane"])


# %% role="wrong" exercise="panes" misconception="Late departures need no trigger of their own" caught="check" says="Unsafe trigger"
def panes(steps, lateness, mode):
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.AfterWatermark(early=trigger.AfterCount(2)),
                accumulation_mode=modes[mode],
                allowed_lateness=60 * lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))


# %% role="wrong" exercise="panes" misconception="Lateness is measured in minutes" caught="check" says="panes (timing, departures)"
def panes(steps, lateness, mode):
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.AfterWatermark(
                    early=trigger.AfterCount(2), late=trigger.AfterCount(1)
                ),
                accumulation_mode=modes[mode],
                allowed_lateness=lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))


# %% role="wrong" exercise="panes" misconception="A stream always accumulates" caught="check" says="with lateness 30, discarding"
def panes(steps, lateness, mode):
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.AfterWatermark(
                    early=trigger.AfterCount(2), late=trigger.AfterCount(1)
                ),
                accumulation_mode=modes["accumulating"],
                allowed_lateness=60 * lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))


# %% role="wrong" exercise="panes" misconception="A window fires once, at its end" caught="check" says="panes (timing, departures)"
def panes(steps, lateness, mode):
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.DefaultTrigger(),
                accumulation_mode=modes[mode],
                allowed_lateness=60 * lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))


# %% role="wrong" exercise="panes" misconception="Each departure is worth a pane of its own" caught="check" says="panes (timing, departures)"
def panes(steps, lateness, mode):
    modes = {
        "accumulating": trigger.AccumulationMode.ACCUMULATING,
        "discarding": trigger.AccumulationMode.DISCARDING,
    }

    def build(departures):
        return (
            departures
            | beam.WindowInto(
                FixedWindows(3600),
                trigger=trigger.AfterWatermark(
                    early=trigger.AfterCount(1), late=trigger.AfterCount(1)
                ),
                accumulation_mode=modes[mode],
                allowed_lateness=60 * lateness,
            )
            | beam.combiners.Count.PerElement()
            | beam.Map(pane)
        )

    return collect(build, replay(steps))


# %%
for mode in ("accumulating", "discarding"):
    print(mode)
    for row in panes(STEPS, 30, mode) or ["not started"]:
        print("  ", row)

# %% [markdown] topics=["4.3-4", "4.3-3.3"]
# ## State for each key
#
# Airlines send a message again until it is acknowledged, and send another one when a delay has changed. A repeat is
# noise, a change is news. To tell them apart, a step must remember.
#
# A *stateful* step has elements (key, value). What it keeps belongs to one key *in one window*, and the runner stores it. A
# *timer* calls the step back, here when the watermark reaches a moment: time to forget. Here is one that counts the
# messages of each id.


# %%
class Count(beam.DoFn):
    SEEN = beam.DoFn.StateParam(
        userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
    )
    FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
    TIMER = beam.DoFn.TimerParam(FORGET)

    def process(
        self,
        pair,
        time=beam.DoFn.TimestampParam,
        seen=SEEN,
        forget=TIMER,
    ):
        seen.write((seen.read() or 0) + 1)  # nothing is stored at first: None
        forget.set(time + 60 * 30)
        yield (pair[0], seen.read())

    @userstate.on_timer(FORGET)
    def forgotten(self, seen=SEEN):
        seen.clear()


steps = [[(600, ("D7", 0))], [(600, ("D7", 0))], 640, [(650, ("D7", 0))]]
print(collect(lambda p: p | beam.ParDo(Count()), replay(steps)))

# %% [markdown] role="task" exercise="changes" points=3 topics=["4.3-4"]
# ### Let changes through
#
# Write `changes(steps, keep)`. The values in `steps` are pairs (id, delay). Let a message through
#
# - when nothing is remembered of its id,
# - when its delay differs from the last one *let through* of its id.
#
# Forget an id when the watermark reaches `keep` minutes after the time of its last message that was let through. Setting a
# timer again moves it.
#
# Return the pairs that pass. Use `collect` and `replay`.
#
# Example: D7 with delays 0, 0, 5, 0 gives (D7, 0), (D7, 5), (D7, 0).
#
# Why: state without a timer grows as long as the job lives.


# %% role="answer" exercise="changes"
def changes(steps: list, keep: int) -> list[tuple[str, int]]:
    """The messages that say something new."""

    ### BEGIN SOLUTION
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if last.read() != pair[1]:
                last.write(pair[1])
                forget.set(time + 60 * keep)
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))
    ### END SOLUTION


# %% role="check" exercise="changes"
with lab.check("changes") as answer:
    for steps, expected in [
        (
            [
                [(600, (id, delay))]
                for id, delay in zip("7778777", (0, 0, 5, 5, 5, 0, 0), strict=True)
            ],
            [("7", 0), ("7", 5), ("8", 5), ("7", 0)],
        ),
        (
            [[(600, ("D7", 0))], 629, [(600, ("D7", 0))], 630, [(640, ("D7", 0))]],
            [("D7", 0), ("D7", 0)],
        ),
        (
            [
                *([(600, ("D7", 0))], [(610, ("D7", 5))], 638),
                *([(610, ("D7", 5))], 641, [(645, ("D7", 5))]),
            ],
            [("D7", 0), ("D7", 5), ("D7", 5)],
        ),
        (
            [[(600, ("D7", 0))], [(620, ("D7", 0))], 640, [(640, ("D7", 0))]],
            [("D7", 0), ("D7", 0)],
        ),
    ]:
        found = answer.call("changes", steps, 30)
        answer.equal(
            [list(pair) for pair in found],
            [list(pair) for pair in expected],
            asked=f"the messages that pass, with keep 30 and steps {steps}",
        )
    steps = [[(600, ("D7", 0))], 659, [(600, ("D7", 0))], 660, [(661, ("D7", 0))]]
    answer.equal(
        [list(pair) for pair in answer.call("changes", steps, 60)],
        [["D7", 0], ["D7", 0]],
        asked=f"the messages that pass, with keep 60 and steps {steps}",
    )

# %% role="hidden" exercise="changes"
with lab.check("changes", hidden=True) as answer:
    keep, now, mark = answer.random.choice([20, 45]), 9000, 0
    memory, steps, expected = {}, [], []
    for _ in range(40):
        now += answer.random.randrange(6)
        pair = (answer.random.choice(["A", "É"]), answer.random.choice([-3, 0, 4]))
        if answer.random.random() < 0.3:
            now += answer.random.choice([0, keep + 7])
            steps.append(now)
            memory = {k: m for k, m in memory.items() if m[1] + keep > now}
            now += 1
        steps.append([(now, pair)])
        if memory.get(pair[0], (None, 0))[0] != pair[1]:
            memory[pair[0]] = (pair[1], now)
            expected.append(list(pair))
    answer.equal(
        [list(pair) for pair in answer.call("changes", steps, keep)],
        expected,
        asked=f"the messages that pass of 40, with keep {keep}",
    )

# %% [markdown] role="hint" exercise="changes"
# What must the state hold to answer "is this new?", and what does it say before the first message? Is a delay of 0 nothing?

# %% [markdown] role="hint" exercise="changes"
# Start from `Count`. `last.read()` gives `None` where nothing is stored. Write, set the timer and yield in one place only.

# %% [markdown] role="hint" exercise="changes"
# ```python
# class Changes(beam.DoFn):
#     LAST = beam.DoFn.StateParam(userstate.ReadModifyWriteStateSpec("last", VarIntCoder()))
#     FORGET = ...
#
#     def process(self, pair, time=..., last=..., forget=...):
#         if ...:
#             last.write(...)
#             forget.set(...)
#             yield pair
#
#     @userstate.on_timer(FORGET)
#     def forgotten(self, last=...):
#         ...
#
# return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))
# ```


# %% role="right" exercise="changes"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(userstate.BagStateSpec("delays", VarIntCoder()))
        FORGET = userstate.TimerSpec("end", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if [*last.read()] == [pair[1]]:
                return
            last.clear()
            last.add(pair[1])
            forget.clear()
            forget.set(time + timedelta(minutes=keep).total_seconds())
            yield [*pair]

        @userstate.on_timer(FORGET)
        def gone(self, last=LAST):
            last.clear()

    return collect(lambda p: p | "new only" >> beam.ParDo(Changes()), replay(steps))


# %% [markdown] role="equivalent" exercise="changes" reason="State and timers may have any name"
# - userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
# + userstate.ReadModifyWriteStateSpec("XXlastXX", VarIntCoder())

# %% [markdown] role="equivalent" exercise="changes" reason="State and timers may have any name"
# - userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
# + userstate.ReadModifyWriteStateSpec('first', VarIntCoder())

# %% [markdown] role="equivalent" exercise="changes" reason="State and timers may have any name"
# - FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
# + FORGET = userstate.TimerSpec("XXforgetXX", userstate.TimeDomain.WATERMARK)


# %% role="wrong" exercise="changes" misconception="What an id has sent once is a repeat" caught="check" says="(600, ('7', 5))"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if last.read() is None:
                last.write(pair[1])
                forget.set(time + 60 * keep)
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))


# %% role="wrong" exercise="changes" misconception="A delay of 0 is nothing" caught="check" says="(600, ('7', 0))"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if not last.read() or last.read() != pair[1]:
                last.write(pair[1])
                forget.set(time + 60 * keep)
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))


# %% role="wrong" exercise="changes" misconception="The runner forgets by itself" caught="check" says="found: [['D7', 0]]"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if last.read() != pair[1]:
                last.write(pair[1])
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))


# %% role="wrong" exercise="changes" misconception="Each message renews the memory" caught="check" says="(620, ('D7', 0))"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            forget.set(time + 60 * keep)
            if last.read() != pair[1]:
                last.write(pair[1])
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))


# %% role="wrong" exercise="changes" misconception="Timers are set in minutes" caught="check" says="629"
def changes(steps, keep):
    class Changes(beam.DoFn):
        LAST = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("last", VarIntCoder())
        )
        FORGET = userstate.TimerSpec("forget", userstate.TimeDomain.WATERMARK)
        TIMER = beam.DoFn.TimerParam(FORGET)

        def process(
            self,
            pair,
            time=beam.DoFn.TimestampParam,
            last=LAST,
            forget=TIMER,
        ):
            if last.read() != pair[1]:
                last.write(pair[1])
                forget.set(time + keep)
                yield pair

        @userstate.on_timer(FORGET)
        def forgotten(self, last=LAST):
            last.clear()

    return collect(lambda messages: messages | beam.ParDo(Changes()), replay(steps))


# %% role="wrong" exercise="changes" misconception="A built-in deduplication knows a change from a repeat" caught="check" says="(600, ('7', 5))"
def changes(steps, keep):
    from apache_beam.transforms.deduplicate import Deduplicate

    build = Deduplicate(event_time_duration=60 * keep)
    return collect(lambda messages: messages | build, replay(steps))


# %%
repeated = [
    [(e["departed"].timestamp() // 60, (e["id"], e["delay"]))] for e in EVENTS[:60]
]
passed = changes([*repeated, *repeated[:20]], 480)
print(
    "not started" if passed is None else f"{len(passed)} of {len(repeated) + 20} pass"
)

# %% [markdown] topics=["4.3-3.3"]
# ## Break it: the bundle that ran twice
#
# A runner cuts a PCollection into *bundles*. When a bundle fails, it runs again, from its first element. Results of the
# failed attempt are dropped. *Effects* (a mail, a row in a database) are not.
#
# The step below writes a bill for each departure. At the third one, it kills its own process: the real worker, by the
# signal that no program can catch. It does so only once.
#
# **Predict:** which elements does the pipeline return, and which bills are written?


# %%
class Bill(beam.DoFn):
    def __init__(self, folder):
        self.folder = folder

    def process(self, departure):
        with open(f"{self.folder}/bills", "a") as bills:
            bills.write(f"{departure} ")
        if departure == "D3" and not os.path.exists(f"{self.folder}/killed"):
            open(f"{self.folder}/killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        yield departure


with tempfile.TemporaryDirectory() as folder, dask_cluster() as cluster:
    bill = Bill(folder)
    source = beam.Create(["D1", "D2", "D3", "D4"])
    found = collect(lambda p: p | beam.ParDo(bill), source, **on_dask(cluster))
    print("returned:", *found)
    with open(f"{folder}/bills") as bills:
        print("written: ", bills.read())

# %% [markdown]
# The result is right, and three customers pay twice. The direct runner does the same: it tries a bundle up to four times.
# *Exactly once* is a promise about the runner's own state and results, never about your effects. Make these *idempotent*:
# give each effect an id that is the same in each attempt (no random number, no clock), and let the target refuse repeats.
#
# A pane has such an id: airport, hour and the number of the pane.

# %% [markdown] role="task" exercise="publish" points=2 topics=["4.3-3.3"]
# ### An effect that may happen twice
#
# Write `publish(path, pane)`: write a pane into the SQLite database at `path`. A pane is a dictionary with `origin`, `hour` (a text),
# `pane` (its number) and `departures`; panes are accumulating. The table is there:
#
# ```sql
# CREATE TABLE board (origin TEXT, hour TEXT, pane INT, departures INT, PRIMARY KEY (origin, hour))
# ```
#
# However often and in whatever order the panes of an hour come, its row must be the pane with the largest number. When
# the function returns, the row must be stored for good: the process may be killed the moment after.
#
# Example: panes 0 (5 departures), 1 (9) and again 0 leave one row, with 9.
#
# Why: after a retry, an old pane comes after a new one.


# %%
def delivered(panes, failing):
    """The table after a bundle of panes that fails once after each number in failing."""

    class Publish(beam.DoFn):
        def process(self, indexed):
            publish(path, indexed[1])
            mark = f"{path}.{indexed[0]}"
            if indexed[0] in failing and not os.path.exists(mark):
                open(mark, "w").close()
                raise OSError("the connection is gone")
            yield indexed

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/board.db"
        table = "board (origin TEXT, hour TEXT, pane INT, departures INT"
        with sqlite3.connect(path) as db:
            db.execute(f"CREATE TABLE {table}, PRIMARY KEY (origin, hour))")
        db.close()
        source = beam.Create([*enumerate(panes)], reshuffle=False)
        collect(lambda p: p | beam.ParDo(Publish()), source)
        with sqlite3.connect(path) as db:
            rows = db.execute("SELECT * FROM board ORDER BY origin, hour").fetchall()
        db.close()
    names = ("origin", "hour", "pane", "departures")
    return [dict(zip(names, row, strict=True)) for row in rows]


# %% role="answer" exercise="publish"
def publish(path: str, pane: dict) -> None:
    """Write a pane, however often it comes, and in whatever order."""
    ### BEGIN SOLUTION
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
        ON CONFLICT (origin, hour) DO UPDATE
        SET pane = excluded.pane, departures = excluded.departures
        WHERE excluded.pane > board.pane
        """,
        pane,
    )
    db.commit()
    db.close()
    ### END SOLUTION


# %% role="check" exercise="publish"
with lab.check("publish") as answer:
    answer.value("publish")
    names = ("origin", "hour", "pane", "departures")
    for script, failing, last in [
        ([("JFK", "10:00", 0, 5), ("JFK", "10:00", 1, 9)], [], [1]),
        ([("JFK", "10:00", 0, 5), ("JFK", "10:00", 1, 9)], [0, 1], [1]),
        ([("JFK", "10:00", 1, 9), ("JFK", "10:00", 0, 5)], [], [0]),
        (
            [
                ("EWR", "10:00", 2, 4),
                ("JFK", "10:00", 0, 5),
                ("JFK", "11:00", 1, 5),
                ("JFK", "10:00", 10, 3),
                ("JFK", "10:00", 9, 7),
            ],
            [2],
            [0, 2, 3],
        ),
    ]:
        panes = [dict(zip(names, row, strict=True)) for row in script]
        answer.same_rows(
            answer.call("delivered", panes, failing),
            [panes[n] for n in last],
            key=["origin", "hour"],
            asked=f"the table after the panes {script}, in a bundle that fails once after "
            f"each of {failing}",
        )

# %% role="hidden" exercise="publish"
with lab.check("publish", hidden=True) as answer:
    answer.value("publish")
    panes = [
        {"origin": origin, "hour": f"{hour}:00", "pane": n, "departures": 40 - n}
        for origin in ("ÉÉÉ", "O'H")
        for hour in (9, 10)
        for n in range(answer.random.randrange(2, 5))
    ]
    newest = {(p["origin"], p["hour"]): p for p in panes}
    panes += answer.random.sample(panes, 5)
    answer.random.shuffle(panes)
    answer.same_rows(
        answer.call("delivered", panes, [answer.random.randrange(len(panes))]),
        [*newest.values()],
        asked=f"the table after {len(panes)} panes in any order, some twice, with a retry",
    )

# %% [markdown] role="hint" exercise="publish"
# Which row may a pane replace, and which not? When is a write of SQLite's stored for good?

# %% [markdown] role="hint" exercise="publish"
# `INSERT … ON CONFLICT (origin, hour) DO UPDATE SET … WHERE …`: in it, `excluded.pane` is the new one, `board.pane` the stored
# one. Python's `sqlite3` opens a transaction, and you end it.

# %% [markdown] role="hint" exercise="publish"
# ```python
# db = sqlite3.connect(path)
# db.execute(
#     """
#     INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
#     ON CONFLICT (...) DO UPDATE SET pane = ..., departures = ...
#     WHERE ...
#     """,
#     pane,
# )
# ...
# db.close()
# ```


# %% role="right" exercise="publish"
def publish(path, pane):
    key = (pane["origin"], pane["hour"])
    with sqlite3.connect(path) as db:
        stored = db.execute(
            "SELECT pane FROM board WHERE origin = ? AND hour = ?", key
        ).fetchone()
        if stored is None or stored[0] <= pane["pane"]:
            db.execute(
                "INSERT OR REPLACE INTO board VALUES (?, ?, ?, ?)",
                (*key, pane["pane"], pane["departures"]),
            )
    db.close()


# %% [markdown] role="equivalent" exercise="publish" reason="The order of the columns of the key plays no part"
# + 'INSERT INTO board\nVALUES\n  ($origin, $hour, $pane, $departures) ON CONFLICT(origin DESC, hour) DO UPDATE SET pane = excluded.pane, departures = excluded.departures\nWHERE\n  excluded.pane > board.pane',
# - """
# - INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
# - ON CONFLICT (origin, hour) DO UPDATE
# - SET pane = excluded.pane, departures = excluded.departures
# - WHERE excluded.pane > board.pane
# - """,

# %% [markdown] role="equivalent" exercise="publish" reason="The order of the columns of the key plays no part"
# + 'INSERT INTO board\nVALUES\n  ($origin, $hour, $pane, $departures) ON CONFLICT(origin, hour DESC) DO UPDATE SET pane = excluded.pane, departures = excluded.departures\nWHERE\n  excluded.pane > board.pane',
# - """
# - INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
# - ON CONFLICT (origin, hour) DO UPDATE
# - SET pane = excluded.pane, departures = excluded.departures
# - WHERE excluded.pane > board.pane
# - """,

# %% [markdown] role="equivalent" exercise="publish" reason="The same pane once more is the same row"
# + 'INSERT INTO board\nVALUES\n  ($origin, $hour, $pane, $departures) ON CONFLICT(origin, hour) DO UPDATE SET pane = excluded.pane, departures = excluded.departures\nWHERE\n  excluded.pane >= board.pane',
# - """
# - INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
# - ON CONFLICT (origin, hour) DO UPDATE
# - SET pane = excluded.pane, departures = excluded.departures
# - WHERE excluded.pane > board.pane
# - """,

# %% [markdown] role="equivalent" exercise="publish" reason="What is committed is stored; the connection ends with the function"
# - db.close()
# + db

# %% [markdown] role="equivalent" exercise="publish" reason="What is committed is stored; the connection ends with the function"
# - db.close()
# + pass


# %% role="wrong" exercise="publish" misconception="A bundle runs once" caught="check" says="delivered raised"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
        """,
        pane,
    )
    db.commit()
    db.close()


# %% role="wrong" exercise="publish" misconception="The first write is the right one" caught="check" says="column pane holds 0"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT OR IGNORE INTO board VALUES (:origin, :hour, :pane, :departures)
        """,
        pane,
    )
    db.commit()
    db.close()


# %% role="wrong" exercise="publish" misconception="The write that comes last is the newest" caught="check" says="column pane holds 0"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT OR REPLACE INTO board VALUES (:origin, :hour, :pane, :departures)
        """,
        pane,
    )
    db.commit()
    db.close()


# %% role="wrong" exercise="publish" misconception="Panes are added up" caught="check" says="column departures holds 14"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
        ON CONFLICT (origin, hour) DO UPDATE
        SET pane = max(excluded.pane, board.pane),
            departures = excluded.departures + board.departures
        """,
        pane,
    )
    db.commit()
    db.close()


# %% role="wrong" exercise="publish" misconception="The larger count is the newer one" caught="check" says="column pane holds 9"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
        ON CONFLICT (origin, hour) DO UPDATE
        SET pane = excluded.pane, departures = excluded.departures
        WHERE excluded.departures > board.departures
        """,
        pane,
    )
    db.commit()
    db.close()


# %% role="wrong" exercise="publish" misconception="A statement is stored when it has run" caught="check" says="the table after"
def publish(path, pane):
    db = sqlite3.connect(path)
    db.execute(
        """
        INSERT INTO board VALUES (:origin, :hour, :pane, :departures)
        ON CONFLICT (origin, hour) DO UPDATE
        SET pane = excluded.pane, departures = excluded.departures
        WHERE excluded.pane > board.pane
        """,
        pane,
    )
    db.close()


# %% [markdown] topics=["4.3-4", "4.3-3.3"]
# ## One question in all engines
#
# The labs of this module ask their engines one question: departures and mean delay, by airport and hour of event time, each
# departure once, whatever comes late or twice. It puts the parts together: timestamps, windows, a watermark, state and a
# group.
#
# Real sources compute the watermark; here you do. The usual guess is the newest event so far, minus a wait. Windows fire at
# full hours only, so it is enough to tell the stream when the watermark enters another hour; each step costs time.

# %% [markdown] role="task" exercise="board" points=3 topics=["4.3-4", "4.3-3.3"]
# ### The board
#
# Write `board(events, wait)`. `events` come in order of arrival, with `id`, `origin`, `departed` (a datetime in UTC, full minutes),
# `arrived` and `delay`. A repeat differs in `arrived` only, and counts once.
#
# The watermark after an event is the largest `departed` so far minus `wait` minutes. An hour is published when the
# watermark reaches its end; what comes later for it is left out.
#
# Return a list of dictionaries with `origin`, `hour` (the start, a datetime with a zone), `departures` and `delay`, the mean. Use `replay`:
# its minutes may be counted from 1970. Put events between two watermarks into one list.
#
# Example: with `wait` 10, departures of 13:05, 14:10 and 13:50 in this order give the hour 13:00 with 1 departure, and 14:00 with 1.
#
# Why: the same question, in each engine of this module.


# %% role="answer" exercise="board"
def board(events: list[dict], wait: int) -> list[dict]:
    """Departures and mean delay by airport and hour, each departure once."""

    ### BEGIN SOLUTION
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if seen.read() is None:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        hour = {"origin": pair[0], "hour": start_of(window)}
        return hour | {"departures": len(found), "delay": sum(found) / len(found)}

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600))
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, waiting, hour = [], [], None
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        waiting.append((minute, (event["id"], (event["origin"], event["delay"]))))
        mark = minute - wait
        if hour is None or mark // 60 > hour:
            steps += [waiting, mark]
            waiting, hour = [], mark // 60
    return collect(build, replay([*steps, waiting]))
    ### END SOLUTION


# %% role="check" exercise="board"
with lab.check("board") as answer:
    script = [
        ("D1", "JFK", "13:05", 10),
        ("D2", "JFK", "13:50", 20),
        ("D1", "JFK", "13:05", 10),
        ("D3", "EWR", "13:59", -4),
        ("D4", "JFK", "14:00", 0),
        ("D5", "JFK", "13:20", 60),
        ("D6", "JFK", "14:10", 5),
        ("D7", "JFK", "13:55", 90),
        ("D2", "JFK", "13:50", 20),
        ("D4", "JFK", "14:00", 0),
    ]
    events = []
    for n, (id, origin, clock, delay) in enumerate(script):
        departed = datetime.fromisoformat(f"2013-07-10T{clock}:00+00:00")
        arrived = datetime(2013, 7, 10, 15, n, tzinfo=UTC)
        event = {"id": id, "origin": origin, "departed": departed, "delay": delay}
        events.append(event | {"arrived": arrived})
    for wait, expected in {
        10: [("JFK", 13, 3, 30), ("EWR", 13, 1, -4), ("JFK", 14, 2, 2.5)],
        480: [("JFK", 13, 4, 45), ("EWR", 13, 1, -4), ("JFK", 14, 2, 2.5)],
    }.items():
        answer.same_rows(
            answer.call("board", events, wait),
            [
                {
                    "origin": origin,
                    "hour": datetime(2013, 7, 10, hour, tzinfo=UTC),
                    "departures": departures,
                    "delay": delay,
                }
                for origin, hour, departures, delay in expected
            ],
            key=["origin", "hour"],
            asked=f"the board with wait {wait} of {script} (id, origin, departed, delay)",
        )

# %% role="hidden" exercise="board"
with lab.check("board", hidden=True) as answer:
    base, events, kept, newest = 22_000_000 // 60 * 60, [], {}, 0
    now = base
    for n in range(60):
        now += answer.random.choice([1, 3, 7])
        minute = now - answer.random.choice([0, 0, 0, 25, 100])
        if n % 15 in (7, 8):  # a full hour, then its publication, to the minute
            minute = now = now // 60 * 60 + {7: 60, 8: 20}[n % 15]
        origin = answer.random.choice(["ABC", "ÉÉÉ"])
        event = {"id": f"D{n}", "origin": origin, "delay": answer.random.randrange(90)}
        event |= {"departed": datetime.fromtimestamp(60 * minute, UTC)}
        event |= {"arrived": datetime.fromtimestamp(60 * now, UTC)}
        events.append(event)
        if n % 9 == 4:
            events.append(answer.random.choice(events[-5:]))
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        if newest - 20 < minute // 60 * 60 + 60:
            kept.setdefault(event["id"], event)
        newest = max(newest, minute)
    groups = {}
    for event in kept.values():
        hour = event["departed"].replace(minute=0)
        groups.setdefault((event["origin"], hour), []).append(event["delay"])
    answer.same_rows(
        answer.call("board", events, 20),
        [
            {"origin": o, "hour": h, "departures": len(d), "delay": sum(d) / len(d)}
            for (o, h), d in groups.items()
        ],
        key=["origin", "hour"],
        asked=f"the board with wait 20 of {len(events)} events, some late, some twice",
    )

# %% [markdown] role="hint" exercise="board"
# What is the key of a stateful step that finds repeats, and what must it yield so that the next step can group by airport?
# When may the watermark go back?

# %% [markdown] role="hint" exercise="board"
# Two halves. First the steps: a loop that collects (minute, (id, (origin, delay))), and adds list and watermark when it
# enters another hour. Then the pipeline: window, state, group, row. `GroupByKey`
# gives a key and an iterable of its values; `CombinePerKey` with your `delays()` does as well.

# %% [markdown] role="hint" exercise="board"
# ```python
# def build(messages):
#     return (
#         messages
#         | beam.WindowInto(...)
#         | beam.ParDo(First())  # as Changes, without timer
#         | beam.GroupByKey()
#         | beam.Map(row)
#     )
#
# steps, waiting, hour = [], [], None
# for event in events:
#     waiting.append(...)
#     if ...:
#         steps += [waiting, ...]
#         waiting, hour = [], ...
# return collect(build, replay([*steps, waiting]))
# ```


# %% role="right" exercise="board"
def board(events, wait):
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if seen.read() is None:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        mean = {"departures": len(found), "delay": sum(found) / len(found)}
        return {"origin": pair[0], "hour": start_of(window)} | mean

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600))
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, newest = [], None
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        key = event["id"]
        steps.append([(minute, (key, (event["origin"], event["delay"])))])
        newest = minute if newest is None else max(newest, minute)
        steps.append(newest - wait)
    return collect(build, replay(steps))


# %% [markdown] role="equivalent" exercise="board" reason="Any word or number is a mark"
# - userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
# + userstate.ReadModifyWriteStateSpec("XXseenXX", VarIntCoder())

# %% [markdown] role="equivalent" exercise="board" reason="Any word or number is a mark"
# - seen.write(1)
# + seen.write(2)

# %% [markdown] role="equivalent" exercise="board" reason="Any word or number is a mark"
# - seen.write(1)
# + seen.write((0))

# %% [markdown] role="equivalent" exercise="board" reason="Whole minutes are whole as a float too"
# - minute = int(event["departed"].timestamp()) // 60
# + minute = (event["departed"].timestamp()) // 60

# %% [markdown] role="equivalent" exercise="board" reason="Whole minutes are whole as a float too"
# - minute = int(event["departed"].timestamp()) // 60
# + minute = int(event["departed"].timestamp()) / 60

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - if hour is None or mark // 60 > hour:
# + if True:

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - if hour is None or mark // 60 > hour:
# + if hour is None or mark / 60 > hour:

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - if hour is None or mark // 60 > hour:
# + if hour is None or mark // (59) > hour:

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - if hour is None or mark // 60 > hour:
# + if hour is None or mark // 60 >= hour:

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - waiting, hour = [], mark // 60
# + waiting, hour = [], mark / 60

# %% [markdown] role="equivalent" exercise="board" reason="Each of these advances the watermark at least at each full hour; more often changes nothing"
# - waiting, hour = [], mark // 60
# + waiting, hour = [], mark // 61


# %% role="wrong" exercise="board" misconception="Repeats are rare enough" caught="check" says="column departures"
def board(events, wait):
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if True:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        mean = {"departures": len(found), "delay": sum(found) / len(found)}
        return {"origin": pair[0], "hour": start_of(window)} | mean

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600))
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, newest = [], None
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        key = event["id"]
        steps.append([(minute, (key, (event["origin"], event["delay"])))])
        newest = minute if newest is None else max(newest, minute)
        steps.append(newest - wait)
    return collect(build, replay(steps))


# %% role="wrong" exercise="board" misconception="An event happens when it arrives" caught="check" says="a row"
def board(events, wait):
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if seen.read() is None:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        mean = {"departures": len(found), "delay": sum(found) / len(found)}
        return {"origin": pair[0], "hour": start_of(window)} | mean

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600))
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, newest = [], None
    for event in events:
        minute = int(event["arrived"].timestamp()) // 60
        key = event["id"]
        steps.append([(minute, (key, (event["origin"], event["delay"])))])
        newest = minute if newest is None else max(newest, minute)
        steps.append(newest - wait)
    return collect(build, replay(steps))


# %% role="wrong" exercise="board" misconception="The newest event is the watermark" caught="check" says="column departures"
def board(events, wait):
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if seen.read() is None:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        mean = {"departures": len(found), "delay": sum(found) / len(found)}
        return {"origin": pair[0], "hour": start_of(window)} | mean

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600))
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, newest = [], None
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        key = event["id"]
        steps.append([(minute, (key, (event["origin"], event["delay"])))])
        newest = minute if newest is None else max(newest, minute)
        steps.append(newest)
    return collect(build, replay(steps))


# %% role="wrong" exercise="board" misconception="A late event may be counted for as long as you like" caught="check" says="more than one row"
def board(events, wait):
    class First(beam.DoFn):
        SEEN = beam.DoFn.StateParam(
            userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
        )

        def process(self, pair, seen=SEEN):
            if seen.read() is None:
                seen.write(1)
                yield pair[1]

    def row(pair, window=beam.DoFn.WindowParam):
        found = [*pair[1]]
        mean = {"departures": len(found), "delay": sum(found) / len(found)}
        return {"origin": pair[0], "hour": start_of(window)} | mean

    def build(messages):
        return (
            messages
            | beam.WindowInto(FixedWindows(3600), allowed_lateness=36_000)
            | beam.ParDo(First())
            | beam.GroupByKey()
            | beam.Map(row)
        )

    steps, newest = [], None
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        key = event["id"]
        steps.append([(minute, (key, (event["origin"], event["delay"])))])
        newest = minute if newest is None else max(newest, minute)
        steps.append(newest - wait)
    return collect(build, replay(steps))


# %% role="wrong" exercise="board" misconception="A stream that has an end needs no watermark before" caught="check" says="wait 10"
def board(events, wait):
    groups, seen = {}, set()
    for event in events:
        if event["id"] not in seen:
            seen.add(event["id"])
            hour = event["departed"].replace(minute=0)
            groups.setdefault((event["origin"], hour), []).append(event["delay"])
    return [
        {"origin": o, "hour": h, "departures": len(d), "delay": sum(d) / len(d)}
        for (o, h), d in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="A full hour is the end of the hour before" caught="check" says="column departures"
def board(events, wait):
    groups, seen, newest = {}, set(), 0
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        hour = (minute - 1) // 60
        if event["id"] not in seen and newest - wait < 60 * hour + 60:
            seen.add(event["id"])
            groups.setdefault((event["origin"], hour), []).append(event["delay"])
        newest = max(newest, minute)
    return [
        {"origin": o, "hour": datetime.fromtimestamp(3600 * h, UTC)}
        | {"departures": len(d), "delay": sum(d) / len(d)}
        for (o, h), d in groups.items()
    ]


# %% role="wrong" exercise="board" misconception="An hour is over when the watermark is beyond its end" caught="check" says="column departures"
def board(events, wait):
    groups, seen, newest = {}, set(), 0
    for event in events:
        minute = int(event["departed"].timestamp()) // 60
        hour = minute // 60
        if event["id"] not in seen and newest - wait <= 60 * hour + 60:
            seen.add(event["id"])
            groups.setdefault((event["origin"], hour), []).append(event["delay"])
        newest = max(newest, minute)
    return [
        {"origin": o, "hour": datetime.fromtimestamp(3600 * h, UTC)}
        | {"departures": len(d), "delay": sum(d) / len(d)}
        for (o, h), d in groups.items()
    ]


# %%
engines.compare("Beam", beam.__version__, board, collect, replay, start_of)

# %% [markdown]
# Beam needs a source that knows its watermark, windows, and state for repeats. With a short wait it leaves out
# what comes after its hour was published: it has no allowed lateness here, and shows one pane for each hour.
#
# **Predict:** how many of the day's departures are left out with a wait of 0, 10, 60 minutes?

# %%
WAITS = [0, 10, 30, 60, 120, 480]
everything = len({event["id"] for event in EVENTS})
left = []
for wait in WAITS:
    rows = board(EVENTS, wait)
    if rows is None:
        print("not started")
        break
    left.append(everything - sum(row["departures"] for row in rows))
    print(f"wait {wait:>3} minutes: {left[-1]:>2} departures left out")
figure, axes = plt.subplots(figsize=(6, 2.8))
axes.bar([str(wait) for wait in WAITS[: len(left)]], left, color="tab:blue")
axes.set(xlabel="wait in minutes", ylabel="departures left out")
picture(
    figure,
    alt="Departures that the board leaves out, by the wait of its watermark: most with a wait of 0, "
    "fewer with each longer wait, and none with 480 minutes.",
)

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | window by event time | the timestamp first, in seconds |
# | write a combiner | accumulators that add; divide at the end |
# | test a stream | a script of elements and watermarks |
# | keep state | for a key and window; a timer forgets |
# | write effects | an id that each attempt shares; the target refuses repeats |
# | change the runner | test what you use on the runner that you use |
#
# **New words.** *Runner*: the engine that executes a pipeline. *PCollection*: elements with timestamps and windows. *Bundle*: elements
# that succeed or fail together. *Side input*: a PCollection that each element sees whole.
#
# **Read on.** Apache Beam documentation, "Beam Programming Guide" and "Beam Capability Matrix" (2026). T. Akidau and others, "The
# Dataflow Model", VLDB (2015). T. Akidau and others, *Streaming Systems*, chapters 2, 3 and 7 (2018).

# %%
lab.close()
