"""The memory of a process and of all that it starts."""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time

import psutil

from labkit.services.supervisor import in_parents_memory


class Peak:
    """The largest memory of a process and its children, sampled while the block runs.

    In bytes; looked at each ``seconds``, more rarely where a look takes long.
    """

    def __init__(self, pid: int, seconds: float = 0.1) -> None:
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._seconds = seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = self._seconds
        while not self._end.wait(pause):
            begun = time.thread_time()
            with contextlib.suppress(psutil.Error):
                tree = [self._root, *self._root.children(recursive=True)]
                self.bytes = max(self.bytes, sum(map(share, tree)))
            # Several JVMs take long to look at: a twentieth of a core goes to it.
            pause = max(self._seconds, 20 * (time.thread_time() - begun))


def share(process: psutil.Process) -> int:
    """Bytes of proportional set size (PSS), so that pages that processes share count once.

    Resident size where the system has no PSS; 0 for a process that has ended, or has no memory
    of its own yet.
    """
    try:
        if in_parents_memory(process):
            return 0
        lines = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except FileNotFoundError:
        try:
            return 0 if psutil.LINUX else process.memory_info().rss
        except psutil.Error:
            return 0
    except (OSError, psutil.Error):  # it has just ended
        return 0
