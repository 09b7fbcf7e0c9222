# %% [markdown] minutes=60 datasets=["flight-bundle", "airports", "weather"] systems=[]
# # Multimodal data: one flight, seven sources, four clocks
#
# A photo, a sound, a message and a position show the same aircraft at the same moment. Their files say four different times, and have
# no common key. You put them together, and say what is missing and what is wrong.

# %% [markdown]
# ## You will be able to
#
# - read one moment from four ways of writing time (exercise 1)
# - read what a sound file says about itself (exercise 2)
# - estimate and correct a wrong clock, even one that jumps (exercise 3)
# - align items with events by time, place and name (exercise 4)
# - report what is missing, and how much of the rest is right (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: `bytes`, dictionaries, `datetime` | all exercises |
# | Median, precision, recall | exercises 3 and 5 |
#
# Flights, their times, airports, weather, names and codes of airlines are real (2013-11-03). Photos, sounds, positions, messages, second flight
# numbers and the errors of clocks are invented, so the truth is known.

# %% role="setup"
import csv
import io
import json
import re
import statistics
from datetime import UTC, datetime
from math import asin, cos, radians, sin, sqrt
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
from PIL import Image

from labkit import dataset, open_lab, picture

lab = open_lab("07-2-multimodal/01-alignment")
lab

# %%
BUNDLE = dataset("flight-bundle")


def rows(name):
    return list(csv.DictReader(io.StringIO(BUNDLE.read(name).decode())))


AIRPORTS = dataset("airports").frame().set_index("faa")
EVENTS = [
    {
        "event": row["event"],
        "flight": row["flight"],
        "time": datetime.fromisoformat(row["utc"]).timestamp(),
        "place": [*AIRPORTS.loc[row["airport"], ["lat", "lon"]]],
    }
    for row in rows("events.csv")
]
MESSAGES = [json.loads(line) for line in BUNDLE.read("messages.jsonl").splitlines()]
print(len(EVENTS), "departures and arrivals, the first:", EVENTS[0])

# %% [markdown] topics=["7.2-1", "7.2-1.1", "7.2-1.2", "7.2-2"]
# ## One event, many witnesses
#
# A *modality* is a way in which something is recorded: text, image, sound, values over time, position. Data is *multimodal* if several of them describe the same thing. Each sees what the others miss. But
# each has its own format, clock and key, and seldom do all of them come.
#
# | Source | Modality | Kind | Time | Key |
# |---|---|---|---|---|
# | schedule | table | records | UTC | flight `UA279` |
# | airports | table with places | records | none | code `EWR` |
# | weather station | time series | IoT | UTC, hourly | airport |
# | transponder | positions | IoT | UTC, milliseconds since 1970 | call sign `UAL279` |
# | recorder | sound | media | UTC in a tag, or a sidecar's | place |
# | camera | image | media | local, often without zone | place, at times |
# | passenger | text | social media | local text | a name in a sentence; airport, at times |
#
# *IoT*, the Internet of Things, is devices that report by themselves. A *transponder* is the radio in an aircraft that tells its position; here the receiver on the ground adds the time. A *call sign* is the name of a flight in radio traffic.
#
# **Predict:** flight UA279 left Newark at 10:54 UTC. How does each source write that?

# %%
shot = Image.open(io.BytesIO(BUNDLE.read("photos/E1-001.jpg"))).getexif()
print("photo   ", shot.get_ifd(0x8769)[0x9003])
print("message ", MESSAGES[0]["posted"], "-", MESSAGES[0]["text"])
print("sound   ", BUNDLE.read("sounds/S001.wav")[-150:-60].replace(b"\0", b""))
print("sidecar ", BUNDLE.read("sounds/S001.json").decode())
print("position", rows("positions.csv")[0])

# %% [markdown]
# The camera is an hour ahead: this night the clocks went back, and nobody told it. The recorder lives in 2012; a *sidecar*, a small file beside the sound, corrects it. UA279 has no position at all: the first one is of another flight.

# %% [markdown] topics=["7.2-1.2", "7.2-3.1"]
# ## Four ways of writing time
#
# *EXIF*, the metadata block of photos, stores `2013:11:03 08:15:30`: the camera's wall clock. A newer tag, `OffsetTimeOriginal`, holds the offset from UTC; many cameras leave it out. Without it you need the place, because a place has a time zone: a
# *rule*, not a number. Where clocks changed this night, each local time between 01:00 and 02:00 came twice. In spring an hour never comes there.

# %% [markdown] role="task" exercise="instant" points=3 topics=["7.2-1.2", "7.2-3.1"]
# ### One moment
#
# Write `instant(written, zone)`. It returns the moment as a `datetime` with a time zone, best UTC. `zone` is the name of the place's time zone. `written` is one of
#
# | Form | Means |
# |---|---|
# | `1383484530500` (an `int`) | milliseconds since 1970, UTC |
# | `"2013:11:03 08:15:30"` | local time in `zone` |
# | `"11/03/2013 8:15 AM"` (month first) | local time in `zone` |
# | `"2013-11-03T08:15:30-06:00"`, or with `Z` | ISO 8601; its own offset counts, not `zone` |
#
# A local time that comes twice or never gives `None`: nobody can say which moment it is. Example: `instant("2013:11:03 08:15:30", "America/Denver")` is 15:15:30 UTC.
#
# Why: convert once, at the door; after that all times can be compared.


# %% role="answer" exercise="instant"
def instant(written: int | str, zone: str) -> datetime | None:
    """The moment in UTC, or None where there are two or none."""
    ### BEGIN SOLUTION
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form).replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            continue
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            return None
        return local.astimezone(UTC)
    return datetime.fromisoformat(written).astimezone(UTC)
    ### END SOLUTION


# %% role="check" exercise="instant"
with lab.check("instant") as answer:
    for written, zone, expected in [
        (1383484530500, "America/Denver", datetime(2013, 11, 3, 13, 15, 30, 500_000, UTC)),
        ("2013:11:03 08:15:30", "America/Denver", datetime(2013, 11, 3, 15, 15, 30, 0, UTC)),
        ("2013:07:10 20:15:30", "America/New_York", datetime(2013, 7, 11, 0, 15, 30, 0, UTC)),
        ("2013:07:10 08:15:30", "America/Phoenix", datetime(2013, 7, 10, 15, 15, 30, 0, UTC)),
        ("11/03/2013 12:05 AM", "America/New_York", datetime(2013, 11, 3, 4, 5, 0, 0, UTC)),
        ("11/03/2013 8:15 PM", "America/Chicago", datetime(2013, 11, 4, 2, 15, 0, 0, UTC)),
        ("2013-11-03T08:15:30-06:00", "America/New_York", datetime(2013, 11, 3, 14, 15, 30, 0, UTC)),
        ("2013-11-03T01:30:00Z", "America/New_York", datetime(2013, 11, 3, 1, 30, 0, 0, UTC)),
        ("2013:11:03 01:30:00", "America/New_York", None),
        ("11/03/2013 1:59 AM", "America/New_York", None),
        ("2013:11:03 02:00:00", "America/New_York", datetime(2013, 11, 3, 7, 0, 0, 0, UTC)),
        ("2013:03:10 02:30:00", "America/Chicago", None),
        ("2012:11:04 01:30:00", "America/Chicago", None),
        ("2013:11:03 01:30:00", "America/Phoenix", datetime(2013, 11, 3, 8, 30, 0, 0, UTC)),
        ("2013-11-03T01:30:00-05:00", "America/New_York", datetime(2013, 11, 3, 6, 30, 0, 0, UTC)),
        (1383460200000, "America/New_York", datetime(2013, 11, 3, 6, 30, 0, 0, UTC)),
    ]:  # fmt: skip
        answer.equal(
            answer.call("instant", written, zone),
            expected,
            asked=f"the moment of {written!r} in {zone}, in UTC",
        )

