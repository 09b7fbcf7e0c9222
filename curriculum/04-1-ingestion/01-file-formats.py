# %% [markdown] minutes=55 datasets=["flights", "flights-day-csv", "flights-day-xml", "flights-day-parquet", "delay-messages", "metar"] systems=[]
# # Sources and file formats
#
# One day of flights reaches you as text: reports, CSV, JSON, XML. You find out what each format forgets, and
# you write the readers that put it right.

# %% [markdown]
# ## You will be able to
#
# - take a number out of free text without being fooled by its neighbours (exercise 1)
# - read a CSV file without letting the reader guess its types, nulls and clock (exercises 2 and 3)
# - turn nested messages into rows without losing any (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python functions, lists and dictionaries | every answer is one |
# | pandas: read a file, pick columns | exercises 2 and 3 |
#
# Run the cells from top to bottom with Shift + Enter. Below each answer stands a check. It says
# *not started*, *not yet* with a reason, or *done*. Run it as often as you like.

# %% role="setup"
import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa

from labkit import dataset, open_lab

lab = open_lab("04-1-ingestion/01-file-formats")
lab

# %% [markdown] topics=["4.1-1"]
# ## Three kinds of sources
#
# Sunday, 3 November 2013. You are on call for the data of an airline group in New York. On Monday
# the delay report is wrong, and three kinds of sources feed it.
#
# | Kind | What it promises | Here |
# |---|---|---|
# | structured | every record has the same fields | the day's flights, a CSV file |
# | semi-structured | records name their own fields, and may differ | delay messages of a day in July, JSON |
# | unstructured | text, sound or pictures; the fields are for you to find | weather reports |
#
# Look at one line of each.

# %%
for name in ("flights-day-csv", "delay-messages", "metar"):
    lines = dataset(name).text().splitlines()
    print(f"{name}, {len(lines)} lines, for example:\n  {lines[1][:98]}\n")

# %% [markdown] role="task" exercise="wind" points=1 topics=["4.1-1"]
# ### Take the wind out of a weather report
#
# A METAR is the weather report of an airport, as text. `19012G20KT` is its wind group: from 190
# degrees, at 12 knots, with gusts (`G`) of 20 knots.
#
# Write `wind_knots(report)`. It returns the mean wind speed in knots as an integer, or `None` if
# the report does not give one. A speed has two or three digits, and other words may stand before
# the group.
#
# | Wind group in the report | Result |
# |---|---|
# | `19012G20KT` | 12 |
# | `VRB03KT` (direction variable) | 3 |
# | `/////KT` (sensor out of order) | `None` |
#
# Why: the crosswind alarm of the ground crew reads this number. A gust in its place closes ramps.


# %% role="answer" exercise="wind"
def wind_knots(report: str) -> int | None:
    """Mean wind speed of a METAR report in knots, None if it is not given."""
    ### BEGIN SOLUTION
    import re

    group = re.search(r" (?:\d{3}|VRB|///)(\d{2,3})(?:G\d{2,3})?KT", report)
    return int(group[1]) if group else None
    ### END SOLUTION


# %% role="check" exercise="wind"
with lab.check("wind") as answer:
    for group, knots in {
        "19012G20KT": 12,
        "VRB03KT": 3,
        "/////KT": None,
        "00000KT": 0,
    }.items():
        report = f"KJFK 101551Z {group} 10SM 26/19 A3012"
        answer.equal(
            answer.call("wind_knots", report),
            knots,
            asked=f"the mean wind speed of {report!r}, None if it gives none",
        )

# %% role="hidden" exercise="wind"
with lab.check("wind", hidden=True) as answer:
    speeds = [*answer.random.sample(range(1, 60), 20), 103, 104]
    for knots in speeds:
        gust = f"G{knots + 11:02d}" if knots % 2 else ""
        # Runway visual range and remarks hold groups that look like wind.
        report = f"KLGA 030951Z 310{knots:02d}{gust}KT 9SM R04R/2600FT 03/M02 A3011 RMK PK WND 32040/17"
        answer.equal(
            answer.call("wind_knots", report),
            knots,
            asked="the mean wind speed of a report with other numbers in it",
        )
    # The wind shear of a remark is no wind group.
    answer.equal(
        answer.call("wind_knots", "KEWR 030951Z 9SM 03/M02 A3011 WS020/24045KT"),
        None,
        asked="None for a report without a wind group",
    )

