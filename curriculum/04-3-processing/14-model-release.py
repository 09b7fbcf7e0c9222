# %% [markdown] minutes=60 datasets=["flights"] systems=[]
# # A model is a release
#
# The test was splendid because it had seen the same evening, and at night the scoring job reads half a file. You test by
# time, publish a model as a whole, watch for drift, and score a day twice with the effect of once.

# %% [markdown]
# ## You will be able to
#
# - train on what was known, and test on what came later (exercise 1)
# - publish a model as a whole, or not at all (exercise 2)
# - tell drift from an error in the data (exercise 3)
# - score a day twice with the effect of once (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Features for machine learning* | features as they were known, leaks |
# | pandas, a little scikit-learn | exercises 1 and 4 |
#
# The flights are real. When a message about a departure arrived, and its first wrong version, is *invented*.
# Times are whole minutes from the start of 2013 in UTC.

# %% role="setup"
import hashlib
import itertools
import json
import math
import os
import random
import shutil
import tempfile
from bisect import bisect_right
from pathlib import Path

import dask.dataframe as dd
import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from labkit import dataset, open_lab, picture

lab = open_lab("04-3-processing/14-model-release")
lab

# %% [markdown] topics=["4.3-6"]
# ## From the lab before
#
# One hour before each flight, its *moment*, the airline asks: will it leave more than 15 minutes late? Features may use only what was
# known then. `history` computes two: how many flights left the airport in the last two hours, and their mean delay.

# %%
START = pd.Timestamp("2013-01-01", tz="UTC")


def flights_of(months):
    """Flights that left, with the minute of prediction and what became known when."""
    rows = dataset("flights").frame()
    rows = rows[rows["month"].isin(months) & rows["dep_delay"].notna()]
    rows = rows.sort_values(["time_hour", "carrier", "flight"]).reset_index(drop=True)
    hour = (rows["time_hour"] - START) // pd.Timedelta(minutes=1)
    rows["id"] = [f"F{n}" for n in rows.index]
    rows["scheduled"] = hour + rows["minute"]
    rows["moment"] = rows["scheduled"] - 60
    rows["delay"] = rows["dep_delay"].astype(int)
    rows["left"] = rows["scheduled"] + rows["delay"]
    lag = np.random.default_rng(1).choice([1, 3, 10, 60], len(rows))
    rows["known"] = rows["left"] + lag
    rows["late"] = (rows["delay"] > 15).astype(int)
    names = ["id", "month", "day", "origin", "carrier", "distance", "scheduled"]
    return rows[[*names, "moment", "left", "known", "delay", "late"]]


FLIGHTS = flights_of([1, 2])


def history(messages, queries):
    """Flights and mean delay of the last two hours, as known before each moment."""
    return duckdb.sql("""
        WITH version AS (
            SELECT *, lead(known) OVER (PARTITION BY flight ORDER BY known) AS until
            FROM messages
        )
        SELECT id, count(delay) AS flights, avg(delay) AS mean
        FROM queries LEFT JOIN version ON version.origin = queries.origin
            AND known < moment AND (until IS NULL OR until >= moment)
            AND "left" >= moment - 120
        GROUP BY id
    """).df()


week = FLIGHTS[(FLIGHTS["month"] == 2) & (FLIGHTS["day"] <= 7)]
MESSAGES = week.rename(columns={"id": "flight"})
MESSAGES = MESSAGES[["flight", "origin", "left", "known", "delay"]]
fixed = MESSAGES[::20].assign(known=lambda rows: rows["known"] + 30)
MESSAGES.iloc[::20, 4] = 0  # one first message in twenty is wrong
MESSAGES = pd.concat([MESSAGES, fixed])
features = history(MESSAGES, week[["id", "origin", "moment"]])
print(features.sort_values(["flights", "id"]).tail(2).to_string(index=False))

# %% [markdown] topics=["4.3-6"]
# ## A test that looks like tomorrow
#
# A random split puts flights of one evening into training and test. A model that may see the minute learns "this
# evening is bad". Production has no neighbours from tomorrow.
#
# **Predict:** which split looks better, and by how much? The *baseline* only knows the share
# of late flights at each airport and hour.


# %%
def so_far(rows):
    """The mean delay of the day at the airport, of flights known before each moment."""
    found = []
    days = dict(list(rows.groupby(["month", "day", "origin"])))
    for row in rows.itertuples():
        day = days[row.month, row.day, row.origin]
        found.append(day["delay"][day["known"] < row.moment].mean())
    return pd.Series(found, rows.index).fillna(0)


