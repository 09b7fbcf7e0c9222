"""What a class handed in: ``submitted/STUDENT/ASSIGNMENT/NOTEBOOK.ipynb``, and what is near it."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.classroom.folder import ClassFolder
from grader.engine.rebuild import MAX_BYTES

#: A file with another name is taken for a lab's notebook when it holds this share of its answers.
ENOUGH = 0.5


@dataclass
class Submission:
    """One student's notebook of one lab; ``path`` is None when there is none."""

    student: str
    lab: str
    path: pathlib.Path | None
    notes: list[str] = field(default_factory=list)

    def read(self) -> bytes:
        """The file's bytes; empty, with a note, for one that cannot be read."""
        try:
            # A link may lead to another student's work, or out of the class.
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            self.notes.append(f"The file could not be opened ({error.strerror}).")
            return b""
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                self.notes.append("What was handed in is not a file.")
                return b""
            if found.st_size > MAX_BYTES:
                self.notes.append(f"The file is over {MAX_BYTES // 2**20} MB and was not read.")
                return b""
            return file.read()


@dataclass
class Hand:
    """What one student handed in of an assignment, and when (UTC, as the collector noted)."""

    student: str
    timestamp: dt.datetime | None
    notebooks: list[Submission]
    notes: list[str] = field(default_factory=list)


def find_submissions(
    folder: ClassFolder, assignment: str, answers: dict[str, Iterable[str]]
) -> list[Hand]:
    """All submissions of an assignment, by student.

    ``answers`` names, for each lab of the assignment, its answer cells' ids.
    """
    hands = []
    for home in sorted(folder.submitted.iterdir()):
        place = home / assignment
        if home.name.startswith(".") or not place.is_dir():
            continue
        timestamp, notes = _timestamp(place)
        notebooks = _match(place, home.name, answers)
        hands.append(Hand(home.name, timestamp, notebooks, notes))
    return hands


def _match(
    place: pathlib.Path, student: str, answers: dict[str, Iterable[str]]
) -> list[Submission]:
    found = {lab: place / f"{_stem(lab)}.ipynb" for lab in answers}
    exact = {lab: path for lab, path in found.items() if os.path.lexists(path)}
    if len(exact) == len(found):
        return [Submission(student, lab, path) for lab, path in found.items()]
    spare = [
        path
        for path in sorted(place.rglob("*.ipynb"))
        if path not in exact.values() and ".ipynb_checkpoints" not in path.parts
    ]
    taken: set[pathlib.Path] = set()
    result = []
    for lab in found:
        path, notes = exact.get(lab), []
        if path is None:
            path = _nearest(lab, list(answers[lab]), [p for p in spare if p not in taken])
            if path is not None:
                taken.add(path)
                shown = re.sub(r"[^\w .()/-]", "?", str(path.relative_to(place)))[:80]
                notes.append(f"The file was named “{shown}”; it was graded as {_stem(lab)}.ipynb.")
        result.append(Submission(student, lab, path, notes))
    return result


def _nearest(lab: str, ids: list[str], paths: list[pathlib.Path]) -> pathlib.Path | None:
    """The file that is this lab's notebook under another name."""
    best: tuple[float, pathlib.Path | None] = (0.0, None)
    for path in paths:
        data = Submission("", lab, path).read()
        share = sum(f'"{name}"'.encode() in data for name in ids) / max(len(ids), 1)
        # "lab-Copy1", "lab (2)": the right name with something after it decides between equals.
        share += 0.1 * (_plain(path.stem).startswith(_plain(_stem(lab))))
        if share > best[0]:
            best = (share, path)
    return best[1] if best[0] >= ENOUGH else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _stem(lab: str) -> str:
    return lab.rpartition("/")[2]


def _timestamp(place: pathlib.Path) -> tuple[dt.datetime | None, list[str]]:
    path = place / "timestamp.txt"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None, []
    with os.fdopen(handle, "rb") as file:
        text = file.read(200).decode("utf-8", "replace").strip() if _is_file(handle) else ""
    # "2026-11-23 22:36:01.123 UTC" is nbgrader's form; offsets and ISO 8601 are understood too.
    text = re.sub(r"\s*(UTC|GMT|Z)$", "+00:00", text)
    try:
        moment = dt.datetime.fromisoformat(re.sub(r"\s+([+-]\d)", r"\1", text))
    except ValueError:
        return None, ["The time of submission cannot be read and was left out."] if text else []
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment, []


def _is_file(handle: int) -> bool:
    return stat.S_ISREG(os.fstat(handle).st_mode)
