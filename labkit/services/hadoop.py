"""Apache Hadoop: HDFS with WebHDFS and, where asked for, YARN with MapReduce."""

from __future__ import annotations

import io
import uuid
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service

CORE = {
    "fs.defaultFS": "hdfs://{host}:{namenode}",
    "hadoop.tmp.dir": "{folder}/tmp",
    "hadoop.http.staticuser.user": "course",
}
HDFS = {
    "dfs.namenode.name.dir": "file://{folder}/namenode",
    "dfs.datanode.data.dir": "file://{folder}/datanode",
    "dfs.namenode.rpc-address": "{host}:{namenode}",
    "dfs.namenode.rpc-bind-host": "{host}",
    "dfs.namenode.http-address": "{host}:{webhdfs}",
    "dfs.namenode.http-bind-host": "{host}",
    "dfs.datanode.address": "{host}:{data}",
    "dfs.datanode.http.address": "{host}:{data-http}",
    "dfs.datanode.ipc.address": "{host}:{data-ipc}",
    "dfs.datanode.hostname": "{host}",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.replication": "1",
    "dfs.blocksize": "1048576",
    "dfs.namenode.fs-limits.min-block-size": "131072",
    "dfs.namenode.safemode.extension": "0",
    # A gigabyte by default; a sandbox has less in all.
    "dfs.datanode.round-robin-volume-choosing-policy.additional-available-space": "0",
    "dfs.permissions.superusergroup": "course",
}
YARN = {
    "yarn.resourcemanager.hostname": "{host}",
    "yarn.resourcemanager.bind-host": "{host}",
    "yarn.resourcemanager.address": "{host}:{rm}",
    "yarn.resourcemanager.scheduler.address": "{host}:{rm-scheduler}",
    "yarn.resourcemanager.resource-tracker.address": "{host}:{rm-tracker}",
    "yarn.resourcemanager.admin.address": "{host}:{rm-admin}",
    "yarn.resourcemanager.webapp.address": "{host}:{rm-http}",
    "yarn.nodemanager.hostname": "{host}",
    "yarn.nodemanager.bind-host": "{host}",
    "yarn.nodemanager.address": "{host}:{nm}",
    "yarn.nodemanager.localizer.address": "{host}:{nm-localizer}",
    "yarn.nodemanager.webapp.address": "{host}:{nm-http}",
    "yarn.nodemanager.local-dirs": "{folder}/nm-local",
    "yarn.nodemanager.log-dirs": "{folder}/nm-logs",
    "yarn.nodemanager.aux-services": "mapreduce_shuffle",
    "yarn.nodemanager.vmem-check-enabled": "false",
    "yarn.nodemanager.pmem-check-enabled": "false",
    "yarn.nodemanager.resource.memory-mb": "1024",
    "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
    "yarn.scheduler.minimum-allocation-mb": "128",
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "0.8",
    "yarn.application.classpath": "{classpath}",
}
MAPREDUCE = {
    "mapreduce.framework.name": "yarn",
    "mapreduce.shuffle.port": "{shuffle}",
    "mapreduce.application.classpath": "{classpath}",
    "yarn.app.mapreduce.am.resource.mb": "256",
    "yarn.app.mapreduce.am.command-opts": "-Xmx128m {opens}",
    "mapreduce.map.memory.mb": "256",
    "mapreduce.reduce.memory.mb": "256",
    "mapreduce.map.java.opts": "-Xmx128m {opens}",
    "mapreduce.reduce.java.opts": "-Xmx128m {opens}",
    "mapreduce.task.io.sort.mb": "16",
    "yarn.app.mapreduce.am.staging-dir": "/staging",
}
LOGGING = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""
PACKAGES = (
    "java.lang java.util java.util.concurrent java.lang.reflect java.io java.net java.math "
    "java.text java.nio"
)
FLAGS = tuple(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in PACKAGES.split())
#: Who owns the files: Hadoop believes what a client says.
USER = "course"


