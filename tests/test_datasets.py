"""Data sets: what is shipped is unharmed, what is built is what the catalogue says."""

import csv
import errno
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import wave
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from data.build import formats, tables
from data.build.catalogue import DATA, resources
from data.build.seeds import rng
from labkit import datasets
from labkit.datasets import dataset
from labkit.errors import CourseError

ROOT = DATA.parent
RAW = [name for name, resource in resources().items() if resource["class"] == "raw"]
BUILT = [name for name, resource in resources().items() if resource["class"] == "built"]
TABLES = [name for name in BUILT if resources()[name].get("type") == "table"]
DAY = [name for name in BUILT if name.startswith("flights-day-")]
RUN = """
import sys
from pathlib import Path
from labkit import datasets
datasets.DATA = Path(sys.argv[1])
for name in sys.argv[2:]:
    datasets.dataset(name).path
"""


def start(folder: Path, *names: str, hash_seed: str = "0") -> subprocess.Popen[str]:
    """Start a process that opens data sets, with ``folder`` for the data folder."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), *names],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def data_folder(folder: Path) -> Path:
    """Return a data folder that has the raw files and nothing built."""
    (folder / "raw").symlink_to(DATA / "raw")
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with everything built."""
    folder = data_folder(tmp_path_factory.mktemp("data"))
    process = start(folder, *BUILT, hash_seed="1")
    assert process.communicate()[0].count("Building data set") == len(BUILT)
    assert process.returncode == 0
    return folder


