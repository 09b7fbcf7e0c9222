"""The record: one line of JSON for each finished piece of work, on the disk before it counts."""

from __future__ import annotations

import errno
import json
import os
import pathlib
from types import TracebackType
from typing import Any

from labkit.errors import CourseError

Entry = dict[str, Any]


class Record:
    """An append-only file of entries; of several with the same ``key``, the last one counts.

    What a killed process left half-written at the end is dropped when the record is opened.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._entries: dict[tuple[str, ...], Entry] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CourseError(f"The record {path} cannot be opened: {error.strerror}.") from None
        self._end = self._read()

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _frames: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def find(self, *key: str) -> Entry | None:
        """The last entry with this key."""
        return self._entries.get(key)

    def append(self, entry: Entry) -> None:
        """Add an entry, a dictionary with a ``key``; returns when it is on the disk.

        Raises :class:`~labkit.errors.CourseError` when it cannot be kept; the record is then as
        it was before.
        """
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            os.lseek(self._handle, self._end, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._end)
            raise no_room(error, self.path) from None
        self._end += len(line)
        self._entries[tuple(entry["key"])] = entry

    def _read(self) -> int:
        with os.fdopen(os.dup(self._handle), "rb") as file:
            end = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                try:
                    entry = json.loads(line)
                    self._entries[tuple(entry["key"])] = entry
                except (ValueError, KeyError, TypeError):
                    # A line that a crash of the machine spoilt: its work is done again.
                    continue
        os.ftruncate(self._handle, end)
        return end


def no_room(error: OSError, path: pathlib.Path) -> CourseError:
    """The sentence for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CourseError(
            f"No space is left for {path.parent}: what is finished is kept; free some space and "
            "run the same command again."
        )
    return CourseError(f"{path} cannot be written ({error.strerror}); nothing finished is lost.")
