# %% [markdown] minutes=60 datasets=["flights-day-parquet"] systems=["postgresql"]
# # Log-based replication
#
# A copy lacks the rows that were written while it was made, the power fails between two commits, and a forgotten bookmark
# fills the disk of the source. You keep a copy that is right after any crash, and a source that stays up.

# %% [markdown]
# ## You will be able to
#
# - begin with a snapshot, without a gap and without a double (exercise 1)
# - apply changes so that repeats do no harm (exercise 2)
# - find slots and tables that stop a database (exercise 3)
# - write a consumer that survives a power cut at any place (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | SQL: `UPDATE`, transactions | the changes happen there |
# | the lab *Change data capture* | write-ahead log, LSN, slots |
# | the lab *APIs* | *idempotent* comes from there |
#
# PostgreSQL is the real one. `connect()` opens a connection of psycopg to the airline's database,
# `connect("warehouse")` to the one with the copy; `with connect() as db:` commits at its end. Checks
# empty both databases.
#
# You need not read the code cells between a task and its answer, nor the one that defines `Watched`: through them the checks
# call yours, and cut the power.

# %% role="setup"
import itertools
import random
import re

import matplotlib.pyplot as plt
import psycopg

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("04-1-ingestion/10-log-replication")
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
COPY = (
    "CREATE TABLE flights_copy (id text PRIMARY KEY, dest text, delay int,"
    " lsn pg_lsn, gone boolean)"
)


class Watched(psycopg.Connection):
    """A connection that calls `before` ahead of each statement and each commit."""

    before = staticmethod(lambda: None)

    def commit(self):
        Watched.before()
        super().commit()


class WatchedCursor(psycopg.Cursor):
    """The cursors of a watched connection."""

    def execute(self, *args, **options):
        Watched.before()
        return super().execute(*args, **options)

    def executemany(self, *args, **options):
        Watched.before()
        return super().executemany(*args, **options)


def connect(dbname="postgres", **options):
    """A new connection, which gives up after three seconds of waiting."""
    options |= {"dbname": dbname, "application_name": "answer"}
    patience = "-c lock_timeout=2s -c statement_timeout=3s"
    return Watched.connect(
        pg.dsn(), cursor_factory=WatchedCursor, options=patience, **options
    )


