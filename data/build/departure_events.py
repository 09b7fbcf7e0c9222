"""Departure events of 2013-07-10 in the order of their arrival: late ones, and some twice."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from data.build.catalogue import Resource
from data.build.flights_day import flights_on
from data.build.formats import write_json_lines
from data.build.seeds import rng
from data.build.tables import RawTable

#: Shares of events that come minutes late, hours late, and a second time.
LATE, VERY_LATE, TWICE = 0.06, 0.01, 0.04


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write one event for each flight that left, and the repeats, sorted by arrival."""
    flights = flights_on(raw("flights-raw"), month=7, day=10).to_pylist()
    departed = [flight for flight in flights if flight["dep_time"] is not None]
    departed.sort(key=lambda f: (_departure(f), f["carrier"], f["flight"]))
    draw = rng(resource["name"], "2013-07-10")
    sent = []
    for number, flight in enumerate(departed, 1):
        left = _departure(flight)
        event = {
            "event": f"D{number:04}",
            "flight": f"{flight['carrier']}{flight['flight']}",
            "tail": flight["tailnum"],
            "origin": flight["origin"],
            "dest": flight["dest"],
            "departed": _utc(left),
            "delay": flight["dep_delay"],
        }
        chance = draw.random()
        low, high = (1, 30)
        if chance < VERY_LATE:
            low, high = (3 * 3600, 6 * 3600)
        elif chance < VERY_LATE + LATE:
            low, high = (5 * 60, 45 * 60)
        arrives = left + timedelta(seconds=int(draw.integers(low, high)))
        sent.append((arrives, event))
        if draw.random() < TWICE:
            again = arrives + timedelta(seconds=int(draw.integers(1, 900)))
            sent.append((again, event))
    sent.sort(key=lambda pair: (pair[0], pair[1]["event"]))
    write_json_lines(({**event, "arrived": _utc(arrives)} for arrives, event in sent), out)


def _departure(flight: dict[str, Any]) -> datetime:
    return flight["time_hour"] + timedelta(minutes=flight["minute"] + flight["dep_delay"])


def _utc(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"
