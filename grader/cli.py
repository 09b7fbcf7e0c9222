"""The course's command line: ``./course COMMAND``."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import socket
import sys

import click

from grader.services import services
from labkit.errors import CourseError

EPILOG = """
\b
First steps:
  ./course lab     study: JupyterLab opens on the map of labs
  ./course demo    see a class handed out, collected, graded and returned
  ./course test    run every test

\b
The launcher also knows:
  ./course exec PROGRAM ...    any program of the environment, such as nbgrader
  ./course prepare LAYER       packages that only some labs need: test, spark, beam,
                               media, torch
"""


class Course(click.Group):
    """Commands in the order of use, and one clear sentence for what a person can mend."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            names = ", ".join([*self.commands, "exec"])
            raise CourseError(
                f"There is no command {args[0]!r}; the commands are {names}."
            ) from None


@click.group(cls=Course, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def course() -> None:
    """The Data Engineering User Guide as labs that run and grade themselves."""


@course.command()
@click.option("--port", type=int, default=8888, show_default=True, help="Port of JupyterLab.")
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def lab(port: int, browser: bool) -> None:
    """Open JupyterLab on the map of labs."""
    from grader.work import MAP, WORK, prepare_work

    _free(port)
    for path in prepare_work():
        click.echo(
            f"Kept your own {path.relative_to(WORK)}; move it away to get the newest version."
        )
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--notebook-dir={WORK}", f"--LabApp.default_url=/lab/tree/{MAP.name}"]
    if not browser:
        command.append("--no-browser")
    if os.geteuid() == 0:
        # In a container there is often no other user, and the server listens on loopback only.
        command.append("--allow-root")
    os.execv(sys.executable, command)


@course.command()
def demo() -> None:
    """Take a lab through a sample class, from hand-out to feedback."""
    from grader.demo import demo as run

    run()


@course.command()
@click.argument("modules", metavar="MODULE...", nargs=-1)
@click.option(
    "--course-dir",
    type=click.Path(path_type=pathlib.Path),
    help="The class's folder, by default the course's.",
)
@click.option("--scheduler", default="", help="A Dask scheduler, such as tcp://host:8786.")
@click.option("--workers", type=click.IntRange(1), help="Notebooks side by side on this machine.")
@click.option(
    "--require-sandbox", type=click.Choice(["full"]), help="Refuse to grade with fewer layers."
)
@click.option(
    "--nbgrader",
    "existing",
    type=click.Path(path_type=pathlib.Path),
    metavar="COURSE_DIR",
    help="Grade this nbgrader course, with nbgrader's own rules.",
)
def grade(
    modules: tuple[str, ...],
    course_dir: pathlib.Path | None,
    scheduler: str,
    workers: int | None,
    require_sandbox: str | None,
    existing: pathlib.Path | None,
) -> None:
    """Grade the submissions of MODULES, isolated and side by side.

    With --nbgrader, MODULES are assignments of any nbgrader course, by default all. There tests
    run in the student's process, as nbgrader has it: forging inside the kernel is not stopped;
    what looks like it is flagged.
    """
    if existing:
        from grader.compat.course import grade_course

        if course_dir:
            raise CourseError("--nbgrader names the course's folder already: drop --course-dir.")
        full = bool(require_sandbox)
        grade_course(
            existing, modules, scheduler=scheduler, workers=workers or 0, require_full=full
        )
        return
    from grader.classroom.command import grade as run
    from grader.engine.sandbox import FULL
    from grader.source import ROOT

    if not modules:
        raise CourseError("Say what to grade: ./course grade MODULE, such as 04-1-ingestion.")
    report = run(
        modules,
        root=course_dir or ROOT,
        scheduler=scheduler,
        workers=workers or 0,
        require=FULL if require_sandbox else (),
    )
    click.echo(f"Report: {report}")


@course.command()
@click.argument("module", default="")
def test(module: str) -> None:
    """Run every test, or those of one MODULE or MODULE/LAB; a number will do: 04-3, 04-3/07."""
    from grader.testing import run

    sys.exit(run(module))


@course.command()
@click.argument("module", default="")
@click.option("--check", is_flag=True, help="Change nothing; fail if anything is out of date.")
def build(module: str, check: bool) -> None:
    """Run the sources; write notebooks, pages and the map."""
    from grader.build import build as run
    from grader.build import display
    from grader.release import release

    changed = run(module, check=check)
    if check:
        if changed:
            raise CourseError(f"Out of date, run ./course build:\n{display(changed)}")
        click.echo("Everything is up to date.")
        return
    click.echo(f"Built:\n{display(changed)}" if changed else "Nothing changed.")
    click.echo(f"Student notebooks:\n{display(release())}")


@course.command()
@click.argument("what", default="", metavar="[MODULE[/LAB[/EXERCISE]]]")
@click.option("--json", "as_json", is_flag=True, help="Each exercise and the totals as JSON.")
@click.option("--changed", metavar="REVISION", default="", help="Only what differs from it.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="Begin none later: what --changed names first, then others, from another one each day.",
)
def verify(what: str, as_json: bool, changed: str, minutes: float | None) -> None:
    """Check the checks: right answers, wrong answers, mutants."""
    from grader.verify.command import verify as run

    sys.exit(run(what, as_json=as_json, since=changed, minutes=minutes))


@course.command()
def work() -> None:
    """Refresh work/, the folder of a learner; keep what they changed."""
    from grader.work import WORK, prepare_work

    kept = prepare_work()
    click.echo(
        f"{WORK.name}/ is ready" + (f"; kept {len(kept)} changed notebook(s)." if kept else ".")
    )


@course.command()
@click.option("--json", "as_json", is_flag=True, help="Totals as JSON.")
def topics(as_json: bool) -> None:
    """Show the guide's topics and the labs that cover them."""
    from grader.build import read_labs
    from grader.topics import coverage, show, summary

    rows = coverage(read_labs())
    if as_json:
        click.echo(json.dumps(summary(rows)))
    else:
        show(rows)


@course.group(invoke_without_command=True)
@click.pass_context
def data(ctx: click.Context) -> None:
    """List the data sets; build or verify them."""
    if ctx.invoked_subcommand is None:
        from grader.data import show

        show()


@data.command("build")
@click.argument("names", nargs=-1)
def data_build(names: tuple[str, ...]) -> None:
    """Build data sets anew (all, or those named)."""
    from grader.data import build as run

    run(names)


@data.command("verify")
@click.argument("names", nargs=-1)
def data_verify(names: tuple[str, ...]) -> None:
    """Compare data sets with their recorded hashes."""
    from grader.data import verify as run

    run(names)


@course.command()
def doctor() -> None:
    """Say what is missing here, and the line that installs it."""
    from grader import doctor as check

    sys.exit(check.main())


course.add_command(services)


def main() -> None:
    """Run the command line; a mistake that a person can mend is one sentence and exit code 2."""
    # Kernels run in other folders and import labkit from this one.
    paths = [str(pathlib.Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    try:
        course.main(prog_name="./course", standalone_mode=False)
    except CourseError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo(f"No space is left on the disk of {error.filename or 'this folder'}.", err=True)
        sys.exit(2)


def _free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CourseError(
                f"Port {port} is in use; choose another: ./course lab --port {port + 1}"
            ) from None
