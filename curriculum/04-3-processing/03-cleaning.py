# %% [markdown] minutes=60 datasets=["weather", "flights", "airports"] systems=[]
# # Cleaning
#
# One broken row makes a gale, and one wrong key deletes real flights. You clean flights and weather so that no row
# vanishes and no number is invented in silence.

# %% [markdown]
# ## You will be able to
#
# - read measurements in any unit, and refuse what cannot be (exercise 1)
# - turn clock times into instants (exercise 2)
# - tell a repeat from a correction and from another flight (exercise 3)
# - flag outliers by physics and by a robust rule (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | pandas: `groupby`, `transform`, masks | most answers take a frame |
# | regular expressions | exercises 1 and 3 |
#
# The dirt that you see was published so; where we add some, it says *invented*. Use any library.

# %% role="setup"
import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
import pandas as pd

from labkit import dataset, open_lab, picture

lab = open_lab("04-3-processing/03-cleaning")
lab

# %% [markdown] topics=["4.3-2"]
# ## Break it: the gale that never blew
#
# The operations board shows the mean wind of each day.
#
# **Predict:** a day has 24 rows. How much can one of them change the mean? How much the median?

# %%
WEATHER = dataset("weather").frame()
newark = WEATHER[(WEATHER["origin"] == "EWR") & (WEATHER["month"] == 2)]
print(
    newark.nlargest(3, "wind_speed")[["time_hour", "wind_speed"]].to_string(index=False)
)
daily = newark.groupby("day")["wind_speed"].agg(["mean", "median"])
figure, axes = plt.subplots(figsize=(7, 3))
axes.plot(daily.index, daily["mean"], marker="o", markersize=3, label="mean")
axes.plot(daily.index, daily["median"], linestyle="--", label="median")
axes.set(xlabel="day of February 2013, Newark", ylabel="wind in miles an hour", ylim=0)
axes.legend(frameon=False)
picture(
    figure,
    alt="Wind at Newark by day. Mean and median run together between 3 and 23 miles an hour; only on "
    "12 February the mean jumps to 56, while the median stays at 14.",
)

# %% [markdown]
# One row says 1,048 miles an hour: 911 knots exactly, so a program converted it, and asked no question.
#
# Deleting rows until the picture looks right is not cleaning. Each verdict leaves a trace:
#
# | Verdict | When | Trace |
# |---|---|---|
# | repair | one reading is possible | the rule, counted |
# | flag | strange, may be true | a column |
# | fill | missing, and a guess helps | an indicator |
# | quarantine | cannot be, or cannot be decided | the raw row, a reason |

# %% [markdown] role="task" exercise="measure" points=2 topics=["4.3-2"]
# ### One unit, or a reason
#
# Write `measure(text, quantity)`. Return a pair: the value in the base unit and `None`, or `None` and a reason.
#
# | Quantity | Base unit | Other units | Possible, in the base unit |
# |---|---|---|---|
# | `"wind"` | m/s | kt: 1,852 m an hour; mph: 1,609.344 m an hour | 0 to 60 |
# | `"temperature"` | C | F: 32 F is 0 C, 212 F is 100 C | -60 to 60 |
# | `"height"` | m | ft: 0.3048 m | -500 to 15000 |
#
# A text is a number and a unit in capital or small letters; blanks may stand around both. A number is digits, perhaps
# with a minus before them, perhaps with a point and digits behind.
#
# | Reason | When (the first that holds) |
# |---|---|
# | `"unreadable"` | not a number, then nothing but letters or `/`: `12,5 kt`, `nan kt`, `kt` |
# | `"unit"` | no unit, or none of this quantity: `12`, `12 km/h`, `12 C` as wind |
# | `"impossible"` | beyond the limits; they themselves are possible |
#
# Example: `measure("18 KT", "wind")` gives `(9.26, None)`.
#
# Why: no chart shows a guessed unit.


# %% role="answer" exercise="measure"
def measure(text: str, quantity: str) -> tuple[float | None, str | None]:
    """The value in the base unit, or the reason why there is none."""
    ### BEGIN SOLUTION
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z/]*)", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    value = (float(number) - zero) * factor
    low, high = limits[quantity]
    if not low <= value <= high:
        return None, "impossible"
    return value, None
    ### END SOLUTION


# %% role="check" exercise="measure"
with lab.check("measure") as answer:
    for text, quantity, expected in [
        ("18 KT", "wind", [9.26, None]),
        ("100 kt", "wind", [51.444444, None]),
        (" 12.25m/s ", "wind", [12.25, None]),
        ("60 m/s", "wind", [60, None]),
        ("61 m/s", "wind", [None, "impossible"]),
        ("0 kt", "wind", [0, None]),
        ("25 mph", "wind", [11.176, None]),
        ("911 kt", "wind", [None, "impossible"]),
        ("-1 kt", "wind", [None, "impossible"]),
        ("12", "wind", [None, "unit"]),
        ("12 C", "wind", [None, "unit"]),
        ("36 km/h", "wind", [None, "unit"]),
        ("1,048 mph", "wind", [None, "unreadable"]),
        ("nan kt", "wind", [None, "unreadable"]),
        ("1e1 kt", "wind", [None, "unreadable"]),
        ("kt", "wind", [None, "unreadable"]),
        ("", "wind", [None, "unreadable"]),
        ("at 12 kt", "wind", [None, "unreadable"]),
        ("12 kt 8", "wind", [None, "unreadable"]),
        ("+5 kt", "wind", [None, "unreadable"]),
        (".5 kt", "wind", [None, "unreadable"]),
        ("5. kt", "wind", [None, "unreadable"]),
        ("1 000 m", "height", [None, "unreadable"]),
        ("911 C", "wind", [None, "unit"]),
        ("14 f", "temperature", [-10, None]),
        ("-60 C", "temperature", [-60, None]),
        ("60 C", "temperature", [60, None]),
        ("61 C", "temperature", [None, "impossible"]),
        ("-61 C", "temperature", [None, "impossible"]),
        ("141 F", "temperature", [None, "impossible"]),
        ("500 ft", "height", [152.4, None]),
        ("-500 m", "height", [-500, None]),
        ("15000 m", "height", [15000, None]),
        ("15001 m", "height", [None, "impossible"]),
        ("-501 m", "height", [None, "impossible"]),
    ]:
        value, reason = answer.call("measure", text, quantity)
        answer.equal(
            [value if value is None else round(value, 6), reason],
            expected,
            asked=f"the {quantity} of {text!r}",
        )

