# %% [markdown] minutes=60 datasets=["weather", "flights"] systems=["questdb"] layers=["media"]
# # Time series: gaps, a database, forecasts, faults
#
# A chart draws a straight line over five hours without data, and a forecasting model costs a month and does no better
# than "same as last week". You keep holes visible, store readings once, and score models and alarms honestly.

# %% [markdown]
# ## You will be able to
#
# - put readings on a regular grid, and say what was filled (exercise 1)
# - compute daily values where a day has 23 or 25 hours (exercise 2)
# - join events with the last reading before them, in a time-series database (exercise 3)
# - write readings that arrive twice, or corrected (exercise 4)
# - test a forecast as it would have run (exercise 5)
# - find a sensor's faults, and count false alarms (exercise 6)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | pandas: series, `resample` or `groupby` | most answers are short with it |
# | SQL: `SELECT … JOIN` | exercises 3 and 4 |
#
# Flights and hourly weather are real (New York, 2013). The sensor faults in the last section are invented and labelled.

# %% role="setup"
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, groupby, pairwise
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import requests

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("07-2-multimodal/08-time-series")
questdb = service("questdb")
db = questdb.client()
lab

# %%
from statsmodels.tsa.holtwinters import ExponentialSmoothing

HOUR = timedelta(hours=1)
NUMBERS = count(20)
WEATHER = (
    dataset("weather")
    .arrow()
    .to_pandas()[["origin", "time_hour", "temp"]]
    .rename(columns={"time_hour": "at"})
    .sort_values(["at", "origin"])
)
JFK = WEATHER[WEATHER["origin"] == "JFK"].set_index("at")["temp"]
print(len(JFK), "hourly readings at JFK from", JFK.index[0], "to", JFK.index[-1])

# %% [markdown] topics=["7.2-2.4", "7.2-9"]
# ## The chart that drew over a hole
#
# A *time series* is a sequence of values, each with its time. Most tools want a *regular* one: a value for each step.
# Real sensors skip steps, so a row that is missing is not `NaN`; it is nothing.
#
# In the evening of 25 October JFK's station was silent for five hours, from 00:00 to 04:00 UTC on the 26th. pandas has `interpolate(limit=2)`, which sounds as if
# only holes of up to two hours were filled.
#
# **Predict:** what does it do with a hole of five?

# %%
night = JFK["2013-10-25 22:00":"2013-10-26 06:00"]
grid = night.asfreq("h")
shown = pd.DataFrame({"reading": grid, "filled": grid.interpolate(limit=2)}).round(1)
print(f"{len(night)} rows; on the grid of UTC hours, filled with limit=2:")
print(shown.rename(index=lambda at: f"{at:%H:%M}").to_string(index_names=False))

# %% [markdown]
# It fills the first two hours of the hole: two invented readings that look measured. Without the grid it would be worse: a chart joins
# 23:00 and 05:00 with a line, and a "mean of the last three rows" spans seven hours.

# %% [markdown] role="task" exercise="regular" points=3 topics=["7.2-9", "7.2-2.4"]
# ### Every hour, once
#
# Write `regular(readings, limit)`. A reading is a dictionary with `at` (a datetime in UTC, at any second) and `temp` (a
# number; `None` and `NaN` count as no reading). They come in any order, and at least one has a temperature.
#
# Return one dictionary for each hour, in order, from the first to the last one that has a temperature: `at` (the start of the
# hour), `temp` (not rounded) and `filled`.
#
# - An hour's `temp` is that of its last reading by time.
# - A hole of at most `limit` hours lies on a straight line between its neighbours, with `filled` true.
# - A longer hole stays: `temp` is `None` (or `NaN`) in all of its hours, `filled` is false.
#
# Example: 10° at 04:51 and 16° at 07:51, with `limit` 2, give 10, 12, 14 and 16, the two in the middle filled. With `limit` 1
# they give 10, `None`, `None`, 16.
#
# Why: a value that nobody measured must be recognisable for ever.


# %% role="answer" exercise="regular"
def regular(readings: list[dict], limit: int) -> list[dict]:
    """One row for each hour, with short holes filled."""
    ### BEGIN SOLUTION
    frame = pd.DataFrame(readings).dropna().sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.interpolate())
    return (
        pd.DataFrame({"temp": temps, "filled": filled}).reset_index().to_dict("records")
    )
    ### END SOLUTION


# %% role="check" exercise="regular"
with lab.check("regular") as answer:
    for text, limit, expected in [
        ("04:51 10, 07:51 16", 2, "10 12f 14f 16"),
        ("04:51 10, 07:51 16", 1, "10 - - 16"),
        (
            "09:10 4, 05:50 3, 05:20 1, 06:30 -, 07:00 2, 07:30 -, 08:05 nan",
            1,
            "3 2.5f 2 3f 4",
        ),
        ("00:10 1, 01:10 2, 06:10 7, 07:05 8, 09:00 6", 3, "1 2 - - - - 7 8 7f 6"),
        ("10:00:30 0, 13:59:59 1", 2, "0 0.333333333f 0.666666667f 1"),
        ("23:59 5, 22:00 -, 21:00 nan", 9, "5"),
    ]:
        readings = [
            {
                "at": datetime.fromisoformat(f"2013-10-26T{clock}Z"),
                "temp": None if value == "-" else float(value),
            }
            for clock, value in map(str.split, text.split(", "))
        ]
        first = min(r["at"] for r in readings if not pd.isna(r["temp"]))
        first = first.replace(minute=0, second=0)
        got = answer.call("regular", readings, limit)
        answer.same_rows(
            got,
            [
                {
                    "at": first + n * timedelta(hours=1),
                    "temp": None if value == "-" else float(value.strip("f")),
                    "filled": value.endswith("f"),
                }
                for n, value in enumerate(expected.split())
            ],
            key=["at"],
            asked=f"the hours of these readings, with holes of at most {limit} hours filled: {text}",
        )
        order = list(got["at"]) if hasattr(got, "columns") else [r["at"] for r in got]
        answer.true(
            order == sorted(order),
            asked=f"the hours in order, of these readings: {text}",
            found="hours out of order",
        )

# %% role="hidden" exercise="regular"
with lab.check("regular", hidden=True) as answer:
    draw = answer.random
    start = datetime(2013, 12, 31, 14, tzinfo=UTC)
    for limit in (0, 2):
        values, readings, expected = [], [], []
        for hole in (1, 2, 3, limit, 2):
            values += [draw.randrange(20), *[None] * hole]
        values.append(draw.randrange(20))
        for n, value in enumerate(values):
            at = start + timedelta(hours=n, minutes=draw.randrange(30, 60))
            if value is not None:
                early = at - timedelta(minutes=draw.randrange(1, 30))
                readings += [{"at": at, "temp": value}, {"at": early, "temp": -40}]
            elif draw.random() < 0.5:
                readings.append({"at": at, "temp": None})
        known = [n for n, value in enumerate(values) if value is not None]
        for n, value in enumerate(values):
            left = max(k for k in known if k <= n)
            right = min(k for k in known if k >= n)
            filled = value is None and right - left - 1 <= limit
            if filled:
                value = values[left] + (values[right] - values[left]) * (n - left) / (
                    right - left
                )
            expected.append(
                {"at": start + timedelta(hours=n), "temp": value, "filled": filled}
            )
        draw.shuffle(readings)
        answer.same_rows(
            answer.call("regular", readings, limit),
            expected,
            key=["at"],
            asked=f"the hours around a turn of the year, with holes of at most {limit} hours filled",
        )

# %% [markdown] role="hint" exercise="regular"
# How long is the hole to which a missing hour belongs? Which of the two steps, the grid or the filling, needs to know?

# %% [markdown] role="hint" exercise="regular"
# `asfreq("h")` makes the grid. `hole.ne(hole.shift()).cumsum()` numbers the runs of equal values; `groupby` with that number and
# `transform("sum")` gives each hour the length of its hole. `where` keeps what fits a condition.

# %% [markdown] role="hint" exercise="regular"
# ```python
# frame = pd.DataFrame(readings).dropna().sort_values("at")
# frame["at"] = frame["at"].dt.floor("h")
# hourly = frame.groupby("at")["temp"].last().asfreq("h")
# hole = hourly.isna()
# length = ...
# filled = hole & ...
# temps = hourly.where(..., hourly.interpolate())
# return pd.DataFrame({"temp": temps, ...}).reset_index().to_dict("records")
# ```