# %% [markdown] role="hint" exercise="wind"
# What stands directly before `KT` in each of the three groups? Where does the direction end?

# %% [markdown] role="hint" exercise="wind"
# Look up `re.search` and groups in the documentation of Python's `re` module. A gust is optional:
# `(...)?`.

# %% [markdown] role="hint" exercise="wind"
# ```python
# found = re.search(r"(direction)(speed)(gust)?KT", report)
# return int(found[...]) if found else None
# ```


# %% role="right" exercise="wind"
def wind_knots(report):
    for word in report.split():
        if word.endswith("KT"):
            speed = word.removesuffix("KT")[3:].split("G")[0]
            return int(speed) if speed.isdigit() else None
    return None


# %% role="wrong" exercise="wind" misconception="The number before KT is the wind, gust or not" caught="check" says="19012G20KT"
def wind_knots(report):
    import re

    found = re.search(r"(\d\d)KT", report)
    return int(found[1]) if found else None


# %% role="wrong" exercise="wind" misconception="Text has fixed positions" caught="hidden" says="wind speed"
def wind_knots(report):
    speed = report[16:18]
    return int(speed) if speed.isdigit() else None


# %% role="wrong" exercise="wind" misconception="The direction is always a number" caught="check" says="VRB03KT"
def wind_knots(report):
    import re

    found = re.search(r" \d{3}(\d{2,3})(?:G\d+)?KT", report)
    return int(found[1]) if found else None


# %% role="wrong" exercise="wind" misconception="No wind and no measurement are the same" caught="check" says="00000KT"
def wind_knots(report):
    import re

    found = re.search(r" (?:\d{3}|VRB)(\d{2,3})(?:G\d+)?KT", report)
    return (int(found[1]) or None) if found else None


# %% [markdown] topics=["4.1-8"]
# ## What a CSV file forgets
#
# A CSV file (comma-separated values) is text. It stores no types, no null and no encoding. Each
# reader guesses them anew, from the values that happen to be there. Guess the encoding wrong, and
# no error tells you:

# %%
"São Paulo".encode("utf-8").decode("latin-1")

# %% [markdown]
# So state it: UTF-8, unless the sender says otherwise. Types are the next guess.
#
# **Predict:** the clock time `dep_time` is a whole number, such as 517 for 5:17. Five flights of
# the day were cancelled and have none. Which type will pandas choose for the column?

# %%
path = dataset("flights-day-csv").path
guessed = pd.read_csv(path)
guessed[["carrier", "dep_time", "tailnum", "time_hour"]].dtypes

# %% [markdown]
# A float: pandas writes a missing number as NaN, and a column of plain integers cannot hold it. The instant `time_hour`
# stays text. And the file writes `NA` for "unknown", which pandas happens to know.

# %% [markdown] topics=["4.1-8"]
# ## Break it: a charter joins the day
#
# Its carrier is North American Airlines. The airline's code is `NA`. Write its flights into a file, as the sender
# would, and read it.
#
# **Predict:** who flies, by the table that you get?

# %%
CHARTER = """\
year,month,day,dep_time,carrier,flight,tailnum,origin,dest,time_hour
2013,11,3,612,NA,812,N752NA,JFK,SNN,2013-11-03T11:00:00Z
2013,11,3,NA,NA,814,NA,JFK,BGR,2013-11-03T18:00:00Z
"""
pd.read_csv(io.StringIO(CHARTER))[["carrier", "flight", "dep_time", "tailnum"]]

# %% [markdown] role="task" exercise="typed-read" points=3 topics=["4.1-8"]
# ### Read departures with their types
#
# Write `read_departures(path)`. It reads a CSV file like the two above, and returns a table (of
# pandas or Arrow) with just these columns, in any order:
#
# | Column | Type | `NA` in the file means |
# |---|---|---|
# | `carrier`, `origin`, `dest` | text | the text `NA` |
# | `tailnum` | text | unknown: null |
# | `flight` | integer | does not occur |
# | `dep_time` | integer | unknown: null |
# | `time_hour` | timestamp in the zone UTC | does not occur |
#
# Keep every row. A file may have other columns, no unknown value, nothing but unknown values, or
# no rows at all; the types are always these.
#
# Why: a type that depends on the day's values breaks the job on the day when they differ.


