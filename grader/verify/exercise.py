"""The judgement of one exercise's checks, in the real grader."""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Container, Sequence
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
SHARED = 60
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
        self._refused: list[Mutant] = []

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
        wrong = [cell.source for cell in self.exercise.wrong]
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
            "wrong": [self._try(source) for source in wrong],
            "check": self._watching(wrong, "check"),
            "hidden": self._watching(wrong, "hidden"),
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
        for stage in ("check", "hidden"):
            self._leaks([self._seen(verdict) for verdict in found[stage]], stage)

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

    def _leaks(self, seen: list[watch.Seen | None], stage: str) -> None:
        self._note(seen, stage)
        for number, one in enumerate(seen, 1):
            if one and one.leaks:
                # Words that tell the answer are no refusal.
                self._fault(
                    f"the {stage} tells wrong answer {number} what was expected: "
                    f"{', '.join(one.leaks)}"
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
        alive = self._alive(found, listed)
        for mutant in alive:
            if mutant.diff in listed:
                self.finding.equivalent += 1
            else:
                self.finding.survivors.append(Survivor(mutant.diff, mutant.source))
        self.finding.mutants = len(found) - self.finding.equivalent
        self.finding.killed = len(found) - len(alive)
        self._refused = [mutant for mutant in found if mutant not in alive]
        living = {mutant.diff for mutant in alive}
        for text, cell in listed.items():
            if text not in living:
                known = text in {mutant.diff for mutant in found}
                why = "is refused by now" if known else "is no mutant of the answer"
                shown = text.replace("\n", " / ")
                self._fault(f"line {cell.line}: the listed equivalent {shown!r} {why}: take it out")

    def _alive(self, found: list[Mutant], listed: Container[str]) -> list[Mutant]:
        """The mutants that pass all lines.

        Those that are not ``listed`` as equivalent are confirmed in a process of their own.
        """
        alive = found
        for stage in ("check", "hidden"):
            alive = self._passing(alive, stage)
        return [mutant for mutant in alive if mutant.diff in listed or self._alone(mutant)]

    def _passing(self, found: list[Mutant], stage: str) -> list[Mutant]:
        """Those that pass one stage; of the others the lines that they fail are noted."""
        passing = []
        for start in range(0, len(found), SHARED):
            some = found[start : start + SHARED]
            *seen, canary = self._watch([*(m.source for m in some), self._reference], stage)
            if canary is not PASSED:
                # One of them left something behind for the others: each on its own.
                seen = [self._watch([mutant.source], stage)[0] for mutant in some]
            self._note(seen, stage)
            passing += [m for m, one in zip(some, seen, strict=True) if one is PASSED]
        return passing

    def _alone(self, mutant: Mutant) -> bool:
        """Whether it passes both stages in a process of its own."""
        tries = [one for s in ("check", "hidden") for one in self._watching([mutant.source], s)]
        verdicts, _ = self._ask(tries)
        seen = [self._seen(verdict) for verdict in verdicts]
        self._note(seen[:1], "check")
        self._note(seen[1:], "hidden")
        return seen == [PASSED, PASSED]

    def _note(self, seen: list[watch.Seen | None], stage: str) -> None:
        self._failed[stage] += [one.lines for one in seen if one and one is not PASSED]

    def _watch(self, sources: Sequence[str], stage: str) -> list[watch.Seen | None]:
        """For each source the lines that fail, PASSED, or None where it ended elsewhere."""
        verdicts, _ = self._ask(self._watching(sources, stage))
        return [self._seen(verdict) for verdict in verdicts]

    def _watching(self, sources: Sequence[str], stage: str) -> list[Try]:
        """A try of one stage for each source, with comparisons that go on after a failure."""
        public = f"{self.exercise.task.source}\n{self.exercise.check.source}"
        cell = watch.watching(getattr(self.exercise, stage).source, public)
        cells = (cell, "") if stage == "check" else ("", cell)
        return [Try(source, *cells) for source in sources]

    def _seen(self, verdict: ExerciseResult) -> watch.Seen | None:
        return PASSED if verdict.outcome == "done" else watch.seen(verdict.lines)

    def _idle_lines(self) -> None:
        for stage, cell in (("check", self.exercise.check), ("hidden", self.exercise.hidden)):
            # What the check refuses need not fail in the hidden test: asked only for idle lines.
            rest = self._refused if stage == "hidden" else []
            while self._idle(stage, cell) and rest:
                some, rest = rest[:SHARED], rest[SHARED:]
                self._passing(some, stage)
            for line, text in self._idle(stage, cell).items():
                self.finding.idle_lines.append(f"{stage}, line {cell.line + line}: {text}")

    def _idle(self, stage: str, cell: Cell) -> dict[int, str]:
        """The comparisons that nothing fails alone."""
        alone = {line for lines in self._failed[stage] if len(lines) == 1 for line in lines}
        return {n: text for n, text in watch.comparisons(cell.source).items() if n not in alone}

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