# %% role="right" exercise="regular"
def regular(readings, limit):
    known = {}
    for reading in sorted(readings, key=lambda r: r["at"]):
        if not pd.isna(reading["temp"]):
            known[reading["at"].replace(minute=0, second=0, microsecond=0)] = reading[
                "temp"
            ]
    hours = sorted(known)
    rows = [{"at": hours[0], "temp": known[hours[0]], "filled": False}]
    for left, right in pairwise(hours):
        steps = (right - left) // HOUR
        for n in range(1, steps):
            value = known[left] + (known[right] - known[left]) * n / steps
            short = steps - 1 <= limit
            rows.append(
                {
                    "at": left + n * HOUR,
                    "temp": value if short else None,
                    "filled": short,
                }
            )
        rows.append({"at": right, "temp": known[right], "filled": False})
    return rows


# %% [markdown] role="equivalent" exercise="regular" reason="A table is as good as a list of rows"
# - return (
# - pd.DataFrame({"temp": temps, "filled": filled}).reset_index().to_dict("records")
# + return pd.DataFrame({"temp": temps, "filled": filled}).reset_index()
# - )


# %% role="wrong" exercise="regular" misconception="interpolate(limit=n) leaves longer holes alone" caught="check" says="at most 1 hours"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna(subset=["temp"]).sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    temps = hourly.interpolate(limit=limit) if limit else hourly
    return [
        {
            "at": at,
            "temp": None if pd.isna(temp) else temp,
            "filled": bool(hole and not pd.isna(temp)),
        }
        for at, temp, hole in zip(
            temps.index.to_pydatetime(), temps, hourly.isna(), strict=True
        )
    ]


# %% role="wrong" exercise="regular" misconception="The last value holds until there is a new one" caught="check" says="column temp holds 10"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna(subset=["temp"]).sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.ffill())
    return [
        {"at": at, "temp": None if pd.isna(temp) else temp, "filled": bool(was)}
        for at, temp, was in zip(
            temps.index.to_pydatetime(), temps, filled, strict=True
        )
    ]


# %% role="wrong" exercise="regular" misconception="What is missing is a row with an empty value" caught="check" says="missing"
def regular(readings, limit):
    frame = pd.DataFrame(readings).sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last()
    temps = hourly.interpolate(limit=limit) if limit else hourly
    return [
        {"at": at, "temp": None if pd.isna(temp) else temp, "filled": bool(hole)}
        for at, temp, hole in zip(
            temps.index.to_pydatetime(), temps, hourly.isna(), strict=True
        )
    ]


# %% role="wrong" exercise="regular" misconception="The value of an hour is its mean" caught="check" says="column temp holds 2"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna(subset=["temp"])
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].mean().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.interpolate())
    return [
        {"at": at, "temp": None if pd.isna(temp) else temp, "filled": bool(was)}
        for at, temp, was in zip(
            temps.index.to_pydatetime(), temps, filled, strict=True
        )
    ]


# %% role="wrong" exercise="regular" misconception="The last reading is the one that came last" caught="check" says="column temp holds 1"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna(subset=["temp"])
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.interpolate())
    return pd.DataFrame({"temp": temps, "filled": filled}).reset_index()


# %% role="wrong" exercise="regular" misconception="An hour whose last row is empty is empty" caught="check" says="column temp holds empty"
def regular(readings, limit):
    known = {}
    for reading in sorted(readings, key=lambda r: r["at"]):
        hour = reading["at"].replace(minute=0, second=0, microsecond=0)
        known[hour] = reading["temp"]
    hourly = pd.Series(known, dtype=float).dropna().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.interpolate())
    frame = pd.DataFrame({"temp": temps, "filled": filled})
    return frame.rename_axis("at").reset_index()


# %% role="wrong" exercise="regular" misconception="What is filled may stand at the end" caught="check" says="out of order"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna().sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    filled = hole & (length <= limit)
    temps = hourly.where(~filled, hourly.interpolate())
    rows = pd.DataFrame({"temp": temps, "filled": filled}).reset_index()
    return pd.concat([rows[~hole.to_numpy()], rows[hole.to_numpy()]])


# %% role="wrong" exercise="regular" misconception="A good estimate needs no mark" caught="check" says="column filled holds False"
def regular(readings, limit):
    frame = pd.DataFrame(readings).dropna(subset=["temp"]).sort_values("at")
    frame["at"] = frame["at"].dt.floor("h")
    hourly = frame.groupby("at")["temp"].last().asfreq("h")
    hole = hourly.isna()
    length = hole.groupby(hole.ne(hole.shift()).cumsum()).transform("sum")
    temps = hourly.where(~(hole & (length <= limit)), hourly.interpolate())
    return [
        {"at": at, "temp": None if pd.isna(temp) else temp, "filled": False}
        for at, temp in zip(temps.index.to_pydatetime(), temps, strict=True)
    ]


# %% [markdown] topics=["7.2-9"]
# ## A day is not 24 hours
#
# Reports are by day, and a day is local. In New York, 10 March 2013 has 23 hours and 3 November has 25. If a daily value must rest on at least
# 90 % of the day, the question is: of which day?
#
# **Predict:** JFK has 23 readings on 10 March and 24 on 3 November. Which day is complete?

# %%
local = JFK.tz_convert("America/New_York")
for day in (date(2013, 3, 10), date(2013, 11, 3)):
    known = int((local.index.date == day).sum())
    utc = int((JFK.index.date == day).sum())
    print(day, "readings by local day:", known, "- by UTC day:", utc)

# %% [markdown] role="task" exercise="days" points=2 topics=["7.2-9"]
# ### Days that may be trusted
#
# Write `days(readings, zone, share)`. `readings` are rows of `regular`, of which only `at` (a datetime in UTC) and `temp`
# matter; `temp` may be `None` or `NaN`. `zone` is a name such as `"America/New_York"`; `share` is above 0 and at most 1.
#
# Return a dictionary for each local day that has a row: `day` (a text such as `"2013-03-10"`), `hours` (how many hours that day has in
# that zone), `known` (how many rows have a temperature) and `mean` (of these), which is `None` where `known` is less than
# `share` of `hours`.
#
# Example: on 10 March 2013 in New York, 22 temperatures are 95.6 % of 23 hours, so with `share` 0.95 the day has a mean.
#
# Why: a report that assumes 24 hours is right on 363 days, so nobody notices the other two.


# %% role="answer" exercise="days"
def days(readings: list[dict], zone: str, share: float) -> list[dict]:
    """Mean temperature of each local day that is known well enough."""
    ### BEGIN SOLUTION
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        temps[reading["at"].astimezone(there).date()].append(reading["temp"])
    rows = []
    for day, all_temps in temps.items():
        ends = (
            datetime.combine(d, time(), there) for d in (day, day + timedelta(days=1))
        )
        start, end = (end.astimezone(UTC) for end in ends)
        hours = (end - start) // HOUR
        known = [temp for temp in all_temps if pd.notna(temp)]
        mean = sum(known) / len(known) if len(known) >= share * hours else None
        rows.append(
            {"day": str(day), "hours": hours, "known": len(known), "mean": mean}
        )
    return rows
    ### END SOLUTION


# %% role="check" exercise="days"
with lab.check("days") as answer:
    new_york = "America/New_York"
    for zone, share, given in [
        (new_york, 0.95, [("2013-03-10", 23, 23, 22, True)]),
        (new_york, 0.96, [("2013-03-10", 23, 23, 22, False)]),
        (new_york, 0.95, [("2013-11-03", 25, 25, 23, False)]),
        ("Asia/Kolkata", 0.75, [("2013-07-10", 24, 24, 17, False)]),
        (
            new_york,
            0.75,
            [
                ("2013-07-10", 24, 12, 12, False),
                ("2013-07-11", 24, 24, 18, True),
                ("2013-07-12", 24, 24, 0, False),
            ],
        ),
    ]:
        readings, rows, said = [], [], []
        for day, hours, present, known, whole in given:
            midnight = datetime.fromisoformat(f"{day}T00:00")
            midnight = midnight.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            first = midnight + timedelta(hours=hours - present, minutes=30)
            gone = [(None, float("nan"))[n % 2] for n in range(present - known)]
            temps = [40.0 + n % 7 for n in range(known)] + gone
            readings += [
                {"at": first + n * timedelta(hours=1), "temp": temp}
                for n, temp in enumerate(temps)
            ]
            mean = sum(temps[:known]) / known if whole else None
            rows.append({"day": day, "hours": hours, "known": known, "mean": mean})
            said.append(f"{present} rows on {day}, {known} of them with a temperature")
        answer.same_rows(
            answer.call("days", readings, zone, share),
            rows,
            key=["day"],
            asked=f"the days in {zone}, with share {share}, of a row an hour: {'; '.join(said)}",
        )

