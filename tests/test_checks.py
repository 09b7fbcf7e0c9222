"""The check handle: outcomes, comparisons, and values that cannot lie."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labkit.check import Check, LocalAnswers, NotStarted, NotYet, compare, wire
from labkit.check.verdicts import Exercise

EXERCISE = Exercise("count", "Count the flights", 2, "section “Counting” of this lab")


def check(hidden: bool = False, **answers) -> tuple[Check, list[str]]:
    outcomes: list[str] = []
    handle = Check(EXERCISE, LocalAnswers(answers), hidden=hidden, record=outcomes.append)
    return handle, outcomes


def run(handle: Check, *steps) -> None:
    with handle as answer:
        for step in steps:
            step(answer)


class TestOutcomes:
    def test_done_prints_one_line(self, capsys):
        handle, outcomes = check(count=lambda: 3)
        run(handle, lambda a: a.equal(a.call("count"), 3, asked="three"))
        assert capsys.readouterr().out == "✓ done: Count the flights (2 points)\n"
        assert outcomes == ["done"]

    @pytest.mark.parametrize("name", ["absent", "ellipsis", "stub", "passing", "documented"])
    def test_not_started(self, name):
        def stub(): ...

        def passing():
            pass

        def documented():
            """Return the count."""

        given = {"ellipsis": ..., "stub": stub, "passing": passing, "documented": documented}
        handle, outcomes = check(**given)
        question = "value" if name == "ellipsis" else "call"
        with pytest.raises(NotStarted) as caught:
            run(handle, lambda a: getattr(a, question)(name))
        assert outcomes == ["not started"]
        assert caught.value._render_traceback_()[0].startswith("○ not started: Count the flights")

    def test_not_yet_says_asked_found_and_where_to_read(self):
        handle, outcomes = check(count=lambda: 4)
        with pytest.raises(NotYet) as caught:
            run(handle, lambda a: a.equal(a.call("count"), 3, asked="the number of flights"))
        text = "\n".join(caught.value._render_traceback_())
        assert "asked: the number of flights" in text
        assert "found: 4" in text
        assert "read:  section “Counting” of this lab" in text
        assert "3" not in text.replace("3 points", "")
        assert outcomes == ["not yet"]

    def test_an_error_of_the_answer_is_one_line_of_theirs(self):
        def count():
            return {}["dep_time"]

        handle, _ = check(count=count)
        with pytest.raises(NotYet, match="count raised KeyError: 'dep_time'"):
            run(handle, lambda a: a.call("count"))

    def test_a_value_that_trips_the_check_is_not_yet(self):
        handle, outcomes = check(count=lambda: 5)
        with pytest.raises(NotYet, match=r"cannot read \(TypeError: object of type"):
            run(handle, lambda a: a.equal(len(a.call("count")), 3, asked="three"))
        assert outcomes == ["not yet"]

    def test_a_check_that_compares_nothing_is_a_defect(self):
        handle, _ = check(count=lambda: 4)
        with pytest.raises(AssertionError, match="compares nothing"):
            run(handle, lambda a: a.call("count"))

    def test_folders_are_gone_after_the_check(self, tmp_path):
        handle, _ = check(count=lambda path: Path(path).read_text(encoding="utf-8"))
        with handle as answer:
            path = answer.put("a.txt", "Ü")
            answer.equal(answer.call("count", path), "Ü", asked="the text")
        with pytest.raises(FileNotFoundError):
            Path(path).stat()


class TestValuesCannotLie:
    def test_an_object_that_equals_everything(self):
        class Liar:
            def __eq__(self, other):
                return True

        handle, _ = check(count=Liar)
        with pytest.raises(NotYet, match="found: a Liar"):
            run(handle, lambda a: a.equal(a.call("count"), 3, asked="three"))

    def test_a_subclass_of_int(self):
        class Three(int):
            def __eq__(self, other):
                return True

            __hash__ = int.__hash__

        handle, _ = check(count=lambda: Three(4))
        with pytest.raises(NotYet):
            run(handle, lambda a: a.equal(a.call("count"), 3, asked="three"))

    def test_an_argument_cannot_be_changed_for_the_check(self):
        frame = pd.DataFrame({"a": [1, 2]})

        def spoil(given):
            given["a"] = 0
            return 1

        handle, _ = check(spoil=spoil)
        run(handle, lambda a: a.equal(a.call("spoil", frame), 1, asked="one"))
        assert frame["a"].tolist() == [1, 2]

    def test_true_is_not_one(self):
        assert not compare.equal(True, 1)
        assert not compare.equal(1, True)

    def test_nan_matches_only_nothing(self):
        assert compare.equal(math.nan, None)
        assert not compare.equal(math.nan, 0.0)


VALUES = [
    None,
    True,
    2**70,
    -0.5,
    math.inf,
    "Ñuñoa \ud800",
    b"\x00\xff",
    [1, (2, {"a": {3, 4}})],
    {1: "x", (2, 3): None},
    dt.datetime(2013, 11, 3, 1, 30, tzinfo=dt.UTC),
    dt.date(2013, 3, 10),
    dt.time(5, 17),
    ...,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_come_back_as_they_were(value):
    back = wire.decode(wire.encode(value))
    assert back == value
    assert type(back) is type(value)


def test_library_values_come_back_plain():
    assert wire.decode(wire.encode(np.int64(3))) == 3
    assert wire.decode(wire.encode(np.array([1.5, 2]))) == [1.5, 2.0]
    assert wire.decode(wire.encode(pd.NA)) is None
    stamp = pd.Timestamp("2013-11-03", tz="UTC")
    assert wire.decode(wire.encode(stamp)) == dt.datetime(2013, 11, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize("dtype", [f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 64)])
def test_tables_keep_integers_beside_nulls(dtype):
    frame = pd.DataFrame({"a": pd.array([1, None], dtype=dtype), "b": [1, 2]})
    back = wire.decode(wire.encode(frame))
    assert str(back.dtypes["a"]) == dtype
    assert str(back.dtypes["b"]) == "int64"


def test_plain_values_need_no_table_library():
    """A grader's processes for a lab without tables stay small, and start sooner."""
    code = """
import sys
from labkit.check import compare, wire
value = {"a": [1, 2.5, None, ("x", {3})]}
assert compare.equal(wire.decode(wire.encode(value)), value)
assert compare.found(value)
sys.exit(bool({"pyarrow", "numpy", "pandas"} & {*sys.modules}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_column_of_mixed_kinds_is_named():
    mixed = pd.DataFrame({"a": [1, "x"]})
    assert "mixes kinds" in str(wire.decode(wire.encode(mixed)))


def test_a_value_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BYTES", 100)
    handle, _ = check(count=lambda: "x" * 1000)
    with pytest.raises(NotYet, match="larger than"):
        run(handle, lambda a: a.call("count"))


ROWS = pa.table({"flight": [1, 2, 3], "late": [None, 2.5, 7.0]})


@pytest.mark.parametrize(
    "same",
    [
        ROWS.to_pandas(),
        ROWS.take([2, 0, 1]),
        ROWS.select(["late", "flight"]),
        ROWS.cast(pa.schema([("flight", pa.int8()), ("late", pa.float32())])),
        duckdb.sql("SELECT * FROM ROWS ORDER BY late").to_arrow_table(),
        ROWS.to_pylist(),
    ],
    ids=["pandas", "order", "columns", "width", "duckdb", "dicts"],
)
def test_every_form_of_the_same_rows_is_accepted(same):
    assert compare.rows_gap(same, ROWS) is None
    assert compare.rows_gap(same, ROWS, key=["flight"]) is None


@pytest.mark.parametrize(
    ("got", "key", "words"),
    [
        (
            ROWS.slice(1),
            ["flight"],
            "1 row(s) missing, all of them with an empty late, first flight 1",
        ),
        (ROWS.slice(1), [], "1 row(s) missing, all of them with an empty late"),
        (pa.concat_tables([ROWS, ROWS]), ["flight"], "more than one row for flight 1"),
        (pa.concat_tables([ROWS, ROWS]), [], "3 row(s) too many, rows that occur twice"),
        (ROWS.drop_columns("late"), [], "no column late"),
        (ROWS.append_column("x", [[1, 2, 3]]), [], "not asked for: x"),
        (
            pa.table({"flight": [1, 2, 3], "late": [None, 2.5, 8.0]}),
            ["flight"],
            "column late holds 8 in the row with flight 3",
        ),
        (
            pa.table({"flight": [1, 2, 9], "late": [None, 2.5, 7.0]}),
            ["flight"],
            "should not be there",
        ),
        (pa.table({"flight": [1, 2, 9], "late": [None, 2.5, 7.0]}), [], "1 of 3 rows differ"),
        (None, [], "nothing"),
        ([1, 2], [], "[1, 2]"),
    ],
)
def test_the_gap_is_named(got, key, words):
    assert words in compare.rows_gap(got, ROWS, key=key)


def test_kinds_leave_out_width_and_engine():
    schema = pa.schema(
        [
            ("a", pa.int8()),
            ("b", pa.large_string()),
            ("c", pa.dictionary(pa.int8(), pa.string())),
            ("d", pa.timestamp("ns", "Etc/UTC")),
            ("e", pa.timestamp("ms")),
            ("f", pa.list_(pa.int32())),
            ("g", pa.decimal128(5, 2)),
        ]
    )
    kinds = ["integer", "text", "text", "timestamp[UTC]", "timestamp without zone"]
    kinds += ["list of integer", "number"]
    assert compare.schema_gap(schema, dict(zip(schema.names, kinds, strict=True))) is None
    assert "column a holds integer" in compare.schema_gap(
        schema, {**dict(zip(schema.names, kinds, strict=True)), "a": "text"}
    )


def test_a_file_that_is_no_parquet(tmp_path):
    handle, _ = check(write=lambda folder: Path(folder, "x.parquet").write_text("no"))
    with pytest.raises(NotYet, match="a readable Parquet file"), handle as answer:
        folder = answer.folder()
        answer.call("write", folder)
        answer.parquet(f"{folder}/x.parquet")


def test_a_parquet_file_is_read(tmp_path):
    handle, _ = check(write=lambda folder: pq.write_table(ROWS, f"{folder}/x.parquet"))
    with handle as answer:
        folder = answer.folder()
        answer.call("write", folder)
        answer.same_rows(answer.parquet(f"{folder}/x.parquet").read(), ROWS, asked="the rows")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT flight FROM 'FILE' WHERE late > 5", None),
        ("SELECT flight FROM 'FILE'", "a plan without Filters"),
        ("SELECT flight FROM 'FILE' WHERE late > 5 ORDER BY late", "a plan with Order By"),
    ],
)
def test_a_plan_of_a_real_engine(tmp_path, query, words):
    pq.write_table(ROWS, tmp_path / "x.parquet")
    query = query.replace("FILE", str(tmp_path / "x.parquet"))
    plan = duckdb.sql(f"EXPLAIN {query}").fetchall()[0][1]
    gap = compare.plan_gap(plan, ["PARQUET_SCAN", "Filters"], ["Order By"])
    assert gap is None if words is None else words in gap


def test_idempotence_names_what_a_second_run_added():
    handle, _ = check()
    with pytest.raises(NotYet, match="after a second run, 3 row"):
        run(handle, lambda a: a.idempotent(ROWS, pa.concat_tables([ROWS, ROWS]), asked="once"))


def test_the_course_secret_changes_the_hidden_data(monkeypatch):
    before = check(hidden=True)[0].random.random()
    assert check(hidden=True)[0].random.random() == before
    monkeypatch.setenv("COURSE_SECRET", "spring term")
    assert check(hidden=True)[0].random.random() != before