# %% role="answer" exercise="typed-read"
def read_departures(path: str) -> pd.DataFrame:
    """Departures of a CSV file, with the types of the table above."""
    ### BEGIN SOLUTION
    frame = pd.read_csv(
        path,
        usecols=[
            "carrier",
            "origin",
            "dest",
            "tailnum",
            "flight",
            "dep_time",
            "time_hour",
        ],
        dtype={
            "carrier": "string",
            "origin": "string",
            "dest": "string",
            "tailnum": "string",
            "flight": "Int64",
            "dep_time": "Int64",
        },
        keep_default_na=False,
        na_values={"tailnum": ["NA"], "dep_time": ["NA"]},
    )
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    return frame
    ### END SOLUTION


# %% role="check" exercise="typed-read"
with lab.check("typed-read") as answer:
    types = {name: "text" for name in ("carrier", "origin", "dest", "tailnum")}
    types |= {"flight": "integer", "dep_time": "integer", "time_hour": "timestamp[UTC]"}
    names = list(types)
    hour = datetime(2013, 11, 3, 11, tzinfo=UTC)
    rows = [
        ("NA", "JFK", "SNN", "N752NA", 812, 612, hour),
        ("NA", "JFK", "BGR", None, 814, None, hour + timedelta(hours=7)),
    ]
    charters = [dict(zip(names, row, strict=True)) for row in rows]
    sent = io.StringIO()
    writer = csv.DictWriter(sent, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(dataset("flights-day-csv").text())))
    for row in charters:
        text = {name: "NA" if value is None else value for name, value in row.items()}
        text["time_hour"] = f"{row['time_hour']:%Y-%m-%dT%H:%M:%SZ}"
        writer.writerow(text)
    got = answer.call("read_departures", answer.put("day.csv", sent.getvalue()))
    answer.schema(got, types, asked="the columns and types of the task")
    day = dataset("flights-day-parquet").arrow().select(names).to_pylist()
    answer.same_rows(
        got,
        [*day, *charters],
        asked="every flight of the day, and the two charters of the carrier NA",
        key=["flight", "origin", "dest", "time_hour"],
    )

# %% role="hidden" exercise="typed-read"
with lab.check("typed-read", hidden=True) as answer:
    types = {name: "text" for name in ("carrier", "origin", "dest", "tailnum")}
    types |= {"flight": "integer", "dep_time": "integer", "time_hour": "timestamp[UTC]"}
    start = datetime(2013, 3, 10, 5, tzinfo=UTC)
    # A day with some unknown times, one with none known, one with all, and one without flights.
    for known, count in ((0.5, 40), (0.0, 40), (1.0, 40), (1.0, 0)):
        rows = [
            {
                "carrier": answer.random.choice(["NA", "UA", "9E"]),
                "flight": number,
                "tailnum": answer.random.choice([f"N{number}Å", None]),
                "origin": answer.random.choice(["JFK", "NA"]),
                "dest": '"quoted", Ñuñoa',
                "dep_time": number if answer.random.random() < known else None,
                "time_hour": start + timedelta(hours=number),
            }
            for number in answer.random.sample(range(1, 2400), count)
        ]
        lines = ["note,carrier,flight,tailnum,origin,dest,dep_time,time_hour"]
        for row in rows:
            tail, left = row["tailnum"] or "NA", row["dep_time"] or "NA"
            lines.append(
                f'x,{row["carrier"]},{row["flight"]},{tail},{row["origin"]},"""quoted"", Ñuñoa",'
                f"{left},{row['time_hour']:%Y-%m-%dT%H:%M:%SZ}"
            )
        got = answer.call(
            "read_departures", answer.put("day.csv", "\n".join(lines) + "\n")
        )
        answer.schema(got, types, asked="the same types, whatever values a day has")
        if rows:
            answer.same_rows(
                got, rows, asked="every row with its values", key=["flight"]
            )

# %% [markdown] role="hint" exercise="typed-read"
# Who decides the type of each column in your answer: you, or the values of the day? And is `NA`
# the same thing in every column?

# %% [markdown] role="hint" exercise="typed-read"
# In the documentation of `pandas.read_csv`, read `dtype`, `keep_default_na` and `na_values` (it
# takes a dictionary). The integer type that knows null is called `Int64`. For the clock, see
# `pandas.to_datetime` and its `utc`.

