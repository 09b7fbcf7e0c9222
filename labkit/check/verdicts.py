"""The outcomes of a check, as a person reads them: not started, not yet, done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """What a check has to know about its exercise."""

    name: str
    title: str
    points: int
    section: str

    @property
    def label(self) -> str:
        """Title and points, as every verdict names the exercise."""
        return f"{self.title} ({self.points} {'point' if self.points == 1 else 'points'})"


class Verdict(Exception):
    """A check that did not end in *done*; shown as a few lines, never as a traceback."""

    outcome: str

    def __init__(self, exercise: Exercise, lines: list[str]) -> None:
        self.exercise = exercise
        self.lines = lines
        super().__init__("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        # IPython calls this, and formats no frames.
        return list(self.lines)


class NotStarted(Verdict):
    """The answer cell is still as it was handed out."""

    outcome = "not started"

    def __init__(self, exercise: Exercise) -> None:
        super().__init__(
            exercise,
            [
                f"○ not started: {exercise.label}",
                "  Write your answer above, run it without an error, then run this cell again.",
            ],
        )


class NotYet(Verdict):
    """There is an answer, and it is not right yet."""

    outcome = "not yet"

    def __init__(self, exercise: Exercise, asked: str, found: str, *, hidden: bool) -> None:
        where = "on data you have not seen" if hidden else ""
        super().__init__(
            exercise,
            [
                f"✗ not yet{' ' + where if where else ''}: {exercise.label}",
                f"  asked: {asked}",
                f"  found: {found}",
                f"  read:  {exercise.section}",
            ],
        )


def done_line(exercise: Exercise, *, hidden: bool) -> str:
    """The one line that a passed check prints."""
    return f"✓ done{' on unseen data too' if hidden else ''}: {exercise.label}"