# %% role="hidden" exercise="instant"
with lab.check("instant", hidden=True) as answer:
    draw = answer.random
    for _ in range(8):
        zone = draw.choice(["America/New_York", "Europe/Paris", "Asia/Kolkata"])
        epoch = 1_371_999_960 + 60 * draw.randrange(80_000)
        moment = datetime.fromtimestamp(epoch, UTC)
        local = moment.astimezone(ZoneInfo(zone))
        for written in (
            epoch * 1000,
            f"{local:%Y:%m:%d %H:%M:%S}",
            f"{local:%m/%d/%Y} {local.hour % 12 or 12}:{local:%M} {'PM' if local.hour > 11 else 'AM'}",
            local.isoformat(),
        ):
            answer.equal(
                answer.call("instant", written, zone),
                moment,
                asked=f"the moment of {written!r} in {zone}, in UTC",
            )

# %% [markdown] role="hint" exercise="instant"
# Which of the forms already say where they are? How many offsets can one local time have?

# %% [markdown] role="hint" exercise="instant"
# `datetime.strptime` raises `ValueError` if the form does not fit. `local.replace(fold=1)` is the second of two equal local times; for a time that never comes, its `utcoffset()` differs from that of `fold=0` as well.

# %% [markdown] role="hint" exercise="instant"
# ```python
# if isinstance(written, int):
#     return datetime.fromtimestamp(..., UTC)
# for form in ("%Y:%m:%d %H:%M:%S", "..."):
#     try:
#         local = datetime.strptime(written, form).replace(tzinfo=...)
#     except ValueError:
#         continue
#     if ... != ...:
#         return None
#     return ...
# return datetime.fromisoformat(...)...
# ```


# %% role="right" exercise="instant"
def instant(written, zone):
    if type(written) is int:
        seconds, millis = divmod(written, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)
    if "T" in written:
        return datetime.fromisoformat(written.replace("Z", "+00:00")).astimezone(UTC)
    form = "%m/%d/%Y %I:%M %p" if "/" in written else "%Y:%m:%d %H:%M:%S"
    naive = datetime.strptime(written, form)
    both = {
        naive.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)
        for fold in (0, 1)
    }
    return both.pop() if len(both) == 1 else None


# %% [markdown] role="equivalent" exercise="instant" reason="The same moment, with another offset"
# - return local.astimezone(UTC)
# + return local.astimezone(None)
#
# - return local.astimezone(UTC)
# + return local
#
# - return datetime.fromisoformat(written).astimezone(UTC)
# + return datetime.fromisoformat(written).astimezone(None)
#
# - return datetime.fromisoformat(written).astimezone(UTC)
# + return datetime.fromisoformat(written)


# %% role="wrong" exercise="instant" misconception="A place has one offset" caught="check" says="2013:07:10 20:15:30"
def instant(written, zone):
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form)
        except ValueError:
            continue
        offset = datetime(2013, 12, 1, tzinfo=ZoneInfo(zone)).utcoffset()
        return (local - offset).replace(tzinfo=UTC)
    return datetime.fromisoformat(written).astimezone(UTC)


# %% role="wrong" exercise="instant" misconception="A local time is one moment" caught="check" says="01:30:00"
def instant(written, zone):
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form).replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            continue
        return local.astimezone(UTC)
    return datetime.fromisoformat(written).astimezone(UTC)


# %% role="wrong" exercise="instant" misconception="The place's zone counts more than a written offset" caught="check" says="08:15:30-06:00"
def instant(written, zone):
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form)
            break
        except ValueError:
            local = None
    local = (local or datetime.fromisoformat(written)).replace(tzinfo=ZoneInfo(zone))
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        return None
    return local.astimezone(UTC)


# %% role="wrong" exercise="instant" misconception="An epoch counts seconds of local time" caught="check" says="1383484530500"
def instant(written, zone):
    if isinstance(written, int):
        local = datetime.fromtimestamp(written / 1000, UTC)
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form).replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            continue
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            return None
        return local.astimezone(UTC)
    return datetime.fromisoformat(written).astimezone(UTC)


# %% role="wrong" exercise="instant" misconception="In the double hour no moment is known, however it is written" caught="check" says="01:30:00-05:00"
def instant(written, zone):
    if isinstance(written, int):
        moment = datetime.fromtimestamp(written / 1000, UTC)
        local = moment.astimezone(ZoneInfo(zone)).replace(fold=0)
    elif "T" in written:
        moment = datetime.fromisoformat(written).astimezone(UTC)
        local = moment.astimezone(ZoneInfo(zone)).replace(fold=0)
    else:
        form = "%m/%d/%Y %I:%M %p" if "/" in written else "%Y:%m:%d %H:%M:%S"
        local = datetime.strptime(written, form).replace(tzinfo=ZoneInfo(zone))
        moment = local.astimezone(UTC)
    return None if local.utcoffset() != local.replace(fold=1).utcoffset() else moment


# %% role="wrong" exercise="instant" misconception="All zones change their clocks in the same night" caught="check" says="01:30:00' in America/Phoenix"
def instant(written, zone):
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    for form in ("%Y:%m:%d %H:%M:%S", "%m/%d/%Y %I:%M %p"):
        try:
            local = datetime.strptime(written, form)
        except ValueError:
            continue
        twice = local.month == 11 and local.hour == 1
        never = local.month == 3 and local.hour == 2
        sunday = (local.day - 1) // 7 == (0 if twice else 1) and local.weekday() == 6
        if sunday and (twice or never):
            return None
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return datetime.fromisoformat(written).astimezone(UTC)


# %% [markdown] topics=["7.2-3.2", "7.2-2"]
# ## What a file says about itself
#
# Metadata travels inside a file or beside it. Photos have EXIF, many sounds *ID3*. When a library returns nonsense for one file in five, you must look at bytes.
#
# A WAV file is a *RIFF* file: chunks with a name, a size and a body. These recorders put an ID3 tag into a chunk named `id3 `.


