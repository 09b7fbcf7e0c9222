# %% [markdown] minutes=60 datasets=["airports", "flights-day-parquet"] systems=["postgresql", "valkey"]
# # Integration patterns
#
# An airline, an airport and a baggage handler exchange data about the same flights. You cut the power,
# lose replies and poison a queue, and build a border that loses nothing and invents nothing.

# %% [markdown]
# ## You will be able to
#
# - take a delivery of files whole, and once (exercise 1)
# - say which change of a contract breaks whom (exercise 2)
# - translate a partner's message into your own model (exercise 3)
# - match replies with requests (exercise 4)
# - let several systems hear every event (exercise 5)
# - publish what you have committed, and only that (exercise 6)
# - get a bad message out of the way (exercise 7)
# - put it all together at one border (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: transactions | exercises 6 to 8 |
# | Python functions | every answer is one |
# | the labs *APIs*, *Change data capture* | *idempotent*, *at least once* come from there |
#
# PostgreSQL and Valkey, the BSD-licensed fork of Redis, are the real ones (label: engine). `db` is a connection of
# psycopg in which each statement commits itself; what belongs together stands in `with db.transaction():`.
# `client` is redis-py's client of Valkey. Checks empty both. The flights are real, the partners invented.

# %% role="setup"
import hashlib
import json
import tempfile
import threading
import time
import uuid
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

lab = open_lab("04-1-ingestion/06-integration-patterns")
pg = service("postgresql")
kv = service("valkey")
lab

# %%
DAY = dataset("flights-day-parquet").arrow().to_pylist()
TABLES = {
    "flights": "id text PRIMARY KEY, delay int",
    "outbox": "id bigint GENERATED ALWAYS AS IDENTITY, body jsonb, sent bool DEFAULT false",
    "inbox": "message text PRIMARY KEY",
    "loads": "flight text PRIMARY KEY, bags int",
    "deliveries": "number text PRIMARY KEY, hashes jsonb",
    "refusals": "delivery text, file text, line int, reason text, original text",
}
QUICK = "-c synchronous_commit=off"  # the power of the server itself never fails here


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
# ## The folder that was read too early
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
# "other". Refuse such a message; exercise 7 gives it a place.

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
# The stream kept all, because our Valkey writes each change into an *append-only file* (`appendonly yes`). By
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
    print(f"{worker.__name__:<9} {counts[1:]}, dead letters: {queue.xlen('dead')}")
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

# %% [markdown] role="task" exercise="border" points=3 topics=["4.1-5"]
# ### A border for a partner
#
# Write `integrate(db, client, folder)`. It judges the manifests in `folder`, in the order of their names, and
# returns a dictionary: the name of each manifest's file, and the word of your `judge`.
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
# | take files | manifest last, each number once |
# | change a contract | ask in both directions who breaks |
# | translate | keep unknown fields, refuse unknown codes |
# | ask | an identity, one deadline |
# | listen | old entries first; acknowledge after the effect |
# | tell | change and message in one transaction |
# | go on | dead letters with a reason, an inbox |
#
# | Need | Pattern | Price |
# |---|---|---|
# | bulk, now and then | file drop | delay |
# | an answer now | request/reply | both must be up |
# | many listeners | stream with groups | watch `pending` and `dead` |
#
# **New words.** *Canonical data model*: the words that all translators share. *Correlation identifier*: what
# a reply has of its request. *Outbox*, *inbox*: tables of messages to send, and of those handled. *Poison
# message*: it kills each worker. *Dead-letter channel*: where it ends.
#
# **Read on.** G. Hohpe, B. Woolf, *Enterprise Integration Patterns* (2003), the source of most names here.
# C. Richardson, *Microservices Patterns*, chapter 3 (2018). Valkey documentation, "Introduction to Valkey
# Streams".

# %%
lab.close()
