"""Apache Flink: a job manager, a task manager, and the SQL gateway, with the Kafka connector."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.services.running import HOST, Command, Jars, Java, PythonEnv, Service

SETTINGS = """\
jobmanager.rpc.address: {host}
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: {host}
jobmanager.memory.process.size: 512m
jobmanager.execution.failover-strategy: region
blob.server.port: {blob}
rest.address: {host}
rest.bind-address: {host}
rest.port: {rest}
taskmanager.host: {host}
taskmanager.bind-host: {host}
taskmanager.rpc.port: {task-rpc}
taskmanager.data.port: {task-data}
taskmanager.numberOfTaskSlots: 4
taskmanager.cpu.cores: 2
taskmanager.memory.framework.heap.size: 64m
taskmanager.memory.framework.off-heap.size: 64m
taskmanager.memory.task.heap.size: 128m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 64m
taskmanager.memory.network.min: 32m
taskmanager.memory.network.max: 32m
taskmanager.memory.jvm-metaspace.size: 160m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
sql-gateway.endpoint.rest.address: {host}
sql-gateway.endpoint.rest.bind-address: {host}
sql-gateway.endpoint.rest.port: {gateway}
execution.target: remote
execution.checkpointing.interval: 1s
execution.checkpointing.storage: filesystem
execution.checkpointing.dir: file://{folder}/checkpoints
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 100
restart-strategy.fixed-delay.delay: 1s
heartbeat.interval: 1000
heartbeat.timeout: 10000
parallelism.default: 1
table.local-time-zone: UTC
io.tmp.dirs: {folder}/tmp
"""
LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1} - %m%n
"""
PACKAGES = (
    "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.text java.time "
    "java.util java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks "
    "sun.net.util sun.nio.ch"
)
FLAGS = tuple(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in PACKAGES.split())


class Flink(Service):
    """Processes ``jobmanager``, ``taskmanager`` (four slots) and ``gateway`` (SQL)."""

    name = "flink"
    title = "Apache Flink"
    version = "2.3.0"
    label = "engine"
    memory_mb = 1500
    disk_mb = 100
    patience = 240.0
    needs = (PythonEnv("flink", 400), Jars("flink"), Java(17, 21))
    #: Task managers that ended, and that the job manager still counts for some seconds.
    _ended: frozenset[str] = frozenset()

    def configure(self) -> None:
        """Write config.yaml and what is logged."""
        names = ("rpc", "blob", "rest", "task-rpc", "task-data", "gateway")
        values = {name: str(self.port(name)) for name in names}
        values |= {"host": HOST, "folder": str(self.folder)}
        self.write("conf/config.yaml", SETTINGS.format_map(values))
        self.write("conf/log4j.properties", LOGGING)

    def commands(self) -> dict[str, Command]:
        """The three JVMs, as the shell scripts would start them."""
        home = "org.apache.flink"
        conf = ("--configDir", self.folder / "conf")
        session = f"{home}.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        worker = f"{home}.runtime.taskexecutor.TaskManagerRunner"
        return {
            "jobmanager": self._java(session, *conf, heap=192),
            "taskmanager": self._java(worker, *conf, heap=192),
            "gateway": self._java(f"{home}.table.gateway.SqlGateway", heap=192),
        }

    def _java(self, main: str, *arguments: object, heap: int) -> Command:
        home = self.needs[0].package("pyflink")
        conf = self.folder / "conf"
        flags = (*FLAGS, f"-Dlog4j.configurationFile={conf}/log4j.properties")
        lead = f"{conf}:{home}/lib/*"
        command = self.java(main, *arguments, heap_mb=heap, flags=flags, lead=lead)
        env = {"FLINK_CONF_DIR": str(conf), "FLINK_HOME": str(home)}
        return Command(command.argv, env=env, stop=command.stop)

    @property
    def url(self) -> str:
        """Where the job manager's REST interface answers: ``/jobs``, ``/jobs/ID/checkpoints``."""
        return f"http://{HOST}:{self.port('rest')}"

    def client(self, **settings: str) -> SQL:
        """A new session of the SQL gateway; ``settings`` are Flink's, by their full names."""
        return SQL(f"http://{HOST}:{self.port('gateway')}/v1", settings)

    def restart(self, name: str = "") -> None:
        """As any service; a new task manager is one that the job manager did not know before."""
        if name == "taskmanager":
            self._ended = frozenset(self._task_managers())
        super().restart(name)

    def ready(self) -> bool:
        """The task manager is registered, with its slots, and the gateway answers."""
        import requests

        gateway = requests.get(f"http://{HOST}:{self.port('gateway')}/v1/info", timeout=5)
        return bool(self._task_managers() - self._ended) and gateway.ok

    def _task_managers(self) -> set[str]:
        import requests

        answer = requests.get(f"{self.url}/taskmanagers", timeout=5).json()
        return {each["id"] for each in answer["taskmanagers"] if each["slotsNumber"] == 4}

    def check(self) -> None:
        """A window over events in batch, and a stream that is read and then cancelled."""
        events = "(1, 'DUS', 5), (2, 'CGN', 7), (3, 'DUS', 2)"
        table = f"(VALUES {events}) AS t (id, airport, minutes)"
        ask = f"SELECT airport, SUM(minutes) FROM {table} GROUP BY airport"
        with self.client(**{"execution.runtime-mode": "batch"}) as batch:
            assert sorted(batch.sql(ask)) == [("CGN", 7), ("DUS", 7)]
        with self.client() as stream:
            stream.sql(
                "CREATE TEMPORARY TABLE ticks (n BIGINT, seen AS PROCTIME()) WITH ('connector' = "
                "'datagen', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', "
                "'fields.n.end' = '100', 'rows-per-second' = '100')"
            )
            assert sorted(stream.sql("SELECT n FROM ticks")) == [(n,) for n in range(1, 101)]