# %% role="hidden" exercise="days"
with lab.check("days", hidden=True) as answer:
    for zone, first, hours in [
        ("Europe/Lisbon", "2013-10-26", [24, 25, 24]),
        ("Australia/Adelaide", "2013-10-05", [24, 23, 24]),
    ]:
        at = (
            datetime.fromisoformat(f"{first}T00:00")
            .replace(tzinfo=ZoneInfo(zone))
            .astimezone(UTC)
        )
        readings, rows = [], []
        for number, length in enumerate(hours):
            day = date.fromisoformat(first) + timedelta(days=number)
            gone = {*answer.random.sample(range(length), number + 1)}
            temps = []
            for n in range(length):
                temp = None if n in gone else float(answer.random.randrange(-9, 60))
                readings.append({"at": at, "temp": temp})
                temps += [] if temp is None else [temp]
                at += timedelta(hours=1)
            mean = sum(temps) / len(temps) if len(temps) >= 0.92 * length else None
            rows.append(
                {"day": str(day), "hours": length, "known": len(temps), "mean": mean}
            )
        answer.same_rows(
            answer.call("days", readings, zone, 0.92),
            rows,
            key=["day"],
            asked=f"three days in {zone}, with share 0.92",
        )

# %% [markdown] role="hint" exercise="days"
# How many hours lie between two local midnights, if you measure them on a clock that never jumps?

# %% [markdown] role="hint" exercise="days"
# `moment.astimezone(ZoneInfo(zone)).date()` is the local day. Python subtracts two datetimes *of the same zone* as if their clocks never
# jumped: convert both midnights to UTC first.

# %% [markdown] role="hint" exercise="days"
# ```python
# temps = defaultdict(list)
# for reading in readings:
#     temps[...].append(reading["temp"])
# rows = []
# for day, all_temps in temps.items():
#     start = datetime.combine(day, time(), there).astimezone(UTC)
#     hours = ...
#     known = [...]  # neither None nor NaN
#     rows.append({"day": str(day), ...})
# return rows
# ```


