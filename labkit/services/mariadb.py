"""MariaDB, the fork of MySQL, with its binary log, from the system's packages."""

from __future__ import annotations

from typing import Any

from labkit.services.running import HOST, Command, Program, Service

USER, PASSWORD, DATABASE = "course", "course", "course"
#: Said at each start, and left out of the binary log.
FIRST_WORDS = f"""\
SET sql_log_bin = 0;
CREATE DATABASE IF NOT EXISTS {DATABASE};
CREATE USER IF NOT EXISTS {USER}@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO {USER}@'{HOST}' WITH GRANT OPTION;
"""
SETTINGS = {
    "bind-address": HOST,
    "innodb-buffer-pool-size": "16M",
    "innodb-log-file-size": "16M",
    "innodb-use-native-aio": "0",
    "performance-schema": "0",
    "skip-name-resolve": "1",
    "default-time-zone": "+00:00",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-metadata": "FULL",
}


class MariaDB(Service):
    """One server that logs every change of a row, before and after."""

    name = "mariadb"
    title = "MariaDB"
    version = "10.11"
    label = "compatible"
    note = "the fork of MySQL: same protocol and clients"
    disk_mb = 150
    memory_mb = 400
    needs = (
        Program("mariadbd", apt="mariadb-server", brew="mariadb"),
        Program("mariadb-install-db", apt="mariadb-server", brew="mariadb"),
    )

    def configure(self) -> None:
        """Make the system's own tables and the words said at the start."""
        self.write("first-words.sql", FIRST_WORDS).chmod(0o644)
        self.call(Command(["mkdir", "-p", "data", "scratch"], unprivileged=True))
        install = str(self.path(Program, "mariadb-install-db"))
        options = ["--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db"]
        options += ["--innodb-use-native-aio=0", f"--tmpdir={self.folder}/scratch"]
        self.call(Command([install, *options], unprivileged=True))

    def commands(self) -> dict[str, Command]:
        """The server."""
        settings = SETTINGS | {
            "datadir": f"{self.folder}/data",
            "tmpdir": f"{self.folder}/scratch",
            "socket": f"{self.folder}/data/socket",
            "pid-file": f"{self.folder}/data/pid",
            "init-file": f"{self.folder}/first-words.sql",
            "port": self.port("mariadb"),
        }
        argv = [str(self.path(Program, "mariadbd")), "--no-defaults"]
        argv += [f"--{name}={value}" for name, value in settings.items()]
        return {"mariadb": Command(argv, unprivileged=True)}

    @property
    def settings(self) -> dict[str, Any]:
        """Host, port, user, password and database, as PyMySQL and its kin take them."""
        where = {"host": HOST, "port": self.port("mariadb")}
        return {**where, "user": USER, "password": PASSWORD, "database": DATABASE}

    @property
    def url(self) -> str:
        """The address as SQLAlchemy takes it, for PyMySQL."""
        return f"mysql+pymysql://{USER}:{PASSWORD}@{HOST}:{self.port('mariadb')}/{DATABASE}"

    def client(self, **options: Any) -> Any:
        """A new PyMySQL connection that commits each statement."""
        import pymysql

        return pymysql.connect(**{**self.settings, "autocommit": True, **options})

    def ready(self) -> bool:
        """A client is let in."""
        self.client(connect_timeout=2).close()
        return True

    def check(self) -> None:
        """Change rows in a transaction and undo one; find the changes in the binary log."""
        with self.client() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE OR REPLACE TABLE gates (id INT PRIMARY KEY, gate VARCHAR(4))")
            cursor.execute("SHOW MASTER STATUS")
            file, position = cursor.fetchone()[:2]
            cursor.execute("INSERT INTO gates VALUES (1, 'A1'), (2, 'B2')")
            cursor.execute("UPDATE gates SET gate = 'C3' WHERE id = 2")
            connection.begin()
            cursor.execute("DELETE FROM gates")
            connection.rollback()
            cursor.execute("SELECT id, gate FROM gates ORDER BY id")
            assert cursor.fetchall() == ((1, "A1"), (2, "C3"))
            cursor.execute(f"SHOW BINLOG EVENTS IN '{file}' FROM {position}")
            kinds = [row[2] for row in cursor.fetchall()]
            rows = [kind for kind in kinds if kind.endswith("_rows_v1")]
            assert rows == ["Write_rows_v1", "Update_rows_v1"], kinds
