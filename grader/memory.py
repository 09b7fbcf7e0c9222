"""The memory of a process and of all that it starts."""

from __future__ import annotations

import contextlib
import pathlib
import threading

import psutil


class Peak:
    """The largest memory of a process and its children, sampled while the block runs.

    Bytes of proportional set size (PSS), so that shared pages count once; resident size where
    the system has no PSS.
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
        while not self._end.wait(self._seconds):
            with contextlib.suppress(psutil.Error):
                tree = [self._root, *self._root.children(recursive=True)]
                self.bytes = max(self.bytes, sum(map(_share, tree)))


def _share(process: psutil.Process) -> int:
    try:
        lines = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except FileNotFoundError:
        try:
            return 0 if psutil.LINUX else process.memory_info().rss
        except psutil.Error:
            return 0
    except OSError:  # it has just ended
        return 0
