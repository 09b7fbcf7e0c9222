# %% [markdown] minutes=55 datasets=["flights-day-parquet"] systems=["postgresql"]
# # Change data capture
#
# A nightly sync loses rows, and nobody notices. You find out which, and read the changes where the database has
# written them down.

# %% [markdown]
# ## You will be able to
#
# - say which changes a sync by timestamp loses, and why (exercise 1)
# - record changes with a trigger (exercise 2)
# - turn Debezium's change events into a table (exercise 3)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: `UPDATE`, transactions | the changes happen there |
# | Python functions | every answer is one |
#
# PostgreSQL is the real one. `connect()` opens a connection of psycopg to the airline's database; `with connect() as db:` commits
# at its end. Checks
# empty it.

# %% role="setup"
import json
import re
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import psycopg

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-1-ingestion/09-change-data-capture")
pg = service("postgresql")
lab

# %%
FLIGHTS = [
    (f"{row['carrier']}{row['flight']}-{row['origin']}", row["dest"], row["dep_delay"])
    for row in dataset("flights-day-parquet").arrow().to_pylist()
]
TABLE = (
    "CREATE TABLE flights (id text PRIMARY KEY, dest text, delay int,"
    " updated_at timestamptz DEFAULT now())"
)


def connect(**options):
    """A new connection, which gives up after three seconds of waiting."""
    options |= {"application_name": "answer"}
    patience = "-c lock_timeout=2s -c statement_timeout=3s"
    return psycopg.connect(pg.dsn(), options=patience, **options)


