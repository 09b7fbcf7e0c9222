"""The forecast of bad hours at New York's airports: the table that several labs learn from."""

from __future__ import annotations

import pandas as pd

from labkit.datasets import dataset

SENSORS = ["temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
#: Hours ago of which the sensors are known.
LAGS = (1, 2, 3)
#: Over this share of departures that leave over 30 minutes late, an hour is bad.
BAD_SHARE = 0.2
_KEYS = ["time_hour", "origin"]


def bad_hours() -> pd.DataFrame:
    """A row for each hour and airport of 2013 with 8 departures or more, sorted by time.

    Columns: ``time_hour``, ``origin``, ``planned`` (departures), ``hour`` of the day, each sensor
    with each lag (``temp_1``), ``report`` (the METAR of the hour before), ``bad``, and ``test``: a
    week in three.
    """
    weather = dataset("weather").frame().sort_values(_KEYS, ignore_index=True)
    weather["report"] = dataset("metar").text().splitlines()  # in the order of the rows
    columns = [*_KEYS, "hour", "dep_delay"]
    flights = pd.read_parquet(dataset("flights").path, columns=columns)
    flights["late"] = flights["dep_delay"] > 30
    hours = flights.groupby(_KEYS, as_index=False).agg(
        planned=("late", "size"),
        left=("dep_delay", "count"),
        late=("late", "sum"),
        hour=("hour", "first"),
    )
    hours = hours[hours["left"] >= 8]
    for ago in LAGS:
        then = weather[[*_KEYS, *SENSORS]].rename(columns={n: f"{n}_{ago}" for n in SENSORS})
        then["time_hour"] += pd.Timedelta(hours=ago)
        hours = hours.merge(then, on=_KEYS)
    before = weather[[*_KEYS, "report"]]
    before = before.assign(time_hour=before["time_hour"] + pd.Timedelta(hours=1))
    hours = hours.merge(before, on=_KEYS).sort_values(_KEYS, ignore_index=True)
    hours["bad"] = hours["late"] / hours["left"] > BAD_SHARE
    hours["test"] = hours["time_hour"].dt.dayofyear // 7 % 3 == 2
    return hours.drop(columns=["left", "late"])
