"""Code that tries to leave its walls, and the layers without which it would.

Every target is a canary of the test's own, passed in by name: ``FILE`` and ``FOLDER`` on disk,
``PORT`` on loopback, ``ABSTRACT`` socket, ``PID`` of a process, ``KEY`` of shared memory. Code
prints REACHED when it got there.
"""

_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

#: By name: the code, and the layers that must be off for it to succeed.
BREAKOUTS: dict[str, tuple[str, set[str]]] = {
    "read a file of another": (
        "print('REACHED', open(FILE).read())",
        {"mount", "landlock", "user"},
    ),
    "list a folder of another": (
        "import os\nprint('REACHED', os.listdir(FOLDER))",
        {"mount", "landlock", "user"},
    ),
    "write where all may write": (
        "open(FOLDER + '/new', 'w').write('x')\nprint('REACHED')",
        {"mount", "landlock", "user"},
    ),
    "overwrite a file": (
        "open(FILE, 'a').write('x')\nprint('REACHED')",
        {"mount", "landlock", "user"},
    ),
    "delete a file": (
        "import os\nos.remove(FOLDER + '/victim')\nprint('REACHED')",
        {"mount", "landlock", "user"},
    ),
    "symlink to a file": (
        "import os\nos.symlink(FILE, 'link')\nprint('REACHED', open('link').read())",
        {"mount", "landlock", "user"},
    ),
    "shell reads a file": (
        "import subprocess\n"
        "out = subprocess.run(['cat', FILE], capture_output=True, text=True).stdout\n"
        "if out: print('REACHED')",
        {"mount", "landlock", "user"},
    ),
    "connect to loopback": (
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)\nprint('REACHED')",
        {"network", "seccomp"},
    ),
    "connect by a subprocess": (
        "import subprocess, sys\n"
        "code = f'import socket; socket.create_connection((\"127.0.0.1\", {PORT}), 2); print(1)'\n"
        "run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "if run.stdout: print('REACHED')",
        {"network", "seccomp"},
    ),
    "send a datagram": (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('127.0.0.1', PORT)); s.send(b'canary')\n"
        "s.settimeout(1)\n"
        "print('REACHED', s.recv(9))",
        {"network", "seccomp"},
    ),
    "an abstract socket": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\n"
        "s.connect('\\0' + ABSTRACT)\nprint('REACHED')",
        {"network", "seccomp", "landlock"},
    ),
    "a socket on disk": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\n"
        "s.connect(FOLDER + '/socket')\nprint('REACHED')",
        {"mount", "network", "seccomp", "landlock", "user"},
    ),
    "see a process": (
        "import os\nif os.path.exists(f'/proc/{PID}'): print('REACHED')",
        {"mount", "landlock", "pid", "user"},
    ),
    "signal a process": (
        "import os\nos.kill(PID, 0)\nprint('REACHED')",
        {"mount", "landlock", "pid", "user"},
    ),
    "shared memory by key": (
        _LIBC + "if libc.shmget(KEY, 64, 0o666) >= 0: print('REACHED')",
        {"ipc"},
    ),
    "a new user namespace": (
        _LIBC + "if libc.unshare(0x10000000) == 0: print('REACHED')",
        {"seccomp"},
    ),
    "a new user namespace by clone": (
        _LIBC
        + "pid = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)\n"
        + "if pid == 0: os._exit(0)\n"
        + "if pid > 0: os.waitpid(pid, 0); print('REACHED')",
        {"seccomp"},
    ),
    "trace a process": (
        _LIBC
        + "pid = os.fork()\n"
        + "if pid == 0: os._exit(7 if libc.ptrace(0, 0, 0, 0) == 0 else 0)\n"
        + "if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7: print('REACHED')",
        {"seccomp"},
    ),
    "a raw key": (
        _LIBC + "if libc.syscall(248, b'user', b'canary', b'x', 1, -3) >= 0: print('REACHED')",
        {"seccomp"},
    ),
    "a perf event": (
        _LIBC + "libc.syscall(298, 0, 0, 0, 0, 0)\nif ctypes.get_errno() != 1: print('REACHED')",
        {"seccomp"},
    ),
    "an io_uring": (
        _LIBC + "libc.syscall(425, 1, 0)\nif ctypes.get_errno() != 1: print('REACHED')",
        {"seccomp"},
    ),
    "a socket of a strange family": (
        "import socket\nsocket.socket(40, socket.SOCK_STREAM)\nprint('REACHED')",
        {"seccomp"},
    ),
    "more processes than allowed": (
        "import os, time\n"
        "made = []\n"
        "try:\n"
        "    for _ in range(45):\n"
        "        pid = os.fork()\n"
        "        if pid == 0: time.sleep(2); os._exit(0)\n"
        "        made.append(pid)\n"
        "except OSError: pass\n"
        "if len(made) == 45: print('REACHED')",
        {"limits"},
    ),
    "a file larger than allowed": (
        "with open('big', 'wb') as f:\n"
        "    for _ in range(10): f.write(bytes(2**20))\n"
        "print('REACHED')",
        {"limits"},
    ),
    "more files than the disk holds": (
        "for n in range(10):\n    open(f'f{n}', 'wb').write(bytes(3 * 2**20))\nprint('REACHED')",
        {"mount", "landlock", "user"},
    ),
    "more open files than allowed": (
        "import os\nfor _ in range(400): os.open('/dev/null', os.O_RDONLY)\nprint('REACHED')",
        {"limits"},
    ),
}
