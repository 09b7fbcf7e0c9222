# %% [markdown] minutes=60 datasets=["flights", "weather", "metar"] systems=[]
# # Fusion: one forecast from three senses
#
# The forecast of bad hours is good in the test. One morning the weather feed is silent, and the forecast is worse than
# without any weather. You build forecasts from several kinds of data that say what each adds, and that survive the loss
# of one.

# %% [markdown]
# ## You will be able to
#
# - turn text of any length into numbers of a fixed width (exercise 1)
# - lay several kinds of data side by side, fairly (exercise 2)
# - let one model for each kind vote (exercise 3)
# - compute the attention by which a multimodal transformer mixes (exercise 4)
# - say what each kind of data is worth (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: dictionaries, `math` | all answers |
# | NumPy: mean and deviation of columns | exercise 2 |
# | the lab *Features for machine learning* | features must not know the future |
#
# Flights from New York in 2013 and the weather at its airports are real. The METAR reports were generated from the measured
# weather, in the form that airports send. scikit-learn is the one of the course.

# %% role="setup"
import itertools
import math
import re
import zlib
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labkit import open_lab, picture
from labkit.forecast import LAGS, SENSORS, bad_hours

lab = open_lab("07-2-multimodal/10-fusion")
lab

# %% [markdown] topics=["7.2-4.1"]
# ## Three senses
#
# An hour at an airport is *bad* if more than a fifth of its departures leave over 30 minutes late. One hour before, you
# want to know. Three kinds of data, *modalities*, say something about it:
#
# | Modality | Looks like | Becomes |
# |---|---|---|
# | plan | hour 17 on a Friday, 24 departures | numbers, and a column of 0 and 1 for each hour, weekday, airport |
# | sensors | a time series: wind, gusts, rain, pressure, sight | their values of the last three hours |
# | report | text: `KJFK 282351Z 13011G17KT 3SM` | see below |
#
# `bad_hours` reads and joins them; the next cell turns them into rows of numbers.

# %%
HOURS = bad_hours()
BAD, TEST = (HOURS[name].to_numpy() for name in ("bad", "test"))  # each third week
days = HOURS["time_hour"].dt.day_name()
kinds = HOURS["hour"].astype(str) + "h", days, HOURS["origin"]
plan = [HOURS[["planned"]], *(pd.get_dummies(kind) for kind in kinds)]
measured = HOURS[[f"{name}_{ago}" for name in SENSORS for ago in LAGS]]
gusts = [name for name in measured if "gust" in name]
measured = measured.astype(float).fillna(dict.fromkeys(gusts, 0))  # none: no gusts
print(len(HOURS), "hours,", TEST.sum(), "of them in the test,", BAD.sum(), "bad")
print(HOURS["report"][1000])

# %% [markdown]
# A model wants rows of equal width, and a report has any number of words. A vocabulary grows with each new word, and must
# travel with the model. *Feature hashing* needs none: a hash of the word says in which of, say, 64 places it is counted.
# Two words may meet in one place; a sign, from the hash too, lets the errors cancel on average. (These reports, digits taken
# out, have some twenty different words: here a vocabulary would do. Free text has a hundred thousand.)
#
# **Predict:** a model sees one modality alone. *AUC* is the chance that a bad hour gets a higher score than a good one: 0.5
# is a coin, 1 is perfect. Which modality is best?

# %%
hasher = HashingVectorizer(
    n_features=64,
    lowercase=False,
    token_pattern=r"\S+",
    preprocessor=lambda report: re.sub(r"\d+", "#", report),
)
SENSES = {
    "plan": pd.concat(plan, axis=1).to_numpy(float),
    "sensors": measured.fillna(measured[~TEST].median()).to_numpy(),
    "report": hasher.transform(HOURS["report"]).toarray(),
}


@cache
def fitted(names):
    """A linear model of these modalities, side by side."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return model.fit(np.hstack([SENSES[n][~TEST] for n in names]), BAD[~TEST])


def chances(names, failed=()):
    """Chances of the test's hours; a modality that failed shows its mean of the training."""
    blocks = []
    for name in names:
        block = SENSES[name][TEST].copy()
        if name in failed:
            block[:] = SENSES[name][~TEST].mean(axis=0)
        blocks.append(block)
    return fitted(names).predict_proba(np.hstack(blocks))[:, 1]


for name, values in SENSES.items():
    found = roc_auc_score(BAD[TEST], chances((name,)))
    print(f"{name:8} {values.shape[1]:3} columns, AUC {found:.2f}")

# %% [markdown]
# The plan alone is best: evenings are bad. The report knows what the sensors know, and says it in words, of which we kept
# the form and dropped the numbers.

# %% [markdown] role="task" exercise="extract" points=3 topics=["7.2-4.1"]
# ### A fixed width for any text
#
# Write `extract(report, size)`. Return a list of `size` numbers:
#
# 1. In the text, replace each run of digits by one `#`. Its words are what blanks separate, one or several.
# 2. For each word, `code = zlib.crc32(word.encode())`. Its place is `code % size`. Add 1 there if `code` is below `2**31`, else
#    subtract 1.
# 3. Divide all by the Euclidean norm of the list (the root of the sum of squares). A list of zeros stays.
#
# Example: in `"27010KT 09004KT"` both words are `#KT`, with the code 3133219464, so with `size` 4 you get `[-1, 0, 0, 0]`.
#
# Why: a word that comes up next year has its place already.


# %% role="answer" exercise="extract"
def extract(report: str, size: int) -> list[float]:
    """The words of a report, hashed into a row of fixed width."""
    ### BEGIN SOLUTION
    row = [0.0] * size
    for word in re.sub(r"\d+", "#", report).split():
        code = zlib.crc32(word.encode())
        row[code % size] += 1 if code < 2**31 else -1
    norm = math.sqrt(sum(value * value for value in row))
    return [value / norm for value in row] if norm else row
    ### END SOLUTION


