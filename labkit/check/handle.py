"""``with lab.check("name") as answer:`` is all that a check cell has of an answer."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from labkit.check import compare, wire
from labkit.check.answers import AnswerError, Answers, Missing
from labkit.check.verdicts import Exercise, NotStarted, NotYet, done_line

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def seed(exercise: str) -> int:
    """The seed of an exercise's hidden data: a hash of its name and the course's secret.

    A teacher sets the secret in the environment variable ``COURSE_SECRET`` of the grading machine.
    """
    secret = os.environ.get("COURSE_SECRET", "public")
    return int.from_bytes(hashlib.sha256(f"{secret}/{exercise}".encode()).digest()[:8], "big")


class Check:
    """One check of one exercise: questions to the answer, then comparisons.

    The first comparison that fails ends the block with a :class:`~labkit.check.NotYet`; an
    untouched answer ends it with :class:`~labkit.check.NotStarted`; otherwise the block prints
    one line. ``record`` is told the outcome in all three cases.
    """

    def __init__(
        self,
        exercise: Exercise,
        answers: Answers,
        *,
        hidden: bool,
        record: Callable[[str], None],
    ) -> None:
        self._exercise = exercise
        self._answers = answers
        self._hidden = hidden
        self._record = record
        #: Draws the data of hidden checks; the seed is the course's own, so nobody can look it up.
        self.random = random.Random(seed(exercise.name))
        self._comparisons = 0

    def __enter__(self) -> Check:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _frames: TracebackType | None,
    ) -> None:
        self._answers.close()
        if isinstance(error, Missing):
            self._record("not started")
            raise NotStarted(self._exercise) from None
        if isinstance(error, Exception) and not isinstance(error, NotYet):
            # The reference passes, so what trips the check is a value of an unforeseen form.
            what = f"one that the check cannot read ({type(error).__name__}: {str(error)[:120]})"
            error = NotYet(
                self._exercise, "a value as the task describes", what, hidden=self._hidden
            )
            self._record("not yet")
            raise error from None
        if error is not None:
            self._record("not yet")
            return
        if not self._comparisons:
            raise AssertionError(f"the check of {self._exercise.name} compares nothing")
        self._record("done")
        print(done_line(self._exercise, hidden=self._hidden))

    # Questions

    def value(self, name: str) -> Any:
        """The plain value of the learner's variable ``name``."""
        return wire.decode(self._ask(self._answers.value, name))

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The plain result of the learner's function ``name``, called with copies of these."""
        return wire.decode(self._ask(self._answers.call, name, wire.encode((args, kwargs))))

    def put(self, name: str, data: bytes | str) -> str:
        """Give the answer a file named ``name``; returns the path to pass to :meth:`call`."""
        return self._ask(self._answers.put, name, data.encode() if isinstance(data, str) else data)

    def folder(self) -> str:
        """The path of a new, empty folder on the answer's side."""
        return self._ask(self._answers.folder)

    def files(self, folder: str) -> list[str]:
        """All files that lie below ``folder``, relative to it and sorted."""
        return self._ask(self._answers.files, folder)

    def read(self, path: str) -> bytes:
        """The bytes of a file that the answer wrote."""
        return self._ask(self._answers.read, path)

    def parquet(self, path: str) -> pq.ParquetFile:
        """A Parquet file that the answer wrote, opened."""
        import pyarrow.parquet as pq

        data = self.read(path)
        try:
            return pq.ParquetFile(io.BytesIO(data))
        except Exception:
            self._fail("a readable Parquet file", f"a file of {len(data)} bytes that is none")

    # Comparisons

    def true(self, condition: bool, *, asked: str, found: str) -> None:
        """Hold a property that the other comparisons cannot express."""
        self._comparisons += 1
        if not condition:
            self._fail(asked, found)

    def equal(self, got: Any, expected: Any, *, asked: str, found: str = "") -> None:
        """Equal plain values; floats to nine significant digits."""
        self.true(compare.equal(got, expected), asked=asked, found=found or compare.found(got))

    def schema(self, got: Any, expected: dict[str, str], *, asked: str) -> None:
        """A table (or an Arrow schema) with these columns and kinds of values."""
        gap = compare.schema_gap(got, expected)
        self.true(gap is None, asked=asked, found=gap or "")

    def same_rows(self, got: Any, expected: Any, *, asked: str, key: Sequence[str] = ()) -> None:
        """The same rows in any order; ``key`` columns make the message name the row."""
        gap = compare.rows_gap(got, expected, key=key, tell=not self._hidden)
        self.true(gap is None, asked=asked, found=gap or "")

    def plan(
        self, plan: str, *, asked: str, uses: Sequence[str] = (), avoids: Sequence[str] = ()
    ) -> None:
        """A query plan, as text of the engine's EXPLAIN, that uses these words and not those."""
        gap = compare.plan_gap(plan, uses, avoids)
        self.true(gap is None, asked=asked, found=gap or "")

    def idempotent(self, first: Any, second: Any, *, asked: str) -> None:
        """Running twice leaves what running once left."""
        gap = compare.rows_gap(second, first)
        self.true(gap is None, asked=asked, found=f"after a second run, {gap}")

    def _ask(self, question: Callable[..., Any], *args: Any) -> Any:
        try:
            return question(*args)
        except AnswerError as error:
            self._fail("an answer that runs to its end", str(error))

    def _fail(self, asked: str, found: str) -> None:
        raise NotYet(self._exercise, asked, found, hidden=self._hidden) from None
