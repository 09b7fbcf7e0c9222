# %% [markdown] minutes=60 datasets=["flights-day-parquet"] systems=[]
# # APIs
#
# A partner publishes its flights through an API that is slow, forgetful and sometimes down. You
# write the loader that gets every flight once, whatever happens on the way.

# %% [markdown]
# ## You will be able to
#
# - store what arrives twice, late or in the wrong order (exercise 1)
# - walk through pages without losing one (exercise 2)
# - wait when you are told to, and repeat only what can succeed (exercise 3)
# - renew a token once, and not for ever (exercise 4)
# - notice a body that ends early (exercise 5)
# - ask only for what changed (exercise 6)
# - go on after a crash at the place where you were (exercise 7)
# - put it all together into one loader (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python functions and exceptions | every answer is a function |
# | a little SQL: `INSERT`, `SELECT` | exercises 1 and 7 |
# | the lab *Sources and file formats* | *idempotent* comes from there |
#
# The API is a *model*: a small server in this notebook, with real HTTP and flights of a real day.
# SQLite, `requests` and `urllib3` are the real ones. So that you need not wait, `time.sleep` in this
# notebook returns at once and turns the API's clock forward.
#
# Each exercise adds a piece to one loader; exercises 5, 7 and 8 call your earlier answers. Between a
# task and its answer stands a small function, through which the check calls yours.

# %% role="setup"
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, JSONDecodeError
from urllib3 import Retry

from labkit import open_lab, picture
from labkit.web.api import (
    Airline,
    base,
    expire_cursors,
    open_api,
    request_log,
    serve,
    time_passes,
)

lab = open_lab("04-1-ingestion/02-apis")
print(serve())
lab

# %% [markdown] topics=["4.1-6"]
# ## At least once
#
# A network may lose an answer after the server has sent it. Then the client asks again, and gets
# the same flights a second time. No API can promise *exactly once*. What you can have is *at least
# once*, together with an *idempotent* target: a second delivery changes nothing.
#
# Each flight has an `id`, and a `version` that grows with each change of the flight. The target is
# a table of SQLite. (The table `checkpoint` is for later.)


# %%
def connect(database):
    """A connection to the database at a path, in which both tables exist."""
    db = sqlite3.connect(database)
    db.execute(
        "CREATE TABLE IF NOT EXISTS flights (id TEXT PRIMARY KEY, version INTEGER,"
        " hour INTEGER, dest TEXT, dep_delay INTEGER)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS checkpoint (one INTEGER PRIMARY KEY, cursor TEXT)"
    )
    return db


def stored(db):
    """The flights in a database, as dictionaries."""
    found = db.execute("SELECT * FROM flights ORDER BY id")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


# %% [markdown] role="task" exercise="upsert" points=2 topics=["4.1-6"]
# ### Store a delivery, again if need be
#
# Write `upsert(db, rows)`. It takes a connection from `connect`, and a list of flights,
# dictionaries with the keys `id`, `version`, `hour`, `dest` and `dep_delay`. Afterwards the table
# `flights` holds each flight once, with all values of the highest version seen so far. A delay
# may be `None`: the flight was cancelled.
#
# Do not commit: that is the caller's decision, and exercise 7 shows why.
#
# | Delivered, in this order | In the table |
# |---|---|
# | AA1 version 1, AA1 version 2 | AA1 version 2 |
# | AA1 version 2, AA1 version 1 | AA1 version 2 |
#
# Why: with this function, each of the repeats in this lab is harmless.


# %%
def deliver(deliveries, commit=True):
    """Upsert each delivery; the table afterwards, or what a crash before the commit leaves."""
    with closing(connect(":memory:")) as db:
        for rows in deliveries:
            upsert(db, rows)
        if not commit:
            db.rollback()
        return stored(db)


# %% role="answer" exercise="upsert" dialect="sqlite"
def upsert(db: sqlite3.Connection, rows: list[dict]) -> None:
    """Store flights; the highest version of each wins."""
    ### BEGIN SOLUTION
    db.executemany(
        """
        INSERT INTO flights (id, version, hour, dest, dep_delay)
        VALUES (:id, :version, :hour, :dest, :dep_delay)
        ON CONFLICT (id) DO UPDATE SET
            version = excluded.version, hour = excluded.hour,
            dest = excluded.dest, dep_delay = excluded.dep_delay
        WHERE excluded.version > flights.version
        """,
        rows,
    )
    ### END SOLUTION


# %% role="check" exercise="upsert"
with lab.check("upsert") as answer:
    answer.value("upsert")
    names = ["id", "version", "hour", "dest", "dep_delay"]
    old, new, other = (
        dict(zip(names, row, strict=True))
        for row in [
            ("AA1-JFK", 1, 6, "LAX", 5),
            ("AA1-JFK", 2, 7, "SFO", 50),
            ("UA2-EWR", 1, 9, "ORD", -3),
        ]
    )
    for deliveries in ([[old, other], [old], [new]], [[new], [other, old]]):
        told = [[f"{row['id']} {row['version']}" for row in d] for d in deliveries]
        answer.same_rows(
            answer.call("deliver", deliveries),
            [new, other],
            asked=f"each flight once, in its highest version, after {told}",
            key=["id"],
        )

# %% role="hidden" exercise="upsert"
with lab.check("upsert", hidden=True) as answer:
    answer.value("upsert")
    names = ["id", "version", "hour", "dest", "dep_delay"]
    rows = [
        dict(
            zip(
                names,
                (
                    f"Ñ{number}",
                    version,
                    answer.random.randint(5, 23),
                    answer.random.choice("ABC"),
                    answer.random.choice([None, 0, -4, 33]),
                ),
                strict=True,
            )
        )
        for number in range(30)
        for version in range(1, 12)
    ]
    top = [row for row in rows if row["version"] == 11]
    answer.random.shuffle(rows)
    deliveries = [rows[start : start + 40] for start in range(0, len(rows), 40)]
    answer.same_rows(
        answer.call("deliver", [*deliveries, *deliveries]),
        top,
        asked="each flight in its highest version, after many mixed deliveries",
    )
    answer.equal(
        answer.call("deliver", [top], commit=False),
        [],
        asked="nothing in the table when the caller rolls back",
        found="flights that are committed already",
    )

# %% [markdown] role="hint" exercise="upsert"
# A flight is in the table already. In which case must it stay as it is?

# %% [markdown] role="hint" exercise="upsert"
# SQLite's documentation of `UPSERT`: `ON CONFLICT … DO UPDATE SET … WHERE …`. The row that could
# not be inserted is called `excluded` there. `executemany` takes a list of dictionaries.

# %% [markdown] role="hint" exercise="upsert"
# ```python
# db.executemany(
#     """INSERT INTO flights VALUES (:id, ...)
#        ON CONFLICT (id) DO UPDATE SET version = excluded.version, ...
#        WHERE ...""",
#     rows,
# )
# ```


# %% role="right" exercise="upsert"
def upsert(db, rows):
    for row in rows:
        found = db.execute("SELECT version FROM flights WHERE id = ?", [row["id"]])
        known = found.fetchone()
        if known is None or known[0] < row["version"]:
            values = [row[n] for n in ("id", "version", "hour", "dest", "dep_delay")]
            db.execute("INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?)", values)


# %% [markdown] role="equivalent" exercise="upsert" reason="a flight that comes twice in one version comes twice alike"
# + 'INSERT INTO flights (\n  id,\n  version,\n  hour,\n  dest,\n  dep_delay\n)\nVALUES\n  (:id, :version, :hour, :dest, :dep_delay) ON CONFLICT(id) DO UPDATE SET version = excluded.version, hour = excluded.hour, dest = excluded.dest, dep_delay = excluded.dep_delay\nWHERE\n  excluded.version >= flights.version',
# - """
# - INSERT INTO flights (id, version, hour, dest, dep_delay)
# - VALUES (:id, :version, :hour, :dest, :dep_delay)
# - ON CONFLICT (id) DO UPDATE SET
# - version = excluded.version, hour = excluded.hour,
# - dest = excluded.dest, dep_delay = excluded.dep_delay
# - WHERE excluded.version > flights.version
# - """,


