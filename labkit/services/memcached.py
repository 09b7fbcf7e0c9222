"""memcached, from the system's packages."""

from __future__ import annotations

from typing import Any

from labkit.services.running import HOST, Command, Program, Service


class Memcached(Service):
    """One server with 16 MB of cache."""

    name = "memcached"
    title = "memcached"
    version = "1.6"
    label = "engine"
    memory_mb = 100
    needs = (Program("memcached", apt="memcached", brew="memcached"),)

    def commands(self) -> dict[str, Command]:
        """The server, without UDP."""
        argv = [str(self.path(Program)), "-l", HOST, "-p", str(self.port("memcached"))]
        return {"memcached": Command([*argv, "-U", "0", "-m", "16", "-t", "2"], unprivileged=True)}

    def client(self, **options: Any) -> Any:
        """A new pymemcache client."""
        from pymemcache.client.base import Client

        options = {"connect_timeout": 5, "timeout": 5, **options}
        return Client((HOST, self.port("memcached")), **options)

    def ready(self) -> bool:
        """The server says its version."""
        return bool(self.client().version())

    def check(self) -> None:
        """Set and get, compare and set, and fill it until it evicts."""
        client = self.client()
        client.set("gate", b"A1")
        value, token = client.gets("gate")
        assert value == b"A1"
        assert client.cas("gate", b"B2", token) is True
        assert client.cas("gate", b"C3", token) is False
        assert client.get("gate") == b"B2"
        for n in range(40):
            client.set(f"block-{n}", bytes(900_000), noreply=False)
        assert int(client.stats()[b"evictions"]) > 0
        assert client.get("block-0") is None
        client.flush_all()
        client.close()