# %%
def chunk(data, wanted):
    """The body of a chunk of a RIFF file, or no bytes."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == wanted:
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return b""


for file in ("sounds/S001.wav", "sounds/S002.wav"):
    print(file, chunk(BUNDLE.read(file), b"id3 ")[:40])

# %% [markdown]
# A tag begins with `ID3`, the version (3 or 4; two bytes, the second is 0), a byte of flags (0 here), and the size of all that follows, in four bytes. Then come *frames*: a name of four
# capital letters or digits (`TPE1`), a size of four bytes, two bytes of flags, and a body. Frames whose name begins with `T` hold text: a byte for the encoding, then the text (`TXXX` holds a description too; there is none here). Zero bytes may fill the rest.
#
# The trap: a *syncsafe* number uses only seven bits of each byte, so `00 00 01 00` is 128. The tag's size is always syncsafe. A frame's size is syncsafe in version 4, and an ordinary number (high byte first) in version 3. Below 128 they are the same: tests with short titles find nothing.

# %% [markdown] role="task" exercise="tags" points=3 topics=["7.2-3.2", "7.2-2"]
# ### Read the tag
#
# Write `tags(data)`. `data` begins with an ID3 tag, and what follows the tag is none of your business. Return a dictionary of its text frames: name to text. Other frames are skipped. Bytes that do not begin with `ID3` give `{}`.
#
# The encodings 0, 1, 2, 3 are Python's `latin-1`, `utf-16` (which reads the mark of byte order), `utf-16-be`, `utf-8`. Zero characters at the end of a text are not part of it; those between two values, as in `Ann\0Lee`, are.
#
# Example: `b"ID3\4\0\0\0\0\0\x0fTIT2\0\0\0\5\0\0\0land"` gives `{"TIT2": "land"}`.
#
# Why: a parser that loses its place in one frame loses all that follow, and the time is the last.


# %% role="answer" exercise="tags"
def tags(data: bytes) -> dict[str, str]:
    """The text frames of an ID3 tag, version 2.3 or 2.4."""

    ### BEGIN SOLUTION
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T"):
            found[name] = body[1:].decode(encodings[body[0]]).rstrip("\0")
        at += 10 + size
    return found
    ### END SOLUTION


# %% role="check" exercise="tags"
with lab.check("tags") as answer:

    def safe(size):
        return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))

    def short(text):
        return text if len(text) < 20 else f"{text[:9]}… ({len(text)} characters)"

    codecs = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    for version, frames, padding, after in [
        (4, [("TIT2", 0, "land")], 0, b""),
        (4, [("TPE1", 1, "Zoë"), ("TIT2", 2, "Ångström\0"), ("TDRC", 3, "Évora\0\0")], 30, b"RIFF"),
        (3, [("TPE1", 0, "Zoë"), ("TIT3", 1, "long " * 40), ("TIME", 0, "1054")], 0, b"TIT2\0\0\0\5\0\0\0land"),
        (4, [("TIT3", 0, "long " * 40), ("TDRC", 0, "2013")], 5, b"TIT2\0\0\0\5\0\0\0land"),
        (4, [("TIT3", 3, "é" * 9000), ("TDRC", 0, "2013")], 0, b""),
        (3, [("PRIV", None, "own\0bytes"), ("TDAT", 0, "0311"), ("COMM", None, "\0engTIT2")], 12, b""),
        (4, [("TPE1", 3, "Ann\0Lee\0"), ("TDRC", 0, "2013")], 0, b""),
        (4, [], 20, b""),
    ]:  # fmt: skip
        body = b""
        for name, encoding, text in frames:
            load = (
                text.encode()
                if encoding is None
                else bytes([encoding]) + text.encode(codecs[encoding])
            )
            size = safe(len(load)) if version == 4 else len(load).to_bytes(4, "big")
            body += name.encode() + size + b"\0\0" + load
        body += bytes(padding)
        data = b"ID3" + bytes([version, 0, 0]) + safe(len(body)) + body + after
        shown = [(name, encoding, short(text)) for name, encoding, text in frames]
        got = answer.call("tags", data)
        answer.equal(
            got,
            {n: t.rstrip("\0") for n, e, t in frames if e is not None},
            asked=f"the texts of a tag of version {version}, {len(data)} bytes with what follows; frames: {shown}",
            found=repr({n: short(str(t)) for n, t in got.items()}) if isinstance(got, dict) else "",
        )  # fmt: skip
    for what, data, expected in [
        ("bytes that begin with TAG", b"TAG\4\0\0\0\0\0\x0fTIT2\0\0\0\5\0\0\0land", {}),
        ("no bytes at all", b"", {}),
        ("a tag whose text has the encoding 1 and begins with the mark FE FF", b"ID3\3\0\0\0\0\0\x11TIT2\0\0\0\7\0\0\1\xfe\xff\0O\0K", {"TIT2": "OK"}),
    ]:  # fmt: skip
        answer.equal(answer.call("tags", data), expected, asked=f"the texts of {what}")

# %% role="hidden" exercise="tags"
with lab.check("tags", hidden=True) as answer:
    draw = answer.random
    for version in (3, 4, 3, 4):
        frames = {
            name: "".join(draw.choice("aé ßñ1") for _ in range(draw.randrange(5, 400))) + "X"
            for name in draw.sample(["TALB", "TPE1", "TIT2", "TIT3", "TDRC"], 4)
        }  # fmt: skip
        body = b""
        for name, text in frames.items():
            encoding = draw.randrange(2 if version == 3 else 4)
            codec = ["latin-1", "utf-16", "utf-16-be", "utf-8"][encoding]
            load = bytes([encoding]) + text.encode(codec)
            shifts = (21, 14, 7, 0) if version == 4 else (24, 16, 8, 0)
            mask = 127 if version == 4 else 255
            size = bytes(len(load) >> shift & mask for shift in shifts)
            body += name.encode() + size + b"\0\0" + load
        body += bytes(draw.randrange(40))
        size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
        data = b"ID3" + bytes([version, 0, 0]) + size + body + draw.randbytes(50)
        answer.equal(
            answer.call("tags", data),
            frames,
            asked=f"the texts of a tag of version {version} with {len(body)} bytes of frames",
        )
    picture_frame = b"APIC\1\0\0\5\0\0" + b"T" * (2**21 + 5)
    body = picture_frame + b"TIT2\0\0\0\5\0\0\0land"
    size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    answer.equal(
        answer.call("tags", b"ID3\4\0\0" + size + body),
        {"TIT2": "land"},
        asked="the texts of a tag with a picture (APIC) of two megabytes before the title",
    )

# %% [markdown] role="hint" exercise="tags"
# Where does the next frame begin, and what tells you that there is none? Which number depends on the version?

# %% [markdown] role="hint" exercise="tags"
# Frames begin at byte 10. A frame's own head has 10 bytes, which its size does not count. `data[3]` is the version. Each byte of a syncsafe number is worth 128 times the next one; `int.from_bytes(raw, "big")` reads an ordinary one.

# %% [markdown] role="hint" exercise="tags"
# ```python
# def syncsafe(four):
#     return sum(byte << 7 * n for n, byte in enumerate(...))
#
# found, at = {}, 10
# if ...:
#     return found
# end = 10 + syncsafe(...)
# while at < end and data[at]:
#     name, raw = ...
#     size = ...
#     body = ...
#     if name.startswith("T"):
#         found[name] = ...
#     at += ...
# return found
# ```


# %% role="right" exercise="tags"
def tags(data):
    def number(four, bits):
        value = 0
        for byte in four:
            value = (value << bits) + byte
        return value

    if data[:3] != b"ID3":
        return {}
    rest, found = data[10 : 10 + number(data[6:10], 7)], {}
    while len(rest) > 10 and rest[0] != 0:
        size = number(rest[4:8], 7 if data[3] == 4 else 8)
        name, body, rest = rest[:4], rest[10 : 10 + size], rest[10 + size :]
        if name[:1] == b"T":
            codec = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}[body[0]]
            found[name.decode("ascii")] = body[1:].decode(codec).rstrip("\0")
    return found


# %% [markdown] role="equivalent" exercise="tags" reason="The flags are 0, no frame fits into one byte, and the order of bytes is big by default"
# - end = 10 + syncsafe(data[6:10])
# + end = (9) + syncsafe(data[6:10])
#
# - end = 10 + syncsafe(data[6:10])
# + end = 10 + syncsafe(data[(5):10])
#
# - size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
# + size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, )


# %% role="wrong" exercise="tags" misconception="All sizes in a tag are syncsafe" caught="check" says="version 3"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name = data[at : at + 4].decode("latin-1")
        size = syncsafe(data[at + 4 : at + 8])
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T") and body:
            text = body[1:].decode(encodings[body[0] % 4], "replace")
            found[name] = text.rstrip("\0")
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="All sizes are ordinary numbers" caught="check" says="TIT3"
def tags(data):
    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + int.from_bytes(data[6:10], "big")
    while at < end and at < len(data) and data[at]:
        name = data[at : at + 4].decode("latin-1")
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T") and body:
            text = body[1:].decode(encodings[body[0] % 4], "replace")
            found[name] = text.rstrip("\0")
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="Text is UTF-8" caught="check" says="TPE1"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        if name.startswith("T"):
            text = data[at + 11 : at + 10 + size].decode("utf-8", "ignore")
            found[name] = text.replace("\0", "")
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="A tag has no other frames" caught="check" says="PRIV"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        body = data[at + 10 : at + 10 + size]
        text = body[1:].decode(encodings[body[0] % 4], "replace")
        found[name] = text.rstrip("\0")
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="No bytes without a tag ever come" caught="check" says="begin with TAG"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T"):
            found[name] = body[1:].decode(encodings[body[0]]).rstrip("\0")
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="A text ends at its first zero" caught="check" says="Lee"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T"):
            found[name] = body[1:].decode(encodings[body[0]]).split("\0")[0]
        at += 10 + size
    return found


# %% role="wrong" exercise="tags" misconception="UTF-16 has its low byte first" caught="check" says="the mark FE FF"
def tags(data):
    def syncsafe(four):
        return sum(byte << 7 * n for n, byte in enumerate(reversed(four)))

    encodings = ["latin-1", "utf-16-le", "utf-16-be", "utf-8"]
    found, at = {}, 10
    if not data.startswith(b"ID3"):
        return found
    end = 10 + syncsafe(data[6:10])
    while at < end and data[at]:
        name, raw = data[at : at + 4].decode(), data[at + 4 : at + 8]
        size = syncsafe(raw) if data[3] == 4 else int.from_bytes(raw, "big")
        body = data[at + 10 : at + 10 + size]
        if name.startswith("T"):
            text = body[1:].decode(encodings[body[0]], "replace")
            found[name] = text.lstrip("\ufeff").rstrip("\0")
        at += 10 + size
    return found


# %% [markdown]
# Now the sounds become items. `TDRC`, a time of version 4, is UTC by its standard. Version 3 has `TYER`, `TDAT` and `TIME`, and no rule; these recorders write UTC. Where tag and sidecar disagree, the sidecar wins here: somebody wrote it later, and knew why. Decide such a rule once, and write it down.


# %%
def sound(file):
    side = file.replace(".wav", ".json")
    told = json.loads(BUNDLE.read(side)) if side in BUNDLE.names() else {}
    tag = tags(chunk(BUNDLE.read(file), b"id3 ")) or {}
    time = tag.get("TDRC", "") + "Z" if "TDRC" in tag else None
    if "TYER" in tag:
        day, hour = tag["TDAT"], tag["TIME"]
        time = f"{tag['TYER']}-{day[2:]}-{day[:2]}T{hour[:2]}:{hour[2:]}:00Z"
    moment = (told.get("recorded") or time) and instant(
        told.get("recorded") or time, "UTC"
    )
    place = [told["lat"], told["lon"]] if told else None
    return {"item": file, "time": moment and moment.timestamp(), "place": place, "text": tag.get("TIT2", "")}  # fmt: skip


SOUNDS = [sound(name) for name in BUNDLE.names() if name.endswith(".wav")]
print(SOUNDS[0])
print(len(SOUNDS), "sounds,", sum(s["place"] is None for s in SOUNDS), "without place")

# %% [markdown] topics=["7.2-3", "7.2-3.1"]
# ## Break it: a clock that jumps
#
# Some photos also hold the time of a GPS fix, in UTC. So you have pairs: what the clock said, and what was true. Their difference is the clock's error. But a fix may be old: without a satellite, the receiver repeats its last one.


# %%
def photo(file):
    """Camera, place, and seconds since 1970 by the camera's clock and by GPS."""
    exif = Image.open(io.BytesIO(BUNDLE.read(file))).getexif()
    inner, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    place = [sum(float(v) / 60**n for n, v in enumerate(gps[tag])) for tag in (2, 4)] if 2 in gps else None  # fmt: skip
    if place:
        place = [place[0] * (1 if gps[1] == "N" else -1), place[1] * (1 if gps[3] == "E" else -1)]  # fmt: skip
    fix = gps[29] + " {:02}:{:02}:{:02}".format(*map(int, gps[7])) if 7 in gps else None
    return {"item": file, "camera": inner[0xA431], "place": place, "gps": fix, "written": inner[0x9003], "offset": inner.get(0x9011, "")}  # fmt: skip


