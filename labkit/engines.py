"""One question for all engines: departures and mean delay, by airport and hour of departure.

Each lab on an engine answers it with a function ``board(events, wait)``, on the same events, some
of which come late and some twice. ``benchmarks/engines`` runs the labs' own answers and writes the
page that compares them.
"""

from __future__ import annotations

import html
import inspect
import json
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from labkit.datasets import dataset

#: Minutes that outlast the latest event: with them nothing may be left out.
PATIENCE = 480
#: Minutes that a busy board would wait.
HASTE = 10
#: A file to which :func:`compare` appends what it measured, one JSON object a line.
RECORD = "COURSE_ENGINES_RECORD"
#: Days of events from which throughput is measured.
DAYS = 20

Board = Callable[[list[dict[str, Any]], int], Any]


def events(days: int = 1) -> list[dict[str, Any]]:
    """The events in order of arrival: ``id``, ``origin``, ``departed``, ``arrived``, ``delay``.

    Times are datetimes in UTC, the delay is in minutes. More ``days`` repeat the one real day.
    """
    rows = [
        {
            "id": f"{row['event']}-{day}",
            "origin": row["origin"],
            "departed": (row["departed"] + timedelta(days=day)).astimezone(UTC),
            "arrived": (row["arrived"] + timedelta(days=day)).astimezone(UTC),
            "delay": row["delay"],
        }
        for day in range(days)
        for row in dataset("departure-events").arrow().to_pylist()
    ]
    return sorted(rows, key=lambda row: row["arrived"])


def batch(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, datetime], tuple[int, float]]:
    """The answer when all is there: (origin, hour) to (departures, mean delay in minutes)."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["id"], row)
    groups: dict[tuple[str, datetime], list[int]] = {}
    for row in first.values():
        hour = row["departed"].replace(minute=0, second=0, microsecond=0)
        groups.setdefault((row["origin"], hour), []).append(row["delay"])
    return {key: (len(group), statistics.mean(group)) for key, group in groups.items()}


class Comparison:
    """How an engine's answer compares with the batch's; shown as a table in a notebook."""

    def __init__(self, engine: str, rows: dict[str, str]) -> None:
        self.engine = engine
        self.rows = rows

    def __repr__(self) -> str:
        return "\n".join([self.engine, *(f"  {name}: {text}" for name, text in self.rows.items())])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self.rows.items()
        )
        return f"<table><caption>{html.escape(self.engine)}</caption>{cells}</table>"


def compare(engine: str, version: str, board: Board, *helpers: Callable[..., Any]) -> Comparison:
    """Ask ``board`` the one question, and compare its answer with the batch's.

    ``board(events, wait)`` gets :func:`events` and the minutes for which its watermark waits, and
    returns rows with ``origin``, ``hour`` (a datetime in UTC), ``departures`` and ``delay``: a list
    of dictionaries, or a table of pandas, Arrow or Spark. ``helpers`` are functions of the lab that
    it uses: their lines count too.
    """
    lines = sum(map(_lines, (board, *helpers)))
    started = time.perf_counter()
    answer = board(events(), PATIENCE)
    seconds = time.perf_counter() - started
    if answer is None:
        return Comparison(engine, {"answer": "not started"})
    rows, truth = _cells(answer), batch(events())
    found = dict(rows)
    equal = sum(_same(found.get(key), cell) for key, cell in truth.items())
    if record := os.environ.get(RECORD):
        _measure(pathlib.Path(record), engine, version, board, lines, equal, len(truth), seconds)
    missing = sum(n for n, _ in truth.values()) - sum(n for n, _ in found.values())
    return Comparison(
        engine,
        {
            "version": version,
            "cells equal to the batch": f"{equal} of {len(truth)}",
            # A cell that is given twice is one too many.
            "cells that the batch has not": str(len(rows) - len({*found} & {*truth})),
            "departures left out": str(missing),
            "lines of code": str(lines),
        },
    )


def _measure(
    record: pathlib.Path,
    engine: str,
    version: str,
    board: Board,
    lines: int,
    equal: int,
    cells: int,
    seconds: float,
) -> None:
    """Append one line to the record: the answer's quality, and what it costs on this machine."""
    hasty = sum(n for n, _ in dict(_cells(board(events(), HASTE))).values())
    many = events(DAYS)
    started = time.perf_counter()
    board(many, PATIENCE)
    throughput = len(many) / (time.perf_counter() - started)
    row = {
        "engine": engine,
        "version": version,
        "equal": equal,
        "cells": cells,
        "left_out_in_haste": sum(n for n, _ in batch(events()).values()) - hasty,
        "lines": lines,
        "first_seconds": round(seconds, 3),
        "events_a_second": round(throughput),
    }
    with record.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps(row) + "\n")


def _cells(answer: Any) -> list[tuple[tuple[str, datetime], tuple[int, float]]]:
    if hasattr(answer, "toPandas"):  # Spark
        answer = answer.toPandas()
    if hasattr(answer, "to_pylist"):  # Arrow
        answer = answer.to_pylist()
    if hasattr(answer, "to_dict"):  # pandas
        answer = answer.to_dict("records")
    return [
        ((row["origin"], _utc(row["hour"])), (int(row["departures"]), float(row["delay"])))
        for row in answer
    ]


def _utc(hour: Any) -> datetime:
    if hasattr(hour, "to_pydatetime"):
        hour = hour.to_pydatetime()
    # Spark and Flink give times of their session's zone, which is UTC, without saying so.
    return hour.replace(tzinfo=UTC) if hour.tzinfo is None else hour.astimezone(UTC)


def _same(found: tuple[int, float] | None, cell: tuple[int, float]) -> bool:
    return found is not None and found[0] == cell[0] and math.isclose(found[1], cell[1])


def _lines(function: Callable[..., Any]) -> int:
    """Lines that say something: no blank ones, comments, docstring or nbgrader's marks."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return 0
    doc = inspect.getdoc(function) or ""
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return len(lines) - len([line for line in doc.splitlines() if line.strip()])
