# %% [markdown] minutes=60 datasets=["airports", "flights-day-parquet"] systems=["valkey"]
# # Integration patterns
#
# An airline, an airport and a baggage handler exchange data about the same flights. You read a folder too early, lose
# a reply and trip over a contract, and learn the patterns that prevent it.

# %% [markdown]
# ## You will be able to
#
# - take a delivery of files whole, and once (exercise 1)
# - say which change of a contract breaks whom (exercise 2)
# - translate a partner's message into your own model (exercise 3)
# - match replies with requests (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python functions | every answer is one |
# | the lab *APIs* | *idempotent*, *at least once* come from there |
#
# Valkey, the BSD-licensed fork of Redis, is the real one (label: engine); `client` is redis-py's client of it. Checks
# empty it. The flights are real, the partners invented.

# %% role="setup"
import hashlib
import json
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from labkit import dataset, open_lab
from labkit.services import service

lab = open_lab("04-1-ingestion/11-integration-patterns")
kv = service("valkey")
lab

# %%
DAY = dataset("flights-day-parquet").arrow().to_pylist()


def broker():
    """A client of Valkey, which gives up after three seconds of waiting."""
    return redis.Redis(
        host="127.0.0.1",
        port=kv.port("primary"),
        decode_responses=True,
        socket_timeout=3,
        retry=Retry(NoBackoff(), 0),
    )


def fresh():
    """Begin anew, with nothing in Valkey."""
    queue.flushdb()


queue, client = kv.client(), broker()
print(f"{kv.title} {kv.version} ({kv.label})")

# %% [markdown] topics=["4.1-5"]
# ## Break it: the folder that was read too early
#
# *File transfer* is the oldest pattern: the airport writes files into a folder, your job picks them up. But a
# folder does not say when it is complete.
#
# **Predict:** the airport writes three files, each in two pieces. After each piece, your job takes all
# that is there. When does it have all 902 flights, and how could it know?

# %%
with tempfile.TemporaryDirectory() as folder:
    for origin in ("EWR", "JFK", "LGA"):
        lines = [
            f"{row['carrier']}{row['flight']},{row['origin']},{row['dest']}"
            for row in DAY
            if row["origin"] == origin
        ]
        text = "\n".join(lines)
        with Path(folder, f"{origin}.csv").open("w") as file:
            for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                file.write(piece)
                file.flush()
                found = [p.read_text() for p in Path(folder).glob("*.csv")]
                taken = sum(text.count("\n") + 1 for text in found)
                print(f"{taken:>3} flights, {origin}'s last: {piece.splitlines()[-1]}")

# %% [markdown]
# Only the last look is right, and nothing tells it from the others. Half a line is taken for a flight.
#
# A *manifest* names each file with its length and hash. It comes last, and under its name only when it is
# whole: within one file system, a *rename* shows all or nothing. A *delivery number* tells a repeat from
# news. What no manifest names, nobody takes.
#
# A manifest may overtake its files. And it comes from outside: do not open whatever path it names.

# %% [markdown] role="task" exercise="manifest" points=2 topics=["4.1-5"]
# ### Take a delivery, whole and once
#
# Write `judge(folder, manifest, taken)`. `manifest` is a dictionary:
#
# ```python
# {"delivery": "EWR-17", "files": [{"name": "bags.csv", "bytes": 5120, "sha256": "9f86…"}]}
# ```
#
# `taken` maps the numbers of deliveries that you have taken to `{name: sha256}` of their files. Return the first
# word that fits:
#
# | Word | When |
# |---|---|
# | `"unsafe"` | a name has a `/`, or is empty, `.` or `..` |
# | `"repeated"` | the number was taken, with the same names and hashes |
# | `"conflict"` | the number was taken, with others |
# | `"waiting"` | a file is missing in `folder`, or shorter than promised |
# | `"damaged"` | the hash of a file differs |
# | `"complete"` | else; also for a delivery of no files |
#
# Why: waiting ends by itself; damage and conflicts need a call to the sender.


