"""Azurite: Azure Blob Storage's protocol, by Microsoft's own emulator."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from labkit.services.artifacts import NodeEnv
from labkit.services.running import HOST, Command, Service

#: The account that the emulator's documentation publishes.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(Service):
    """One process, ``azurite``, with blobs alone."""

    name = "azurite"
    title = "Azure Blob Storage by Azurite"
    version = "3.37.0"
    label = "compatible"
    note = "blobs; its Data Lake Gen2 has no directories"
    memory_mb = 400
    disk_mb = 50
    needs = (NodeEnv("azurite", 110),)

    def commands(self) -> dict[str, Command]:
        """The server of blobs."""
        env = next(need for need in self.needs if isinstance(need, NodeEnv))
        script = env.folder() / "node_modules/azurite/dist/src/blob/main.js"
        where = ["--blobHost", HOST, "--blobPort", str(self.port("blob"))]
        # Clients are newer than the emulator; what it lacks it refuses by itself.
        options = ["--skipApiVersionCheck", "--silent", "--disableTelemetry"]
        options += ["--location", str(self.folder / "data")]
        heap = "--max-old-space-size=256"
        return {"azurite": Command([str(env.node()), heap, str(script), *where, *options])}

    @property
    def connection_string(self) -> str:
        """What clients take to connect."""
        place = f"http://{HOST}:{self.port('blob')}/{ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={place};"
        )

    def client(self, **options: Any) -> Any:
        """A new ``BlobServiceClient`` of azure-storage-blob."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string, **options)

    def ready(self) -> bool:
        """It lists the account's containers."""
        with self.client(retry_total=0, connection_timeout=2, read_timeout=5) as client:
            list(client.list_containers())
        return True

    def check(self) -> None:
        """A write that must not overwrite, a lease, and a signature that may only read."""
        from azure.core.exceptions import HttpResponseError, ResourceExistsError
        from azure.storage.blob import BlobClient, BlobSasPermissions, generate_blob_sas

        with self.client() as client:
            container = client.create_container(f"course-{uuid.uuid4().hex[:8]}")
            blob = container.upload_blob("delays.csv", b"JFK,5\n")
            try:
                container.upload_blob("delays.csv", b"JFK,9\n")
                raise AssertionError("a blob was overwritten without being asked to")
            except ResourceExistsError:
                pass
            lease = blob.acquire_lease(15)
            try:
                blob.upload_blob(b"JFK,9\n", overwrite=True)
                raise AssertionError("a leased blob was overwritten")
            except HttpResponseError as error:
                assert error.status_code == 412, error.status_code
            lease.release()
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
            token = generate_blob_sas(
                ACCOUNT,
                container.container_name,
                "delays.csv",
                account_key=KEY,
                permission=BlobSasPermissions(read=True),
                expiry=ends,
            )
            with BlobClient.from_blob_url(f"{blob.url}?{token}") as reader:
                assert reader.download_blob().readall() == b"JFK,5\n"
                try:
                    reader.delete_blob()
                    raise AssertionError("a signature to read could delete")
                except HttpResponseError as error:
                    assert error.status_code == 403, error.status_code
            container.delete_container()