# %% role="hidden" exercise="measure"
with lab.check("measure", hidden=True) as answer:
    draw = answer.random
    scales = {
        "wind": {"m/s": 1, "kt": 1852 / 3600, "mph": 1609.344 / 3600},
        "temperature": {"C": 1, "F": 5 / 9},
        "height": {"m": 1, "ft": 0.3048},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    for _ in range(100):
        quantity = draw.choice(sorted(scales))
        unit = draw.choice(["", *sorted(u for units in scales.values() for u in units)])
        low, high = limits[quantity]
        number = round(draw.uniform(low - high / 2, 2 * high), draw.choice([0, 1]))
        # At -76 F, which is -60 C, the verdict would depend on the rounding of floats.
        number += number == -76
        text = draw.choice(["{}{}", "{} {}", " {}  {} "]).format(number, unit)
        text = draw.choice([text, text.lower(), text.upper()])
        expected = [None, "unit"]
        if unit in scales[quantity]:
            base = (number - 32 * (unit == "F")) * scales[quantity][unit]
            good = low <= base <= high
            expected = [round(base, 6), None] if good else [None, "impossible"]
        if draw.random() < 0.4:
            text = text.strip()
            commas = text.replace(".", ",")
            text = draw.choice(
                [f"+{text}", f".{text}", f"1 {text}", f"~{text}", commas]
            )
            expected = [None, "unreadable"]
        value, reason = answer.call("measure", text, quantity)
        answer.equal(
            [value if value is None else round(value, 6), reason],
            expected,
            asked=f"the {quantity} of {text!r}",
        )

# %% [markdown] role="hint" exercise="measure"
# In which order do you read, convert and judge? Which number do the limits speak about?

# %% [markdown] role="hint" exercise="measure"
# `re.fullmatch` either explains the whole text or returns `None`. `float` reads more than digits: `nan`,
# `inf`, `1e1`. Fahrenheit has another zero, not only another step.

# %% [markdown] role="hint" exercise="measure"
# ```python
# found = re.fullmatch(r"(...)\s*([a-z/]*)", text.strip().lower())
# if not found:
#     return None, ...
# number, unit = found.groups()
# if unit not in ...:
#     return None, ...
# value = (float(number) - zero) * factor
# if not low <= value <= high:
#     ...
# ```


# %% role="right" exercise="measure"
def measure(text, quantity):
    convert = {
        ("wind", "m/s"): lambda x: x,
        ("wind", "kt"): lambda x: x * 1852 / 3600,
        ("wind", "mph"): lambda x: x * 1609.344 / 3600,
        ("temperature", "c"): lambda x: x,
        ("temperature", "f"): lambda x: (x - 32) / 1.8,
        ("height", "m"): lambda x: x,
        ("height", "ft"): lambda x: 0.3048 * x,
    }
    text = text.strip().lower()
    number = re.match(r"-?[0-9]+([.][0-9]+)?", text)
    unit = number and text[number.end() :].lstrip()
    if number is None or re.search(r"[^a-z/]", unit):
        return None, "unreadable"
    if (quantity, unit) not in convert:
        return None, "unit"
    value = convert[quantity, unit](float(number.group()))
    bounds = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    if value < bounds[quantity][0] or value > bounds[quantity][1]:
        return None, "impossible"
    return value, None


# %% role="wrong" exercise="measure" misconception="The limits hold for the number as it is written" caught="check" says="100 kt"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z/]*)", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    if not limits[quantity][0] <= float(number) <= limits[quantity][1]:
        return None, "impossible"
    zero, factor = units[quantity][unit]
    return (float(number) - zero) * factor, None


# %% role="wrong" exercise="measure" misconception="A number without a unit is in the usual one" caught="check" says="wind of '12'"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z/]*)", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit and unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity].get(unit, (0, 1))
    value = (float(number) - zero) * factor
    if not limits[quantity][0] <= value <= limits[quantity][1]:
        return None, "impossible"
    return value, None


# %% role="wrong" exercise="measure" misconception="A comma may be left out or read as a point" caught="check" says="1,048 mph"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    text = text.strip().lower().replace(",", ".")
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z/]*)", text)
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    value = (float(number) - zero) * factor
    if not limits[quantity][0] <= value <= limits[quantity][1]:
        return None, "impossible"
    return value, None


# %% role="wrong" exercise="measure" misconception="What float reads is a measurement" caught="check" says="nan kt"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.fullmatch(r"(nan|-?[\d.]+)\s*([a-z/]*)", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    value = (float(number) - zero) * factor
    if not limits[quantity][0] <= value <= limits[quantity][1]:
        return None, "impossible"
    return value, None


# %% role="wrong" exercise="measure" misconception="An impossible value is moved to the limit" caught="check" says="61 m/s"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([a-z/]*)", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    low, high = limits[quantity]
    return min(max((float(number) - zero) * factor, low), high), None


# %% role="wrong" exercise="measure" misconception="Find a number somewhere in the text" caught="check" says="at 12 kt"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    found = re.search(r"(?<![\w,])(-?\d+(?:\.\d+)?)\s*([a-z/]*)$", text.strip().lower())
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    value = (float(number) - zero) * factor
    if not limits[quantity][0] <= value <= limits[quantity][1]:
        return None, "impossible"
    return value, None


# %% role="wrong" exercise="measure" misconception="Blanks mean nothing" caught="check" says="1 000 m"
def measure(text, quantity):
    units = {
        "wind": {"m/s": (0, 1), "kt": (0, 1852 / 3600), "mph": (0, 0.44704)},
        "temperature": {"c": (0, 1), "f": (32, 5 / 9)},
        "height": {"m": (0, 1), "ft": (0, 0.3048)},
    }
    limits = {"wind": (0, 60), "temperature": (-60, 60), "height": (-500, 15000)}
    text = "".join(text.lower().split())
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([a-z/]*)", text)
    if not found:
        return None, "unreadable"
    number, unit = found.groups()
    if unit not in units[quantity]:
        return None, "unit"
    zero, factor = units[quantity][unit]
    value = (float(number) - zero) * factor
    if not limits[quantity][0] <= value <= limits[quantity][1]:
        return None, "impossible"
    return value, None


# %% [markdown] topics=["4.3-2"]
# ## A clock is not an instant
#
# `dep_time` 951 and `arr_time` 1537 are clock times, the second on the clock of the *destination*. In 2013, 150 flights
# arrive at 2400.
#
# **Predict:** HA51 flies from New York to Honolulu. How long does it take, by subtraction? And B6 527?

