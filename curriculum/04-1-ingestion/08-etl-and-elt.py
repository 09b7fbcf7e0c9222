# %% [markdown] minutes=60 datasets=["flights"] systems=["kafka", "postgresql"]
# # ETL and ELT
#
# After three years somebody asks for the true mean delay, and the ETL has thrown it away. You transform raw messages
# where they are, notice what the producer changes, and compute the past anew.

# %% [markdown]
# ## You will be able to
#
# - transform raw messages in the database, and lose none (exercise 1)
# - find out what a producer changed, and when (exercise 2)
# - compute past days anew (exercise 3)
# - build one loader of all that (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: `GROUP BY`, `INSERT`, transactions | every exercise |
# | the lab *Batch and stream* | topics, offsets, *effect before offset* |
#
# Kafka and PostgreSQL are the real ones (engine). The flights are real, the arrival times of messages
# invented.

# %% role="setup"
import itertools
import json
import random
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.compute as pc
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from labkit import dataset, open_lab
from labkit.services import service

lab = open_lab("04-1-ingestion/08-etl-and-elt")
kafka = service("kafka")
pg = service("postgresql")
admin = kafka.client()
producer = kafka.producer()
lab

# %%
NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT = datetime(2013, 3, 8, tzinfo=NEW_YORK)


def departures_of(days):
    """Departures of days in March 2013; minutes count from midnight of 8 March."""
    draw = random.Random(8)
    found = []
    chosen = (pc.field("month") == 3) & pc.field("day").isin(days)
    rows = dataset("flights").arrow().filter(chosen & pc.field("dep_delay").is_valid())
    for row in rows.to_pylist():
        planned = row["time_hour"] + timedelta(minutes=row["minute"])
        left = planned + timedelta(minutes=row["dep_delay"])
        happened = int((left - MIDNIGHT).total_seconds() // 60)
        lag = draw.choices([1, 2, 4, 20, 150], [50, 30, 15, 4.7, 0.3])[0]
        flight = f"{row['carrier']}{row['flight']}-{row['origin']}"
        event = {"id": f"{flight}-{row['day']:02}", "origin": row["origin"]}
        event |= {"departed": left.astimezone(NEW_YORK).isoformat()}
        event |= {"delay": row["dep_delay"]}
        found.append(event | {"happened": happened, "arrived": happened + lag})
    return sorted(found, key=lambda event: event["arrived"])


EVENTS = departures_of([7, 8])
print(len(EVENTS), "departures, for example", EVENTS[800])

# %% [markdown] topics=["4.1-3"]
# ## From events to tables
#
# You know the departures of two days in March 2013 from the lab before; each is a message, which arrives minutes or hours
# after the departure. In the database there is now a table of *raw* messages (partition, offset, body), one of
# *bad* ones, and `daily`, the result. As before, an outage can be arranged ahead of each call.


# %%
class Outage(Exception):
    """A call to the database or to Kafka fails, before it has an effect."""


class Calls:
    """`before` runs ahead of each statement, commit and poll of the connections below."""

    before = staticmethod(lambda: None)


TABLES = """
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public;
    CREATE TABLE raw (part int, place int, arrived timestamptz, body jsonb,
        PRIMARY KEY (part, place));
    CREATE TABLE bad (part int, place int, value bytea, PRIMARY KEY (part, place));
    CREATE TABLE daily (day date, origin text, departures int, minutes int,
        PRIMARY KEY (day, origin));
    CREATE TABLE done (run text, day date, PRIMARY KEY (run, day));
"""


class Connection(psycopg.Connection):
    """A connection that runs `Calls.before` ahead of each commit and end of a block."""

    def commit(self):
        Calls.before()
        super().commit()

    @contextmanager
    def transaction(self, *args, **options):
        with super().transaction(*args, **options) as block:
            yield block
            Calls.before()


class Cursor(psycopg.Cursor):
    """A cursor that runs `Calls.before` ahead of each statement."""

    def execute(self, *args, **options):
        Calls.before()
        return super().execute(*args, **options)

    def executemany(self, *args, **options):
        Calls.before()
        return super().executemany(*args, **options)


def connect(**options):
    """A connection; `with connect() as db:` commits at its end. It waits a second for locks."""
    settings = {
        "cursor_factory": Cursor,
        "application_name": "answer",
        "sslmode": "disable",
    }
    settings |= {"options": "-c lock_timeout=1s -c statement_timeout=3s"}
    return Connection.connect(pg.dsn(), **settings | options)


def fresh():
    """Begin anew, with empty tables."""
    Calls.before = staticmethod(lambda: None)
    with pg.client() as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'answer'"
        )
        db.execute(TABLES)


fresh()
with connect() as db:
    print(db.execute("SELECT relname FROM pg_stat_user_tables ORDER BY 1").fetchall())

# %% [markdown] topics=["4.1-3"]
# ## What the ETL threw away
#
# *ETL*: extract, transform in a program, load the result. *ELT*: extract, load raw messages, and transform them
# inside the database.
#
# The airline's ETL, in Python, loads airport, hour and delay, and takes an early flight as "0 minutes late". After
# three years, somebody asks for the true mean.
#
# **Predict:** which table can answer, when Kafka has deleted the messages (by default, after seven days)?

# %%
SEVENTH = [event for event in EVENTS if event["id"].endswith("-07")]
fresh()
with connect() as db, db.cursor() as cursor:
    db.execute("CREATE TABLE etl (origin text, hour timestamptz, delay int)")
    cursor.executemany(
        "INSERT INTO etl VALUES (%s, date_trunc('hour', %s::timestamptz), %s)",
        [(e["origin"], e["departed"], max(e["delay"], 0)) for e in SEVENTH],
    )
    cursor.executemany(
        "INSERT INTO raw VALUES (0, %s, now(), %s)",
        [(place, json.dumps(event)) for place, event in enumerate(SEVENTH)],
    )
    print("ETL", db.execute("SELECT round(avg(delay), 1) FROM etl").fetchone()[0])
    query = "SELECT round(avg((body->>'delay')::int), 1), count(*) FROM raw"
    early = "WHERE body->>'delay' LIKE '-%'"
    print("ELT", db.execute(query).fetchone()[0])
    print("early", *db.execute(f"{query} {early}").fetchone())

# %% [markdown]
# With ELT, the repair is another query, over all the past. The price: raw data take space, and may hold what must
# not be kept, such as names.
#
# `jsonb` takes any JSON. `body->>'delay'` is a field as text, null where there is none. A cast that fails stops the
# whole query, so ask first: `pg_input_is_valid('12x', 'integer')` is false, and null for null.

# %% [markdown] role="task" exercise="views" points=3 topics=["4.1-3"]
# ### Transform where the data are
#
# `raw` has `part`, `place` (partition and offset), `arrived` and `body`: an event with `id`, `origin`, `departed` and
# `delay`. Twice, the producer changed it without a word: `delay` was a number, then a text, then it was called
# `delay_minutes`.
#
# Write `views()`, which returns a dictionary of two texts, each a `SELECT`:
#
# | Key | Rows |
# |---|---|
# | `"departures"` | `id`, `origin`, `departed` (`timestamptz`), `delay` (`integer`), `day` (`date`, by New York's clock): for each `id`, the readable message with the highest `place` |
# | `"rejects"` | `part`, `place` of each message that is not readable |
#
# Readable: `id` and `origin` are there, `departed` is valid as a `timestamptz`, the delay (by either name, never both)
# as an `integer`. All messages of one `id` are in one partition.
#
# Why: at the third change, nothing is lost, and you know how much you cannot read.