def fresh(flights=()):
    """Begin anew: the table flights with these rows, an empty flights_copy, no slot."""
    Watched.before = staticmethod(lambda: None)
    with pg.client() as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = 'answer'"
        )
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        )
        if not db.execute(
            "SELECT FROM pg_database WHERE datname = 'warehouse'"
        ).rowcount:
            db.execute("CREATE DATABASE warehouse")
    for dbname, table in {"postgres": TABLE, "warehouse": COPY}.items():
        with pg.client(dbname=dbname) as db:
            db.execute(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {table}")
    with pg.client() as db, db.transaction(), db.cursor() as cursor:
        cursor.executemany("INSERT INTO flights VALUES (%s, %s, %s)", flights)


fresh(FLIGHTS)
print(f"{pg.title} {pg.version} ({pg.label}), {len(FLIGHTS)} flights, for example:")
print(FLIGHTS[0])

# %% [markdown] topics=["4.1-4"]
# ## Changes, as the log has them
#
# From the lab before: a *slot* is a bookmark in the write-ahead log, the plug-in `test_decoding` writes a line for each
# change, and `decode` below makes a dictionary of each. `old_id` is set where the key changed.

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


fresh([("UA1-EWR", "IAH", 0)])
peek = "SELECT lsn, data FROM pg_logical_slot_peek_changes('board', NULL, NULL)"
with connect() as db:
    db.execute("SELECT pg_create_logical_replication_slot('board', 'test_decoding')")
with connect() as db:
    db.execute("UPDATE flights SET id = 'UA9-EWR', updated_at = NULL WHERE delay = 0")
with connect() as db:
    for change in decode(db.execute(peek)):
        print({name: value for name, value in change.items() if name != "lsn"})

# %% [markdown] topics=["4.1-4"]
# ## Snapshot, then stream
#
# A slot holds changes from its creation on. The rows before that must come from a query, a *snapshot*.
# The source does not stop for you, so the order of the two matters.
#
# | First | Then | A commit in between is |
# |---|---|---|
# | query | slot | in neither: a *gap* |
# | slot | query | in both: a *double* |
#
# PostgreSQL can make both at one instant. A replication connection (`replication="database"`) knows the
# command `CREATE_REPLICATION_SLOT`, which can *export* its snapshot under a name. Another transaction
# takes it over, and sees the database as of the slot's first LSN.

# %%
fresh([("UA1-EWR", "IAH", 0)])
with connect(replication="database", autocommit=True) as slots:
    made = slots.execute(
        "CREATE_REPLICATION_SLOT board LOGICAL test_decoding (SNAPSHOT 'export')"
    ).fetchone()
    print(len(made), "columns: the slot, its LSN, the snapshot's name, the plug-in")

# %% [markdown]
# The snapshot lives until that connection runs its next command or closes. `SET TRANSACTION SNAPSHOT '…'`
# takes it over, before the first query, and only at the isolation level `REPEATABLE READ` or above.

# %% [markdown] role="task" exercise="handover" points=3 topics=["4.1-4"]
# ### No gap and no double
#
# Write `bootstrap(slot)`. It creates a logical slot with that name for `test_decoding`, and returns
# all flights as of exactly that moment: a list of tuples `(id, dest, delay)`. Do not stop the writers.
#
# Use `connect`: the check lets somebody commit a new flight before each statement of its connections.
#
# Why: no later check of the stream can find a gap here.


# %%
def handover(flights):
    """What is lost, and what comes twice, when somebody commits before each statement."""
    fresh(flights)
    number = itertools.count(1)
    with pg.client(options="-c lock_timeout=500") as somebody:

        def commit():
            new = [f"ZZ{next(number)}-JFK"]
            somebody.execute("INSERT INTO flights VALUES (%s, 'LAX', 0)", new)

        Watched.before = staticmethod(commit)
        try:
            snapshot = {tuple(row) for row in bootstrap("board")}
        finally:
            Watched.before = staticmethod(lambda: None)
        commit()
        streamed = {change["id"] for change in decode(somebody.execute(peek))}
        rows = somebody.execute("SELECT id, dest, delay FROM flights").fetchall()
    gap = [row for row in rows if row not in snapshot and row[0] not in streamed]
    return {"gap": gap, "double": [row for row in snapshot if row[0] in streamed]}


# %% role="answer" exercise="handover" dialect="postgres"
def bootstrap(slot: str) -> list[tuple]:
    """Create a slot; the flights (id, dest, delay) as of its first LSN."""
    ### BEGIN SOLUTION
    create = f"CREATE_REPLICATION_SLOT {slot} LOGICAL test_decoding (SNAPSHOT 'export')"
    with (
        connect(replication="database", autocommit=True) as slots,
        connect() as db,
    ):
        snapshot = slots.execute(create).fetchone()[2]
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        return [*db.execute("SELECT id, dest, delay FROM flights")]
    ### END SOLUTION


# %% role="check" exercise="handover"
with lab.check("handover") as answer:
    answer.value("bootstrap")
    flights = [("UA1-EWR", "IAH", 0), ("AA2-JFK", "MIA", None)]
    found = answer.call("handover", flights)
    answer.true(
        not found["gap"],
        asked="every flight either from bootstrap or from the slot",
        found=f"flights in neither: {found['gap']}",
    )
    answer.true(
        not found["double"],
        asked="no flight both from bootstrap and from the slot",
        found=f"flights in both: {found['double']}",
    )

# %% role="hidden" exercise="handover"
with lab.check("handover", hidden=True) as answer:
    answer.value("bootstrap")
    flights = [
        (f"Ñ{number}", answer.random.choice(["IAH", "O'Hare", None]), -number)
        for number in answer.random.sample(range(2000), 50)
    ]
    found = answer.call("handover", flights)
    answer.equal(
        [len(found["gap"]), len(found["double"])],
        [0, 0],
        asked="each of many flights once, from bootstrap or from the slot",
        found=f"{len(found['gap'])} in neither, {len(found['double'])} in both",
    )

# %% [markdown] role="hint" exercise="handover"
# How many connections do you need, and which of them must stay open until the rows are read?

# %% [markdown] role="hint" exercise="handover"
# The third column of the row that `CREATE_REPLICATION_SLOT` returns is the snapshot's name. See `SET
# TRANSACTION` in PostgreSQL's documentation. psycopg begins a transaction with the first statement.

# %% [markdown] role="hint" exercise="handover"
# ```python
# with connect(replication="database", autocommit=True) as slots, connect() as db:
#     snapshot = slots.execute(...).fetchone()[...]
#     db.execute("SET TRANSACTION ISOLATION LEVEL ...")
#     db.execute(f"SET TRANSACTION SNAPSHOT ...")
#     return [*db.execute(...)]
# ```


# %% role="right" exercise="handover"
def bootstrap(slot):
    # The replication connection can use the snapshot itself.
    with connect(replication="database", autocommit=True) as db:
        db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        db.execute(
            f"CREATE_REPLICATION_SLOT {slot} LOGICAL test_decoding (SNAPSHOT 'use')"
        )
        rows = db.execute("SELECT id, dest, delay FROM flights").fetchall()
        db.execute("COMMIT")
    return rows


# %% role="right" exercise="handover"
def bootstrap(slot):
    slots = connect(replication="database", autocommit=True)
    db = connect()
    db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        made = slots.cursor().execute(
            f"CREATE_REPLICATION_SLOT {slot} LOGICAL test_decoding EXPORT_SNAPSHOT"
        )
        db.execute(f"SET TRANSACTION SNAPSHOT '{made.fetchone()[2]}'")
        rows = db.cursor().execute("TABLE flights").fetchall()
    finally:
        db.close()
        slots.close()
    return [row[:3] for row in rows]


# %% role="wrong" exercise="handover" misconception="First the rows, then what changes" caught="check" says="in neither"
def bootstrap(slot):
    with connect() as db:
        rows = db.execute("SELECT id, dest, delay FROM flights").fetchall()
    with connect() as db:
        make = "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')"
        db.execute(make, [slot])
    return rows


# %% role="wrong" exercise="handover" misconception="With the slot first, nothing can go wrong" caught="check" says="in both"
def bootstrap(slot):
    with connect() as db:
        make = "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')"
        db.execute(make, [slot])
    with connect() as db:
        return db.execute("SELECT id, dest, delay FROM flights").fetchall()


# %% role="wrong" exercise="handover" misconception="A snapshot outlives the connection that exported it" caught="check" says="does not exist"
def bootstrap(slot):
    with connect(replication="database", autocommit=True) as slots:
        create = (
            f"CREATE_REPLICATION_SLOT {slot} LOGICAL test_decoding (SNAPSHOT 'export')"
        )
        snapshot = slots.execute(create).fetchone()[2]
    with connect() as db:
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        return db.execute("SELECT id, dest, delay FROM flights").fetchall()


# %% role="wrong" exercise="handover" misconception="Stop the writers for a moment" caught="check" says="lock timeout"
def bootstrap(slot):
    with connect() as db:
        db.execute("LOCK TABLE flights IN SHARE MODE")
        make = "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')"
        with connect() as other:
            other.execute(make, [slot])
        return db.execute("SELECT id, dest, delay FROM flights").fetchall()


# %% role="wrong" exercise="handover" misconception="One transaction holds query and slot together" caught="check" says="in both"
def bootstrap(slot):
    with connect() as db:
        make = "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')"
        db.execute(make, [slot])
        return db.execute("SELECT id, dest, delay FROM flights").fetchall()


# %% [markdown] topics=["4.1-4"]
# ## An effect exactly once
#
# Between a consumer's commit in the copy and its word to the slot, the power may fail. Then the same
# changes come again; retries and several workers even change their order. Delivery exactly once cannot
# be had, but its *effect* can.
#
# The copy keeps, for each row, the LSN of the change that it shows, and takes only later ones. A deleted
# row has to stay, marked `gone`: else a change that comes again would bring it back.
#
# PostgreSQL's type `pg_lsn` compares them rightly. As text, `0/9F` is after `0/10A`.

# %% [markdown] role="task" exercise="apply" points=3 topics=["4.1-4"]
# ### Apply changes, again if need be
#
# Write `apply(db, changes)`. `db` is a connection to the warehouse, with the empty or filled table
# `flights_copy` (`id`, `dest`, `delay`, `lsn`, `gone`; the key is `id`). `changes` come from `decode`,
# or from the snapshot, in any order and any number of times. A change has
#
# | Key | Meaning |
# |---|---|
# | `lsn` | a text such as `"0/16B3748"` |
# | `op` | `"c"`, `"u"`, `"r"` (from a snapshot) or `"d"` |
# | `id`, `dest`, `delay` | the row; for a delete, only `id` is set |
# | `old_id` | the key that the row had before, if it changed; else `None` |
#
# The rows that are not `gone` are then those that the latest changes left. Do not commit: the caller
# does.
#
# Why: with it, "at least once" is good enough.


# %%
def applied(deliveries):
    """The rows of the copy after some deliveries of changes."""
    fresh()
    with connect("warehouse") as db:
        for changes in deliveries:
            apply(db, changes)
            db.commit()
        found = db.execute("SELECT id, dest, delay FROM flights_copy WHERE NOT gone")
        names = ("id", "dest", "delay")
        return [dict(zip(names, row, strict=True)) for row in found]


# %% role="answer" exercise="apply" dialect="postgres"
def apply(db: psycopg.Connection, changes: list[dict]) -> None:
    """Apply changes to flights_copy; for each key, the highest LSN wins."""
    ### BEGIN SOLUTION
    rows = [
        {**change, "id": change["old_id"], "op": "d"}
        for change in changes
        if change["old_id"]
    ]
    with db.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO flights_copy (id, dest, delay, lsn, gone)
            VALUES (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd')
            ON CONFLICT (id) DO UPDATE SET dest = excluded.dest, delay = excluded.delay,
                lsn = excluded.lsn, gone = excluded.gone
            WHERE excluded.lsn > flights_copy.lsn
            """,
            rows + changes,
        )
    ### END SOLUTION


# %% role="check" exercise="apply"
with lab.check("apply") as answer:
    answer.value("apply")
    names = ["lsn", "op", "id", "dest", "delay", "old_id"]
    rows = [
        ("0/9F", "c", "UA1", "IAH", 0, None),
        ("0/A0", "c", "AA2", "MIA", 5, None),
        ("0/10A", "u", "UA1", "ORD", 7, None),
        ("0/10B", "d", "AA2", None, None, None),
        ("0/10C", "u", "UA9", "ORD", 8, "UA1"),
        ("0/10D", "c", "DL3", "LAX", None, None),
    ]
    changes = [dict(zip(names, row, strict=True)) for row in rows]
    for what, deliveries in {
        "in order": [changes],
        "twice": [changes, changes],
        "one by one, the last first": [[change] for change in changes[::-1]],
    }.items():
        answer.same_rows(
            answer.call("applied", deliveries),
            [
                {"id": "UA9", "dest": "ORD", "delay": 8},
                {"id": "DL3", "dest": "LAX", "delay": None},
            ],
            asked=f"the rows that {rows} leave, delivered {what}",
            key=["id"],
        )

# %% role="hidden" exercise="apply"
with lab.check("apply", hidden=True) as answer:
    answer.value("apply")
    source, changes, lsn = {}, [], 0xFFFFFF00
    for number in range(80):
        lsn += answer.random.randint(1, 40)
        ids = sorted(source)
        id = answer.random.choice(ids) if ids and number % 3 else f"Ñ{number % 7}"
        op = answer.random.choice("uuudk") if id in source else "c"
        new = f"K{number}" if op == "k" else id
        delay = answer.random.choice([None, number])
        if op in "dk":
            del source[id]
        if op != "d":
            source[new] = {"id": new, "dest": "O'Hare", "delay": delay}
        row = source.get(new, {"id": id, "dest": None, "delay": None})
        change = {"lsn": f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}", **row}
        change |= {"op": "u" if op == "k" else op, "old_id": id if op == "k" else None}
        changes.append(change)
    mixed = [*changes, *changes[20:60]]
    answer.random.shuffle(mixed)
    answer.same_rows(
        answer.call(
            "applied", [mixed[start : start + 30] for start in (0, 30, 60, 90)]
        ),
        [*source.values()],
        asked="the rows of the source, after a hundred and twenty mixed changes",
        key=["id"],
    )

# %% [markdown] role="hint" exercise="apply"
# A change of the key touches two rows of the copy. What happens to each of them, and with which LSN?

# %% [markdown] role="hint" exercise="apply"
# `INSERT … ON CONFLICT (id) DO UPDATE SET … WHERE …`, as in the lab *APIs*. In psycopg,
# `cursor.executemany` takes a list of dictionaries for `%(name)s`.

# %% [markdown] role="hint" exercise="apply"
# ```python
# rows = [{**change, "id": ..., "op": "d"} for change in changes if ...]
# with db.cursor() as cursor:
#     cursor.executemany(
#         """INSERT INTO flights_copy (id, dest, delay, lsn, gone)
#            VALUES (%(id)s, ..., %(op)s = 'd')
#            ON CONFLICT (id) DO UPDATE SET dest = excluded.dest, ...
#            WHERE ...""",
#         rows + changes,
#     )
# ```


# %% role="right" exercise="apply"
def apply(db, changes):
    known = {
        id: lsn
        for id, lsn in db.execute("SELECT id, lsn - '0/0'::pg_lsn FROM flights_copy")
    }
    for change in changes:
        high, low = (int(part, 16) for part in change["lsn"].split("/"))
        at = (high << 32) + low
        effects = [(change["id"], change["op"] == "d")]
        if change["old_id"] is not None:
            effects.append((change["old_id"], True))
        for id, gone in effects:
            if at > known.get(id, -1):
                known[id] = at
                db.execute("DELETE FROM flights_copy WHERE id = %s", [id])
                db.execute(
                    "INSERT INTO flights_copy VALUES (%s, %s, %s, %s, %s)",
                    [id, change["dest"], change["delay"], change["lsn"], gone],
                )


# %% [markdown] role="equivalent" exercise="apply" reason="a change that comes twice is the same both times"
# + "INSERT INTO flights_copy (\n  id,\n  dest,\n  delay,\n  lsn,\n  gone\n)\nVALUES\n  (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd') ON CONFLICT(id) DO UPDATE SET dest = excluded.dest, delay = excluded.delay, lsn = excluded.lsn, gone = excluded.gone\nWHERE\n  excluded.lsn >= flights_copy.lsn",
# - """
# - INSERT INTO flights_copy (id, dest, delay, lsn, gone)
# - VALUES (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd')
# - ON CONFLICT (id) DO UPDATE SET dest = excluded.dest, delay = excluded.delay,
# - lsn = excluded.lsn, gone = excluded.gone
# - WHERE excluded.lsn > flights_copy.lsn
# - """,


# %% role="wrong" exercise="apply" misconception="A delete deletes" caught="check" says="the last first"
def apply(db, changes):
    for change in changes:
        for id in (change["old_id"], change["id"] if change["op"] == "d" else None):
            db.execute(
                "DELETE FROM flights_copy WHERE id = %s AND lsn < %s",
                [id, change["lsn"]],
            )
        if change["op"] != "d":
            db.execute(
                """
                INSERT INTO flights_copy VALUES
                    (%(id)s, %(dest)s, %(delay)s, %(lsn)s, false)
                ON CONFLICT (id) DO UPDATE SET dest = excluded.dest,
                    delay = excluded.delay, lsn = excluded.lsn
                WHERE excluded.lsn > flights_copy.lsn
                """,
                change,
            )


# %% role="wrong" exercise="apply" misconception="Changes arrive in order" caught="check" says="the last first"
def apply(db, changes):
    for change in changes:
        if change["old_id"]:
            db.execute("DELETE FROM flights_copy WHERE id = %s", [change["old_id"]])
        db.execute("DELETE FROM flights_copy WHERE id = %s", [change["id"]])
        if change["op"] != "d":
            db.execute(
                "INSERT INTO flights_copy VALUES (%(id)s, %(dest)s, %(delay)s, %(lsn)s, false)",
                change,
            )


# %% role="wrong" exercise="apply" misconception="A new key is a new row" caught="check" says="delivered in order"
def apply(db, changes):
    with db.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO flights_copy VALUES
                (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd')
            ON CONFLICT (id) DO UPDATE SET dest = excluded.dest, delay = excluded.delay,
                lsn = excluded.lsn, gone = excluded.gone
            WHERE excluded.lsn > flights_copy.lsn
            """,
            [change for change in changes if not change["old_id"]]
            + [{**change, "op": "u"} for change in changes if change["old_id"]],
        )


# %% role="wrong" exercise="apply" misconception="An LSN compares like a word" caught="check" says="delivered in order"
def apply(db, changes):
    latest = {}
    for change in sorted(changes, key=lambda change: change["lsn"]):
        latest[change["id"]] = change
        if change["old_id"]:
            latest[change["old_id"]] = {**change, "id": change["old_id"], "op": "d"}
    with db.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO flights_copy VALUES
                (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd')
            ON CONFLICT (id) DO UPDATE SET dest = excluded.dest, delay = excluded.delay,
                lsn = excluded.lsn, gone = excluded.gone
            WHERE excluded.lsn > flights_copy.lsn
            """,
            [*latest.values()],
        )


# %% role="wrong" exercise="apply" misconception="One mark for the whole copy is enough" caught="check" says="the last first"
def apply(db, changes):
    (mark,) = db.execute(
        "SELECT coalesce(max(lsn), '0/0') - '0/0'::pg_lsn FROM flights_copy"
    ).fetchone()
    rows = [
        {**change, "id": change["old_id"], "op": "d"}
        for change in changes
        if change["old_id"]
    ]
    for change in rows + changes:
        high, low = (int(part, 16) for part in change["lsn"].split("/"))
        if (high << 32) + low > mark:
            db.execute(
                """
                INSERT INTO flights_copy VALUES
                    (%(id)s, %(dest)s, %(delay)s, %(lsn)s, %(op)s = 'd')
                ON CONFLICT (id) DO UPDATE SET dest = excluded.dest,
                    delay = excluded.delay, lsn = excluded.lsn, gone = excluded.gone
                WHERE excluded.lsn > flights_copy.lsn
                """,
                change,
            )


# %% [markdown] topics=["4.1-4"]
# ## Break it: the slot that nobody reads
#
# A team switches its consumer off, and forgets the slot. Nothing is slow, nothing fails, until the disk
# is full of log and the *source* stops.
#
# **Predict:** two slots, one is read after each megabyte. How much log does each of them hold?

# %%
fresh()
held = {"read": [], "forgotten": []}
behind = "SELECT round((pg_current_wal_lsn() - restart_lsn) / 1e6) FROM"
behind = f"{behind} pg_replication_slots WHERE slot_name = %s"
with pg.client() as db:
    for name in held:
        db.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [name]
        )
    for _ in range(8):
        db.execute("SELECT pg_logical_emit_message(true, 'load', repeat('x', 1000000))")
        db.execute("SELECT pg_log_standby_snapshot()")  # else only every 15 seconds
        db.execute("SELECT pg_logical_slot_get_changes('read', NULL, NULL)")
        for name, megabytes in held.items():
            megabytes.append(int(db.execute(behind, [name]).fetchone()[0]))
figure, axes = plt.subplots(figsize=(7, 3))
for name, megabytes in held.items():
    axes.plot(range(1, 9), megabytes, marker="o", label=name)
axes.set(xlabel="megabytes written", ylabel="megabytes of log held")
axes.legend(frameon=False)
picture(
    figure,
    alt="The log that the forgotten slot holds grows with each megabyte written, up to 8 MB; the "
    "slot that is read holds almost nothing.",
)

# %% [markdown]
# By default there is no limit. `max_slot_wal_keep_size` sets one, and since PostgreSQL 18
# `idle_replication_slot_timeout`: then the slot is lost, and its consumer must begin anew.
#
# The second trap is a table without a key:

# %%
with pg.client() as db:
    db.execute("CREATE TABLE crew (flight text, name text)")
    db.execute("INSERT INTO crew VALUES ('UA1-EWR', 'Ada')")
    db.execute("DELETE FROM crew")
    print(db.execute(peek.replace("board", "read")).fetchall()[-2][1])
    db.execute("CREATE PUBLICATION board FOR TABLE crew")
    try:
        db.execute("UPDATE crew SET name = 'Grace'")
    except psycopg.Error as error:
        print(str(error).splitlines()[0])

# %% [markdown]
# Which row was deleted? Nobody can say. And once the table is published, as Debezium does, PostgreSQL
# refuses the update: your pipeline has broken the application.
#
# `REPLICA IDENTITY` decides which old values the log holds. `pg_class.relreplident` shows it:
#
# | Value | Meaning |
# |---|---|
# | `d` | default: the primary key, if there is one |
# | `i` | the columns of a unique index that was named |
# | `f` | full: all columns, which makes the log larger |
# | `n` | nothing |

# %% [markdown] role="task" exercise="repair" points=3 topics=["4.1-4"]
# ### Find what will stop the source
#
# Write `repair(limit)`. In the airline's database, it
#
# - drops each slot that nobody reads at present (`active` is false) and that holds more than `limit` bytes of
#   log: from `restart_lsn` to `pg_current_wal_lsn()`;
# - sets `REPLICA IDENTITY FULL` on each table of the schema `public` whose deletes would come without
#   any old value. It leaves all other tables as they are.
#
# Why: this belongs into the monitoring of each database with a slot.


# %%
def repaired(tables, limit):
    """The slots that are left, and relreplident of each table, after your repair.

    The slots forgotten and held keep a megabyte of log; held is in use, young is new.
    """
    fresh()
    make = "SELECT pg_create_logical_replication_slot(%s, 'test_decoding', %s)"
    with pg.client() as db, pg.client() as reader:
        for statement in tables:
            db.execute(statement)
        db.execute(make, ["forgotten", False])
        reader.execute(make, ["held", True])
        db.execute("SELECT pg_logical_emit_message(true, 'load', repeat('x', 1000000))")
        db.execute(make, ["young", False])
        repair(limit)
        slots = db.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
        tables = db.execute(
            "SELECT oid::regclass::text, relreplident::text FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {"slots": [name for (name,) in slots], "tables": dict(tables.fetchall())}


# %% role="answer" exercise="repair" dialect="postgres"
def repair(limit: int) -> None:
    """Drop slots that hold the log for nobody; give tables without a key an identity."""
    ### BEGIN SOLUTION
    held = """
        SELECT slot_name FROM pg_replication_slots
        WHERE NOT active AND pg_current_wal_lsn() - restart_lsn > %s
    """
    keyless = """
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND (
            c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
                SELECT i.indrelid FROM pg_index i
                WHERE i.indrelid = c.oid AND i.indisprimary
            )
        )
    """
    with connect() as db:
        for slot in db.execute(held, [limit]):
            db.execute("SELECT pg_drop_replication_slot(%s)", slot)
        for (table,) in db.execute(keyless):
            db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    ### END SOLUTION


# %% role="check" exercise="repair"
with lab.check("repair") as answer:
    answer.value("repair")
    tables = [
        "CREATE TABLE crew (flight text, name text)",
        "CREATE TABLE gates (gate text UNIQUE, terminal int)",
    ]
    found = answer.call("repaired", tables, 500_000)
    answer.equal(
        found["slots"],
        ["held", "young"],
        asked="without the slot that holds a megabyte for nobody, with the two others",
        found=f"the slots {found['slots']}",
    )
    answer.equal(
        found["tables"],
        {"flights": "d", "crew": "f", "gates": "f"},
        asked=f"an identity for each table without a primary key, only for those, after {tables}",
        found=f"relreplident {found['tables']}",
    )

# %% role="hidden" exercise="repair"
with lab.check("repair", hidden=True) as answer:
    answer.value("repair")
    number = answer.random.randint(100, 999)
    tables = [
        f'CREATE TABLE "Log {number}" (n int)',
        f'ALTER TABLE "Log {number}" REPLICA IDENTITY FULL',
        f'CREATE TABLE "Bag {number}" (n int)',
        "CREATE TABLE mute (n int PRIMARY KEY)",
        "ALTER TABLE mute REPLICA IDENTITY NOTHING",
        "CREATE TABLE seats (n int NOT NULL)",
        "CREATE UNIQUE INDEX seat ON seats (n)",
        "ALTER TABLE seats REPLICA IDENTITY USING INDEX seat",
    ]
    found = answer.call("repaired", tables, 5_000_000)
    answer.equal(
        found["slots"],
        ["forgotten", "held", "young"],
        asked="all slots that hold less than the limit",
        found=f"the slots {found['slots']}",
    )
    kinds = {f'"Log {number}"': "f", f'"Bag {number}"': "f", "mute": "f", "seats": "i"}
    answer.equal(
        found["tables"],
        {"flights": "d"} | kinds,
        asked=f"an identity for each table that has none, only for those, after {tables}",
        found=f"relreplident {found['tables']}",
    )

# %% [markdown] role="hint" exercise="repair"
# In which two cases does a table have no identity? Does a unique column help by itself?

# %% [markdown] role="hint" exercise="repair"
# PostgreSQL's documentation of `pg_replication_slots`, `pg_class` and `pg_index` (`indisprimary`). The
# difference of two LSNs is a number of bytes. `oid::regclass` is a table's name, quoted where it must
# be.

# %% [markdown] role="hint" exercise="repair"
# ```python
# held = "SELECT slot_name FROM pg_replication_slots WHERE ..."
# keyless = "SELECT c.oid::regclass FROM pg_class c WHERE ..."
# with connect() as db:
#     for slot in db.execute(held, [limit]):
#         db.execute("SELECT pg_drop_replication_slot(%s)", slot)
#     for (table,) in db.execute(keyless):
#         db.execute(f"ALTER TABLE {table} ...")
# ```


# %% role="right" exercise="repair"
def repair(limit):
    with connect(autocommit=True) as db:
        (here,) = db.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
        slots = db.execute(
            "SELECT slot_name, active, restart_lsn - '0/0' FROM pg_replication_slots"
        ).fetchall()
        for name, active, start in slots:
            if not active and here - start > limit:
                db.execute("SELECT pg_drop_replication_slot(%s)", [name])
        keyed = {
            table
            for (table,) in db.execute(
                "SELECT conrelid FROM pg_constraint WHERE contype = 'p'"
            )
        }
        for oid, name, identity in db.execute(
            "SELECT c.oid, c.relname, c.relreplident::text FROM pg_class c "
            "JOIN pg_tables t ON t.tablename = c.relname AND t.schemaname = 'public' "
            "AND c.relnamespace = 'public'::regnamespace"
        ).fetchall():
            if identity == "n" or (identity == "d" and oid not in keyed):
                db.execute(
                    psycopg.sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(
                        psycopg.sql.Identifier(name)
                    )
                )


# %% [markdown] role="equivalent" exercise="repair" reason="no slot holds just as many bytes as the limit"
# + held = 'SELECT\n  slot_name\nFROM pg_replication_slots\nWHERE\n  NOT active AND PG_CURRENT_WAL_LSN() - restart_lsn >= %s'
# - held = """
# - SELECT slot_name FROM pg_replication_slots
# - WHERE NOT active AND pg_current_wal_lsn() - restart_lsn > %s
# - """


# %% role="wrong" exercise="repair" misconception="Every slot that is far behind is forgotten" caught="check" says="is active"
def repair(limit):
    with connect() as db:
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE pg_current_wal_lsn() - restart_lsn > %s",
            [limit],
        )


# %% role="wrong" exercise="repair" misconception="A slot that nobody reads now is forgotten" caught="check" says="the slots ['held']"
def repair(limit):
    with connect() as db:
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE NOT active"
        )
        for (table,) in db.execute(
            "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace AND (c.relreplident = 'n'"
            " OR c.relreplident = 'd' AND c.oid NOT IN"
            " (SELECT indrelid FROM pg_index WHERE indisprimary))"
        ).fetchall():
            db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")