# %%
FLIGHTS = dataset("flights").frame()
AIRPORTS = dataset("airports").frame()
ZONES = AIRPORTS.dropna(subset="tzone").set_index("faa")["tzone"].to_dict()
sunday = FLIGHTS[
    (FLIGHTS["month"] == 11) & (FLIGHTS["day"] == 3) & FLIGHTS["dep_time"].notna()
]
planned = sunday["time_hour"] + pd.to_timedelta(sunday["minute"], unit="min")
sunday = sunday.assign(
    id=range(len(sunday)),
    departed=planned + pd.to_timedelta(sunday["dep_delay"], unit="min"),
)
shown = ["carrier", "flight", "dest", "dep_time", "arr_time", "air_time"]
print(sunday[sunday["flight"].isin([51, 527])][shown].to_string(index=False))
print("DVT, in Phoenix, Arizona, has the zone", ZONES["DVT"])

# %% [markdown]
# Plan and delay give the instant of departure. Of the arrival only the clock is known. But a flight is short: it lands at
# the first moment when that clock shows that time. The rule needs a limit, or every wrong time finds a moment.

# %% [markdown] role="task" exercise="arrivals" points=3 topics=["4.3-2"]
# ### When did it land?
#
# Write `arrivals(flights, zones)`. The frame has `id`, `departed` (UTC, whole minutes), `dest` and `arr_time` (hours and
# minutes as one number, may be null). `zones` maps airports to time zones.
#
# Return a table with `id` and `arrived` for each flight: the first moment, from `departed` to 16 hours later (both
# included), at which the clock at `dest` shows `arr_time`. 2400 is midnight, like 0. Null if there is none, or no zone.
#
# | departed | dest | arr_time | arrived |
# |---|---|---|---|
# | 2013-07-01 23:00 UTC | LAX | 2150 | 2013-07-02 04:50 UTC |
# | 2013-07-01 23:00 UTC | LAX | 2175 | null |
#
# Why: durations and joins with weather need instants.


# %% role="answer" exercise="arrivals"
def arrivals(flights: pd.DataFrame, zones: dict[str, str]) -> pd.DataFrame:
    """The instant of each arrival, or null."""
    ### BEGIN SOLUTION
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones:
            moments = pd.date_range(flight.departed, periods=16 * 60 + 1, freq="min")
            clock = moments.tz_convert(zones[flight.dest])
            time_there = 0 if flight.arr_time == 2400 else flight.arr_time
            hits = moments[clock.hour * 100 + clock.minute == time_there]
            arrived = min(hits, default=None)
        found.append(arrived)
    return flights[["id"]].assign(arrived=found)
    ### END SOLUTION


# %% role="check" exercise="arrivals"
with lab.check("arrivals") as answer:
    zones = {
        "BOS": "America/New_York",
        "LAX": "America/Los_Angeles",
        "HNL": "Pacific/Honolulu",
    }
    cases = [
        ("2013-07-01 23:00", "LAX", 2150, "2013-07-02 04:50"),
        ("2013-07-01 15:00", "HNL", 1537, "2013-07-02 01:37"),
        ("2013-07-02 02:30", "BOS", 2400, "2013-07-02 04:00"),
        ("2013-07-02 02:30", "BOS", 0, "2013-07-02 04:00"),
        ("2013-07-02 04:00", "BOS", 2400, "2013-07-02 04:00"),
        ("2013-07-02 02:30", "BOS", 5, "2013-07-02 04:05"),
        ("2013-07-02 02:30", "BOS", 2505, None),
        ("2013-07-02 02:30", "BOS", 2275, None),
        ("2013-07-02 02:30", "BOS", None, None),
        ("2013-07-02 02:30", "SJU", 2330, None),
        ("2013-07-02 02:30", "BOS", 1430, "2013-07-02 18:30"),
        ("2013-07-02 02:30", "BOS", 1431, None),
        ("2013-07-02 02:30", "BOS", 2230, "2013-07-02 02:30"),
        ("2013-07-02 02:30", "BOS", 2229, None),
        ("2013-11-03 05:30", "BOS", 115, "2013-11-03 06:15"),
        ("2013-11-03 04:10", "BOS", 115, "2013-11-03 05:15"),
        ("2013-03-10 05:30", "BOS", 230, None),
        ("2013-03-10 05:30", "BOS", 310, "2013-03-10 07:10"),
    ]
    names = ["id", "departed", "dest", "arr_time", "arrived"]
    table = pd.DataFrame([(n, *case) for n, case in enumerate(cases)], columns=names)
    for name in ("departed", "arrived"):
        table[name] = pd.to_datetime(table[name], utc=True)
    parts = {}
    for n, (departed, dest, arr_time, _) in enumerate(cases):
        flight = f"a flight that left at {departed} UTC, with arr_time {arr_time}"
        parts[f"the arrival at {dest} of {flight}"] = table[n : n + 1]
    parts["the arrivals of all these flights in one table"] = table
    for asked, part in parts.items():
        answer.same_rows(
            answer.call("arrivals", part[names[:4]], zones),
            part[["id", "arrived"]],
            asked=asked,
            key=["id"],
        )

# %% role="hidden" exercise="arrivals"
with lab.check("arrivals", hidden=True) as answer:
    draw = answer.random
    zones = {
        "BOS": "America/New_York",
        "ORD": "America/Chicago",
        "PHX": "America/Phoenix",
        "LHR": "Europe/London",
        "DEL": "Asia/Kolkata",
    }
    rows, expected = [], []
    for number in range(40):
        dest = draw.choice([*sorted(zones), "SJU"])
        day = draw.choice([datetime(2013, 3, 10), datetime(2013, 11, 3)])
        departed = day.replace(tzinfo=UTC) + timedelta(minutes=draw.randrange(1440))
        arrived = departed + timedelta(minutes=draw.randrange(40, 700))
        clock = None
        if dest in zones and number % 7:
            local = arrived.astimezone(ZoneInfo(zones[dest]))
            clock = local.hour * 100 + local.minute
            # Where the clock shows a time twice, the first moment counts.
            earlier = arrived - timedelta(hours=1)
            again = earlier.astimezone(ZoneInfo(zones[dest]))
            if earlier >= departed and (again.hour, again.minute) == (
                local.hour,
                local.minute,
            ):
                arrived = earlier
            if clock == 0:
                clock = 2400
        else:
            arrived = None
        rows.append(
            {"id": number, "departed": departed, "dest": dest, "arr_time": clock}
        )
        expected.append({"id": number, "arrived": arrived})
    # In July it is 4 in UTC when a day begins in Boston.
    arrived = datetime(2013, 7, draw.randrange(2, 30), 4, tzinfo=UTC)
    for clock in (0, 2400, 2500):
        for minutes in (0, 960, 961):
            row = {"id": len(rows), "departed": arrived - timedelta(minutes=minutes)}
            rows.append(row | {"dest": "BOS", "arr_time": clock})
            landed = arrived if clock < 2500 and minutes < 961 else None
            expected.append({"id": row["id"], "arrived": landed})
    draw.shuffle(rows)
    answer.same_rows(
        answer.call("arrivals", pd.DataFrame(rows), zones),
        expected,
        asked=f"the arrivals of {len(rows)} flights, most on the days when the clocks change",
        key=["id"],
    )