# %%
def viewed(messages):
    """What your two queries find as views over raw; messages are JSON texts."""
    fresh()
    start = datetime(2013, 3, 8, tzinfo=UTC)
    with connect() as db, db.cursor() as cursor:
        for name, query in views().items():
            db.execute(f"CREATE VIEW {name} AS {query}")
        cursor.executemany(
            "INSERT INTO raw VALUES (1, %s, %s, %s)",
            [
                (n, start + timedelta(minutes=n), body)
                for n, body in enumerate(messages)
            ],
        )
        found = {}
        for name in ("departures", "rejects"):
            cursor.execute(f"SELECT * FROM {name}")
            columns = [column.name for column in cursor.description]
            found[name] = [dict(zip(columns, row, strict=True)) for row in cursor]
        return found


# %% role="answer" exercise="views" dialect="postgres"
def views() -> dict[str, str]:
    """Queries over raw: readable departures, and the places of all other messages."""
    ### BEGIN SOLUTION
    departures = """
        WITH field AS (
            SELECT place, body->>'id' AS id, body->>'origin' AS origin,
                body->>'departed' AS departed,
                coalesce(body->>'delay', body->>'delay_minutes') AS delay
            FROM raw
        )
        SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
            (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
            delay::integer AS delay
        FROM field
        WHERE id IS NOT NULL AND origin IS NOT NULL
            AND pg_input_is_valid(departed, 'timestamptz')
            AND pg_input_is_valid(delay, 'integer')
        ORDER BY id, place DESC
    """
    rejects = """
        SELECT part, place FROM raw
        WHERE body->>'id' IS NULL OR body->>'origin' IS NULL
            OR pg_input_is_valid(body->>'departed', 'timestamptz') IS NOT TRUE
            OR pg_input_is_valid(
                coalesce(body->>'delay', body->>'delay_minutes'), 'integer'
            ) IS NOT TRUE
    """
    return {"departures": departures, "rejects": rejects}
    ### END SOLUTION


# %% role="check" exercise="views"
with lab.check("views") as answer:
    answer.value("views")
    rows = [
        {
            "id": "UA1",
            "origin": "EWR",
            "departed": "2013-03-08T10:05:00-05:00",
            "delay": 12,
        },
        {
            "id": "UA2",
            "origin": "EWR",
            "departed": "2013-03-08T23:30:00-05:00",
            "delay": "-3",
        },
        {
            "id": "B61",
            "origin": "JFK",
            "departed": "2013-03-08T16:00:00Z",
            "delay_minutes": 4,
        },
        {
            "id": "UA1",
            "origin": "EWR",
            "departed": "2013-03-08T10:07:00-05:00",
            "delay": "14",
        },
        {"id": "AA1", "origin": "LGA", "departed": "2013-03-08T16:00:00Z", "late": 9},
        {"id": "AA2", "origin": "LGA", "departed": "soon", "delay": 9},
        {
            "id": "B61",
            "origin": "JFK",
            "departed": "2013-03-08T16:00:00Z",
            "delay": "4 min",
        },
    ]
    found = answer.call("viewed", [json.dumps(row) for row in rows])
    names = ("id", "origin", "departed", "day", "delay")
    day = date(2013, 3, 8)
    answer.same_rows(
        found["departures"],
        [
            dict(zip(names, row, strict=True))
            for row in [
                ("UA1", "EWR", datetime(2013, 3, 8, 15, 7, tzinfo=UTC), day, 14),
                ("UA2", "EWR", datetime(2013, 3, 9, 4, 30, tzinfo=UTC), day, -3),
                ("B61", "JFK", datetime(2013, 3, 8, 16, tzinfo=UTC), day, 4),
            ]
        ],
        asked=f"departures, one row for each id with a readable message, of {rows}",
        key=["id"],
    )
    answer.same_rows(
        found["rejects"],
        [{"part": 1, "place": place} for place in (4, 5, 6)],
        asked=f"rejects: place of each message without a readable delay or time, of {rows}",
        key=["place"],
    )

# %% role="hidden" exercise="views"
with lab.check("views", hidden=True) as answer:
    answer.value("views")
    good = {
        "id": "DL1",
        "origin": "LGA",
        "departed": "2013-07-08T04:00:01Z",
        "delay": 1,
    }
    faults = [good | {name: None} for name in good]
    faults += [{n: v for n, v in good.items() if n != name} for name in good]
    faults += [
        good | {"delay": "1.5"},
        good | {"departed": ""},
        ["UA1"],
        "UA1",
        None,
        7,
    ]
    answer.random.shuffle(faults)
    messages, kept, places = [], {}, []
    for _ in range(30):
        name = answer.random.choice(["delay", "delay_minutes"])
        value, id = answer.random.randint(-20, 500), f"Ñ{answer.random.randrange(9)}"
        row = {"id": id, "origin": "LGA", "departed": "2013-07-08T04:00:01Z"}
        messages.append(row | {name: answer.random.choice([value, str(value)])})
        left = datetime(2013, 7, 8, 4, 0, 1, tzinfo=UTC)
        kept[id] = {"id": id, "origin": "LGA", "departed": left, "delay": value}
        kept[id]["day"] = date(2013, 7, 8)
    for number, fault in enumerate(faults, 30):
        same = isinstance(fault, dict) and fault.get("id")
        messages.append(
            fault | {"id": answer.random.choice(sorted(kept))} if same else fault
        )
        places.append({"part": 1, "place": number})
    found = answer.call("viewed", [json.dumps(message) for message in messages])
    answer.same_rows(
        found["departures"],
        [*kept.values()],
        asked="departures of a summer night, with messages at the end that cannot be read",
        key=["id"],
    )
    answer.same_rows(
        found["rejects"],
        places,
        asked="rejects of these messages: fields that are missing or null, and bodies that are no object",
        key=["place"],
    )

# %% [markdown] role="hint" exercise="views"
# A message without any delay: is your condition for it false, or null? What does `NOT` make of that?

# %% [markdown] role="hint" exercise="views"
# `coalesce(a, b)` takes the first that is not null. `x IS NOT TRUE` holds for false and for null. `DISTINCT ON
# (id) … ORDER BY id, place DESC` keeps one row for each id. `t AT TIME ZONE '…'` is the local clock.

# %% [markdown] role="hint" exercise="views"
# ```python
# departures = """
#     WITH field AS (SELECT place, body->>'id' AS id, ..., coalesce(...) AS delay FROM raw)
#     SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
#         (...)::date AS day, delay::integer AS delay
#     FROM field WHERE ... ORDER BY ...
# """
# rejects = "SELECT part, place FROM raw WHERE ..."
# return {"departures": departures, "rejects": rejects}
# ```


