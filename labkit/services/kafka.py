"""Apache Kafka in KRaft mode: one broker, or several of which some may die."""

from __future__ import annotations

import base64
import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

#: One for each broker; the quorum, ports and replication are added.
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={folder}/broker-{node}
default.replication.factor={copies}
min.insync.replicas={least}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=5
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={least}
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={least}
share.coordinator.state.topic.num.partitions=5
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
broker.heartbeat.interval.ms=500
broker.session.timeout.ms={session}
"""
FLAGS = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka=info",
)
#: A client that asks again soon: the broker is not up yet.
IMPATIENT = {"request_timeout_ms": 2000, "bootstrap_timeout_ms": 2000}


class Kafka(Service):
    """``service("kafka", brokers=3)``: processes ``broker-1`` to ``broker-3``."""

    name = "kafka"
    title = "Apache Kafka"
    version = "4.4.0"
    label = "engine"
    memory_mb = 400
    needs = (Jars("kafka"), Java(17, 25))

    def __init__(self, brokers: int = 1) -> None:
        self.brokers = brokers
        self.memory_mb = type(self).memory_mb * brokers

    def configure(self) -> None:
        """Write each broker's properties and format its storage."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        nodes = range(1, self.brokers + 1)
        voters = ",".join(f"{n}@{HOST}:{self.port(f'controller-{n}')}" for n in nodes)
        copies = min(3, self.brokers)
        for node in nodes:
            text = PROPERTIES.format(
                node=node,
                host=HOST,
                broker=self.port(f"broker-{node}"),
                controller=self.port(f"controller-{node}"),
                voters=voters,
                folder=self.folder,
                copies=copies,
                least=min(2, copies),
                # A crashed broker may come back when its session is over.
                session=6000 if self.brokers > 1 else 3000,
            )
            path = self.write(f"broker-{node}.properties", text)
            tool = ("format", f"--cluster-id={cluster}", "-c", path)  # it may begin with "-"
            self.call(self.java("kafka.tools.StorageTool", *tool, heap_mb=64, flags=FLAGS))

    def commands(self) -> dict[str, Command]:
        """One process for each broker, which is a controller as well."""
        found = {}
        for node in range(1, self.brokers + 1):
            file = self.folder / f"broker-{node}.properties"
            found[f"broker-{node}"] = self.java("kafka.Kafka", file, heap_mb=96, flags=FLAGS)
        return found

    @property
    def bootstrap_servers(self) -> list[str]:
        """The brokers' addresses, as clients take them."""
        return [f"{HOST}:{self.port(f'broker-{n}')}" for n in range(1, self.brokers + 1)]

    def describe(self) -> str:
        """The brokers' addresses."""
        return ", ".join(self.bootstrap_servers)

    def client(self, **options: Any) -> Any:
        """A new ``KafkaAdminClient``; see also :meth:`producer` and :meth:`consumer`."""
        from kafka import KafkaAdminClient

        return KafkaAdminClient(**{"bootstrap_servers": self.bootstrap_servers, **options})

    def producer(self, **options: Any) -> Any:
        """A new ``KafkaProducer`` that waits for all replicas in step."""
        from kafka import KafkaProducer

        return KafkaProducer(bootstrap_servers=self.bootstrap_servers, **{"acks": "all", **options})

    def consumer(self, *topics: str, **options: Any) -> Any:
        """A new ``KafkaConsumer`` that begins at the oldest message."""
        from kafka import KafkaConsumer

        options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 15_000, **options}
        return KafkaConsumer(*topics, bootstrap_servers=self.bootstrap_servers, **options)

    def ready(self) -> bool:
        """Each broker that runs answers, and knows those that run and no others."""
        running = self.running()
        return all(self._known_to(process) == len(running) for process in running)

    def _known_to(self, process: str) -> int:
        options = {"bootstrap_servers": f"{HOST}:{self.port(process)}", **IMPATIENT}
        with _quiet(), contextlib.closing(self.client(**options)) as admin:
            return sum(not broker["is_fenced"] for broker in admin.describe_cluster()["brokers"])

    def settle(self) -> None:
        """Wait until the cluster has noticed which brokers are dead: some seconds.

        Until then it sends clients to them, and kafka-python's do not all try again.
        """
        self._await(self.running(), self.ready)

    def check(self) -> None:
        """Make a topic, send 1,000 messages in a transaction, read them as a group."""
        from kafka.admin import NewTopic

        self.settle()
        topic = f"delays-{uuid.uuid4().hex[:8]}"
        with contextlib.closing(self.client()) as admin:
            admin.create_topics([NewTopic(topic, 3, min(3, self.brokers))])
        sent = [str(n).encode() for n in range(1000)]
        with contextlib.closing(self.producer(transactional_id=topic)) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            for value in sent:
                producer.send(topic, value, key=value)
            producer.commit_transaction()
        options = {"group_id": topic, "isolation_level": "read_committed"}
        with contextlib.closing(self.consumer(topic, **options)) as consumer:
            got = []
            for message in consumer:
                got.append(message.value)
                if len(got) == len(sent):
                    break
        assert sorted(got) == sorted(sent), f"{len(got)} of {len(sent)} messages came back"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's words about a broker that is not up yet off the page."""
    logger = logging.getLogger("kafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
