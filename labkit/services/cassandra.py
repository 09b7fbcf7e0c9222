"""Apache Cassandra: one node, made small."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

SETTINGS = """\
cluster_name: course
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{host}:{storage}"}}]
listen_address: {host}
rpc_address: {host}
storage_port: {storage}
native_transport_port: {native}
start_native_transport: true
auto_bootstrap: false
auto_snapshot: false
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_segment_size: 4MiB
commitlog_total_space: 64MiB
commitlog_disk_access_mode: legacy
memtable_heap_space: 32MiB
memtable_allocation_type: heap_buffers
file_cache_size: 16MiB
networking_cache_size: 16MiB
key_cache_size: 4MiB
concurrent_reads: 4
concurrent_writes: 4
concurrent_counter_writes: 2
concurrent_materialized_view_writes: 2
materialized_views_enabled: true
sasi_indexes_enabled: false
"""
OPENS = {
    "java.base": (
        "java.io java.lang java.lang.module java.lang.reflect java.math java.net java.nio "
        "java.util java.util.concurrent java.util.concurrent.atomic jdk.internal.loader "
        "jdk.internal.ref jdk.internal.reflect jdk.internal.math jdk.internal.module "
        "jdk.internal.util.jar sun.nio.ch"
    ),
    "java.rmi": "sun.rmi.transport.tcp",
    "java.management.rmi": "com.sun.jmx.remote.internal.rmi",
    "jdk.management": "com.sun.management.internal",
}
EXPORTS = {
    "java.base": (
        "jdk.internal.misc jdk.internal.ref sun.nio.ch jdk.internal.perf jdk.internal.util"
    ),
    "java.rmi": "sun.rmi.registry sun.rmi.server sun.rmi.transport.tcp",
    "jdk.attach": "sun.tools.attach",
}
FLAGS = (
    "-Dcassandra-foreground=yes",
    "-Dcassandra.ring_delay_ms=1",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.unsafesystem=true",
    "-Djava.security.manager=allow",
    "-Djdk.attach.allowAttachSelf=true",
    "-Xmn53m",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:MaxMetaspaceSize=160m",
)


class Cassandra(Service):
    """One node of a ring of one: replication factor 1 is all that it can give."""

    name = "cassandra"
    title = "Apache Cassandra"
    version = "5.0.5"
    label = "engine"
    memory_mb = 700
    disk_mb = 200
    patience = 300.0
    needs = (Jars("cassandra"), Java(17, 21))

    def configure(self) -> None:
        """Write cassandra.yaml."""
        ports = {name: self.port(name) for name in ("storage", "native")}
        self.write("cassandra.yaml", SETTINGS.format(host=HOST, **ports))

    def commands(self) -> dict[str, Command]:
        """The node."""
        jars = self.path(Jars)
        agent = next(jar for jar in jars if jar.name.startswith("jamm-"))
        flags = [
            *FLAGS,
            f"-javaagent:{agent}",
            f"-Dcassandra.config=file://{self.folder}/cassandra.yaml",
            f"-Dcassandra.storagedir={self.folder}/data",
            f"-Djna.tmpdir={self.folder}/tmp",
        ]
        for option, modules in (("opens", OPENS), ("exports", EXPORTS)):
            for module, packages in modules.items():
                flags += [f"--add-{option}={module}/{p}=ALL-UNNAMED" for p in packages.split()]
        main = "org.apache.cassandra.service.CassandraDaemon"
        return {"cassandra": self.java(main, heap_mb=160, flags=tuple(flags))}

    def cluster(self, **options: Any) -> Any:
        """A new ``cassandra.cluster.Cluster`` of the driver; shut it down when done."""
        from cassandra.cluster import EXEC_PROFILE_DEFAULT as DEFAULT
        from cassandra.cluster import Cluster, ExecutionProfile
        from cassandra.policies import RoundRobinPolicy

        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
        known = {"port": self.port("native"), "execution_profiles": {DEFAULT: profile}}
        return Cluster([HOST], **{**known, "protocol_version": 5, **options})

    def client(self, **options: Any) -> Any:
        """A new session; ``session.cluster.shutdown()`` ends it and its threads."""
        return self.cluster(**options).connect()

    @contextlib.contextmanager
    def _session(self, **options: Any) -> Iterator[Any]:
        cluster = self.cluster(**options)
        try:
            yield cluster.connect()
        finally:
            cluster.shutdown()

    def ready(self) -> bool:
        """A client is let in."""
        with _quiet(), self._session(connect_timeout=5) as session:
            return session.execute("SELECT release_version FROM system.local").one() is not None

    def check(self) -> None:
        """A keyspace, prepared statements side by side, and the order of a partition."""
        from cassandra.concurrent import execute_concurrent_with_args

        name = f"course_{uuid.uuid4().hex[:8]}"
        copies = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        with self._session() as session:
            session.execute(f"CREATE KEYSPACE {name} WITH replication = {copies}")
            session.execute(
                f"CREATE TABLE {name}.delays (airport text, at int, minutes int, "
                "PRIMARY KEY (airport, at)) WITH CLUSTERING ORDER BY (at DESC)"
            )
            insert = session.prepare(
                f"INSERT INTO {name}.delays VALUES (?, ?, ?)".replace(
                    "VALUES", "(airport, at, minutes) VALUES"
                )
            )
            rows = [(airport, at, at * 2) for airport in ("DUS", "CGN") for at in range(200)]
            execute_concurrent_with_args(session, insert, rows)
            first = f"SELECT at, minutes FROM {name}.delays WHERE airport = 'DUS' LIMIT 2"
            assert [tuple(row) for row in session.execute(first)] == [(199, 398), (198, 396)]
            session.execute(f"DROP KEYSPACE {name}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the driver's words about a node that is not up yet off the page."""
    import logging

    logger = logging.getLogger("cassandra")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