# %% [markdown] role="hint" exercise="arrivals"
# How many moments are there within 16 hours of a departure? Can you simply look at the clock in each of
# them?

# %% [markdown] role="hint" exercise="arrivals"
# Counting minutes in UTC never goes wrong: `pd.date_range(…, periods=…, freq="min")`. `tz_convert` then reads the clock of a place
# at all of them. A null equals no clock time by itself.

# %% [markdown] role="hint" exercise="arrivals"
# ```python
# found = []
# for flight in flights.itertuples():
#     arrived = None
#     if ... in zones:
#         moments = pd.date_range(flight.departed, periods=..., freq="min")
#         clock = moments.tz_convert(...)
#         hits = moments[clock.hour * 100 + clock.minute == ...]
#         ...
#     found.append(arrived)
# return flights[["id"]].assign(arrived=found)
# ```


# %% role="right" exercise="arrivals"
def arrivals(flights, zones):
    def one(departed, zone, clock):
        if zone is None or pd.isna(clock):
            return None
        hour, minute = divmod(int(clock), 100)
        if hour == 24 and minute == 0:
            hour = 0
        if hour > 23 or minute > 59:
            return None
        zone = ZoneInfo(zone)
        today = departed.astimezone(zone).date()
        moments = []
        for day in (today, today + timedelta(days=1)):
            for fold in (0, 1):
                local = datetime.combine(day, time(hour, minute, fold=fold), zone)
                moment = local.astimezone(UTC)
                exists = moment.astimezone(zone).time() == time(hour, minute)
                if exists and departed <= moment <= departed + timedelta(hours=16):
                    moments.append(moment)
        return min(moments, default=None)

    return pd.DataFrame(
        [
            {"id": key, "arrived": one(departed, zones.get(dest), clock)}
            for key, departed, dest, clock in zip(
                flights["id"],
                flights["departed"].dt.to_pydatetime(),
                flights["dest"],
                flights["arr_time"],
                strict=True,
            )
        ],
        columns=["id", "arrived"],
    )


# %% role="right" exercise="arrivals"
def arrivals(flights, zones):
    rows = []
    for flight in flights.to_dict("records"):
        row = {"id": flight["id"], "arrived": None}
        if flight["dest"] in zones and flight["arr_time"] == flight["arr_time"]:
            moment = flight["departed"].tz_convert(zones[flight["dest"]])
            wanted = f"{int(flight['arr_time']):04}".replace("2400", "0000")
            for _ in range(961):
                if moment.strftime("%H%M") == wanted:
                    row["arrived"] = moment
                    break
                moment += pd.Timedelta(minutes=1)
        rows.append(row)
    return pd.DataFrame(rows, columns=["id", "arrived"])


# %% role="wrong" exercise="arrivals" misconception="The arrival is on the clock of New York" caught="check" says="at LAX"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        clock = 0 if flight.arr_time == 2400 else flight.arr_time
        for minute in range(961 if flight.dest in zones else 0):
            moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
            local = moment.astimezone(ZoneInfo("America/New_York"))
            if local.hour * 100 + local.minute == clock:
                arrived = moment
                break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="A flight arrives on the day on which it leaves" caught="check" says="arr_time 2400"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        moment = None
        clock = flight.arr_time
        if flight.dest in zones and clock % 100 < 60 and clock <= 2400:
            zone = ZoneInfo(zones[flight.dest])
            day = flight.departed.astimezone(zone).date()
            hour = int(clock // 100 % 24)
            moment = datetime.combine(day, time(hour, int(clock % 100)), zone)
            if moment < flight.departed:
                moment = None
        found.append(moment)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="2400 is a broken value" caught="check" says="arr_time 2400"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones:
            for minute in range(961):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment.astimezone(ZoneInfo(zones[flight.dest]))
                if local.hour * 100 + local.minute == flight.arr_time:
                    arrived = moment
                    break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="Hours above 24 go on into the next day" caught="check" says="arr_time 2505"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones:
            for minute in range(961):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment.astimezone(ZoneInfo(zones[flight.dest]))
                if local.hour * 100 + local.minute == flight.arr_time % 2400:
                    arrived = moment
                    break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="A time that comes before the departure is on the next day, however late" caught="check" says="arr_time 1431"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones:
            clock = 0 if flight.arr_time == 2400 else flight.arr_time
            for minute in range(24 * 60):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment.astimezone(ZoneInfo(zones[flight.dest]))
                if local.hour * 100 + local.minute == clock:
                    arrived = moment
                    break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="A zone is one offset for the whole night" caught="check" says="left at 2013-11-03 05:30"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones:
            offset = flight.departed.astimezone(
                ZoneInfo(zones[flight.dest])
            ).utcoffset()
            clock = 0 if flight.arr_time == 2400 else flight.arr_time
            for minute in range(961):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment + offset
                if local.hour * 100 + local.minute == clock:
                    arrived = moment
                    break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="A time of 0 is no time" caught="check" says="arr_time 0"
def arrivals(flights, zones):
    found = []
    for flight in flights.itertuples():
        arrived = None
        if flight.dest in zones and flight.arr_time:
            clock = 0 if flight.arr_time == 2400 else flight.arr_time
            for minute in range(961):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment.astimezone(ZoneInfo(zones[flight.dest]))
                if local.hour * 100 + local.minute == clock:
                    arrived = moment
                    break
        found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% role="wrong" exercise="arrivals" misconception="Groups keep the order of the rows" caught="check" says="in one table"
def arrivals(flights, zones):
    found = []
    for dest, group in flights.groupby("dest"):
        for flight in group.itertuples():
            arrived = None
            clock = 0 if flight.arr_time == 2400 else flight.arr_time
            for minute in range(961 if dest in zones else 0):
                moment = flight.departed.to_pydatetime() + timedelta(minutes=minute)
                local = moment.astimezone(ZoneInfo(zones[dest]))
                if local.hour * 100 + local.minute == clock:
                    arrived = moment
                    break
            found.append(arrived)
    return pd.DataFrame(
        {"id": flights["id"], "arrived": pd.to_datetime(found, utc=True)}
    )


# %% [markdown]
# Is it right? Ask a column that the rule did not use: from gate to gate takes longer than `air_time`, but not by
# hours. A wrong zone would show here (DVT lost the minus of its longitude). No zone, no guess.

# %%
landed = arrivals(sunday[["id", "departed", "dest", "arr_time"]], ZONES)
if landed is not None:
    both = sunday.merge(landed, on="id")
    ground = (both["arrived"] - both["departed"]) / pd.Timedelta("1min") - both[
        "air_time"
    ]
    print(ground.describe()[["count", "min", "50%", "max"]].round().to_string())
    lost = both[both["arrived"].isna()]
    print("no arrival:", lost.groupby("dest").size().to_dict())

# %% [markdown] topics=["4.3-2"]
# ## The same thing twice
#
# A duplicate is not a row that looks alike, but a second row about *one thing*. So first say what one thing is.
#
# **Predict:** how many rows of 2013 share carrier, flight number and date with another? Are they duplicates?

# %%
key = ["carrier", "flight", "month", "day"]
twice = FLIGHTS[FLIGHTS.duplicated(key, keep=False)]
print(len(twice), "rows share carrier, number and date, for example")
print(twice[[*key, "origin", "dest", "sched_dep_time"]].head(2).to_string(index=False))
print(FLIGHTS.duplicated([*key, "origin"]).sum(), "with the origin, too")

# %% [markdown]
# One number, two flights: `drop_duplicates` on the wrong key deletes real ones. With messages, there is more: sent again
# by the network, corrected by the sender, contradicting each other.

# %% [markdown] role="task" exercise="status" points=3 topics=["4.3-2"]
# ### Repeat, correction or contradiction?
#
# Write `status(messages)`. The frame has `id`, `sent` and `received` (instants), `flight` (text), `origin`, `scheduled` (an
# instant) and `delay` (minutes).
#
# One flight has one carrier, number, origin and `scheduled`. `B6939`, `b6 939` and `B6-0939` are all carrier `B6`, number
# 939. A carrier has two letters or digits.
#
# Return a table with `id` and `status`:
#
# | Status | When (the first that holds) |
# |---|---|
# | `conflict` | messages of the flight with this `sent` have different delays; this holds for all of them |
# | `duplicate` | the same flight, `sent` and delay was received earlier |
# | `superseded` | another message of the flight, no conflict, was sent later |
# | `current` | otherwise |
#
# No two are received at one instant. A delay that goes back to an earlier value is a correction.
#
# Why: a board that keeps every message counts twice.


# %% role="answer" exercise="status"
def status(messages: pd.DataFrame) -> pd.DataFrame:
    """What each message is."""
    ### BEGIN SOLUTION
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.sort_values("received")
    flight = ["carrier", "number", "origin", "scheduled"]
    delays = rows.groupby([*flight, "sent"])["delay"].transform("nunique")
    conflict = delays > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]
    ### END SOLUTION