# %% role="wrong" exercise="repair" misconception="A unique column is an identity" caught="check" says="'gates': 'd'"
def repair(limit):
    with connect() as db:
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE NOT active AND pg_current_wal_lsn() - restart_lsn > %s",
            [limit],
        )
        for (table,) in db.execute(
            "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace AND c.oid NOT IN"
            " (SELECT indrelid FROM pg_index WHERE indisunique)"
        ).fetchall():
            db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")


# %% role="wrong" exercise="repair" misconception="Full is safe, so let every table have it" caught="check" says="'flights': 'f'"
def repair(limit):
    with connect() as db:
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE NOT active AND pg_current_wal_lsn() - restart_lsn > %s",
            [limit],
        )
        for (table,) in db.execute(
            "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace"
        ).fetchall():
            db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")


# %% role="wrong" exercise="repair" misconception="A primary key is an identity, whatever the table says" caught="hidden" says="'mute': 'n'"
def repair(limit):
    with connect() as db:
        db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE NOT active AND pg_current_wal_lsn() - restart_lsn > %s",
            [limit],
        )
        for (table,) in db.execute(
            "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace AND c.relreplident = 'd'"
            " AND c.oid NOT IN (SELECT indrelid FROM pg_index WHERE indisprimary)"
        ).fetchall():
            db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")


