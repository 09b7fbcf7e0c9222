"""Dagster: its web server, and the daemon that runs schedules and sensors."""

from __future__ import annotations

import pathlib
from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service

INSTANCE = """\
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
DEFINITIONS = """\
import dagster


@dagster.asset
def flights() -> list[int]:
    return [5, 7, 2]


@dagster.asset
def delay(flights: list[int]) -> int:
    return sum(flights)


@dagster.asset_check(asset=delay)
def delay_is_not_negative(delay: int) -> dagster.AssetCheckResult:
    return dagster.AssetCheckResult(passed=delay >= 0, metadata={"minutes": delay})


defs = dagster.Definitions(assets=[flights, delay], asset_checks=[delay_is_not_negative])
"""
LAUNCH = """\
mutation ($where: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $where}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
MADE = """\
query ($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 1) { runId } } }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class Dagster(Service):
    """``service("dagster", code="definitions.py")``: processes ``webserver`` and ``daemon``.

    The code runs in Dagster's own Python environment, which has the packages of Dagster only.
    """

    name = "dagster"
    title = "Dagster"
    version = "1.13.27"
    label = "engine"
    note = "its code runs in an environment of its own"
    memory_mb = 1400
    patience = 300.0
    needs = (PythonEnv("dagster", 153),)

    def __init__(self, code: str | pathlib.Path = "") -> None:
        self.code = pathlib.Path(code).resolve() if code else None

    def configure(self) -> None:
        """Write the instance's settings and take the learner's definitions."""
        self.write("dagster/dagster.yaml", INSTANCE)
        self.write("definitions.py", self.code.read_text() if self.code else DEFINITIONS)
        # Its tables first: the web server and the daemon would make the same ones at once.
        self.call(self._command("dagster", "instance", "migrate"))

    def commands(self) -> dict[str, Command]:
        """The web server and the daemon; each keeps a process with the code."""
        code = ["-f", "definitions.py"]
        listen = ["-h", HOST, "-p", str(self.port("webserver"))]
        return {
            "webserver": self._command("dagster-webserver", *listen, *code),
            "daemon": self._command("dagster-daemon", "run", *code),
        }

    def _command(self, program: str, *arguments: str) -> Command:
        programs = self.path(PythonEnv) / "bin"
        env = {"DAGSTER_HOME": f"{self.folder}/dagster", "PATH": f"{programs}:/usr/bin:/bin"}
        return Command([str(programs / program), *arguments], env=env)

    @property
    def url(self) -> str:
        """Where its pages and, under ``/graphql``, its interface are."""
        return f"http://{HOST}:{self.port('webserver')}"

    def client(self) -> Any:
        """A new ``requests.Session``: GraphQL under :attr:`url` is the way from outside."""
        import requests

        return requests.Session()

    def ask(self, query: str, **variables: Any) -> dict:
        """The data that a GraphQL query answers."""
        with self.client() as client:
            body = {"query": query, "variables": variables}
            answer = client.post(f"{self.url}/graphql", json=body, timeout=60).json()
        if answer.get("errors"):
            raise ValueError(answer["errors"][0]["message"])
        return answer["data"]

    def run(self, job: str = "__ASSET_JOB") -> str:
        """Run a job, or all assets, to its end; return the status, such as ``SUCCESS``."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "definitions.py",
            "jobName": job,
        }
        launched = self.ask(LAUNCH, where=selector)["launchRun"]
        if launched["__typename"] != "LaunchRunSuccess":
            raise ValueError(launched.get("message") or launched["__typename"])
        number = launched["run"]["runId"]
        ends = ("SUCCESS", "FAILURE", "CANCELED")
        return self.wait(lambda: self._status(number), lambda status: status in ends)

    def _status(self, number: str) -> str:
        return self.ask(STATUS, id=number)["runOrError"]["status"]

    def ready(self) -> bool:
        """It has loaded the code."""
        ask = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        found = self.ask(ask)["repositoriesOrError"].get("nodes", [])
        return [node["name"] for node in found] == ["__repository__"]

    def check(self) -> None:
        """Make both assets, of which one needs the other, and check one."""
        assert self.run() == "SUCCESS"
        made = self.ask(MADE, key={"path": ["delay"]})["assetOrError"]["assetMaterializations"]
        assert len(made) == 1
