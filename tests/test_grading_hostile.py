"""A hostile class: no points gained, nothing reached, nobody else affected.

Every attack has a positive control: without the layer that stops it, it works.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest
from hostile.breakouts import BREAKOUTS
from hostile.forgeries import FORGERIES, WRONG
from hostile.small import lab, notebook, plan, points, reference
from waiting import eventually

from grader.engine.grading import Grader
from grader.engine.sandbox import FULL, Limits

LINUX = sys.platform == "linux"
LIMITS = Limits(
    memory_mb=512,
    work_mb=16,
    file_mb=8,
    processes=40,
    open_files=256,
    output_bytes=100_000,
    cpu_seconds=20,
    cell_seconds=2,
    call_seconds=2,
    total_seconds=60,
)
OTHERS = ("flatten",)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(plan(), limits=LIMITS) as made:
        yield made


def with_wind(code: str) -> dict:
    return notebook({**reference(), "wind": code})


def in_kernel(answer: str) -> bool:
    """Whether nbgrader's way of judging, in the answer's own kernel, gives it the point."""
    program = """
import json, sys
from grader.engine.child import make_shell
from grader.engine.sandbox import Limits
shell = make_shell()
answer, test = json.loads(sys.stdin.read())
shell.run(answer, Limits())
outputs = shell.run(test, Limits()).items
bad = [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
open(sys.argv[1], "w").write("failed" if bad else "passed")
"""
    # Every gate of nbgrader's that an attack may forge stands in this cell: it asks, and raises.
    test = "got = wind_knots('KJFK 101551Z 19012KT 10SM')\nassert got == 12, got\n"
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryFile() as printed:
        subprocess.run(
            [sys.executable, "-c", program, file.name],
            input=json.dumps([answer, test]),
            text=True,
            stdout=printed,
            stderr=printed,
            timeout=60,
            check=False,
        )
        return pathlib.Path(file.name).read_text() == "passed"


def test_the_control_refuses_a_plainly_wrong_answer():
    assert not in_kernel(WRONG)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_gains_nothing(grader, name):
    assert in_kernel(FORGERIES[name]), "the attack does not work where it should"
    result = grader.grade(with_wind(FORGERIES[name]))
    assert result.outcome("wind") != "done"
    # What breaks the shell breaks the attacker's own later cells too; it never adds a point.
    assert result.points <= points(*OTHERS)
    honest = grader.grade(notebook(reference()))
    assert honest.points == honest.maximum


class Canaries:
    """Targets that the test made, and that the attacks are told of."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.file = folder / "secret"
        self.file.write_text("a canary")
        self.file.chmod(0o666)
        self.victim()
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        port = self.sockets[0].getsockname()[1]
        self.echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.echo.bind(("127.0.0.1", port))
        threading.Thread(target=self._echo, daemon=True).start()
        abstract = f"canary-{os.getpid()}"
        for address in (f"\0{abstract}", str(folder / "socket")):
            server = socket.socket(socket.AF_UNIX)
            server.bind(address)
            server.listen(8)
            self.sockets.append(server)
        (folder / "socket").chmod(0o777)
        self.process = subprocess.Popen(["sleep", "600"], cwd="/")
        self.key = 0x5EED0000 | (os.getpid() & 0xFFFF)
        self.libc = ctypes.CDLL(None)
        self.segment = self.libc.shmget(self.key, 64, 0o1666)
        self.names = {
            "FILE": str(self.file),
            "FOLDER": str(folder),
            "PORT": port,
            "ABSTRACT": abstract,
            "PID": self.process.pid,
            "KEY": self.key,
        }

    def victim(self) -> None:
        (self.folder / "victim").write_text("a canary")

    def _echo(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, sender = self.echo.recvfrom(64)
                self.echo.sendto(data, sender)

    def close(self) -> None:
        for server in (*self.sockets, self.echo):
            server.close()
        self.process.kill()
        self.process.wait()
        self.libc.shmctl(self.segment, 0, None)


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    # Not below pytest's own folder, which nobody else may enter.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="canary-"))
    folder.chmod(0o777)
    made = Canaries(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def said(result) -> str:
    """All that the answer cell of ``wind`` printed."""
    outputs = result.cells["wind-answer"]["outputs"]
    return "".join(o.get("text", "") for o in outputs)


@pytest.mark.skipif(not LINUX, reason="the layers are Linux's")
@pytest.mark.parametrize("name", BREAKOUTS)
def test_a_breakout_stays_inside(grader, canaries, name):
    code, layers = BREAKOUTS[name]
    code = "".join(f"{k} = {v!r}\n" for k, v in canaries.names.items()) + code
    with Grader(plan(), limits=LIMITS, off=layers) as open_:
        free = open_.grade(with_wind(code), only=["wind"])
    assert "REACHED" in said(free), f"the attack does not work where it should: {free.cells}"
    canaries.victim()
    canaries.file.write_text("a canary")
    result = grader.grade(with_wind(code))
    assert "REACHED" not in said(result)
    assert result.points == points(*OTHERS)
    assert canaries.process.poll() is None
    assert canaries.file.read_text() == "a canary"
    assert (canaries.folder / "victim").exists()


DEATHS = {
    "exit of the process": "import os\nos._exit(0)",
    "kill of itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "a crash in C": "import ctypes\nctypes.string_at(0)",
    "sys.exit": "raise SystemExit(0)",
    "an endless loop": "while True: pass",
    "an endless loop that hears nothing": """
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass""",
    "all memory": "hold = []\nwhile True: hold.append(bytearray(2**24))",
    "deep recursion in C": "import sys\nsys.setrecursionlimit(10**8)\ndef f(): f()\nf()",
    "all file handles closed": "import os\nos.closerange(0, 500)",
    "rubbish on the channel": """
import os
for n in range(3, 40):
    try: os.write(n, bytes(range(256)) * 4)
    except OSError: pass""",
    "a message of four gigabytes": """
import os
for n in range(3, 40):
    try: os.write(n, b"\\x00\\x00\\x00\\x02\\xff\\xff\\xff\\xff{}")
    except OSError: pass""",
    "one line of fifty megabytes": "print('x' * 50_000_000)",
    "endless output": "for _ in range(3000): print('x' * 10_000)",
}


#: The harness that nbgrader's way is: answers and tests in one process, with no limit but these.
_SHARED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
verdict = open(sys.argv[1], "w")
answer, question = json.loads(sys.stdin.read())
names = {}
try:
    exec(answer, names)
except Exception:
    pass
exec(question, names)
verdict.write("judged")
verdict.close()
"""


def others_survive(answer: str) -> bool:
    """Whether another question is still judged, with little output, where all share a process."""
    question = "assert len(bytearray(2**26)) == 2**26\n"
    with tempfile.TemporaryDirectory() as folder:
        verdict, printed = pathlib.Path(folder, "verdict"), pathlib.Path(folder, "printed")
        with printed.open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, "-c", _SHARED, str(verdict)],
                input=json.dumps([answer, question]).encode(),
                stdout=file,
                stderr=subprocess.DEVNULL,
                timeout=8,
                check=False,
            )
        judged = verdict.exists() and verdict.read_bytes() == b"judged"
        return judged and printed.stat().st_size < 5 * LIMITS.output_bytes


def test_an_honest_answer_leaves_the_others_alone():
    assert others_survive("def wind_knots(report): return 1")


@pytest.mark.skipif(not LINUX, reason="the limits are Linux's")
@pytest.mark.parametrize("name", DEATHS)
def test_each_death_costs_the_others_where_all_share_a_process(name):
    assert not others_survive(DEATHS[name])


@pytest.mark.parametrize("where", ["cell", "call"])
@pytest.mark.parametrize("name", DEATHS)
def test_a_death_costs_only_its_own_question(grader, name, where):
    code = DEATHS[name]
    if where == "call":
        code = "def wind_knots(report):\n" + "".join(f"    {line}\n" for line in code.splitlines())
    started = time.monotonic()
    result = grader.grade(with_wind(code))
    assert result.outcome("wind") != "done"
    assert result.points == points(*OTHERS), [e.lines for e in result.exercises]
    assert time.monotonic() - started < 30
    size = sum(len(str(cell["outputs"])) for cell in result.cells.values())
    assert size < 5 * LIMITS.output_bytes


VALUES = {
    "arrow that is none": '{"$": "arrow", "v": "' + "QUJD" * 40 + '"}',
    "nested very deep": "[" * 200_000,
    "an unknown kind": '{"$": "exec", "v": "1"}',
    "no kind": '{"v": 1}',
    "a number of many digits": "1" * 200_000,
    "an opaque that says done": '{"$": "opaque", "type": "done", "why": "✓ done"}',
    "not text at all": "\\xff\\xfe",
    "a pickle": '{"$": "bytes", "v": "gASVIAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAVlY2hvlIWUUpQu"}',
    "a set of sets": '{"$": "set", "v": [{"$": "set", "v": []}, {"$": "list", "v": []}]}',
    "a decimal of great size": '{"$": "decimal", "v": "1e999999999"}',
    "not a number": '{"$": "float", "v": "nan"}',
    "true for one": "true",
}


def test_a_value_sent_by_the_vehicle_of_these_attacks_arrives(grader):
    # Control: what stands in for the encoder does reach the judge, so a true value is believed.
    code = (
        reference()["wind"]
        + """
import labkit.check.wire as wire
real = wire.encode
def encode(value):
    print("the stand-in was asked")
    return real(value)
wire.encode = encode
"""
    )
    result = grader.grade(with_wind(code), only=["wind"])
    assert result.outcome("wind") == "done"


@pytest.mark.parametrize("name", VALUES)
def test_a_hostile_value_is_only_a_wrong_one(grader, name):
    code = f"""
import labkit.check.wire as wire
wire.encode = lambda value: {VALUES[name]!r}.encode()
def wind_knots(report): return 12
"""
    result = grader.grade(with_wind(code), only=["wind"])
    assert result.outcome("wind") == "not yet"
    again = grader.grade(notebook(reference()))
    assert again.points == again.maximum


def test_the_course_secret_and_the_checks_are_not_in_reach(grader, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "a-canary-secret")
    assert os.environ["COURSE_SECRET"] == "a-canary-secret"  # control: it is in the grader's own
    hunt = """
import gc, os, sys
seen = [open('/proc/self/environ').read(), str(dict(os.environ))]
for name in ('self', '1'):
    try: seen.append(open(f'/proc/{name}/cmdline').read())
    except OSError: pass
texts = [o for o in gc.get_objects() if type(o) in (dict, list, tuple)]
for o in texts:
    for part in list(o.values() if type(o) is dict else o):
        if type(part) is str: seen.append(part)
joined = ' '.join(seen)
for word in ('canary-' + 'secret', 'answer.random.' + 'sample', 'BEGIN ' + 'SOLUTION'):
    if word in joined: print('REACHED', word)
for module in ('grader.sam' + 'ples', 'grader.sou' + 'rce', 'grader.engine.jud' + 'ge'):
    try: __import__(module); print('REACHED', module)
    except ImportError: pass
print('searched', len(seen))
"""
    result = grader.grade(with_wind(hunt), only=["wind"])
    assert "searched" in said(result)
    assert "REACHED" not in said(result)
    control = (
        f"secret = 'a-canary-secret'; kept = ['a-canary-secret', {'answer.random.sample'!r}]\n"
    )
    assert "REACHED" in said(grader.grade(with_wind(control + hunt), only=["wind"]))


def test_a_daemon_does_not_outlive_its_grading(canaries):
    outcome = {}
    # Root's student is another user, who may not write here; an ordinary user's is that user.
    open_walls = {"mount", "landlock"} | ({"user"} if os.geteuid() == 0 else set())
    for off in (open_walls, open_walls | {"pid"}):
        beats, end = canaries.folder / f"beats-{len(off)}", canaries.folder / f"end-{len(off)}"
        code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for _ in range(600):
            open({str(beats)!r}, 'a').write('x')
            time.sleep(0.05)
            if os.path.exists({str(end)!r}):
                break
    os._exit(0)
while not os.path.exists({str(beats)!r}):
    time.sleep(0.01)
"""
        with Grader(plan(), limits=LIMITS, off=off) as open_:
            open_.grade(with_wind(code), only=["wind"])
            _grows(beats, 0.3)  # what ends may beat once more
            outcome["pid" in off] = _grows(beats, 10 if "pid" in off else 1)
        end.touch()
    assert outcome == {False: False, True: True}


def _grows(file: pathlib.Path, seconds: float) -> bool:
    size = file.stat().st_size
    return bool(eventually(lambda: file.stat().st_size > size, seconds))


@pytest.mark.skipif(not LINUX, reason="the layers are Linux's")
def test_each_result_names_its_layers(grader):
    result = grader.grade(notebook(reference()))
    assert set(result.layers) >= FULL
    with Grader(plan(), limits=LIMITS, off={"seccomp"}) as weaker:
        assert "seccomp" not in weaker.grade(notebook(reference())).layers


def test_hidden_tests_do_not_show_in_the_verdict(grader):
    wrong = next(c for c in _exercise("wind").wrong if c.meta["caught"] == "hidden")
    result = grader.grade(with_wind(wrong.source), only=["wind"])
    verdict = result.exercises[0]
    assert (verdict.outcome, verdict.stage, len(verdict.lines)) == ("not yet", "hidden", 4)
    assert "answer.random" not in str(verdict.lines)


def _exercise(name: str):
    return next(e for e in lab().exercises if e.name == name)