def fresh(flights=()):
    """Begin anew: the table flights with these rows, and no slot."""
    with pg.client() as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'answer'"
        )
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        )
        db.execute(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {TABLE}")
    with pg.client() as db, db.transaction(), db.cursor() as cursor:
        cursor.executemany("INSERT INTO flights VALUES (%s, %s, %s)", flights)


fresh(FLIGHTS)
print(f"{pg.title} {pg.version} ({pg.label}), {len(FLIGHTS)} flights, for example:")
print(FLIGHTS[0])

# %% [markdown] topics=["4.1-4"]
# ## Break it: the sync that lost rows
#
# The airline's delay board is a copy of the table `flights`. Each night a job asks for all rows
# whose `updated_at` is later than the latest one that it has seen, its *mark*. It never failed. Yet
# the board shows flights that do not exist, and old delays.
#
# Below, one transaction is slow: it changes UA322 before the poll and commits after it.
#
# **Predict:** three flights change. Which of the changes reach the copy?


# %%
def poll(copy, mark):
    """Bring rows that are later than mark into a copy; returns the new mark."""
    late = "SELECT id, delay, updated_at FROM flights WHERE updated_at > %s"
    with connect() as db:
        rows = db.execute(late, [mark]).fetchall()
    copy.update({id: delay for id, delay, _ in rows})
    return max([mark, *(updated for _, _, updated in rows)])


copy = {}
change = "UPDATE flights SET delay = %s, updated_at = now() WHERE id = %s"
mark = poll(copy, datetime(2000, 1, 1, tzinfo=UTC))
with connect() as slow, connect() as quick:
    slow.execute(change, [90, "UA322-EWR"])
    quick.execute(change, [20, "AA303-LGA"])
    quick.execute("DELETE FROM flights WHERE id = 'AA2243-JFK'")
    quick.commit()
    mark = poll(copy, mark)
mark = poll(copy, mark)
print({id: copy[id] for id in ("UA322-EWR", "AA303-LGA", "AA2243-JFK")})

# %% [markdown]
# Only AA303 is right. No query finds a deleted row. And `now()` is the time at which a transaction
# *began*: UA322 became visible when the mark was already past it.
#
# The usual repair is an *overlap*: ask from some time before the mark, and get rows twice.

# %% [markdown] role="task" exercise="lost" points=2 topics=["4.1-4"]
# ### What a sync by timestamp loses
#
# Write `lost(changes, polls, overlap)`. `changes` is a list of dictionaries, in the order of their
# commits:
#
# | Key | Meaning |
# |---|---|
# | `n` | the number of the change |
# | `id` | the row |
# | `op` | `"insert"`, `"update"` or `"delete"` |
# | `updated_at`, `committed_at` | minutes |
#
# `polls` are minutes, too; the last one comes after all commits. At each poll, the newest change of
# each row that is committed by then (that minute included) is visible, unless it is a delete. The poll
# reads what is visible and has an `updated_at` later than mark − `overlap`. The mark is the latest `updated_at` read so
# far, 0 at first.
#
# Return a dictionary: the `n` of each change that no poll reads, and the reason.
#
# | Reason | When |
# |---|---|
# | `"deleted"` | it is a delete |
# | `"overwritten"` | else, if it was at no poll the newest change of its row |
# | `"late"` | else |
#
# Why: whoever proposes a sync by timestamp should know this number.


# %% role="answer" exercise="lost"
def lost(changes: list[dict], polls: list[int], overlap: int) -> dict[int, str]:
    """Numbers of the changes that no poll reads, each with its reason."""
    ### BEGIN SOLUTION
    newest, read, mark = set(), set(), 0
    for poll in polls:
        rows = {c["id"]: c for c in changes if c["committed_at"] <= poll}.values()
        newest |= {c["n"] for c in rows}
        found = [
            c for c in rows if c["op"] != "delete" and c["updated_at"] > mark - overlap
        ]
        read |= {c["n"] for c in found}
        mark = max([mark, *(c["updated_at"] for c in found)])
    reasons = {}
    for c in changes:
        if c["n"] not in read:
            reason = "late" if c["n"] in newest else "overwritten"
            reasons[c["n"]] = "deleted" if c["op"] == "delete" else reason
    return reasons
    ### END SOLUTION


# %% role="check" exercise="lost"
with lab.check("lost") as answer:
    names = ["n", "id", "op", "updated_at", "committed_at"]
    rows = [
        (1, "UA1", "insert", 5, 5),
        (2, "AA2", "insert", 6, 6),
        (3, "UA1", "update", 12, 12),
        (4, "UA1", "update", 15, 15),
        (5, "AA2", "update", 14, 21),
        (6, "UA1", "delete", 25, 25),
    ]
    changes = [dict(zip(names, row, strict=True)) for row in rows]
    late = {5: "late"}
    rest = {3: "overwritten", 6: "deleted"}
    for overlap, expected in {
        0: rest | late,
        1: rest | late,
        2: rest,
        60: rest,
    }.items():
        answer.equal(
            answer.call("lost", changes, [10, 20, 30], overlap),
            expected,
            asked=f"what polls at 10, 20 and 30 lose of {rows}, with an overlap of {overlap}",
        )

# %% role="hidden" exercise="lost"
with lab.check("lost", hidden=True) as answer:
    for overlap in (0, 4, 30):
        draw = answer.random
        ends = [0, *sorted(draw.randint(0, 100) for _ in range(60))]
        changes = [
            {
                "n": 1000 - number,
                "id": draw.choice("ABCDEFGH"),
                "op": draw.choice(["insert", "update", "update", "delete"]),
                "updated_at": max(0, end - draw.choice([0, 0, 2, 25])),
                "committed_at": end,
            }
            for number, end in enumerate(ends)
        ]
        polls = [*range(10, 101, 10)]
        expected = {c["n"]: "overwritten" for c in changes}
        mark = 0
        for time in polls:
            sight = {}
            for c in changes:
                if c["committed_at"] <= time:
                    sight[c["id"]] = c
            start = mark - overlap
            for c in sight.values():
                if c["op"] != "delete" and c["updated_at"] > start:
                    expected[c["n"]] = ""
                    mark = max(mark, c["updated_at"])
                elif expected[c["n"]]:
                    expected[c["n"]] = "late"
        expected = {
            c["n"]: "deleted" if c["op"] == "delete" else expected[c["n"]]
            for c in changes
            if expected[c["n"]]
        }
        answer.equal(
            answer.call("lost", changes, polls, overlap),
            expected,
            asked=f"what polls each 10 minutes lose of 61 changes, with an overlap of {overlap}",
        )

# %% [markdown] role="hint" exercise="lost"
# Play one poll on paper. Which rows are visible, which of them does it read, and where does the mark
# go?

# %% [markdown] role="hint" exercise="lost"
# A dictionary comprehension over changes in the order of their commits keeps the last change of each
# id. Two sets, of the changes that were read and of those that were ever the newest, give the reasons.

# %% [markdown] role="hint" exercise="lost"
# ```python
# newest, read, mark = set(), set(), 0
# for poll in polls:
#     rows = {c["id"]: c for c in changes if ...}.values()
#     newest |= ...
#     found = [c for c in rows if ...]
#     read |= ...
#     mark = max([mark, ...])
# return {c["n"]: ... for c in changes if c["n"] not in read}
# ```


# %% role="right" exercise="lost"
def lost(changes, polls, overlap):
    reasons = {c["n"]: "overwritten" for c in changes}
    mark = 0
    for time in polls:
        ids = {c["id"] for c in changes if c["committed_at"] <= time}
        seen = []
        for id in ids:
            last = [c for c in changes if c["id"] == id and c["committed_at"] <= time][
                -1
            ]
            if last["op"] == "delete":
                continue
            if last["updated_at"] > mark - overlap:
                reasons.pop(last["n"], None)
                seen.append(last["updated_at"])
            elif last["n"] in reasons:
                reasons[last["n"]] = "late"
        mark = max([*seen, mark])
    gone = {c["n"]: "deleted" for c in changes if c["op"] == "delete"}
    return reasons | gone


# %% role="wrong" exercise="lost" misconception="The mark is the time of the last poll" caught="check" says="overlap of 2"
def lost(changes, polls, overlap):
    newest, read, mark = set(), set(), 0
    for poll in polls:
        rows = {c["id"]: c for c in changes if c["committed_at"] <= poll}.values()
        newest |= {c["n"] for c in rows}
        for c in rows:
            if c["op"] != "delete" and c["updated_at"] > mark - overlap:
                read.add(c["n"])
        mark = poll
    return {
        c["n"]: "deleted"
        if c["op"] == "delete"
        else "late"
        if c["n"] in newest
        else "overwritten"
        for c in changes
        if c["n"] not in read
    }


# %% role="wrong" exercise="lost" misconception="A change is visible from its timestamp on" caught="check" says="overlap of 0"
def lost(changes, polls, overlap):
    newest, read, mark = set(), set(), 0
    for poll in polls:
        rows = {c["id"]: c for c in changes if c["updated_at"] <= poll}.values()
        newest |= {c["n"] for c in rows}
        found = [
            c for c in rows if c["op"] != "delete" and c["updated_at"] > mark - overlap
        ]
        read |= {c["n"] for c in found}
        mark = max([mark, *(c["updated_at"] for c in found)])
    return {
        c["n"]: "deleted"
        if c["op"] == "delete"
        else "late"
        if c["n"] in newest
        else "overwritten"
        for c in changes
        if c["n"] not in read
    }


# %% role="wrong" exercise="lost" misconception="Only how long a transaction takes matters" caught="check" says="overlap of 0"
def lost(changes, polls, overlap):
    reasons = {}
    for c in changes:
        if c["op"] == "delete":
            reasons[c["n"]] = "deleted"
        elif c["committed_at"] - c["updated_at"] > overlap:
            reasons[c["n"]] = "late"
    return reasons


# %% role="wrong" exercise="lost" misconception="A poll sees every change that was committed since the last one" caught="check" says="overlap of 0"
def lost(changes, polls, overlap):
    read, mark = set(), 0
    for poll in polls:
        found = [
            c
            for c in changes
            if c["committed_at"] <= poll
            and c["op"] != "delete"
            and c["updated_at"] > mark - overlap
        ]
        read |= {c["n"] for c in found}
        mark = max([mark, *(c["updated_at"] for c in found)])
    return {
        c["n"]: "deleted" if c["op"] == "delete" else "late"
        for c in changes
        if c["n"] not in read
    }


# %% [markdown]
# Now the real flights of 3 November 2013, with our invented transactions: an estimate before each
# departure, then the actual delay, or a delete for a cancelled flight. Each tenth takes 20 minutes. Your
# function polls each hour.
#
# **Predict:** how large must the overlap be until nothing is late?


# %%
def day():
    """The changes of a day, in the order of their commits."""
    changes = []
    for number, row in enumerate(dataset("flights-day-parquet").arrow().to_pylist()):
        id = f"{row['carrier']}{row['flight']}-{row['origin']}"
        start = row["hour"] * 60 + row["minute"]
        end = start + (row["dep_delay"] or 0)
        changes += [(id, "insert", 1, 1), (id, "update", start - 45, start - 45)]
        last = "update" if row["dep_time"] is not None else "delete"
        changes.append((id, last, end, end + (20 if number % 10 == 0 else 0)))
    changes.sort(key=lambda change: change[3])
    names = ("n", "id", "op", "updated_at", "committed_at")
    return [
        dict(zip(names, (n, *row), strict=True)) for n, row in enumerate(changes, 1)
    ]


overlaps = (0, 10, 20, 60)
found = [[*(lost(day(), range(60, 3000, 60), o) or {}).values()] for o in overlaps]
figure, axes = plt.subplots(figsize=(7, 3))
base = [0] * len(overlaps)
colors = {"late": "#c44e00", "overwritten": "#9aa5b1", "deleted": "#35507a"}
for reason, color in colors.items():
    counts = [reasons.count(reason) for reasons in found]
    axes.barh([f"{o} minutes" for o in overlaps], counts, left=base, color=color)
    axes.plot([], [], color=color, linewidth=6, label=reason)
    base = [a + b for a, b in zip(base, counts, strict=True)]
    print(f"{reason:<12}", counts)
axes.set(xlabel=f"changes lost of {len(day())}", ylabel="overlap")
axes.legend(frameon=False)
alt = (
    "Bars of lost changes for overlaps of 0, 10, 20 and 60 minutes: late ones vanish as the "
    "overlap grows, overwritten and deleted ones stay the same."
)
picture(figure, alt=alt) if any(found) else print("not started")

# %% [markdown]
# The overlap must be longer than the longest transaction, and nobody knows that one beforehand. What
# is overwritten or deleted stays lost: "what is in the table now?" is the wrong question.

# %% [markdown] topics=["4.1-4"]
# ## Let the database write it down
#
# A *trigger* is a function that the database runs with each change. It can write into a *log table*, in
# the same transaction, and the sync reads that.
#
# In a trigger function of PL/pgSQL, `TG_OP` is `INSERT`, `UPDATE`, `DELETE` or `TRUNCATE`. `OLD` and
# `NEW` are the row before and after, null where there is none.

# %% [markdown] role="task" exercise="trigger" points=2 topics=["4.1-4"]
# ### A trigger that misses nothing
#
# Write `install(db)`, where `db` is an open connection. From then on, each change of `flights` leaves
# its trace in a new table `flight_log`:
#
# | Column | Content |
# |---|---|
# | `n` | a number that the database counts up |
# | `op` | `TG_OP` |
# | `before`, `after` | the row as `jsonb`, null where there is none |
#
# One entry for each row that a statement changes; one entry without rows for a `TRUNCATE`. The changes
# themselves happen as before.
#
# Why: where you may not change the server's settings, this way is left.


# %%
def logged(statements):
    """What your log table holds, and the flights, after these statements."""
    fresh([("UA1-EWR", "IAH", 0), ("AA2-JFK", "MIA", None)])
    with connect() as db:
        install(db)
    with connect() as db:
        for statement in statements:
            db.execute(statement)
        log = "SELECT op, before - 'updated_at', after - 'updated_at' FROM flight_log"
        return {
            "log": db.execute(f"{log} ORDER BY n").fetchall(),
            "flights": db.execute(
                "SELECT id, delay FROM flights ORDER BY id"
            ).fetchall(),
        }


# %% role="answer" exercise="trigger"
def install(db: psycopg.Connection) -> None:
    """Log each change of the table flights in the table flight_log."""
    ### BEGIN SOLUTION
    db.execute("""
        CREATE TABLE flight_log (
            n bigint GENERATED ALWAYS AS IDENTITY, op text, before jsonb, after jsonb
        );
        CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO flight_log (op, before, after)
            VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
            RETURN NULL;  -- after the change, nobody asks for a row
        END $$;
        CREATE TRIGGER log_rows AFTER INSERT OR UPDATE OR DELETE ON flights
            FOR EACH ROW EXECUTE FUNCTION log_flight();
        CREATE TRIGGER log_truncate AFTER TRUNCATE ON flights
            FOR EACH STATEMENT EXECUTE FUNCTION log_flight();
    """)
    ### END SOLUTION


# %% role="check" exercise="trigger"
with lab.check("trigger") as answer:
    answer.value("install")
    old = {"id": "UA1-EWR", "dest": "IAH", "delay": 0}
    other = {"id": "AA2-JFK", "dest": "MIA", "delay": None}
    scripts = [
        (
            [
                "UPDATE flights SET delay = 9",
                "DELETE FROM flights WHERE id = 'UA1-EWR'",
            ],
            [
                ("UPDATE", old, old | {"delay": 9}),
                ("UPDATE", other, other | {"delay": 9}),
                ("DELETE", old | {"delay": 9}, None),
            ],
            [("AA2-JFK", 9)],
        ),
        (
            ["TRUNCATE flights", "INSERT INTO flights VALUES ('AA2-JFK', 'MIA')"],
            [("TRUNCATE", None, None), ("INSERT", None, other)],
            [("AA2-JFK", None)],
        ),
    ]
    for statements, log, flights in scripts:
        got = answer.call("logged", statements)
        answer.equal(
            [tuple(entry) for entry in got["log"]],
            log,
            asked=f"op, before and after of each change, after {statements}",
        )
        answer.equal(
            [tuple(row) for row in got["flights"]],
            flights,
            asked=f"the table flights as without your trigger, after {statements}",
        )

# %% role="hidden" exercise="trigger"
with lab.check("trigger", hidden=True) as answer:
    answer.value("install")
    other = {"id": "AA2-JFK", "dest": "MIA", "delay": None}
    number = answer.random.randint(100, 999)
    new = {"id": f"Ñ{number}", "dest": "O'Hare", "delay": -number}
    got = answer.call(
        "logged",
        [
            f"INSERT INTO flights VALUES ('{new['id']}', 'O''Hare', {-number})",
            "UPDATE flights SET id = 'AA3-JFK' WHERE id = 'AA2-JFK'",
            "UPDATE flights SET dest = 'SJU' WHERE delay < 0",
            "DELETE FROM flights WHERE id = 'UA1-EWR'",
        ],
    )
    answer.equal(
        [tuple(entry) for entry in got["log"]],
        [
            ("INSERT", None, new),
            ("UPDATE", other, other | {"id": "AA3-JFK"}),
            ("UPDATE", new, new | {"dest": "SJU"}),
            ("DELETE", {"id": "UA1-EWR", "dest": "IAH", "delay": 0}, None),
        ],
        asked="an entry for each change, whichever column it touches",
    )

# %% [markdown] role="hint" exercise="trigger"
# How often does a trigger run for an `UPDATE` of 900 rows? Is a row deleted when a table is truncated?

# %% [markdown] role="hint" exercise="trigger"
# PostgreSQL's documentation of `CREATE TRIGGER`: `AFTER`, `FOR EACH ROW`, and what it says about
# `TRUNCATE`. `to_jsonb(OLD)` turns a row into JSON, and null into null.

# %% [markdown] role="hint" exercise="trigger"
# ```python
# db.execute("""
#     CREATE TABLE flight_log (n bigint GENERATED ALWAYS AS IDENTITY, ...);
#     CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
#     BEGIN
#         INSERT INTO flight_log (...) VALUES (...);
#         RETURN NULL;
#     END $$;
#     CREATE TRIGGER log_rows AFTER ... ON flights
#         FOR EACH ... EXECUTE FUNCTION log_flight();
#     CREATE TRIGGER log_truncate ...;
# """)
# ```


# %% role="right" exercise="trigger"
def install(db):
    db.execute(
        "CREATE TABLE flight_log (n serial PRIMARY KEY, op text, before jsonb, after jsonb)"
    )
    for op, tables, rows in (
        ("insert", "NEW TABLE AS b", "NULL, to_jsonb(b) FROM b"),
        ("delete", "OLD TABLE AS a", "to_jsonb(a), NULL FROM a"),
        ("truncate", "", "NULL::jsonb, NULL::jsonb"),
    ):
        db.execute(
            f"CREATE FUNCTION log_{op}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"INSERT INTO flight_log (op, before, after) SELECT TG_OP, {rows}; RETURN NULL; END $$"
        )
        referencing = f"REFERENCING {tables}" if tables else ""
        db.execute(
            f"CREATE TRIGGER log_{op} AFTER {op} ON flights {referencing} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION log_{op}()"
        )
    db.execute(
        "CREATE FUNCTION log_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO flight_log (op, before, after) VALUES "
        "('UPDATE', row_to_json(OLD)::jsonb, row_to_json(NEW)::jsonb); RETURN NEW; END $$"
    )
    db.execute(
        "CREATE TRIGGER log_update BEFORE UPDATE ON flights "
        "FOR EACH ROW EXECUTE FUNCTION log_update()"
    )


# %% role="wrong" exercise="trigger" misconception="A trigger runs for each row unless told otherwise" caught="check" says="op, before and after"
def install(db):
    db.execute("""
        CREATE TABLE flight_log (
            n bigint GENERATED ALWAYS AS IDENTITY, op text, before jsonb, after jsonb
        );
        CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO flight_log (op, before, after)
            VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
            RETURN NULL;
        END $$;
        CREATE TRIGGER log_all AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flights
            EXECUTE FUNCTION log_flight();
    """)


# %% role="wrong" exercise="trigger" misconception="A trigger function returns NEW" caught="check" says="as without your trigger"
def install(db):
    db.execute("""
        CREATE TABLE flight_log (
            n bigint GENERATED ALWAYS AS IDENTITY, op text, before jsonb, after jsonb
        );
        CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO flight_log (op, before, after)
            VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
            RETURN NEW;
        END $$;
        CREATE TRIGGER log_rows BEFORE INSERT OR UPDATE OR DELETE ON flights
            FOR EACH ROW EXECUTE FUNCTION log_flight();
        CREATE TRIGGER log_truncate AFTER TRUNCATE ON flights
            FOR EACH STATEMENT EXECUTE FUNCTION log_flight();
    """)


# %% role="wrong" exercise="trigger" misconception="Truncating is deleting every row" caught="check" says="TRUNCATE"
def install(db):
    db.execute("""
        CREATE TABLE flight_log (
            n bigint GENERATED ALWAYS AS IDENTITY, op text, before jsonb, after jsonb
        );
        CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO flight_log (op, before, after)
            VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
            RETURN NULL;
        END $$;
        CREATE TRIGGER log_rows AFTER INSERT OR UPDATE OR DELETE ON flights
            FOR EACH ROW EXECUTE FUNCTION log_flight();
    """)


# %% role="wrong" exercise="trigger" misconception="Only the delay ever changes" caught="hidden" says="whichever column"
def install(db):
    db.execute("""
        CREATE TABLE flight_log (
            n bigint GENERATED ALWAYS AS IDENTITY, op text, before jsonb, after jsonb
        );
        CREATE FUNCTION log_flight() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO flight_log (op, before, after)
            VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
            RETURN NULL;
        END $$;
        CREATE TRIGGER log_rows AFTER INSERT OR UPDATE OF delay OR DELETE ON flights
            FOR EACH ROW EXECUTE FUNCTION log_flight();
        CREATE TRIGGER log_truncate AFTER TRUNCATE ON flights
            FOR EACH STATEMENT EXECUTE FUNCTION log_flight();
    """)


# %% [markdown] topics=["4.1-4"]
# ## Read the log that is there already
#
# PostgreSQL writes each change into its *write-ahead log* (WAL) before it touches a table: that is how
# it survives a crash. A place in the log is a *log sequence number* (LSN), which only grows.
#
# With `wal_level = logical` the log can be decoded into rows. A *replication slot* is a bookmark: the
# server keeps all log from there on. A plug-in gives the changes a form: `test_decoding` is text;
# `pgoutput`, which Debezium uses, is binary. psycopg 3 cannot stream a slot (psycopg2 can), but SQL
# functions read one: `pg_logical_slot_peek_changes` looks, `pg_logical_slot_get_changes` also moves the
# bookmark.
#
# **Predict:** a key changes, a row is deleted, a transaction is rolled back. Which lines appear, and
# which old values do they hold?

# %%
fresh([("UA1-EWR", "IAH", 0), ("AA2-JFK", "MIA", 5)])
with connect() as db:
    print(db.execute("SHOW wal_level").fetchone())
    db.execute("SELECT pg_create_logical_replication_slot('board', 'test_decoding')")
with connect() as db:
    db.execute("UPDATE flights SET id = 'UA9-EWR', updated_at = NULL WHERE delay = 0")
    db.execute("DELETE FROM flights WHERE id = 'AA2-JFK'")
with connect() as db:
    db.execute("INSERT INTO flights VALUES ('DL3-LGA', 'ATL', 1)")
    db.rollback()
peek = "SELECT lsn, data FROM pg_logical_slot_peek_changes('board', NULL, NULL)"
with connect() as db:
    for _, data in db.execute(peek):
        print(re.sub(r"\d+$", "…", data) if data[0] in "BC" else data)

# %% [markdown]
# Both changes are there with the old key, in the order of commits, and nothing that was rolled back. The
# other old values are missing: by default the log holds the old *key* only.
#
# A small parser makes a dictionary of each change; `old_id` is set where the key changed.


# %%
FIELD = re.compile(r"(\w+)\[[^]]+\]:('(?:[^']|'')*'|\S+)")
CHANGE = re.compile(
    r"table public\.flights: (INSERT|UPDATE|DELETE): (?:old-key: (.*?) new-tuple: )?(.*)",
    re.DOTALL,
)


def values(text):
    """Column values of a line of test_decoding; None for null."""
    row = {name: value for name, value in FIELD.findall(text) if value != "null"}
    return {name: value.strip("'").replace("''", "'") for name, value in row.items()}


def decode(rows):
    """The changes of the table flights in rows (lsn, data) of a slot."""
    changes = []
    for lsn, data in rows:
        if found := CHANGE.fullmatch(data):
            op, old, new = found.groups()
            row = values(new)
            change = {"lsn": lsn, "op": {"I": "c", "U": "u", "D": "d"}[op[0]]}
            change |= {name: row.get(name) for name in ("id", "dest", "delay")}
            change["old_id"] = values(old)["id"] if old else None
            changes.append(change)
    return changes


with connect() as db:
    for change in decode(db.execute(peek)):
        print({name: value for name, value in change.items() if name != "lsn"})

# %% [markdown]
# Now all methods on the same changes: two delays for each of 902 flights, then a delete for each that was
# cancelled, between two polls. The trigger is yours.

# %%
fresh(FLIGHTS)
mark = poll({}, datetime(2000, 1, 1, tzinfo=UTC))
with connect() as db:
    db.execute("SELECT pg_create_logical_replication_slot('board', 'test_decoding')")
with connect() as db:
    install(db)
    db.execute("CREATE TABLE IF NOT EXISTS flight_log ()")  # before exercise 2 is done
for more in (10, 20):
    with connect() as db:
        db.execute("UPDATE flights SET delay = delay + %s, updated_at = now()", [more])
with connect() as db:
    cancelled = db.execute("DELETE FROM flights WHERE delay IS NULL").rowcount
poll(polled := {}, mark)
with connect() as db:
    logged_rows = db.execute("SELECT FROM flight_log").rowcount
    streamed = decode(db.execute(peek))
counts = {"timestamp": len(polled), "log table": logged_rows, "WAL": len(streamed)}
for method, count in counts.items():
    seen = f"{count:>5} of {2 * len(FLIGHTS) + cancelled} changes"
    print(f"{method:<10}", seen if count else "not started")

# %% [markdown]
# The trigger is as complete as the log, but the writers pay for it. Measure it: bytes of WAL for one
# update of all flights.

# %% tags=["nbval-ignore-output"]
for method in ("without a trigger", "with your trigger"):
    fresh(FLIGHTS)
    with connect() as db:
        if "your" in method:
            install(db)
    with connect() as db:
        (start,) = db.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        db.execute("UPDATE flights SET delay = 0")
        ask = "SELECT pg_current_wal_insert_lsn() - %s::pg_lsn"
        print(f"{method}: {db.execute(ask, [start]).fetchone()[0] // 1024} kB of WAL")

# %% [markdown]
# MySQL's *binlog* does the same, but its old files are deleted after a fixed time, so a slow reader
# loses its place; PostgreSQL keeps them until they are read, so a slow reader fills the disk.

# %% [markdown] topics=["4.1-4"]
# ## Debezium's envelope
#
# *Debezium* reads a slot (or a binlog) and writes each change to Kafka as a message with a key and a
# value, an envelope:
#
# | Field | Content |
# |---|---|
# | `op` | `c` create, `u` update, `d` delete, `r` read by the snapshot |
# | `before`, `after` | the row; `before` may be null, or hold just the key |
# | `source` | where from: table, LSN, and `ts_ms`, when the database changed |
# | `ts_ms` | when Debezium handled it |
#
# After each delete comes a *tombstone*: the same key, and no value. It tells Kafka to forget the key.
# A change of the key comes as a delete of the old one and a create of the new one.
#
# By default, Kafka's JSON converter wraps key and value once more: `{"schema": …, "payload": …}`. And a
# large value that an update did not touch is not in the WAL: Debezium then writes
# `__debezium_unavailable_value`.

# %%
event = {
    "before": None,
    "after": {"id": "UA1-EWR", "delay": 9, "note": "__debezium_unavailable_value"},
    "source": {"connector": "postgresql", "table": "flights", "ts_ms": 1383472800123},
    "op": "u",
    "ts_ms": 1383472801456,
}
print(json.dumps({"id": "UA1-EWR"}), json.dumps(event), sep="\n")

# %% [markdown] role="task" exercise="events" points=2 topics=["4.1-4"]
# ### From change events to a table
#
# Write `rows_of(messages)`. `messages` is a list of pairs of JSON texts (key, value), in order; a
# tombstone's value is `None`. Any key or value may be wrapped in a `payload`. The key is an object with the field
# `id`.
#
# Return a list with a dictionary for each row that is left: the columns of `after`, and `changed_at`,
# when the database last changed the row, as a `datetime` in UTC. A value that is not available stays as
# it was, `None` in a row that is new to you.
#
# Why: each of these cases has broken a sink.


# %% role="answer" exercise="events"
def rows_of(messages: list[tuple[str, str | None]]) -> list[dict]:
    """The rows that are left by change events in Debezium's format."""
    ### BEGIN SOLUTION
    table = {}
    for key, value in messages:
        if value is None:
            continue
        key, event = json.loads(key), json.loads(value)
        id, event = key.get("payload", key)["id"], event.get("payload", event)
        old = table.pop(id, {})
        if event["op"] != "d":
            table[id] = {
                name: old.get(name) if new == "__debezium_unavailable_value" else new
                for name, new in event["after"].items()
            }
            changed = event["source"]["ts_ms"] / 1000
            table[id]["changed_at"] = datetime.fromtimestamp(changed, UTC)
    return [*table.values()]
    ### END SOLUTION


# %% role="check" exercise="events"
with lab.check("events") as answer:

    def message(op, id, note=None, at=0, wrap=False):
        row = {"id": id, "delay": at, "note": note}
        value = {"op": op, "before": {"id": id} if op == "d" else None}
        value["after"] = None if op == "d" else row
        value |= {"source": {"ts_ms": 1383472800000 + at}, "ts_ms": 1383479000000}
        pair = [{"id": id}, value]
        return [json.dumps({"schema": {}, "payload": p} if wrap else p) for p in pair]

    messages = [
        message("r", "UA1-EWR", "long text"),
        message("r", "AA2-JFK", wrap=True),
        message("u", "UA1-EWR", "__debezium_unavailable_value", at=1500),
        message("c", "DL3-LGA", at=2000),
        message("d", "AA2-JFK", at=3000),
        [json.dumps({"id": "AA2-JFK"}), None],
        message("c", "AA9-JFK", at=3000, wrap=True),
    ]
    start = datetime(2013, 11, 3, 10, tzinfo=UTC)
    rows = [("UA1-EWR", "long text", 1.5), ("DL3-LGA", None, 2), ("AA9-JFK", None, 3)]
    answer.same_rows(
        answer.call("rows_of", messages),
        [
            {
                "id": id,
                "delay": int(1000 * after),
                "note": note,
                "changed_at": datetime.fromtimestamp(start.timestamp() + after, UTC),
            }
            for id, note, after in rows
        ],
        asked="the rows after two reads, an update, a create, a delete with its tombstone, and a create",
        key=["id"],
    )

# %% role="hidden" exercise="events"
with lab.check("events", hidden=True) as answer:
    expected, messages = {}, []
    for at in range(0, 90_000, 900):
        id, wrap = answer.random.choice("ABCDÑ"), answer.random.random() < 0.5
        op = answer.random.choice("uuudr" if id in expected else "cu")
        pair = [{"id": id}, {"op": op, "before": None, "after": None, "ts_ms": 0}]
        pair[1]["source"] = {"ts_ms": 1383472800000 + at}
        if op == "d":
            del expected[id]
        else:
            kept = op == "u" and answer.random.random() < 0.5
            old = expected.get(id, {"note": None})["note"]
            note = old if kept else answer.random.choice([None, "x", f"{at}"])
            expected[id] = {"id": id, "note": note}
            pair[1]["after"] = {
                "id": id,
                "note": "__debezium_unavailable_value" if kept else note,
            }
            expected[id]["changed_at"] = datetime.fromtimestamp(
                1383472800 + at / 1000, UTC
            )
        texts = [json.dumps({"payload": p} if wrap else p) for p in pair]
        messages += [texts, [texts[0], None]] if op == "d" else [texts]
    answer.same_rows(
        answer.call("rows_of", messages),
        [*expected.values()],
        asked="the rows after a hundred mixed events",
        key=["id"],
    )

# %% [markdown] role="hint" exercise="events"
# Which of the two parts of a message is always there, and tells you which row is meant?

# %% [markdown] role="hint" exercise="events"
# A dictionary from `id` to row is all the state you need. `dict.get(name, default)` unwraps;
# `datetime.fromtimestamp(seconds, UTC)` makes the time; `ts_ms` counts milliseconds.

# %% [markdown] role="hint" exercise="events"
# ```python
# table = {}
# for key, value in messages:
#     if ...:  # a tombstone
#         continue
#     key, event = json.loads(key), json.loads(value)
#     id, event = ..., ...
#     old = table.pop(id, {})
#     if event["op"] != ...:
#         table[id] = {name: ... for name, new in event["after"].items()}
#         table[id]["changed_at"] = ...
# return [*table.values()]
# ```


# %% role="right" exercise="events"
def rows_of(messages):
    def bare(text):
        value = json.loads(text)
        while "payload" in value:
            value = value["payload"]
        return value

    table = {}
    for key, value in messages:
        id = bare(key)["id"]
        event = None if value is None else bare(value)
        if event is None or event["op"] == "d":
            table.pop(id, None)
            continue
        row = table.setdefault(id, {})
        for name, new in event["after"].items():
            if new != "__debezium_unavailable_value":
                row[name] = new
        row["changed_at"] = datetime.fromtimestamp(event["source"]["ts_ms"] / 1000, UTC)
    return list(table.values())


# %% role="wrong" exercise="events" misconception="The time of a change is the time of its message" caught="check" says="changed_at"
def rows_of(messages):
    table = {}
    for key, value in messages:
        if value is None:
            continue
        key, event = json.loads(key), json.loads(value)
        id, event = key.get("payload", key)["id"], event.get("payload", event)
        old = table.pop(id, {})
        if event["op"] != "d":
            table[id] = {
                name: old.get(name) if new == "__debezium_unavailable_value" else new
                for name, new in event["after"].items()
            }
            table[id]["changed_at"] = datetime.fromtimestamp(event["ts_ms"] / 1000, UTC)
    return [*table.values()]


# %% role="wrong" exercise="events" misconception="Rows come with c and change with u" caught="check" says="missing"
def rows_of(messages):
    table = {}
    for key, value in messages:
        if value is None:
            continue
        key, event = json.loads(key), json.loads(value)
        id, event = key.get("payload", key)["id"], event.get("payload", event)
        if event["op"] == "d":
            table.pop(id, None)
        elif event["op"] == "c" or id in table:
            changed = datetime.fromtimestamp(event["source"]["ts_ms"] / 1000, UTC)
            table[id] = event["after"] | {"changed_at": changed}
    return [*table.values()]


# %% role="wrong" exercise="events" misconception="Every message has a value" caught="check" says="NoneType"
def rows_of(messages):
    table = {}
    for key, value in messages:
        key, event = json.loads(key), json.loads(value)
        id, event = key.get("payload", key)["id"], event.get("payload", event)
        if event["op"] == "d":
            table.pop(id, None)
        else:
            changed = datetime.fromtimestamp(event["source"]["ts_ms"] / 1000, UTC)
            table[id] = event["after"] | {"changed_at": changed}
    return [*table.values()]


# %% role="wrong" exercise="events" misconception="What stands in after is the whole row" caught="check" says="__debezium_unavailable_value"
def rows_of(messages):
    table = {}
    for key, value in messages:
        if value is None:
            continue
        key, event = json.loads(key), json.loads(value)
        id, event = key.get("payload", key)["id"], event.get("payload", event)
        table.pop(id, None)
        if event["op"] != "d":
            changed = datetime.fromtimestamp(event["source"]["ts_ms"] / 1000, UTC)
            table[id] = event["after"] | {"changed_at": changed}
    return [*table.values()]


# %% role="wrong" exercise="events" misconception="The envelope is the message" caught="check" says="KeyError"
def rows_of(messages):
    table = {}
    for key, value in messages:
        if value is None:
            continue
        id, event = json.loads(key)["id"], json.loads(value)
        old = table.pop(id, {})
        if event["op"] != "d":
            table[id] = {
                name: old.get(name) if new == "__debezium_unavailable_value" else new
                for name, new in event["after"].items()
            }
            changed = event["source"]["ts_ms"] / 1000
            table[id]["changed_at"] = datetime.fromtimestamp(changed, UTC)
    return [*table.values()]


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | judge a sync by timestamp | an overlap mends only what is late |
# | log by trigger | `TRUNCATE` needs its own |
# | read change events | the key names the row |
#
# | Method | Deletes | Each change | Late commits | Who pays |
# |---|---|---|---|---|
# | timestamp | no | no | no | the reader |
# | with overlap | no | no | if long enough | the reader |
# | trigger and log table | yes | yes | yes; `n` is not the order of commits | each writer |
# | write-ahead log | yes | yes | yes | the disk |
#
# **New words.** *WAL*, *binlog*: the log of a database's changes. *LSN*: a place in it. *Replication
# slot*: a bookmark that keeps the log. *Tombstone*: a key without a value.
#
# **Read on.** Debezium documentation, "Debezium connector for PostgreSQL" (2025). M. Kleppmann, *Designing
# Data-Intensive Applications*, chapter 11 (2017).

# %%
lab.close()