print(photo("photos/E1-001.jpg"))


# %%
def km(a, b):
    """Kilometres between two places."""
    north, east = radians(b[0] - a[0]), radians(b[1] - a[1])
    both = cos(radians(a[0])) * cos(radians(b[0]))
    return 12742 * asin(sqrt(sin(north / 2) ** 2 + both * sin(east / 2) ** 2))


def zone_of(place):
    """The time zone of the nearest airport."""
    return min((km(place, e["place"]), AIRPORTS.tzone[e["event"][-3:]]) for e in EVENTS)[1]  # fmt: skip


def stamp(written, zone):
    """Seconds since 1970, or None."""
    moment = instant(written, zone)
    return moment and moment.timestamp()


# %% [markdown]
# These cameras stay where they are, so a photo without a place gets its camera's zone. Its place stays unknown. Camera G1 at LaGuardia lost power at noon.
#
# **Predict:** its clock began anew at 2000-01-01 00:00. What does the mean of its errors say? And the median?

# %%
CAMERAS = {}
for shot in map(photo, [name for name in BUNDLE.names() if name.endswith(".jpg")]):
    CAMERAS.setdefault(shot["camera"], []).append(shot)
for shots in CAMERAS.values():
    home = zone_of(next(shot["place"] for shot in shots if shot["place"]))
    for shot in shots:
        iso = shot["written"].replace(":", "-", 2).replace(" ", "T") + shot["offset"]
        shot["clock"] = stamp(iso if shot["offset"] else shot["written"], home)
        shot["gps"] = shot["gps"] and stamp(shot["gps"], "UTC")
for camera in ("E1", "G1"):
    errors = [s["clock"] - s["gps"] for s in CAMERAS[camera] if s["gps"] and s["clock"]]
    for measure in (statistics.mean, statistics.median):
        said = f"{measure(errors):,.0f} s" if errors else "not started"
        print(camera, measure.__name__, said)

# %% [markdown]
# For E1, old fixes pull the mean away; the median stays near 3,600 seconds. For G1 the mean is nonsense, and the median fits the photos after the jump only: the others would move by 14 years. But a camera numbers its files. The numbers tell the order even when the clock does not.

# %% [markdown] role="task" exercise="corrected" points=3 topics=["7.2-3", "7.2-3.1"]
# ### Correct a clock
#
# Write `corrected(shots, gap, least)`. `shots` are the photos of one camera in the order of their numbers, each with `clock` and `gps`: seconds since 1970, `gps` may be `None`.
#
# Cut them into *runs*: a new run begins where the clock goes back, or ahead by more than `gap` seconds, from one photo to the next. The error of a run is the median of `clock - gps` where there is a `gps`. Return for each photo its `clock` minus the error of its run, or
# `None` if the run has fewer than `least` such pairs: no time is better than a wrong one. `least` is at least 1.
#
# Example with `gap` 100 and `least` 1: clocks 500, 560, 20 with gps 440, `None`, 990 give `[440, 500, 990]`.
#
# Why: a clock has one error only as long as nobody touches it.


# %% role="answer" exercise="corrected"
def corrected(shots: list[dict], gap: float, least: int) -> list[float | None]:
    """The right time of each photo of one camera, where it can be known."""
    ### BEGIN SOLUTION
    runs, last = [], None
    for shot in shots:
        if last is None or not 0 <= shot["clock"] - last <= gap:
            runs.append([])
        runs[-1].append(shot)
        last = shot["clock"]
    times = []
    for run in runs:
        errors = [s["clock"] - s["gps"] for s in run if s["gps"] is not None]
        if len(errors) < least:
            times += [None] * len(run)
        else:
            times += [s["clock"] - statistics.median(errors) for s in run]
    return times
    ### END SOLUTION


# %% role="check" exercise="corrected"
with lab.check("corrected") as answer:
    for clocks, fixes, gap, least, expected in [
        ([500, 560, 20], [440, None, 990], 100, 1, [440, 500, 990]),
        ([10, 20, 30, 40], [7, 17, 1, 37], 100, 3, [7, 17, 27, 37]),
        ([10, 20, 30, 40], [8, 16, 0, None], 100, 3, [6, 16, 26, 36]),
        ([10, 20], [None, 15], 100, 2, [None, None]),
        ([10, 110, 211, 200], [0, 100, 150, 180], 100, 1, [0, 100, 150, 180]),
        ([10, 10, 20], [5, None, None], 10, 1, [5, 5, 15]),
        ([50, 60, 5, 15], [None, None, 0, 10], 100, 2, [None, None, 0, 10]),
        ([5, 6], [0, 2], 100, 2, [0.5, 1.5]),
        ([10, 20, 19, 29], [5, 15, 15, None], 100, 2, [5, 15, None, None]),
        ([10, 90, 170], [5, None, None], 100, 1, [5, 85, 165]),
        ([], [], 100, 1, []),
    ]:
        shots = [{"clock": c, "gps": g} for c, g in zip(clocks, fixes, strict=True)]
        answer.equal(
            answer.call("corrected", shots, gap, least),
            expected,
            asked=f"the right times for clocks {clocks} and gps {fixes}, with gap {gap} and least {least}",
        )

