"""Walls around a process that runs a student's code, made of what the system has.

:func:`keep` forks the process and stays outside as its keeper: it watches memory and CPU time,
kills on request, and reports how the process ended. Nothing here needs root. As root, the student's
code runs under a throw-away user id.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from grader.engine import confine

LINUX = sys.platform == "linux"
#: All layers, for a caller who requires each of them.
FULL = frozenset(
    {
        "user",
        "mount",
        "pid",
        "network",
        "ipc",
        "read-only",
        "work-quota",
        "limits",
        "no_new_privs",
        "seccomp",
        "landlock",
    }
)
#: The user id of student code when the grader itself is root.
NOBODY = 64999
HOME = "/tmp/home"
_NEW = {"mount": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "network": 0x40000000}
_NEWUSER, _NEWPID = 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 2, 4, 32, 4096
_MS_REC, _MS_PRIVATE, _MS_RDONLY = 16384, 1 << 18, 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Limits:
    """What a student's code may use, for one notebook."""

    memory_mb: int = 2048
    #: Address space beyond that: a JVM reserves much more than it uses.
    reserved_mb: int = 0
    work_mb: int = 256
    file_mb: int = 128
    processes: int = 64
    open_files: int = 1024
    output_bytes: int = 2_000_000
    cpu_seconds: int = 180
    cell_seconds: float = 30
    call_seconds: float = 15
    total_seconds: float = 600


def keep(
    lifeline: socket.socket,
    limits: Limits,
    view: list[str],
    scratch: str,
    off: frozenset[str],
    run: Callable[[list[str], str], None],
    inner: list[socket.socket],
    meeting: Sequence[str] = (),
) -> NoReturn:
    """Fork a walled process that calls ``run(layers, work_dir)``; stay as its keeper.

    Kills it when the other end of ``lifeline`` closes or a limit is passed, then reports. ``off``
    names layers to leave out, for the tests that prove what each of them stops; ``inner`` are the
    sockets that only the process inside holds; ``meeting`` are folders outside in which it may make
    sockets of its own.
    """
    confine.die_with_parent()
    with contextlib.suppress(OSError):
        os.setsid()
    walls = _Walls(off)
    walls.before_fork()
    folder = "" if walls.may_mount else tempfile.mkdtemp(dir=scratch)
    process = os.fork()
    if process == 0:
        try:
            confine.die_with_parent()
            lifeline.close()
            work = walls.inside(limits, view, scratch, folder, meeting)
            _as_init(lambda: run(sorted(walls.active), work))
        except BaseException as error:
            sys.stderr.write(f"sandbox: {type(error).__name__}: {error}\n")
        os._exit(70)
    for held in inner:
        held.close()
    report = _watch(process, lifeline, limits, walls)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        lifeline.sendall(json.dumps(report).encode())
    os._exit(0)


