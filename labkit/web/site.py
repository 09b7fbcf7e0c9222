"""A model of a partner airport's web site: boards, robots.txt, traps, and a page for browsers only.

:func:`open_site` opens a site of its own on the loopback address, at a port of its own, because
robots.txt stands at the root. All is drawn from a seed: real flights that arrive from New York on
one day; gates, agents and events are invented. A site keeps a log of what it was asked, by whom.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import html
import json
import random
import re
import selectors
import threading
import urllib.parse
import zoneinfo
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from typing import Any

from labkit import lab
from labkit.datasets import dataset
from labkit.errors import CourseError
from labkit.web.serving import HOST, Handler, Reply, no_proxy

#: Requests that a site serves before it has enough: a crawl without end finds one.
QUOTA = 200
#: Sites that are open at once; the one that was asked least recently gives way.
SITES = 40
#: Flights on a board, at most.
PART = 5
CONCOURSES = "ABC"
#: Airports with at least 30 arrivals from New York on the day.
CODES = ("ATL", "BOS", "CLT", "FLL", "LAX", "MCO", "MIA", "ORD", "SFO")
MILE = 1.609344
ROBOTS = """\
# Robots are welcome at a quiet pace. Questions: web@partner.example
User-agent: *
Disallow: /staff/
Disallow: /data/
Allow: /data/gates.json
Disallow: /*sid=
Crawl-delay: 2

User-agent: greedy-bot
Disallow: /
"""
#: How a site may say that its pages are not for keeping.
RESERVED = ("X-Robots-Tag", "robots", "tdm-reservation")
#: Designs of the boards: the first one, a renamed heading, a cell more without a heading.
DESIGNS = ("first", "renamed", "shifted")
_AGENTS = ("R. Okafor", "Ana Lima", "J. Novák", "Mei Tanaka", "L. Ødegård")
_LIVE = """\
const box = document.querySelector("#live");
fetch(box.dataset.src).then(answer => answer.json()).then(data => {
  box.innerHTML = "<table>" + data.gates.map(row =>
    `<tr><td>${row.flight}<td>${row.gate}`).join("") + "</table>";
});
"""


@functools.cache
def _arrivals() -> dict[str, list[dict[str, Any]]]:
    """By airport: the flights that arrive there from New York, in the order of their times."""
    found: dict[str, list[dict[str, Any]]] = {code: [] for code in CODES}
    for row in dataset("flights-day-parquet").arrow().to_pylist():
        if row["dest"] not in found or not row["tailnum"]:
            continue
        hours, minutes = divmod(row["sched_arr_time"], 100)
        # An arrival that looks much earlier than the departure is one of the next morning.
        late = row["sched_arr_time"] < row["sched_dep_time"] - 600
        day = dt.datetime(row["year"], row["month"], row["day"]) + dt.timedelta(days=late)
        found[row["dest"]].append(
            {
                "flight": f"{row['carrier']}{row['flight']}",
                "origin": row["origin"],
                "due": day + dt.timedelta(hours=hours, minutes=minutes),
                "delay": row["arr_delay"],
                "miles": row["distance"],
                "tail": row["tailnum"],
            }
        )
    return {
        code: sorted(rows, key=lambda row: (row["due"], row["flight"]))
        for code, rows in found.items()
    }


@functools.cache
def _zones() -> dict[str, tuple[str, str]]:
    """By airport: its name and its time zone."""
    rows = dataset("airports").arrow().to_pylist()
    return {row["faa"]: (row["name"], row["tzone"]) for row in rows if row["faa"] in CODES}


@functools.cache
def _planes() -> dict[str, dict[str, Any]]:
    return {row["tailnum"]: row for row in dataset("planes").arrow().to_pylist()}


class Airport:
    """What an airport publishes. ``odd`` flights have a cell that can be read in two ways."""

    def __init__(self, seed: int = 0, flights: int = 20, odd: int = 0) -> None:
        draw = random.Random(f"{seed}/airport")
        self.code = draw.choice(CODES)
        self.name, self.zone = _zones()[self.code]
        self._changes = random.Random(f"{seed}/changes")
        self._layouts = dict(zip(CONCOURSES, draw.sample(range(3), 3), strict=True))
        known, rows = set(), []
        for row in draw.sample(_arrivals()[self.code], len(_arrivals()[self.code])):
            # An aircraft that comes twice has one page all the same.
            if row["flight"] not in known and len(rows) < flights:
                known.add(row["flight"])
                rows.append(row)
        self.flights = []
        for row in sorted(rows, key=lambda row: (row["due"], row["flight"])):
            concourse = draw.choice(CONCOURSES)
            gate = f"{concourse}{draw.randint(1, 40)}" if draw.random() < 0.8 else None
            about = {"concourse": concourse, "gate": gate, "agent": draw.choice(_AGENTS), "odd": ""}
            self.flights.append(row | about)
        for row in draw.sample(self.flights, odd):
            row["odd"] = draw.choice(["due", "km"] + ["delay"] * bool(row["delay"]))

    def pass_time(self, changed: int) -> None:
        """Give some flights another delay."""
        for row in self._changes.sample(self.flights, changed):
            row["delay"] = (row["delay"] or 0) + self._changes.randint(1, 60)

    def parts(self, concourse: str) -> list[list[dict[str, Any]]]:
        """The boards of a concourse, as flights."""
        rows = [row for row in self.flights if row["concourse"] == concourse]
        if self._layouts[concourse] == 1:
            rows.sort(key=lambda row: row["origin"])
        return [rows[start : start + PART] for start in range(0, len(rows), PART)]

    def names(self) -> list[str]:
        """The names of all pages that are worth a visit: boards with flights, and aircraft."""
        boards = [
            _board_name(concourse, part)
            for concourse in CONCOURSES
            for part, _ in enumerate(self.parts(concourse), 1)
        ]
        return boards + sorted({f"/aircraft/{row['tail']}" for row in self.flights})

    def rows(self, concourses: Sequence[str] = CONCOURSES) -> list[dict[str, Any]]:
        """What the boards say, as values; without the flights that have an odd cell."""
        return [
            {
                "flight": row["flight"],
                "origin": row["origin"],
                "due": row["due"].replace(tzinfo=zoneinfo.ZoneInfo(self.zone)),
                "delay": row["delay"],
                "km": _km(row),
                "gate": row["gate"],
            }
            for row in self.flights
            if row["concourse"] in concourses and not row["odd"]
        ]

    def page(self, concourse: str, part: int = 1, design: str = "first") -> str:
        """The inner part of a page with one board."""
        wind = "<table><tr><th>Wind<th>Sky</tr><tr><td>12 kt<td>clear</table>"
        rows = (self.parts(concourse)[part - 1 : part] or [[]])[0]
        table = "<p>No flights.</p>"
        if rows:
            table = (_classic, _grouped, _sloppy)[self._layouts[concourse]](rows, design)
        return f'{wind}<div data-zone="{self.zone}">{table}</div>'


def _km(row: dict[str, Any]) -> int:
    return round(row["miles"] * MILE)


def _cells(row: dict[str, Any], layout: int) -> dict[str, str]:
    """One flight as the words of a board: each concourse has its own."""
    due, delay = row["due"], row["delay"]
    if layout == 1:
        shown = f"{due.day} {due:%b %Y, %H:%M}"
        late = (
            "n/a"
            if delay is None
            else f"{'-' * (delay < 0)}{abs(delay) // 60}:{abs(delay) % 60:02}"
        )
        far = f"{_km(row):,} km"
    else:
        shown = f"{due:%Y-%m-%d %H:%M}"
        late = "–" if delay is None else f"{delay} min" if delay else "on time"
        far = f"{row['miles']:,} mi"
    if row["odd"] == "due":
        shown = f"{due:%d/%m/%Y %H:%M}"
    elif row["odd"] == "delay":
        late = str(abs(delay))
    elif row["odd"] == "km":
        far = f"{_km(row) / 1000:.3f} km"
    link = f'<a href="/aircraft/{row["tail"]}?utm_source=board">{row["flight"]}</a>'
    return {
        "flight": link,
        "origin": row["origin"],
        "due": shown,
        "late": late,
        "gate": row["gate"] or "–",
        "far": far,
        "agent": html.escape(f"{row['agent']}, ext. {1000 + row['miles']}"),
    }


def _classic(rows: Sequence[dict[str, Any]], design: str) -> str:
    names = ["Flight", "From", "Scheduled", "Delay", "Gate", "Distance", "Agent"]
    keys = ["flight", "origin", "due", "late", "gate", "far", "agent"]
    return _table(names, [[_cells(row, 0)[key] for key in keys] for row in rows], design)


def _grouped(rows: Sequence[dict[str, Any]], design: str) -> str:
    """The flights of one origin share its cell."""
    names = ["From", "Flight no.", "Due", "Late by", "Distance", "Gate"]
    keys = ["flight", "due", "late", "far", "gate"]
    lines, before = [], None
    for row in rows:
        cells = [_cells(row, 1)[key] for key in keys]
        if row["origin"] != before:
            before = row["origin"]
            span = sum(other["origin"] == before for other in rows)
            cells.insert(0, f"\0{span}\0{before}")
        lines.append(cells)
    return _table(names, lines, design)


def _sloppy(rows: Sequence[dict[str, Any]], design: str) -> str:
    """No heading cells, few closing tags, and a row ends where nothing is known any more."""
    names = ["No.", "Due", "Origin", "Late by", "Distance", "Gate"]
    keys = ["flight", "due", "origin", "late", "far", "gate"]
    lines = []
    for row in rows:
        cells = [_cells(row, 2)[key] for key in keys]
        lines.append(cells if row["gate"] else cells[:-1])
    return _table(names, lines, design, heading="td", close="")


def _table(
    names: list[str],
    lines: list[list[str]],
    design: str,
    heading: str = "th",
    close: str = "</td>",
) -> str:
    if design == "renamed":
        names = [
            {"Flight": "Service", "Flight no.": "Service", "No.": "Service"}.get(n, n)
            for n in names
        ]
    if design == "shifted":
        lines = [["<img src='/static/logo.png' alt=''>", *line] for line in lines]
    head = "".join(f"<{heading}>{name}</{heading}>" for name in names)
    body = ""
    for line in lines:
        body += "<tr>"
        for cell in line:
            _, span, text = cell.split("\0") if "\0" in cell else ("", "", cell)
            body += f'<td rowspan="{span}">{text}{close}' if span else f"<td>{text}{close}"
        body += "</tr>\n" if close else "\n"
    return f"<table>\n<tr>{head}</tr>\n{body}</table>"


class Site:
    """One site: its airport, what it asks of robots, and a log."""

    def __init__(
        self, airport: Airport, seed: int, *, robots: str | int, reserved: dict[str, str]
    ) -> None:
        self.airport = airport
        self.design = "first"
        self.robots = robots
        self.reserved = reserved
        self.log: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.address = ""
        self._sessions = random.Random(f"{seed}/sessions")

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        """Answer one request and note it."""
        if len(self.log) >= QUOTA:
            name, kind, reply = path, "refused", Reply(403, b"That is enough.", kind="text/plain")
        else:
            name, kind, reply = self._route(path, query, headers)
        self.log.append(
            {
                "path": path + (f"?{urllib.parse.urlencode(query)}" if query else ""),
                "page": name,
                "kind": kind,
                "status": reply.status,
                "bytes": len(reply.body),
                "agent": headers.get("User-Agent", ""),
            }
        )
        return reply

    def _route(self, path: str, query: dict[str, str], headers: Any) -> tuple[str, str, Reply]:
        """The page's own name, its kind, and what is sent."""
        match path:
            case "/robots.txt":
                return path, "robots", self._robots()
            case "/sitemap.xml" | "/sitemap-arrivals.xml" | "/sitemap-aircraft.xml":
                return path, "sitemap", self._sitemap(path)
            case "/static/live.js":
                return path, "other", Reply(200, _LIVE.encode(), kind="text/javascript")
            case "/data/gates.json":
                gates = [{"flight": f["flight"], "gate": f["gate"]} for f in self.airport.flights]
                body = json.dumps({"airport": self.airport.code, "gates": gates}).encode()
                return path, "data", Reply(200, body, _tag(body))
        name, kind, title, main = self._page(path, query)
        if not kind:
            return path, "missing", Reply(404, b"There is no such page.", kind="text/plain")
        fields = _tag(main.encode())
        way = self.reserved.get(name, "")
        if way == "X-Robots-Tag":
            fields["X-Robots-Tag"] = "noindex, noai"
        elif way == "tdm-reservation":
            fields["tdm-reservation"] = "1"
        if "ETag" in fields and fields["ETag"] in headers.get("If-None-Match", ""):
            return name, kind, Reply(304, b"", fields)
        meta = '<meta name="robots" content="noarchive, NoAI">' if way == "robots" else ""
        if path.startswith("/print/"):
            meta += f'<link rel="canonical" href="{self.address}{html.escape(name)}">'
        body = self._frame(name, title, main, meta).encode()
        return name, kind, Reply(200, body, fields, kind="text/html; charset=utf-8")

    def _page(self, path: str, query: dict[str, str]) -> tuple[str, str, str, str]:
        """Name, kind, title and the main part of a page; no kind where there is none."""
        if path in ("/", "/index.html"):
            return "/", "home", "Welcome", self._home()
        # A rule of the server looks at the end of an address only, and so finds pages everywhere.
        if found := re.search(r"/(arrivals|print)/([ABC])$", path):
            concourse, part = found[2], query.get("part", "1")
            part = int(part) if part.isdecimal() and int(part) else 1
            name = _board_name(concourse, part)
            rows = self.airport.parts(concourse)[part - 1 : part]
            main = self._board(concourse, part, bool(rows) and part == 1)
            return name, "arrivals" if rows else "empty", f"Arrivals {concourse}", main
        if found := re.search(r"/aircraft/(N\w+)$", path):
            rows = [row for row in self.airport.flights if row["tail"] == found[1]]
            if rows:
                return f"/aircraft/{found[1]}", "aircraft", found[1], _aircraft(rows[0])
        if found := re.fullmatch(r"/events/(\d{4})-(\d\d)", path):
            return path, "events", "Events", _events(int(found[1]), int(found[2]))
        if path.startswith("/staff/"):
            return path, "staff", "Staff only", "<p>Who works today: R. Okafor, Ana Lima.</p>"
        if path == "/live":
            box = '<div id="live" data-src="/data/gates.json">Please switch on JavaScript.</div>'
            return path, "live", "Gates", f'{box}<script src="/static/live.js"></script>'
        if path == "/terms":
            return path, "other", "Terms", "<p>Data: CC BY 4.0. Names of staff are not data.</p>"
        return path, "", "", ""

    def _home(self) -> str:
        port = self.address.rpartition(":")[2]
        links = [
            ("/arrivals/A", "Concourse A"),
            (f"HTTP://{HOST}:{port}/./arrivals/B#today", "Concourse B"),
            ("arrivals/C?utm_source=home", "Concourse C"),
            ("/events/2013-11", "Events"),
            ("/live", "Gates"),
            ("/staff/rota", "Staff"),
            *[(f"/print/{concourse}", f"Print {concourse}") for concourse in CONCOURSES],
        ]
        return "<ul>" + "".join(f'<li><a href="{to}">{text}</a>' for to, text in links) + "</ul>"

    def _board(self, concourse: str, part: int, first: bool) -> str:
        links = f'<a href="/arrivals/{concourse}?part={part + 1}">Later flights</a>'
        if part > 1:
            links += f' <a href="/arrivals/{concourse}?part={part - 1}">Earlier flights</a>'
        if first:
            # This one lacks its first slash.
            tail = self.airport.parts(concourse)[0][0]["tail"]
            links += f' <a href="aircraft/{tail}">First aircraft</a>'
        return f"{self.airport.page(concourse, part, self.design)}{links}"

    def _frame(self, name: str, title: str, main: str, meta: str) -> str:
        """A page around its main part; sessions and the visitor's number are new each time."""
        session = f"{self._sessions.randrange(16**8):08x}"
        board = name if name.startswith("/arrivals/") else f"/arrivals/{CONCOURSES[len(name) % 3]}"
        again = f"{board}{'&amp;' if '?' in board else '?'}sid={session}"
        return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{meta}
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head>
<body><nav><a href="/">Home</a> <a href="{again}">Arrivals</a> <a href="/terms">Terms</a></nav>
<main><h1>{html.escape(self.airport.name)}: {title}</h1>
{main}
</main><footer>A model, not a real site. Visit {session}.</footer></body></html>
"""

    def _robots(self) -> Reply:
        if isinstance(self.robots, int):
            return Reply(self.robots, b"", kind="text/plain")
        text = f"{self.robots}\nSitemap: {self.address}/sitemap.xml\n"
        return Reply(200, text.encode(), kind="text/plain")

    def _sitemap(self, path: str) -> Reply:
        kind = path.removeprefix("/sitemap").removesuffix(".xml").lstrip("-")
        names = [f"/sitemap-{kind}.xml" for kind in ("arrivals", "aircraft")]
        if kind:
            names = [name for name in self.airport.names() if name.startswith(f"/{kind}/")]
        item, root = ("url", "urlset") if kind else ("sitemap", "sitemapindex")
        lines = "".join(
            f"<{item}><loc>{self.address}{html.escape(name)}</loc>"
            f"<lastmod>2013-11-{'02' if 'aircraft' in name else '03'}</lastmod></{item}>\n"
            for name in names
        )
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{space}">\n{lines}</{root}>\n'
        )
        return Reply(200, text.encode(), kind="application/xml")


def _tag(content: bytes) -> dict[str, str]:
    tag = hashlib.sha256(content).hexdigest()[:12]
    return {"ETag": f'W/"{tag}"', "Cache-Control": "max-age=0"}


def _board_name(concourse: str, part: int) -> str:
    return f"/arrivals/{concourse}" + (f"?part={part}" if part > 1 else "")


def _aircraft(row: dict[str, Any]) -> str:
    plane = _planes().get(row["tail"], {})
    about = {
        "Maker": plane.get("manufacturer", "unknown"),
        "Model": plane.get("model", "unknown"),
        "Seats": plane.get("seats", "unknown"),
    }
    lines = "".join(f"<dt>{name}<dd>{html.escape(str(value))}" for name, value in about.items())
    # This link lacks its first slash, too.
    return f'<dl>{lines}</dl><a href="arrivals/{row["concourse"]}">Back</a>'


def _events(year: int, month: int) -> str:
    later = dt.date(year + month // 12, month % 12 + 1, 1) if year < 9999 else dt.date(1, 1, 1)
    return f'<p>No events in {month:02}/{year}.</p><a href="/events/{later:%Y-%m}">Next month</a>'


class _Handler(Handler):
    def reply(self, path: str, query: dict[str, str], form: dict[str, str]) -> Reply:
        site = self.server.site
        with site.lock:
            return site.answer(path, query, self.headers)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # The one loop has seen that somebody knocks: do not wait again.
    timeout = 0


class Server:
    """All sites of this process, behind one loop; :func:`serve` starts it."""

    def __init__(self) -> None:
        self.sites: dict[str, _Listener] = {}
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._going = True
        no_proxy()
        self._loop = threading.Thread(target=self._serve, daemon=True)
        self._loop.start()

    def __repr__(self) -> str:
        return "Web sites of partner airports: models, on this machine only."

    def add(self, site: Site) -> str:
        """Open a site; returns its address."""
        listener = _Listener((HOST, 0), _Handler)
        listener.site = site
        site.address = f"http://{HOST}:{listener.server_port}"
        with self._lock:
            self.sites[site.address] = listener
            self._selector.register(listener, selectors.EVENT_READ)
            while len(self.sites) > SITES:
                self._close(next(iter(self.sites)))
        return site.address

    def find(self, url: str) -> Site:
        """The site to which an address belongs; it is the last one now to give way."""
        address = "/".join(url.split("/")[:3])
        with self._lock:
            if address not in self.sites:
                raise CourseError(f"There is no site at {address}; open it again.")
            self.sites[address] = listener = self.sites.pop(address)
        return listener.site

    def stop(self) -> None:
        """Close all sites."""
        global _server
        self._going = False
        self._loop.join()
        for address in list(self.sites):
            self._close(address)
        self._selector.close()
        _server = None

    def _serve(self) -> None:
        while self._going:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    if key.fileobj in self.sites.values():
                        key.fileobj.handle_request()

    def _close(self, address: str) -> None:
        listener = self.sites.pop(address)
        self._selector.unregister(listener)
        listener.server_close()


_server: Server | None = None


def serve() -> Server | None:
    """Start the server of this process, or return it; None where answers are only judged."""
    global _server
    if lab.asked_elsewhere():
        return None
    _server = _server or Server()
    return _server


def open_site(
    seed: int = 0,
    flights: int = 20,
    *,
    odd: int = 0,
    robots: str | int = ROBOTS,
    reserved: dict[str, str] | None = None,
) -> str:
    """Open a site and return its address, without a slash at the end.

    ``odd`` flights have a cell that can be read in two ways. ``robots`` is the text of robots.txt,
    or a status. ``reserved`` maps names of pages to how they say so: one of :data:`RESERVED`.

    Raises:
        CourseError: :func:`serve` was not called before, or a way to reserve is unknown.
    """
    reserved = reserved or {}
    if unknown := sorted(set(reserved.values()) - set(RESERVED)):
        raise CourseError(f"A page cannot say {unknown[0]!r}; use {', '.join(RESERVED)}.")
    site = Site(Airport(seed, flights, odd), seed, robots=robots, reserved=reserved)
    return _running().add(site)


def request_log(url: str) -> list[dict[str, Any]]:
    """All requests to the site at ``url`` so far.

    Each has ``path`` (as it was asked for), ``page`` (the name of the page that was served, which
    is the same for each of its addresses), ``kind``, ``status``, ``bytes`` and ``agent``.
    """
    return list(_running().find(url).log)


def page_name(url: str) -> str:
    """The name of the page at an address of a site, or "" where there is none."""
    address = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(address.query))
    return _running().find(url)._page(address.path or "/", query)[0]


def time_passes(url: str, changed: int = 3) -> None:
    """Let some flights of the site at ``url`` change."""
    site = _running().find(url)
    with site.lock:
        site.airport.pass_time(changed)


def redesign(url: str, design: str) -> None:
    """Give the boards of the site at ``url`` another design, one of :data:`DESIGNS`."""
    _running().find(url).design = design


def _running() -> Server:
    if _server is None:
        raise CourseError("The web sites do not run; run the set-up cell again.")
    return _server