# %% [markdown] topics=["4.1-4"]
# ## All together
#
# The bookmark of a slot is not part of your transaction: what `pg_logical_slot_get_changes` has
# returned is gone, even after a rollback. So peek, apply, commit, and only then move the bookmark with
# `pg_replication_slot_advance(slot, lsn)`. And commit what you have written before you create a slot or
# peek: both may wait for open transactions, your own included.
#
# Rows of a snapshot get the LSN `0/0`: all that comes through the slot is newer.


# %%
def as_changes(rows):
    """Rows (id, dest, delay) of a snapshot, as changes for apply."""
    same = {"lsn": "0/0", "op": "r", "old_id": None}
    return [
        {"id": id, "dest": dest, "delay": delay, **same} for id, dest, delay in rows
    ]


# %% [markdown] role="task" exercise="sync" points=4 topics=["4.1-4"]
# ### A copy that survives power cuts
#
# Write `sync(slot)`. It brings `flights_copy` in the warehouse up to date with `flights`.
#
# - If there is no such slot, or the copy has no row, it begins anew: an empty copy, a new slot, a
#   snapshot. (An old slot must be dropped first.)
# - In any case, it then applies all changes that wait in the slot, and moves the bookmark behind the last
#   row that it peeked at.
# - After a power cut, the next call brings all in order.
#
# Use your `bootstrap` and `apply`, and `connect`, `decode` and `as_changes`.
#
# Why: this is the core of every connector.


