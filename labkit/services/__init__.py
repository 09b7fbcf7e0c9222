"""Real systems for labs, on this machine: no Docker, no root, no account.

>>> from labkit.services import service
>>> with service("kafka") as kafka:
...     kafka.client()
"""

from __future__ import annotations

import importlib
from typing import Any

from labkit import lab
from labkit.errors import CourseError
from labkit.services.running import Service, clean_up

#: Each system's module, which bears its name, and the class in it; the order of the table.
SERVICES = {
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "valkey": "Valkey",
    "memcached": "Memcached",
    "mongodb": "MongoDB",
    "cassandra": "Cassandra",
    "hbase": "HBase",
    "etcd": "Etcd",
    "questdb": "QuestDB",
    "kafka": "Kafka",
    "connect": "Connect",
    "spark": "Spark",
    "hudi": "Hudi",
    "flink": "Flink",
    "storm": "Storm",
    "samza": "Samza",
    "hadoop": "Hadoop",
    "hive": "Hive",
    "seaweedfs": "SeaweedFS",
    "gcs": "GCS",
    "azurite": "Azurite",
    "moto": "Moto",
    "duckdb": "DuckDB",
    "duckdb_spatial": "DuckDBSpatial",
    "bigquery": "BigQuery",
    "fakesnow": "Fakesnow",
    "airflow": "Airflow",
    "dagster": "Dagster",
    "luigi": "Luigi",
    "prometheus": "Prometheus",
}

__all__ = ["SERVICES", "Service", "clean_up", "load", "service"]


def load(name: str) -> type[Service]:
    """Return the class of a service.

    Raises:
        CourseError: there is no such service.
    """
    if name not in SERVICES:
        raise CourseError(f"There is no service {name!r}: there are {', '.join(SERVICES)}.")
    return getattr(importlib.import_module(f"labkit.services.{name}"), SERVICES[name])


def service(name: str, *, version: str = "", **options: Any) -> Any:
    """Start a system and return it running and ready, on this machine's loopback address only.

    ``version`` is only compared: there is one of each. ``options`` are those of the system, such as
    ``brokers=3``. It ends with its ``with`` block, with :meth:`Service.stop`, or with the kernel.

    Raises:
        CourseError: it cannot be started; the message says why and what to do.
    """
    kind = load(name)
    if version and version != kind.version:
        raise CourseError(
            f"{kind.title} is here in version {kind.version}, not {version}: "
            f"leave the version out, or ask for {kind.version}."
        )
    if lab.asked_elsewhere():
        return Elsewhere()
    return kind(**options).start()


class Elsewhere:
    """A service where checks are judged: it runs beside the answer, which alone can use it.

    Stands in for the service and its clients in a lab's set-up cell; nothing can be asked of it.
    """

    def __getattr__(self, name: str) -> Elsewhere:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_args: Any, **_options: Any) -> Elsewhere:
        return self

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_error: object) -> None:
        pass