@pytest.fixture
def here(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data sets come from the built folder, and nothing in it was checked yet."""
    use(built, monkeypatch)
    return built


@pytest.fixture
def copy(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder to spoil: real copies of two raw and two built files, no stamps."""
    for name in ("airlines-raw", "planes-raw", "airlines", "delay-messages", "flights-day-xml"):
        path = resources()[name]["path"]
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(built / path, tmp_path / path)
    use(tmp_path, monkeypatch)
    return tmp_path


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let data sets come from a folder in which nothing was checked or read yet."""
    monkeypatch.setattr(datasets, "DATA", folder)
    monkeypatch.setattr(datasets, "_checked", set())
    monkeypatch.setattr(datasets, "_tables", {})


def spoil(path: Path) -> None:
    """Change one byte in the middle of a file."""
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


# The catalogue


@pytest.mark.parametrize("name", RAW)
def test_raw_file_is_as_published(name: str) -> None:
    resource = resources()[name]
    payload = (DATA / resource["path"]).read_bytes()
    assert len(payload) == resource["bytes"]
    assert f"sha256:{sha256(payload).hexdigest()}" == resource["hash"]
    rows = dataset(name).arrow().num_rows if "schema" in resource else len(dataset(name).names())
    assert rows == resource["rows"]


def test_every_resource_says_what_it_is() -> None:
    for resource in resources().values():
        for key in ("title", "description", "path", "format", "mediatype", "rows", "licenses"):
            assert resource[key], (resource["name"], key)
        if resource["class"] == "built":
            assert (ROOT / resource["generator"]).is_file()
            assert "hash" not in resource
        if resource.get("generated"):
            assert "invented" in resource["description"]
    assert len({resource["path"] for resource in resources().values()}) == len(resources())


def test_what_is_committed_stays_small() -> None:
    shipped = [p for p in DATA.rglob("*") if p.is_file() and DATA / "built" not in p.parents]
    assert sum(path.stat().st_size for path in shipped) < 60e6


def test_defects_are_counted_right() -> None:
    flights, weather, planes, airports = (
        dataset(f"{name}-raw").frame() for name in ("flights", "weather", "planes", "airports")
    )
    departed, arrived = flights.dep_time.notna(), flights.arr_time.notna()
    hours = flights.merge(weather[["origin", "time_hour"]].assign(found=True), how="left")
    makers = planes.manufacturer.value_counts()
    local = ["origin", "year", "month", "day", "hour"]
    counted = {
        "flights-raw": [
            (~departed).sum(),
            (departed & ~arrived).sum(),
            (arrived & flights.arr_delay.isna()).sum(),
            (flights.tailnum.isna() & ~departed).sum(),
            (flights.tailnum.notna() & ~flights.tailnum.isin(planes.tailnum)).sum(),
            (~flights.dest.isin(airports.faa)).sum(),
            hours.found.isna().sum(),
            (flights.dep_time == 2400).sum(),
            (flights.arr_time == 2400).sum(),
            (flights.origin.isin(["EWR", "JFK"]) & (flights.dest == "EGE")).sum(),
            (flights.distance / flights.air_time * 60 > 650).sum(),
            (flights.distance == 17).sum(),
            (_elapsed(flights) < flights.air_time).sum(),
        ],
        "weather-raw": [
            weather.pressure.isna().sum(),
            weather.wind_gust.isna().sum(),
            weather.wind_dir.isna().sum(),
            weather.temp.isna().sum(),
            3 * ((weather.time_hour.max() - weather.time_hour.min()).total_seconds() // 3600 + 1)
            - len(weather),
            weather.duplicated(local, keep=False).sum(),
            (weather.wind_speed > 1000).sum(),
        ],
        "planes-raw": [
            planes.year.isna().sum(),
            planes.speed.isna().sum(),
            makers[["AIRBUS", "AIRBUS INDUSTRIE"]].sum(),
            makers[makers.index.str.startswith("MCDONNELL")].sum(),
            (planes.seats <= 11).sum(),
        ],
        "airports-raw": [
            (airports.lat > 72).sum(),
            (airports.tzone == "Asia/Chongqing").sum(),
            airports.tzone.isna().sum(),
            (airports.tzone == "America/Vancouver").sum(),
            airports.faa.isin(["IDL", "JFK"]).sum(),
            airports.faa.isin(["IKR", "ABQ"]).sum(),
            airports.name.duplicated().sum(),
        ],
    }
    for name, counts in counted.items():
        assert [defect["rows"] for defect in resources()[name]["defects"]] == counts, name


def _elapsed(flights):
    minutes = [flights[c] // 100 * 60 + flights[c] % 100 for c in ("arr_time", "dep_time")]
    return (minutes[0] - minutes[1]) % 1440


# Building


def test_building_is_deterministic(built: Path, tmp_path: Path) -> None:
    process = start(data_folder(tmp_path), *BUILT, hash_seed="2")
    process.communicate()
    for name in BUILT:
        path = resources()[name]["path"]
        assert (built / path).read_bytes() == (tmp_path / path).read_bytes(), name


@pytest.mark.parametrize("name", BUILT)
def test_built_file_is_what_the_catalogue_says(name: str, here: Path) -> None:
    path = here / resources()[name]["path"]
    assert datasets.verify(name) == "ok"
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("name", TABLES)
def test_table_keeps_the_promises_of_its_schema(name: str, here: Path) -> None:
    schema, table = resources()[name]["schema"], dataset(name).arrow()
    assert table.column_names == [field["name"] for field in schema["fields"]]
    for field in schema["fields"]:
        column, rules = table[field["name"]], field.get("constraints", {})
        assert column.type == tables.TYPES[field["type"]]
        assert not (rules.get("required") and column.null_count)
        if "minimum" in rules:
            assert pc.min(column).as_py() >= rules["minimum"]
        if "maximum" in rules:
            assert pc.max(column).as_py() <= rules["maximum"]
        if "enum" in rules:
            assert set(column.unique().drop_null().to_pylist()) <= set(rules["enum"])
        if "pattern" in rules:
            assert pc.all(pc.match_substring_regex(column, f"^({rules['pattern']})$")).as_py()
        if rules.get("unique"):
            assert len(column.unique()) == len(column)
    key = schema["primaryKey"]
    assert table.group_by(key).aggregate([]).num_rows == table.num_rows
    for foreign in schema.get("foreignKeys", []):
        target = foreign["reference"]
        known = dataset(target["resource"]).arrow()[target["fields"][0]]
        assert pc.all(pc.is_in(table[foreign["fields"][0]], known)).as_py()


def test_typed_tables_are_sorted_by_their_keys(here: Path) -> None:
    flights = dataset("flights").arrow()
    order = ["time_hour", "carrier", "flight", "origin"]
    assert flights.equals(flights.sort_by([(column, "ascending") for column in order]))
    assert flights["tailnum"].null_count == 2512


def test_six_forms_hold_the_same_rows(here: Path) -> None:
    flights = dataset("flights").arrow()
    day = flights.filter((pc.field("month") == 11) & (pc.field("day") == 3))
    assert len(DAY) == 6
    for name in DAY:
        assert dataset(name).arrow().equals(day), name
    text = {form: dataset(f"flights-day-{form}").text() for form in ("csv", "jsonl", "xml")}
    # Two cancelled flights without five values each, and one of them without a tail number.
    assert text["csv"].replace("\n", ",").split(",").count("NA") == 11
    assert text["jsonl"].count(": null") == 11
    assert text["xml"].count("<dep_time>") == 900


def test_streams_depend_on_names_only() -> None:
    first = rng("a", "1").integers(1 << 30)
    rng("b", "1")
    assert rng("a", "1").integers(1 << 30) == first
    assert len({int(rng(*key).integers(1 << 30)) for key in ("a1", "a2", "b1", "1a")}) == 4


def test_canonical_text() -> None:
    fields = {"k": "integer", "x": "number", "s": "string", "t": "datetime"}
    schema = {"fields": [{"name": n, "type": t} for n, t in fields.items()], "primaryKey": ["k"]}
    resource = {"schema": schema}
    table = pa.table(
        {
            "t": pa.array([0, None], pa.timestamp("us", "UTC")),
            "s": ["é", None],
            "x": [None, 0.1 + 0.2],
            "k": [2, 1],
        }
    )
    expected = "1\x1f0.300000\x1f\x1f\n2\x1f\x1fé\x1f1970-01-01T00:00:00.000000Z\n"
    assert b"".join(tables.canonical(resource, table)).decode() == expected


def test_two_processes_may_build_the_same_set(tmp_path: Path, monkeypatch) -> None:
    folder = data_folder(tmp_path)
    names = ["delay-messages", "flights-day-orc"]
    for process in [start(folder, *names) for _ in range(2)]:
        output = process.communicate()[0]
        assert process.returncode == 0, output
    use(folder, monkeypatch)
    assert [datasets.verify(name) for name in names] == ["ok", "ok"]
    assert not list((folder / "built").glob("*.part"))


def test_no_space_is_one_sentence_and_leaves_nothing(copy: Path, monkeypatch) -> None:
    def full(resource, out, raw):
        out.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "make", full)
    before = sorted(copy.rglob("*"))
    with pytest.raises(CourseError, match="^There is no space left .* data/built/metar.txt; free"):
        datasets.build("metar")
    assert sorted(copy.rglob("*")) == before


def test_other_result_is_refused(copy: Path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "make", lambda resource, out, raw: out.write_text("other\n"))
    with pytest.raises(CourseError, match="^metar came out different from the catalogue"):
        datasets.build("metar")
    assert not list((copy / "built").glob("*metar*"))


def test_raw_set_is_not_built() -> None:
    with pytest.raises(CourseError, match="not built; restore it with: git checkout data/raw/air"):
        datasets.build("airlines-raw")


# Verifying


def test_damaged_raw_file(copy: Path) -> None:
    spoil(copy / "raw/airlines.csv")
    sentence = (
        "data/raw/airlines.csv is damaged: its hash differs from the one in the catalogue; "
        "restore it with: git checkout data/raw/airlines.csv."
    )
    with pytest.raises(CourseError) as caught:
        dataset("airlines-raw").frame()
    assert str(caught.value) == sentence
    assert datasets.verify("airlines-raw") == "damaged"


@pytest.mark.parametrize("name", ["airlines", "delay-messages", "flights-day-xml"])
def test_damaged_built_file(name: str, copy: Path) -> None:
    path = resources()[name]["path"]
    spoil(copy / path)
    sentence = (
        f"data/{path} is damaged: its hash differs from the one in the catalogue; "
        f"make it again with: ./course data build {name}."
    )
    with pytest.raises(CourseError) as caught:
        dataset(name).arrow()
    assert str(caught.value) == sentence
    assert datasets.verify(name) == "damaged"


def test_file_changed_after_it_was_checked(copy: Path) -> None:
    data = dataset("delay-messages")
    assert data.text()
    spoil(copy / "built/delay-messages.jsonl")
    with pytest.raises(CourseError, match="is damaged"):
        data.text()


def test_missing_files(copy: Path) -> None:
    (copy / "raw/planes.csv").unlink()
    assert datasets.verify("planes-raw") == "missing"
    assert datasets.verify("metar") == "missing"
    with pytest.raises(CourseError, match="^data/raw/planes.csv is missing; restore it with: git"):
        dataset("planes-raw").frame()


def test_second_process_reads_the_stamp_only(here: Path, monkeypatch) -> None:
    def never(resource, path):
        raise AssertionError("hashed again")

    assert datasets.verify("flights-day-csv") == "ok"
    datasets._checked.clear()
    monkeypatch.setattr(tables, "content", never)
    assert dataset("flights-day-csv").path == here / "built/flights-day.csv"


def test_build_of_an_older_catalogue_is_renewed(copy: Path, monkeypatch, capsys) -> None:
    shutil.copyfile(DATA / "raw/airlines.csv", copy / "raw/airlines.csv")
    path = copy / "built/airlines.parquet"
    status = path.stat()
    stamp = copy / "built/.airlines.verified"
    stamp.write_text(f"{status.st_size} {status.st_mtime_ns} sha256:old")
    assert dataset("airlines").path == path
    assert capsys.readouterr().out == "Building data set airlines (16 rows) ...\n"
    assert not stamp.read_text().endswith("old")


# Reading


def test_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(CourseError, match="no data set 'flihgts'; did you mean flights"):
        dataset("flihgts")
    with pytest.raises(CourseError, match="no data set '§'; there are flights-raw, weather-raw"):
        dataset("§")


def test_catalogue_lists_everything() -> None:
    listed = datasets.catalogue()
    assert [data.name for data in listed] == list(resources())
    assert {data.name: data.rows for data in listed}["flights"] == 336_776
    assert all(data.title for data in listed)


@pytest.mark.parametrize("name", ["weather", "airports", "flights-day-orc", "airlines-raw"])
def test_frames_are_independent(name: str, here: Path) -> None:
    changed = dataset(name).frame()
    for column in changed.columns:
        changed.loc[0, column] = changed.loc[1, column]
        changed[column] = changed[column].to_numpy(copy=True)[::-1]
    assert not changed.equals(dataset(name).frame())
    assert dataset(name).frame().equals(dataset(name).arrow().to_pandas())
    assert dataset(name).arrow() is dataset(name).arrow()


def test_frame_has_real_nulls_and_utc(here: Path) -> None:
    frame = dataset("flights").frame()
    assert frame.shape == (336_776, 19)
    assert frame.dep_time.isna().sum() == 8255
    assert str(frame.time_hour.dtype) == "datetime64[us, UTC]"


def test_text_and_table_are_told_apart(here: Path) -> None:
    with pytest.raises(CourseError, match=r"use dataset\('airlines'\).frame\(\)"):
        dataset("airlines").text()
    with pytest.raises(CourseError, match=r"use dataset\('metar'\).text\(\)"):
        dataset("metar").frame()
    assert dataset("flights-raw").text().startswith("year,month,day,dep_time,")


# What is generated


def test_delay_messages(here: Path) -> None:
    messages = [json.loads(line) for line in dataset("delay-messages").text().splitlines()]
    flights = dataset("flights").frame().query("month == 7 and day == 10 and dep_time.notna()")
    real = {f"{f.carrier}{f.flight}": f for f in flights.itertuples()}
    assert {message["flight"] for message in messages} == real.keys()
    assert len(messages) == 883
    for message in messages:
        flight = real[message["flight"]]
        assert (message["tail"], message["from"]) == (flight.tailnum, flight.origin)
        assert message["to"] == flight.dest
        clock = f"2013-07-10T{flight.hour:02d}:{flight.minute:02d}:00-04:00"
        assert message["scheduled"] == clock
        assert ("delay" in message) == (flight.dep_delay > 0)
    delays = [message["delay"] for message in messages if "delay" in message]
    assert sum(d["minutes"] for d in delays) == flights.dep_delay.clip(lower=0).sum()
    kinds = Counter(type(d["causes"]).__name__ if not d["causes"] else "known" for d in delays)
    assert 0.04 < kinds["list"] / len(delays) < 0.08
    assert 0.015 < kinds["NoneType"] / len(delays) < 0.045
    known = [d for d in delays if d["causes"]]
    for delay in known:
        assert sum(cause["minutes"] for cause in delay["causes"]) == delay["minutes"]
        assert all(cause["minutes"] > 0 for cause in delay["causes"])
    causes = [cause for delay in known for cause in delay["causes"]]
    assert {cause["code"] for cause in causes} == {"93", "81", "41", "71", "15"}
    assert any(not cause["note"].isascii() for cause in causes if "note" in cause)
    assert {len(delay["causes"]) for delay in known} == {1, 2, 3}
    extra = Counter(key for message in messages for key in message.keys() & {"gate", "crew"})
    assert extra["gate"] > 20
    assert extra["crew"] > 20


def test_departure_events(here: Path) -> None:
    events = [json.loads(line) for line in dataset("departure-events").text().splitlines()]
    flights = dataset("flights").frame().query("month == 7 and day == 10 and dep_time.notna()")
    once = {event["event"]: {**event, "arrived": ""} for event in events}
    assert len(once) == len(flights) == 883
    assert sum(event["delay"] for event in once.values()) == flights.dep_delay.sum()
    # Repeats say the same, later; nothing arrives before it happens.
    assert all({**event, "arrived": ""} == once[event["event"]] for event in events)
    assert 0.03 < len(events) / len(once) - 1 < 0.06
    assert [event["arrived"] for event in events] == sorted(event["arrived"] for event in events)
    ages = [
        datetime.fromisoformat(e["arrived"]) - datetime.fromisoformat(e["departed"]) for e in events
    ]
    assert min(ages) > timedelta(0)
    assert 0.04 < sum(timedelta(minutes=5) <= a <= timedelta(hours=1) for a in ages) / 924 < 0.10
    assert 4 < sum(a > timedelta(hours=3) for a in ages) < 20


def test_metar_says_what_was_measured(here: Path) -> None:
    reports = dataset("metar").text().splitlines()
    assert len(reports) == dataset("weather").rows
    # 39.02 F, 26.06 F, 10.36 mph from 270 degrees, 1012.0 hPa, 10 miles, at 06Z.
    assert reports[0] == "KEWR 010651Z 27009KT 10SM 04/M03 A2988 RMK AO2 SLP120 T00391033"
    wind = Counter(report.split()[2] for report in reports)
    assert wind["/////KT"] == 4
    assert wind["260911KT"] == 1
    assert sum(n for group, n in wind.items() if "G" in group) == 26_115 - 20_778
    without_direction = sum(n for group, n in wind.items() if group[:3] in ("VRB", "///"))
    assert without_direction == 460
    assert sum("SLPNO" in report for report in reports) == 2729
    assert sum(" 1/16SM " in report for report in reports) == 6


def rows_in(bundle: datasets.Dataset, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file in a zip."""
    return list(csv.DictReader(io.StringIO(bundle.read(name).decode())))


def test_cargo_photos(here: Path) -> None:
    photos = dataset("cargo-photos")
    truth = rows_in(photos, "truth.csv")
    assert [row["file"] for row in truth] + ["truth.csv"] == photos.names()
    kinds = Counter(row["file"].split("/")[0] for row in truth)
    assert kinds == {"ramp": 144, "labels": 16, "copies": 9, "odd": 9}
    for row in truth:
        if row["awb"]:
            assert int(row["awb"][4:11]) % 7 == int(row["awb"][11])
        if row["kind"] != "odd":
            Image.open(io.BytesIO(photos.read(row["file"]))).load()
    turned = Image.open(io.BytesIO(photos.read("labels/04.jpg")))
    assert turned.getexif()[0x0112] == 6
    assert turned.size == (320, 500)


def test_terminal_music(here: Path) -> None:
    music = dataset("terminal-music")
    truth = rows_in(music, "truth.csv")
    assert sorted([row["file"] for row in truth] + ["truth.csv"]) == music.names()
    for row in truth:
        with wave.open(io.BytesIO(music.read(row["file"]))) as file:
            seconds = file.getnframes() / file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        assert seconds == (14 if row["key"] else 4)
        assert 20_000 < np.abs(samples).max() < 32_767, "loud, and not clipped"
        assert bool(row["key"]) == bool(row["bpm"]) != row["file"].startswith("heard")
    assert [row["second"] for row in truth if not row["key"]] == ["3.7", "6.2", "", "8.1"]


def test_apron_video(here: Path) -> None:
    film = dataset("apron-video")
    assert film.names() == ["apron.avi", "truth.csv"]
    truth = rows_in(film, "truth.csv")
    assert {int(row["frame"]) for row in truth} == set(range(240))
    cameras = {row["vehicle"]: row["camera"] for row in truth if row["vehicle"]}
    assert Counter(cameras.values()) == {"1": 7, "2": 2}
    for row in truth:
        if row["vehicle"]:
            left, top, right, bottom = (int(row[c]) for c in ("left", "top", "right", "bottom"))
            assert 0 <= left < right <= 160
            assert 0 <= top < bottom <= 120
    data = film.read("apron.avi")
    at = data.index(b"idx1") + 8
    for n in range(240):  # each entry of the index leads to a photo
        name, _, offset, size = struct.unpack_from("<4sIII", data, at + 16 * n)
        start = data.index(b"movi") + offset
        assert data[start : start + 8] == name + struct.pack("<I", size)
        assert Image.open(io.BytesIO(data[start + 8 : start + 8 + size])).size == (160, 120)


def test_flight_bundle(here: Path) -> None:
    bundle = dataset("flight-bundle")
    rows = partial(rows_in, bundle)
    flights = dataset("flights").frame().query("month == 11 and day == 3 and dep_time.notna()")
    left = {
        f"{f.carrier}{f.flight}-{f.origin}": f.time_hour + timedelta(minutes=f.minute + f.dep_delay)
        for f in flights.itertuples()
    }
    events = {row["event"]: row for row in rows("events.csv")}
    assert len(events) == 80
    assert len({row["flight"] for row in events.values()}) == 40
    for name, row in events.items():
        if row["kind"] == "departure":
            assert left[name] == datetime.fromisoformat(row["utc"])
    truth = {row["item"]: row["event"] for row in rows("truth.csv")}
    assert {*truth.values()} - {""} <= events.keys()
    media = {name for name in bundle.names() if name.endswith((".jpg", ".wav"))}
    assert media == {item for item in truth if "/" in item}
    for name in media:
        assert bundle.read(name)[:3] == (b"RIF" if name.endswith("wav") else b"\xff\xd8\xff")
        side = name.replace(".wav", ".json")
        if name.endswith("wav") and side in bundle.names():
            assert {"device", "lat", "lon"} <= json.loads(bundle.read(side)).keys()
    posted = [json.loads(line)["item"] for line in bundle.read("messages.jsonl").splitlines()]
    sent = [row["item"] for row in rows("positions.csv")]
    assert media | {*posted, *sent} == truth.keys()
    assert bundle.path.stat().st_size < 500_000


def test_a_collection_is_known_by_its_files(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.zip", "same.zip", "other.zip"))
    resource = {"format": "zip"}
    formats.write_zip([("b.txt", b"2"), ("a/a.txt", b"1")], one)
    formats.write_zip([("a/a.txt", b"1"), ("b.txt", b"2")], same)
    formats.write_zip([("a/a.txt", b"12"), ("b.txt", b"")], other)
    assert one.read_bytes() == same.read_bytes()
    assert tables.content(resource, one) == tables.content(resource, same)
    assert tables.content(resource, one)[0] == 2
    assert tables.content(resource, one) != tables.content(resource, other)


def test_files_of_a_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.write_zip([("b.txt", b"2"), ("a/a.txt", b"1")], tmp_path / "some.zip")
    resource = {"name": "some", "class": "raw", "format": "zip", "path": "some.zip"}
    resource["hash"] = f"sha256:{sha256((tmp_path / 'some.zip').read_bytes()).hexdigest()}"
    monkeypatch.setattr(datasets, "resources", lambda: {"some": resource})
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    some = dataset("some")
    assert some.names() == ["a/a.txt", "b.txt"]
    assert some.read("b.txt") == b"2"
    assert (some.unpack(tmp_path / "out") / "a" / "a.txt").read_bytes() == b"1"
    with pytest.raises(CourseError, match=r"no file 'c.txt'; see its names"):
        some.read("c.txt")
    with pytest.raises(CourseError, match=r"no table; use .*names"):
        some.arrow()


def test_one_file_is_no_collection(here: Path) -> None:
    with pytest.raises(CourseError, match="one file and no collection"):
        dataset("metar").names()
    with pytest.raises(CourseError, match=r"no table; use .*text"):
        dataset("metar").arrow()
