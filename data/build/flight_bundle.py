"""Photos, sounds, position reports and messages of forty real flights, each with its own clock."""

import io
import json
import struct
from datetime import UTC, datetime, timedelta
from itertools import starmap
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image, ImageDraw

from data.build.catalogue import Resource
from data.build.flights_day import flights_on
from data.build.formats import csv_file, riff_chunk, write_zip
from data.build.seeds import rng
from data.build.tables import RawTable

MONTH, DAY, COUNT = 11, 3, 40
#: How many flights to each destination; the rest of the forty go to Chicago and Atlanta.
DESTS = {"HNL": 2, "PHX": 6, "DEN": 6, "LAX": 8, "ATL": 8, "ORD": 10}
#: Name of a carrier as people write it, and the prefix of its call signs. Both are real.
CARRIERS = {
    "AA": ("American", "AAL"),
    "B6": ("JetBlue", "JBU"),
    "DL": ("Delta", "DAL"),
    "EV": ("ExpressJet", "ASQ"),
    "F9": ("Frontier", "FFT"),
    "FL": ("AirTran", "TRS"),
    "HA": ("Hawaiian", "HAL"),
    "MQ": ("American Eagle", "EGF"),
    "UA": ("United", "UAL"),
    "US": ("US Airways", "AWE"),
    "VX": ("Virgin America", "VRD"),
    "WN": ("Southwest", "SWA"),
}
#: Seconds that the clock of the camera at an airport is ahead; True: it writes its offset.
CAMERAS = {
    "ATL": ("A1", 0, True),
    "DEN": ("D1", 95, False),
    "EWR": ("E1", 3600, False),
    "HNL": ("H1", 600, False),
    "JFK": ("J1", -1020, False),
    "LAX": ("L1", -260, False),
    "LGA": ("G1", 40, False),
    "ORD": ("O1", 0, True),
    "PHX": ("P1", 7200, False),
}
#: The camera at LaGuardia loses power; its clock begins anew.
POWER_LOST = datetime(2013, 11, 3, 17, 0, tzinfo=UTC)
RESET = datetime(2000, 1, 1)
MAKER, EXIF, GPS = 0x010F, 0x8769, 0x8825
MODEL, TAKEN, OFFSET, SERIAL = 0x0110, 0x9003, 0x9011, 0xA431
ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
ABOUT = (
    "Recorded beside the runway with a furred microphone on a pole, two metres above the grass, "
    "wind from the left, gain fixed at 24 dB, for the study of noise at night and in the morning"
)
SAYINGS = {
    "departure": ["Finally moving! {flight}", "{flight} pushed back", "off we go, {flight}"],
    "arrival": ["just landed with {flight}", "{flight} is at the gate", "Thanks {flight}, smooth"],
}

