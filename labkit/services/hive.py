"""Apache Hive: HiveServer2 with its metastore in Derby, jobs as MapReduce in the same JVM."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

SETTINGS = {
    "hive.server2.thrift.bind.host": "{host}",
    "hive.server2.thrift.port": "{hive}",
    "hive.server2.authentication": "NOSASL",
    "hive.server2.enable.doAs": "false",
    "hive.server2.webui.port": "0",
    "hive.server2.materializedviews.registry.impl": "DUMMY",
    "hive.server2.metrics.enabled": "false",
    "hive.server2.tez.initialize.default.sessions": "false",
    "hive.server2.logging.operation.enabled": "false",
    "hive.execution.engine": "mr",
    "mapreduce.framework.name": "local",
    "mapreduce.task.io.sort.mb": "16",
    "mapreduce.cluster.local.dir": "{folder}/mapred",
    "hadoop.tmp.dir": "{folder}/tmp",
    "fs.defaultFS": "file:///",
    "hive.metastore.uris": "",
    "hive.metastore.warehouse.dir": "file://{folder}/warehouse",
    "hive.metastore.warehouse.external.dir": "file://{folder}/external",
    "javax.jdo.option.ConnectionURL": "jdbc:derby:{folder}/metastore;create=true",
    "datanucleus.schema.autoCreateAll": "true",
    "hive.metastore.schema.verification": "false",
    "hive.txn.manager": "org.apache.hadoop.hive.ql.lockmgr.DummyTxnManager",
    "hive.support.concurrency": "false",
    "hive.exec.scratchdir": "{folder}/scratch",
    "hive.exec.local.scratchdir": "{folder}/scratch-local",
    "hive.downloaded.resources.dir": "{folder}/resources",
    "hive.exec.submit.local.task.via.child": "false",
    "hive.notification.event.poll.interval": "0",
    "hive.stats.autogather": "false",
}
LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1} - %m%n
"""
PACKAGES = (
    "java.lang java.util java.util.concurrent java.util.concurrent.atomic java.util.regex "
    "java.lang.reflect java.io java.net java.math java.text java.nio java.time"
)


class Hive(Service):
    """One process, ``hive``; tables are folders of files, in its own folder."""

    name = "hive"
    title = "Apache Hive"
    version = "4.0.1"
    label = "engine"
    note = "HiveServer2 with a metastore in Derby; jobs run as MapReduce in its JVM"
    memory_mb = 900
    disk_mb = 100
    patience = 240.0
    needs = (Jars("hive"), Java(17, 21))

    def configure(self) -> None:
        """Write hive-site.xml and what is logged."""
        values = {"folder": str(self.folder), "host": HOST, "hive": self.port("hive")}
        lines = [
            f"<property><name>{name}</name><value>{value.format_map(values)}</value></property>"
            for name, value in SETTINGS.items()
        ]
        self.write("conf/hive-site.xml", f"<configuration>{''.join(lines)}</configuration>")
        self.write("conf/hive-log4j2.properties", LOGGING)

    def commands(self) -> dict[str, Command]:
        """The server."""
        conf = self.folder / "conf"
        flags = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in PACKAGES.split()]
        flags += ["--add-opens=java.sql/java.sql=ALL-UNNAMED"]
        flags += [f"-Dlog4j2.configurationFile={conf}/hive-log4j2.properties"]
        flags += [f"-Dderby.system.home={self.folder}"]
        command = self.java(
            "org.apache.hive.service.server.HiveServer2",
            heap_mb=400,
            lead=str(conf),
            flags=tuple(flags),
        )
        env = {"HADOOP_USER_NAME": "course", "HIVE_CONF_DIR": str(conf)}
        return {"hive": Command(command.argv, env=env, stop=command.stop)}

    def client(self, **options: Any) -> Any:
        """A new connection of PyHive, as DB-API has it."""
        from pyhive import hive

        logging.getLogger("thrift").setLevel(logging.CRITICAL)  # it logs each try, and raises too
        known = {"host": HOST, "port": self.port("hive"), "auth": "NOSASL", "username": "course"}
        return hive.connect(**{**known, **options})

    def ready(self) -> bool:
        """It lists its databases."""
        with self.client() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            return ("default",) in cursor.fetchall()

    def check(self) -> None:
        """A partitioned table of ORC, a group by as a MapReduce job, the partitions' folders."""
        table = f"delays_{uuid.uuid4().hex[:8]}"
        with self.client() as connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE {table} (minutes INT) PARTITIONED BY (origin STRING) STORED AS ORC"
            )
            cursor.execute(f"INSERT INTO {table} PARTITION (origin='JFK') VALUES (5), (9)")
            cursor.execute(f"INSERT INTO {table} PARTITION (origin='LGA') VALUES (7)")
            cursor.execute(f"SELECT origin, sum(minutes) FROM {table} GROUP BY origin")
            assert sorted(cursor.fetchall()) == [("JFK", 14), ("LGA", 7)]
            cursor.execute(f"SHOW PARTITIONS {table}")
            assert cursor.fetchall() == [("origin=JFK",), ("origin=LGA",)]
            cursor.execute(f"DROP TABLE {table}")
