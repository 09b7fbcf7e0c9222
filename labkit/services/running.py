"""What every service shares: folder, ports, processes, readiness, logs, and a certain end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import psutil

from labkit.errors import CourseError
from labkit.services import supervisor
from labkit.services.artifacts import Archive, Jars, Java, Need, Program, PythonEnv

HOST = "127.0.0.1"
#: Below the ports that systems give to outgoing connections, and still free with 10,000 added.
PORTS = (20000, 32000)
ATTEMPTS = 5
#: Flags of every JVM: a quick start and a small footprint rather than throughput, no files in /tmp.
JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:ReservedCodeCacheSize=64m",
    "-XX:CompressedClassSpaceSize=128m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xss512k",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    "-Duser.timezone=UTC",
)
#: Words of a log, and what they mean to the reader.
CAUSES = (
    (r"No space left on device|ENOSPC|Disk quota exceeded", "the disk is full: free some space"),
    (
        r"OutOfMemoryError|Cannot allocate memory|insufficient memory"
        r"|unable to create native thread|Could not reserve enough space",
        "this machine gave it too little memory or too few threads: close other programs",
    ),
    (r"UnsupportedClassVersionError", "this Java is too old for it"),
    (r"Permission denied|Operation not permitted", "a folder cannot be used: check its owner"),
)
_PORT_TAKEN = re.compile(r"[Aa]ddress already in use|BindException|EADDRINUSE|Address in use")
_TELLING = re.compile(r"ERROR|FATAL|Exception|[Ee]rror:|PANIC|Caused by|Unrecognized")


class PortTakenError(Exception):
    """Another program took a chosen port before the service did."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A process of a service: what runs, how it is asked to stop, whether it refuses root."""

    argv: list[str]
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    unprivileged: bool = False