# %%
TABLE_OF = FLIGHTS.assign(mean=so_far(FLIGHTS), hour=FLIGHTS["scheduled"] // 60 % 24)
inputs = ["scheduled", "distance", "hour", "mean"]
first = TABLE_OF[TABLE_OF["month"] == 1]
second = TABLE_OF[TABLE_OF["month"] == 2]
results = {}
for name, (train_rows, test_rows) in {
    "random split": train_test_split(TABLE_OF, test_size=0.5, random_state=1),
    "split by time": (first, second),
}.items():
    model = HistGradientBoostingClassifier(random_state=1, max_iter=200)
    model.fit(train_rows[inputs], train_rows["late"])
    scores = model.predict_proba(test_rows[inputs])[:, 1]
    results[name] = roc_auc_score(test_rows["late"], scores)
shares = first.groupby(["origin", "hour"])["late"].mean().rename("share").reset_index()
naive = second.merge(shares, on=["origin", "hour"], how="left")
results["baseline"] = roc_auc_score(naive["late"], naive["share"].fillna(0))

# %%
figure, axes = plt.subplots(figsize=(6, 2.2))
names = list(results)[::-1]
bars = axes.barh(names, [results[name] for name in names], color="tab:blue")
axes.bar_label(bars, fmt="%.2f", padding=3)
axes.set(xlabel="AUC (0.5 is a coin)", xlim=(0.5, 0.8))
picture(
    figure,
    alt="AUC of three tests: the random split looks best, the same model split by time is lower, and "
    "about as far above the baseline as it is below the random split.",
)

# %% [markdown]
# Only the split by time is a promise. It also needs a gap: a row may be trained on when its *outcome* is known,
# which is later than its moment.
#
# All that is *fitted* belongs to training: medians, scales, categories, weights. In a scikit-learn
# `Pipeline`, `fit` and `predict_proba` keep this straight.

# %% [markdown] role="task" exercise="train" points=3 topics=["4.3-6"]
# ### Train on the known
#
# Write `train(rows, start)`. The rows have `id`, `moment`, `known` (when the outcome became known), `carrier`, `distance`,
# `mean`, `late` (0 or 1).
#
# - Train on rows whose outcome was known before `start`.
# - Score the rows whose moment is at `start` or after.
# - `distance`, `mean`: fill gaps with the median, then scale to mean 0 and standard deviation 1.
# - `carrier`: a column of 0 and 1 for each one seen in training. A missing carrier is a carrier `?`. A carrier that is new
#   after `start` has 0 everywhere.
# - `LogisticRegression()` as it is. All of it fitted on the training rows.
#
# Return a frame with `id` and `score`, the probability that the flight is late.
#
# Why: such a test can disappoint you before the passengers do.


# %% role="answer" exercise="train"
def train(rows: pd.DataFrame, start: int) -> pd.DataFrame:
    """Scores of the rows from start on, by a model of what was known before."""
    ### BEGIN SOLUTION
    rows = rows.assign(carrier=rows["carrier"].fillna("?"))
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("n", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    scores = model.predict_proba(later)[:, 1]
    return pd.DataFrame({"id": later["id"], "score": scores})
    ### END SOLUTION


# %% role="check" exercise="train"
with lab.check("train") as answer:
    draw = random.Random(5)
    rows = []
    for number in range(160):
        wait = draw.expovariate(0.05)
        carrier = draw.choice(["AA", "UA", "B6", "?"])
        late = draw.random() < 1 / (1 + math.exp(2 - wait / 15 - 2 * (carrier == "UA")))
        moment = 2 * number + 200 * (draw.random() < 0.1)
        known = moment + draw.choice([60, 60, 100])
        distance = draw.choice([200, 300, 400, 2500])
        rows.append([f"F{number}", moment, known, carrier, distance, wait, int(late)])
    names = ["id", "moment", "known", "carrier", "distance", "mean", "late"]
    rows = pd.DataFrame(rows, columns=names)
    rows.loc[rows["moment"] >= 200, "distance"] += 1500
    rows.loc[rows.index % 3 == 0, "mean"] = None
    rows.loc[rows.index % 7 == 0, "distance"] = None
    rows.loc[rows.index[-5:], "carrier"] = "new"
    known, later = rows[rows["known"] < 200], rows[rows["moment"] >= 200]
    parts = []
    for part in [known, later]:
        x = {}
        for name in ["distance", "mean"]:
            filled = known[name].fillna(known[name].median())
            gaps = part[name].fillna(known[name].median())
            x[name] = (gaps - filled.mean()) / filled.std(ddof=0)
        for name in sorted(set(known["carrier"])):
            x[name] = (part["carrier"] == name).astype(int)
        parts.append(pd.DataFrame(x))
    model = LogisticRegression().fit(parts[0], known["late"])
    expected = model.predict_proba(parts[1])[:, 1]
    given = rows.assign(carrier=rows["carrier"].replace("?", None))
    got = answer.call("train", given, 200)
    answer.schema(
        got, {"id": "text", "score": "number"}, asked="the columns of the scores"
    )
    answer.equal(
        sorted(got["id"]),
        sorted(later["id"]),
        asked="the ids of the rows with a moment of 200 or more",
    )
    scores = dict(zip(got["id"], got["score"], strict=True))
    gap = max(abs(scores[i] - e) for i, e in zip(later["id"], expected, strict=True))
    answer.true(
        gap < 0.002,
        asked="the scores of a model fitted on what was known before 200",
        found=f"scores that are up to {gap:.4f} beside that",
    )

# %% role="hidden" exercise="train"
with lab.check("train", hidden=True) as answer:
    draw = answer.random
    rows = []
    start = draw.randrange(220, 260)
    for number in range(200):
        wait = draw.expovariate(0.05)
        carrier = draw.choice(["AA", "UA", "B6", "WN", "?"])
        late = draw.random() < 1 / (1 + math.exp(2 - wait / 15 - 2 * (carrier == "?")))
        moment = draw.randrange(400)
        known = draw.choice([moment + 60, moment + 100, max(start, moment + 1)])
        distance = draw.choice([200, 300, 400, 2500]) + 2000 * (moment >= start)
        rows.append([f"F{number}", moment, known, carrier, distance, wait, int(late)])
    names = ["id", "moment", "known", "carrier", "distance", "mean", "late"]
    rows = pd.DataFrame(rows, columns=names)
    rows.loc[rows.index[:4], "moment"] = start
    rows.loc[rows.index[:4], "known"] = start + 60
    rows.loc[rows.index % 3 == 0, "mean"] = None
    rows.loc[rows.index % 7 == 0, "distance"] = None
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    parts = []
    for part in [known, later]:
        x = {}
        for name in ["distance", "mean"]:
            filled = known[name].fillna(known[name].median())
            gaps = part[name].fillna(known[name].median())
            x[name] = (gaps - filled.mean()) / filled.std(ddof=0)
        for name in sorted(set(known["carrier"])):
            x[name] = (part["carrier"] == name).astype(int)
        parts.append(pd.DataFrame(x))
    model = LogisticRegression().fit(parts[0], known["late"])
    expected = model.predict_proba(parts[1])[:, 1]
    given = rows.assign(carrier=rows["carrier"].replace("?", None))
    got = answer.call("train", given, start)
    scores = dict(zip(got["id"], got["score"], strict=True))
    answer.equal(
        sorted(scores),
        sorted(later["id"]),
        asked="the ids of the rows from the start on",
    )
    gap = max(abs(scores[i] - e) for i, e in zip(later["id"], expected, strict=True))
    answer.true(
        gap < 0.002,
        asked="the scores of a model fitted on what was known before",
        found=f"scores that are up to {gap:.4f} beside that",
    )

# %% [markdown] role="hint" exercise="train"
# Which column decides about training, which about scoring?

# %% [markdown] role="hint" exercise="train"
# `ColumnTransformer` sends columns to different steps; `OneHotEncoder(handle_unknown="ignore")` takes new words.
# `predict_proba` has a column for each class.

# %% [markdown] role="hint" exercise="train"
# ```python
# known, later = rows[...], rows[...]
# numbers = make_pipeline(SimpleImputer(...), ...)
# prepare = ColumnTransformer([("n", numbers, [...]), ("w", ..., ["carrier"])])
# model = make_pipeline(prepare, LogisticRegression()).fit(...)
# ```


# %% role="right" exercise="train"
def train(rows, start):
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    carriers = sorted(set(known["carrier"].fillna("?")))
    medians = known[["distance", "mean"]].median()
    filled = known[["distance", "mean"]].fillna(medians)

    def matrix(part):
        x = part[["distance", "mean"]].fillna(medians)
        x = (x - filled.mean()) / filled.std(ddof=0)
        for name in carriers:
            x[name] = (part["carrier"].fillna("?") == name) * 1.0
        return x.to_numpy()

    model = LogisticRegression().fit(matrix(known), known["late"])
    return later[["id"]].assign(score=model.predict_proba(matrix(later))[:, 1])


# %% role="wrong" exercise="train" misconception="A flight before the start may be trained on, its outcome is in the table" caught="check" says="fitted on what was known"
def train(rows, start):
    rows = rows.assign(carrier=rows["carrier"].fillna("?"))
    known, later = rows[rows["moment"] < start], rows[rows["moment"] >= start]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("n", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    scores = model.predict_proba(later)[:, 1]
    return pd.DataFrame({"id": later["id"], "score": scores})


# %% role="wrong" exercise="train" misconception="Medians and scales are no learning, so all rows may be used" caught="check" says="fitted on what was known"
def train(rows, start):
    rows = rows.assign(carrier=rows["carrier"].fillna("?"))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    rows[["distance", "mean"]] = numbers.fit_transform(rows[["distance", "mean"]])
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    words = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("n", "passthrough", ["distance", "mean"]), ("w", words, ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    scores = model.predict_proba(later)[:, 1]
    return pd.DataFrame({"id": later["id"], "score": scores})


# %% role="wrong" exercise="train" misconception="A new carrier cannot be scored" caught="check" says="ids of the rows"
def train(rows, start):
    rows = rows.assign(carrier=rows["carrier"].fillna("?"))
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    later = later[later["carrier"].isin(known["carrier"])]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = ColumnTransformer(
        [("n", numbers, ["distance", "mean"]), ("w", OneHotEncoder(), ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    scores = model.predict_proba(later)[:, 1]
    return pd.DataFrame({"id": later["id"], "score": scores})


# %% role="wrong" exercise="train" misconception="Rows with gaps are dropped" caught="check" says="ids of the rows"
def train(rows, start):
    rows = rows.assign(carrier=rows["carrier"].fillna("?")).dropna()
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    words = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("n", StandardScaler(), ["distance", "mean"]), ("w", words, ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    scores = model.predict_proba(later)[:, 1]
    return pd.DataFrame({"id": later["id"], "score": scores})


# %% [markdown] role="equivalent" exercise="train" reason="the encoder takes a missing carrier as one more category"
# - rows = rows.assign(carrier=rows["carrier"].fillna("?"))
# + rows = rows
#
# - rows = rows.assign(carrier=rows["carrier"].fillna("?"))
# + rows = rows.assign(carrier=rows["carrier"].fillna(None))
#
# - rows = rows.assign(carrier=rows["carrier"].fillna("?"))
# + rows = rows.assign(carrier=rows["carrier"])
#
# - rows = rows.assign(carrier=rows["carrier"].fillna("?"))
# + rows = rows.assign(carrier=rows["carrier"].fillna("XX?XX"))


# %% [markdown] role="equivalent" exercise="train" reason="the names of the steps are free"
# - [("n", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
# + [("XXnXX", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
#
# - [("n", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
# + [("n", numbers, ["distance", "mean"]), ("XXwXX", words, ["carrier"])]


# %% role="wrong" exercise="train" misconception="The prediction is the score" caught="check" says="columns of the scores"
def train(rows, start):
    rows = rows.assign(carrier=rows["carrier"].fillna("?"))
    known, later = rows[rows["known"] < start], rows[rows["moment"] >= start]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("n", numbers, ["distance", "mean"]), ("w", words, ["carrier"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(known, known["late"])
    return pd.DataFrame({"id": later["id"], "score": model.predict(later)})


# %% [markdown] topics=["4.3-6"]
# ## Break it: a disk that fails in the middle
#
# What runs in production is not only weights. It is weights, the list of features, the data and the versions they
# came from: one *artefact*, never changed, named by its content.
#
# A pickle is a program: loading it runs what is in it. Load one only if you trust who wrote it. Weights as JSON are only data; skops and
# ONNX carry larger ones.
#
# The disk below fails in the middle of a file.
#
# **Predict:** the scoring job looks for new versions each minute. What does it find after a crash?


# %%
class Outage(Exception):
    """The disk failed in the middle of a file."""


class Disk:
    left = -1


def write(path, text):
    """Write a file; if it is the one at which the disk fails, half of it."""
    Disk.left -= 1
    Path(path).write_text(text if Disk.left else text[: len(text) // 2])
    if not Disk.left:
        raise Outage


def crash(number, folder, model, info):
    """Publish while the disk fails at the file of this number."""
    Disk.left = number
    try:
        return publish(folder, model, info)
    except Outage:
        return "outage"
    finally:
        Disk.left = -1


# %% [markdown] role="task" exercise="publish" points=3 topics=["4.3-6"]
# ### All of it, or nothing
#
# Write `publish(folder, model, info)`. The folder exists; model and info are dictionaries of plain data.
#
# - The text is `json.dumps({"model": model, "info": info}, sort_keys=True)`, its hash the SHA-256 in hexadecimal. The
#   first 12 digits of the hash are the version.
# - `folder/VERSION/model.json` holds the text, `folder/VERSION/manifest.json` the JSON of `{"sha256": hash}`.
# - Write each file by one call of `write(path, text)`. It raises `Outage` when the disk fails; let it rise.
# - A version shows up with both files whole, or not at all. Names that begin with a dot are invisible.
# - If the version is there already, write nothing.
# - After an outage, the same call must succeed and leave nothing else behind.
#
# Return the version.
#
# Example: the same weights with `info` of other training data are another version.
#
# Why: a score that names its version can be explained a year later.


# %% role="answer" exercise="publish"
def publish(folder: str, model: dict, info: dict) -> str:
    """Write an artefact, whole or not at all; returns its version."""
    ### BEGIN SOLUTION
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    version = digest[:12]
    final, work = Path(folder, version), Path(folder, f".{version}")
    if not final.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return version
    ### END SOLUTION


# %% role="check" exercise="publish"
with lab.check("publish") as answer:
    answer.value("publish")
    folder = answer.folder()
    model = {"weights": {"mean": 0.25, "flights": -0.5}, "bias": -1}
    first = {"features": ["mean", "flights"], "data": "monday", "place": "Zürich"}
    second = first | {"data": "tuesday"}
    versions, files = [], []
    for info in [first, second]:
        text = json.dumps({"model": model, "info": info}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        for number in [1, 2]:
            answer.call("crash", number, folder, model, info)
            seen = [name for name in answer.files(folder) if name[0] != "."]
            answer.equal(
                seen, files, asked=f"visible files after an outage at file {number}"
            )
        got = answer.call("publish", folder, model, info)
        answer.equal(got, digest[:12], asked=f"the version with info {info}")
        files = sorted(
            [*files, f"{digest[:12]}/manifest.json", f"{digest[:12]}/model.json"]
        )
        answer.equal(answer.files(folder), files, asked="all files after publishing")
        path = f"{folder}/{digest[:12]}"
        answer.equal(
            answer.read(f"{path}/model.json").decode(),
            text,
            asked="the text of model.json",
        )
        answer.equal(
            json.loads(answer.read(f"{path}/manifest.json")),
            {"sha256": digest},
            asked="the manifest",
        )
        model = dict(reversed(model.items()))
        got = answer.call("crash", 1, folder, model, info)
        answer.true(
            got not in ("outage", None),
            asked="the version, and no file written, where it is there already",
            found=got or "None",
        )

# %% role="hidden" exercise="publish"
with lab.check("publish", hidden=True) as answer:
    answer.value("publish")
    draw, folder, files = answer.random, answer.folder(), []
    for number in range(5):
        weights = {name: draw.random() for name in "cab"}
        info = {"data": draw.choice(["ä", "b"]), "run": number}
        text = json.dumps({"model": weights, "info": info}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        for _ in range(draw.randrange(3)):
            answer.call("crash", draw.choice([1, 2]), folder, weights, info)
            seen = [name for name in answer.files(folder) if name[0] != "."]
            answer.equal(seen, files, asked="visible files after an outage")
        got = answer.call("publish", folder, weights, info)
        answer.equal(got, digest[:12], asked="the version")
        files = sorted(
            [*files, f"{digest[:12]}/manifest.json", f"{digest[:12]}/model.json"]
        )
        answer.equal(answer.files(folder), files, asked="all files after publishing")

# %% [markdown] role="hint" exercise="publish"
# Which single operation can make two files visible at once?

# %% [markdown] role="hint" exercise="publish"
# On one file system, a rename of a folder happens or does not. Write into a folder with a dot before its name, and
# remove first what an outage may have left there.

# %% [markdown] role="hint" exercise="publish"
# ```python
# final, work = Path(folder, version), Path(folder, f".{version}")
# if not ...:
#     shutil.rmtree(...)
#     work.mkdir()
#     write(...)
#     write(...)
#     work.rename(final)
# ```


# %% role="right" exercise="publish"
def publish(folder, model, info):
    text = json.dumps({"info": info, "model": model}, sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    final = os.path.join(folder, digest[:12])
    if os.path.isdir(final):
        return digest[:12]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as work:
        inner = os.path.join(work, "x")
        os.mkdir(inner)
        write(os.path.join(inner, "manifest.json"), json.dumps({"sha256": digest}))
        write(os.path.join(inner, "model.json"), text)
        os.rename(inner, final)
    return digest[:12]


# %% [markdown] role="equivalent" exercise="publish" reason="both places are on one disk, where a rename is whole"
# - final, work = Path(folder, version), Path(folder, f".{version}")
# + final, work = Path(folder, version), Path(f".{version}")


# %% role="wrong" exercise="publish" misconception="Where nothing is to do, nothing is to say" caught="check" says="where it is there already"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    if final.exists():
        return None
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write(work / "model.json", text)
    write(work / "manifest.json", json.dumps({"sha256": digest}))
    work.rename(final)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="A version is visible from its first file on" caught="check" says="visible files after an outage"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final = Path(folder, digest[:12])
    if not final.exists():
        final.mkdir()
        write(final / "model.json", text)
        write(final / "manifest.json", json.dumps({"sha256": digest}))
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="An atomic rename of each file is enough" caught="check" says="visible files after an outage"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final = Path(folder, digest[:12])
    final.mkdir(exist_ok=True)
    for name, content in [
        ("model.json", text),
        ("manifest.json", json.dumps({"sha256": digest})),
    ]:
        if not (final / name).exists():
            write(Path(folder, ".part"), content)
            Path(folder, ".part").rename(final / name)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="The order of the keys is part of the content" caught="check" says="the version with info"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info})
    digest = hashlib.sha256(text.encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    if not final.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="The version is that of the weights" caught="check" says="the version with info"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    if not final.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="A dot hides what an outage leaves" caught="check" says="all files after publishing"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final = Path(folder, digest[:12])
    if not final.exists():
        work = Path(tempfile.mkdtemp(dir=folder, prefix="."))
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="The version is the whole hash" caught="check" says="the version with info"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    if not final.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return digest


# %% role="wrong" exercise="publish" misconception="What says the same has the same hash" caught="check" says="the text of model.json"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    if not final.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write(work / "model.json", json.dumps(json.loads(text), indent=1))
        write(work / "manifest.json", json.dumps({"sha256": digest}))
        work.rename(final)
    return digest[:12]


# %% role="wrong" exercise="publish" misconception="Each publication is written anew" caught="check" says="no file written"
def publish(folder, model, info):
    text = json.dumps({"model": model, "info": info}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    final, work = Path(folder, digest[:12]), Path(folder, f".{digest[:12]}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        write(work / "model.json", text)
        write(work / "manifest.json", json.dumps({"sha256": digest}))
    except Outage:
        shutil.rmtree(work)
        raise
    shutil.rmtree(final, ignore_errors=True)
    work.rename(final)
    return digest[:12]


# %% [markdown] topics=["4.3-6"]
# ## Drift, or a broken feed?
#
# Outcomes come late; inputs can be watched at once. Cut the training values of a feature into *bins*, once. The
# *population stability index* compares the shares of the bins in training (a) and live (b): the sum of
# (a - b) · ln(a / b). It is 0 for equal shares.
#
# The usual limit 0.25 is a habit, no law. The index says that something moved, not why:
#
# | Cause | Do |
# |---|---|
# | the world changed | retrain |
# | a unit or a source changed | fix the feed; retraining would teach the error |

# %% [markdown] role="task" exercise="drift" points=2 topics=["4.3-6"]
# ### Retrain or fix?
#
# Write `drift(edges, train, live)`. Each is a dictionary by feature: sorted edges, training values, live values.
# Values are numbers or `None`; train has at least one number, live at least one value.
#
# For each feature of `edges`, return `{"psi": …, "action": …}` in a dictionary by feature.
#
# - With n edges there are n + 1 bins. A value that equals an edge is in the bin above it.
# - Shares are of the numbers, without `None`. A share below 0.0001 counts as 0.0001.
# - `psi` is the index, or `None` if live has no number.
#
# | Action | When (the first that holds) |
# |---|---|
# | `"fix"` | the share of `None` is more than 0.1 higher than in training |
# | `"fix"` | more than half of the live numbers are below the smallest or above the largest of training |
# | `"retrain"` | `psi` is 0.25 or more |
# | `"none"` | otherwise |
#
# Example: edge 10, train `[5, 15]`, live `[5, 10, 12, 15]`: the shares are 0.5, 0.5 and 0.25, 0.75, `psi` is
# 0.275, so `"retrain"`.
#
# Why: an alarm without an action is switched off.


# %% role="answer" exercise="drift"
def drift(edges: dict, train: dict, live: dict) -> dict:
    """The stability index and what to do, for each feature."""

    ### BEGIN SOLUTION
    def shares(values, cuts):
        counts = [0] * (len(cuts) + 1)
        for value in values:
            counts[bisect_right(cuts, value)] += 1
        return [max(count / len(values), 0.0001) for count in counts]

    report = {}
    for name, cuts in edges.items():
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        gaps = len(was) / len(train[name]) - len(now) / len(live[name])
        low, high = min(was), max(was)
        strange = [value for value in now if not low <= value <= high]
        psi = None
        if now:
            pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
            psi = sum((a - b) * math.log(a / b) for a, b in pairs)
        if gaps > 0.1 or 2 * len(strange) > len(now):
            action = "fix"
        else:
            action = "retrain" if psi is not None and psi >= 0.25 else "none"
        report[name] = {"psi": psi, "action": action}
    return report
    ### END SOLUTION


# %% role="check" exercise="drift"
with lab.check("drift") as answer:
    half = [1, 9] * 10
    for text, before, after, action in [
        ("equal shares", half, [9, 1], "none"),
        ("a value at the edge", [5, 15], [5, 10, 12, 15], "retrain"),
        ("a smaller move", [5, 15] * 5, [5] * 3 + [15] * 7, "none"),
        ("an empty bin", [5, 15], [5], "retrain"),
        ("gaps", half, [1, 9, 1, 9, None], "fix"),
        ("gaps as in training", [5, 15, None], [5, 15, 15, None], "none"),
        ("more gaps in training", [5, 15, None, None], [5, 15], "none"),
        ("a few more gaps", [5, 15], [5, 15] * 5 + [None], "none"),
        ("nothing but gaps", [5, 15], [None], "fix"),
        ("a tenth more gaps", [5] + [None] * 9, [None], "none"),
        ("half of it too large", [5, 15], [5, 16], "none"),
        ("more than half too large", [5, 15], [5, 5, 16, 17, 18], "fix"),
        ("more than half too small", [5, 15], [15, 15, 4, 4, 4], "fix"),
        ("half of it beyond both ends", [5, 15], [4, 16, 5, 15], "none"),
        ("most of it beyond both ends", [5, 15], [4, 4, 16, 16, 15], "fix"),
        ("zeros", [0, 0, 15, 15, None], [0, 15], "none"),
    ]:
        parts = []
        for values in (before, after):
            high = [value >= 10 for value in values if value is not None]
            if high:
                share = sum(high) / len(high)
                parts.append([max(share, 0.0001), max(1 - share, 0.0001)])
        psi = None
        if len(parts) == 2:
            psi = sum((a - b) * math.log(a / b) for a, b in zip(*parts, strict=True))
        found = answer.call("drift", {"x": [10]}, {"x": before}, {"x": after})["x"]
        answer.equal(
            [found["psi"] if psi is None else round(found["psi"], 6), found["action"]],
            [psi if psi is None else round(psi, 6), action],
            asked=f"the report on {text}, with an edge at 10: train {before}, live {after}",
        )
    edges = {"x": [10, 20], "y": [0]}
    before = {"x": [5, 15, 25, 25], "y": [-1, 1] * 5, "z": [1]}
    after = {"x": [5, 10, 15, 20], "y": [-1] * 3 + [1] * 7, "z": [2]}
    found = answer.call("drift", edges, before, after)
    answer.equal(
        {name: [round(row["psi"], 6), row["action"]] for name, row in found.items()},
        {
            "x": [round(0.5 * math.log(2), 6), "retrain"],
            "y": [round(0.2 * math.log(7 / 3), 6), "none"],
        },
        asked=f"the report on features with the edges {edges}: train {before}, live {after}",
    )

# %% role="hidden" exercise="drift"
with lab.check("drift", hidden=True) as answer:
    draw = answer.random
    edges, expected, sides = {}, {}, [{}, {}]
    for number in range(12):
        name = f"feature {number}"
        edges[name] = [10, 20, 30][: draw.choice([1, 2, 3])]
        shift, sizes = draw.choice([0, 0, 5, 40]), []
        for side, low in [(0, 0), (1, shift)]:
            values = [low + draw.randrange(45) for _ in range(draw.randint(10, 60))]
            share = draw.choice([0, 0.05, 0.2])
            sides[side][name] = [None if draw.random() < share else v for v in values]
        parts = []
        for side in sides:
            numbers = [v for v in side[name] if v is not None]
            sizes.append(1 - len(numbers) / len(side[name]))
            bounds = [-math.inf, *edges[name], math.inf]
            parts.append(
                [
                    max(sum(a <= v < b for v in numbers) / len(numbers), 0.0001)
                    for a, b in itertools.pairwise(bounds)
                ]
            )
        psi = sum(
            (a - b) * (math.log(a) - math.log(b)) for a, b in zip(*parts, strict=True)
        )
        known = [v for v in sides[0][name] if v is not None]
        out = [not min(known) <= v <= max(known) for v in numbers]
        action = "retrain" if psi >= 0.25 else "none"
        if sizes[1] - sizes[0] > 0.1 or sum(out) > len(numbers) / 2:
            action = "fix"
        expected[name] = [round(psi, 6), action]
    found = answer.call("drift", edges, *sides)
    answer.equal(
        {n: [round(r["psi"], 6), r["action"]] for n, r in found.items()},
        expected,
        asked="the report on 12 features with 1 to 3 edges",
    )

# %% [markdown] role="hint" exercise="drift"
# What must be the same for both sides, so that shares can be compared? What is a share a share of?

# %% [markdown] role="hint" exercise="drift"
# `bisect_right(edges, value)` is the number of the bin. Think of live values without a number before you divide.

# %% [markdown] role="hint" exercise="drift"
# ```python
# for name, cuts in edges.items():
#     was = [...]
#     now = [...]
#     psi = sum(... for a, b in zip(shares(was, cuts), shares(now, cuts))) if now else None
#     if ...:
#         action = "fix"
# ```


# %% role="right" exercise="drift"
def drift(edges, train, live):
    result = {}
    for name in edges:
        was = pd.Series(train[name], dtype=float)
        now = pd.Series(live[name], dtype=float)
        cuts = [-np.inf, *edges[name], np.inf]
        psi = None
        if now.notna().any():
            a, b = (
                pd.cut(x.dropna(), cuts, right=False)
                .value_counts(normalize=True, sort=False)
                .clip(lower=0.0001)
                for x in (was, now)
            )
            psi = float(((a - b) * np.log(a / b)).sum())
        outside = (now < was.min()) | (now > was.max())
        action = "none"
        if psi is not None and psi >= 0.25:
            action = "retrain"
        if outside.sum() * 2 > now.notna().sum():
            action = "fix"
        if now.isna().mean() - was.isna().mean() > 0.1:
            action = "fix"
        result[name] = {"psi": psi, "action": action}
    return result


# %% [markdown] role="equivalent" exercise="drift" reason="one bin more has no value on either side"
# - counts = [0] * (len(cuts) + 1)
# + counts = [0] * (len(cuts) + 2)


# %% [markdown] role="equivalent" exercise="drift" reason="the larger of two, and the index, do not depend on the order"
# - return [max(count / len(values), 0.0001) for count in counts]
# + return [max(0.0001, count / len(values)) for count in counts]
#
# - pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
# + pairs = zip(shares(now, cuts), shares(was, cuts), strict=True)


# %% [markdown] role="equivalent" exercise="drift" reason="a sum of logarithms is never exactly 0.25"
# - action = "retrain" if psi is not None and psi >= 0.25 else "none"
# + action = "retrain" if psi is not None and psi > 0.25 else "none"

# %% [markdown] role="equivalent" exercise="drift" reason="both have the same bins"
# - pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
# + pairs = zip(shares(was, cuts), shares(now, cuts), strict=None)
#
# - pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
# + pairs = zip(shares(was, cuts), shares(now, cuts), )
#
# - pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
# + pairs = zip(shares(was, cuts), shares(now, cuts), strict=False)


# %% role="wrong" exercise="drift" misconception="A large index always asks for new training" caught="check" says="gaps"
def drift(edges, train, live):
    def shares(values, cuts):
        counts = [0] * (len(cuts) + 1)
        for value in values:
            counts[bisect_right(cuts, value)] += 1
        return [max(count / len(values), 0.0001) for count in counts]

    report = {}
    for name, cuts in edges.items():
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        psi = None
        if now:
            pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
            psi = sum((a - b) * math.log(a / b) for a, b in pairs)
        action = "retrain" if psi is not None and psi >= 0.25 else "none"
        low, high = min(was), max(was)
        strange = [value for value in now if not low <= value <= high]
        if 2 * len(strange) > len(now):
            action = "fix"
        report[name] = {"psi": psi, "action": action}
    return report


# %% role="wrong" exercise="drift" misconception="The index sees a changed unit" caught="check" says="an empty bin"
def drift(edges, train, live):
    def shares(values, cuts):
        counts = [0] * (len(cuts) + 1)
        for value in values:
            counts[bisect_right(cuts, value)] += 1
        return [max(count / len(values), 0.0001) for count in counts]

    report = {}
    for name, cuts in edges.items():
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        gaps = len(was) / len(train[name]) - len(now) / len(live[name])
        psi = None
        if now:
            pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
            psi = sum((a - b) * math.log(a / b) for a, b in pairs)
        action = "retrain" if psi is not None and psi >= 0.25 else "none"
        if gaps > 0.1 or (psi is not None and psi > 1):
            action = "fix"
        report[name] = {"psi": psi, "action": action}
    return report


# %% role="wrong" exercise="drift" misconception="A gap is a zero" caught="check" says="gaps"
def drift(edges, train, live):
    def shares(values, cuts):
        counts = [0] * (len(cuts) + 1)
        for value in values:
            counts[bisect_right(cuts, value or 0)] += 1
        return [max(count / len(values), 0.0001) for count in counts]

    report = {}
    for name, cuts in edges.items():
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        gaps = len(was) / len(train[name]) - len(now) / len(live[name])
        low, high = min(was), max(was)
        strange = [value for value in now if not low <= value <= high]
        pairs = zip(shares(train[name], cuts), shares(live[name], cuts), strict=True)
        psi = sum((a - b) * math.log(a / b) for a, b in pairs)
        action = "retrain" if psi >= 0.25 else "none"
        if gaps > 0.1 or 2 * len(strange) > len(now):
            action = "fix"
        report[name] = {"psi": psi, "action": action}
    return report


# %% role="wrong" exercise="drift" misconception="Two means say enough" caught="check" says="report on"
def drift(edges, train, live):
    report = {}
    for name in edges:
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        psi = abs(sum(was) / len(was) - sum(now) / len(now)) / max(was) if now else None
        action = "retrain" if psi is not None and psi >= 0.25 else "none"
        report[name] = {"psi": psi, "action": action}
    return report


# %% role="wrong" exercise="drift" misconception="One edge tells low from high" caught="check" says="the report on features"
def drift(edges, train, live):
    def shares(values, cuts):
        counts = [0, 0]
        for value in values:
            counts[value >= cuts[0]] += 1
        return [max(count / len(values), 0.0001) for count in counts]

    report = {}
    for name, cuts in edges.items():
        was = [value for value in train[name] if value is not None]
        now = [value for value in live[name] if value is not None]
        gaps = len(was) / len(train[name]) - len(now) / len(live[name])
        low, high = min(was), max(was)
        strange = [value for value in now if not low <= value <= high]
        psi = None
        if now:
            pairs = zip(shares(was, cuts), shares(now, cuts), strict=True)
            psi = sum((a - b) * math.log(a / b) for a, b in pairs)
        action = "retrain" if psi is not None and psi >= 0.25 else "none"
        if gaps > 0.1 or 2 * len(strange) > len(now):
            action = "fix"
        report[name] = {"psi": psi, "action": action}
    return report


# %% [markdown]
# January and February against July, and July's distances in kilometres (invented). The minute of the day is UTC's.

# %%
july = flights_of([7])
watch = {"distance": FLIGHTS["distance"], "UTC minute": FLIGHTS["scheduled"] % 1440}
watch["delay"] = FLIGHTS["delay"]
now = {"distance": july["distance"], "UTC minute": july["scheduled"] % 1440}
now["delay"] = july["delay"]
cuts = {
    name: sorted({*np.quantile(v, [0.2, 0.4, 0.6, 0.8])}) for name, v in watch.items()
}
rows = {}
for title, factor in {"July": 1, "July in km": 1.609344}.items():
    seen = now | {"distance": now["distance"] * factor}
    lists = [{n: v.tolist() for n, v in side.items()} for side in (watch, seen)]
    for name, result in (drift(cuts, *lists) or {}).items():
        rows[title, name] = {"psi": round(result["psi"], 3), "do": result["action"]}
print(pd.DataFrame(rows).T.to_string() if rows else "not yet")

# %% [markdown]
# The kilometres stay within the range of training: the index rises, the range rule is silent, and the
# advice is wrong. Ask what changed at the source before you retrain.

# %% [markdown] topics=["4.3-6"]
# ## All together: score a day
#
# The nightly job reads an artefact, refuses a wrong one, computes features, and writes one day. It will run twice:
# after a crash, or because messages came late.

# %% [markdown] role="task" exercise="score" points=4 topics=["4.3-6"]
# ### The nightly job
#
# Write `score(path, sha256, messages, queries, day, out)`.
#
# - `path`: a `model.json` as in exercise 2; `sha256`: what its manifest says. The model is `{"bias": …, "fill": {…},
#   "weights": {…}}`, with dictionaries by feature. The info has `features`, a list.
# - `messages`, `queries` as `history` takes them; queries have a text `day` too. Score those of the given day.
# - If the file's SHA-256 is another, return `"hash"`. Then, if `features` is not
#   `flights` and `mean` in any order, return `"features"`. In both cases change no file.
# - Features: those of `history`. A missing one gets its value of `fill`.
# - Score: 1 / (1 + exp(-(bias + the sum of weight · feature))).
# - Write `out/day=DAY/scores.parquet` with `id`, `score`, `version` (first 12 digits of the hash). Whatever that
#   day's folder held is replaced; other days stay. Make missing folders.
#
# Return the number of rows written. A day without queries gets a file without rows.
#
# Example: with bias 0 and weights 0, each flight of the day scores 0.5.
#
# Why: a rerun is the usual case.


# %%
def rerun(path, sha256, messages, queries, day, out):
    """What `score` returns for a day of which another job has left a file."""
    folder = Path(out, f"day={day}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "part-0.parquet")
    return score(path, sha256, messages, queries, day, out)


# %% role="answer" exercise="score"
def score(
    path: str,
    sha256: str,
    messages: pd.DataFrame,
    queries: pd.DataFrame,
    day: str,
    out: str,
) -> int | str:
    """Score a day with an artefact; the number of rows, or why it is refused."""
    ### BEGIN SOLUTION
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    folder = Path(out, f"day={day}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = {
        "id": pa.array(rows["id"], pa.string()),
        "score": 1 / (1 + np.exp(-total)),
        "version": pa.array([digest[:12]] * len(rows), pa.string()),
    }
    pq.write_table(pa.table(table), folder / "scores.parquet")
    return len(rows)
    ### END SOLUTION


# %% role="check" exercise="score"
with lab.check("score") as answer:
    out = answer.folder()
    messages = pd.DataFrame(
        [
            ("A", "EWR", 100, 105, 10),
            ("B", "EWR", 110, 125, 40),
            ("C", "JFK", 120, 121, -5),
        ],
        columns=["flight", "origin", "left", "known", "delay"],
    )
    queries = pd.DataFrame(
        [
            ("q1", "EWR", 120, "2013-02-01"),
            ("q2", "EWR", 130, "2013-02-01"),
            ("q3", "LGA", 130, "2013-02-01"),
            ("q4", "JFK", 130, "2013-02-02"),
        ],
        columns=["id", "origin", "moment", "day"],
    )
    known = {"q1": (1, 10), "q2": (2, 25), "q3": (0, 3), "q4": (1, -5)}
    model = {"bias": -1, "fill": {"mean": 3, "flights": 9}}
    model["weights"] = {"mean": 0.05, "flights": 0.5}
    for run, (day, names, bias, features) in enumerate(
        [
            ("2013-02-01", ["q1", "q2", "q3"], -1, ["flights", "mean"]),
            ("2013-02-02", ["q4"], -1, ["mean", "flights"]),
            ("2013-02-01", ["q1", "q2", "q3"], -2, ["mean", "flights"]),
            ("2013-02-01", ["q1", "q2", "q3"], -2, ["mean", "flights"]),
            ("2013-02-03", [], -2, ["mean", "flights"]),
        ],
        1,
    ):
        info = {"features": features}
        text = json.dumps(
            {"model": model | {"bias": bias}, "info": info},
            sort_keys=True,
            indent=1 if run == 2 else None,
        )
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = answer.put("model.json", text)
        asked = f"run {run}, day {day} with bias {bias}"
        name = "rerun" if run == 4 else "score"
        got = answer.call(name, path, digest, messages, queries, day, out)
        answer.equal(got, len(names), asked=f"the number of rows of {asked}")
        expected = []
        for name in names:
            total = bias + 0.5 * known[name][0] + 0.05 * known[name][1]
            score_of = round(1 / (1 + math.exp(-total)), 9)
            expected.append({"id": name, "score": score_of, "version": digest[:12]})
        table = answer.parquet(f"{out}/day={day}/scores.parquet").read()
        answer.schema(
            table,
            {"id": "text", "score": "number", "version": "text"},
            asked=f"the columns of {asked}",
        )
        rows = [row | {"score": round(row["score"], 9)} for row in table.to_pylist()]
        if names:
            answer.same_rows(rows, expected, key=["id"], asked=f"the scores of {asked}")
    days = [f"day=2013-02-0{n}/scores.parquet" for n in (1, 2, 3)]
    there = answer.files(out)
    answer.equal(there, days, asked="one file for each of three days")
    before = {name: answer.read(f"{out}/{name}") for name in there}
    for features, sha, expected in [
        (["mean", "flights"], "0" * 64, "hash"),
        (["mean"], None, "features"),
        (["mean", "flights", "wind"], None, "features"),
        (["wind"], "0" * 64, "hash"),
        (["flights", "mean"], "half", "hash"),
    ]:
        text = json.dumps(
            {"model": model, "info": {"features": features}}, sort_keys=True
        )
        digest = hashlib.sha256(text.encode()).hexdigest()
        asked = f"features {features} and a hash that begins with {(sha or digest)[:6]}"
        if sha == "half":
            asked, text = "half of a file and the hash of the whole", text[:70]
        path = answer.put("model.json", text)
        sha = digest if sha in (None, "half") else sha
        for day in ("2013-02-04", "2013-02-01"):
            got = answer.call("score", path, sha, messages, queries, day, out)
            answer.equal(got, expected, asked=f"the result for {asked}")
    after = {name: answer.read(f"{out}/{name}") for name in answer.files(out)}
    answer.true(
        after == before,
        asked="no file written, changed or removed after a refusal",
        found=f"other files or bytes: {sorted(dict(after.items() ^ before.items()))}",
    )

# %% role="hidden" exercise="score"
with lab.check("score", hidden=True) as answer:
    answer.value("score")
    draw, out = answer.random, f"{answer.folder()}/new/scores"
    rows = []
    for number in range(40):
        left = draw.randrange(500)
        known = left + draw.randint(1, 60)
        origin = draw.choice(["EWR", "JFK"])
        rows.append((f"F{number}", origin, left, known, draw.randint(-9, 99)))
    messages = pd.DataFrame(
        rows, columns=["flight", "origin", "left", "known", "delay"]
    )
    for run in range(3):
        model = {"bias": draw.uniform(-2, 0), "fill": {"mean": draw.randint(1, 9)}}
        model["fill"]["flights"] = 0
        model["weights"] = {"mean": draw.random() / 9, "flights": draw.random()}
        info = {"features": ["flights", "mean"], "place": "Zürich"}
        text = json.dumps(
            {"model": model, "info": info}, ensure_ascii=False, indent=run
        )
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = answer.put("model.json", text)
        queries, expected = [], []
        for number in range(20):
            query = {"id": f"q{number}", "origin": draw.choice(["EWR", "JFK", "LGA"])}
            query |= {"moment": draw.randrange(600), "day": draw.choice(["a", "b"])}
            queries.append(query)
            delays = [
                row[4]
                for row in rows
                if row[1] == query["origin"]
                and row[3] < query["moment"] <= row[2] + 120
            ]
            mean = sum(delays) / len(delays) if delays else model["fill"]["mean"]
            total = model["bias"] + model["weights"]["mean"] * mean
            total += model["weights"]["flights"] * len(delays)
            row = {"id": query["id"], "score": round(1 / (1 + math.exp(-total)), 9)}
            if query["day"] == "a":
                expected.append(row | {"version": digest[:12]})
        name = ["score", "rerun", "score"][run]
        got = answer.call(name, path, digest, messages, pd.DataFrame(queries), "a", out)
        answer.equal(got, len(expected), asked="the number of rows of day a")
        answer.equal(
            answer.files(out), ["day=a/scores.parquet"], asked="the files of day a"
        )
        found = answer.parquet(f"{out}/day=a/scores.parquet").read().to_pylist()
        found = [row | {"score": round(row["score"], 9)} for row in found]
        answer.same_rows(found, expected, key=["id"], asked="the scores of day a")

# %% [markdown] role="hint" exercise="score"
# In which order do you read, verify and write? What is in the day's folder before a rerun?

# %% [markdown] role="hint" exercise="score"
# Hash the bytes as they are in the file, not JSON that you wrote anew. `shutil.rmtree(folder, ignore_errors=True)`
# empties a day.

# %% [markdown] role="hint" exercise="score"
# ```python
# data = Path(path).read_bytes()
# if ...:
#     return "hash"
# rows = history(messages, ...)
# total = pd.Series(model["bias"], rows.index, dtype=float)
# for name, weight in model["weights"].items():
#     total += ...
# ```


# %% role="right" exercise="score"
def score(path, sha256, messages, queries, day, out):
    with open(path, "rb") as file:
        data = file.read()
    version = hashlib.sha256(data).hexdigest()
    if version != sha256:
        return "hash"
    content = json.loads(data)
    if {*content["info"]["features"]} != {"flights", "mean"}:
        return "features"
    model, rows = content["model"], []
    for row in queries[queries["day"] == day].to_dict("records"):
        known = history(messages, pd.DataFrame([row]))
        total = model["bias"]
        for name in ["mean", "flights"]:
            value = known[name].iloc[0]
            value = model["fill"][name] if pd.isna(value) else value
            total += model["weights"][name] * value
        rows.append((row["id"], 1 / (1 + math.exp(-total)), version[:12]))
    os.makedirs(f"{out}/day={day}", exist_ok=True)
    for name in os.listdir(f"{out}/day={day}"):
        os.remove(f"{out}/day={day}/{name}")
    frame = pd.DataFrame(rows, columns=["id", "score", "version"])
    frame = frame.astype({"id": "string", "score": float, "version": "string"})
    frame.to_parquet(f"{out}/day={day}/scores.parquet")
    return len(rows)


# %% [markdown] role="equivalent" exercise="score" reason="a sum with floats is a column of floats"
# - total = pd.Series(model["bias"], rows.index, dtype=float)
# + total = pd.Series(model["bias"], rows.index, dtype=None)
#
# - total = pd.Series(model["bias"], rows.index, dtype=float)
# + total = pd.Series(model["bias"], rows.index, )
#
# - total = pd.Series(model["bias"], rows.index, dtype=float)
# + total = (model["bias"])


# %% role="wrong" exercise="score" misconception="Each run adds its rows" caught="check" says="the scores of run 3"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    if target.exists():
        frame = pd.concat([pq.ParquetFile(target).read().to_pandas(), frame])
    frame.astype({"version": "string"}).to_parquet(target, index=False)
    return len(rows)


# %% role="wrong" exercise="score" misconception="Rows read are rows written" caught="check" says="number of rows"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(queries)


# %% role="wrong" exercise="score" misconception="A backup beside the file does no harm" caught="check" says="one file for each"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(target.with_name("before.parquet"))
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="A run replaces everything" caught="check" says="one file for each"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    shutil.rmtree(out, ignore_errors=True)
    target = Path(out, f"day={day}", "scores.parquet")
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="Gaps are filled with what today's rows say" caught="check" says="column score"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(rows[name].median())
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="The weights are in the order of the list of features" caught="check" says="column score"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    weights = model["weights"].values()
    for name, weight in zip(content["info"]["features"][::-1], weights, strict=True):
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="A manifest is documentation" caught="check" says="a hash that begins"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    content = json.loads(data)
    if not {"flights", "mean"} <= {*content["info"]["features"]}:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="First make room, then look at the model" caught="check" says="no file written"
def score(path, sha256, messages, queries, day, out):
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    target.touch()
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="To write a file anew is to replace its folder" caught="check" says="one file for each"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="A file is understood first, then verified" caught="check" says="JSONDecodeError"
def score(path, sha256, messages, queries, day, out):
    data = Path(path).read_bytes()
    content = json.loads(data)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% role="wrong" exercise="score" misconception="An empty day is a good start" caught="check" says="changed or removed"
def score(path, sha256, messages, queries, day, out):
    shutil.rmtree(Path(out, f"day={day}"), ignore_errors=True)
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        return "hash"
    content = json.loads(data)
    if sorted(content["info"]["features"]) != ["flights", "mean"]:
        return "features"
    model = content["model"]
    rows = history(messages, queries[queries["day"] == day])
    total = pd.Series(model["bias"], rows.index, dtype=float)
    for name, weight in model["weights"].items():
        total += weight * rows[name].fillna(model["fill"][name])
    target = Path(out, f"day={day}", "scores.parquet")
    target.parent.mkdir(parents=True)
    frame = pd.DataFrame({"id": rows["id"].astype("string")})
    frame = frame.assign(score=1 / (1 + np.exp(-total)), version=digest[:12])
    frame.astype({"version": "string"}).to_parquet(target)
    return len(rows)


# %% [markdown]
# Train on the first days of the week, publish, score its last day twice. The artefact names its training data by their hash.

# %%
with tempfile.TemporaryDirectory() as place:
    features = history(MESSAGES, week[["id", "origin", "moment"]])
    if features is not None:
        rows = week.merge(features, on="id").sort_values("id")
        known = rows[rows["known"] < rows.loc[rows["day"] == 7, "moment"].min()]
        fill = {"flights": 0, "mean": float(known["mean"].median())}
        x = known[["flights", "mean"]].fillna(fill).to_numpy(float)
        fit = LogisticRegression(C=0.1).fit(x, known["late"])
        weights = dict(zip(["flights", "mean"], fit.coef_[0].tolist(), strict=True))
        model = {"bias": float(fit.intercept_[0]), "fill": fill, "weights": weights}
        data = hashlib.sha256(known.to_csv(index=False).encode()).hexdigest()
        info = {"features": ["flights", "mean"], "data": data, "rows": len(known)}
        version = publish(place, model, info)
        asked = week.assign(day=week["day"].astype(str))[
            ["id", "origin", "moment", "day"]
        ]
        for run in (1, 2) if version else ():
            folder = Path(place, version)
            sha = json.loads((folder / "manifest.json").read_text())["sha256"]
            count = score(str(folder / "model.json"), sha, MESSAGES, asked, "7", place)
            print(f"run {run}: {count} rows written")
        if version and count:
            found = pq.ParquetFile(f"{place}/day=7/scores.parquet").read().to_pandas()
            found = found.merge(week, on="id")
            print(
                f"{len(found)} rows, AUC {roc_auc_score(found['late'], found['score']):.2f}"
            )

# %% [markdown] topics=["4.3-6"]
# ## The same at scale
#
# Scores of rows do not depend on each other, so parts of a table, on many machines, can each be scored alone: what was *fitted* is
# read, never computed from the part. Training in parts is harder: `partial_fit` goes on from where it was, one part at a time, and
# memory holds one part.
#
# **Predict:** which of the two gives exactly what the whole table gives?

# %%
table = TABLE_OF[["distance", "hour", "mean"]].astype(float)
january, late = TABLE_OF["month"] == 1, TABLE_OF["late"]
scaler = StandardScaler().fit(table[january])
whole = LogisticRegression().fit(scaler.transform(table[january]), late[january])


def scores_of(part, model):
    """The scores of a part, by what was fitted before."""
    found = model.predict_proba(scaler.transform(part))[:, 1]
    return pd.Series(found, part.index)


parts = dd.from_pandas(table[~january], npartitions=8)
scored = parts.map_partitions(scores_of, whole, meta=(None, float)).compute()
gap = (scored - scores_of(table[~january], whole)).abs().max()
print("scored in 8 parts: equal to twelve digits:", bool(gap < 1e-12))
steps = SGDClassifier(loss="log_loss", random_state=1, average=True)
for part in np.array_split(np.arange(january.sum()), 20):
    rows = table[january].iloc[part]
    steps.partial_fit(scaler.transform(rows), late[january].iloc[part], [0, 1])
for name, model in {"whole": whole, "20 parts": steps}.items():
    auc = roc_auc_score(late[~january], scores_of(table[~january], model))
    print(f"trained on {name:<9} AUC {auc:.2f}")

# %% [markdown]
# Scoring in parts is exact. Training in parts is another algorithm with another result; whether it is good enough is measured, by
# the same split by time.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | test a model | by time, with a gap, beside a baseline |
# | publish it | named by content, whole or not at all |
# | watch it | fix the feed before you retrain |
# | score | a rerun replaces its day; parts are scored alone |
#
# **New words.** *Artefact*: a model with all that explains it. *Drift*: live data move away from training. *Baseline*: what costs
# nothing.
#
# **Read on.** E. Breck et al., "The ML Test Score", *IEEE Big Data* (2017). scikit-learn documentation, "Strategies to scale
# computationally" (2026).

# %%
lab.close()
