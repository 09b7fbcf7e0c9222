"""fakesnow: Snowflake's protocol and dialect, on DuckDB."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service


class Fakesnow(Service):
    """One account with databases in memory; a user's name and password are not looked at."""

    name = "fakesnow"
    title = "Snowflake by fakesnow"
    version = "0.12.1"
    label = "compatible"
    note = "its SQL on DuckDB; no warehouses, roles, streams, tasks, time travel or policies"
    memory_mb = 500
    needs = (PythonEnv("fakesnow", 305),)

    def commands(self) -> dict[str, Command]:
        """The server."""
        program = str(self.path(PythonEnv) / "bin" / "fakesnow")
        options = ["--server", "--host", HOST, "--port", str(self.port("fakesnow"))]
        return {"fakesnow": Command([program, *options])}

    def client(self, **options: Any) -> Any:
        """A new connection of ``snowflake.connector``."""
        import snowflake.connector

        where = {"host": HOST, "port": self.port("fakesnow"), "protocol": "http"}
        who = {"account": "course", "user": "course", "password": "course"}
        base = {"database": "course", "schema": "public"}
        parameters = {"session_parameters": {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False}}
        return snowflake.connector.connect(**{**where, **who, **base, **parameters, **options})

    def ready(self) -> bool:
        """The port answers HTTP."""
        import requests

        requests.get(f"http://{HOST}:{self.port('fakesnow')}/", timeout=2)
        return True

    def check(self) -> None:
        """A column of JSON, a merge, and the latest row of each key."""
        table = f"delays_{uuid.uuid4().hex[:8]}"
        with self.client() as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE TABLE {table} (id INT, raw VARIANT)")
            rows = """SELECT 1, parse_json('{"airport": "DUS", "minutes": 5}')
                UNION ALL SELECT 1, parse_json('{"airport": "DUS", "minutes": 9}')
                UNION ALL SELECT 2, parse_json('{"airport": "CGN", "minutes": 7}')"""
            cursor.execute(f"INSERT INTO {table} {rows}")
            found = cursor.execute(
                f"SELECT id, raw:minutes::int FROM {table} "
                "QUALIFY row_number() OVER (PARTITION BY id ORDER BY raw:minutes::int DESC) = 1 "
                "ORDER BY id"
            ).fetchall()
            assert found == [(1, 9), (2, 7)], found
            cursor.execute(f"DROP TABLE {table}")
