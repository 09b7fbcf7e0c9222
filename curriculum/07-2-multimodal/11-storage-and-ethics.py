# %% [markdown] minutes=60 datasets=["cargo-photos", "comments", "flights"] systems=[] layers=["media"]
# # Keeping it: storage, consent, and what it costs
#
# The photos went to the archive, where a byte is cheapest, and the bill grew: requests now cost five times the bytes. A
# passenger withdraws her consent, the photo goes, and the search still finds her. You keep photos, sounds and vectors so that all three end well.

# %% [markdown]
# ## You will be able to
#
# - read many small items with few requests (exercise 1)
# - recompute a storage bill, and choose a class of storage (exercise 2)
# - say what may be used today, with all that was derived (exercise 3)
# - publish where people were, and nobody's trace (exercise 4)
# - search vectors that take a thirtieth of the room (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: sorting with a key, sets, recursion | all answers |
# | the lab *Language models in a pipeline* | what an embedding is |
#
# Flights are real (New York, 2013). The photos are drawn by program, the comments and all prices are invented; the sentence
# model is the real all-MiniLM-L6-v2. Figures of companies are from their papers, named at the end.

# %% role="setup"
import json
import random
from collections import Counter, defaultdict

import matplotlib.pyplot as plt
import numpy as np

from labkit import dataset, open_lab, picture
from labkit.minilm import MiniLM

lab = open_lab("07-2-multimodal/11-storage-and-ethics")
lab

# %% [markdown] topics=["7.2-11"]
# ## Where a photo lies
#
# | Kind of store | Holds | Good at | Bad at |
# |---|---|---|---|
# | object store | photos, sounds, videos | any size, cheap bytes | each request costs and takes some 10 to 100 ms |
# | columnar files | labels, times, places, sizes | "all photos of gate A1" | a photo in a cell makes each scan slow |
# | vector index | one list of numbers for each item | "what looks like this" | exact conditions, deletion |
#
# Most systems have all three, joined by one identifier. To train a model you read a million photos of 30 kB, and with one object
# for each photo that is a million requests, each paid and waited for.
#
# So small items are packed into *shards*: large objects, with an index that says in which shard an item is, where it begins,
# and how long it is. An object store gives a *range* of bytes: `Range: bytes=100-199`.
#
# **Predict:** 144 photos of the ramp lie in shards. You want a quarter of them. Two wanted photos with a few thousand bytes
# between them: one request or two?

# %%
PHOTOS = dataset("cargo-photos")
FILES = [file for file in PHOTOS.names() if file.startswith("ramp/")]
SIZES = [len(PHOTOS.read(file)) for file in FILES]
INDEX, shard, place = {}, 0, 0
for file, size in zip(FILES, SIZES, strict=True):
    if place + size > 200_000:
        shard, place = shard + 1, 0
    INDEX[file] = (shard, place, size)
    place += size
