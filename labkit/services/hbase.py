"""Apache HBase: a master with one region server, and its Thrift and REST gateways."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

SETTINGS = {
    "hbase.rootdir": "file://{folder}/data",
    "hbase.zookeeper.property.dataDir": "{folder}/zookeeper",
    "hbase.zookeeper.property.clientPort": "{zookeeper}",
    "hbase.zookeeper.property.clientPortAddress": "{host}",
    "hbase.zookeeper.quorum": "{host}",
    "hbase.tmp.dir": "{folder}/tmp",
    "hbase.cluster.distributed": "false",
    "hbase.unsafe.stream.capability.enforce": "false",
    "hbase.wal.provider": "filesystem",
    "hbase.localcluster.assign.random.ports": "false",
    "hbase.master.port": "{master}",
    "hbase.regionserver.port": "{region}",
    "hbase.master.info.port": "-1",
    "hbase.regionserver.info.port": "-1",
    "hbase.thrift.info.port": "-1",
    "hbase.rest.info.port": "-1",
    "hbase.rest.host": "{host}",
    "hbase.master.ipc.address": "{host}",
    "hbase.regionserver.ipc.address": "{host}",
    "hbase.master.hostname": "localhost",
    "hbase.regionserver.hostname": "localhost",
    "hbase.hregion.memstore.flush.size": "16777216",
    "hbase.regionserver.handler.count": "5",
    "hbase.master.handler.count": "5",
}
LOGGING = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


class HBase(Service):
    """Processes ``master`` and ``thrift``, with ``rest=True`` also ``rest``; files, not HDFS."""

    name = "hbase"
    title = "Apache HBase"
    version = "2.6.1"
    label = "engine"
    memory_mb = 700
    disk_mb = 100
    patience = 240.0
    needs = (Jars("hbase"), Java(17, 21))

    def __init__(self, rest: bool = False) -> None:
        self.rest = rest

    def configure(self) -> None:
        """Write hbase-site.xml and what is logged."""
        ports = {name: self.port(name) for name in ("zookeeper", "master", "region")}
        lines = [
            f"<property><name>{name}</name><value>{value}</value></property>".format(
                folder=self.folder, host=HOST, **ports
            )
            for name, value in SETTINGS.items()
        ]
        self.write("conf/hbase-site.xml", f"<configuration>{''.join(lines)}</configuration>")
        self.write("conf/log4j.properties", LOGGING)

    def commands(self) -> dict[str, Command]:
        """The master with its region server and ZooKeeper, and the gateways."""
        home = "org.apache.hadoop.hbase"
        found = {
            "master": self._java(
                f"{home}.master.HMaster", "start", "--localRegionServers=1", heap=192
            ),
            "thrift": self._java(
                f"{home}.thrift.ThriftServer",
                "start",
                "-p",
                self.port("thrift"),
                "-b",
                HOST,
                heap=96,
            ),
        }
        if self.rest:
            server = f"{home}.rest.RESTServer"
            found["rest"] = self._java(server, "start", "-p", self.port("rest"), heap=96)
        return found

    def _java(self, main: str, *arguments: object, heap: int) -> Command:
        conf = str(self.folder / "conf")
        opens = ("java.lang", "java.util", "java.nio", "java.util.concurrent", "java.lang.reflect")
        flags = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in opens)
        return self.java(main, *arguments, heap_mb=heap, lead=conf, flags=flags)

    def client(self, **options: Any) -> Any:
        """A new happybase connection, through Thrift."""
        import happybase

        return happybase.Connection(
            HOST, **{"port": self.port("thrift"), "timeout": 60_000, **options}
        )

    def ready(self) -> bool:
        """The master has its tables: it lists them."""
        import happybase

        connection = happybase.Connection(HOST, port=self.port("thrift"), timeout=20_000)
        try:
            connection.tables()
            return True
        finally:
            connection.close()

    def check(self) -> None:
        """A table with versions, a batch, a scan by prefix."""
        connection = self.client()
        name = f"delays-{uuid.uuid4().hex[:8]}"
        connection.create_table(name, {"d": {"max_versions": 3}})
        table = connection.table(name)
        with table.batch() as batch:
            for number in range(500):
                batch.put(f"DUS-{number:04}".encode(), {b"d:minutes": str(number).encode()})
            batch.put(b"CGN-0000", {b"d:minutes": b"7"})
        assert sum(1 for _ in table.scan(row_prefix=b"DUS-")) == 500
        table.put(b"CGN-0000", {b"d:minutes": b"8"})
        assert table.cells(b"CGN-0000", b"d:minutes", versions=3) == [b"8", b"7"]
        connection.delete_table(name, disable=True)
        connection.close()