# %% role="hidden" exercise="corrected"
with lab.check("corrected", hidden=True) as answer:
    draw = answer.random
    shots, truth, now = [], [], 1_383_480_000
    for error in draw.sample(range(0, 9000), 3):
        ahead = error - 400_000 * len(truth)
        for n in range(7):
            now += draw.randrange(1, 900)
            fix = now - (5000 if n in (2, 5) else 0)
            shots.append({"clock": now + ahead, "gps": None if n == 3 else fix})
            truth.append(now)
    answer.equal(
        answer.call("corrected", shots, 20_000, 3),
        truth,
        asked="the right times of 21 photos in three runs, some with old fixes",
    )

# %% [markdown] role="hint" exercise="corrected"
# What do you know about two photos that follow each other, and what about their clocks? For which photos is one error valid?

# %% [markdown] role="hint" exercise="corrected"
# First make a list of runs, each a list of photos; then go through the runs. `statistics.median` takes a list that is not empty. A `gps` of 0 is a time too: compare with `None`.

# %% [markdown] role="hint" exercise="corrected"
# ```python
# runs, last = [], None
# for shot in shots:
#     if last is None or ...:
#         runs.append([])
#     runs[-1].append(shot)
#     last = ...
# times = []
# for run in runs:
#     errors = [...]
#     if ...:
#         times += ...
#     else:
#         times += ...
# return times
# ```


# %% role="right" exercise="corrected"
def corrected(shots, gap, least):
    numbers, run = [], 0
    for n, shot in enumerate(shots):
        if n:
            step = shot["clock"] - shots[n - 1]["clock"]
            run += step < 0 or step > gap
        numbers.append(run)
    times = []
    for number, shot in zip(numbers, shots, strict=True):
        errors = sorted(
            other["clock"] - other["gps"]
            for n, other in zip(numbers, shots, strict=True)
            if n == number and other["gps"] is not None
        )
        middle = len(errors) // 2
        if not errors or len(errors) < least:
            times.append(None)
        else:
            error = (errors[middle] + errors[~middle]) / 2
            times.append(shot["clock"] - error)
    return times


# %% role="wrong" exercise="corrected" misconception="The mean is the error" caught="check" says="[7, 17, 1, 37]"
def corrected(shots, gap, least):
    runs, last = [], None
    for shot in shots:
        if last is None or not 0 <= shot["clock"] - last <= gap:
            runs.append([])
        runs[-1].append(shot)
        last = shot["clock"]
    times = []
    for run in runs:
        errors = [s["clock"] - s["gps"] for s in run if s["gps"] is not None]
        if len(errors) < least:
            times += [None] * len(run)
        else:
            times += [s["clock"] - statistics.mean(errors) for s in run]
    return times


# %% role="wrong" exercise="corrected" misconception="A clock has one error" caught="check" says="[440, None, 990]"
def corrected(shots, gap, least):
    errors = [s["clock"] - s["gps"] for s in shots if s["gps"] is not None]
    if len(errors) < least:
        return [None] * len(shots)
    error = statistics.median(errors) if errors else 0
    return [s["clock"] - error for s in shots]


# %% role="wrong" exercise="corrected" misconception="A few pairs are enough" caught="check" says="least 2"
def corrected(shots, gap, least):
    runs, last = [], None
    for shot in shots:
        if last is None or not 0 <= shot["clock"] - last <= gap:
            runs.append([])
        runs[-1].append(shot)
        last = shot["clock"]
    times = []
    for run in runs:
        errors = [s["clock"] - s["gps"] for s in run if s["gps"] is not None] or [0]
        times += [s["clock"] - statistics.median(errors) for s in run]
    return times


# %% role="wrong" exercise="corrected" misconception="Clocks only jump back" caught="check" says="[10, 110, 211, 200]"
def corrected(shots, gap, least):
    runs, last = [], None
    for shot in shots:
        if last is None or shot["clock"] < last:
            runs.append([])
        runs[-1].append(shot)
        last = shot["clock"]
    times = []
    for run in runs:
        errors = [s["clock"] - s["gps"] for s in run if s["gps"] is not None]
        if len(errors) < least:
            times += [None] * len(run)
        else:
            times += [s["clock"] - statistics.median(errors) for s in run]
    return times


# %% role="wrong" exercise="corrected" misconception="A run is as long as the gap" caught="check" says="[10, 90, 170]"
def corrected(shots, gap, least):
    runs = []
    for shot in shots:
        new = not runs or shot["clock"] < runs[-1][-1]["clock"]
        if new or shot["clock"] - runs[-1][0]["clock"] > gap:
            runs.append([])
        runs[-1].append(shot)
    times = []
    for run in runs:
        errors = [s["clock"] - s["gps"] for s in run if s["gps"] is not None]
        if len(errors) < least:
            times += [None] * len(run)
        else:
            times += [s["clock"] - statistics.median(errors) for s in run]
    return times


# %% [markdown]
# A jump back that is shorter than the pause between two photos leaves no trace in the order. Nor does a jump ahead that, with the pause, stays within `gap`. Only the pairs would show them.

# %%
for camera, shots in CAMERAS.items():
    times = corrected(shots, 24 * 3600, 3) if shots[0]["clock"] else None
    for shot, time in zip(shots, times or [s["clock"] for s in shots], strict=True):
        shot["time"] = time
    off = dict.fromkeys(str(round(s["clock"] - s["time"])) for s in shots if times and s["time"])  # fmt: skip
    said = f"clock ahead by {', then '.join(off)} s" if off else "error unknown"
    print(camera, len(shots), "photos,", said if times else "not started")
PHOTOS = [shot for shots in CAMERAS.values() for shot in shots]

# %% [markdown]
# Below zero, a clock is behind. P1 in Phoenix shows New York's time. The cameras D1 and H1 have fewer than three pairs: their photos stay undated.

# %% [markdown] topics=["7.2-3.1"]
# ## By time, place and name
#
# Keys disagree as clocks do: `UA279`, `United 279`, the call sign `UAL279`, and a *codeshare*, the same flight sold under another airline's number. A table of names repairs that. Photos have no such key; only time and place are left.

# %%
NAMES = {}
for row in rows("carriers.csv"):
    NAMES |= {row[k].lower(): row["carrier"] for k in ("carrier", "name", "prefix")}
SOLD = {row["sold_as"]: row["flight"] for row in rows("codeshares.csv")}
NAMES |= {code[:2].lower(): code[:2] for code in SOLD}
PATTERN = re.compile(rf"\b({'|'.join(sorted(NAMES, key=len, reverse=True))}) ?(\d{{1,4}})\b", re.I)  # fmt: skip


def flight(text):
    """The one flight that a text names, or None."""
    codes = {NAMES[m[1].lower()] + m[2] for m in PATTERN.finditer(text)}
    codes = {SOLD.get(code, code) for code in codes}
    return codes.pop() if len(codes) == 1 else None


for text in ("Finally moving! ua279", "off we go, United 279", "LH7222 pushed back"):
    print(text, "->", flight(text))

# %% [markdown] role="task" exercise="align" points=4 topics=["7.2-3.1", "7.2-1"]
# ### None rather than a wrong one
#
# Write `align(events, items, seconds, distance)`. An event has `event`, `flight`, `time` and `place`. An item has `item`, `time`, `place` and `flight`; each but `item` may be `None`. Times are seconds, places `[lat, lon]`.
#
# An item *fits* an event if
#
# - its time is known, and at most `seconds` from that of the event
# - its place, if known, is at most `distance` kilometres away: `km(a, b)` computes it
# - its flight, if known, is that of the event
# - its place or its flight is known
#
# Of all pairs that fit, take the one nearest in time; then the nearest of what is left, and so on. Each event gets at most one item, each item at most one event. Of equally near pairs, the smaller name of the event goes first, then of the item. Return a dictionary: event to item.
#
# Example: events A at 0 and B at 100, an item at 60 that fits both: `{"B": …}`.
#
# Why: "the nearest item for each event" gives one photo to two events.


# %% role="answer" exercise="align"
def align(
    events: list[dict], items: list[dict], seconds: float, distance: float
) -> dict[str, str]:
    """One item for each event, each item once, the nearest pairs first."""
    ### BEGIN SOLUTION
    pairs = []
    for item in items:
        named, placed = item["flight"] is not None, item["place"] is not None
        if item["time"] is None or not (named or placed):
            continue
        for event in events:
            apart = abs(item["time"] - event["time"])
            if apart > seconds or (named and item["flight"] != event["flight"]):
                continue
            if placed and km(item["place"], event["place"]) > distance:
                continue
            pairs.append((apart, event["event"], item["item"]))
    found = {}
    for _, event, item in sorted(pairs):
        if event not in found and item not in found.values():
            found[event] = item
    return found
    ### END SOLUTION


