"""Kernels behind walls for plain ``nbgrader autograde``, by a provisioner of jupyter_client.

``nbgrader_config.py`` names :class:`SandboxedExecute` in the place of nbgrader's ``Execute``; so
kernels of JupyterLab, of ``nbgrader validate`` and of the author stay as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

import psutil
from jupyter_client.provisioning import LocalProvisioner
from nbclient.util import run_sync
from nbgrader.preprocessors import Execute
from traitlets import Bool, Integer, List, Unicode

from grader.compat.launcher import ROOT
from grader.compat.view import files_of, python_view, visible
from grader.engine import sandbox
from labkit.errors import CourseError

#: What a kernel may know of the teacher's environment: nothing that is not named here.
_KEPT = ("LANG", "LC_", "TZ", "PATH", "PYTHONPATH", "NBGRADER_", "COURSE_", "OMP_", "OPENBLAS_")
_KEPT += ("MKL_", "NUMEXPR_", "JPY_", "MPLBACKEND")


class SandboxProvisioner(LocalProvisioner):
    """Starts a local kernel through :mod:`grader.compat.launcher`, on sockets instead of ports."""

    #: Where the sockets and the connection file are; it and the kernel meet nowhere else.
    meeting: str
    layers: tuple[str, ...] = ()
    view: list[str]
    limits: sandbox.Limits
    _lifeline: socket.socket | None = None
    _scratch = ""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; raises :class:`CourseError` when the walls cannot be had."""
        self._scratch = tempfile.mkdtemp(prefix="grader-")
        os.chmod(self._scratch, 0o711)
        (pathlib.Path(self._scratch) / "root").mkdir()
        if os.geteuid() == 0:
            for path in (self.meeting, *pathlib.Path(self.meeting).iterdir()):
                os.chown(path, sandbox.NOBODY, sandbox.NOBODY)
        folder = pathlib.Path(kwargs.pop("cwd", None) or os.getcwd())
        ours, theirs = socket.socketpair()
        layers, report = os.pipe()
        files = files_of(folder)
        descriptors = [theirs.fileno(), report, files.fileno()]
        plan = {
            "command": cmd,
            "environment": {
                name: value
                for name, value in kwargs["env"].items()
                if name.startswith(_KEPT) or name in self.kernel_spec.env
            }
            # Its parent is the first process of the sandbox: else it asks to be ended by hand.
            | {"JPY_PARENT_PID": "1"},
            "folder": folder.name,
            "view": visible([*python_view(cmd[0]), *self.view]),
            "meeting": [self.meeting],
            "scratch": self._scratch,
            "limits": dataclasses.asdict(self.limits),
            "off": [],
            "bubblewrap": bubblewrap_works(),
            **dict(zip(("lifeline", "report", "files"), descriptors, strict=True)),
        }
        with theirs, files:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "grader.compat.launcher", json.dumps(plan)],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=descriptors,
                start_new_session=True,
            )
            os.close(report)
        self._lifeline = ours
        self.pid = self.pgid = self.process.pid
        # One message, or nothing once every process that could have written it is gone.
        said = os.read(layers, 65536)
        os.close(layers)
        if not said:
            raise CourseError(
                "The kernel's sandbox could not be started; ./course doctor says what is missing."
            )
        self.layers = tuple(json.loads(said))
        return self.connection_info

    async def send_signal(self, signum: int) -> None:
        """Interrupt the kernel and what it started; other signals end the keeper and so all."""
        if signum != signal.SIGINT or self.process is None:
            await super().send_signal(signum)
            return
        with contextlib.suppress(psutil.Error, IndexError):
            keeper = psutil.Process(self.process.pid)
            # The keeper's child is the first process of the sandbox, and only reaps.
            first = keeper.children()[0]
            if first.name() == "bwrap":
                first = first.children()[0]
            for kernel in first.children():
                for process in (kernel, *kernel.children(recursive=True)):
                    process.send_signal(signum)

    async def cleanup(self, restart: bool = False) -> None:
        """Say why the kernel was ended, if it was, and remove what only it used."""
        await super().cleanup(restart)
        if self._lifeline is not None:
            self._lifeline.setblocking(False)
            with contextlib.suppress(OSError, ValueError):
                reason = json.loads(self._lifeline.recv(65536)).get("reason")
                if reason:
                    self.log.error("The kernel was ended: it %s.", reason)
            self._lifeline.close()
            self._lifeline = None
        if not restart:
            shutil.rmtree(self._scratch, ignore_errors=True)
            shutil.rmtree(self.meeting, ignore_errors=True)


class SandboxedExecute(Execute):
    """nbgrader's ``Execute`` with each kernel in a sandbox."""

    view = List(
        Unicode(), help="Files and folders that a kernel may read, beyond Python and the system."
    ).tag(config=True)
    memory_mb = Integer(
        4096, help="Memory that a kernel may use, and address space that it may reserve, in MB."
    ).tag(config=True)
    cpu_seconds = Integer(600, help="Processor time that a kernel may use.").tag(config=True)
    require_full = Bool(
        False, help="Refuse to run a student's code with fewer than all layers of the sandbox."
    ).tag(config=True)

    def create_kernel_manager(self) -> Any:
        """A manager whose kernel is provisioned by :class:`SandboxProvisioner`."""
        km = super().create_kernel_manager()
        # A network namespace has its own loopback: only sockets in a folder reach the kernel.
        meeting = tempfile.mkdtemp(prefix="kernel-")
        km.transport, km.ip = "ipc", f"{meeting}/s"
        km.connection_file = f"{meeting}/kernel.json"
        provisioner = SandboxProvisioner(kernel_spec=km.kernel_spec, parent=km)
        provisioner.meeting, provisioner.view = meeting, list(self.view)
        provisioner.limits = dataclasses.replace(
            sandbox.Limits(), memory_mb=self.memory_mb, cpu_seconds=self.cpu_seconds
        )
        km.provisioner = provisioner
        return km

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel, and say on the terminal behind which walls it runs."""
        await super().async_start_new_kernel(**kwargs)
        layers = set(self.km.provisioner.layers)
        lacking = sorted(sandbox.FULL - layers)
        by = " by bubblewrap" if bubblewrap_works() else ""
        self.log.info("The kernel runs in a sandbox%s: %s", by, ", ".join(sorted(layers)))
        if lacking and self.require_full:
            await self._async_cleanup_kernel()
            raise CourseError(
                f"The sandbox lacks {', '.join(lacking)} on this machine, and "
                "c.SandboxedExecute.require_full asks for all of it."
            )
        if lacking:
            self.log.warning(
                "The sandbox lacks %s on this machine: a student's code is held back less.",
                ", ".join(lacking),
            )

    start_new_kernel = run_sync(async_start_new_kernel)


@functools.cache
def bubblewrap_works() -> bool:
    """Whether bubblewrap is here and may make namespaces; root does without it.

    As root the kernel gets a throw-away user id, which could not pass the folders of root that
    bubblewrap would show it.
    """
    if os.geteuid() == 0 or not shutil.which("bwrap"):
        return False
    attempt = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