# %% [markdown] role="hint" exercise="typed-read"
# ```python
# frame = pd.read_csv(
#     path,
#     usecols=[...],
#     dtype={"carrier": "string", "dep_time": ..., ...},
#     keep_default_na=...,
#     na_values={"tailnum": [...], ...},
# )
# frame["time_hour"] = ...
# ```


# %% role="right" exercise="typed-read"
def read_departures(path):
    import duckdb

    return (
        duckdb.sql(f"""
        SELECT dest, origin, carrier, CAST(flight AS INTEGER) AS flight,
               NULLIF(tailnum, 'NA') AS tailnum,
               CAST(NULLIF(dep_time, 'NA') AS INTEGER) AS dep_time,
               CAST(time_hour AS TIMESTAMPTZ) AS time_hour
        FROM read_csv('{path}', all_varchar = true, header = true, delim = ',', quote = '"', escape = '"')
    """)
        .df()
        .astype({"flight": "Int32", "dep_time": "Int32"})
        .assign(
            time_hour=lambda rows: pd.to_datetime(rows["time_hour"], utc=True),
            **{
                c: (lambda rows, c=c: rows[c].astype("string"))
                for c in ("dest", "origin", "carrier", "tailnum")
            },
        )
    )


# %% role="right" exercise="typed-read"
def read_departures(path):
    names = ["time_hour", "carrier", "origin", "dest", "tailnum", "flight", "dep_time"]
    with open(path, encoding="utf-8", newline="") as file:
        rows = [{name: row[name] for name in names} for row in csv.DictReader(file)]
    for row in rows:
        row["flight"] = int(row["flight"])
        row["dep_time"] = None if row["dep_time"] == "NA" else int(row["dep_time"])
        row["tailnum"] = None if row["tailnum"] == "NA" else row["tailnum"]
        row["time_hour"] = datetime.fromisoformat(row["time_hour"])
    text, number = pa.string(), pa.int32()
    kinds = [pa.timestamp("us", "UTC"), text, text, text, text, number, number]
    return pa.Table.from_pylist(
        rows, schema=pa.schema(list(zip(names, kinds, strict=True)))
    )


# %% [markdown] role="equivalent" exercise="typed-read" reason="None is as false as False"
# - keep_default_na=False,
# + keep_default_na=None,


# %% role="wrong" exercise="typed-read" misconception="The reader's guess is good enough" caught="check" says="dep_time"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    return pd.read_csv(path, parse_dates=["time_hour"])[names]


# %% role="wrong" exercise="typed-read" misconception="NA means unknown in every column" caught="check" says="column carrier"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    frame = pd.read_csv(path, usecols=names, dtype=dict.fromkeys(names, "string"))
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    return frame.astype({"flight": "Int64", "dep_time": "Int64"})


# %% role="wrong" exercise="typed-read" misconception="A row with an unknown value is a bad row" caught="check" says="missing, all of them with an empty dep_time"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    frame = pd.read_csv(
        path, usecols=names, keep_default_na=False, dtype=dict.fromkeys(names, "string")
    )
    frame = frame[frame["dep_time"] != "NA"]
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    return frame.astype({"flight": "Int64", "dep_time": "Int64"})


# %% role="wrong" exercise="typed-read" misconception="Zero is as good as unknown" caught="check" says="column dep_time holds 0"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    frame = pd.read_csv(
        path,
        usecols=names,
        keep_default_na=False,
        na_values={"tailnum": ["NA"], "dep_time": ["NA"]},
        dtype=dict.fromkeys(names, "string"),
    )
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    return frame.fillna({"dep_time": "0"}).astype(
        {"flight": "Int64", "dep_time": "Int64"}
    )


# %% role="wrong" exercise="typed-read" misconception="An instant without its zone is enough" caught="check" says="timestamp without zone"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    frame = pd.read_csv(
        path,
        usecols=names,
        keep_default_na=False,
        na_values={"tailnum": ["NA"], "dep_time": ["NA"]},
        dtype=dict.fromkeys(names, "string"),
    )
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_localize(
        None
    )
    return frame.astype({"flight": "Int64", "dep_time": "Int64"})


