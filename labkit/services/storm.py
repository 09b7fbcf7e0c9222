"""Apache Storm: a cluster in one JVM, with spouts and bolts written in Python."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import uuid
import zipfile
from typing import Any

from labkit.services.gateway import GatewayService
from labkit.services.running import HOST, Command, Jars, Java

ZOOKEEPER = """\
dataDir={folder}/zookeeper
clientPort={port}
clientPortAddress={host}
admin.enableServer=false
"""
LOGGING = """\
<Configuration status="off"><Appenders><Console name="out"/></Appenders>
<Loggers><Root level="info"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""
FLAGS = tuple(
    f"--add-opens=java.base/{each}=ALL-UNNAMED"
    for each in ("java.lang", "java.util", "java.nio", "sun.nio.ch", "java.lang.invoke")
)
SPOUT = """\
import storm

class Flights(storm.Spout):
    def initialize(self, conf, context):
        self.left = [(n, "DUS" if n % 2 else "CGN") for n in range(20)]
    def nextTuple(self):
        if self.left:
            number, airport = self.left.pop()
            storm.emit([airport], id=number)

Flights().run()
"""
BOLT = """\
import collections, pathlib, storm

class Count(storm.BasicBolt):
    def initialize(self, conf, context):
        self.seen, self.out = collections.Counter(), pathlib.Path(conf["out"])
    def process(self, tup):
        airport = tup.values[0]
        self.seen[airport] += 1
        (self.out / airport).write_text(str(self.seen[airport]))

Count().run()
"""


@dataclasses.dataclass(frozen=True)
class Component:
    """A spout, or a bolt that reads: its script, the fields that it emits, how many run.

    ``reads`` names what a bolt reads, and by which fields the tuples are grouped; none: shuffled.
    """

    script: pathlib.Path | str
    emits: tuple[str, ...] = ()
    reads: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    tasks: int = 1


class Storm(GatewayService):
    """A local cluster: processes ``zookeeper`` and ``storm`` (nimbus, supervisors, workers)."""

    name = "storm"
    title = "Apache Storm"
    version = "2.8.3"
    label = "engine"
    note = "a local cluster: one JVM beside ZooKeeper"
    memory_mb = 700
    needs = (Jars("storm"), Java(17, 25))

    def configure(self) -> None:
        """Unpack the module ``storm`` that spouts and bolts import."""
        jar = next(jar for jar in self.path(Jars) if jar.name.startswith("multilang-python"))
        with zipfile.ZipFile(jar) as archive:
            self.write("lib/storm.py", archive.read("resources/storm.py").decode())
        self.write("log4j2.xml", LOGGING)
        about = {"folder": self.folder, "host": HOST, "port": self.port("zookeeper")}
        self.write("zoo.cfg", ZOOKEEPER.format(**about))

    def commands(self) -> dict[str, Command]:
        """ZooKeeper, and a JVM that is told through py4j what to run: the cluster has no program.

        The ZooKeeper that a local cluster would start listens to other machines.
        """
        flags = (*FLAGS, f"-Dlog4j2.configurationFile={self.folder}/log4j2.xml")
        command = self.gateway_command(192, flags)
        env = {"PYTHONPATH": f"{self.folder}/lib", "STORM_LOCAL_DIR": f"{self.folder}/local"}
        keeper = "org.apache.storm.shade.org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return {
            "zookeeper": self.java(keeper, str(self.folder / "zoo.cfg"), heap_mb=64, flags=flags),
            "storm": Command(command.argv, env=env, stop=command.stop),
        }

    def ready(self) -> bool:
        """The local cluster answers; it is made when it is first asked for."""
        gateway = self.client()
        try:
            home = gateway.jvm.org.apache.storm
            if not gateway.jvm.System.getProperties().containsKey("course.cluster"):
                conf = {
                    "storm.zookeeper.servers": [HOST],
                    "storm.zookeeper.port": self.port("zookeeper"),
                    # The state of a killed cluster names topologies whose code is gone.
                    "storm.zookeeper.root": f"/storm-{uuid.uuid4().hex}",
                }
                cluster = home.LocalCluster.Builder().withDaemonConf(conf).build()
                gateway.jvm.System.getProperties().put("course.cluster", cluster)
            return self._cluster(gateway).getClusterInfo() is not None
        finally:
            gateway.close()

    def _cluster(self, gateway: Any) -> Any:
        return gateway.jvm.System.getProperties().get("course.cluster")

    def submit(self, topology: str, settings: dict | None = None, **parts: Component) -> None:
        """Run a topology of spouts (parts that read nothing) and bolts until it is killed.

        ``settings`` reach each part as its ``conf``, beside Storm's.
        """
        gateway = self.client()
        try:
            storm = gateway.jvm.org.apache.storm.generated
            maps = {
                "spout": gateway.jvm.java.util.HashMap(),
                "bolt": gateway.jvm.java.util.HashMap(),
            }
            for name, part in parts.items():
                shell = storm.ShellComponent(sys.executable, str(part.script))
                streams = gateway.jvm.java.util.HashMap()
                streams.put("default", storm.StreamInfo(list(part.emits), False))
                inputs = gateway.jvm.java.util.HashMap()
                for source, fields in part.reads.items():
                    grouped = storm.Grouping.fields(list(fields))
                    shuffled = storm.Grouping.shuffle(storm.NullStruct())
                    stream = storm.GlobalStreamId(source, "default")
                    inputs.put(stream, grouped if fields else shuffled)
                common = storm.ComponentCommon(inputs, streams)
                common.set_parallelism_hint(part.tasks)
                common.set_json_conf(json.dumps(settings or {}))
                body = storm.ComponentObject.shell(shell)
                if part.reads:
                    maps["bolt"].put(name, storm.Bolt(body, common))
                else:
                    maps["spout"].put(name, storm.SpoutSpec(body, common))
            nothing = gateway.jvm.java.util.HashMap()
            built = storm.StormTopology(maps["spout"], maps["bolt"], nothing)
            conf = {"topology.workers": 1, "topology.acker.executors": 1}
            self._cluster(gateway).submitTopology(topology, conf, built)
        finally:
            gateway.close()

    def kill_topology(self, topology: str) -> None:
        """End a topology."""
        gateway = self.client()
        try:
            options = gateway.jvm.org.apache.storm.generated.KillOptions()
            options.set_wait_secs(0)
            self._cluster(gateway).killTopologyWithOpts(topology, options)
        finally:
            gateway.close()

    def check(self) -> None:
        """Count the flights of two airports, each by a bolt of its own."""
        name = f"course-{uuid.uuid4().hex[:8]}"
        out = self.folder / name
        out.mkdir()
        spout = Component(self.write(f"{name}/spout.py", SPOUT), emits=("airport",))
        reads = {"flights": ("airport",)}
        bolt = Component(self.write(f"{name}/bolt.py", BOLT), reads=reads, tasks=2)
        self.submit(name, {"out": str(out)}, flights=spout, count=bolt)
        files = [out / airport for airport in ("DUS", "CGN")]
        self.wait(
            lambda: [file.read_text() for file in files if file.exists()],
            lambda counts: counts == ["10", "10"],
        )
        self.kill_topology(name)
