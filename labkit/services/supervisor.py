"""Keeps the processes of one service, and ends them all whatever dies first.

A program of its own: ``supervisor.py NAME PARENT MEMORY_MB ROOT``. It answers one JSON line on
standard output to each on standard input. It forks: the *keeper* starts and watches the processes,
the *guard* waits for the keeper. Either ends everything and removes the folder when the other is
gone, and the keeper does so when standard input closes or the process PARENT ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import platform
import pwd
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import psutil

LINUX = sys.platform == "linux"
#: In the environment of every process, so that what outlived its supervisor can be told.
MARK = "COURSE_SERVICE_FOLDER"
RECORD = "run.json"
#: Who runs what refuses root, where the reader is root.
UNPRIVILEGED = "nobody"
NOT_AS_ROOT = (
    f"it refuses to run as root, and the user {UNPRIVILEGED!r} cannot run it here; "
    "run the course as an ordinary user"
)
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT = 1, 28, 36, 47
_NO_SETUID_FIXUP, _CAP_DAC_OVERRIDE, _IPC_RMID = 1 << 2, 1, 0
_KCMP, _KCMP_VM = {"x86_64": 312, "aarch64": 272}.get(platform.machine()), 1
_libc = ctypes.CDLL(None, use_errno=True)
Process = psutil.Process


def family(session: int, me: int) -> list[Process]:
    """Processes below this one and in its session, without the session's leader and ``me``."""
    found: dict[int, Process] = {}
    with contextlib.suppress(psutil.Error):
        found = {child.pid: child for child in Process(me).children(recursive=True)}
    with contextlib.suppress(psutil.Error):
        found |= {child.pid: child for child in Process(session).children(recursive=True)}
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if pid not in found and os.getsid(pid) == session:
                found[pid] = Process(pid)
    return [process for pid, process in found.items() if pid not in (session, me)]


def kill_all(session: int, me: int) -> None:
    """Kill the family until nobody of it is left: a process may fork while it is looked for."""
    shared = _shared_memory()
    pids: set[int] = set()
    for _ in range(200):
        left = [process for process in family(session, me) if not _gone(process)]
        if not left:
            break
        for process in left:
            pids.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)
    for number, creator in shared.items():
        if creator in pids:
            _libc.shmctl(number, _IPC_RMID, None)


def _gone(process: Process) -> bool:
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        return True
    except psutil.Error:
        return True


def _shared_memory() -> dict[int, int]:
    """System V segments and the processes that made them: a killed PostgreSQL leaves one."""
    found = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            fields = line.split()
            found[int(fields[1])] = int(fields[4])
    return found


