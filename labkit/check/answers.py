"""Where a check's questions go: to the answer's own notebook, or to another process.

Only encoded values (see :mod:`labkit.check.wire`) cross in either direction, here as there: a
check never holds an object of the learner's, so a lying ``__eq__`` or a mutated input has no say.
"""

from __future__ import annotations

import dis
import linecache
import pathlib
import shutil
import tempfile
import traceback
import types
from collections.abc import MutableMapping
from typing import Any, Protocol

from labkit.check import wire


class Missing(Exception):
    """The name is not there, or still holds what was handed out."""


class AnswerError(Exception):
    """The learner's code raised; the message says what and where, in their lines only."""


class Answers(Protocol):
    """What a check may ask. Paths are paths on the answer's side; all else is encoded."""

    def value(self, name: str) -> bytes:
        """The value of a variable. Raises :class:`Missing` and :class:`AnswerError`."""
        ...

    def call(self, name: str, arguments: bytes) -> bytes:
        """The result of ``name(*args, **kwargs)``; ``arguments`` encodes ``(args, kwargs)``."""
        ...

    def put(self, name: str, data: bytes) -> str:
        """Store a file in a fresh folder and return its path."""
        ...

    def folder(self) -> str:
        """The path of a new, empty folder."""
        ...

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises :class:`AnswerError` if there is none."""
        ...

    def files(self, folder: str) -> list[str]:
        """Paths of all files below ``folder``, relative to it and sorted."""
        ...

    def close(self) -> None:
        """Remove the folders made for this check."""
        ...


class LocalAnswers:
    """Answers in this process, under the names of one notebook."""

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self._namespace = namespace
        self._folders: list[str] = []

    def value(self, name: str) -> bytes:
        return self._encode(self._get(name), name)

    def call(self, name: str, arguments: bytes) -> bytes:
        function = self._get(name)
        if not callable(function):
            raise AnswerError(f"{name} is {type(function).__name__}, not a function")
        args, kwargs = wire.decode(arguments)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise AnswerError(describe(error, name)) from None
        return self._encode(result, name)

    def put(self, name: str, data: bytes) -> str:
        path = pathlib.Path(self.folder()) / name
        path.write_bytes(data)
        return str(path)

    def folder(self) -> str:
        folder = tempfile.mkdtemp(prefix="check-")
        self._folders.append(folder)
        return folder

    def read(self, path: str) -> bytes:
        file = pathlib.Path(path)
        if not file.is_file():
            raise AnswerError(f"no file {file.name}")
        if file.stat().st_size > wire.MAX_BYTES:
            raise AnswerError(f"a file {file.name} of over {wire.MAX_BYTES // 2**20} MB")
        return file.read_bytes()

    def files(self, folder: str) -> list[str]:
        root = pathlib.Path(folder)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def close(self) -> None:
        while self._folders:
            shutil.rmtree(self._folders.pop(), ignore_errors=True)

    def _get(self, name: str) -> Any:
        value = self._namespace.get(name, ...)
        if value is ... or (isinstance(value, types.FunctionType) and is_stub(value)):
            raise Missing(name)
        return value

    def _encode(self, value: Any, name: str) -> bytes:
        try:
            return wire.encode(value)
        except ValueError as error:
            raise AnswerError(f"{name}: {error}") from None


def is_stub(function: types.FunctionType) -> bool:
    """Whether a function does nothing at all: a docstring, ``...`` or ``pass``, no more."""
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    steps = list(dis.get_instructions(function))
    return all(step.opname in idle for step in steps) and not any(
        step.opname in ("LOAD_CONST", "RETURN_CONST") and step.argval is not None for step in steps
    )


def describe(error: BaseException, name: str) -> str:
    """One line about an exception of the learner's code: what, and which of their lines."""
    text = str(error).strip().splitlines()
    what = f"{name} raised {type(error).__name__}" + (f": {text[0][:160]}" if text else "")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        # A notebook cell has no file; libraries have one, or were compiled from one.
        if not frame.filename.startswith("<frozen")
        and not frame.filename.endswith((".pyx", ".pxi"))
        and not pathlib.Path(frame.filename).is_file()
    ]
    if not frames:
        return what
    frame = frames[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"{what} (line {frame.lineno} of its cell{': ' + line[:80] if line else ''})"
