"""Start time and peak memory of every system: cold (files just read), then warm.

``./course exec python benchmarks/services/run.py [NAME ...]`` prints one row for each: seconds
until it answers the first and the second time, the ratio, seconds of a small job and of a restart
after a kill, and the peak of all its processes, also as a share of its limit. Run it when nothing
else runs.
"""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from grader.services import chosen, exercise
from labkit.services import load


def main() -> int:
    """Measure the named systems, or all."""
    names = chosen(tuple(sys.argv[1:]), not sys.argv[1:])
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("system")
    for heading in ("cold s", "warm s", "warm/cold", "job s", "restart s", "peak MB", "of limit"):
        table.add_column(heading, justify="right")
    failed = False
    for name in names:
        cold, warm = exercise(name), exercise(name)
        error = cold.error or warm.error
        failed |= bool(error)
        if error:
            table.add_row(name, error)
            continue
        peak = max(cold.peak_mb, warm.peak_mb)
        share = peak / load(name).memory_mb
        figures = [cold.start, warm.start, warm.start / cold.start, warm.job, warm.restart]
        table.add_row(name, *(f"{f:.1f}" for f in figures), str(peak), f"{share:.0%}")
        print(f"{name}: measured", file=sys.stderr)
    Console(width=110).print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