# %% role="right" exercise="days"
def days(readings, zone, share):
    frame = pd.DataFrame(readings)
    frame["temp"] = frame["temp"].astype(float)
    frame["day"] = (
        pd.to_datetime(frame["at"], utc=True)
        .dt.tz_convert(zone)
        .dt.strftime("%Y-%m-%d")
    )
    rows = []
    for day, group in frame.groupby("day"):
        edges = pd.date_range(day, periods=2, freq="D", tz=zone)
        hours = int((edges[1] - edges[0]).total_seconds() // 3600)
        known = int(group["temp"].count())
        mean = float(group["temp"].mean()) if known >= share * hours else None
        rows.append({"day": day, "hours": hours, "known": known, "mean": mean})
    return rows


# %% [markdown] role="equivalent" exercise="days" reason="The difference of two moments is the same in any zone whose offset each of them carries"
# - start, end = (end.astimezone(UTC) for end in ends)
# + start, end = (end.astimezone(None) for end in ends)


# %% [markdown] role="equivalent" exercise="days" reason="These zones change by whole hours"
# - hours = (end - start) // HOUR
# + hours = (end - start) / HOUR


# %% role="wrong" exercise="days" misconception="Every day has 24 hours" caught="check" says="column hours holds 24"
def days(readings, zone, share):
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        temps[reading["at"].astimezone(there).date()].append(reading["temp"])
    rows = []
    for day, all_temps in temps.items():
        known = [temp for temp in all_temps if temp is not None]
        mean = sum(known) / len(known) if len(known) >= share * 24 else None
        rows.append({"day": str(day), "hours": 24, "known": len(known), "mean": mean})
    return rows


# %% role="wrong" exercise="days" misconception="Local midnights can be subtracted as they are" caught="check" says="column hours holds 24"
def days(readings, zone, share):
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        temps[reading["at"].astimezone(there).date()].append(reading["temp"])
    rows = []
    for day, all_temps in temps.items():
        start = datetime.combine(day, time(), there)
        hours = (
            datetime.combine(day + timedelta(days=1), time(), there) - start
        ) // HOUR
        known = [temp for temp in all_temps if temp is not None]
        mean = sum(known) / len(known) if len(known) >= share * hours else None
        rows.append(
            {"day": str(day), "hours": hours, "known": len(known), "mean": mean}
        )
    return rows


# %% role="wrong" exercise="days" misconception="The day of a reading is the day of its UTC time" caught="check" says="column known holds"
def days(readings, zone, share):
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        temps[reading["at"].date()].append(reading["temp"])
    rows = []
    for day, all_temps in temps.items():
        ends = (
            datetime.combine(d, time(), there) for d in (day, day + timedelta(days=1))
        )
        start, end = (end.astimezone(UTC) for end in ends)
        hours = (end - start) // HOUR
        known = [temp for temp in all_temps if temp is not None]
        mean = sum(known) / len(known) if len(known) >= share * hours else None
        rows.append(
            {"day": str(day), "hours": hours, "known": len(known), "mean": mean}
        )
    return rows


# %% role="wrong" exercise="days" misconception="The hours of a day are the readings of a day" caught="check" says="column"
def days(readings, zone, share):
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        if reading["temp"] is not None:
            temps[reading["at"].astimezone(there).date()].append(reading["temp"])
    return [
        {
            "day": str(day),
            "hours": len(known),
            "known": len(known),
            "mean": sum(known) / len(known),
        }
        for day, known in temps.items()
    ]


# %% role="wrong" exercise="days" misconception="A day has as many hours as rows" caught="check" says="column hours holds 12"
def days(readings, zone, share):
    frame = pd.DataFrame(readings)
    frame["temp"] = frame["temp"].astype(float)
    local = pd.to_datetime(frame["at"], utc=True).dt.tz_convert(zone)
    rows = []
    for day, group in frame.groupby(local.dt.strftime("%Y-%m-%d")):
        hours, known = len(group), int(group["temp"].count())
        mean = float(group["temp"].mean()) if known >= share * hours else None
        rows.append({"day": day, "hours": hours, "known": known, "mean": mean})
    return rows


# %% role="wrong" exercise="days" misconception="What is not None is a number" caught="check" says="column known holds"
def days(readings, zone, share):
    there = ZoneInfo(zone)
    temps = defaultdict(list)
    for reading in readings:
        temps[reading["at"].astimezone(there).date()].append(reading["temp"])
    rows = []
    for day, all_temps in temps.items():
        ends = (
            datetime.combine(d, time(), there) for d in (day, day + timedelta(days=1))
        )
        start, end = (end.astimezone(UTC) for end in ends)
        hours = (end - start) // HOUR
        known = [temp for temp in all_temps if temp is not None]
        mean = sum(known) / len(known) if len(known) >= share * hours else None
        rows.append(
            {"day": str(day), "hours": hours, "known": len(known), "mean": mean}
        )
    return rows


# %% [markdown] topics=["7.2-9", "7.2-9.1"]
# ## A database that knows time
#
# A *time-series database* keeps rows in order of their time, in partitions by day or so, and has words for time in its
# SQL. QuestDB is one; you write to it by lines (`table,symbols values time`, the *InfluxDB line protocol*) and ask it through
# PostgreSQL's protocol. `write` and `ask` below do that.


# %%
def write(table, rows):
    """Send rows as lines, and wait until they can be read. Texts are symbols, `at` is the time."""
    lines = []
    for row in rows:
        symbols = [f"{k}={v}" for k, v in row.items() if isinstance(v, str)]
        values = [f"{k}={v}" for k, v in row.items() if isinstance(v, (int, float))]
        lines.append(
            f"{','.join([table, *symbols])} {','.join(values)} {row['at'].timestamp():.0f}"
        )
    text = "".join(" ".join(line.split()) + "\n" for line in lines)
    requests.post(
        f"{questdb.url}/write?precision=s", text, timeout=60
    ).raise_for_status()
    db.execute(f"SELECT wait_wal_table('{table}')")


def new_table():
    """The name of a table that is not there yet; that of twenty calls ago goes."""
    number = next(NUMBERS)
    db.execute(f"DROP TABLE IF EXISTS table_{number - 20}")
    return f"table_{number}"


def ask(sql):
    """The rows of a query, as dictionaries; times are in UTC."""
    cursor = db.execute(sql)
    rows = [
        dict(zip([c.name for c in cursor.description], row, strict=True))
        for row in cursor
    ]
    zoned = lambda v: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v  # noqa: E731
    return [{name: zoned(value) for name, value in row.items()} for row in rows]


july = WEATHER[WEATHER["at"].between("2013-07-01T04:00Z", "2013-08-01T03:00Z")]
weather = new_table()
write(weather, july.to_dict("records"))
days_of_july = ask(
    f"SELECT timestamp AS day, count() AS readings, max(temp) AS warmest FROM {weather} "
    "SAMPLE BY 1d ALIGN TO CALENDAR TIME ZONE 'America/New_York'"
)
for row in days_of_july[:3]:
    print(row)

# %% [markdown]
# `SAMPLE BY 1d` groups by day, and knows the zone. The time column is called `timestamp` when the table is made by its first
# line.
#
# The other word that plain SQL lacks is `ASOF JOIN`: each row gets the *last* row of the other table that is not later.
#
# **Predict:** a departure at 10:05, reports at 10:00 and 11:00. Which one may the delay model use?

# %%
departed = new_table()
at = datetime(2013, 7, 10, 14, 5, tzinfo=UTC)
write(departed, [{"id": "D1", "origin": "JFK", "at": at}])
print(
    ask(
        "SELECT d.id, w.timestamp AS at, w.temp "
        f"FROM {departed} d ASOF JOIN {weather} w ON origin"
    )
)

# %% [markdown] role="task" exercise="weather-at" points=3 topics=["7.2-9.1"]
# ### The last report before
#
# Write `weather_at(departures, reports, patience)`. A departure has `id`, `origin` and `at`, a report `origin`, `at` and
# `temp`; `at` is a datetime in UTC, full seconds. Both come in any order. Neither list is empty.
#
# Return a dictionary for each departure: `id`, `reported` (the time of the last report of its airport at or before it) and
# `temp`. Where that report is older than `patience` minutes, or there is none, both are `None`.
#
# Write both into new tables of QuestDB (`new_table()` gives a name; let them stand), and ask for the answer with one query. `TOLERANCE 90m` after the join's `ON origin`
# limits how old a match may be.
#
# Example: with a report of 09:51 and a patience of 30, a departure at 10:21 has that report, and one at 10:22 has none.
#
# Why: a model that reads the report after the departure is splendid in tests and useless in the morning.


# %% role="answer" exercise="weather-at" dialect="none"
def weather_at(
    departures: list[dict], reports: list[dict], patience: int
) -> list[dict]:
    """Each departure with the last report of its airport."""
    ### BEGIN SOLUTION
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    return ask(
        f"SELECT d.id, r.timestamp AS reported, r.temp FROM {departed} d "
        f"ASOF JOIN {reported} r ON origin TOLERANCE {patience}m"
    )
    ### END SOLUTION


# %% role="check" exercise="weather-at"
with lab.check("weather-at") as answer:
    clock = lambda text: datetime.fromisoformat(f"2013-07-10T{text}Z")  # noqa: E731
    reports = [
        {"origin": origin, "at": clock(at), "temp": temp}
        for origin, at, temp in [
            ("JFK", "14:51", 90.5),
            ("JFK", "13:51", 88.0),
            ("LGA", "14:00", 81.0),
            ("JFK", "16:51", 70.25),
        ]
    ]
    shown = [(r["origin"], f"{r['at']:%H:%M}", r["temp"]) for r in reports]
    answer.value("weather_at")
    before = answer.call("ask", "SELECT id FROM tables()")
    for patience, asked in [
        (
            30,
            [
                "A JFK 14:21 13:51",
                "B JFK 14:22 -",
                "C LGA 14:00 14:00",
                "D EWR 14:00 -",
                "E JFK 14:50 -",
                "F JFK 14:21:01 -",
            ],
        ),
        (
            180,
            [
                "A JFK 16:50 14:51",
                "B LGA 16:59 14:00",
                "C JFK 13:50 -",
                "D LGA 17:01 -",
            ],
        ),
    ]:
        rows = [text.split() for text in asked]
        departures = [
            {"id": id_, "origin": origin, "at": clock(at)}
            for id_, origin, at, _ in rows
        ]
        answer.same_rows(
            answer.call("weather_at", departures, reports, patience),
            [
                {
                    "id": id_,
                    "reported": None if at == "-" else clock(at),
                    "temp": {(o, a): t for o, a, t in shown}.get((origin, at)),
                }
                for id_, origin, _, at in rows
            ],
            key=["id"],
            asked=f"with a patience of {patience} minutes, departures "
            f"{[tuple(row[:3]) for row in rows]}, reports {shown}",
        )
    after = answer.call("ask", "SELECT id FROM tables()")
    new = sum(table not in before for table in after)
    answer.true(
        new >= 4,
        asked="departures and reports written into new tables of QuestDB, in each of two calls",
        found=f"{new} new tables",
    )

# %% role="hidden" exercise="weather-at"
with lab.check("weather-at", hidden=True) as answer:
    draw, start = answer.random, datetime(2013, 12, 31, 20, tzinfo=UTC)
    patience = draw.randrange(40, 80)
    reports = [
        {"origin": origin, "at": start + timedelta(minutes=m), "temp": m / 4}
        for origin in ("XAA", "XBB")
        for m in draw.sample(range(600), 12)
    ]
    departures = [
        {
            "id": f"D{n}",
            "origin": draw.choice(["XAA", "XBB"]),
            "at": start + timedelta(minutes=draw.randrange(700)),
        }
        for n in range(40)
    ]
    rows = []
    for departure in departures:
        before = [
            (r["at"], r["temp"])
            for r in reports
            if r["origin"] == departure["origin"]
            and timedelta(0) <= departure["at"] - r["at"] <= timedelta(minutes=patience)
        ]
        reported, temp = max(before, default=(None, None))
        rows.append({"id": departure["id"], "reported": reported, "temp": temp})
    answer.same_rows(
        answer.call("weather_at", departures, reports, patience),
        rows,
        key=["id"],
        asked=f"40 departures from two airports around midnight, with a patience of {patience} minutes",
    )

# %% [markdown] role="hint" exercise="weather-at"
# What would the demonstration above find for a departure when the station has been silent for a day? And for one airport's departure
# without `ON origin`?

# %% [markdown] role="hint" exercise="weather-at"
# `write` makes a table that is not there yet. Time columns are called `timestamp`; `AS` gives a
# column the name that the task wants.

# %% [markdown] role="hint" exercise="weather-at"
# ```python
# departed, reported = new_table(), new_table()
# write(departed, ...)
# ...
# return ask(
#     f"SELECT d.id, ... FROM {departed} d "
#     f"ASOF JOIN ... TOLERANCE ..."
# )
# ```


# %% role="right" exercise="weather-at"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(reported, reports)
    write(departed, departures)
    rows = ask(
        "SELECT d.id, d.timestamp AS at, r.timestamp AS reported, r.temp "
        f"FROM {departed} d ASOF JOIN {reported} r ON origin"
    )
    for row in rows:
        at = row.pop("at")
        if row["reported"] and at - row["reported"] > timedelta(minutes=patience):
            row.update(reported=None, temp=None)
    return rows


# %% role="wrong" exercise="weather-at" misconception="The same rows from pandas are as good" caught="check" says="0 new tables"
def weather_at(departures, reports, patience):
    frames = [pd.DataFrame(rows).sort_values("at") for rows in (departures, reports)]
    frames[1]["reported"] = frames[1]["at"]
    age = pd.Timedelta(minutes=patience)
    joined = pd.merge_asof(*frames, on="at", by="origin", tolerance=age)
    return [
        {
            "id": row.id,
            "reported": None if pd.isna(row.reported) else row.reported.to_pydatetime(),
            "temp": None if pd.isna(row.temp) else row.temp,
        }
        for row in joined.itertuples()
    ]


# %% role="wrong" exercise="weather-at" misconception="An age in minutes is a whole number" caught="check" says="column reported holds"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    fresh = f"datediff('m', r.timestamp, d.timestamp) <= {patience}"
    return ask(
        f"SELECT d.id, CASE WHEN {fresh} THEN r.timestamp END AS reported, "
        f"CASE WHEN {fresh} THEN r.temp END AS temp "
        f"FROM {departed} d ASOF JOIN {reported} r ON origin"
    )


# %% role="wrong" exercise="weather-at" misconception="The last report is always recent" caught="check" says="column reported holds"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    return ask(
        f"SELECT d.id, r.timestamp AS reported, r.temp FROM {departed} d "
        f"ASOF JOIN {reported} r ON origin"
    )