# %%
class PowerCut(Exception):
    """The power fails, before a statement or a commit."""


def changed(draw, number):
    """Change the source: two delays, a delete, a new flight, a new key."""
    with pg.client() as db:
        found = db.execute("SELECT id FROM flights ORDER BY id").fetchall()
        one, two, gone, moved = draw.sample([id for (id,) in found], 4)
        for id in (one, two):
            db.execute("UPDATE flights SET delay = %s WHERE id = %s", [number, id])
        db.execute("DELETE FROM flights WHERE id = %s", [gone])
        db.execute("INSERT INTO flights VALUES (%s, 'O''Hare')", [f"Ñ{number}-JFK"])
        new = f"{moved.partition('-')[0]}-{number}"
        db.execute("UPDATE flights SET id = %s WHERE id = %s", [new, moved])


def differs():
    """The rows that are only in the source, or only in the copy."""
    with pg.client() as db, pg.client(dbname="warehouse") as copy:
        flights = db.execute("SELECT id, dest, delay FROM flights").fetchall()
        rows = "SELECT id, dest, delay FROM flights_copy WHERE NOT gone"
        return sorted(set(flights) ^ set(copy.execute(rows).fetchall()), key=str)


def power_cuts(seed, lose_slot=False):
    """Cut the power before call 1, 2, … of your sync: what stays different or waiting."""
    draw = random.Random(seed)
    fresh(draw.sample(FLIGHTS, 20))
    with pg.client() as db, pg.client(dbname="warehouse") as flusher:
        for number in range(40):
            calls = itertools.count(1)
            power = [True]

            def cut(calls=calls, number=number, power=power):
                # Others' commits write the log to disk; here is nobody else.
                flusher.execute("SELECT pg_logical_emit_message(false, '', '', true)")
                if power[0] and next(calls) == number:
                    raise PowerCut

            if lose_slot:
                db.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                )
            Watched.before = staticmethod(cut)
            try:
                sync("board")
                done = number > 0
            except PowerCut:
                done = False
            power[0] = False
            changed(draw, number)
            sync("board")
            Watched.before = staticmethod(lambda: None)
            rows = differs()
            if rows or done:
                after = f"after a power cut before call {number}: {rows[:3]}"
                lines = len(db.execute(peek).fetchall())
                return {"different": after if rows else "nothing", "waiting": lines}
            changed(draw, 100 + number)