# %% role="check" exercise="extract"
with lab.check("extract") as answer:
    for report, size, expected in [
        ("27010KT 09004KT", 4, [-1, 0, 0, 0]),
        ("", 3, [0, 0, 0]),
        ("KJFK 27010KT A2990", 4, [-0.44721, 0.89443, 0, 0]),
        ("KEWR 04/M03 KEWR Ü", 5, [0.94868, 0, 0, 0.31623, 0]),
        ("10SM  TSRA ", 4, [-0.70711, 0.70711, 0, 0]),
        ("10SM TSRA SLP120 RMK", 3, [0, 0, 0]),
    ]:
        got = answer.call("extract", report, size)
        found = [round(v, 5) for v in got] if isinstance(got, list) else got
        answer.true(
            isinstance(got, list)
            and len(got) == size
            and all(abs(a - b) < 1e-4 for a, b in zip(got, expected, strict=True)),
            asked=f"{expected} for extract({report!r}, {size})",
            found=str(found)[:120],
        )

# %% role="hidden" exercise="extract"
with lab.check("extract", hidden=True) as answer:
    words = ["KT", "SM", "-RA", "+TSRA", "é", "RMK", "VRB", "BKN"]
    for size in (7, 16, 33):
        drawn = [
            f"{answer.random.choice(words)}{answer.random.choice(['', 7, 25, 1013])}"
            for _ in range(20)
        ]
        row = np.zeros(size)
        for word in drawn:
            number = zlib.crc32(re.sub("[0-9]+", "#", word).encode())
            row[number % size] += -1 if number >> 31 else 1
        row = row / (np.linalg.norm(row) or 1)
        got = answer.call("extract", "  ".join(drawn), size)
        answer.true(
            np.shape(got) == (size,) and np.allclose(got, row, atol=1e-6),
            asked=f"the row of width {size} of a report of 20 words",
            found=str(got)[:120],
        )

# %% [markdown] role="hint" exercise="extract"
# What does one word add to, and what decides between plus and minus?

# %% [markdown] role="hint" exercise="extract"
# `re.sub(r"\d+", "#", text)` replaces runs. `text.split()` splits at any blanks. Mind the norm 0.

# %% [markdown] role="hint" exercise="extract"
# ```python
# row = [0.0] * size
# for word in ...:
#     code = zlib.crc32(word.encode())
#     row[...] += ...
# norm = math.sqrt(...)
# return [...] if norm else row
# ```


# %% role="right" exercise="extract"
def extract(report, size):
    row = np.zeros(size)
    for word in re.sub("[0-9]+", "#", report).split():
        code = zlib.crc32(word.encode("utf-8"))
        row[code % size] += 1 - 2 * (code >> 31)
    norm = np.linalg.norm(row)
    return (row / norm if norm > 0 else row).tolist()


# %% [markdown] role="equivalent" exercise="extract" reason="no word met has the one code in between"
# - row[code % size] += 1 if code < 2**31 else -1
# + row[code % size] += 1 if code <= 2**31 else -1


# %% role="wrong" exercise="extract" misconception="hash() gives the same number tomorrow" caught="check" says="extract('27010KT"
def extract(report, size):
    row = [0.0] * size
    for word in re.sub(r"\d+", "#", report).split():
        code = hash(word) % 2**32
        row[code % size] += 1 if code < 2**31 else -1
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row] if length else row


# %% role="wrong" exercise="extract" misconception="A count is never negative" caught="check" says="extract('27010KT"
def extract(report, size):
    row = [0.0] * size
    for word in re.sub(r"\d+", "#", report).split():
        row[zlib.crc32(word.encode()) % size] += 1
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row] if length else row


# %% role="wrong" exercise="extract" misconception="A vocabulary of the text at hand will do" caught="check" says="extract("
def extract(report, size):
    words = re.sub(r"\d+", "#", report).split()
    known = sorted(set(words))
    row = [0.0] * size
    for word in words:
        row[known.index(word) % size] += 1
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row] if length else row


# %% role="wrong" exercise="extract" misconception="Each digit is a word of its own kind" caught="check" says="extract('27010KT"
def extract(report, size):
    row = [0.0] * size
    for word in re.sub(r"\d", "#", report).split():
        code = zlib.crc32(word.encode())
        row[code % size] += 1 if code < 2**31 else -1
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row] if length else row


# %% role="wrong" exercise="extract" misconception="Divide by the number of words" caught="check" says="extract('KJFK"
def extract(report, size):
    row = [0.0] * size
    words = re.sub(r"\d+", "#", report).split()
    for word in words:
        code = zlib.crc32(word.encode())
        row[code % size] += 1 if code < 2**31 else -1
    return [value / len(words) for value in row] if words else row


# %% [markdown] topics=["7.2-4.2"]
# ## Early fusion: side by side
#
# *Early fusion* lays the rows of all modalities side by side, and trains one model on them. It sees what one modality only
# repeats: cooling air says "evening", and the plan has said that already.
#
# **Predict:** the report adds 64 columns to 49. Does it help? And what is left when a feed fails?

# %%
for names in [("plan", "sensors"), ("plan", "report"), ("plan", "sensors", "report")]:
    found = roc_auc_score(BAD[TEST], chances(names))
    print(f"{' + '.join(names):25} AUC {found:.3f}")
for failed in ("sensors", "plan"):
    found = roc_auc_score(BAD[TEST], chances(("plan", "sensors", "report"), [failed]))
    print(f"{f'all, but {failed} failed':25} AUC {found:.3f}")

# %% [markdown]
# Plan and sensors together are much better than each alone. The report adds next to nothing to them: what it says, they
# have said. More modalities are not more knowledge.
#
# If the sensors fail, the model gets their mean in each hour. What it learned of the report was meant as a correction
# of the sensors, so it is worse than a model that never saw any: plan and report alone reach more.
#
# Two more things go wrong in practice. Columns of different sizes: a model that measures distances sees only the
# modality with the large numbers, or with the many columns. And gaps: a mean in place of a missing value is a claim;
# a column that says "missing" is the truth.