# %% role="wrong" exercise="weather-at" misconception="Time alone finds the report" caught="check" says="column reported holds"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    return ask(
        f"SELECT d.id, r.timestamp AS reported, r.temp FROM {departed} d "
        f"ASOF JOIN {reported} r TOLERANCE {patience}m"
    )


# %% role="wrong" exercise="weather-at" misconception="The nearest report is the best one" caught="check" says="column reported holds"
def weather_at(departures, reports, patience):
    rows = []
    for departure in departures:
        near = [
            (abs(r["at"] - departure["at"]), r["at"], r["temp"])
            for r in reports
            if r["origin"] == departure["origin"]
        ]
        near = [n for n in near if n[0] <= timedelta(minutes=patience)]
        _, at, temp = min(near, default=(None, None, None))
        rows.append({"id": departure["id"], "reported": at, "temp": temp})
    return rows


# %% role="wrong" exercise="weather-at" misconception="Departures without weather are no use" caught="check" says="missing"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    return ask(
        f"SELECT d.id, r.timestamp AS reported, r.temp FROM {departed} d "
        f"ASOF JOIN {reported} r ON origin TOLERANCE {patience}m WHERE r.temp IS NOT NULL"
    )


# %% role="wrong" exercise="weather-at" misconception="Before means strictly before" caught="check" says="column reported holds"
def weather_at(departures, reports, patience):
    departed, reported = new_table(), new_table()
    write(departed, departures)
    write(reported, reports)
    return ask(
        f"SELECT d.id, r.timestamp AS reported, r.temp FROM {departed} d "
        f"LT JOIN {reported} r ON origin TOLERANCE {patience}m"
    )


# %% [markdown] topics=["7.2-9.1"]
# ## Break it: the sender tries again
#
# A station sends a batch. The database stores it and dies before its *yes* arrives, so the station sends the batch again. You
# kill the server yourself.
#
# **Predict:** how many rows does the table have for 48 readings?

# %%
batch = [
    {"origin": "JFK", "at": at.to_pydatetime(), "temp": temp}
    for at, temp in JFK["2013-07-10":"2013-07-11"].items()
]
plain = new_table()
write(plain, batch)
questdb.kill()  # as if the answer had been lost on its way
questdb.restart()
db = questdb.client()
print("The station sends it again.")
write(plain, batch)
print(ask(f"SELECT count() AS n FROM {plain}"), "of", len(batch))

# %% [markdown]
# What was stored survived the kill *of the process*. By default QuestDB does not wait for the disk, so a power failure may still
# lose it. And what was sent twice is there twice: every count and sum of it is wrong, and a mean weighs it double.
#
# QuestDB can replace instead: a table made with `TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(at, …)` keeps one row for each
# combination of its *keys*, the last that was written.

# %% [markdown] role="task" exercise="deliver" points=2 topics=["7.2-9.1"]
# ### Once, and corrected
#
# Write `deliver(batches)`. Each batch is a list of readings with `origin`, `sensor`, `at` (a datetime in UTC) and `temp`. Batches are repeated; a
# later reading of the same sensor and time is a correction. The last written wins; no batch is repeated after its correction. A
# sensor's name is unique in its airport only.
#
# Make a new table of QuestDB with keys, write each batch into it as it comes, and return all rows of the table: `origin`, `sensor`,
# `at`, `temp`. Let the table stand.
#
# Example: 61.5 for sensor `north` of JFK at 10:00, twice, then 62.0 for the same: one row, with 62.0.
#
# Why: a sender that may not repeat loses data; a store that may not be told twice doubles them.


# %% role="answer" exercise="deliver" dialect="none"
def deliver(batches: list[list[dict]]) -> list[dict]:
    """The rows that a table holds after all batches."""
    ### BEGIN SOLUTION
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(at, origin, sensor)"
    )
    for batch in batches:
        write(table, batch)
    return ask(f"SELECT origin, sensor, at, temp FROM {table}")
    ### END SOLUTION


# %% role="check" exercise="deliver"
with lab.check("deliver") as answer:
    texts = [
        "JFK north 10:00 61.5, JFK south 10:00 60.0, JFK east 10:00 60.0",
        "JFK north 10:00 61.5, JFK south 10:00 60.0, JFK east 10:00 60.0",
        "LGA north 10:00 59.0, JFK north 09:00 58.0",
        "JFK north 10:00 62.0, JFK south 10:00 59.5, JFK north 11:00 62.0",
    ]
    batches = [
        [
            {
                "origin": o,
                "sensor": s,
                "at": datetime.fromisoformat(f"2013-07-10T{c}Z"),
                "temp": float(t),
            }
            for o, s, c, t in map(str.split, text.split(", "))
        ]
        for text in texts
    ]
    expected = [batches[0][2], *batches[2], *batches[3]]
    answer.value("deliver")
    before = answer.call("ask", "SELECT id FROM tables()")
    answer.same_rows(
        answer.call("deliver", batches),
        expected,
        key=["origin", "sensor", "at"],
        asked=f"the rows after these batches of (origin, sensor, time, temperature): {texts}",
    )
    keyed = answer.call("ask", "SELECT id FROM tables() WHERE dedup")
    answer.true(
        any(table not in before for table in keyed),
        asked="a new table of QuestDB with keys, into which the batches are written",
        found="no new table with keys",
    )

# %% role="hidden" exercise="deliver"
with lab.check("deliver", hidden=True) as answer:
    draw, last, batches = answer.random, {}, []
    for _ in range(6):
        batch = []
        for key in draw.sample(
            [(o, s, h) for o in ("XAA", "XBB") for s in ("n", "s") for h in range(4)], 5
        ):
            temp = draw.randrange(400) / 4
            batch.append(
                {
                    "origin": key[0],
                    "sensor": key[1],
                    "at": datetime(2013, 12, 31, 20 + key[2], tzinfo=UTC),
                    "temp": temp,
                }
            )
            last[key] = batch[-1]
        batches += [batch] * draw.choice([1, 2])
    answer.same_rows(
        answer.call("deliver", batches),
        list(last.values()),
        key=["origin", "sensor", "at"],
        asked="the rows after six batches with repeats and corrections",
    )

# %% [markdown] role="hint" exercise="deliver"
# Which columns together say that two readings are the same reading?

# %% [markdown] role="hint" exercise="deliver"
# `CREATE TABLE name (column TYPE, …) TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(at, …)`. Types are `SYMBOL` (a text that repeats), `DOUBLE` and
# `TIMESTAMP`. With the table made first, `write` uses its columns.

# %% [markdown] role="hint" exercise="deliver"
# ```python
# table = new_table()
# db.execute(
#     f"CREATE TABLE {table} (...) "
#     "TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(...)"
# )
# for batch in batches:
#     ...
# return ask(...)
# ```


# %% role="right" exercise="deliver"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (at TIMESTAMP, origin SYMBOL, sensor SYMBOL, temp DOUBLE) "
        "TIMESTAMP(at) PARTITION BY MONTH"
    )
    db.execute(f"ALTER TABLE {table} DEDUP ENABLE UPSERT KEYS(at, sensor, origin)")
    write(table, [reading for batch in batches for reading in batch])
    return ask(f"SELECT * FROM {table}")


# %% role="wrong" exercise="deliver" misconception="A database does not keep the same row twice" caught="check" says="row"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY"
    )
    for batch in batches:
        write(table, batch)
    return ask(f"SELECT origin, sensor, at, temp FROM {table}")


# %% role="wrong" exercise="deliver" misconception="DISTINCT makes it right at the end" caught="check" says="row"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY"
    )
    for batch in batches:
        write(table, batch)
    return ask(f"SELECT DISTINCT origin, sensor, at, temp FROM {table}")


# %% role="wrong" exercise="deliver" misconception="A sensor's name is its key" caught="check" says="missing"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(at, sensor)"
    )
    for batch in batches:
        write(table, batch)
    return ask(f"SELECT origin, sensor, at, temp FROM {table}")


