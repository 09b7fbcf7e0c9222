"""Apache Hudi: tables in a Spark of their own (Hudi has no release for Spark 4), asked over SQL."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from labkit import spark
from labkit.services.running import HOST, Command, Jars, Java, Service

SETTINGS = {
    "spark.master": "local[2]",
    "spark.app.name": "hudi",
    "spark.ui.enabled": "false",
    "spark.driver.host": "{host}",
    "spark.driver.bindAddress": "{host}",
    "spark.local.dir": "{folder}/tmp",
    "spark.sql.warehouse.dir": "{folder}/warehouse",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.catalogImplementation": "hive",
    "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:{folder}/metastore;create=true",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.kryo.registrator": "org.apache.spark.HoodieSparkKryoRegistrar",
    "spark.sql.extensions": "org.apache.spark.sql.hudi.HoodieSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.hudi.catalog.HoodieCatalog",
    "spark.hadoop.hoodie.embed.timeline.server": "false",
    "spark.hadoop.hoodie.metadata.enable": "false",
    "hive.server2.thrift.bind.host": "{host}",
    "hive.server2.thrift.port": "{hudi}",
    "hive.server2.authentication": "NOSASL",
}


class Hudi(Service):
    """One process, ``hudi``: Spark's Thrift server, which speaks HiveServer2's protocol."""

    name = "hudi"
    title = "Apache Hudi"
    version = "1.1.1"
    label = "engine"
    note = "on Spark 3.5.4, through its Thrift server"
    memory_mb = 1200
    disk_mb = 100
    patience = 240.0
    needs = (Jars("hudi"), Java(17, 21))

    def configure(self) -> None:
        """Write what is logged."""
        self.write("conf/log4j2.properties", spark.LOGGING)

    def commands(self) -> dict[str, Command]:
        """The server."""
        values = {"folder": self.folder, "host": HOST, "hudi": self.port("hudi")}
        settings = {name: value.format_map(values) for name, value in SETTINGS.items()}
        flags = [f"-D{n}={v}" for n, v in settings.items() if n.startswith("spark.")]
        options = [f"--hiveconf {n}={v}" for n, v in settings.items() if n.startswith("hive.")]
        command = self.java(
            "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
            *" ".join(options).split(),
            heap_mb=600,
            lead=str(self.folder / "conf"),
            flags=(*spark.FLAGS, f"-Dderby.system.home={self.folder}", *flags),
        )
        env = {"SPARK_LOCAL_IP": HOST, "HADOOP_USER_NAME": "course"}
        return {"hudi": Command(command.argv, env=env, stop=command.stop)}

    def client(self, **options: Any) -> Any:
        """A new connection of PyHive, as DB-API has it."""
        from pyhive import hive

        logging.getLogger("thrift").setLevel(logging.CRITICAL)  # it logs each try, and raises too
        known = {"host": HOST, "port": self.port("hudi"), "auth": "NOSASL", "username": "course"}
        return hive.connect(**{**known, **options})

    def ready(self) -> bool:
        """It lists its databases."""
        with self.client() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            return ("default",) in cursor.fetchall()

    def check(self) -> None:
        """Merge into a table with a key, and read it as it was before."""
        table = f"delays_{uuid.uuid4().hex[:8]}"
        with self.client() as connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE {table} (flight STRING, minutes INT, ts INT) USING hudi "
                "TBLPROPERTIES (primaryKey = 'flight', preCombineField = 'ts')"
            )
            cursor.execute(f"INSERT INTO {table} VALUES ('B61', 5, 1), ('DL2', 7, 1)")
            cursor.execute(f"SELECT max(_hoodie_commit_time) FROM {table}")
            ((first,),) = cursor.fetchall()
            cursor.execute(
                f"MERGE INTO {table} t USING (SELECT 'B61' AS flight, 9 AS minutes, 2 AS ts) s "
                "ON t.flight = s.flight WHEN MATCHED THEN UPDATE SET *"
            )
            cursor.execute(f"SELECT flight, minutes FROM {table} ORDER BY flight")
            assert cursor.fetchall() == [("B61", 9), ("DL2", 7)]
            cursor.execute(f"SELECT minutes FROM {table} TIMESTAMP AS OF '{first}' ORDER BY 1")
            assert cursor.fetchall() == [(5,), (7,)]
            cursor.execute(f"DROP TABLE {table}")