class SQL:
    """A session of Flink's SQL gateway, over REST."""

    def __init__(self, url: str, properties: dict[str, str]) -> None:
        import requests

        self._http, self._gateway = requests.Session(), url
        opened = self._ask("POST", f"{url}/sessions", {"properties": properties})
        self._url = f"{url}/sessions/{opened['sessionHandle']}"

    def _ask(self, method: str, url: str, body: dict | None = None) -> dict:
        answer = self._http.request(method, url, json=body, timeout=120).json()
        if "errors" in answer:
            raise ValueError(_cause(answer["errors"]))
        return answer

    def sql(self, statement: str) -> list[tuple]:
        """Run a statement and wait for its end; return the rows, insertions only.

        Raises:
            ValueError: Flink refuses it or it fails; the message is the last cause.
        """
        return [row for _, row in self.changes(statement)]

    def changes(self, statement: str) -> Iterator[tuple[str, tuple]]:
        """Run a statement and give its rows as they come, each with what is done with it.

        That is ``INSERT``, ``UPDATE_BEFORE``, ``UPDATE_AFTER`` or ``DELETE``.
        """
        url = f"{self._url}/statements"
        operation = self._ask("POST", url, {"statement": statement})["operationHandle"]
        following = f"/operations/{operation}/result/0"
        try:
            while following:
                answer = self._ask("GET", f"{self._url}{following}?rowFormat=JSON")
                for row in answer.get("results", {}).get("data", []):
                    yield row["kind"], tuple(row["fields"])
                following = answer.get("nextResultUri", "").partition("/operations/")[2]
                following = following and f"/operations/{following.partition('?')[0]}"
        finally:
            self._http.delete(f"{self._url}/operations/{operation}/close", timeout=60)

    def close(self) -> None:
        """End the session; a job that inserts goes on."""
        self._http.delete(self._url, timeout=60)
        self._http.close()

    def __enter__(self) -> SQL:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _cause(errors: list[str]) -> str:
    """The last cause of a Java trace."""
    lines = [line.strip() for line in "\n".join(errors).splitlines()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return (causes[-1].removeprefix("Caused by: ") if causes else lines[0])[:500]