# %% [markdown] role="task" exercise="early" points=4 topics=["7.2-4.2"]
# ### Side by side, fairly
#
# Write `early(train, rows)`. Both are lists of rows; a row is a dictionary that gives for each modality its numbers, or
# `None` if it is missing. All rows have the same modalities, and a modality the same width wherever it is there.
#
# Return the fused list of numbers for each of `rows`. For each modality, in alphabetical order:
#
# 1. its columns, *standardised*: less the column's mean, divided by its standard deviation (of the whole group, as `np.std`),
#    both of those rows of `train` where the modality is there. A column with equal values in all of them is not divided.
# 2. all of them divided by the root of the modality's number of columns, so that a wide modality does not outweigh
# 3. then one column more: 1 if the modality is there, else 0. If it is missing, its other columns are 0.
#
# Each modality is there in at least one row of `train`. Beware: the deviation of three times 0.1 is 1e-17, not 0.
# Example: `train` is `[{"a": [1]}, {"a": [3]}]`. The row `{"a": [4]}` becomes `[2, 1]`, and `{"a": None}` becomes `[0, 0]`.
#
# Why: the test's rows must not move the scale on which they are measured.


# %% role="answer" exercise="early"
def early(train: list[dict], rows: list[dict]) -> list[list[float]]:
    """The modalities of each row side by side: standardised, weighted, with a mark for gaps."""
    ### BEGIN SOLUTION
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None])
        mean = known.mean(axis=0)
        spread = np.where(np.ptp(known, axis=0) > 0, known.std(axis=0), 1)
        for place, row in enumerate(rows):
            if row[name] is None:
                fused[place] += [0.0] * (len(mean) + 1)
            else:
                scaled = (row[name] - mean) / spread / math.sqrt(len(mean))
                fused[place] += [*scaled, 1.0]
    return fused
    ### END SOLUTION


# %% role="check" exercise="early"
with lab.check("early") as answer:
    for what, train, rows, expected in [
        ("one modality", [{"a": [1]}, {"a": [3]}], [{"a": [4]}, {"a": None}], [[2, 1], [0, 0]]),
        ("two modalities", [{"b": [0], "a": [5]}, {"b": [2], "a": [9]}], [{"b": [3], "a": [5]}], [[-1, 1, 2, 1]]),
        ("a gap in train", [{"a": [1]}, {"a": None}, {"a": [3]}], [{"a": [2]}, {"a": [0]}], [[0, 1], [-2, 1]]),
        ("a modality of four columns", [{"a": [0, 0, 1, 5]}, {"a": [2, 4, 3, 7]}], [{"a": [2, 6, 2, 6]}], [[0.5, 1, 0, 0, 1]]),
        ("a constant column", [{"a": [7, 1]}, {"a": [7, 3]}], [{"a": [7, 3]}, {"a": [8, 2]}], [[0, 0.70711, 1], [0.70711, 0, 1]]),
        ("a constant column of 0.1", [{"a": [0.1]}] * 3, [{"a": [0.2]}], [[0.1, 1]]),
        ("a gap in train's first row", [{"a": None}, {"a": [1, 1]}, {"a": [1.5, 5]}], [{"a": None}, {"a": [1.5, 1]}], [[0, 0, 0], [0.70711, -0.70711, 1]]),
        ("rows that are far from train", [{"a": [1]}, {"a": [3]}], [{"a": [100]}, {"a": [102]}], [[98, 1], [100, 1]]),
        ("no rows", [{"a": [1]}], [], []),
    ]:  # fmt: skip
        got = answer.call("early", train, rows)
        answer.true(
            [len(row) for row in got] == [len(row) for row in expected]
            and np.allclose(np.array(got, float), expected, atol=1e-4),
            asked=f"{expected}, with {what}: early({train}, {rows})",
            found=str([[round(float(v), 5) for v in row] for row in got])[:120],
        )

# %% role="hidden" exercise="early"
with lab.check("early", hidden=True) as answer:
    draw = np.random.default_rng(answer.random.randrange(10**9))
    widths = {"text": 9, "sound": 1, "Image": 4}

    def drawn(count):
        return [
            {
                name: None if n and draw.random() < 0.3 else draw.normal(5, 9, width).tolist()
                for name, width in widths.items()
            }
            for n in range(count)
        ]  # fmt: skip

    train, rows = drawn(12), drawn(5)
    parts = []
    for name in ("Image", "sound", "text"):
        there = np.array([row[name] is not None for row in rows])
        known = [row[name] for row in train if row[name]]
        block = np.zeros((len(rows), widths[name] + 1))
        values = np.array([row[name] for row in rows if row[name]])
        block[there, :-1] = (values - np.mean(known, 0)) / np.std(known, 0)
        block[:, :-1] /= widths[name] ** 0.5
        block[there, -1] = 1
        parts.append(block)
    got = answer.call("early", train, rows)
    answer.true(
        np.shape(got) == (5, 17) and np.allclose(got, np.hstack(parts), atol=1e-6),
        asked="5 rows of the modalities Image (4 columns), sound (1) and text (9), some missing",
        found=str(np.round(np.array(got, float), 3).tolist())[:120],
    )

# %% [markdown] role="hint" exercise="early"
# Which rows may decide on the mean? Which of them know a modality at all?

# %% [markdown] role="hint" exercise="early"
# `np.array([...]).mean(axis=0)` and `.std(axis=0)` give a number for each column, and `np.ptp(..., axis=0)` the largest less the
# smallest value. `np.where(condition, a, b)` takes `a` where the condition holds.

# %% [markdown] role="hint" exercise="early"
# ```python
# fused = [[] for _ in rows]
# for name in sorted(train[0]):
#     known = np.array([... for row in train if ...])
#     mean, spread = ...
#     for place, row in enumerate(rows):
#         if row[name] is None:
#             fused[place] += ...
#         else:
#             fused[place] += ...
# return fused
# ```


# %% role="right" exercise="early"
def early(train, rows):
    def column(name, place):
        values = [row[name][place] for row in train if row[name] is not None]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
        return mean, spread if len(set(values)) > 1 else 1

    names = sorted(train[0])
    widths = {
        n: next(len(row[n]) for row in train if row[n] is not None) for n in names
    }
    scales = {n: [column(n, place) for place in range(widths[n])] for n in names}
    result = []
    for row in rows:
        line = []
        for n in names:
            values = row[n]
            for place, (mean, spread) in enumerate(scales[n]):
                z = 0.0 if values is None else (values[place] - mean) / spread
                line.append(z * widths[n] ** -0.5)
            line.append(float(values is not None))
        result.append(line)
    return result


# %% [markdown] role="equivalent" exercise="early" reason="all rows have the same modalities"
# - for name in sorted(train[0]):
# + for name in sorted(train[(-1)]):


