"""Apache Samza: applications whose tasks are Python objects, with state kept in Kafka."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from labkit.services.gateway import GatewayService
from labkit.services.kafka import Kafka
from labkit.services.running import Command, Jars, Java

LOGGING = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n
"""
#: Settings of every application; ``{servers}`` are Kafka's.
SETTINGS = {
    "app.id": "1",
    "app.runner.class": "org.apache.samza.runtime.LocalApplicationRunner",
    "processor.id": "0",
    "job.coordinator.factory": "org.apache.samza.standalone.PassthroughJobCoordinatorFactory",
    "task.name.grouper.factory": (
        "org.apache.samza.container.grouper.task.SingleContainerGrouperFactory"
    ),
    "job.container.single.thread.mode": "true",
    "job.jmx.enabled": "false",
    "job.default.system": "kafka",
    "job.changelog.system": "kafka",
    "systems.kafka.samza.factory": "org.apache.samza.system.kafka.KafkaSystemFactory",
    "systems.kafka.consumer.bootstrap.servers": "{servers}",
    "systems.kafka.producer.bootstrap.servers": "{servers}",
    "systems.kafka.default.stream.replication.factor": "1",
    "systems.kafka.samza.offset.default": "oldest",
    "serializers.registry.string.class": "org.apache.samza.serializers.StringSerdeFactory",
    "task.checkpoint.factory": "org.apache.samza.checkpoint.kafka.KafkaCheckpointManagerFactory",
    "task.checkpoint.replication.factor": "1",
    "task.checkpoint.system": "kafka",
    "task.commit.ms": "1000",
}
STORE = {
    "factory": "org.apache.samza.storage.kv.RocksDbKeyValueStorageEngineFactory",
    "key.serde": "string",
    "msg.serde": "string",
    "changelog.replication.factor": "1",
}


class Samza(GatewayService):
    """Process ``samza`` beside ``kafka``, a service; without one it starts one.

    A task is a Python object with ``process(envelope, collector, coordinator)`` and, where it
    keeps state, ``init(context)``: the methods of Samza's ``StreamTask`` and ``InitableTask``, with
    Samza's own objects as arguments. There is one for each partition of the inputs.
    """

    name = "samza"
    title = "Apache Samza"
    version = "1.8.0"
    label = "engine"
    note = "its tasks are written in Python, called by the JVM"
    memory_mb = 500
    needs = (Jars("samza"), Java(17, 21))

    def __init__(self, kafka: Kafka | None = None) -> None:
        self.kafka = kafka
        self._own = kafka is None

    def configure(self) -> None:
        """Write what is logged; start Kafka where none was given."""
        if self.kafka is None:
            self.kafka = Kafka().start()
        self._gateway = None
        self.write("conf/log4j.properties", LOGGING)

    def stop(self) -> None:
        """End the JVM, and the Kafka that it started."""
        self._hang_up()
        super().stop()
        if self._own and self.kafka is not None:
            self.kafka.stop()
            self.kafka = None

    def commands(self) -> dict[str, Command]:
        """The JVM in which applications run."""
        return {"samza": self.gateway_command(192, lead=str(self.folder / "conf"))}

    def ready(self) -> bool:
        """The JVM answers."""
        with contextlib.closing(self.client()) as gateway:
            return gateway.jvm.System.currentTimeMillis() > 0

    def run(
        self,
        app: str,
        task: Callable[[], Any],
        *,
        inputs: Sequence[str],
        outputs: Sequence[str] = (),
        stores: Sequence[str] = (),
        settings: dict[str, str] | None = None,
    ) -> Application:
        """Start an application of this name; return it running.

        ``task()`` makes a task; inputs and outputs are topics, with text as keys and messages.
        Each of ``stores`` is a RocksDB whose changes go to the topic ``APP-STORE``; a task gets it
        by ``context.getTaskContext().getStore(name)``. An application begins where one of its name
        has stopped. ``settings`` are Samza's own.
        """
        self._hang_up()
        self._gateway = gateway = self.client(callbacks=True)
        samza = gateway.jvm.org.apache.samza
        config = {"app.name": app, **SETTINGS}
        base = self.folder / "stores"
        config |= {
            "job.logged.store.base.dir": f"{base}/a",
            "job.non-logged.store.base.dir": f"{base}/b",
        }
        for store in stores:
            config |= {f"stores.{store}.{key}": value for key, value in STORE.items()}
            config[f"stores.{store}.changelog"] = f"kafka.{app}-{store}"
        config |= settings or {}
        servers = ",".join(self.kafka.bootstrap_servers)
        filled = {key: value.replace("{servers}", servers) for key, value in config.items()}
        description = _Description(samza, task, inputs, outputs)
        runner = samza.runtime.LocalApplicationRunner(description, samza.config.MapConfig(filled))
        runner.run(None)
        return Application(gateway, runner, self)

    def _hang_up(self) -> None:
        if getattr(self, "_gateway", None) is not None:
            with contextlib.suppress(Exception):
                self._gateway.shutdown_callback_server()
                self._gateway.close()
            self._gateway = None

    def check(self) -> None:
        """Count flights by airport, end the application, and go on with its state."""
        from kafka.admin import NewTopic

        app = f"course-{uuid.uuid4().hex[:8]}"
        with contextlib.closing(self.kafka.client()) as admin:
            admin.create_topics([NewTopic(f"{app}-in", 2, 1), NewTopic(f"{app}-out", 1, 1)])
        found = []
        for last in ({"JFK 10", "LGA 10"}, {"JFK 20", "LGA 20"}):
            with contextlib.closing(self.kafka.producer()) as producer:
                for number in range(20):
                    key = b"JFK" if number % 2 else b"LGA"
                    producer.send(f"{app}-in", b"departed", key=key)
            counting = self.run(
                app,
                lambda: _Count(self, f"{app}-out"),
                inputs=[f"{app}-in"],
                outputs=[f"{app}-out"],
                stores=["counts"],
            )
            with contextlib.closing(self.kafka.consumer(f"{app}-out")) as consumer:
                for message in consumer:
                    found.append(message.value.decode())
                    if last <= set(found):
                        break
            counting.stop()
        assert {"JFK 20", "LGA 20"} <= set(found), found

    def send(self, collector: Any, topic: str, key: str, message: str) -> None:
        """Have a task's collector send a message to a topic."""
        samza = self._gateway.jvm.org.apache.samza.system
        stream = samza.SystemStream("kafka", topic)
        collector.send(samza.OutgoingMessageEnvelope(stream, key, message))