class Hadoop(Service):
    """Processes ``namenode`` and ``datanode``; ``yarn=True`` adds ``resources`` and ``nodes``."""

    name = "hadoop"
    title = "Apache Hadoop"
    version = "3.4.2"
    label = "engine"
    note = "HDFS; with `yarn=True` also YARN and MapReduce, up to 1,700 MB"
    memory_mb = 700
    disk_mb = 200
    patience = 300.0
    needs = (Jars("hadoop"), Java(17, 21))

    def __init__(self, yarn: bool = False) -> None:
        self.yarn = yarn
        if yarn:
            self.memory_mb = 1700

    def configure(self) -> None:
        """Write the site files and format the name node."""
        jars = self.path(Jars)
        names = ["namenode", "webhdfs", "data", "data-http", "data-ipc"]
        if self.yarn:
            names += ["rm", "rm-scheduler", "rm-tracker", "rm-admin", "rm-http"]
            names += ["nm", "nm-localizer", "nm-http", "shuffle"]
        values = {
            "folder": str(self.folder),
            "host": HOST,
            "classpath": ",".join([f"{self.folder}/conf", *map(str, jars)]),
            "opens": " ".join(FLAGS),
            **{name: str(self.port(name)) for name in names},
        }
        files = {"core": CORE, "hdfs": HDFS}
        if self.yarn:
            files |= {"yarn": YARN, "mapred": MAPREDUCE}
        for file, settings in files.items():
            lines = [
                f"<property><name>{name}</name><value>{value.format_map(values)}</value></property>"
                for name, value in settings.items()
            ]
            self.write(f"conf/{file}-site.xml", f"<configuration>{''.join(lines)}</configuration>")
        self.write("conf/log4j.properties", LOGGING)
        # The jars hold no pages; the daemons want a place for them all the same.
        for place in ("hdfs", "datanode", "secondary", "static"):
            self.write(f"conf/webapps/{place}/WEB-INF/web.xml", "<web-app/>")
        main = "org.apache.hadoop.hdfs.server.namenode.NameNode"
        self.call(self._java(main, "-format", "-nonInteractive"))

    def commands(self) -> dict[str, Command]:
        """The daemons."""
        home = "org.apache.hadoop"
        found = {
            "namenode": self._java(f"{home}.hdfs.server.namenode.NameNode"),
            "datanode": self._java(f"{home}.hdfs.server.datanode.DataNode"),
        }
        if self.yarn:
            server = f"{home}.yarn.server"
            found["resources"] = self._java(f"{server}.resourcemanager.ResourceManager", heap=160)
            found["nodes"] = self._java(f"{server}.nodemanager.NodeManager")
        return found

    def _java(self, main: str, *arguments: object, heap: int = 128) -> Command:
        conf = self.folder / "conf"
        command = self.java(main, *arguments, heap_mb=heap, lead=str(conf), flags=FLAGS)
        home = str(self.path(Java).parents[1])
        env = {"JAVA_HOME": home, "HADOOP_CONF_DIR": str(conf), "HADOOP_USER_NAME": USER}
        return Command(command.argv, env=env, stop=command.stop)

    @property
    def url(self) -> str:
        """Where WebHDFS answers: ``url + "/flights?op=LISTSTATUS"``."""
        return f"http://{HOST}:{self.port('webhdfs')}/webhdfs/v1"

    def client(self, **options: Any) -> Any:
        """A new fsspec file system, through WebHDFS."""
        import fsspec

        known = {"host": HOST, "port": self.port("webhdfs"), "user": USER}
        return fsspec.filesystem("webhdfs", skip_instance_cache=True, **{**known, **options})

    def ready(self) -> bool:
        """A data node is alive, writes are let in and, with YARN, a node is there."""
        import requests

        where = f"http://{HOST}:{self.port('webhdfs')}/jmx?qry=Hadoop:service=NameNode,name="
        (state,) = requests.get(f"{where}FSNamesystemState", timeout=5).json()["beans"]
        (info,) = requests.get(f"{where}NameNodeInfo", timeout=5).json()["beans"]
        if state["NumLiveDataNodes"] < 1 or info["Safemode"]:
            return False
        if not self.yarn:
            return True
        cluster = f"http://{HOST}:{self.port('rm-http')}/ws/v1/cluster/metrics"
        return requests.get(cluster, timeout=5).json()["clusterMetrics"]["activeNodes"] == 1

    def run(self, *arguments: str) -> None:
        """Run a MapReduce job of the jars to its end, as ``hadoop jar`` would.

        ``run("wordcount", "/in", "/out")`` is one of the examples; ``run("streaming", …)`` takes
        the options of Hadoop Streaming. Raises CourseError where the job fails.
        """
        tool, *rest = arguments
        if tool == "streaming":
            command = self._java("org.apache.hadoop.streaming.HadoopStreaming", *rest)
        else:
            command = self._java("org.apache.hadoop.examples.ExampleDriver", tool, *rest)
        self.call(command, f"did not finish the job {tool}")

    def check(self) -> None:
        """Write a file of three blocks and read it back; with YARN, count its words."""
        import requests

        files, folder = self.client(), f"/course-{uuid.uuid4().hex[:8]}"
        data = b"late early late\n" * 160_000
        with files.open(f"{folder}/in/words.txt", "wb") as file:
            file.write(data)
        url = f"{self.url}{folder}/in/words.txt?op=GETFILEBLOCKLOCATIONS&user.name={USER}"
        blocks = requests.get(url, timeout=10).json()["BlockLocations"]["BlockLocation"]
        assert len(blocks) == 3, blocks
        with files.open(f"{folder}/in/words.txt", "rb") as file:
            assert file.read() == data
        if self.yarn:
            self.run("wordcount", f"{folder}/in", f"{folder}/out")
            counted = io.BytesIO(files.cat_file(f"{folder}/out/part-r-00000")).read().decode()
            assert dict(line.split("\t") for line in counted.splitlines()) == {
                "early": "160000",
                "late": "320000",
            }
        files.rm(folder, recursive=True)