# %% role="check" exercise="status"
with lab.check("status") as answer:
    names = ["id", "sent", "received", "flight", "origin", "scheduled", "delay"]
    clocks = ["sent", "received", "scheduled"]
    for asked, rows in {
        "three spellings of one flight, sent at one time": [
            (1, "12:00", "12:03", "B6939", "JFK", "14:00", 9, "duplicate"),
            (2, "12:00", "12:01", "b6 939", "JFK", "14:00", 9, "current"),
            (3, "12:00", "12:02", "B6-0939", "JFK", "14:00", 9, "duplicate"),
        ],
        "one number from two airports, and at two times": [
            (1, "12:00", "12:01", "WN2269", "LGA", "14:00", 9, "current"),
            (2, "12:00", "12:02", "WN2269", "EWR", "14:00", 9, "current"),
            (3, "12:00", "12:03", "WN2269", "EWR", "19:40", 9, "current"),
            (4, "12:00", "12:04", "WN226", "EWR", "14:00", 9, "current"),
            (5, "12:00", "12:05", "WS2269", "EWR", "14:00", 9, "current"),
        ],
        "a delay that is corrected and goes back, received in another order": [
            (1, "12:20", "12:21", "9E3856", "JFK", "14:00", 9, "current"),
            (2, "12:00", "12:22", "9E3856", "JFK", "14:00", 9, "superseded"),
            (3, "12:10", "12:23", "9E3856", "JFK", "14:00", 30, "superseded"),
            (4, "12:10", "12:24", "9E 3856", "JFK", "14:00", 30, "duplicate"),
        ],
        "a contradiction among repeats, sent last": [
            (1, "12:00", "12:01", "US100", "LGA", "14:00", 5, "current"),
            (2, "12:10", "12:11", "US100", "LGA", "14:00", 7, "conflict"),
            (3, "12:10", "12:12", "US 100", "LGA", "14:00", 8, "conflict"),
            (4, "12:10", "12:13", "US100", "LGA", "14:00", 7, "conflict"),
            (5, "12:05", "12:14", "US100", "EWR", "14:00", 7, "current"),
        ],
        "a contradiction about all that there is, and one that was sent first": [
            (1, "12:00", "12:01", "DL1", "LGA", "14:00", 5, "conflict"),
            (2, "12:00", "12:02", "DL1", "LGA", "14:00", 7, "conflict"),
            (3, "12:00", "12:03", "DL2", "LGA", "14:00", 5, "conflict"),
            (4, "12:00", "12:04", "DL2", "LGA", "14:00", 7, "conflict"),
            (5, "12:10", "12:05", "DL2", "LGA", "14:00", 7, "current"),
        ],
        "messages around midnight (24:10 is 0:10 of the next day)": [
            (1, "24:10", "24:11", "AA1", "JFK", "25:00", 9, "current"),
            (2, "23:50", "24:12", "AA1", "JFK", "25:00", 5, "superseded"),
            (3, "23:50", "24:13", "AA1", "JFK", "49:00", 0, "current"),
        ],
    }.items():
        messages = pd.DataFrame([row[:7] for row in rows], columns=names)
        for clock in clocks:
            span = pd.to_timedelta(messages[clock] + ":00")
            messages[clock] = pd.Timestamp("2013-07-10", tz="UTC") + span
        answer.same_rows(
            answer.call("status", messages),
            [{"id": row[0], "status": row[7]} for row in rows],
            asked=f"{asked}: {[row[:7] for row in rows]} ({', '.join(names)})",
            key=["id"],
        )

