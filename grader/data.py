"""``./course data``: the catalogue on the terminal, and its hashes."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from labkit import datasets
from labkit.errors import CourseError


def show() -> None:
    """Print the catalogue: what each data set is, how large, and of which class."""
    table = Table("Data set", "Class", "Rows", "What it is")
    for data in datasets.catalogue():
        kind = data.resource["class"] + (", generated" if data.resource.get("generated") else "")
        table.add_row(data.name, kind, f"{data.rows:,}", escape(data.title))
    Console().print(table)


def build(names: tuple[str, ...]) -> None:
    """Build the data sets named, or all that are not shipped."""
    chosen = _chosen(names) if names else [d for d in datasets.catalogue() if not _raw(d)]
    for data in track(chosen, "Building", transient=True):
        datasets.build(data.name)
    print(f"{len(chosen)} data set(s) built and verified.")


def verify(names: tuple[str, ...]) -> None:
    """Compare data sets with their hashes. Raises :class:`CourseError` if one is damaged."""
    found = {
        d.name: datasets.verify(d.name) for d in track(_chosen(names), "Verifying", transient=True)
    }
    table = Table("Data set", "State")
    for name, state in found.items():
        table.add_row(name, state if state != "missing" else "not built yet")
    Console().print(table)
    damaged = [name for name, state in found.items() if state == "damaged"]
    if damaged:
        raw = [name for name in damaged if _raw(datasets.dataset(name))]
        mend = "git checkout data/raw" if raw else f"./course data build {' '.join(damaged)}"
        raise CourseError(f"Damaged: {', '.join(damaged)}. Restore with: {mend}")


def _chosen(names: tuple[str, ...]) -> list[datasets.Dataset]:
    return [datasets.dataset(name) for name in names] if names else datasets.catalogue()


def _raw(data: datasets.Dataset) -> bool:
    return data.resource["class"] == "raw"
