"""An open lab: its data are verified, its checks know their exercises, its score is kept."""

from __future__ import annotations

import functools
import html
import json
import pathlib
from collections.abc import MutableMapping
from typing import Any

from labkit import layers, progress
from labkit.check import Answers, Check, LocalAnswers
from labkit.check.verdicts import Exercise
from labkit.datasets import dataset
from labkit.errors import CourseError

#: Built by ``./course build`` from the labs' sources: titles, points and sections, no answers.
CATALOGUE = pathlib.Path(__file__).parent / "labs.json"


@functools.cache
def labs() -> dict[str, dict[str, Any]]:
    """All labs by id (``04-1-ingestion/01-file-formats``), in the guide's order."""
    return json.loads(CATALOGUE.read_text(encoding="utf-8"))


class Score:
    """Points so far, shown as a table in a notebook and as lines elsewhere."""

    def __init__(self, rows: list[tuple[str, int, str]]) -> None:
        self.rows = rows

    @property
    def points(self) -> int:
        """Points of the exercises that are done."""
        return sum(points for _, points, outcome in self.rows if outcome == "done")

    @property
    def maximum(self) -> int:
        """Points of all exercises."""
        return sum(points for _, points, _ in self.rows)

    def __repr__(self) -> str:
        marks = {"done": "✓", "not yet": "✗", "not started": "○"}
        lines = [f"{marks[o]} {o:<11} {points:>2}  {title}" for title, points, o in self.rows]
        return "\n".join([*lines, f"{self.points} of {self.maximum} points"])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(title)}</td><td>{points}</td>"
            f"<td style='text-align:left'>{outcome}</td></tr>"
            for title, points, outcome in self.rows
        )
        return (
            "<table><thead><tr><th style='text-align:left'>Exercise</th><th>Points</th>"
            f"<th style='text-align:left'>Outcome</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<p><b>{self.points} of {self.maximum} points</b></p>"
        )


class Lab:
    """What the set-up cell of a lab returns; see :func:`open_lab`."""

    def __init__(self, name: str, answers: Answers) -> None:
        try:
            self._plan = labs()[name]
        except KeyError:
            raise CourseError(
                f"There is no lab {name!r}; the labs are {', '.join(labs())}."
            ) from None
        self.name = name
        self._answers = answers
        self._outcomes = {exercise["name"]: "not started" for exercise in self._plan["exercises"]}

    def __repr__(self) -> str:
        count, points = len(self._outcomes), self.score().maximum
        data = len(self._plan["datasets"])
        systems = ", ".join(self._plan["systems"]) or "none"
        return (
            f"{self._plan['title']}: {count} exercises, {points} points\n"
            f"{data} data sets verified, systems: {systems}"
        )

    def check(self, exercise: str, *, hidden: bool = False) -> Check:
        """The handle with which a check cell asks the answer to ``exercise``."""
        plan = next((e for e in self._plan["exercises"] if e["name"] == exercise), None)
        if plan is None:
            raise CourseError(f"Lab {self.name} has no exercise {exercise!r}.")
        return Check(
            Exercise(plan["name"], plan["title"], plan["points"], plan["section"]),
            self._answers,
            hidden=hidden,
            record=functools.partial(self._record, exercise),
        )

    def score(self) -> Score:
        """Points and outcomes of this session."""
        return Score(
            [(e["title"], e["points"], self._outcomes[e["name"]]) for e in self._plan["exercises"]]
        )

    def close(self) -> Score:
        """End the lab: say what is left and show the score."""
        left = sum(outcome != "done" for _, _, outcome in self.score().rows)
        print(f"{left} of {len(self._outcomes)} exercises are left." if left else "All is done.")
        return self.score()

    def _record(self, exercise: str, outcome: str) -> None:
        self._outcomes[exercise] = outcome
        progress.save(self.name, exercise, outcome)


_asked: Answers | None = None


def ask(answers: Answers | None) -> None:
    """Make :func:`open_lab` in this process bind to ``answers``: those of another process."""
    global _asked
    _asked = answers


def asked_elsewhere() -> bool:
    """Whether this process only judges, and the answers are in another one."""
    return _asked is not None


def open_lab(name: str, namespace: MutableMapping[str, Any] | None = None) -> Lab:
    """Verify the data of a lab, install its layers, and return its handle.

    ``namespace`` holds the answers; by default it is the notebook in which this is called.
    Raises :class:`~labkit.errors.CourseError` for an unknown lab, a damaged data set, or a layer of
    the environment that cannot be installed.
    """
    answers = _asked
    if namespace is None and answers is None:
        from IPython import get_ipython

        shell = get_ipython()
        if shell is None:
            raise CourseError("open_lab runs in a notebook; open the lab with ./course lab.")
        namespace = shell.user_ns
    lab = Lab(name, answers if namespace is None else LocalAnswers(namespace))
    layers.fetch(lab._plan["layers"])
    for data in lab._plan["datasets"]:
        dataset(data).path  # noqa: B018  (reading the path verifies the file)
    return lab
