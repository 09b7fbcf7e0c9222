"""Spark on one machine: ``session()`` starts it with settings that suit a lab.

A lab's data are small, so most of Spark's time goes into starting: classes that Java loads and
compiles. A simple garbage collector and compiler, few partitions and an archive of classes that
are loaded already make that several times shorter.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from labkit.errors import CourseError
from labkit.layers import LAYERS
from labkit.services.artifacts import Jars, Java, cache

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The environment's layer with Spark and its Java.
LAYER = LAYERS["spark"]
JAVA = Java(17, 21)
#: What a session can be given beside Spark itself, and what each needs to be set.
EXTRAS = {
    "kafka": {},
    "delta": {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
    },
    "iceberg": {
        "spark.sql.extensions": (
            "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
        ),
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
    },
}
#: What :func:`session` sets; a lab's own settings count more.
SETTINGS = {
    "spark.master": "local[2]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # To compile code for each query costs more than it saves where tables are small.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.session.timeZone": "UTC",
    # Tables come from and go to pandas as Arrow, not row by row through another Python.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
LOGGING = """\
rootLogger.level = error
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
rootLogger.appenderRef.err.ref = err
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex{short}
"""
_JVM = (
    "-Xss4m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # Most of a small lab's code runs a few times only: to compile it costs more than it saves.
    "-XX:CompileThresholdScaling=2",
    # Java collects its whole heap when the room for compiled code fills; this room does not.
    "-XX:ReservedCodeCacheSize=128m",
    "-XX:-UsePerfData",
    "-Xshare:auto",
)
# As Spark's own launcher, but for a module whose mere mention makes Java ignore the archive.
_OPEN = (
    *(f"java.base/java.{name}" for name in ("lang", "lang.invoke", "lang.reflect", "io", "net")),
    *(f"java.base/java.{name}" for name in ("nio", "util", "util.concurrent")),
    *(f"java.base/{name}" for name in ("java.util.concurrent.atomic", "jdk.internal.ref")),
    *(f"java.base/sun.{name}" for name in ("nio.ch", "nio.cs", "security.action", "util.calendar")),
    "java.security.jgss/sun.security.krb5",
)
FLAGS = (
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPEN),
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dderby.system.durability=test",
)
_MAIN = "org.apache.spark.deploy.SparkSubmit"
#: Work of a typical lab, whose classes go into the archive.
_SAMPLE = """
import pandas as pd
from pyspark.sql import Window, functions as F
from labkit.spark import session
spark = session("archive")
table = spark.createDataFrame(pd.DataFrame({"a": range(99), "b": [n % 7 for n in range(99)]}))
table.createOrReplaceTempView("t")
spark.sql("SELECT b, count(*) n, avg(a) m FROM t WHERE a > 3 GROUP BY b ORDER BY n").toPandas()
counts = table.groupBy("b").agg(F.sum("a").alias("s"))
table.join(counts, "b").withColumn("w", F.when(F.col("a") > 5, 1).otherwise(0)).toPandas()
order = Window.partitionBy("b").orderBy("a")
table.withColumn("r", F.row_number().over(order)).filter("r = 1").collect()
table.write.mode("overwrite").parquet("archive.parquet")
spark.read.parquet("archive.parquet").count()
spark.stop()
"""


def session(
    name: str = "lab",
    *,
    extras: Iterable[str] = (),
    heap_mb: int = 512,
    settings: dict[str, str] | None = None,
) -> SparkSession:
    """The Spark session of this process, started on first use.

    ``extras`` are of :data:`EXTRAS`: ``kafka`` (a source and a sink), ``delta`` and ``iceberg``
    (table formats; Iceberg's catalog is ``lake``, in the folder that ``warehouse`` names in
    ``spark.sql.catalog.lake.warehouse``). ``settings`` are Spark's own, by their full names.

    Raises:
        CourseError: Spark cannot be fetched, or does not start.
    """
    LAYER.fetch()
    from pyspark.sql import SparkSession

    options = dict(SETTINGS)
    for extra in extras:
        for key, value in EXTRAS[extra].items():
            joined = key == "spark.sql.extensions" and key in options
            options[key] = f"{options[key]},{value}" if joined else value
    jars = extra_jars(extras)
    # Spark looks here for the script that starts Java, and runs Python code with this Python.
    with tempfile.TemporaryDirectory(prefix="spark-") as home:
        script = pathlib.Path(home) / "bin" / "spark-submit"
        script.parent.mkdir()
        made = _archive()
        shared = [f"-XX:SharedArchiveFile={made}"] if made.is_file() else []
        (pathlib.Path(home) / "log4j2.properties").write_text(LOGGING)
        shared.append(f"-Dlog4j2.configurationFile={home}/log4j2.properties")
        script.write_text(f'#!/bin/sh\nexec {shlex.join(_java(heap_mb, shared, jars))} "$@"\n')
        script.chmod(0o755)
        os.environ["SPARK_HOME"] = home
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName(name)
        for key, value in (options | (settings or {})).items():
            builder = builder.config(key, value)
        try:
            return builder.getOrCreate()
        except RuntimeError as error:
            raise CourseError(f"Spark does not start ({str(error).splitlines()[0]}).") from None
        finally:
            del os.environ["SPARK_HOME"]


def archive() -> pathlib.Path:
    """The folder with Java's archive of Spark's classes, made on first use; a minute or less.

    Spark runs without it, and takes about half as long again to start.
    """
    LAYER.fetch()
    made = _archive()
    if made.is_file():
        return made.parent
    made.parent.mkdir(parents=True, exist_ok=True)
    print("Preparing the archive of Spark's classes, on first use only.")
    with tempfile.TemporaryDirectory(dir=made.parent) as place:
        listed, part = pathlib.Path(place) / "classes", pathlib.Path(place) / "classes.jsa"
        environment = {**os.environ, "JDK_JAVA_OPTIONS": f"-XX:DumpLoadedClassList={listed}"}
        dump = [
            "-Xshare:dump",
            f"-XX:SharedClassListFile={listed}",
            f"-XX:SharedArchiveFile={part}",
        ]
        command = _java(512, dump)
        steps = [[sys.executable, "-c", _SAMPLE], command[: command.index(_MAIN)]]
        for step in steps:
            done = subprocess.run(
                step, cwd=place, env=environment, capture_output=True, text=True, check=False
            )
            environment = dict(os.environ)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise CourseError(f"The archive of Spark's classes cannot be made ({last}).")
        part.replace(made)
    return made.parent


def extra_jars(extras: Iterable[str]) -> list[pathlib.Path]:
    """The jars of these extras, fetched."""
    return [jar for extra in extras for jar in Jars(f"spark-{extra}").fetch()]


def own_jars() -> pathlib.Path:
    """The folder of the jars that come with Spark."""
    return pathlib.Path(importlib.util.find_spec("pyspark").origin).parent / "jars"


def _java(heap_mb: int, options: list[str], jars: Iterable[pathlib.Path] = ()) -> list[str]:
    """The command that starts Spark, without what a session adds."""
    classpath = os.pathsep.join([str(own_jars() / "*"), *map(str, jars)])
    head = [str(JAVA.fetch()), *options, f"-Xmx{heap_mb}m", *_JVM, *FLAGS]
    return [*head, "-cp", classpath, _MAIN]


def _archive() -> pathlib.Path:
    """Where the archive of this Spark, Java and set of options is kept."""
    # With their folder: Java refuses an archive whose jars have moved.
    jars = sorted(str(path) for path in own_jars().glob("*.jar"))
    release = (JAVA.fetch().parent.parent / "release").read_bytes()
    key = hashlib.sha256(repr([jars, release, _JVM, FLAGS]).encode()).hexdigest()[:12]
    return cache() / "tools" / f"spark-{key}" / "classes.jsa"