# %% role="right" exercise="views"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            CASE WHEN pg_input_is_valid(body->>'departed', 'timestamptz')
                THEN (body->>'departed')::timestamptz END AS departed,
            CASE WHEN pg_input_is_valid(body->>'delay', 'integer')
                THEN (body->>'delay')::integer
                WHEN body->>'delay' IS NULL
                    AND pg_input_is_valid(body->>'delay_minutes', 'integer')
                THEN (body->>'delay_minutes')::integer END AS delay
        FROM raw
    """
    whole = "num_nulls(id, origin, departed, delay) = 0"
    return {
        "departures": f"""
            SELECT delay, id, origin, departed,
                date(timezone('America/New_York', departed)) AS day
            FROM (
                SELECT m.*, row_number() OVER (PARTITION BY id ORDER BY place DESC) AS n
                FROM ({read}) AS m WHERE {whole}
            ) AS ranked WHERE n = 1
        """,
        "rejects": f"SELECT place, part FROM ({read}) AS m WHERE NOT {whole}",
    }


# %% [markdown] role="equivalent" exercise="views" reason="the order of the flights is all the same"
# + departures = "WITH field AS (\n  SELECT\n    place,\n    body ->> 'id' AS id,\n    body ->> 'origin' AS origin,\n    body ->> 'departed' AS departed,\n    COALESCE(body ->> 'delay', body ->> 'delay_minutes') AS delay\n  FROM raw\n)\nSELECT DISTINCT ON (id)\n  id,\n  origin,\n  CAST(departed AS TIMESTAMPTZ) AS departed,\n  CAST((\n    CAST(departed AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York'\n  ) AS DATE) AS day,\n  CAST(delay AS INT) AS delay\nFROM field\nWHERE\n  id IS NOT NULL\n  AND origin IS NOT NULL\n  AND PG_INPUT_IS_VALID(departed, 'timestamptz')\n  AND PG_INPUT_IS_VALID(delay, 'integer')\nORDER BY\n  id DESC NULLS LAST,\n  place DESC"
# - departures = """
# - WITH field AS (
# - SELECT place, body->>'id' AS id, body->>'origin' AS origin,
# - body->>'departed' AS departed,
# - coalesce(body->>'delay', body->>'delay_minutes') AS delay
# - FROM raw
# - )
# - SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
# - (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
# - delay::integer AS delay
# - FROM field
# - WHERE id IS NOT NULL AND origin IS NOT NULL
# - AND pg_input_is_valid(departed, 'timestamptz')
# - AND pg_input_is_valid(delay, 'integer')
# - ORDER BY id, place DESC
# - """


# %% role="wrong" exercise="views" misconception="NOT finds all that the condition does not" caught="check" says="row(s) missing"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz') AND pg_input_is_valid(delay, 'integer')"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE NOT ({good})",
    }


