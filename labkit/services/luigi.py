"""Luigi's central scheduler: it keeps two workers from doing one task, and shows what ran."""

from __future__ import annotations

from typing import Any

from labkit.services.running import HOST, Command, PythonEnv, Service


class Luigi(Service):
    """``luigid``; tasks run where ``luigi.build`` is called, in the learner's process."""

    name = "luigi"
    title = "Luigi"
    version = "3.8.1"
    label = "engine"
    memory_mb = 150
    needs = (PythonEnv("luigi", 7),)

    def commands(self) -> dict[str, Command]:
        """The scheduler, with its state in a file."""
        program = str(self.path(PythonEnv) / "bin" / "luigid")
        options = ["--address", HOST, "--port", str(self.port("luigid"))]
        return {"luigid": Command([program, *options, "--state-path", f"{self.folder}/state"])}

    @property
    def url(self) -> str:
        """The address, as ``luigi.build`` takes it for ``scheduler_url``, and of its pages."""
        return f"http://{HOST}:{self.port('luigid')}"

    def client(self) -> Any:
        """A new ``luigi.rpc.RemoteScheduler``."""
        from luigi.rpc import RemoteScheduler

        return RemoteScheduler(self.url, connect_timeout=5)

    def ready(self) -> bool:
        """It lists its tasks."""
        import requests

        return requests.get(f"{self.url}/api/graph", timeout=2).ok

    def check(self) -> None:
        """Two tasks of which one needs the other; the second time there is nothing to do."""
        import luigi

        folder = self.folder / "out"
        folder.mkdir(exist_ok=True)
        ran: list[str] = []

        class Extract(luigi.Task):
            def output(self) -> luigi.LocalTarget:
                return luigi.LocalTarget(str(folder / "extract"))

            def run(self) -> None:
                ran.append("extract")
                with self.output().open("w") as file:
                    file.write("5")

        class Load(luigi.Task):
            def requires(self) -> luigi.Task:
                return Extract()

            def output(self) -> luigi.LocalTarget:
                return luigi.LocalTarget(str(folder / "load"))

            def run(self) -> None:
                ran.append("load")
                with self.input().open() as read, self.output().open("w") as file:
                    file.write(read.read() * 2)

        for path in folder.iterdir():
            path.unlink()
        for _ in range(2):
            assert luigi.build([Load()], scheduler_url=self.url, log_level="CRITICAL")
        assert ran == ["extract", "load"], ran
        assert (folder / "load").read_text() == "55"
        done = self.client().task_list("DONE", "")
        assert {name.partition("_")[0] for name in done} >= {"Extract", "Load"}, done