chance = random.Random(7)
WANTED = [[*INDEX[file]] for file in chance.sample(FILES, len(FILES) // 4)]
print(len(FILES), "photos,", sum(SIZES) // 1000, "kB, in", shard + 1, "shards")
print("wanted:", len(WANTED), "photos,", sum(size for *_, size in WANTED) // 1000, "kB")
print("the first:", WANTED[0], "(shard, first byte, bytes)")

# %% [markdown] role="task" exercise="requests" points=3 topics=["7.2-11"]
# ### Few requests
#
# Write `requests(wanted, gap)`. `wanted` is a list of `[shard, first, size]`: in the shard of this number, `size` bytes from
# byte `first` on. Return the requests to send, in the same form, ordered by shard and first byte.
#
# - Two items of one shard share a request if at most `gap` bytes lie between them that nobody wants.
# - Items may come in any order, twice, or one inside another. No byte is asked for twice.
#
# Example with `gap` 10: `[[0, 100, 50], [0, 160, 20], [0, 191, 5]]` gives `[[0, 100, 80], [0, 191, 5]]`.
#
# Why: this is how readers of Parquet, Zarr and Cloud-Optimized GeoTIFF make a thousand reads into ten.


# %% role="answer" exercise="requests"
def requests(wanted: list[list], gap: int) -> list[list]:
    """The ranges of bytes to ask for: neighbours share a request."""
    ### BEGIN SOLUTION
    found = []
    for shard, first, size in sorted(wanted):
        end = first + size
        if found and found[-1][0] == shard and first - found[-1][2] <= gap:
            found[-1][2] = max(found[-1][2], end)
        else:
            found.append([shard, first, end])
    return [[shard, first, end - first] for shard, first, end in found]
    ### END SOLUTION


# %% role="check" exercise="requests"
with lab.check("requests") as answer:
    for wanted, gap, expected in [
        (
            [[0, 100, 50], [0, 160, 20], [0, 191, 5]],
            10,
            [[0, 100, 80], [0, 191, 5]],
        ),
        ([[1, 0, 9], [0, 90, 10], [0, 0, 80]], 10, [[0, 0, 100], [1, 0, 9]]),
        ([[0, 0, 100], [0, 10, 5], [0, 104, 6]], 4, [[0, 0, 110]]),
        ([[2, 5, 5], [2, 5, 5], [2, 10, 1], [2, 12, 1]], 0, [[2, 5, 6], [2, 12, 1]]),
        ([[3, 0, 4], [4, 4, 4], [3, 7, 2]], 2, [[3, 0, 4], [3, 7, 2], [4, 4, 4]]),
        ([], 5, []),
    ]:
        answer.equal(
            answer.call("requests", wanted, gap),
            expected,
            asked=f"the requests for {wanted} with gap {gap}",
        )

# %% role="hidden" exercise="requests"
with lab.check("requests", hidden=True) as answer:
    for gap in (0, 3, 12):
        wanted = [
            [
                answer.random.randrange(3),
                answer.random.randrange(400),
                answer.random.randrange(1, 25),
            ]
            for _ in range(30)
        ]
        expected = []
        for shard in sorted({each[0] for each in wanted}):
            asked = {
                byte
                for each in wanted
                if each[0] == shard
                for byte in range(each[1], each[1] + each[2])
            }
            runs = []
            for byte in sorted(asked):
                if runs and byte - runs[-1][1] - 1 <= gap:
                    runs[-1][1] = byte
                else:
                    runs.append([byte, byte])
            expected += [[shard, low, high - low + 1] for low, high in runs]
        answer.equal(
            answer.call("requests", wanted, gap),
            expected,
            asked=f"the requests for 30 items in 3 shards, some inside others, with gap {gap}",
        )

# %% [markdown] role="hint" exercise="requests"
# When the items are in order, with which one request does the next item have to be compared?

# %% [markdown] role="hint" exercise="requests"
# `sorted` orders lists by their first element, then the second. Keep the end of each request, not its size, until the
# last line. An item inside another must not shorten it.

# %% [markdown] role="hint" exercise="requests"
# ```python
# found = []
# for shard, first, size in sorted(wanted):
#     end = first + size
#     if found and found[-1][0] == shard and ...:
#         found[-1][2] = ...
#     else:
#         found.append([shard, first, end])
# return [...]
# ```


# %% role="right" exercise="requests"
def requests(wanted, gap):
    by_shard = {}
    for shard, first, size in wanted:
        by_shard.setdefault(shard, []).append((first, first + size))
    found = []
    for shard in sorted(by_shard):
        spans = sorted(by_shard[shard])
        low, high = spans[0]
        for first, end in spans[1:]:
            if first > high + gap:
                found.append([shard, low, high - low])
                low, high = first, end
            high = max(high, end)
        found.append([shard, low, high - low])
    return found


# %% [markdown] role="equivalent" exercise="requests" reason="the larger of two does not depend on their order"
# - found[-1][2] = max(found[-1][2], end)
# + found[-1][2] = max(end, found[-1][2])


# %% role="wrong" exercise="requests" misconception="The item that begins last ends last" caught="check" says="[0, 0, 100], [0, 10, 5]"
def requests(wanted, gap):
    found = []
    for shard, first, size in sorted(wanted):
        if found and found[-1][0] == shard and first - found[-1][2] <= gap:
            found[-1][2] = first + size
        else:
            found.append([shard, first, first + size])
    return [[shard, first, end - first] for shard, first, end in found]


# %% role="wrong" exercise="requests" misconception="The items come in order" caught="check" says="[1, 0, 9], [0, 90, 10]"
def requests(wanted, gap):
    found = []
    for shard, first, size in wanted:
        if found and found[-1][0] == shard and first - found[-1][2] <= gap:
            found[-1][2] = max(found[-1][2], first + size)
        else:
            found.append([shard, first, first + size])
    return [[shard, first, end - first] for shard, first, end in found]


# %% role="wrong" exercise="requests" misconception="A range goes on into the next shard" caught="check" says="[1, 0, 9], [0, 90, 10]"
def requests(wanted, gap):
    found = []
    for shard, first, size in sorted(wanted):
        if found and first - found[-1][2] <= gap and first >= found[-1][1]:
            found[-1][2] = max(found[-1][2], first + size)
        else:
            found.append([shard, first, first + size])
    return [[shard, first, end - first] for shard, first, end in found]


# %% role="wrong" exercise="requests" misconception="The size of a request is the sum of its items" caught="check" says="with gap 10"
def requests(wanted, gap):
    found = []
    for shard, first, size in sorted(wanted):
        if found and found[-1][0] == shard and first - sum(found[-1][1:]) <= gap:
            found[-1][2] += size
        else:
            found.append([shard, first, size])
    return found


# %%
gaps = [0, 6_000, 20_000, 50_000]
plans = [requests(WANTED, gap) for gap in gaps]
figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
if plans[0] is not None:
    counts = [len(plan) for plan in plans]
    asked = [sum(size for *_, size in plan) / 1000 for plan in plans]
    axis.plot(counts, asked, "o-")
    for gap, x, y in zip(gaps, counts, asked, strict=True):
        axis.annotate(f"gap {gap:,}", (x, y), xytext=(5, 4), textcoords="offset points")
axis.axhline(sum(size for *_, size in WANTED) / 1000, color="grey", linestyle=":")
axis.margins(0.2)
axis.set(xlabel="requests", ylabel="kB read")
picture(
    figure,
    alt="Kilobytes read over the number of requests, for gaps from 0 to 50,000 bytes: fewer requests read more bytes. "
    "A dotted line shows the bytes that are wanted.",
)

# %% [markdown]
# The right gap is what your network moves in the time of one request: with 50 MB a second and 20 ms, a whole megabyte.
#
# Haystack, Facebook's store of 2010, came from here. Each photo was a file, and one read took several disk operations: directory,
# *inode*, content. Packed into large files, with 10 bytes of index for each photo in memory instead of an inode of 536, one operation is left.

# %% [markdown] topics=["7.2-13"]
# ## A case, recomputed
#
# A case study is worth its numbers. Take them apart, and see whether they agree.

# %%
photos, images, stored = 65e9, 260e9, 20e15  # Haystack, 2010
weekly, uploaded = 1e9, 60e12
print(f"sizes of each photo          {images / photos:.0f}")
print(f"a stored image is            {stored / images / 1000:.0f} kB")
print(f"an uploaded photo is         {uploaded / weekly / 1000:.0f} kB, all sizes")
print(f"index in memory, 10 bytes    {images * 10 / 1e12:.1f} TB")
print(f"index in memory, inodes      {images * 536 / 1e12:.0f} TB")
pairs, width = 5.85e9, 768  # LAION-5B, 2022
print(f"LAION-5B, vectors of 16 bits {pairs * width * 2 / 1e12:.1f} TB")
print(f"                   of 1 bit  {pairs * width / 8 / 1e12:.2f} TB")

# %% [markdown]
# Two of them do not fit: a photo comes in with 60 kB, and each of its four stored images has 77. The two figures cannot count the same
# thing: one of them may hold copies, or leave out a size. Ask such questions before you multiply.
#
# Your own case: the airline keeps 40 million photos of 30 kB for a year. A provider sells three classes of storage:

# %%
CLASSES = {
    "standard": [0.023, 0.005, 0.0004, 0.00, 0, 1],
    "infrequent": [0.0125, 0.010, 0.0010, 0.01, 128_000, 1],
    "archive": [0.0040, 0.020, 0.0100, 0.03, 128_000, 3],
}
NAMES = ["month", "put", "get", "retrieval", "smallest", "least"]
PRICES = {name: dict(zip(NAMES, row, strict=True)) for name, row in CLASSES.items()}
for name, price in PRICES.items():
    print(f"{name:10}", price)

# %% [markdown]
# The prices are invented; the columns are those of real lists:
#
# | Column | Dollars for |
# |---|---|
# | `month` | a GB (`10**9` bytes) stored for a month |
# | `put`, `get` | 1,000 requests that write, that read |
# | `retrieval` | a GB read |
#
# A stored object is billed as at least `smallest` bytes, and for at least `least` months.
#
# **Predict:** which class is cheapest for 40 million photos of 30 kB that each are read once in the year?

# %% [markdown] role="task" exercise="bill" points=3 topics=["7.2-13"]
# ### The bill
#
# Write `bill(objects, months, price)`. `objects` is a list of `[count, size, reads]`: so many objects of `size` bytes, each read
# `reads` times in all. `price` is one of `PRICES`.
#
# Return the dollars for writing each object once, storing all for `months` months, and reading: a dictionary with `storage`,
# `requests` (written and read), `retrieval`, and `total`. Round nothing.
#
# Retrieval is billed for the object's own bytes, never for `smallest`.
# Example: a million objects of 1,000 bytes for 2 months, not read, in `archive`: `storage` is 128 GB × 0.004 × 3 = 1.536, and
# `requests` is 20.
#
# Why: small objects are billed by requests, and by bytes that they do not have.


# %% role="answer" exercise="bill"
def bill(objects: list[list], months: int, price: dict) -> dict:
    """Dollars for storage, requests and retrieval."""
    ### BEGIN SOLUTION
    storage = requested = retrieval = 0
    for count, size, reads in objects:
        billed = count * max(size, price["smallest"]) / 10**9
        storage += billed * price["month"] * max(months, price["least"])
        requested += count * (price["put"] + reads * price["get"]) / 1000
        retrieval += count * reads * size / 10**9 * price["retrieval"]
    return {
        "storage": storage,
        "requests": requested,
        "retrieval": retrieval,
        "total": storage + requested + retrieval,
    }
    ### END SOLUTION


# %% role="check" exercise="bill"
with lab.check("bill") as answer:
    low = {"month": 2, "put": 3, "get": 5, "retrieval": 7}
    low |= {"smallest": 10**6, "least": 3}
    for objects, months, expected in [
        ([[1000, 10**6, 0]], 3, [6, 3, 0]),
        ([[1000, 1000, 0]], 1, [6, 3, 0]),
        ([[2000, 10**7, 4]], 5, [200, 46, 560]),
        ([[1000, 1000, 2]], 4, [8, 13, 0.014]),
        ([[1000, 10**7, 1], [1000, 1000, 0], [500, 10**9, 0]], 2, [3066, 12.5, 70]),
        ([], 2, [0, 0, 0]),
    ]:
        got = answer.call("bill", objects, months, low)
        wanted = [*expected, sum(expected)]
        columns = ["storage", "requests", "retrieval", "total"]
        answer.true(
            isinstance(got, dict)
            and sorted(got) == sorted(columns)
            and all(
                abs(got[n] - w) < 1e-9 for n, w in zip(columns, wanted, strict=True)
            ),
            asked=f"bill({objects}, {months}, price), price {[*low.values()]} in the order of NAMES",
            found=str(got)[:120],
        )

# %% role="hidden" exercise="bill"
with lab.check("bill", hidden=True) as answer:
    for _ in range(4):
        draw = answer.random.uniform
        price = {name: draw(0.1, 9) for name in ("month", "put", "get", "retrieval")}
        price |= {"smallest": 5_000_000, "least": 3}
        months = answer.random.randrange(1, 7)
        objects = [
            [
                answer.random.randrange(1, 5000),
                answer.random.choice([20_000, 4_999_999, 80_000_000]),
                answer.random.randrange(4),
            ]
            for _ in range(5)
        ]
        gigabytes = (
            sum(n * (size if size > 5e6 else 5e6) for n, size, _ in objects) / 1e9
        )
        expected = {
            "storage": gigabytes * price["month"] * (months if months > 3 else 3),
            "requests": sum(n for n, *_ in objects) / 1e3 * price["put"]
            + sum(n * reads for n, _, reads in objects) / 1e3 * price["get"],
            "retrieval": sum(n * s * r for n, s, r in objects)
            / 1e9
            * price["retrieval"],
        }
        expected["total"] = sum(expected.values())
        got = answer.call("bill", objects, months, price)
        answer.true(
            isinstance(got, dict)
            and sorted(got) == sorted(expected)
            and all(
                abs(got[n] / expected[n] - 1) < 1e-9 for n in expected if expected[n]
            ),
            asked=f"the bill of five kinds of objects for {months} months, with prices that are drawn",
            found=str(got)[:120],
        )

# %% [markdown] role="hint" exercise="bill"
# Which of the four numbers knows about `smallest`, and which about `least`?

# %% [markdown] role="hint" exercise="bill"
# `max(size, price["smallest"])` is what one object is billed as. Requests are priced by the thousand, bytes by the `10**9`.

# %% [markdown] role="hint" exercise="bill"
# ```python
# storage = requested = retrieval = 0
# for count, size, reads in objects:
#     billed = count * ... / 10**9
#     storage += billed * price["month"] * ...
#     requested += count * (...) / 1000
#     retrieval += count * reads * ... / 10**9 * price["retrieval"]
# return {"storage": storage, ...}
# ```


# %% role="right" exercise="bill"
def bill(objects, months, price):
    months = max(months, price["least"])
    found = {
        "storage": sum(
            n * max(size, price["smallest"]) * price["month"] * months / 1e9
            for n, size, _ in objects
        ),
        "requests": sum(
            n * price["put"] / 1e3 + n * reads * price["get"] / 1e3
            for n, _, reads in objects
        ),
        "retrieval": sum(n * s * r * price["retrieval"] / 1e9 for n, s, r in objects),
    }
    return found | {"total": sum(found.values())}


# %% [markdown] role="equivalent" exercise="bill" reason="the larger of two does not depend on their order"
# - billed = count * max(size, price["smallest"]) / 10**9
# + billed = count * max(price["smallest"], size) / 10**9


# %% [markdown] role="equivalent" exercise="bill" reason="the larger of two does not depend on their order"
# - storage += billed * price["month"] * max(months, price["least"])
# + storage += billed * price["month"] * max(price["least"], months)


# %% role="wrong" exercise="bill" misconception="An object is billed by its bytes" caught="check" says="bill([[1000, 1000, 0]], 1"
def bill(objects, months, price):
    months = max(months, price["least"])
    storage = sum(n * s for n, s, _ in objects) / 1e9 * price["month"] * months
    requested = sum(n * (price["put"] + r * price["get"]) for n, _, r in objects) / 1e3
    retrieval = sum(n * s * r for n, s, r in objects) / 1e9 * price["retrieval"]
    found = {"storage": storage, "requests": requested, "retrieval": retrieval}
    return found | {"total": sum(found.values())}


# %% role="wrong" exercise="bill" misconception="Stored for a month, billed for a month" caught="check" says="bill([[1000, 1000, 0]], 1"
def bill(objects, months, price):
    gigabytes = sum(n * max(s, price["smallest"]) for n, s, _ in objects) / 1e9
    requested = sum(n * (price["put"] + r * price["get"]) for n, _, r in objects) / 1e3
    retrieval = sum(n * s * r for n, s, r in objects) / 1e9 * price["retrieval"]
    found = {"storage": gigabytes * price["month"] * months}
    found |= {"requests": requested, "retrieval": retrieval}
    return found | {"total": sum(found.values())}


# %% role="wrong" exercise="bill" misconception="What is billed as stored is billed as read" caught="check" says="bill([[1000, 1000, 2]], 4"
def bill(objects, months, price):
    months = max(months, price["least"])
    sizes = [max(s, price["smallest"]) for _, s, _ in objects]
    storage = requested = retrieval = 0
    for (n, _, reads), size in zip(objects, sizes, strict=True):
        storage += n * size / 1e9 * price["month"] * months
        requested += n * (price["put"] + reads * price["get"]) / 1e3
        retrieval += n * size * reads / 1e9 * price["retrieval"]
    found = {"storage": storage, "requests": requested, "retrieval": retrieval}
    return found | {"total": sum(found.values())}


# %% role="wrong" exercise="bill" misconception="The smallest size holds for all objects together" caught="check" says="bill([[1000, 1000, 0]], 1"
def bill(objects, months, price):
    months = max(months, price["least"])
    stored = max(sum(n * s for n, s, _ in objects), price["smallest"])
    requested = sum(n * (price["put"] + r * price["get"]) for n, _, r in objects) / 1e3
    retrieval = sum(n * s * r for n, s, r in objects) / 1e9 * price["retrieval"]
    found = {"storage": stored / 1e9 * price["month"] * months}
    found |= {"requests": requested, "retrieval": retrieval}
    return found | {"total": sum(found.values())}


# %% role="wrong" exercise="bill" misconception="Writing is free" caught="check" says="bill([[1000, 1000000, 0]], 3"
def bill(objects, months, price):
    months = max(months, price["least"])
    gigabytes = sum(n * max(s, price["smallest"]) for n, s, _ in objects) / 1e9
    requested = sum(n * r for n, _, r in objects) / 1e3 * price["get"]
    retrieval = sum(n * s * r for n, s, r in objects) / 1e9 * price["retrieval"]
    found = {"storage": gigabytes * price["month"] * months}
    found |= {"requests": requested, "retrieval": retrieval}
    return found | {"total": sum(found.values())}


# %%
ALONE = [[40_000_000, 30_000, 1]]
SHARDS = [[20_000, 60_000_000, 1]]  # the same bytes, 2,000 photos together
figure, axis = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
for row, (name, objects) in enumerate(
    (name, objects) for name in PRICES for objects in (SHARDS, ALONE)
):
    left, dollars = 0, bill(objects, 12, PRICES[name]) or {}
    for part, colour in [("storage", "C0"), ("requests", "C1"), ("retrieval", "C2")]:
        axis.barh(row, dollars.get(part, 0), left=left, color=colour)
        left += dollars.get(part, 0)
axis.set_yticks(
    range(6), [f"{n}, {how}" for n in PRICES for how in ("shards", "photos")]
)
for part, colour in [("storage", "C0"), ("requests", "C1"), ("retrieval", "C2")]:
    axis.barh(0, 0, color=colour, label=part)
axis.set(xlabel="dollars for a year")
axis.legend()
picture(
    figure,
    alt="Bars of the year's bill, split into storage, requests and retrieval. With one object for each photo the archive is the "
    "dearest class by far, nearly all of it for requests. With shards, all classes cost little, mostly for storage.",
)

# %% [markdown]
# With one object a photo, the class with the cheapest byte is the dearest. In shards, it is the cheapest, if you read all of
# a shard. Whoever reads one photo of it pays a request for a range, as before.

# %% [markdown] topics=["7.2-12"]
# ## She withdrew her consent
#
# Faces and voices identify people. Under the European GDPR such data, used to identify somebody, is a special category (Article
# 9): you need a reason, mostly consent for one purpose. Consent can be withdrawn at any time (Article 7), and what was kept for it
# alone must then be erased (Article 17).
#
# **Predict:** a passenger has her comment deleted. The row is gone from the table. Does the search find it?

# %%
COMMENTS = [json.loads(line) for line in dataset("comments").text().splitlines()]
TEXTS = list(dict.fromkeys(comment["text"] for comment in COMMENTS))[:400]
MODEL = MiniLM()
VECTORS = np.vstack([MODEL.encode(TEXTS[n : n + 40]) for n in range(0, 400, 40)])
table = dict(enumerate(TEXTS))
gone = table.pop(3)
near = VECTORS @ MODEL.encode([gone[: len(gone) // 2]])[0]  # half of it is asked
print("asked:  ", gone[: len(gone) // 2])
for number in np.argsort(-near)[:2]:
    print(
        f"found:   {number:3} {near[number]:.2f}", table.get(int(number), "(deleted)")
    )

# %% [markdown]
# The vector is still there, and a vector says much of what its text said. So do the thumbnail, the transcript, the crop of the face, the
# backup, the training set. What is *derived* from a person's data is that person's data: each item needs to know what it was made
# from. This is *lineage*; without it nobody can obey.

# %% [markdown] role="task" exercise="usable" points=4 topics=["7.2-12"]
# ### What may be used
#
# Write `usable(items, consents, purpose, day)`. Return the ids of the items that may be used for `purpose` on `day`, sorted.
#
# - `items` is a list of dictionaries: `id`; `people`, the people who are to be seen or heard in it; `made_from`, a list of ids of items.
# - `consents` is a list of dictionaries: `person`, `purpose`, `day` (a number) and `given` (true or false: withdrawn), in any order. For a
#   person and a purpose, the newest one up to and including `day` holds. None means: not given. No two have the same day.
# - An item is usable if all its people consent, and all items that it was made from are usable, and what they were made from, and so on.
# - An item that was made from one that is not in `items` is not usable: nobody knows who is in it. No item is made from itself, nor through others.
#
# Example: photo `p` of Ada, vector `v` made from `p`, without people of its own. Ada gave `search` on day 1 and withdrew on day 5:
# on day 4 the answer for `search` is `["p", "v"]`, on day 5 it is `[]`.
#
# Why: a deletion that stops at the first table is none.


# %% role="answer" exercise="usable"
def usable(items: list[dict], consents: list[dict], purpose: str, day: int) -> list:
    """The items that all who are in them, or in their sources, let be used."""
    ### BEGIN SOLUTION
    willing = {}
    for consent in sorted(consents, key=lambda consent: consent["day"]):
        if consent["purpose"] == purpose and consent["day"] <= day:
            willing[consent["person"]] = consent["given"]
    by_id = {item["id"]: item for item in items}

    def may(name):
        item = by_id.get(name)
        return (
            item is not None
            and all(willing.get(person) for person in item["people"])
            and all(may(source) for source in item["made_from"])
        )

    return sorted(name for name in by_id if may(name))
    ### END SOLUTION


# %% role="check" exercise="usable"
with lab.check("usable") as answer:
    things = "p Ada -, v - p, t Ada+Bo -, u - v+t, x - lost, y - x, w - -"
    items = []
    for text in things.split(", "):
        name, people, sources = text.split()
        items.append({"id": name, "people": people.split("+") if people != "-" else []})
        items[-1]["made_from"] = sources.split("+") if sources != "-" else []
    said = (
        "Ada search 5 no, Ada search 1 yes, Ada train 1 yes, Bo search 2 yes, Bo train 9 yes, "
        "Ada search 8 yes, Bo search 7 no"
    )
    consents = []
    for text in said.split(", "):
        person, purpose, day, given = text.split()
        consents.append({"person": person, "purpose": purpose, "day": int(day)})
        consents[-1]["given"] = given == "yes"
    for purpose, day, expected in [
        ("search", 4, "p t u v w"),
        ("search", 1, "p v w"),
        ("search", 5, "w"),
        ("search", 8, "p v w"),
        ("train", 3, "p v w"),
        ("train", 9, "p t u v w"),
        ("sell", 9, "w"),
    ]:
        answer.equal(
            answer.call("usable", items[::-1], consents, purpose, day),
            expected.split(),
            asked=f"for {purpose!r} on day {day}; items (id, people, made from): {things}; consents: {said}",
        )

# %% role="hidden" exercise="usable"
with lab.check("usable", hidden=True) as answer:
    people = ["Ada", "Bo", "Cy", "Di", "Eva"]
    for _ in range(3):
        items, need = [], {}
        for number in range(25):
            name = f"i{number}"
            seen = answer.random.sample(people, answer.random.choice([0, 1, 1, 2]))
            made = answer.random.sample(
                [*need, "nowhere"], min(len(need), answer.random.choice([0, 0, 1, 2]))
            )
            items.append({"id": name, "people": seen, "made_from": made})
            need[name] = {*seen}.union(
                *(need.get(one, {"nobody knows"}) for one in made)
            )
        days = answer.random.sample(range(40), 24)
        consents = [
            {
                "person": answer.random.choice(people),
                "purpose": answer.random.choice(["search", "train"]),
                "day": when,
                "given": answer.random.random() < 0.75,
            }
            for when in days
        ]
        answer.random.shuffle(items)
        yes = set()
        for person in people:
            valid = [
                (c["day"], c["given"])
                for c in consents
                if (c["person"], c["purpose"]) == (person, "search") and c["day"] <= 30
            ]
            if valid and max(valid)[1]:
                yes.add(person)
        answer.equal(
            answer.call("usable", items, consents, "search", 30),
            sorted(name for name, who in need.items() if who <= yes),
            asked="the items of 25 that may be used for 'search' on day 30, with 24 consents of 5 people",
        )

# %% [markdown] role="hint" exercise="usable"
# First: who consents on this day? Then ask an item about itself, and about its sources. Who answers for these?

# %% [markdown] role="hint" exercise="usable"
# Go through the consents in the order of their days, and let later ones replace earlier ones in a dictionary. A function inside
# your function may call itself. A source that is unknown is not usable.

# %% [markdown] role="hint" exercise="usable"
# ```python
# willing = {}
# for consent in sorted(consents, key=...):
#     if ...:
#         willing[consent["person"]] = consent["given"]
# by_id = {item["id"]: item for item in items}
#
# def may(name):
#     item = by_id.get(name)
#     return item is not None and all(...) and all(...)
#
# return sorted(...)
# ```


# %% role="right" exercise="usable"
def usable(items, consents, purpose, day):
    newest = {}
    for consent in consents:
        if consent["purpose"] != purpose or consent["day"] > day:
            continue
        known = newest.get(consent["person"])
        if known is None or known["day"] < consent["day"]:
            newest[consent["person"]] = consent
    yes = {person for person, consent in newest.items() if consent["given"]}
    good = {item["id"] for item in items if yes.issuperset(item["people"])}
    while True:
        kept = {
            i["id"]
            for i in items
            if i["id"] in good and good.issuperset(i["made_from"])
        }
        if kept == good:
            return sorted(good)
        good = kept


# %% role="wrong" exercise="usable" misconception="Only the item itself counts" caught="check" says="for 'search' on day 4;"
def usable(items, consents, purpose, day):
    willing = {}
    for consent in sorted(consents, key=lambda consent: consent["day"]):
        if consent["purpose"] == purpose and consent["day"] <= day:
            willing[consent["person"]] = consent["given"]
    return sorted(i["id"] for i in items if all(map(willing.get, i["people"])))


# %% role="wrong" exercise="usable" misconception="One step back is enough" caught="check" says="made from): p Ada -, v - p"
def usable(items, consents, purpose, day):
    willing = {}
    for consent in sorted(consents, key=lambda consent: consent["day"]):
        if consent["purpose"] == purpose and consent["day"] <= day:
            willing[consent["person"]] = consent["given"]
    good = {i["id"] for i in items if all(map(willing.get, i["people"]))}
    return sorted(
        i["id"] for i in items if i["id"] in good and good >= {*i["made_from"]}
    )


# %% role="wrong" exercise="usable" misconception="Once given, given for ever" caught="check" says="for 'search' on day 5"
def usable(items, consents, purpose, day):
    yes = {
        c["person"]
        for c in consents
        if c["purpose"] == purpose and c["day"] <= day and c["given"]
    }
    by_id = {item["id"]: item for item in items}

    def may(name):
        item = by_id.get(name)
        return bool(
            item and yes >= {*item["people"]} and all(map(may, item["made_from"]))
        )

    return sorted(filter(may, by_id))


# %% role="wrong" exercise="usable" misconception="Consent is for all purposes" caught="check" says="for 'search' on day 5"
def usable(items, consents, purpose, day):
    willing = {}
    for consent in sorted(consents, key=lambda consent: consent["day"]):
        if consent["day"] <= day:
            willing[consent["person"]] = (
                willing.get(consent["person"]) or consent["given"]
            )
    by_id = {item["id"]: item for item in items}

    def may(name):
        item = by_id.get(name)
        return bool(
            item
            and all(map(willing.get, item["people"]))
            and all(map(may, item["made_from"]))
        )

    return sorted(filter(may, by_id))


# %% role="wrong" exercise="usable" misconception="One of those in the picture is enough" caught="check" says="for 'search' on day 1"
def usable(items, consents, purpose, day):
    willing = {}
    for consent in sorted(consents, key=lambda consent: consent["day"]):
        if consent["purpose"] == purpose and consent["day"] <= day:
            willing[consent["person"]] = consent["given"]
    by_id = {item["id"]: item for item in items}

    def may(name):
        item = by_id.get(name)
        if not item:
            return False
        agreed = not item["people"] or any(map(willing.get, item["people"]))
        return agreed and all(map(may, item["made_from"]))

    return sorted(filter(may, by_id))


# %% [markdown] topics=["7.2-12"]
# ## Without names is not anonymous
#
# A data set of places and hours has no names. Is it anonymous? Real data: the aircraft of 2013, each a person for once. A stranger
# saw an aircraft leave for some places, and knows the day of each.
#
# **Predict:** how many such sightings point to one aircraft alone, of those that flew from New York at least fifty times?

# %%
columns = ["tailnum", "dep_time", "origin", "dest", "time_hour"]
flights = dataset("flights").arrow().select(columns).to_pandas().dropna()
flights["spot"] = (
    flights["origin"] + flights["dest"] + flights["time_hour"].dt.strftime(" %m-%d")
)
traces = flights.groupby("tailnum")["spot"].agg(set)
traces = traces[traces.map(len) >= 50]
seen = defaultdict(set)
for aircraft, spots in traces.items():
    for spot in spots:
        seen[spot].add(aircraft)
chance = random.Random(7)
for count in (1, 2, 3):
    alone = 0
    for spots in traces:
        known = chance.sample(sorted(spots), count)
        alone += len(set.intersection(*(seen[spot] for spot in known))) == 1
    print(f"{count} sighting(s): {alone / len(traces):.0%} of {len(traces)} are alone")

# %% [markdown]
# Two sightings are enough for most aircraft. For people with mobile phones, four places and hours point to 95 % of them (de Montjoye and others,
# 2013). Taking out names does nothing: the trace *is* the name.
#
# What you can publish are counts, and only where several people are behind each. *k-anonymity* asks for at least `k`. Coarser cells hold more.

# %% [markdown] role="task" exercise="publish" points=4 topics=["7.2-12"]
# ### Counts, and nobody's trace
#
# Write `publish(visits, k)`. `visits` is a list of `[person, place, hour]`. Return a list of `[place, hour, people]`, where `people` is the number of
# different people:
#
# 1. for each place and hour with at least `k` people
# 2. then, for each place, one line for all its other hours together, with `None` as the hour, if in these at least `k` different people
#    were. Else these visits are left out.
#
# Order: by place, in a place by hour, the line with `None` last.
#
# Example with `k` 2: Ada and Bo at gate A at 9, Ada there at 10, Cy there at 11: `[["A", 9, 2], ["A", None, 2]]`.
#
# Why: a cell with one person is that person's whereabouts.


# %% role="answer" exercise="publish"
def publish(visits: list[list], k: int) -> list[list]:
    """Counts of different people by place and hour; rare hours of a place together."""
    ### BEGIN SOLUTION
    cells = {}
    for person, place, hour in visits:
        cells.setdefault((place, hour), set()).add(person)
    found, rest = [], {}
    for (place, hour), people in cells.items():
        if len(people) >= k:
            found.append([place, hour, len(people)])
        else:
            rest.setdefault(place, set()).update(people)
    for place, people in rest.items():
        if len(people) >= k:
            found.append([place, None, len(people)])
    return sorted(found, key=lambda line: (line[0], line[1] is None, line[1]))
    ### END SOLUTION


# %% role="check" exercise="publish"
with lab.check("publish") as answer:
    for script, k, expected in [
        ("Ada A 9, Bo A 9, Ada A 10, Cy A 11", 2, "A 9 2, A - 2"),
        ("Ada A 9, Ada A 9, Bo A 10, Cy B 9", 2, "A - 2"),
        ("Ada A 7, Ada A 8, Ada A 9, Bo A 8", 3, ""),
        (
            "Bo B 5, Bo A 6, Cy B 5, Cy A 6, Cy A 0, Ada A 0, Bo A 10",
            2,
            "A 0 2, A 6 2, B 5 2",
        ),
        ("Ada B 5, Bo B 5, Cy B 5, Ada A 5, Bo A 6, Cy A 7, Di A 7", 3, "A - 4, B 5 3"),
        ("Ada A 10, Bo A 9", 1, "A 9 1, A 10 1"),
    ]:
        visits = []
        for text in filter(None, script.split(", ")):
            person, place, hour = text.split()
            visits.append([person, place, int(hour)])
        lines = []
        for text in filter(None, expected.split(", ")):
            place, hour, count = text.split()
            lines.append([place, None if hour == "-" else int(hour), int(count)])
        answer.equal(
            answer.call("publish", visits, k),
            lines,
            asked=f"what may be published with k {k} of the visits {script}",
        )

# %% role="hidden" exercise="publish"
with lab.check("publish", hidden=True) as answer:
    spots = [(place, hour) for place in "ABC" for hour in [*range(24), *[11, 12] * 9]]
    for k in (2, 3, 5):
        visits = [
            [f"p{answer.random.randrange(12)}", *answer.random.choice(spots)]
            for _ in range(70)
        ]
        expected = []
        for place in "ABC":
            little = []
            for hour in range(24):
                here = [p for p, *where in visits if where == [place, hour]]
                if len({*here}) < k:
                    little += here
                else:
                    expected.append([place, hour, len({*here})])
            if len({*little}) >= k:
                expected.append([place, None, len({*little})])
        answer.equal(
            answer.call("publish", visits, k),
            expected,
            asked=f"what may be published of 70 visits to 3 places with k {k}",
        )

# %% [markdown] role="hint" exercise="publish"
# What do you have to remember of each cell, so that a person counts once in the hour, and once in the rest?

# %% [markdown] role="hint" exercise="publish"
# Keep sets of people, not counts: sets can be joined. Python cannot order `None` among numbers: order by whether it is `None` first.

# %% [markdown] role="hint" exercise="publish"
# ```python
# cells = {}
# for person, place, hour in visits:
#     cells.setdefault((place, hour), set()).add(person)
# found, rest = [], {}
# for (place, hour), people in cells.items():
#     if ...:
#         found.append(...)
#     else:
#         rest.setdefault(place, set()).update(...)
# ...
# return sorted(found, key=lambda line: (line[0], line[1] is None, ...))
# ```


# %% role="right" exercise="publish"
def publish(visits, k):
    found = []
    for place in sorted({place for _, place, _ in visits}):
        hours = sorted({hour for _, where, hour in visits if where == place})
        left = set()
        for hour in hours:
            people = {p for p, where, when in visits if (where, when) == (place, hour)}
            if len(people) < k:
                left |= people
            else:
                found.append([place, hour, len(people)])
        if len(left) >= k:
            found.append([place, None, len(left)])
    return found


# %% role="wrong" exercise="publish" misconception="Names are taken out, so it is anonymous" caught="check" says="with k 2 of the visits Ada A 9, Bo A 9"
def publish(visits, k):
    counts = Counter((place, hour) for _, place, hour in visits)
    return [[place, hour, count] for (place, hour), count in sorted(counts.items())]


# %% role="wrong" exercise="publish" misconception="A visit is a person" caught="check" says="Ada A 9, Ada A 9"
def publish(visits, k):
    counts = Counter((place, hour) for _, place, hour in visits)
    found = [[place, hour, n] for (place, hour), n in counts.items() if n >= k]
    rest = Counter(place for _, place, hour in visits if counts[place, hour] < k)
    found += [[place, None, n] for place, n in rest.items() if n >= k]
    return sorted(found, key=lambda line: (line[0], line[1] is None, line[1]))


# %% role="wrong" exercise="publish" misconception="More than k" caught="check" says="with k 2 of the visits Ada A 9, Bo A 9"
def publish(visits, k):
    found = []
    for place in sorted({place for _, place, _ in visits}):
        left = set()
        for hour in sorted({hour for _, where, hour in visits if where == place}):
            people = {p for p, where, when in visits if (where, when) == (place, hour)}
            if len(people) <= k:
                left |= people
            else:
                found.append([place, hour, len(people)])
        if len(left) > k:
            found.append([place, None, len(left)])
    return found


# %% role="wrong" exercise="publish" misconception="The rest of a place is any rest" caught="check" says="Ada A 9, Ada A 9"
def publish(visits, k):
    found = []
    for place in sorted({place for _, place, _ in visits}):
        left = set()
        for hour in sorted({hour for _, where, hour in visits if where == place}):
            people = {p for p, where, when in visits if (where, when) == (place, hour)}
            if len(people) < k:
                left |= people
            else:
                found.append([place, hour, len(people)])
        if left:
            found.append([place, None, len(left)])
    return found


# %% role="wrong" exercise="publish" misconception="The people of small cells add up" caught="check" says="with k 3 of the visits Ada A 7"
def publish(visits, k):
    found = []
    for place in sorted({place for _, place, _ in visits}):
        left = 0
        for hour in sorted({hour for _, where, hour in visits if where == place}):
            people = {p for p, where, when in visits if (where, when) == (place, hour)}
            if len(people) < k:
                left += len(people)
            else:
                found.append([place, hour, len(people)])
        if left >= k:
            found.append([place, None, left])
    return found


# %% [markdown]
# Two limits. Who also gets the place's *total* can compare it with what is published, and bound the rest. And `k` people who all do the same have no secret: whoever
# knows that you were there knows the rest. *Differential privacy* adds noise to each count, and bounds what any number of answers tell.

# %% [markdown] topics=["7.2-14"]
# ## Where it goes
#
# Four developments, and what each asks of you:
#
# | Trend | What you will build |
# |---|---|
# | one vector space for text, image and sound (CLIP and its heirs) | one index, with a name and version of the model beside each vector |
# | tables take in what was outside: Iceberg v3 and Parquet have types for places and semi-structured data, Lance stores media beside columns | less glue between the three stores above |
# | smaller vectors: fewer numbers, fewer bits | searches in two steps, and a measured loss |
# | origin must be told: the EU's AI Act (Article 50) wants synthetic media marked so that machines see it; C2PA signs how a file was made | metadata that no thumbnail drops |
#
# Take the third. A vector of MiniLM has 384 numbers of 32 bits. Keep of each number its sign: one bit, 32 times less. The *Hamming distance* of two
# vectors is the number of bits in which they differ.
#
# **Predict:** how many of the ten nearest by signs are among the true ten?

# %%
QUESTIONS = range(0, 400, 8)
TRUE = {}
for number in QUESTIONS:
    TRUE[number] = set(np.argsort(-(VECTORS @ VECTORS[number]), kind="stable")[:10])
SIGNS = VECTORS > 0
right = 0
for number in QUESTIONS:
    distance = (SIGNS[number] != SIGNS).sum(axis=1)
    right += len(TRUE[number] & set(np.argsort(distance, kind="stable")[:10]))
print(f"signs alone: {right / 10 / len(QUESTIONS):.0%} of the true ten")

# %% [markdown] role="task" exercise="shortlist" points=3 topics=["7.2-14"]
# ### Search in two steps
#
# Write `shortlist(query, vectors, many, k)`. `query` is a list of numbers, `vectors` a list of such lists. Return `k` positions in `vectors`, the best first:
#
# 1. Take the `many` vectors whose signs differ from the query's in the fewest places. A sign is *plus* if the number is above 0. Of equal ones
#    take the earlier.
# 2. Of these, return the `k` with the largest dot product with the query, computed from the numbers themselves. Of equal ones the earlier comes first.
#
# Example: `query` `[1, 2]`, `vectors` `[[5, -1], [1, 1], [2, 1], [-9, -9]]`, `many` 3, `k` 2: the first three are kept, with dot products 3, 3 and 4, and the
# answer is `[2, 0]`.
#
# Why: the signs of a billion vectors fit in memory; the numbers stay on disk, and you read a hundred of them.


# %% role="answer" exercise="shortlist"
def shortlist(query: list, vectors: list[list], many: int, k: int) -> list[int]:
    """The nearest by signs, then ordered by the numbers."""

    ### BEGIN SOLUTION
    table, asked = np.array(vectors), np.array(query)
    distance = ((table > 0) != (asked > 0)).sum(axis=1)
    kept = sorted(np.argsort(distance, kind="stable")[:many])
    kept.sort(key=lambda place: table[place] @ asked, reverse=True)
    return [int(place) for place in kept[:k]]
    ### END SOLUTION


# %% role="check" exercise="shortlist"
with lab.check("shortlist") as answer:
    for query, vectors, many, k, expected in [
        ([1, 2], [[5, -1], [1, 1], [2, 1], [-9, -9]], 3, 2, [2, 0]),
        ([3, 1], [[-1, 9], [1, 1], [9, -2], [1, 2]], 2, 2, [3, 1]),
        ([3, 1], [[-1, 9], [1, 1], [9, -2], [1, 2]], 3, 2, [0, 3]),
        ([1, 0], [[1, 0], [5, 3], [2, -1], [0, 0]], 2, 2, [2, 0]),
        ([2, -1], [[1, -1], [1, -1], [0.5, -2], [-1, -4]], 3, 3, [0, 1, 2]),
        ([1, 1], [[1, -1], [4, 4], [0, 8]], 3, 1, [1]),
        ([1, 1, 1], [[5, 5, -9], [-1, -1, 9], [-9, 1, 1]], 2, 2, [0, 2]),
    ]:
        answer.equal(
            answer.call("shortlist", query, vectors, many, k),
            expected,
            asked=f"shortlist({query}, {vectors}, {many}, {k})",
        )

# %% role="hidden" exercise="shortlist"
with lab.check("shortlist", hidden=True) as answer:
    for many, k in [(20, 5), (40, 10), (7, 7)]:
        number = answer.random.randint
        vectors = [[number(-4, 4) for _ in range(12)] for _ in range(60)]
        query = [number(-4, 4) for _ in range(12)]
        table = np.array(vectors)
        distance = ((table > 0) != (np.array(query) > 0)).sum(axis=1)
        kept = np.sort(np.argsort(distance, kind="stable")[:many])
        order = np.argsort(-(table[kept] @ np.array(query)), kind="stable")[:k]
        answer.equal(
            answer.call("shortlist", query, vectors, many, k),
            [int(place) for place in kept[order]],
            asked=f"the {k} best of 60 vectors of 12 whole numbers, of a list of {many}",
        )

# %% [markdown] role="hint" exercise="shortlist"
# Two orders, one after the other. Which of them needs the numbers, and which only their signs?

# %% [markdown] role="hint" exercise="shortlist"
# `np.argsort(…, kind="stable")` keeps the order of what is equal, and so does `sort`, also with `reverse=True`. After step 1 the positions are no longer in
# order.

# %% [markdown] role="hint" exercise="shortlist"
# ```python
# table, asked = np.array(vectors), np.array(query)
# distance = (... != ...).sum(axis=1)
# kept = sorted(np.argsort(..., kind="stable")[:many])
# kept.sort(key=lambda place: ..., reverse=True)
# return [...]
# ```


# %% role="right" exercise="shortlist"
def shortlist(query, vectors, many, k):
    def differ(place):
        return sum(
            (a > 0) ^ (b > 0) for a, b in zip(query, vectors[place], strict=True)
        )

    def product(place):
        return sum(a * b for a, b in zip(query, vectors[place], strict=True))

    kept = sorted(range(len(vectors)), key=differ)[:many]
    return sorted(kept, key=lambda place: (-product(place), place))[:k]


# %% [markdown] role="equivalent" exercise="shortlist" reason="a mean orders as its sum does"
# - distance = ((table > 0) != (asked > 0)).sum(axis=1)
# + distance = ((table > 0) != (asked > 0)).mean(axis=1)


# %% [markdown] role="equivalent" exercise="shortlist" reason="numpy's whole numbers are whole numbers"
# - return [int(place) for place in kept[:k]]
# + return [(place) for place in kept[:k]]


# %% role="wrong" exercise="shortlist" misconception="The signs are enough" caught="check" says="shortlist([1, 2], [[5, -1]"
def shortlist(query, vectors, many, k):
    table, asked = np.array(vectors), np.array(query)
    distance = ((table > 0) ^ (asked > 0)).sum(axis=1)
    return [int(place) for place in np.argsort(distance, kind="stable")[:k]]


# %% role="wrong" exercise="shortlist" misconception="The dot product finds the list, too" caught="check" says="9, -2], [1, 2]], 2, 2)"
def shortlist(query, vectors, many, k):
    table, asked = np.array(vectors), np.array(query)
    return [int(place) for place in np.argsort(-(table @ asked), kind="stable")[:k]]


# %% role="wrong" exercise="shortlist" misconception="The smallest product is the nearest" caught="check" says="shortlist([1, 2], [[5, -1]"
def shortlist(query, vectors, many, k):
    table, asked = np.array(vectors), np.array(query)
    distance = ((table > 0) ^ (asked > 0)).sum(axis=1)
    kept = sorted(np.argsort(distance, kind="stable")[:many])
    return [int(p) for p in sorted(kept, key=lambda place: table[place] @ asked)[:k]]


# %% role="wrong" exercise="shortlist" misconception="Zero is a sign of its own" caught="check" says="shortlist([1, 0], [[1, 0]"
def shortlist(query, vectors, many, k):
    table, asked = np.array(vectors), np.array(query)
    distance = (np.sign(table) != np.sign(asked)).sum(axis=1)
    kept = sorted(np.argsort(distance, kind="stable")[:many])
    kept.sort(key=lambda place: -(table[place] @ asked))
    return [int(place) for place in kept[:k]]


# %%
many_of = [10, 20, 40, 80]
shares = []
for many in many_of:
    right = 0
    for number in QUESTIONS[::5]:
        best = shortlist(VECTORS[number].tolist(), VECTORS.tolist(), many, 10)
        right += len(TRUE[number] & {*(best or [])})
    shares.append(right / 10 / len(QUESTIONS[::5]))
figure, axis = plt.subplots(figsize=(5, 2.5), layout="constrained")
axis.plot(many_of, shares, "o-")
axis.set(
    xlabel="vectors read in step 2, of 400", ylabel="of the true ten", ylim=(0, 1.05)
)
picture(
    figure,
    alt="Share of the true ten nearest that are found, over the number of vectors read in the second step: it rises from about two thirds towards one.",
)

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | read shards | the gap is what the network moves in the time of a request |
# | recompute a bill | smallest size, shortest time, requests; then bytes |
# | respect a withdrawal | follow what was made from it, to the vector |
# | publish places | different people, at least k; the trace is the name |
# | search small vectors | signs find, numbers order |
#
# **Read on.** Beaver and others, *Finding a Needle in Haystack* (2010); Schuhmann and others, *LAION-5B* (2022); de Montjoye and others, *Unique in
# the Crowd* (2013); Sweeney, *k-Anonymity* (2002).

# %%
lab.close()