# %% role="wrong" exercise="deliver" misconception="What is known need not be written again" caught="check" says="column temp holds 61.5"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY"
    )
    seen = set()
    for batch in batches:
        for reading in batch:
            key = reading["origin"], reading["sensor"], reading["at"]
            if key not in seen:
                write(table, [reading])
            seen.add(key)
    return ask(f"SELECT origin, sensor, at, temp FROM {table}")


# %% role="wrong" exercise="deliver" misconception="A dictionary in the loader is enough" caught="check" says="no new table with keys"
def deliver(batches):
    last = {}
    for batch in batches:
        for reading in batch:
            last[reading["origin"], reading["sensor"], reading["at"]] = reading
    table = new_table()
    write(table, last.values())
    return ask(f"SELECT origin, sensor, timestamp AS at, temp FROM {table}")


# %% role="wrong" exercise="deliver" misconception="A new time replaces all, so the latest row of each sensor is enough" caught="check" says="missing"
def deliver(batches):
    table = new_table()
    db.execute(
        f"CREATE TABLE {table} (origin SYMBOL, sensor SYMBOL, temp DOUBLE, at TIMESTAMP) "
        "TIMESTAMP(at) PARTITION BY DAY DEDUP UPSERT KEYS(at, origin, sensor)"
    )
    for batch in batches:
        write(table, batch)
    return ask(
        f"SELECT origin, sensor, at, temp FROM {table} LATEST ON at PARTITION BY origin, sensor"
    )


# %% [markdown] topics=["7.2-9.2"]
# ## The model that did not beat last week
#
# The airline plans crews a week ahead by departures a day. Here are four forecasters: functions of a *history* (one number a day)
# and a *horizon* (how many days ahead).


# %%
def smooth(history, horizon):
    """Holt-Winters exponential smoothing with a week's season, fitted to twelve weeks."""
    model = ExponentialSmoothing(
        np.array(history[-84:], float),
        seasonal="add",
        seasonal_periods=7,
        initialization_method="estimated",
    )
    return [*model.fit().forecast(horizon)]


MODELS = {
    "last day": lambda history, n: [history[-1]] * n,
    "last week": lambda history, n: [history[-7 + k % 7] for k in range(n)],
    "median of 4 weeks": lambda h, n: [
        float(np.median(h[-28:][k % 7 :: 7])) for k in range(n)
    ],
    "Holt-Winters": smooth,
    "length": lambda history, n: (
        [len(history)] * n
    ),  # for tests: says what it was given
}
flown = dataset("flights").arrow().to_pandas().dropna(subset=["dep_time"])
DAILY = flown.groupby(["month", "day"]).size().tolist()
print(len(DAILY), "days, from", min(DAILY), "to", max(DAILY), "departures")

# %% [markdown]
# A random split would train on Tuesday and test on Monday. A *backtest* does what the job would have done: at each *origin*, the number
# of days known then (a forecaster's word; no airport here), it gives the model these days only, and compares its forecast with what came.
#
# An error of 40 departures says little alone. *MASE* (Hyndman and Koehler, 2006), here in its seasonal form, divides the mean
# absolute error by that of "same as a week before" *within the history*. Above 1: a larger error than the usual change from week
# to week.

# %% [markdown] role="task" exercise="backtest" points=3 topics=["7.2-9.2"]
# ### As it would have run
#
# Write `backtest(counts, model, origins, horizon)`. `counts` holds one number for each day, `model` is a name in `MODELS`.
#
# At each origin the model sees `counts[:origin]` and forecasts the next `horizon` days. Return a dictionary for each origin: `origin`, `mae` (the mean
# absolute error over the horizon) and `mase` (`mae` divided by the mean absolute difference between each day of the history and the day seven
# before it).
#
# Leave out an origin whose horizon is not wholly in `counts`. Each origin is larger than 7, and no history repeats
# itself exactly.
#
# Example: `backtest(DAILY, "last week", [84, 362], 7)` gives one row, as day 369 has not come.
#
# Why: whoever picks a model on days that it has seen picks the one that remembers best.


# %% role="answer" exercise="backtest"
def backtest(counts: list, model: str, origins: list[int], horizon: int) -> list[dict]:
    """Errors of a model at each origin."""
    ### BEGIN SOLUTION
    rows = []
    for origin in origins:
        history, truth = (
            np.array(counts[:origin]),
            np.array(counts[origin : origin + horizon]),
        )
        if len(truth) < horizon:
            continue
        mae = np.abs(MODELS[model](history, horizon) - truth).mean()
        scale = np.abs(history[7:] - history[:-7]).mean()
        rows.append({"origin": origin, "mae": mae, "mase": mae / scale})
    return rows
    ### END SOLUTION


# %% role="check" exercise="backtest"
with lab.check("backtest") as answer:
    rule = "100 + 10 * (n % 7) + n * n % 13"
    counts = [100 + 10 * (n % 7) + n * n % 13 for n in range(40)]
    for model, origins, horizon, expected in [
        ("length", [14], 2, [(14, 93.5, 93.5 * 7 / 44)]),
        (
            "length",
            [39, 21, 38, 36],
            3,
            [(21, 97.0, 97.0 * 14 / 100), (36, 266 / 3, 266 / 3 * 29 / 202)],
        ),
        (
            "last week",
            [28, 33],
            7,
            [(28, 58 / 7, 58 / 7 * 21 / 143), (33, 44 / 7, 44 / 7 * 26 / 180)],
        ),
    ]:
        answer.same_rows(
            answer.call("backtest", counts, model, origins, horizon),
            [{"origin": o, "mae": mae, "mase": mase} for o, mae, mase in expected],
            key=["origin"],
            asked=f"errors of {model!r} at origins {origins} with horizon {horizon}, of 40 counts {rule}",
        )

# %% role="hidden" exercise="backtest"
with lab.check("backtest", hidden=True) as answer:
    counts = [answer.random.randrange(50, 400) for _ in range(60)]
    horizon = answer.random.randrange(3, 9)
    for model in ("length", "last day"):
        rows = []
        for origin in (20, 41, 60 - horizon):
            truth = counts[origin : origin + horizon]
            guess = origin if model == "length" else counts[origin - 1]
            mae = sum(abs(guess - value) for value in truth) / horizon
            steps = [abs(counts[n] - counts[n - 7]) for n in range(7, origin)]
            rows.append(
                {"origin": origin, "mae": mae, "mase": mae * len(steps) / sum(steps)}
            )
        answer.same_rows(
            answer.call(
                "backtest", counts, model, [61 - horizon, 41, 20, 60 - horizon], horizon
            ),
            rows,
            key=["origin"],
            asked=f"errors of {model!r} at four origins with horizon {horizon}",
        )

# %% [markdown] role="hint" exercise="backtest"
# At an origin, which days may the model see, and which may the scale see?

# %% [markdown] role="hint" exercise="backtest"
# `MODELS[model](history, horizon)` is a forecast. With numpy, `history[7:] - history[:-7]` are all differences over a week.

# %% [markdown] role="hint" exercise="backtest"
# ```python
# for origin in origins:
#     history, truth = np.array(counts[:origin]), np.array(...)
#     if ...:
#         continue
#     mae = ...
#     scale = ...
#     rows.append({"origin": origin, "mae": mae, "mase": ...})
# ```


# %% role="right" exercise="backtest"
def backtest(counts, model, origins, horizon):
    rows = []
    for origin in origins:
        if origin + horizon <= len(counts):
            history = counts[:origin]
            forecast = MODELS[model](history, horizon)
            errors = [abs(f - counts[origin + n]) for n, f in enumerate(forecast)]
            usual = [abs(b - a) for a, b in zip(history, history[7:], strict=False)]
            mae, scale = sum(errors) / len(errors), sum(usual) / len(usual)
            rows.append({"origin": origin, "mae": mae, "mase": mae / scale})
    return rows


# %% role="wrong" exercise="backtest" misconception="The scale is a property of the whole series" caught="check" says="column mase holds"
def backtest(counts, model, origins, horizon):
    rows, whole = [], np.array(counts)
    for origin in origins:
        truth = whole[origin : origin + horizon]
        if len(truth) < horizon:
            continue
        mae = np.abs(
            np.array(MODELS[model](list(whole[:origin]), horizon)) - truth
        ).mean()
        scale = np.abs(whole[7:] - whole[:-7]).mean()
        rows.append({"origin": origin, "mae": float(mae), "mase": float(mae / scale)})
    return rows