class Application:
    """A running application."""

    def __init__(self, gateway: Any, runner: Any, service: Samza) -> None:
        self._gateway, self._runner, self._service = gateway, runner, service

    @property
    def status(self) -> str:
        """Samza's word for its state: Running, SuccessfulFinish, UnsuccessfulFinish …"""
        return self._runner.status().getStatusCode().toString()

    def stop(self) -> None:
        """Commit, end it and wait for its end."""
        self._runner.kill()
        self._runner.waitForFinish()


class _Description:
    """What an application is, as Samza asks for it."""

    def __init__(self, samza: Any, task: Callable, inputs: Sequence, outputs: Sequence) -> None:
        self._samza, self._task, self._inputs, self._outputs = samza, task, inputs, outputs

    def describe(self, application: Any) -> None:
        kafka = self._samza.system.kafka.descriptors.KafkaSystemDescriptor("kafka")
        text = self._samza.serializers.StringSerde
        for topic in self._inputs:
            serde = self._samza.serializers.KVSerde.of(text(), text())
            application.withInputStream(kafka.getInputDescriptor(topic, serde))
        for topic in self._outputs:
            serde = self._samza.serializers.KVSerde.of(text(), text())
            application.withOutputStream(kafka.getOutputDescriptor(topic, serde))
        application.withTaskFactory(_Factory(self._task))

    class Java:
        implements = ("org.apache.samza.application.TaskApplication",)


class _Factory:
    def __init__(self, task: Callable[[], Any]) -> None:
        self._task = task

    def createInstance(self) -> _Task:
        return _Task(self._task())

    class Java:
        implements = ("org.apache.samza.task.StreamTaskFactory",)


class _Task:
    def __init__(self, task: Any) -> None:
        self._task = task

    def init(self, context: Any) -> None:
        if hasattr(self._task, "init"):
            self._task.init(context)

    def process(self, envelope: Any, collector: Any, coordinator: Any) -> None:
        self._task.process(envelope, collector, coordinator)

    class Java:
        implements = ("org.apache.samza.task.StreamTask", "org.apache.samza.task.InitableTask")


class _Count:
    """For the check: counts messages by key."""

    def __init__(self, service: Samza, out: str) -> None:
        self._service, self._out = service, out

    def init(self, context: Any) -> None:
        self._counts = context.getTaskContext().getStore("counts")

    def process(self, envelope: Any, collector: Any, _coordinator: Any) -> None:
        key = envelope.getKey()
        count = int(self._counts.get(key) or 0) + 1
        self._counts.put(key, str(count))
        self._service.send(collector, self._out, key, f"{key} {count}")