def remove(folder: str) -> None:
    """Remove a run's folder, also while a dying process still writes to it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


class Keeper:
    """Starts, signals and measures processes as it is told."""

    def __init__(self, folder: str, memory_mb: int, guard: int) -> None:
        self.folder, self.memory_mb, self.guard = folder, memory_mb, guard
        self.running: dict[str, subprocess.Popen] = {}
        self.stops: dict[str, int] = {}
        self.reason, self.now_mb, self.peak_mb = "", 0, 0

    def handle(self, order: dict) -> dict:
        """Carry out one order and return the answer, which bears its number."""
        number = order.pop("number")
        try:
            done = getattr(self, "do_" + order.pop("do"))(**order)
        except OSError as error:
            done = {"error": f"{error.strerror or error}: {error.filename or ''}".strip(": ")}
        except Exception as error:
            done = {"error": f"{type(error).__name__}: {error}"}
        return {"number": number, **done}

    def do_run(
        self, name: str, argv: list[str], env: dict[str, str], stop: int, unprivileged: bool
    ) -> dict:
        """Start a process with its output in ``logs/NAME.log``."""
        drop = unprivileged and os.geteuid() == 0
        if drop:
            try:
                os.chown(self.folder, pwd.getpwnam(UNPRIVILEGED).pw_uid, -1)
            except (KeyError, OSError):
                return {"error": NOT_AS_ROOT}
        me = os.getpid()

        def before_exec() -> None:
            if drop:
                _renounce_root()
            if LINUX:
                # After the change of user, which takes it away.
                _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
                if os.getppid() != me:
                    os._exit(1)

        with open(os.path.join(self.folder, "logs", name + ".log"), "ab") as log:
            try:
                self.running[name] = subprocess.Popen(
                    argv,
                    env={**env, MARK: self.folder},
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                    preexec_fn=before_exec,
                )
            except subprocess.SubprocessError:  # before_exec failed
                return {"error": NOT_AS_ROOT}
        self.stops[name] = stop
        self.reason = ""
        return {"pid": self.running[name].pid}

    def do_end(self, names: list[str], kill: bool, grace: float) -> dict:
        """End processes, last started first: by force, or as they like to be asked."""
        for name in reversed(names):
            process = self.running[name]
            if kill:
                self._kill(process)
            elif process.poll() is None:
                process.send_signal(self.stops[name])
        for name in reversed(names):
            process = self.running[name]
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                self._kill(process)
                process.wait()
        return {}

    def _kill(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def do_state(self) -> dict:
        """Exit codes (null: running), memory in MB, and why the keeper ended the processes."""
        self.watch()
        return {
            "codes": {name: process.poll() for name, process in self.running.items()},
            "pids": [process.pid for process in family(self.guard, os.getpid())],
            "mb": self.now_mb,
            "peak_mb": self.peak_mb,
            "reason": self.reason,
        }

    def watch(self) -> None:
        """Measure the family, and end it where it passes its memory limit."""
        children = [
            child
            for child in Process(self.guard).children(recursive=True)
            if child.pid != os.getpid()
        ]
        for process in self.running.values():
            process.poll()  # one that has ended stays a zombie until it is asked
        own = {process.pid for process in self.running.values()}
        alive = [child for child in children if child.pid in own or not _gone(child)]
        self.now_mb = sum(_megabytes(child, shared=len(alive) > 1) for child in alive)
        self.peak_mb = max(self.peak_mb, self.now_mb)
        if self.now_mb > self.memory_mb and not self.reason:
            self.reason = f"it used {self.now_mb} MB of memory and may use {self.memory_mb} MB"
            self.do_end(list(self.running), kill=True, grace=5)

    def serve(self, parent: int, lifeline: int) -> None:
        """Answer orders until the parent, its pipe or the guard is gone."""
        chooser = selectors.DefaultSelector()
        chooser.register(0, selectors.EVENT_READ)
        chooser.register(lifeline, selectors.EVENT_READ)
        if hasattr(os, "pidfd_open"):
            try:
                chooser.register(os.pidfd_open(parent), selectors.EVENT_READ)
            except ProcessLookupError:
                return
            except OSError:  # an old kernel, or a sandbox that refuses the call
                pass
        pending, due = b"", 0.0
        while True:
            for key, _ in chooser.select(timeout=0.5):
                if key.fd != 0:
                    return
                got = os.read(0, 1 << 16)
                if not got:
                    return
                *lines, pending = (pending + got).split(b"\n")
                for line in lines:
                    answer(self.handle(json.loads(line)))
            if time.monotonic() > due:
                if not psutil.pid_exists(parent):
                    return
                begun = time.thread_time()
                self.watch()
                # Several JVMs take long to look at: at most a twentieth of a core goes to it.
                due = time.monotonic() + max(0.5, 20 * (time.thread_time() - begun))


def in_parents_memory(process: Process) -> bool:
    """Whether a process has no memory of its own yet: a JVM's child, between vfork and exec.

    Proportional size counts such memory twice. False where the kernel does not tell (kcmp(2)).
    """
    pair = process.pid, process.ppid()
    return LINUX and _KCMP is not None and _libc.syscall(_KCMP, *pair, _KCMP_VM, 0, 0) == 0


def _megabytes(process: Process, shared: bool) -> int:
    try:
        if shared and LINUX:  # forks share pages, which the resident size counts once for each
            if in_parents_memory(process):
                return 0
            return process.memory_full_info().pss // 2**20
        return process.memory_info().rss // 2**20
    except psutil.Error:
        return 0


def _renounce_root() -> None:
    """Become an ordinary user who may still read root's own cache."""
    user = pwd.getpwnam(UNPRIVILEGED)
    os.setgroups([])
    if not LINUX:
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        return
    # The kernel would else forget the rights that are kept, and access(2) would not see them.
    _libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    bits = 1 << _CAP_DAC_OVERRIDE
    _libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", bits, bits, bits, 0, 0, 0))
    _libc.prctl(_PR_CAP_AMBIENT, 2, _CAP_DAC_OVERRIDE, 0, 0)


def answer(message: dict) -> None:
    """Write one line to whoever started this."""
    os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Make the folder, fork the guard, serve, clean up."""
    name, parent, memory_mb, root = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    guard, begun = os.getpid(), Process().create_time()
    try:
        folder = tempfile.mkdtemp(prefix=f"{name}-", dir=root)
        for inner in ("logs", "home", "tmp"):
            os.mkdir(os.path.join(folder, inner))
        if os.geteuid() == 0:
            os.chmod(folder, 0o711)
        record = {"service": name, "supervisor": guard, "begun": begun, "parent": int(parent)}
        pathlib.Path(folder, RECORD).write_text(json.dumps(record))
    except OSError as error:
        answer({"error": f"{error.strerror}: {error.filename or root}"})
        sys.exit(1)
    if LINUX:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        for number in (0, 1, reading):
            os.close(number)
        while os.wait()[0] != child:  # orphans of the keeper's children end here as well
            pass
        kill_all(guard, guard)
    else:
        os.close(writing)
        if LINUX:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        keeper = Keeper(folder, int(memory_mb), guard)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            answer({"folder": folder, "pids": [guard, os.getpid()]})
            keeper.serve(int(parent), reading)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            keeper.do_end(list(keeper.running), kill=False, grace=3)
            kill_all(guard, os.getpid())
            remove(folder)
            os._exit(0)
    remove(folder)


if __name__ == "__main__":
    main()