def _as_init(run: Callable[[], None]) -> NoReturn:
    """Run in a child of this process, so that the first process of a pid namespace only reaps."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        try:
            run()
        except BaseException as error:
            # Standard error may be the student's by now; the keeper's own is the grader's.
            sys.__stderr__.write(f"sandbox: {type(error).__name__}\n")
        os._exit(71)
    os.closerange(3, 1024)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 127)


def _watch(process: int, lifeline: socket.socket, limits: Limits, walls: _Walls) -> dict:
    reason, peak, cpu = "", 0, 0.0
    ended = _end_of(process)
    while True:
        with contextlib.suppress(ChildProcessError):
            pid, _, usage = os.wait4(process, os.WNOHANG)
            if pid:
                cpu = max(cpu, usage.ru_utime + usage.ru_stime)
                scale = 2**10 if LINUX else 2**20
                peak = max(peak, usage.ru_maxrss // scale)
                break
        if not reason:
            ready, _, _ = select.select([lifeline, *ended], [], [], 0.05)
            if lifeline in ready:
                reason = "ended by the grader"
            elif ready:
                continue
        if not reason:
            memory, used = _usage(process, limits.memory_mb)
            peak, cpu = max(peak, memory), max(cpu, used)
            if memory > limits.memory_mb:
                reason = f"used more than {limits.memory_mb} MB of memory"
            elif used > limits.cpu_seconds:
                reason = f"used more than {limits.cpu_seconds} s of processor time"
        if reason:
            _kill(process, walls)
            time.sleep(0.002)
    _kill(process, walls)
    return {"reason": reason, "peak_mb": peak, "cpu_seconds": round(cpu, 3)}


def _end_of(process: int) -> list[int]:
    """What becomes readable when a child has ended, where the kernel tells."""
    with contextlib.suppress(AttributeError, OSError):
        return [os.pidfd_open(process)]
    return []


def _kill(process: int, walls: _Walls) -> None:
    family = [process] if "pid" in walls.active else _family(process)
    for pid in reversed(family):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _family(process: int) -> list[int]:
    family = [process]
    for pid in family:
        with contextlib.suppress(OSError, ValueError):
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
            family += map(int, children.split())
        if len(family) > 4096:
            break
    return family


def _usage(process: int, limit_mb: int) -> tuple[int, float]:
    """Megabytes and processor seconds of a process and its descendants."""
    pages, ticks, family = 0, 0, _family(process)
    for pid in family:
        with contextlib.suppress(OSError, ValueError, IndexError):
            statm = pathlib.Path(f"/proc/{pid}/statm").read_text().split()
            pages += int(statm[1]) - int(statm[2])
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))
    memory = pages * resource.getpagesize() // 2**20
    if memory > limit_mb:
        # Forks share pages, which the quick sum counts once for each: count exactly before killing.
        memory = sum(map(_exactly, family)) // 2**20
    return memory, ticks / os.sysconf("SC_CLK_TCK")


def _exactly(pid: int) -> int:
    # Brings the labs' libraries along, which a kernel that only starts does not need.
    import psutil

    from grader.memory import share

    with contextlib.suppress(psutil.Error):
        return share(psutil.Process(pid))
    return 0


class _Walls:
    """The layers of one process, each noted in ``active`` once it stands."""

    def __init__(self, off: frozenset[str]) -> None:
        self.off = off
        self.active: set[str] = set()
        self.may_mount = False

    def before_fork(self) -> None:
        """Enter the namespaces that only a fork can enter."""
        if not LINUX:
            return
        mounts = can_mount()
        # Root makes the mounts with its own rights and gets its namespace later, as nobody.
        if os.geteuid() != 0 and "user" not in self.off and _own_users():
            self.active.add("user")
        if "pid" not in self.off and _libc.unshare(_NEWPID) == 0:
            self.active.add("pid")
        self.may_mount = "mount" not in self.off and "pid" in self.active and mounts

    def inside(
        self,
        limits: Limits,
        view: list[str],
        scratch: str,
        folder: str,
        meeting: Sequence[str] = (),
    ) -> str:
        """Close the walls around this process; returns its work directory."""
        if LINUX:
            for name, flag in _NEW.items():
                if name in self.off or (name == "mount" and not self.may_mount):
                    continue
                if _libc.unshare(flag) == 0:
                    self.active.add(name)
            if "network" in self.active:
                _loopback_up()
        if self.may_mount:
            _new_root(limits, view, scratch, meeting)
            self.active |= {"read-only", "work-quota"}
            home = HOME
        else:
            home = folder
        if os.geteuid() == 0 and "user" not in self.off:
            _become_nobody(home)
            if LINUX and _own_users():
                self.active.add("user")
        os.makedirs(home, exist_ok=True)
        os.chdir(home)
        if "limits" not in self.off:
            _limit(limits)
            self.active.add("limits")
        if LINUX and confine.no_new_privileges():
            self.active.add("no_new_privs")
            confine.drop_capabilities()
            fenced = "network" in self.active
            if "landlock" not in self.off:
                writable = [home, "/tmp", "/dev"] if self.may_mount else [home, "/dev/null"]
                if confine.landlock(["/"] if self.may_mount else view, writable, meeting):
                    self.active.add("landlock")
            if "seccomp" not in self.off and confine.seccomp(network=fenced):
                self.active.add("seccomp")
        return home


@functools.cache
def can_mount() -> bool:
    """Whether mounts of our own can be had here; tried once, in a process that is thrown away."""

    def attempt() -> None:
        if os.geteuid() != 0:
            _own_users()
        _must(_libc.unshare(_NEWPID | _NEW["mount"]), "unshare")
        child = os.fork()
        if child == 0:
            _in_throw_away(mounts)
        if os.waitpid(child, 0)[1]:
            raise OSError("no mounts")

    def mounts() -> None:
        _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
        _mount("proc", "/proc", "proc")
        _mount("tmpfs", "/tmp", "tmpfs", 0, "size=4k")

    if not LINUX:
        return False
    child = os.fork()
    if child == 0:
        _in_throw_away(attempt)
    return os.waitpid(child, 0)[1] == 0


def _in_throw_away(run: Callable[[], None]) -> NoReturn:
    try:
        run()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _own_users() -> bool:
    """A user namespace with only this process's own user and group in it."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWUSER) != 0:
        return False
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def _must(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    encoded = [text.encode() for text in (source, target, kind)]
    _must(_libc.mount(*encoded, flags, options.encode() or None), f"mount {target}")


def _new_root(limits: Limits, view: list[str], scratch: str, meeting: Sequence[str] = ()) -> None:
    """A root of its own: ``view`` read-only, a bounded /tmp, its own /proc, five devices."""
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    root = pathlib.Path(scratch) / "root"
    _mount("tmpfs", str(root), "tmpfs", _MS_NOSUID | _MS_NODEV, "size=2m,mode=755")
    # These come first: what is to be seen may itself lie below /tmp.
    for name in ("tmp", "proc"):
        (root / name).mkdir()
    size = f"size={limits.work_mb}m,nr_inodes=20000,mode=1777"
    _mount("tmpfs", str(root / "tmp"), "tmpfs", _MS_NOSUID | _MS_NODEV, size)
    _mount("proc", str(root / "proc"), "proc", _MS_NOSUID | _MS_NODEV)
    devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
    (root / "etc").mkdir()
    for name, text in _names().items():
        (root / "etc" / name).write_text(text)
    for name in [*view, *meeting, *devices]:
        target = root / name.lstrip("/")
        if os.path.islink(name) and not os.path.isdir(name):
            name = os.path.realpath(name)
        if os.path.isdir(name):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        _mount(name, str(target), "", _MS_BIND | _MS_REC)
        if name not in devices and name not in meeting:
            confine.read_only(str(target))
    (root / "dev/shm").symlink_to("/tmp")
    # A cell's "!command" runs in a terminal of its own.
    (root / "dev/pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=666"
    _mount("devpts", str(root / "dev/pts"), "devpts", _MS_NOSUID, options)
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    os.chdir(root)
    _must(_libc.syscall(confine.numbers()["pivot_root"], b".", b"."), "pivot_root")
    _must(_libc.umount2(b".", 2), "umount")
    os.chdir("/")
    _mount("none", "/", "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _names() -> dict[str, str]:
    """Files in /etc by which a process inside finds its own user, group and machine.

    Many systems refuse to start without them; the machine's own would name its other users.
    """
    root = os.geteuid() == 0
    uid, gid = (NOBODY, NOBODY) if root else (os.geteuid(), os.getegid())
    return {
        "passwd": f"student:x:{uid}:{gid}::{HOME}:/bin/sh\n",
        "group": f"student:x:{gid}:\n",
        "hosts": f"127.0.0.1 localhost {socket.gethostname()}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }


def _become_nobody(home: str) -> None:
    os.makedirs(home, exist_ok=True)
    os.chown(home, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # The kernel takes both of these away with the old user.
    confine.dumpable()
    confine.die_with_parent()


def _loopback_up() -> None:
    """Services that a lab starts talk over 127.0.0.1, here that of the sandbox."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40) + bytes(22))


def _limit(limits: Limits) -> None:
    megabyte = 2**20
    space = (limits.memory_mb + limits.reserved_mb) * megabyte
    with contextlib.suppress(OSError, ValueError):
        held = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        space += held * resource.getpagesize()
    wanted = {
        "RLIMIT_AS": space,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.file_mb * megabyte,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))
