"""Messages between processes that do not trust each other: a header in JSON, a body in bytes.

Both carry their length, which is held against a cap before a byte of them is read.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from typing import Any

from labkit.check import wire

#: A header holds a name and a sentence, nothing that grows with the data.
MAX_HEADER = 256 * 1024
_LENGTHS = struct.Struct("!II")


class FrameError(Exception):
    """The other side went away, took too long, or does not speak this protocol."""


class Late(FrameError):
    """No whole message came before the deadline."""


def send(
    channel: socket.socket, header: dict[str, Any], body: bytes = b"", seconds: float = 60
) -> None:
    """Send one message. Raises :class:`FrameError` when the other side does not take it."""
    head = json.dumps(header).encode()
    deadline = time.monotonic() + seconds
    view = memoryview(_LENGTHS.pack(len(head), len(body)) + head + body)
    try:
        while view:
            channel.settimeout(max(deadline - time.monotonic(), 0.001))
            view = view[channel.send(view) :]
    except TimeoutError:
        raise Late("no message was taken") from None
    except OSError as error:
        raise FrameError(f"the process is gone ({error.strerror})") from None


def receive(
    channel: socket.socket, seconds: float | None, max_body: int = wire.MAX_BYTES
) -> tuple[dict[str, Any], bytes]:
    """Receive one message, whole, within ``seconds`` (``None``: wait for ever)."""
    deadline = None if seconds is None else time.monotonic() + seconds
    head_size, body_size = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size, deadline))
    if head_size > MAX_HEADER or body_size > max_body:
        raise FrameError("a message larger than allowed")
    header: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        header = json.loads(_exactly(channel, head_size, deadline))
    if type(header) is not dict:
        raise FrameError("a message that cannot be read")
    return header, _exactly(channel, body_size, deadline)


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray()
    try:
        while len(data) < size:
            if deadline is None:
                channel.settimeout(None)
            elif (left := deadline - time.monotonic()) > 0:
                channel.settimeout(left)
            else:
                raise Late("no message came in time")
            chunk = channel.recv(min(size - len(data), 1 << 20))
            if not chunk:
                raise FrameError("the process is gone")
            data += chunk
    except TimeoutError:
        raise Late("no message came in time") from None
    except OSError as error:
        raise FrameError(f"the process is gone ({error.strerror})") from None
    return bytes(data)
