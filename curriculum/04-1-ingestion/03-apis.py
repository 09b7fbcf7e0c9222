# %% [markdown] minutes=55 datasets=["flights-day-parquet"] systems=[]
# # APIs
#
# A partner publishes its flights through an API that is slow, forgetful and sometimes down. You
# write the client that misses no flight and makes no enemies.

# %% [markdown]
# ## You will be able to
#
# - store what arrives twice, late or in the wrong order (exercise 1)
# - walk through pages without losing one (exercise 2)
# - wait when you are told to, and repeat only what can succeed (exercise 3)
# - renew a token once, and not for ever (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python functions and exceptions | every answer is a function |
# | a little SQL: `INSERT`, `SELECT` | exercise 1 |
# | the lab *Formats with a schema* | *idempotent* comes from there |
#
# The API is a *model*: a small server in this notebook, with real HTTP and flights of a real day.
# SQLite, `requests` and `urllib3` are the real ones. So that you need not wait, `time.sleep` in this
# notebook returns at once and turns the API's clock forward.
#
# Between a task and its answer stands a small function, through which the check calls yours.

# %% role="setup"
import os
import sqlite3
import time
from contextlib import closing

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from labkit import open_lab
from labkit.web.api import (
    Airline,
    base,
    open_api,
    request_log,
    serve,
    time_passes,
)

lab = open_lab("04-1-ingestion/03-apis")
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
# a table of SQLite.


# %%
def connect(database):
    """A connection to the database at a path, in which the table exists."""
    db = sqlite3.connect(database)
    db.execute(
        "CREATE TABLE IF NOT EXISTS flights (id TEXT PRIMARY KEY, version INTEGER,"
        " hour INTEGER, dest TEXT, dep_delay INTEGER)"
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
# Do not commit: that is the caller's decision, and the next lab shows why.
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
# ## Break it: ask too fast
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
print("served:", [entry["status"] for entry in request_log(url)].count(200))

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


# %% [markdown] topics=["4.1-6"]
# ## Tokens
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


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | store what comes twice | key and version decide, not the order of arrival |
# | walk through pages | the page says whether there are more, its length does not |
# | wait and repeat | `Retry-After` first, then backoff; few repeats; no `POST` |
# | renew a token | after a 401, once |
#
# **New words.** *Cursor*: a place in a list, which only the server can read. *Rate limit*: how many
# requests a client may make in a time. *Backoff*: pauses that grow. *Token*: a key that expires.
#
# **Read on.** R. Fielding and others, RFC 9110, *HTTP Semantics*, on status codes and `Retry-After` (2022). M. Nottingham
# and R. Fielding, RFC 6585, on 429 (2012). M. Brooker, *Timeouts, retries, and backoff with jitter*, Amazon Builders'
# Library (2019).

# %%
lab.close()
