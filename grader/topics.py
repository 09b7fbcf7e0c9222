"""The guide's topics against the sections and exercises that name them."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grader.source import CURRICULUM, LabSource

TOPICS = CURRICULUM / "topics.csv"


@dataclass(frozen=True)
class Topic:
    """One of the guide's topics; ``parent`` is empty at the top level of a chapter."""

    id: str
    chapter: str
    parent: str
    title: str


@dataclass(frozen=True)
class Coverage:
    """Where a topic is taught (a section) and graded (exercises), by lab."""

    topic: Topic
    sections: tuple[str, ...]
    exercises: tuple[str, ...]

    @property
    def covered(self) -> bool:
        """Taught in a section and graded by an exercise."""
        return bool(self.sections and self.exercises)


@functools.cache
def topics() -> dict[str, Topic]:
    """All topics of the guide, by id, in its order."""
    with TOPICS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {r["id"]: Topic(r["id"], r["chapter"], r["parent"], r["topic"]) for r in rows}


def coverage(labs: Iterable[LabSource]) -> list[Coverage]:
    """Each topic of the guide with the sections and exercises of these labs that name it."""
    taught: dict[str, list[str]] = {}
    graded: dict[str, list[str]] = {}
    for lab in labs:
        for heading, ids in lab.sections.items():
            for topic in ids:
                taught.setdefault(topic, []).append(f"{lab.name}: {heading}")
        for exercise in lab.exercises:
            for topic in exercise.topics:
                graded.setdefault(topic, []).append(f"{lab.name}: {exercise.title}")
    return [
        Coverage(topic, tuple(taught.get(topic.id, ())), tuple(graded.get(topic.id, ())))
        for topic in topics().values()
    ]


def summary(rows: list[Coverage]) -> dict[str, object]:
    """The totals as ``./course topics --json`` prints them."""
    return {
        "topics": len(rows),
        "covered": sum(row.covered for row in rows),
        "missing": [row.topic.id for row in rows if not row.covered],
    }


def show(rows: list[Coverage]) -> None:
    """Print the topics, chapter by chapter, and the totals."""
    table = Table("Topic", "Taught in", "Graded by")
    for row in rows:
        empty = "[dim]no lab yet[/dim]"
        table.add_row(
            f"{row.topic.id} {escape(row.topic.title)}",
            escape("\n".join(row.sections)) or empty,
            escape("\n".join(row.exercises)) or empty,
        )
    console = Console()
    console.print(table)
    totals = summary(rows)
    console.print(f"{totals['covered']} of {totals['topics']} topics are taught and graded.")