# %% role="wrong" exercise="backtest" misconception="A model may be fitted once, to all that there is" caught="check" says="column mae holds"
def backtest(counts, model, origins, horizon):
    rows = []
    for origin in origins:
        history, truth = (
            np.array(counts[:origin]),
            np.array(counts[origin : origin + horizon]),
        )
        if len(truth) < horizon:
            continue
        mae = np.abs(np.array(MODELS[model](list(counts), horizon)) - truth).mean()
        scale = np.abs(history[7:] - history[:-7]).mean()
        rows.append({"origin": origin, "mae": float(mae), "mase": float(mae / scale)})
    return rows


# %% role="wrong" exercise="backtest" misconception="A horizon that is cut off is still a test" caught="check" says="should not be there"
def backtest(counts, model, origins, horizon):
    rows = []
    for origin in origins:
        history, truth = (
            np.array(counts[:origin]),
            np.array(counts[origin : origin + horizon]),
        )
        forecast = np.array(MODELS[model](list(history), horizon))[: len(truth)]
        mae = np.abs(forecast - truth).mean()
        scale = np.abs(history[7:] - history[:-7]).mean()
        rows.append({"origin": origin, "mae": float(mae), "mase": float(mae / scale)})
    return rows


# %% role="wrong" exercise="backtest" misconception="Naive means: same as the day before" caught="check" says="column mase holds"
def backtest(counts, model, origins, horizon):
    rows = []
    for origin in origins:
        history, truth = (
            np.array(counts[:origin]),
            np.array(counts[origin : origin + horizon]),
        )
        if len(truth) < horizon:
            continue
        mae = np.abs(np.array(MODELS[model](list(history), horizon)) - truth).mean()
        scale = np.abs(np.diff(history)).mean()
        rows.append({"origin": origin, "mae": float(mae), "mase": float(mae / scale)})
    return rows


# %% role="wrong" exercise="backtest" misconception="Errors of opposite sign cancel" caught="check" says="column mae holds"
def backtest(counts, model, origins, horizon):
    rows = []
    for origin in origins:
        history, truth = (
            np.array(counts[:origin]),
            np.array(counts[origin : origin + horizon]),
        )
        if len(truth) < horizon:
            continue
        mae = abs((np.array(MODELS[model](list(history), horizon)) - truth).mean())
        scale = np.abs(history[7:] - history[:-7]).mean()
        rows.append({"origin": origin, "mae": float(mae), "mase": float(mae / scale)})
    return rows


# %% [markdown]
# Now each model, as it would have run every week from the end of March on.
#
# **Predict:** the order of the four.

# %%
errors = {
    name: [row["mase"] for row in backtest(DAILY, name, range(84, 365, 7), 7) or []]
    for name in MODELS
    if name != "length"
}
for name, found in errors.items():
    print(
        f"{name:<18} mean MASE", f"{np.mean(found):.2f}" if found else "- not started"
    )
smoothed, repeated, middle = (
    errors[name] for name in ("Holt-Winters", "last week", "median of 4 weeks")
)
wins = sum(a < b for a, b in zip(smoothed, repeated, strict=False))
print("Holt-Winters beats last week in", wins, "of", len(smoothed), "weeks")

# %%
figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
shown = {name: found or [float("nan")] for name, found in errors.items()}
axes.boxplot([*shown.values()], orientation="horizontal", tick_labels=[*shown])
axes.axvline(1, color="grey", linewidth=0.8)
axes.set_xlabel("MASE of a week; 1 = the usual change from week to week")
picture(
    figure,
    alt="Box plots of the error of four forecasts: the median of four weeks is best, Holt-Winters is no better than last week.",
)

# %% [markdown]
# In which weeks does Holt-Winters lose most to the median?

# %%
weeks = [*zip(range(84, 365, 7), smoothed, middle, strict=False)]
for origin, theirs, ours in sorted(weeks, key=lambda week: week[2] - week[1])[:3]:
    start = date(2013, 1, 1) + timedelta(days=origin)
    print(f"week from {start}: Holt-Winters {theirs:.2f}, median {ours:.2f}")

# %% [markdown]
# Holt-Winters is hardly better than last week on average, and worse in most weeks. The plain median beats both. The weeks above
# are mostly those after a holiday: Labor Day was on 2 September, Memorial Day on 27 May. A smoother learns from the quiet days and
# carries them on; a median of four weeks forgets them. Report the baseline beside every model.

# %% [markdown] topics=["7.2-9.2"]
# ## Faults that somebody labelled
#
# JFK's neighbours LGA and EWR lie 17 and 33 km away. Here is February at JFK, with four faults put in: two *spikes*, an *offset* and a *drift*. The *residual* is JFK's
# temperature minus the mean of its neighbours'.
#
# **Predict:** how many of the faults leave the range "mean ± 3 standard deviations" of JFK's own temperatures?

# %%
stations = WEATHER.pivot(index="at", columns="origin", values="temp")
february = stations.loc["2013-02"].asfreq("h")
sick = february["JFK"].to_numpy().copy()
FAULTS = [(200, 200), (260, 289), (470, 471), (560, 619)]  # first and last hour
sick[200] += 14
sick[260:290] -= 9
sick[470:472] += 14
sick[560:620] += np.linspace(0, 12, 60)
apart = sick - february[["LGA", "EWR"]].mean(axis=1, skipna=False).to_numpy()
RESIDUALS = [None if np.isnan(value) else float(value) for value in apart]
far = np.abs(sick - np.nanmean(sick)) > 3 * np.nanstd(sick)
print("hours beyond three standard deviations:", int(far.sum()))

# %% [markdown]
# None. February's own cold and warmth are larger than any fault. The residual is small in most hours, so a fault shows. But
# which spread is usual? A standard deviation is moved by the very faults that it should find. The *MAD*, the median distance from the
# median, hardly is; times 1.4826 it equals the standard deviation of a normal distribution.