# %% role="answer" exercise="sync" dialect="postgres"
def sync(slot: str) -> None:
    """Bring the copy up to date, whatever happened to the last call."""
    ### BEGIN SOLUTION
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
        if not known:
            # Now, and for good: a copy with rows in it counts as complete.
            copy.execute("DELETE FROM flights_copy")
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))
    if found:
        with connect() as db:
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )
    ### END SOLUTION


# %% role="check" exercise="sync"
with lab.check("sync") as answer:
    answer.value("sync")
    found = answer.call("power_cuts", 1)
    answer.equal(
        found["different"],
        "nothing",
        asked="a copy like the source, one call after each power cut",
    )
    answer.true(
        found["waiting"] == 0,
        asked="no line that waits in the slot after a call",
        found=f"{found['waiting']} lines that wait in the slot",
    )

# %% role="hidden" exercise="sync"
with lab.check("sync", hidden=True) as answer:
    answer.value("sync")
    found = answer.call("power_cuts", answer.random.randrange(10**6), lose_slot=True)
    answer.equal(
        found["different"],
        "nothing",
        asked="a copy like the source, when somebody drops the slot and then the power fails",
    )

# %% [markdown] role="hint" exercise="sync"
# Write the steps in a column. Cut between each two of them. What does the next call find, and what does it
# conclude?