# %%
def judged(there, manifest, taken):
    """Your word for a manifest, with these files (name: text) in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in there.items():
            Path(folder, name).write_bytes(text.encode())
        return judge(folder, manifest, taken)


# %% role="answer" exercise="manifest"
def judge(folder: str, manifest: dict, taken: dict[str, dict]) -> str:
    """What to do with a delivery, in one word."""
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% role="check" exercise="manifest"
with lab.check("manifest") as answer:
    answer.value("judge")
    texts = {"flights.csv": "UA1\n", "bags.csv": "7\n", "stray.csv": "9\n"}
    flights, bags, stray = (
        {
            "name": name,
            "bytes": len(text),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        for name, text in texts.items()
    )
    past = {"EWR-1": {file["name"]: file["sha256"] for file in (flights, bags)}}
    for what, number, files, word in [
        ("two whole files beside a stray one", "EWR-2", [flights, bags], "complete"),
        ("a missing file", "EWR-2", [flights, {**bags, "name": "crew.csv"}], "waiting"),
        ("a file that is a byte short", "EWR-2", [{**bags, "bytes": 3}], "waiting"),
        ("a file with another hash", "EWR-2", [{**bags, "sha256": "0"}], "damaged"),
        (
            "a damaged file before a short one",
            "EWR-2",
            [{**bags, "sha256": "0"}, {**flights, "bytes": 9}],
            "waiting",
        ),
        (
            "a damaged file before a whole one",
            "EWR-2",
            [{**bags, "sha256": "0"}, flights],
            "damaged",
        ),
        ("a number and files as before", "EWR-1", [bags, flights], "repeated"),
        ("an old number with one file less", "EWR-1", [flights], "conflict"),
        (
            "a name in another folder",
            "EWR-2",
            [{**bags, "name": "../bags.csv"}],
            "unsafe",
        ),
    ]:
        answer.equal(
            answer.call("judged", texts, {"delivery": number, "files": files}, past),
            word,
            asked=f"the first word that fits {what}",
        )

# %% role="hidden" exercise="manifest"
with lab.check("manifest", hidden=True) as answer:
    answer.value("judge")
    texts = {f"Gepäck {n}.csv": "ü" * answer.random.randint(2, 9) for n in range(4)}
    texts["empty.csv"] = ""
    files = [
        {
            "name": name,
            "bytes": len(text.encode()),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        for name, text in texts.items()
    ]
    answer.random.shuffle(files)
    number = f"Ñ-{answer.random.randint(100, 999)}"
    hashes = {file["name"]: file["sha256"] for file in files}
    other = {**hashes, "empty.csv": "0"}
    part = {name: text for name, text in texts.items() if name != "empty.csv"}
    grown = {name: text + "!" for name, text in texts.items()}
    for what, there, listed, taken, word in [
        ("five whole files with special names", texts, files, {}, "complete"),
        ("a delivery of no files", texts, [], {"other": hashes}, "complete"),
        ("no files, for the second time", texts, [], {number: {}}, "repeated"),
        ("a missing file of no bytes", part, files, {}, "waiting"),
        ("files that are longer than promised", grown, files, {}, "damaged"),
        ("a repeat whose files are gone", {}, files, {number: hashes}, "repeated"),
        ("another hash than last time", texts, files, {number: other}, "conflict"),
    ]:
        answer.equal(
            answer.call("judged", there, {"delivery": number, "files": listed}, taken),
            word,
            asked=f"the first word that fits {what}",
        )
    for name in ("..", "", ".", "/etc/hostname", "sub/a.csv"):
        listed = [*files, {**files[0], "name": name}]
        taken = {number: {file["name"]: file["sha256"] for file in listed}}
        answer.equal(
            answer.call("judged", texts, {"delivery": number, "files": listed}, taken),
            "unsafe",
            asked=f"the first word that fits a manifest that names {name!r}",
        )

# %% [markdown] role="hint" exercise="manifest"
# Which words can you give without opening a file? Which one must you not give before you have looked at
# every file?

# %% [markdown] role="hint" exercise="manifest"
# `Path(folder, name)` has `.exists()`, `.stat().st_size` and `.read_bytes()`;
# `hashlib.sha256(data).hexdigest()` is the hash. Two dictionaries are equal in whatever order.

# %% [markdown] role="hint" exercise="manifest"
# ```python
# if any(... for f in files):
#     return "unsafe"
# if number in taken:
#     return ...
# word = "complete"
# for f in files:
#     path = Path(folder, f["name"])
#     if ...:
#         return "waiting"
#     if ...:
#         word = ...
# return word
# ```


# %% role="right" exercise="manifest"
def judge(folder, manifest, taken):
    names = [f["name"] for f in manifest["files"]]
    if not all(name.strip(".") and "/" not in name for name in names):
        return "unsafe"
    hashes = dict(zip(names, [f["sha256"] for f in manifest["files"]], strict=True))
    known = taken.get(manifest["delivery"])
    if known is not None:
        return "conflict" if known != hashes else "repeated"
    data = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    for f in manifest["files"]:
        if f["name"] not in data or len(data[f["name"]]) < f["bytes"]:
            return "waiting"
    real = {name: hashlib.sha256(data[name]).hexdigest() for name in names}
    return "complete" if real == hashes else "damaged"


# %% role="wrong" exercise="manifest" misconception="The manifest comes last, so its files are there" caught="check" says="FileNotFoundError"
def judge(folder, manifest, taken):
    number, files = manifest["delivery"], manifest["files"]
    if any(f["name"] in ("", ".", "..") or "/" in f["name"] for f in files):
        return "unsafe"
    hashes = {f["name"]: f["sha256"] for f in files}
    if number in taken:
        return "repeated" if taken[number] == hashes else "conflict"
    for f in files:
        data = Path(folder, f["name"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != f["sha256"]:
            return "damaged"
    return "complete"


# %% role="wrong" exercise="manifest" misconception="A number that was taken is a repeat" caught="check" says="one file less"
def judge(folder, manifest, taken):
    number, files = manifest["delivery"], manifest["files"]
    if any(f["name"] in ("", ".", "..") or "/" in f["name"] for f in files):
        return "unsafe"
    if number in taken:
        return "repeated"
    word = "complete"
    for f in files:
        path = Path(folder, f["name"])
        if not path.exists() or path.stat().st_size < f["bytes"]:
            return "waiting"
        if hashlib.sha256(path.read_bytes()).hexdigest() != f["sha256"]:
            word = "damaged"
    return word


# %% role="wrong" exercise="manifest" misconception="The first bad file decides" caught="check" says="before a short one"
def judge(folder, manifest, taken):
    number, files = manifest["delivery"], manifest["files"]
    if any(f["name"] in ("", ".", "..") or "/" in f["name"] for f in files):
        return "unsafe"
    if number in taken:
        same = taken[number] == {f["name"]: f["sha256"] for f in files}
        return "repeated" if same else "conflict"
    for f in files:
        path = Path(folder, f["name"])
        if not path.exists() or path.stat().st_size < f["bytes"]:
            return "waiting"
        if hashlib.sha256(path.read_bytes()).hexdigest() != f["sha256"]:
            return "damaged"
    return "complete"


# %% role="wrong" exercise="manifest" misconception="The right length means the right file" caught="check" says="another hash"
def judge(folder, manifest, taken):
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
        if path.stat().st_size != f["bytes"]:
            word = "damaged"
    return word


# %% role="wrong" exercise="manifest" misconception="A name without a slash stays in its folder" caught="hidden" says="names '..'"
def judge(folder, manifest, taken):
    number, files = manifest["delivery"], manifest["files"]
    if any(Path(f["name"]).name != f["name"] for f in files):
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


# %% role="wrong" exercise="manifest" misconception="Nothing delivered is nothing to take" caught="hidden" says="no files"
def judge(folder, manifest, taken):
    number, files = manifest["delivery"], manifest["files"]
    if any(f["name"] in ("", ".", "..") or "/" in f["name"] for f in files):
        return "unsafe"
    hashes = {f["name"]: f["sha256"] for f in files}
    if taken.get(number):
        return "repeated" if taken[number] == hashes else "conflict"
    if not files:
        return "waiting"
    word = "complete"
    for f in files:
        path = Path(folder, f["name"])
        if not path.exists() or path.stat().st_size < f["bytes"]:
            return "waiting"
        if hashlib.sha256(path.read_bytes()).hexdigest() != f["sha256"]:
            word = "damaged"
    return word


# %% [markdown] topics=["4.1-5"]
# ## A contract at the border
#
# A whole file can still be nonsense. A *contract* says which messages may cross: here a JSON Schema. It is
# *open*, so unknown fields may pass, unless `additionalProperties` is `false`.
#
# **Predict:** which of the three messages are refused, and for what?

# %%
FIRST = {
    "properties": {
        "flight": {"type": "string"},
        "delay": {"type": "integer"},
        "cause": {"type": "string", "enum": ["weather", "traffic"]},
    },
    "required": ["flight", "delay"],
}
for message in (
    {"flight": "UA322", "delay": 12, "gate": "C7"},
    {"flight": 322, "delay": 12.5, "cause": "crew"},
    {"flight": "UA322", "cause": None},
):
    errors = jsonschema.Draft202012Validator(FIRST).iter_errors(message)
    print(sorted(error.message for error in errors) or "accepted")

# %% [markdown]
# Contracts change, and two sides never change in the same second.
#
# | Who changes first | Must still work | Called |
# |---|---|---|
# | the consumer | *old* messages, read by the *new* contract | *backward compatible* |
# | the producer | *new* messages, read by the *old* contract | *forward compatible* |

# %% [markdown] role="task" exercise="contract" points=3 topics=["4.1-5"]
# ### Name the breaking change
#
# Write `breaks(written, read)`: the set of the fields for whose sake a message that is right by the contract
# `written` can be wrong by the contract `read`. So `breaks(old, new)` is empty for a backward compatible
# change, `breaks(new, old)` for a forward compatible one.
#
# | Part of a contract | Here |
# |---|---|
# | `properties` | for each field its `type`: one word, or a list of words |
# | `enum` | the values allowed, only beside the type `"string"` |
# | `required` | a list of fields that are in `properties`; may be absent |
# | `additionalProperties` | `true`, `false` or absent (`true`); the same in both contracts |
#
# Types are `string`, `integer`, `number`, `boolean` and `null`; an `integer` is also a `number`.
#
# `breaks({"properties": {}}, {"properties": {"gate": {"type": "null"}}, "required": ["gate"]})` is `{"gate"}`.
#
# Mind a field that only `read` knows: what may an open `written` let through there?
#
# Why: schema registries refuse contracts by such rules.


# %% role="answer" exercise="contract"
def breaks(written: dict, read: dict) -> set[str]:
    """Fields for whose sake a message by one contract can fail by the other."""
    ### BEGIN SOLUTION

    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        listed = "enum" in old and set(old["enum"]) <= set(new.get("enum", old["enum"]))
        return types(old) <= types(new) and (listed or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        return broken | (wanted - known)
    return broken | (known - wanted)
    ### END SOLUTION


# %% role="check" exercise="contract"
with lab.check("contract") as answer:
    text, count = {"type": "string"}, {"type": "integer"}
    cause = {"type": "string", "enum": ["weather", "traffic"]}
    first = {"properties": {"flight": text, "delay": count, "cause": cause}}
    first |= {"required": ["flight", "delay"]}

    def but(schema=first, **changed):
        return {**schema, "properties": {**schema["properties"], **changed}}

    more = {"type": "string", "enum": ["weather", "traffic", "crew"]}
    closed = {**first, "additionalProperties": False}
    for what, old, new, backward, forward in [
        ("nothing changes", first, first, [], []),
        ("delay becomes a number", first, but(delay={"type": "number"}), [], ["delay"]),
        (
            "delay may be null",
            first,
            but(delay={"type": ["null", "integer"]}),
            [],
            ["delay"],
        ),
        ("cause may be crew, too", first, but(cause=more), [], ["cause"]),
        ("cause may be any text", first, but(cause=text), [], ["cause"]),
        (
            "cause is required",
            first,
            {**first, "required": ["cause", "delay", "flight"]},
            ["cause"],
            [],
        ),
        ("gate is new, open contracts", first, but(gate=text), ["gate"], []),
        ("gate is new, closed contracts", closed, but(closed, gate=text), [], ["gate"]),
    ]:
        for call, pair, expected in [
            ("old, new", (old, new), backward),
            ("new, old", (new, old), forward),
        ]:
            answer.equal(
                answer.call("breaks", *pair),
                set(expected),
                asked=f"breaks({call}), where {what}",
            )

# %% role="hidden" exercise="contract"
with lab.check("contract", hidden=True) as answer:
    draw = answer.random

    def field():
        if draw.random() < 0.4:
            return {"type": "string", "enum": draw.sample("ABÑ", draw.randint(1, 3))}
        words = draw.sample(["string", "integer", "number", "boolean", "null"], 3)
        return {"type": draw.choice([words, words[:2], words[0]])}

    def contract(is_open):
        fields = {name: field() for name in draw.sample("uvwxyzé", 5)}
        schema = {"properties": fields, "additionalProperties": is_open}
        if draw.random() < 0.3:
            return {"properties": fields, **({} if is_open else schema)}
        return schema | {"required": draw.sample(sorted(fields), 2)}

    def can_fail(name, written, read):
        # Ask jsonschema itself, with values of each kind.
        pair = []
        for schema in (written, read):
            one = {"properties": {}, "required": []}
            one["additionalProperties"] = schema.get("additionalProperties", True)
            if name in schema["properties"]:
                one["properties"] = {name: schema["properties"][name]}
            if name in schema.get("required", []):
                one["required"] = [name]
            pair.append(jsonschema.Draft202012Validator(one))
        messages = [{}] + [
            {name: v} for v in ("A", "B", "Ñ", "?", 7, 0.5, True, None, [])
        ]
        return any(pair[0].is_valid(m) and not pair[1].is_valid(m) for m in messages)

    for number in range(80):
        written, read = contract(number % 2 > 0), contract(number % 2 > 0)
        for name in sorted(written["properties"].keys() & read["properties"].keys()):
            if draw.random() < 0.4:
                read["properties"][name] = written["properties"][name]
        names = written["properties"].keys() | read["properties"].keys()
        answer.equal(
            answer.call("breaks", written, read),
            {name for name in names if can_fail(name, written, read)},
            asked=f"the fields that break between {written} and {read}",
        )

# %% [markdown] role="hint" exercise="contract"
# Invent the most annoying message that `written` still allows. Which of its fields stumbles in `read`?

# %% [markdown] role="hint" exercise="contract"
# There are three cases: a field that both know, one that only `read` knows, one that only `written`
# knows. `a <= b` asks whether the set `a` lies within `b`; `a & b` is in both, `a - b` only in `a`.

# %% [markdown] role="hint" exercise="contract"
# ```python
# def types(field):
#     ...  # a set of words; what does "number" allow, too?
# def fits(old, new):
#     ...  # types, then values
# broken = ...  # required
# known, wanted = set(written["properties"]), set(read["properties"])
# for name in ...:
#     if not fits(...):
#         broken.add(name)
# if read.get("additionalProperties", True):
#     return broken | ...
# return broken | ...
# ```


# %% role="right" exercise="contract"
def breaks(written, read):
    # Ask a validator, with a value of each kind.
    broken = set()
    for name in {*written["properties"], *read["properties"]}:
        values = ["?", 7, 0.5, True, None, {}]
        for schema in (written, read):
            values += schema["properties"].get(name, {}).get("enum", [])
        old, new = (
            jsonschema.Draft202012Validator(
                {
                    "properties": {
                        key: value
                        for key, value in schema["properties"].items()
                        if key == name
                    },
                    "required": [
                        key for key in schema.get("required", []) if key == name
                    ],
                    "additionalProperties": schema.get("additionalProperties", True),
                }
            )
            for schema in (written, read)
        )
        for message in [{}, *({name: value} for value in values)]:
            if old.is_valid(message) and not new.is_valid(message):
                broken.add(name)
    return broken


# %% role="wrong" exercise="contract" misconception="A new optional field breaks nobody" caught="check" says="gate is new, open"
def breaks(written, read):
    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        listed = "enum" in old and set(old["enum"]) <= set(new.get("enum", old["enum"]))
        return types(old) <= types(new) and (listed or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if not read.get("additionalProperties", True):
        broken |= known - wanted
    return broken


# %% role="wrong" exercise="contract" misconception="Only an equal type is a compatible one" caught="check" says="delay becomes a number"
def breaks(written, read):
    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        listed = "enum" in old and set(old["enum"]) <= set(new.get("enum", old["enum"]))
        return old["type"] == new["type"] and (listed or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        return broken | (wanted - known)
    return broken | (known - wanted)


# %% role="wrong" exercise="contract" misconception="More values are always fine" caught="check" says="breaks(new, old), where cause may be crew"
def breaks(written, read):
    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        both = set(old.get("enum", [])) & set(new.get("enum", []))
        return types(old) <= types(new) and (bool(both) or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        return broken | (wanted - known)
    return broken | (known - wanted)


# %% role="wrong" exercise="contract" misconception="A field that is dropped breaks the contract" caught="check" says="breaks(new, old), where gate is new"
def breaks(written, read):
    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        listed = "enum" in old and set(old["enum"]) <= set(new.get("enum", old["enum"]))
        return types(old) <= types(new) and (listed or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        broken |= wanted - known
    return broken | (known - wanted)


# %% role="wrong" exercise="contract" misconception="Backward and forward are the same" caught="check" says="breaks(old, new), where delay becomes a number"
def breaks(written, read):
    def types(field):
        words = field["type"]
        words = {words} if isinstance(words, str) else set(words)
        return words | {"integer"} if "number" in words else words

    def fits(old, new):
        return types(old) == types(new) and old.get("enum") == new.get("enum")

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        return broken | (wanted - known)
    return broken | (known - wanted)


# %% role="wrong" exercise="contract" misconception="A number is another type than an integer" caught="check" says="delay becomes a number"
def breaks(written, read):
    def types(field):
        words = field["type"]
        return {words} if isinstance(words, str) else set(words)

    def fits(old, new):
        listed = "enum" in old and set(old["enum"]) <= set(new.get("enum", old["enum"]))
        return types(old) <= types(new) and (listed or "enum" not in new)

    broken = set(read.get("required", [])) - set(written.get("required", []))
    known, wanted = set(written["properties"]), set(read["properties"])
    for name in known & wanted:
        if not fits(written["properties"][name], read["properties"][name]):
            broken.add(name)
    if read.get("additionalProperties", True):
        return broken | (wanted - known)
    return broken | (known - wanted)


# %% [markdown]
# **Predict:** for four changes of the first contract, who must change first?

# %%
crew = {"type": "string", "enum": ["weather", "traffic", "crew"]}
fields = FIRST["properties"]
CHANGES = {
    "cause may be crew": {"properties": fields | {"cause": crew}},
    "cause is required": {"required": ["flight", "delay", "cause"]},
    "delay may be null": {
        "properties": fields | {"delay": {"type": ["integer", "null"]}}
    },
    "delay is a text": {"properties": fields | {"delay": {"type": "string"}}},
}
for what, changed in CHANGES.items():
    new = FIRST | changed
    broken = {"consumer": breaks(FIRST, new), "producer": breaks(new, FIRST)}
    first = [f"the {who} first" for who in broken if broken[who] == set()]
    told = " or ".join(first) or "no safe order"
    print(f"{what:<18}", "?" if None in broken.values() else told)

# %% [markdown]
# Where no order is safe, both forms live side by side for a while. And no validator sees that `delay` means
# minutes.

# %% [markdown] topics=["4.1-5"]
# ## One model in the middle
#
# Each partner speaks another dialect: names, units, clocks, codes. Translate each pair, and five systems
# need 20 translators, n · (n − 1). With a *canonical data model* in the middle, 2 · n are enough.
#
# Below is ours. `None` means "not known"; `extra` is what we have no word for.
#
# **Predict:** the airport counts seconds from 1970. Which of its fields may a translator drop?


# %%
class Refused(Exception):
    """This message will never be right, however often it comes."""


ZONES = {row["faa"]: row["tzone"] for row in dataset("airports").arrow().to_pylist()}
CAUSES = {
    "32": "loading",
    "41": "defect",
    "71": "weather",
    "81": "traffic",
    "93": "rotation",
}


def from_airport(message):
    """A delay as the airport sends it, in canonical words."""
    extra = dict(message)
    epoch, late = extra.pop("std_epoch"), extra.pop("late_s", None)
    return {
        "flight": extra.pop("flt").replace(" ", ""),
        "origin": extra.pop("apt"),
        "scheduled": datetime.fromtimestamp(epoch, UTC).isoformat(),
        "delay": None if late is None else late // 60,
        "cause": None,
        "extra": extra,
    }


sent = {
    "flt": "UA 322",
    "apt": "EWR",
    "std_epoch": 1383479700,
    "late_s": 720,
    "gate": "C7",
}
for word, value in from_airport(sent).items():
    print(f"{word:<10} {value!r}")

# %% [markdown]
# None: what it drops, nobody downstream can ask for later. But a *code* that you do not know must not pass as
# "other". Refuse such a message; the next lab gives it a place.

# %% [markdown] role="task" exercise="canonical" points=2 topics=["4.1-5"]
# ### Understand the handler
#
# Write `from_handler(message)`. All the handler's values are texts:
#
# | Field | Meaning |
# |---|---|
# | `airline`, `number` | `"UA"` and `"0322"`: flight `UA322` |
# | `station` | the origin; `ZONES[station]` is the name of its time zone |
# | `date`, `std` | `"2013-11-03"` and `"0655"`: scheduled, on the station's clock |
# | `late` | `"0112"` is one hour and twelve minutes; may be absent |
# | `code` | IATA's delay code, see `CAUSES`; may be absent |
#
# Return the words of the canonical model, `scheduled` as ISO 8601 text in UTC, ending in `+00:00`, `delay` in
# minutes. All other fields go into `extra` as they are. Leave `message` unchanged. Raise `Refused` for a
# station or code that is not in the dictionaries.
#
# Why: a wrong unit here is wrong everywhere.


# %%
def translated(message):
    """What your translator returns, or that it refuses, or that it changed the message."""
    given = dict(message)
    try:
        words = from_handler(given)
    except Refused:
        words = "refused"
    return words if given == message else f"the message itself is now {given}"


# %% role="answer" exercise="canonical"
def from_handler(message: dict) -> dict:
    """A delay as the handler sends it, in canonical words."""
    ### BEGIN SOLUTION
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
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
    ### END SOLUTION


# %% role="check" exercise="canonical"
with lab.check("canonical") as answer:
    answer.value("from_handler")
    base = {"airline": "UA", "number": "0322", "station": "EWR"}
    base |= {"date": "2013-11-03", "std": "0655", "late": "0112", "code": "93"}
    words = {"flight": "UA322", "origin": "EWR", "delay": 72, "cause": "rotation"}
    words |= {"scheduled": "2013-11-03T11:55:00+00:00", "extra": {}}
    for changed, expected in [
        ({}, {}),
        ({"late": "0000"}, {"delay": 0}),
        ({"date": "2013-07-04"}, {"scheduled": "2013-07-04T10:55:00+00:00"}),
        (
            {"station": "LAX", "std": "2330"},
            {"origin": "LAX", "scheduled": "2013-11-04T07:30:00+00:00"},
        ),
        ({"belt": "7", "seq": "001"}, {"extra": {"belt": "7", "seq": "001"}}),
    ]:
        answer.equal(
            answer.call("translated", base | changed),
            words | expected,
            asked=f"the canonical words for {base | changed}",
        )
    short = {
        name: value for name, value in base.items() if name not in ("late", "code")
    }
    answer.equal(
        answer.call("translated", short),
        words | {"delay": None, "cause": None},
        asked=f"the canonical words for {short}",
    )
    for changed in ({"code": "99"}, {"station": "XXX"}):
        answer.equal(
            answer.call("translated", base | changed),
            "refused",
            asked=f"Refused for {base | changed}",
        )

# %% role="hidden" exercise="canonical"
with lab.check("canonical", hidden=True) as answer:
    answer.value("from_handler")
    zones = {
        row["faa"]: row["tzone"] for row in dataset("airports").arrow().to_pylist()
    }
    causes = {"32": "loading", "41": "defect", "71": "weather", "81": "traffic"}
    draw = answer.random
    codes = draw.sample([*causes, "00", "932", ""], 7)
    stations = ["ORD", "PHX", "HNL", "DEN", "LGA", "SEA", "ANC"]
    for station, code in zip(stations, codes, strict=True):
        number, late = draw.randint(1, 9) * 100, draw.randint(0, 2999)
        planned = datetime(
            2013,
            draw.choice([1, 7]),
            draw.randint(1, 28),
            draw.randint(3, 23),
            draw.randint(0, 59),
            tzinfo=ZoneInfo(zones[station]),
        )
        message = {"Ñ": "ü", "delay": "x", "airline": "9E", "number": f"{number:05}"}
        message |= {"station": station, "date": f"{planned:%Y-%m-%d}"}
        message |= {"std": f"{planned:%H%M}", "late": f"{late // 60:02}{late % 60:02}"}
        expected = {"flight": f"9E{number}", "origin": station, "delay": late}
        expected |= {"scheduled": planned.astimezone(UTC).isoformat()}
        expected |= {"extra": {"Ñ": "ü", "delay": "x"}, "cause": causes.get(code)}
        answer.equal(
            answer.call("translated", message | {"code": code}),
            expected if code in causes else "refused",
            asked=f"the canonical words, or Refused, for {message | {'code': code}}",
        )

# %% [markdown] role="hint" exercise="canonical"
# What is the difference between `"0000"` and a `late` that is absent? Between a `code` that is absent and
# one that you do not know?

# %% [markdown] role="hint" exercise="canonical"
# `dict.pop` takes a field out of a copy, so that what is left is `extra`. `datetime.strptime(text,
# "%Y-%m-%d%H%M")` reads a local time; `.replace(tzinfo=ZoneInfo(name))` says whose. Then go on as
# `from_airport` does.

# %% [markdown] role="hint" exercise="canonical"
# ```python
# extra = dict(message)
# station, code = extra.pop("station"), extra.pop("code", None)
# if ...:
#     raise Refused(...)
# local = datetime.strptime(...)
# return {
#     "flight": ...,
#     "origin": station,
#     "scheduled": ...,
#     "delay": ...,
#     "cause": ...,
#     "extra": extra,
# }
# ```


# %% role="right" exercise="canonical"
def from_handler(message):
    ours = {"airline", "number", "station", "date", "std", "late", "code"}
    try:
        zone = ZoneInfo(ZONES[message["station"]])
        cause = CAUSES[message["code"]] if "code" in message else None
    except KeyError as error:
        raise Refused("unknown") from error
    time = datetime.fromisoformat(
        f"{message['date']}T{message['std'][:2]}:{message['std'][2:]}"
    ).replace(tzinfo=zone)
    delay = None
    if "late" in message:
        hours, minutes = divmod(int(message["late"]), 100)
        delay = 60 * hours + minutes
    return {
        "extra": {name: value for name, value in message.items() if name not in ours},
        "delay": delay,
        "cause": cause,
        "scheduled": time.astimezone(UTC).isoformat(timespec="seconds"),
        "origin": message["station"],
        "flight": message["airline"] + message["number"].lstrip("0"),
    }


# %% role="wrong" exercise="canonical" misconception="New York is five hours behind UTC" caught="check" says="2013-07-04"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=UTC).timestamp() + 5 * 3600
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": None if late is None else int(late[:2]) * 60 + int(late[2:]),
        "cause": CAUSES.get(code),
        "extra": extra,
    }


# %% role="wrong" exercise="canonical" misconception="All partners are in New York" caught="check" says="LAX"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=ZoneInfo("America/New_York")).timestamp()
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": None if late is None else int(late[:2]) * 60 + int(late[2:]),
        "cause": CAUSES.get(code),
        "extra": extra,
    }


# %% role="wrong" exercise="canonical" misconception="0112 is a number of minutes" caught="check" says="0112"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=ZoneInfo(ZONES[station])).timestamp()
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": None if late is None else int(late),
        "cause": CAUSES.get(code),
        "extra": extra,
    }


# %% role="wrong" exercise="canonical" misconception="No word of a delay means no delay" caught="check" says="'delay': 0"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=ZoneInfo(ZONES[station])).timestamp()
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": 0 if late is None else int(late[:2]) * 60 + int(late[2:]),
        "cause": CAUSES.get(code),
        "extra": extra,
    }


# %% role="wrong" exercise="canonical" misconception="A code that is not known is no cause" caught="check" says="Refused for"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
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


# %% role="wrong" exercise="canonical" misconception="A model keeps what it has words for" caught="check" says="belt"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
    local = datetime.strptime(extra.pop("date") + extra.pop("std"), "%Y-%m-%d%H%M")
    scheduled = local.replace(tzinfo=ZoneInfo(ZONES[station])).timestamp()
    return {
        "flight": extra.pop("airline") + str(int(extra.pop("number"))),
        "origin": station,
        "scheduled": datetime.fromtimestamp(scheduled, UTC).isoformat(),
        "delay": None if late is None else int(late[:2]) * 60 + int(late[2:]),
        "cause": CAUSES.get(code),
        "extra": {},
    }


# %% role="wrong" exercise="canonical" misconception="A message may be taken to pieces" caught="check" says="the message itself"
def from_handler(message):
    extra = message
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
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


# %% role="wrong" exercise="canonical" misconception="Every message has all fields" caught="check" says="KeyError"
def from_handler(message):
    extra = dict(message)
    station, late, code = extra.pop("station"), extra.pop("late"), extra.pop("code")
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code is not None and code not in CAUSES:
        raise Refused(f"code {code}")
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


# %% role="wrong" exercise="canonical" misconception="An empty code is no code" caught="hidden" says="Refused, for"
def from_handler(message):
    extra = dict(message)
    station, late, code = (
        extra.pop("station"),
        extra.pop("late", None),
        extra.pop("code", None),
    )
    if station not in ZONES:
        raise Refused(f"station {station}")
    if code and code not in CAUSES:
        raise Refused(f"code {code}")
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


# %% [markdown] topics=["4.1-5"]
# ## Ask, and know your answer
#
# *Request/reply* by messages: operations puts a question on the list `requests`, with the *return address*
# at which it waits, not for ever. The desk below answers the first question too late, with the second.
#
# **Predict:** the caller takes the next reply that arrives. What does it believe after each question?


# %%
class Desk(threading.Thread):
    """Answers request 1 with "gate C1", and so on, as the letters of a script say.

    a: the answer. e: an empty answer. l: the late answer to the request before.
    s: somebody else's. w: wait 20 ms.
    """

    def __init__(self, script):
        super().__init__(daemon=True)
        self.script, self.fault = script, None

    def run(self):
        try:
            with kv.client() as client:
                self.serve(client)
        except Exception as error:
            self.fault = f"the desk cannot read a request: {error!r}"

    def serve(self, client):
        ids = ["none"]
        for number, letters in enumerate(self.script, 1):
            request = json.loads(client.blpop("requests", timeout=10)[1])
            id, address, _ = (request[w] for w in ("id", "reply_to", "question"))
            ids.append(id)
            for letter in letters:
                id, gate = {
                    "l": (ids[-2], f"gate C{number - 1}"),
                    "s": ("somebody else's", "gate X9"),
                    "e": (ids[-1], ""),
                }.get(letter, (ids[-1], f"gate C{number}"))
                if letter == "w":
                    time.sleep(0.02)
                else:
                    reply = json.dumps({"id": id, "answer": gate})
                    client.rpush(address, reply)


def next_reply(client, address, question, timeout):
    """Ask, and take the next reply that arrives."""
    request = {"id": "1", "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    found = client.blpop(address, timeout=timeout)
    return json.loads(found[1])["answer"] if found else None


def asked(script, function=None):
    """What your ask (or another function) returns for each (letters, timeout) of a script."""
    fresh()
    desk, function = Desk([letters for letters, _ in script]), function or ask
    desk.start()
    question = "Which gate has UA322?"
    try:
        answers = [function(client, "replies", question, wait) for _, wait in script]
        return [*answers, desk.fault] if desk.fault else answers
    finally:
        queue.rpush("requests", *["null"] * len(script))
        desk.join()


print(asked([("", 0.05), ("la", 2), ("a", 2), ("a", 2)], next_reply))

# %% [markdown]
# One late reply, and from then on each answer belongs to the question before, without any error. A
# *correlation identifier* mends it: new with each request, and the reply carries it back.

# %% [markdown] role="task" exercise="reply" points=2 topics=["4.1-5"]
# ### Match replies with requests
#
# Write `ask(client, address, question, timeout)`.
#
# - Push JSON with `id`, `reply_to` and `question` onto the right end of the list `requests`. Each call has
#   an `id` of its own, also for the same question.
# - Replies come to the list `address`, as JSON with `id` and `answer`. Return the `answer` to this very
#   request, whatever it is. Nobody else reads this list: throw other replies away.
# - Return `None` when `timeout` seconds (fewer than 3) have passed since the call, whatever else came.
#
# `asked([("", 0.05), ("la", 2)])` should be `[None, "gate C2"]`.
#
# Why: each call across a border needs an identity and an end.


# %% role="answer" exercise="reply"
def ask(client: redis.Redis, address: str, question: str, timeout: float) -> str | None:
    """The answer to a question, or None if none came in time."""
    ### BEGIN SOLUTION
    end, id = time.monotonic() + timeout, str(uuid.uuid4())
    request = {"id": id, "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    while (left := end - time.monotonic()) > 0:
        if found := client.blpop(address, timeout=left):
            reply = json.loads(found[1])
            if reply["id"] == id:
                return reply["answer"]
    return None
    ### END SOLUTION


# %% role="check" exercise="reply"
with lab.check("reply") as answer:
    answer.value("ask")
    late = [["", 0.05], ["lsa", 2], ["aa", 2], ["a", 2]]
    answer.equal(
        answer.call("asked", late),
        [None, "gate C2", "gate C3", "gate C4"],
        asked="the answers to four questions; the first comes late, the third twice",
    )

# %% role="hidden" exercise="reply"
with lab.check("reply", hidden=True) as answer:
    answer.value("ask")
    busy = "sw" * answer.random.randint(12, 15)
    answer.equal(
        answer.call("asked", [[f"{busy}a", 0.1]]),
        [None],
        asked="None at the timeout, while other replies keep coming",
    )
    noise = "".join(answer.random.choice("ls") for _ in range(200))
    answer.equal(
        answer.call("asked", [["a", 2], [f"{noise}e", 2], ["a", 2]]),
        ["gate C1", "", "gate C3"],
        asked="three answers, the second of them an empty text after 200 other replies",
    )

# %% [markdown] role="hint" exercise="reply"
# When a reply to somebody else arrives: how long may you still wait?

# %% [markdown] role="hint" exercise="reply"
# `uuid.uuid4()` is a new identity each time. `time.monotonic()` counts seconds and is never set back.
# `client.blpop(address, timeout=seconds)` gives `(address, text)`, or `None`; 0 seconds mean for ever.

# %% [markdown] role="hint" exercise="reply"
# ```python
# end, id = ..., ...
# client.rpush("requests", json.dumps({...}))
# while (left := ...) > 0:
#     if found := client.blpop(...):
#         reply = json.loads(found[1])
#         if ...:
#             return ...
# return None
# ```


# %% role="right" exercise="reply"
def ask(client, address, question, timeout):
    start, id = time.monotonic(), uuid.uuid4().hex
    client.execute_command(
        "RPUSH",
        "requests",
        json.dumps({"question": question, "reply_to": address, "id": id}),
    )
    while time.monotonic() < start + timeout:
        text = client.lpop(address)
        if text is None:
            time.sleep(0.002)
        elif json.loads(text)["id"] == id:
            return json.loads(text)["answer"]


# %% [markdown] role="equivalent" exercise="reply" reason="the clock does not stop at just the last instant"
# - while (left := end - time.monotonic()) > 0:
# + while (left := end - time.monotonic()) >= 0:


# %% role="wrong" exercise="reply" misconception="The next reply is mine" caught="check" says="comes late"
def ask(client, address, question, timeout):
    request = {"id": str(uuid.uuid4()), "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    found = client.blpop(address, timeout=timeout)
    return json.loads(found[1])["answer"] if found else None


# %% role="wrong" exercise="reply" misconception="An empty mailbox before the question is enough" caught="check" says="comes late"
def ask(client, address, question, timeout):
    client.delete(address)
    request = {"id": str(uuid.uuid4()), "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    found = client.blpop(address, timeout=timeout)
    return json.loads(found[1])["answer"] if found else None


# %% role="wrong" exercise="reply" misconception="The question identifies the request" caught="check" says="comes late"
def ask(client, address, question, timeout):
    end = time.monotonic() + timeout
    request = {"id": question, "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    while (left := end - time.monotonic()) > 0:
        if found := client.blpop(address, timeout=left):
            reply = json.loads(found[1])
            if reply["id"] == question:
                return reply["answer"]
    return None


# %% role="wrong" exercise="reply" misconception="A wrong reply means that there is none" caught="check" says="comes late"
def ask(client, address, question, timeout):
    id = str(uuid.uuid4())
    request = {"id": id, "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    found = client.blpop(address, timeout=timeout)
    reply = json.loads(found[1]) if found else {"id": None}
    return reply["answer"] if reply["id"] == id else None


# %% role="wrong" exercise="reply" misconception="Each reply starts the clock anew" caught="hidden" says="keep coming"
def ask(client, address, question, timeout):
    id = str(uuid.uuid4())
    request = {"id": id, "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    while found := client.blpop(address, timeout=timeout):
        reply = json.loads(found[1])
        if reply["id"] == id:
            return reply["answer"]
    return None


# %% role="wrong" exercise="reply" misconception="No more than a few replies can be in the way" caught="hidden" says="200 other replies"
def ask(client, address, question, timeout):
    end, id = time.monotonic() + timeout, str(uuid.uuid4())
    request = {"id": id, "reply_to": address, "question": question}
    client.rpush("requests", json.dumps(request))
    for _ in range(10):
        left = end - time.monotonic()
        if left > 0 and (found := client.blpop(address, timeout=left)):
            reply = json.loads(found[1])
            if reply["id"] == id:
                return reply["answer"]
    return None


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | take files | manifest last, each number once |
# | change a contract | ask in both directions who breaks |
# | translate | keep unknown fields, refuse unknown codes |
# | ask | an identity, one deadline |
#
# | Need | Pattern | Price |
# |---|---|---|
# | bulk, now and then | file drop | delay |
# | an answer now | request/reply | both must be up |
#
# **New words.** *Manifest*: what a sender says about a delivery. *Canonical data model*: the words that all translators
# share. *Correlation identifier*: what a reply has of its request.
#
# **Read on.** G. Hohpe, B. Woolf, *Enterprise Integration Patterns* (2003), the source of most names here. JSON Schema,
# draft 2020-12.

# %%
lab.close()
