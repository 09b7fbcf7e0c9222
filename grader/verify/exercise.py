"""The judgement of one exercise's checks, in the real grader."""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from grader.engine.grading import ExerciseResult, Grader, Try
from grader.engine.rebuild import stub
from grader.engine.sandbox import Limits
from grader.source import Cell, ExerciseSource, LabSource
from grader.verify import watch
from grader.verify.mutants import Mutant, mutants, plain_renderings
from grader.verify.noise import noisy

#: Secrets of which the hidden data are drawn.
SECRETS = ("public", "seed 2", "seed 3", "seed 4", "seed 5")
REPEATS = 20
#: Mutants that share a student's process; after them the reference must still pass there.
SHARED = 30
#: Long enough that nothing but a limit for one call ends a try.
PATIENT = Limits(cpu_seconds=3600, total_seconds=3600)
#: Seconds for one call of a mutant: at least these, and this multiple of the reference's time.
CALL_SECONDS, CALL_FACTOR = 5.0, 5


@dataclass
class Survivor:
    """A mutant that no line of the checks refuses."""

    diff: str
    source: str


@dataclass
class Finding:
    """What the judge found about one exercise."""

    lab: str
    exercise: str
    file: str
    #: Reference and right answers, on each seed and under noise.
    right_accepted: int = 0
    right_tried: int = 0
    wrong_refused: int = 0
    wrong_tried: int = 0
    starter_zero: bool = False
    killed: int = 0
    #: Without those that are listed as equivalent.
    mutants: int = 0
    equivalent: int = 0
    survivors: list[Survivor] = field(default_factory=list)
    #: Comparisons without which nothing more gets through, as ``check:line: text``.
    idle_lines: list[str] = field(default_factory=list)
    #: Repeats of the reference with another verdict than the first.
    flaky: int = 0
    seconds: float = 0.0
    peak_mb: int = 0
    #: What an author has to mend, each in one line.
    faults: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The exercise's name among all."""
        return f"{self.lab}/{self.exercise}"

    @property
    def mutation_score(self) -> float:
        """The share of the mutants that are refused."""
        return self.killed / self.mutants if self.mutants else 1.0


