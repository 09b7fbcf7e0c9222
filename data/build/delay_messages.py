"""Delay messages of 2013-07-10: real flights and delays, invented causes, as JSON lines."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from data.build.catalogue import Resource
from data.build.flights_day import flights_on
from data.build.formats import write_json_lines
from data.build.seeds import rng
from data.build.tables import RawTable

EMPTY_CAUSES, NULL_CAUSES, NOTE, GATE, CREW = 0.06, 0.03, 0.25, 0.08, 0.05

# IATA delay codes, how often we draw them, and what a dispatcher may write.
NOTES = {
    "93": ["Aircraft late from São Paulo", "Rotation: inbound from Zürich late", "Late inbound"],
    "81": ["ATC slot", "Flow control, en route", "Créneau ATC, nouvelle heure à confirmer"],
    "41": ["Équipe technique à bord", "Hydraulic check", "Brake wear – wheel changed"],
    "71": ["Thunderstorm over the field", "Orages, départs arrêtés", "Ramp closed, lightning ⚡"],
    "15": ["Équipage attend un passager", "Bag of Ms Müller off-loaded", "Wheelchair late"],
}
SHARES = [0.40, 0.25, 0.10, 0.15, 0.10]
CAPTAINS = ["A. Núñez", "B. Øvergård", "C. Smith", "D. Łukasik", "E. Đorđević", "F. Müller"]


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write one message for each flight that left, in the order of departure."""
    flights = flights_on(raw("flights-raw"), month=7, day=10).to_pylist()
    departed = [flight for flight in flights if flight["dep_time"] is not None]
    departed.sort(key=lambda f: (_departure(f), f["carrier"], f["flight"]))
    write_json_lines(_messages(departed, rng(resource["name"], "2013-07-10")), out)


def _departure(flight: dict[str, Any]) -> datetime:
    return flight["time_hour"] + timedelta(minutes=flight["minute"] + flight["dep_delay"])


def _scheduled(flight: dict[str, Any]) -> str:
    local = datetime(*(flight[part] for part in ("year", "month", "day", "hour", "minute")))
    utc = flight["time_hour"].replace(tzinfo=None) + timedelta(minutes=flight["minute"])
    # The offset is the difference of the two columns: no time zone database is needed.
    return local.replace(tzinfo=timezone(local - utc)).isoformat()


def _messages(flights: list[dict[str, Any]], draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for flight in flights:
        message: dict[str, Any] = {
            "flight": f"{flight['carrier']}{flight['flight']}",
            "tail": flight["tailnum"],
            "from": flight["origin"],
            "to": flight["dest"],
            "scheduled": _scheduled(flight),
        }
        if flight["dep_delay"] > 0:
            message["delay"] = {
                "minutes": flight["dep_delay"],
                "causes": _causes(flight["dep_delay"], draw),
            }
        if draw.random() < GATE:
            message["gate"] = f"{'ABCD'[draw.integers(4)]}{draw.integers(1, 40)}"
        if draw.random() < CREW:
            message["crew"] = {"captain": CAPTAINS[draw.integers(len(CAPTAINS))]}
        yield message


def _causes(minutes: int, draw: np.random.Generator) -> list[dict[str, Any]] | None:
    known = draw.random()
    if known < EMPTY_CAUSES:
        return []
    if known < EMPTY_CAUSES + NULL_CAUSES:
        return None
    count = min(int(draw.choice([1, 2, 3], p=[0.70, 0.22, 0.08])), minutes)
    codes = draw.choice(list(NOTES), size=count, replace=False, p=SHARES)
    # Distinct cuts of the delay: every part has a minute at least, and the parts sum to it.
    cuts = np.sort(draw.choice(np.arange(1, minutes), size=count - 1, replace=False))
    parts = np.diff([0, *cuts, minutes])
    causes = []
    for code, part in zip(codes.tolist(), parts.tolist(), strict=True):
        cause = {"code": code, "minutes": part}
        if draw.random() < NOTE:
            cause["note"] = NOTES[code][draw.integers(len(NOTES[code]))]
        causes.append(cause)
    return causes
