"""What one Linux process can renounce: privileges, system calls (seccomp), files (Landlock).

Each function says whether the kernel took it. There is no library for this in the environment,
so the calls are made with ctypes, by number.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import signal
import struct
import sys
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38

#: Calls that no lab needs, by number on x86-64 and on ARM64 (``None``: not there).
_DENIED: dict[str, tuple[int | None, int]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "pidfd_getfd": (438, 438),
}
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (which names the own interfaces).
_FAMILIES = (1, 2, 10, 16)
_NEW_NAMESPACES = 0x7E020000


@functools.cache
def numbers() -> dict[str, int]:
    """The numbers of the denied calls on this machine."""
    index = 0 if platform.machine() == "x86_64" else 1
    return {name: both[index] for name, both in _DENIED.items() if both[index] is not None}


def die_with_parent() -> None:
    """End this process when its parent ends."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def dumpable() -> None:
    """Own one's entries in /proc again after a change of user."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def no_new_privileges() -> bool:
    """No program that this process starts gains rights by being started."""
    return _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def drop_capabilities() -> None:
    """Give up all capabilities, also those over the process's own namespaces."""
    header = struct.pack("Ii", 0x20080522, 0)
    _libc.capset(header, struct.pack("IIIIII", *[0] * 6))


def read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id programs or devices."""
    attributes = struct.pack("QQQQ", 0x1 | 0x2 | 0x4, 0, 0, 0)
    path, here, recursive = target.encode(), -100, 0x8000
    number = numbers()["mount_setattr"]
    if _libc.syscall(number, here, path, recursive, attributes, len(attributes)) == 0:
        return
    flags = 1 | 2 | 4 | 32 | 4096 | 16384
    if _libc.mount(b"none", path, b"", flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"cannot make {target} read-only")


def seccomp(*, network: bool) -> bool:
    """Refuse the calls that no lab needs; without ``network``, all sockets as well."""
    program = _filter(network=network)
    if not program:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    return _libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(head), 0, 0) == 0


def rehearse() -> None:
    """Have ready what is the same for all processes that are forked from this one."""
    numbers()
    _filter(network=True)


@functools.cache
def _filter(*, network: bool) -> bytes:
    """The program, empty where the machine's numbers are not known."""
    if platform.machine() not in _ARCH:
        return b""
    index = 0 if platform.machine() == "x86_64" else 1
    families = _FAMILIES if network else ()
    load, equal, above, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    steps = [step(load, 4), step(equal, list(_ARCH.values())[index], 1), step(give, kill)]
    steps.append(step(load, 0))
    if index == 0:  # the x32 table has other numbers for the same calls
        steps += [step(above, 0x40000000, 0, 1), step(give, refuse)]
    for both in _DENIED.values():
        if both[index] is not None:
            steps += [step(equal, both[index], 0, 1), step(give, refuse)]
    # clone3 hides its flags from a filter; libraries fall back to clone when it is absent.
    steps += [step(equal, _CLONE3[index], 0, 1), step(give, absent)]
    steps += [step(equal, _CLONE[index], 0, 4), step(load, 16)]
    steps += [step(any_bit, _NEW_NAMESPACES, 0, 1), step(give, refuse), step(give, allow)]
    checks = [step(equal, family, len(families) - n, 0) for n, family in enumerate(families)]
    steps += [step(equal, _SOCKET[index], 0, len(checks) + 2), step(load, 16)]
    steps += [*checks, step(give, refuse), step(give, allow)]
    return b"".join(steps)


def landlock(readable: list[str], writable: list[str], meeting: Sequence[str] = ()) -> bool:
    """Allow reading below some paths, writing below others, and no other file.

    Below ``meeting``, sockets may be made and files read.
    """
    create, add, restrict = 444, 445, 446
    version = _libc.syscall(create, None, 0, 1)
    if version < 1:
        return False
    every = (1 << (13 + (version >= 2) + (version >= 3))) - 1
    # From version 6: no signals and no abstract sockets to processes outside.
    scoped = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", every, 0, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc.syscall(create, attributes, size, 0)
    if ruleset < 0:
        return False
    reading, of_a_file = 0b1101, 0b0111 | (1 << 14 if version >= 3 else 0)
    sockets = reading | 1 << 5 | 1 << 9
    for paths, rights in ((readable, reading), (writable, every), (meeting, sockets)):
        for path in paths:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
                allowed = rights if os.path.isdir(path) else rights & of_a_file
                rule = struct.pack("=Qi", allowed, handle)
                _libc.syscall(add, ruleset, 1, rule, 0)
                os.close(handle)
    done = _libc.syscall(restrict, ruleset, 0) == 0
    os.close(ruleset)
    return done