# %% role="check" exercise="align"
with lab.check("align") as answer:
    here, near, far = [40.0, -74.0], [40.04, -74.0], [40.06, -74.0]

    def event(name, time, flight="UA1"):
        return {"event": name, "flight": flight, "time": time, "place": here}

    def item(name, time, place=None, flight=None):
        return {"item": name, "time": time, "place": place, "flight": flight}

    two = [event("A", 0), event("B", 100, "UA2")]
    for what, events, items, expected in [
        ("an item at 60 that fits A at 0 and B at 100", two, [item("x", 60, here)], {"B": "x"}),
        ("items at 60 and 110 for A at 0 and B at 100", two, [item("x", 60, here), item("y", 110, near)], {"A": "x", "B": "y"}),
        ("items at -40 and 10 for one event at 0", [event("A", 0)], [item("x", -40, here), item("y", 10, here)], {"A": "y"}),
        ("an item 120 seconds away", [event("A", 0)], [item("x", -120, here)], {"A": "x"}),
        ("an item 121 seconds away", [event("A", 0)], [item("x", 121, here)], {}),
        ("an item 6.7 km away", [event("A", 0)], [item("x", 0, far)], {}),
        ("an item 6.7 km away that names the flight", [event("A", 0)], [item("x", 0, far, "UA1")], {}),
        ("an item of another flight in the same place", [event("A", 0)], [item("x", 0, here, "UA7")], {}),
        ("an item that names B, nearer to A", two, [item("x", 20, here, "UA2")], {"B": "x"}),
        ("an item without place that names the flight", [event("A", 0)], [item("x", 5, None, "UA1")], {"A": "x"}),
        ("an item without place and flight", [event("A", 0)], [item("x", 0)], {}),
        ("an item without time", [event("A", 0)], [item("x", None, here, "UA1")], {}),
        ("an item at 50 between A at 0 and B at 100", two[::-1], [item("x", 50, here)], {"A": "x"}),
        ("items y and x at 5", [event("A", 0)], [item("y", 5, here), item("x", 5, here)], {"A": "x"}),
        ("an item without time, and one at 5", [event("A", 0)], [item("x", None, here), item("y", 5, here)], {"A": "y"}),
        ("an item that fits only the second of two events, 6.7 km apart", [event("A", 0), {**event("B", 0), "place": far}], [item("x", 0, far)], {"B": "x"}),
        ("items at 90 and 150 for A at 0 and B at 100", two, [item("x", 90, here), item("y", 150, here)], {"B": "x"}),
        ("items x at 5, and y at 10 that names the flight", [event("A", 0)], [item("x", 5, here), item("y", 10, here, "UA1")], {"A": "x"}),
        ("items at 5, x 4.4 km away and y 0 km", [event("A", 0)], [item("x", 5, near), item("y", 5, here)], {"A": "x"}),
        ("no items", two, [], {}),
    ]:  # fmt: skip
        answer.equal(
            answer.call("align", events, items, 120, 5),
            expected,
            asked=f"the items of the events for {what}, with 120 seconds and 5 km",
        )

# %% role="hidden" exercise="align"
with lab.check("align", hidden=True) as answer:
    draw = answer.random
    events = [
        {"event": f"E{n}", "flight": f"DL{n}", "time": 600 * n, "place": [41.0, -73.0]}
        for n in range(12)
    ]
    items, expected = [], {}
    for n, event in enumerate(events):
        for rank in range(draw.randrange(3)):
            place = draw.choice([[41.01, -73.0], [41.5, -73.0]])
            known = draw.choice([f"DL{n}", None, "AA1"])
            shift = draw.choice([-1, 1]) * (100 * rank + draw.randrange(1, 100))
            name = f"i{draw.randrange(10**6):06}"
            items.append({"item": name, "time": 600 * n + shift, "place": place, "flight": known})  # fmt: skip
            if place[0] == 41.01 and known != "AA1":
                expected.setdefault(event["event"], name)
    draw.shuffle(items)
    answer.equal(
        answer.call("align", events, items, 250, 8),
        expected,
        asked=f"the items of 12 events 600 seconds apart, with {len(items)} items, 250 seconds and 8 km",
    )

# %% [markdown] role="hint" exercise="align"
# Can you decide for one event what it gets without looking at the others? What would you sort?

# %% [markdown] role="hint" exercise="align"
# First collect all pairs that fit as `(seconds apart, event, item)`. Sorting tuples does the rest of the order. Then take each pair whose event and item are both free.

# %% [markdown] role="hint" exercise="align"
# ```python
# pairs = []
# for item in items:
#     named, placed = ..., ...
#     if ...:
#         continue
#     for event in events:
#         apart = ...
#         if ...:
#             continue
#         pairs.append((apart, event["event"], item["item"]))
# found = {}
# for _, event, item in sorted(pairs):
#     if ...:
#         found[event] = item
# return found
# ```


# %% role="right" exercise="align"
def align(events, items, seconds, distance):
    def fits(event, item):
        if item["time"] is None or item["place"] is item["flight"] is None:
            return False
        here = item["place"] is None or km(event["place"], item["place"]) <= distance
        same = item["flight"] in (None, event["flight"])
        return here and same and abs(item["time"] - event["time"]) <= seconds

    events, items, found = list(events), list(items), {}
    while True:
        best = min(
            (
                (abs(i["time"] - e["time"]), e["event"], i["item"])
                for e in events
                for i in items
                if fits(e, i)
            ),
            default=None,
        )
        if best is None:
            return found
        found[best[1]] = best[2]
        events = [e for e in events if e["event"] != best[1]]
        items = [i for i in items if i["item"] != best[2]]


# %% [markdown] role="equivalent" exercise="align" reason="The way back is as long, and no distance is known to the last digit"
# - if placed and km(item["place"], event["place"]) > distance:
# + if placed and km(event["place"], item["place"]) > distance:
#
# - if placed and km(item["place"], event["place"]) > distance:
# + if placed and km(item["place"], event["place"]) >= distance:


# %% role="wrong" exercise="align" misconception="Each event takes its nearest item" caught="check" says="fits A at 0 and B"
def align(events, items, seconds, distance):
    found = {}
    for event in events:
        pairs = [
            (abs(i["time"] - event["time"]), i["item"])
            for i in items
            if i["time"] is not None
            and (i["place"] or i["flight"])
            and i["flight"] in (None, event["flight"])
            and (not i["place"] or km(i["place"], event["place"]) <= distance)
        ]
        if pairs and min(pairs)[0] <= seconds:
            found[event["event"]] = min(pairs)[1]
    return found


# %% role="wrong" exercise="align" misconception="First come, first served" caught="check" says="fits A at 0 and B"
def align(events, items, seconds, distance):
    found = {}
    for event in sorted(events, key=lambda e: e["event"]):
        pairs = [
            (abs(i["time"] - event["time"]), i["item"])
            for i in items
            if i["time"] is not None
            and i["item"] not in found.values()
            and (i["place"] or i["flight"])
            and i["flight"] in (None, event["flight"])
            and (not i["place"] or km(i["place"], event["place"]) <= distance)
        ]
        if pairs and min(pairs)[0] <= seconds:
            found[event["event"]] = min(pairs)[1]
    return found


# %% role="wrong" exercise="align" misconception="The nearest is good enough, however far" caught="check" says="121 seconds"
def align(events, items, seconds, distance):
    pairs = sorted(
        (abs(i["time"] - e["time"]), e["event"], i["item"])
        for e in events
        for i in items
        if i["time"] is not None
        and (i["place"] or i["flight"])
        and i["flight"] in (None, e["flight"])
        and (not i["place"] or km(i["place"], e["place"]) <= distance)
    )
    found = {}
    for _, event, item in pairs:
        if event not in found and item not in found.values():
            found[event] = item
    return found


