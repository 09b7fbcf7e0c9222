"""BigQuery's dialect of SQL, translated for DuckDB by sqlglot: no server, no account."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.errors import CourseError
from labkit.services.duckdb import DuckDB


class Connection:
    """A connection to the DuckDB below; a context manager."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run one or more statements of GoogleSQL; the rows of the last one.

        Raises CourseError for what cannot be read, or has no counterpart in DuckDB.
        """
        import sqlglot
        from sqlglot.errors import ErrorLevel, SqlglotError

        try:
            statements = sqlglot.transpile(
                sql, read="bigquery", write="duckdb", unsupported_level=ErrorLevel.RAISE
            )
        except SqlglotError as error:
            said = str(error).splitlines()[0]
            raise CourseError(f"This SQL cannot be translated from BigQuery's: {said}") from None
        for statement in statements:
            found = self._inner.execute(statement)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BigQuery(DuckDB):
    """One project in a file of DuckDB's; :meth:`client` speaks GoogleSQL."""

    name = "bigquery"
    title = "BigQuery's SQL by sqlglot on DuckDB"
    label = "compatible"
    note = (
        "the dialect alone, translated; no jobs, slots, bytes billed, partitions, clusters, "
        "scripts or client library"
    )

    def client(self, **options: Any) -> Connection:
        """A new connection."""
        return Connection(super().client(**options))

    def ready(self) -> bool:
        """A statement in BigQuery's dialect is answered."""
        with self.client() as connection:
            return connection.query("SELECT SAFE_DIVIDE(1, 0) IS NULL AS safe") == [{"safe": True}]

    def check(self) -> None:
        """Arrays of structs, the latest row of each key, what cannot be translated."""
        table = f"delays_{uuid.uuid4().hex[:8]}"
        with self.client() as connection:
            given = [("JFK", 5), ("JFK", 9), ("LGA", 7)]
            rows = ", ".join(f"STRUCT('{origin}' AS origin, {n} AS delay)" for origin, n in given)
            connection.query(f"CREATE TABLE {table} AS SELECT * FROM UNNEST([{rows}])")
            latest = connection.query(
                f"SELECT * EXCEPT (n) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY origin "
                f"ORDER BY delay DESC) AS n FROM {table}) WHERE n = 1 ORDER BY origin"
            )
            assert latest == [{"origin": "JFK", "delay": 9}, {"origin": "LGA", "delay": 7}], latest
            connection.query(f"DROP TABLE {table}")
            try:
                connection.query("SELECT FROM WHERE")
            except CourseError:
                return
            raise AssertionError("what is not SQL was translated")
