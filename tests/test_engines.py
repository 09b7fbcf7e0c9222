"""The one question: what is compared, and that the page has all engines that the labs ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.engines import run
from grader.source import read_source, sources
from labkit import engines


def answer(rows):
    return [
        {"origin": origin, "hour": hour, "departures": n, "delay": mean}
        for (origin, hour), (n, mean) in engines.batch(rows).items()
    ]


def board(events, wait):
    """Only what arrives within the wait."""
    # No line of its own.
    in_time = [e for e in events if (e["arrived"] - e["departed"]).total_seconds() <= 60 * wait]

    return answer(in_time)


def test_events_come_late_and_twice():
    rows = engines.events()
    assert [row["arrived"] for row in rows] == sorted(row["arrived"] for row in rows)
    assert len({row["id"] for row in rows}) < len(rows)
    late = max((row["arrived"] - row["departed"]).total_seconds() for row in rows) / 60
    assert engines.HASTE < late < engines.PATIENCE
    assert {row["departed"].tzinfo for row in rows} == {UTC}


def test_more_days_are_more_of_the_same():
    one, three = engines.batch(engines.events()), engines.batch(engines.events(3))
    assert len(three) == 3 * len(one)
    assert sorted(three.values()) == sorted([*one.values()] * 3)


@pytest.mark.parametrize(
    "form",
    [
        list,
        pd.DataFrame,
        pa.Table.from_pylist,
        lambda rows: pd.DataFrame(rows).assign(hour=lambda t: t["hour"].dt.tz_localize(None)),
    ],
)
def test_an_answer_may_be_any_table(form):
    found = engines.compare("Mine", "1", lambda events, wait: form(board(events, wait)))
    assert found.rows["cells equal to the batch"] == "66 of 66"
    assert found.rows["departures left out"] == "0"


def test_differences_are_counted():
    def wrong(events, wait):
        rows = answer(events)[1:]
        rows[0]["delay"] += 0.01
        strange = rows[1] | {"hour": datetime(2013, 1, 1, tzinfo=UTC), "departures": 2}
        return [rows[2], *rows, strange]

    found = engines.compare("Mine", "1", wrong)
    assert found.rows["cells equal to the batch"] == "64 of 66"
    assert found.rows["cells that the batch has not"] == "2"  # one is given twice
    assert "64 of 66" in repr(found)
    assert "64 of 66" in found._repr_html_()


def test_an_answer_not_begun_is_said():
    assert engines.compare("Mine", "1", lambda events, wait: None).rows == {"answer": "not started"}


def test_lines_that_say_something_count():
    assert engines.compare("Mine", "1", board).rows["lines of code"] == "3"
    assert engines.compare("Mine", "1", board, answer).rows["lines of code"] == "8"


def test_a_record_says_what_it_costs(tmp_path, monkeypatch):
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv(engines.RECORD, str(record))
    engines.compare("Mine", "1", board)
    row = json.loads(record.read_text())
    assert (row["equal"], row["cells"], row["lines"]) == (66, 66, 3)
    assert row["left_out_in_haste"] > 0
    assert row["events_a_second"] > 0


def test_the_page_has_all_engines_and_each_agrees_with_the_batch():
    asked = {
        lab.name: sum(cell.source.count(run.COMPARES) for cell in lab.cells)
        for lab in map(read_source, sources(run.MODULE))
    }
    rows = json.loads(run.RESULTS.read_text(encoding="utf-8"))
    measured = [row["lab"] for row in rows]
    assert {lab: measured.count(lab) for lab in asked} == asked
    assert all(row["equal"] == row["cells"] for row in rows)
    assert run.PAGE.read_text(encoding="utf-8") == run.page(rows)