# %% role="wrong" exercise="align" misconception="A name makes the place needless" caught="check" says="that names the flight"
def align(events, items, seconds, distance):
    pairs = sorted(
        (abs(i["time"] - e["time"]), e["event"], i["item"])
        for e in events
        for i in items
        if i["time"] is not None
        and abs(i["time"] - e["time"]) <= seconds
        and (
            i["flight"] == e["flight"]
            if i["flight"]
            else i["place"] and km(i["place"], e["place"]) <= distance
        )
    )
    found = {}
    for _, event, item in pairs:
        if event not in found and item not in found.values():
            found[event] = item
    return found


# %% role="wrong" exercise="align" misconception="What contradicts nothing fits" caught="check" says="without place and flight"
def align(events, items, seconds, distance):
    pairs = sorted(
        (abs(i["time"] - e["time"]), e["event"], i["item"])
        for e in events
        for i in items
        if i["time"] is not None
        and abs(i["time"] - e["time"]) <= seconds
        and i["flight"] in (None, e["flight"])
        and (not i["place"] or km(i["place"], e["place"]) <= distance)
    )
    found = {}
    for _, event, item in pairs:
        if event not in found and item not in found.values():
            found[event] = item
    return found


# %% role="wrong" exercise="align" misconception="As many pairs as possible" caught="check" says="items at 90 and 150"
def align(events, items, seconds, distance):
    from scipy.optimize import linear_sum_assignment

    def cost(event, item):
        if item["time"] is None or not (item["place"] or item["flight"]):
            return 10**9
        here = not item["place"] or km(item["place"], event["place"]) <= distance
        same = item["flight"] in (None, event["flight"])
        apart = abs(item["time"] - event["time"])
        return apart if here and same and apart <= seconds else 10**9

    if not items:
        return {}
    events = sorted(events, key=lambda e: e["event"])
    items = sorted(items, key=lambda i: i["item"])
    costs = [[cost(event, item) for item in items] for event in events]
    return {
        events[e]["event"]: items[i]["item"]
        for e, i in zip(*linear_sum_assignment(costs), strict=True)
        if costs[e][i] <= seconds
    }


# %% role="wrong" exercise="align" misconception="Who names the flight goes first" caught="check" says="y at 10 that names the flight"
def align(events, items, seconds, distance):
    pairs = sorted(
        (i["flight"] is None, abs(i["time"] - e["time"]), e["event"], i["item"])
        for e in events
        for i in items
        if i["time"] is not None
        and abs(i["time"] - e["time"]) <= seconds
        and (i["place"] or i["flight"])
        and i["flight"] in (None, e["flight"])
        and (not i["place"] or km(i["place"], e["place"]) <= distance)
    )
    found = {}
    for _, _, event, item in pairs:
        if event not in found and item not in found.values():
            found[event] = item
    return found


# %%
ITEMS = {"photo": [{**p, "flight": None} for p in PHOTOS]}
ITEMS["sound"] = [{**s, "flight": flight(s["text"])} for s in SOUNDS]
ITEMS["position"] = [
    {"item": r["item"], "time": int(r["epoch_ms"]) / 1000, "place": [float(r["lat"]), float(r["lon"])], "flight": flight(r["callsign"])}
    for r in rows("positions.csv")
]  # fmt: skip
ITEMS["message"] = []
for m in MESSAGES:
    place = m["airport"] and [*AIRPORTS.loc[m["airport"], ["lat", "lon"]]]
    time = place and stamp(m["posted"], AIRPORTS.tzone[m["airport"]])
    ITEMS["message"].append({"item": m["item"], "time": time, "place": place, "flight": flight(m["text"])})  # fmt: skip
FOUND = {kind: align(EVENTS, some, 300, 5) or {} for kind, some in ITEMS.items()}
for kind, matches in FOUND.items():
    print(kind, len(ITEMS[kind]), "items,", len(matches), "aligned")

# %% [markdown]
# 21 photos have a time but no place, and no name: they fit nothing. 11 messages have no airport, so no zone and no time. They are part of the loss.

# %% [markdown] topics=["7.2-1", "7.2-1.1", "7.2-3"]
# ## All together: missing, lost, wrong
#
# An event now has up to four modalities. A *mask* tells the reader which are there. With it you may put a black photo where one is missing. Without it, a model learns that black means something.
#
# The truth is known here, so what is missing and what you mixed up can be told apart. *Coverage* is the share of events with an item. *Precision* is the share of your matches that are right. *Recall* is the share of events that have an item in truth and got a right one.

# %% [markdown] role="task" exercise="report" points=3 topics=["7.2-1", "7.2-1.1", "7.2-3"]
# ### What is there, and what is right
#
# Write `report(events, found, truth)`. `events` is a list of names, at least one. `found` holds for each modality what `align` returned: `{"photo": {"A": "p1"}, …}`. `truth` says for each item its event, or `""` if it belongs to none; an event may have several items.
# The items of a modality are `truth[modality]`: `{"photo": {"p1": "A", "p2": ""}, …}`.
#
# Return a dictionary with
#
# - `mask`: for each event a list of `True` and `False`, whether it has an item, for the modalities in the order of `found`
# - `scores`: for each modality a dictionary of `coverage`, `precision` and `recall`; a share of nothing is `None`; do not round
#
# Example: event A with p1 alone, as above, gives `{"mask": {"A": [True]}, "scores": {"photo": {"coverage": 1.0, "precision": 1.0, "recall": 1.0}}}`.
#
# Why: a high coverage is easy: accept everything.


# %% role="answer" exercise="report"
def report(events: list[str], found: dict, truth: dict) -> dict:
    """Which modalities each event has, and how good the matches are."""
    ### BEGIN SOLUTION
    mask = {e: [e in matches for matches in found.values()] for e in events}
    scores = {}
    for modality, matches in found.items():
        belongs = truth[modality]
        right = sum(belongs[item] == event for event, item in matches.items())
        possible = set(belongs.values()) - {""}
        scores[modality] = {
            "coverage": len(matches) / len(events),
            "precision": right / len(matches) if matches else None,
            "recall": right / len(possible) if possible else None,
        }
    return {"mask": mask, "scores": scores}
    ### END SOLUTION


# %% role="check" exercise="report"
with lab.check("report") as answer:
    truth = {
        "photo": {"p1": "A", "p2": "A", "p3": "B", "p4": "", "p5": "C"},
        "sound": {"s1": "", "s2": ""},
        "text": {"t1": "D", "t2": "B"},
    }
    for found, mask, scores in [
        (
            {"photo": {"A": "p2", "B": "p4"}},
            {"A": [True], "B": [True], "C": [False], "D": [False]},
            {"photo": {"coverage": 0.5, "precision": 0.5, "recall": 1 / 3}},
        ),
        (
            {"text": {"D": "t1"}, "sound": {"A": "s1"}, "photo": {}},
            {"A": [False, True, False], "B": [False] * 3, "C": [False] * 3, "D": [True, False, False]},
            {
                "text": {"coverage": 0.25, "precision": 1.0, "recall": 0.5},
                "sound": {"coverage": 0.25, "precision": 0.0, "recall": None},
                "photo": {"coverage": 0.0, "precision": None, "recall": 0.0},
            },
        ),
        (
            {"photo": {"A": "p1", "B": "p3", "C": "p5", "D": "p2"}},
            {"A": [True], "B": [True], "C": [True], "D": [True]},
            {"photo": {"coverage": 1.0, "precision": 0.75, "recall": 1.0}},
        ),
    ]:  # fmt: skip
        got = answer.call("report", ["A", "B", "C", "D"], found, truth)
        part = got if isinstance(got, dict) else {}
        answer.equal(
            part.get("mask"),
            mask,
            asked=f"the mask of A, B, C, D for {found}",
        )
        for modality, expected in scores.items():
            row = (part.get("scores") or {}).get(modality) or {}
            answer.equal(
                row,
                expected,
                asked=f"the scores of {modality} for {found}, of the truth {truth[modality]}",
            )