class Service:
    """A real system that runs until its block, its kernel or :meth:`stop` ends it.

    A subclass says what it is (the class variables) and has :meth:`commands`, :meth:`ready`,
    :meth:`client` and :meth:`check`; :meth:`configure` where files must be there first.
    """

    #: As in ``service(name)``.
    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[str]
    #: ``engine`` (the software itself), ``compatible`` (its protocol, other software) or ``model``.
    label: ClassVar[str]
    #: All processes together; above it the supervisor ends them.
    memory_mb: ClassVar[int]
    needs: ClassVar[tuple[Need, ...]]
    #: What it needs in the temporary folder before it is used: with less it is not started.
    disk_mb: ClassVar[int] = 10
    #: Seconds until a start has failed; a machine under load needs many times the usual.
    patience: ClassVar[float] = 120.0
    #: What the label does not say, for the table: what is missing against the real thing.
    note: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Have client() say where the memory limit ended the service: no library can."""
        connect = cls.client

        @functools.wraps(connect)
        def client(self: Service, *arguments: Any, **options: Any) -> Any:
            self._state()
            return connect(self, *arguments, **options)

        cls.client = client

    def configure(self) -> None:
        """Write configuration into :attr:`folder`; ports are to be had from :meth:`port`."""

    def fetch(self) -> None:
        """Bring into the cache what it needs; afterwards it starts without a network."""
        self._fetched = {need: need.fetch() for need in self.needs}

    def commands(self) -> dict[str, Command]:
        """The processes by name, in the order of their start."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether the protocol answers; an exception means not yet."""
        raise NotImplementedError

    def client(self) -> Any:
        """A new client of the usual library, connected."""
        raise NotImplementedError

    def check(self) -> None:
        """Do a small real job; raise where a result is not as it must be. May be repeated."""
        raise NotImplementedError

    def describe(self) -> str:
        """The address as a reader would write it."""
        return ", ".join(f"{HOST}:{port}" for port in self.ports.values())

    # --- for subclasses -------------------------------------------------------------------------

    @property
    def folder(self) -> pathlib.Path:
        """The running service's own folder; it goes when the service goes."""
        return self._supervisor.folder

    def port(self, name: str) -> int:
        """A free port, the same for each call with one name, held until the service stops."""
        if name not in self.ports:
            self.ports[name], held = _free_port()
            self._held.append(held)
        return self.ports[name]

    def path(self, kind: type, name: str = "") -> Any:
        """What :meth:`fetch` gave for the need of this kind (and name, or command)."""
        for need in self.needs:
            if isinstance(need, kind) and name in ("", need.name):
                return self._fetched[need]
        raise KeyError(kind)

    def write(self, name: str, text: str) -> pathlib.Path:
        """Write a file of configuration in the folder and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def java(
        self,
        main: str,
        *arguments: object,
        heap_mb: int,
        flags: tuple[str, ...] = (),
        lead: str = "",
    ) -> Command:
        """A JVM with all the service's jars; ``lead`` is put before them on the classpath."""
        jars = [j for need in self.needs if isinstance(need, Jars) for j in self._fetched[need]]
        classpath = os.pathsep.join([*filter(None, [lead]), *map(str, jars)])
        head = [
            str(self.path(Java)),
            *JVM,
            f"-Xmx{heap_mb}m",
            f"-Djava.io.tmpdir={self.folder}/tmp",
        ]
        argv = [*head, *flags, "-cp", classpath, main, *map(str, arguments)]
        # Nothing outside the folder is at stake, so a JVM need not be waited for.
        return Command(argv, stop=signal.SIGKILL)

    def call(self, command: Command, what: str = "did not start") -> None:
        """Run a command to its end; raise with its words, and what the service did not do."""
        name = f"prepare-{len(self._called) + 1}"
        self._called.append(name)
        self._run(name, command)
        deadline = time.monotonic() + self.patience
        while (code := self._state()["codes"][name]) is None:
            if time.monotonic() > deadline:
                self._fail(name, f"a step did not end within {self.patience:.0f} s", what)
            time.sleep(0.02)
        if code:
            self._fail(name, what=what)

    def add(self, name: str, command: Command, ready: Any) -> None:
        """Start one more process, and wait until ``ready()`` is true."""
        self._more[name] = command
        self._run(name, command)
        self._await([name], ready)

    def wait(self, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """Ask again and again until an answer is good; return it.

        Raises:
            CourseError: a process ended by itself, or the answer is not good in ``patience``.
        """
        deadline, pause = time.monotonic() + self.patience, 0.02
        look = time.monotonic() + 1
        while not good(answer := ask()):
            if time.monotonic() > look:  # rarely: to look at processes takes longer than to ask
                look += 3
                if dead := self._dead(sorted(self._serving)):
                    self._fail(dead[0], f"the process {dead[0]} ended", what="cannot go on")
            if time.monotonic() > deadline:
                raise CourseError(
                    f"{self.title} still answers {answer!r:.200} after {self.patience:.0f} s "
                    f"({self._keep_logs()})."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        return answer

    # --- for labs -------------------------------------------------------------------------------

    @property
    def pids(self) -> list[int]:
        """All its processes now, without the supervisor's two."""
        return self._supervisor.ask("state")["pids"]

    def running(self) -> list[str]:
        """The names of the processes that run now."""
        codes = self._supervisor.ask("state")["codes"]
        return [name for name in self._all_commands() if codes.get(name, 0) is None]

    @property
    def peak_mb(self) -> int:
        """The most memory that its processes have used together."""
        return self._supervisor.ask("state")["peak_mb"]

    def log(self, lines: int = 20) -> str:
        """The last lines of its logs."""
        files = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join("\n".join(_tail(file)[-lines:]) for file in files)

    def kill(self, name: str = "") -> None:
        """End a process (all of them, or the one of this name) as a crash would."""
        self._end(name, kill=True)

    def restart(self, name: str = "") -> None:
        """Stop in good order what runs and start it again, with the same data and ports."""
        for _ in range(ATTEMPTS):
            self._end(name, kill=False)
            for each, command in self._all_commands().items():
                if name in ("", each):
                    self._run(each, command)
            with contextlib.suppress(PortTakenError):  # a system may free a port a moment later
                return self._await([name] if name else list(self._all_commands()), self.ready)
        raise CourseError(
            f"{self.title} found its port taken {ATTEMPTS} times: open the lab again."
        )

    def stop(self) -> None:
        """End all its processes and remove its folder; nothing where that was done."""
        self._supervisor.stop()
        for held in self._held:
            held.close()
        self._held.clear()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        try:
            if isinstance(error, Exception):
                self._state()  # a lost connection says less than a passed memory limit
        finally:
            self.stop()

    def __repr__(self) -> str:
        where = f"on {self.describe()}" if hasattr(self, "_supervisor") else "not started"
        return f"<{self.title} {self.version} ({self.label}), {where}>"

    # --- how it starts --------------------------------------------------------------------------

    def start(self) -> Service:
        """Fetch what it needs, start it, and wait until it answers."""
        clean_up()
        self.fetch()
        self._look_at_disk()
        for attempt in range(ATTEMPTS):
            self._begin()
            try:
                with self._full_disk_said():
                    self.configure()
                    for name, command in self._all_commands().items():
                        self._run(name, command)
                    self._await(list(self._all_commands()), self.ready)
                return self
            except PortTakenError:
                self.stop()
                if attempt == ATTEMPTS - 1:
                    raise CourseError(
                        f"{self.title} found its ports taken {ATTEMPTS} times: close programs that "
                        f"listen on ports {PORTS[0]} to {PORTS[1]}, and run the same again."
                    ) from None
            except BaseException:
                self.stop()
                raise
        raise AssertionError

    def _look_at_disk(self) -> None:
        # Found out before: a program that meets a full disk often cannot even log it.
        free = shutil.disk_usage(root()).free // 2**20
        if free < self.disk_mb:
            raise CourseError(
                f"{self.title} needs {self.disk_mb} MB of disk in {tempfile.gettempdir()}, and "
                f"{free} MB are left: free some space, or set TMPDIR to another folder."
            )

    def _begin(self) -> None:
        self.ports: dict[str, int] = {}
        self._held: list[socket.socket] = []
        self._called: list[str] = []
        self._more: dict[str, Command] = {}
        self._serving: set[str] = set()
        self._supervisor = Supervisor(self)

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """A folder and a supervisor for :meth:`call` while something is made for the cache."""
        self._begin()
        try:
            yield
        finally:
            self.stop()

    @contextlib.contextmanager
    def _full_disk_said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CourseError(
                f"{self.title} could not be prepared in {tempfile.gettempdir()} "
                f"({error.strerror or error}): free some space, or set TMPDIR to another folder."
            ) from None

    def _all_commands(self) -> dict[str, Command]:
        return {**self.commands(), **self._more}

    def _run(self, name: str, command: Command) -> None:
        answer = self._supervisor.ask(
            "run",
            name=name,
            argv=[str(part) for part in command.argv],
            env={**_environment(self.folder), **command.env},
            stop=int(command.stop),
            unprivileged=command.unprivileged,
        )
        if "error" in answer:
            raise CourseError(f"{self.title} could not be started: {answer['error']}.")

    def _end(self, name: str, kill: bool) -> None:
        names = list(self._all_commands())
        if name and name not in names:
            raise CourseError(f"{self.title} has no process {name!r}: it has {', '.join(names)}.")
        names = [name] if name else names
        self._serving -= {*names}
        self._supervisor.ask("end", names=names, kill=kill, grace=30)

    def _await(self, names: list[str], ready: Any) -> None:
        """Ask until the protocol answers; raise as soon as a process has ended."""
        deadline, pause, last = time.monotonic() + self.patience, 0.05, ""
        while True:
            if dead := self._dead(names):
                self._fail(dead[0])
            try:
                # What has ended meanwhile may no longer have been asked.
                if ready() and not self._dead(names):
                    self._serving |= {*names}
                    return
            except CourseError:
                raise
            except Exception as error:
                last = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline:
                cause = f"it did not answer within {self.patience:.0f} s"
                name = names[0] if names else self.name  # what runs in the kernel has no process
                self._fail(name, f"{cause} ({last[:200]})" if last else cause)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _dead(self, names: list[str]) -> list[str]:
        codes = self._state()["codes"]
        return [name for name in names if codes[name] is not None]

    def _state(self) -> dict:
        """The supervisor's view; raises where it ended the processes for their memory."""
        state = self._supervisor.ask("state")
        if state["reason"]:
            raise CourseError(
                f"{self.title} was ended: {state['reason']}; give it less to hold, and "
                f"restart() it ({self._keep_logs()})."
            )
        return state

    def _keep_logs(self) -> str:
        logs = sorted(path.stem for path in (self.folder / "logs").glob("*.log"))
        return "; ".join(self._keep_log(name) for name in logs)

    def _keep_log(self, name: str) -> str:
        """Copy a log out of the folder, which will go; say where it is."""
        kept = root() / "logs" / f"{self.folder.name}-{name}.log"
        try:
            shutil.copyfile(self.folder / "logs" / f"{name}.log", kept)
        except OSError as error:
            return f"its log could not be kept: {error.strerror}"
        return f"its log: {kept}"

    def _fail(self, name: str, cause: str = "", what: str = "did not start") -> None:
        """Raise for a process that ended or never answered: cause, telling lines, log's place."""
        lines = _tail(self.folder / "logs" / f"{name}.log")
        words = "\n".join(lines)
        if not cause and _PORT_TAKEN.search(words):
            raise PortTakenError
        meant = next((said for pattern, said in CAUSES if re.search(pattern, words)), "")
        telling = [line for line in lines if _TELLING.search(line)] or lines
        shown = "".join(f"\n    {line.strip()[:200]}" for line in telling[-3:])
        raise CourseError(
            f"{self.title} {what}: {cause or meant or 'its process ended'} "
            f"({self._keep_log(name)}).{shown}"
        )


class Supervisor:
    """The kernel's end of the pipes to a supervisor process."""

    def __init__(self, service: Service) -> None:
        program = [sys.executable, "-I", supervisor.__file__]
        arguments = [service.name, str(os.getpid()), str(service.memory_mb), str(root())]
        with (root() / "logs" / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self._lock, self._number = threading.Lock(), 0
        # Closing the pipe is what ends a service whose variable is gone, or at the kernel's exit.
        self._finalizer = weakref.finalize(self, _hang_up, self._process, os.getpid())
        self._title = service.title
        first = self._read()
        if "error" in first:
            self.stop()
            raise CourseError(
                f"{service.title} got no folder in {tempfile.gettempdir()} ({first['error']}): "
                "free some space, or set TMPDIR to another folder."
            )
        self.folder, self.pids = pathlib.Path(first["folder"]), first["pids"]

    def ask(self, order: str, **arguments: object) -> dict:
        """Send one order and return the answer."""
        with self._lock:
            self._number += 1
            line = json.dumps({"do": order, "number": self._number, **arguments}).encode()
            try:
                self._process.stdin.write(line + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                return self._gone()
            # An interrupted call has left its answer in the pipe.
            while (answer := self._read())["number"] != self._number:
                pass
        if "error" in answer and order != "run":
            raise CourseError(f"{self._title} did not do as told: {answer['error']}.")
        return answer

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        return json.loads(line) if line else self._gone()

    def _gone(self) -> dict:
        raise CourseError(f"{self._title} is stopped: start it again with service().")

    def stop(self) -> None:
        """End everything and wait until nothing of it is left."""
        self._finalizer()


def _hang_up(process: subprocess.Popen, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the kernel ends: the service is not its own
        return
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)


def root() -> pathlib.Path:
    """The folder of this user's runs in the place for temporary files."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"course-services-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o711, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"{folder} cannot be made ({error.strerror}): free some space, or set TMPDIR to a "
            "folder that can be written."
        ) from None
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise CourseError(f"{folder} is another user's: set TMPDIR to a folder of your own.")
    return folder


def clean_up() -> list[str]:
    """End what a crash left of earlier runs, nothing else; return the names of the services."""
    ended = []
    for folder in root().iterdir():
        record = folder / supervisor.RECORD
        if folder.name == "logs":
            continue
        try:
            run = json.loads(record.read_text())
            process = psutil.Process(run["supervisor"])
            alive = process.create_time() == run["begun"]
            alive = alive and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            alive = False
        except (OSError, ValueError, KeyError):  # not begun, or just ended
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > 60:
                    shutil.rmtree(folder, ignore_errors=True)
            continue
        if alive:
            continue
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                marked = process.environ().get(supervisor.MARK) == str(folder)
                if marked or os.getsid(process.pid) == run["supervisor"]:
                    process.kill()
        supervisor.remove(str(folder))
        ended.append(run["service"])
    return ended


def _environment(folder: pathlib.Path) -> dict[str, str]:
    """A plain environment, the same on every machine."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C",
        "TZ": "UTC",
    }


def _free_port() -> tuple[int, socket.socket]:
    """A port that nothing uses, and a socket that keeps it from other services."""
    chance = random.SystemRandom()  # not the reader's seeded one
    while True:
        port, held = chance.randrange(*PORTS), socket.socket()
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
            continue
        if sys.platform == "linux":
            # Set after the bind: others find the port taken, and the service, which sets it too,
            # may listen on it.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            held.close()
        return port, held


def _tail(file: pathlib.Path, size: int = 64_000) -> list[str]:
    with contextlib.suppress(OSError), file.open("rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - size))
        text = log.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]
    return []


__all__ = [
    "HOST",
    "Archive",
    "Command",
    "Jars",
    "Java",
    "Program",
    "PythonEnv",
    "Service",
    "clean_up",
]
