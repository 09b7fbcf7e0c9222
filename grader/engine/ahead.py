"""The cells before a lab's first answer are the same for all: run once, in the warm process.

Each student's process is a fork of it and goes on from there. Only cells which leave nothing but
memory and files to read are run so: a fork has no other threads, processes or folders.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from grader.engine.child import Ran, ZMQInteractiveShell, capture
from grader.engine.sandbox import LINUX, Limits

#: With one thread for OpenMP and BLAS, only Arrow among these starts threads, and in a fork it
#: starts new ones (arrow::internal::ThreadPool, "ProtectAgainstFork").
FORK_SAFE = {
    *("numpy", "pandas", "pyarrow", "matplotlib", "mpl_toolkits", "matplotlib_inline"),
    *("PIL", "cycler", "fontTools", "kiwisolver", "pyparsing", "packaging", "pytz", "cloudpickle"),
    *("sklearn", "scipy", "joblib", "threadpoolctl", "narwhals", "rich", "charset_normalizer"),
    *("labkit", "data", "grader"),
}
#: What takes longer is left to each fork: a warm process has to be ready some day.
SECONDS = 15


def run_ahead(
    shell: ZMQInteractiveShell, sources: Sequence[str], limits: Limits, scratch: str, own: set[str]
) -> list[Ran]:
    """Run a lab's first cells in this process; none of them where a fork could not go on.

    ``own`` names the libraries that are not the lab's. Returns what each cell showed.
    """
    ran: list[Ran] = []

    def steps() -> Iterator[bool]:
        with _elsewhere(shell, scratch) as folder:
            yield True
            for source in sources:
                ran.append(shell.run(source, limits))
                left = os.listdir(folder) or _is_named(folder, shell.user_ns)
                yield not left and not ran[-1].failure

    if sources and leaves_nothing(steps, own) and not all(steps()):
        raise RuntimeError("the lab's first cells do not run twice")
    return ran


def leaves_nothing(steps: Callable[[], Iterator[bool]], own: set[str]) -> bool:
    """Whether ``steps`` leave no more than a fork can have; tried in one, until one leaves more.

    The first step does nothing; each says whether all is well so far.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            work, end = steps(), time.monotonic() + SECONDS
            next(work)
            shared = _shared()
            if all(
                well and shared == _shared() and _is_alone(own) and time.monotonic() < end
                for well in work
            ):
                status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)  # the processes that it left
    return status == 0


def loaded() -> set[str]:
    """The libraries that are imported, Python's own left out."""
    names = {name.partition(".")[0] for name in sys.modules}
    return {name for name in names if not name.startswith("_")} - {*sys.stdlib_module_names}


def threads() -> int:
    """The threads of this process, where the system tells also those of libraries."""
    return len(os.listdir("/proc/self/task")) if LINUX else threading.active_count()


@contextlib.contextmanager
def _elsewhere(shell: ZMQInteractiveShell, scratch: str) -> Iterator[str]:
    """An empty folder to be in, and outputs that go to the shell's list."""
    before = os.getcwd(), {name: os.environ.get(name) for name in ("HOME", "TMPDIR")}
    streams, handles = (sys.stdout, sys.stderr), [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryDirectory(dir=scratch, prefix="ahead-") as folder:
        tempfile.tempdir = None
        os.environ.update(HOME=folder, TMPDIR=folder)
        os.chdir(folder)
        capture(shell, folder)
        try:
            yield folder
        finally:
            sys.stdout, sys.stderr = streams
            for number, handle in zip((1, 2), handles, strict=True):
                os.dup2(handle, number)
                os.close(handle)
            os.chdir(before[0])
            os.environ.update({name: value for name, value in before[1].items() if value})
            tempfile.tempdir = None


def _is_named(folder: str, names: dict[str, Any]) -> bool:
    """Whether a variable names a folder that is not there in a fork."""
    paths = [value for value in names.values() if isinstance(value, str | pathlib.PurePath)]
    return any(folder in str(path) for path in paths)


def files_read() -> list[int]:
    """The numbers of open files that are only read, such as a font of Matplotlib's."""
    if not LINUX:
        return []
    return [
        number
        for number in _handles()
        if stat.S_ISREG(os.fstat(number).st_mode)
        and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    ]


def reopen(numbers: Iterable[int]) -> None:
    """Read these files from where they are now, but no longer move the place of other forks."""
    for number in numbers:
        with contextlib.suppress(OSError):  # a library may have closed it in its own fork handler
            place = os.lseek(number, 0, os.SEEK_CUR)
            own = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(own, place, os.SEEK_SET)
            os.dup2(own, number, inheritable=os.get_inheritable(number))
            os.close(own)


def _handles() -> dict[int, str]:
    """What is open, by number."""
    found = {}
    for number in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            os.fstat(int(number))
            found[int(number)] = os.readlink(f"/dev/fd/{number}") if LINUX else ""
    return found


def _shared() -> dict[int, str]:
    """What is open and would be used by all forks together."""
    own = files_read()
    return {number: name for number, name in _handles().items() if number not in own}


def _is_alone(own: set[str]) -> bool:
    """Whether there is no process and no thread that a fork would have to do without."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
        return False
    if threading.active_count() != 1:
        return False
    return threads() == 1 or loaded() - own <= FORK_SAFE
