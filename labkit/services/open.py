"""Systems of the guide that cannot be started here, why, and the way of a learner who has more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Open:
    """A row of the table that stays open."""

    title: str
    reason: str
    #: What somebody with Docker or an account does; the client code is the same.
    instead: str


OPEN: tuple[Open, ...] = (
    Open(
        "Oracle Database",
        "No package of a registry holds it.",
        "With Docker: the image `gvenzl/oracle-free`, port 1521, then `oracledb.connect`.",
    ),
    Open(
        "MongoDB itself",
        "No package of a registry holds its server; those that promise it fetch it elsewhere.",
        "With Docker: the image `mongo`, port 27017; then pymongo, as with `mongodb`.",
    ),
    Open(
        "CockroachDB",
        "No package of a registry holds its server.",
        "With Docker: the image `cockroachdb/cockroach`, `start-single-node --insecure`; psycopg "
        "connects to port 26257.",
    ),
    Open(
        "Google Cloud Spanner",
        "Its emulator comes with Google's command line or as an image, and in no package.",
        "With that: `gcloud emulators spanner start`, or the image "
        "`cloud-spanner-emulator/emulator`, and `SPANNER_EMULATOR_HOST`.",
    ),
    Open(
        "Azure Data Lake Storage Gen2",
        "Azurite has no hierarchical namespace: it makes a file system, and no directory in it.",
        "With an account: `azure-storage-file-datalake`; blobs work the same with `azurite`.",
    ),
    Open(
        "Amazon EMR and Google Dataproc",
        "They are Hadoop and Spark as a service; moto's EMR takes steps and runs none of them.",
        "With an account: `boto3.client('emr')` or `google-cloud-dataproc`; the same jobs run on "
        "`spark` and `hadoop` here.",
    ),
    Open(
        "Amazon Redshift, Athena and Glue",
        "moto answers with the same canned rows to any SQL, so it is no result.",
        "With an account: `boto3`; here SQL of warehouses runs on `fakesnow` and `bigquery`.",
    ),
    Open(
        "Docker",
        "Containers need an engine and rights that a notebook's process does not have.",
        "With Docker installed: `docker build` and `docker run`.",
    ),
    Open(
        "Kubernetes",
        "Its control plane is in no package, and takes a learner's machine ten minutes and 2 GB to "
        "build with Go (version 1.36).",
        "With Docker: `kind create cluster`, then the package `kubernetes`.",
    ),
    Open(
        "Terraform",
        "Its binary is in no package that is kept, and its providers (675 MB for AWS) are in none.",
        "With `terraform` on the PATH and a network: `terraform init`; its AWS provider takes "
        "`moto` by `endpoints { … }`.",
    ),
    Open(
        "Trino",
        "Its server is one archive of 821 MB, and wants a Java that other systems refuse (24).",
        "With Docker: the image `trinodb/trino`, port 8080, then the package `trino`.",
    ),
    Open(
        "Apache Beam on Flink or Samza (Beam itself is a layer of the environment)",
        "The job server for Flink takes jobs from every machine of the network, and Samza's is not "
        "published for this Beam.",
        "With Docker: the image `apache/beam_flink1.19_job_server`, `PortableRunner`.",
    ),
)