# %% role="hidden" exercise="report"
with lab.check("report", hidden=True) as answer:
    draw = answer.random
    events = [f"E{n}" for n in range(20)]
    belongs, matches, right = {}, {}, 0
    for event in events:
        case = draw.choice(["right", "wrong", "lost", "none"])
        if case in ("right", "lost"):
            belongs |= {f"{event}a": event, f"{event}b": event}
        if case == "wrong":
            belongs[f"{event}a"] = ""
        if case in ("right", "wrong"):
            matches[event] = f"{event}a"
        right += case == "right"
    possible = len({e for e in belongs.values() if e})
    answer.equal(
        answer.call("report", events, {"x": matches}, {"x": belongs}),
        {
            "mask": {event: [event in matches] for event in events},
            "scores": {
                "x": {
                    "coverage": len(matches) / 20,
                    "precision": right / len(matches) if matches else None,
                    "recall": right / possible if possible else None,
                }
            },
        },
        asked="mask and scores of 20 events, some without items, some with two, some with a wrong one",
    )

# %% [markdown] role="hint" exercise="report"
# Of what is each of the three a share: of events, of matches, or of items?

# %% [markdown] role="hint" exercise="report"
# `right` counts the matches whose item has this event in truth. An event with two items counts once in recall: a set of the events in truth helps.

# %% [markdown] role="hint" exercise="report"
# ```python
# mask = {e: [... for matches in found.values()] for e in events}
# scores = {}
# for modality, matches in found.items():
#     belongs = truth[modality]
#     right = sum(...)
#     possible = set(...) - {""}
#     scores[modality] = {
#         "coverage": ...,
#         "precision": ...,
#         "recall": ...,
#     }
# return {"mask": mask, "scores": scores}
# ```


# %% role="right" exercise="report"
def report(events, found, truth):
    def share(part, whole):
        return part / whole if whole else None

    scores = {}
    for kind in found:
        good = [e for e, item in found[kind].items() if truth[kind].get(item) == e]
        there = [e for e in events if e in truth[kind].values()]
        scores[kind] = dict(
            coverage=share(len(found[kind]), len(events)),
            precision=share(len(good), len(found[kind])),
            recall=share(len(good), len(there)),
        )
    mask = {e: [bool(found[kind].get(e)) for kind in found] for e in events}
    return dict(mask=mask, scores=scores)


# %% role="wrong" exercise="report" misconception="Recall counts items" caught="check" says="scores of photo"
def report(events, found, truth):
    mask = {e: [e in matches for matches in found.values()] for e in events}
    scores = {}
    for modality, matches in found.items():
        belongs = truth[modality]
        right = sum(belongs[item] == event for event, item in matches.items())
        possible = [event for event in belongs.values() if event]
        scores[modality] = {
            "coverage": len(matches) / len(events),
            "precision": right / len(matches) if matches else None,
            "recall": right / len(possible) if possible else None,
        }
    return {"mask": mask, "scores": scores}


# %% role="wrong" exercise="report" misconception="Recall is of all events" caught="check" says="scores of photo"
def report(events, found, truth):
    mask = {e: [e in matches for matches in found.values()] for e in events}
    scores = {}
    for modality, matches in found.items():
        belongs = truth[modality]
        right = sum(belongs[item] == event for event, item in matches.items())
        possible = set(belongs.values()) - {""}
        scores[modality] = {
            "coverage": len(matches) / len(events),
            "precision": right / len(matches) if matches else None,
            "recall": right / len(events) if possible else None,
        }
    return {"mask": mask, "scores": scores}


# %% role="wrong" exercise="report" misconception="A share of nothing is zero" caught="check" says="scores of sound"
def report(events, found, truth):
    mask = {e: [e in matches for matches in found.values()] for e in events}
    scores = {}
    for modality, matches in found.items():
        belongs = truth[modality]
        right = sum(belongs[item] == event for event, item in matches.items())
        possible = set(belongs.values()) - {""}
        scores[modality] = {
            "coverage": len(matches) / len(events),
            "precision": right / max(1, len(matches)),
            "recall": right / max(1, len(possible)),
        }
    return {"mask": mask, "scores": scores}


# %% role="wrong" exercise="report" misconception="The mask is what should be there" caught="check" says="the mask of A, B, C, D"
def report(events, found, truth):
    mask = {e: [e in truth[kind].values() for kind in found] for e in events}
    scores = {}
    for modality, matches in found.items():
        belongs = truth[modality]
        right = sum(belongs[item] == event for event, item in matches.items())
        possible = set(belongs.values()) - {""}
        scores[modality] = {
            "coverage": len(matches) / len(events),
            "precision": right / len(matches) if matches else None,
            "recall": right / len(possible) if possible else None,
        }
    return {"mask": mask, "scores": scores}


# %% [markdown]
# Your alignment, with a narrow and a wide tolerance, and photos once more by their own clocks. **Predict:** what does the wide one gain, and what does it cost?

# %%
EVENT_OF = {row["item"]: row["event"] for row in rows("truth.csv")}
TRUTH = {kind: {i["item"]: EVENT_OF[i["item"]] for i in some} for kind, some in ITEMS.items()}  # fmt: skip
NAMED = [event["event"] for event in EVENTS]
sources = {**ITEMS, "photo, own clock": [{**p, "time": p["clock"]} for p in ITEMS["photo"]]}  # fmt: skip
truths = {**TRUTH, "photo, own clock": TRUTH["photo"]}
for limit in (60, 300, 1800):
    found = {kind: align(EVENTS, some, limit, 5) or {} for kind, some in sources.items()}  # fmt: skip
    made = report(NAMED, found, truths)
    for kind, score in (made["scores"] if made else {}).items():
        cells = [f"{name} {'-' if v is None else f'{v:.2f}'}" for name, v in score.items()]  # fmt: skip
        print(f"{limit:5} s  {kind:17}", "  ".join(cells))

# %% [markdown]
# Coverage never falls. Precision falls for photos, which no name protects: at a busy airport, a photo finds some flight. By their own clocks, few events get the right photo at any tolerance, and each widening costs precision. Correct the clock, do not widen the window.
#
# Weather is another kind of join: one reading serves many events. And there are stations in New York only. The figure shows what each event has.

# %%
HOURS = {(w.origin, w.time_hour.timestamp()) for w in dataset("weather").frame().query("month == 11").itertuples()}  # fmt: skip
states = ["none there", "lost", "wrong", "right", "there, not scored"]
table = [[4 * ((e["event"][-3:], e["time"] // 3600 * 3600) in HOURS) for e in EVENTS]]
for kind, matches in FOUND.items():
    there = set(TRUTH[kind].values())
    right = {e: 3 if TRUTH[kind][i] == e else 2 for e, i in matches.items()}
    table.append([right.get(e, int(e in there)) for e in NAMED])
figure, axes = plt.subplots(figsize=(7.5, 1.9), layout="constrained")
colours = plt.matplotlib.colors.ListedColormap(["white", "gold", "crimson", "steelblue", "grey"])  # fmt: skip
shown = axes.imshow(table, aspect="auto", cmap=colours, vmin=-0.5, vmax=4.5)
axes.set_yticks(range(5), ["weather", *FOUND])
axes.set_xlabel("80 departures and arrivals in the order of time")
figure.colorbar(shown, ticks=range(5)).set_ticklabels(states)
picture(figure, alt="For each of 80 events and five modalities: right, wrong, lost, or none there. Weather, which is not scored, is there for departures only; most items are right, some are lost, one sound is wrong.")  # fmt: skip

# %% [markdown]
# White is not an error, and grey was not scored: an hour and an airport are a key without doubt. Gold is what you did not dare; red is what you dared wrongly. Which of them costs more is a question for those who use the data.

# %% [markdown]
# ## What you can do now
#
# - turn written times into moments, or into none
# - read a tag by its bytes
# - correct a clock, run by run
# - align by time, place and name
# - hand over a mask, and scores for each modality
#
# New words: *modality*, *IoT*, *transponder*, *call sign*, *EXIF*, *ID3*, *sidecar*, *syncsafe*, *codeshare*, *mask*, *coverage*.
#
# To read on: the Exif standard of CIPA (*OffsetTimeOriginal*); the ID3v2.4.0 structure document; Baltrušaitis and others, *Multimodal Machine Learning: A Survey and Taxonomy*.

# %%
lab.close()