# %% role="wrong" exercise="typed-read" misconception="What a sample shows, every day shows" caught="hidden" says="column dep_time"
def read_departures(path):
    names = ["carrier", "origin", "dest", "tailnum", "flight", "dep_time", "time_hour"]
    frame = pd.read_csv(
        path,
        usecols=names,
        keep_default_na=False,
        na_values={"tailnum": ["NA"], "dep_time": ["NA"]},
        parse_dates=["time_hour"],
    )
    if frame["dep_time"].notna().any():
        frame["dep_time"] = frame["dep_time"].astype("Int64")
    return frame


# %% [markdown] topics=["4.1-8"]
# ## Clocks and zones
#
# Airlines print local time. `sched_dep_time` 1405 means 14:05 on the clock of New York. A CSV file
# does not say so, and not every day
# has 24 hours: at 2 o'clock that Sunday the
# clocks went back by one hour.
#
# **Predict:** two flights leave at 6:00 in the morning, one on Saturday, one on Sunday. How many
# hours lie between them?

# %%
saturday, sunday = (
    pd.Timestamp(f"2013-11-0{day} 06:00", tz="America/New_York") for day in (2, 3)
)
print(
    "Saturday",
    saturday,
    "| Sunday",
    sunday,
    "| hours between",
    (sunday - saturday) / pd.Timedelta("1h"),
)

# %% [markdown] role="task" exercise="local-to-utc" points=2 topics=["4.1-8"]
# ### Put local times on one clock
#
# Write `scheduled_utc(flights)`. It takes a pandas DataFrame with the text column `carrier` and
# the integer columns `flight`, `year`, `month`, `day` and `sched_dep_time` (local time in New York,
# hours and minutes as one number: 605 is 6:05).
#
# It returns a table with `carrier`, `flight` and `scheduled`, a timestamp in the zone UTC, one
# row for each row given. For example:
#
# | year | month | day | sched_dep_time | scheduled |
# |---|---|---|---|---|
# | 2013 | 7 | 1 | 605 | 2013-07-01 10:05 UTC |
# | 2013 | 12 | 1 | 605 | 2013-12-01 11:05 UTC |
#
# Why: an hour's error in the keys of a join loses the weather of every flight, twice a year.


# %% role="answer" exercise="local-to-utc"
def scheduled_utc(flights: pd.DataFrame) -> pd.DataFrame:
    """Scheduled departures as instants in UTC."""
    ### BEGIN SOLUTION
    parts = flights[["year", "month", "day"]].assign(
        hour=flights["sched_dep_time"] // 100, minute=flights["sched_dep_time"] % 100
    )
    local = pd.to_datetime(parts).dt.tz_localize("America/New_York")
    return flights[["carrier", "flight"]].assign(scheduled=local.dt.tz_convert("UTC"))
    ### END SOLUTION


# %% role="check" exercise="local-to-utc"
with lab.check("local-to-utc") as answer:
    flights = dataset("flights").frame()
    names = ["carrier", "flight", "year", "month", "day", "sched_dep_time"]
    for number in (2, 3):
        day = flights[(flights["month"] == 11) & (flights["day"] == number)]
        got = answer.call("scheduled_utc", day[names].reset_index(drop=True))
        # The published hour in UTC and the minutes of the schedule are the truth.
        minutes = pd.to_timedelta(day["sched_dep_time"] % 100, unit="min")
        answer.same_rows(
            got,
            day[["carrier", "flight"]].assign(scheduled=day["time_hour"] + minutes),
            asked=f"the instant of each flight of {number} November",
            key=["carrier", "flight"],
        )

# %% role="hidden" exercise="local-to-utc"
with lab.check("local-to-utc", hidden=True) as answer:
    flights = dataset("flights").frame()
    year = flights.iloc[sorted(answer.random.sample(range(len(flights)), 3000))]
    names = ["carrier", "flight", "year", "month", "day", "sched_dep_time"]
    truth = year["time_hour"] + pd.to_timedelta(
        year["sched_dep_time"] % 100, unit="min"
    )
    answer.same_rows(
        answer.call("scheduled_utc", year[names].reset_index(drop=True)),
        year[["carrier", "flight"]].assign(scheduled=truth),
        asked="the instants of flights of the whole year",
    )

# %% [markdown] role="hint" exercise="local-to-utc"
# How far is New York from UTC on 1 July, and how far on 1 December? Who knows the dates between?

# %% [markdown] role="hint" exercise="local-to-utc"
# Build a clock time first: `pandas.to_datetime` accepts a frame with the columns year, month, day,
# hour, minute. Then read about `Series.dt.tz_localize` and `Series.dt.tz_convert`, and which of
# the two changes the clock.

