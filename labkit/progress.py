"""What a learner has done, kept beside their notebooks so that the map of labs can show it."""

from __future__ import annotations

import html
import json
import os
import pathlib

#: Stands in the root of a learner's folder; nothing is recorded anywhere else.
FILE = ".progress.json"


class Table:
    """Labs with how many of their exercises are done; HTML in a notebook."""

    def __init__(self, rows: list[tuple[str, int, int]]) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        return "\n".join(f"{done:>3} of {count:<3} {title}" for title, done, count in self.rows)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(title)}</td>"
            f"<td><progress max='{count}' value='{done}'></progress></td>"
            f"<td>{done} of {count} done</td></tr>"
            for title, done, count in self.rows
        )
        return f"<table>{rows}</table>"


def table() -> Table:
    """What is done in each lab, for the learner's folder that this runs in."""
    from labkit.lab import labs

    file = find(pathlib.Path.cwd())
    seen = load(file) if file else {}
    return Table(
        [
            (
                plan["title"],
                sum(seen.get(lab, {}).get(e["name"]) == "done" for e in plan["exercises"]),
                len(plan["exercises"]),
            )
            for lab, plan in labs().items()
        ]
    )


def find(start: pathlib.Path) -> pathlib.Path | None:
    """The progress file of the learner's folder that holds ``start``, if it is in one."""
    return next((p / FILE for p in (start, *start.parents) if (p / FILE).is_file()), None)


def load(file: pathlib.Path) -> dict[str, dict[str, str]]:
    """Outcomes by lab and exercise; an unreadable file counts as an empty one."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def save(lab: str, exercise: str, outcome: str) -> None:
    """Record an outcome, if the notebook runs in a learner's folder; else do nothing."""
    file = find(pathlib.Path.cwd())
    if file is None:
        return
    seen = load(file)
    seen.setdefault(lab, {})[exercise] = outcome
    part = file.with_suffix(f".{os.getpid()}")
    try:
        part.write_text(json.dumps(seen, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(file)
    except OSError:
        # A full disk must not fail a check; the score in the notebook still stands.
        part.unlink(missing_ok=True)