# %% [markdown] role="equivalent" exercise="upsert" reason="an order of the key changes nothing"
# + 'INSERT INTO flights (\n  id,\n  version,\n  hour,\n  dest,\n  dep_delay\n)\nVALUES\n  (:id, :version, :hour, :dest, :dep_delay) ON CONFLICT(id DESC) DO UPDATE SET version = excluded.version, hour = excluded.hour, dest = excluded.dest, dep_delay = excluded.dep_delay\nWHERE\n  excluded.version > flights.version',
# - """
# - INSERT INTO flights (id, version, hour, dest, dep_delay)
# - VALUES (:id, :version, :hour, :dest, :dep_delay)
# - ON CONFLICT (id) DO UPDATE SET
# - version = excluded.version, hour = excluded.hour,
# - dest = excluded.dest, dep_delay = excluded.dep_delay
# - WHERE excluded.version > flights.version
# - """,


# %% role="wrong" exercise="upsert" misconception="What comes last is newest" caught="check" says="column version holds 1"
def upsert(db, rows):
    db.executemany(
        "INSERT OR REPLACE INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)",
        rows,
    )


# %% role="wrong" exercise="upsert" misconception="A flight that is known needs nothing" caught="check" says="column version holds 1"
def upsert(db, rows):
    db.executemany(
        "INSERT OR IGNORE INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)",
        rows,
    )


# %% role="wrong" exercise="upsert" misconception="Nothing comes twice" caught="check" says="UNIQUE"
def upsert(db, rows):
    db.executemany(
        "INSERT INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)", rows
    )


# %% role="wrong" exercise="upsert" misconception="An unknown value is no news" caught="hidden" says="rows differ"
def upsert(db, rows):
    db.executemany(
        """
        INSERT INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)
        ON CONFLICT (id) DO UPDATE SET
            version = excluded.version, hour = excluded.hour, dest = excluded.dest,
            dep_delay = coalesce(excluded.dep_delay, dep_delay)
        WHERE excluded.version > flights.version
        """,
        rows,
    )


# %% role="wrong" exercise="upsert" misconception="A function that writes must commit" caught="hidden" says="committed already"
def upsert(db, rows):
    with db:
        db.executemany(
            """
            INSERT INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)
            ON CONFLICT (id) DO UPDATE SET
                version = excluded.version, hour = excluded.hour,
                dest = excluded.dest, dep_delay = excluded.dep_delay
            WHERE excluded.version > flights.version
            """,
            rows,
        )


# %% [markdown] topics=["4.1-6"]
# ## Pages
#
# An API hands out its rows in pages. The old way counts: `offset=50` means "leave out 50 rows".
# Look what happens when the data move while you read.
#
# **Predict:** the list shows the latest change first. Between the first page and the second, five
# of 100 flights change, and three are added. Which flights does the client get twice, and which does
# it miss?

# %%
url = open_api(seed=1, flights=100)
pages = []
for offset in (0, 50, 100):
    reply = requests.get(f"{url}/latest", params={"offset": offset}, timeout=10)
    pages += [flight["id"] for flight in reply.json()["items"]]
    if offset == 0:
        time_passes(url, changed=5, added=3)
missed = {flight["id"] for flight in Airline(1, 100).since(0)} - set(pages)
print(f"{len(pages)} rows, {len(set(pages))} different flights, {len(missed)} missed")

# %% [markdown]
# Rows that moved in at the front pushed others from the first page to the second: these came
# twice. Flights that moved from the back to the front were never seen. No error says so.
#
# A *cursor* remembers a place, not a count. This API lists flights in the order of their last
# change, so what changes moves behind your cursor, and you meet it again later.

# %%
url = open_api()
requests.get(f"{url}/flights", params={"limit": 2}, timeout=10).json()

# %% [markdown]
# A page has three fields. `items` may hold fewer flights than you asked for, or none: the server
# filters after it has read. `more` says whether there are further pages. `cursor` comes with each
# page, the last one too. It is *opaque*: send it back as it is, and never build one. It may contain characters that mean something else in an
# address, so leave the quoting to the library: `params=`.
#
# Each request here has a `timeout`. Without one, `requests` waits for ever for a server that hangs.

# %% [markdown] role="task" exercise="walk" points=2 topics=["4.1-6"]
# ### Walk through all pages
#
# Write `walk(url)`. It returns a list of all flights of the API at `url`: it reads
# `GET {url}/flights`, then again with the parameter `cursor` of the page before, until `more` is
# false. The first request has no cursor. Ask for each page once.
#
# Why: most lost rows of API loaders are lost at the end of a page.


# %% role="answer" exercise="walk"
def walk(url: str) -> list[dict]:
    """All flights of an API."""
    ### BEGIN SOLUTION
    flights, cursor, more = [], None, True
    while more:
        query = {"cursor": cursor}
        page = requests.get(f"{url}/flights", params=query, timeout=10).json()
        flights += page["items"]
        cursor, more = page["cursor"], page["more"]
    return flights
    ### END SOLUTION


# %% role="check" exercise="walk"
with lab.check("walk") as answer:
    url = answer.call("open_api", seed=14, flights=200)
    answer.same_rows(
        answer.call("walk", url),
        Airline(14, 200).since(0),
        asked="each of the flights of an API with 200, once",
        key=["id"],
    )
    cursors = [request["cursor"] for request in answer.call("request_log", url)]
    answer.true(
        len(cursors) == len(set(cursors)),
        asked="one request for each page",
        found=f"{len(cursors)} requests for {len(set(cursors))} pages",
    )

# %% role="hidden" exercise="walk"
with lab.check("walk", hidden=True) as answer:
    for flights in (0, 1, 180, 400):
        seed = answer.random.randrange(10**6)
        url = answer.call("open_api", seed=seed, flights=flights)
        got = sorted(flight["id"] for flight in answer.call("walk", url))
        answer.equal(
            got,
            sorted(flight["id"] for flight in Airline(seed, flights).since(0)),
            asked="each flight of another API once",
            found=f"{len(got)} flights, {len(set(got))} of them different",
        )

# %% [markdown] role="hint" exercise="walk"
# Which field of a page tells that it is the last? Is an empty page the last?

# %% [markdown] role="hint" exercise="walk"
# `requests.get(url, params={...})` quotes what must be quoted, and leaves out a parameter that is
# `None`.

# %% [markdown] role="hint" exercise="walk"
# ```python
# flights, cursor, more = [], None, True
# while more:
#     page = requests.get(..., params={"cursor": cursor}).json()
#     ...
# return flights
# ```


# %% role="right" exercise="walk"
def walk(url):
    def pages(cursor=None):
        query = {"cursor": cursor} if cursor else {}
        page = requests.get(f"{url}/flights", query, timeout=10).json()
        yield from page["items"]
        if page["more"]:
            yield from pages(page["cursor"])

    return list(pages())


# %% [markdown] role="equivalent" exercise="walk" reason="every server of this lab answers at once"
# - page = requests.get(f"{url}/flights", params=query, timeout=10).json()
# + page = requests.get(f"{url}/flights", params=query, timeout=None).json()
#
# - page = requests.get(f"{url}/flights", params=query, timeout=10).json()
# + page = requests.get(f"{url}/flights", params=query, ).json()
#
# - page = requests.get(f"{url}/flights", params=query, timeout=10).json()
# + page = requests.get(f"{url}/flights", params=query, timeout=11).json()
#
# - page = requests.get(f"{url}/flights", params=query, timeout=10).json()
# + page = requests.get(f"{url}/flights", params=query, timeout=(9)).json()


# %% role="wrong" exercise="walk" misconception="A short page is the last one" caught="check" says="missing"
def walk(url):
    flights, cursor = [], None
    while True:
        page = requests.get(f"{url}/flights", params={"cursor": cursor}).json()
        flights += page["items"]
        cursor = page["cursor"]
        if len(page["items"]) < 50:
            return flights


# %% role="wrong" exercise="walk" misconception="An empty page is the end" caught="check" says="missing"
def walk(url):
    flights, cursor = [], None
    while True:
        page = requests.get(f"{url}/flights", params={"cursor": cursor}).json()
        if not page["items"]:
            return flights
        flights += page["items"]
        cursor = page["cursor"]


# %% role="wrong" exercise="walk" misconception="The last page has no cursor" caught="check" says="KeyError"
def walk(url):
    flights, cursor = [], ""
    while cursor is not None:
        page = requests.get(f"{url}/flights", params={"cursor": cursor}).json()
        flights += page["items"]
        cursor = page["cursor"]
    return flights


