"""Kafka Connect with Debezium's connector for PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

from labkit.services.kafka import FLAGS, Kafka
from labkit.services.postgresql import PASSWORD, USER, PostgreSQL
from labkit.services.running import HOST, Command, Jars, Java, Service

WORKER = """\
bootstrap.servers={servers}
listeners=http://{host}:{rest}
rest.advertised.host.name={host}
rest.advertised.port={rest}
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
"""


class Connect(Service):
    """A worker of its own (standalone) beside ``kafka``, a service; without one it starts one."""

    name = "connect"
    title = "Kafka Connect with Debezium"
    version = "3.6.1"
    label = "engine"
    memory_mb = 600
    patience = 240.0
    needs = (Jars("debezium"), Java(17, 21))

    def __init__(self, kafka: Kafka | None = None) -> None:
        self.kafka = kafka
        self._own = kafka is None

    def configure(self) -> None:
        """Write the worker's properties; start Kafka where none was given."""
        if self.kafka is None:
            self.kafka = Kafka().start()
        servers = ",".join(self.kafka.bootstrap_servers)
        about = {"host": HOST, "rest": self.port("rest"), "folder": self.folder}
        self.write("worker.properties", WORKER.format(servers=servers, **about))

    def stop(self) -> None:
        """End the worker, and the Kafka that it started."""
        super().stop()
        if self._own and self.kafka is not None:
            self.kafka.stop()
            self.kafka = None

    def commands(self) -> dict[str, Command]:
        """The worker."""
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        return {"connect": self.java(main, "worker.properties", heap_mb=192, flags=FLAGS)}

    @property
    def url(self) -> str:
        """Where its REST interface answers."""
        return f"http://{HOST}:{self.port('rest')}"

    def client(self) -> Any:
        """A new ``requests.Session``: the REST interface under :attr:`url` is the usual way."""
        import requests

        return requests.Session()

    def ready(self) -> bool:
        """It lists its connectors."""
        with self.client() as client:
            return client.get(f"{self.url}/connectors", timeout=5).ok

    def follow(self, postgresql: PostgreSQL, name: str, tables: str, **settings: str) -> None:
        """Send the changes of ``tables`` (``"public.gates,…"``) to topics ``name.public.gates``.

        Waits until the connector has taken its snapshot's start; ``settings`` are Debezium's, with
        ``_`` for a point.
        """
        config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput",
            "database.hostname": HOST,
            "database.port": str(postgresql.port("primary")),
            "database.user": USER,
            "database.password": PASSWORD,
            "database.dbname": "postgres",
            "topic.prefix": name,
            "slot.name": name,
            "publication.name": name,
            "publication.autocreate.mode": "filtered",
            "table.include.list": tables,
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        with self.client() as client:
            answer = client.put(f"{self.url}/connectors/{name}/config", json=config, timeout=60)
            if not answer.ok:
                raise ValueError(answer.json()["message"])
            self.wait(lambda: self.state(name), lambda state: state in ("RUNNING", "FAILED"))

    def state(self, name: str) -> str:
        """The state of a connector's task: ``RUNNING``, ``FAILED``, or ``""`` before it has one."""
        with self.client() as client:
            answer = client.get(f"{self.url}/connectors/{name}/status", timeout=10)
            tasks = answer.json().get("tasks", []) if answer.ok else []
        return tasks[0]["state"] if tasks else ""

    def forget(self, name: str) -> None:
        """Take a connector away; its slot and its topics stay."""
        with self.client() as client:
            client.delete(f"{self.url}/connectors/{name}", timeout=30).raise_for_status()

    def check(self) -> None:
        """Follow a table of a PostgreSQL: its snapshot, a change, a deletion."""
        name = f"course_{uuid.uuid4().hex[:8]}"
        with PostgreSQL().start() as postgresql, postgresql.client() as base:
            base.execute("CREATE TABLE gates (id int PRIMARY KEY, gate text)")
            base.execute("ALTER TABLE gates REPLICA IDENTITY FULL")
            base.execute("INSERT INTO gates VALUES (1, 'A1')")
            self.follow(postgresql, name, "public.gates")
            with contextlib.closing(self.kafka.consumer(f"{name}.public.gates")) as consumer:
                found = []
                for message in consumer:
                    value = json.loads(message.value) if message.value else None
                    found.append(value and (value["op"], value["before"], value["after"]))
                    if len(found) == 1:
                        base.execute("UPDATE gates SET gate = 'B2'")
                        base.execute("DELETE FROM gates")
                    if len(found) == 4:
                        break
            old, new = {"id": 1, "gate": "A1"}, {"id": 1, "gate": "B2"}
            assert found == [("r", None, old), ("u", old, new), ("d", new, None), None], found
            self.forget(name)
