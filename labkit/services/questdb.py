"""QuestDB: a time-series database."""

from __future__ import annotations

import time
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

SETTINGS = """\
http.bind.to={host}:{http}
pg.net.bind.to={host}:{pg}
line.tcp.enabled=false
http.min.enabled=false
telemetry.enabled=false
shared.worker.count=2
http.worker.count=1
pg.worker.count=1
cairo.o3.column.memory.size=256K
cairo.writer.data.append.page.size=256K
cairo.system.writer.data.append.page.size=256K
cairo.wal.writer.data.append.page.size=128K
cairo.system.wal.writer.data.append.page.size=128K
cairo.writer.data.index.value.append.page.size=128K
cairo.writer.data.index.key.append.page.size=64K
"""


class QuestDB(Service):
    """SQL through PostgreSQL's protocol, and lines (ILP) and SQL over HTTP."""

    name = "questdb"
    title = "QuestDB"
    version = "9.3.4"
    label = "engine"
    memory_mb = 500
    disk_mb = 100
    needs = (Jars("questdb"), Java(17, 25))

    def configure(self) -> None:
        """Write server.conf."""
        ports = {name: self.port(name) for name in ("http", "pg")}
        self.write("data/conf/server.conf", SETTINGS.format(host=HOST, **ports))
        self.write(
            "data/conf/log.conf",
            "writers=stdout\nw.stdout.class=io.questdb.log.LogConsoleWriter\nw.stdout.level=ERROR\n",
        )

    def commands(self) -> dict[str, Command]:
        """The server."""
        flags = ("--add-exports=java.base/jdk.internal.math=ALL-UNNAMED",)
        options = ("-d", self.folder / "data")
        return {"questdb": self.java("io.questdb.ServerMain", *options, heap_mb=128, flags=flags)}

    @property
    def url(self) -> str:
        """The HTTP address: ``/exec?query=…`` for SQL, ``/write`` for lines."""
        return f"http://{HOST}:{self.port('http')}"

    def client(self, **options: Any) -> Any:
        """A new psycopg connection."""
        import psycopg

        known = {"host": HOST, "port": self.port("pg"), "dbname": "qdb", "connect_timeout": 5}
        user = {"user": "admin", "password": "quest", "autocommit": True}
        return psycopg.connect(**{**known, **user, **options})

    def ready(self) -> bool:
        """It answers a query."""
        with self.client() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)

    def check(self) -> None:
        """Write lines, an old one last, and sample them by the hour."""
        import requests

        table = f"delays_{time.time_ns()}"
        hour, start = 3600 * 10**9, 1_762_000_000 // 3600 * 3600 * 10**9
        times = [start + minute * 60 * 10**9 for minute in range(0, 120, 10)]
        lines = [f"{table},airport=DUS minutes={n} {t}" for n, t in enumerate(times)]
        for text in ("\n".join(lines[1:]), lines[0]):
            requests.post(f"{self.url}/write", data=text + "\n", timeout=10).raise_for_status()
        wanted = [(6, 15.0), (6, 51.0)]
        assert times[6] == start + hour
        ask = f"SELECT count(), sum(minutes) FROM {table} SAMPLE BY 1h"
        with self.client() as connection:
            got = self.wait(lambda: connection.execute(ask).fetchall(), lambda rows: rows == wanted)
            connection.execute(f"DROP TABLE {table}")
        assert got == wanted