# %% role="wrong" exercise="early" misconception="The rows have a scale of their own" caught="check" says="with one modality"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = [row[name] for row in [*train, *rows] if row[name] is not None]
        known = np.array(known, float)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        spread[spread == 0] = 1
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0] * (len(mean) + 1)
            else:
                scaled = (np.array(row[name]) - mean) / spread / math.sqrt(len(mean))
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="What is missing is zero" caught="check" says="a gap in train"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        width = next(len(row[name]) for row in train if row[name] is not None)
        known = np.array([row[name] or [0.0] * width for row in train], float)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        spread[spread == 0] = 1
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0] * (width + 1)
            else:
                scaled = (np.array(row[name]) - mean) / spread / math.sqrt(width)
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="Standardised columns are fair" caught="check" says="four columns"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None], float)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        spread[spread == 0] = 1
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0] * (len(mean) + 1)
            else:
                scaled = (np.array(row[name]) - mean) / spread
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="A column without spread can be divided" caught="check" says="a constant column"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None], float)
        mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-9
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0] * (len(mean) + 1)
            else:
                scaled = (np.array(row[name]) - mean) / spread / math.sqrt(len(mean))
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="The deviation of equal numbers is 0" caught="check" says="a constant column of 0.1"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None], float)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        spread[spread == 0] = 1
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0] * (len(mean) + 1)
            else:
                scaled = (np.array(row[name]) - mean) / spread / math.sqrt(len(mean))
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="A gap is one column" caught="check" says="a gap in train's first row"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None], float)
        mean = known.mean(axis=0)
        spread = np.where(np.ptp(known, axis=0) > 0, known.std(axis=0), 1)
        for numbers, row in zip(fused, rows, strict=True):
            if row[name] is None:
                numbers += [0.0, 0.0]
            else:
                scaled = (np.array(row[name]) - mean) / spread / math.sqrt(len(mean))
                numbers += [*scaled.tolist(), 1.0]
    return fused


# %% role="wrong" exercise="early" misconception="The mean in its place is enough" caught="check" says="with one modality"
def early(train, rows):
    fused = [[] for _ in rows]
    for name in sorted(train[0]):
        known = np.array([row[name] for row in train if row[name] is not None], float)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        spread[spread == 0] = 1
        for numbers, row in zip(fused, rows, strict=True):
            values = mean if row[name] is None else np.array(row[name])
            numbers += ((values - mean) / spread / math.sqrt(len(mean))).tolist()
    return fused


# %% [markdown] topics=["7.2-4.2"]
# ## Late fusion: one vote each
#
# *Late fusion* trains a model for each modality, and mixes what they say. A modality that fails simply does not vote.
# The price: no model sees two modalities together.
#
# What is the mean of the chances 0.5 and 0.99? Of the chances it is 0.745, as if the first, who knows nothing, knew as much.
# In *log-odds*, the logarithm of chance against counter-chance, the mean is that of 0.91: who is sure counts more. So one
# who is sure without reason counts too much; calibrate first. *Hybrid fusion* takes both: early
# where modalities belong together, late above them.

# %% [markdown] role="task" exercise="late" points=3 topics=["7.2-4.2"]
# ### Count the votes
#
# Write `late(votes, weights)`. `votes` gives for each modality its chance, or `None` if it is missing; `weights` gives for each
# its weight, above 0.
#
# - The log-odds of a chance `p` are `math.log(p / (1 - p))`. A chance below 0.001 counts as 0.001, one above 0.999 as 0.999.
# - Return the chance that belongs to the weighted mean of the log-odds of those that vote: `1 / (1 + math.exp(-mean))`.
# - Return `None` if nobody votes.
#
# Example: chances 0.5 and 0.9 with equal weights give 0.75: the log-odds are 0 and log 9, their mean is log 3.
#
# Why: a feed that fails at night must not wake anybody.


# %% role="answer" exercise="late"
def late(votes: dict, weights: dict) -> float | None:
    """One chance from those of several models, some of which may be missing."""
    ### BEGIN SOLUTION
    total = among = 0.0
    for name, chance in votes.items():
        if chance is not None:
            chance = min(max(chance, 0.001), 0.999)
            total += weights[name] * math.log(chance / (1 - chance))
            among += weights[name]
    return 1 / (1 + math.exp(-total / among)) if among else None
    ### END SOLUTION


# %% role="check" exercise="late"
with lab.check("late") as answer:
    for votes, weights, expected in [
        ({"a": 0.5, "b": 0.9}, {"a": 1, "b": 1}, 0.75),
        ({"a": 0.9, "b": None}, {"a": 1, "b": 3}, 0.9),
        ({"a": 0.9, "b": 0.5}, {"b": 1, "a": 3}, 0.83861),
        ({"a": 0.9, "b": 0.1, "c": 0.9}, {"a": 2, "b": 1, "c": 1}, 0.75),
        ({"a": 0.2, "b": 0.2}, {"a": 1, "b": 1}, 0.2),
        ({"a": 1.0, "b": 0.0}, {"a": 1, "b": 1}, 0.5),
        ({"a": 1.0}, {"a": 2, "b": 1}, 0.999),
        ({"a": 0.0004, "b": 0.5}, {"a": 1, "b": 1}, 0.03066),
        ({"a": 0.9996, "b": 0.5}, {"a": 1, "b": 1}, 0.96934),
        ({"a": None, "b": None}, {"a": 1, "b": 1}, None),
        ({"a": 0.0, "b": None}, {"a": 1, "b": 1}, 0.001),
    ]:
        got = answer.call("late", votes, weights)
        same = (
            got is None
            if expected is None
            else isinstance(got, float) and abs(got - expected) < 1e-4
        )
        answer.true(
            same, asked=f"{expected} for late({votes}, {weights})", found=str(got)[:80]
        )

# %% role="hidden" exercise="late"
with lab.check("late", hidden=True) as answer:
    for _ in range(12):
        weights = {name: answer.random.randrange(1, 9) / 4 for name in "vwxyz"}
        votes = {
            name: None if answer.random.random() < 0.3 else answer.random.random()
            for name in weights
        }
        votes["w"] = answer.random.choice([0.0, 0.3, 1.0])
        given = {
            n: min(max(p, 0.001), 0.999) for n, p in votes.items() if p is not None
        }
        odds = np.average(
            [np.log(p) - np.log1p(-p) for p in given.values()],
            weights=[weights[name] for name in given],
        )
        got = answer.call("late", votes, weights)
        answer.true(
            isinstance(got, float) and abs(got - 1 / (1 + np.exp(-odds))) < 1e-6,
            asked=f"the chance for late({votes}, {weights})",
            found=str(got)[:80],
        )

