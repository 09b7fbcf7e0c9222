"""A model of an airline's HTTP API: pages by cursor, tokens, rate limits, ETags, and faults.

One server on the loopback address; :func:`open_api` opens an API of its own in it, below an address
of its own. All is drawn from a seed. Faults come in the order of a script, one for each request,
and each API keeps a log of what it was asked, in which clients that hurry are marked.
"""

from __future__ import annotations

import base64
import email.utils
import functools
import hashlib
import itertools
import json
import math
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import ThreadingHTTPServer
from typing import Any

from labkit import lab
from labkit.datasets import dataset
from labkit.errors import CourseError
from labkit.web.clock import Clock
from labkit.web.serving import HOST, Handler, Reply, no_proxy

#: The variable of the environment in which a client finds its secret.
SECRET = "AIRLINE_SECRET"
CLIENT = "night-loader"
#: Flights on a page, at most.
PAGE = 50
#: Requests that an API serves before it has enough: a client's endless loop finds an end.
QUOTA = 1500
ERRORS = {
    400: "this request is malformed",
    403: "this client may not read this",
    404: "there is no such resource",
    410: "this cursor is too old: begin without one",
    429: "too many requests",
    500: "internal error",
    501: "not implemented",
    502: "bad gateway",
    503: "down for a moment",
    504: "gateway timeout",
}
#: What a script may hold.
SCRIPT = {"ok", "401", "expire", "429 date", "429 bare", "half", "cut", *map(str, ERRORS)}


class Airline:
    """The flights that an API publishes: those of a real day, and changes drawn from a seed."""

    def __init__(self, seed: int, flights: int) -> None:
        self._random = random.Random(f"{seed}/changes")
        rows = random.Random(f"{seed}/flights").sample(_day(), len(_day()))
        self._waiting = rows[flights:]
        self.flights: dict[str, dict[str, Any]] = {}
        #: By id, the number of the last change; a feed is in this order.
        self.changed: dict[str, int] = {}
        self._changes = itertools.count(1)
        for row in rows[:flights]:
            self._put(row)

    def pass_time(self, changed: int, added: int) -> None:
        """Give some flights another delay and a higher version, and add new flights."""
        for name in self._random.sample(sorted(self.flights), changed):
            row = self.flights[name]
            delay = (row["dep_delay"] or 0) + self._random.randint(1, 60)
            self._put({**row, "version": row["version"] + 1, "dep_delay": delay})
        for _ in range(added):
            self._put(self._waiting.pop())

    def since(self, change: int) -> list[dict[str, Any]]:
        """Flights that changed after a change, in the order of their last change."""
        late = sorted((number, name) for name, number in self.changed.items() if number > change)
        return [self.flights[name] for _, name in late]

    def _put(self, row: dict[str, Any]) -> None:
        self.flights[row["id"]] = row
        self.changed[row["id"]] = next(self._changes)


@functools.cache
def _day() -> list[dict[str, Any]]:
    return [
        {
            "id": f"{row['carrier']}{row['flight']}-{row['origin']}",
            "version": 1,
            "hour": row["hour"],
            "dest": row["dest"],
            "dep_delay": row["dep_delay"],
        }
        for row in dataset("flights-day-parquet").arrow().to_pylist()
    ]