# %% [markdown] role="hint" exercise="sync"
# `pg_replication_slots` lists the slots. A copy with old rows in it looks complete: when must they be gone
# for good? In each peeked row, `lsn` is the first column.

# %% [markdown] role="hint" exercise="sync"
# ```python
# with connect() as db:
#     known = db.execute(...).fetchone()
# with connect("warehouse") as copy:
#     filled = ...
#     ...  # empty the copy where it must be
# if not known or not filled:
#     ...  # drop an old slot; snapshot; apply
# with connect() as db:
#     found = db.execute(...).fetchall()
# ...
# if found:
#     ...  # move the bookmark
# ```


# %% role="right" exercise="sync"
def sync(slot):
    db, copy = connect(autocommit=True), connect("warehouse", autocommit=True)
    try:
        slots = {
            name for (name,) in db.execute("SELECT slot_name FROM pg_replication_slots")
        }
        (rows,) = copy.execute("SELECT count(*) FROM flights_copy").fetchone()
        if slot not in slots or rows == 0:
            copy.execute("TRUNCATE flights_copy")
            if slot in slots:
                db.execute(f"SELECT pg_drop_replication_slot('{slot}')")
            snapshot = as_changes(bootstrap(slot))
            with copy.transaction():
                apply(copy, snapshot)
        while True:
            found = db.execute(
                "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, 100)",
                [slot],
            ).fetchall()
            if not found:
                return
            with copy.transaction():
                apply(copy, decode(found))
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )
    finally:
        db.close()
        copy.close()


