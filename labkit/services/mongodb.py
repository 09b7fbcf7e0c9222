"""MongoDB's protocol by mongo-java-server, in memory."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.services.running import HOST, Command, Jars, Java, Service


class MongoDB(Service):
    """One server; documents, queries, aggregation and indexes, nothing of a replica set."""

    name = "mongodb"
    title = "MongoDB by mongo-java-server"
    version = "1.47.0"
    label = "compatible"
    note = (
        "in memory; no transactions, change streams, validators, text or geo search; "
        "`pymongo` below 4.13"
    )
    memory_mb = 250
    needs = (Jars("mongodb"), Java(17, 25))

    def commands(self) -> dict[str, Command]:
        """A JVM that is told through py4j what to start: the server has no program of its own."""
        port = str(self.port("gateway"))
        gateway = self.java("py4j.GatewayServer", "--enable-auth", port, heap_mb=64)
        return {"mongodb": gateway}

    @property
    def url(self) -> str:
        """The address as clients take it."""
        return f"mongodb://{HOST}:{self.port('mongodb')}/"

    def client(self, **options: Any) -> Any:
        """A new ``pymongo.MongoClient``."""
        import pymongo

        return pymongo.MongoClient(self.url, **{"serverSelectionTimeoutMS": 5000, **options})

    def ready(self) -> bool:
        """It answers a ping, once it was told to begin."""
        from pymongo.errors import ConnectionFailure

        try:
            with self.client(serverSelectionTimeoutMS=200) as client:
                return client.admin.command("ping")["ok"] == 1
        except ConnectionFailure:
            self._begin_to_serve()
            return False

    def _begin_to_serve(self) -> None:
        """Bind the server, then close the gateway: it could run anything."""
        from py4j.java_gateway import GatewayParameters, JavaGateway

        token = (self.folder / "logs" / "mongodb.log").read_text().split()[-1]
        where = {"address": HOST, "port": self.port("gateway"), "auth_token": token}
        gateway = JavaGateway(gateway_parameters=GatewayParameters(**where))
        home = gateway.jvm.de.bwaldvogel.mongo
        backend = home.backend.memory.MemoryBackend().version(home.ServerVersion.MONGO_5_0)
        home.MongoServer(backend).bind(HOST, self.port("mongodb"))
        gateway.shutdown()

    def check(self) -> None:
        """Insert, group, join, and refuse a second document with one key."""
        from pymongo.errors import DuplicateKeyError

        with self.client() as client:
            base = client[f"course_{uuid.uuid4().hex[:8]}"]
            rows = [{"airport": a, "minutes": m} for a in ("DUS", "CGN") for m in (1, 2, 3)]
            base.delays.insert_many(rows)
            base.airports.create_index("code", unique=True)
            base.airports.insert_one({"code": "DUS", "city": "Düsseldorf"})
            try:
                base.airports.insert_one({"code": "DUS"})
                raise AssertionError("a unique index took a second document")
            except DuplicateKeyError:
                pass
            join = {"from": "airports", "localField": "_id", "foreignField": "code", "as": "where"}
            stages = [
                {"$group": {"_id": "$airport", "total": {"$sum": "$minutes"}}},
                {"$lookup": join},
                {"$sort": {"_id": 1}},
            ]
            found = [
                (row["_id"], row["total"], len(row["where"]))
                for row in base.delays.aggregate(stages)
            ]
            assert found == [("CGN", 6, 0), ("DUS", 6, 1)]
            client.drop_database(base.name)