# %% role="wrong" exercise="walk" misconception="A cursor is plain text in an address" caught="check" says="KeyError"
def walk(url):
    flights, page = [], requests.get(f"{url}/flights").json()
    while True:
        flights += page["items"]
        if not page["more"]:
            return flights
        page = requests.get(f"{url}/flights?cursor={page['cursor']}").json()


# %% role="wrong" exercise="walk" misconception="Look first whether there is more, then read" caught="check" says="requests for"
def walk(url):
    flights, cursor, more = [], None, True
    while more:
        more = requests.get(f"{url}/flights", params={"cursor": cursor}).json()["more"]
        page = requests.get(f"{url}/flights", params={"cursor": cursor}).json()
        flights += page["items"]
        cursor, more = page["cursor"], page["more"]
    return flights


# %% [markdown] topics=["4.1-6"]
# ## Refusals
#
# A status code says whose turn it is. Most damage is done by clients that treat all codes alike.
#
# | Status | Meaning | A polite client |
# |---|---|---|
# | 429 | too many requests | waits as long as `Retry-After` says |
# | 500, 502, 503, 504 | trouble over there | waits longer each time, and gives up soon |
# | 401 | no token, or an old one | logs in once, asks once more |
# | 410 | this cursor is too old | begins anew, without a cursor |
# | 400, 403, 404, 501 … | the same request will fail again | stops |
#
# `Retry-After` holds seconds, or a date. This API allows five requests, then wants a pause.
#
# **Predict:** a client asks eight times without a pause. How many of its requests are served?

# %%
url = open_api(seed=2, burst=5)
for _ in range(8):
    reply = requests.get(f"{url}/flights", params={"limit": 1}, timeout=10)
    print(reply.status_code, reply.headers.get("Retry-After", ""), end=" | ")

# %% [markdown]
# Five. Each request that comes too early is a strike against you: real services lengthen the pause
# or lock the account. When a server is down and a thousand clients ask again at once, they keep it
# down.
#
# You do not write that loop yourself. `urllib3` has `Retry`, and an `HTTPAdapter` hands it to a
# session of `requests`. Its *backoff* is 0, then 2, 4, 8 … times a factor. A random
# `backoff_jitter` on top parts clients that failed together. By default it repeats only answers
# with a `Retry-After`, and never a `POST`: if just the answer was lost, the second might book a second
# seat.

# %% [markdown] role="task" exercise="polite" points=2 topics=["4.1-6"]
# ### A polite session
#
# Write `polite_session()`. It returns a `requests.Session` that, for addresses with `http://`,
#
# - repeats a `GET` after 429, 500, 502, 503 and 504, and after no other status;
# - waits as `Retry-After` says, and where there is none, longer before each further repeat;
# - makes at most five requests in all, then gives up, with an error or the last answer;
# - repeats no `POST`.
#
# Why: these few lines decide whether the partner's night shift knows your name.


# %%
def outcome(url, method="GET"):
    """What one request through your session ends with: a status, or an error's name."""
    try:
        with polite_session() as session:
            return session.request(method, f"{url}/flights", timeout=10).status_code
    except requests.RequestException as error:
        return type(error).__name__


# %% role="answer" exercise="polite"
def polite_session() -> requests.Session:
    """A session that waits, repeats, and gives up."""
    ### BEGIN SOLUTION
    retry = Retry(
        total=4,
        backoff_factor=1,
        status_forcelist=[429, 500, 502, 503, 504],
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session
    ### END SOLUTION


# %% role="check" exercise="polite"
with lab.check("polite") as answer:
    answer.value("polite_session")
    for script in (["503", "500"], ["429", "ok", "429"]):
        url = answer.call("open_api", script=script)
        answer.equal(
            [answer.call("outcome", url) for _ in range(2)],
            [200, 200],
            asked=f"status 200 for each of two requests, when these come first: {script}",
        )
        early = sum(request["early"] for request in answer.call("request_log", url))
        answer.true(
            early == 0,
            asked="no request before the time that Retry-After names",
            found=f"{early} request(s) too early",
        )
    url = answer.call("open_api", script=["404"] * 9)
    answer.call("outcome", url)
    count = len(answer.call("request_log", url))
    answer.true(
        count == 1,
        asked="one request, when it is answered with 404",
        found=f"{count} requests",
    )

# %% role="hidden" exercise="polite"
with lab.check("polite", hidden=True) as answer:
    answer.value("polite_session")
    for fault in ("429 bare", "429 date", "500", "502", "503", "504"):
        url = answer.call("open_api", seed=answer.random.randrange(99), script=[fault])
        answer.equal(
            answer.call("outcome", url),
            200,
            asked=f"status 200 in the end, after one answer {fault!r}",
        )
    url = answer.call("open_api", script=["503"] * 30)
    answer.call("outcome", url)
    waited = [request["waited"] for request in answer.call("request_log", url)]
    answer.true(
        len(waited) == 5,
        asked="five requests in all to a server that stays down",
        found=f"{len(waited)} requests",
    )
    answer.true(
        waited[-1] > waited[-2] > waited[-3],
        asked="a longer pause before each further request",
        found=f"pauses of {waited} seconds",
    )
    for status in ("400", "403", "410", "501"):
        url = answer.call("open_api", script=[status] * 9)
        answer.call("outcome", url)
        count = len(answer.call("request_log", url))
        answer.true(
            count == 1,
            asked=f"one request, when it is answered with {status}",
            found=f"{count} requests",
        )
    for fault in ("503", "429"):
        url = answer.call("open_api", script=[fault] * 9)
        answer.call("outcome", url, "POST")
        count = len(answer.call("request_log", url))
        answer.true(
            count == 1,
            asked=f"one POST, even when it is answered with {fault}",
            found=f"{count} of them",
        )

# %% [markdown] role="hint" exercise="polite"
# Four repeats and five requests: which of the two does `total` count? And which codes of the table
# above get better by waiting?

# %% [markdown] role="hint" exercise="polite"
# The documentation of `urllib3.util.Retry`: `total`, `backoff_factor`, `status_forcelist`. Then
# `requests.adapters.HTTPAdapter(max_retries=…)` and `Session.mount`.

# %% [markdown] role="hint" exercise="polite"
# ```python
# retry = Retry(total=..., backoff_factor=..., status_forcelist=[...])
# session = requests.Session()
# session.mount("http://", ...)
# return session
# ```


# %% role="right" exercise="polite"
def polite_session():
    from email.utils import parsedate_to_datetime

    class Polite(requests.Session):
        def request(self, method, url, **options):
            for attempt in range(5):
                answer = super().request(method, url, **options)
                if method != "GET" or answer.status_code not in (
                    429,
                    500,
                    502,
                    503,
                    504,
                ):
                    break
                after = answer.headers.get("Retry-After", "")
                if after.isdigit():
                    pause = int(after)
                elif after:
                    pause = parsedate_to_datetime(after).timestamp() - time.time()
                else:
                    pause = 2**attempt
                if attempt < 4:
                    time.sleep(pause)
            return answer

    return Polite()


# %% [markdown] role="equivalent" exercise="polite" reason="longer pauses are as polite"
# - backoff_factor=1,
# + backoff_factor=2,


# %% role="right" exercise="polite"
def polite_session():
    session = requests.Session()
    session.mount(
        "http://",
        HTTPAdapter(
            max_retries=Retry(
                status=4,
                backoff_factor=0.1,
                backoff_jitter=0.05,
                status_forcelist={429, 500, 502, 503, 504},
                raise_on_status=False,
            )
        ),
    )
    return session


# %% role="wrong" exercise="polite" misconception="Retry repeats failures by itself" caught="check" says="503"
def polite_session():
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(total=4, backoff_factor=1)))
    return session