class Api:
    """One API: an airline, who may read it, the faults to come, and a log."""

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int,
        flights: int,
        login: bool,
        burst: int,
        script: Sequence[str],
        trouble: bool,
    ) -> None:
        self.airline = Airline(seed, flights)
        self.log: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self._clock, self._seed, self._login, self._burst = clock, seed, login, burst
        self._random = random.Random(f"{seed}/answers")
        self._script = itertools.chain(script, self._troubles() if trouble else ())
        self._token = ""
        self._left = burst
        #: No request may come before this moment, and the last one ended at that one.
        self._not_before = self._last = clock.now()
        self._cursors: dict[str, int] = {}
        self._stale: set[str] = set()

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, form: dict[str, str]
    ) -> Reply:
        """Answer one request and note it."""
        arrived = self._clock.now()
        early = arrived < self._not_before
        reply = self._refuse(method, path, headers, arrived) or self._route(
            method, path, query, headers, form
        )
        self.log.append(
            {
                "method": method,
                "path": path,
                "cursor": query.get("cursor"),
                "status": reply.status,
                "bytes": len(reply.sent),
                "whole": not reply.cut,
                "waited": round(arrived - self._last, 1),
                "early": early,
            }
        )
        self._last = self._clock.now()
        return reply

    def expire_cursors(self) -> None:
        """Make all cursors that were given stale."""
        self._stale |= {*self._cursors}

    def _refuse(self, method: str, path: str, headers: Any, arrived: float) -> Reply | None:
        """A refusal that has nothing to do with what was asked for; else None."""
        self._cut = ""
        if len(self.log) >= QUOTA:
            return Reply(403, _json({"error": "this client has used up its quota"}))
        if path == "/token":
            return None
        if arrived < self._not_before:
            return self._slow_down(math.ceil(self._not_before - arrived))
        known = self._token and headers.get("Authorization") == f"Bearer {self._token}"
        if self._login and not known:
            return self._log_in_first()
        if self._burst and self._left == 0:
            self._left = self._burst
            return self._slow_down(self._random.randint(2, 5))
        self._left -= 1
        fault = next(self._script, "ok")
        match fault:
            case "ok":
                return None
            case "half" | "cut":
                self._cut = fault
                return None
            case "401":
                self._token = ""
                return self._log_in_first()
            case "expire":
                # This answer is the last one that the token gets.
                self._token = ""
                return None
            case "410":
                self.expire_cursors()
                return None
            case "429":
                return self._slow_down(self._random.randint(2, 5))
            case "429 date":
                seconds = self._random.randint(20, 40)
                self._not_before = arrived + seconds
                until = email.utils.formatdate(math.ceil(time.time()) + seconds, usegmt=True)
                return _error(429, {"Retry-After": until})
            case "429 bare":
                return _error(429)
        return _error(int(fault))

    def _slow_down(self, seconds: int) -> Reply:
        self._not_before = max(self._not_before, self._clock.now() + seconds)
        return _error(429, {"Retry-After": str(seconds)})

    def _log_in_first(self) -> Reply:
        error = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return Reply(401, _json({"error": "the token is missing or has expired"}), error)

    def _route(
        self, method: str, path: str, query: dict[str, str], headers: Any, form: dict[str, str]
    ) -> Reply:
        try:
            match method, path.strip("/").split("/"):
                case "POST", ["token"]:
                    return self._give_token(form)
                case "GET", ["flights"]:
                    return self._page(query)
                case "GET", ["latest"]:
                    return self._latest(query)
                case "GET", ["hours", hour]:
                    return self._hour(int(hour), headers)
        except ValueError:
            return _error(400)
        return _error(404)

    def _give_token(self, form: dict[str, str]) -> Reply:
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, os.environ[SECRET]):
            return _error(403)
        self._token = base64.urlsafe_b64encode(self._random.randbytes(15)).decode()
        return Reply(200, _json({"access_token": self._token, "token_type": "Bearer"}))

    def _page(self, query: dict[str, str]) -> Reply:
        limit = int(query.get("limit", PAGE))
        if not 0 < limit <= PAGE:
            return _error(400)
        start = 0
        if cursor := query.get("cursor"):
            if cursor in self._stale:
                return _error(410)
            if cursor not in self._cursors:
                return _error(400)
            start = self._cursors[cursor]
        rows = self.airline.since(start)
        # As with real ones that filter after they have read, a page may be short, or empty.
        size = self._random.choice([limit, limit, limit, limit // 2, 0])
        items = rows[:size]
        end = self.airline.changed[items[-1]["id"]] if items else start
        page = {"items": items, "cursor": self._cursor(end), "more": len(items) < len(rows)}
        return Reply(200, _json(page), cut=self._cut)

    def _cursor(self, change: int) -> str:
        """A new cursor: opaque, and with a character that an address must quote."""
        while "+" not in (text := base64.b64encode(self._random.randbytes(13)).decode()):
            pass
        self._cursors[text] = change
        return text

    def _latest(self, query: dict[str, str]) -> Reply:
        """Pages by offset, the latest change first: the old way."""
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", PAGE))
        rows = self.airline.since(0)[::-1][offset : offset + limit]
        return Reply(200, _json({"items": rows}), cut=self._cut)

    def _hour(self, hour: int, headers: Any) -> Reply:
        rows = [row for row in self.airline.flights.values() if row["hour"] == hour]
        if not rows:
            return _error(404)
        body = _json(sorted(rows, key=lambda row: row["id"]))
        tag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        known = [name.strip() for name in headers.get("If-None-Match", "").split(",")]
        # Every other API here has weak tags: they say that the meaning is the same, not the bytes.
        shown = {"ETag": f"W/{tag}" if self._seed % 2 else tag}
        if tag in [name.removeprefix("W/") for name in known]:
            return Reply(304, b"", shown)
        return Reply(200, body, shown, cut=self._cut)

    def _troubles(self) -> Iterator[str]:
        """Faults without end: each kind once in a round, parted by answers that are whole."""
        draw = random.Random(f"{self._seed}/faults")
        while True:
            kinds = ["429", "429 date", "500", "502", "503", "half", "cut"]
            kinds += ["expire"] if self._login else []
            for kind in draw.sample(kinds, len(kinds)):
                yield from ["ok"] * draw.randint(1, 2)
                yield from [kind] * draw.randint(1, 2)


class _Handler(Handler):
    def reply(self, path: str, query: dict[str, str], form: dict[str, str]) -> Reply:
        _, number, version, *rest = [*path.split("/"), "", ""]
        api = self.server.apis.get(f"/{number}/{version}")
        if api is None:
            return _error(404)
        with api.lock:
            inside = f"/{'/'.join(rest)}".rstrip("/")
            return api.answer(self.command, inside, query, self.headers, form)


class Server:
    """The one server of a process; :func:`serve` starts it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._http = ThreadingHTTPServer((HOST, 0), _Handler)
        self._http.daemon_threads = True
        self._http.apis = self.apis = {}
        self.address = f"http://{HOST}:{self._http.server_port}"
        no_proxy()
        os.environ[SECRET] = "a secret that no notebook holds"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.clock.start()

    def __repr__(self) -> str:
        return "Airline API: a model, on this machine only. time.sleep turns its clock forward."

    def stop(self) -> None:
        """End the server and give the process its own ``time.sleep`` back."""
        global _server
        self.clock.stop()
        self._http.shutdown()
        self._http.server_close()
        _server = None


_server: Server | None = None


def serve() -> Server | None:
    """Start the server of this process, or return it; None where answers are only judged."""
    global _server
    if lab.asked_elsewhere():
        return None
    _server = _server or Server()
    return _server


def open_api(
    seed: int = 0,
    flights: int = 200,
    *,
    login: bool = False,
    burst: int = 0,
    script: Sequence[str] = (),
    trouble: bool = False,
) -> str:
    """Open an API and return its address.

    ``flights`` of a day are in it; ``login`` asks for a token; after each ``burst`` of requests it
    wants a pause. ``script`` names what happens to each request but those for a token: words of
    :data:`SCRIPT`. With ``trouble``, faults without end follow.

    Raises:
        CourseError: :func:`serve` was not called before, or a word of the script is unknown.
    """
    if unknown := sorted(set(script) - SCRIPT):
        raise CourseError(
            f"A script cannot hold {', '.join(unknown)}; use {', '.join(sorted(SCRIPT))}."
        )
    apis = _running().apis
    base = f"/{len(apis) + 1}/v1"
    apis[base] = Api(
        _running().clock,
        seed=seed,
        flights=flights,
        login=login,
        burst=burst,
        script=script,
        trouble=trouble,
    )
    return _running().address + base


def request_log(url: str) -> list[dict[str, Any]]:
    """All requests to the API at ``url`` so far.

    Each has ``method``, ``path``, ``cursor``, ``status``, ``bytes`` (of the body that were sent),
    ``whole`` (whether these were all), ``waited`` (seconds since the answer before) and
    ``early`` (whether it came before the end of a pause that the API had asked for).
    """
    return list(_api(url).log)


def time_passes(url: str, changed: int = 5, added: int = 3) -> None:
    """Let some flights of the API at ``url`` change, and others join them."""
    api = _api(url)
    with api.lock:
        api.airline.pass_time(changed, added)


def expire_cursors(url: str) -> None:
    """Make all cursors stale that the API at ``url`` has given so far."""
    _api(url).expire_cursors()


def base(url: str) -> str:
    """The address of the API to which ``url`` belongs."""
    return "/".join(url.split("/")[:5])


def _running() -> Server:
    if _server is None:
        raise CourseError("The airline API does not run; run the set-up cell again.")
    return _server


def _api(url: str) -> Api:
    return _running().apis["/" + "/".join(base(url).split("/")[3:])]


def _error(status: int, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, _json({"error": ERRORS[status]}), headers or {})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
