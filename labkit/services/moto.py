"""moto: many AWS services in one process, in memory."""

from __future__ import annotations

import json
import uuid
from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service

REGION = "eu-central-1"


class Moto(Service):
    """AWS by moto: S3, DynamoDB, Kinesis, SNS, SQS, KMS, Firehose, IAM, CloudFormation and more."""

    name = "moto"
    title = "AWS by moto"
    version = "5.2.5"
    label = "compatible"
    note = "its Athena, Redshift, Glue, EMR and Lambda answer without running anything"
    memory_mb = 500
    needs = (PythonEnv("moto", 163),)

    def commands(self) -> dict[str, Command]:
        """One server for all services."""
        argv = [str(self.path(PythonEnv) / "bin" / "moto_server"), "-H", HOST]
        env = {
            "MOTO_STEPFUNCTIONS_EXECUTE_STATE_MACHINE": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {"moto": Command([*argv, "-p", str(self.port("moto"))], env=env)}

    @property
    def endpoint(self) -> str:
        """The address, as clients take it for ``endpoint_url``."""
        return f"http://{HOST}:{self.port('moto')}"

    def client(self, kind: str = "s3", **options: Any) -> Any:
        """A new boto3 client of one AWS service; everything is allowed but :meth:`enforce`."""
        import boto3

        known = {"endpoint_url": self.endpoint, "region_name": REGION}
        keys = {"aws_access_key_id": "course", "aws_secret_access_key": "course"}
        return boto3.client(kind, **{**known, **keys, **options})

    def reset(self) -> None:
        """Forget everything."""
        self._post("reset")

    def enforce(self, after: int = 0) -> None:
        """Have IAM's policies decide from now on, after so many requests that still may all."""
        self._post("reset-auth", data=str(after))

    def _post(self, what: str, **options: Any) -> None:
        import requests

        url = f"{self.endpoint}/moto-api/{what}"
        requests.post(url, timeout=10, **options).raise_for_status()

    def ready(self) -> bool:
        """It answers."""
        import requests

        return requests.get(f"{self.endpoint}/moto-api/data.json", timeout=2).ok

    def check(self) -> None:
        """A conditional write, a table, a stream, and a policy that forbids."""
        from botocore.exceptions import ClientError

        name = f"course-{uuid.uuid4().hex[:8]}"
        s3 = self.client("s3")
        place = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        s3.put_object(Bucket=name, Key="a", Body=b"1", IfNoneMatch="*")
        assert _refused(s3.put_object, Bucket=name, Key="a", Body=b"2", IfNoneMatch="*")
        assert s3.get_object(Bucket=name, Key="a")["Body"].read() == b"1"

        kinesis = self.client("kinesis")
        kinesis.create_stream(StreamName=name, ShardCount=1)
        kinesis.put_record(StreamName=name, Data=b"late", PartitionKey="DUS")
        shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
        where = {"ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        place = kinesis.get_shard_iterator(StreamName=name, **where)["ShardIterator"]
        records = kinesis.get_records(ShardIterator=place)["Records"]
        assert [record["Data"] for record in records] == [b"late"]

        iam = self.client("iam")
        iam.create_user(UserName=name)
        rule = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
        reader = self.client("s3", **keys)
        self.enforce()
        try:
            assert reader.get_object(Bucket=name, Key="a")["Body"].read() == b"1"
            assert _refused(reader.delete_object, Bucket=name, Key="a")
        except ClientError as error:
            raise AssertionError(f"IAM refused what it allows: {error}") from None
        finally:
            self.enforce(after=10**9)


def _refused(call: Any, **arguments: Any) -> bool:
    from botocore.exceptions import ClientError

    try:
        call(**arguments)
    except ClientError:
        return True
    return False