# %% role="wrong" exercise="sync" misconception="What was not committed comes again" caught="check" says="power cut before call"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
        if not known:
            copy.execute("DELETE FROM flights_copy")
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_get_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))


# %% role="wrong" exercise="sync" misconception="The order of the last two steps is all the same" caught="check" says="power cut before call"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
        if not known:
            copy.execute("DELETE FROM flights_copy")
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    if found:
        with connect() as db:
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )
    with connect("warehouse") as copy:
        apply(copy, decode(found))


# %% role="wrong" exercise="sync" misconception="Repeats do no harm, so the slot may stay where it is" caught="check" says="wait in the slot"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
        if not known:
            copy.execute("DELETE FROM flights_copy")
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))


# %% role="wrong" exercise="sync" misconception="Where a slot is, there was a snapshot" caught="hidden" says="drops the slot"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        if not known:
            copy.execute("DELETE FROM flights_copy")
    if not known:
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))
    if found:
        with connect() as db:
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )


# %% role="wrong" exercise="sync" misconception="A snapshot overwrites what was there" caught="hidden" says="drops the slot"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))
    if found:
        with connect() as db:
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )


# %% role="wrong" exercise="sync" misconception="The copy may be emptied when the snapshot is there" caught="hidden" says="drops the slot"
def sync(slot):
    with connect() as db:
        known = db.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    with connect("warehouse") as copy:
        filled = copy.execute("SELECT id FROM flights_copy").fetchone()
    if not known or not filled:
        if known:
            with connect() as db:
                db.execute("SELECT pg_drop_replication_slot(%s)", known)
        rows = as_changes(bootstrap(slot))
        with connect("warehouse") as copy:
            copy.execute("DELETE FROM flights_copy")
            apply(copy, rows)
    with connect() as db:
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
    with connect("warehouse") as copy:
        apply(copy, decode(found))
    if found:
        with connect() as db:
            db.execute(
                "SELECT pg_replication_slot_advance(%s, %s)", [slot, found[-1][0]]
            )


# %% role="wrong" exercise="sync" misconception="One transaction for emptying and filling" caught="check" says="timeout"
def sync(slot):
    with connect() as db, connect("warehouse") as copy:
        copy.execute("INSERT INTO flights_copy VALUES ('begun', '', 0, '0/0', true)")
        rows = as_changes(bootstrap(slot))
        copy.execute("DELETE FROM flights_copy")
        apply(copy, rows)
        found = db.execute(
            "SELECT lsn, data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [slot]
        ).fetchall()
        apply(copy, decode(found))


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | begin a copy | slot and snapshot at one instant |
# | apply changes | highest LSN wins, deletes leave a mark |
# | watch a source | bytes held by slots, tables without identity |
# | run a consumer | commit, then move the bookmark |
#
# **New words.** *Snapshot*: all rows as of one instant. *Replica identity*: the old values in the log.
#
# **Read on.** PostgreSQL 18 documentation, chapter "Logical Decoding" (2025). M. Kleppmann, *Designing Data-Intensive
# Applications*, chapter 11 (2017).

# %%
lab.close()
