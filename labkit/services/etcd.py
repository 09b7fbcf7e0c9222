"""etcd: three nodes that agree by Raft, of which one may die, from the system's packages."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.services.running import HOST, Command, Program, Service


class Etcd(Service):
    """``service("etcd", nodes=3)``: processes ``node-1`` to ``node-3``."""

    name = "etcd"
    title = "etcd"
    version = "3.4"
    label = "engine"
    memory_mb = 300
    disk_mb = 400  # each of three nodes reserves two logs of 64 MB
    needs = (Program("etcd", apt="etcd-server", brew="etcd"),)

    def __init__(self, nodes: int = 3) -> None:
        self.nodes = [f"node-{number}" for number in range(1, nodes + 1)]

    def commands(self) -> dict[str, Command]:
        """One process for each node; all know all."""
        peers = {node: f"http://{HOST}:{self.port(f'{node}-peer')}" for node in self.nodes}
        cluster = ",".join(f"{node}={address}" for node, address in peers.items())
        found = {}
        for node in self.nodes:
            settings = {
                "name": node,
                "data-dir": f"{self.folder}/{node}",
                "listen-client-urls": self.address(node),
                "advertise-client-urls": self.address(node),
                "listen-peer-urls": peers[node],
                "initial-advertise-peer-urls": peers[node],
                "initial-cluster": cluster,
                "heartbeat-interval": 100,
                "election-timeout": 1000,
                "logger": "zap",
                "log-level": "warn",
            }
            argv = [str(self.path(Program))]
            argv += [f"--{name}={value}" for name, value in settings.items()]
            found[node] = Command(argv)
        return found

    def address(self, node: str) -> str:
        """Where a node answers clients."""
        return f"http://{HOST}:{self.port(node)}"

    def client(self, node: str = "node-1", **options: Any) -> Any:
        """A new etcd3gw client of one node, through its JSON gateway."""
        import etcd3gw

        options = {"timeout": 10, "api_path": "/v3/", **options}
        return etcd3gw.client(host=HOST, port=self.port(node), **options)

    def leader(self) -> str:
        """The name of the node that leads, as a running node knows it; raises where none does."""
        node = self.running()[0]
        status = self.client(node, timeout=2).status()
        members = self.client(node, timeout=2).members()
        return next(each["name"] for each in members if each["ID"] == status["leader"])

    def ready(self) -> bool:
        """A leader is known, and is not a dead one, and each node that runs has its word."""
        running = self.running()
        words = [self.client(node, timeout=2).get("ready") for node in running]
        return self.leader() in running and words == [[]] * len(running)

    def settle(self) -> None:
        """Wait until the nodes that are left have a leader of their own."""
        self._await(self.running(), self.ready)

    def check(self) -> None:
        """Write and read, compare and swap, and read what another node has been told."""
        self.settle()
        first, *others = (self.client(node) for node in self.running())
        key = f"gate-{uuid.uuid4().hex[:8]}"
        assert first.create(key, "A1")
        assert not first.create(key, "B2"), "a key was made twice"
        assert first.replace(key, "A1", "C3")
        assert not first.replace(key, "A1", "D4"), "an old value was taken for the new one"
        for client in (first, *others):
            assert client.get(key) == [b"C3"]