# %% [markdown] role="hint" exercise="late"
# By what do you divide when one of three modalities does not vote?

# %% [markdown] role="hint" exercise="late"
# Add up weight times log-odds, and the weights, of those that are there. `min(max(p, 0.001), 0.999)` keeps a chance in
# bounds. A chance of 0 is a vote.

# %% [markdown] role="hint" exercise="late"
# ```python
# total = among = 0.0
# for name, chance in votes.items():
#     if ...:
#         chance = ...
#         total += ...
#         among += ...
# return ... if among else None
# ```


# %% role="right" exercise="late"
def late(votes, weights):
    names = [name for name in votes if votes[name] is not None]
    if not names:
        return None
    p = np.clip([votes[name] for name in names], 0.001, 0.999)
    share = np.array([weights[name] for name in names], float)
    odds = np.prod((p / (1 - p)) ** (share / share.sum()))
    return float(odds / (1 + odds))


# %% [markdown] role="equivalent" exercise="late" reason="the order of two numbers plays no part"
# - chance = min(max(chance, 0.001), 0.999)
# + chance = min(0.999, max(chance, 0.001))

# %% [markdown] role="equivalent" exercise="late" reason="the order of two numbers plays no part"
# - chance = min(max(chance, 0.001), 0.999)
# + chance = min(max(0.001, chance), 0.999)


# %% role="wrong" exercise="late" misconception="The mean of the chances" caught="check" says="0.75 for late({'a': 0.5, 'b': 0.9}"
def late(votes, weights):
    given = {name: p for name, p in votes.items() if p is not None}
    if not given:
        return None
    among = sum(weights[name] for name in given)
    return float(sum(weights[n] * min(max(p, 0.001), 0.999) for n, p in given.items()) / among)  # fmt: skip


# %% role="wrong" exercise="late" misconception="Who does not vote says 50 %" caught="check" says="0.9 for late({'a': 0.9, 'b': None}"
def late(votes, weights):
    if all(p is None for p in votes.values()):
        return None
    total = 0.0
    for name, p in votes.items():
        p = 0.5 if p is None else min(max(p, 0.001), 0.999)
        total += weights[name] * math.log(p / (1 - p))
    return 1 / (1 + math.exp(-total / sum(weights[name] for name in votes)))


# %% role="wrong" exercise="late" misconception="Voters are independent: add up their log-odds" caught="check" says="0.75 for late({'a': 0.5, 'b': 0.9}"
def late(votes, weights):
    given = {name: p for name, p in votes.items() if p is not None}
    if not given:
        return None
    total = 0.0
    for name, p in given.items():
        p = min(max(p, 0.001), 0.999)
        total += weights[name] * math.log(p / (1 - p))
    return 1 / (1 + math.exp(-total))


# %% role="wrong" exercise="late" misconception="A chance of 0 is no vote" caught="check" says="late({'a': 1.0, 'b': 0.0}"
def late(votes, weights):
    total = among = 0.0
    for name, chance in votes.items():
        if chance:
            chance = min(max(chance, 0.001), 0.999)
            total += weights[name] * math.log(chance / (1 - chance))
            among += weights[name]
    return 1 / (1 + math.exp(-total / among)) if among else None


# %% role="wrong" exercise="late" misconception="A model is never sure" caught="check" says="runs to its end"
def late(votes, weights):
    total = among = 0.0
    for name, chance in votes.items():
        if chance is not None:
            total += weights[name] * math.log(chance / (1 - chance))
            among += weights[name]
    return 1 / (1 + math.exp(-total / among)) if among else None


# %% [markdown]
# Early, late, and both, on the test. *Hybrid* is a vote of an early model of plan and sensors with the report.
# **Predict:** which is best with all feeds, and which when the sensors fail?

# %%
PARTS = {
    "late": [("plan",), ("sensors",), ("report",)],
    "hybrid": [("plan", "sensors"), ("report",)],
}


def voted(parts, failed):
    """The votes' chance for each hour of the test; a model whose modality failed is silent."""
    votes = [None if {*failed} & {*part} else chances(part) for part in parts]
    weights = dict.fromkeys(range(len(parts)), 1.0)
    return [
        late({n: v if v is None else float(v[hour]) for n, v in enumerate(votes)}, weights)
        for hour in range(TEST.sum())
    ]  # fmt: skip


SCORES = {}
for failed in ((), ("sensors",)):
    title = "sensors fail" if failed else "all feeds"
    known = chances(("plan", "sensors", "report"), failed)
    SCORES["early", title] = roc_auc_score(BAD[TEST], known)
    for way, parts in PARTS.items():
        found = voted(parts, failed)
        if found[0] is not None:
            SCORES[way, title] = roc_auc_score(BAD[TEST], found)
for (way, title), score in SCORES.items():
    print(f"{way:7} {title:13} AUC {score:.2f}")

# %% [markdown]
# With all feeds early and hybrid win. Late fusion counts the evening twice, once from the plan and once from the air that
# cools. When the sensors fail, late fusion loses
# little, and hybrid falls to its only voter, the report: a vote is as robust as the parts that vote.
#
# So ask two questions: do modalities repeat or explain each other? Then fuse early. Does one fail often? Then it needs a model that
# can do without.

# %% [markdown] topics=["7.2-4.3"]
# ## Attention: let the model choose
#
# A *transformer* does not fix the mixture. Each modality becomes a *token*, a vector of the same width. A *query* is compared
# with each token, and the more similar a token, the more *attention* it gets. A token that is missing gets none: that is
# the *mask*. Query and tokens are learned. Multimodal transformers, such as those that read a page with its pictures, stack
# many such layers with many queries.