# %% [markdown] role="hint" exercise="local-to-utc"
# ```python
# parts = flights[["year", "month", "day"]].assign(hour=..., minute=...)
# local = pd.to_datetime(parts).dt. ...
# return flights[["carrier", "flight"]].assign(scheduled=local.dt. ...)
# ```


# %% role="right" exercise="local-to-utc"
def scheduled_utc(flights):
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    rows = []
    for f in flights.to_dict("records"):
        hour, minute = divmod(f["sched_dep_time"], 100)
        local = datetime(f["year"], f["month"], f["day"], hour, minute, tzinfo=zone)
        rows.append(
            {
                "scheduled": local.astimezone(UTC),
                "carrier": f["carrier"],
                "flight": f["flight"],
            }
        )
    return pd.DataFrame(rows)


# %% [markdown] role="equivalent" exercise="local-to-utc" reason="no clock time has hour + minute of 99 or more"
# - hour=flights["sched_dep_time"] // 100, minute=flights["sched_dep_time"] % 100
# + hour=flights["sched_dep_time"] // (99), minute=flights["sched_dep_time"] % 100


# %% role="wrong" exercise="local-to-utc" misconception="New York is five hours behind UTC" caught="check" says="column scheduled holds"
def scheduled_utc(flights):
    parts = flights[["year", "month", "day"]].assign(
        hour=flights["sched_dep_time"] // 100, minute=flights["sched_dep_time"] % 100
    )
    local = pd.to_datetime(parts) + pd.Timedelta("5h")
    return flights[["carrier", "flight"]].assign(scheduled=local.dt.tz_localize("UTC"))


# %% role="wrong" exercise="local-to-utc" misconception="Naming the zone UTC makes it UTC" caught="check" says="column scheduled holds"
def scheduled_utc(flights):
    parts = flights[["year", "month", "day"]].assign(
        hour=flights["sched_dep_time"] // 100, minute=flights["sched_dep_time"] % 100
    )
    local = pd.to_datetime(parts).dt.tz_localize("UTC")
    return flights[["carrier", "flight"]].assign(scheduled=local)


# %% role="wrong" exercise="local-to-utc" misconception="The clocks change on the first of November" caught="hidden" says="whole year"
def scheduled_utc(flights):
    parts = flights[["year", "month", "day"]].assign(
        hour=flights["sched_dep_time"] // 100, minute=flights["sched_dep_time"] % 100
    )
    winter = (
        (flights["month"] < 4)
        | (flights["month"] > 11)
        | ((flights["month"] == 11) & (flights["day"] > 2))
    )
    local = pd.to_datetime(parts) + pd.to_timedelta(
        winter.map({True: 5, False: 4}), unit="h"
    )
    return flights[["carrier", "flight"]].assign(scheduled=local.dt.tz_localize("UTC"))


# %% role="wrong" exercise="local-to-utc" misconception="605 is six hours and a bit" caught="check" says="column scheduled holds"
def scheduled_utc(flights):
    parts = flights[["year", "month", "day"]].assign(
        hour=flights["sched_dep_time"] // 100
    )
    local = (
        pd.to_datetime(parts).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    )
    return flights[["carrier", "flight"]].assign(scheduled=local)


# %% [markdown] topics=["4.1-1", "4.1-8"]
# ## Nested data
#
# JSON and XML (extensible markup language) hold trees: a delay has a list of causes. They also
# know three ways to say "nothing", and a program must treat them apart.
#
# | In a delay message | Meaning |
# |---|---|
# | no `delay` at all | the flight left on time |
# | `"causes": null` | late; nobody has looked for the cause |
# | `"causes": []` | late; looked, and found no cause |
#
# An XML file says the same with elements. Its names live in a namespace, which you must state in
# every query; without it you find nothing, and no error tells you.

# %%
from lxml import etree

root = etree.parse(dataset("flights-day-xml").path).getroot()
space = {"f": etree.QName(root).namespace}
print(
    "without namespace:",
    len(root.findall("flight")),
    "| with:",
    len(root.findall("f:flight", space)),
)
messages = [json.loads(line) for line in dataset("delay-messages").text().splitlines()]
late = next(
    m for m in messages if "delay" in m and len(m["delay"]["causes"] or []) == 2
)
print(json.dumps(late, indent=1, ensure_ascii=False))

