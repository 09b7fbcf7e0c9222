"""Apache Airflow: API server, scheduler with local executor, and DAG processor."""

from __future__ import annotations

import shutil
import uuid
from typing import Any

from labkit.services.artifacts import made_whole
from labkit.services.running import HOST, Command, PythonEnv, Service

#: Seconds until an answer: a busy machine starts its workers slowly.
PATIENCE = 120
DAG = """\
from airflow.sdk import dag, task


@dag(schedule=None, dag_id="{name}")
def delays():
    @task
    def extract() -> list[int]:
        return [5, 7, 2]

    @task
    def total(minutes: list[int]) -> int:
        return sum(minutes)

    total(extract())


delays()
"""


class Airflow(Service):
    """Processes ``api``, ``scheduler`` and ``processor``; DAGs lie in :attr:`dags`."""

    name = "airflow"
    title = "Apache Airflow"
    version = "3.3.2"
    label = "engine"
    note = "its DAGs run in an environment of its own"
    memory_mb = 1500
    disk_mb = 100
    patience = 400.0
    needs = (PythonEnv("airflow", 197),)

    def fetch(self) -> None:
        """Also make an empty database, once: it takes long."""
        super().fetch()
        if not self._template.is_dir():
            with self.preparing(), made_whole(self._template) as partial:
                self.call(self._airflow("db", "migrate"))
                shutil.copy(self.folder / "airflow.db", partial / "airflow.db")
                (partial / "airflow.db").chmod(0o644)

    @property
    def _template(self) -> Any:
        return self.path(PythonEnv) / "empty-database"

    def configure(self) -> None:
        """Copy the empty database and make the folder of the DAGs."""
        self.dags.mkdir(exist_ok=True)
        self._secret = uuid.uuid4().hex
        shutil.copy(self._template / "airflow.db", self.folder / "airflow.db")

    @property
    def dags(self) -> Any:
        """The folder (a path) of the DAG files; a new file is found within seconds."""
        return self.folder / "dags"

    @property
    def url(self) -> str:
        """Where its pages and, under ``/api/v2``, its interface are."""
        return f"http://{HOST}:{self.port('api')}"

    def _airflow(self, *arguments: str) -> Command:
        secret = getattr(self, "_secret", "none")
        settings = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": f"{self.folder}/dags",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__INTERNAL_API_SECRET_KEY": secret,
            "CORE__PARALLELISM": "2",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "API_AUTH__JWT_SECRET": secret * 2,
            "API__SECRET_KEY": secret,
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            "LOGGING__BASE_LOG_FOLDER": f"{self.folder}/task-logs",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        env = {f"AIRFLOW__{name}": value for name, value in settings.items()}
        programs = self.path(PythonEnv) / "bin"
        env |= {"AIRFLOW_HOME": str(self.folder), "PATH": f"{programs}:/usr/bin:/bin"}
        return Command([str(programs / "airflow"), *arguments], env=env)

    def commands(self) -> dict[str, Command]:
        """The three servers; the scheduler shows its logs to nobody."""
        listen = ("--host", HOST, "--port", str(self.port("api")))
        return {
            "api": self._airflow("api-server", *listen),
            "scheduler": self._airflow("scheduler", "--skip-serve-logs"),
            "processor": self._airflow("dag-processor"),
        }

    def client(self) -> Any:
        """A new ``requests.Session`` that is let in to the interface under :attr:`url`."""
        import requests

        client = requests.Session()
        answer = client.get(f"{self.url}/auth/token", timeout=PATIENCE)
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    def test(self, dag: str) -> None:
        """Run a DAG once, as ``airflow dags test`` does; raise where it fails."""
        self.call(self._airflow("dags", "test", dag), f"did not finish the DAG {dag}")

    def run(self, dag: str) -> str:
        """Have the scheduler run a DAG, wait for its end, return ``success`` or ``failed``."""
        where = f"{self.url}/api/v2/dags/{dag}"
        with self.client() as client:
            self.wait(lambda: client.get(where, timeout=PATIENCE).ok, bool)
            client.patch(where, json={"is_paused": False}, timeout=PATIENCE).raise_for_status()
            answer = client.post(f"{where}/dagRuns", json={"logical_date": None}, timeout=PATIENCE)
            answer.raise_for_status()
            run = f"{where}/dagRuns/{answer.json()['dag_run_id']}"
            return self.wait(
                lambda: client.get(run, timeout=PATIENCE).json()["state"],
                lambda state: state in ("success", "failed"),
            )

    def ready(self) -> bool:
        """The API answers, and the scheduler and the processor have been heard of."""
        import requests

        health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def check(self) -> None:
        """Find a new DAG of two tasks and run it."""
        name = f"course_{uuid.uuid4().hex[:8]}"
        (self.dags / f"{name}.py").write_text(DAG.format(name=name))
        assert self.run(name) == "success"
        (self.dags / f"{name}.py").unlink()