Row = dict[str, Any]


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the files of all modalities, ``events.csv``, and ``truth.csv``."""
    name = resource["name"]
    airports = {a["faa"]: a for a in raw("airports-raw").to_pylist()}
    day = flights_on(raw("flights-raw"), month=MONTH, day=DAY).to_pylist()
    events = _events(day, airports, rng(name, "flights"))
    others = [
        e for e in _all_events(day, airports) if e["flight"] not in {f["flight"] for f in events}
    ]
    files: dict[str, bytes] = {}
    truth: list[Row] = []
    shared = _codeshares(events, rng(name, "codeshares"))
    _photos(events, others, rng(name, "photos"), files, truth)
    _sounds(events, others, rng(name, "sounds"), files, truth)
    files["positions.csv"] = _positions(events, airports, rng(name, "positions"), truth)
    files["messages.jsonl"] = _messages(events, others, shared, rng(name, "messages"), truth)
    for event in events:
        event["utc"] = f"{event['utc']:%Y-%m-%dT%H:%M:%SZ}"
    files["events.csv"] = csv_file(events, ["event", "flight", "kind", "airport", "utc"])
    names = [{"carrier": c, "name": n, "prefix": p} for c, (n, p) in CARRIERS.items()]
    files["carriers.csv"] = csv_file(names, ["carrier", "name", "prefix"])
    codes = [{"sold_as": sold, "flight": flight} for flight, sold in shared.items()]
    files["codeshares.csv"] = csv_file(codes, ["sold_as", "flight"])
    files["truth.csv"] = csv_file(truth, ["item", "event"])
    write_zip(files.items(), out)


def _all_events(day: list[Row], airports: dict[str, Row]) -> list[Row]:
    events = []
    for flight in day:
        known = None not in (flight["dep_delay"], flight["arr_time"], flight["air_time"])
        if not known or flight["dest"] not in DESTS or flight["carrier"] not in CARRIERS:
            continue
        left = flight["time_hour"] + timedelta(minutes=flight["minute"] + flight["dep_delay"])
        zone = ZoneInfo(airports[flight["dest"]]["tzone"])
        hour, minute = divmod(flight["arr_time"], 100)
        expected = left + timedelta(minutes=flight["air_time"] + 30)
        midnight = datetime(2013, MONTH, DAY)
        came = min(
            (
                (midnight + timedelta(days=d, hours=hour, minutes=minute))
                .replace(tzinfo=zone)
                .astimezone(UTC)
                for d in (-1, 0, 1)
            ),
            key=lambda time: abs(time - expected),
        )
        if abs(came - expected) > timedelta(minutes=45):
            continue
        code = f"{flight['carrier']}{flight['flight']}"
        for kind, airport, utc in [
            ("departure", flight["origin"], left),
            ("arrival", flight["dest"], came),
        ]:
            place = airports[airport]
            events.append(
                {
                    "event": f"{code}-{airport}",
                    "flight": code,
                    "kind": kind,
                    "airport": airport,
                    "utc": utc,
                    "lat": place["lat"],
                    "lon": place["lon"],
                    "zone": ZoneInfo(place["tzone"]),
                    "dest": flight["dest"],
                }
            )
    return events


def _events(day: list[Row], airports: dict[str, Row], draw: np.random.Generator) -> list[Row]:
    possible = _all_events(day, airports)
    often = [event["flight"] for event in possible]
    chosen: set[str] = set()
    for dest, count in DESTS.items():
        codes = sorted(
            {e["flight"] for e in possible if e["dest"] == dest and often.count(e["flight"]) == 2}
        )
        chosen |= {codes[n] for n in draw.choice(len(codes), count, replace=False)}
    events = [event for event in possible if event["flight"] in chosen]
    return sorted(events, key=lambda e: (e["utc"], e["event"]))


def _codeshares(events: list[Row], draw: np.random.Generator) -> dict[str, str]:
    codes = sorted({event["flight"] for event in events})
    some = sorted(int(n) for n in draw.choice(len(codes), 12, replace=False))
    return {codes[n]: f"{('LH', 'AF', 'BA')[i % 3]}{7000 + 37 * i}" for i, n in enumerate(some)}


def _near(event: Row, draw: np.random.Generator, km: float) -> tuple[float, float]:
    north, east = draw.uniform(-km, km, 2) / 111
    return round(event["lat"] + float(north), 5), round(event["lon"] + float(east), 5)


def _some(events: list[Row], share: float, draw: np.random.Generator) -> list[Row]:
    return [event for event in events if draw.random() < share]


def _strangers(others: list[Row], count: int, draw: np.random.Generator) -> list[Row]:
    """Events of flights that are not in the bundle: their items belong to nothing in it."""
    some = draw.choice(len(others), count, replace=False)
    return [{**others[n], "event": ""} for n in some]


def _photos(
    events: list[Row],
    others: list[Row],
    draw: np.random.Generator,
    files: dict[str, bytes],
    truth: list[Row],
) -> None:
    shots = _some(events, 0.85, draw)
    shots += _some(shots, 0.15, draw) + _strangers(others, 22, draw)
    timed = [{**e, "true": e["utc"] + timedelta(seconds=round(draw.normal(0, 50)))} for e in shots]
    numbers = dict.fromkeys(CAMERAS, 0)
    for shot in sorted(timed, key=lambda s: (s["true"], s["event"])):
        airport = shot["airport"]
        camera, ahead, phone = CAMERAS[airport]
        numbers[airport] += 1
        local = shot["true"].astimezone(shot["zone"])
        clock = local.replace(tzinfo=None) + timedelta(seconds=ahead)
        if airport == "LGA" and shot["true"] > POWER_LOST:
            clock = RESET + (shot["true"] - POWER_LOST)
        exif = Image.Exif()
        exif[MAKER], exif[MODEL] = "Tern", "Phone 4" if phone else "7D"
        inner = {TAKEN: f"{clock:%Y:%m:%d %H:%M:%S}", SERIAL: camera}
        if phone:
            inner[OFFSET] = local.isoformat()[-6:]
        exif.get_ifd(EXIF).update(inner)
        if draw.random() < 0.85:
            exif.get_ifd(GPS).update(_fix(shot, draw))
        file = f"photos/{camera}-{numbers[airport]:03}.jpg"
        sink = io.BytesIO()
        _picture(draw).save(sink, "JPEG", quality=70, exif=exif)
        files[file] = sink.getvalue()
        truth.append({"item": file, "event": shot["event"]})


def _fix(shot: Row, draw: np.random.Generator) -> dict[int, Any]:
    """GPS tags: a place, and mostly the time of the fix, which may be an old one."""
    lat, lon = _near(shot, draw, 1.5)
    fix = {1: "N", 2: _degrees(lat), 3: "W", 4: _degrees(-lon)}
    age = int(draw.integers(1200, 12_000)) if draw.random() < 0.15 else int(draw.integers(0, 3))
    if draw.random() < 0.85:
        at = shot["true"] - timedelta(seconds=age)
        fix |= {7: (float(at.hour), float(at.minute), float(at.second)), 29: f"{at:%Y:%m:%d}"}
    return fix


def _degrees(value: float) -> tuple[float, float, float]:
    minutes, hundredths = divmod(round(value * 360_000), 6000)
    degrees, minutes = divmod(minutes, 60)
    return float(degrees), float(minutes), hundredths / 100


def _picture(draw: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (48, 32), tuple(int(v) for v in draw.integers(120, 240, 3)))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 24, 47, 31), fill=(90, 100, 80))
    x, y = int(draw.integers(4, 14)), int(draw.integers(8, 18))
    paint = tuple(int(v) for v in draw.integers(0, 110, 3))
    pen.ellipse((x, y, x + 28, y + 5), fill=paint)
    pen.polygon([(x + 1, y + 2), (x - 2, y - 6), (x + 3, y - 6), (x + 7, y + 2)], fill=paint)
    return image


def _sounds(
    events: list[Row],
    others: list[Row],
    draw: np.random.Generator,
    files: dict[str, bytes],
    truth: list[Row],
) -> None:
    clips = _some(events, 0.6, draw) + _strangers(others, 10, draw)
    for number, clip in enumerate(sorted(clips, key=lambda c: (c["utc"], c["event"])), 1):
        true = clip["utc"] + timedelta(seconds=int(draw.integers(-20, 140)))
        local = true.astimezone(clip["zone"])
        frames = {"TPE1": ("Zoë Müller", "Bjørn Ångström", "Ann Lee")[number % 3]}
        if draw.random() < 0.6:
            frames["TIT3"] = ABOUT
        if draw.random() < 0.4:
            frames["TIT2"] = f"{clip['kind']} of {_call_sign(clip['flight'])}"
        version = 3 if draw.random() < 0.4 else 4
        written, told = true, {}
        if draw.random() < 0.15:
            written = written.replace(year=2012, month=1, day=1)
            told = {"recorded": local.isoformat()}
        if version == 4:
            frames["TDRC"] = f"{written:%Y-%m-%dT%H:%M:%S}"
        else:
            frames |= {
                "TYER": f"{written:%Y}",
                "TDAT": f"{written:%d%m}",
                "TIME": f"{written:%H%M}",
            }
        file = f"sounds/S{number:03}"
        if told or draw.random() < 0.85:
            lat, lon = _near(clip, draw, 2)
            side = {"device": f"R-{clip['airport']}", "lat": lat, "lon": lon, **told}
            files[f"{file}.json"] = json.dumps(side).encode()
        tag = _id3(version, frames, int(draw.integers(4)), 32 * int(draw.integers(2)))
        files[f"{file}.wav"] = _wav(draw, tag)
        truth.append({"item": f"{file}.wav", "event": clip["event"]})


def _call_sign(flight: str) -> str:
    return CARRIERS[flight[:2]][1] + flight[2:]


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def _id3(version: int, frames: dict[str, str], kind: int, padding: int) -> bytes:
    # Version 2.3 knows the first two encodings only.
    kind = kind % 2 if version == 3 else kind
    body = b""
    for name, text in frames.items():
        used = kind if kind else 1 if not text.isascii() else 0
        if used == 1:
            payload = b"\x01\xff\xfe" + text.encode("utf-16-le")
        else:
            payload = bytes([used]) + text.encode(ENCODINGS[used])
        size = _syncsafe(len(payload)) if version == 4 else struct.pack(">I", len(payload))
        body += name.encode() + size + b"\0\0" + payload
    body += bytes(padding)
    return b"ID3" + bytes([version, 0, 0]) + _syncsafe(len(body)) + body


def _wav(draw: np.random.Generator, tag: bytes) -> bytes:
    rate, length = 8000, 1600
    swell = np.minimum(np.arange(length), np.arange(length)[::-1]) // 8
    samples = 128 + draw.integers(-100, 101, length) * swell // 100
    sound = samples.clip(0, 255).astype("uint8").tobytes()
    parts = [
        (b"fmt ", struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)),
        (b"data", sound),
        (b"id3 ", tag),
    ]
    return riff_chunk(b"RIFF", b"WAVE" + b"".join(starmap(riff_chunk, parts)))


def _positions(
    events: list[Row], airports: dict[str, Row], draw: np.random.Generator, truth: list[Row]
) -> bytes:
    rows = []
    pairs: dict[str, list[Row]] = {}
    for event in events:
        pairs.setdefault(event["flight"], []).append(event)
    for flight, (left, came) in sorted(pairs.items()):
        if draw.random() < 0.12:
            continue  # a transponder that nobody hears
        sign = _call_sign(flight)
        for event in (left, came):
            if draw.random() < 0.12:
                continue  # no receiver there
            for step in (-40, 0, 40):
                lat, lon = _near(event, draw, 2)
                time = event["utc"] + timedelta(seconds=step + int(draw.integers(-15, 16)))
                rows.append((time, sign, lat, lon, 0, event["event"]))
        span = came["utc"] - left["utc"]
        for share in (0.3, 0.7):
            lat, lon = (left[k] + share * (came[k] - left[k]) for k in ("lat", "lon"))
            rows.append((left["utc"] + share * span, sign, round(lat, 5), round(lon, 5), 340, ""))
    table = []
    for number, (time, sign, lat, lon, level, event) in enumerate(sorted(rows), 1):
        item = f"P{number:03}"
        millis = round(time.timestamp() * 1000)
        table.append({"item": item, "callsign": sign, "epoch_ms": millis, "lat": lat, "lon": lon})
        table[-1]["flight_level"] = level
        truth.append({"item": item, "event": event})
    return csv_file(table, ["item", "callsign", "epoch_ms", "lat", "lon", "flight_level"])


def _messages(
    events: list[Row],
    others: list[Row],
    shared: dict[str, str],
    draw: np.random.Generator,
    truth: list[Row],
) -> bytes:
    posts = _some(events, 0.7, draw)
    posts += _some(posts, 0.2, draw) + _strangers(others, 20, draw)
    lines = []
    for number, post in enumerate(sorted(posts, key=lambda p: (p["utc"], p["event"])), 1):
        local = (post["utc"] + timedelta(seconds=int(draw.integers(-120, 400)))).astimezone(
            post["zone"]
        )
        carrier, digits = post["flight"][:2], post["flight"][2:]
        forms = [
            post["flight"],
            f"{carrier} {digits}",
            f"{carrier.lower()}{digits}",
            f"{CARRIERS[carrier][0]} {digits}",
            _call_sign(post["flight"]),
            shared.get(post["flight"], f"#{post['flight']}"),
        ]
        form = "our plane" if draw.random() < 0.15 else forms[draw.integers(len(forms))]
        sayings = SAYINGS[post["kind"]]
        clock = f"{local:%m/%d/%Y} {local.hour % 12 or 12}:{local:%M %p}"
        item = f"M{number:03}"
        line = {
            "item": item,
            "posted": clock,
            "airport": post["airport"] if draw.random() < 0.85 else None,
            "text": sayings[draw.integers(len(sayings))].format(flight=form),
        }
        lines.append(json.dumps(line) + "\n")
        truth.append({"item": item, "event": post["event"]})
    return "".join(lines).encode()