# %% role="wrong" exercise="views" misconception="The day is the date of the instant" caught="check" says="column day"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                departed::timestamptz::date AS day, delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="Take the last message of each flight, then look whether it can be read" caught="check" says="missing, first id 'B61'"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                delay::integer AS delay
            FROM (SELECT DISTINCT ON (id) * FROM ({read}) AS m ORDER BY id, place DESC) AS last
            WHERE {good}
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="A cast gives null where it does not fit" caught="check" says="invalid input syntax"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            (body->>'departed')::timestamptz AS departed,
            coalesce(body->>'delay', body->>'delay_minutes')::integer AS delay
        FROM raw
    """
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed,
                (departed AT TIME ZONE 'America/New_York')::date AS day, delay
            FROM ({read}) AS m
            WHERE num_nulls(id, origin, departed, delay) = 0 ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m"
        " WHERE num_nulls(id, origin, departed, delay) > 0",
    }


# %% role="wrong" exercise="views" misconception="All messages look like the first" caught="check" says="missing, first id 'B61'"
def views():
    good = """(body->>'id' IS NOT NULL AND body->>'origin' IS NOT NULL
        AND pg_input_is_valid(body->>'departed', 'timestamptz')
        AND pg_input_is_valid(body->>'delay', 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (body->>'id') body->>'id' AS id, body->>'origin' AS origin,
                (body->>'departed')::timestamptz AS departed,
                ((body->>'departed')::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
                (body->>'delay')::integer AS delay
            FROM raw WHERE {good} ORDER BY body->>'id', place DESC
        """,
        "rejects": f"SELECT part, place FROM raw WHERE {good} IS NOT TRUE",
    }


# %% role="wrong" exercise="views" misconception="Standard time all year" caught="hidden" says="column day"
def views():
    read = """
        SELECT part, place, body->>'id' AS id, body->>'origin' AS origin,
            body->>'departed' AS departed,
            coalesce(body->>'delay', body->>'delay_minutes') AS delay
        FROM raw
    """
    good = """(id IS NOT NULL AND origin IS NOT NULL
        AND pg_input_is_valid(departed, 'timestamptz')
        AND pg_input_is_valid(delay, 'integer'))"""
    return {
        "departures": f"""
            SELECT DISTINCT ON (id) id, origin, departed::timestamptz AS departed,
                (departed::timestamptz AT TIME ZONE interval '-5 hours')::date AS day,
                delay::integer AS delay
            FROM ({read}) AS m WHERE {good} ORDER BY id, place DESC
        """,
        "rejects": f"SELECT part, place FROM ({read}) AS m WHERE {good} IS NOT TRUE",
    }


# %% [markdown] topics=["4.1-3"]
# ## Break it: the producer renames a field
#
# *Schema drift*: ELT lands whatever comes, the load succeeds, and the numbers become wrong. So compare with a *contract*, the kind
# of value of each field. `jsonb_each(body)` gives a row for each field (`key`, `value`), and `jsonb_typeof(value)` its
# kind: `string`, `number`, `boolean`, `null`, `array` or `object`.
#
# **Predict:** at noon, the producer renames a field. What happens to a mean that reads the old name?

# %%
fresh()
with connect() as db, db.cursor() as cursor:
    for place, event in enumerate(SEVENTH):
        late = event["happened"] >= -720  # noon of 7 March
        body = {"delay_minutes" if late else "delay": event["delay"]}
        cursor.execute(
            "INSERT INTO raw VALUES (0, %s, now(), %s)", [place, json.dumps(body)]
        )
    query = "SELECT count(*), round(avg((body->>'delay')::int), 1) FROM raw"
    print("{} departures, {} minutes late".format(*db.execute(query).fetchone()))

# %% [markdown]
# No error: a mean of the morning, which calls itself the mean of the day. The true one is 20.

# %% [markdown] role="task" exercise="drift" points=2 topics=["4.1-3"]
# ### What did the producer change?
#
# Write `drift(db, contract)`. `contract` is, for example, `{"id": "string", "delay": "number"}`. Each `body` in `raw` is
# an object. Return a list of dictionaries, one for each field and problem in any message:
#
# | Key | Content |
# |---|---|
# | `field` | the name |
# | `problem` | `"missing"`: in the contract, not in the message; `"new"`: the other way round; `"kind"`: in both, but a value of another kind |
# | `since` | `arrived` of the first such message |
# | `messages` | how many there are |
#
# Why: "`delay` is missing since 12:03" is the sentence that a producer's team needs.


# %%
def drifted(contract, bodies):
    """What your drift finds; body number n arrives at minute n of 8 March (UTC)."""
    fresh()
    start = datetime(2013, 3, 8, tzinfo=UTC)
    with connect() as db, db.cursor() as cursor:
        rows = [
            (n % 3, n, start + timedelta(minutes=n), json.dumps(body))
            for n, body in enumerate(bodies)
        ]
        cursor.executemany("INSERT INTO raw VALUES (%s, %s, %s, %s)", rows[::-1])
        return drift(db, contract)


# %% role="answer" exercise="drift" dialect="postgres"
def drift(db: psycopg.Connection, contract: dict[str, str]) -> list[dict]:
    """Fields that are missing, new, or of another kind, with the time of the first."""
    ### BEGIN SOLUTION
    found = {}
    for arrived, body, kinds in db.execute(
        """
        SELECT arrived, body,
            (SELECT jsonb_object_agg(key, jsonb_typeof(value)) FROM jsonb_each(body))
        FROM raw ORDER BY arrived
        """
    ):
        for field in contract | body:
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]
    ### END SOLUTION


# %% role="check" exercise="drift"
with lab.check("drift") as answer:
    answer.value("drift")
    contract = {"id": "string", "delay": "number"}
    bodies = [
        {"id": "UA1", "delay": 12},
        {"id": "UA2", "delay": "3"},
        {"id": "UA3", "delay": 4, "gate": "C7"},
        {"id": "UA4", "delay_minutes": 4, "gate": "C8"},
        {"id": "UA5", "delay": None},
        {"id": "UA6"},
        {},
    ]
    names = ("field", "problem", "since", "messages")
    answer.same_rows(
        answer.call("drifted", contract, bodies),
        [
            {
                "field": f,
                "problem": p,
                "since": datetime(2013, 3, 8, 0, n, tzinfo=UTC),
                "messages": m,
            }
            for f, p, n, m in [
                ("delay", "kind", 1, 2),
                ("delay", "missing", 3, 3),
                ("delay_minutes", "new", 3, 1),
                ("gate", "new", 2, 2),
                ("id", "missing", 6, 1),
            ]
        ],
        asked=f"the drift from {contract} of {bodies}",
        key=["field", "problem"],
    )

# %% role="hidden" exercise="drift"
with lab.check("drift", hidden=True) as answer:
    answer.value("drift")
    kinds = {
        "number": 1.5,
        "string": "1",
        "boolean": False,
        "null": None,
        "array": [{"delay": 1}],
        "object": {"id": "x"},
    }
    contract = {
        "id": "string",
        "delay": "number",
        "causes": "array",
        "Ñ": "boolean",
        "tail": "null",
    }
    bodies = [{name: kinds[kind] for name, kind in contract.items()} for _ in range(40)]
    expected = {}
    for body in bodies:
        for _ in range(answer.random.randrange(3)):
            name = answer.random.choice(sorted(contract))
            other = answer.random.choice(sorted(kinds))
            match answer.random.choice(["missing", "new", "kind"]):
                case "missing":
                    body.pop(name, None)
                case "new":
                    body[f"{name} {other}"] = kinds[other]
                case "kind":
                    body[name] = kinds[other]
    whole = {name: kinds[kind] for name, kind in contract.items()}
    bodies += [whole | {name: value} for name in contract for value in kinds.values()]
    for number, body in enumerate(bodies):
        for name in sorted({*contract, *body}):
            right = (
                name in body
                and name in contract
                and body[name] == kinds[contract[name]]
            )
            problem = (
                "new" if name not in contract else "kind" if name in body else "missing"
            )
            if not right:
                since = datetime(2013, 3, 8, tzinfo=UTC) + timedelta(minutes=number)
                row = {"field": name, "problem": problem, "since": since, "messages": 0}
                expected.setdefault((name, problem), row)["messages"] += 1
    answer.same_rows(
        answer.call("drifted", contract, bodies),
        [*expected.values()],
        asked="the drift of 70 messages with values of all kinds",
        key=["field", "problem"],
    )

# %% [markdown] role="hint" exercise="drift"
# For one message: which fields have to be looked at? Those of the contract, those of the body, or both?

# %% [markdown] role="hint" exercise="drift"
# In Python, `contract | body` has all fields, and psycopg makes a dictionary of `jsonb`. In SQL, it is a
# `FULL JOIN` of the contract with `jsonb_each(body)`, for each message, then `GROUP BY`.

# %% [markdown] role="hint" exercise="drift"
# ```python
# found = {}
# for arrived, body, kinds in db.execute("SELECT arrived, body, (...) FROM raw ORDER BY ..."):
#     for field in contract | body:
#         if ...:
#             problem = "missing"
#         ...
#         entry = {"field": field, "problem": problem, "since": arrived, "messages": 0}
#         found.setdefault((field, problem), entry)["messages"] += 1
# return [*found.values()]
# ```


# %% role="right" exercise="drift"
def drift(db, contract):
    rows = db.execute(
        """
        SELECT coalesce(agreed, found), CASE WHEN found IS NULL THEN 'missing'
            WHEN agreed IS NULL THEN 'new' ELSE 'kind' END, min(arrived), count(*)
        FROM raw CROSS JOIN LATERAL (
            SELECT c.key AS agreed, b.key AS found, c.value AS kind, b.value
            FROM jsonb_each_text(%s) AS c FULL JOIN jsonb_each(body) AS b ON c.key = b.key
        ) AS field
        WHERE kind IS DISTINCT FROM jsonb_typeof(value)
        GROUP BY 1, 2
        """,
        [json.dumps(contract)],
    )
    names = ("field", "problem", "since", "messages")
    return [dict(zip(names, row, strict=True)) for row in rows]


# %% role="wrong" exercise="drift" misconception="What the contract does not name cannot hurt" caught="check" says="row(s) missing"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw ORDER BY arrived"
    ):
        for field, kind in contract.items():
            problem = "missing" if field not in body else "kind"
            if field not in body or kinds[field] != kind:
                entry = {
                    "field": field,
                    "problem": problem,
                    "since": arrived,
                    "messages": 0,
                }
                found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="Null is the same as missing" caught="check" says="column messages"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw ORDER BY arrived"
    ):
        for field in contract.keys() | body.keys():
            if body.get(field) is None:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="A sample of the newest message is enough" caught="check" says="column since"
def drift(db, contract):
    arrived, body = db.execute(
        "SELECT arrived, body FROM raw ORDER BY arrived DESC LIMIT 1"
    ).fetchone()
    changes = {field: "missing" for field in contract.keys() - body.keys()}
    changes |= {field: "new" for field in body.keys() - contract.keys()}
    return [
        {"field": field, "problem": problem, "since": arrived, "messages": 1}
        for field, problem in changes.items()
    ]


# %% role="wrong" exercise="drift" misconception="The rows come in the order of their arrival" caught="check" says="column since"
def drift(db, contract):
    found = {}
    for arrived, body, kinds in db.execute(
        "SELECT arrived, body, (SELECT jsonb_object_agg(key, jsonb_typeof(value))"
        " FROM jsonb_each(body)) FROM raw"
    ):
        for field in contract | body:
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif kinds[field] != contract[field]:
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% role="wrong" exercise="drift" misconception="In Python, a boolean is a number" caught="hidden" says="drift of 70 messages"
def drift(db, contract):
    types = {"string": str, "number": (int, float), "boolean": int, "null": type(None)}
    types |= {"array": list, "object": dict}
    found = {}
    for arrived, body in db.execute("SELECT arrived, body FROM raw ORDER BY arrived"):
        for field in contract.keys() | body.keys():
            if field not in body:
                problem = "missing"
            elif field not in contract:
                problem = "new"
            elif not isinstance(body[field], types[contract[field]]):
                problem = "kind"
            else:
                continue
            entry = {
                "field": field,
                "problem": problem,
                "since": arrived,
                "messages": 0,
            }
            found.setdefault((field, problem), entry)["messages"] += 1
    return [*found.values()]


# %% [markdown] topics=["4.1-3", "4.1-2"]
# ## Backfill
#
# The view is repaired; `daily` still holds what the old one gave. A *backfill* computes past days anew.
#
# | Property | How |
# |---|---|
# | idempotent | replace a whole *partition*, here a day |
# | bounded | days are arguments; no `now()` |
# | restartable | each day is a transaction, and is noted in it |
# | quiet | readers never wait, and never see half a day |
#
# **Predict:** the old view misread an airport's code. After an upsert, how many airports does the day have?

# %%
VIEW = """
    CREATE VIEW departures AS
    SELECT DISTINCT ON (body->>'id') body->>'id' AS id, body->>'origin' AS origin,
        ((body->>'departed')::timestamptz AT TIME ZONE 'America/New_York')::date AS day,
        (body->>'delay')::int AS delay
    FROM raw WHERE body ? 'id' ORDER BY body->>'id', place DESC
"""
AGAIN = "SELECT day, origin, count(*), sum(delay) FROM departures"


def land(db, events):
    """Put events into raw, behind those that are there."""
    (place,) = db.execute("SELECT coalesce(max(place) + 1, 0) FROM raw").fetchone()
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO raw VALUES (0, %s, now(), %s)",
            [(n, json.dumps(event)) for n, event in enumerate(events, place)],
        )


fresh()
with connect() as db:
    db.execute(VIEW)
    land(db, SEVENTH)
    db.execute("INSERT INTO daily VALUES ('2013-03-07', 'E\\R', 17, 340)")
    db.execute(
        f"INSERT INTO daily {AGAIN} WHERE day = '2013-03-07' GROUP BY day, origin"
        " ON CONFLICT (day, origin) DO UPDATE SET minutes = excluded.minutes"
    )
    print(db.execute("SELECT origin, departures FROM daily ORDER BY 1").fetchall())

# %% [markdown] role="task" exercise="backfill" points=3 topics=["4.1-3", "4.1-2"]
# ### Compute past days anew
#
# An upsert leaves what the new view does not give any more. So write `backfill(run, first, last)`. For each day from
# `first` to `last` (dates, both included) that has no row in `done` for this `run` (a text), replace the day's rows of
# `daily` by what the view `departures` gives, as in `AGAIN`, and note `run` and `day` in `done`.
#
# Each day is one transaction (psycopg opens one with the first statement; `with db.transaction():` after that commits
# nothing). Leave other days alone. Nobody who reads `daily` or writes `raw` may wait. Use `connect`.
#
# Why: a backfill of three years fails at some day, and must go on there.


# %%
def backfilled(events, days, run, fail_at=None):
    """What a backfill leaves in daily, where each day had one old row, and what a reader saw.

    Before call number `fail_at` comes an outage; then the same run is repeated.
    """
    fresh()
    first, last = days
    seen, calls, finished = set(), itertools.count(1), []
    with pg.client(options="-c lock_timeout=100") as other:
        other.execute(VIEW)
        land(other, events)
        other.execute(
            "INSERT INTO daily SELECT %s::date + n, 'OLD', -1, -1"
            " FROM generate_series(-1, %s::date - %s::date + 1) AS n",
            [first, last, first],
        )
        other.execute("INSERT INTO done VALUES ('older run', %s)", [first])

        def look():
            old = "count(DISTINCT day) FILTER (WHERE origin = 'OLD')"
            counts = other.execute(f"SELECT count(DISTINCT day), {old} FROM daily")
            seen.add(counts.fetchone())
            other.execute("INSERT INTO raw SELECT 2, count(*), now(), '{}' FROM raw")
            if next(calls) == fail_at:
                raise Outage

        Calls.before = staticmethod(look)
        version = (
            "SELECT day, min(xmin::text) FROM daily WHERE origin <> 'OLD' GROUP BY 1"
        )
        for _ in range(2):
            try:
                backfill(run, first, last)
                break
            except Outage:
                finished = other.execute(version).fetchall()
        Calls.before = staticmethod(lambda: None)
        now = dict(other.execute(version).fetchall())
        rows = other.execute("TABLE daily").fetchall()
        done = other.execute("SELECT run, day FROM done ORDER BY 1, 2").fetchall()
    names = ("day", "origin", "departures", "minutes")
    return {
        "daily": [dict(zip(names, row, strict=True)) for row in rows],
        "done": done,
        "days seen": sorted({days for days, _ in seen}),
        "old days seen": sorted({old for _, old in seen}),
        "again": [day for day, before in finished if now.get(day) != before],
    }


# %% role="answer" exercise="backfill" dialect="postgres"
def backfill(run: str, first: date, last: date) -> None:
    """Replace the days of daily that this run has not done yet."""
    ### BEGIN SOLUTION
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    """
                    INSERT INTO daily
                    SELECT day, origin, count(*), sum(delay) FROM departures
                    WHERE day = %s GROUP BY day, origin
                    """,
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)
    ### END SOLUTION


# %% role="check" exercise="backfill"
with lab.check("backfill") as answer:
    answer.value("backfill")
    days = [date(2013, 3, number) for number in range(5, 11)]
    events = [
        {
            "id": f"{origin}{n}",
            "origin": origin,
            "departed": f"{day}T17:00:00Z",
            "delay": delay,
        }
        for n, day in enumerate(days)
        for origin, delay in (("EWR", 10), ("JFK", n))
    ]
    events += [event | {"id": f"{event['id']} again"} for event in events]
    first, last = days[1], days[4]
    rows = [
        {"day": day, "origin": origin, "departures": 2, "minutes": 2 * delay}
        for n, day in enumerate(days)
        for origin, delay in (("EWR", 10), ("JFK", n))
        if first <= day <= last
    ]
    rows += [
        {"day": day, "origin": "OLD", "departures": -1, "minutes": -1}
        for day in (days[0], days[5])
    ]
    for fail_at in (0, 8, 12):
        found = answer.call("backfilled", events, (first, last), "repair 1", fail_at)
        outage = (
            f"an outage before call {fail_at} and a repeat" if fail_at else "a backfill"
        )
        answer.same_rows(
            found["daily"],
            rows,
            asked=f"new rows from {first} to {last}, old ones before and after, after {outage}",
            key=["day", "origin"],
        )
        answer.equal(
            [tuple(row) for row in found["done"]],
            [("older run", first), *(("repair 1", day) for day in days[1:5])],
            asked=f"a row in done for each day of this run, after {outage}",
        )
        answer.equal(
            found["days seen"],
            [6],
            asked="six days in daily for a reader, before each of your calls",
            found=f"a reader who saw {found['days seen']} days",
        )
        answer.true(
            {3, 4, 5} <= {*found["old days seen"]},
            asked="one new day after the other for a reader, of four in all",
            found=f"a reader for whom {found['old days seen']} days were still old, before the last commit",
        )
        answer.equal(
            found["again"],
            [],
            asked=f"no day computed twice, after {outage}",
            found=f"{len(found['again'])} days that were done before and computed again",
        )

# %% role="hidden" exercise="backfill"
with lab.check("backfill", hidden=True) as answer:
    answer.value("backfill")
    start = date(2013, 12, answer.random.randrange(20, 30))
    days = [start + timedelta(days=n) for n in range(14)]
    empty = days[6]
    events, totals = [], {}
    for number in range(120):
        origin, day = answer.random.choice("ABC"), answer.random.choice(days)
        delay = answer.random.randint(-9, 200)
        event = {"id": f"Ñ{number}", "origin": origin, "departed": f"{day}T12:00:00Z"}
        if day != empty:
            events.append(event | {"delay": delay})
            if days[2] <= day <= days[11]:
                n, minutes = totals.get((day, origin), (0, 0))
                totals[day, origin] = (n + 1, minutes + delay)
    rows = [(*key, *total) for key, total in totals.items()]
    rows += [(day, "OLD", -1, -1) for day in (days[1], days[12])]
    names = ("day", "origin", "departures", "minutes")
    found = answer.call(
        "backfilled", events, (days[2], days[11]), "Ñ", answer.random.randrange(6, 40)
    )
    answer.same_rows(
        found["daily"],
        [dict(zip(names, row, strict=True)) for row in rows],
        asked="ten days around New Year computed anew, one of them without departures",
        key=["day", "origin"],
    )

# %% [markdown] role="hint" exercise="backfill"
# What has to be in one transaction, so that an outage leaves either all of it or nothing?

# %% [markdown] role="hint" exercise="backfill"
# Open a connection for each day: `with connect() as db:` is one transaction. `DELETE` lets readers see the old rows
# until the commit; `TRUNCATE` makes them wait.

# %% [markdown] role="hint" exercise="backfill"
# ```python
# day = first
# while day <= last:
#     with connect() as db:
#         if not db.execute("SELECT ... FROM done WHERE ...", [...]).fetchone():
#             db.execute("DELETE ...", [...])
#             db.execute("INSERT INTO daily SELECT ...", [...])
#             db.execute("INSERT INTO done ...", [...])
#     day += timedelta(days=1)
# ```


# %% role="right" exercise="backfill"
def backfill(run, first, last):
    with connect(autocommit=True) as db:
        days = db.execute(
            "SELECT d::date FROM generate_series(%s::date, %s::date, interval '1 day') AS d"
            " EXCEPT SELECT day FROM done WHERE run = %s ORDER BY 1 DESC",
            [first, last, run],
        ).fetchall()
        for day in days:
            with db.transaction():
                db.execute("INSERT INTO done (day, run) VALUES (%s, %s)", [day[0], run])
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    "INSERT INTO daily (origin, day, minutes, departures)"
                    " SELECT origin, min(day), sum(delay), count(id) FROM departures"
                    " WHERE day = %s GROUP BY origin",
                    day,
                )


# %% role="wrong" exercise="backfill" misconception="An upsert replaces" caught="check" says="should not be there"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin ON CONFLICT (day, origin) DO UPDATE SET"
                    " departures = excluded.departures, minutes = excluded.minutes",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Each statement may commit by itself" caught="check" says="a reader who saw"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect(autocommit=True) as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Begin with an empty table" caught="check" says="lock timeout"
def backfill(run, first, last):
    with connect() as db:
        db.execute("TRUNCATE daily")
        db.execute(
            "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
            " WHERE day BETWEEN %s AND %s GROUP BY day, origin",
            [first, last],
        )


# %% role="wrong" exercise="backfill" misconception="All or nothing, so one transaction" caught="check" says="were still old"
def backfill(run, first, last):
    with connect() as db:
        day = first
        while day <= last:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
            day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="A day belongs to the last run that did it" caught="check" says="a row in done"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE run = %s AND day = %s"
            if not db.execute(done, [run, day]).fetchone():
                db.execute("DELETE FROM done WHERE day = %s", [day])
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Replacing may be repeated, so it need not be noted" caught="check" says="a row in done"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Note the day first, so that nobody does it twice" caught="check" says="after an outage"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            new = db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING day",
                [run, day],
            ).fetchone()
        if new:
            with connect() as db:
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="What was done once, by any run, is done" caught="check" says="should not be there"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            done = "SELECT day FROM done WHERE day = %s"
            if not db.execute(done, [day]).fetchone():
                db.execute("DELETE FROM daily WHERE day = %s", [day])
                db.execute(
                    "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                    " WHERE day = %s GROUP BY day, origin",
                    [day],
                )
                db.execute("INSERT INTO done VALUES (%s, %s)", [run, day])
        day += timedelta(days=1)


# %% role="wrong" exercise="backfill" misconception="Days count back from today" caught="check" says="should not be there"
def backfill(run, first, last):
    for back in range((last - first).days + 1):
        with connect() as db:
            (day,) = db.execute("SELECT current_date - %s::int", [back]).fetchone()
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
            db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING", [run, day]
            )


# %% role="wrong" exercise="backfill" misconception="A day that is computed again is only slower" caught="check" says="computed again"
def backfill(run, first, last):
    day = first
    while day <= last:
        with connect() as db:
            db.execute("DELETE FROM daily WHERE day = %s", [day])
            db.execute(
                "INSERT INTO daily SELECT day, origin, count(*), sum(delay) FROM departures"
                " WHERE day = %s GROUP BY day, origin",
                [day],
            )
            db.execute(
                "INSERT INTO done VALUES (%s, %s) ON CONFLICT DO NOTHING", [run, day]
            )
        day += timedelta(days=1)


# %% [markdown] topics=["4.1-2", "4.1-3"]
# ## All together
#
# A *poison pill* is a message that no program can read: a loader that fails at it fails there for ever. It must go
# aside, as it is. Reading goes as in the lab before: `reader`, `drain`, which is given here, and `waiting`. `jsonb` is stricter than Python: it refuses `NaN` and `\u0000`. An error ends the whole transaction,
# unless a *savepoint* surrounds the statement: in psycopg, a block `with db.transaction():` inside another one. A
# block where nothing was executed before commits at its end.


# %%
class Reader(KafkaConsumer):
    """A consumer which gives up after 30 polls."""

    polls = 0

    def poll(self, *args, **options):
        Calls.before()
        self.polls += 1
        if self.polls > 30:
            raise TimeoutError("30 polls, and no end")
        return super().poll(*args, **options)

    def commit(self, *args, **options):
        Calls.before()
        return super().commit(*args, **options)


def reader(topic, **options):
    """A consumer of a topic's partitions, from where the group "board" has committed."""
    settings = {"group_id": "board", "auto_offset_reset": "earliest"}
    settings |= {"enable_auto_commit": False, "isolation_level": "read_committed"}
    settings |= {"max_poll_records": 10, "auto_commit_interval_ms": 1}
    settings |= {"api_version": (4, 0), "fetch_max_wait_ms": 50, "retry_backoff_ms": 5}
    consumer = Reader(bootstrap_servers=kafka.bootstrap_servers, **settings | options)
    consumer.assign([TopicPartition(topic, number) for number in range(3)])
    return consumer


NUMBERS = itertools.count(1)
transactions = kafka.producer(transactional_id="airline")
transactions.init_transactions()


def new_topic():
    """A new topic with three partitions."""
    topic = f"departures-{next(NUMBERS)}"
    admin.create_topics([NewTopic(topic, 3, 1)])
    return topic


def send(topic, values, partition=None, aborted=False):
    """Send messages, the values as JSON with their id as key, or bytes as they are."""
    if aborted:
        transactions.begin_transaction()
    sender = transactions if aborted else producer
    for value in values:
        key = value["id"].encode() if isinstance(value, dict) else b"?"
        data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        sender.send(topic, data, key=key, partition=partition)
    sender.flush()
    if aborted:
        transactions.abort_transaction()
        # Kafka writes the mark "aborted" a moment later.
        every = reader(topic, isolation_level="read_uncommitted")
        with every, reader(topic) as ended:
            places = every.assignment()
            while every.end_offsets(places) != ended.end_offsets(places):
                pass


def drain(consumer):
    """All messages up to the ends at the time of the call."""
    ends = consumer.end_offsets(consumer.assignment())
    found = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for place, batch in consumer.poll(200).items():
            found += [message for message in batch if message.offset < ends[place]]
    for place, end in ends.items():
        consumer.seek(place, end)
    return found


def waiting(topic):
    """How many offsets lie between what the group has committed and the end."""
    with reader(topic) as consumer:
        ends = consumer.end_offsets(consumer.assignment())
        return sum(end - consumer.position(place) for place, end in ends.items())


topic = new_topic()
send(topic, SEVENTH[:3])
print(waiting(topic), "messages wait")

# %%
fresh()
with connect() as db, db.transaction():
    for text in ('{"delay": 3}', '{"delay": NaN}', '{"note": "\\u0000"}'):
        try:
            with db.transaction():
                db.execute(
                    "INSERT INTO raw (part, place, body) VALUES (0, 0, %s)", [text]
                )
            print(text, "is in")
        except psycopg.DataError as error:
            print(
                f"{text}: {error.diag.message_primary}, for Python {json.loads(text)}"
            )

# %% [markdown] role="task" exercise="load" points=4 topics=["4.1-2", "4.1-3"]
# ### Load, whatever comes
#
# Write `load(topic)`. It reads what waits in the topic. Afterwards
#
# - `raw` has a row for each message that `jsonb` takes: `part`, `place`, `arrived` (`now()`), `body`;
# - `bad` has a row for each other one: `part`, `place` and `value`, its bytes (null if it has none);
# - `daily` holds what the view `departures` gives for each day that the new messages change. A message with a
#   known `id` may move a flight to another day: then both change. Leave the rows of other days alone;
# - no message waits. After an outage before any call, the next `load` brings all in order.
#
# JSON objects among the messages are whole departures. Use `reader`, `drain`, `connect` and, if you like,
# `AGAIN`.
#
# Why: this is a whole ingestion, small enough to read.


# %%
def loaded(deliveries, cuts):
    """What is left after deliveries (values, days that change), each with an outage.

    A cut of 3 is an outage before the third call of your load, -1 one before its last, 0 none.
    """
    fresh()
    topic, length, needless = new_topic(), 0, []
    version = "SELECT day, min(xmin::text) FROM daily GROUP BY 1"
    with pg.client() as db:
        db.execute(VIEW)
        db.execute("INSERT INTO daily VALUES ('2013-01-01', 'EWR', 7, 7)")
        for (values, days), cut in zip(deliveries, cuts, strict=True):
            send(topic, values)
            before = dict(db.execute(version).fetchall())
            calls = itertools.count(1)
            number = cut if cut >= 0 else max(length + 1 + cut, 1)

            def fail(calls=calls, number=number):
                if next(calls) == number:
                    raise Outage

            Calls.before = staticmethod(fail)
            try:
                load(topic)
                length = next(calls) - 1
            except Outage:
                pass
            finally:
                Calls.before = staticmethod(lambda: None)
            load(topic)
            now = dict(db.execute(version).fetchall())
            needless += [
                day
                for day, seen in before.items()
                if day not in days and now.get(day) != seen
            ]
        names = ("day", "origin", "departures", "minutes")
        daily = db.execute("TABLE daily").fetchall()
        bad = db.execute("SELECT value FROM bad ORDER BY value").fetchall()
        landed = "SELECT count(*) FROM raw WHERE arrived <= now()"
        return {
            "daily": [dict(zip(names, row, strict=True)) for row in daily],
            "raw": db.execute(landed).fetchone()[0],
            "bad": [value for (value,) in bad],
            "waiting": waiting(topic),
            "needless": needless,
        }


# %% role="answer" exercise="load" dialect="postgres"
def load(topic: str) -> None:
    """Land what waits in the topic, and compute anew the days that it changes."""
    ### BEGIN SOLUTION
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    """
                    INSERT INTO daily SELECT day, origin, count(*), sum(delay)
                    FROM departures WHERE day = %s GROUP BY day, origin
                    """,
                    day,
                )
        consumer.commit()
    ### END SOLUTION


# %% role="check" exercise="load"
with lab.check("load") as answer:
    answer.value("load")

    def left(id, origin, day, delay):
        departed = f"2013-03-{day:02}T17:00:00Z"
        return {"id": id, "origin": origin, "departed": departed, "delay": delay}

    sixth, seventh, eighth = (date(2013, 3, number) for number in (6, 7, 8))
    deliveries = [
        (
            [
                left("UA1", "EWR", 7, 10),
                left("DL1", "LGA", 7, 1),
                left("B61", "JFK", 8, 5),
                b"{",
            ],
            [seventh, eighth],
        ),
        (
            [
                left("UA1", "EWR", 7, 20),
                left("UA2", "EWR", 8, 4),
                left("AA1", "LGA", 8, 0),
                None,
            ],
            [seventh, eighth],
        ),
        (
            [left("DL1", "LGA", 8, 900), left("UA3", "EWR", 8, 2), b"[8]"],
            [seventh, eighth],
        ),
        (
            [
                left("UA4", "EWR", 6, 7),
                left("B62", "JFK", 8, 3),
                b'"late"',
                b"\xff",
                b'{"delay": NaN}',
            ],
            [sixth, eighth],
        ),
        ([b"late"], []),
    ]
    found = answer.call("loaded", deliveries, (0, -1, -3, -2, 0))
    names = ("day", "origin", "departures", "minutes")
    rows = [
        (date(2013, 1, 1), "EWR", 7, 7),
        (sixth, "EWR", 1, 7),
        (seventh, "EWR", 1, 20),
        (eighth, "EWR", 2, 6),
        (eighth, "JFK", 2, 8),
        (eighth, "LGA", 2, 900),
    ]
    answer.same_rows(
        found["daily"],
        [dict(zip(names, row, strict=True)) for row in rows],
        asked="daily like departures after five deliveries with late, repeated and moved flights, and an "
        "outage before the last calls",
        key=["day", "origin"],
    )
    answer.equal(
        [found["raw"], found["bad"]],
        [12, [b"late", b"{", b'{"delay": NaN}', b"\xff", None]],
        asked="12 rows in raw, and in bad the bytes of the five messages that jsonb does not take",
        found=f"{found['raw']} rows in raw, and in bad {found['bad']}",
    )
    answer.equal(
        found["waiting"],
        0,
        asked="no message that waits after the last call",
        found=f"{found['waiting']} messages that the group has not committed",
    )
    answer.equal(
        found["needless"],
        [],
        asked="the rows of days that a delivery does not change left alone",
        found=f"rows written again on {[str(day) for day in found['needless']]}",
    )

# %% role="hidden" exercise="load"
with lab.check("load", hidden=True) as answer:
    answer.value("load")
    poison = [
        b"",
        b'{"id": "x\\u0000"}',
        b'"\x00"',
        b"\xed\xa0\x80",
        b"1e",
        b"[Infinity]",
    ]
    taken = [b"7", b'"\xc3\x91"', b"null", b"{}"]
    answer.random.shuffle(poison)
    answer.random.shuffle(taken)
    deliveries, state = [], {}
    for number in range(4):
        values, days = [poison[number], taken[number]], set()
        for id in answer.random.sample("ABCDÑFG", 4):
            day = date(2013, 7, answer.random.randrange(1, 5))
            row = {"id": id, "origin": answer.random.choice(["EWR", "LGA"])}
            row |= {
                "departed": f"{day}T23:00:00-04:00",
                "delay": answer.random.randrange(99),
            }
            days |= {day, state.get(id, (day,))[0]}
            state[id] = (day, row["origin"], row["delay"])
            values.append(row)
        answer.random.shuffle(values)
        deliveries.append((values, sorted(days)))
    totals = {(date(2013, 1, 1), "EWR"): (7, 7)}
    for day, origin, delay in state.values():
        n, minutes = totals.get((day, origin), (0, 0))
        totals[day, origin] = (n + 1, minutes + delay)
    found = answer.call(
        "loaded", deliveries, (0, -1, answer.random.randrange(3, 12), -4)
    )
    names = ("day", "origin", "departures", "minutes")
    answer.same_rows(
        found["daily"],
        [
            dict(zip(names, (*key, *total), strict=True))
            for key, total in totals.items()
        ],
        asked="daily like departures after four deliveries of flights that come again on other days",
        key=["day", "origin"],
    )
    answer.equal(
        [found["raw"], found["bad"]],
        [20, sorted(poison[:4])],
        asked="JSON of any kind in raw, and the bytes of all other messages in bad",
        found=f"{found['raw']} rows in raw, and in bad {found['bad']}",
    )

# %% [markdown] role="hint" exercise="load"
# Which steps belong in one transaction, so that an outage cannot leave a day old whose message is already in `raw`?

# %% [markdown] role="hint" exercise="load"
# The days that change: those of the message's `id` in `departures`, before and after it is landed. The database alone
# knows what `jsonb` takes: try it, in `with db.transaction():`, and catch `psycopg.DataError`. What else can go
# wrong with bytes?

# %% [markdown] role="hint" exercise="load"
# ```python
# with reader(topic) as consumer:
#     with connect() as db, db.transaction():
#         days = set()
#         for message in drain(consumer):
#             try:
#                 with db.transaction():
#                     text = message.value.decode()
#                     ...  # the flight's day; land; the flight's day
#             except (...):
#                 ...  # into bad
#         for day in days:
#             ...  # replace
#     ...
# ```


# %% role="right" exercise="load"
def load(topic):
    with reader(topic) as consumer:
        messages = drain(consumer)
        db = connect()
        try:
            db.execute("CREATE TEMP TABLE old AS TABLE departures")
            for m in messages:
                valid = False
                if m.value is not None and b"\x00" not in m.value:
                    text = m.value.decode("utf-8", "replace")
                    valid = (
                        text.encode() == m.value
                        and (
                            db.execute(
                                "SELECT pg_input_is_valid(%s, 'jsonb')", [text]
                            ).fetchone()[0]
                        )
                    )
                if valid:
                    db.execute(
                        "INSERT INTO raw (body, arrived, place, part) SELECT %s, now(), %s, %s"
                        " WHERE NOT EXISTS (SELECT FROM raw WHERE place = %s AND part = %s)",
                        [text, m.offset, m.partition, m.offset, m.partition],
                    )
                else:
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT (part, place)"
                        " DO UPDATE SET value = excluded.value",
                        [m.partition, m.offset, m.value],
                    )
            changed = db.execute(
                "SELECT DISTINCT day FROM ("
                " (TABLE departures EXCEPT TABLE old) UNION (TABLE old EXCEPT TABLE departures)) AS d"
            ).fetchall()
            db.execute(
                "DELETE FROM daily WHERE day = ANY(%s)", [[day for (day,) in changed]]
            )
            db.execute(
                f"INSERT INTO daily {AGAIN} WHERE day = ANY(%s) GROUP BY day, origin",
                [[day for (day,) in changed]],
            )
            db.commit()
            consumer.commit()
        finally:
            db.close()


# %% role="wrong" exercise="load" misconception="A flight belongs to the day of its newest message" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="A block with db.transaction is always a savepoint" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db:
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="To be safe, compute all days anew" caught="check" says="rows written again"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in db.execute("SELECT DISTINCT day FROM departures").fetchall():
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="What cannot be read is not needed" caught="check" says="in bad []"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    pass
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Inside the block, the rows are already safe" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer, connect() as db, db.transaction():
        days = set()
        for message in drain(consumer):
            at = [message.partition, message.offset]
            try:
                with db.transaction():
                    text = message.value.decode()
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
            except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                db.execute(
                    "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    [*at, message.value],
                )
        for day in days:
            db.execute("DELETE FROM daily WHERE day = %s", day)
            db.execute(f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day)
        consumer.commit()


# %% role="wrong" exercise="load" misconception="What Python reads is JSON" caught="check" says="invalid input syntax"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    text = message.value.decode()
                    json.loads(text)
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, ValueError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="An error that is caught is over" caught="check" says="transaction is aborted"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    if True:
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Each step is a transaction of its own" caught="check" says="daily like departures"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db:
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        before = {*db.execute(day_of, [text])}
                        new = db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING"
                            " RETURNING place",
                            [*at, text],
                        ).fetchone()
                        if new:
                            days |= before | {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            db.commit()
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Offsets need not be committed where repeats do no harm" caught="check" says="has not committed"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer, connect() as db, db.transaction():
        days = set()
        for message in drain(consumer):
            at = [message.partition, message.offset]
            try:
                with db.transaction():
                    text = message.value.decode()
                    days |= {*db.execute(day_of, [text])}
                    db.execute(
                        "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                        [*at, text],
                    )
                    days |= {*db.execute(day_of, [text])}
            except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                db.execute(
                    "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    [*at, message.value],
                )
        for day in days:
            db.execute("DELETE FROM daily WHERE day = %s", day)
            db.execute(f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day)


# %% role="wrong" exercise="load" misconception="Where nothing was landed, there is nothing to commit" caught="check" says="has not committed"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    """
                    INSERT INTO daily SELECT day, origin, count(*), sum(delay)
                    FROM departures WHERE day = %s GROUP BY day, origin
                    """,
                    day,
                )
        if days:
            consumer.commit()


# %% role="wrong" exercise="load" misconception="A message has a text" caught="check" says="NoneType"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="A message of bytes is UTF-8" caught="check" says="UnicodeDecodeError"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% role="wrong" exercise="load" misconception="Only objects are JSON" caught="check" says="rows in raw"
def load(topic):
    day_of = "SELECT day FROM departures WHERE id = %s::jsonb->>'id'"
    with reader(topic) as consumer:
        with connect() as db, db.transaction():
            days = set()
            for message in drain(consumer):
                at = [message.partition, message.offset]
                try:
                    with db.transaction():
                        text = message.value.decode()
                        if not text.startswith("{"):
                            raise psycopg.DataError
                        days |= {*db.execute(day_of, [text])}
                        db.execute(
                            "INSERT INTO raw VALUES (%s, %s, now(), %s) ON CONFLICT DO NOTHING",
                            [*at, text],
                        )
                        days |= {*db.execute(day_of, [text])}
                except (AttributeError, UnicodeDecodeError, psycopg.DataError):
                    db.execute(
                        "INSERT INTO bad VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        [*at, message.value],
                    )
            for day in days:
                db.execute("DELETE FROM daily WHERE day = %s", day)
                db.execute(
                    f"INSERT INTO daily {AGAIN} WHERE day = %s GROUP BY 1, 2", day
                )
        consumer.commit()


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | transform raw data | ask before a cast; null is not false |
# | watch a schema | a contract, and since when |
# | backfill | replace a day in one transaction |
# | load whatever comes | one transaction, poison aside |
#
# | | Right where | Price |
# |---|---|---|
# | ETL | raw data must not be kept | what is gone cannot be repaired |
# | ELT | questions and producers change | space, rules for raw data |
#
# **New words.** *Schema drift*: messages change without a word. *Backfill*: computing the past anew. *Poison pill*: a
# message that no program can read.
#
# **Read on.** PostgreSQL 18 documentation, chapter "JSON Types" (2025).

# %%
lab.close()
