# %% [markdown] minutes=60 datasets=["flights-day-parquet"] systems=[]
# # Resumable extraction
#
# The connection breaks in the middle of a body, the power fails after the third page of five, and in the morning flights are
# missing for good. You write the loader that goes on where it was.

# %% [markdown]
# ## You will be able to
#
# - notice a body that ends early (exercise 1)
# - ask only for what changed (exercise 2)
# - go on after a crash at the place where you were (exercise 3)
# - put it all together into one loader (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *APIs* | cursors, polite sessions, tokens and `upsert` |
# | a little SQL: what a commit is | exercise 3 |
#
# The API is a *model*: a small server in this notebook, with real HTTP and flights of a real day.
# SQLite, `requests` and `urllib3` are the real ones. So that you need not wait, `time.sleep` in this
# notebook returns at once and turns the API's clock forward.
#
# Exercise 4 calls your answers 1 and 3. Between a task and its answer stands a small function, through which the check
# calls yours.

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

lab = open_lab("04-1-ingestion/04-resumable-extraction")
print(serve())
lab

# %% [markdown] topics=["4.1-6"]
# ## The client so far
#
# From the lab before you know a session that waits and repeats, `get`, which renews a token once, and `upsert`, which stores what comes
# twice. They are given here, with a second table, `checkpoint`, for what is to come.


# %%
def polite_session():
    """A session that waits, repeats, and gives up."""
    statuses = [429, 500, 502, 503, 504]
    retry = Retry(total=4, backoff_factor=1, status_forcelist=statuses)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def get(session, url, **options):
    """GET, with one new token if the old one is refused."""
    response = session.get(url, **options)
    if response.status_code == 401:
        form = {"grant_type": "client_credentials", "client_id": "night-loader"}
        form["client_secret"] = os.environ["AIRLINE_SECRET"]
        reply = session.post(f"{base(url)}/token", data=form, timeout=10)
        session.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        response = session.get(url, **options)
    return response


with polite_session() as session:
    url = open_api(seed=3, login=True, burst=2)
    print([get(session, f"{url}/flights", timeout=10).status_code for _ in range(4)])


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


def upsert(db, rows):
    """Store flights; the highest version of each stays."""
    db.executemany(
        "INSERT INTO flights VALUES (:id, :version, :hour, :dest, :dep_delay)"
        " ON CONFLICT (id) DO UPDATE SET version = excluded.version,"
        " hour = excluded.hour, dest = excluded.dest, dep_delay = excluded.dep_delay"
        " WHERE excluded.version > flights.version",
        rows,
    )


def stored(db):
    """The flights in a database, as dictionaries."""
    found = db.execute("SELECT * FROM flights ORDER BY id")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


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
# tell: `reply.json()` raises `JSONDecodeError`. (A CSV body would have told you nothing.)

# %% [markdown] role="task" exercise="whole" points=2 topics=["4.1-6"]
# ### Take only whole bodies
#
# Write `fetch(session, url, **options)`. It makes the request with `get` and
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
# The place is lost, so a loader must begin anew, without a cursor. `upsert` makes that harmless.

# %% [markdown] role="task" exercise="load" points=4 topics=["4.1-6"]
# ### Load, whatever happens
#
# Write `load(database, url)`. It brings the flights of the API at `url` into the database at the path
# `database`. Build it from `connect`, `polite_session` and your `fetch` and `resume`.
#
# - Pages are at `{url}/flights`, as `pages_of` has them.
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
# | notice half a body | 200 comes before the body: length, then parser |
# | ask for changes only | the tag belongs to the flights that came with it |
# | survive a crash | rows and checkpoint in one transaction |
# | load every night | small pieces, each safe to repeat |
#
# **New words.** *ETag*: the name of a state. *Checkpoint*: the stored place at which to go on.
#
# **Read on.** R. Fielding and others, RFC 9110, *HTTP Semantics*, on conditional requests (2022). SQLite's documentation,
# "Atomic Commit In SQLite".

# %%
lab.close()