# %%
def usual(values):
    """The median of some values, and their spread: 1.4826 times the MAD."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(np.array(values) - middle)))


print(
    "usual at JFK: {:.1f} ± {:.1f} °F".format(
        *usual([r for r in RESIDUALS if r is not None])
    )
)

# %% [markdown] role="task" exercise="alarms" points=4 topics=["7.2-9.2"]
# ### Alarms, and what they are worth
#
# Write `alarms(residuals, window, k, faults)`. `residuals` holds a number or `None` for each hour.
#
# 1. Walk through the hours. The *history* of an hour is the last `window` numbers before it that were not flagged. With fewer, it is not judged,
#    and its number joins the history.
# 2. Flag an hour whose distance from the history's middle is more than `k` times its spread (`usual` gives both).
# 3. Flagged hours that follow each other directly are one alarm, `[first, last]`.
# 4. `faults` is a list of `(first, last)` hours. A fault is *found* if any alarm shares an hour with it. An alarm that shares none with any fault is *false*.
#
# Return a dictionary: `alarms` (in order), `found` (how many faults) and `false` (how many alarms).
#
# Example: with `window` 3 and `k` 4, `[0, 1, 2, 9, 9, None, 9, 1]` has the alarms `[3, 4]` and `[6, 6]`.
#
# Why: people switch off an alarm that cries too often. Its price is counted in alarms, not in hours.


# %% role="answer" exercise="alarms"
def alarms(residuals: list, window: int, k: float, faults: list) -> dict:
    """Runs of unusual hours, and how they fit the known faults."""
    ### BEGIN SOLUTION
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history[-window:])
            if abs(value - middle) > k * spread:
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}
    ### END SOLUTION


# %% role="check" exercise="alarms"
with lab.check("alarms") as answer:
    calm = [0, 1, 2]
    for residuals, k, faults, expected in [
        (
            [*calm, 9, 9, None, 9, 1],
            4,
            [(3, 6)],
            {"alarms": [[3, 4], [6, 6]], "found": 1, "false": 0},
        ),
        (
            [*calm, 8, 8, 8, 8, -9],
            4,
            [(6, 6), (7, 9)],
            {"alarms": [[3, 7]], "found": 2, "false": 0},
        ),
        (
            [9, *calm, 1, 40, 1, -40, 1],
            4,
            [(0, 4), (8, 9)],
            {"alarms": [[5, 5], [7, 7]], "found": 0, "false": 2},
        ),
        (
            [None, *calm, 2, 2, 4, 3, None, 9],
            2,
            [(9, 9), (9, 12)],
            {"alarms": [[6, 7], [9, 9]], "found": 2, "false": 1},
        ),
        (
            [*calm, 6, 2, 30],
            4,
            [(3, 3)],
            {"alarms": [[5, 5]], "found": 0, "false": 1},
        ),
        (
            [2, 2, 2, 2, 3, 2, 4],
            2,
            [(0, 3), (5, 5)],
            {"alarms": [[4, 4], [6, 6]], "found": 0, "false": 2},
        ),
        (
            [0, 10, 20, 0, 1, 2, 9],
            4,
            [(6, 6)],
            {"alarms": [[6, 6]], "found": 1, "false": 0},
        ),
    ]:
        got = answer.call("alarms", residuals, 3, k, faults)
        said = f"with window 3 and k {k}, residuals {residuals}, faults {faults}"
        for part in ("alarms", "found", "false"):
            value = got.get(part) if isinstance(got, dict) else got
            value = (
                [list(run) for run in value]
                if part == "alarms" and isinstance(value, list)
                else value
            )
            answer.equal(value, expected[part], asked=f"{part} {said}")

# %% role="hidden" exercise="alarms"
with lab.check("alarms", hidden=True) as answer:
    draw = answer.random
    residuals = [draw.gauss(0, 1) for _ in range(120)]
    runs = [[30, 30], [50, 57], [80, 82], [84, 84], [119, 119]]
    for first, last in runs:
        for hour in range(first, last + 1):
            residuals[hour] = draw.choice([-1, 1]) * draw.uniform(60, 90)
    residuals[83] = None
    first = draw.randrange(55, 58)
    faults = [(10, 20), (29, 30), (first, 70), (71, 79), (83, 83), (119, 125)]
    got = answer.call("alarms", residuals, 20, 15, faults)
    answer.equal(got["found"], 3, asked="how many of six faults are found")
    answer.equal(got["false"], 2, asked="how many of the alarms are false")

# %% [markdown] role="hint" exercise="alarms"
# What would happen to the middle and the spread if flagged hours joined the history? When do two spans share an hour?

# %% [markdown] role="hint" exercise="alarms"
# Keep a list of unflagged numbers and give `usual` its last `window`. Two spans share an hour if each begins no later than the other ends. Count
# faults for `found`, and alarms for `false`.

# %% [markdown] role="hint" exercise="alarms"
# ```python
# history, runs = [], []
# for hour, value in enumerate(residuals):
#     if value is None:
#         continue
#     if len(history) >= window:
#         middle, spread = usual(...)
#         if ...:
#             ...  # a longer run, or a new one
#             continue
#     history.append(value)
# found = sum(... for fault in faults)
# false = sum(... for run in runs)
# return {"alarms": runs, "found": found, "false": false}
# ```


# %% role="right" exercise="alarms"
def alarms(residuals, window, k, faults):
    calm, flagged = [], []
    for hour, value in enumerate(residuals):
        if value is not None:
            recent = calm[-window:]
            middle = pd.Series(recent, dtype=float).median()
            spread = 1.4826 * (pd.Series(recent, dtype=float) - middle).abs().median()
            if len(recent) == window and abs(value - middle) > k * spread:
                flagged.append(hour)
            else:
                calm.append(value)
    runs = []
    for _, group in groupby(enumerate(flagged), key=lambda pair: pair[1] - pair[0]):
        hours = [hour for _, hour in group]
        runs.append((hours[0], hours[-1]))
    ill = [{*range(first, last + 1)} for first, last in faults]
    hit = [{*range(first, last + 1)} for first, last in runs]
    return {
        "alarms": runs,
        "found": len([f for f in ill if any(f & h for h in hit)]),
        "false": len([h for h in hit if not any(f & h for f in ill)]),
    }


# %% [markdown] role="equivalent" exercise="alarms" reason="Two spans share an hour in either order"
# - found = sum(any(meets(run, fault) for run in runs) for fault in faults)
# + found = sum(any(meets(fault, run) for run in runs) for fault in faults)


# %% [markdown] role="equivalent" exercise="alarms" reason="Two spans share an hour in either order"
# - false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
# + false = sum(not any(meets(fault, run) for fault in faults) for run in runs)


# %% role="wrong" exercise="alarms" misconception="What is flagged belongs to the history too" caught="check" says="alarms with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history[-window:])
            if abs(value - middle) > k * spread:
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}


# %% role="wrong" exercise="alarms" misconception="The longer the history, the better" caught="check" says="alarms with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history)
            if abs(value - middle) > k * spread:
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}


# %% role="wrong" exercise="alarms" misconception="A mean and a standard deviation say what is usual" caught="check" says="alarms with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            recent = np.array(history[-window:])
            if abs(value - recent.mean()) > k * recent.std():
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}


# %% role="wrong" exercise="alarms" misconception="Each flagged hour is an alarm" caught="check" says="alarms with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history[-window:])
            if abs(value - middle) > k * spread:
                runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}


# %% role="wrong" exercise="alarms" misconception="An alarm that is right has found one fault" caught="check" says="found with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history[-window:])
            if abs(value - middle) > k * spread:
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda a, b: a[0] <= b[1] and b[0] <= a[1]  # noqa: E731
    true = sum(any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": true, "false": len(runs) - true}


# %% role="wrong" exercise="alarms" misconception="An alarm counts only if it begins within the fault" caught="check" says="found with window 3"
def alarms(residuals, window, k, faults):
    history, runs = [], []
    for hour, value in enumerate(residuals):
        if value is None:
            continue
        if len(history) >= window:
            middle, spread = usual(history[-window:])
            if abs(value - middle) > k * spread:
                if runs and runs[-1][1] == hour - 1:
                    runs[-1][1] = hour
                else:
                    runs.append([hour, hour])
                continue
        history.append(value)
    meets = lambda run, fault: fault[0] <= run[0] <= fault[1]  # noqa: E731
    found = sum(any(meets(run, fault) for run in runs) for fault in faults)
    false = sum(not any(meets(run, fault) for fault in faults) for run in runs)
    return {"alarms": runs, "found": found, "false": false}


# %% [markdown]
# Now February, with more and less patience.

# %%
tried = {k: alarms(RESIDUALS, 96, k, FAULTS) for k in (3, 4, 5, 6)}
for k, found in tried.items():
    print(
        f"k {k}:",
        f"{found['found']} of {len(FAULTS)} found, {found['false']} false alarms"
        if found
        else "not started",
    )
AT_5 = tried[5]["alarms"] if tried[5] else []
print("alarms at k 5:", *AT_5)

# %%
figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
axes.plot([np.nan if r is None else r for r in RESIDUALS], linewidth=0.8)
for first, last in FAULTS:
    fault = axes.axvspan(first - 1, last + 1, color="tab:orange", alpha=0.3)
fault.set_label("fault")
for number, (first, last) in enumerate(AT_5):
    axes.plot(
        [first, last + 1],
        [-15, -15],
        color="tab:red",
        linewidth=9,
        solid_capstyle="butt",
        label=None if number else "alarm at k 5",
    )
axes.legend(loc="upper left")
axes.set(
    xlabel="hour of February", ylabel="JFK less its neighbours, °F", ylim=(-17, 17)
)
picture(
    figure,
    alt="The residual by hour; faults are shaded, alarms are bars below: spikes and the first half of the offset are found, the slow drift is missed.",
)

# %% [markdown]
# There is no free choice of `k`: below 5 the drift is found, at the price of more false alarms; at 6 the offset is lost too.
#
# Even at 5, the offset of hours 260 to 289 gives five alarms, and none after 276: its unflagged hours joined the history and
# widened the spread. A drift hides in the same way, as the history drifts along.
#
# And a sensor that is *stuck* at one value would pass in calm weather: that fault needs a rule of its own (no change in six hours).

# %% [markdown]
# ## What you can do now
#
# | You can | Because |
# |---|---|
# | keep holes visible | grid first, then fill by the hole's length, and mark |
# | trust a daily value | a day has the hours between two local midnights |
# | join with what was known | `ASOF JOIN`, by key, with a tolerance |
# | take repeats and corrections | the table has keys, and the last *written* wins: a repeat after the correction undoes it |
# | choose a forecast | a backtest at many origins, beside a baseline |
# | choose a threshold | found faults against false alarms |
#
# New words: *time series*, *regular*, *time-series database*, *line protocol*, *as-of join*, *horizon*, *origin*, *backtest*, *MASE*, *MAD*,
# *residual*.
#
# To read on: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice* (chapters 5 and 8); QuestDB's manual on `ASOF JOIN` and deduplication.

# %%
db.close()
questdb.stop()
lab.close()