# %% [markdown] role="task" exercise="attend" points=3 topics=["7.2-4.3"]
# ### One query
#
# Write `attend(query, tokens)`. `query` is a list of numbers; `tokens` is a list of such lists of the same width `d`, or `None`
# where a modality is missing.
#
# 1. The score of a token: the sum of `query[i] * token[i]`, divided by the root of `d`.
# 2. Its attention: `exp(score)`, divided by the sum of these over the tokens that are there.
# 3. Return the sum of the tokens, each times its attention: a list of `d` numbers. Without any token return zeros.
#
# Scores may be in the thousands: `math.exp(1000)` is an error. Attention does not change if you subtract the largest score from
# all of them first.
#
# Example: `attend([2, 0, 0, 0], [[1, 0, 0, 0], None, [0, 0, 0, 4]])`: the scores are 1 and 0, the result is about `[0.73, 0, 0, 1.08]`.
#
# Why: this is the core of what a multimodal transformer computes, and how it does without what is missing. A real one compares
# and mixes *keys* and *values*, which learned matrices make of the tokens.


# %% role="answer" exercise="attend"
def attend(query: list[float], tokens: list) -> list[float]:
    """The tokens that are there, mixed by their likeness to the query."""
    ### BEGIN SOLUTION
    there = [token for token in tokens if token is not None]
    if not there:
        return [0.0] * len(query)
    values = np.array(there)
    scores = values @ query / math.sqrt(len(query))
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum() @ values).tolist()
    ### END SOLUTION


# %% role="check" exercise="attend"
with lab.check("attend") as answer:
    for query, tokens, expected in [
        ([2, 0, 0, 0], [[1, 0, 0, 0], None, [0, 0, 0, 4]], [0.73106, 0, 0, 1.07577]),
        ([1.0], [[0.0], [0.0], None], [0.0]),
        ([1.0], [[1.0], None, None], [1.0]),
        ([1.0, 0.0], [[0.0, 0.0], [0.0, 4.0]], [0.0, 2.0]),
        ([1.0, 0.0], [], [0.0, 0.0]),
        ([0.0, 0.0], [[1.0, 3.0], [5.0, -3.0]], [3.0, 0.0]),
        ([4000.0], [[1.0], [0.5], [-1.0]], [1.0]),
        ([-4000.0], [[1.0], None, [2.0]], [1.0]),
        ([1.0, 2.0], [None, None], [0.0, 0.0]),
        ([3.0, 0.0, 0.0, 0.0], [[1.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 2.0, 0.0]], [0.90515, 0.95257, 0.09485, 0]),
    ]:  # fmt: skip
        got = answer.call("attend", query, tokens)
        answer.true(
            np.shape(got) == np.shape(expected) and np.allclose(got, expected, atol=1e-4),
            asked=f"{expected} for attend({query}, {tokens})",
            found=str(got)[:100],
        )  # fmt: skip

# %% role="hidden" exercise="attend"
with lab.check("attend", hidden=True) as answer:
    draw = np.random.default_rng(answer.random.randrange(10**9))
    for width in (2, 5, 9):
        query, values = draw.normal(0, 2, width), draw.normal(0, 2, (4, width))
        gone = int(draw.integers(4))
        tokens = [None if n == gone else v.tolist() for n, v in enumerate(values)]
        kept = np.delete(values, gone, axis=0)
        shares = np.exp(kept @ query / width**0.5)
        got = answer.call("attend", query.tolist(), tokens)
        answer.true(
            np.shape(got) == (width,)
            and np.allclose(got, shares @ kept / shares.sum(), atol=1e-6),
            asked=f"the mixture of three tokens of width {width}, the fourth is missing",
            found=str(got)[:100],
        )

# %% [markdown] role="hint" exercise="attend"
# Over which tokens does the sum in step 2 go? Which score gets the exponential 1 after the subtraction?

# %% [markdown] role="hint" exercise="attend"
# Take out what is `None` first. With NumPy, `values @ query` gives a score for each token, and `shares @ values` the mixture.

# %% [markdown] role="hint" exercise="attend"
# ```python
# there = ...
# if not there:
#     return ...
# values = np.array(there)
# scores = ...
# shares = np.exp(...)
# return (... @ values).tolist()
# ```


# %% role="right" exercise="attend"
def attend(query, tokens):
    scores = {
        n: sum(q * t for q, t in zip(query, token, strict=True)) * len(query) ** -0.5
        for n, token in enumerate(tokens)
        if token is not None
    }
    top = max(scores.values(), default=0.0)
    weights = {n: math.exp(score - top) for n, score in scores.items()}
    mixed = [0.0] * len(query)
    for n, weight in weights.items():
        for place, value in enumerate(tokens[n]):
            mixed[place] += weight / sum(weights.values()) * value
    return mixed


# %% [markdown] role="equivalent" exercise="attend" reason="an array of numbers is as good as a list"
# - return (shares / shares.sum() @ values).tolist()
# + return (shares / shares.sum() @ values)


# %% role="wrong" exercise="attend" misconception="The exponential is never too large" caught="check" says="4000.0"
def attend(query, tokens):
    there = [token for token in tokens if token is not None]
    if not there:
        return [0.0] * len(query)
    scores = [sum(q * t for q, t in zip(query, token)) / math.sqrt(len(query)) for token in there]  # noqa: B905  # fmt: skip
    shares = np.exp(np.minimum(scores, 600))
    return (shares / shares.sum() @ np.array(there, float)).tolist()


# %% role="wrong" exercise="attend" misconception="A missing token is a token of zeros" caught="check" says="attend([2, 0, 0, 0]"
def attend(query, tokens):
    values = np.array([token or [0.0] * len(query) for token in tokens], float)
    scores = values @ np.array(query) / math.sqrt(len(query))
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum() @ values).tolist()


# %% role="wrong" exercise="attend" misconception="The root of the width is decoration" caught="check" says="attend([2, 0, 0, 0]"
def attend(query, tokens):
    there = [token for token in tokens if token is not None]
    if not there:
        return [0.0] * len(query)
    values = np.array(there, float)
    scores = values @ np.array(query)
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum() @ values).tolist()


# %% role="wrong" exercise="attend" misconception="Attention picks the best token" caught="check" says="attend([2, 0, 0, 0]"
def attend(query, tokens):
    there = [token for token in tokens if token is not None]
    if not there:
        return [0.0] * len(query)
    values = np.array(there, float)
    return values[int((values @ np.array(query)).argmax())].tolist()


