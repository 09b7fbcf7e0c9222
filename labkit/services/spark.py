"""Apache Spark as a standalone cluster: a master and a worker. In one JVM: `labkit.spark`."""

from __future__ import annotations

import sys
from typing import Any

from labkit import spark
from labkit.layers import LAYERS
from labkit.services.artifacts import Jars
from labkit.services.running import HOST, JVM, Command, Java, Service

# Spark opens a module that Java from a wheel does not have.
WRAPPER = """\
#!/bin/bash
arguments=()
for each in "$@"; do
    [ "$each" = "--add-modules=jdk.incubator.vector" ] || arguments+=("$each")
done
exec "{java}" "${{arguments[@]}}"
"""


class Spark(Service):
    """Processes ``master`` and ``worker`` (two cores); :meth:`client` is a session on them."""

    name = "spark"
    title = "Apache Spark"
    version = "4.1.3"
    label = "engine"
    note = "a standalone cluster; with Delta Lake 4.4, Iceberg 1.12 and the Kafka source"
    memory_mb = 1500
    disk_mb = 100
    needs = (
        LAYERS["spark"],
        *(Jars(f"spark-{extra}") for extra in spark.EXTRAS),
        Java(17, 21),
    )

    def fetch(self) -> None:
        """Also make the archive of classes, for a quick start."""
        super().fetch()
        spark.archive()

    def configure(self) -> None:
        """Write the Java that starts executors, and what is logged."""
        wrapper = self.write("java/bin/java", WRAPPER.format(java=self.path(Java)))
        wrapper.chmod(0o755)
        self.write("log4j2.properties", spark.LOGGING)

    @property
    def url(self) -> str:
        """Where the master takes applications: ``spark://…``."""
        return f"spark://{HOST}:{self.port('master')}"

    def commands(self) -> dict[str, Command]:
        """The two JVMs; the worker starts one more for each application's executor."""
        home = "org.apache.spark.deploy"
        place = ("--host", HOST)
        master = ("--port", self.port("master"), "--webui-port", self.port("master-http"))
        worker = ("--port", self.port("worker"), "--webui-port", self.port("worker-http"))
        size = ("--cores", 2, "--memory", "700m", "--work-dir", self.folder / "work")
        return {
            "master": self._java(f"{home}.master.Master", *place, *master),
            "worker": self._java(f"{home}.worker.Worker", *place, *worker, *size, self.url),
        }

    def _java(self, main: str, *arguments: object) -> Command:
        head = [self.path(Java), *JVM, "-Xmx128m", *spark.FLAGS]
        head.append(f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties")
        argv = [*head, "-cp", spark.own_jars() / "*", main, *arguments]
        env = {
            "SPARK_HOME": str(spark.own_jars().parent),
            "SPARK_SCALA_VERSION": "2.13",  # or it looks for the folders of a build
            "JAVA_HOME": str(self.folder / "java"),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_LOCAL_DIRS": str(self.folder / "tmp"),
            "PYSPARK_PYTHON": sys.executable,
        }
        stop = self.java(main, heap_mb=128).stop
        return Command([str(part) for part in argv], env=env, stop=stop)

    def client(self, **options: Any) -> Any:
        """The session of this process, on the cluster; ``options`` are those of `spark.session`."""
        settings = {
            "spark.master": self.url,
            "spark.executor.memory": "512m",
            "spark.executor.extraJavaOptions": " ".join(JVM[:5]),
        }
        return spark.session(settings=settings | options.pop("settings", {}), **options)

    def ready(self) -> bool:
        """The worker has told the master of itself."""
        import requests

        state = requests.get(f"http://{HOST}:{self.port('master-http')}/json/", timeout=5).json()
        return [worker["state"] for worker in state["workers"]].count("ALIVE") == 1

    def check(self) -> None:
        """Group on the executor, with a function of Python's; write and read a table."""
        session = self.client()
        try:
            rows = session.range(1000, numPartitions=2).rdd.map(lambda row: (row.id % 3, 1))
            counts = dict(rows.reduceByKey(lambda a, b: a + b).collect())
            assert counts == {0: 334, 1: 333, 2: 333}, counts
            place = str(self.folder / "table")
            session.range(10).write.mode("overwrite").parquet(place)
            assert session.read.parquet(place).count() == 10
        finally:
            session.stop()
