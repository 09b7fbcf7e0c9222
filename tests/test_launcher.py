"""The launcher meets bad luck: each time one sentence, an exit code, and nothing half-made."""

from __future__ import annotations

import ast
import base64
import collections
import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent
COURSE = ROOT / "course"


def load(path: pathlib.Path = COURSE):
    """Import a launcher, whose file has no ending."""
    loader = importlib.machinery.SourceFileLoader("launcher", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("launcher", loader))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def wheel(folder: pathlib.Path, name: str = "tiny", tag: str = "py3-none-any") -> str:
    """Write a wheel of one module and return its line in a lock."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    built = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(built, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(built.read_bytes()).hexdigest()}\n"


class Place:
    """A course of one small package, in a home of its own, with no network."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = folder / "course"
        self.locks = self.root / "requirements"
        self.locks.mkdir(parents=True)
        shutil.copy2(COURSE, self.root)
        shutil.copy2(ROOT / "requirements" / "uv.txt", self.locks)
        self.wheels, self.bin, self.cache = folder / "wheels", folder / "bin", folder / "cache"
        self.bin.mkdir()
        (self.locks / "main.txt").write_text(wheel(self.wheels))
        (self.locks / "test.txt").write_text(wheel(self.wheels, "extra"))
        for layer in ("spark", "beam", "media", "torch"):
            (self.locks / f"{layer}.txt").write_text("")
        kept = {"PATH", "LANG"}
        self.variables = {name: value for name, value in os.environ.items() if name in kept}
        self.variables |= {
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(self.cache),
            "PATH": os.pathsep.join([str(self.bin), self.variables["PATH"]]),
            "UV_FIND_LINKS": str(self.wheels),
            "UV_OFFLINE": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.root / "course"), *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.variables, stderr=subprocess.PIPE, text=True
        )

    def environments(self) -> list[pathlib.Path]:
        found = self.cache.glob("data-engineering-course/envs/*")
        return [path for path in found if path.is_dir()]

    def fake_uv(self, install: str) -> None:
        """Put a uv first on PATH that notes how it is called and installs by these shell lines."""
        path = self.bin / "uv"
        path.write_text(
            "#!/bin/bash\n"
            f'echo "$@" >> "{self.bin}/calls"\n'
            'if [ "$1" = --version ]; then echo "uv 99.0.0"; exit; fi\n'
            'if [ "$1" = venv ]; then mkdir -p "${@: -1}/bin"; '
            f'ln -s "{sys.executable}" "${{@: -1}}/bin/python"; exit; fi\n'
            f"{install}\n"
        )
        path.chmod(0o755)

    def installs(self) -> list[str]:
        calls = self.bin / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [line for line in lines if line.startswith("pip install")]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def real(place: Place) -> Place:
    """A place with the uv that made the environment of this test run."""
    own = sorted(pathlib.Path(sys.prefix).parent.parent.glob("uv-*/bin/uv"))
    path = own[-1] if own else shutil.which("uv")
    if not path:
        pytest.skip("no uv: this environment was not made by ./course")
    (place.bin / "uv").symlink_to(path)
    return place


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The reader gets one last line with these words, exit code 2 and no traceback."""
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith("course: ") and last.endswith((".", ")."))
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last


def test_first_use_installs_and_the_second_is_silent(real: Place) -> None:
    first = real.run("exec", "python", "-c", "import tiny; print(tiny.ANSWER)")
    assert (first.returncode, first.stdout) == (0, "42\n"), first.stderr
    assert "first use" in first.stderr
    assert list(real.environments()[0].rglob("tiny*.pyc")), "not compiled at install"
    second = real.run("exec", "python", "-c", "import tiny; print(tiny.ANSWER)")
    assert (second.stdout, second.stderr) == ("42\n", "")


def test_a_layer_goes_on_top_when_asked_for(real: Place) -> None:
    assert real.run("prepare").returncode == 0
    assert real.run("exec", "python", "-c", "import extra").returncode == 1
    assert real.run("prepare", "test").returncode == 0
    assert real.run("exec", "python", "-c", "import tiny, extra").returncode == 0
    assert len(real.environments()) == 1


def test_a_changed_lock_makes_another_environment(real: Place) -> None:
    real.run("prepare")
    with (real.locks / "main.txt").open("a") as lock:
        lock.write(wheel(real.wheels, "second"))
    done = real.run("exec", "python", "-c", "import tiny, second")
    assert done.returncode == 0, done.stderr
    assert len(real.environments()) == 2


def test_a_killed_install_is_done_anew(real: Place) -> None:
    real.run("prepare")
    env = real.environments()[0]
    (env / "ready").unlink()
    (env / "half-made").touch()
    assert real.run("exec", "python", "-c", "import tiny").returncode == 0
    assert not (env / "half-made").exists()


def test_a_killed_layer_is_installed_anew(place: Place) -> None:
    place.fake_uv("exit 0")
    place.run("prepare")
    env = place.environments()[0]
    (env / "begun-test").touch()
    assert place.run("prepare", "test").returncode == 0
    assert "--reinstall" in place.installs()[-1]
    assert (env / "ready-test").exists() and not (env / "begun-test").exists()


def test_commands_see_the_course_and_one_thread(place: Place) -> None:
    place.fake_uv("exit 0")
    shown = place.run("exec", "env", OMP_NUM_THREADS="3", PYTHONPATH="mine").stdout
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    env = str(place.environments()[0])
    assert values["PYTHONPATH"] == f"{place.root}:mine"
    assert values["PATH"].startswith(f"{env}/bin:") and values["VIRTUAL_ENV"] == env
    assert values["OMP_NUM_THREADS"] == "3", "what the user has set stays"
    assert values["OPENBLAS_NUM_THREADS"] == "1"


def test_other_commands_go_to_the_command_line_in_the_environment(place: Place) -> None:
    place.fake_uv("exit 0")
    (place.root / "grader").mkdir()
    (place.root / "grader" / "__main__.py").write_text("import sys; print(sys.argv[1:])")
    assert place.run("lab", "--port", "1").stdout == "['lab', '--port', '1']\n"
    assert len(place.installs()) == 1
    assert place.run("test").stdout == "['test']\n"
    calls = "".join(place.installs()[1:])
    assert "test.txt" in calls, "the tests' layer comes with the tests"
    assert all(f"{layer}.txt" in calls for layer in ("spark", "beam", "media"))


def test_old_pythons_can_read_it() -> None:
    ast.parse(COURSE.read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 13), (4, 0)])
def test_other_pythons_are_not_supported(version: tuple[int, int]) -> None:
    assert not load().supported(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9)])
def test_two_pythons_are_supported(version: tuple[int, ...]) -> None:
    assert load().supported(version)


def wrong_python(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Return the launcher as Python 3.9 runs it, with only `place.bin` on PATH."""
    launcher = load(place.root / "course")
    fake = collections.namedtuple("Sys", "version_info implementation executable stderr")
    monkeypatch.setattr(
        launcher, "sys", fake((3, 9, 1), sys.implementation, sys.executable, sys.stderr)
    )
    for name, value in (place.variables | {"PATH": str(place.bin)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UV_FIND_LINKS")
    return launcher


def test_a_wrong_python_is_told_which_is_needed(
    real: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = wrong_python(real, monkeypatch)
    with pytest.raises(launcher.CourseError, match=r"3\.11 or 3\.12, this is 3\.9.*install one"):
        launcher.prepare([])
    assert real.environments() == []


def test_a_wrong_python_takes_a_right_one_from_path(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = wrong_python(place, monkeypatch)
    for name, line in (("python3.12", "exit 127"), ("python3.11", "echo 3.11")):
        (place.bin / name).write_text(f"#!/bin/sh\n{line}\n")
        (place.bin / name).chmod(0o755)
    assert launcher.find_python() == (str(place.bin / "python3.11"), "3.11")


@pytest.mark.parametrize(
    "network",
    [
        {"UV_OFFLINE": "1"},
        {"UV_OFFLINE": "0", "HTTPS_PROXY": "127.0.0.1:9", "UV_HTTP_RETRIES": "0"},
    ],
    ids=["offline", "closed proxy"],
)
def test_no_network_on_first_use(real: Place, network: dict[str, str]) -> None:
    shutil.rmtree(real.wheels)
    real.wheels.mkdir()
    done = real.run("prepare", **network)
    assert_one_sentence(done, "network was not reached", "details: ")
    log = pathlib.Path(done.stderr.strip().rpartition("details: ")[2].removesuffix(")."))
    assert "tiny" in log.read_text()
    assert real.environments() == []


def test_no_network_to_install_uv(place: Place) -> None:
    (place.bin / "uv").symlink_to("/bin/false")
    place.variables["PATH"] = f"{place.bin}:/usr/bin:/bin"
    done = place.run("prepare", HTTPS_PROXY="127.0.0.1:9", PIP_RETRIES="0", PIP_NO_INPUT="1")
    assert_one_sentence(done)
    assert "network was not reached" in done.stderr or "neither pip nor venv" in done.stderr
    assert not list(place.cache.glob("data-engineering-course/uv-*"))


def test_an_old_uv_is_not_used() -> None:
    launcher = load()
    launcher.output = lambda command: "uv 0.1.45"
    assert not launcher.usable_uv("uv")
    launcher.output = lambda command: "uv 0.10.0 (x86_64)"
    assert launcher.usable_uv("uv")


def test_a_package_that_is_not_the_one_in_the_lock(real: Place) -> None:
    lock = real.locks / "main.txt"
    lock.write_text(lock.read_text().rpartition(":")[0] + ":" + "0" * 64 + "\n")
    assert_one_sentence(real.run("prepare"), "not the one in the lock")
    assert real.environments() == []


def test_a_package_without_a_wheel_for_this_machine(real: Place) -> None:
    line = wheel(real.wheels, "elsewhere", tag="py3-none-win_amd64")
    (real.locks / "main.txt").write_text(line)
    assert_one_sentence(real.run("prepare"), "no wheel for this machine")
    assert real.environments() == []


def test_no_disk_space(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = load()
    usage = collections.namedtuple("Usage", "free")
    monkeypatch.setattr(launcher, "LAYERS", {"main": (1, 4000), "test": (1, 500)})
    launcher.check_space(str(tmp_path), ["main"], lambda folder: usage(4 * 10**9))
    with pytest.raises(launcher.CourseError, match=r"needs about 4\.5 GB .* has 4\.0 GB free"):
        launcher.check_space(str(tmp_path), ["main", "test"], lambda folder: usage(4 * 10**9))


def test_a_cache_that_cannot_be_written(place: Place) -> None:
    place.cache.write_text("a file, where a folder is needed")
    assert_one_sentence(place.run("prepare"), "cannot be written", "XDG_CACHE_HOME")


def test_an_unknown_layer(place: Place) -> None:
    assert_one_sentence(place.run("prepare", "nosuch"), "'nosuch'", ", ".join(load().LAYERS))
    assert not place.cache.exists()


def test_exec_of_nothing_and_of_an_unknown_program(place: Place) -> None:
    assert_one_sentence(place.run("exec"), "./course exec PROGRAM")
    place.fake_uv("exit 0")
    assert_one_sentence(place.run("exec", "nosuch-program"), "'nosuch-program'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_half_made(place: Place, number: int) -> None:
    place.fake_uv(f'echo $$ > "{place.bin}/pid"; exec sleep 60')
    running = place.start("prepare")
    assert eventually(
        lambda: (place.bin / "pid").exists() and (place.bin / "pid").read_text().strip(), 20
    )
    running.send_signal(number)
    words = running.communicate(timeout=20)[1]
    assert running.returncode == 130 and "interrupted" in words and "Traceback" not in words
    assert place.environments() == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.bin / "pid").read_text()), 0)


def test_an_interrupt_while_a_process_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, begun, popen = load(), [], subprocess.Popen

    def interrupted_popen(command: list[str]) -> subprocess.Popen[bytes]:
        begun.append(popen(command))
        os.kill(os.getpid(), signal.SIGTERM)
        return begun[0]

    monkeypatch.setattr(launcher.subprocess, "Popen", interrupted_popen)
    before = signal.signal(signal.SIGTERM, launcher.interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), launcher.started(["sleep", "60"]):
            pytest.fail("the block ran")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert begun[0].poll() is not None


def test_a_process_can_be_started_in_another_thread() -> None:
    launcher = load()

    def said() -> str:
        with launcher.started([sys.executable, "-c", "print('here')"], stdout=-1) as process:
            return process.communicate()[0].decode().strip()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(said).result() == "here"


def test_of_two_at_once_the_second_waits(place: Place) -> None:
    place.fake_uv(f'while [ ! -e "{place.bin}/go" ]; do sleep 0.05; done')
    first = place.start("prepare")
    assert eventually(place.installs, 20)
    second = place.start("prepare")
    assert "waiting" in second.stderr.readline()
    (place.bin / "go").touch()
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert len(place.installs()) == 1
    for process in (first, second):
        process.stderr.close()


def test_uv_is_told_of_the_mirror_that_pip_has(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = load()
    launcher.output = lambda command: "global.index-url='mirror'\nglobal.timeout='9'"
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    assert launcher.installer_settings()["UV_DEFAULT_INDEX"] == "mirror"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "own")
    assert launcher.installer_settings()["UV_DEFAULT_INDEX"] == "own"