# %% role="wrong" exercise="attend" misconception="Shares are the scores over their sum" caught="check" says="attend("
def attend(query, tokens):
    there = [token for token in tokens if token is not None]
    if not there:
        return [0.0] * len(query)
    values = np.array(there, float)
    scores = np.abs(values @ np.array(query)) / math.sqrt(len(query))
    return (scores / (scores.sum() or 1) @ values).tolist()


# %% [markdown]
# The next cell trains a tiny multimodal transformer in NumPy: a token for each modality, one query, one layer. `mixed` is
# your `attend` for thousands of hours at once, and the rest are derivatives; you need not read it. In *modality dropout*,
# tokens are hidden at random during the training.
#
# **Predict:** what does dropout cost while all feeds work, and what does it give when one fails?

# %%
NAMES = [*SENSES]
SCALED = {}
for name, values in SENSES.items():
    mean, spread = values[~TEST].mean(axis=0), values[~TEST].std(axis=0)
    SCALED[name] = (
        (values - mean) / np.where(spread, spread, 1) / values.shape[1] ** 0.5
    )


def mixed(weights, rows, there):
    """Tokens, attention, mixture and chance for each row; shapes (n, 3, d), (n, 3), (n, d), (n,)."""
    tokens = np.tanh(np.stack([SCALED[n][rows] @ weights[n] for n in NAMES], axis=1))
    scores = np.where(there, tokens @ weights["query"] / 4, -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    mixture = (shares[:, :, None] * tokens).sum(axis=1)
    return tokens, shares, mixture, 1 / (1 + np.exp(-mixture @ weights["out"] + 1))


def trained(dropout, steps=100, width=16):
    """Weights after so many steps of Adam (Kingma and Ba, 2015) on the weeks of the training."""
    draw = np.random.default_rng(0)
    weights = {n: draw.normal(0, 1, (SCALED[n].shape[1], width)) for n in NAMES}
    weights |= {"query": draw.normal(0, 1, width), "out": draw.normal(0, 1, width)}
    first = {n: np.zeros_like(w) for n, w in weights.items()}
    second = {n: np.zeros_like(w) for n, w in weights.items()}
    for step in range(1, steps + 1):
        there = draw.random((sum(~TEST), len(NAMES))) >= dropout
        there[~there.any(axis=1)] = True
        tokens, shares, mixture, chance = mixed(weights, ~TEST, there)
        error = (chance - BAD[~TEST]) / len(chance)
        back = error[:, None] * weights["out"]
        pull = (tokens * back[:, None, :]).sum(axis=2)
        pull = shares * (pull - (shares * pull).sum(axis=1, keepdims=True)) / 4
        toward = shares[:, :, None] * back[:, None, :]
        toward = (toward + pull[:, :, None] * weights["query"]) * (1 - tokens**2)
        slope = {n: SCALED[n][~TEST].T @ toward[:, k] for k, n in enumerate(NAMES)}
        slope["query"] = (pull[:, :, None] * tokens).sum(axis=(0, 1))
        slope["out"] = mixture.T @ error
        for n, each in slope.items():
            first[n] = 0.9 * first[n] + 0.1 * each
            second[n] = 0.99 * second[n] + 0.01 * each**2
            size = np.sqrt(second[n] / (1 - 0.99**step)) + 1e-8
            weights[n] = weights[n] - 0.05 * first[n] / (1 - 0.9**step) / size
    return weights


# %%
RESULTS = {}
for dropout in (0, 0.3):
    weights = trained(dropout)
    for failed in ("", *NAMES):
        there = np.ones((TEST.sum(), len(NAMES)), bool)
        there[:, [name == failed for name in NAMES]] = False
        found = mixed(weights, TEST, there)[3]
        RESULTS[dropout, failed] = roc_auc_score(BAD[TEST], found)
print(pd.Series(RESULTS).unstack().rename(columns={"": "all"}).round(2).to_string())
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for shift, (dropout, title) in enumerate(
    [(0, "trained on all"), (0.3, "with dropout")]
):
    bars = [RESULTS[dropout, failed] for failed in ("", *NAMES)]
    axis.bar(np.arange(4) + 0.4 * shift, bars, 0.38, label=title)
axis.set_xticks(np.arange(4) + 0.2, ["all feeds", *(f"without {n}" for n in NAMES)])
axis.set(ylabel="AUC", ylim=(0.5, 1))
axis.legend(ncols=2)
picture(
    figure,
    alt="AUC of the attention model on the test. With all feeds both trainings are at 0.85 or a little above. Without "
    "the plan or without the sensors the one with modality dropout is clearly better.",
)

# %% [markdown]
# Dropout costs nothing here, and is the cheapest insurance there is: the model has practised to do without.
# Attention alone is none.

# %% [markdown] topics=["7.2-4", "7.2-4.2", "7.2-4.3"]
# ## What is each modality worth?
#
# A feed costs money. In an *ablation* you take parts away and measure. **Predict:** the sensors are taken from the set of three,
# then the report. How much does each loss cost, and what is each worth alone?

# %%
SUBSETS = []
for size in range(len(NAMES) + 1):
    for names in itertools.combinations(sorted(NAMES), size):
        score = roc_auc_score(BAD[TEST], chances(names)) if names else 0.5
        SUBSETS.append([[*names], round(score, 3)])
for names, score in SUBSETS:
    print(f"{' + '.join(names) or 'nothing':25} AUC {score:.3f}")

# %% [markdown]
# Alone, the report is worth 0.17 over a coin. As the last of three it is worth next to nothing. Both are true: what it
# knows, the sensors know too, so it depends on who comes first.
#
# A fair answer is the mean over all orders in which the modalities could come, the *Shapley value* (Shapley, 1953). The values of
# all modalities add up to what they give together.

# %% [markdown] role="task" exercise="worth" points=3 topics=["7.2-4", "7.2-4.2", "7.2-4.3"]
# ### Share the gain
#
# Write `worth(scores)`. `scores` is a list of `[names, score]` for each set of modalities, also for the empty one and for all,
# as printed above. The names of a set may be in any order.
#
# For one order of all modalities, a modality adds: the score of it and all before it, less the score of those before it. Return
# a dictionary that gives for each modality the mean of what it adds over all orders.
#
# Example: nothing 0.5, `a` 0.7, `b` 0.6, both 0.9. In the order `a`, `b` they add 0.2 and 0.2, in the other 0.3 and 0.1. So `a` is worth
# 0.25 and `b` 0.15.
#
# Why: "we do not need the report" and "we do not need the sensors" may both be true, but not both at once.


# %% role="answer" exercise="worth"
def worth(scores: list) -> dict:
    """What each modality adds, as the mean over all orders."""
    ### BEGIN SOLUTION
    score = {frozenset(names): value for names, value in scores}
    everyone = frozenset().union(*score)
    orders = list(itertools.permutations(everyone))
    total = dict.fromkeys(everyone, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            gain = (
                score[frozenset(order[: place + 1])] - score[frozenset(order[:place])]
            )
            total[name] += gain / len(orders)
    return total
    ### END SOLUTION


# %% role="check" exercise="worth"
with lab.check("worth") as answer:
    for scores, expected in [
        ([[[], 0.5], [["a"], 0.7], [["b"], 0.6], [["a", "b"], 0.9]], {"a": 0.25, "b": 0.15}),
        ([[[], 0.5], [["a"], 0.8], [["b"], 0.8], [["b", "a"], 0.8]], {"a": 0.15, "b": 0.15}),
        ([[["x"], 0.75], [[], 0.5]], {"x": 0.25}),
        (
            [[["c", "a", "b"], 12], [[], 0], [["a"], 6], [["b"], 0], [["c"], 0], [["a", "b"], 6], [["c", "a"], 12], [["b", "c"], 6]],
            {"a": 7, "b": 1, "c": 4},
        ),
    ]:  # fmt: skip
        got = answer.call("worth", scores)
        answer.true(
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(abs(got[name] - value) < 1e-6 for name, value in expected.items()),
            asked=f"{expected} for worth({scores})",
            found=str(got)[:120],
        )

# %% role="hidden" exercise="worth"
with lab.check("worth", hidden=True) as answer:
    names = ["é", "wind", "text", "sound"]
    scores = [
        [list(part), answer.random.randrange(100)]
        for size in range(5)
        for part in itertools.combinations(names, size)
    ]
    known = {frozenset(part): value for part, value in scores}
    answer.random.shuffle(scores)
    expected = {}
    for name in names:
        expected[name] = sum(
            (known[part | {name}] - known[part])
            * math.factorial(len(part))
            * math.factorial(3 - len(part))
            / 24
            for part in known
            if name not in part
        )
    got = answer.call("worth", scores)
    answer.true(
        isinstance(got, dict)
        and got.keys() == expected.keys()
        and all(abs(got[name] - value) < 1e-6 for name, value in expected.items()),
        asked="the worth of four modalities, with scores that were drawn",
        found=str(got)[:120],
    )

# %% [markdown] role="hint" exercise="worth"
# How do you look up the score of a set whose names may come in any order?

# %% [markdown] role="hint" exercise="worth"
# `frozenset(names)` can be the key of a dictionary. `itertools.permutations` gives all orders; `order[:place]` is who came before.

# %% [markdown] role="hint" exercise="worth"
# ```python
# score = {frozenset(names): value for names, value in scores}
# everyone = ...
# orders = ...
# total = dict.fromkeys(everyone, 0.0)
# for order in orders:
#     for place, name in enumerate(order):
#         gain = ...
#         total[name] += ...
# return total
# ```


# %% role="right" exercise="worth"
def worth(scores):
    score = {tuple(sorted(names)): value for names, value in scores}
    names = max(score, key=len)
    n = len(names)
    found = {}
    for name in names:
        others = [other for other in names if other != name]
        found[name] = 0.0
        for size in range(n):
            share = 1 / n / math.comb(n - 1, size)
            for part in itertools.combinations(others, size):
                gain = score[tuple(sorted((*part, name)))] - score[tuple(sorted(part))]
                found[name] += share * gain
    return found


# %% role="wrong" exercise="worth" misconception="It is worth what it can do alone" caught="check" says="{'a': 0.25, 'b': 0.15}"
def worth(scores):
    score = {frozenset(names): value for names, value in scores}
    return {
        name: score[frozenset([name])] - score[frozenset()]
        for name in max(score, key=len)
    }


# %% role="wrong" exercise="worth" misconception="It is worth what is lost without it" caught="check" says="{'a': 0.25, 'b': 0.15}"
def worth(scores):
    score = {frozenset(names): value for names, value in scores}
    everyone = max(score, key=len)
    return {name: score[everyone] - score[everyone - {name}] for name in everyone}


# %% role="wrong" exercise="worth" misconception="All sets count alike" caught="check" says="'c': 4}"
def worth(scores):
    score = {frozenset(names): value for names, value in scores}
    found = {}
    for name in max(score, key=len):
        gains = [v - score[part - {name}] for part, v in score.items() if name in part]
        found[name] = sum(gains) / len(gains)
    return found


# %% role="wrong" exercise="worth" misconception="One order will do" caught="check" says="{'a': 0.25, 'b': 0.15}"
def worth(scores):
    score = {frozenset(names): value for names, value in scores}
    order = sorted(max(score, key=len))
    return {
        name: score[frozenset(order[: n + 1])] - score[frozenset(order[:n])]
        for n, name in enumerate(order)
    }


# %%
found = worth(SUBSETS)
if found is None:
    print("not started")
else:
    for name, value in sorted(found.items()):
        print(f"{name:8} {value:+.2f}")
    print(f"together {sum(found.values()):+.2f}")

# %% [markdown]
# The plan is free and worth most. Sensors and report share what they both know. Before you cancel a feed, ask what it
# costs, and what is left when the other one fails.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | give text a fixed width | a hash that is the same tomorrow |
# | fuse early | scale from the training, weight for the width, mark for gaps |
# | fuse late | means of log-odds, of those who vote |
# | attend | masked tokens get nothing; train with dropout |
# | value a modality | alone, last, and on average over all orders |
#
# **Read on.** Baltrušaitis, Ahuja and Morency, *Multimodal Machine Learning: A Survey and Taxonomy* (2019); Vaswani and
# others, *Attention Is All You Need* (2017).

# %%
lab.close()