# %% [markdown] role="task" exercise="flatten" points=3 topics=["4.1-1", "4.1-8"]
# ### Make rows of messages
#
# Write `delay_causes(lines)`. It takes the text lines of the delay messages and returns a list of
# dictionaries with `flight`, `code` and `minutes`, in any order:
#
# - one row for each cause of a late flight;
# - one row with `code` `None` and all minutes of the delay, for a late flight whose causes are `null`
#   or `[]`;
# - nothing for a flight that left on time.
#
# So the minutes of the rows add up to the minutes of the delays. For example, `{"flight": "UA1",
# "delay": {"minutes": 9, "causes": []}}` gives `{"flight": "UA1", "code": None, "minutes": 9}`.
#
# Why: a report of causes that loses the unknown ones makes the airline look better than it is.


# %% role="answer" exercise="flatten"
def delay_causes(lines: list[str]) -> list[dict]:
    """One row for each cause of delay; minutes without a cause keep a row of their own."""
    ### BEGIN SOLUTION
    rows = []
    for message in map(json.loads, lines):
        delay = message.get("delay")
        if delay is None:
            continue
        causes = delay["causes"] or [{"code": None, "minutes": delay["minutes"]}]
        for cause in causes:
            rows.append(
                {
                    "flight": message["flight"],
                    "code": cause["code"],
                    "minutes": cause["minutes"],
                }
            )
    return rows
    ### END SOLUTION


# %% role="check" exercise="flatten"
with lab.check("flatten") as answer:
    small = [
        '{"flight": "UA1", "delay": {"minutes": 9, "causes": []}}',
        '{"flight": "B62"}',
        '{"flight": "DL3", "delay": {"minutes": 7, "causes": [{"code": "93", "minutes": 5},'
        ' {"code": "81", "minutes": 2}]}}',
        '{"flight": "AA4", "delay": {"minutes": 30, "causes": null}}',
    ]
    rows = [("UA1", None, 9), ("DL3", "93", 5), ("DL3", "81", 2), ("AA4", None, 30)]
    got = answer.call("delay_causes", small)
    answer.same_rows(
        got,
        [dict(zip(("flight", "code", "minutes"), row, strict=True)) for row in rows],
        asked=f"the rows of {small}",
        key=["flight", "code"],
    )
    lines = dataset("delay-messages").text().splitlines()
    got = answer.call("delay_causes", lines)
    asked = sum(
        json.loads(line).get("delay", {"minutes": 0})["minutes"] for line in lines
    )
    total = sum(row["minutes"] for row in got)
    answer.true(
        total == asked,
        asked=f"rows whose minutes add up to the {asked} minutes of delay of the day",
        found=f"rows that add up to {total} minutes",
    )

# %% role="hidden" exercise="flatten"
with lab.check("flatten", hidden=True) as answer:
    lines, rows = [], []
    for number in range(200):
        flight = f"Ü{number}"
        causes = [
            {
                "minutes": answer.random.randint(1, 60),
                "code": answer.random.choice(["93", "41", "71"]),
            }
            for _ in range(answer.random.randint(0, 3))
        ]
        minutes = sum(cause["minutes"] for cause in causes) or answer.random.randint(
            1, 60
        )
        delay = {
            "minutes": minutes,
            "causes": causes or answer.random.choice([[], None]),
        }
        message = {"crew": {"captain": "Đ"}, "flight": flight}
        if answer.random.random() < 0.7:
            message["delay"] = delay
            known = [(flight, cause["code"], cause["minutes"]) for cause in causes]
            rows += known or [(flight, None, minutes)]
        lines.append(json.dumps(message, ensure_ascii=False))
    answer.same_rows(
        answer.call("delay_causes", lines),
        [dict(zip(("flight", "code", "minutes"), row, strict=True)) for row in rows],
        asked="the rows of another day's messages",
    )
    answer.equal(
        answer.call("delay_causes", ['{"flight": "UA1"}']),
        [],
        asked="an empty list for a day on which every flight leaves on time",
    )

# %% [markdown] role="hint" exercise="flatten"
# How many rows should a late flight with an empty list of causes have? How many does a loop over
# an empty list give?

# %% [markdown] role="hint" exercise="flatten"
# The table above names three ways to say nothing. Read about `dict.get`, and think what `or` does
# with `None` and with `[]`.

