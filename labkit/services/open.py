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
        "With Docker: the image `gvenzl/oracle-free`, then `oracledb.connect`.",
    ),
    Open(
        "CockroachDB",
        "No package of a registry holds its server.",
        "With Docker: the image `cockroachdb/cockroach`, `start-single-node`; psycopg connects.",
    ),
    Open(
        "Google Cloud Spanner",
        "Its emulator is published only as an image.",
        "With Docker: the image `cloud-spanner-emulator/emulator`, and `SPANNER_EMULATOR_HOST`.",
    ),
    Open(
        "Apache Beam on Flink or Samza (Beam itself is a layer of the environment)",
        "The job server for Flink takes jobs from every machine of the network, and Samza's is not "
        "published for this Beam.",
        "With Docker: the image `apache/beam_flink1.19_job_server`, `PortableRunner`.",
    ),
)