# %% role="hidden" exercise="status"
with lab.check("status", hidden=True) as answer:
    draw = answer.random
    day = datetime(2013, 7, 10, 22, tzinfo=UTC)
    spellings = ["{}{}", "{} {}", "{}-{:05}", " {}/{} "]
    rows, expected, received = [], [], list(range(3000))
    draw.shuffle(received)
    for carrier in ("B6", "9E", "AA", "F9"):
        for number in draw.sample(range(1, 3000), 6):
            home, clock = draw.choice(["JFK", "LGA"]), draw.randrange(1440)
            for origin, days in ((home, 0), (home, 1), ("EWR", 0)):
                flight = {"origin": origin}
                flight |= {"scheduled": day + timedelta(days=days, minutes=clock)}
                sends = sorted(draw.sample(range(200), 3))
                broken = draw.choice([None, *sends[:2], *sends])
                good = [sent for sent in sends if sent != broken]
                for sent in sends:
                    delay = draw.choice([0, 20, draw.randrange(-5, 300)])
                    copies = draw.randrange(1, 4)
                    delays = [delay] * copies + [delay + 1] * (sent == broken)
                    order = sorted(received.pop() for _ in delays)
                    for place, value in enumerate(delays):
                        spelling = draw.choice(spellings).format(carrier, number)
                        row = {"id": len(rows), "sent": day + timedelta(minutes=sent)}
                        row |= {"received": day + timedelta(seconds=order[place])}
                        row |= {"flight": draw.choice([spelling, spelling.lower()])}
                        rows.append(row | flight | {"delay": value})
                        kind = "duplicate" if place else "superseded"
                        kind = "current" if not place and sent == good[-1] else kind
                        kind = "conflict" if sent == broken else kind
                        expected.append({"id": row["id"], "status": kind})
    draw.shuffle(rows)
    answer.same_rows(
        answer.call("status", pd.DataFrame(rows)),
        expected,
        asked="the status of invented messages about 72 flights",
        key=["id"],
    )

# %% [markdown] role="hint" exercise="status"
# Which columns say that two messages are about one flight? Which, that they are one message? Is `received`
# part of either?

# %% [markdown] role="hint" exercise="status"
# First tidy `flight`: capital letters, only letters and digits; two characters, then a number without its
# zeros. `groupby(…).transform("nunique")` counts the delays, `duplicated` marks all but the first row.

# %% [markdown] role="hint" exercise="status"
# ```python
# rows = messages.assign(carrier=..., number=...).sort_values("received")
# flight = ["carrier", "number", "origin", "scheduled"]
# conflict = rows.groupby([*flight, ...])["delay"].transform("nunique") > 1
# duplicate = rows.duplicated([*flight, ...])
# latest = rows[~conflict].groupby(flight)["sent"].transform(...)
# rows["status"] = ...
# rows.loc[..., "status"] = ...
# ```


# %% role="right" exercise="status"
def status(messages):
    rows = messages.sort_values("received").to_dict("records")
    sends, result = {}, []
    for row in rows:
        code = re.sub(r"[^A-Z0-9]", "", row["flight"].upper())
        row["about"] = (code[:2], int(code[2:]), row["origin"], row["scheduled"])
        sends.setdefault(row["about"], {}).setdefault(row["sent"], set())
        sends[row["about"]][row["sent"]].add(row["delay"])
    seen = set()
    for row in rows:
        of_flight = sends[row["about"]]
        clear = [sent for sent, delays in of_flight.items() if len(delays) == 1]
        once = (row["about"], row["sent"])
        if row["sent"] not in clear:
            kind = "conflict"
        elif once in seen:
            kind = "duplicate"
        elif row["sent"] == max(clear):
            kind = "current"
        else:
            kind = "superseded"
        seen.add(once)
        result.append({"id": row["id"], "status": kind})
    return pd.DataFrame(result)


# %% [markdown] role="equivalent" exercise="status" reason="a number without a given type is read as a float, which is as good"
# - rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
# + rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(None))


# %% role="right" exercise="status"
def status(messages):
    import duckdb

    return duckdb.sql(
        r"""
        WITH tidy AS (
            SELECT *, upper(regexp_replace(flight, '\W', '', 'g')) AS code FROM messages
        ), counted AS (
            SELECT *, code[1:2] || code[3:]::int AS number,
                count(DISTINCT delay) OVER (PARTITION BY number, origin, scheduled, sent) AS delays,
                row_number() OVER (
                    PARTITION BY number, origin, scheduled, sent ORDER BY received
                ) AS place
            FROM tidy
        )
        SELECT id, CASE
            WHEN delays > 1 THEN 'conflict'
            WHEN place > 1 THEN 'duplicate'
            WHEN sent < max(sent) FILTER (WHERE delays = 1)
                OVER (PARTITION BY number, origin, scheduled) THEN 'superseded'
            ELSE 'current' END AS status
        FROM counted
        """
    ).to_arrow_table()


