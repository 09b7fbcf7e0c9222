"""Comments of passengers: real flights and delays, invented words, with what is said labelled."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.build.catalogue import Resource
from data.build.flights_day import flights_on
from data.build.formats import write_json_lines
from data.build.phrases import PHRASES
from data.build.seeds import rng
from data.build.tables import RawTable

DAYS = ((1, 16), (3, 8), (7, 10), (12, 5))
COUNT, SECOND, TYPO, SIGNED, DECOMPOSED, TAG = 1800, 0.45, 0.03, 0.25, 0.5, 0.12

NAMES = {
    "EWR": ["EWR", "Newark"],
    "JFK": ["JFK", "Kennedy"],
    "LGA": ["LGA", "LaGuardia"],
    "ORD": ["ORD", "O'Hare"],
    "ATL": ["ATL", "Atlanta"],
    "BOS": ["BOS", "Boston"],
    "SFO": ["SFO", "San Francisco"],
    "LAX": ["LAX", "Los Angeles"],
    "MCO": ["MCO", "Orlando"],
    "SJU": ["SJU", "San Juan"],
    "MIA": ["MIA", "Miami"],
    "BQN": ["BQN", "Aguadilla"],
}
OPENINGS = [
    "Flew {flight} from {origin} to {dest}.",
    "{flight} to {dest} –",
    "My trip on {flight} ({origin}-{dest}):",
    "About {flight}, {dest}:",
    "{origin} to {dest} again, {flight}.",
    "To whom it may concern, re {flight}:",
]
TAGGED = ["My bag has the tag {tag}.", "Tag {tag}, if that helps.", "(bag {tag})"]
PEOPLE = ["José Núñez", "Zoë Müller", "Siân Évora", "Bjørn Ångström", "Renée Łukasik", "Ann Lee"]
PREFIXES = {"AA": "001", "DL": "006", "UA": "016", "US": "037", "B6": "279", "WN": "526"}


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the comments in the order of their numbers."""
    table, flights = raw("flights-raw"), []
    for month, day in DAYS:
        flights += flights_on(table, month=month, day=day).to_pylist()
    flights = [f for f in flights if f["dep_delay"] is not None and f["dest"] in NAMES]
    flights.sort(key=lambda f: (f["time_hour"], f["carrier"], f["flight"]))
    write_json_lines(_comments(flights, rng(resource["name"], "2013")), out)


def _comments(flights: list[dict[str, Any]], draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    for number in range(1, COUNT + 1):
        flight = flights[draw.integers(len(flights))]
        # The later the flight, the angrier; a few are angry at all times, or never.
        bad = draw.random() < (0.85 if flight["dep_delay"] > 30 else 0.35)
        polarity = "bad" if bad else "good"
        fitting = [key for key in PHRASES if key.split("-")[1] == polarity]
        chosen = [fitting[draw.integers(len(fitting))]]
        if draw.random() < SECOND:
            second = fitting[draw.integers(len(fitting))]
            chosen += [second] if second != chosen[0] else []
        text, entities = _opening(flight, draw)
        for key in chosen:
            text += " " + _typos(PHRASES[key], draw)
        if draw.random() < TAG:
            text, entities = _tag(text, entities, flight, draw)
        if draw.random() < SIGNED:
            person = PEOPLE[draw.integers(len(PEOPLE))]
            form = "NFD" if draw.random() < DECOMPOSED else "NFC"
            text += " " + unicodedata.normalize(form, person)
        yield {
            "comment": f"C{number:04}",
            "text": text,
            "polarity": polarity,
            "aspects": sorted({key.split("-")[0] for key in chosen}),
            "phrases": chosen,
            "delay": flight["dep_delay"],
            "entities": entities,
        }


def _opening(flight: dict[str, Any], draw: np.random.Generator) -> tuple[str, list[dict]]:
    separator = ["", " ", "\u00a0", "-"][draw.choice(4, p=[0.5, 0.3, 0.12, 0.08])]
    code = f"{flight['carrier']}{flight['flight']}"
    slots = {
        "flight": (f"{flight['carrier']}{separator}{flight['flight']}", code),
        "origin": (NAMES[flight["origin"]][draw.integers(2)], flight["origin"]),
        "dest": (NAMES[flight["dest"]][draw.integers(2)], flight["dest"]),
    }
    return _fill("", OPENINGS[draw.integers(len(OPENINGS))], slots)


def _tag(
    text: str, entities: list[dict], flight: dict[str, Any], draw: np.random.Generator
) -> tuple[str, list[dict]]:
    prefix = PREFIXES.get(flight["carrier"], "999")
    tag = f"0{prefix}{draw.integers(10**6):06}"
    template = " " + TAGGED[draw.integers(len(TAGGED))]
    text, found = _fill(text, template, {"tag": (tag, tag)})
    return text, entities + found


def _fill(text: str, template: str, slots: dict[str, tuple[str, str]]) -> tuple[str, list[dict]]:
    """Add a template to the text; where its slots lie is told in characters of the whole text."""
    entities = []
    for part in template.split("{"):
        name, brace, rest = part.partition("}")
        if brace:
            shown, value = slots[name]
            label = "airport" if name in ("origin", "dest") else name
            span = {"start": len(text), "end": len(text) + len(shown)}
            entities.append({**span, "label": label, "value": value})
            text += shown + rest
        else:
            text += part
    return text, entities


def _typos(phrase: str, draw: np.random.Generator) -> str:
    words = phrase.split(" ")
    for at, word in enumerate(words):
        if len(word) > 4 and word.isalpha() and draw.random() < TYPO:
            cut = int(draw.integers(1, len(word) - 2))
            words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)