# %% role="wrong" exercise="polite" misconception="My own backoff is polite enough" caught="check" says="too early"
def polite_session():
    codes = [429, 500, 502, 503, 504]
    retry = Retry(
        total=4,
        backoff_factor=1,
        status_forcelist=codes,
        respect_retry_after_header=False,
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% role="wrong" exercise="polite" misconception="Every error may pass" caught="check" says="404"
def polite_session():
    retry = Retry(total=4, backoff_factor=1, status_forcelist=range(400, 600))
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% role="wrong" exercise="polite" misconception="A pause without growth is enough" caught="hidden" says="a longer pause"
def polite_session():
    codes = [429, 500, 502, 503, 504]
    retry = Retry(total=4, backoff_factor=2, backoff_max=2, status_forcelist=codes)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% role="wrong" exercise="polite" misconception="A POST is repeated like a GET" caught="hidden" says="one POST"
def polite_session():
    codes = [429, 500, 502, 503, 504]
    retry = Retry(
        total=4, backoff_factor=1, status_forcelist=codes, allowed_methods=None
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% role="wrong" exercise="polite" misconception="Only 4xx codes are final" caught="hidden" says="501"
def polite_session():
    codes = [429, *range(500, 512)]
    retry = Retry(total=4, backoff_factor=1, status_forcelist=codes)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% role="wrong" exercise="polite" misconception="Patience without an end" caught="hidden" says="stays down"
def polite_session():
    codes = [429, 500, 502, 503, 504]
    retry = Retry(total=10, backoff_factor=1, status_forcelist=codes)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


# %% [markdown]
# ### Tokens
#
# Most APIs want a *token*: you log in with an identifier and a secret, and send what you get with
# each request. Tokens expire, so that a stolen one is soon of no use. The answer is then 401. The
# secret stands in an environment variable, never in a notebook.


# %%
def log_in(session, url):
    """Get a new token for a session; `url` is any address of the API."""
    secret = os.environ["AIRLINE_SECRET"]
    form = {"client_id": "night-loader", "client_secret": secret}
    form["grant_type"] = "client_credentials"
    reply = session.post(f"{base(url)}/token", data=form, timeout=10)
    reply.raise_for_status()
    session.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"


url = open_api(seed=3, login=True)
with requests.Session() as session:
    print(session.get(f"{url}/flights", timeout=10).json())
    log_in(session, url)
    print(session.get(f"{url}/flights", timeout=10).status_code)

# %% [markdown] role="task" exercise="token" points=2 topics=["4.1-6"]
# ### Renew a token once
#
# Write `get(session, url, **options)`. It returns the `Response` of a `GET` request of `session`
# to `url`, with all `options` that `session.get` knows, such as `params`.
#
# If the status is 401, it calls `log_in(session, url)` and repeats the same request once. If that is
# 401 again, it returns that answer. It logs in on no other status, and never before it must.
#
# Why: a loader that logs in for ever after its access was withdrawn looks like an attack.


# %%
def statuses(url, count, **options):
    """The statuses of `count` requests for flights."""
    with requests.Session() as session:
        options.setdefault("timeout", 10)
        return [
            get(session, f"{url}/flights", **options).status_code for _ in range(count)
        ]


# %% role="answer" exercise="token"
def get(session: requests.Session, url: str, **options) -> requests.Response:
    """GET, with one new token if the old one is refused."""
    ### BEGIN SOLUTION
    response = session.get(url, **options)
    if response.status_code == 401:
        log_in(session, url)
        response = session.get(url, **options)
    return response
    ### END SOLUTION


# %% role="check" exercise="token"
with lab.check("token") as answer:
    answer.value("get")
    url = answer.call("open_api", seed=5, login=True, script=["ok", "ok", "401"])
    answer.equal(
        answer.call("statuses", url, 4),
        [200] * 4,
        asked="status 200 for four requests, though the token expires before the third",
    )
    logins = [r["path"] for r in answer.call("request_log", url)].count("/token")
    answer.true(
        logins == 2,
        asked="two logins: at the beginning, and when the token has expired",
        found=f"{logins} login(s)",
    )

# %% role="hidden" exercise="token"
with lab.check("token", hidden=True) as answer:
    answer.value("get")
    seed = answer.random.randrange(99)
    url = answer.call("open_api", seed=seed, login=True, script=["401"] * 9)
    answer.equal(
        answer.call("statuses", url, 1),
        [401],
        asked="the answer 401, when a new token is refused as well",
    )
    url = answer.call("open_api", seed=seed, login=True)
    answer.call("statuses", url, 1, params={"cursor": "a+b="})
    cursors = [
        request["cursor"]
        for request in answer.call("request_log", url)
        if request["method"] == "GET"
    ]
    answer.true(
        cursors == ["a+b=", "a+b="],
        asked="the same options in both requests",
        found=f"requests with the cursors {cursors}",
    )
    url = answer.call("open_api", seed=seed, login=True, script=["403", "404"])
    answer.call("statuses", url, 2)
    logins = [r["path"] for r in answer.call("request_log", url)].count("/token")
    answer.true(
        logins == 1,
        asked="no further login after 403 and 404",
        found=f"{logins} logins",
    )

# %% [markdown] role="hint" exercise="token"
# How many requests does your function make at most, in the worst case? Count them.

# %% [markdown] role="hint" exercise="token"
# `Response.status_code`. A session keeps its headers, so the second request carries the new token
# by itself. `**options` can be handed on as it came.

# %% [markdown] role="hint" exercise="token"
# ```python
# response = session.get(url, **options)
# if ...:
#     log_in(session, url)
#     ...
# return response
# ```


# %% role="right" exercise="token"
def get(session, url, **options):
    for attempt in (1, 2):
        response = session.request("GET", url, **options)
        if response.status_code != 401 or attempt == 2:
            return response
        log_in(session, url)


# %% role="wrong" exercise="token" misconception="A token serves one request" caught="check" says="login(s)"
def get(session, url, **options):
    log_in(session, url)
    response = session.get(url, **options)
    if response.status_code == 401:
        log_in(session, url)
        response = session.get(url, **options)
    return response


# %% role="wrong" exercise="token" misconception="A new token is for the next request" caught="check" says="[401, 200, 200, 401]"
def get(session, url, **options):
    response = session.get(url, **options)
    if response.status_code == 401:
        log_in(session, url)
    return response


# %% role="wrong" exercise="token" misconception="A token is for ever" caught="check" says="401"
def get(session, url, **options):
    if "Authorization" not in session.headers:
        log_in(session, url)
    return session.get(url, **options)


# %% role="wrong" exercise="token" misconception="Sooner or later a token will do" caught="hidden" says="refused as well"
def get(session, url, **options):
    response = session.get(url, **options)
    while response.status_code == 401:
        log_in(session, url)
        response = session.get(url, **options)
    return response


# %% role="wrong" exercise="token" misconception="The address is the whole request" caught="hidden" says="the same options"
def get(session, url, **options):
    response = session.get(url, **options)
    if response.status_code == 401:
        log_in(session, url)
        response = session.get(url, timeout=10)
    return response


# %% role="wrong" exercise="token" misconception="A new token cures each refusal" caught="hidden" says="403"
def get(session, url, **options):
    response = session.get(url, **options)
    if 400 <= response.status_code < 500:
        log_in(session, url)
        response = session.get(url, **options)
    return response


# %% [markdown] topics=["4.1-6"]
# ## What arrived, and what did not
#
# A status of 200 is sent before the body. If the connection breaks after it, you hold a success
# with half its content.
#
# **Predict:** the API below cuts its first body and its third. The session repeats whatever
# `Retry` can repeat. What does the client see of the two halves?

# %%
url = open_api(seed=6, script=["half", "ok", "cut", "ok"])
with requests.Session() as session:
    again = Retry(total=4, status_forcelist=[500, 503])
    session.mount("http://", HTTPAdapter(max_retries=again))
    for number in (1, 2, 3, 4):
        try:
            reply = session.get(f"{url}/hours/8", timeout=10)
            print(number, reply.status_code, len(reply.content), "bytes")
        except requests.RequestException as error:
            print(number, type(error).__name__)

# %% [markdown]
# `Retry` mended neither: it is done when the status has arrived, and the body is read later. The
# first half came with a header `Content-Length`. The library counted, and `requests` raised
# `ChunkedEncodingError`. The third answer had no length. It looks complete, and only a parser can
# tell: `reply.json()` raises `JSONDecodeError`. (A CSV body would have told you nothing, as in the
# lab before.)

# %% [markdown] role="task" exercise="whole" points=2 topics=["4.1-6"]
# ### Take only whole bodies
#
# Write `fetch(session, url, **options)`. It makes the request with your `get` of exercise 4 and
# returns the body, as `json()` reads it.
#
# - If a body ends early, with or without a length, it waits a second (`time.sleep(1)`) and makes the
#   same request again. After four requests it gives up and lets the error through.
# - If the status says failure, it raises what `raise_for_status()` raises, at once.
#
# The setup cell has imported both errors.
#
# Why: half a page that counts as whole is a loss that nobody sees.


# %%
def fetched(url):
    """Three flights through your fetch; or what else it returns, or an error's name."""
    try:
        with requests.Session() as session:
            body = fetch(session, f"{url}/latest", params={"limit": 3}, timeout=10)
            return body.get("items", body) if isinstance(body, dict) else body
    except requests.RequestException as error:
        return type(error).__name__


# %% role="answer" exercise="whole"
def fetch(session: requests.Session, url: str, **options) -> dict | list:
    """The body of an answer, complete."""
    ### BEGIN SOLUTION
    tries = 4
    while True:
        try:
            response = get(session, url, **options)
            response.raise_for_status()
            return response.json()
        except (ChunkedEncodingError, JSONDecodeError):
            tries -= 1
            if not tries:
                raise
        time.sleep(1)
    ### END SOLUTION


# %% role="check" exercise="whole"
with lab.check("whole") as answer:
    answer.value("fetch")
    for script in (["half", "half"], ["cut"], ["half", "cut", "half"]):
        url = answer.call("open_api", seed=7, script=script)
        answer.same_rows(
            answer.call("fetched", url),
            Airline(7, 200).since(0)[-3:],
            asked=f"the three flights asked for, though bodies are cut first: {script}",
        )
        waited = [request["waited"] for request in answer.call("request_log", url)]
        answer.true(
            min(waited[1:]) >= 1,
            asked="a pause of a second before each repeat",
            found=f"pauses of {waited[1:]} seconds",
        )

# %% role="hidden" exercise="whole"
with lab.check("whole", hidden=True) as answer:
    answer.value("fetch")
    for fault, error in {
        "half": "ChunkedEncodingError",
        "cut": "JSONDecodeError",
    }.items():
        seed = answer.random.randrange(99)
        url = answer.call("open_api", seed=seed, script=[fault] * 9)
        answer.equal(
            answer.call("fetched", url),
            error,
            asked="the error itself, when no body ever arrives whole",
        )
        count = len(answer.call("request_log", url))
        answer.true(
            count == 4,
            asked="four requests in all, when no body ever arrives whole",
            found=f"{count} requests",
        )
    for status in ("403", "404"):
        url = answer.call("open_api", script=[status] * 9)
        answer.equal(
            answer.call("fetched", url),
            "HTTPError",
            asked=f"the error of raise_for_status() for the status {status}",
        )
        count = len(answer.call("request_log", url))
        answer.true(
            count == 1,
            asked=f"one request, when it is answered with {status}",
            found=f"{count} requests",
        )

# %% [markdown] role="hint" exercise="whole"
# The two kinds of half show themselves at two places. At which line of your function does each one?

# %% [markdown] role="hint" exercise="whole"
# `ChunkedEncodingError` comes out of `get`, `JSONDecodeError` out of `response.json()`. A bare
# `raise` in an `except` block lets the error through.

# %% [markdown] role="hint" exercise="whole"
# ```python
# tries = 4
# while True:
#     try:
#         response = get(...)
#         ...
#         return ...
#     except (..., ...):
#         ...
#     time.sleep(1)
# ```


# %% role="right" exercise="whole"
def fetch(session, url, **options):
    for pause in (1, 2, 4, None):
        try:
            response = get(session, url, **options)
        except ChunkedEncodingError:
            if pause is None:
                raise
        else:
            response.raise_for_status()
            try:
                return response.json()
            except ValueError:
                if pause is None:
                    raise
        time.sleep(pause)


# %% [markdown] role="equivalent" exercise="whole" reason="a longer pause is as polite"
# - time.sleep(1)
# + time.sleep(2)


# %% role="wrong" exercise="whole" misconception="A status of 200 is a success" caught="check" says="ChunkedEncodingError"
def fetch(session, url, **options):
    response = get(session, url, **options)
    response.raise_for_status()
    return response.json()


# %% role="wrong" exercise="whole" misconception="Content-Length protects every body" caught="check" says="JSONDecodeError"
def fetch(session, url, **options):
    for attempt in range(4):
        try:
            response = get(session, url, **options)
            response.raise_for_status()
            return response.json()
        except ChunkedEncodingError:
            if attempt == 3:
                raise
            time.sleep(1)


# %% role="wrong" exercise="whole" misconception="A body that was cut is there at once the next time" caught="check" says="pauses of"
def fetch(session, url, **options):
    for attempt in range(4):
        try:
            response = get(session, url, **options)
            response.raise_for_status()
            return response.json()
        except (ChunkedEncodingError, JSONDecodeError):
            if attempt == 3:
                raise


# %% role="wrong" exercise="whole" misconception="Every error may be repeated" caught="hidden" says="one request"
def fetch(session, url, **options):
    for attempt in range(4):
        try:
            response = get(session, url, **options)
            response.raise_for_status()
            return response.json()
        except requests.RequestException:
            if attempt == 3:
                raise
            time.sleep(1)


# %% role="wrong" exercise="whole" misconception="A whole body is a good answer" caught="hidden" says="raise_for_status() for"
def fetch(session, url, **options):
    for attempt in range(4):
        try:
            return get(session, url, **options).json()
        except (ChunkedEncodingError, JSONDecodeError):
            if attempt == 3:
                raise
            time.sleep(1)


# %% role="wrong" exercise="whole" misconception="Who gives up returns nothing" caught="hidden" says="the error itself"
def fetch(session, url, **options):
    for _ in range(4):
        try:
            response = get(session, url, **options)
            response.raise_for_status()
            return response.json()
        except (ChunkedEncodingError, JSONDecodeError):
            time.sleep(1)


# %% [markdown] topics=["4.1-6"]
# ## Only what changed
#
# The departures of one hour are at `/hours/8`. With each answer comes a header `ETag`: a name for
# this state of the resource. Send it back as the header `If-None-Match`. If nothing has changed,
# the answer is 304, *not modified*, without a body. A tag has quotation marks, and may begin with
# `W/`. Both belong to it.
#
# **Predict:** 16 hours are fetched on three nights; between two nights, three of 400 flights change.
# Which share of the bytes do the tags save on the second night?

# %%
url = open_api(seed=9, flights=400)
tags, moved = {}, {"all again": [], "with ETags": []}
for _night in range(3):
    for way, nights in moved.items():
        seen = len(request_log(url))
        for hour in range(6, 22):
            known = {"If-None-Match": tags.get(hour)} if way == "with ETags" else {}
            reply = requests.get(f"{url}/hours/{hour}", headers=known, timeout=10)
            if way == "with ETags":
                tags[hour] = reply.headers["ETag"]
        nights.append(sum(request["bytes"] for request in request_log(url)[seen:]))
    time_passes(url, changed=3, added=0)

# %%
figure, axes = plt.subplots(figsize=(7, 3))
for shift, (way, color) in enumerate(
    {"all again": "#9aa5b1", "with ETags": "#c44e00"}.items()
):
    places = [night + shift * 0.4 - 0.2 for night in range(3)]
    bars = axes.bar(
        places, [size / 1000 for size in moved[way]], 0.38, color=color, label=way
    )
    axes.bar_label(bars, fmt="%.1f")
axes.set(ylabel="kilobytes of bodies", title="Sixteen hours, fetched on three nights")
axes.set_xticks(range(3), ["first night", "second night", "third night"])
axes.margins(y=0.12)
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
picture(
    figure,
    alt="Bars of the kilobytes moved on three nights. On the first night both ways move "
    f"{moved['all again'][0] / 1000:.1f}. With ETags, the second night moves "
    f"{moved['with ETags'][1] / 1000:.1f} and the third {moved['with ETags'][2] / 1000:.1f}.",
)

# %% [markdown] role="task" exercise="refresh" points=2 topics=["4.1-6"]
# ### Ask only for what changed
#
# Write `refresh(session, url, known)`. `url` is the address of an hour. `known` is `None` at first,
# and later what your function returned the last time. It makes one request with `session.get`, and
# returns a dictionary with
#
# - `flights`: the list of flights, as it is now;
# - `tag`: the tag that belongs to this list.
#
# If nothing has changed, no body may travel. If the status says failure, it raises what
# `raise_for_status()` raises.
#
# Why: partners count requests and bytes, and put those who waste them in the slow lane.


# %%
def refreshed(url, hour, known):
    """What your refresh returns for an hour, or the error that it ends with."""
    try:
        with requests.Session() as session:
            return refresh(session, f"{url}/hours/{hour}", known)
    except requests.RequestException as error:
        return {"raised": type(error).__name__}


# %% role="answer" exercise="refresh"
def refresh(session: requests.Session, url: str, known: dict | None) -> dict:
    """The flights of an hour and their tag; no body travels if nothing has changed."""
    ### BEGIN SOLUTION
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    response.raise_for_status()
    if response.status_code == 304:
        return known
    return {"flights": response.json(), "tag": response.headers["ETag"]}
    ### END SOLUTION


# %% role="check" exercise="refresh"
with lab.check("refresh") as answer:
    answer.value("refresh")
    url, airline, known = answer.call("open_api", seed=8), Airline(8, 200), None
    nights = {"first night": 0, "second night, when nothing changed": 0}
    nights |= {"third night, when all changed": 200}
    nights |= {"fourth night, when nothing changed": 0}
    for night, changed in nights.items():
        answer.call("time_passes", url, changed=changed, added=0)
        airline.pass_time(changed, 0)
        known = answer.call("refreshed", url, 8, known)
        answer.same_rows(
            (known or {}).get("flights", known),
            [row for row in airline.since(0) if row["hour"] == 8],
            asked=f"the flights of 8 o'clock, in the {night}",
            key=["id"],
        )
        sent = answer.call("request_log", url)[-1]["bytes"]
        answer.true(
            bool(sent) == ("nothing" not in night),
            asked=f"a body only if something is new, in the {night}",
            found=f"{sent} bytes of body",
        )

# %% role="hidden" exercise="refresh"
with lab.check("refresh", hidden=True) as answer:
    answer.value("refresh")
    # Strong tags, then weak ones.
    for seed in (2 * answer.random.randrange(999) + odd for odd in (0, 1)):
        url, airline, known = answer.call("open_api", seed=seed), Airline(seed, 200), {}
        for changed in (0, 200, 0, 200, 0):
            answer.call("time_passes", url, changed=changed, added=0)
            airline.pass_time(changed, 0)
            for hour in (7, 18):
                before = known.get(hour)
                known[hour] = answer.call("refreshed", url, hour, before)
                answer.same_rows(
                    (known[hour] or {}).get("flights", known[hour]),
                    [row for row in airline.since(0) if row["hour"] == hour],
                    asked="the flights of an hour, as they are now",
                )
                sent = answer.call("request_log", url)[-1]["bytes"]
                answer.true(
                    bool(sent) == bool(changed or before is None),
                    asked="a body only if something is new, whatever the tag looks like",
                    found=f"{sent} bytes of body",
                )
    url = answer.call("open_api", script=["ok", "503"])
    before = answer.call("refreshed", url, 9, None)
    answer.equal(
        answer.call("refreshed", url, 9, before),
        {"raised": "HTTPError"},
        asked="the error of raise_for_status() for the status 503",
    )

# %% [markdown] role="hint" exercise="refresh"
# A 304 has no body. Where are the flights then?

# %% [markdown] role="hint" exercise="refresh"
# `session.get(url, headers={...})`. The tag of an answer is `response.headers["ETag"]`; send it back
# as it came.

# %% [markdown] role="hint" exercise="refresh"
# ```python
# headers = {"If-None-Match": ...} if known else {}
# response = session.get(...)
# ...
# if response.status_code == 304:
#     return ...
# return {"flights": ..., "tag": ...}
# ```


# %% role="right" exercise="refresh"
def refresh(session, url, known):
    tag = (known or {"tag": None})["tag"]
    # A header that is None is not sent.
    with session.get(url, headers={"if-none-match": tag}, timeout=(3, 30)) as response:
        if response.status_code != requests.codes.not_modified:
            response.raise_for_status()
            known = {"tag": response.headers["etag"], "flights": response.json()}
    return known


# %% [markdown] role="equivalent" exercise="refresh" reason="every server of this lab answers at once"
# - response = session.get(url, headers=headers, timeout=10)
# + response = session.get(url, headers=headers, timeout=None)
#
# - response = session.get(url, headers=headers, timeout=10)
# + response = session.get(url, headers=headers, )
#
# - response = session.get(url, headers=headers, timeout=10)
# + response = session.get(url, headers=headers, timeout=11)
#
# - response = session.get(url, headers=headers, timeout=10)
# + response = session.get(url, headers=headers, timeout=(9))


# %% role="wrong" exercise="refresh" misconception="An answer without a body has no flights" caught="check" says="no column id"
def refresh(session, url, known):
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    response.raise_for_status()
    flights = response.json() if response.content else []
    return {"flights": flights, "tag": response.headers["ETag"]}


# %% role="wrong" exercise="refresh" misconception="Every good answer is JSON" caught="check" says="JSONDecodeError"
def refresh(session, url, known):
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    response.raise_for_status()
    return {"flights": response.json(), "tag": response.headers["ETag"]}


# %% role="wrong" exercise="refresh" misconception="Tags are compared by the client" caught="check" says="bytes of body"
def refresh(session, url, known):
    response = session.get(url, timeout=10)
    response.raise_for_status()
    if known and known["tag"] == response.headers["ETag"]:
        return known
    return {"flights": response.json(), "tag": response.headers["ETag"]}


# %% role="wrong" exercise="refresh" misconception="The first tag names the resource" caught="check" says="in the fourth"
def refresh(session, url, known):
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    response.raise_for_status()
    if response.status_code == 304:
        return known
    tag = known["tag"] if known else response.headers["ETag"]
    return {"flights": response.json(), "tag": tag}


# %% role="wrong" exercise="refresh" misconception="Quotation marks are not part of a tag" caught="check" says="bytes of body"
def refresh(session, url, known):
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    response.raise_for_status()
    if response.status_code == 304:
        return known
    return {"flights": response.json(), "tag": response.headers["ETag"].strip('"')}


# %% role="wrong" exercise="refresh" misconception="What I know is better than an error" caught="hidden" says="503"
def refresh(session, url, known):
    headers = {"If-None-Match": known["tag"]} if known else {}
    response = session.get(url, headers=headers, timeout=10)
    if response.status_code != 200:
        return known
    return {"flights": response.json(), "tag": response.headers["ETag"]}


# %% [markdown] topics=["4.1-6"]
# ## Break it: the power fails
#
# A loader of a million pages will not always reach its end. So it stores, after each page, the cursor
# at which to go on: a *checkpoint*. `saved` and `save` read and write it. `pages_of` makes a function
# that asks for one page.


# %%
def saved(db):
    """The cursor at which to go on; None at the beginning."""
    row = db.execute("SELECT cursor FROM checkpoint").fetchone()
    return row[0] if row else None


def save(db, cursor):
    """Store the cursor at which to go on; the caller commits."""
    db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", [cursor])


def pages_of(url):
    """A function that returns the page after a cursor (None: the first page)."""

    def ask(cursor):
        query = {"cursor": cursor}
        reply = requests.get(f"{url}/flights", params=query, timeout=10)
        reply.raise_for_status()
        return reply.json()

    return ask


# %% [markdown]
# Now we pull the plug. `power_cuts` runs a loader and notes, before each of its SQL statements, what
# the disk holds: only what is committed. Each copy is what a power cut at this moment would leave.


# %%
def power_cuts(loader, url, folder):
    """Paths of databases: what power cuts during a run would leave, in this order."""
    database, left = f"{folder}/flights.db", {}

    def look(_statement=""):
        with closing(sqlite3.connect(database)) as other:
            left[other.serialize()] = None

    with closing(connect(database)) as db:
        db.set_trace_callback(look)
        loader(db, pages_of(url))
    look()
    copies = [Path(f"{database}.{number}") for number, _ in enumerate(left)]
    for copy, data in zip(copies, left, strict=True):
        copy.write_bytes(data)
    return [str(copy) for copy in copies]


# %% [markdown]
# A careless loader stores the cursor of each page, collects the flights, and writes them at the end.


# %%
def careless(db, ask):
    flights, more = [], True
    while more:
        page = ask(saved(db))
        flights += page["items"]
        save(db, page["cursor"])
        db.commit()
        more = page["more"]
    upsert(db, flights)
    db.commit()


# %% [markdown]
# After each power cut we run it again, to its end.
#
# **Predict:** there are 200 flights on five pages, and the power fails after the third. How many
# flights are missing for good?

# %%
url = open_api(seed=0, flights=200)
with TemporaryDirectory() as folder:
    for number, database in enumerate(power_cuts(careless, url, folder)):
        with closing(connect(database)) as db:
            careless(db, pages_of(url))
            print(f"power cut {number}: {len(stored(db))} of 200 flights after all")

# %% [markdown]
# What was collected is gone, and each further run is happy with what is left. The checkpoint says
# "stored" before it is true. The same happens page by page if you commit the cursor first and the rows
# after it.

# %% [markdown] role="task" exercise="resume" points=3 topics=["4.1-6"]
# ### Go on where you were
#
# Write `resume(db, ask)`. It takes a connection and a function like that of `pages_of`, and stores all
# flights from the checkpoint on, until `more` is false.
#
# - After each page, both its flights and the checkpoint are committed, so that the next run goes on
#   with the page after it.
# - Wherever the power fails, a second run brings the table up to date: no flight is lost.
# - A run after a complete one asks only for what changed since then.
# - An error of `ask` gets through to the caller.
#
# `upsert`, `saved` and `save` do the SQL.
#
# Why: the night is too short to begin again, and the day too short to look for lost rows.


# %%
def cut(url, folder):
    """What power cuts during your resume would leave."""
    return power_cuts(resume, url, folder)


def resumed(url, database):
    """The flights that your resume leaves, or the name of the error it ends with."""
    try:
        with closing(connect(database)) as db:
            resume(db, pages_of(url))
    except requests.RequestException as error:
        return type(error).__name__
    with closing(connect(database)) as db:
        return stored(db)


# %% role="answer" exercise="resume"
def resume(db: sqlite3.Connection, ask) -> None:
    """Store all flights from the checkpoint on, page by page."""
    ### BEGIN SOLUTION
    more = True
    while more:
        page = ask(saved(db))
        upsert(db, page["items"])
        save(db, page["cursor"])
        db.commit()
        more = page["more"]
    ### END SOLUTION


# %% role="check" exercise="resume"
with lab.check("resume") as answer:
    answer.value("resume")
    url = answer.call("open_api", seed=10)
    databases = answer.call("cut", url, answer.folder())
    pages, starts = len(answer.call("request_log", url)), set()
    for database in databases:
        seen = len(answer.call("request_log", url))
        answer.same_rows(
            answer.call("resumed", url, database),
            Airline(10, 200).since(0),
            asked="each flight, after a power cut and a second run",
            key=["id"],
        )
        starts |= {r["cursor"] for r in answer.call("request_log", url)[seen:][:1]}
    answer.true(
        len(starts) == pages + 1,
        asked="after a power cut, a second run that begins where the pages stored end",
        found=f"{pages} pages, but second runs begin at only {len(starts)} different places "
        "(before the first page, between two, or after the last)",
    )

# %% role="hidden" exercise="resume"
with lab.check("resume", hidden=True) as answer:
    answer.value("resume")
    seed = answer.random.randrange(10**6)
    url = answer.call("open_api", seed=seed, script=["ok", "ok", "500"])
    airline, database = Airline(seed, 200), f"{answer.folder()}/flights.db"
    answer.equal(
        answer.call("resumed", url, database),
        "HTTPError",
        asked="the error of ask, when the third page fails",
    )
    for _night in range(3):
        seen = len(answer.call("request_log", url))
        answer.same_rows(
            answer.call("resumed", url, database),
            airline.since(0),
            asked="each flight as it is now, after an error and after changes",
        )
        cursors = [r["cursor"] for r in answer.call("request_log", url)[seen:]]
        answer.true(
            None not in cursors,
            asked="no second request for the first page of all",
            found=f"one request without a cursor among {len(cursors)}",
        )
        answer.call("time_passes", url, changed=20, added=5)
        airline.pass_time(20, 5)

# %% [markdown] role="hint" exercise="resume"
# Put a finger on each line of your loop. If the power fails there, what is on the disk: the rows, the
# cursor, both or neither?

# %% [markdown] role="hint" exercise="resume"
# In SQLite, changes become durable together at `db.commit()`. `with db:` commits at the end of its
# block.

# %% [markdown] role="hint" exercise="resume"
# ```python
# more = True
# while more:
#     page = ask(...)
#     ...  # one transaction
#     more = page["more"]
# ```


# %% role="right" exercise="resume"
def resume(db, ask):
    cursor, page = saved(db), {"more": True}
    while page["more"]:
        page = ask(cursor)
        cursor = page["cursor"]
        with db:
            save(db, cursor)
            upsert(db, page["items"])


# %% role="right" exercise="resume"
def resume(db, ask):
    page = ask(saved(db))
    # Rows first: what comes twice after a power cut does no harm.
    upsert(db, page["items"])
    db.commit()
    save(db, page["cursor"])
    db.commit()
    if page["more"]:
        resume(db, ask)


# %% role="wrong" exercise="resume" misconception="First the note, then the work" caught="check" says="missing"
def resume(db, ask):
    more = True
    while more:
        page = ask(saved(db))
        save(db, page["cursor"])
        db.commit()
        upsert(db, page["items"])
        db.commit()
        more = page["more"]


# %% role="wrong" exercise="resume" misconception="One commit at the end is safest" caught="check" says="different places"
def resume(db, ask):
    more = True
    while more:
        page = ask(saved(db))
        upsert(db, page["items"])
        save(db, page["cursor"])
        more = page["more"]
    db.commit()


# %% role="wrong" exercise="resume" misconception="What is executed is stored" caught="check" says="no column"
def resume(db, ask):
    more = True
    while more:
        page = ask(saved(db))
        upsert(db, page["items"])
        save(db, page["cursor"])
        more = page["more"]


# %% role="wrong" exercise="resume" misconception="The checkpoint is the page that I have read" caught="check" says="different places"
def resume(db, ask):
    cursor, more = saved(db), True
    while more:
        page = ask(cursor)
        upsert(db, page["items"])
        save(db, cursor)
        db.commit()
        cursor, more = page["cursor"], page["more"]


# %% role="wrong" exercise="resume" misconception="When all is done, tidy up" caught="hidden" says="no second request"
def resume(db, ask):
    more = True
    while more:
        page = ask(saved(db))
        upsert(db, page["items"])
        save(db, page["cursor"])
        db.commit()
        more = page["more"]
    save(db, None)
    db.commit()


# %% role="wrong" exercise="resume" misconception="What is stored is safe, so the rest may wait" caught="hidden" says="the error of ask"
def resume(db, ask):
    more = True
    while more:
        try:
            page = ask(saved(db))
        except requests.RequestException:
            return
        upsert(db, page["items"])
        save(db, page["cursor"])
        db.commit()
        more = page["more"]


# %% [markdown] topics=["4.1-6"]
# ## All together
#
# Now the API does everything at once: tokens expire, each sixth request gets a 429, servers fail,
# bodies are cut. And one thing more: it forgets cursors that are too old.

# %%
url = open_api(seed=13)
cursor = pages_of(url)(None)["cursor"]
expire_cursors(url)
reply = requests.get(f"{url}/flights", params={"cursor": cursor}, timeout=10)
print(reply.status_code, reply.json())

# %% [markdown]
# The place is lost, so a loader must begin anew, without a cursor. Your `upsert` makes that harmless.

# %% [markdown] role="task" exercise="load" points=4 topics=["4.1-6"]
# ### Load, whatever happens
#
# Write `load(database, url)`. It brings the flights of the API at `url` into the database at the path
# `database`. Build it from `connect` and your `polite_session`, `fetch` and `resume`.
#
# - Pages are at `{url}/flights`, as in exercise 2.
# - The next night, the same call loads only what changed.
# - After a 410, it begins anew in the same run, and keeps the flights that it has.
# - Any other error gets through to the caller.
#
# Why: this is the whole of a loader that nobody has to get up for.


# %%
def loaded(database, url):
    """The flights that your load leaves, or the name of the error it ends with."""
    try:
        load(database, url)
    except requests.RequestException as error:
        return type(error).__name__
    with closing(connect(database)) as db:
        return stored(db)


# %% role="answer" exercise="load"
def load(database: str, url: str) -> None:
    """Bring a database up to date with an API."""
    ### BEGIN SOLUTION
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        try:
            resume(db, ask)
        except requests.HTTPError as error:
            if error.response.status_code != 410:
                raise
            save(db, None)
            resume(db, ask)
    ### END SOLUTION


# %% role="check" exercise="load"
with lab.check("load") as answer:
    answer.value("load")
    trouble = {"login": True, "burst": 5, "trouble": True}
    url = answer.call("open_api", seed=15, flights=300, **trouble)
    airline, database = Airline(15, 300), f"{answer.folder()}/flights.db"
    for night in ("first night", "second night", "third night, with a 410"):
        if "410" in night:
            answer.call("expire_cursors", url)
        answer.same_rows(
            answer.call("loaded", database, url),
            airline.since(0),
            asked=f"each flight as it is now, after the {night}",
            key=["id"],
        )
        answer.call("time_passes", url, changed=60, added=10)
        airline.pass_time(60, 10)
    log = answer.call("request_log", url)
    early = sum(request["early"] for request in log)
    answer.true(
        early == 0,
        asked="no request before the time that Retry-After names",
        found=f"{early} request(s) too early",
    )
    served = [r for r in log if r["path"] == "/flights" and r["status"] == 200]
    first = sum(r["cursor"] is None and r["whole"] for r in served)
    answer.true(
        first <= 2,
        asked="the first page of all just twice: in the first night and after the 410",
        found=f"{first} times the first page",
    )

# %% role="hidden" exercise="load"
with lab.check("load", hidden=True) as answer:
    answer.value("load")
    for _round in range(2):
        seed = answer.random.randrange(10**6)
        url = answer.call("open_api", seed=seed, login=True, burst=5, trouble=True)
        airline, database = Airline(seed, 200), f"{answer.folder()}/flights.db"
        for night in ("first", "second"):
            answer.same_rows(
                answer.call("loaded", database, url),
                airline.since(0),
                asked=f"each flight as it is now, after the {night} night; all cursors "
                "become too old by day",
            )
            answer.call("time_passes", url, changed=60, added=10)
            airline.pass_time(60, 10)
            answer.call("expire_cursors", url)
    for before in (["ok"], ["ok", "410", "ok"]):
        url = answer.call("open_api", seed=seed, script=[*before, *["403"] * 9])
        answer.equal(
            answer.call("loaded", f"{answer.folder()}/flights.db", url),
            "HTTPError",
            asked="the error itself, when the API answers 403",
        )
        statuses = [r["status"] for r in answer.call("request_log", url)]
        count = statuses.count(403)
        answer.true(
            count == 1,
            asked="no further request after 403",
            found=f"{count} requests that were answered with 403",
        )

# %% [markdown] role="hint" exercise="load"
# Which function asks, which waits, which stores? What must be open while they run, and until when?

# %% [markdown] role="hint" exercise="load"
# `resume` wants a function of one cursor: define it inside `load`, as `pages_of` does. The status is in
# `error.response.status_code`. `save(db, None)` forgets the place.

# %% [markdown] role="hint" exercise="load"
# ```python
# with closing(connect(database)) as db, polite_session() as session:
#
#     def ask(cursor):
#         return fetch(...)
#
#     try:
#         resume(...)
#     except requests.HTTPError as error:
#         ...
# ```


# %% role="right" exercise="load"
def load(database, url):
    db = connect(database)
    try:
        for last in (False, True):
            session = polite_session()
            try:
                resume(
                    db,
                    lambda cursor, session=session: fetch(
                        session, url + "/flights", params=cursor and {"cursor": cursor}
                    ),
                )
                return
            except requests.HTTPError as error:
                if last or error.response.status_code != 410:
                    raise
                with db:
                    db.execute("DELETE FROM checkpoint")
    finally:
        db.close()


# %% role="right" exercise="load"
def load(database, url):
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            try:
                return fetch(session, f"{url}/flights", params={"cursor": cursor})
            except requests.HTTPError as error:
                if error.response.status_code != 410:
                    raise
                return ask(None)

        resume(db, ask)


# %% [markdown] role="equivalent" exercise="load" reason="every server of this lab answers at once"
# - return fetch(session, f"{url}/flights", params=query, timeout=10)
# + return fetch(session, f"{url}/flights", params=query, timeout=None)
#
# - return fetch(session, f"{url}/flights", params=query, timeout=10)
# + return fetch(session, f"{url}/flights", params=query, )
#
# - return fetch(session, f"{url}/flights", params=query, timeout=10)
# + return fetch(session, f"{url}/flights", params=query, timeout=11)
#
# - return fetch(session, f"{url}/flights", params=query, timeout=10)
# + return fetch(session, f"{url}/flights", params=query, timeout=(9))


# %% [markdown] role="equivalent" exercise="load" reason="Python closes a connection that nothing refers to"
# - with closing(connect(database)) as db, polite_session() as session:
# + with (connect(database)) as db, polite_session() as session:


# %% role="wrong" exercise="load" misconception="A session is a session" caught="check" says="HTTPError"
def load(database, url):
    with closing(connect(database)) as db, requests.Session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        try:
            resume(db, ask)
        except requests.HTTPError as error:
            if error.response.status_code != 410:
                raise
            save(db, None)
            resume(db, ask)


# %% role="wrong" exercise="load" misconception="A night has one page" caught="check" says="missing"
def load(database, url):
    with closing(connect(database)) as db, polite_session() as session:
        query = {"cursor": saved(db)}
        page = fetch(session, f"{url}/flights", params=query, timeout=10)
        upsert(db, page["items"])
        save(db, page["cursor"])
        db.commit()


# %% role="wrong" exercise="load" misconception="A clean start is the safest" caught="check" says="times the first page"
def load(database, url):
    Path(database).unlink(missing_ok=True)
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        resume(db, ask)


# %% role="wrong" exercise="load" misconception="Sooner or later it will work" caught="check" says="too early"
def load(database, url):
    with closing(connect(database)) as db, requests.Session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            for _ in range(99):
                try:
                    return fetch(session, f"{url}/flights", params=query, timeout=10)
                except requests.HTTPError as error:
                    if error.response.status_code in (403, 410):
                        raise
                    time.sleep(1)

        try:
            resume(db, ask)
        except requests.HTTPError as error:
            if error.response.status_code != 410:
                raise
            save(db, None)
            resume(db, ask)


# %% role="wrong" exercise="load" misconception="A refused cursor is the end of the night" caught="check" says="HTTPError"
def load(database, url):
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        resume(db, ask)


# %% role="wrong" exercise="load" misconception="Beginning anew cures everything" caught="hidden" says="no further request"
def load(database, url):
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        for last in (False, False, False, True):
            try:
                return resume(db, ask)
            except requests.HTTPError:
                if last:
                    raise
                save(db, None)


# %% role="wrong" exercise="load" misconception="An error that is written down is dealt with" caught="hidden" says="the error itself"
def load(database, url):
    with closing(connect(database)) as db, polite_session() as session:

        def ask(cursor):
            query = {"cursor": cursor}
            return fetch(session, f"{url}/flights", params=query, timeout=10)

        try:
            resume(db, ask)
        except requests.HTTPError as error:
            if error.response.status_code == 410:
                save(db, None)
                try:
                    resume(db, ask)
                except requests.HTTPError as again:
                    print(again)


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | store what comes twice | key and version decide, not the order of arrival |
# | walk through pages | the page says whether there are more, its length does not |
# | wait and repeat | `Retry-After` first, then backoff; few repeats; no `POST` |
# | renew a token | after a 401, once |
# | notice half a body | 200 comes before the body: length, then parser |
# | ask for changes only | the tag belongs to the flights that came with it |
# | survive a crash | rows and checkpoint in one transaction |
# | load every night | small pieces, each safe to repeat |
#
# **New words.** *Cursor*: a place in a list, which only the server can read. *Rate limit*: how many
# requests a client may make in a time. *Backoff*: pauses that grow. *Token*: a key that expires. *ETag*:
# the name of a state. *Checkpoint*: the stored place at which to go on.
#
# **Read on.** R. Fielding and others, RFC 9110, *HTTP Semantics*, on status codes, `Retry-After` and
# conditional requests (2022). M. Nottingham and R. Fielding, RFC 6585, on 429 (2012). M. Brooker,
# *Timeouts, retries, and backoff with jitter*, Amazon Builders' Library (2019).

# %%
lab.close()