class Judgement:
    """Judges the checks of one exercise, with its lab's grader.

    ``other`` is a grader of the same lab with another hash seed: there a set has another order.
    """

    def __init__(
        self, lab: LabSource, exercise: ExerciseSource, grader: Grader, other: Grader
    ) -> None:
        self.lab, self.exercise, self.grader, self.other = lab, exercise, grader, other
        self.answers = {other.name: other.answer.source for other in lab.exercises}
        self.finding = Finding(lab.name, exercise.name, lab.path.name)
        #: By stage ("check", "hidden"): the sets of lines that wrong answers and mutants fail.
        self._failed: dict[str, list[frozenset[int]]] = {"check": [], "hidden": []}

    def run(self) -> Finding:
        """Judge; returns what was found."""
        self._cost()
        self._named_answers()
        self._mutants()
        self._idle_lines()
        return self.finding

    def _cost(self) -> None:
        # In a process of its own, so that its memory is its own.
        (verdict,), self.finding.peak_mb = self._ask([self._try(self._reference)])
        self.finding.seconds = verdict.seconds
        limit = max(CALL_SECONDS, CALL_FACTOR * verdict.seconds)
        self._limits = dataclasses.replace(PATIENT, call_seconds=limit, cell_seconds=limit + 25)

    def _named_answers(self) -> None:
        """All that the source names, in one process: a lab's set-up may start a system."""
        blank = self._try(stub(self.exercise.answer.source))
        rights = {
            f"{name} on {secret!r}": self._try(source, secret)
            for name, source in self._rights().items()
            for secret in SECRETS
        }
        groups = {
            "starter": [blank, dataclasses.replace(blank, check="")],
            "repeats": [self._try(self._reference)] * (REPEATS // 2),
            "rights": [*rights.values()],
            "rendered": [self._try(source) for source in self._rendered()],
            "wrong": [self._try(cell.source) for cell in self.exercise.wrong],
            "watched": self._watching([cell.source for cell in self.exercise.wrong]),
        }
        noise = self._noise()
        elsewhere = self._ask([*groups["repeats"], *noise.values()], self.other)[0]
        verdicts = iter(self._ask([one for tries in groups.values() for one in tries])[0])
        found = {name: [next(verdicts) for _ in tries] for name, tries in groups.items()}
        self._starter(found["starter"])
        self._repeats(found["repeats"] + elsewhere[: REPEATS // 2])
        self._count_right(rights, found["rights"], self.grader)
        self._count_right(noise, elsewhere[REPEATS // 2 :], self.other)
        for one, verdict in zip(groups["rendered"], found["rendered"], strict=True):
            if self._surely(one, verdict, verdict.outcome == "done").outcome != "done":
                self._fault(f"its SQL, written anew as {self._dialect}, is refused")
        for cell, one, verdict in zip(
            self.exercise.wrong, groups["wrong"], found["wrong"], strict=True
        ):
            self._wrong(cell, one, verdict)
        self._leaks(self._seen(found["watched"]))

    def _surely(
        self, one: Try, verdict: ExerciseResult, expected: bool, grader: Grader | None = None
    ) -> ExerciseResult:
        """The verdict, or where it is not as expected that of a process of its own."""
        return verdict if expected else self._ask([one], grader)[0][0]

    def _starter(self, verdicts: list[ExerciseResult]) -> None:
        self.finding.starter_zero = all(v.outcome == "not started" for v in verdicts)
        for verdict in verdicts:
            if verdict.outcome != "not started":
                self._fault(f"the untouched starter is {verdict.outcome!r}: {_told(verdict)}")

    def _repeats(self, verdicts: list[ExerciseResult]) -> None:
        first = verdicts[0].outcome
        self.finding.flaky = sum(verdict.outcome != first for verdict in verdicts)
        if self.finding.flaky:
            other = next(verdict for verdict in verdicts if verdict.outcome != first)
            self._fault(
                f"{self.finding.flaky} of {REPEATS} repeats of the answer end otherwise than the "
                f"first: {_told(other)}"
            )

    def _count_right(
        self, tries: dict[str, Try], verdicts: list[ExerciseResult], grader: Grader
    ) -> None:
        for (name, one), verdict in zip(tries.items(), verdicts, strict=True):
            self.finding.right_tried += 1
            verdict = self._surely(one, verdict, verdict.outcome == "done", grader)
            if verdict.outcome == "done":
                self.finding.right_accepted += 1
            else:
                self._fault(f"{name} is refused: {_told(verdict)}")

    def _wrong(self, cell: Cell, one: Try, verdict: ExerciseResult) -> None:
        def as_said(found: ExerciseResult) -> bool:
            refused = found.outcome == "not yet" and found.stage == cell.meta["caught"]
            return refused and cell.meta["says"] in _told(found)

        self.finding.wrong_tried += 1
        verdict = self._surely(one, verdict, as_said(verdict))
        told, name = _told(verdict), f"wrong answer “{cell.meta['misconception']}”"
        if as_said(verdict):
            self.finding.wrong_refused += 1
        elif verdict.outcome != "not yet":
            self._fault(f"{name} is {verdict.outcome!r}")
        elif verdict.stage != cell.meta["caught"]:
            self._fault(f"{name} is caught in {verdict.stage}, not {cell.meta['caught']}: {told}")
        else:
            self._fault(f"{name} is not told {cell.meta['says']!r}: {told}")

    def _leaks(self, seen: dict) -> None:
        for number in range(len(self.exercise.wrong)):
            self._note(seen, number)
        for (number, stage), found in seen.items():
            if found and found.leaks:
                # Words that tell the answer are no refusal.
                self._fault(
                    f"the {stage} tells wrong answer {number + 1} what was expected: "
                    f"{', '.join(found.leaks)}"
                )

    def _noise(self) -> dict[str, Try]:
        ordered = bool(self.exercise.task.meta.get("ordered"))
        return {
            f"{name} under noise": self._try(noisy(source, ordered=ordered))
            for name, source in self._rights().items()
        }

    def _rendered(self) -> list[str]:
        try:
            return plain_renderings(self._reference, self._dialect)
        except ValueError as error:
            self._fault(f"the answer has {error}; name its dialect= in the answer's cell")
            return []

    def _mutants(self) -> None:
        try:
            found = mutants(self._reference, _modules(self.lab), self._dialect)
        except ValueError:
            return
        listed = {text: cell for cell in self.exercise.equivalent for text in _diffs(cell)}
        alive = self._alive(found)
        for mutant in alive:
            if mutant.diff in listed:
                self.finding.equivalent += 1
            else:
                self.finding.survivors.append(Survivor(mutant.diff, mutant.source))
        self.finding.mutants = len(found) - self.finding.equivalent
        self.finding.killed = len(found) - len(alive)
        living = {mutant.diff for mutant in alive}
        for text, cell in listed.items():
            if text not in living:
                known = text in {mutant.diff for mutant in found}
                why = "is refused by now" if known else "is no mutant of the answer"
                shown = text.replace("\n", " / ")
                self._fault(f"line {cell.line}: the listed equivalent {shown!r} {why}: take it out")

    def _alive(self, found: list[Mutant]) -> list[Mutant]:
        """The mutants that pass all lines, each confirmed in a process of its own."""
        alive = []
        for start in range(0, len(found), SHARED):
            some = found[start : start + SHARED]
            seen = self._watch([mutant.source for mutant in some], canary=True)
            if seen is None:
                # One of them left something behind for the others: each on its own.
                for mutant in some:
                    alive += self._alone(mutant)
                continue
            for number, mutant in enumerate(some):
                if self._passes(seen, number):
                    alive += self._alone(mutant)
                else:
                    self._note(seen, number)
        return alive

    def _alone(self, mutant: Mutant) -> list[Mutant]:
        seen = self._watch([mutant.source])
        if self._passes(seen, 0):
            return [mutant]
        self._note(seen, 0)
        return []

    def _note(self, seen: dict, number: int) -> None:
        for stage, sets in self._failed.items():
            if (found := seen[number, stage]) and found is not PASSED:
                sets.append(found.lines)

    def _passes(self, seen: dict, number: int) -> bool:
        return seen[number, "check"] is PASSED and seen[number, "hidden"] is PASSED

    def _watch(self, sources: Sequence[str], *, canary: bool = False) -> dict | None:
        """By number and stage: the lines that fail, PASSED, or None where it ended elsewhere.

        With ``canary`` the reference comes last; None for all when it does not pass any more.
        """
        verdicts, _ = self._ask(self._watching([*sources, *[self._reference] * canary]))
        if canary and any(verdict.outcome != "done" for verdict in verdicts[-2:]):
            return None
        return self._seen(verdicts)

    def _watching(self, sources: Sequence[str]) -> list[Try]:
        """For each source a try of the visible check, and one of the hidden test."""
        public = f"{self.exercise.task.source}\n{self.exercise.check.source}"
        check = watch.watching(self.exercise.check.source, public)
        hidden = watch.watching(self.exercise.hidden.source, public)
        return [one for s in sources for one in (Try(s, check, ""), Try(s, "", hidden))]

    def _seen(self, verdicts: list[ExerciseResult]) -> dict:
        return {
            (number // 2, ("check", "hidden")[number % 2]): (
                PASSED if verdict.outcome == "done" else watch.seen(verdict.lines)
            )
            for number, verdict in enumerate(verdicts)
        }

    def _idle_lines(self) -> None:
        for stage, cell in (("check", self.exercise.check), ("hidden", self.exercise.hidden)):
            alone = {line for lines in self._failed[stage] if len(lines) == 1 for line in lines}
            for line, text in watch.comparisons(cell.source).items():
                if line not in alone:
                    self.finding.idle_lines.append(f"{stage}, line {cell.line + line}: {text}")

    @functools.cached_property
    def _reference(self) -> str:
        return self.exercise.answer.source

    @property
    def _dialect(self) -> str:
        return self.exercise.answer.meta.get("dialect", "duckdb")

    def _rights(self) -> dict[str, str]:
        others = {f"right answer {n}": c.source for n, c in enumerate(self.exercise.right, 1)}
        return {"the answer": self._reference} | others

    def _try(self, source: str, secret: str = "public") -> Try:
        return Try(source, self.exercise.check.source, self.exercise.hidden.source, secret)

    def _ask(
        self, tries: Sequence[Try], grader: Grader | None = None
    ) -> tuple[list[ExerciseResult], int]:
        if not tries:
            return [], 0
        limits = getattr(self, "_limits", PATIENT)
        return (grader or self.grader).tries(self.exercise.name, self.answers, tries, limits)

    def _fault(self, text: str) -> None:
        self.finding.faults.append(text)


#: In the place of :class:`~grader.verify.watch.Seen`: all lines passed.
PASSED = watch.Seen(frozenset())


def _modules(lab: LabSource) -> set[str]:
    """Names of the modules that a lab's own cells import."""
    cells = (cell.source for cell in lab.cells if cell.kind == "code" and not cell.exercise)
    return {
        (alias.asname or alias.name).split(".")[0]
        for source in cells
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }


def _told(verdict: ExerciseResult) -> str:
    return " ".join(" ".join(verdict.lines).split())


def _diffs(cell: Cell) -> list[str]:
    """The changes that a cell lists; an empty line parts them."""
    return [
        "\n".join(line.strip() for line in part.splitlines())
        for part in cell.source.split("\n\n")
        if part.strip()
    ]
