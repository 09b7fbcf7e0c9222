"""One list of packages, and its locks, conda's files and Binder's agree with it."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from grader import doctor
from grader.work import MAP

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = PROJECT["dependency-groups"]
LOCKS = ("main", "test", "spark", "beam", "media", "torch", "uv")


def lock(name: str) -> list[Requirement]:
    """Return the pinned requirements of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    lines = re.sub(r"\\\n", "", text).splitlines()
    return [Requirement(line.split(" --hash")[0]) for line in lines if line[0] not in "# "]


def pins(name: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in lock(name)}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_each_package_once_with_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.findall(r"^[a-z].*(?:\n .*)*", text, re.MULTILINE)
    assert len(entries) == len(pins(name)), "both Pythons get the same versions"
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+ (;.* )?\\\n    --hash=sha256:", entry), entry


@pytest.mark.parametrize(
    "name, wanted",
    [("main", PROJECT["project"]["dependencies"]), *LAYERS.items()],
    ids=["main", *LAYERS],
)
def test_a_lock_holds_what_the_list_asks_for(name: str, wanted: list[str]) -> None:
    found = pins(name)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])


def test_the_launcher_knows_every_layer() -> None:
    known = re.search(r"^LAYERS = (\{.*?\})$", (ROOT / "course").read_text(), re.M | re.S)[1]
    assert set(ast.literal_eval(known)) == {"main", *LAYERS}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_changes_nothing_below_it(layer: str) -> None:
    main = pins("main")
    for name, version in pins(layer).items():
        assert main.get(name, version) == version, name


def test_what_torch_can_do_without_is_left_out() -> None:
    assert not set(PROJECT["tool"]["uv"]["exclude-dependencies"]) & set(pins("torch"))


def test_this_environment_is_the_lock() -> None:
    for pin in lock("main"):
        if pin.marker is None or pin.marker.evaluate():
            assert pin.specifier.contains(importlib.metadata.version(pin.name)), pin


def test_no_file_names_an_address() -> None:
    files = ["course", "environment.yml", ".ci/run", "pyproject.toml"]
    files += [f"requirements/{path.name}" for path in (ROOT / "requirements").iterdir()]
    files += [f"binder/{path.name}" for path in (ROOT / "binder").iterdir()]
    for name in files:
        text = (ROOT / name).read_text()
        assert "://" not in text and str(ROOT) not in text, name
        assert not re.search(r"--(extra-)?index-url|--find-links", text), name


@pytest.mark.parametrize("name", ["environment.yml", "binder/environment.yml"])
def test_conda_gets_the_versions_of_the_lock(name: str) -> None:
    path = ROOT / name
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    plain = [entry for entry in dependencies if isinstance(entry, str)]
    # repo2docker builds its own default Python for anything but one "=".
    python = [entry.removeprefix("python=") for entry in plain if entry.startswith("python")]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(python[0])
    assert set(plain) == {f"python={python[0]}", "pip"}, "all else comes from the lock"
    for entry in dependencies:
        if isinstance(entry, dict):
            assert [path.parent / line.removeprefix("-r ") for line in entry["pip"]] == [
                ROOT / "requirements" / "main.txt"
            ]


def test_binder_reads_our_files() -> None:
    reader = pytest.importorskip("repo2docker", reason="part of the layer `test`")
    assert reader
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "conda environment for python=3.11" in said
    assert "RUN ./binder/postBuild" in said
    assert 'R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in said


def test_binder_installs_the_lock_and_stops_at_an_error() -> None:
    script = (ROOT / "binder" / "postBuild").read_text()
    assert "set -euo pipefail" in script
    assert (
        "pip install --no-cache-dir --no-deps --require-hashes -r requirements/main.txt" in script
    )


def test_binder_starts_like_the_launcher_and_opens_the_map() -> None:
    names = re.search(r"THREADS = \((.*?)\)", (ROOT / "course").read_text(), re.DOTALL)[1]
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [ROOT / "binder" / "start", "env"], env=bare, capture_output=True, text=True, check=True
    )
    shown = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert shown["PYTHONPATH"] == str(ROOT)
    assert {shown[name] for name in re.findall(r'"(\w+)"', names)} == {"1"}
    opens, quiet = map(pathlib.Path, shown["JUPYTER_CONFIG_PATH"].split(os.pathsep))
    assert (quiet / "labconfig" / "default_setting_overrides.json").is_file()
    settings = opens / "jupyter_server_config.json"
    opened = json.loads(settings.read_text())["LabApp"]["default_url"]
    assert opened == f"/lab/tree/{MAP.relative_to(ROOT)}"


def test_scripts_can_be_run() -> None:
    for name in ("course", "binder/postBuild", "binder/start", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name


def test_doctor_finds_what_the_labs_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main() == 0
    assert "Everything that ./course lab needs is here." in capsys.readouterr().out


def test_doctor_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name, **_: None)
    assert doctor.main() == 0, "Chromium is not needed for the labs"
    told = capsys.readouterr().out
    assert "install chromium" in told
    # One line for all systems that come as packages.
    line = next(line for line in told.splitlines() if line.startswith("system packages:"))
    assert "memcached" in line
    monkeypatch.setattr(doctor, "DISK_MB", 10**12)
    assert doctor.main() == 1
    assert "Missing for ./course lab: disk" in capsys.readouterr().out
