"""Prometheus with Alertmanager, from the system's packages."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

from labkit.services.running import HOST, Command, Program, Service

SETTINGS = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{folder}/rules.yml"]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["{host}:{alertmanager}"]}}]
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ["{host}:{prometheus}"]}}]
  - job_name: course
    file_sd_configs: [{{files: ["{folder}/targets.json"], refresh_interval: 1s}}]
"""
ALERTS = """\
route: {{receiver: course, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: course
    webhook_configs: [{hooks}]
"""
NO_RULES = "groups: []\n"
RULE = """\
groups:
  - name: check
    rules:
      - {{alert: {alert}, expr: "vector(1)", labels: {{severity: page}}}}
"""


class Prometheus(Service):
    """Processes ``prometheus`` and ``alertmanager``; every scrape and rule runs once a second."""

    name = "prometheus"
    title = "Prometheus and Alertmanager"
    version = "2.42"
    label = "engine"
    memory_mb = 400
    needs = (
        Program("prometheus", apt="prometheus", brew="prometheus"),
        Program("prometheus-alertmanager", apt="prometheus-alertmanager", brew="alertmanager"),
    )

    def configure(self) -> None:
        """Write both configurations: no rules, no targets, nobody to call."""
        ports = {name: self.port(name) for name in ("prometheus", "alertmanager")}
        self.write("prometheus.yml", SETTINGS.format(folder=self.folder, host=HOST, **ports))
        self.write("rules.yml", NO_RULES)
        self.write("targets.json", "[]")
        self.write("alertmanager.yml", ALERTS.format(hooks=""))

    def commands(self) -> dict[str, Command]:
        """Both servers."""
        argv = {
            "prometheus": ["--config.file=prometheus.yml", "--storage.tsdb.path=metrics"],
            "alertmanager": [
                "--config.file=alertmanager.yml",
                "--storage.path=alerts",
                "--cluster.listen-address=",
            ],
        }
        # An alert that finds Alertmanager not yet known is sent again soon, not in a minute.
        argv["prometheus"] += ["--web.enable-lifecycle", "--rules.alert.resend-delay=1s"]
        found = {}
        for need, process in zip(self.needs, argv, strict=True):
            listen = f"--web.listen-address={HOST}:{self.port(process)}"
            found[process] = Command([str(self._fetched[need]), *argv[process], listen])
        return found

    def address(self, process: str = "prometheus") -> str:
        """Where a server answers."""
        return f"http://{HOST}:{self.port(process)}"

    def client(self) -> Any:
        """A new ``requests.Session``: the HTTP API under :meth:`address` is the usual way."""
        import requests

        return requests.Session()

    def query(self, expression: str) -> list[dict]:
        """The vector that an expression in PromQL has now: metrics with ``[time, "value"]``."""
        with self.client() as client:
            url = f"{self.address()}/api/v1/query"
            answer = client.get(url, params={"query": expression}, timeout=5).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]["result"]

    def targets(self, addresses: list[str]) -> None:
        """Scrape ``/metrics`` of these ``host:port`` from now on."""
        self.write("targets.json", json.dumps([{"targets": addresses}]))

    def rules(self, text: str) -> None:
        """Take these recording and alerting rules in place of the last ones."""
        self.write("rules.yml", text)
        self._reload("prometheus")

    def notify(self, url: str) -> None:
        """Have Alertmanager send its alerts to this webhook from now on."""
        self.write("alertmanager.yml", ALERTS.format(hooks=f'{{url: "{url}"}}'))
        self._reload("alertmanager")

    def _reload(self, process: str) -> None:
        with self.client() as client:
            answer = client.post(f"{self.address(process)}/-/reload", timeout=10)
        if not answer.ok:
            raise ValueError(answer.text.strip())

    def ready(self) -> bool:
        """Both say so."""
        with self.client() as client:
            urls = [f"{self.address(process)}/-/ready" for process in self.running()]
            return all(client.get(url, timeout=2).ok for url in urls)

    def check(self) -> None:
        """Scrape, compute, and have an alert delivered to a webhook."""
        up = 'up{job="prometheus"}'
        self.wait(lambda: self.query(up), lambda rows: rows and rows[0]["value"][1] == "1")
        told: list[str] = []

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.extend(alert["labels"]["alertname"] for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer((HOST, 0), Hook) as hook:
            threading.Thread(target=hook.serve_forever, daemon=True).start()
            self.notify(f"http://{HOST}:{hook.server_port}/")
            self.rules(RULE.format(alert="Delayed"))
            self.wait(lambda: list(told), lambda names: "Delayed" in names)
            self.rules(NO_RULES)
            hook.shutdown()
