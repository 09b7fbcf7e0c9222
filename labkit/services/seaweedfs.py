"""SeaweedFS: a distributed object store that speaks S3's protocol."""

from __future__ import annotations

import json
import uuid
from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service

KEY, SECRET = "course", "course-secret"


class SeaweedFS(Service):
    """A master, a volume server, a filer and the S3 gateway, in one process."""

    name = "seaweedfs"
    title = "S3 by SeaweedFS"
    version = "4.48"
    label = "compatible"
    memory_mb = 500
    disk_mb = 200
    needs = (PythonEnv("seaweedfs", 147),)

    def configure(self) -> None:
        """Name the one user that is let in."""
        keys = [{"accessKey": KEY, "secretKey": SECRET}]
        user = {"name": KEY, "credentials": keys, "actions": ["Admin", "Read", "Write", "List"]}
        self.write("s3.json", json.dumps({"identities": [user]}))
        (self.folder / "data").mkdir(exist_ok=True)

    def commands(self) -> dict[str, Command]:
        """All parts in one process; each also takes the port 10,000 above its own."""
        settings = {
            "dir": f"{self.folder}/data",
            "ip": HOST,
            "ip.bind": HOST,
            "master.port": self.port("master"),
            "master.volumeSizeLimitMB": 64,
            "volume.port": self.port("volume"),
            "volume.max": 20,
            "filer": "true",
            "filer.port": self.port("filer"),
            "s3": "true",
            "s3.port": self.port("s3"),
            "s3.config": f"{self.folder}/s3.json",
        }
        argv = [str(self.path(PythonEnv) / "bin" / "weed"), "server"]
        argv += [f"-{name}={value}" for name, value in settings.items()]
        return {"seaweedfs": Command(argv)}

    @property
    def endpoint(self) -> str:
        """The address, as clients take it for ``endpoint_url``."""
        return f"http://{HOST}:{self.port('s3')}"

    def client(self, **options: Any) -> Any:
        """A new boto3 client of S3."""
        import boto3

        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
        known = {"endpoint_url": self.endpoint, "region_name": "us-east-1"}
        return boto3.client("s3", **{**known, **keys, **options})

    def ready(self) -> bool:
        """A bucket can be made: the gateway answers before the store can hold anything."""
        from botocore.config import Config

        patience = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
        client = self.client(config=patience)
        client.create_bucket(Bucket="ready")
        client.put_object(Bucket="ready", Key="ready", Body=b"yes")
        client.delete_object(Bucket="ready", Key="ready")
        client.delete_bucket(Bucket="ready")
        return True

    def check(self) -> None:
        """Versions, an upload in parts, a write that must not overwrite."""
        from botocore.exceptions import ClientError

        client, name = self.client(), f"course-{uuid.uuid4().hex[:8]}"
        client.create_bucket(Bucket=name)
        versioning = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        for body in (b"1", b"2"):
            client.put_object(Bucket=name, Key="a", Body=body)
        versions = client.list_object_versions(Bucket=name, Prefix="a")["Versions"]
        got = [
            client.get_object(Bucket=name, Key="a", VersionId=each["VersionId"])["Body"].read()
            for each in versions
        ]
        assert got == [b"2", b"1"], got
        try:
            client.put_object(Bucket=name, Key="a", Body=b"3", IfNoneMatch="*")
            raise AssertionError("an object was overwritten in spite of If-None-Match")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed", error
        upload = client.create_multipart_upload(Bucket=name, Key="big")["UploadId"]
        parts = []
        for number, body in enumerate((bytes(5 * 2**20), b"end"), start=1):
            about = {"Bucket": name, "Key": "big", "UploadId": upload, "PartNumber": number}
            parts.append(
                {"PartNumber": number, "ETag": client.upload_part(**about, Body=body)["ETag"]}
            )
        done = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        client.complete_multipart_upload(Bucket=name, Key="big", **done)
        assert client.head_object(Bucket=name, Key="big")["ContentLength"] == 5 * 2**20 + 3
