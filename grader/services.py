"""``./course services``: the systems that labs start, what they need, and whether they work."""

from __future__ import annotations

import dataclasses
import sys
import time

import click
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from labkit.errors import CourseError
from labkit.services import SERVICES, Service, clean_up, load
from labkit.services.artifacts import Program
from labkit.services.open import OPEN

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a check measured: seconds until ready, for the job and to restart; peak memory."""

    name: str
    start: float = 0.0
    job: float = 0.0
    restart: float = 0.0
    peak_mb: int = 0
    error: str = ""


@click.group(invoke_without_command=True)
@click.pass_context
def services(ctx: click.Context) -> None:
    """List the systems that labs start; fetch, check or end them."""
    if ctx.invoked_subcommand is None:
        show()


@services.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
def fetch(names: tuple[str, ...], every: bool) -> None:
    """Bring what services need into the cache."""
    for name in chosen(names, every):
        load(name)().fetch()
        click.echo(f"{name}: in the cache")


@services.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
def check(names: tuple[str, ...], every: bool) -> None:
    """Start services, do a job in each, kill, restart and stop them."""
    heading = f"{'service':<16}{'ready s':>9}{'job s':>9}{'restart s':>11}{'peak MB':>9}"
    click.echo(heading)
    failed = []
    for name in chosen(names, every):
        result = exercise(name)
        if result.error:
            failed.append(name)
            click.echo(f"{name:<16} failed: {result.error}")
            continue
        click.echo(
            f"{name:<16}{result.start:>9.1f}{result.job:>9.1f}{result.restart:>11.1f}"
            f"{result.peak_mb:>9}"
        )
    if failed:
        click.echo(f"Not working here: {', '.join(failed)}.", err=True)
        sys.exit(1)


@services.command()
def stop() -> None:
    """End what a crash left running; only what the course started."""
    ended = clean_up()
    click.echo(f"Ended: {', '.join(ended)}." if ended else "Nothing was left running.")


def chosen(names: tuple[str, ...], every: bool) -> list[str]:
    """The names that a command is about, each known."""
    if every == bool(names):
        raise CourseError("Name the services, or say --all: ./course services shows them.")
    for name in names:
        load(name)
    return list(SERVICES) if every else list(names)


def exercise(name: str) -> Result:
    """Start a service, do its job, kill it, restart it, do the job again, stop it; measure."""
    try:
        load(name)().fetch()
        begun = time.monotonic()
        with load(name)().start() as service:
            ready = time.monotonic() - begun
            begun = time.monotonic()
            service.check()
            job = time.monotonic() - begun
            outside = open_to_others(service)
            if outside:
                return Result(name, error=f"it listens on {', '.join(outside)}")
            service.kill()
            begun = time.monotonic()
            service.restart()
            restart = time.monotonic() - begun
            service.check()
            peak, processes, folder = service.peak_mb, service.pids, service.folder
        left = [str(pid) for pid in processes if psutil.pid_exists(pid)]
        if left or folder.exists():
            return Result(name, error=f"it left {', '.join(left) or folder} behind")
    except CourseError as error:
        return Result(name, error=str(error))
    except Exception as error:
        return Result(name, error=f"{type(error).__name__}: {error}")
    return Result(name, ready, job, restart, peak)


def open_to_others(service: Service) -> list[str]:
    """Addresses that its processes listen on and that other machines could reach."""
    found = set()
    for pid in service.pids:
        try:
            sockets = psutil.Process(pid).net_connections(kind="inet")
        except psutil.Error:
            continue
        for each in sockets:
            waits = each.status == psutil.CONN_LISTEN or (each.type == 2 and not each.raddr)
            if waits and each.laddr and each.laddr.ip not in LOOPBACK:
                found.add(f"{each.laddr.ip}:{each.laddr.port}")
    return sorted(found)


def show() -> None:
    """Print the table of systems."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "system", "label", "needs", "MB", "memory", "cached"):
        table.add_column(heading, justify="right" if heading in ("MB", "memory") else "left")
    for name in SERVICES:
        kind = load(name)
        cached = "[green]yes[/]" if all(need.cached() for need in kind.needs) else "-"
        row = (name, f"{kind.title} {kind.version}", kind.label, _needs(kind), str(_size(kind)))
        table.add_row(*row, str(kind.memory_mb), cached)
    for system in OPEN:
        table.add_row("-", system.title, "open", system.reason, "", "", "")
    console = Console()
    console.print(table)
    console.print("MB to download, memory limit in MB. Fetch: ./course services fetch NAME")


def markdown() -> str:
    """The table of systems for the README."""
    lines = ["| System | Label | `service(…)` | Needs | Download | Memory limit |"]
    lines.append("|---|---|---|---|---|---|")
    for name in SERVICES:
        kind = load(name)
        title = f"{kind.title} {kind.version}" + (f" ({kind.note})" if kind.note else "")
        size = f"{_size(kind)} MB" if _size(kind) else "–"
        cells = [title, kind.label, f"`{name}`", _needs(kind), size, f"{kind.memory_mb} MB"]
        lines.append("| " + " | ".join(cells) + " |")
    for system in OPEN:
        lines.append(f"| {system.title} | open | – | {system.reason} {system.instead} | – | – |")
    return "\n".join(lines)


def _needs(kind: type[Service]) -> str:
    return ", ".join(dict.fromkeys(need.kind for need in kind.needs))


def _size(kind: type[Service]) -> int:
    return sum(need.size_mb for need in kind.needs)


def missing_programs() -> list[Program]:
    """The system packages that services need and this machine lacks."""
    programs = {n: None for name in SERVICES for n in load(name).needs if isinstance(n, Program)}
    return [program for program in programs if not program.cached()]