# %% role="wrong" exercise="status" misconception="One number on one day is one flight" caught="check" says="two airports"
def status(messages):
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.sort_values("received")
    flight = ["carrier", "number"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="The same text is the same flight" caught="check" says="three spellings"
def status(messages):
    rows = messages.sort_values("received")
    flight = ["flight", "origin", "scheduled"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="A carrier is made of letters" caught="check" says="three spellings"
def status(messages):
    parts = messages["flight"].str.upper().str.extract(r"([A-Z]+)\W*(\d+)")
    rows = messages.assign(carrier=parts[0], number=parts[1].astype(float))
    rows = rows.sort_values("received")
    flight = ["carrier", "number", "origin", "scheduled"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="What was received last is current" caught="check" says="in another order"
def status(messages):
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.sort_values("received")
    flight = ["carrier", "number", "origin", "scheduled"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    clear = rows[~conflict & ~duplicate]
    latest = clear.groupby(flight)["received"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["received"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="The same delay again is a duplicate" caught="check" says="goes back"
def status(messages):
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.sort_values("received")
    flight = ["carrier", "number", "origin", "scheduled"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="Of a contradiction, the first message wins" caught="check" says="a contradiction"
def status(messages):
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.sort_values("received")
    flight = ["carrier", "number", "origin", "scheduled"]
    duplicate = rows.duplicated([*flight, "sent"])
    latest = rows.groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest, "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    return rows[["id", "status"]]


# %% role="wrong" exercise="status" misconception="A number and a clock time name one flight" caught="check" says="around midnight"
def status(messages):
    text = messages["flight"].str.upper().str.replace(r"[^A-Z0-9]", "", regex=True)
    rows = messages.assign(carrier=text.str[:2], number=text.str[2:].astype(int))
    rows = rows.assign(clock=rows["scheduled"].dt.time).sort_values("received")
    flight = ["carrier", "number", "origin", "clock"]
    conflict = rows.groupby([*flight, "sent"])["delay"].transform("nunique") > 1
    duplicate = rows.duplicated([*flight, "sent", "delay"])
    latest = rows[~conflict].groupby(flight)["sent"].transform("max")
    rows["status"] = "superseded"
    rows.loc[rows["sent"] == latest.reindex(rows.index), "status"] = "current"
    rows.loc[duplicate, "status"] = "duplicate"
    rows.loc[conflict, "status"] = "conflict"
    return rows[["id", "status"]]


# %% [markdown] topics=["4.3-2"]
# ## Strange is not wrong
#
# *Can* it be? A limit says, from physics and experience. Is it *usual*? That needs a yardstick that outliers do not bend.
#
# **Predict:** how many winds at Newark are over three standard deviations from the mean, with the broken row and
# without?

# %%
wind = WEATHER[WEATHER["origin"] == "EWR"].set_index("time_hour")["wind_speed"].dropna()
for name, values in {"with it": wind, "without": wind[wind < 100]}.items():
    far = (values - values.mean()).abs() > 3 * values.std()
    middle = values.median()
    spread = 1.4826 * (values - middle).abs().median()
    robust = (values - middle).abs() > 3.5 * spread
    print(
        f"{name:<8} deviation {values.std():5.2f}: {far.sum():>2}, robust {spread:.2f}: {robust.sum()}"
    )
longest = FLIGHTS.nlargest(3, "dep_delay")
print(longest[["carrier", "flight", "dep_delay", "arr_delay"]].to_string(index=False))

# %% [markdown]
# One broken row hides fifty strong winds. The *median absolute deviation* (MAD; times 1.4826, it compares with a standard
# deviation) does not notice it.
#
# A delay of 1,301 minutes is as strange, and real: the arrival was 1,272 minutes late. So an outlier gets a flag.

# %% [markdown] role="task" exercise="flags" points=2 topics=["4.3-2"]
# ### Flag it, keep it
#
# Write `flags(weather)`. The frame has `origin`, `time_hour` and `wind_speed` (miles an hour, may be null). Return all
# rows with these columns, unchanged, and `flag`:
#
# | Flag | When (the first that holds) |
# |---|---|
# | `missing` | no wind |
# | `impossible` | below 0 or above 120 |
# | `unusual` | further than 3.5 · 1.4826 · MAD from the median |
# | `ok` | otherwise |
#
# Median and MAD (the median of the distances from the median) are those of the possible winds of the same origin. Where the
# MAD is 0, nothing is unusual.
#
# Why: who uses the column can decide by a flag, not by a hole.


# %% role="answer" exercise="flags"
def flags(weather: pd.DataFrame) -> pd.DataFrame:
    """The rows with a flag on each wind."""
    ### BEGIN SOLUTION
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    distance = (
        possible - possible.groupby(weather["origin"]).transform("median")
    ).abs()
    mad = distance.groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[(distance > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
    flag[possible.isna()] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)
    ### END SOLUTION


# %% role="check" exercise="flags"
with lab.check("flags") as answer:
    for asked, origin, values in [
        (
            "an ordinary day with a gale",
            "EWR",
            {10: "ok", 11: "ok", 12: "ok", 9: "ok", 8: "ok", 21: "ok", 22: "unusual"},
        ),
        (
            "no wind, limits, and what cannot be",
            "LGA",
            {0: "ok", 60: "ok", 120: "ok", 121: "impossible", -1: "impossible"},
        ),
        (
            "a broken sensor, which sends 1048 and more again and again",
            "JFK",
            {10: "ok", 11: "ok", 12: "ok", 40: "unusual"}
            | {1048 + n: "impossible" for n in range(6)},
        ),
        (
            "a storm with a lull",
            "EWR",
            {50: "ok", 51: "ok", 52: "ok", 49: "ok", 48: "ok", 10: "unusual"},
        ),
        ("a null", "LGA", {None: "missing", 12: "ok", 11: "ok", 10: "ok"}),
        (
            "nothing that can be",
            "LGA",
            {None: "missing", 1048: "impossible", -3: "impossible"},
        ),
    ]:
        hours = pd.date_range("2013-02-12", periods=len(values), freq="h", tz="UTC")
        weather = pd.DataFrame({"origin": origin, "time_hour": hours})
        weather["wind_speed"] = [float(v) if v is not None else None for v in values]
        answer.same_rows(
            answer.call("flags", weather),
            weather.assign(flag=list(values.values())),
            asked=f"{asked}: winds of {list(values)} at {origin}",
            key=["origin", "time_hour"],
        )
    hours = pd.date_range("2013-02-12", periods=10, freq="h", tz="UTC")
    weather = pd.DataFrame({"origin": ["EWR"] * 5 + ["JFK"] * 5, "time_hour": hours})
    weather["wind_speed"] = [5.0, 5.0, 5.0, 6.0, 9.0, 30.0, 31.0, 32.0, 33.0, 45.0]
    answer.same_rows(
        answer.call("flags", weather),
        weather.assign(flag=["ok"] * 9 + ["unusual"]),
        asked=f"a still and a windy airport: {weather['wind_speed'].tolist()}, five each",
        key=["origin", "time_hour"],
    )

# %% role="hidden" exercise="flags"
with lab.check("flags", hidden=True) as answer:
    draw = answer.random
    month = draw.randrange(1, 13)
    real = dataset("weather").frame()
    real = real[real["month"] == month][["origin", "time_hour", "wind_speed"]]
    rows = real.iloc[sorted(draw.sample(range(len(real)), 400))].to_dict("records")
    for row in rows:
        if row["origin"] == "LGA":
            row["wind_speed"] = 70 - row["wind_speed"]
        elif draw.random() < 0.7:
            row["wind_speed"] = {"EWR": 5.0, "JFK": 1048.36}[row["origin"]]
    for row in draw.sample(rows, 60):
        row["wind_speed"] = draw.choice([-0.5, 120.5, 1048.36, 55.3, 70.1, None])
    lull = draw.choice([row for row in rows if row["origin"] == "LGA"])
    lull["wind_speed"] = 3.5
    expected = []
    for origin in ("EWR", "JFK", "LGA"):
        here = [row for row in rows if row["origin"] == origin]
        known = pd.Series([row["wind_speed"] for row in here], dtype="float64").dropna()
        known = known[(known >= 0) & (known <= 120)]
        middle = known.median()
        limit = 3.5 * 1.4826 * (known - middle).abs().median()
        for row in here:
            value = row["wind_speed"]
            if pd.isna(value):
                kind = "missing"
            elif not 0 <= value <= 120:
                kind = "impossible"
            else:
                far = limit > 0 and abs(value - middle) > limit
                kind = "unusual" if far else "ok"
            expected.append(row | {"flag": kind})
    answer.same_rows(
        answer.call("flags", pd.DataFrame(rows)),
        pd.DataFrame(expected),
        asked="the flags of 400 rows, with a storm at LGA (and a lull), still air at EWR, a broken sensor at JFK",
        key=["origin", "time_hour"],
    )

# %% [markdown] role="hint" exercise="flags"
# Which winds may bend the yardstick, and of which airport? What does a comparison with null give?

# %% [markdown] role="hint" exercise="flags"
# `where(…)` turns impossible winds into nulls, and `median` ignores these. `groupby(…).transform("median")`
# gives each row the median of its own group. Set the strongest flag last.

# %% [markdown] role="hint" exercise="flags"
# ```python
# possible = wind.where(wind.between(...))
# distance = (possible - possible.groupby(weather["origin"]).transform(...)).abs()
# mad = distance.groupby(...).transform(...)
# flag = pd.Series("ok", index=weather.index)
# flag[...] = "unusual"
# flag[...] = "impossible"
# flag[...] = "missing"
# return weather.assign(flag=flag)
# ```


# %% role="right" exercise="flags"
def flags(weather):
    yardsticks = {}
    for origin, group in weather.groupby("origin"):
        known = group.loc[group["wind_speed"].between(0, 120), "wind_speed"]
        middle = known.median()
        yardsticks[origin] = middle, (known - middle).abs().median()

    def judge(row):
        middle, mad = yardsticks[row["origin"]]
        if pd.isna(row["wind_speed"]):
            return "missing"
        if row["wind_speed"] < 0 or row["wind_speed"] > 120:
            return "impossible"
        if mad and abs(row["wind_speed"] - middle) / (1.4826 * mad) > 3.5:
            return "unusual"
        return "ok"

    return weather.assign(flag=[judge(row) for row in weather.to_dict("records")])


# %% [markdown] role="equivalent" exercise="flags" reason="whether a wind at the very limit is unusual depends on how floats are rounded"
# - flag[(distance > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
# + flag[(distance >= 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"


# %% role="right" exercise="flags"
def flags(weather):
    import duckdb

    return duckdb.sql(
        """
        WITH middles AS (
            SELECT origin, median(wind_speed) AS middle, mad(wind_speed) AS mad
            FROM weather WHERE wind_speed BETWEEN 0 AND 120 GROUP BY origin
        )
        SELECT weather.*, CASE
            WHEN wind_speed IS NULL THEN 'missing'
            WHEN wind_speed NOT BETWEEN 0 AND 120 THEN 'impossible'
            WHEN mad > 0 AND abs(wind_speed - middle) > 3.5 * 1.4826 * mad THEN 'unusual'
            ELSE 'ok' END AS flag
        FROM weather LEFT JOIN middles USING (origin)
        """
    ).to_arrow_table()


# %% role="wrong" exercise="flags" misconception="Three standard deviations from the mean are unusual" caught="check" says="with a gale"
def flags(weather):
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    groups = possible.groupby(weather["origin"])
    distance = (possible - groups.transform("mean")).abs()
    flag = pd.Series("ok", index=weather.index)
    flag[distance > 3 * groups.transform("std")] = "unusual"
    flag[possible.isna()] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="What cannot be is deleted" caught="check" says="missing"
def flags(weather):
    weather = weather[
        weather["wind_speed"].isna() | weather["wind_speed"].between(0, 120)
    ]
    wind = weather["wind_speed"]
    distance = (wind - wind.groupby(weather["origin"]).transform("median")).abs()
    mad = distance.groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[(distance > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="A robust rule needs no cleaning before it" caught="check" says="again and again"
def flags(weather):
    wind = weather["wind_speed"]
    distance = (wind - wind.groupby(weather["origin"]).transform("median")).abs()
    mad = distance.groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[(distance > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
    flag[(wind < 0) | (wind > 120)] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="One yardstick fits all airports" caught="check" says="a still and a windy airport"
def flags(weather):
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    distance = (possible - possible.median()).abs()
    mad = distance.median()
    flag = pd.Series("ok", index=weather.index)
    if mad > 0:
        flag[distance > 3.5 * 1.4826 * mad] = "unusual"
    flag[possible.isna()] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="Where nearly all are alike, every other value is unusual" caught="check" says="a still and a windy airport"
def flags(weather):
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    distance = (
        possible - possible.groupby(weather["origin"]).transform("median")
    ).abs()
    mad = distance.groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[distance > 3.5 * 1.4826 * mad] = "unusual"
    flag[possible.isna()] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="A missing wind is no wind" caught="check" says="a null"
def flags(weather):
    weather = weather.assign(wind_speed=weather["wind_speed"].fillna(0))
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    distance = (
        possible - possible.groupby(weather["origin"]).transform("median")
    ).abs()
    mad = distance.groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[(distance > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
    flag[possible.isna()] = "impossible"
    return weather.assign(flag=flag)


# %% role="wrong" exercise="flags" misconception="Only a gale is unusual" caught="check" says="a storm with a lull"
def flags(weather):
    wind = weather["wind_speed"]
    possible = wind.where(wind.between(0, 120))
    above = possible - possible.groupby(weather["origin"]).transform("median")
    mad = above.abs().groupby(weather["origin"]).transform("median")
    flag = pd.Series("ok", index=weather.index)
    flag[(above > 3.5 * 1.4826 * mad) & (mad > 0)] = "unusual"
    flag[possible.isna()] = "impossible"
    flag[wind.isna()] = "missing"
    return weather.assign(flag=flag)


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | read units | convert, then judge |
# | find instants | count in UTC, read the clock there |
# | find duplicates | first say what one thing is |
# | flag outliers | physics, then a robust yardstick |
#
# **New words.** *Quarantine*: rows set aside, raw, with a reason. *MAD*: median absolute deviation. *Duplicate*: a second
# row about one thing.
#
# **Read on.** F. R. Hampel, "The Influence Curve and Its Role in Robust Estimation", *Journal of the American Statistical
# Association* 69 (1974). PEP 495, "Local Time Disambiguation" (2015).

# %%
lab.close()