# %% [markdown] role="hint" exercise="flatten"
# ```python
# for message in map(json.loads, lines):
#     delay = message.get("delay")
#     if delay is None:
#         continue
#     for cause in delay["causes"] or [...]:
#         rows.append({"flight": ..., "code": ..., "minutes": ...})
# ```


# %% role="right" exercise="flatten"
def delay_causes(lines):
    frame = pd.DataFrame([json.loads(line) for line in lines])
    if "delay" not in frame:
        return []
    late = frame[frame["delay"].notna()]
    rows = pd.DataFrame(
        {
            "flight": late["flight"],
            "cause": late["delay"].map(
                lambda delay: delay["causes"] or [{"minutes": delay["minutes"]}]
            ),
        }
    ).explode("cause")
    return [
        {"minutes": cause["minutes"], "code": cause.get("code"), "flight": flight}
        for flight, cause in zip(rows["flight"], rows["cause"], strict=True)
    ]


# %% role="wrong" exercise="flatten" misconception="A message has at most what the example shows" caught="check" says="add up"
def delay_causes(lines):
    rows = []
    for message in map(json.loads, lines):
        if delay := message.get("delay"):
            nothing = [{"code": None, "minutes": delay["minutes"]}]
            for cause in (delay["causes"] or nothing)[:2]:
                rows.append({"flight": message["flight"], **cause})
    return rows


# %% role="wrong" exercise="flatten" misconception="No rows are no list" caught="hidden" says="an empty list"
def delay_causes(lines):
    rows = []
    for message in map(json.loads, lines):
        if delay := message.get("delay"):
            nothing = [{"code": None, "minutes": delay["minutes"]}]
            for cause in delay["causes"] or nothing:
                rows.append({"flight": message["flight"], **cause})
    return rows or None


# %% role="wrong" exercise="flatten" misconception="A delay without a cause has no row" caught="check" says="missing"
def delay_causes(lines):
    rows = []
    for message in map(json.loads, lines):
        for cause in message.get("delay", {}).get("causes") or []:
            rows.append(
                {
                    "flight": message["flight"],
                    "code": cause["code"],
                    "minutes": cause["minutes"],
                }
            )
    return rows


# %% role="wrong" exercise="flatten" misconception="Each cause carries the whole delay" caught="check" says="column minutes"
def delay_causes(lines):
    rows = []
    for message in map(json.loads, lines):
        if "delay" in message:
            for cause in message["delay"]["causes"] or [{"code": None}]:
                minutes = message["delay"]["minutes"]
                rows.append(
                    {
                        "flight": message["flight"],
                        "code": cause["code"],
                        "minutes": minutes,
                    }
                )
    return rows


# %% role="wrong" exercise="flatten" misconception="Null and an empty list never both occur" caught="check" says="TypeError"
def delay_causes(lines):
    rows = []
    for message in map(json.loads, lines):
        if "delay" in message:
            delay = message["delay"]
            if delay["causes"] == []:
                delay["causes"] = [{"code": None, "minutes": delay["minutes"]}]
            for cause in delay["causes"]:
                rows.append(
                    {
                        "flight": message["flight"],
                        "code": cause["code"],
                        "minutes": cause["minutes"],
                    }
                )
    return rows


# %% role="wrong" exercise="flatten" misconception="The same cause twice is a duplicate" caught="hidden" says="missing"
def delay_causes(lines):
    rows = {}
    for message in map(json.loads, lines):
        delay = message.get("delay")
        if delay:
            for cause in delay["causes"] or [
                {"code": None, "minutes": delay["minutes"]}
            ]:
                row = {
                    "flight": message["flight"],
                    "code": cause["code"],
                    "minutes": cause["minutes"],
                }
                rows.setdefault((row["flight"], row["code"]), row)
    return list(rows.values())


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | take a number out of text | match what surrounds it, not its position |
# | read a CSV file | you state types, nulls and the zone; the reader never guesses |
# | put clocks on one time | a local time needs its zone, and its day |
# | flatten nested messages | absent, null and empty are three things |
#
# **New words.** *Structured*: every record has the same fields. *Semi-structured*: records name their own fields.
# *Unstructured*: the fields are for you to find.
#
# **Read on.** Y. Shafranovich, RFC 4180, on CSV (2005). T. Bray, RFC 8259, on JSON (2017).

# %%
lab.close()
