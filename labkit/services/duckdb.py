"""DuckDB: a database in this process, in a file that outlives a crash."""

from __future__ import annotations

import importlib.metadata
import uuid
from typing import Any

from labkit.services.running import Command, Service


class DuckDB(Service):
    """No process of its own: clients open one file, within the memory limit."""

    name = "duckdb"
    title = "DuckDB"
    version = importlib.metadata.version("duckdb")
    label = "engine"
    note = "in the notebook's own process"
    memory_mb = 300
    needs = ()

    def commands(self) -> dict[str, Command]:
        """None: the library is the database."""
        return {}

    def client(self, **options: Any) -> Any:
        """A new connection to the file."""
        import duckdb

        config = {"memory_limit": f"{self.memory_mb}MB", "temp_directory": f"{self.folder}/tmp"}
        return duckdb.connect(self.folder / "course.duckdb", config=config, **options)

    def ready(self) -> bool:
        """The file can be opened."""
        with self.client() as connection:
            return connection.execute("SELECT 1").fetchall() == [(1,)]

    def check(self) -> None:
        """A table, rolled back and kept; a Parquet file; the latest row of each key."""
        table, file = f"delays_{uuid.uuid4().hex[:8]}", self.folder / "delays.parquet"
        with self.client() as connection:
            connection.execute(f"CREATE TABLE {table} AS SELECT i % 3 AS id, i FROM range(9) t(i)")
            connection.execute("BEGIN")
            connection.execute(f"DELETE FROM {table}")
            connection.execute("ROLLBACK")
            connection.execute(f"COPY {table} TO '{file}' (FORMAT parquet)")
        with self.client() as connection:
            latest = (
                f"SELECT id, i FROM '{file}' QUALIFY i = max(i) OVER (PARTITION BY id) ORDER BY id"
            )
            assert connection.execute(latest).fetchall() == [(0, 6), (1, 7), (2, 8)]
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(9,)]
            connection.execute(f"DROP TABLE {table}")
